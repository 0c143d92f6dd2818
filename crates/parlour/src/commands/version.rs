//! `parlour version`

use clap::Args;
use parlour_client::wire::frames::PROTOCOL_VERSION;
use serde_json::json;

use super::chat::print_line;

/// Prints the version.
#[derive(Args)]
pub(crate) struct VersionArgs {
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: VersionArgs) -> anyhow::Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    if args.json {
        print_line(&json!({ "version": version, "protocol": PROTOCOL_VERSION }).to_string())
    } else {
        print_line(&format!("parlour {version} (protocol {PROTOCOL_VERSION})"))
    }
}
