//! The event log: one row per event, with its kind and what it is about; rendered when it is read.
//!
//! A message is its own row in it: that it came is an event of the same place and time, so that nothing is
//! written twice. Every seq above a topic's floor is one of an event's row or of a message's, and never of
//! both; a message that goes for good leaves an event's row (a trigger sees to it).
//!
//! A fresh event and a replayed one go through the same [`render`], from the state of that moment; only a message
//! that was just stored is told as it was stored, without being read again. What no longer exists or may no longer
//! be shown becomes a `placeholder` (a hard-deleted message: its `message.deleted`) in the same place, so that
//! nobody ever sees a hole.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;

use parlour_wire::messages::Message;
use parlour_wire::{AppKey, Cid, Epoch, Event, MessageId, Open, Seq, Timestamp, Topic, UserId};
use rusqlite::types::{FromSql, Type};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::column::{Count, Parsed, Time, is_of_one_row};
use super::messages::Eyes;
use super::{apps, bans, channels, members, messages, relations, users};
use crate::{AppId, Events, Logged, Reader, Result, TopicStart};

/// A transaction that writes, and the events that it has logged so far.
pub(super) struct Tx<'c> {
    conn: &'c Connection,
    memory: &'c Memory,
    logged: RefCell<Vec<Entered>>,
}

/// What the writer remembers from one transaction to the next.
pub(super) struct Memory {
    /// The last place that an event was given in the order of all: rising, with holes where a write came to nothing,
    /// and never the same twice.
    log_id: Cell<i64>,
    epoch: Epoch,
    /// An app keeps its key.
    app_keys: RefCell<HashMap<AppId, AppKey>>,
}

impl Memory {
    /// Goes on after the last place that was given.
    pub(super) fn of(conn: &Connection) -> Result<Self> {
        // What was trimmed or removed counts as well: `autoincrement` remembers the highest of all times, and
        // a message that went left its number among the events.
        let last = conn.query_row(
            "select max(coalesce((select seq from sqlite_sequence where name = 'events'), 0),
                        coalesce((select max(id) from messages), 0))",
            [],
            |row| row.get(0),
        )?;
        Ok(Self { log_id: Cell::new(last), epoch: apps::epoch(conn)?, app_keys: RefCell::default() })
    }

    fn next_log_id(&self) -> i64 {
        let next = self.log_id.get() + 1;
        self.log_id.set(next);
        next
    }
}

/// An event that a transaction logged.
enum Entered {
    /// To be rendered when the transaction has done all its changes.
    Row(LogRow),
    /// Already as everybody sees it.
    Rendered(Arc<Logged>),
}

impl Deref for Tx<'_> {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        self.conn
    }
}

/// What an event is about, as it is stored.
pub(super) struct Entry<'a> {
    kind: &'static str,
    subject: Option<&'a str>,
    numbers: [Option<u64>; 3],
}

impl<'a> Entry<'a> {
    fn new(kind: &'static str, subject: Option<&'a str>, numbers: [Option<u64>; 3]) -> Self {
        Self { kind, subject, numbers }
    }

    pub(super) fn message_updated(id: &'a MessageId, seq: Seq) -> Self {
        Self::new("message.updated", Some(id.as_str()), [Some(seq), None, None])
    }

    pub(super) fn message_deleted(id: &'a MessageId, seq: Seq) -> Self {
        Self::new("message.deleted", Some(id.as_str()), [Some(seq), None, None])
    }

    pub(super) fn message_read(user: &'a UserId, last_read: Seq) -> Self {
        Self::new("message.read", Some(user.as_str()), [Some(last_read), None, None])
    }

    pub(super) fn channel_created() -> Self {
        Self::new("channel.created", None, [None; 3])
    }

    pub(super) fn channel_updated() -> Self {
        Self::new("channel.updated", None, [None; 3])
    }

    pub(super) fn channel_deleted() -> Self {
        Self::new("channel.deleted", None, [None; 3])
    }

    pub(super) fn member_added(user: &'a UserId) -> Self {
        Self::new("member.added", Some(user.as_str()), [None; 3])
    }

    pub(super) fn member_removed(user: &'a UserId) -> Self {
        Self::new("member.removed", Some(user.as_str()), [None; 3])
    }

    pub(super) fn added_to_channel(cid: &'a str, seq: Seq) -> Self {
        Self::new("notification.added_to_channel", Some(cid), [Some(seq), None, None])
    }

    pub(super) fn removed_from_channel(cid: &'a str) -> Self {
        Self::new("notification.removed_from_channel", Some(cid), [None; 3])
    }

    pub(super) fn mark_read(cid: &'a str, last_read: Seq, unread: u64, head: Seq) -> Self {
        Self::new("notification.mark_read", Some(cid), [Some(last_read), Some(unread), Some(head)])
    }

    /// `before`: what was issued before that time; absent: nothing is revoked any more.
    pub(super) fn tokens_revoked(before: Option<Timestamp>) -> Self {
        let before = before.map(|at| u64::try_from(at.unix_ms()).unwrap_or(0));
        Self::new("tokens.revoked", None, [before, None, None])
    }

    /// In the topic of the sender, who alone hears of it: what would be `message.new` for all.
    pub(super) fn shadow_new(id: &'a MessageId, seq: Seq, channel: i64) -> Self {
        Self::new("shadow.new", Some(id.as_str()), [Some(seq), number(channel), None])
    }

    pub(super) fn shadow_updated(id: &'a MessageId, seq: Seq, channel: i64) -> Self {
        Self::new("shadow.updated", Some(id.as_str()), [Some(seq), number(channel), None])
    }

    pub(super) fn shadow_deleted(id: &'a MessageId, seq: Seq, channel: i64) -> Self {
        Self::new("shadow.deleted", Some(id.as_str()), [Some(seq), number(channel), None])
    }

    /// From a channel, by its row; 0: from the app.
    pub(super) fn user_banned(channel: i64) -> Self {
        Self::new("user.banned", None, [number(channel), None, None])
    }

    pub(super) fn user_unbanned(channel: i64) -> Self {
        Self::new("user.unbanned", None, [number(channel), None, None])
    }

    pub(super) fn mutes_updated() -> Self {
        Self::new("notification.mutes_updated", None, [None; 3])
    }

    pub(super) fn member_updated(user: &'a UserId) -> Self {
        Self::new("member.updated", Some(user.as_str()), [None; 3])
    }

    pub(super) fn user_updated() -> Self {
        Self::new("user.updated", None, [None; 3])
    }

    pub(super) fn user_deactivated() -> Self {
        Self::new("user.deactivated", None, [None; 3])
    }

    pub(super) fn user_reactivated() -> Self {
        Self::new("user.reactivated", None, [None; 3])
    }

    pub(super) fn user_deleted() -> Self {
        Self::new("user.deleted", None, [None; 3])
    }

    pub(super) fn user_restored() -> Self {
        Self::new("user.restored", None, [None; 3])
    }
}

fn number(row: i64) -> Option<u64> {
    u64::try_from(row).ok()
}

/// Where an event came to stand.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) log_id: i64,
    pub(super) seq: Seq,
    /// The event's time: `now`, unless the topic has seen a later one.
    pub(super) at: Timestamp,
}

impl<'c> Tx<'c> {
    pub(super) fn new(conn: &'c Connection, memory: &'c Memory) -> Self {
        Self { conn, memory, logged: RefCell::default() }
    }

    /// See [`crate::Store::epoch`].
    pub(super) fn epoch(&self) -> &'c Epoch {
        &self.memory.epoch
    }

    pub(super) fn app_key(&self, app: AppId) -> Result<AppKey> {
        if let Some(key) = self.memory.app_keys.borrow().get(&app) {
            return Ok(key.clone());
        }
        let key = apps::key(self, app)?;
        self.memory.app_keys.borrow_mut().insert(app, key.clone());
        Ok(key)
    }

    /// The events that were logged, in their order, as everybody sees them.
    pub(super) fn into_events(self) -> Result<Vec<Arc<Logged>>> {
        let Self { conn, logged, .. } = self;
        let render = |entered| match entered {
            Entered::Row(row) => render(conn, row).map(Arc::new),
            Entered::Rendered(logged) => Ok(logged),
        };
        logged.into_inner().into_iter().map(render).collect()
    }

    /// Puts an event at the end of a topic.
    pub(super) fn log(&self, app: AppId, topic: Topic, entry: &Entry<'_>, now: Timestamp) -> Result<Place> {
        let row = topic_or_new(self, app, &topic)?;
        let place = self.place(&row, now)?;
        let (topic_id, Place { log_id, seq, at }) = (row.id, place);
        let [n1, n2, n3] = entry.numbers.map(|number| number.map(Count));
        self.prepare_cached(
            "insert into events (log_id, topic, seq, kind, created_at, subject, n1, n2, n3)
             values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            log_id,
            topic_id,
            Count(seq),
            entry.kind,
            Time(at),
            entry.subject,
            n1,
            n2,
            n3
        ])?;
        self.logged.borrow_mut().push(Entered::Row(LogRow {
            log_id,
            app,
            topic,
            topic_id,
            seq,
            created_at: at,
            kind: entry.kind.to_owned(),
            subject: entry.subject.map(str::to_owned),
            numbers: entry.numbers,
        }));
        Ok(place)
    }

    /// Gives the next place in a topic, whose row was read in this transaction, after whatever it last logged there.
    /// This is the one place where a seq is given.
    pub(super) fn place(&self, topic: &TopicRow, now: Timestamp) -> Result<Place> {
        // Nobody else writes while this transaction does, so that the seqs are an order. Times never step back
        // within a topic, so that a time cuts the log at one seq. Not by `returning`, which builds a table for
        // its one row.
        let (seq, at) = (topic.head + 1, now.max(topic.last_at));
        self.prepare_cached("update topics set head = ?2, last_at = ?3 where id = ?1")?.execute(params![
            topic.id,
            Count(seq),
            Time(at)
        ])?;
        Ok(Place { log_id: self.memory.next_log_id(), seq, at })
    }

    /// Tells that a message has come, whose row stands in its place.
    pub(super) fn tell_message(&self, app: AppId, place: Place, message: Message) {
        self.tell(app, place, Topic::Channel(message.cid.clone()), message_new(message));
    }

    /// Tells that something came of which nobody is to know what.
    pub(super) fn tell_placeholder(&self, app: AppId, place: Place, cid: &Cid) {
        let placeholder = Event::Placeholder { created_at: place.at };
        self.tell(app, place, Topic::Channel(cid.clone()), placeholder);
    }

    fn tell(&self, app: AppId, place: Place, topic: Topic, event: Event) {
        let Place { log_id, seq, .. } = place;
        let logged = Logged { app, log_id, topic, seq, event: Open::Known(event) };
        self.logged.borrow_mut().push(Entered::Rendered(Arc::new(logged)));
    }
}

/// A row of the log.
pub(super) struct LogRow {
    log_id: i64,
    app: AppId,
    topic: Topic,
    topic_id: i64,
    seq: Seq,
    created_at: Timestamp,
    kind: String,
    subject: Option<String>,
    numbers: [Option<u64>; 3],
}

impl LogRow {
    fn cid(&self) -> rusqlite::Result<Cid> {
        match &self.topic {
            Topic::Channel(cid) => Ok(cid.clone()),
            Topic::User(_) | Topic::App(_) | Topic::Unknown(_) => Err(unreadable("not in a channel's topic")),
        }
    }

    fn subject<T>(&self) -> rusqlite::Result<T>
    where
        Parsed<T>: FromSql,
    {
        let text =
            self.subject.as_deref().ok_or_else(|| unreadable("it says nothing of what it is about"))?;
        Parsed::column_result(text.into())
            .map(|Parsed(id)| id)
            .map_err(|e| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(e)))
    }

    /// Whose topic it is in.
    fn owner(&self) -> rusqlite::Result<&UserId> {
        match &self.topic {
            Topic::User(user) => Ok(user),
            Topic::Channel(_) | Topic::App(_) | Topic::Unknown(_) => Err(unreadable("not in a user's topic")),
        }
    }

    /// The channel whose row this number is; `None`: there is none, or there is none any more.
    fn channel(&self, conn: &Connection, at: usize) -> rusqlite::Result<Option<(i64, Cid)>> {
        let id = i64::try_from(self.number(at)?).unwrap_or_default();
        let topic = conn
            .prepare_cached("select topic from topics where id = ?1")?
            .query_row([id], |row| Ok(row.get::<_, Parsed<Topic>>(0)?.0))
            .optional()?;
        match topic {
            Some(Topic::Channel(cid)) => Ok(Some((id, cid))),
            _ => Ok(None),
        }
    }

    fn number(&self, at: usize) -> rusqlite::Result<u64> {
        self.numbers.get(at).copied().flatten().ok_or_else(|| unreadable("a number is missing"))
    }
}

fn unreadable(why: &'static str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, Type::Null, why.into())
}

/// Renders a row from the present state. It fails only where the database does.
fn render(conn: &Connection, row: LogRow) -> Result<Logged> {
    let event = match readable_event(conn, &row) {
        Ok(event) => event,
        Err(error) if is_of_one_row(&error) => {
            let (topic, seq) = (row.topic.to_string(), row.seq);
            tracing::error!(topic, seq, %error, "an event cannot be read: a placeholder keeps its place");
            None
        }
        Err(error) => return Err(error.into()),
    };
    let event = event.unwrap_or(Event::Placeholder { created_at: row.created_at });
    Ok(Logged { app: row.app, log_id: row.log_id, topic: row.topic, seq: row.seq, event: Open::Known(event) })
}

/// The event; `None` where what it is about may no longer be shown.
fn readable_event(conn: &Connection, row: &LogRow) -> rusqlite::Result<Option<Event>> {
    let created_at = row.created_at;
    let event = match row.kind.as_str() {
        // The message itself is gone, or it would stand here in this entry's stead.
        "message.new" => message_event(conn, row, (row.topic_id, row.cid()?), row.seq, Eyes::Public)?,
        "message.updated" | "message.deleted" => {
            message_event(conn, row, (row.topic_id, row.cid()?), row.number(0)?, Eyes::Public)?
        }
        "shadow.new" | "shadow.updated" | "shadow.deleted" => {
            let Some(channel) = row.channel(conn, 1)? else { return Ok(None) };
            message_event(conn, row, channel, row.number(0)?, Eyes::User(row.owner()?))?
        }
        "message.read" => {
            let id = row.subject()?;
            let Some(user) = users::brief_with_receipts(conn, row.app, &id)? else { return Ok(None) };
            Event::MessageRead { cid: row.cid()?, created_at, user, last_read_seq: row.number(0)? }
        }
        "channel.created" | "channel.updated" => {
            let cid = row.cid()?;
            let Some(channel) = channels::find(conn, row.app, &cid)?.map(|found| found.channel) else {
                return Ok(None);
            };
            match row.kind.as_str() {
                "channel.created" => Event::ChannelCreated { cid, created_at, channel },
                _ => Event::ChannelUpdated { cid, created_at, channel },
            }
        }
        "channel.deleted" => Event::ChannelDeleted { cid: row.cid()?, created_at },
        "member.added" | "member.updated" => {
            let Some(found) = members::find(conn, row.topic_id, &row.subject()?)? else { return Ok(None) };
            let (cid, member) = (row.cid()?, found.member);
            match row.kind.as_str() {
                "member.added" => Event::MemberAdded { cid, created_at, member },
                _ => Event::MemberUpdated { cid, created_at, member },
            }
        }
        "member.removed" => {
            let user = users::brief(conn, row.app, &row.subject()?)?;
            Event::MemberRemoved { cid: row.cid()?, created_at, user }
        }
        "notification.added_to_channel" => {
            let cid: Cid = row.subject()?;
            let Topic::User(user) = &row.topic else { return Err(unreadable("not in a user's topic")) };
            // A user who has been removed since then must not see what became of the channel.
            let Some(found) = channels::find(conn, row.app, &cid)? else { return Ok(None) };
            if members::find(conn, found.id, user)?.is_none() {
                return Ok(None);
            }
            Event::AddedToChannel { cid, created_at, channel: found.channel, seq: row.number(0)? }
        }
        "notification.removed_from_channel" => Event::RemovedFromChannel { cid: row.subject()?, created_at },
        "notification.mark_read" => Event::MarkRead {
            cid: row.subject()?,
            created_at,
            last_read_seq: row.number(0)?,
            unread_messages: row.number(1)?,
            head: row.number(2)?,
        },
        "user.banned" => {
            let channel = i64::try_from(row.number(0)?).unwrap_or_default();
            let cid = row.channel(conn, 0)?.map(|(_, cid)| cid);
            let ban = bans::told(conn, row.app, row.owner()?, channel)?;
            let (ends_at, reason) = ban.map_or((None, None), |ban| (ban.ends_at, ban.reason));
            Event::UserBanned { created_at, cid, reason, ends_at }
        }
        "user.unbanned" => Event::UserUnbanned { created_at, cid: row.channel(conn, 0)?.map(|(_, cid)| cid) },
        "notification.mutes_updated" => {
            let mutes = relations::mutes(conn, row.app, row.owner()?, created_at)?;
            Event::MutesUpdated { created_at, mutes }
        }
        kind @ ("user.updated" | "user.deactivated" | "user.reactivated" | "user.deleted"
        | "user.restored") => {
            let Some(user) = users::find(conn, row.app, row.owner()?)? else { return Ok(None) };
            match kind {
                "user.deactivated" => Event::UserDeactivated { created_at, user },
                "user.reactivated" => Event::UserReactivated { created_at, user },
                "user.deleted" => Event::UserDeleted { created_at, user },
                "user.restored" => Event::UserRestored { created_at, user },
                _ => Event::UserUpdated { created_at, user },
            }
        }
        "tokens.revoked" => {
            let ms = row.numbers[0].map(|ms| i64::try_from(ms).unwrap_or(i64::MAX));
            Event::TokensRevoked { created_at, issued_before: ms.map(Timestamp::from_unix_ms) }
        }
        "placeholder" => return Ok(None),
        _ => return Err(unreadable("of a kind that this version does not know")),
    };
    Ok(Some(event))
}

fn message_event(
    conn: &Connection,
    row: &LogRow,
    (channel, cid): (i64, Cid),
    message_seq: Seq,
    eyes: Eyes<'_>,
) -> rusqlite::Result<Event> {
    let created_at = row.created_at;
    // By its place and not by its id: an id may be used again when the message is long gone.
    let Some(message) = messages::at(conn, channel, &cid, message_seq, eyes)? else {
        let message_id = row.subject()?;
        return Ok(Event::MessageDeleted {
            cid,
            created_at,
            message_id,
            message_seq,
            hard: true,
            message: None,
        });
    };
    Ok(match row.kind.as_str() {
        "shadow.new" => message_new(message),
        "message.deleted" | "shadow.deleted" => Event::MessageDeleted {
            cid,
            created_at,
            message_id: message.id.clone(),
            message_seq,
            hard: false,
            message: Some(message),
        },
        _ => Event::MessageUpdated { cid, created_at, message },
    })
}

/// That this message came.
fn message_new(message: Message) -> Event {
    Event::MessageNew { cid: message.cid.clone(), created_at: message.created_at, message }
}

/// A topic's row: where it ends and begins, and when that was.
pub(super) struct TopicRow {
    pub(super) id: i64,
    pub(super) head: Seq,
    pub(super) last_at: Timestamp,
    pub(super) floor: Seq,
    pub(super) floor_at: Timestamp,
}

/// The columns that [`TopicRow::read`] reads.
macro_rules! topic_columns {
    () => {
        "topics.id, topics.head, topics.last_at, topics.floor, topics.floor_at"
    };
}
pub(super) use topic_columns;

impl TopicRow {
    /// From its columns, which begin at this one.
    pub(super) fn read(row: &Row<'_>, from: usize) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(from)?,
            head: row.get::<_, Count>(from + 1)?.0,
            last_at: row.get::<_, Time>(from + 2)?.0,
            floor: row.get::<_, Count>(from + 3)?.0,
            floor_at: row.get::<_, Time>(from + 4)?.0,
        })
    }
}

/// The topic, if anything was ever logged in it.
pub(super) fn topic(conn: &Connection, app: AppId, topic: &Topic) -> Result<Option<TopicRow>> {
    let found = conn
        .prepare_cached(concat!("select ", topic_columns!(), " from topics where app = ?1 and topic = ?2"))?
        .query_row(params![app.0, topic.to_string()], |row| TopicRow::read(row, 0))
        .optional()?;
    Ok(found)
}

/// The topic, made without any event where it was not there.
pub(super) fn topic_or_new(tx: &Tx<'_>, app: AppId, name: &Topic) -> Result<TopicRow> {
    if let Some(found) = topic(tx, app, name)? {
        return Ok(found);
    }
    tx.prepare_cached("insert into topics (app, topic) values (?1, ?2)")?
        .execute(params![app.0, name.to_string()])?;
    let (last_at, floor_at) = (Timestamp::from_unix_ms(0), Timestamp::from_unix_ms(0));
    Ok(TopicRow { id: tx.last_insert_rowid(), head: 0, last_at, floor: 0, floor_at })
}

/// Makes unreadable what stands in the topic so far.
pub(super) fn raise_floor_to_head(tx: &Tx<'_>, topic_id: i64) -> Result<()> {
    tx.prepare_cached("update topics set floor = head, floor_at = last_at where id = ?1")?
        .execute([topic_id])?;
    Ok(())
}

/// See [`crate::Store::events`].
pub(super) fn after(
    conn: &Connection,
    app: AppId,
    name: &Topic,
    after: Seq,
    limit: u64,
    reader: &Reader,
) -> Result<Events> {
    let Some(visible_from) = visible_from(conn, app, name, reader)? else { return Ok(Events::NoAccess) };
    let Some(TopicRow { id, head, floor, .. }) = topic(conn, app, name)? else {
        return Ok(Events::Found { events: Vec::new(), head: 0 });
    };
    let start = after.max(visible_from);
    if start < floor {
        return Ok(Events::Trimmed { head });
    }
    // Above the floor there is no hole, so that these are as many as asked for, whichever rows they are.
    let range = (start, start.saturating_add(limit));
    let mut events = entries(conn, app, name, id, range)?;
    if let Topic::Channel(cid) = name {
        events.extend(messages_as_events(conn, app, cid, id, range)?);
        events.sort_unstable_by_key(|logged| logged.seq);
    }
    Ok(Events::Found { events, head })
}

/// The events after one place and up to another that are no message's own.
fn entries(
    conn: &Connection,
    app: AppId,
    name: &Topic,
    id: i64,
    (after, up_to): (Seq, Seq),
) -> Result<Vec<Logged>> {
    conn.prepare_cached(
        "select log_id, seq, kind, created_at, subject, n1, n2, n3 from events
         where topic = ?1 and seq > ?2 and seq <= ?3 order by seq",
    )?
    .query_and_then(params![id, Count(after), Count(up_to)], |row| {
        render(conn, log_row(row, app, name, id)?)
    })?
    .collect()
}

/// That each of the messages after one place and up to another came.
fn messages_as_events(
    conn: &Connection,
    app: AppId,
    cid: &Cid,
    channel: i64,
    (after, up_to): (Seq, Seq),
) -> Result<Vec<Logged>> {
    let rows = messages::rows_between(conn, channel, cid, after, up_to)?;
    let logged = |messages::LoggedRow { log_id, seq, created_at, message }| {
        let event = message.map_or(Event::Placeholder { created_at }, message_new);
        Logged { app, log_id, topic: Topic::Channel(cid.clone()), seq, event: Open::Known(event) }
    };
    Ok(rows.into_iter().map(logged).collect())
}

/// The last seq of a topic before a time. Of what has been trimmed only the end is known: if that is younger
/// than the time, the answer is a place before it, from which nothing can be replayed.
pub(super) fn seq_before(conn: &Connection, topic: &TopicRow, cutoff: Timestamp) -> Result<Seq> {
    if topic.last_at < cutoff {
        return Ok(topic.head);
    }
    let mut created_at = conn.prepare_cached(
        "select created_at from events where topic = ?1 and seq = ?2
         union all select created_at from messages where channel = ?1 and seq = ?2",
    )?;
    // All up to `before` are older than the cutoff, those from `from` on are not.
    let (mut before, mut from) = (topic.floor, topic.head);
    while from - before > 1 {
        let middle = before + (from - before) / 2;
        let at = created_at.query_row(params![topic.id, Count(middle)], |row| row.get(0)).optional()?;
        match at {
            Some(Time(at)) if at < cutoff => before = middle,
            // A hole, which there is none of, is taken for young: too much is replayed, and nothing missed.
            Some(_) | None => from = middle,
        }
    }
    let is_within_trimmed = before == topic.floor && before > 0 && topic.floor_at >= cutoff;
    Ok(if is_within_trimmed { before - 1 } else { before })
}

/// Columns that no longer hold what they should become an event that cannot be read, in its place.
fn log_row(row: &Row<'_>, app: AppId, topic: &Topic, topic_id: i64) -> rusqlite::Result<LogRow> {
    let number = |at: usize| row.get::<_, Option<Count>>(at).ok().flatten().map(|Count(number)| number);
    Ok(LogRow {
        log_id: row.get(0)?,
        app,
        topic: topic.clone(),
        topic_id,
        seq: row.get::<_, Count>(1)?.0,
        kind: row.get(2)?,
        created_at: row.get::<_, Time>(3)?.0,
        subject: row.get(4)?,
        numbers: [number(5), number(6), number(7)],
    })
}

/// The seq up to which the log is hidden from the reader; `None`: all of it.
fn visible_from(conn: &Connection, app: AppId, topic: &Topic, reader: &Reader) -> Result<Option<Seq>> {
    let Topic::Channel(cid) = topic else {
        let may = match (topic, reader) {
            (Topic::User(owner), Reader::Member(user)) => owner == user,
            (Topic::Unknown(_), _) => false,
            _ => true,
        };
        return Ok(may.then_some(0));
    };
    let Some(channel) = channels::id(conn, app, cid)? else { return Ok(None) };
    match reader {
        Reader::Anyone => Ok(Some(0)),
        Reader::Member(user) => Ok(members::hidden_up_to(conn, channel, user)?),
    }
}

/// See [`crate::Store::heads`].
pub(super) fn heads(conn: &Connection, topics: &[(AppId, Topic)]) -> Result<Vec<Seq>> {
    let asked: Vec<_> = topics.iter().map(|(app, topic)| (app.0, topic.to_string())).collect();
    let heads = conn
        .prepare_cached(
            "select coalesce(topics.head, 0) from json_each(?1) as asked
             left join topics on topics.app = asked.value ->> 0 and topics.topic = asked.value ->> 1
             order by asked.key",
        )?
        .query_map([super::column::json(&asked)?], |row| row.get::<_, Count>(0))?
        .map(|head| head.map(|Count(head)| head))
        .collect::<rusqlite::Result<_>>()?;
    Ok(heads)
}

/// See [`crate::Store::topic_start`].
pub(super) fn start(conn: &Connection, app: AppId, name: &Topic) -> Result<TopicStart> {
    let (head, floor) = topic(conn, app, name)?.map_or((0, 0), |found| (found.head, found.floor));
    Ok(TopicStart { topic: name.clone(), head, floor, hidden_up_to: 0, as_of_seq: None })
}
