//! Clients that read slowly, and clients that stand still: the first get everything, the others are told to come back.

use std::time::Duration;

use serde_json::{Value, json};

use crate::simulated::World;

/// 20 KB each: more than a second's reading.
const TEXT: &str = "😀";
const CHARS: usize = 5_000;
/// Together more than 1 MiB.
const COUNT: u64 = 80;

async fn sends_all(world: &World) {
    for n in 0..COUNT {
        let message = json!({ "message": { "id": format!("m{n}"), "text": TEXT.repeat(CHARS) } });
        let path = "/v1/channels/messaging/general/messages";
        assert_eq!(world.asks("alice", "POST", path, message).await.0, 201);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_who_drains_slowly_is_never_cut_and_gets_everything_l6_41_l9_17() {
    let world = World::with_members(&["alice", "bob"]).await;
    // A single message takes longer than a reader may stand still.
    let mut bob = world.dials("bob", 500).await;
    let ready = bob.hears("ready").await;
    let began = tokio::time::Instant::now();
    sends_all(&world).await;
    let first = ready["heads"]["channel:messaging:general"].as_u64().unwrap() + 1;
    for n in 0..COUNT {
        let frame = bob.hears("message.new").await;
        assert_eq!(
            (&frame["seq"], &frame["event"]["message"]["id"]),
            (&json!(first + n), &json!(format!("m{n}")))
        );
    }
    assert!(began.elapsed() > Duration::from_secs(3_000), "{:?}", began.elapsed());
    assert_eq!(world.connections().await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_reader_who_stands_still_for_thirty_seconds_is_cut_l6_41_l7_20_l9_17() {
    let world = World::with_members(&["alice", "bob"]).await;
    let mut bob = world.connects("bob").await;
    sends_all(&world).await;
    tokio::time::sleep(Duration::from_millis(29_900)).await;
    assert_eq!(world.connections().await, 1);
    tokio::time::sleep(Duration::from_millis(600)).await;
    // It reads again: what was on the way, and why it was cut.
    let (frames, code) = bob.until_closed().await;
    assert_eq!(code, Some(4103));
    assert!(frames.len() < COUNT as usize, "{}", frames.len());
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(world.connections().await, 0);
    // Nothing is lost: the log has it.
    let (_, page) =
        world.asks("bob", "GET", "/v1/channels/messaging/general/messages?limit=100", Value::Null).await;
    assert_eq!(page["messages"].as_array().unwrap().len() as u64, COUNT);
}

#[tokio::test(start_paused = true)]
async fn one_who_only_pauses_is_not_cut() {
    let world = World::with_members(&["alice", "bob"]).await;
    let mut bob = world.connects("bob").await;
    sends_all(&world).await;
    // Each time a little, when the thirty seconds are nearly over.
    for _ in 0..COUNT {
        tokio::time::sleep(Duration::from_millis(29_900)).await;
        bob.hears("message.new").await;
    }
    assert_eq!(world.connections().await, 1);
}
