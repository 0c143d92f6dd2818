//! `cargo xtask test`: everything that has to be true before a change is taken.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::run::{cargo, shown};
use crate::suites::Reader;
use crate::{codegen, prerequisites, run};

/// How one step went.
struct Step {
    name: &'static str,
    took: Duration,
    outcome: Result<()>,
}

/// Runs every step, also after one has failed (but for the first: without its prerequisites a suite would
/// fail for the wrong reason), and ends with the one line that says it all.
fn run_all() -> (Vec<Step>, Reader) {
    let mut reader = Reader::default();
    let mut steps = vec![step("prerequisites", prerequisites::install)];
    if steps[0].outcome.is_ok() {
        steps.push(step("format", || run::run(cargo(&["fmt", "--check"]))));
        let lints = ["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"];
        steps.push(step("lints", || run::run(cargo(&lints))));
        steps.push(step("tests", || suites(&mut reader)));
        steps.push(step("generated files", || codegen::run(codegen::Mode::Check)));
    }
    (steps, reader)
}

pub(crate) fn run() -> ExitCode {
    let (steps, reader) = run_all();

    println!("\nWall time of each suite:");
    for suite in &reader.suites {
        let ignored = if suite.ignored == 0 { String::new() } else { format!(", {} ignored", suite.ignored) };
        println!("{:8.2} s  {} ({} passed{ignored})", suite.seconds, suite.name, suite.passed);
    }
    println!("\nWall time of each step:");
    for step in &steps {
        let verdict = if step.outcome.is_ok() { "ok" } else { "FAILED" };
        println!("{:8.2} s  {} {verdict}", step.took.as_secs_f64(), step.name);
    }
    for step in &steps {
        if let Err(error) = &step.outcome {
            println!("{}: {error:#}", step.name);
        }
    }
    if reader.ignored() > 0 {
        println!("{} tests are marked as ignored and were not run.", reader.ignored());
    }
    let failed = failures(&steps, &reader);
    println!("{} passed, {failed} failed", reader.passed());
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Failed tests, and failed steps that no failed test stands for: a run with anything wrong never ends in
/// "0 failed".
fn failures(steps: &[Step], reader: &Reader) -> u64 {
    let failed_steps = steps.iter().filter(|step| step.outcome.is_err());
    let unexplained = failed_steps.filter(|step| step.name != "tests" || reader.failed() == 0);
    reader.failed() + unexplained.count() as u64
}

fn step(name: &'static str, work: impl FnOnce() -> Result<()>) -> Step {
    println!("── {name}");
    let start = Instant::now();
    let outcome = work();
    if let Err(error) = &outcome {
        println!("{name}: {error:#}");
    }
    Step { name, took: start.elapsed(), outcome }
}

/// `cargo test --workspace`, shown as it runs and read at the same time.
fn suites(reader: &mut Reader) -> Result<()> {
    let mut command = cargo(&["test", "--workspace", "--no-fail-fast"]);
    command.env("PARLOUR_PYTHON", prerequisites::python());
    let shown = shown(&command);
    let status = tee(&mut command, |line| reader.line(line))?;
    if !status.success() {
        bail!("`{shown}` ended with {status}");
    }
    if reader.suites.is_empty() {
        bail!("`{shown}` ran nothing");
    }
    Ok(())
}

/// Runs the command; each line of its output is shown and given to `each`. Both of its outputs go through
/// one pipe, because cargo names a suite on one and the suite answers on the other.
fn tee(command: &mut Command, mut each: impl FnMut(&str)) -> Result<ExitStatus> {
    let (output, input) = std::io::pipe()?;
    command.stdin(Stdio::null()).stdout(input.try_clone()?).stderr(input);
    let mut child = command.spawn().with_context(|| format!("`{}` could not be started", shown(command)))?;
    // The command keeps its ends of the pipe until they are replaced; only the child may hold any.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let (sender, lines) = mpsc::sync_channel(64);
    std::thread::spawn(move || {
        let mut lines = BufReader::new(output).split(b'\n').map_while(Result::ok);
        lines.try_for_each(|line| sender.send(line).map_err(drop))
    });
    let mut ended = None;
    loop {
        match lines.recv_timeout(Duration::from_millis(500)) {
            Ok(line) => {
                let text = String::from_utf8_lossy(&line);
                println!("{text}");
                each(&text);
            }
            // A process that a test left behind may hold the pipe open for ever: silence after the end is
            // the end.
            Err(RecvTimeoutError::Timeout) if ended.is_some() => break,
            Err(RecvTimeoutError::Timeout) => ended = child.try_wait()?,
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    Ok(match ended {
        Some(status) => status,
        None => child.wait()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(name: &'static str, outcome: Result<()>) -> Step {
        Step { name, took: Duration::ZERO, outcome }
    }

    fn read(line: &str) -> Reader {
        let mut reader = Reader::default();
        reader.line(line);
        reader
    }

    #[test]
    fn a_failed_step_is_a_failure_even_when_every_test_passes() {
        let reader = read("test result: ok. 5 passed; 0 failed; 0 ignored");
        let steps = [ended("lints", Err(anyhow::anyhow!("a warning"))), ended("tests", Ok(()))];
        assert_eq!(failures(&steps, &reader), 1);
    }

    #[test]
    fn a_test_run_that_does_not_compile_is_a_failure() {
        let steps = [ended("tests", Err(anyhow::anyhow!("does not compile")))];
        assert_eq!(failures(&steps, &Reader::default()), 1);
    }

    #[test]
    fn failed_tests_are_counted_once() {
        let reader = read("test result: FAILED. 5 passed; 2 failed; 0 ignored");
        let steps = [ended("tests", Err(anyhow::anyhow!("ended with 101")))];
        assert_eq!(failures(&steps, &reader), 2);
    }

    #[test]
    fn both_outputs_of_a_program_are_read_in_their_order() {
        let mut lines = Vec::new();
        let mut command = Command::new("sh");
        command.args(["-c", "echo one >&2; echo two; echo three >&2; exit 3"]);
        let status = tee(&mut command, |line| lines.push(line.to_owned())).unwrap();
        assert_eq!(lines, ["one", "two", "three"]);
        assert_eq!(status.code(), Some(3));
    }

    #[test]
    fn a_process_that_a_test_left_behind_does_not_keep_the_run_waiting() {
        let start = Instant::now();
        let mut lines = Vec::new();
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 30 & echo done"]);
        tee(&mut command, |line| lines.push(line.to_owned())).unwrap();
        assert_eq!(lines, ["done"]);
        assert!(start.elapsed() < Duration::from_secs(20));
    }
}
