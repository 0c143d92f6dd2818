//! Counting what is used: closes are gathered and recorded within a second; opens are recorded by the
//! connect transaction itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use parlour_store::{AppId, Store};
use parlour_wire::UserId;

use crate::clock::Clock;
use crate::connections::Connections;

/// How soon a close is recorded.
const RECORD_EVERY: Duration = Duration::from_secs(1);

/// The closes that are not recorded yet.
#[derive(Default)]
pub(crate) struct Meter {
    closed: Mutex<BTreeMap<AppId, BTreeSet<UserId>>>,
}

impl Meter {
    pub(crate) fn closed(&self, app: AppId, user: &UserId) {
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        closed.entry(app).or_default().insert(user.clone());
    }

    /// Records what has closed since the last time.
    pub(crate) async fn record(&self, store: &dyn Store, connections: &Connections, clock: &Clock) {
        let closed = std::mem::take(&mut *self.closed.lock().unwrap_or_else(PoisonError::into_inner));
        if closed.is_empty() {
            return;
        }
        let counts = connections.counts();
        for (app, users) in closed {
            let concurrent = counts.get(&app).copied().unwrap_or(0);
            let users = users.into_iter().collect();
            if let Err(error) = store.record_closed(app, concurrent, users, clock.now()).await {
                tracing::warn!(%error, "closed connections could not be recorded");
            }
        }
    }

    /// Records every second, for as long as the server runs.
    pub(crate) async fn run(&self, store: &dyn Store, connections: &Connections, clock: &Clock) {
        loop {
            tokio::time::sleep(RECORD_EVERY).await;
            self.record(store, connections, clock).await;
        }
    }
}
