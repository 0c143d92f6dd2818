//! Whom a user mutes and blocks.

use parlour_wire::moderation::{Block, Mute, RELATIONS_MAX};
use parlour_wire::{Timestamp, Topic, UserId};
use rusqlite::{Connection, params};

use super::column::{Count, Parsed, Time, readable};
use super::events::{Entry, Tx};
use super::users;
use crate::{AppId, Result, StoreError, Wanted};

/// See [`crate::Store::mute`]. What changes nothing is no event.
pub(super) fn mute(
    tx: &Tx<'_>,
    app: AppId,
    user: &UserId,
    target: &UserId,
    wanted: Wanted,
    now: Timestamp,
) -> Result<Vec<Mute>> {
    let changed = match wanted {
        Wanted::No { ends_at } => {
            users::must_exist(tx, app, [user, target])?;
            // Those whose time is over make room.
            tx.prepare_cached("delete from mutes where app = ?1 and user_id = ?2 and ends_at <= ?3")?
                .execute(params![app.0, user.as_str(), Time(now)])?;
            let changed = tx
                .prepare_cached(
                    "insert into mutes (app, user_id, target, created_at, ends_at) values (?1, ?2, ?3, ?4, ?5)
                     on conflict (app, user_id, target) do update set ends_at = ?5 where ends_at is not ?5",
                )?
                .execute(params![app.0, user.as_str(), target.as_str(), Time(now), ends_at.map(Time)])?;
            at_most(tx, "select count(*) from mutes where app = ?1 and user_id = ?2", app, user)?;
            changed
        }
        Wanted::Again => tx
            .prepare_cached("delete from mutes where app = ?1 and user_id = ?2 and target = ?3")?
            .execute(params![app.0, user.as_str(), target.as_str()])?,
    };
    if changed > 0 {
        tx.log(app, Topic::User(user.clone()), &Entry::mutes_updated(), now)?;
    }
    Ok(mutes(tx, app, user, now)?)
}

fn at_most(tx: &Tx<'_>, counts: &str, app: AppId, user: &UserId) -> Result<()> {
    let Count(count) =
        tx.prepare_cached(counts)?.query_row(params![app.0, user.as_str()], |row| row.get(0))?;
    if count > RELATIONS_MAX as u64 { Err(StoreError::TooMany { limit: RELATIONS_MAX }) } else { Ok(()) }
}

/// See [`crate::Store::mutes`].
pub(super) fn mutes(
    conn: &Connection,
    app: AppId,
    user: &UserId,
    now: Timestamp,
) -> rusqlite::Result<Vec<Mute>> {
    let mut statement = conn.prepare_cached(
        "select target, users.name, users.image, mutes.created_at, ends_at
         from mutes left join users on users.app = mutes.app and users.user_id = target
         where mutes.app = ?1 and mutes.user_id = ?2 and (ends_at is null or ends_at > ?3)
         order by mutes.created_at desc, target",
    )?;
    statement
        .query_map(params![app.0, user.as_str(), Time(now)], |row| {
            Ok(Mute {
                user: users::brief_at(row, row.get::<_, Parsed<UserId>>(0)?.0, 1, 2)?,
                created_at: row.get::<_, Time>(3)?.0,
                ends_at: row.get::<_, Option<Time>>(4)?.map(|Time(at)| at),
            })
        })?
        .collect()
}

/// The ids of those whom a user mutes.
pub(super) fn muted(conn: &Connection, app: AppId, user: &UserId, now: Timestamp) -> Result<Vec<UserId>> {
    let mut statement = conn.prepare_cached(
        "select target from mutes where app = ?1 and user_id = ?2 and (ends_at is null or ends_at > ?3)
         order by created_at desc, target",
    )?;
    let rows = statement
        .query_map(params![app.0, user.as_str(), Time(now)], |row| Ok(row.get::<_, Parsed<UserId>>(0)?.0))?;
    readable(rows, "mute")
}

/// See [`crate::Store::block`].
pub(super) fn block(
    tx: &Tx<'_>,
    app: AppId,
    user: &UserId,
    target: &UserId,
    wanted: Wanted,
    now: Timestamp,
) -> Result<Vec<Block>> {
    match wanted {
        Wanted::No { .. } => {
            users::must_exist(tx, app, [user, target])?;
            tx.prepare_cached(
                "insert or ignore into blocks (app, user_id, target, created_at) values (?1, ?2, ?3, ?4)",
            )?
            .execute(params![app.0, user.as_str(), target.as_str(), Time(now)])?;
            at_most(tx, "select count(*) from blocks where app = ?1 and user_id = ?2", app, user)?;
        }
        Wanted::Again => {
            tx.prepare_cached("delete from blocks where app = ?1 and user_id = ?2 and target = ?3")?
                .execute(params![app.0, user.as_str(), target.as_str()])?;
        }
    }
    blocks(tx, app, user)
}

/// See [`crate::Store::blocks`].
pub(super) fn blocks(conn: &Connection, app: AppId, user: &UserId) -> Result<Vec<Block>> {
    let mut statement = conn.prepare_cached(
        "select target, users.name, users.image, blocks.created_at
         from blocks left join users on users.app = blocks.app and users.user_id = target
         where blocks.app = ?1 and blocks.user_id = ?2 order by blocks.created_at desc, target",
    )?;
    let rows = statement.query_map(params![app.0, user.as_str()], |row| {
        Ok(Block {
            user: users::brief_at(row, row.get::<_, Parsed<UserId>>(0)?.0, 1, 2)?,
            created_at: row.get::<_, Time>(3)?.0,
        })
    })?;
    readable(rows, "block")
}

/// See [`crate::Store::is_block_between`].
pub(super) fn is_block_between(conn: &Connection, app: AppId, one: &UserId, other: &UserId) -> Result<bool> {
    let blocked = conn
        .prepare_cached(
            "select 1 from blocks
             where app = ?1 and (user_id = ?2 and target = ?3 or user_id = ?3 and target = ?2)",
        )?
        .exists(params![app.0, one.as_str(), other.as_str()])?;
    Ok(blocked)
}

/// A user is gone for good, and wants nothing more.
pub(super) fn forget_user(tx: &Tx<'_>, app: AppId, user: &UserId) -> Result<()> {
    tx.prepare_cached("delete from mutes where app = ?1 and user_id = ?2")?
        .execute(params![app.0, user.as_str()])?;
    tx.prepare_cached("delete from blocks where app = ?1 and user_id = ?2")?
        .execute(params![app.0, user.as_str()])?;
    Ok(())
}
