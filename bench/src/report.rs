//! The figures of all rounds, and the table of their medians.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::page;
use crate::rows::{Mark, Row};

/// One figure per round in each.
#[derive(Default)]
struct Figures {
    floor: Vec<f64>,
    product: Vec<f64>,
}

/// What was measured, by row.
#[derive(Default)]
pub(crate) struct Report {
    figures: BTreeMap<&'static str, Figures>,
    /// Deliveries, each with its order checked.
    pub(crate) checked: u64,
}

/// One line of the table, with its medians.
pub(crate) struct Line<'a> {
    pub(crate) row: &'a Row,
    pub(crate) floor: Option<f64>,
    pub(crate) product: f64,
    pub(crate) mark: Mark,
}

/// The middle one; of an even number the lower of the two.
pub(crate) fn median(figures: &[f64]) -> Option<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied()
}

impl Report {
    pub(crate) fn floor(&mut self, id: &'static str, figure: f64) {
        self.figures.entry(id).or_default().floor.push(figure);
    }

    pub(crate) fn product(&mut self, id: &'static str, figure: f64) {
        self.figures.entry(id).or_default().product.push(figure);
    }

    /// The rows that were measured.
    pub(crate) fn lines<'a>(&self, rows: &'a [Row]) -> Vec<Line<'a>> {
        let line = |row: &'a Row| {
            let figures = self.figures.get(row.id)?;
            let (floor, product) = (median(&figures.floor), median(&figures.product)?);
            Some(Line { row, floor, product, mark: row.mark(product, floor) })
        };
        rows.iter().filter_map(line).collect()
    }
}

/// The lines as rows of a table, with their head.
pub(crate) fn rows_of(lines: &[Line<'_>]) -> Vec<Vec<String>> {
    let head = ["what", "beside", "bare machine", "Parlour", "ratio", "reach", "aim", "mark"];
    let line = |line: &Line<'_>| {
        let Line { row, floor, product, mark } = line;
        let unit = row.unit;
        let none = || "–".to_owned();
        vec![
            row.what.clone(),
            row.floor.to_owned(),
            floor.map_or_else(none, |floor| figure(floor, unit)),
            figure(*product, unit),
            floor.map_or_else(none, |floor| format!("{:.2}", product / floor)),
            row.reach.text(unit),
            row.aim.text(unit),
            mark.word().to_owned(),
        ]
    };
    std::iter::once(head.map(str::to_owned).to_vec()).chain(lines.iter().map(line)).collect()
}

/// Rows as a Markdown table.
pub(crate) fn markdown(rows: &[Vec<String>]) -> String {
    let mut table = String::new();
    for (at, row) in rows.iter().enumerate() {
        // Writing into a text does not fail.
        let _ = writeln!(table, "| {} |", row.join(" | "));
        if at == 0 {
            let _ = writeln!(table, "|{}", "---|".repeat(row.len()));
        }
    }
    table
}

/// Each row as a plot: the bare machine, Parlour, and what is to be reached.
pub(crate) fn plots(lines: &[Line<'_>]) -> String {
    lines.iter().map(plot_of).collect()
}

fn plot_of(line: &Line<'_>) -> String {
    let Line { row, floor, product, .. } = line;
    let bar = |name: &str, value: f64, kind| page::Bar {
        name: name.to_owned(),
        value,
        label: figure(value, row.unit),
        kind,
    };
    let mut bars: Vec<page::Bar> =
        floor.map(|floor| bar(row.floor, floor, page::Kind::Floor)).into_iter().collect();
    bars.push(bar("Parlour", *product, page::Kind::Parlour));
    let bounds = [("reach", row.reach), ("aim", row.aim)];
    let lines: Vec<page::Line> = bounds
        .into_iter()
        .filter_map(|(name, bound)| Some(page::Line { name, value: bound.value(*floor)? }))
        .collect();
    page::plot(&row.what, &bars, &lines)
}

/// A figure with its unit, and as many digits as it is worth.
pub(crate) fn figure(figure: f64, unit: &str) -> String {
    if figure.is_nan() {
        return "over capacity".to_owned();
    }
    let digits = if figure.abs() >= 100.0 { 0 } else { 2 };
    let space = if unit.starts_with('/') || unit.is_empty() { "" } else { " " };
    format!("{figure:.digits$}{space}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::Bound;

    #[test]
    fn the_median_does_not_mind_the_order_or_one_wild_figure() {
        assert_eq!(median(&[900.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[5.0]), Some(5.0));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn a_row_stands_beside_its_floor_with_its_mark_and_one_that_was_not_measured_does_not_stand_there() {
        let row = |id| Row {
            id,
            what: "a delivery".to_owned(),
            floor: "bare loop",
            unit: "µs",
            reach: Bound::Times(1.3),
            aim: Bound::Times(1.1),
        };
        let rows = [row("light"), row("saturated")];
        let mut report = Report::default();
        for (floor, product) in [(5.0, 7.0), (4.0, 6.0), (6.0, 99.0)] {
            report.floor("light", floor);
            report.product("light", product);
        }
        let table = markdown(&rows_of(&report.lines(&rows)));
        let line = "| a delivery | bare loop | 5.00 µs | 7.00 µs | 1.40 | ≤ 1.3 × | ≤ 1.1 × | FAIL |";
        assert_eq!(table.lines().skip(2).collect::<Vec<_>>(), [line]);
    }
}
