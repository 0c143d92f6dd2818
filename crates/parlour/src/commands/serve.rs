//! `parlour serve`

#![expect(clippy::print_stdout, reason = "a command's output")]

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use parlour_server::config::{Config, Mode};
use parlour_server::{Running, start};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

/// Serves, and keeps its data.
#[derive(Args)]
pub(crate) struct ServeArgs {
    /// Address and port; port 0 takes a free one [default: 127.0.0.1:8790]
    #[arg(long)]
    pub(crate) listen: Option<SocketAddr>,
    /// The folder of the database, and of the app's key and secret [default: ./parlour-data]
    #[arg(long)]
    pub(crate) data: Option<PathBuf>,
    /// What the app is made for at first start [default: production]
    #[arg(long)]
    pub(crate) mode: Option<ModeArg>,
    /// A configuration file [default: ./parlour.toml, where there is one]
    #[arg(long)]
    pub(crate) config: Option<PathBuf>,
    /// Print one line of JSON with url, demo (if it is served), app_key, secret, pid and data, then serve
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum ModeArg {
    Development,
    Production,
}

impl From<ModeArg> for Mode {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::Development => Self::Development,
            ModeArg::Production => Self::Production,
        }
    }
}

pub(crate) async fn run(args: ServeArgs) -> anyhow::Result<()> {
    let mut config = Config::read(args.config.as_deref())?;
    if let Some(listen) = args.listen {
        config.server.listen = listen;
    }
    if let Some(data) = args.data {
        config.storage.data_dir = Some(data);
    }
    if let Some(mode) = args.mode {
        config.app.mode = Some(mode.into());
    }
    config.storage.data_dir.get_or_insert_with(|| PathBuf::from("parlour-data"));
    let data = config.storage.data_dir.clone().map(|dir| dir.display().to_string()).unwrap_or_default();
    crate::logs::start(&config.log)?;
    let running = start(config).await?;
    if args.json {
        print_json(&running, &data);
    } else {
        let (version, address, key) = (env!("CARGO_PKG_VERSION"), running.address, &running.app.key);
        println!("  Parlour {version}  ·  data: {data}");
        println!();
        if let Some(demo) = running.demo_url() {
            println!("  Demo chat    {demo}");
        }
        println!("  API          http://{address}/v1     description: /openapi.json");
        println!("  App key      {key}        secret in {data}/app.json");
        println!();
        println!("  Next: parlour token create --user alice --data {data}");
    }
    stop_when_told(running).await
}

/// The line that test harnesses read.
pub(crate) fn print_json(running: &Running, data: &str) {
    let line = json!({
        "url": format!("http://{}", running.address),
        "demo": running.demo_url(),
        "app_key": running.app.key,
        "secret": running.app.secret,
        "pid": std::process::id(),
        "data": data,
    });
    println!("{line}");
}

/// Serves until SIGTERM or ctrl-C, then stops in order; a second one ends it at once.
pub(crate) async fn stop_when_told(running: Running) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut told = async || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    told().await;
    tracing::info!("stopping");
    tokio::select! {
        () = running.stop() => Ok(()),
        () = told() => anyhow::bail!("ended at once by a second signal; what was under way may have no answer"),
    }
}
