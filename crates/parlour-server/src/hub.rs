//! Who listens to what on this node, and the handing out of events to them.
//!
//! Each event is encoded once, if anybody listens at all; all receivers share the bytes; nobody is waited
//! for. Connections are spread over [`Lane`]s, one for each core, and an event is one entry for each lane, however
//! many listen. The hub also looks at the heads: live delivery is only a faster copy of the log, and what it lost is
//! found here, for all sessions with one query.

mod lane;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use parlour_proto::{Effect, Live};
use parlour_store::{AppId, Logged, Store};
use parlour_wire::frames::EventFrame;
use parlour_wire::{Event, Open, Seq, ServerFrame, Timestamp, Topic};

use crate::clock::Clock;
use crate::frame::Frame;
use crate::mailbox::Mailbox;
use crate::profile::Owner;
use crate::standings::changes_standing;
use lane::{Lane, Publication, Work};

const SHARDS: usize = 16;

/// The local listeners of every topic.
pub(crate) struct Hub {
    shards: [Mutex<HashMap<(AppId, Topic), Listeners>>; SHARDS],
    hasher: RandomState,
    lanes: Vec<Arc<Lane>>,
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
    /// By lane, then by number: in the order in which they came, the same in every run of a simulation. Shared with
    /// the lanes while they work on it.
    mailboxes: Arc<Vec<Arc<Mailbox>>>,
    /// The highest seq that was handed out or announced; 0 until the first.
    announced: Seq,
}

impl Hub {
    pub(crate) fn new(now: Timestamp, lanes: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            lanes: (0..lanes.max(1)).map(|number| Arc::new(Lane::new(number, lanes.max(1)))).collect(),
            checked_at: AtomicI64::new(now.unix_ms()),
        }
    }

    /// The loops that carry out what is handed to them: each is to be run for as long as the node.
    pub(crate) fn lanes(&self) -> impl Iterator<Item = impl Future<Output = ()> + Send + 'static> {
        self.lanes.iter().map(|lane| Arc::clone(lane).run())
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

    fn lane_of(&self, mailbox: &Mailbox) -> &Lane {
        &self.lanes[lane::of(mailbox, self.lanes.len())]
    }

    fn place(&self, mailboxes: &[Arc<Mailbox>], mailbox: &Mailbox) -> Result<usize, usize> {
        let key = |mailbox: &Mailbox| (lane::of(mailbox, self.lanes.len()), mailbox.number);
        mailboxes.binary_search_by_key(&key(mailbox), |other| key(other))
    }

    /// From now on, the mailbox gets every event of the topic.
    pub(crate) fn attach(&self, app: AppId, topic: &Topic, mailbox: &Arc<Mailbox>) {
        let key = (app, topic.clone());
        self.with_shard(&key.clone(), |topics| {
            let mailboxes = &mut topics.entry(key).or_default().mailboxes;
            if let Err(at) = self.place(mailboxes, mailbox) {
                Arc::make_mut(mailboxes).insert(at, Arc::clone(mailbox));
            }
        });
    }

    /// From now on, it gets none.
    pub(crate) fn detach(&self, app: AppId, topic: &Topic, mailbox: &Mailbox) {
        let key = (app, topic.clone());
        self.with_shard(&key, |topics| {
            let Some(listeners) = topics.get_mut(&key) else { return };
            if let Ok(at) = self.place(&listeners.mailboxes, mailbox) {
                Arc::make_mut(&mut listeners.mailboxes).remove(at);
            }
            if listeners.mailboxes.is_empty() {
                topics.remove(&key);
            }
        });
    }

    /// How many users listen to the topic on this node, but for those who wish to be seen by nobody.
    pub(crate) fn watchers(&self, app: AppId, topic: Topic) -> u64 {
        let key = (app, topic);
        // Shared, not looked through while others wait for the shard.
        let listening = self
            .with_shard(&key, |topics| topics.get(&key).map(|listeners| Arc::clone(&listeners.mailboxes)));
        let Some(mailboxes) = listening else { return 0 };
        let seen = mailboxes.iter().filter_map(|mailbox| mailbox.owner()).filter(|owner| owner.is_seen());
        let mut users: Vec<usize> = seen.map(Owner::key).collect();
        users.sort_unstable();
        users.dedup();
        users.len() as u64
    }

    /// Hands an event to all who listen to its topic.
    pub(crate) fn deliver(&self, logged: &Arc<Logged>) {
        let key = (logged.app, logged.topic.clone());
        self.with_shard(&key, |topics| {
            let Some(listeners) = topics.get_mut(&key) else { return };
            let publication = Arc::new(Publication::new(Arc::clone(logged)));
            let to = &listeners.mailboxes;
            let work = || Work::Event { to: Arc::clone(to), publication: Arc::clone(&publication) };
            // What a lane has no room for is as good as never published: the head check will find it.
            if self.hand_out(to, work) {
                listeners.announced = listeners.announced.max(logged.seq);
            }
        });
    }

    /// Hands a signal to all who listen to the topic, but for the connection that sent it.
    pub(crate) fn signal(&self, app: AppId, topic: &Topic, frame: &Frame, except: Option<u64>) {
        let key = (app, topic.clone());
        self.with_shard(&key, |topics| {
            let Some(Listeners { mailboxes: to, .. }) = topics.get(&key) else { return };
            self.hand_out(to, || Work::Signal { to: Arc::clone(to), frame: frame.clone(), except });
        });
    }

    /// Gives work to each lane that has listeners among these; answers whether all had room for it.
    fn hand_out(&self, to: &[Arc<Mailbox>], work: impl Fn() -> Work) -> bool {
        let mut had_room = true;
        for lane in self.lanes.iter().filter(|lane| !lane.own(to).is_empty()) {
            had_room &= lane.put(work());
        }
        had_room
    }

    /// Returns when everything that was handed out before for this connection is with it.
    pub(crate) async fn settled(&self, mailbox: &Mailbox) {
        self.lane_of(mailbox).settled().await;
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
        let (mut log, mut all_told) = (Log::GoesOn, true);
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
                let to = &listeners.mailboxes;
                let topic = &key.1;
                if self.hand_out(to, || Work::Head { to: Arc::clone(to), topic: topic.clone(), head }) {
                    listeners.announced = head;
                } else {
                    all_told = false;
                }
            });
        }
        // What was published or announced before this is with the connections before they hear of the check.
        for lane in &self.lanes {
            lane.settled().await;
        }
        if all_told {
            self.checked_at.store(as_of.unix_ms(), Ordering::Release);
        }
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
        frame: Frame::new(&frame),
        effect: effect(&logged.event),
    }
}

/// What an event of a user's topic does to the sessions of that user.
fn effect(event: &Open<Event>) -> Effect {
    match event.known() {
        Some(Event::AddedToChannel { cid, seq, .. }) => {
            Effect::Join { topic: Topic::Channel(cid.clone()), seq: *seq }
        }
        Some(event) if changes_standing(event) => Effect::Review,
        Some(Event::RemovedFromChannel { cid, .. }) => Effect::Leave { topic: Topic::Channel(cid.clone()) },
        _ => Effect::None,
    }
}
