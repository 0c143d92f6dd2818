//! Many come and go, on a clock that moves only while everybody waits.

use std::collections::{BTreeMap, BTreeSet};

use parlour_store::Sqlite;
use parlour_wire::events::Signal;
use parlour_wire::presence::{PresenceCounts, PresenceDigest};
use parlour_wire::users::Role;
use parlour_wire::{ConnectionId, Open, ServerFrame};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tokio::task::JoinHandle;

use super::*;
use crate::gateway::intake::Intake;
use crate::profile::Profiles;

const APP: AppId = AppId(1);
const SECOND: Duration = Duration::from_secs(1);
const LIMITS: Limits = Limits {
    grace: Duration::from_secs(15),
    away_after: Duration::from_secs(300),
    digest_every: Duration::from_secs(60),
    named_max: 1_000,
};

fn name(number: usize) -> UserId {
    UserId::parse(&format!("u{number}")).unwrap()
}

fn role(number: usize) -> Role {
    if number.is_multiple_of(50) { Role::Moderator } else { Role::User }
}

/// An audience of users without teams.
fn everywhere(whom: Whom) -> Audience {
    Audience { whom, teams: BTreeSet::new() }
}

/// One who listens: what she makes of the signals, as a client does.
struct Watcher {
    mailbox: Arc<Mailbox>,
    audience: Audience,
    there: BTreeMap<UserId, PresenceOf>,
    others: Option<PresenceCounts>,
    /// Signals that never arrive.
    loses: usize,
}

/// The crowd, and the truth of it.
struct Scene {
    presence: Arc<Presence>,
    profiles: Arc<Profiles>,
    running: JoinHandle<()>,
    holders: Vec<Option<Holder>>,
    /// Until when each counts as there, after the last connection broke.
    grace: Vec<Option<Instant>>,
    hidden: BTreeSet<usize>,
    watchers: Vec<Watcher>,
    signals: usize,
    bytes: usize,
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Scene {
    fn new(people: usize, limits: Limits) -> Self {
        let presence = Arc::new(Presence::new(limits));
        let (runs, store) = (Arc::clone(&presence), Sqlite::in_memory().unwrap());
        let running = tokio::spawn(async move {
            runs.run(&Clock::starting_at(Timestamp::from_unix_ms(0)), &*store).await;
        });
        Self {
            presence,
            profiles: Arc::default(),
            running,
            holders: (0..people).map(|_| None).collect(),
            grace: vec![None; people],
            hidden: BTreeSet::new(),
            watchers: Vec::new(),
            signals: 0,
            bytes: 0,
        }
    }

    fn user(&self, number: usize) -> User {
        let custom = json!({ "invisible": self.hidden.contains(&number) });
        let user = json!({
            "id": name(number), "role": role(number), "created_at": Timestamp::from_unix_ms(0),
            "updated_at": Timestamp::from_unix_ms(0), "invisible": custom["invisible"],
        });
        serde_json::from_value(user).unwrap()
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(0)
    }

    fn comes(&mut self, number: usize) {
        let holder = self.profiles.hold(APP, &name(number));
        holder.learn(&self.user(number), 0);
        self.presence.up(APP, &holder, 0, &AppState::Foreground, self.now());
        (self.holders[number], self.grace[number]) = (Some(holder), None);
    }

    fn goes(&mut self, number: usize, departure: Departure) {
        self.presence.down(APP, &name(number), 0, departure, self.now());
        self.holders[number] = None;
        self.grace[number] = (departure == Departure::Lost).then(|| Instant::now() + LIMITS.grace);
    }

    fn hides(&mut self, number: usize, hides: bool) {
        if hides {
            self.hidden.insert(number)
        } else {
            self.hidden.remove(&number)
        };
        self.presence.user_changed(APP, &self.user(number));
    }

    fn watches(&mut self, audience: Audience, friends: BTreeSet<UserId>) -> usize {
        let number = self.watchers.len();
        let id = ConnectionId::parse("c").unwrap();
        let mailbox = Arc::new(Mailbox::new(number as u64, id, 1 << 20, Intake::default(), None));
        let listening = Listening { audience: audience.clone(), friends, friends_as_of: 0 };
        let Picture { users, others } = self.presence.subscribe(APP, &mailbox, listening);
        let there = users.into_iter().map(|user| (user.user_id.clone(), user)).collect();
        self.watchers.push(Watcher { mailbox, audience, there, others, loses: 0 });
        number
    }

    /// Everybody reads what came; who has lost something asks for it.
    fn read(&mut self) {
        for watcher in &mut self.watchers {
            let delivery = watcher.mailbox.take();
            assert!(!delivery.signals_dropped, "they read");
            for mail in delivery.mail {
                let Mail::Signal(frame) = mail else { continue };
                self.signals += 1;
                self.bytes += frame.text().len();
                if watcher.loses > 0 {
                    watcher.loses -= 1;
                    continue;
                }
                if watcher.takes(frame.text()) {
                    self.presence.tell_anew(&watcher.mailbox);
                }
            }
        }
    }

    /// This much time passes, and everybody goes on reading.
    async fn pass(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(50)).await;
            self.read();
        }
    }

    /// Who is there in truth.
    fn truth(&self, friends_of: &Audience) -> BTreeSet<UserId> {
        let now = Instant::now();
        let is_there = |number: &usize| {
            self.holders[*number].is_some() || self.grace[*number].is_some_and(|until| until > now)
        };
        let wants = |number: &usize| match &friends_of.whom {
            Whom::All => true,
            Whom::Roles(roles) => roles.contains(&role(*number)),
            Whom::Friends { and, .. } => and.contains(&name(*number)),
        };
        let there = (0..self.holders.len()).filter(is_there).filter(wants);
        there.filter(|number| !self.hidden.contains(number)).map(name).collect()
    }

    /// Nobody is shown who is not there, and nobody who is there is left out.
    fn is_shown_rightly(&self) {
        let mut truths: BTreeMap<&Audience, BTreeSet<UserId>> = BTreeMap::new();
        for (number, watcher) in self.watchers.iter().enumerate() {
            let truth = truths.entry(&watcher.audience).or_insert_with(|| self.truth(&watcher.audience));
            match watcher.others {
                None => {
                    let shown = watcher.there.values().filter(|user| user.online).map(|user| &user.user_id);
                    assert!(shown.eq(truth.iter()), "watcher {number} of {:?}", watcher.audience);
                }
                Some(others) => {
                    assert_eq!(others.online, truth.len() as u64, "watcher {number}");
                    assert!(truth.len() > LIMITS.named_max * 3 / 4 && watcher.there.is_empty());
                }
            }
        }
    }
}

impl Watcher {
    /// Answers whether what was told is not the whole.
    fn takes(&mut self, text: &str) -> bool {
        let Ok(Open::Known(ServerFrame::Signal { signal: Open::Known(signal), .. })) =
            ServerFrame::parse(text)
        else {
            panic!("{text}")
        };
        let by_user = |users: Vec<PresenceOf>| users.into_iter().map(|user| (user.user_id.clone(), user));
        match signal {
            Signal::PresenceChanged { users } => self.there.extend(by_user(users)),
            Signal::PresenceSnapshot { users, others } => {
                (self.there, self.others) = (by_user(users).collect(), others);
            }
            Signal::PresenceDigest(digest) => {
                return self.others.is_some() || PresenceDigest::of(self.there.values()) != digest;
            }
            Signal::TypingStart { .. } | Signal::TypingStop { .. } => panic!("{text}"),
        }
        false
    }
}

fn friends(of: usize, people: usize) -> Audience {
    let and = (1..=10).map(|step| name((of + step * 37) % people)).collect();
    everywhere(Whom::Friends { of: name(of), and })
}

/// So many people come and go, everybody every ten seconds or so, and so many listen, in all the ways that there are.
/// Answers the signals and bytes that went out for each second.
async fn flaps(people: usize, seconds: usize) -> (Scene, Vec<(usize, usize)>) {
    let mut random = StdRng::seed_from_u64(people as u64);
    let mut scene = Scene::new(people, LIMITS);
    for number in 0..people {
        let audience = match number % 10 {
            0..5 => friends(number, people),
            5 => everywhere(Whom::Roles([Role::Moderator].into())),
            _ => everywhere(Whom::All),
        };
        scene.watches(audience, BTreeSet::new());
    }
    let mut went_out = Vec::new();
    for _ in 0..seconds {
        let before = (scene.signals, scene.bytes);
        for _ in 0..10 {
            for _ in 0..people / 100 {
                let number = random.random_range(0..people);
                match (scene.holders[number].is_some(), random.random_range(0..8)) {
                    (true, 0..4) => scene.goes(number, Departure::Lost),
                    (true, 4..7) => scene.goes(number, Departure::Left),
                    (true, _) => scene.hides(number, random.random()),
                    (false, _) => scene.comes(number),
                }
            }
            scene.pass(Duration::from_millis(100)).await;
        }
        went_out.push((scene.signals - before.0, scene.bytes - before.1));
    }
    (scene, went_out)
}

#[tokio::test(start_paused = true)]
async fn five_thousand_who_flap_are_told_in_bounded_batches_and_shown_rightly_after_f4_14_f4_15_f4_17() {
    let mut bytes_of = Vec::new();
    for people in [2_500, 5_000] {
        let (mut scene, went_out) = flaps(people, 40).await;
        // The first second is that in which everybody begins to listen.
        let most = went_out[1..].iter().map(|(signals, _)| *signals).max().unwrap();
        assert!(most <= 10_000, "{most} signals in a second to {people}");
        bytes_of.push(went_out.iter().map(|(_, bytes)| bytes).sum::<usize>());
        // A moment for what is on its way, and the grace for whoever broke just now.
        scene.pass(LIMITS.grace + SECOND).await;
        scene.is_shown_rightly();
        let signals = scene.signals;
        scene.pass(30 * SECOND).await;
        assert!(scene.signals - signals <= people, "nothing happens: at most one digest each");
        scene.is_shown_rightly();
    }
    // Twice as many cost twice as much, and not four times.
    assert!(bytes_of[1] < bytes_of[0] * 5 / 2, "{bytes_of:?} bytes");
}

#[tokio::test(start_paused = true)]
async fn what_was_lost_on_the_way_is_asked_for_after_the_next_digest_l5_21() {
    let mut scene = Scene::new(20, LIMITS);
    let watcher = scene.watches(everywhere(Whom::All), BTreeSet::new());
    (0..10).for_each(|number| scene.comes(number));
    scene.pass(SECOND).await;
    scene.is_shown_rightly();
    // One who leaves and one who comes: as many as before.
    scene.watchers[watcher].loses = 1;
    scene.goes(3, Departure::Left);
    scene.comes(15);
    scene.pass(SECOND).await;
    assert!(scene.watchers[watcher].there.contains_key(&name(3)), "she has not heard of it");
    scene.pass(LIMITS.digest_every).await;
    scene.is_shown_rightly();
}

#[tokio::test(start_paused = true)]
async fn who_stands_at_the_limit_does_not_have_everybody_named_again_and_again_f4_15() {
    let limits = Limits { named_max: 100, ..LIMITS };
    let mut scene = Scene::new(200, limits);
    scene.watches(everywhere(Whom::All), BTreeSet::new());
    (0..100).for_each(|number| scene.comes(number));
    scene.pass(SECOND).await;
    assert_eq!(scene.watchers[0].others, None);
    scene.comes(100);
    scene.pass(SECOND).await;
    assert_eq!(scene.watchers[0].others, Some(PresenceCounts { online: 101, away: 0 }));
    let bytes = scene.bytes;
    for _ in 0..20 {
        scene.goes(0, Departure::Left);
        scene.goes(1, Departure::Left);
        scene.pass(SECOND).await;
        scene.comes(0);
        scene.comes(1);
        scene.pass(SECOND).await;
    }
    assert!(scene.bytes - bytes < 41 * 150, "counts alone: {}", scene.bytes - bytes);
    (0..30).for_each(|number| scene.goes(number, Departure::Left));
    scene.pass(2 * SECOND).await;
    assert_eq!((scene.watchers[0].others, scene.watchers[0].there.len()), (None, 71));
}

#[tokio::test(start_paused = true)]
async fn a_role_that_changes_brings_in_and_takes_out_f4_7() {
    let mut scene = Scene::new(3, LIMITS);
    scene.watches(everywhere(Whom::Roles([Role::Admin].into())), BTreeSet::new());
    scene.comes(1);
    scene.pass(SECOND).await;
    let shown = |scene: &Scene| scene.watchers[0].there.get(&name(1)).map(|user| user.online);
    assert_eq!(shown(&scene), None);
    for (role, expected) in [(Role::Admin, Some(true)), (Role::User, Some(false))] {
        let mut user = scene.user(1);
        user.role = role;
        scene.presence.user_changed(APP, &user);
        scene.pass(SECOND).await;
        assert_eq!(shown(&scene), expected);
    }
}
