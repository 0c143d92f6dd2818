//! The background lease: how long an app in the background stays connected without a word.

use crate::Millis;

/// The shortest lease that a client may ask for, in milliseconds.
pub(super) const LEASE_MIN_MS: Millis = 1_000;

pub(super) struct Lease {
    ms: Millis,
    /// When this comes, the connection is closed.
    until: Millis,
}

impl Lease {
    /// The client keeps its lease itself, and pings within it. The server waits for `grace_ms` more: it is there for
    /// the client that was put to sleep.
    pub(super) fn new(now: Millis, ms: Millis, grace_ms: Millis) -> Self {
        Self { ms, until: now + ms + grace_ms }
    }

    pub(super) fn deadline(&self) -> Millis {
        self.until
    }

    pub(super) fn rearm(&mut self, now: Millis, grace_ms: Millis) {
        self.until = now + self.ms + grace_ms;
    }

    /// Whether it is over now. Where the server's own loop was `late`, the ping may be waiting to be read.
    pub(super) fn is_over(&mut self, now: Millis, late: bool, grace_ms: Millis) -> bool {
        if self.until <= now && late {
            self.until = now + grace_ms;
        }
        self.until <= now
    }
}
