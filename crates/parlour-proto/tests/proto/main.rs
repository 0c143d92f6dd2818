//! Both machines, told as stories, as data, face to face, and under any order of inputs.

mod connection;
mod kit;
mod pair;
mod properties;
mod session;
mod transcripts;
