//! What an idle connection costs in memory: authenticated, a member of one channel, told everything and saying nothing.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use super::{Bench, dial};
use crate::floor::{Writes, start_loop};
use crate::process::Measured;
use crate::product::Setup;
use crate::protocol::bare::Bare;
use crate::protocol::{Protocol, Seat};

/// When connections have just come, the allocator and the kernel get this long before memory is read.
const SETTLE: Duration = Duration::from_secs(1);

pub(super) fn measure(bench: &mut Bench) -> Result<()> {
    let count = bench.sizes.idle;
    let (floor, address) = start_loop(&bench.own, Writes::Each)?;
    let bare = kib_each(&floor, address, &Bare::Listener, count)?;
    drop(floor);

    let each = product_kib_each(bench)?;
    println!("  idle: {bare:.2} KiB bare, {each:.2} KiB");
    bench.report.floor("idle", bare);
    bench.report.product("idle", each);
    Ok(())
}

pub(super) fn product_kib_each(bench: &Bench) -> Result<f64> {
    let count = bench.sizes.idle;
    let product = bench.product(Setup::on_one_core())?;
    product.make_users(count)?;
    product.make_channels(0..count, |number| number, |_| Vec::new())?;
    product.process.settle()?;
    let clients = product.clients(count, |_| Value::Null)?;
    kib_each(&product.process, product.address, &clients, count)
}

pub(super) fn kib_each(
    process: &Measured,
    address: SocketAddr,
    protocol: &dyn Protocol,
    count: usize,
) -> Result<f64> {
    let seats: Vec<Seat> = (0..count as u32).map(|user| Seat { room: user, user }).collect();
    let before = process.rss()?;
    let dialled = dial(address, protocol, &seats)?;
    std::thread::sleep(SETTLE);
    let after = process.rss()?;
    drop(dialled);
    Ok((after as f64 - before as f64) / 1_024.0 / count as f64)
}
