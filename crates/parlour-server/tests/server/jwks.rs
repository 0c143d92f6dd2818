//! Keys that stand at an address of the app's, and change there.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use parlour_server::config::Mode;
use serde_json::{Value, json};

use crate::keys::{Signer, signers};
use crate::kit::{Answer, TestServer, sign};

const JWKS: &str = "/v1/app/jwks";

/// What stands at the address, and how often it was asked for.
#[derive(Clone, Default)]
struct Shelf(Arc<Mutex<(Option<Value>, u32)>>);

impl Shelf {
    /// Somebody's server with an address for keys.
    async fn open() -> (Self, String) {
        let shelf = Self::default();
        let answer = async |State(shelf): State<Self>| {
            let mut inner = shelf.0.lock().unwrap();
            inner.1 += 1;
            inner.0.clone().map_or_else(
                || (StatusCode::SERVICE_UNAVAILABLE, String::new()),
                |keys| (StatusCode::OK, keys.to_string()),
            )
        };
        let elsewhere = async || axum::response::Redirect::temporary("/keys");
        let router = Router::new()
            .route("/keys", axum::routing::get(answer))
            .route("/moved", axum::routing::get(elsewhere))
            .with_state(shelf.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (shelf, format!("http://{address}"))
    }

    fn holds(&self, keys: &[(&str, &Signer)]) {
        let keys = keys.iter().map(|(kid, signer)| {
            let mut jwk = signer.jwk();
            jwk["kid"] = json!(kid);
            jwk
        });
        self.0.lock().unwrap().0 = Some(json!({ "keys": keys.collect::<Vec<_>>() }));
    }

    fn is_away(&self) {
        self.0.lock().unwrap().0 = None;
    }

    fn asked(&self) -> u32 {
        self.0.lock().unwrap().1
    }
}

fn token(kid: &str, signer: &Signer, claims: &Value) -> String {
    signer.sign(&json!({ "alg": signer.algorithm(), "kid": kid }), claims)
}

async fn names(server: &TestServer, url: &str) -> Answer {
    server.backend().asks("PUT", JWKS, Some(json!({ "url": url }).to_string().as_bytes())).await
}

#[tokio::test]
async fn tokens_of_keys_at_the_apps_address_are_good_for_users_alone_f1_6_f1_28() {
    let server = TestServer::with(|config| config.app.mode = Some(Mode::Production)).await;
    let (shelf, base) = Shelf::open().await;
    let signers = signers();
    let [rsa, ec, ed] = &signers;
    let alice = json!({ "user_id": "alice" });
    server.bearer("alice", token("ed", ed, &alice)).get("/v1/me").await.refused("token_signature");
    shelf.holds(&[("rsa", rsa), ("ec", ec), ("ed", ed)]);
    let answer = names(&server, &format!("{base}/keys")).await.ok_with(200);
    assert_eq!(answer["jwks"]["keys"], json!(["rsa", "ec", "ed"]));
    for (kid, signer) in [("rsa", rsa), ("ec", ec), ("ed", ed)] {
        let person = server.bearer("alice", token(kid, signer, &alice));
        person.connects().await;
        person.get("/v1/me").await.ok();
        let backend = server.bearer("", token(kid, signer, &json!({ "server": true })));
        backend.get("/v1/users?ids=alice").await.refused("token_signature");
    }
    // The algorithm is the key's, and a header names no address.
    let wrong = ed.sign(&json!({ "alg": "EdDSA", "kid": "rsa" }), &alice);
    server.bearer("alice", wrong).get("/v1/me").await.refused("token_signature");
    let led_away =
        json!({ "alg": "EdDSA", "kid": "unknown", "jku": format!("{base}/keys"), "jwk": ed.jwk() });
    server.bearer("alice", ed.sign(&led_away, &alice)).get("/v1/me").await.refused("token_signature");
    assert_eq!(shelf.asked(), 1, "within thirty seconds nobody asks again");
    // The app's own keys stay what they are.
    server.bearer("alice", sign(&alice)).get("/v1/me").await.ok();
    let shown = server.backend().get("/v1/app").await.ok();
    assert_eq!(shown["jwks"]["url"], format!("{base}/keys"));
    assert!(shown["jwks"]["fetched_at"].is_string() && shown["jwks"].get("error").is_none(), "{shown}");

    server.backend().delete(JWKS).await.ok_with(204);
    server.bearer("alice", token("ed", ed, &alice)).get("/v1/me").await.refused("token_signature");
    assert!(server.backend().get("/v1/app").await.ok().get("jwks").is_none());
}

#[tokio::test]
async fn keys_are_exchanged_without_a_gap_and_a_failure_takes_none_away_f1_6() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let start = async || TestServer::with(|config| config.storage.data_dir = Some(dir.clone())).await;
    let server = start().await;
    let (shelf, base) = Shelf::open().await;
    let [first, second, third] = &signers();
    let alice = json!({ "sub": "alice" });
    let says = async |server: &TestServer, kid: &str, signer: &Signer| {
        server.bearer("alice", token(kid, signer, &alice)).get("/v1/me").await
    };
    shelf.holds(&[("1", first), ("2", second)]);
    let url = format!("{base}/keys");
    names(&server, &url).await.ok();
    says(&server, "1", first).await.ok();
    says(&server, "2", second).await.ok();
    // A change of the app's other keys forgets nothing.
    shelf.is_away();
    server.backend().post("/v1/app/keys", json!({ "algorithm": "HS256" })).await.ok();
    says(&server, "2", second).await.ok();
    assert_eq!(shelf.asked(), 1);
    // Named again, they are got anew at once; while they cannot be, all stays as it was.
    names(&server, &url).await.refused("invalid_input");
    says(&server, "1", first).await.ok();
    shelf.holds(&[("2", second), ("3", third)]);
    names(&server, &url).await.ok();
    says(&server, "1", first).await.refused("token_signature");
    says(&server, "2", second).await.ok();
    says(&server, "3", third).await.ok();
    server.stop().await;

    // After a restart the first token that needs them asks for them; all who come with it wait for the one answer.
    let server = start().await;
    let before = shelf.asked();
    let together = (0..5).map(|_| says(&server, "3", third));
    for answer in futures_util::future::join_all(together).await {
        answer.ok();
    }
    assert_eq!(shelf.asked(), before + 1);
    // Tokens that no such key could have signed ask for nothing.
    server.bearer("alice", sign(&alice)).get("/v1/me").await.ok();
    says(&server, "1", first).await.refused("token_signature");
    assert_eq!(shelf.asked(), before + 1);
}

#[tokio::test]
async fn an_address_without_keys_is_not_taken_f1_6() {
    let server = TestServer::with(|config| config.app.mode = Some(Mode::Production)).await;
    let (shelf, base) = Shelf::open().await;
    let url = format!("{base}/keys");
    let refused = async |url: &str, word: &str| {
        let error = names(&server, url).await.refused("invalid_input");
        assert!(error["message"].as_str().unwrap().contains(word), "{error}");
    };
    refused(&url, "503").await;
    shelf.holds(&[]);
    refused(&url, "none of those").await;
    shelf.0.lock().unwrap().0 = Some(json!({ "keys": [], "more": "x".repeat(64 * 1024) }));
    refused(&url, "64 KiB").await;
    shelf.0.lock().unwrap().0 = Some(json!("keys"));
    refused(&url, "no JWKS").await;
    refused(&format!("{base}/moved"), "307").await;
    refused("http://127.0.0.1:1/keys", "There are no keys").await;
    refused("http://id.example.com/keys", "https://").await;
    server.backend().asks("PUT", JWKS, Some(br#"{"url":null}"#)).await.refused("invalid_input");
    server.user("alice").delete(JWKS).await.refused("server_token_required");
    assert!(server.backend().get("/v1/app").await.ok().get("jwks").is_none());
}
