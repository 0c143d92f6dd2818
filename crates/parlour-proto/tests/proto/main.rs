//! Both machines, told as stories, as data, face to face, and under any order of inputs.

#![expect(clippy::unwrap_used, reason = "a broken fixture is a failed test")]
#![expect(clippy::print_stdout, reason = "the simulation says what it has seen")]

mod connection;
mod kit;
mod pair;
mod properties;
mod session;
mod transcripts;
