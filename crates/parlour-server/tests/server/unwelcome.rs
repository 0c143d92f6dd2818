//! Users who are no longer welcome hear nothing more: not on connections that are up, not on those that are just let
//! in, not in the middle of a resume, over whatever transport.
//!
//! A thousand times the welcome is taken away while events flow and the user's devices come back. Every byte that the
//! server lets out is looked at where it leaves: after the call was answered, none of them is of an event.

use std::collections::BTreeSet;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;

use crate::kit::{sign, soon};
use crate::simulated::{START_MS, World};

const TRIALS: u64 = 1_000;
/// Stands in every message, many times over, so that no part of one leaves unseen.
const MARK: &str = "unwelcome-";

/// Messages within which devices come and the welcome goes.
const MOMENTS: u64 = 7;

/// A way to be no longer welcome.
struct Case {
    /// The call that takes the welcome away from this user, whose token was issued before this time.
    call: fn(&str, &str) -> (String, Value),
    /// The call that gives it back to all others, where they lost it, too.
    undo: Option<fn() -> (String, Value)>,
    error: &'static str,
    close: u16,
}

const REVOKED_FOR_A_USER: Case = Case {
    call: |user, before| {
        (format!("/v1/users/{user}/revoke_tokens"), json!({ "revoke_tokens_issued_before": before }))
    },
    undo: None,
    error: "token_revoked",
    close: 4002,
};

const REVOKED_FOR_ALL: Case = Case {
    call: |_, before| ("/v1/app/revoke_tokens".to_owned(), json!({ "revoke_tokens_issued_before": before })),
    undo: Some(|| ("/v1/app/revoke_tokens".to_owned(), json!({ "revoke_tokens_issued_before": null }))),
    error: "token_revoked",
    close: 4002,
};

const BANNED: Case = Case {
    call: |user, _| (format!("/v1/users/{user}/ban"), json!({ "reason": "spam" })),
    undo: None,
    error: "user_banned",
    close: 4003,
};

const DEACTIVATED: Case = Case {
    call: |user, _| (format!("/v1/users/{user}/deactivate"), json!({})),
    undo: None,
    error: "user_deactivated",
    close: 4003,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whose_tokens_are_revoked_hears_nothing_after_the_answer_f1_21_f1_25() {
    a_thousand_times(&REVOKED_FOR_A_USER).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_all_tokens_are_revoked_nobody_hears_anything_after_the_answer_f1_22_f1_23_f1_25() {
    a_thousand_times(&REVOKED_FOR_ALL).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_banned_from_the_app_hears_nothing_after_the_answer_f2_27() {
    a_thousand_times(&BANNED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_deactivated_hears_nothing_after_the_answer_f2_20() {
    a_thousand_times(&DEACTIVATED).await;
}

async fn a_thousand_times(case: &Case) {
    let world = World::with(|config| {
        config.limits.connections_per_user = Some(20);
        config.limits.hellos_per_second = 1_000_000;
        config.limits.hellos_burst = 1_000_000;
    })
    .await;
    let users = json!({ "users": [{ "id": "alice" }] });
    assert_eq!(world.backend("POST", "/v1/users", users).await.0, 200);
    let mut seen = Seen::default();
    for seed in 0..TRIALS {
        trial(&world, case, seed, &mut seen).await;
    }
    // The trials tried what they are for.
    assert!(seen.events > TRIALS as usize, "{seen:?}");
    assert!(seen.connected > 100 && seen.refused > 100 && seen.cut > 1_000, "{seen:?}");
}

/// What the trials came to, all together.
#[derive(Debug, Default)]
struct Seen {
    events: usize,
    /// Connections that were up, that were refused, and that were cut off after `ready`.
    connected: usize,
    refused: usize,
    cut: usize,
}

/// One choice after the other, the same for the same seed.
struct Choices(u64);

impl Choices {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

async fn trial(world: &World, case: &Case, seed: u64, seen: &mut Seen) {
    let mut choices = Choices(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let user = format!("v{seed}");
    let cid = format!("messaging/t{seed}");
    let issued_s = START_MS / 1_000 - 100_000 + 2 * seed as i64;
    let claims = json!({ "user_id": user, "iat": issued_s });
    let users = json!({ "users": [{ "id": user }] });
    assert_eq!(world.backend("POST", "/v1/users", users).await.0, 200);
    let members = json!({ "members": [user] });
    let as_alice = async |path: &str, body: Value| world.backend_as("alice", path, body).await;
    assert_eq!(as_alice(&format!("/v1/channels/{cid}"), members).await.0, 201);
    let posts = async || {
        let message = json!({ "message": { "text": MARK.repeat(20) } });
        let (status, body) = as_alice(&format!("/v1/channels/{cid}/messages"), message).await;
        assert_eq!(status, 201, "{body}");
    };
    let door = Arc::new(Door::default());
    let first = Device::dials(world, &door, &claims, &user, 0, Value::Null).await;
    soon(door.somebody_is_in()).await;
    let resume = json!({ "epoch": world.epoch().await, "as_of": "2020-01-01T00:00:00.000Z", "cursors": {} });
    for _ in 0..choices.below(20) {
        posts().await;
    }

    // What happens is counted in messages: the trial's clock.
    let posted = watch::Sender::new(0);
    let after = async |messages: u64| drop(posted.subscribe().wait_for(|posted| *posted >= messages).await);
    let devices = 1 + choices.below(4);
    let plans: Vec<(u64, u64, bool)> =
        (0..devices).map(|_| (choices.below(MOMENTS), choices.below(3), choices.below(4) > 0)).collect();
    let coming =
        futures_util::future::join_all(plans.into_iter().map(async |(messages, transport, resumes)| {
            after(messages).await;
            let resume = if resumes { resume.clone() } else { Value::Null };
            Device::dials(world, &door, &claims, &user, transport, resume).await
        }));
    let (revoked_after, more) = (choices.below(MOMENTS), choices.below(4));
    let unwelcome = async {
        after(revoked_after).await;
        let before = parlour_wire::Timestamp::from_unix_ms((issued_s + 1) * 1_000).to_string();
        let (path, body) = (case.call)(&user, &before);
        let (status, body) = world.backend("POST", &path, body).await;
        door.is_shut.store(true, Ordering::SeqCst);
        assert_eq!(status, 200, "{body}");
    };
    let talking = async {
        while !door.is_shut.load(Ordering::SeqCst) || *posted.borrow() < MOMENTS {
            posts().await;
            posted.send_modify(|posted| *posted += 1);
            tokio::task::yield_now().await;
        }
        for _ in 0..=more {
            posts().await;
        }
    };
    let (coming, (), ()) = tokio::join!(coming, unwelcome, talking);
    let (status, body) = world.ask(claims.clone(), "GET", "/v1/me", Value::Null).await;
    assert_eq!((status / 100, &body["error"]["code"]), (4, &json!(case.error)), "seed {seed}");
    // Nor does coming back help.
    let late = Device::dials(world, &door, &claims, &user, choices.below(3), resume.clone()).await;

    for device in [first, late].into_iter().chain(coming) {
        let end = soon(device.until_over()).await;
        let was_in = end.text.contains("\"connection_id\"");
        // A poll may have been answered before.
        let was_answered =
            end.text.contains("{\"frames\":[{\"type\":\"ready\"") && !end.text.contains("\"bye\"");
        assert!(
            was_answered
                || end.code == Some(case.close)
                || end.text.contains(&format!("\"code\":{}", case.close)),
            "seed {seed}: {end:?}"
        );
        seen.events += end.text.matches("message.new").count();
        seen.cut += usize::from(was_in);
        seen.refused += usize::from(!was_in && end.text.contains(case.error));
    }
    seen.connected += door.let_in.load(Ordering::SeqCst);
    let late = std::mem::take(&mut *door.late.lock().unwrap());
    assert_eq!(late, BTreeSet::new(), "seed {seed}: told after the answer");
    if let Some(undo) = case.undo {
        let (path, body) = undo();
        assert_eq!(world.backend("POST", &path, body).await.0, 200);
    }
}

/// Where everything leaves that the user's devices are told.
#[derive(Default)]
struct Door {
    /// The call that took the welcome away has been answered.
    is_shut: AtomicBool,
    /// What was let out of events since.
    late: Mutex<BTreeSet<String>>,
    let_in: AtomicUsize,
    somebody: tokio::sync::Notify,
}

impl Door {
    fn sees(&self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        if text.contains("connection_id") {
            self.let_in.fetch_add(1, Ordering::SeqCst);
            self.somebody.notify_one();
        }
        if self.is_shut.load(Ordering::SeqCst) && text.contains(MARK) {
            self.late.lock().unwrap().insert(text.chars().take(300).collect());
        }
    }

    async fn somebody_is_in(&self) {
        self.somebody.notified().await;
    }
}

/// The server's end of a link.
struct Watched {
    stream: DuplexStream,
    door: Arc<Door>,
}

impl tokio::io::AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = std::task::ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.door.sees(&bytes[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Everything that a device was told until the end.
#[derive(Debug)]
struct End {
    text: String,
    code: Option<u16>,
}

/// A device of the user, which hears whatever it is told.
struct Device(tokio::task::JoinHandle<End>);

impl Device {
    /// Dials by a WebSocket, an event stream or a poll.
    async fn dials(
        world: &World,
        door: &Arc<Door>,
        claims: &Value,
        user: &str,
        transport: u64,
        resume: Value,
    ) -> Self {
        let mut hello = json!({
            "type": "hello", "app_key": "dev", "token": sign(claims),
            "client": { "instance": user, "page": "p", "version": 1 },
        });
        if !resume.is_null() {
            hello["resume"] = resume;
        }
        let (client, server) = tokio::io::duplex(64 * 1024);
        world.serves(Watched { stream: server, door: Arc::clone(door) });
        Self(match transport {
            0 => tokio::spawn(by_websocket(client, hello)),
            1 => tokio::spawn(by_request(client, "text/event-stream", hello)),
            _ => tokio::spawn(by_request(client, "application/json", hello)),
        })
    }

    async fn until_over(self) -> End {
        self.0.await.unwrap()
    }
}

async fn by_websocket(client: DuplexStream, hello: Value) -> End {
    let (mut socket, _) = tokio_tungstenite::client_async("ws://simulated/v1/connect", client).await.unwrap();
    socket.send(Message::text(hello.to_string())).await.unwrap();
    let mut text = String::new();
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(frame))) => text.push_str(&frame),
            Some(Ok(Message::Close(frame))) => {
                return End { text, code: frame.map(|frame| frame.code.into()) };
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return End { text, code: None },
        }
    }
}

async fn by_request(mut client: DuplexStream, accept: &str, hello: Value) -> End {
    let body = hello.to_string();
    let head = format!(
        "POST /v1/connect HTTP/1.1\r\nHost: simulated\r\nConnection: close\r\nAccept: {accept}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    client.write_all(head.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let _ = client.read_to_end(&mut bytes).await;
    End { text: String::from_utf8_lossy(&bytes).into_owned(), code: None }
}
