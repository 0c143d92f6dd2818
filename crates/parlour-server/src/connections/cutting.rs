//! Users who are no longer welcome.
//!
//! Their connections end at once, wherever they are: while they are let in, while they resume, while they wait. Whoever
//! took the welcome away waits until nothing more is told to them; then it is answered.

use std::time::Duration;

use parlour_store::AppId;
use parlour_wire::{CloseCode, ErrorBody, Timestamp, UserId};
use tokio::sync::watch;

use super::{Admitted, Connections, Inner};
use crate::mailbox::Cut;

/// Held for each connection that is cut off, or has just lost its place, until nothing more is told on it.
pub(crate) type StillTelling = watch::Receiver<()>;

/// When a client has not taken for this long what was told to it before, the answer does not wait any longer: what
/// is in its way was on it before.
const SILENCE_WAIT: Duration = Duration::from_secs(5);

/// Who is no longer welcome, and what is said to them.
pub(crate) struct NoLongerWelcome<'a> {
    pub(crate) app: AppId,
    /// Absent: all users of the app; who is anonymous is none.
    pub(crate) user: Option<&'a UserId>,
    /// Only connections whose token was issued before this, or does not say when; absent: all.
    pub(crate) issued_before: Option<Timestamp>,
    pub(crate) code: CloseCode,
    pub(crate) error: ErrorBody,
}

impl NoLongerWelcome<'_> {
    fn means(&self, issued_at: Option<Timestamp>) -> bool {
        self.issued_before.is_none_or(|before| issued_at.is_none_or(|at| at < before))
    }

    fn means_user(&self, (app, user): &(AppId, UserId)) -> bool {
        *app == self.app && self.user.map_or(!user.is_anonymous(), |meant| user == meant)
    }
}

impl Connections {
    /// Cuts off the connections of those who are no longer welcome; returns when nothing more is told to them.
    ///
    /// What takes the welcome away has to be stored before: who comes from then on is refused there.
    pub(crate) async fn cut(&self, whom: &NoLongerWelcome<'_>, at: Timestamp) {
        let telling = watch::Sender::new(());
        {
            let mut inner = self.inner();
            let inner = &mut *inner;
            // They are told nothing new: what they have to say is said.
            for departing in inner.departing.values_mut() {
                if whom.means_user(&departing.user) && whom.means(departing.issued_at) {
                    departing.waited_for.push(telling.subscribe());
                }
            }
            for connection in inner.take(whom) {
                self.ledger.close(&connection.ticket, at);
                connection.mailbox.cut(Cut {
                    code: whom.code,
                    error: Box::new(whom.error.clone()),
                    still_telling: telling.subscribe(),
                });
            }
            if inner.users.is_empty() {
                self.gone.notify_waiters();
            }
        }
        if tokio::time::timeout(SILENCE_WAIT, telling.closed()).await.is_err() {
            tracing::warn!("a connection that was cut off takes what it was told before very slowly");
        }
    }
}

impl Inner {
    /// Takes the connections out: a poll that is on its way finds none to go on.
    fn take(&mut self, whom: &NoLongerWelcome<'_>) -> Vec<Admitted> {
        let keys: Vec<_> = match whom.user {
            Some(user) => vec![(whom.app, user.clone())],
            None => self.users.keys().filter(|key| whom.means_user(key)).cloned().collect(),
        };
        let mut taken = Vec::new();
        for key in keys {
            let Some(of_user) = self.users.get_mut(&key) else { continue };
            taken.extend(of_user.extract_if(.., |connection| whom.means(connection.issued_at)));
            if of_user.is_empty() {
                self.users.remove(&key);
            }
        }
        taken
    }
}
