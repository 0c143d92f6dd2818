//! Durable acknowledged sends per second, beside bare inserts with the same durability. The server has both cores and
//! the generator sleeps while it waits.

use anyhow::Result;

use super::{Bench, TEXT, WARM_UP, millis};
use crate::crowd::{Crowd, Load};
use crate::floor::inserts;
use crate::process::Cores;
use crate::product::Setup;
use crate::protocol::bare::Bare;
use crate::speakers::{Order, Pool, Speakers};

pub(super) fn measure(bench: &mut Bench) -> Result<()> {
    let (senders, time) = (bench.sizes.senders, bench.sizes.time());
    for (id, batch) in [("durable", senders), ("durable-single", 1)] {
        let rate = inserts(&bench.own, &bench.folder, batch, time)?;
        println!("  durable, bare: {rate:.0}/s with {batch} per commit");
        bench.report.floor(id, rate);
    }
    let product = bench.product(Setup { cores: Cores::Both, ..Setup::on_one_core() })?;
    product.make_users(senders)?;
    product.make_channels(0..senders, |number| number, |_| Vec::new())?;
    let requests = product.sends(0..senders, |at| format!("c{at}"))?;
    let pool = Pool::open(product.address, 0..senders as u32, Order::Alone, requests)?;
    // Nobody listens: a send is done when it is acknowledged.
    let mut crowd = Crowd::new(&Bare::Listener, Vec::new(), Speakers::Http(pool), TEXT)?.sleeps();
    let load = Load::Closed { under_way: senders };
    crowd.run(load, WARM_UP)?;
    let before = product.process.cpu()?;
    let outcome = crowd.run(load, time)?;
    let micros = (product.process.cpu()? - before).as_secs_f64() * 1e6 / outcome.sent as f64;
    let rate = outcome.sent as f64 / outcome.elapsed.as_secs_f64();
    let (p50, p99) = (millis(&outcome.acknowledged, 0.5), millis(&outcome.acknowledged, 0.99));
    println!("  durable, Parlour: {rate:.0}/s, {micros:.1} µs of CPU each, p50 {p50:.2} ms, p99 {p99:.2} ms");
    bench.report.checked += outcome.sent;
    bench.report.product("durable", rate);
    bench.report.product("durable-single", rate);
    Ok(())
}
