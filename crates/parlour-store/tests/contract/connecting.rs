//! What a session starts from.

use std::collections::BTreeMap;

use parlour_store::{Connect, Connected, Retention, TopicStart};
use parlour_wire::frames::Resume;
use parlour_wire::users::Setting;
use parlour_wire::{Timestamp, Topic};
use serde_json::json;

use crate::kit::{Kit, at, channel_topic, cid, user, user_topic};

fn resume(kit: &Kit, connect: Connect, as_of: Timestamp) -> Connect {
    let _ = kit;
    let resume = Resume { epoch: "any".parse().unwrap(), as_of, cursors: BTreeMap::new() };
    Connect { resume: Some(resume), ..connect }
}

fn start<'a>(connected: &'a Connected, topic: &Topic) -> &'a TopicStart {
    connected.topics.iter().find(|start| start.topic == *topic).expect("the topic is listened to")
}

pub(crate) async fn a_connect_brings_everything_a_session_starts_from(kit: Kit) {
    kit.has_channel("messaging:general", &["alice", "bob"]).await;
    kit.has_channel("messaging:quiet", &["bob"]).await;
    kit.sends("messaging:general", "alice", "m1").await;
    kit.sends("messaging:general", "alice", "m2").await;
    let privacy = json!({"privacy_settings": {"typing_indicators": {"enabled": false}}});
    let connected = kit.connects("bob", privacy).await.unwrap().value;

    assert!(!connected.created);
    assert_eq!(connected.privacy.typing_indicators, Some(Setting { enabled: false }));
    assert_eq!(connected.privacy.read_receipts, None);
    assert_eq!(connected.epoch, kit.store.epoch().await.unwrap());
    assert_eq!((connected.me.total_unread_count, connected.me.unread_channels), (2, 1));

    let mut topics: Vec<_> =
        connected.topics.iter().map(|start| (start.topic.to_string(), start.head)).collect();
    topics.sort();
    let expected = [
        ("app:first", 0),
        ("channel:messaging:general", 5),
        ("channel:messaging:quiet", 2),
        // Twice added to a channel, and the fields of this very connect.
        ("user:bob", 3),
    ];
    assert_eq!(topics, expected.map(|(topic, head)| (topic.to_owned(), head)));
    assert!(connected.topics.iter().all(|start| start.as_of_seq.is_none()), "without resume");

    let general = connected.channels.iter().find(|unread| unread.cid == cid("messaging:general")).unwrap();
    assert_eq!((general.unread_messages, general.last_read_seq, general.head), (2, 3, 5));
}

pub(crate) async fn as_of_finds_the_last_seq_ten_seconds_before_it_l4_4(kit: Kit) {
    kit.has_channel("messaging:general", &["alice"]).await;
    let topic = channel_topic("messaging:general");
    // Seqs 1 and 2 came with the channel, at 0.
    for (id, ms) in [("m3", 1_000), ("m4", 20_000), ("m5", 30_000)] {
        let message = kit.message("messaging:general", "alice", id, "hi");
        kit.store.send_message(parlour_store::NewMessage { now: at(ms), ..message }).await.unwrap();
    }
    for (as_of, expected) in
        [(0, 0), (10_001, 2), (11_000, 2), (11_001, 3), (30_001, 4), (40_000, 4), (99_000, 5)]
    {
        let connect = resume(&kit, kit.connect("alice"), at(as_of));
        let connected = kit.store.connect(connect).await.unwrap().value;
        assert_eq!(start(&connected, &topic).as_of_seq, Some(expected), "as of {as_of} ms");
        let own = start(&connected, &user_topic("alice")).as_of_seq;
        assert_eq!(own, Some(u64::from(as_of > 10_000)), "the user's own topic, as of {as_of} ms");
        let app = start(&connected, &Topic::App("first".parse().unwrap()));
        assert_eq!((app.head, app.as_of_seq), (0, Some(0)));
    }
}

pub(crate) async fn as_of_in_what_was_trimmed_stands_before_the_floor(kit: Kit) {
    kit.has_channel("messaging:general", &["alice"]).await;
    for (id, ms) in [("m3", 50_000), ("m4", 60_000)] {
        let message = kit.message("messaging:general", "alice", id, "hi");
        kit.store.send_message(parlour_store::NewMessage { now: at(ms), ..message }).await.unwrap();
    }
    let retention = Retention { before: at(-1_000), per_topic: 1, tombstones_before: at(-1_000) };
    kit.store.trim(retention).await.unwrap();
    let topic = channel_topic("messaging:general");
    // Whether seq 3 came before or after a time is known by the time of the floor alone.
    for (as_of, expected) in [(40_000, 2), (60_000, 2), (60_001, 3), (80_000, 4)] {
        let connect = resume(&kit, kit.connect("alice"), at(as_of));
        let connected = kit.store.connect(connect).await.unwrap().value;
        let start = start(&connected, &topic);
        assert_eq!((start.floor, start.as_of_seq), (3, Some(expected)), "as of {as_of} ms");
    }
}

pub(crate) async fn thirty_channels_of_the_latest_activity_come_with_a_connect(kit: Kit) {
    kit.has_users(&["alice", "bob"]).await;
    for n in 0..40 {
        let channel = kit.channel(&format!("messaging:c{n}"), Some("alice"), &["bob"]);
        kit.store.get_or_create_channel(parlour_store::NewChannel { now: at(n), ..channel }).await.unwrap();
    }
    let message = kit.message("messaging:c3", "alice", "late", "hi");
    kit.store.send_message(parlour_store::NewMessage { now: at(1_000), ..message }).await.unwrap();
    let connected = kit.store.connect(kit.connect("bob")).await.unwrap().value;
    let shown: Vec<_> = connected.channels.iter().map(|unread| unread.cid.to_string()).collect();
    let mut expected = vec!["messaging:c3".to_owned()];
    expected.extend((11..40).rev().map(|n| format!("messaging:c{n}")));
    assert_eq!(shown, expected);
    assert_eq!(connected.topics.len(), 42, "but every topic comes");
    assert_eq!(connected.me.total_unread_count, 1, "and the totals are of all");
}

pub(crate) async fn a_user_of_a_thousand_channels_connects_with_all_topics(kit: Kit) {
    kit.has_users(&["alice", "bob"]).await;
    for n in 0..1_000 {
        let name = format!("messaging:c{n}");
        kit.store.get_or_create_channel(kit.channel(&name, Some("alice"), &["bob"])).await.unwrap();
        if n % 10 == 0 {
            kit.sends(&name, "alice", &format!("m{n}")).await;
        }
    }
    let connect = resume(&kit, kit.connect("bob"), at(60_000));
    let connected = kit.store.connect(connect).await.unwrap().value;
    assert_eq!(connected.topics.len(), 1_002);
    assert_eq!((connected.me.total_unread_count, connected.me.unread_channels), (100, 100));
    assert!(connected.topics.iter().all(|start| start.as_of_seq == Some(start.head)));
    assert_eq!(kit.store.me(kit.app, &user("bob"), at(0)).await.unwrap().unwrap().total_unread_count, 100);
}

pub(crate) async fn who_is_anonymous_starts_from_nothing_and_leaves_nothing_f1_34_f1_36_f5_4(kit: Kit) {
    let nobody = "!3f9a0c61d27be845";
    kit.has_channel("livestream:keynote", &["alice"]).await;
    // What is taken back of users is not of nobody.
    kit.store.revoke_tokens(kit.app, None, Some(at(1_000)), at(0)).await.unwrap();
    let ledger = kit.store.begin_usage().await.unwrap();
    let ticket = kit.opens(&ledger, nobody, 0).await;
    assert_eq!(ledger.census(kit.app).by_cause.total(), 1);
    let committed = kit.connects(nobody, json!({})).await.unwrap();
    let connected = committed.value;
    assert_eq!((connected.me.user.id.as_str(), connected.me.user.role.as_str()), (nobody, "anonymous"));
    assert_eq!(connected.epoch, kit.store.epoch().await.unwrap());
    assert!(connected.topics.is_empty() && connected.channels.is_empty() && committed.events.is_empty());
    assert_eq!(kit.store.me(kit.app, &user(nobody), at(0)).await.unwrap(), None);
    assert_eq!(kit.store.monthly_active_users(kit.app, "2026-11").await.unwrap(), 0);
    ledger.close(&ticket, at(1));
    assert_eq!(ledger.census(kit.app).by_cause.total(), 0);
}
