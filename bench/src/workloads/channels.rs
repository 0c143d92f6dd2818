//! Whether a send costs more where the store holds more channels.

use anyhow::{Context as _, Result};

use super::{Bench, TEXT, WARM_UP};
use crate::crowd::{Crowd, Load};
use crate::product::{Product, Setup};
use crate::protocol::bare::Bare;
use crate::speakers::{Order, Pool, Speakers};

/// A step that has no divisor in common with the numbers of channels: it comes through all of them, far apart.
const STEP: usize = 7_919;

pub(super) fn measure(bench: &mut Bench) -> Result<()> {
    let senders = bench.sizes.senders;
    let product = bench.product(Setup::on_one_core())?;
    product.make_users(senders)?;
    let (mut made, mut costs) = (0, Vec::new());
    for count in bench.sizes.stores.clone() {
        product.make_channels(made..count, move |number| number % senders, |_| Vec::new())?;
        made = count;
        product.process.settle()?;
        let micros = micros_per_send(bench, &product, count)?;
        println!("  channels: {count} in the store, {micros:.1} µs of CPU per send");
        costs.push(micros);
    }
    let first = *costs.first().context("no sizes")?;
    bench.report.floor("channels", first);
    bench.report.product("channels", costs.into_iter().fold(first, f64::max));
    Ok(())
}

/// Every sender goes through the channels that are its own.
fn micros_per_send(bench: &mut Bench, product: &Product, count: usize) -> Result<f64> {
    let senders = bench.sizes.senders;
    let mut sent = 0_usize;
    let users = senders.min(count);
    let requests = product.sends(0..users, move |at| {
        sent += 1;
        let own = (count - at).div_ceil(senders);
        format!("c{}", at + (sent * STEP) % own * senders)
    })?;
    let rooms = 0..users as u32;
    let pool = Pool::open(product.address, rooms, Order::Among, requests)?;
    let mut crowd = Crowd::new(&Bare::Listener, Vec::new(), Speakers::Http(pool), TEXT)?;
    let load = Load::Closed { under_way: users };
    crowd.run(load, WARM_UP)?;
    let before = product.process.cpu()?;
    let outcome = crowd.run(load, bench.sizes.time())?;
    bench.report.checked += outcome.sent;
    Ok((product.process.cpu()? - before).as_secs_f64() * 1e6 / outcome.sent as f64)
}
