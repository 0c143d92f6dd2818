//! `cargo xtask mutations`: of each section of the features one line is taken out of the code, and a named test must
//! notice.
//!
//! Not part of `test`: each line is a build of its own. That the lines and the tests are there is a test.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::run::{self, cargo, root};

/// A line whose absence somebody must notice.
#[derive(Debug, PartialEq)]
struct Mutation {
    /// The statement that the line keeps.
    statement: String,
    file: String,
    line: String,
    /// The name of a test of the server's.
    test: String,
}

fn list() -> PathBuf {
    root().join("spec/mutations.txt")
}

/// Takes each line out of a copy of the project, one at a time, and runs its test there.
///
/// # Errors
/// A test passes without its line, or does not run.
pub(crate) fn run() -> Result<()> {
    let mutations = read(&std::fs::read_to_string(list())?)?;
    let copy = copy()?;
    for mutation in &mutations {
        let file = copy.join(&mutation.file);
        let whole = std::fs::read_to_string(&file)?;
        std::fs::write(&file, mutation.taken_out_of(&whole)?)?;
        let verdict = mutation.verdict(&copy);
        std::fs::write(&file, whole)?;
        verdict?;
        println!("noticed: {} ({})", mutation.statement, mutation.test);
    }
    println!("{} lines were taken out, and each was missed", mutations.len());
    Ok(())
}

/// The project as it stands, in a folder of its own. What cargo built of others is shared.
fn copy() -> Result<PathBuf> {
    let copy = root().join("target/mutations");
    if copy.exists() {
        std::fs::remove_dir_all(&copy)?;
    }
    let mut files = Command::new("git");
    files.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(root());
    for name in run::output(files)?.split_terminator('\0') {
        let (from, to) = (root().join(name), copy.join(name));
        // One that was deleted and is still in the index.
        if !from.exists() {
            continue;
        }
        std::fs::create_dir_all(to.parent().unwrap_or(&copy))?;
        std::fs::copy(&from, &to).with_context(|| format!("{name} cannot be copied"))?;
    }
    Ok(copy)
}

impl Mutation {
    /// The file's text without the line.
    fn taken_out_of(&self, whole: &str) -> Result<String> {
        let Self { file, line, .. } = self;
        match whole.lines().filter(|other| other.trim() == line).count() {
            1 => {
                Ok(whole.lines().filter(|other| other.trim() != line).flat_map(|line| [line, "\n"]).collect())
            }
            count => bail!("`{line}` stands {count} times in {file}, and should once"),
        }
    }

    /// Whether the test fails in the copy.
    fn verdict(&self, copy: &Path) -> Result<()> {
        let mut tests = cargo(&["test", "--workspace", "--test", "server", "--", "--exact", &self.test]);
        tests.current_dir(copy).env("CARGO_TARGET_DIR", root().join("target"));
        let output = tests.output().context("cargo could not be started")?;
        let said = String::from_utf8_lossy(&output.stdout);
        let of_test = |end: &str| said.lines().any(|line| line == format!("test {} ... {end}", self.test));
        if of_test("FAILED") {
            return Ok(());
        }
        let Self { statement, file, line, test } = self;
        if of_test("ok") {
            bail!("{statement}: nobody notices that `{line}` is gone from {file}; {test} passes");
        }
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("{statement}: {test} did not run without `{line}`:\n{said}\n{errors}")
    }
}

/// Blocks of a statement and below it, indented, `file`, `line` and `test`; lines with `#` say something.
fn read(text: &str) -> Result<Vec<Mutation>> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    let of = |line: &str, key: &str| {
        line.trim_start()
            .strip_prefix(key)
            .map(|rest| rest.trim().to_owned())
            .with_context(|| format!("`{line}` should begin with `{key}`"))
    };
    let (blocks, []) = lines.as_chunks::<4>() else {
        bail!("a block has four lines: what, file, line, test")
    };
    blocks
        .iter()
        .map(|[statement, file, line, test]| {
            Ok(Mutation {
                statement: (*statement).to_owned(),
                file: of(file, "file ")?,
                line: of(line, "line ")?,
                test: of(test, "test ")?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_section_has_a_line_that_is_there_and_a_test_that_is_there() {
        let mutations = read(&std::fs::read_to_string(list()).unwrap()).unwrap();
        for section in ["F1.", "F2.", "F3.", "F4.", "F5.", "F14."] {
            assert!(mutations.iter().any(|mutation| mutation.statement.starts_with(section)), "{section}");
        }
        for mutation in mutations {
            let whole = std::fs::read_to_string(root().join(&mutation.file)).unwrap();
            let rest = mutation.taken_out_of(&whole).unwrap();
            assert_eq!(rest.lines().count() + 1, whole.lines().count());
            let (module, name) = mutation.test.split_once("::").unwrap();
            let tests = root().join(format!("crates/parlour-server/tests/server/{module}.rs"));
            let tests = std::fs::read_to_string(tests).unwrap();
            assert!(tests.contains(&format!("async fn {name}(")), "there is no test {}", mutation.test);
            let id = mutation.statement.split(' ').next().unwrap().to_lowercase().replace('.', "_");
            assert!(mutation.test.contains(&format!("_{id}")), "{} does not name {id}", mutation.test);
        }
    }

    #[test]
    fn a_block_that_cannot_be_read_says_what_is_missing() {
        let error = read("F1.1 x\n  file a\n  line b\n").unwrap_err();
        assert!(error.to_string().contains("four lines"), "{error}");
        let error = read("F1.1 x\n  file a\n  lines b\n  test c\n").unwrap_err();
        assert!(error.to_string().contains("`line `"), "{error}");
    }
}
