//! Bans, mutes, blocks and flags, on the wire.

use serde::{Deserialize, Serialize};

use crate::messages::Message;
use crate::users::UserBrief;
use crate::{Cid, MessageId, Timestamp, UserId};

/// Characters of the reason of a ban or a flag.
pub const REASON_CHARS_MAX: usize = 500;
/// The longest time of a ban or a mute that ends by itself: ten years.
pub const DURATION_S_MAX: u64 = 315_360_000;
/// Bans, or flags, in one page.
pub const MODERATION_PER_PAGE_MAX: u32 = 100;
/// Users whom one user mutes, or blocks.
pub const RELATIONS_MAX: usize = 1_000;

/// `POST /v1/users/{user_id}/ban`: keeps a user out of the app, or from saying anything in a channel. A ban that is
/// there is replaced.
///
/// ```
/// use parlour_wire::moderation::BanUser;
/// let ban: BanUser = serde_json::from_str(r#"{"reason": "spam", "duration_s": 3600}"#).unwrap();
/// assert!(ban.cid.is_none() && !ban.shadow);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BanUser {
    /// The channel; absent: the whole app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cid: Option<Cid>,
    /// At most 500 characters. The user is told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Seconds after which it ends by itself, at most ten years; absent: it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_s: Option<u64>,
    /// The user notices nothing: what it sends is seen by itself and by servers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shadow: bool,
}

/// Somebody is banned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Ban {
    pub user: UserBrief,
    /// From this channel; absent: from the app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cid: Option<Cid>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shadow: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Absent where a server did that named no user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub banned_by: Option<UserBrief>,
    pub created_at: Timestamp,
    /// When it ends by itself; absent: it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
}

/// The ban that a call made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct BanResponse {
    pub ban: Ban,
}

/// `GET /v1/bans`: those in force, the latest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct BansResponse {
    pub bans: Vec<Ban>,
    /// Asks for the following page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// `POST /v1/mutes`: the caller does not want to be bothered by somebody.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct MuteUser {
    pub user_id: UserId,
    /// Seconds after which it ends by itself, at most ten years; absent: it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_s: Option<u64>,
}

/// Somebody whom the caller muted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Mute {
    pub user: UserBrief,
    pub created_at: Timestamp,
    /// When it ends by itself; absent: it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
}

/// Whom the caller mutes, the latest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct MutesResponse {
    pub mutes: Vec<Mute>,
}

/// `POST /v1/blocks`: the caller wants nothing to do with somebody.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BlockUser {
    pub user_id: UserId,
}

/// Somebody whom the caller blocked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Block {
    pub user: UserBrief,
    pub created_at: Timestamp,
}

/// Whom the caller blocks, the latest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct BlocksResponse {
    pub blocks: Vec<Block>,
}

/// `POST /v1/flags`: the caller tells the moderators of a user, or of a message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct FlagContent {
    /// The user, where it is no message that is flagged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// The channel of the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cid: Option<Cid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<MessageId>,
    /// At most 500 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Somebody flagged a user or a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Flag {
    /// Who flagged.
    pub reporter: UserBrief,
    /// The user, or who sent the message.
    pub user: UserBrief,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cid: Option<Cid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<MessageId>,
    /// As it is now; absent where it is gone, and in the answer to who flags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Message>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub created_at: Timestamp,
}

/// The flag that a call raised, or had raised before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct FlagResponse {
    pub flag: Flag,
}

/// `GET /v1/flags`: the latest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct FlagsResponse {
    pub flags: Vec<Flag>,
    /// Asks for the following page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
