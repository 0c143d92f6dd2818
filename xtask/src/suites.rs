//! What the tests said, and reading what `cargo test` says of it.

/// What one test binary (or one crate's documentation, or one package's tests) said.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Suite {
    pub(crate) name: String,
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) ignored: u64,
    pub(crate) seconds: f64,
}

impl Suite {
    /// One that has said nothing yet.
    pub(crate) fn new(name: String) -> Self {
        Self { name, ..Self::default() }
    }

    /// How many tests passed, and how many did not, if any.
    pub(crate) fn counts(&self) -> String {
        let others = [(self.failed, "failed"), (self.ignored, "ignored")];
        let others = others.iter().filter(|(count, _)| *count > 0);
        others
            .fold(format!("{} passed", self.passed), |text, (count, what)| format!("{text}, {count} {what}"))
    }
}

/// Reads the output of `cargo test`, line by line, in the order in which it was printed.
#[derive(Default)]
pub(crate) struct Reader {
    current: String,
    pub(crate) suites: Vec<Suite>,
}

impl Reader {
    /// Takes one line.
    pub(crate) fn line(&mut self, line: &str) {
        if let Some(name) = name_of_suite(line) {
            self.current = name;
        } else if let Some(suite) = result(line) {
            self.suites.push(Suite { name: self.current.clone(), ..suite });
        }
    }

    pub(crate) fn passed(&self) -> u64 {
        self.suites.iter().map(|suite| suite.passed).sum()
    }

    pub(crate) fn failed(&self) -> u64 {
        self.suites.iter().map(|suite| suite.failed).sum()
    }

    pub(crate) fn ignored(&self) -> u64 {
        self.suites.iter().map(|suite| suite.ignored).sum()
    }
}

/// `Running tests/kill.rs (target/debug/deps/kill-0a1b)` or `Doc-tests parlour_wire`.
fn name_of_suite(line: &str) -> Option<String> {
    let line = line.trim_start();
    if let Some(name) = line.strip_prefix("Doc-tests ") {
        return Some(format!("{} docs", name.replace('_', "-")));
    }
    let (source, binary) = line.strip_prefix("Running ")?.strip_suffix(')')?.split_once(" (")?;
    let binary = binary.rsplit(['/', '\\']).next()?;
    let stem = binary.rsplit_once('-').map_or(binary, |(stem, _hash)| stem).replace('_', "-");
    let is_unit = source.starts_with("unittests ");
    Some(if is_unit { format!("{stem} units") } else { format!("{source} ({stem})") })
}

/// `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.12s`
fn result(line: &str) -> Option<Suite> {
    let (_verdict, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let count = |what: &str| -> Option<u64> {
        counts.split("; ").find_map(|part| part.strip_suffix(what))?.trim().parse().ok()
    };
    let seconds = counts.rsplit_once("finished in ").and_then(|(_, s)| s.trim_end_matches('s').parse().ok());
    Some(Suite {
        name: String::new(),
        passed: count("passed")?,
        failed: count("failed")?,
        ignored: count("ignored")?,
        seconds: seconds.unwrap_or(0.0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "
   Compiling parlour-wire v0.1.0
     Running unittests src/lib.rs (target/debug/deps/parlour_wire-0a1b2c)

running 2 tests
test close::tests::a ... ok
test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.25s

     Running tests/kill.rs (target/debug/deps/kill-77aa)
test result: FAILED. 1 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 61.50s
   Doc-tests parlour_wire
test result: ok. 8 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.10s
";

    fn read() -> Reader {
        let mut reader = Reader::default();
        OUTPUT.lines().for_each(|line| reader.line(line));
        reader
    }

    #[test]
    fn results_of_all_suites_are_summed_up() {
        let reader = read();
        assert_eq!((reader.passed(), reader.failed(), reader.ignored()), (11, 3, 1));
    }

    #[test]
    fn each_suite_is_named_with_its_time() {
        let suites: Vec<(String, f64)> = read().suites.into_iter().map(|s| (s.name, s.seconds)).collect();
        let expected =
            [("parlour-wire units", 0.25), ("tests/kill.rs (kill)", 61.5), ("parlour-wire docs", 1.1)];
        assert_eq!(suites, expected.map(|(name, seconds)| (name.to_owned(), seconds)));
    }

    #[test]
    fn counts_name_what_did_not_pass_only_where_there_is_such() {
        let counts: Vec<String> = read().suites.iter().map(Suite::counts).collect();
        assert_eq!(counts, ["2 passed, 1 ignored", "1 passed, 3 failed", "8 passed"]);
    }

    #[test]
    fn a_line_that_only_quotes_a_result_is_not_one() {
        assert_eq!(result("he said: test result: ok. 2 passed; 0 failed; 0 ignored"), None);
        assert_eq!(result("test result: ok. none"), None);
    }
}
