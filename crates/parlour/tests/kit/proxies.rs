//! What stands between people and servers: proxies as Debian has them, each with a configuration of tests/proxies
//! and one obstacle, and a line that dies without a word.
//!
//! That each does what it says is shown in tests/browser/obstacles.test.ts, with bare sockets.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::server::free_port;

/// A start that takes longer has failed.
const START_WAIT: Duration = Duration::from_secs(15);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Squid,
    HaProxy,
    Nginx,
}

impl Program {
    /// The program in the foreground; the name of its configuration follows.
    fn command(self) -> &'static [&'static str] {
        match self {
            Self::Squid => &["squid", "-N", "-f"],
            Self::HaProxy => &["haproxy", "-W", "-db", "-f"],
            Self::Nginx => &["nginx", "-e", "stderr", "-c"],
        }
    }

    fn template(self) -> &'static str {
        match self {
            Self::Squid => include_str!("../../../../tests/proxies/squid.conf"),
            Self::HaProxy => include_str!("../../../../tests/proxies/haproxy.cfg"),
            Self::Nginx => include_str!("../../../../tests/proxies/nginx.conf"),
        }
    }

    /// What makes it read its configuration again.
    fn reload(self) -> &'static str {
        match self {
            Self::Squid | Self::Nginx => "-HUP",
            Self::HaProxy => "-USR2",
        }
    }
}

/// A running proxy on a port of its own; ended when dropped.
pub(crate) struct TestProxy {
    pub(crate) url: String,
    program: Program,
    values: Vec<(&'static str, String)>,
    folder: TempDir,
    process: Child,
}

impl TestProxy {
    /// Starts one before the server at this URL. (Squid serves every address, and hears it from its client.)
    pub(crate) async fn start(program: Program, server: &str, obstacle: &'static str) -> Self {
        Self::start_with(program, server, obstacle, "1h").await
    }

    /// Starts HAProxy, which cuts what was silent for this long and passes everything.
    pub(crate) async fn cutting(idle: &str, server: &str) -> Self {
        Self::start_with(Program::HaProxy, server, "passes", idle).await
    }

    async fn start_with(program: Program, server: &str, obstacle: &'static str, idle: &str) -> Self {
        let port = free_port();
        // Squid works as another user than the one that starts it, where it can.
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        let values = vec![
            ("port", port.to_string()),
            ("server", server.rsplit(':').next().unwrap().to_owned()),
            ("folder", folder.path().display().to_string()),
            ("idle", idle.to_owned()),
        ];
        let configuration = folder.path().join("configuration");
        configure(&configuration, program, &values, obstacle);
        let log = std::fs::File::create(folder.path().join("said")).unwrap();
        let path = std::env::var("PATH").unwrap_or_default();
        let process = Command::new("setpriv")
            // A test that is killed takes its proxies with it. They are where only root looks for programs.
            .args(["--pdeathsig", "TERM"])
            .args(program.command())
            .arg(&configuration)
            .env("PATH", format!("{path}:/usr/local/sbin:/usr/sbin"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("setpriv is there: a part of util-linux");
        let url = format!("http://127.0.0.1:{port}");
        let mut proxy = Self { url, program, values, folder, process };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            let ended = proxy.process.try_wait().unwrap();
            assert!(ended.is_none() && began.elapsed() < START_WAIT, "{program:?}: {}", proxy.said());
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        proxy
    }

    /// Lets it read a configuration with another obstacle. What is open stays open.
    pub(crate) fn becomes(&self, obstacle: &'static str) {
        configure(&self.folder.path().join("configuration"), self.program, &self.values, obstacle);
        self.signal(self.program.reload());
    }

    pub(crate) fn name(&self) -> &'static str {
        self.program.command()[0]
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("said")).unwrap_or_default()
    }

    fn signal(&self, signal: &str) {
        if let Some(pid) = self.process.id() {
            let sent = std::process::Command::new("kill").args([signal, &pid.to_string()]).status();
            assert!(sent.unwrap().success());
        }
    }
}

impl Drop for TestProxy {
    fn drop(&mut self) {
        // Not SIGKILL: that would leave the processes that it has started.
        self.signal("-TERM");
    }
}

/// Fills the template. A line that begins with the name of an obstacle is there only for that one.
fn configure(file: &Path, program: Program, values: &[(&str, String)], obstacle: &str) {
    let mut text = program.template().replace(&format!("@{obstacle}@"), "");
    for (name, value) in values {
        text = text.replace(&format!("@{name}@"), value);
    }
    let kept: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with('@')).collect();
    std::fs::write(file, kept.join("\n") + "\n").unwrap();
}

/// A line to a server that swallows everything from a moment on, both ways, and tells neither end. It ends when it is
/// dropped.
pub(crate) struct Line {
    pub(crate) url: String,
    swallowed: watch::Sender<u64>,
    _passing: JoinSet<()>,
}

impl Line {
    pub(crate) async fn start(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let to = server.trim_start_matches("http://").to_owned();
        let swallowed = watch::Sender::new(0);
        let cuts = swallowed.subscribe();
        let mut passing = JoinSet::new();
        passing.spawn(async move {
            let mut ends = JoinSet::new();
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let far = TcpStream::connect(&to).await.unwrap();
                let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
                let end = End { born: *cuts.borrow(), cuts: cuts.clone() };
                ends.spawn(end.clone().pass(from_near, to_far));
                ends.spawn(end.pass(from_far, to_near));
            }
        });
        Self { url, swallowed, _passing: passing }
    }

    /// From now on nothing more comes through what is open now; what is dialled later is another way.
    pub(crate) fn swallow(&self) {
        self.swallowed.send_modify(|count| *count += 1);
    }
}

/// One direction of one connection.
#[derive(Clone)]
struct End {
    /// How often the line had swallowed when it was opened.
    born: u64,
    cuts: watch::Receiver<u64>,
}

impl End {
    async fn pass(self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut bytes = vec![0; 64 * 1024];
        loop {
            let read = from.read(&mut bytes).await;
            let is_swallowed = *self.cuts.borrow() > self.born;
            match read {
                Ok(len) if len > 0 && is_swallowed => {}
                Ok(len) if len > 0 => {
                    if to.write_all(&bytes[..len]).await.is_err() {
                        return;
                    }
                }
                // The other end is not to hear of it.
                Ok(_) | Err(_) if is_swallowed => std::future::pending().await,
                Ok(_) | Err(_) => return,
            }
        }
    }
}
