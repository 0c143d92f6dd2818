//! How large everything is.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::rows::Workload;

#[derive(Args)]
pub(crate) struct Sizes {
    /// A smoke run: small sizes, one round. Its figures mean little; a lost or doubled event fails it all the same.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Measure only these [default: everything]
    #[arg(long, value_delimiter = ',')]
    pub(crate) only: Vec<Workload>,
    /// Clients in the large channel.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) room: usize,
    /// Idle connections whose memory is measured.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) idle: usize,
    /// Deliveries per second that are offered in light runs.
    #[arg(long, default_value_t = 20_000.0)]
    pub(crate) rate: f64,
    /// Small channels in which everybody sends.
    #[arg(long, default_value_t = 200)]
    pub(crate) rooms: usize,
    /// Members of each of them.
    #[arg(long, default_value_t = 10)]
    pub(crate) members: usize,
    /// Users who connect.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) connects: usize,
    /// Users who send at the same time where nobody listens.
    #[arg(long, default_value_t = 64)]
    pub(crate) senders: usize,
    /// The window over which everybody is told to come back after a restart, in milliseconds.
    #[arg(long, default_value_t = 30_000)]
    pub(crate) drain_window_ms: u64,
    /// Sizes of channels that are compared.
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1_000, 5_000, 15_000])]
    pub(crate) channel_sizes: Vec<usize>,
    /// Numbers of channels in the store that are compared.
    #[arg(long, value_delimiter = ',', default_values_t = [10, 1_000, 100_000])]
    pub(crate) stores: Vec<usize>,
    /// Channels of one user who connects.
    #[arg(long, default_value_t = 3_000)]
    pub(crate) channels_of_one: usize,
    /// Members of the large channel who stop reading.
    #[arg(long, default_value_t = 100)]
    pub(crate) stalled: usize,
    /// Seconds of each run.
    #[arg(long, default_value_t = 5.0)]
    pub(crate) seconds: f64,
    /// Rounds, of which the median counts.
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: usize,
    /// The server [default: `parlour` beside this program]
    #[arg(long)]
    pub(crate) parlour: Option<PathBuf>,
}

impl Sizes {
    /// The sizes that count.
    pub(crate) fn settled(self) -> Self {
        if !self.quick {
            return self;
        }
        Self {
            room: 100,
            idle: 500,
            rate: 5_000.0,
            rooms: 20,
            connects: 500,
            drain_window_ms: 1_000,
            channel_sizes: vec![50, 200],
            stores: vec![10, 300],
            channels_of_one: 300,
            stalled: 10,
            seconds: 0.5,
            rounds: 1,
            ..self
        }
    }

    pub(crate) fn time(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    /// Whether this is to be measured.
    pub(crate) fn includes(&self, workload: Workload) -> bool {
        self.only.is_empty() || self.only.contains(&workload)
    }
}
