//! Ids as types: each can hold nothing but a valid id, and says what was wrong with any other text.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text that is no id of the kind asked for, with the reason in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdError(String);

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for IdError {}

/// What a kind of id may be made of.
struct Charset {
    kind: &'static str,
    len_max: usize,
    /// Read aloud in the error.
    allowed: &'static str,
    allows: fn(char) -> bool,
}

impl Charset {
    fn check(&self, text: &str) -> Result<(), IdError> {
        let Self { kind, len_max, allowed, allows } = self;
        if text.is_empty() {
            return Err(IdError(format!("a {kind} is 1 to {len_max} characters long; this one is empty")));
        }
        if let Some((at, bad)) = text.chars().enumerate().find(|(_, c)| !allows(*c)) {
            let at = at + 1;
            return Err(IdError(format!("a {kind} is made of {allowed}; character {at} is {bad:?}")));
        }
        if text.len() > *len_max {
            let len = text.len();
            return Err(IdError(format!("a {kind} is 1 to {len_max} characters long; this one has {len}")));
        }
        Ok(())
    }
}

macro_rules! id {
    ($(#[$meta:meta])* $name:ident, $charset:expr) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Reads an id.
            ///
            /// # Errors
            /// Says which character, or which length, is not allowed.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                const CHARSET: Charset = $charset;
                CHARSET.check(text)?;
                Ok(Self(text.into()))
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", &self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<'de, str>::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }

        string_schema!($name);
    };
}

/// Gives a type that is a string on the wire the schema of a string.
macro_rules! string_schema {
    ($name:ident) => {
        #[cfg(feature = "schema")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
                Schema::Object(ObjectBuilder::new().schema_type(Type::String).build()).into()
            }
        }

        #[cfg(feature = "schema")]
        impl utoipa::ToSchema for $name {}
    };
}
pub(crate) use string_schema;

impl UserId {
    /// Reads the id of somebody who is anonymous: `!` and 16 to 64 of `a-z 0-9 -`. No user has such an id, and no request
    /// can name one: it comes with a token, made up by the client that is nobody, and goes back to that client alone.
    ///
    /// ```
    /// use parlour_wire::UserId;
    /// let nobody = "!3f9a0c61-d27b-e845-a0c1-f2d3";
    /// assert!(UserId::parse_anonymous(nobody).unwrap().is_anonymous());
    /// assert!(UserId::parse(nobody).is_err());
    /// assert!(UserId::parse_anonymous("!too-short").is_err());
    /// ```
    ///
    /// # Errors
    /// Says which character, or which length, is not allowed.
    pub fn parse_anonymous(text: &str) -> Result<Self, IdError> {
        const CHARSET: Charset = Charset {
            kind: "id of who is anonymous, after its `!`,",
            len_max: 64,
            allowed: "a-z, 0-9 and -",
            allows: |c| matches!(c, 'a'..='z' | '0'..='9' | '-'),
        };
        let Some(rest) = text.strip_prefix('!') else {
            return Err(IdError("an id of who is anonymous begins with `!`".to_owned()));
        };
        CHARSET.check(rest)?;
        if rest.len() < 16 {
            let len = rest.len();
            return Err(IdError(format!(
                "an id of who is anonymous has 16 characters at least after its `!`, so that nobody guesses it; this one has {len}"
            )));
        }
        Ok(Self(text.into()))
    }

    /// Whether it is the id of somebody who is anonymous, and no user's.
    pub fn is_anonymous(&self) -> bool {
        self.as_str().starts_with('!')
    }

    /// Reads the id of a user, or of somebody who is anonymous: of oneself, as the server says it.
    pub(crate) fn deserialize_own<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        let read = if text.starts_with('!') { Self::parse_anonymous(&text) } else { Self::parse(&text) };
        read.map_err(serde::de::Error::custom)
    }
}

impl ChannelId {
    /// Whether the channel is a direct one: it has no name of its own, and the same members are always the same channel.
    pub fn is_of_members(&self) -> bool {
        self.as_str().starts_with('!')
    }
}

id! {
    /// A user of an app: 1–128 of `a-z 0-9 @ _ -`. Upper case is refused, so that `Alice` and `alice`
    /// cannot be two people.
    UserId, Charset {
        kind: "user id",
        len_max: 128,
        allowed: "a-z, 0-9, @, _ and -",
        allows: |c| matches!(c, 'a'..='z' | '0'..='9' | '@' | '_' | '-'),
    }
}

id! {
    /// The public key of an app: 1–64 of `a-z A-Z 0-9 _ -`. Not a secret.
    AppKey, Charset {
        kind: "app key",
        len_max: 64,
        allowed: "a-z, A-Z, 0-9, _ and -",
        allows: |c| matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-'),
    }
}

id! {
    /// A team, which its users and channels do not look out of: 1–64 of `a-z A-Z 0-9 _ -`.
    Team, Charset {
        kind: "team",
        len_max: 64,
        allowed: "a-z, A-Z, 0-9, _ and -",
        allows: |c| matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-'),
    }
}

id! {
    /// The type of a channel, which decides its settings and permissions: 1–64 of `a-z 0-9 _ -`.
    ChannelType, Charset {
        kind: "channel type",
        len_max: 64,
        allowed: "a-z, 0-9, _ and -",
        allows: |c| matches!(c, 'a'..='z' | '0'..='9' | '_' | '-'),
    }
}

id! {
    /// The id of a channel within its type: 1–128 of `a-z A-Z 0-9 _ - !`. Ids that begin with `!` are made
    /// by the server (`!members-…` for channels that are distinct by their members).
    ChannelId, Charset {
        kind: "channel id",
        len_max: 128,
        allowed: "a-z, A-Z, 0-9, _, - and !",
        allows: |c| matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' | '!'),
    }
}

id! {
    /// The id of a message, made by the client that sends it (a UUID by default), unique in the app:
    /// 1–128 of `a-z A-Z 0-9 _ -`. The same id sent again is the same message.
    MessageId, Charset {
        kind: "message id",
        len_max: 128,
        allowed: "a-z, A-Z, 0-9, _ and -",
        allows: |c| matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-'),
    }
}

id! {
    /// One live connection, named by the server in `ready`: 1–64 of `a-z A-Z 0-9 _ -`.
    ConnectionId, Charset {
        kind: "connection id",
        len_max: 64,
        allowed: "a-z, A-Z, 0-9, _ and -",
        allows: |c| matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-'),
    }
}

id! {
    /// One incarnation of the event log: cursors of another epoch mean nothing here. 1–64 of `a-z A-Z 0-9 _ -`.
    Epoch, Charset {
        kind: "epoch",
        len_max: 64,
        allowed: "a-z, A-Z, 0-9, _ and -",
        allows: |c| matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-'),
    }
}

/// A channel's full name: `type:id`.
///
/// ```
/// use parlour_wire::Cid;
/// let cid: Cid = "messaging:general".parse().unwrap();
/// assert_eq!(cid.channel_type.as_str(), "messaging");
/// assert_eq!(cid.to_string(), "messaging:general");
/// assert!("general".parse::<Cid>().is_err());
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cid {
    pub channel_type: ChannelType,
    pub id: ChannelId,
}

impl Cid {
    pub fn new(channel_type: ChannelType, id: ChannelId) -> Self {
        Self { channel_type, id }
    }
}

impl FromStr for Cid {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let (channel_type, id) = text.split_once(':').ok_or_else(|| {
            IdError(format!("a cid is a channel's type and id, type:id; {text:?} has no colon"))
        })?;
        Ok(Self { channel_type: ChannelType::parse(channel_type)?, id: ChannelId::parse(id)? })
    }
}

impl fmt::Display for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.channel_type, self.id)
    }
}

impl fmt::Debug for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Cid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

string_schema!(Cid);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_id_holds_1_to_128_of_its_characters_and_nothing_else() {
        assert!(UserId::parse("").is_err());
        assert!(UserId::parse(&"a".repeat(128)).is_ok());
        assert!(UserId::parse(&"a".repeat(129)).is_err());
        for good in ["alice", "a@b-c_9", "__proto__", "constructor"] {
            assert!(UserId::parse(good).is_ok(), "{good}");
        }
        for bad in ["Alice", "al ice", "älice", "a:b", "a\u{202e}b", "a\0", "!anon"] {
            assert!(UserId::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn who_is_anonymous_has_an_id_that_no_user_has_and_no_request_can_name_f1_37() {
        let nobody = "!3f9a0c61d27be845";
        let id = UserId::parse_anonymous(nobody).unwrap();
        assert!(id.is_anonymous() && !UserId::parse("alice").unwrap().is_anonymous());
        assert!(UserId::parse(nobody).is_err());
        assert!(serde_json::from_value::<UserId>(nobody.into()).is_err());
        for bad in
            ["alice", "", "!", "!short", "!3f9a0c61d27be845_", "!3F9A0C61D27BE845", "!!3f9a0c61d27be845"]
        {
            assert!(UserId::parse_anonymous(bad).is_err(), "{bad:?}");
        }
        assert!(UserId::parse_anonymous(&format!("!{}", "a".repeat(64))).is_ok());
        assert!(UserId::parse_anonymous(&format!("!{}", "a".repeat(65))).is_err());
    }

    #[test]
    fn the_error_names_the_character_and_its_place() {
        let error = UserId::parse("alIce").unwrap_err().to_string();
        assert_eq!(error, "a user id is made of a-z, 0-9, @, _ and -; character 3 is 'I'");
    }

    #[test]
    fn a_cid_is_split_at_its_first_colon() {
        assert!("messaging:a:b".parse::<Cid>().is_err());
        assert!(":a".parse::<Cid>().is_err());
        assert!("messaging:".parse::<Cid>().is_err());
        assert_eq!("livestream:!members-1".parse::<Cid>().unwrap().id.as_str(), "!members-1");
    }
}
