//! The real binary, started, killed and started again on the same data and port.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use parlour_client::{Client, ServerClient};
use rand::RngExt;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// A start that takes longer has failed.
const START_WAIT: Duration = Duration::from_secs(30);
/// Below the ports that the kernel gives to dialling clients (32768 and up): between a kill and the restart
/// one of the many redials would sooner or later be given the server's own port.
const PORTS: std::ops::Range<u16> = 12_000..32_000;

/// Where a server lives: what stays the same from start to start.
pub(crate) struct Home {
    data: PathBuf,
    port: u16,
    settings: Vec<(&'static str, String)>,
    /// What its processes said, outside of the data: a test may lose that.
    log: tempfile::NamedTempFile,
}

impl Home {
    /// A server with its data in this folder, which the first start makes.
    pub(crate) fn new(data: impl Into<PathBuf>) -> Self {
        let log = tempfile::Builder::new().prefix("parlour-server-").suffix(".log").tempfile().unwrap();
        let settings = vec![("PARLOUR_LOG__LEVEL", "warn".to_owned())];
        Self { data: data.into(), port: free_port(), settings, log }
    }

    /// Sets `PARLOUR_SECTION__KEY`.
    pub(crate) fn set(&mut self, key: &'static str, value: impl ToString) {
        self.settings.retain(|(known, _)| *known != key);
        self.settings.push((key, value.to_string()));
    }

    /// The folder of the data.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// Where the server listens, at every start.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Starts the server and waits until it serves.
    ///
    /// # Panics
    /// It does not; with what it said.
    pub(crate) async fn start(&self) -> Server {
        self.start_by(&[]).await.unwrap_or_else(|status| {
            panic!("the server did not start ({status}); it said:\n{}", self.said());
        })
    }

    /// Starts the server by another program that runs it, such as a tracer. An end before it serves is an
    /// answer here.
    pub(crate) async fn start_by(&self, runner: &[String]) -> Result<Server, ExitStatus> {
        let mut words: Vec<String> = Vec::new();
        // A test that is killed takes its servers with it.
        words.extend(["setpriv", "--pdeathsig", "KILL"].map(str::to_owned));
        words.extend_from_slice(runner);
        words.push(env!("CARGO_BIN_EXE_parlour").to_owned());
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .args(["serve", "--json", "--mode", "development"])
            .args(["--listen", &format!("127.0.0.1:{}", self.port)])
            .arg("--data")
            .arg(&self.data)
            .envs(self.settings.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::from(self.log.reopen().unwrap()))
            .kill_on_drop(true);
        let mut process = command.spawn().expect("setpriv is there: a part of util-linux");
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        let read = tokio::time::timeout(START_WAIT, stdout.read_line(&mut line)).await;
        let bytes = read.unwrap_or_else(|_| panic!("no start within {START_WAIT:?}:\n{}", self.said()));
        if bytes.unwrap() == 0 {
            return Err(process.wait().await.unwrap());
        }
        let start: StartLine = serde_json::from_str(&line).unwrap();
        assert_eq!(start.url, self.url());
        Ok(Server { process, start })
    }

    /// What the server's processes wrote to their logs, up to now.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap_or_default()
    }
}

/// The line of `--json`.
#[derive(Deserialize)]
struct StartLine {
    url: String,
    app_key: String,
    secret: String,
    pid: u32,
}

/// A running server; killed when dropped.
pub(crate) struct Server {
    process: Child,
    start: StartLine,
}

impl Server {
    pub(crate) fn secret(&self) -> &str {
        &self.start.secret
    }

    pub(crate) fn app_key(&self) -> &str {
        &self.start.app_key
    }

    pub(crate) fn url(&self) -> &str {
        &self.start.url
    }

    pub(crate) fn pid(&self) -> u32 {
        self.start.pid
    }

    /// A backend of the app.
    pub(crate) fn backend(&self) -> ServerClient {
        ServerClient::new(&self.start.url, &self.start.app_key, &self.start.secret).unwrap()
    }

    /// Begins a client of the app.
    pub(crate) fn client(&self) -> parlour_client::Builder {
        self.client_by(&self.start.url)
    }

    /// Begins a client of the app, which reaches it at another address: of a proxy.
    pub(crate) fn client_by(&self, url: &str) -> parlour_client::Builder {
        Client::builder(url, &self.start.app_key)
    }

    /// SIGKILL, and wait until the process is gone with all that it held.
    pub(crate) async fn kill(mut self) {
        self.process.start_kill().unwrap();
        self.process.wait().await.unwrap();
    }

    /// Waits until the process has ended by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        self.process.wait().await.unwrap()
    }
}

/// A port that nobody listens on now, not given to dialling clients either.
pub(crate) fn free_port() -> u16 {
    let mut dice = rand::rng();
    loop {
        let port = dice.random_range(PORTS);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
