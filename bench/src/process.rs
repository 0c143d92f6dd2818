//! Processes under measurement: pinned to cores, with the CPU time and memory of everything they start.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// The core of what measures.
const GENERATOR_CORE: &str = "1";
/// Set in the generator's own environment once it is pinned.
const PINNED: &str = "PARLOUR_BENCH_PINNED";
/// A process that was told to end and has not for this long never will.
const END_WAIT: Duration = Duration::from_secs(30);

/// Where a process under measurement runs.
#[derive(Clone, Copy)]
pub(crate) enum Cores {
    /// The core that the generator leaves alone.
    One,
    /// Both: it shares the generator's.
    Both,
}

impl Cores {
    fn list(self) -> &'static str {
        match self {
            Self::One => "0",
            Self::Both => "0,1",
        }
    }
}

/// A program on some cores, with as many open files as the machine allows.
fn pinned(cores: &str, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", cores, "sh", "-c", r#"ulimit -n "$(ulimit -Hn)"; exec "$0" "$@""#]);
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
    /// Starts a program with some variables in its environment.
    pub(crate) fn start(
        cores: Cores,
        program: &Path,
        args: &[&str],
        variables: &[(&str, String)],
    ) -> Result<Self> {
        let mut command = pinned(cores.list(), program);
        command.args(args).env_remove(PINNED).envs(variables.iter().map(|(name, value)| (name, value)));
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

    /// Asks it to end (SIGTERM) and does not wait.
    pub(crate) fn terminate(&self) -> Result<()> {
        let mut kill = Command::new("kill");
        let status = kill.args(["-TERM", &self.pid.to_string()]).status()?;
        if !status.success() {
            bail!("process {} could not be told to end", self.pid);
        }
        Ok(())
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// The process and all that it started.
    fn family(&self) -> Vec<u32> {
        let mut family = vec![self.pid];
        let mut at = 0;
        while let Some(pid) = family.get(at).copied() {
            at += 1;
            let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { continue };
            for task in tasks.flatten() {
                let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
                family.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
            }
        }
        family
    }

    /// CPU time so far, in user space and the kernel, of all processes and threads.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let mut ticks = 0;
        for pid in self.family() {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
            // The name in brackets may hold spaces; the fields are counted behind it.
            let (_, fields) = stat.rsplit_once(") ").context("/proc/…/stat has no name")?;
            let field = |at: usize| -> Result<u64> {
                Ok(fields.split(' ').nth(at).context("a short stat")?.parse()?)
            };
            // Fields 14 and 15 of the whole line, in ticks of a hundredth of a second on every Linux there is.
            ticks += field(11)? + field(12)?;
        }
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Resident memory in bytes.
    pub(crate) fn rss(&self) -> Result<u64> {
        self.status("VmRSS:")
    }

    /// The most resident memory that it ever had, in bytes.
    pub(crate) fn rss_peak(&self) -> Result<u64> {
        self.status("VmHWM:")
    }

    fn status(&self, name: &str) -> Result<u64> {
        let mut sum = 0;
        for pid in self.family() {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
            let line =
                status.lines().find(|line| line.starts_with(name)).with_context(|| format!("no {name}"))?;
            let kib: u64 = line.split_whitespace().nth(1).context("an empty line of the status")?.parse()?;
            sum += kib * 1_024;
        }
        Ok(sum)
    }

    /// Waits until it uses next to no CPU any more: what was asked of it is done.
    pub(crate) fn settle(&self) -> Result<()> {
        const LOOK_EVERY: Duration = Duration::from_millis(200);
        let begun = Instant::now();
        let mut before = self.cpu()?;
        while begun.elapsed() < END_WAIT {
            std::thread::sleep(LOOK_EVERY);
            let now = self.cpu()?;
            if now - before <= Duration::from_millis(10) {
                return Ok(());
            }
            before = now;
        }
        bail!("the process is still busy {END_WAIT:?} after the last request")
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        for pid in self.family().into_iter().skip(1) {
            // It may have ended by itself.
            let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).stderr(Stdio::null()).status();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
