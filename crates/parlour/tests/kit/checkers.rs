//! What must be true of a history, one function per promise. Each answers with everything that broke it;
//! nothing is what one wants to see. That each of them can see something is tested below.

use std::collections::{BTreeMap, HashMap, HashSet};

use parlour_client::wire::{Seq, Topic};

use super::history::{Account, Body, Entry, Name, Stored, What};

/// Breaches of a promise, each as a sentence.
pub(crate) type Breaches = Vec<String>;

/// Every acknowledged message is stored exactly once, where and as it was acknowledged.
pub(crate) fn acked_are_stored_once(history: &[Entry], stored: &[Stored]) -> Breaches {
    let mut found: HashMap<&Body, Vec<&Stored>> = HashMap::new();
    for message in stored {
        found.entry(&message.body).or_default().push(message);
    }
    let mut breaches = Breaches::new();
    for entry in history {
        let Entry::Acked { body, id, seq } = entry else { continue };
        match found.get(body).map_or(&[][..], Vec::as_slice) {
            [] => breaches.push(format!("{body} was acknowledged with seq {seq} and is lost")),
            [one] if one.id == *id && one.seq == *seq => {}
            [one] => breaches.push(format!(
                "{body} was acknowledged as {id} with seq {seq} and is stored as {} with seq {}",
                one.id, one.seq
            )),
            several => {
                let seqs: Vec<Seq> = several.iter().map(|message| message.seq).collect();
                breaches.push(format!("{body} was sent once and is stored {} times: {seqs:?}", seqs.len()));
            }
        }
    }
    breaches
}

/// Nothing is stored twice, not even what was never acknowledged; nothing is stored that nobody sent; no two
/// messages share a place or an id.
pub(crate) fn stored_is_what_was_sent(history: &[Entry], stored: &[Stored]) -> Breaches {
    let mut sent: HashMap<&Body, (&Name, &Topic)> = HashMap::new();
    for entry in history {
        if let Entry::Invoked { client, topic, body } = entry {
            sent.insert(body, (client, topic));
        }
    }
    let mut breaches = Breaches::new();
    let (mut bodies, mut ids, mut places) = (HashSet::new(), HashSet::new(), HashSet::new());
    for message in stored {
        let Stored { topic, seq, id, body, sender } = message;
        if sent.get(body) != Some(&(sender, topic)) {
            breaches.push(format!("{body} is stored in {topic} as of {sender}, who never sent it there"));
        }
        if !bodies.insert(body) {
            breaches.push(format!("{body} is stored more than once"));
        }
        if !ids.insert(id) {
            breaches.push(format!("the id {id} is given to two messages"));
        }
        if !places.insert((topic, seq)) {
            breaches.push(format!("{topic} has two messages with seq {seq}"));
        }
    }
    breaches
}

/// Every client was shown every event of a topic exactly once, in order, from where it began to the head.
pub(crate) fn shown_once_in_order(history: &[Entry], clients: &[Name], tops: &[Span]) -> Breaches {
    let mut breaches = Breaches::new();
    let mut seen: HashMap<(&Name, &Topic), Seq> = HashMap::new();
    let begins: HashMap<&Topic, Seq> = tops.iter().map(|span| (&span.topic, span.after)).collect();
    for entry in history {
        match entry {
            Entry::Shown { client, topic, seq, .. } => {
                // A topic that is not in the list begins with what is seen of it first.
                let before = begins.get(topic).copied().unwrap_or(*seq - 1);
                let last = seen.entry((client, topic)).or_insert(before);
                if *seq != *last + 1 {
                    breaches.push(format!("{client} was shown {topic} {seq} after {last}"));
                }
                *last = *seq;
            }
            Entry::Reset { client, topic, head } => {
                breaches.push(format!("{client} was told to load {topic} anew up to {head}"));
            }
            Entry::Invoked { .. } | Entry::Acked { .. } | Entry::Refused { .. } | Entry::ReadAcked { .. } => {
            }
        }
    }
    for Span { topic, after, head } in tops {
        for client in clients {
            let last = seen.get(&(client, topic)).copied().unwrap_or(*after);
            if last != *head {
                breaches.push(format!("{client} was shown {topic} up to {last} of {head}"));
            }
        }
    }
    breaches
}

/// The part of a topic that a history is about: above `after`, up to `head`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Span {
    pub(crate) topic: Topic,
    pub(crate) after: Seq,
    pub(crate) head: Seq,
}

/// At one seq of a topic everybody was shown the same, and it is what is stored there.
pub(crate) fn shown_is_what_is_stored(history: &[Entry], stored: &[Stored]) -> Breaches {
    let mut truth: HashMap<(&Topic, Seq), What> = HashMap::new();
    for Stored { topic, seq, id, body, .. } in stored {
        truth.insert((topic, *seq), What::Message { id: id.clone(), body: body.clone() });
    }
    let mut breaches = Breaches::new();
    for entry in history {
        let Entry::Shown { client, topic, seq, what } = entry else { continue };
        match truth.get(&(topic, *seq)) {
            Some(other) if other == what => {}
            Some(other) => {
                breaches.push(format!("{client} was shown {what} at {topic} {seq}, where {other} stands"));
            }
            None => {
                if let What::Message { .. } = what {
                    breaches.push(format!("{client} was shown {what} at {topic} {seq}, which is not stored"));
                }
                // No message is stored here: what the first client was shown holds for the others.
                truth.insert((topic, *seq), what.clone());
            }
        }
    }
    breaches
}

/// Every place of a topic is taken: by a stored message, or by another event that was shown.
pub(crate) fn no_hole_in_topics(history: &[Entry], stored: &[Stored], spans: &[Span]) -> Breaches {
    let mut taken: BTreeMap<&Topic, HashSet<Seq>> = BTreeMap::new();
    for message in stored {
        taken.entry(&message.topic).or_default().insert(message.seq);
    }
    for entry in history {
        if let Entry::Shown { topic, seq, what: What::Other(_), .. } = entry {
            taken.entry(topic).or_default().insert(*seq);
        }
    }
    let mut breaches = Breaches::new();
    for Span { topic, after, head } in spans {
        let seqs = taken.remove(topic).unwrap_or_default();
        let missing: Vec<Seq> = (*after + 1..=*head).filter(|seq| !seqs.contains(seq)).collect();
        if !missing.is_empty() {
            breaches.push(format!("{topic} has nothing at {missing:?} of {head}"));
        }
        if let Some(beyond) = seqs.iter().find(|seq| **seq > *head) {
            breaches.push(format!("{topic} has {beyond} beyond its head {head}"));
        }
    }
    breaches
}

/// Every send has come to an end: acknowledged or refused, once.
pub(crate) fn all_outcomes_are_known(history: &[Entry]) -> Breaches {
    let mut open: HashMap<&Body, bool> = HashMap::new();
    let mut breaches = Breaches::new();
    for entry in history {
        match entry {
            Entry::Invoked { body, .. } => {
                if open.insert(body, true).is_some() {
                    breaches.push(format!("{body} was sent as two messages"));
                }
            }
            Entry::Acked { body, .. } | Entry::Refused { body, .. } => {
                if open.insert(body, false) != Some(true) {
                    breaches.push(format!("{body} came to an end that was not open"));
                }
            }
            Entry::ReadAcked { .. } | Entry::Shown { .. } | Entry::Reset { .. } => {}
        }
    }
    let waiting = open.iter().filter(|(_, open)| **open);
    breaches.extend(waiting.map(|(body, _)| format!("nobody knows what became of {body}")));
    breaches
}

/// Nothing that was refused for good is stored.
pub(crate) fn refused_are_not_stored(history: &[Entry], stored: &[Stored]) -> Breaches {
    let bodies: HashSet<&Body> = stored.iter().map(|message| &message.body).collect();
    let refused = history.iter().filter_map(|entry| match entry {
        Entry::Refused { body, code } if bodies.contains(body) => {
            Some(format!("{body} was refused with {code} and is stored"))
        }
        _ => None,
    });
    refused.collect()
}

/// The unread counts are what a recount of the messages gives, and no acknowledged read was lost.
pub(crate) fn unread_is_recounted(history: &[Entry], stored: &[Stored], accounts: &[Account]) -> Breaches {
    let mut read: HashMap<(&Name, &Topic), Seq> = HashMap::new();
    for entry in history {
        if let Entry::ReadAcked { client, topic, seq } = entry {
            let furthest = read.entry((client, topic)).or_default();
            *furthest = (*furthest).max(*seq);
        }
    }
    let mut breaches = Breaches::new();
    for account in accounts {
        let Account { client, topic, last_read_seq, counted_by_client, counted_by_server } = account;
        let acked = read.get(&(client, topic)).copied().unwrap_or(0);
        if acked > *last_read_seq {
            breaches.push(format!("{client} has read {topic} up to {acked}; stored is {last_read_seq}"));
        }
        let counts = |message: &&Stored| {
            message.topic == *topic && message.seq > *last_read_seq && message.sender != *client
        };
        let recount = stored.iter().filter(counts).count() as u64;
        for (who, count) in [("the client", counted_by_client), ("the server", counted_by_server)] {
            if *count != recount {
                breaches.push(format!("{client} has {recount} unread in {topic}; {who} says {count}"));
            }
        }
    }
    breaches
}

/// Fails with the first breaches of each promise.
///
/// # Panics
/// There is a breach.
pub(crate) fn expect_none(breaches: &[(&str, Breaches)]) {
    let mut text = String::new();
    for (promise, broken) in breaches.iter().filter(|(_, broken)| !broken.is_empty()) {
        text.push_str(&format!("\n{promise}: {} breaches", broken.len()));
        for breach in broken.iter().take(10) {
            text.push_str(&format!("\n  {breach}"));
        }
    }
    assert!(text.is_empty(), "promises were broken:{text}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use parlour_client::wire::MessageId;

    fn topic() -> Topic {
        "channel:messaging:a".parse().unwrap()
    }

    fn id(text: &str) -> MessageId {
        MessageId::parse(text).unwrap()
    }

    fn stored(seq: Seq, body: &str) -> Stored {
        Stored { topic: topic(), seq, id: id(body), body: body.into(), sender: "alice".into() }
    }

    fn shown(client: &str, seq: Seq, body: &str) -> Entry {
        let what = What::Message { id: id(body), body: body.into() };
        Entry::Shown { client: client.into(), topic: topic(), seq, what }
    }

    fn acked(seq: Seq, body: &str) -> Entry {
        Entry::Acked { body: body.into(), id: id(body), seq }
    }

    fn invoked(body: &str) -> Entry {
        Entry::Invoked { client: "alice".into(), topic: topic(), body: body.into() }
    }

    fn span() -> Vec<Span> {
        vec![Span { topic: topic(), after: 1, head: 3 }]
    }

    fn names() -> Vec<Name> {
        vec!["alice".into(), "bob".into()]
    }

    /// Two messages, sent by alice, acknowledged and shown to both as it should be.
    fn good() -> (Vec<Entry>, Vec<Stored>) {
        let mut history = vec![invoked("m2"), acked(2, "m2"), invoked("m3"), acked(3, "m3")];
        for client in ["alice", "bob"] {
            history.extend([shown(client, 2, "m2"), shown(client, 3, "m3")]);
        }
        (history, vec![stored(2, "m2"), stored(3, "m3")])
    }

    #[test]
    fn a_good_history_breaks_no_promise() {
        let (history, stored) = good();
        let accounts = [Account {
            client: "bob".into(),
            topic: topic(),
            last_read_seq: 2,
            counted_by_client: 1,
            counted_by_server: 1,
        }];
        expect_none(&[
            ("acked", acked_are_stored_once(&history, &stored)),
            ("sent", stored_is_what_was_sent(&history, &stored)),
            ("shown", shown_once_in_order(&history, &names(), &span())),
            ("same", shown_is_what_is_stored(&history, &stored)),
            ("hole", no_hole_in_topics(&history, &stored, &span())),
            ("known", all_outcomes_are_known(&history)),
            ("refused", refused_are_not_stored(&history, &stored)),
            ("unread", unread_is_recounted(&history, &stored, &accounts)),
        ]);
    }

    #[test]
    fn an_acknowledged_message_that_is_lost_doubled_or_moved_is_seen() {
        let (history, stored_well) = good();
        let breach = |stored: &[Stored]| acked_are_stored_once(&history, stored).join("\n");
        assert!(breach(&stored_well[1..]).contains("m2 was acknowledged with seq 2 and is lost"));
        let mut doubled = stored_well.clone();
        doubled.push(Stored { id: id("other"), ..stored(4, "m3") });
        assert!(breach(&doubled).contains("m3 was sent once and is stored 2 times: [3, 4]"));
        assert!(breach(&[stored(4, "m2"), stored(3, "m3")]).contains("is stored as m2 with seq 4"));
    }

    #[test]
    fn a_stored_message_that_nobody_sent_or_that_shares_its_place_is_seen() {
        let (history, stored_well) = good();
        let breach = |more: Stored| {
            let mut stored = stored_well.clone();
            stored.push(more);
            stored_is_what_was_sent(&history, &stored).join("\n")
        };
        assert!(breach(stored(4, "ghost")).contains("who never sent it there"));
        assert!(breach(Stored { sender: "bob".into(), ..stored(4, "m3") }).contains("as of bob"));
        assert!(breach(Stored { id: id("n"), ..stored(4, "m3") }).contains("m3 is stored more than once"));
        assert!(breach(Stored { id: id("m3"), ..stored(4, "m2") }).contains("the id m3 is given to two"));
        assert!(breach(stored(3, "m2")).contains("two messages with seq 3"));
    }

    #[test]
    fn an_event_shown_twice_out_of_order_not_at_all_or_after_a_reset_is_seen() {
        let check = |entries: &[Entry]| shown_once_in_order(entries, &names()[..1], &span()).join("\n");
        let (two, three) = (shown("alice", 2, "m2"), shown("alice", 3, "m3"));
        assert_eq!(check(&[two.clone(), three.clone()]), "");
        assert!(check(&[two.clone(), two.clone(), three.clone()]).contains("2 after 2"));
        assert!(check(&[three.clone(), two.clone()]).contains("3 after 1"));
        assert!(check(std::slice::from_ref(&three)).contains("3 after 1"));
        assert!(check(std::slice::from_ref(&two)).contains("up to 2 of 3"));
        assert!(check(&[]).contains("up to 1 of 3"));
        let reset = Entry::Reset { client: "alice".into(), topic: topic(), head: 3 };
        assert!(check(&[two, three, reset]).contains("to load channel:messaging:a anew"));
    }

    #[test]
    fn two_truths_about_one_place_are_seen() {
        let (mut history, stored) = good();
        history.push(shown("carol", 3, "m2"));
        assert!(shown_is_what_is_stored(&history, &stored).join("\n").contains("where message m3"));
        history.push(shown("carol", 4, "m4"));
        assert!(shown_is_what_is_stored(&history, &stored).join("\n").contains("which is not stored"));
        let other = |client: &str, kind: &str| {
            let what = What::Other(kind.to_owned());
            Entry::Shown { client: client.into(), topic: topic(), seq: 5, what }
        };
        let two = [other("alice", "message.read"), other("bob", "channel.updated")];
        assert_eq!(shown_is_what_is_stored(&two, &[]).len(), 1);
    }

    #[test]
    fn a_hole_in_a_topic_and_an_event_beyond_its_head_are_seen() {
        let (history, stored_well) = good();
        let check = |stored: &[Stored]| no_hole_in_topics(&history, stored, &span()).join("\n");
        assert!(check(&stored_well[1..]).contains("nothing at [2] of 3"));
        assert!(check(&[stored(2, "m2"), stored(3, "m3"), stored(4, "m4")]).contains("has 4 beyond"));
    }

    #[test]
    fn an_outcome_that_never_came_or_came_twice_is_seen() {
        let (mut history, _) = good();
        history.push(acked(3, "m3"));
        history.push(invoked("m4"));
        let breaches = all_outcomes_are_known(&history);
        assert_eq!(breaches, ["m3 came to an end that was not open", "nobody knows what became of m4"]);
    }

    #[test]
    fn a_refused_message_that_is_stored_is_seen() {
        let refused = [invoked("m2"), Entry::Refused { body: "m2".into(), code: "too_large".to_owned() }];
        assert_eq!(refused_are_not_stored(&refused, &[stored(2, "m2")]).len(), 1);
    }

    #[test]
    fn a_wrong_count_on_either_side_and_a_lost_read_are_seen() {
        let (mut history, stored) = good();
        let account = |last_read_seq, counted_by_client, counted_by_server| {
            let client: Name = "bob".into();
            [Account { client, topic: topic(), last_read_seq, counted_by_client, counted_by_server }]
        };
        let check = |history: &[Entry], account: &[Account]| unread_is_recounted(history, &stored, account);
        assert!(check(&history, &account(2, 1, 1)).is_empty());
        assert_eq!(
            check(&history, &account(2, 2, 1)),
            ["bob has 1 unread in channel:messaging:a; the client says 2"]
        );
        assert_eq!(
            check(&history, &account(2, 1, 0)),
            ["bob has 1 unread in channel:messaging:a; the server says 0"]
        );
        history.push(Entry::ReadAcked { client: "bob".into(), topic: topic(), seq: 3 });
        assert_eq!(
            check(&history, &account(2, 1, 1)),
            ["bob has read channel:messaging:a up to 3; stored is 2"]
        );
    }
}
