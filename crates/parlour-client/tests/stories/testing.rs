//! The fake server does what it says, and a client gets over it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parlour_client::testing::{FakeServer, Seen};
use parlour_client::wire::ErrorCode;
use parlour_client::wire::frames::{ResetReason, Resumed};
use parlour_client::{
    Client, ClientEvent, CloseCode, Event, Events, FailedWhy, Open, State, Topic, UiStatus,
};
use tokio::time::Instant;

const GENERAL: &str = "messaging:general";

/// Alice, connected, in a channel with Bob.
async fn alice(server: &FakeServer) -> Client {
    server.channel(GENERAL, &["alice", "bob"]);
    let client = server.client().build().unwrap();
    client.connect_user("alice", server.token("alice")).await.unwrap();
    client
}

async fn sleep(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

/// What came since the last look.
fn told(events: &mut Events) -> Vec<ClientEvent> {
    std::iter::from_fn(|| events.try_next()).collect()
}

fn texts(told: &[ClientEvent]) -> Vec<String> {
    let message = |event: &ClientEvent| {
        let ClientEvent::Event(frame) = event else { return None };
        let Open::Known(Event::MessageNew { message, .. }) = &frame.event else { return None };
        Some(message.text.clone())
    };
    told.iter().filter_map(message).collect()
}

fn resumed(told: &[ClientEvent]) -> Vec<Resumed> {
    let how = |event: &ClientEvent| match event {
        ClientEvent::Recovered { resumed, .. } => Some(resumed.clone()),
        _ => None,
    };
    told.iter().filter_map(how).collect()
}

fn state(client: &Client) -> State {
    client.connection().borrow().state.clone()
}

/// Dials, live connections, the most of them.
fn connections(server: &FakeServer) -> (usize, usize, usize) {
    let Seen { dials, live, live_max, .. } = server.seen();
    (dials, live, live_max)
}

#[tokio::test(start_paused = true)]
async fn two_clients_of_one_server_talk_and_count() {
    let server = FakeServer::new();
    let (alice, bob) = (server.client().build().unwrap(), server.client().build().unwrap());
    alice.connect_user("alice", "her token").await.unwrap();
    bob.connect_user("bob", "his token").await.unwrap();
    let made = alice.channel("messaging", "plans").unwrap();
    assert!(made.get_or_create(&["bob"], parlour_client::NO_DATA).await.unwrap().created);
    made.send("Dinner?").await.unwrap();
    sleep(1).await;
    let his = bob.channel("messaging", "plans").unwrap();
    assert_eq!(his.unread().unwrap().unread_messages, 1);
    assert_eq!(bob.unread().total_unread_count, 1);
    assert_eq!(alice.unread().total_unread_count, 0, "one's own message is read");
    let page = his.messages(parlour_client::MessagePage::latest(10)).await.unwrap();
    assert_eq!(page.messages.iter().map(|message| message.text.as_str()).collect::<Vec<_>>(), ["Dinner?"]);
    assert_eq!(his.mark_read().await.unwrap().unread_messages, 0);
    sleep(1).await;
    assert_eq!(bob.unread().total_unread_count, 0);
    his.mark_unread(&page.messages[0].id).await.unwrap();
    sleep(1).await;
    assert_eq!(bob.unread().total_unread_count, 1);
    his.typing_start().await.unwrap();
    sleep(1).await;
    assert_eq!(made.typing().len(), 1);
    assert!(his.state().await.unwrap().reads.len() == 2);
    let stranger = server.client().build().unwrap();
    stranger.connect_user("carol", "a third token").await.unwrap();
    assert!(
        stranger.channel("messaging", "plans").unwrap().state().await.unwrap_err().is(ErrorCode::NotFound)
    );
}

#[tokio::test(start_paused = true)]
async fn somebody_says_types_and_reads() {
    let server = FakeServer::new();
    let alice = alice(&server).await;
    let mut events = alice.events();
    server.types(GENERAL, "bob");
    alice.ping().await.unwrap();
    let channel = alice.channel("messaging", "general").unwrap();
    assert_eq!(channel.typing().iter().map(|user| user.id.as_str()).collect::<Vec<_>>(), ["bob"]);
    let said = server.says(GENERAL, "bob", "hello");
    alice.ping().await.unwrap();
    assert_eq!(texts(&told(&mut events)), ["hello"]);
    assert_eq!(alice.unread().total_unread_count, 1);
    server.reads(GENERAL, "alice");
    alice.ping().await.unwrap();
    assert_eq!(alice.unread().total_unread_count, 0, "she read it on another device");
    assert_eq!(server.messages(GENERAL), [said]);
    sleep(8).await;
    assert!(channel.typing().is_empty(), "nobody types for ever");
}

#[tokio::test(start_paused = true)]
async fn an_hour_of_silence_is_kept_alive_by_heartbeats() {
    let server = FakeServer::new();
    let alice = alice(&server).await;
    sleep(3_600).await;
    assert_eq!((state(&alice), connections(&server)), (State::Connected, (1, 1, 1)));
}

#[tokio::test(start_paused = true)]
async fn a_cut_is_resumed_with_what_was_missed() {
    for code in [None, Some(CloseCode::RECONNECT_NOW), Some(CloseCode::OVER_CAPACITY)] {
        let server = FakeServer::new();
        let alice = alice(&server).await;
        let mut events = alice.events();
        server.cut(code);
        server.says(GENERAL, "bob", "missed");
        sleep(30).await;
        let told = told(&mut events);
        assert_eq!((texts(&told), resumed(&told)), (vec!["missed".to_owned()], vec![Resumed::Resumed]));
        assert_eq!((alice.unread().total_unread_count, connections(&server)), (1, (2, 1, 1)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_code_that_is_final_stops_the_client() {
    let server = FakeServer::new();
    let alice = alice(&server).await;
    server.cut(Some(CloseCode::USER_BANNED));
    sleep(600).await;
    assert!(matches!(state(&alice), State::Failed(_)));
    assert_eq!(connections(&server), (1, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_goes_away_is_dialled_until_it_comes_back() {
    let server = FakeServer::new();
    let alice = alice(&server).await;
    let mut events = alice.events();
    server.go_away();
    sleep(60).await;
    assert_eq!(alice.connection().borrow().ui_status, UiStatus::Reconnecting);
    assert!(server.seen().dials > 3 && server.seen().live == 0, "{:?}", connections(&server));
    assert!(alice.users(&["bob"]).await.unwrap_err().is(ErrorCode::Network));
    server.says(GENERAL, "bob", "meanwhile");
    server.come_back();
    sleep(21).await;
    assert_eq!(state(&alice), State::Connected);
    assert_eq!(texts(&told(&mut events)), ["meanwhile"]);
}

#[tokio::test(start_paused = true)]
async fn a_half_open_link_is_found_out_and_replaced() {
    let server = FakeServer::new();
    let alice = alice(&server).await;
    let mut events = alice.events();
    server.swallow();
    server.says(GENERAL, "bob", "into the void");
    let ping = alice.ping().await;
    assert!(ping.unwrap_err().is(ErrorCode::Timeout), "nothing goes and nothing comes");
    assert_eq!((texts(&told(&mut events)).len(), connections(&server)), (0, (1, 1, 1)));
    sleep(40).await;
    let told = told(&mut events);
    assert_eq!((texts(&told), resumed(&told)), (vec!["into the void".to_owned()], vec![Resumed::Resumed]));
    assert_eq!(connections(&server), (2, 1, 1));
    assert_eq!(server.seen().closes, [CloseCode::MEANS_TO_RESUME]);
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_request_or_answer_is_lost_arrives_once() {
    let server = FakeServer::new();
    let alice = alice(&server).await;
    let channel = alice.channel("messaging", "general").unwrap();
    server.lose_next_request();
    channel.send("one").await.unwrap();
    server.lose_next_answer();
    let message = channel.send("two").await.unwrap();
    assert_eq!(server.messages(GENERAL)[1], message);
    assert_eq!(server.messages(GENERAL).len(), 2);
    let sends = server.seen().calls.iter().filter(|call| call.ends_with("/messages")).count();
    assert_eq!(sends, 4, "each was tried twice");
}

#[tokio::test(start_paused = true)]
async fn a_call_is_refused_once() {
    let server = FakeServer::new();
    let alice = alice(&server).await;
    let channel = alice.channel("messaging", "general").unwrap();
    server.refuse_next(ErrorCode::NotAllowed);
    assert!(channel.send("no").await.unwrap_err().is(ErrorCode::NotAllowed));
    channel.send("yes").await.unwrap();
    assert_eq!(server.messages(GENERAL).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_lost_is_asked_for_and_one_that_comes_twice_is_told_once() {
    let server = FakeServer::new();
    let alice = alice(&server).await;
    let mut events = alice.events();
    server.lose_next_event();
    server.says(GENERAL, "bob", "one");
    alice.ping().await.unwrap();
    assert!(texts(&told(&mut events)).is_empty(), "it is lost");
    server.says(GENERAL, "bob", "two");
    sleep(1).await;
    server.duplicate_next_event();
    server.says(GENERAL, "bob", "three");
    sleep(1).await;
    assert_eq!(texts(&told(&mut events)), ["one", "two", "three"]);
    assert_eq!((alice.unread().total_unread_count, connections(&server)), (3, (1, 1, 1)));
}

#[tokio::test(start_paused = true)]
async fn a_delay_holds_up_answers_and_frames_and_keeps_their_order() {
    let server = FakeServer::new();
    let alice = alice(&server).await;
    let mut events = alice.events();
    server.delay(Duration::from_secs(3));
    let begun = Instant::now();
    assert_eq!(alice.ping().await.unwrap().as_secs(), 3);
    alice.users(&["bob"]).await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 6);
    server.says(GENERAL, "bob", "slow");
    server.delay(Duration::ZERO);
    server.says(GENERAL, "bob", "quick");
    sleep(2).await;
    assert!(texts(&told(&mut events)).is_empty());
    sleep(2).await;
    assert_eq!(texts(&told(&mut events)), ["slow", "quick"]);
}

#[tokio::test(start_paused = true)]
async fn a_history_that_is_forgotten_is_a_reset_and_the_counts_are_loaded_anew() {
    let server = FakeServer::new();
    let alice = alice(&server).await;
    let mut events = alice.events();
    server.cut(None);
    server.says(GENERAL, "bob", "before");
    server.forget_history();
    sleep(30).await;
    let told = told(&mut events);
    assert_eq!((texts(&told).len(), resumed(&told)), (0, vec![Resumed::CaughtUp]));
    let general = Topic::Channel(GENERAL.parse().unwrap());
    let is_reset = |event: &ClientEvent| matches!(event, ClientEvent::Reset { topic, reason: ResetReason::Trimmed, .. } if *topic == general);
    assert!(told.iter().any(is_reset), "{told:?}");
    assert_eq!(alice.unread().total_unread_count, 1);
    server.cut(None);
    server.says(GENERAL, "bob", "after");
    sleep(30).await;
    assert_eq!(texts(&self::told(&mut events)), ["after"], "the next resume is a resume");
}

#[tokio::test(start_paused = true)]
async fn tokens_that_end_are_renewed_on_the_connection_and_in_calls() {
    let server = FakeServer::new();
    server.channel(GENERAL, &["alice", "bob"]);
    let client = server.client().build().unwrap();
    let (backend, asked) = (server.clone(), Arc::new(AtomicUsize::new(0)));
    let counter = asked.clone();
    let provider = move || {
        counter.fetch_add(1, Ordering::Relaxed);
        let token = backend.token("alice");
        async move { Ok(token) }
    };
    client.connect_user("alice", provider).await.unwrap();
    server.expire_tokens();
    sleep(60).await;
    assert_eq!((asked.load(Ordering::Relaxed), connections(&server)), (2, (1, 1, 1)));
    client.users(&["bob"]).await.unwrap();

    server.go_away();
    server.expire_tokens();
    server.come_back();
    sleep(30).await;
    assert_eq!(state(&client), State::Connected);
    client.users(&["bob"]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_token_without_a_successor_ends_the_connection() {
    let server = FakeServer::new();
    let alice = alice(&server).await;
    server.expire_tokens();
    assert!(alice.users(&["bob"]).await.unwrap_err().is(ErrorCode::TokenExpired));
    sleep(120).await;
    assert!(
        matches!(&state(&alice), State::Failed(FailedWhy::Refused { code, .. }) if *code == CloseCode::TOKEN_EXPIRED),
        "{:?}",
        state(&alice)
    );
    assert_eq!(server.seen().live, 0);
}

#[tokio::test(start_paused = true)]
async fn who_is_evicted_stays_away_until_the_user_acts() {
    let server = FakeServer::new();
    let alice = alice(&server).await;
    server.evict();
    sleep(3_600).await;
    assert!(
        matches!(&state(&alice), State::Failed(FailedWhy::Refused { code, .. }) if *code == CloseCode::REPLACED),
        "{:?}",
        state(&alice)
    );
    assert_eq!(connections(&server), (1, 0, 1));
    alice.connect().await.unwrap();
    assert_eq!(connections(&server), (2, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_drain_is_obeyed_to_the_turn_that_was_given() {
    let server = FakeServer::new();
    let alice = alice(&server).await;
    let mut events = alice.events();
    server.drain(Duration::from_secs(20));
    server.says(GENERAL, "bob", "while it restarted");
    sleep(19).await;
    assert_eq!(connections(&server), (1, 0, 1), "not before its turn");
    sleep(11).await;
    assert_eq!((state(&alice), connections(&server)), (State::Connected, (2, 1, 1)));
    assert_eq!(texts(&told(&mut events)), ["while it restarted"]);
}

#[tokio::test(start_paused = true)]
async fn edits_and_deletions_reach_the_others_and_are_replayed_as_they_are() {
    let server = FakeServer::new();
    let alice = alice(&server).await;
    let bob = server.client().build().unwrap();
    bob.connect_user("bob", server.token("bob")).await.unwrap();
    server.cut(None);
    let sent = {
        sleep(30).await;
        let channel = bob.channel("messaging", "general").unwrap();
        let sent = channel.send("Helo").await.unwrap();
        channel.edit(&sent.id, "Hello").await.unwrap();
        sent
    };
    let hers = alice.channel("messaging", "general").unwrap();
    assert!(hers.edit(&sent.id, "mine").await.unwrap_err().is(ErrorCode::NotAllowed));
    assert_eq!(hers.message(&sent.id).await.unwrap().text, "Hello");
    bob.channel("messaging", "general").unwrap().delete(&sent.id).await.unwrap();
    sleep(1).await;
    assert_eq!(alice.unread().total_unread_count, 0, "what is deleted is not unread");
}

#[test]
fn the_page_shows_the_example_as_it_is() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let example =
        std::fs::read_to_string(format!("{root}/crates/parlour-client/examples/testing.rs")).unwrap();
    let page = std::fs::read_to_string(format!("{root}/docs/src/testing.md")).unwrap();
    let tested = between(&example, "// testing: begin\n", "// testing: end\n");
    let shown = between(&page, "<!-- testing -->\n```rust\n", "```\n<!-- /testing -->");
    assert_eq!(shown, tested);
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    text.split_once(begin).and_then(|(_, after)| after.split_once(end)).unwrap().0
}
