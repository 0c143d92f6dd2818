//! A server on a clock that moves only while everybody waits, reached without sockets: hours pass at once, and to the
//! millisecond.

use std::sync::Arc;
use std::time::Duration;

use parlour_server::bus::LocalBus;
use parlour_server::gateway::{self, Received, SendError, Transport};
use parlour_server::{Clock, Config, Dice, Frame, Node, Parts};
use parlour_store::{AppMode, NewApp, Sqlite, Store};
use parlour_wire::{AppKey, CloseCode, Timestamp};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::kit::{SECRET, config, kind, sign};

/// 2026-11-21T06:40:00Z.
pub(crate) const BEGAN_MS: i64 = 1_795_243_200_000;

/// Frames under way to a client; the next waits until one is read.
const UNDER_WAY: usize = 4;

/// The longest that anybody waits for something that has to come; it takes no time.
const WAIT: Duration = Duration::from_secs(3_600);

/// The server.
pub(crate) struct Still {
    node: Arc<Node>,
    pub(crate) store: Arc<Sqlite>,
    began: Instant,
}

impl Still {
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = config();
        change(&mut config);
        let store = Sqlite::in_memory().unwrap();
        let now = Timestamp::from_unix_ms(BEGAN_MS);
        let (key, mode) = (AppKey::parse("dev").unwrap(), AppMode::Development);
        store.create_app(NewApp { key, secret: SECRET.to_owned(), mode, now }).await.unwrap();
        let parts = Parts {
            config,
            store: Arc::clone(&store) as Arc<dyn Store>,
            bus: Arc::new(LocalBus::default()),
            clock: Clock::starting_at(now),
            dice: Dice::seeded(1),
        };
        let node = Node::new(parts).await.unwrap();
        tokio::spawn(Arc::clone(&node).run());
        Self { node, store, began: Instant::now() }
    }

    /// Connects with these fields in `hello`, and is let in.
    pub(crate) async fn connects(&self, user: &str, fields: Value) -> Line {
        let mut line = self.dials(user, fields).await;
        line.ready = line.hears("ready").await;
        line
    }

    /// Says `hello` with these fields, and waits for nothing.
    pub(crate) async fn dials(&self, user: &str, fields: Value) -> Line {
        let line = Line::open(self);
        let mut hello = json!({
            "type": "hello", "app_key": "dev", "token": sign(&json!({ "user_id": user })),
            "client": { "instance": user, "version": 1 },
        });
        hello.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        line.says(&hello).await;
        line
    }
}

/// This much time passes.
pub(crate) async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

/// What its client does with a line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hand {
    /// Reads, and answers pings.
    Reads,
    /// Reads, and answers nothing.
    Listens,
    /// Reads nothing.
    StandsStill,
    /// Is gone, and nothing on the way says so: what is sent to it arrives nowhere.
    Gone,
}

/// One connection, whose client reads by itself.
pub(crate) struct Line {
    to_server: mpsc::Sender<Received>,
    heard: mpsc::Receiver<Heard>,
    hand: watch::Sender<Hand>,
    pub(crate) ready: Value,
}

/// A frame, or the end, and when it came.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) after: Duration,
    pub(crate) frame: Value,
}

impl Line {
    fn open(server: &Still) -> Self {
        let (to_server, from_client) = mpsc::channel(UNDER_WAY);
        let (to_client, from_server) = mpsc::channel(UNDER_WAY);
        let (hand, hands) = watch::channel(Hand::Reads);
        let (log, heard) = mpsc::channel(10_000);
        let wire = Wire { from_client, to_client: Some(to_client) };
        tokio::spawn(gateway::serve(Arc::clone(&server.node), wire, None, None));
        // Weak: the link breaks when its client is dropped.
        tokio::spawn(read(from_server, to_server.downgrade(), hands, log, server.began));
        Self { to_server, heard, hand, ready: Value::Null }
    }

    pub(crate) async fn says(&self, frame: &Value) {
        let _ = self.to_server.send(Received::Text(frame.to_string())).await;
    }

    pub(crate) async fn stands(&self, state: &str) {
        self.says(&json!({ "type": "app_state", "state": state })).await;
    }

    /// Everything that came since this was asked last.
    pub(crate) fn heard(&mut self) -> Vec<Heard> {
        std::iter::from_fn(|| self.heard.try_recv().ok()).collect()
    }

    /// The next frame of this kind; others before it are passed over.
    pub(crate) async fn hears(&mut self, wanted: &str) -> Value {
        let mut others = Vec::new();
        while let Ok(Some(heard)) = tokio::time::timeout(WAIT, self.heard.recv()).await {
            if kind(&heard.frame) == wanted {
                return heard.frame;
            }
            others.push(heard);
        }
        panic!("{wanted} does not come: {others:?}");
    }

    /// Everything until the end, and the close code.
    pub(crate) async fn until_closed(&mut self) -> (Vec<Value>, Value) {
        let mut frames = Vec::new();
        while let Ok(Some(heard)) = tokio::time::timeout(WAIT, self.heard.recv()).await {
            if heard.frame["type"] == "closed" {
                return (frames, heard.frame["code"].clone());
            }
            frames.push(heard.frame);
            assert!(frames.len() < 1_000, "no end comes");
        }
        panic!("no end comes after {frames:?}");
    }

    /// Answers no ping from now on: too slow, or asleep.
    pub(crate) fn falls_silent(&self) {
        self.hand.send_replace(Hand::Listens);
    }

    /// Reads nothing from now on.
    pub(crate) fn stands_still(&self) {
        self.hand.send_replace(Hand::StandsStill);
    }

    pub(crate) fn reads_again(&self) {
        self.hand.send_replace(Hand::Reads);
    }

    /// Its device is gone from one moment to the next, and no link says so.
    pub(crate) fn vanishes(&self) {
        self.hand.send_replace(Hand::Gone);
    }

    /// The link breaks, and the server notices.
    pub(crate) fn breaks(self) {
        drop(self);
    }

    /// Goes for good.
    pub(crate) async fn leaves(self) {
        self.says(&json!({ "type": "bye", "intent": "leave" })).await;
        // Until the server has taken it.
        self.to_server.closed().await;
    }
}

/// The client: reads, answers pings, and writes down what it hears.
async fn read(
    mut from_server: mpsc::Receiver<Value>,
    to_server: mpsc::WeakSender<Received>,
    mut hands: watch::Receiver<Hand>,
    log: mpsc::Sender<Heard>,
    began: Instant,
) {
    while hands.wait_for(|hand| *hand != Hand::StandsStill).await.is_ok() {
        let frame = tokio::select! {
            biased;
            still = hands.wait_for(|hand| *hand == Hand::StandsStill) => match still {
                Ok(_) => continue,
                Err(_) => return,
            },
            frame = from_server.recv() => frame,
        };
        let Some(frame) = frame else { return };
        if *hands.borrow() == Hand::Gone {
            continue;
        }
        if frame["type"] == "ping" && *hands.borrow() == Hand::Reads {
            let Some(to_server) = to_server.upgrade() else { return };
            let _ = to_server.send(Received::Text(r#"{"type":"pong"}"#.to_owned())).await;
        } else {
            let _ = log.send(Heard { after: began.elapsed(), frame }).await;
        }
    }
}

/// The server's end.
struct Wire {
    from_client: mpsc::Receiver<Received>,
    to_client: Option<mpsc::Sender<Value>>,
}

impl Transport for Wire {
    const NAME: &'static str = "still";

    async fn recv(&mut self) -> Received {
        self.from_client.recv().await.unwrap_or(Received::Closed(None))
    }

    async fn send(&mut self, frame: Frame) -> Result<(), SendError> {
        let frame = serde_json::from_str(frame.text()).unwrap();
        let to_client = self.to_client.as_ref().ok_or(SendError::Gone)?;
        to_client.send(frame).await.map_err(|_| SendError::Gone)
    }

    async fn close(&mut self, code: CloseCode, _: &str) {
        if let Some(to_client) = self.to_client.take() {
            // Who reads nothing is not waited for.
            let _ = to_client.try_send(json!({ "type": "closed", "code": code }));
        }
    }
}
