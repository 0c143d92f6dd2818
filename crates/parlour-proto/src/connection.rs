//! The client's half of one connection.
//!
//! Inputs are levels (who, wanted or not, the app's state, the network) and what happened to the transport.
//! After each, what is wanted is compared with what is there, and the difference is the output: the machine
//! does not chase edges, so that any order of inputs ends in the same place.
//!
//! Not here: sockets, timers, the token provider, what an app does with an event.

mod background;
mod climb;
mod dialling;
mod frames;
mod input;
mod link;
mod login;
mod loss;
mod output;
mod places;
mod state;
mod wake;
mod ways;

use serde::{Deserialize, Serialize};

use parlour_wire::frames::{ByeIntent, ClientFrame, ClientInfo};
use parlour_wire::presence::PresenceSubscription;
use parlour_wire::users::UserInput;
use parlour_wire::{AppKey, CloseCode};

use crate::backoff::share;
use crate::{Backoff, Millis};
use background::Hold;
pub use background::{Background, Mode};
pub use input::{AppLevel, Input, NetworkLevel};
use link::{Climb, Link, Renewal, Step, Story, Trying};
pub use login::Saved;
use login::{Login, Token, User};
use loss::Return;
pub use output::Output;
pub use state::{Cause, FailedWhy, State, Transition, UiStatus};
pub use ways::Transport;
use ways::Ways;

/// When the platform says that there is no network, it is tried all the same this often: platforms err.
const PROBE_MS: Millis = 30_000;
/// When a transport that was told to close has not said `Closed` for this long, it is taken for closed.
const CLOSE_WAIT_MS: Millis = 5_000;

/// What a connection is held to. The server's `ready` may change `dead_link_ms`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConnectionConfig {
    pub app_key: AppKey,
    pub client: ClientInfo,
    pub device: Option<String>,
    pub presence: PresenceSubscription,
    pub mode: Mode,
    pub background: Background,
    /// In auto mode: how long after it went to the background the app is still connected.
    pub background_grace_ms: Millis,
    /// In manual mode: how long a connection lives in the background without a ping.
    pub lease_ms: Millis,
    /// The transports that may be used, the best first; at least one.
    pub transports: Vec<Transport>,
    /// When a transport that has others behind it stands still for this long while it opens, the next is tried.
    pub stall_ms: Millis,
    /// So long after it had to make do with a worse transport, a connection tries the better ones again.
    pub climb_ms: Millis,
    /// When a tick comes later than this after its time, the device slept.
    pub wake_jump_ms: Millis,
    /// After a sleep, the link has this long to answer.
    pub wake_probe_ms: Millis,
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

/// The client's half of one connection.
///
/// ```
/// use parlour_proto::{Backoff, Connection, ConnectionConfig, Input, Output, State};
/// # use parlour_proto::{Background, Mode, Transport};
/// # use parlour_wire::{frames::ClientInfo, presence::PresenceSubscription, users::UserInput};
/// # let config = ConnectionConfig {
/// #     app_key: "dev".parse().unwrap(), client: ClientInfo::default(), device: None,
/// #     presence: PresenceSubscription::None, mode: Mode::Auto, background: Background::Park,
/// #     background_grace_ms: 0, lease_ms: 30_000, transports: vec![Transport::WebSocket], stall_ms: 2_500,
/// #     climb_ms: 600_000, wake_jump_ms: 10_000, wake_probe_ms: 3_000, dial_timeout_ms: 10_000, dead_link_ms: 35_000,
/// #     stable_after_ms: 10_000, backoff: Backoff { base_ms: 500, cap_ms: 20_000 },
/// #     retry_now_spread_ms: 300, spread_ms: 5_000, ui_grace_ms: 2_000,
/// # };
/// let mut connection = Connection::new(config);
/// let mut out = Vec::new();
/// let user = UserInput::new("alice".parse().unwrap());
/// connection.handle(0, 0.5, Input::ConnectUser { user }, &mut out);
/// assert_eq!(out[0], Output::FetchToken { fetch: 1, refused: None });
/// assert_eq!(connection.state(), State::Connecting { attempt: 1 });
/// out.clear();
/// connection.handle(20, 0.5, Input::TokenFetched { fetch: 1, token: "…".into() }, &mut out);
/// assert_eq!(out, [Output::Open { dial: 1, transport: Transport::WebSocket }]);
/// // Without an answer it is given up after ten seconds.
/// assert_eq!(connection.deadline(), Some(10_020));
/// ```
pub struct Connection {
    config: ConnectionConfig,
    // Levels: what is wanted follows from these alone.
    login: Login,
    intent: Intent,
    app: AppLevel,
    hold: Hold,
    network: NetworkLevel,
    // What is there.
    link: Link,
    /// Losses and failed dials since the connection was last stable.
    failures: u32,
    dials: u64,
    fetches: u64,
    ways: Ways,
}

#[derive(Clone, Copy, PartialEq)]
enum Intent {
    Up,
    Down,
    /// Up, until the connection ended in the background: in manual mode the app has to ask again.
    Lapsed,
}

/// Why the public state changes, if it does.
struct Why {
    cause: Cause,
    code: Option<CloseCode>,
}

impl From<Cause> for Why {
    fn from(cause: Cause) -> Self {
        Self { cause, code: None }
    }
}

impl Connection {
    pub fn new(config: ConnectionConfig) -> Self {
        Self {
            config,
            login: Login::None,
            intent: Intent::Down,
            app: AppLevel::Foreground,
            hold: Hold::None,
            network: NetworkLevel::Unknown,
            link: Link::Rest,
            failures: 0,
            dials: 0,
            fetches: 0,
            ways: Ways::default(),
        }
    }

    /// Takes what happened at `now`; appends what to do, in order. `jitter` is a fresh random number from 0
    /// to 1, used where a wait is chosen.
    pub fn handle(&mut self, now: Millis, jitter: f64, input: Input, out: &mut Vec<Output>) {
        let (from, shown) = (self.state(), self.ui_status(now));
        let hold_ended = self.end_hold(now);
        let mut why = self.take(now, jitter, input, out);
        if hold_ended && !self.is_wanted() {
            why = Cause::Lease.into();
        }
        let Why { cause, code } = why;
        self.reconcile(now, shown, cause.clone(), out);
        let to = self.state();
        if from != to {
            out.push(Output::Changed(Box::new(Transition { from, to, cause, code })));
        }
    }

    /// When to call with `Tick` next.
    pub fn deadline(&self) -> Option<Millis> {
        let link = match &self.link {
            Link::Rest | Link::Failed(_) => None,
            Link::Trying(trying) => Some(trying.step.until()),
            Link::Up(live) => Some(live.deadline()),
            Link::Closing { until, .. } => Some(*until),
        };
        let hold = match self.hold {
            Hold::Until(until) => Some(until),
            Hold::None | Hold::Open => None,
        };
        link.into_iter().chain(hold).min()
    }

    pub fn mode(&self) -> Mode {
        self.config.mode
    }

    /// How frames travel, while connected.
    pub fn transport(&self) -> Option<Transport> {
        match &self.link {
            Link::Up(live) => Some(live.transport),
            Link::Rest | Link::Failed(_) | Link::Trying(_) | Link::Closing { .. } => None,
        }
    }

    /// What a later run needs to go on from here; nothing without a user, or before her first `ready`.
    pub fn saved(&self) -> Option<Saved> {
        match &self.login {
            Login::User(user) => user.saved(&self.ways.worked_in),
            Login::None | Login::LoggedOut => None,
        }
    }

    /// The public state.
    pub fn state(&self) -> State {
        match &self.link {
            Link::Rest => match self.login {
                Login::None => State::Idle,
                Login::LoggedOut => State::Closed,
                Login::User(_) if self.intent != Intent::Down && !self.is_in_front() => State::Parked,
                Login::User(_) => State::Offline,
            },
            Link::Failed(why) => State::Failed(why.clone()),
            Link::Trying(_) if self.network == NetworkLevel::Down => State::NoNetwork,
            Link::Trying(Trying { story: Story::First, .. }) => State::Connecting { attempt: 1 },
            Link::Trying(Trying { story: Story::Again, step, .. }) => {
                let retry_at = if let Step::Wait { until } = step { Some(*until) } else { None };
                State::Reconnecting { attempt: self.failures.max(1), retry_at }
            }
            Link::Up(_) => State::Connected,
            Link::Closing { shown, .. } => shown.clone(),
        }
    }

    /// The state as a banner would show it at this moment. It also changes with time alone: `ui_grace_ms`
    /// into a downtime.
    pub fn ui_status(&self, now: Millis) -> UiStatus {
        match &self.link {
            Link::Failed(_) => UiStatus::NeedsAction,
            Link::Up(_) if self.is_wanted() => UiStatus::Online,
            Link::Closing { ui, .. } if self.is_wanted() => *ui,
            Link::Trying(trying) if self.is_wanted() => {
                if now < trying.since + self.config.ui_grace_ms {
                    trying.shown
                } else if self.network == NetworkLevel::Down {
                    UiStatus::Offline
                } else {
                    UiStatus::Reconnecting
                }
            }
            Link::Rest | Link::Up(_) | Link::Closing { .. } | Link::Trying(_) => match self.login {
                Login::None | Login::LoggedOut => UiStatus::SignedOut,
                Login::User(_) => UiStatus::Offline,
            },
        }
    }

    /// What the levels ask for.
    fn is_wanted(&self) -> bool {
        matches!(self.login, Login::User(_))
            && self.intent == Intent::Up
            && (self.is_in_front() || self.hold != Hold::None)
    }

    /// Makes what is there into what is wanted. `shown` is what a banner showed before.
    fn reconcile(&mut self, now: Millis, shown: UiStatus, cause: Cause, out: &mut Vec<Output>) {
        match (self.is_wanted(), &self.link) {
            (true, Link::Rest) => {
                self.failures = 0;
                let step = self.dial(now, out);
                self.link = Link::Trying(Trying { story: Story::First, since: now, shown, step });
            }
            // What failed stays failed while the app is away: it is not less broken when it comes back.
            (false, Link::Failed(_)) if self.intent != Intent::Up => self.link = Link::Rest,
            (false, Link::Trying(_) | Link::Up(_)) => self.take_down(now, shown, cause, out),
            (true, Link::Failed(_) | Link::Trying(_) | Link::Up(_) | Link::Closing { .. })
            | (false, Link::Rest | Link::Failed(_) | Link::Closing { .. }) => {}
        }
    }

    fn take(&mut self, now: Millis, jitter: f64, input: Input, out: &mut Vec<Output>) -> Why {
        match input {
            Input::ConnectUser { user } => {
                self.connect_user(now, user, out);
                self.hold_on(now, out);
                self.retry_now(now, jitter);
                Cause::Wish.into()
            }
            Input::Connect => {
                if self.login.user().is_some() {
                    self.intent = Intent::Up;
                    self.hold_on(now, out);
                    self.retry_now(now, jitter);
                }
                Cause::Wish.into()
            }
            Input::Login { user, saved } => {
                self.log_in(now, user, saved.map(|saved| *saved), out);
                Cause::Wish.into()
            }
            Input::Disconnect => {
                self.intent = Intent::Down;
                Cause::Wish.into()
            }
            Input::DisconnectUser => {
                if self.login.user().is_some() {
                    self.login = Login::LoggedOut;
                    self.intent = Intent::Down;
                }
                Cause::Wish.into()
            }
            Input::RetryNow => {
                self.retry_now(now, jitter);
                Cause::Wish.into()
            }
            Input::Network(level) => {
                self.network_is(now, jitter, level, out);
                Cause::Network.into()
            }
            Input::Path { network } => {
                self.path_is(now, jitter, network, out);
                Cause::Network.into()
            }
            Input::Woke => {
                self.woke(now, jitter, out);
                Cause::Timer.into()
            }
            Input::App(state) => {
                self.app_is(now, jitter, state, out);
                Cause::AppState.into()
            }
            Input::Watch { topic, after } => {
                if let Login::User(user) = &mut self.login {
                    let topics = vec![user.places.watch(topic, after)];
                    self.transmit(ClientFrame::Watch { topics }, out);
                }
                Cause::Wish.into()
            }
            Input::Unwatch { topic } => {
                if let Login::User(user) = &mut self.login {
                    user.places.unwatch(&topic);
                    self.transmit(ClientFrame::Unwatch { topics: vec![topic] }, out);
                }
                Cause::Wish.into()
            }
            Input::Presence(subscription) => {
                self.config.presence = subscription.clone();
                self.transmit(ClientFrame::Presence { subscription: Some(subscription) }, out);
                Cause::Wish.into()
            }
            Input::Send(frame) => {
                if matches!(frame, ClientFrame::Ping { .. }) {
                    self.pinged(now);
                }
                self.transmit(frame, out);
                Cause::Wish.into()
            }
            Input::TokenFetched { fetch, token } => self.token_fetched(now, fetch, token, out),
            Input::TokenFailed { fetch, permanent, message } => {
                self.token_failed(now, jitter, fetch, permanent.then_some(message), out)
            }
            Input::Opened { dial } => {
                self.opened(dial, out);
                Cause::Wish.into()
            }
            Input::Received { dial, frame } => self.received(now, jitter, dial, frame, out),
            Input::Closed { dial, code, reason } => self.closed(now, jitter, dial, code, reason, out),
            Input::Tick => self.tick(now, jitter, out),
        }
    }

    fn connect_user(&mut self, now: Millis, user: UserInput, out: &mut Vec<Output>) {
        self.intent = Intent::Up;
        match &mut self.login {
            // New fields are told with the next hello; a connection in progress is joined.
            Login::User(known) if known.user.id == user.id => {
                known.user = user;
                if matches!(self.link, Link::Rest | Link::Failed(_)) {
                    // The call may have brought another token provider.
                    known.token = Token::Unknown;
                    self.link = Link::Rest;
                }
            }
            Login::User(_) | Login::None | Login::LoggedOut => {
                self.let_go(now, out);
                self.intent = Intent::Up;
                self.login = Login::User(Box::new(User::new(user)));
            }
        }
    }

    /// Whoever was there is gone.
    fn let_go(&mut self, now: Millis, out: &mut Vec<Output>) {
        let shown = self.ui_status(now);
        self.intent = Intent::Down;
        self.take_down(now, shown, Cause::Wish, out);
    }

    fn log_in(&mut self, now: Millis, user: UserInput, saved: Option<Saved>, out: &mut Vec<Output>) {
        if matches!(&self.login, Login::User(known) if known.user.id == user.id) {
            return;
        }
        self.let_go(now, out);
        self.intent = if self.config.mode == Mode::Auto { Intent::Up } else { Intent::Down };
        self.login = Login::User(Box::new(match saved {
            None => User::new(user),
            Some(saved) => {
                self.ways.worked_in.clone_from(&saved.worked_in);
                self.ways.recall(&self.config.transports);
                User::restored(user, saved)
            }
        }));
    }

    fn retry_now(&mut self, now: Millis, jitter: f64) {
        match &mut self.link {
            Link::Failed(_) => self.link = Link::Rest,
            Link::Trying(Trying { step: Step::Wait { until }, .. }) => {
                *until = (*until).min(now + share(jitter, self.config.retry_now_spread_ms));
            }
            Link::Rest | Link::Trying(_) | Link::Up(_) | Link::Closing { .. } => {}
        }
    }

    fn network_is(&mut self, now: Millis, jitter: f64, level: NetworkLevel, out: &mut Vec<Output>) {
        let before = std::mem::replace(&mut self.network, level);
        match (before, level) {
            (NetworkLevel::Unknown | NetworkLevel::Up, NetworkLevel::Down) => {
                if let Link::Trying(Trying { step: Step::Wait { until }, .. }) = &mut self.link {
                    *until = now + PROBE_MS;
                }
            }
            (NetworkLevel::Down, NetworkLevel::Unknown | NetworkLevel::Up)
            | (NetworkLevel::Unknown, NetworkLevel::Up)
                if matches!(self.link, Link::Trying(_)) =>
            {
                self.retry_now(now, jitter);
            }
            (NetworkLevel::Down, NetworkLevel::Unknown | NetworkLevel::Up) => {
                self.check_link(now, jitter, out);
            }
            _ => {}
        }
    }

    fn path_is(&mut self, now: Millis, jitter: f64, network: Option<String>, out: &mut Vec<Output>) {
        self.ways.goes_by(network.unwrap_or_default(), &self.config.transports);
        if let Link::Up(live) = &mut self.link
            && self.ways.at < live.at
            && let Climb::None | Climb::Wait(_) = live.climb
        {
            live.climb = Climb::Wait(now);
        }
        self.check_link(now, jitter, out);
    }

    /// Lets go of what is there, on purpose: for good, or for the background. `shown` is what a banner showed.
    fn take_down(&mut self, now: Millis, shown: UiStatus, cause: Cause, out: &mut Vec<Output>) {
        let state = self.state();
        self.promote(now);
        let dial = match &self.link {
            Link::Rest | Link::Failed(_) => None,
            Link::Closing { .. } => return,
            Link::Trying(trying) => trying.step.dial(),
            Link::Up(live) => Some(live.dial),
        };
        let parks = matches!(self.login, Login::User(_)) && self.intent != Intent::Down;
        let (intent, code) = match parks {
            true => (ByeIntent::Park, CloseCode::MEANS_TO_RESUME),
            false => (ByeIntent::Leave, CloseCode::NORMAL),
        };
        self.transmit(ClientFrame::Bye { intent }, out);
        if let Some(user) = self.login.user().filter(|_| !parks) {
            user.predecessor = None;
        }
        self.stop_climbing(out);
        self.link = dial.map_or(Link::Rest, |dial| {
            out.push(Output::Close { dial, code });
            Link::Closing { dial, shown: state, ui: shown, cause, until: now + CLOSE_WAIT_MS }
        });
    }

    /// Sends a frame if there is a connection to send it on.
    fn transmit(&self, frame: ClientFrame, out: &mut Vec<Output>) {
        if let Link::Up(live) = &self.link
            && !live.over
        {
            out.push(Output::Transmit { dial: live.dial, frame: Box::new(frame) });
        }
    }

    fn tick(&mut self, now: Millis, jitter: f64, out: &mut Vec<Output>) -> Why {
        let late = self.deadline().is_some_and(|at| now >= at.saturating_add(self.config.wake_jump_ms));
        if late {
            self.woke(now, jitter, out);
        }
        if let Link::Up(live) = &self.link
            && live.over
            && live.deadline() <= now
        {
            self.go_back(now, out);
        }
        match &mut self.link {
            Link::Trying(Trying { step, .. }) if step.until() <= now => match step {
                Step::Token { .. } => {
                    self.lose(now, jitter, Return::Backoff, out);
                    return Cause::Token.into();
                }
                Step::Wait { .. } => {
                    let next = self.dial(now, out);
                    if let Link::Trying(Trying { step, .. }) = &mut self.link {
                        *step = next;
                    }
                }
                Step::Opening(dial) | Step::Hello { dial, .. } => {
                    let dial = dial.number;
                    return self.break_off(now, jitter, dial, Cause::DialTimeout, out);
                }
            },
            // Only the next one's `ready` is waited for.
            Link::Up(live) if live.over => {}
            Link::Up(live) => {
                if live.dead_at() <= now {
                    let dial = live.dial;
                    return self.break_off(now, jitter, dial, Cause::DeadLink, out);
                }
                if let Renewal::Wait { until, failures } = live.renewal
                    && until <= now
                {
                    let fetch = self.fetch(None, out);
                    if let Link::Up(live) = &mut self.link {
                        live.renewal = Renewal::Asked { fetch, failures };
                    }
                }
                self.climb(now, out);
            }
            Link::Closing { until, cause, .. } if *until <= now => {
                let cause = cause.clone();
                self.link = Link::Rest;
                return cause.into();
            }
            Link::Rest | Link::Failed(_) | Link::Trying(_) | Link::Closing { .. } => {}
        }
        Cause::Timer.into()
    }
}
