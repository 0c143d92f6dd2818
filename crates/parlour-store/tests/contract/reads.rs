//! Read positions and what is unread.

use parlour_store::{Committed, Deletion, NewMessage, ReadTo, StoreError};
use parlour_wire::Event;
use parlour_wire::reads::Unread;
use serde_json::json;

use crate::kit::{Kit, assert_err, at, channel_topic, cid, event, lines, message_id, user};

const GENERAL: &str = "messaging:general";

async fn marks_unread(kit: &Kit, reader: &str, from: &str) -> Committed<Unread> {
    kit.store.mark_unread(kit.app, &cid(GENERAL), &user(reader), &message_id(from), at(0)).await.unwrap()
}

async fn positions_seen_by(kit: &Kit, viewer: &str) -> Vec<(String, u64)> {
    let state = kit.store.channel_state(kit.app, &cid(GENERAL), Some(&user(viewer)), 0).await.unwrap();
    state.reads.iter().map(|read| (read.user_id.to_string(), read.last_read_seq)).collect()
}

pub(crate) async fn unread_counts_what_others_said_aloud(kit: Kit) {
    kit.has_channel(GENERAL, &["alice", "bob"]).await;
    kit.has_channel("messaging:other", &["alice", "bob"]).await;
    for id in ["m1", "m2", "m3", "m4"] {
        kit.sends(GENERAL, "alice", id).await;
    }
    kit.sends("messaging:other", "alice", "m5").await;
    kit.sends(GENERAL, "bob", "own").await;
    let silent = NewMessage { silent: true, ..kit.message(GENERAL, "alice", "quiet", "psst") };
    kit.store.send_message(silent).await.unwrap();
    kit.deletes(GENERAL, "m2", Deletion::Soft).await.unwrap();
    kit.deletes(GENERAL, "m3", Deletion::Hard).await.unwrap();
    kit.edits_text(GENERAL, "m4", "edited").await;

    let totals = kit.store.unread(kit.app, &user("bob")).await.unwrap();
    assert_eq!((totals.total_unread_count, totals.unread_channels), (3, 2));
    let each: Vec<_> =
        totals.channels.iter().map(|c| (c.cid.to_string(), c.unread_messages, c.head)).collect();
    assert!(each.contains(&("messaging:general".to_owned(), 2, 12)), "{each:?}");
    assert!(each.contains(&("messaging:other".to_owned(), 1, 4)), "{each:?}");
    assert_eq!(kit.unread("alice").await, 1, "bob's own message is unread to alice");
    assert_eq!(kit.unread("nobody").await, 0);
    let me = kit.store.me(kit.app, &user("bob"), at(0)).await.unwrap().unwrap();
    assert_eq!((me.total_unread_count, me.unread_channels), (3, 2));
}

pub(crate) async fn reading_goes_forward_only(kit: Kit) {
    kit.has_channel(GENERAL, &["alice", "bob"]).await;
    for id in ["m1", "m2", "m3"] {
        kit.sends(GENERAL, "alice", id).await;
    }
    // The messages stand at 4, 5 and 6.
    let read = kit.reads(GENERAL, "bob", ReadTo::Message(message_id("m2"))).await;
    assert_eq!((read.value.last_read_seq, read.value.unread_messages), (5, 1));
    assert_eq!(
        lines(&read.events),
        ["channel:messaging:general 7 message.read", "user:bob 2 notification.mark_read"]
    );
    match (event(&read.events[0]), event(&read.events[1])) {
        (
            Event::MessageRead { user: reader, last_read_seq, .. },
            Event::MarkRead { last_read_seq: own, unread_messages, head, .. },
        ) => {
            assert_eq!((&reader.id, *last_read_seq), (&user("bob"), 5));
            assert_eq!((*own, *unread_messages, *head), (5, 1, 7));
        }
        other => panic!("{other:?}"),
    }
    for older in [ReadTo::Message(message_id("m1")), ReadTo::Seq(0), ReadTo::Seq(5)] {
        let again = kit.reads(GENERAL, "bob", older).await;
        assert!(again.events.is_empty());
        assert_eq!((again.value.last_read_seq, again.value.unread_messages, again.value.head), (5, 1, 7));
    }
    let all = kit.reads(GENERAL, "bob", ReadTo::Everything).await;
    assert_eq!((all.value.last_read_seq, all.value.unread_messages, all.value.head), (7, 0, 8));
    assert_eq!(positions_seen_by(&kit, "alice").await, [("bob".to_owned(), 7), ("alice".to_owned(), 2)]);
}

pub(crate) async fn a_read_position_beyond_the_head_is_the_head(kit: Kit) {
    kit.has_channel(GENERAL, &["alice", "bob"]).await;
    kit.sends(GENERAL, "alice", "m1").await;
    let read = kit.reads(GENERAL, "bob", ReadTo::Seq(u64::MAX)).await.value;
    assert_eq!(read.last_read_seq, 4);
    kit.sends(GENERAL, "alice", "m2").await;
    assert_eq!(kit.unread("bob").await, 1, "what comes later is not read in advance");
}

pub(crate) async fn reading_nothing_new_is_no_event(kit: Kit) {
    kit.has_channel(GENERAL, &["alice", "bob"]).await;
    assert!(kit.reads(GENERAL, "bob", ReadTo::Everything).await.events.is_empty());
    kit.sends(GENERAL, "alice", "m1").await;
    assert_eq!(kit.reads(GENERAL, "bob", ReadTo::Everything).await.events.len(), 2);
    assert_eq!(kit.reads(GENERAL, "alice", ReadTo::Everything).await.events.len(), 2);
    // Each read was an event, but reading events is not reading.
    for reader in ["bob", "alice", "bob", "alice"] {
        assert!(kit.reads(GENERAL, reader, ReadTo::Everything).await.events.is_empty());
    }
}

pub(crate) async fn receipts_off_hide_the_position_from_others(kit: Kit) {
    kit.has_channel(GENERAL, &["alice", "bob"]).await;
    kit.sends(GENERAL, "alice", "m1").await;
    let shown = kit.reads(GENERAL, "bob", ReadTo::Everything).await;
    assert_eq!(shown.events.len(), 2);
    let off = json!({"privacy_settings": {"read_receipts": {"enabled": false}}});
    kit.connects("bob", off).await.unwrap();
    assert_eq!(positions_seen_by(&kit, "alice").await, [("alice".to_owned(), 2)]);
    assert_eq!(
        positions_seen_by(&kit, "bob").await,
        [("alice".to_owned(), 2), ("bob".to_owned(), 4)],
        "one's own is always there"
    );
    kit.sends(GENERAL, "alice", "m2").await;
    let hidden = kit.reads(GENERAL, "bob", ReadTo::Everything).await;
    assert_eq!(lines(&hidden.events), ["user:bob 4 notification.mark_read"]);
    assert_eq!(kit.unread("bob").await, 0);
    let replayed = kit.events(&channel_topic(GENERAL), 4).await;
    assert_eq!(
        lines(&replayed),
        ["channel:messaging:general 5 placeholder", "channel:messaging:general 6 message.new"],
        "and what was shown before is shown no more"
    );

    kit.connects("bob", json!({"privacy_settings": {"read_receipts": {"enabled": true}}})).await.unwrap();
    assert_eq!(
        lines(&kit.events(&channel_topic(GENERAL), 4).await)[0],
        "channel:messaging:general 5 message.read",
        "what was shown then may be seen again"
    );
    // Not what was read in between; nor by a step back from it, nor by reading on without anything to read.
    let only_alice = [("alice".to_owned(), 2)];
    assert_eq!(positions_seen_by(&kit, "alice").await, only_alice);
    kit.reads(GENERAL, "bob", ReadTo::Everything).await;
    marks_unread(&kit, "bob", "m2").await;
    assert_eq!(positions_seen_by(&kit, "alice").await, only_alice);
    assert_eq!(kit.unread("bob").await, 1);
    let shown = kit.reads(GENERAL, "bob", ReadTo::Everything).await;
    assert_eq!(shown.events.len(), 2);
    assert_eq!(positions_seen_by(&kit, "alice").await, [("bob".to_owned(), 6), ("alice".to_owned(), 2)]);
    marks_unread(&kit, "bob", "m2").await;
    assert_eq!(positions_seen_by(&kit, "alice").await, [("bob".to_owned(), 5), ("alice".to_owned(), 2)]);
}

pub(crate) async fn each_time_of_hiding_hides_what_was_read_in_it_f3_11(kit: Kit) {
    let enabled = |enabled: bool| json!({"privacy_settings": {"read_receipts": {"enabled": enabled}}});
    // Bob comes and hides, and joins so.
    kit.connects("bob", enabled(false)).await.unwrap();
    kit.has_channel(GENERAL, &["alice", "bob"]).await;
    let mut shown_at = None;
    for (round, shows) in [false, true, true, false, false, true, false, true, true].into_iter().enumerate() {
        kit.connects("bob", enabled(shows)).await.unwrap();
        let position = async || {
            let positions = positions_seen_by(&kit, "alice").await;
            positions.into_iter().find(|(reader, _)| reader == "bob").map(|(_, seq)| seq)
        };
        assert_eq!(position().await, shown_at.filter(|_| shows), "round {round}, before reading");
        kit.sends(GENERAL, "alice", &format!("m{round}")).await;
        let read = kit.reads(GENERAL, "bob", ReadTo::Everything).await.value;
        shown_at = shows.then_some(read.last_read_seq);
        assert_eq!(position().await, shown_at, "round {round}, after reading");
        assert_eq!(kit.unread("bob").await, 0);
    }
}

pub(crate) async fn marking_unread_goes_back_and_tells_nobody_else(kit: Kit) {
    kit.has_channel(GENERAL, &["alice", "bob"]).await;
    for id in ["m1", "m2", "m3"] {
        kit.sends(GENERAL, "alice", id).await;
    }
    kit.reads(GENERAL, "bob", ReadTo::Everything).await;
    let marked = marks_unread(&kit, "bob", "m2").await;
    assert_eq!(lines(&marked.events), ["user:bob 3 notification.mark_read"]);
    assert_eq!((marked.value.last_read_seq, marked.value.unread_messages), (4, 2));
    assert_eq!(kit.unread("bob").await, 2);
    // What is unread already is not read by it.
    let again = marks_unread(&kit, "bob", "m3").await;
    assert!(again.events.is_empty());
    assert_eq!(again.value.unread_messages, 2);
    assert_eq!(kit.reads(GENERAL, "bob", ReadTo::Everything).await.value.unread_messages, 0);
    let unknown = kit.store.mark_unread(kit.app, &cid(GENERAL), &user("bob"), &message_id("m9"), at(0)).await;
    assert_err(unknown, StoreError::NotFound);
}

pub(crate) async fn only_members_read(kit: Kit) {
    kit.has_channel(GENERAL, &["alice"]).await;
    kit.has_users(&["bob"]).await;
    kit.sends(GENERAL, "alice", "m1").await;
    let read = async |channel: &str, reader: &str, to| {
        kit.store
            .mark_read(kit.app, &cid(channel), &user(reader), to, parlour_store::Receipts::Shown, at(0))
            .await
    };
    assert_err(read(GENERAL, "bob", ReadTo::Everything).await, StoreError::NotMember);
    assert_err(read("messaging:no", "alice", ReadTo::Everything).await, StoreError::NotFound);
    let missing = ReadTo::Message(message_id("m9"));
    assert_err(read(GENERAL, "alice", missing).await, StoreError::NotFound);
    let mut joining = kit.members(GENERAL, &["bob"], &[]);
    joining.hide_history = true;
    kit.store.change_members(joining).await.unwrap();
    let hidden = ReadTo::Message(message_id("m1"));
    assert_err(read(GENERAL, "bob", hidden).await, StoreError::NotFound);
    let hidden = kit.store.mark_unread(kit.app, &cid(GENERAL), &user("bob"), &message_id("m1"), at(0)).await;
    assert_err(hidden, StoreError::NotFound);
}
