//! Who is there, on the wire.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::users::Role;
use crate::{Timestamp, UserId};

/// Users that a subscription lists beside friends, at most.
pub const PRESENCE_LISTED_MAX: usize = 500;

/// Whether a user is there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Presence {
    pub user_id: UserId,
    pub online: bool,
    /// Online, and without any connection in the foreground for five minutes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub away: bool,
    /// What the user says of it, such as `on the road`: the user's own field `status`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_active: Option<Timestamp>,
    /// Whatever a newer server adds.
    #[serde(flatten)]
    pub custom: BTreeMap<String, Value>,
}

impl Presence {
    /// What the user adds to a [`PresenceDigest`]: the 32-bit FNV-1a hash of the id, a space, `a` for away or `o` for
    /// online, and, where there is a status, a space and the status, taken by code points where others take bytes; 0 of who
    /// is not online.
    ///
    /// ```
    /// # use parlour_wire::presence::Presence;
    /// let erin: Presence = serde_json::from_str(r#"{"user_id":"erin","online":true}"#).unwrap();
    /// assert_eq!(erin.sum(), 1_285_410_844);
    /// let gone: Presence = serde_json::from_str(r#"{"user_id":"erin","online":false}"#).unwrap();
    /// assert_eq!(gone.sum(), 0);
    /// ```
    pub fn sum(&self) -> u32 {
        if !self.online {
            return 0;
        }
        let away = if self.away { " a" } else { " o" };
        let status = self.status.as_deref().map(|status| [" ", status]).unwrap_or_default();
        let texts = [self.user_id.as_str(), away].into_iter().chain(status);
        texts
            .flat_map(str::bytes)
            .fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
    }
}

/// How many are there whom nobody named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PresenceCounts {
    pub online: u64,
    /// How many of them are away.
    #[serde(default)]
    pub away: u64,
}

/// What the picture of who is there comes to: whoever has another asks for it anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PresenceDigest {
    pub online: u64,
    pub away: u64,
    /// The sum of [`Presence::sum`] of all of them, modulo 2³².
    pub sum: u32,
}

impl PresenceDigest {
    /// One more is there so.
    pub fn add(&mut self, presence: &Presence) {
        self.online += u64::from(presence.online);
        self.away += u64::from(presence.online && presence.away);
        self.sum = self.sum.wrapping_add(presence.sum());
    }

    /// One who was there so is so no more.
    pub fn take(&mut self, presence: &Presence) {
        self.online -= u64::from(presence.online);
        self.away -= u64::from(presence.online && presence.away);
        self.sum = self.sum.wrapping_sub(presence.sum());
    }

    /// The digest of these.
    pub fn of<'a>(present: impl IntoIterator<Item = &'a Presence>) -> Self {
        present.into_iter().fold(Self::default(), |mut digest, presence| {
            digest.add(presence);
            digest
        })
    }
}

/// Whose presence a connection is told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PresenceSubscription {
    #[default]
    None,
    /// Users who share a direct channel with this one: a channel that is named by its members.
    Friends,
    /// These, at most 500, and friends.
    FriendsAnd(Vec<UserId>),
    /// Users of these roles.
    Roles(Vec<Role>),
    All,
}
