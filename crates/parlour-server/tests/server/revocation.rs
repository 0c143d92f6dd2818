//! Tokens that are taken back: of one user, of all users of the app.

use serde_json::{Value, json};

use crate::kit::{Person, TestServer, now_s, sign};

fn issued(server: &TestServer, user: &str, at_s: i64) -> Person {
    server.bearer(user, sign(&json!({ "user_id": user, "iat": at_s })))
}

fn time(at_s: i64) -> Value {
    json!({ "revoke_tokens_issued_before": parlour_wire::Timestamp::from_unix_ms(at_s * 1_000) })
}

#[tokio::test]
async fn what_was_issued_to_a_user_before_a_time_is_no_longer_good_and_null_takes_that_back_f1_21_f1_23_f1_24()
 {
    let server = TestServer::start().await;
    let now = now_s();
    let (old, fresh, timeless) =
        (issued(&server, "alice", now - 60), issued(&server, "alice", now), server.user("alice"));
    let bob = issued(&server, "bob", now - 60);
    let path = "/v1/users/alice/revoke_tokens";
    let revoked = server.backend().post(path, time(now - 30)).await.ok();
    assert_eq!(revoked, time(now - 30));
    for person in [&old, &timeless] {
        person.get("/v1/me").await.refused("token_revoked");
        let (error, code) = person.is_refused(&person.hello()).await;
        assert_eq!((error["code"].as_str(), code), (Some("token_revoked"), 4002));
        let batch = person.polls(&person.hello()).await;
        assert_eq!(batch[0]["error"]["code"], "token_revoked", "{batch:?}");
    }
    for person in [&fresh, &bob] {
        person.get("/v1/me").await.ok();
        person.connects().await;
    }
    assert_eq!(
        server.backend().post(path, json!({ "revoke_tokens_issued_before": null })).await.ok(),
        json!({ "revoke_tokens_issued_before": null })
    );
    for person in [&old, &timeless] {
        person.get("/v1/me").await.ok();
        person.connects().await;
    }
}

#[tokio::test]
async fn what_was_issued_to_anybody_before_a_time_is_no_longer_good_and_whichever_revokes_more_is_in_force_f1_22()
 {
    let server = TestServer::start().await;
    let now = now_s();
    let (alice, bob) = (issued(&server, "alice", now - 60), issued(&server, "bob", now - 60));
    server.backend().post("/v1/app/revoke_tokens", time(now - 30)).await.ok();
    for person in [&alice, &bob] {
        person.get("/v1/me").await.refused("token_revoked");
    }
    // A user's own time that is earlier gives nothing back.
    server.backend().post("/v1/users/alice/revoke_tokens", time(now - 90)).await.ok();
    alice.get("/v1/me").await.refused("token_revoked");
    server.backend().post("/v1/app/revoke_tokens", json!({ "revoke_tokens_issued_before": null })).await.ok();
    alice.get("/v1/me").await.ok();
    server.backend().post("/v1/users/alice/revoke_tokens", time(now - 30)).await.ok();
    alice.get("/v1/me").await.refused("token_revoked");
    bob.get("/v1/me").await.ok();
    // The backend goes on: its tokens are no user's.
    server.bearer("", sign(&json!({ "server": true, "iat": now - 60 }))).get("/v1/usage").await.ok();
}

#[tokio::test]
async fn a_revocation_ends_what_it_means_and_leaves_the_rest_f1_25() {
    let server = TestServer::start().await;
    let now = now_s();
    let (old, fresh) = (issued(&server, "alice", now - 60), issued(&server, "alice", now));
    let mut by_socket = old.connects().await;
    let mut by_stream = old.streams_with(json!({})).await;
    let mut stays = fresh.connects().await;
    let mut bob = issued(&server, "bob", now - 60).connects_with(json!({ "presence": "all" })).await;
    server.backend().post("/v1/users/alice/revoke_tokens", time(now - 30)).await.ok();

    let (frames, code) = by_socket.until_closed().await;
    assert_eq!((code, &frames[0]["error"]["code"]), (Some(4002), &json!("token_revoked")), "{frames:?}");
    let frames = by_stream.until_over().await;
    assert_eq!((&frames[0]["error"]["code"], &frames[1]["code"]), (&json!("token_revoked"), &json!(4002)));
    // Her other device stays, is told of it, and holds the only place.
    assert_eq!(
        stays.hears("tokens.revoked").await["event"]["issued_before"],
        time(now - 30)["revoke_tokens_issued_before"]
    );
    assert_eq!(server.backend().get("/v1/usage").await.ok()["concurrent_connections"]["current"], 2);
    assert_eq!(bob.settles().await.iter().filter(|frame| frame["type"] == "bye").count(), 0);
    // Without any device she is offline at once.
    server.backend().post("/v1/users/alice/revoke_tokens", json!({})).await.ok();
    assert_eq!(stays.until_closed().await.1, Some(4002));
    loop {
        let told = bob.hears("user.presence.changed").await;
        let users = told["signal"]["users"].as_array().unwrap();
        if users.iter().any(|user| user["user_id"] == "alice" && user["online"] == false) {
            break;
        }
    }
}

#[tokio::test]
async fn a_token_that_is_replaced_on_the_connection_is_the_one_that_counts_f1_25() {
    let server = TestServer::start().await;
    let now = now_s();
    let (old, fresh) = (issued(&server, "alice", now - 60), issued(&server, "alice", now));
    let mut renewed = old.connects().await;
    renewed.says(&json!({ "type": "token", "token": fresh.token })).await;
    renewed.settles().await;
    let mut worsened = fresh.connects().await;
    worsened.says(&json!({ "type": "token", "token": old.token })).await;
    worsened.settles().await;
    server.backend().post("/v1/users/alice/revoke_tokens", time(now - 30)).await.ok();
    assert_eq!(worsened.until_closed().await.1, Some(4002));
    renewed.settles().await;
    // And a revoked one is not taken.
    renewed.says(&json!({ "type": "token", "token": old.token })).await;
    let (frames, code) = renewed.until_closed().await;
    assert_eq!((code, &frames[0]["error"]["code"]), (Some(4002), &json!("token_revoked")), "{frames:?}");
}

#[tokio::test]
async fn a_poller_whose_token_is_revoked_between_two_polls_is_refused_the_next_f1_25() {
    let server = TestServer::start().await;
    let alice = issued(&server, "alice", now_s() - 60);
    let first = alice.polls(&alice.hello()).await;
    let replaces = json!({ "replaces": first[0]["connection_id"] });
    server.backend().post("/v1/users/alice/revoke_tokens", json!({})).await.ok();
    assert_eq!(server.backend().get("/v1/usage").await.ok()["concurrent_connections"]["current"], 0);
    let next = alice.polls(&alice.hello_with(replaces)).await;
    assert_eq!(
        (&next[0]["error"]["code"], &next[1]["code"]),
        (&json!("token_revoked"), &json!(4002)),
        "{next:?}"
    );
}

#[tokio::test]
async fn only_a_server_revokes_and_what_it_asks_is_read_strictly() {
    let server = TestServer::start().await;
    let (alice, backend) = (server.user("alice"), server.backend());
    for path in ["/v1/users/alice/revoke_tokens", "/v1/app/revoke_tokens"] {
        alice.post(path, json!({})).await.refused("server_token_required");
        for wrong in [
            time(now_s() + 3_600),
            json!({ "revoke_tokens_issued_before": "yesterday" }),
            json!({ "revoke_tokens_issued_before": 7 }),
            json!({ "before": null }),
        ] {
            backend.post(path, wrong).await.refused("invalid_input");
        }
    }
    backend.post("/v1/users/Alice/revoke_tokens", json!({})).await.refused("invalid_id");
    alice.get("/v1/me").await.ok();
}

#[tokio::test]
async fn a_revocation_outlives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let start = async || TestServer::with(|config| config.storage.data_dir = Some(dir.clone())).await;
    let server = start().await;
    server.backend().post("/v1/users/alice/revoke_tokens", json!({})).await.ok();
    server.stop().await;
    let server = start().await;
    server.user("alice").get("/v1/me").await.refused("token_revoked");
    server.user("bob").get("/v1/me").await.ok();
}
