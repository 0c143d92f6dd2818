//! How long to wait before dialling again.

use serde::{Deserialize, Serialize};

use crate::Millis;

/// Full jitter: uniform between nothing and min(cap, base · 2ⁿ), so that clients cut together do not come
/// back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    pub base_ms: Millis,
    pub cap_ms: Millis,
}

impl Backoff {
    /// The wait after `failures` failures without one (so 0 for the first), for a random number from 0 to 1.
    ///
    /// ```
    /// use parlour_proto::Backoff;
    /// let backoff = Backoff { base_ms: 500, cap_ms: 20_000 };
    /// assert_eq!(backoff.wait(0, 1.0), 500);
    /// assert_eq!(backoff.wait(3, 0.25), 1_000);
    /// assert_eq!(backoff.wait(40, 1.0), 20_000);
    /// assert_eq!(backoff.wait(40, 0.0), 0);
    /// ```
    pub fn wait(self, failures: u32, jitter: f64) -> Millis {
        let doubled = 1_u64.checked_shl(failures).and_then(|factor| self.base_ms.checked_mul(factor));
        share(jitter, doubled.unwrap_or(self.cap_ms).min(self.cap_ms))
    }
}

/// `jitter` (0 to 1; anything else counts as the nearer end) of `whole`, in whole milliseconds.
pub(crate) fn share(jitter: f64, whole: Millis) -> Millis {
    // The product is between 0 and `whole`, and no wait comes near 2^53 ms.
    (jitter.clamp(0.0, 1.0) * whole as f64) as Millis
}
