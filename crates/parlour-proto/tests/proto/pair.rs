//! Both machines face to face: a log, a store that is slow or fails, a hub that delays and loses, links that
//! break at any point, a server that restarts. Time is simulated, chance comes from a seed.

mod log;
mod tally;
mod world;

use tally::Tally;
use world::{Sabotage, World};

/// `PARLOUR_SEEDS` runs more.
fn seeds() -> u64 {
    std::env::var("PARLOUR_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(600)
}

#[test]
fn whatever_breaks_the_app_ends_with_every_event_once_and_in_order_l5_3() {
    let mut total = Tally::default();
    let only = std::env::var("PARLOUR_SEED").ok().and_then(|text| text.parse().ok());
    for seed in only.map_or(1..=seeds(), |seed: u64| seed..=seed) {
        match World::run(seed, Sabotage::None) {
            Ok(tally) => total.add(&tally),
            Err(what) => panic!("seed {seed}: {what}"),
        }
    }
    println!("{total:?}");
    if only.is_none() {
        for (name, count) in total.counts() {
            assert!(count > 0, "the runs saw no {name}: {total:?}");
        }
    }
}

#[test]
fn without_the_head_check_or_without_loads_after_a_gap_it_would_be_seen() {
    for sabotage in [Sabotage::NoHeadCheck, Sabotage::EventsSkipped] {
        let failed = (1..=seeds()).filter(|seed| World::run(*seed, sabotage).is_err()).count();
        println!("{sabotage:?}: {failed} of {} seeds fail", seeds());
        assert!(failed > 0, "{sabotage:?} goes unnoticed");
    }
}
