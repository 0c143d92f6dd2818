//! What a delivery in one large channel costs in CPU time: light and saturated, each server in turn.

use std::net::SocketAddr;

use anyhow::Result;
use serde_json::Value;

use super::{Bench, FLOOR_TEXT, TEXT, WARM_UP, cost, dial, one_room};
use crate::crowd::{Crowd, Load};
use crate::floor::{Writes, start_loop};
use crate::process::Measured;
use crate::product::{Product, Setup};
use crate::protocol::Seat;
use crate::protocol::bare::Bare;
use crate::protocol::parlour::Parlour;
use crate::speakers::{Order, Pool, Speakers};

/// Messages under way at once in a saturated room.
pub(super) const UNDER_WAY: usize = 16;

pub(super) fn measure(bench: &mut Bench) -> Result<()> {
    let room = bench.sizes.room;
    for (writes, light, saturated) in
        [(Writes::Each, Some("light"), "saturated-each"), (Writes::PerTurn, None, "saturated")]
    {
        let (floor, address) = start_loop(&bench.own, writes)?;
        let mut crowd = bare_crowd(address, room)?;
        let (light_cost, saturated_cost) = costs(bench, "bare", &floor, &mut crowd)?;
        light.into_iter().for_each(|id| bench.report.floor(id, light_cost));
        bench.report.floor(saturated, saturated_cost);
    }
    let product = bench.product(Setup::on_one_core())?;
    let clients = fill(&product, room)?;
    let mut crowd = product_crowd(&product, &clients, room, TEXT)?;
    let (light, saturated) = costs(bench, "Parlour", &product.process, &mut crowd)?;
    bench.report.product("light", light);
    bench.report.product("saturated", saturated);
    bench.report.product("saturated-each", saturated);
    Ok(())
}

/// A room of the bare loop, and one who speaks to it.
pub(super) fn bare_crowd(address: SocketAddr, room: usize) -> Result<Crowd<'static>> {
    let listeners = dial(address, &Bare::Listener, &one_room(room))?;
    let speaker = dial(address, &Bare::Speaker, &[Seat { room: 0, user: 0 }])?;
    let stream = speaker.into_iter().next().map(|dialled| dialled.stream);
    let stream = stream.ok_or_else(|| anyhow::anyhow!("the speaker did not arrive"))?;
    Crowd::new(&Bare::Listener, listeners, Speakers::Apart { stream, room: 0 }, FLOOR_TEXT)
}

/// Makes users and a channel of all of them.
pub(super) fn fill(product: &Product, room: usize) -> Result<Parlour> {
    product.make_users(room)?;
    product.make_channel("bench", &(0..room).collect::<Vec<_>>())?;
    product.clients(room, |_| Value::Null)
}

/// All members listen, and some of them send.
pub(super) fn product_crowd<'a>(
    product: &Product,
    clients: &'a Parlour,
    room: usize,
    text_len: usize,
) -> Result<Crowd<'a>> {
    let listeners = dial(product.address, clients, &one_room(room))?;
    let requests = product.sends(0..UNDER_WAY, |_| "bench".to_owned())?;
    let pool = Pool::open(product.address, std::iter::repeat_n(0, UNDER_WAY), Order::Among, requests)?;
    Crowd::new(clients, listeners, Speakers::Http(pool), text_len)
}

/// Microseconds of CPU per delivery, light and saturated.
fn costs(bench: &mut Bench, who: &str, process: &Measured, crowd: &mut Crowd<'_>) -> Result<(f64, f64)> {
    let saturating = Load::Closed { under_way: UNDER_WAY };
    crowd.run(saturating, WARM_UP)?;
    let paced = Load::Paced { messages_per_second: bench.sizes.rate / bench.sizes.room as f64 };
    let time = bench.sizes.time();
    let light = cost(&mut bench.report, process, crowd, paced, time)?;
    let saturated = cost(&mut bench.report, process, crowd, saturating, time)?;
    println!(
        "  room, {who}: {:.2} µs light, {:.2} µs saturated at {:.0} deliveries/s of {} bytes",
        light.micros,
        saturated.micros,
        saturated.deliveries_per_second(),
        saturated.outcome.frame_bytes
    );
    Ok((light.micros, saturated.micros))
}
