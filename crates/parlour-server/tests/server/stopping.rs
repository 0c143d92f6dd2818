//! A server that stops: everybody is told when to come back, and nothing is cut off in the middle.

use std::time::Duration;

use parlour_server::Config;
use parlour_server::config::Mode;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::kit::{GENERAL, RawSocket, TestServer, connect_request, kinds, raw, soon};

fn production(config: &mut Config) {
    config.app.mode = Some(Mode::Production);
    config.server.restart_ms = 2_000;
}

/// When the last words of a connection tell it to come back.
fn turn(frames: &[Value]) -> u64 {
    let [drain, bye] = frames else { panic!("{frames:?}") };
    assert_eq!((&drain["type"], &bye["type"], &bye["code"]), (&json!("drain"), &json!("bye"), &json!(1012)));
    assert_eq!(drain["retry_after_ms"], bye["retry_after_ms"]);
    bye["retry_after_ms"].as_u64().unwrap()
}

#[tokio::test]
async fn everybody_is_told_a_turn_of_his_own_after_the_restart_l6_42() {
    let server = TestServer::with(production).await;
    server.knows(&["u0", "u9"]).await;
    server.user("u0").makes(GENERAL, &["u9"]).await;
    let users: Vec<_> = (0..10).map(|n| server.user(&format!("u{n}"))).collect();
    let mut lives = Vec::new();
    for user in &users[..8] {
        lives.push(user.connects().await);
    }
    let mut stream = users[8].streams_with(json!({})).await;
    let polled = users[9].polls(&users[9].hello()).await;
    let types =
        json!({"type": "signal", "topic": "channel:messaging:general", "signal": {"type": "typing.start"}});
    let replaces = &polled[0]["connection_id"];
    let hello = users[9].hello_with(json!({"replaces": replaces, "frames": [types]}));
    let poll = users[9].polls(&hello);
    tokio::pin!(poll);
    tokio::select! {
        // Then it is under way.
        _ = lives[0].hears("typing.start") => {}
        frames = &mut poll => panic!("answered with {frames:?}"),
    }
    let began = Instant::now();
    let listening = async {
        let mut turns = Vec::new();
        for live in &mut lives {
            let (frames, code) = live.until_closed().await;
            assert_eq!(code, Some(1012));
            turns.push(turn(&frames));
        }
        turns.push(turn(&stream.until_over().await));
        turns
    };
    let ((), mut turns, poll) = tokio::join!(server.stop(), listening, poll);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    turns.push(turn(&poll[1..]));
    turns.sort_unstable();
    assert_eq!(turns, (0..10).map(|n| 2_000 + n * 3_000).collect::<Vec<_>>(), "evenly over thirty seconds");
}

#[tokio::test]
async fn who_comes_at_a_turn_that_the_restart_has_missed_is_given_another_l7_18() {
    for (restart_ms, wanted) in [(0, 4101), (60_000, 1012)] {
        let server = TestServer::with(|config| {
            production(config);
            (config.server.restart_ms, config.server.drain_window_ms) = (restart_ms, Some(1));
        })
        .await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let mut live = alice.connects().await;
        let mut other = bob.connects().await;
        // It does not answer the close: the server is still there for a while.
        let slow = RawSocket::connects(&server.user("carol")).await;
        let coming = async {
            let (frames, _) = live.until_closed().await;
            assert!(turn(&frames) <= restart_ms + 1);
            other.until_closed().await;
            let replaces = json!({"replaces": live.ready["connection_id"]});
            // At its turn, and a millisecond later at the latest.
            soon(async {
                loop {
                    let (frames, code) =
                        alice.dials(&alice.hello_with(replaces.clone())).await.until_closed().await;
                    assert_eq!(kinds(&frames), ["error", "bye"]);
                    assert!(frames[1]["retry_after_ms"].as_u64().unwrap() >= restart_ms);
                    if code == Some(wanted) {
                        break;
                    }
                }
            })
            .await;
            // Who had no turn has missed none.
            let (_, code) = bob.dials(&bob.hello()).await.until_closed().await;
            assert_eq!(code, Some(1012));
            drop(slow);
        };
        tokio::join!(server.stop(), coming);
    }
}

#[tokio::test]
async fn in_development_they_come_back_at_once() {
    let server = TestServer::start().await;
    let mut live = server.user("alice").connects().await;
    let ((), (frames, code)) = tokio::join!(server.stop(), live.until_closed());
    assert_eq!((turn(&frames), code), (0, Some(1012)));
}

#[tokio::test]
async fn while_it_stops_it_is_not_ready_takes_nobody_and_answers_what_is_asked() {
    let server = TestServer::with(production).await;
    let (alice, anybody, address) = (server.user("alice"), server.anybody(), server.address);
    assert_eq!(anybody.get("/readyz").await.status, 200);
    // It does not answer the close: it is waited for, for a moment.
    let mut slow = RawSocket::connects(&alice).await;
    let asking = async {
        soon(async {
            loop {
                let ready = anybody.get("/readyz").await;
                if ready.status == 503 {
                    assert!(ready.text().contains("draining"), "{}", ready.text());
                    break;
                }
            }
        })
        .await;
        let (frames, code) = alice.dials(&alice.hello()).await.until_closed().await;
        assert_eq!((kinds(&frames), code), (vec!["error", "bye"], Some(1012)));
        let turn = frames[1]["retry_after_ms"].as_u64().unwrap();
        assert!((2_000..32_000).contains(&turn), "{turn}");
        let lines = "Accept: text/event-stream\r\nConnection: close\r\n";
        let request = connect_request(address, lines, alice.hello().to_string().as_bytes());
        let answer = crate::kit::Answer::read(&raw(address, &request).await).unwrap();
        let retry_after = answer.header("retry-after").unwrap().parse::<u64>().unwrap();
        assert!((2..=32).contains(&retry_after), "{retry_after}");
        assert_eq!(answer.refused("unavailable")["retry_after"], retry_after);
        assert_eq!(alice.get("/v1/me").await.status, 200);
    };
    tokio::join!(server.stop(), asking);
    let mut last = None;
    while let Some((first, payload)) = slow.frame().await {
        last = Some((first, payload));
    }
    assert_eq!(last.unwrap().1[..2], 1012_u16.to_be_bytes());
}
