//! A user opens a connection: got or made, merged, counted, and everything read that its session starts from.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use parlour_wire::reads::Unread;
use parlour_wire::users::{Me, Role, User};
use parlour_wire::{Cid, Seq, Timestamp, Topic, UserId};
use rusqlite::{Connection, params};
use serde_json::Value;

use super::column::{Count, Parsed, readable};
use super::events::{self, TopicRow, Tx, topic_columns};
use super::standing::{self, Arriving};
use super::{devices, relations, usage, users};
use crate::{AppId, Connect, Connected, Result, TopicStart};

/// Channels whose unread state comes with a connect: those of the latest activity.
const CHANNELS_SHOWN: usize = 30;
/// Topics without a cursor are served from this long before the time that the client names, so that a commit
/// that was on its way at that moment is not missed.
const AS_OF_MARGIN_MS: i64 = 10_000;

/// See [`crate::Store::connect`].
pub(super) fn connect(tx: &Tx<'_>, connect: &Connect) -> Result<Connected> {
    let Connect { app, user, fields, ticket, resume, issued_at, now } = connect;
    let (app, now) = (*app, *now);
    if user.is_anonymous() {
        return Ok(pass_by(tx, connect));
    }
    let arriving = standing::arriving(tx, app, user)?;
    standing::refuse(&arriving, user, *issued_at, now)?;
    let Arriving { devices, mutes, .. } = arriving;
    let (user, created) = match arriving.user {
        Some(known) => (merge(tx, app, known, fields, now)?, false),
        None => (make(tx, app, user, fields, now)?, true),
    };
    usage::count_active(tx, app, &user.id, now)?;
    let cutoff = resume
        .as_ref()
        .map(|resume| Timestamp::from_unix_ms(resume.as_of.unix_ms().saturating_sub(AS_OF_MARGIN_MS)));
    let key = tx.app_key(app)?;
    let mut topics =
        vec![start(tx, app, Topic::User(user.id.clone()), cutoff)?, start(tx, app, Topic::App(key), cutoff)?];
    let mut memberships = memberships(tx, app, &user.id, cutoff)?;
    let unread = memberships.iter().map(|membership| membership.unread.unread_messages);
    let (total_unread_count, unread_channels) =
        (unread.clone().sum(), unread.filter(|n| *n > 0).count() as u64);
    topics.extend(memberships.iter().map(|membership| membership.start.clone()));
    memberships.sort_by_key(|membership| Reverse((membership.active_at, membership.channel)));
    memberships.truncate(CHANNELS_SHOWN);
    let devices = devices::shown(tx, app, &user.id, devices)?;
    // Nearly nobody mutes anybody: then nothing is asked.
    let mutes = if mutes { relations::muted(tx, app, &user.id, now)? } else { Vec::new() };
    // Last, so that who is refused is never counted.
    if let Some(ticket) = ticket {
        ticket.open(now);
    }
    Ok(Connected {
        privacy: users::privacy(&user.custom),
        me: Me { total_unread_count, unread_channels, mutes, devices, user },
        created,
        epoch: tx.epoch().clone(),
        topics,
        channels: memberships.into_iter().map(|membership| membership.unread).collect(),
    })
}

/// Somebody who is nobody: nothing is stored, and nothing that is there is hers. The connection counts.
fn pass_by(tx: &Tx<'_>, connect: &Connect) -> Connected {
    let mut user = User::new(connect.user.clone(), connect.now);
    user.role = Role::Anonymous;
    if let Some(ticket) = &connect.ticket {
        ticket.open(connect.now);
    }
    let (mutes, devices) = (Vec::new(), Vec::new());
    Connected {
        privacy: users::privacy(&user.custom),
        me: Me { total_unread_count: 0, unread_channels: 0, mutes, devices, user },
        created: false,
        epoch: tx.epoch().clone(),
        topics: Vec::new(),
        channels: Vec::new(),
    }
}

/// Makes the user, with these fields.
fn make(
    tx: &Tx<'_>,
    app: AppId,
    id: &UserId,
    fields: &BTreeMap<String, Value>,
    now: Timestamp,
) -> Result<User> {
    let mut user = User::new(id.clone(), now);
    user.custom.clone_from(fields);
    user.last_active = (!users::is_invisible(&user.custom)).then_some(now);
    users::insert(tx, app, &user)?;
    Ok(user)
}

/// Merges these fields into the user's, key by key; a null is a value like any other.
fn merge(
    tx: &Tx<'_>,
    app: AppId,
    mut user: User,
    fields: &BTreeMap<String, Value>,
    now: Timestamp,
) -> Result<User> {
    let changes = fields.iter().any(|(key, value)| user.custom.get(key) != Some(value));
    if changes {
        let before = user.clone();
        user.custom.extend(fields.clone());
        user.updated_at = now.max(user.updated_at);
        users::update(tx, app, &before, &user)?;
    }
    if !users::is_invisible(&user.custom) {
        user.last_active = user.last_active.max(Some(now));
        usage::touch(tx, app, &user.id, now)?;
    }
    Ok(user)
}

/// A channel of the user.
struct Membership {
    channel: i64,
    active_at: i64,
    start: TopicStart,
    unread: Unread,
}

/// All channels of the user, in one query whatever their number.
fn memberships(
    conn: &Connection,
    app: AppId,
    user: &UserId,
    cutoff: Option<Timestamp>,
) -> Result<Vec<Membership>> {
    let mut statement = conn.prepare_cached(concat!(
        "select ",
        topic_columns!(),
        ",      channels.cid, coalesce(channels.last_message_at, channels.created_at), members.hidden_up_to,
                members.last_read_seq,
                case when channels.last_message_seq > members.last_read_seq then (
                  select count(*) from messages indexed by messages_counted
                  where messages.channel = members.channel and seq > members.last_read_seq
                    and sender <> members.user_id
                    and silent = 0 and deleted_at is null and type <> 'system'
                ) else 0 end
         from members
         join channels on channels.id = members.channel
         join topics on topics.id = members.channel
         where members.app = ?1 and members.user_id = ?2
         order by members.id"
    ))?;
    let rows = statement.query_map(params![app.0, user.as_str()], |row| {
        let count = |at: usize| row.get::<_, Count>(at).map(|Count(number)| number);
        let cid: Cid = row.get::<_, Parsed<Cid>>(5)?.0;
        let topic = TopicRow::read(row, 0)?;
        let unread = Unread {
            cid: cid.clone(),
            last_read_seq: count(8)?,
            unread_messages: count(9)?,
            head: topic.head,
        };
        Ok((cid, topic, count(7)?, row.get(6)?, unread))
    })?;
    readable(rows, "membership")?
        .into_iter()
        .map(|(cid, row, hidden_up_to, active_at, unread)| {
            let start = start_of(conn, Topic::Channel(cid), &row, hidden_up_to, cutoff)?;
            Ok(Membership { channel: row.id, active_at, start, unread })
        })
        .collect()
}

/// Where a topic stands that is no channel's.
fn start(conn: &Connection, app: AppId, topic: Topic, cutoff: Option<Timestamp>) -> Result<TopicStart> {
    match events::topic(conn, app, &topic)? {
        Some(row) => start_of(conn, topic, &row, 0, cutoff),
        None => Ok(TopicStart { topic, head: 0, floor: 0, hidden_up_to: 0, as_of_seq: cutoff.map(|_| 0) }),
    }
}

fn start_of(
    conn: &Connection,
    topic: Topic,
    row: &TopicRow,
    hidden_up_to: Seq,
    cutoff: Option<Timestamp>,
) -> Result<TopicStart> {
    let as_of_seq = cutoff.map(|cutoff| events::seq_before(conn, row, cutoff)).transpose()?;
    Ok(TopicStart { topic, head: row.head, floor: row.floor, hidden_up_to, as_of_seq })
}

/// See [`crate::Store::record_closed`].
pub(super) fn record_closed(tx: &Tx<'_>, users: &[(AppId, UserId)], now: Timestamp) -> Result<()> {
    users.iter().try_for_each(|(app, user)| usage::touch(tx, *app, user, now))
}
