//! `cargo xtask codegen`: the committed files that have a source elsewhere.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::run::{output, root};
use crate::{error_pages, node, prerequisites, run, typescript};

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
    pub(crate) bytes: Vec<u8>,
}

impl Generated {
    pub(crate) fn text(path: impl Into<PathBuf>, text: String) -> Self {
        Self { path: path.into(), bytes: text.into_bytes() }
    }
}

/// Where generated files come from.
struct Source {
    generate: fn() -> Result<Vec<Generated>>,
    /// Folders in which every file is from here: one that is not is left over.
    folders: &'static [&'static str],
}

/// Each is asked by itself, so that one that fails says so and the others are still written; and in this order,
/// because the demo is built with the types.
const SOURCES: &[Source] = &[
    Source { generate: pages, folders: &["spec/errors", "docs/src/errors"] },
    Source { generate: quickstart, folders: &[] },
    Source { generate: wire, folders: &[] },
    Source { generate: demo, folders: &[DEMO] },
];

/// Where the demo's bundle is, for the server to embed.
const DEMO: &str = "web/demo/dist";

pub(crate) fn run(mode: Mode) -> Result<()> {
    let mut wrong = Vec::new();
    for source in SOURCES {
        if let Err(error) = run_one(source, mode, &mut wrong) {
            wrong.push(format!("{error:#}"));
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let mend = if mode == Mode::Check { ". `cargo xtask codegen` mends what differs" } else { "" };
    bail!("{}{mend}", wrong.join("; "))
}

/// Writes what this source generates, or tells what differs.
fn run_one(source: &Source, mode: Mode, wrong: &mut Vec<String>) -> Result<()> {
    let files = (source.generate)()?;
    for file in files.iter().filter(|file| !is_committed(file)) {
        match mode {
            Mode::Write => write(file)?,
            Mode::Check => wrong.push(format!("{} is not what its source says", file.path.display())),
        }
    }
    for path in left_over(source.folders, &files)? {
        match mode {
            Mode::Write => remove(&path)?,
            Mode::Check => wrong.push(format!("{} has no source any more", path.display())),
        }
    }
    Ok(())
}

/// The demo as Vite builds it: the same sources give the same bytes on every machine.
fn demo() -> Result<Vec<Generated>> {
    prerequisites::install_node_packages()?;
    let files = node::bundle("web/demo")?;
    Ok(files.into_iter().map(|(path, bytes)| Generated { path: Path::new(DEMO).join(path), bytes }).collect())
}

fn pages() -> Result<Vec<Generated>> {
    let mut pages = error_pages::all();
    pages.push(error_pages::summary(&read(error_pages::SUMMARY)?)?);
    Ok(pages)
}

/// The pages that show the tested example, with it between their markers.
fn quickstart() -> Result<Vec<Generated>> {
    let example = read("crates/parlour-client/examples/quickstart.rs")?;
    let tested = dedented(marked(&example, "// quickstart: begin\n", "// quickstart: end\n")?);
    let shown = |page: &'static str| {
        let text = read(page)?;
        let (before, after) =
            text.split_once("<!-- quickstart -->\n").with_context(|| format!("{page} has no quickstart"))?;
        let (_, after) = after
            .split_once("<!-- /quickstart -->\n")
            .with_context(|| format!("the quickstart of {page} has no end"))?;
        let text =
            format!("{before}<!-- quickstart -->\n```rust\n{tested}```\n<!-- /quickstart -->\n{after}");
        Ok(Generated::text(page, text))
    };
    ["README.md", "docs/src/rust.md"].into_iter().map(shown).collect()
}

/// openapi.json and the types that are made from it.
fn wire() -> Result<Vec<Generated>> {
    let openapi = openapi()?;
    let document = serde_json::from_str(&openapi).context("`parlour openapi` printed no JSON")?;
    let types = typescript::generate(&document)?;
    Ok(vec![
        Generated::text("spec/openapi.json", openapi),
        Generated::text("clients/typescript/packages/client/src/wire.ts", types),
    ])
}

/// The document as the server's own routes and types describe it.
fn openapi() -> Result<String> {
    let mut command = Command::new(run::parlour()?);
    command.arg("openapi").current_dir(root());
    let text = output(command)?;
    Ok(format!("{}\n", text.trim_end()))
}

/// Lines of a function's body, as they stand at the left margin; the indentation of the end's marker goes with
/// them.
fn dedented(lines: &str) -> String {
    let lines = lines.lines().filter(|line| line.is_empty() || !line.trim().is_empty());
    lines.map(|line| format!("{}\n", line.strip_prefix("    ").unwrap_or(line))).collect()
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
    std::fs::write(&path, &file.bytes).with_context(|| format!("{} cannot be written", path.display()))?;
    println!("wrote {}", file.path.display());
    Ok(())
}

fn remove(path: &Path) -> Result<()> {
    std::fs::remove_file(root().join(path))?;
    println!("removed {}", path.display());
    Ok(())
}

fn is_committed(file: &Generated) -> bool {
    std::fs::read(root().join(&file.path)).is_ok_and(|bytes| bytes == file.bytes)
}

fn left_over(folders: &[&str], files: &[Generated]) -> Result<Vec<PathBuf>> {
    let generated: BTreeSet<&Path> = files.iter().map(|file| file.path.as_path()).collect();
    let mut found = Vec::new();
    let mut waiting: Vec<PathBuf> = folders.iter().map(PathBuf::from).collect();
    while let Some(folder) = waiting.pop() {
        let Ok(entries) = std::fs::read_dir(root().join(&folder)) else { continue };
        for entry in entries {
            let path = folder.join(entry?.file_name());
            if root().join(&path).is_dir() {
                waiting.push(path);
            } else if !generated.contains(path.as_path()) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_of_a_function_is_shown_at_the_left_margin() {
        let example = "    // begin\n    use a;\n\n    if a {\n        b();\n    }\n    // end\n";
        let lines = marked(example, "// begin\n", "// end\n").unwrap();
        assert_eq!(dedented(lines), "use a;\n\nif a {\n    b();\n}\n");
    }

    #[test]
    fn a_missing_marker_is_named() {
        assert_eq!(
            marked("nothing", "// begin\n", "// end\n").unwrap_err().to_string(),
            "no line \"// begin\""
        );
    }
}
