//! What the app is told of where the connection stands.

use serde::{Deserialize, Serialize};

use parlour_wire::frames::ReplacedBy;
use parlour_wire::{CloseCode, ErrorBody};

use crate::Millis;

/// Where the connection stands, as the app sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// No user.
    Idle,
    /// Down by wish.
    Offline,
    /// The first dial since it was wished; once it has failed, the state is `Reconnecting`.
    Connecting {
        attempt: u32,
    },
    Connected,
    /// Waits or dials again. `attempt` counts the losses and failed dials since the connection was last
    /// stable.
    Reconnecting {
        attempt: u32,
        retry_at: Option<Millis>,
    },
    /// The platform says that there is no network.
    NoNetwork,
    /// Left on purpose for the background.
    Parked,
    /// Over until the app acts.
    Failed(FailedWhy),
    /// Logged out.
    Closed,
}

/// Why a connection is over until the app acts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailedWhy {
    /// The server closed with a terminal code.
    Refused {
        code: CloseCode,
        reason: String,
        error: Option<Box<ErrorBody>>,
        replaced_by: Option<ReplacedBy>,
    },
    /// The token provider failed for good.
    Token { message: String },
}

/// Why a state changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The app asked.
    Wish,
    /// `ready` came.
    Ready,
    /// The dial took too long.
    DialTimeout,
    /// No frame came for too long.
    DeadLink,
    /// The transport closed, or never opened.
    TransportClosed,
    /// The server closed, with a code.
    ServerClosed,
    /// A wait was over.
    Timer,
    /// The token provider failed, or the server did not take its token.
    Token,
    /// The platform's word on the network.
    Network,
    /// The app went to the background or came back.
    AppState,
    /// The time that a connection has in the background was over.
    Lease,
    /// The server spoke against the protocol.
    Protocol,
}

/// One change of the public state.
///
/// It is told whenever the public state's value changes. Where `from` and `to` are of one kind, only
/// `attempt` or `retry_at` changed ([`Transition::is_update`]): news for a countdown, not for an observer of
/// states, who sees of a blip connected → reconnecting → connected, each once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transition {
    pub from: State,
    pub to: State,
    pub cause: Cause,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<CloseCode>,
}

impl Transition {
    /// Whether the state is of the same kind as before, and only its numbers changed.
    pub fn is_update(&self) -> bool {
        std::mem::discriminant(&self.from) == std::mem::discriminant(&self.to)
    }
}

/// The state as a banner would show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UiStatus {
    Online,
    Reconnecting,
    Offline,
    SignedOut,
    NeedsAction,
}
