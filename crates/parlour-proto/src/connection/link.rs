//! The private state of a connection: what is there of a transport, and what is waited for.

use std::collections::BTreeSet;

use parlour_wire::frames::{AppState, ReplacedBy, ServerFrame};
use parlour_wire::presence::PresenceSubscription;
use parlour_wire::users::UserInput;
use parlour_wire::{CloseCode, ErrorBody, Topic};

use super::state::{Cause, FailedWhy, State, UiStatus};
use super::ways::Transport;
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
        /// The public state until then, and what a banner shows.
        shown: State,
        ui: UiStatus,
        /// Why it was told so.
        cause: Cause,
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
    Token {
        fetch: u64,
        until: Millis,
    },
    /// When `until` comes, it is dialled.
    Wait {
        until: Millis,
    },
    Opening(Dial),
    /// The same, with `hello` sent.
    Hello {
        dial: Dial,
        told: Box<Told>,
        words: LastWords,
    },
}

/// A transport on its way.
#[derive(Clone, Copy)]
pub(super) struct Dial {
    pub(super) number: u64,
    /// Which of the allowed transports.
    pub(super) at: usize,
    pub(super) transport: Transport,
    /// When this comes, it is given up.
    pub(super) until: Millis,
    /// The same, once it is open: where it may stand still for less long than the whole may take.
    pub(super) until_ready: Millis,
}

impl Step {
    pub(super) fn until(&self) -> Millis {
        match self {
            Self::Token { until, .. } | Self::Wait { until } => *until,
            Self::Opening(dial) | Self::Hello { dial, .. } => dial.until,
        }
    }

    pub(super) fn dial(&self) -> Option<u64> {
        match self {
            Self::Token { .. } | Self::Wait { .. } => None,
            Self::Opening(dial) | Self::Hello { dial, .. } => Some(dial.number),
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
    pub(super) at: usize,
    pub(super) transport: Transport,
    pub(super) since: Millis,
    /// When no frame came for `dead_link_ms` after this, the link is dead.
    pub(super) heard_at: Millis,
    pub(super) dead_link_ms: Millis,
    pub(super) proof: Proof,
    /// After a wake: when nothing was heard until then, the link is dead.
    pub(super) probe_until: Option<Millis>,
    pub(super) renewal: Renewal,
    /// What the hello of the poll that is under way said.
    pub(super) asked: Option<Box<Told>>,
    pub(super) climb: Climb,
    /// The transport is gone, because the server took the next one's hello for its end: its `ready` is on the way.
    pub(super) over: bool,
    pub(super) words: LastWords,
    /// Topics that were reset when this connection turned out to be to another log; the server says it again.
    pub(super) reset_already: BTreeSet<Topic>,
}

/// The way back to a better transport.
pub(super) enum Climb {
    /// There is none.
    None,
    /// When this comes, it is tried.
    Wait(Millis),
    /// It is tried, beside the connection that is up.
    Dialling(Step),
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
    /// When silence has been too long.
    pub(super) fn dead_at(&self) -> Millis {
        self.probe_until.unwrap_or(self.heard_at + self.dead_link_ms)
    }

    pub(super) fn deadline(&self) -> Millis {
        let renewal = match self.renewal {
            Renewal::Wait { until, .. } => Some(until),
            Renewal::None | Renewal::Asked { .. } => None,
        };
        let climb = match &self.climb {
            Climb::None => None,
            Climb::Wait(until) => Some(*until),
            Climb::Dialling(step) => Some(step.until()),
        };
        if self.over {
            return climb.unwrap_or(self.heard_at);
        }
        let others = [renewal, climb].into_iter().flatten();
        others.fold(self.dead_at(), Millis::min)
    }

    /// The dial that is to lead to a better transport.
    pub(super) fn climbing(&self) -> Option<u64> {
        match &self.climb {
            Climb::Dialling(step) => step.dial(),
            Climb::None | Climb::Wait(_) => None,
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
    /// Whether anything was said at all.
    pub(super) any: bool,
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
