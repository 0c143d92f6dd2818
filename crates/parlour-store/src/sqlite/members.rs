//! Memberships.

use parlour_wire::members::{ChannelRole, Member, MembersResponse};
use parlour_wire::{Cid, Seq, Timestamp, Topic, UserId};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::column::{Count, Parsed, Time, readable};
use super::events::{Entry, Tx};
use super::{bans, channels, teams, users};
use crate::{AppId, ChannelStanding, MemberChange, Result, StoreError};

/// A membership, with how far the member has read.
pub(super) struct MemberRow {
    pub(super) member: Member,
    pub(super) last_read_seq: Seq,
}

/// A channel whose members change.
pub(super) struct Channel<'a> {
    pub(super) app: AppId,
    pub(super) cid: &'a Cid,
    pub(super) id: i64,
}

macro_rules! select_member {
    ($rest:literal) => {
        concat!(
            "select members.user_id, members.role, members.created_at, members.hidden_up_to, users.name,
                    users.image, members.last_read_seq
             from members
             left join users on users.app = members.app and users.user_id = members.user_id ",
            $rest
        )
    };
}

fn read(row: &Row<'_>) -> rusqlite::Result<MemberRow> {
    let user_id: UserId = row.get::<_, Parsed<UserId>>(0)?.0;
    Ok(MemberRow {
        member: Member {
            user: users::brief_at(row, user_id.clone(), 4, 5)?,
            user_id,
            channel_role: ChannelRole::from(row.get_ref(1)?.as_str()?),
            created_at: row.get::<_, Time>(2)?.0,
            hidden_up_to: row.get::<_, Count>(3)?.0,
        },
        last_read_seq: row.get::<_, Count>(6)?.0,
    })
}

/// The user's membership, if there is one.
pub(super) fn find(conn: &Connection, channel: i64, user: &UserId) -> rusqlite::Result<Option<MemberRow>> {
    conn.prepare_cached(select_member!("where members.channel = ?1 and members.user_id = ?2"))?
        .query_row(params![channel, user.as_str()], read)
        .optional()
}

/// What keeps the user from saying anything in the channel, and its membership.
pub(super) fn standing(
    conn: &Connection,
    app: AppId,
    channel: i64,
    user: &UserId,
    is_direct: bool,
) -> rusqlite::Result<(ChannelStanding, Option<Member>)> {
    // The first columns are those of `select_member`.
    conn.prepare_cached(
        "select members.user_id, members.role, members.created_at, members.hidden_up_to, users.name,
                users.image, members.last_read_seq, bans.shadow, bans.ends_at, bans.reason,
                ?4 and exists (
                  select 1 from members as other
                  join blocks on blocks.app = ?1
                             and (blocks.user_id = other.user_id and blocks.target = ?3
                                  or blocks.user_id = ?3 and blocks.target = other.user_id)
                  where other.channel = ?2 and other.user_id <> ?3)
         from (select ?3 as user_id) as asked
         left join users on users.app = ?1 and users.user_id = asked.user_id
         left join members on members.channel = ?2 and members.user_id = asked.user_id
         left join bans on bans.app = ?1 and bans.user_id = asked.user_id and bans.channel = ?2",
    )?
    .query_row(params![app.0, channel, user.as_str(), is_direct], |row| {
        let is_member = row.get_ref(0)? != ValueRef::Null;
        let standing = ChannelStanding { ban: bans::restriction_at(row, 7)?, is_blocked: row.get(10)? };
        Ok((standing, if is_member { Some(read(row)?.member) } else { None }))
    })
}

/// See [`crate::Store::change_member_role`]. The role that it has already is no change.
pub(super) fn change_role(
    tx: &Tx<'_>,
    app: AppId,
    cid: &Cid,
    user: &UserId,
    role: &ChannelRole,
    now: Timestamp,
) -> Result<Member> {
    let channel = channels::existing(tx, app, cid)?;
    let changed = tx
        .prepare_cached("update members set role = ?3 where channel = ?1 and user_id = ?2 and role <> ?3")?
        .execute(params![channel, user.as_str(), role.as_str()])?;
    if changed > 0 {
        tx.log(app, Topic::Channel(cid.clone()), &Entry::member_updated(user), now)?;
    }
    Ok(find(tx, channel, user)?.ok_or(StoreError::NotMember)?.member)
}

/// The seq up to which the channel is hidden from this member; `None`: no member.
pub(super) fn hidden_up_to(conn: &Connection, channel: i64, user: &UserId) -> rusqlite::Result<Option<Seq>> {
    let hidden: Option<Count> = conn
        .prepare_cached("select hidden_up_to from members where channel = ?1 and user_id = ?2")?
        .query_row(params![channel, user.as_str()], |row| row.get(0))
        .optional()?;
    Ok(hidden.map(|Count(seq)| seq))
}

/// Members by the time they joined, after `offset` of them.
pub(super) fn first(conn: &Connection, channel: i64, offset: u32, limit: u32) -> Result<Vec<Member>> {
    let mut statement = conn.prepare_cached(select_member!(
        "where members.channel = ?1 order by members.id limit ?2 offset ?3"
    ))?;
    let rows = statement.query_map(params![channel, limit, offset], |row| Ok(read(row)?.member))?;
    readable(rows, "member")
}

/// Everybody in the channel.
pub(super) fn ids(conn: &Connection, channel: i64) -> Result<Vec<UserId>> {
    let mut statement = conn.prepare_cached("select user_id from members where channel = ?1 order by id")?;
    readable(statement.query_map([channel], |row| Ok(row.get::<_, Parsed<UserId>>(0)?.0))?, "member")
}

/// See [`crate::Store::members`].
pub(super) fn page(
    conn: &Connection,
    app: AppId,
    cid: &Cid,
    offset: u32,
    limit: u32,
) -> Result<MembersResponse> {
    let found = channels::find(conn, app, cid)?.ok_or(crate::StoreError::NotFound)?;
    let member_count = found.channel.member_count;
    let end = u64::from(offset) + u64::from(limit);
    Ok(MembersResponse {
        members: first(conn, found.id, offset, limit)?,
        member_count,
        next: (end < member_count).then(|| end.to_string()),
    })
}

/// See [`crate::Store::change_members`].
pub(super) fn change(tx: &Tx<'_>, change: &MemberChange) -> Result<()> {
    let MemberChange { app, cid, add: added, remove: removed, hide_history, now } = change;
    let id = channels::existing(tx, *app, cid)?;
    let mut unknown = teams::outside(tx, *app, teams::of_channel(tx, id)?.as_ref(), added)?;
    unknown.extend(users::unknown(tx, *app, removed)?);
    users::none_unknown(unknown)?;
    let channel = Channel { app: *app, cid, id };
    for user in added {
        add(tx, &channel, user, ChannelRole::Member, *hide_history, *now)?;
    }
    for user in removed {
        remove(tx, &channel, user, *now)?;
    }
    Ok(())
}

/// Makes the user a member, unless it is one.
pub(super) fn add(
    tx: &Tx<'_>,
    channel: &Channel<'_>,
    user: &UserId,
    role: ChannelRole,
    hide_history: bool,
    now: Timestamp,
) -> Result<()> {
    if hidden_up_to(tx, channel.id, user)?.is_some() {
        return Ok(());
    }
    let place = tx.log(channel.app, Topic::Channel(channel.cid.clone()), &Entry::member_added(user), now)?;
    // Nothing is unread to who joins, but only `hide_history` keeps the past from being read.
    let hidden_up_to = if hide_history { place.seq - 1 } else { 0 };
    tx.prepare_cached(
        "insert into members (app, channel, user_id, role, created_at, hidden_up_to, last_read_seq, last_read_at,
                              read_in)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?5,
                 (select receipts from users where app = ?1 and user_id = ?3))",
    )?
    .execute(params![
        channel.app.0,
        channel.id,
        user.as_str(),
        role.as_str(),
        Time(place.at),
        Count(hidden_up_to),
        Count(place.seq),
    ])?;
    tx.prepare_cached("update channels set member_count = member_count + 1 where id = ?1")?
        .execute([channel.id])?;
    let cid = channel.cid.to_string();
    tx.log(channel.app, Topic::User(user.clone()), &Entry::added_to_channel(&cid, place.seq), now)?;
    Ok(())
}

/// Ends the user's membership, if there is one.
pub(super) fn remove(tx: &Tx<'_>, channel: &Channel<'_>, user: &UserId, now: Timestamp) -> Result<()> {
    let gone = tx
        .prepare_cached("delete from members where channel = ?1 and user_id = ?2")?
        .execute(params![channel.id, user.as_str()])?;
    if gone == 0 {
        return Ok(());
    }
    tx.prepare_cached("update channels set member_count = member_count - 1 where id = ?1")?
        .execute([channel.id])?;
    tx.log(channel.app, Topic::Channel(channel.cid.clone()), &Entry::member_removed(user), now)?;
    let cid = channel.cid.to_string();
    tx.log(channel.app, Topic::User(user.clone()), &Entry::removed_from_channel(&cid), now)?;
    Ok(())
}
