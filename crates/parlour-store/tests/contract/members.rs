//! Members come and go.

use parlour_store::{Events, Reader, StoreError};
use parlour_wire::Event;

use crate::kit::{Kit, assert_err, at, channel_topic, cid, event, lines, user, user_topic, users};

pub(crate) async fn adding_and_removing_tells_the_channel_and_the_user(kit: Kit) {
    kit.has_channel("messaging:general", &["alice"]).await;
    kit.has_users(&["bob"]).await;
    let added = kit.adds("messaging:general", &["bob"]).await;
    assert_eq!(
        lines(&added),
        ["channel:messaging:general 3 member.added", "user:bob 1 notification.added_to_channel"]
    );
    match (event(&added[0]), event(&added[1])) {
        (Event::MemberAdded { member, .. }, Event::AddedToChannel { seq, .. }) => {
            assert_eq!((&member.user_id, *seq), (&user("bob"), 3));
        }
        other => panic!("{other:?}"),
    }
    let removed = kit.removes("messaging:general", &["bob"]).await;
    assert_eq!(
        lines(&removed),
        ["channel:messaging:general 4 member.removed", "user:bob 2 notification.removed_from_channel"]
    );
    let members = kit.store.members(kit.app, &cid("messaging:general"), 0, 10).await.unwrap();
    assert_eq!((members.members.len(), members.member_count), (1, 1));
    assert_eq!(kit.unread("bob").await, 0);
}

pub(crate) async fn adding_twice_and_removing_nobody_is_no_event(kit: Kit) {
    kit.has_channel("messaging:general", &["alice"]).await;
    kit.has_users(&["bob", "carol"]).await;
    assert_eq!(kit.adds("messaging:general", &["bob", "bob", "alice"]).await.len(), 2);
    assert!(kit.adds("messaging:general", &["bob"]).await.is_empty());
    assert!(kit.removes("messaging:general", &["carol"]).await.is_empty());
    let access = kit.store.channel_access(kit.app, &cid("messaging:general"), None).await.unwrap().unwrap();
    assert_eq!((access.member_count, access.head), (2, 3));
    let nowhere = kit.store.change_members(kit.members("messaging:no", &["bob"], &[])).await;
    assert_err(nowhere, StoreError::NotFound);
}

pub(crate) async fn unknown_users_change_nothing(kit: Kit) {
    kit.has_channel("messaging:general", &["alice"]).await;
    kit.has_users(&["bob"]).await;
    let change = kit.members("messaging:general", &["bob", "zoe"], &["alice", "yan"]);
    let unknown = StoreError::UnknownUsers(users(&["zoe", "yan"]));
    assert_err(kit.store.change_members(change).await, unknown);
    let members = kit.store.members(kit.app, &cid("messaging:general"), 0, 10).await.unwrap();
    assert_eq!(members.members[0].user_id, user("alice"));
    assert_eq!(members.member_count, 1);
    assert_eq!(kit.head(channel_topic("messaging:general")).await, 2);
}

pub(crate) async fn hidden_history_starts_at_joining(kit: Kit) {
    kit.has_channel("messaging:general", &["alice"]).await;
    kit.has_users(&["bob", "carol"]).await;
    kit.sends("messaging:general", "alice", "m1").await;
    let mut joining = kit.members("messaging:general", &["bob"], &[]);
    joining.hide_history = true;
    kit.store.change_members(joining).await.unwrap();
    kit.adds("messaging:general", &["carol"]).await;

    let members = kit.store.members(kit.app, &cid("messaging:general"), 0, 10).await.unwrap().members;
    let hidden: Vec<_> = members.iter().map(|m| (m.user_id.as_str(), m.hidden_up_to)).collect();
    assert_eq!(
        hidden,
        [("alice", 0), ("bob", 3), ("carol", 0)],
        "his own joining, at 4, is the first he sees"
    );

    let connected = kit.store.connect(kit.connect("bob")).await.unwrap().value;
    let start = connected.topics.iter().find(|s| s.topic == channel_topic("messaging:general")).unwrap();
    assert_eq!((start.hidden_up_to, start.head), (3, 5));
    assert_eq!(
        (kit.unread("bob").await, kit.unread("carol").await),
        (0, 0),
        "nothing is unread to who joins"
    );

    // Coming again without it shows everything.
    kit.removes("messaging:general", &["bob"]).await;
    kit.adds("messaging:general", &["bob"]).await;
    let access = kit.store.channel_access(kit.app, &cid("messaging:general"), Some(&user("bob"))).await;
    assert_eq!(access.unwrap().unwrap().membership.unwrap().hidden_up_to, 0);
}

pub(crate) async fn members_are_paged_by_the_time_they_joined(kit: Kit) {
    let names: Vec<_> = (0..25).map(|n| format!("u{:02}", (n * 7) % 25)).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    kit.has_users(&names).await;
    let general = cid("messaging:general");
    kit.store.get_or_create_channel(kit.channel("messaging:general", None, &names)).await.unwrap();
    let mut seen = Vec::new();
    let mut offset = 0;
    loop {
        let page = kit.store.members(kit.app, &general, offset, 10).await.unwrap();
        assert_eq!(page.member_count, 25);
        seen.extend(page.members.into_iter().map(|member| member.user_id.to_string()));
        match page.next {
            Some(next) => offset = next.parse().unwrap(),
            None => break,
        }
    }
    assert_eq!(seen, names);
}

pub(crate) async fn what_a_removed_user_may_no_longer_see_is_a_placeholder(kit: Kit) {
    kit.has_channel("messaging:general", &["alice", "bob"]).await;
    kit.removes("messaging:general", &["bob"]).await;
    let set = crate::kit::fields(serde_json::json!({"name": "of alice alone"}));
    kit.store.update_channel(kit.app, &cid("messaging:general"), set, vec![], at(0)).await.unwrap();
    assert_eq!(
        lines(&kit.events(&user_topic("bob"), 0).await),
        ["user:bob 1 placeholder", "user:bob 2 notification.removed_from_channel"]
    );
    let topic = channel_topic("messaging:general");
    let loaded = kit.store.events(kit.app, &topic, 0, 10, Reader::Member(user("bob"))).await.unwrap();
    assert_eq!(loaded, Events::NoAccess);
    assert_eq!(
        lines(&kit.events(&topic, 1).await),
        [
            "channel:messaging:general 2 member.added",
            "channel:messaging:general 3 placeholder",
            "channel:messaging:general 4 member.removed",
            "channel:messaging:general 5 channel.updated",
        ]
    );
}
