//! One user, one connection, whatever the app does.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use parlour_client::wire::frames::ByeIntent;
use parlour_client::wire::{ClientFrame, CloseCode, ErrorCode};
use parlour_client::{ClientEvent, State, TokenError, UiStatus};
use tokio::time::Instant;

use crate::kit::{CHANNEL, Server};

#[tokio::test(start_paused = true)]
async fn a_hundred_calls_at_once_open_one_socket_and_get_the_same_answer_l1_12_l1_24() {
    let server = Server::default();
    let client = server.client();
    let calls = (0..100).map(|_| client.connect_user("alice", "token"));
    for me in futures_util::future::join_all(calls).await {
        assert_eq!(me.unwrap().user.id.as_str(), "alice");
    }
    client.connect_user("alice", "token").await.unwrap();
    assert_eq!(server.world().dials, 1);
    assert_eq!(server.world().hellos.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn calls_made_before_the_connection_is_ready_wait_for_it_l1_23() {
    let server = Server::default();
    server.world().dial_ms = 3_000;
    let client = server.client();
    let channel = client.channel("messaging", "general").unwrap();
    let (me, sent, users) =
        tokio::join!(client.connect_user("alice", "token"), channel.send("early"), client.users(&["bob"]));
    me.unwrap();
    assert_eq!(sent.unwrap().text, "early");
    // It went out, with the token: that nobody answers here is the fake server's affair.
    assert!(users.unwrap_err().is(ErrorCode::NotFound));
    assert!(server.world().tokens.iter().all(|token| token == "token"));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_in_vain_ends_with_its_own_timeout_l1_22_l1_23() {
    let server = Server::default();
    server.world().down = true;
    let client = server.client();
    let begun = Instant::now();
    let channel = client.channel_at(CHANNEL.parse().unwrap());
    let (me, state) = tokio::join!(client.connect_user("alice", "token"), channel.state());
    assert!(me.unwrap_err().is(ErrorCode::Network));
    assert!(state.unwrap_err().is(ErrorCode::Timeout));
    assert_eq!(begun.elapsed().as_secs(), 10);

    // It goes on dialling, and a second call joins.
    server.world().down = false;
    client.connect_user("alice", "token").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn without_a_user_every_call_says_so_at_once_l1_13() {
    let server = Server::default();
    let client = server.client();
    let begun = Instant::now();
    let channel = client.channel("messaging", "general").unwrap();
    for error in [
        channel.send("hello").await.unwrap_err(),
        channel.state().await.unwrap_err(),
        client.connect().await.unwrap_err(),
    ] {
        assert!(error.is(ErrorCode::NotLoggedIn), "{error}");
    }
    assert!(client.ping().await.unwrap_err().is(ErrorCode::NotConnected));
    assert_eq!(begun.elapsed(), Duration::ZERO);
    client.disconnect_user().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn another_user_is_refused_with_the_name_of_the_one_who_is_there_l1_25() {
    let server = Server::default();
    let client = server.client();
    client.connect_user("alice", "token").await.unwrap();
    let error = client.connect_user("bob", "token-2").await.unwrap_err();
    assert!(error.is(ErrorCode::AlreadyConnectedAs));
    assert!(error.body.message.contains("alice"), "{error}");
    assert_eq!(server.world().dials, 1);
}

#[tokio::test(start_paused = true)]
async fn the_next_user_may_come_right_after_a_disconnect_that_nobody_awaits_l1_16_l7_6_l9_21() {
    let server = Server::default();
    let client = server.client();
    client.connect_user("alice", "token-a").await.unwrap();
    let gone = client.disconnect_user();
    let me = client.connect_user("bob", "token-b").await.unwrap();
    assert_eq!(me.user.id.as_str(), "bob");
    assert_eq!(gone.now_or_never(), Some(Ok(())), "it was over before the next dial");
    let world = server.world();
    assert_eq!((world.dials, world.live, world.live_max), (2, 1, 1));
    assert_eq!(world.hellos[1].token, "token-b");
    assert!(world.hellos[1].resume.is_none(), "another user's cursors are nobody's business");
    assert_eq!(world.frames, [ClientFrame::Bye { intent: ByeIntent::Leave }]);
    assert_eq!(world.closes, [CloseCode::NORMAL]);
}

#[tokio::test(start_paused = true)]
async fn the_next_user_waits_for_the_end_of_the_last_ones_socket_however_long_it_takes_l1_26() {
    let server = Server::default();
    let client = server.client();
    client.connect_user("alice", "token-a").await.unwrap();
    server.world().close_ms = 8_000;
    drop(client.disconnect_user());
    client.connect_user("bob", "token-b").await.unwrap();
    assert_eq!(server.world().live_max, 1);
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_in_the_middle_of_a_dial_cancels_it_and_leaves_no_socket_l3_5_l9_3() {
    let server = Server::default();
    server.world().dial_ms = 5_000;
    let client = server.client();
    let connecting = tokio::spawn({
        let client = client.clone();
        async move { client.connect_user("alice", "token").await }
    });
    server.until(|world| world.dials == 1).await;
    client.disconnect_user().await.unwrap();
    assert!(connecting.await.unwrap().unwrap_err().is(ErrorCode::Cancelled));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(server.world().live, 0);
    assert_eq!(server.world().hellos.len(), 0);
    assert!(client.channel("messaging", "a").unwrap().state().await.unwrap_err().is(ErrorCode::NotLoggedIn));
}

#[tokio::test(start_paused = true)]
async fn disconnect_holds_until_connect_and_comes_back_with_its_cursors_l1_12() {
    let server = Server::default();
    let client = server.client();
    client.connect_user("alice", "token").await.unwrap();
    server.says(1, "bob", "hi").await;
    client.ping().await.unwrap();
    let mut events = client.events();
    client.disconnect().await.unwrap();
    client.disconnect().await.unwrap();
    assert_eq!(server.world().live, 0);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(server.world().dials, 1);

    // Also one that nobody awaited.
    client.connect().await.unwrap();
    let gone = client.disconnect();
    client.connect().await.unwrap();
    assert_eq!(
        gone.now_or_never(),
        Some(Ok(())),
        "who waits for the old socket does not wait for the new one"
    );
    assert_eq!(server.world().dials, 3);
    assert_eq!(server.world().live, 1);
    let cursors = server.world().hellos[2].resume.clone().unwrap().cursors;
    assert_eq!(cursors[&crate::kit::topic()], 1);
    assert!(events.try_next().is_some());
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_client_closes_the_socket_and_does_not_log_out_l1_29() {
    let server = Server::default();
    let client = server.client();
    client.connect_user("alice", "token").await.unwrap();
    let mut events = client.events();
    let channel = client.channel("messaging", "general").unwrap();
    drop(client);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(server.world().live, 1, "a channel is a client too");
    drop(channel);
    server.until(|world| world.live == 0).await;
    assert_eq!(server.world().closes, [CloseCode::MEANS_TO_RESUME]);
    assert_eq!(server.world().frames, [], "no bye: the grace of a loss");
    while events.next().await.is_some() {}
}

#[tokio::test(start_paused = true)]
async fn a_blip_is_seen_as_lost_and_back_once_each_and_a_banner_does_not_show_it_l9_16() {
    let server = Server::default();
    let client = server.client();
    client.connect_user("alice", "token").await.unwrap();
    let mut events = client.events();
    let mut status = client.connection();
    server.cut(None).await;
    let mut seen = Vec::new();
    loop {
        match events.next().await.unwrap() {
            ClientEvent::Connection(change) => {
                seen.push(match change.to {
                    State::Connected => "up",
                    State::Reconnecting { .. } => "down",
                    other => panic!("{other:?}"),
                });
                if change.to == State::Connected {
                    break;
                }
            }
            ClientEvent::Recovered { downtime, .. } => assert!(downtime < Duration::from_secs(2)),
            _ => {}
        }
        let ui_status = status.borrow_and_update().ui_status;
        assert_eq!(ui_status, UiStatus::Online);
    }
    seen.dedup();
    assert_eq!(seen, ["down", "up"]);
}

#[tokio::test(start_paused = true)]
async fn a_longer_loss_is_shown_after_two_seconds_and_hidden_at_once_l3_11() {
    let server = Server::default();
    let client = server.client();
    client.connect_user("alice", "token").await.unwrap();
    server.world().down = true;
    let lost = Instant::now();
    server.cut(None).await;
    let mut status = client.connection();
    status.wait_for(|status| status.ui_status == UiStatus::Reconnecting).await.unwrap();
    assert_eq!(lost.elapsed().as_millis(), 2_000);
    server.world().down = false;
    let status = status.wait_for(|status| status.state == State::Connected).await.unwrap();
    assert_eq!(status.ui_status, UiStatus::Online);
    assert!(status.connection_id.is_some());
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_is_replaced_once_for_the_connection_and_all_calls_l6_27_f1_20() {
    let server = Server::default();
    let asked = Arc::new(AtomicUsize::new(0));
    let provider = {
        let asked = asked.clone();
        move || {
            let asked = asked.clone();
            async move { Ok::<_, TokenError>(format!("token-{}", asked.fetch_add(1, Ordering::SeqCst))) }
        }
    };
    let client = server.client();
    client.connect_user("alice", provider).await.unwrap();
    server.world().expired = Some("token-0".to_owned());
    let channel = client.channel("messaging", "general").unwrap();
    let calls = (0..10).map(|n| channel.send(n.to_string()));
    for sent in futures_util::future::join_all(calls).await {
        sent.unwrap();
    }
    server.cut(Some(CloseCode::TOKEN_EXPIRED)).await;
    server.until(|world| world.hellos.last().is_some_and(|hello| hello.token == "token-1")).await;
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_without_another_is_a_typed_failure_and_a_new_call_tries_again() {
    let server = Server::default();
    server.world().expired = Some("old".to_owned());
    let client = server.client();
    let error = client.connect_user("alice", "old").await.unwrap_err();
    assert!(error.is(ErrorCode::TokenExpired), "{error}");
    assert!(matches!(client.connection().borrow().state, State::Failed(_)));
    client.connect_user("alice", "new").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_panics_or_says_no_is_an_error_and_not_the_end() {
    let server = Server::default();
    let client = server.client();
    let refuse = || async { Err::<String, _>(TokenError::permanent("signed out")) };
    let error = client.connect_user("alice", refuse).await.unwrap_err();
    assert!(error.body.message.contains("signed out"), "{error}");
    #[expect(unreachable_code, reason = "the type of a function that panics")]
    let panic = || async { Ok::<String, TokenError>(panic!("in the app's own code")) };
    assert!(client.connect_user("alice", panic).await.is_err());
    client.disconnect_user().await.unwrap();
    client.connect_user("alice", "token").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn ping_answers_with_the_round_trip_l1_15() {
    let server = Server::default();
    let client = server.client();
    client.connect_user("alice", "token").await.unwrap();
    assert!(client.ping().await.unwrap() < Duration::from_secs(1));
}
