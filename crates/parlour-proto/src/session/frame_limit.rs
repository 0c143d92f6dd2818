//! How many frames a client may send.

use crate::Millis;

/// A bucket that holds `burst` frames and fills at `per_second`. Counted in thousandths of a frame, so that
/// the time can be whole milliseconds.
pub(super) struct FrameLimit {
    per_second: u64,
    full: u64,
    left: u64,
    filled_at: Millis,
}

impl FrameLimit {
    const FRAME: u64 = 1_000;

    pub(super) fn new(now: Millis, per_second: u32, burst: u32) -> Self {
        let full = u64::from(burst) * Self::FRAME;
        Self { per_second: per_second.into(), full, left: full, filled_at: now }
    }

    /// Takes a frame out of the bucket; `false` if there is none.
    pub(super) fn take(&mut self, now: Millis) -> bool {
        let gained = now.saturating_sub(self.filled_at).saturating_mul(self.per_second);
        self.left = self.left.saturating_add(gained).min(self.full);
        self.filled_at = self.filled_at.max(now);
        let has = self.left >= Self::FRAME;
        self.left -= if has { Self::FRAME } else { 0 };
        has
    }
}
