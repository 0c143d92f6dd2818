//! What stands against users, of whatever kind: the one look at it.

use parlour_wire::users::{Role, User};
use parlour_wire::{Timestamp, UserId};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::bans::restriction_at;
use super::column::Time;
use super::users::{self, user_columns};
use crate::{AppId, Inactivity, Result, Standing, StoreError};

/// Where the user's columns begin.
const USER_AT: usize = 7;

/// The columns that [`read`] reads, before others where there are some. `?1` is the app and `?2` the user.
macro_rules! select_standing {
    ($($columns:expr),*) => {
        // Of two revocations, whichever revokes more is in force.
        concat!(
            "select users.role, users.deactivated_at is not null, users.deleted_at is not null,
                    max(coalesce(apps.tokens_revoked_before, before), coalesce(before, apps.tokens_revoked_before)),
                    bans.shadow, bans.ends_at, bans.reason ",
            $(", ", $columns,)*
            " from apps
             left join users on users.app = apps.id and users.user_id = ?2
             left join token_revocations
               on token_revocations.app = apps.id and token_revocations.user_id = ?2
             left join bans on bans.app = apps.id and bans.user_id = ?2 and bans.channel = 0
             where apps.id = ?1"
        )
    };
}

fn read(row: &Row<'_>) -> rusqlite::Result<Standing> {
    Ok(Standing {
        role: row.get_ref(0)?.as_str_or_null()?.map_or(Role::User, Role::from),
        inactivity: match (row.get(2)?, row.get(1)?) {
            (true, _) => Some(Inactivity::Deleted),
            (false, true) => Some(Inactivity::Deactivated),
            (false, false) => None,
        },
        tokens_revoked_before: row.get::<_, Option<Time>>(3)?.map(|Time(at)| at),
        ban: restriction_at(row, 4)?,
    })
}

/// See [`crate::Store::standing`].
pub(super) fn of(conn: &Connection, app: AppId, user: &UserId) -> Result<Standing> {
    let standing =
        conn.prepare_cached(select_standing!())?.query_row(params![app.0, user.as_str()], read).optional()?;
    Ok(standing.unwrap_or_default())
}

/// Who connects, as it stands.
#[derive(Default)]
pub(super) struct Arriving {
    standing: Standing,
    /// `None` where there is no such user yet.
    pub(super) user: Option<User>,
    /// How many it has.
    pub(super) devices: u32,
    /// Whether it mutes anybody, perhaps no more.
    pub(super) mutes: bool,
}

/// Everything in one look.
pub(super) fn arriving(conn: &Connection, app: AppId, user: &UserId) -> Result<Arriving> {
    let arriving = conn
        .prepare_cached(select_standing!(
            user_columns!(),
            "exists (select 1 from mutes where mutes.app = ?1 and mutes.user_id = ?2)"
        ))?
        .query_row(params![app.0, user.as_str()], |row| {
            let is_there = row.get_ref(USER_AT)? != ValueRef::Null;
            Ok(Arriving {
                standing: read(row)?,
                user: if is_there { Some(users::read_at(row, USER_AT)?) } else { None },
                devices: row.get::<_, Option<u32>>(USER_AT + 9)?.unwrap_or_default(),
                mutes: row.get(USER_AT + 10)?,
            })
        })
        .optional()?;
    Ok(arriving.unwrap_or_default())
}

/// Lets nobody connect who may not: in the transaction that would let her in.
pub(super) fn refuse(
    arriving: &Arriving,
    user: &UserId,
    issued_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<()> {
    let standing = &arriving.standing;
    if standing.revokes(issued_at) {
        return Err(StoreError::TokenRevoked);
    }
    if let Some(why) = standing.inactivity {
        return Err(StoreError::Inactive(user.clone(), why));
    }
    match standing.keeps_out(now) {
        Some(ban) => Err(StoreError::Banned { ends_at: ban.ends_at, reason: ban.reason.clone() }),
        None => Ok(()),
    }
}
