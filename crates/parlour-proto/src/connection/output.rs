//! What a connection asks of whoever drives it, and tells the app.

use serde::{Deserialize, Serialize};

use parlour_wire::events::Signal;
use parlour_wire::frames::{ClientFrame, EventFrame, Ready, ResetReason};
use parlour_wire::{CloseCode, ErrorBody, Open, Seq, Topic};

use super::{Transition, Transport};

/// What to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// Open a transport under this dial number; answer `Opened` or `Closed`.
    Open {
        dial: u64,
        transport: Transport,
    },
    Transmit {
        dial: u64,
        frame: Box<ClientFrame>,
    },
    /// Close this dial's transport (or give up opening it) with this code; answer `Closed`.
    Close {
        dial: u64,
        code: CloseCode,
    },
    /// Ask the token provider; answer `TokenFetched` or `TokenFailed` with the same number. A new number
    /// makes older answers void. `refused`: the token that the server did not take, if that is why.
    FetchToken {
        fetch: u64,
        refused: Option<String>,
    },
    /// The server's answer to hello.
    Ready(Box<Ready>),
    /// The server's answer to a hello in the middle of a connection: it went over to another transport, or to the
    /// next poll. It was never down.
    Renewed(Box<Ready>),
    /// Nothing gets through by one transport: the next one is tried.
    FellBack {
        from: Transport,
        to: Transport,
        because: String,
    },
    /// A durable event for the app: the next of its topic, exactly once.
    Deliver(Box<EventFrame>),
    Signal {
        topic: Option<Topic>,
        signal: Open<Signal>,
    },
    /// Load the topic as at first start; events go on after `head`.
    Reset {
        topic: Topic,
        reason: ResetReason,
        head: Seq,
    },
    /// Something that was sent was refused.
    Refused {
        error: Box<ErrorBody>,
        topic: Option<Topic>,
    },
    /// The server answered our ping.
    Pong {
        id: u64,
    },
    /// A feature is paused for this long.
    Throttled {
        feature: String,
        for_ms: u32,
    },
    /// The public state changed.
    Changed(Box<Transition>),
}
