//! What an app holds its users to, on the wire.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Calls per minute, at most, that a limit can name.
pub const CALLS_PER_MINUTE_MAX: u32 = 1_000_000;
/// Connections of a user, at most, that a limit can name.
pub const CONNECTIONS_PER_USER_MAX: u32 = 10_000;

/// What happens where a user has as many connections as allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum OnConnectionLimit {
    /// The stalest makes room for the newcomer.
    Evict,
    /// The newcomer is told why it is not let in (4009).
    Refuse,
}

/// An app's own limits. What is absent is as the server's configuration says it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AppLimits {
    /// 1 to 10,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections_per_user: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_connection_limit: Option<OnConnectionLimit>,
    /// Calls of a user to each endpoint from each platform. 0: not limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls_per_minute: Option<u32>,
    /// Calls of all users together to each endpoint. 0: not limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_calls_per_minute: Option<u32>,
    /// The first for single endpoints, such as `POST /v1/channels`, as they stand in `openapi.json`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub calls: BTreeMap<String, u32>,
    /// The second for single endpoints.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub app_calls: BTreeMap<String, u32>,
}

/// `GET`, `PUT /v1/app/limits`: an app's limits. Server token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AppLimitsResponse {
    /// What the app says.
    pub limits: AppLimits,
    /// What holds: of single endpoints those that differ.
    pub in_force: AppLimits,
}
