//! What an app used: users active in a month, connections at the same time.

use std::sync::Arc;

use parlour_wire::usage::{ByCause, Granularity, UsagePoint};
use parlour_wire::{Timestamp, UserId};
use rusqlite::{Connection, OptionalExtension, Row as SqlRow, params};

use super::column::{Count, Json, Time};
use super::events::Tx;
use crate::ledger::{Census, LENGTHS, Ledger, Row, Unwritten, floor};
use crate::{AppId, Peaks, Result, UsageFigures, UsageRange};

const MINUTE_MS: i64 = LENGTHS[0];
const HOUR_MS: i64 = LENGTHS[1];
const DAY_MS: i64 = 24 * HOUR_MS;
/// How long minutes are kept; hours are for ever.
const MINUTES_KEPT_MS: i64 = 90 * DAY_MS;

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

/// See [`crate::Store::monthly_active_users`].
pub(super) fn monthly_active(conn: &Connection, app: AppId, month: &str) -> Result<u64> {
    let Count(users) = conn
        .prepare_cached("select count(*) from active_users where app = ?1 and month = ?2")?
        .query_row(params![app.0, month], |row| row.get(0))?;
    Ok(users)
}

/// The columns of a period, as [`read_row`] takes them.
macro_rules! columns {
    () => {
        "start, peak_by_cause, last_by_cause, opened, closed, tabs_saved, last_tabs_saved"
    };
}

fn read_row(row: &SqlRow<'_>, app: AppId, length: i64) -> rusqlite::Result<Row> {
    let by_cause =
        |at: usize| row.get::<_, Json<[u64; 5]>>(at).map(|Json(counts)| ByCause::from_array(counts));
    let count = |at: usize| row.get::<_, Count>(at).map(|Count(count)| count);
    Ok(Row {
        app,
        length,
        start: row.get(0)?,
        peak: by_cause(1)?,
        last: Census { by_cause: by_cause(2)?, tabs_saved: count(6)? },
        opened: by_cause(3)?,
        closed: count(4)?,
        tabs_saved: count(5)?,
    })
}

/// The latest row of this length that begins before a moment.
fn latest(conn: &Connection, app: AppId, length: i64, before: i64) -> Result<Option<Row>> {
    Ok(conn
        .prepare_cached(concat!(
            "select ",
            columns!(),
            " from usage_periods where app = ?1 and length = ?2 and start < ?3 order by start desc limit 1"
        ))?
        .query_row(params![app.0, length, before], |row| read_row(row, app, length))
        .optional()?)
}

/// See [`crate::Store::begin_usage`].
pub(super) fn begin(tx: &Tx<'_>) -> Result<Ledger> {
    let recorded: Option<i64> =
        tx.query_row("select at from usage_recorded", [], |row| row.get(0)).optional()?;
    let mut rows = Vec::new();
    for app in super::apps::all(tx)? {
        let minute = latest(tx, app.id, MINUTE_MS, i64::MAX)?;
        let Some(minute) = minute else { continue };
        let carried = Row::new(app.id, HOUR_MS, floor(minute.start, HOUR_MS), minute.last);
        rows.push([minute, latest(tx, app.id, HOUR_MS, i64::MAX)?.unwrap_or(carried)]);
    }
    Ok(Ledger::resume(rows, recorded.unwrap_or(0)))
}

/// Writes what the ledger has to have written by this commit. Answers it, for when it is on the disk.
pub(super) fn write(conn: &Connection, ledger: &Arc<Ledger>) -> Result<Option<Unwritten>> {
    let Some(unwritten) = ledger.due() else { return Ok(None) };
    for row in &unwritten.rows {
        write_row(conn, row)?;
    }
    conn.prepare_cached(
        "insert into usage_recorded (id, at) values (1, ?1) on conflict (id) do update set at = max(at, ?1)",
    )?
    .execute([unwritten.at])?;
    Ok(Some(unwritten))
}

fn write_row(conn: &Connection, row: &Row) -> Result<()> {
    let Row { app, length, start, peak, last, opened, closed, tabs_saved } = row;
    let list = |counts: &ByCause| {
        let [a, b, c, d, e] = counts.as_array();
        format!("[{a},{b},{c},{d},{e}]")
    };
    conn.prepare_cached(concat!(
        "insert or replace into usage_periods (app, length, peak, last, ",
        columns!(),
        ") values (?1, ?2, ?4, ?5, ?3, ?6, ?7, ?8, ?9, ?10, ?11)"
    ))?
    .execute(params![
        app.0,
        length,
        start,
        Count(peak.total()),
        Count(last.by_cause.total()),
        list(peak),
        list(&last.by_cause),
        list(opened),
        Count(*closed),
        Count(*tabs_saved),
        Count(last.tabs_saved),
    ])?;
    if *length == MINUTE_MS {
        // The last minute before those that are kept stays: it is carried into them.
        conn.prepare_cached(
            "delete from usage_periods where app = ?1 and length = ?2 and start < (
               select max(start) from usage_periods where app = ?1 and length = ?2 and start <= ?3)",
        )?
        .execute(params![app.0, MINUTE_MS, start - MINUTES_KEPT_MS])?;
    }
    Ok(())
}

/// See [`crate::Store::usage`].
pub(super) fn figures(
    conn: &Connection,
    app: AppId,
    range: &UsageRange,
    now: Timestamp,
) -> Result<UsageFigures> {
    let peak = |granularity: Granularity| -> Result<u64> {
        let end = Timestamp::from_unix_ms(now.unix_ms() + 1);
        let points = series(conn, app, &UsageRange { granularity, from: now, to: end })?;
        Ok(points.first().map_or(0, |point| point.peak))
    };
    Ok(UsageFigures {
        peaks: Peaks {
            minute: peak(Granularity::Minute)?,
            hour: peak(Granularity::Hour)?,
            day: peak(Granularity::Day)?,
            month: peak(Granularity::Month)?,
        },
        points: series(conn, app, range)?,
    })
}

/// Every period that holds a moment of the range.
fn series(conn: &Connection, app: AppId, range: &UsageRange) -> Result<Vec<UsagePoint>> {
    let granularity = &range.granularity;
    // Days and months are made of hours.
    let length = if *granularity == Granularity::Minute { MINUTE_MS } else { HOUR_MS };
    let first = period_start(range.from, granularity);
    let mut carried =
        latest(conn, app, length, first.unix_ms())?.map_or_else(Census::default, |row| row.last);
    let mut statement = conn.prepare_cached(concat!(
        "select ",
        columns!(),
        " from usage_periods where app = ?1 and length = ?2 and start between ?3 and ?4 - 1 order by start"
    ))?;
    let rows = statement
        .query_map(params![app.0, length, Time(first), Time(range.to)], |row| read_row(row, app, length))?;
    let mut rows = rows.peekable();
    let mut points = Vec::new();
    let mut start = first;
    while start < range.to {
        let end = next_period(start, granularity);
        let mut whole = Row::new(app, length, start.unix_ms(), carried);
        while let Some(row) = rows.next_if(|row| row.as_ref().map_or(true, |row| row.start < end.unix_ms())) {
            whole.holds(&row?);
        }
        carried = whole.last;
        let monthly_active_users = match granularity {
            Granularity::Month => Some(monthly_active(conn, app, &start.month())?),
            _ => None,
        };
        points.push(UsagePoint {
            start,
            peak: whole.peak.total(),
            peak_by_cause: whole.peak,
            opened: whole.opened,
            closed: whole.closed,
            tabs_saved: whole.tabs_saved,
            monthly_active_users,
        });
        start = end;
    }
    Ok(points)
}

/// When the period began that holds this moment.
fn period_start(at: Timestamp, granularity: &Granularity) -> Timestamp {
    match fixed_length(granularity) {
        Some(length) => Timestamp::from_unix_ms(floor(at.unix_ms(), length)),
        None => at.month_start(),
    }
}

fn next_period(start: Timestamp, granularity: &Granularity) -> Timestamp {
    match fixed_length(granularity) {
        Some(length) => Timestamp::from_unix_ms(start.unix_ms() + length),
        None => start.next_month_start(),
    }
}

/// `None`: months have not all the same.
fn fixed_length(granularity: &Granularity) -> Option<i64> {
    match granularity {
        Granularity::Minute => Some(MINUTE_MS),
        Granularity::Hour => Some(HOUR_MS),
        Granularity::Day => Some(DAY_MS),
        Granularity::Month | Granularity::Unknown(_) => None,
    }
}
