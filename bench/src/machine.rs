//! The machine that figures belong to.

use std::path::Path;

/// What it is, one property in each.
pub(crate) fn description() -> Vec<(&'static str, String)> {
    let cpus = read("/proc/cpuinfo");
    let count = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let model = value(&cpus, "model name", ':');
    let memory: f64 = value(&read("/proc/meminfo"), "MemTotal", ':')
        .split_whitespace()
        .next()
        .and_then(|kib| kib.parse().ok())
        .unwrap_or_default();
    vec![
        ("CPU", format!("{count} × {model}")),
        ("memory", format!("{:.1} GiB", memory / f64::from(1 << 20))),
        ("kernel", read("/proc/sys/kernel/osrelease").trim().to_owned()),
        ("system", value(&read("/etc/os-release"), "PRETTY_NAME", '=').trim_matches('"').to_owned()),
        ("load when it began", read("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" ")),
    ]
}

fn read(path: &str) -> String {
    // What a machine does not tell is left out.
    std::fs::read_to_string(Path::new(path)).unwrap_or_default()
}

fn value(text: &str, name: &str, between: char) -> String {
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line.split_once(between).map_or(String::new(), |(_, value)| value.trim().to_owned())
}
