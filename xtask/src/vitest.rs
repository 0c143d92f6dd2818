//! Reading the report that vitest writes as JSON.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::suites::Suite;

/// One suite for each package, by its path from `root`, in the order of their names.
pub(crate) fn read(report: &str, root: &Path) -> Result<Vec<Suite>> {
    let report: Value = serde_json::from_str(report).context("vitest's report is no JSON")?;
    let files = report["testResults"].as_array().context("vitest's report has no `testResults`")?;
    let mut packages: BTreeMap<String, (Suite, Span)> = BTreeMap::new();
    for file in files {
        let path = Path::new(file["name"].as_str().context("a file of vitest's report has no name")?);
        let name = package(path.strip_prefix(root).unwrap_or(path));
        let (suite, span) =
            packages.entry(name.clone()).or_insert_with(|| (Suite::new(name), Span::default()));
        count(file, suite)?;
        span.takes_in(file);
    }
    Ok(packages.into_values().map(|(suite, span)| Suite { seconds: span.seconds(), ..suite }).collect())
}

/// What of the file's path is its package's.
fn package(file: &Path) -> String {
    let file = file.to_string_lossy().replace('\\', "/");
    let inside = ["/src/", "/tests/"].iter().filter_map(|folder| file.find(folder)).min();
    inside.or_else(|| file.rfind('/')).map_or_else(|| file.clone(), |end| file[..end].to_owned())
}

fn count(file: &Value, suite: &mut Suite) -> Result<()> {
    let tests = file["assertionResults"].as_array().context("a file of vitest's report has no tests")?;
    let mut failed = 0;
    for test in tests {
        match test["status"].as_str().context("a test of vitest's report has no status")? {
            "passed" => suite.passed += 1,
            "failed" => failed += 1,
            // `skipped`, `pending`, `todo`: not run.
            _ => suite.ignored += 1,
        }
    }
    // A file that cannot be loaded, or prepared, has no failed test to stand for it.
    suite.failed += if file["status"] == "failed" { failed.max(1) } else { failed };
    Ok(())
}

/// From when until when a package's tests ran: files run side by side.
#[derive(Default)]
struct Span(Option<(f64, f64)>);

impl Span {
    fn takes_in(&mut self, file: &Value) {
        let (Some(start), Some(end)) = (file["startTime"].as_f64(), file["endTime"].as_f64()) else { return };
        // A file that never ran is given the time of the whole run's start.
        if end > start {
            let (first, last) = self.0.unwrap_or((start, end));
            self.0 = Some((first.min(start), last.max(end)));
        }
    }

    fn seconds(&self) -> f64 {
        self.0.map_or(0.0, |(first, last)| (last - first) / 1_000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn file(name: &str, status: &str, tests: &[&str], start: f64, end: f64) -> Value {
        let tests: Vec<Value> =
            tests.iter().map(|status| json!({ "status": status, "title": "x" })).collect();
        json!({ "name": format!("/project/{name}"), "status": status, "assertionResults": tests,
                "startTime": start, "endTime": end, "message": "" })
    }

    fn suites(files: &[Value]) -> Vec<Suite> {
        let report = json!({ "success": false, "testResults": files }).to_string();
        read(&report, Path::new("/project")).unwrap()
    }

    #[test]
    fn tests_are_counted_for_each_package_with_the_time_from_its_first_to_its_last() {
        let suites = suites(&[
            file("web/demo/tests/b.test.ts", "passed", &["passed"], 500.0, 700.0),
            file(
                "clients/typescript/packages/client/tests/live/a.test.ts",
                "passed",
                &["passed", "skipped"],
                100.0,
                1_100.0,
            ),
            file(
                "clients/typescript/packages/client/src/b.test.ts",
                "failed",
                &["failed", "passed", "todo"],
                600.0,
                2_100.0,
            ),
            file("tests/browser/chat.test.ts", "passed", &["passed"], 0.0, 10.0),
        ]);
        let told: Vec<_> =
            suites.iter().map(|s| (s.name.as_str(), s.passed, s.failed, s.ignored, s.seconds)).collect();
        assert_eq!(
            told,
            [
                ("clients/typescript/packages/client", 2, 1, 2, 2.0),
                ("tests/browser", 1, 0, 0, 0.01),
                ("web/demo", 1, 0, 0, 0.2),
            ]
        );
    }

    #[test]
    fn a_file_that_could_not_be_loaded_or_prepared_is_a_failure() {
        let suites = suites(&[
            file("web/demo/tests/a.test.ts", "failed", &[], 100.0, 100.0),
            file("web/demo/tests/b.test.ts", "failed", &["skipped", "skipped"], 100.0, 100.0),
            file("web/demo/tests/c.test.ts", "passed", &["passed"], 5_000.0, 6_000.0),
        ]);
        let demo = &suites[0];
        assert_eq!((demo.passed, demo.failed, demo.ignored, demo.seconds), (1, 2, 2, 1.0));
    }

    #[test]
    fn what_is_no_report_is_an_error() {
        for report in [
            "",
            "[]",
            "{}",
            r#"{"testResults":[{"name":"/x"}]}"#,
            r#"{"testResults":[{"assertionResults":[]}]}"#,
        ] {
            assert!(read(report, Path::new("/project")).is_err(), "{report:?}");
        }
    }
}
