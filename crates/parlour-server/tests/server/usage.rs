//! Usage: who counts as active, and how many are connected, also after a restart.

use std::time::Duration;

use parlour_store::{AppId, Store, UsageRange};
use parlour_wire::Timestamp;
use parlour_wire::usage::Granularity;
use serde_json::{Value, json};

use crate::kit::{TestServer, soon};
use crate::still::{BEGAN_MS, Still, pass};

async fn usage(server: &TestServer) -> Value {
    server.backend().get("/v1/usage?last=2").await.ok()
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
    let series = &counts["series"];
    assert_eq!((&series["granularity"], &series["peak"]), (&json!("minute"), &json!(3)));
    let points = series["points"].as_array().unwrap();
    let opened = |point: &Value| {
        point["opened"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum::<u64>()
    };
    let sums = (
        points.len(),
        points.iter().map(opened).sum(),
        points.iter().map(|p| p["closed"].as_u64().unwrap()).sum(),
    );
    assert_eq!(sums, (2, 3, 2), "{series}");
    first.leaves().await;
}

#[tokio::test]
async fn whoever_asks_for_what_there_is_not_is_told_what_there_is() {
    let server = TestServer::start().await;
    for (query, word) in [
        ("last=0", "1 to 1500"),
        ("last=1501", "1 to 1500"),
        ("last=-1", "last"),
        ("minutes=3", "minutes"),
        ("granularity=year", "minute, hour, day, month"),
        ("month=2026-13", "2026-11"),
        ("month=november", "2026-11"),
        ("month=2026-11&last=3", "leave out"),
        ("from=2026-11-01T00:00:00Z&last=3", "leave one"),
        ("from=2026-11-01T00:00:00Z&to=2026-10-01T00:00:00Z", "empty"),
        ("from=2999-11-01T00:00:00Z", "empty"),
        ("from=2020-11-01T00:00:00Z&granularity=minute", "at most 1500"),
        ("from=yesterday", "RFC 3339"),
    ] {
        let error = server.backend().get(&format!("/v1/usage?{query}")).await.refused("invalid_input");
        assert!(error["message"].as_str().unwrap().contains(word), "{query}: {error}");
    }
    server.user("alice").get("/v1/usage").await.refused("server_token_required");
    server.user("alice").connects().await;
    let year = server.backend().get("/v1/usage?granularity=month&last=12").await.ok();
    let months = year["concurrent_connections"]["series"]["points"].as_array().unwrap();
    assert_eq!(
        (months.len(), &months[11]["peak"], &months[11]["monthly_active_users"]),
        (12, &json!(1), &json!(1))
    );
    let month = server.backend().get("/v1/usage?month=2020-02").await.ok();
    assert_eq!((&month["month"], &month["monthly_active_users"]), (&json!("2020-02"), &json!(0)));
    assert_eq!(month["concurrent_connections"]["series"]["points"].as_array().unwrap().len(), 29);
}

#[tokio::test]
async fn each_connection_has_its_cause_and_the_definitions_stand_beside_f5_14_f5_17() {
    let server = TestServer::with(|config| config.limits.connections_per_user = Some(9)).await;
    let client = |instance: &str, page: &str| json!({"instance": instance, "page": page, "version": 1});
    let connects = async |fields: Value| server.user("alice").connects_with(fields).await;
    let phone = connects(json!({"device": "phone", "client": client("i1", "p1")})).await;
    let laptop = connects(json!({"device": "laptop", "client": client("i2", "p2")})).await;
    let _tab = connects(json!({"device": "laptop", "client": client("i3", "p3")})).await;
    // A client made anew with a render, and one that lost its connection and does not know that it is there.
    let leak = connects(json!({"device": "laptop", "client": client("i4", "p2")})).await;
    let resume = json!({"epoch": phone.ready["epoch"], "as_of": phone.ready["as_of"], "cursors": {}});
    let back = json!({"device": "phone", "client": client("i1", "p1"), "resume": resume});
    let _overlap = connects(back).await;
    // One that names its predecessor takes its place.
    let next =
        json!({"device": "laptop", "client": client("i2", "p2"), "replaces": laptop.ready["connection_id"]});
    let _next = connects(next).await;
    let _bob = server.user("bob").connects().await;
    let answer = usage(&server).await;
    let counts = &answer["concurrent_connections"];
    let expected = json!({
        "first_device": 2, "further_device": 1, "extra_tab": 1, "leak_suspect": 1, "reconnect_overlap": 1,
    });
    assert_eq!((&counts["current"], &counts["current_by_cause"]), (&json!(6), &expected), "{counts}");
    for cause in expected.as_object().unwrap().keys() {
        assert!(answer["definitions"][cause].as_str().unwrap().len() > 40, "{cause}");
    }
    // Without the page's first connection the other one is the page's own, and the device still has another tab.
    leak.leaves().await;
    phone.leaves().await;
    let causes = soon(async {
        loop {
            let counts = usage(&server).await["concurrent_connections"].clone();
            if counts["current"] == 4 {
                break counts["current_by_cause"].clone();
            }
        }
    })
    .await;
    assert_eq!(
        (&causes["first_device"], &causes["extra_tab"], &causes["further_device"]),
        (&json!(2), &json!(1), &json!(1)),
        "{causes}"
    );
}

#[tokio::test]
async fn what_shared_tabs_save_is_told_while_they_share_f5_15() {
    let server = TestServer::start().await;
    let mut live = server.user("alice").connects().await;
    live.says(&json!({"type": "tabs", "count": 4})).await;
    live.settles().await;
    let counts = usage(&server).await["concurrent_connections"].clone();
    assert_eq!((&counts["current"], &counts["tabs_saved"]), (&json!(1), &json!(3)));
    // Nobody claims to save a million.
    live.says(&json!({"type": "tabs", "count": 4_000_000})).await;
    live.settles().await;
    assert_eq!(usage(&server).await["concurrent_connections"]["tabs_saved"], 99);
    live.leaves().await;
    soon(async { while usage(&server).await["concurrent_connections"]["tabs_saved"] != 0 {} }).await;
    let series = usage(&server).await["concurrent_connections"]["series"].clone();
    let most =
        series["points"].as_array().unwrap().iter().map(|point| point["tabs_saved"].as_u64().unwrap()).max();
    assert_eq!(most, Some(99));
}

#[tokio::test(start_paused = true)]
async fn what_ends_is_on_the_disk_a_second_later_f5_10() {
    let server = Still::with(|_| {}).await;
    let on_disk = async || {
        let now = Timestamp::from_unix_ms(BEGAN_MS);
        let (granularity, to) = (Granularity::Hour, Timestamp::from_unix_ms(BEGAN_MS + 1));
        let range = UsageRange { granularity, from: now, to };
        let hour = server.store.usage(AppId(1), range, now).await.unwrap().points[0];
        (hour.opened.total(), hour.closed)
    };
    let (mut first, second) =
        (server.connects("alice", json!({})).await, server.connects("bob", json!({})).await);
    assert_eq!(on_disk().await, (2, 0), "at once");
    pass(Duration::from_millis(5_500)).await;
    first.says(&json!({"type": "bye", "intent": "leave"})).await;
    first.until_closed().await;
    assert_eq!(on_disk().await, (2, 0));
    pass(Duration::from_secs(1)).await;
    assert_eq!(on_disk().await, (2, 1));
    drop(second);
    pass(Duration::from_secs(1)).await;
    assert_eq!(on_disk().await, (2, 2));
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
