//! A page for each error code and each close code, from the enums that the server itself uses.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use parlour_wire::error::ErrorResponse;
use parlour_wire::{CloseBehaviour, CloseCode, ErrorCode};

use crate::codegen::Generated;

/// The book's table of contents, which lists every page.
pub(crate) const SUMMARY: &str = "docs/src/SUMMARY.md";
/// The same pages twice: beside the contract, and in the book.
const FOLDERS: &[&str] = &["spec/errors", "docs/src/errors"];
const NOTE: &str = "<!-- Generated from parlour-wire by `cargo xtask codegen`. -->\n\n";

/// Every page, in both folders.
pub(crate) fn all() -> Vec<Generated> {
    let mut pages = vec![("README.md".to_owned(), errors_index()), ("close.md".to_owned(), close_index())];
    pages.extend(ErrorCode::ALL.iter().map(|code| (format!("{code}.md"), error_page(*code))));
    pages.extend(CloseCode::ALL.iter().map(|code| (close_file(*code), close_page(*code))));
    let in_folder = |folder: &'static str| {
        pages
            .iter()
            .map(move |(file, text)| Generated::text(Path::new(folder).join(file), format!("{NOTE}{text}")))
    };
    FOLDERS.iter().copied().flat_map(in_folder).collect()
}

/// The table of contents with a line for each page under `Errors` and `Close codes`.
pub(crate) fn summary(old: &str) -> Result<Generated> {
    let errors = ErrorCode::ALL.iter().map(|code| format!("  - [{code}](errors/{code}.md)\n"));
    let closes = CloseCode::ALL.iter().map(|code| format!("  - [{code}](errors/{})\n", close_file(*code)));
    let text = with_children(old, "- [Errors](errors/README.md)\n", &errors.collect::<String>())?;
    let text = with_children(&text, "- [Close codes](errors/close.md)\n", &closes.collect::<String>())?;
    Ok(Generated::text(SUMMARY, text))
}

/// Replaces the indented lines that follow `parent`.
fn with_children(text: &str, parent: &str, children: &str) -> Result<String> {
    let (before, after) = text.split_once(parent).with_context(|| format!("{SUMMARY} has no {parent:?}"))?;
    let rest: String = after.split_inclusive('\n').skip_while(|line| line.starts_with("  ")).collect();
    Ok(format!("{before}{parent}{children}{rest}"))
}

fn error_page(code: ErrorCode) -> String {
    let number = code.number().map_or("none".to_owned(), |number| number.to_string());
    let retryable = if code.retryable() { "yes" } else { "no" };
    let mut example = code.error();
    example.request_id = "req_0198f2c1".to_owned();
    let example = serde_json::to_string_pretty(&ErrorResponse { error: example }).unwrap_or_default();
    format!(
        "# `{code}`\n\n{}\n\n| | |\n|---|---|\n| HTTP status | {} |\n| number | {number} |\n| retryable | \
         {retryable} |\n\n## What to do\n\n{}\n\n{}\n\n## As it comes\n\n```json\n{example}\n```\n",
        code.title(),
        code.status(),
        code.hint(),
        retry_advice(code),
    )
}

fn retry_advice(code: ErrorCode) -> &'static str {
    if code.retryable() {
        "The same request may succeed later, unchanged: wait for `retry_after` seconds where it is given, \
         else back off. A send is repeated with the same message id."
    } else {
        "The same request will fail again until something changes."
    }
}

fn errors_index() -> String {
    let mut page = "# Errors\n\nEvery refusal has one shape, over HTTP and in frames; `code` is stable and \
                    never reused. `number` is the code that clients of other chat products know.\n\n\
                    | code | status | number | retryable | what happened |\n|---|---|---|---|---|\n"
        .to_owned();
    for code in ErrorCode::ALL {
        let number = code.number().map_or(String::new(), |number| number.to_string());
        let retryable = if code.retryable() { "yes" } else { "no" };
        row(
            &mut page,
            &format!("[`{code}`]({code}.md)"),
            &[&code.status().to_string(), &number, retryable, code.title()],
        );
    }
    page
}

fn close_file(code: CloseCode) -> String {
    format!("close-{}.md", code.0)
}

fn close_page(code: CloseCode) -> String {
    format!(
        "# {} `{}`\n\n{}\n\n## What the client does\n\n{}\n",
        code.0,
        code.name(),
        code.meaning(),
        behaviour(code.behaviour()),
    )
}

fn close_index() -> String {
    let mut page =
        "# Close codes\n\nA code's range says what to do, so that a client of today does the right \
                    thing with a code of tomorrow: 4000–4099 do not come back unchanged, 4100–4199 come back \
                    later, 4200–4299 come back at once.\n\n\
                    | code | name | what it means | what the client does |\n|---|---|---|---|\n"
            .to_owned();
    for code in CloseCode::ALL {
        let link = format!("[{}]({})", code.0, close_file(*code));
        row(&mut page, &link, &[&format!("`{}`", code.name()), code.meaning(), behaviour(code.behaviour())]);
    }
    page
}

fn row(page: &mut String, first: &str, rest: &[&str]) {
    // Writing to a string cannot fail.
    let _ = writeln!(page, "| {first} | {} |", rest.join(" | "));
}

fn behaviour(behaviour: CloseBehaviour) -> &'static str {
    match behaviour {
        CloseBehaviour::Terminal => "It does not come back by itself: the app has to act first.",
        CloseBehaviour::ComeBackLater => {
            "It comes back after at least one second, or after the `retry_after_ms` of the `bye` before it."
        }
        CloseBehaviour::ComeBackAtOnce => "It comes back at once.",
        CloseBehaviour::Spread => "It comes back at a random moment within five seconds.",
        CloseBehaviour::Resume => "It comes back with the ordinary backoff.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_page_in_both_folders_and_every_page_its_code_f14_4() {
        let paths: Vec<String> = all().iter().map(|page| page.path.display().to_string()).collect();
        for folder in FOLDERS {
            for code in ErrorCode::ALL {
                assert!(paths.contains(&format!("{folder}/{code}.md")), "{code}");
            }
            for code in CloseCode::ALL {
                assert!(paths.contains(&format!("{folder}/close-{}.md", code.0)), "{code}");
            }
            for file in std::fs::read_dir(crate::run::root().join(folder)).unwrap() {
                let file = file.unwrap().file_name();
                let path = format!("{folder}/{}", file.display());
                assert!(paths.contains(&path), "{path} is of no code");
            }
        }
    }

    #[test]
    fn a_page_says_what_happened_and_what_to_do() {
        let page = error_page(ErrorCode::TokenExpired);
        for part in ["The token's `exp` is in the past.", "| number | 40 |", "Fetch a new token"] {
            assert!(page.contains(part), "{part}");
        }
    }

    #[test]
    fn the_table_of_contents_keeps_what_is_not_generated() {
        let old = "- [A](a.md)\n- [Errors](errors/README.md)\n  - [old](errors/old.md)\n\n- [Z](z.md)\n";
        let new = with_children(old, "- [Errors](errors/README.md)\n", "  - [new](errors/new.md)\n").unwrap();
        let expected = "- [A](a.md)\n- [Errors](errors/README.md)\n  - [new](errors/new.md)\n\n- [Z](z.md)\n";
        assert_eq!(new, expected);
    }
}
