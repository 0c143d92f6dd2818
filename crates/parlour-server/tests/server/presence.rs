//! Presence: who is there, for whoever wants to know.

use serde_json::{Value, json};
use tokio::time::{Duration, Instant};

use crate::kit::{GENERAL, Live, TestServer, at, soon};

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
async fn a_channel_says_how_many_users_watch_it_and_not_who_is_invisible_f4_16() {
    let server = server(0).await;
    server.knows(&["alice", "bob", "carol", "dave"]).await;
    let (alice, cup) = (server.user("alice"), "livestream:cup");
    alice.makes(cup, &["bob", "dave"]).await;
    let watchers = async || alice.get(&at(cup)).await.ok()["watchers"].clone();
    assert_eq!(watchers().await, 0, "who only asks does not watch");
    let bobs = [server.user("bob").connects().await, server.user("bob").connects().await];
    assert_eq!(watchers().await, 1, "a user on two devices is one");
    let stream = server.user("alice").streams_with(json!({})).await;
    assert_eq!(watchers().await, 2);
    let _unseen = server.user("dave").connects_as(json!({"id": "dave", "invisible": true})).await;
    assert_eq!(watchers().await, 2);
    let mut carol = server.user("carol").connects().await;
    carol.says(&json!({"type": "watch", "topics": [{"topic": format!("channel:{cup}")}]})).await;
    carol.settles().await;
    assert_eq!(watchers().await, 3, "who is no member may watch");
    carol.says(&json!({"type": "unwatch", "topics": [format!("channel:{cup}")]})).await;
    carol.settles().await;
    assert_eq!(watchers().await, 2);
    for live in bobs {
        live.leaves().await;
    }
    drop(stream);
    soon(async { while watchers().await != 0 {} }).await;
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
    let alice = server.user("alice");
    // To be in one channel with somebody is not to be friends.
    alice.makes(GENERAL, &["stranger"]).await;
    alice.post("/v1/channels/messaging", json!({"members": ["friend"]})).await.ok_with(201);
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
    assert_eq!(there["signal"]["users"].as_array().unwrap().len(), 4, "herself too: {there}");
    friends.says(&json!({"type": "presence", "subscription": "none"})).await;
    friends.settles().await;
    _friend.leaves().await;
    assert!(!nothing.hears_of("friend").await);
    assert_eq!(friends.settles().await, [Value::Null; 0]);
    let again = alice.connects_with(json!({"presence": "friends"})).await;
    assert_eq!(again.ready["presence"], json!([]));
}

#[tokio::test]
async fn who_becomes_a_friend_or_is_listed_is_heard_of_while_connected_f4_8_f4_9_f4_11() {
    let server = server(60_000).await;
    server.knows(&["alice", "bob", "carol", "dave"]).await;
    let (alice, backend) = (server.user("alice"), server.backend());
    let mut watcher = alice.connects_with(json!({"presence": {"friends_and": ["carol"]}})).await;
    let (_bob, _carol) = (server.user("bob").connects().await, server.user("carol").connects().await);
    let _dave = server.user("dave").connects().await;
    let first = watcher.hears("user.presence.changed").await;
    assert_eq!(first["signal"]["users"].as_array().unwrap().len(), 1, "{first}");
    assert_eq!(said_of(&first, "carol"), Some(true));
    let made = backend.acting_as("bob").post("/v1/channels/messaging", json!({"members": ["alice"]})).await;
    let cid = made.ok_with(201)["channel"]["cid"].as_str().unwrap().to_owned();
    let there = watcher.hears("user.presence.snapshot").await;
    assert_eq!((said_of(&there, "bob"), said_of(&there, "carol")), (Some(true), Some(true)), "{there}");
    backend.removes(&cid, &["alice"]).await;
    let there = watcher.hears("user.presence.snapshot").await;
    assert_eq!((said_of(&there, "bob"), said_of(&there, "carol")), (None, Some(true)), "{there}");
    // Listed while connected; more than can be is refused, and changes nothing.
    let listed: Vec<String> = (0..501).map(|number| format!("u{number}")).collect();
    watcher.says(&json!({"type": "presence", "subscription": {"friends_and": listed}})).await;
    let error = watcher.hears("error").await;
    assert_eq!(error["error"]["code"], "invalid_input");
    assert!(error["error"]["fields"]["presence.friends_and"].is_string(), "{error}");
    watcher.says(&json!({"type": "presence"})).await;
    assert_eq!(said_of(&watcher.hears("user.presence.snapshot").await, "carol"), Some(true));
    watcher.says(&json!({"type": "presence", "subscription": {"friends_and": ["dave"]}})).await;
    let there = watcher.hears("user.presence.snapshot").await;
    assert_eq!((said_of(&there, "dave"), said_of(&there, "carol")), (Some(true), None), "{there}");
    let hello = alice.hello_with(json!({"presence": {"friends_and": listed}}));
    let (error, code) = alice.is_refused(&hello).await;
    assert_eq!((error["code"].as_str(), code), (Some("invalid_input"), 4000));
}

#[tokio::test]
async fn who_blocks_or_is_blocked_is_no_friend_for_as_long_as_that_lasts_f2_32_f4_8() {
    let server = server(60_000).await;
    server.knows(&["alice", "bob"]).await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    alice.post("/v1/channels/messaging", json!({"members": ["bob"]})).await.ok_with(201);
    let friends = json!({"presence": "friends"});
    let mut alices = alice.connects_with(friends.clone()).await;
    let mut bobs = bob.connects_with(friends.clone()).await;
    alices.hears_of("bob").await;
    alice.post("/v1/blocks", json!({"user_id": "bob"})).await.ok();
    for (live, other) in [(&mut alices, "bob"), (&mut bobs, "alice")] {
        let there = live.hears("user.presence.snapshot").await;
        assert_eq!(said_of(&there, other), None, "{there}");
    }
    assert_eq!(bob.connects_with(friends).await.ready["presence"], json!([]));
    alice.delete("/v1/blocks/bob").await.ok();
    for (live, other) in [(&mut alices, "bob"), (&mut bobs, "alice")] {
        let there = live.hears("user.presence.snapshot").await;
        assert_eq!(said_of(&there, other), Some(true), "{there}");
    }
}

#[tokio::test]
async fn a_status_is_told_with_who_is_there_and_when_it_changes_f4_4() {
    let server = server(60_000).await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let mut watcher = alice.connects_with(json!({"presence": "all"})).await;
    let _bob = bob.connects_as(json!({"id": "bob", "status": "on the road"})).await;
    let status = async |watcher: &mut Live| loop {
        let frame = watcher.hears("user.presence.changed").await;
        let users = frame["signal"]["users"].as_array().unwrap().clone();
        if let Some(bob) = users.iter().find(|user| user["user_id"] == "bob") {
            return (bob["online"].clone(), bob.get("status").cloned());
        }
    };
    assert_eq!(status(&mut watcher).await, (json!(true), Some(json!("on the road"))));
    assert_eq!(alice.sees("bob").await.unwrap()["status"], "on the road");
    bob.patch("/v1/users/bob", json!({"set": {"status": "home"}})).await.ok();
    assert_eq!(status(&mut watcher).await, (json!(true), Some(json!("home"))));
    bob.patch("/v1/users/bob", json!({"unset": ["status"]})).await.ok();
    assert_eq!(status(&mut watcher).await, (json!(true), None));
}

#[tokio::test]
async fn who_is_active_was_active_now_and_who_is_invisible_never_was_f4_2_f4_3_f4_5() {
    let server = server(60_000).await;
    server.knows(&["alice", "bob"]).await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    alice.makes(GENERAL, &["bob"]).await;
    let seen = async || alice.sees("bob").await.unwrap()["last_active"].clone();
    assert_eq!(seen().await, Value::Null, "he was never here");
    let live = bob.connects_as(json!({"id": "bob", "invisible": true})).await;
    bob.sends(GENERAL, "psst").await;
    assert_eq!(seen().await, Value::Null);
    live.leaves().await;
    let live = bob.connects_as(json!({"id": "bob", "invisible": false})).await;
    let connected = seen().await;
    let mut active = connected.clone();
    while active == connected {
        bob.sends(GENERAL, "hello").await;
        active = seen().await;
    }
    assert!(active.as_str() > connected.as_str(), "{active} is after {connected}");
    // What she does while nobody is to see her is not told when she leaves, nor after.
    bob.patch("/v1/users/bob", json!({"set": {"invisible": true}})).await.ok();
    let hidden = seen().await;
    bob.sends(GENERAL, "psst").await;
    live.leaves().await;
    assert_eq!(seen().await, hidden);
}
