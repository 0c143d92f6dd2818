//! The server restarts and everybody comes back with what she has seen: each at the turn that she was given. Some
//! channels have had a message meanwhile, which has to come, once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::{Bench, TEXT, dial, millis};
use crate::crowd::{Crowd, Load};
use crate::dial::{Dialler, Outcome};
use crate::order::{Ear, text};
use crate::product::{Product, Setup};
use crate::protocol::Seat;
use crate::protocol::parlour::Parlour;
use crate::speakers::Speakers;

/// One in so many channels has a message while its member is away.
const MISSED_IN: usize = 10;
/// When everybody is back, the allocator and the kernel get this long before memory is read.
const SETTLE: Duration = Duration::from_secs(2);

pub(super) fn measure(bench: &mut Bench) -> Result<()> {
    let count = bench.sizes.idle;
    let product = bench.product(setup(bench.sizes.drain_window_ms))?;
    product.make_users(count)?;
    product.make_channels(0..count, |number| number, |_| Vec::new())?;
    let seats: Vec<Seat> = (0..count as u32).map(|user| Seat { room: user, user }).collect();
    let before = product.clients(count, |_| Value::Null)?;
    let dialled = dial_slowly(&product, &before, &seats)?;
    let mut left: Vec<Left> = vec![Left::default(); count];
    for dialled in &dialled {
        left[dialled.seat.user as usize] = Left::read(&dialled.said)?;
    }
    let crowd = Crowd::new(&before, dialled, Speakers::Listeners { next: 0 }, TEXT)?;

    let told_at = Instant::now();
    product.process.terminate()?;
    let turns = crowd.drained()?;
    let product = product.restart()?;
    let down = told_at.elapsed();
    let after = product.clients(count, |user| left[user].hello())?;
    let mut crowd = Crowd::new(&after, Vec::new(), Speakers::Listeners { next: 0 }, TEXT)?;
    let mut missed = Vec::new();
    for user in (0..count).step_by(MISSED_IN) {
        let number = crowd.ledger.send(user as u32, user as u32, 1, Instant::now())?;
        missed.push((user, format!("c{user}"), text(number, TEXT)));
    }
    product.send_all(missed)?;

    let last_turn = turns.iter().map(|turn| turn.at).max().context("nobody was told")?;
    let turns = turns.into_iter().map(|turn| Reverse((turn.at, turn.room))).collect();
    let ready = return_all(&product, &after, &mut crowd, turns, &left)?;
    let back = told_at.elapsed();
    crowd.run(Load::Closed { under_way: 0 }, SETTLE)?;
    bench.report.checked += count.div_ceil(MISSED_IN) as u64;
    let (peak, steady) = (product.process.rss_peak()? as f64, product.process.rss()? as f64);
    let p99 = millis(&ready, 0.99);
    println!(
        "  restart: {count} back after {:.1} s (down for {:.1} s, the last turn after {:.1} s), ready within p50 {:.1} ms, p99 \
         {p99:.1} ms, max {:.1} ms; memory {:.1} MiB at most, {:.1} MiB then",
        back.as_secs_f64(),
        down.as_secs_f64(),
        (last_turn - told_at).as_secs_f64(),
        millis(&ready, 0.5),
        millis(&ready, 1.0),
        peak / f64::from(1 << 20),
        steady / f64::from(1 << 20)
    );
    let turns_ms = RESTART_MS + bench.sizes.drain_window_ms;
    bench.report.floor("restart-back", (turns_ms + LAST_MS) as f64 / 1e3);
    bench.report.product("restart-back", back.as_secs_f64());
    bench.report.product("restart-ready", p99);
    bench.report.floor("restart-memory", steady / f64::from(1 << 20));
    bench.report.product("restart-memory", peak / f64::from(1 << 20));
    Ok(())
}

/// The default.
const RESTART_MS: u64 = 3_000;
/// Who has the last turn has as long as everybody for `ready`.
const LAST_MS: u64 = 1_000;

/// Everything as it comes, but for the window where a smoke run has no time for it.
fn setup(drain_window_ms: u64) -> Setup {
    Setup::with(vec![("PARLOUR_SERVER__DRAIN_WINDOW_MS", drain_window_ms.to_string())])
}

/// What a client takes along.
#[derive(Clone, Default)]
struct Left {
    connection: Value,
    epoch: Value,
    as_of: Value,
    topic: String,
    head: u64,
}

impl Left {
    fn read(ready: &[u8]) -> Result<Self> {
        let ready: Value = serde_json::from_slice(ready)?;
        let heads = ready["heads"].as_object().context("no heads")?;
        let own = heads.iter().find(|(topic, _)| topic.starts_with("channel:")).context("no channel")?;
        Ok(Self {
            connection: ready["connection_id"].clone(),
            epoch: ready["epoch"].clone(),
            as_of: ready["as_of"].clone(),
            topic: own.0.clone(),
            head: own.1.as_u64().context("no head")?,
        })
    }

    /// The fields of the `hello` that it comes back with.
    fn hello(&self) -> Value {
        let Self { connection, epoch, as_of, topic, head } = self;
        json!({ "replaces": connection, "resume": { "epoch": epoch, "as_of": as_of, "cursors": { topic: head } } })
    }
}

/// Everybody at first: no faster than the server lets people in.
fn dial_slowly(product: &Product, clients: &Parlour, seats: &[Seat]) -> Result<Vec<crate::dial::Dialled>> {
    /// What the server lets in at once, and per second.
    const AT_ONCE: usize = 4_000;
    const PER_SECOND: usize = 2_000;
    let mut all = Vec::with_capacity(seats.len());
    let (first, rest) = seats.split_at(seats.len().min(AT_ONCE));
    all.extend(dial(product.address, clients, first)?);
    for some in rest.chunks(PER_SECOND / 10) {
        std::thread::sleep(Duration::from_millis(105));
        all.extend(dial(product.address, clients, some)?);
    }
    Ok(all)
}

/// Everybody comes back at her turn; answers how long each dial took that was let in.
fn return_all<'a>(
    product: &Product,
    clients: &'a Parlour,
    crowd: &mut Crowd<'a>,
    mut turns: BinaryHeap<Reverse<(Instant, u32)>>,
    left: &[Left],
) -> Result<Histogram<u64>> {
    let mut dialler = Dialler::new(product.address, clients)?;
    let mut ready = Histogram::new_with_bounds(1, 120_000_000, 3)?;
    while !turns.is_empty() || dialler.under_way() > 0 {
        while let Some(Reverse((at, user))) = turns.peek().copied()
            && at <= Instant::now()
        {
            turns.pop();
            dialler.dial(Seat { room: user, user })?;
        }
        for outcome in dialler.turn()? {
            match outcome {
                Outcome::Joined(dialled) => {
                    let said: Value = serde_json::from_slice(&dialled.said)?;
                    ensure!(said["resumed"] == "resumed", "user {} is told {said}", dialled.seat.user);
                    ready.record(dialled.took.as_micros() as u64)?;
                    let seat = dialled.seat;
                    crowd.add(dialled, Ear::after(seat.room, left[seat.user as usize].head))?;
                }
                Outcome::Refused { seat, retry_after_ms } => {
                    turns.push(Reverse((Instant::now() + Duration::from_millis(retry_after_ms), seat.user)));
                }
            }
        }
        crowd.turn()?;
    }
    Ok(ready)
}
