//! The product beside the bare machine, in one run, as ratios.
//!
//! Floors first: our own loops that accept, upgrade and broadcast bytes which were framed once, and bare
//! inserts with the same durability. Then the release binary with the same generator. Absolute figures belong
//! to a machine and an hour; ratios of one run can be compared.

#![expect(clippy::print_stdout, reason = "a program for people at a terminal")]

mod crowd;
mod dial;
mod floor;
mod http;
mod machine;
mod order;
mod page;
mod peers;
mod process;
mod product;
mod protocol;
mod ranking;
mod report;
mod rows;
mod sizes;
mod speakers;
mod websocket;
mod workloads;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand, ValueEnum as _};
use tempfile::TempDir;

use crate::floor::Writes;
use crate::report::Report;
use crate::rows::{Workload, rows};
use crate::sizes::Sizes;
use crate::workloads::Bench;

/// Parlour's benchmarks.
#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    sizes: Sizes,
    #[command(subcommand)]
    part: Option<Part>,
}

/// The contest with the peers; and the floors, as processes of their own.
#[derive(Subcommand)]
enum Part {
    /// The same workloads for nchan, NATS, mosquitto, Socket.IO, ejabberd and Parlour.
    Peers {
        #[command(flatten)]
        sizes: Sizes,
    },
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
        millis: u64,
    },
}

fn main() -> Result<()> {
    let Cli { sizes, part } = Cli::parse();
    let run: Box<dyn FnOnce() -> Result<()>> = match part {
        Some(Part::Broadcast { per_turn }) => {
            return floor::broadcast(if per_turn { Writes::PerTurn } else { Writes::Each });
        }
        Some(Part::Inserts { folder, batch, millis }) => {
            println!("{}", floor::sqlite_inserts(&folder, batch, Duration::from_millis(millis))?);
            return Ok(());
        }
        Some(Part::Peers { sizes }) => Box::new(|| contest(sizes.settled())),
        None => Box::new(|| measure(sizes.settled())),
    };
    match process::pin_myself()? {
        Some(code) => std::process::exit(code),
        None => run(),
    }
}

/// A run that has not begun; its data goes when the folder does.
fn prepare(sizes: Sizes) -> Result<(Bench, TempDir)> {
    let own = std::env::current_exe()?;
    let binary = sizes.parlour.clone().unwrap_or_else(|| own.with_file_name("parlour"));
    // Not in /tmp, which may be memory: an fsync has to cost what it costs.
    let folder = tempfile::tempdir_in(own.parent().context("this program is nowhere")?)?;
    let report = Report::default();
    Ok((Bench { sizes, own, binary, folder: folder.path().to_owned(), report }, folder))
}

fn measure(sizes: Sizes) -> Result<()> {
    let machine = machine::description();
    let (mut bench, _folder) = prepare(sizes)?;
    for round in 1..=bench.sizes.rounds {
        println!("round {round} of {}", bench.sizes.rounds);
        for workload in Workload::value_variants() {
            if bench.sizes.includes(*workload) {
                bench.measure(*workload).with_context(|| format!("the workload {workload:?}"))?;
            }
        }
    }
    let rows = rows(&bench.sizes);
    let lines = bench.report.lines(&rows);
    let tables = [report::rows_of(&lines)];
    let notes = [how(&bench.sizes), checked(&bench.report)];
    publish(
        &file("report", &bench.sizes),
        "Parlour beside the bare machine",
        &machine,
        &notes,
        &tables,
        &report::plots(&lines),
    )
}

fn contest(sizes: Sizes) -> Result<()> {
    let machine = machine::description();
    let (mut bench, _folder) = prepare(sizes)?;
    let standings = workloads::contest::contest(&mut bench)?;
    let tables = [ranking::rows_of(&standings), ranking::marks_of(&standings)];
    let notes = [how(&bench.sizes), ranking::NOTE.to_owned(), checked(&bench.report)];
    publish(
        &file("peers", &bench.sizes),
        "Parlour beside its peers",
        &machine,
        &notes,
        &tables,
        &ranking::plots(&standings),
    )
}

/// Small runs leave the reports of others alone.
fn file(name: &str, sizes: &Sizes) -> String {
    if sizes.quick { format!("{name}-quick") } else { name.to_owned() }
}

fn how(sizes: &Sizes) -> String {
    let Sizes { rounds, seconds, .. } = sizes;
    format!(
        "Medians of {rounds}, {seconds} s each; server on core 0, generator on core 1, loopback, 200 bytes of text, no \
         TLS, no compression."
    )
}

fn checked(report: &Report) -> String {
    format!("{} deliveries and acknowledgements checked: none lost, doubled or out of order.", report.checked)
}

/// Prints the report, and writes it into target/bench as Markdown and as a page.
fn publish(
    name: &str,
    title: &str,
    machine: &[(&str, String)],
    notes: &[String],
    tables: &[Vec<Vec<String>>],
    plots: &str,
) -> Result<()> {
    let machine: Vec<String> = machine.iter().map(|(what, is)| format!("{what}: {is}")).collect();
    let machine = machine.join(" · ");
    let paragraphs = std::iter::once(&machine).chain(notes);
    let markdown: Vec<String> =
        paragraphs.clone().cloned().chain(tables.iter().map(|table| report::markdown(table))).collect();
    let markdown = markdown.join("\n\n");
    println!("\n{markdown}");
    let page: String = paragraphs
        .map(|text| page::paragraph(text))
        .chain(tables.iter().map(|table| page::table(table)))
        .collect();
    let page = page::page(title, &(page + plots));
    let own = std::env::current_exe()?;
    // target/release/parlour-bench
    let target = own.parent().and_then(Path::parent).context("this program is not in a target folder")?;
    let folder = target.join("bench");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join(format!("{name}.md")), format!("# {title}\n\n{markdown}"))?;
    std::fs::write(folder.join(format!("{name}.html")), page)?;
    println!("Written to {name}.md and {name}.html in {}", folder.display());
    Ok(())
}
