//! `parlour dev`: the product with no configuration.

#![expect(clippy::print_stdout, reason = "a command's output")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use parlour_client::{Profile, ServerClient};
use parlour_server::config::{Config, Mode};
use parlour_server::{Running, start};

use super::Usage;
use super::serve::{print_json, stop_when_told};

/// The ready-made users' tokens last a working day.
const TOKEN_TTL: Duration = Duration::from_secs(12 * 3_600);
const USERS: [(&str, &str); 2] = [("alice", "Alice"), ("bob", "Bob")];
const CHANNEL: (&str, &str) = ("messaging", "general");

/// Starts with no configuration.
#[derive(Args)]
pub(crate) struct DevArgs {
    /// An address of this machine only; port 0 takes a free one [default: 127.0.0.1:8790]
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Keep the data in this folder [default: in memory]
    #[arg(long)]
    data: Option<PathBuf>,
    /// Print one line of JSON with url, app_key, secret, pid and data, then serve
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: DevArgs) -> anyhow::Result<()> {
    let mut config = Config::read(None)?;
    if let Some(listen) = args.listen {
        config.server.listen = listen;
    }
    if !config.server.listen.ip().is_loopback() {
        let address = config.server.listen;
        let why = format!(
            "`parlour dev` prints its secret, so it listens on this machine only; {address} can be reached from elsewhere. Use `parlour serve`."
        );
        return Err(Usage(why).into());
    }
    config.app.mode = Some(Mode::Development);
    config.storage.data_dir = args.data;
    let data =
        config.storage.data_dir.as_ref().map_or_else(|| "memory".to_owned(), |dir| dir.display().to_string());
    if !args.json && config.log == Config::default().log {
        // The banner is what a newcomer should see; trouble still shows.
        config.log.level = "warn".to_owned();
    }
    crate::logs::start(&config.log)?;
    let running = start(config).await?;
    let server = ServerClient::new(
        &format!("http://{}", running.address),
        running.app.key.as_str(),
        &running.app.secret,
    )?;
    make_demo(&server).await?;
    if args.json {
        print_json(&running, &data);
    } else {
        print_banner(&running, &server, &data)?;
    }
    stop_when_told(running).await
}

/// Two users and a channel of theirs, so that there is somebody to talk to.
async fn make_demo(server: &ServerClient) -> anyhow::Result<()> {
    server.upsert_users(USERS.map(|(id, name)| Profile::new(id).name(name))).await?;
    let (owner, member) = (USERS[0].0, USERS[1].0);
    let data = [("name".to_owned(), "General".into())];
    server.as_user(owner)?.channel(CHANNEL.0, CHANNEL.1)?.get_or_create(&[member], data).await?;
    Ok(())
}

fn print_banner(running: &Running, server: &ServerClient, data: &str) -> anyhow::Result<()> {
    let (version, address, key, secret) =
        (env!("CARGO_PKG_VERSION"), running.address, &running.app.key, &running.app.secret);
    let kept = if data == "memory" { "in memory (use `parlour serve` to keep it)" } else { data };
    let program = std::env::args().next().unwrap_or_else(|| "parlour".to_owned());
    println!();
    println!("  Parlour {version}  ·  development mode  ·  this machine only  ·  data: {kept}");
    println!();
    println!("  API          http://{address}/v1     reference: http://{address}/docs");
    println!("  App key      {key}");
    println!("  Secret       {secret}");
    println!();
    println!("  Two users, ready to chat in {}:{}. In two terminals:", CHANNEL.0, CHANNEL.1);
    println!();
    for (id, _) in USERS {
        let token = server.create_token(id, Some(TOKEN_TTL))?;
        println!("  {program} chat --url http://{address} --app-key {key} --token {token}");
        println!();
    }
    println!("  Ctrl-C ends it.");
    Ok(())
}
