//! Channels: made, changed, shown, deleted.

use parlour_store::{Events, NewChannel, ReadTo, Reader, StoreError};
use parlour_wire::channels::CHANNEL_BYTES_MAX;
use parlour_wire::members::ChannelRole;
use parlour_wire::{Event, Topic};
use serde_json::json;

use crate::kit::{Kit, assert_err, at, channel_topic, cid, event, fields, lines, user, user_topic, users};

pub(crate) async fn a_channel_is_made_once_and_then_left_alone(kit: Kit) {
    kit.has_users(&["alice", "bob"]).await;
    let first = NewChannel {
        data: fields(json!({"name": "General"})),
        ..kit.channel("messaging:general", Some("alice"), &[])
    };
    assert!(kit.store.get_or_create_channel(first).await.unwrap().value);
    let second = NewChannel {
        data: fields(json!({"name": "Taken over"})),
        ..kit.channel("messaging:general", Some("bob"), &["bob", "nobody"])
    };
    let again = kit.store.get_or_create_channel(second).await.unwrap();
    assert!(!again.value);
    assert!(again.events.is_empty());
    let state = kit.store.channel_state(kit.app, &cid("messaging:general"), None, 0).await.unwrap();
    assert_eq!(state.channel.custom, fields(json!({"name": "General"})));
    assert_eq!(state.channel.created_by.unwrap().id, user("alice"));
    assert_eq!(state.channel.member_count, 1);
}

pub(crate) async fn the_creator_is_owner_and_members_are_told(kit: Kit) {
    kit.has_users(&["alice", "bob"]).await;
    let new = kit.channel("messaging:general", Some("alice"), &["bob", "alice", "bob"]);
    let made = kit.store.get_or_create_channel(new).await.unwrap();
    assert_eq!(
        lines(&made.events),
        [
            "channel:messaging:general 1 channel.created",
            "channel:messaging:general 2 member.added",
            "user:alice 1 notification.added_to_channel",
            "channel:messaging:general 3 member.added",
            "user:bob 1 notification.added_to_channel",
        ]
    );
    match event(&made.events[4]) {
        Event::AddedToChannel { cid: added, seq, channel, .. } => {
            assert_eq!((added, *seq, channel.member_count), (&cid("messaging:general"), 3, 2));
        }
        other => panic!("{other:?}"),
    }
    let members = kit.store.members(kit.app, &cid("messaging:general"), 0, 10).await.unwrap().members;
    let roles: Vec<_> = members.iter().map(|m| (m.user_id.as_str(), m.channel_role.clone())).collect();
    assert_eq!(roles, [("alice", ChannelRole::Owner), ("bob", ChannelRole::Member)]);

    let by_server = kit.channel("messaging:by-server", None, &["bob"]);
    kit.store.get_or_create_channel(by_server).await.unwrap();
    let access = kit.store.channel_access(kit.app, &cid("messaging:by-server"), None).await.unwrap().unwrap();
    assert_eq!((access.created_by, access.member_count), (None, 1));
}

pub(crate) async fn unknown_members_make_no_channel(kit: Kit) {
    kit.has_users(&["alice"]).await;
    let new = kit.channel("messaging:general", Some("alice"), &["zoe", "alice", "yan", "zoe"]);
    let unknown = StoreError::UnknownUsers(users(&["zoe", "yan"]));
    assert_err(kit.store.get_or_create_channel(new).await, unknown);
    let nobody = kit.channel("messaging:general", Some("nobody"), &[]);
    let unknown = StoreError::UnknownUsers(users(&["nobody"]));
    assert_err(kit.store.get_or_create_channel(nobody).await, unknown);
    assert_eq!(kit.store.channel_access(kit.app, &cid("messaging:general"), None).await.unwrap(), None);
    assert_eq!(kit.head(channel_topic("messaging:general")).await, 0);
    assert_eq!(kit.head(user_topic("alice")).await, 0);
}

pub(crate) async fn data_is_set_unset_and_held_to_its_limit(kit: Kit) {
    kit.has_users(&["alice"]).await;
    let general = cid("messaging:general");
    let of = |bytes: usize| fields(json!({"a": "x".repeat(bytes - 8)}));
    let too_large = StoreError::TooLarge { bytes: CHANNEL_BYTES_MAX + 1, limit: CHANNEL_BYTES_MAX };
    let new = || kit.channel("messaging:general", Some("alice"), &[]);
    let large = NewChannel { data: of(CHANNEL_BYTES_MAX + 1), ..new() };
    assert_err(kit.store.get_or_create_channel(large).await, too_large);
    let largest = NewChannel { data: of(CHANNEL_BYTES_MAX), ..new() };
    assert!(kit.store.get_or_create_channel(largest).await.unwrap().value);

    let update = |set, unset: &[&str]| {
        let unset = unset.iter().map(|key| (*key).to_owned()).collect();
        kit.store.update_channel(kit.app, &general, fields(set), unset, at(7))
    };
    assert!(matches!(update(json!({"b": 1}), &[]).await, Err(StoreError::TooLarge { .. })));
    let changed = update(json!({"b": null}), &["a"]).await.unwrap();
    assert_eq!(lines(&changed.events), ["channel:messaging:general 3 channel.updated"]);
    assert!(update(json!({"b": null}), &["a"]).await.unwrap().events.is_empty(), "nothing changed");
    let state = kit.store.channel_state(kit.app, &general, None, 0).await.unwrap();
    assert_eq!(state.channel.custom, fields(json!({"b": null})));
    assert_eq!((state.channel.updated_at, state.head), (at(7), 3));
    let nowhere = cid("messaging:no");
    let lost = kit.store.update_channel(kit.app, &nowhere, fields(json!({})), vec![], at(0)).await;
    assert_err(lost, StoreError::NotFound);
}

pub(crate) async fn a_deleted_channel_is_gone_and_its_members_are_told(kit: Kit) {
    kit.has_channel("messaging:general", &["alice", "bob"]).await;
    kit.has_channel("messaging:other", &["alice", "bob"]).await;
    kit.sends("messaging:general", "alice", "m1").await;
    kit.sends("messaging:other", "alice", "m2").await;
    let general = cid("messaging:general");
    let deleted = kit.store.delete_channel(kit.app, &general, at(0)).await.unwrap();
    assert_eq!(
        lines(&deleted.events),
        [
            "channel:messaging:general 5 channel.deleted",
            "user:alice 3 notification.removed_from_channel",
            "user:bob 3 notification.removed_from_channel",
        ]
    );
    assert_err(kit.store.delete_channel(kit.app, &general, at(0)).await, StoreError::NotFound);
    assert_err(kit.store.channel_state(kit.app, &general, None, 0).await, StoreError::NotFound);
    assert_err(kit.store.members(kit.app, &general, 0, 10).await, StoreError::NotFound);
    let lost = kit.store.send_message(kit.message("messaging:general", "alice", "m3", "hi")).await;
    assert_err(lost, StoreError::NotFound);
    let topic = channel_topic("messaging:general");
    let events = kit.store.events(kit.app, &topic, 0, 10, Reader::Anyone).await.unwrap();
    assert_eq!(events, Events::NoAccess);
    assert_eq!(kit.unread("bob").await, 1, "what was unread there counts no more");

    // Its added_to_channel no longer says anything of it.
    let told = lines(&kit.events(&user_topic("bob"), 0).await);
    assert_eq!(
        told,
        [
            "user:bob 1 placeholder",
            "user:bob 2 notification.added_to_channel",
            "user:bob 3 notification.removed_from_channel",
        ]
    );
}

pub(crate) async fn a_channel_made_again_goes_on_with_its_seqs_and_shows_nothing_of_the_old_one(kit: Kit) {
    kit.has_channel("messaging:general", &["alice", "bob"]).await;
    kit.sends("messaging:general", "alice", "secret").await;
    let general = cid("messaging:general");
    kit.store.delete_channel(kit.app, &general, at(0)).await.unwrap();
    kit.has_channel("messaging:general", &["carol"]).await;

    let topic = channel_topic("messaging:general");
    let start = kit.store.topic_start(kit.app, &topic).await.unwrap();
    assert_eq!((start.head, start.floor), (7, 5));
    let from_the_start =
        kit.store.events(kit.app, &topic, 0, 10, Reader::Member(user("carol"))).await.unwrap();
    assert_eq!(from_the_start, Events::Trimmed { head: 7 });
    assert_eq!(
        lines(&kit.events(&topic, 5).await),
        ["channel:messaging:general 6 channel.created", "channel:messaging:general 7 member.added"]
    );
    let state = kit.store.channel_state(kit.app, &general, Some(&user("carol")), 10).await.unwrap();
    assert!(state.messages.is_empty());
    assert_eq!((state.head, state.unread.unwrap().unread_messages), (7, 0));
}

pub(crate) async fn state_shows_what_the_viewer_may_see(kit: Kit) {
    kit.has_channel("messaging:general", &["alice", "bob"]).await;
    kit.has_users(&["carol"]).await;
    for n in 1..=5 {
        kit.sends("messaging:general", "alice", &format!("m{n}")).await;
    }
    let mut joining = kit.members("messaging:general", &["carol"], &[]);
    joining.hide_history = true;
    kit.store.change_members(joining).await.unwrap();
    kit.sends("messaging:general", "alice", "m6").await;
    kit.reads("messaging:general", "bob", ReadTo::Everything).await;

    let general = cid("messaging:general");
    let of = async |viewer: Option<&str>, messages| {
        let viewer = viewer.map(user);
        let state = kit.store.channel_state(kit.app, &general, viewer.as_ref(), messages).await.unwrap();
        let ids: Vec<_> = state.messages.iter().map(|message| message.id.to_string()).collect();
        (ids, state)
    };
    let (ids, state) = of(Some("bob"), 3).await;
    assert_eq!(ids, ["m4", "m5", "m6"], "the latest, oldest first");
    assert_eq!(state.membership.unwrap().user_id, user("bob"));
    assert_eq!(state.unread.unwrap().unread_messages, 0);
    let read: Vec<_> = state.reads.iter().map(|read| (read.user_id.as_str(), read.last_read_seq)).collect();
    assert_eq!(read, [("alice", 2), ("carol", 9), ("bob", 10)]);

    let (ids, state) = of(Some("carol"), 10).await;
    assert_eq!(ids, ["m6"], "not what was said before she came");
    assert_eq!(state.unread.unwrap().unread_messages, 1);

    let (ids, state) = of(Some("nobody"), 1).await;
    assert_eq!(ids, ["m6"]);
    assert_eq!((state.membership, state.unread), (None, None));
    assert!(of(None, 0).await.0.is_empty());
}

pub(crate) async fn access_tells_what_decides(kit: Kit) {
    kit.has_channel("messaging:general", &["alice", "bob"]).await;
    let general = cid("messaging:general");
    let access = kit.store.channel_access(kit.app, &general, Some(&user("bob"))).await.unwrap().unwrap();
    assert_eq!((access.cid, access.created_by), (general.clone(), Some(user("alice"))));
    assert_eq!((access.head, access.member_count), (3, 2));
    assert_eq!(access.membership.unwrap().channel_role, ChannelRole::Member);
    let stranger = kit.store.channel_access(kit.app, &general, Some(&user("zoe"))).await.unwrap().unwrap();
    assert_eq!(stranger.membership, None);
    let missing = kit.store.channel_access(kit.app, &cid("messaging:no"), None).await.unwrap();
    assert_eq!(missing, None);
    assert_eq!(kit.head(Topic::Channel(cid("messaging:no"))).await, 0, "asking makes nothing");
}
