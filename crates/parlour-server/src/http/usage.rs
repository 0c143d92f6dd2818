//! `/v1/usage`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use parlour_store::{UsageFigures, UsageRange};
use parlour_wire::usage::{
    ConcurrentConnections, Definitions, Granularity, UsageQuery, UsageResponse, UsageSeries,
};
use parlour_wire::{ErrorBody, ErrorCode, Timestamp};

use super::caller::Params;
use crate::access::Caller;
use crate::error::ApiResult;
use crate::node::Node;

/// Periods in one answer: a day of minutes, and a little.
const POINTS_MAX: u32 = 1_500;
const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 1_440 * MINUTE_MS;

/// What the app used, with the words that the figures are to be read by. Server token.
#[utoipa::path(get, path = "/v1/usage", params(UsageQuery), responses((status = 200, body = UsageResponse)))]
pub(super) async fn usage(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Params(query): Params<UsageQuery>,
) -> ApiResult<Json<UsageResponse>> {
    caller.require_server()?;
    let now = node.clock.now();
    let (month, range) = asked_for(&query, now)?;
    // What closed within the last second belongs to the answer.
    node.settle().await;
    let app = caller.app.id;
    let monthly_active_users = node.store.monthly_active_users(app, &month).await?;
    let UsageFigures { peaks, points } = node.store.usage(app, range.clone(), now).await?;
    let census = node.ledger.census(app);
    let series = UsageSeries {
        from: points.first().map_or(range.from, |point| point.start),
        to: range.to,
        granularity: range.granularity,
        peak: points.iter().map(|point| point.peak).max().unwrap_or(0),
        points,
    };
    Ok(Json(UsageResponse {
        month,
        monthly_active_users,
        concurrent_connections: ConcurrentConnections {
            current: census.by_cause.total(),
            current_by_cause: census.by_cause,
            tabs_saved: census.tabs_saved,
            peak_minute: peaks.minute,
            peak_hour: peaks.hour,
            peak_day: peaks.day,
            peak_month: peaks.month,
            series,
        },
        definitions: Definitions::default(),
    }))
}

/// The month and the range that a query means at this moment.
fn asked_for(query: &UsageQuery, now: Timestamp) -> Result<(String, UsageRange), ErrorBody> {
    let refuse = |why: String| Err(ErrorCode::InvalidInput.because(why));
    // The present moment belongs to its periods.
    let end = Timestamp::from_unix_ms(now.unix_ms() + 1);
    let month = query.month.as_deref().map(month_start).transpose()?;
    let granularity = match (&query.granularity, month) {
        (Some(Granularity::Unknown(other)), _) => {
            let known = Granularity::KNOWN.join(", ");
            return refuse(format!("`granularity` is one of {known}; this is {other:?}."));
        }
        (Some(granularity), _) => granularity.clone(),
        (None, Some(_)) => Granularity::Day,
        (None, None) => Granularity::Minute,
    };
    if month.is_some() && (query.from.is_some() || query.to.is_some() || query.last.is_some()) {
        return refuse("`month` is a range by itself: leave out `from`, `to` and `last`.".to_owned());
    }
    if query.from.is_some() && query.last.is_some() {
        return refuse(
            "`from` and `last` both say where the range begins: leave one of them out.".to_owned(),
        );
    }
    let to = month.map(Timestamp::next_month_start).or(query.to).map_or(end, |to| to.min(end));
    let last = query.last.unwrap_or_else(|| usual(&granularity));
    if !(1..=POINTS_MAX).contains(&last) {
        return refuse(format!("`last` is {last}; 1 to {POINTS_MAX} periods come at once."));
    }
    let from = month.or(query.from).unwrap_or_else(|| before(to, &granularity, last));
    if from >= to {
        return refuse(format!(
            "The range is empty: it begins at {from} and ends at {to}, and now it is {now}."
        ));
    }
    let points = (to.unix_ms() - from.unix_ms()) / length(&granularity) + 1;
    if points > i64::from(POINTS_MAX) {
        return refuse(format!(
            "The range has about {points} periods of a {granularity}; at most {POINTS_MAX} come at once. Ask for a \
             shorter range, or a coarser `granularity`."
        ));
    }
    let month = month.unwrap_or(now).month();
    Ok((month, UsageRange { granularity, from, to }))
}

fn month_start(text: &str) -> Result<Timestamp, ErrorBody> {
    let is_month = text.len() == "2026-11".len();
    let start = format!("{text}-01T00:00:00Z").parse::<Timestamp>();
    start.ok().filter(|_| is_month).ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        ErrorCode::InvalidInput.because(format!("`month` is written like 2026-11; this is {shown:?}."))
    })
}

/// So many periods where nothing else is asked for.
fn usual(granularity: &Granularity) -> u32 {
    match granularity {
        Granularity::Minute => 60,
        Granularity::Hour => 24,
        Granularity::Day => 31,
        Granularity::Month | Granularity::Unknown(_) => 12,
    }
}

/// A moment in the first of the periods of which the last one ends at `to`, or holds the moment before it.
fn before(to: Timestamp, granularity: &Granularity, count: u32) -> Timestamp {
    let last = Timestamp::from_unix_ms(to.unix_ms() - 1);
    match granularity {
        Granularity::Month | Granularity::Unknown(_) => {
            (1..count).fold(last, |at, _| Timestamp::from_unix_ms(at.month_start().unix_ms() - 1))
        }
        fixed => Timestamp::from_unix_ms(last.unix_ms() - (i64::from(count) - 1) * length(fixed)),
    }
}

/// The shortest that a period can be.
fn length(granularity: &Granularity) -> i64 {
    match granularity {
        Granularity::Minute => MINUTE_MS,
        Granularity::Hour => 60 * MINUTE_MS,
        Granularity::Day => DAY_MS,
        Granularity::Month | Granularity::Unknown(_) => 28 * DAY_MS,
    }
}
