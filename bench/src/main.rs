//! The product beside the bare machine, in one run, as ratios.
//!
//! Floors first: our own loops that accept, upgrade and broadcast bytes which were framed once, and bare
//! inserts with the same durability. Then the release binary with the same generator. Absolute figures belong
//! to a machine and an hour; ratios of one run can be compared.

#![expect(clippy::print_stdout, reason = "a program for people at a terminal")]

mod crowd;
mod floor;
mod http;
mod process;
mod product;
mod report;
mod websocket;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};

use crate::crowd::{Crowd, Load, Outcome, PREFIX, Publishers};
use crate::floor::Writes;
use crate::process::Measured;
use crate::product::Product;
use crate::report::Report;

/// Messages under way at once in a saturated room.
const UNDER_WAY: usize = 16;
/// When connections have just come, the allocator and the kernel get this long before memory is read.
const SETTLE: Duration = Duration::from_secs(1);

/// Parlour's benchmarks.
#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    sizes: Sizes,
    #[command(subcommand)]
    floor: Option<Floor>,
}

#[derive(Args)]
struct Sizes {
    /// A smoke run of some seconds: small sizes, one round. Its figures mean little.
    #[arg(long)]
    quick: bool,
    /// Clients in the room.
    #[arg(long, default_value_t = 1_000)]
    room: usize,
    /// Idle connections whose memory is measured.
    #[arg(long, default_value_t = 5_000)]
    idle: usize,
    /// Deliveries per second that are offered in the light run.
    #[arg(long, default_value_t = 20_000.0)]
    rate: f64,
    /// Seconds of each run.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Users who send at the same time.
    #[arg(long, default_value_t = 64)]
    senders: usize,
    /// Rounds, of which the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// The server [default: `parlour` beside this program]
    #[arg(long)]
    parlour: Option<PathBuf>,
}

/// The floors, as processes of their own.
#[derive(Subcommand)]
enum Floor {
    /// Broadcasts; prints its address.
    #[command(hide = true)]
    Broadcast {
        /// Write once per turn of the loop rather than once per message.
        #[arg(long)]
        per_turn: bool,
    },
    /// Inserts; prints rows per second.
    #[command(hide = true)]
    Inserts {
        #[arg(long)]
        folder: PathBuf,
        #[arg(long)]
        batch: usize,
        #[arg(long)]
        seconds: u64,
    },
}

fn main() -> Result<()> {
    let Cli { sizes, floor } = Cli::parse();
    match floor {
        Some(Floor::Broadcast { per_turn }) => {
            floor::broadcast(if per_turn { Writes::PerTurn } else { Writes::Each }, PREFIX)
        }
        Some(Floor::Inserts { folder, batch, seconds }) => {
            println!("{}", floor::sqlite_inserts(&folder, batch, Duration::from_secs(seconds))?);
            Ok(())
        }
        None => match process::pin_myself()? {
            Some(code) => std::process::exit(code),
            None => bench(sizes.settled()),
        },
    }
}

impl Sizes {
    fn settled(self) -> Self {
        if self.quick {
            Self { room: 100, idle: 500, seconds: 1, rounds: 1, rate: 5_000.0, ..self }
        } else {
            self
        }
    }

    fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    fn light(&self) -> Load {
        Load::Paced { messages_per_second: self.rate / self.room as f64 }
    }
}

fn bench(sizes: Sizes) -> Result<()> {
    let own = std::env::current_exe()?;
    let binary = sizes.parlour.clone().unwrap_or_else(|| own.with_file_name("parlour"));
    // Not in /tmp, which may be memory: an fsync has to cost what it costs.
    let folder = tempfile::tempdir_in(own.parent().context("this program is nowhere")?)?;
    let mut report = Report::new();
    for round in 1..=sizes.rounds {
        println!("round {round} of {}", sizes.rounds);
        idle(&sizes, &own, &binary, folder.path(), &mut report)?;
        rooms(&sizes, &own, &binary, folder.path(), &mut report)?;
        durable(&sizes, &own, &binary, folder.path(), &mut report)?;
    }
    report.print(&sizes);
    Ok(())
}

/// What an idle connection costs in memory.
fn idle(sizes: &Sizes, own: &Path, binary: &Path, folder: &Path, report: &mut Report) -> Result<()> {
    let (floor, address) = start_floor(own, Writes::Each)?;
    report.idle_floor.push(idle_cost(&floor, address, &vec![None; sizes.idle])?);
    drop(floor);
    let product = Product::start(binary, folder)?;
    report.idle_product.push(idle_cost(&product.process, product.address, &product.hellos(sizes.idle)?)?);
    Ok(())
}

/// KiB per connection.
fn idle_cost(process: &Measured, address: SocketAddr, hellos: &[Option<String>]) -> Result<f64> {
    let before = process.rss()?;
    let crowd = Crowd::connect(address, hellos)?;
    std::thread::sleep(SETTLE);
    let after = process.rss()?;
    drop(crowd);
    Ok((after as f64 - before as f64) / 1_024.0 / hellos.len() as f64)
}

/// What a delivery costs in CPU time: light and saturated, each server in turn.
fn rooms(sizes: &Sizes, own: &Path, binary: &Path, folder: &Path, report: &mut Report) -> Result<()> {
    for writes in [Writes::Each, Writes::PerTurn] {
        let (floor, address) = start_floor(own, writes)?;
        let mut crowd = Crowd::connect(address, &vec![None; sizes.room])?;
        crowd.publish_by(Publishers::Frame(crowd::frame_publisher(address)?))?;
        let (light, saturated) = delivery_costs(sizes, &floor, &mut crowd, report)?;
        let (lights, saturateds) = match writes {
            Writes::Each => (&mut report.light_each, &mut report.saturated_each),
            Writes::PerTurn => (&mut report.light_per_turn, &mut report.saturated_per_turn),
        };
        lights.push(light);
        saturateds.push(saturated);
    }
    let product = Product::start(binary, folder)?;
    product.make_users(sizes.room)?;
    product.make_room(sizes.room)?;
    let mut crowd = Crowd::connect(product.address, &product.hellos(sizes.room)?)?;
    crowd.publish_by(product.publishers(UNDER_WAY)?)?;
    let (light, saturated) = delivery_costs(sizes, &product.process, &mut crowd, report)?;
    report.light_product.push(light);
    report.saturated_product.push(saturated);
    Ok(())
}

/// Microseconds of CPU per delivery, light and saturated.
fn delivery_costs(
    sizes: &Sizes,
    process: &Measured,
    crowd: &mut Crowd,
    report: &mut Report,
) -> Result<(f64, f64)> {
    // Connecting, and the first messages, are not what is measured.
    crowd.run(Load::Closed { under_way: UNDER_WAY }, Duration::from_millis(200))?;
    let mut cost = |load: Load| -> Result<(f64, Outcome)> {
        let before = process.cpu()?;
        let outcome = crowd.run(load, sizes.time())?;
        let cpu = process.cpu()? - before;
        Ok((cpu.as_secs_f64() * 1e6 / outcome.deliveries as f64, outcome))
    };
    let (light, _) = cost(sizes.light())?;
    let (saturated, outcome) = cost(Load::Closed { under_way: UNDER_WAY })?;
    let rate = outcome.deliveries as f64 / outcome.elapsed.as_secs_f64();
    println!(
        "  {light:.2} µs light, {saturated:.2} µs saturated at {rate:.0} deliveries/s of {} bytes",
        outcome.frame_bytes
    );
    report.checked += outcome.deliveries;
    Ok((light, saturated))
}

/// Durable acknowledged sends per second beside bare inserts with the same durability.
fn durable(sizes: &Sizes, own: &Path, binary: &Path, folder: &Path, report: &mut Report) -> Result<()> {
    for (batch, rates) in [(sizes.senders, &mut report.inserts), (1, &mut report.single_inserts)] {
        let data = tempfile::tempdir_in(folder)?;
        let path = data.path().to_str().context("a folder whose name is not UTF-8")?;
        let (batch, seconds) = (batch.to_string(), sizes.seconds.to_string());
        let args = ["inserts", "--folder", path, "--batch", &batch, "--seconds", &seconds];
        rates.push(Measured::start(own, &args)?.line()?.parse()?);
    }
    let product = Product::start(binary, folder)?;
    product.make_users(sizes.senders)?;
    let (rate, mut took) = product.durable_sends(sizes.senders, sizes.time())?;
    took.sort_unstable();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!("  {rate:.0} durable sends/s, p50 {:.1} ms, p99 {:.1} ms", at(0.5), at(0.99));
    report.sends.push(rate);
    report.sends_p99_ms.push(at(0.99));
    Ok(())
}

fn start_floor(own: &Path, writes: Writes) -> Result<(Measured, SocketAddr)> {
    let args: &[&str] = match writes {
        Writes::Each => &["broadcast"],
        Writes::PerTurn => &["broadcast", "--per-turn"],
    };
    let mut floor = Measured::start(own, args)?;
    let address = floor.line()?.parse()?;
    Ok((floor, address))
}
