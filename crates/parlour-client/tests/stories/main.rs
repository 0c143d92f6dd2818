//! What the client promises, told against a server in memory, in simulated time.

mod connecting;
mod kit;
mod listening;
mod sending;
