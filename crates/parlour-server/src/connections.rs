//! The connections of this node: who is admitted, who has to make room, how many there are.
//!
//! One mutex decides admission, so that never more than the limit are admitted at any instant. Who is let in gets a ticket
//! of the ledger, which counts; whoever loses or gives up its place here is over there in the same moment.

mod asking;
mod cutting;
mod marks;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use parlour_proto::Millis;
use parlour_store::{AppId, Ledger, Ticket};
use parlour_wire::frames::{AppState, ClientInfo, Hello, ReplacedBy};
use parlour_wire::limits::OnConnectionLimit;
use parlour_wire::{CloseCode, ConnectionId, ServerFrame, Timestamp, UserId};
use tokio::sync::Notify;

use crate::gateway::inbox::{Inbox, Parcel};
use crate::mailbox::{Mail, Mailbox};
pub(crate) use asking::{Asking, Outcome, Unanswered};
use asking::{Round, is_silent};
pub(crate) use cutting::{NoLongerWelcome, StillTelling};

/// All admitted connections.
#[derive(Default)]
pub(crate) struct Connections {
    inner: Mutex<Inner>,
    /// A connection was removed.
    gone: Notify,
    ledger: Arc<Ledger>,
}

/// When those who were sent away may come back, in milliseconds from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Returns {
    /// When the server is expected to be there again.
    pub(crate) from_ms: u64,
    /// They come back over this time; 0: all at once, without waiting for anything.
    pub(crate) window_ms: u64,
}

impl Returns {
    /// The turn of whoever stands at this place (0 to 1) of the row.
    pub(crate) fn turn(self, place: f64) -> u32 {
        if self.window_ms == 0 {
            return 0;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share of a window that is hours at most"
        )]
        let into_window = (self.window_ms as f64 * place) as u64;
        u32::try_from(self.from_ms + into_window).unwrap_or(u32::MAX)
    }
}

#[derive(Default)]
struct Inner {
    users: HashMap<(AppId, UserId), Vec<Admitted>>,
    dials: HashMap<Dialler, Dials>,
    /// When the clients that were sent away are to come back, where each has a turn of its own.
    turns: HashMap<ConnectionId, Millis>,
    /// Those that were evicted between two polls, until they are told or their lease would be over.
    untold: HashMap<(AppId, UserId), Vec<Untold>>,
    /// Users whose silent connections are being asked.
    rounds: HashMap<(AppId, UserId), Round>,
    /// Those that have lost their place, by the number of the mailbox, while something may still be told on them.
    departing: HashMap<u64, Departing>,
}

/// What a connection lasts by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastsBy {
    /// Its link: it ends when that does.
    Link,
    /// A lease that each poll renews.
    Lease,
}

/// How a connection came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    Anew,
    /// By the next poll of one that is there.
    Again,
}

/// One admitted connection.
struct Admitted {
    /// Its name for as long as it lasts, also where mailbox and gateway change with every poll.
    seat: u64,
    lasts_by: LastsBy,
    /// Which connection the latest poll named as its predecessor: until the answer has reached the client, it knows
    /// no other.
    predecessor: Option<ConnectionId>,
    mailbox: Arc<Mailbox>,
    /// For the frames that come by requests of their own, where the transport takes such.
    inbox: Option<Arc<Inbox>>,
    /// The device, as the user's others are told of it.
    device: ReplacedBy,
    app_state: AppState,
    /// When the user last did something on it.
    active_at: Millis,
    /// For the ledger.
    ticket: Arc<Ticket>,
    /// What its token says of when it was issued.
    issued_at: Option<Timestamp>,
}

/// A poller who has lost its place and does not know it.
struct Untold {
    connection: ConnectionId,
    predecessor: Option<ConnectionId>,
    bye: ServerFrame,
    code: CloseCode,
    until: Millis,
}

/// A connection that has lost its place: what it was told before may still be on its way.
struct Departing {
    user: (AppId, UserId),
    /// What its token says of when it was issued.
    issued_at: Option<Timestamp>,
    waited_for: Vec<StillTelling>,
}

/// Who dials: an app's user, and of her client the instance and the page. A page whose instance is a copy of another
/// one's, as that of a duplicated tab is, dials for itself.
type Dialler = (AppId, UserId, String, String);

/// The dials of one client, as a bucket that refills.
struct Dials {
    left: f64,
    at: Millis,
}

/// Who asks to be admitted.
pub(crate) struct Candidate<'a> {
    pub(crate) app: AppId,
    pub(crate) user: &'a UserId,
    pub(crate) hello: &'a Hello,
    pub(crate) mailbox: &'a Arc<Mailbox>,
    pub(crate) inbox: Option<&'a Arc<Inbox>>,
    pub(crate) lasts_by: LastsBy,
    /// Where it comes from, if that is known.
    pub(crate) address: Option<IpAddr>,
    /// What its token says of when it was issued.
    pub(crate) issued_at: Option<Timestamp>,
    pub(crate) now: Millis,
    /// The same on the wall.
    pub(crate) at: Timestamp,
    pub(crate) limit: u32,
    pub(crate) on_limit: OnConnectionLimit,
    /// For an answer to the question whether somebody is there.
    pub(crate) probe_wait_ms: Millis,
    /// Who took what it had been sent within this time is there: its answer would stand behind what it has not read.
    pub(crate) slow_reader: Duration,
    /// Dials per minute and at once; `None`: not limited.
    pub(crate) dials: Option<(u32, u32)>,
}

/// Where a candidate stands before it is admitted.
#[derive(Debug)]
pub(crate) enum Standing {
    /// It is new here.
    None,
    /// It goes on a poller's connection.
    Leased,
    /// The connection that it would go on was ended: this is still to be told.
    Ended { bye: Box<ServerFrame>, code: CloseCode },
}

/// What is known of those who hold the places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Places {
    /// Nothing: some may be dead.
    Unasked,
    /// They were asked.
    Asked,
}

/// The answer to a candidate.
#[derive(Debug)]
pub(crate) enum Admittance {
    /// In: to be counted from the moment in which it is open.
    In(Arc<Ticket>),
    /// There are as many as allowed, and those of them that have been silent are being asked: judge them when it is
    /// over, and come again.
    Asking(Arc<Asking>),
    /// There are as many as allowed, and the app wants no newcomer: these hold the places, the stalest first.
    Full { held_by: Vec<ReplacedBy> },
}

/// Why frames were not taken for a connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// The user has no such connection that takes frames this way.
    NoConnection,
    /// What was sent before has not been taken yet.
    Full,
}

/// How many clients are remembered for their dials before those with a full bucket are forgotten.
const DIALS_REMEMBERED: usize = 10_000;

const TOOK_ITS_PLACE: &str = "another connection of this user took this one's place";

/// How long a poller who lost its place between two polls may stay away and still be told.
const UNTOLD_MS: Millis = 60_000;

impl Connections {
    /// With nobody in.
    pub(crate) fn new(ledger: Arc<Ledger>) -> Self {
        Self { ledger, ..Self::default() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a poll is the next of a connection that is there, or was.
    pub(crate) fn standing(&self, candidate: &Candidate<'_>) -> Standing {
        let Candidate { app, user, hello, lasts_by: LastsBy::Lease, now, .. } = *candidate else {
            return Standing::None;
        };
        let Some(replaces) = &hello.replaces else { return Standing::None };
        let mut inner = self.inner();
        let key = (app, user.clone());
        if inner.leased(&key, replaces).is_some() {
            return Standing::Leased;
        }
        let untold = inner.untold.get_mut(&key);
        let is_meant = |untold: &Untold| {
            untold.until > now
                && (untold.connection == *replaces || untold.predecessor.as_ref() == Some(replaces))
        };
        let found = untold.and_then(|untold| Some(untold.remove(untold.iter().position(is_meant)?)));
        found
            .map_or(Standing::None, |untold| Standing::Ended { bye: Box::new(untold.bye), code: untold.code })
    }

    /// The client of this connection knows that it ended.
    pub(crate) fn told(&self, app: AppId, user: &UserId, connection: &ConnectionId) {
        let mut inner = self.inner();
        let key = (app, user.clone());
        let Some(untold) = inner.untold.get_mut(&key) else { return };
        untold.retain(|untold| untold.connection != *connection);
        if untold.is_empty() {
            inner.untold.remove(&key);
        }
    }

    /// Hands a poller's connection over to its next poll; answers its seat, or `None` if it has ended.
    pub(crate) fn renew(&self, candidate: &Candidate<'_>) -> Option<u64> {
        let Candidate { app, user, hello, mailbox, inbox, issued_at, .. } = *candidate;
        let mut inner = self.inner();
        let leased = hello.replaces.as_ref().and_then(|id| inner.leased(&(app, user.clone()), id));
        let connection = leased?;
        // The poll before this one may still be under way: its client has given it up.
        connection.mailbox.is_succeeded();
        let former = (connection.mailbox.number, connection.departing((app, user.clone())));
        connection.mailbox = Arc::clone(mailbox);
        if let (Some(inbox), Some(former)) = (inbox, &connection.inbox) {
            inbox.take_over(former);
        }
        connection.inbox = inbox.map(Arc::clone);
        connection.predecessor.clone_from(&hello.replaces);
        connection.app_state.clone_from(&hello.app_state);
        connection.issued_at = issued_at;
        let seat = connection.seat;
        inner.departing.extend([former]);
        Some(seat)
    }

    /// Takes one of the dials of a client.
    ///
    /// # Errors
    /// There is none: the milliseconds until there is.
    pub(crate) fn dial(&self, candidate: &Candidate<'_>) -> Result<(), u32> {
        let Some((per_minute, burst)) = candidate.dials else { return Ok(()) };
        let mut inner = self.inner();
        let client = &candidate.hello.client;
        let dialler = (candidate.app, candidate.user.clone(), client.instance.clone(), client.page.clone());
        inner.dial(dialler, candidate.now, per_minute, burst)
    }

    /// Admits a connection, making room by ending the stalest where the user has as many as allowed.
    pub(crate) fn admit(&self, candidate: &Candidate<'_>, places: Places) -> Admittance {
        let Candidate { app, user, hello, mailbox, inbox, lasts_by, now, at, limit, on_limit, .. } =
            *candidate;
        let newcomer = device(hello);
        let mut inner = self.inner();
        let inner = &mut *inner;
        let key = (app, user.clone());
        let is_predecessor = |c: &Admitted| hello.replaces.as_ref().is_some_and(|id| c.is(id));
        let of_user = inner.users.get(&key).map_or(&[][..], Vec::as_slice);
        let others = of_user.len() - usize::from(of_user.iter().any(is_predecessor));
        if others >= limit as usize {
            if places == Places::Unasked
                && let Some(asking) = inner.ask(&key, &newcomer, candidate)
            {
                return Admittance::Asking(asking);
            }
            if on_limit == OnConnectionLimit::Refuse {
                let mut holders: Vec<&Admitted> = inner.users.get(&key).into_iter().flatten().collect();
                holders.sort_by_key(|c| c.staleness());
                return Admittance::Full { held_by: holders.into_iter().map(|c| c.device.clone()).collect() };
            }
        }
        let of_user = inner.users.entry(key.clone()).or_default();
        // A named predecessor goes first, and silently: it is the same client.
        if let Some(place) = of_user.iter().position(is_predecessor) {
            let predecessor = of_user.remove(place);
            self.ledger.close(&predecessor.ticket, at);
            inner.departing.insert(predecessor.mailbox.number, predecessor.departing(key.clone()));
            predecessor.end("replaced by its own successor", &newcomer);
        }
        while of_user.len() >= limit as usize {
            let stalest = of_user.iter().enumerate().min_by_key(|(_, c)| c.staleness());
            let Some((place, _)) = stalest else { break };
            let evicted = of_user.remove(place);
            self.ledger.close(&evicted.ticket, at);
            inner.departing.insert(evicted.mailbox.number, evicted.departing(key.clone()));
            if evicted.lasts_by == LastsBy::Lease {
                let untold = evicted.untold(TOOK_ITS_PLACE, &newcomer, now);
                if inner.untold.len() >= DIALS_REMEMBERED {
                    inner.untold.retain(|_, untold| untold.iter().any(|untold| untold.until > now));
                }
                let of_user = inner.untold.entry(key.clone()).or_default();
                of_user.retain(|untold| untold.until > now);
                of_user.push(untold);
            }
            evicted.end(TOOK_ITS_PLACE, &newcomer);
        }
        let ticket = self.ledger.ticket(app, user.clone(), marks::of(hello, candidate.address));
        // Most users have one.
        of_user.reserve_exact(1);
        of_user.push(Admitted {
            seat: mailbox.number,
            lasts_by,
            predecessor: hello.replaces.clone().filter(|_| lasts_by == LastsBy::Lease),
            mailbox: Arc::clone(mailbox),
            inbox: inbox.map(Arc::clone),
            device: newcomer,
            app_state: hello.app_state.clone(),
            active_at: now,
            ticket: Arc::clone(&ticket),
            issued_at: candidate.issued_at,
        });
        Admittance::In(ticket)
    }

    /// Removes those who did not answer. Whoever of the waiting comes first does it for all.
    pub(crate) fn judge(&self, candidate: &Candidate<'_>, asking: &Arc<Asking>, outcome: Outcome) {
        let Candidate { app, user, at, limit, slow_reader, .. } = *candidate;
        let mut inner = self.inner();
        let inner = &mut *inner;
        let key = (app, user.clone());
        if !inner.rounds.get(&key).is_some_and(|round| Arc::ptr_eq(&round.asking, asking)) {
            return;
        }
        let Some(Round { newcomers, .. }) = inner.rounds.remove(&key) else { return };
        let Some(of_user) = inner.users.get_mut(&key).filter(|_| outcome == Outcome::Fair) else { return };
        let free = (limit as usize).saturating_sub(of_user.len());
        let is_dead = |c: &Admitted| c.silent_since(slow_reader).is_some_and(|at| asking.is_unanswered(at));
        let (mut dead, alive): (Vec<_>, Vec<_>) = of_user.drain(..).partition(is_dead);
        *of_user = alive;
        if of_user.is_empty() {
            inner.users.remove(&key);
            self.gone.notify_waiters();
        }
        for dead in &dead {
            self.ledger.close(&dead.ticket, at);
            inner.departing.insert(dead.mailbox.number, dead.departing(key.clone()));
        }
        dead.sort_by_key(Admitted::staleness);
        // One of them may have been too slow, and not dead. Where a newcomer takes its place it is told so, and stays
        // away: were it told to come back, it would ask those who are as slow as it is, and so in turn for ever.
        let mut newcomers = newcomers.into_iter().skip(free);
        for connection in dead {
            match newcomers.next() {
                Some(newcomer) => connection.end(TOOK_ITS_PLACE, &newcomer),
                None => connection.cut(),
            }
        }
    }

    /// Takes its place from a connection; answers whether it still had one.
    pub(crate) fn remove(&self, app: AppId, user: &UserId, mailbox: &Mailbox, at: Timestamp) -> bool {
        let mut inner = self.inner();
        let inner = &mut *inner;
        let key = (app, user.clone());
        let Some(of_user) = inner.users.get_mut(&key) else { return false };
        let Some(place) = of_user.iter().position(|c| c.mailbox.number == mailbox.number) else {
            return false;
        };
        let removed = of_user.remove(place);
        self.ledger.close(&removed.ticket, at);
        inner.departing.insert(mailbox.number, removed.departing(key.clone()));
        if of_user.is_empty() {
            inner.users.remove(&key);
        }
        self.gone.notify_waiters();
        true
    }

    /// Nothing is told any more on a connection that has lost its place.
    pub(crate) fn silent(&self, mailbox: &Mailbox) {
        self.inner().departing.remove(&mailbox.number);
    }

    /// A clean goodbye gives its dial back: leaving and returning is no storm.
    pub(crate) fn refund_dial(&self, app: AppId, user: &UserId, client: &ClientInfo, burst: u32) {
        let dialler = (app, user.clone(), client.instance.clone(), client.page.clone());
        let mut inner = self.inner();
        if let Some(dials) = inner.dials.get_mut(&dialler) {
            dials.left = (dials.left + 1.0).min(f64::from(burst));
        }
    }

    /// Where the app of a connection stands now; coming to the foreground is an act of the user.
    pub(crate) fn app_state(
        &self,
        app: AppId,
        user: &UserId,
        mailbox: &Mailbox,
        state: AppState,
        now: Millis,
    ) {
        self.with(app, user, mailbox, |connection| {
            if state == AppState::Foreground {
                connection.active_at = now;
            }
            connection.app_state = state;
        });
    }

    /// The user did something on this connection.
    pub(crate) fn active(&self, app: AppId, user: &UserId, mailbox: &Mailbox, now: Millis) {
        self.with(app, user, mailbox, |connection| connection.active_at = now);
    }

    /// The connection goes on with another token.
    pub(crate) fn goes_on_with(
        &self,
        app: AppId,
        user: &UserId,
        mailbox: &Mailbox,
        issued_at: Option<Timestamp>,
    ) {
        self.with(app, user, mailbox, |connection| connection.issued_at = issued_at);
    }

    fn with(&self, app: AppId, user: &UserId, mailbox: &Mailbox, act: impl FnOnce(&mut Admitted)) {
        let mut inner = self.inner();
        let of_user = inner.users.get_mut(&(app, user.clone()));
        let connection = of_user.and_then(|c| c.iter_mut().find(|c| c.mailbox.number == mailbox.number));
        if let Some(connection) = connection {
            act(connection);
        }
    }

    /// Hands the frames of a request to the user's connection with this id.
    pub(crate) fn put(
        &self,
        app: AppId,
        user: &UserId,
        id: &ConnectionId,
        parcel: Parcel,
    ) -> Result<(), NotTaken> {
        let inner = self.inner();
        let of_user = inner.users.get(&(app, user.clone())).map_or(&[][..], Vec::as_slice);
        let inbox = of_user.iter().find(|c| c.is(id)).and_then(|c| c.inbox.as_ref());
        inbox.ok_or(NotTaken::NoConnection)?.put(parcel)
    }

    /// So many tabs share this connection.
    pub(crate) fn shared(&self, app: AppId, user: &UserId, mailbox: &Mailbox, tabs: u32, at: Timestamp) {
        self.with(app, user, mailbox, |connection| self.ledger.shares(&connection.ticket, tabs, at));
    }

    /// Sends every connection away, each with a turn of its own to come back: evenly over the time in which they
    /// are to return.
    pub(crate) fn drain(&self, returns: Returns, now: Millis) {
        let mut inner = self.inner();
        let inner = &mut *inner;
        let mut leaving: Vec<&Arc<Mailbox>> = inner.users.values().flatten().map(|c| &c.mailbox).collect();
        // The map's own order differs from run to run.
        leaving.sort_unstable_by_key(|mailbox| mailbox.number);
        let count = leaving.len();
        for (at, mailbox) in leaving.into_iter().enumerate() {
            let retry_after_ms = returns.turn(at as f64 / count as f64);
            if returns.window_ms > 0 {
                inner.turns.insert(mailbox.connection.clone(), now + Millis::from(retry_after_ms));
            }
            mailbox.put(Mail::Drain { retry_after_ms });
        }
    }

    /// Whether this connection's client was told a turn to come back, which is over.
    pub(crate) fn has_missed_its_turn(&self, connection: &ConnectionId, now: Millis) -> bool {
        let inner = self.inner();
        inner.turns.get(connection).is_some_and(|turn| *turn <= now)
    }

    /// Ends every connection with this code, for the same reason.
    pub(crate) fn end_all(&self, code: CloseCode, reason: &str) {
        let inner = self.inner();
        for connection in inner.users.values().flatten() {
            connection.end_with(code, reason);
        }
    }

    /// Ends every connection of a user with this code.
    pub(crate) fn end_user(&self, app: AppId, user: &UserId, code: CloseCode, reason: &str) {
        let inner = self.inner();
        for connection in inner.users.get(&(app, user.clone())).into_iter().flatten() {
            connection.end_with(code, reason);
        }
    }

    /// Returns when there is no connection any more.
    pub(crate) async fn emptied(&self) {
        loop {
            // Listened for before it is looked at: what happens in between is not missed.
            let gone = self.gone.notified();
            if self.inner().users.is_empty() {
                return;
            }
            gone.await;
        }
    }
}

impl Inner {
    /// Asks those of the user's connections that have been silent; `None`: none has been.
    fn ask(
        &mut self,
        key: &(AppId, UserId),
        newcomer: &ReplacedBy,
        candidate: &Candidate<'_>,
    ) -> Option<Arc<Asking>> {
        let Candidate { now, probe_wait_ms, slow_reader, .. } = *candidate;
        if let Some(round) = self.rounds.get_mut(key) {
            round.newcomers.push(newcomer.clone());
            return Some(Arc::clone(&round.asking));
        }
        let of_user = self.users.get(key)?.iter();
        let mut silent =
            of_user.filter(|c| c.silent_since(slow_reader).is_some_and(|at| is_silent(at, now))).peekable();
        silent.peek()?;
        let asking = Arc::new(Asking::new(now, probe_wait_ms));
        for connection in silent {
            connection.mailbox.put(Mail::Probe(asking.question()));
        }
        let round = Round { asking: Arc::clone(&asking), newcomers: vec![newcomer.clone()] };
        self.rounds.insert(key.clone(), round);
        Some(asking)
    }

    /// A poller's connection that is there.
    fn leased(&mut self, key: &(AppId, UserId), id: &ConnectionId) -> Option<&mut Admitted> {
        self.users.get_mut(key)?.iter_mut().find(|c| c.lasts_by == LastsBy::Lease && c.is(id))
    }

    fn dial(&mut self, dialler: Dialler, now: Millis, per_minute: u32, burst: u32) -> Result<(), u32> {
        let per_ms = f64::from(per_minute) / 60_000.0;
        let burst = f64::from(burst);
        let refilled = |dials: &Dials| (dials.left + (now - dials.at) as f64 * per_ms).min(burst);
        if self.dials.len() >= DIALS_REMEMBERED {
            self.dials.retain(|_, dials| refilled(dials) < burst);
        }
        let dials = self.dials.entry(dialler).or_insert(Dials { left: burst, at: now });
        (dials.left, dials.at) = (refilled(dials), now);
        if dials.left < 1.0 {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "at most one refill time"
            )]
            return Err(((1.0 - dials.left) / per_ms).ceil() as u32);
        }
        dials.left -= 1.0;
        Ok(())
    }
}

impl Admitted {
    fn departing(&self, user: (AppId, UserId)) -> Departing {
        Departing { user, issued_at: self.issued_at, waited_for: Vec::new() }
    }

    fn end_with(&self, code: CloseCode, reason: &str) {
        let reason = reason.to_owned();
        let bye = ServerFrame::Bye { code, reason, retry_after_ms: None, replaced_by: None };
        self.mailbox.put(Mail::End { bye: Box::new(bye), code });
    }

    /// The smallest goes first: background, then hidden, then longest without an act of the user.
    fn staleness(&self) -> (u8, Millis) {
        let place = match self.app_state {
            AppState::Background => 0,
            AppState::Hidden => 1,
            AppState::Foreground | AppState::Unknown(_) => 2,
        };
        (place, self.active_at)
    }

    /// When it was last heard; `None` where that says nothing: a poller is there while its lease lasts, who has not
    /// been told `ready` has nothing to say yet, and who still reads what it was sent answers when it has.
    fn silent_since(&self, slow_reader: Duration) -> Option<Millis> {
        let may_answer = self.lasts_by == LastsBy::Link && !self.mailbox.intake.is_behind(slow_reader);
        self.mailbox.heard_at().filter(|_| may_answer)
    }

    /// Whether its client may mean this one.
    fn is(&self, id: &ConnectionId) -> bool {
        self.mailbox.connection == *id || self.predecessor.as_ref() == Some(id)
    }

    fn untold(&self, reason: &str, newcomer: &ReplacedBy, now: Millis) -> Untold {
        Untold {
            connection: self.mailbox.connection.clone(),
            predecessor: self.predecessor.clone(),
            bye: replaced(reason, newcomer),
            code: CloseCode::REPLACED,
            until: now + UNTOLD_MS,
        }
    }

    fn end(self, reason: &str, newcomer: &ReplacedBy) {
        let bye = Box::new(replaced(reason, newcomer));
        self.mailbox.put(Mail::End { bye, code: CloseCode::REPLACED });
    }

    /// Ends it as one that did not answer, for which there would be a place.
    fn cut(self) {
        let code = CloseCode::PONG_MISSING;
        let bye = ServerFrame::Bye {
            code,
            reason: code.meaning().to_owned(),
            retry_after_ms: None,
            replaced_by: None,
        };
        self.mailbox.put(Mail::End { bye: Box::new(bye), code });
    }
}

/// The device that says this `hello`, as others of its user are told of it.
fn device(hello: &Hello) -> ReplacedBy {
    ReplacedBy {
        device: hello.device.clone(),
        platform: hello.client.platform.clone(),
        sdk: hello.client.sdk.clone(),
    }
}

fn replaced(reason: &str, newcomer: &ReplacedBy) -> ServerFrame {
    ServerFrame::Bye {
        code: CloseCode::REPLACED,
        reason: reason.to_owned(),
        retry_after_ms: None,
        replaced_by: Some(newcomer.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::intake::Intake;
    use parlour_wire::presence::PresenceSubscription;

    const APP: AppId = AppId(1);

    fn alice() -> UserId {
        UserId::parse("alice").unwrap()
    }

    fn mailbox(number: u64) -> Arc<Mailbox> {
        Arc::new(Mailbox::new(
            number,
            ConnectionId::parse(&format!("c{number}")).unwrap(),
            1_000_000,
            Intake::default(),
            None,
        ))
    }

    fn hello(state: AppState) -> Hello {
        Hello {
            app_key: parlour_wire::AppKey::parse("dev").unwrap(),
            token: String::new(),
            user: None,
            client: ClientInfo { instance: "i".to_owned(), version: 1, ..ClientInfo::default() },
            device: Some("phone".to_owned()),
            replaces: None,
            presence: PresenceSubscription::None,
            app_state: state,
            heartbeat_ms: None,
            resume: None,
        }
    }

    fn admit(
        connections: &Connections,
        number: u64,
        hello: &Hello,
        dials: Option<(u32, u32)>,
    ) -> (Arc<Mailbox>, Result<usize, u32>) {
        let mailbox = mailbox(number);
        let candidate = Candidate {
            app: APP,
            user: &alice(),
            hello,
            mailbox: &mailbox,
            inbox: None,
            lasts_by: LastsBy::Link,
            address: None,
            issued_at: None,
            now: number,
            at: Timestamp::default(),
            limit: 3,
            on_limit: OnConnectionLimit::Evict,
            probe_wait_ms: 1_000,
            slow_reader: Duration::from_secs(30),
            dials,
        };
        let answer =
            connections.dial(&candidate).map(|()| match connections.admit(&candidate, Places::Unasked) {
                Admittance::In(_) => places(connections),
                other => panic!("{other:?}"),
            });
        (mailbox, answer)
    }

    fn places(connections: &Connections) -> usize {
        connections.inner.lock().unwrap().users.values().map(Vec::len).sum()
    }

    fn was_ended(mailbox: &Mailbox) -> bool {
        mailbox.take().mail.iter().any(|mail| matches!(mail, Mail::End { code: CloseCode::REPLACED, .. }))
    }

    #[test]
    fn the_stalest_makes_room_background_first_then_hidden_then_longest_idle_l6_31() {
        let connections = Connections::default();
        let (idle, _) = admit(&connections, 1, &hello(AppState::Foreground), None);
        let (hidden, _) = admit(&connections, 2, &hello(AppState::Hidden), None);
        let (background, _) = admit(&connections, 3, &hello(AppState::Background), None);
        let (_, answer) = admit(&connections, 4, &hello(AppState::Foreground), None);
        assert_eq!(answer, Ok(3));
        assert!(was_ended(&background) && !was_ended(&hidden) && !was_ended(&idle));
        admit(&connections, 5, &hello(AppState::Foreground), None).1.unwrap();
        assert!(was_ended(&hidden) && !was_ended(&idle));
        admit(&connections, 6, &hello(AppState::Foreground), None).1.unwrap();
        assert!(was_ended(&idle));
        assert_eq!(places(&connections), 3);
    }

    #[test]
    fn a_named_predecessor_goes_instead_of_the_stalest_l4_14() {
        let connections = Connections::default();
        let (first, _) = admit(&connections, 1, &hello(AppState::Background), None);
        let (second, _) = admit(&connections, 2, &hello(AppState::Foreground), None);
        admit(&connections, 3, &hello(AppState::Foreground), None).1.unwrap();
        let successor = Hello { replaces: Some(second.connection.clone()), ..hello(AppState::Foreground) };
        assert_eq!(admit(&connections, 4, &successor, None).1, Ok(3));
        assert!(was_ended(&second) && !was_ended(&first));
    }

    #[test]
    fn an_ended_connection_is_removed_once() {
        let connections = Connections::default();
        let (first, _) = admit(&connections, 1, &hello(AppState::Foreground), None);
        let remove = || connections.remove(APP, &alice(), &first, Timestamp::default());
        assert_eq!([remove(), remove()], [true, false]);
    }

    #[test]
    fn dials_are_limited_per_instance_and_a_clean_goodbye_gives_one_back_l6_36() {
        let connections = Connections::default();
        let dials = Some((30, 2));
        assert_eq!(admit(&connections, 1, &hello(AppState::Foreground), dials).1, Ok(1));
        assert_eq!(admit(&connections, 2, &hello(AppState::Foreground), dials).1, Ok(2));
        let refused = admit(&connections, 3, &hello(AppState::Foreground), dials).1;
        assert!(matches!(refused, Err(1_900..=2_000)), "{refused:?}");
        connections.refund_dial(APP, &alice(), &hello(AppState::Foreground).client, 2);
        assert_eq!(admit(&connections, 4, &hello(AppState::Foreground), dials).1, Ok(3));
    }
}
