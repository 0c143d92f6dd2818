//! The client's half of one connection.
//!
//! Inputs are levels (who, wanted or not, the app's state, the network) and what happened to the transport.
//! After each, what is wanted is compared with what is there, and the difference is the output: the machine
//! does not chase edges, so that any order of inputs ends in the same place.
//!
//! Not here: sockets, timers, the token provider, what an app does with an event.

mod frames;
mod input;
mod link;
mod login;
mod loss;
mod output;
mod places;
mod state;

use serde::{Deserialize, Serialize};

use parlour_wire::frames::{AppState, ByeIntent, ClientFrame, ClientInfo, Hello, PresenceSubscription};
use parlour_wire::users::UserInput;
use parlour_wire::{AppKey, CloseCode};

use crate::backoff::share;
use crate::{Backoff, Millis};
pub use input::{Input, NetworkLevel};
use link::{LastWords, Link, Renewal, Step, Story, Told, Trying};
use login::{Login, Token, Trust, User};
use loss::Return;
pub use output::Output;
pub use state::{Cause, FailedWhy, State, Transition, UiStatus};

/// When the platform says that there is no network, it is tried all the same this often: platforms err.
const PROBE_MS: Millis = 30_000;
/// When the provider has not answered for this long, it counts as failed.
const TOKEN_WAIT_MS: Millis = 30_000;
/// When a transport that was told to close has not said `Closed` for this long, it is taken for closed.
const CLOSE_WAIT_MS: Millis = 5_000;

/// What a connection is held to. The server's `ready` may change `dead_link_ms`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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

/// The client's half of one connection.
///
/// ```
/// use parlour_proto::{Backoff, Connection, ConnectionConfig, Input, Output, State};
/// # use parlour_wire::{frames::{ClientInfo, PresenceSubscription}, users::UserInput};
/// # let config = ConnectionConfig {
/// #     app_key: "dev".parse().unwrap(), client: ClientInfo::default(), device: None,
/// #     presence: PresenceSubscription::None, dial_timeout_ms: 10_000, dead_link_ms: 35_000,
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
/// assert_eq!(out, [Output::Open { dial: 1 }]);
/// // Without an answer it is given up after ten seconds.
/// assert_eq!(connection.deadline(), Some(10_020));
/// ```
pub struct Connection {
    config: ConnectionConfig,
    // Levels: what is wanted follows from these alone.
    login: Login,
    intent: Intent,
    app: AppState,
    network: NetworkLevel,
    // What is there.
    link: Link,
    /// Losses and failed dials since the connection was last stable.
    failures: u32,
    dials: u64,
    fetches: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Intent {
    Up,
    Down,
}

/// What the levels ask for.
enum Want {
    Up,
    Down,
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
            app: AppState::Foreground,
            network: NetworkLevel::Unknown,
            link: Link::Rest,
            failures: 0,
            dials: 0,
            fetches: 0,
        }
    }

    /// Takes what happened at `now`; appends what to do, in order. `jitter` is a fresh random number from 0
    /// to 1, used where a wait is chosen.
    pub fn handle(&mut self, now: Millis, jitter: f64, input: Input, out: &mut Vec<Output>) {
        let (from, shown) = (self.state(), self.ui_status(now));
        let Why { cause, code } = self.take(now, jitter, input, out);
        self.reconcile(now, shown, out);
        let to = self.state();
        if from != to {
            out.push(Output::Changed(Box::new(Transition { from, to, cause, code })));
        }
    }

    /// When to call with `Tick` next.
    pub fn deadline(&self) -> Option<Millis> {
        match &self.link {
            Link::Rest | Link::Failed(_) => None,
            Link::Trying(trying) => Some(trying.step.until()),
            Link::Up(live) => Some(live.deadline()),
            Link::Closing { until, .. } => Some(*until),
        }
    }

    /// The public state.
    pub fn state(&self) -> State {
        match &self.link {
            Link::Rest => match self.login {
                Login::None => State::Idle,
                Login::LoggedOut => State::Closed,
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
        match (&self.link, self.want()) {
            (Link::Failed(_), _) => UiStatus::NeedsAction,
            (Link::Up(_) | Link::Closing { .. }, Want::Up) => UiStatus::Online,
            (Link::Trying(trying), Want::Up) if now < trying.since + self.config.ui_grace_ms => trying.shown,
            (Link::Trying(_), Want::Up) if self.network == NetworkLevel::Down => UiStatus::Offline,
            (Link::Trying(_), Want::Up) => UiStatus::Reconnecting,
            (Link::Rest, _) | (_, Want::Down) => match self.login {
                Login::None | Login::LoggedOut => UiStatus::SignedOut,
                Login::User(_) => UiStatus::Offline,
            },
        }
    }

    fn want(&self) -> Want {
        match (&self.login, self.intent) {
            (Login::User(_), Intent::Up) => Want::Up,
            (Login::None | Login::LoggedOut, _) | (Login::User(_), Intent::Down) => Want::Down,
        }
    }

    /// Makes what is there into what is wanted. `shown` is what a banner showed before.
    fn reconcile(&mut self, now: Millis, shown: UiStatus, out: &mut Vec<Output>) {
        match (self.want(), &self.link) {
            (Want::Up, Link::Rest) => {
                self.failures = 0;
                let step = self.dial(now, out);
                self.link = Link::Trying(Trying { story: Story::First, since: now, shown, step });
            }
            (Want::Down, Link::Failed(_)) => self.link = Link::Rest,
            (Want::Down, Link::Trying(_) | Link::Up(_)) => self.take_down(now, out),
            (Want::Up, Link::Failed(_) | Link::Trying(_) | Link::Up(_) | Link::Closing { .. })
            | (Want::Down, Link::Rest | Link::Closing { .. }) => {}
        }
    }

    fn take(&mut self, now: Millis, jitter: f64, input: Input, out: &mut Vec<Output>) -> Why {
        match input {
            Input::ConnectUser { user } => {
                self.connect_user(now, user, out);
                self.retry_now(now, jitter);
                Cause::Wish.into()
            }
            Input::Connect => {
                if self.login.user().is_some() {
                    self.intent = Intent::Up;
                    self.retry_now(now, jitter);
                }
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
                self.network_is(now, jitter, level);
                Cause::Network.into()
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
                self.transmit(ClientFrame::Presence { subscription }, out);
                Cause::Wish.into()
            }
            Input::Send(frame) => {
                self.transmit(frame, out);
                Cause::Wish.into()
            }
            Input::TokenFetched { fetch, token } => self.token_fetched(now, fetch, token, out),
            Input::TokenFailed { fetch, permanent, message } => {
                self.token_failed(now, jitter, fetch, permanent.then_some(message), out)
            }
            Input::Opened { dial } => self.opened(dial, out),
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
            Login::User(_) => {
                self.take_down(now, out);
                self.login = Login::User(Box::new(User::new(user)));
            }
            Login::None | Login::LoggedOut => self.login = Login::User(Box::new(User::new(user))),
        }
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

    fn network_is(&mut self, now: Millis, jitter: f64, level: NetworkLevel) {
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
            _ => {}
        }
    }

    fn app_is(&mut self, now: Millis, jitter: f64, state: AppState, out: &mut Vec<Output>) {
        if state == self.app {
            return;
        }
        self.app = state.clone();
        self.transmit(ClientFrame::AppState { state: state.clone(), lease_ms: None }, out);
        if state != AppState::Foreground {
            return;
        }
        // Who was evicted comes back with its user, and not before: else two devices would evict each other
        // in turns.
        let evicted =
            |code: &CloseCode| matches!(*code, CloseCode::REPLACED | CloseCode::TOO_MANY_CONNECTIONS);
        match &self.link {
            Link::Failed(FailedWhy::Refused { code, .. }) if evicted(code) => self.link = Link::Rest,
            Link::Trying(_) => self.retry_now(now, jitter),
            Link::Rest | Link::Failed(_) | Link::Up(_) | Link::Closing { .. } => {}
        }
    }

    /// Lets go of what is there, on purpose.
    fn take_down(&mut self, now: Millis, out: &mut Vec<Output>) {
        let shown = self.state();
        let dial = match &self.link {
            Link::Rest | Link::Failed(_) => None,
            Link::Closing { .. } => return,
            Link::Trying(trying) => trying.step.dial(),
            Link::Up(live) => Some(live.dial),
        };
        self.transmit(ClientFrame::Bye { intent: ByeIntent::Leave }, out);
        if let Some(user) = self.login.user() {
            user.predecessor = None;
        }
        self.link = dial.map_or(Link::Rest, |dial| {
            out.push(Output::Close { dial, code: CloseCode::NORMAL });
            Link::Closing { dial, shown, until: now + CLOSE_WAIT_MS }
        });
    }

    /// Sends a frame if there is a connection to send it on.
    fn transmit(&self, frame: ClientFrame, out: &mut Vec<Output>) {
        if let Link::Up(live) = &self.link {
            out.push(Output::Transmit { dial: live.dial, frame: Box::new(frame) });
        }
    }

    /// The first step of a dial: a token, or where there is one, the transport.
    fn dial(&mut self, now: Millis, out: &mut Vec<Output>) -> Step {
        let refused = match self.login.user().map(|user| &user.token) {
            Some(Token::Held { .. }) => {
                self.dials += 1;
                out.push(Output::Open { dial: self.dials });
                return Step::Opening { dial: self.dials, until: now + self.config.dial_timeout_ms };
            }
            Some(Token::Refused { token, .. }) => Some(token.clone()),
            Some(Token::Unknown) | None => None,
        };
        let fetch = self.fetch(refused, out);
        Step::Token { fetch, until: now + TOKEN_WAIT_MS }
    }

    fn fetch(&mut self, refused: Option<String>, out: &mut Vec<Output>) -> u64 {
        self.fetches += 1;
        out.push(Output::FetchToken { fetch: self.fetches, refused });
        self.fetches
    }

    fn opened(&mut self, dial: u64, out: &mut Vec<Output>) -> Why {
        match (&mut self.link, &mut self.login) {
            (Link::Trying(Trying { step, .. }), Login::User(user)) if step.dial() == Some(dial) => {
                if let (Step::Opening { until, .. }, Token::Held { token, .. }) = (&step, &user.token) {
                    let told = Box::new(Told {
                        user: user.user.clone(),
                        app: self.app.clone(),
                        presence: self.config.presence.clone(),
                    });
                    let hello = Hello {
                        app_key: self.config.app_key.clone(),
                        token: token.clone(),
                        user: (user.told.as_ref() != Some(&user.user)).then(|| user.user.clone()),
                        client: self.config.client.clone(),
                        device: self.config.device.clone(),
                        replaces: user.predecessor.clone(),
                        presence: told.presence.clone(),
                        app_state: told.app.clone(),
                        heartbeat_ms: None,
                        resume: user.resume(),
                    };
                    *step = Step::Hello { dial, until: *until, told, words: LastWords::default() };
                    let frame = Box::new(ClientFrame::Hello(Box::new(hello)));
                    out.push(Output::Transmit { dial, frame });
                }
            }
            (Link::Up(live), _) if live.dial == dial => {}
            _ => {
                let code = match self.want() {
                    Want::Up => CloseCode::MEANS_TO_RESUME,
                    Want::Down => CloseCode::NORMAL,
                };
                out.push(Output::Close { dial, code });
            }
        }
        Cause::Wish.into()
    }

    fn token_fetched(&mut self, now: Millis, fetch: u64, token: String, out: &mut Vec<Output>) -> Why {
        let Login::User(user) = &mut self.login else { return Cause::Token.into() };
        match &mut self.link {
            Link::Trying(Trying { step: Step::Token { fetch: asked, .. }, .. }) if *asked == fetch => {
                let trust = match &user.token {
                    Token::Refused { token: refused, why } if *refused == token => {
                        let why = why.clone();
                        self.fail(why);
                        return Cause::Token.into();
                    }
                    Token::Refused { .. } => Trust::Last,
                    Token::Unknown | Token::Held { .. } => Trust::Full,
                };
                user.token = Token::Held { token, trust };
                let next = self.dial(now, out);
                if let Link::Trying(Trying { step, .. }) = &mut self.link {
                    *step = next;
                }
            }
            Link::Up(live) if matches!(live.renewal, Renewal::Asked { fetch: asked, .. } if asked == fetch) =>
            {
                live.renewal = Renewal::None;
                user.token = Token::Held { token: token.clone(), trust: Trust::Full };
                self.transmit(ClientFrame::Token { token }, out);
            }
            Link::Rest | Link::Failed(_) | Link::Trying(_) | Link::Up(_) | Link::Closing { .. } => {}
        }
        Cause::Token.into()
    }

    /// `for_good` carries the message of a failure that asking again will not mend.
    fn token_failed(
        &mut self,
        now: Millis,
        jitter: f64,
        fetch: u64,
        for_good: Option<String>,
        out: &mut Vec<Output>,
    ) -> Why {
        let backoff = self.backoff();
        match &mut self.link {
            Link::Trying(Trying { step: Step::Token { fetch: asked, .. }, .. }) if *asked == fetch => {
                match for_good {
                    Some(message) => self.fail(FailedWhy::Token { message }),
                    None => self.lose(now, jitter, Return::Backoff, out),
                }
            }
            Link::Up(live) => {
                let Renewal::Asked { fetch: asked, failures } = live.renewal else {
                    return Cause::Token.into();
                };
                if asked != fetch {
                    return Cause::Token.into();
                }
                if let Some(message) = for_good {
                    out.push(Output::Close { dial: live.dial, code: CloseCode::MEANS_TO_RESUME });
                    self.fail(FailedWhy::Token { message });
                } else {
                    let until = now + backoff.wait(failures, jitter);
                    live.renewal = Renewal::Wait { until, failures: failures.saturating_add(1) };
                }
            }
            Link::Rest | Link::Failed(_) | Link::Trying(_) | Link::Closing { .. } => {}
        }
        Cause::Token.into()
    }

    fn tick(&mut self, now: Millis, jitter: f64, out: &mut Vec<Output>) -> Why {
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
                Step::Opening { dial, .. } | Step::Hello { dial, .. } => {
                    let dial = *dial;
                    return self.break_off(now, jitter, dial, Cause::DialTimeout, out);
                }
            },
            Link::Up(live) if live.dead_at() <= now => {
                let dial = live.dial;
                return self.break_off(now, jitter, dial, Cause::DeadLink, out);
            }
            Link::Up(live) => {
                if let Renewal::Wait { until, failures } = live.renewal
                    && until <= now
                {
                    let fetch = self.fetch(None, out);
                    if let Link::Up(live) = &mut self.link {
                        live.renewal = Renewal::Asked { fetch, failures };
                    }
                }
            }
            Link::Closing { until, .. } if *until <= now => {
                self.link = Link::Rest;
                return Cause::Wish.into();
            }
            Link::Rest | Link::Failed(_) | Link::Trying(_) | Link::Closing { .. } => {}
        }
        Cause::Timer.into()
    }
}
