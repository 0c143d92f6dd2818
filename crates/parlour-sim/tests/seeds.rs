//! Many runs, each from one seed. `PARLOUR_SEEDS` says how many, `PARLOUR_SEED` runs a single one.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use parlour_sim::{Faults, Report, run};

fn seeds(otherwise: u64) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match (number("PARLOUR_SEED"), number("PARLOUR_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, Some(count)) => 0..count,
        (None, None) => 0..otherwise,
    }
}

fn count(totals: &mut BTreeMap<&'static str, u64>, report: &Report) {
    let stats = &report.stats;
    for (name, counter) in [
        ("bus losses", &stats.bus_lost),
        ("bus doubles", &stats.bus_doubled),
        ("bus delays", &stats.bus_delayed),
        ("cuts", &stats.cuts),
        ("black holes", &stats.black_holes),
        ("crashes", &stats.crashes),
        ("calls lost", &stats.calls_lost),
        ("answers lost", &stats.answers_lost),
        ("resumes", &stats.resumes),
        ("catch-ups", &stats.caught_up),
        ("resets", &stats.resets),
        ("sends", &stats.sends),
    ] {
        *totals.entry(name).or_default() += counter.value();
    }
    let shown: usize = report.history.shown.values().map(Vec::len).sum();
    *totals.entry("events shown").or_default() += shown as u64;
}

#[test]
fn every_seed_ends_with_exactly_the_events_in_order_l5_3() {
    let range = seeds(1_000);
    let runs = range.end - range.start;
    let next = AtomicU64::new(range.start);
    let totals = Mutex::new(BTreeMap::new());
    // A run is one thread; the machine has more.
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if !range.contains(&seed) {
                        return;
                    }
                    let report = run(seed, Faults::default());
                    assert!(
                        report.violations.is_empty(),
                        "seed {seed} (run it alone with PARLOUR_SEED={seed}):\n{}",
                        report.violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
                    );
                    count(&mut totals.lock().unwrap(), &report);
                }
            });
        }
    });
    let totals = totals.into_inner().unwrap();
    println!("{runs} seeds: {totals:?}");
    if runs >= 100 {
        for (name, total) in totals {
            assert!(total > 0, "no {name} in {runs} runs: the test has lost its teeth");
        }
    }
}

/// How many of the first seeds break a promise.
fn broken(faults: Faults) -> usize {
    (0..20).filter(|seed| !run(*seed, faults).violations.is_empty()).count()
}

#[test]
fn without_head_checks_some_seeds_fail() {
    let failed = broken(Faults { head_checks: false, ..Faults::default() });
    println!("without head checks: {failed} of 20 seeds fail");
    assert!(failed > 0, "the simulation does not notice that head checks are off");
}

#[test]
fn without_loads_of_gaps_seeds_fail() {
    let failed = broken(Faults { loads: false, ..Faults::default() });
    println!("without loads: {failed} of 20 seeds fail");
    assert!(failed > 0, "the simulation does not notice that loads are off");
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..3 {
        let (one, two) = (run(seed, Faults::default()), run(seed, Faults::default()));
        assert_eq!(one.history.shown, two.history.shown, "seed {seed}");
        assert_eq!(one.history.acknowledged, two.history.acknowledged, "seed {seed}");
    }
}
