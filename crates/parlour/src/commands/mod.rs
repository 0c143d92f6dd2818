//! The commands, one file each.

pub(crate) mod app;
pub(crate) mod ban;
pub(crate) mod chat;
pub(crate) mod dev;
pub(crate) mod drain;
pub(crate) mod load;
pub(crate) mod openapi;
pub(crate) mod send;
pub(crate) mod serve;
pub(crate) mod server;
pub(crate) mod tail;
pub(crate) mod token;
pub(crate) mod usage;
pub(crate) mod user;
pub(crate) mod version;

use std::process::ExitCode;

use parlour_client::wire::ErrorCode;

/// Wrong usage: clap's own code for it.
const EXIT_USAGE: u8 = 2;
/// The server could not be reached.
const EXIT_UNREACHABLE: u8 = 3;

/// A mistake in how the command was called.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Says what went wrong, and which exit code says it to programs.
#[expect(clippy::print_stderr, reason = "a command's last words")]
pub(crate) fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("parlour: {error:#}");
    let unreachable = [ErrorCode::Network.as_str(), ErrorCode::Timeout.as_str()];
    let code = match error.downcast_ref::<parlour_client::Error>() {
        Some(error) if unreachable.contains(&error.code()) => EXIT_UNREACHABLE,
        _ if error.is::<Usage>() => EXIT_USAGE,
        _ => 1,
    };
    ExitCode::from(code)
}
