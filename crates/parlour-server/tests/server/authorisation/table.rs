//! The table: who may what, read from `authorisation.txt` beside this file.

use std::collections::{BTreeMap, BTreeSet};

use super::actors::{ACTORS, Actor, DEAF};

/// What one route, frame or event is to come to, for everybody.
#[derive(Debug)]
pub(super) struct Row {
    /// `GET /v1/me`, `FRAME watch`, `EVENT message.new`, `SIGNAL typing.start`.
    pub(super) name: String,
    /// Tells rows of the same name apart.
    pub(super) case: String,
    /// What the placeholders stand for, where it is not the ordinary.
    pub(super) with: BTreeMap<String, String>,
    /// What is sent, as JSON with placeholders; empty: nothing.
    pub(super) body: String,
    /// What has to happen for an event: `ACTOR METHOD path body`.
    pub(super) by: Vec<String>,
    /// By actor.
    pub(super) expected: BTreeMap<&'static str, String>,
    /// Why nobody can try it, where nobody can.
    pub(super) untried: Option<String>,
}

const TABLE: &str = include_str!("authorisation.txt");

/// Every row, in the order of the file.
pub(super) fn rows() -> Vec<Row> {
    let mut blocks: Vec<Vec<&str>> = vec![Vec::new()];
    for line in TABLE.lines().filter(|line| !line.trim_start().starts_with('#')) {
        match line.trim_end() {
            "" => blocks.push(Vec::new()),
            line => blocks.last_mut().unwrap().push(line),
        }
    }
    blocks.into_iter().filter(|block| !block.is_empty()).map(|block| row(&block)).collect()
}

fn row(block: &[&str]) -> Row {
    let (name, case) = block[0].split_once(" -- ").unwrap_or((block[0], ""));
    let (with, by, expected) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
    let (name, case) = (name.to_owned(), case.to_owned());
    let mut row = Row { name, case, with, body: String::new(), by, expected, untried: None };
    let (mut others, mut everybody) = (None, None);
    for line in &block[1..] {
        let (key, value) = line.trim().split_once(' ').unwrap_or_else(|| panic!("{}: {line:?}", row.name));
        let value = value.trim();
        match key {
            "with" => {
                for pair in value.split(' ') {
                    let (placeholder, stands_for) = pair.split_once('=').expect("name=value");
                    row.with.insert(placeholder.to_owned(), stands_for.to_owned());
                }
            }
            "body" => row.body = value.to_owned(),
            "by" => row.by.push(value.to_owned()),
            "untried" => row.untried = Some(value.to_owned()),
            outcome => {
                for named in value.split_whitespace() {
                    let all = match named {
                        "others" => Some(&mut others),
                        "everybody" => Some(&mut everybody),
                        _ => None,
                    };
                    if let Some(all) = all {
                        assert_eq!(all.replace(outcome), None, "{}: {named} twice", row.name);
                        continue;
                    }
                    let actor = ACTORS.iter().find(|actor| actor.name == named);
                    let actor = actor.unwrap_or_else(|| panic!("{}: there is no actor {named}", row.name));
                    let before = row.expected.insert(actor.name, outcome.to_owned());
                    assert_eq!(before, None, "{}: {named} stands twice", row.name);
                }
            }
        }
    }
    for actor in ACTORS {
        let outcome = everybody.or_else(|| before_any_rule(&row.name, actor)).or(others);
        if let Some(outcome) = outcome {
            row.expected.entry(actor.name).or_insert_with(|| outcome.to_owned());
        }
    }
    row
}

/// What comes of it for those who are let in nowhere: rows need not say it.
fn before_any_rule(name: &str, actor: &Actor) -> Option<&'static str> {
    match name.split(' ').next() {
        Some("FRAME") => actor.at_hello(),
        Some("EVENT" | "SIGNAL") => actor.at_hello().map(|_| DEAF),
        _ => actor.at_the_door(),
    }
}

impl Row {
    /// The row as it would have to stand in the table for these outcomes.
    pub(super) fn written(&self, outcomes: &[(&'static str, String)]) -> String {
        let case = if self.case.is_empty() { String::new() } else { format!(" -- {}", self.case) };
        let mut text = format!("{}{case}\n", self.name);
        if !self.with.is_empty() {
            let pairs: Vec<_> = self.with.iter().map(|(name, value)| format!("{name}={value}")).collect();
            text.push_str(&format!("  with {}\n", pairs.join(" ")));
        }
        if !self.body.is_empty() {
            text.push_str(&format!("  body {}\n", self.body));
        }
        for by in &self.by {
            text.push_str(&format!("  by {by}\n"));
        }
        let is_ordinary = |actor: &str, outcome: &str| {
            let actor = ACTORS.iter().find(|other| other.name == actor);
            actor.is_some_and(|actor| before_any_rule(&self.name, actor) == Some(outcome))
        };
        let outcomes: Vec<_> =
            outcomes.iter().filter(|(actor, outcome)| !is_ordinary(actor, outcome)).collect();
        let all = distinct(outcomes.iter().map(|(_, outcome)| outcome.as_str()));
        let count = |outcome: &str| outcomes.iter().filter(|(_, other)| other == outcome).count();
        // Whoever is added later is expected to be refused like most, never to be let in.
        let refusals = all.iter().filter(|outcome| !["ok", "heard", "hears"].contains(outcome));
        let most = refusals.max_by_key(|outcome| count(outcome)).filter(|outcome| count(outcome) > 3);
        for outcome in &all {
            let actors = outcomes.iter().filter(|(_, other)| other == outcome).map(|(actor, _)| *actor);
            let actors = actors.collect::<Vec<_>>().join(" ");
            let who = if Some(outcome) == most || all.len() == 1 { "others" } else { &actors };
            text.push_str(&format!("  {outcome} {who}\n"));
        }
        text
    }
}

fn distinct<'a>(outcomes: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = BTreeSet::new();
    outcomes.filter(|outcome| seen.insert(*outcome)).collect()
}

/// Collects what differs, and says in the end what to write.
#[derive(Default)]
pub(super) struct Differences {
    said: Vec<String>,
}

impl Differences {
    /// Compares what came of a row with what it says.
    pub(super) fn compare(&mut self, row: &Row, outcomes: &[(&'static str, String)]) {
        let differs: Vec<_> = outcomes
            .iter()
            .filter_map(|(actor, came)| {
                let expected = row.expected.get(actor).map_or("nothing", String::as_str);
                (came != expected).then(|| format!("  {actor}: the table says {expected}, but {came} came"))
            })
            .collect();
        if !differs.is_empty() {
            let written = row.written(outcomes);
            let differs = differs.join("\n");
            self.said.push(format!(
                "{} {}\n{differs}\nIf each of these is right, write:\n\n{written}",
                row.name, row.case
            ));
        }
    }

    /// Something has no row.
    pub(super) fn missing(&mut self, name: &str) {
        let example = "  body {}\n  ok others\n";
        self.said.push(format!(
            "{name} has no row. Begin with this one, and let the test fill it in:\n\n{name}\n{example}"
        ));
    }

    /// A row is about nothing that there is.
    pub(super) fn obsolete(&mut self, name: &str) {
        self.said.push(format!("{name} stands in the table, and there is no such thing."));
    }

    #[track_caller]
    pub(super) fn none(self) {
        let said = self.said.join("\n");
        assert!(self.said.is_empty(), "tests/server/authorisation/authorisation.txt:\n\n{said}");
    }
}
