//! What becomes of users: deactivated and deleted, and how they come back.

use parlour_wire::users::User;
use parlour_wire::{Timestamp, Topic, UserId};
use rusqlite::{Connection, params};

use super::column::Time;
use super::events::{Entry, Tx};
use super::{bans, devices, flags, relations, teams, users};
use crate::{AppId, Gone, Inactivity, Life, Result, StoreError};

/// Why the user may do nothing; `None`: it may.
pub(super) fn inactivity(user: &User) -> Option<Inactivity> {
    match (user.deleted_at, user.deactivated_at) {
        (Some(_), _) => Some(Inactivity::Deleted),
        (None, Some(_)) => Some(Inactivity::Deactivated),
        (None, None) => None,
    }
}

/// Fails for who may do nothing.
pub(super) fn must_be_active(user: &User) -> Result<()> {
    inactivity(user).map_or(Ok(()), |why| Err(StoreError::Inactive(user.id.clone(), why)))
}

/// Fails for who is deleted: a backend that makes users does not bring anybody back by accident.
pub(super) fn must_not_be_deleted(user: &User) -> Result<()> {
    match inactivity(user) {
        Some(Inactivity::Deleted) => must_be_active(user),
        Some(Inactivity::Deactivated) | None => Ok(()),
    }
}

/// See [`crate::Store::change_life`]. What is so already is no event.
pub(super) fn change(tx: &Tx<'_>, app: AppId, id: &UserId, life: Life, now: Timestamp) -> Result<User> {
    let user = users::find(tx, app, id)?.ok_or(StoreError::NotFound)?;
    let entry = match life {
        Life::Deactivate | Life::Reactivate => {
            must_not_be_deleted(&user)?;
            let is_deactivated = user.deactivated_at.is_some();
            if is_deactivated == (life == Life::Deactivate) {
                return Ok(user);
            }
            let at = (life == Life::Deactivate).then_some(Time(now));
            tx.prepare_cached("update users set deactivated_at = ?3 where app = ?1 and user_id = ?2")?
                .execute(params![app.0, id.as_str(), at])?;
            if life == Life::Deactivate { Entry::user_deactivated() } else { Entry::user_reactivated() }
        }
        Life::Restore => {
            if user.deleted_at.is_none() {
                return Ok(user);
            }
            if is_erased(tx, app, id)? {
                return Err(StoreError::NotFound);
            }
            tx.prepare_cached("update users set deleted_at = null where app = ?1 and user_id = ?2")?
                .execute(params![app.0, id.as_str()])?;
            Entry::user_restored()
        }
    };
    tx.log(app, Topic::User(id.clone()), &entry, now)?;
    users::find(tx, app, id)?.ok_or(StoreError::NotFound)
}

/// The user is deleted from now on; what it leaves behind is dealt with later. Deleting for good again, or after
/// deleting otherwise, is deleting for good.
pub(super) fn delete(tx: &Tx<'_>, app: AppId, id: &UserId, gone: Gone, now: Timestamp) -> Result<()> {
    let user = users::find(tx, app, id)?.ok_or(StoreError::NotFound)?;
    if is_erased(tx, app, id)? {
        return Err(StoreError::NotFound);
    }
    tx.prepare_cached(
        "update users set deleted_at = coalesce(deleted_at, ?3), erased = ?4 where app = ?1 and user_id = ?2",
    )?
    .execute(params![app.0, id.as_str(), Time(now), gone == Gone::ForGood])?;
    // Nothing is pushed to who is not there.
    devices::remove_all(tx, app, id)?;
    if user.deleted_at.is_none() {
        tx.log(app, Topic::User(id.clone()), &Entry::user_deleted(), now)?;
    }
    Ok(())
}

/// Whether nothing comes back of the user.
pub(super) fn is_erased(conn: &Connection, app: AppId, id: &UserId) -> Result<bool> {
    let erased = conn
        .prepare_cached("select erased from users where app = ?1 and user_id = ?2")?
        .query_row(params![app.0, id.as_str()], |row| row.get(0))?;
    Ok(erased)
}

/// Leaves nothing of the user but its id, under which nobody else comes.
pub(super) fn erase(tx: &Tx<'_>, app: AppId, id: &UserId) -> Result<()> {
    bans::forget_user(tx, app, id)?;
    relations::forget_user(tx, app, id)?;
    flags::forget_reporter(tx, app, id)?;
    let teams = teams::of_user(tx, app, id)?;
    teams::index(tx, app, id, &teams, &[])?;
    tx.prepare_cached(
        "update users set role = 'user', teams = '[]', fields = '{}', name = null, image = null, last_active = null, deactivated_at = null,
                          receipts = case when receipts > 0 then receipts else 1 - receipts end, invisible = 0
         where app = ?1 and user_id = ?2",
    )?
    .execute(params![app.0, id.as_str()])?;
    Ok(())
}
