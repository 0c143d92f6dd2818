//! What a fake server knows, and what follows when something happens in it.
//!
//! No I/O: frames are put into the queues of links, from which [`connection`](super::connection) takes them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use parlour_wire::channels::{Channel, ChannelState};
use parlour_wire::events::{Event, Signal};
use parlour_wire::frames::{EventFrame, ReplacedBy};
use parlour_wire::members::{ChannelRole, Member};
use parlour_wire::messages::{Message, MessageDraft, MessageType};
use parlour_wire::reads::{Read, Unread, UnreadTotals};
use parlour_wire::users::{Me, User, UserBrief};
use parlour_wire::{Cid, CloseCode, ErrorCode, MessageId, Open, Seq, ServerFrame, Timestamp, Topic, UserId};
use serde_json::json;
use tokio::time::Instant;

use super::Seen;
use super::connection::Link;
use crate::TokenClaims;

/// When a fake server begins: 2026-01-01T00:00:00Z. Its clock runs with tokio's.
const BEGINNING_UNIX_MS: i64 = 1_767_225_600_000;

/// What happens to a call.
pub(super) enum Fault {
    RequestLost,
    AnswerLost,
    Refused(ErrorCode),
}

/// A topic's events.
#[derive(Default)]
pub(super) struct Log {
    entries: VecDeque<(Timestamp, Event)>,
    /// Events that are kept no longer: those up to this seq.
    pub(super) trimmed: Seq,
}

impl Log {
    pub(super) fn head(&self) -> Seq {
        self.trimmed + self.entries.len() as Seq
    }

    /// The kept events above `after` that are not older than `since`.
    fn from(&self, after: Seq, since: Timestamp) -> impl Iterator<Item = (Seq, &Event)> {
        let numbered = (self.trimmed + 1..).zip(&self.entries);
        numbered
            .filter(move |(seq, (at, _))| *seq > after && *at >= since)
            .map(|(seq, (_, event))| (seq, event))
    }
}

pub(super) struct Room {
    pub(super) channel: Channel,
    pub(super) members: BTreeMap<UserId, Member>,
    pub(super) reads: BTreeMap<UserId, Read>,
    pub(super) messages: Vec<Message>,
}

pub(super) struct World {
    begun: Instant,
    seeds: u64,
    pub(super) seen: Seen,
    pub(super) users: BTreeMap<UserId, User>,
    pub(super) rooms: BTreeMap<Cid, Room>,
    logs: BTreeMap<Topic, Log>,
    tokens: BTreeMap<String, UserId>,
    expired: BTreeSet<String>,
    /// Users whose next resume is a reset.
    pub(super) forgotten: BTreeSet<UserId>,
    pub(super) links: BTreeMap<usize, Link>,
    pub(super) faults: VecDeque<Fault>,
    /// How often the next event is told: once, unless a test wants it otherwise.
    pub(super) copies_of_next_event: usize,
    pub(super) delay: Duration,
    pub(super) is_down: bool,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            begun: Instant::now(),
            seeds: 0,
            seen: Seen::default(),
            users: BTreeMap::new(),
            rooms: BTreeMap::new(),
            logs: BTreeMap::new(),
            tokens: BTreeMap::new(),
            expired: BTreeSet::new(),
            forgotten: BTreeSet::new(),
            links: BTreeMap::new(),
            faults: VecDeque::new(),
            copies_of_next_event: 1,
            delay: Duration::ZERO,
            is_down: false,
        }
    }

    pub(super) fn next_seed(&mut self) -> u64 {
        self.seeds += 1;
        self.seeds
    }

    pub(super) fn now(&self) -> Timestamp {
        let elapsed = i64::try_from(self.begun.elapsed().as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_unix_ms(BEGINNING_UNIX_MS.saturating_add(elapsed))
    }

    // Users and their tokens.

    pub(super) fn make_token(&mut self, user: &UserId) -> String {
        let claims = json!({ "user_id": user.as_str(), "jti": format!("t{}", self.tokens.len()) });
        let key = jsonwebtoken::EncodingKey::from_secret(b"the fake server's");
        let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key)
            .expect("claims of two texts are signed");
        self.tokens.insert(token.clone(), user.clone());
        token
    }

    /// Whose token this is; `named` is who says so, where the token does not.
    pub(super) fn verify(&mut self, token: &str, named: Option<&UserId>) -> Result<UserId, ErrorCode> {
        let claimed = TokenClaims::read(token).ok().and_then(|claims| claims.user().ok().flatten());
        let known = claimed.or_else(|| self.tokens.get(token).cloned());
        let user = known.or_else(|| named.cloned()).ok_or(ErrorCode::TokenMalformed)?;
        if named.is_some_and(|named| *named != user) {
            return Err(ErrorCode::WrongUser);
        }
        self.tokens.insert(token.to_owned(), user.clone());
        if self.expired.contains(token) { Err(ErrorCode::TokenExpired) } else { Ok(user) }
    }

    pub(super) fn expire_tokens(&mut self, due: Instant) {
        self.expired.extend(self.tokens.keys().cloned());
        let grace_ms = u32::try_from((due - Instant::now()).as_millis()).unwrap_or(u32::MAX);
        for link in self.links.values_mut() {
            link.token_due = Some(due);
        }
        self.tell_all(&ServerFrame::TokenExpiring { grace_ms });
    }

    pub(super) fn user(&mut self, id: &UserId) -> &mut User {
        let now = self.now();
        self.users.entry(id.clone()).or_insert_with(|| User::new(id.clone(), now))
    }

    pub(super) fn brief(&self, id: &UserId) -> UserBrief {
        let field = |name| Some(self.users.get(id)?.custom.get(name)?.as_str()?.to_owned());
        UserBrief { id: id.clone(), name: field("name"), image: field("image") }
    }

    pub(super) fn me(&self, id: &UserId) -> Option<Me> {
        let totals = self.unread_totals(id);
        let online = self.links.values().any(|link| link.user.as_ref() == Some(id));
        Some(Me {
            total_unread_count: totals.total_unread_count,
            unread_channels: totals.unread_channels,
            mutes: Vec::new(),
            devices: Vec::new(),
            user: User { online, ..self.users.get(id)?.clone() },
        })
    }

    // Topics.

    pub(super) fn head(&self, topic: &Topic) -> Seq {
        self.logs.get(topic).map_or(0, Log::head)
    }

    pub(super) fn trimmed(&self, topic: &Topic) -> Seq {
        self.logs.get(topic).map_or(0, |log| log.trimmed)
    }

    pub(super) fn events(&self, topic: &Topic) -> Vec<Event> {
        self.missed(topic, 0, Timestamp::default())
            .into_iter()
            .filter_map(|frame| match frame.event {
                Open::Known(event) => Some(event),
                Open::Unknown(_) => None,
            })
            .collect()
    }

    /// The events of a topic above `after` that are not older than `since`, as they read now.
    pub(super) fn missed(&self, topic: &Topic, after: Seq, since: Timestamp) -> Vec<EventFrame> {
        let Some(log) = self.logs.get(topic) else { return Vec::new() };
        let frame = |(seq, event): (Seq, &Event)| {
            let event = Open::Known(self.as_it_is_now(event));
            EventFrame { topic: topic.clone(), seq, event }
        };
        log.from(after, since).map(frame).collect()
    }

    /// A message that is told again is told as it is, not as it was.
    fn as_it_is_now(&self, event: &Event) -> Event {
        let Event::MessageNew { cid, created_at, message } = event else { return event.clone() };
        let present = self.message(cid, &message.id).unwrap_or(message);
        Event::MessageNew { cid: cid.clone(), created_at: *created_at, message: present.clone() }
    }

    pub(super) fn listens(&self, user: &UserId, topic: &Topic) -> bool {
        match topic {
            Topic::User(id) => id == user,
            Topic::App(_) => true,
            Topic::Channel(cid) => self.is_member(cid, user),
            Topic::Unknown(_) => false,
        }
    }

    /// What a user hears without asking.
    pub(super) fn topics_of(&self, user: &UserId) -> Vec<Topic> {
        let channels = self.rooms.keys().filter(|cid| self.is_member(cid, user)).cloned().map(Topic::Channel);
        std::iter::once(Topic::User(user.clone())).chain(channels).collect()
    }

    pub(super) fn publish(&mut self, topic: &Topic, event: Event) {
        let now = self.now();
        let log = self.logs.entry(topic.clone()).or_default();
        log.entries.push_back((now, event.clone()));
        let seq = log.head();
        let copies = std::mem::replace(&mut self.copies_of_next_event, 1);
        let frame = EventFrame { topic: topic.clone(), seq, event: Open::Known(event) };
        let frame = ServerFrame::Event(Box::new(frame));
        for number in self.listeners(topic) {
            for _ in 0..copies {
                self.tell(number, &frame);
            }
        }
    }

    /// Tells a signal to all who listen but the user who made it.
    pub(super) fn signal(&mut self, topic: &Topic, by: &UserId, signal: &Signal) {
        let frame = ServerFrame::Signal { topic: Some(topic.clone()), signal: Open::Known(signal.clone()) };
        for number in self.listeners(topic) {
            if self.links.get(&number).is_some_and(|link| link.user.as_ref() != Some(by)) {
                self.tell(number, &frame);
            }
        }
    }

    fn listeners(&self, topic: &Topic) -> Vec<usize> {
        let hears = |link: &Link| {
            let user = link.user.as_ref();
            user.is_some_and(|user| self.listens(user, topic)) || link.watched.contains(topic)
        };
        self.links.iter().filter(|(_, link)| hears(link)).map(|(number, _)| *number).collect()
    }

    pub(super) fn forget_history(&mut self) {
        for log in self.logs.values_mut() {
            log.trimmed = log.head();
            log.entries.clear();
        }
        self.forgotten.extend(self.users.keys().cloned());
    }

    // Links.

    pub(super) fn tell(&mut self, number: usize, frame: &ServerFrame) {
        let delay = self.delay;
        if let Some(link) = self.links.get_mut(&number) {
            link.tell(frame, delay);
        }
    }

    pub(super) fn tell_all(&mut self, frame: &ServerFrame) {
        for number in self.links.keys().copied().collect::<Vec<_>>() {
            self.tell(number, frame);
        }
    }

    pub(super) fn end(&mut self, number: usize, code: Option<CloseCode>) {
        let delay = self.delay;
        if let Some(link) = self.links.remove(&number) {
            link.end(code, delay);
        }
    }

    /// Ends every connection of which an end can be told.
    pub(super) fn end_all(&mut self, code: Option<CloseCode>) {
        let live: Vec<usize> =
            self.links.iter().filter(|(_, link)| !link.is_silent).map(|(number, _)| *number).collect();
        for number in live {
            self.end(number, code);
        }
    }

    pub(super) fn dismiss_all(&mut self, code: CloseCode, replaced_by: &ReplacedBy) {
        self.tell_all(&ServerFrame::Bye {
            code,
            reason: code.meaning().to_owned(),
            retry_after_ms: None,
            replaced_by: Some(replaced_by.clone()),
        });
        self.end_all(Some(code));
    }

    pub(super) fn silence_all(&mut self) {
        for link in self.links.values_mut() {
            link.is_silent = true;
        }
    }

    // Channels.

    pub(super) fn is_member(&self, cid: &Cid, user: &UserId) -> bool {
        self.rooms.get(cid).is_some_and(|room| room.members.contains_key(user))
    }

    pub(super) fn message(&self, cid: &Cid, id: &MessageId) -> Option<&Message> {
        self.rooms.get(cid)?.messages.iter().find(|message| message.id == *id)
    }

    /// Makes the channel if it is not there, and these users its members. Whether it was made.
    pub(super) fn open_channel(&mut self, cid: &Cid, members: &[UserId]) -> bool {
        let (now, topic) = (self.now(), Topic::Channel(cid.clone()));
        let is_new = !self.rooms.contains_key(cid);
        if is_new {
            let channel = Channel {
                created_by: members.first().map(|id| self.brief(id)),
                ..Channel::new(cid.clone(), now)
            };
            let room = Room {
                channel: channel.clone(),
                members: BTreeMap::new(),
                reads: BTreeMap::new(),
                messages: Vec::new(),
            };
            self.rooms.insert(cid.clone(), room);
            self.publish(&topic, Event::ChannelCreated { cid: cid.clone(), created_at: now, channel });
        }
        for (place, user) in members.iter().enumerate() {
            let role = if is_new && place == 0 { ChannelRole::Owner } else { ChannelRole::Member };
            self.add_member(cid, user, role);
        }
        is_new
    }

    pub(super) fn add_member(&mut self, cid: &Cid, user: &UserId, channel_role: ChannelRole) {
        if self.is_member(cid, user) {
            return;
        }
        let (now, topic) = (self.now(), Topic::Channel(cid.clone()));
        self.user(user);
        let member = Member {
            user_id: user.clone(),
            user: self.brief(user),
            channel_role,
            created_at: now,
            hidden_up_to: 0,
        };
        // Who joins is not told that all before is unread.
        let seq = self.head(&topic) + 1;
        let read = Read { user_id: user.clone(), last_read_seq: seq, last_read_at: now };
        let Some(room) = self.rooms.get_mut(cid) else { return };
        room.members.insert(user.clone(), member.clone());
        room.reads.insert(user.clone(), read);
        room.channel.member_count += 1;
        let channel = room.channel.clone();
        self.publish(&topic, Event::MemberAdded { cid: cid.clone(), created_at: now, member });
        let told = Event::AddedToChannel { cid: cid.clone(), created_at: now, channel, seq };
        self.publish(&Topic::User(user.clone()), told);
    }

    pub(super) fn remove_member(&mut self, cid: &Cid, user: &UserId) {
        let now = self.now();
        let Some(room) = self.rooms.get_mut(cid) else { return };
        if room.members.remove(user).is_none() {
            return;
        }
        room.reads.remove(user);
        room.channel.member_count -= 1;
        let removed = Event::MemberRemoved { cid: cid.clone(), created_at: now, user: self.brief(user) };
        self.publish(&Topic::Channel(cid.clone()), removed);
        let told = Event::RemovedFromChannel { cid: cid.clone(), created_at: now };
        self.publish(&Topic::User(user.clone()), told);
    }

    /// The message of a draft, stored and told; the one that is there, where its id was sent before.
    pub(super) fn say(&mut self, cid: &Cid, user: &UserId, draft: MessageDraft) -> Message {
        let sent_before = draft.id.as_ref().and_then(|id| self.message(cid, id));
        if let Some(message) = sent_before {
            return message.clone();
        }
        let (now, topic) = (self.now(), Topic::Channel(cid.clone()));
        let seq = self.head(&topic) + 1;
        let id = draft.id.unwrap_or_else(|| {
            MessageId::parse(&format!("{}-{seq}", cid.id.as_str().replace('!', "_")))
                .expect("a channel's id and a number are a message's id")
        });
        let message = Message {
            id,
            cid: cid.clone(),
            seq,
            message_type: MessageType::Regular,
            text: draft.text,
            user: self.brief(user),
            created_at: now,
            updated_at: now,
            edited_at: None,
            deleted_at: None,
            attachments: draft.attachments,
            mentioned_users: draft.mentioned_users,
            silent: draft.silent,
            shadowed: false,
            custom: draft.custom,
        };
        if let Some(room) = self.rooms.get_mut(cid) {
            room.messages.push(message.clone());
            room.channel.last_message_at = Some(now);
        }
        let event = Event::MessageNew { cid: cid.clone(), created_at: now, message: message.clone() };
        self.publish(&topic, event);
        message
    }

    // Reading.

    pub(super) fn unread(&self, cid: &Cid, user: &UserId) -> Option<Unread> {
        let room = self.rooms.get(cid)?;
        let last_read_seq = room.reads.get(user)?.last_read_seq;
        let counts = |message: &&Message| {
            message.seq > last_read_seq
                && message.user.id != *user
                && !message.silent
                && message.message_type == MessageType::Regular
        };
        Some(Unread {
            cid: cid.clone(),
            last_read_seq,
            unread_messages: room.messages.iter().filter(counts).count() as u64,
            head: self.head(&Topic::Channel(cid.clone())),
        })
    }

    pub(super) fn unread_totals(&self, user: &UserId) -> UnreadTotals {
        let channels: Vec<Unread> = self.rooms.keys().filter_map(|cid| self.unread(cid, user)).collect();
        UnreadTotals {
            total_unread_count: channels.iter().map(|unread| unread.unread_messages).sum(),
            unread_channels: channels.iter().filter(|unread| unread.unread_messages > 0).count() as u64,
            channels,
        }
    }

    /// Moves a read position forward, and tells the user's devices and the channel.
    pub(super) fn read_up_to(&mut self, cid: &Cid, user: &UserId, seq: Seq) {
        let stands_at = self.unread(cid, user).map(|unread| unread.last_read_seq);
        if stands_at.is_none_or(|stands_at| seq <= stands_at) {
            return;
        }
        self.set_read(cid, user, seq);
        let (now, user_brief) = (self.now(), self.brief(user));
        let read =
            Event::MessageRead { cid: cid.clone(), created_at: now, user: user_brief, last_read_seq: seq };
        self.publish(&Topic::Channel(cid.clone()), read);
        self.tell_position(cid, user);
    }

    /// Moves a read position back, and tells the user's devices alone.
    pub(super) fn unread_from(&mut self, cid: &Cid, user: &UserId, seq: Seq) {
        self.set_read(cid, user, seq.saturating_sub(1));
        self.tell_position(cid, user);
    }

    fn set_read(&mut self, cid: &Cid, user: &UserId, seq: Seq) {
        let now = self.now();
        if let Some(read) = self.rooms.get_mut(cid).and_then(|room| room.reads.get_mut(user)) {
            (read.last_read_seq, read.last_read_at) = (seq, now);
        }
    }

    fn tell_position(&mut self, cid: &Cid, user: &UserId) {
        let Some(Unread { last_read_seq, unread_messages, head, .. }) = self.unread(cid, user) else {
            return;
        };
        let created_at = self.now();
        let event = Event::MarkRead { cid: cid.clone(), created_at, last_read_seq, unread_messages, head };
        self.publish(&Topic::User(user.clone()), event);
    }

    /// The channel as this user sees it, with up to `messages` of the latest.
    pub(super) fn state(&self, cid: &Cid, user: &UserId, messages: usize) -> Option<ChannelState> {
        let room = self.rooms.get(cid)?;
        let from = room.messages.len().saturating_sub(messages);
        Some(ChannelState {
            channel: room.channel.clone(),
            head: self.head(&Topic::Channel(cid.clone())),
            members: room.members.values().cloned().collect(),
            messages: room.messages[from..].to_vec(),
            reads: room.reads.values().cloned().collect(),
            watchers: 0,
            membership: room.members.get(user).cloned(),
            unread: self.unread(cid, user),
        })
    }
}
