//! One run: a server that dies and returns, clients that chat, faults, a quiet end, and the checks.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use parlour_client::wire::frames::{ResetReason, Resumed};
use parlour_client::wire::users::PartialUpdate;
use parlour_client::wire::{AppKey, Cid, Event, Timestamp, UserId};
use parlour_client::{Client, ClientEvent, Open, ServerClient, Topic};
use parlour_server::{Clock, Config, Node, Parts};
use parlour_store::{AppMode, Events, NewApp, Page, Reader, Retention, Sqlite, Store};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::Dice;
use crate::bus::BadBus;
use crate::check::{History, Shown, Violation, violations};
use crate::crash::Crash;
use crate::net::{LinkState, SimNet};

/// Where the simulated clock starts: 2026-11-21T06:40:00Z.
const START_MS: i64 = 1_795_243_200_000;
const SECRET: &str = "the-secret-of-a-simulated-app-that-nobody-attacks";
const USERS: u64 = 4;
const CHANNELS: u64 = 3;

/// How bad the world is: probabilities, but where said otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    pub bus_loss: f64,
    pub bus_double: f64,
    pub bus_delay: f64,
    pub dial_fails: f64,
    pub call_lost: f64,
    pub answer_lost: f64,
    /// Of all cuts, those that nobody notices.
    pub black_hole: f64,
    /// A link is cut about this often.
    pub cut_every_ms: u64,
    /// The server dies after this many moments around store calls, at most.
    pub crash_within: u64,
    /// How long the clients chat.
    pub chat_ms: u64,
    /// Whether head checks are on: a canary switches them off.
    pub head_checks: bool,
    /// Whether loads are on: likewise.
    pub loads: bool,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            bus_loss: 0.1,
            bus_double: 0.05,
            bus_delay: 0.2,
            dial_fails: 0.1,
            call_lost: 0.05,
            answer_lost: 0.05,
            black_hole: 0.15,
            cut_every_ms: 2_000,
            crash_within: 300,
            chat_ms: 25_000,
            head_checks: true,
            loads: true,
        }
    }
}

/// A number that only grows.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What happened, counted: a run in which nothing bad happened proves nothing.
#[derive(Default)]
pub struct Stats {
    pub bus_lost: Counter,
    pub bus_doubled: Counter,
    pub bus_delayed: Counter,
    pub cuts: Counter,
    pub black_holes: Counter,
    pub crashes: Counter,
    pub calls_lost: Counter,
    pub answers_lost: Counter,
    pub resumes: Counter,
    pub caught_up: Counter,
    pub resets: Counter,
    pub sends: Counter,
}

/// The outcome of one run.
pub struct Report {
    pub violations: Vec<Violation>,
    pub history: History,
    pub stats: Arc<Stats>,
}

/// One life of the server.
pub(crate) struct Life {
    pub(crate) number: u64,
    pub(crate) node: Arc<Node>,
    pub(crate) router: axum::Router,
    pub(crate) tasks: JoinSet<()>,
    pub(crate) links: Vec<watch::Sender<LinkState>>,
}

/// Everything that a run shares.
pub(crate) struct World {
    pub(crate) dice: Arc<Dice>,
    pub(crate) stats: Arc<Stats>,
    faults: Faults,
    /// Whether faults still happen: at the end they do not, but for the bus.
    rough: AtomicBool,
    store: Arc<Sqlite>,
    crash: Arc<Crash>,
    life: Mutex<Option<Life>>,
    lives: AtomicU64,
    started: Instant,
}

impl World {
    /// The faults of the moment.
    pub(crate) fn faults(&self) -> Faults {
        if self.rough.load(Ordering::Relaxed) {
            return self.faults;
        }
        Faults { dial_fails: 0.0, call_lost: 0.0, answer_lost: 0.0, ..self.faults }
    }

    pub(crate) fn latency(&self) -> Duration {
        Duration::from_millis(self.dice.pick(1..40))
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.crash.is_dead()
    }

    /// Does something with the living server; `None` while it is dead.
    pub(crate) fn with_server<T>(&self, act: impl FnOnce(&mut Life) -> T) -> Option<T> {
        if self.is_dead() {
            return None;
        }
        self.life.lock().unwrap_or_else(PoisonError::into_inner).as_mut().map(act)
    }

    fn now(&self) -> Timestamp {
        let elapsed = i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_unix_ms(START_MS + elapsed)
    }

    /// Starts the server on what the store holds.
    async fn start(self: &Arc<Self>) -> parlour_store::Result<()> {
        let number = self.lives.fetch_add(1, Ordering::Relaxed) + 1;
        let mut config = Config::default();
        // Small constants, so that every limit is met within a minute.
        config.limits.replay_max = 20;
        config.limits.queue_bytes_max = 16 * 1024;
        config.limits.connections_per_user = Some(3);
        if !self.faults.head_checks {
            config.limits.head_check_ms = 1_000_000_000;
        }
        let node = Node::new(Parts {
            config,
            store: Arc::clone(&self.store) as Arc<dyn Store>,
            bus: Arc::new(BadBus::new(Arc::clone(&self.dice), self.faults, Arc::clone(&self.stats))),
            clock: Clock::starting_at(self.now()),
            dice: parlour_server::Dice::seeded(self.dice.pick(0..u64::MAX)),
        })
        .await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&node).run());
        let router = parlour_server::router(Arc::clone(&node));
        let life = Life { number, node, router, tasks, links: Vec::new() };
        *self.life.lock().unwrap_or_else(PoisonError::into_inner) = Some(life);
        Ok(())
    }

    /// Takes the dead server away with everything that it was doing, and starts another.
    async fn die_and_return(self: &Arc<Self>) -> parlour_store::Result<()> {
        self.stats.crashes.add();
        let life = self.life.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut life) = life {
            for link in &life.links {
                let _ = link.send(LinkState::Cut);
            }
            life.tasks.shutdown().await;
        }
        tokio::time::sleep(Duration::from_millis(self.dice.pick(10..3_000))).await;
        self.crash.disarm();
        self.crash.revive();
        self.start().await
    }

    /// Crashes and cuts, until it is told that it is enough.
    async fn torment(self: Arc<Self>) {
        while self.rough.load(Ordering::Relaxed) {
            self.crash.arm(self.dice.pick(1..self.faults.crash_within));
            let cut_after = Duration::from_millis(self.dice.pick(1..2 * self.faults.cut_every_ms));
            tokio::select! {
                biased;
                () = self.crash.struck() => {
                    // Dying while it starts is dying again.
                    while self.die_and_return().await.is_err() {}
                }
                () = tokio::time::sleep(cut_after) => self.cut_one(),
            }
        }
        self.crash.disarm();
        if self.is_dead() {
            while self.die_and_return().await.is_err() {}
        }
    }

    fn cut_one(&self) {
        let state =
            if self.dice.chance(self.faults.black_hole) { LinkState::BlackHole } else { LinkState::Cut };
        self.with_server(|life| {
            life.links.retain(|link| !link.is_closed());
            if life.links.is_empty() {
                return;
            }
            let at = usize::try_from(self.dice.pick(0..life.links.len() as u64)).unwrap_or(0);
            match state {
                LinkState::BlackHole => self.stats.black_holes.add(),
                LinkState::Cut | LinkState::Up => self.stats.cuts.add(),
            }
            let _ = life.links[at].send(state);
        });
    }
}

fn user(n: u64) -> String {
    format!("user{n}")
}

fn cid(n: u64) -> String {
    format!("room{n}")
}

fn token(user: Option<&str>) -> String {
    let claims = match user {
        Some(user) => serde_json::json!({ "user_id": user }),
        None => serde_json::json!({ "server": true }),
    };
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).expect("plain claims can be signed")
}

/// Runs one seed on a clock of its own.
///
/// # Panics
/// The world cannot even be set up, before any fault.
pub fn run(seed: u64, faults: Faults) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O needs nothing of the system");
    runtime.block_on(simulate(seed, faults))
}

async fn simulate(seed: u64, faults: Faults) -> Report {
    let crash = Arc::new(Crash::default());
    crash.disarm();
    let store = Sqlite::in_memory_with(Arc::clone(&crash) as _).expect("a database in memory opens");
    let key = AppKey::parse("sim").expect("a valid key");
    let now = Timestamp::from_unix_ms(START_MS);
    let app = NewApp { key, secret: SECRET.to_owned(), mode: AppMode::Development, now };
    let app = store.create_app(app).await.expect("an empty database takes an app").id;
    let world = Arc::new(World {
        dice: Arc::new(Dice::new(seed)),
        stats: Arc::default(),
        faults,
        rough: AtomicBool::new(false),
        store: Arc::clone(&store),
        crash: Arc::clone(&crash),
        life: Mutex::default(),
        lives: AtomicU64::new(0),
        started: Instant::now(),
    });
    world.start().await.expect("the first start meets no fault");

    let net = Arc::new(SimNet::new(Arc::clone(&world)));
    let backend = Arc::new(SimNet::with_token(Arc::clone(&world), token(None)));
    let server = ServerClient::with_net("http://sim", "sim", SECRET, backend).expect("a valid address");
    let names: Vec<String> = (0..USERS).map(user).collect();
    server.upsert_users(names.iter().map(String::as_str)).await.expect("no fault yet");
    let members: Vec<&str> = names.iter().map(String::as_str).collect();
    let owner = server.as_user(&names[0]).expect("a valid id");
    for n in 0..CHANNELS {
        let channel = owner.channel("messaging", &cid(n)).expect("a valid id");
        channel.get_or_create(&members, []).await.expect("no fault yet");
    }

    let mut clients = Vec::new();
    for (n, name) in names.iter().enumerate() {
        let client = Client::builder("http://sim", "sim")
            .transports([parlour_client::Transport::WebSocket])
            .net(Arc::clone(&net) as _)
            .seed(seed.wrapping_mul(31).wrapping_add(n as u64))
            .build()
            .expect("a valid address");
        let events = client.events();
        client.connect_user(name.as_str(), token(Some(name))).await.expect("no fault yet");
        clients.push((name.clone(), client, events));
    }
    let history = Arc::new(Mutex::new(History::default()));
    begin(&world, app, &names, &history).await;

    world.rough.store(true, Ordering::Relaxed);
    if !faults.loads {
        crash.fail_loads(true);
    }
    let torment = tokio::spawn(Arc::clone(&world).torment());
    let mut listening = JoinSet::new();
    let mut chatting = JoinSet::new();
    let until = Instant::now() + Duration::from_millis(faults.chat_ms);
    let mut kept = Vec::new();
    for (name, client, events) in clients {
        let stats = Arc::clone(&world.stats);
        listening.spawn(listen(name.clone(), events, Arc::clone(&history), stats));
        chatting.spawn(chat(Arc::clone(&world), name.clone(), client.clone(), Arc::clone(&history), until));
        kept.push((name, client));
    }
    let retention = tokio::spawn(trim_now_and_then(Arc::clone(&world), until));
    let churn = tokio::spawn(churn_members(Arc::clone(&world), server.clone(), until));
    tokio::time::sleep_until(until).await;
    world.rough.store(false, Ordering::Relaxed);
    let _ = torment.await;
    let _ = (retention.await, churn.await);
    while chatting.join_next().await.is_some() {}

    // The quiet end: links are whole, the bus is as bad as ever; everything has to heal by itself.
    for (_, client) in &kept {
        let _ = client.connect().await;
        let _ = client.retry_now().await;
    }
    tokio::time::sleep(Duration::from_secs(120)).await;
    crash.fail_loads(false);
    finish(&world, app, &kept, &history).await;
    drop(kept);
    listening.shutdown().await;
    let history = history.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Report { violations: violations(&history), history, stats: Arc::clone(&world.stats) }
}

/// Notes where each client's topics stand when it begins.
async fn begin(world: &World, app: parlour_store::AppId, names: &[String], history: &Mutex<History>) {
    // What the connects themselves said has arrived.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let mut topics = Vec::new();
    for name in names {
        topics.push((name, format!("user:{name}")));
        topics.extend((0..CHANNELS).map(|n| (name, format!("channel:messaging:{}", cid(n)))));
    }
    for (name, topic) in topics {
        let parsed: Topic = topic.parse().expect("a valid topic");
        let head = world.store.heads(vec![(app, parsed)]).await.expect("no fault yet")[0];
        history.lock().unwrap_or_else(PoisonError::into_inner).began.insert((name.clone(), topic), head);
    }
}

/// Writes down what a client's app is given.
async fn listen(
    name: String,
    mut events: parlour_client::Events,
    history: Arc<Mutex<History>>,
    stats: Arc<Stats>,
) {
    let mut skipped_setup = false;
    while let Some(event) = events.next().await {
        let mut shown = Vec::new();
        match event {
            ClientEvent::Event(frame) => {
                let what = describe(&frame.event);
                shown.push(Shown::Event { topic: frame.topic.to_string(), seq: frame.seq, what });
                if let Open::Known(Event::RemovedFromChannel { cid, .. }) = &frame.event {
                    shown.push(Shown::Left { topic: format!("channel:{cid}") });
                }
            }
            ClientEvent::Reset { topic, reason: ResetReason::NoAccess, .. } => {
                stats.resets.add();
                shown.push(Shown::Left { topic: topic.to_string() });
            }
            ClientEvent::Reset { topic, head, .. } => {
                stats.resets.add();
                shown.push(Shown::Reset { topic: topic.to_string(), head });
            }
            ClientEvent::Recovered { resumed, .. } => match resumed {
                Resumed::CaughtUp => stats.caught_up.add(),
                _ => stats.resumes.add(),
            },
            _ => {}
        }
        let mut history = history.lock().unwrap_or_else(PoisonError::into_inner);
        if !skipped_setup {
            // What came before the run began is not part of it.
            let began = history.began.clone();
            shown.retain(|entry| match entry {
                Shown::Event { topic, seq, .. } => {
                    began.get(&(name.clone(), topic.clone())).is_none_or(|began| seq > began)
                }
                Shown::Reset { .. } | Shown::Left { .. } => true,
            });
            skipped_setup = !shown.is_empty();
        }
        history.shown.entry(name.clone()).or_default().extend(shown);
    }
}

/// An event's kind and subject. A message that is gone still is the event that brought it.
fn describe(event: &Open<Event>) -> String {
    match event.known() {
        Some(Event::MessageNew { message, .. }) => format!("message.new {}", message.id),
        Some(Event::MessageUpdated { message, .. }) => format!("message.updated {}", message.id),
        Some(Event::MessageDeleted { message_id, .. }) => format!("message.deleted {message_id}"),
        Some(other) => other.kind().to_owned(),
        None => "unknown".to_owned(),
    }
}

/// What one user does.
async fn chat(world: Arc<World>, name: String, client: Client, history: Arc<Mutex<History>>, until: Instant) {
    let mut sent: Vec<(u64, parlour_client::wire::MessageId)> = Vec::new();
    let mut sends = JoinSet::new();
    while Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(world.dice.pick(20..1_500))).await;
        let room = world.dice.pick(0..CHANNELS);
        let channel = client.channel("messaging", &cid(room)).expect("a valid id");
        match world.dice.pick(0..100) {
            0..60 => {
                world.stats.sends.add();
                let (history, text) = (Arc::clone(&history), format!("{name} says {}", sent.len()));
                let Ok(sending) = channel.queue(parlour_client::MessageDraft::text(text)).await else {
                    continue;
                };
                sent.push((room, sending.id.clone()));
                sends.spawn(async move {
                    if let Ok(message) = sending.await {
                        let mut history = history.lock().unwrap_or_else(PoisonError::into_inner);
                        history.acknowledged.push((message.id.to_string(), message.seq));
                    }
                });
            }
            60..70 => {
                if let Some((room, id)) = sent.last() {
                    let channel = client.channel("messaging", &cid(*room)).expect("a valid id");
                    let _ = channel.edit(id, "better").await;
                }
            }
            70..75 => {
                if let Some((room, id)) = sent.pop() {
                    let channel = client.channel("messaging", &cid(room)).expect("a valid id");
                    let _ = channel.delete(&id).await;
                }
            }
            75..88 => drop(channel.mark_read().await),
            88..90 => {
                if let Some((room, id)) = sent.first() {
                    let channel = client.channel("messaging", &cid(*room)).expect("a valid id");
                    let _ = channel.mark_unread(id).await;
                }
            }
            90..93 => drop(channel.typing_start().await),
            93..95 => {
                let update =
                    PartialUpdate { set: [("mood".to_owned(), sent.len().into())].into(), unset: Vec::new() };
                let _ = client.update_me(update).await;
            }
            95..98 => {
                let _ = client.disconnect().await;
                tokio::time::sleep(Duration::from_millis(world.dice.pick(1..8_000))).await;
                let _ = client.connect().await;
            }
            _ => drop(client.ping().await),
        }
    }
    // What is still under way is part of the run: every unknown outcome resolves.
    while sends.join_next().await.is_some() {}
}

/// Old events go while clients are away: some have to be reset.
async fn trim_now_and_then(world: Arc<World>, until: Instant) {
    while Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(world.dice.pick(1_000..9_000))).await;
        let retention = Retention {
            before: Timestamp::from_unix_ms(START_MS - 1),
            per_topic: 30,
            tombstones_before: Timestamp::from_unix_ms(START_MS - 1),
        };
        let _ = world.store.trim(retention).await;
    }
}

/// One user is taken out of one room and put back, with and without its history.
async fn churn_members(world: Arc<World>, server: ServerClient, until: Instant) {
    let owner = server.as_user(&user(0)).expect("a valid id");
    let channel = owner.channel("messaging", &cid(0)).expect("a valid id");
    let member: UserId = user(USERS - 1).parse().expect("a valid id");
    let mut is_member = true;
    while Instant::now() < until || !is_member {
        tokio::time::sleep(Duration::from_millis(world.dice.pick(500..6_000))).await;
        let mut change = parlour_client::wire::members::UpdateMembers::default();
        if is_member {
            change.remove.push(member.clone());
        } else {
            change.add.push(member.clone());
            change.hide_history = world.dice.chance(0.5);
        }
        if channel.update_members(&change).await.is_ok() {
            is_member = !is_member;
        }
    }
}

/// Reads what there is at the end: the logs, the memberships, the counts.
async fn finish(
    world: &World,
    app: parlour_store::AppId,
    clients: &[(String, Client)],
    history: &Mutex<History>,
) {
    let cids: Vec<Cid> =
        (0..CHANNELS).map(|n| format!("messaging:{}", cid(n)).parse().expect("a valid cid")).collect();
    let mut topics: Vec<Topic> = cids.iter().cloned().map(Topic::Channel).collect();
    topics.extend(clients.iter().map(|(name, _)| Topic::User(name.parse().expect("a valid id"))));
    for topic in &topics {
        let log = whole_log(world, app, topic).await;
        history.lock().unwrap_or_else(PoisonError::into_inner).logs.insert(topic.to_string(), log);
    }
    for cid in &cids {
        let mut after = 0;
        loop {
            let page = world
                .store
                .messages(app, cid, Page::After(after), 100, 0, None)
                .await
                .expect("no fault any more");
            let mut history = history.lock().unwrap_or_else(PoisonError::into_inner);
            for message in &page.messages {
                after = message.seq;
                history.stored.entry(message.id.to_string()).or_default().push(message.seq);
            }
            if !page.has_more_after {
                break;
            }
        }
    }
    for (name, client) in clients {
        let user: UserId = name.parse().expect("a valid id");
        let mut listens = BTreeSet::from([format!("user:{name}")]);
        for cid in &cids {
            let access = world.store.channel_access(app, cid, Some(&user)).await.expect("no fault any more");
            if access.is_some_and(|access| access.membership.is_some()) {
                listens.insert(format!("channel:{cid}"));
            }
        }
        let counted = world.store.unread(app, &user).await.expect("no fault any more").total_unread_count;
        let mut history = history.lock().unwrap_or_else(PoisonError::into_inner);
        history.listens.insert(name.clone(), listens);
        history.unread.insert(name.clone(), (client.unread().total_unread_count, counted));
    }
}

/// Every event of a topic. What was trimmed is only known by its number.
async fn whole_log(
    world: &World,
    app: parlour_store::AppId,
    topic: &Topic,
) -> std::collections::BTreeMap<u64, String> {
    let start = world.store.topic_start(app, topic).await.expect("no fault any more");
    let mut log: std::collections::BTreeMap<u64, String> =
        (1..=start.floor).map(|seq| (seq, "trimmed".to_owned())).collect();
    let mut after = start.floor;
    while after < start.head {
        let events =
            world.store.events(app, topic, after, 1_000, Reader::Anyone).await.expect("no fault any more");
        let Events::Found { events, .. } = events else { break };
        for logged in events {
            after = logged.seq;
            log.insert(logged.seq, describe(&logged.event));
        }
    }
    log
}
