//! `parlour drain`

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

use super::Usage;
use super::chat::print_line;
use super::token::duration;

/// How often it is looked whether the server has ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Stops the server that serves a data folder on this machine: every client is told when to come back, spread over
/// half a minute behind the restart. Ends when the server has.
#[derive(Args)]
pub(crate) struct DrainArgs {
    /// The server's data folder
    #[arg(long, default_value = "parlour-data")]
    data: PathBuf,
    /// Give up waiting after this; the server goes on stopping
    #[arg(long, default_value = "30s", value_parser = duration)]
    timeout: Duration,
}

pub(crate) async fn run(args: DrainArgs) -> anyhow::Result<()> {
    let begun = Instant::now();
    let Some(pid) = parlour_server::served_by(&args.data)? else {
        let data = args.data.display();
        return Err(
            Usage(format!("no server of this machine serves {data}; name its folder by --data")).into()
        );
    };
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw).context("the lock names no process")?;
    kill_process(process, Signal::TERM).with_context(|| format!("process {pid} cannot be told to stop"))?;
    while parlour_server::served_by(&args.data)? == Some(pid) {
        if begun.elapsed() >= args.timeout {
            anyhow::bail!("process {pid} was told to stop and is still at it after {:?}", args.timeout);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    print_line(&format!("stopped process {pid} in {} ms", begun.elapsed().as_millis()))
}
