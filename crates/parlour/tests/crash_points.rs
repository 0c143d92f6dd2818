//! The server dies at its k-th write and its k-th fsync, for fifty values of k; its disk fails, or is full.
//!
//! strace stops the very system call, so that the places between two writes of one commit, between the log
//! and its fsync, and within a checkpoint are all visited, which random kills hit by chance only.

#![expect(clippy::unwrap_used, reason = "a broken fixture is a failed test")]
#![expect(clippy::print_stdout, reason = "a run tells its figures")]

mod kit;

use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kit::load::{self, Load, Told};
use kit::server::{Home, Server};
use kit::tracer::{Call, File, Injection, Tracer, start_traced};

/// Acknowledged sends before a server that is to die while it starts is killed: its log must not be empty.
const ACKS_BEFORE: u64 = 40;
/// A point that is not reached in this time is not there.
const PATIENCE: Duration = Duration::from_secs(60);

/// 14 + 12 points in commits.
const LOG_WRITES: [u32; 14] = [1, 2, 3, 4, 5, 7, 12, 21, 34, 55, 89, 144, 233, 377];
const LOG_SYNCS: [u32; 12] = [1, 2, 3, 4, 5, 7, 9, 12, 16, 21, 34, 55];
/// 7 + 1 points in checkpoints.
const DATABASE_WRITES: [u32; 7] = [1, 2, 3, 8, 21, 55, 144];
const DATABASE_SYNCS: [u32; 1] = [1];
/// 6 + 4 points while an old log is read again, and 3 + 3 while a database is made.
const WRITES_AT_START: [u32; 6] = [1, 2, 3, 5, 8, 21];
const SYNCS_AT_START: [u32; 4] = [1, 2, 3, 4];
const WRITES_AT_FIRST_START: [u32; 3] = [1, 4, 16];
const SYNCS_AT_FIRST_START: [u32; 3] = [1, 2, 3];

#[test]
fn there_are_fifty_points() {
    let commits = LOG_WRITES.len() + LOG_SYNCS.len();
    let checkpoints = DATABASE_WRITES.len() + DATABASE_SYNCS.len();
    let starts = WRITES_AT_START.len() + SYNCS_AT_START.len();
    let first_starts = WRITES_AT_FIRST_START.len() + SYNCS_AT_FIRST_START.len();
    assert_eq!(commits + checkpoints + starts + first_starts, 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_at_any_write_or_fsync_of_a_commit_or_checkpoint_loses_nothing_acknowledged() {
    let began = Instant::now();
    let mut house = House::build().await;
    let points = points(Call::Write, File::Log, &LOG_WRITES)
        .chain(points(Call::Sync, File::Log, &LOG_SYNCS))
        .chain(points(Call::Write, File::Database, &DATABASE_WRITES))
        .chain(points(Call::Sync, File::Database, &DATABASE_SYNCS));
    let mut count = 0;
    for point in points {
        let server = house.home.start().await;
        let tracer = Tracer::attach(&house.home, &server, &point).await;
        house.load_until_death(server, &point).await;
        drop(tracer);
        house.judge(&point).await;
        count += 1;
    }
    house.print("commits and checkpoints", count, began).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_at_any_write_or_fsync_while_it_starts_loses_nothing_acknowledged() {
    let began = Instant::now();
    let mut house = House::build().await;
    let points = points(Call::Write, File::Both, &WRITES_AT_START).chain(points(
        Call::Sync,
        File::Both,
        &SYNCS_AT_START,
    ));
    let (mut count, mut before_serving) = (0, 0);
    for point in points {
        house.leave_a_full_log().await;
        match start_traced(&house.home, &point).await {
            Some(server) => house.load_until_death(server, &point).await,
            None => before_serving += 1,
        }
        house.judge(&point).await;
        count += 1;
    }
    println!("{before_serving} of {count} died before they served");
    assert!(before_serving >= count / 2, "few points were reached while the server started");
    house.print("starts", count, began).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_while_it_makes_its_database_starts_well_the_next_time() {
    let began = Instant::now();
    let points = points(Call::Write, File::Both, &WRITES_AT_FIRST_START).chain(points(
        Call::Sync,
        File::Both,
        &SYNCS_AT_FIRST_START,
    ));
    let mut count = 0;
    for point in points {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path().join("data"));
        assert!(start_traced(&home, &point).await.is_none(), "{point:?} was not reached");
        let server = home.start().await;
        let load = Load::prepare(&server).await;
        assert!(load.send_one_each(&server).await.iter().all(|told| *told == Told::Acked), "{point:?}");
        load.judge_everything(&server, home.data()).await;
        count += 1;
    }
    println!("{count} points in first starts; {:.1?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_fsync_that_fails_is_never_an_acknowledgement_and_ends_writing_but_not_reading() {
    let house = House::build().await;
    let server = house.home.start().await;
    let load = &house.load;
    let failing = Injection { call: Call::Sync, file: File::Log, what: "error=EIO", when: "6".to_owned() };
    let tracer = Tracer::attach(&house.home, &server, &failing).await;
    load.send_while(&server, |told| *told == Told::Acked).await;
    // The disk is well again, as far as it says: what it lost is lost all the same.
    let after = load.send_one_each(&server).await;
    let read_only = Told::Failed("read_only".to_owned());
    assert!(after.iter().all(|told| *told == read_only), "{after:?}");

    let syncs = tracer.detach().await;
    assert_eq!(syncs.len(), 6, "the failed fsync was tried again: {syncs:#?}");
    assert!(syncs[5].contains("EIO"), "{syncs:#?}");
    let acked_while_failing = *load.history.acks().borrow();
    let readable = load.stored(&server, 0).await.len() as u64;
    assert_eq!(readable, acked_while_failing, "what is read is what was acknowledged");

    server.kill().await;
    let server = house.home.start().await;
    let open = load.ask_again(&server).await;
    let acked = load.judge_everything(&server, house.home.data()).await;
    assert_eq!(load.send_one_each(&server).await, vec![Told::Acked; 8]);
    println!("EIO at fsync 6: acked before {acked_while_failing}, open then {open}, acked in all {acked}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_loses_nothing_and_is_over_when_there_is_room_again() {
    let house = House::build().await;
    let server = house.home.start().await;
    let load = &house.load;
    let full =
        Injection { call: Call::Write, file: File::Log, what: "error=ENOSPC", when: "30..60".to_owned() };
    let tracer = Tracer::attach(&house.home, &server, &full).await;

    // Until the disk has been full, and has had room again for a while.
    let (refused, acked_since) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (refusals, acks) = (refused.clone(), acked_since.clone());
    let goes_on = move |told: &Told| {
        match told {
            Told::Acked if refusals.load(Ordering::Relaxed) > 0 => acks.fetch_add(1, Ordering::Relaxed),
            Told::Acked => 0,
            Told::Failed(code) => {
                assert_eq!(code, "storage_full");
                refusals.fetch_add(1, Ordering::Relaxed)
            }
            Told::Nothing => panic!("the server is gone"),
        };
        acks.load(Ordering::Relaxed) < 200
    };
    // Reads go on all the while.
    let reads = async {
        let mut count = 0;
        while acked_since.load(Ordering::Relaxed) == 0 {
            load.stored(&server, 0).await;
            count += 1;
        }
        count
    };
    let ((), reads) =
        tokio::time::timeout(PATIENCE, async { tokio::join!(load.send_while(&server, goes_on), reads) })
            .await
            .expect("writing goes on when there is room again");
    drop(tracer);

    let refused = refused.load(Ordering::Relaxed);
    assert!(refused > 0, "the disk was never full");
    server.kill().await;
    let server = house.home.start().await;
    let acked = load.judge_everything(&server, house.home.data()).await;
    println!("ENOSPC at writes 30 to 60: refused {refused}, reads meanwhile {reads}, acked in all {acked}");
}

fn points(call: Call, file: File, ks: &[u32]) -> impl Iterator<Item = Injection> {
    ks.iter().map(move |k| Injection { call, file, what: "signal=SIGKILL", when: k.to_string() })
}

/// A server with its data and its writers.
struct House {
    _folder: tempfile::TempDir,
    home: Home,
    load: Arc<Load>,
}

impl House {
    async fn build() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path().join("data"));
        let server = home.start().await;
        let load = Load::prepare(&server).await;
        server.kill().await;
        Self { _folder: folder, home, load }
    }

    /// Sends until the server is dead, by the injected signal and by nothing else.
    async fn load_until_death(&mut self, mut server: Server, point: &Injection) {
        let sends = self.load.send_while(&server, |told| *told != Told::Nothing);
        let died = tokio::time::timeout(PATIENCE, sends).await;
        died.unwrap_or_else(|_| panic!("{point:?} was not reached within {PATIENCE:?}"));
        let status = server.ended().await;
        assert_eq!(status.signal(), Some(9), "{point:?}: {status}; it said:\n{}", self.home.said());
    }

    /// Leaves a log behind that the next start has to read and to copy.
    async fn leave_a_full_log(&self) {
        let server = self.home.start().await;
        let enough = *self.load.history.acks().borrow() + ACKS_BEFORE;
        let acks = self.load.history.acks();
        self.load.send_while(&server, move |_| *acks.borrow() < enough).await;
        server.kill().await;
    }

    /// Starts the server as if nothing had happened, and judges what happened.
    async fn judge(&self, point: &Injection) {
        let server = self.home.start().await;
        load::check_integrity(self.home.data());
        let acked = self.load.judge_the_news(&server).await;
        println!("{:?} {} of {:?}: {acked} acked", point.call, point.when, point.file);
        server.kill().await;
    }

    async fn print(&self, what: &str, points: u32, began: Instant) {
        let server = self.home.start().await;
        let acked = self.load.judge_everything(&server, self.home.data()).await;
        println!(
            "{points} points in {what}: {acked} acknowledged, 0 lost, 0 doubled; {:.1?}",
            began.elapsed()
        );
    }
}
