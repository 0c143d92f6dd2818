//! What is measured, and how: one module for each workload.

mod channels;
mod connects;
pub(crate) mod contest;
mod durable;
mod idle;
mod many;
mod members;
mod restart;
mod room;
mod rooms;
mod stalled;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;

use crate::crowd::{Crowd, Load, Outcome};
use crate::dial::{Dialled, dial_all};
use crate::process::Measured;
use crate::product::{Product, Setup};
use crate::protocol::{Protocol, Seat};
use crate::report::Report;
use crate::rows::Workload;
use crate::sizes::Sizes;

/// Bytes of text in a message.
const TEXT: usize = 200;
/// The same for the bare loop, such that its frames are about as long as the product's.
const FLOOR_TEXT: usize = 565;
/// Dials under way at once, where how fast they are does not count.
const DIALS: usize = 64;
/// The first messages are not what is measured.
const WARM_UP: Duration = Duration::from_millis(200);

/// A run: its sizes, its programs, and what came of it so far.
pub(crate) struct Bench {
    pub(crate) sizes: Sizes,
    /// This program, which also is the floors.
    pub(crate) own: PathBuf,
    pub(crate) binary: PathBuf,
    /// Where data is kept: not in /tmp, which may be memory. An fsync has to cost what it costs.
    pub(crate) folder: PathBuf,
    pub(crate) report: Report,
}

impl Bench {
    /// One round of a workload.
    pub(crate) fn measure(&mut self, workload: Workload) -> Result<()> {
        match workload {
            Workload::Idle => idle::measure(self),
            Workload::Room => room::measure(self),
            Workload::Rooms => rooms::measure(self),
            Workload::Connects => connects::measure(self),
            Workload::Durable => durable::measure(self),
            Workload::Restart => restart::measure(self),
            Workload::Members => members::measure(self),
            Workload::Channels => channels::measure(self),
            Workload::Many => many::measure(self),
            Workload::Stalled => stalled::measure(self),
        }
    }

    fn product(&self, setup: Setup) -> Result<Product> {
        Product::start(&self.binary, &self.folder, setup)
    }
}

/// A crowd's CPU cost at one load.
struct Cost {
    /// Of the server, per delivery.
    micros: f64,
    outcome: Outcome,
}

impl Cost {
    fn deliveries_per_second(&self) -> f64 {
        self.outcome.deliveries as f64 / self.outcome.elapsed.as_secs_f64()
    }
}

/// Offers the load for some time and looks what it costs the server.
fn cost(
    report: &mut Report,
    process: &Measured,
    crowd: &mut Crowd<'_>,
    load: Load,
    time: Duration,
) -> Result<Cost> {
    let before = process.cpu()?;
    let outcome = crowd.run(load, time)?;
    let cpu = process.cpu()? - before;
    report.checked += outcome.deliveries;
    Ok(Cost { micros: cpu.as_secs_f64() * 1e6 / outcome.deliveries as f64, outcome })
}

/// Seats in one room.
fn one_room(count: usize) -> Vec<Seat> {
    (0..count as u32).map(|user| Seat { room: 0, user }).collect()
}

fn dial(address: SocketAddr, protocol: &dyn Protocol, seats: &[Seat]) -> Result<Vec<Dialled>> {
    dial_all(address, protocol, seats, DIALS)
}

/// Milliseconds within which this share of what was recorded lies.
fn millis(micros: &Histogram<u64>, share: f64) -> f64 {
    micros.value_at_quantile(share) as f64 / 1e3
}
