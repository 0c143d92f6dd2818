//! The keys of an app's tokens, beside its secret.

use parlour_wire::Timestamp;
use rusqlite::{Connection, params};

use super::column::{Json, Time, json, readable};
use super::events::Tx;
use crate::{AppId, Result, SigningKey, StoreError};

/// The keys that are there, the oldest first.
pub(super) fn list(conn: &Connection, app: AppId) -> Result<Vec<SigningKey>> {
    let mut statement = conn.prepare_cached(
        "select kid, algorithm, material, scopes, created_at, expires_at, last_used_at from app_keys
         where app = ?1 and removed_at is null order by id",
    )?;
    let time = |time: Option<Time>| time.map(|Time(at)| at);
    let rows = statement.query_map([app.0], |row| {
        Ok(SigningKey {
            kid: row.get(0)?,
            algorithm: row.get(1)?,
            material: row.get(2)?,
            scopes: row.get::<_, Json<Vec<String>>>(3)?.0,
            created_at: row.get::<_, Time>(4)?.0,
            expires_at: time(row.get(5)?),
            last_used_at: time(row.get(6)?),
        })
    })?;
    readable(rows, "key")
}

/// See [`crate::Store::add_key`].
pub(super) fn add(tx: &Tx<'_>, app: AppId, key: &SigningKey, keys_max: usize) -> Result<()> {
    if list(tx, app)?.len() >= keys_max {
        return Err(StoreError::TooManyKeys);
    }
    let added = tx
        .prepare_cached(
            "insert into app_keys (app, kid, algorithm, material, scopes, created_at, expires_at)
             values (?1, ?2, ?3, ?4, ?5, ?6, ?7) on conflict (app, kid) do nothing",
        )?
        .execute(params![
            app.0,
            key.kid,
            key.algorithm,
            key.material,
            json(&key.scopes)?,
            Time(key.created_at),
            key.expires_at.map(Time),
        ])?;
    if added == 0 { Err(StoreError::IdConflict) } else { Ok(()) }
}

/// See [`crate::Store::remove_key`].
pub(super) fn remove(tx: &Tx<'_>, app: AppId, kid: &str, now: Timestamp) -> Result<()> {
    // The row stays, so that its kid is never another key's; what it was made of goes.
    let removed = tx
        .prepare_cached(
            "update app_keys set removed_at = ?3, material = '' where app = ?1 and kid = ?2 and removed_at is null",
        )?
        .execute(params![app.0, kid, Time(now)])?;
    if removed == 0 { Err(StoreError::NotFound) } else { Ok(()) }
}

/// See [`crate::Store::keys_used`].
pub(super) fn used(tx: &Tx<'_>, app: AppId, used: &[(String, Timestamp)]) -> Result<()> {
    let mut statement = tx.prepare_cached(
        "update app_keys set last_used_at = max(coalesce(last_used_at, ?3), ?3) where app = ?1 and kid = ?2",
    )?;
    for (kid, at) in used {
        statement.execute(params![app.0, kid, Time(*at)])?;
    }
    Ok(())
}
