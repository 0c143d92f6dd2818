//! What stands against users, of whatever kind: the one look at it.

use parlour_wire::users::Role;
use parlour_wire::{Timestamp, UserId};
use rusqlite::{Connection, OptionalExtension, params};

use super::bans::restriction_at;
use super::column::Time;
use crate::{AppId, Inactivity, Result, Standing, StoreError};

/// See [`crate::Store::standing`].
pub(super) fn of(conn: &Connection, app: AppId, user: &UserId) -> Result<Standing> {
    // Of two revocations, whichever revokes more is in force.
    let standing = conn
        .prepare_cached(
            "select users.role, users.deactivated_at is not null, users.deleted_at is not null,
                    max(coalesce(apps.tokens_revoked_before, before), coalesce(before, apps.tokens_revoked_before)),
                    bans.shadow, bans.ends_at, bans.reason
             from apps
             left join users on users.app = apps.id and users.user_id = ?2
             left join token_revocations
               on token_revocations.app = apps.id and token_revocations.user_id = ?2
             left join bans on bans.app = apps.id and bans.user_id = ?2 and bans.channel = 0
             where apps.id = ?1",
        )?
        .query_row(params![app.0, user.as_str()], |row| {
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
        })
        .optional()?;
    Ok(standing.unwrap_or_default())
}

/// Lets nobody connect who may not: in the transaction that would let her in.
pub(super) fn refuse(
    conn: &Connection,
    app: AppId,
    user: &UserId,
    issued_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<()> {
    let standing = of(conn, app, user)?;
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
