//! Who types, and until when: the server ends what the client forgot to end.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use parlour_store::AppId;
use parlour_wire::events::Signal;
use parlour_wire::users::UserBrief;
use parlour_wire::{Cid, Open, ServerFrame, Topic, UserId};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::bus::{Bus, BusMessage};
use crate::frame::Frame;
use crate::profile::Holder;

/// When a user has not said again that she types for this long, she does not.
const EXPIRES_AFTER: Duration = Duration::from_secs(6);

type Where = (AppId, Cid, UserId);

/// Everybody who types now.
#[derive(Default)]
pub(crate) struct Typing {
    typists: Mutex<BTreeMap<Where, Typist>>,
    started: Notify,
}

struct Typist {
    user: UserBrief,
    mailbox: u64,
    expires_at: Instant,
}

impl Typing {
    /// The user types, on this connection. It reaches nobody where she does not wish it.
    pub(crate) fn start(&self, bus: &dyn Bus, app: AppId, cid: &Cid, user: &Holder, mailbox: u64) {
        let mut typists = self.lock();
        // Asked and told under the lock: once her wish not to be seen has come to `hide`, nothing follows it.
        let Some(user) = user.typist() else { return };
        let typist = Typist { user: user.clone(), mailbox, expires_at: Instant::now() + EXPIRES_AFTER };
        typists.insert((app, cid.clone(), user.id.clone()), typist);
        self.started.notify_one();
        tell(bus, app, cid, Signal::TypingStart { cid: cid.clone(), user }, mailbox);
    }

    /// The user does not wish to be seen typing any more: what others see of it ends.
    pub(crate) fn hide(&self, bus: &dyn Bus, app: AppId, user: &UserId) {
        self.stop_where(bus, |(of, _, typist), _| *of == app && typist == user);
    }

    /// The user does not type any more; says nothing if she did not.
    pub(crate) fn stop(&self, bus: &dyn Bus, app: AppId, cid: &Cid, user: &UserId) {
        let typist = self.lock().remove(&(app, cid.clone(), user.clone()));
        if let Some(Typist { user, mailbox, .. }) = typist {
            tell(bus, app, cid, Signal::TypingStop { cid: cid.clone(), user }, mailbox);
        }
    }

    /// The connection is gone, and with it what its user typed there.
    pub(crate) fn stop_all(&self, bus: &dyn Bus, mailbox: u64) {
        self.stop_where(bus, |_, typist| typist.mailbox == mailbox);
    }

    /// Ends what expires, for as long as the server runs.
    pub(crate) async fn run(&self, bus: &dyn Bus) {
        loop {
            let next = self.lock().values().map(|typist| typist.expires_at).min();
            match next {
                None => self.started.notified().await,
                Some(at) => tokio::time::sleep_until(at).await,
            }
            let now = Instant::now();
            self.stop_where(bus, |_, typist| typist.expires_at <= now);
        }
    }

    fn stop_where(&self, bus: &dyn Bus, ended: impl Fn(&Where, &Typist) -> bool) {
        let stopped: Vec<_> = self.lock().extract_if(.., |at, typist| ended(at, typist)).collect();
        for ((app, cid, _), Typist { user, mailbox, .. }) in stopped {
            tell(bus, app, &cid, Signal::TypingStop { cid: cid.clone(), user }, mailbox);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Where, Typist>> {
        self.typists.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(bus: &dyn Bus, app: AppId, cid: &Cid, signal: Signal, from: u64) {
    let topic = Topic::Channel(cid.clone());
    let frame = Frame::new(&ServerFrame::Signal { topic: Some(topic.clone()), signal: Open::Known(signal) });
    bus.publish(BusMessage::Signal { app, topic, frame, except: Some(from) });
}
