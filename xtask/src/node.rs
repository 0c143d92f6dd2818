//! The packages in TypeScript and the web pages: their types, tests and bundles. Node and npm are those of `PATH`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::run::{self, root};
use crate::suites::Reader;
use crate::vitest;

/// Folders of the workspace; one that ends in `*` holds packages. The same as in package.json.
const WORKSPACES: &[&str] = &["clients/typescript/packages/*", "web/*", "tests/browser"];

/// A tool that `npm ci` installed. `--no`: what is not there is an error, and never fetched.
fn npx(args: &[&str]) -> Command {
    let mut command = Command::new("npx");
    command.args(["--no", "--"]).args(args).current_dir(root());
    // What npm thinks of the settings of this machine is no concern of the project.
    command.env("npm_config_loglevel", "error");
    command
}

/// The packages, by their folders from the root.
fn packages() -> Result<Vec<PathBuf>> {
    let mut packages = Vec::new();
    for workspace in WORKSPACES {
        let Some(folder) = workspace.strip_suffix("/*") else {
            packages.push(PathBuf::from(workspace));
            continue;
        };
        let entries =
            std::fs::read_dir(root().join(folder)).with_context(|| format!("{folder} cannot be read"))?;
        for entry in entries {
            packages.push(Path::new(folder).join(entry?.file_name()));
        }
    }
    packages.retain(|package| root().join(package).join("package.json").exists());
    packages.sort();
    Ok(packages)
}

/// Checks the types of every package, all at once: each takes seconds, most of them on one core.
pub(crate) fn check_types() -> Result<()> {
    let mut checks = Vec::new();
    for package in packages()? {
        if !root().join(&package).join("tsconfig.json").exists() {
            bail!("{} has no tsconfig.json, so nothing checks its types", package.display());
        }
        let mut command = npx(&["tsc", "--noEmit", "--project"]);
        command.arg(&package).stdin(Stdio::null()).stdout(Stdio::piped());
        let child = command.spawn().context("`npx` could not be started")?;
        checks.push((package, child));
    }
    let mut wrong = Vec::new();
    for (package, child) in checks {
        let output = child.wait_with_output()?;
        print!("{}", String::from_utf8_lossy(&output.stdout));
        if !output.status.success() {
            wrong.push(package.display().to_string());
        }
    }
    if !wrong.is_empty() {
        bail!("the types of {} do not fit", wrong.join(", "));
    }
    Ok(())
}

/// The tests of all packages but those in a browser. Some start the server.
pub(crate) fn tests(reader: &mut Reader) -> Result<()> {
    run_vitest(&[], reader)
}

/// What people see, in a real browser, on the real server.
pub(crate) fn browser_tests(reader: &mut Reader) -> Result<()> {
    run_vitest(&["--root", "tests/browser"], reader)
}

fn run_vitest(args: &[&str], reader: &mut Reader) -> Result<()> {
    let parlour = run::parlour()?;
    let folder = tempfile::tempdir()?;
    let report = folder.path().join("report.json");
    let mut command = npx(&["vitest", "run"]);
    command.args(args).args(["--reporter=default", "--reporter=json", "--outputFile.json"]).arg(&report);
    command.env("PARLOUR_BIN", parlour).stdin(Stdio::null());
    let ran = run::run(command);
    // Also a run that failed says what passed.
    let suites = match std::fs::read_to_string(&report) {
        Ok(report) => vitest::read(&report, &root())?,
        Err(error) => return ran.and_then(|()| Err(error).context("vitest wrote no report")),
    };
    let count: u64 = suites.iter().map(|suite| suite.passed + suite.failed).sum();
    reader.suites.extend(suites);
    ran?;
    if count == 0 {
        bail!("vitest ran nothing");
    }
    Ok(())
}

/// Builds a web page; the files of the bundle, by their paths within it.
pub(crate) fn bundle(page: &str) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let folder = tempfile::tempdir()?;
    let built = folder.path().join("dist");
    let mut vite = npx(&["vite", "build", page, "--logLevel", "warn", "--emptyOutDir", "--outDir"]);
    vite.arg(&built);
    run::run(vite)?;
    let mut files = Vec::new();
    let mut waiting = vec![built.clone()];
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            for entry in std::fs::read_dir(&path)? {
                waiting.push(entry?.path());
            }
        } else {
            files.push((path.strip_prefix(&built)?.to_owned(), std::fs::read(&path)?));
        }
    }
    if !files.iter().any(|(path, _)| path.as_os_str() == OsStr::new("index.html")) {
        bail!("the bundle of {page} has no index.html");
    }
    files.sort();
    Ok(files)
}
