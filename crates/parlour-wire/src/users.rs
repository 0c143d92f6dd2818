//! Users, on the wire.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::open::open_enum;
use crate::{Timestamp, UserId};

/// The merged user's own fields (`name`, `image`, `status`, `invisible`, `privacy_settings` and custom
/// ones), as compact UTF-8 JSON, are smaller than this many bytes.
pub const USER_BYTES_LIMIT: usize = 5_120;
/// At most this many users in one batch.
pub const USERS_PER_BATCH_MAX: usize = 100;

/// Fields of a user that only the server sets. Given in a user object they are ignored on every path, so
/// that an app can send back the object that it got.
pub const USER_READ_ONLY_FIELDS: &[&str] = &[
    "created_at",
    "updated_at",
    "deactivated_at",
    "deleted_at",
    "last_active",
    "online",
    "banned",
    "shadow_banned",
    "devices",
    "mutes",
    "channel_mutes",
    "total_unread_count",
    "unread_channels",
    "unread_count",
    "unread_threads",
];

open_enum! {
    /// What a user may do. Only a server token changes it.
    pub enum Role {
        User = "user",
        Admin = "admin",
        Moderator = "moderator",
        Guest = "guest",
        Anonymous = "anonymous",
    }
}

/// A user as others see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct User {
    pub id: UserId,
    pub role: Role,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub teams: Vec<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// When the user was last seen active; absent until the first connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_active: Option<Timestamp>,
    /// Whether any connection of the user is up that is not invisible.
    #[serde(default)]
    pub online: bool,
    /// The user's own fields: `name`, `image`, and whatever the app puts there.
    #[serde(flatten)]
    pub custom: BTreeMap<String, Value>,
}

impl User {
    /// The name to show: `name`, or the id where there is none.
    pub fn display_name(&self) -> &str {
        self.custom.get("name").and_then(Value::as_str).unwrap_or(self.id.as_str())
    }
}

/// The few fields of a user that stand in messages, typing signals and member lists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct UserBrief {
    pub id: UserId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

/// The connected user's own view of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Me {
    /// Unread messages over all channels.
    pub total_unread_count: u64,
    /// Channels with at least one unread message.
    pub unread_channels: u64,
    /// Users whom this one muted.
    #[serde(default)]
    pub mutes: Vec<UserId>,
    /// Devices registered for push.
    #[serde(default)]
    pub devices: Vec<Value>,
    #[serde(flatten)]
    pub user: User,
}

/// A user object as an app gives it: an `id` and any fields. Which of them count, and how they combine
/// with what is stored, depends on the path: connect merges, upsert replaces, partial update sets and unsets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct UserInput {
    pub id: UserId,
    #[serde(flatten)]
    pub fields: BTreeMap<String, Value>,
}

impl UserInput {
    /// A user object with nothing but its id.
    pub fn new(id: UserId) -> Self {
        Self { id, fields: BTreeMap::new() }
    }

    /// The same, with a field more.
    #[must_use]
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(field.to_owned(), value.into());
        self
    }
}

/// Whether the user types and reads where others can see it. Absent means yes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PrivacySettings {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub typing_indicators: Option<Setting>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_receipts: Option<Setting>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery_receipts: Option<Setting>,
}

/// One thing that is on or off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Setting {
    pub enabled: bool,
}

/// `POST /v1/users`: makes or replaces up to 100 users. Server token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct UpsertUsers {
    pub users: Vec<UserInput>,
}

/// The users that a call made, changed or found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct UsersResponse {
    pub users: Vec<User>,
}

/// `PATCH /v1/users/{id}` and `PATCH /v1/channels/{type}/{id}`: sets some fields, removes others, leaves the rest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PartialUpdate {
    #[serde(default)]
    pub set: BTreeMap<String, Value>,
    #[serde(default)]
    pub unset: Vec<String>,
}

/// One user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct UserResponse {
    pub user: User,
}

/// `GET /v1/me`: validates the token; makes and counts nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct MeResponse {
    /// Absent while the user has never connected nor been made.
    pub me: Option<Me>,
}
