//! Messages, on the wire.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::open::open_enum;
use crate::users::UserBrief;
use crate::{Cid, MessageId, Seq, Timestamp, UserId};

/// Characters of text in a message, where the channel type says nothing else.
pub const TEXT_CHARS_MAX: usize = 5_000;
/// Bytes of a message's custom data, as compact UTF-8 JSON.
pub const MESSAGE_CUSTOM_BYTES_MAX: usize = 5_120;
/// Attachments of one message.
pub const ATTACHMENTS_MAX: usize = 30;
/// Users that one message mentions by name.
pub const MENTIONS_MAX: usize = 25;
/// Messages in one page.
pub const MESSAGES_PER_PAGE_MAX: u32 = 100;

/// Fields of a message that only the server sets; given in a draft they are refused.
pub const MESSAGE_RESERVED_FIELDS: &[&str] = &[
    "cid",
    "seq",
    "type",
    "user",
    "user_id",
    "created_at",
    "updated_at",
    "edited_at",
    "deleted_at",
    "pinned",
    "pinned_by",
    "pinned_at",
    "reply_count",
    "latest_reactions",
    "own_reactions",
    "reaction_counts",
    "html",
    "i18n",
    "command",
    "shadowed",
    "member",
    "channel",
    "mentioned_channel",
    "parent_id",
    "thread_participants",
    "quoted_message",
];

open_enum! {
    /// What a message is.
    pub enum MessageType {
        Regular = "regular",
        System = "system",
        /// Its text is gone; its place is kept.
        Deleted = "deleted",
    }
}

/// A message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Message {
    pub id: MessageId,
    pub cid: Cid,
    /// The seq of the event that brought it: the message's place in the channel.
    pub seq: Seq,
    #[serde(rename = "type")]
    pub message_type: MessageType,
    pub text: String,
    pub user: UserBrief,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// When the text was last edited by a user; absent if never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mentioned_users: Vec<UserId>,
    /// A silent message raises no unread count.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub silent: bool,
    /// Nobody sees it but its sender, who was shadow-banned when it was sent. Servers are told, nobody else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shadowed: bool,
    #[serde(flatten)]
    pub custom: BTreeMap<String, Value>,
}

/// A message as its sender writes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct MessageDraft {
    /// Made by the client, so that sending twice is sending once; the server makes one where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<MessageId>,
    #[serde(default)]
    pub text: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mentioned_users: Vec<UserId>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub silent: bool,
    #[serde(flatten)]
    pub custom: BTreeMap<String, Value>,
}

impl MessageDraft {
    /// A message of nothing but text.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }
}

/// `POST …/messages`: 201 with the new message, or 200 with the first result where the id was sent before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SendMessage {
    pub message: MessageDraft,
}

/// `PATCH …/messages/{id}`: what changes; absent fields stay.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct EditMessage {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachments: Option<Vec<Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mentioned_users: Option<Vec<UserId>>,
    #[serde(default)]
    pub set: BTreeMap<String, Value>,
    #[serde(default)]
    pub unset: Vec<String>,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct MessageResponse {
    pub message: Message,
}

/// A page of messages, oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct MessagesResponse {
    pub messages: Vec<Message>,
    /// Whether there are older messages than these.
    pub has_more_before: bool,
    /// Whether there are newer messages than these.
    pub has_more_after: bool,
}
