//! Who may do what, hear what, and connect: everybody tries everything, and comes to what the table says.
//!
//! The table is `authorisation/authorisation.txt`. Routes, frames, events and signals are taken from the API's own
//! description: one without a row fails, and is told what to write.

mod actors;
mod hall;
mod table;

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::kit::kind;
use crate::simulated::Live;
use actors::{ACTORS, Actor};
use hall::{Hall, fill, hears_out, read};
use table::{Differences, Row, rows};

/// `METHOD path` of every route of the API.
fn routes() -> BTreeSet<String> {
    let api = serde_json::to_value(parlour_server::openapi()).unwrap();
    let paths = api["paths"].as_object().unwrap();
    let of = |(path, methods): (&String, &Value)| -> Vec<String> {
        let methods = methods.as_object().unwrap().keys();
        methods.map(|method| format!("{} {path}", method.to_uppercase())).collect()
    };
    paths.iter().flat_map(of).collect()
}

/// The `type` of every variant of a schema.
fn kinds_of(schema: &str) -> BTreeSet<String> {
    let api = serde_json::to_value(parlour_server::openapi()).unwrap();
    let mut kinds = BTreeSet::new();
    gather(&api["components"]["schemas"][schema], &mut kinds);
    assert!(!kinds.is_empty(), "{schema} has no variants");
    kinds
}

fn gather(schema: &Value, kinds: &mut BTreeSet<String>) {
    if let Some(values) = schema["properties"]["type"]["enum"].as_array() {
        kinds.extend(values.iter().map(|value| value.as_str().unwrap().to_owned()));
    }
    for part in schema["oneOf"].as_array().into_iter().chain(schema["allOf"].as_array()).flatten() {
        gather(part, kinds);
    }
}

/// The rows about these things; each thing has one, each row its thing.
fn rows_of(things: &BTreeSet<String>, is_meant: fn(&str) -> bool, differences: &mut Differences) -> Vec<Row> {
    let rows: Vec<Row> = rows().into_iter().filter(|row| is_meant(&row.name)).collect();
    let named: BTreeSet<String> = rows.iter().map(|row| row.name.clone()).collect();
    things.difference(&named).for_each(|thing| differences.missing(thing));
    named.difference(things).for_each(|thing| differences.obsolete(thing));
    rows.into_iter().filter(|row| row.untried.is_none()).collect()
}

#[tokio::test(start_paused = true)]
async fn everybody_is_answered_as_the_table_says_on_every_route() {
    let mut differences = Differences::default();
    let is_route = |name: &str| !["FRAME", "EVENT", "SIGNAL"].iter().any(|other| name.starts_with(other));
    let rows = rows_of(&routes(), is_route, &mut differences);
    let mut hall = Hall::open().await;
    for row in &rows {
        let mut outcomes = Vec::new();
        for actor in ACTORS {
            let names = hall.sets_up(row, Some(actor)).await;
            let (outcome, error) = hall.tries(row, actor, &names).await;
            if outcome == "not_found" {
                tells_nothing_of_what_is_there(&hall, row, actor, &names, &error).await;
            }
            outcomes.push((actor.name, outcome));
        }
        differences.compare(row, &outcomes);
    }
    differences.none();
}

/// Whoever is told that there is nothing is told the same where there is nothing.
async fn tells_nothing_of_what_is_there(
    hall: &Hall,
    row: &Row,
    actor: &Actor,
    names: &hall::Names,
    error: &Value,
) {
    // This one makes what is not there.
    if !row.name.contains("/{type}/{id}") || row.name == "POST /v1/channels/{type}/{id}" {
        return;
    }
    let channel = format!("/v1/channels/{}/{}", names["type"], names["id"]);
    if hall.asks(actor.name, "GET", &channel, Value::Null).await.0 == 200 {
        return;
    }
    let mut elsewhere = names.clone();
    elsewhere.insert("id".to_owned(), "never-made".to_owned());
    let (outcome, nothing) = hall.tries(row, actor, &elsewhere).await;
    let without_id = |error: &Value, id: &str| error["message"].as_str().unwrap().replace(id, "…");
    assert_eq!(
        (without_id(error, &names["id"]), "not_found"),
        (without_id(&nothing, "never-made"), outcome.as_str()),
        "{} {} {}: the answer tells whether the channel is there",
        row.name,
        row.case,
        actor.name
    );
}

#[tokio::test(start_paused = true)]
async fn everybody_is_answered_as_the_table_says_to_every_frame() {
    let mut differences = Differences::default();
    let frames = kinds_of("ClientFrame").into_iter().map(|kind| format!("FRAME {kind}")).collect();
    let rows = rows_of(&frames, |name| name.starts_with("FRAME"), &mut differences);
    let mut hall = Hall::open().await;
    for row in &rows {
        let mut outcomes = Vec::new();
        for actor in ACTORS {
            let outcome = says(&mut hall, row, actor).await;
            outcomes.push((actor.name, outcome));
        }
        differences.compare(row, &outcomes);
    }
    differences.none();
}

/// What comes of a frame: an error's code, or what a witness hears of it, or `ok`.
async fn says(hall: &mut Hall, row: &Row, actor: &Actor) -> String {
    let names = hall.sets_up(row, Some(actor)).await;
    let frame = read(&fill(&row.body, &names));
    if frame["type"] == "hello" {
        return hall.connects(&frame).await.err().unwrap_or_else(|| "ok".to_owned());
    }
    let (mut live, _) = match hall.connects(&actor.hello()).await {
        Ok(connected) => connected,
        Err(refused) => return refused,
    };
    let witness = json!({
        "type": "hello", "app_key": "dev", "token": crate::kit::sign(&json!({ "user_id": "author" })),
        "client": { "instance": "witness", "version": 1 },
    });
    let (mut witness, _) = hall.connects(&witness).await.unwrap();
    live.says(&frame).await;
    let (heard, closed) = hears_out(&mut live).await;
    if let Some(error) = heard.iter().find(|frame| frame["type"] == "error") {
        return error["error"]["code"].as_str().unwrap().to_owned();
    }
    match (frame["type"].as_str(), closed) {
        (Some("signal"), _) => {
            let (witnessed, _) = hears_out(&mut witness).await;
            let is_heard = witnessed.iter().any(|other| kind(other) == frame["signal"]["type"]);
            if is_heard { "heard" } else { "ignored" }.to_owned()
        }
        (Some("bye"), Some(1_000)) | (_, None) => "ok".to_owned(),
        (_, Some(code)) => format!("closed:{code}"),
    }
}

#[tokio::test(start_paused = true)]
async fn everybody_hears_what_the_table_says_live_and_when_coming_back() {
    let mut differences = Differences::default();
    let events = kinds_of("Event").into_iter().map(|kind| format!("EVENT {kind}"));
    let signals = kinds_of("Signal").into_iter().map(|kind| format!("SIGNAL {kind}"));
    let is_meant = |name: &str| name.starts_with("EVENT") || name.starts_with("SIGNAL");
    for row in rows_of(&events.chain(signals).collect(), is_meant, &mut differences) {
        let outcomes = listen(&row).await;
        differences.compare(&row, &outcomes);
    }
    differences.none();
}

/// Who hears of it while it happens. Of an event, the same hear when they come back to where they were before it.
async fn listen(row: &Row) -> Vec<(&'static str, String)> {
    let (kind_of_row, wanted) = row.name.split_once(' ').unwrap();
    let mut hall = Hall::open().await;
    let first = row.by.first().and_then(|by| by.split(' ').next());
    let names = hall.sets_up(row, ACTORS.iter().find(|actor| Some(actor.name) == first)).await;
    let topic = format!("channel:{}", names["cid"]);
    let mut listeners: Vec<(&Actor, Live, Value)> = Vec::new();
    let mut outcomes = Vec::new();
    for actor in ACTORS {
        match hall.connects(&actor.hello()).await {
            Ok((mut live, ready)) => {
                live.says(&json!({ "type": "watch", "topics": [{ "topic": topic }] })).await;
                hears_out(&mut live).await;
                listeners.push((actor, live, ready));
            }
            Err(_) => outcomes.push((actor.name, actors::DEAF.to_owned())),
        }
    }
    let mut kept = Vec::new();
    for by in &row.by {
        kept.extend(happens(&hall, &fill(by, &names)).await);
    }
    let head = listeners.iter().find_map(|(_, _, ready)| ready["heads"][&topic].as_u64());
    // Presence is told in batches.
    tokio::time::sleep(Duration::from_millis(500)).await;
    for (actor, live, ready) in &mut listeners {
        let (heard, closed) = hears_out(live).await;
        let hears = heard.iter().any(|frame| kind(frame) == wanted);
        outcomes.push((actor.name, if hears { "hears" } else { "silent" }.to_owned()));
        if kind_of_row == "EVENT" && closed.is_none() {
            let mut hello = actor.hello();
            hello["client"]["instance"] = json!("again");
            hello["resume"] =
                json!({ "epoch": ready["epoch"], "as_of": ready["as_of"], "cursors": ready["heads"] });
            let (mut again, _) = hall.connects(&hello).await.unwrap();
            // What is watched is no part of a resume.
            let watched = json!({ "topic": topic, "after": head });
            again.says(&json!({ "type": "watch", "topics": [watched] })).await;
            let (replayed, _) = hears_out(&mut again).await;
            let hears_again = replayed.iter().any(|frame| kind(frame) == wanted);
            let (name, actor) = (&row.name, actor.name);
            // Whoever lost its right to a topic is told so, and nothing of what stood in it.
            let is_told = |frame: &Value| ["reset", "error"].iter().any(|told| frame["type"] == *told);
            let is_same = hears_again == hears || !hears_again && replayed.iter().any(is_told);
            assert!(is_same, "{name} {actor}: a replay differs from what was live: {replayed:?}");
        }
    }
    let place = |name: &str| ACTORS.iter().position(|actor| actor.name == name);
    outcomes.sort_by_key(|(name, _)| place(name));
    outcomes
}

/// Makes something happen: `WHO METHOD path body`, `WHO CONNECTS`, `WHO SAYS frame`. Connections are kept open.
async fn happens(hall: &Hall, by: &str) -> Option<Live> {
    let mut words = by.splitn(3, ' ');
    let (who, verb, rest) = (words.next()?, words.next()?, words.next().unwrap_or_default());
    if ["CONNECTS", "SAYS"].contains(&verb) {
        let hello = json!({
            "type": "hello", "app_key": "dev", "token": crate::kit::sign(&json!({ "user_id": who })),
            "client": { "instance": who, "version": 1 },
        });
        let (mut live, _) = hall.connects(&hello).await.unwrap();
        if verb == "SAYS" {
            live.says(&read(rest)).await;
            hears_out(&mut live).await;
        }
        return Some(live);
    }
    let (path, body) = rest.split_once(' ').unwrap_or((rest, "null"));
    hall.must(who, verb, path, read(body)).await;
    None
}
