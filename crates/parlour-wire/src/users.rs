//! Users, on the wire.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::channels::SortBy;
use crate::devices::Device;
use crate::open::open_enum;
use crate::tasks::{ChannelsOfDeleted, MessagesOfDeleted};
use crate::{Team, Timestamp, UserId};

/// The merged user's own fields (`name`, `image`, `status`, `invisible`, `privacy_settings` and custom
/// ones), as compact UTF-8 JSON, are smaller than this many bytes.
pub const USER_BYTES_LIMIT: usize = 5_120;
/// At most this many users in one batch.
pub const USERS_PER_BATCH_MAX: usize = 100;
/// At most this many users in one page.
pub const USERS_PER_PAGE_MAX: u32 = 100;
/// At most this many teams of one user.
pub const TEAMS_PER_USER_MAX: usize = 100;

/// Fields of a user that only the server sets. Given in a user object they are ignored on every path, so
/// that an app can send back the object that it got.
pub const USER_READ_ONLY_FIELDS: &[&str] = &[
    "created_at",
    "updated_at",
    "deactivated_at",
    "deleted_at",
    "last_active",
    "online",
    "away",
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
    /// Of `me` alone it may be that of somebody who is anonymous: `!` and more.
    #[serde(deserialize_with = "UserId::deserialize_own")]
    pub id: UserId,
    pub role: Role,
    /// The teams that the user sees into; without any it sees what has no team.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub teams: Vec<Team>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// When the user was last seen active; absent until the first connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_active: Option<Timestamp>,
    /// Since when the user may neither connect nor do anything; absent while it may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deactivated_at: Option<Timestamp>,
    /// When the user was deleted; absent while it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Timestamp>,
    /// Whether any connection of the user is up that is not invisible.
    #[serde(default)]
    pub online: bool,
    /// Online, and without any connection in the foreground for five minutes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub away: bool,
    /// The user's own fields: `name`, `image`, and whatever the app puts there.
    #[serde(flatten)]
    pub custom: BTreeMap<String, Value>,
}

impl User {
    /// A user that has only its id.
    pub fn new(id: UserId, now: Timestamp) -> Self {
        Self {
            id,
            role: Role::User,
            teams: Vec::new(),
            created_at: now,
            updated_at: now,
            last_active: None,
            deactivated_at: None,
            deleted_at: None,
            online: false,
            away: false,
            custom: BTreeMap::new(),
        }
    }

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
    pub devices: Vec<Device>,
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
    /// Reads what somebody says of herself, who may be anonymous.
    pub(crate) fn deserialize_own<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Self>, D::Error> {
        #[derive(Deserialize)]
        struct Own {
            #[serde(deserialize_with = "UserId::deserialize_own")]
            id: UserId,
            #[serde(flatten)]
            fields: BTreeMap<String, Value>,
        }
        let own = Option::<Own>::deserialize(deserializer)?;
        Ok(own.map(|Own { id, fields }| Self { id, fields }))
    }

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

/// `POST /v1/users/query`: the users that match, of those that the caller may see.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct QueryUsers {
    /// `{"field": value}` or `{"field": {"$op": value}}`, with `$and`, `$or`, `$nor`. Fields: `id`, `name`, `role`,
    /// `teams`, `created_at`, `updated_at`, `last_active`, and `custom.<name>`; for a server, and for who may ban from the
    /// app, also `banned` (openly, from the app, now); with a server token also `deactivated_at` and `deleted_at`. At most 5 levels, 50 clauses, 100 values in a list.
    #[serde(default)]
    pub filter: BTreeMap<String, Value>,
    /// By any of the fields but `teams`. Default: by `id`, ascending.
    #[serde(default)]
    pub sort: Vec<SortBy>,
    /// 1 to 100; default 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// The `next` of the page before, with the same filter and sort.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Whether to find deactivated and deleted users too. Server token.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub include_inactive: bool,
}

/// The users that a call made, changed or found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct UsersResponse {
    pub users: Vec<User>,
    /// Asks for the following page of a query; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
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

/// `DELETE /v1/users/{id}`: how a user is deleted, as parameters of the query.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct DeleteUser {
    /// Whether for good. Else the user can be restored.
    #[serde(default)]
    pub hard: bool,
    /// What becomes of its messages: `keep` (default), `soft`, or with `hard` also `hard`.
    #[serde(default)]
    #[cfg_attr(feature = "schema", param(value_type = Option<String>))]
    pub messages: MessagesOfDeleted,
    /// What becomes of its channels: `keep` (default), or with `hard` also `direct`.
    #[serde(default)]
    #[cfg_attr(feature = "schema", param(value_type = Option<String>))]
    pub channels: ChannelsOfDeleted,
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
