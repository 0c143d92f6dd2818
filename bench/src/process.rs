//! Processes under measurement: pinned to a core, with their CPU time and memory.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// The core of what is measured, and the one of what measures.
const SERVER_CORE: &str = "0";
const GENERATOR_CORE: &str = "1";
/// Set in the generator's own environment once it is pinned.
const PINNED: &str = "PARLOUR_BENCH_PINNED";

/// A program on a core of its own, with as many open files as the machine allows.
fn pinned(core: &str, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", core, "sh", "-c", r#"ulimit -n "$(ulimit -Hn)"; exec "$0" "$@""#]);
    command.arg(program);
    command
}

/// Starts this program once more on the generator's core; answers its exit code, or `None` where this already
/// is that program.
pub(crate) fn pin_myself() -> Result<Option<i32>> {
    if std::env::var_os(PINNED).is_some() {
        return Ok(None);
    }
    let mut command = pinned(GENERATOR_CORE, &std::env::current_exe()?);
    command.args(std::env::args_os().skip(1)).env(PINNED, "1");
    let status = command.status().context("`taskset` could not be started (package util-linux)")?;
    Ok(Some(status.code().unwrap_or(1)))
}

/// A process under measurement; killed when it goes out of scope.
pub(crate) struct Measured {
    child: Child,
    stdout: BufReader<ChildStdout>,
    pid: u32,
}

impl Measured {
    /// Starts a program on the server's core.
    pub(crate) fn start(program: &Path, args: &[&str]) -> Result<Self> {
        let mut command = pinned(SERVER_CORE, program);
        command.args(args).env_remove(PINNED);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let stdout = child.stdout.take().context("no standard output")?;
        // taskset and sh replace themselves, so the id stays.
        let pid = child.id();
        Ok(Self { child, stdout: BufReader::new(stdout), pid })
    }

    /// The next line that it prints.
    pub(crate) fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.stdout.read_line(&mut line)? == 0 {
            bail!("the process ended: {:?}", self.child.wait()?);
        }
        Ok(line.trim_end().to_owned())
    }

    /// CPU time so far, in user space and the kernel, of all its threads.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        // The name in brackets may hold spaces; the fields are counted behind it.
        let (_, fields) = stat.rsplit_once(") ").context("/proc/…/stat has no name")?;
        let field =
            |at: usize| -> Result<u64> { Ok(fields.split(' ').nth(at).context("a short stat")?.parse()?) };
        // Fields 14 and 15 of the whole line, in ticks of a hundredth of a second on every Linux there is.
        Ok(Duration::from_millis((field(11)? + field(12)?) * 10))
    }

    /// Resident memory in bytes.
    pub(crate) fn rss(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
        let kib: u64 = line.split_whitespace().nth(1).context("an empty VmRSS")?.parse()?;
        Ok(kib * 1_024)
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
