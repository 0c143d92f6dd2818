//! Topics: the ordered logs that cursors point into.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::string_schema;
use crate::{AppKey, Cid, IdError, UserId};

/// An ordered log of events with a gapless `seq`: `channel:<cid>`, `user:<id>` or `app:<key>`.
///
/// ```
/// use parlour_wire::Topic;
/// let topic: Topic = "channel:messaging:general".parse().unwrap();
/// assert!(matches!(&topic, Topic::Channel(cid) if cid.id.as_str() == "general"));
/// assert_eq!(topic.to_string(), "channel:messaging:general");
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// What all who may read the channel may see.
    Channel(Cid),
    /// What only this user may see, on all devices.
    User(UserId),
    /// What every user of the app may see.
    App(AppKey),
    /// A kind of topic that this version does not know, as it came.
    Unknown(Arc<str>),
}

impl FromStr for Topic {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        match text.split_once(':') {
            Some(("channel", cid)) => cid.parse().map(Self::Channel),
            Some(("user", id)) => id.parse().map(Self::User),
            Some(("app", key)) => key.parse().map(Self::App),
            _ => Ok(Self::Unknown(text.into())),
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Channel(cid) => write!(f, "channel:{cid}"),
            Self::User(id) => write!(f, "user:{id}"),
            Self::App(key) => write!(f, "app:{key}"),
            Self::Unknown(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Topic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Topic {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

string_schema!(Topic);
