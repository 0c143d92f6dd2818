//! Who is there.
//!
//! A user who is not invisible is online while any connection is up, and for a grace after the last one
//! broke: a short blip changes nothing. Who has had none of them in sight for long is away. Changes are
//! collected for a moment and told together; a digest every minute says what the picture comes to, so that what was
//! lost on the way is asked for, and who had to be left out of something is given the picture at once.
//!
//! Those who want to hear of the same users are a [`circle`]. Where more are there than are named, it hears how many:
//! what goes out is bounded by how many listen, however many there are and however often they come and go.

mod circle;
mod person;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use parlour_store::{AppId, Store};
use parlour_wire::frames::AppState;
use parlour_wire::presence::Presence as PresenceOf;
use parlour_wire::users::User;
use parlour_wire::{Timestamp, UserId};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::chat::connect_user::Listening;
use crate::clock::Clock;
use crate::mailbox::{Mail, Mailbox};
use crate::profile::{Face, Holder};
pub(crate) use circle::{Audience, Picture, Whom};
use circle::{Circle, frame};
use person::Person;

/// Changes are collected for this long, and for as long again for each [`SUBSCRIBERS_PER_BATCH`].
const BATCH: Duration = Duration::from_millis(100);
/// So that no more than ten times this many signals of changes go out in a second.
const SUBSCRIBERS_PER_BATCH: usize = 1_000;
/// The longest that changes are collected: well within the grace.
const BATCH_MAX: Duration = Duration::from_secs(5);

/// How a connection ended, as far as others are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Departure {
    /// On purpose: offline at once.
    Left,
    /// Broken, or parked: offline after the grace.
    Lost,
}

/// What presence is held to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) grace: Duration,
    pub(crate) away_after: Duration,
    pub(crate) digest_every: Duration,
    /// The most users that are told of by name.
    pub(crate) named_max: usize,
}

/// All users who are there, and all who want to know.
pub(crate) struct Presence {
    limits: Limits,
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Default)]
struct Inner {
    apps: BTreeMap<AppId, Crowd>,
    /// Where each subscriber listens, by the number of its mailbox.
    listening: BTreeMap<u64, (AppId, u64)>,
    circles_made: u64,
    /// Users whose friends are others than their circles know.
    strangers: BTreeSet<(AppId, UserId)>,
}

/// Everybody of one app.
#[derive(Default)]
struct Crowd {
    people: BTreeMap<UserId, Person>,
    circles: BTreeMap<u64, Circle>,
    by_audience: BTreeMap<Audience, u64>,
    /// Circles of friends, by each friend.
    followers: BTreeMap<UserId, BTreeSet<u64>>,
    /// Circles that are not of friends: they hear of whoever fits.
    wide: BTreeSet<u64>,
    /// When what others see of somebody changes by itself.
    deadlines: BTreeSet<(Instant, UserId)>,
    /// Told at the next batch, if they still differ from what was told before.
    pending: BTreeSet<UserId>,
    /// How often anybody's friends changed: tells whether those that were read are those of now.
    friends_changed: u64,
}

impl Presence {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, inner: Mutex::default(), changed: Notify::new() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection of the user is up, at this seat.
    pub(crate) fn up(&self, app: AppId, user: &Holder, seat: u64, state: &AppState, now: Timestamp) {
        let mut inner = self.inner();
        let crowd = inner.apps.entry(app).or_default();
        // Read under the lock: what changes later comes to `user_changed` after this.
        let Some(face) = user.face() else { return };
        crowd.people.entry(user.id.clone()).or_insert_with(|| Person::new(&face, now));
        crowd.change(&user.id, |person| {
            person.looks(&face);
            person.up(seat, is_in_sight(state), self.limits.away_after, now);
            true
        });
        self.changed.notify_one();
    }

    /// Where the app stands at this seat now.
    pub(crate) fn stands(&self, app: AppId, user: &UserId, seat: u64, state: &AppState, now: Timestamp) {
        self.change(app, user, |person| person.stands(seat, is_in_sight(state), self.limits.away_after, now));
    }

    /// The user does something, at whichever seat.
    pub(crate) fn active(&self, app: AppId, user: &UserId, now: Timestamp) {
        let mut inner = self.inner();
        if let Some(person) = inner.apps.get_mut(&app).and_then(|crowd| crowd.people.get_mut(user)) {
            person.last_active = person.last_active.max(now);
        }
    }

    /// The user changed, perhaps while connected. Answers whether it now has another role than its connections came
    /// with, or sees into other teams.
    pub(crate) fn user_changed(&self, app: AppId, user: &User) -> bool {
        let face = Face::of(user);
        let mut is_another = false;
        self.change(app, &user.id, |person| {
            is_another = *person.role() != face.role || person.teams() != face.teams;
            person.looks(&face);
            true
        });
        is_another
    }

    /// The connection at this seat is gone.
    pub(crate) fn down(&self, app: AppId, user: &UserId, seat: u64, departure: Departure, now: Timestamp) {
        let Limits { grace, away_after, .. } = self.limits;
        self.change(app, user, |person| {
            person.down(seat, departure, grace, away_after, now);
            true
        });
    }

    /// Changes somebody who is known, and tells it soon where that answers that it may be news.
    fn change(&self, app: AppId, user: &UserId, act: impl FnOnce(&mut Person) -> bool) {
        let mut inner = self.inner();
        if inner.apps.get_mut(&app).is_some_and(|crowd| crowd.change(user, act)) {
            self.changed.notify_one();
        }
    }

    /// Fills in what is known of whether the user is there.
    pub(crate) fn show(&self, app: AppId, user: &mut User) {
        let inner = self.inner();
        let person = inner.apps.get(&app).and_then(|crowd| crowd.people.get(&user.id));
        let seen = person.and_then(|person| Some(person.presence(&user.id, Some(&person.showing()?))));
        (user.online, user.away) = seen.as_ref().map_or((false, false), |seen| (seen.online, seen.away));
        user.last_active = user.last_active.max(seen.and_then(|seen| seen.last_active));
    }

    /// How often anybody's friends of this app changed. See [`Self::subscribe`].
    pub(crate) fn friends_as_of(&self, app: AppId) -> u64 {
        self.inner().apps.get(&app).map_or(0, |crowd| crowd.friends_changed)
    }

    /// The user shares another set of direct channels.
    pub(crate) fn friends_changed(&self, app: AppId, user: &UserId) {
        let mut inner = self.inner();
        let crowd = inner.apps.entry(app).or_default();
        crowd.friends_changed += 1;
        if crowd.is_of_friends(user) {
            inner.strangers.insert((app, user.clone()));
            self.changed.notify_one();
        }
    }

    /// From now on this connection hears of this audience; answers who of it is there.
    pub(crate) fn subscribe(&self, app: AppId, mailbox: &Arc<Mailbox>, listening: Listening) -> Picture {
        let Listening { audience, friends, friends_as_of } = listening;
        let mut inner = self.inner();
        inner.unsubscribe(mailbox.number);
        if let Whom::Friends { of, .. } = &audience.whom
            && inner.apps.get(&app).map_or(0, |crowd| crowd.friends_changed) != friends_as_of
        {
            inner.strangers.insert((app, of.clone()));
            self.changed.notify_one();
        }
        inner.circles_made += 1;
        let fresh = inner.circles_made;
        let crowd = inner.apps.entry(app).or_default();
        let id = match crowd.by_audience.get(&audience) {
            Some(id) => *id,
            None => crowd.make_circle(fresh, Circle::new(audience, friends), self.limits.named_max),
        };
        if let Some(circle) = crowd.circles.get_mut(&id) {
            circle.subscribers.insert(mailbox.number, Arc::clone(mailbox));
        }
        let picture = crowd.picture(id);
        inner.listening.insert(mailbox.number, (app, id));
        picture
    }

    /// This connection hears of nobody any more.
    pub(crate) fn unsubscribe(&self, mailbox: &Mailbox) {
        self.inner().unsubscribe(mailbox.number);
    }

    /// What this connection has heard is not the whole: it is told who is there.
    pub(crate) fn tell_anew(&self, mailbox: &Mailbox) {
        let inner = self.inner();
        let picture = match inner.listening.get(&mailbox.number) {
            Some((app, id)) => inner.apps.get(app).map(|crowd| crowd.picture(*id)),
            None => None,
        };
        // Put while nothing else can be told: what comes before it in the mailbox is older, what comes after it newer.
        mailbox.put(Mail::Signal(frame(picture.unwrap_or_default().signal())));
    }

    /// Tells changes in batches, ends graces and sends digests, for as long as the server runs.
    pub(crate) async fn run(&self, clock: &Clock, store: &dyn Store) {
        let mut digest_at = Instant::now() + self.limits.digest_every;
        loop {
            let deadline = self.inner().deadline();
            let wake_at = deadline.map_or(digest_at, |at| at.min(digest_at));
            tokio::select! {
                biased;
                () = self.changed.notified() => {}
                () = tokio::time::sleep_until(wake_at) => {}
            }
            // Whatever it was: what comes within a moment of it is told with it.
            let batch = self.inner().batch();
            tokio::time::sleep(batch).await;
            self.meet_strangers(store).await;
            let now = Instant::now();
            let mut inner = self.inner();
            for crowd in inner.apps.values_mut() {
                crowd.pass_time(now, clock.now());
                crowd.tell_changes(now, self.limits.named_max);
            }
            if now >= digest_at {
                inner.apps.values().flat_map(|crowd| crowd.circles.values()).for_each(Circle::tell_digest);
                digest_at = now + self.limits.digest_every;
            }
        }
    }

    /// Reads the friends of those whose friends changed.
    async fn meet_strangers(&self, store: &dyn Store) {
        let strangers = mem::take(&mut self.inner().strangers);
        for (app, user) in strangers {
            match store.friends(app, &user).await {
                Ok(friends) => {
                    let friends = friends.into_iter().collect();
                    let mut inner = self.inner();
                    if let Some(crowd) = inner.apps.get_mut(&app) {
                        crowd.befriend(&user, &friends, self.limits.named_max);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, %user, "friends could not be read: they are read with the next change");
                    self.inner().strangers.insert((app, user));
                }
            }
        }
    }
}

impl Inner {
    fn unsubscribe(&mut self, mailbox: u64) {
        let Some((app, id)) = self.listening.remove(&mailbox) else { return };
        let Some(crowd) = self.apps.get_mut(&app) else { return };
        let Some(circle) = crowd.circles.get_mut(&id) else { return };
        circle.subscribers.remove(&mailbox);
        if circle.subscribers.is_empty() {
            crowd.end_circle(id);
        }
    }

    /// How long changes are collected: the more want to hear of them, the longer.
    fn batch(&self) -> Duration {
        let batches = 1 + self.listening.len() / SUBSCRIBERS_PER_BATCH;
        BATCH.saturating_mul(u32::try_from(batches).unwrap_or(u32::MAX)).min(BATCH_MAX)
    }

    /// When something is to be told though nothing happens.
    fn deadline(&self) -> Option<Instant> {
        let of_circles = |crowd: &Crowd| crowd.circles.values().filter_map(Circle::deadline).min();
        let of_people = |crowd: &Crowd| crowd.deadlines.first().map(|(at, _)| *at);
        self.apps.values().flat_map(|crowd| [of_people(crowd), of_circles(crowd)]).flatten().min()
    }
}

impl Crowd {
    /// Changes somebody who is known; answers whether there may be something to tell, or another deadline.
    fn change(&mut self, user: &UserId, act: impl FnOnce(&mut Person) -> bool) -> bool {
        let Some(person) = self.people.get_mut(user) else { return false };
        let before = person.deadline();
        if !act(person) {
            return false;
        }
        let after = person.deadline();
        if before != after {
            before.map(|at| self.deadlines.remove(&(at, user.clone())));
            after.map(|at| self.deadlines.insert((at, user.clone())));
        }
        self.pending.insert(user.clone());
        true
    }

    /// Ends graces, and attention.
    fn pass_time(&mut self, now: Instant, wall: Timestamp) {
        while let Some((at, user)) = self.deadlines.first().cloned()
            && at <= now
        {
            self.deadlines.pop_first();
            self.change(&user, |person| {
                person.pass_time(now, wall);
                true
            });
        }
    }

    fn tell_changes(&mut self, now: Instant, named_max: usize) {
        for user in mem::take(&mut self.pending) {
            self.note(&user);
        }
        let mut named_again = Vec::new();
        for (id, circle) in &mut self.circles {
            if circle.tell(now, named_max) {
                named_again.push(*id);
            }
        }
        for id in named_again {
            self.tell_picture(id);
        }
    }

    /// Brings what changed of somebody to the circles that hear of it, and forgets who is gone.
    fn note(&mut self, user: &UserId) {
        let Some(person) = self.people.get_mut(user) else { return };
        let showing = person.showing();
        if showing != person.told {
            let before = mem::replace(&mut person.told, showing.clone());
            let nobody = BTreeSet::new();
            for id in self.wide.iter().chain(self.followers.get(user).unwrap_or(&nobody)) {
                let Some(circle) = self.circles.get_mut(id) else { continue };
                // A role that changed may bring somebody in, or take her out.
                let was = before.as_ref().filter(|told| circle.wants(user, told));
                let is = showing.as_ref().filter(|told| circle.wants(user, told));
                if was != is {
                    circle.note(&person.presence(user, was), person.presence(user, is));
                }
            }
        }
        if person.is_gone() {
            self.people.remove(user);
        }
    }

    /// Who is there of a circle's audience, as it was told.
    fn there(&self, circle: &Circle) -> Vec<PresenceOf> {
        let seen = |user: &UserId, person: &Person| {
            let told = person.told.as_ref().filter(|told| circle.wants(user, told))?;
            Some(person.presence(user, Some(told)))
        };
        match circle.audience.whom {
            Whom::All | Whom::Roles(_) => {
                self.people.iter().filter_map(|(user, person)| seen(user, person)).collect()
            }
            Whom::Friends { .. } => {
                let known = circle.friends.iter().filter_map(|user| self.people.get_key_value(user));
                known.filter_map(|(user, person)| seen(user, person)).collect()
            }
        }
    }

    fn picture(&self, id: u64) -> Picture {
        self.circles.get(&id).map_or_else(Picture::default, |circle| circle.picture(|| self.there(circle)))
    }

    fn tell_picture(&self, id: u64) {
        if let Some(circle) = self.circles.get(&id) {
            circle.tell_all(self.picture(id).signal());
        }
    }

    fn make_circle(&mut self, id: u64, mut circle: Circle, named_max: usize) -> u64 {
        if let Whom::Friends { of, and } = &circle.audience.whom {
            // Who is listed is heard of like a friend; oneself is none.
            circle.friends.extend(and.iter().filter(|user| *user != of).cloned());
        } else {
            self.wide.insert(id);
        }
        for friend in &circle.friends {
            self.followers.entry(friend.clone()).or_default().insert(id);
        }
        circle.begin(&self.there(&circle), named_max);
        self.by_audience.insert(circle.audience.clone(), id);
        self.circles.insert(id, circle);
        id
    }

    fn end_circle(&mut self, id: u64) -> Option<Circle> {
        let circle = self.circles.remove(&id)?;
        self.by_audience.remove(&circle.audience);
        self.wide.remove(&id);
        for friend in &circle.friends {
            if let Some(followers) = self.followers.get_mut(friend) {
                followers.remove(&id);
                if followers.is_empty() {
                    self.followers.remove(friend);
                }
            }
        }
        Some(circle)
    }

    fn of_friends(&self, user: &UserId) -> Vec<u64> {
        let whom = Whom::Friends { of: user.clone(), and: BTreeSet::new() };
        let theirs = self.by_audience.range(Audience { whom, teams: BTreeSet::new() }..);
        let of_user = |whom: &Whom| matches!(whom, Whom::Friends { of, .. } if of == user);
        let theirs = theirs.take_while(|(audience, _)| of_user(&audience.whom));
        theirs.map(|(_, id)| *id).collect()
    }

    fn is_of_friends(&self, user: &UserId) -> bool {
        !self.of_friends(user).is_empty()
    }

    /// The user's friends are these now: whoever hears of them is told who is there.
    fn befriend(&mut self, user: &UserId, friends: &BTreeSet<UserId>, named_max: usize) {
        for id in self.of_friends(user) {
            let Some(old) = self.end_circle(id) else { continue };
            let mut circle = Circle::new(old.audience, friends.clone());
            circle.subscribers = old.subscribers;
            self.make_circle(id, circle, named_max);
            self.tell_picture(id);
        }
    }
}

/// A state that a newer client knows is none of those out of sight.
fn is_in_sight(state: &AppState) -> bool {
    match state {
        AppState::Foreground | AppState::Unknown(_) => true,
        AppState::Hidden | AppState::Background => false,
    }
}
