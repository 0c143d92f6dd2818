//! A server in memory, behind the client's own door to the network.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parlour_client::wire::frames::{EventFrame, Hello, Limits, Ready, Resumed};
use parlour_client::wire::messages::{Message, MessageType, SendMessage};
use parlour_client::wire::users::{Me, User, UserBrief};
use parlour_client::wire::{
    Cid, ClientFrame, CloseCode, ConnectionId, Epoch, ErrorCode, MessageId, Seq, ServerFrame, Timestamp,
    UserId,
};
use parlour_client::{Builder, Client, Event, Frames, Net, NetError, Open, Received, Topic};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};

pub(crate) const CHANNEL: &str = "messaging:general";

/// What the server does with the next request or dial.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// The request never arrives.
    Lost,
    /// It arrives and is done, but its answer does not come back.
    AnswerLost,
    /// It is refused.
    Refused(ErrorCode),
    /// It is refused for this many seconds.
    RefusedFor(ErrorCode, u32),
}

/// What happened at the server, to be looked at by tests.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) dials: usize,
    pub(crate) hellos: Vec<Hello>,
    /// Frames after hello, without pongs.
    pub(crate) frames: Vec<ClientFrame>,
    pub(crate) closes: Vec<CloseCode>,
    pub(crate) live: usize,
    pub(crate) live_max: usize,
    /// Method and path of each request.
    pub(crate) requests: Vec<String>,
    pub(crate) tokens: Vec<String>,
    pub(crate) messages: Vec<Message>,
    /// Faults of the next requests, in order.
    pub(crate) faults: VecDeque<Fault>,
    /// The token that is taken for expired.
    pub(crate) expired: Option<String>,
    /// Whether dials succeed.
    pub(crate) down: bool,
    /// How long each dial takes.
    pub(crate) dial_ms: u64,
    /// How long each closing handshake takes.
    pub(crate) close_ms: u64,
    pub(crate) ready: Told,
    /// Answers of `GET` by path.
    pub(crate) answers: Vec<(String, Value)>,
    to_clients: Vec<mpsc::Sender<Received>>,
}

/// What `ready` says beside the user.
#[derive(Clone, Default)]
pub(crate) struct Told {
    pub(crate) channels: Vec<parlour_client::wire::reads::Unread>,
    pub(crate) total: u64,
}

#[derive(Clone, Default)]
pub(crate) struct Server {
    world: Arc<Mutex<World>>,
    changed: Arc<Notify>,
}

pub(crate) fn now() -> Timestamp {
    Timestamp::default()
}

pub(crate) fn cid() -> Cid {
    CHANNEL.parse().unwrap()
}

pub(crate) fn topic() -> Topic {
    Topic::Channel(cid())
}

pub(crate) fn brief(id: &str) -> UserBrief {
    UserBrief { id: UserId::parse(id).unwrap(), name: None, image: None }
}

pub(crate) fn message(id: &str, seq: Seq, user: &str, text: &str) -> Message {
    Message {
        id: MessageId::parse(id).unwrap(),
        cid: cid(),
        seq,
        message_type: MessageType::Regular,
        text: text.to_owned(),
        user: brief(user),
        created_at: now(),
        updated_at: now(),
        edited_at: None,
        deleted_at: None,
        attachments: Vec::new(),
        mentioned_users: Vec::new(),
        silent: false,
        shadowed: false,
        custom: std::collections::BTreeMap::new(),
    }
}

impl Server {
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn client(&self) -> Client {
        self.builder().build().unwrap()
    }

    pub(crate) fn builder(&self) -> Builder {
        let builder = Client::builder("http://server.test", "dev").net(Arc::new(self.clone())).seed(1);
        // It speaks over nothing else.
        builder.transports([parlour_client::Transport::WebSocket])
    }

    /// Answers `GET /v1/me` for a user who has never connected.
    pub(crate) fn knows_nobody(&self) {
        self.world().answers.push(("/v1/me".to_owned(), json!({ "me": null })));
    }

    /// Waits until the server has seen what is asked for.
    pub(crate) async fn until(&self, what: impl Fn(&World) -> bool) {
        loop {
            let changed = self.changed.notified();
            if what(&self.world()) {
                return;
            }
            changed.await;
        }
    }

    fn tell(&self) {
        self.changed.notify_waiters();
    }

    pub(crate) fn queue(&self, faults: impl IntoIterator<Item = Fault>) {
        self.world().faults.extend(faults);
    }

    /// Sends a frame to every live connection.
    pub(crate) async fn push(&self, frame: ServerFrame) {
        let clients = self.world().to_clients.clone();
        for client in clients {
            let _ = client.send(Received::Text(serde_json::to_string(&frame).unwrap())).await;
        }
    }

    pub(crate) async fn says(&self, seq: Seq, user: &str, text: &str) {
        let message = message(&format!("m{seq}"), seq, user, text);
        let event = Event::MessageNew { cid: cid(), created_at: now(), message };
        self.push_event(topic(), seq, event).await;
    }

    pub(crate) async fn push_event(&self, topic: Topic, seq: Seq, event: Event) {
        let frame = EventFrame { topic, seq, event: Open::Known(event) };
        self.push(ServerFrame::Event(Box::new(frame))).await;
    }

    /// Cuts every live connection.
    pub(crate) async fn cut(&self, code: Option<CloseCode>) {
        let clients = std::mem::take(&mut self.world().to_clients);
        for client in clients {
            let _ = client.send(Received::Closed { code, reason: String::new() }).await;
        }
    }

    fn hello(&self, hello: Hello, to_client: &mpsc::Sender<Received>) {
        let user = hello.user.clone().map(|user| user.id);
        let resumed = if hello.resume.is_some() { Resumed::Resumed } else { Resumed::Fresh };
        let mut world = self.world();
        let id = user
            .or_else(|| world.hellos.iter().rev().find_map(|hello| hello.user.clone()).map(|user| user.id));
        let expired = world.expired.as_deref() == Some(&hello.token);
        world.hellos.push(hello);
        let frames = if expired {
            let error = ErrorCode::TokenExpired.error();
            vec![
                ServerFrame::Error { error, topic: None },
                ServerFrame::Bye {
                    code: CloseCode::TOKEN_EXPIRED,
                    reason: String::new(),
                    retry_after_ms: None,
                    replaced_by: None,
                },
            ]
        } else {
            let ready = world.ready.clone();
            vec![ServerFrame::Ready(Box::new(Ready {
                connection_id: ConnectionId::parse(&format!("c{}", world.dials)).unwrap(),
                me: me(id.unwrap(), ready.total),
                epoch: Epoch::parse("e1").unwrap(),
                as_of: now(),
                heartbeat_ms: 25_000,
                limits: Limits {
                    frame_bytes: 65_536,
                    frames_per_second: 20,
                    frames_burst: 60,
                    connections_per_user: 3,
                    dead_link_ms: 35_000,
                    message_chars: 5_000,
                },
                resumed,
                heads: [(topic(), 0)].into(),
                channels: ready.channels,
                presence: Vec::new(),
                presence_others: None,
            }))]
        };
        for frame in frames {
            to_client.try_send(Received::Text(serde_json::to_string(&frame).unwrap())).unwrap();
        }
        if expired {
            let closed = Received::Closed { code: Some(CloseCode::TOKEN_EXPIRED), reason: String::new() };
            to_client.try_send(closed).unwrap();
        }
        drop(world);
        self.tell();
    }

    fn store(&self, body: &[u8]) -> http::Response<Bytes> {
        let sent: SendMessage = serde_json::from_slice(body).unwrap();
        let id = sent.message.id.unwrap();
        let mut world = self.world();
        let before = world.messages.iter().find(|message| message.id == id).cloned();
        let status = if before.is_some() { 200 } else { 201 };
        let seq = world.messages.len() as Seq + 1;
        let stored = before.unwrap_or_else(|| {
            let message = message(id.as_str(), seq, "alice", &sent.message.text);
            world.messages.push(message.clone());
            message
        });
        answer(status, &json!({ "message": stored }))
    }
}

fn answer(status: u16, body: &Value) -> http::Response<Bytes> {
    http::Response::builder().status(status).body(Bytes::from(body.to_string())).unwrap()
}

pub(crate) fn me(id: UserId, total: u64) -> Me {
    Me {
        total_unread_count: total,
        unread_channels: u64::from(total > 0),
        mutes: Vec::new(),
        devices: Vec::new(),
        user: User { online: true, ..User::new(id, now()) },
    }
}

#[async_trait]
impl Net for Server {
    async fn open(&self, url: &str) -> Result<Box<dyn Frames>, NetError> {
        assert_eq!(url, "ws://server.test/v1/connect", "no token, no user, nothing else in the URL");
        let wait = {
            let mut world = self.world();
            world.dials += 1;
            Duration::from_millis(world.dial_ms)
        };
        self.tell();
        tokio::time::sleep(wait).await;
        let mut world = self.world();
        if world.down {
            return Err(NetError("connection refused".to_owned()));
        }
        let (to_client, inbox) = mpsc::channel(1_024);
        world.live += 1;
        world.live_max = world.live_max.max(world.live);
        world.to_clients.push(to_client.clone());
        Ok(Box::new(Socket { server: self.clone(), to_client, inbox }))
    }

    async fn request(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, NetError> {
        let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
        let fault = {
            let mut world = self.world();
            world.requests.push(format!("{method} {path}"));
            let bearer = request.headers()["authorization"].to_str().unwrap();
            let token = bearer.strip_prefix("Bearer ").unwrap().to_owned();
            world.tokens.push(token.clone());
            let expired = world.expired.as_ref() == Some(&token);
            if expired { Some(Fault::Refused(ErrorCode::TokenExpired)) } else { world.faults.pop_front() }
        };
        self.tell();
        let refused = |code: ErrorCode, retry_after| {
            let mut error = code.error();
            error.retry_after = retry_after;
            Ok(answer(code.status(), &json!({ "error": error })))
        };
        match fault {
            Some(Fault::Lost) => return Err(NetError("connection reset".to_owned())),
            Some(Fault::Refused(code)) => return refused(code, None),
            Some(Fault::RefusedFor(code, seconds)) => return refused(code, Some(seconds)),
            Some(Fault::AnswerLost) | None => {}
        }
        let response = if method == "POST" && path.ends_with("/messages") {
            self.store(request.body())
        } else {
            let body = self.world().answers.iter().find(|(p, _)| *p == path).map(|(_, body)| body.clone());
            match body {
                Some(body) => answer(200, &body),
                None => return refused(ErrorCode::NotFound, None),
            }
        };
        self.tell();
        match fault {
            Some(_) => Err(NetError("connection reset before the answer".to_owned())),
            None => Ok(response),
        }
    }
}

struct Socket {
    server: Server,
    to_client: mpsc::Sender<Received>,
    inbox: mpsc::Receiver<Received>,
}

#[async_trait]
impl Frames for Socket {
    async fn send(&mut self, text: String) -> Result<(), NetError> {
        match serde_json::from_str(&text).unwrap() {
            ClientFrame::Hello(hello) => self.server.hello(*hello, &self.to_client),
            ClientFrame::Pong => {}
            ClientFrame::Ping { id } => {
                let pong = serde_json::to_string(&ServerFrame::Pong { id }).unwrap();
                let _ = self.to_client.send(Received::Text(pong)).await;
            }
            frame => self.server.world().frames.push(frame),
        }
        self.server.tell();
        Ok(())
    }

    async fn recv(&mut self) -> Received {
        match self.inbox.recv().await {
            Some(received) => received,
            None => std::future::pending().await,
        }
    }

    async fn close(&mut self, code: CloseCode, _reason: &str) {
        let wait = {
            let mut world = self.server.world();
            world.closes.push(code);
            Duration::from_millis(world.close_ms)
        };
        tokio::time::sleep(wait).await;
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let mut world = self.server.world();
        world.live -= 1;
        world.to_clients.retain(|client| !client.same_channel(&self.to_client));
        drop(world);
        self.server.tell();
    }
}
