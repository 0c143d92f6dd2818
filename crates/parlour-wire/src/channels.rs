//! Channels, on the wire.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::members::Member;
use crate::messages::Message;
use crate::reads::{Read, Unread};
use crate::users::UserBrief;
use crate::{ChannelId, ChannelType, Cid, Seq, Team, Timestamp, UserId};

/// A channel's custom data, as compact UTF-8 JSON, is at most this many bytes.
pub const CHANNEL_BYTES_MAX: usize = 5_120;
/// At most this many members are added or removed in one call.
pub const MEMBERS_PER_BATCH_MAX: usize = 100;
/// At most this many channels in one page.
pub const CHANNELS_PER_PAGE_MAX: u32 = 30;

/// Fields of a channel that only the server sets; given in `data` they are refused.
pub const CHANNEL_RESERVED_FIELDS: &[&str] = &[
    "cid",
    "id",
    "type",
    "team",
    "created_by",
    "created_at",
    "updated_at",
    "deleted_at",
    "last_message_at",
    "member_count",
    "members",
    "messages",
    "head",
    "frozen",
    "disabled",
    "hidden",
    "muted",
    "own_capabilities",
    "config",
    "truncated_at",
];

/// A channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Channel {
    pub cid: Cid,
    #[serde(rename = "type")]
    pub channel_type: ChannelType,
    pub id: ChannelId,
    /// The team that the channel belongs to: nobody outside it sees the channel or is its member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<Team>,
    /// Who made it; absent when a server did without naming a user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<UserBrief>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_message_at: Option<Timestamp>,
    /// Exact, also beyond a hundred.
    pub member_count: u64,
    /// `name`, `image`, and whatever the app puts there.
    #[serde(flatten)]
    pub custom: BTreeMap<String, Value>,
}

impl Channel {
    /// A channel that has only its name.
    pub fn new(cid: Cid, now: Timestamp) -> Self {
        Self {
            channel_type: cid.channel_type.clone(),
            id: cid.id.clone(),
            cid,
            team: None,
            created_by: None,
            created_at: now,
            updated_at: now,
            last_message_at: None,
            member_count: 0,
            custom: BTreeMap::new(),
        }
    }
}

/// A channel with what one needs to show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ChannelState {
    pub channel: Channel,
    /// The seq of the channel's last event: what is below it is in this state, what is above comes live.
    pub head: Seq,
    /// The first hundred members, by the time they joined.
    pub members: Vec<Member>,
    /// The latest messages, oldest first.
    pub messages: Vec<Message>,
    /// How far the members have read, as far as they let others see it.
    pub reads: Vec<Read>,
    /// How many users hear at this moment of what happens in the channel, on the node that answers: its members who are
    /// connected and whoever watches it, but for those who wish to be seen by nobody.
    #[serde(default)]
    pub watchers: u64,
    /// The caller's own membership; absent when it is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub membership: Option<Member>,
    /// The caller's own unread state; absent when it is no member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<Unread>,
}

/// `POST /v1/channels/{type}/{id}` and `POST /v1/channels/{type}`: makes the channel, or gives the one that is there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct GetOrCreateChannel {
    /// Members beside the caller, at most 100. Without an id in the path they name the channel: the same
    /// members in any order are the same channel.
    #[serde(default)]
    pub members: Vec<UserId>,
    /// The team of a channel that is made; left alone where the channel is there. A user names one of her own, and
    /// need not where she has only one or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<Team>,
    /// Custom data of a channel that is made; left alone where the channel is there.
    #[serde(default)]
    pub data: BTreeMap<String, Value>,
    /// How many of the latest messages to give: 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<u32>,
}

/// One channel with its state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ChannelResponse {
    #[serde(flatten)]
    pub state: ChannelState,
    /// Whether this call made the channel.
    #[serde(default)]
    pub created: bool,
}

/// `POST /v1/channels`: the channels that match, of those that the caller may see.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct QueryChannels {
    /// `{"field": value}` or `{"field": {"$op": value}}`, with `$and`, `$or`, `$nor`. Fields: `cid`, `id`,
    /// `type`, `team`, `members`, `member_count`, `created_at`, `updated_at`, `last_message_at`, `created_by`,
    /// `name`, and `custom.<name>`. At most 5 levels, 50 clauses, 100 values in a list.
    #[serde(default)]
    pub filter: BTreeMap<String, Value>,
    /// Default: the latest activity first.
    #[serde(default)]
    pub sort: Vec<SortBy>,
    /// 1 to 30; default 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// The `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// How many of the latest messages to give with each: 0 to 100; default 25.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<u32>,
}

/// One key of an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SortBy {
    /// Of channels `last_message_at`, `updated_at`, `created_at`, `member_count` or `cid`; of users see there.
    pub field: String,
    /// 1 ascending, -1 descending (default).
    #[serde(default = "descending")]
    pub direction: i8,
}

fn descending() -> i8 {
    -1
}

/// A page of channels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ChannelsResponse {
    pub channels: Vec<ChannelState>,
    /// Asks for the following page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
