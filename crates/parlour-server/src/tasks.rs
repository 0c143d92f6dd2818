//! The work that takes long, done step by step beside everything else.
//!
//! Of each app the oldest task is under way, one step at a time, and a step is one short write: between two of them
//! whoever sends comes first. Where a task is stands in the store, so that a restart goes on with it.

use std::time::Duration;

use parlour_store::{Store, StoreError, TaskName};
use parlour_wire::ErrorCode;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::error::ApiError;

/// When the store could not do a step that it may do later, the next attempt waits this long.
const RETRY: Duration = Duration::from_secs(1);

/// Does what there is to do.
#[derive(Default)]
pub(crate) struct Tasks {
    created: Notify,
}

impl Tasks {
    /// There is a new one.
    pub(crate) fn created(&self) {
        self.created.notify_one();
    }

    /// Works for as long as the server runs.
    pub(crate) async fn run(&self, store: &dyn Store, clock: &Clock) {
        loop {
            let open = match store.open_tasks().await {
                Ok(open) => open,
                Err(error) => {
                    tracing::warn!(%error, "the tasks could not be looked up");
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
            };
            if open.is_empty() {
                self.created.notified().await;
            }
            for task in open {
                step(store, clock, task).await;
            }
        }
    }
}

async fn step(store: &dyn Store, clock: &Clock, task: TaskName) {
    let Err(error) = store.step_task(task, clock.now()).await else { return };
    if may_do_later(&error) {
        tracing::warn!(%error, task = task.id, "a task waits");
        tokio::time::sleep(RETRY).await;
        return;
    }
    tracing::error!(%error, task = task.id, "a task failed");
    let body = match error {
        StoreError::NotFound => ErrorCode::NotFound.because("What the task is about is gone."),
        other => ApiError::from(other).into_body(),
    };
    if let Err(error) = store.fail_task(task, body, clock.now()).await {
        tracing::error!(%error, task = task.id, "that a task failed could not be noted");
        tokio::time::sleep(RETRY).await;
    }
}

fn may_do_later(error: &StoreError) -> bool {
    matches!(error, StoreError::Full | StoreError::ReadOnly | StoreError::Overloaded)
}
