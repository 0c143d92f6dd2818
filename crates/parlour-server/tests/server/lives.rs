//! Users are deactivated, deleted, exported, and come back.

use serde_json::{Value, json};

use crate::kit::{GENERAL, Person, TestServer, WAIT, at, unchunked};

/// Asks how far a task is until it is at its end.
async fn finished(backend: &Person, answer: Value) -> Value {
    let id = answer["task"]["id"].as_str().unwrap().to_owned();
    let until = std::time::Instant::now() + WAIT;
    loop {
        let task = backend.get(&format!("/v1/tasks/{id}")).await.ok()["task"].clone();
        if !task["finished_at"].is_null() {
            return task;
        }
        assert!(std::time::Instant::now() < until, "{task}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn who_is_deactivated_is_cut_off_at_every_door_until_reactivated_f2_20_f2_21() {
    let server = TestServer::with_users(&["alice", "bob"]).await;
    let (alice, backend) = (server.user("alice"), server.backend());
    alice.makes(GENERAL, &["bob"]).await;
    let mut socket = alice.connects().await;
    let mut stream = alice.streams_with(json!({})).await;
    let answered = backend.post("/v1/users/alice/deactivate", json!({})).await.ok();
    assert!(answered["user"]["deactivated_at"].is_string(), "{answered}");
    let (heard, code) = socket.until_closed().await;
    assert_eq!(code, Some(4003), "{heard:?}");
    let told = stream.until_over().await;
    assert_eq!(told.last().unwrap()["code"], 4003, "{told:?}");

    let (error, code) = alice.is_refused(&alice.hello()).await;
    assert_eq!((error["code"].as_str(), code), (Some("user_deactivated"), 4003));
    let told = alice.opens_stream(&alice.hello()).await.until_over().await;
    assert_eq!((&told[0]["error"]["code"], &told[1]["code"]), (&json!("user_deactivated"), &json!(4003)));
    let told = alice.polls(&alice.hello()).await;
    assert_eq!((&told[0]["error"]["code"], &told[1]["code"]), (&json!("user_deactivated"), &json!(4003)));
    for person in [&alice, &backend.acting_as("alice")] {
        person.sends_as(GENERAL, "m1", "hi").await.refused("user_deactivated");
        person.get("/v1/me").await.refused("user_deactivated");
        person.get(&at(GENERAL)).await.refused("user_deactivated");
        person.post(&at(&format!("{GENERAL}/read")), json!({})).await.refused("user_deactivated");
        person.post("/v1/devices", json!({"id": "x", "provider": "fcm"})).await.refused("user_deactivated");
    }
    // Others go on, see her where she is a member, and do not find her.
    let bob = server.user("bob");
    bob.sends(GENERAL, "where is she?").await;
    let found = bob.post("/v1/users/query", json!({})).await.ok();
    assert_eq!(found["users"].as_array().unwrap().len(), 1);
    let asked = json!({"include_inactive": true, "filter": {"deactivated_at": {"$exists": true}}});
    assert_eq!(backend.post("/v1/users/query", asked).await.ok()["users"][0]["id"], "alice");

    bob.post("/v1/users/bob/deactivate", json!({})).await.refused("server_token_required");
    bob.post("/v1/users/alice/reactivate", json!({})).await.refused("server_token_required");
    backend.post("/v1/users/alice/reactivate", json!({})).await.ok();
    alice.sends(GENERAL, "here").await;
    alice.connects().await.leaves().await;
    backend.post("/v1/users/nobody/deactivate", json!({})).await.refused("not_found");
}

#[tokio::test]
async fn who_was_deleted_is_restored_with_all_she_had_f2_22_f2_25() {
    let server = TestServer::with_users(&["alice", "bob"]).await;
    let (alice, backend) = (server.user("alice"), server.backend());
    alice.makes(GENERAL, &["bob"]).await;
    alice.sends(GENERAL, "kept").await;
    let mut live = alice.connects().await;
    let task = backend.delete("/v1/users/alice").await.ok_with(202);
    assert_eq!(live.until_closed().await.1, Some(4003));
    assert_eq!((&task["task"]["kind"], &task["task"]["user_id"]), (&json!("user.delete"), &json!("alice")));
    let task = finished(&backend, task).await;
    assert_eq!((&task["status"], &task["progress"]["percent"]), (&json!("completed"), &json!(100)));
    let (error, code) = alice.is_refused(&alice.hello()).await;
    assert_eq!((error["code"].as_str(), code), (Some("user_deleted"), 4003));
    alice.get("/v1/me").await.refused("user_deleted");
    backend.post("/v1/users", json!({"users": [{"id": "alice"}]})).await.refused("user_deleted");
    backend.patch("/v1/users/alice", json!({"set": {"name": "A"}})).await.refused("user_deleted");
    backend.post("/v1/users/alice/reactivate", json!({})).await.refused("user_deleted");
    let bob = server.user("bob");
    assert_eq!(bob.get("/v1/users?ids=alice").await.ok()["users"], json!([]));
    assert!(backend.get("/v1/users?ids=alice").await.ok()["users"][0]["deleted_at"].is_string());
    bob.makes("messaging:another", &[]).await;
    let adding = json!({"add": ["alice"]});
    bob.post(&at("messaging:another/members"), adding).await.refused("invalid_input");

    backend.post("/v1/users/alice/restore", json!({})).await.ok();
    let page = alice.get(&at(&format!("{GENERAL}/messages"))).await.ok();
    assert_eq!(page["messages"][0]["text"], "kept");
    alice.sends(GENERAL, "back").await;
}

#[tokio::test]
async fn who_is_deleted_for_good_leaves_an_id_that_nobody_else_gets_f2_23() {
    let server = TestServer::with_users(&["alice", "bob", "carol"]).await;
    let (alice, bob, backend) = (server.user("alice"), server.user("bob"), server.backend());
    alice.makes(GENERAL, &["bob", "carol"]).await;
    let direct = alice.post("/v1/channels/messaging", json!({"members": ["bob"]})).await.ok();
    let direct = direct["channel"]["cid"].as_str().unwrap().to_owned();
    alice.sends(GENERAL, "gone").await;
    alice.sends(&direct, "gone too").await;
    bob.sends(GENERAL, "stays").await;
    let mut live = bob.connects().await;
    let path = "/v1/users/alice?hard=true&messages=hard&channels=direct";
    let task = finished(&backend, backend.delete(path).await.ok_with(202)).await;
    assert_eq!((&task["status"], &task["progress"]["done"]), (&json!("completed"), &json!(4)), "{task}");
    live.hears("message.deleted").await;
    live.hears("member.removed").await;
    bob.get(&at(&direct)).await.refused("not_found");
    let page = bob.get(&at(&format!("{GENERAL}/messages"))).await.ok();
    let texts: Vec<_> = page["messages"].as_array().unwrap().iter().map(|m| &m["text"]).collect();
    assert_eq!(texts, ["stays"]);
    assert_eq!(alice.is_refused(&alice.hello()).await.1, 4003);
    backend.post("/v1/users", json!({"users": [{"id": "alice"}]})).await.refused("user_deleted");
    backend.post("/v1/users/alice/restore", json!({})).await.refused("not_found");
    backend.delete("/v1/users/alice?hard=true").await.refused("not_found");
    backend.post("/v1/users/alice/export", json!({})).await.refused("not_found");
    backend.get(&format!("/v1/tasks/{}/result", task["id"].as_str().unwrap())).await.refused("not_found");
}

#[tokio::test]
async fn what_contradicts_itself_deletes_nobody_f2_23() {
    let server = TestServer::with_users(&["alice"]).await;
    let backend = server.backend();
    for bad in
        ["messages=hard", "channels=direct", "messages=all", "channels=delete", "hard=yes", "soft=true"]
    {
        backend.delete(&format!("/v1/users/alice?{bad}")).await.refused("invalid_input");
    }
    server.user("alice").delete("/v1/users/alice").await.refused("server_token_required");
    backend.delete("/v1/users/nobody").await.refused("not_found");
    assert!(backend.sees("alice").await.unwrap().get("deleted_at").is_none());
}

#[tokio::test]
async fn an_export_is_fetched_as_lines_of_json_f2_24_f2_26() {
    let server = TestServer::with_users(&["alice", "bob"]).await;
    let (alice, bob, backend) = (server.user("alice"), server.user("bob"), server.backend());
    alice.patch("/v1/users/alice", json!({"set": {"name": "Alice", "secret": {"x": 1}}})).await.ok();
    alice.makes(GENERAL, &["bob"]).await;
    for n in 0..120 {
        alice.sends(GENERAL, &format!("mine\n{n}")).await;
    }
    bob.sends(GENERAL, "not hers").await;
    alice.post("/v1/devices", json!({"id": "phone", "provider": "apn"})).await.ok();
    alice.post("/v1/users/alice/export", json!({})).await.refused("server_token_required");
    let task = finished(&backend, backend.post("/v1/users/alice/export", json!({})).await.ok_with(202)).await;
    let result = task["result"].as_str().unwrap();
    alice.get(result).await.refused("server_token_required");
    alice.get(&format!("/v1/tasks/{}", task["id"].as_str().unwrap())).await.refused("server_token_required");
    let answer = backend.get(result).await;
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson; charset=utf-8"));
    let text = String::from_utf8(unchunked(&answer)).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&str> = lines.iter().map(|line| line["type"].as_str().unwrap()).collect();
    assert_eq!(kinds[..4], ["user", "device", "membership", "read"]);
    assert_eq!(kinds[4..], ["message"; 120]);
    assert_eq!(lines[0]["user"]["secret"], json!({"x": 1}));
    assert_eq!(lines[123]["message"]["text"], "mine\n119");
    backend.get("/v1/tasks/never").await.refused("not_found");
    backend.post("/v1/users/nobody/export", json!({})).await.refused("not_found");
}
