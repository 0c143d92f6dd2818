//! What the runs have seen.

#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(super) events: u64,
    pub(super) deliveries: u64,
    pub(super) cuts: u64,
    pub(super) restarts: u64,
    pub(super) lost_publishes: u64,
    pub(super) dead_links: u64,
    pub(super) dials: u64,
    pub(super) fresh: u64,
    pub(super) resumed: u64,
    pub(super) caught_up: u64,
    pub(super) resets: u64,
    pub(super) other_epochs: u64,
    pub(super) loads: u64,
    pub(super) failed_loads: u64,
    pub(super) joins: u64,
    pub(super) leaves: u64,
    pub(super) tokens_renewed: u64,
    pub(super) logouts: u64,
}

impl Tally {
    pub(crate) fn counts(&self) -> Vec<(String, u64)> {
        // The names are those of the fields: the output of Debug is `Tally { events: 1, … }`.
        let text = format!("{self:?}");
        let fields = text.trim_start_matches("Tally { ").trim_end_matches(" }").split(", ");
        let field =
            |field: &str| field.split_once(": ").map(|(name, n)| (name.to_owned(), n.parse().unwrap()));
        fields.filter_map(field).collect()
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.deliveries += other.deliveries;
        self.cuts += other.cuts;
        self.restarts += other.restarts;
        self.lost_publishes += other.lost_publishes;
        self.dead_links += other.dead_links;
        self.dials += other.dials;
        self.fresh += other.fresh;
        self.resumed += other.resumed;
        self.caught_up += other.caught_up;
        self.resets += other.resets;
        self.other_epochs += other.other_epochs;
        self.loads += other.loads;
        self.failed_loads += other.failed_loads;
        self.joins += other.joins;
        self.leaves += other.leaves;
        self.tokens_renewed += other.tokens_renewed;
        self.logouts += other.logouts;
    }
}
