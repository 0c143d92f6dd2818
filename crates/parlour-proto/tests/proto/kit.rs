//! What the stories are told with: one driver per machine, and outputs as short lines of text.

use std::collections::BTreeMap;

use parlour_proto::{
    Admission, Background, Backoff, Connection, ConnectionConfig, Effect, Input, Live, Load, Millis, Mode,
    Output, Session, SessionConfig, SessionInput, SessionOutput, State, TopicStart, Transition, Transport,
};
use parlour_wire::events::Event;
use parlour_wire::frames::{
    ClientFrame, ClientInfo, EventFrame, Hello, Limits, Ready, ResetReason, Resume, Resumed, ServerFrame,
    WatchTopic,
};
use parlour_wire::presence::PresenceSubscription;
use parlour_wire::users::{Me, User, UserInput};
use parlour_wire::{CloseCode, Epoch, Open, Seq, Timestamp, Topic};

pub(crate) const GENERAL: &str = "channel:messaging:general";
pub(crate) const RANDOM: &str = "channel:messaging:random";
pub(crate) const ALICE: &str = "user:alice";

pub(crate) fn topic(text: &str) -> Topic {
    text.parse().unwrap()
}

pub(crate) fn epoch(text: &str) -> Epoch {
    text.parse().unwrap()
}

/// A moment, named by the seconds since a day in November.
pub(crate) fn moment(seconds: i64) -> Timestamp {
    Timestamp::from_unix_ms(1_795_219_200_000 + seconds * 1_000)
}

pub(crate) fn user(id: &str) -> UserInput {
    UserInput::new(id.parse().unwrap())
}

pub(crate) fn ready() -> Ready {
    let user = User { online: true, ..User::new("alice".parse().unwrap(), moment(0)) };
    Ready {
        connection_id: "c1".parse().unwrap(),
        me: Me { total_unread_count: 0, unread_channels: 0, mutes: vec![], devices: vec![], user },
        epoch: epoch("e1"),
        as_of: moment(100),
        heartbeat_ms: 25_000,
        limits: Limits {
            frame_bytes: 65_536,
            frames_per_second: 20,
            frames_burst: 60,
            connections_per_user: 50,
            dead_link_ms: 35_000,
            message_chars: 5_000,
        },
        resumed: Resumed::Fresh,
        heads: BTreeMap::new(),
        channels: vec![],
        presence: vec![],
        presence_others: None,
    }
}

pub(crate) fn event(place: &str, seq: Seq) -> EventFrame {
    EventFrame { topic: topic(place), seq, event: Open::Known(Event::Placeholder { created_at: moment(0) }) }
}

pub(crate) fn hello(resume: Option<Resume>) -> Hello {
    Hello {
        app_key: "dev".parse().unwrap(),
        token: "t1".into(),
        user: None,
        client: ClientInfo { instance: "i".into(), version: 1, ..ClientInfo::default() },
        device: None,
        replaces: None,
        presence: PresenceSubscription::None,
        app_state: parlour_wire::frames::AppState::Foreground,
        heartbeat_ms: None,
        resume,
    }
}

pub(crate) fn resume(epoch_name: &str, cursors: &[(&str, Seq)]) -> Resume {
    let cursors = cursors.iter().map(|(place, seq)| (topic(place), *seq)).collect();
    Resume { epoch: epoch(epoch_name), as_of: moment(90), cursors }
}

pub(crate) fn connection_config() -> ConnectionConfig {
    ConnectionConfig {
        app_key: "dev".parse().unwrap(),
        client: ClientInfo { instance: "i".into(), version: 1, ..ClientInfo::default() },
        device: None,
        presence: PresenceSubscription::None,
        mode: Mode::Auto,
        background: Background::Park,
        background_grace_ms: 0,
        lease_ms: 30_000,
        transports: vec![Transport::WebSocket],
        stall_ms: 2_500,
        climb_ms: 600_000,
        wake_jump_ms: 10_000,
        wake_probe_ms: 3_000,
        dial_timeout_ms: 10_000,
        dead_link_ms: 35_000,
        stable_after_ms: 10_000,
        backoff: Backoff { base_ms: 500, cap_ms: 20_000 },
        retry_now_spread_ms: 300,
        spread_ms: 5_000,
        ui_grace_ms: 2_000,
    }
}

pub(crate) fn session_config() -> SessionConfig {
    SessionConfig {
        hello_wait_ms: 10_000,
        heartbeat_ms: 25_000,
        pong_wait_ms: 8_000,
        token_grace_ms: 30_000,
        lease_max_ms: 600_000,
        lease_grace_ms: 5_000,
        frames_per_second: 20,
        frames_burst: 60,
        replay_max: 300,
    }
}

/// A client's machine and the time.
pub(crate) struct Client {
    pub(crate) machine: Connection,
    pub(crate) now: Millis,
    pub(crate) jitter: f64,
}

impl Client {
    pub(crate) fn new() -> Self {
        Self::with(connection_config())
    }

    pub(crate) fn with(config: ConnectionConfig) -> Self {
        Self { machine: Connection::new(config), now: 0, jitter: 1.0 }
    }

    /// Connected as alice at 0, with dial 1 and these heads.
    pub(crate) fn connected(heads: &[(&str, Seq)]) -> Self {
        Self::connected_with(connection_config(), heads)
    }

    pub(crate) fn connected_with(config: ConnectionConfig, heads: &[(&str, Seq)]) -> Self {
        let mut client = Self::with(config);
        client.takes(Input::ConnectUser { user: user("alice") });
        client.takes(Input::TokenFetched { fetch: 1, token: "t1".into() });
        client.takes(Input::Opened { dial: 1 });
        let heads = heads.iter().map(|(place, seq)| (topic(place), *seq)).collect();
        client.hears(1, ServerFrame::Ready(Box::new(Ready { heads, ..ready() })));
        assert_eq!(client.state(), "connected");
        client
    }

    pub(crate) fn takes(&mut self, input: Input) -> Vec<String> {
        self.outputs(input).iter().map(line).collect()
    }

    pub(crate) fn outputs(&mut self, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        self.machine.handle(self.now, self.jitter, input, &mut out);
        out
    }

    pub(crate) fn hears(&mut self, dial: u64, frame: ServerFrame) -> Vec<String> {
        self.takes(Input::Received { dial, frame: Open::Known(frame) })
    }

    pub(crate) fn hears_event(&mut self, dial: u64, place: &str, seq: Seq) -> Vec<String> {
        self.hears(dial, ServerFrame::Event(Box::new(event(place, seq))))
    }

    pub(crate) fn closed(&mut self, dial: u64, code: Option<u16>) -> Vec<String> {
        self.takes(Input::Closed { dial, code: code.map(CloseCode), reason: String::new() })
    }

    /// Lets the time pass until `now`, with a tick at each deadline and one at the end.
    pub(crate) fn waits_until(&mut self, now: Millis) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(at) = self.machine.deadline().filter(|at| *at <= now) {
            self.now = self.now.max(at);
            let tick = self.takes(Input::Tick);
            assert!(!tick.is_empty() || self.machine.deadline() > Some(at), "a deadline that does nothing");
            lines.extend(tick.into_iter().map(|line| format!("{}: {line}", self.now)));
        }
        self.now = now;
        assert_eq!(self.takes(Input::Tick), [""; 0], "an output without a deadline");
        lines
    }

    /// From a dial that was just asked for to `ready`, all at once.
    pub(crate) fn gets_ready(&mut self, dial: u64, resumed: Resumed) -> Vec<String> {
        let mut lines = self.takes(Input::Opened { dial });
        lines.extend(self.hears(dial, ServerFrame::Ready(Box::new(Ready { resumed, ..ready() }))));
        lines
    }

    pub(crate) fn state(&self) -> String {
        state(&self.machine.state())
    }
}

pub(crate) fn state(state: &State) -> String {
    match state {
        State::Connecting { attempt } => format!("connecting {attempt}"),
        State::Reconnecting { attempt, retry_at: None } => format!("reconnecting {attempt}"),
        State::Reconnecting { attempt, retry_at: Some(at) } => format!("reconnecting {attempt} at {at}"),
        State::Failed(_) => "failed".into(),
        other => format!("{other:?}").to_lowercase(),
    }
}

pub(crate) fn line(output: &Output) -> String {
    match output {
        Output::Open { dial, transport: Transport::WebSocket } => format!("open {dial}"),
        Output::Open { dial, transport } => format!("open {dial} by {}", name(*transport)),
        Output::Transmit { dial, frame } => format!("transmit {dial} {}", client_frame(frame)),
        Output::Close { dial, code } => format!("close {dial} {}", code.0),
        Output::FetchToken { fetch, refused: None } => format!("fetch {fetch}"),
        Output::FetchToken { fetch, refused: Some(token) } => format!("fetch {fetch} instead of {token}"),
        Output::Ready(ready) => format!("ready {}", ready.resumed),
        Output::Renewed(ready) => format!("renewed {}", ready.resumed),
        Output::FellBack { from, to, because } => {
            format!("from {} to {}: {because}", name(*from), name(*to))
        }
        Output::Deliver(event) => format!("deliver {} {}", event.topic, event.seq),
        Output::Signal { .. } => "signal".into(),
        Output::Reset { topic, reason, head } => format!("reset {topic} {reason} {head}"),
        Output::Refused { error, .. } => format!("refused {}", error.code),
        Output::Pong { id } => format!("pong {id}"),
        Output::Throttled { feature, for_ms } => format!("throttled {feature} {for_ms}"),
        Output::Changed(transition) => {
            let Transition { from, to, cause, code } = &**transition;
            let code = code.map(|code| format!(" {}", code.0)).unwrap_or_default();
            format!("{} -> {} ({cause:?}{code})", state(from), state(to))
        }
    }
}

fn name(transport: Transport) -> &'static str {
    match transport {
        Transport::WebSocket => "web_socket",
        Transport::EventStream => "event_stream",
        Transport::LongPoll => "long_poll",
    }
}

pub(crate) fn client_frame(frame: &ClientFrame) -> String {
    match frame {
        ClientFrame::Hello(hello) => {
            let user = if hello.user.is_some() { " with user" } else { "" };
            let resume = hello.resume.as_ref().map(|resume| {
                let cursors: Vec<_> =
                    resume.cursors.iter().map(|(topic, seq)| format!("{topic} {seq}")).collect();
                format!(" after [{}]", cursors.join(", "))
            });
            format!("hello {}{user}{}", hello.token, resume.unwrap_or_default())
        }
        ClientFrame::Watch { topics } => {
            let topics: Vec<_> = topics
                .iter()
                .map(|WatchTopic { topic, after }| match after {
                    Some(after) => format!("{topic} after {after}"),
                    None => topic.to_string(),
                })
                .collect();
            format!("watch {}", topics.join(", "))
        }
        ClientFrame::AppState { state, lease_ms: None } => format!("app_state {state}"),
        ClientFrame::AppState { state, lease_ms: Some(ms) } => format!("app_state {state} for {ms}"),
        ClientFrame::Token { token } => format!("token {token}"),
        ClientFrame::Bye { intent } => format!("bye {intent}"),
        ClientFrame::Ping { id } => format!("ping {id}"),
        other => serde_json::to_value(other).unwrap()["type"].as_str().unwrap().to_owned(),
    }
}

/// A server's machine and the time. Its events are numbers, so that a line can name them.
pub(crate) struct Server {
    pub(crate) machine: Session<EventFrame>,
    pub(crate) now: Millis,
}

pub(crate) fn start(place: &str, head: Seq) -> TopicStart {
    TopicStart { topic: topic(place).into(), head, floor: 0, hidden_up_to: 0, as_of_seq: None }
}

pub(crate) fn admission(topics: Vec<TopicStart>) -> Admission {
    Admission { ready: Box::new(ready()), topics, token_expires_in_ms: None }
}

impl Server {
    pub(crate) fn new() -> Self {
        Self { machine: Session::new(0, session_config(), 1.0), now: 0 }
    }

    /// Ready at 0, after a hello with this resume; with what was said from `ready` on.
    pub(crate) fn admitted(resume: Option<Resume>, topics: Vec<TopicStart>) -> (Self, Vec<String>) {
        let mut server = Self::new();
        assert_eq!(server.hears(ClientFrame::Hello(Box::new(hello(resume)))), ["admit t1"]);
        let lines = server.takes(SessionInput::Admitted(Box::new(admission(topics))));
        (server, lines)
    }

    pub(crate) fn listening_to(topics: Vec<TopicStart>) -> Self {
        Self::admitted(None, topics).0
    }

    pub(crate) fn takes(&mut self, input: SessionInput<EventFrame>) -> Vec<String> {
        self.outputs(input).iter().map(session_line).collect()
    }

    pub(crate) fn outputs(&mut self, input: SessionInput<EventFrame>) -> Vec<SessionOutput<EventFrame>> {
        let mut out = Vec::new();
        self.machine.handle(self.now, input, &mut out);
        out
    }

    pub(crate) fn hears(&mut self, frame: ClientFrame) -> Vec<String> {
        self.takes(SessionInput::Frame(Open::Known(frame)))
    }

    pub(crate) fn live(&mut self, place: &str, seq: Seq) -> Vec<String> {
        self.takes(SessionInput::Live(live(place, seq, Effect::None)))
    }

    pub(crate) fn head(&mut self, place: &str, head: Seq) -> Vec<String> {
        self.takes(SessionInput::Head { topic: topic(place).into(), head })
    }

    pub(crate) fn loaded(
        &mut self,
        place: &str,
        seqs: impl IntoIterator<Item = Seq>,
        head: Seq,
    ) -> Vec<String> {
        let events = seqs.into_iter().map(|seq| live(place, seq, Effect::None)).collect();
        self.takes(SessionInput::Loaded { topic: topic(place).into(), load: Load::Events { events, head } })
    }

    pub(crate) fn watches(&mut self, place: &str, after: Option<Seq>) -> Vec<String> {
        self.hears(ClientFrame::Watch { topics: vec![WatchTopic { topic: topic(place), after }] })
    }

    pub(crate) fn ticks_at(&mut self, now: Millis) -> Vec<String> {
        self.now = now;
        self.takes(SessionInput::Tick { late: false })
    }
}

pub(crate) fn live(place: &str, seq: Seq, effect: Effect) -> Live<EventFrame> {
    Live { topic: topic(place).into(), seq, frame: event(place, seq), effect }
}

pub(crate) fn session_line(output: &SessionOutput<EventFrame>) -> String {
    match output {
        SessionOutput::Admit(hello) => format!("admit {}", hello.token),
        SessionOutput::Attach(topic) => format!("attach {topic}"),
        SessionOutput::Detach(topic) => format!("detach {topic}"),
        SessionOutput::Load { topic, after, .. } => format!("load {topic} after {after}"),
        SessionOutput::LookAtHeads => "look at heads".into(),
        SessionOutput::Send(frame) => server_frame(frame),
        SessionOutput::SendShared(event) => format!("event {} {}", event.topic, event.seq),
        SessionOutput::Watch(topic) => format!("may watch {topic}?"),
        SessionOutput::VerifyToken(token) => format!("verify {token}"),
        SessionOutput::Review => "review".into(),
        SessionOutput::Signal { topic, .. } => format!("signal to {topic}"),
        SessionOutput::AppState { state, .. } => format!("app_state {state}"),
        SessionOutput::Presence(_) => "presence".into(),
        SessionOutput::Leaving(intent) => format!("leaving {intent}"),
        SessionOutput::Tabs(count) => format!("tabs {count}"),
        SessionOutput::Close { code, reason } => format!("close {} {reason}", code.0),
    }
}

pub(crate) fn server_frame(frame: &ServerFrame) -> String {
    match frame {
        ServerFrame::Ready(ready) => format!("ready {}", ready.resumed),
        ServerFrame::Event(event) => format!("event {} {}", event.topic, event.seq),
        ServerFrame::Reset { topic, reason, head } => format!("reset {topic} {reason} {head}"),
        ServerFrame::Ping { as_of } => {
            format!("ping as of {}", (as_of.unix_ms() - moment(0).unix_ms()) / 1_000)
        }
        ServerFrame::Pong { id } => format!("pong {id}"),
        ServerFrame::TokenExpiring { grace_ms } => format!("token_expiring {grace_ms}"),
        ServerFrame::Bye { code, .. } => format!("bye {}", code.0),
        ServerFrame::Error { error, topic: None } => format!("error {}", error.code),
        ServerFrame::Error { error, topic: Some(topic) } => format!("error {} {topic}", error.code),
        other => serde_json::to_value(other).unwrap()["type"].as_str().unwrap().to_owned(),
    }
}

pub(crate) fn bye(code: CloseCode, retry_after_ms: Option<u32>) -> ServerFrame {
    ServerFrame::Bye { code, reason: code.name().into_owned(), retry_after_ms, replaced_by: None }
}

pub(crate) fn reset(place: &str, reason: ResetReason, head: Seq) -> ServerFrame {
    ServerFrame::Reset { topic: topic(place), reason, head }
}
