//! Where the app stands in each topic.

use std::collections::BTreeMap;

use parlour_wire::frames::{CURSORS_MAX, WatchTopic};
use parlour_wire::{Seq, Topic};

use crate::{Cursor, Offer};

#[derive(Default)]
pub(super) struct Places {
    places: BTreeMap<Topic, Place>,
    deliveries: u64,
}

#[derive(Default)]
struct Place {
    /// `None` while nothing of the topic is known: the first event that comes is taken for the next.
    cursor: Option<Cursor>,
    asked_for: AskedFor,
    repair: Repair,
    /// Which delivery was the last of this topic: a resume names the latest.
    delivered: u64,
}

/// How the server comes to know that the topic is wanted after a reconnect.
#[derive(Default, PartialEq)]
enum AskedFor {
    /// By right; the resume says from where.
    #[default]
    InResume,
    /// By `watch`.
    ByWatch,
    /// Not any more. Where it comes all the same (the user is a member, too), the cursor still tells what was
    /// seen; the resume does not name it, because the server might take that for a wish.
    NotAtAll,
}

/// Whether a hole was found before an event.
#[derive(Default)]
enum Repair {
    #[default]
    Whole,
    /// The server was asked for what is missing; the hole is closed when this seq has come.
    Asked { until: Cursor },
}

/// What to do with an event.
pub(super) enum Verdict {
    Deliver,
    Drop,
    /// Ask for what comes after this seq. The event comes again with it.
    AskAgain {
        after: Seq,
    },
}

impl Places {
    /// Offers an event to the topic's cursor.
    pub(super) fn offer(&mut self, topic: &Topic, seq: Seq) -> Verdict {
        // Not `entry`: the topic is known but for the first time, and a clone per event is not free.
        let Some(place) = self.places.get_mut(topic) else {
            self.deliveries += 1;
            let delivered = self.deliveries;
            let place = Place { cursor: Some(Cursor::new(seq)), delivered, ..Place::default() };
            self.places.insert(topic.clone(), place);
            return Verdict::Deliver;
        };
        let Some(cursor) = &mut place.cursor else {
            place.cursor = Some(Cursor::new(seq));
            return Verdict::Deliver;
        };
        match (cursor.offer(seq), &mut place.repair) {
            (Offer::Next, repair) => {
                self.deliveries += 1;
                place.delivered = self.deliveries;
                if matches!(repair, Repair::Asked { until } if !cursor.is_behind(until.last())) {
                    *repair = Repair::Whole;
                }
                Verdict::Deliver
            }
            (Offer::Seen, _) => Verdict::Drop,
            (Offer::Gap, Repair::Asked { until }) => {
                until.raise(seq);
                Verdict::Drop
            }
            (Offer::Gap, repair @ Repair::Whole) => {
                *repair = Repair::Asked { until: Cursor::new(seq) };
                Verdict::AskAgain { after: cursor.last() }
            }
        }
    }

    /// Takes the heads of a first connect for the places where topics without one begin.
    pub(super) fn begin_at(&mut self, heads: &BTreeMap<Topic, Seq>) {
        for (topic, head) in heads {
            let place = self.places.entry(topic.clone()).or_default();
            place.cursor.get_or_insert(Cursor::new(*head));
        }
    }

    /// The cursors of a resume: at most 500, of the topics with the latest deliveries.
    pub(super) fn for_resume(&self) -> BTreeMap<Topic, Seq> {
        let named = |(topic, place): (&Topic, &Place)| {
            let cursor = place.cursor.filter(|_| place.asked_for == AskedFor::InResume)?;
            Some((place.delivered, topic.clone(), cursor.last()))
        };
        let mut named: Vec<_> = self.places.iter().filter_map(named).collect();
        named.sort_by_key(|(delivered, ..)| std::cmp::Reverse(*delivered));
        named.into_iter().take(CURSORS_MAX).map(|(_, topic, seq)| (topic, seq)).collect()
    }

    /// The topics to be watched again after a reconnect.
    pub(super) fn watched(&self) -> Vec<WatchTopic> {
        let watched = self.places.iter().filter(|(_, place)| place.asked_for == AskedFor::ByWatch);
        watched.map(|(topic, place)| place.watch(topic)).collect()
    }

    /// Watches a topic, and says how to tell the server. What the app has already is not asked for again.
    pub(super) fn watch(&mut self, topic: Topic, after: Option<Seq>) -> WatchTopic {
        let place = self.places.entry(topic.clone()).or_default();
        place.asked_for = AskedFor::ByWatch;
        if let Some(after) = after {
            place.cursor.get_or_insert(Cursor::new(after)).raise(after);
        }
        place.watch(&topic)
    }

    pub(super) fn unwatch(&mut self, topic: &Topic) {
        if let Some(place) = self.places.get_mut(topic) {
            place.asked_for = AskedFor::NotAtAll;
        }
    }

    /// Goes on after `head`.
    pub(super) fn reset(&mut self, topic: &Topic, head: Seq) {
        let place = self.places.entry(topic.clone()).or_default();
        place.cursor = Some(Cursor::new(head));
        place.repair = Repair::Whole;
    }

    pub(super) fn forget(&mut self, topic: &Topic) {
        self.places.remove(topic);
    }

    /// The log is another one: no seq means anything any more. Answers which topics had one. Those that are
    /// watched begin before its first event: were they watched from "now" on, a link that breaks before the
    /// first event comes would lose the place.
    pub(super) fn forget_all(&mut self) -> Vec<Topic> {
        let had = self.places.iter().filter(|(_, place)| place.cursor.is_some());
        let topics = had.map(|(topic, _)| topic.clone()).collect();
        self.places.retain(|_, place| place.asked_for == AskedFor::ByWatch);
        for place in self.places.values_mut() {
            place.cursor = place.cursor.map(|_| Cursor::new(0));
        }
        topics
    }

    /// A new connection replays what is missing: what an old one was asked for will not come.
    pub(super) fn drop_repairs(&mut self) {
        for place in self.places.values_mut() {
            place.repair = Repair::Whole;
        }
    }
}

impl Place {
    fn watch(&self, topic: &Topic) -> WatchTopic {
        WatchTopic { topic: topic.clone(), after: self.cursor.map(Cursor::last) }
    }
}
