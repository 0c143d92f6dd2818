//! Connecting: what `ready` says, and how many may be there.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use parlour_server::config::Mode;
use serde_json::{Value, json};

use crate::kit::{GENERAL, Heard, TestServer, at, kinds};

#[tokio::test]
async fn ready_says_who_one_is_what_is_unread_and_where_to_go_on_l1_8_l4_6_l4_7() {
    let server = TestServer::with_users(&["alice", "bob"]).await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    // In this order: of two that were active in the same millisecond, the newer comes first.
    bob.makes("messaging:quiet", &["alice"]).await;
    bob.makes(GENERAL, &["alice"]).await;
    bob.sends(GENERAL, "one").await;
    bob.sends(GENERAL, "two").await;
    let live = alice.connects_as(json!({"id": "alice", "name": "Alice"})).await;
    let ready = &live.ready;
    let me = &ready["me"];
    assert_eq!((&me["id"], &me["name"], &me["online"]), (&json!("alice"), &json!("Alice"), &json!(true)));
    assert_eq!((&me["total_unread_count"], &me["unread_channels"]), (&json!(2), &json!(1)));
    assert_eq!((&me["mutes"], &me["devices"]), (&json!([]), &json!([])));
    assert_eq!(ready["resumed"], "fresh");
    assert_eq!(ready["heartbeat_ms"], 25_000);
    assert_eq!(
        ready["limits"],
        json!({
            "frame_bytes": 65_536, "frames_per_second": 20, "frames_burst": 60,
            "connections_per_user": 3, "dead_link_ms": 35_000, "message_chars": 5_000,
        })
    );
    let general = alice.get(&at(GENERAL)).await.ok();
    let heads = &ready["heads"];
    assert_eq!(heads["channel:messaging:general"], general["head"]);
    assert_eq!(heads["user:alice"], 3, "she was added to two channels, and has a name now");
    assert_eq!(heads["app:dev"], 0);
    let channels = ready["channels"].as_array().unwrap();
    assert_eq!(channels[0], general["unread"], "the latest activity first");
    assert_eq!((channels.len(), &channels[1]["unread_messages"]), (2, &json!(0)));
    assert!(ready["connection_id"].as_str().is_some_and(|id| !id.is_empty()));
    let again = alice.connects().await;
    assert_eq!(again.ready["epoch"], ready["epoch"]);
    assert_ne!(again.ready["connection_id"], ready["connection_id"]);
}

#[tokio::test]
async fn live_events_come_after_ready_and_in_order_l4_6() {
    let server = TestServer::with_users(&["alice", "bob"]).await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let made = bob.makes(GENERAL, &["alice"]).await;
    let mut live = alice.connects().await;
    for n in 0..20 {
        bob.sends(GENERAL, &n.to_string()).await;
    }
    let first = made["head"].as_u64().unwrap() + 1;
    for n in 0..20 {
        let event = live.hears("message.new").await;
        assert_eq!(
            (&event["seq"], &event["event"]["message"]["seq"]),
            (&json!(first + n), &json!(first + n))
        );
        assert_eq!(event["event"]["message"]["text"], n.to_string());
        assert_eq!(event["topic"], "channel:messaging:general");
    }
}

#[tokio::test]
async fn a_heartbeat_may_be_asked_for_shorter_but_not_too_short() {
    let server = TestServer::start().await;
    let alice = server.user("alice");
    for (asked, given) in [(15_000, 15_000), (1, 1_000), (60_000, 25_000)] {
        assert_eq!(alice.connects_with(json!({"heartbeat_ms": asked})).await.ready["heartbeat_ms"], given);
    }
}

#[tokio::test]
async fn a_client_that_does_not_answer_a_ping_is_closed_l7_23() {
    let server = TestServer::with(|config| {
        config.limits.heartbeat_ms = 50;
        config.limits.pong_wait_ms = 200;
    })
    .await;
    let mut live = server.user("alice").connects().await;
    // Pongs are given by the kit for a while; then nothing is said any more.
    live.settles().await;
    let code = loop {
        match crate::kit::soon(futures_util::StreamExt::next(&mut live.socket)).await {
            Some(Ok(tokio_tungstenite::tungstenite::Message::Close(frame))) => break frame.unwrap().code,
            Some(Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(u16::from(code), 4201);
}

#[tokio::test]
async fn in_development_the_fourth_connection_takes_the_stalests_place_l6_30_l6_34_l7_12() {
    let server = TestServer::start().await;
    let alice = server.user("alice");
    let mut foreground = alice.connects().await;
    let mut background = alice.connects_with(json!({"app_state": "background"})).await;
    let mut third = alice.connects().await;
    let phone = json!({"device": "Alice's phone", "client": {
        "instance": "j", "version": 1, "platform": "android", "sdk": "kotlin",
    }});
    let mut fourth = alice.connects_with(phone).await;
    let (frames, code) = background.until_closed().await;
    assert_eq!(code, Some(4005));
    let bye = frames.last().unwrap();
    let replaced_by = json!({"device": "Alice's phone", "platform": "android", "sdk": "kotlin"});
    assert_eq!(
        (&bye["type"], &bye["code"], &bye["replaced_by"]),
        (&json!("bye"), &json!(4005), &replaced_by)
    );
    for live in [&mut foreground, &mut third, &mut fourth] {
        live.settles().await;
    }
    // What a connection says of itself counts: the one that went to the background is next.
    third.says(&json!({"type": "app_state", "state": "background"})).await;
    third.settles().await;
    let mut fifth = alice.connects().await;
    assert_eq!(third.until_closed().await.1, Some(4005));
    for live in [&mut foreground, &mut fourth, &mut fifth] {
        live.settles().await;
    }
}

#[tokio::test]
async fn a_named_predecessor_goes_and_is_not_counted_beside_its_successor_l4_14_l7_12() {
    let server = TestServer::start().await;
    let alice = server.user("alice");
    let mut others = [alice.connects().await, alice.connects().await];
    let mut old = alice.connects().await;
    let replaces = json!({"replaces": old.ready["connection_id"]});
    let mut new = alice.connects_with(replaces).await;
    assert_eq!(old.until_closed().await.1, Some(4005));
    new.settles().await;
    for other in &mut others {
        other.settles().await;
    }
    // Another user's connection is not hers to replace.
    let stolen = json!({"replaces": new.ready["connection_id"]});
    server.user("bob").connects_with(stolen).await;
    new.settles().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_dials_at_once_never_make_more_than_fifty_connections_l6_30_f5_18() {
    let server = TestServer::with(|config| config.app.mode = Some(Mode::Production)).await;
    let alice = server.user("alice");
    let current = async |server: &TestServer| {
        let usage = server.backend().get("/v1/usage").await.ok();
        usage["concurrent_connections"].clone()
    };
    let dial = async |n: usize| {
        let client = json!({"instance": format!("i{n}"), "version": 1, "platform": "linux", "sdk": "tests"});
        alice.connects_with(json!({ "client": client, "device": format!("d{n}") })).await
    };
    let dials = join_all((0..200).map(dial));
    let watch = async {
        let mut seen = BTreeSet::new();
        for _ in 0..50 {
            seen.insert(current(&server).await["current"].as_u64().unwrap());
        }
        seen
    };
    let (lives, seen) = tokio::join!(dials, watch);
    assert!(seen.iter().all(|count| *count <= 50), "{seen:?}");

    // Everybody was let in; 150 have been told since that somebody else took their place.
    let mut live_now = 0;
    let mut replaced = 0;
    for mut live in lives {
        live.says(&json!({"type": "ping", "id": 1})).await;
        match live.next().await {
            Heard::Frame(frame) if frame["type"] == "pong" => live_now += 1,
            Heard::Frame(frame) => {
                assert_eq!((&frame["type"], &frame["code"]), (&json!("bye"), &json!(4005)), "{frame}");
                assert!(frame["replaced_by"]["device"].as_str().unwrap().starts_with('d'), "{frame}");
                let (rest, code) = live.until_closed().await;
                assert_eq!((rest.len(), code), (0, Some(4005)));
                replaced += 1;
            }
            Heard::Closed(code) => panic!("closed with {code:?} and no word"),
        }
        // Kept open, so that the count at the end is the true one.
        std::mem::forget(live);
    }
    assert_eq!((live_now, replaced), (50, 150));
    let counts = current(&server).await;
    assert_eq!(counts["current"], 50);
    for peak in ["peak_minute", "peak_hour", "peak_day", "peak_month"] {
        assert_eq!(counts[peak], 50, "{peak}: {counts}");
    }
}

#[tokio::test]
async fn in_production_a_client_that_dials_too_often_is_told_when_to_come_back_l4_12_l4_13_l6_36_l7_19() {
    let server = TestServer::with(|config| {
        config.app.mode = Some(Mode::Production);
        config.limits.dials_burst = 3;
    })
    .await;
    let alice = server.user("alice");
    for _ in 0..3 {
        alice.connects().await.breaks();
    }
    let (frames, code) = alice.dials(&alice.hello()).await.until_closed().await;
    assert_eq!((kinds(&frames), code), (vec!["error", "bye"], Some(4102)));
    assert_eq!(frames[0]["error"]["code"], "rate_limited");
    let wait = frames[1]["retry_after_ms"].as_u64().unwrap();
    assert!((1..=2_000).contains(&wait), "{frames:?}");
    // Another client instance, and another user, have dials of their own.
    let other = json!({"client": {"instance": "other", "version": 1}});
    alice.connects_with(other.clone()).await;
    server.user("bob").connects().await;
    // And so has another page of this instance, such as a duplicated tab.
    let page = json!({"client": {"instance": "i", "page": "q", "version": 1}});
    alice.connects_with(page).await;
    // A clean goodbye gives the dial back, so leaving and returning is never too often.
    for _ in 0..10 {
        alice.connects_with(other.clone()).await.leaves().await;
    }
}

#[tokio::test]
async fn more_hellos_than_the_rate_are_told_to_come_one_after_the_other_l6_44_l7_17() {
    let server = TestServer::with(|config| {
        config.limits.hellos_per_second = 1;
        config.limits.hellos_burst = 2;
    })
    .await;
    let began = tokio::time::Instant::now();
    let poller = server.user("poller");
    let polled = poller.polls(&poller.hello()).await;
    let dials = (0..12).map(|n| {
        let user = server.user(&format!("u{n}"));
        async move {
            let mut live = user.dials(&user.hello()).await;
            match live.next().await {
                Heard::Frame(frame) if frame["type"] == "ready" => None,
                Heard::Frame(error) => {
                    assert_eq!(error["error"]["code"], "unavailable", "{error}");
                    let (frames, code) = live.until_closed().await;
                    assert_eq!((kinds(&frames), code), (vec!["bye"], Some(4100)));
                    frames[0]["retry_after_ms"].as_u64()
                }
                Heard::Closed(code) => panic!("closed with {code:?} and no word"),
            }
        }
    });
    let mut told: Vec<u64> = join_all(dials).await.into_iter().flatten().collect();
    let passed = began.elapsed().as_millis() as u64;
    assert!(told.len() as u64 >= 10 - passed / 1_000, "{told:?}");
    told.sort_unstable();
    assert!(told[0] >= 1_000, "{told:?}");
    // One per second: what lies between two turns is a second, less what lay between the two who were told.
    assert!(told.windows(2).all(|two| two[1] - two[0] + passed >= 1_000), "{told:?} within {passed} ms");
    assert!(told.last().unwrap() + passed >= told.len() as u64 * 1_000, "{told:?} within {passed} ms");
    // The next poll of one who is there is no new connection.
    let next = poller
        .hello_with(json!({"replaces": polled[0]["connection_id"], "frames": [{"type": "ping", "id": 1}]}));
    assert_eq!(kinds(&poller.polls(&next).await), ["ready", "pong"]);
}

#[tokio::test]
async fn an_app_in_the_background_stays_as_long_as_it_pings_l2_14_l7_15() {
    let server = TestServer::with(|config| config.limits.lease_grace_ms = 100).await;
    let mut live = server.user("alice").connects().await;
    live.says(&json!({"type": "app_state", "state": "background", "lease_ms": 600_001})).await;
    assert_eq!(live.hears("error").await["error"]["code"], "invalid_input");
    live.says(&json!({"type": "app_state", "state": "background", "lease_ms": 3_000})).await;
    let began = tokio::time::Instant::now();
    while began.elapsed() < std::time::Duration::from_millis(4_000) {
        // Each asks again at once: the lease is renewed all the time.
        live.settles().await;
        tokio::time::timeout(std::time::Duration::from_millis(200), live.next()).await.unwrap_err();
    }
    let (frames, code) = live.until_closed().await;
    assert_eq!((kinds(&frames), code), (vec!["bye"], Some(4008)));
    assert_eq!(frames[0]["code"], 4008);
}

#[tokio::test]
async fn a_server_that_stops_sends_everybody_away_so_that_they_come_back_spread_out() {
    let server = TestServer::start().await;
    let mut live = server.user("alice").connects().await;
    let mut idle = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let listening = async {
        let (frames, code) = live.until_closed().await;
        assert_eq!(code, Some(1012));
        assert_eq!(frames.last().map(|bye| bye["code"].clone()), Some(Value::from(1012)), "{frames:?}");
    };
    tokio::join!(server.stop(), listening);
    assert_eq!(crate::kit::read_to_end(&mut idle).await, b"");
}
