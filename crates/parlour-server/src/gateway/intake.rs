//! How the other side takes what is written to it: known where the bytes go, needed where frames are sent.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::SendError;

/// What a stream tells the transport above it.
#[derive(Clone, Debug, Default)]
pub struct Intake {
    /// When the other side last took bytes that had had to wait for it.
    relieved_at: Arc<Mutex<Option<Instant>>>,
}

impl Intake {
    /// The other side has taken bytes that had had to wait for it.
    pub(crate) fn relieved(&self) {
        *self.relieved_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn relieved_at(&self) -> Option<Instant> {
        *self.relieved_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the other side had to be waited for this short a time ago: what it was sent since then stands behind
    /// what it has not read yet.
    pub(crate) fn is_behind(&self, within: Duration) -> bool {
        self.relieved_at().is_some_and(|at| at.elapsed() < within)
    }

    /// Waits for the end of `sending` for as long as the other side takes something within each `patience`: however
    /// long one frame takes, who drains it is no stalled reader.
    pub(crate) async fn wait_for<T>(
        &self,
        sending: impl Future<Output = T>,
        patience: Duration,
    ) -> Result<T, SendError> {
        let mut since = Instant::now();
        tokio::pin!(sending);
        loop {
            if let Ok(sent) = tokio::time::timeout_at(since + patience, &mut sending).await {
                return Ok(sent);
            }
            match self.relieved_at() {
                Some(at) if at > since => since = at,
                Some(_) | None => return Err(SendError::Stalled),
            }
        }
    }
}
