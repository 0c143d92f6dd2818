//! What was promised, over what was seen.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What one client's app was given, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// An event of a topic; `what` is its kind and subject.
    Event { topic: String, seq: u64, what: String },
    /// The topic is to be loaded anew; its events go on after `head`.
    Reset { topic: String, head: u64 },
    /// The user is no member any more: what is between now and a later return need not be seen.
    Left { topic: String },
}

/// Everything that a run saw.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Per client, what its app was given.
    pub shown: BTreeMap<String, Vec<Shown>>,
    /// Per client and topic, the head when it began to listen.
    pub began: BTreeMap<(String, String), u64>,
    /// The logs at the end: topic → seq → kind and subject, rendered from the present state.
    pub logs: BTreeMap<String, BTreeMap<u64, String>>,
    /// The messages at the end: id → the seqs at which it is stored.
    pub stored: BTreeMap<String, Vec<u64>>,
    /// Message ids whose sending was acknowledged, with the seq that was acknowledged.
    pub acknowledged: Vec<(String, u64)>,
    /// Per client, the topics that it listens to at the end.
    pub listens: BTreeMap<String, BTreeSet<String>>,
    /// Per client: unread messages as the SDK counts them, and as the store does.
    pub unread: BTreeMap<String, (u64, u64)>,
}

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Every promise that this history breaks.
pub fn violations(history: &History) -> Vec<Violation> {
    let mut found = Vec::new();
    for (client, shown) in &history.shown {
        order(client, shown, history, &mut found);
    }
    acknowledged(history, &mut found);
    for (topic, log) in &history.logs {
        if !log.keys().copied().eq(1..=log.len() as u64) {
            found.push(Violation(format!(
                "{topic}: the log has a hole: {:?}",
                log.keys().collect::<Vec<_>>()
            )));
        }
    }
    for (client, (sdk, store)) in &history.unread {
        if sdk != store {
            found.push(Violation(format!("{client}: the SDK counts {sdk} unread, the store {store}")));
        }
    }
    found
}

/// Each topic's events once, in order, without a hole, up to the head.
fn order(client: &str, shown: &[Shown], history: &History, found: &mut Vec<Violation>) {
    let mut last: BTreeMap<&str, Option<u64>> = BTreeMap::new();
    for entry in shown {
        match entry {
            Shown::Event { topic, seq, .. } => {
                let began = history.began.get(&(client.to_owned(), topic.clone())).copied();
                let before = last.entry(topic).or_insert(began);
                match *before {
                    Some(before) if *seq <= before => {
                        found.push(Violation(format!("{client}: {topic} {seq} shown again after {before}")));
                    }
                    Some(before) if *seq > before + 1 => {
                        found.push(Violation(format!("{client}: {topic} jumps from {before} to {seq}")));
                    }
                    _ => {}
                }
                *before = Some(*seq);
            }
            Shown::Reset { topic, head } => {
                last.insert(topic, Some(*head));
            }
            Shown::Left { topic } => {
                last.insert(topic, None);
            }
        }
    }
    for topic in history.listens.get(client).into_iter().flatten() {
        let head = history.logs.get(topic).map_or(0, |log| log.len() as u64);
        let began = history.began.get(&(client.to_owned(), topic.clone())).copied();
        // `None` (left, came back, heard nothing since) has nothing to be held to.
        if let Some(last) = last.get(topic.as_str()).copied().unwrap_or(began)
            && last != head
        {
            found.push(Violation(format!("{client}: {topic} ends at {last}, the log at {head}")));
        }
    }
}

/// Every acknowledged message is stored once, at the seq that was acknowledged, and nothing is stored twice.
fn acknowledged(history: &History, found: &mut Vec<Violation>) {
    for (id, seq) in &history.acknowledged {
        if history.stored.get(id).is_none_or(|seqs| !seqs.contains(seq)) {
            let at = history.stored.get(id);
            found.push(Violation(format!("message {id}, acknowledged at {seq}, is at {at:?}")));
        }
    }
    for (id, seqs) in &history.stored {
        if seqs.len() > 1 {
            found.push(Violation(format!("message {id} stands {} times", seqs.len())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: u64) -> Shown {
        Shown::Event { topic: "t".to_owned(), seq, what: format!("message.new m{seq}") }
    }

    /// A run in which everything went well: three messages, one client.
    fn good() -> History {
        let client = "alice".to_owned();
        History {
            shown: BTreeMap::from([(client.clone(), vec![event(1), event(2), event(3)])]),
            began: BTreeMap::from([((client.clone(), "t".to_owned()), 0)]),
            logs: BTreeMap::from([(
                "t".to_owned(),
                (1..=3).map(|seq| (seq, format!("message.new m{seq}"))).collect(),
            )]),
            stored: (1..=3).map(|seq| (format!("m{seq}"), vec![seq])).collect(),
            acknowledged: vec![("m2".to_owned(), 2)],
            listens: BTreeMap::from([(client.clone(), BTreeSet::from(["t".to_owned()]))]),
            unread: BTreeMap::from([(client, (3, 3))]),
        }
    }

    fn with_shown(shown: Vec<Shown>) -> Vec<Violation> {
        let mut history = good();
        history.shown.insert("alice".to_owned(), shown);
        violations(&history)
    }

    #[test]
    fn a_good_history_breaks_nothing() {
        assert_eq!(violations(&good()), []);
    }

    #[test]
    fn each_planted_violation_is_found() {
        assert_eq!(with_shown(vec![event(1), event(3)]).len(), 1, "a hole");
        assert_eq!(with_shown(vec![event(1), event(2), event(2), event(3)]).len(), 1, "a double");
        assert_eq!(with_shown(vec![event(2), event(3)]).len(), 1, "a missing beginning");
        assert_eq!(with_shown(vec![event(1), event(2)]).len(), 1, "a missing end");
        assert!(!with_shown(vec![event(2), event(1), event(3)]).is_empty(), "the wrong order");
        let mut lost = good();
        lost.acknowledged.push(("m9".to_owned(), 9));
        assert_eq!(violations(&lost).len(), 1, "an acknowledged message that is nowhere");
        let mut doubled = good();
        doubled.stored.insert("m2".to_owned(), vec![2, 4]);
        assert_eq!(violations(&doubled).len(), 1, "a message that stands twice");
        let mut hole = good();
        hole.logs.insert("u".to_owned(), BTreeMap::from([(2, "x".to_owned())]));
        assert_eq!(violations(&hole).len(), 1, "a hole in a log");
        let mut drift = good();
        drift.unread.insert("alice".to_owned(), (2, 3));
        assert_eq!(violations(&drift).len(), 1, "drifting unread counts");
    }

    #[test]
    fn a_reset_and_a_membership_that_ended_excuse_what_they_skip_and_no_more() {
        let reset = |head| Shown::Reset { topic: "t".to_owned(), head };
        let left = || Shown::Left { topic: "t".to_owned() };
        assert_eq!(with_shown(vec![event(1), reset(2), event(3)]), []);
        assert_eq!(with_shown(vec![event(1), reset(1), event(3)]).len(), 1);
        assert_eq!(with_shown(vec![event(1), left(), event(3)]), []);
    }
}
