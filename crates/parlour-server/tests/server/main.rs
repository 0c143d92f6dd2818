//! The server over its real sockets: each story starts one in this process, on a free port, in memory.

#![expect(clippy::unwrap_used, reason = "a broken fixture is a failed test")]

mod kit;

mod anonymous;
mod authorisation;
mod channels;
mod connecting;
mod demo;
mod devices;
mod event_stream;
mod guests;
mod hostile_http;
mod hostile_json;
mod hostile_websocket;
mod http;
mod jwks;
mod keys;
mod limits;
mod lives;
mod long_poll;
mod members;
mod messages;
mod moderation;
mod no_event_after;
mod places;
mod presence;
mod presence_in_time;
mod privacy;
mod proxies;
mod reads;
mod resume;
mod revocation;
mod secrets;
mod simulated;
mod slow_readers;
mod still;
mod stopping;
mod store;
mod teams;
mod tokens;
mod typing;
mod unwelcome;
mod usage;
mod users;
mod users_query;
