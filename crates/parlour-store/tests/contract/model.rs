//! Random lives of a few channels, beside a model that is too simple to be wrong: every message is kept in a
//! list, and what is unread is counted by looking at each.

use std::collections::BTreeMap;

use parlour_store::{Deletion, NewMessage, ReadTo, Requires, StoreError};
use parlour_wire::Seq;
use parlour_wire::messages::EditMessage;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::kit::{Kit, at, channel_topic, cid, message_id, user};

const USERS: [&str; 4] = ["alice", "bob", "carol", "dave"];
const CHANNELS: [&str; 3] = ["messaging:general", "messaging:a", "livestream:b"];

#[derive(Default)]
struct Channel {
    members: BTreeMap<&'static str, Member>,
    messages: Vec<Message>,
    head: Seq,
}

struct Member {
    last_read: Seq,
    hidden_up_to: Seq,
}

struct Message {
    id: String,
    seq: Seq,
    sender: &'static str,
    silent: bool,
    deleted: bool,
}

impl Channel {
    fn unread(&self, reader: &str) -> Option<u64> {
        let last_read = self.members.get(reader)?.last_read;
        let counts = |m: &&Message| m.seq > last_read && m.sender != reader && !m.silent && !m.deleted;
        Some(self.messages.iter().filter(counts).count() as u64)
    }

    fn next(&mut self) -> Seq {
        self.head += 1;
        self.head
    }
}

#[expect(clippy::print_stdout, reason = "the last seed printed is the one that failed")]
pub(crate) async fn random_lives_agree_with_a_naive_model(kit: Kit) {
    for seed in 0..12 {
        println!("seed {seed}");
        let app = kit.other_app(&format!("seed-{seed}")).await;
        live(&app, StdRng::seed_from_u64(seed)).await;
    }
}

async fn live(kit: &Kit, mut random: StdRng) {
    kit.has_users(&USERS).await;
    let mut model: BTreeMap<&str, Channel> = BTreeMap::new();
    for name in CHANNELS {
        kit.store.get_or_create_channel(kit.channel(name, None, &[])).await.unwrap();
        model.insert(name, Channel { head: 1, ..Channel::default() });
    }
    for step in 0..250 {
        let name = CHANNELS[random.random_range(0..CHANNELS.len())];
        let who = USERS[random.random_range(0..USERS.len())];
        let channel = model.get_mut(name).unwrap();
        let some_message = match channel.messages.len() {
            0 => None,
            count => Some(random.random_range(0..count)),
        };
        match random.random_range(0..20) {
            0..=2 => joins(kit, name, channel, who, random.random()).await,
            3 => leaves(kit, name, channel, who).await,
            4..=10 => {
                sends(kit, name, channel, who, &format!("m{step}"), random.random_range(0..5) == 0).await;
            }
            11 | 12 => reads(kit, name, channel, who, ReadTo::Everything).await,
            13 => {
                let to = random.random_range(0..channel.head + 3);
                reads(kit, name, channel, who, ReadTo::Seq(to)).await;
            }
            14 | 15 => {
                let Some(at) = some_message else { continue };
                let to = ReadTo::Message(message_id(&channel.messages[at].id));
                reads(kit, name, channel, who, to).await;
            }
            16 | 17 => {
                let Some(at) = some_message else { continue };
                marks_unread(kit, name, channel, who, at).await;
            }
            18 => {
                let Some(at) = some_message else { continue };
                deletes(kit, name, channel, at, random.random()).await;
            }
            _ => {
                let Some(at) = some_message else { continue };
                edits(kit, name, channel, at, step).await;
            }
        }
        agrees(kit, &model).await;
    }
}

async fn joins(kit: &Kit, name: &str, channel: &mut Channel, who: &'static str, hide_history: bool) {
    let mut change = kit.members(name, &[who], &[]);
    change.hide_history = hide_history;
    kit.store.change_members(change).await.unwrap();
    if !channel.members.contains_key(who) {
        let before = channel.head;
        let last_read = channel.next();
        let hidden_up_to = if hide_history { before } else { 0 };
        channel.members.insert(who, Member { last_read, hidden_up_to });
    }
}

async fn leaves(kit: &Kit, name: &str, channel: &mut Channel, who: &str) {
    kit.removes(name, &[who]).await;
    if channel.members.remove(who).is_some() {
        channel.next();
    }
}

async fn sends(kit: &Kit, name: &str, channel: &mut Channel, who: &'static str, id: &str, silent: bool) {
    let new = NewMessage { silent, ..kit.message(name, who, id, id) };
    let sent = kit.store.send_message(new.clone()).await;
    if !channel.members.contains_key(who) {
        assert_eq!(sent.unwrap_err(), StoreError::NotMember);
        let by_right = NewMessage { requires: Requires::Channel, ..new };
        kit.store.send_message(by_right).await.unwrap();
    }
    let seq = channel.next();
    channel.messages.push(Message { id: id.to_owned(), seq, sender: who, silent, deleted: false });
}

async fn reads(kit: &Kit, name: &str, channel: &mut Channel, who: &str, to: ReadTo) {
    let read = kit
        .store
        .mark_read(kit.app, &cid(name), &user(who), to.clone(), parlour_store::Receipts::Shown, at(0))
        .await;
    let head = channel.head;
    let message = |id: &str| channel.messages.iter().find(|m| m.id == id).map(|m| m.seq);
    let Some(member) = channel.members.get(who) else {
        assert_eq!(read.unwrap_err(), StoreError::NotMember);
        return;
    };
    let asked = match &to {
        ReadTo::Everything => Some(head),
        ReadTo::Seq(seq) => Some(head.min(*seq)),
        ReadTo::Message(id) => message(id.as_str()).filter(|seq| *seq > member.hidden_up_to),
    };
    let Some(asked) = asked else {
        assert_eq!(read.unwrap_err(), StoreError::NotFound);
        return;
    };
    let anything = channel.messages.iter().any(|m| m.seq > member.last_read && m.seq <= asked);
    if anything {
        channel.next();
        channel.members.get_mut(who).unwrap().last_read = asked;
    }
    let unread = read.unwrap().value;
    assert_eq!(unread.unread_messages, channel.unread(who).unwrap());
    assert_eq!(unread.last_read_seq, channel.members[who].last_read);
    assert_eq!(unread.head, channel.head);
}

async fn marks_unread(kit: &Kit, name: &str, channel: &mut Channel, who: &str, from: usize) {
    let Message { id, seq, .. } = &channel.messages[from];
    let marked = kit.store.mark_unread(kit.app, &cid(name), &user(who), &message_id(id), at(0)).await;
    let Some(member) = channel.members.get_mut(who) else {
        assert_eq!(marked.unwrap_err(), StoreError::NotMember);
        return;
    };
    if *seq <= member.hidden_up_to {
        assert_eq!(marked.unwrap_err(), StoreError::NotFound);
        return;
    }
    member.last_read = member.last_read.min(seq - 1);
    assert_eq!(marked.unwrap().value.unread_messages, channel.unread(who).unwrap());
}

async fn deletes(kit: &Kit, name: &str, channel: &mut Channel, at: usize, hard: bool) {
    let deletion = if hard { Deletion::Hard } else { Deletion::Soft };
    let id = channel.messages[at].id.clone();
    kit.deletes(name, &id, deletion).await.unwrap();
    if hard || !channel.messages[at].deleted {
        channel.next();
    }
    if hard {
        channel.messages.remove(at);
    } else {
        channel.messages[at].deleted = true;
    }
}

async fn edits(kit: &Kit, name: &str, channel: &mut Channel, at: usize, step: u32) {
    let Message { id, deleted, .. } = &channel.messages[at];
    let edit = EditMessage { text: Some(format!("edited {step}")), ..EditMessage::default() };
    let edited = kit.edits(name, id, edit).await;
    if *deleted {
        assert_eq!(edited.unwrap_err(), StoreError::NotFound);
    } else {
        edited.unwrap();
        channel.next();
    }
}

async fn agrees(kit: &Kit, model: &BTreeMap<&str, Channel>) {
    for who in USERS {
        let totals = kit.store.unread(kit.app, &user(who)).await.unwrap();
        let expected: BTreeMap<_, _> = model
            .iter()
            .filter_map(|(name, channel)| Some(((*name).to_owned(), channel.unread(who)?)))
            .filter(|(_, unread)| *unread > 0)
            .collect();
        let stored: BTreeMap<_, _> =
            totals.channels.iter().map(|unread| (unread.cid.to_string(), unread.unread_messages)).collect();
        assert_eq!(stored, expected, "unread of {who}");
        assert_eq!(totals.total_unread_count, expected.values().sum::<u64>());
        assert_eq!(totals.unread_channels, expected.len() as u64);
    }
    for (name, channel) in model {
        assert_eq!(kit.head(channel_topic(name)).await, channel.head, "head of {name}");
    }
}
