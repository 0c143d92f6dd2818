//! Guests: users that a client makes by itself.

use parlour_server::config::Mode;
use serde_json::{Value, json};

use crate::kit::{Answer, Person, TestServer, at};

const GUESTS: &str = "/v1/guests";
const STREAM: &str = "livestream:keynote";

/// Somebody who knows the app and nothing else.
fn stranger(server: &TestServer) -> Person {
    server.anybody().with_header("X-Parlour-App", "dev")
}

async fn asks(server: &TestServer, user: Value) -> Answer {
    stranger(server).post(GUESTS, json!({ "user": user })).await
}

/// A guest, as who makes it comes back with the answer.
async fn comes(server: &TestServer, name: &str) -> (Person, Value) {
    let answer = asks(server, json!({ "name": name })).await;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let answer = answer.ok_with(201);
    let id = answer["user"]["id"].as_str().unwrap();
    (server.bearer(id, answer["token"].as_str().unwrap().to_owned()), answer["user"].clone())
}

#[tokio::test]
async fn a_guest_comes_without_a_backend_and_talks_where_all_may_f1_31_f1_32() {
    let server = TestServer::with_users(&["alice"]).await;
    server.user("alice").post(&at(STREAM), json!({})).await.ok();
    let (guest, user) = comes(&server, "Visitor").await;
    let (other, _) = comes(&server, "Visitor").await;
    assert_eq!((&user["role"], &user["name"]), (&json!("guest"), &json!("Visitor")));
    assert!(guest.id.starts_with("guest-") && guest.id != other.id, "{} {}", guest.id, other.id);
    let live = guest.connects().await;
    assert_eq!((&live.ready["me"]["id"], &live.ready["me"]["role"]), (&json!(guest.id), &json!("guest")));
    let said = json!({ "message": { "id": "m1", "text": "hello" } });
    guest.post(&format!("{}/messages", at(STREAM)), said).await.ok();
    // It comes back as who it was.
    live.leaves().await;
    assert_eq!(guest.connects().await.ready["me"]["name"], "Visitor");
    // In channels of others a guest is what every stranger is, until it is let in.
    server.user("alice").post(&at("messaging:desk"), json!({})).await.ok();
    guest.get(&at("messaging:desk")).await.refused("not_found");
    let adds = json!({ "add": [guest.id] });
    server.user("alice").post(&format!("{}/members", at("messaging:desk")), adds).await.ok();
    guest.get(&at("messaging:desk")).await.ok();
}

#[tokio::test]
async fn a_guest_makes_no_channels_and_does_not_become_more_by_itself_f1_32() {
    let server = TestServer::with_users(&["alice"]).await;
    let (guest, _) = comes(&server, "Visitor").await;
    guest.post(&at("messaging:mine"), json!({})).await.refused("not_allowed");
    guest.post("/v1/channels/messaging", json!({ "members": ["alice"] })).await.refused("not_allowed");
    server.user("alice").get(&at("messaging:mine")).await.refused("not_found");
    // What is there is given, as to everybody.
    server.user("alice").post(&at(STREAM), json!({})).await.ok_with(201);
    guest.post(&at(STREAM), json!({})).await.ok_with(200);
    let oneself = format!("/v1/users/{}", guest.id);
    guest.patch(&oneself, json!({ "set": { "role": "user" } })).await.refused("role_not_allowed");
    guest.patch(&oneself, json!({ "unset": ["role"] })).await.refused("role_not_allowed");
    let raised = json!({ "user": { "id": guest.id, "role": "admin" } });
    guest.is_refused(&guest.hello_with(raised)).await;
    guest.patch(&oneself, json!({ "set": { "name": "Vera" } })).await.ok();
    // A backend that learns who the guest is makes it a user.
    let user = json!({ "users": [{ "id": guest.id, "name": "Vera", "role": "user" }] });
    server.backend().post("/v1/users", user).await.ok();
    guest.post(&at("messaging:mine"), json!({})).await.ok_with(201);
}

#[tokio::test]
async fn a_guest_counts_as_an_active_user_when_it_connects_f1_33() {
    let server = TestServer::start().await;
    let active = async || server.backend().get("/v1/usage").await.ok()["monthly_active_users"].clone();
    let (guest, _) = comes(&server, "Visitor").await;
    comes(&server, "Never seen").await;
    assert_eq!(active().await, 0);
    guest.connects().await;
    guest.connects().await;
    assert_eq!(active().await, 1);
}

#[tokio::test]
async fn guests_are_counted_by_the_address_that_they_come_from_f1_31_f5_24() {
    let server = TestServer::with(|config| {
        config.app.mode = Some(Mode::Production);
        config.server.trusted_proxies = vec!["127.0.0.1".to_owned()];
        config.limits.calls.insert("POST /v1/guests".to_owned(), 2);
    })
    .await;
    let from = async |address: &str| {
        let stranger = stranger(&server).with_header("X-Forwarded-For", address);
        stranger.post(GUESTS, json!({})).await
    };
    assert_eq!(from("192.0.2.1").await.header("x-ratelimit-remaining"), Some("1"));
    from("192.0.2.1").await.ok_with(201);
    let refused = from("192.0.2.1").await;
    assert!(refused.header("retry-after").is_some());
    let error = refused.refused("rate_limited");
    assert!(error["message"].as_str().unwrap().starts_with("Your address called POST /v1/guests"), "{error}");
    from("192.0.2.2").await.ok_with(201);
    // A household's own network is one address.
    from("2001:db8:1:2::1").await.ok_with(201);
    from("2001:db8:1:2::2").await.ok_with(201);
    from("2001:db8:1:2::3").await.refused("rate_limited");
}

#[tokio::test]
async fn a_guest_is_named_by_the_server_and_given_its_role_by_it_f1_32() {
    let server = TestServer::with_users(&["alice"]).await;
    asks(&server, json!({ "id": "alice" })).await.refused("invalid_input");
    asks(&server, json!({ "role": "admin" })).await.refused("role_not_allowed");
    asks(&server, json!({ "role": "guest" })).await.refused("role_not_allowed");
    asks(&server, json!({ "teams": ["red"] })).await.refused("role_not_allowed");
    asks(&server, json!({ "name": 7 })).await.refused("invalid_input");
    asks(&server, json!({ "bio": "x".repeat(6_000) })).await.refused("too_large");
    let stranger = stranger(&server);
    stranger.post(GUESTS, json!({ "name": "Visitor" })).await.refused("invalid_input");
    server.anybody().post(GUESTS, json!({})).await.refused("app_key_missing");
    server
        .anybody()
        .with_header("X-Parlour-App", "none")
        .post(GUESTS, json!({}))
        .await
        .refused("unknown_app");
    // A guest's token is taken back as everybody's.
    let (guest, _) = comes(&server, "Visitor").await;
    server.backend().post(&format!("/v1/users/{}/revoke_tokens", guest.id), json!({})).await.ok();
    guest.get("/v1/me").await.refused("token_revoked");
}
