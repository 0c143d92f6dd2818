//! Further keys of an app's tokens: by secret and by public key, each with its algorithm and its scopes.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::kit::{Person, SECRET, TestServer, now_s, sign_raw};

/// Whoever signs with a pair of keys.
pub(crate) enum Signer {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

pub(crate) fn signers() -> [Signer; 3] {
    [
        Signer::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()),
        Signer::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()),
        Signer::Ed(Ed25519KeyPair::generate().unwrap()),
    ]
}

fn pem(label: &str, der: &[u8]) -> String {
    let lines: Vec<String> = STANDARD
        .encode(der)
        .as_bytes()
        .chunks(64)
        .map(|line| String::from_utf8(line.to_vec()).unwrap())
        .collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

impl Signer {
    pub(crate) fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS256",
            Self::Ec(_) => "ES256",
            Self::Ed(_) => "EdDSA",
        }
    }

    fn pem(&self) -> String {
        match self {
            Self::Rsa(key) => pem("PUBLIC KEY", key.public_key().as_der().unwrap().as_ref()),
            Self::Ec(key) => pem("PUBLIC KEY", key.public_key().as_der().unwrap().as_ref()),
            Self::Ed(key) => pem("PUBLIC KEY", key.public_key().as_der().unwrap().as_ref()),
        }
    }

    pub(crate) fn jwk(&self) -> Value {
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Rsa(key) => {
                // Sequence, integer of 257 bytes that begin with a zero, integer of 3 bytes.
                let der = key.public_key().as_ref();
                json!({ "kty": "RSA", "n": b64(&der[9..265]), "e": b64(&der[267..270]) })
            }
            Self::Ec(key) => {
                let point = key.public_key().as_ref();
                json!({ "kty": "EC", "crv": "P-256", "x": b64(&point[1..33]), "y": b64(&point[33..65]) })
            }
            Self::Ed(key) => json!({ "kty": "OKP", "crv": "Ed25519", "x": b64(key.public_key().as_ref()) }),
        }
    }

    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header.to_string()),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let random = SystemRandom::new();
        let signature = match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature).unwrap();
                signature
            }
            Self::Ec(key) => key.sign(&random, message.as_bytes()).unwrap().as_ref().to_vec(),
            Self::Ed(key) => key.sign(message.as_bytes()).as_ref().to_vec(),
        };
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

async fn adds(backend: &Person, key: Value) -> Value {
    backend.post("/v1/app/keys", key).await.ok_with(201)
}

/// A backend that signs with a listed secret.
fn backend_with(server: &TestServer, added: &Value) -> Person {
    let header = json!({ "alg": "HS256", "kid": added["key"]["kid"] });
    let secret = added["secret"].as_str().unwrap();
    server.bearer("", sign_raw(&header.to_string(), r#"{"server":true}"#, secret))
}

#[tokio::test]
async fn tokens_of_a_listed_public_key_are_good_in_each_algorithm_as_pem_and_as_jwk_f1_2_f1_5() {
    let server = TestServer::start().await;
    for signer in signers() {
        let alg = signer.algorithm();
        let claims = json!({ "sub": "alice" });
        let unnamed = server.bearer("alice", signer.sign(&json!({ "alg": alg }), &claims));
        unnamed.get("/v1/me").await.refused("token_signature");
        for (form, public_key) in [("pem", signer.pem()), ("jwk", signer.jwk().to_string())] {
            let kid = format!("{alg}-{form}");
            let added =
                adds(&server.backend(), json!({ "kid": kid, "algorithm": alg, "public_key": public_key }))
                    .await;
            assert_eq!((&added["key"]["scopes"], added.get("secret")), (&json!(["users"]), None));
            let header = json!({ "alg": alg, "kid": kid });
            let alice = server.bearer("alice", signer.sign(&header, &claims));
            alice.get("/v1/me").await.ok();
            alice.connects().await;
            unnamed.get("/v1/me").await.ok();
            // A person's token is what such a key is for, and nothing else.
            let backend = server.bearer("", signer.sign(&header, &json!({ "server": true })));
            backend.get("/v1/users?ids=alice").await.refused("token_signature");
            server.backend().delete(&format!("/v1/app/keys/{kid}")).await.ok_with(204);
            alice.get("/v1/me").await.refused("token_signature");
        }
    }
}

#[tokio::test]
async fn the_algorithm_of_a_listed_key_is_its_own_whatever_the_header_says_f1_11_f1_15() {
    let server = TestServer::start().await;
    let signers = signers();
    for signer in &signers {
        let alg = signer.algorithm();
        adds(&server.backend(), json!({ "kid": alg, "algorithm": alg, "public_key": signer.pem() })).await;
    }
    let claims = json!({ "user_id": "alice" });
    let mut tokens = Vec::new();
    for signer in &signers {
        let alg = signer.algorithm();
        // A public key is known to everybody: it is no secret to sign with.
        for public in [signer.pem(), signer.jwk().to_string()] {
            for kid in [Some(alg), None] {
                let mut header = json!({ "alg": "HS256" });
                if let Some(kid) = kid {
                    header["kid"] = json!(kid);
                }
                tokens.push(sign_raw(&header.to_string(), &claims.to_string(), &public));
            }
        }
        for other in ["HS256", "RS256", "ES256", "EdDSA", "RS512", "PS256", "ES384", "none", "rs256"] {
            for kid in ["RS256", "ES256", "EdDSA"] {
                if other != alg || kid != alg {
                    tokens.push(signer.sign(&json!({ "alg": other, "kid": kid }), &claims));
                }
            }
        }
        tokens.push(signer.sign(&json!({ "alg": alg, "kid": 7 }), &claims));
        tokens.push(signer.sign(&json!({ "alg": alg, "kid": ["x"] }), &claims));
        tokens.push(signer.sign(&json!({ "alg": alg, "kid": "unknown" }), &claims));
        // Its own key, brought along.
        tokens.push(
            Signer::Ed(Ed25519KeyPair::generate().unwrap())
                .sign(&json!({ "alg": "EdDSA", "jwk": signer.jwk(), "x5u": "http://127.0.0.1:1/" }), &claims),
        );
        let unsigned = signer.sign(&json!({ "alg": alg, "kid": alg }), &claims);
        tokens.push(format!("{}.", unsigned.rsplit_once('.').unwrap().0));
    }
    // The app's secret is no key of theirs.
    tokens.push(sign_raw(r#"{"alg":"RS256"}"#, &claims.to_string(), SECRET));
    tokens.push(sign_raw(r#"{"alg":"HS256","kid":"RS256"}"#, &claims.to_string(), SECRET));
    for token in tokens {
        let alice = server.bearer("alice", token);
        alice.get("/v1/me").await.refused("token_signature");
        let (error, code) = alice.is_refused(&alice.hello()).await;
        assert_eq!((error["number"].as_u64(), code), (Some(43), 4002), "{}", alice.token);
    }
    assert_eq!(server.backend().sees("alice").await, None);
}

#[tokio::test]
async fn a_key_that_is_meant_for_another_use_is_refused_f1_28() {
    let server = TestServer::start().await;
    let [rsa, ec, ed] = signers();
    let with = |signer: &Signer, field: &str, value: Value| {
        let mut jwk = signer.jwk();
        jwk[field] = value;
        jwk.to_string()
    };
    let small = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let small = &small.public_key().as_ref()[9..137];
    for (algorithm, public_key) in [
        ("RS256", with(&rsa, "use", json!("enc"))),
        ("RS256", with(&rsa, "key_ops", json!(["encrypt"]))),
        ("RS256", with(&rsa, "key_ops", json!([]))),
        ("RS256", with(&rsa, "alg", json!("RS512"))),
        ("ES256", with(&ec, "use", json!("enc"))),
        ("ES256", with(&ec, "crv", json!("P-384"))),
        ("EdDSA", with(&ed, "crv", json!("X25519"))),
        ("EdDSA", with(&ed, "d", json!("AAAA"))),
        ("RS256", with(&rsa, "n", json!(URL_SAFE_NO_PAD.encode(small)))),
        ("RS256", with(&rsa, "n", json!("not base64!"))),
        ("ES256", rsa.jwk().to_string()),
        ("RS256", ec.jwk().to_string()),
        ("EdDSA", ec.pem()),
        ("ES256", ed.pem()),
        ("ES256", rsa.pem()),
        ("RS256", r#"{"kty":"oct","k":"c2VjcmV0"}"#.to_owned()),
        ("RS256", pem("PRIVATE KEY", b"secret")),
        ("RS256", "{".to_owned()),
        ("RS256", String::new()),
        ("EdDSA", "ssh-ed25519 AAAA".to_owned()),
        ("HS256", rsa.pem()),
    ] {
        let key = json!({ "algorithm": algorithm, "public_key": public_key });
        server.backend().post("/v1/app/keys", key).await.refused("invalid_input");
    }
    for (good, algorithm) in
        [(with(&rsa, "use", json!("sig")), "RS256"), (with(&ec, "key_ops", json!(["verify"])), "ES256")]
    {
        adds(&server.backend(), json!({ "algorithm": algorithm, "public_key": good })).await;
    }
    let huge = json!({ "algorithm": "RS256", "public_key": "x".repeat(9_000) });
    server.backend().post("/v1/app/keys", huge).await.refused("too_large");
    for wrong in [
        json!({ "algorithm": "RS256" }),
        json!({ "algorithm": "none" }),
        json!({ "algorithm": "HS256", "kid": "a b" }),
        json!({ "algorithm": "HS256", "kid": "" }),
        json!({ "algorithm": "HS256", "kid": "x".repeat(65) }),
        json!({ "algorithm": "HS256", "scopes": [] }),
        json!({ "algorithm": "HS256", "scopes": ["everything"] }),
        json!({ "algorithm": "HS256", "secret": "mine" }),
    ] {
        server.backend().post("/v1/app/keys", wrong).await.refused("invalid_input");
    }
}

#[tokio::test]
async fn tokens_do_no_more_than_the_scopes_of_their_key() {
    let server = TestServer::with_users(&["alice"]).await;
    let makes_users = json!({ "users": [{ "id": "bob" }] });
    for (scopes, may) in [
        (json!(["read"]), ["read"].as_slice()),
        (json!(["write"]), &["write"]),
        (json!(["usage"]), &["usage"]),
        (json!(["admin"]), &["admin"]),
        (json!(["read", "usage"]), &["read", "usage"]),
    ] {
        let added = adds(&server.backend(), json!({ "algorithm": "HS256", "scopes": scopes })).await;
        let backend = backend_with(&server, &added);
        let tries = [
            ("read", backend.get("/v1/users?ids=alice").await),
            ("read", backend.acting_as("alice").post("/v1/channels", json!({})).await),
            ("write", backend.post("/v1/users", makes_users.clone()).await),
            ("write", backend.acting_as("alice").post("/v1/channels/messaging/x", json!({})).await),
            // An id that looks like a question is an id.
            ("write", backend.acting_as("alice").post("/v1/channels/messaging/query", json!({})).await),
            ("usage", backend.get("/v1/usage").await),
            ("admin", backend.get("/v1/app").await),
            (
                "admin",
                backend
                    .post("/v1/users/alice/revoke_tokens", json!({"revoke_tokens_issued_before": null}))
                    .await,
            ),
        ];
        for (scope, answer) in tries {
            if may.contains(&scope) {
                answer.ok();
            } else {
                let error = answer.refused("not_allowed");
                assert!(error["message"].as_str().unwrap().contains(scope), "{error}");
            }
        }
        // Nobody gives more than it has, and such a key signs for no user.
        if may == ["admin"] {
            let more = json!({ "algorithm": "HS256", "scopes": ["admin", "write"] });
            backend.post("/v1/app/keys", more).await.refused("not_allowed");
            let same = adds(&backend, json!({ "algorithm": "HS256" })).await;
            assert_eq!(same["key"]["scopes"], json!(["admin"]));
            server
                .backend()
                .delete(&format!("/v1/app/keys/{}", same["key"]["kid"].as_str().unwrap()))
                .await
                .ok();
        }
        let header = json!({ "alg": "HS256", "kid": added["key"]["kid"] }).to_string();
        let secret = added["secret"].as_str().unwrap();
        let alice = server.bearer("alice", sign_raw(&header, r#"{"user_id":"alice"}"#, secret));
        alice.get("/v1/me").await.refused("token_signature");
    }
}

#[tokio::test]
async fn keys_are_exchanged_without_a_moment_in_which_none_is_good_f1_2() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let start = async || TestServer::with(|config| config.storage.data_dir = Some(dir.clone())).await;
    let server = start().await;
    let old = adds(&server.backend(), json!({ "kid": "old", "algorithm": "HS256" })).await;
    assert_eq!(old["key"]["scopes"], json!(["users", "read", "write", "usage", "admin"]));
    let (old, new) = (
        backend_with(&server, &old),
        backend_with(
            &server,
            &adds(&backend_with(&server, &old), json!({ "kid": "new", "algorithm": "HS256" })).await,
        ),
    );
    for backend in [&old, &new] {
        backend.get("/v1/usage").await.ok();
    }
    let shown = new.get("/v1/app").await.ok();
    assert_eq!((&shown["app_key"], &shown["mode"]), (&json!("dev"), &json!("development")));
    for key in shown["keys"].as_array().unwrap() {
        assert!(key["last_used_at"].as_str().unwrap() > "2020", "{key}");
        assert_eq!((key.get("secret"), key.get("public_key")), (None, None), "no secret is told twice");
    }
    // Taken again is not even what was removed: tokens of the old one would look like those of the new.
    new.delete("/v1/app/keys/old").await.ok_with(204);
    old.get("/v1/usage").await.refused("token_signature");
    new.delete("/v1/app/keys/old").await.refused("not_found");
    for kid in ["old", "new"] {
        new.post("/v1/app/keys", json!({ "kid": kid, "algorithm": "HS256" })).await.refused("id_conflict");
    }
    let past = parlour_wire::Timestamp::from_unix_ms((now_s() - 1) * 1_000);
    let over = adds(&new, json!({ "algorithm": "HS256", "expires_at": past })).await;
    backend_with(&server, &over).get("/v1/usage").await.refused("token_signature");
    for _ in 0..8 {
        adds(&new, json!({ "algorithm": "HS256" })).await;
    }
    new.post("/v1/app/keys", json!({ "algorithm": "HS256" })).await.refused("invalid_input");
    server.stop().await;

    let server = start().await;
    let (old, new) = (server.bearer("", old.token), server.bearer("", new.token));
    new.get("/v1/usage").await.ok();
    old.get("/v1/usage").await.refused("token_signature");
    server
        .user("alice")
        .post("/v1/app/keys", json!({ "algorithm": "HS256" }))
        .await
        .refused("server_token_required");
    server.user("alice").delete("/v1/app/keys/new").await.refused("server_token_required");
}
