//! Links and HTTP calls between a client and the server of the moment.
//!
//! A link keeps the order of what goes over it, delays it, and may be cut: then both sides notice, and what
//! was under way is lost. Or it becomes a black hole: nobody notices anything. A call may be lost on the way
//! there, or its answer on the way back.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::BodyExt;
use parlour_client::{Body, CloseCode, Frames, Net, NetError, Received};
use parlour_server::Frame;
use parlour_server::gateway::{self, Flushed, Outlet, SendError, Transport};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tower::ServiceExt;

use crate::world::World;

/// Frames under way in one direction, at most: a slow side holds the other up.
const PIPE_LEN: usize = 32;

/// How a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkState {
    Up,
    /// Both sides notice.
    Cut,
    /// Nothing arrives any more, and nobody notices.
    BlackHole,
}

enum Item {
    Text(String),
    Close(CloseCode, String),
}

/// One side's end of a link.
struct End {
    world: Arc<World>,
    state: watch::Receiver<LinkState>,
    to_other: Option<mpsc::Sender<(Instant, Item)>>,
    from_other: mpsc::Receiver<(Instant, Item)>,
    /// Taken from the pipe and not due yet: a dropped receive must not lose it.
    waiting: VecDeque<(Instant, Item)>,
    /// Nothing overtakes.
    last_due: Instant,
}

impl End {
    fn pair(world: &Arc<World>, state: &watch::Receiver<LinkState>) -> (Self, Self) {
        let (to_server, at_server) = mpsc::channel(PIPE_LEN);
        let (to_client, at_client) = mpsc::channel(PIPE_LEN);
        let end = |to_other, from_other| Self {
            world: Arc::clone(world),
            state: state.clone(),
            to_other: Some(to_other),
            from_other,
            waiting: VecDeque::new(),
            last_due: Instant::now(),
        };
        (end(to_server, at_client), end(to_client, at_server))
    }

    async fn send(&mut self, item: Item) -> Result<(), ()> {
        let due = self.last_due.max(Instant::now() + self.world.latency());
        self.last_due = due;
        let state = *self.state.borrow();
        match (state, &self.to_other) {
            (LinkState::Cut, _) | (_, None) => Err(()),
            (LinkState::BlackHole, _) => Ok(()),
            (LinkState::Up, Some(to_other)) => {
                let mut state = self.state.clone();
                tokio::select! {
                    biased;
                    _ = state.wait_for(|state| *state == LinkState::Cut) => Err(()),
                    sent = to_other.send((due, item)) => sent.map_err(drop),
                }
            }
        }
    }

    /// The next thing; `None` when the link is gone.
    async fn recv(&mut self) -> Option<Item> {
        loop {
            let mut state = self.state.clone();
            if *state.borrow_and_update() == LinkState::Cut {
                return None;
            }
            if let Some((due, _)) = self.waiting.front() {
                let due = *due;
                tokio::select! {
                    biased;
                    _ = state.wait_for(|state| *state == LinkState::Cut) => return None,
                    () = tokio::time::sleep_until(due) => {}
                }
                if *state.borrow() == LinkState::BlackHole {
                    self.waiting.clear();
                    continue;
                }
                return self.waiting.pop_front().map(|(_, item)| item);
            }
            let item = tokio::select! {
                biased;
                _ = state.wait_for(|state| *state == LinkState::Cut) => return None,
                item = self.from_other.recv() => item,
            };
            let Some(item) = item else {
                // The other side dropped its end; in a black hole that is not noticed.
                let _ = state.wait_for(|state| *state != LinkState::BlackHole).await;
                return None;
            };
            self.waiting.push_back(item);
        }
    }
}

/// The server's end: what it says goes out by the wire, its own words and what the hub puts there.
struct ServerEnd {
    end: End,
    wire: Arc<ServerWire>,
}

struct ServerWire {
    world: Arc<World>,
    state: watch::Receiver<LinkState>,
    row: Mutex<Row>,
}

/// What is about to go into the pipe.
struct Row {
    waiting: VecDeque<Frame>,
    /// `None` once the link was closed.
    to_other: Option<mpsc::Sender<(Instant, Item)>>,
    last_due: Instant,
}

/// When the pipe has had no room for this long, the client is given up.
const PATIENCE: Duration = Duration::from_secs(30);

impl ServerEnd {
    fn new(mut end: End) -> Self {
        let row = Row { waiting: VecDeque::new(), to_other: end.to_other.take(), last_due: end.last_due };
        let wire =
            ServerWire { world: Arc::clone(&end.world), state: end.state.clone(), row: Mutex::new(row) };
        Self { end, wire: Arc::new(wire) }
    }
}

impl ServerWire {
    fn row(&self) -> std::sync::MutexGuard<'_, Row> {
        self.row.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the pipe has room; `false`: the link is gone.
    async fn has_room_again(&self) -> bool {
        let Some(to_other) = self.row().to_other.clone() else { return false };
        let mut state = self.state.clone();
        tokio::select! {
            biased;
            _ = state.wait_for(|state| *state == LinkState::Cut) => false,
            permit = to_other.reserve() => permit.is_ok(),
        }
    }
}

impl Outlet for ServerWire {
    fn has_room(&self) -> bool {
        self.row().waiting.is_empty()
    }

    fn push(&self, frames: &mut dyn Iterator<Item = &Frame>) {
        self.row().waiting.extend(frames.cloned());
    }

    fn flush(&self) -> Flushed {
        let row = &mut *self.row();
        let state = *self.state.borrow();
        let to_other = row.to_other.as_ref().filter(|_| state != LinkState::Cut && !self.world.is_dead());
        let Some(to_other) = to_other else {
            row.waiting.clear();
            return Flushed::Broken;
        };
        if state == LinkState::BlackHole {
            row.waiting.clear();
        }
        let mut bytes = 0;
        while let Some(frame) = row.waiting.front() {
            let Ok(permit) = to_other.try_reserve() else { return Flushed::Some { bytes } };
            row.last_due = row.last_due.max(Instant::now() + self.world.latency());
            permit.send((row.last_due, Item::Text(frame.text().to_owned())));
            bytes += frame.text().len();
            row.waiting.pop_front();
        }
        Flushed::All
    }
}

impl Transport for ServerEnd {
    const NAME: &'static str = "simulated";

    fn outlet(&self) -> Option<Arc<dyn Outlet>> {
        Some(Arc::clone(&self.wire) as _)
    }

    async fn recv(&mut self) -> gateway::Received {
        match self.end.recv().await {
            Some(Item::Text(text)) => gateway::Received::Text(text),
            Some(Item::Close(code, _)) => gateway::Received::Closed(Some(code)),
            None => gateway::Received::Closed(None),
        }
    }

    async fn send(&mut self, frame: Frame) -> Result<(), SendError> {
        self.wire.push(&mut std::iter::once(&frame));
        Ok(())
    }

    async fn drain(&mut self) -> Result<(), SendError> {
        loop {
            match self.wire.flush() {
                Flushed::All => return Ok(()),
                Flushed::Broken => return Err(SendError::Gone),
                Flushed::Some { .. } => {}
            }
            match tokio::time::timeout(PATIENCE, self.wire.has_room_again()).await {
                Ok(true) => {}
                Ok(false) => return Err(SendError::Gone),
                Err(_) => return Err(SendError::Stalled),
            }
        }
    }

    async fn close(&mut self, code: CloseCode, reason: &str) {
        if self.drain().await.is_ok() && self.wire.has_room_again().await {
            let row = self.wire.row();
            if let Some(to_other) = &row.to_other {
                let _ = to_other.try_send((row.last_due, Item::Close(code, reason.to_owned())));
            }
        }
        self.wire.row().to_other = None;
    }
}

/// The client's end.
struct ClientEnd(End);

#[async_trait]
impl Frames for ClientEnd {
    async fn send(&mut self, text: String) -> Result<(), NetError> {
        self.0.send(Item::Text(text)).await.map_err(|()| NetError("the link is cut".to_owned()))
    }

    async fn recv(&mut self) -> Received {
        match self.0.recv().await {
            Some(Item::Text(text)) => Received::Text(text),
            Some(Item::Close(code, reason)) => Received::Closed { code: Some(code), reason },
            None => Received::Closed { code: None, reason: "the link is cut".to_owned() },
        }
    }

    async fn close(&mut self, code: CloseCode, reason: &str) {
        let _ = self.0.send(Item::Close(code, reason.to_owned())).await;
        self.0.to_other = None;
    }
}

/// The network of clients, or of the app's backend.
pub(crate) struct SimNet {
    world: Arc<World>,
    /// Takes the place of every token: a backend signs by the machine's clock, and here it is another time.
    token: Option<String>,
}

impl SimNet {
    pub(crate) fn new(world: Arc<World>) -> Self {
        Self { world, token: None }
    }

    pub(crate) fn with_token(world: Arc<World>, token: String) -> Self {
        Self { world, token: Some(token) }
    }
}

#[async_trait]
impl Net for SimNet {
    async fn open(&self, _: &str) -> Result<Box<dyn Frames>, NetError> {
        tokio::time::sleep(self.world.latency()).await;
        if self.world.dice.chance(self.world.faults().dial_fails) {
            return Err(NetError("refused".to_owned()));
        }
        let world = &self.world;
        let opened = world.with_server(|server| {
            let (control, state) = watch::channel(LinkState::Up);
            let (client, at_server) = End::pair(world, &state);
            let node = Arc::clone(&server.node);
            server
                .tasks
                .spawn(async move { gateway::serve(node, ServerEnd::new(at_server), None, None).await });
            server.links.retain(|link| !link.is_closed());
            server.links.push(control);
            client
        });
        match opened {
            Some(client) => Ok(Box::new(ClientEnd(client))),
            None => Err(NetError("nobody listens".to_owned())),
        }
    }

    async fn request(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, NetError> {
        let world = &self.world;
        let (number, response) = self.ask(request).await?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| NetError(error.to_string()))?.to_bytes();
        tokio::time::sleep(world.latency()).await;
        if world.is_dead() || world.with_server(|server| server.number) != Some(number) {
            return Err(NetError("the server died".to_owned()));
        }
        if world.dice.chance(world.faults().answer_lost) {
            world.stats.answers_lost.add();
            return Err(NetError("the answer was lost".to_owned()));
        }
        Ok(http::Response::from_parts(parts, body))
    }

    async fn stream(&self, request: http::Request<Bytes>) -> Result<http::Response<Box<dyn Body>>, NetError> {
        let (number, response) = self.ask(request).await?;
        let (control, state) = watch::channel(LinkState::Up);
        let link = self.world.with_server(|server| {
            server.links.retain(|link| !link.is_closed());
            server.links.push(control);
            server.number
        });
        if link != Some(number) {
            return Err(NetError("the server died".to_owned()));
        }
        let world = Arc::clone(&self.world);
        Ok(response.map(|body| {
            Box::new(StreamedBody { world, state, body: Some(body), waiting: None }) as Box<dyn Body>
        }))
    }
}

impl SimNet {
    /// What the server of the moment, by its number, answers.
    async fn ask(
        &self,
        mut request: http::Request<Bytes>,
    ) -> Result<(u64, http::Response<axum::body::Body>), NetError> {
        let world = &self.world;
        if let Some(token) = &self.token {
            let value = format!("Bearer {token}").parse().map_err(|_| NetError("a bad token".to_owned()))?;
            request.headers_mut().insert(http::header::AUTHORIZATION, value);
        }
        tokio::time::sleep(world.latency()).await;
        if world.dice.chance(world.faults().call_lost) {
            world.stats.calls_lost.add();
            return Err(NetError("the call was lost".to_owned()));
        }
        let request = request.map(axum::body::Body::from);
        let Some((number, task)) = world.with_server(|server| {
            let router = server.router.clone();
            let (answer, answered) = tokio::sync::oneshot::channel();
            // In the server's own tasks: a crash takes what it was about to do with it.
            server.tasks.spawn(async move {
                let response = match router.oneshot(request).await {
                    Ok(response) => response,
                    Err(never) => match never {},
                };
                let _ = answer.send(response);
            });
            (server.number, answered)
        }) else {
            return Err(NetError("nobody listens".to_owned()));
        };
        let response = task.await.map_err(|_| NetError("the server died".to_owned()))?;
        Ok((number, response))
    }
}

/// An answer that comes over a link of its own, which is cut as others are.
struct StreamedBody {
    world: Arc<World>,
    state: watch::Receiver<LinkState>,
    /// `None` once it has ended.
    body: Option<axum::body::Body>,
    /// Taken from the body and not due yet.
    waiting: Option<(Instant, Bytes)>,
}

#[async_trait]
impl Body for StreamedBody {
    async fn chunk(&mut self) -> Result<Option<Bytes>, NetError> {
        let cut = || NetError("the link is cut".to_owned());
        loop {
            let mut state = self.state.clone();
            let is_cut = state.wait_for(|state| *state == LinkState::Cut);
            if let Some((due, _)) = &self.waiting {
                tokio::select! {
                    biased;
                    _ = is_cut => return Err(cut()),
                    () = tokio::time::sleep_until(*due) => {}
                }
                match self.waiting.take() {
                    Some((_, piece)) if !self.is_in_a_black_hole() => return Ok(Some(piece)),
                    Some(_) | None => continue,
                }
            }
            let Some(body) = &mut self.body else {
                if !self.is_in_a_black_hole() {
                    return Ok(None);
                }
                // Nobody notices an end, either.
                let _ = is_cut.await;
                return Err(cut());
            };
            let frame = tokio::select! {
                biased;
                _ = is_cut => return Err(cut()),
                frame = body.frame() => frame,
            };
            // A dead server says nothing more.
            if self.world.is_dead() {
                return Err(cut());
            }
            match frame {
                Some(Ok(frame)) => {
                    let due = Instant::now() + self.world.latency();
                    self.waiting = frame.into_data().ok().map(|piece| (due, piece));
                }
                Some(Err(error)) => return Err(NetError(error.to_string())),
                None => self.body = None,
            }
        }
    }
}

impl StreamedBody {
    fn is_in_a_black_hole(&self) -> bool {
        *self.state.borrow() == LinkState::BlackHole
    }
}
