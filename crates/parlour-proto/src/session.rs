//! The server's half of one connection.

use parlour_wire::frames::{AppState, ClientFrame, Hello, PresenceSubscription, ServerFrame};
use parlour_wire::{CloseCode, ErrorBody, Open, Seq, Timestamp, Topic};

use crate::Millis;

/// What the server holds sessions to. Milliseconds.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// When a connection has not said `hello` for this long, it is closed.
    pub hello_wait_ms: Millis,
    /// When this long has passed since the last ping, the next is sent. The first comes after this × `ping_phase`.
    pub heartbeat_ms: Millis,
    /// When a ping has not been answered for this long, the connection is closed (4201).
    pub pong_wait_ms: Millis,
    /// When a token has ended, the client has this long to send another (`token_expiring` is sent at the end).
    pub token_grace_ms: Millis,
    pub frames_per_second: u32,
    pub frames_burst: u32,
    /// Missed events of one topic that a resume replays; beyond it the topic is reset.
    pub replay_max: u64,
}

/// What the store and the hub know at the moment of admission: the start of a live session.
#[derive(Clone, Debug, PartialEq)]
pub struct Admission {
    /// The answer to `hello`, but for `resumed`, which the session fills in.
    pub ready: Box<parlour_wire::frames::Ready>,
    /// Every topic that the session listens to by right: its user's, its app's, the channels of its memberships.
    pub topics: Vec<TopicStart>,
    /// When the token ends; `None` is never.
    pub token_expires_in_ms: Option<Millis>,
}

/// Where a topic stands at admission.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicStart {
    pub topic: Topic,
    /// The last seq.
    pub head: Seq,
    /// What is at or below this seq cannot be replayed: trimmed.
    pub floor: Seq,
    /// What is at or below this seq is hidden from this member; loads start behind it, without a reset.
    pub hidden_up_to: Seq,
    /// The last seq before `resume.as_of` − 10 s: where a topic without a cursor goes on. `None` without resume.
    pub as_of_seq: Option<Seq>,
}

/// An event on its way to a session: encoded once, shared by all who receive it.
#[derive(Clone, Debug, PartialEq)]
pub struct Live<F> {
    pub topic: Topic,
    pub seq: Seq,
    pub frame: F,
    pub effect: Effect,
}

/// What an event of a `user:` topic does to the sessions of that user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    None,
    /// Listen to the topic, from the event with this seq on.
    Join {
        topic: Topic,
        seq: Seq,
    },
    /// Stop listening to the topic.
    Leave {
        topic: Topic,
    },
}

/// What a load from the store brought.
#[derive(Clone, Debug, PartialEq)]
pub enum Load<F> {
    /// The events after the cursor, in order, without a hole; `head` is the last seq of the topic.
    Events { events: Vec<Live<F>>, head: Seq },
    /// The events right after the cursor are no longer kept.
    Trimmed { head: Seq },
    /// The user may not read the topic.
    NoAccess,
    /// The store did not answer.
    Failed,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum SessionInput<F> {
    /// A frame came; one of an unknown kind is answered with an `error` frame and changes nothing.
    Frame(Open<ClientFrame>),
    /// Bytes came that are no frame: closed with 4000 (`reason` goes into the `error` frame before it).
    Malformed {
        error: ErrorBody,
    },
    /// A control frame of the transport came: it counts against the frame limit and does nothing else.
    Control,
    /// The answer to [`SessionOutput::Admit`].
    Admitted(Box<Admission>),
    /// The other answer to [`SessionOutput::Admit`]: an `error` frame, then the close.
    Refused {
        code: CloseCode,
        error: Box<ErrorBody>,
        retry_after_ms: Option<u32>,
    },
    /// The hub has an event.
    Live(Live<F>),
    /// The answer to [`SessionOutput::Load`].
    Loaded {
        topic: Topic,
        load: Load<F>,
    },
    /// A look at the heads found the topic here.
    Head {
        topic: Topic,
        head: Seq,
    },
    /// Every head was looked at at this time, and everything found has been given to the session before this.
    Checked {
        as_of: Timestamp,
    },
    /// The answer to [`SessionOutput::VerifyToken`].
    TokenAccepted {
        expires_in_ms: Option<Millis>,
    },
    TokenRefused {
        code: CloseCode,
        error: Box<ErrorBody>,
    },
    /// The answer to [`SessionOutput::Watch`]: the user may read the topic, whose place is this.
    Watched {
        start: TopicStart,
    },
    WatchRefused {
        topic: Topic,
        error: Box<ErrorBody>,
    },
    /// The server ends the connection: replaced, banned, draining, slow.
    End {
        bye: Box<ServerFrame>,
        code: CloseCode,
    },
    /// A deadline may have passed. `late`: the server's own loop was late, so no pong is judged now.
    Tick {
        late: bool,
    },
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum SessionOutput<F> {
    /// Verify the token, apply the limits, get or create the user, count it; answer `Admitted` or `Refused`.
    Admit(Box<Hello>),
    /// Listen to the topic at the hub.
    Attach(Topic),
    /// Stop listening to the topic.
    Detach(Topic),
    /// Read at most `limit` events after this seq; answer `Loaded`.
    Load {
        topic: Topic,
        after: Seq,
        limit: u64,
    },
    /// Look at the heads of everything attached, once; answer with a `Head` each.
    LookAtHeads,
    Send(Box<ServerFrame>),
    /// Send an event's shared bytes.
    SendShared(F),
    /// May the user read the topic? Answer `Watched` or `WatchRefused`.
    Watch(Topic),
    VerifyToken(String),
    /// Tell whoever listens to the topic.
    Signal {
        topic: Topic,
        signal: parlour_wire::events::ClientSignal,
    },
    AppState {
        state: AppState,
        lease_ms: Option<u32>,
    },
    Presence(PresenceSubscription),
    /// The client said how it goes, before it goes.
    Leaving(parlour_wire::frames::ByeIntent),
    /// Close with this code, then it is over: no input is taken any more.
    Close {
        code: CloseCode,
        reason: String,
    },
}

/// The server's half of one connection.
pub struct Session<F> {
    _frame: std::marker::PhantomData<F>,
}

impl<F: Clone> Session<F> {
    /// A session that waits for `hello`. `ping_phase` (0 to 1) spreads the first pings of connections that
    /// came together.
    pub fn new(now: Millis, config: SessionConfig, ping_phase: f64) -> Self {
        let _ = (now, config, ping_phase);
        Self { _frame: std::marker::PhantomData }
    }

    /// Takes what happened at `now`; appends what to do, in order.
    pub fn handle(&mut self, now: Millis, input: SessionInput<F>, out: &mut Vec<SessionOutput<F>>) {
        let _ = (now, input, out);
    }

    /// When to call with `Tick` next.
    pub fn deadline(&self) -> Option<Millis> {
        None
    }
}
