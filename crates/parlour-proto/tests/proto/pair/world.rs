//! The world that a pair of machines lives in.

use std::collections::{BTreeMap, BTreeSet};
use std::slice;
use std::sync::Arc;

use parlour_proto::{
    Admission, AppLevel, Connection, Effect, Input, Load, Millis, NetworkLevel, Output, Session,
    SessionConfig, SessionInput, SessionOutput, State, TopicStart,
};
use parlour_wire::frames::{ClientFrame, EventFrame, Ready, ResetReason, Resumed, ServerFrame};
use parlour_wire::{CloseCode, Epoch, ErrorCode, Open, Seq, Timestamp, Topic};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::log::Log;
use super::tally::Tally;
use crate::kit::{self, ALICE, connection_config, session_config, topic, user};

/// How long things go wrong, and how long there is then to come to rest.
const CHAOS_MS: Millis = 180_000;
const REST_MS: Millis = 150_000;
/// Events of one topic that a resume replays here: few, so that resets are not rare.
const REPLAY_MAX: u64 = 15;
/// The model's clock at 0.
const EPOCH_MS: i64 = 1_795_219_200_000;

/// What is switched off, to see whether it would be missed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Sabotage {
    None,
    NoHeadCheck,
    /// The server's half passes on what is live without having loaded what is before it.
    EventsSkipped,
}

/// Where the app stands in a topic.
#[derive(Debug, Default)]
struct AppTopic {
    /// What it loaded over HTTP.
    loaded: Seq,
    /// The last event that was delivered since.
    delivered: Option<Seq>,
}

/// A transport, and the session at its other end.
struct Line {
    session: Session<EventFrame>,
    attached: BTreeSet<Arc<Topic>>,
    /// Frames still pass.
    carries: bool,
    /// The server's end is there.
    served: bool,
    opened: bool,
    as_of: Option<Timestamp>,
    /// Frames of one direction arrive in the order in which they were sent.
    to_client_at: Millis,
    to_server_at: Millis,
}

enum Happening {
    Client(Box<Input>),
    /// A frame, the opening or the end of a transport, at the client's side; lost where the line is cut.
    Arrives {
        dial: u64,
        input: Box<Input>,
    },
    Server {
        dial: u64,
        input: Box<SessionInput<EventFrame>>,
    },
    /// A frame at the server's side.
    Said {
        dial: u64,
        frame: Box<ClientFrame>,
    },
    Accept {
        dial: u64,
    },
    Load {
        dial: u64,
        topic: Arc<Topic>,
        after: Seq,
        limit: u64,
    },
    LookAtHeads {
        dial: u64,
    },
    HeadCheck,
    Publish,
    Trouble,
    ServerUp,
    EndOfTrouble,
}

pub(crate) struct World {
    now: Millis,
    dice: StdRng,
    sabotage: Sabotage,
    agenda: BTreeMap<(Millis, u64), Happening>,
    numbers: u64,
    client: Connection,
    /// The transport that the client holds or opens: never two.
    held: Option<u64>,
    lines: BTreeMap<u64, Line>,
    server_up: bool,
    epoch: u32,
    logs: BTreeMap<Topic, Log>,
    members_of: BTreeSet<Topic>,
    /// Where in her own topic the last joining of a channel stands.
    joined: BTreeMap<Topic, Seq>,
    watched: Topic,
    app: BTreeMap<Topic, AppTopic>,
    wanted: bool,
    logged_in: bool,
    trouble: bool,
    token_life_ms: Option<Millis>,
    tally: Tally,
    /// Set `PARLOUR_SEED` to see one run, output by output.
    trace: bool,
}

type Outcome = Result<(), String>;

impl World {
    pub(crate) fn run(seed: u64, sabotage: Sabotage) -> Result<Tally, String> {
        let mut dice = StdRng::seed_from_u64(seed);
        let channels: Vec<Topic> = (0..6).map(|n| topic(&format!("channel:messaging:{n}"))).collect();
        let watched = topic("channel:livestream:show");
        let mut logs: BTreeMap<Topic, Log> = BTreeMap::new();
        for at in channels.iter().chain([&watched, &topic(ALICE), &topic("app:dev")]) {
            let events = (0..dice.random_range(0..30)).map(|_| (0, Effect::None)).collect();
            logs.insert(at.clone(), Log { events, ..Log::default() });
        }
        let members_of = channels.iter().filter(|_| dice.random_bool(0.6)).cloned().collect();
        let token_life_ms = dice.random_bool(0.5).then(|| dice.random_range(15_000..60_000));
        let mut world = Self {
            now: 1_000,
            dice,
            sabotage,
            agenda: BTreeMap::new(),
            numbers: 0,
            client: Connection::new(connection_config()),
            held: None,
            lines: BTreeMap::new(),
            server_up: true,
            epoch: 1,
            logs,
            members_of,
            joined: BTreeMap::new(),
            watched,
            app: BTreeMap::new(),
            wanted: true,
            logged_in: true,
            trouble: true,
            token_life_ms,
            tally: Tally::default(),
            trace: std::env::var("PARLOUR_SEED").is_ok() && sabotage == Sabotage::None,
        };
        world.play()?;
        Ok(world.tally)
    }

    fn play(&mut self) -> Outcome {
        self.client(Input::ConnectUser { user: user("alice") })?;
        self.plan(10, Happening::Publish);
        self.plan(3_000, Happening::Trouble);
        self.plan(5_000, Happening::HeadCheck);
        self.plan(CHAOS_MS, Happening::EndOfTrouble);
        let end = self.now + CHAOS_MS + REST_MS;
        loop {
            let planned = self.agenda.first_key_value().map(|((at, _), _)| *at);
            let client = self.client.deadline();
            let sessions = self.lines.iter().filter(|(_, line)| line.served);
            let session = sessions.filter_map(|(dial, line)| Some((line.session.deadline()?, *dial))).min();
            let next = [planned, client, session.map(|(at, _)| at)].into_iter().flatten().min();
            let Some(next) = next.filter(|at| *at <= end) else { break };
            self.now = self.now.max(next);
            if planned == Some(next) {
                let (_, happening) = self.agenda.pop_first().unwrap();
                self.happens(happening)?;
            } else if client == Some(next) {
                self.client(Input::Tick)?;
            } else if let Some((_, dial)) = session {
                self.server(dial, SessionInput::Tick { late: false });
            }
        }
        self.check_rest()
    }

    /// What holds when nothing has gone wrong for a while.
    fn check_rest(&self) -> Outcome {
        let state = self.client.state();
        if state != State::Connected {
            return Err(format!("at rest the client is {state:?}"));
        }
        for (at, log) in &self.logs {
            let hers =
                !matches!(at, Topic::Channel(_)) || self.members_of.contains(at) || *at == self.watched;
            if !hers {
                continue;
            }
            let Some(app) = self.app.get(at) else { return Err(format!("the app knows nothing of {at}")) };
            let has = app.delivered.unwrap_or(0).max(app.loaded);
            if has != log.head() {
                return Err(format!("the app has {at} up to {has}, the log up to {}", log.head()));
            }
        }
        Ok(())
    }

    fn plan(&mut self, after: Millis, happening: Happening) {
        self.numbers += 1;
        self.agenda.insert((self.now + after, self.numbers), happening);
    }

    fn plan_at(&mut self, at: Millis, happening: Happening) {
        self.plan(at.saturating_sub(self.now), happening);
    }

    fn chance(&mut self, of: f64) -> bool {
        self.trouble && self.dice.random_bool(of)
    }

    fn delay(&mut self) -> Millis {
        self.dice.random_range(1..40)
    }

    fn time(&self) -> Timestamp {
        Timestamp::from_unix_ms(EPOCH_MS + self.now as i64)
    }

    fn happens(&mut self, happening: Happening) -> Outcome {
        match happening {
            Happening::Client(input) => self.client(*input)?,
            Happening::Arrives { dial, input } => {
                let opens = matches!(*input, Input::Opened { .. });
                if self.lines.get(&dial).is_some_and(|line| line.carries) {
                    if opens && let Some(line) = self.lines.get_mut(&dial) {
                        line.opened = true;
                    }
                    self.client(*input)?;
                }
            }
            Happening::Server { dial, input } => self.server(dial, *input),
            Happening::Said { dial, frame } => {
                if self.lines.get(&dial).is_some_and(|line| line.carries) {
                    // Through its text and back, as on a wire.
                    let text = serde_json::to_string(&*frame).unwrap();
                    self.server(dial, SessionInput::Frame(Open::Known(serde_json::from_str(&text).unwrap())));
                }
            }
            Happening::Accept { dial } => {
                if let Some(line) = self.lines.get_mut(&dial) {
                    line.session = Session::new(self.now, session_settings(), self.dice.random());
                    line.served = true;
                }
            }
            Happening::Load { dial, topic, after, limit } => {
                let load = self.load(&topic, after, limit);
                self.server(dial, SessionInput::Loaded { topic, load });
            }
            Happening::LookAtHeads { dial } => self.look_at_heads(dial),
            Happening::HeadCheck => {
                let dials: Vec<u64> = self.lines.keys().copied().collect();
                for dial in dials {
                    if self.sabotage == Sabotage::NoHeadCheck {
                        break;
                    }
                    self.look_at_heads(dial);
                    let as_of = self.time();
                    self.server(dial, SessionInput::Checked { as_of });
                }
                self.plan(5_000, Happening::HeadCheck);
            }
            Happening::Publish => {
                self.publish_something();
                let pause = self.dice.random_range(1..1_500);
                if self.trouble {
                    self.plan(pause, Happening::Publish);
                }
            }
            Happening::Trouble => {
                if self.trouble {
                    self.make_trouble()?;
                    let pause = self.dice.random_range(100..6_000);
                    self.plan(pause, Happening::Trouble);
                }
            }
            Happening::ServerUp => self.server_up = true,
            Happening::EndOfTrouble => {
                self.trouble = false;
                self.server_up = true;
                self.wanted = true;
                self.client(Input::Network(NetworkLevel::Up))?;
                self.client(Input::App(AppLevel::Foreground))?;
                if !self.logged_in {
                    self.log_in()?;
                }
                self.client(Input::Connect)?;
                self.watch()?;
            }
        }
        Ok(())
    }

    // The client's side.

    fn client(&mut self, input: Input) -> Outcome {
        let mut out = Vec::new();
        let jitter = self.dice.random();
        let tick = matches!(input, Input::Tick);
        self.client.handle(self.now, jitter, input, &mut out);
        if tick && self.client.deadline().is_some_and(|at| at <= self.now) && out.is_empty() {
            return Err("the client's deadline stands still".into());
        }
        for output in out {
            if self.trace {
                println!("{:>7} client: {}", self.now, kit::line(&output));
            }
            self.client_does(output)?;
        }
        Ok(())
    }

    fn client_does(&mut self, output: Output) -> Outcome {
        match output {
            Output::Open { dial, .. } => {
                if let Some(held) = self.held.replace(dial) {
                    return Err(format!("dial {dial} while {held} is held"));
                }
                self.tally.dials += 1;
                self.open(dial);
            }
            Output::Transmit { dial, frame } => {
                let delay = self.delay();
                let Some(line) = self.lines.get_mut(&dial) else { return Err("speaks into the air".into()) };
                let at = line.to_server_at.max(self.now + delay);
                line.to_server_at = at;
                self.plan_at(at, Happening::Said { dial, frame });
            }
            Output::Close { dial, .. } => {
                if self.held == Some(dial) {
                    self.held = None;
                }
                // What was sent before may still arrive; nothing comes back.
                let delay = self.delay();
                self.plan(
                    delay,
                    Happening::Client(Box::new(Input::Closed { dial, code: None, reason: String::new() })),
                );
                let at = self.lines.get(&dial).map_or(self.now, |line| line.to_server_at);
                self.plan_at(at + 100, Happening::Server { dial, input: Box::new(gone()) });
            }
            Output::FetchToken { fetch, .. } => {
                let input = if self.chance(0.1) {
                    Input::TokenFailed { fetch, permanent: false, message: "down".into() }
                } else {
                    self.numbers += 1;
                    Input::TokenFetched { fetch, token: format!("t{}", self.numbers) }
                };
                let delay = self.delay();
                self.plan(delay, Happening::Client(Box::new(input)));
            }
            Output::Ready(ready) => self.app_is_ready(&ready),
            Output::Deliver(event) => self.app_takes(&event)?,
            Output::Reset { topic, reason, .. } => {
                self.tally.resets += 1;
                self.tally.other_epochs += u64::from(reason == ResetReason::OtherEpoch);
                self.app_loads(&topic, &reason);
            }
            Output::Changed(transition) => match transition.to {
                State::Failed(why) => return Err(format!("the client failed: {why:?}")),
                _ if transition.cause == parlour_proto::Cause::DeadLink => self.tally.dead_links += 1,
                _ => {}
            },
            Output::Signal { .. }
            | Output::Refused { .. }
            | Output::Pong { .. }
            | Output::Renewed(_)
            | Output::FellBack { .. }
            | Output::Throttled { .. } => {}
        }
        Ok(())
    }

    fn open(&mut self, dial: u64) {
        let delay = self.delay();
        if !self.server_up || self.chance(0.1) {
            let closed = Input::Closed { dial, code: None, reason: "refused".into() };
            self.plan(delay, Happening::Client(Box::new(closed)));
            self.held_is_gone_with(dial);
            return;
        }
        let swallowed = self.chance(0.05);
        let line = Line {
            session: Session::new(self.now, session_settings(), 0.0),
            attached: BTreeSet::new(),
            carries: !swallowed,
            served: false,
            opened: false,
            as_of: None,
            to_client_at: self.now,
            to_server_at: self.now + delay,
        };
        self.lines.insert(dial, line);
        if !swallowed {
            self.plan(delay, Happening::Accept { dial });
            self.plan(2 * delay, Happening::Arrives { dial, input: Box::new(Input::Opened { dial }) });
        }
    }

    /// A `Closed` is on its way for this dial: the transport is not there any more, whenever it is heard.
    fn held_is_gone_with(&mut self, dial: u64) {
        if self.held == Some(dial) {
            self.held = None;
        }
    }

    fn app_is_ready(&mut self, ready: &Ready) {
        match ready.resumed {
            Resumed::Fresh => {
                self.tally.fresh += 1;
                // It loads everything that is hers.
                let hers: Vec<Topic> = self.hers();
                for at in hers {
                    self.app.insert(at.clone(), AppTopic { loaded: self.logs[&at].head(), delivered: None });
                }
                // The topics whose heads the client knows go on there.
                for (at, head) in &ready.heads {
                    self.app.insert(at.clone(), AppTopic { loaded: *head, delivered: Some(*head) });
                }
            }
            Resumed::Resumed => self.tally.resumed += 1,
            _ => self.tally.caught_up += 1,
        }
    }

    fn app_takes(&mut self, event: &EventFrame) -> Outcome {
        self.tally.deliveries += 1;
        let (at, seq) = (&event.topic, event.seq);
        // An event of a channel that it does not know, or has known as a member of before, makes the app load
        // the channel: the word of her joining stands in another topic and may come later.
        let head = self.logs[at].head();
        let told = self.app.get(&topic(ALICE)).map_or(0, |own| own.delivered.unwrap_or(0).max(own.loaded));
        let place = AppTopic { loaded: head, delivered: None };
        if self.joined.get(at).is_some_and(|joined| *joined > told) {
            let known = self.app.get(at).and_then(|app| app.delivered);
            self.app
                .insert(at.clone(), AppTopic { delivered: known.filter(|last| *last + 1 == seq), ..place });
        } else {
            self.app.entry(at.clone()).or_insert(place);
        }
        let app = self.app.get_mut(at).unwrap();
        let in_order = match app.delivered {
            Some(last) => seq == last + 1,
            // What it loaded may come again; nothing may be left out, but for what is hidden from her since
            // she left and came back.
            None => seq <= app.loaded.max(self.logs[at].hidden_up_to) + 1,
        };
        if !in_order {
            return Err(format!("{at}: {seq} was delivered after {app:?}"));
        }
        app.delivered = Some(seq);
        let effect = self.logs[at].events.get(seq as usize - 1).map(|(_, effect)| effect.clone());
        match effect {
            Some(Effect::Join { topic: joined, .. }) => {
                let loaded = self.logs[&*joined].head();
                self.app.insert(Topic::clone(&joined), AppTopic { loaded, delivered: None });
            }
            Some(Effect::Leave { topic: left }) => {
                self.app.remove(&*left);
            }
            Some(Effect::None | Effect::Review) | None => {}
        }
        Ok(())
    }

    fn app_loads(&mut self, at: &Topic, reason: &ResetReason) {
        if *reason == ResetReason::NoAccess && !self.members_of.contains(at) {
            self.app.remove(at);
        } else if let Some(log) = self.logs.get(at) {
            self.app.insert(at.clone(), AppTopic { loaded: log.head(), delivered: None });
        }
        if matches!(at, Topic::User(_)) {
            // Joinings may be among what was missed: it asks for its channels anew.
            for at in self.hers() {
                let loaded = self.logs[&at].head();
                let app = self.app.entry(at).or_default();
                app.loaded = app.loaded.max(if app.delivered.is_none() { loaded } else { 0 });
            }
        }
    }

    fn watch(&mut self) -> Outcome {
        let at = self.watched.clone();
        let after = self.logs[&at].head();
        let app = self.app.entry(at.clone()).or_default();
        app.loaded = app.loaded.max(after);
        app.delivered = Some(app.delivered.unwrap_or(0).max(after));
        self.client(Input::Watch { topic: at, after: Some(after) })
    }

    fn log_in(&mut self) -> Outcome {
        self.logged_in = true;
        self.client(Input::ConnectUser { user: user("alice") })?;
        if self.trouble { self.watch() } else { Ok(()) }
    }

    // The server's side.

    fn server(&mut self, dial: u64, input: SessionInput<EventFrame>) {
        let Some(line) = self.lines.get_mut(&dial).filter(|line| line.served) else { return };
        let mut out = Vec::new();
        if let (Sabotage::EventsSkipped, SessionInput::Live(event)) = (self.sabotage, &input) {
            out.push(SessionOutput::SendShared(event.frame.clone()));
        }
        // The short way first, as the hub takes it.
        let run = match &input {
            SessionInput::Live(event) => line.session.pass(slice::from_ref(event)),
            _ => 0..0,
        };
        match input {
            SessionInput::Live(event) if !run.is_empty() => out.push(SessionOutput::SendShared(event.frame)),
            SessionInput::Live(_) if run.end == 1 => {}
            input => line.session.handle(self.now, input, &mut out),
        }
        for output in out {
            if self.trace {
                println!("{:>7} server {dial}: {}", self.now, kit::session_line(&output));
            }
            self.server_does(dial, output);
        }
    }

    fn server_does(&mut self, dial: u64, output: SessionOutput<EventFrame>) {
        let delay = self.delay();
        match output {
            SessionOutput::Admit(hello) => {
                if let Some(line) = self.lines.get_mut(&dial) {
                    line.as_of = hello.resume.map(|resume| resume.as_of);
                }
                // What the store says now is heard a little later.
                let admission = self.admission(dial);
                let input = SessionInput::Admitted(Box::new(admission));
                self.plan(delay, Happening::Server { dial, input: Box::new(input) });
            }
            SessionOutput::Attach(at) => {
                self.lines.get_mut(&dial).unwrap().attached.insert(at);
            }
            SessionOutput::Detach(at) => {
                self.lines.get_mut(&dial).unwrap().attached.remove(&at);
            }
            SessionOutput::Load { topic, after, limit } => {
                self.tally.loads += 1;
                self.plan(delay, Happening::Load { dial, topic, after, limit });
            }
            SessionOutput::LookAtHeads => self.plan(delay, Happening::LookAtHeads { dial }),
            SessionOutput::Send(frame) => self.send(dial, delay, *frame),
            SessionOutput::SendShared(event) => self.send(dial, delay, ServerFrame::Event(Box::new(event))),
            SessionOutput::Watch(at) => {
                let input = match self.logs.get(&*at) {
                    Some(log) if *at == self.watched || self.members_of.contains(&*at) => {
                        SessionInput::Watched { start: self.start(&at, log, None) }
                    }
                    _ => {
                        SessionInput::WatchRefused { topic: at, error: Box::new(ErrorCode::NotFound.error()) }
                    }
                };
                self.plan(delay, Happening::Server { dial, input: Box::new(input) });
            }
            SessionOutput::VerifyToken(_) => {
                self.tally.tokens_renewed += 1;
                let input = SessionInput::TokenAccepted { expires_in_ms: self.token_life_ms };
                self.plan(delay, Happening::Server { dial, input: Box::new(input) });
            }
            SessionOutput::Close { code, reason } => {
                let line = self.lines.get_mut(&dial).unwrap();
                line.served = false;
                line.attached.clear();
                let at = line.to_client_at.max(self.now + delay);
                let closed = Input::Closed { dial, code: Some(code), reason };
                self.plan_at(at, Happening::Arrives { dial, input: Box::new(closed) });
                self.held_is_gone_with(dial);
            }
            SessionOutput::Signal { .. }
            | SessionOutput::AppState { .. }
            | SessionOutput::Presence(_)
            | SessionOutput::Tabs(_)
            | SessionOutput::Review
            | SessionOutput::Leaving(_) => {}
        }
    }

    fn send(&mut self, dial: u64, delay: Millis, frame: ServerFrame) {
        let line = self.lines.get_mut(&dial).unwrap();
        let at = line.to_client_at.max(self.now + delay);
        line.to_client_at = at;
        let frame = ServerFrame::parse(&serde_json::to_string(&frame).unwrap()).unwrap();
        self.plan_at(at, Happening::Arrives { dial, input: Box::new(Input::Received { dial, frame }) });
    }

    fn hers(&self) -> Vec<Topic> {
        let hers = |at: &&Topic| !matches!(at, Topic::Channel(_)) || self.members_of.contains(*at);
        self.logs.keys().filter(hers).cloned().collect()
    }

    fn start(&self, at: &Topic, log: &Log, as_of: Option<Timestamp>) -> TopicStart {
        let before = |as_of: Timestamp| {
            let at_ms = as_of.unix_ms() - EPOCH_MS - 10_000;
            log.events.iter().filter(|(time, _)| (*time as i64) < at_ms).count() as Seq
        };
        TopicStart {
            topic: at.clone().into(),
            head: log.head(),
            floor: log.floor,
            hidden_up_to: log.hidden_up_to,
            as_of_seq: as_of.map(before),
        }
    }

    fn admission(&self, dial: u64) -> Admission {
        let as_of = self.lines[&dial].as_of;
        let topics: Vec<TopicStart> =
            self.hers().iter().map(|at| self.start(at, &self.logs[at], as_of)).collect();
        // Not of all: the others begin with the first event that comes.
        let heads =
            topics.iter().skip(2).take(3).map(|start| (Topic::clone(&start.topic), start.head)).collect();
        let ready = Ready { epoch: self.epoch_name(), as_of: self.time(), heads, ..kit::ready() };
        Admission { ready: Box::new(ready), topics, token_expires_in_ms: self.token_life_ms }
    }

    fn epoch_name(&self) -> Epoch {
        format!("e{}", self.epoch).parse().unwrap()
    }

    fn load(&mut self, at: &Topic, after: Seq, limit: u64) -> Load<EventFrame> {
        if self.chance(0.1) {
            self.tally.failed_loads += 1;
            return Load::Failed;
        }
        let readable =
            !matches!(at, Topic::Channel(_)) || self.members_of.contains(at) || *at == self.watched;
        let Some(log) = self.logs.get(at).filter(|_| readable) else { return Load::NoAccess };
        let from = after.max(log.hidden_up_to);
        if from < log.floor {
            return Load::Trimmed { head: log.head() };
        }
        let events = (from + 1..=log.head()).take(limit as usize).map(|seq| log.live(at, seq)).collect();
        Load::Events { events, head: log.head() }
    }

    fn look_at_heads(&mut self, dial: u64) {
        let Some(line) = self.lines.get(&dial) else { return };
        let heads: Vec<(Arc<Topic>, Seq)> =
            line.attached.iter().map(|at| (at.clone(), self.logs.get(at).map_or(0, Log::head))).collect();
        for (topic, head) in heads {
            self.server(dial, SessionInput::Head { topic, head });
        }
    }

    // What happens.

    fn publish_something(&mut self) {
        let topics: Vec<Topic> = self.logs.keys().cloned().collect();
        let at = topics[self.dice.random_range(0..topics.len())].clone();
        match self.dice.random_range(0..20) {
            0 => self.join_or_leave(),
            1 => (0..self.dice.random_range(1..40)).for_each(|_| self.publish(&at, Effect::None)),
            _ => self.publish(&at, Effect::None),
        }
    }

    fn join_or_leave(&mut self) {
        let channel = topic(&format!("channel:messaging:{}", self.dice.random_range(0..6)));
        let effect = if self.members_of.remove(&channel) {
            self.tally.leaves += 1;
            self.publish(&channel, Effect::None);
            Effect::Leave { topic: channel.into() }
        } else {
            self.tally.joins += 1;
            let hides = self.dice.random_bool(0.5);
            let log = self.logs.get_mut(&channel).unwrap();
            log.hidden_up_to = if hides { log.head() } else { 0 };
            self.members_of.insert(channel.clone());
            self.publish(&channel, Effect::None);
            let seq = self.logs[&channel].head();
            self.joined.insert(channel.clone(), self.logs[&topic(ALICE)].head() + 1);
            Effect::Join { topic: channel.into(), seq }
        };
        self.publish(&topic(ALICE), effect);
    }

    fn publish(&mut self, at: &Topic, effect: Effect) {
        self.tally.events += 1;
        let log = self.logs.get_mut(at).unwrap();
        log.events.push((self.now, effect));
        let live = log.live(at, log.head());
        let listening = self.lines.iter().filter(|(_, line)| line.served && line.attached.contains(at));
        let dials: Vec<u64> = listening.map(|(dial, _)| *dial).collect();
        for dial in dials {
            // Also where nothing else goes wrong: a bus promises nothing.
            if self.dice.random_bool(0.1) {
                self.tally.lost_publishes += 1;
                continue;
            }
            let delay = self.delay();
            self.plan(delay, Happening::Server { dial, input: Box::new(SessionInput::Live(live.clone())) });
        }
    }

    fn make_trouble(&mut self) -> Outcome {
        match self.dice.random_range(0..16) {
            0..=4 => self.cut(),
            5 => self.restart(),
            6 => {
                let at = self.hers()[0].clone();
                let log = self.logs.get_mut(&at).unwrap();
                log.floor = log.head().saturating_sub(3);
            }
            7 => return self.client(Input::Disconnect),
            8 => return self.client(Input::Connect),
            9 => return self.client(Input::Network(NetworkLevel::Down)),
            10 => return self.client(Input::Network(NetworkLevel::Up)),
            11 => return self.client(Input::App(AppLevel::Hidden)),
            12 => return self.client(Input::App(AppLevel::Foreground)),
            13 => return self.client(Input::RetryNow),
            14 if self.dice.random_bool(0.3) => {
                self.tally.logouts += 1;
                self.logged_in = false;
                self.app.clear();
                return self.client(Input::DisconnectUser);
            }
            14 | 15 if !self.logged_in => return self.log_in(),
            _ => return self.watch_if_connected(),
        }
        Ok(())
    }

    fn watch_if_connected(&mut self) -> Outcome {
        if self.logged_in { self.watch() } else { Ok(()) }
    }

    /// The link breaks; who notices, and when, is chance.
    fn cut(&mut self) {
        let Some(dial) = self.held else { return };
        let noticed = self.dice.random_bool(0.8);
        let served = self.dice.random_bool(0.5);
        let Some(line) = self.lines.get_mut(&dial).filter(|line| line.carries) else { return };
        self.tally.cuts += 1;
        line.carries = false;
        if !served {
            line.served = false;
        }
        if noticed {
            let delay = self.dice.random_range(0..500);
            let closed = Input::Closed { dial, code: None, reason: "cut".into() };
            self.plan(delay, Happening::Client(Box::new(closed)));
            self.held_is_gone_with(dial);
        }
    }

    /// The process ends and comes back on the same data, or on an older copy of it.
    fn restart(&mut self) {
        self.tally.restarts += 1;
        self.server_up = false;
        let pause = self.dice.random_range(1..3_000);
        self.plan(pause, Happening::ServerUp);
        for line in self.lines.values_mut() {
            line.served = false;
            line.carries = false;
            line.attached.clear();
        }
        if let Some(dial) = self.held {
            let code = self.dice.random_bool(0.3).then_some(CloseCode::RESTART);
            self.plan(1, Happening::Client(Box::new(Input::Closed { dial, code, reason: String::new() })));
            self.held_is_gone_with(dial);
        }
        if self.dice.random_bool(0.2) {
            self.epoch += 1;
            self.joined.clear();
            for log in self.logs.values_mut() {
                let keep = log.events.len().saturating_sub(self.dice.random_range(0..5));
                log.events.truncate(keep);
                log.floor = log.floor.min(log.head());
                log.hidden_up_to = log.hidden_up_to.min(log.head());
            }
        }
    }
}

/// What the server's side hears when the transport is gone: nothing more is said, and its session is dropped.
fn gone() -> SessionInput<EventFrame> {
    let bye = ServerFrame::Bye {
        code: CloseCode::NORMAL,
        reason: String::new(),
        retry_after_ms: None,
        replaced_by: None,
    };
    SessionInput::End { bye: Box::new(bye), code: CloseCode::NORMAL }
}

fn session_settings() -> SessionConfig {
    SessionConfig { replay_max: REPLAY_MAX, ..session_config() }
}
