//! What an app used: users active in a month, connections at the same time.

use parlour_wire::usage::{ConcurrentConnections, MinutePeak};
use parlour_wire::{Timestamp, UserId};
use rusqlite::{Connection, OptionalExtension, params};

use super::column::{Count, Time};
use super::events::Tx;
use crate::{AppId, Result};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Counts the user as active in this month, once.
pub(super) fn count_active(tx: &Tx<'_>, app: AppId, user: &UserId, now: Timestamp) -> Result<()> {
    tx.prepare_cached("insert or ignore into active_users (app, month, user_id) values (?1, ?2, ?3)")?
        .execute(params![app.0, now.month(), user.as_str()])?;
    Ok(())
}

/// Notes that the user was active now, unless it wishes to be seen by nobody.
pub(super) fn touch(tx: &Tx<'_>, app: AppId, user: &UserId, now: Timestamp) -> Result<()> {
    tx.prepare_cached(
        "update users set last_active = max(coalesce(last_active, ?3), ?3)
         where app = ?1 and user_id = ?2 and invisible = 0",
    )?
    .execute(params![app.0, user.as_str(), Time(now)])?;
    Ok(())
}

/// Notes how many connections there are from now on, and raises the minute's peak.
pub(super) fn record_concurrent(tx: &Tx<'_>, app: AppId, concurrent: u64, now: Timestamp) -> Result<()> {
    // The value carried into a minute is a value of that minute. A clock that was set back goes on counting
    // in the latest minute that there is.
    let (minute, carried) = tx
        .prepare_cached(
            "select max(minute, ?2), last from connection_minutes where app = ?1 order by minute desc limit 1",
        )?
        .query_row(params![app.0, floor_to(now.unix_ms(), MINUTE_MS)], |row| {
            Ok((row.get(0)?, row.get::<_, Count>(1)?.0))
        })
        .optional()?
        .unwrap_or((floor_to(now.unix_ms(), MINUTE_MS), 0));
    tx.prepare_cached(
        "insert into connection_minutes (app, minute, peak, last) values (?1, ?2, max(?3, ?4), ?3)
         on conflict (app, minute) do update set peak = max(peak, ?3), last = ?3",
    )?
    .execute(params![app.0, minute, Count(concurrent), Count(carried)])?;
    Ok(())
}

fn floor_to(ms: i64, step: i64) -> i64 {
    ms - ms.rem_euclid(step)
}

/// See [`crate::Store::monthly_active_users`].
pub(super) fn monthly_active(conn: &Connection, app: AppId, month: &str) -> Result<u64> {
    let Count(users) = conn
        .prepare_cached("select count(*) from active_users where app = ?1 and month = ?2")?
        .query_row(params![app.0, month], |row| row.get(0))?;
    Ok(users)
}

/// See [`crate::Store::concurrent_connections`]. Minutes, hours, days and months are those of the UTC
/// calendar that hold `now`.
pub(super) fn concurrent(
    conn: &Connection,
    app: AppId,
    minutes: u32,
    now: Timestamp,
) -> Result<ConcurrentConnections> {
    let now_ms = now.unix_ms();
    let this_minute = floor_to(now_ms, MINUTE_MS);
    let current = carried_into(conn, app, i64::MAX)?;
    let since = |start: i64| peak(conn, app, start, this_minute);
    let month = format!("{}-01T00:00:00Z", now.month());
    let month = month.parse::<Timestamp>().map_or(this_minute, Timestamp::unix_ms);
    Ok(ConcurrentConnections {
        current,
        peak_minute: since(this_minute)?,
        peak_hour: since(floor_to(now_ms, HOUR_MS))?,
        peak_day: since(floor_to(now_ms, DAY_MS))?,
        peak_month: since(month)?,
        minutes: series(conn, app, this_minute - MINUTE_MS * (i64::from(minutes) - 1), this_minute)?,
    })
}

/// The value at the end of the last minute before this one in which anything changed.
fn carried_into(conn: &Connection, app: AppId, minute: i64) -> Result<u64> {
    let carried: Option<Count> = conn
        .prepare_cached(
            "select last from connection_minutes where app = ?1 and minute < ?2 order by minute desc limit 1",
        )?
        .query_row(params![app.0, minute], |row| row.get(0))
        .optional()?;
    Ok(carried.map_or(0, |Count(last)| last))
}

fn peak(conn: &Connection, app: AppId, first: i64, last: i64) -> Result<u64> {
    let Count(peak) = conn
        .prepare_cached(
            "select coalesce(max(peak), 0) from connection_minutes
             where app = ?1 and minute between ?2 and ?3",
        )?
        .query_row(params![app.0, first, last], |row| row.get(0))?;
    Ok(peak.max(carried_into(conn, app, first)?))
}

fn series(conn: &Connection, app: AppId, first: i64, last: i64) -> Result<Vec<MinutePeak>> {
    let mut carried = carried_into(conn, app, first)?;
    let mut statement = conn.prepare_cached(
        "select minute, peak, last from connection_minutes
         where app = ?1 and minute between ?2 and ?3 order by minute",
    )?;
    let mut changes = statement.query(params![app.0, first, last])?;
    let mut next = changes.next()?;
    let mut minutes = Vec::new();
    for minute in (first..=last).step_by(MINUTE_MS as usize) {
        let mut peak = carried;
        if let Some(row) = next
            && row.get::<_, i64>(0)? == minute
        {
            (peak, carried) = (row.get::<_, Count>(1)?.0, row.get::<_, Count>(2)?.0);
            next = changes.next()?;
        }
        minutes.push(MinutePeak { minute: Timestamp::from_unix_ms(minute), peak });
    }
    Ok(minutes)
}
