//! Who was removed from a channel, or banned from it, is held to it from the call's answer on: a thousand times, while
//! messages flow and the user's devices come, go and resume. (Who is banned from the app: `unwelcome`.)

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::kit::{GENERAL, Heard, kind, sign};
use crate::simulated::{AT_ONCE, Live, World};

const TRIALS: u64 = 1_000;
const TOPIC: &str = "channel:messaging:general";
const MEMBERS: &str = "/v1/channels/messaging/general/members";
const MESSAGES: &str = "/v1/channels/messaging/general/messages";

/// One choice after the other, the same for the same seed.
struct Choices(u64);

impl Choices {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// A channel in which carol talks without a pause.
struct Talk {
    world: World,
    /// The number of the message that is said next: it stands in its id.
    next: AtomicU64,
    is_over: AtomicBool,
}

impl Talk {
    async fn begins() -> Self {
        let world = World::with(|config| {
            config.limits.connections_per_user = Some(20);
            config.limits.hellos_per_second = 1_000_000;
            config.limits.hellos_burst = 1_000_000;
            config.limits.frames_per_second = 1_000_000;
            config.limits.frames_burst = 1_000_000;
        })
        .await;
        let users = json!({ "users": [{ "id": "alice" }, { "id": "bob" }, { "id": "carol" }] });
        world.backend("POST", "/v1/users", users).await;
        let members = json!({ "members": ["carol"] });
        world.asks("alice", "POST", "/v1/channels/messaging/general", members).await;
        Self { world, next: AtomicU64::new(0), is_over: AtomicBool::new(false) }
    }

    /// Carol says one message after the other, until it is over.
    async fn goes_on(&self) {
        while !self.is_over.load(Ordering::SeqCst) {
            let id = format!("m{}", self.next.fetch_add(1, Ordering::SeqCst));
            let message = json!({ "message": { "id": id, "text": "x" } });
            let (status, answer) = self.world.asks("carol", "POST", MESSAGES, message).await;
            assert_eq!(status, 201, "{answer}");
            tokio::task::yield_now().await;
        }
    }

    async fn must(&self, who: &str, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.world.asks(who, method, path, body).await;
        assert!((200..300).contains(&status), "{who} {method} {path}: {status} {answer}");
        answer
    }

    /// Bob dials, with a place to go on from where there is one, and does not wait.
    async fn bob_dials(&self, instance: &str, after: Option<(&Value, u64)>) -> Live {
        let mut hello = json!({
            "type": "hello", "app_key": "dev", "token": sign(&json!({ "user_id": "bob" })),
            "client": { "instance": instance, "version": 1 },
        });
        if let Some((epoch, after)) = after {
            let as_of = "2020-01-01T00:00:00.000Z";
            hello["resume"] = json!({ "epoch": epoch, "as_of": as_of, "cursors": { TOPIC: after } });
        }
        self.world.dials_with(&hello, AT_ONCE).await
    }
}

/// Lets a connection in that has dialled; everything up to then.
async fn is_let_in(live: &mut Live) -> Vec<Value> {
    let mut heard = Vec::new();
    loop {
        match live.next().await {
            Heard::Frame(frame) => {
                let is_ready = kind(&frame) == "ready";
                heard.push(frame);
                if is_ready {
                    return heard;
                }
            }
            Heard::Closed(code) => panic!("closed with {code:?} after {heard:?}"),
        }
    }
}

/// Everything that a connection has heard when it answers.
async fn hears_out(live: &mut Live) -> Vec<Value> {
    let mut heard = Vec::new();
    for id in [98, 99] {
        live.says(&json!({ "type": "ping", "id": id })).await;
        loop {
            match live.next().await {
                Heard::Frame(frame) if kind(&frame) == "pong" && frame["id"] == id => break,
                Heard::Frame(frame) => heard.push(frame),
                Heard::Closed(code) => panic!("closed with {code:?}"),
            }
        }
    }
    heard
}

/// The numbers of carol's messages among these frames.
fn numbers(frames: &[Value]) -> Vec<u64> {
    let ids = frames.iter().filter_map(|frame| frame["event"]["message"]["id"].as_str());
    ids.filter_map(|id| id.strip_prefix('m')?.parse().ok()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_removed_hears_nothing_that_is_said_after_the_answer() {
    let talk = Talk::begins().await;
    let trials = async {
        let (mut heard_before, mut resumed) = (0, 0);
        for seed in 0..TRIALS {
            let choices = &mut Choices(seed);
            let hide_history = choices.below(2) == 0;
            let add = json!({ "add": ["bob"], "hide_history": hide_history });
            let head = talk.must("alice", "POST", MEMBERS, add).await["head"].as_u64().unwrap();
            let mut up = talk.bob_dials("up", None).await;
            let ready = is_let_in(&mut up).await.remove(0);
            let mut dialled = Vec::new();
            for _ in 0..choices.below(4) {
                tokio::task::yield_now().await;
            }
            // A resume that may be under way when the removal comes, far enough back that it has to load.
            if choices.below(2) == 0 {
                let back = choices.below(100);
                dialled.push(
                    talk.bob_dials("resumes", Some((&ready["epoch"], head.saturating_sub(back)))).await,
                );
                resumed += 1;
            }
            for _ in 0..choices.below(8) {
                tokio::task::yield_now().await;
            }
            talk.must("alice", "POST", MEMBERS, json!({ "remove": ["bob"] })).await;
            // Whatever is begun from here on is not for him.
            let forbidden = talk.next.load(Ordering::SeqCst);
            if choices.below(4) == 0 {
                dialled.push(talk.bob_dials("again", Some((&ready["epoch"], head.saturating_sub(1)))).await);
            }
            while talk.next.load(Ordering::SeqCst) < forbidden + 3 {
                tokio::task::yield_now().await;
            }
            for live in &mut dialled {
                is_let_in(live).await;
            }
            for live in std::iter::once(&mut up).chain(&mut dialled) {
                let heard = numbers(&hears_out(live).await);
                heard_before += heard.len();
                let later: Vec<_> = heard.iter().filter(|number| **number >= forbidden).collect();
                assert!(later.is_empty(), "seed {seed}: {later:?} were said after m{forbidden}");
            }
        }
        talk.is_over.store(true, Ordering::SeqCst);
        (heard_before, resumed)
    };
    let (_, (heard_before, resumed)) = tokio::join!(talk.goes_on(), trials);
    // The trials tried what they are for.
    assert!(heard_before as u64 > TRIALS && resumed > 300, "{heard_before} heard, {resumed} resumed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_banned_from_a_channel_is_heard_no_more_after_the_answer_f2_28() {
    let talk = Talk::begins().await;
    talk.must("alice", "POST", MEMBERS, json!({ "add": ["bob"] })).await;
    let mut alice = talk.world.dials("alice", AT_ONCE).await;
    alice.hears("ready").await;
    let (mut stored, mut refused) = (0, 0);
    for seed in 0..TRIALS {
        let choices = &mut Choices(seed);
        let is_shadow = choices.below(2) == 0;
        let is_banned = AtomicBool::new(false);
        let sending = async {
            let mut after = Vec::new();
            for n in 0..3 {
                // Begun after the answer: nobody else may ever hear of it.
                let is_late = is_banned.load(Ordering::SeqCst);
                let id = format!("b{seed}-{n}");
                let message = json!({ "message": { "id": id, "text": "bob" } });
                let (status, _) = talk.world.asks("bob", "POST", MESSAGES, message).await;
                stored += usize::from(status == 201);
                refused += usize::from(status == 403);
                if is_late {
                    assert_eq!(status, if is_shadow { 201 } else { 403 }, "seed {seed}");
                    after.push(id);
                }
                tokio::task::yield_now().await;
            }
            after
        };
        let banning = async {
            for _ in 0..choices.below(6) {
                tokio::task::yield_now().await;
            }
            let ban = json!({ "cid": GENERAL, "shadow": is_shadow });
            talk.must("alice", "POST", "/v1/users/bob/ban", ban).await;
            is_banned.store(true, Ordering::SeqCst);
        };
        let (after, ()) = tokio::join!(sending, banning);
        let heard = hears_out(&mut alice).await;
        let told = json!(heard).to_string();
        assert!(!after.iter().any(|id| told.contains(id)), "seed {seed}: {after:?} in {told}");
        talk.must("alice", "DELETE", "/v1/users/bob/ban?cid=messaging:general", Value::Null).await;
    }
    assert!(stored > 300 && refused > 100, "{stored} stored, {refused} refused");
}
