//! The figures of all rounds, and the table of their medians.

use crate::Sizes;

/// One figure per round in each.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) idle_floor: Vec<f64>,
    pub(crate) idle_product: Vec<f64>,
    pub(crate) light_each: Vec<f64>,
    pub(crate) light_per_turn: Vec<f64>,
    pub(crate) light_product: Vec<f64>,
    pub(crate) saturated_each: Vec<f64>,
    pub(crate) saturated_per_turn: Vec<f64>,
    pub(crate) saturated_product: Vec<f64>,
    pub(crate) inserts: Vec<f64>,
    pub(crate) single_inserts: Vec<f64>,
    pub(crate) sends: Vec<f64>,
    pub(crate) sends_p99_ms: Vec<f64>,
    /// Deliveries of the saturated runs, each with its seq checked.
    pub(crate) checked: u64,
}

/// The middle one; of an even number the lower of the two.
pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

impl Report {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Prints the medians as a Markdown table.
    pub(crate) fn print(&self, sizes: &Sizes) {
        let Sizes { room, idle, rate, seconds, senders, rounds, .. } = sizes;
        println!("\nMedians of {rounds}, {seconds} s each; server on core 0, generator on core 1.\n");
        println!("| what | floor | bare machine | Parlour | ratio |");
        println!("|---|---|---:|---:|---:|");
        let costs = |what: &str, floor: &str, bare: &[f64], product: &[f64], unit: &str| {
            let (bare, product) = (median(bare), median(product));
            println!("| {what} | {floor} | {bare:.2} {unit} | {product:.2} {unit} | {:.2} |", product / bare);
        };
        let idle_what = format!("memory of an idle connection ({idle})");
        costs(&idle_what, "socket after the upgrade", &self.idle_floor, &self.idle_product, "KiB");
        let light = format!("CPU per delivery, room of {room}, {rate:.0}/s offered");
        let saturated = format!("CPU per delivery, room of {room}, saturated");
        let (each, turn) = ("pre-framed, a write per message", "pre-framed, a write per turn");
        costs(&light, each, &self.light_each, &self.light_product, "µs");
        costs(&light, turn, &self.light_per_turn, &self.light_product, "µs");
        costs(&saturated, each, &self.saturated_each, &self.saturated_product, "µs");
        costs(&saturated, turn, &self.saturated_per_turn, &self.saturated_product, "µs");
        let durable = format!("durable acknowledged sends, {senders} senders");
        // Here more is better: the ratio is how much of the bare machine is left.
        let rates = |floor: &str, bare: &[f64]| {
            let (bare, product) = (median(bare), median(&self.sends));
            println!("| {durable} | {floor} | {bare:.0}/s | {product:.0}/s | {:.2} |", product / bare);
        };
        rates(&format!("SQLite inserts, {senders} per fsync"), &self.inserts);
        rates("SQLite inserts, 1 per fsync", &self.single_inserts);
        println!(
            "\nDurable sends: p99 {:.1} ms. {} deliveries of the saturated runs checked: none lost, doubled or \
             out of order.",
            median(&self.sends_p99_ms),
            self.checked
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_does_not_mind_the_order_or_one_wild_figure() {
        assert_eq!(median(&[900.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[5.0]), 5.0);
        assert!(median(&[]).is_nan());
    }
}
