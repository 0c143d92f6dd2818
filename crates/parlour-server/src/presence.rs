//! Who is there.
//!
//! A user who is not invisible is online while any connection is up, and for a grace after the last one
//! broke: a short blip changes nothing. Changes are collected for a moment and told together; a snapshot
//! every minute heals what was lost on the way.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use parlour_store::AppId;
use parlour_wire::events::{Presence as PresenceOf, Signal};
use parlour_wire::users::Role;
use parlour_wire::{Open, ServerFrame, Timestamp, UserId};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::hub::to_frame;
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
    /// Connections that are up.
    connections: u32,
    /// Whether the user wishes to be seen by nobody.
    invisible: bool,
    /// When the grace after the last connection ends.
    offline_at: Option<Instant>,
    last_active: Timestamp,
    /// What others were told last.
    told_online: bool,
}

struct Subscriber {
    app: AppId,
    user: UserId,
    mailbox: Arc<Mailbox>,
    audience: Audience,
}

impl Person {
    fn is_online(&self) -> bool {
        !self.invisible && (self.connections > 0 || self.offline_at.is_some())
    }
}

impl Presence {
    pub(crate) fn new(grace: Duration) -> Self {
        Self { grace, inner: Mutex::default(), changed: Notify::new() }
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection of the user is up.
    pub(crate) fn up(&self, app: AppId, user: &UserId, role: &Role, invisible: bool, now: Timestamp) {
        let mut inner = self.inner();
        let person = inner.people.entry((app, user.clone())).or_insert_with(|| Person {
            role: role.clone(),
            connections: 0,
            invisible,
            offline_at: None,
            last_active: now,
            told_online: false,
        });
        person.role = role.clone();
        person.last_active = now;
        person.connections += 1;
        person.offline_at = None;
        inner.pending.insert((app, user.clone()));
        self.changed.notify_one();
    }

    /// The user's own fields changed, perhaps while connected.
    pub(crate) fn user_changed(&self, app: AppId, user: &UserId, role: &Role, invisible: bool) {
        let mut inner = self.inner();
        let key = (app, user.clone());
        let Some(person) = inner.people.get_mut(&key) else { return };
        person.role = role.clone();
        if person.invisible != invisible {
            person.invisible = invisible;
            inner.pending.insert(key);
            self.changed.notify_one();
        }
    }

    /// A connection of the user is gone.
    pub(crate) fn down(&self, app: AppId, user: &UserId, departure: Departure, now: Timestamp) {
        let mut inner = self.inner();
        let key = (app, user.clone());
        let Some(person) = inner.people.get_mut(&key) else { return };
        person.connections = person.connections.saturating_sub(1);
        if person.connections == 0 {
            person.last_active = now;
            person.offline_at = match departure {
                Departure::Left => None,
                Departure::Lost => Some(Instant::now() + self.grace),
            };
            inner.pending.insert(key);
            self.changed.notify_one();
        }
    }

    pub(crate) fn is_online(&self, app: AppId, user: &UserId) -> bool {
        self.inner().people.get(&(app, user.clone())).is_some_and(Person::is_online)
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

    /// Tells changes in batches, ends graces and sends snapshots, for as long as the server runs.
    pub(crate) async fn run(&self, clock: &Clock) {
        let mut snapshot_at = Instant::now() + SNAPSHOT_EVERY;
        loop {
            let next_grace = self.inner().people.values().filter_map(|p| p.offline_at).min();
            let wake_at = next_grace.unwrap_or(snapshot_at).min(snapshot_at);
            tokio::select! {
                biased;
                () = self.changed.notified() => tokio::time::sleep(BATCH).await,
                () = tokio::time::sleep_until(wake_at) => {}
            }
            let now = Instant::now();
            let mut inner = self.inner();
            inner.end_graces(now, clock.now());
            inner.tell_changes();
            if now >= snapshot_at {
                inner.tell_snapshots();
                snapshot_at = now + SNAPSHOT_EVERY;
            }
        }
    }
}

impl Inner {
    fn end_graces(&mut self, now: Instant, wall: Timestamp) {
        for (key, person) in &mut self.people {
            if person.offline_at.is_some_and(|at| at <= now) {
                person.offline_at = None;
                person.last_active = wall;
                self.pending.insert(key.clone());
            }
        }
    }

    fn tell_changes(&mut self) {
        let mut changes: BTreeMap<AppId, Vec<(Role, PresenceOf)>> = BTreeMap::new();
        for key in std::mem::take(&mut self.pending) {
            let Some(person) = self.people.get_mut(&key) else { continue };
            let online = person.is_online();
            if online != person.told_online {
                person.told_online = online;
                let presence = presence_of(&key.1, person);
                changes.entry(key.0).or_default().push((person.role.clone(), presence));
            }
            if person.connections == 0 && person.offline_at.is_none() {
                self.people.remove(&key);
            }
        }
        for (app, changes) in changes {
            // Most subscribers want everything: they share one encoding.
            let everything = signal(changes.iter().map(|(_, p)| p.clone()).collect(), false);
            for subscriber in self.subscribers.values().filter(|s| s.app == app) {
                if matches!(subscriber.audience, Audience::All) {
                    subscriber.mailbox.put(Mail::Signal(everything.clone()));
                    continue;
                }
                let wanted: Vec<_> = changes
                    .iter()
                    .filter(|(role, p)| subscriber.wants(&p.user_id, role))
                    .map(|(_, p)| p.clone())
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

    fn snapshot(&self, subscriber: &Subscriber) -> Vec<PresenceOf> {
        let mut there: Vec<PresenceOf> = self
            .people
            .iter()
            .filter(|((app, user), person)| {
                *app == subscriber.app && person.is_online() && subscriber.wants(user, &person.role)
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

fn presence_of(user: &UserId, person: &Person) -> PresenceOf {
    PresenceOf {
        user_id: user.clone(),
        online: person.is_online(),
        last_active: Some(person.last_active),
        custom: BTreeMap::new(),
    }
}

fn signal(users: Vec<PresenceOf>, snapshot: bool) -> crate::mailbox::Frame {
    let signal =
        if snapshot { Signal::PresenceSnapshot { users } } else { Signal::PresenceChanged { users } };
    to_frame(&ServerFrame::Signal { topic: None, signal: Open::Known(signal) })
}
