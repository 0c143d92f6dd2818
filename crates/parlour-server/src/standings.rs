//! What stands against users, at hand: every call asks.
//!
//! The store knows; here is what it said a moment ago. A change empties all of it, before its own call is answered;
//! one of another node whose message was lost is known a few seconds later, as everywhere.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use parlour_proto::Millis;
use parlour_store::{AppId, Standing, Store};
use parlour_wire::UserId;

use crate::clock::Clock;

/// When an answer of the store is this old, it is asked again.
const GOOD_FOR_MS: Millis = 5_000;
/// Users whose answers are kept; then all are forgotten.
const KEPT_MAX: usize = 20_000;

#[derive(Default)]
pub(crate) struct Standings {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    known: HashMap<(AppId, UserId), (Standing, Millis)>,
    /// An answer that was asked for before the last of these may be out of date.
    changes: u64,
}

impl Standings {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What stands against the user.
    pub(crate) async fn of(
        &self,
        store: &dyn Store,
        clock: &Clock,
        app: AppId,
        user: &UserId,
    ) -> parlour_store::Result<Standing> {
        let (key, now) = ((app, user.clone()), clock.millis());
        let changes = {
            let inner = self.inner();
            match inner.known.get(&key) {
                Some((standing, at)) if now < at + GOOD_FOR_MS => return Ok(*standing),
                _ => inner.changes,
            }
        };
        let standing = store.standing(app, user).await?;
        let mut inner = self.inner();
        if inner.changes == changes {
            if inner.known.len() >= KEPT_MAX {
                inner.known.clear();
            }
            inner.known.insert(key, (standing, now));
        }
        Ok(standing)
    }

    /// Something was revoked or taken back: what was known may no longer be so.
    pub(crate) fn changed(&self) {
        let mut inner = self.inner();
        inner.changes += 1;
        inner.known.clear();
    }
}
