//! `parlour usage`: what an app used, as a picture and a table.

use clap::{Args, ValueEnum};
use parlour_client::wire::Timestamp;
use parlour_client::wire::usage::{ByCause, Granularity, UsagePoint, UsageQuery, UsageResponse};

use super::chat::print_line;
use super::server::ServerArgs;

/// Rows of the picture.
const ROWS: u64 = 8;
/// Columns of the picture, at most: a week of hours, half as wide.
const COLUMNS_MAX: usize = 96;

/// Shows active users and concurrent connections, by cause.
#[derive(Args)]
pub(crate) struct UsageArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// A whole month (UTC), such as 2026-11 [default: the last periods up to now]
    #[arg(long, conflicts_with = "last")]
    month: Option<String>,
    /// The length of the periods [default: day with --month, else hour]
    #[arg(long)]
    by: Option<By>,
    /// As many of the latest periods
    #[arg(long)]
    last: Option<u32>,
    /// Only the picture and the sums, without a line for each period
    #[arg(long)]
    brief: bool,
    /// Print one line of JSON: the answer of `GET /v1/usage`
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum By {
    Minute,
    Hour,
    Day,
    Month,
}

impl From<By> for Granularity {
    fn from(by: By) -> Self {
        match by {
            By::Minute => Self::Minute,
            By::Hour => Self::Hour,
            By::Day => Self::Day,
            By::Month => Self::Month,
        }
    }
}

pub(crate) async fn run(args: UsageArgs) -> anyhow::Result<()> {
    let by = args.by.unwrap_or(if args.month.is_some() { By::Day } else { By::Hour });
    let query = UsageQuery {
        month: args.month,
        granularity: Some(by.into()),
        last: args.last,
        ..UsageQuery::default()
    };
    let usage = args.server.client()?.usage(query).await?;
    if args.json {
        return print_line(&serde_json::to_string(&usage)?);
    }
    for line in report(&usage, args.brief) {
        print_line(&line)?;
    }
    Ok(())
}

/// What a person reads.
fn report(usage: &UsageResponse, brief: bool) -> Vec<String> {
    let connections = &usage.concurrent_connections;
    let series = &connections.series;
    let granularity = &series.granularity;
    let mut lines = vec![
        format!("monthly active users   {}   ({})", usage.monthly_active_users, usage.month),
        format!(
            "connections now        {}   ({})",
            connections.current,
            causes(&connections.current_by_cause)
        ),
        format!(
            "peaks                  {} this minute, {} this hour, {} today, {} this month",
            connections.peak_minute, connections.peak_hour, connections.peak_day, connections.peak_month
        ),
        format!("saved by shared tabs   {} now", connections.tabs_saved),
        String::new(),
        format!(
            "peak of connections per {granularity}, {} to {} UTC",
            short(series.from, granularity),
            series.to
        ),
    ];
    let peaks: Vec<u64> = series.points.iter().map(|point| point.peak).collect();
    lines.extend(picture(&peaks));
    if !brief {
        lines.push(String::new());
        lines.extend(table(&series.points, granularity));
    }
    lines.push(String::new());
    lines.push(format!("A connection: {}", usage.definitions.concurrent_connections));
    lines.push(format!("A peak: {}", usage.definitions.peak));
    lines.push("All definitions: parlour usage --json, and the page on usage.".to_owned());
    lines
}

/// Bars of block characters, an eighth of a row exact. Periods that are more than there is room for share a column,
/// with the highest of them.
fn picture(peaks: &[u64]) -> Vec<String> {
    const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let per_column = peaks.len().div_ceil(COLUMNS_MAX).max(1);
    let columns: Vec<u64> =
        peaks.chunks(per_column).map(|chunk| chunk.iter().copied().max().unwrap_or(0)).collect();
    let top = columns.iter().copied().max().unwrap_or(0).max(1);
    let width = top.to_string().len();
    let bars = (0..ROWS).rev().map(|row| {
        let bar = |peak: &u64| {
            // Whatever is there at all is seen.
            let eighths = (peak * ROWS * 8).div_ceil(top);
            EIGHTHS[usize::try_from(eighths.saturating_sub(row * 8).min(8)).unwrap_or(8)]
        };
        let scale = if row + 1 == ROWS { top.to_string() } else { String::new() };
        let bars: String = columns.iter().map(bar).collect();
        format!("{scale:>width$} ┤{}", bars.trim_end())
    });
    let axis = format!("{:>width$} └{}", 0, "─".repeat(columns.len()));
    bars.chain([axis]).collect()
}

fn table(points: &[UsagePoint], granularity: &Granularity) -> Vec<String> {
    let head = format!(
        "{:<20} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}",
        granularity.as_str(),
        "peak",
        "first",
        "further",
        "tabs",
        "leaks?",
        "overlap",
        "opened",
        "closed",
        "saved"
    );
    let line = |point: &UsagePoint| {
        let [first, further, tabs, leaks, overlap] = point.peak_by_cause.as_array();
        format!(
            "{:<20} {:>8} {first:>8} {further:>8} {tabs:>8} {leaks:>8} {overlap:>8} {:>8} {:>8} {:>8}",
            short(point.start, granularity),
            point.peak,
            point.opened.total(),
            point.closed,
            point.tabs_saved
        )
    };
    [head].into_iter().chain(points.iter().map(line)).collect()
}

/// Those causes that there are.
fn causes(counts: &ByCause) -> String {
    let names = ["first devices", "further devices", "extra tabs", "leak suspects", "reconnect overlaps"];
    let told = names.iter().zip(counts.as_array()).filter(|(_, count)| *count > 0);
    let told: Vec<String> = told.map(|(name, count)| format!("{count} {name}")).collect();
    if told.is_empty() { "none".to_owned() } else { told.join(", ") }
}

/// As much of a time as its period is long.
fn short(at: Timestamp, granularity: &Granularity) -> String {
    let text = at.to_string();
    let length = match granularity {
        Granularity::Month => 7,
        Granularity::Day => 10,
        _ => 16,
    };
    text[..length].replace('T', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_shows_the_highest_at_the_top_and_whatever_is_there_at_all() {
        let lines = picture(&[0, 1, 400, 800]);
        assert_eq!(lines.len(), 9);
        assert_eq!(lines[0], "800 ┤   █");
        assert_eq!(lines[4], "    ┤  ██");
        assert_eq!(lines[7], "    ┤ ▁██");
        assert_eq!(lines[8], "  0 └────");
        assert_eq!(picture(&[]).len(), 9, "and where nothing was, nothing breaks");
        let wide = picture(&[7; 1_500]);
        assert!(wide.iter().all(|line| line.chars().count() <= COLUMNS_MAX + 3));
    }
}
