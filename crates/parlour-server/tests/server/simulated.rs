//! A server without sockets on a clock of its own: hours pass in no time, and a link takes as many bytes per second as
//! it is told.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use futures_util::{SinkExt, StreamExt};
use http_body_util::BodyExt;
use parlour_server::bus::LocalBus;
use parlour_server::{Clock, Config, Dice, Node, Parts};
use parlour_store::{AppMode, NewApp, Sqlite, Store};
use parlour_wire::{AppKey, Timestamp};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::time::{Instant, Sleep};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tower::ServiceExt;

use crate::kit::{Heard, SECRET, config, kind, sign};

/// A Saturday morning.
pub(crate) const START_MS: i64 = 1_795_243_200_000;
/// The secret of `other`, the second app of the server.
pub(crate) const SECRET_ELSEWHERE: &str = "the secret of another app on this server";
/// Bytes on the way to a client that it has not read.
const PIPE_BYTES: usize = 16 * 1024;

/// One server.
pub(crate) struct World {
    pub(crate) store: Arc<Sqlite>,
    node: Arc<Node>,
    router: Router,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = config();
        change(&mut config);
        let store = Sqlite::in_memory().unwrap();
        for (key, secret) in [("dev", SECRET), ("other", SECRET_ELSEWHERE)] {
            let app = NewApp {
                key: AppKey::parse(key).unwrap(),
                secret: secret.to_owned(),
                mode: AppMode::Development,
                now: Timestamp::from_unix_ms(START_MS),
            };
            store.create_app(app).await.unwrap();
        }
        let node = Node::new(Parts {
            config,
            store: Arc::clone(&store) as Arc<dyn Store>,
            bus: Arc::new(LocalBus::default()),
            clock: Clock::starting_at(Timestamp::from_unix_ms(START_MS)),
            dice: Dice::seeded(7),
        });
        let node = node.await.unwrap();
        tokio::spawn(Arc::clone(&node).run());
        let router = parlour_server::router(Arc::clone(&node));
        Self { store, node, router }
    }

    /// A server where these users exist, members of `messaging:general`.
    pub(crate) async fn with_members(users: &[&str]) -> Self {
        let world = Self::start().await;
        let objects: Vec<Value> = users.iter().map(|id| json!({ "id": id })).collect();
        world.backend("POST", "/v1/users", json!({ "users": objects })).await;
        let members = json!({ "members": users });
        world.asks(users[0], "POST", "/v1/channels/messaging/general", members).await;
        world
    }

    /// Serves whatever comes on this stream.
    pub(crate) fn serves(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let serving =
            parlour_server::serve_stream(Arc::clone(&self.node), self.router.clone(), stream, address);
        tokio::spawn(serving);
    }

    pub(crate) async fn ask(&self, claims: Value, method: &str, path: &str, body: Value) -> (u16, Value) {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("X-Parlour-App", "dev")
            .header("Authorization", format!("Bearer {}", sign(&claims)));
        self.carries_out(request, body).await
    }

    /// The answer to a request with this body; `null`: without one.
    pub(crate) async fn carries_out(&self, request: http::request::Builder, body: Value) -> (u16, Value) {
        let request = match body {
            Value::Null => request.body(Body::empty()),
            body => request.header("Content-Type", "application/json").body(Body::from(body.to_string())),
        };
        let response = self.router.clone().oneshot(request.unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    /// What a user asks over HTTP, and the answer.
    pub(crate) async fn asks(&self, user: &str, method: &str, path: &str, body: Value) -> (u16, Value) {
        self.ask(json!({ "user_id": user }), method, path, body).await
    }

    /// What the app's backend asks.
    pub(crate) async fn backend(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        self.ask(json!({ "server": true }), method, path, body).await
    }

    /// What the app's backend asks in the name of a user.
    pub(crate) async fn backend_as(&self, user: &str, path: &str, body: Value) -> (u16, Value) {
        let request = http::Request::post(path)
            .header("X-Parlour-App", "dev")
            .header("X-Parlour-User", user)
            .header("Authorization", format!("Bearer {}", sign(&json!({ "server": true }))));
        self.carries_out(request, body).await
    }

    pub(crate) async fn epoch(&self) -> String {
        self.store.epoch().await.unwrap().to_string()
    }

    pub(crate) async fn connections(&self) -> Value {
        self.backend("GET", "/v1/usage", Value::Null).await.1["concurrent_connections"]["current"].clone()
    }

    /// Opens a WebSocket whose client takes this many bytes per second, says hello, and waits for nothing.
    pub(crate) async fn dials(&self, user: &str, bytes_per_second: u32) -> Live {
        self.dials_with(&hello(user), bytes_per_second).await
    }

    /// The same with this hello.
    pub(crate) async fn dials_with(&self, hello: &Value, bytes_per_second: u32) -> Live {
        let (client, server) = tokio::io::duplex(PIPE_BYTES);
        self.serves(server);
        let slow = Slow { stream: client, bytes_per_second, pause: None };
        let (socket, _) = tokio_tungstenite::client_async("ws://simulated/v1/connect", slow).await.unwrap();
        let mut live = Live { socket };
        live.says(hello).await;
        live
    }

    /// Connects over a link that is fast, and is let in.
    pub(crate) async fn connects(&self, user: &str) -> Live {
        let mut live = self.dials(user, 1_000_000).await;
        live.hears("ready").await;
        live
    }

    /// Asks for an event stream or a poll; everything that comes until it ends.
    pub(crate) async fn connects_over_http(&self, user: &str, accept: &str) -> String {
        let request = http::Request::post("/v1/connect")
            .header("Accept", accept)
            .header("Content-Type", "application/json")
            .body(Body::from(hello(user).to_string()));
        let response = self.router.clone().oneshot(request.unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    }
}

fn hello(user: &str) -> Value {
    json!({
        "type": "hello", "app_key": "dev", "token": sign(&json!({ "user_id": user })),
        "client": { "instance": user, "page": "p", "version": 1 },
    })
}

/// One WebSocket.
pub(crate) struct Live {
    socket: WebSocketStream<Slow>,
}

impl Live {
    pub(crate) async fn says(&mut self, frame: &Value) {
        let _ = self.socket.send(Message::text(frame.to_string())).await;
    }

    /// What comes next, however long it takes, but for the server's pings, which are answered.
    pub(crate) async fn next(&mut self) -> Heard {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text).unwrap();
                    if frame["type"] != "ping" {
                        return Heard::Frame(frame);
                    }
                    self.says(&json!({ "type": "pong" })).await;
                }
                Some(Ok(Message::Close(frame))) => {
                    return Heard::Closed(frame.map(|frame| frame.code.into()));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Heard::Closed(None),
            }
        }
    }

    /// The next frame of this kind; others before it are passed over.
    pub(crate) async fn hears(&mut self, wanted: &str) -> Value {
        loop {
            match self.next().await {
                Heard::Frame(frame) if kind(&frame) == wanted => return frame,
                Heard::Frame(_) => {}
                Heard::Closed(code) => panic!("closed with {code:?} before {wanted}"),
            }
        }
    }

    /// Everything until the end, and the close code.
    pub(crate) async fn until_closed(&mut self) -> (Vec<Value>, Option<u16>) {
        let mut frames = Vec::new();
        loop {
            match self.next().await {
                Heard::Frame(frame) => frames.push(frame),
                Heard::Closed(code) => return (frames, code),
            }
        }
    }
}

/// The speed of a link that takes no time, for stories in which none passes.
pub(crate) const AT_ONCE: u32 = u32::MAX;

/// The client's end of a link that carries a number of bytes per second to it.
struct Slow {
    stream: DuplexStream,
    bytes_per_second: u32,
    pause: Option<Pin<Box<Sleep>>>,
}

impl AsyncRead for Slow {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(pause) = &mut self.pause {
            std::task::ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        // Ten times per second.
        let piece = (self.bytes_per_second / 10).max(1) as usize;
        let mut bytes = vec![0; piece.min(buf.remaining())];
        let mut read = ReadBuf::new(&mut bytes);
        std::task::ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
        buf.put_slice(read.filled());
        if self.bytes_per_second != AT_ONCE {
            let pause = tokio::time::sleep_until(Instant::now() + Duration::from_millis(100));
            self.pause = Some(Box::pin(pause));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Slow {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
