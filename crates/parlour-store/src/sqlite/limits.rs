//! What apps hold their users to.

use parlour_wire::limits::AppLimits;
use rusqlite::{Connection, params};

use super::column::Json;
use super::events::Tx;
use crate::{AppId, Result, StoreError};

/// See [`crate::Store::app_limits`].
pub(super) fn all(conn: &Connection) -> Result<Vec<(AppId, AppLimits)>> {
    let rows = conn
        .prepare_cached("select app, limits from app_limits")?
        .query_map([], |row| Ok((AppId(row.get(0)?), row.get::<_, Json<AppLimits>>(1)?.0)))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(rows)
}

/// See [`crate::Store::set_app_limits`].
pub(super) fn set(tx: &Tx<'_>, app: AppId, limits: &AppLimits) -> Result<()> {
    let text = serde_json::to_string(limits)
        .map_err(|error| StoreError::Backend(format!("limits cannot be written: {error}")))?;
    tx.prepare_cached(
        "insert into app_limits (app, limits) values (?1, ?2) on conflict (app) do update set limits = ?2",
    )?
    .execute(params![app.0, text])?;
    Ok(())
}
