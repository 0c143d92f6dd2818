//! Events: what stands in a topic's log with a seq, and signals, which have none.

use serde::{Deserialize, Serialize};

use crate::channels::Channel;
use crate::members::Member;
use crate::messages::Message;
use crate::moderation::Mute;
use crate::presence::{Presence, PresenceCounts, PresenceDigest};
use crate::users::{User, UserBrief};
use crate::{Cid, MessageId, Seq, Timestamp};

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
    /// A member's role in the channel changed.
    #[serde(rename = "member.updated")]
    MemberUpdated { cid: Cid, created_at: Timestamp, member: Member },
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
    /// The user is banned from a channel, or (without one) from the app: then its connections are closed (4003).
    /// Nothing is told of a shadow ban.
    #[serde(rename = "user.banned")]
    UserBanned {
        created_at: Timestamp,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cid: Option<Cid>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ends_at: Option<Timestamp>,
    },
    /// A ban was lifted before its time.
    #[serde(rename = "user.unbanned")]
    UserUnbanned {
        created_at: Timestamp,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cid: Option<Cid>,
    },
    /// The user mutes these from now on, and nobody else.
    #[serde(rename = "notification.mutes_updated")]
    MutesUpdated { created_at: Timestamp, mutes: Vec<Mute> },
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

    // In `user:` and `app:` topics.
    /// What was issued before this time, to the user or to all users of the app, is no longer good; absent: a
    /// revocation was taken back. A connection that came with such a token is closed (4002).
    #[serde(rename = "tokens.revoked")]
    TokensRevoked {
        created_at: Timestamp,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        issued_before: Option<Timestamp>,
    },

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
            Self::MemberUpdated { .. } => "member.updated",
            Self::MemberRemoved { .. } => "member.removed",
            Self::AddedToChannel { .. } => "notification.added_to_channel",
            Self::RemovedFromChannel { .. } => "notification.removed_from_channel",
            Self::MarkRead { .. } => "notification.mark_read",
            Self::UserBanned { .. } => "user.banned",
            Self::UserUnbanned { .. } => "user.unbanned",
            Self::MutesUpdated { .. } => "notification.mutes_updated",
            Self::UserUpdated { .. } => "user.updated",
            Self::UserDeactivated { .. } => "user.deactivated",
            Self::UserReactivated { .. } => "user.reactivated",
            Self::UserDeleted { .. } => "user.deleted",
            Self::UserRestored { .. } => "user.restored",
            Self::TokensRevoked { .. } => "tokens.revoked",
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
    /// Who of the subscription is there now, in place of everything that was told before. Comes where changes had to be
    /// left out or were asked for anew, and where more are there than are told of by name.
    #[serde(rename = "user.presence.snapshot")]
    PresenceSnapshot {
        users: Vec<Presence>,
        /// How many are there beside those. Absent: nobody; who is not named is not there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        others: Option<PresenceCounts>,
    },
    /// What everything that was told comes to. Comes every minute; a client that has come to something else says
    /// `presence` without a subscription, and is told a snapshot.
    #[serde(rename = "user.presence.digest")]
    PresenceDigest(PresenceDigest),
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
