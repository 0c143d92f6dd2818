//! The server's half of one connection.
//!
//! A session waits for `hello`, is admitted by whoever drives it, and then listens: each topic has a cursor,
//! live events are offered to it, and what is missing is loaded from the store. Whatever went wrong (a lost
//! publish, a restart, a phone asleep for a week), the way back is the same: load from the cursor.
//!
//! Not here: what a token means, who may read what, signals (they have no seq, and their order is nobody's).

mod frame_limit;
mod heartbeat;
mod lease;
mod rows;
mod token_life;
mod topics;

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use parlour_wire::frames::{AppState, ClientFrame, Hello, PROTOCOL_VERSION, Resume, ServerFrame};
use parlour_wire::presence::PresenceSubscription;
use parlour_wire::{CloseCode, ErrorBody, ErrorCode, Open, Seq, Timestamp, Topic};

use crate::Millis;
use frame_limit::FrameLimit;
use heartbeat::Heartbeat;
use lease::{LEASE_MIN_MS, Lease};
use token_life::TokenLife;
use topics::Topics;

/// What the server holds sessions to. Milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionConfig {
    /// When a connection has not said `hello` for this long, it is closed.
    pub hello_wait_ms: Millis,
    /// When this long has passed since the last ping, the next is sent; the first after this × `ping_phase`.
    pub heartbeat_ms: Millis,
    /// When a ping has not been answered for this long, the connection is closed (4201).
    pub pong_wait_ms: Millis,
    /// When a token has ended (and `token_expiring` been sent), the client has this long to send another.
    pub token_grace_ms: Millis,
    /// The longest background lease that a client may ask for.
    pub lease_max_ms: Millis,
    /// When a background lease ended this long ago, the connection is closed (4008).
    pub lease_grace_ms: Millis,
    pub frames_per_second: u32,
    pub frames_burst: u32,
    /// Missed events of one topic that a resume replays; beyond it the topic is reset.
    pub replay_max: u64,
}

/// What the store and the hub know at the moment of admission: the start of a live session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Admission {
    /// The answer to `hello`, but for `resumed`, which the session fills in.
    pub ready: Box<parlour_wire::frames::Ready>,
    /// Every topic that the session listens to by right, each once: of its user, its app, and the user's channels.
    pub topics: Vec<TopicStart>,
    /// When the token ends; `None` is never.
    pub token_expires_in_ms: Option<Millis>,
}

/// Where a topic stands at admission.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TopicStart {
    pub topic: Arc<Topic>,
    /// The last seq.
    pub head: Seq,
    /// What is at or below this seq cannot be replayed: trimmed.
    pub floor: Seq,
    /// What is at or below this seq is hidden from this member; loads start behind it, without a reset.
    pub hidden_up_to: Seq,
    /// The last seq before `resume.as_of` − 10 s: where a topic without a cursor goes on. `None` without
    /// resume. Where trimming has taken the answer away, anything below `floor`: the topic is then reset.
    pub as_of_seq: Option<Seq>,
}

/// An event on its way to a session: encoded once, shared by all who receive it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Live<F> {
    pub topic: Arc<Topic>,
    pub seq: Seq,
    pub frame: F,
    pub effect: Effect,
}

/// What an event of a `user:` topic does to the sessions of that user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    None,
    /// Listen to the topic, from the event with this seq on.
    Join {
        topic: Arc<Topic>,
        seq: Seq,
    },
    /// Stop listening to the topic.
    Leave {
        topic: Arc<Topic>,
    },
    /// What the admission rested on may no longer hold: a token was revoked, a user banned.
    Review,
}

/// What a load from the store brought.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
    /// The other answer to [`SessionOutput::Admit`], and one to [`SessionOutput::Review`]: an `error` frame, then the
    /// close.
    Refused {
        code: CloseCode,
        error: Box<ErrorBody>,
        retry_after_ms: Option<u32>,
    },
    /// The hub has an event.
    Live(Live<F>),
    /// The answer to [`SessionOutput::Load`].
    Loaded {
        topic: Arc<Topic>,
        load: Load<F>,
    },
    /// A look at the heads found the topic here.
    Head {
        topic: Arc<Topic>,
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
        topic: Arc<Topic>,
        error: Box<ErrorBody>,
    },
    /// The server ends the connection: replaced, banned, draining, slow.
    End {
        bye: Box<ServerFrame>,
        code: CloseCode,
    },
    /// The client is still reading what it was sent before: it has the whole time for its pong again.
    Behind,
    /// Somebody has to know whether the client is there: it is pinged now, if no ping is unanswered. What comes says it.
    Probe,
    /// A deadline may have passed. `late`: the server's own loop was late, so no pong is judged now.
    Tick {
        late: bool,
    },
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionOutput<F> {
    /// Verify the token, apply the limits, get or create the user, count it; answer `Admitted` or `Refused`.
    Admit(Box<Hello>),
    /// Listen to the topic at the hub.
    Attach(Arc<Topic>),
    /// Stop listening to the topic.
    Detach(Arc<Topic>),
    /// Read at most `limit` events after this seq; answer `Loaded`.
    Load {
        topic: Arc<Topic>,
        after: Seq,
        limit: u64,
    },
    /// Look at the heads of everything attached, once; answer with a `Head` each.
    LookAtHeads,
    Send(Box<ServerFrame>),
    /// Send an event's shared bytes.
    SendShared(F),
    /// May the user read the topic? Answer `Watched` or `WatchRefused`.
    Watch(Arc<Topic>),
    VerifyToken(String),
    /// Does what the connection was admitted by still hold? Answer `Refused` where it does not.
    Review,
    /// Tell whoever listens to the topic.
    Signal {
        topic: Topic,
        signal: parlour_wire::events::ClientSignal,
    },
    AppState {
        state: AppState,
        lease_ms: Option<u32>,
    },
    /// `None`: the same, told anew.
    Presence(Option<PresenceSubscription>),
    /// So many tabs share the connection.
    Tabs(u32),
    /// The client said how it goes, before it goes.
    Leaving(parlour_wire::frames::ByeIntent),
    /// Close with this code, then it is over: no input is taken any more.
    Close {
        code: CloseCode,
        reason: String,
    },
}

/// The server's half of one connection. `F` is an event's frame, as the driver shares it.
///
/// ```
/// use parlour_proto::{Session, SessionConfig, SessionInput, SessionOutput};
/// # let config = SessionConfig {
/// #     hello_wait_ms: 10_000, heartbeat_ms: 25_000, pong_wait_ms: 8_000, token_grace_ms: 30_000,
/// #     lease_max_ms: 600_000, lease_grace_ms: 5_000, frames_per_second: 20, frames_burst: 60, replay_max: 300,
/// # };
/// let mut session: Session<String> = Session::new(0, config, 0.5);
/// let mut out = Vec::new();
/// let client = r#"{"instance": "i", "version": 1}"#;
/// let hello = format!(r#"{{"type": "hello", "app_key": "dev", "token": "…", "client": {client}}}"#);
/// let hello = serde_json::from_str(&hello).unwrap();
/// session.handle(5, SessionInput::Frame(hello), &mut out);
/// // Whoever drives it verifies the token, and answers `Admitted` or `Refused`.
/// assert!(matches!(&out[..], [SessionOutput::Admit(hello)] if hello.app_key.as_str() == "dev"));
/// ```
pub struct Session<F> {
    config: Arc<SessionConfig>,
    ping_phase: f64,
    frame_limit: FrameLimit,
    phase: Phase,
    frame: PhantomData<fn(F)>,
}

enum Phase {
    /// When `until` comes, the connection is closed.
    AwaitingHello {
        until: Millis,
    },
    Admitting(Box<Arrival>),
    Listening(Box<Listening>),
    /// Nothing is taken any more. What was attached is still so, until whoever drives the session detaches it.
    Closed(Option<Box<Listening>>),
}

/// What `hello` said that outlives the admission.
struct Arrival {
    resume: Option<Resume>,
    heartbeat_ms: Option<u32>,
}

struct Listening {
    topics: Topics,
    heartbeat: Heartbeat,
    token: TokenLife,
    /// While the app is in the background and asked for one.
    lease: Option<Lease>,
    /// Everything up to this time has been sent.
    as_of: Timestamp,
    /// The last head check.
    checked: Timestamp,
}

impl<F: Clone> Session<F> {
    /// A session that waits for `hello`. `ping_phase` (0 to 1) spreads the first pings of connections that
    /// came together.
    pub fn new(now: Millis, config: impl Into<Arc<SessionConfig>>, ping_phase: f64) -> Self {
        let config = config.into();
        Self {
            ping_phase,
            frame_limit: FrameLimit::new(now, config.frames_per_second, config.frames_burst),
            phase: Phase::AwaitingHello { until: now + config.hello_wait_ms },
            config,
            frame: PhantomData,
        }
    }

    /// Takes what happened at `now`; appends what to do, in order.
    pub fn handle(&mut self, now: Millis, input: SessionInput<F>, out: &mut Vec<SessionOutput<F>>) {
        match (&mut self.phase, input) {
            (Phase::Closed(_), _) => {}
            (_, SessionInput::Frame(frame)) => self.frame(now, frame, out),
            (_, SessionInput::Malformed { error }) => self.close_with(CloseCode::PROTOCOL, error, None, out),
            (_, SessionInput::Control) => {
                self.count(now, out);
            }
            (_, SessionInput::End { bye, code }) => {
                let reason = reason_of(&bye);
                out.push(SessionOutput::Send(bye));
                self.close(code, reason, out);
            }
            (_, SessionInput::Tick { late }) => self.tick(now, late, out),
            (
                Phase::Admitting(_) | Phase::Listening(_),
                SessionInput::Refused { code, error, retry_after_ms },
            ) => {
                self.close_with(code, *error, retry_after_ms, out);
            }
            (Phase::Admitting(arrival), SessionInput::Admitted(admission)) => {
                let heartbeat = Heartbeat::new(
                    now,
                    arrival.heartbeat_ms,
                    self.config.heartbeat_ms,
                    self.config.pong_wait_ms,
                    self.ping_phase,
                );
                let listening =
                    Listening::begin(now, *admission, arrival.resume.as_ref(), heartbeat, &self.config, out);
                self.phase = Phase::Listening(Box::new(listening));
            }
            (Phase::Listening(_), SessionInput::TokenRefused { code, error }) => {
                self.close_with(code, *error, None, out);
            }
            (Phase::Listening(listening), SessionInput::TokenAccepted { expires_in_ms }) => {
                listening.token = TokenLife::new(now, expires_in_ms);
            }
            (Phase::Listening(listening), SessionInput::Checked { as_of }) => {
                listening.checked = listening.checked.max(as_of);
            }
            (Phase::Listening(listening), SessionInput::Behind) => listening.heartbeat.wait_anew(now),
            (Phase::Listening(listening), SessionInput::Probe) => {
                if listening.heartbeat.ask(now) {
                    listening.ping(out);
                }
            }
            (Phase::Listening(listening), SessionInput::Live(event)) => listening.topics.live(event, out),
            (Phase::Listening(listening), SessionInput::Loaded { topic, load }) => {
                listening.topics.loaded(now, &topic, load, out);
            }
            (Phase::Listening(listening), SessionInput::Head { topic, head }) => {
                listening.topics.head(&topic, head, out);
            }
            (Phase::Listening(listening), SessionInput::Watched { start }) => {
                listening.topics.watched(start, out);
            }
            (Phase::Listening(listening), SessionInput::WatchRefused { topic, error }) => {
                listening.topics.watch_refused(&topic, *error, out);
            }
            // Answers to nothing that was asked.
            (Phase::AwaitingHello { .. } | Phase::Admitting(_) | Phase::Listening(_), _) => {}
        }
    }

    /// Offers live events of one topic in the order in which they came, where nothing else is to be done for them: the
    /// shared bytes of those in the answer are to be sent, what stands before them was had. What stands behind them
    /// is to be given as [`SessionInput::Live`]: it asks for more than bytes, or cannot be judged now.
    pub fn pass(&mut self, events: &[Live<F>]) -> Range<usize> {
        match &mut self.phase {
            Phase::Listening(listening) => listening.topics.pass(events),
            Phase::AwaitingHello { .. } | Phase::Admitting(_) | Phase::Closed(_) => 0..0,
        }
    }

    /// What is attached, in the order of the topics: each that [`SessionOutput::Attach`] named and no
    /// [`SessionOutput::Detach`] since. When the session is over, whoever drives it detaches them.
    pub fn attached(&self) -> impl Iterator<Item = &Arc<Topic>> {
        let listening = match &self.phase {
            Phase::Listening(listening) | Phase::Closed(Some(listening)) => Some(listening),
            Phase::AwaitingHello { .. } | Phase::Admitting(_) | Phase::Closed(None) => None,
        };
        listening.into_iter().flat_map(|listening| listening.topics.attached())
    }

    /// When to call with `Tick` next.
    pub fn deadline(&self) -> Option<Millis> {
        match &self.phase {
            Phase::AwaitingHello { until } => Some(*until),
            Phase::Admitting(_) | Phase::Closed(_) => None,
            Phase::Listening(listening) => {
                let deadlines = [
                    Some(listening.heartbeat.deadline()),
                    listening.token.deadline(),
                    listening.lease.as_ref().map(Lease::deadline),
                    listening.topics.deadline(),
                ];
                deadlines.into_iter().flatten().min()
            }
        }
    }

    fn frame(&mut self, now: Millis, frame: Open<ClientFrame>, out: &mut Vec<SessionOutput<F>>) {
        if !self.count(now, out) {
            return;
        }
        match (&mut self.phase, frame) {
            (Phase::AwaitingHello { .. }, Open::Known(ClientFrame::Hello(hello))) => self.hello(hello, out),
            (Phase::AwaitingHello { .. }, _) => self.bad_frame("the first frame is `hello`", out),
            (Phase::Admitting(_), _) => self.bad_frame("after `hello`, wait for `ready`", out),
            (Phase::Listening(_), Open::Known(ClientFrame::Hello(_))) => {
                self.bad_frame("`hello` is said once", out);
            }
            (Phase::Listening(_), Open::Known(ClientFrame::Bye { intent })) => {
                out.push(SessionOutput::Leaving(intent));
                self.close(CloseCode::NORMAL, "left".into(), out);
            }
            (Phase::Listening(listening), Open::Known(frame)) => {
                listening.frame(now, frame, &self.config, out);
            }
            (Phase::Listening(_), Open::Unknown(value)) => {
                let kind = value.get("type").and_then(|kind| kind.as_str()).unwrap_or("?");
                // The kind comes from outside: no more of it than a name is long.
                let kind: String = kind.chars().take(40).collect();
                let error = ErrorCode::BadFrame.because(format!("this server knows no frame `{kind}`"));
                out.push(SessionOutput::Send(Box::new(ServerFrame::Error { error, topic: None })));
            }
            (Phase::Closed(_), _) => {}
        }
    }

    fn hello(&mut self, hello: Box<Hello>, out: &mut Vec<SessionOutput<F>>) {
        if hello.client.version != PROTOCOL_VERSION {
            let message = format!(
                "the client speaks version {}, the server version {PROTOCOL_VERSION}",
                hello.client.version
            );
            let error = ErrorCode::UnsupportedVersion.because(message);
            self.close_with(CloseCode::UNSUPPORTED_VERSION, error, None, out);
            return;
        }
        let arrival = Arrival { resume: hello.resume.clone(), heartbeat_ms: hello.heartbeat_ms };
        self.phase = Phase::Admitting(Box::new(arrival));
        out.push(SessionOutput::Admit(hello));
    }

    fn tick(&mut self, now: Millis, late: bool, out: &mut Vec<SessionOutput<F>>) {
        match &mut self.phase {
            Phase::AwaitingHello { until } if *until <= now && late => {
                *until = now + self.config.hello_wait_ms;
            }
            Phase::AwaitingHello { until } if *until <= now => {
                self.close_with(CloseCode::PROTOCOL, ErrorCode::HelloTimeout.error(), None, out);
            }
            Phase::AwaitingHello { .. } | Phase::Admitting(_) | Phase::Closed(_) => {}
            Phase::Listening(listening) => {
                listening.topics.tick(now, out);
                if let Some(code) = listening.tick(now, late, &self.config, out) {
                    self.say_bye(code, out);
                }
            }
        }
    }

    /// Counts a frame; `false` and closed if it is one too many.
    fn count(&mut self, now: Millis, out: &mut Vec<SessionOutput<F>>) -> bool {
        let within = self.frame_limit.take(now);
        if !within {
            self.say_bye(CloseCode::RATE_LIMITED, out);
        }
        within
    }

    fn bad_frame(&mut self, message: &str, out: &mut Vec<SessionOutput<F>>) {
        self.close_with(CloseCode::PROTOCOL, ErrorCode::BadFrame.because(message), None, out);
    }

    /// Closes with a code that says everything.
    fn say_bye(&mut self, code: CloseCode, out: &mut Vec<SessionOutput<F>>) {
        let bye = ServerFrame::Bye {
            code,
            reason: code.meaning().to_owned(),
            retry_after_ms: None,
            replaced_by: None,
        };
        out.push(SessionOutput::Send(Box::new(bye)));
        self.close(code, code.name().into_owned(), out);
    }

    /// Closes because of an error, which is sent before.
    fn close_with(
        &mut self,
        code: CloseCode,
        error: ErrorBody,
        retry_after_ms: Option<u32>,
        out: &mut Vec<SessionOutput<F>>,
    ) {
        let reason = error.code.clone();
        out.push(SessionOutput::Send(Box::new(ServerFrame::Error { error, topic: None })));
        if retry_after_ms.is_some() {
            let bye = ServerFrame::Bye { code, reason: reason.clone(), retry_after_ms, replaced_by: None };
            out.push(SessionOutput::Send(Box::new(bye)));
        }
        self.close(code, reason, out);
    }

    fn close(&mut self, code: CloseCode, reason: String, out: &mut Vec<SessionOutput<F>>) {
        self.phase = match std::mem::replace(&mut self.phase, Phase::Closed(None)) {
            Phase::Listening(listening) => Phase::Closed(Some(listening)),
            Phase::AwaitingHello { .. } | Phase::Admitting(_) | Phase::Closed(_) => Phase::Closed(None),
        };
        out.push(SessionOutput::Close { code, reason });
    }
}

impl Listening {
    /// Says `ready`, and listens to everything that the admission names.
    fn begin<F>(
        now: Millis,
        admission: Admission,
        resume: Option<&Resume>,
        heartbeat: Heartbeat,
        config: &SessionConfig,
        out: &mut Vec<SessionOutput<F>>,
    ) -> Self {
        let Admission { mut ready, topics, token_expires_in_ms } = admission;
        let mut after_ready = Vec::new();
        let (topics, resumed) =
            Topics::admit(topics, resume, &ready.epoch, config.replay_max, &mut after_ready);
        let checked = ready.as_of;
        if let Some(resume) = resume.filter(|_| !topics.all_live()) {
            // What the client missed is still to be sent. Were it cut before, it would have to be served from
            // where it stood, not from now.
            ready.as_of = ready.as_of.min(resume.as_of);
        }
        ready.resumed = resumed;
        ready.heartbeat_ms = u32::try_from(heartbeat.interval_ms()).unwrap_or(u32::MAX);
        let as_of = ready.as_of;
        out.push(SessionOutput::Send(Box::new(ServerFrame::Ready(ready))));
        out.append(&mut after_ready);
        let token = TokenLife::new(now, token_expires_in_ms);
        Self { topics, heartbeat, token, lease: None, as_of, checked }
    }

    fn frame<F>(
        &mut self,
        now: Millis,
        frame: ClientFrame,
        config: &SessionConfig,
        out: &mut Vec<SessionOutput<F>>,
    ) {
        match frame {
            // Taken care of where a session may end.
            ClientFrame::Hello(_) | ClientFrame::Bye { .. } => {}
            ClientFrame::Watch { topics } => self.topics.watch(topics, out),
            ClientFrame::Unwatch { topics } => {
                for topic in topics {
                    self.topics.unwatch(&topic, out);
                }
            }
            ClientFrame::Signal { topic, signal } => {
                if matches!(topic, Topic::Channel(_)) && self.topics.listens_to(&topic) {
                    out.push(SessionOutput::Signal { topic, signal });
                } else {
                    let error =
                        ErrorCode::NotAllowed.because("this connection does not listen to the channel");
                    out.push(SessionOutput::Send(Box::new(ServerFrame::Error { error, topic: Some(topic) })));
                }
            }
            ClientFrame::AppState { state, lease_ms } => {
                let asked = lease_ms.filter(|_| state == AppState::Background).map(Millis::from);
                if let Some(ms) = asked
                    && !(LEASE_MIN_MS..=config.lease_max_ms).contains(&ms)
                {
                    let max = config.lease_max_ms;
                    let why = format!("`lease_ms` is {ms}; a lease is of {LEASE_MIN_MS} to {max}");
                    let error = ErrorCode::InvalidInput.because(why);
                    out.push(SessionOutput::Send(Box::new(ServerFrame::Error { error, topic: None })));
                    return;
                }
                self.lease = asked.map(|ms| Lease::new(now, ms, config.lease_grace_ms));
                out.push(SessionOutput::AppState { state, lease_ms });
            }
            ClientFrame::Presence { subscription } => out.push(SessionOutput::Presence(subscription)),
            ClientFrame::Tabs { count } => out.push(SessionOutput::Tabs(count)),
            ClientFrame::Ping { id } => {
                if let Some(lease) = &mut self.lease {
                    lease.rearm(now, config.lease_grace_ms);
                }
                out.push(SessionOutput::Send(Box::new(ServerFrame::Pong { id })));
            }
            ClientFrame::Pong => self.heartbeat.pong(),
            ClientFrame::Token { token } => out.push(SessionOutput::VerifyToken(token)),
        }
    }

    fn ping<F>(&mut self, out: &mut Vec<SessionOutput<F>>) {
        // A topic that is being loaded holds the whole connection back: `as_of` is for the topics that the client will
        // not name.
        if self.topics.all_live() {
            self.as_of = self.checked;
        }
        out.push(SessionOutput::Send(Box::new(ServerFrame::Ping { as_of: self.as_of })));
    }

    /// Does what is due; a code, if that is the end.
    fn tick<F>(
        &mut self,
        now: Millis,
        late: bool,
        config: &SessionConfig,
        out: &mut Vec<SessionOutput<F>>,
    ) -> Option<CloseCode> {
        let grace_ms = config.token_grace_ms;
        match self.token.tick(now, late, grace_ms) {
            Some(token_life::Due::AskForAnother { within_ms }) => {
                let grace_ms = u32::try_from(within_ms).unwrap_or(u32::MAX);
                out.push(SessionOutput::Send(Box::new(ServerFrame::TokenExpiring { grace_ms })));
            }
            Some(token_life::Due::Over) => return Some(CloseCode::TOKEN_EXPIRED),
            None => {}
        }
        if self.lease.as_mut().is_some_and(|lease| lease.is_over(now, late, config.lease_grace_ms)) {
            return Some(CloseCode::LEASE_EXPIRED);
        }
        match self.heartbeat.tick(now, late) {
            Some(heartbeat::Due::Ping) => {
                self.ping(out);
                None
            }
            Some(heartbeat::Due::Dead) => Some(CloseCode::PONG_MISSING),
            None => None,
        }
    }
}

/// The reason that stands in the close frame: that of the `bye` before it.
fn reason_of(frame: &ServerFrame) -> String {
    match frame {
        ServerFrame::Bye { reason, .. } => reason.clone(),
        ServerFrame::Drain { .. } => "draining".into(),
        ServerFrame::Error { error, .. } => error.code.clone(),
        _ => String::new(),
    }
}
