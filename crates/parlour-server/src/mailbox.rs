//! What waits for one connection, and the short way past it.
//!
//! A connection that has nothing to do lays its session down here. Then the hub offers its events to the session
//! itself, and what follows the cursor goes straight onto the wire: no queue, and nobody is woken. Everything else
//! waits until the gateway comes for it.
//!
//! Bounded in bytes. Events that do not fit are left out, not queued: the log has them, and the session
//! looks at the heads when it reads again. Signals go first.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use parlour_proto::{Live, Millis, Session};
use parlour_wire::{CloseCode, ConnectionId, ErrorBody, Seq, ServerFrame, Topic};
use tokio::sync::Notify;

use crate::connections::{StillTelling, Unanswered};
use crate::frame::Frame;
use crate::gateway::intake::Intake;
use crate::gateway::{Flushed, Outlet};
use crate::profile::{Holder, Owner};

/// What the rest of the server tells a connection.
#[derive(Debug)]
pub(crate) enum Mail {
    Live(Live<Frame>),
    Signal(Frame),
    /// Somebody wants its place: is its client there?
    Probe(Unanswered),
    /// A head check found the topic here.
    Head {
        topic: Arc<Topic>,
        head: Seq,
    },
    /// The server goes away: the connection is over, and its client's turn to come back is after this long.
    Drain {
        retry_after_ms: u32,
    },
    /// The connection is over.
    End {
        bye: Box<ServerFrame>,
        code: CloseCode,
    },
    /// The user is no longer welcome: the connection is over, and nothing that was to be told before is told.
    Cut(Cut),
}

/// Why a user is no longer welcome.
#[derive(Debug)]
pub(crate) struct Cut {
    pub(crate) code: CloseCode,
    pub(crate) error: Box<ErrorBody>,
    /// Held until nothing more is told.
    pub(crate) still_telling: StillTelling,
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
pub(crate) struct Mailbox {
    /// Tells mailboxes apart within this process.
    pub(crate) number: u64,
    pub(crate) connection: ConnectionId,
    bytes_max: usize,
    /// When its client last said something; [`NOT_HEARD`] until it may.
    heard_at: AtomicU64,
    /// How it takes what it is sent.
    pub(crate) intake: Intake,
    /// Where frames go out without the gateway, if its transport has such a way.
    outlet: Option<Arc<dyn Outlet>>,
    queue: Mutex<Queue>,
    arrived: Notify,
    is_cut: AtomicBool,
    /// Whose it is, once admitted.
    owner: OnceLock<Owner>,
    /// Wakes a gateway that waits for a slow reader.
    cut: Notify,
}

const NOT_HEARD: Millis = Millis::MAX;

#[derive(Default)]
struct Queue {
    delivery: Delivery,
    bytes: usize,
    closed: bool,
    /// While the gateway waits.
    session: Option<Box<Session<Frame>>>,
}

/// What a queued entry costs beside its shared payload.
const ENTRY_BYTES: usize = size_of::<Mail>();

impl Mailbox {
    pub(crate) fn new(
        number: u64,
        connection: ConnectionId,
        bytes_max: usize,
        intake: Intake,
        outlet: Option<Arc<dyn Outlet>>,
    ) -> Self {
        Self {
            number,
            connection,
            bytes_max,
            heard_at: AtomicU64::new(NOT_HEARD),
            intake,
            outlet,
            queue: Mutex::default(),
            arrived: Notify::new(),
            is_cut: AtomicBool::new(false),
            owner: OnceLock::new(),
            cut: Notify::new(),
        }
    }

    /// The connection is this user's.
    pub(crate) fn belongs_to(&self, user: &Holder) {
        self.owner.get_or_init(|| user.owner());
    }

    /// Whose connection it is; `None`: nobody's yet.
    pub(crate) fn owner(&self) -> Option<&Owner> {
        self.owner.get()
    }

    /// The client says something, or is told that it may.
    pub(crate) fn heard(&self, now: Millis) {
        self.heard_at.store(now, Ordering::Relaxed);
    }

    /// When the client last said something; `None`: it has not been told yet that it may.
    pub(crate) fn heard_at(&self) -> Option<Millis> {
        Some(self.heard_at.load(Ordering::Relaxed)).filter(|at| *at != NOT_HEARD)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts something in; never waits.
    pub(crate) fn put(&self, mail: Mail) {
        self.put_all(self.queue(), [mail]);
    }

    /// Offers events of one topic. Answers whether some of them now stand on the wire, and have to be flushed.
    pub(crate) fn offer(&self, events: &[Live<Frame>]) -> bool {
        let mut queue = self.queue();
        let run = match (&self.outlet, queue.session_at_rest()) {
            (Some(outlet), Some(session)) if outlet.has_room() => {
                let run = session.pass(events);
                if !run.is_empty() {
                    outlet.push(&mut events[run.clone()].iter().map(|live| &live.frame));
                }
                run
            }
            _ => 0..0,
        };
        self.put_all(queue, events[run.end..].iter().cloned().map(Mail::Live));
        !run.is_empty()
    }

    /// Offers a signal; the answer is that of [`Self::offer`].
    pub(crate) fn offer_signal(&self, frame: &Frame) -> bool {
        let mut queue = self.queue();
        if let (Some(outlet), Some(_)) = (&self.outlet, queue.session_at_rest())
            && outlet.has_room()
        {
            outlet.push(&mut std::iter::once(frame));
            return true;
        }
        self.put_all(queue, [Mail::Signal(frame.clone())]);
        false
    }

    /// Lets what was offered leave. What the other side does not take at once is the gateway's to see to.
    pub(crate) fn flush(&self) {
        if let Some(outlet) = &self.outlet
            && outlet.flush() != Flushed::All
        {
            self.arrived.notify_one();
        }
    }

    fn put_all(&self, mut queue: MutexGuard<'_, Queue>, mail: impl IntoIterator<Item = Mail>) {
        let was_empty = queue.delivery.mail.is_empty();
        for mail in mail {
            queue.put(mail, self.bytes_max);
        }
        let has_come = was_empty && !queue.delivery.mail.is_empty();
        drop(queue);
        if has_come {
            self.arrived.notify_one();
        }
    }

    /// Another mailbox is this connection's from now on; nothing comes here any more.
    pub(crate) fn is_succeeded(&self) {
        let mut queue = self.queue();
        queue.closed = true;
        queue.delivery.succeeded = true;
        drop(queue);
        self.arrived.notify_one();
    }

    /// Whether another mailbox is this connection's. Takes nothing: who waits until the user is told nothing more waits
    /// for what is in here, too.
    pub(crate) fn has_successor(&self) -> bool {
        self.queue().delivery.succeeded
    }

    /// Ends the connection with nothing else before it: what waits here is not told any more.
    pub(crate) fn cut(&self, cut: Cut) {
        let mut queue = self.queue();
        queue.delivery = Delivery { mail: VecDeque::from([Mail::Cut(cut)]), ..Delivery::default() };
        queue.bytes = 0;
        queue.closed = true;
        self.is_cut.store(true, Ordering::Release);
        drop(queue);
        self.arrived.notify_one();
        self.cut.notify_one();
    }

    /// Whether nothing may be told any more.
    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::Acquire)
    }

    /// Returns when the connection is cut off. May be dropped at any time.
    pub(crate) async fn cut_off(&self) {
        self.cut.notified().await;
    }

    /// Takes everything that waits.
    pub(crate) fn take(&self) -> Delivery {
        let mut queue = self.queue();
        queue.bytes = 0;
        std::mem::take(&mut queue.delivery)
    }

    /// Leaves the session here while the gateway waits; what is here already is found by [`Self::arrived`].
    pub(crate) fn lay_down(&self, session: Box<Session<Frame>>) {
        self.queue().session = Some(session);
    }

    /// Takes the session back.
    pub(crate) fn take_up(&self) -> Option<Box<Session<Frame>>> {
        self.queue().session.take()
    }

    /// Returns when something waits. May return early; may be dropped at any time.
    pub(crate) async fn arrived(&self) {
        self.arrived.notified().await;
    }
}

impl Queue {
    /// The session, if nothing that came before has still to be told to it.
    fn session_at_rest(&mut self) -> Option<&mut Session<Frame>> {
        let Delivery { mail, overflowed, .. } = &self.delivery;
        let nothing_waits = mail.is_empty() && !overflowed && !self.closed;
        self.session.as_deref_mut().filter(|_| nothing_waits)
    }

    fn put(&mut self, mail: Mail, bytes_max: usize) {
        if self.closed {
            return;
        }
        let (bytes, room) = match &mail {
            Mail::Live(live) => (live.frame.len() + ENTRY_BYTES, bytes_max),
            Mail::Signal(frame) => (frame.len() + ENTRY_BYTES, bytes_max / 2),
            Mail::Head { .. } => (ENTRY_BYTES, bytes_max),
            // What the server itself acts on always fits.
            Mail::Probe(_) | Mail::Drain { .. } | Mail::End { .. } | Mail::Cut(_) => (0, usize::MAX),
        };
        if self.bytes + bytes > room {
            match mail {
                Mail::Signal(_) => self.delivery.signals_dropped = true,
                Mail::Live(_)
                | Mail::Head { .. }
                | Mail::Probe(_)
                | Mail::Drain { .. }
                | Mail::End { .. }
                | Mail::Cut(_) => {
                    self.delivery.overflowed = true;
                }
            }
            return;
        }
        self.bytes += bytes;
        self.closed = matches!(mail, Mail::Drain { .. } | Mail::End { .. });
        self.delivery.mail.push_back(mail);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parlour_proto::Effect;

    fn live(seq: Seq) -> Mail {
        let topic = Arc::new("channel:messaging:a".parse().unwrap());
        Mail::Live(Live { topic, seq, frame: Frame::from(&*"x".repeat(100)), effect: Effect::None })
    }

    #[test]
    fn a_full_mailbox_leaves_events_out_and_says_so_l6_40() {
        let mailbox = Mailbox::new(1, ConnectionId::parse("c").unwrap(), 10_000, Intake::default(), None);
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
        let mailbox = Mailbox::new(1, ConnectionId::parse("c").unwrap(), 10_000, Intake::default(), None);
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
