//! `cargo xtask codegen`: the committed files that have a source elsewhere.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::run::{cargo, output, root};
use crate::{error_pages, run, typescript};

/// What to do with what would be written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Write,
    /// Fail where a committed file differs.
    Check,
}

/// A file, by its path from the root, as it should be.
pub(crate) struct Generated {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// Folders in which every file is generated: one that is not is left over.
const OWN_FOLDERS: &[&str] = &["spec/errors", "docs/src/errors"];

pub(crate) fn run(mode: Mode) -> Result<()> {
    let files = generate()?;
    let differing: Vec<&Generated> = files.iter().filter(|file| !is_committed(file)).collect();
    let left_over = left_over(&files)?;
    if mode == Mode::Write {
        for file in &differing {
            write(file)?;
            println!("wrote {}", file.path.display());
        }
        for path in &left_over {
            std::fs::remove_file(root().join(path))?;
            println!("removed {}", path.display());
        }
        return Ok(());
    }
    let paths = differing.iter().map(|file| &file.path).chain(&left_over);
    let paths: Vec<String> = paths.map(|path| path.display().to_string()).collect();
    if !paths.is_empty() {
        bail!("not what their sources say: {}. `cargo xtask codegen` mends them", paths.join(", "));
    }
    Ok(())
}

/// Every generated file as it should be.
fn generate() -> Result<Vec<Generated>> {
    let openapi = openapi()?;
    let document = serde_json::from_str(&openapi).context("`parlour openapi` printed no JSON")?;
    let mut files = vec![
        Generated { path: "spec/openapi.json".into(), text: openapi },
        Generated {
            path: "clients/typescript/packages/client/src/wire.ts".into(),
            text: typescript::generate(&document)?,
        },
        quickstart()?,
        error_pages::summary(&read(error_pages::SUMMARY)?)?,
    ];
    files.extend(error_pages::all());
    Ok(files)
}

/// The document as the server's own routes and types describe it. Built as a part of the whole workspace,
/// because that is what the tests have just built.
fn openapi() -> Result<String> {
    run::run(cargo(&["build", "--quiet", "--workspace", "--bin", "parlour"]))?;
    let xtask = std::env::current_exe()?;
    let parlour = xtask.with_file_name(format!("parlour{}", std::env::consts::EXE_SUFFIX));
    let mut command = Command::new(parlour);
    command.arg("openapi").current_dir(root());
    let text = output(command)?;
    Ok(format!("{}\n", text.trim_end()))
}

/// The README with the tested example between its markers.
fn quickstart() -> Result<Generated> {
    let example = read("crates/parlour-client/examples/quickstart.rs")?;
    let readme = read("README.md")?;
    let shown =
        format!("```rust\n{}```\n", marked(&example, "// quickstart: begin\n", "// quickstart: end\n")?);
    let old = marked(&readme, "<!-- quickstart -->\n", "<!-- /quickstart -->\n")?;
    Ok(Generated { path: "README.md".into(), text: readme.replacen(old, &shown, 1) })
}

/// What stands between two markers, each a line of its own.
fn marked<'a>(text: &'a str, begin: &str, end: &str) -> Result<&'a str> {
    let (_, after) = text.split_once(begin).with_context(|| format!("no line {:?}", begin.trim_end()))?;
    let (between, _) = after.split_once(end).with_context(|| format!("no line {:?}", end.trim_end()))?;
    Ok(between)
}

fn read(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    std::fs::read_to_string(root().join(path)).with_context(|| format!("{} cannot be read", path.display()))
}

fn write(file: &Generated) -> Result<()> {
    let path = root().join(&file.path);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(&path, &file.text).with_context(|| format!("{} cannot be written", path.display()))
}

fn is_committed(file: &Generated) -> bool {
    std::fs::read_to_string(root().join(&file.path)).is_ok_and(|text| text == file.text)
}

fn left_over(files: &[Generated]) -> Result<Vec<PathBuf>> {
    let generated: BTreeSet<&Path> = files.iter().map(|file| file.path.as_path()).collect();
    let mut found = Vec::new();
    for folder in OWN_FOLDERS {
        let Ok(entries) = std::fs::read_dir(root().join(folder)) else { continue };
        for entry in entries {
            let path = Path::new(folder).join(entry?.file_name());
            if !generated.contains(path.as_path()) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
