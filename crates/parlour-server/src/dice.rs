//! Randomness, as an argument: the simulator rolls from a seed.

use std::sync::{Mutex, PoisonError};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Where ids, jitter and phases come from.
pub struct Dice(Mutex<StdRng>);

impl Dice {
    /// From the system's entropy.
    pub fn system() -> Self {
        Self(Mutex::new(rand::make_rng()))
    }

    /// The same rolls for the same seed.
    pub fn seeded(seed: u64) -> Self {
        Self(Mutex::new(StdRng::seed_from_u64(seed)))
    }

    /// A number from 0 to 1.
    pub fn fraction(&self) -> f64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).random()
    }

    /// 128 random bits in hexadecimal.
    pub fn hex(&self) -> String {
        let bits: u128 = self.0.lock().unwrap_or_else(PoisonError::into_inner).random();
        format!("{bits:032x}")
    }
}
