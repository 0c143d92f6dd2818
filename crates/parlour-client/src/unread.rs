//! Unread counts, kept from events by the server's own rule.
//!
//! A message counts when its seq is above the last one read, it is not one's own, not silent, not a system
//! message and not deleted. The server says where a channel stands at some seq (a snapshot: in `ready`, in
//! `notification.mark_read`, over HTTP); events above that seq are counted here. A channel's events and the
//! user's own events are two logs that do not wait for one another, so a snapshot may be older than what was
//! counted: a window of the latest changes is counted again on top of it. Where the window does not reach
//! back far enough, or knows too little, the channel is asked for over HTTP and is not settled until then.
//!
//! This counts; it does no I/O. `Tally::wants` says what to load.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use parlour_wire::events::Event;
use parlour_wire::frames::{EventFrame, Ready, ResetReason, Resumed};
use parlour_wire::messages::{Message, MessageType};
use parlour_wire::reads::{Unread, UnreadTotals};
use parlour_wire::{Cid, Epoch, Open, Seq, Topic, UserId};

/// Changes that are remembered per channel. Events of two logs are apart by moments, not by hundreds.
const WINDOW_LEN: usize = 128;

/// The totals of all channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnreadCounts {
    /// Unread messages over all channels.
    pub total_unread_count: u64,
    /// Channels with at least one unread message.
    pub unread_channels: u64,
    /// Whether nothing is being loaded that could change them: then they are exact up to the last event.
    pub settled: bool,
}

/// What should be asked over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// `GET /v1/unread`.
    All,
    /// `GET /v1/channels/{type}/{id}`.
    Channel(Cid),
}

#[derive(Default)]
pub(crate) struct Tally {
    me: Option<UserId>,
    epoch: Option<Epoch>,
    channels: BTreeMap<Cid, Entry>,
    counts: UnreadCounts,
    loading: BTreeSet<Cid>,
    /// Loads under way whose answer will be too old.
    again: BTreeSet<Cid>,
    wanted: BTreeSet<Cid>,
    all: LoadAll,
}

#[derive(Default)]
enum LoadAll {
    #[default]
    No,
    Wanted,
    /// With the channels that the user left meanwhile.
    Running {
        left: BTreeSet<Cid>,
    },
    /// Started before something that makes the answer void.
    RunningInVain,
}

struct Entry {
    standing: Standing,
    window: VecDeque<Change>,
    /// All changes above this seq, up to `head`, are in the window.
    window_from: Seq,
    /// The last event.
    head: Seq,
}

enum Standing {
    /// Being asked for.
    Unknown,
    Known {
        last_read: Seq,
        unread: u64,
        /// The head of the snapshot that this is counted from.
        as_of: Seq,
    },
    /// Watched, and no member: nothing is unread.
    NotMember,
}

#[derive(Clone, Copy)]
struct Change {
    seq: Seq,
    kind: ChangeKind,
}

#[derive(Clone, Copy)]
enum ChangeKind {
    New(Worth),
    Gone {
        message_seq: Seq,
        /// What the message was worth until now; `None` where it is older than the window.
        worth: Option<Worth>,
    },
}

/// What a message adds to the count, if it is not read.
#[derive(Clone, Copy)]
struct Worth {
    /// As its event told it, when that came.
    now: bool,
    /// In a snapshot from before it was deleted; `None` where its event came after that, and tells no more.
    before: Option<bool>,
}

impl Worth {
    const NOTHING: Self = Self { now: false, before: Some(false) };
}

impl Tally {
    pub(crate) fn clear(&mut self, me: Option<UserId>) {
        *self = Self { me, ..Self::default() };
        self.counts.settled = true;
    }

    pub(crate) fn counts(&self) -> UnreadCounts {
        let settled = matches!(self.all, LoadAll::No) && self.wanted.is_empty() && self.loading.is_empty();
        UnreadCounts { settled, ..self.counts }
    }

    /// The channels of which something is known.
    pub(crate) fn channels(&self) -> Vec<Unread> {
        let known = self.channels.iter().filter_map(|(cid, entry)| entry.unread_of(cid));
        known.collect()
    }

    pub(crate) fn channel(&self, cid: &Cid) -> Option<Unread> {
        self.channels.get(cid)?.unread_of(cid)
    }

    pub(crate) fn ready(&mut self, ready: &Ready) {
        let same_log = self.epoch.as_ref() == Some(&ready.epoch);
        let begins_anew = !same_log || ready.resumed == Resumed::Fresh;
        if begins_anew {
            self.forget_all();
        }
        self.epoch = Some(ready.epoch.clone());
        for unread in &ready.channels {
            self.adopt(unread);
        }
        // `ready` carries the thirty latest channels only.
        if begins_anew && self.counts.total_unread_count != ready.me.total_unread_count {
            self.want_all();
        }
    }

    pub(crate) fn event(&mut self, frame: &EventFrame) {
        let Open::Known(event) = &frame.event else { return };
        match (&frame.topic, event) {
            (Topic::Channel(cid), Event::ChannelDeleted { .. }) => self.leave(cid),
            (Topic::Channel(cid), event) => {
                let change = self.change(cid, frame.seq, event);
                self.channel_event(cid, frame.seq, change);
            }
            (_, Event::MarkRead { cid, last_read_seq, unread_messages, head, .. }) => {
                self.adopt(&Unread {
                    cid: cid.clone(),
                    last_read_seq: *last_read_seq,
                    unread_messages: *unread_messages,
                    head: *head,
                });
            }
            (_, Event::AddedToChannel { cid, seq, .. }) => self.join(cid, *seq),
            (_, Event::RemovedFromChannel { cid, .. }) => self.leave(cid),
            _ => {}
        }
    }

    pub(crate) fn reset(&mut self, topic: &Topic, reason: &ResetReason, head: Seq) {
        match topic {
            Topic::Channel(cid) if *reason == ResetReason::NoAccess => self.leave(cid),
            Topic::Channel(cid) => {
                self.channels.entry(cid.clone()).or_insert_with(|| Entry::unknown(head));
                let mut understood = true;
                self.update(cid, |entry| understood = entry.reset(head));
                if !understood {
                    self.want(cid);
                }
            }
            // Read positions may have moved on any channel.
            Topic::User(_) => {
                self.forget_all();
                self.want_all();
            }
            Topic::App(_) | Topic::Unknown(_) => {}
        }
    }

    /// A channel's state that came with a call of the app. It counts only where nothing is known: later
    /// events may have overtaken the answer.
    pub(crate) fn seen(&mut self, unread: &Unread) {
        let is_news = !self.channels.contains_key(&unread.cid);
        if is_news {
            self.adopt(unread);
        }
    }

    /// Whether there is something to load.
    pub(crate) fn has_wants(&self) -> bool {
        matches!(self.all, LoadAll::Wanted) || self.wanted.iter().any(|cid| !self.loading.contains(cid))
    }

    /// What to load next; it counts as being loaded from then on.
    pub(crate) fn wants(&mut self) -> Option<Want> {
        if let LoadAll::Wanted = self.all {
            self.all = LoadAll::Running { left: BTreeSet::new() };
            return Some(Want::All);
        }
        // A channel that is being loaded in vain waits for the end of that.
        let cid = self.wanted.iter().find(|cid| !self.loading.contains(*cid))?.clone();
        self.wanted.remove(&cid);
        self.loading.insert(cid.clone());
        Some(Want::Channel(cid))
    }

    pub(crate) fn loaded_all(&mut self, totals: &UnreadTotals) {
        let left = match std::mem::take(&mut self.all) {
            LoadAll::Running { left } => left,
            LoadAll::RunningInVain => {
                self.all = LoadAll::Wanted;
                return;
            }
            LoadAll::No | LoadAll::Wanted => return,
        };
        for unread in totals.channels.iter().filter(|unread| !left.contains(&unread.cid)) {
            // A channel that is being asked for by itself may be in doubt over something newer than this.
            if !self.channels.contains_key(&unread.cid) {
                self.adopt(unread);
            }
        }
    }

    /// The answer for a channel: its unread state, or none for one who is no member.
    pub(crate) fn loaded(&mut self, cid: &Cid, unread: Option<&Unread>) {
        self.loading.remove(cid);
        if self.again.remove(cid) {
            self.wanted.insert(cid.clone());
            return;
        }
        if !self.waits(cid) {
            return;
        }
        match unread {
            Some(unread) => self.adopt(unread),
            None => self.update(cid, |entry| entry.standing = Standing::NotMember),
        }
    }

    /// Nothing came; `gone` where asking again will bring nothing either.
    pub(crate) fn load_failed(&mut self, want: &Want, gone: bool) {
        match want {
            Want::All => self.all = LoadAll::Wanted,
            Want::Channel(cid) => {
                self.loading.remove(cid);
                let again = self.again.remove(cid);
                match (again, gone, self.waits(cid)) {
                    (true, _, _) | (false, false, true) => {
                        self.wanted.insert(cid.clone());
                    }
                    (false, true, true) => self.leave(cid),
                    // Something newer than the answer has told meanwhile.
                    (false, _, false) => {}
                }
            }
        }
    }

    fn waits(&self, cid: &Cid) -> bool {
        self.channels.get(cid).is_some_and(|entry| matches!(entry.standing, Standing::Unknown))
    }

    fn forget_all(&mut self) {
        self.channels.clear();
        self.counts = UnreadCounts::default();
        self.wanted.clear();
        self.again = self.loading.clone();
        if let LoadAll::Running { .. } = self.all {
            self.all = LoadAll::RunningInVain;
        }
    }

    fn want_all(&mut self) {
        self.all = match std::mem::take(&mut self.all) {
            LoadAll::No | LoadAll::Wanted => LoadAll::Wanted,
            LoadAll::Running { .. } | LoadAll::RunningInVain => LoadAll::RunningInVain,
        };
    }

    fn want(&mut self, cid: &Cid) {
        if self.loading.contains(cid) {
            self.again.insert(cid.clone());
        } else {
            self.wanted.insert(cid.clone());
        }
    }

    fn join(&mut self, cid: &Cid, seq: Seq) {
        let counted_since = |entry: &Entry| match entry.standing {
            Standing::Known { as_of, .. } => as_of >= seq,
            Standing::Unknown | Standing::NotMember => false,
        };
        if self.channels.get(cid).is_some_and(counted_since) {
            return;
        }
        let heard = self.channels.get(cid).map_or(0, |entry| entry.head);
        let left = self.channels.get(cid).is_none_or(|entry| matches!(entry.standing, Standing::NotMember));
        if left {
            self.channels.insert(cid.clone(), Entry::unknown(heard.max(seq)));
        }
        self.update(cid, |entry| entry.standing = Standing::Unknown);
        self.want(cid);
    }

    fn leave(&mut self, cid: &Cid) {
        // How far the channel was heard of is kept: leaving may be old news, told after a reset that already
        // jumped past it, and a snapshot from before that jump must not be taken for the present.
        self.update(cid, |entry| {
            *entry = Entry { standing: Standing::NotMember, ..Entry::unknown(entry.head) }
        });
        self.wanted.remove(cid);
        if let LoadAll::Running { left } = &mut self.all {
            left.insert(cid.clone());
        }
    }

    /// Takes the server's word on a channel, unless what is known is newer.
    fn adopt(&mut self, snapshot: &Unread) {
        let cid = &snapshot.cid;
        self.channels.entry(cid.clone()).or_insert_with(|| Entry::unknown(snapshot.head));
        let mut adopted = false;
        self.update(cid, |entry| adopted = entry.adopt(snapshot));
        if adopted {
            self.wanted.remove(cid);
        } else {
            self.want(cid);
        }
    }

    /// What an event means for counting.
    fn change(&self, cid: &Cid, seq: Seq, event: &Event) -> Option<ChangeKind> {
        match event {
            Event::MessageNew { message, .. } => Some(ChangeKind::New(worth(message, self.me.as_ref()))),
            // A message that was deleted for good stands like this in its own place.
            Event::MessageDeleted { message_seq, .. } if *message_seq == seq => {
                Some(ChangeKind::New(Worth { now: false, before: None }))
            }
            Event::MessageDeleted { message_seq, .. } => {
                let worth = self.channels.get(cid).and_then(|entry| entry.worth_of(*message_seq));
                Some(ChangeKind::Gone { message_seq: *message_seq, worth })
            }
            _ => None,
        }
    }

    fn channel_event(&mut self, cid: &Cid, seq: Seq, change: Option<ChangeKind>) {
        if !self.channels.contains_key(cid) {
            // Nothing of it was unread at the last snapshot; only these two can matter.
            let matters = match change {
                Some(ChangeKind::New(worth)) => worth.now,
                Some(ChangeKind::Gone { .. }) => true,
                None => false,
            };
            if !matters {
                return;
            }
            self.channels.insert(cid.clone(), Entry::unknown(seq - 1));
            self.want(cid);
        }
        let mut understood = true;
        self.update(cid, |entry| understood = entry.event(seq, change));
        if !understood {
            self.want(cid);
        }
    }

    /// Changes an entry, and the totals with it.
    fn update(&mut self, cid: &Cid, change: impl FnOnce(&mut Entry)) {
        let Some(entry) = self.channels.get_mut(cid) else { return };
        let before = entry.unread();
        change(entry);
        let after = entry.unread();
        let counts = &mut self.counts;
        counts.total_unread_count = counts.total_unread_count - before + after;
        counts.unread_channels = counts.unread_channels - u64::from(before > 0) + u64::from(after > 0);
    }
}

/// The rule.
fn worth(message: &Message, me: Option<&UserId>) -> Worth {
    let own = me == Some(&message.user.id);
    if own || message.silent || message.message_type == MessageType::System {
        return Worth::NOTHING;
    }
    let deleted = message.message_type == MessageType::Deleted || message.deleted_at.is_some();
    // What a deleted message was, a system message perhaps, is no longer told.
    Worth { now: !deleted, before: (!deleted).then_some(true) }
}

impl Entry {
    fn unknown(head: Seq) -> Self {
        Self { standing: Standing::Unknown, window: VecDeque::new(), window_from: head, head }
    }

    fn unread(&self) -> u64 {
        match self.standing {
            Standing::Known { unread, .. } => unread,
            Standing::Unknown | Standing::NotMember => 0,
        }
    }

    fn unread_of(&self, cid: &Cid) -> Option<Unread> {
        let Standing::Known { last_read, unread, as_of } = self.standing else { return None };
        let head = self.head.max(as_of);
        Some(Unread { cid: cid.clone(), last_read_seq: last_read, unread_messages: unread, head })
    }

    /// What the message at this seq is worth now; `None` if the window does not reach it.
    fn worth_of(&self, message_seq: Seq) -> Option<Worth> {
        let worth = self.window.iter().find_map(|change| match change.kind {
            ChangeKind::New(worth) if change.seq == message_seq => Some(worth),
            ChangeKind::New(_) | ChangeKind::Gone { .. } => None,
        })?;
        let gone = self
            .window
            .iter()
            .any(|change| matches!(change.kind, ChangeKind::Gone { message_seq: m, .. } if m == message_seq));
        Some(if gone { Worth::NOTHING } else { worth })
    }

    /// Takes a snapshot, and counts what came after it again. `false`: the window cannot tell.
    fn adopt(&mut self, snapshot: &Unread) -> bool {
        if let Standing::Known { as_of, .. } = self.standing
            && snapshot.head < as_of
        {
            return true;
        }
        let reaches_back = self.window_from <= snapshot.head;
        let recounted = if reaches_back { self.recount(snapshot) } else { None };
        match recounted {
            Some(unread) => {
                let (last_read, as_of) = (snapshot.last_read_seq, snapshot.head);
                self.standing = Standing::Known { last_read, unread, as_of };
            }
            None => self.standing = Standing::Unknown,
        }
        recounted.is_some()
    }

    /// Something up to `head` was missed. `false`: what is known is from before that.
    fn reset(&mut self, head: Seq) -> bool {
        let standing = match std::mem::replace(&mut self.standing, Standing::Unknown) {
            // `ready` told the present before it told of the reset.
            Standing::Known { last_read, unread, as_of } if as_of >= head => {
                Standing::Known { last_read, unread, as_of }
            }
            Standing::Known { .. } | Standing::Unknown => Standing::Unknown,
            Standing::NotMember => Standing::NotMember,
        };
        *self = Self { standing, ..Self::unknown(head) };
        !matches!(self.standing, Standing::Unknown)
    }

    fn recount(&self, snapshot: &Unread) -> Option<u64> {
        let mut unread = snapshot.unread_messages;
        for change in self.window.iter().filter(|change| change.seq > snapshot.head) {
            unread = apply(unread, snapshot.last_read_seq, snapshot.head, change)?;
        }
        Some(unread)
    }

    /// Counts an event. `false`: what is known does not suffice.
    fn event(&mut self, seq: Seq, change: Option<ChangeKind>) -> bool {
        self.head = self.head.max(seq);
        let Some(kind) = change else { return true };
        let change = Change { seq, kind };
        self.window.push_back(change);
        if self.window.len() > WINDOW_LEN
            && let Some(oldest) = self.window.pop_front()
        {
            self.window_from = self.window_from.max(oldest.seq);
        }
        let Standing::Known { last_read, unread, as_of } = &mut self.standing else { return true };
        if seq <= *as_of {
            return true;
        }
        match apply(*unread, *last_read, *as_of, &change) {
            Some(counted) => *unread = counted,
            None => self.standing = Standing::Unknown,
        }
        !matches!(self.standing, Standing::Unknown)
    }
}

/// The count after a change, on top of a snapshot as of some head; `None` where it takes more than is known.
fn apply(unread: u64, last_read: Seq, as_of: Seq, change: &Change) -> Option<u64> {
    match change.kind {
        ChangeKind::New(worth) => Some(unread + u64::from(worth.now && change.seq > last_read)),
        // 0 stands for a place that is no longer known.
        ChangeKind::Gone { message_seq, .. } if message_seq != 0 && message_seq <= last_read => Some(unread),
        ChangeKind::Gone { .. } if unread == 0 => Some(0),
        ChangeKind::Gone { message_seq, worth } => {
            let worth = worth?;
            let counted = if message_seq <= as_of { worth.before? } else { worth.now };
            Some(unread.saturating_sub(u64::from(counted)))
        }
    }
}

#[cfg(test)]
mod tests;
