//! SQLite: the default backend, in one file or in memory.
//!
//! A file has one thread that writes ([`writer`]: group commit, one fsync for all who wait) and a few that
//! read, each with its connection. In memory there is one connection behind a mutex and every call runs in
//! the caller's thread: quick, and the same in every run.
//!
//! One module per resource holds its SQL beside its use; [`store`] says which call is which.

mod apps;
mod bans;
mod channels;
mod column;
mod connect;
mod devices;
mod events;
mod flags;
mod keys;
mod limits;
mod lives;
mod members;
mod messages;
mod open;
mod query;
mod queue;
mod readers;
mod reads;
mod relations;
mod retention;
mod revocations;
mod standing;
mod store;
mod tasks;
mod teams;
mod usage;
mod users;
mod writer;

pub use open::held_by;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::{Committed, Result, StoreError};
use events::Tx;
use queue::Queue;
use readers::ReadJob;
use writer::{Job, Shared, Write, Writer};

/// How a database is kept.
#[derive(Clone, Copy, Debug)]
pub struct SqliteOptions {
    pub synchronous: Synchronous,
    /// Threads that read. Default: one for each core, at most 4.
    pub readers: usize,
    /// Writes, and reads, that may wait; one more is refused as [`StoreError::Overloaded`]. Default 4,096.
    pub queue_len_max: usize,
    /// Writes in one commit, at most. Default 256.
    pub batch_max: usize,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self { synchronous: Synchronous::Full, readers: cores.min(4), queue_len_max: 4_096, batch_max: 256 }
    }
}

/// When a commit is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Synchronous {
    /// Before it is acknowledged.
    Full,
    /// Some time later: a loss of power loses acknowledged writes. For the test that shows just that.
    Normal,
}

/// Is asked around every call: makes a store fail at a chosen moment.
pub trait Probe: Send + Sync {
    /// # Errors
    /// What the caller gets; the call is not carried out.
    fn before(&self, call: &'static str) -> Result<()>;
    /// # Errors
    /// What the caller gets, although the call was carried out.
    fn after(&self, call: &'static str) -> Result<()>;
}

/// Parlour's truth in one SQLite file, or in memory.
pub struct Sqlite {
    probe: RwLock<Option<Arc<dyn Probe>>>,
    shared: Arc<Shared>,
    backend: Backend,
}

enum Backend {
    /// `None` once closed.
    Memory(Mutex<Option<Writer>>),
    File(Threads),
}

struct Threads {
    writes: Arc<Queue<Box<dyn Job>>>,
    reads: Arc<Queue<ReadJob>>,
    /// `None` once joined.
    running: Mutex<Option<Running>>,
}

/// A thread's hold on its queue. When a thread ends before its time, nobody may wait for it for ever.
struct Abandons<T>(Arc<Queue<T>>);

impl<T> Drop for Abandons<T> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

struct Running {
    threads: Vec<JoinHandle<()>>,
    /// Given back when the last thread has ended.
    lock: open::Lock,
}

impl Running {
    fn join(self) {
        for thread in self.threads {
            // The last handle may be dropped by what runs on a thread of ours, which cannot wait for itself.
            if thread.thread().id() == thread::current().id() {
                continue;
            }
            // A thread that panicked has said so; there is nobody to say it to again.
            let _ = thread.join();
        }
        drop(self.lock);
    }
}

impl Sqlite {
    /// Opens the database at `path`, or makes it. Its directory must exist.
    ///
    /// # Errors
    /// The file cannot be opened, is in use by another process, or was made by a newer version.
    pub fn open(path: &Path, options: SqliteOptions) -> Result<Arc<Self>> {
        let open::Opened { writer, lock } = open::file(path, options)?;
        let shared = Arc::new(Shared::default());
        let writes: Arc<Queue<Box<dyn Job>>> = Arc::new(Queue::new(options.queue_len_max));
        let reads: Arc<Queue<ReadJob>> = Arc::new(Queue::new(options.queue_len_max));
        let connections =
            (0..options.readers.max(1)).map(|_| open::reader(path)).collect::<Result<Vec<_>>>()?;

        let mut threads = Vec::with_capacity(1 + connections.len());
        let writer = Writer::new(writer, true, Arc::clone(&shared))?;
        let queue = Abandons(Arc::clone(&writes));
        threads.push(spawn("store-writer", move || writer.run(&queue.0, options.batch_max.max(1)))?);
        for conn in connections {
            let queue = Abandons(Arc::clone(&reads));
            threads.push(spawn("store-reader", move || readers::run(&conn, &queue.0))?);
        }
        let running = Mutex::new(Some(Running { threads, lock }));
        let backend = Backend::File(Threads { writes, reads, running });
        Ok(Arc::new(Self { probe: RwLock::default(), shared, backend }))
    }

    /// A database that is gone when it is dropped, with every call run in the caller's thread.
    ///
    /// # Errors
    /// SQLite gets no memory.
    pub fn in_memory() -> Result<Arc<Self>> {
        let shared = Arc::new(Shared::default());
        let writer = Writer::new(open::memory()?, false, Arc::clone(&shared))?;
        let backend = Backend::Memory(Mutex::new(Some(writer)));
        Ok(Arc::new(Self { probe: RwLock::default(), shared, backend }))
    }

    /// As [`Self::in_memory`], with a probe from the first call on.
    ///
    /// # Errors
    /// SQLite gets no memory.
    pub fn in_memory_with(probe: Arc<dyn Probe>) -> Result<Arc<Self>> {
        let store = Self::in_memory()?;
        store.set_probe(Some(probe));
        Ok(store)
    }

    /// Asks this probe around every call from now on; `None`: nobody.
    pub fn set_probe(&self, probe: Option<Arc<dyn Probe>>) {
        *self.probe.write().unwrap_or_else(PoisonError::into_inner) = probe;
    }

    /// Whether a failed disk has ended all writing.
    pub fn is_read_only(&self) -> bool {
        self.shared.is_read_only()
    }

    /// Reads in one transaction.
    async fn read<T, F>(&self, call: &'static str, read: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let probe = self.probe();
        before(&probe, call)?;
        let found = self.read_unprobed(read).await?;
        after(&probe, call)?;
        Ok(found)
    }

    async fn read_unprobed<T, F>(&self, read: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        match &self.backend {
            Backend::Memory(writer) => {
                let writer = lock(writer);
                readers::read(writer.as_ref().ok_or(StoreError::Overloaded)?.connection(), read)
            }
            Backend::File(threads) => {
                let (job, answer) = readers::job(read);
                threads.reads.push(job).map_err(|_| StoreError::Overloaded)?;
                answer.await.unwrap_or(Err(StoreError::Overloaded))
            }
        }
    }

    /// Writes in one transaction, and gives the events that it logged. `write` may be asked more than once, each
    /// time in a transaction that knows nothing of the time before.
    async fn write<T, F>(&self, call: &'static str, write: F) -> Result<Committed<T>>
    where
        T: Send + 'static,
        F: Fn(&Tx<'_>) -> Result<T> + Send + 'static,
    {
        let probe = self.probe();
        before(&probe, call)?;
        let committed = self.write_unprobed(write).await?;
        after(&probe, call)?;
        Ok(committed)
    }

    async fn write_unprobed<T, F>(&self, write: F) -> Result<Committed<T>>
    where
        T: Send + 'static,
        F: Fn(&Tx<'_>) -> Result<T> + Send + 'static,
    {
        if self.shared.is_read_only() {
            return Err(StoreError::ReadOnly);
        }
        let (job, mut answer) = Write::new(write);
        match &self.backend {
            Backend::Memory(writer) => {
                lock(writer).as_ref().ok_or(StoreError::Overloaded)?.commit(vec![job]);
                answer.try_recv().unwrap_or(Err(StoreError::Overloaded))
            }
            Backend::File(threads) => {
                threads.writes.push(job).map_err(|_| StoreError::Overloaded)?;
                answer.await.unwrap_or(Err(StoreError::Overloaded))
            }
        }
    }

    fn probe(&self) -> Option<Arc<dyn Probe>> {
        self.probe.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets nothing more in, and gives what is still running.
    fn shut(&self) -> Option<Running> {
        match &self.backend {
            Backend::Memory(writer) => {
                lock(writer).take();
                None
            }
            Backend::File(threads) => {
                threads.writes.close();
                threads.reads.close();
                lock(&threads.running).take()
            }
        }
    }

    async fn shut_and_wait(&self) {
        let Some(running) = self.shut() else { return };
        let (ended, all_ended) = oneshot::channel();
        let joining = spawn("store-close", move || {
            running.join();
            let _ = ended.send(());
        });
        match joining {
            Ok(_) => {
                let _ = all_ended.await;
            }
            Err(error) => tracing::error!(%error, "the store's end could not be waited for"),
        }
        // The sink may hold what holds this store.
        self.shared.clear_sink();
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        // The file must be free for the next one who opens it.
        if let Some(running) = self.shut() {
            running.join();
        }
    }
}

fn before(probe: &Option<Arc<dyn Probe>>, call: &'static str) -> Result<()> {
    probe.as_ref().map_or(Ok(()), |probe| probe.before(call))
}

fn after(probe: &Option<Arc<dyn Probe>>, call: &'static str) -> Result<()> {
    probe.as_ref().map_or(Ok(()), |probe| probe.after(call))
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(|e| StoreError::Backend(format!("a thread could not be started: {e}")))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Jobs that panic are caught inside; a poisoned lock guards nothing that is half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use parlour_wire::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::{AppMode, NewApp, Store, UserWrite};

    /// Users that need about 100 pages of 4 KiB.
    fn many_users(round: u32) -> Vec<UserWrite> {
        let fields = BTreeMap::from([("a".to_owned(), json!("x".repeat(4_000)))]);
        let user = |n| UserWrite {
            id: format!("u{round}-{n}").parse().unwrap(),
            fields: fields.clone(),
            role: None,
            teams: None,
        };
        (0..100).map(user).collect()
    }

    #[tokio::test]
    async fn a_full_disk_acknowledges_nothing_and_writing_goes_on_when_there_is_room() {
        let directory = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&directory.path().join("parlour.db"), SqliteOptions::default()).unwrap();
        let key = "app".parse().unwrap();
        let now = Timestamp::default();
        let new = NewApp { key, secret: String::new(), mode: AppMode::Production, now };
        let app = store.create_app(new).await.unwrap().id;
        let limit = async |pages: u32| {
            let set = move |tx: &Tx<'_>| {
                Ok(tx
                    .query_row(&format!("pragma max_page_count = {pages}"), [], |row| row.get::<_, u32>(0))?)
            };
            store.write_unprobed(set).await.unwrap().value
        };
        assert_eq!(limit(300).await, 300);

        let mut stored = 0;
        let refusal = loop {
            match store.upsert_users(app, many_users(stored), now).await {
                Ok(_) => stored += 1,
                Err(error) => break error,
            }
            assert!(stored < 10, "the limit is not in force");
        };
        assert_eq!(refusal, StoreError::Full);
        let count = async || {
            let count = |conn: &Connection| {
                Ok(conn.query_row("select count(*) from users", [], |row| row.get::<_, u32>(0))?)
            };
            store.read_unprobed(count).await.unwrap()
        };
        assert_eq!(count().await, stored * 100, "reading goes on, and nothing is there by half");
        assert!(!store.is_read_only());

        limit(100_000).await;
        store.upsert_users(app, many_users(stored), now).await.unwrap();
        assert_eq!(count().await, (stored + 1) * 100);
    }
}
