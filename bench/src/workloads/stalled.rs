//! Some of a room stop reading while messages come: what that is to the others, and to the server's memory.

use anyhow::Result;

use super::room::{UNDER_WAY, fill, product_crowd};
use super::{Bench, WARM_UP, millis};
use crate::crowd::Load;
use crate::product::Setup;

/// A message is this long: what nobody reads has to fill the kernel's buffers before it waits in the server.
const TEXT: usize = 4_000;
/// What may wait in the server for one connection: its queue (`limits.queue_bytes_max`) and the row of its socket.
const CAP_BYTES: usize = (1 << 20) + 64 * 1_024;
/// Deliveries per second: the server is busy, and not so busy that everybody waits for its CPU anyway.
const DELIVERIES_PER_SECOND: f64 = 50_000.0;
/// Runs of each kind are this many times as long as others: a queue takes its time to fill.
const LONGER: u32 = 3;

pub(super) fn measure(bench: &mut Bench) -> Result<()> {
    let (room, stalled) = (bench.sizes.room, bench.sizes.stalled);
    let product = bench.product(Setup::on_one_core())?;
    let clients = fill(&product, room)?;
    let mut crowd = product_crowd(&product, &clients, room, TEXT)?;
    crowd.run(Load::Closed { under_way: UNDER_WAY }, WARM_UP)?;

    let load = Load::Paced { messages_per_second: DELIVERIES_PER_SECOND / room as f64 };
    let time = bench.sizes.time() * LONGER;
    let all = crowd.run(load, time)?;
    let before = product.process.rss()?;
    crowd.stall(stalled);
    let others = crowd.run(load, time)?;
    // What one stalled reader may cost is a bound; what the kernel holds for it stands in no process.
    let each = (product.process.rss()? as f64 - before as f64) / stalled as f64;
    let (p99_all, p99_others) = (millis(&all.latency, 0.99), millis(&others.latency, 0.99));
    println!(
        "  stalled: p99 {p99_all:.2} ms with all {room} reading, {p99_others:.2} ms with {stalled} stalled, which \
         cost {:.0} KiB each",
        each / 1_024.0
    );
    bench.report.checked += all.deliveries + others.deliveries;
    bench.report.floor("stalled-p99", p99_all);
    bench.report.product("stalled-p99", p99_others);
    bench.report.floor("stalled-memory", CAP_BYTES as f64 / 1_024.0);
    bench.report.product("stalled-memory", each / 1_024.0);
    Ok(())
}
