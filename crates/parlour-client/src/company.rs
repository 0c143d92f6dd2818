//! Clients of one process that are for the same user share one connection.
//!
//! Each has a driver of its own. The first that is told who its user is has the connection; the driver of a later one
//! has none, and its client shows and asks the first: [`follow`]. When the user goes, each is on its own again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use parlour_wire::{AppKey, UserId};
use tokio::sync::{mpsc, watch};

use crate::client::{Inner, Shared};
use crate::driver::Command;

/// Which connections are the same: those of one device to one app of one server, over one network.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) url: String,
    pub(crate) app_key: AppKey,
    pub(crate) device: Option<String>,
    pub(crate) network: Network,
}

/// A network that goes by itself is known by where it lies in memory: its client keeps it there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Network {
    Real { proxy: Option<String> },
    Given { at: usize },
}

/// Where a client is reached, without keeping it.
#[derive(Clone)]
pub(crate) struct Door {
    shared: Weak<Shared>,
    commands: mpsc::WeakSender<Command>,
}

impl Door {
    pub(crate) fn of(inner: &Inner) -> Self {
        Self { shared: Arc::downgrade(&inner.shared), commands: inner.commands.downgrade() }
    }

    fn open(&self) -> Option<Inner> {
        Some(Inner { shared: self.shared.upgrade()?, commands: self.commands.upgrade()? })
    }
}

/// Who has the connection of which user, in this process.
static FIRST: Mutex<BTreeMap<(Place, UserId), Door>> = Mutex::new(BTreeMap::new());

fn first() -> MutexGuard<'static, BTreeMap<(Place, UserId), Door>> {
    FIRST.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Being the first for a user; given up when it is dropped.
pub(crate) struct Claim {
    key: (Place, UserId),
    own: Door,
}

impl Claim {
    pub(crate) fn user(&self) -> &UserId {
        &self.key.1
    }

    /// Is the first for this user, or says who is.
    pub(crate) fn make(place: &Place, user: &UserId, own: &Door) -> Result<Self, Inner> {
        let key = (place.clone(), user.clone());
        let mut first = first();
        let other = first.get(&key).filter(|door| !Weak::ptr_eq(&door.shared, &own.shared));
        if let Some(other) = other.and_then(Door::open) {
            return Err(other);
        }
        first.insert(key.clone(), own.clone());
        Ok(Self { key, own: own.clone() })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut first = first();
        // Another one may have come when nobody was behind this one's door any more.
        if first.get(&self.key).is_some_and(|door| Weak::ptr_eq(&door.shared, &self.own.shared)) {
            first.remove(&self.key);
        }
    }
}

/// Whose connection a client uses.
#[derive(Clone)]
pub(crate) struct Lead {
    pub(crate) other: Inner,
    pub(crate) user: UserId,
}

impl Lead {
    /// Whether the other client is (still, or about to be) there for that user.
    pub(crate) fn holds(&self) -> bool {
        let view = self.other.shared.session.borrow();
        view.stage.session().map_or(view.joining > 0, |session| session.user == self.user)
    }
}

/// Makes a client show what another one does, for as long as that is for this user.
pub(crate) fn follow(own: &Arc<Shared>, lead: &Lead) {
    let theirs = &lead.other.shared;
    theirs.readers.lead(&own.readers);
    let (session, connection) = (theirs.session.subscribe(), theirs.connection.subscribe());
    let mirror =
        mirror(Arc::downgrade(own), lead.user.clone(), session, connection, theirs.unread.subscribe());
    *own.lead() = Some(lead.clone());
    tokio::spawn(mirror);
}

/// Neither client is kept by this: it ends with either.
async fn mirror(
    own: Weak<Shared>,
    user: UserId,
    mut session: watch::Receiver<crate::session::SessionView>,
    mut connection: watch::Receiver<crate::ConnectionStatus>,
    mut unread: watch::Receiver<crate::UnreadCounts>,
) {
    loop {
        let Some(own) = own.upgrade() else { return };
        let view = session.borrow_and_update().clone();
        let is_there = view.stage.session().map_or(view.joining > 0, |session| session.user == user);
        if !is_there {
            own.stands_alone();
            return;
        }
        own.session.send_modify(|own| own.stage = view.stage);
        let (status, counts) = (connection.borrow_and_update().clone(), *unread.borrow_and_update());
        own.connection.send_if_modified(|own| std::mem::replace(own, status.clone()) != status);
        own.unread.send_if_modified(|own| std::mem::replace(own, counts) != counts);
        drop(own);
        let changed = tokio::select! {
            changed = session.changed() => changed,
            changed = connection.changed() => changed,
            changed = unread.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
    }
}
