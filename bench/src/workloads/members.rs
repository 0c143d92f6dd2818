//! Whether a delivery costs more in a larger channel: its CPU time beside the bare loop's, for channels of many sizes.

use anyhow::{Context as _, Result};

use super::room::{UNDER_WAY, bare_crowd, fill, product_crowd};
use super::{Bench, TEXT, WARM_UP, cost};
use crate::crowd::{Crowd, Load};
use crate::floor::{Writes, start_loop};
use crate::process::Measured;
use crate::product::Setup;

pub(super) fn measure(bench: &mut Bench) -> Result<()> {
    let mut ratios = Vec::new();
    for size in bench.sizes.channel_sizes.clone() {
        let (floor, address) = start_loop(&bench.own, Writes::Each)?;
        let bare = micros(bench, &floor, &mut bare_crowd(address, size)?, size)?;
        drop(floor);
        let product = bench.product(Setup::on_one_core())?;
        let clients = fill(&product, size)?;
        let mut crowd = product_crowd(&product, &clients, size, TEXT)?;
        let micros = micros(bench, &product.process, &mut crowd, size)?;
        println!(
            "  members: {size} in a channel, {bare:.2} µs bare, {micros:.2} µs, ratio {:.2}",
            micros / bare
        );
        ratios.push(micros / bare);
    }
    let first = *ratios.first().context("no sizes")?;
    bench.report.floor("members", first);
    bench.report.product("members", ratios.into_iter().fold(first, f64::max));
    Ok(())
}

fn micros(bench: &mut Bench, process: &Measured, crowd: &mut Crowd<'_>, size: usize) -> Result<f64> {
    crowd.run(Load::Closed { under_way: UNDER_WAY }, WARM_UP)?;
    let load = Load::Paced { messages_per_second: bench.sizes.rate / size as f64 };
    let time = bench.sizes.time();
    Ok(cost(&mut bench.report, process, crowd, load, time)?.micros)
}
