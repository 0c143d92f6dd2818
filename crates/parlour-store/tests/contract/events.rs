//! The log: replayed, hidden, trimmed, told.

use std::sync::{Arc, Mutex};

use parlour_store::{Deletion, Events, Logged, ReadTo, Reader, Retention, Sent};
use parlour_wire::messages::MessageType;
use parlour_wire::{Event, Topic};
use serde_json::json;

use crate::kit::{Kit, at, channel_topic, cid, event, fields, lines, message_id, user, user_topic};

const GENERAL: &str = "messaging:general";

pub(crate) async fn a_replay_renders_the_present_l5_6(kit: Kit) {
    kit.has_channel(GENERAL, &["alice"]).await;
    kit.sends(GENERAL, "alice", "m1").await;
    kit.sends(GENERAL, "alice", "m2").await;
    kit.edits_text(GENERAL, "m1", "edited").await;
    kit.deletes(GENERAL, "m2", Deletion::Soft).await.unwrap();
    let set = fields(json!({"name": "General"}));
    kit.store.update_channel(kit.app, &cid(GENERAL), set, vec![], at(0)).await.unwrap();
    kit.connects("alice", json!({"name": "Alice", "image": "a.png"})).await.unwrap();

    let events = kit.events(&channel_topic(GENERAL), 0).await;
    let kinds: Vec<_> = events.iter().map(|logged| event(logged).kind()).collect();
    let expected = [
        "channel.created",
        "member.added",
        "message.new",
        "message.new",
        "message.updated",
        "message.deleted",
        "channel.updated",
    ];
    assert_eq!(kinds, expected);
    match event(&events[0]) {
        Event::ChannelCreated { channel, .. } => assert_eq!(channel.custom["name"], "General"),
        other => panic!("{other:?}"),
    }
    match event(&events[1]) {
        Event::MemberAdded { member, .. } => assert_eq!(member.user.name.as_deref(), Some("Alice")),
        other => panic!("{other:?}"),
    }
    match event(&events[2]) {
        Event::MessageNew { message, .. } => {
            assert_eq!((message.text.as_str(), message.seq), ("edited", 3));
            let user = (message.user.name.as_deref(), message.user.image.as_deref());
            assert_eq!(user, (Some("Alice"), Some("a.png")));
        }
        other => panic!("{other:?}"),
    }
    match event(&events[3]) {
        Event::MessageNew { message, .. } => {
            assert_eq!((&message.message_type, message.text.as_str()), (&MessageType::Deleted, ""));
        }
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn a_message_is_told_as_it_is_replayed(kit: Kit) {
    kit.has_channel(GENERAL, &["alice", "bob"]).await;
    kit.connects("alice", json!({"name": "Alice", "image": "a.png"})).await.unwrap();
    let message = parlour_store::NewMessage {
        attachments: vec![json!({"type": "image", "size": 1})],
        mentioned_users: vec![user("bob")],
        silent: true,
        custom: fields(json!({"mood": {"b": 1, "a": [null, 2.5]}})),
        now: at(7),
        ..kit.message(GENERAL, "alice", "m1", "hi")
    };
    let told = kit.store.send_message(message).await.unwrap().events;
    let replayed = kit.events(&channel_topic(GENERAL), told[0].seq - 1).await;
    assert_eq!((told.len(), replayed.len()), (1, 1));
    assert_eq!(*told[0], replayed[0]);
    assert!(matches!(event(&told[0]), Event::MessageNew { message, .. } if message.user.name.is_some()));
}

pub(crate) async fn a_hard_deleted_message_replays_as_deleted_in_all_its_places_l5_7(kit: Kit) {
    kit.has_channel(GENERAL, &["alice"]).await;
    kit.sends(GENERAL, "alice", "m1").await;
    kit.edits_text(GENERAL, "m1", "edited").await;
    kit.deletes(GENERAL, "m1", Deletion::Soft).await.unwrap();
    kit.deletes(GENERAL, "m1", Deletion::Hard).await.unwrap();
    // The id used again, when it may be: not the same message.
    let later = Retention { before: at(-1), per_topic: 100, tombstones_before: at(1) };
    kit.store.trim(later).await.unwrap();
    let again = kit.store.send_message(kit.message(GENERAL, "alice", "m1", "another")).await.unwrap();
    assert!(matches!(again.value, Sent::New(_)));

    let events = kit.events(&channel_topic(GENERAL), 2).await;
    assert_eq!(events.len(), 5);
    for (logged, seq) in events.iter().zip(3..=6) {
        match event(logged) {
            Event::MessageDeleted { message_id: id, message_seq, hard, message, .. } => {
                assert_eq!((logged.seq, id, *message_seq), (seq, &message_id("m1"), 3));
                assert_eq!((*hard, message), (true, &None));
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(event(&events[4]), Event::MessageNew { message, .. } if message.text == "another"));
}

pub(crate) async fn mark_read_keeps_its_numbers(kit: Kit) {
    kit.has_channel(GENERAL, &["alice", "bob"]).await;
    kit.sends(GENERAL, "alice", "m1").await;
    kit.sends(GENERAL, "alice", "m2").await;
    let read = kit.reads(GENERAL, "bob", ReadTo::Message(message_id("m1"))).await;
    kit.sends(GENERAL, "alice", "m3").await;
    kit.reads(GENERAL, "bob", ReadTo::Everything).await;
    let replayed = kit.events(&user_topic("bob"), 1).await;
    assert_eq!(replayed[0], *read.events[1]);
    match event(&replayed[0]) {
        Event::MarkRead { last_read_seq, unread_messages, head, .. } => {
            assert_eq!((*last_read_seq, *unread_messages, *head), (4, 1, 6));
        }
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn members_load_from_where_they_may_see(kit: Kit) {
    kit.has_channel(GENERAL, &["alice"]).await;
    kit.has_users(&["bob"]).await;
    kit.sends(GENERAL, "alice", "m1").await;
    let mut joining = kit.members(GENERAL, &["bob"], &[]);
    joining.hide_history = true;
    kit.store.change_members(joining).await.unwrap();
    kit.sends(GENERAL, "alice", "m2").await;
    let load = async |reader: &str, after| {
        let reader = Reader::Member(user(reader));
        match kit.store.events(kit.app, &channel_topic(GENERAL), after, 10, reader).await.unwrap() {
            Events::Found { events, .. } => events.iter().map(|logged| logged.seq).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(load("alice", 0).await, [1, 2, 3, 4, 5]);
    assert_eq!(load("bob", 0).await, [4, 5], "what was hidden stays hidden, whatever cursor is sent");
    assert_eq!(load("bob", 4).await, [5]);
}

pub(crate) async fn who_may_not_read_gets_no_events(kit: Kit) {
    kit.has_channel(GENERAL, &["alice", "bob"]).await;
    let load =
        async |topic: Topic, reader: Reader| kit.store.events(kit.app, &topic, 0, 10, reader).await.unwrap();
    let member = |id: &str| Reader::Member(user(id));
    assert_eq!(load(channel_topic(GENERAL), member("zoe")).await, Events::NoAccess);
    assert_eq!(load(channel_topic("messaging:no"), member("alice")).await, Events::NoAccess);
    assert_eq!(load(channel_topic("messaging:no"), Reader::Anyone).await, Events::NoAccess);
    assert_eq!(load(user_topic("bob"), member("alice")).await, Events::NoAccess);
    assert_eq!(load("mystery:x".parse().unwrap(), Reader::Anyone).await, Events::NoAccess);
    kit.removes(GENERAL, &["bob"]).await;
    assert_eq!(load(channel_topic(GENERAL), member("bob")).await, Events::NoAccess);

    assert!(matches!(load(user_topic("bob"), member("bob")).await, Events::Found { head: 2, .. }));
    assert!(matches!(load(channel_topic(GENERAL), member("alice")).await, Events::Found { head: 4, .. }));
    assert!(matches!(load(channel_topic(GENERAL), Reader::Anyone).await, Events::Found { head: 4, .. }));
}

pub(crate) async fn loads_are_limited_and_know_the_head(kit: Kit) {
    kit.has_channel(GENERAL, &["alice"]).await;
    for n in 0..8 {
        kit.sends(GENERAL, "alice", &format!("m{n}")).await;
    }
    let topic = channel_topic(GENERAL);
    let load = async |after, limit| match kit
        .store
        .events(kit.app, &topic, after, limit, Reader::Anyone)
        .await
        .unwrap()
    {
        Events::Found { events, head } => (events.iter().map(|e| e.seq).collect::<Vec<_>>(), head),
        other => panic!("{other:?}"),
    };
    assert_eq!(load(0, 3).await, (vec![1, 2, 3], 10));
    assert_eq!(load(8, 3).await, (vec![9, 10], 10));
    assert_eq!(load(10, 3).await, (vec![], 10));
    assert_eq!(load(u64::MAX, u64::MAX).await, (vec![], 10));
    assert_eq!(load(4, 0).await, (vec![], 10));
}

pub(crate) async fn heads_come_in_the_order_asked(kit: Kit) {
    kit.has_channel(GENERAL, &["alice"]).await;
    let other = kit.other_app("second").await;
    other.has_channel(GENERAL, &["alice", "bob", "carol"]).await;
    let asked = vec![
        (kit.app, user_topic("nobody")),
        (other.app, channel_topic(GENERAL)),
        (kit.app, channel_topic(GENERAL)),
        (kit.app, channel_topic("messaging:no")),
        (other.app, user_topic("bob")),
        (kit.app, user_topic("bob")),
        (kit.app, channel_topic(GENERAL)),
    ];
    assert_eq!(kit.store.heads(asked).await.unwrap(), [0, 4, 2, 0, 1, 0, 2]);
    assert!(kit.store.heads(Vec::new()).await.unwrap().is_empty());
    let many = (0..3_000).map(|n| (kit.app, channel_topic(&format!("messaging:c{n}")))).collect();
    assert_eq!(kit.store.heads(many).await.unwrap(), vec![0; 3_000]);
}

pub(crate) async fn trimmed_events_are_said_to_be_trimmed_l5_8(kit: Kit) {
    kit.has_channel(GENERAL, &["alice"]).await;
    for n in 0..8 {
        let message = kit.message(GENERAL, "alice", &format!("m{n}"), "hi");
        let now = at(1_000 * (n + 1));
        kit.store.send_message(parlour_store::NewMessage { now, ..message }).await.unwrap();
    }
    let topic = channel_topic(GENERAL);
    let trim = async |before, per_topic| {
        let retention = Retention { before: at(before), per_topic, tombstones_before: at(before) };
        let gone = kit.store.trim(retention).await.unwrap();
        let start = kit.store.topic_start(kit.app, &topic).await.unwrap();
        (gone, start.floor, start.head)
    };
    assert_eq!(trim(0, 100).await, (0, 0, 10));
    // By age: the channel, the membership (both at 0), two messages, and the user's notification.
    assert_eq!(trim(2_001, 100).await, (5, 4, 10));
    assert_eq!(trim(2_001, 100).await, (0, 4, 10));
    // By number.
    assert_eq!(trim(2_001, 3).await, (3, 7, 10));

    for (after, expected) in [(0, None), (6, None), (7, Some(3)), (9, Some(1)), (10, Some(0))] {
        let found = kit.store.events(kit.app, &topic, after, 100, Reader::Anyone).await.unwrap();
        match (found, expected) {
            (Events::Trimmed { head }, None) => assert_eq!(head, 10),
            (Events::Found { events, .. }, Some(count)) => assert_eq!(events.len(), count),
            (other, _) => panic!("after {after}: {other:?}"),
        }
    }
    // All of it: the head stays, and the next seq follows it.
    assert_eq!(trim(1_000_000, 100).await, (3, 10, 10));
    assert_eq!(kit.sends(GENERAL, "alice", "last").await.seq, 11);
    let page =
        kit.store.messages(kit.app, &cid(GENERAL), parlour_store::Page::Latest, 100, 0, None).await.unwrap();
    assert_eq!(page.messages.len(), 9, "messages are not events: they stay");
}

pub(crate) async fn trimming_forgets_tombstones(kit: Kit) {
    kit.has_channel(GENERAL, &["alice"]).await;
    kit.sends(GENERAL, "alice", "m1").await;
    let id = message_id("m1");
    kit.store.delete_message(kit.app, &cid(GENERAL), &id, Deletion::Hard, at(50)).await.unwrap();
    let resend = || kit.message(GENERAL, "alice", "m1", "something else");
    let trim = |ms| kit.store.trim(Retention { before: at(-1), per_topic: 1_000, tombstones_before: at(ms) });
    trim(50).await.unwrap();
    assert!(kit.store.send_message(resend()).await.is_err(), "kept as long as was promised");
    trim(51).await.unwrap();
    assert!(matches!(kit.store.send_message(resend()).await.unwrap().value, Sent::New(_)));
}

pub(crate) async fn the_sink_hears_every_commit_before_the_caller(kit: Kit) {
    let heard: Arc<Mutex<Vec<Arc<Logged>>>> = Arc::default();
    let sink = Arc::clone(&heard);
    kit.store.on_commit(Arc::new(move |events| sink.lock().unwrap().extend_from_slice(events)));
    kit.has_channel(GENERAL, &["alice", "bob"]).await;
    let sent = kit.store.send_message(kit.message(GENERAL, "alice", "m1", "hi")).await.unwrap();
    assert_eq!(heard.lock().unwrap().last(), sent.events.last());
    kit.reads(GENERAL, "bob", ReadTo::Everything).await;
    let refused = kit.store.send_message(kit.message(GENERAL, "zoe", "m2", "hi")).await;
    assert!(refused.is_err());
    let heard = heard.lock().unwrap().clone();
    assert_eq!(
        lines(&heard),
        [
            "channel:messaging:general 1 channel.created",
            "channel:messaging:general 2 member.added",
            "user:alice 1 notification.added_to_channel",
            "channel:messaging:general 3 member.added",
            "user:bob 1 notification.added_to_channel",
            "channel:messaging:general 4 message.new",
            "channel:messaging:general 5 message.read",
            "user:bob 2 notification.mark_read",
        ]
    );
    let log_ids: Vec<_> = heard.iter().map(|logged| logged.log_id).collect();
    assert!(log_ids.is_sorted_by(|a, b| a < b), "{log_ids:?}");
}
