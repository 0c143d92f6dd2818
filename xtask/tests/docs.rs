//! What a stranger reads is true: links lead somewhere, the quickstart is the tested one, and it is short.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::path::{Path, PathBuf};

const PAGES: &[&str] =
    &["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "spec", "docs", "bench"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every Markdown page that people read, below `PAGES`.
fn pages() -> Vec<PathBuf> {
    let mut waiting: Vec<PathBuf> = PAGES.iter().map(|page| root().join(page)).collect();
    let mut pages = Vec::new();
    while let Some(path) = waiting.pop() {
        if path.ends_with("node_modules") {
            // What others wrote is installed there.
        } else if path.is_dir() {
            waiting.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
    assert!(pages.len() > 10, "the pages were not found: {pages:?}");
    pages
}

/// The targets of `[text](target)` outside code.
fn links(text: &str) -> Vec<&str> {
    let mut is_code = false;
    let mut found = Vec::new();
    for line in text.lines() {
        is_code ^= line.trim_start().starts_with("```");
        if !is_code {
            found.extend(line.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0)));
        }
    }
    found
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    let mut broken = Vec::new();
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        for link in links(&text).into_iter().filter(|link| !link.contains("://") && !link.starts_with('#')) {
            let target = link.split('#').next().unwrap();
            if !page.parent().unwrap().join(target).exists() {
                broken.push(format!("{}: {link}", page.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_page_of_the_book_stands_in_its_table_of_contents() {
    let source = root().join("docs/src");
    let summary = std::fs::read_to_string(source.join("SUMMARY.md")).unwrap();
    let listed: Vec<PathBuf> = links(&summary).into_iter().map(|link| source.join(link)).collect();
    for page in pages().into_iter().filter(|page| page.starts_with(&source)) {
        assert!(page.ends_with("SUMMARY.md") || listed.contains(&page), "{}", page.display());
    }
}

#[test]
fn the_quickstart_is_the_tested_example_and_at_most_15_lines() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let example = read("crates/parlour-client/examples/quickstart.rs");
    let tested = between(&example, "// quickstart: begin\n", "    // quickstart: end\n");
    let at_the_margin: String =
        tested.lines().map(|line| format!("{}\n", line.strip_prefix("    ").unwrap_or(line))).collect();
    assert!(at_the_margin.lines().count() <= 15, "{at_the_margin}");
    for page in ["README.md", "docs/src/rust.md"] {
        let text = read(page);
        let shown = between(&text, "<!-- quickstart -->\n```rust\n", "```\n<!-- /quickstart -->");
        assert_eq!(shown, at_the_margin, "`cargo xtask codegen` copies the example into {page}");
    }
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let (_, after) = text.split_once(begin).unwrap_or_else(|| panic!("no {begin:?}"));
    after.split_once(end).unwrap_or_else(|| panic!("no {end:?}")).0
}
