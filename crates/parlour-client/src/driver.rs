//! The one task of a client: it owns the machine, the transports, the timers, and whatever runs for them.
//!
//! It waits for nobody. What takes time (a dial, a token, a load, a send) is a future in one of its sets or a
//! [`pump`]; what wants something of it sends a command and waits by itself.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use parlour_proto::{
    Cause, Connection, ConnectionConfig, FailedWhy, Input, Millis, Mode, Output, State, Transport, UiStatus,
};
use parlour_wire::events::Signal;
use parlour_wire::frames::Ready;
use parlour_wire::reads::{Unread, UnreadTotals};
use parlour_wire::users::{Me, UserInput};
use parlour_wire::{Cid, ClientFrame, CloseCode, ErrorBody, ErrorCode, Open, UserId};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::Error;
use crate::attendance::Next;
use crate::client::{ConnectionStatus, FellBack, Joining, Shared};
use crate::company::{self, Claim, Door, Lead, Place};
use crate::events::ClientEvent;
use crate::outbox;
use crate::persistence::{Persistence, SAVE_EVERY, StoredSession, StoredState};
use crate::pump::{self, Dial, Report};
use crate::session::{Session, Stage};
use crate::token::{TokenError, TokenProvider, TokenSource};
use crate::unread::Want;

/// Loads of unread state that run at the same time: enough to be quick, few enough to be no burst.
const LOADS_MAX: usize = 4;
/// When a load failed, the next begins after up to this (full jitter).
const LOAD_RETRY: Duration = Duration::from_secs(4);
/// Reports of transports that wait for the driver; beyond it a transport reads no further.
const REPORTS_LEN: usize = 64;
/// `connect_user` calls that wait for the end of another user's disconnect; far beyond any app.
const HELD_LEN_MAX: usize = 1_024;
/// The clocks are compared this often, while there is a connection to look after.
const CLOCKS_EVERY: Duration = Duration::from_secs(2);
/// When the clock on the wall is ahead by more, the device slept.
const SLEEP: Duration = Duration::from_secs(10);
/// Pings of the app are told from those of the machine by their number.
const PING_IDS_FROM: u64 = 1 << 32;

pub(crate) type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// What the app wishes.
pub(crate) enum Command {
    ConnectUser {
        user: UserInput,
        token: TokenProvider,
        joining: Joining,
        reply: Reply<Me>,
    },
    /// The server has taken the session's token.
    Login {
        session: Arc<Session>,
        reply: Reply<()>,
    },
    WhoIs {
        reply: Reply<Option<UserId>>,
    },
    Logout {
        reply: Reply<usize>,
    },
    Connect {
        reply: Reply<Me>,
    },
    Disconnect {
        reply: Reply<()>,
    },
    DisconnectUser {
        reply: Reply<()>,
    },
    Ping {
        reply: Reply<Duration>,
    },
    Input(Box<Input>),
}

/// What ended among the futures of a session.
enum Done {
    /// What an earlier process kept of who was logged in.
    StoredSession(Option<StoredSession>),
    /// What it kept of this user.
    StoredState {
        user: UserId,
        state: Box<StoredState>,
    },
    Token {
        fetch: u64,
        result: Result<String, TokenError>,
    },
    LoadedAll(Result<UnreadTotals, Error>),
    Loaded {
        cid: Cid,
        result: Result<Option<Unread>, Error>,
    },
    Sent {
        cid: Cid,
    },
}

type Task = Pin<Box<dyn Future<Output = Done> + Send>>;

/// Whose client this is.
enum Tenancy {
    Nobody,
    User {
        session: Arc<Session>,
        wish: Wish,
    },
    /// Until the last socket is gone.
    Leaving,
    /// Until the storage has said what it holds.
    Restoring,
}

/// What the app asked for last. The machine's public state follows only when the socket is gone.
#[derive(Clone, Copy, PartialEq)]
enum Wish {
    Up,
    Down,
}

pub(crate) struct Driver {
    shared: Arc<Shared>,
    machine: Connection,
    /// Before `reports`, so that at the end each transport hears of its close first.
    dials: BTreeMap<u64, Dial>,
    commands: mpsc::Receiver<Command>,
    reports: mpsc::Receiver<Report>,
    report_to: mpsc::Sender<Report>,
    tenancy: Tenancy,
    /// Which connections are the same as this one's, and where this client is reached.
    place: (Place, Door),
    /// While this client is the one that has its user's connection.
    claim: Option<Claim>,
    persistence: Option<Persistence>,
    /// Where tokens of a restored session come from.
    restored_token: Option<TokenProvider>,
    /// What the storage held of the user who comes next.
    restored: Option<(UserId, StoredState)>,
    /// When what changed is written, and which outbox was.
    save_at: Option<Instant>,
    kept_outbox: u64,
    /// When the two clocks were compared last; `None` where the device does not sleep.
    clocks: Option<(Instant, SystemTime)>,
    /// Everything that runs in the user's name; dropped when the user goes.
    tasks: FuturesUnordered<Task>,
    sending: BTreeSet<Cid>,
    loads: usize,
    loads_from: Instant,
    /// Counts how often the connection came up.
    recoveries: watch::Sender<u64>,
    waiting_up: Vec<Reply<Me>>,
    /// Who waits for the end of the sockets up to a dial number.
    waiting_down: Vec<(u64, Reply<()>)>,
    /// Commands that came while the last user was leaving.
    held: VecDeque<Command>,
    pings: BTreeMap<u64, (Instant, Reply<Duration>)>,
    next_ping: u64,
    /// The answer to hello, while its outputs are being worked off.
    fresh_ready: Option<Me>,
    was_up: bool,
    down_since: Option<Instant>,
    /// When the banner's word may change with time alone.
    ui_grace: Duration,
    ui_changes_at: Option<Instant>,
    start: Instant,
}

impl Driver {
    pub(crate) fn new(
        shared: Arc<Shared>,
        place: (Place, Door),
        config: ConnectionConfig,
        commands: mpsc::Receiver<Command>,
        stored: Option<(Persistence, Option<TokenProvider>)>,
        sleeps: bool,
    ) -> Self {
        let (persistence, restored_token) = stored.unzip();
        let (report_to, reports) = mpsc::channel(REPORTS_LEN);
        let now = Instant::now();
        let ui_grace = Duration::from_millis(config.ui_grace_ms);
        Self {
            shared,
            machine: Connection::new(config),
            commands,
            reports,
            report_to,
            dials: BTreeMap::new(),
            tenancy: Tenancy::Nobody,
            place,
            claim: None,
            persistence,
            restored_token: restored_token.flatten(),
            restored: None,
            save_at: None,
            kept_outbox: 0,
            clocks: sleeps.then(|| (now, SystemTime::now())),
            tasks: FuturesUnordered::new(),
            sending: BTreeSet::new(),
            loads: 0,
            loads_from: now,
            recoveries: watch::Sender::default(),
            waiting_up: Vec::new(),
            waiting_down: Vec::new(),
            held: VecDeque::new(),
            pings: BTreeMap::new(),
            next_ping: PING_IDS_FROM,
            fresh_ready: None,
            was_up: false,
            down_since: None,
            ui_grace,
            ui_changes_at: None,
            start: now,
        }
    }

    /// Runs until the last client is dropped. The transports then close by themselves: see [`pump`].
    pub(crate) async fn run(mut self) {
        self.restore_session();
        loop {
            let wake = self.deadline();
            // In this order always: the same seed is the same run.
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    Some(command) => self.command(command),
                    None => break,
                },
                Some(report) = self.reports.recv() => self.report(report),
                Some(done) = self.tasks.next(), if !self.tasks.is_empty() => self.done(done),
                () = self.shared.outbox.changed.notified() => {}
                () = self.shared.local_changed.notified() => {}
                () = sleep_until(wake) => {}
            }
            self.pass_time();
            self.settle();
        }
        self.save();
        self.shared.readers.end();
    }

    fn now_ms(&self) -> Millis {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn at(&self, ms: Millis) -> Instant {
        self.start + Duration::from_millis(ms)
    }

    fn deadline(&self) -> Option<Instant> {
        let machine = self.machine.deadline().map(|ms| self.at(ms));
        let local = self.shared.local();
        let loads = (local.tally.has_wants() && Instant::now() < self.loads_from).then_some(self.loads_from);
        let ui = self.ui_changes_at.filter(|at| *at > Instant::now());
        let look = self.clocks.filter(|_| self.machine.deadline().is_some()).map(|(at, _)| at + CLOCKS_EVERY);
        let throttle = local.throttle_deadline();
        [machine, local.typing_deadline(), throttle, loads, ui, self.save_at, look]
            .into_iter()
            .flatten()
            .min()
    }

    fn pass_time(&mut self) {
        self.look_at_clocks();
        if self.save_at.is_some_and(|at| at <= Instant::now()) {
            self.save();
        }
        if self.machine.deadline().is_some_and(|deadline| deadline <= self.now_ms()) {
            self.input(Input::Tick);
        }
        let over = self.shared.local().expire_typing(Instant::now());
        for (topic, signal) in over {
            self.tell(ClientEvent::Signal { topic: Some(topic), signal: Open::Known(signal) });
        }
    }

    // What the app wishes.

    fn command(&mut self, command: Command) {
        // It may have been said before it was known whose connection this client uses.
        if !matches!(command, Command::ConnectUser { .. } | Command::Login { .. })
            && let Some(Lead { other, .. }) = self.lead()
        {
            if let Err(mpsc::error::TrySendError::Full(command)) = other.commands.try_send(command) {
                tokio::spawn(async move { drop(other.commands.send(command).await) });
            }
            return;
        }
        // Who is there is not known yet; what the platform says, and what needs a connection, does not ask.
        let asks = !matches!(command, Command::Ping { .. } | Command::Input(_));
        if asks && matches!(self.tenancy, Tenancy::Restoring) {
            return self.hold(command);
        }
        match command {
            Command::ConnectUser { user, token, joining, reply } => {
                self.connect_user(user, token, joining, reply);
            }
            Command::Login { session, reply } => self.login(session, reply),
            Command::WhoIs { reply } => {
                let session =
                    if let Tenancy::User { session, .. } = &self.tenancy { Some(session) } else { None };
                let _ = reply.send(Ok(session.map(|session| session.user.clone())));
            }
            Command::Logout { reply } => self.logout(reply),
            Command::Connect { reply } => self.connect(reply),
            Command::Disconnect { reply } => {
                match &mut self.tenancy {
                    Tenancy::Nobody => {
                        let _ = reply.send(Err(ErrorCode::NotLoggedIn.into()));
                        return;
                    }
                    Tenancy::User { wish, .. } => {
                        *wish = Wish::Down;
                        self.input(Input::Disconnect);
                    }
                    Tenancy::Leaving | Tenancy::Restoring => {}
                }
                self.wait_down(reply);
            }
            Command::DisconnectUser { reply } => self.disconnect_user(reply),
            Command::Ping { reply } => self.ping(reply),
            Command::Input(input) => self.input(*input),
        }
    }

    fn connect_user(&mut self, user: UserInput, token: TokenProvider, joining: Joining, reply: Reply<Me>) {
        if let Some(lead) = self.lead_for(&user.id) {
            if lead.user != user.id {
                return refuse(reply, &lead.user);
            }
            let there = Joining::new(lead.other.shared.session.clone());
            return self.pass_on(lead, reply, |reply| {
                drop(joining);
                Command::ConnectUser { user, token, joining: there, reply }
            });
        }
        match &self.tenancy {
            Tenancy::Leaving | Tenancy::Restoring => {
                self.hold(Command::ConnectUser { user, token, joining, reply });
            }
            Tenancy::Nobody if !self.has_restored(&user.id) => {
                self.restore_state(user.id.clone());
                self.hold(Command::ConnectUser { user, token, joining, reply });
            }
            Tenancy::User { session, .. } if session.user != user.id => refuse(reply, &session.user),
            Tenancy::User { wish: Wish::Up, .. } if self.is_under_way() => {
                self.wait_up(reply);
                self.input(Input::ConnectUser { user });
            }
            Tenancy::User { .. } | Tenancy::Nobody => self.begin(user, token, reply),
        }
    }

    /// The client whose connection this one is to use for the user. Where nobody has one, this client does from now on.
    /// (Where it uses one for another user, that is the answer, too.)
    fn lead_for(&mut self, user: &UserId) -> Option<Lead> {
        if !matches!(self.tenancy, Tenancy::Nobody) || self.claim.as_ref().is_some_and(|c| c.user() == user) {
            return None;
        }
        if let Some(lead) = self.lead() {
            return Some(lead);
        }
        self.shared.stands_alone();
        self.claim = None;
        match Claim::make(&self.place.0, user, &self.place.1) {
            Ok(claim) => {
                self.claim = Some(claim);
                None
            }
            Err(other) => Some(Lead { other, user: user.clone() }),
        }
    }

    /// The client whose connection this one uses.
    fn lead(&self) -> Option<Lead> {
        self.shared.lead().clone().filter(Lead::holds)
    }

    /// Hands a command over to the client whose connection this one is to use.
    fn pass_on<T: Send + 'static>(
        &self,
        lead: Lead,
        mut reply: Reply<T>,
        command: impl FnOnce(Reply<T>) -> Command,
    ) {
        let own = self.shared.clone();
        // Until it is answered there is somebody to wait for, here and there.
        let joining = [&own, &lead.other.shared].map(|shared| Joining::new(shared.session.clone()));
        let (answer, answered) = oneshot::channel();
        let command = command(answer);
        if own.lead().is_none() {
            company::follow(&own, &lead);
        }
        tokio::spawn(async move {
            let _ = lead.other.commands.send(command).await;
            let answer = tokio::select! {
                answer = answered => answer.unwrap_or_else(|_| Err(ErrorCode::Cancelled.into())),
                () = reply.closed() => return,
            };
            // Whoever has the answer may call at once.
            if lead.holds() {
                let stage = lead.other.shared.session.borrow().stage.clone();
                own.session.send_modify(|view| view.stage = stage);
            }
            drop(joining);
            let _ = reply.send(answer);
        });
    }

    /// Whether the machine is up, or will be without another word (unless it was told to go down).
    fn is_under_way(&self) -> bool {
        match self.machine.state() {
            State::Connecting { .. } | State::Connected | State::Reconnecting { .. } | State::NoNetwork => {
                true
            }
            State::Idle | State::Offline | State::Parked | State::Failed(_) | State::Closed => false,
        }
    }

    fn begin(&mut self, user: UserInput, token: TokenProvider, reply: Reply<Me>) {
        let same_user = matches!(&self.tenancy, Tenancy::User { session, .. } if session.user == user.id);
        let timeout = self.shared.calls.endpoint.call_timeout;
        let token = TokenSource::new(token, timeout);
        let session = Arc::new(Session { user: user.id.clone(), token });
        // A user who had been let in once stays so: its calls need no new connection.
        self.shared.session.send_modify(|view| {
            view.stage = match view.stage {
                Stage::Ready(_) if same_user => Stage::Ready(session.clone()),
                Stage::NoUser | Stage::Waiting(_) | Stage::Ready(_) | Stage::Failed(..) => {
                    Stage::Waiting(session.clone())
                }
            };
        });
        if !same_user {
            self.shared.local().clear(Some(user.id.clone()));
            self.was_up = false;
            self.down_since = None;
        }
        self.tenancy = Tenancy::User { session, wish: Wish::Up };
        self.waiting_up.push(reply);
        if self.restored.is_some() {
            self.log_in(&user.id);
        }
        self.input(Input::ConnectUser { user });
    }

    fn connect(&mut self, reply: Reply<Me>) {
        let under_way = self.is_under_way();
        match &mut self.tenancy {
            Tenancy::Nobody => {
                let _ = reply.send(Err(ErrorCode::NotLoggedIn.into()));
            }
            Tenancy::Leaving | Tenancy::Restoring => self.hold(Command::Connect { reply }),
            Tenancy::User { wish: Wish::Up, .. } if under_way => {
                self.wait_up(reply);
                self.input(Input::Connect);
            }
            Tenancy::User { session, wish } => {
                *wish = Wish::Up;
                let session = session.clone();
                self.shared.session.send_modify(|view| {
                    if let Stage::Failed(..) = view.stage {
                        view.stage = Stage::Waiting(session);
                    }
                });
                self.waiting_up.push(reply);
                self.input(Input::Connect);
            }
        }
    }

    fn wait_up(&mut self, reply: Reply<Me>) {
        let me = self.shared.local().me.clone();
        match me {
            Some(me) if self.machine.state() == State::Connected => {
                let _ = reply.send(Ok(me));
            }
            Some(_) | None => {
                // Callers that gave up leave their reply behind.
                self.waiting_up.retain(|reply| !reply.is_closed());
                self.waiting_up.push(reply);
            }
        }
    }

    fn wait_down(&mut self, reply: Reply<()>) {
        let newest = self.dials.keys().next_back().copied().unwrap_or(0);
        self.waiting_down.push((newest, reply));
    }

    fn disconnect_user(&mut self, reply: Reply<()>) {
        self.wait_down(reply);
        let Tenancy::User { session, .. } = &self.tenancy else { return };
        if let Some(persistence) = &self.persistence {
            // Only what is not sent waits for her.
            let state = StoredState { saved: None, outbox: self.shared.outbox.stored(&session.user) };
            persistence.keep_session(None);
            persistence.keep_state(&session.user, Some(&state));
        }
        self.leave();
    }

    fn logout(&mut self, reply: Reply<usize>) {
        let Tenancy::User { session, .. } = &self.tenancy else {
            let _ = reply.send(Ok(0));
            return;
        };
        let user = session.user.clone();
        let unsent = self.shared.outbox.erase(&user);
        if let Some(persistence) = &self.persistence {
            persistence.keep_session(None);
            persistence.keep_state(&user, None);
        }
        // Who asked waits for the socket as well.
        let (gone, is_gone) = oneshot::channel();
        tokio::spawn(async move {
            let gone = is_gone.await.unwrap_or(Ok(()));
            let _ = reply.send(gone.map(|()| unsent));
        });
        self.wait_down(gone);
        self.leave();
    }

    fn leave(&mut self) {
        self.save_at = None;
        self.tenancy = Tenancy::Leaving;
        self.tasks = FuturesUnordered::new();
        self.sending.clear();
        self.loads = 0;
        self.shared.session.send_modify(|view| view.stage = Stage::NoUser);
        self.shared.local().clear(None);
        self.input(Input::DisconnectUser);
    }

    fn login(&mut self, session: Arc<Session>, reply: Reply<()>) {
        if let Some(lead) = self.lead_for(&session.user) {
            if lead.user != session.user {
                return refuse(reply, &lead.user);
            }
            return self.pass_on(lead, reply, |reply| Command::Login { session, reply });
        }
        let has_restored = self.has_restored(&session.user);
        match &mut self.tenancy {
            Tenancy::Leaving | Tenancy::Restoring => return self.hold(Command::Login { session, reply }),
            Tenancy::User { session: known, .. } if known.user != session.user => {
                return refuse(reply, &known.user);
            }
            Tenancy::Nobody if !has_restored => {
                self.restore_state(session.user.clone());
                return self.hold(Command::Login { session, reply });
            }
            Tenancy::User { session: known, .. } => *known = session.clone(),
            Tenancy::Nobody => {}
        }
        self.logged_in(session);
        let _ = reply.send(Ok(()));
    }

    /// The session is good for calls; in auto mode it connects.
    fn logged_in(&mut self, session: Arc<Session>) {
        self.shared.session.send_modify(|view| view.stage = Stage::Ready(session.clone()));
        let user = session.user.clone();
        let is_new = !matches!(self.tenancy, Tenancy::User { .. });
        if is_new {
            self.shared.local().clear(Some(user.clone()));
            self.was_up = false;
            self.down_since = None;
        }
        let auto = self.machine.mode() == Mode::Auto;
        let wish = if auto { Wish::Up } else { Wish::Down };
        match &mut self.tenancy {
            Tenancy::User { wish: known, .. } if auto => *known = Wish::Up,
            Tenancy::User { .. } => {}
            _ => self.tenancy = Tenancy::User { session, wish },
        }
        self.log_in(&user);
        if auto && !is_new {
            self.input(Input::Connect);
        }
        self.keep_session();
    }

    /// Tells the machine who it is, with what an earlier process kept.
    fn log_in(&mut self, user: &UserId) {
        let state = self.restored.take().filter(|(restored, _)| restored == user);
        let Some((_, StoredState { saved, outbox })) = state else {
            return self.input(Input::Login { user: UserInput::new(user.clone()), saved: None });
        };
        self.shared.outbox.restore(user, outbox);
        self.kept_outbox = self.shared.outbox.version();
        self.input(Input::Login { user: UserInput::new(user.clone()), saved: saved.map(Box::new) });
    }

    fn hold(&mut self, command: Command) {
        // Beyond the bound the command is dropped, and its caller told `cancelled` by that.
        if self.held.len() < HELD_LEN_MAX {
            self.held.push_back(command);
        }
    }

    fn ping(&mut self, reply: Reply<Duration>) {
        if self.machine.state() != State::Connected {
            let _ = reply.send(Err(ErrorCode::NotConnected.into()));
            return;
        }
        let id = self.next_ping;
        self.next_ping += 1;
        self.pings.retain(|_, (_, reply)| !reply.is_closed());
        self.pings.insert(id, (Instant::now(), reply));
        self.input(Input::Send(ClientFrame::Ping { id }));
    }

    // What happened.

    fn report(&mut self, report: Report) {
        match report {
            Report::Opened { dial } => self.input(Input::Opened { dial }),
            Report::Received { dial, frame } => self.input(Input::Received { dial, frame }),
            Report::Closed { dial, code, reason } => {
                self.dials.remove(&dial);
                self.input(Input::Closed { dial, code, reason });
            }
        }
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::StoredSession(stored) => self.session_restored(stored),
            Done::StoredState { user, state } => self.state_restored(user, *state),
            Done::Token { fetch, result: Ok(token) } => self.input(Input::TokenFetched { fetch, token }),
            Done::Token { fetch, result: Err(TokenError { message, permanent }) } => {
                self.input(Input::TokenFailed { fetch, permanent, message });
            }
            Done::Sent { cid } => {
                self.sending.remove(&cid);
            }
            Done::LoadedAll(result) => {
                self.loads -= 1;
                match result {
                    Ok(totals) => self.shared.local().tally.loaded_all(&totals),
                    Err(error) => self.load_failed(&Want::All, &error),
                }
            }
            Done::Loaded { cid, result } => {
                self.loads -= 1;
                match result {
                    Ok(unread) => self.shared.local().tally.loaded(&cid, unread.as_ref()),
                    Err(error) => self.load_failed(&Want::Channel(cid), &error),
                }
            }
        }
    }

    fn load_failed(&mut self, want: &Want, error: &Error) {
        let gone = matches!(error.body.status, 403 | 404);
        self.shared.local().tally.load_failed(want, gone);
        if !gone {
            let pause = LOAD_RETRY.mul_f64(self.shared.dice.unit());
            let asked = Duration::from_secs(error.body.retry_after.unwrap_or(0).into());
            self.loads_from = Instant::now() + pause.max(asked);
        }
    }

    // What the machine says.

    fn input(&mut self, input: Input) {
        let mut outputs = Vec::new();
        let jitter = self.shared.dice.unit();
        self.machine.handle(self.now_ms(), jitter, input, &mut outputs);
        let is_dead =
            |output: &Output| matches!(output, Output::Changed(change) if change.cause == Cause::DeadLink);
        if outputs.iter().any(is_dead) {
            // Before the next dial, which may be by HTTP.
            self.shared.calls.endpoint.net.forget();
        }
        for output in outputs {
            self.output(output);
        }
    }

    fn output(&mut self, output: Output) {
        match output {
            Output::Open { dial, transport } => self.open(dial, transport),
            Output::Transmit { dial, frame } => {
                if let Some(dial) = self.dials.get_mut(&dial) {
                    dial.transmit(&frame);
                }
            }
            Output::Close { dial, code } => {
                if let Some(dial) = self.dials.get_mut(&dial) {
                    dial.close(code);
                }
            }
            Output::FetchToken { fetch, refused } => self.fetch_token(fetch, refused),
            Output::Ready(ready) => self.ready(&ready),
            Output::Renewed(ready) => self.renewed(&ready),
            Output::FellBack { from, to, because } => {
                let fell_back = FellBack { from, to, because };
                self.shared.connection.send_modify(|status| status.fell_back = Some(fell_back.clone()));
                self.tell(ClientEvent::FellBack(fell_back));
            }
            Output::Deliver(frame) => {
                self.save_soon();
                self.shared.local().event(&frame);
                self.tell(ClientEvent::Event(Arc::from(frame)));
            }
            Output::Signal { topic, signal } => {
                let next = self.shared.local().signal(&signal, Instant::now());
                self.tell(ClientEvent::Signal { topic, signal });
                if next == Next::AskAnew {
                    self.input(Input::Send(ClientFrame::Presence { subscription: None }));
                }
            }
            Output::Reset { topic, reason, head } => {
                self.save_soon();
                self.shared.local().tally.reset(&topic, &reason, head);
                self.tell(ClientEvent::Reset { topic, reason, head });
            }
            Output::Refused { error, topic } => self.tell(ClientEvent::Refused { error, topic }),
            Output::Pong { id } => {
                if let Some((sent_at, reply)) = self.pings.remove(&id) {
                    let rtt = sent_at.elapsed();
                    self.shared.connection.send_modify(|status| status.rtt = Some(rtt));
                    let _ = reply.send(Ok(rtt));
                }
            }
            Output::Throttled { feature, for_ms } => {
                self.shared.throttle(&feature, Duration::from_millis(for_ms.into()));
            }
            Output::Changed(transition) => {
                if transition.from == State::Connected {
                    self.save();
                }
                self.publish_connection(Some(&transition));
                self.tell(ClientEvent::Connection(transition));
            }
        }
    }

    fn open(&mut self, dial: u64, transport: Transport) {
        let endpoint = &self.shared.calls.endpoint;
        let (net, url) = (endpoint.net.clone(), endpoint.url.connect());
        let opened = pump::open(dial, transport, net, url, self.report_to.clone());
        self.dials.insert(dial, opened);
    }

    fn fetch_token(&mut self, fetch: u64, refused: Option<String>) {
        let Tenancy::User { session, .. } = &self.tenancy else { return };
        let session = session.clone();
        self.tasks.push(Box::pin(async move {
            let result = match refused {
                // A call may have got another one meanwhile.
                Some(refused) => session.token.other_than(Some(&refused)).await,
                None => session.token.fresh().await,
            };
            Done::Token { fetch, result }
        }));
    }

    fn ready(&mut self, ready: &Ready) {
        self.save_soon();
        self.keep_session();
        self.shared.local().ready(ready);
        self.loads_from = Instant::now();
        self.recoveries.send_modify(|count| *count += 1);
        if let Tenancy::User { session, .. } = &self.tenancy {
            self.shared.session.send_modify(|view| view.stage = Stage::Ready(session.clone()));
        }
        self.shared.connection.send_modify(|status| status.connection_id = Some(ready.connection_id.clone()));
        let downtime = self.down_since.take().map(|since| since.elapsed()).unwrap_or_default();
        if self.was_up {
            self.tell(ClientEvent::Recovered { resumed: ready.resumed.clone(), downtime });
        }
        self.was_up = true;
        self.tell_presence(ready);
        self.fresh_ready = Some(ready.me.clone());
    }

    /// The connection went over to another transport, or to the next poll; it was never down.
    fn renewed(&mut self, ready: &Ready) {
        self.save_soon();
        self.shared.local().ready(ready);
        self.shared.connection.send_modify(|status| status.connection_id = Some(ready.connection_id.clone()));
        self.tell_presence(ready);
    }

    fn tell_presence(&self, ready: &Ready) {
        let (users, others) = (ready.presence.clone(), ready.presence_others);
        if !users.is_empty() || others.is_some() {
            let signal = Open::Known(Signal::PresenceSnapshot { users, others });
            self.tell(ClientEvent::Signal { topic: None, signal });
        }
    }

    fn tell(&self, event: ClientEvent) {
        self.shared.readers.publish(&event);
    }

    // What outlives the process.

    fn restore_session(&mut self) {
        let Some(persistence) = self.persistence.clone() else { return };
        self.tenancy = Tenancy::Restoring;
        self.tasks.push(Box::pin(async move { Done::StoredSession(persistence.session().await) }));
    }

    fn session_restored(&mut self, stored: Option<StoredSession>) {
        self.tenancy = Tenancy::Nobody;
        let Some(StoredSession { user, token }) = stored else { return self.take_held() };
        let provider = self.restored_token.take().unwrap_or_else(|| token.into());
        let token = TokenSource::new(provider, self.shared.calls.endpoint.call_timeout);
        let (reply, answer) = oneshot::channel();
        tokio::spawn(answer);
        // Before everything that the app has wished meanwhile.
        self.held
            .push_front(Command::Login { session: Arc::new(Session { user: user.clone(), token }), reply });
        self.restore_state(user);
    }

    /// Whether it is known what an earlier process kept of this user.
    fn has_restored(&self, user: &UserId) -> bool {
        self.persistence.is_none() || matches!(&self.restored, Some((restored, _)) if restored == user)
    }

    fn restore_state(&mut self, user: UserId) {
        let Some(persistence) = self.persistence.clone() else { return };
        self.tenancy = Tenancy::Restoring;
        self.tasks.push(Box::pin(async move {
            let state = Box::new(persistence.state(&user).await);
            Done::StoredState { user, state }
        }));
    }

    fn state_restored(&mut self, user: UserId, state: StoredState) {
        self.restored = Some((user, state));
        self.tenancy = Tenancy::Nobody;
        self.take_held();
    }

    fn keep_session(&mut self) {
        let (Some(persistence), Tenancy::User { session, .. }) = (&self.persistence, &self.tenancy) else {
            return;
        };
        if let Some(token) = session.token.current() {
            persistence.keep_session(Some(&StoredSession { user: session.user.clone(), token }));
        }
    }

    fn save_soon(&mut self) {
        if self.persistence.is_some() {
            self.save_at.get_or_insert_with(|| Instant::now() + SAVE_EVERY);
        }
    }

    fn save(&mut self) {
        self.save_at = None;
        self.kept_outbox = self.shared.outbox.version();
        let (Some(persistence), Tenancy::User { session, .. }) = (&self.persistence, &self.tenancy) else {
            return;
        };
        let outbox = self.shared.outbox.stored(&session.user);
        persistence.keep_state(&session.user, Some(&StoredState { saved: self.machine.saved(), outbox }));
    }

    /// A clock that stands still while the device sleeps, beside one that does not.
    fn look_at_clocks(&mut self) {
        let Some((at, wall)) = self.clocks else { return };
        let (now, wall_now) = (Instant::now(), SystemTime::now());
        if now.duration_since(at) < CLOCKS_EVERY {
            return;
        }
        self.clocks = Some((now, wall_now));
        let by_the_wall = wall_now.duration_since(wall).unwrap_or_default();
        if by_the_wall > now.duration_since(at) + SLEEP {
            self.input(Input::Woke);
        }
    }

    // After everything that happened: what follows from where things stand now.

    fn settle(&mut self) {
        if self.shared.lead().is_some() {
            return;
        }
        let state = self.machine.state();
        self.publish_connection(None);
        self.answer_up(&state);
        self.answer_down();
        if state != State::Connected {
            for (_, reply) in std::mem::take(&mut self.pings).into_values() {
                let _ = reply.send(Err(ErrorCode::NotConnected.into()));
            }
        }
        self.send_outbox();
        if self.kept_outbox != self.shared.outbox.version() {
            self.save();
        }
        if state == State::Connected {
            self.load();
        }
        let counts = self.shared.local().tally.counts();
        self.shared.unread.send_if_modified(|published| std::mem::replace(published, counts) != counts);
    }

    fn publish_connection(&mut self, transition: Option<&parlour_proto::Transition>) {
        let now_ms = self.now_ms();
        let state = self.machine.state();
        if self.was_up && state != State::Connected && self.down_since.is_none() {
            self.down_since = Some(Instant::now());
        }
        match state {
            State::Connecting { .. } | State::Reconnecting { .. } | State::NoNetwork => {
                self.ui_changes_at.get_or_insert_with(|| Instant::now() + self.ui_grace);
            }
            _ => self.ui_changes_at = None,
        }
        let (attempt, retry_at) = match &state {
            State::Connecting { attempt } => (*attempt, None),
            State::Reconnecting { attempt, retry_at } => (*attempt, retry_at.map(|ms| self.at(ms))),
            _ => (0, None),
        };
        let transport = self.machine.transport();
        let ui_status: UiStatus = self.machine.ui_status(now_ms);
        let throttled = self.shared.local().throttled(Instant::now());
        self.shared.connection.send_if_modified(|status| {
            let connection_id = status.connection_id.clone().filter(|_| state == State::Connected);
            let last = transition.cloned().or_else(|| status.last.clone());
            let (rtt, fell_back) = (status.rtt, status.fell_back.clone());
            let next = ConnectionStatus {
                state,
                ui_status,
                attempt,
                retry_at,
                connection_id,
                transport,
                rtt,
                fell_back,
                last,
                throttled,
            };
            let changed = *status != next;
            *status = next;
            changed
        });
    }

    fn answer_up(&mut self, state: &State) {
        if let Some(me) = self.fresh_ready.take() {
            for reply in self.waiting_up.drain(..) {
                let _ = reply.send(Ok(me.clone()));
            }
        }
        match state {
            State::Failed(why) => {
                let body = failure(why);
                self.shared.session.send_if_modified(|view| {
                    let Stage::Waiting(session) = &view.stage else { return false };
                    view.stage = Stage::Failed(session.clone(), Box::new(body.clone()));
                    true
                });
                for reply in self.waiting_up.drain(..) {
                    let _ = reply.send(Err(body.clone().into()));
                }
            }
            State::Idle | State::Offline | State::Parked | State::Closed => {
                for reply in self.waiting_up.drain(..) {
                    let message = "a disconnect came before the connection was up";
                    let _ = reply.send(Err(Error::because(ErrorCode::Cancelled, message)));
                }
            }
            State::Connecting { .. } | State::Connected | State::Reconnecting { .. } | State::NoNetwork => {}
        }
    }

    fn answer_down(&mut self) {
        let oldest = self.dials.keys().next().copied();
        for (_, reply) in
            self.waiting_down.extract_if(.., |(dial, _)| oldest.is_none_or(|oldest| oldest > *dial))
        {
            let _ = reply.send(Ok(()));
        }
        if matches!(self.tenancy, Tenancy::Leaving) && oldest.is_none() {
            self.tenancy = Tenancy::Nobody;
            self.shared.readers.lead_nobody();
            self.claim = None;
            self.take_held();
        }
    }

    /// What waited for the last user to be gone, or for the storage.
    fn take_held(&mut self) {
        for command in std::mem::take(&mut self.held) {
            self.command(command);
        }
    }

    fn send_outbox(&mut self) {
        let Tenancy::User { session, .. } = &self.tenancy else { return };
        let user: &UserId = &session.user;
        for cid in self.shared.outbox.waiting(user) {
            if !self.sending.insert(cid.clone()) {
                continue;
            }
            let recoveries = self.recoveries.subscribe();
            let sending = outbox::send_all(self.shared.clone(), recoveries, user.clone(), cid.clone());
            self.tasks.push(Box::pin(async move {
                sending.await;
                Done::Sent { cid }
            }));
        }
    }

    fn load(&mut self) {
        while self.loads < LOADS_MAX && Instant::now() >= self.loads_from {
            let Some(want) = self.shared.local().tally.wants() else { return };
            self.loads += 1;
            let calls = self.shared.calls.clone();
            self.tasks.push(Box::pin(async move {
                match want {
                    Want::All => Done::LoadedAll(calls.unread().await),
                    Want::Channel(cid) => {
                        let result = calls.channel(&cid, 0).await.map(|state| state.unread);
                        Done::Loaded { cid, result }
                    }
                }
            }));
        }
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn refuse<T>(reply: Reply<T>, connected: &UserId) {
    let message = format!("the client is connected as {connected}");
    let _ = reply.send(Err(Error::because(ErrorCode::AlreadyConnectedAs, message)));
}

/// Why the connection failed, as the error of whoever waited for it.
fn failure(why: &FailedWhy) -> ErrorBody {
    let (code, reason) = match why {
        FailedWhy::Refused { error: Some(error), .. } => return (**error).clone(),
        FailedWhy::Refused { code, reason, .. } => (*code, reason),
        FailedWhy::Token { message } => {
            return ErrorCode::TokenMissing.because(format!("the token provider has none: {message}"));
        }
    };
    let kind = match code {
        CloseCode::UNKNOWN_APP => ErrorCode::UnknownApp,
        CloseCode::TOKEN_REFUSED => ErrorCode::TokenMalformed,
        CloseCode::TOKEN_EXPIRED => ErrorCode::TokenExpired,
        CloseCode::USER_BANNED => ErrorCode::UserBanned,
        CloseCode::UNSUPPORTED_VERSION => ErrorCode::UnsupportedVersion,
        CloseCode::SERVER_TOKEN => ErrorCode::ServerTokenCannotConnect,
        CloseCode::TOO_MANY_CONNECTIONS => ErrorCode::TooManyConnections,
        _ => ErrorCode::NotConnected,
    };
    kind.because(format!("the server closed the connection, {code}: {reason}"))
}
