//! strace, which stops a system call that it was told to stop: by death, or by an error of the disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::server::{Home, Server};

/// When it has not attached for this long, it will not.
const ATTACH_WAIT: Duration = Duration::from_secs(10);
/// The name of the thread that writes to the database.
const WRITER: &str = "store-writer";

/// What is done to the database's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Write,
    Sync,
}

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum File {
    /// The write-ahead log: every commit.
    Log,
    /// The database itself: every checkpoint.
    Database,
    Both,
}

/// Which calls are stopped, and how.
#[derive(Clone, Debug)]
pub(crate) struct Injection {
    pub(crate) call: Call,
    pub(crate) file: File,
    /// strace's own words: `signal=SIGKILL`, `error=EIO`.
    pub(crate) what: &'static str,
    /// The k-th of a thread, or `first..last`.
    pub(crate) when: String,
}

impl Injection {
    fn options(&self, data: &Path, output: &Path) -> Vec<String> {
        let calls = match self.call {
            Call::Write => "write,pwrite64",
            Call::Sync => "fsync,fdatasync",
        };
        let mut options = vec!["-o".to_owned(), output.display().to_string()];
        let (log, database) = (data.join("parlour.db-wal"), data.join("parlour.db"));
        let paths = match self.file {
            File::Log => vec![log],
            File::Database => vec![database],
            File::Both => vec![log, database],
        };
        for path in paths {
            options.extend(["-P".to_owned(), path.display().to_string()]);
        }
        options.extend(["-e".to_owned(), format!("trace={calls}")]);
        options.extend(["-e".to_owned(), format!("inject={calls}:{}:when={}", self.what, self.when)]);
        options
    }
}

/// Starts a server whose every thread is traced from its first breath. It may be dead before it serves.
pub(crate) async fn start_traced(home: &Home, injection: &Injection) -> Option<Server> {
    let output = output();
    // Not with --seccomp-bpf: signals are not injected under it (strace 6.1).
    let mut runner = ["strace", "-f", "-qq"].map(str::to_owned).to_vec();
    runner.extend(injection.options(home.data(), output.path()));
    home.start_by(&runner).await.ok()
}

/// Traces the one thread that writes; the others are as fast as ever.
pub(crate) struct Tracer {
    process: Child,
    output: tempfile::NamedTempFile,
}

impl Tracer {
    pub(crate) async fn attach(home: &Home, server: &Server, injection: &Injection) -> Self {
        let output = output();
        let mut command = Command::new("strace");
        command
            .args(["-p", &writer_thread(server.pid()).to_string()])
            .args(injection.options(home.data(), output.path()))
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut process = command.spawn().expect("strace is there: a Debian package of that name");
        let mut words = BufReader::new(process.stderr.take().unwrap()).lines();
        let attached = async {
            while let Some(line) = words.next_line().await.unwrap() {
                if line.contains("attached") {
                    return;
                }
                println!("strace: {line}");
            }
            panic!("strace ended");
        };
        tokio::time::timeout(ATTACH_WAIT, attached).await.expect("strace attaches");
        Self { process, output }
    }

    /// Lets the thread go, and answers the calls that were seen, one a line.
    pub(crate) async fn detach(mut self) -> Vec<String> {
        // SIGINT makes it let go in good order; SIGKILL would, too, but without its last lines.
        let pid = self.process.id().expect("it has not ended").to_string();
        let asked = Command::new("kill").args(["-INT", &pid]).status().await.unwrap();
        assert!(asked.success());
        self.process.wait().await.unwrap();
        let text = fs::read_to_string(self.output.path()).unwrap();
        text.lines().filter(|line| line.contains('(')).map(str::to_owned).collect()
    }
}

fn output() -> tempfile::NamedTempFile {
    tempfile::Builder::new().prefix("parlour-strace-").tempfile().unwrap()
}

fn writer_thread(pid: u32) -> u32 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let is_writer =
        |task: &PathBuf| fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim_end() == WRITER);
    let mut found = tasks.map(|task| task.unwrap().path()).filter(is_writer);
    let task = found.next().expect("the server has a thread that writes");
    task.file_name().unwrap().to_str().unwrap().parse().unwrap()
}
