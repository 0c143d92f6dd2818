//! How long to wait before dialling again.

use crate::Millis;

/// Full jitter: uniform between nothing and min(cap, base · 2ⁿ), so that clients cut together do not come
/// back together.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    pub base_ms: Millis,
    pub cap_ms: Millis,
}
