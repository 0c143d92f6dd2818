//! HTTP itself: health, the reference, request ids, errors, and pages from elsewhere.

use std::collections::BTreeSet;

use parlour_server::config::Mode;
use parlour_wire::ErrorCode;
use serde_json::json;

use crate::kit::{Answer, GENERAL, Person, TestServer, at};

#[tokio::test]
async fn a_server_says_that_it_lives_and_is_ready_and_names_nobody() {
    let server = TestServer::start().await;
    let anybody = server.anybody();
    for path in ["/livez", "/health"] {
        let answer = anybody.get(path).await;
        assert_eq!((answer.status, answer.text()), (200, "ok\n"));
    }
    let ready = anybody.get("/readyz").await;
    assert_eq!((ready.status, ready.text()), (200, "store: ok\ndrain: ok\n"));
}

#[tokio::test]
async fn the_reference_is_served_and_the_page_to_try_it_only_while_developing() {
    for (mode, docs) in [(Mode::Development, true), (Mode::Production, false)] {
        let server = TestServer::with(|config| config.app.mode = Some(mode)).await;
        let anybody = server.anybody();
        let document = anybody.get("/openapi.json").await.ok();
        assert!(document["paths"]["/v1/channels/{type}/{id}/messages"]["post"].is_object());
        let page = anybody.get("/docs/").await;
        assert_eq!(page.status == 200, docs, "{page:?}");
        if docs {
            // Not a byte from elsewhere.
            assert!(!page.text().contains("https://") && !page.text().contains("//cdn"), "{}", page.text());
        } else {
            page.refused("not_found");
        }
    }
}

#[tokio::test]
async fn every_error_has_a_page_f14_3() {
    let server = TestServer::start().await;
    for code in ErrorCode::ALL {
        let page = server.anybody().get(&format!("/docs/errors/{code}")).await;
        assert_eq!(page.status, 200, "{code}");
        assert!(
            page.text().contains(code.as_str()) && page.text().contains(&code.status().to_string()),
            "{code}"
        );
    }
    server.anybody().get("/docs/errors/confetti").await.refused("not_found");
}

#[tokio::test]
async fn every_answer_names_its_request() {
    let server = TestServer::start().await;
    let mut ids = BTreeSet::new();
    for answer in [
        server.anybody().get("/livez").await,
        server.anybody().get("/nowhere").await,
        server.anybody().get("/v1/me").await,
        server.anybody().asks("PUT", "/v1/me", None).await,
        server.user("alice").get("/v1/me").await,
        server.user("alice").with_header("X-Request-Id", "mine").get("/v1/me").await,
    ] {
        ids.insert(answer.header("x-request-id").unwrap().to_owned());
        if answer.status >= 400 && !answer.body.is_empty() && answer.header("x-request-id").is_some() {
            let code = answer.json()["error"]["code"].as_str().unwrap().to_owned();
            answer.refused(&code);
        }
    }
    assert_eq!(ids.len(), 6, "each its own");
}

/// What the server gives over HTTP as it is now; all others come on the connection, from a client, or from a
/// store that fails.
const OVER_HTTP: &[ErrorCode] = &[
    ErrorCode::InvalidInput,
    ErrorCode::InvalidJson,
    ErrorCode::InvalidId,
    ErrorCode::ReservedField,
    ErrorCode::UnsupportedFilter,
    ErrorCode::AppKeyMissing,
    ErrorCode::UnknownApp,
    ErrorCode::TokenMissing,
    ErrorCode::TokenExpired,
    ErrorCode::TokenNotYetValid,
    ErrorCode::TokenUsedBeforeIssued,
    ErrorCode::TokenSignature,
    ErrorCode::TokenMalformed,
    ErrorCode::WrongUser,
    ErrorCode::UserRequired,
    ErrorCode::ServerTokenRequired,
    ErrorCode::NotAllowed,
    ErrorCode::RoleNotAllowed,
    ErrorCode::OriginNotAllowed,
    ErrorCode::NotFound,
    ErrorCode::MethodNotAllowed,
    ErrorCode::IdConflict,
    ErrorCode::TextTooLong,
    ErrorCode::TooLarge,
    ErrorCode::UnsupportedMediaType,
    ErrorCode::UpgradeRequired,
    ErrorCode::UriTooLong,
    ErrorCode::HeadersTooLarge,
    ErrorCode::RequestTimeout,
];

#[tokio::test]
async fn every_error_that_http_gives_is_given_with_its_own_status_f14_1() {
    let server = TestServer::with(|config| config.limits.request_wait_ms = 200).await;
    server.knows(&["alice", "bob"]).await;
    let (alice, bob, backend) = (server.user("alice"), server.user("bob"), server.backend());
    alice.makes(GENERAL, &["bob"]).await;
    alice.sends_as(GENERAL, "m1", "x").await.ok();
    let now = crate::kit::now_s();
    let bearer = |claims: serde_json::Value| server.bearer("alice", crate::kit::sign(&claims));
    let send = async |text: String| alice.sends_as(GENERAL, "m2", &text).await;
    let slow = format!(
        "POST /v1/users HTTP/1.1\r\nHost: x\r\nX-Parlour-App: dev\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{{",
        backend.token
    );
    let slow = async || Answer::read(&crate::kit::raw(server.address, slow.as_bytes()).await).unwrap();
    let mut given = BTreeSet::new();
    for (code, answer) in [
        (ErrorCode::InvalidInput, alice.post(&at(GENERAL), json!({"what": 1})).await),
        (ErrorCode::InvalidJson, alice.asks("POST", &at(GENERAL), Some(b"{")).await),
        (ErrorCode::InvalidId, alice.get("/v1/users?ids=A").await),
        (ErrorCode::ReservedField, alice.patch(&at(GENERAL), json!({"set": {"cid": 1}})).await),
        (ErrorCode::UnsupportedFilter, alice.post("/v1/channels", json!({"filter": {"x": 1}})).await),
        (ErrorCode::AppKeyMissing, server.anybody().get("/v1/me").await),
        (ErrorCode::UnknownApp, server.anybody().with_header("X-Parlour-App", "x").get("/v1/me").await),
        (ErrorCode::TokenMissing, server.anybody().with_header("X-Parlour-App", "dev").get("/v1/me").await),
        (ErrorCode::TokenExpired, bearer(json!({"sub": "alice", "exp": 1})).get("/v1/me").await),
        (ErrorCode::TokenNotYetValid, bearer(json!({"sub": "alice", "nbf": now + 99})).get("/v1/me").await),
        (
            ErrorCode::TokenUsedBeforeIssued,
            bearer(json!({"sub": "alice", "iat": now + 99})).get("/v1/me").await,
        ),
        (ErrorCode::TokenSignature, server.bearer("alice", format!("{}x", alice.token)).get("/v1/me").await),
        (ErrorCode::TokenMalformed, bearer(json!({})).get("/v1/me").await),
        (ErrorCode::WrongUser, alice.acting_as("bob").get("/v1/me").await),
        (ErrorCode::UserRequired, backend.get("/v1/me").await),
        (ErrorCode::ServerTokenRequired, alice.get("/v1/usage").await),
        (ErrorCode::NotAllowed, bob.delete(&at(GENERAL)).await),
        (ErrorCode::RoleNotAllowed, bob.patch("/v1/users/bob", json!({"set": {"role": "admin"}})).await),
        (
            ErrorCode::OriginNotAllowed,
            alice.with_header("Origin", "https://evil.example").get("/v1/me").await,
        ),
        (ErrorCode::NotFound, alice.get(&at("messaging:none")).await),
        (ErrorCode::MethodNotAllowed, alice.asks("PUT", "/v1/me", None).await),
        (ErrorCode::IdConflict, bob.sends_as(GENERAL, "m1", "x").await),
        (ErrorCode::TextTooLong, send("x".repeat(5_001)).await),
        (ErrorCode::TooLarge, alice.asks("POST", &at(GENERAL), Some(&vec![b' '; (1 << 20) + 1])).await),
        (
            ErrorCode::UnsupportedMediaType,
            alice.with_header("Content-Type", "text/plain").post("/v1/channels", json!({})).await,
        ),
        (ErrorCode::UpgradeRequired, server.anybody().get("/v1/connect").await),
        (ErrorCode::UriTooLong, alice.get(&format!("/v1/users?ids={}", "a".repeat(8_192))).await),
        (ErrorCode::HeadersTooLarge, alice.with_header("X-A", &"a".repeat(17_000)).get("/v1/me").await),
        (ErrorCode::RequestTimeout, slow().await),
    ] {
        answer.refused(code.as_str());
        given.insert(code);
    }
    assert_eq!(given, OVER_HTTP.iter().copied().collect());
}

#[tokio::test]
async fn a_method_that_a_path_does_not_have_is_refused_with_those_that_it_has() {
    let server = TestServer::start().await;
    let answer = server.anybody().asks("PUT", "/v1/me", None).await;
    assert!(answer.header("allow").is_some_and(|allow| allow.contains("GET")), "{answer:?}");
    answer.refused("method_not_allowed");
}

/// Asks as a page of this origin.
async fn from(server: &TestServer, origin: &str, method: &str, path: &str) -> Answer {
    let person: Person = server.user("alice").with_header("Origin", origin);
    person.asks(method, path, None).await
}

#[tokio::test]
async fn pages_of_allowed_origins_may_call_and_others_may_not() {
    let listed = "https://chat.example.com";
    let server = TestServer::with(|config| {
        config.app.mode = Some(Mode::Production);
        config.server.allowed_origins = vec![listed.to_owned()];
    })
    .await;
    let allowed = from(&server, listed, "GET", "/v1/me").await;
    assert_eq!(allowed.status, 200);
    assert_eq!(allowed.header("access-control-allow-origin"), Some(listed));
    assert_eq!(allowed.header("vary").map(str::to_lowercase), Some("origin".to_owned()));
    assert_eq!(allowed.header("access-control-allow-credentials"), None, "there are no cookies to send");
    assert!(allowed.header("access-control-expose-headers").unwrap().contains("x-request-id"));
    // A refusal, too, has to be readable by a page that may call.
    let refused = from(&server, listed, "GET", "/v1/usage").await;
    assert_eq!(refused.header("access-control-allow-origin"), Some(listed));
    assert!(refused.header("access-control-expose-headers").is_some());
    refused.refused("server_token_required");

    for evil in [
        "https://evil.example",
        "null",
        "",
        "https://chat.example.com.evil.example",
        "http://localhost:3000",
        "*",
    ] {
        for (method, path) in
            [("GET", "/v1/me"), ("OPTIONS", "/v1/me"), ("GET", "/v1/connect"), ("GET", "/livez")]
        {
            let answer = from(&server, evil, method, path).await;
            assert_eq!(answer.header("access-control-allow-origin"), None, "{evil}");
            assert!(
                answer.header("vary").is_some_and(|vary| vary.eq_ignore_ascii_case("origin")),
                "{answer:?}"
            );
            answer.refused("origin_not_allowed");
        }
    }
}

#[tokio::test]
async fn a_preflight_names_what_may_be_sent() {
    let server = TestServer::start().await;
    let origin = "http://localhost:5173";
    let page = server.anybody().with_header("Origin", origin);
    let page = page.with_header("Access-Control-Request-Method", "PATCH");
    let page = page.with_header("Access-Control-Request-Headers", "authorization,content-type,x-parlour-app");
    let answer = page.asks("OPTIONS", &at(GENERAL), None).await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
        assert!(answer.header("access-control-allow-methods").unwrap().contains(method), "{method}");
    }
    for odd in ["TRACE", "CONNECT", "HEAD"] {
        assert!(!answer.header("access-control-allow-methods").unwrap().contains(odd), "{odd}");
    }
    for header in ["authorization", "content-type", "x-parlour-app", "x-parlour-user"] {
        assert!(answer.header("access-control-allow-headers").unwrap().contains(header), "{header}");
    }
    assert!(answer.header("access-control-max-age").is_some());
    assert!(answer.body.is_empty());
}
