//! Who listens to what on this node, and the handing out of events to them.
//!
//! Each event is encoded once, if anybody listens at all; all receivers share the bytes; nobody is waited
//! for. Connections are spread over [`Lane`]s, one for each core, and an event is one entry for each lane, however
//! many listen. The hub also looks at the heads: live delivery is only a faster copy of the log, and what it lost is
//! found here, for all sessions with one query.

mod lane;
mod listened;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use parlour_proto::{Effect, Live};
use parlour_store::{AppId, Logged, Store};
use parlour_wire::frames::EventFrame;
use parlour_wire::{Cid, Event, ServerFrame, Timestamp, Topic};

use crate::clock::Clock;
use crate::frame::Frame;
use crate::mailbox::Mailbox;
use crate::profile::Owner;
use crate::standings::changes_standing;
use lane::{Lane, Publication, Work};
use listened::Topics;

/// The local listeners of every topic.
pub(crate) struct Hub {
    topics: Topics,
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

impl Hub {
    pub(crate) fn new(now: Timestamp, lanes: usize) -> Self {
        Self {
            topics: Topics::new(),
            lanes: (0..lanes.max(1)).map(|number| Arc::new(Lane::new(number, lanes.max(1)))).collect(),
            checked_at: AtomicI64::new(now.unix_ms()),
        }
    }

    /// The loops that carry out what is handed to them: each is to be run for as long as the node.
    pub(crate) fn lanes(&self) -> impl Iterator<Item = impl Future<Output = ()> + Send + 'static> {
        self.lanes.iter().map(|lane| Arc::clone(lane).run())
    }

    fn lane_of(&self, mailbox: &Mailbox) -> &Lane {
        &self.lanes[lane::of(mailbox, self.lanes.len())]
    }

    fn place(&self, mailboxes: &[Arc<Mailbox>], mailbox: &Mailbox) -> Result<usize, usize> {
        let key = |mailbox: &Mailbox| (lane::of(mailbox, self.lanes.len()), mailbox.number);
        mailboxes.binary_search_by_key(&key(mailbox), |other| key(other))
    }

    /// The topic by the name that all share, in the places of sessions as here: one name is as much memory as some
    /// places.
    pub(crate) fn share(&self, app: AppId, topic: Topic) -> Arc<Topic> {
        self.topics.enter(app, Arc::new(topic), |listened| Arc::clone(listened.topic()))
    }

    /// From now on, the mailbox gets every event of the topic.
    pub(crate) fn attach(&self, app: AppId, topic: &Arc<Topic>, mailbox: &Arc<Mailbox>) {
        self.topics.enter(app, Arc::clone(topic), |listened| {
            if let Err(at) = self.place(&listened.mailboxes, mailbox) {
                listened.insert(at, Arc::clone(mailbox));
            }
        });
    }

    /// From now on, it gets none.
    pub(crate) fn detach(&self, app: AppId, topic: &Topic, mailbox: &Mailbox) {
        self.topics.leave(app, topic, |listened| {
            if let Ok(at) = self.place(&listened.mailboxes, mailbox) {
                Arc::make_mut(&mut listened.mailboxes).remove(at);
            }
        });
    }

    /// How many users listen to the topic on this node, but for those who wish to be seen by nobody.
    pub(crate) fn watchers(&self, app: AppId, topic: &Topic) -> u64 {
        // Shared, not looked through while others wait for the topic.
        let listening = self.topics.with(app, topic, |listened| Arc::clone(&listened.mailboxes));
        let Some(mailboxes) = listening else { return 0 };
        let seen = mailboxes.iter().filter_map(|mailbox| mailbox.owner()).filter(|owner| owner.is_seen());
        let mut users: Vec<usize> = seen.map(Owner::key).collect();
        users.sort_unstable();
        users.dedup();
        users.len() as u64
    }

    /// Hands an event to all who listen to its topic.
    pub(crate) fn deliver(&self, logged: &Arc<Logged>) {
        let effect = self.effect(logged);
        self.topics.with(logged.app, &logged.topic, |listened| {
            let topic = Arc::clone(listened.topic());
            let publication = Arc::new(Publication::new(Arc::clone(logged), topic, effect));
            let to = &listened.mailboxes;
            let work = || Work::Event { to: Arc::clone(to), publication: Arc::clone(&publication) };
            // What a lane has no room for is as good as never published: the head check will find it.
            if self.hand_out(to, work) {
                listened.announced = listened.announced.max(logged.seq);
            }
        });
    }

    /// Hands a signal to all who listen to the topic, but for the connection that sent it.
    pub(crate) fn signal(&self, app: AppId, topic: &Topic, frame: &Frame, except: Option<u64>) {
        self.topics.with(app, topic, |listened| {
            let to = &listened.mailboxes;
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
        let listened = self.topics.all();
        let asked = listened.iter().map(|(app, topic, _)| (*app, Topic::clone(topic))).collect();
        let heads = store.heads(asked).await?;
        let (mut log, mut all_told) = (Log::GoesOn, true);
        for ((app, topic, announced), head) in listened.into_iter().zip(heads) {
            self.topics.with(app, &topic, |listened| {
                // What was announced before the look was in the log before it.
                if head < announced {
                    log = Log::WentBack;
                    listened.announced = head;
                    return;
                }
                if head <= listened.announced {
                    return;
                }
                let to = &listened.mailboxes;
                if self.hand_out(to, || Work::Head { to: Arc::clone(to), topic: Arc::clone(&topic), head }) {
                    listened.announced = head;
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
    /// An event that was loaded, as all its receivers get it.
    pub(crate) fn loaded(&self, logged: &Logged, topic: &Arc<Topic>) -> Live<Frame> {
        encode(logged, topic, self.effect(logged))
    }

    /// What an event of a user's topic does to the sessions of that user.
    fn effect(&self, logged: &Logged) -> Effect {
        let channel = |cid: &Cid| self.share(logged.app, Topic::Channel(cid.clone()));
        match logged.event.known() {
            Some(Event::AddedToChannel { cid, seq, .. }) => Effect::Join { topic: channel(cid), seq: *seq },
            Some(Event::RemovedFromChannel { cid, .. }) => Effect::Leave { topic: channel(cid) },
            Some(event) if changes_standing(event) => Effect::Review,
            _ => Effect::None,
        }
    }
}

/// The event as all its receivers get it.
pub(crate) fn encode(logged: &Logged, topic: &Arc<Topic>, effect: Effect) -> Live<Frame> {
    let frame = ServerFrame::Event(Box::new(EventFrame {
        topic: logged.topic.clone(),
        seq: logged.seq,
        event: logged.event.clone(),
    }));
    Live { topic: Arc::clone(topic), seq: logged.seq, frame: Frame::new(&frame), effect }
}
