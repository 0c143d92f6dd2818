//! Every random choice of a client: jitter and ids. With a seed, the same choices again.

use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use parlour_wire::MessageId;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;

/// Where the time in seeded ids begins: 2026-01-01T00:00:00Z in milliseconds. A wall clock would make two
/// runs of one seed differ.
const SEEDED_START_MS: u64 = 1_767_225_600_000;

pub(crate) struct Dice {
    rng: Mutex<StdRng>,
    start: Instant,
    start_ms: u64,
}

impl Dice {
    pub(crate) fn new(seed: Option<u64>) -> Self {
        let (rng, start_ms) = match seed {
            Some(seed) => (StdRng::seed_from_u64(seed), SEEDED_START_MS),
            None => (StdRng::from_rng(&mut rand::rng()), unix_ms()),
        };
        Self { rng: Mutex::new(rng), start: Instant::now(), start_ms }
    }

    /// Uniform from 0 to 1.
    pub(crate) fn unit(&self) -> f64 {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner).random()
    }

    /// A UUID of version 7: sortable by time, so that databases keep fresh ids together.
    pub(crate) fn uuid(&self) -> String {
        let random: [u8; 10] = self.rng.lock().unwrap_or_else(PoisonError::into_inner).random();
        let elapsed_ms = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let ms = self.start_ms.saturating_add(elapsed_ms);
        uuid::Builder::from_unix_timestamp_millis(ms, &random).into_uuid().to_string()
    }

    pub(crate) fn message_id(&self) -> MessageId {
        MessageId::parse(&self.uuid()).expect("a UUID is 36 of 0-9, a-f and -")
    }
}

/// Milliseconds since 1970 by the machine's clock; 0 where it stands before that.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_same_seed_makes_the_same_choices_and_another_seed_others() {
        let draw = |seed| {
            let dice = Dice::new(Some(seed));
            (dice.unit(), dice.uuid(), dice.message_id())
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }
}
