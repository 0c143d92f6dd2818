//! How users stand, at hand: every call asks. A connection asks when it begins, when it gets another token, and when
//! its session hears that something changed.
//!
//! The store knows; here is what it said a moment ago. A change makes it be asked again, before the change's own call is
//! answered; one of another node whose message was lost is known a few seconds later, as everywhere.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parlour_proto::Millis;
use parlour_store::{AppId, Inactivity, Standing, Store};
use parlour_wire::users::User;
use parlour_wire::{ErrorBody, ErrorCode, Event, Timestamp, Topic, UserId};

use crate::access::because_of;
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
    known: HashMap<(AppId, UserId), (Arc<Standing>, Millis)>,
    /// An answer that was asked for before the last of these may be out of date.
    changes: u64,
}

impl Standings {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the user stands.
    pub(crate) async fn of(
        &self,
        store: &dyn Store,
        clock: &Clock,
        app: AppId,
        user: &UserId,
    ) -> parlour_store::Result<Arc<Standing>> {
        let (key, now) = ((app, user.clone()), clock.millis());
        let changes = {
            let inner = self.inner();
            match inner.known.get(&key) {
                Some((standing, at)) if now < at + GOOD_FOR_MS => return Ok(Arc::clone(standing)),
                _ => inner.changes,
            }
        };
        let standing = Arc::new(store.standing(app, user).await?);
        let mut inner = self.inner();
        if inner.changes == changes {
            if inner.known.len() >= KEPT_MAX {
                inner.known.clear();
            }
            inner.known.insert(key, (Arc::clone(&standing), now));
        }
        Ok(standing)
    }

    /// What was known of the user may no longer be so.
    pub(crate) fn changed(&self, app: AppId, user: &UserId) {
        let mut inner = self.inner();
        inner.changes += 1;
        inner.known.remove(&(app, user.clone()));
    }

    /// The same, of everybody.
    fn all_changed(&self) {
        let mut inner = self.inner();
        inner.changes += 1;
        inner.known.clear();
    }

    /// A user is as this says. Nearly always it stands as it did.
    fn is_now(&self, app: AppId, user: &User) {
        let is_as_known = {
            let inner = self.inner();
            inner.known.get(&(app, user.id.clone())).is_some_and(|(known, _)| known.role == user.role)
        };
        if !is_as_known {
            self.changed(app, &user.id);
        }
    }

    /// Takes in what an event says of how users stand.
    pub(crate) fn heard(&self, app: AppId, topic: &Topic, event: &Event) {
        match (event, topic) {
            (Event::UserUpdated { user, .. }, _) => self.is_now(app, user),
            (Event::TokensRevoked { .. }, Topic::App(_)) => self.all_changed(),
            (event, Topic::User(user)) if changes_standing(event) => self.changed(app, user),
            _ => {}
        }
    }
}

/// Whether this event of a user's own topic, or of its app's, may mean that the user is no longer welcome, or is again.
pub(crate) fn changes_standing(event: &Event) -> bool {
    matches!(
        event,
        Event::TokensRevoked { .. }
            | Event::UserBanned { cid: None, .. }
            | Event::UserUnbanned { cid: None, .. }
            | Event::UserDeactivated { .. }
            | Event::UserReactivated { .. }
            | Event::UserDeleted { .. }
            | Event::UserRestored { .. }
    )
}

/// Fails for who may do nothing, whoever asks in its name.
pub(crate) fn must_be_active(user: &UserId, standing: &Standing) -> Result<(), ErrorBody> {
    standing.inactivity.map_or(Ok(()), |why| Err(inactive(user, why)))
}

/// Fails for who may do nothing itself, with a token that was issued then.
pub(crate) fn must_be_welcome(
    user: &UserId,
    standing: &Standing,
    issued_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), ErrorBody> {
    if standing.revokes(issued_at) {
        return Err(ErrorCode::TokenRevoked.error());
    }
    must_be_active(user, standing)?;
    standing.keeps_out(now).map_or(Ok(()), |ban| Err(because_of(ErrorCode::UserBanned, ban)))
}

pub(crate) fn inactive(user: &UserId, why: Inactivity) -> ErrorBody {
    match why {
        Inactivity::Deactivated => ErrorCode::UserDeactivated.because(format!("{user} is deactivated.")),
        Inactivity::Deleted => ErrorCode::UserDeleted.because(format!("{user} is deleted.")),
    }
}
