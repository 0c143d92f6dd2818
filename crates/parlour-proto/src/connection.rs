//! The client's half of one connection.

use std::collections::BTreeMap;

use parlour_wire::events::{Presence, Signal};
use parlour_wire::frames::{
    AppState, ClientFrame, ClientInfo, EventFrame, PresenceSubscription, Ready, ReplacedBy, ResetReason,
    ServerFrame,
};
use parlour_wire::users::UserInput;
use parlour_wire::{AppKey, CloseCode, Epoch, ErrorBody, Open, Seq, Timestamp, Topic};

use crate::{Backoff, Millis};

/// What a connection is held to. The server's `ready` may change `dead_link_ms`.
#[derive(Clone, Debug)]
pub struct ConnectionConfig {
    pub app_key: AppKey,
    pub client: ClientInfo,
    pub device: Option<String>,
    pub presence: PresenceSubscription,
    /// When a dial (open, hello, ready) takes longer, it is given up.
    pub dial_timeout_ms: Millis,
    /// When no frame came for this long, the link is dead.
    pub dead_link_ms: Millis,
    /// When a connection has been up this long and one pong has passed, the next loss starts counting anew.
    pub stable_after_ms: Millis,
    pub backoff: Backoff,
    /// When the platform says that the network is back, or the user asks, the dial comes after 0 to this.
    pub retry_now_spread_ms: Millis,
    /// When the server goes away for all (1001, 1012), clients come back within this.
    pub spread_ms: Millis,
    /// When a downtime is shorter, `UiStatus` does not show it.
    pub ui_grace_ms: Millis,
}

/// What the platform says of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkLevel {
    Unknown,
    Up,
    Down,
}

/// What happened, or what is wished.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Be connected as this user. (Another user while one is there is refused by the caller, before.)
    ConnectUser {
        user: UserInput,
    },
    /// Be connected again, after `Disconnect`, a failure, or an eviction.
    Connect,
    /// Be disconnected; keep user and cursors.
    Disconnect,
    /// Be disconnected; forget user and cursors.
    DisconnectUser,
    /// The answer to [`Output::FetchToken`] of this number.
    TokenFetched {
        fetch: u64,
        token: String,
    },
    /// The provider failed. `permanent`: asking again will not help.
    TokenFailed {
        fetch: u64,
        permanent: bool,
        message: String,
    },
    /// The transport of this dial is open.
    Opened {
        dial: u64,
    },
    Received {
        dial: u64,
        frame: Open<ServerFrame>,
    },
    /// The transport of this dial is gone: it never opened, broke, or was closed by either side.
    Closed {
        dial: u64,
        code: Option<CloseCode>,
        reason: String,
    },
    Network(NetworkLevel),
    App(AppState),
    /// Dial now rather than at `retry_at`.
    RetryNow,
    /// Listen to a channel's topic as a watcher, now and after every reconnect.
    Watch {
        topic: Topic,
        after: Option<Seq>,
    },
    Unwatch {
        topic: Topic,
    },
    /// Whose presence is told, now and after every reconnect.
    Presence(PresenceSubscription),
    /// A signal or a ping: sent if connected, else dropped.
    Send(ClientFrame),
    /// A deadline may have passed.
    Tick,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Open a transport under this dial number; answer `Opened` or `Closed`.
    Open {
        dial: u64,
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

/// Where the connection stands, as the app sees it.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// No user.
    Idle,
    /// Down by wish.
    Offline,
    /// The first dial since it was wished.
    Connecting {
        attempt: u32,
    },
    Connected,
    /// Was connected, and waits or dials again.
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
#[derive(Clone, Debug, PartialEq)]
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
#[derive(Clone, Debug, PartialEq)]
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
    /// The server spoke against the protocol.
    Protocol,
}

/// One change of the public state.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    pub from: State,
    pub to: State,
    pub cause: Cause,
    pub code: Option<CloseCode>,
}

/// The state as a banner would show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UiStatus {
    Online,
    Reconnecting,
    Offline,
    SignedOut,
    NeedsAction,
}

/// The client's half of one connection.
pub struct Connection {
    _cursors: BTreeMap<Topic, Seq>,
    _epoch: Option<(Epoch, Timestamp)>,
    _presence: Vec<Presence>,
}

impl Connection {
    pub fn new(config: ConnectionConfig) -> Self {
        let _ = config;
        Self { _cursors: BTreeMap::new(), _epoch: None, _presence: Vec::new() }
    }

    /// Takes what happened at `now`; appends what to do, in order. `jitter` is a fresh random number from 0
    /// to 1, used where a wait is chosen.
    pub fn handle(&mut self, now: Millis, jitter: f64, input: Input, out: &mut Vec<Output>) {
        let _ = (now, jitter, input, out);
    }

    /// When to call with `Tick` next.
    pub fn deadline(&self) -> Option<Millis> {
        None
    }

    /// The public state.
    pub fn state(&self) -> State {
        State::Idle
    }

    /// The state as a banner would show it at this moment.
    pub fn ui_status(&self, now: Millis) -> UiStatus {
        let _ = now;
        UiStatus::SignedOut
    }
}
