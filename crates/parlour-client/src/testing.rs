//! A server in memory, for tests of apps that use this crate. Behind the cargo feature `testing`.
//!
//! A [`FakeServer`] is a [`Net`]: clients that it [makes](FakeServer::client) reach it and nothing else. It keeps
//! users, channels, messages, read positions and a log of events per topic, so that a resume, a reset and an unread
//! count are what they are with a real server. What no real server does on demand, it does: it
//! [goes away](FakeServer::go_away), [goes silent](FakeServer::swallow), [loses](FakeServer::lose_next_answer),
//! [delays](FakeServer::delay), [repeats](FakeServer::duplicate_next_event), [forgets](FakeServer::forget_history),
//! [expires tokens](FakeServer::expire_tokens), [evicts](FakeServer::evict) and [drains](FakeServer::drain).
//!
//! The virtual clock is tokio's: with `#[tokio::test(start_paused = true)]` (tokio's feature `test-util`) time stands
//! still while anything can be done, and jumps to the next deadline when all wait; an hour of backoff takes no time.
//!
//! ```
//! use parlour_client::testing::FakeServer;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), parlour_client::Error> {
//! let server = FakeServer::new();
//! server.channel("messaging:general", &["alice", "bob"]);
//! let client = server.client().build()?;
//! client.connect_user("alice", server.token("alice")).await?;
//! server.says("messaging:general", "bob", "Anybody there?");
//! client.ping().await?;
//! assert_eq!(client.unread().total_unread_count, 1);
//! # Ok(())
//! # }
//! ```
//!
//! Not here: transports other than the WebSocket, presence, livestreams' limits, permissions beyond "members only",
//! and whatever else only a real server can tell. What a test must know of those, it asks `parlour dev`.

mod calls;
mod connection;
mod world;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use parlour_wire::events::{Event, Signal};
use parlour_wire::frames::{Hello, ReplacedBy};
use parlour_wire::messages::{Message, MessageDraft};
use parlour_wire::{Cid, ClientFrame, CloseCode, ErrorCode, ServerFrame, Topic, UserId};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::{Builder, Client, Transport};
use world::{Fault, World};

#[cfg(doc)]
use crate::Net;

/// The address that clients of a fake server have.
const URL: &str = "http://parlour.test";
/// How long the server waits for another token, as a real one does.
const TOKEN_GRACE: Duration = Duration::from_secs(30);

/// A server in memory. Clones are the same server.
///
/// Its clients' app key may be any. What it is told to do is done when the call returns; what comes of it reaches the
/// clients as soon as the test awaits something.
#[derive(Clone)]
pub struct FakeServer {
    world: Arc<Mutex<World>>,
    changed: Arc<Notify>,
}

/// What a [`FakeServer`] has seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Attempts to connect, those that failed too.
    pub dials: usize,
    /// What clients opened their connections with, in order.
    pub hellos: Vec<Hello>,
    /// Frames after `hello`, without pongs.
    pub frames: Vec<ClientFrame>,
    /// The codes of the closes by clients.
    pub closes: Vec<CloseCode>,
    /// Method and path of each call, in order: `POST /v1/channels/messaging/general/messages`.
    pub calls: Vec<String>,
    /// Connections that are open now, silent ones too.
    pub live: usize,
    /// The most connections that were ever open at the same time.
    pub live_max: usize,
}

impl Default for FakeServer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for FakeServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeServer").field("seen", &self.seen()).finish_non_exhaustive()
    }
}

impl FakeServer {
    /// A server with nobody and nothing in it.
    pub fn new() -> Self {
        Self { world: Arc::new(Mutex::new(World::new())), changed: Arc::default() }
    }

    /// A client that reaches this server, yet to be built. Its jitter and its ids are the same in every run.
    pub fn client(&self) -> Builder {
        let seed = self.change(World::next_seed);
        Client::builder(URL, "dev").net(Arc::new(self.clone())).seed(seed).transports([Transport::WebSocket])
    }

    /// A token for this user, each time another one. Any other text is a token as well, of the user who first
    /// connects with it.
    ///
    /// # Panics
    /// The user's id is none.
    pub fn token(&self, user: &str) -> String {
        let user = user_id(user);
        self.change(|world| world.make_token(&user))
    }

    // What happens.

    /// Makes the channel if it is not there, and these users its members; the first of a new one owns it.
    ///
    /// # Panics
    /// The cid or an id is none.
    pub fn channel(&self, cid: &str, members: &[&str]) {
        let (cid, members) = (parse_cid(cid), members.iter().map(|id| user_id(id)).collect::<Vec<_>>());
        self.change(|world| world.open_channel(&cid, &members));
    }

    /// A message in a channel, by a user who is made a member if she is none.
    ///
    /// # Panics
    /// The cid or the user's id is none.
    pub fn says(&self, cid: &str, user: &str, text: &str) -> Message {
        let (cid, user) = (parse_cid(cid), user_id(user));
        self.change(|world| {
            world.open_channel(&cid, std::slice::from_ref(&user));
            world.say(&cid, &user, MessageDraft::text(text))
        })
    }

    /// Somebody types in a channel: all others who listen are shown it.
    ///
    /// # Panics
    /// The cid or the user's id is none.
    pub fn types(&self, cid: &str, user: &str) {
        let (cid, user) = (parse_cid(cid), user_id(user));
        self.change(|world| {
            let brief = world.brief(&user);
            let signal = Signal::TypingStart { cid: cid.clone(), user: brief };
            world.signal(&Topic::Channel(cid), &user, &signal);
        });
    }

    /// Somebody has read the whole channel, on another device than the client's.
    ///
    /// # Panics
    /// The cid or the user's id is none.
    pub fn reads(&self, cid: &str, user: &str) {
        let (cid, user) = (parse_cid(cid), user_id(user));
        self.change(|world| {
            let head = world.head(&Topic::Channel(cid.clone()));
            world.read_up_to(&cid, &user, head);
        });
    }

    // What goes wrong.

    /// Ends every connection: with this close code, or broken without one.
    pub fn cut(&self, code: Option<CloseCode>) {
        self.change(|world| world.end_all(code));
    }

    /// The server is down: connections break, dials and calls fail.
    pub fn go_away(&self) {
        self.change(|world| {
            world.is_down = true;
            world.end_all(None);
        });
    }

    /// Ends [`go_away`](Self::go_away). Nothing is lost: users, channels and messages are as before.
    pub fn come_back(&self) {
        self.change(|world| world.is_down = false);
    }

    /// Makes every open connection half-open: nothing comes, nothing goes, and no end is told. Calls, and connections
    /// that are opened from now on, are as usual.
    pub fn swallow(&self) {
        self.change(World::silence_all);
    }

    /// The next call never arrives.
    pub fn lose_next_request(&self) {
        self.change(|world| world.faults.push_back(Fault::RequestLost));
    }

    /// The next call arrives and is done, but its answer does not come back.
    pub fn lose_next_answer(&self) {
        self.change(|world| world.faults.push_back(Fault::AnswerLost));
    }

    /// The next call is refused.
    pub fn refuse_next(&self, code: ErrorCode) {
        self.change(|world| world.faults.push_back(Fault::Refused(code)));
    }

    /// The next event happens and is not told: a hole in what the clients hear.
    pub fn lose_next_event(&self) {
        self.change(|world| world.copies_of_next_event = 0);
    }

    /// The next event is told twice.
    pub fn duplicate_next_event(&self) {
        self.change(|world| world.copies_of_next_event = 2);
    }

    /// From now on every frame and every answer takes this long; [`Duration::ZERO`] ends it.
    pub fn delay(&self, duration: Duration) {
        self.change(|world| world.delay = duration);
    }

    /// Events of the past are told no more: the next resume of each user comes with a `reset` for all it asks for.
    /// Messages are kept.
    pub fn forget_history(&self) {
        self.change(World::forget_history);
    }

    /// The time of every token that was made or used so far is over. Connections are asked for another one and are
    /// closed (4202) 30 seconds later if none came; calls and dials are refused with `token_expired`.
    pub fn expire_tokens(&self) {
        self.change(|world| world.expire_tokens(Instant::now() + TOKEN_GRACE));
    }

    /// Another device of the same user takes every connection's place (4005).
    pub fn evict(&self) {
        let by = ReplacedBy {
            device: Some("another device".to_owned()),
            platform: "test".to_owned(),
            sdk: "fake".to_owned(),
        };
        self.change(|world| world.dismiss_all(CloseCode::REPLACED, &by));
    }

    /// The server restarts, and tells all to come back after this long (1012).
    pub fn drain(&self, retry_after: Duration) {
        let retry_after_ms = u32::try_from(retry_after.as_millis()).unwrap_or(u32::MAX);
        self.change(|world| {
            world.tell_all(&ServerFrame::Drain { retry_after_ms });
            world.end_all(Some(CloseCode::RESTART));
        });
    }

    // What it saw.

    /// What it saw so far.
    pub fn seen(&self) -> Seen {
        self.lock().seen.clone()
    }

    /// The messages of a channel, in order; none where there is no such channel.
    ///
    /// # Panics
    /// The cid is none.
    pub fn messages(&self, cid: &str) -> Vec<Message> {
        let cid = parse_cid(cid);
        self.lock().rooms.get(&cid).map(|room| room.messages.clone()).unwrap_or_default()
    }

    /// The events of a topic that are still kept, in order.
    pub fn events(&self, topic: &Topic) -> Vec<Event> {
        self.lock().events(topic)
    }

    /// Waits until it has seen what is asked for.
    pub async fn until(&self, what: impl Fn(&Seen) -> bool) {
        loop {
            let changed = self.changed.notified();
            if what(&self.lock().seen) {
                return;
            }
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the world, and wakes whoever waits for what it sees.
    fn change<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        let changed = change(&mut self.lock());
        self.changed.notify_waiters();
        changed
    }
}

#[expect(clippy::panic, reason = "a test that names no user is wrong, and wants to know where")]
fn user_id(id: &str) -> UserId {
    UserId::parse(id).unwrap_or_else(|error| panic!("{id:?} is no user id: {error}"))
}

#[expect(clippy::panic, reason = "a test that names no channel is wrong, and wants to know where")]
fn parse_cid(cid: &str) -> Cid {
    cid.parse().unwrap_or_else(|error| panic!("{cid:?} is no cid: {error}"))
}
