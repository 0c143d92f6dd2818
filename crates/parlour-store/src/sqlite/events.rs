//! The event log: one row per event, with its kind and what it is about; rendered when it is read.
//!
//! A fresh event and a replayed one go through the same [`render`], from the state of that moment. What no
//! longer exists or may no longer be shown becomes a `placeholder` (a hard-deleted message: its
//! `message.deleted`) in the same place, so that nobody ever sees a hole.

use std::cell::RefCell;
use std::ops::Deref;

use parlour_wire::{Cid, Event, MessageId, Open, Seq, Timestamp, Topic, UserId};
use rusqlite::types::{FromSql, Type};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::column::{Count, Parsed, Time, is_of_one_row};
use super::{channels, members, messages, users};
use crate::{AppId, Events, Logged, Reader, Result, TopicStart};

/// A transaction that writes, and the events that it has logged so far.
pub(super) struct Tx<'c> {
    conn: &'c Connection,
    logged: RefCell<Vec<LogRow>>,
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

    /// The event's own seq is the message's place.
    pub(super) fn message_new(id: &'a MessageId) -> Self {
        Self::new("message.new", Some(id.as_str()), [None; 3])
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

    pub(super) fn user_updated() -> Self {
        Self::new("user.updated", None, [None; 3])
    }
}

/// Where an event came to stand.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) seq: Seq,
    /// The event's time: `now`, unless the topic has seen a later one.
    pub(super) at: Timestamp,
}

impl<'c> Tx<'c> {
    pub(super) fn new(conn: &'c Connection) -> Self {
        Self { conn, logged: RefCell::default() }
    }

    pub(super) fn into_logged(self) -> Vec<LogRow> {
        self.logged.into_inner()
    }

    /// Puts an event at the end of a topic. This is the one place where a seq is given.
    pub(super) fn log(&self, app: AppId, topic: Topic, entry: &Entry<'_>, now: Timestamp) -> Result<Place> {
        // Updating the head's row makes the seqs an order: whoever writes next has to wait for it. Times
        // never step back within a topic, so that a time cuts the log at one seq.
        let (topic_id, Count(seq), Time(at)) = self
            .prepare_cached(
                "insert into topics (app, topic, head, last_at) values (?1, ?2, 1, ?3)
                 on conflict (app, topic) do update set head = head + 1, last_at = max(last_at, ?3)
                 returning id, head, last_at",
            )?
            .query_row(params![app.0, topic.to_string(), Time(now)], |row| {
                Ok((row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?))
            })?;
        let [n1, n2, n3] = entry.numbers.map(|number| number.map(Count));
        self.prepare_cached(
            "insert into events (topic, seq, kind, created_at, subject, n1, n2, n3)
             values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![topic_id, Count(seq), entry.kind, Time(at), entry.subject, n1, n2, n3])?;
        self.logged.borrow_mut().push(LogRow {
            log_id: self.last_insert_rowid(),
            app,
            topic,
            topic_id,
            seq,
            created_at: at,
            kind: entry.kind.to_owned(),
            subject: entry.subject.map(str::to_owned),
            numbers: entry.numbers,
        });
        Ok(Place { seq, at })
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

    fn number(&self, at: usize) -> rusqlite::Result<u64> {
        self.numbers.get(at).copied().flatten().ok_or_else(|| unreadable("a number is missing"))
    }
}

fn unreadable(why: &'static str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, Type::Null, why.into())
}

/// Renders the rows in their order.
pub(super) fn render_all(conn: &Connection, rows: Vec<LogRow>) -> Result<Vec<Logged>> {
    rows.into_iter().map(|row| render(conn, row)).collect()
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
        "message.new" => message_event(conn, row, row.seq)?,
        "message.updated" | "message.deleted" => message_event(conn, row, row.number(0)?)?,
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
        "member.added" => {
            let Some(member) = members::find(conn, row.topic_id, &row.subject()?)? else { return Ok(None) };
            Event::MemberAdded { cid: row.cid()?, created_at, member: member.member }
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
        "user.updated" => {
            let Topic::User(user) = &row.topic else { return Err(unreadable("not in a user's topic")) };
            let Some(user) = users::find(conn, row.app, user)? else { return Ok(None) };
            Event::UserUpdated { created_at, user }
        }
        "placeholder" => return Ok(None),
        _ => return Err(unreadable("of a kind that this version does not know")),
    };
    Ok(Some(event))
}

fn message_event(conn: &Connection, row: &LogRow, message_seq: Seq) -> rusqlite::Result<Event> {
    let (cid, created_at) = (row.cid()?, row.created_at);
    // By its place and not by its id: an id may be used again when the message is long gone.
    let Some(message) = messages::at(conn, row.topic_id, &cid, message_seq)? else {
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
        "message.new" => Event::MessageNew { cid, created_at, message },
        "message.deleted" => Event::MessageDeleted {
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

/// A topic's row.
pub(super) struct TopicRow {
    pub(super) id: i64,
    pub(super) head: Seq,
    pub(super) floor: Seq,
}

/// The topic, if anything was ever logged in it.
pub(super) fn topic(conn: &Connection, app: AppId, topic: &Topic) -> Result<Option<TopicRow>> {
    let found = conn
        .prepare_cached("select id, head, floor from topics where app = ?1 and topic = ?2")?
        .query_row(params![app.0, topic.to_string()], |row| {
            Ok(TopicRow {
                id: row.get(0)?,
                head: row.get::<_, Count>(1)?.0,
                floor: row.get::<_, Count>(2)?.0,
            })
        })
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
    Ok(TopicRow { id: tx.last_insert_rowid(), head: 0, floor: 0 })
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
    let Some(TopicRow { id, head, floor }) = topic(conn, app, name)? else {
        return Ok(Events::Found { events: Vec::new(), head: 0 });
    };
    let start = after.max(visible_from);
    if start < floor {
        return Ok(Events::Trimmed { head });
    }
    let mut statement = conn.prepare_cached(
        "select log_id, seq, kind, created_at, subject, n1, n2, n3 from events
         where topic = ?1 and seq > ?2 order by seq limit ?3",
    )?;
    let rows = statement
        .query_map(params![id, Count(start), Count(limit)], |row| log_row(row, app, name, id))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    drop(statement);
    Ok(Events::Found { events: render_all(conn, rows)?, head })
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
