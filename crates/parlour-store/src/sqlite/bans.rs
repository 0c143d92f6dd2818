//! Bans: kept until they are lifted; in force by the clock.

use parlour_wire::moderation::Ban;
use parlour_wire::{Cid, Timestamp, Topic, UserId};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::column::{Count, Parsed, Time, readable};
use super::events::{Entry, Tx};
use super::{channels, users};
use crate::{AppId, BanKind, BanQuery, BansOf, NewBan, Restriction, Result};

/// What stands in `bans.channel` for the whole app.
const APP: i64 = 0;

/// The restriction in three columns; `None`: there is no row.
pub(super) fn restriction_at(row: &Row<'_>, shadow: usize) -> rusqlite::Result<Option<Restriction>> {
    let Some(is_shadow) = row.get::<_, Option<bool>>(shadow)? else { return Ok(None) };
    Ok(Some(Restriction {
        kind: if is_shadow { BanKind::Shadow } else { BanKind::Open },
        ends_at: row.get::<_, Option<Time>>(shadow + 1)?.map(|Time(at)| at),
        reason: row.get(shadow + 2)?,
    }))
}

/// What an event of this user and channel (0: the app) tells of the ban that is there now.
pub(super) fn told(
    conn: &Connection,
    app: AppId,
    user: &UserId,
    channel: i64,
) -> rusqlite::Result<Option<Restriction>> {
    let found = conn
        .prepare_cached(
            "select shadow, ends_at, reason from bans
             where app = ?1 and user_id = ?2 and channel = ?3 and shadow = 0",
        )?
        .query_row(params![app.0, user.as_str(), channel], |row| restriction_at(row, 0))
        .optional()?;
    Ok(found.flatten())
}

fn channel_row(conn: &Connection, app: AppId, cid: Option<&Cid>) -> Result<i64> {
    cid.map_or(Ok(APP), |cid| channels::existing(conn, app, cid))
}

/// See [`crate::Store::ban`].
pub(super) fn ban(tx: &Tx<'_>, new: &NewBan) -> Result<Ban> {
    let NewBan { app, user, cid, restriction, banned_by, now } = new;
    users::must_exist(tx, *app, std::iter::once(user).chain(banned_by))?;
    let channel = channel_row(tx, *app, cid.as_ref())?;
    let Restriction { kind, ends_at, reason } = restriction;
    // Anew, and not changed in its place: the latest stands first.
    tx.prepare_cached("delete from bans where app = ?1 and user_id = ?2 and channel = ?3")?
        .execute(params![app.0, user.as_str(), channel])?;
    tx.prepare_cached(
        "insert into bans (app, user_id, channel, shadow, reason, banned_by, created_at, ends_at)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        app.0,
        user.as_str(),
        channel,
        *kind == BanKind::Shadow,
        reason,
        banned_by.as_ref().map(UserId::as_str),
        Time(*now),
        ends_at.map(Time),
    ])?;
    if *kind == BanKind::Open {
        tx.log(*app, Topic::User(user.clone()), &Entry::user_banned(channel), *now)?;
    }
    Ok(Ban {
        user: users::brief(tx, *app, user)?,
        cid: cid.clone(),
        shadow: *kind == BanKind::Shadow,
        reason: reason.clone(),
        banned_by: banned_by.as_ref().map(|user| users::brief(tx, *app, user)).transpose()?,
        created_at: *now,
        ends_at: *ends_at,
    })
}

/// See [`crate::Store::lift_ban`].
pub(super) fn lift(
    tx: &Tx<'_>,
    app: AppId,
    user: &UserId,
    cid: Option<&Cid>,
    now: Timestamp,
) -> Result<bool> {
    let channel = channel_row(tx, app, cid)?;
    let lifted: Option<bool> = tx
        .prepare_cached(
            "delete from bans where app = ?1 and user_id = ?2 and channel = ?3 returning shadow = 1",
        )?
        .query_row(params![app.0, user.as_str(), channel], |row| row.get(0))
        .optional()?;
    if lifted == Some(false) {
        tx.log(app, Topic::User(user.clone()), &Entry::user_unbanned(channel), now)?;
    }
    Ok(lifted.is_some())
}

/// A channel is gone, and with it who was banned from it.
pub(super) fn forget_channel(tx: &Tx<'_>, app: AppId, channel: i64) -> Result<()> {
    tx.prepare_cached("delete from bans where app = ?1 and channel = ?2")?
        .execute(params![app.0, channel])?;
    Ok(())
}

/// A user is gone for good: its id comes no more.
pub(super) fn forget_user(tx: &Tx<'_>, app: AppId, user: &UserId) -> Result<()> {
    tx.prepare_cached("delete from bans where app = ?1 and user_id = ?2")?
        .execute(params![app.0, user.as_str()])?;
    Ok(())
}

/// See [`crate::Store::bans`].
pub(super) fn page(conn: &Connection, query: &BanQuery) -> Result<(Vec<Ban>, Option<i64>)> {
    let BanQuery { app, of, user, viewer, before, limit, now } = query;
    let channel = match of {
        BansOf::Everything => None,
        BansOf::Channel(cid) => Some(channels::existing(conn, *app, cid)?),
    };
    let mut statement = conn.prepare_cached(
        "select bans.id, bans.user_id, target.name, target.image, channels.cid, bans.shadow, bans.reason,
                bans.banned_by, other.name, other.image, bans.created_at, bans.ends_at
         from bans
         left join channels on channels.id = bans.channel
         left join users as target on target.app = bans.app and target.user_id = bans.user_id
         left join users as other on other.app = bans.app and other.user_id = bans.banned_by
         where bans.app = ?1 and (?2 is null or bans.channel = ?2) and (?3 is null or bans.user_id = ?3)
           and (?4 is null or bans.id < ?4) and (bans.ends_at is null or bans.ends_at > ?5)
           and not (bans.shadow = 1 and bans.user_id is ?6)
         order by bans.id desc limit ?7",
    )?;
    let (user, viewer) = (user.as_ref().map(UserId::as_str), viewer.as_ref().map(UserId::as_str));
    let limit_and_one = Count(u64::from(*limit) + 1);
    let rows = statement
        .query_map(params![app.0, channel, user, before, Time(*now), viewer, limit_and_one], |row| {
            Ok((row.get::<_, i64>(0)?, read(row)?))
        })?;
    Ok(cut(readable(rows, "ban")?, *limit))
}

/// As many as a page holds, and where the next one begins.
pub(super) fn cut<T>(mut rows: Vec<(i64, T)>, limit: u32) -> (Vec<T>, Option<i64>) {
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|(id, _)| *id);
    (rows.into_iter().map(|(_, row)| row).collect(), next)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Ban> {
    let banned_by = match row.get::<_, Option<Parsed<UserId>>>(7)? {
        Some(Parsed(user)) => Some(users::brief_at(row, user, 8, 9)?),
        None => None,
    };
    Ok(Ban {
        user: users::brief_at(row, row.get::<_, Parsed<UserId>>(1)?.0, 2, 3)?,
        cid: row.get::<_, Option<Parsed<Cid>>>(4)?.map(|Parsed(cid)| cid),
        shadow: row.get(5)?,
        reason: row.get(6)?,
        banned_by,
        created_at: row.get::<_, Time>(10)?.0,
        ends_at: row.get::<_, Option<Time>>(11)?.map(|Time(at)| at),
    })
}
