//! What the client promises, told against a server in memory, in simulated time.

#![expect(clippy::unwrap_used, reason = "a broken fixture is a failed test")]

mod company;
mod connecting;
mod kit;
mod lifecycle;
mod limits;
mod listening;
mod moderation;
mod over_http;
mod proxy;
mod sending;
mod testing;
mod transports;
mod without_backend;
