//! Presence: who is there, for whoever wants to know.

use serde_json::{Value, json};
use tokio::time::{Duration, Instant};

use crate::kit::{GENERAL, Live, TestServer};

async fn server(grace_ms: u64) -> TestServer {
    TestServer::with(|config| config.limits.presence_grace_ms = grace_ms).await
}

/// What a frame says of this user, if it is about presence.
fn said_of(frame: &Value, user: &str) -> Option<bool> {
    let users = frame["signal"]["users"].as_array()?;
    users.iter().find(|entry| entry["user_id"] == user)?["online"].as_bool()
}

impl Live {
    /// The next that is told of this user.
    async fn hears_of(&mut self, user: &str) -> bool {
        loop {
            let frame = self.hears("user.presence.changed").await;
            if let Some(online) = said_of(&frame, user) {
                return online;
            }
        }
    }
}

#[tokio::test]
async fn who_connects_is_online_and_who_leaves_is_offline_at_once_l2_15_l5_20_f4_1_f4_10() {
    let server = server(60_000).await;
    let mut watcher = server.user("alice").connects_with(json!({"presence": "all"})).await;
    assert_eq!(watcher.ready["presence"], json!([]));
    let live = server.user("bob").connects().await;
    assert!(watcher.hears_of("bob").await);
    assert_eq!(server.user("alice").sees("bob").await.unwrap()["online"], true);
    let late = server.user("carol").connects_with(json!({"presence": "all"})).await;
    let there = late.ready["presence"].as_array().unwrap();
    let there: Vec<_> =
        there.iter().map(|p| (p["user_id"].as_str().unwrap(), p["online"].as_bool())).collect();
    assert_eq!(there, [("alice", Some(true)), ("bob", Some(true))]);

    let left = Instant::now();
    live.leaves().await;
    assert!(!watcher.hears_of("bob").await);
    assert!(left.elapsed() < Duration::from_secs(30), "not after the grace");
    let bob = server.user("alice").sees("bob").await.unwrap();
    assert_eq!(bob["online"], false);
    assert!(bob["last_active"].is_string());
}

#[tokio::test]
async fn a_plain_close_leaves_and_one_that_means_to_resume_does_not_l6_21_l7_6() {
    let server = server(60_000).await;
    let mut watcher = server.user("alice").connects_with(json!({"presence": "all"})).await;
    for (code, goes) in [(1000_u16, true), (4900, false)] {
        let user = format!("u{code}");
        let mut live = server.user(&user).connects().await;
        assert!(watcher.hears_of(&user).await);
        let frame =
            tokio_tungstenite::tungstenite::protocol::CloseFrame { code: code.into(), reason: "".into() };
        live.socket.close(Some(frame)).await.unwrap();
        live.until_closed().await;
        if goes {
            assert!(!watcher.hears_of(&user).await);
        }
        let online = server.user("alice").sees(&user).await.unwrap()["online"].clone();
        assert_eq!(online, !goes, "{code}");
    }
}

#[tokio::test]
async fn a_broken_link_is_offline_after_the_grace_l2_15_l6_21() {
    let server = server(400).await;
    let mut watcher = server.user("alice").connects_with(json!({"presence": "all"})).await;
    let live = server.user("bob").connects().await;
    assert!(watcher.hears_of("bob").await);
    let broke = Instant::now();
    live.breaks();
    assert!(!watcher.hears_of("bob").await);
    assert!(broke.elapsed() >= Duration::from_millis(400), "{:?}", broke.elapsed());
    // Parking is going, too, and means to come back.
    let mut live = server.user("carol").connects().await;
    assert!(watcher.hears_of("carol").await);
    let parked = Instant::now();
    live.says(&json!({"type": "bye", "intent": "park"})).await;
    live.until_closed().await;
    assert!(!watcher.hears_of("carol").await);
    assert!(parked.elapsed() >= Duration::from_millis(400), "{:?}", parked.elapsed());
}

#[tokio::test]
async fn a_blip_shorter_than_the_grace_and_a_second_device_show_nothing_f4_12() {
    let server = server(60_000).await;
    let (bob, mut watcher) =
        (server.user("bob"), server.user("alice").connects_with(json!({"presence": "all"})).await);
    let mut live = bob.connects().await;
    assert!(watcher.hears_of("bob").await);
    for _ in 0..5 {
        live.breaks();
        live = bob.connects().await;
    }
    let second = bob.connects().await;
    live.leaves().await;
    assert_eq!(server.user("alice").sees("bob").await.unwrap()["online"], true, "on the other device");
    // Somebody else's coming is told after everything that was to be told before.
    let _carol = server.user("carol").connects().await;
    let mut told = Vec::new();
    loop {
        let frame = watcher.hears("user.presence.changed").await;
        told.extend(said_of(&frame, "bob"));
        if said_of(&frame, "carol").is_some() {
            break;
        }
    }
    assert_eq!(told, [true; 0]);
    second.leaves().await;
    assert!(!watcher.hears_of("bob").await);
}

#[tokio::test]
async fn who_is_invisible_is_seen_by_nobody_until_she_says_otherwise_f4_5() {
    let server = server(60_000).await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let mut watcher = alice.connects_with(json!({"presence": "all"})).await;
    let live = bob.connects_as(json!({"id": "bob", "invisible": true})).await;
    assert_eq!(live.ready["me"]["invisible"], true, "she knows it herself");
    // It survives a disconnect.
    live.leaves().await;
    let live = bob.connects().await;
    assert_eq!(live.ready["me"]["invisible"], true);
    let _carol = server.user("carol").connects().await;
    let first = watcher.hears("user.presence.changed").await;
    assert_eq!((said_of(&first, "carol"), said_of(&first, "bob")), (Some(true), None));
    let seen = alice.sees("bob").await.unwrap();
    assert_eq!((&seen["online"], seen.get("invisible")), (&json!(false), None));
    let dave = server.user("dave").connects_with(json!({"presence": "all"})).await;
    assert!(!dave.ready["presence"].to_string().contains("bob"));

    let _visible = bob.connects_as(json!({"id": "bob", "invisible": false})).await;
    assert!(watcher.hears_of("bob").await);
}

#[tokio::test]
async fn becoming_invisible_and_visible_holds_on_connections_that_are_up() {
    let server = server(60_000).await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let mut watcher = alice.connects_with(json!({"presence": "all"})).await;
    let live = bob.connects().await;
    assert!(watcher.hears_of("bob").await);
    bob.patch("/v1/users/bob", json!({"set": {"invisible": true}})).await.ok();
    assert!(!watcher.hears_of("bob").await);
    assert_eq!(alice.sees("bob").await.unwrap()["online"], false);
    bob.patch("/v1/users/bob", json!({"set": {"invisible": false}})).await.ok();
    assert!(watcher.hears_of("bob").await);
    live.leaves().await;
    assert!(!watcher.hears_of("bob").await, "and nobody is counted twice");
}

#[tokio::test]
async fn friends_and_roles_are_whom_they_name_l1_3_f4_7_f4_11() {
    let server = server(60_000).await;
    let users = json!({"users": [
        {"id": "alice"}, {"id": "friend"}, {"id": "stranger"}, {"id": "mod", "role": "moderator"},
    ]});
    server.backend().post("/v1/users", users).await.ok();
    server.user("alice").makes(GENERAL, &["friend"]).await;
    let alice = server.user("alice");
    let mut friends = alice.connects_with(json!({"presence": "friends"})).await;
    let mut roles = alice.connects_with(json!({"presence": {"roles": ["moderator"]}})).await;
    let mut nothing = alice.connects().await;
    let _stranger = server.user("stranger").connects().await;
    let _moderator = server.user("mod").connects().await;
    let _friend = server.user("friend").connects().await;
    let first = friends.hears("user.presence.changed").await;
    assert_eq!(
        (said_of(&first, "friend"), first["signal"]["users"].as_array().unwrap().len()),
        (Some(true), 1)
    );
    let first = roles.hears("user.presence.changed").await;
    assert_eq!((said_of(&first, "mod"), first["signal"]["users"].as_array().unwrap().len()), (Some(true), 1));
    assert_eq!(nothing.settles().await, [Value::Null; 0]);
    // Changed while connected, with an answer that says who is there.
    nothing.says(&json!({"type": "presence", "subscription": "all"})).await;
    let there = nothing.hears("user.presence.snapshot").await;
    assert_eq!(there["signal"]["users"].as_array().unwrap().len(), 3, "{there}");
    friends.says(&json!({"type": "presence", "subscription": "none"})).await;
    friends.settles().await;
    _friend.leaves().await;
    assert!(!nothing.hears_of("friend").await);
    assert_eq!(friends.settles().await, [Value::Null; 0]);
    let again = alice.connects_with(json!({"presence": "friends"})).await;
    assert_eq!(again.ready["presence"], json!([]));
}
