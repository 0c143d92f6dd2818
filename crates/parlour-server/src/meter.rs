//! Recording what is used: the transaction that lets a connection in records that it opened; what closes is recorded
//! here, within a second.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use parlour_store::{AppId, Ledger, Store};
use parlour_wire::UserId;

use crate::clock::Clock;

/// How soon a close is recorded.
const RECORD_EVERY: Duration = Duration::from_secs(1);
/// While anybody is connected and nothing changes, it is recorded so often that all is as before.
const STANDS_EVERY: u32 = 60;

/// Users of connections that closed, of which that is not recorded yet.
#[derive(Default)]
pub(crate) struct Meter {
    closed: Mutex<BTreeSet<(AppId, UserId)>>,
}

impl Meter {
    pub(crate) fn closed(&self, app: AppId, user: &UserId) {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner).insert((app, user.clone()));
    }

    /// Records what has changed since the last time; answers whether anything had.
    pub(crate) async fn record(&self, store: &dyn Store, ledger: &Ledger, clock: &Clock) -> bool {
        let closed = std::mem::take(&mut *self.closed.lock().unwrap_or_else(PoisonError::into_inner));
        let is_due = !closed.is_empty() || ledger.is_unwritten();
        if is_due {
            record(store, closed, clock).await;
        }
        is_due
    }

    /// Records every second, for as long as the server runs.
    pub(crate) async fn run(&self, store: &dyn Store, ledger: &Ledger, clock: &Clock) {
        let mut still = 0;
        loop {
            tokio::time::sleep(RECORD_EVERY).await;
            still = if self.record(store, ledger, clock).await { 0 } else { still + 1 };
            if still >= STANDS_EVERY && ledger.is_in_use() {
                record(store, BTreeSet::new(), clock).await;
                still = 0;
            }
        }
    }
}

async fn record(store: &dyn Store, closed: BTreeSet<(AppId, UserId)>, clock: &Clock) {
    if let Err(error) = store.record_closed(closed.into_iter().collect(), clock.now()).await {
        // The figures stay, to be written by the next commit.
        tracing::warn!(%error, "closed connections could not be recorded");
    }
}
