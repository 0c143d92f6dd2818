//! Twenty clients send as fast as they can while their server is killed again and again.
//!
//! The clients are the real SDK, in this process; the server is the real binary, in one that is killed with
//! SIGKILL. What was acknowledged is written down out here, where no kill reaches it. At the end everybody
//! has come back by resume, and the checkers compare what was said with what is.
//!
//! `PARLOUR_KILL_SEED=n` repeats a run's moments (though not the machine's own chances);
//! `PARLOUR_KILLS=n` makes it longer.

#![expect(clippy::unwrap_used, reason = "a broken fixture is a failed test")]
#![expect(clippy::print_stdout, reason = "a run tells its figures")]

mod kit;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kit::checkers::{self, Span};
use kit::history::{Account, Entry, History, Name, Stored, What};
use kit::load;
use kit::server::{Home, Server};
use kit::watched_net::{Attempts, Ids, WatchedNet};
use parlour_client::wire::frames::EventFrame;
use parlour_client::wire::{Cid, MessageId, Seq};
use parlour_client::{Client, ClientEvent, Event, MessageDraft, NO_DATA, Open, ServerClient, Topic};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;
use tokio::task::JoinHandle;

const CLIENTS: usize = 20;
const CHANNELS: usize = 3;
/// Every so many sends a client also reads.
const SENDS_PER_READ: u64 = 20;
/// What takes longer than this has stopped.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_or_doubled_over_thirty_kills_and_everybody_catches_up_by_resume_l9_8() {
    let kills = setting("PARLOUR_KILLS").unwrap_or(30);
    let run = Run::through(kills, Ids::Kept).await;
    let (history, stored) = (&run.history, &run.stored);
    checkers::expect_none(&[
        ("acknowledged is stored once", checkers::acked_are_stored_once(history, stored)),
        ("stored is what was sent", checkers::stored_is_what_was_sent(history, stored)),
        ("no hole in a topic", checkers::no_hole_in_topics(history, stored, &run.spans)),
        ("shown once, in order", checkers::shown_once_in_order(history, &run.clients, &run.spans)),
        ("shown is what is stored", checkers::shown_is_what_is_stored(history, stored)),
        ("every outcome is known", checkers::all_outcomes_are_known(history)),
        ("refused is not stored", checkers::refused_are_not_stored(history, stored)),
        ("unread is a recount", checkers::unread_is_recounted(history, stored, &run.accounts)),
    ]);
    // The run has to have been through what it is about.
    let lost_answers = run.attempts.unknown.load(Ordering::Relaxed);
    assert!(lost_answers > 0, "no kill cut a send off from its answer");
    assert!(run.attempts.known.load(Ordering::Relaxed) > 0, "no send was stored without its answer");
    assert!(run.resumes >= kills, "{} resumes in {kills} kills", run.resumes);
    assert_eq!(run.accounts.len(), CLIENTS * CHANNELS);
    assert!(run.accounts.iter().any(|account| account.counted_by_server > 0), "nothing is unread");
}

/// The test of the test: without ids of the clients' own, an attempt again is a second message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_client_ids_ignored_messages_are_doubled_and_the_checker_says_so() {
    let run = Run::through(10, Ids::Ignored).await;
    let breaches = checkers::stored_is_what_was_sent(&run.history, &run.stored);
    println!("doubled, as they must be: {}", breaches.len());
    assert!(
        breaches.iter().any(|breach| breach.contains("is stored more than once")),
        "ten kills with ids ignored doubled nothing: this test could not see a double either"
    );
}

/// One run, from the first start to the end in quiet.
struct Run {
    history: Vec<Entry>,
    stored: Vec<Stored>,
    spans: Vec<Span>,
    accounts: Vec<Account>,
    clients: Vec<Name>,
    attempts: Arc<Attempts>,
    resumes: u64,
}

impl Run {
    async fn through(kills: u64, ids: Ids) -> Self {
        let seed = setting("PARLOUR_KILL_SEED").unwrap_or_else(rand::random);
        println!("seed {seed}: {CLIENTS} clients, {CHANNELS} channels, {kills} kills, ids {ids:?}");
        let began = Instant::now();
        let folder = tempfile::tempdir().unwrap();
        let mut home = Home::new(folder.path().join("data"));
        // A client that dials late misses some thousand events: here it gets them all by resume.
        home.set("PARLOUR_LIMITS__REPLAY_MAX", 100_000);
        home.set("PARLOUR_STORAGE__EVENTS_PER_TOPIC", 1_000_000);
        let mut server = home.start().await;
        let people = People::gather(&server, ids).await;

        let mut dice = StdRng::seed_from_u64(seed);
        for _ in 0..kills {
            people.until_the_next_kill(&mut dice).await;
            server.kill().await;
            server = home.start().await;
            people.some_redial_now(&mut dice).await;
        }
        let spans = people.come_to_rest(&server).await;
        let stored = everything_stored(&server.backend(), &people.channels).await;
        let accounts = people.accounts().await;

        let said = home.said();
        assert!(!said.contains("panicked"), "the server panicked:\n{said}");
        let run = Self {
            history: people.history.entries(),
            stored,
            spans,
            accounts,
            clients: people.all.iter().map(|person| person.name.clone()).collect(),
            attempts: people.attempts.clone(),
            resumes: people.resumes.load(Ordering::Relaxed),
        };
        run.print(kills, began.elapsed());
        run
    }

    fn print(&self, kills: u64, took: Duration) {
        let count = |is: fn(&Entry) -> bool| self.history.iter().filter(|entry| is(entry)).count();
        let Attempts { new, known, unknown, unsent, refused } = &*self.attempts;
        println!(
            "kills {kills}; sends {}; acks {}; refusals {}; shown {}; reads {}; resumes {}; resets {}",
            count(|entry| matches!(entry, Entry::Invoked { .. })),
            count(|entry| matches!(entry, Entry::Acked { .. })),
            count(|entry| matches!(entry, Entry::Refused { .. })),
            count(|entry| matches!(entry, Entry::Shown { .. })),
            count(|entry| matches!(entry, Entry::ReadAcked { .. })),
            self.resumes,
            count(|entry| matches!(entry, Entry::Reset { .. })),
        );
        println!(
            "attempts: new {new:?}; already known {known:?}; no answer {unknown:?}; nobody there {unsent:?}; \
             refused {refused:?}; stored {}; {took:.1?}",
            self.stored.len()
        );
    }
}

/// The clients, and what they write down.
struct People {
    all: Vec<Person>,
    channels: Vec<Cid>,
    /// The heads of the channels before anything was sent.
    begins: Vec<Seq>,
    history: Arc<History>,
    attempts: Arc<Attempts>,
    resumes: Arc<AtomicU64>,
    rest: watch::Sender<bool>,
    sending: std::sync::Mutex<Vec<JoinHandle<()>>>,
}

struct Person {
    name: Name,
    client: Client,
}

impl People {
    /// Makes users and channels, connects everybody, and begins to send.
    async fn gather(server: &Server, ids: Ids) -> Self {
        let backend = server.backend();
        let names: Vec<Name> = (0..CLIENTS).map(|n| format!("u{n:02}").into()).collect();
        backend.upsert_users(names.iter().map(|name| name.to_string())).await.unwrap();
        let (creator, members) = names.split_first().unwrap();
        let members: Vec<&str> = members.iter().map(|name| &**name).collect();
        let mut channels = Vec::new();
        for n in 0..CHANNELS {
            let creator = backend.as_user(creator).unwrap();
            let channel = creator.channel("messaging", &format!("kill-{n}")).unwrap();
            channel.get_or_create(&members, NO_DATA).await.unwrap();
            channels.push(channel.cid().clone());
        }

        let (history, attempts) = (History::new(), Arc::new(Attempts::default()));
        let resumes = Arc::new(AtomicU64::new(0));
        let mut all = Vec::new();
        for name in names {
            let net = WatchedNet::new(ids, attempts.clone());
            let client = server.client().net(net).event_queue_len(1 << 20).build().unwrap();
            write_down_events(&client, name.clone(), history.clone(), resumes.clone());
            client.connect_user(&*name, backend.create_token(&name, None).unwrap()).await.unwrap();
            all.push(Person { name, client });
        }
        let begins = heads(&backend, &channels).await;
        let (rest, sending) = (watch::Sender::new(false), std::sync::Mutex::default());
        let people = Self { all, channels, begins, history, attempts, resumes, rest, sending };
        people.begin_sending();
        people
    }

    fn begin_sending(&self) {
        for (n, person) in self.all.iter().enumerate() {
            let sender = Sender {
                name: person.name.clone(),
                client: person.client.clone(),
                channels: self.channels.clone(),
                history: self.history.clone(),
            };
            let sends = tokio::spawn(sender.send_until(self.rest.subscribe(), n));
            self.sending.lock().unwrap().push(sends);
        }
    }

    /// Waits for a random moment: mostly while sends are acknowledged, sometimes while everybody still dials
    /// and resumes.
    async fn until_the_next_kill(&self, dice: &mut StdRng) {
        if dice.random_bool(0.8) {
            let more = dice.random_range(1..400);
            let mut acks = self.history.acks();
            let enough = *acks.borrow() + more;
            let came = tokio::time::timeout(PATIENCE, acks.wait_for(|acks| *acks >= enough)).await.is_ok();
            assert!(came, "no {more} acknowledgements within {PATIENCE:?} of a restart");
        }
        tokio::time::sleep(Duration::from_micros(dice.random_range(0..300_000))).await;
    }

    /// About half of the clients are told that the network is back; the others find out by themselves.
    async fn some_redial_now(&self, dice: &mut StdRng) {
        for person in &self.all {
            if dice.random_bool(0.5) {
                person.client.retry_now().await.unwrap();
            }
        }
    }

    /// Ends the sending, and waits until every send has its outcome and everybody was shown everything.
    async fn come_to_rest(&self, server: &Server) -> Vec<Span> {
        self.rest.send_replace(true);
        for person in &self.all {
            person.client.retry_now().await.unwrap();
        }
        let sending = std::mem::take(&mut *self.sending.lock().unwrap());
        for sends in sending {
            let ended = tokio::time::timeout(PATIENCE, sends).await;
            ended.expect("every outbox becomes empty").unwrap();
        }
        for person in &self.all {
            assert_eq!(person.client.outbox(), []);
        }
        let heads = heads(&server.backend(), &self.channels).await;
        let spans: Vec<Span> = self
            .channels
            .iter()
            .zip(&self.begins)
            .zip(heads)
            .map(|((cid, after), head)| Span { topic: Topic::Channel(cid.clone()), after: *after, head })
            .collect();
        let mut places = self.history.places();
        let all_shown = places.wait_for(|places| {
            spans.iter().all(|span| {
                let at = |person: &Person| (person.name.clone(), span.topic.clone());
                self.all.iter().all(|person| places.get(&at(person)).is_some_and(|seq| *seq >= span.head))
            })
        });
        if tokio::time::timeout(PATIENCE, all_shown).await.is_err() {
            println!("not everybody was shown everything within {PATIENCE:?}: the checkers will say who");
        }
        spans
    }

    /// The unread state of everybody, once both sides have settled.
    async fn accounts(&self) -> Vec<Account> {
        let mut accounts = Vec::new();
        for Person { name, client } in &self.all {
            let truth = client.load_unread().await.unwrap();
            // The client's own count follows events, the last of which may still be on their way.
            let mut counts = client.unread_counts();
            let settled = counts
                .wait_for(|counts| counts.settled && counts.total_unread_count == truth.total_unread_count);
            let settled = tokio::time::timeout(PATIENCE, settled).await.is_ok();
            let here = client.unread();
            if !settled {
                println!("{name}: the client's unread count has not settled: {here:?}, server {truth:?}");
            }
            for cid in &self.channels {
                let counted = |unread: &[parlour_client::wire::reads::Unread]| {
                    unread.iter().find(|unread| unread.cid == *cid).map_or(0, |unread| unread.unread_messages)
                };
                let channel = client.channel_at(cid.clone());
                let last_read_seq = channel.state().await.unwrap().unread.unwrap().last_read_seq;
                accounts.push(Account {
                    client: name.clone(),
                    topic: channel.topic(),
                    last_read_seq,
                    counted_by_client: counted(&here.channels),
                    counted_by_server: counted(&truth.channels),
                });
            }
        }
        accounts
    }
}

/// One user's thumbs.
struct Sender {
    name: Name,
    client: Client,
    channels: Vec<Cid>,
    history: Arc<History>,
}

impl Sender {
    async fn send_until(self, rest: watch::Receiver<bool>, offset: usize) {
        let mut sends = 0;
        while !*rest.borrow() {
            let channel = self.channels[(offset + sends as usize) % self.channels.len()].clone();
            self.send(&channel, sends).await;
            sends += 1;
            if sends.is_multiple_of(SENDS_PER_READ) {
                self.read(&channel).await;
            }
        }
    }

    async fn send(&self, cid: &Cid, n: u64) {
        let Self { name, history, .. } = self;
        let channel = self.client.channel_at(cid.clone());
        let body: Arc<str> = format!("{name}-{n}").into();
        let id = MessageId::parse(&body).unwrap();
        let draft = MessageDraft { id: Some(id), ..MessageDraft::text(&*body) };
        history.note(Entry::Invoked { client: name.clone(), topic: channel.topic(), body: body.clone() });
        let outcome = channel.send_message(draft).await;
        history.note(match outcome {
            Ok(message) => Entry::Acked { body, id: message.id, seq: message.seq },
            Err(error) => Entry::Refused { body, code: error.code().to_owned() },
        });
    }

    /// Marks what was shown last as read. What becomes of it during a kill is nobody's promise.
    async fn read(&self, cid: &Cid) {
        let channel = self.client.channel_at(cid.clone());
        let place = (self.name.clone(), channel.topic());
        let Some(seq) = self.history.places().borrow().get(&place).copied() else { return };
        if channel.mark_read_up_to(seq).await.is_ok() {
            self.history.note(Entry::ReadAcked { client: place.0, topic: place.1, seq });
        }
    }
}

/// Writes down what a client is told, as long as it lives.
fn write_down_events(client: &Client, name: Name, history: Arc<History>, resumes: Arc<AtomicU64>) {
    let mut events = client.events();
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            match event {
                ClientEvent::Event(frame) => {
                    let EventFrame { topic, seq, event } = &*frame;
                    let what = what(event);
                    history.note(Entry::Shown {
                        client: name.clone(),
                        topic: topic.clone(),
                        seq: *seq,
                        what,
                    });
                }
                ClientEvent::Reset { topic, head, .. } => {
                    history.note(Entry::Reset { client: name.clone(), topic, head });
                }
                ClientEvent::Recovered { .. } => {
                    resumes.fetch_add(1, Ordering::Relaxed);
                }
                ClientEvent::Lagged { missed } => {
                    panic!("the test was too slow: it left {missed} events out")
                }
                _ => {}
            }
        }
    });
}

fn what(event: &Open<Event>) -> What {
    match event {
        Open::Known(Event::MessageNew { message, .. }) => {
            What::Message { id: message.id.clone(), body: message.text.as_str().into() }
        }
        Open::Known(other) => What::Other(other.kind().to_owned()),
        Open::Unknown(value) => What::Other(value["type"].to_string()),
    }
}

/// Each channel's head.
async fn heads(backend: &ServerClient, channels: &[Cid]) -> Vec<Seq> {
    let reader = backend.as_user("u00").unwrap();
    let mut heads = Vec::new();
    for cid in channels {
        heads.push(reader.channel_at(cid.clone()).state(0).await.unwrap().head);
    }
    heads
}

/// All messages of the channels, from the beginning.
async fn everything_stored(backend: &ServerClient, channels: &[Cid]) -> Vec<Stored> {
    let reader = backend.as_user("u00").unwrap();
    let mut stored = Vec::new();
    for cid in channels {
        let of_channel = load::everything_stored(&reader.channel_at(cid.clone()), 0).await;
        assert!(!of_channel.is_empty(), "nothing was sent to {cid}");
        stored.extend(of_channel);
    }
    stored
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}
