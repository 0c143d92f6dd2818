//! What an app used.

use std::sync::Arc;

use parlour_store::{Connect, Ledger, Marks, StoreError, Ticket, UsageFigures, UsageRange};
use parlour_wire::usage::{ByCause, Granularity};
use serde_json::json;

use crate::kit::{Kit, at, fields, user, users};

/// The kit's time begins at 06:47:00: minutes are counted from there.
const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

/// The latest minutes at a moment.
async fn minutes(kit: &Kit, count: i64, ms: i64) -> UsageFigures {
    let range =
        UsageRange { granularity: Granularity::Minute, from: at(ms - (count - 1) * MINUTE), to: at(ms + 1) };
    kit.store.usage(kit.app, range, at(ms)).await.unwrap()
}

fn peaks(figures: &UsageFigures) -> Vec<u64> {
    figures.points.iter().map(|point| point.peak).collect()
}

fn current(kit: &Kit, ledger: &Ledger) -> u64 {
    ledger.census(kit.app).by_cause.total()
}

async fn opens_many(kit: &Kit, ledger: &Arc<Ledger>, count: usize, ms: i64) -> Vec<Arc<Ticket>> {
    let mut tickets = Vec::new();
    for n in 0..count {
        tickets.push(kit.opens(ledger, &format!("u{n}"), ms).await);
    }
    tickets
}

async fn record(kit: &Kit, ms: i64) {
    kit.store.record_closed(vec![], at(ms)).await.unwrap();
}

pub(crate) async fn a_user_counts_once_a_month_f5_1_f5_3(kit: Kit) {
    kit.has_users(&["only-upserted"]).await;
    let connects = async |id: &str, ms| {
        kit.store.connect(Connect { now: at(ms), ..kit.connect(id) }).await.unwrap();
    };
    for id in ["alice", "bob", "alice"] {
        connects(id, 0).await;
    }
    connects("alice", 9 * DAY).await;
    connects("alice", 10 * DAY).await;
    let count = async |month| kit.store.monthly_active_users(kit.app, month).await.unwrap();
    assert_eq!(count("2026-11").await, 2);
    assert_eq!(count("2026-12").await, 1);
    assert_eq!(count("2027-01").await, 0);
    let refused = kit.connects("carol", json!({"a": "x".repeat(6_000)})).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })));
    assert_eq!(count("2026-11").await, 2);
    let months = UsageRange { granularity: Granularity::Month, from: at(0), to: at(50 * DAY) };
    let months = kit.store.usage(kit.app, months, at(50 * DAY)).await.unwrap().points;
    let active: Vec<_> = months.iter().map(|month| month.monthly_active_users).collect();
    assert_eq!(active, [Some(2), Some(1), Some(0)]);
}

pub(crate) async fn peaks_carry_in_what_was_there_before_f5_8_f5_12(kit: Kit) {
    let ledger = kit.store.begin_usage().await.unwrap();
    assert_eq!(peaks(&minutes(&kit, 2, 0).await), [0, 0]);

    // Five at once in the first minute, three at its end; then silence, then one less than what was carried in.
    let tickets = opens_many(&kit, &ledger, 5, 1_000).await;
    ledger.close(&tickets[0], at(2_000));
    ledger.close(&tickets[1], at(2_000));
    record(&kit, 2_500).await;
    ledger.close(&tickets[2], at(3 * MINUTE + 1));
    record(&kit, 3 * MINUTE + 2).await;
    let now = minutes(&kit, 6, 4 * MINUTE).await;
    let told: Vec<_> = now.points.iter().map(|m| (m.start, m.peak, m.opened.total(), m.closed)).collect();
    let expected = [(-1, 0, 0, 0), (0, 5, 5, 2), (1, 3, 0, 0), (2, 3, 0, 0), (3, 3, 0, 1), (4, 2, 0, 0)];
    assert_eq!(
        told,
        expected.map(|(minute, peak, opened, closed)| (at(minute * MINUTE), peak, opened, closed))
    );
    assert_eq!((current(&kit, &ledger), now.peaks.minute), (2, 2));
    assert_eq!((now.peaks.hour, now.peaks.day, now.peaks.month), (5, 5, 5));

    // Hours, days and months later nothing has changed but what is carried in.
    let later = async |ms| minutes(&kit, 1, ms).await.peaks;
    let next_hour = later(30 * MINUTE).await;
    assert_eq!((next_hour.hour, next_hour.day), (2, 5));
    let next_day = later(DAY).await;
    assert_eq!((next_day.day, next_day.month), (2, 5));
    let next_month = later(20 * DAY).await;
    assert_eq!((next_month.month, current(&kit, &ledger)), (2, 2));
}

pub(crate) async fn closing_is_recorded_with_the_users(kit: Kit) {
    let ledger = kit.store.begin_usage().await.unwrap();
    for id in ["alice", "bob"] {
        let ticket = kit.opens(&ledger, id, 0).await;
        ledger.close(&ticket, at(6_000));
        ledger.close(&ticket, at(6_001));
    }
    let closed = |ids: &[&str]| users(ids).into_iter().map(|user| (kit.app, user)).collect();
    kit.store.record_closed(closed(&["alice", "bob", "nobody"]), at(7_000)).await.unwrap();
    for user in kit.store.users(kit.app, &users(&["alice", "bob"])).await.unwrap() {
        assert_eq!((user.last_active, user.updated_at), (Some(at(7_000)), at(0)), "{}", user.id);
    }
    kit.store.record_closed(closed(&["alice"]), at(1_000)).await.unwrap();
    let alice = kit.store.me(kit.app, &user("alice"), at(0)).await.unwrap().unwrap().user;
    assert_eq!(alice.last_active, Some(at(7_000)), "it does not step back");
    let usage = minutes(&kit, 1, 7_000).await;
    let minute = usage.points[0];
    assert_eq!((minute.peak, minute.opened.total(), minute.closed), (1, 2, 2), "the first had gone before");
}

pub(crate) async fn a_clock_set_back_loses_no_peak(kit: Kit) {
    let ledger = kit.store.begin_usage().await.unwrap();
    let mut tickets = opens_many(&kit, &ledger, 4, 10 * MINUTE).await;
    tickets.extend(opens_many(&kit, &ledger, 5, 2 * MINUTE).await);
    for ticket in &tickets[1..] {
        ledger.close(ticket, at(2 * MINUTE));
    }
    record(&kit, 2 * MINUTE).await;
    let usage = minutes(&kit, 3, 11 * MINUTE).await;
    assert_eq!(peaks(&usage), [0, 9, 1]);
    assert_eq!((current(&kit, &ledger), usage.peaks.day), (1, 9));
}

pub(crate) async fn a_commit_that_lets_somebody_in_records_all_that_changed_before_it_f5_9(kit: Kit) {
    let ledger = kit.store.begin_usage().await.unwrap();
    let tickets = opens_many(&kit, &ledger, 3, 0).await;
    ledger.close(&tickets[0], at(10));
    ledger.close(&tickets[1], at(59_999));
    kit.opens(&ledger, "late", MINUTE).await;
    let told = minutes(&kit, 2, MINUTE).await;
    assert_eq!(peaks(&told), [3, 2]);
    assert_eq!(told.points.iter().map(|minute| minute.closed).collect::<Vec<_>>(), [2, 0]);
    assert!(!ledger.is_unwritten());
}

pub(crate) async fn a_process_that_ends_without_a_word_ended_its_connections_when_it_last_recorded_f5_11(
    kit: Kit,
) {
    let ledger = kit.store.begin_usage().await.unwrap();
    let tickets = opens_many(&kit, &ledger, 3, 0).await;
    // Two minutes later it says that all is as before; what closes after that it cannot say any more.
    record(&kit, 2 * MINUTE + 5_000).await;
    ledger.close(&tickets[0], at(2 * MINUTE + 6_000));
    let ledger = kit.store.begin_usage().await.unwrap();
    assert_eq!(current(&kit, &ledger), 0);
    let told = minutes(&kit, 5, 4 * MINUTE).await;
    assert_eq!(peaks(&told), [3, 3, 3, 0, 0]);
    assert_eq!(told.points[2].closed, 3);
    // Who was let in by the other process is not counted in this one, whatever becomes of it.
    let old = &tickets[1];
    ledger.close(old, at(4 * MINUTE));
    kit.opens(&ledger, "alice", 4 * MINUTE).await;
    assert_eq!((current(&kit, &ledger), peaks(&minutes(&kit, 2, 4 * MINUTE).await)), (1, vec![0, 1]));
}

pub(crate) async fn who_is_refused_or_gone_before_it_was_let_in_is_never_counted(kit: Kit) {
    let ledger = kit.store.begin_usage().await.unwrap();
    let marks = Marks { device: 1, page: 1, instance: 1, comes_back: false };
    let ticket = || ledger.ticket(kit.app, user("alice"), marks);
    let large = fields(json!({"a": "x".repeat(6_000)}));
    let refused = Connect { ticket: Some(ticket()), fields: large, ..kit.connect("alice") };
    kit.store.connect(refused).await.unwrap_err();
    // Another one of its user took its place while the transaction was waiting.
    let evicted = ticket();
    ledger.close(&evicted, at(0));
    kit.store.connect(Connect { ticket: Some(evicted), ..kit.connect("alice") }).await.unwrap();
    // A poll that goes on was counted when it came first.
    kit.connects("alice", json!({})).await.unwrap();
    let minute = minutes(&kit, 1, 0).await.points[0];
    assert_eq!((minute.peak, minute.opened), (0, ByCause::default()));
    assert_eq!(current(&kit, &ledger), 0);
}

pub(crate) async fn minutes_are_kept_for_90_days_and_carry_in_what_was_before_them(kit: Kit) {
    let ledger = kit.store.begin_usage().await.unwrap();
    let tickets = opens_many(&kit, &ledger, 7, 0).await;
    tickets[..4].iter().for_each(|ticket| ledger.close(ticket, at(1)));
    record(&kit, 2).await;
    ledger.close(&tickets[4], at(DAY));
    record(&kit, DAY).await;
    // A year later: nothing but what was carried from there is known of the minutes.
    ledger.close(&tickets[5], at(365 * DAY));
    record(&kit, 365 * DAY).await;
    assert_eq!(peaks(&minutes(&kit, 2, 0).await), [0, 0]);
    assert_eq!(peaks(&minutes(&kit, 1, 275 * DAY).await), [2]);
    let days = UsageRange { granularity: Granularity::Day, from: at(0), to: at(2 * DAY) };
    let days = kit.store.usage(kit.app, days, at(365 * DAY)).await.unwrap();
    assert_eq!(peaks(&days), [7, 3, 2]);
}
