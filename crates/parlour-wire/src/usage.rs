//! What an app used, on the wire.

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::open::open_enum;

/// What "monthly active users" counts.
pub const MAU_DEFINITION: &str = "User ids that opened at least one connection, over any transport, in the UTC calendar month. Each counts once; users that were only made or changed over HTTP do not count, nor does who is anonymous.";
/// What "concurrent connections" counts.
pub const CONCURRENT_DEFINITION: &str = "Connections that are open: from the transaction that lets one in, which its `ready` follows, until it ends. Counted at every change, never sampled; every device and tab with a connection of its own is one, a poller for as long as its lease lasts. One that names its predecessor takes its place and is not counted beside it; one that is refused is never counted.";
/// What a peak is.
pub const PEAK_DEFINITION: &str = "The most connections that were open at one moment of the minute, hour, day or month (UTC). What was open when it began belongs to it, so that a quiet minute has the value that was carried into it. Its causes are those of the moment at which it was first reached.";
/// When a connection is a user's first device.
pub const FIRST_DEVICE_DEFINITION: &str =
    "The oldest open connection of a user: as many as there are users connected.";
/// When a connection is a further device.
pub const FURTHER_DEVICE_DEFINITION: &str = "The user has older connections, and none of them is of the same device. Devices are told apart by name (`device` in `hello`), platform and SDK; those without a name by platform, SDK and network address.";
/// When a connection is an extra tab.
pub const EXTRA_TAB_DEFINITION: &str = "The user has an older connection of the same device, from another page or process: a tab that does not share the connection of the others.";
/// When a connection is suspected to be leaked.
pub const LEAK_SUSPECT_DEFINITION: &str = "The user has an older connection of the same device and the same page or process: one of the two is probably not needed, such as that of a client made anew with each render.";
/// When a connection overlaps with the one that it replaces.
pub const RECONNECT_OVERLAP_DEFINITION: &str = "The client (the same instance on the same page) says that it comes back, and its older connection is still open: the network lost it, and the server does not know yet.";
/// What tab sharing saved.
pub const TABS_SAVED_DEFINITION: &str = "Tabs that listened by another tab's connection instead of one of their own, as their clients say: the connections that there would have been besides.";
/// What a crash loses.
pub const RECORDED_DEFINITION: &str = "An opening is recorded by the transaction that lets the connection in, a closing within one second, and once a minute that all is as before. After a crash the connections of that process ended at the last moment that it recorded. One node counts by itself; the logs of several nodes are merged by time.";

open_enum! {
    /// The length of the periods that figures are told for.
    pub enum Granularity {
        Minute = "minute",
        Hour = "hour",
        Day = "day",
        Month = "month",
    }
}

/// Why a connection is there beside the user's others. Decided anew when one of those ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    FirstDevice,
    FurtherDevice,
    ExtraTab,
    LeakSuspect,
    ReconnectOverlap,
}

/// Connections by the causes that they are there for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ByCause {
    pub first_device: u64,
    pub further_device: u64,
    pub extra_tab: u64,
    pub leak_suspect: u64,
    pub reconnect_overlap: u64,
}

impl ByCause {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.as_array().iter().sum()
    }

    /// In the order of [`Cause`].
    pub fn as_array(&self) -> [u64; 5] {
        [self.first_device, self.further_device, self.extra_tab, self.leak_suspect, self.reconnect_overlap]
    }

    /// From the order of [`Cause`].
    pub fn from_array(counts: [u64; 5]) -> Self {
        let [first_device, further_device, extra_tab, leak_suspect, reconnect_overlap] = counts;
        Self { first_device, further_device, extra_tab, leak_suspect, reconnect_overlap }
    }

    /// Those of one cause.
    pub fn of(&mut self, cause: Cause) -> &mut u64 {
        match cause {
            Cause::FirstDevice => &mut self.first_device,
            Cause::FurtherDevice => &mut self.further_device,
            Cause::ExtraTab => &mut self.extra_tab,
            Cause::LeakSuspect => &mut self.leak_suspect,
            Cause::ReconnectOverlap => &mut self.reconnect_overlap,
        }
    }
}

/// `GET /v1/usage`: the figures of one app, with their definitions. Server token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct UsageResponse {
    /// The month asked for, or else the present one: `2026-11`.
    pub month: String,
    /// Of that month.
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
    pub current_by_cause: ByCause,
    /// Tabs that share the connection of another one now.
    pub tabs_saved: u64,
    /// Of the minute that it is.
    pub peak_minute: u64,
    /// Of the hour that it is.
    pub peak_hour: u64,
    /// Of the day that it is.
    pub peak_day: u64,
    /// Of the month that it is.
    pub peak_month: u64,
    /// The periods asked for, oldest first. The last one may not be over.
    pub series: UsageSeries,
}

/// Periods of one length.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct UsageSeries {
    pub granularity: Granularity,
    /// Where the first period begins.
    pub from: Timestamp,
    /// Where the last one ends.
    pub to: Timestamp,
    /// The highest peak of all.
    pub peak: u64,
    pub points: Vec<UsagePoint>,
}

/// What was counted in one period.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct UsagePoint {
    pub start: Timestamp,
    /// The most connections at one moment.
    pub peak: u64,
    /// What they were there for, at that moment.
    pub peak_by_cause: ByCause,
    /// Connections that opened.
    pub opened: ByCause,
    /// Connections that ended.
    pub closed: u64,
    /// The most tabs that went without a connection of their own at one moment.
    pub tabs_saved: u64,
    /// With months alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monthly_active_users: Option<u64>,
}

/// The words that the figures are to be read by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Definitions {
    pub monthly_active_users: String,
    pub concurrent_connections: String,
    pub peak: String,
    pub first_device: String,
    pub further_device: String,
    pub extra_tab: String,
    pub leak_suspect: String,
    pub reconnect_overlap: String,
    pub tabs_saved: String,
    pub recorded: String,
}

impl Default for Definitions {
    /// Those in force.
    fn default() -> Self {
        Self {
            monthly_active_users: MAU_DEFINITION.to_owned(),
            concurrent_connections: CONCURRENT_DEFINITION.to_owned(),
            peak: PEAK_DEFINITION.to_owned(),
            first_device: FIRST_DEVICE_DEFINITION.to_owned(),
            further_device: FURTHER_DEVICE_DEFINITION.to_owned(),
            extra_tab: EXTRA_TAB_DEFINITION.to_owned(),
            leak_suspect: LEAK_SUSPECT_DEFINITION.to_owned(),
            reconnect_overlap: RECONNECT_OVERLAP_DEFINITION.to_owned(),
            tabs_saved: TABS_SAVED_DEFINITION.to_owned(),
            recorded: RECORDED_DEFINITION.to_owned(),
        }
    }
}

/// Which figures, as the query of `GET /v1/usage` says it. Without anything: the last sixty minutes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::IntoParams))]
#[serde(deny_unknown_fields)]
pub struct UsageQuery {
    /// The whole of a month (UTC), such as `2026-11`: its active users, and its days where no `granularity` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub month: Option<String>,
    /// The length of the periods: `minute` (kept for 90 days), `hour`, `day` or `month`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", param(inline))]
    pub granularity: Option<Granularity>,
    /// As many of the latest periods: 1 to 1,500. Default 60 minutes, 24 hours, 31 days, 12 months.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<u32>,
    /// Instead of `last`: from the period that holds this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", param(value_type = Option<String>, format = DateTime))]
    pub from: Option<Timestamp>,
    /// Up to this time, exclusive. Default: now, which is also the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", param(value_type = Option<String>, format = DateTime))]
    pub to: Option<Timestamp>,
}
