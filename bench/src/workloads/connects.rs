//! How many users connect per second on one core: the token is verified, the user's fields are merged and stored, the
//! user is counted for the month, and `ready` has come.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::Result;
use serde_json::json;

use super::Bench;
use crate::dial::dial_all;
use crate::floor::{Writes, start_loop};
use crate::process::Measured;
use crate::product::{Setup, name};
use crate::protocol::bare::Bare;
use crate::protocol::{Protocol, Seat};

/// Dials under way at once: a storm, of which the server takes as many as it can.
const AT_ONCE: usize = 256;

pub(super) fn measure(bench: &mut Bench) -> Result<()> {
    let count = bench.sizes.connects;
    let (floor, address) = start_loop(&bench.own, Writes::Each)?;
    let bare = storm("bare", &floor, address, &Bare::Listener, count)?;
    drop(floor);

    let product = bench.product(Setup::on_one_core())?;
    let fields = |user| {
        let (id, image) = (name(user), format!("https://example.com/{user}.png"));
        json!({ "user": { "id": id, "name": format!("User {user}"), "image": image } })
    };
    let clients = product.clients(count, fields)?;
    for (id, who) in [("connects-new", "new"), ("connects-known", "known")] {
        let rate = storm(who, &product.process, product.address, &clients, count)?;
        bench.report.floor(id, bare);
        bench.report.product(id, rate);
        // Those who left are done with before they come again.
        product.process.settle()?;
    }
    Ok(())
}

/// Connects per second; everybody leaves at the end.
fn storm(
    who: &str,
    process: &Measured,
    address: SocketAddr,
    protocol: &dyn Protocol,
    count: usize,
) -> Result<f64> {
    let seats: Vec<Seat> = (0..count as u32).map(|user| Seat { room: 0, user }).collect();
    let (begun, before) = (Instant::now(), process.cpu()?);
    let dialled = dial_all(address, protocol, &seats, AT_ONCE)?;
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    let micros = (process.cpu()? - before).as_secs_f64() * 1e6 / count as f64;
    let mut took: Vec<_> = dialled.iter().map(|dialled| dialled.took).collect();
    took.sort_unstable();
    let p99 = took.get(took.len() * 99 / 100).copied().unwrap_or_default().as_secs_f64() * 1e3;
    println!(
        "  connects, {who}: {rate:.0}/s, {micros:.1} µs of CPU each, p99 {p99:.1} ms with {AT_ONCE} under way"
    );
    Ok(rate)
}
