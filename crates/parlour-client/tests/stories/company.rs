//! Several clients of one process for the same user: one connection, and all of them are told.

use std::sync::Arc;

use parlour_client::{Builder, Client, ClientEvent, State, Transport};
use parlour_client::{CloseCode, ErrorCode};

use crate::kit::{CHANNEL, Server};
use crate::lifecycle::Shared;

/// Clients that go by one network.
struct House {
    server: Server,
    net: Arc<Server>,
}

impl House {
    fn new() -> Self {
        let server = Server::default();
        Self { net: Arc::new(server.clone()), server }
    }

    fn builder(&self) -> Builder {
        let builder = Client::builder("http://server.test", "dev").net(self.net.clone()).seed(7);
        // It speaks over nothing else.
        builder.transports([Transport::WebSocket])
    }

    fn client(&self) -> Client {
        self.builder().build().unwrap()
    }
}

async fn hears(events: &mut parlour_client::Events) -> u64 {
    loop {
        if let ClientEvent::Event(frame) = events.next().await.unwrap() {
            return frame.seq;
        }
    }
}

async fn until(client: &Client, state: State) {
    client.connection().wait_for(|status| status.state == state).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_app_that_makes_a_client_for_every_view_has_one_socket_l1_33() {
    let house = House::new();
    let clients: Vec<Client> = (0..20).map(|_| house.client()).collect();
    let mut events: Vec<_> = clients.iter().map(Client::events).collect();
    let all =
        futures_util::future::join_all(clients.iter().map(|client| client.connect_user("alice", "t"))).await;
    assert!(all.into_iter().all(|me| me.unwrap().user.id.as_str() == "alice"));
    assert_eq!(house.server.world().live_max, 1);
    assert_eq!(house.server.world().dials, 1);
    house.server.says(1, "bob", "hello, all of you").await;
    for (client, events) in clients.iter().zip(&mut events) {
        until(client, State::Connected).await;
        assert_eq!(hears(events).await, 1);
        assert_eq!(client.me().unwrap().user.id.as_str(), "alice");
        client.ping().await.unwrap();
    }
    // One after the other goes; the last one closes the door.
    let mut clients = clients;
    let last = clients.pop().unwrap();
    drop(clients);
    house.server.says(2, "bob", "still there?").await;
    assert_eq!(hears(events.last_mut().unwrap()).await, 2);
    last.ping().await.unwrap();
    assert_eq!(house.server.world().closes, []);
    drop(last);
    house.server.until(|world| world.live == 0).await;
    assert_eq!(house.server.world().dials, 1);
}

#[tokio::test(start_paused = true)]
async fn what_one_of_them_does_holds_for_all_l1_33() {
    let house = House::new();
    let (one, two) = (house.client(), house.client());
    one.connect_user("alice", "t").await.unwrap();
    two.connect_user("alice", "t").await.unwrap();
    two.disconnect().await.unwrap();
    until(&one, State::Offline).await;
    one.connect().await.unwrap();
    until(&two, State::Connected).await;
    // What one sends is the other's, too.
    let (kind, id) = CHANNEL.split_once(':').unwrap();
    two.channel(kind, id).unwrap().send("from the second").await.unwrap();
    assert_eq!(house.server.world().messages.len(), 1);
    let refused = two.connect_user("bob", "t").await.unwrap_err();
    assert_eq!(refused.body.code, ErrorCode::AlreadyConnectedAs.as_str());
    // Then each is on its own, and nobody hears of the next user of another one.
    one.disconnect_user().await.unwrap();
    until(&two, State::Idle).await;
    assert_eq!(two.connect().await.unwrap_err().body.code, ErrorCode::NotLoggedIn.as_str());
    let mut events = two.events();
    one.connect_user("bob", "t").await.unwrap();
    house.server.says(7, "carol", "for bob").await;
    one.ping().await.unwrap();
    assert_eq!((events.try_next(), two.me(), two.logged_in_user().await), (None, None, None));
    two.connect_user("carol", "t").await.unwrap();
    assert_eq!(one.me().unwrap().user.id.as_str(), "bob");
    assert_eq!((two.me().unwrap().user.id.as_str(), house.server.world().live), ("carol", 2));
}

#[tokio::test(start_paused = true)]
async fn the_next_one_waits_for_a_user_who_just_leaves_and_opens_no_second_socket_l1_26_l1_33() {
    let house = House::new();
    house.server.world().close_ms = 500;
    let (one, two) = (house.client(), house.client());
    one.connect_user("alice", "t").await.unwrap();
    let _leaving = one.disconnect_user();
    two.connect_user("alice", "t").await.unwrap();
    let world = house.server.world();
    assert_eq!((world.dials, world.live_max), (2, 1));
    assert_eq!(world.closes, [CloseCode::NORMAL]);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_restored_twice_is_one_connection_and_another_device_is_another_l1_33() {
    let house = House::new();
    let storage = Shared::default();
    let restoring = || house.builder().storage(storage.clone()).build().unwrap();
    let first = restoring();
    first.connect_user("alice", "t").await.unwrap();
    drop(first);
    house.server.until(|world| world.live == 0).await;
    let (one, two) = (restoring(), restoring());
    until(&one, State::Connected).await;
    until(&two, State::Connected).await;
    assert_eq!(two.logged_in_user().await.unwrap().as_str(), "alice");
    assert_eq!(house.server.world().live, 1);
    let phone = house.builder().device("phone").build().unwrap();
    phone.connect_user("alice", "t").await.unwrap();
    assert_eq!(house.server.world().live, 2);
}
