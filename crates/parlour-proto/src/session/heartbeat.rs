//! The server's pings: when the next is due, and whether the last was answered.

use crate::Millis;
use crate::backoff::share;

/// The shortest interval that a client may ask for, in milliseconds. Proxies that end what is idle for three
/// seconds exist, and a client behind one of them has nothing else to hold its line with.
const INTERVAL_MIN_MS: Millis = 1_000;

pub(super) struct Heartbeat {
    interval_ms: Millis,
    pong_wait_ms: Millis,
    beat: Beat,
}

enum Beat {
    /// When `ping_at` comes, a ping is sent.
    Resting { ping_at: Millis },
    /// When `until` comes without a pong, the link is dead. The next ping waits for this one's answer,
    /// because a pong does not say which ping it answers.
    Asked { sent_at: Millis, until: Millis },
}

pub(super) enum Due {
    Ping,
    Dead,
}

impl Heartbeat {
    /// `asked_ms` is the interval that the client asks for: it may be shorter than the server's, not longer.
    pub(super) fn new(
        now: Millis,
        asked_ms: Option<u32>,
        interval_ms: Millis,
        pong_wait_ms: Millis,
        phase: f64,
    ) -> Self {
        let interval_ms =
            asked_ms.map_or(interval_ms, |ms| Millis::from(ms).max(INTERVAL_MIN_MS).min(interval_ms));
        let beat = Beat::Resting { ping_at: now + share(phase, interval_ms) };
        Self { interval_ms, pong_wait_ms, beat }
    }

    pub(super) fn interval_ms(&self) -> Millis {
        self.interval_ms
    }

    pub(super) fn deadline(&self) -> Millis {
        match self.beat {
            Beat::Resting { ping_at } => ping_at,
            Beat::Asked { until, .. } => until,
        }
    }

    pub(super) fn pong(&mut self) {
        if let Beat::Asked { sent_at, .. } = self.beat {
            self.beat = Beat::Resting { ping_at: sent_at + self.interval_ms };
        }
    }

    /// The ping has not been read yet.
    pub(super) fn wait_anew(&mut self, now: Millis) {
        if let Beat::Asked { until, .. } = &mut self.beat {
            *until = now + self.pong_wait_ms;
        }
    }

    /// Somebody wants to know now. Answers whether a ping is to be sent: where one is unanswered, its answer will do.
    pub(super) fn ask(&mut self, now: Millis) -> bool {
        let resting = matches!(self.beat, Beat::Resting { .. });
        if resting {
            self.beat = Beat::Asked { sent_at: now, until: now + self.pong_wait_ms };
        }
        resting
    }

    /// What is due now. Where the server's own loop was `late`, the pong may be waiting to be read: the
    /// client gets the whole time again.
    pub(super) fn tick(&mut self, now: Millis, late: bool) -> Option<Due> {
        match &mut self.beat {
            Beat::Resting { ping_at } if *ping_at <= now => self.ask(now).then_some(Due::Ping),
            Beat::Asked { until, .. } if *until <= now && late => {
                *until = now + self.pong_wait_ms;
                None
            }
            Beat::Asked { until, .. } if *until <= now => Some(Due::Dead),
            Beat::Resting { .. } | Beat::Asked { .. } => None,
        }
    }
}
