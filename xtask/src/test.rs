//! `cargo xtask test`: everything that has to be true before a change is taken.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::run::{cargo, shown};
use crate::suites::Reader;
use crate::{codegen, instructions, node, prerequisites, run};

/// How one step went.
struct Step {
    name: &'static str,
    took: Duration,
    outcome: Result<()>,
    /// Tests that failed in it.
    failed: u64,
}

/// A run of all steps.
#[derive(Default)]
struct Run {
    steps: Vec<Step>,
    reader: Reader,
}

pub(crate) fn run() -> ExitCode {
    let mut run = Run::default();
    run.all();
    let Run { steps, reader } = &run;

    println!("\nWall time of each suite:");
    for suite in &reader.suites {
        println!("{:8.2} s  {} ({})", suite.seconds, suite.name, suite.counts());
    }
    println!("\nWall time of each step:");
    for step in steps {
        let verdict = if step.outcome.is_ok() { "ok" } else { "FAILED" };
        println!("{:8.2} s  {} {verdict}", step.took.as_secs_f64(), step.name);
    }
    for step in steps {
        if let Err(error) = &step.outcome {
            println!("{}: {error:#}", step.name);
        }
    }
    if reader.ignored() > 0 {
        println!("{} tests are marked as ignored and were not run.", reader.ignored());
    }
    let failed = run.failures();
    println!("{} passed, {failed} failed", reader.passed());
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Run {
    /// Runs every step, also after one has failed, but for the first: without its prerequisites a suite would fail
    /// for the wrong reason.
    fn all(&mut self) {
        self.step("prerequisites", |_| prerequisites::install());
        if self.failures() > 0 {
            return;
        }
        self.step("format", |_| run::run(cargo(&["fmt", "--check"])));
        let lints = ["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"];
        self.step("lints", |_| run::run(cargo(&lints)));
        self.step("types", |_| node::check_types());
        self.step("build of the tests", |_| {
            run::run(cargo(&["test", "--workspace", "--no-run"]))?;
            // What the build left to be written would hold up every fsync that the tests wait for, by seconds.
            run::run(std::process::Command::new("sync"))
        });
        self.step("tests", suites);
        self.step("instructions of the hot paths", |_| instructions::check());
        self.step("benchmarks, small", |_| run::small_bench());
        self.step("tests of the packages", node::tests);
        self.step("tests in a browser", node::browser_tests);
        self.step("generated files", |_| codegen::run(codegen::Mode::Check));
    }

    fn step(&mut self, name: &'static str, work: impl FnOnce(&mut Reader) -> Result<()>) {
        println!("── {name}");
        let start = Instant::now();
        let failed_before = self.reader.failed();
        let outcome = work(&mut self.reader);
        if let Err(error) = &outcome {
            println!("{name}: {error:#}");
        }
        let failed = self.reader.failed() - failed_before;
        self.steps.push(Step { name, took: start.elapsed(), outcome, failed });
    }

    /// Failed tests, and failed steps that no failed test stands for: a run with anything wrong never ends in
    /// "0 failed".
    fn failures(&self) -> u64 {
        let failures = |step: &Step| if step.outcome.is_err() { step.failed.max(1) } else { step.failed };
        self.steps.iter().map(failures).sum()
    }
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

    #[test]
    fn a_failed_step_is_a_failure_even_when_every_test_passes() {
        let mut run = Run::default();
        run.step("lints", |_| bail!("a warning"));
        run.step("tests", |reader| {
            reader.line("test result: ok. 5 passed; 0 failed; 0 ignored");
            Ok(())
        });
        assert_eq!((run.failures(), run.reader.passed()), (1, 5));
    }

    #[test]
    fn failed_tests_stand_for_their_own_step_and_for_no_other() {
        let mut run = Run::default();
        run.step("tests", |reader| {
            reader.line("test result: FAILED. 5 passed; 2 failed; 0 ignored");
            bail!("ended with 101")
        });
        run.step("tests of the packages", |_| bail!("vitest was not found"));
        assert_eq!(run.failures(), 3);
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
