//! Parlour's server.
//!
//! Data's way through it: a request comes in by [`http`], asks the door ([`access`]), a rule ([`chat`]) makes
//! one call to the store; the store tells every commit to the bus, the bus to the [`hub`], the hub to the
//! mailboxes of those who listen, and each connection's [`gateway`] to its client. A connection begins with
//! [`chat::connect_user`] and is then a `Session` of parlour-proto, driven by the gateway.

mod accept;
mod access;
mod app_file;
mod auth;
pub mod bus;
mod call_limits;
mod channel_types;
mod chat;
pub mod clock;
pub mod config;
mod connections;
pub mod dice;
mod error;
mod frame;
pub mod gateway;
#[cfg(test)]
mod hot_paths;
mod http;
mod hub;
mod limits;
mod mailbox;
mod meter;
mod node;
mod pace;
mod permissions;
mod presence;
mod profile;
mod proxies;
mod standings;
mod start;
mod tasks;
mod typing;
mod user_fields;
mod web;

use parlour_store::Retention;
use parlour_wire::Timestamp;
use parlour_wire::tasks::TASKS_KEPT_DAYS;

pub use accept::serve_stream;
pub use app_file::AppFile;
pub use clock::Clock;
pub use config::Config;
pub use dice::Dice;
pub use frame::Frame;
pub use http::{DEMO_USERS, openapi, router};
pub use node::{Node, Parts};
pub use start::{Running, StartError, served_by, start};

const DAY_MS: i64 = 86_400_000;
/// Ids of hard-deleted messages are kept this long: longer than any outbox keeps a message.
const TOMBSTONE_MS: i64 = 3 * DAY_MS;

/// What is kept, at this moment.
fn retention(config: &Config, now: Timestamp) -> Retention {
    let days = i64::from(config.storage.event_days);
    Retention {
        before: Timestamp::from_unix_ms(now.unix_ms() - days * DAY_MS),
        per_topic: config.storage.events_per_topic,
        tombstones_before: Timestamp::from_unix_ms(now.unix_ms() - TOMBSTONE_MS),
    }
}

/// Tasks that finished before this are forgotten.
fn tasks_kept_from(now: Timestamp) -> Timestamp {
    Timestamp::from_unix_ms(now.unix_ms() - TASKS_KEPT_DAYS * DAY_MS)
}
