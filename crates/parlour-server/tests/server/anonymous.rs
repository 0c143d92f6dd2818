//! Who is anonymous: reads what is open to all, and is nobody.

use parlour_server::config::Mode;
use serde_json::{Value, json};

use crate::kit::{Person, TestServer, at, kind, soon, unsigned};

const STREAM: &str = "livestream:keynote";
const TOPIC: &str = "channel:livestream:keynote";

/// Somebody who shows that she is nobody, by an id of her own.
fn nobody(server: &TestServer, name: &str) -> Person {
    let id = format!("!{name:a<24}");
    server.bearer(&id, unsigned(&json!({ "user_id": id })))
}

/// A server with a livestream of Alice's, in which there is a message.
async fn on_stage(change: impl FnOnce(&mut parlour_server::Config)) -> TestServer {
    let server = TestServer::with(change).await;
    server.knows(&["alice"]).await;
    server.user("alice").post(&at(STREAM), json!({})).await.ok();
    server.user("alice").sends(STREAM, "welcome").await;
    server
}

fn watch(after: u64) -> Value {
    json!({ "type": "watch", "topics": [{ "topic": TOPIC, "after": after }] })
}

fn texts(frames: &[Value]) -> Vec<&str> {
    let new = frames.iter().filter(|frame| kind(frame) == "message.new");
    new.map(|frame| frame["event"]["message"]["text"].as_str().unwrap()).collect()
}

async fn usage(server: &TestServer) -> (Value, Value) {
    let usage = server.backend().get("/v1/usage").await.ok();
    (usage["concurrent_connections"]["current"].clone(), usage["monthly_active_users"].clone())
}

#[tokio::test]
async fn who_is_anonymous_reads_and_watches_what_is_open_over_every_transport_f1_34_f1_35_f1_37() {
    for mode in [Mode::Development, Mode::Production] {
        let server = on_stage(|config| config.app.mode = Some(mode)).await;
        let (one, two, three) = (nobody(&server, "one"), nobody(&server, "two"), nobody(&server, "three"));
        let page = one.get(&format!("{}/messages", at(STREAM))).await.ok();
        assert_eq!(page["messages"][0]["text"], "welcome");
        let state = one.get(&at(STREAM)).await.ok();
        let head = state["head"].as_u64().unwrap();
        let found = one.post("/v1/channels", json!({})).await.ok();
        assert_eq!(found["channels"][0]["channel"]["cid"], STREAM);

        let mut socket = one.connects().await;
        let me = &socket.ready["me"];
        assert_eq!(
            (&me["id"], &me["role"], &me["online"]),
            (&json!(one.id), &json!("anonymous"), &json!(false))
        );
        assert!(one.id.starts_with('!'));
        socket.says(&watch(head)).await;
        let mut stream = two.streams_with(json!({})).await;
        assert_eq!(stream.ready["me"]["id"], two.id);
        stream.says(&watch(head)).await.ok_with(204);
        let polled = three.polls(&three.hello_with(json!({ "frames": [watch(head)] }))).await;
        assert_eq!(polled[0]["me"]["id"], three.id);

        server.user("alice").sends(STREAM, "look").await;
        socket.hears_text("look").await;
        assert_eq!(texts(&[stream.hears("message.new").await]), ["look"]);
        let replaces = polled[0]["connection_id"].clone();
        let next = three.hello_with(json!({ "replaces": replaces, "frames": [watch(head)] }));
        assert_eq!(texts(&three.polls(&next).await), ["look"]);

        // Whoever comes back hears what was missed.
        socket.breaks();
        server.user("alice").sends(STREAM, "and see").await;
        let mut again = one.connects().await;
        again.says(&watch(head)).await;
        again.hears_text("look").await;
        again.hears_text("and see").await;
        assert_eq!(one.get(&at(STREAM)).await.ok()["watchers"], 2, "one and two");
    }
}

#[tokio::test]
async fn what_is_not_open_is_not_there_for_who_is_anonymous_f1_35() {
    let server = on_stage(|_| {}).await;
    let alice = server.user("alice");
    alice.post(&at("messaging:desk"), json!({})).await.ok();
    server.backend().post("/v1/users", json!({ "users": [{ "id": "red", "teams": ["red"] }] })).await.ok();
    server.user("red").post(&at("livestream:red"), json!({})).await.ok();
    let nobody = nobody(&server, "one");
    let mut live = nobody.connects().await;
    for cid in ["messaging:desk", "livestream:red", "livestream:none"] {
        nobody.get(&at(cid)).await.refused("not_found");
        live.says(&json!({ "type": "watch", "topics": [{ "topic": format!("channel:{cid}") }] })).await;
        let error = live.hears("error").await;
        assert_eq!(error["error"]["code"], "not_found", "{error}");
    }
    for topic in ["user:alice", "app:dev"] {
        live.says(&json!({ "type": "watch", "topics": [{ "topic": topic }] })).await;
        live.hears("error").await;
    }
    let found = nobody.post("/v1/channels", json!({})).await.ok();
    assert_eq!(found["channels"].as_array().unwrap().len(), 1, "{found}");
}

#[tokio::test]
async fn who_is_anonymous_changes_nothing_and_is_stored_nowhere_f1_34() {
    let server = on_stage(|_| {}).await;
    let nobody = nobody(&server, "one");
    let messages = format!("{}/messages", at(STREAM));
    let said = json!({ "message": { "id": "m1", "text": "hello" } });
    nobody.post(&messages, said).await.refused("not_allowed");
    nobody.post(&at(STREAM), json!({})).await.refused("not_allowed");
    // Ids that look like questions are ids.
    nobody.post(&at("livestream:query"), json!({})).await.refused("not_allowed");
    nobody.post(&format!("{}/read", at(STREAM)), json!({})).await.refused("not_allowed");
    nobody.post(&format!("{}/members", at(STREAM)), json!({ "add": ["alice"] })).await.refused("not_allowed");
    nobody.post("/v1/devices", json!({ "id": "d", "provider": "fcm" })).await.refused("not_allowed");
    nobody.patch("/v1/users/alice", json!({ "set": { "name": "x" } })).await.refused("not_allowed");
    nobody.get("/v1/users?ids=alice").await.refused("not_allowed");
    nobody.post("/v1/users/query", json!({})).await.refused("not_allowed");
    nobody.get("/v1/usage").await.refused("not_allowed");
    nobody.get("/v1/app").await.refused("not_allowed");

    // Of itself there is nothing to be told, and nothing to be set.
    assert_eq!(nobody.get("/v1/me").await.ok()["me"], Value::Null);
    let as_alice = json!({ "user": { "id": "alice", "name": "x" } });
    assert_eq!(nobody.is_refused(&nobody.hello_with(as_alice)).await.0["code"], "wrong_user");
    let named = nobody.hello_with(json!({ "user": { "id": nobody.id, "name": "x" } }));
    let (error, code) = nobody.is_refused(&named).await;
    assert_eq!((&error["code"], code), (&json!("not_allowed"), 4000));
    nobody.connects_as(json!({ "id": nobody.id })).await.leaves().await;

    let mut alice = server.user("alice").connects_with(json!({ "presence": "all" })).await;
    let mut live = nobody.connects_with(json!({ "presence": "all" })).await;
    assert_eq!(live.ready["presence"], json!([]));
    live.says(&watch(0)).await;
    live.hears_text("welcome").await;
    live.says(&json!({ "type": "signal", "topic": TOPIC, "signal": { "type": "typing.start" } })).await;
    live.says(&json!({ "type": "presence", "subscription": "all" })).await;
    assert_eq!(live.hears("user.presence.snapshot").await["signal"]["users"], json!([]));
    live.leaves().await;
    nobody.connects().await.breaks();
    assert!(alice.settles().await.iter().all(|frame| !frame.to_string().contains(&nobody.id)));
    let users = server.backend().post("/v1/users/query", json!({})).await.ok();
    assert_eq!(users["users"].as_array().unwrap().len(), 1, "{users}");
    // What Alice hears of those who watch is how many they are.
    let state = server.user("alice").get(&at(STREAM)).await.ok();
    assert!(!state.to_string().contains('!'), "{state}");
}

#[tokio::test]
async fn who_is_anonymous_counts_as_a_connection_and_as_no_active_user_f1_36_f5_2_f5_4() {
    let server = on_stage(|_| {}).await;
    let live = nobody(&server, "one").connects().await;
    let stream = nobody(&server, "two").streams_with(json!({})).await;
    let poller = nobody(&server, "three");
    poller.polls(&poller.hello()).await;
    assert_eq!(usage(&server).await, (json!(3), json!(0)));
    // A user counts once, whichever way it comes.
    let alice = server.user("alice");
    let one = alice.connects().await;
    let two = alice.streams_with(json!({})).await;
    alice.polls(&alice.hello()).await;
    assert_eq!(usage(&server).await, (json!(6), json!(1)));
    let causes =
        server.backend().get("/v1/usage").await.ok()["concurrent_connections"]["current_by_cause"].clone();
    assert_eq!(causes["first_device"], 4, "each who is anonymous, and Alice: {causes}");
    live.leaves().await;
    one.leaves().await;
    drop((stream, two));
    soon(async { while usage(&server).await.0 != 2 {} }).await;
}

#[tokio::test]
async fn taking_all_tokens_back_means_users_and_nobody_is_none() {
    let server = on_stage(|_| {}).await;
    let nobody = nobody(&server, "one");
    let mut live = nobody.connects().await;
    server.backend().post("/v1/app/revoke_tokens", json!({})).await.ok();
    live.says(&watch(0)).await;
    live.hears_text("welcome").await;
    nobody.get(&at(STREAM)).await.ok();
    nobody.connects().await;
}

#[tokio::test]
async fn connections_of_who_is_anonymous_have_a_limit_for_each_address() {
    let server = on_stage(|config| config.server.pending_per_address_max = 3).await;
    let mut held = Vec::new();
    for name in ["one", "two"] {
        held.push(nobody(&server, name).connects().await);
    }
    // Whoever shows who she is holds no place.
    let users = [server.user("alice").connects().await, server.user("alice").connects().await];
    held.push(nobody(&server, "three").connects().await);
    let more =
        crate::kit::raw(server.address, b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(more.is_empty(), "{}", String::from_utf8_lossy(&more));
    held.pop().unwrap().leaves().await;
    soon(async {
        let ask = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        while crate::kit::raw(server.address, ask).await.is_empty() {}
    })
    .await;
    drop(users);
}

#[tokio::test]
async fn calls_of_who_is_anonymous_are_counted_by_their_address() {
    let server = on_stage(|config| {
        config.limits.calls.insert("GET /v1/channels/{type}/{id}".to_owned(), 2);
    })
    .await;
    nobody(&server, "one").get(&at(STREAM)).await.ok();
    nobody(&server, "two").get(&at(STREAM)).await.ok();
    nobody(&server, "three").get(&at(STREAM)).await.refused("rate_limited");
    server.user("alice").get(&at(STREAM)).await.ok();
}
