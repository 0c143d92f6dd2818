//! Whether a link that was up before a sleep is still there.

use parlour_wire::CloseCode;
use parlour_wire::frames::ClientFrame;

use super::link::{Link, Step, Trying};
use super::{Connection, FailedWhy, Output};
use crate::Millis;

/// The id of the machine's own pings; apps use others.
pub(super) const PROBE_ID: u64 = 0;

impl Connection {
    /// Time has passed without us. Before the next dial the provider is asked for a token, because the old one may
    /// have ended meanwhile.
    pub(super) fn woke(&mut self, now: Millis, jitter: f64, out: &mut Vec<Output>) {
        if let Some(user) = self.login.user() {
            user.renew = true;
        }
        self.check_link(now, jitter, out);
    }

    /// Nothing that was known of the link is sure any more: it has to answer, or is dialled again; a wait ends soon.
    pub(super) fn check_link(&mut self, now: Millis, jitter: f64, out: &mut Vec<Output>) {
        let until = now + self.config.wake_probe_ms;
        match &mut self.link {
            Link::Up(live) if live.probe_until.is_none() => {
                live.probe_until = Some(until);
                self.transmit(ClientFrame::Ping { id: PROBE_ID }, out);
            }
            Link::Trying(Trying { step: Step::Wait { .. }, .. }) => self.retry_now(now, jitter),
            Link::Rest | Link::Failed(_) | Link::Trying(_) | Link::Up(_) | Link::Closing { .. } => {}
        }
    }

    /// The user is there. Who was evicted comes back with its user, and not before: else two devices would evict
    /// each other in turns. Whatever else failed waits for the app to act.
    pub(super) fn is_looked_at(&mut self) {
        if let Link::Failed(FailedWhy::Refused { code, .. }) = &self.link
            && matches!(*code, CloseCode::REPLACED | CloseCode::TOO_MANY_CONNECTIONS)
        {
            self.link = Link::Rest;
        }
    }
}
