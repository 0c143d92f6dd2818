//! A user opens a connection: got or made, merged, counted, and everything read that its session starts from.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use parlour_wire::reads::Unread;
use parlour_wire::users::{Me, User};
use parlour_wire::{Cid, Seq, Timestamp, Topic, UserId};
use rusqlite::{Connection, params};
use serde_json::Value;

use super::column::{Count, Parsed, readable};
use super::events::Tx;
use super::{apps, usage, users};
use crate::{AppId, Connect, Connected, Result, TopicStart};

/// Channels whose unread state comes with a connect: those of the latest activity.
const CHANNELS_SHOWN: usize = 30;
/// Topics without a cursor are served from this long before the time that the client names, so that a commit
/// that was on its way at that moment is not missed.
const AS_OF_MARGIN_MS: i64 = 10_000;

/// See [`crate::Store::connect`].
pub(super) fn connect(tx: &Tx<'_>, connect: Connect) -> Result<Connected> {
    let Connect { app, user, fields, concurrent, resume, now } = connect;
    let (user, created) = admit(tx, app, user, fields, now)?;
    usage::count_active(tx, app, &user.id, now)?;
    usage::record_concurrent(tx, app, concurrent, now)?;
    let cutoff = resume.map(|resume| resume.as_of.unix_ms().saturating_sub(AS_OF_MARGIN_MS));
    let key = apps::key(tx, app)?;
    let mut topics =
        vec![start(tx, app, Topic::User(user.id.clone()), cutoff)?, start(tx, app, Topic::App(key), cutoff)?];
    let mut memberships = memberships(tx, app, &user.id, cutoff)?;
    let unread = memberships.iter().map(|membership| membership.unread.unread_messages);
    let (total_unread_count, unread_channels) =
        (unread.clone().sum(), unread.filter(|n| *n > 0).count() as u64);
    topics.extend(memberships.iter().map(|membership| membership.start.clone()));
    memberships.sort_by_key(|membership| Reverse((membership.active_at, membership.channel)));
    memberships.truncate(CHANNELS_SHOWN);
    Ok(Connected {
        privacy: users::privacy(&user.custom),
        me: Me { total_unread_count, unread_channels, mutes: Vec::new(), devices: Vec::new(), user },
        created,
        epoch: apps::epoch(tx)?,
        topics,
        channels: memberships.into_iter().map(|membership| membership.unread).collect(),
    })
}

/// Gets or makes the user with these fields merged key by key; a null is a value like any other. Answers
/// whether the user was made.
fn admit(
    tx: &Tx<'_>,
    app: AppId,
    id: UserId,
    fields: BTreeMap<String, Value>,
    now: Timestamp,
) -> Result<(User, bool)> {
    let Some(mut user) = users::find(tx, app, &id)? else {
        let mut user = User::new(id, now);
        user.custom = fields;
        user.last_active = (!users::is_invisible(&user.custom)).then_some(now);
        users::insert(tx, app, &user)?;
        return Ok((user, true));
    };
    let before = user.clone();
    user.custom.extend(fields);
    if user.custom != before.custom {
        user.updated_at = now.max(user.updated_at);
        users::update(tx, app, &before, &user)?;
    }
    if !users::is_invisible(&user.custom) {
        user.last_active = user.last_active.max(Some(now));
        usage::touch(tx, app, &user.id, now)?;
    }
    Ok((user, false))
}

/// A channel of the user.
struct Membership {
    channel: i64,
    active_at: i64,
    start: TopicStart,
    unread: Unread,
}

/// All channels of the user, in one query whatever their number.
fn memberships(conn: &Connection, app: AppId, user: &UserId, cutoff: Option<i64>) -> Result<Vec<Membership>> {
    let mut statement = conn.prepare_cached(
        "select channels.id, channels.cid, coalesce(channels.last_message_at, channels.created_at),
                topics.head, topics.floor, members.hidden_up_to, members.last_read_seq,
                case when channels.last_message_seq > members.last_read_seq then (
                  select count(*) from messages indexed by messages_counted
                  where messages.channel = members.channel and seq > members.last_read_seq
                    and sender <> members.user_id
                    and silent = 0 and deleted_at is null and type <> 'system'
                ) else 0 end,
                case when ?3 is null then null
                     when topics.last_at < ?3 then topics.head
                     else coalesce(
                       (select seq from events where topic = topics.id and created_at < ?3
                        order by created_at desc, seq desc limit 1),
                       topics.floor - (topics.floor > 0 and topics.floor_at >= ?3))
                end
         from members
         join channels on channels.id = members.channel
         join topics on topics.id = members.channel
         where members.app = ?1 and members.user_id = ?2
         order by members.id",
    )?;
    let rows = statement.query_map(params![app.0, user.as_str(), cutoff], |row| {
        let count = |at: usize| row.get::<_, Count>(at).map(|Count(number)| number);
        let cid: Cid = row.get::<_, Parsed<Cid>>(1)?.0;
        let head = count(3)?;
        Ok(Membership {
            channel: row.get(0)?,
            active_at: row.get(2)?,
            start: TopicStart {
                topic: Topic::Channel(cid.clone()),
                head,
                floor: count(4)?,
                hidden_up_to: count(5)?,
                as_of_seq: row.get::<_, Option<Count>>(8)?.map(|Count(seq)| seq),
            },
            unread: Unread { cid, last_read_seq: count(6)?, unread_messages: count(7)?, head },
        })
    })?;
    readable(rows, "membership")
}

/// Where a topic stands that is no channel's.
fn start(conn: &Connection, app: AppId, topic: Topic, cutoff: Option<i64>) -> Result<TopicStart> {
    // The last seq before the cutoff. Of what has been trimmed only the end is known: if that is younger than
    // the cutoff, the answer is a place before it, from which nothing can be replayed.
    let mut statement = conn.prepare_cached(
        "select head, floor,
                case when ?3 is null then null
                     when last_at < ?3 then head
                     else coalesce(
                       (select seq from events where topic = topics.id and created_at < ?3
                        order by created_at desc, seq desc limit 1),
                       floor - (floor > 0 and floor_at >= ?3))
                end
         from topics where app = ?1 and topic = ?2",
    )?;
    let mut rows = statement.query(params![app.0, topic.to_string(), cutoff])?;
    let (head, floor, as_of_seq): (Seq, Seq, Option<Seq>) = match rows.next()? {
        Some(row) => (
            row.get::<_, Count>(0)?.0,
            row.get::<_, Count>(1)?.0,
            row.get::<_, Option<Count>>(2)?.map(|Count(seq)| seq),
        ),
        None => (0, 0, cutoff.map(|_| 0)),
    };
    Ok(TopicStart { topic, head, floor, hidden_up_to: 0, as_of_seq })
}

/// See [`crate::Store::record_closed`].
pub(super) fn record_closed(
    tx: &Tx<'_>,
    app: AppId,
    concurrent: u64,
    users: &[UserId],
    now: Timestamp,
) -> Result<()> {
    usage::record_concurrent(tx, app, concurrent, now)?;
    users.iter().try_for_each(|user| usage::touch(tx, app, user, now))
}

/// The store was opened: connections that an earlier process had are over, whether it said so or not.
pub(super) fn forget_connections(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute(
        "update connection_minutes set last = 0
         where last <> 0 and (app, minute) in (select app, max(minute) from connection_minutes group by app)",
        [],
    )?;
    Ok(())
}
