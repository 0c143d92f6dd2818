//! What connections stand on: what a look at the heads costs, what is forgotten in time, and what clients are told when
//! the store does not answer or is not the one that it was.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parlour_store::{Probe, StoreError};
use rusqlite::Connection;
use rusqlite::backup::Backup;
use serde_json::{Value, json};

use crate::kit::{GENERAL, TestServer, at, kinds};
use crate::simulated::World;

/// Counts the calls of one kind, and lets them fail when it is told to.
struct Watch {
    call: &'static str,
    count: AtomicUsize,
    fails: AtomicBool,
}

impl Watch {
    fn over(world: &World, call: &'static str) -> Arc<Self> {
        let watch = Arc::new(Self { call, count: AtomicUsize::new(0), fails: AtomicBool::new(false) });
        world.store.set_probe(Some(Arc::clone(&watch) as _));
        watch
    }
}

impl Probe for Watch {
    fn before(&self, call: &'static str) -> parlour_store::Result<()> {
        if call != self.call {
            return Ok(());
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        match self.fails.load(Ordering::Relaxed) {
            true => Err(StoreError::Backend("the disk is away".to_owned())),
            false => Ok(()),
        }
    }

    fn after(&self, _: &'static str) -> parlour_store::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn all_heads_are_looked_at_with_one_query_every_five_seconds_l6_19_l6_20() {
    let users: Vec<String> = (0..20).map(|n| format!("u{n}")).collect();
    let world = World::with_members(&users.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mut lives = Vec::new();
    for user in &users {
        for n in 0..3 {
            let path = format!("/v1/channels/messaging/{user}-{n}");
            assert_eq!(world.asks(user, "POST", &path, json!({ "members": [] })).await.0, 201);
        }
        lives.push(world.connects(user).await);
    }
    let watch = Watch::over(&world, "heads");
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(watch.count.load(Ordering::Relaxed), 4);
}

#[tokio::test(start_paused = true)]
async fn the_id_of_a_message_that_was_deleted_for_good_is_free_after_three_days_l5_13() {
    let world = World::with_members(&["alice", "bob"]).await;
    let path = "/v1/channels/messaging/general/messages";
    let message = json!({ "message": { "id": "m1", "text": "once" } });
    assert_eq!(world.asks("alice", "POST", path, message.clone()).await.0, 201);
    let deleted = world.backend("DELETE", &format!("{path}/m1?hard=true"), Value::Null).await;
    assert_eq!(deleted.0, 200);
    tokio::time::sleep(Duration::from_secs(72 * 3_600 - 60)).await;
    let (status, kept) = world.asks("alice", "POST", path, message.clone()).await;
    assert_eq!((status, &kept["message"]["type"]), (200, &json!("deleted")), "an outbox brings nothing back");
    assert_eq!(world.asks("bob", "POST", path, message.clone()).await.0, 409);
    // What is over is looked for every hour.
    tokio::time::sleep(Duration::from_secs(2 * 3_600)).await;
    assert_eq!(world.asks("bob", "POST", path, message).await.0, 201);
}

#[tokio::test(start_paused = true)]
async fn who_comes_while_the_store_does_not_answer_is_told_to_come_back_l7_21() {
    let world = World::with_members(&["alice"]).await;
    let watch = Watch::over(&world, "connect");
    watch.fails.store(true, Ordering::Relaxed);
    let (frames, code) = world.dials("alice", 1_000_000).await.until_closed().await;
    assert_eq!((kinds(&frames), code), (vec!["error", "bye"], Some(4104)));
    assert_eq!((&frames[1]["code"], &frames[1]["retry_after_ms"]), (&json!(4104), &json!(1_000)));
    assert_eq!(frames[0]["error"]["retryable"], true);
    // Over HTTP there is no close frame: `bye` is the last word.
    let stream = world.connects_over_http("alice", "text/event-stream").await;
    let data: Vec<Value> = stream
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    assert_eq!((kinds(&data), &data[1]["code"]), (vec!["error", "bye"], &json!(4104)));
    let batch: Value =
        serde_json::from_str(&world.connects_over_http("alice", "application/json").await).unwrap();
    let batch = batch["frames"].as_array().unwrap();
    assert_eq!((kinds(batch), &batch[1]["code"]), (vec!["error", "bye"], &json!(4104)));
    assert_eq!(world.connections().await, 0, "nobody keeps a place");
    watch.fails.store(false, Ordering::Relaxed);
    world.connects("alice").await;
}

#[tokio::test]
async fn when_an_older_copy_takes_the_databases_place_everybody_resumes_l7_25() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let server = TestServer::with(|config| {
        config.storage.data_dir = Some(dir.clone());
        config.limits.head_check_ms = 50;
        config.limits.poll_hold_ms = 30_000;
        config.limits.dead_link_ms = 60_000;
    })
    .await;
    server.knows(&["alice", "bob"]).await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    alice.makes(GENERAL, &["bob"]).await;
    let mut database = Connection::open(dir.join("parlour.db")).unwrap();
    let mut copy = Connection::open_in_memory().unwrap();
    Backup::new(&database, &mut copy).unwrap().run_to_completion(1_000, Duration::ZERO, None).unwrap();

    let mut live = bob.connects().await;
    let mut stream = bob.streams_with(json!({})).await;
    let polled = bob.polls(&bob.hello()).await;
    let mut watcher = alice.connects().await;
    alice.sends(GENERAL, "that will not have been").await;
    let heard = live.hears("message.new").await;
    stream.hears("message.new").await;
    let resume = json!({
        "epoch": live.ready["epoch"], "as_of": live.ready["as_of"],
        "cursors": {"channel:messaging:general": heard["seq"], "user:bob": 1, "app:dev": 0},
    });
    let types =
        json!({"type": "signal", "topic": "channel:messaging:general", "signal": {"type": "typing.start"}});
    let again = json!({"replaces": polled[0]["connection_id"], "resume": resume, "frames": [types]});
    let hello = bob.hello_with(again);
    let poll = bob.polls(&hello);
    tokio::pin!(poll);
    tokio::select! {
        // Then it is under way.
        _ = watcher.hears("typing.start") => {}
        frames = &mut poll => panic!("answered with {frames:?}"),
    }
    Backup::new(&copy, &mut database).unwrap().run_to_completion(1_000, Duration::ZERO, None).unwrap();
    let (frames, code) = live.until_closed().await;
    assert_eq!((kinds(&frames).last(), code), (Some(&"bye"), Some(4203)), "{frames:?}");
    let frames = stream.until_over().await;
    assert_eq!(frames.last().unwrap()["code"], 4203, "{frames:?}");
    let poll = poll.await;
    assert_eq!(poll.last().unwrap()["code"], 4203, "{poll:?}");
    // What comes next has a seq that they had for something else: they are told that they were ahead.
    let mut again = bob.connects_with(json!({ "resume": resume })).await;
    assert_eq!(again.ready["resumed"], "caught_up");
    assert_eq!(again.hears("reset").await["reason"], "ahead_of_head");
    alice.sends(GENERAL, "that is").await;
    assert_eq!(again.hears("message.new").await["seq"], heard["seq"]);
    assert_eq!(bob.get(&at(GENERAL)).await.ok()["head"], heard["seq"]);
}
