//! Read positions, and the unread counts that are derived from them. The rule is in
//! [`parlour_wire::reads::Unread`]; nothing is counted up or down anywhere.

use parlour_wire::reads::{Read, Unread, UnreadTotals};
use parlour_wire::{Cid, MessageId, Seq, Timestamp, Topic, UserId};
use rusqlite::{Connection, params};

use super::column::{Count, Parsed, Time, readable};
use super::events::{Entry, Tx};
use super::messages::Eyes;
use super::{channels, members, messages, users};
use crate::{AppId, ReadTo, Receipts, Result, StoreError};

/// The unread state of one channel for a member who has read up to `last_read_seq`.
pub(super) fn unread(
    conn: &Connection,
    cid: &Cid,
    channel: i64,
    head: Seq,
    user: &UserId,
    last_read_seq: Seq,
) -> Result<Unread> {
    let Count(unread_messages) = conn
        .prepare_cached(
            "select count(*) from messages indexed by messages_counted
             where channel = ?1 and seq > ?2 and sender <> ?3
               and silent = 0 and deleted_at is null and type <> 'system'",
        )?
        .query_row(params![channel, Count(last_read_seq), user.as_str()], |row| row.get(0))?;
    Ok(Unread { cid: cid.clone(), last_read_seq, unread_messages, head })
}

/// See [`crate::Store::unread`].
pub(super) fn totals(conn: &Connection, app: AppId, user: &UserId) -> Result<UnreadTotals> {
    // A channel whose last message has been read is not looked into.
    let mut statement = conn.prepare_cached(
        "select channels.cid, members.last_read_seq, topics.head,
                (select count(*) from messages indexed by messages_counted
                 where messages.channel = members.channel and seq > members.last_read_seq
                   and sender <> members.user_id
                   and silent = 0 and deleted_at is null and type <> 'system') as unread
         from members
         join channels on channels.id = members.channel
                      and channels.last_message_seq > members.last_read_seq
         join topics on topics.id = members.channel
         where members.app = ?1 and members.user_id = ?2 and unread > 0
         order by channels.last_message_at desc, channels.id desc",
    )?;
    let rows = statement.query_map(params![app.0, user.as_str()], |row| {
        Ok(Unread {
            cid: row.get::<_, Parsed<Cid>>(0)?.0,
            last_read_seq: row.get::<_, Count>(1)?.0,
            head: row.get::<_, Count>(2)?.0,
            unread_messages: row.get::<_, Count>(3)?.0,
        })
    })?;
    let channels = readable(rows, "channel")?;
    Ok(UnreadTotals {
        total_unread_count: channels.iter().map(|channel| channel.unread_messages).sum(),
        unread_channels: channels.len() as u64,
        channels,
    })
}

/// How far the channel's first `limit` members have read, of those who let others see it, and the viewer.
/// A position that was reached before they did so again is not among them.
pub(super) fn shown(
    conn: &Connection,
    channel: i64,
    viewer: Option<&UserId>,
    limit: u32,
) -> Result<Vec<Read>> {
    let mut statement = conn.prepare_cached(
        "select first.user_id, first.last_read_seq, first.last_read_at
         from (select * from members where channel = ?1 order by id limit ?3) as first
         join users on users.app = first.app and users.user_id = first.user_id
                   and users.receipts > 0 and users.receipts = first.read_in
         where first.user_id is not ?2
         union all
         select user_id, last_read_seq, last_read_at from members where channel = ?1 and user_id = ?2",
    )?;
    let viewer = viewer.map(UserId::as_str);
    let rows = statement.query_map(params![channel, viewer, limit], |row| {
        Ok(Read {
            user_id: row.get::<_, Parsed<UserId>>(0)?.0,
            last_read_seq: row.get::<_, Count>(1)?.0,
            last_read_at: row.get::<_, Time>(2)?.0,
        })
    })?;
    readable(rows, "member")
}

/// See [`crate::Store::mark_read`].
///
/// Where no message lies between the old position and the new one, nothing was read: neither the position
/// nor an event is written. Else a channel where two members answer each other's read events by reading
/// would never come to rest.
pub(super) fn mark_read(
    tx: &Tx<'_>,
    app: AppId,
    cid: &Cid,
    user: &UserId,
    to: &ReadTo,
    receipts: Receipts,
    now: Timestamp,
) -> Result<Unread> {
    let channel = channels::existing(tx, app, cid)?;
    let member = members::find(tx, channel, user)?.ok_or(StoreError::NotMember)?;
    let head = channels::head(tx, channel)?;
    let asked = match to {
        ReadTo::Everything => head,
        ReadTo::Seq(seq) => (*seq).min(head),
        ReadTo::Message(id) => messages::visible_seq(tx, app, channel, id, &member.member)?,
    };
    let before = member.last_read_seq;
    if asked <= before || !messages::any_between(tx, channel, before, asked, Eyes::Public)? {
        return unread(tx, cid, channel, head, user, before);
    }
    if receipts == Receipts::Shown && users::shows_receipts(tx, app, user)? {
        tx.log(app, Topic::Channel(cid.clone()), &Entry::message_read(user, asked), now)?;
    }
    move_to(tx, app, cid, channel, user, Position::Reached(asked), now)
}

/// See [`crate::Store::mark_unread`]. A message that is unread already leaves the position where it is.
pub(super) fn mark_unread(
    tx: &Tx<'_>,
    app: AppId,
    cid: &Cid,
    user: &UserId,
    from: &MessageId,
    now: Timestamp,
) -> Result<Unread> {
    let channel = channels::existing(tx, app, cid)?;
    let member = members::find(tx, channel, user)?.ok_or(StoreError::NotMember)?;
    let seq = messages::visible_seq(tx, app, channel, from, &member.member)?;
    if seq > member.last_read_seq {
        let head = channels::head(tx, channel)?;
        return unread(tx, cid, channel, head, user, member.last_read_seq);
    }
    move_to(tx, app, cid, channel, user, Position::TakenBack(seq - 1), now)
}

/// Where a read position comes to stand.
#[derive(Clone, Copy)]
enum Position {
    /// By reading: others may see it from now on, if the user lets them at this moment.
    Reached(Seq),
    /// By marking as unread. Others see it if they saw the one before: a step back from a position that nobody was
    /// to see would say that it was there.
    TakenBack(Seq),
}

/// Puts the position, and tells the user's own devices.
fn move_to(
    tx: &Tx<'_>,
    app: AppId,
    cid: &Cid,
    channel: i64,
    user: &UserId,
    position: Position,
    now: Timestamp,
) -> Result<Unread> {
    let (last_read_seq, is_reached) = match position {
        Position::Reached(seq) => (seq, true),
        Position::TakenBack(seq) => (seq, false),
    };
    tx.prepare_cached(
        "update members set last_read_seq = ?4, last_read_at = max(last_read_at, ?5),
                            read_in = case when ?6 then (select receipts from users
                                                         where users.app = ?1 and users.user_id = ?3)
                                           else read_in end
         where channel = ?2 and user_id = ?3",
    )?
    .execute(params![app.0, channel, user.as_str(), Count(last_read_seq), Time(now), is_reached])?;
    let unread = unread(tx, cid, channel, channels::head(tx, channel)?, user, last_read_seq)?;
    let Unread { unread_messages, head, .. } = unread;
    let cid = cid.to_string();
    let entry = Entry::mark_read(&cid, last_read_seq, unread_messages, head);
    tx.log(app, Topic::User(user.clone()), &entry, now)?;
    Ok(unread)
}
