//! What waits for one connection.
//!
//! Bounded in bytes. Events that do not fit are left out, not queued: the log has them, and the session
//! looks at the heads when it reads again. Signals go first.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::ws::Utf8Bytes;
use parlour_proto::{Live, Millis};
use parlour_wire::users::User;
use parlour_wire::{CloseCode, ConnectionId, Seq, ServerFrame, Topic};
use tokio::sync::Notify;

use crate::connections::Unanswered;
use crate::gateway::intake::Intake;

/// An encoded frame, shared by all who receive it.
pub type Frame = Utf8Bytes;

/// What the rest of the server tells a connection.
#[derive(Debug)]
pub(crate) enum Mail {
    Live(Live<Frame>),
    Signal(Frame),
    /// The connection's own user is this one now.
    UserChanged(Arc<User>),
    /// A head check found the topic here.
    Head {
        topic: Topic,
        head: Seq,
    },
    /// Somebody wants its place: is its client there?
    Probe(Unanswered),
    /// The server goes away: the connection is over, and its client's turn to come back is after this long.
    Drain {
        retry_after_ms: u32,
    },
    /// The connection is over.
    End {
        bye: Box<ServerFrame>,
        code: CloseCode,
    },
}

/// What the session takes out at once.
#[derive(Debug, Default)]
pub(crate) struct Delivery {
    pub(crate) mail: VecDeque<Mail>,
    /// Events were left out: look at the heads.
    pub(crate) overflowed: bool,
    /// Signals were left out: what they say has to be told anew.
    pub(crate) signals_dropped: bool,
    /// Another mailbox took this one's place, with everything that the connection has.
    pub(crate) succeeded: bool,
}

/// The queue of one connection.
#[derive(Debug)]
pub(crate) struct Mailbox {
    /// Tells mailboxes apart within this process.
    pub(crate) number: u64,
    pub(crate) connection: ConnectionId,
    bytes_max: usize,
    /// When its client last said something; [`NOT_HEARD`] until it may.
    heard_at: AtomicU64,
    /// How it takes what it is sent.
    pub(crate) intake: Intake,
    queue: Mutex<Queue>,
    arrived: Notify,
}

const NOT_HEARD: Millis = Millis::MAX;

#[derive(Debug, Default)]
struct Queue {
    delivery: Delivery,
    bytes: usize,
    closed: bool,
}

/// What a queued entry costs beside its shared payload.
const ENTRY_BYTES: usize = size_of::<Mail>();

impl Mailbox {
    pub(crate) fn new(number: u64, connection: ConnectionId, bytes_max: usize, intake: Intake) -> Self {
        let (heard_at, arrived) = (AtomicU64::new(NOT_HEARD), Notify::new());
        Self { number, connection, bytes_max, heard_at, intake, queue: Mutex::default(), arrived }
    }

    /// The client says something, or is told that it may.
    pub(crate) fn heard(&self, now: Millis) {
        self.heard_at.store(now, Ordering::Relaxed);
    }

    /// When the client last said something; `None`: it has not been told yet that it may.
    pub(crate) fn heard_at(&self) -> Option<Millis> {
        Some(self.heard_at.load(Ordering::Relaxed)).filter(|at| *at != NOT_HEARD)
    }

    /// Puts something in; never waits.
    pub(crate) fn put(&self, mail: Mail) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.closed {
            return;
        }
        let (bytes, room) = match &mail {
            Mail::Live(live) => (live.frame.len() + ENTRY_BYTES, self.bytes_max),
            Mail::Signal(frame) => (frame.len() + ENTRY_BYTES, self.bytes_max / 2),
            Mail::Head { .. } => (ENTRY_BYTES, self.bytes_max),
            // What the server itself acts on always fits.
            Mail::UserChanged(_) | Mail::Probe(_) | Mail::Drain { .. } | Mail::End { .. } => (0, usize::MAX),
        };
        if queue.bytes + bytes > room {
            match mail {
                Mail::Signal(_) => queue.delivery.signals_dropped = true,
                Mail::Live(_)
                | Mail::UserChanged(_)
                | Mail::Head { .. }
                | Mail::Probe(_)
                | Mail::Drain { .. }
                | Mail::End { .. } => {
                    queue.delivery.overflowed = true;
                }
            }
            return;
        }
        if matches!(mail, Mail::UserChanged(_)) {
            // Only the latest counts: a user who changes often cannot fill the memory of a reader who stalls.
            queue.delivery.mail.retain(|waiting| !matches!(waiting, Mail::UserChanged(_)));
        }
        queue.bytes += bytes;
        queue.closed = matches!(mail, Mail::Drain { .. } | Mail::End { .. });
        let was_empty = queue.delivery.mail.is_empty();
        queue.delivery.mail.push_back(mail);
        drop(queue);
        if was_empty {
            self.arrived.notify_one();
        }
    }

    /// Another mailbox is this connection's from now on; nothing comes here any more.
    pub(crate) fn is_succeeded(&self) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.closed = true;
        queue.delivery.succeeded = true;
        drop(queue);
        self.arrived.notify_one();
    }

    /// Takes everything that waits.
    pub(crate) fn take(&self) -> Delivery {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.bytes = 0;
        std::mem::take(&mut queue.delivery)
    }

    /// Returns when something waits. May return early; may be dropped at any time.
    pub(crate) async fn arrived(&self) {
        self.arrived.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parlour_proto::Effect;

    fn live(seq: Seq) -> Mail {
        let topic = "channel:messaging:a".parse().unwrap();
        Mail::Live(Live { topic, seq, frame: Frame::from("x".repeat(100)), effect: Effect::None })
    }

    #[test]
    fn a_full_mailbox_leaves_events_out_and_says_so_l6_40() {
        let mailbox = Mailbox::new(1, ConnectionId::parse("c").unwrap(), 10_000, Intake::default());
        (1..=1_000).for_each(|seq| mailbox.put(live(seq)));
        let delivery = mailbox.take();
        assert!(delivery.overflowed);
        assert!(delivery.mail.len() * (100 + ENTRY_BYTES) <= 10_000 && delivery.mail.len() > 10);
        mailbox.put(live(7));
        let delivery = mailbox.take();
        assert_eq!((delivery.mail.len(), delivery.overflowed), (1, false));
    }

    #[test]
    fn signals_are_left_out_before_events_and_the_end_always_fits_l6_40() {
        let mailbox = Mailbox::new(1, ConnectionId::parse("c").unwrap(), 10_000, Intake::default());
        (0..1_000).for_each(|_| mailbox.put(Mail::Signal(Frame::from("s"))));
        mailbox.put(live(1));
        let bye = ServerFrame::Bye {
            code: CloseCode::REPLACED,
            reason: String::new(),
            retry_after_ms: None,
            replaced_by: None,
        };
        (2..1_000).for_each(|seq| mailbox.put(live(seq)));
        mailbox.put(Mail::End { bye: Box::new(bye), code: CloseCode::REPLACED });
        mailbox.put(live(1_000));
        let delivery = mailbox.take();
        assert!(delivery.signals_dropped);
        assert!(delivery.mail.iter().any(|mail| matches!(mail, Mail::Live(live) if live.seq == 1)));
        assert!(matches!(delivery.mail.back(), Some(Mail::End { .. })), "nothing comes after the end");
    }
}
