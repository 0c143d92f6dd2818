//! Devices for push.

use serde_json::{Value, json};

use crate::kit::TestServer;

fn ids(answer: &Value) -> Vec<&str> {
    answer["devices"].as_array().unwrap().iter().map(|device| device["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_device_is_registered_listed_shown_and_removed_on_every_path_f2_37() {
    let server = TestServer::with_users(&["alice", "bob"]).await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let endpoint = "https://push.example/send/a%2Fb?c=d&e";
    let keys = json!({"p256dh": "BPk_-x", "auth": "a1_"});
    let web = json!({"id": endpoint, "provider": "webpush", "keys": keys});
    let made = alice.post("/v1/devices", web).await.ok();
    assert_eq!((&made["device"]["provider"], made["device"].get("keys")), (&json!("webpush"), None));
    let phone = json!({"id": "phone", "provider": "apn", "provider_name": "voip"});
    server.backend().acting_as("alice").post("/v1/devices", phone.clone()).await.ok();
    for listed in [
        alice.get("/v1/devices").await.ok(),
        server.backend().acting_as("alice").get("/v1/devices").await.ok(),
        alice.get("/v1/me").await.ok()["me"].clone(),
        alice.connects().await.ready["me"].clone(),
        alice.polls(&alice.hello()).await[0]["me"].clone(),
    ] {
        assert_eq!(ids(&listed), [endpoint, "phone"]);
        assert_eq!(listed["devices"][1]["provider_name"], "voip");
    }
    assert!(bob.sees("alice").await.unwrap().get("devices").is_none(), "nobody else's business");

    // The phone is Bob's now: he signed in on it.
    bob.post("/v1/devices", phone).await.ok();
    assert_eq!(ids(&alice.get("/v1/devices").await.ok()), [endpoint]);
    assert_eq!(ids(&bob.connects().await.ready["me"]), ["phone"]);
    alice.delete("/v1/devices?id=phone").await.refused("not_found");
    let encoded = endpoint.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    alice.delete(&format!("/v1/devices?id={encoded}")).await.ok_with(204);
    assert!(ids(&alice.get("/v1/devices").await.ok()).is_empty());
    server.backend().acting_as("bob").delete("/v1/devices?id=phone").await.ok_with(204);
    assert_eq!(bob.get("/v1/me").await.ok()["me"]["devices"], json!([]));
    server.backend().get("/v1/devices").await.refused("user_required");
}

#[tokio::test]
async fn a_user_has_at_most_25_devices_f2_37() {
    let server = TestServer::with_users(&["alice"]).await;
    let alice = server.user("alice");
    let register =
        async |n: usize| alice.post("/v1/devices", json!({"id": format!("d{n}"), "provider": "fcm"})).await;
    for n in 0..25 {
        register(n).await.ok();
    }
    register(25).await.refused("too_many_devices");
    register(7).await.ok();
    alice.delete("/v1/devices?id=d0").await.ok_with(204);
    register(25).await.ok();
    assert_eq!(ids(&alice.get("/v1/devices").await.ok()).len(), 25);
}

#[tokio::test]
async fn what_is_no_device_is_not_registered_f2_37() {
    let server = TestServer::with_users(&["alice"]).await;
    let alice = server.user("alice");
    let keys = json!({"p256dh": "x", "auth": "y"});
    for bad in [
        json!({"id": "", "provider": "fcm"}),
        json!({"id": "a b", "provider": "fcm"}),
        json!({"id": "é", "provider": "fcm"}),
        json!({"id": "x".repeat(1_025), "provider": "fcm"}),
        json!({"id": "x", "provider": "pigeon"}),
        json!({"id": "x"}),
        json!({"id": "x", "provider": "fcm", "provider_name": "a b"}),
        json!({"id": "x", "provider": "fcm", "keys": keys}),
        json!({"id": "x", "provider": "webpush"}),
        json!({"id": "x", "provider": "webpush", "keys": {"p256dh": "x"}}),
        json!({"id": "x", "provider": "webpush", "keys": {"p256dh": "x", "auth": "ü"}}),
        json!({"id": "x", "provider": "fcm", "user_id": "bob"}),
    ] {
        alice.post("/v1/devices", bad).await.refused("invalid_input");
    }
    assert!(ids(&alice.get("/v1/devices").await.ok()).is_empty());
    server
        .user("nobody")
        .post("/v1/devices", json!({"id": "x", "provider": "fcm"}))
        .await
        .refused("not_found");
}
