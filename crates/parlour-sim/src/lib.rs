//! A whole Parlour in one thread: the real server, the real store (in memory), the real SDK, under a clock
//! that jumps from event to event and a network that does its worst. Everything is chosen from one seed.
//!
//! What is simulated: time (tokio's paused clock), the links and HTTP calls ([`net`]), the bus between store
//! and hub ([`bus`]), and the death of the server between any two calls to its store ([`crash`]). What is
//! not: bytes on a disk (the kill and power tests do that with the real thing).

pub mod bus;
pub mod check;
pub mod crash;
pub mod net;
pub mod world;

pub use check::{History, Violation};
pub use world::{Faults, Report, run};

use std::sync::{Mutex, PoisonError};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Where every choice of a run comes from.
pub struct Dice(Mutex<StdRng>);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(StdRng::seed_from_u64(seed)))
    }

    fn with<T>(&self, roll: impl FnOnce(&mut StdRng) -> T) -> T {
        roll(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether something that happens with this probability happens.
    pub fn chance(&self, probability: f64) -> bool {
        self.with(|rng| rng.random_bool(probability))
    }

    /// A whole number of the range.
    pub fn pick(&self, range: std::ops::Range<u64>) -> u64 {
        self.with(|rng| rng.random_range(range))
    }
}
