//! Typing: heard by the others, ended by the server, hidden by who wishes so.

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::kit::{GENERAL, Live, Person, TestServer, kinds};
use crate::simulated::World;

const TOPIC: &str = "channel:messaging:general";

async fn pair() -> (TestServer, Person, Person) {
    let server = TestServer::with_users(&["alice", "bob"]).await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    alice.makes(GENERAL, &["bob"]).await;
    (server, alice, bob)
}

impl Live {
    async fn types(&mut self, kind: &str) {
        self.says(&json!({"type": "signal", "topic": TOPIC, "signal": {"type": kind}})).await;
    }
}

#[tokio::test]
async fn the_others_hear_who_types_and_the_typist_does_not_f3_2() {
    let (server, alice, bob) = pair().await;
    server.knows(&["carol"]).await;
    let mut alices = alice.connects_as(json!({"id": "alice", "name": "Alice"})).await;
    let mut phone = alice.connects().await;
    let mut bobs = bob.connects().await;
    let mut carols = server.user("carol").connects().await;
    alices.types("typing.start").await;
    let expected = json!({
        "type": "signal", "topic": TOPIC,
        "signal": {"type": "typing.start", "cid": GENERAL, "user": {"id": "alice", "name": "Alice"}},
    });
    assert_eq!(bobs.hears("typing.start").await, expected);
    assert_eq!(phone.hears("typing.start").await, expected, "her other device may show it");
    alices.types("typing.stop").await;
    assert_eq!(bobs.hears("typing.stop").await["signal"]["user"]["id"], "alice");
    // Stopping again, or without having begun, says nothing.
    alices.types("typing.stop").await;
    assert_eq!(alices.settles().await, [Value::Null; 0]);
    assert_eq!((bobs.settles().await, carols.settles().await), (Vec::new(), Vec::new()));
}

#[tokio::test]
async fn sending_and_going_end_typing() {
    let (_server, alice, bob) = pair().await;
    let mut alices = alice.connects().await;
    let mut bobs = bob.connects().await;
    alices.types("typing.start").await;
    bobs.hears("typing.start").await;
    alice.sends(GENERAL, "done").await;
    bobs.hears("typing.stop").await;
    alices.types("typing.start").await;
    bobs.hears("typing.start").await;
    alices.breaks();
    bobs.hears("typing.stop").await;
}

#[tokio::test(start_paused = true)]
async fn the_server_ends_what_the_typist_forgot_to_end_l6_24() {
    let world = World::with_members(&["alice", "bob"]).await;
    let (mut alice, mut bob) = (world.connects("alice").await, world.connects("bob").await);
    let typing = json!({"type": "signal", "topic": TOPIC, "signal": {"type": "typing.start"}});
    alice.says(&typing).await;
    bob.hears("typing.start").await;
    let began = Instant::now();
    bob.hears("typing.stop").await;
    assert!((5_800..6_200).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    // Where her link breaks, nobody has to wait for that.
    alice.says(&typing).await;
    bob.hears("typing.start").await;
    let began = Instant::now();
    drop(alice);
    bob.hears("typing.stop").await;
    assert!(began.elapsed().as_millis() < 500, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_hides_while_typing_is_seen_to_stop_at_once_f3_3() {
    let world = World::with_members(&["alice", "bob"]).await;
    let (mut alice, mut bob) = (world.connects("alice").await, world.connects("bob").await);
    alice.says(&json!({"type": "signal", "topic": TOPIC, "signal": {"type": "typing.start"}})).await;
    bob.hears("typing.start").await;
    let began = Instant::now();
    let off = json!({"set": {"privacy_settings": {"typing_indicators": {"enabled": false}}}});
    assert_eq!(world.asks("alice", "PATCH", "/v1/users/alice", off).await.0, 200);
    bob.hears("typing.stop").await;
    // And not when what was forgotten would have ended.
    assert!(began.elapsed().as_millis() < 500, "{:?}", began.elapsed());
}

#[tokio::test]
async fn who_hides_typing_reaches_nobody_f3_3() {
    let (_server, alice, bob) = pair().await;
    let hidden = json!({"id": "alice", "privacy_settings": {"typing_indicators": {"enabled": false}}});
    let mut alices = alice.connects_as(hidden).await;
    let mut bobs = bob.connects().await;
    alices.types("typing.start").await;
    alices.settles().await;
    assert_eq!(bobs.settles().await, [Value::Null; 0]);
}

#[tokio::test]
async fn a_privacy_setting_holds_at_once_on_connections_that_are_up_f3_1_f3_3() {
    let (_server, alice, bob) = pair().await;
    let mut alices = alice.connects().await;
    let mut bobs = bob.connects().await;
    let setting = |on: bool| json!({"set": {"privacy_settings": {"typing_indicators": {"enabled": on}}}});
    alice.patch("/v1/users/alice", setting(false)).await.ok();
    alices.types("typing.start").await;
    alices.settles().await;
    assert_eq!(bobs.settles().await, [Value::Null; 0]);
    alice.patch("/v1/users/alice", setting(true)).await.ok();
    alices.types("typing.start").await;
    bobs.hears("typing.start").await;
}

#[tokio::test]
async fn nobody_types_where_she_does_not_listen_or_where_it_is_off() {
    let (server, alice, bob) = pair().await;
    let mut alices = alice.connects().await;
    let mut bobs = bob.connects().await;
    alice.makes("livestream:cup", &["bob"]).await;
    bobs.hears("notification.added_to_channel").await;
    alices.hears("notification.added_to_channel").await;
    bobs.settles().await;
    let start = |topic: &str| json!({"type": "signal", "topic": topic, "signal": {"type": "typing.start"}});
    alices.says(&start("channel:livestream:cup")).await;
    alices.settles().await;
    assert_eq!(bobs.settles().await, [Value::Null; 0]);
    for topic in ["user:bob", "app:dev", "channel:messaging:none"] {
        alices.says(&start(topic)).await;
        let heard = alices.settles().await;
        assert_eq!(kinds(&heard), ["error"], "{topic}");
        assert_eq!(heard[0]["error"]["code"], "not_allowed");
    }
    // Who was removed is heard no more.
    server.knows(&["carol"]).await;
    alice.adds(GENERAL, &["carol"]).await;
    let mut carols = server.user("carol").connects().await;
    alice.removes(GENERAL, &["carol"]).await;
    bobs.settles().await;
    carols.types("typing.start").await;
    carols.settles().await;
    assert!(!kinds(&bobs.settles().await).contains(&"typing.start"));
}
