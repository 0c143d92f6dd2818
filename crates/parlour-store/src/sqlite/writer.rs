//! The one thread that writes, and its group commit.
//!
//! What waits is done in one transaction: one commit, one fsync; only then is anybody answered. A job that
//! fails takes nothing but its own changes with it. Most that fail do so before they change anything, and
//! there is nothing to take back. Else the transaction begins anew, with each job in a savepoint of its own:
//! savepoints for all would copy every page that a job touches, for the sake of the rare one that needs it.
//!
//! A disk that fails to confirm a write ends all writing: after a failed fsync the kernel may have dropped
//! the pages and would call the next fsync a success. A full disk is different: nothing was promised, the
//! transaction is rolled back, and a later one may find room.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::events::{Memory, Tx};
use super::queue::Queue;
use super::usage;
use crate::ledger::Ledger;
use crate::{CommitSink, Committed, Logged, Result, StoreError};

/// Frames in the write-ahead log from which they are copied into the database: 16 MiB. A page that changes again
/// and again is copied once, so that copying at SQLite's own default, a quarter of this, costs more.
const CHECKPOINT_FRAMES: i64 = 4_000;
/// Frames from which readers are waited for, so that the log can begin again at its start.
const RESTART_FRAMES: i64 = 16_000;

/// A write that waits.
pub(super) trait Job: Send {
    /// Makes the changes, inside a transaction. It may be asked again when that one was rolled back.
    fn run(&mut self, conn: &Connection, memory: &Memory) -> Result<()>;
    /// The events that `run` logged.
    fn events(&self) -> &[Arc<Logged>];
    /// Tells the caller: what `run` found, or why it did not come to pass.
    fn answer(self: Box<Self>, outcome: Result<()>);
}

/// A write whose caller waits for a value.
pub(super) struct Write<T, F> {
    call: F,
    committed: Option<Committed<T>>,
    caller: oneshot::Sender<Result<Committed<T>>>,
}

impl<T, F> Write<T, F>
where
    T: Send + 'static,
    F: Fn(&Tx<'_>) -> Result<T> + Send + 'static,
{
    pub(super) fn new(call: F) -> (Box<Self>, oneshot::Receiver<Result<Committed<T>>>) {
        let (caller, answer) = oneshot::channel();
        (Box::new(Self { call, committed: None, caller }), answer)
    }
}

impl<T, F> Job for Write<T, F>
where
    T: Send + 'static,
    F: Fn(&Tx<'_>) -> Result<T> + Send + 'static,
{
    fn run(&mut self, conn: &Connection, memory: &Memory) -> Result<()> {
        self.committed = None;
        let tx = Tx::new(conn, memory);
        let value = (self.call)(&tx)?;
        self.committed = Some(Committed { value, events: tx.into_events()? });
        Ok(())
    }

    fn events(&self) -> &[Arc<Logged>] {
        self.committed.as_ref().map_or(&[], |committed| &committed.events)
    }

    fn answer(self: Box<Self>, outcome: Result<()>) {
        let missing = || StoreError::Backend("a write ended without a result".to_owned());
        let Self { committed, caller, .. } = *self;
        // The caller may have gone away; the write stands all the same.
        let _ = caller.send(outcome.and_then(|()| committed.ok_or_else(missing)));
    }
}

/// The connection that writes, and what it tells.
pub(super) struct Writer {
    conn: Connection,
    memory: Memory,
    /// Whether there is a write-ahead log that must be copied back from time to time.
    has_log: bool,
    shared: Arc<Shared>,
}

/// What the writer shares with those who call it.
#[derive(Default)]
pub(super) struct Shared {
    read_only: AtomicBool,
    sink: RwLock<Option<CommitSink>>,
    /// The figures that commits write down as they change.
    ledger: RwLock<Option<Arc<Ledger>>>,
}

impl Shared {
    pub(super) fn set_sink(&self, sink: CommitSink) {
        *self.sink.write().unwrap_or_else(PoisonError::into_inner) = Some(sink);
    }

    pub(super) fn clear_sink(&self) {
        *self.sink.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Tells the sink. What it breaks is its own affair: the write stands, and must be answered.
    fn tell(&self, events: &[Arc<Logged>]) {
        let sink = self.sink.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(sink) = sink else { return };
        if catch_unwind(AssertUnwindSafe(|| sink(events))).is_err() {
            tracing::error!("the sink of commits panicked");
        }
    }

    /// From now on these figures are written, and no others.
    pub(super) fn set_ledger(&self, ledger: Arc<Ledger>) {
        *self.ledger.write().unwrap_or_else(PoisonError::into_inner) = Some(ledger);
    }

    pub(super) fn ledger(&self) -> Option<Arc<Ledger>> {
        self.ledger.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.read_only.load(Ordering::Acquire)
    }
}

impl Writer {
    /// # Errors
    /// The end of the log cannot be read.
    pub(super) fn new(conn: Connection, has_log: bool, shared: Arc<Shared>) -> Result<Self> {
        let memory = Memory::of(&conn)?;
        Ok(Self { conn, memory, has_log, shared })
    }

    /// The connection, for reading where there are no readers beside it.
    pub(super) fn connection(&self) -> &Connection {
        &self.conn
    }

    /// Works until the queue is closed.
    pub(super) fn run(self, queue: &Queue<Box<dyn Job>>, batch_max: usize) {
        while let Some(jobs) = queue.take(batch_max) {
            self.commit(jobs);
            self.checkpoint();
        }
        if self.has_log && !self.shared.is_read_only() {
            self.checkpoint_as("truncate");
        }
    }

    /// Does the jobs in one transaction and answers them.
    pub(super) fn commit(&self, jobs: Vec<Box<dyn Job>>) {
        if self.shared.is_read_only() {
            return answer_all(jobs, &StoreError::ReadOnly);
        }
        let mut jobs: Vec<_> = jobs.into_iter().map(|job| (job, Ok(()))).collect();
        let committed = self.transaction(&mut jobs);
        if let Err(error) = committed {
            if error == StoreError::ReadOnly {
                self.shared.read_only.store(true, Ordering::Release);
                tracing::error!("the disk failed to confirm a write: no more writes until the next start");
            }
            return answer_all(jobs.into_iter().map(|(job, _)| job).collect(), &error);
        }
        for (job, outcome) in &jobs {
            if outcome.is_ok() && !job.events().is_empty() {
                self.shared.tell(job.events());
            }
        }
        for (job, outcome) in jobs {
            job.answer(outcome);
        }
    }

    /// Runs the jobs and commits. An error means that none of them came to pass.
    fn transaction(&self, jobs: &mut [(Box<dyn Job>, Result<()>)]) -> Result<()> {
        self.execute("begin immediate")?;
        let mut has_failed_by_half = false;
        for (job, outcome) in jobs.iter_mut() {
            let changes = self.conn.total_changes();
            *outcome = self.guarded(job.as_mut());
            if let Err(error) = outcome {
                self.ends_all(error)?;
                has_failed_by_half |= self.conn.total_changes() != changes;
            }
            if has_failed_by_half {
                break;
            }
        }
        if has_failed_by_half {
            self.roll_back();
            return self.careful_transaction(jobs);
        }
        self.record_and_commit().inspect_err(|_| self.roll_back())
    }

    /// As [`Self::transaction`], and takes back what a job that fails has changed.
    fn careful_transaction(&self, jobs: &mut [(Box<dyn Job>, Result<()>)]) -> Result<()> {
        self.execute("begin immediate")?;
        for (job, outcome) in jobs {
            *outcome = self.savepoint(job.as_mut());
            if let Err(error) = outcome {
                self.ends_all(error)?;
            }
        }
        self.record_and_commit().inspect_err(|_| self.roll_back())
    }

    /// Commits, with the figures of who is connected: once, for all whom these jobs let in.
    fn record_and_commit(&self) -> Result<()> {
        let ledger = self.shared.ledger();
        let written = ledger.as_ref().map(|ledger| usage::write(&self.conn, ledger)).transpose()?.flatten();
        self.execute("commit")?;
        if let (Some(ledger), Some(written)) = (ledger, written) {
            ledger.written(&written);
        }
        Ok(())
    }

    /// Whether a job's failure is one of the whole transaction: then that is over.
    fn ends_all(&self, error: &StoreError) -> Result<()> {
        // A failed disk or want of memory makes SQLite roll back the whole transaction by itself, with all that
        // the jobs before had done in it.
        if self.conn.is_autocommit() {
            return Err(error.clone());
        }
        if *error == StoreError::ReadOnly {
            self.roll_back();
            return Err(error.clone());
        }
        Ok(())
    }

    fn savepoint(&self, job: &mut dyn Job) -> Result<()> {
        self.execute("savepoint job")?;
        let ran = self.guarded(job);
        if self.conn.is_autocommit() {
            return ran;
        }
        let ended = match &ran {
            Ok(()) => self.execute("release job"),
            Err(_) => self.execute("rollback to job").and_then(|()| self.execute("release job")),
        };
        if let Err(error) = ended {
            // What the job did can no longer be told from what the others did.
            self.roll_back();
            return Err(error);
        }
        ran
    }

    /// Runs a job; one that panics has failed.
    fn guarded(&self, job: &mut dyn Job) -> Result<()> {
        catch_unwind(AssertUnwindSafe(|| job.run(&self.conn, &self.memory))).unwrap_or_else(|panic| {
            let what = panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_default();
            tracing::error!(what, "a write panicked; its changes are rolled back");
            Err(StoreError::Backend("the write panicked".to_owned()))
        })
    }

    fn roll_back(&self) {
        if !self.conn.is_autocommit()
            && let Err(error) = self.execute("rollback")
        {
            tracing::error!(%error, "a transaction could not be rolled back");
        }
    }

    fn execute(&self, sql: &str) -> Result<()> {
        self.conn.prepare_cached(sql)?.execute([])?;
        Ok(())
    }

    /// Copies the write-ahead log back when it has grown. SQLite's own way of doing so hides a failed fsync
    /// of the database, after which the log could be overwritten although its pages never reached the disk.
    fn checkpoint(&self) {
        if !self.has_log || self.shared.is_read_only() {
            return;
        }
        let frames = self
            .conn
            .prepare_cached("pragma wal_checkpoint(noop)")
            .and_then(|mut statement| statement.query_row([], |row| Ok((row.get(1)?, row.get(2)?))));
        let (in_log, copied): (i64, i64) = match frames {
            Ok(frames) => frames,
            Err(error) => {
                tracing::error!(%error, "the length of the write-ahead log cannot be read");
                return;
            }
        };
        if in_log >= RESTART_FRAMES {
            self.checkpoint_as("restart");
        } else if in_log - copied >= CHECKPOINT_FRAMES {
            self.checkpoint_as("passive");
        }
    }

    fn checkpoint_as(&self, mode: &str) {
        let sql = format!("pragma wal_checkpoint({mode})");
        let done =
            self.conn.prepare_cached(&sql).and_then(|mut statement| statement.query_row([], |_| Ok(())));
        match done.map_err(StoreError::from) {
            Ok(()) => {}
            Err(StoreError::ReadOnly) => {
                self.shared.read_only.store(true, Ordering::Release);
                tracing::error!(
                    "the disk failed to confirm a checkpoint: no more writes until the next start"
                );
            }
            // On a full disk or beside a long read it is tried again after a later commit.
            Err(error) => tracing::warn!(%error, "the write-ahead log could not be copied back yet"),
        }
    }
}

fn answer_all(jobs: Vec<Box<dyn Job>>, error: &StoreError) {
    for job in jobs {
        job.answer(Err(error.clone()));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use parlour_wire::{Event, Timestamp, Topic};

    use super::super::events::Entry;
    use super::*;
    use crate::AppId;

    const APP: AppId = AppId(1);

    fn writer() -> Writer {
        let conn = super::super::open::memory().unwrap();
        conn.execute(
            "insert into apps (id, key, secret, mode, created_at) values (1, 'a', 's', 'production', 0)",
            [],
        )
        .unwrap();
        Writer::new(conn, false, Arc::default()).unwrap()
    }

    fn topic(name: &str) -> Topic {
        Topic::User(name.parse().unwrap())
    }

    fn logs(name: &'static str) -> impl Fn(&Tx<'_>) -> Result<u64> + Send + 'static {
        move |tx| {
            let entry = Entry::removed_from_channel("messaging:general");
            Ok(tx.log(APP, topic(name), &entry, Timestamp::default())?.seq)
        }
    }

    fn events(writer: &Writer) -> i64 {
        writer.connection().query_row("select count(*) from events", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_job_that_fails_or_panics_takes_only_its_own_changes_with_it() {
        let writer = writer();
        let heard: Arc<Mutex<Vec<i64>>> = Arc::default();
        let sink = Arc::clone(&heard);
        writer.shared.set_sink(Arc::new(move |events| {
            sink.lock().unwrap().extend(events.iter().map(|logged| logged.log_id));
        }));
        let (first, mut first_answer) = Write::new(logs("alice"));
        let (fails, mut fails_answer) = Write::new(|tx| {
            logs("alice")(tx)?;
            logs("bob")(tx)?;
            Err::<(), _>(StoreError::NotMember)
        });
        let (panics, mut panics_answer) = Write::new(|tx| -> Result<()> {
            logs("alice")(tx)?;
            panic!("on purpose");
        });
        let (last, mut last_answer) = Write::new(logs("alice"));
        writer.commit(vec![first, fails, panics, last]);

        assert_eq!(first_answer.try_recv().unwrap().unwrap().value, 1);
        assert_eq!(fails_answer.try_recv().unwrap().unwrap_err(), StoreError::NotMember);
        assert!(matches!(panics_answer.try_recv().unwrap(), Err(StoreError::Backend(_))));
        let last = last_answer.try_recv().unwrap().unwrap();
        assert_eq!(last.value, 2, "no seq was lost with those that failed");
        assert!(matches!(last.events[0].event.known(), Some(Event::RemovedFromChannel { .. })));
        assert_eq!(events(&writer), 2);
        assert_eq!(heard.lock().unwrap().len(), 2, "of what was rolled back nobody hears");
        assert!(!writer.shared.is_read_only());
    }

    #[test]
    fn a_refusal_that_changed_nothing_costs_the_others_no_second_run() {
        let writer = writer();
        let runs: Arc<Mutex<u32>> = Arc::default();
        let counts = |fails: bool, changes: bool| {
            let runs = Arc::clone(&runs);
            move |tx: &Tx<'_>| {
                *runs.lock().unwrap() += 1;
                if changes {
                    logs("alice")(tx)?;
                }
                if fails { Err(StoreError::NotMember) } else { Ok(()) }
            }
        };
        let (first, mut first_answer) = Write::new(counts(false, true));
        let (refused, mut refusal) = Write::new(counts(true, false));
        writer.commit(vec![first, refused]);
        assert_eq!(*runs.lock().unwrap(), 2);
        assert!(first_answer.try_recv().unwrap().is_ok());
        assert_eq!(refusal.try_recv().unwrap().unwrap_err(), StoreError::NotMember);

        let (first, mut first_answer) = Write::new(counts(false, true));
        let (half, mut refusal) = Write::new(counts(true, true));
        let (last, mut last_answer) = Write::new(counts(false, true));
        writer.commit(vec![first, half, last]);
        assert_eq!(*runs.lock().unwrap(), 2 + 2 + 3, "both were run until it failed, then all three anew");
        assert_eq!(refusal.try_recv().unwrap().unwrap_err(), StoreError::NotMember);
        let seqs = [&mut first_answer, &mut last_answer].map(|answer| {
            answer.try_recv().unwrap().unwrap().events.iter().map(|logged| logged.seq).sum::<u64>()
        });
        assert_eq!(seqs, [2, 3], "no seq was lost, and none was told twice");
    }

    #[test]
    fn a_commit_that_fails_acknowledges_nobody_and_leaves_nothing() {
        let writer = writer();
        let heard: Arc<Mutex<usize>> = Arc::default();
        let sink = Arc::clone(&heard);
        writer.shared.set_sink(Arc::new(move |events| *sink.lock().unwrap() += events.len()));
        let (first, mut first_answer) = Write::new(logs("alice"));
        // A broken reference that is looked at only at the commit.
        let (breaks, mut breaks_answer) = Write::new(|tx| {
            tx.execute_batch(
                "pragma defer_foreign_keys = on;
                 insert into events (topic, seq, kind, created_at) values (999, 1, 'placeholder', 0)",
            )?;
            Ok(())
        });
        writer.commit(vec![first, breaks]);
        assert!(matches!(first_answer.try_recv().unwrap(), Err(StoreError::Backend(_))));
        assert!(matches!(breaks_answer.try_recv().unwrap(), Err(StoreError::Backend(_))));
        assert_eq!(events(&writer), 0);
        assert_eq!(*heard.lock().unwrap(), 0);

        let (again, mut answer) = Write::new(logs("alice"));
        writer.commit(vec![again]);
        assert_eq!(answer.try_recv().unwrap().unwrap().value, 1, "the writer goes on");
    }

    #[test]
    fn a_transaction_that_sqlite_rolled_back_by_itself_acknowledges_nobody() {
        let writer = writer();
        let (first, mut first_answer) = Write::new(logs("alice"));
        let (ends, mut ends_answer) = Write::new(|tx| {
            tx.execute_batch("rollback")?;
            Err::<(), _>(StoreError::Full)
        });
        let (never, mut never_answer) = Write::new(logs("bob"));
        writer.commit(vec![first, ends, never]);
        assert_eq!(first_answer.try_recv().unwrap().unwrap_err(), StoreError::Full);
        assert_eq!(ends_answer.try_recv().unwrap().unwrap_err(), StoreError::Full);
        assert_eq!(never_answer.try_recv().unwrap().unwrap_err(), StoreError::Full);
        assert_eq!(events(&writer), 0);
    }

    #[test]
    fn a_sink_that_panics_keeps_nobody_from_the_answer() {
        let writer = writer();
        writer.shared.set_sink(Arc::new(|_| panic!("on purpose")));
        let (job, mut answer) = Write::new(logs("alice"));
        writer.commit(vec![job]);
        assert_eq!(answer.try_recv().unwrap().unwrap().value, 1);
    }

    #[test]
    fn a_failed_disk_ends_all_writing() {
        let writer = writer();
        let (first, mut first_answer) = Write::new(logs("alice"));
        let (fails, mut fails_answer) = Write::new(|_| {
            let error = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_FSYNC);
            Err::<(), _>(rusqlite::Error::SqliteFailure(error, None).into())
        });
        writer.commit(vec![first, fails]);
        assert_eq!(first_answer.try_recv().unwrap().unwrap_err(), StoreError::ReadOnly);
        assert_eq!(fails_answer.try_recv().unwrap().unwrap_err(), StoreError::ReadOnly);
        assert_eq!(events(&writer), 0, "and reading goes on");
        let (later, mut later_answer) = Write::new(logs("alice"));
        writer.commit(vec![later]);
        assert_eq!(later_answer.try_recv().unwrap().unwrap_err(), StoreError::ReadOnly);
    }
}
