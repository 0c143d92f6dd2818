//! The table of endpoints in `spec/protocol.md` and `spec/openapi.json` name the same ones.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::collections::BTreeSet;

use serde_json::Value;

const PAGE: &str = include_str!("../../../spec/protocol.md");
const DOCUMENT: &str = include_str!("../../../spec/openapi.json");

/// `GET /v1/users?ids=a,b` as (`get`, `/v1/users`), with every variable part as `{}`.
fn endpoint(method: &str, path: &str) -> (String, String) {
    let path = path.split('?').next().unwrap().replace("{cid}", "/v1/channels/{type}/{id}");
    let parts = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
    (method.to_lowercase(), parts.collect::<Vec<_>>().join("/"))
}

/// The endpoints of section 15: each in backticks, in the first column of the table.
fn shown() -> BTreeSet<(String, String)> {
    let (_, section) = PAGE.split_once("\n## 15. Every endpoint\n").unwrap();
    let (section, _) = section.split_once("\n## 16.").unwrap();
    let mut shown = BTreeSet::new();
    for row in section.lines().filter_map(|line| line.strip_prefix("| `")) {
        let column = row.split(" |").next().unwrap();
        let mut method = "";
        // `GET /livez`, `/health`: the method is said once.
        for code in column.split('`').filter(|code| code.contains('/') || code.contains('{')) {
            let (said, path) = code.split_once(' ').unwrap_or((method, code));
            method = said;
            shown.insert(endpoint(method, path));
        }
    }
    shown
}

#[test]
fn the_page_shows_every_endpoint_and_no_other() {
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    let mut described = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let methods = methods.as_object().unwrap().keys();
        let methods = methods.filter(|key| ["get", "post", "patch", "delete", "put"].contains(&key.as_str()));
        described.extend(methods.map(|method| endpoint(method, path)));
    }
    // The connection has sections of its own, and these three describe nothing but themselves.
    described.remove(&endpoint("get", "/v1/connect"));
    let mut shown = shown();
    for own in ["/openapi.json", "/docs", "/health"] {
        shown.remove(&endpoint("get", own));
        described.remove(&endpoint("get", own));
    }
    assert!(described.len() > 15, "{described:?}");
    let missing: Vec<_> = described.difference(&shown).collect();
    assert!(missing.is_empty(), "not shown: {missing:?}");
    let invented: Vec<_> = shown.difference(&described).collect();
    assert!(invented.is_empty(), "shown, but not there: {invented:?}");
}
