//! The topics that a session listens to, each with its place.
//!
//! Per topic at most one load is under way, so that an answer needs no number to be told from another.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use parlour_wire::frames::{CURSORS_MAX, ResetReason, Resume, Resumed, ServerFrame, WatchTopic};
use parlour_wire::{Epoch, ErrorBody, ErrorCode, Seq, Topic};

use super::rows::Rows;
use super::{Effect, Live, Load, SessionOutput, TopicStart};
use crate::{Cursor, Millis, Offer};

/// Topics that one connection may watch beside those it listens to by right.
const WATCHED_MAX: usize = 300;
/// When a load failed or brought nothing, it is tried again after this many milliseconds, also where no head
/// check comes by.
const RETRY_MS: Millis = 1_000;

#[derive(Default)]
pub(super) struct Topics {
    /// The topics that are attached.
    places: Rows<Cursor>,
    /// Those of them whose next event comes from the store. The others are live.
    feeds: Rows<Feed>,
    /// What the client watches, or asked to, beside what is attached by right.
    watches: Rows<Watch>,
    /// When a time here comes, the stalled topic is loaded again. In order of time; those that are no longer
    /// stalled are passed over.
    retries: VecDeque<(Millis, Arc<Topic>)>,
    /// The user's own topic, and the last of its events whose effect is in force.
    own: Option<(Arc<Topic>, Cursor)>,
    replay_max: u64,
}

/// Where the next event of a topic comes from that is not live. `heard` is the last seq that is known to exist.
enum Feed {
    Loading {
        heard: Cursor,
        patience: Patience,
    },
    /// A load is under way for a place where the session no longer stands, perhaps of a topic that it has left: the
    /// answer only says that the next load may begin.
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

    /// A load that is under way brings nothing any more.
    fn overtake(&mut self) {
        if let Self::Loading { heard, .. } = *self {
            *self = Self::Overtaken { heard };
        }
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

enum Watch {
    /// `Watch` was asked.
    Wanted {
        after: Option<Seq>,
    },
    /// Unwatched before the answer came.
    Unwanted,
    Attached,
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
        let hers: BTreeSet<&Topic> = starts.iter().map(|start| &*start.topic).collect();
        for topic in named.keys().filter(|topic| !hers.contains(*topic)) {
            // What else a client names is nobody's business: not even whether it exists.
            if matches!(topic, Topic::Channel(_)) {
                out.push(reset((*topic).clone(), ResetReason::NoAccess, 0));
                resumed = Resumed::CaughtUp;
            }
        }
        let mut places = Vec::with_capacity(starts.len());
        for start in starts {
            if matches!(*start.topic, Topic::User(_)) {
                topics.own = Some((Arc::clone(&start.topic), Cursor::new(start.head)));
            }
            let place = match resume {
                None => Ok(Cursor::new(start.head)),
                Some(resume) if resume.epoch != *epoch => Err(ResetReason::OtherEpoch),
                Some(_) => place_in(&start, named.get(&*start.topic)).resume(&start, replay_max),
            };
            let cursor = place.unwrap_or_else(|reason| {
                out.push(reset(Topic::clone(&start.topic), reason, start.head));
                resumed = Resumed::CaughtUp;
                Cursor::new(start.head)
            });
            out.push(SessionOutput::Attach(Arc::clone(&start.topic)));
            if cursor.is_behind(start.head) {
                loads.push(topics.load(&start.topic, cursor));
                topics.feeds.insert(Arc::clone(&start.topic), Feed::loading(Cursor::new(start.head)));
            }
            places.push((start.topic, cursor));
        }
        topics.places = places.into_iter().collect();
        out.append(&mut loads);
        out.push(SessionOutput::LookAtHeads);
        (topics, resumed)
    }

    /// What is attached.
    pub(super) fn attached(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.places.topics()
    }

    /// Whether everything that was heard of has been sent.
    pub(super) fn all_live(&self) -> bool {
        !self.feeds.topics().any(|topic| self.listens_to(topic))
    }

    pub(super) fn listens_to(&self, topic: &Topic) -> bool {
        self.places.has(topic)
    }

    pub(super) fn deadline(&self) -> Option<Millis> {
        self.retries.front().map(|(at, _)| *at)
    }

    /// The run of events that follow the cursor of a topic to which the session listens and that changes nothing else.
    pub(super) fn pass<F>(&mut self, events: &[Live<F>]) -> Range<usize> {
        let Some(Live { topic, .. }) = events.first() else { return 0..0 };
        // What happens to the user or the app may change more.
        if !matches!(**topic, Topic::Channel(_)) || self.feeds.has(topic) {
            return 0..0;
        }
        let Some(cursor) = self.places.get_mut(topic) else { return 0..0 };
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
        let Some(cursor) = self.places.get_mut(&event.topic) else { return };
        match self.feeds.get_mut(&event.topic) {
            None => match cursor.offer(event.seq) {
                Offer::Next => self.pass_on(event, out),
                Offer::Seen => {}
                Offer::Gap => self.go_on(&event.topic, Cursor::new(event.seq), out),
            },
            Some(Feed::Loading { heard, .. } | Feed::Overtaken { heard } | Feed::Stalled { heard, .. }) => {
                heard.raise(event.seq);
            }
        }
    }

    pub(super) fn head<F>(&mut self, topic: &Topic, head: Seq, out: &mut Vec<SessionOutput<F>>) {
        if !self.listens_to(topic) {
            return;
        }
        match self.feeds.get_mut(topic) {
            None => self.go_on(topic, Cursor::new(head), out),
            Some(Feed::Loading { heard, .. } | Feed::Overtaken { heard }) => heard.raise(head),
            Some(Feed::Stalled { heard, patience, .. }) => {
                let (mut heard, patience) = (*heard, *patience);
                heard.raise(head);
                self.begin_load(topic, heard, patience, out);
            }
        }
    }

    pub(super) fn loaded<F>(
        &mut self,
        now: Millis,
        topic: &Topic,
        load: Load<F>,
        out: &mut Vec<SessionOutput<F>>,
    ) {
        let (mut heard, patience) = match self.feeds.get(topic) {
            // Nothing was asked.
            None | Some(Feed::Stalled { .. }) => return,
            Some(Feed::Overtaken { heard }) => {
                let heard = *heard;
                self.go_on(topic, heard, out);
                return;
            }
            Some(Feed::Loading { heard, patience }) => (*heard, *patience),
        };
        match load {
            Load::Events { events, head } => {
                heard.raise(head);
                match self.take(topic, events, out) {
                    Taken::Some => self.go_on(topic, heard, out),
                    Taken::Nothing if !self.is_behind(topic, heard) => self.go_on(topic, heard, out),
                    Taken::Nothing => match patience {
                        Patience::Last if self.is_behind(topic, Cursor::new(head)) => {
                            self.reset(now, topic, ResetReason::Trimmed, head, heard, out);
                        }
                        Patience::Full | Patience::Last => self.stall(now, topic, heard, Patience::Last),
                    },
                    Taken::Hole => self.reset(now, topic, ResetReason::Trimmed, head, heard, out),
                }
            }
            Load::Trimmed { head } => self.reset(now, topic, ResetReason::Trimmed, head, heard, out),
            Load::NoAccess => {
                out.push(reset(topic.clone(), ResetReason::NoAccess, 0));
                self.feeds.remove(topic);
                self.detach(topic, out);
            }
            Load::Failed => self.stall(now, topic, heard, patience),
        }
    }

    /// Loads again what has waited long enough.
    pub(super) fn tick<F>(&mut self, now: Millis, out: &mut Vec<SessionOutput<F>>) {
        while let Some((_, topic)) = self.retries.pop_front_if(|(at, _)| *at <= now) {
            let Some(Feed::Stalled { heard, retry_at, patience }) = self.feeds.get(&topic) else { continue };
            if *retry_at <= now {
                let (heard, patience) = (*heard, *patience);
                self.begin_load(&topic, heard, patience, out);
            }
        }
    }

    pub(super) fn watch<F>(&mut self, wanted: Vec<WatchTopic>, out: &mut Vec<SessionOutput<F>>) {
        for WatchTopic { topic, after } in wanted {
            if self.listens_to(&topic) {
                if let Some(after) = after {
                    self.rewind(&topic, after, out);
                }
            } else if let Some(watch) = self.watches.get_mut(&topic) {
                *watch = Watch::Wanted { after };
            } else if !matches!(topic, Topic::Channel(_)) {
                out.push(refused(ErrorCode::NotAllowed.because("only channels can be watched"), topic));
            } else if self.watches.len() >= WATCHED_MAX {
                let message = format!("a connection watches at most {WATCHED_MAX} channels");
                out.push(refused(ErrorCode::InvalidInput.because(message), topic));
            } else {
                let topic = Arc::new(topic);
                self.watches.insert(Arc::clone(&topic), Watch::Wanted { after });
                out.push(SessionOutput::Watch(topic));
            }
        }
    }

    pub(super) fn watched<F>(&mut self, start: TopicStart, out: &mut Vec<SessionOutput<F>>) {
        let Some(Watch::Wanted { after }) = self.answered(&start.topic) else { return };
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
            out.push(reset(Topic::clone(&start.topic), reason, start.head));
            Cursor::new(start.head)
        });
        self.watches.insert(Arc::clone(&start.topic), Watch::Attached);
        self.attach(start.topic, cursor, Cursor::new(start.head), out);
    }

    pub(super) fn watch_refused<F>(
        &mut self,
        topic: &Topic,
        error: ErrorBody,
        out: &mut Vec<SessionOutput<F>>,
    ) {
        if let Some(Watch::Wanted { .. }) = self.answered(topic) {
            out.push(refused(error, topic.clone()));
        }
    }

    /// Takes what was asked and has been answered now.
    fn answered(&mut self, topic: &Topic) -> Option<Watch> {
        match self.watches.get(topic)? {
            Watch::Wanted { .. } | Watch::Unwanted => self.watches.remove(topic).map(|(_, watch)| watch),
            Watch::Attached => None,
        }
    }

    pub(super) fn unwatch<F>(&mut self, topic: &Topic, out: &mut Vec<SessionOutput<F>>) {
        match self.watches.get_mut(topic) {
            Some(watch @ (Watch::Wanted { .. } | Watch::Unwanted)) => *watch = Watch::Unwanted,
            Some(Watch::Attached) => self.detach(topic, out),
            None => {}
        }
    }

    /// What is attached, if it is, is so by right, or not at all.
    fn is_not_watched(&mut self, topic: &Topic) {
        if matches!(self.watches.get(topic), Some(Watch::Attached)) {
            self.watches.remove(topic);
        }
    }

    /// Sends an event that is the next of its topic, and applies what it does to the user's sessions.
    fn pass_on<F>(&mut self, event: Live<F>, out: &mut Vec<SessionOutput<F>>) {
        out.push(SessionOutput::SendShared(event.frame));
        if event.effect == Effect::Review && !matches!(*event.topic, Topic::Channel(_)) {
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
            Effect::Leave { topic } => self.detach(&topic, out),
        }
    }

    fn join<F>(&mut self, topic: Arc<Topic>, seq: Seq, out: &mut Vec<SessionOutput<F>>) {
        if self.listens_to(&topic) {
            self.is_not_watched(&topic);
            return;
        }
        // The event `seq` exists, and the hub may have passed it by before this session listened.
        self.attach(topic, Cursor::new(seq.saturating_sub(1)), Cursor::new(seq), out);
    }

    fn attach<F>(
        &mut self,
        topic: Arc<Topic>,
        cursor: Cursor,
        heard: Cursor,
        out: &mut Vec<SessionOutput<F>>,
    ) {
        out.push(SessionOutput::Attach(Arc::clone(&topic)));
        self.places.insert(Arc::clone(&topic), cursor);
        match self.feeds.get_mut(&topic) {
            // An answer that is still to come from before the topic was left must not be taken for a new one.
            Some(feed) => *feed = Feed::Overtaken { heard },
            None => self.go_on(&topic, heard, out),
        }
    }

    fn detach<F>(&mut self, topic: &Topic, out: &mut Vec<SessionOutput<F>>) {
        let Some((shared, _)) = self.places.remove(topic) else { return };
        match self.feeds.get_mut(topic) {
            Some(Feed::Stalled { .. }) => {
                self.feeds.remove(topic);
            }
            Some(feed) => feed.overtake(),
            None => {}
        }
        self.is_not_watched(topic);
        out.push(SessionOutput::Detach(shared));
    }

    /// Goes back to `after`: how a client repairs a hole that it found.
    fn rewind<F>(&mut self, topic: &Topic, after: Seq, out: &mut Vec<SessionOutput<F>>) {
        let Some(cursor) = self.places.get_mut(topic) else { return };
        let (sent, back) = (*cursor, Cursor::new(after));
        if !back.is_behind(sent.last()) {
            return;
        }
        if back.missing(sent.last()) > self.replay_max {
            out.push(reset(topic.clone(), ResetReason::TooFarBehind, sent.last()));
            return;
        }
        *cursor = back;
        match self.feeds.get_mut(topic) {
            None => self.go_on(topic, sent, out),
            Some(feed) => feed.overtake(),
        }
    }

    /// Takes what a load brought, as far as it follows the cursor.
    fn take<F>(&mut self, topic: &Topic, events: Vec<Live<F>>, out: &mut Vec<SessionOutput<F>>) -> Taken {
        let Some(before) = self.places.get(topic).copied() else { return Taken::Nothing };
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
        if let Some(at) = self.places.get_mut(topic) {
            *at = cursor;
        }
        if cursor == before { Taken::Nothing } else { Taken::Some }
    }

    fn is_behind(&self, topic: &Topic, heard: Cursor) -> bool {
        self.places.get(topic).is_some_and(|cursor| cursor.is_behind(heard.last()))
    }

    /// Loads what is still missing, or else listens to what is live.
    fn go_on<F>(&mut self, topic: &Topic, heard: Cursor, out: &mut Vec<SessionOutput<F>>) {
        if self.is_behind(topic, heard) {
            self.begin_load(topic, heard, Patience::Full, out);
        } else {
            self.feeds.remove(topic);
        }
    }

    fn begin_load<F>(
        &mut self,
        topic: &Topic,
        heard: Cursor,
        patience: Patience,
        out: &mut Vec<SessionOutput<F>>,
    ) {
        let Some((topic, after)) = self.places.row(topic) else { return };
        out.push(self.load(topic, *after));
        self.feeds.insert(Arc::clone(topic), Feed::Loading { heard, patience });
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
        let Some(cursor) = self.places.get_mut(topic) else { return };
        if *cursor == Cursor::new(head) {
            // The store contradicts itself; asking again at once would spin.
            self.stall(now, topic, heard, Patience::Full);
            return;
        }
        *cursor = Cursor::new(head);
        out.push(reset(topic.clone(), reason, head));
        self.go_on(topic, heard, out);
    }

    fn stall(&mut self, now: Millis, topic: &Topic, heard: Cursor, patience: Patience) {
        let Some((topic, _)) = self.places.row(topic) else { return };
        let retry_at = now + RETRY_MS;
        self.retries.push_back((retry_at, Arc::clone(topic)));
        self.feeds.insert(Arc::clone(topic), Feed::Stalled { heard, retry_at, patience });
    }

    fn load<F>(&self, topic: &Arc<Topic>, after: Cursor) -> SessionOutput<F> {
        SessionOutput::Load { topic: Arc::clone(topic), after: after.last(), limit: self.replay_max }
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
