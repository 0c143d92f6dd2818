//! Users are looked for.

use serde_json::{Value, json};

use crate::kit::{Answer, TestServer};

fn ids(answer: &Value) -> String {
    let users = answer["users"].as_array().unwrap();
    users.iter().map(|user| user["id"].as_str().unwrap()).collect::<Vec<_>>().join(" ")
}

async fn with_people() -> TestServer {
    let server = TestServer::start().await;
    let users = json!({"users": [
        {"id": "ann", "name": "Ann", "role": "admin", "age": 30, "secret": "x", "invisible": true},
        {"id": "ben", "name": "Ben", "age": 7, "pets": {"n": 1}},
        {"id": "cyd", "name": "anna", "age": "old"},
    ]});
    server.backend().post("/v1/users", users).await.ok();
    server
}

#[tokio::test]
async fn users_are_found_by_filter_in_order_and_by_pages_f2_15_f2_16_f2_17_f2_19() {
    let server = with_people().await;
    let alice = server.user("ann");
    for (asked, found) in [
        (json!({}), "ann ben cyd"),
        (json!({"filter": {"id": {"$in": ["cyd", "ann", "nobody"]}}}), "ann cyd"),
        (json!({"filter": {"name": {"$autocomplete": "ANN"}}}), "ann cyd"),
        (json!({"filter": {"role": "admin"}}), "ann"),
        (json!({"filter": {"custom.age": {"$gt": 7}}}), "ann"),
        (json!({"filter": {"last_active": {"$exists": true}}}), ""),
        (json!({"filter": {"created_at": {"$gt": "2020-01-01T00:00:00Z"}}, "limit": 2}), "ann ben"),
        (json!({"filter": {"teams": {"$exists": false}}, "sort": [{"field": "id"}]}), "cyd ben ann"),
        (json!({"filter": {"teams": {"$contains": "red"}}}), ""),
        (json!({"sort": [{"field": "name", "direction": 1}]}), "ann ben cyd"),
        (json!({"sort": [{"field": "custom.age", "direction": -1}]}), "cyd ann ben"),
    ] {
        let answer = alice.post("/v1/users/query", asked.clone()).await.ok();
        assert_eq!(ids(&answer), found, "{asked}");
    }
    let (mut paged, mut next) = (Vec::new(), None);
    loop {
        let mut asked = json!({"limit": 1, "sort": [{"field": "custom.age", "direction": 1}]});
        if let Some(next) = next {
            asked["next"] = next;
        }
        let page = alice.post("/v1/users/query", asked).await.ok();
        paged.push(ids(&page));
        next = page.get("next").cloned();
        if next.is_none() {
            break;
        }
    }
    assert_eq!(paged, ["ben", "ann", "cyd"]);
}

#[tokio::test]
async fn a_query_shows_what_others_may_see_and_who_is_online_f2_15() {
    let server = with_people().await;
    let live = server.user("ben").connects().await;
    let _hidden = server.user("ann").connects().await;
    let found = server.user("cyd").post("/v1/users/query", json!({})).await.ok();
    let users = found["users"].as_array().unwrap();
    assert_eq!((&users[0]["online"], &users[1]["online"]), (&json!(false), &json!(true)));
    assert!(users[0].get("invisible").is_none(), "{found}");
    assert_eq!(users[1]["pets"], json!({"n": 1}));
    drop(live);
}

#[tokio::test]
async fn what_one_may_not_read_one_may_not_ask_about() {
    let server = with_people().await;
    let refused = |answer: Answer| answer.refused("unsupported_filter");
    for person in [server.user("ben"), server.backend().acting_as("ben")] {
        for field in ["custom.invisible", "custom.privacy_settings", "email", "fields", "receipts", "custom."]
        {
            refused(person.post("/v1/users/query", json!({"filter": {field: {"$exists": true}}})).await);
            refused(person.post("/v1/users/query", json!({"sort": [{"field": field}]})).await);
        }
    }
    let hidden = json!({"filter": {"custom.invisible": true}});
    assert_eq!(ids(&server.backend().post("/v1/users/query", hidden).await.ok()), "ann");
    for field in ["deactivated_at", "deleted_at"] {
        let asked = json!({"filter": {field: {"$exists": false}}});
        refused(server.user("ben").post("/v1/users/query", asked.clone()).await);
        assert_eq!(ids(&server.backend().post("/v1/users/query", asked).await.ok()), "ann ben cyd");
    }
    let all = json!({"include_inactive": true});
    server.user("ben").post("/v1/users/query", all.clone()).await.refused("server_token_required");
    server.backend().post("/v1/users/query", all).await.ok();
}

#[tokio::test]
async fn who_may_ban_finds_the_banned_f2_18() {
    let server = with_people().await;
    let users = json!({"users": [{"id": "mod", "role": "moderator"}]});
    server.backend().post("/v1/users", users).await.ok();
    server.backend().post("/v1/users/ben/ban", json!({})).await.ok();
    let asked = json!({"filter": {"banned": true}, "sort": [{"field": "banned", "direction": -1}]});
    for person in [server.backend(), server.user("mod"), server.user("ann")] {
        assert_eq!(ids(&person.post("/v1/users/query", asked.clone()).await.ok()), "ben");
        let odd = json!({"filter": {"banned": {"$gt": false}}});
        person.post("/v1/users/query", odd).await.refused("unsupported_filter");
    }
    server.user("cyd").post("/v1/users/query", asked).await.refused("unsupported_filter");
}

#[tokio::test]
async fn a_query_is_held_to_its_limits() {
    let server = with_people().await;
    let backend = server.backend();
    let asks = async |asked: Value| backend.post("/v1/users/query", asked).await;
    for bad in [
        json!({"limit": 0}),
        json!({"limit": 101}),
        json!({"next": "x"}),
        json!({"offset": 3}),
        json!({"limit": -1}),
    ] {
        asks(bad).await.refused("invalid_input");
    }
    for bad in [
        json!({"filter": {"$where": "1"}}),
        json!({"filter": {"a') or 1=1--": 1}}),
        json!({"filter": {"custom.x\"; drop": 1}}),
        json!({"filter": {"name": {"$regex": ".*"}}}),
        json!({"filter": {"teams": {"$gt": "a"}}}),
        json!({"filter": {"id": {"$in": vec!["a"; 101]}}}),
        json!({"filter": {"created_at": "yesterday"}}),
        json!({"sort": [{"field": "teams"}]}),
        json!({"sort": [{"field": "id", "direction": 2}]}),
        json!({"sort": vec![json!({"field": "id"}); 5]}),
    ] {
        asks(bad).await.refused("unsupported_filter");
    }
    let first = asks(json!({"limit": 1})).await.ok();
    let other_order = json!({"limit": 1, "next": first["next"], "sort": [{"field": "name"}]});
    asks(other_order).await.refused("invalid_input");
    server.anybody().post("/v1/users/query", json!({})).await.refused("app_key_missing");
}
