//! Tokens: what is wrong with one is told apart, over HTTP and on the connection.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parlour_server::config::Mode;
use serde_json::{Value, json};

use crate::kit::{TestServer, now_s, sign, sign_raw, unsigned};

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// A token that is refused, with its code and the close code of a connection that comes with it.
struct Bad {
    token: String,
    code: &'static str,
    close: u16,
}

fn bad(token: impl Into<String>, code: &'static str) -> Bad {
    Bad { token: token.into(), code, close: if code == "token_expired" { 4202 } else { 4002 } }
}

fn signed(header: &str, claims: &Value) -> String {
    sign_raw(header, &claims.to_string(), crate::kit::SECRET)
}

async fn are_refused_at_both_doors(tokens: Vec<Bad>) {
    let server = TestServer::start().await;
    for Bad { token, code, close } in tokens {
        let someone = server.bearer("alice", token.clone());
        let shown: String = token.chars().take(60).collect();
        // What does not fit into a request's head is refused as such, before anything is looked at.
        if token.len() < 15_000 {
            let error =
                someone.get("/v1/me").await.refused(if token.is_empty() { "token_missing" } else { code });
            assert!(token.len() < 20 || !error.to_string().contains(&token), "an error repeats the token");
        }
        let (error, closed) = someone.is_refused(&someone.hello()).await;
        assert_eq!((error["code"].as_str(), closed), (Some(code), close), "{shown}: {error}");
        assert!(token.len() < 20 || !error.to_string().contains(&token), "an error repeats the token");
    }
    assert_eq!(server.backend().sees("alice").await, None, "nobody came into being");
    server.user("alice").connects().await;
    server.lives().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_token_has_its_own_error_at_both_doors_l7_9_f1_10_f1_26_f1_27() {
    let now = now_s();
    are_refused_at_both_doors(vec![
        bad(sign(&json!({"user_id": "alice", "exp": now - 30})), "token_expired"),
        bad(sign(&json!({"user_id": "alice", "exp": -1})), "token_expired"),
        bad(sign(&json!({"user_id": "alice", "nbf": now + 60})), "token_not_yet_valid"),
        bad(sign(&json!({"user_id": "alice", "iat": now + 60})), "token_used_before_issued"),
        bad(
            sign_raw(HEADER, r#"{"user_id":"alice"}"#, "another secret of 32 characters!!"),
            "token_signature",
        ),
        bad(sign(&json!({"user_id": "alice", "sub": "bob"})), "token_malformed"),
        bad(sign(&json!({"user_id": 7})), "token_malformed"),
        bad(sign(&json!({"user_id": "alice", "exp": "9999999999"})), "token_malformed"),
        bad(sign(&json!({"user_id": "alice", "exp": now as f64 + 60.5})), "token_malformed"),
        bad(sign(&json!({"user_id": "alice", "exp": 1e15})), "token_malformed"),
        bad(sign(&json!({"user_id": "alice", "nbf": null})), "token_malformed"),
        bad(sign(&json!({"server": true, "user_id": "alice"})), "token_malformed"),
        bad(sign(&json!({})), "token_malformed"),
        bad(sign(&json!([])), "token_malformed"),
        bad(
            sign_raw(HEADER, r#"{"user_id":"bob","user_id":"alice"}"#, crate::kit::SECRET),
            "token_malformed",
        ),
        bad(sign_raw(HEADER, r#"{"user_id":"alice","exp":1e300}"#, crate::kit::SECRET), "token_malformed"),
    ])
    .await;
}

#[tokio::test]
async fn the_algorithm_belongs_to_the_key_at_both_doors_f1_11() {
    let claims = json!({"user_id": "alice"});
    let mut tokens = Vec::new();
    for algorithm in
        ["none", "None", "NONE", "nOnE", " none", "hs256", "HS256 ", "HS512", "RS256", "ES256", ""]
    {
        let header = json!({ "alg": algorithm }).to_string();
        tokens.push(bad(signed(&header, &claims), "token_signature"));
        let unsigned =
            format!("{}.{}.", URL_SAFE_NO_PAD.encode(&header), URL_SAFE_NO_PAD.encode(claims.to_string()));
        // See the story of unsigned tokens.
        if algorithm != "none" {
            tokens.push(bad(unsigned, "token_signature"));
        }
    }
    for header in [
        json!({}),
        json!({"alg": ["HS256"]}),
        json!({"alg": "HS256", "crit": ["b64"], "b64": false}),
        json!({"alg": "HS256", "b64": false}),
        json!({"alg": "HS256", "zip": "DEF"}),
        json!({"alg": "dir", "enc": "A256GCM"}),
    ] {
        tokens.push(bad(signed(&header.to_string(), &claims), "token_signature"));
    }
    are_refused_at_both_doors(tokens).await;
}

#[tokio::test]
async fn unsigned_tokens_open_both_doors_while_developing_and_none_in_production_f1_30() {
    let token = unsigned(&json!({"user_id": "alice"}));
    let server = TestServer::start().await;
    let alice = server.bearer("alice", token.clone());
    assert_eq!(alice.connects().await.ready["me"]["id"], "alice");
    assert_eq!(alice.get("/v1/me").await.ok()["me"]["id"], "alice");
    let backend = server.bearer("", unsigned(&json!({"server": true})));
    backend.get("/v1/users?ids=alice").await.refused("token_signature");
    // It says no time of its issue.
    server.backend().post("/v1/users/alice/revoke_tokens", json!({})).await.ok();
    alice.get("/v1/me").await.refused("token_revoked");

    let server = TestServer::with(|config| config.app.mode = Some(Mode::Production)).await;
    let alice = server.bearer("alice", token);
    let error = alice.get("/v1/me").await.refused("token_signature");
    assert!(error["message"].as_str().unwrap().contains("not signed"), "{error}");
    let (error, code) = alice.is_refused(&alice.hello()).await;
    assert_eq!((error["number"].as_u64(), code), (Some(43), 4002));
}

#[tokio::test]
async fn what_is_no_compact_token_is_malformed_at_both_doors() {
    let good = sign(&json!({"user_id": "alice"}));
    let deep = format!(r#"{{"user_id":"alice","x":{}1{}}}"#, "[".repeat(200), "]".repeat(200));
    let many: Value =
        (0..10_000).map(|n| (format!("c{n}"), json!(n))).collect::<serde_json::Map<_, _>>().into();
    let many = sign(&many);
    are_refused_at_both_doors(vec![
        bad("", "token_malformed"),
        bad("x", "token_malformed"),
        bad("..", "token_malformed"),
        bad("a.b.c.d.e", "token_malformed"),
        bad(good.replace('.', ","), "token_malformed"),
        bad(format!("{good}.{good}"), "token_malformed"),
        bad(r#"{"payload":"x","protected":"y","signature":"z"}"#, "token_malformed"),
        bad(format!("{}.x.y", URL_SAFE_NO_PAD.encode("[1]")), "token_malformed"),
        bad(format!("{}.x.y", "=".repeat(40)), "token_malformed"),
        bad(sign_raw(HEADER, &deep, crate::kit::SECRET), "token_malformed"),
        bad(sign(&json!({"user_id": "alice", "pad": "x".repeat(8_192)})), "token_malformed"),
        bad(many[..50_000].to_owned(), "token_malformed"),
        bad("a".repeat(60_000), "token_malformed"),
    ])
    .await;
}

#[tokio::test]
async fn keys_that_a_header_brings_along_are_never_looked_at() {
    let server = TestServer::start().await;
    // Whoever follows this address is seen here.
    let bait = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", bait.local_addr().unwrap());
    for kid in ["../../../../etc/passwd", "' or 1=1 --", url.as_str(), "x".repeat(3_000).as_str()] {
        let header =
            json!({"alg": "HS256", "kid": kid, "jku": url, "x5u": url, "jwk": {"kty": "oct", "k": "AA"}});
        let alice =
            server.bearer("alice", signed(&header.to_string(), &json!({"user_id": "alice", "iss": url})));
        alice.get("/v1/me").await.ok();
        alice.connects().await;
    }
    let called = tokio::time::timeout(std::time::Duration::from_millis(1), bait.accept()).await;
    assert!(called.is_err(), "the server went to where a header sent it");
}

#[tokio::test]
async fn five_seconds_of_difference_between_clocks_are_forgiven_l6_29() {
    let server = TestServer::start().await;
    let now = now_s();
    // Three, so that a slow machine does not make five of them.
    for claims in [json!({"exp": now - 2}), json!({"nbf": now + 4}), json!({"iat": now + 4})] {
        let mut claims = claims;
        claims["sub"] = json!("alice");
        let alice = server.bearer("alice", sign(&claims));
        alice.get("/v1/me").await.ok();
        alice.connects().await;
    }
}

#[tokio::test]
async fn apps_and_tokens_that_are_missing_or_unknown_are_told_apart_l7_8_f1_16() {
    let server = TestServer::start().await;
    let alice = server.user("alice");
    server.anybody().get("/v1/me").await.refused("app_key_missing");
    server.anybody().with_header("X-Parlour-App", "dev").get("/v1/me").await.refused("token_missing");
    let basic =
        server.anybody().with_header("X-Parlour-App", "dev").with_header("Authorization", "Basic eDp5");
    basic.get("/v1/me").await.refused("token_missing");
    let elsewhere = server.anybody().with_header("X-Parlour-App", "other");
    let elsewhere = elsewhere.with_header("Authorization", &format!("Bearer {}", alice.token));
    elsewhere.get("/v1/me").await.refused("unknown_app");
    let (error, code) = alice.is_refused(&alice.hello_with(json!({"app_key": "other"}))).await;
    assert_eq!(
        (error["code"].as_str(), error["number"].as_u64(), code),
        (Some("unknown_app"), Some(2), 4001)
    );
    // Twice is once too often: two readers could take two values.
    for header in ["X-Parlour-App", "Authorization", "X-Parlour-User"] {
        let value = if header == "X-Parlour-User" { "alice" } else { "dev" };
        alice
            .with_header(header, value)
            .with_header(header, value)
            .get("/v1/me")
            .await
            .refused("invalid_input");
    }
}

#[tokio::test]
async fn a_server_token_does_everything_over_http_and_never_connects_l1_28_l7_14_f1_8_f1_9() {
    let server = TestServer::start().await;
    let backend = server.backend();
    backend.post("/v1/users", json!({"users": [{"id": "alice"}]})).await.ok();
    let (error, code) = backend.is_refused(&backend.hello()).await;
    assert_eq!((error["code"].as_str(), code), (Some("server_token_cannot_connect"), 4007));
    server.user("alice").get("/v1/usage").await.refused("server_token_required");
}

#[tokio::test]
async fn an_unknown_version_of_the_protocol_is_refused_l7_13() {
    let server = TestServer::start().await;
    let alice = server.user("alice");
    for version in [0, 2, 4_294_967_295_u32] {
        let client = json!({"instance": "i", "version": version});
        let (error, code) = alice.is_refused(&alice.hello_with(json!({ "client": client }))).await;
        assert_eq!((error["code"].as_str(), code), (Some("unsupported_version"), 4006));
    }
}

#[tokio::test]
async fn a_token_is_replaced_on_the_connection_and_its_end_ignored_ends_the_connection_l7_24() {
    let server = TestServer::with(|config| config.limits.token_grace_ms = 300).await;
    let token = |ends_in: i64| sign(&json!({"user_id": "alice", "exp": now_s() + ends_in}));
    let mut live = server.bearer("alice", token(1)).connects().await;
    // A fifth of its life is left then, which is at most 200 ms, and the grace beyond that.
    let grace_ms = live.hears("token_expiring").await["grace_ms"].as_u64().unwrap();
    assert!((300..=500).contains(&grace_ms), "{grace_ms}");
    live.says(&json!({"type": "token", "token": token(2)})).await;
    // Good for as long as it says, then the same question.
    live.settles().await;
    live.hears("token_expiring").await;
    let (frames, code) = live.until_closed().await;
    assert_eq!(code, Some(4202));
    assert_eq!((&frames[0]["type"], &frames[0]["code"]), (&json!("bye"), &json!(4202)), "{frames:?}");

    // A token with `exp` within the leeway is as good as ended: it is asked for another at once.
    let mut live = server.bearer("alice", token(-1)).connects().await;
    live.hears("token_expiring").await;
}

#[tokio::test]
async fn a_bad_token_given_on_the_connection_ends_it_l7_9() {
    let server = TestServer::start().await;
    let alice = server.user("alice");
    let expired = sign(&json!({"user_id": "alice", "exp": now_s() - 30}));
    for (token, error, close) in [
        (sign(&json!({"user_id": "bob"})), "wrong_user", 4002),
        (expired, "token_expired", 4202),
        ("nonsense".to_owned(), "token_malformed", 4002),
        (sign(&json!({"server": true})), "server_token_cannot_connect", 4007),
    ] {
        let mut live = alice.connects().await;
        live.says(&json!({"type": "token", "token": token})).await;
        let (frames, code) = live.until_closed().await;
        assert_eq!(frames[0]["error"]["code"], error, "{frames:?}");
        assert_eq!(code, Some(close), "{error}");
    }
}
