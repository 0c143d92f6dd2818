//! Holds what `spec` states and the tests together: each statement stands in the name of a test or is marked as
//! open, and what stands in the name of a test is a statement.
//!
//! Only names are read. Whether a test proves what its name says is for who writes and reads it.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

/// The pages that state something, with the letter of their ids.
const PAGES: &[(&str, char)] = &[("spec/lifecycle.md", 'L'), ("spec/features.md", 'F')];

/// `L1.4`: the fourth statement of section 1 of the page whose letter is L.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Id {
    page: char,
    section: u32,
    number: u32,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}.{}", self.page, self.section, self.number)
    }
}

struct Statement {
    id: Id,
    /// No test holds it yet.
    is_open: bool,
}

/// A test, and the statements that it says it proves.
struct Test {
    name: String,
    ids: Vec<Id>,
}

// What does not fit together.

fn complaints(statements: &[Statement], tests: &[Test]) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut named: BTreeMap<Id, Vec<&str>> = BTreeMap::new();
    for test in tests {
        for id in &test.ids {
            named.entry(*id).or_default().push(&test.name);
        }
    }
    let mut known = BTreeSet::new();
    for Statement { id, is_open } in statements {
        if !known.insert(*id) {
            complaints.push(format!("{id} is stated twice"));
        }
        match (is_open, named.get(id)) {
            (false, None) => complaints.push(format!("{id} stands in no test's name, and is not (open)")),
            (true, Some(tests)) => complaints.push(format!("{id} is (open), and stands in {tests:?}")),
            (true, None) | (false, Some(_)) => {}
        }
    }
    for (id, tests) in named.iter().filter(|(id, _)| !known.contains(id)) {
        complaints.push(format!("{id} is stated nowhere, and stands in {tests:?}"));
    }
    complaints
}

// What is read.

/// The lines `- **L1.4** …` and `- **L1.4** (open) …`, each below the heading of its section.
fn statements(letter: char, page: &str) -> Vec<Statement> {
    let mut section = String::new();
    let mut found = Vec::new();
    for line in page.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            section = heading.split('.').next().unwrap().to_owned();
        }
        let Some((name, text)) = line.strip_prefix("- **").and_then(|rest| rest.split_once("** ")) else {
            assert!(!line.starts_with("- "), "a statement without an id: {line}");
            continue;
        };
        let [id] = ids_in_title(name)[..] else { panic!("{name} is no id: {line}") };
        assert_eq!(id.page, letter, "{id} stands on another page");
        assert_eq!(id.section.to_string(), section, "{id} stands below the heading of another section");
        found.push(Statement { id, is_open: text.starts_with("(open) ") });
    }
    found
}

/// The functions below `#[test]` or `#[tokio::test]`, and the rows of a table `stories!`, which makes tests of them.
fn rust_tests(text: &str) -> Vec<Test> {
    let mut found = Vec::new();
    let (mut is_test, mut is_table) = (false, false);
    for line in text.lines() {
        let code = line.trim_start();
        is_test |= code.starts_with("#[test]") || code.starts_with("#[tokio::test");
        is_table = (is_table || line == "stories! {") && line != "}";
        if is_test && let Some((_, name)) = code.split_once("fn ") {
            found.extend(test_named(name));
            is_test = false;
        } else if is_table && let Some(name) = code.strip_suffix(',') {
            found.extend(test_named(name));
        }
    }
    found
}

fn python_tests(text: &str) -> Vec<Test> {
    let names = text.lines().filter_map(|line| Some(line.split_once("def ")?.1));
    names.filter_map(test_named).collect()
}

fn test_named(code: &str) -> Option<Test> {
    let name = code.split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
    Some(Test { name: name.to_owned(), ids: ids_of_suffix(name) })
}

/// The texts given to `test`, `it` and `describe`, also behind `.each(…)`, where they stand on that line.
fn typescript_tests(text: &str) -> Vec<Test> {
    let begins = |line: &&str| ["test", "it", "describe", "])"].iter().any(|word| line.starts_with(word));
    let title = |line: &str| {
        let from = line.find("(\"").into_iter().chain(line.find("(`")).min()? + 1;
        let title = line[from + 1..].split(&line[from..=from]).next()?.to_owned();
        Some(Test { ids: ids_in_title(&title), name: title })
    };
    text.lines().map(str::trim_start).filter(begins).filter_map(title).collect()
}

/// A transcript is a test, and what it is about is its name.
fn transcript(text: &str) -> Test {
    let transcript: serde_json::Value = serde_json::from_str(text).unwrap();
    let about = transcript["about"].as_str().unwrap();
    Test { ids: ids_in_title(about), name: about.to_owned() }
}

/// The letter of a page, in either case, and what follows it.
fn lettered(word: &str) -> Option<(char, &str)> {
    let (first, rest) = word.split_at_checked(1)?;
    let letter = first.chars().next()?.to_ascii_uppercase();
    PAGES.iter().any(|(_, known)| *known == letter).then_some((letter, rest))
}

/// `…_l1_4_f2_2` names L1.4 and F2.2.
fn ids_of_suffix(name: &str) -> Vec<Id> {
    let mut parts: Vec<&str> = name.split('_').collect();
    let mut ids = Vec::new();
    while let [.., section, number] = parts[..]
        && let Some((page, section)) = lettered(section)
        && let (Ok(section), Ok(number)) = (section.parse(), number.parse())
    {
        ids.insert(0, Id { page, section, number });
        parts.truncate(parts.len() - 2);
    }
    ids
}

/// `… (L1.4, F2.2)` and `L1.4: …` name them as well.
fn ids_in_title(title: &str) -> Vec<Id> {
    let words = title.split(|c: char| !c.is_alphanumeric() && c != '.');
    let id = |word: &str| {
        let (page, rest) = lettered(word).filter(|_| word.starts_with(char::is_uppercase))?;
        let (section, number) = rest.trim_end_matches('.').split_once('.')?;
        Some(Id { page, section: section.parse().ok()?, number: number.parse().ok()? })
    };
    words.filter_map(id).collect()
}

// Where it is read.

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The files of the project below a folder, without what is built or installed.
fn files(folder: &str) -> Vec<(PathBuf, String)> {
    let mut waiting = vec![root().join(folder)];
    let mut found = Vec::new();
    while let Some(path) = waiting.pop() {
        if path.is_file() {
            let text = std::fs::read(&path).unwrap();
            found.push((path, String::from_utf8_lossy(&text).into_owned()));
        } else if !["target", "node_modules", "dist"].iter().any(|name| path.ends_with(name)) {
            waiting.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    found
}

fn all_tests() -> Vec<Test> {
    let mut found = Vec::new();
    let is = |path: &Path, end: &str| path.to_string_lossy().ends_with(end);
    for (path, text) in [files("crates"), files("xtask/src")].concat() {
        if is(&path, ".rs") {
            found.extend(rust_tests(&text));
        }
    }
    for (path, text) in [files("clients/typescript"), files("tests/browser")].concat() {
        if is(&path, ".test.ts") || is(&path, ".test.tsx") {
            found.extend(typescript_tests(&text));
        }
    }
    for (_, text) in files("tests/python/story.py") {
        found.extend(python_tests(&text));
    }
    for (path, text) in files("spec/transcripts") {
        if is(&path, ".json") {
            found.push(transcript(&text));
        }
    }
    assert!(found.len() > 1_000, "only {} tests were found", found.len());
    found
}

#[test]
fn every_statement_is_held_by_a_test_or_open() {
    let read = |&(path, letter): &(&str, char)| {
        statements(letter, &std::fs::read_to_string(root().join(path)).unwrap())
    };
    let statements: Vec<Statement> = PAGES.iter().flat_map(read).collect();
    let complaints = complaints(&statements, &all_tests());
    assert!(complaints.is_empty(), "{complaints:#?}");
    let open: Vec<String> =
        statements.iter().filter(|statement| statement.is_open).map(|s| s.id.to_string()).collect();
    println!("{} statements, {} open: {}", statements.len(), open.len(), open.join(" "));
}

// That it can fail.

const PAGE: &str = "# Title\n\n## 1. First\n\nWords.\n\n- **L1.1** One.\n- **L1.2** (open) Two,\n  told in two lines.\n\n\
                    ## 2. Second\n\n- **L2.1** Three.\n";

fn said_of(page: &str, tests: &[Test]) -> String {
    complaints(&statements('L', page), tests).join("; ")
}

fn named(text: &str) -> String {
    let tests = rust_tests(text).into_iter().chain(typescript_tests(text)).chain(python_tests(text));
    let ids: BTreeSet<Id> = tests.flat_map(|test| test.ids).collect();
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

#[test]
fn what_fits_together_is_no_complaint() {
    let tests = rust_tests("#[test]\nfn one_and_three_l1_1_l2_1() {");
    assert_eq!(said_of(PAGE, &tests), "");
}

#[test]
fn a_statement_without_a_test_an_open_one_with_a_test_and_an_unknown_one_are_told() {
    let tests = rust_tests("#[test]\nfn two_l1_2() {}\n#[test]\nfn four_l2_2_l1_1() {}");
    assert_eq!(
        said_of(PAGE, &tests),
        "L1.2 is (open), and stands in [\"two_l1_2\"]; L2.1 stands in no test's name, and is not (open); \
         L2.2 is stated nowhere, and stands in [\"four_l2_2_l1_1\"]"
    );
}

#[test]
fn a_statement_is_stated_once() {
    let page = format!("{PAGE}- **L2.1** Three again.\n");
    let tests = rust_tests("#[test]\nfn one_and_three_l1_1_l2_1() {");
    assert_eq!(said_of(&page, &tests), "L2.1 is stated twice");
}

#[test]
#[should_panic(expected = "L1.3 stands below the heading of another section")]
fn a_statement_stands_in_its_section() {
    statements('L', &format!("{PAGE}- **L1.3** Elsewhere.\n"));
}

#[test]
#[should_panic(expected = "a statement without an id")]
fn a_statement_has_an_id() {
    statements('L', "## 1. First\n\n- Nameless.\n");
}

#[test]
#[should_panic(expected = "F2.2 stands on another page")]
fn a_statement_stands_on_its_page() {
    statements('L', &format!("{PAGE}- **F2.2** Elsewhere.\n"));
}

#[test]
fn names_are_those_of_tests_alone() {
    assert_eq!(named("#[tokio::test(start_paused = true)]\nasync fn lasts_l2_13_l6_1() {"), "L2.13 L6.1");
    assert_eq!(named("#[test]\nfn both_pages_f14_1_l6_1_f2_10() {"), "F2.10 F14.1 L6.1");
    assert_eq!(named("#[test]\nfn another_letter_f1_1_x2_1() {"), "");
    assert_eq!(named("#[test]\n#[ignore = \"slow\"]\nfn all_of_2_l9_1() {"), "L9.1");
    assert_eq!(named("#[test]\nfn level_2_of_l1() {}\nfn helper_l1_1() {}\n// fn said_l1_2()"), "");
    assert_eq!(
        named("stories! {\n    events {\n        renders_l5_5,\n    }\n}\n    not_there_l5_6,\n"),
        "L5.5"
    );
    assert_eq!(named("async def they_chat_l5_1():\n    await they_chat_l5_2()"), "L5.1");
}

#[test]
fn titles_are_those_of_tests_alone() {
    assert_eq!(named("  it(\"L1.4: waits\", async () => {"), "L1.4");
    assert_eq!(
        named("test(`waits ${n} (L1.4, L10.12)`, () => {\n// L1.5\n  expect(\"L1.6\");"),
        "L1.4 L10.12"
    );
    assert_eq!(
        named("it(\"counts (F5.1, L4.21)\", async () => {\nit(\"l1.4 f2.1 X3.1\", () => {"),
        "F5.1 L4.21"
    );
    assert_eq!(
        named("it.each([\"a\", \"b\"])(\"by %s (L4.1)\", async () => {\n])(\"%s (L4.2)\", () => {"),
        "L4.1 L4.2"
    );
    assert_eq!(named("it(\"HTML5.2, UTF-8 and L are none\", () => {"), "");
    let transcript = transcript(r#"{"about": "A blip. (L9.16)", "steps": ["L9.15"]}"#);
    assert_eq!(transcript.ids, [Id { page: 'L', section: 9, number: 16 }]);
}
