//! What is sent at HTTP, from TCP up: everything ends in a typed answer or a closed connection, and the server
//! answers the next one.

use std::time::Duration;

use parlour_wire::ErrorCode;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::kit::{Answer, GENERAL, TestServer, WAIT, at, raw, read_to_end, soon};

const IMPATIENT_MS: u64 = 300;

async fn impatient() -> TestServer {
    TestServer::with(|config| {
        config.limits.request_wait_ms = IMPATIENT_MS;
        config.limits.slow_reader_ms = 100;
    })
    .await
}

/// Writes this, then a byte at a time, until the server closes; how long it took, and what it said.
async fn trickle(server: &TestServer, start: &[u8], byte: u8) -> (Duration, Vec<u8>) {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let began = Instant::now();
    stream.write_all(start).await.unwrap();
    let (mut read, mut write) = stream.split();
    let mut answer = Vec::new();
    // A peer that is slow on purpose: the pace is the attack.
    let mut pace = tokio::time::interval(Duration::from_millis(50));
    soon(async {
        let mut piece = [0; 1_024];
        loop {
            tokio::select! {
                count = read.read(&mut piece) => match count {
                    Ok(count @ 1..) => answer.extend_from_slice(&piece[..count]),
                    Ok(0) | Err(_) => break,
                },
                _ = pace.tick() => drop(write.write_all(&[byte]).await),
            }
        }
    })
    .await;
    (began.elapsed(), answer)
}

#[tokio::test]
async fn who_connects_and_says_nothing_or_too_slowly_is_cut() {
    let server = impatient().await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let began = Instant::now();
    assert_eq!(read_to_end(&mut silent).await, b"");
    assert!(began.elapsed() >= Duration::from_millis(IMPATIENT_MS));

    for start in [&b""[..], b"GET /livez HT", b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: "] {
        let (took, answer) = trickle(&server, start, b'a').await;
        assert!(took >= Duration::from_millis(IMPATIENT_MS) && took < WAIT, "{took:?}");
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{answer:?}");
    }
    // Also the second request of a connection.
    let (_, answer) = trickle(&server, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /", b'a').await;
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{answer:?}");
    server.lives().await;
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_given_up() {
    let server = impatient().await;
    server.knows(&["alice"]).await;
    let token = server.user("alice").token;
    for length in ["Content-Length: 1000", "Transfer-Encoding: chunked"] {
        let head = format!(
            "POST /v1/channels HTTP/1.1\r\nHost: x\r\nX-Parlour-App: dev\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\n{length}\r\n\r\n{}",
            if length.starts_with('T') { "3e8\r\n" } else { "" }
        );
        let (took, answer) = trickle(&server, head.as_bytes(), b' ').await;
        assert!(took >= Duration::from_millis(IMPATIENT_MS), "{took:?}");
        Answer::read(&answer).unwrap().refused("request_timeout");
    }
    server.lives().await;
}

#[tokio::test]
async fn who_never_reads_his_answers_is_cut() {
    let server = impatient().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let request = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n";
    // Until the server is gone: while its answers wait it takes no more, and what it cut refuses what is sent.
    let asking = async {
        let mut pace = tokio::time::interval(Duration::from_millis(1));
        while stream.write_all(request).await.is_ok() {
            pace.tick().await;
        }
    };
    let others = async {
        for _ in 0..20 {
            server.lives().await;
        }
    };
    soon(async { tokio::join!(asking, others) }).await;
    server.lives().await;
}

/// Everything that comes back until the connection is closed.
async fn answers(server: &TestServer, request: &[u8]) -> Vec<Answer> {
    let bytes = raw(server.address, request).await;
    let text = String::from_utf8_lossy(&bytes);
    let each = text.split("HTTP/1.1 ").skip(1);
    each.map(|answer| Answer::read(format!("HTTP/1.1 {answer}").as_bytes()).unwrap()).collect()
}

/// The statuses of everything that comes back until the connection is closed.
async fn statuses(server: &TestServer, request: &[u8]) -> Vec<u16> {
    answers(server, request).await.iter().map(|answer| answer.status).collect()
}

/// A request that ends its connection, to be put behind another.
const NEXT: &str = "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn heads_that_two_readers_could_read_differently_are_refused_and_the_connection_closed() {
    let server = impatient().await;
    let with = |header: &str| format!("POST /v1/channels HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n");
    let many = (0..101).map(|n| format!("X-{n}: y\r\n")).collect::<String>();
    for (what, request, allowed) in [
        ("two lengths", with("Content-Length: 1\r\nContent-Length: 2"), &[400][..]),
        ("a list of lengths", with("Content-Length: 1, 2"), &[400]),
        ("a negative length", with("Content-Length: -1"), &[400]),
        ("a length with a sign", with("Content-Length: +1"), &[400]),
        ("a length that overflows", with("Content-Length: 99999999999999999999"), &[400, 413]),
        ("an unknown encoding", with("Transfer-Encoding: xchunked"), &[400]),
        ("chunked not last", with("Transfer-Encoding: chunked, identity"), &[400]),
        ("NUL in a value", with("X-A: a\0b"), &[400]),
        ("CR in a value", with("X-A: a\rb"), &[400]),
        ("a folded line", with("X-A: a\r\n b"), &[400]),
        ("a space before the colon", with("X-A : a"), &[400]),
        ("a name of no letters", with("X(A: a"), &[400]),
        ("more than 16 KiB", with(&format!("X-A: {}", "a".repeat(17_000))), &[431]),
        ("more than 100 headers", with(&many), &[431]),
        (
            "a URL of 8 KiB and more",
            format!("GET /{} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "a".repeat(8_192)),
            &[414],
        ),
        ("a URL of 20 KiB", format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(20_000)), &[414, 431]),
        ("TLS", "\u{16}\u{3}\u{1}\u{0}\u{5}hello\r\n\r\n".to_owned(), &[400]),
        ("no HTTP at all", "hello\r\n\r\n".to_owned(), &[400]),
        ("HTTP/3.0", "GET /livez HTTP/3.0\r\nHost: x\r\n\r\n".to_owned(), &[400, 505]),
        ("a space in the path", "GET /li vez HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), &[400]),
    ] {
        // What follows on the connection is not looked at any more.
        // Also as the second of a connection.
        let earlier = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
        for (earlier, before) in [("", 0), (earlier, 1)] {
            let mut answered = answers(&server, format!("{earlier}{request}{NEXT}").as_bytes()).await;
            assert_eq!(answered.len(), before + 1, "{what}: {answered:?}");
            let refusal = answered.remove(before);
            assert!(allowed.contains(&refusal.status), "{what}: {refusal:?}");
            assert_eq!(refusal.header("connection"), Some("close"), "{what}");
            let code = match refusal.status {
                431 => "headers_too_large",
                414 => "uri_too_long",
                _ => "invalid_input",
            };
            refusal.refused(code);
            assert!(answered.iter().all(|answer| answer.status == 200), "{what}: {answered:?}");
        }
        server.lives().await;
    }
    // A client that takes it for granted that this is HTTP/2 is closed without a word that it could not read.
    assert_eq!(raw(server.address, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await, b"");
}

#[tokio::test]
async fn a_length_beside_chunks_is_refused_and_what_it_may_hide_is_not_looked_at() {
    let server = impatient().await;
    // By its length the body would hide the second request; by its chunks it ends before it.
    let length = 5 + NEXT.len();
    for headers in [
        format!("Content-Length: {length}\r\nTransfer-Encoding: chunked"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {length}"),
        format!("transfer-encoding:chunked\r\nX-A: b\r\ncontent-length:{length}"),
        "Content-Length: 0\r\nTransfer-Encoding: chunked".to_owned(),
    ] {
        let request = format!("POST /livez HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n0\r\n\r\n{NEXT}");
        let mut answered = answers(&server, request.as_bytes()).await;
        assert_eq!(answered.len(), 1, "{headers}: {answered:?}");
        let refusal = answered.remove(0);
        assert_eq!((refusal.status, refusal.header("connection")), (400, Some("close")), "{headers}");
        refusal.refused("invalid_input");
        // Those who asked before on the same connection have their answers.
        let body = "POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody";
        let behind = format!("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n{body}{request}");
        assert_eq!(statuses(&server, behind.as_bytes()).await, [200, 405, 400], "{headers}");
    }
    server.lives().await;
}

#[tokio::test]
async fn the_answer_to_chunks_ends_the_connection() {
    let server = TestServer::with_users(&["alice"]).await;
    let head = format!(
        "POST /v1/channels HTTP/1.1\r\nHost: x\r\nX-Parlour-App: dev\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
        server.user("alice").token
    );
    let answered = answers(&server, format!("{head}2\r\n{{}}\r\n0\r\n\r\n{NEXT}").as_bytes()).await;
    assert_eq!(answered.len(), 1, "{answered:?}");
    assert_eq!((answered[0].status, answered[0].header("connection")), (200, Some("close")));
    // And so does that to a wish for another protocol which is not granted.
    let upgrade = "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    assert_eq!(statuses(&server, format!("{upgrade}{NEXT}").as_bytes()).await, [200]);
    // A length does not.
    let length = "POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody";
    assert_eq!(statuses(&server, format!("{length}{NEXT}").as_bytes()).await, [405, 200]);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_before_it_is_read() {
    let server = TestServer::with(|config| config.limits.body_bytes_max = 10_000).await;
    server.knows(&["alice"]).await;
    let alice = server.user("alice");
    let head = |more: &str| {
        format!(
            "POST /v1/channels HTTP/1.1\r\nHost: x\r\nX-Parlour-App: dev\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\n{more}\r\n\r\n",
            alice.token
        )
    };
    let announced = raw(server.address, head("Content-Length: 10001\r\nConnection: close").as_bytes()).await;
    Answer::read(&announced).unwrap().refused("too_large");
    let announced =
        raw(server.address, head("Content-Length: 9007199254740993\r\nConnection: close").as_bytes()).await;
    Answer::read(&announced).unwrap().refused("too_large");

    let mut chunked = head("Transfer-Encoding: chunked\r\nConnection: close").into_bytes();
    for _ in 0..11 {
        chunked.extend_from_slice(b"3e8\r\n");
        chunked.extend_from_slice(&[b' '; 1_000]);
        chunked.extend_from_slice(b"\r\n");
    }
    Answer::read(&raw(server.address, &chunked).await).unwrap().refused("too_large");

    let exactly = format!("{}{{}}", " ".repeat(9_998));
    alice.asks("POST", "/v1/channels", Some(exactly.as_bytes())).await.ok();
    let over = format!("{exactly} ");
    alice.asks("POST", "/v1/channels", Some(over.as_bytes())).await.refused("too_large");

    // A length that promises more than comes.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(head("Content-Length: 10").as_bytes()).await.unwrap();
    stream.write_all(b"{}").await.unwrap();
    stream.shutdown().await.unwrap();
    let answer = read_to_end(&mut stream).await;
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&answer));
    // And one that promises less: the rest is no request.
    let answered =
        statuses(&server, format!("{}{{}}xyz\r\n\r\n", head("Content-Length: 2")).as_bytes()).await;
    assert_eq!(answered, [200, 400]);
    server.lives().await;
}

#[tokio::test]
async fn a_body_is_json_in_utf8_and_says_so() {
    let server = TestServer::with_users(&["alice"]).await;
    let alice = server.user("alice");
    for good in [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json;charset=\"UTF-8\"",
    ] {
        alice.with_header("Content-Type", good).post("/v1/channels", json!({})).await.ok();
    }
    for bad in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=iso-8859-1",
        "application/json; charset=utf-16",
        "application/jsonp",
        "json",
        "*/*",
        "application/json, text/plain",
        "",
    ] {
        let answer = alice.with_header("Content-Type", bad).post("/v1/channels", json!({})).await;
        answer.refused("unsupported_media_type");
    }
    let bare = format!(
        "POST /v1/channels HTTP/1.1\r\nHost: x\r\nX-Parlour-App: dev\r\nAuthorization: Bearer {}\r\n\
         Content-Length: 2\r\nConnection: close\r\n\r\n{{}}",
        alice.token
    );
    Answer::read(&raw(server.address, bare.as_bytes()).await).unwrap().refused("unsupported_media_type");
    for body in [&b"\xef\xbb\xbf{}"[..], b"\xff\xfe{\0}\0", b"{\"a\":\"\xff\"}", b"{\"a\":\"\xc0\x80\"}", b""]
    {
        alice.asks("POST", "/v1/channels", Some(body)).await.refused("invalid_json");
    }
    for body in ["[]", "null", "1", "\"x\""] {
        alice.asks("POST", "/v1/channels", Some(body.as_bytes())).await.refused("invalid_input");
    }
}

#[tokio::test]
async fn odd_methods_are_refused_on_every_path() {
    let server = TestServer::start().await;
    let alice = server.user("alice");
    for path in
        ["/v1/me", "/v1/users", "/v1/channels", "/livez", "/openapi.json", "/v1/connect", &at(GENERAL)]
    {
        for method in ["TRACE", "PUT", "PROPFIND", "get", "X-ODD"] {
            let answer = alice.asks(method, path, None).await;
            assert_eq!(answer.status, 405, "{method} {path}: {answer:?}");
            assert!(!answer.text().contains("Bearer"), "nothing is echoed");
            answer.refused("method_not_allowed");
        }
    }
    let head = alice.asks("HEAD", "/livez", None).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    for path in
        ["/v1/../livez", "//livez", "/v1/me/", "/v1/channels/messaging/../../me", "/%2e%2e/etc/passwd"]
    {
        let answer = alice.get(path).await;
        assert!([400, 404, 405].contains(&answer.status), "{path}: {answer:?}");
        let code = answer.json()["error"]["code"].as_str().unwrap().to_owned();
        assert!(ErrorCode::parse(&code).is_some());
        answer.refused(&code);
    }
}

#[tokio::test]
async fn those_who_only_wait_have_a_limit_per_address_and_others_go_on() {
    let server = TestServer::with(|config| config.server.pending_per_address_max = 4).await;
    let mut lives = Vec::new();
    for n in 0..8 {
        // Who has said hello does not wait any more.
        lives.push(server.user(&format!("u{n}")).connects().await);
    }
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(TcpStream::connect(server.address).await.unwrap());
    }
    // One that has been upgraded and says nothing is one of them.
    let socket = crate::kit::RawSocket::upgrade(server.address).await;
    let mut refused = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(read_to_end(&mut refused).await, b"");
    for live in &mut lives {
        live.settles().await;
    }
    drop((waiting, socket));
    soon(async {
        let mut pace = tokio::time::interval(Duration::from_millis(10));
        loop {
            pace.tick().await;
            let answer =
                raw(server.address, b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
            if answer.starts_with(b"HTTP/1.1 200") {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn connections_have_a_limit_in_all_and_live_ones_count_until_they_end() {
    let server = TestServer::with(|config| config.server.connections_max = 3).await;
    let alive = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let mut lives = Vec::new();
    for n in 0..3 {
        lives.push(server.user(&format!("u{n}")).connects().await);
    }
    let mut refused = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(read_to_end(&mut refused).await, b"");
    for live in &mut lives {
        live.settles().await;
    }
    drop(lives.pop());
    soon(async {
        let mut pace = tokio::time::interval(Duration::from_millis(10));
        while !raw(server.address, alive).await.starts_with(b"HTTP/1.1 200") {
            pace.tick().await;
        }
    })
    .await;
}
