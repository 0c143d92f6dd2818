//! What an app used.

use parlour_store::{Connect, StoreError};
use serde_json::json;

use crate::kit::{Kit, at, user, users};

/// The kit's time begins at 06:47:00: minutes are counted from there.
const MINUTE: i64 = 60_000;

async fn connects_at(kit: &Kit, id: &str, concurrent: u64, ms: i64) {
    kit.store.connect(Connect { concurrent, now: at(ms), ..kit.connect(id) }).await.unwrap();
}

pub(crate) async fn a_user_counts_once_a_month_f5_1_f5_3(kit: Kit) {
    kit.has_users(&["only-upserted"]).await;
    for id in ["alice", "bob", "alice"] {
        connects_at(&kit, id, 1, 0).await;
    }
    let days = |n: i64| n * 24 * 60 * MINUTE;
    connects_at(&kit, "alice", 1, days(9)).await;
    connects_at(&kit, "alice", 1, days(10)).await;
    let count = async |month| kit.store.monthly_active_users(kit.app, month).await.unwrap();
    assert_eq!(count("2026-11").await, 2);
    assert_eq!(count("2026-12").await, 1);
    assert_eq!(count("2027-01").await, 0);
    let refused = kit.connects("carol", json!({"a": "x".repeat(6_000)})).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })));
    assert_eq!(count("2026-11").await, 2);
}

pub(crate) async fn peaks_carry_in_what_was_there_before_f5_8_f5_12(kit: Kit) {
    let usage =
        async |minutes, now| kit.store.concurrent_connections(kit.app, minutes, at(now)).await.unwrap();
    let empty = usage(2, 0).await;
    assert_eq!((empty.current, empty.peak_month), (0, 0));
    assert_eq!(empty.minutes.iter().map(|m| m.peak).collect::<Vec<_>>(), [0, 0]);

    // Five at once in the first minute, three at its end; then silence, then one less than what was carried in.
    connects_at(&kit, "alice", 5, 1_000).await;
    kit.store.record_closed(kit.app, 3, vec![], at(2_000)).await.unwrap();
    kit.store.record_closed(kit.app, 2, vec![], at(3 * MINUTE + 1)).await.unwrap();
    let now = usage(6, 4 * MINUTE).await;
    let minutes: Vec<_> = now.minutes.iter().map(|m| (m.minute, m.peak)).collect();
    let expected = [(-1, 0), (0, 5), (1, 3), (2, 3), (3, 3), (4, 2)];
    assert_eq!(minutes, expected.map(|(minute, peak)| (at(minute * MINUTE), peak)));
    assert_eq!((now.current, now.peak_minute), (2, 2));
    assert_eq!((now.peak_hour, now.peak_day, now.peak_month), (5, 5, 5));

    // Hours, days and months later nothing has changed but what is carried in.
    let next_hour = usage(1, 30 * MINUTE).await;
    assert_eq!((next_hour.peak_hour, next_hour.peak_day), (2, 5));
    let next_day = usage(1, 24 * 60 * MINUTE).await;
    assert_eq!((next_day.peak_day, next_day.peak_month), (2, 5));
    let next_month = usage(1, 20 * 24 * 60 * MINUTE).await;
    assert_eq!((next_month.peak_month, next_month.current), (2, 2));
}

pub(crate) async fn closing_is_recorded_with_the_users(kit: Kit) {
    connects_at(&kit, "alice", 1, 0).await;
    connects_at(&kit, "bob", 2, 0).await;
    let closed = users(&["alice", "bob", "nobody"]);
    kit.store.record_closed(kit.app, 0, closed, at(7_000)).await.unwrap();
    for user in kit.store.users(kit.app, &users(&["alice", "bob"])).await.unwrap() {
        assert_eq!((user.last_active, user.updated_at), (Some(at(7_000)), at(0)), "{}", user.id);
    }
    kit.store.record_closed(kit.app, 0, users(&["alice"]), at(1_000)).await.unwrap();
    let alice = kit.store.me(kit.app, &user("alice")).await.unwrap().unwrap().user;
    assert_eq!(alice.last_active, Some(at(7_000)), "it does not step back");
    let usage = kit.store.concurrent_connections(kit.app, 1, at(7_000)).await.unwrap();
    assert_eq!((usage.current, usage.peak_minute), (0, 2));
}

pub(crate) async fn a_clock_set_back_loses_no_peak(kit: Kit) {
    connects_at(&kit, "alice", 4, 10 * MINUTE).await;
    connects_at(&kit, "alice", 9, 2 * MINUTE).await;
    kit.store.record_closed(kit.app, 1, vec![], at(2 * MINUTE)).await.unwrap();
    let usage = kit.store.concurrent_connections(kit.app, 3, at(11 * MINUTE)).await.unwrap();
    let peaks: Vec<_> = usage.minutes.iter().map(|minute| minute.peak).collect();
    assert_eq!(peaks, [0, 9, 1]);
    assert_eq!((usage.current, usage.peak_day), (1, 9));
}
