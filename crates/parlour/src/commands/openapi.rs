//! `parlour openapi`

#![expect(clippy::print_stdout, reason = "a command's output")]

/// Prints the API's description.
pub(crate) fn run() -> anyhow::Result<()> {
    println!("{}", parlour_server::openapi().to_pretty_json()?);
    Ok(())
}
