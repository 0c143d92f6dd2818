//! A user who is a member of very many channels connects.

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::Bench;
use crate::dial::dial_all;
use crate::process::Measured;
use crate::product::{Product, Setup};
use crate::protocol::Seat;
use crate::protocol::parlour::Parlour;

/// Connections of the same user, such that what one more of them costs can be told from noise. Below the 50 that an
/// app in production allows.
const CONNECTIONS: u32 = 40;
/// The user with the channels, and one with none.
const RICH: usize = 0;
const POOR: usize = 1;

pub(super) fn measure(bench: &mut Bench) -> Result<()> {
    let count = bench.sizes.channels_of_one;
    let product = bench.product(Setup::on_one_core())?;
    product.make_users(2)?;
    product.make_channels(0..count, |_| RICH, |_| Vec::new())?;
    product.process.settle()?;

    let poor = connect(&product, POOR)?;
    let rich = connect(&product, RICH)?;
    let per_attachment = (rich.bytes_each - poor.bytes_each) / count as f64;
    println!(
        "  many channels: {count}, ready after {:.1} ms (median of {CONNECTIONS}) with {} bytes; {per_attachment:.1} \
         bytes per attachment; the first connection took {:.1} ms, and {:.0} bytes per channel",
        rich.median_ms,
        rich.ready_bytes,
        rich.first_ms,
        rich.bytes_first / count as f64
    );
    bench.report.product("many-ms", rich.first_ms.max(rich.median_ms));
    bench.report.product("many-ready", rich.ready_bytes as f64 / 1_024.0);
    bench.report.product("many-attachment", per_attachment);
    Ok(())
}

struct Connected {
    first_ms: f64,
    median_ms: f64,
    ready_bytes: usize,
    /// By how much the first one made the server grow: with its topics and those who listen to them, what the database's
    /// cache keeps of them, and the room in which it connected.
    bytes_first: f64,
    /// What each connection after the first costs the server.
    bytes_each: f64,
}

/// Opens the connections of one user, one after the other.
fn connect(product: &Product, user: usize) -> Result<Connected> {
    let hello = |instance| product.hello(user, user * 1_000 + instance, &Value::Null);
    let hellos = (0..=CONNECTIONS as usize).map(hello).collect::<Result<_>>()?;
    let clients = Parlour { hellos };
    let seats: Vec<Seat> = (0..=CONNECTIONS).map(|user| Seat { room: 0, user }).collect();
    // The first one's topics are made for it; the others share them.
    let alone = settled(&product.process)?;
    let first = dial_all(product.address, &clients, &seats[..1], 1)?;
    let before = settled(&product.process)?;
    let others = dial_all(product.address, &clients, &seats[1..], 1)?;
    let after = settled(&product.process)?;
    let mut took: Vec<f64> = others.iter().map(|dialled| dialled.took.as_secs_f64() * 1e3).collect();
    took.sort_by(f64::total_cmp);
    let first = first.first().context("nobody connected")?;
    Ok(Connected {
        first_ms: first.took.as_secs_f64() * 1e3,
        median_ms: took[took.len() / 2],
        ready_bytes: first.said.len(),
        bytes_first: before - alone,
        bytes_each: (after - before) / f64::from(CONNECTIONS),
    })
}

fn settled(process: &Measured) -> Result<f64> {
    process.settle()?;
    Ok(process.rss()? as f64)
}
