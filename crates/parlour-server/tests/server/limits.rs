//! How many calls are answered, and what each answer says of it.

use parlour_server::Config;
use parlour_server::config::Mode;
use serde_json::{Value, json};

use crate::kit::{Answer, GENERAL, Person, TestServer};

const LIMIT: &str = "/v1/app/limits";

fn production(config: &mut Config) {
    config.app.mode = Some(Mode::Production);
}

/// Limit, what is left, and how many seconds until all is there again.
fn told(answer: &Answer) -> Option<(u64, u64, i64)> {
    let number = |name: &str| answer.header(name)?.parse::<i64>().ok();
    let reset = number("x-ratelimit-reset")? - crate::kit::now_s();
    Some((number("x-ratelimit-limit")? as u64, number("x-ratelimit-remaining")? as u64, reset))
}

async fn asks(person: &Person) -> Answer {
    person.get("/v1/unread").await
}

#[tokio::test]
async fn in_production_a_user_has_sixty_calls_a_minute_to_each_endpoint_from_each_platform_f5_19_f5_23_f5_24()
{
    let server = TestServer::with(production).await;
    server.knows(&["alice", "bob"]).await;
    let alice = server.user("alice");
    for left in (0..60).rev() {
        let answer = asks(&alice).await;
        let (limit, remaining, reset) = told(&answer).unwrap();
        assert_eq!((limit, remaining), (60, left));
        assert!((1..=61).contains(&reset), "{reset}");
        answer.ok();
    }
    let refused = asks(&alice).await;
    let (limit, remaining, reset) = told(&refused).unwrap();
    let wait: i64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert_eq!((limit, remaining), (60, 0));
    assert!((1..=60).contains(&wait) && (reset - wait).abs() <= 1, "{wait} {reset}");
    let error = refused.refused("rate_limited");
    assert_eq!((&error["number"], &error["retry_after"]), (&json!(9), &json!(wait)));
    assert!(error["message"].as_str().unwrap().contains("GET /v1/unread more than 60 times"), "{error}");
    // Another endpoint, another platform, another user; whatever else is made up is one platform.
    assert_eq!(told(&alice.get("/v1/me").await).unwrap().1, 59);
    assert_eq!(told(&asks(&alice.with_header("User-Agent", "okhttp/4")).await).unwrap().1, 59);
    assert_eq!(told(&asks(&server.user("bob")).await).unwrap().1, 59);
    for made_up in ["curl/8", "mine/1", ""] {
        asks(&alice.with_header("User-Agent", made_up)).await.refused("rate_limited");
    }
    // The same endpoint is the same, whatever stands in its path.
    alice.get("/v1/channels/messaging/a").await.refused("not_found");
    assert_eq!(told(&alice.get("/v1/channels/messaging/b").await).unwrap().1, 58);
}

#[tokio::test]
async fn servers_are_exempt_also_in_the_name_of_a_user_f5_22() {
    let server = TestServer::with(|config| {
        production(config);
        config.limits.calls_per_minute = Some(1);
        config.limits.app_calls_per_minute = Some(1);
    })
    .await;
    server.knows(&["alice"]).await;
    for _ in 0..3 {
        let answer = asks(&server.backend().acting_as("alice")).await;
        assert_eq!(told(&answer), None);
        answer.ok();
    }
    asks(&server.user("alice")).await.ok();
    asks(&server.user("alice")).await.refused("rate_limited");
}

#[tokio::test]
async fn while_developing_nothing_is_counted_f5_20_l6_47() {
    let server = TestServer::with_users(&["alice"]).await;
    for _ in 0..70 {
        let answer = asks(&server.user("alice")).await;
        assert_eq!(told(&answer), None);
        answer.ok();
    }
}

#[tokio::test]
async fn an_app_has_limits_for_each_endpoint_over_all_its_users_f5_21_f5_25() {
    let server = TestServer::with(|config| {
        config.limits.app_calls.insert("GET /v1/unread".to_owned(), 3);
        config.limits.calls.insert("GET /v1/me".to_owned(), 1);
    })
    .await;
    server.knows(&["alice", "bob"]).await;
    for name in ["alice", "bob", "alice"] {
        asks(&server.user(name)).await.ok();
    }
    let refused = asks(&server.user("bob")).await;
    assert_eq!(told(&refused).unwrap().0, 3);
    let error = refused.refused("rate_limited");
    assert!(error["message"].as_str().unwrap().starts_with("The users of this app together"), "{error}");
    asks(&server.backend().acting_as("alice")).await.ok();
    assert_eq!(told(&server.user("alice").get("/v1/me").await).unwrap().1, 0);
    server.user("alice").get("/v1/me").await.refused("rate_limited");
}

#[tokio::test]
async fn an_app_sets_its_own_limits_which_hold_at_once_and_after_a_restart_f5_18_f5_25() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let start = async || {
        TestServer::with(|config| {
            config.storage.data_dir = Some(dir.clone());
            config.limits.calls.insert("GET /v1/me".to_owned(), 5);
        })
        .await
    };
    let server = start().await;
    server.knows(&["alice"]).await;
    let limits = server.backend().get(LIMIT).await.ok();
    assert_eq!(limits["limits"], json!({}));
    assert_eq!(
        limits["in_force"],
        json!({
            "connections_per_user": 3, "on_connection_limit": "evict", "calls_per_minute": 0,
            "app_calls_per_minute": 0, "calls": {"GET /v1/me": 5},
        })
    );
    let own = json!({
        "connections_per_user": 1, "on_connection_limit": "refuse", "calls_per_minute": 7,
        "calls": {"GET /v1/unread": 2},
    });
    let set = puts(&server.backend(), own.clone()).await.ok();
    assert_eq!(set["limits"], own);
    assert_eq!(
        set["in_force"]["calls"],
        json!({"GET /v1/unread": 2}),
        "what the app says of all goes before"
    );
    let holds = async |server: &TestServer| {
        let alice = server.user("alice");
        let (limit, left, _) = told(&asks(&alice).await).unwrap();
        assert_eq!((limit, left), (2, 1));
        asks(&alice).await.ok();
        asks(&alice).await.refused("rate_limited");
        assert_eq!(told(&alice.get("/v1/me").await).unwrap().0, 7);
        let first = alice.connects().await;
        assert_eq!(alice.is_refused(&alice.hello()).await.1, 4009);
        first.leaves().await;
    };
    holds(&server).await;
    server.stop().await;
    let server = start().await;
    holds(&server).await;
    let back = puts(&server.backend(), json!({})).await.ok();
    assert_eq!(back["in_force"], limits["in_force"]);
    asks(&server.user("alice")).await.ok();
    server.user("alice").get(LIMIT).await.refused("server_token_required");
    puts(&server.user("alice"), json!({})).await.refused("server_token_required");
}

async fn puts(person: &Person, limits: Value) -> Answer {
    person.asks("PUT", LIMIT, Some(limits.to_string().as_bytes())).await
}

#[tokio::test]
async fn limits_that_cannot_hold_are_refused_with_the_reason_f5_25() {
    let server = TestServer::start().await;
    for (limits, word) in [
        (json!({"calls_per_minute": 1_000_001}), "at most 1000000"),
        (json!({"calls_per_minute": -1}), "invalid value"),
        (json!({"connections_per_user": 0}), "1 to 10000"),
        (json!({"calls": {"GET /v1/unred": 3}}), "Did you mean \"GET /v1/unread\"?"),
        (json!({"app_calls": {("x".repeat(9_000)): 3}}), "There is no endpoint"),
        (json!({"per_minute": 3}), "unknown field"),
        (json!({"on_connection_limit": "queue"}), "unknown variant"),
    ] {
        let error = puts(&server.backend(), limits.clone()).await.refused("invalid_input");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(word) && message.len() < 400, "{limits}: {error}");
    }
    assert_eq!(server.backend().get(LIMIT).await.ok()["limits"], json!({}));
}

#[tokio::test]
async fn pages_may_read_where_they_stand_f5_23() {
    let server = TestServer::with(production).await;
    server.knows(&["alice"]).await;
    let origin = format!("http://{}", server.address);
    let answer = asks(&server.user("alice").with_header("Origin", &origin)).await;
    let exposed = answer.header("access-control-expose-headers").unwrap();
    for name in ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "retry-after"] {
        assert!(exposed.contains(name), "{exposed}");
    }
    assert_eq!(told(&answer).unwrap().0, 60);
}

#[tokio::test]
async fn what_is_said_on_a_connection_is_held_to_its_limits_and_not_to_those_of_calls() {
    let server = TestServer::with(|config| config.limits.calls_per_minute = Some(1)).await;
    let alice = server.user("alice");
    let stream = alice.streams_with(json!({})).await;
    for _ in 0..5 {
        stream.says(&json!({"type": "pong"})).await.ok();
    }
    // What nobody may do at all is no call.
    server.bearer("alice", "no token".to_owned()).get("/v1/unread").await.refused("token_malformed");
    alice.makes(GENERAL, &[]).await;
    alice.sends(GENERAL, "one").await;
    alice.sends_as(GENERAL, "m2", "two").await.refused("rate_limited");
}
