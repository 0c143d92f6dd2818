//! The threads that read, each with a connection that cannot write.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::queue::Queue;
use crate::{Result, StoreError};

/// A read that waits: finds out, and tells the caller.
pub(super) type ReadJob = Box<dyn FnOnce(&Connection) + Send>;

/// A job that reads in one transaction, and where its answer will be.
pub(super) fn job<T, F>(call: F) -> (ReadJob, oneshot::Receiver<Result<T>>)
where
    T: Send + 'static,
    F: FnOnce(&Connection) -> Result<T> + Send + 'static,
{
    let (caller, answer) = oneshot::channel();
    let job = Box::new(move |conn: &Connection| {
        // The caller may have gone away.
        let _ = caller.send(read(conn, call));
    });
    (job, answer)
}

/// Works until the queue is closed.
pub(super) fn run(conn: &Connection, queue: &Queue<ReadJob>) {
    while let Some(jobs) = queue.take(1) {
        for job in jobs {
            job(conn);
        }
    }
}

/// Reads everything from one state of the database.
pub(super) fn read<T>(conn: &Connection, call: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
    let begun = conn.prepare_cached("begin deferred").and_then(|mut begin| begin.execute([]));
    begun.map_err(StoreError::from)?;
    let found = catch_unwind(AssertUnwindSafe(|| call(conn)))
        .unwrap_or_else(|_| Err(StoreError::Backend("the read panicked".to_owned())));
    if !conn.is_autocommit()
        && let Err(error) = conn.prepare_cached("rollback").and_then(|mut rollback| rollback.execute([]))
    {
        tracing::error!(%error, "a read could not be ended");
    }
    found.map_err(|error| match error {
        StoreError::ReadOnly => StoreError::Backend("the disk failed to read".to_owned()),
        other => other,
    })
}
