//! What comes, comes once and in order, and the client's own counts follow it.

use std::time::Duration;

use parlour_client::wire::events::{ClientSignal, Signal};
use parlour_client::wire::frames::ResetReason;
use parlour_client::wire::reads::Unread;
use parlour_client::wire::{ClientFrame, Seq, ServerFrame, UserId};
use parlour_client::{Client, ClientEvent, Event, Events, Open, State, Throttled, Topic};
use serde_json::json;
use tokio::time::Instant;

use crate::kit::{Server, Told, brief, cid, message, now, topic};

/// Seqs of the channel's events, up to this one.
async fn seqs_until(events: &mut Events, last: Seq) -> Vec<Seq> {
    let mut seqs = Vec::new();
    while seqs.last() != Some(&last) {
        if let ClientEvent::Event(frame) = events.next().await.unwrap() {
            seqs.push(frame.seq);
        }
    }
    seqs
}

#[tokio::test(start_paused = true)]
async fn events_come_once_and_in_order_through_a_loss_l4_4() {
    let server = Server::default();
    let client = server.client();
    let mut events = client.events();
    client.connect_user("alice", "token").await.unwrap();
    for seq in 1..=3 {
        server.says(seq, "bob", "before").await;
    }
    assert_eq!(seqs_until(&mut events, 3).await, [1, 2, 3]);
    server.cut(None).await;
    server.until(|world| world.hellos.len() == 2).await;
    // A server that begins too early is harmless.
    for seq in 2..=5 {
        server.says(seq, "bob", "after").await;
    }
    assert_eq!(seqs_until(&mut events, 5).await, [4, 5]);
    let resume = server.world().hellos[1].resume.clone().unwrap();
    assert_eq!(resume.cursors[&topic()], 3);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_sleeps_holds_up_nobody_and_learns_what_it_missed() {
    let server = Server::default();
    let client = parlour_client::Client::builder("http://server.test", "dev")
        .net(std::sync::Arc::new(server.clone()))
        .event_queue_len(8)
        .build()
        .unwrap();
    server.world().ready = Told { channels: vec![unread(0, 0, 0)], total: 0 };
    client.connect_user("alice", "token").await.unwrap();
    let mut sleeper = client.events();
    for seq in 1..=100 {
        server.says(seq, "bob", "much").await;
    }
    client.ping().await.unwrap();
    assert_eq!(client.unread().total_unread_count, 100, "the client itself missed nothing");
    assert_eq!(seqs_until(&mut sleeper, 8).await, [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(sleeper.next().await, Some(ClientEvent::Lagged { missed: 92 }));
}

fn unread(last_read_seq: Seq, unread_messages: u64, head: Seq) -> Unread {
    Unread { cid: cid(), last_read_seq, unread_messages, head }
}

async fn count(client: &Client) -> u64 {
    let mut counts = client.unread_counts();
    let settled = counts.wait_for(|counts| counts.settled).await.unwrap();
    settled.total_unread_count
}

#[tokio::test(start_paused = true)]
async fn unread_counts_follow_the_events_by_the_rule() {
    let server = Server::default();
    server.world().ready = Told { channels: vec![unread(0, 2, 4)], total: 2 };
    let client = server.client();
    client.connect_user("alice", "token").await.unwrap();
    assert_eq!(count(&client).await, 2);
    // Up to the head of `ready` all is counted already.
    for seq in 1..=4 {
        server.says(seq, "bob", "old").await;
    }
    server.says(5, "bob", "new").await;
    server.says(6, "alice", "my own").await;
    let silent = Event::MessageNew {
        cid: cid(),
        created_at: now(),
        message: parlour_client::Message { silent: true, ..message("m7", 7, "bob", "hush") },
    };
    server.push_event(topic(), 7, silent).await;
    client.ping().await.unwrap();
    assert_eq!(count(&client).await, 3);

    let me = Topic::User(UserId::parse("alice").unwrap());
    let read =
        Event::MarkRead { cid: cid(), created_at: now(), last_read_seq: 5, unread_messages: 0, head: 7 };
    server.push_event(me, 1, read).await;
    server.says(8, "bob", "again").await;
    client.ping().await.unwrap();
    assert_eq!(count(&client).await, 1);
    assert_eq!(client.unread().channels, [unread(5, 1, 8)]);
    assert_eq!(client.me().unwrap().total_unread_count, 1);
    assert_eq!(server.world().requests, Vec::<String>::new(), "events told it all");
}

#[tokio::test(start_paused = true)]
async fn after_a_reset_the_channel_is_asked_for_and_later_events_count_on_top_l5_5() {
    let server = Server::default();
    server.world().ready = Told { channels: vec![unread(0, 1, 1)], total: 1 };
    let client = server.client();
    client.connect_user("alice", "token").await.unwrap();
    let mut events = client.events();
    let state = json!({
        "channel": {
            "cid": "messaging:general", "type": "messaging", "id": "general",
            "created_at": now(), "updated_at": now(), "member_count": 2,
        },
        "head": 41, "members": [], "messages": [], "reads": [], "unread": unread(0, 30, 41),
    });
    server.world().answers.push(("/v1/channels/messaging/general".to_owned(), state));
    let reset = ServerFrame::Reset { topic: topic(), reason: ResetReason::TooFarBehind, head: 40 };
    server.push(reset).await;
    // 41 is in the answer, 42 is not.
    server.says(41, "bob", "in the answer").await;
    server.says(42, "bob", "after it").await;
    let event = loop {
        let event = events.next().await.unwrap();
        if matches!(event, ClientEvent::Reset { .. }) {
            break event;
        }
    };
    assert_eq!(event, ClientEvent::Reset { topic: topic(), reason: ResetReason::TooFarBehind, head: 40 });
    assert_eq!(seqs_until(&mut events, 42).await, [41, 42]);
    server.until(|world| world.requests.len() == 1).await;
    assert_eq!(count(&client).await, 31);
}

#[tokio::test(start_paused = true)]
async fn typing_is_sent_every_three_seconds_at_most_l6_23() {
    let server = Server::default();
    let client = server.client();
    client.connect_user("alice", "token").await.unwrap();
    let channel = client.channel("messaging", "general").unwrap();
    let starts = || {
        let frames = server.world().frames.clone();
        let start = ClientFrame::Signal { topic: topic(), signal: ClientSignal::TypingStart };
        frames.into_iter().filter(|frame| *frame == start).count()
    };
    for _ in 0..70 {
        channel.typing_start().await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(starts(), 3);
    channel.typing_stop().await.unwrap();
    channel.typing_start().await.unwrap();
    client.ping().await.unwrap();
    assert_eq!(starts(), 4, "after a stop it begins anew");
}

#[tokio::test(start_paused = true)]
async fn what_is_throttled_is_shown_beside_the_state_until_it_is_over_l3_10() {
    let server = Server::default();
    let client = server.client();
    client.connect_user("alice", "t").await.unwrap();
    let mut connection = client.connection();
    let mut events = client.events();
    let began = Instant::now();
    let throttle =
        |feature: &str, retry_after_ms| ServerFrame::Throttle { feature: feature.to_owned(), retry_after_ms };
    server.push(throttle("typing", 10_000)).await;
    server.push(throttle("reactions", 4_000)).await;
    let shown = |features: &[(&str, u64)]| -> Vec<Throttled> {
        let until = |seconds| began + Duration::from_secs(seconds);
        features
            .iter()
            .map(|(name, at)| Throttled { feature: (*name).to_owned(), until: until(*at) })
            .collect()
    };
    let both = shown(&[("reactions", 4), ("typing", 10)]);
    connection.wait_for(|status| status.throttled == both).await.unwrap();
    assert_eq!(connection.borrow().state, State::Connected);
    let told = ClientEvent::Throttled { feature: "typing".to_owned(), retry_after: Duration::from_secs(10) };
    assert_eq!(events.next().await, Some(told));
    // Nobody is bothered meanwhile.
    client.channel("messaging", "general").unwrap().typing_start().await.unwrap();
    connection.wait_for(|status| status.throttled == shown(&[("typing", 10)])).await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 4);
    assert_eq!(server.world().frames, []);
    connection.wait_for(|status| status.throttled.is_empty()).await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 10);
    client.channel("messaging", "general").unwrap().typing_start().await.unwrap();
    server.until(|world| world.frames.len() == 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_message_ends_the_typing_of_its_sender() {
    let server = Server::default();
    let client = server.client();
    client.connect_user("alice", "token").await.unwrap();
    let channel = client.channel("messaging", "general").unwrap();
    let typing = Signal::TypingStart { cid: cid(), user: brief("bob") };
    server.push(ServerFrame::Signal { topic: Some(topic()), signal: Open::Known(typing) }).await;
    client.ping().await.unwrap();
    assert_eq!(channel.typing(), [brief("bob")]);
    server.says(1, "bob", "done").await;
    client.ping().await.unwrap();
    assert_eq!(channel.typing(), []);
}

#[tokio::test(start_paused = true)]
async fn typing_that_is_not_renewed_ends_by_itself_after_seven_seconds_l5_23() {
    let server = Server::default();
    let client = server.client();
    client.connect_user("alice", "token").await.unwrap();
    let channel = client.channel("messaging", "general").unwrap();
    let mut events = client.events();
    let typing = Signal::TypingStart { cid: cid(), user: brief("bob") };
    server.push(ServerFrame::Signal { topic: Some(topic()), signal: Open::Known(typing) }).await;
    client.ping().await.unwrap();
    assert_eq!(channel.typing(), [brief("bob")]);
    let begun = tokio::time::Instant::now();
    let stop = Signal::TypingStop { cid: cid(), user: brief("bob") };
    let stop = ClientEvent::Signal { topic: Some(topic()), signal: Open::Known(stop) };
    while events.next().await.unwrap() != stop {}
    assert_eq!(begun.elapsed().as_secs(), 7);
    assert_eq!(channel.typing(), []);
}

#[tokio::test(start_paused = true)]
async fn a_link_without_a_sound_is_replaced_after_35_seconds_l6_4_l9_10() {
    let server = Server::default();
    let client = server.client();
    client.connect_user("alice", "token").await.unwrap();
    let begun = tokio::time::Instant::now();
    server.until(|world| world.dials == 2).await;
    let waited = begun.elapsed().as_millis();
    assert!((35_000..36_000).contains(&waited), "{waited}");
    server.until(|world| world.hellos.len() == 2).await;
    assert_eq!(server.world().live_max, 1);
}
