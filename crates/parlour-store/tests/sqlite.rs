//! What SQLite promises beyond the contract: the file, its one owner, its full and failing disk.

#![expect(clippy::unwrap_used, reason = "what a story needs and does not get ends it")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use parlour_store::{
    AppId, AppMode, Connect, Events, Marks, NewApp, NewChannel, NewMessage, Page, Probe, Reader, Requires,
    Result, Sent, Sqlite, SqliteOptions, Store, StoreError, UsageRange, UserWrite,
};
use parlour_wire::usage::Granularity;
use parlour_wire::{Cid, Timestamp, Topic};
use rusqlite::Connection;
use serde_json::json;
use tempfile::TempDir;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap().block_on(future)
}

fn general() -> Cid {
    "messaging:general".parse().unwrap()
}

/// A directory with a database in it.
struct Home {
    directory: TempDir,
}

impl Home {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("parlour.db")
    }

    fn open(&self) -> Arc<Sqlite> {
        Sqlite::open(&self.path(), SqliteOptions::default()).unwrap()
    }
}

/// An app with alice in a channel.
async fn settle(store: &dyn Store) -> AppId {
    let new = NewApp {
        key: "app".parse().unwrap(),
        secret: "secret".to_owned(),
        mode: AppMode::Development,
        now: Timestamp::default(),
    };
    let app = store.create_app(new).await.unwrap().id;
    store.connect(connect(app)).await.unwrap();
    let channel = NewChannel {
        team: None,
        app,
        cid: general(),
        creator: Some("alice".parse().unwrap()),
        members: Vec::new(),
        data: BTreeMap::new(),
        now: Timestamp::default(),
    };
    store.get_or_create_channel(channel).await.unwrap();
    app
}

fn connect(app: AppId) -> Connect {
    Connect {
        app,
        user: "alice".parse().unwrap(),
        fields: BTreeMap::new(),
        ticket: None,
        resume: None,
        issued_at: None,
        now: Timestamp::default(),
    }
}

fn message(app: AppId, id: &str, text: &str) -> NewMessage {
    NewMessage {
        app,
        cid: general(),
        sender: "alice".parse().unwrap(),
        requires: Requires::Membership,
        id: id.parse().unwrap(),
        text: text.to_owned(),
        attachments: Vec::new(),
        mentioned_users: Vec::new(),
        silent: false,
        custom: BTreeMap::new(),
        now: Timestamp::default(),
    }
}

async fn events(store: &dyn Store, app: AppId) -> Vec<(u64, String)> {
    let topic = Topic::Channel(general());
    match store.events(app, &topic, 0, 10_000, Reader::Anyone).await.unwrap() {
        Events::Found { events, .. } => events
            .iter()
            .map(|logged| (logged.seq, logged.event.known().unwrap().kind().to_owned()))
            .collect(),
        other => panic!("{other:?}"),
    }
}

fn refused(path: &Path) -> String {
    match Sqlite::open(path, SqliteOptions::default()) {
        Ok(_) => panic!("it was opened"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_reopened_file_has_everything_and_no_connections() {
    let home = Home::new();
    block_on(async {
        let store = home.open();
        let app = settle(store.as_ref()).await;
        store.send_message(message(app, "m1", "hi")).await.unwrap();
        let ledger = store.begin_usage().await.unwrap();
        for n in 0..7 {
            let marks = Marks { device: n, page: 1, instance: 1, comes_back: false };
            let ticket = Some(ledger.ticket(app, "alice".parse().unwrap(), marks));
            store.connect(Connect { ticket, ..connect(app) }).await.unwrap();
        }
        let epoch = store.epoch().await.unwrap();
        let before = events(store.as_ref(), app).await;
        assert_eq!(epoch.as_str().len(), 32);
        // Once in an orderly way, once as if the process had ended.
        store.close().await;
        for _ in 0..2 {
            let store = home.open();
            assert_eq!(store.epoch().await.unwrap(), epoch);
            assert_eq!(events(store.as_ref(), app).await, before);
            let census = store.begin_usage().await.unwrap().census(app);
            assert_eq!(census.by_cause.total(), 0, "the connections ended");
            let now = Timestamp::default();
            let (granularity, to) = (Granularity::Minute, Timestamp::from_unix_ms(1));
            let usage = store.usage(app, UsageRange { granularity, from: now, to }, now).await.unwrap();
            assert_eq!((usage.peaks.minute, usage.points[0].closed), (7, 7), "the peak was there");
            store.check().await.unwrap();
        }
        let other = Sqlite::in_memory().unwrap();
        assert_ne!(other.epoch().await.unwrap(), epoch);
    });
}

#[test]
fn a_file_is_used_by_one_process_at_a_time() {
    let home = Home::new();
    let store = home.open();
    assert!(refused(&home.path()).contains("in use by another process"));
    block_on(async {
        let app = settle(store.as_ref()).await;
        store.send_message(message(app, "m1", "hi")).await.unwrap();
        store.close().await;
    });
    // Closed is enough; it need not be dropped.
    let second = home.open();
    drop(store);
    assert!(refused(&home.path()).contains("in use by another process"), "the old one's end frees nothing");
    drop(second);
    home.open();
}

#[test]
fn a_file_of_a_newer_version_is_refused_and_left_alone() {
    let home = Home::new();
    drop(home.open());
    let raw = Connection::open(home.path()).unwrap();
    raw.execute_batch(
        "insert into refinery_schema_history (version, name, applied_on, checksum)
         values (99, 'of_tomorrow', '2030-01-01T00:00:00Z', '1')",
    )
    .unwrap();
    let refusal = refused(&home.path());
    assert!(refusal.contains("schema 99") && refusal.contains("newer version"), "{refusal}");
    raw.execute_batch("delete from refinery_schema_history where version = 99").unwrap();
    drop(raw);
    home.open();
}

#[test]
fn what_is_no_database_is_refused() {
    let home = Home::new();
    std::fs::write(home.path(), "this is a text file, and a rather long one at that; no database").unwrap();
    assert!(refused(&home.path()).contains("not a database"));
    assert!(refused(Path::new("/nowhere/at/all/parlour.db")).contains("cannot be opened"));
}

#[cfg(unix)]
#[test]
fn the_files_are_readable_by_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    let store = home.open();
    block_on(settle(store.as_ref()));
    let mut names = Vec::new();
    for entry in std::fs::read_dir(home.directory.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["parlour.db", "parlour.db-shm", "parlour.db-wal", "parlour.db.lock"]);
}

#[test]
fn a_row_that_cannot_be_read_keeps_nobody_from_the_others() {
    let home = Home::new();
    let app = block_on(async {
        let store = home.open();
        let app = settle(store.as_ref()).await;
        for id in ["m1", "m2", "m3", "m4"] {
            store.send_message(message(app, id, "hi")).await.unwrap();
        }
        store.close().await;
        app
    });
    let raw = Connection::open(home.path()).unwrap();
    raw.execute_batch(
        "update messages set custom = '{\"half\":' where message_id = 'm1';
         update messages set sender = 'NOT an id' where message_id = 'm2';
         update events set kind = 'of.tomorrow' where kind = 'member.added';",
    )
    .unwrap();
    drop(raw);
    block_on(async {
        let store = home.open();
        let kinds: Vec<_> = events(store.as_ref(), app).await;
        let expected = [
            (1, "channel.created"),
            (2, "placeholder"),
            (3, "placeholder"),
            (4, "placeholder"),
            (5, "message.new"),
            (6, "message.new"),
        ];
        assert_eq!(kinds, expected.map(|(seq, kind)| (seq, kind.to_owned())));
        let page = store.messages(app, &general(), Page::Latest, 10, 0, None).await.unwrap();
        let ids: Vec<_> = page.messages.iter().map(|message| message.id.as_str()).collect();
        assert_eq!(ids, ["m3", "m4"]);
        store.connect(connect(app)).await.unwrap();
        assert!(matches!(store.send_message(message(app, "m5", "hi")).await.unwrap().value, Sent::New(_)));
    });
}

/// Holds the writer in the middle of a commit: its sink does not return before it is told to.
struct Held {
    release: mpsc::Sender<()>,
}

async fn hold(store: &Arc<Sqlite>, app: AppId) -> Held {
    let (release, held) = mpsc::channel::<()>();
    let (reached, arrived) = tokio::sync::oneshot::channel();
    let once = Mutex::new(Some((reached, held)));
    store.on_commit(Arc::new(move |_| {
        if let Some((reached, held)) = once.lock().unwrap().take() {
            reached.send(()).unwrap();
            let _ = held.recv();
        }
    }));
    let sending = Arc::clone(store);
    tokio::spawn(async move { sending.send_message(message(app, "holds", "hi")).await });
    arrived.await.unwrap();
    Held { release }
}

#[test]
fn work_beyond_the_queue_is_refused_at_once_and_the_rest_is_done() {
    let home = Home::new();
    block_on(async {
        let options = SqliteOptions { queue_len_max: 3, ..SqliteOptions::default() };
        let store = Sqlite::open(&home.path(), options).unwrap();
        let app = settle(store.as_ref()).await;
        let held = hold(&store, app).await;
        // A call waits in the queue from its first poll on.
        let mut waiting = Vec::new();
        for id in ["m1", "m2", "m3", "m4", "m5"] {
            let mut send = Box::pin(store.send_message(message(app, id, "hi")));
            let first =
                std::future::poll_fn(|context| std::task::Poll::Ready(send.as_mut().poll(context))).await;
            waiting.push((send, first));
        }
        let refusals: Vec<_> = waiting
            .iter()
            .map(|(_, first)| matches!(first, std::task::Poll::Ready(Err(StoreError::Overloaded))))
            .collect();
        assert_eq!(refusals, [false, false, false, true, true]);
        store.channel_access(app, &general(), None).await.unwrap().expect("reading goes on");
        drop(held.release);
        for (send, first) in waiting {
            if first.is_pending() {
                assert!(matches!(send.await.unwrap().value, Sent::New(_)));
            }
        }
        assert_eq!(events(store.as_ref(), app).await.len(), 6);
    });
}

#[test]
fn closing_finishes_what_waits() {
    let home = Home::new();
    block_on(async {
        let store = home.open();
        let app = settle(store.as_ref()).await;
        let held = hold(&store, app).await;
        let mut waiting = Box::pin(store.send_message(message(app, "m1", "hi")));
        let first =
            std::future::poll_fn(|context| std::task::Poll::Ready(waiting.as_mut().poll(context))).await;
        assert!(first.is_pending());
        let closing = Arc::clone(&store);
        let closed = tokio::spawn(async move { closing.close().await });
        drop(held.release);
        assert!(matches!(waiting.await.unwrap().value, Sent::New(_)));
        closed.await.unwrap();
        let late = store.send_message(message(app, "m2", "hi")).await;
        assert_eq!(late.unwrap_err(), StoreError::Overloaded);
        assert_eq!(store.apps().await.unwrap_err(), StoreError::Overloaded);
    });
}

#[test]
fn the_log_beside_the_file_is_copied_back_before_it_grows_without_bounds() {
    let home = Home::new();
    block_on(async {
        let store = home.open();
        let app = settle(store.as_ref()).await;
        for round in 0..100 {
            let writes = (0..100)
                .map(|n| UserWrite {
                    id: format!("u{n}").parse().unwrap(),
                    fields: BTreeMap::from([("a".to_owned(), json!(format!("{round}").repeat(2_000)))]),
                    role: None,
                    teams: None,
                })
                .collect();
            store.upsert_users(app, writes, Timestamp::default()).await.unwrap();
        }
        let wal = home.directory.path().join("parlour.db-wal");
        let mib = std::fs::metadata(wal).unwrap().len() / 1024 / 1024;
        // 4,000 frames of 4 KiB, and the transaction that went over them. Never copied back it would have 50.
        assert!(mib <= 20, "{mib} MiB");
    });
}

/// Fails the calls that it is told to.
#[derive(Default)]
struct Fails {
    before: Option<&'static str>,
    after: Option<&'static str>,
    asked: AtomicUsize,
}

impl Probe for Fails {
    fn before(&self, call: &'static str) -> Result<()> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.before == Some(call) { Err(StoreError::Backend("crashed before".to_owned())) } else { Ok(()) }
    }

    fn after(&self, call: &'static str) -> Result<()> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.after == Some(call) { Err(StoreError::Backend("crashed after".to_owned())) } else { Ok(()) }
    }
}

#[test]
fn a_probe_fails_calls_before_or_after_they_are_done() {
    block_on(async {
        let probe = Arc::new(Fails::default());
        let store = Sqlite::in_memory_with(Arc::clone(&probe) as Arc<dyn Probe>).unwrap();
        let app = settle(store.as_ref()).await;
        assert_eq!(probe.asked.load(Ordering::Relaxed), 6, "around each of three calls");

        store.set_probe(Some(Arc::new(Fails { before: Some("send_message"), ..Fails::default() })));
        store.send_message(message(app, "m1", "hi")).await.unwrap_err();
        store.check().await.unwrap();
        store.set_probe(Some(Arc::new(Fails { after: Some("send_message"), ..Fails::default() })));
        store.send_message(message(app, "m2", "hi")).await.unwrap_err();
        store.set_probe(None);
        assert!(matches!(store.send_message(message(app, "m1", "hi")).await.unwrap().value, Sent::New(_)));
        assert!(matches!(store.send_message(message(app, "m2", "hi")).await.unwrap().value, Sent::Before(_)));
    });
}

/// Tells a copy of this very test that it is the one on the small disk.
const SMALL_DISK: &str = "PARLOUR_TEST_SMALL_DISK";

/// A file that may not grow beyond a size fails a write like a failing disk does (and not like a full one): the
/// limit is the process's own, so the test runs itself in a process of its own.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_fails_a_write_acknowledges_nothing_and_ends_all_writing() {
    if let Some(path) = std::env::var_os(SMALL_DISK) {
        return block_on(write_until_the_disk_fails(Path::new(&path)));
    }
    let home = Home::new();
    let app = block_on(async {
        let store = home.open();
        let app = settle(store.as_ref()).await;
        store.close().await;
        app
    });
    let this_test = "a_disk_that_fails_a_write_acknowledges_nothing_and_ends_all_writing";
    // 1 MiB, in blocks of 512 bytes; the signal that comes with it is ignored, so that the write fails.
    let limited = "trap '' XFSZ; ulimit -f 2048; exec \"$0\" \"$@\"";
    let ran = Command::new("sh")
        .args(["-c", limited])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", this_test, "--nocapture"])
        .env(SMALL_DISK, home.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    let acknowledged: Vec<_> = said.lines().filter_map(|line| line.strip_prefix("acknowledged ")).collect();
    assert!(acknowledged.len() > 10, "{said}");

    block_on(async {
        let store = home.open();
        for id in &acknowledged {
            store.message(app, &general(), &id.parse().unwrap(), None).await.unwrap();
        }
        let stored = events(store.as_ref(), app).await.len() - 2;
        assert!(
            (acknowledged.len()..=acknowledged.len() + 1).contains(&stored),
            "{stored} are stored, {} acknowledged",
            acknowledged.len()
        );
        store.send_message(message(app, "later", "the next start writes again")).await.unwrap();
    });
}

#[expect(clippy::print_stdout, reason = "what was acknowledged is noted outside of the process")]
async fn write_until_the_disk_fails(path: &Path) {
    let store = Sqlite::open(path, SqliteOptions::default()).unwrap();
    let app = store.apps().await.unwrap()[0].id;
    let mut failure = None;
    for n in 0..1_000 {
        match store.send_message(message(app, &format!("m{n}"), &"x".repeat(5_000))).await {
            Ok(_) => println!("acknowledged m{n}"),
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
    }
    assert_eq!(failure, Some(StoreError::ReadOnly));
    assert!(store.is_read_only());
    let small = store.send_message(message(app, "small", "x")).await;
    assert_eq!(small.unwrap_err(), StoreError::ReadOnly, "not even what would fit");
    assert_eq!(store.check().await.unwrap_err(), StoreError::ReadOnly);
    store.message(app, &general(), &"m0".parse().unwrap(), None).await.expect("reading goes on");
    store.close().await;
}
