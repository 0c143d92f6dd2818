//! The private state of a connection: what is there of a transport, and what is waited for.

use std::collections::BTreeSet;

use parlour_wire::frames::{AppState, PresenceSubscription, ReplacedBy, ServerFrame};
use parlour_wire::users::UserInput;
use parlour_wire::{CloseCode, ErrorBody, Topic};

use super::state::{FailedWhy, State, UiStatus};
use crate::Millis;

pub(super) enum Link {
    /// Nothing is there, and nothing is wanted.
    Rest,
    /// Nothing is there until the app acts.
    Failed(FailedWhy),
    /// A connection is wanted and not there yet.
    Trying(Trying),
    Up(Box<Live>),
    /// Told to close; when `until` comes without an answer, it is taken for closed.
    Closing {
        dial: u64,
        /// The public state until then.
        shown: State,
        until: Millis,
    },
}

pub(super) struct Trying {
    pub(super) story: Story,
    /// Since when there is no connection, though one is wanted.
    pub(super) since: Millis,
    /// What a banner shows before the downtime is worth a word.
    pub(super) shown: UiStatus,
    pub(super) step: Step,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Story {
    First,
    Again,
}

pub(super) enum Step {
    /// When `until` comes, the provider is taken for failed.
    Token { fetch: u64, until: Millis },
    /// When `until` comes, it is dialled.
    Wait { until: Millis },
    /// When `until` comes, the dial is given up.
    Opening { dial: u64, until: Millis },
    /// The same, with `hello` sent.
    Hello { dial: u64, until: Millis, told: Box<Told>, words: LastWords },
}

impl Step {
    pub(super) fn until(&self) -> Millis {
        match self {
            Self::Token { until, .. }
            | Self::Wait { until }
            | Self::Opening { until, .. }
            | Self::Hello { until, .. } => *until,
        }
    }

    pub(super) fn dial(&self) -> Option<u64> {
        match self {
            Self::Token { .. } | Self::Wait { .. } => None,
            Self::Opening { dial, .. } | Self::Hello { dial, .. } => Some(*dial),
        }
    }
}

/// What `hello` said of things that may change while its answer is on the way.
pub(super) struct Told {
    pub(super) user: UserInput,
    pub(super) app: AppState,
    pub(super) presence: PresenceSubscription,
}

pub(super) struct Live {
    pub(super) dial: u64,
    pub(super) since: Millis,
    /// When no frame came for `dead_link_ms` after this, the link is dead.
    pub(super) heard_at: Millis,
    pub(super) dead_link_ms: Millis,
    pub(super) proof: Proof,
    pub(super) renewal: Renewal,
    pub(super) words: LastWords,
    /// Topics that were reset when this connection turned out to be to another log; the server says it again.
    pub(super) reset_already: BTreeSet<Topic>,
}

/// Whether the connection has carried a ping and its answer: only then it counts as a good one.
#[derive(PartialEq)]
pub(super) enum Proof {
    None,
    RoundTrip,
}

/// How far a fresh token is, for a connection that is up.
pub(super) enum Renewal {
    None,
    Asked {
        fetch: u64,
        failures: u32,
    },
    /// When `until` comes, the provider is asked again.
    Wait {
        until: Millis,
        failures: u32,
    },
}

impl Live {
    pub(super) fn dead_at(&self) -> Millis {
        self.heard_at + self.dead_link_ms
    }

    pub(super) fn deadline(&self) -> Millis {
        match self.renewal {
            Renewal::Wait { until, .. } => until.min(self.dead_at()),
            Renewal::None | Renewal::Asked { .. } => self.dead_at(),
        }
    }
}

/// What the server said that explains a close, and when it wants the client back.
#[derive(Default)]
pub(super) struct LastWords {
    pub(super) bye: Option<Bye>,
    /// The last frame but `bye`, if it was an error.
    pub(super) error: Option<Box<ErrorBody>>,
    pub(super) not_before: Option<Millis>,
}

pub(super) struct Bye {
    pub(super) code: CloseCode,
    pub(super) reason: String,
    pub(super) replaced_by: Option<ReplacedBy>,
}

impl LastWords {
    /// Remembers what a frame says of the end, if it does.
    pub(super) fn hear(&mut self, now: Millis, frame: &ServerFrame) {
        match frame {
            ServerFrame::Bye { code, reason, retry_after_ms, replaced_by } => {
                self.bye =
                    Some(Bye { code: *code, reason: reason.clone(), replaced_by: replaced_by.clone() });
                if let Some(ms) = retry_after_ms {
                    self.not_before = Some(now + Millis::from(*ms));
                }
            }
            ServerFrame::Drain { retry_after_ms } => {
                self.not_before = Some(now + Millis::from(*retry_after_ms));
            }
            ServerFrame::Error { error, .. } => {
                self.error = Some(Box::new(error.clone()));
            }
            // An error explains a close only right before it.
            _ => self.error = None,
        }
    }

    pub(super) fn refused(self, code: CloseCode, reason: String) -> FailedWhy {
        let (said, replaced_by) = self.bye.map(|bye| (bye.reason, bye.replaced_by)).unwrap_or_default();
        let reason = if said.is_empty() { reason } else { said };
        FailedWhy::Refused { code, reason, error: self.error, replaced_by }
    }
}
