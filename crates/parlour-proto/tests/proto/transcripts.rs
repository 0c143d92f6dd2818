//! The conversations in `spec/transcripts`, which every implementation of the machines reproduces.
//!
//! `PARLOUR_WRITE_TRANSCRIPTS=1` writes what the machines say now into the files: to be read before it is
//! believed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use parlour_proto::{Connection, ConnectionConfig, Input, Millis, Session, SessionConfig, SessionInput};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Transcript {
    about: String,
    machine: Machine,
    /// What differs from the defaults that stand in the README.
    #[serde(default)]
    config: Map<String, Value>,
    #[serde(default)]
    ping_phase: Option<f64>,
    steps: Vec<Step>,
}

#[derive(Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Machine {
    Connection,
    Session,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    at: Millis,
    #[serde(default)]
    jitter: Option<f64>,
    r#in: Value,
    #[serde(default)]
    out: Vec<Value>,
    #[serde(default)]
    state: Value,
    #[serde(default)]
    ui: Value,
    #[serde(default)]
    deadline: Value,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../spec/transcripts")
}

/// The defaults of a machine: the JSON block of that name in the README.
fn defaults(machine: Machine) -> Map<String, Value> {
    let readme = std::fs::read_to_string(folder().join("README.md")).unwrap();
    let name = match machine {
        Machine::Connection => "connection",
        Machine::Session => "session",
    };
    let (_, block) = readme.split_once(&format!("```json {name}\n")).unwrap();
    let (block, _) = block.split_once("```").unwrap();
    serde_json::from_str(block).unwrap()
}

fn config<T: serde::de::DeserializeOwned>(transcript: &Transcript) -> T {
    let mut config = defaults(transcript.machine);
    config.extend(transcript.config.clone());
    serde_json::from_value(Value::Object(config)).unwrap()
}

/// What the machine of today says, step by step.
fn replay(transcript: &Transcript) -> Vec<Step> {
    match transcript.machine {
        Machine::Connection => {
            let mut machine = Connection::new(config::<ConnectionConfig>(transcript));
            let step = |step: &Step| {
                let mut out = Vec::new();
                let input: Input = serde_json::from_value(step.r#in.clone()).unwrap();
                machine.handle(step.at, step.jitter.unwrap_or(0.0), input, &mut out);
                Step {
                    out: out.iter().map(|output| serde_json::to_value(output).unwrap()).collect(),
                    state: serde_json::to_value(machine.state()).unwrap(),
                    ui: serde_json::to_value(machine.ui_status(step.at)).unwrap(),
                    deadline: json!(machine.deadline()),
                    ..step.clone()
                }
            };
            transcript.steps.iter().map(step).collect()
        }
        Machine::Session => {
            let phase = transcript.ping_phase.unwrap_or(1.0);
            let mut machine: Session<Value> = Session::new(0, config::<SessionConfig>(transcript), phase);
            let step = |step: &Step| {
                let mut out = Vec::new();
                let input: SessionInput<Value> = serde_json::from_value(step.r#in.clone()).unwrap();
                machine.handle(step.at, input, &mut out);
                Step {
                    out: out.iter().map(|output| serde_json::to_value(output).unwrap()).collect(),
                    deadline: json!(machine.deadline()),
                    ..step.clone()
                }
            };
            transcript.steps.iter().map(step).collect()
        }
    }
}

/// One line per input and output, so that a difference is a line.
fn written(transcript: &Transcript, steps: &[Step]) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{{\n  \"about\": {},", json!(transcript.about));
    let _ = writeln!(text, "  \"machine\": {},", json!(transcript.machine));
    if !transcript.config.is_empty() {
        let _ = writeln!(text, "  \"config\": {},", json!(transcript.config));
    }
    if let Some(phase) = transcript.ping_phase {
        let _ = writeln!(text, "  \"ping_phase\": {phase},");
    }
    text.push_str("  \"steps\": [\n");
    let steps: Vec<String> = steps.iter().map(|step| step_written(step, transcript.machine)).collect();
    text.push_str(&steps.join(",\n"));
    text.push_str("\n  ]\n}\n");
    text
}

fn step_written(step: &Step, machine: Machine) -> String {
    let jitter = step.jitter.map(|jitter| format!(", \"jitter\": {jitter}")).unwrap_or_default();
    let out: Vec<String> = step.out.iter().map(|output| format!("\n       {output}")).collect();
    let state = match machine {
        Machine::Connection => format!("\"state\": {}, \"ui\": {}, ", step.state, step.ui),
        Machine::Session => String::new(),
    };
    format!(
        "    {{\"at\": {}{jitter}, \"in\": {},\n     \"out\": [{}],\n     {state}\"deadline\": {}}}",
        step.at,
        step.r#in,
        out.join(","),
        step.deadline,
    )
}

#[test]
fn every_transcript_is_reproduced_to_the_letter_l3_7_l3_8() {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    assert!(paths.len() >= 50, "only {} transcripts in {}", paths.len(), folder().display());
    let mut differ = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        let transcript: Transcript =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let now = written(&transcript, &replay(&transcript));
        if now == text {
            continue;
        }
        if std::env::var_os("PARLOUR_WRITE_TRANSCRIPTS").is_some() {
            std::fs::write(&path, &now).unwrap();
        } else {
            let lines = text.lines().zip(now.lines()).enumerate();
            let first =
                lines.filter(|(_, (was, is))| was != is).map(|(n, (was, is))| (n + 1, was, is)).next();
            println!("{}: {first:#?}\nwhat is said now:\n{now}", path.display());
            differ.push(path);
        }
    }
    assert!(differ.is_empty(), "these differ: {differ:?}");
}

/// Kinds of states and what leads from one to the other, in all transcripts of connections.
fn diagram() -> String {
    let mut arrows: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    let kind = |state: &Value| match state {
        Value::Object(state) => state.keys().next().unwrap().clone(),
        state => state.as_str().unwrap().to_owned(),
    };
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    for path in paths {
        let transcript: Transcript = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        if matches!(transcript.machine, Machine::Session) {
            continue;
        }
        for output in replay(&transcript).iter().flat_map(|step| &step.out) {
            let Some(changed) = output.get("changed") else { continue };
            let (from, to) = (kind(&changed["from"]), kind(&changed["to"]));
            if from != to {
                let cause = changed["cause"].as_str().unwrap().replace('_', " ");
                arrows.entry((from, to)).or_default().insert(cause);
            }
        }
    }
    let mut text = "```mermaid\nstateDiagram-v2\n  [*] --> idle\n".to_owned();
    for ((from, to), causes) in arrows {
        let causes: Vec<String> = causes.into_iter().collect();
        let _ = writeln!(text, "  {from} --> {to}: {}", causes.join(", "));
    }
    text + "```\n"
}

#[test]
fn the_diagram_in_the_book_is_what_the_machine_does_l3_9() {
    const BEGIN: &str = "<!-- The machine's own account of itself: written by a test. -->\n";
    let page = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/connecting.md");
    let text = std::fs::read_to_string(&page).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once("<!-- End. -->\n").unwrap();
    let now = format!("{before}{BEGIN}{}<!-- End. -->\n{after}", diagram());
    if std::env::var_os("PARLOUR_WRITE_TRANSCRIPTS").is_some() {
        std::fs::write(&page, &now).unwrap();
    } else {
        assert_eq!(now, text, "PARLOUR_WRITE_TRANSCRIPTS=1 writes it anew");
    }
}
