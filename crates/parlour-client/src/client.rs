//! The public handle of one user's client.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use parlour_proto::{AppLevel, Cause, Input, NetworkLevel, State, Transition, Transport, UiStatus};
use parlour_wire::channels::{ChannelResponse, ChannelsResponse, GetOrCreateChannel, QueryChannels};
use parlour_wire::guests::{CreateGuest, GuestResponse};
use parlour_wire::presence::Presence;
use parlour_wire::presence::PresenceSubscription;
use parlour_wire::reads::{Unread, UnreadTotals};
use parlour_wire::users::{Me, PartialUpdate, User, UserInput};
use parlour_wire::{ChannelId, ChannelType, Cid, ConnectionId, ErrorCode, MessageId, UserId};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::attendance::Attendance;
use crate::builder::Builder;
use crate::calls::{Caller, Calls};
use crate::company::Lead;
use crate::dice::Dice;
use crate::driver::Command;
use crate::events::{ClientEvent, Events, Readers};
use crate::jwt::{TokenClaims, anonymous_token};
use crate::local::Local;
use crate::outbox::{Outbox, OutboxEntry};
use crate::session::{self, Session, SessionView, Stage};
use crate::token::{TokenProvider, TokenSource};
use crate::unread::UnreadCounts;
use crate::{Channel, Error};

/// A lease lasts 30 seconds.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(25);

/// One user's client: connects, listens, asks. Cheap to clone; all clones are the same client.
///
/// For end users' devices: it has no place for an app's secret (that is
/// [`ServerClient`](crate::ServerClient)). Dropping the last clone closes the socket and does not log out.
///
/// Clients of one process with the same address, app key, user and device name share one connection, and everything that
/// belongs to it: the options of the first are in force, `disconnect` and `disconnect_user` are for all of them, and the
/// socket closes when the last is dropped.
///
/// ```no_run
/// # async fn run() -> Result<(), parlour_client::Error> {
/// use parlour_client::{Client, Profile};
/// let client = Client::builder("http://127.0.0.1:8790", "dev").build()?;
/// let me = client.connect_user(Profile::new("alice").name("Alice"), "eyJ…").await?;
/// println!("{} unread", me.total_unread_count);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

/// A client, as far as it is reached.
#[derive(Clone)]
pub(crate) struct Inner {
    pub(crate) shared: Arc<Shared>,
    /// The driver ends when this is dropped, which is why it does not hold `Inner`.
    pub(crate) commands: mpsc::Sender<Command>,
}

/// What the client and its driver both touch.
pub(crate) struct Shared {
    pub(crate) calls: Calls,
    pub(crate) session: watch::Sender<SessionView>,
    pub(crate) connection: watch::Sender<ConnectionStatus>,
    pub(crate) unread: watch::Sender<UnreadCounts>,
    pub(crate) local: Mutex<Local>,
    /// Told when `local` was changed by a call, and not by the driver.
    pub(crate) local_changed: tokio::sync::Notify,
    pub(crate) readers: Arc<Readers>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) dice: Arc<Dice>,
    /// Whose connection is used where another client of this process has the user's.
    lead: Mutex<Option<Lead>>,
}

impl Shared {
    pub(crate) fn new(
        calls: Calls,
        session: watch::Sender<SessionView>,
        readers: Arc<Readers>,
        dice: Arc<Dice>,
    ) -> Self {
        Self {
            calls,
            session,
            connection: watch::Sender::new(ConnectionStatus {
                state: State::Idle,
                ui_status: UiStatus::SignedOut,
                attempt: 0,
                retry_at: None,
                connection_id: None,
                transport: None,
                rtt: None,
                fell_back: None,
                last: None,
                throttled: Vec::new(),
            }),
            unread: watch::Sender::default(),
            local: Mutex::default(),
            local_changed: tokio::sync::Notify::new(),
            outbox: Arc::new(Outbox::new(readers.clone())),
            readers,
            dice,
            lead: Mutex::default(),
        }
    }

    pub(crate) fn lead(&self) -> MutexGuard<'_, Option<Lead>> {
        self.lead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Uses nobody else's connection any more.
    pub(crate) fn stands_alone(&self) {
        let Some(lead) = self.lead().take() else { return };
        lead.other.shared.readers.leave(&self.readers);
        self.session.send_modify(|view| view.stage = Stage::NoUser);
        // The driver says where this client stands by itself.
        self.local_changed.notify_one();
    }

    pub(crate) fn local(&self) -> MutexGuard<'_, Local> {
        self.local.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server wants this feature left alone for so long.
    pub(crate) fn throttle(&self, feature: &str, retry_after: Duration) {
        self.local().throttle(feature, Instant::now() + retry_after);
        self.local_changed.notify_one();
        self.readers.publish(&ClientEvent::Throttled { feature: feature.to_owned(), retry_after });
    }
}

/// Where the connection stands.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionStatus {
    pub state: State,
    /// The state as a banner would show it: a downtime of less than two seconds is not shown.
    pub ui_status: UiStatus,
    /// Dials since the connection was last up; 0 while it is.
    pub attempt: u32,
    /// When the next dial comes, while waiting for it.
    pub retry_at: Option<Instant>,
    /// The server's name for the connection, while it is up.
    pub connection_id: Option<ConnectionId>,
    /// How frames travel, while it is up.
    pub transport: Option<Transport>,
    /// The last round trip that a [`Client::ping`] has measured.
    pub rtt: Option<Duration>,
    /// The last time that nothing got through by a transport, and why.
    pub fell_back: Option<FellBack>,
    /// The last change, with its cause and close code.
    pub last: Option<Transition>,
    /// What is paused for a while, whatever the state is.
    pub throttled: Vec<Throttled>,
}

/// A feature that the server wants left alone for a while. The connection and everything else go on.
#[derive(Clone, Debug, PartialEq)]
pub struct Throttled {
    /// As the server calls it, such as `typing`; `messages` where sends were too many: the outbox waits for it.
    pub feature: String,
    /// When it may be used again; it is no longer listed then.
    pub until: Instant,
}

/// Nothing gets through by one transport, and the next is tried.
#[derive(Clone, Debug, PartialEq)]
pub struct FellBack {
    pub from: Transport,
    pub to: Transport,
    /// As the network or a proxy said it.
    pub because: String,
}

/// Who connects, with the fields to merge into what the server has stored of the user.
#[derive(Clone, Debug)]
pub struct Profile {
    id: String,
    fields: std::collections::BTreeMap<String, Value>,
}

impl Profile {
    /// A user by its id: 1–128 of `a-z 0-9 @ _ -`. Checked when it is used.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), fields: std::collections::BTreeMap::new() }
    }

    /// Sets the name that others see.
    #[must_use]
    pub fn name(self, name: impl Into<String>) -> Self {
        self.set("name", name.into())
    }

    /// Sets the address of a picture.
    #[must_use]
    pub fn image(self, url: impl Into<String>) -> Self {
        self.set("image", url.into())
    }

    /// Sets a field of the app's own.
    #[must_use]
    pub fn set(mut self, field: impl Into<String>, value: impl Into<Value>) -> Self {
        self.fields.insert(field.into(), value.into());
        self
    }

    pub(crate) fn input(self) -> Result<UserInput, Error> {
        Ok(UserInput { id: UserId::parse(&self.id)?, fields: self.fields })
    }
}

impl From<&str> for Profile {
    fn from(id: &str) -> Self {
        Self::new(id)
    }
}

impl From<String> for Profile {
    fn from(id: String) -> Self {
        Self::new(id)
    }
}

impl From<UserId> for Profile {
    fn from(id: UserId) -> Self {
        Self::new(id.as_str())
    }
}

impl From<UserInput> for Profile {
    fn from(input: UserInput) -> Self {
        Self { id: input.id.to_string(), fields: input.fields }
    }
}

impl Client {
    /// Begins a client of the server at `url` (`http://…` or `https://…`), for the app with this key.
    pub fn builder(url: impl Into<String>, app_key: impl Into<String>) -> Builder {
        Builder::new(url.into(), app_key.into())
    }

    /// Logs in, connects, makes the user or merges the given fields into it, and answers with the user's own
    /// view of itself.
    ///
    /// For the same user while connected or connecting it joins the one in progress, and opens nothing. While
    /// another user's `disconnect_user` is running it waits for its end. After a `timeout` or `network` error
    /// the client goes on dialling; call again to wait again.
    ///
    /// # Errors
    /// `already_connected_as` names the other user; `network` and `timeout` after the call timeout; what the
    /// server refuses, as it says it; `cancelled` if a `disconnect` came in between.
    pub async fn connect_user(
        &self,
        user: impl Into<Profile>,
        token: impl Into<TokenProvider>,
    ) -> Result<Me, Error> {
        let user = user.into().input()?;
        let token = token.into();
        let shared = &self.inner.shared;
        // Until the driver has seen the command, calls must know that there is somebody to wait for.
        let joining = Joining::new(shared.session.clone());
        let (reply, answer) = oneshot::channel();
        let command = Command::ConnectUser { user, token, joining, reply };
        self.until_up(&self.inner, command, answer).await
    }

    /// Logs in without connecting by itself: asks the server whether it takes the token, and keeps the session. It
    /// makes no user and counts nobody. Where the client connects by itself (the default), it begins to.
    ///
    /// # Errors
    /// `already_connected_as` names the other user; what the server refuses, as it says it; `network`, `timeout`.
    pub async fn login(&self, token: impl Into<TokenProvider>) -> Result<UserId, Error> {
        let shared = &self.inner.shared;
        let source = TokenSource::new(token.into(), shared.calls.endpoint.call_timeout);
        let text = source.fresh().await?;
        let user = TokenClaims::read(&text)?.user()?.ok_or(ErrorCode::ServerTokenCannotConnect)?;
        let session = Arc::new(Session { user: user.clone(), token: source });
        let view = SessionView { joining: 0, stage: Stage::Ready(session.clone()) };
        let asking = watch::Sender::new(view);
        let calls =
            Calls { endpoint: shared.calls.endpoint.clone(), caller: Caller::User(asking.subscribe()) };
        calls.me().await?;
        let (reply, answer) = oneshot::channel();
        begin(&self.inner, Command::Login { session, reply }, answer).await?;
        Ok(user)
    }

    /// Connects as nobody: reads and watches channels that are open to all, and does nothing else. It takes no backend,
    /// and counts as a connection, not as an active user.
    ///
    /// The same as a [`login`](Self::login) with an [`anonymous_token`](crate::anonymous_token), and a
    /// [`connect`](Self::connect).
    ///
    /// # Errors
    /// `already_connected_as` where somebody is logged in; `network` and `timeout`.
    pub async fn connect_anonymously(&self) -> Result<Me, Error> {
        self.login(anonymous_token()).await?;
        self.connect().await
    }

    /// Makes a guest, which takes no backend: a new user with the role `guest`, and a token to connect it with.
    ///
    /// ```no_run
    /// # use parlour_client::{Client, Error, wire::guests::CreateGuest};
    /// # async fn example(client: &Client) -> Result<(), Error> {
    /// let guest = client.create_guest(CreateGuest::named("Visitor")).await?;
    /// client.connect_user(guest.user.id, guest.token).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The token is all that proves who the guest is: keep it, and the guest comes back with it. Where the client has a
    /// storage, the session that it keeps is enough.
    ///
    /// # Errors
    /// `invalid_input`, `role_not_allowed`, `too_large` for fields that a guest cannot have; `rate_limited` where too
    /// many come from one address; `network` and `timeout`.
    pub async fn create_guest(&self, guest: CreateGuest) -> Result<GuestResponse, Error> {
        let endpoint = self.inner.shared.calls.endpoint.clone();
        Calls { endpoint, caller: Caller::Nobody }.create_guest(&guest).await
    }

    /// Who is logged in, also if by an earlier run of the app.
    pub async fn logged_in_user(&self) -> Option<UserId> {
        let (reply, answer) = oneshot::channel();
        begin(&self.current(), Command::WhoIs { reply }, answer).await.ok().flatten()
    }

    /// As [`disconnect_user`](Self::disconnect_user), and erases everything that is stored of the user. Answers how
    /// many messages were not sent: they are gone.
    ///
    /// Begins when called: the returned future only tells when the socket is gone.
    pub fn logout(&self) -> impl Future<Output = Result<usize, Error>> + Send + 'static {
        let (reply, answer) = oneshot::channel();
        begin(&self.current(), Command::Logout { reply }, answer)
    }

    /// Connects again, after [`disconnect`](Self::disconnect) or a failure, or in the background. Where the client
    /// does not connect by itself, this is what connects it.
    ///
    /// # Errors
    /// `not_logged_in` without a user; else as [`connect_user`](Self::connect_user).
    pub async fn connect(&self) -> Result<Me, Error> {
        let (reply, answer) = oneshot::channel();
        self.until_up(&self.current(), Command::Connect { reply }, answer).await
    }

    async fn until_up(
        &self,
        inner: &Inner,
        command: Command,
        answer: oneshot::Receiver<Result<Me, Error>>,
    ) -> Result<Me, Error> {
        let endpoint = &self.inner.shared.calls.endpoint;
        inner.commands.send(command).await.map_err(|_| ErrorCode::Cancelled)?;
        match tokio::time::timeout(endpoint.call_timeout, answer).await {
            Ok(answer) => answer.unwrap_or_else(|_| Err(ErrorCode::Cancelled.into())),
            Err(_) => Err(self.why_not_up()),
        }
    }

    fn why_not_up(&self) -> Error {
        let last = self.inner.shared.connection.borrow().last.clone();
        match last.map(|transition| transition.cause) {
            Some(Cause::TransportClosed | Cause::DialTimeout | Cause::DeadLink | Cause::Network) => {
                Error::because(ErrorCode::Network, "the server could not be reached yet; still dialling")
            }
            _ => Error::because(ErrorCode::Timeout, "the connection is not up yet; still dialling"),
        }
    }

    /// Closes the connection and keeps the user; holds until [`connect`](Self::connect),
    /// [`connect_user`](Self::connect_user) or [`login`](Self::login).
    ///
    /// Begins when called: the returned future only tells when the socket is gone.
    ///
    /// # Errors
    /// `not_logged_in` without a user.
    pub fn disconnect(&self) -> impl Future<Output = Result<(), Error>> + Send + 'static {
        let (reply, answer) = oneshot::channel();
        begin(&self.current(), Command::Disconnect { reply }, answer)
    }

    /// Closes the connection, goes offline at once and forgets the user; the user's outbox waits for its return.
    ///
    /// Begins when called: the returned future only tells when the socket is gone. The next user's
    /// `connect_user` may be called right away, and waits for it.
    pub fn disconnect_user(&self) -> impl Future<Output = Result<(), Error>> + Send + 'static {
        let (reply, answer) = oneshot::channel();
        begin(&self.current(), Command::DisconnectUser { reply }, answer)
    }

    /// The round trip to the server and back.
    ///
    /// # Errors
    /// `not_connected`, `timeout`.
    pub async fn ping(&self) -> Result<Duration, Error> {
        let (reply, answer) = oneshot::channel();
        let pong = begin(&self.current(), Command::Ping { reply }, answer);
        let timeout = self.inner.shared.calls.endpoint.call_timeout;
        tokio::time::timeout(timeout, pong).await.unwrap_or_else(|_| Err(ErrorCode::Timeout.into()))
    }

    /// Where the connection stands, now and at every change.
    pub fn connection(&self) -> watch::Receiver<ConnectionStatus> {
        self.inner.shared.connection.subscribe()
    }

    /// Events from now on; any number of readers.
    pub fn events(&self) -> Events {
        self.inner.shared.readers.subscribe()
    }

    /// The connected user's own view of itself, with the unread totals of now.
    pub fn me(&self) -> Option<Me> {
        let shared = self.shared();
        let local = shared.local();
        let counts = local.tally.counts();
        let mut me = local.me.clone()?;
        me.total_unread_count = counts.total_unread_count;
        me.unread_channels = counts.unread_channels;
        Some(me)
    }

    /// The unread counts, kept current from events by the server's rule. `channels` holds those that were
    /// heard of; exact when [`UnreadCounts::settled`].
    pub fn unread(&self) -> UnreadTotals {
        let shared = self.shared();
        let local = shared.local();
        let UnreadCounts { total_unread_count, unread_channels, .. } = local.tally.counts();
        UnreadTotals { total_unread_count, unread_channels, channels: local.tally.channels() }
    }

    /// The unread totals, now and at every change.
    pub fn unread_counts(&self) -> watch::Receiver<UnreadCounts> {
        self.inner.shared.unread.subscribe()
    }

    pub(crate) fn unread_of(&self, cid: &Cid) -> Option<Unread> {
        self.shared().local().tally.channel(cid)
    }

    /// Whether a user is there, as far as the presence subscription tells; `None`: nothing was told, so either nobody is
    /// there, or [`Self::attendance`] says that too many are to be named.
    pub fn presence(&self, user: &UserId) -> Option<Presence> {
        self.shared().local().presence.of(user)
    }

    /// How many are there, of those whose presence is told.
    pub fn attendance(&self) -> Attendance {
        self.shared().local().presence.attendance()
    }

    /// Changes whose presence is told, now and after every reconnect.
    pub async fn set_presence(&self, subscription: PresenceSubscription) -> Result<(), Error> {
        self.input(Input::Presence(subscription)).await
    }

    /// What the platform says of the network.
    pub async fn set_network(&self, level: NetworkLevel) -> Result<(), Error> {
        self.input(Input::Network(level)).await
    }

    /// The way to the network is another one. `network` is its name, where the platform has one: which transport got
    /// through in it is remembered under that.
    pub async fn network_changed(&self, network: Option<String>) -> Result<(), Error> {
        self.input(Input::Path { network }).await
    }

    /// The device slept: the connection is looked at at once. (The client notices by itself within 2 seconds where
    /// the clock of the system tells.)
    pub async fn woke(&self) -> Result<(), Error> {
        self.input(Input::Woke).await
    }

    /// Where the app stands.
    pub async fn set_app_state(&self, level: AppLevel) -> Result<(), Error> {
        self.input(Input::App(level)).await
    }

    /// The app is not seen any more: see [`Builder::auto_connect`] for what that means.
    pub async fn enter_background(&self) -> Result<(), Error> {
        self.set_app_state(AppLevel::Background).await
    }

    /// The app is seen again.
    pub async fn enter_foreground(&self) -> Result<(), Error> {
        self.set_app_state(AppLevel::Foreground).await
    }

    /// Pings every 25 seconds, until what it returns is dropped: keeps a connection in the background beyond its
    /// lease of 30 seconds.
    #[must_use = "it ends when it is dropped"]
    pub fn keep_alive(&self) -> KeepAlive {
        let commands = self.inner.commands.downgrade();
        KeepAlive(tokio::spawn(async move {
            let mut turns = tokio::time::interval(KEEP_ALIVE_EVERY);
            loop {
                turns.tick().await;
                let Some(commands) = commands.upgrade() else { return };
                let (reply, _) = oneshot::channel();
                let _ = commands.send(Command::Ping { reply }).await;
            }
        }))
    }

    /// Dials now rather than at `retry_at`.
    pub async fn retry_now(&self) -> Result<(), Error> {
        self.input(Input::RetryNow).await
    }

    pub(crate) async fn input(&self, input: Input) -> Result<(), Error> {
        let command = Command::Input(Box::new(input));
        Ok(self.current().commands.send(command).await.map_err(|_| ErrorCode::Cancelled)?)
    }

    /// The channel `type:id`. Asks nothing yet.
    ///
    /// # Errors
    /// `invalid_id` says which character is not allowed.
    pub fn channel(&self, channel_type: &str, id: &str) -> Result<Channel, Error> {
        let cid = Cid::new(ChannelType::parse(channel_type)?, ChannelId::parse(id)?);
        Ok(Channel::new(self.clone(), cid))
    }

    /// The channel with this full name. Asks nothing yet.
    pub fn channel_at(&self, cid: Cid) -> Channel {
        Channel::new(self.clone(), cid)
    }

    /// The channel that is made of exactly these members and the user, in whatever order: the one that is
    /// there, or a new one with this data.
    pub async fn create_distinct(
        &self,
        channel_type: &str,
        members: &[&str],
        data: impl IntoIterator<Item = (String, Value)>,
    ) -> Result<(Channel, ChannelResponse), Error> {
        let request = GetOrCreateChannel {
            members: user_ids(members)?,
            data: data.into_iter().collect(),
            messages: None,
            team: None,
        };
        let answer = self.calls().distinct_channel(&ChannelType::parse(channel_type)?, &request).await?;
        Ok((self.channel_at(answer.state.channel.cid.clone()), answer))
    }

    /// The channels that match, of those that the user may see.
    pub async fn query_channels(&self, query: QueryChannels) -> Result<ChannelsResponse, Error> {
        self.calls().query_channels(&query).await
    }

    /// Users by their ids.
    pub async fn users(&self, ids: &[&str]) -> Result<Vec<User>, Error> {
        self.calls().users(&user_ids(ids)?).await
    }

    /// Sets some of the user's own fields, and removes others.
    pub async fn update_me(&self, update: PartialUpdate) -> Result<User, Error> {
        let session = session::known(&mut self.inner.shared.session.subscribe()).await?;
        self.calls().update_user(&session.user, &update).await
    }

    /// The unread state of all channels, asked of the server.
    pub async fn load_unread(&self) -> Result<UnreadTotals, Error> {
        self.calls().unread().await
    }

    /// What waits to be sent for the user, and what failed.
    pub fn outbox(&self) -> Vec<OutboxEntry> {
        let user = self.inner.shared.session.borrow().stage.session().map(|session| session.user.clone());
        user.map(|user| self.shared().outbox.entries(&user)).unwrap_or_default()
    }

    /// Forgets a message of the outbox; one that is just being sent may still arrive. `false`: there is none.
    pub fn discard(&self, id: &MessageId) -> bool {
        self.shared().outbox.discard(id)
    }

    /// Sends a failed message of the outbox again. `false`: there is none.
    pub fn retry(&self, id: &MessageId) -> bool {
        self.shared().outbox.retry(id)
    }

    pub(crate) fn calls(&self) -> &Calls {
        &self.inner.shared.calls
    }

    /// What the client and its driver both touch, or the client whose connection this one uses, and its driver.
    pub(crate) fn shared(&self) -> Arc<Shared> {
        self.current().shared
    }

    /// The client that has the connection: this one, or the one that was first for the same user.
    fn current(&self) -> Inner {
        let lead = self.inner.shared.lead().clone().filter(Lead::holds);
        lead.map_or_else(|| Inner::clone(&self.inner), |lead| lead.other)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.inner.shared.connection.borrow().state.clone();
        f.debug_struct("Client").field("state", &state).finish_non_exhaustive()
    }
}

/// Hands a command over, now; the future only waits for its answer.
fn begin<T: Send + 'static>(
    inner: &Inner,
    command: Command,
    answer: oneshot::Receiver<Result<T, Error>>,
) -> impl Future<Output = Result<T, Error>> + Send + 'static + use<T> {
    let begun = inner.commands.try_send(command);
    let commands = inner.commands.downgrade();
    async move {
        // A full queue is the only way not to have begun: then it begins when there is room.
        if let Err(mpsc::error::TrySendError::Full(command)) = begun {
            let commands = commands.upgrade().ok_or(ErrorCode::Cancelled)?;
            commands.send(command).await.map_err(|_| ErrorCode::Cancelled)?;
        }
        answer.await.unwrap_or_else(|_| Err(ErrorCode::Cancelled.into()))
    }
}

/// Pings for as long as it lives: see [`Client::keep_alive`].
#[derive(Debug)]
pub struct KeepAlive(tokio::task::JoinHandle<()>);

impl Drop for KeepAlive {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(crate) fn user_ids(ids: &[&str]) -> Result<Vec<UserId>, Error> {
    ids.iter().map(|id| UserId::parse(id).map_err(Error::from)).collect()
}

/// Says, as long as it lives, that a user is about to be there.
pub(crate) struct Joining(watch::Sender<SessionView>);

impl Joining {
    pub(crate) fn new(session: watch::Sender<SessionView>) -> Self {
        session.send_modify(|view| view.joining += 1);
        Self(session)
    }
}

impl Drop for Joining {
    fn drop(&mut self) {
        self.0.send_modify(|view| view.joining -= 1);
    }
}
