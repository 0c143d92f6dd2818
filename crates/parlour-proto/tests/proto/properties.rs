//! What holds for any inputs in any order.

use std::collections::BTreeSet;
use std::sync::Arc;

use parlour_proto::{
    Admission, AppLevel, Background, Backoff, Connection, ConnectionConfig, Effect, Input, Load, Millis,
    Mode, NetworkLevel, Output, Session, SessionConfig, SessionInput, SessionOutput, State, Transport,
};
use parlour_wire::events::ClientSignal;
use parlour_wire::frames::{
    AppState, ByeIntent, ClientFrame, EventFrame, Ready, ResetReason, Resumed, ServerFrame, WatchTopic,
};
use parlour_wire::presence::PresenceSubscription;
use parlour_wire::{CloseCode, ErrorCode, Open, Topic};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::test_runner::{Config as ProptestConfig, TestCaseError};

use crate::kit::{
    ALICE, GENERAL, RANDOM, bye, connection_config, epoch, event, hello, live, moment, ready, reset, resume,
    session_config, start, topic, user,
};

type In = SessionInput<EventFrame>;

fn places() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just(ALICE), Just(GENERAL), Just(RANDOM)]
}

fn seqs() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0_u64..12, 1 => Just(u64::MAX), 1 => Just(u64::MAX - 1)]
}

fn effects() -> impl Strategy<Value = Effect> {
    prop_oneof![
        4 => Just(Effect::None),
        1 => (places(), seqs()).prop_map(|(place, seq)| Effect::Join { topic: topic(place).into(), seq }),
        1 => places().prop_map(|place| Effect::Leave { topic: topic(place).into() }),
        1 => Just(Effect::Review),
    ]
}

fn client_frames() -> impl Strategy<Value = ClientFrame> {
    let watch = |(place, after)| WatchTopic { topic: topic(place), after };
    prop_oneof![
        1 => Just(ClientFrame::Hello(Box::new(hello(None)))),
        1 => (seqs(), prop_oneof![Just("e1"), Just("e2")]).prop_map(|(seq, name)| {
            ClientFrame::Hello(Box::new(hello(Some(resume(name, &[(GENERAL, seq), (ALICE, seq)])))))
        }),
        4 => vec((places(), proptest::option::of(seqs())), 0..3)
            .prop_map(move |topics| ClientFrame::Watch { topics: topics.into_iter().map(watch).collect() }),
        1 => places().prop_map(|place| ClientFrame::Unwatch { topics: vec![topic(place)] }),
        1 => places().prop_map(typing),
        1 => Just(ClientFrame::AppState { state: AppState::Background, lease_ms: Some(30_000) }),
        1 => Just(ClientFrame::Presence { subscription: Some(PresenceSubscription::Friends) }),
        1 => any::<u64>().prop_map(|id| ClientFrame::Ping { id }),
        3 => Just(ClientFrame::Pong),
        1 => Just(ClientFrame::Token { token: "t".into() }),
        1 => Just(ClientFrame::Bye { intent: ByeIntent::Leave }),
    ]
}

fn typing(place: &str) -> ClientFrame {
    ClientFrame::Signal { topic: topic(place), signal: ClientSignal::TypingStop }
}

fn starts() -> impl Strategy<Value = parlour_proto::TopicStart> {
    (places(), seqs(), seqs(), seqs(), proptest::option::of(seqs())).prop_map(
        |(place, head, floor, hidden_up_to, as_of_seq)| parlour_proto::TopicStart {
            floor,
            hidden_up_to,
            as_of_seq,
            ..start(place, head)
        },
    )
}

fn session_inputs() -> impl Strategy<Value = In> {
    let error = || Box::new(ErrorCode::Internal.error());
    let events = vec((seqs(), effects()), 0..6);
    prop_oneof![
        6 => client_frames().prop_map(|frame| In::Frame(Open::Known(frame))),
        1 => Just(In::Frame(Open::Unknown(serde_json::json!({"type": 7})))),
        1 => Just(In::Control),
        6 => (vec(starts(), 0..4), proptest::option::of(0_u64..100_000)).prop_map(|(mut topics, token)| {
            let mut named = BTreeSet::new();
            topics.retain(|start| named.insert(Arc::clone(&start.topic)));
            In::Admitted(Box::new(Admission {
                ready: Box::new(ready()),
                topics,
                token_expires_in_ms: token,
            }))
        }),
        8 => (places(), seqs(), effects())
            .prop_map(|(place, seq, effect)| In::Live(live(place, seq, effect))),
        8 => (places(), events, seqs()).prop_map(|(place, events, head)| In::Loaded {
            topic: topic(place).into(),
            load: Load::Events {
                events: events.into_iter().map(|(seq, effect)| live(place, seq, effect)).collect(),
                head,
            },
        }),
        1 => (places(), seqs())
            .prop_map(|(place, head)| In::Loaded { topic: topic(place).into(), load: Load::Trimmed { head } }),
        1 => places().prop_map(|place| In::Loaded { topic: topic(place).into(), load: Load::NoAccess }),
        1 => places().prop_map(|place| In::Loaded { topic: topic(place).into(), load: Load::Failed }),
        4 => (places(), seqs()).prop_map(|(place, head)| In::Head { topic: topic(place).into(), head }),
        2 => (0_i64..10_000).prop_map(|seconds| In::Checked { as_of: moment(seconds) }),
        1 => Just(In::TokenAccepted { expires_in_ms: Some(u64::MAX) }),
        2 => starts().prop_map(|start| In::Watched { start }),
        1 => places().prop_map(move |place| In::WatchRefused { topic: topic(place).into(), error: error() }),
        6 => any::<bool>().prop_map(|late| In::Tick { late }),
    ]
}

fn session_ends() -> impl Strategy<Value = In> {
    let error = || Box::new(ErrorCode::Internal.error());
    prop_oneof![
        Just(In::Malformed { error: *error() }),
        Just(In::Refused { code: CloseCode::QUOTA, error: error(), retry_after_ms: Some(1) }),
        Just(In::TokenRefused { code: CloseCode::TOKEN_REFUSED, error: error() }),
        Just(In::End { bye: Box::new(bye(CloseCode::REPLACED, None)), code: CloseCode::REPLACED }),
    ]
}

/// Steps of time, small and large.
fn pauses() -> impl Strategy<Value = Millis> {
    prop_oneof![4 => 0_u64..50, 2 => 50_u64..2_000, 1 => 2_000_u64..40_000]
}

fn outcome(session: &mut Session<EventFrame>, now: Millis, input: In) -> Vec<SessionOutput<EventFrame>> {
    let mut out = Vec::new();
    session.handle(now, input, &mut out);
    out
}

/// What a session says, checked from outside: nothing before `ready` but an end, nothing after `Close`, one
/// `ready`, one `Admit`, what is attached once, and the seqs of each topic without a hole but by `reset`.
#[derive(Default)]
struct Witness {
    ready: bool,
    admits: u32,
    closed: bool,
    attached: BTreeSet<Arc<Topic>>,
    last: std::collections::BTreeMap<String, u64>,
}

impl Witness {
    fn sees(&mut self, out: &[SessionOutput<EventFrame>]) -> Result<(), TestCaseError> {
        for output in out {
            prop_assert!(!self.closed, "after Close: {output:?}");
            match output {
                SessionOutput::Close { .. } => self.closed = true,
                SessionOutput::Admit(_) => self.admits += 1,
                SessionOutput::Send(frame) => match &**frame {
                    ServerFrame::Ready(_) => {
                        prop_assert!(!self.ready, "ready twice");
                        self.ready = true;
                    }
                    ServerFrame::Error { .. } | ServerFrame::Bye { .. } => {}
                    other => prop_assert!(self.ready, "before ready: {other:?}"),
                },
                SessionOutput::SendShared(event) => {
                    prop_assert!(self.ready);
                    self.last.insert(event.topic.to_string(), event.seq);
                }
                SessionOutput::Attach(topic) => {
                    prop_assert!(
                        self.ready && self.attached.insert(Arc::clone(topic)),
                        "{topic} is attached already"
                    );
                }
                SessionOutput::Detach(topic) => {
                    prop_assert!(self.attached.remove(topic), "{topic} is not attached");
                }
                other => prop_assert!(self.ready, "before ready: {other:?}"),
            }
        }
        prop_assert!(self.admits <= 1, "admitted twice");
        Ok(())
    }
}

proptest! {
    #[test]
    fn a_session_survives_any_inputs_and_is_silent_after_its_close(
        steps in vec((pauses(), session_inputs()), 0..120),
        end in session_ends(),
        after in vec(session_inputs(), 0..10),
        greets in any::<bool>(),
    ) {
        let config = SessionConfig { frames_burst: 1_000, ..session_config() };
        let mut session: Session<EventFrame> = Session::new(0, config, 0.5);
        let (mut now, mut witness) = (0, Witness::default());
        if greets {
            // Most random beginnings end at once: half of the runs begin well.
            let frame = In::Frame(Open::Known(ClientFrame::Hello(Box::new(hello(None)))));
            witness.sees(&outcome(&mut session, now, frame))?;
            let topics = vec![start(ALICE, 3), start(GENERAL, 5)];
            let admission = Admission { ready: Box::new(ready()), topics, token_expires_in_ms: None };
            witness.sees(&outcome(&mut session, now, In::Admitted(Box::new(admission))))?;
            prop_assert!(witness.ready);
        }
        for (pause, input) in steps {
            now += pause;
            witness.sees(&outcome(&mut session, now, input))?;
            prop_assert!(session.attached().eq(&witness.attached));
        }
        witness.sees(&outcome(&mut session, now, end))?;
        for input in after {
            witness.sees(&outcome(&mut session, now, input))?;
        }
        prop_assert!(!witness.closed || session.deadline().is_none());
        prop_assert!(session.attached().eq(&witness.attached), "what is attached is known to the end");
    }

    #[test]
    fn the_short_way_of_live_events_says_what_the_long_one_says(
        steps in vec((pauses(), session_inputs(), places(), vec((seqs(), effects()), 1..6)), 0..60),
    ) {
        let config = SessionConfig { frames_burst: 1_000, ..session_config() };
        let (mut long, mut short) = (Session::new(0, config.clone(), 0.5), Session::new(0, config, 0.5));
        let topics = vec![start(ALICE, 3), start(GENERAL, 5)];
        let admission = Admission { ready: Box::new(ready()), topics, token_expires_in_ms: None };
        for input in [
            In::Frame(Open::Known(ClientFrame::Hello(Box::new(hello(None))))),
            In::Admitted(Box::new(admission)),
        ] {
            prop_assert_eq!(outcome(&mut long, 0, input.clone()), outcome(&mut short, 0, input));
        }
        let mut now = 0;
        for (pause, input, place, events) in steps {
            now += pause;
            prop_assert_eq!(outcome(&mut long, now, input.clone()), outcome(&mut short, now, input));
            let events: Vec<_> = events.into_iter().map(|(seq, effect)| live(place, seq, effect)).collect();
            let run = short.pass(&events);
            let mut said: Vec<_> =
                events[run.clone()].iter().map(|live| SessionOutput::SendShared(live.frame.clone())).collect();
            for event in &events[run.end..] {
                said.extend(outcome(&mut short, now, In::Live(event.clone())));
            }
            let expected = events.into_iter().flat_map(|event| outcome(&mut long, now, In::Live(event)));
            prop_assert_eq!(said, expected.collect::<Vec<_>>());
            prop_assert_eq!(long.deadline(), short.deadline());
        }
    }

    #[test]
    fn a_tick_at_the_deadline_always_moves_it(steps in vec((pauses(), session_inputs()), 0..60)) {
        let config = SessionConfig { frames_burst: 1_000, ..session_config() };
        let mut session: Session<EventFrame> = Session::new(0, config, 0.5);
        let mut now = 0;
        for (pause, input) in steps {
            now += pause;
            outcome(&mut session, now, input);
            for _ in 0..3 {
                let Some(at) = session.deadline() else { break };
                if at == u64::MAX { break }
                now = now.max(at);
                outcome(&mut session, now, In::Tick { late: false });
                prop_assert!(session.deadline().is_none_or(|next| next > now), "stuck at {now}");
            }
        }
    }

    #[test]
    fn a_wait_is_within_its_bounds_l6_9(failures in any::<u32>(), jitter in any::<f64>()) {
        let backoff = Backoff { base_ms: 500, cap_ms: 20_000 };
        let bound = 500_u64.saturating_mul(1_u64.checked_shl(failures).unwrap_or(u64::MAX));
        prop_assert!(backoff.wait(failures, jitter) <= bound.min(20_000));
    }

}

proptest! {
    // `PROPTEST_CASES=10000` for the long run.
    #![proptest_config(ProptestConfig { cases: cases(1_000), ..ProptestConfig::default() })]

    #[test]
    fn any_wishes_end_with_one_transport_at_most_and_what_is_there_is_what_is_wanted_l3_1_l3_2_l3_3_l9_1(
        config in configs(),
        steps in vec((pauses(), 0.0..1.0, client_inputs()), 0..80),
    ) {
        let mut world = Transports::new(config);
        for (pause, jitter, step) in steps {
            world.passes(pause)?;
            world.takes(jitter, step)?;
        }
        world.comes_to_rest()?;
    }
}

/// A step of a client's world: an input, or something that happens to its transports.
#[derive(Clone, Debug)]
enum Step {
    Input(Input),
    /// The held transport opens (a long-poll: wants another hello), gets `ready`, hears a frame, or closes.
    Opens,
    GetsReady,
    Hears(Box<ServerFrame>),
    Closes(Option<u16>),
    /// The same of the transport that is to take its place.
    NextOpens,
    NextGetsReady,
    NextCloses(Option<u16>),
    /// The provider answers the last question.
    GetsToken(String),
    TokenFails(bool),
    /// Something of an old dial.
    Stale(u64),
}

/// So many, unless the environment says how many.
fn cases(default: u32) -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(default)
}

/// Both modes, and one transport or all.
fn configs() -> impl Strategy<Value = ConnectionConfig> {
    let all = [Transport::WebSocket, Transport::EventStream, Transport::LongPoll];
    let transports = prop_oneof![
        2 => Just(vec![Transport::WebSocket]),
        1 => Just(vec![Transport::LongPoll]),
        3 => Just(all.to_vec()),
    ];
    let modes = prop_oneof![Just(Mode::Auto), Just(Mode::Manual)];
    let backgrounds = prop_oneof![3 => Just(Background::Park), 1 => Just(Background::Keep)];
    let graces = prop_oneof![Just(0), Just(5_000)];
    (modes, backgrounds, graces, transports).prop_map(
        |(mode, background, background_grace_ms, transports)| ConnectionConfig {
            mode,
            background,
            background_grace_ms,
            transports,
            climb_ms: 5_000,
            ..connection_config()
        },
    )
}

fn client_inputs() -> impl Strategy<Value = Step> {
    let wish = prop_oneof![
        3 => Just(Input::ConnectUser { user: user("alice") }),
        1 => Just(Input::ConnectUser { user: user("bob") }),
        2 => Just(Input::Connect),
        2 => Just(Input::Disconnect),
        1 => Just(Input::DisconnectUser),
        1 => Just(Input::RetryNow),
        1 => Just(Input::Network(NetworkLevel::Down)),
        1 => Just(Input::Network(NetworkLevel::Up)),
        1 => Just(Input::Network(NetworkLevel::Unknown)),
        1 => Just(Input::App(AppLevel::Hidden)),
        2 => Just(Input::App(AppLevel::Foreground)),
        1 => Just(Input::App(AppLevel::Background)),
        1 => Just(Input::App(AppLevel::Frozen)),
        1 => Just(Input::Login { user: user("alice"), saved: None }),
        1 => Just(Input::Path { network: Some("cafe".into()) }),
        1 => Just(Input::Woke),
        1 => Just(Input::Send(ClientFrame::Ping { id: 7 })),
        1 => Just(Input::Watch { topic: topic(RANDOM), after: Some(3) }),
        1 => Just(Input::Unwatch { topic: topic(RANDOM) }),
        1 => Just(Input::Tick),
    ];
    let frames = prop_oneof![
        6 => (places(), 0_u64..12)
            .prop_map(|(place, seq)| ServerFrame::Event(Box::new(event(place, seq)))),
        1 => (places(), 0_u64..12).prop_map(|(place, head)| reset(place, ResetReason::Trimmed, head)),
        1 => places().prop_map(|place| reset(place, ResetReason::NoAccess, 0)),
        1 => Just(ServerFrame::Ping { as_of: moment(300) }),
        1 => Just(ServerFrame::TokenExpiring { grace_ms: 30_000 }),
        1 => Just(ServerFrame::Drain { retry_after_ms: 5_000 }),
        1 => Just(bye(CloseCode::REPLACED, None)),
        1 => Just(ServerFrame::Ready(Box::new(ready()))),
    ];
    let codes = proptest::sample::select(vec![
        None,
        Some(1000),
        Some(1012),
        Some(4005),
        Some(4008),
        Some(4009),
        Some(4100),
        Some(4200),
        Some(4202),
        Some(1006),
    ]);
    prop_oneof![
        6 => wish.prop_map(Step::Input),
        4 => Just(Step::Opens),
        4 => Just(Step::GetsReady),
        4 => frames.prop_map(|frame| Step::Hears(Box::new(frame))),
        3 => codes.clone().prop_map(Step::Closes),
        2 => Just(Step::NextOpens),
        2 => Just(Step::NextGetsReady),
        1 => codes.prop_map(Step::NextCloses),
        4 => "t[0-3]".prop_map(Step::GetsToken),
        1 => any::<bool>().prop_map(Step::TokenFails),
        1 => (0_u64..6).prop_map(Step::Stale),
    ]
}

/// The transports of one client, as a driver would hold them.
struct Transports {
    client: Connection,
    mode: Mode,
    now: Millis,
    /// The transport that is open or opening.
    held: Option<Held>,
    /// The one that is to take its place.
    next: Option<Held>,
    /// Told to close, and not yet closed.
    closing: Vec<u64>,
    fetch: Option<u64>,
    wanted: bool,
    known: bool,
    user: String,
    /// The last transition's end: every transition begins where the last one ended.
    state: State,
}

#[derive(Clone, Copy)]
struct Held {
    dial: u64,
    transport: Transport,
    opened: bool,
    said_hello: bool,
}

impl Transports {
    fn new(config: ConnectionConfig) -> Self {
        let mode = config.mode;
        let client = Connection::new(config);
        let state = client.state();
        Self {
            client,
            mode,
            now: 0,
            held: None,
            next: None,
            closing: vec![],
            fetch: None,
            wanted: false,
            known: false,
            user: String::new(),
            state,
        }
    }

    fn passes(&mut self, pause: Millis) -> Result<(), TestCaseError> {
        let until = self.now + pause;
        let mut ticks = 0;
        while let Some(at) = self.client.deadline().filter(|at| *at <= until) {
            ticks = if at > self.now { 0 } else { ticks + 1 };
            // A wait of nothing takes a tick, the dial after it another.
            prop_assert!(ticks < 4, "stuck at {at}");
            self.now = self.now.max(at);
            self.input(1.0, Input::Tick)?;
        }
        self.now = until;
        Ok(())
    }

    fn takes(&mut self, jitter: f64, step: Step) -> Result<(), TestCaseError> {
        let dial = self.held.map_or(0, |held| held.dial);
        match step {
            Step::Input(input) => {
                match &input {
                    Input::ConnectUser { user } => {
                        (self.wanted, self.known) = (true, true);
                        self.user = user.id.to_string();
                    }
                    Input::Connect => self.wanted = self.known,
                    Input::Login { user, .. } if !self.known || self.user != user.id.as_str() => {
                        (self.wanted, self.known) = (self.mode == Mode::Auto, true);
                        self.user = user.id.to_string();
                    }
                    Input::Disconnect => self.wanted = false,
                    Input::DisconnectUser => (self.wanted, self.known) = (false, false),
                    _ => {}
                }
                self.input(jitter, input)
            }
            Step::Opens => match &mut self.held {
                Some(held) if !held.opened => {
                    held.opened = true;
                    self.input(jitter, Input::Opened { dial })
                }
                Some(held) if held.transport == Transport::LongPoll => {
                    self.input(jitter, Input::Opened { dial })
                }
                _ => Ok(()),
            },
            Step::NextOpens => match &mut self.next {
                Some(next) if !next.opened => {
                    next.opened = true;
                    let dial = next.dial;
                    self.input(jitter, Input::Opened { dial })
                }
                _ => Ok(()),
            },
            Step::NextGetsReady => match self.next {
                Some(next) if next.said_hello => {
                    let resumed = Ready { resumed: Resumed::Resumed, epoch: epoch("e1"), ..ready() };
                    self.hears(jitter, next.dial, ServerFrame::Ready(Box::new(resumed)))
                }
                _ => Ok(()),
            },
            Step::NextCloses(code) => match self.next.take() {
                Some(Held { dial, .. }) => self.is_closed(jitter, dial, code),
                None => Ok(()),
            },
            Step::GetsReady if self.held.is_some_and(|held| held.said_hello) => {
                let resumed = Ready { resumed: Resumed::Resumed, epoch: epoch("e1"), ..ready() };
                self.hears(jitter, dial, ServerFrame::Ready(Box::new(resumed)))
            }
            Step::Hears(frame) if self.held.is_some_and(|held| held.said_hello) => {
                self.hears(jitter, dial, *frame)
            }
            Step::GetsReady | Step::Hears(_) => Ok(()),
            Step::Closes(code) => {
                let dial = self.closing.pop().or_else(|| self.held.take().map(|held| held.dial)).unwrap_or(0);
                self.is_closed(jitter, dial, code)
            }
            Step::GetsToken(token) => match self.fetch.take() {
                Some(fetch) => self.input(jitter, Input::TokenFetched { fetch, token }),
                None => Ok(()),
            },
            Step::TokenFails(permanent) => match self.fetch.take() {
                Some(fetch) => {
                    self.input(jitter, Input::TokenFailed { fetch, permanent, message: "no".into() })
                }
                None => Ok(()),
            },
            Step::Stale(old)
                if self.held.is_none_or(|held| old < held.dial) && !self.closing.contains(&old) =>
            {
                self.hears(jitter, old, ServerFrame::Event(Box::new(event(GENERAL, 9))))?;
                self.input(jitter, Input::Closed { dial: old, code: None, reason: String::new() })
            }
            Step::Stale(_) => Ok(()),
        }
    }

    fn is_closed(&mut self, jitter: f64, dial: u64, code: Option<u16>) -> Result<(), TestCaseError> {
        self.input(jitter, Input::Closed { dial, code: code.map(CloseCode), reason: String::new() })?;
        // What was to take the place of a transport that is gone may be all there is.
        if self.held.is_none() && self.client.state() != State::Connected {
            self.held = self.held.or(self.next.take());
        }
        Ok(())
    }

    fn hears(&mut self, jitter: f64, dial: u64, frame: ServerFrame) -> Result<(), TestCaseError> {
        self.input(jitter, Input::Received { dial, frame: Open::Known(frame) })
    }

    fn input(&mut self, jitter: f64, input: Input) -> Result<(), TestCaseError> {
        let mut out = Vec::new();
        let heard = if let Input::Received { dial, .. } = &input { Some(*dial) } else { None };
        self.client.handle(self.now, jitter, input, &mut out);
        for output in out {
            match output {
                Output::Open { dial, transport } => {
                    let held = Some(Held { dial, transport, opened: false, said_hello: false });
                    if self.state == State::Connected && self.client.state() == State::Connected {
                        prop_assert!(self.next.is_none(), "dial {dial} beside two others");
                        self.next = held;
                    } else {
                        prop_assert!(self.held.is_none(), "dial {dial} beside another");
                        self.held = held;
                    }
                }
                Output::Renewed(_) if self.next.is_some_and(|next| Some(next.dial) == heard) => {
                    self.closing.extend(self.held.map(|held| held.dial));
                    self.held = self.next.take();
                }
                Output::Close { dial, .. } if self.next.is_some_and(|next| next.dial == dial) => {
                    self.next = None;
                    self.closing.push(dial);
                }
                Output::Close { dial, .. } if self.held.is_some_and(|held| held.dial == dial) => {
                    self.held = None;
                    self.closing.push(dial);
                }
                Output::Transmit { dial, frame } => {
                    let mut both = self.held.iter_mut().chain(self.next.iter_mut());
                    let held = both.find(|held| held.dial == dial && held.opened);
                    prop_assert!(held.is_some(), "{frame:?} into the air");
                    if let (Some(held), ClientFrame::Hello(_)) = (held, &*frame) {
                        let polls = held.transport == Transport::LongPoll;
                        prop_assert!(polls || !held.said_hello, "hello twice");
                        held.said_hello = true;
                    }
                }
                Output::FetchToken { fetch, .. } => self.fetch = Some(fetch),
                Output::Changed(transition) => {
                    prop_assert!(transition.from == self.state, "a transition from nowhere: {transition:?}");
                    prop_assert!(transition.from != transition.to);
                    self.state = transition.to;
                }
                _ => {}
            }
        }
        prop_assert!(self.client.state() == self.state, "a change without a transition");
        if self.client.state() == State::Connected && self.closing.is_empty() {
            let there = self.held.or(self.next);
            prop_assert!(there.is_some_and(|held| held.said_hello), "connected to nothing");
        }
        Ok(())
    }

    /// Everything that is under way succeeds; then what is there is what is wanted.
    fn comes_to_rest(&mut self) -> Result<(), TestCaseError> {
        self.input(1.0, Input::Network(NetworkLevel::Up))?;
        self.input(1.0, Input::App(AppLevel::Foreground))?;
        if self.mode == Mode::Manual && self.wanted {
            // What ended in the background waits for this.
            self.input(1.0, Input::Connect)?;
        }
        for round in 0..60 {
            while !self.closing.is_empty() {
                self.takes(1.0, Step::Closes(None))?;
            }
            self.takes(1.0, Step::GetsToken(format!("fresh {round}")))?;
            self.takes(1.0, Step::Opens)?;
            self.takes(1.0, Step::NextOpens)?;
            self.takes(1.0, Step::NextGetsReady)?;
            if self.client.state() != State::Connected {
                self.takes(1.0, Step::GetsReady)?;
            }
            let settled = match self.client.state() {
                State::Connected => self.wanted,
                State::Idle | State::Offline | State::Closed => !self.wanted,
                State::Failed(_) => true,
                _ => false,
            };
            if settled {
                break;
            }
            self.passes(1_000)?;
        }
        match self.client.state() {
            State::Connected => prop_assert!(self.wanted && self.held.is_some()),
            State::Idle | State::Closed => prop_assert!(!self.known && self.held.is_none()),
            State::Offline => prop_assert!(self.known && !self.wanted && self.held.is_none()),
            State::Failed(_) => prop_assert!(self.wanted && self.held.is_none()),
            other => prop_assert!(false, "at rest: {other:?}"),
        }
        Ok(())
    }
}
