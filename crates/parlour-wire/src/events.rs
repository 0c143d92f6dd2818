//! Events: what stands in a topic's log with a seq, and signals, which have none.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::channels::Channel;
use crate::members::Member;
use crate::messages::Message;
use crate::users::{User, UserBrief};
use crate::{Cid, MessageId, Seq, Timestamp, UserId};

/// Something that happened, durably. Rendered from the present state: an old `message.new` carries the text
/// as it is now, and a hard-deleted message comes as `message.deleted` in its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(tag = "type")]
pub enum Event {
    // In `channel:` topics.
    #[serde(rename = "message.new")]
    MessageNew { cid: Cid, created_at: Timestamp, message: Message },
    #[serde(rename = "message.updated")]
    MessageUpdated { cid: Cid, created_at: Timestamp, message: Message },
    /// The message as it now is: without text, `deleted_at` set. A hard-deleted one is named by its id alone.
    #[serde(rename = "message.deleted")]
    MessageDeleted {
        cid: Cid,
        created_at: Timestamp,
        message_id: MessageId,
        /// The message's own place in the channel; 0 where it is no longer known.
        message_seq: Seq,
        #[serde(default)]
        hard: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<Message>,
    },
    /// A member has read up to a seq, and lets others know.
    #[serde(rename = "message.read")]
    MessageRead { cid: Cid, created_at: Timestamp, user: UserBrief, last_read_seq: Seq },
    #[serde(rename = "channel.created")]
    ChannelCreated { cid: Cid, created_at: Timestamp, channel: Channel },
    #[serde(rename = "channel.updated")]
    ChannelUpdated { cid: Cid, created_at: Timestamp, channel: Channel },
    #[serde(rename = "channel.deleted")]
    ChannelDeleted { cid: Cid, created_at: Timestamp },
    #[serde(rename = "member.added")]
    MemberAdded { cid: Cid, created_at: Timestamp, member: Member },
    #[serde(rename = "member.removed")]
    MemberRemoved { cid: Cid, created_at: Timestamp, user: UserBrief },

    // In `user:` topics.
    /// The user is a member of a channel now; its connections listen to the channel from `seq` on.
    #[serde(rename = "notification.added_to_channel")]
    AddedToChannel { cid: Cid, created_at: Timestamp, channel: Channel, seq: Seq },
    #[serde(rename = "notification.removed_from_channel")]
    RemovedFromChannel { cid: Cid, created_at: Timestamp },
    /// The user's own read position moved, on some device: forward by reading, back by marking unread.
    #[serde(rename = "notification.mark_read")]
    MarkRead {
        cid: Cid,
        created_at: Timestamp,
        last_read_seq: Seq,
        /// Unread messages among those up to `head`, when this happened.
        unread_messages: u64,
        head: Seq,
    },
    /// The user's own fields changed.
    #[serde(rename = "user.updated")]
    UserUpdated { created_at: Timestamp, user: User },
    /// The user may neither connect nor do anything until it is reactivated.
    #[serde(rename = "user.deactivated")]
    UserDeactivated { created_at: Timestamp, user: User },
    #[serde(rename = "user.reactivated")]
    UserReactivated { created_at: Timestamp, user: User },
    /// The user is deleted; perhaps it comes back.
    #[serde(rename = "user.deleted")]
    UserDeleted { created_at: Timestamp, user: User },
    #[serde(rename = "user.restored")]
    UserRestored { created_at: Timestamp, user: User },

    /// Something stood here that this reader may not see, or that can no longer be read: it only keeps the
    /// place, so that nobody sees a hole.
    #[serde(rename = "placeholder")]
    Placeholder { created_at: Timestamp },
}

impl Event {
    /// The event's `type`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::MessageNew { .. } => "message.new",
            Self::MessageUpdated { .. } => "message.updated",
            Self::MessageDeleted { .. } => "message.deleted",
            Self::MessageRead { .. } => "message.read",
            Self::ChannelCreated { .. } => "channel.created",
            Self::ChannelUpdated { .. } => "channel.updated",
            Self::ChannelDeleted { .. } => "channel.deleted",
            Self::MemberAdded { .. } => "member.added",
            Self::MemberRemoved { .. } => "member.removed",
            Self::AddedToChannel { .. } => "notification.added_to_channel",
            Self::RemovedFromChannel { .. } => "notification.removed_from_channel",
            Self::MarkRead { .. } => "notification.mark_read",
            Self::UserUpdated { .. } => "user.updated",
            Self::UserDeactivated { .. } => "user.deactivated",
            Self::UserReactivated { .. } => "user.reactivated",
            Self::UserDeleted { .. } => "user.deleted",
            Self::UserRestored { .. } => "user.restored",
            Self::Placeholder { .. } => "placeholder",
        }
    }
}

/// Something that is true now and is not stored: whoever listens hears it, nobody hears it later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(tag = "type")]
pub enum Signal {
    /// A user types. The server ends it after 6 s; clients resend at most every 3 s, and end it themselves at 7 s.
    #[serde(rename = "typing.start")]
    TypingStart { cid: Cid, user: UserBrief },
    #[serde(rename = "typing.stop")]
    TypingStop { cid: Cid, user: UserBrief },
    /// Users came or went, or are away or back, collected over a moment.
    #[serde(rename = "user.presence.changed")]
    PresenceChanged { users: Vec<Presence> },
    /// Everybody of the subscription who is there now; all others are not. Comes every minute, and where changes
    /// had to be left out: so a lost change heals.
    #[serde(rename = "user.presence.snapshot")]
    PresenceSnapshot { users: Vec<Presence> },
}

/// Whether a user is there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Presence {
    pub user_id: UserId,
    pub online: bool,
    /// Online, and without any connection in the foreground for five minutes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub away: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_active: Option<Timestamp>,
    /// `status` text, and whatever a newer server adds.
    #[serde(flatten)]
    pub custom: BTreeMap<String, Value>,
}

/// A signal as a client sends it: who and where are known from the connection and the frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(tag = "type")]
pub enum ClientSignal {
    #[serde(rename = "typing.start")]
    TypingStart,
    #[serde(rename = "typing.stop")]
    TypingStop,
}
