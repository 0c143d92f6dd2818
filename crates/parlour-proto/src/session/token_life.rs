//! How long the connection's token is good for. Another is asked for at four fifths of what was left of its life: so
//! there is time for a provider that fails at first.

use crate::Millis;

pub(super) enum TokenLife {
    /// The token does not end.
    Forever,
    /// When `until` comes, the client is asked for another; the token itself is good until it `ends`.
    Until { until: Millis, ends: Millis },
    /// When `until` comes without another token, the connection is closed.
    Grace { until: Millis },
}

pub(super) enum Due {
    /// There is this long for it, from now on.
    AskForAnother {
        within_ms: Millis,
    },
    Over,
}

impl TokenLife {
    pub(super) fn new(now: Millis, expires_in_ms: Option<Millis>) -> Self {
        expires_in_ms.map_or(Self::Forever, |ms| Self::Until {
            until: now.saturating_add(ms / 5 * 4),
            ends: now.saturating_add(ms),
        })
    }

    pub(super) fn deadline(&self) -> Option<Millis> {
        match self {
            Self::Forever => None,
            Self::Until { until, .. } | Self::Grace { until } => Some(*until),
        }
    }

    /// What is due now. Where the server's own loop was `late`, the new token may be waiting to be read.
    pub(super) fn tick(&mut self, now: Millis, late: bool, grace_ms: Millis) -> Option<Due> {
        match self {
            Self::Until { until, ends } if *until <= now => {
                // Asked for late, there is the whole grace all the same.
                let over = (*ends).max(now).saturating_add(grace_ms);
                *self = Self::Grace { until: over };
                Some(Due::AskForAnother { within_ms: over - now })
            }
            Self::Grace { until } if *until <= now && late => {
                *until = now + grace_ms;
                None
            }
            Self::Grace { until } if *until <= now => Some(Due::Over),
            Self::Forever | Self::Until { .. } | Self::Grace { .. } => None,
        }
    }
}
