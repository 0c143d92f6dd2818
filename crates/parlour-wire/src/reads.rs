//! Read state and unread counts, on the wire.

use serde::{Deserialize, Serialize};

use crate::{Cid, MessageId, Seq, Timestamp, UserId};

/// How far a member has read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Read {
    pub user_id: UserId,
    /// Messages up to this seq are read; 0 is none.
    pub last_read_seq: Seq,
    pub last_read_at: Timestamp,
}

/// A user's own unread state of one channel.
///
/// The rule, the same in the server and in the SDKs: a message counts when its seq is above `last_read_seq`,
/// it is not one's own, not silent, not a system message and not deleted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Unread {
    pub cid: Cid,
    pub last_read_seq: Seq,
    /// Unread messages among those up to `head`.
    pub unread_messages: u64,
    /// The seq of the channel's last event when this was counted.
    pub head: Seq,
}

/// `POST …/read`: everything up to a message, or up to a seq, or (neither given) everything. The position
/// never moves back here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct MarkRead {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<MessageId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<Seq>,
}

/// `POST …/unread`: this message and all after it are unread again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct MarkUnread {
    pub message_id: MessageId,
}

/// The unread state of one channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct UnreadResponse {
    pub unread: Unread,
}

/// `GET /v1/unread`: totals, and every channel with unread messages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct UnreadTotals {
    pub total_unread_count: u64,
    pub unread_channels: u64,
    pub channels: Vec<Unread>,
}
