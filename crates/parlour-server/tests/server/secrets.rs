//! Secrets: neither a token nor the app's secret is ever written where people read.

use serde_json::json;

use crate::kit::{GENERAL, TestServer, alone, at, now_s, sign, sign_raw};

const MARKED_SECRET: &str = "MARKEDSECRET-0123456789-0123456789";

#[test]
fn tokens_and_the_secret_stand_in_no_log_no_error_and_not_in_the_database_l4_5_l9_18() {
    let printed = alone("secrets::everything_that_logs");
    let log_lines = printed.lines().filter(|line| line.contains("TRACE") || line.contains("DEBUG")).count();
    assert!(log_lines > 100, "the log was not captured: {printed}");
    for line in printed.lines() {
        assert!(!line.contains("MARKED"), "a secret was printed: {line}");
    }
    // How the claims look within a token.
    let line = printed.lines().find(|line| line.contains("eyJtYXJrZXIi"));
    assert_eq!(line, None, "a token was printed");
}

#[ignore = "runs in a process of its own, started by the test above"]
#[tokio::test]
async fn everything_that_logs() {
    let mut log = crate::kit::config().log;
    log.level = "trace".to_owned();
    tracing_subscriber::fmt().with_env_filter(log.filter()).with_ansi(false).init();
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let server = TestServer::with(|config| {
        config.storage.data_dir = Some(dir.clone());
        config.app.secret = Some(MARKED_SECRET.to_owned());
        config.limits.token_grace_ms = 100;
    })
    .await;
    // The first claim's bytes are known, and so is how they look within a token.
    let token = |claims: &str| {
        sign_raw(r#"{"alg":"HS256"}"#, &format!(r#"{{"marker":"MARKED",{claims}}}"#), MARKED_SECRET)
    };
    let (alice, bob) = (
        server.bearer("alice", token(r#""user_id":"alice""#)),
        server.bearer("bob", token(r#""user_id":"bob""#)),
    );
    let expired = server.bearer("alice", token(&format!(r#""user_id":"alice","exp":{}"#, now_s() - 30)));
    let backend = server.bearer("", token(r#""server":true"#));
    let mut answers = Vec::new();
    backend.post("/v1/users", json!({"users": [{"id": "alice"}, {"id": "bob"}]})).await.ok();
    alice.makes(GENERAL, &["bob"]).await;
    let mut live = bob.connects().await;
    alice.sends(GENERAL, "hi").await;
    live.hears("message.new").await;
    live.says(&json!({"type": "token", "token": bob.token})).await;
    live.settles().await;
    live.says(&json!({"type": "token", "token": expired.token})).await;
    answers.extend(live.until_closed().await.0.iter().map(ToString::to_string));
    for person in [&expired, &server.bearer("", sign(&json!({"user_id": "alice"}))), &backend] {
        answers.push(person.is_refused(&person.hello()).await.0.to_string());
        answers.push(person.get("/v1/me").await.text().to_owned());
    }
    // The same where no WebSocket gets through.
    let mut stream = bob.streams_with(json!({})).await;
    stream.says(&json!({"type": "token", "token": bob.token})).await.ok_with(204);
    stream.says(&json!({"type": "token", "token": expired.token})).await.ok_with(204);
    answers.extend(stream.until_over().await.iter().map(ToString::to_string));
    let polled = bob.polls(&bob.hello_with(json!({"frames": [{"type": "token", "token": bob.token}]}))).await;
    answers.extend(polled.iter().map(ToString::to_string));
    for hello in [expired.hello(), backend.hello(), json!({"type": "hello", "token": bob.token})] {
        answers.push(alice.asks_to_poll(&hello).await.text().to_owned());
    }
    // Tokens in every place where they do not belong.
    let lost = &alice.token;
    for path in
        [format!("/v1/connect?token={lost}"), format!("/v1/users?ids={lost}"), format!("/v1/me?token={lost}")]
    {
        answers.push(alice.get(&path).await.text().to_owned());
    }
    for header in ["Referer", "X-Parlour-App", "X-Parlour-User", "Cookie"] {
        answers.push(alice.with_header(header, lost).get("/v1/me").await.text().to_owned());
    }
    let garbled = server.bearer("alice", format!("{lost}{lost}.x"));
    answers.push(garbled.get("/v1/me").await.text().to_owned());
    answers.push(garbled.is_refused(&garbled.hello()).await.0.to_string());
    for body in [json!({"token": lost}), json!({"message": {"text": 7, "id": lost}})] {
        answers.push(alice.post(&at("messaging:general/messages"), body).await.status.to_string());
    }
    server.stop().await;

    // The path of a request is logged; of these answers, some show what was sent as an id or a header.
    let answered = answers.iter().filter(|answer| answer.contains(MARKED_SECRET)).count();
    assert_eq!(answered, 0, "the secret was answered");
    let shown = answers.iter().find(|answer| answer.contains(lost.as_str()));
    assert_eq!(shown, None, "a whole token was answered");
    for entry in std::fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
        assert!(!holds(alice.token.as_bytes()) && !holds(bob.token.as_bytes()), "a token is in {path:?}");
    }
}
