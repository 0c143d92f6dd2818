//! A fake server's connections: dials, `hello`, resumes, heartbeats, and the ends that a test asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parlour_wire::events::{ClientSignal, Signal};
use parlour_wire::frames::{Hello, Limits, Ready, ResetReason, Resumed, WatchTopic};
use parlour_wire::{
    ClientFrame, CloseCode, ConnectionId, Epoch, ErrorBody, ErrorCode, Seq, ServerFrame, Timestamp, Topic,
    UserId,
};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::world::{Fault, World};
use super::{FakeServer, calls};
use crate::{Frames, Net, NetError, Received};

/// A real server's own: what apps meet in tests is what they meet in the field.
const HEARTBEAT: Duration = Duration::from_secs(25);
const DEAD_LINK_MS: u32 = 35_000;
const MISSED_MAX: Seq = 300;
/// Topics that a resume does not name are served from this long before its `as_of`.
const OVERLAP_MS: i64 = 10_000;
/// What waits for a client; one that takes no more hears no more.
const QUEUE_LEN: usize = 16_384;

/// The server's end of a connection.
pub(super) struct Link {
    /// `None` before `hello`.
    pub(super) user: Option<UserId>,
    pub(super) watched: BTreeSet<Topic>,
    /// Half-open: nothing gets through, either way.
    pub(super) is_silent: bool,
    /// When the connection ends, if no other token comes.
    pub(super) token_due: Option<Instant>,
    ping_at: Instant,
    /// What comes later does not overtake what was sent before a delay ended.
    arrives_at: Instant,
    queue: mpsc::Sender<(Instant, Received)>,
}

impl Link {
    pub(super) fn tell(&mut self, frame: &ServerFrame, delay: Duration) {
        let text = serde_json::to_string(frame).expect("a frame is JSON");
        self.put(Received::Text(text), delay);
    }

    pub(super) fn end(mut self, code: Option<CloseCode>, delay: Duration) {
        let reason = code.map_or_else(|| "the link broke".to_owned(), |code| code.meaning().to_owned());
        self.put(Received::Closed { code, reason }, delay);
    }

    fn put(&mut self, received: Received, delay: Duration) {
        if self.is_silent {
            return;
        }
        self.arrives_at = self.arrives_at.max(Instant::now() + delay);
        if self.queue.try_send((self.arrives_at, received)).is_err() {
            self.is_silent = true;
        }
    }
}

#[async_trait]
impl Net for FakeServer {
    async fn open(&self, _url: &str) -> Result<Box<dyn Frames>, NetError> {
        let (number, delay) = self.change(|world| {
            world.seen.dials += 1;
            (world.seen.dials, world.delay)
        });
        tokio::time::sleep(delay).await;
        let (queue, inbox) = mpsc::channel(QUEUE_LEN);
        self.change(|world| {
            if world.is_down {
                return Err(NetError("connection refused".to_owned()));
            }
            let now = Instant::now();
            world.seen.live += 1;
            world.seen.live_max = world.seen.live_max.max(world.seen.live);
            let link = Link {
                user: None,
                watched: BTreeSet::new(),
                is_silent: false,
                token_due: None,
                ping_at: now + HEARTBEAT,
                arrives_at: now,
                queue,
            };
            world.links.insert(number, link);
            let socket = Socket { server: self.clone(), number, inbox, held: None };
            Ok(Box::new(socket) as Box<dyn Frames>)
        })
    }

    async fn request(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, NetError> {
        let call = format!("{} {}", request.method(), request.uri().path());
        let (fault, delay) = self.change(|world| {
            world.seen.calls.push(call);
            (world.faults.pop_front(), world.delay)
        });
        if self.lock().is_down {
            return Err(NetError("connection refused".to_owned()));
        }
        let answer = match fault {
            Some(Fault::RequestLost) => Err(NetError("connection reset".to_owned())),
            Some(Fault::Refused(code)) => Ok(calls::refusal(&code.error())),
            Some(Fault::AnswerLost) => {
                self.change(|world| calls::answer(world, &request));
                Err(NetError("connection reset before the answer".to_owned()))
            }
            None => Ok(self.change(|world| calls::answer(world, &request))),
        };
        tokio::time::sleep(delay).await;
        answer
    }
}

/// The client's end of a connection.
struct Socket {
    server: FakeServer,
    number: usize,
    inbox: mpsc::Receiver<(Instant, Received)>,
    /// Taken from the inbox, and not there yet.
    held: Option<(Instant, Received)>,
}

impl Socket {
    fn is_silent(&self) -> bool {
        self.server.lock().links.get(&self.number).is_some_and(|link| link.is_silent)
    }

    /// When the server next does something by itself on this connection.
    fn wakes_at(&self) -> Option<Instant> {
        let world = self.server.lock();
        let link = world.links.get(&self.number).filter(|link| !link.is_silent)?;
        Some(link.token_due.map_or(link.ping_at, |due| due.min(link.ping_at)))
    }
}

#[async_trait]
impl Frames for Socket {
    async fn send(&mut self, text: String) -> Result<(), NetError> {
        if self.is_silent() {
            return Ok(());
        }
        let frame: ClientFrame = serde_json::from_str(&text).map_err(|e| NetError(e.to_string()))?;
        self.server.change(|world| world.hear(self.number, frame));
        Ok(())
    }

    async fn recv(&mut self) -> Received {
        loop {
            if self.held.is_none() {
                let wakes_at = self.wakes_at();
                let time = async {
                    match wakes_at {
                        Some(at) => tokio::time::sleep_until(at).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    biased;
                    next = self.inbox.recv() => match next {
                        Some(next) => self.held = Some(next),
                        None => return Received::Closed { code: None, reason: "the link broke".to_owned() },
                    },
                    () = time => {
                        self.server.change(|world| world.pass_time(self.number));
                        continue;
                    }
                }
            }
            if let Some((at, _)) = &self.held {
                tokio::time::sleep_until(*at).await;
            }
            if self.is_silent() {
                std::future::pending::<()>().await;
            }
            if let Some((_, received)) = self.held.take() {
                return received;
            }
        }
    }

    async fn close(&mut self, code: CloseCode, _reason: &str) {
        self.server.change(|world| {
            world.seen.closes.push(code);
            world.links.remove(&self.number);
        });
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.server.change(|world| {
            world.seen.live -= 1;
            world.links.remove(&self.number);
        });
    }
}

impl World {
    fn pass_time(&mut self, number: usize) {
        let (now, as_of) = (Instant::now(), self.now());
        let Some(link) = self.links.get_mut(&number) else { return };
        if link.token_due.is_some_and(|due| due <= now) {
            return self.refuse(number, &ErrorCode::TokenExpired.error());
        }
        link.ping_at = now + HEARTBEAT;
        self.tell(number, &ServerFrame::Ping { as_of });
    }

    fn hear(&mut self, number: usize, frame: ClientFrame) {
        let user = self.links.get(&number).and_then(|link| link.user.clone());
        match (frame, user) {
            (ClientFrame::Hello(hello), None) => {
                self.seen.hellos.push((*hello).clone());
                self.greet(number, &hello);
            }
            (ClientFrame::Pong, _) => {}
            (frame, Some(user)) => {
                self.seen.frames.push(frame.clone());
                self.take(number, &user, frame);
            }
            (_, None) => self.refuse(number, &ErrorCode::BadFrame.error()),
        }
    }

    fn take(&mut self, number: usize, user: &UserId, frame: ClientFrame) {
        match frame {
            ClientFrame::Ping { id } => self.tell(number, &ServerFrame::Pong { id }),
            ClientFrame::Watch { topics } => {
                for topic in topics {
                    self.watch(number, user, topic);
                }
            }
            ClientFrame::Unwatch { topics } => {
                if let Some(link) = self.links.get_mut(&number) {
                    link.watched.retain(|topic| !topics.contains(topic));
                }
            }
            ClientFrame::Signal { topic: Topic::Channel(cid), signal } => {
                let (topic, by) = (Topic::Channel(cid.clone()), self.brief(user));
                let signal = match signal {
                    ClientSignal::TypingStart => Signal::TypingStart { cid, user: by },
                    ClientSignal::TypingStop => Signal::TypingStop { cid, user: by },
                };
                self.signal(&topic, user, &signal);
            }
            ClientFrame::Token { token } => match self.verify(&token, Some(user)) {
                Ok(_) => {
                    if let Some(link) = self.links.get_mut(&number) {
                        link.token_due = None;
                    }
                }
                Err(code) => self.refuse(number, &code.error()),
            },
            ClientFrame::Signal { .. }
            | ClientFrame::AppState { .. }
            | ClientFrame::Presence { .. }
            | ClientFrame::Tabs { .. }
            | ClientFrame::Bye { .. }
            | ClientFrame::Hello(_)
            | ClientFrame::Pong => {}
        }
    }

    /// Says why, and closes.
    fn refuse(&mut self, number: usize, error: &ErrorBody) {
        let code = match ErrorCode::parse(&error.code) {
            Some(ErrorCode::TokenExpired) => CloseCode::TOKEN_EXPIRED,
            Some(ErrorCode::BadFrame) => CloseCode::PROTOCOL,
            _ => CloseCode::TOKEN_REFUSED,
        };
        self.tell(number, &ServerFrame::Error { error: error.clone(), topic: None });
        let reason = error.message.clone();
        self.tell(number, &ServerFrame::Bye { code, reason, retry_after_ms: None, replaced_by: None });
        self.end(number, Some(code));
    }

    fn watch(&mut self, number: usize, user: &UserId, watch: WatchTopic) {
        let WatchTopic { topic, after } = watch;
        let is_open = matches!(&topic, Topic::Channel(cid) if self.may_read(cid, user));
        if !is_open && !self.listens(user, &topic) {
            let error =
                ErrorCode::NotFound.because(format!("There is no {topic}, or the caller may not see it."));
            return self.tell(number, &ServerFrame::Error { error, topic: Some(topic) });
        }
        if let Some(after) = after {
            self.catch_up(number, &topic, after);
        }
        if let Some(link) = self.links.get_mut(&number) {
            link.watched.insert(topic);
        }
    }

    fn greet(&mut self, number: usize, hello: &Hello) {
        let named = hello.user.as_ref().map(|user| &user.id);
        let user = match self.verify(&hello.token, named) {
            Ok(user) => user,
            Err(code) => return self.refuse(number, &code.error()),
        };
        let fields = hello.user.as_ref().map(|user| user.fields.clone()).unwrap_or_default();
        self.user(&user).custom.extend(fields);
        if let Some(link) = self.links.get_mut(&number) {
            link.user = Some(user.clone());
        }
        let places = self.places(&user, hello);
        let Some(ready) = self.ready(number, &user, hello, &places) else { return };
        self.tell(number, &ServerFrame::Ready(Box::new(ready)));
        for (topic, place) in places {
            match place {
                Place::After(after) => self.catch_up(number, &topic, after),
                Place::Since(since) => self.replay(number, &topic, 0, since),
                Place::Reset(reason) => self.reset(number, topic, reason),
            }
        }
    }

    /// From where each topic goes on; nothing for a fresh start.
    fn places(&mut self, user: &UserId, hello: &Hello) -> BTreeMap<Topic, Place> {
        let Some(resume) = &hello.resume else { return BTreeMap::new() };
        let forgotten = self.forgotten.remove(user);
        let since = Timestamp::from_unix_ms(resume.as_of.unix_ms() - OVERLAP_MS);
        let mut places: BTreeMap<Topic, Place> =
            self.topics_of(user).into_iter().map(|topic| (topic, Place::Since(since))).collect();
        for (topic, cursor) in &resume.cursors {
            let place = if !self.listens(user, topic) {
                Place::Reset(ResetReason::NoAccess)
            } else if resume.epoch != epoch() {
                Place::Reset(ResetReason::OtherEpoch)
            } else if forgotten {
                Place::Reset(ResetReason::Trimmed)
            } else {
                self.problem(topic, *cursor).map_or(Place::After(*cursor), Place::Reset)
            };
            places.insert(topic.clone(), place);
        }
        places
    }

    /// Why a topic cannot go on from here.
    fn problem(&self, topic: &Topic, cursor: Seq) -> Option<ResetReason> {
        let head = self.head(topic);
        if cursor > head {
            Some(ResetReason::AheadOfHead)
        } else if cursor < self.trimmed(topic) {
            Some(ResetReason::Trimmed)
        } else {
            (head - cursor > MISSED_MAX).then_some(ResetReason::TooFarBehind)
        }
    }

    fn catch_up(&mut self, number: usize, topic: &Topic, after: Seq) {
        match self.problem(topic, after) {
            Some(reason) => self.reset(number, topic.clone(), reason),
            None => self.replay(number, topic, after, Timestamp::default()),
        }
    }

    fn reset(&mut self, number: usize, topic: Topic, reason: ResetReason) {
        let head = if reason == ResetReason::NoAccess { 0 } else { self.head(&topic) };
        self.tell(number, &ServerFrame::Reset { topic, reason, head });
    }

    fn replay(&mut self, number: usize, topic: &Topic, after: Seq, since: Timestamp) {
        for frame in self.missed(topic, after, since) {
            self.tell(number, &ServerFrame::Event(Box::new(frame)));
        }
    }

    fn ready(
        &self,
        number: usize,
        user: &UserId,
        hello: &Hello,
        places: &BTreeMap<Topic, Place>,
    ) -> Option<Ready> {
        let has_reset = places.values().any(|place| matches!(place, Place::Reset(_)));
        let resumed = match &hello.resume {
            None => Resumed::Fresh,
            Some(_) if has_reset => Resumed::CaughtUp,
            Some(_) => Resumed::Resumed,
        };
        let app = Topic::App(hello.app_key.clone());
        let topics = self.topics_of(user).into_iter().chain([app]);
        Some(Ready {
            connection_id: ConnectionId::parse(&format!("c-{number}")).ok()?,
            me: self.me(user)?,
            epoch: epoch(),
            as_of: self.now(),
            heartbeat_ms: u32::try_from(HEARTBEAT.as_millis()).unwrap_or(u32::MAX),
            limits: Limits {
                frame_bytes: 65_536,
                frames_per_second: 20,
                frames_burst: 60,
                connections_per_user: 3,
                dead_link_ms: DEAD_LINK_MS,
                message_chars: 5_000,
            },
            resumed,
            heads: topics.map(|topic| (topic.clone(), self.head(&topic))).collect(),
            channels: self.unread_totals(user).channels,
            presence: Vec::new(),
            presence_others: None,
        })
    }
}

/// From where a topic goes on after a resume.
enum Place {
    After(Seq),
    Since(Timestamp),
    Reset(ResetReason),
}

fn epoch() -> Epoch {
    Epoch::parse("e-fake").expect("this is an epoch")
}
