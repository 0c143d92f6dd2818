//! Messages: sent once whatever happens, edited, deleted, paged.

use parlour_store::{Audience, Deletion, NewMessage, Page, Requires, Sent, StoreError};
use parlour_wire::Event;
use parlour_wire::messages::{EditMessage, MESSAGE_CUSTOM_BYTES_MAX, Message, MessageType};
use serde_json::json;

use crate::kit::{Kit, assert_err, at, channel_topic, cid, event, fields, lines, message_id, user, users};

const GENERAL: &str = "messaging:general";

fn before(sent: Sent) -> Message {
    match sent {
        Sent::Before(message) => message,
        Sent::New(message) => panic!("{} is new", message.id),
    }
}

pub(crate) async fn a_message_has_the_seq_of_its_event(kit: Kit) {
    kit.has_channel(GENERAL, &["alice", "bob"]).await;
    let new = NewMessage {
        attachments: vec![json!({"type": "image", "url": "x"})],
        mentioned_users: users(&["bob"]),
        silent: true,
        custom: fields(json!({"mood": {"z": 1, "a": [null, 1.5]}})),
        now: at(5),
        ..kit.message(GENERAL, "alice", "m1", "hello  \u{202e}wörld")
    };
    let sent = kit.store.send_message(new).await.unwrap();
    assert_eq!(lines(&sent.events), ["channel:messaging:general 4 message.new"]);
    let Sent::New(message) = sent.value else { panic!("it is new") };
    assert_eq!((message.seq, message.created_at, message.updated_at), (4, at(5), at(5)));
    assert_eq!((message.message_type.clone(), message.silent), (MessageType::Regular, true));
    assert_eq!((message.edited_at, message.deleted_at), (None, None));
    assert_eq!(message.text, "hello  \u{202e}wörld");
    assert_eq!(message.custom, fields(json!({"mood": {"z": 1, "a": [null, 1.5]}})));
    assert_eq!(message.mentioned_users, users(&["bob"]));
    match event(&sent.events[0]) {
        Event::MessageNew { message: told, .. } => assert_eq!(*told, message),
        other => panic!("{other:?}"),
    }
    assert_eq!(kit.store.message(kit.app, &cid(GENERAL), &message.id, None).await.unwrap(), message);
    let state = kit.store.channel_state(kit.app, &cid(GENERAL), None, 1).await.unwrap();
    assert_eq!((state.channel.last_message_at, state.messages), (Some(at(5)), vec![message]));
}

pub(crate) async fn texts_and_data_come_back_as_they_were_sent(kit: Kit) {
    kit.has_channel(GENERAL, &["alice"]).await;
    let many_marks = format!("a{}", "\u{301}".repeat(1_000));
    let texts = [
        "",
        " leading and trailing ",
        "line\r\nbreaks\u{2028}\u{85}",
        "\u{202e}bidi\u{200b}zero\u{feff}width",
        "'); drop table messages; --",
        "%_\\?1 :name $1 @x",
        &"🦀".repeat(5_000),
        &many_marks,
    ];
    for (n, text) in texts.iter().enumerate() {
        let custom = fields(json!({
            *text: text, "n": 1_u64 << 53, "m": -(1_i64 << 53), "f": 0.1, "t": 1.0, "deep": [[[[{}]]]],
            "__proto__": null, "": "",
        }));
        // Data has a limit of its own.
        let custom = if text.len() > 1_000 { fields(json!({})) } else { custom };
        let new =
            NewMessage { custom: custom.clone(), ..kit.message(GENERAL, "alice", &format!("m{n}"), text) };
        kit.store.send_message(new.clone()).await.unwrap();
        let stored = kit.store.message(kit.app, &cid(GENERAL), &new.id, None).await.unwrap();
        assert_eq!((stored.text.as_str(), &stored.custom), (*text, &custom));
        assert!(matches!(kit.store.send_message(new).await.unwrap().value, Sent::Before(_)));
    }
}

pub(crate) async fn the_same_send_again_is_the_message_as_it_is_now(kit: Kit) {
    kit.has_channel(GENERAL, &["alice"]).await;
    let new = || NewMessage {
        custom: fields(json!({"a": {"x": 1, "y": 2}})),
        ..kit.message(GENERAL, "alice", "m1", "hello")
    };
    kit.store.send_message(new()).await.unwrap();
    let again = kit.store.send_message(NewMessage { now: at(99), ..new() }).await.unwrap();
    assert!(again.events.is_empty());
    assert_eq!(before(again.value).created_at, at(0));

    kit.edits_text(GENERAL, "m1", "hello there").await;
    let edited = before(kit.store.send_message(new()).await.unwrap().value);
    assert_eq!(edited.text, "hello there", "an edit does not make the first send another message");

    kit.deletes(GENERAL, "m1", Deletion::Soft).await.unwrap();
    let deleted = before(kit.store.send_message(new()).await.unwrap().value);
    assert_eq!(deleted.message_type, MessageType::Deleted);
    let head = kit.head(channel_topic(GENERAL)).await;
    assert_eq!(head, 5, "made, joined, said, edited, deleted, and nothing more");
}

pub(crate) async fn the_same_id_for_anything_else_is_a_conflict(kit: Kit) {
    kit.has_channel(GENERAL, &["alice", "bob"]).await;
    kit.has_channel("messaging:other", &["alice", "bob"]).await;
    let first = || kit.message(GENERAL, "alice", "m1", "hello");
    kit.store.send_message(first()).await.unwrap();
    let others = [
        NewMessage { text: "hello!".to_owned(), ..first() },
        NewMessage { sender: user("bob"), ..first() },
        NewMessage { cid: cid("messaging:other"), ..first() },
        NewMessage { silent: true, ..first() },
        NewMessage { custom: fields(json!({"a": 1})), ..first() },
        NewMessage { attachments: vec![json!(1)], ..first() },
        NewMessage { mentioned_users: users(&["bob"]), ..first() },
    ];
    for other in others {
        assert_err(kit.store.send_message(other).await, StoreError::IdConflict);
    }
    // Nor may the content that the message was edited to pass for the first send.
    kit.edits_text(GENERAL, "m1", "edited").await;
    let edited = NewMessage { text: "edited".to_owned(), ..first() };
    assert_err(kit.store.send_message(edited).await, StoreError::IdConflict);
    let page = kit.store.messages(kit.app, &cid("messaging:other"), Page::Latest, 10, 0, None).await.unwrap();
    assert!(page.messages.is_empty());
}

pub(crate) async fn an_id_of_a_hard_deleted_message_stays_taken_l5_12(kit: Kit) {
    kit.has_channel(GENERAL, &["alice", "bob"]).await;
    let seq = kit.sends(GENERAL, "alice", "m1").await.seq;
    let new = || kit.message(GENERAL, "alice", "m1", "alice says m1");
    kit.store.delete_message(kit.app, &cid(GENERAL), &message_id("m1"), Deletion::Hard, at(8)).await.unwrap();

    let again = kit.store.send_message(new()).await.unwrap();
    assert!(again.events.is_empty(), "an outbox brings nothing back");
    let gone = before(again.value);
    assert_eq!((gone.message_type, gone.text.as_str(), gone.seq), (MessageType::Deleted, "", seq));
    assert_eq!((gone.created_at, gone.deleted_at), (at(0), Some(at(8))));
    assert!(matches!(
        kit.store.message(kit.app, &cid(GENERAL), &message_id("m1"), None).await,
        Err(StoreError::NotFound)
    ));
    for other in [NewMessage { sender: user("bob"), ..new() }, NewMessage { text: "x".to_owned(), ..new() }] {
        assert_err(kit.store.send_message(other).await, StoreError::IdConflict);
    }
}

pub(crate) async fn ids_of_a_deleted_channel_stay_taken(kit: Kit) {
    kit.has_channel(GENERAL, &["alice"]).await;
    kit.sends(GENERAL, "alice", "m1").await;
    kit.store.delete_channel(kit.app, &cid(GENERAL), at(1)).await.unwrap();
    kit.has_channel(GENERAL, &["alice"]).await;
    let again = kit.message(GENERAL, "alice", "m1", "alice says m1");
    let gone = before(kit.store.send_message(again).await.unwrap().value);
    assert_eq!(gone.message_type, MessageType::Deleted);
    let page = kit.store.messages(kit.app, &cid(GENERAL), Page::Latest, 10, 0, None).await.unwrap();
    assert!(page.messages.is_empty());
}

pub(crate) async fn who_is_no_member_sends_nothing(kit: Kit) {
    kit.has_channel(GENERAL, &["alice", "bob"]).await;
    kit.has_users(&["carol"]).await;
    let by_carol = || kit.message(GENERAL, "carol", "m1", "hi");
    assert_err(kit.store.send_message(by_carol()).await, StoreError::NotMember);
    kit.removes(GENERAL, &["bob"]).await;
    let by_bob = kit.message(GENERAL, "bob", "m2", "hi");
    assert_err(kit.store.send_message(by_bob).await, StoreError::NotMember);

    let by_right = NewMessage { requires: Requires::Channel, ..by_carol() };
    assert!(matches!(kit.store.send_message(by_right).await.unwrap().value, Sent::New(_)));
    let nowhere = NewMessage { cid: cid("messaging:no"), requires: Requires::Channel, ..by_carol() };
    assert_err(kit.store.send_message(nowhere).await, StoreError::NotFound);
}

pub(crate) async fn mentions_and_senders_must_exist(kit: Kit) {
    kit.has_channel(GENERAL, &["alice"]).await;
    let mentioning = NewMessage {
        mentioned_users: users(&["zoe", "alice", "yan"]),
        ..kit.message(GENERAL, "alice", "m1", "hi")
    };
    let unknown = StoreError::UnknownUsers(users(&["zoe", "yan"]));
    assert_err(kit.store.send_message(mentioning).await, unknown);
    let ghost = NewMessage { requires: Requires::Channel, ..kit.message(GENERAL, "ghost", "m2", "hu") };
    assert_err(kit.store.send_message(ghost).await, StoreError::UnknownUsers(users(&["ghost"])));
    kit.sends(GENERAL, "alice", "m3").await;
    let edit = EditMessage { mentioned_users: Some(users(&["zoe"])), ..EditMessage::default() };
    assert_err(kit.edits(GENERAL, "m3", edit).await, StoreError::UnknownUsers(users(&["zoe"])));
    assert_eq!(kit.head(channel_topic(GENERAL)).await, 3);
}

pub(crate) async fn edits_change_what_they_name(kit: Kit) {
    kit.has_channel(GENERAL, &["alice"]).await;
    let new = NewMessage {
        custom: fields(json!({"a": 1, "b": 2})),
        attachments: vec![json!("one")],
        ..kit.message(GENERAL, "alice", "m1", "hello")
    };
    kit.store.send_message(new).await.unwrap();
    let edit = |edit, ms| kit.store.edit_message(kit.app, &CID, &ID, edit, Audience::Everybody, at(ms));
    static CID: std::sync::LazyLock<parlour_wire::Cid> = std::sync::LazyLock::new(|| cid(GENERAL));
    static ID: std::sync::LazyLock<parlour_wire::MessageId> = std::sync::LazyLock::new(|| message_id("m1"));

    let custom = EditMessage {
        set: fields(json!({"b": null, "c": 3})),
        unset: vec!["a".to_owned()],
        ..EditMessage::default()
    };
    let changed = edit(custom.clone(), 5).await.unwrap();
    assert_eq!(lines(&changed.events), ["channel:messaging:general 4 message.updated"]);
    assert_eq!(changed.value.custom, fields(json!({"b": null, "c": 3})));
    assert_eq!((changed.value.text.as_str(), changed.value.attachments.len()), ("hello", 1));
    assert_eq!((changed.value.updated_at, changed.value.edited_at), (at(5), None), "the text was not edited");
    assert!(edit(custom, 6).await.unwrap().events.is_empty(), "nothing changed");

    let text =
        EditMessage { text: Some("bye".to_owned()), attachments: Some(Vec::new()), ..EditMessage::default() };
    let changed = edit(text, 7).await.unwrap().value;
    assert_eq!((changed.text.as_str(), changed.attachments.len()), ("bye", 0));
    assert_eq!((changed.created_at, changed.edited_at), (at(0), Some(at(7))));
    assert_eq!(changed.seq, 3, "its place stays");
    assert_eq!(kit.store.message(kit.app, &CID, &ID, None).await.unwrap(), changed);
}

pub(crate) async fn an_edit_of_a_deleted_message_finds_nothing(kit: Kit) {
    kit.has_channel(GENERAL, &["alice"]).await;
    kit.has_channel("messaging:other", &["alice"]).await;
    kit.sends(GENERAL, "alice", "m1").await;
    let edit = || EditMessage { text: Some("x".to_owned()), ..EditMessage::default() };
    assert_err(kit.edits("messaging:other", "m1", edit()).await, StoreError::NotFound);
    assert_err(kit.edits(GENERAL, "m0", edit()).await, StoreError::NotFound);
    kit.deletes(GENERAL, "m1", Deletion::Soft).await.unwrap();
    assert_err(kit.edits(GENERAL, "m1", edit()).await, StoreError::NotFound);
    kit.deletes(GENERAL, "m1", Deletion::Hard).await.unwrap();
    assert_err(kit.edits(GENERAL, "m1", edit()).await, StoreError::NotFound);
}

pub(crate) async fn custom_data_is_held_to_its_limit(kit: Kit) {
    kit.has_channel(GENERAL, &["alice"]).await;
    let of = |bytes: usize| fields(json!({"a": "x".repeat(bytes - 8)}));
    let limit = MESSAGE_CUSTOM_BYTES_MAX;
    let large = NewMessage { custom: of(limit + 1), ..kit.message(GENERAL, "alice", "m1", "hi") };
    assert_err(kit.store.send_message(large).await, StoreError::TooLarge { bytes: limit + 1, limit });
    let largest = NewMessage { custom: of(limit), ..kit.message(GENERAL, "alice", "m1", "hi") };
    kit.store.send_message(largest).await.unwrap();
    let more = EditMessage { set: fields(json!({"b": 1})), ..EditMessage::default() };
    assert_err(kit.edits(GENERAL, "m1", more).await, StoreError::TooLarge { bytes: limit + 6, limit });
    let instead =
        EditMessage { set: fields(json!({"b": 1})), unset: vec!["a".to_owned()], ..EditMessage::default() };
    assert_eq!(kit.edits(GENERAL, "m1", instead).await.unwrap().value.custom, fields(json!({"b": 1})));
}

pub(crate) async fn a_soft_deleted_message_keeps_its_place_without_its_words(kit: Kit) {
    kit.has_channel(GENERAL, &["alice", "bob"]).await;
    let new = NewMessage {
        attachments: vec![json!("secret")],
        mentioned_users: users(&["bob"]),
        custom: fields(json!({"secret": 1})),
        ..kit.message(GENERAL, "alice", "m1", "secret")
    };
    kit.store.send_message(new).await.unwrap();
    let id = message_id("m1");
    let deleted = kit.store.delete_message(kit.app, &cid(GENERAL), &id, Deletion::Soft, at(4)).await.unwrap();
    assert_eq!(lines(&deleted.events), ["channel:messaging:general 5 message.deleted"]);
    let message = kit.store.message(kit.app, &cid(GENERAL), &id, None).await.unwrap();
    assert_eq!((message.message_type.clone(), message.seq), (MessageType::Deleted, 4));
    assert_eq!(message.deleted_at, Some(at(4)));
    assert!(!format!("{message:?}").contains("secret"));
    match event(&deleted.events[0]) {
        Event::MessageDeleted { message_id, message_seq, hard, message: told, .. } => {
            assert_eq!((message_id, *message_seq, *hard, told), (&id, 4, false, &Some(message)));
        }
        other => panic!("{other:?}"),
    }
    let page = kit.store.messages(kit.app, &cid(GENERAL), Page::Latest, 10, 0, None).await.unwrap();
    assert_eq!(page.messages.len(), 1);
}

pub(crate) async fn a_hard_deleted_message_is_gone(kit: Kit) {
    kit.has_channel(GENERAL, &["alice"]).await;
    kit.sends(GENERAL, "alice", "m1").await;
    let deleted = kit.deletes(GENERAL, "m1", Deletion::Hard).await.unwrap();
    match event(&deleted.events[0]) {
        Event::MessageDeleted { message_id: id, message_seq, hard, message, .. } => {
            assert_eq!((id, *message_seq, *hard, message), (&message_id("m1"), 3, true, &None));
        }
        other => panic!("{other:?}"),
    }
    let page = kit.store.messages(kit.app, &cid(GENERAL), Page::Latest, 10, 0, None).await.unwrap();
    assert!(page.messages.is_empty());
}

pub(crate) async fn deleting_again_is_the_same(kit: Kit) {
    kit.has_channel(GENERAL, &["alice"]).await;
    kit.has_channel("messaging:other", &["alice"]).await;
    kit.sends(GENERAL, "alice", "m1").await;
    assert_err(kit.deletes("messaging:other", "m1", Deletion::Soft).await, StoreError::NotFound);
    assert_err(kit.deletes(GENERAL, "m0", Deletion::Hard).await, StoreError::NotFound);
    assert_eq!(kit.deletes(GENERAL, "m1", Deletion::Soft).await.unwrap().events.len(), 1);
    assert!(kit.deletes(GENERAL, "m1", Deletion::Soft).await.unwrap().events.is_empty());
    assert_eq!(kit.deletes(GENERAL, "m1", Deletion::Hard).await.unwrap().events.len(), 1);
    assert!(kit.deletes(GENERAL, "m1", Deletion::Hard).await.unwrap().events.is_empty());
    assert!(kit.deletes(GENERAL, "m1", Deletion::Soft).await.unwrap().events.is_empty());
    assert_err(kit.deletes("messaging:other", "m1", Deletion::Hard).await, StoreError::NotFound);
}

pub(crate) async fn pages_lie_where_they_were_asked_for(kit: Kit) {
    kit.has_channel(GENERAL, &["alice"]).await;
    // Seqs 3 to 12.
    for n in 3..=12 {
        kit.sends(GENERAL, "alice", &format!("m{n}")).await;
    }
    let page = async |page, limit, hidden| {
        let page = kit.store.messages(kit.app, &cid(GENERAL), page, limit, hidden, None).await.unwrap();
        let seqs: Vec<_> = page.messages.iter().map(|message| message.seq).collect();
        (seqs, page.has_more_before, page.has_more_after)
    };
    let seqs = |range: std::ops::RangeInclusive<u64>| range.collect::<Vec<_>>();
    assert_eq!(page(Page::Latest, 3, 0).await, (seqs(10..=12), true, false));
    assert_eq!(page(Page::Latest, 10, 0).await, (seqs(3..=12), false, false));
    assert_eq!(page(Page::Latest, 0, 0).await, (vec![], true, false));
    assert_eq!(page(Page::Before(10), 3, 0).await, (seqs(7..=9), true, true));
    assert_eq!(page(Page::Before(5), 3, 0).await, (seqs(3..=4), false, true));
    assert_eq!(page(Page::Before(3), 3, 0).await, (vec![], false, true));
    assert_eq!(page(Page::Before(u64::MAX), 3, 0).await, (seqs(10..=12), true, false));
    assert_eq!(page(Page::After(10), 3, 0).await, (seqs(11..=12), true, false));
    assert_eq!(page(Page::After(0), 3, 0).await, (seqs(3..=5), false, true));
    assert_eq!(page(Page::After(12), 3, 0).await, (vec![], true, false));
    assert_eq!(page(Page::After(u64::MAX), 3, 0).await, (vec![], true, false));
    assert_eq!(page(Page::Around(7), 5, 0).await, (seqs(5..=9), true, true));
    assert_eq!(page(Page::Around(3), 5, 0).await, (seqs(3..=7), false, true));
    assert_eq!(page(Page::Around(12), 5, 0).await, (seqs(8..=12), true, false));
    assert_eq!(page(Page::Around(7), 1, 0).await, (seqs(7..=7), true, true));

    // What is hidden is neither shown nor hinted at.
    assert_eq!(page(Page::Latest, 10, 8).await, (seqs(9..=12), false, false));
    assert_eq!(page(Page::Before(10), 3, 8).await, (seqs(9..=9), false, true));
    assert_eq!(page(Page::After(0), 2, 8).await, (seqs(9..=10), false, true));
    assert_eq!(page(Page::Around(4), 3, 8).await, (seqs(9..=11), false, true));
    assert_eq!(page(Page::Before(5), 3, 8).await, (vec![], false, true));
    let nowhere = kit.store.messages(kit.app, &cid("messaging:no"), Page::Latest, 1, 0, None).await;
    assert!(matches!(nowhere, Err(StoreError::NotFound)));
}

pub(crate) async fn times_never_step_back_within_a_channel(kit: Kit) {
    kit.has_channel(GENERAL, &["alice"]).await;
    let mut times = Vec::new();
    for (id, ms) in [("m1", 5_000), ("m2", -7_200_000), ("m3", 4_000), ("m4", 6_000)] {
        let new = NewMessage { now: at(ms), ..kit.message(GENERAL, "alice", id, "hi") };
        match kit.store.send_message(new).await.unwrap().value {
            Sent::New(message) => times.push(message.created_at),
            Sent::Before(_) => panic!("{id} is new"),
        }
    }
    assert_eq!(times, [at(5_000), at(5_000), at(5_000), at(6_000)]);
    let logged = kit.events(&channel_topic(GENERAL), 0).await;
    let logged: Vec<_> = logged
        .iter()
        .filter_map(|logged| match event(logged) {
            Event::MessageNew { created_at, .. } => Some(*created_at),
            _ => None,
        })
        .collect();
    assert_eq!(logged, times);
}
