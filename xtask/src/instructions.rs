//! `cargo xtask instructions`: what the hot paths cost, in instructions.
//!
//! Time is noise on a busy machine; instructions are nearly the same in every run. Each path is a test of
//! parlour-server, run under callgrind a few times and some more times: the difference, divided, is what one more
//! costs, without anything that happens once. The tests' own build is measured: no second one is needed, and what
//! makes a path longer makes it longer there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::run::{self, cargo, root};

/// Where the tests are, in parlour-server.
const MODULE: &str = "hot_paths::";
/// How often a path is gone, told to the tests.
const TIMES: &str = "PARLOUR_HOT_PATH_TIMES";
const FEW: u64 = 20;
const MANY: u64 = 120;
/// How much more than recorded is still the same.
const TOLERANCE: f64 = 0.05;
/// The same between two compilers, which translate the same path differently.
const TOLERANCE_OF_ANOTHER_COMPILER: f64 = 0.3;

/// What was counted, and by what.
#[derive(Debug, PartialEq)]
struct Counts {
    arch: String,
    rustc: String,
    paths: BTreeMap<String, u64>,
}

fn file() -> PathBuf {
    root().join("bench/instructions.json")
}

/// Counts, and writes it down.
pub(crate) fn record() -> Result<()> {
    let counts = count()?;
    let text = serde_json::to_string_pretty(&counts.to_json())?;
    std::fs::write(file(), text + "\n").with_context(|| format!("{} cannot be written", file().display()))?;
    println!("recorded in {}", file().display());
    Ok(())
}

/// Counts, and compares.
///
/// # Errors
/// A path is longer than recorded, or was not recorded at all.
pub(crate) fn check() -> Result<()> {
    let text =
        std::fs::read_to_string(file()).with_context(|| format!("{} cannot be read", file().display()))?;
    let recorded = Counts::from_json(&serde_json::from_str(&text)?).context("the record cannot be read")?;
    let Verdict { lines, wrong } = compare(&recorded, &count()?);
    lines.iter().for_each(|line| println!("{line}"));
    if !wrong.is_empty() {
        bail!(
            "{}. If that is worth it, or the code got shorter: `cargo xtask instructions --record`, and say why in the \
             commit",
            wrong.join("; ")
        );
    }
    Ok(())
}

/// What a comparison says.
struct Verdict {
    lines: Vec<String>,
    wrong: Vec<String>,
}

fn compare(recorded: &Counts, now: &Counts) -> Verdict {
    let mut verdict = Verdict { lines: Vec::new(), wrong: Vec::new() };
    if recorded.arch != now.arch {
        let (was, is) = (&recorded.arch, &now.arch);
        verdict.wrong.push(format!("the counts were recorded on {was}; this is {is}"));
        return verdict;
    }
    let is_same_compiler = recorded.rustc == now.rustc;
    if !is_same_compiler {
        let (was, is) = (&recorded.rustc, &now.rustc);
        verdict.lines.push(format!(
            "Recorded with {was}; this is {is}. Until it is recorded anew (`cargo xtask instructions --record`, in a \
             commit that changes nothing else), {:.0} % more is let pass.",
            TOLERANCE_OF_ANOTHER_COMPILER * 100.0
        ));
    }
    let tolerance = if is_same_compiler { TOLERANCE } else { TOLERANCE_OF_ANOTHER_COMPILER };
    for (path, count) in &now.paths {
        let Some(before) = recorded.paths.get(path) else {
            verdict.wrong.push(format!("`{path}` was never recorded"));
            continue;
        };
        let change = *count as f64 / *before as f64 - 1.0;
        verdict.lines.push(format!("{count:>12}  {path} ({:+.1} %)", change * 100.0));
        if change > tolerance {
            verdict.wrong.push(format!("`{path}` takes {count} instructions, and took {before}"));
        } else if change < -tolerance {
            verdict.lines.push(format!("{:>14}shorter than recorded: record it, so that it stays so", ""));
        }
    }
    for path in recorded.paths.keys().filter(|path| !now.paths.contains_key(*path)) {
        verdict.wrong.push(format!("`{path}` was recorded, and is not there"));
    }
    verdict
}

fn count() -> Result<Counts> {
    let mut rustc = Command::new("rustc");
    rustc.arg("--version");
    let rustc = run::output(rustc)?.trim().to_owned();
    let tests = binary()?;
    let mut list = Command::new(&tests);
    list.args([MODULE, "--list", "--format", "terse"]);
    let listed = run::output(list)?;
    let paths: Vec<&str> = listed.lines().filter_map(|line| line.strip_suffix(": test")).collect();
    if paths.is_empty() {
        bail!("parlour-server has no tests in {MODULE}");
    }
    let counted = paths.into_iter().map(|path| {
        // On two cores at a time.
        let (few, many) = std::thread::scope(|scope| {
            let few = scope.spawn(|| instructions(&tests, path, FEW));
            (few.join(), instructions(&tests, path, MANY))
        });
        let few = few.map_err(|_| anyhow::anyhow!("counting `{path}` panicked"))??;
        let each = many?.saturating_sub(few) / (MANY - FEW);
        Ok((path.trim_start_matches(MODULE).to_owned(), each))
    });
    Ok(Counts { arch: std::env::consts::ARCH.to_owned(), rustc, paths: counted.collect::<Result<_>>()? })
}

/// The tests of parlour-server, built.
fn binary() -> Result<PathBuf> {
    // Of the whole workspace, as the tests are: alone it would be built once more, with fewer of its dependencies'
    // features.
    let args = ["test", "--workspace", "--lib", "--no-run", "--message-format", "json"];
    let said = run::output(cargo(&args))?;
    let executable = |line: &str| -> Option<PathBuf> {
        let message: Value = serde_json::from_str(line).ok()?;
        let is_it = message["profile"]["test"] == true && message["target"]["name"] == "parlour_server";
        is_it.then(|| message["executable"].as_str().map(PathBuf::from))?
    };
    said.lines().find_map(executable).context("cargo built no tests of parlour-server")
}

/// Instructions of the whole process.
fn instructions(tests: &Path, path: &str, times: u64) -> Result<u64> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    valgrind.arg(tests).args(["--exact", path, "--test-threads=1"]).env(TIMES, times.to_string());
    let output = valgrind.output().context("`valgrind` could not be started (package valgrind)")?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("`{path}` failed under valgrind: {}{said}", String::from_utf8_lossy(&output.stdout));
    }
    collected(&said).with_context(|| format!("valgrind said no count of `{path}`: {said}"))
}

/// `==123== Collected : 456`
fn collected(said: &str) -> Option<u64> {
    said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok())
}

impl Counts {
    fn to_json(&self) -> Value {
        json!({ "arch": self.arch, "rustc": self.rustc, "paths": self.paths })
    }

    fn from_json(value: &Value) -> Option<Self> {
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        let paths = value["paths"].as_object()?.iter();
        let paths = paths.map(|(path, count)| Some((path.clone(), count.as_u64()?)));
        Some(Self { arch: text("arch")?, rustc: text("rustc")?, paths: paths.collect::<Option<_>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(rustc: &str, paths: &[(&str, u64)]) -> Counts {
        let paths = paths.iter().map(|(path, count)| ((*path).to_owned(), *count)).collect();
        Counts { arch: "x86_64".to_owned(), rustc: rustc.to_owned(), paths }
    }

    #[test]
    fn a_path_that_grew_by_more_than_the_tolerance_is_wrong_and_one_that_shrank_is_not() {
        let recorded = counts("1.95", &[("encode", 1_000), ("offer", 1_000), ("verify", 1_000)]);
        let now = counts("1.95", &[("encode", 1_049), ("offer", 1_051), ("verify", 500)]);
        let Verdict { lines, wrong } = compare(&recorded, &now);
        assert_eq!(wrong, ["`offer` takes 1051 instructions, and took 1000"]);
        assert!(lines.iter().any(|line| line.contains("shorter than recorded")));
    }

    #[test]
    fn another_compiler_is_told_of_and_given_more_room_but_not_any() {
        let recorded = counts("1.95", &[("encode", 1_000)]);
        let verdict = compare(&recorded, &counts("1.96", &[("encode", 1_200)]));
        assert!(verdict.wrong.is_empty() && verdict.lines[0].contains("--record"));
        assert_eq!(compare(&recorded, &counts("1.96", &[("encode", 1_400)])).wrong.len(), 1);
    }

    #[test]
    fn what_was_never_recorded_what_is_gone_and_another_machine_are_wrong() {
        let recorded = counts("1.95", &[("encode", 1_000)]);
        assert_eq!(compare(&recorded, &counts("1.95", &[("offer", 10)])).wrong.len(), 2);
        let elsewhere = Counts { arch: "aarch64".to_owned(), ..counts("1.95", &[("encode", 1_000)]) };
        assert_eq!(compare(&recorded, &elsewhere).wrong.len(), 1);
    }

    #[test]
    fn a_record_reads_as_it_was_written() {
        let written = counts("1.95", &[("encode", 1_000)]);
        assert_eq!(Counts::from_json(&written.to_json()), Some(written));
        assert_eq!(collected("==7== Events    : Ir\n==7== Collected : 4560\n==7==\n"), Some(4_560));
    }
}
