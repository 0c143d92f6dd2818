//! What is sent at the WebSocket: each wrong byte has its close code, which is sent; nobody else notices.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::time::Instant;

use crate::kit::{
    Answer, BINARY, CLOSE, GENERAL, PING, PONG, Person, RawSocket, TEXT, TestServer, alone, at, header,
    masked, memory, raw, soon,
};

/// Sends this on a fresh connection, before and after hello; the close code has to be this.
async fn closes(server: &TestServer, what: &str, bytes: &[u8], expected: &[u16]) {
    for greeted in [false, true] {
        let mut socket = if greeted {
            RawSocket::connects(&server.user("alice")).await
        } else {
            RawSocket::upgrade(server.address).await
        };
        socket.sends(bytes).await;
        let (code, said) = socket.closed().await;
        assert!(
            code.is_some_and(|code| expected.contains(&code)),
            "{what} ({greeted}): {code:?} after {said:?}"
        );
    }
    server.lives().await;
}

async fn all_close(server: &TestServer, cases: Vec<(&str, Vec<u8>, &[u16])>) {
    let cases = cases.iter().map(|(what, bytes, expected)| closes(server, what, bytes, expected));
    join_all(cases).await;
}

async fn roomy() -> TestServer {
    TestServer::with(|config| config.limits.connections_per_user = Some(1_000)).await
}

#[tokio::test]
async fn bytes_that_are_no_frames_close_with_1002_l6_38() {
    let server = roomy().await;
    let reason = |code: u16, reason: &[u8]| [&code.to_be_bytes()[..], reason].concat();
    all_close(
        &server,
        vec![
            ("unmasked", vec![TEXT, 2, b'h', b'i'], &[1002]),
            ("RSV1", masked(TEXT | 0x40, b"{}"), &[1002]),
            ("RSV2", masked(TEXT | 0x20, b"{}"), &[1002]),
            ("RSV3", masked(TEXT | 0x10, b"{}"), &[1002]),
            ("unknown opcode 3", masked(0x83, b"{}"), &[1002]),
            ("unknown opcode 11", masked(0x8b, b"{}"), &[1002]),
            ("a control frame of 126 bytes", masked(PING, &[b'x'; 126]), &[1002]),
            ("a fragmented ping", masked(PING & 0x7f, b"x"), &[1002]),
            ("a fragmented close", masked(CLOSE & 0x7f, b""), &[1002]),
            ("a continuation of nothing", masked(0x80, b"x"), &[1002]),
            ("a text within a text", [masked(0x01, b"{"), masked(TEXT, b"}")].concat(), &[1002]),
            ("close 999", masked(CLOSE, &reason(999, b"")), &[1002]),
            ("close 1004", masked(CLOSE, &reason(1004, b"")), &[1002]),
            ("close 1005", masked(CLOSE, &reason(1005, b"")), &[1002]),
            ("close 1006", masked(CLOSE, &reason(1006, b"")), &[1002]),
            ("close 5000", masked(CLOSE, &reason(5000, b"")), &[1002]),
            ("a close of one byte", masked(CLOSE, &[3]), &[1002]),
            ("a reason of 124 bytes", masked(CLOSE, &reason(1000, &[b'x'; 124])), &[1002]),
        ],
    )
    .await;
}

#[tokio::test]
async fn frames_that_are_too_large_close_with_1009_and_nobody_waits_for_them_l6_38() {
    let server = roomy().await;
    let claims = |length: u64| [header(TEXT, length), vec![1, 2, 3, 4]].concat();
    let half = vec![b' '; 40_000];
    all_close(
        &server,
        vec![
            ("2^63 - 1", claims((1 << 63) - 1), &[1009]),
            ("2^63", claims(1 << 63), &[1009, 1002]),
            ("2^64 - 1", claims(u64::MAX), &[1009, 1002]),
            ("4 GiB", claims(1 << 32), &[1009]),
            ("64 KiB + 1", masked(TEXT, &vec![b' '; 64 * 1024 + 1]), &[1009]),
            ("64 KiB + 1 of binary", masked(BINARY, &vec![b' '; 64 * 1024 + 1]), &[1009]),
            ("fragments that add up", [masked(0x01, &half), masked(0x80, &half)].concat(), &[1009]),
        ],
    )
    .await;
    // The limit itself is no error: 64 KiB of a frame that is acceptable, and answered.
    let mut live = server.user("alice").connects().await;
    let id = format!("{}7", " ".repeat(64 * 1024 - r#"{"type":"ping","id":7}"#.len()));
    let text = format!(r#"{{"type":"ping","id":{id}}}"#);
    assert_eq!(text.len(), 64 * 1024);
    futures_util::SinkExt::send(&mut live.socket, tokio_tungstenite::tungstenite::Message::text(text))
        .await
        .unwrap();
    assert_eq!(live.hears("pong").await["id"], 7);
}

#[tokio::test]
async fn text_that_is_not_utf8_closes_with_1007_wherever_it_is_split_l6_38() {
    let server = roomy().await;
    let smiley = "😀".as_bytes();
    let mut cases: Vec<(&str, Vec<u8>, &[u16])> = vec![
        ("a lone 0xff", masked(TEXT, b"\xff"), &[1007]),
        ("an overlong NUL", masked(TEXT, b"\xc0\x80"), &[1007]),
        ("a surrogate", masked(TEXT, b"\xed\xa0\x80"), &[1007]),
        ("beyond the last character", masked(TEXT, b"\xf4\x90\x80\x80"), &[1007]),
        ("half a character in a whole text", masked(TEXT, &smiley[..2]), &[1007]),
        ("a close reason", masked(CLOSE, b"\x03\xe8\xff"), &[1007, 1002]),
    ];
    for at in 1..4 {
        let broken = [&smiley[..at], b"x"].concat();
        let split = [masked(0x01, &broken[..at]), masked(0x80, &broken[at..])].concat();
        cases.push(("split within a character", split, &[1007]));
    }
    all_close(&server, cases).await;
    // Split where it is right, it is right.
    let mut socket = RawSocket::connects(&server.user("alice")).await;
    let frame = json!({"type": "ping", "id": 1, "note": "😀"}).to_string().into_bytes();
    for at in 1..frame.len() {
        socket.sends(&[masked(0x01, &frame[..at]), masked(0x80, &frame[at..])].concat()).await;
        let (_, answer) = socket.frame().await.unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&answer).unwrap()["type"], "pong", "{at}");
        if at == 40 {
            break;
        }
    }
}

#[tokio::test]
async fn frames_out_of_place_close_with_4000_and_say_why_l6_38_l7_7() {
    let server = roomy().await;
    let alice = server.user("alice");
    let hello = alice.hello().to_string();
    let ping = json!({"type": "ping", "id": 1}).to_string();
    for (what, frames, code) in [
        ("a frame before hello", vec![ping.as_str()], "bad_frame"),
        ("an unknown frame before hello", vec![r#"{"type":"confetti"}"#], "bad_frame"),
        ("a token before hello", vec![r#"{"type":"token","token":"x"}"#], "bad_frame"),
        ("two hellos", vec![&hello, &hello], "bad_frame"),
        ("no type", vec!["{}"], "bad_frame"),
        ("a type of no text", vec![r#"{"type":7}"#], "bad_frame"),
        ("a list", vec!["[]"], "bad_frame"),
        ("nothing", vec![""], "invalid_json"),
        ("no JSON", vec!["hello"], "invalid_json"),
        ("two texts in one", vec!["{}{}"], "invalid_json"),
        (
            "hello without a token",
            vec![r#"{"type":"hello","app_key":"dev","client":{"instance":"i","version":1}}"#],
            "bad_frame",
        ),
        ("hello without a client", vec![r#"{"type":"hello","app_key":"dev","token":"t"}"#], "bad_frame"),
        (
            "a wrong app key",
            vec![r#"{"type":"hello","app_key":"a b","token":"t","client":{"instance":"i","version":1}}"#],
            "bad_frame",
        ),
        ("a known frame that does not fit", vec![&hello, r#"{"type":"watch","topics":7}"#], "bad_frame"),
        ("a negative ping", vec![&hello, r#"{"type":"ping","id":-1}"#], "bad_frame"),
    ] {
        let mut socket = RawSocket::upgrade(server.address).await;
        for frame in frames {
            socket.sends(&masked(TEXT, frame.as_bytes())).await;
        }
        let (closed, said) = socket.closed().await;
        let error = &said.iter().find(|frame| frame["type"] == "error").unwrap_or(&Value::Null)["error"];
        assert_eq!((closed, error["code"].as_str()), (Some(4000), Some(code)), "{what}: {said:?}");
        crate::kit::check_error(error);
    }
    for greeted in [false, true] {
        let mut socket = if greeted {
            RawSocket::connects(&alice).await
        } else {
            RawSocket::upgrade(server.address).await
        };
        socket.sends(&masked(BINARY, hello.as_bytes())).await;
        let (closed, said) = socket.closed().await;
        assert_eq!((closed, &said[0]["error"]["code"]), (Some(4000), &json!("bad_frame")));
    }
    // Only what a newer client may say is forgiven.
    let mut live = alice.connects().await;
    live.says(&json!({"type": "confetti", "amount": 3})).await;
    let error = live.hears("error").await;
    assert_eq!(error["error"]["code"], "bad_frame");
    live.says(&json!({"type": "ping", "id": 1, "new_in_2": true})).await;
    live.hears("pong").await;
}

#[tokio::test]
async fn who_does_not_say_hello_in_time_is_closed_whatever_else_he_sends() {
    let server = TestServer::with(|config| config.limits.hello_wait_ms = 300).await;
    let began = Instant::now();
    let mut silent = RawSocket::upgrade(server.address).await;
    let (code, said) = silent.closed().await;
    assert_eq!((code, &said[0]["error"]["code"]), (Some(4000), &json!("hello_timeout")));
    assert!(began.elapsed() >= Duration::from_millis(300));
    // Half a hello is none, and pings do not buy time.
    let mut half = RawSocket::upgrade(server.address).await;
    let hello = masked(TEXT, server.user("alice").hello().to_string().as_bytes());
    half.sends(&hello[..hello.len() / 2]).await;
    assert_eq!(half.closed().await.0, Some(4000));
    let mut pinging = RawSocket::upgrade(server.address).await;
    for _ in 0..10 {
        pinging.sends(&masked(PING, b"")).await;
    }
    assert_eq!(pinging.closed().await.0, Some(4000));
    server.lives().await;
}

#[tokio::test]
async fn floods_of_any_frame_are_rate_limited_l7_19() {
    let server = roomy().await;
    let alice = server.user("alice");
    for (what, frame) in [
        ("pings", masked(PING, b"")),
        ("large pings", masked(PING, &[b'x'; 125])),
        ("pongs", masked(PONG, b"")),
        ("texts", masked(TEXT, br#"{"type":"ping","id":1}"#)),
        ("unknown frames", masked(TEXT, br#"{"type":"confetti"}"#)),
        (
            "typing",
            masked(
                TEXT,
                br#"{"type":"signal","topic":"channel:messaging:x","signal":{"type":"typing.start"}}"#,
            ),
        ),
    ] {
        let mut socket = RawSocket::connects(&alice).await;
        // 60 at once are allowed (hello was one of them), then 20 per second.
        socket.sends(&frame.repeat(59)).await;
        if what == "texts" {
            for _ in 0..59 {
                assert_eq!(socket.frame().await.unwrap().0, TEXT, "not yet");
            }
        }
        socket.sends(&frame.repeat(500)).await;
        let (code, said) = socket.closed().await;
        assert_eq!(code, Some(4102), "{what}: {:?}", said.last());
        assert_eq!(said.last().unwrap()["code"], 4102, "{what}");
    }
    server.lives().await;
}

#[tokio::test]
async fn a_close_that_is_not_answered_ends_within_five_seconds() {
    let server = roomy().await;
    let mut socket = RawSocket::connects(&server.user("alice")).await;
    let began = Instant::now();
    socket.sends(&masked(BINARY, b"x")).await;
    let mut last = None;
    while let Some((first, _)) = socket.frame().await {
        last = Some(first);
    }
    assert_eq!(last, Some(CLOSE));
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    // A client's own close is answered with its code.
    let mut socket = RawSocket::connects(&server.user("alice")).await;
    socket.sends(&masked(CLOSE, &4900_u16.to_be_bytes())).await;
    assert_eq!(socket.closed().await.0, Some(4900));
}

#[tokio::test]
async fn a_request_that_is_no_upgrade_is_told_which_header_is_missing() {
    let server = TestServer::start().await;
    let all = [
        ("Connection", "keep-alive, Upgrade"),
        ("Upgrade", "WebSocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let request = |method: &str, path: &str, headers: &[(&str, &str)]| {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n")
    };
    let ask = async |method: &str, path: &str, headers: &[(&str, &str)]| {
        let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
        stream.write_all(request(method, path, headers).as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        Answer::read(&crate::kit::read_to_end(&mut stream).await).unwrap()
    };
    assert_eq!(ask("GET", "/v1/connect", &all).await.status, 101);
    for missing in ["Connection", "Upgrade", "Sec-WebSocket-Version", "Sec-WebSocket-Key"] {
        let headers: Vec<_> = all.iter().copied().filter(|(name, _)| *name != missing).collect();
        let answer = ask("GET", "/v1/connect", &headers).await;
        assert_eq!(answer.header("sec-websocket-version"), Some("13"), "{answer:?}");
        let error = answer.refused("upgrade_required");
        let named = error["message"].as_str().unwrap().to_lowercase();
        assert!(named.contains(&missing.to_lowercase()), "{missing}: {error}");
    }
    for version in ["12", "0", "x", "113", "-13"] {
        let headers: Vec<_> = all
            .iter()
            .map(|(name, value)| (*name, if name.ends_with("Version") { version } else { *value }))
            .collect();
        let answer = ask("GET", "/v1/connect", &headers).await;
        assert_eq!(answer.header("sec-websocket-version"), Some("13"), "{version}");
        answer.refused("upgrade_required");
    }
    ask("POST", "/v1/connect", &all).await.refused("invalid_input");
    ask("PATCH", "/v1/connect", &all).await.refused("method_not_allowed");
    for query in ["?token=x", "?access_token=x", "?a=b&token=x", "?Token=x", "?tok%65n=x"] {
        let error = ask("GET", &format!("/v1/connect{query}"), &all).await.refused("invalid_input");
        assert!(error["message"].as_str().unwrap().contains("URL"), "{error}");
    }
    // A long list of protocols costs what a short one does.
    let protocols = "a,".repeat(7_000);
    let mut headers = all.to_vec();
    headers.push(("Sec-WebSocket-Protocol", &protocols));
    headers.push(("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"));
    let began = Instant::now();
    let answer = ask("GET", "/v1/connect", &headers).await;
    assert_eq!((answer.status, answer.header("sec-websocket-extensions")), (101, None));
    assert!(began.elapsed() < Duration::from_secs(5));
    let evil = [&all[..], &[("Origin", "https://evil.example")]].concat();
    ask("GET", "/v1/connect", &evil).await.refused("origin_not_allowed");
    server.lives().await;
}

#[tokio::test]
async fn cursors_that_cannot_be_are_refused_or_reset_and_their_list_is_capped() {
    let server = TestServer::with_users(&["alice", "bob"]).await;
    let alice = server.user("alice");
    alice.makes(GENERAL, &["bob"]).await;
    let live = alice.connects().await;
    let (epoch, as_of) = (live.ready["epoch"].clone(), live.ready["as_of"].clone());
    let hello = |cursors: Value| {
        alice.hello_with(json!({"resume": {"epoch": epoch, "as_of": as_of, "cursors": cursors}}))
    };
    let (error, code) = alice.is_refused(&hello(json!({"user:alice": -1}))).await;
    assert_eq!((error["code"].as_str(), code), (Some("bad_frame"), 4000));
    for huge in ["9223372036854775807", "9223372036854775808", "18446744073709551616", "1e300"] {
        let text = hello(json!({"user:alice": 77})).to_string().replace("77", huge);
        let mut socket = RawSocket::upgrade(server.address).await;
        socket.sends(&masked(TEXT, text.as_bytes())).await;
        let (code, said) = socket.closed().await;
        assert_eq!(
            (code, &said[0]["error"]["code"]),
            (Some(4000), &json!("invalid_json")),
            "{huge}: {said:?}"
        );
    }
    let mut live = alice
        .dials(&hello(json!({"user:alice": 1_u64 << 53, "channel:messaging:general": 1_u64 << 53})))
        .await;
    live.hears("ready").await;
    for _ in 0..2 {
        assert_eq!(live.hears("reset").await["reason"], "ahead_of_head");
    }
    // As many as fit into a frame: only the first 500 are looked at.
    let many: serde_json::Map<String, Value> =
        (0..1_500).map(|n| (format!("channel:messaging:c{n:04}"), json!(1))).collect();
    let mut live = alice.dials(&hello(many.into())).await;
    live.hears("ready").await;
    let resets = live.settles().await.iter().filter(|frame| frame["type"] == "reset").count();
    assert_eq!(resets, 500);
    let many: serde_json::Map<String, Value> =
        (0..100_000).map(|n| (format!("channel:messaging:c{n}"), json!(1))).collect();
    let (_, code) = alice.dials(&hello(many.into())).await.until_closed().await;
    assert!(matches!(code, Some(1009) | None), "{code:?}");
    server.lives().await;
    // A connection watches at most 300 channels.
    let mut live = server.user("bob").connects().await;
    let topics: Vec<Value> = (0..301).map(|n| json!({"topic": format!("channel:livestream:c{n}")})).collect();
    live.says(&json!({"type": "watch", "topics": topics})).await;
    let heard = live.settles().await;
    assert_eq!(heard.iter().filter(|frame| frame["error"]["code"] == "not_found").count(), 300);
    assert_eq!(heard.iter().filter(|frame| frame["error"]["code"] == "invalid_input").count(), 1);
}

/// Connects with a small window, so that what is not read is soon the server's to keep.
async fn deaf(person: &Person) -> RawSocket {
    let mut socket = RawSocket::connects(person).await;
    let tcp = TcpSocket::new_v4().unwrap();
    tcp.set_recv_buffer_size(4_096).unwrap();
    let mut stream = tcp.connect(person.address).await.unwrap();
    let request = format!(
        "GET /v1/connect HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        person.address
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut byte = [0];
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        soon(stream.read_exact(&mut byte)).await.unwrap();
        head.push(byte[0]);
    }
    stream.write_all(&masked(TEXT, person.hello().to_string().as_bytes())).await.unwrap();
    socket.stream = stream;
    socket
}

/// The cut comes after half a second without progress and two of waiting for an answer to the close.
const LONG_ENOUGH: std::time::Duration = std::time::Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_reader_is_cut_in_time_while_all_others_get_everything_l6_41() {
    let server = TestServer::with(|config| config.limits.slow_reader_ms = 500).await;
    server.knows(&["alice", "bob", "carol"]).await;
    let (alice, bob, carol) = (server.user("alice"), server.user("bob"), server.user("carol"));
    alice.makes(GENERAL, &["bob", "carol"]).await;
    let mut stalled = deaf(&bob).await;
    let mut listener = carol.connects().await;
    // More than any buffer of the system between them.
    let text = "😀".repeat(5_000);
    let begun = std::time::Instant::now();
    let sending = async {
        let mut sent = 0;
        loop {
            alice.sends(GENERAL, &text).await;
            sent += 1;
            let usage = server.backend().get("/v1/usage").await.ok();
            // Bob has one connection that was replaced by hand, and the stalled one.
            if sent >= 300 && usage["concurrent_connections"]["current"] == 1 {
                return sent;
            }
            // Time decides, not the number: a fast machine sends thousands while the close is waited for.
            assert!(begun.elapsed() < LONG_ENOUGH, "the stalled reader is still there: {usage}");
        }
    };
    let (done, finished) = tokio::sync::oneshot::channel();
    let listening = async {
        let mut heard = 0_u64;
        let mut finished = finished;
        let mut expected = None;
        while expected != Some(heard) {
            tokio::select! {
                frame = listener.hears("message.new") => {
                    assert!(frame["seq"].as_u64().is_some());
                    heard += 1;
                }
                sent = &mut finished, if expected.is_none() => expected = Some(sent.unwrap()),
            }
        }
        heard
    };
    let sending = async {
        let sent: u64 = sending.await;
        done.send(sent).unwrap();
    };
    let ((), heard) = tokio::join!(sending, listening);
    assert!(heard >= 300);
    // What was in the system's buffers is still there to read, and then the end.
    crate::kit::read_to_end(&mut stalled.stream).await;
    // It lost nothing that it cannot have again.
    let page = bob.get(&at("messaging:general/messages?limit=1")).await.ok();
    assert_eq!(page["messages"].as_array().unwrap().len(), 1);
    server.lives().await;
}

#[test]
fn floods_without_end_cost_no_memory_and_nobody_else_waits() {
    let printed = alone("hostile_websocket::flooding_alone");
    println!("{printed}");
}

/// Bytes that a flood may cost in all: a few connections' caps and the allocator's slack.
const FLOOD_BYTES_MAX: u64 = 48 << 20;

#[ignore = "runs in a process of its own, started by the test above"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flooding_alone() {
    let server = TestServer::with(|config| {
        config.limits.connections_per_user = Some(1_000);
        config.limits.slow_reader_ms = 300;
        // The rate limit is switched off: what is tried here is what holds without it.
        config.limits.frames_per_second = 1_000_000;
        config.limits.frames_burst = 100_000_000;
    })
    .await;
    server.knows(&["alice", "bob"]).await;
    let mut listener = server.user("bob").connects().await;
    server.user("alice").makes(GENERAL, &["bob"]).await;
    let before = memory();
    for (what, frame) in [
        ("pings that nobody reads", masked(PING, &[b'x'; 125])),
        ("texts whose answers nobody reads", masked(TEXT, br#"{"type":"ping","id":123456}"#)),
        ("unknown frames", masked(TEXT, format!(r#"{{"type":"{}"}}"#, "x".repeat(30_000)).as_bytes())),
    ] {
        let mut socket = deaf(&server.user("alice")).await;
        let piece = frame.repeat(1 + 60_000 / frame.len());
        let flooding = async {
            // Until 40 MB are taken, or the server will take no more.
            for _ in 0..650 {
                match tokio::time::timeout(Duration::from_secs(3), socket.stream.write_all(&piece)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) | Err(_) => break,
                }
            }
        };
        let others = async {
            for _ in 0..10 {
                server.user("alice").sends(GENERAL, "on it goes").await;
                listener.hears("message.new").await;
                server.lives().await;
            }
        };
        tokio::join!(flooding, others);
        let cost = memory().saturating_sub(before);
        println!("{what}: {} KiB", cost / 1024);
        assert!(cost < FLOOD_BYTES_MAX, "{what}: {cost} bytes");
    }
    // Fragments without end, empty and not, and lengths that are only claimed.
    let mut sockets = Vec::new();
    for _ in 0..200 {
        let mut socket = RawSocket::upgrade(server.address).await;
        socket.sends(&[header(TEXT, 65_536), vec![1, 2, 3, 4]].concat()).await;
        sockets.push(socket);
    }
    let mut socket = RawSocket::connects(&server.user("alice")).await;
    socket.sends(&masked(0x01, b"")).await;
    let empty = masked(0x00, b"").repeat(10_000);
    for _ in 0..100 {
        if tokio::time::timeout(Duration::from_secs(3), socket.stream.write_all(&empty)).await.is_err() {
            break;
        }
        server.lives().await;
    }
    let cost = memory().saturating_sub(before);
    println!("fragments: {} KiB", cost / 1024);
    assert!(cost < FLOOD_BYTES_MAX, "fragments: {cost} bytes");
    listener.settles().await;
    let answer = raw(server.address, b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with(b"HTTP/1.1 200"));
}
