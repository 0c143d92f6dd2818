//! Users: what connecting, replacing and changing do to them.

use serde_json::{Value, json};

use crate::kit::{Heard, TestServer};

/// Fields whose JSON, with all of them together, has this many bytes.
fn padded(mut fields: Value, bytes: usize) -> Value {
    fields["pad"] = json!("");
    let missing = bytes - fields.to_string().len();
    fields["pad"] = json!("x".repeat(missing));
    assert_eq!(fields.to_string().len(), bytes);
    fields
}

fn with_id(id: &str, fields: &Value) -> Value {
    let mut user = fields.clone();
    user["id"] = json!(id);
    user
}

#[tokio::test]
async fn connecting_makes_the_user_and_merges_what_is_sent_l1_7_f2_9() {
    let server = TestServer::start().await;
    let alice = server.user("alice");
    assert_eq!(alice.sees("alice").await, None);

    let first = alice.connects_as(json!({"id": "alice", "name": "Alice", "colour": "green", "n": 1.5})).await;
    assert_eq!(first.ready["me"]["name"], "Alice");
    assert_eq!(first.ready["me"]["role"], "user");
    let second =
        alice.connects_as(json!({"id": "alice", "colour": "blue", "pet": null, "more": {"a": [1]}})).await;
    let third = alice.connects().await;
    for me in [&second.ready["me"], &third.ready["me"], &alice.sees("alice").await.unwrap()] {
        assert_eq!(me["name"], "Alice", "what is not sent is kept");
        assert_eq!(me["colour"], "blue");
        assert_eq!(me["n"], 1.5);
        assert_eq!(me.get("pet"), Some(&Value::Null), "a null is a value like any other");
        assert_eq!(me["more"], json!({"a": [1]}), "one level deep: a key's whole value is set");
    }
    assert_eq!(second.ready["me"]["created_at"], first.ready["me"]["created_at"]);
}

#[tokio::test]
async fn what_only_the_server_sets_is_ignored_on_every_path_f2_7_f2_8() {
    let server = TestServer::start().await;
    let alice = server.user("alice");
    let reserved = json!({
        "id": "alice", "name": "A", "online": false, "created_at": "1999-01-01T00:00:00.000Z", "banned": true,
        "total_unread_count": 99, "devices": [1], "mutes": ["bob"], "last_active": 7,
    });
    let live = alice.connects_as(reserved.clone()).await;
    let me = &live.ready["me"];
    assert_eq!(me["online"], true);
    assert_eq!(me["total_unread_count"], 0);
    assert_eq!((&me["devices"], &me["mutes"]), (&json!([]), &json!([])));

    server.backend().post("/v1/users", json!({"users": [reserved.clone()]})).await.ok();
    alice.patch("/v1/users/alice", json!({"set": reserved, "unset": ["online", "created_at"]})).await.ok();
    let seen = alice.sees("alice").await.unwrap();
    assert!(seen.get("banned").is_none() && seen.get("total_unread_count").is_none(), "{seen}");
    assert_eq!((&seen["name"], &seen["online"]), (&json!("A"), &json!(true)));
    assert!(seen["created_at"].as_str().unwrap() > "2020", "{seen}");
}

#[tokio::test]
async fn the_merged_user_is_smaller_than_5120_bytes_or_nothing_is_stored_l6_39_f2_3_f2_4() {
    let server = TestServer::start().await;
    let alice = server.user("alice");
    let stored = json!({"name": "Alice", "kept": "é".repeat(600)});
    alice.connects_as(with_id("alice", &stored)).await;
    let seen = alice.sees("alice").await;

    let over = padded(stored.clone(), 5_120);
    let update = json!({"id": "alice", "pad": over["pad"]});
    let (error, code) = alice.is_refused(&alice.hello_with(json!({"user": update}))).await;
    assert_eq!((error["code"].as_str(), code), (Some("too_large"), 4000), "{error}");
    alice.patch("/v1/users/alice", json!({"set": {"pad": over["pad"]}})).await.refused("too_large");
    assert_eq!(alice.sees("alice").await, seen, "what was refused left nothing behind");

    let fits = padded(stored.clone(), 5_119);
    alice.patch("/v1/users/alice", json!({"set": {"pad": fits["pad"]}})).await.ok();
    alice.patch("/v1/users/alice", json!({"set": {"name": "Alice!"}})).await.refused("too_large");
    alice.patch("/v1/users/alice", json!({"unset": ["pad"]})).await.ok();
    let live = alice.connects_as(json!({"id": "alice", "pad": fits["pad"]})).await;
    assert_eq!(live.ready["me"]["pad"], fits["pad"]);

    let backend = server.backend();
    backend.post("/v1/users", json!({"users": [with_id("bob", &over)]})).await.refused("too_large");
    assert_eq!(backend.sees("bob").await, None);
    backend.post("/v1/users", json!({"users": [with_id("bob", &fits)]})).await.ok();
    let (error, _) = server
        .user("carol")
        .is_refused(&{
            let carol = server.user("carol");
            carol.hello_with(json!({"user": with_id("carol", &over)}))
        })
        .await;
    assert_eq!(error["code"], "too_large");
    assert_eq!(backend.sees("carol").await, None, "a refused user is not made");
}

#[tokio::test]
async fn nobody_raises_her_own_role_or_teams_on_any_path_f2_13_f2_14() {
    let server = TestServer::start().await;
    let (alice, backend) = (server.user("alice"), server.backend());
    for raised in [json!({"role": "admin"}), json!({"teams": ["red"]})] {
        let (error, code) =
            alice.is_refused(&alice.hello_with(json!({"user": with_id("alice", &raised)}))).await;
        assert_eq!((error["code"].as_str(), code), (Some("role_not_allowed"), 4000));
        assert_eq!(backend.sees("alice").await, None, "and she was not made");
    }
    alice.connects_as(json!({"id": "alice", "name": "Alice", "role": "user", "teams": []})).await;
    let before = backend.sees("alice").await;
    for raised in
        [json!({"role": "admin"}), json!({"teams": ["red"]}), json!({"role": "moderator", "teams": ["x"]})]
    {
        let mut user = with_id("alice", &raised);
        user["name"] = json!("Queen");
        let (error, _) = alice.is_refused(&alice.hello_with(json!({ "user": user }))).await;
        assert_eq!(error["code"], "role_not_allowed");
        alice.patch("/v1/users/alice", json!({"set": user})).await.refused("role_not_allowed");
        alice.post("/v1/users", json!({"users": [user]})).await.refused("server_token_required");
    }
    alice.patch("/v1/users/alice", json!({"unset": ["role"]})).await.refused("role_not_allowed");
    assert_eq!(backend.sees("alice").await, before, "nothing changed");

    let raised = json!({"set": {"role": "admin", "teams": ["red"]}});
    backend.patch("/v1/users/alice", raised).await.ok();
    let live = alice.connects_as(json!({"id": "alice", "role": "admin", "teams": ["red"]})).await;
    assert_eq!((&live.ready["me"]["role"], &live.ready["me"]["teams"]), (&json!("admin"), &json!(["red"])));
    // Lowering oneself is a change, too.
    alice.patch("/v1/users/alice", json!({"set": {"role": "user"}})).await.refused("role_not_allowed");
}

#[tokio::test]
async fn a_connecting_user_cannot_be_another_than_the_tokens_l7_9() {
    let server = TestServer::start().await;
    let alice = server.user("alice");
    let (error, code) = alice.is_refused(&alice.hello_with(json!({"user": {"id": "bob"}}))).await;
    assert_eq!((error["code"].as_str(), code), (Some("wrong_user"), 4002));
    alice.acting_as("bob").get("/v1/me").await.refused("wrong_user");
}

#[tokio::test]
async fn upsert_replaces_and_a_partial_update_sets_and_unsets_f2_10_f2_11() {
    let server = TestServer::start().await;
    let (backend, alice) = (server.backend(), server.user("alice"));
    let users = json!({"users": [{"id": "alice", "name": "Alice", "colour": "green", "role": "moderator"}]});
    backend.post("/v1/users", users).await.ok();
    let made = alice.sees("alice").await.unwrap();
    backend.post("/v1/users", json!({"users": [{"id": "alice", "image": "a.png"}]})).await.ok();
    let replaced = alice.sees("alice").await.unwrap();
    assert_eq!(replaced["image"], "a.png");
    assert!(replaced.get("name").is_none() && replaced.get("colour").is_none(), "{replaced}");
    assert_eq!(replaced["created_at"], made["created_at"]);

    let update = json!({"set": {"name": "A", "mood": {"x": 1}}, "unset": ["image", "never_there"]});
    let updated = alice.patch("/v1/users/alice", update).await.ok();
    assert_eq!((&updated["user"]["name"], &updated["user"]["mood"]), (&json!("A"), &json!({"x": 1})));
    assert!(updated["user"].get("image").is_none());

    server.user("bob").patch("/v1/users/alice", json!({"set": {"name": "B"}})).await.refused("not_allowed");
    backend.patch("/v1/users/nobody", json!({"set": {"name": "B"}})).await.refused("not_found");
    assert_eq!(alice.sees("alice").await.unwrap()["name"], "A");
}

#[tokio::test]
async fn her_devices_hear_when_a_users_own_fields_change() {
    let server = TestServer::start().await;
    let alice = server.user("alice");
    let mut live = alice.connects().await;
    alice.patch("/v1/users/alice", json!({"set": {"name": "A"}})).await.ok();
    let heard = live.hears("user.updated").await;
    assert_eq!((&heard["topic"], &heard["event"]["user"]["name"]), (&json!("user:alice"), &json!("A")));
    server.backend().post("/v1/users", json!({"users": [{"id": "alice", "name": "B"}]})).await.ok();
    assert_eq!(live.hears("user.updated").await["event"]["user"]["name"], "B");
}

#[tokio::test]
async fn a_batch_has_1_to_100_users_f2_12() {
    let server = TestServer::start().await;
    let backend = server.backend();
    let batch = |count: usize| json!({"users": (0..count).map(|n| json!({"id": format!("u{n}")})).collect::<Vec<_>>()});
    backend.post("/v1/users", batch(101)).await.refused("invalid_input");
    backend.post("/v1/users", batch(0)).await.refused("invalid_input");
    assert_eq!(backend.sees("u0").await, None);
    assert_eq!(backend.post("/v1/users", batch(100)).await.ok()["users"].as_array().unwrap().len(), 100);
    let ids = |count: usize| (0..count).map(|n| format!("u{n}")).collect::<Vec<_>>().join(",");
    let found = backend.get(&format!("/v1/users?ids={}", ids(100))).await.ok();
    assert_eq!(found["users"].as_array().unwrap().len(), 100);
    backend.get(&format!("/v1/users?ids={}", ids(101))).await.refused("invalid_input");
    // One that is refused takes the whole batch with it.
    let mut mixed = batch(2);
    mixed["users"][0] = json!({"id": "fresh"});
    mixed["users"][1]["name"] = json!(7);
    backend.post("/v1/users", mixed).await.refused("invalid_input");
    assert_eq!(backend.sees("fresh").await, None);
}

#[tokio::test]
async fn a_user_id_is_1_to_128_of_its_characters_and_the_error_names_the_wrong_one_f2_1_f2_2() {
    let server = TestServer::start().await;
    let backend = server.backend();
    for good in ["a", "0", "a@b_c-d", "x".repeat(128).as_str()] {
        server.user(good).connects().await;
        backend.post("/v1/users", json!({"users": [{"id": good}]})).await.ok();
    }
    for (bad, named) in [
        ("Alice", "'A'"),
        ("a b", "' '"),
        ("a.b", "'.'"),
        ("é", "'é'"),
        ("а", "'а'"),
        ("a\u{200b}", "\\u{200b}"),
        ("", "empty"),
        ("x".repeat(129).as_str(), "129"),
    ] {
        let error = backend.post("/v1/users", json!({"users": [{"id": bad}]})).await.refused("invalid_input");
        assert!(error["message"].as_str().unwrap().contains(named), "{bad:?}: {error}");
        let (error, code) = server.user(bad).is_refused(&server.user(bad).hello()).await;
        assert_eq!((error["code"].as_str(), code), (Some("token_malformed"), 4002), "{bad:?}");
        assert!(error["message"].as_str().unwrap().contains(named), "{bad:?}: {error}");
    }
    let error = backend.get("/v1/users?ids=Alice").await.refused("invalid_id");
    assert!(error["message"].as_str().unwrap().contains("'A'"), "{error}");
    let error = backend.patch("/v1/users/Alice", json!({})).await.refused("invalid_id");
    assert!(error["message"].as_str().unwrap().contains("'A'"), "{error}");
}

#[tokio::test]
async fn me_makes_and_counts_nothing_l1_9() {
    let server = TestServer::start().await;
    let alice = server.user("alice");
    assert_eq!(alice.get("/v1/me").await.ok()["me"], Value::Null);
    assert_eq!(alice.sees("alice").await, None);
    assert_eq!(server.backend().get("/v1/usage").await.ok()["monthly_active_users"], 0);
    server.backend().get("/v1/me").await.refused("user_required");
    alice.connects().await;
    assert_eq!(alice.get("/v1/me").await.ok()["me"]["id"], "alice");
    assert_eq!(server.backend().acting_as("alice").get("/v1/me").await.ok()["me"]["id"], "alice");
}

#[tokio::test]
async fn over_every_transport_connecting_is_the_same_f2_8_f2_9_f2_13() {
    let server = TestServer::start().await;
    for (id, transport) in [("anna", "socket"), ("bert", "stream"), ("cleo", "poll")] {
        let user = server.user(id);
        let connects = async |fields: Value| -> Value {
            let hello = user.hello_with(json!({ "user": with_id(id, &fields) }));
            match transport {
                "socket" => match user.dials(&hello).await.next().await {
                    Heard::Frame(frame) => frame,
                    Heard::Closed(code) => panic!("closed with {code:?}"),
                },
                "stream" => user.opens_stream(&hello).await.next().await.unwrap(),
                _ => user.polls(&hello).await.remove(0),
            }
        };
        connects(json!({"name": "N", "colour": "green", "created_at": 7, "online": false, "devices": [1]}))
            .await;
        let ready = connects(json!({"colour": "blue", "pet": null})).await;
        let me = &ready["me"];
        assert_eq!(
            (&me["name"], &me["colour"], &me["pet"]),
            (&json!("N"), &json!("blue"), &Value::Null),
            "{ready}"
        );
        assert_eq!((&me["online"], &me["devices"]), (&json!(true), &json!([])));
        assert!(me["created_at"].as_str().unwrap() > "2020", "{me}");
        for (raised, code) in [
            (json!({"role": "admin"}), "role_not_allowed"),
            (json!({"teams": ["red"]}), "role_not_allowed"),
            (json!({"name": 7}), "invalid_input"),
            (json!({"pad": "x".repeat(5_100)}), "too_large"),
        ] {
            let refused = connects(raised).await;
            assert_eq!(refused["error"]["code"], code, "{transport}: {refused}");
        }
        let seen = user.sees(id).await.unwrap();
        assert_eq!((&seen["name"], &seen["role"]), (&json!("N"), &json!("user")), "{transport}");
    }
}
