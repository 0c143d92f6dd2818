//! Ten thousand clients, and their server goes away: once with a word, once without.
//!
//! The clients are the real SDK, in this process; the server is the real binary in one of its own. With a drain
//! everybody has a turn, spread over the window; after SIGKILL everybody comes at once, and the server lets in as
//! many per second as it is set to. In both cases everybody is back, and has heard everything once and in order.
//!
//! `PARLOUR_CLIENTS=n` makes it smaller or larger.

#![expect(clippy::unwrap_used, reason = "a broken fixture is a failed test")]
#![expect(clippy::print_stdout, reason = "a run tells its figures")]

mod kit;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use kit::server::{Home, Server};
use parlour_client::wire::CloseCode;
use parlour_client::{
    Client, ClientEvent, Event, Frames, NO_DATA, Net, NetError, Open, Received, State, TokioNet, Topic,
    Transport,
};
use tokio::task::JoinSet;

const CLIENTS: usize = 10_000;
/// Members of a channel: the most that are added in one call.
const MEMBERS: usize = 100;
const WINDOW: Duration = Duration::from_secs(20);
const RESTART: Duration = Duration::from_secs(3);
/// Hellos that the server accepts per second, and at once, after the kill.
const PER_SECOND: usize = 400;
const BURST: usize = 400;

/// When clients dialled, and when they were let in.
#[derive(Default)]
struct Log {
    dials: Mutex<Vec<Instant>>,
    readies: Mutex<Vec<Instant>>,
}

impl Log {
    /// Empties both, and answers what was in them.
    fn take(&self) -> (Vec<Instant>, Vec<Instant>) {
        let take = |list: &Mutex<Vec<Instant>>| std::mem::take(&mut *list.lock().unwrap());
        (take(&self.dials), take(&self.readies))
    }
}

struct CountingNet {
    inner: TokioNet,
    log: Arc<Log>,
}

#[async_trait]
impl Net for CountingNet {
    async fn open(&self, url: &str) -> Result<Box<dyn Frames>, NetError> {
        self.log.dials.lock().unwrap().push(Instant::now());
        let inner = self.inner.open(url).await?;
        Ok(Box::new(CountingFrames { inner, log: self.log.clone() }))
    }

    async fn request(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, NetError> {
        self.inner.request(request).await
    }

    async fn stream(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Box<dyn parlour_client::Body>>, NetError> {
        self.inner.stream(request).await
    }
}

struct CountingFrames {
    inner: Box<dyn Frames>,
    log: Arc<Log>,
}

#[async_trait]
impl Frames for CountingFrames {
    async fn send(&mut self, text: String) -> Result<(), NetError> {
        self.inner.send(text).await
    }

    async fn recv(&mut self) -> Received {
        let received = self.inner.recv().await;
        if matches!(&received, Received::Text(text) if text.starts_with(r#"{"type":"ready""#)) {
            self.log.readies.lock().unwrap().push(Instant::now());
        }
        received
    }

    async fn close(&mut self, code: CloseCode, reason: &str) {
        self.inner.close(code, reason).await;
    }
}

fn clients() -> usize {
    std::env::var("PARLOUR_CLIENTS").ok().and_then(|n| n.parse().ok()).unwrap_or(CLIENTS)
}

fn user(n: usize) -> String {
    format!("u{n}")
}

fn channel(n: usize) -> String {
    format!("room{}", n / MEMBERS)
}

/// The channels, with their members.
async fn furnish(server: &Server, clients: usize) {
    let backend = server.backend();
    for room in 0..clients.div_ceil(MEMBERS) {
        let members: Vec<String> = (room * MEMBERS..((room + 1) * MEMBERS).min(clients)).map(user).collect();
        backend.upsert_users(members.iter().cloned()).await.unwrap();
        let ids: Vec<&str> = members.iter().map(String::as_str).collect();
        let owner = backend.as_user(&members[0]).unwrap();
        owner
            .channel("messaging", &channel(room * MEMBERS))
            .unwrap()
            .get_or_create(&ids, NO_DATA)
            .await
            .unwrap();
    }
}

/// A message more in every channel.
async fn say(server: &Server, clients: usize, text: &str) {
    let backend = server.backend();
    for room in 0..clients.div_ceil(MEMBERS) {
        let owner = backend.as_user(&user(room * MEMBERS)).unwrap();
        let channel = owner.channel("messaging", &channel(room * MEMBERS)).unwrap();
        channel.send(text).await.unwrap();
    }
}

async fn all_are(clients: &[Client], state: State, within: Duration) {
    let begun = Instant::now();
    for client in clients {
        let left = within.saturating_sub(begun.elapsed());
        let mut connection = client.connection();
        let there = connection.wait_for(|status| status.state == state);
        assert!(tokio::time::timeout(left, there).await.is_ok(), "not all are {state:?} within {within:?}");
    }
}

/// The most in any second that begins at a multiple of 100 ms.
fn peak_per_second(times: &[Instant]) -> usize {
    let Some(first) = times.iter().min() else { return 0 };
    let bins = times.iter().map(|at| at.duration_since(*first).as_millis() as usize / 100);
    let mut counts = vec![0_usize; bins.clone().max().unwrap_or(0) + 1];
    bins.for_each(|bin| counts[bin] += 1);
    counts.windows(10.min(counts.len())).map(|second| second.iter().sum()).max().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_come_back_from_a_drain_in_their_turns_and_from_a_kill_as_fast_as_they_are_let_in_l9_11() {
    let clients = clients();
    let folder = tempfile::tempdir().unwrap();
    let mut home = Home::new(folder.path().join("data"));
    home.set("PARLOUR_SERVER__DRAIN_WINDOW_MS", WINDOW.as_millis());
    home.set("PARLOUR_SERVER__RESTART_MS", RESTART.as_millis());
    home.set("PARLOUR_SERVER__PENDING_PER_ADDRESS_MAX", 20_000);
    let mut server = home.start().await;
    furnish(&server, clients).await;

    let log = Arc::new(Log::default());
    let net: Arc<dyn Net> = Arc::new(CountingNet { inner: TokioNet::new().unwrap(), log: log.clone() });
    let backend = server.backend();
    let mut everybody = Vec::with_capacity(clients);
    for n in 0..clients {
        let builder = server.client().net(net.clone()).seed(n as u64).transports([Transport::WebSocket]);
        everybody.push(builder.call_timeout(Duration::from_secs(120)).build().unwrap());
    }
    // Each hears the messages of one channel, and says where one was missing or came twice.
    let heard = Arc::new(AtomicUsize::new(0));
    let mut readers = JoinSet::new();
    for client in &everybody {
        let (mut events, heard) = (client.events(), heard.clone());
        readers.spawn(async move {
            let mut seqs = Vec::new();
            while let Some(event) = events.next().await {
                if let ClientEvent::Event(frame) = event
                    && let (Topic::Channel(_), Open::Known(Event::MessageNew { .. })) =
                        (&frame.topic, &frame.event)
                {
                    seqs.push(frame.seq);
                    heard.fetch_add(1, Ordering::Relaxed);
                }
            }
            seqs
        });
    }
    let begun = Instant::now();
    let mut dialling = JoinSet::new();
    for (n, client) in everybody.iter().enumerate() {
        let (client, token) = (client.clone(), backend.create_token(&user(n), None).unwrap());
        dialling.spawn(async move { client.connect_user(user(n), token).await.map(drop) });
        // At first they come as people do, one after the other.
        while dialling.len() > 200 {
            dialling.join_next().await.unwrap().unwrap().unwrap();
        }
    }
    while let Some(done) = dialling.join_next().await {
        done.unwrap().unwrap();
    }
    println!("{clients} clients connected within {:.1} s", begun.elapsed().as_secs_f64());
    let rooms = clients.div_ceil(MEMBERS);
    say(&server, clients, "before the drain").await;
    log.take();

    // With a word.
    let told_at = Instant::now();
    let process = rustix::process::Pid::from_raw(i32::try_from(server.pid()).unwrap()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
    assert!(server.ended().await.success());
    println!("drained within {:.1} s", told_at.elapsed().as_secs_f64());
    server = home.start().await;
    say(&server, clients, "while they are away").await;
    all_are(&everybody, State::Connected, Duration::from_secs(120)).await;
    let (dials, _) = log.take();
    let span = dials.iter().max().unwrap().duration_since(*dials.iter().min().unwrap()).as_secs_f64();
    let (peak, mean) = (peak_per_second(&dials), clients as f64 / WINDOW.as_secs_f64());
    println!(
        "drain: {} dials over {span:.1} s; peak {peak}/s, mean over the window {mean:.0}/s, ratio {:.2}",
        dials.len(),
        peak as f64 / mean
    );
    assert!(peak as f64 <= 2.0 * mean, "a peak of {peak} dials per second, over a mean of {mean:.0}");
    assert!(dials.len() <= clients + clients / 20, "{} dials of {clients} clients", dials.len());

    // Without.
    home.set("PARLOUR_LIMITS__HELLOS_PER_SECOND", PER_SECOND);
    home.set("PARLOUR_LIMITS__HELLOS_BURST", BURST);
    server.kill().await;
    let killed_at = Instant::now();
    server = home.start().await;
    say(&server, clients, "after the kill").await;
    all_are(&everybody, State::Connected, Duration::from_secs(60)).await;
    let (dials, readies) = log.take();
    let back = readies.iter().max().unwrap().duration_since(killed_at).as_secs_f64();
    let accepted = peak_per_second(&readies);
    println!(
        "kill: {} dials; all back within {back:.1} s; accepted at most {accepted}/s, set to {PER_SECOND}/s and {BURST} at once",
        dials.len()
    );
    // A second may hold the burst and what it grew by; what is accepted is heard of a little later.
    let most = (PER_SECOND + BURST) * 5 / 4;
    assert!(accepted <= most, "{accepted} were accepted in one second");

    // Nothing lost, nothing twice, in order.
    say(&server, clients, "at the end").await;
    let expected = 4 * clients;
    let begun = Instant::now();
    while heard.load(Ordering::Relaxed) < expected && begun.elapsed() < Duration::from_secs(30) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(everybody);
    let mut total = 0;
    while let Some(seqs) = readers.join_next().await {
        let seqs = seqs.unwrap();
        assert_eq!(seqs.len(), 4, "of 4 messages a client heard {seqs:?}");
        assert!(seqs.windows(2).all(|two| two[0] < two[1]), "out of order: {seqs:?}");
        total += seqs.len();
    }
    println!(
        "{total} deliveries of {} messages in {rooms} channels: none lost, none twice, all in order",
        4 * rooms
    );
}
