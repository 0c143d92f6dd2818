//! The same conversation over each transport, with a real server.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header;
use parlour_client::wire::CloseCode;
use parlour_client::wire::app::{AddKey, KeyAlgorithm};
use parlour_client::wire::usage::UsageQuery;
use parlour_client::{
    ActingChannel, Body, Frames, Net, NetError, Received, Revocation, ServerClient, TokioNet, Transport,
    open_transport,
};
use parlour_server::config::Mode;
use parlour_server::{Config, Running};
use serde_json::{Value, json};
use tokio::time::Instant;

const SECRET: &str = "the secret of the app in these tests";
const EACH: [Transport; 3] = [Transport::WebSocket, Transport::EventStream, Transport::LongPoll];

/// What has to come comes: the time is for a slow machine.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it has to come")
}

/// A server, and the app's backend.
struct Place {
    running: Running,
    backend: ServerClient,
}

impl Place {
    async fn start(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.server.listen = ([127, 0, 0, 1], 0).into();
        config.app.key = Some("dev".to_owned());
        config.app.secret = Some(SECRET.to_owned());
        config.app.mode = Some(Mode::Development);
        change(&mut config);
        let running = parlour_server::start(config).await.unwrap();
        let backend = ServerClient::new(&format!("http://{}", running.address), "dev", SECRET).unwrap();
        backend.upsert_users(["alice", "bob"]).await.unwrap();
        Self { running, backend }
    }

    /// A channel of Bob's with this member more.
    async fn channel(&self, kind: &str, id: &str, members: &[&str]) -> ActingChannel {
        let channel = self.backend.as_user("bob").unwrap().channel(kind, id).unwrap();
        channel.get_or_create(members, []).await.unwrap();
        channel
    }

    fn token(&self, user: &str) -> String {
        self.backend.create_token(user, None).unwrap()
    }

    async fn opens(&self, transport: Transport, user: &str) -> Talker {
        let net = Arc::new(WatchedNet { inner: TokioNet::new().unwrap(), tokens: Mutex::default() });
        let url = format!("ws://{}/v1/connect", self.running.address);
        let frames = open_transport(transport, &(Arc::clone(&net) as Arc<dyn Net>), &url).await.unwrap();
        Talker {
            frames,
            net,
            hello: json!({
                "type": "hello", "app_key": "dev", "token": self.token(user), "presence": "all",
                "client": { "instance": "i", "page": "p", "sdk": "tests", "version": 1, "platform": "linux" },
            }),
            ready: Value::Null,
            cursors: BTreeMap::new(),
            watched: Vec::new(),
            heard: Vec::new(),
        }
    }

    /// Opens, says hello, and is let in.
    async fn connects(&self, transport: Transport, user: &str) -> Talker {
        let mut talker = self.opens(transport, user).await;
        talker.says_hello().await;
        talker.hears("ready").await;
        talker
    }
}

/// The real network; it keeps the token of every request in which frames are said.
struct WatchedNet {
    inner: TokioNet,
    tokens: Mutex<Vec<String>>,
}

#[async_trait]
impl Net for WatchedNet {
    async fn open(&self, url: &str) -> Result<Box<dyn Frames>, NetError> {
        self.inner.open(url).await
    }

    async fn request(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, NetError> {
        if request.uri().path().ends_with("/frames") {
            let bearer = request.headers()[header::AUTHORIZATION].to_str().unwrap();
            self.tokens.lock().unwrap().push(bearer.strip_prefix("Bearer ").unwrap().to_owned());
        }
        self.inner.request(request).await
    }

    async fn stream(&self, request: http::Request<Bytes>) -> Result<http::Response<Box<dyn Body>>, NetError> {
        self.inner.stream(request).await
    }
}

/// A client that does what a client must, and writes down what it hears.
struct Talker {
    frames: Box<dyn Frames>,
    net: Arc<WatchedNet>,
    hello: Value,
    ready: Value,
    cursors: BTreeMap<String, u64>,
    watched: Vec<String>,
    heard: Vec<Value>,
}

/// What a frame is, in a word.
fn kind(frame: &Value) -> &str {
    let inner = match frame["type"].as_str() {
        Some("event") => &frame["event"]["type"],
        Some("signal") => &frame["signal"]["type"],
        _ => &frame["type"],
    };
    inner.as_str().unwrap()
}

impl Talker {
    async fn says(&mut self, frame: Value) {
        self.frames.send(frame.to_string()).await.unwrap();
    }

    async fn says_hello(&mut self) {
        let mut hello = self.hello.clone();
        if !self.ready.is_null() {
            let resumed = self
                .cursors
                .iter()
                .filter(|(topic, _)| !self.watched.contains(*topic))
                .collect::<BTreeMap<_, _>>();
            hello["replaces"] = self.ready["connection_id"].clone();
            hello["resume"] = json!({
                "epoch": self.ready["epoch"], "as_of": self.ready["as_of"], "cursors": resumed,
            });
        }
        self.says(hello).await;
    }

    async fn watches(&mut self) {
        let topics: Vec<Value> = self
            .watched
            .iter()
            .map(|topic| json!({ "topic": topic, "after": self.cursors[topic] }))
            .collect();
        if !topics.is_empty() {
            self.says(json!({ "type": "watch", "topics": topics })).await;
        }
    }

    /// The next frame; `Err` with the code and the reason at the end.
    async fn next(&mut self) -> Result<Value, (Option<u16>, String)> {
        loop {
            match soon(self.frames.recv()).await {
                Received::WantsHello => {
                    // In the order in which the SDK does it.
                    self.watches().await;
                    self.says_hello().await;
                }
                Received::Text(text) => {
                    let frame: Value = serde_json::from_str(&text).unwrap();
                    if self.takes(&frame) {
                        self.heard.push(frame.clone());
                        return Ok(frame);
                    }
                }
                Received::Closed { code, reason } => return Err((code.map(|code| code.0), reason)),
            }
        }
    }

    /// Whether it is something new. What is watched again in each poll may come twice; a hole is a failed test.
    fn takes(&mut self, frame: &Value) -> bool {
        match frame["type"].as_str() {
            Some("ready") => {
                let heads = frame["heads"].as_object().unwrap();
                if self.ready.is_null() {
                    self.cursors
                        .extend(heads.iter().map(|(topic, head)| (topic.clone(), head.as_u64().unwrap())));
                }
                self.ready = frame.clone();
            }
            Some("event") => {
                let (topic, seq) = (frame["topic"].as_str().unwrap(), frame["seq"].as_u64().unwrap());
                let cursor = self.cursors.entry(topic.to_owned()).or_insert(seq - 1);
                assert!(seq <= *cursor + 1, "{topic}: {seq} after {cursor}");
                if seq <= *cursor {
                    return false;
                }
                *cursor = seq;
            }
            _ => {}
        }
        true
    }

    /// The next frame of this kind; others before it are passed over.
    async fn hears(&mut self, wanted: &str) -> Value {
        loop {
            match self.next().await {
                Ok(frame) if kind(&frame) == wanted => return frame,
                Ok(_) => {}
                Err(end) => panic!("{end:?} before {wanted}: {:?}", self.heard),
            }
        }
    }

    /// Everything until the end.
    async fn until_over(&mut self) -> (Vec<Value>, (Option<u16>, String)) {
        let mut frames = Vec::new();
        loop {
            match self.next().await {
                Ok(frame) => frames.push(frame),
                Err(end) => return (frames, end),
            }
        }
    }

    /// Everything that was heard, but for what differs from one run to the next, and for what a transport does by
    /// itself: a poll is answered with `ready` each time.
    fn story(&self) -> Vec<Value> {
        let mut readies = 0;
        let mut story = Vec::new();
        for frame in &self.heard {
            let mut frame = frame.clone();
            forget(&mut frame);
            readies += usize::from(frame["type"] == "ready");
            if frame["type"] == "ready" && readies > 1 {
                continue;
            }
            // Who starts to type may have to say so more than once before it is heard; presence is told by the minute.
            let is_said_again = kind(&frame) == "typing.start" && story.contains(&frame);
            if !is_said_again && !["typing.stop", "user.presence.changed"].contains(&kind(&frame)) {
                story.push(frame);
            }
        }
        story
    }
}

/// Takes out the times, the names of what is made anew each time, and the pings that a poll does without.
fn forget(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for name in
                ["connection_id", "epoch", "as_of", "created_at", "updated_at", "last_active", "heartbeat_ms"]
            {
                fields.remove(name);
            }
            if fields.contains_key("text") {
                fields.remove("id");
            }
            fields.values_mut().for_each(forget);
        }
        Value::Array(items) => items.iter_mut().for_each(forget),
        _ => {}
    }
}

/// Whether this user is there, as soon as it is said that it is `wanted`.
async fn sees(watcher: &mut Talker, user: &str, wanted: bool) {
    loop {
        let frame = watcher.hears("user.presence.changed").await;
        let users = frame["signal"]["users"].as_array().unwrap();
        if users.iter().any(|entry| entry["user_id"] == user && entry["online"] == wanted) {
            return;
        }
    }
}

/// One conversation; what Alice heard.
async fn conversation(transport: Transport) -> Vec<Value> {
    let place = Place::start(|_| {}).await;
    let general = place.channel("messaging", "general", &["alice"]).await;
    let cup = place.channel("livestream", "cup", &[]).await;
    let mut bob = place.connects(Transport::WebSocket, "bob").await;
    let mut alice = place.connects(transport, "alice").await;
    sees(&mut bob, "alice", true).await;

    for n in 0..5 {
        general.send(format!("number {n}")).await.unwrap();
    }
    for n in 0..5 {
        assert_eq!(alice.hears("message.new").await["event"]["message"]["text"], format!("number {n}"));
    }
    let topic = "channel:livestream:cup".to_owned();
    alice.cursors.insert(topic.clone(), cup.state(0).await.unwrap().head);
    alice.watched.push(topic.clone());
    alice.watches().await;
    for text in ["one nil", "two nil"] {
        cup.send(text).await.unwrap();
        let heard = alice.hears("message.new").await;
        assert_eq!((&heard["topic"], &heard["event"]["message"]["text"]), (&json!(topic), &json!(text)));
    }

    alice.says(json!({ "type": "ping", "id": 7 })).await;
    assert_eq!(alice.hears("pong").await["id"], 7);

    let typing = |what: &str| json!({ "type": "signal", "topic": "channel:messaging:general", "signal": { "type": what } });
    alice.says(typing("typing.start")).await;
    tokio::select! {
        // Over HTTP nothing goes out unless somebody listens.
        end = async { loop { if let Err(end) = alice.next().await { break end } } } => panic!("{end:?}"),
        heard = bob.hears("typing.start") => assert_eq!(heard["signal"]["user"]["id"], "alice"),
    }
    // A signal is for whoever listens now: between two polls nobody does.
    loop {
        bob.says(typing("typing.start")).await;
        let heard = tokio::time::timeout(Duration::from_millis(400), alice.hears("typing.start"));
        if heard.await.is_ok() {
            break;
        }
        bob.says(typing("typing.stop")).await;
    }

    let first = alice.hello["token"].clone();
    let fresh = place.backend.create_token("alice", Some(Duration::from_secs(3_600))).unwrap();
    alice.says(json!({ "type": "token", "token": fresh })).await;
    alice.hello["token"] = json!(fresh);
    for id in 8..10 {
        alice.says(json!({ "type": "ping", "id": id })).await;
        assert_eq!(alice.hears("pong").await["id"], id);
    }

    alice.says(json!({ "type": "bye", "intent": "leave" })).await;
    soon(alice.frames.close(CloseCode::NORMAL, "")).await;
    let left = Instant::now();
    sees(&mut bob, "alice", false).await;
    assert!(left.elapsed() < Duration::from_secs(10), "leaving needs no grace");
    let tokens = alice.net.tokens.lock().unwrap().clone();
    match transport {
        Transport::WebSocket => assert!(tokens.is_empty()),
        Transport::EventStream => {
            assert_eq!((&tokens[0], tokens.last()), (&first.as_str().unwrap().to_owned(), Some(&fresh)));
        }
        // Some of it went with the polls.
        Transport::LongPoll => assert_eq!(tokens.last(), Some(&fresh)),
    }
    soon(place.running.stop()).await;
    alice.story()
}

#[tokio::test]
async fn the_same_conversation_is_heard_over_every_transport_l4_1() {
    let [over_web_socket, over_event_stream, over_long_poll] = EACH.map(conversation);
    let (told, streamed, polled) = tokio::join!(over_web_socket, over_event_stream, over_long_poll);
    assert_eq!(
        told.iter().map(kind).collect::<Vec<_>>(),
        [
            "ready",
            "message.new",
            "message.new",
            "message.new",
            "message.new",
            "message.new",
            "message.new",
            "message.new",
            "pong",
            "typing.start",
            "pong",
            "pong",
        ]
    );
    assert_eq!(streamed, told);
    assert_eq!(polled, told);
}

#[tokio::test]
async fn an_end_says_why_over_every_transport() {
    let place = Place::start(|config| config.limits.connections_per_user = Some(1)).await;
    for transport in EACH {
        let mut first = place.connects(transport, "alice").await;
        let second = place.connects(Transport::WebSocket, "alice").await;
        let (heard, (code, reason)) = first.until_over().await;
        let bye = heard.last().unwrap();
        assert_eq!((kind(bye), &bye["code"], code), ("bye", &json!(4005), Some(4005)), "{transport:?}");
        assert_eq!(bye["reason"], reason);
        assert_eq!(bye["replaced_by"]["sdk"], "tests");
        drop(second);
    }
}

#[tokio::test]
async fn a_refused_hello_says_why_over_every_transport() {
    let place = Place::start(|_| {}).await;
    for transport in EACH {
        let mut alice = place.opens(transport, "alice").await;
        alice.hello["token"] = json!(format!("{}x", place.token("alice")));
        alice.says_hello().await;
        let (heard, (code, _)) = alice.until_over().await;
        assert_eq!(
            (&heard[0]["error"]["code"], code),
            (&json!("token_signature"), Some(4002)),
            "{transport:?}"
        );
    }
}

#[tokio::test]
async fn a_token_that_is_no_good_ends_the_connection_alike_over_every_transport() {
    let place = Place::start(|_| {}).await;
    for transport in EACH {
        let mut alice = place.connects(transport, "alice").await;
        alice.says(json!({ "type": "token", "token": place.token("bob") })).await;
        let (heard, (code, _)) = alice.until_over().await;
        let error = heard.iter().find(|frame| frame["type"] == "error").unwrap();
        assert_eq!((&error["error"]["code"], code), (&json!("wrong_user"), Some(4002)), "{transport:?}");
    }
}

#[tokio::test]
async fn a_token_that_is_taken_back_ends_the_connection_alike_over_every_transport_f1_21_f1_22_f1_25() {
    let place = Place::start(|_| {}).await;
    for transport in EACH {
        for revokes_all in [false, true] {
            let mut alice = place.connects(transport, "alice").await;
            let revoke = async |revocation| match revokes_all {
                true => place.backend.revoke_all_tokens(revocation).await.unwrap(),
                false => place.backend.revoke_tokens("alice", revocation).await.unwrap(),
            };
            let before = revoke(Revocation::Now).await.unwrap();
            let (heard, (code, _)) = alice.until_over().await;
            let error = heard.iter().find(|frame| frame["type"] == "error").unwrap();
            assert_eq!(
                (&error["error"]["code"], code),
                (&json!("token_revoked"), Some(4002)),
                "{transport:?}"
            );
            assert_eq!(revoke(Revocation::Before(before)).await, Some(before));
            assert_eq!(revoke(Revocation::Nothing).await, None);
        }
    }
}

#[tokio::test]
async fn a_backend_exchanges_its_key_and_goes_on_f1_2() {
    let place = Place::start(|_| {}).await;
    let wanted = AddKey {
        kid: Some("next".to_owned()),
        algorithm: KeyAlgorithm::Hs256,
        public_key: None,
        scopes: None,
        expires_at: None,
    };
    let added = place.backend.add_key(&wanted).await.unwrap();
    let url = format!("http://{}", place.running.address);
    let next = ServerClient::new(&url, "dev", &added.secret.unwrap()).unwrap();
    let keys = next.app().await.unwrap().keys;
    assert_eq!(keys.iter().map(|key| key.kid.as_str()).collect::<Vec<_>>(), ["next"]);
    place.backend.remove_key("next").await.unwrap();
    assert_eq!(next.app().await.unwrap_err().code(), "token_signature");
    assert_eq!(place.backend.remove_key("next").await.unwrap_err().code(), "not_found");
    for wrong in ["", "../users", "a/b", ".."] {
        assert_eq!(place.backend.remove_key(wrong).await.unwrap_err().code(), "invalid_input", "{wrong}");
    }
}

#[tokio::test]
async fn a_token_that_ended_is_replaced_in_time_over_every_transport() {
    let place = Place::start(|_| {}).await;
    for transport in EACH {
        let mut alice = place.opens(transport, "alice").await;
        // Within the leeway of five seconds it is still good.
        alice.hello["token"] = json!(place.backend.create_token("alice", Some(Duration::ZERO)).unwrap());
        alice.says_hello().await;
        alice.hears("token_expiring").await;
        alice.says(json!({ "type": "token", "token": place.token("alice") })).await;
        alice.hello["token"] = json!(place.token("alice"));
        alice.says(json!({ "type": "ping", "id": 1 })).await;
        alice.hears("pong").await;
    }
}

#[tokio::test]
async fn a_server_that_stops_says_when_to_come_back() {
    // A poller may not be there just then: its next poll is refused.
    for transport in [Transport::WebSocket, Transport::EventStream] {
        let place = Place::start(|_| {}).await;
        let mut alice = place.connects(transport, "alice").await;
        let ((heard, (code, _)), ()) = tokio::join!(alice.until_over(), place.running.stop());
        assert_eq!(code, Some(1012), "{transport:?}");
        assert!(heard.iter().map(kind).eq(["drain", "bye"]), "{transport:?}: {heard:?}");
    }
}

#[tokio::test]
async fn who_is_dropped_without_a_word_is_gone_for_the_server_too() {
    let place = Place::start(|config| config.limits.poll_lease_ms = 500).await;
    for transport in EACH {
        let alice = place.connects(transport, "alice").await;
        assert_eq!(
            place.backend.usage(UsageQuery::default()).await.unwrap().concurrent_connections.current,
            1,
            "{transport:?}"
        );
        drop(alice);
        soon(async {
            while place.backend.usage(UsageQuery::default()).await.unwrap().concurrent_connections.current
                != 0
            {}
        })
        .await;
    }
}
