//! Presence over minutes: graces, being away, and the snapshots that heal.

use std::time::Duration;

use serde_json::{Value, json};

use crate::kit::kind;
use crate::still::{Heard, Line, Still, pass};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

async fn server() -> Still {
    Still::with(|_| {}).await
}

async fn watcher(server: &Still) -> Line {
    let watcher = server.connects("watcher", json!({"presence": "all"})).await;
    // Its own coming is told by then.
    pass(SECOND).await;
    watcher
}

/// A user of a snapshot or a change, in a word.
fn word(user: &Value) -> String {
    let how = match (user["online"].as_bool(), user.get("away").and_then(Value::as_bool)) {
        (Some(true), Some(true)) => "away",
        (Some(true), None) => "online",
        (Some(false), None) => "offline",
        other => panic!("{other:?} in {user}"),
    };
    format!("{} {how}", user["user_id"].as_str().unwrap())
}

fn words(users: &Value) -> Vec<String> {
    users.as_array().unwrap().iter().map(word).collect()
}

/// What was told of others since this was asked last: after how many seconds, who, how.
fn changes(watcher: &mut Line) -> Vec<(u64, String)> {
    let heard = watcher.heard();
    let changed = heard.iter().filter(|heard| kind(&heard.frame) == "user.presence.changed");
    let told = changed.flat_map(|heard| {
        words(&heard.frame["signal"]["users"]).into_iter().map(|word| (heard.after.as_secs(), word))
    });
    told.filter(|(_, word)| !word.starts_with("watcher")).collect()
}

fn told<const N: usize>(told: [(u64, &str); N]) -> Vec<(u64, String)> {
    told.map(|(after, word)| (after, word.to_owned())).to_vec()
}

#[tokio::test(start_paused = true)]
async fn a_blip_of_five_seconds_is_told_to_nobody_and_a_loss_of_twenty_once_l9_15_l6_21_f4_13() {
    let server = server().await;
    let mut watcher = watcher(&server).await;
    let bob = server.connects("bob", json!({})).await;
    pass(9 * SECOND).await;
    assert_eq!(changes(&mut watcher), told([(1, "bob online")]));
    // Five seconds without him: from the tenth to the fifteenth.
    bob.breaks();
    pass(5 * SECOND).await;
    let bob = server.connects("bob", json!({})).await;
    pass(5 * MINUTE).await;
    assert_eq!(changes(&mut watcher), told([]));
    // Twenty: from the 315th to the 335th.
    bob.breaks();
    pass(20 * SECOND).await;
    let _bob = server.connects("bob", json!({})).await;
    pass(5 * MINUTE).await;
    assert_eq!(changes(&mut watcher), told([(330, "bob offline"), (335, "bob online")]));
}

#[tokio::test(start_paused = true)]
async fn a_device_that_vanishes_is_offline_within_48_seconds_l6_1_l6_3_l6_21() {
    let server = server().await;
    let mut watcher = watcher(&server).await;
    let bob = server.connects("bob", json!({})).await;
    pass(59 * SECOND).await;
    changes(&mut watcher);
    bob.vanishes();
    pass(10 * MINUTE).await;
    let changes = changes(&mut watcher);
    let [(after, word)] = &changes[..] else { panic!("{changes:?}") };
    // 8 s for the answer to a ping and 15 s of grace; the ping itself comes within 25 s.
    assert!((60 + 23..=60 + 48).contains(after) && word == "bob offline", "{changes:?}");
}

#[tokio::test(start_paused = true)]
async fn who_is_hidden_for_five_minutes_is_away_and_back_at_once_when_seen_l6_22_f4_6() {
    let server = server().await;
    let mut watcher = watcher(&server).await;
    let bob = server.connects("bob", json!({})).await;
    pass(9 * SECOND).await;
    bob.stands("hidden").await;
    pass(299 * SECOND).await;
    assert_eq!(changes(&mut watcher), told([(1, "bob online")]));
    pass(2 * SECOND).await;
    assert_eq!(changes(&mut watcher), told([(310, "bob away")]));
    let carol = server.connects("carol", json!({"presence": "all"})).await;
    assert_eq!(words(&carol.ready["presence"]), ["bob away", "watcher online"]);
    pass(9 * SECOND).await;
    bob.stands("foreground").await;
    pass(SECOND).await;
    assert_eq!(changes(&mut watcher), told([(311, "carol online"), (320, "bob online")]));
    // Seen in between, it begins anew; that another state is said twice does not.
    for state in ["background", "foreground", "hidden", "background", "hidden"] {
        bob.stands(state).await;
        pass(4 * MINUTE).await;
    }
    assert_eq!(changes(&mut watcher), told([(321 + 480 + 300, "bob away")]));
}

#[tokio::test(start_paused = true)]
async fn one_connection_in_the_foreground_is_enough_not_to_be_away_l6_22() {
    let server = server().await;
    let mut watcher = watcher(&server).await;
    let laptop = server.connects("bob", json!({"app_state": "hidden"})).await;
    let phone = server.connects("bob", json!({})).await;
    let _tablet = server.connects("bob", json!({"app_state": "background"})).await;
    pass(10 * MINUTE - SECOND).await;
    assert_eq!(changes(&mut watcher), told([(1, "bob online")]));
    // The last that was seen goes: from now on he sees none of them.
    phone.leaves().await;
    pass(10 * MINUTE).await;
    assert_eq!(changes(&mut watcher), told([(900, "bob away")]));
    // A further one that he does not look at changes nothing, one that he looks at does.
    let _hidden = server.connects("bob", json!({"app_state": "hidden"})).await;
    pass(MINUTE).await;
    assert_eq!(changes(&mut watcher), told([]));
    let _seen = server.connects("bob", json!({})).await;
    pass(MINUTE).await;
    assert_eq!(changes(&mut watcher), told([(1_260, "bob online")]));
    laptop.stands("foreground").await;
    pass(MINUTE).await;
    assert_eq!(changes(&mut watcher), told([]));
}

#[tokio::test(start_paused = true)]
async fn a_blip_neither_brings_back_who_is_away_nor_begins_the_five_minutes_anew_l6_22_l9_15() {
    let server = server().await;
    let mut watcher = watcher(&server).await;
    let mut bob = server.connects("bob", json!({"app_state": "hidden"})).await;
    pass(4 * MINUTE).await;
    for _ in 0..3 {
        bob.breaks();
        pass(5 * SECOND).await;
        bob = server.connects("bob", json!({"app_state": "hidden"})).await;
        pass(MINUTE).await;
    }
    assert_eq!(changes(&mut watcher), told([(1, "bob online"), (301, "bob away")]));
    // Offline is offline, and whoever comes back then is online.
    bob.leaves().await;
    pass(SECOND).await;
    let _bob = server.connects("bob", json!({"app_state": "hidden"})).await;
    pass(MINUTE).await;
    assert_eq!(changes(&mut watcher), told([(436, "bob offline"), (437, "bob online")]));
}

#[tokio::test(start_paused = true)]
async fn every_minute_whoever_watches_is_told_what_the_picture_comes_to_l5_21() {
    let server = server().await;
    let mut watcher = watcher(&server).await;
    let mut nobody = server.connects("nobody", json!({})).await;
    let bob = server.connects("bob", json!({})).await;
    let _carol = server.connects("carol", json!({"app_state": "hidden"})).await;
    let digests = |watcher: &mut Line| -> Vec<(u64, u64, u64)> {
        let heard = watcher.heard();
        let found = heard.iter().filter(|heard| kind(&heard.frame) == "user.presence.digest");
        let number = |heard: &Heard, field: &str| heard.frame["signal"][field].as_u64().unwrap();
        found.map(|heard| (heard.after.as_secs(), number(heard, "online"), number(heard, "away"))).collect()
    };
    pass(150 * SECOND).await;
    assert_eq!(digests(&mut watcher), [(60, 4, 0), (120, 4, 0)], "the watcher is there, too");
    bob.leaves().await;
    pass(3 * MINUTE).await;
    assert_eq!(digests(&mut watcher), [(180, 3, 0), (240, 3, 0), (300, 3, 0)]);
    pass(MINUTE).await;
    assert_eq!(digests(&mut watcher), [(360, 3, 1)]);
    assert_eq!(digests(&mut nobody), []);
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_is_told_the_whole_again_l5_21() {
    let server = server().await;
    let mut watcher = watcher(&server).await;
    let _bob = server.connects("bob", json!({})).await;
    pass(SECOND).await;
    watcher.heard();
    watcher.says(&json!({"type": "presence"})).await;
    let snapshot = watcher.hears("user.presence.snapshot").await;
    assert_eq!(words(&snapshot["signal"]["users"]), ["bob online", "watcher online"]);
}

#[tokio::test(start_paused = true)]
async fn where_more_are_there_than_are_named_it_is_told_how_many_f4_14_f4_15() {
    let server = Still::with(|config| config.limits.presence_named_max = 4).await;
    let mut watcher = watcher(&server).await;
    let mut lines = Vec::new();
    for n in 0..10 {
        let state = if n % 2 == 0 { "hidden" } else { "foreground" };
        lines.push(server.connects(&format!("u{n}"), json!({ "app_state": state })).await);
        pass(2 * SECOND).await;
    }
    // In a word: who is named to be there, and how many more there are.
    let pictures = |watcher: &mut Line| -> Vec<(usize, Option<u64>)> {
        let signals = watcher.heard().into_iter().map(|heard| heard.frame["signal"].clone());
        let told = signals.filter(|signal| signal["type"] != "user.presence.digest" && signal.is_object());
        told.map(|signal| (signal["users"].as_array().unwrap().len(), signal["others"]["online"].as_u64()))
            .collect()
    };
    // The watcher is one of those who are there.
    let mut expected = vec![(1, None); 4];
    expected.extend((5..=11).map(|online| (0, Some(online))));
    assert_eq!(pictures(&mut watcher), expected);
    pass(MINUTE).await;
    assert_eq!(pictures(&mut watcher), [(0, Some(11))], "and every minute again");
    pass(5 * MINUTE).await;
    pictures(&mut watcher);
    let late = server.connects("late", json!({"presence": "all"})).await;
    assert_eq!(late.ready["presence"], json!([]));
    assert_eq!(late.ready["presence_others"], json!({"online": 11, "away": 5}));
    late.leaves().await;
    for line in lines.drain(1..) {
        line.leaves().await;
        pass(2 * SECOND).await;
    }
    let told = pictures(&mut watcher);
    let back = told.iter().position(|(_, others)| others.is_none()).unwrap();
    assert_eq!(told[back], (3, None), "all are named again: {told:?}");
    assert_eq!(told[back + 1..], [(1, None)], "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_reader_for_whom_signals_were_left_out_is_told_who_is_there_when_it_reads_again_l5_22() {
    let server = Still::with(|config| config.limits.queue_bytes_max = 4 * 1_024).await;
    let mut watcher = watcher(&server).await;
    let mut lines = Vec::new();
    watcher.heard();
    watcher.stands_still();
    for n in 0..20 {
        lines.push(server.connects(&format!("u{n:02}"), json!({})).await);
        pass(SECOND).await;
    }
    for line in lines.drain(10..) {
        line.leaves().await;
        pass(SECOND).await;
    }
    assert!(watcher.heard().is_empty());
    // Long before the minute is over.
    watcher.reads_again();
    pass(SECOND).await;
    let heard = watcher.heard();
    let at = heard.iter().rposition(|heard| kind(&heard.frame) == "user.presence.snapshot");
    let at = at.unwrap_or_else(|| panic!("no snapshot in {heard:?}"));
    assert!(heard[at].after < MINUTE, "{heard:?}");
    let there: Vec<String> =
        (0..10).map(|n| format!("u{n:02} online")).chain(["watcher online".to_owned()]).collect();
    assert_eq!(words(&heard[at].frame["signal"]["users"]), there);
    let changes = heard.iter().filter(|heard| kind(&heard.frame) == "user.presence.changed").count();
    assert!((1..30).contains(&changes), "{changes} came, and some were left out");
    // And from then on it hears everything again.
    lines.pop().unwrap().leaves().await;
    pass(SECOND).await;
    assert_eq!(changes_after(&mut watcher), ["u09 offline"]);
}

fn changes_after(watcher: &mut Line) -> Vec<String> {
    changes(watcher).into_iter().map(|(_, word)| word).collect()
}
