//! How everybody stands beside everybody else.

use crate::page::{Bar, Kind, plot};
use crate::report::figure;
use crate::workloads::contest::{DISCIPLINES, Standing};

/// What the figures do not say by themselves.
pub(crate) const NOTE: &str = "None of the peers stores a message here or checks who may read it; Parlour does both, durably, before it \
     delivers. CPU is utime + stime of all processes of a server over the deliveries that arrived.";

/// Parlour has to be ahead of these, by discipline; and aims to be ahead of those.
const AHEAD: [(usize, &[&str], &[&str]); 3] =
    [(2, &["NATS"], &[]), (3, &["NATS", "Socket.IO"], &["nchan"]), (4, &["NATS", "Socket.IO"], &["nchan"])];

/// The table of all, with its head.
pub(crate) fn rows_of(standings: &[Standing]) -> Vec<Vec<String>> {
    let head = std::iter::once("server").chain(DISCIPLINES).map(str::to_owned).collect();
    let row = |standing: &Standing| {
        let figures = (0..DISCIPLINES.len()).map(|at| figure(standing.median(at), ""));
        std::iter::once(standing.name.clone()).chain(figures).collect()
    };
    std::iter::once(head).chain(standings.iter().map(row)).collect()
}

/// Whether Parlour is ahead where it has to be.
pub(crate) fn marks_of(standings: &[Standing]) -> Vec<Vec<String>> {
    let mut rows = vec![["", "Parlour", "to be ahead of", "aim", "mark"].map(str::to_owned).to_vec()];
    let Some(parlour) = standings.iter().find(|standing| standing.name == "Parlour") else { return rows };
    for (at, reach, aim) in AHEAD {
        let own = parlour.median(at);
        let with_figures = |names: &[&str]| {
            let of = |name: &&str| format!("{name} {}", figure(of_peer(standings, name, at), ""));
            names.iter().map(of).collect::<Vec<_>>().join(", ")
        };
        // Who is over capacity is behind whoever is not.
        let is_behind = |name: &&str| {
            let peer = of_peer(standings, name, at);
            peer.is_nan() || peer > own
        };
        let is_ahead = |names: &[&str]| !own.is_nan() && names.iter().all(is_behind);
        let mark = match (is_ahead(reach), is_ahead(aim)) {
            (false, _) => "FAIL",
            (true, true) if !aim.is_empty() => "aim",
            (true, _) => "ok",
        };
        let discipline = DISCIPLINES[at].to_owned();
        rows.push(vec![discipline, figure(own, ""), with_figures(reach), with_figures(aim), mark.to_owned()]);
    }
    rows
}

fn of_peer(standings: &[Standing], name: &str, discipline: usize) -> f64 {
    let peer = standings.iter().find(|standing| standing.name.starts_with(name));
    peer.map_or(f64::NAN, |peer| peer.median(discipline))
}

/// One plot for each discipline.
pub(crate) fn plots(standings: &[Standing]) -> String {
    let discipline = |(at, name): (usize, &&str)| {
        let bar = |standing: &Standing| {
            let kind = match standing.name.as_str() {
                "Parlour" => Kind::Parlour,
                name if name.starts_with("bare") => Kind::Floor,
                _ => Kind::Peer,
            };
            let value = standing.median(at);
            Bar { name: standing.name.clone(), value, label: figure(value, ""), kind }
        };
        plot(name, &standings.iter().map(bar).collect::<Vec<_>>(), &[])
    };
    DISCIPLINES.iter().enumerate().map(discipline).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(name: &str, figure: f64) -> Standing {
        Standing { name: name.to_owned(), figures: std::array::from_fn(|_| vec![figure]) }
    }

    fn marks(parlour: f64) -> Vec<String> {
        let standings = [
            standing("NATS 2.9", 14.0),
            standing("Socket.IO 4.8", 20.0),
            standing("nchan 1.3", 9.0),
            standing("Parlour", parlour),
        ];
        marks_of(&standings).into_iter().skip(1).filter_map(|row| row.last().cloned()).collect()
    }

    #[test]
    fn parlour_is_marked_by_whom_it_is_ahead_of() {
        assert_eq!(marks(8.0), ["ok", "aim", "aim"]);
        assert_eq!(marks(10.0), ["ok", "ok", "ok"]);
        assert_eq!(marks(15.0), ["FAIL", "FAIL", "FAIL"]);
        assert_eq!(marks(f64::NAN), ["FAIL", "FAIL", "FAIL"], "over capacity");
    }
}
