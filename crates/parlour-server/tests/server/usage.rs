//! Usage: who counts as active, and how many are connected, also after a restart.

use serde_json::{Value, json};

use crate::kit::TestServer;

async fn usage(server: &TestServer) -> Value {
    server.backend().get("/v1/usage?minutes=2").await.ok()
}

#[tokio::test]
async fn active_is_who_connected_this_month_and_repeats_are_free_f5_1_f5_3_f5_5_f5_17() {
    let server = TestServer::with_users(&["upserted"]).await;
    assert_eq!(usage(&server).await["monthly_active_users"], 0);
    for _ in 0..3 {
        server.user("alice").connects().await;
    }
    server.user("bob").connects().await;
    // Who is refused, and who only asks over HTTP, does not count.
    let carol = server.user("carol");
    carol.is_refused(&carol.hello_with(json!({"user": {"id": "carol", "role": "admin"}}))).await;
    server.user("dave").get("/v1/me").await.ok();
    let usage = usage(&server).await;
    assert_eq!(usage["monthly_active_users"], 2);
    assert_eq!(usage["month"].as_str().unwrap().len(), "2026-11".len());
    assert!(usage["definitions"]["monthly_active_users"].as_str().unwrap().contains("UTC calendar month"));
    assert!(usage["definitions"]["concurrent_connections"].is_string());
}

#[tokio::test]
async fn connections_are_counted_at_every_change_and_peaks_stay_f5_7_f5_8() {
    let server = TestServer::start().await;
    let (first, second) = (server.user("alice").connects().await, server.user("alice").connects().await);
    let bob = server.user("bob").connects().await;
    let counts = usage(&server).await["concurrent_connections"].clone();
    assert_eq!(
        (&counts["current"], &counts["peak_minute"], &counts["peak_month"]),
        (&json!(3), &json!(3), &json!(3))
    );
    bob.leaves().await;
    second.breaks();
    // The server hears of a broken link as soon as the system says so.
    let counts = loop {
        let counts = usage(&server).await["concurrent_connections"].clone();
        if counts["current"] == 1 {
            break counts;
        }
    };
    assert_eq!((&counts["peak_hour"], &counts["peak_day"]), (&json!(3), &json!(3)));
    assert!(
        !counts["minutes"].as_array().unwrap().is_empty() && counts["minutes"].as_array().unwrap().len() <= 2
    );
    first.leaves().await;
    server.backend().get("/v1/usage?minutes=1441").await.refused("invalid_input");
    server.backend().get("/v1/usage?minutes=-1").await.refused("invalid_input");
}

#[tokio::test]
async fn what_was_counted_is_still_known_after_a_restart_f5_6() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let start = async || TestServer::with(|config| config.storage.data_dir = Some(dir.clone())).await;
    let server = start().await;
    let _alice = (server.user("alice").connects().await, server.user("alice").connects().await);
    let epoch = _alice.0.ready["epoch"].clone();
    server.stop().await;

    let server = start().await;
    let after = usage(&server).await;
    assert_eq!(after["monthly_active_users"], 1);
    let counts = &after["concurrent_connections"];
    assert_eq!((&counts["current"], &counts["peak_month"]), (&json!(0), &json!(2)), "{counts}");
    let live = server.user("alice").connects().await;
    assert_eq!(live.ready["epoch"], epoch, "the same log");
    let after = usage(&server).await;
    assert_eq!(
        (&after["monthly_active_users"], &after["concurrent_connections"]["current"]),
        (&json!(1), &json!(1))
    );
}
