//! The paths that everything goes through, each for itself and as often as one asks: what one more of them costs in
//! instructions is counted by `cargo xtask instructions` and compared with what was recorded.
//!
//! As tests they say that the paths still lead where they should.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parlour_proto::{Admission, Cursor, Effect, Offer, Session, SessionInput, SessionOutput, TopicStart};
use parlour_store::{
    App, AppMode, Connect, Logged, NewApp, NewChannel, NewMessage, Requires, Sent, Sqlite, Store,
};
use parlour_wire::users::Me;
use parlour_wire::{AppKey, Cid, ClientFrame, ConnectionId, MessageId, Open, Timestamp, Topic, UserId};
use serde_json::json;

use crate::auth;
use crate::config::Config;
use crate::frame::Frame;
use crate::gateway::intake::Intake;
use crate::gateway::{Flushed, LastsBy, Outlet, session_config};
use crate::hub::{Hub, encode};
use crate::mailbox::Mailbox;

/// How often, where more than once.
const TIMES: &str = "PARLOUR_HOT_PATH_TIMES";
const LISTENERS: usize = 100;

fn times() -> u64 {
    std::env::var(TIMES).map_or(1, |times| times.parse().expect("a number of times"))
}

fn now() -> Timestamp {
    Timestamp::from_unix_ms(1_795_243_620_000)
}

fn alice() -> UserId {
    UserId::parse("alice").unwrap()
}

fn general() -> Cid {
    "messaging:general".parse().unwrap()
}

/// A store in memory, which does everything in the caller's thread, with an app and a channel of Alice's.
async fn store() -> (Arc<Sqlite>, App) {
    let store = Sqlite::in_memory().unwrap();
    let key = AppKey::parse("app").unwrap();
    let secret = "0123456789abcdef0123456789abcdef".to_owned();
    let app = store.create_app(NewApp { key, secret, mode: AppMode::Production, now: now() }).await.unwrap();
    store.connect(connect(&app, alice())).await.unwrap();
    let (members, data) = (Vec::new(), BTreeMap::new());
    let creator = Some(alice());
    let channel = NewChannel { app: app.id, cid: general(), creator, members, team: None, data, now: now() };
    store.get_or_create_channel(channel).await.unwrap();
    (store, app)
}

fn connect(app: &App, user: UserId) -> Connect {
    let fields = BTreeMap::from([
        ("name".to_owned(), json!("Somebody")),
        ("image".to_owned(), json!("https://example.com/somebody.png")),
    ]);
    Connect { app: app.id, user, fields, ticket: None, resume: None, issued_at: None, now: now() }
}

fn message(app: &App, number: u64) -> NewMessage {
    NewMessage {
        app: app.id,
        cid: general(),
        sender: alice(),
        requires: Requires::Membership,
        id: MessageId::parse(&format!("0198f2c1-7d3e-7c55-a1f0-{number:012x}")).unwrap(),
        text: "x".repeat(200),
        attachments: Vec::new(),
        mentioned_users: Vec::new(),
        silent: false,
        custom: BTreeMap::new(),
        now: now(),
    }
}

/// The event that a message of 200 characters makes, and the user who said it.
async fn said() -> (Logged, Me) {
    let (store, app) = store().await;
    let committed = store.send_message(message(&app, 0)).await.unwrap();
    let me = store.me(app.id, &alice(), now()).await.unwrap().unwrap();
    (Logged::clone(&committed.events[0]), me)
}

/// Where a socket would be.
#[derive(Default)]
struct Sink {
    frames: AtomicUsize,
}

impl Outlet for Sink {
    fn has_room(&self) -> bool {
        true
    }

    fn push(&self, frames: &mut dyn Iterator<Item = &Frame>) {
        self.frames.fetch_add(frames.map(black_box).count(), Ordering::Relaxed);
    }

    fn flush(&self) -> Flushed {
        Flushed::All
    }
}

/// A session that listens to the topic and has everything up to this seq.
fn listening(me: &Me, topic: &Arc<Topic>, head: u64) -> Session<Frame> {
    let config = session_config(&Config::default().limits, LastsBy::Link);
    let mut session = Session::new(0, config, 1.0);
    let hello = json!({
        "type": "hello", "app_key": "app", "token": "t", "client": { "instance": "i", "version": 1 }
    });
    let hello: ClientFrame = serde_json::from_value(hello).unwrap();
    let mut out = Vec::new();
    session.handle(0, SessionInput::Frame(Open::Known(hello)), &mut out);
    assert!(matches!(out[..], [SessionOutput::Admit(_)]));
    let ready = json!({
        "connection_id": "c", "epoch": "e", "as_of": now(), "heartbeat_ms": 25_000, "resumed": "fresh",
        "me": me,
        "limits": {
            "frame_bytes": 65_536, "frames_per_second": 20, "frames_burst": 60, "connections_per_user": 50,
            "dead_link_ms": 35_000, "message_chars": 5_000
        }
    });
    let start = TopicStart { topic: Arc::clone(topic), head, floor: 0, hidden_up_to: 0, as_of_seq: None };
    let admission = Admission {
        ready: serde_json::from_value(ready).unwrap(),
        topics: vec![start],
        token_expires_in_ms: None,
    };
    session.handle(0, SessionInput::Admitted(Box::new(admission)), &mut out);
    session
}

#[tokio::test]
async fn an_event_is_encoded_and_framed() {
    let (said, _) = said().await;
    let topic = Arc::new(said.topic.clone());
    for _ in 0..times() {
        let live = encode(black_box(&said), &topic, Effect::None);
        assert!(live.frame.as_websocket().len() > 200);
    }
}

#[test]
fn a_cursor_is_offered_a_thousand_events() {
    for _ in 0..times() {
        let mut cursor = Cursor::new(black_box(0));
        let taken = (1..=1_000).filter(|seq| cursor.offer(black_box(*seq)) == Offer::Next).count();
        assert_eq!(taken, 1_000);
    }
}

#[tokio::test]
async fn an_event_is_brought_to_a_hundred_who_wait() {
    let (said, me) = said().await;
    let hub = Hub::new(now(), 1);
    let lanes: Vec<_> = hub.lanes().map(tokio::spawn).collect();
    let topic = hub.share(said.app, said.topic.clone());
    let sinks: Vec<Arc<Sink>> = (0..LISTENERS).map(|_| Arc::default()).collect();
    let mailboxes: Vec<Arc<Mailbox>> = (0_u64..)
        .zip(&sinks)
        .map(|(number, sink)| {
            let outlet: Arc<dyn Outlet> = Arc::<Sink>::clone(sink);
            let id = ConnectionId::parse("c").unwrap();
            let mailbox = Arc::new(Mailbox::new(number, id, 1 << 20, Intake::default(), Some(outlet)));
            mailbox.lay_down(Box::new(listening(&me, &topic, said.seq)));
            hub.attach(said.app, &topic, &mailbox);
            mailbox
        })
        .collect();
    for _ in 1..=times() {
        let seq = said.seq + 1 + sinks[0].frames.load(Ordering::Relaxed) as u64;
        hub.deliver(&Arc::new(Logged { seq, ..said.clone() }));
        hub.settled(&mailboxes[0]).await;
    }
    let heard = sinks.iter().map(|sink| sink.frames.load(Ordering::Relaxed) as u64);
    assert!(heard.into_iter().all(|heard| heard == times()), "each once, past the gateway");
    lanes.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn a_token_is_verified() {
    let (_, app) = store().await;
    let token = auth::sign(&app, &alice(), now(), Some(3_600)).unwrap();
    let app = auth::Hosted::new(app);
    for _ in 0..times() {
        assert!(auth::verify(&app, black_box(&token), now()).is_ok());
    }
}

#[tokio::test]
async fn a_message_is_stored() {
    let (store, app) = store().await;
    for number in 0..times() {
        let committed = store.send_message(message(&app, number)).await.unwrap();
        assert!(matches!(committed.value, Sent::New(_)));
    }
}

#[tokio::test]
async fn a_new_user_is_stored_and_connected() {
    let (store, app) = store().await;
    for number in 0..times() {
        let user = UserId::parse(&format!("u{number}")).unwrap();
        assert!(store.connect(connect(&app, user)).await.unwrap().value.created);
    }
}

#[tokio::test]
async fn a_known_user_is_connected() {
    let (store, app) = store().await;
    for _ in 0..times() {
        assert!(!store.connect(connect(&app, alice())).await.unwrap().value.created);
    }
}
