//! Log lines: pretty on a terminal, JSON otherwise; on stderr, so that stdout stays what the command says.

use std::io::IsTerminal;

use parlour_server::config::{LogConfig, LogFormat};
use tracing_subscriber::EnvFilter;

/// Starts logging.
///
/// # Errors
/// A level that is no filter.
pub(crate) fn start(config: &LogConfig) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(config.filter())
        .map_err(|error| anyhow::anyhow!("log.level {:?} is no level or filter: {error}", config.level))?;
    let pretty = match config.format {
        LogFormat::Auto => std::io::stderr().is_terminal(),
        LogFormat::Pretty => true,
        LogFormat::Json => false,
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if pretty {
        builder.with_target(false).init();
    } else {
        builder.json().flatten_event(true).with_ansi(false).init();
    }
    Ok(())
}
