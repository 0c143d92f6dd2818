//! Channels: made once, found, changed, deleted, and hidden from strangers.

use serde_json::{Value, json};

use crate::kit::{Answer, GENERAL, Person, TestServer, at};

fn cids(answer: &Value) -> Vec<&str> {
    let channels = answer["channels"].as_array().unwrap();
    channels.iter().map(|state| state["channel"]["cid"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_channel_is_made_once_by_its_id() {
    let server = TestServer::with_users(&["alice", "bob"]).await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let first =
        alice.post(&at(GENERAL), json!({"members": ["bob"], "data": {"name": "General", "n": 1}})).await;
    let first = first.ok_with(201);
    assert_eq!((&first["created"], &first["channel"]["name"]), (&json!(true), &json!("General")));
    assert_eq!(
        (&first["channel"]["member_count"], &first["channel"]["created_by"]["id"]),
        (&json!(2), &json!("alice"))
    );
    assert_eq!(first["membership"]["channel_role"], "owner");
    let again = bob.post(&at(GENERAL), json!({"data": {"name": "Mine", "n": 2}})).await.ok_with(200);
    assert_eq!(
        (&again["created"], &again["channel"]),
        (&json!(false), &first["channel"]),
        "it is left alone"
    );
    assert_eq!(again["membership"]["channel_role"], "member");
}

#[tokio::test]
async fn two_who_make_the_same_channel_at_once_make_one() {
    let server = TestServer::with_users(&["alice", "bob"]).await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    for _ in 0..20 {
        let one = alice.post("/v1/channels/messaging", json!({"members": ["bob"]}));
        let two = bob.post("/v1/channels/messaging", json!({"members": ["alice"]}));
        let (one, two) = tokio::join!(one, two);
        assert_eq!(one.ok()["channel"]["cid"], two.ok()["channel"]["cid"]);
    }
    let found = alice.post("/v1/channels", json!({})).await.ok();
    assert_eq!(cids(&found).len(), 1);
}

#[tokio::test]
async fn the_same_members_in_any_order_are_the_same_channel() {
    let server = TestServer::with_users(&["alice", "bob", "carol"]).await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let by = async |person: &Person, members: Value| {
        let answer = person.post("/v1/channels/messaging", json!({ "members": members })).await;
        (answer.status, answer.ok()["channel"]["cid"].clone())
    };
    let (status, cid) = by(&alice, json!(["bob", "carol"])).await;
    assert_eq!(status, 201);
    for (person, members) in [
        (&alice, json!(["carol", "bob"])),
        (&alice, json!(["carol", "bob", "alice", "bob"])),
        (&bob, json!(["alice", "carol"])),
    ] {
        assert_eq!(by(person, members).await, (200, cid.clone()));
    }
    let (status, pair) = by(&alice, json!(["bob"])).await;
    assert_eq!(status, 201);
    assert_ne!(pair, cid);
    alice.post("/v1/channels/messaging", json!({"members": []})).await.refused("invalid_input");
    alice.post("/v1/channels/messaging", json!({"members": ["alice"]})).await.refused("invalid_input");
    // Names that the server derives are not for taking.
    alice.post("/v1/channels/messaging/!members-mine", json!({})).await.refused("not_found");
    alice.post(&at(cid.as_str().unwrap()), json!({})).await.ok_with(200);
}

#[tokio::test]
async fn members_have_to_exist_and_types_have_to_be_known() {
    let server = TestServer::with_users(&["alice"]).await;
    let alice = server.user("alice");
    let error = alice.post(&at(GENERAL), json!({"members": ["ghost"]})).await.refused("invalid_input");
    assert!(error["message"].as_str().unwrap().contains("ghost"), "{error}");
    alice.get(&at(GENERAL)).await.refused("not_found");
    let error = alice.post("/v1/channels/confetti/a", json!({})).await.refused("invalid_input");
    assert!(error["message"].as_str().unwrap().contains("messaging, livestream"), "{error}");
}

#[tokio::test]
async fn channels_are_found_by_filter_sorted_and_paged() {
    let server = TestServer::with_users(&["alice", "bob", "carol"]).await;
    let alice = server.user("alice");
    for n in 0..7 {
        let members = if n % 2 == 0 { json!(["bob"]) } else { json!(["bob", "carol"]) };
        let data = json!({"name": format!("Room {n}"), "colour": if n < 3 { "red" } else { "blue" }, "n": n});
        let path = format!("/v1/channels/messaging/room{n}");
        alice.post(&path, json!({"members": members, "data": data})).await.ok_with(201);
    }
    server.user("carol").makes("messaging:hers", &[]).await;
    let find = async |query: Value| alice.post("/v1/channels", query).await.ok();
    let by_cid = json!([{"field": "cid", "direction": 1}]);
    let red = find(json!({"filter": {"custom.colour": "red"}, "sort": by_cid})).await;
    assert_eq!(cids(&red), ["messaging:room0", "messaging:room1", "messaging:room2"]);
    let big = find(json!({"filter": {"member_count": {"$gte": 3}}, "sort": by_cid})).await;
    assert_eq!(cids(&big), ["messaging:room1", "messaging:room3", "messaging:room5"]);
    let either = json!({"$or": [{"custom.n": {"$in": [0, 6]}}, {"id": "room3"}]});
    let either = find(json!({"filter": either, "sort": by_cid})).await;
    assert_eq!(cids(&either), ["messaging:room0", "messaging:room3", "messaging:room6"]);
    let carols =
        find(json!({"filter": {"members": {"$in": ["carol"]}, "custom.colour": "blue"}, "sort": by_cid}))
            .await;
    assert_eq!(cids(&carols), ["messaging:room3", "messaging:room5"]);
    let named = find(json!({"filter": {"name": {"$autocomplete": "room 4"}}})).await;
    assert_eq!(cids(&named), ["messaging:room4"]);
    assert_eq!(cids(&find(json!({"filter": {"custom.none": {"$exists": true}}})).await), [""; 0]);

    alice.sends("messaging:room2", "news").await;
    let latest = find(json!({"limit": 1, "messages": 1})).await;
    assert_eq!(cids(&latest), ["messaging:room2"], "the latest activity comes first");
    assert_eq!(latest["channels"][0]["messages"][0]["text"], "news");

    let mut pages = Vec::new();
    let mut next = Value::Null;
    loop {
        let mut query = json!({"sort": by_cid, "limit": 3});
        if !next.is_null() {
            query["next"] = next;
        }
        let page = find(query).await;
        pages.extend(cids(&page).into_iter().map(str::to_owned));
        next = page["next"].clone();
        if next.is_null() {
            break;
        }
    }
    let all: Vec<String> = (0..7).map(|n| format!("messaging:room{n}")).collect();
    assert_eq!(pages, all, "each once, and nothing that is not hers");

    for (query, code) in [
        (json!({"limit": 0}), "invalid_input"),
        (json!({"limit": 31}), "invalid_input"),
        (json!({"messages": 101}), "invalid_input"),
        (json!({"next": "x"}), "invalid_input"),
        (json!({"filters": {}}), "invalid_input"),
        (json!({"filter": {"$where": "1"}}), "unsupported_filter"),
        (json!({"filter": {"a') or 1=1--": 1}}), "unsupported_filter"),
        (json!({"filter": {"name": {"$regex": ".*"}}}), "unsupported_filter"),
        (json!({"sort": [{"field": "secret"}]}), "unsupported_filter"),
        (json!({"sort": [{"field": "cid", "direction": 2}]}), "unsupported_filter"),
    ] {
        alice.post("/v1/channels", query).await.refused(code);
    }
    find(json!({"limit": 30, "messages": 100})).await;
    find(json!({"limit": 1, "messages": 0})).await;
}

#[tokio::test]
async fn its_owner_changes_a_channel_and_members_hear_it() {
    let server = TestServer::with_users(&["alice", "bob"]).await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    alice.post(&at(GENERAL), json!({"members": ["bob"], "data": {"name": "A", "image": "i"}})).await.ok();
    let mut live = bob.connects().await;
    let update = json!({"set": {"name": "B", "topic": {"x": null}}, "unset": ["image"]});
    let updated = alice.patch(&at(GENERAL), update).await.ok();
    let heard = live.hears("channel.updated").await;
    for channel in [&updated["channel"], &heard["event"]["channel"]] {
        assert_eq!((&channel["name"], &channel["topic"]), (&json!("B"), &json!({"x": null})));
        assert!(channel.get("image").is_none());
    }
    bob.patch(&at(GENERAL), json!({"set": {"name": "C"}})).await.refused("not_allowed");
    let error =
        alice.patch(&at(GENERAL), json!({"set": {"member_count": 7}})).await.refused("reserved_field");
    assert_eq!(error["fields"]["member_count"], "reserved");
    alice.patch(&at(GENERAL), json!({"unset": ["created_by"]})).await.refused("reserved_field");
    server.backend().patch(&at(GENERAL), json!({"set": {"name": "D"}})).await.ok();
    assert_eq!(bob.get(&at(GENERAL)).await.ok()["channel"]["name"], "D");
}

#[tokio::test]
async fn a_channels_data_has_at_most_5120_bytes() {
    let server = TestServer::with_users(&["alice"]).await;
    let alice = server.user("alice");
    let data = |bytes: usize| json!({"pad": "x".repeat(bytes - r#"{"pad":""}"#.len())});
    alice.post(&at(GENERAL), json!({"data": data(5_121)})).await.refused("too_large");
    alice.get(&at(GENERAL)).await.refused("not_found");
    alice.post(&at(GENERAL), json!({"data": data(5_120)})).await.ok_with(201);
    // The limit holds for what comes out of it, not only for what is sent.
    alice.patch(&at(GENERAL), json!({"set": {"a": 1}})).await.refused("too_large");
    assert_eq!(alice.get(&at(GENERAL)).await.ok()["channel"]["a"], Value::Null);
    alice.patch(&at(GENERAL), json!({"set": {"a": 1}, "unset": ["pad"]})).await.ok();
}

#[tokio::test]
async fn a_channel_is_deleted_by_its_owner_and_is_gone_for_all() {
    let server = TestServer::with_users(&["alice", "bob"]).await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    alice.makes(GENERAL, &["bob"]).await;
    alice.sends(GENERAL, "hi").await;
    let mut live = bob.connects().await;
    bob.delete(&at(GENERAL)).await.refused("not_allowed");
    assert_eq!(alice.delete(&at(GENERAL)).await.status, 204);
    live.hears("notification.removed_from_channel").await;
    for person in [&alice, &bob, &server.backend()] {
        person.get(&at(GENERAL)).await.refused("not_found");
        person.get(&at("messaging:general/messages")).await.refused("not_found");
    }
    alice.delete(&at(GENERAL)).await.refused("not_found");
    assert_eq!(bob.get("/v1/unread").await.ok()["total_unread_count"], 0);
    assert_eq!(cids(&bob.post("/v1/channels", json!({})).await.ok()), [""; 0]);
    // The id is free again, and what stood there before does not come back.
    let made = bob.makes(GENERAL, &[]).await;
    assert_eq!((&made["messages"], &made["channel"]["member_count"]), (&json!([]), &json!(1)));
    assert_eq!(live.hears("notification.added_to_channel").await["event"]["cid"], GENERAL);
}

/// A refusal without what differs between any two requests.
fn shape(answer: Answer, cid: &str) -> (u16, String) {
    let mut body = answer.json();
    body["error"]["request_id"] = json!("");
    (answer.status, body.to_string().replace(cid, "CID"))
}

#[tokio::test]
async fn to_a_stranger_a_private_channel_looks_like_one_that_does_not_exist() {
    let server = TestServer::with_users(&["alice", "bob", "mallory"]).await;
    let (alice, mallory) = (server.user("alice"), server.user("mallory"));
    alice.makes("messaging:secret", &["bob"]).await;
    let message = alice.sends_as("messaging:secret", "m1", "hush").await.ok_with(201);
    let update = json!({"set": {"name": "Mine"}});
    for (method, below, body) in [
        ("GET", "", None),
        ("PATCH", "", Some(update)),
        ("DELETE", "", None),
        ("GET", "/members", None),
        ("POST", "/members", Some(json!({"add": ["mallory"]}))),
        ("POST", "/members", Some(json!({"remove": ["mallory"]}))),
        ("POST", "/members", Some(json!({"remove": ["bob"]}))),
        ("POST", "/members", Some(json!({"add": ["ghost"]}))),
        ("GET", "/messages", None),
        ("GET", "/messages?around_id=m1", None),
        ("POST", "/messages", Some(json!({"message": {"text": "me too"}}))),
        ("POST", "/messages", Some(json!({"message": {"id": "m1", "text": "hush"}}))),
        ("GET", "/messages/m1", None),
        ("PATCH", "/messages/m1", Some(json!({"text": "x"}))),
        ("DELETE", "/messages/m1", None),
        ("DELETE", "/messages/m1?hard=true", None),
        ("POST", "/read", Some(json!({}))),
        ("POST", "/unread", Some(json!({"message_id": "m1"}))),
    ] {
        let ask = async |cid: &str| {
            let body = body.as_ref().map(|body| body.to_string().into_bytes());
            let path = at(&format!("{cid}{below}"));
            shape(mallory.asks(method, &path, body.as_deref()).await, cid)
        };
        let (secret, missing) = (ask("messaging:secret").await, ask("messaging:missing").await);
        assert_eq!(secret.0, 404, "{method} {below}: {secret:?}");
        assert_eq!(secret, missing, "{method} {below}");
    }
    mallory.post(&at("messaging:secret"), json!({})).await.refused("not_found");
    assert_eq!(cids(&mallory.post("/v1/channels", json!({})).await.ok()), [""; 0]);
    let by_id = json!({"filter": {"id": "secret"}});
    assert_eq!(cids(&mallory.post("/v1/channels", by_id).await.ok()), [""; 0]);

    let mut live = mallory.connects().await;
    let mut seen = Vec::new();
    for cid in ["messaging:secret", "messaging:missing"] {
        let topic = format!("channel:{cid}");
        live.says(&json!({"type": "watch", "topics": [{"topic": topic, "after": 0}]})).await;
        live.says(&json!({"type": "signal", "topic": topic, "signal": {"type": "typing.start"}})).await;
        let errors = live.settles().await;
        seen.push(serde_json::to_string(&errors).unwrap().replace(cid, "CID"));
        assert_eq!(errors.len(), 2, "{errors:?}");
        assert_eq!(errors[0]["error"]["code"], "not_found");
    }
    assert_eq!(seen[0], seen[1]);
    // And nothing happened.
    let after = alice.get(&at("messaging:secret")).await.ok();
    assert_eq!(
        (&after["messages"], &after["channel"]["member_count"]),
        (&json!([message["message"]]), &json!(2))
    );
}

#[tokio::test]
async fn a_livestream_is_read_watched_and_written_by_all() {
    let server = TestServer::with_users(&["alice", "bob"]).await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let cid = "livestream:cup";
    alice.makes(cid, &[]).await;
    alice.sends(cid, "kick-off").await;
    let state = bob.get(&at(cid)).await.ok();
    assert_eq!((&state["messages"][0]["text"], &state["membership"]), (&json!("kick-off"), &Value::Null));
    bob.get(&at("livestream:cup/members")).await.ok();
    assert_eq!(cids(&bob.post("/v1/channels", json!({})).await.ok()), [cid]);
    let mut live = bob.connects().await;
    alice.sends(cid, "not heard").await;
    assert_eq!(live.settles().await, [Value::Null; 0], "who does not watch hears nothing");
    let topic = "channel:livestream:cup";
    live.says(&json!({"type": "watch", "topics": [{"topic": topic, "after": state["head"]}]})).await;
    assert_eq!(live.hears("message.new").await["event"]["message"]["text"], "not heard");
    bob.sends(cid, "goal").await;
    assert_eq!(live.hears("message.new").await["event"]["message"]["text"], "goal");
    live.says(&json!({"type": "unwatch", "topics": [topic]})).await;
    live.settles().await;
    alice.sends(cid, "the end").await;
    assert_eq!(live.settles().await, [Value::Null; 0]);
    // What owners do stays the owner's.
    bob.patch(&at(cid), json!({"set": {"name": "x"}})).await.refused("not_allowed");
    bob.delete(&at(cid)).await.refused("not_allowed");
    bob.post(&at("livestream:cup/members"), json!({"add": ["bob"]})).await.refused("not_allowed");
}

#[tokio::test]
async fn a_livestreams_members_read_for_themselves_and_nobody_is_told() {
    let server = TestServer::with_users(&["alice", "bob"]).await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let cid = "livestream:cup";
    alice.makes(cid, &[]).await;
    let mut live = bob.connects().await;
    live.says(&json!({"type": "watch", "topics": [{"topic": "channel:livestream:cup"}]})).await;
    bob.sends(cid, "goal").await;
    live.hears("message.new").await;
    let unread = alice.get("/v1/unread").await.ok();
    assert_eq!(unread["total_unread_count"], 1);
    let read = alice.post(&at("livestream:cup/read"), json!({})).await.ok();
    assert_eq!(read["unread"]["unread_messages"], 0);
    assert_eq!(alice.get("/v1/unread").await.ok()["total_unread_count"], 0);
    assert_eq!(live.settles().await, [Value::Null; 0], "nobody hears how far an owner has read");
    bob.post(&at("livestream:cup/read"), json!({})).await.refused("not_allowed");
}
