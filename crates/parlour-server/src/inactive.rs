//! Users who may do nothing: deactivated, or deleted.
//!
//! They are few, and every request asks: so they are kept in memory, as the log tells of them. Whether somebody may
//! connect is decided by the store, in the row that a connect reads anyway.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use parlour_store::{AppId, Inactivity};
use parlour_wire::{ErrorBody, ErrorCode, Event, UserId};

#[derive(Default)]
pub(crate) struct Inactive {
    users: RwLock<HashMap<(AppId, UserId), Inactivity>>,
}

impl Inactive {
    pub(crate) fn know(&self, users: Vec<(AppId, UserId, Inactivity)>) {
        let mut known = self.users.write().unwrap_or_else(PoisonError::into_inner);
        known.extend(users.into_iter().map(|(app, user, why)| ((app, user), why)));
    }

    /// Takes in what an event says of a user; answers whom it made inactive.
    pub(crate) fn heard<'a>(&self, app: AppId, event: &'a Event) -> Option<&'a UserId> {
        let (user, why) = match event {
            Event::UserDeactivated { user, .. } => (user, Some(Inactivity::Deactivated)),
            Event::UserDeleted { user, .. } => (user, Some(Inactivity::Deleted)),
            Event::UserReactivated { user, .. } => (user, None),
            // One who was deactivated before it was deleted is so again.
            Event::UserRestored { user, .. } => (user, user.deactivated_at.map(|_| Inactivity::Deactivated)),
            _ => return None,
        };
        let mut known = self.users.write().unwrap_or_else(PoisonError::into_inner);
        let key = (app, user.id.clone());
        match why {
            Some(why) => known.insert(key, why),
            None => known.remove(&key),
        };
        why.map(|_| &user.id)
    }

    /// Fails for who may do nothing.
    pub(crate) fn check(&self, app: AppId, user: &UserId) -> Result<(), ErrorBody> {
        let known = self.users.read().unwrap_or_else(PoisonError::into_inner);
        // Nearly always: then nothing is copied to look for it.
        if known.is_empty() {
            return Ok(());
        }
        known.get(&(app, user.clone())).map_or(Ok(()), |why| Err(refusal(user, *why)))
    }
}

pub(crate) fn refusal(user: &UserId, why: Inactivity) -> ErrorBody {
    match why {
        Inactivity::Deactivated => ErrorCode::UserDeactivated.because(format!("{user} is deactivated.")),
        Inactivity::Deleted => ErrorCode::UserDeleted.because(format!("{user} is deleted.")),
    }
}
