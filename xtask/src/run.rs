//! Running other programs from the root of the project.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::prerequisites;

/// The root of the project, wherever the chore was started from.
pub(crate) fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_owned()
}

/// A `cargo` of the toolchain that started this one, at the root.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(root());
    command
}

/// The command as one could type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy();
    let args = command.get_args().map(|arg| arg.to_string_lossy());
    std::iter::once(program).chain(args).collect::<Vec<_>>().join(" ")
}

/// Runs the command with this program's own input and output.
pub(crate) fn run(mut command: Command) -> Result<()> {
    let shown = shown(&command);
    let status = command.status().with_context(|| format!("`{shown}` could not be started"))?;
    if !status.success() {
        bail!("`{shown}` ended with {status}");
    }
    Ok(())
}

/// What the command prints on its standard output.
pub(crate) fn output(mut command: Command) -> Result<String> {
    let shown = shown(&command);
    let output = command
        .stderr(std::process::Stdio::inherit())
        .output()
        .with_context(|| format!("`{shown}` could not be started"))?;
    if !output.status.success() {
        bail!("`{shown}` ended with {}", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{shown}` printed something that is not UTF-8"))
}

/// The product's binary, built. As a test's companion: then it is the very one that the tests have just built, and
/// building it again costs nothing.
pub(crate) fn parlour() -> Result<PathBuf> {
    run(cargo(&["test", "--quiet", "--workspace", "--test", "python", "--no-run"]))?;
    let xtask = std::env::current_exe()?;
    Ok(xtask.with_file_name(format!("parlour{}", std::env::consts::EXE_SUFFIX)))
}

/// `cargo xtask bench`: the product is built first, so that the bench only has to start it.
pub(crate) fn bench(args: &[String]) -> Result<()> {
    if args.first().is_some_and(|part| part == "peers") {
        prerequisites::install_peers()?;
    }
    run(cargo(&["build", "--release", "--package", "parlour", "--package", "parlour-bench"]))?;
    let mut bench = cargo(&["run", "--release", "--quiet", "--package", "parlour-bench", "--"]);
    bench.args(args);
    run(bench)
}

/// All workloads of the bench in small, with the binary that the tests have built. Its figures mean nothing; that no
/// event is lost, doubled or out of order under any of its loads does.
pub(crate) fn small_bench() -> Result<()> {
    let parlour = parlour()?;
    let mut bench = cargo(&["run", "--quiet", "--package", "parlour-bench", "--", "--quick", "--parlour"]);
    bench.arg(parlour);
    run(bench)
}

/// `cargo xtask sim`: how many seeds, or which one, is told through the environment.
pub(crate) fn sim(seeds: Option<u64>, seed: Option<u64>) -> Result<()> {
    let packages = ["--package", "parlour-proto", "--package", "parlour-sim"];
    let mut tests = cargo(&["test"]);
    tests.args(packages).args(["--tests", "--", "--nocapture"]);
    if let Some(seeds) = seeds {
        tests.env("PARLOUR_SEEDS", seeds.to_string());
    }
    if let Some(seed) = seed {
        tests.env("PARLOUR_SEED", seed.to_string());
    }
    run(tests)
}
