//! Users whom no backend knows, with a real server: a developer's, guests, and nobody.

use std::time::Duration;

use parlour_client::wire::guests::CreateGuest;
use parlour_client::wire::users::Role;
use parlour_client::{Client, ClientEvent, ErrorCode, Event, Events, Open, ServerClient, Transport};
use parlour_client::{anonymous_token, development_token};
use parlour_server::config::Mode;
use parlour_server::{Config, Running};

const SECRET: &str = "the secret of the app in these tests";
const EACH: [Transport; 3] = [Transport::WebSocket, Transport::EventStream, Transport::LongPoll];

async fn server() -> (Running, ServerClient) {
    let mut config = Config::default();
    config.server.listen = ([127, 0, 0, 1], 0).into();
    config.app.key = Some("dev".to_owned());
    config.app.secret = Some(SECRET.to_owned());
    config.app.mode = Some(Mode::Development);
    let running = parlour_server::start(config).await.unwrap();
    let backend = ServerClient::new(&format!("http://{}", running.address), "dev", SECRET).unwrap();
    backend.upsert_users(["host"]).await.unwrap();
    backend
        .as_user("host")
        .unwrap()
        .channel("livestream", "stage")
        .unwrap()
        .get_or_create(&[], [])
        .await
        .unwrap();
    (running, backend)
}

fn client(running: &Running, transport: Transport) -> Client {
    let url = format!("http://{}", running.address);
    Client::builder(url, "dev").transports([transport]).device(format!("{transport:?}")).build().unwrap()
}

/// The next message that is heard.
async fn hears(events: &mut Events) -> String {
    let next = async {
        loop {
            if let Some(ClientEvent::Event(frame)) = events.next().await
                && let Open::Known(Event::MessageNew { message, .. }) = &frame.event
            {
                return message.text.clone();
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), next).await.expect("it has to come")
}

#[tokio::test]
async fn a_guest_comes_by_itself_and_comes_back_with_its_token_f1_31_f1_32() {
    let (running, _) = server().await;
    let first = client(&running, Transport::WebSocket);
    let guest = first.create_guest(CreateGuest::named("Visitor")).await.unwrap();
    let me = first.connect_user(guest.user.id.clone(), guest.token.clone()).await.unwrap();
    assert_eq!((me.user.role, me.user.custom["name"].as_str()), (Role::Guest, Some("Visitor")));
    first.channel("livestream", "stage").unwrap().send("hello").await.unwrap();
    let made = first.channel("messaging", "mine").unwrap().get_or_create(&[], []).await;
    assert!(made.unwrap_err().is(ErrorCode::NotAllowed));
    first.disconnect_user().await.unwrap();
    let me = first.connect_user(guest.user.id.clone(), guest.token).await.unwrap();
    assert_eq!(me.user.id, guest.user.id);
    let raised = first.create_guest(CreateGuest::named("Mallory").with("role", "admin")).await;
    assert!(raised.unwrap_err().is(ErrorCode::RoleNotAllowed));
    running.stop().await;
}

#[tokio::test]
async fn who_is_anonymous_reads_and_watches_over_each_transport_f1_34_f1_35_f1_37() {
    let (running, backend) = server().await;
    let stage = backend.as_user("host").unwrap().channel("livestream", "stage").unwrap();
    for transport in EACH {
        let client = client(&running, transport);
        let mut events = client.events();
        let me = client.connect_anonymously().await.unwrap();
        assert!(me.user.id.is_anonymous() && me.user.role == Role::Anonymous, "{:?}", me.user);
        let channel = client.channel("livestream", "stage").unwrap();
        channel.watch().await.unwrap();
        let text = format!("look, by {transport:?}");
        stage.send(text.as_str()).await.unwrap();
        assert_eq!(hears(&mut events).await, text);
        assert!(channel.send("hello").await.unwrap_err().is(ErrorCode::NotAllowed));
        assert!(client.users(&["host"]).await.unwrap_err().is(ErrorCode::NotAllowed));
        let another = client.login(anonymous_token()).await;
        assert!(another.unwrap_err().is(ErrorCode::AlreadyConnectedAs));
        client.disconnect_user().await.unwrap();
        // Then it can be somebody.
        client.connect_user("alice", development_token("alice").unwrap()).await.unwrap();
        client.disconnect_user().await.unwrap();
    }
    running.stop().await;
}

#[tokio::test]
async fn an_address_without_keys_is_refused_and_none_is_forgotten_f1_6() {
    let (running, backend) = server().await;
    assert!(backend.set_jwks("http://127.0.0.1:1/keys").await.unwrap_err().is(ErrorCode::InvalidInput));
    backend.remove_jwks().await.unwrap();
    assert_eq!(backend.app().await.unwrap().jwks, None);
    running.stop().await;
}
