//! How many connections are let in per second: after a crash everybody comes back at once, and who is told when to
//! come is served sooner than who waits in a crowd.

use std::sync::{Mutex, PoisonError};

use parlour_proto::Millis;

/// Who is turned away is told to come after at least this long, in microseconds.
const RETURN_MIN_US: u64 = 1_000_000;

/// A bucket of places that fills at a steady rate, and a row of turns for those who find it empty.
pub(crate) struct Pace {
    /// Between two places, in microseconds.
    interval_us: u64,
    /// Places at once, as the time in which they fill.
    burst_us: u64,
    row: Mutex<Row>,
}

#[derive(Default)]
struct Row {
    /// When the bucket is full again.
    full_at_us: u64,
    /// The last turn that was given.
    last_turn_us: u64,
}

impl Pace {
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        let interval_us = (1_000_000 / u64::from(per_second.max(1))).max(1);
        Self { interval_us, burst_us: interval_us * u64::from(burst), row: Mutex::default() }
    }

    /// Takes a place.
    ///
    /// # Errors
    /// There is none: the milliseconds until a turn of one's own. Turns follow each other at the rate of the places.
    pub(crate) fn take(&self, now: Millis) -> Result<(), u32> {
        let now_us = now.saturating_mul(1_000);
        let mut row = self.row.lock().unwrap_or_else(PoisonError::into_inner);
        let full_at_us = row.full_at_us.max(now_us) + self.interval_us;
        if full_at_us - now_us <= self.burst_us {
            row.full_at_us = full_at_us;
            return Ok(());
        }
        row.last_turn_us = row.last_turn_us.max(now_us + RETURN_MIN_US) + self.interval_us;
        // Upwards: at its turn the place is there.
        Err(u32::try_from((row.last_turn_us - now_us).div_ceil(1_000)).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Everybody comes at the times given, and again when told; who was let in when.
    fn returns(pace: &Pace, coming: impl IntoIterator<Item = Millis>) -> Vec<Millis> {
        let mut waiting: BTreeMap<Millis, u32> = BTreeMap::new();
        for at in coming {
            *waiting.entry(at).or_default() += 1;
        }
        let mut let_in = Vec::new();
        while let Some((now, count)) = waiting.pop_first() {
            for _ in 0..count {
                match pace.take(now) {
                    Ok(()) => let_in.push(now),
                    Err(retry_after_ms) => *waiting.entry(now + u64::from(retry_after_ms)).or_default() += 1,
                }
            }
        }
        let_in
    }

    /// The most that were let in within any second.
    fn most_within_a_second(let_in: &[Millis]) -> usize {
        let within = |from: Millis| let_in.iter().filter(|at| (from..from + 1_000).contains(*at)).count();
        let_in.iter().step_by(50).map(|at| within(*at)).max().unwrap_or(0)
    }

    #[test]
    fn a_burst_is_let_in_and_those_after_it_are_told_later_and_later_times() {
        let pace = Pace::new(2_000, 4_000);
        let answers: Vec<_> = (0..10_000).map(|_| pace.take(0)).collect();
        assert!(answers[..4_000].iter().all(Result::is_ok));
        let told: Vec<u32> = answers[4_000..].iter().map(|answer| answer.unwrap_err()).collect();
        assert!(told.is_sorted() && told[0] >= 1_000, "{:?}", &told[..3]);
        for (place, told) in (1_u32..).zip(told) {
            assert_eq!(told, 1_000 + place.div_ceil(2), "two in each millisecond");
        }
    }

    #[test]
    fn twenty_thousand_who_come_at_once_are_all_let_in_at_their_first_turn_at_the_configured_rate() {
        let pace = Pace::new(2_000, 4_000);
        let let_in = returns(&pace, vec![0; 20_000]);
        assert_eq!(let_in.iter().filter(|at| **at == 0).count(), 4_000);
        let later: Vec<Millis> = let_in.into_iter().filter(|at| *at > 0).collect();
        assert_eq!(later.len(), 16_000);
        assert!(most_within_a_second(&later) <= 2_002, "{}", most_within_a_second(&later));
        assert_eq!(later.last(), Some(&9_000), "nobody was turned away twice");
    }

    #[test]
    fn who_comes_while_others_return_finds_a_place_too_and_the_rate_holds() {
        let pace = Pace::new(100, 200);
        // A crash, and for ten seconds beside those who return as many again as the rate allows.
        let newcomers = (1..1_000).map(|n| n * 10);
        let let_in = returns(&pace, std::iter::repeat_n(0, 1_000).chain(newcomers));
        assert_eq!(let_in.len(), 1_999);
        let later: Vec<Millis> = let_in.into_iter().filter(|at| *at >= 3_000).collect();
        // What the bucket had gathered while nobody came is at most its size.
        assert!(most_within_a_second(&later) <= 301, "{}", most_within_a_second(&later));
        assert!(*later.last().unwrap() <= 60_000, "{:?}", later.last());
    }

    #[test]
    fn who_comes_at_the_rate_is_never_turned_away() {
        let pace = Pace::new(100, 1);
        assert!((0..1_000).all(|n| pace.take(n * 10).is_ok()));
    }
}
