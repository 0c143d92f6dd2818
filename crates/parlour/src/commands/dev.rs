//! `parlour dev`: the product with no configuration.

#![expect(clippy::print_stdout, reason = "a command's output")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use parlour_client::{Profile, ServerClient};
use parlour_server::config::{Config, Mode};
use parlour_server::{DEMO_USERS, Running, start};

use super::Usage;
use super::serve::{print_json, stop_when_told};

/// The ready-made users' tokens last a working day.
const TOKEN_TTL: Duration = Duration::from_secs(12 * 3_600);
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
    /// Print one line of JSON with url, demo, app_key, secret, pid and data, then serve
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

/// The demo's users and a channel of theirs, so that there is somebody to talk to. What is there already, from
/// an earlier start on the same data, stays as it is.
async fn make_demo(server: &ServerClient) -> anyhow::Result<()> {
    let ids = DEMO_USERS.map(|(id, _)| id);
    let there = server.users(&ids).await?;
    let missing = DEMO_USERS.iter().filter(|(id, _)| !there.iter().any(|user| user.id.as_str() == *id));
    let missing: Vec<Profile> = missing.map(|(id, name)| Profile::new(*id).name(*name)).collect();
    if !missing.is_empty() {
        server.upsert_users(missing).await?;
    }
    let [owner, members @ ..] = ids;
    let data = [("name".to_owned(), "General".into())];
    server.as_user(owner)?.channel(CHANNEL.0, CHANNEL.1)?.get_or_create(&members, data).await?;
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
    let [(first, _), (second, _), ..] = DEMO_USERS;
    if let Some(demo) = running.demo_url() {
        println!("  Demo chat    {demo}?user={first}");
        println!("               {demo}?user={second}          (in a second tab)");
        println!("               {demo}?side={first},{second}    (both side by side)");
    }
    println!("  API          http://{address}/v1     reference: http://{address}/docs");
    println!("  App key      {key}");
    println!("  Secret       {secret}");
    println!();
    println!("  In two terminals, in {}:{}:", CHANNEL.0, CHANNEL.1);
    println!();
    for id in [first, second] {
        let token = server.create_token(id, Some(TOKEN_TTL))?;
        println!("  {program} chat --url http://{address} --app-key {key} --token {token}");
        println!();
    }
    println!("  Ctrl-C ends it.");
    Ok(())
}
