//! What a client tells its app, as it happens.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parlour_proto::Transition;
use parlour_wire::events::Signal;
use parlour_wire::frames::{EventFrame, ResetReason, Resumed};
use parlour_wire::{Cid, ErrorBody, MessageId, Open, Seq, Topic};

use crate::client::FellBack;
use crate::outbox::SendState;

/// Something that the app may want to show.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ClientEvent {
    /// A durable event: each of a topic exactly once, in order, without a hole (see [`Events`]).
    Event(Arc<EventFrame>),
    /// Something that is true now and is not stored.
    Signal { topic: Option<Topic>, signal: Open<Signal> },
    /// What was missed of this topic cannot be replayed: load it as at first start (`Channel::state`).
    /// Its events go on after `head`.
    Reset { topic: Topic, reason: ResetReason, head: Seq },
    /// The connection's state changed.
    Connection(Box<Transition>),
    /// The connection is back after a loss.
    Recovered { resumed: Resumed, downtime: Duration },
    /// Nothing gets through by one transport, for this reason: the next one is tried.
    FellBack(FellBack),
    /// A message of the outbox was queued, sent, or failed for good.
    Outbox { cid: Cid, id: MessageId, state: SendState },
    /// The server refused something that was sent over the connection.
    Refused { error: Box<ErrorBody>, topic: Option<Topic> },
    /// The server paused a feature for a while; the connection stays.
    Throttled { feature: String, retry_after: Duration },
    /// The client's storage failed. The client goes on; what it knows may not outlive the process.
    StorageFailed { message: String },
    /// The app took its events too slowly and its queue was full: this many were left out here. Load what
    /// is shown, as after a reset of everything. The client's own state (unread counts) lost nothing.
    Lagged { missed: u64 },
}

/// One reader's queue of [`ClientEvent`]s, from [`Client::events`](crate::Client::events) on.
///
/// Readers do not wait for one another, and the connection waits for none: a reader that stalls would
/// otherwise stop the heartbeats of all. Each queue is bounded (`Builder::event_queue_len`). When it is
/// full, what does not fit is left out and the reader finds [`ClientEvent::Lagged`] in that place: never
/// a hole without a word.
///
/// Also a `Stream`. It ends when the last [`Client`](crate::Client) is dropped.
pub struct Events {
    queue: Arc<Mutex<Queue>>,
}

impl Events {
    /// The next event; `None` when the client is gone. Cancel-safe.
    pub async fn next(&mut self) -> Option<ClientEvent> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    /// The next event, if one waits.
    pub fn try_next(&mut self) -> Option<ClientEvent> {
        lock(&self.queue).take()
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<ClientEvent>> {
        let mut queue = lock(&self.queue);
        match queue.take() {
            Some(event) => Poll::Ready(Some(event)),
            None if queue.ended => Poll::Ready(None),
            None => {
                queue.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl futures_util::Stream for Events {
    type Item = ClientEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ClientEvent>> {
        self.poll(cx)
    }
}

struct Queue {
    events: VecDeque<ClientEvent>,
    len_max: usize,
    /// How many were left out after the last one in `events`.
    missed: u64,
    ended: bool,
    waker: Option<Waker>,
}

impl Queue {
    fn put(&mut self, event: &ClientEvent) {
        // Once something is missing, nothing is added before the reader knows: order before completeness.
        if self.missed > 0 || self.events.len() >= self.len_max {
            self.missed += 1;
        } else {
            self.events.push_back(event.clone());
        }
    }

    fn take(&mut self) -> Option<ClientEvent> {
        self.events.pop_front().or_else(|| {
            let missed = std::mem::take(&mut self.missed);
            (missed > 0).then_some(ClientEvent::Lagged { missed })
        })
    }
}

fn lock(queue: &Mutex<Queue>) -> std::sync::MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All readers of one client.
pub(crate) struct Readers {
    queues: Mutex<Vec<Weak<Mutex<Queue>>>>,
    queue_len_max: usize,
    /// Those of clients that use this one's connection.
    followers: Mutex<Vec<Weak<Self>>>,
}

impl Readers {
    pub(crate) fn new(queue_len_max: usize) -> Self {
        Self { queues: Mutex::default(), queue_len_max: queue_len_max.max(1), followers: Mutex::default() }
    }

    pub(crate) fn subscribe(&self) -> Events {
        let queue = Arc::new(Mutex::new(Queue {
            events: VecDeque::new(),
            len_max: self.queue_len_max,
            missed: 0,
            ended: false,
            waker: None,
        }));
        self.all().push(Arc::downgrade(&queue));
        Events { queue }
    }

    pub(crate) fn publish(&self, event: &ClientEvent) {
        self.each(|queue| queue.put(event));
        let followers = self.followers().clone();
        followers.iter().filter_map(Weak::upgrade).for_each(|follower| follower.publish(event));
    }

    /// What is published here is published there, too.
    pub(crate) fn lead(&self, follower: &Arc<Self>) {
        let mut followers = self.followers();
        followers
            .retain(|known| known.strong_count() > 0 && !std::ptr::eq(known.as_ptr(), Arc::as_ptr(follower)));
        followers.push(Arc::downgrade(follower));
    }

    pub(crate) fn leave(&self, follower: &Arc<Self>) {
        self.followers().retain(|known| !std::ptr::eq(known.as_ptr(), Arc::as_ptr(follower)));
    }

    /// What is published from now on is for nobody else.
    pub(crate) fn lead_nobody(&self) {
        self.followers().clear();
    }

    fn followers(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Self>>> {
        self.followers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn end(&self) {
        self.each(|queue| queue.ended = true);
    }

    fn each(&self, change: impl Fn(&mut Queue)) {
        self.all().retain(|queue| {
            let Some(queue) = queue.upgrade() else { return false };
            let waker = {
                let mut queue = lock(&queue);
                change(&mut queue);
                queue.waker.take()
            };
            if let Some(waker) = waker {
                waker.wake();
            }
            true
        });
    }

    fn all(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Mutex<Queue>>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: u64) -> ClientEvent {
        ClientEvent::Throttled { feature: seq.to_string(), retry_after: Duration::ZERO }
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_what_it_missed_in_its_place_and_others_miss_nothing() {
        let readers = Readers::new(2);
        let (mut slow, mut quick) = (readers.subscribe(), readers.subscribe());
        for seq in 1..=4 {
            readers.publish(&event(seq));
            assert_eq!(quick.next().await, Some(event(seq)));
        }
        assert_eq!(slow.next().await, Some(event(1)));
        readers.publish(&event(5));
        assert_eq!(slow.next().await, Some(event(2)));
        assert_eq!(slow.next().await, Some(ClientEvent::Lagged { missed: 3 }));
        readers.publish(&event(6));
        assert_eq!(slow.next().await, Some(event(6)));
    }

    #[tokio::test]
    async fn events_end_when_the_client_does_after_what_was_queued() {
        let readers = Readers::new(2);
        let mut events = readers.subscribe();
        readers.publish(&event(1));
        readers.end();
        assert_eq!(events.next().await, Some(event(1)));
        assert_eq!(events.next().await, None);
    }
}
