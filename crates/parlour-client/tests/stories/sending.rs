//! Messages on their way: each once, in order, and every outcome told.

use std::time::Duration;

use parlour_client::wire::{ErrorCode, MessageId};
use parlour_client::{ClientEvent, MessageDraft, OUTBOX_LEN_MAX, SendState, Throttled};
use tokio::time::Instant;

use crate::kit::{Fault, Server};

#[tokio::test(start_paused = true)]
async fn what_was_lost_on_the_way_is_sent_again_with_the_same_id_and_is_there_once_l5_10() {
    let server = Server::default();
    let client = server.client();
    client.connect_user("alice", "token").await.unwrap();
    let channel = client.channel("messaging", "general").unwrap();
    server.queue([
        Fault::Lost,
        Fault::AnswerLost,
        Fault::Refused(ErrorCode::Internal),
        Fault::Refused(ErrorCode::Unavailable),
    ]);
    let sent = channel.send("once").await.unwrap();
    let world = server.world();
    assert_eq!(world.requests.len(), 5);
    assert_eq!(world.messages.len(), 1);
    assert_eq!(world.messages[0].id, sent.id);
}

#[tokio::test(start_paused = true)]
async fn messages_of_a_channel_arrive_in_the_order_of_sending_whatever_happens_to_one_l5_17() {
    let server = Server::default();
    let client = server.client();
    client.connect_user("alice", "token").await.unwrap();
    let channel = client.channel("messaging", "general").unwrap();
    server.queue([Fault::Lost, Fault::Refused(ErrorCode::Internal), Fault::AnswerLost]);
    let mut sending = Vec::new();
    for n in 0..10 {
        sending.push(channel.queue(MessageDraft::text(n.to_string())).await.unwrap());
    }
    for sending in sending {
        sending.await.unwrap();
    }
    let texts: Vec<String> = server.world().messages.iter().map(|message| message.text.clone()).collect();
    assert_eq!(texts, (0..10).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_for_good_is_told_at_once_and_blocks_nothing_l5_17() {
    let server = Server::default();
    let client = server.client();
    client.connect_user("alice", "token").await.unwrap();
    let channel = client.channel("messaging", "general").unwrap();
    server.queue([Fault::Refused(ErrorCode::TextTooLong)]);
    let (long, short) = tokio::join!(channel.send("too long"), channel.send("short"));
    assert!(long.unwrap_err().is(ErrorCode::TextTooLong));
    assert_eq!(short.unwrap().text, "short");
    assert_eq!(server.world().requests.len(), 2, "sending it again unchanged would not help");

    let failed = client.outbox();
    assert_eq!(failed.len(), 1);
    assert!(matches!(&failed[0].state, SendState::Failed(error) if error.code == "text_too_long"));
    let mut events = client.events();
    assert!(client.retry(&failed[0].id));
    while !matches!(events.next().await.unwrap(), ClientEvent::Outbox { state: SendState::Sent(_), .. }) {}
    assert_eq!(client.outbox(), []);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_asks_for_a_pause_gets_it_l5_18() {
    let server = Server::default();
    let client = server.client();
    client.connect_user("alice", "token").await.unwrap();
    let channel = client.channel("messaging", "general").unwrap();
    server.queue([Fault::RefusedFor(ErrorCode::RateLimited, 7)]);
    let begun = Instant::now();
    channel.send("later").await.unwrap();
    assert!((7_000..8_000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn sends_that_are_too_many_show_until_when_l3_10_l5_18() {
    let server = Server::default();
    let client = server.client();
    client.connect_user("alice", "t").await.unwrap();
    server.queue([Fault::RefusedFor(ErrorCode::RateLimited, 7)]);
    let began = Instant::now();
    let sending =
        client.channel("messaging", "general").unwrap().queue(MessageDraft::text("slowly")).await.unwrap();
    let mut connection = client.connection();
    let status = connection.wait_for(|status| !status.throttled.is_empty()).await.unwrap().clone();
    let messages = Throttled { feature: "messages".to_owned(), until: began + Duration::from_secs(7) };
    assert_eq!(status.throttled, [messages]);
    sending.await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(7));
    connection.wait_for(|status| status.throttled.is_empty()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_reached_the_server_too_slowly_is_sent_again() {
    let server = Server::default();
    let client = server.client();
    client.connect_user("alice", "token").await.unwrap();
    server.queue([Fault::Refused(ErrorCode::RequestTimeout)]);
    client.channel("messaging", "general").unwrap().send("once").await.unwrap();
    assert_eq!(server.world().messages.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_waits_goes_out_soon_after_the_connection_is_back() {
    let server = Server::default();
    let client = server.client();
    client.connect_user("alice", "token").await.unwrap();
    let channel = client.channel("messaging", "general").unwrap();
    // An outage long enough for the waits to have grown to their cap.
    server.world().down = true;
    server.queue(std::iter::repeat_n(Fault::Lost, 1_000));
    server.cut(None).await;
    let sending = channel.queue(MessageDraft::text("through it")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(120)).await;
    server.world().down = false;
    let mut status = client.connection();
    status.wait_for(|status| status.connection_id.is_some()).await.unwrap();
    server.world().faults.clear();
    let back = Instant::now();
    sending.await.unwrap();
    assert!(back.elapsed() <= Duration::from_millis(300), "{:?}", back.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_outbox_holds_so_many_and_says_when_it_is_full_l5_14() {
    let server = Server::default();
    server.world().down = true;
    let client = server.client();
    assert!(client.connect_user("alice", "token").await.is_err());
    let channel = client.channel("messaging", "general").unwrap();
    let mut first = None;
    for n in 0..OUTBOX_LEN_MAX {
        let sending = channel.queue(MessageDraft::text(n.to_string())).await.unwrap();
        first.get_or_insert(sending.id.clone());
    }
    let full = channel.queue(MessageDraft::text("one more")).await.map(|sending| sending.id);
    assert!(full.unwrap_err().is(ErrorCode::OutboxFull));
    assert!(client.discard(&first.unwrap()));
    assert!(channel.queue(MessageDraft::text("one more")).await.is_ok());
    assert_eq!(client.outbox().len(), OUTBOX_LEN_MAX);
}

#[tokio::test(start_paused = true)]
async fn two_days_are_enough_l5_15() {
    let server = Server::default();
    let client = server.client();
    client.connect_user("alice", "token").await.unwrap();
    let channel = client.channel("messaging", "general").unwrap();
    server.queue(std::iter::repeat_n(Fault::RefusedFor(ErrorCode::Unavailable, 3_600), 100));
    let begun = Instant::now();
    let error = channel.send("never").await.unwrap_err();
    assert!(error.is(ErrorCode::Unavailable));
    assert_eq!(begun.elapsed().as_secs() / 3_600, 48);
}

#[tokio::test(start_paused = true)]
async fn an_outbox_waits_for_its_own_user() {
    let server = Server::default();
    let client = server.client();
    client.connect_user("alice", "token-a").await.unwrap();
    let channel = client.channel("messaging", "general").unwrap();
    server.queue([Fault::Lost]);
    let id = MessageId::parse("alices").unwrap();
    let draft = MessageDraft { id: Some(id.clone()), ..MessageDraft::text("mine") };
    let sending = channel.queue(draft).await.unwrap();
    server.until(|world| !world.requests.is_empty()).await;
    client.disconnect_user().await.unwrap();

    client.connect_user("bob", "token-b").await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(client.outbox(), []);
    assert_eq!(server.world().requests.len(), 1);
    client.disconnect_user().await.unwrap();

    client.connect_user("alice", "token-a").await.unwrap();
    assert_eq!(sending.await.unwrap().id, id);
    assert_eq!(server.world().tokens, ["token-a", "token-a"]);
}
