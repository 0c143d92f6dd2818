//! Teams: nobody looks out of them, at whatever door.

use serde_json::{Value, json};

use crate::kit::{TestServer, at};

/// Alice is red, Bob is blue, Rob is both; Carol and Carl are of no team.
async fn divided() -> TestServer {
    let server = TestServer::start().await;
    let users = json!({"users": [
        {"id": "alice", "name": "Alice", "teams": ["red"]},
        {"id": "bob", "name": "Bob", "teams": ["blue"]},
        {"id": "rob", "teams": ["red", "blue"]},
        {"id": "carol"},
        {"id": "carl"},
    ]});
    server.backend().post("/v1/users", users).await.ok();
    server
}

fn ids(answer: &Value) -> Vec<&str> {
    answer["users"].as_array().unwrap().iter().map(|user| user["id"].as_str().unwrap()).collect()
}

fn cids(answer: &Value) -> Vec<&str> {
    let channels = answer["channels"].as_array().unwrap();
    channels.iter().map(|state| state["channel"]["cid"].as_str().unwrap()).collect()
}

fn watch(cid: &str) -> Value {
    json!({"type": "watch", "topics": [{"topic": format!("channel:{cid}")}]})
}

#[tokio::test]
async fn users_of_other_teams_are_found_by_no_call_f2_34() {
    let server = divided().await;
    for (viewer, seen) in [
        ("alice", vec!["alice", "rob"]),
        ("bob", vec!["bob", "rob"]),
        ("rob", vec!["alice", "bob", "rob"]),
        ("carol", vec!["carl", "carol"]),
        // Who was never made has no team either.
        ("dave", vec!["carl", "carol"]),
    ] {
        for person in [server.user(viewer), server.backend().acting_as(viewer)] {
            let found = person.post("/v1/users/query", json!({})).await.ok();
            assert_eq!(ids(&found), seen, "{viewer}");
            let widening = json!({"filter": {"$or": [{"id": "bob"}, {"id": {"$exists": true}}]}});
            assert_eq!(ids(&person.post("/v1/users/query", widening).await.ok()), seen, "{viewer}");
            let named = person.get("/v1/users?ids=rob,carl,carol,bob,alice").await.ok();
            let mut named = ids(&named);
            named.sort_unstable();
            assert_eq!(named, seen, "{viewer}");
        }
    }
    let all = server.backend().post("/v1/users/query", json!({})).await.ok();
    assert_eq!(ids(&all), ["alice", "bob", "carl", "carol", "rob"]);
    let named = server.backend().get("/v1/users?ids=rob,nobody,alice").await.ok();
    assert_eq!(ids(&named), ["rob", "alice"], "in the order asked");
}

#[tokio::test]
async fn channels_of_other_teams_are_not_there_at_any_door_f2_35() {
    let server = divided().await;
    let (alice, bob, carol) = (server.user("alice"), server.user("bob"), server.user("carol"));
    let made = alice.post(&at("livestream:red"), json!({})).await.ok_with(201);
    assert_eq!(made["channel"]["team"], "red", "her only team");
    alice.sends("livestream:red", "for the reds").await;
    let rob = server.user("rob");
    rob.post(&at("livestream:of-rob"), json!({})).await.refused("invalid_input");
    rob.post(&at("livestream:blue"), json!({"team": "blue"})).await.ok_with(201);
    carol.post(&at("livestream:all"), json!({})).await.ok_with(201);
    alice.post(&at("livestream:x"), json!({"team": "blue"})).await.refused("not_allowed");
    carol.post(&at("livestream:x"), json!({"team": "red"})).await.refused("not_allowed");
    alice.post(&at("livestream:x"), json!({"data": {"team": "blue"}})).await.refused("reserved_field");
    alice.patch(&at("livestream:red"), json!({"set": {"team": "blue"}})).await.refused("reserved_field");

    for (person, seen) in [
        (&alice, vec!["livestream:red"]),
        (&bob, vec!["livestream:blue"]),
        (&rob, vec!["livestream:blue", "livestream:red"]),
        (&carol, vec!["livestream:all"]),
    ] {
        let found = person.post("/v1/channels", json!({"sort": [{"field": "created_at"}]})).await.ok();
        let mut found = cids(&found);
        found.sort_unstable();
        assert_eq!(found, seen);
        for cid in ["livestream:red", "livestream:blue", "livestream:all"] {
            let text = json!({"message": {"text": "hi"}});
            let is_seen = seen.contains(&cid);
            let mut live = person.connects_with(json!({})).await;
            live.says(&watch(cid)).await;
            let heard = live.settles().await;
            if is_seen {
                person.get(&at(cid)).await.ok();
                person.post(&at(&format!("{cid}/messages")), text).await.ok();
                assert_eq!(live.hears("message.new").await["topic"], format!("channel:{cid}"));
            } else {
                person.get(&at(cid)).await.refused("not_found");
                person.post(&at(cid), json!({})).await.refused("not_found");
                person.get(&at(&format!("{cid}/messages"))).await.refused("not_found");
                person.post(&at(&format!("{cid}/messages")), text).await.refused("not_found");
                person.get(&at(&format!("{cid}/members"))).await.refused("not_found");
                assert_eq!(heard[0]["error"]["code"], "not_found", "{heard:?}");
            }
            live.leaves().await;
        }
    }
    let found = server.backend().post("/v1/channels", json!({"filter": {"team": "red"}})).await.ok();
    assert_eq!(cids(&found), ["livestream:red"]);
}

#[tokio::test]
async fn the_same_members_of_another_team_are_another_channel_f2_35() {
    let server = divided().await;
    let backend = server.backend();
    backend.post("/v1/users", json!({"users": [{"id": "ron", "teams": ["blue", "red"]}]})).await.ok();
    let rob = server.user("rob");
    let distinct = async |team: Value| {
        let asked = json!({"members": ["ron"], "team": team});
        rob.post("/v1/channels/messaging", asked).await.ok()["channel"].clone()
    };
    let (red, blue) = (distinct(json!("red")).await, distinct(json!("blue")).await);
    assert_ne!(red["cid"], blue["cid"]);
    assert_eq!((&red["team"], &blue["team"]), (&json!("red"), &json!("blue")));
    assert_eq!(distinct(json!("red")).await["cid"], red["cid"]);
    let asked = json!({"members": ["ron"]});
    rob.post("/v1/channels/messaging", asked).await.refused("invalid_input");
    // Who has one team need not name it, and means the same channel.
    backend.patch("/v1/users/alice", json!({"set": {"teams": ["red"]}})).await.ok();
    let alice = server.user("alice");
    let named = alice.post("/v1/channels/messaging", json!({"members": ["rob"], "team": "red"})).await.ok();
    let unnamed = alice.post("/v1/channels/messaging", json!({"members": ["rob"]})).await.ok();
    assert_eq!(named["channel"]["cid"], unnamed["channel"]["cid"]);
    let error = alice.post("/v1/channels/messaging", json!({"members": ["bob"]})).await;
    error.refused("invalid_input");
}

#[tokio::test]
async fn presence_stays_inside_the_team_f2_34() {
    let server = divided().await;
    let mut alice = server.user("alice").connects_with(json!({"presence": "all"})).await;
    let carol = server.user("carol").connects().await;
    let _bob = server.user("bob").connects().await;
    let _rob = server.user("rob").connects().await;
    let mut told = Vec::new();
    while !told.contains(&json!("rob")) {
        let heard = alice.hears("user.presence.changed").await;
        let users = heard["signal"]["users"].as_array().unwrap().clone();
        told.extend(users.into_iter().map(|user| user["user_id"].clone()).filter(|user| user != "alice"));
    }
    assert_eq!(told, [json!("rob")], "neither Bob nor Carol, who came before");
    let rob_too = server.user("rob").connects_with(json!({"presence": "all"})).await;
    let there: Vec<_> =
        rob_too.ready["presence"].as_array().unwrap().iter().map(|user| user["user_id"].clone()).collect();
    assert_eq!(there, [json!("alice"), json!("bob"), json!("rob")], "himself, on the other device");
    drop(carol);
}

#[tokio::test]
async fn who_changes_teams_hears_no_more_of_the_old_one_f2_35() {
    let server = divided().await;
    let (alice, rob) = (server.user("alice"), server.user("rob"));
    alice.post(&at("livestream:red"), json!({})).await.ok_with(201);
    alice.post(&at("messaging:red"), json!({"members": ["rob"]})).await.ok_with(201);
    let mut live = rob.connects().await;
    live.says(&watch("livestream:red")).await;
    assert!(live.settles().await.is_empty());
    server.backend().patch("/v1/users/rob", json!({"set": {"teams": ["blue"]}})).await.ok();
    let (heard, code) = live.until_closed().await;
    assert_eq!(code, Some(4203), "{heard:?}");
    alice.sends("livestream:red", "for the reds").await;
    let mut again = rob.connects().await;
    assert!(again.ready["heads"].get("channel:messaging:red").is_none(), "{:?}", again.ready);
    again.says(&watch("livestream:red")).await;
    assert_eq!(again.hears("error").await["error"]["code"], "not_found");
    // The same teams again are no change.
    server.backend().patch("/v1/users/rob", json!({"set": {"teams": ["blue"], "name": "Rob"}})).await.ok();
    assert_eq!(again.hears("user.updated").await["event"]["user"]["name"], "Rob");
    rob.get("/v1/me").await.ok();
    assert_eq!(again.settles().await.len(), 0);
}
