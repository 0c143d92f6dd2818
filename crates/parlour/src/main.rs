//! Parlour: self-hosted in-app chat, in one binary.

mod commands;
mod logs;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Self-hosted in-app chat: server, tools, everything.
#[derive(Parser)]
#[command(name = "parlour", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start with no configuration: development mode, in memory, on this machine only.
    Dev(commands::dev::DevArgs),
    /// Start and keep the data.
    Serve(commands::serve::ServeArgs),
    /// Stop a server so that its clients come back spread out after the restart.
    Drain(commands::drain::DrainArgs),
    /// Make and read tokens.
    Token(commands::token::TokenArgs),
    /// Show the app, change its keys, take tokens back.
    App(commands::app::AppArgs),
    /// Ban users, let them in again, list bans and flags.
    Ban(commands::ban::BanArgs),
    /// Chat from a terminal.
    Chat(commands::chat::ChatArgs),
    /// Send one message.
    Send(commands::send::SendArgs),
    /// Print events as they come.
    Tail(commands::tail::TailArgs),
    /// Load-test a server: clients connect and chat.
    Load(commands::load::LoadArgs),
    /// Show, change, deactivate, delete and export users.
    User(commands::user::UserArgs),
    /// Show active users and concurrent connections, with a plot.
    Usage(commands::usage::UsageArgs),
    /// Print the version.
    Version(commands::version::VersionArgs),
    /// Print the API's description.
    #[command(hide = true)]
    Openapi,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return commands::fail(&error.into()),
    };
    let done = runtime.block_on(async {
        match cli.command {
            Command::Dev(args) => commands::dev::run(args).await,
            Command::Serve(args) => commands::serve::run(args).await,
            Command::Drain(args) => commands::drain::run(args).await,
            Command::Token(args) => commands::token::run(args).await,
            Command::App(args) => commands::app::run(args).await,
            Command::Ban(args) => commands::ban::run(args).await,
            Command::Chat(args) => commands::chat::run(args).await,
            Command::Send(args) => commands::send::run(args).await,
            Command::Tail(args) => commands::tail::run(args).await,
            Command::Load(args) => commands::load::run(args).await,
            Command::User(args) => commands::user::run(args).await,
            Command::Usage(args) => commands::usage::run(args).await,
            Command::Version(args) => commands::version::run(args).await,
            Command::Openapi => commands::openapi::run(),
        }
    });
    // A terminal that is being read keeps a thread of the runtime: it is not waited for.
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => commands::fail(&error),
    }
}
