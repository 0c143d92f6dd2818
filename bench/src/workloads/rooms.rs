//! Many small channels in which everybody sends: what a delivery costs, and how long it takes. Parlour stores each
//! message durably before it is delivered.

use anyhow::Result;
use serde_json::Value;

use super::{Bench, FLOOR_TEXT, TEXT, WARM_UP, cost, dial, millis};
use crate::crowd::{Crowd, Load};
use crate::floor::{Writes, start_loop};
use crate::process::Measured;
use crate::product::{Product, Setup};
use crate::protocol::Seat;
use crate::protocol::bare::Bare;
use crate::protocol::parlour::Parlour;
use crate::sizes::Sizes;
use crate::speakers::{Order, Pool, Speakers};

pub(super) fn measure(bench: &mut Bench) -> Result<()> {
    let (floor, address) = start_loop(&bench.own, Writes::Each)?;
    let listeners = dial(address, &Bare::Listener, &seats(&bench.sizes))?;
    let mut crowd = Crowd::new(&Bare::Listener, listeners, Speakers::Listeners { next: 0 }, FLOOR_TEXT)?;
    let bare = figures(bench, "bare", &floor, &mut crowd)?;
    drop((crowd, floor));

    let product = bench.product(Setup::on_one_core())?;
    let clients = fill(&product, &bench.sizes)?;
    let mut crowd = product_crowd(&product, &clients, &bench.sizes)?;
    let parlour = figures(bench, "Parlour", &product.process, &mut crowd)?;
    for (id, bare, parlour) in [
        ("rooms-light", bare.light, parlour.light),
        ("rooms-saturated", bare.saturated, parlour.saturated),
        ("rooms-p50", bare.p50_ms, parlour.p50_ms),
        ("rooms-p99", bare.p99_ms, parlour.p99_ms),
    ] {
        bench.report.floor(id, bare);
        bench.report.product(id, parlour);
    }
    Ok(())
}

/// Neighbours in the row sit in different rooms: who speaks in turn speaks everywhere.
pub(super) fn seats(sizes: &Sizes) -> Vec<Seat> {
    let rooms = sizes.rooms as u32;
    (0..rooms * sizes.members as u32).map(|user| Seat { room: user % rooms, user }).collect()
}

/// Makes everybody and all channels.
pub(super) fn fill(product: &Product, sizes: &Sizes) -> Result<Parlour> {
    let (rooms, members) = (sizes.rooms, sizes.members);
    product.make_users(rooms * members)?;
    let others = move |room: usize| (1..members).map(|member| room + member * rooms).collect();
    product.make_channels(0..rooms, |room| room, others)?;
    product.clients(rooms * members, |_| Value::Null)
}

/// Everybody listens, and sends on a connection of her own.
pub(super) fn product_crowd<'a>(product: &Product, clients: &'a Parlour, sizes: &Sizes) -> Result<Crowd<'a>> {
    let seats = seats(sizes);
    let listeners = dial(product.address, clients, &seats)?;
    let rooms = sizes.rooms;
    let requests = product.sends(0..seats.len(), move |at| format!("c{}", at % rooms))?;
    let pool = Pool::open(product.address, seats.iter().map(|seat| seat.room), Order::Among, requests)?;
    Crowd::new(clients, listeners, Speakers::Http(pool), TEXT)
}

struct Figures {
    /// Microseconds of CPU per delivery.
    light: f64,
    saturated: f64,
    /// From send to delivery at the light load.
    p50_ms: f64,
    p99_ms: f64,
}

fn figures(bench: &mut Bench, who: &str, process: &Measured, crowd: &mut Crowd<'_>) -> Result<Figures> {
    // One in each room.
    let saturating = Load::Closed { under_way: bench.sizes.rooms };
    crowd.run(saturating, WARM_UP)?;
    let paced = Load::Paced { messages_per_second: bench.sizes.rate / bench.sizes.members as f64 };
    let time = bench.sizes.time();
    let light = cost(&mut bench.report, process, crowd, paced, time)?;
    let (p50_ms, p99_ms) = (millis(&light.outcome.latency, 0.5), millis(&light.outcome.latency, 0.99));
    let saturated = cost(&mut bench.report, process, crowd, saturating, time)?;
    println!(
        "  rooms, {who}: {:.2} µs light (p50 {p50_ms:.2} ms, p99 {p99_ms:.2} ms), {:.2} µs saturated at {:.0} sends/s",
        light.micros,
        saturated.micros,
        saturated.outcome.sent as f64 / saturated.outcome.elapsed.as_secs_f64(),
    );
    Ok(Figures { light: light.micros, saturated: saturated.micros, p50_ms, p99_ms })
}
