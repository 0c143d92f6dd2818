//! What an app used, on the wire.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// What "monthly active users" counts.
pub const MAU_DEFINITION: &str = "User ids that opened at least one connection in the UTC calendar month. Each counts once; users that were only made or changed over HTTP do not count.";
/// What "concurrent connections" counts.
pub const CONCURRENT_DEFINITION: &str = "Connections that have been admitted and not yet closed, counted at every change. A peak is the highest value within its time; a minute without changes has the value carried into it.";

/// `GET /v1/usage`: the figures of one app, with their definitions. Server token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct UsageResponse {
    pub month: String,
    pub monthly_active_users: u64,
    pub concurrent_connections: ConcurrentConnections,
    pub definitions: Definitions,
}

/// Connections at the same time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ConcurrentConnections {
    /// Now.
    pub current: u64,
    pub peak_minute: u64,
    pub peak_hour: u64,
    pub peak_day: u64,
    pub peak_month: u64,
    /// The minutes asked for, oldest first.
    pub minutes: Vec<MinutePeak>,
}

/// The highest number of connections within one minute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct MinutePeak {
    pub minute: Timestamp,
    pub peak: u64,
}

/// The words that the figures are to be read by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Definitions {
    pub monthly_active_users: String,
    pub concurrent_connections: String,
}
