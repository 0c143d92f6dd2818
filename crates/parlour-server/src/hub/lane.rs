//! One loop of the hub: what was published is brought to the connections of this lane.
//!
//! A turn takes everything that has come since the last one. What is due to a connection in a turn leaves in one
//! write, and a connection that waits is not woken for it. Nobody's slowness is waited for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use parlour_proto::{Effect, Live};
use parlour_store::Logged;
use parlour_wire::{Seq, Topic};
use tokio::sync::{Notify, oneshot};

use super::encode;
use crate::frame::Frame;
use crate::mailbox::{Mail, Mailbox};

/// Entries that wait for a lane, at most. What does not fit is left to the head check.
const WORK_MAX: usize = 64 * 1_024;
/// Connections that are served before the other tasks of the core have their turn: some hundred microseconds.
const CONNECTIONS_AT_ONCE: usize = 64;

/// The connections of one topic, those of all lanes.
type Listeners = Arc<Vec<Arc<Mailbox>>>;

/// What a lane is to bring to connections.
pub(super) enum Work {
    Event {
        to: Listeners,
        publication: Arc<Publication>,
    },
    Signal {
        to: Listeners,
        frame: Frame,
        except: Option<u64>,
    },
    Head {
        to: Listeners,
        topic: Arc<Topic>,
        head: Seq,
    },
    /// Everything before it has been brought.
    Mark(oneshot::Sender<()>),
}

/// An event for all lanes: the first that comes to it encodes it.
pub(super) struct Publication {
    logged: Arc<Logged>,
    topic: Arc<Topic>,
    effect: Effect,
    live: OnceLock<Live<Frame>>,
}

impl Publication {
    pub(super) fn new(logged: Arc<Logged>, topic: Arc<Topic>, effect: Effect) -> Self {
        Self { logged, topic, effect, live: OnceLock::new() }
    }

    fn live(&self) -> &Live<Frame> {
        self.live.get_or_init(|| encode(&self.logged, &self.topic, self.effect.clone()))
    }
}

/// One loop, and what waits for it.
pub(super) struct Lane {
    number: usize,
    lanes: usize,
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Default)]
struct Waiting {
    work: Vec<Work>,
    /// A turn is under way.
    is_busy: bool,
    /// The loop has ended.
    is_over: bool,
}

/// The lane of a connection.
pub(super) fn of(mailbox: &Mailbox, lanes: usize) -> usize {
    usize::try_from(mailbox.number % lanes as u64).unwrap_or(0)
}

impl Lane {
    pub(super) fn new(number: usize, lanes: usize) -> Self {
        Self { number, lanes, waiting: Mutex::default(), arrived: Notify::new() }
    }

    /// Those of the listeners whom this lane serves.
    pub(super) fn own<'a>(&self, listeners: &'a [Arc<Mailbox>]) -> &'a [Arc<Mailbox>] {
        let begin = listeners.partition_point(|mailbox| of(mailbox, self.lanes) < self.number);
        let end = listeners.partition_point(|mailbox| of(mailbox, self.lanes) <= self.number);
        &listeners[begin..end]
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts something behind what waits; `false`: there is no room for it.
    pub(super) fn put(&self, work: Work) -> bool {
        let mut waiting = self.waiting();
        if waiting.work.len() >= WORK_MAX || waiting.is_over {
            return false;
        }
        waiting.work.push(work);
        let is_first = waiting.work.len() == 1;
        drop(waiting);
        if is_first {
            self.arrived.notify_one();
        }
        true
    }

    /// Returns when everything that was put in before has been brought.
    pub(super) async fn settled(&self) {
        let brought = {
            let mut waiting = self.waiting();
            if waiting.is_over || waiting.work.is_empty() && !waiting.is_busy {
                return;
            }
            let (mark, brought) = oneshot::channel();
            // One for each who waits, and each who waits does nothing else: no bound is needed.
            waiting.work.push(Work::Mark(mark));
            brought
        };
        self.arrived.notify_one();
        // If the loop ends before, nothing is brought any more.
        let _ = brought.await;
    }

    /// Brings what comes, for as long as the node lives.
    pub(super) async fn run(self: Arc<Self>) {
        let _end = End(&self);
        loop {
            let work = {
                let mut waiting = self.waiting();
                waiting.is_busy = !waiting.work.is_empty();
                std::mem::take(&mut waiting.work)
            };
            if work.is_empty() {
                self.arrived.notified().await;
            } else {
                self.turn(work).await;
            }
        }
    }

    async fn turn(&self, work: Vec<Work>) {
        let Turn { rounds, marks } = Turn::gather(work);
        // Where all is of one topic, nothing more can be due to anybody, and each has it at once.
        let is_one = rounds.len() == 1;
        let mut breath = Breath::default();
        let mut written: Vec<&Arc<Mailbox>> = Vec::new();
        for round in &rounds {
            for mailbox in self.own(&round.to) {
                match (round.bring(mailbox), is_one) {
                    (true, true) => mailbox.flush(),
                    (true, false) => written.push(mailbox),
                    (false, _) => {}
                }
                breath.after_one().await;
            }
        }
        for mailbox in written {
            mailbox.flush();
            breath.after_one().await;
        }
        for mark in marks {
            // Who waited may have gone away.
            let _ = mark.send(());
        }
    }
}

/// Lets the other tasks of the core have their turn now and then.
#[derive(Default)]
struct Breath {
    served: usize,
}

impl Breath {
    async fn after_one(&mut self) {
        self.served += 1;
        if self.served.is_multiple_of(CONNECTIONS_AT_ONCE) {
            tokio::task::yield_now().await;
        }
    }
}

/// Says, when the loop ends, that nothing is brought any more.
struct End<'a>(&'a Lane);

impl Drop for End<'_> {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting();
        waiting.is_over = true;
        waiting.work.clear();
    }
}

/// What is done in one turn.
struct Turn {
    rounds: Vec<Round>,
    marks: Vec<oneshot::Sender<()>>,
}

/// What is due to the listeners of one topic.
struct Round {
    to: Listeners,
    events: Vec<Live<Frame>>,
    signals: Vec<(Frame, Option<u64>)>,
    head: Option<(Arc<Topic>, Seq)>,
}

impl Turn {
    fn gather(work: Vec<Work>) -> Self {
        let mut turn = Self { rounds: Vec::new(), marks: Vec::new() };
        let mut by_listeners: HashMap<*const Vec<Arc<Mailbox>>, usize> = HashMap::new();
        for work in work {
            let (Work::Event { to, .. } | Work::Signal { to, .. } | Work::Head { to, .. }) = &work else {
                if let Work::Mark(mark) = work {
                    turn.marks.push(mark);
                }
                continue;
            };
            // Who is removed from a channel hears nothing that was said after it: where sessions change what they
            // listen to, nothing overtakes.
            let changes_sessions =
                matches!(&work, Work::Event { publication, .. } if publication.effect != Effect::None);
            if changes_sessions {
                by_listeners.clear();
            }
            // The same list is the same topic; a list that has changed since is a round of its own, after this one.
            let at = *by_listeners.entry(Arc::as_ptr(to)).or_insert_with(|| {
                turn.rounds.push(Round::new(Arc::clone(to)));
                turn.rounds.len() - 1
            });
            turn.rounds[at].add(work);
            if changes_sessions {
                by_listeners.clear();
            }
        }
        turn
    }
}

impl Round {
    fn new(to: Listeners) -> Self {
        Self { to, events: Vec::new(), signals: Vec::new(), head: None }
    }

    fn add(&mut self, work: Work) {
        match work {
            Work::Event { publication, .. } => self.events.push(publication.live().clone()),
            Work::Signal { frame, except, .. } => self.signals.push((frame, except)),
            Work::Head { topic, head, .. } => self.head = Some((topic, head)),
            Work::Mark(_) => {}
        }
    }

    /// Brings it to one of the listeners; answers whether something stands on its wire now.
    fn bring(&self, mailbox: &Mailbox) -> bool {
        let mut is_written = !self.events.is_empty() && mailbox.offer(&self.events);
        for (frame, except) in &self.signals {
            if *except != Some(mailbox.number) {
                is_written |= mailbox.offer_signal(frame);
            }
        }
        if let Some((topic, head)) = &self.head {
            mailbox.put(Mail::Head { topic: Arc::clone(topic), head: *head });
        }
        is_written
    }
}

#[cfg(test)]
mod tests {
    use parlour_store::AppId;
    use parlour_wire::events::Event;
    use parlour_wire::{Cid, ConnectionId, Open, Timestamp};
    use serde_json::json;

    use super::*;
    use crate::gateway::intake::Intake;

    fn mailbox(number: u64) -> Arc<Mailbox> {
        Arc::new(Mailbox::new(number, ConnectionId::parse("c").unwrap(), 1 << 20, Intake::default(), None))
    }

    fn listeners(numbers: impl IntoIterator<Item = u64>) -> Listeners {
        Arc::new(numbers.into_iter().map(mailbox).collect())
    }

    fn work(to: &Listeners, topic: &str, seq: Seq, event: Open<Event>, effect: Effect) -> Work {
        let topic: Topic = topic.parse().unwrap();
        let logged = Logged { app: AppId(1), log_id: 0, topic: topic.clone(), seq, event };
        let publication = Publication::new(Arc::new(logged), Arc::new(topic), effect);
        Work::Event { to: Arc::clone(to), publication: Arc::new(publication) }
    }

    fn said(to: &Listeners, seq: Seq) -> Work {
        work(to, "channel:messaging:general", seq, Open::Unknown(json!({ "type": "said" })), Effect::None)
    }

    fn removed(to: &Listeners) -> Work {
        let cid: Cid = "messaging:general".parse().unwrap();
        let created_at = Timestamp::from_unix_ms(0);
        let effect = Effect::Leave { topic: Arc::new(Topic::Channel(cid.clone())) };
        work(to, "user:bob", 1, Open::Known(Event::RemovedFromChannel { created_at, cid }), effect)
    }

    fn seqs(turn: &Turn) -> Vec<Vec<Seq>> {
        turn.rounds.iter().map(|round| round.events.iter().map(|live| live.seq).collect()).collect()
    }

    #[test]
    fn what_is_due_to_the_same_listeners_goes_out_together() {
        let (general, random) = (listeners([1, 2]), listeners([1, 2]));
        let turn =
            Turn::gather(vec![said(&general, 1), said(&random, 7), said(&general, 2), said(&random, 8)]);
        assert_eq!(seqs(&turn), [[1, 2], [7, 8]]);
    }

    #[test]
    fn nothing_that_was_said_after_a_removal_overtakes_it() {
        let (general, bob) = (listeners([1, 2]), listeners([2]));
        let turn = Turn::gather(vec![said(&general, 5), removed(&bob), said(&general, 6), said(&general, 7)]);
        assert_eq!(seqs(&turn), [vec![5], vec![1], vec![6, 7]]);
    }

    #[test]
    fn each_lane_serves_its_own_and_together_they_serve_all() {
        let mut all: Vec<_> = (0..100).map(mailbox).collect();
        all.sort_by_key(|mailbox| (of(mailbox, 3), mailbox.number));
        let lanes = [0, 1, 2].map(|number| Lane::new(number, 3));
        let served: Vec<u64> = lanes.iter().flat_map(|lane| lane.own(&all)).map(|m| m.number).collect();
        assert!(served.iter().eq(all.iter().map(|m| &m.number)));
        assert!(lanes[1].own(&all).iter().all(|mailbox| mailbox.number % 3 == 1));
    }

    #[tokio::test]
    async fn what_was_handed_out_before_is_there_when_it_has_settled() {
        let lane = Arc::new(Lane::new(0, 1));
        tokio::spawn(Arc::clone(&lane).run());
        let bob = listeners([2]);
        lane.settled().await;
        assert!(lane.put(removed(&bob)));
        lane.settled().await;
        assert_eq!(bob[0].take().mail.len(), 1);
    }

    #[tokio::test]
    async fn a_lane_that_ended_lets_nobody_wait_and_takes_nothing() {
        let lane = Arc::new(Lane::new(0, 1));
        lane.put(removed(&listeners([2])));
        let running = tokio::spawn(Arc::clone(&lane).run());
        running.abort();
        let _ = running.await;
        // It may have been ended before it began.
        drop(End(&lane));
        lane.settled().await;
        assert!(!lane.put(removed(&listeners([2]))));
    }
}
