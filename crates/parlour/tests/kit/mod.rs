//! What the tests of durability share: the real binary in its own process, clients outside of it, a history
//! of what they saw, and checkers that judge it.

#![allow(dead_code, reason = "each test file is a crate of its own and takes what it needs of the kit")]

pub(crate) mod checkers;
pub(crate) mod forgetful_fs;
pub(crate) mod history;
pub(crate) mod load;
pub(crate) mod proxies;
pub(crate) mod server;
pub(crate) mod tracer;
pub(crate) mod watched_net;
