//! The event stream: what a WebSocket carries, in the body of one answer.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::kit::{
    Answer, EventStream, GENERAL, Person, TestServer, check_error, connect_request, kinds, raw, soon,
};

async fn connections(server: &TestServer) -> Value {
    server.backend().get("/v1/usage").await.ok()["concurrent_connections"]["current"].clone()
}

/// Waits until the app has this many connections.
async fn until_connections(server: &TestServer, count: u64) {
    soon(async { while connections(server).await != count {} }).await;
}

#[tokio::test]
async fn a_stream_begins_at_once_and_no_proxy_is_to_keep_or_change_it() {
    let server = TestServer::start().await;
    let mut stream = server.user("alice").opens_stream(&server.user("alice").hello()).await;
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-store, no-transform"),
        ("x-accel-buffering", "no"),
        ("connection", "close"),
        ("transfer-encoding", "chunked"),
    ] {
        assert_eq!(stream.head.header(name), Some(value), "{:?}", stream.head);
    }
    assert_eq!(stream.block().await.unwrap(), ":\n\n");
    let ready = stream.block().await.unwrap();
    assert!(ready.starts_with("data: {\"type\":\"ready\",") && ready.ends_with("}\n\n"), "{ready}");
    assert_eq!(ready.lines().count(), 2, "a frame is one line");
}

#[tokio::test]
async fn a_stream_says_what_a_websocket_says_and_takes_what_it_takes_l4_16() {
    let server = TestServer::with_users(&["alice", "bob"]).await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    alice.makes(GENERAL, &["bob"]).await;
    alice.makes("livestream:cup", &[]).await;
    let says = |frame: &Value, online: bool| {
        let users = frame["signal"]["users"].as_array().unwrap();
        users.iter().any(|user| user["user_id"] == "bob" && user["online"] == online)
    };
    let mut watcher = alice.connects_with(json!({"presence": "all"})).await;
    let mut socket = bob.connects_with(json!({"presence": "all"})).await;
    let mut stream = bob.streams_with(json!({"presence": "all"})).await;
    for field in ["me", "epoch", "limits", "heads", "channels", "resumed", "heartbeat_ms"] {
        let mut said = [&socket.ready, &stream.ready].map(|ready| ready[field].clone());
        if field == "me" {
            said.iter_mut().for_each(|me| me["last_active"] = Value::Null);
        }
        assert_eq!(said[0], said[1], "{field}");
    }
    while !says(&watcher.hears("user.presence.changed").await, true) {}
    // Events, in order, the very same frames.
    for n in 0..20 {
        alice.sends(GENERAL, &n.to_string()).await;
        assert_eq!(stream.hears("message.new").await, socket.hears("message.new").await);
    }
    // What the client says: several frames in one request, answered in their order.
    let id = stream.ready["connection_id"].as_str().unwrap().to_owned();
    let frames = json!({"frames": [
        {"type": "ping", "id": 1},
        {"type": "confetti", "amount": 3},
        {"type": "watch", "topics": [{"topic": "channel:livestream:cup"}]},
        {"type": "ping", "id": 2},
    ]});
    bob.says_on(&id, frames).await.ok_with(204);
    assert_eq!(stream.hears("pong").await["id"], 1);
    assert_eq!(stream.hears("error").await["error"]["code"], "bad_frame");
    assert_eq!(stream.hears("pong").await["id"], 2);
    alice.sends("livestream:cup", "goal").await;
    assert_eq!(stream.hears("message.new").await["event"]["message"]["text"], "goal");
    // Signals, both ways.
    let typing =
        json!({"type": "signal", "topic": "channel:messaging:general", "signal": {"type": "typing.start"}});
    let mut other = alice.connects().await;
    stream.says(&typing).await.ok_with(204);
    assert_eq!(other.hears("typing.start").await["signal"]["user"]["id"], "bob");
    other.says(&typing).await;
    assert_eq!(stream.hears("typing.start").await["signal"]["user"]["id"], "alice");
    // And it goes as it came: told, and at once.
    socket.leaves().await;
    stream.says(&json!({"type": "bye", "intent": "leave"})).await.ok_with(204);
    let last = stream.until_over().await.pop().unwrap();
    assert_eq!((&last["type"], &last["code"]), (&json!("bye"), &json!(1000)));
    while !says(&watcher.hears("user.presence.changed").await, false) {}
    stream.says(&json!({"type": "pong"})).await.refused("not_found");
}

#[tokio::test]
async fn a_stream_that_breaks_is_noticed_and_resumes_with_exactly_what_it_missed() {
    let server = TestServer::with_users(&["alice", "bob"]).await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    alice.makes(GENERAL, &["bob"]).await;
    let mut stream = bob.streams_with(json!({})).await;
    let mut ready = stream.ready.clone();
    let mut heard = Vec::new();
    let first = ready["heads"]["channel:messaging:general"].as_u64().unwrap() + 1;
    for round in 0..5 {
        for n in 0..7 {
            alice.sends(GENERAL, &format!("{round}.{n}")).await;
        }
        // Some are taken, then the link breaks with the others under way.
        for _ in 0..4 {
            heard.push(stream.hears("message.new").await["seq"].as_u64().unwrap());
        }
        drop(stream);
        until_connections(&server, 0).await;
        let resume = json!({
            "epoch": ready["epoch"], "as_of": ready["as_of"],
            "cursors": {"user:bob": 1, "app:dev": 0, "channel:messaging:general": heard.last()},
        });
        stream = bob.streams_with(json!({"resume": resume, "replaces": ready["connection_id"]})).await;
        ready = stream.ready.clone();
        assert_eq!(ready["resumed"], "resumed");
    }
    while heard.len() < 35 {
        heard.push(stream.hears("message.new").await["seq"].as_u64().unwrap());
    }
    assert_eq!(heard, (first..first + 35).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_is_refused_before_ready_is_told_in_frames_and_bye_is_the_last_l7_8() {
    let server = TestServer::start().await;
    let alice = server.user("alice");
    let wrong = |field: &str, value: Value| {
        let mut hello = alice.hello();
        hello[field] = value;
        hello
    };
    let forged = format!("{}x", alice.token);
    for (hello, code, close) in [
        (wrong("token", json!(forged)), "token_signature", 4002),
        (wrong("token", json!("")), "token_malformed", 4002),
        (wrong("app_key", json!("other")), "unknown_app", 4001),
        (wrong("token", json!(server.backend().token)), "server_token_cannot_connect", 4007),
        (wrong("client", json!({"instance": "i", "version": 2})), "unsupported_version", 4006),
        (wrong("user", json!({"id": "alice", "role": "admin"})), "role_not_allowed", 4000),
    ] {
        let frames = alice.opens_stream(&hello).await.until_over().await;
        assert_eq!(kinds(&frames), ["error", "bye"], "{code}");
        assert_eq!((&frames[0]["error"]["code"], &frames[1]["code"]), (&json!(code), &json!(close)));
        check_error(&frames[0]["error"]);
    }
}

async fn posts(server: &TestServer, accept: &str, body: &[u8]) -> Answer {
    let lines = format!("{accept}Connection: close\r\n");
    Answer::read(&raw(server.address, &connect_request(server.address, &lines, body)).await).unwrap()
}

#[tokio::test]
async fn a_body_that_is_no_hello_is_refused_as_a_request_is() {
    let server = TestServer::start().await;
    let alice = server.user("alice");
    let hello = alice.hello().to_string();
    let stream = "Accept: text/event-stream\r\n";
    for (what, accept, body, code) in [
        ("no Accept", "", hello.clone(), "invalid_input"),
        ("another Accept", "Accept: text/html\r\n", hello.clone(), "invalid_input"),
        ("any Accept", "Accept: */*\r\n", hello.clone(), "invalid_input"),
        ("no JSON", stream, "hello".to_owned(), "invalid_json"),
        ("a key twice", stream, hello.replace("\"token\":", "\"token\":\"\",\"token\":"), "invalid_json"),
        ("a list", stream, "[]".to_owned(), "invalid_input"),
        ("no type", stream, "{}".to_owned(), "bad_frame"),
        ("another frame", stream, r#"{"type":"ping","id":1}"#.to_owned(), "bad_frame"),
        ("no token", stream, hello.replace("token", "tocken"), "bad_frame"),
        ("too much", stream, format!("{hello}{}", " ".repeat(64 * 1024)), "too_large"),
    ] {
        let answer = posts(&server, accept, body.as_bytes()).await;
        assert!(answer.status >= 400, "{what}: {}", answer.status);
        answer.refused(code);
    }
    let request =
        connect_request(server.address, &format!("{stream}Connection: close\r\n"), hello.as_bytes());
    let request = String::from_utf8(request).unwrap();
    let ask = async |from: &str, to: &str| {
        let bytes = raw(server.address, request.replacen(from, to, 1).as_bytes()).await;
        Answer::read(&bytes).unwrap()
    };
    ask("application/json", "text/plain").await.refused("unsupported_media_type");
    ask("/v1/connect", "/v1/connect?token=x").await.refused("invalid_input");
    assert_eq!(connections(&server).await, 0);
}

#[tokio::test]
async fn only_its_own_user_says_frames_on_a_stream_and_nobody_else_learns_of_it_l4_17() {
    let server = TestServer::start().await;
    let (alice, mallory) = (server.user("alice"), server.user("mallory"));
    let mut stream = alice.streams_with(json!({})).await;
    let socket = alice.connects().await;
    let [own, websocket] =
        [&stream.ready, &socket.ready].map(|r| r["connection_id"].as_str().unwrap().to_owned());
    let leave = json!({"frames": [{"type": "bye", "intent": "leave"}]});
    let mut refusals = Vec::new();
    for (person, id) in [(&mallory, own.as_str()), (&mallory, "c-0"), (&alice, "c-0"), (&alice, &websocket)] {
        let mut error = person.says_on(id, leave.clone()).await.refused("not_found");
        error["request_id"] = Value::Null;
        refusals.push(error);
    }
    assert!(refusals.iter().all(|error| *error == refusals[0]), "{refusals:?}");
    server.backend().says_on(&own, leave.clone()).await.refused("server_token_cannot_connect");
    server
        .backend()
        .acting_as("alice")
        .says_on(&own, leave.clone())
        .await
        .refused("server_token_cannot_connect");
    server.anybody().says_on(&own, leave.clone()).await.refused("app_key_missing");
    alice.says_on("c%200", leave).await.refused("invalid_id");
    for body in [json!({}), json!({"frames": 1}), json!({"frames": [], "more": 1})] {
        alice.says_on(&own, body).await.refused("invalid_input");
    }
    let large = json!({"frames": [{"type": "ping", "id": 1, "note": "x".repeat(64 * 1024)}]});
    alice.says_on(&own, large).await.refused("too_large");
    // Nobody has done anything to it.
    stream.says(&json!({"type": "ping", "id": 7})).await.ok_with(204);
    assert_eq!(stream.next().await.unwrap(), json!({"type": "pong", "id": 7}));
}

#[tokio::test]
async fn the_limits_of_a_websocket_hold_on_a_stream() {
    let server = TestServer::with(|config| config.limits.connections_per_user = Some(2)).await;
    let alice = server.user("alice");
    // 60 frames at once, of which hello was one.
    let ping = json!({"type": "ping", "id": 1});
    for (what, frames, said) in [
        ("frames", vec![ping.clone(); 60], json!({"type": "bye", "code": 4102})),
        ("a frame that is none", vec![json!(7)], json!({"type": "bye", "code": 4000})),
        ("a second hello", vec![alice.hello()], json!({"type": "bye", "code": 4000})),
        (
            "a known frame that does not fit",
            vec![json!({"type": "watch"})],
            json!({"type": "bye", "code": 4000}),
        ),
    ] {
        let mut stream = alice.streams_with(json!({})).await;
        let id = stream.ready["connection_id"].as_str().unwrap().to_owned();
        alice.says_on(&id, json!({ "frames": frames })).await.ok_with(204);
        let heard = stream.until_over().await;
        let last = heard.last().unwrap();
        assert_eq!((&last["type"], &last["code"]), (&said["type"], &said["code"]), "{what}: {last}");
        let pongs = heard.iter().filter(|frame| frame["type"] == "pong").count();
        assert_eq!(pongs, if what == "frames" { 59 } else { 0 }, "{what}");
    }
    // The third connection takes the first one's place, which is told whose it was.
    let mut first = alice.streams_with(json!({})).await;
    let _others = (alice.connects().await, alice.streams_with(json!({"device": "tablet"})).await);
    let bye = first.until_over().await.pop().unwrap();
    assert_eq!((&bye["code"], &bye["replaced_by"]["device"]), (&json!(4005), &json!("tablet")));
}

#[tokio::test]
async fn a_stream_whose_client_answers_no_ping_ends_l7_23() {
    let server = TestServer::with(|config| {
        config.limits.heartbeat_ms = 50;
        config.limits.pong_wait_ms = 300;
    })
    .await;
    let mut stream = server.user("alice").streams_with(json!({})).await;
    // Pongs are given for a while; then nothing is said any more.
    for id in 0..2 {
        stream.says(&json!({"type": "ping", "id": id})).await.ok_with(204);
        stream.hears("pong").await;
    }
    stream.answers_pings = false;
    let heard = stream.until_over().await;
    assert_eq!(kinds(&heard).last(), Some(&"bye"), "{heard:?}");
    assert_eq!(heard.last().unwrap()["code"], 4201);
}

#[tokio::test]
async fn a_server_that_stops_says_bye_on_its_streams() {
    let server = TestServer::start().await;
    let mut stream = server.user("alice").streams_with(json!({})).await;
    let listening = async {
        let last = stream.until_over().await.pop().unwrap();
        assert_eq!((&last["type"], &last["code"]), (&json!("bye"), &json!(1012)));
    };
    tokio::join!(server.stop(), listening);
}

/// A stream with a small window, so that what is not read is soon the server's to keep.
async fn deaf(person: &Person) -> EventStream {
    let tcp = TcpSocket::new_v4().unwrap();
    tcp.set_recv_buffer_size(4_096).unwrap();
    person.streams_over(tcp.connect(person.address).await.unwrap(), json!({})).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_stream_is_cut_while_one_that_reads_gets_everything_l6_41() {
    let server = TestServer::with(|config| config.limits.slow_reader_ms = 500).await;
    server.knows(&["alice", "bob", "carol"]).await;
    let (alice, bob, carol) = (server.user("alice"), server.user("bob"), server.user("carol"));
    alice.makes(GENERAL, &["bob", "carol"]).await;
    let _stalled = deaf(&bob).await;
    let mut listener = carol.streams_with(json!({})).await;
    let text = "😀".repeat(5_000);
    let sending = async {
        let mut sent = 0;
        soon(async {
            while sent < 300 || connections(&server).await != 1 {
                alice.sends(GENERAL, &text).await;
                sent += 1;
            }
        })
        .await;
        sent
    };
    let first = listener.ready["heads"]["channel:messaging:general"].as_u64().unwrap() + 1;
    let (done, mut finished) = tokio::sync::oneshot::channel();
    let listening = async {
        let (mut next, mut end) = (first, None);
        while end != Some(next) {
            tokio::select! {
                frame = listener.hears("message.new") => {
                    assert_eq!(frame["seq"], next);
                    next += 1;
                }
                sent = &mut finished, if end.is_none() => end = Some(first + sent.unwrap()),
            }
        }
    };
    let sending = async { done.send(sending.await).unwrap() };
    tokio::join!(sending, listening);
    server.lives().await;
}

#[tokio::test]
async fn streams_that_were_let_in_do_not_count_among_those_who_only_wait() {
    let server = TestServer::with(|config| {
        config.server.pending_per_address_max = 3;
        config.limits.connections_per_user = Some(10);
    })
    .await;
    let alice = server.user("alice");
    let mut streams = Vec::new();
    for _ in 0..6 {
        streams.push(alice.streams_with(json!({})).await);
    }
    assert_eq!(connections(&server).await, 6);
    // Three that say nothing take all the places; the next is turned away without a word.
    let mut silent = Vec::new();
    for _ in 0..3 {
        let mut tcp = TcpStream::connect(server.address).await.unwrap();
        tcp.write_all(b"POST").await.unwrap();
        silent.push(tcp);
    }
    let mut fourth = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(crate::kit::read_to_end(&mut fourth).await, b"");
    drop(silent);
    let answer = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            let bytes =
                raw(server.address, b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
            if !bytes.is_empty() {
                return bytes;
            }
        }
    });
    assert!(answer.await.unwrap().starts_with(b"HTTP/1.1 200"));
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_may_open_a_stream() {
    let server = TestServer::start().await;
    let alice = server.user("alice");
    for path in ["/v1/connect", "/v1/connections/c-1/frames"] {
        let preflight = alice
            .with_header("Origin", "http://localhost:5173")
            .with_header("Access-Control-Request-Method", "POST")
            .with_header("Access-Control-Request-Headers", "authorization,content-type,x-parlour-app")
            .asks("OPTIONS", path, None)
            .await;
        assert_eq!(preflight.status, 204, "{path}");
        assert!(preflight.header("access-control-allow-methods").unwrap().contains("POST"));
        for name in ["authorization", "content-type", "x-parlour-app"] {
            assert!(
                preflight.header("access-control-allow-headers").unwrap().contains(name),
                "{path}: {name}"
            );
        }
    }
    let from = |origin: &str| format!("Accept: text/event-stream\r\nOrigin: {origin}\r\n");
    let hello = alice.hello().to_string();
    posts(&server, &from("https://evil.example"), hello.as_bytes()).await.refused("origin_not_allowed");
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    let request = connect_request(server.address, &from("http://localhost:5173"), hello.as_bytes());
    tcp.write_all(&request).await.unwrap();
    let mut read = Vec::new();
    let head = loop {
        soon(tokio::io::AsyncReadExt::read_buf(&mut tcp, &mut read)).await.unwrap();
        if let Some(answer) = Answer::read(&read) {
            break answer;
        }
    };
    assert_eq!(
        (head.status, head.header("access-control-allow-origin")),
        (200, Some("http://localhost:5173"))
    );
}
