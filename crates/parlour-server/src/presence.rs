//! Who is there.
//!
//! A user who is not invisible is online while any connection is up, and for a grace after the last one
//! broke: a short blip changes nothing. Who has had none of them in sight for long is away. Changes are
//! collected for a moment and told together; a snapshot every minute heals what was lost on the way, and who
//! had to be left out of something is given one at once.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use parlour_store::AppId;
use parlour_wire::events::{Presence as PresenceOf, Signal};
use parlour_wire::frames::AppState;
use parlour_wire::users::{Role, User};
use parlour_wire::{Open, ServerFrame, Team, Timestamp, UserId};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::frame::Frame;
use crate::mailbox::{Mail, Mailbox};

/// Changes are collected for this long.
const BATCH: Duration = Duration::from_millis(100);
/// Between two snapshots to every subscriber.
const SNAPSHOT_EVERY: Duration = Duration::from_secs(60);
/// The most users that one snapshot names.
const SNAPSHOT_MAX: usize = 1_000;

/// How a connection ended, as far as others are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Departure {
    /// On purpose: offline at once.
    Left,
    /// Broken, or parked: offline after the grace.
    Lost,
}

/// Whom a subscriber hears of.
#[derive(Clone, Debug)]
pub(crate) enum Audience {
    All,
    Users(HashSet<UserId>),
    Roles(Vec<Role>),
}

/// All users who are there, and all who want to know.
pub(crate) struct Presence {
    grace: Duration,
    away_after: Duration,
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Default)]
struct Inner {
    people: BTreeMap<(AppId, UserId), Person>,
    subscribers: BTreeMap<u64, Subscriber>,
    /// Told at the next batch, if it still differs from what was told before.
    pending: BTreeSet<(AppId, UserId)>,
}

struct Person {
    role: Role,
    teams: Vec<Team>,
    /// Those that are up.
    connections: Vec<Connected>,
    attention: Attention,
    /// Whether the user wishes to be seen by nobody.
    invisible: bool,
    /// When the grace after the last connection ends.
    offline_at: Option<Instant>,
    last_active: Timestamp,
    /// What others were told last.
    told: Standing,
}

/// One connection of a user.
struct Connected {
    seat: u64,
    /// Whether the app is before its user's eyes there.
    in_sight: bool,
}

/// Whether a user has any connection in sight. It outlives the connections: a blip begins nothing anew.
enum Attention {
    Here,
    /// None of them: when this comes, the user is away.
    Elsewhere {
        away_at: Instant,
    },
    Away,
}

/// What others see.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Offline,
    Online,
    Away,
}

/// What is to be told of a user, and who may hear it.
struct Change {
    role: Role,
    teams: Vec<Team>,
    presence: PresenceOf,
}

struct Subscriber {
    app: AppId,
    user: UserId,
    mailbox: Arc<Mailbox>,
    audience: Audience,
}

impl Person {
    fn standing(&self) -> Standing {
        match self.attention {
            _ if self.invisible || self.is_gone() => Standing::Offline,
            Attention::Away => Standing::Away,
            Attention::Here | Attention::Elsewhere { .. } => Standing::Online,
        }
    }

    fn is_gone(&self) -> bool {
        self.connections.is_empty() && self.offline_at.is_none()
    }

    /// Where each connection stands has changed, or which there are.
    fn look_again(&mut self, away_at: Instant, now: Timestamp) {
        match self.attention {
            _ if self.connections.iter().any(|connected| connected.in_sight) => {
                self.attention = Attention::Here;
                self.last_active = now;
            }
            Attention::Here if !self.connections.is_empty() => {
                self.attention = Attention::Elsewhere { away_at };
                self.last_active = now;
            }
            // With the last connection the grace begins; to be away goes on.
            Attention::Here | Attention::Elsewhere { .. } | Attention::Away => {}
        }
    }

    /// When its standing changes by itself.
    fn deadline(&self) -> Option<Instant> {
        let away_at = match self.attention {
            Attention::Elsewhere { away_at } => Some(away_at),
            Attention::Here | Attention::Away => None,
        };
        self.offline_at.into_iter().chain(away_at).min()
    }
}

impl Presence {
    pub(crate) fn new(grace: Duration, away_after: Duration) -> Self {
        Self { grace, away_after, inner: Mutex::default(), changed: Notify::new() }
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection of the user is up, at this seat.
    pub(crate) fn up(&self, app: AppId, user: &User, seat: u64, state: &AppState, now: Timestamp) {
        let mut inner = self.inner();
        let key = (app, user.id.clone());
        let person = inner.people.entry(key.clone()).or_insert_with(|| Person {
            role: user.role.clone(),
            teams: user.teams.clone(),
            connections: Vec::new(),
            attention: Attention::Here,
            invisible: is_invisible(user),
            offline_at: None,
            last_active: now,
            told: Standing::Offline,
        });
        person.role = user.role.clone();
        person.teams.clone_from(&user.teams);
        person.last_active = now;
        person.connections.push(Connected { seat, in_sight: is_in_sight(state) });
        person.offline_at = None;
        person.look_again(Instant::now() + self.away_after, now);
        inner.pending.insert(key);
        self.changed.notify_one();
    }

    /// Where the app stands at this seat now.
    pub(crate) fn stands(&self, app: AppId, user: &UserId, seat: u64, state: &AppState, now: Timestamp) {
        let mut inner = self.inner();
        let key = (app, user.clone());
        let Some(person) = inner.people.get_mut(&key) else { return };
        let connected = person.connections.iter_mut().find(|connected| connected.seat == seat);
        let Some(connected) = connected.filter(|connected| connected.in_sight != is_in_sight(state)) else {
            return;
        };
        connected.in_sight = is_in_sight(state);
        person.look_again(Instant::now() + self.away_after, now);
        inner.pending.insert(key);
        // Also where nothing is to be told yet: there may be another deadline.
        self.changed.notify_one();
    }

    /// The user changed, perhaps while connected. Answers whether it now sees into other teams than its connections
    /// were told of.
    pub(crate) fn user_changed(&self, app: AppId, user: &User) -> bool {
        let mut inner = self.inner();
        let key = (app, user.id.clone());
        let Some(person) = inner.people.get_mut(&key) else { return false };
        let teams = std::mem::replace(&mut person.teams, user.teams.clone());
        person.role = user.role.clone();
        let invisible = is_invisible(user);
        if person.invisible != invisible {
            person.invisible = invisible;
            inner.pending.insert(key);
            self.changed.notify_one();
        }
        teams != user.teams
    }

    /// The connection at this seat is gone.
    pub(crate) fn down(&self, app: AppId, user: &UserId, seat: u64, departure: Departure, now: Timestamp) {
        let mut inner = self.inner();
        let key = (app, user.clone());
        let Some(person) = inner.people.get_mut(&key) else { return };
        person.connections.retain(|connected| connected.seat != seat);
        person.look_again(Instant::now() + self.away_after, now);
        if person.connections.is_empty() {
            person.last_active = now;
            person.offline_at = match departure {
                Departure::Left => None,
                Departure::Lost => Some(Instant::now() + self.grace),
            };
        }
        inner.pending.insert(key);
        self.changed.notify_one();
    }

    pub(crate) fn is_online(&self, app: AppId, user: &UserId) -> bool {
        self.inner()
            .people
            .get(&(app, user.clone()))
            .is_some_and(|person| person.standing() != Standing::Offline)
    }

    /// From now on this connection hears of these users; answers who of them is there.
    pub(crate) fn subscribe(
        &self,
        app: AppId,
        user: &UserId,
        mailbox: &Arc<Mailbox>,
        audience: Option<Audience>,
    ) -> Vec<PresenceOf> {
        let mut inner = self.inner();
        let Some(audience) = audience else {
            inner.subscribers.remove(&mailbox.number);
            return Vec::new();
        };
        let subscriber = Subscriber { app, user: user.clone(), mailbox: Arc::clone(mailbox), audience };
        let there = inner.snapshot(&subscriber);
        inner.subscribers.insert(mailbox.number, subscriber);
        there
    }

    pub(crate) fn unsubscribe(&self, mailbox: &Mailbox) {
        self.inner().subscribers.remove(&mailbox.number);
    }

    /// Something was left out of what this connection was to hear: it is told who is there.
    pub(crate) fn tell_anew(&self, mailbox: &Mailbox) {
        let inner = self.inner();
        // Put while nothing else can be told: what comes before it in the mailbox is older, what comes after it newer.
        if let Some(subscriber) = inner.subscribers.get(&mailbox.number) {
            mailbox.put(Mail::Signal(signal(inner.snapshot(subscriber), true)));
        }
    }

    /// Tells changes in batches, ends graces and sends snapshots, for as long as the server runs.
    pub(crate) async fn run(&self, clock: &Clock) {
        let mut snapshot_at = Instant::now() + SNAPSHOT_EVERY;
        loop {
            let next = self.inner().people.values().filter_map(Person::deadline).min();
            let wake_at = next.unwrap_or(snapshot_at).min(snapshot_at);
            tokio::select! {
                biased;
                () = self.changed.notified() => tokio::time::sleep(BATCH).await,
                () = tokio::time::sleep_until(wake_at) => {}
            }
            let now = Instant::now();
            let mut inner = self.inner();
            inner.pass_time(now, clock.now());
            inner.tell_changes();
            if now >= snapshot_at {
                inner.tell_snapshots();
                snapshot_at = now + SNAPSHOT_EVERY;
            }
        }
    }
}

impl Inner {
    /// Ends graces, and attention.
    fn pass_time(&mut self, now: Instant, wall: Timestamp) {
        for (key, person) in &mut self.people {
            if person.deadline().is_none_or(|at| at > now) {
                continue;
            }
            if person.offline_at.is_some_and(|at| at <= now) {
                person.offline_at = None;
                person.last_active = wall;
            }
            if let Attention::Elsewhere { away_at } = person.attention
                && away_at <= now
            {
                person.attention = Attention::Away;
            }
            self.pending.insert(key.clone());
        }
    }

    fn tell_changes(&mut self) {
        let mut changes: BTreeMap<AppId, Vec<Change>> = BTreeMap::new();
        for key in std::mem::take(&mut self.pending) {
            let Some(person) = self.people.get_mut(&key) else { continue };
            let standing = person.standing();
            if standing != person.told {
                person.told = standing;
                let presence = presence_of(&key.1, person);
                let (role, teams) = (person.role.clone(), person.teams.clone());
                changes.entry(key.0).or_default().push(Change { role, teams, presence });
            }
            if person.is_gone() {
                self.people.remove(&key);
            }
        }
        for (app, changes) in changes {
            // Most subscribers want everything: they share one encoding.
            let everything = signal(changes.iter().map(|change| change.presence.clone()).collect(), false);
            let anybody_has_teams = changes.iter().any(|change| !change.teams.is_empty());
            for subscriber in self.subscribers.values().filter(|s| s.app == app) {
                let own_teams = self.teams_of(subscriber);
                let sees_all = own_teams.is_empty() && !anybody_has_teams;
                if sees_all && matches!(subscriber.audience, Audience::All) {
                    subscriber.mailbox.put(Mail::Signal(everything.clone()));
                    continue;
                }
                let wanted: Vec<_> = changes
                    .iter()
                    .filter(|change| subscriber.wants(&change.presence.user_id, &change.role))
                    .filter(|change| share_teams(own_teams, &change.teams))
                    .map(|change| change.presence.clone())
                    .collect();
                if !wanted.is_empty() {
                    subscriber.mailbox.put(Mail::Signal(signal(wanted, false)));
                }
            }
        }
    }

    fn tell_snapshots(&self) {
        for subscriber in self.subscribers.values() {
            subscriber.mailbox.put(Mail::Signal(signal(self.snapshot(subscriber), true)));
        }
    }

    /// The teams that a subscriber sees into.
    fn teams_of(&self, subscriber: &Subscriber) -> &[Team] {
        let person = self.people.get(&(subscriber.app, subscriber.user.clone()));
        person.map_or(&[], |person| &person.teams)
    }

    fn snapshot(&self, subscriber: &Subscriber) -> Vec<PresenceOf> {
        let own_teams = self.teams_of(subscriber);
        let mut there: Vec<PresenceOf> = self
            .people
            .iter()
            .filter(|((app, user), person)| {
                *app == subscriber.app
                    && person.standing() != Standing::Offline
                    && subscriber.wants(user, &person.role)
                    && share_teams(own_teams, &person.teams)
            })
            .take(SNAPSHOT_MAX)
            .map(|((_, user), person)| presence_of(user, person))
            .collect();
        there.sort_by(|a, b| a.user_id.cmp(&b.user_id));
        there
    }
}

impl Subscriber {
    fn wants(&self, user: &UserId, role: &Role) -> bool {
        *user != self.user
            && match &self.audience {
                Audience::All => true,
                Audience::Users(users) => users.contains(user),
                Audience::Roles(roles) => roles.contains(role),
            }
    }
}

/// Whether users of these teams see each other: those of a team do, and those who are of none.
fn share_teams(one: &[Team], other: &[Team]) -> bool {
    (one.is_empty() && other.is_empty()) || one.iter().any(|team| other.contains(team))
}

/// Whether the user wishes to be seen by nobody.
pub(crate) fn is_invisible(user: &User) -> bool {
    user.custom.get("invisible") == Some(&Value::Bool(true))
}

/// A state that a newer client knows is none of those out of sight.
fn is_in_sight(state: &AppState) -> bool {
    match state {
        AppState::Foreground | AppState::Unknown(_) => true,
        AppState::Hidden | AppState::Background => false,
    }
}

fn presence_of(user: &UserId, person: &Person) -> PresenceOf {
    PresenceOf {
        user_id: user.clone(),
        online: person.standing() != Standing::Offline,
        away: person.standing() == Standing::Away,
        last_active: Some(person.last_active),
        custom: BTreeMap::new(),
    }
}

fn signal(users: Vec<PresenceOf>, snapshot: bool) -> Frame {
    let signal =
        if snapshot { Signal::PresenceSnapshot { users } } else { Signal::PresenceChanged { users } };
    Frame::new(&ServerFrame::Signal { topic: None, signal: Open::Known(signal) })
}
