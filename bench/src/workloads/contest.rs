//! `cargo xtask bench peers`: the same workloads for everybody. Idle connections, one large room light and saturated,
//! many small rooms in which everybody sends light and saturated.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};

use super::room::{self, UNDER_WAY, bare_crowd};
use super::{Bench, TEXT, WARM_UP, cost, dial, idle, rooms};
use crate::crowd::{Crowd, Load};
use crate::floor::{Writes, start_loop};
use crate::peers::{Peer, Running};
use crate::process::Measured;
use crate::product::Setup;
use crate::protocol::bare::Bare;
use crate::protocol::{Protocol, Seat};
use crate::report::median;
use crate::speakers::Speakers;

/// A server that keeps up with less than this share of what is offered is over its capacity.
const KEPT_UP: f64 = 0.9;

/// What one server costs: idle KiB, and microseconds of CPU per delivery. One figure per round in each.
#[derive(Default)]
pub(crate) struct Standing {
    pub(crate) name: String,
    pub(crate) figures: [Vec<f64>; 5],
}

/// What the figures are of.
pub(crate) const DISCIPLINES: [&str; 5] =
    ["idle KiB", "room, light µs", "room, saturated µs", "rooms, light µs", "rooms, saturated µs"];

impl Standing {
    pub(crate) fn median(&self, discipline: usize) -> f64 {
        median(&self.figures[discipline]).unwrap_or(f64::NAN)
    }
}

/// Who is measured.
#[derive(Clone, Copy)]
enum Contestant {
    Bare(Writes),
    Peer(Peer),
    Parlour,
}

/// Measures everybody, for as many rounds as there are.
pub(crate) fn contest(bench: &mut Bench) -> Result<Vec<Standing>> {
    let bare = [Writes::PerTurn, Writes::Each].map(Contestant::Bare);
    let contestants = bare.into_iter().chain(Peer::ALL.map(Contestant::Peer)).chain([Contestant::Parlour]);
    let contestants: Vec<Contestant> = contestants.collect();
    let mut standings: Vec<Standing> = contestants
        .iter()
        .map(|contestant| Ok(Standing { name: name(*contestant)?, ..Standing::default() }))
        .collect::<Result<_>>()?;
    for round in 1..=bench.sizes.rounds {
        println!("round {round} of {}", bench.sizes.rounds);
        for (contestant, standing) in contestants.iter().zip(&mut standings) {
            let figures = measure(bench, *contestant).with_context(|| standing.name.clone())?;
            let shown: Vec<String> = figures.iter().map(|figure| format!("{figure:.2}")).collect();
            println!("  {}: {}", standing.name, shown.join(" · "));
            for (all, figure) in standing.figures.iter_mut().zip(figures) {
                all.push(figure);
            }
        }
    }
    Ok(standings)
}

fn name(contestant: Contestant) -> Result<String> {
    Ok(match contestant {
        Contestant::Bare(Writes::PerTurn) => "bare loop, a write per turn".to_owned(),
        Contestant::Bare(Writes::Each) => "bare loop, a write per message".to_owned(),
        Contestant::Peer(peer) => format!("{} {}", peer.name(), peer.version()?),
        Contestant::Parlour => "Parlour".to_owned(),
    })
}

fn measure(bench: &mut Bench, contestant: Contestant) -> Result<[f64; 5]> {
    let idle = idle_kib(bench, contestant)?;
    let (light, saturated) = in_room(bench, contestant)?;
    let (rooms_light, rooms_saturated) = in_rooms(bench, contestant)?;
    Ok([idle, light, saturated, rooms_light, rooms_saturated])
}

/// A peer on a folder of its own, which goes with it.
fn start(bench: &Bench, peer: Peer) -> Result<(tempfile::TempDir, Running)> {
    let folder = tempfile::tempdir_in(&bench.folder)?;
    let running = peer.start(folder.path())?;
    Ok((folder, running))
}

fn idle_kib(bench: &Bench, contestant: Contestant) -> Result<f64> {
    match contestant {
        Contestant::Bare(writes) => {
            let (floor, address) = start_loop(&bench.own, writes)?;
            idle::kib_each(&floor, address, &Bare::Listener, bench.sizes.idle)
        }
        Contestant::Peer(peer) => {
            let (_folder, peer) = start(bench, peer)?;
            idle::kib_each(&peer.process, peer.address, &*peer.listener, bench.sizes.idle)
        }
        Contestant::Parlour => idle::product_kib_each(bench),
    }
}

fn in_room(bench: &mut Bench, contestant: Contestant) -> Result<(f64, f64)> {
    let size = bench.sizes.room;
    let load = (bench.sizes.rate / size as f64, UNDER_WAY);
    match contestant {
        Contestant::Bare(writes) => {
            let (floor, address) = start_loop(&bench.own, writes)?;
            costs(bench, &floor, &mut bare_crowd(address, size)?, load)
        }
        Contestant::Peer(peer) => {
            let (_folder, peer) = start(bench, peer)?;
            let mut crowd = crowd_with_speaker(peer.address, &*peer.listener, &*peer.speaker, size)?;
            costs(bench, &peer.process, &mut crowd, load)
        }
        Contestant::Parlour => {
            let product = bench.product(Setup::on_one_core())?;
            let clients = room::fill(&product, size)?;
            let mut crowd = room::product_crowd(&product, &clients, size, TEXT)?;
            costs(bench, &product.process, &mut crowd, load)
        }
    }
}

fn in_rooms(bench: &mut Bench, contestant: Contestant) -> Result<(f64, f64)> {
    let load = (bench.sizes.rate / bench.sizes.members as f64, bench.sizes.rooms);
    let seats = rooms::seats(&bench.sizes);
    match contestant {
        Contestant::Bare(writes) => {
            let (floor, address) = start_loop(&bench.own, writes)?;
            let listeners = dial(address, &Bare::Listener, &seats)?;
            let mut crowd =
                Crowd::new(&Bare::Listener, listeners, Speakers::Listeners { next: 0 }, super::FLOOR_TEXT)?;
            costs(bench, &floor, &mut crowd, load)
        }
        Contestant::Peer(peer) => {
            let (_folder, peer) = start(bench, peer)?;
            let listeners = dial(peer.address, &*peer.listener, &seats)?;
            let mut crowd = Crowd::new(&*peer.listener, listeners, Speakers::Listeners { next: 0 }, TEXT)?;
            costs(bench, &peer.process, &mut crowd, load)
        }
        Contestant::Parlour => {
            let product = bench.product(Setup::on_one_core())?;
            let clients = rooms::fill(&product, &bench.sizes)?;
            let mut crowd = rooms::product_crowd(&product, &clients, &bench.sizes)?;
            costs(bench, &product.process, &mut crowd, load)
        }
    }
}

/// A room, and one who speaks to it on a connection of its own.
fn crowd_with_speaker<'a>(
    address: SocketAddr,
    listener: &'a dyn Protocol,
    speaker: &dyn Protocol,
    size: usize,
) -> Result<Crowd<'a>> {
    let listeners = dial(address, listener, &super::one_room(size))?;
    let speaker = dial(address, speaker, &[Seat { room: 0, user: 0 }])?;
    let stream = speaker.into_iter().next().context("the speaker did not arrive")?.stream;
    Crowd::new(listener, listeners, Speakers::Apart { stream, room: 0 }, TEXT)
}

/// Microseconds per delivery, light and saturated; of who does not keep up with the light load, no figure.
fn costs(
    bench: &mut Bench,
    process: &Measured,
    crowd: &mut Crowd<'_>,
    (messages_per_second, under_way): (f64, usize),
) -> Result<(f64, f64)> {
    let (report, time) = (&mut bench.report, bench.sizes.time());
    let saturating = Load::Closed { under_way };
    crowd.run(saturating, WARM_UP)?;
    let light = cost(report, process, crowd, Load::Paced { messages_per_second }, time)?;
    let saturated = cost(report, process, crowd, saturating, time)?;
    let kept_up = light.deliveries_per_second() >= bench.sizes.rate * KEPT_UP;
    Ok((if kept_up { light.micros } else { f64::NAN }, saturated.micros))
}
