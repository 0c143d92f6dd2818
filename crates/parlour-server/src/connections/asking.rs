//! Whether those are there who hold the places.
//!
//! Where a newcomer finds as many connections of its user as are allowed, those that have been silent are asked, all
//! together: a ping each. Who answers stays; who does not is dead and holds no place. Newcomers that come meanwhile
//! wait for the same answers.

use std::sync::Arc;

use parlour_proto::Millis;
use parlour_wire::frames::ReplacedBy;
use tokio::sync::watch;

use crate::clock::Clock;

/// Who has said something within this time is there and is not asked.
pub(super) const SILENT_MS: Millis = 1_000;
/// When the wait ends this much after its time, the server itself is late: the answers may be waiting to be read.
const LATE_MS: Millis = 250;
/// How often a server that is late waits anew.
const WAITS_MAX: u32 = 3;

/// One question to all of a user's silent connections.
#[derive(Debug)]
pub(crate) struct Asking {
    began_at: Millis,
    wait_ms: Millis,
    /// Each who is asked holds a receiver until it hears something.
    unanswered: watch::Sender<()>,
}

/// Held by whoever is asked, for as long as there is no answer.
pub(crate) type Unanswered = watch::Receiver<()>;

/// An asking under way.
pub(super) struct Round {
    pub(super) asking: Arc<Asking>,
    /// Those that wait for its end.
    pub(super) newcomers: Vec<ReplacedBy>,
}

/// How an asking ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Everybody had the time to answer.
    Fair,
    /// The server was late all the time: nobody is judged.
    Late,
}

impl Asking {
    pub(super) fn new(now: Millis, wait_ms: Millis) -> Self {
        Self { began_at: now, wait_ms, unanswered: watch::Sender::new(()) }
    }

    pub(super) fn question(&self) -> Unanswered {
        self.unanswered.subscribe()
    }

    /// Whether a connection that was last heard at this time was asked and has not answered.
    pub(super) fn is_unanswered(&self, heard_at: Millis) -> bool {
        is_silent(heard_at, self.began_at)
    }

    /// Waits until everybody has answered, or the time for it is over.
    pub(crate) async fn over(&self, clock: &Clock) -> Outcome {
        let mut until = self.began_at + self.wait_ms;
        for _ in 0..WAITS_MAX {
            let all = tokio::time::timeout_at(clock.instant(until), self.unanswered.closed()).await;
            let now = clock.millis();
            if all.is_ok() || now <= until + LATE_MS {
                return Outcome::Fair;
            }
            until = now + self.wait_ms;
        }
        Outcome::Late
    }
}

pub(super) fn is_silent(heard_at: Millis, now: Millis) -> bool {
    heard_at + SILENT_MS <= now
}
