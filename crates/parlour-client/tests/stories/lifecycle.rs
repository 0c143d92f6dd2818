//! Modes, the background, and what outlives the process: LIFECYCLE's tables, row by row.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parlour_client::wire::frames::{AppState, ByeIntent};
use parlour_client::wire::{ClientFrame, CloseCode, ErrorCode};
use parlour_client::{
    Background, Client, ClientEvent, MemoryStorage, Message, MessageDraft, NetworkLevel, SendState,
    ServerClient, State, Storage, StorageError, UiStatus,
};

use crate::kit::{CHANNEL, Fault, Server, cid};

fn token(user: &str) -> String {
    ServerClient::new("http://server.test", "dev", "secret").unwrap().create_token(user, None).unwrap()
}

async fn is(client: &Client, state: State) {
    let mut connection = client.connection();
    connection.wait_for(|status| status.state == state).await.unwrap();
}

async fn sleep(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

fn byes(server: &Server) -> Vec<ByeIntent> {
    let world = server.world();
    let bye = |frame: &ClientFrame| {
        if let ClientFrame::Bye { intent } = frame { Some(intent.clone()) } else { None }
    };
    world.frames.iter().filter_map(bye).collect()
}

/// A storage that the next client has, too.
#[derive(Clone, Default)]
pub(crate) struct Shared(Arc<MemoryStorage>);

#[async_trait]
impl Storage for Shared {
    async fn get(&self, key: &str) -> Result<Option<String>, StorageError> {
        self.0.get(key).await
    }
    async fn set(&self, key: &str, value: String) -> Result<(), StorageError> {
        self.0.set(key, value).await
    }
    async fn remove(&self, key: &str) -> Result<(), StorageError> {
        self.0.remove(key).await
    }
}

// Modes.

#[tokio::test(start_paused = true)]
async fn a_login_asks_the_server_and_connects_in_auto_mode_l1_9_l1_10_l1_11_l2_1() {
    let server = Server::default();
    server.knows_nobody();
    let client = server.client();
    assert_eq!(client.logged_in_user().await, None);
    assert_eq!(client.login(token("alice")).await.unwrap().as_str(), "alice");
    assert_eq!(client.logged_in_user().await.unwrap().as_str(), "alice");
    is(&client, State::Connected).await;
    assert_eq!(server.world().requests, ["GET /v1/me"]);
    assert_eq!(server.world().dials, 1);
}

#[tokio::test(start_paused = true)]
async fn in_manual_mode_a_login_opens_nothing_and_calls_go_through_l1_10_l1_21_l2_2() {
    let server = Server::default();
    server.knows_nobody();
    let client = server.builder().auto_connect(false).build().unwrap();
    assert!(client.connect().await.unwrap_err().is(ErrorCode::NotLoggedIn));
    client.login(token("alice")).await.unwrap();
    sleep(60_000).await;
    assert_eq!(server.world().dials, 0);
    assert_eq!(client.connection().borrow().state, State::Offline);
    assert!(client.ping().await.unwrap_err().is(ErrorCode::NotConnected));
    client.channel_at(cid()).send("without a connection").await.unwrap();
    client.connect().await.unwrap();
    client.connect().await.unwrap();
    assert_eq!(server.world().dials, 1);
    assert!(client.ping().await.unwrap() < Duration::from_secs(1));
    assert!(client.connection().borrow().rtt.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_login_that_the_server_refuses_leaves_nobody_there() {
    let server = Server::default();
    server.queue([Fault::Refused(ErrorCode::TokenSignature)]);
    let client = server.client();
    assert!(client.login(token("alice")).await.unwrap_err().is(ErrorCode::TokenSignature));
    assert!(client.login("no token").await.unwrap_err().is(ErrorCode::TokenMalformed));
    let of_a_server = "eyJhbGciOiJIUzI1NiJ9.eyJzZXJ2ZXIiOnRydWV9.c2ln";
    assert!(client.login(of_a_server).await.unwrap_err().is(ErrorCode::ServerTokenCannotConnect));
    assert_eq!(client.logged_in_user().await, None);
    assert_eq!(server.world().dials, 0);
}

#[tokio::test(start_paused = true)]
async fn a_second_login_is_of_the_same_user_or_names_the_one_who_is_there() {
    let server = Server::default();
    server.knows_nobody();
    let client = server.client();
    client.login(token("alice")).await.unwrap();
    is(&client, State::Connected).await;
    client.login(token("alice")).await.unwrap();
    let refused = client.login(token("bob")).await.unwrap_err();
    assert!(refused.is(ErrorCode::AlreadyConnectedAs) && refused.body.message.contains("alice"), "{refused}");
    client.connect_user("alice", token("alice")).await.unwrap();
    assert_eq!(server.world().dials, 1);
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_holds_in_both_modes_until_connect_or_login_l1_12_l1_14() {
    for auto in [true, false] {
        let server = Server::default();
        server.knows_nobody();
        let client = server.builder().auto_connect(auto).build().unwrap();
        client.connect_user("alice", token("alice")).await.unwrap();
        client.disconnect().await.unwrap();
        client.disconnect().await.unwrap();
        assert_eq!(byes(&server), [ByeIntent::Leave]);
        client.enter_background().await.unwrap();
        client.enter_foreground().await.unwrap();
        client.set_network(NetworkLevel::Up).await.unwrap();
        client.retry_now().await.unwrap();
        sleep(120_000).await;
        assert_eq!((client.connection().borrow().state.clone(), server.world().dials), (State::Offline, 1));
        client.login(token("alice")).await.unwrap();
        sleep(1_000).await;
        assert_eq!(server.world().dials, if auto { 2 } else { 1 });
        client.connect().await.unwrap();
        assert_eq!(server.world().dials, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn in_auto_mode_the_background_parks_at_once_and_the_foreground_resumes_l1_19_l2_4_l2_8_l7_6_l9_4() {
    let server = Server::default();
    let client = server.client();
    client.connect_user("alice", token("alice")).await.unwrap();
    server.says(1, "bob", "one").await;
    sleep(10).await;
    client.enter_background().await.unwrap();
    is(&client, State::Parked).await;
    assert_eq!(client.connection().borrow().ui_status, UiStatus::Offline);
    assert_eq!(byes(&server), [ByeIntent::Park]);
    assert_eq!(server.world().closes, [CloseCode::MEANS_TO_RESUME]);
    sleep(3_600_000).await;
    assert_eq!(server.world().dials, 1);
    client.enter_foreground().await.unwrap();
    is(&client, State::Connected).await;
    let hello = server.world().hellos[1].clone();
    assert_eq!(hello.resume.unwrap().cursors[&crate::kit::topic()], 1);
}

#[tokio::test(start_paused = true)]
async fn in_manual_mode_the_lease_lasts_thirty_seconds_and_each_ping_renews_it_l1_15_l2_2_l2_6_l9_5() {
    let server = Server::default();
    let client = server.builder().auto_connect(false).build().unwrap();
    client.connect_user("alice", token("alice")).await.unwrap();
    client.enter_background().await.unwrap();
    sleep(29_000).await;
    client.ping().await.unwrap();
    sleep(29_900).await;
    assert_eq!(client.connection().borrow().state, State::Connected);
    sleep(200).await;
    is(&client, State::Parked).await;
    let lease = ClientFrame::AppState { state: AppState::Background, lease_ms: Some(30_000) };
    assert!(server.world().frames.contains(&lease));
    client.enter_foreground().await.unwrap();
    sleep(120_000).await;
    assert_eq!((client.connection().borrow().state.clone(), server.world().dials), (State::Offline, 1));
    client.connect().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn keep_alive_holds_a_connection_in_the_background_until_it_is_dropped_l2_13_l6_18() {
    let server = Server::default();
    let client = server.builder().auto_connect(false).build().unwrap();
    client.connect_user("alice", token("alice")).await.unwrap();
    let keep_alive = client.keep_alive();
    client.enter_background().await.unwrap();
    sleep(600_000).await;
    assert_eq!(client.connection().borrow().state, State::Connected);
    drop(keep_alive);
    sleep(31_000).await;
    is(&client, State::Parked).await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_kept_in_the_background_stays_l3_2() {
    let server = Server::default();
    let client = server.builder().background(Background::Keep).build().unwrap();
    client.connect_user("alice", token("alice")).await.unwrap();
    client.enter_background().await.unwrap();
    sleep(34_000).await;
    assert_eq!((client.connection().borrow().state.clone(), server.world().dials), (State::Connected, 1));
}

#[tokio::test(start_paused = true)]
async fn in_manual_mode_a_loss_in_the_background_is_final_and_one_in_the_foreground_is_not_l2_3_l2_7_l9_6() {
    let server = Server::default();
    let client = server.builder().auto_connect(false).build().unwrap();
    client.connect_user("alice", token("alice")).await.unwrap();
    server.cut(None).await;
    is(&client, State::Connected).await;
    sleep(5_000).await;
    assert_eq!(server.world().dials, 2);
    client.enter_background().await.unwrap();
    server.cut(None).await;
    sleep(60_000).await;
    client.enter_foreground().await.unwrap();
    sleep(60_000).await;
    assert_eq!((client.connection().borrow().state.clone(), server.world().dials), (State::Offline, 2));
}

// What outlives the process.

#[tokio::test(start_paused = true)]
async fn a_stored_session_connects_by_itself_in_auto_mode_and_resumes_where_it_stood_l1_2_l9_7() {
    let (server, storage) = (Server::default(), Shared::default());
    {
        let client = server.builder().storage(storage.clone()).build().unwrap();
        client.connect_user("alice", token("alice")).await.unwrap();
        server.says(1, "bob", "one").await;
        server.says(2, "bob", "two").await;
        sleep(1_500).await;
    }
    server.until(|world| world.live == 0).await;
    let client = server.builder().storage(storage.clone()).build().unwrap();
    assert_eq!(client.logged_in_user().await.unwrap().as_str(), "alice");
    is(&client, State::Connected).await;
    let hello = server.world().hellos[1].clone();
    assert_eq!(hello.resume.unwrap().cursors[&crate::kit::topic()], 2);
    assert_eq!((hello.user, hello.token), (None, token("alice")));
}

#[tokio::test(start_paused = true)]
async fn in_manual_mode_a_stored_session_opens_nothing_l1_11_l9_7() {
    let (server, storage) = (Server::default(), Shared::default());
    {
        let client = server.builder().storage(storage.clone()).build().unwrap();
        client.connect_user("alice", token("alice")).await.unwrap();
        sleep(1_500).await;
    }
    let client = server.builder().auto_connect(false).storage(storage).build().unwrap();
    assert_eq!(client.logged_in_user().await.unwrap().as_str(), "alice");
    sleep(60_000).await;
    assert_eq!(server.world().dials, 1);
    client.connect().await.unwrap();
    assert_eq!(server.world().dials, 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_sent_when_the_process_ends_is_sent_by_the_next_one_in_order_and_once_l5_16() {
    let (server, storage) = (Server::default(), Shared::default());
    {
        let client = server.builder().storage(storage.clone()).build().unwrap();
        client.connect_user("alice", token("alice")).await.unwrap();
        server.queue((0..50).map(|_| Fault::Lost));
        let channel = client.channel_at(cid());
        for text in ["one", "two", "three"] {
            drop(channel.queue(MessageDraft::text(text)).await.unwrap());
        }
        sleep(100).await;
        assert_eq!(client.outbox().len(), 3);
    }
    server.world().faults.clear();
    let client = server.builder().storage(storage.clone()).build().unwrap();
    is(&client, State::Connected).await;
    server.until(|world| world.messages.len() == 3).await;
    let texts: Vec<String> =
        server.world().messages.iter().map(|message: &Message| message.text.clone()).collect();
    assert_eq!(texts, ["one", "two", "three"]);
    sleep(2_000).await;
    drop(client);
    let client = server.builder().storage(storage).build().unwrap();
    is(&client, State::Connected).await;
    assert!(client.outbox().is_empty());
    sleep(60_000).await;
    assert_eq!(server.world().messages.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn disconnect_user_keeps_her_unsent_messages_for_her_alone_and_logout_erases_them_l1_16_l1_17_l1_18() {
    let (server, storage) = (Server::default(), Shared::default());
    let client = server.builder().storage(storage.clone()).build().unwrap();
    client.connect_user("alice", token("alice")).await.unwrap();
    server.queue((0..50).map(|_| Fault::Lost));
    drop(client.channel_at(cid()).queue(MessageDraft::text("later")).await.unwrap());
    sleep(100).await;
    client.disconnect_user().await.unwrap();
    sleep(100).await;
    drop(client);
    server.world().faults.clear();

    let client = server.builder().storage(storage.clone()).build().unwrap();
    assert_eq!(client.logged_in_user().await, None);
    client.connect_user("bob", token("bob")).await.unwrap();
    assert!(client.outbox().is_empty());
    client.disconnect_user().await.unwrap();
    server.queue((0..50).map(|_| Fault::Lost));
    client.connect_user("alice", token("alice")).await.unwrap();
    assert_eq!(client.outbox().len(), 1);
    assert_eq!(client.logout().await.unwrap(), 1);
    assert_eq!(client.logout().await.unwrap(), 0);
    sleep(100).await;
    drop(client);
    server.world().faults.clear();

    let client = server.builder().storage(storage).build().unwrap();
    assert_eq!(client.logged_in_user().await, None);
    client.connect_user("alice", token("alice")).await.unwrap();
    assert!(server.world().hellos.last().unwrap().resume.is_none());
    sleep(60_000).await;
    assert!(client.outbox().is_empty() && server.world().messages.is_empty());
}

struct Broken;

#[async_trait]
impl Storage for Broken {
    async fn get(&self, _: &str) -> Result<Option<String>, StorageError> {
        Ok(Some("garbage".to_owned()))
    }
    async fn set(&self, _: &str, _: String) -> Result<(), StorageError> {
        Err(StorageError("the disk is full".to_owned()))
    }
    async fn remove(&self, _: &str) -> Result<(), StorageError> {
        Err(StorageError("the disk is full".to_owned()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_storage_that_fails_never_stops_the_client_and_is_told() {
    let server = Server::default();
    let client = server.builder().storage(Broken).build().unwrap();
    let mut events = client.events();
    client.connect_user("alice", token("alice")).await.unwrap();
    client.channel_at(cid()).send("hello").await.unwrap();
    sleep(5_000).await;
    let mut told = Vec::new();
    while let Some(event) = events.try_next() {
        if let ClientEvent::StorageFailed { message } = event {
            told.push(message);
        }
    }
    assert!(told.iter().any(|message| message.contains("not understood")), "{told:?}");
    assert!(told.iter().any(|message| message.contains("the disk is full")), "{told:?}");
    assert_eq!(client.connection().borrow().state, State::Connected);
}

#[tokio::test(start_paused = true)]
async fn regions_are_names_of_servers_l1_1_l1_6() {
    let server = Server::default();
    let build = |name: &str| {
        Client::builder(name, "dev")
            .regions([("eu", "http://eu.server.test"), ("us", "http://us.server.test")])
            .net(Arc::new(server.clone()))
            .build()
    };
    build("eu").unwrap();
    assert!(build("asia").unwrap_err().is(ErrorCode::InvalidInput));
    let none: [parlour_client::Transport; 0] = [];
    let refused = server.builder().transports(none).build().unwrap_err();
    assert!(refused.is(ErrorCode::InvalidInput));
}

#[tokio::test(start_paused = true)]
async fn a_failed_message_is_still_failed_in_the_next_run() {
    let (server, storage) = (Server::default(), Shared::default());
    {
        let client = server.builder().storage(storage.clone()).build().unwrap();
        client.connect_user("alice", token("alice")).await.unwrap();
        server.queue([Fault::Refused(ErrorCode::NotAllowed)]);
        client.channel_at(CHANNEL.parse().unwrap()).send("no").await.unwrap_err();
        sleep(100).await;
    }
    let client = server.builder().storage(storage).build().unwrap();
    is(&client, State::Connected).await;
    let outbox = client.outbox();
    assert!(
        matches!(&outbox[0].state, SendState::Failed(error) if error.code == "not_allowed"),
        "{outbox:?}"
    );
    assert!(client.retry(&outbox[0].id));
    server.until(|world| world.messages.len() == 1).await;
}

/// A storage that takes its time to write.
struct Slow(Shared);

#[async_trait]
impl Storage for Slow {
    async fn get(&self, key: &str) -> Result<Option<String>, StorageError> {
        self.0.get(key).await
    }
    async fn set(&self, key: &str, value: String) -> Result<(), StorageError> {
        sleep(1_000).await;
        self.0.set(key, value).await
    }
    async fn remove(&self, key: &str) -> Result<(), StorageError> {
        sleep(1_000).await;
        self.0.remove(key).await
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_right_after_a_logout_finds_nothing_however_slow_the_storage_is() {
    let server = Server::default();
    let client = server.builder().storage(Slow(Shared::default())).build().unwrap();
    client.connect_user("alice", token("alice")).await.unwrap();
    server.queue((0..50).map(|_| Fault::Lost));
    drop(client.channel_at(cid()).queue(MessageDraft::text("never")).await.unwrap());
    sleep(3_000).await;
    assert_eq!(client.logout().await.unwrap(), 1);
    server.world().faults.clear();
    client.connect_user("alice", token("alice")).await.unwrap();
    assert!(client.outbox().is_empty());
    assert!(server.world().hellos.last().unwrap().resume.is_none());
}

#[tokio::test(start_paused = true)]
async fn without_a_session_a_disconnect_says_so() {
    let client = Server::default().client();
    assert!(client.disconnect().await.unwrap_err().is(ErrorCode::NotLoggedIn));
}
