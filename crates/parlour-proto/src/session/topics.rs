//! The topics that a session listens to, each with its place.
//!
//! Per topic at most one load is under way, so that an answer needs no number to be told from another.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

use parlour_wire::frames::{CURSORS_MAX, ResetReason, Resume, Resumed, ServerFrame, WatchTopic};
use parlour_wire::{Epoch, ErrorBody, ErrorCode, Seq, Topic};

use super::{Effect, Live, Load, SessionOutput, TopicStart};
use crate::{Cursor, Millis, Offer};

/// Topics that one connection may watch beside those it listens to by right.
const WATCHED_MAX: usize = 300;
/// When a load failed or brought nothing, it is tried again after this many milliseconds, also where no head
/// check comes by.
const RETRY_MS: Millis = 1_000;

#[derive(Default)]
pub(super) struct Topics {
    places: Places,
    /// Topics about which `Watch` was asked.
    asked: BTreeMap<Topic, Asked>,
    /// When a time here comes, the stalled topic is loaded again. In order of time; those that are no longer
    /// stalled are passed over.
    retries: VecDeque<(Millis, Topic)>,
    /// The user's own topic, and the last of its events whose effect is in force.
    own: Option<(Topic, Cursor)>,
    replay_max: u64,
}

/// The places, in the order of their topics. A row as long as it has to be: most connections have few topics, and
/// there are many connections.
#[derive(Default)]
struct Places(Vec<(Topic, Place)>);

impl Places {
    fn at(&self, topic: &Topic) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| other.cmp(topic))
    }

    fn get(&self, topic: &Topic) -> Option<&Place> {
        self.at(topic).ok().map(|at| &self.0[at].1)
    }

    fn get_mut(&mut self, topic: &Topic) -> Option<&mut Place> {
        self.at(topic).ok().map(|at| &mut self.0[at].1)
    }

    fn insert(&mut self, topic: Topic, place: Place) {
        match self.at(&topic) {
            Ok(at) => self.0[at].1 = place,
            Err(at) => {
                // One at a time: the next may never come.
                self.0.reserve_exact(1);
                self.0.insert(at, (topic, place));
            }
        }
    }

    fn remove(&mut self, topic: &Topic) {
        if let Ok(at) = self.at(topic) {
            self.0.remove(at);
        }
    }

    fn values(&self) -> impl Iterator<Item = &Place> {
        self.0.iter().map(|(_, place)| place)
    }
}

enum Place {
    Attached(Attachment),
    /// No longer listened to, but the answer to a load is still to come.
    Left,
}

struct Attachment {
    cursor: Cursor,
    feed: Feed,
    right: Right,
}

/// Why a session listens to a topic.
#[derive(PartialEq)]
enum Right {
    Own,
    Watched,
}

/// Where the next event of a topic comes from. `heard` is the last seq that is known to exist.
enum Feed {
    Live,
    Loading {
        heard: Cursor,
        patience: Patience,
    },
    /// A load is under way for a place where the session no longer stands: its answer only says that the next
    /// load may begin.
    Overtaken {
        heard: Cursor,
    },
    Stalled {
        heard: Cursor,
        retry_at: Millis,
        patience: Patience,
    },
}

/// What an answer means that brings nothing, though there is more to come.
#[derive(Clone, Copy)]
enum Patience {
    /// The store looked too early: it is asked once more.
    Full,
    /// It was asked once more: what comes next cannot be had.
    Last,
}

impl Feed {
    fn loading(heard: Cursor) -> Self {
        Self::Loading { heard, patience: Patience::Full }
    }
}

/// What came of a load.
enum Taken {
    /// Something that follows the cursor.
    Some,
    Nothing,
    /// Something, but not what follows the cursor.
    Hole,
}

enum Asked {
    Wanted {
        after: Option<Seq>,
    },
    /// Unwatched before the answer came.
    Unwanted,
}

impl Topics {
    /// Attaches every topic of an admission, where the resume left it. The resets that this takes are part of
    /// the output; the answer says how much could be kept.
    pub(super) fn admit<F>(
        starts: Vec<TopicStart>,
        resume: Option<&Resume>,
        epoch: &Epoch,
        replay_max: u64,
        out: &mut Vec<SessionOutput<F>>,
    ) -> (Self, Resumed) {
        let mut topics = Self { replay_max, ..Self::default() };
        let mut resumed = if resume.is_some() { Resumed::Resumed } else { Resumed::Fresh };
        let mut loads = Vec::new();
        let named: BTreeMap<&Topic, Seq> = resume
            .iter()
            .flat_map(|resume| resume.cursors.iter().take(CURSORS_MAX))
            .map(|(topic, seq)| (topic, *seq))
            .collect();
        let hers: BTreeSet<&Topic> = starts.iter().map(|start| &start.topic).collect();
        for topic in named.keys().filter(|topic| !hers.contains(*topic)) {
            // What else a client names is nobody's business: not even whether it exists.
            if matches!(topic, Topic::Channel(_)) {
                out.push(reset((*topic).clone(), ResetReason::NoAccess, 0));
                resumed = Resumed::CaughtUp;
            }
        }
        topics.places.0.reserve_exact(starts.len());
        for start in starts {
            if matches!(start.topic, Topic::User(_)) {
                topics.own = Some((start.topic.clone(), Cursor::new(start.head)));
            }
            let place = match resume {
                None => Ok(Cursor::new(start.head)),
                Some(resume) if resume.epoch != *epoch => Err(ResetReason::OtherEpoch),
                Some(_) => place_in(&start, named.get(&start.topic)).resume(&start, replay_max),
            };
            let cursor = place.unwrap_or_else(|reason| {
                out.push(reset(start.topic.clone(), reason, start.head));
                resumed = Resumed::CaughtUp;
                Cursor::new(start.head)
            });
            out.push(SessionOutput::Attach(start.topic.clone()));
            let mut feed = Feed::Live;
            if cursor.is_behind(start.head) {
                loads.push(topics.load(&start.topic, cursor));
                feed = Feed::loading(Cursor::new(start.head));
            }
            topics
                .places
                .insert(start.topic, Place::Attached(Attachment { cursor, feed, right: Right::Own }));
        }
        out.append(&mut loads);
        out.push(SessionOutput::LookAtHeads);
        (topics, resumed)
    }

    /// Whether everything that was heard of has been sent.
    pub(super) fn all_live(&self) -> bool {
        self.places.values().all(|place| match place {
            Place::Attached(at) => matches!(at.feed, Feed::Live),
            Place::Left => true,
        })
    }

    pub(super) fn listens_to(&self, topic: &Topic) -> bool {
        matches!(self.places.get(topic), Some(Place::Attached(_)))
    }

    pub(super) fn deadline(&self) -> Option<Millis> {
        self.retries.front().map(|(at, _)| *at)
    }

    /// The run of events that follow the cursor of a topic to which the session listens and that changes nothing else.
    pub(super) fn pass<F>(&mut self, events: &[Live<F>]) -> Range<usize> {
        let Some(Live { topic, .. }) = events.first() else { return 0..0 };
        // What happens to the user or the app may change more.
        if !matches!(topic, Topic::Channel(_)) {
            return 0..0;
        }
        let Some(Place::Attached(Attachment { cursor, feed: Feed::Live, .. })) = self.places.get_mut(topic)
        else {
            return 0..0;
        };
        let mut run = 0..0;
        for (at, event) in events.iter().enumerate() {
            match cursor.offer(event.seq) {
                Offer::Next => run.end = at + 1,
                Offer::Seen if run.is_empty() => run = at + 1..at + 1,
                Offer::Seen | Offer::Gap => break,
            }
        }
        run
    }

    pub(super) fn live<F>(&mut self, event: Live<F>, out: &mut Vec<SessionOutput<F>>) {
        let Some(Place::Attached(at)) = self.places.get_mut(&event.topic) else { return };
        match &mut at.feed {
            Feed::Live => match at.cursor.offer(event.seq) {
                Offer::Next => self.pass_on(event, out),
                Offer::Seen => {}
                Offer::Gap => {
                    at.feed = Feed::loading(Cursor::new(event.seq));
                    let after = at.cursor;
                    out.push(self.load(&event.topic, after));
                }
            },
            Feed::Loading { heard, .. } | Feed::Overtaken { heard } | Feed::Stalled { heard, .. } => {
                heard.raise(event.seq);
            }
        }
    }

    pub(super) fn head<F>(&mut self, topic: Topic, head: Seq, out: &mut Vec<SessionOutput<F>>) {
        let Some(Place::Attached(at)) = self.places.get_mut(&topic) else { return };
        match &mut at.feed {
            Feed::Live if !at.cursor.is_behind(head) => return,
            Feed::Live => at.feed = Feed::loading(Cursor::new(head)),
            Feed::Loading { heard, .. } | Feed::Overtaken { heard } => {
                heard.raise(head);
                return;
            }
            Feed::Stalled { heard, patience, .. } => {
                let (mut heard, patience) = (*heard, *patience);
                heard.raise(head);
                at.feed = Feed::Loading { heard, patience };
            }
        }
        let after = at.cursor;
        out.push(self.load(&topic, after));
    }

    pub(super) fn loaded<F>(
        &mut self,
        now: Millis,
        topic: Topic,
        load: Load<F>,
        out: &mut Vec<SessionOutput<F>>,
    ) {
        let at = match self.places.get_mut(&topic) {
            Some(Place::Attached(at)) => at,
            Some(Place::Left) => {
                self.places.remove(&topic);
                return;
            }
            None => return,
        };
        match (&at.feed, load) {
            (Feed::Live | Feed::Stalled { .. }, _) => {}
            (Feed::Overtaken { heard }, _) => {
                let heard = *heard;
                self.go_on(&topic, heard, out);
            }
            (Feed::Loading { heard, patience }, Load::Events { events, head }) => {
                let (mut heard, patience) = (*heard, *patience);
                heard.raise(head);
                match self.take(&topic, events, out) {
                    Taken::Some => self.go_on(&topic, heard, out),
                    Taken::Nothing if !self.is_behind(&topic, heard) => self.go_on(&topic, heard, out),
                    Taken::Nothing => match patience {
                        Patience::Last if self.is_behind(&topic, Cursor::new(head)) => {
                            self.reset(now, &topic, ResetReason::Trimmed, head, heard, out);
                        }
                        Patience::Full | Patience::Last => self.stall(now, &topic, heard, Patience::Last),
                    },
                    Taken::Hole => self.reset(now, &topic, ResetReason::Trimmed, head, heard, out),
                }
            }
            (Feed::Loading { heard, .. }, Load::Trimmed { head }) => {
                let heard = *heard;
                self.reset(now, &topic, ResetReason::Trimmed, head, heard, out);
            }
            (Feed::Loading { .. }, Load::NoAccess) => {
                out.push(reset(topic.clone(), ResetReason::NoAccess, 0));
                out.push(SessionOutput::Detach(topic.clone()));
                self.places.remove(&topic);
            }
            (Feed::Loading { heard, patience }, Load::Failed) => {
                let (heard, patience) = (*heard, *patience);
                self.stall(now, &topic, heard, patience);
            }
        }
    }

    /// Loads again what has waited long enough.
    pub(super) fn tick<F>(&mut self, now: Millis, out: &mut Vec<SessionOutput<F>>) {
        while let Some((_, topic)) = self.retries.pop_front_if(|(at, _)| *at <= now) {
            let Some(Place::Attached(at)) = self.places.get_mut(&topic) else { continue };
            let Feed::Stalled { heard, retry_at, patience } = at.feed else { continue };
            if retry_at <= now {
                at.feed = Feed::Loading { heard, patience };
                let after = at.cursor;
                out.push(self.load(&topic, after));
            }
        }
    }

    pub(super) fn watch<F>(&mut self, wanted: Vec<WatchTopic>, out: &mut Vec<SessionOutput<F>>) {
        let mut watched = self.asked.len()
            + self
                .places
                .values()
                .filter(|p| matches!(p, Place::Attached(at) if at.right == Right::Watched))
                .count();
        for WatchTopic { topic, after } in wanted {
            if self.listens_to(&topic) {
                if let Some(after) = after {
                    self.rewind(&topic, after, out);
                }
            } else if let Some(asked) = self.asked.get_mut(&topic) {
                *asked = Asked::Wanted { after };
            } else if !matches!(topic, Topic::Channel(_)) {
                out.push(refused(ErrorCode::NotAllowed.because("only channels can be watched"), topic));
            } else if watched >= WATCHED_MAX {
                let message = format!("a connection watches at most {WATCHED_MAX} channels");
                out.push(refused(ErrorCode::InvalidInput.because(message), topic));
            } else {
                watched += 1;
                self.asked.insert(topic.clone(), Asked::Wanted { after });
                out.push(SessionOutput::Watch(topic));
            }
        }
    }

    pub(super) fn watched<F>(&mut self, start: TopicStart, out: &mut Vec<SessionOutput<F>>) {
        let Some(Asked::Wanted { after }) = self.asked.remove(&start.topic) else { return };
        if self.listens_to(&start.topic) {
            // She joined in the meantime.
            if let Some(after) = after {
                self.rewind(&start.topic, after, out);
            }
            return;
        }
        let place = after
            .map_or(Ok(Cursor::new(start.head)), |after| Cursor::new(after).resume(&start, self.replay_max));
        let cursor = place.unwrap_or_else(|reason| {
            out.push(reset(start.topic.clone(), reason, start.head));
            Cursor::new(start.head)
        });
        self.attach(&start.topic, cursor, Cursor::new(start.head), Right::Watched, out);
    }

    pub(super) fn watch_refused<F>(
        &mut self,
        topic: Topic,
        error: ErrorBody,
        out: &mut Vec<SessionOutput<F>>,
    ) {
        if let Some(Asked::Wanted { .. }) = self.asked.remove(&topic) {
            out.push(refused(error, topic));
        }
    }

    pub(super) fn unwatch<F>(&mut self, topic: Topic, out: &mut Vec<SessionOutput<F>>) {
        if let Some(asked) = self.asked.get_mut(&topic) {
            *asked = Asked::Unwanted;
        }
        if matches!(self.places.get(&topic), Some(Place::Attached(at)) if at.right == Right::Watched) {
            self.detach(topic, out);
        }
    }

    /// Sends an event that is the next of its topic, and applies what it does to the user's sessions.
    fn pass_on<F>(&mut self, event: Live<F>, out: &mut Vec<SessionOutput<F>>) {
        out.push(SessionOutput::SendShared(event.frame));
        if event.effect == Effect::Review && !matches!(event.topic, Topic::Channel(_)) {
            // Asked once too often does no harm: also for what is replayed, and in the app's topic.
            out.push(SessionOutput::Review);
            return;
        }
        let Some((own, in_force)) = &mut self.own else { return };
        // What happened before the admission is in its topics; what is replayed for a client's sake is done.
        if *own != event.topic || !in_force.is_behind(event.seq) {
            return;
        }
        in_force.raise(event.seq);
        match event.effect {
            Effect::None | Effect::Review => {}
            Effect::Join { topic, seq } => self.join(topic, seq, out),
            Effect::Leave { topic } => self.detach(topic, out),
        }
    }

    fn join<F>(&mut self, topic: Topic, seq: Seq, out: &mut Vec<SessionOutput<F>>) {
        if let Some(Place::Attached(at)) = self.places.get_mut(&topic) {
            at.right = Right::Own;
            return;
        }
        // The event `seq` exists, and the hub may have passed it by before this session listened.
        self.attach(&topic, Cursor::new(seq.saturating_sub(1)), Cursor::new(seq), Right::Own, out);
    }

    fn attach<F>(
        &mut self,
        topic: &Topic,
        cursor: Cursor,
        heard: Cursor,
        right: Right,
        out: &mut Vec<SessionOutput<F>>,
    ) {
        out.push(SessionOutput::Attach(topic.clone()));
        // An answer that is still to come from before the topic was left must not be taken for a new one.
        let answer_to_come = matches!(self.places.get(topic), Some(Place::Left));
        let feed = if answer_to_come { Feed::Overtaken { heard } } else { Feed::Live };
        self.places.insert(topic.clone(), Place::Attached(Attachment { cursor, feed, right }));
        if !answer_to_come {
            self.go_on(topic, heard, out);
        }
    }

    fn detach<F>(&mut self, topic: Topic, out: &mut Vec<SessionOutput<F>>) {
        let Some(place) = self.places.get_mut(&topic) else { return };
        let Place::Attached(at) = place else { return };
        out.push(SessionOutput::Detach(topic.clone()));
        match at.feed {
            Feed::Loading { .. } | Feed::Overtaken { .. } => *place = Place::Left,
            Feed::Live | Feed::Stalled { .. } => {
                self.places.remove(&topic);
            }
        }
    }

    /// Goes back to `after`: how a client repairs a hole that it found.
    fn rewind<F>(&mut self, topic: &Topic, after: Seq, out: &mut Vec<SessionOutput<F>>) {
        let Some(Place::Attached(at)) = self.places.get_mut(topic) else { return };
        let (sent, back) = (at.cursor, Cursor::new(after));
        if !back.is_behind(sent.last()) {
            return;
        }
        if back.missing(sent.last()) > self.replay_max {
            out.push(reset(topic.clone(), ResetReason::TooFarBehind, sent.last()));
            return;
        }
        at.cursor = back;
        match at.feed {
            Feed::Live => self.go_on(topic, sent, out),
            Feed::Loading { heard, .. } => at.feed = Feed::Overtaken { heard },
            Feed::Overtaken { .. } | Feed::Stalled { .. } => {}
        }
    }

    /// Takes what a load brought, as far as it follows the cursor.
    fn take<F>(&mut self, topic: &Topic, events: Vec<Live<F>>, out: &mut Vec<SessionOutput<F>>) -> Taken {
        let Some(Place::Attached(at)) = self.places.get(topic) else { return Taken::Nothing };
        let before = at.cursor;
        let mut cursor = before;
        for event in events {
            match cursor.offer(event.seq) {
                Offer::Next => self.pass_on(event, out),
                Offer::Seen => {}
                // The store has what comes later, but not what comes next: it will not come.
                Offer::Gap if cursor == before => return Taken::Hole,
                Offer::Gap => break,
            }
        }
        if let Some(Place::Attached(at)) = self.places.get_mut(topic) {
            at.cursor = cursor;
        }
        if cursor == before { Taken::Nothing } else { Taken::Some }
    }

    fn is_behind(&self, topic: &Topic, heard: Cursor) -> bool {
        matches!(self.places.get(topic), Some(Place::Attached(at)) if at.cursor.is_behind(heard.last()))
    }

    /// Loads what is still missing, or else listens to what is live.
    fn go_on<F>(&mut self, topic: &Topic, heard: Cursor, out: &mut Vec<SessionOutput<F>>) {
        let Some(Place::Attached(at)) = self.places.get_mut(topic) else { return };
        if at.cursor.is_behind(heard.last()) {
            at.feed = Feed::loading(heard);
            let after = at.cursor;
            out.push(self.load(topic, after));
        } else {
            at.feed = Feed::Live;
        }
    }

    /// Says that what comes next cannot be had, and goes on after `head`.
    fn reset<F>(
        &mut self,
        now: Millis,
        topic: &Topic,
        reason: ResetReason,
        head: Seq,
        heard: Cursor,
        out: &mut Vec<SessionOutput<F>>,
    ) {
        let Some(Place::Attached(at)) = self.places.get_mut(topic) else { return };
        if at.cursor == Cursor::new(head) {
            // The store contradicts itself; asking again at once would spin.
            self.stall(now, topic, heard, Patience::Full);
            return;
        }
        at.cursor = Cursor::new(head);
        out.push(reset(topic.clone(), reason, head));
        self.go_on(topic, heard, out);
    }

    fn stall(&mut self, now: Millis, topic: &Topic, heard: Cursor, patience: Patience) {
        let Some(Place::Attached(at)) = self.places.get_mut(topic) else { return };
        let retry_at = now + RETRY_MS;
        at.feed = Feed::Stalled { heard, retry_at, patience };
        self.retries.push_back((retry_at, topic.clone()));
    }

    fn load<F>(&self, topic: &Topic, after: Cursor) -> SessionOutput<F> {
        SessionOutput::Load { topic: topic.clone(), after: after.last(), limit: self.replay_max }
    }
}

/// Where a client that comes back stands in a topic: where it says, or else where it stood at its last head
/// check. A place that is not known is before everything.
fn place_in(start: &TopicStart, named: Option<&Seq>) -> Cursor {
    Cursor::new(named.copied().or(start.as_of_seq).unwrap_or(0))
}

fn reset<F>(topic: Topic, reason: ResetReason, head: Seq) -> SessionOutput<F> {
    SessionOutput::Send(Box::new(ServerFrame::Reset { topic, reason, head }))
}

fn refused<F>(error: ErrorBody, topic: Topic) -> SessionOutput<F> {
    SessionOutput::Send(Box::new(ServerFrame::Error { error, topic: Some(topic) }))
}
