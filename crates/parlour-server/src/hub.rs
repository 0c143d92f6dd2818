//! Who listens to what on this node, and the handing out of events to them.
//!
//! Each event is encoded once, if anybody listens at all; all receivers share the bytes; nobody is waited
//! for. The hub also looks at the heads: live delivery is only a faster copy of the log, and what it lost is
//! found here, for all sessions with one query.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use parlour_proto::{Effect, Live};
use parlour_store::{AppId, Logged, Store};
use parlour_wire::frames::EventFrame;
use parlour_wire::{Event, Open, Seq, ServerFrame, Timestamp, Topic};

use crate::clock::Clock;
use crate::mailbox::{Frame, Mail, Mailbox};

const SHARDS: usize = 16;

/// The local listeners of every topic.
pub(crate) struct Hub {
    shards: [Mutex<HashMap<(AppId, Topic), Listeners>>; SHARDS],
    hasher: RandomState,
    /// The time of the last completed head check, in Unix milliseconds.
    checked_at: AtomicI64,
}

/// What a look at the heads says of the log as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Log {
    GoesOn,
    /// Events that were told are no longer in it: cursors of live sessions are ahead, and what comes next would be
    /// taken for what they have.
    WentBack,
}

#[derive(Default)]
struct Listeners {
    /// By number: in the order in which they came, the same in every run of a simulation.
    mailboxes: BTreeMap<u64, Arc<Mailbox>>,
    /// The highest seq that was handed out or announced; 0 until the first.
    announced: Seq,
}

impl Hub {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            checked_at: AtomicI64::new(now.unix_ms()),
        }
    }

    fn with_shard<T>(
        &self,
        key: &(AppId, Topic),
        act: impl FnOnce(&mut HashMap<(AppId, Topic), Listeners>) -> T,
    ) -> T {
        // Truncation is fine: any bits of the hash will do.
        #[expect(clippy::cast_possible_truncation, reason = "the hash only picks a shard")]
        let shard = self.hasher.hash_one(key) as usize % SHARDS;
        act(&mut self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on, the mailbox gets every event of the topic.
    pub(crate) fn attach(&self, app: AppId, topic: &Topic, mailbox: &Arc<Mailbox>) {
        let key = (app, topic.clone());
        self.with_shard(&key.clone(), |topics| {
            topics.entry(key).or_default().mailboxes.insert(mailbox.number, Arc::clone(mailbox));
        });
    }

    /// From now on, it gets none.
    pub(crate) fn detach(&self, app: AppId, topic: &Topic, mailbox: &Mailbox) {
        let key = (app, topic.clone());
        self.with_shard(&key, |topics| {
            if let Some(listeners) = topics.get_mut(&key) {
                listeners.mailboxes.remove(&mailbox.number);
                if listeners.mailboxes.is_empty() {
                    topics.remove(&key);
                }
            }
        });
    }

    /// Hands an event to all who listen to its topic.
    pub(crate) fn deliver(&self, logged: &Logged) {
        let key = (logged.app, logged.topic.clone());
        self.with_shard(&key, |topics| {
            let Some(listeners) = topics.get_mut(&key) else { return };
            listeners.announced = listeners.announced.max(logged.seq);
            let live = encode(logged);
            let changed = match logged.event.known() {
                Some(Event::UserUpdated { user, .. }) => Some(Arc::new(user.clone())),
                _ => None,
            };
            for mailbox in listeners.mailboxes.values() {
                if let Some(user) = &changed {
                    mailbox.put(Mail::UserChanged(Arc::clone(user)));
                }
                mailbox.put(Mail::Live(live.clone()));
            }
        });
    }

    /// Hands a signal to all who listen to the topic, but for the connection that sent it.
    pub(crate) fn signal(&self, app: AppId, topic: &Topic, frame: &Frame, except: Option<u64>) {
        let key = (app, topic.clone());
        self.with_shard(&key, |topics| {
            let Some(listeners) = topics.get(&key) else { return };
            for mailbox in listeners.mailboxes.values().filter(|mailbox| Some(mailbox.number) != except) {
                mailbox.put(Mail::Signal(frame.clone()));
            }
        });
    }

    /// When everything up to this moment had been handed out, or announced as a head.
    pub(crate) fn checked_at(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.checked_at.load(Ordering::Acquire))
    }

    /// Looks once at the heads of all topics with local listeners, and tells those whose topic has moved on.
    pub(crate) async fn check_heads(&self, store: &dyn Store, clock: &Clock) -> parlour_store::Result<Log> {
        let as_of = clock.now();
        let mut listened: Vec<((AppId, Topic), Seq)> = self
            .shards
            .iter()
            .flat_map(|shard| {
                let topics = shard.lock().unwrap_or_else(PoisonError::into_inner);
                topics.iter().map(|(key, listeners)| (key.clone(), listeners.announced)).collect::<Vec<_>>()
            })
            .collect();
        // The maps' own order differs from run to run; what is told to whom first should not.
        listened.sort_unstable();
        let heads = store.heads(listened.iter().map(|(key, _)| key.clone()).collect()).await?;
        let mut log = Log::GoesOn;
        for ((key, announced), head) in listened.into_iter().zip(heads) {
            self.with_shard(&key, |topics| {
                let Some(listeners) = topics.get_mut(&key) else { return };
                // What was announced before the look was in the log before it.
                if head < announced {
                    log = Log::WentBack;
                    listeners.announced = head;
                    return;
                }
                if head <= listeners.announced {
                    return;
                }
                listeners.announced = head;
                for mailbox in listeners.mailboxes.values() {
                    mailbox.put(Mail::Head { topic: key.1.clone(), head });
                }
            });
        }
        self.checked_at.store(as_of.unix_ms(), Ordering::Release);
        Ok(log)
    }
}

/// The event as all its receivers get it.
pub(crate) fn encode(logged: &Logged) -> Live<Frame> {
    let frame = ServerFrame::Event(Box::new(EventFrame {
        topic: logged.topic.clone(),
        seq: logged.seq,
        event: logged.event.clone(),
    }));
    Live {
        topic: logged.topic.clone(),
        seq: logged.seq,
        frame: to_frame(&frame),
        effect: effect(&logged.event),
    }
}

/// A frame as text.
pub(crate) fn to_frame(frame: &ServerFrame) -> Frame {
    let text = serde_json::to_string(frame).expect("frames have string keys and finite numbers only");
    Frame::from(text)
}

/// What an event of a user's topic does to the sessions of that user.
fn effect(event: &Open<Event>) -> Effect {
    match event.known() {
        Some(Event::AddedToChannel { cid, seq, .. }) => {
            Effect::Join { topic: Topic::Channel(cid.clone()), seq: *seq }
        }
        Some(Event::RemovedFromChannel { cid, .. }) => Effect::Leave { topic: Topic::Channel(cid.clone()) },
        _ => Effect::None,
    }
}
