//! The report as a page of its own: tables, and bars drawn as SVG, with nothing to load.

use std::fmt::Write as _;

const STYLE: &str = "
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { border-bottom: 1px solid #ddd; padding: .3rem .6rem; text-align: left; vertical-align: top; }
.FAIL { color: #b3261e; font-weight: 600; } .aim, .ok { color: #1b6e3c; font-weight: 600; }
figure { margin: 1.5rem 0; } figcaption { font-weight: 600; }
svg text { font: 13px system-ui, sans-serif; fill: #222; }
";

/// One bar of a plot.
pub(crate) struct Bar {
    pub(crate) name: String,
    pub(crate) value: f64,
    /// What stands at its end.
    pub(crate) label: String,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Floor,
    Peer,
    Parlour,
}

impl Kind {
    fn color(self) -> &'static str {
        match self {
            Self::Floor => "#b9bfc6",
            Self::Peer => "#8aa4c8",
            Self::Parlour => "#2f6f4f",
        }
    }
}

/// A line across the bars.
pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) value: f64,
}

/// Bars below each other, on one scale from zero.
pub(crate) fn plot(caption: &str, bars: &[Bar], lines: &[Line]) -> String {
    const NAMES: f64 = 260.0;
    const WIDTH: f64 = 460.0;
    const ROW: f64 = 26.0;
    let values = bars.iter().map(|bar| bar.value).chain(lines.iter().map(|line| line.value));
    let most = values.filter(|value| value.is_finite()).fold(f64::MIN_POSITIVE, f64::max);
    let x = |value: f64| NAMES + WIDTH * value / most;
    let height = ROW * (bars.len() as f64 + 1.0);
    let mut svg = format!(
        "<figure><figcaption>{}</figcaption><svg role=\"img\" width=\"920\" height=\"{height}\" viewBox=\"0 0 920 {height}\">",
        escape(caption)
    );
    for (at, bar) in bars.iter().enumerate() {
        let y = ROW * at as f64;
        let width = if bar.value.is_finite() { x(bar.value) - NAMES } else { 0.0 };
        // Writing into a text does not fail.
        let _ = write!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{NAMES}\" y=\"{:.0}\" width=\"{width:.1}\" height=\"18\" fill=\"{}\"/>\
             <text x=\"{:.1}\" y=\"{:.0}\">{}</text>",
            NAMES - 8.0,
            y + 17.0,
            escape(&bar.name),
            y + 3.0,
            bar.kind.color(),
            NAMES + width + 6.0,
            y + 17.0,
            escape(&bar.label)
        );
    }
    for line in lines.iter().filter(|line| line.value.is_finite()) {
        let x = x(line.value);
        let _ = write!(
            svg,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"0\" y2=\"{:.0}\" stroke=\"#b3261e\" stroke-dasharray=\"4 3\"/>\
             <text x=\"{x:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{}</text>",
            height - 16.0,
            height - 3.0,
            line.name
        );
    }
    svg + "</svg></figure>\n"
}

/// A table of cells, whose first row is its head.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let mut table = "<table>".to_owned();
    for (at, row) in rows.iter().enumerate() {
        let cell = if at == 0 { "th" } else { "td" };
        table += "<tr>";
        for text in row {
            let text = escape(text);
            let _ = write!(table, "<{cell} class=\"{text}\">{text}</{cell}>");
        }
        table += "</tr>";
    }
    table + "</table>\n"
}

/// The whole page.
pub(crate) fn page(title: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style>\
         <h1>{title}</h1>\n{body}</html>\n"
    )
}

pub(crate) fn paragraph(text: &str) -> String {
    format!("<p>{}</p>\n", escape(text))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_fills_the_plot_and_what_has_no_figure_has_no_bar() {
        let bar = |name: &str, value: f64| Bar {
            name: name.to_owned(),
            value,
            label: "l".to_owned(),
            kind: Kind::Peer,
        };
        let svg = plot("a < b", &[bar("half", 2.0), bar("whole", 4.0), bar("none", f64::NAN)], &[]);
        for part in ["width=\"230.0\"", "width=\"460.0\"", "width=\"0.0\"", "a &lt; b"] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
        let with_line = plot("", &[bar("half", 2.0)], &[Line { name: "reach", value: 8.0 }]);
        assert!(
            with_line.contains("width=\"115.0\""),
            "a line that lies further out sets the scale: {with_line}"
        );
    }
}
