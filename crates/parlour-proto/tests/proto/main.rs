//! Both machines, told as stories, as data, face to face, and under any order of inputs.

#![expect(clippy::unwrap_used, reason = "a broken fixture is a failed test")]

mod connection;
mod kit;
mod pair;
mod properties;
mod session;
mod transcripts;
