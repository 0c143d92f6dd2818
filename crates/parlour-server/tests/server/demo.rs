//! The demo in the binary, and tokens without a backend: while developing, and never for strangers.

use parlour_server::config::Mode;
use serde_json::{Value, json};

use crate::kit::{Answer, Person, TestServer};

async fn in_production(demo: Option<bool>) -> TestServer {
    TestServer::with(|config| {
        config.app.mode = Some(Mode::Production);
        config.server.demo = demo;
    })
    .await
}

/// The page, as it is given to everybody.
#[track_caller]
fn is_page(answer: &Answer) {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(answer.text().contains("<!doctype html>"), "{}", answer.text());
}

/// The files of the bundle that the page names.
fn assets(page: &Answer) -> Vec<String> {
    let quoted = page.text().split('"').filter(|text| text.starts_with("/demo/assets/"));
    quoted.map(str::to_owned).collect()
}

#[tokio::test]
async fn while_developing_all_ways_lead_to_the_demo() {
    let server = TestServer::start().await;
    let anybody = server.anybody();
    for (path, to) in [
        ("/", "/demo/"),
        ("/demo", "/demo/"),
        ("/?user=alice", "/demo/?user=alice"),
        ("/demo?side=alice,bob", "/demo/?side=alice,bob"),
        // A place of one's own choice is no place to be sent to.
        ("/demo?//evil.example/", "/demo/?//evil.example/"),
    ] {
        let answer = anybody.get(path).await;
        assert_eq!((answer.status, answer.header("location")), (307, Some(to)), "{path}");
    }
    for place in ["/demo/", "/demo/?user=alice", "/demo/channels/general", "/demo/a-b_c/"] {
        is_page(&anybody.get(place).await);
    }
    let head = anybody.asks("HEAD", "/demo/", None).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    anybody.post("/demo/", json!({})).await.refused("method_not_allowed");
}

#[tokio::test]
async fn the_page_may_do_no_more_than_it_needs() {
    let server = TestServer::start().await;
    let page = server.anybody().get("/demo/").await;
    let policy = page.header("content-security-policy").unwrap();
    let rules: Vec<&str> = policy.split(';').map(str::trim).collect();
    for rule in [
        "default-src 'self'",
        "connect-src 'self'",
        "img-src 'self' https: data:",
        "frame-ancestors 'self'",
        "object-src 'none'",
        "base-uri 'none'",
    ] {
        assert!(rules.contains(&rule), "{rule} is not in {policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    // Nothing that the policy would have to forbid: no script or style within the page, nothing from elsewhere.
    let text = page.text();
    for inline in ["<style", " style=", "onload=", "onclick=", "javascript:", "src=\"http", "href=\"http"] {
        assert!(!text.contains(inline), "{inline} in {text}");
    }
    for tag in text.split("<script").skip(1) {
        assert!(tag.split('>').next().unwrap().contains("src="), "a script within the page: {tag}");
    }
}

#[tokio::test]
async fn what_is_named_by_its_content_is_kept_for_ever_and_the_page_is_asked_after_each_time() {
    let server = TestServer::start().await;
    let anybody = server.anybody();
    let page = anybody.get("/demo/").await;
    assert_eq!(page.header("cache-control"), Some("no-cache"));
    let etag = page.header("etag").unwrap();
    for known in [etag, &format!("\"x\", W/{etag}")] {
        let again = anybody.with_header("If-None-Match", known).get("/demo/").await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{known}");
        assert_eq!(again.header("etag"), Some(etag));
        assert!(again.header("content-security-policy").is_some());
    }
    is_page(&anybody.with_header("If-None-Match", "\"other\"").get("/demo/").await);
    for path in assets(&page) {
        let asset = anybody.get(&path).await;
        assert_eq!(asset.status, 200, "{path}");
        assert_eq!(asset.header("cache-control"), Some("public, max-age=31536000, immutable"));
        assert_ne!(asset.header("etag"), Some(etag));
        let kind = if path.ends_with(".css") { "text/css" } else { "text/javascript" };
        assert_eq!(asset.header("content-type"), Some(format!("{kind}; charset=utf-8").as_str()), "{path}");
    }
}

#[tokio::test]
async fn paths_that_lead_elsewhere_lead_nowhere() {
    let server = TestServer::start().await;
    for path in [
        "/demo/../",
        "/demo/..",
        "/demo/../openapi.json",
        "/demo/assets/../../Cargo.toml",
        "/demo/%2e%2e/%2e%2e/etc/passwd",
        "/demo/..%2f..%2fetc%2fpasswd",
        "/demo/..%5c..%5cwindows",
        "/demo/..\\..\\x",
        "/demo/%00",
        "/demo/index.html%00.js",
        "/demo/%ff%fe",
        "/demo/%",
        "/demo//etc/passwd.txt",
        "/demo/.env",
        "/demo/assets/none.js",
        "/demo/index.html/",
        "/demo/INDEX.HTML",
        "/demo/package.json",
        "/demo/file:///etc/passwd",
        "/demo.html",
    ] {
        server.anybody().get(path).await.refused("not_found");
    }
    // A byte that no URL holds never gets that far.
    let nul = crate::kit::raw(server.address, b"GET /demo/\0 HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(Answer::read(&nul).unwrap().status, 400);
    server.lives().await;
}

#[tokio::test]
async fn the_demo_knows_the_app_and_whom_one_may_be() {
    let server = TestServer::start().await;
    let settings = server.anybody().get("/demo/config.json").await;
    assert_eq!(settings.header("cache-control"), Some("no-cache"));
    assert!(!settings.text().contains(crate::kit::SECRET));
    let settings = settings.ok();
    assert_eq!(settings["app_key"], "dev");
    let users: Vec<(&str, &str)> = settings["users"]
        .as_array()
        .unwrap()
        .iter()
        .map(|user| (user["id"].as_str().unwrap(), user["name"].as_str().unwrap()))
        .collect();
    assert_eq!(&users[..2], [("alice", "Alice"), ("bob", "Bob")]);
    assert_eq!(users, parlour_server::DEMO_USERS);
}

fn token(answer: Answer) -> String {
    answer.ok_with(200)["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn while_developing_a_token_can_be_had_without_a_backend() {
    let server = TestServer::start().await;
    let answer = server.anybody().post("/dev/token", json!({"user_id": "alice"})).await;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let alice = server.bearer("alice", token(answer));
    assert_eq!(alice.connects().await.ready["me"]["id"], "alice");
    alice.get("/v1/usage").await.refused("server_token_required");

    let short = server.anybody().post("/dev/token", json!({"user_id": "bob", "ttl_seconds": 3_600})).await;
    let claims = token(short);
    let claims: Value = serde_json::from_slice(&crate::kit::part(&claims, 1)).unwrap();
    let (issued, ends) = (claims["iat"].as_i64().unwrap(), claims["exp"].as_i64().unwrap());
    assert_eq!((claims["user_id"].as_str(), ends - issued), (Some("bob"), 3_600));
    assert!((crate::kit::now_s() - issued).abs() < 60);
}

#[tokio::test]
async fn what_asks_for_a_token_is_read_strictly() {
    let server = TestServer::start().await;
    let anybody = server.anybody();
    for (body, code) in [
        (json!({"user_id": "Alice"}), "invalid_id"),
        (json!({"user_id": ""}), "invalid_id"),
        (json!({"user_id": "a".repeat(129)}), "invalid_id"),
        (json!({"user_id": "a b"}), "invalid_id"),
        (json!({"user_id": 7}), "invalid_input"),
        (json!({}), "invalid_input"),
        (json!({"user_id": "alice", "server": true}), "invalid_input"),
        (json!({"user_id": "alice", "ttl_seconds": 0}), "invalid_input"),
        (json!({"user_id": "alice", "ttl_seconds": -1}), "invalid_input"),
        (json!({"user_id": "alice", "ttl_seconds": 1.5}), "invalid_input"),
        (json!({"user_id": "alice", "ttl_seconds": "60"}), "invalid_input"),
        (json!({"user_id": "alice", "ttl_seconds": 31_536_001}), "invalid_input"),
        (json!(["alice"]), "invalid_input"),
    ] {
        anybody.post("/dev/token", body).await.refused(code);
    }
    let twice = br#"{"user_id":"alice","user_id":"bob"}"#;
    anybody.asks("POST", "/dev/token", Some(twice)).await.refused("invalid_json");
    let simple = anybody.with_header("Content-Type", "text/plain");
    simple.post("/dev/token", json!({"user_id": "alice"})).await.refused("unsupported_media_type");
    anybody.get("/dev/token").await.refused("method_not_allowed");
}

#[tokio::test]
async fn pages_of_this_machine_get_tokens_and_pages_from_elsewhere_do_not() {
    let listed = "https://chat.example.com";
    let server = TestServer::with(|config| config.server.allowed_origins = vec![listed.to_owned()]).await;
    let from = |origin: &str| server.anybody().with_header("Origin", origin);
    let asks = async |person: Person| person.post("/dev/token", json!({"user_id": "alice"})).await;
    let own = format!("http://{}", server.address);
    for origin in [&own, "http://localhost:5173", "http://[::1]:8790", listed] {
        token(asks(from(origin)).await);
    }
    for origin in
        ["https://evil.example", "null", "http://localhost.evil.example", "http://127.0.0.1.evil.example"]
    {
        asks(from(origin)).await.refused("origin_not_allowed");
    }
    // A name of a stranger that leads to this machine: for the browser page and server are of one origin.
    let body = r#"{"user_id":"alice"}"#;
    let rebound = |host: &str| {
        format!(
            "POST /dev/token HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    for (host, is_given) in
        [("evil.example:8790", false), ("192.168.1.7:8790", true), ("[fd00::1]:8790", true)]
    {
        let answer = crate::kit::raw(server.address, rebound(host).as_bytes()).await;
        let answer = Answer::read(&answer).unwrap();
        if is_given {
            token(answer);
        } else {
            answer.refused("origin_not_allowed");
        }
    }
}

#[tokio::test]
async fn in_production_there_is_no_demo_and_no_token() {
    let server = in_production(None).await;
    let anybody = server.anybody();
    for path in ["/", "/demo", "/demo/", "/demo/index.html", "/demo/config.json", "/dev/token"] {
        anybody.get(path).await.refused("not_found");
    }
    anybody.post("/dev/token", json!({"user_id": "alice"})).await.refused("not_found");
}

#[tokio::test]
async fn in_production_the_demo_is_served_where_it_is_wished_and_knows_nobody() {
    let server = in_production(Some(true)).await;
    let anybody = server.anybody();
    is_page(&anybody.get("/demo/").await);
    assert_eq!(anybody.get("/demo").await.header("location"), Some("/demo/"));
    for path in ["/", "/demo/config.json"] {
        anybody.get(path).await.refused("not_found");
    }
    anybody.post("/dev/token", json!({"user_id": "alice"})).await.refused("not_found");
}

#[tokio::test]
async fn a_developer_can_do_without_the_demo() {
    let server = TestServer::with(|config| config.server.demo = Some(false)).await;
    for path in ["/", "/demo/", "/demo/config.json"] {
        server.anybody().get(path).await.refused("not_found");
    }
    token(server.anybody().post("/dev/token", json!({"user_id": "alice"})).await);
}

#[tokio::test]
async fn tokens_without_a_backend_stand_in_no_description_of_the_api() {
    let server = TestServer::start().await;
    let document = server.anybody().get("/openapi.json").await;
    assert!(!document.text().contains("/dev/") && !document.text().contains("/demo"));
}

#[tokio::test]
async fn data_of_production_are_not_developed_with() {
    let folder = tempfile::tempdir().unwrap();
    let start = async |mode| {
        let mut config = crate::kit::config();
        config.storage.data_dir = Some(folder.path().join("data"));
        config.app.mode = mode;
        parlour_server::start(config).await
    };
    start(Some(Mode::Production)).await.unwrap().stop().await;
    let Err(error) = start(Some(Mode::Development)).await else { panic!("it started") };
    assert!(error.to_string().contains("made for production"), "{error}");
    // Also where nothing but the database tells.
    std::fs::remove_file(folder.path().join("data/app.json")).unwrap();
    let Err(error) = start(Some(Mode::Development)).await else { panic!("it started") };
    assert!(error.to_string().contains("made for production"), "{error}");
    start(Some(Mode::Production)).await.unwrap().stop().await;
}
