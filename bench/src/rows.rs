//! The table: every row with what it stands beside, what is to be reached and what is aimed at.

use clap::ValueEnum;

use crate::sizes::Sizes;

/// What is measured together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// Memory of connections that only wait.
    Idle,
    /// One large channel.
    Room,
    /// Many small channels in which everybody sends.
    Rooms,
    /// Users who connect.
    Connects,
    /// Sends that are acknowledged when they are on the disk.
    Durable,
    /// Everybody returns after a restart.
    Restart,
    /// Channels of many sizes.
    Members,
    /// Stores with few and many channels.
    Channels,
    /// A user of very many channels.
    Many,
    /// Readers who do not read.
    Stalled,
}

/// What a figure has to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    None,
    AtMost(f64),
    AtLeast(f64),
    /// So many times the floor at most.
    Times(f64),
    /// So much, or this share of the floor where the floor itself leaves no more.
    AtLeastOrShare {
        least: f64,
        share: f64,
    },
}

/// Whether a figure is what it has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Both are reached.
    Aim,
    Ok,
    Fail,
    /// Nothing is asked of it.
    Open,
}

impl Mark {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Aim => "aim",
            Self::Ok => "ok",
            Self::Fail => "FAIL",
            Self::Open => "",
        }
    }
}

impl Bound {
    /// Whether the figure keeps to it; `None`: it asks nothing, or there is no floor to compare with.
    pub(crate) fn holds(self, figure: f64, floor: Option<f64>) -> Option<bool> {
        let bound = self.value(floor)?;
        Some(match self {
            Self::None | Self::AtMost(_) | Self::Times(_) => figure <= bound,
            Self::AtLeast(_) | Self::AtLeastOrShare { .. } => figure >= bound,
        })
    }

    /// Where the bound lies beside this floor.
    pub(crate) fn value(self, floor: Option<f64>) -> Option<f64> {
        match self {
            Self::None => None,
            Self::AtMost(bound) | Self::AtLeast(bound) => Some(bound),
            Self::Times(times) => floor.map(|floor| floor * times),
            Self::AtLeastOrShare { least, share } => {
                Some(floor.map_or(least, |floor| least.min(floor * share)))
            }
        }
    }

    pub(crate) fn text(self, unit: &str) -> String {
        match self {
            Self::None => "–".to_owned(),
            Self::AtMost(most) => format!("≤ {most} {unit}"),
            Self::AtLeast(least) => format!("≥ {least}{unit}"),
            Self::Times(times) => format!("≤ {times} ×"),
            Self::AtLeastOrShare { least, share } => format!("≥ {least}{unit}, or {share} × the floor"),
        }
    }
}

/// One line of the table.
pub(crate) struct Row {
    pub(crate) id: &'static str,
    pub(crate) what: String,
    /// What it stands beside.
    pub(crate) floor: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) reach: Bound,
    pub(crate) aim: Bound,
}

impl Row {
    pub(crate) fn mark(&self, figure: f64, floor: Option<f64>) -> Mark {
        match (self.reach.holds(figure, floor), self.aim.holds(figure, floor)) {
            (Some(false), _) => Mark::Fail,
            (_, Some(true)) => Mark::Aim,
            (Some(true), _) => Mark::Ok,
            (None, Some(false) | None) => Mark::Open,
        }
    }
}

/// A write per message, as everybody does it who does not gather.
const EACH: &str = "bare loop, a write per message";
const PER_TURN: &str = "bare loop, a write per turn";

/// All rows, in the order in which they are printed.
pub(crate) fn rows(sizes: &Sizes) -> Vec<Row> {
    use Bound::{AtLeast, AtLeastOrShare, AtMost, None, Times};
    let Sizes { idle, room, rate, rooms, members, connects, senders, stalled, channels_of_one: many, .. } =
        sizes;
    let small = format!("{rooms} channels of {members}, everyone sends");
    let row = |id, what: String, floor, unit, reach, aim| Row { id, what, floor, unit, reach, aim };
    vec![
        row(
            "idle",
            format!("memory of an idle connection with one channel ({idle})"),
            "bare loop, a socket after the upgrade",
            "KiB",
            AtMost(8.0),
            AtMost(5.0),
        ),
        row(
            "light",
            format!("CPU per delivery, {room} in a channel, {rate}/s offered"),
            EACH,
            "µs",
            Times(1.3),
            Times(1.1),
        ),
        row(
            "saturated",
            format!("CPU per delivery, {room} in a channel, saturated"),
            PER_TURN,
            "µs",
            Times(2.5),
            Times(1.5),
        ),
        row("saturated-each", "the same".to_owned(), EACH, "µs", None, None),
        // Where NATS and nchan stood beside the same bare loop: `bench peers` measures them anew.
        row(
            "rooms-light",
            format!("CPU per delivery, {small}, {rate}/s offered, stored"),
            EACH,
            "µs",
            Times(1.83),
            Times(1.13),
        ),
        row(
            "rooms-saturated",
            format!("CPU per delivery, {small}, saturated, stored"),
            EACH,
            "µs",
            Times(1.8),
            Times(1.02),
        ),
        row(
            "rooms-p50",
            format!("median from send to delivery, {small}, {:.0} sends/s", rate / *members as f64),
            EACH,
            "ms",
            None,
            None,
        ),
        row(
            "rooms-p99",
            format!("99 % of deliveries within, {small}, {:.0} sends/s", rate / *members as f64),
            EACH,
            "ms",
            AtMost(10.0),
            AtMost(4.0),
        ),
        row(
            "connects-new",
            format!("connects of new users, one core ({connects})"),
            "bare loop, an upgrade",
            "/s",
            AtLeast(10_000.0),
            AtLeast(20_000.0),
        ),
        row(
            "connects-known",
            format!("connects of known users, one core ({connects})"),
            "bare loop, an upgrade",
            "/s",
            AtLeast(10_000.0),
            AtLeast(20_000.0),
        ),
        row(
            "durable",
            format!("durable acknowledged sends, {senders} senders, two cores"),
            "SQLite inserts, 64 per commit",
            "/s",
            AtLeastOrShare { least: 20_000.0, share: 0.8 },
            None,
        ),
        row("durable-single", "the same".to_owned(), "SQLite inserts, 1 per commit", "/s", None, None),
        row(
            "restart-back",
            format!("{idle} are back after a restart"),
            "restart, drain window, and a second for the last",
            "s",
            Times(1.0),
            None,
        ),
        row(
            "restart-ready",
            format!("99 % of {idle} have `ready` within, once they dial"),
            "",
            "ms",
            AtMost(1_000.0),
            None,
        ),
        row(
            "restart-memory",
            "most memory while they return".to_owned(),
            "when all are back",
            "MiB",
            Times(1.3),
            None,
        ),
        row(
            "members",
            format!("highest ratio to the bare loop of the same size, of {}", list(&sizes.channel_sizes)),
            "ratio in the smallest",
            "×",
            Times(1.2),
            None,
        ),
        row(
            "channels",
            format!("most CPU per send, of {} channels in the store", list(&sizes.stores)),
            "CPU with the fewest",
            "µs",
            Times(1.2),
            None,
        ),
        row("many-ms", format!("a user with {many} channels connects"), "", "ms", AtMost(50.0), None),
        row("many-ready", format!("`ready` of a user with {many} channels"), "", "KiB", AtMost(64.0), None),
        row(
            "many-attachment",
            "memory of each of those attachments".to_owned(),
            "",
            "bytes",
            AtMost(32.0),
            None,
        ),
        row(
            "stalled-p99",
            format!("99 % of deliveries to {} within, beside {stalled} who stall", room - stalled),
            "while all read",
            "ms",
            Times(1.2),
            None,
        ),
        row(
            "stalled-memory",
            "memory of each who stalls".to_owned(),
            "cap of one connection",
            "KiB",
            Times(1.0),
            None,
        ),
    ]
}

fn list(sizes: &[usize]) -> String {
    sizes.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(reach: Bound, aim: Bound) -> Row {
        let what = String::new();
        Row { id: "", what, floor: "", unit: "", reach, aim }
    }

    #[test]
    fn a_figure_is_marked_by_what_it_reaches() {
        let row = row(Bound::Times(1.3), Bound::Times(1.1));
        let marks = [1.1, 1.2, 1.4].map(|figure| row.mark(figure, Some(1.0)));
        assert_eq!(marks, [Mark::Aim, Mark::Ok, Mark::Fail]);
        assert_eq!(super::tests::row(Bound::None, Bound::None).mark(1.0, Some(1.0)), Mark::Open);
    }

    #[test]
    fn a_slow_disk_asks_for_a_share_of_what_it_allows() {
        let bound = Bound::AtLeastOrShare { least: 20_000.0, share: 0.8 };
        assert_eq!(bound.holds(19_999.0, Some(150_000.0)), Some(false));
        assert_eq!(bound.holds(8_000.0, Some(10_000.0)), Some(true));
        assert_eq!(bound.holds(7_999.0, Some(10_000.0)), Some(false));
    }
}
