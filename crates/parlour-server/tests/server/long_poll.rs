//! The long-poll: a connection that is carried from one answer to the next.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::{Either, select};
use parlour_server::config::Mode;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::kit::{GENERAL, Live, Person, TestServer, check_error, connect_request, kind, kinds, raw, soon};

async fn concurrent(server: &TestServer) -> Value {
    server.backend().get("/v1/usage").await.ok()["concurrent_connections"].clone()
}

async fn until_connections(server: &TestServer, count: u64) {
    soon(async { while concurrent(server).await["current"] != count {} }).await;
}

/// A client that polls, with everything that it has to remember.
struct Poller {
    person: Person,
    ready: Value,
    cursors: BTreeMap<String, u64>,
    /// The texts of the messages that were heard.
    heard: Vec<String>,
}

impl Poller {
    /// The first poll.
    async fn begins(person: &Person, fields: Value) -> Self {
        let frames = person.polls(&person.hello_with(fields)).await;
        let ready = frames[0].clone();
        assert_eq!((ready["type"].as_str(), ready["resumed"].as_str()), (Some("ready"), Some("fresh")));
        let heads = ready["heads"].as_object().unwrap();
        let cursors = heads.iter().map(|(topic, head)| (topic.clone(), head.as_u64().unwrap())).collect();
        let mut poller = Self { person: person.clone(), ready, cursors, heard: Vec::new() };
        poller.takes(&frames[1..]);
        poller
    }

    fn hello(&self, fields: Value) -> Value {
        // What is watched is no part of a resume: it is watched again.
        let mut cursors = self.cursors.clone();
        cursors.retain(|topic, _| !topic.starts_with("channel:livestream:"));
        let mut hello = self.person.hello_with(json!({
            "replaces": self.ready["connection_id"],
            "resume": {"epoch": self.ready["epoch"], "as_of": self.ready["as_of"], "cursors": cursors},
        }));
        hello.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        hello
    }

    /// The next poll; everything of its answer but `ready`.
    async fn polls(&mut self) -> Vec<Value> {
        self.polls_with(json!({})).await
    }

    async fn polls_with(&mut self, fields: Value) -> Vec<Value> {
        let frames = self.person.polls(&self.hello(fields)).await;
        self.comes(frames)
    }

    /// What a client does with an answer. A hole or a double is a failed test.
    fn comes(&mut self, mut frames: Vec<Value>) -> Vec<Value> {
        let ready = frames.remove(0);
        assert_eq!(ready["type"], "ready", "{ready}: {frames:?}");
        assert_eq!(ready["resumed"], "resumed");
        self.ready = ready;
        self.takes(&frames);
        frames
    }

    fn takes(&mut self, frames: &[Value]) {
        for frame in frames.iter().filter(|frame| frame["type"] == "event") {
            let (topic, seq) = (frame["topic"].as_str().unwrap().to_owned(), frame["seq"].as_u64().unwrap());
            let cursor = self.cursors.entry(topic.clone()).or_insert(seq - 1);
            assert_eq!(seq, *cursor + 1, "{topic}: neither a hole nor a double");
            *cursor = seq;
            if kind(frame) == "message.new" {
                self.heard.push(frame["event"]["message"]["text"].as_str().unwrap().to_owned());
            }
        }
    }

    fn id(&self) -> &str {
        self.ready["connection_id"].as_str().unwrap()
    }

    async fn says(&self, frame: Value) {
        self.person.says_on(self.id(), json!({ "frames": [frame] })).await.ok_with(204);
    }
}

/// What was said of this user's presence until now.
async fn said_of(watcher: &mut Live, user: &str) -> Vec<bool> {
    let heard = watcher.settles().await;
    let users = heard.iter().filter(|frame| kind(frame) == "user.presence.changed");
    let users = users.flat_map(|frame| frame["signal"]["users"].as_array().unwrap());
    users.filter(|entry| entry["user_id"] == user).map(|entry| entry["online"].as_bool().unwrap()).collect()
}

/// Waits for the next that is said of this user.
async fn hears_of(watcher: &mut Live, user: &str) -> bool {
    loop {
        let frame = watcher.hears("user.presence.changed").await;
        let users = frame["signal"]["users"].as_array().unwrap();
        if let Some(entry) = users.iter().find(|entry| entry["user_id"] == user) {
            return entry["online"].as_bool().unwrap();
        }
    }
}

#[tokio::test]
async fn the_first_poll_is_answered_at_once_and_the_next_when_something_happens_l4_16() {
    let server = TestServer::with_users(&["alice", "bob"]).await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    alice.makes(GENERAL, &["bob"]).await;
    let began = Instant::now();
    let mut poller = Poller::begins(&bob, json!({})).await;
    assert!(began.elapsed() < Duration::from_secs(15), "long before the hold is over");
    let hello = poller.hello(json!({}));
    let sends = async {
        // Held: nothing is answered while nothing happens.
        until_connections(&server, 1).await;
        alice.sends(GENERAL, "one").await;
    };
    let (frames, ()) = tokio::join!(bob.polls(&hello), sends);
    assert_eq!(kinds(&poller.comes(frames)), ["message.new"]);
    // What happened between two polls is answered at once, all of it.
    for text in ["two", "three", "four"] {
        alice.sends(GENERAL, text).await;
    }
    let began = Instant::now();
    assert_eq!(kinds(&poller.polls().await), ["message.new"; 3]);
    assert!(began.elapsed() < Duration::from_secs(15));
    assert_eq!(poller.heard, ["one", "two", "three", "four"]);
}

#[tokio::test]
async fn a_poll_in_which_nothing_happens_is_answered_with_ready_alone_l6_17() {
    let server = TestServer::with(|config| config.limits.poll_hold_ms = 300).await;
    let mut poller = Poller::begins(&server.user("alice"), json!({})).await;
    for _ in 0..3 {
        let began = Instant::now();
        assert_eq!(poller.polls_with(json!({"heartbeat_ms": 5_000})).await, [Value::Null; 0]);
        assert!(began.elapsed() >= Duration::from_millis(290));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_events_come_once_and_in_order_though_answers_are_lost_l4_19() {
    let server = TestServer::with_users(&["alice", "bob"]).await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    alice.makes(GENERAL, &["bob"]).await;
    let mut poller = Poller::begins(&bob, json!({})).await;
    // Never more than twenty ahead of who listens, so that there are many polls and something happens in each.
    let (taken, mut heard) = tokio::sync::watch::channel(0);
    let sending = async {
        for n in 0..1_000 {
            heard.wait_for(|heard| heard + 20 > n).await.unwrap();
            alice.sends_as(GENERAL, &format!("m{n}"), &n.to_string()).await.ok_with(201);
        }
    };
    let polling = async {
        let (mut answered, mut lost) = (0, 0);
        while poller.heard.len() < 1_000 {
            // Every third answer is lost, and now and then the poll was sent twice.
            match (answered + lost) % 6 {
                2 => drop(bob.polls(&poller.hello(json!({}))).await),
                5 => {
                    let hello = poller.hello(json!({}));
                    tokio::join!(bob.polls(&hello), bob.polls(&hello));
                }
                _ => {
                    poller.polls().await;
                    answered += 1;
                    taken.send(poller.heard.len()).unwrap();
                    continue;
                }
            }
            lost += 1;
        }
        (answered, lost)
    };
    let ((), (answered, lost)) = tokio::join!(sending, polling);
    assert_eq!(poller.heard, (0..1_000).map(|n| n.to_string()).collect::<Vec<_>>());
    assert!(answered >= 50 && lost >= 20, "{answered} answered, {lost} lost");
    let counts = concurrent(&server).await;
    assert_eq!(
        (&counts["current"], &counts["peak_month"]),
        (&json!(1), &json!(1)),
        "one connection all the time"
    );
}

#[tokio::test]
async fn a_first_poll_that_nobody_waits_for_leaves_nothing_behind() {
    let server = TestServer::with(|config| config.limits.poll_lease_ms = 600_000).await;
    let alice = server.user("alice");
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    let hello = alice.hello().to_string();
    let request = connect_request(server.address, "Accept: application/json\r\n", hello.as_bytes());
    tcp.write_all(&request).await.unwrap();
    drop(tcp);
    soon(async { while server.backend().get("/v1/usage").await.ok()["monthly_active_users"] != 1 {} }).await;
    until_connections(&server, 0).await;
    // One that was answered stays: its client knows it.
    Poller::begins(&alice, json!({})).await;
    assert_eq!(concurrent(&server).await["current"], 1);
}

#[tokio::test]
async fn a_poller_is_one_connection_and_online_from_the_first_poll_to_the_last_l4_20_l4_21() {
    let server = TestServer::with(|config| {
        config.app.mode = Some(Mode::Production);
        config.limits.connections_per_user = Some(1);
        config.limits.dials_burst = 2;
        config.limits.presence_grace_ms = 60_000;
        config.limits.poll_hold_ms = 100;
    })
    .await;
    let mut watcher = server.user("alice").connects_with(json!({"presence": "all"})).await;
    let mut poller = Poller::begins(&server.user("bob"), json!({})).await;
    assert!(hears_of(&mut watcher, "bob").await);
    for _ in 0..10 {
        poller.polls().await;
        let usage = server.backend().get("/v1/usage").await.ok();
        let counts = &usage["concurrent_connections"];
        assert_eq!((&counts["current"], &counts["peak_month"]), (&json!(2), &json!(2)));
        assert_eq!(usage["monthly_active_users"], 2);
    }
    // Neither its polls count as dials, nor does anybody see it come and go.
    assert_eq!(said_of(&mut watcher, "bob").await, [true; 0]);
    poller.says(json!({"type": "bye", "intent": "leave"})).await;
    assert!(!hears_of(&mut watcher, "bob").await, "at once, between two polls");
    until_connections(&server, 1).await;
    poller.person.says_on(poller.id(), json!({"frames": []})).await.refused("not_found");
    // It comes back as anybody does.
    Poller::begins(&server.user("bob"), json!({})).await;
    assert!(hears_of(&mut watcher, "bob").await);
}

#[tokio::test]
async fn a_poller_who_does_not_come_back_is_lost_after_its_lease_and_gone_after_the_grace_l4_20() {
    let server = TestServer::with(|config| {
        config.limits.poll_lease_ms = 400;
        config.limits.presence_grace_ms = 400;
    })
    .await;
    let mut watcher = server.user("alice").connects_with(json!({"presence": "all"})).await;
    let began = Instant::now();
    let mut poller = Poller::begins(&server.user("bob"), json!({})).await;
    assert!(hears_of(&mut watcher, "bob").await);
    until_connections(&server, 1).await;
    assert!(began.elapsed() >= Duration::from_millis(400));
    assert!(!hears_of(&mut watcher, "bob").await);
    assert!(began.elapsed() >= Duration::from_millis(800));
    // Its next poll finds nothing to go on, and is let in anew: told what it missed, and counted.
    server.user("carol").connects().await.breaks();
    assert_eq!(poller.polls().await, [Value::Null; 0]);
    assert!(hears_of(&mut watcher, "bob").await);
}

#[tokio::test]
async fn what_is_said_with_a_poll_or_between_two_is_done_in_the_poll_l4_17() {
    let server = TestServer::with_users(&["alice", "bob"]).await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    alice.makes("livestream:cup", &[]).await;
    alice.makes(GENERAL, &["bob"]).await;
    let mut listener = alice.connects().await;
    let mut poller = Poller::begins(&bob, json!({"frames": [{"type": "ping", "id": 1}]})).await;
    // Waiting for the next poll.
    poller.says(json!({"type": "ping", "id": 2})).await;
    let frames = poller.polls_with(json!({"frames": [
        {"type": "watch", "topics": [{"topic": "channel:livestream:cup", "after": 0}]},
        {"type": "signal", "topic": "channel:messaging:general", "signal": {"type": "typing.start"}},
        {"type": "ping", "id": 3},
    ]}));
    let frames = frames.await;
    let pongs: Vec<_> =
        frames.iter().filter(|f| f["type"] == "pong").map(|f| f["id"].as_u64().unwrap()).collect();
    assert_eq!(pongs, [3, 2]);
    assert!(poller.cursors.contains_key("channel:livestream:cup"), "{frames:?}");
    assert_eq!(listener.hears("typing.start").await["signal"]["user"]["id"], "bob");
    // While a poll is held, it says it at once. Its client knows no id but that of the poll before.
    let hello = poller.hello(json!({}));
    let held = Box::pin(bob.polls(&hello));
    let says = Box::pin(async {
        loop {
            poller.says(json!({"type": "ping", "id": 4})).await;
            tokio::task::yield_now().await;
        }
    });
    let Either::Left((frames, _)) = select(held, says).await;
    assert!(frames.iter().any(|frame| frame["type"] == "pong"), "{frames:?}");
    poller.comes(frames);
    let last =
        poller.polls_with(json!({"frames": [{"type": "bye", "intent": "leave"}]})).await.pop().unwrap();
    assert_eq!((&last["type"], &last["code"]), (&json!("bye"), &json!(1000)));
    until_connections(&server, 1).await;
    let refused = bob.asks_to_poll(&bob.hello_with(json!({"frames": {"type": "pong"}}))).await;
    refused.refused("bad_frame");
}

#[tokio::test]
async fn an_answer_has_room_for_a_mebibyte_and_the_next_poll_goes_on_where_it_ended() {
    let server = TestServer::with_users(&["alice", "bob"]).await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    alice.makes(GENERAL, &["bob"]).await;
    let mut poller = Poller::begins(&bob, json!({})).await;
    let text = "😀".repeat(5_000);
    for _ in 0..120 {
        alice.sends(GENERAL, &text).await;
    }
    // There is no room for the answer to what was said with it: that waits for its turn.
    let hello = poller.hello(json!({"frames": [{"type": "ping", "id": 9}]}));
    let answer = bob.asks_to_poll(&hello).await;
    assert!((500_000..=(1 << 20) + 1_000).contains(&answer.body.len()), "{}", answer.body.len());
    let mut frames = answer.ok_with(200)["frames"].as_array().unwrap().clone();
    let mut polls = 0;
    while frames.iter().all(|frame| frame["type"] != "pong") {
        poller.comes(frames);
        frames = bob.polls(&poller.hello(json!({}))).await;
        polls += 1;
    }
    poller.comes(frames);
    assert_eq!((poller.heard.len(), polls), (120, 2));
}

#[tokio::test]
async fn a_poller_who_lost_its_place_between_two_polls_is_told_and_does_not_take_it_back_l6_34() {
    let server = TestServer::with(|config| config.limits.connections_per_user = Some(1)).await;
    let bob = server.user("bob");
    let poller = Poller::begins(&bob, json!({})).await;
    let mut phone = bob.connects_with(json!({"device": "Bob's phone"})).await;
    let frames = bob.polls(&poller.hello(json!({}))).await;
    assert_eq!(kinds(&frames), ["bye"], "{frames:?}");
    assert_eq!(
        (&frames[0]["code"], &frames[0]["replaced_by"]["device"]),
        (&json!(4005), &json!("Bob's phone"))
    );
    phone.settles().await;
    assert_eq!(concurrent(&server).await["current"], 1);
    // Once it was told, it may: its user wants it.
    let mut poller = Poller::begins(&bob, json!({"replaces": poller.ready["connection_id"]})).await;
    assert_eq!(phone.until_closed().await.1, Some(4005));
    // One who loses its place during a poll is told in its answer.
    let hello = poller.hello(json!({}));
    let taken = async {
        until_connections(&server, 1).await;
        bob.connects().await
    };
    let (frames, mut phone) = tokio::join!(bob.polls(&hello), taken);
    assert_eq!(frames.last().unwrap()["code"], 4005, "{frames:?}");
    phone.settles().await;
    poller.ready = Poller::begins(&bob, json!({"replaces": poller.ready["connection_id"]})).await.ready;
    assert_eq!(concurrent(&server).await["current"], 1);
}

#[tokio::test]
async fn a_websocket_takes_over_from_a_poller_and_a_poller_from_a_websocket() {
    let server = TestServer::with(|config| config.limits.presence_grace_ms = 60_000).await;
    let mut watcher = server.user("alice").connects_with(json!({"presence": "all"})).await;
    let bob = server.user("bob");
    let poller = Poller::begins(&bob, json!({})).await;
    assert!(hears_of(&mut watcher, "bob").await);
    let live = bob.connects_with(json!({"replaces": poller.ready["connection_id"]})).await;
    until_connections(&server, 2).await;
    let mut poller = Poller::begins(&bob, json!({"replaces": live.ready["connection_id"]})).await;
    until_connections(&server, 2).await;
    // Also while a poll is held: its client knows no id but that of the poll before.
    let hello = poller.hello(json!({}));
    let takes_over = async {
        until_connections(&server, 2).await;
        bob.connects_with(json!({"replaces": poller.ready["connection_id"]})).await
    };
    let (_frames, mut live) = tokio::join!(bob.polls(&hello), takes_over);
    until_connections(&server, 2).await;
    live.settles().await;
    assert_eq!(said_of(&mut watcher, "bob").await, [true; 0]);
    poller.person = server.user("mallory");
    // Another user's poll is not hers to go on.
    Poller::begins(&server.user("mallory"), json!({"replaces": live.ready["connection_id"]})).await;
    live.settles().await;
}

#[tokio::test]
async fn the_same_poll_again_ends_the_one_that_is_held_and_counts_once() {
    let server = TestServer::with_users(&["alice", "bob"]).await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    alice.makes(GENERAL, &["bob"]).await;
    let mut poller = Poller::begins(&bob, json!({})).await;
    let hello = poller.hello(json!({}));
    let first = bob.polls(&hello);
    let second = bob.polls(&hello);
    let (first, second) = (Box::pin(first), Box::pin(second));
    // One of the two ends the other, whose answer has nothing that is news.
    let (ended, other) = match select(first, second).await {
        Either::Left((ended, other)) | Either::Right((ended, other)) => (ended, other),
    };
    assert_eq!(kinds(&ended), ["ready"]);
    assert_eq!(concurrent(&server).await["current"], 1);
    let (frames, _) = tokio::join!(other, alice.sends(GENERAL, "here"));
    poller.comes(frames);
    assert_eq!(poller.heard, ["here"]);
    assert_eq!(concurrent(&server).await["current"], 1);
    poller.says(json!({"type": "bye", "intent": "leave"})).await;
    until_connections(&server, 0).await;
}

#[tokio::test]
async fn a_poll_that_is_refused_says_so_in_frames_and_a_server_that_stops_says_bye() {
    let server = TestServer::start().await;
    let alice = server.user("alice");
    let mut forged = alice.hello();
    forged["token"] = json!(format!("{}x", alice.token));
    let frames = alice.polls(&forged).await;
    assert_eq!((kinds(&frames), &frames[1]["code"]), (vec!["error", "bye"], &json!(4002)));
    check_error(&frames[0]["error"]);
    alice.asks_to_poll(&json!({"type": "pong"})).await.refused("bad_frame");
    let lines = "Accept: application/json\r\nConnection: close\r\n";
    let bytes = raw(server.address, &connect_request(server.address, lines, b"{}")).await;
    assert!(bytes.starts_with(b"HTTP/1.1 400"));

    let poller = Poller::begins(&alice, json!({})).await;
    let hello = poller.hello(json!({}));
    let stops = async {
        until_connections(&server, 1).await;
        // The poll is held as soon as its predecessor's id is that of no poll that waits for frames.
        poller.says(json!({"type": "pong"})).await;
    };
    let polling = alice.polls(&hello);
    tokio::pin!(polling);
    tokio::select! {
        biased;
        frames = &mut polling => panic!("answered with {frames:?}"),
        () = stops => {}
    }
    let (frames, ()) = tokio::join!(polling, server.stop());
    assert_eq!(frames.last().map(|bye| bye["code"].clone()), Some(json!(1012)), "{frames:?}");
}
