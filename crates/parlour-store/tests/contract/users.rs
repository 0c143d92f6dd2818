//! Users and the three ways in which their fields change.

use parlour_store::{Connect, StoreError, UserChange, UserWrite};
use parlour_wire::Event;
use parlour_wire::users::{Role, USER_BYTES_LIMIT};
use serde_json::{Value, json};

use crate::kit::{Kit, assert_err, at, event, fields, lines, user, users};

fn write(id: &str, sent: Value) -> UserWrite {
    UserWrite { id: user(id), fields: fields(sent), role: None, teams: None }
}

pub(crate) async fn connect_merges_key_by_key_and_keeps_a_null(kit: Kit) {
    let first = kit.connects("alice", json!({"name": "Alice", "color": "red", "age": 7})).await.unwrap();
    assert!(first.value.created);
    assert!(first.events.is_empty(), "nobody has to be told of a user that was not there");

    let second = kit.connects("alice", json!({"color": "blue", "age": null, "new": [1]})).await.unwrap();
    assert!(!second.value.created);
    let merged = fields(json!({"name": "Alice", "color": "blue", "age": null, "new": [1]}));
    assert_eq!(second.value.me.user.custom, merged);
    assert_eq!(kit.store.users(kit.app, &[user("alice")]).await.unwrap()[0].custom, merged);

    // One level deep: what was within a key does not shine through.
    kit.connects("alice", json!({"pet": {"name": "Rex", "age": 3}})).await.unwrap();
    let third = kit.connects("alice", json!({"pet": {"name": "Tom"}})).await.unwrap();
    assert_eq!(third.value.me.user.custom["pet"], json!({"name": "Tom"}));
}

pub(crate) async fn a_user_who_comes_again_is_as_old_as_before_and_seen_now_f4_2(kit: Kit) {
    // When she connects, with what, and when she is then said to have changed and to have been seen.
    for (now, sent, updated, seen) in [
        (10, json!({"name": "Alice"}), 10, 10),
        (20, json!({"name": "Alicia"}), 20, 20),
        (30, json!({"name": "Alicia"}), 20, 30),
        // A clock that was set back takes nothing back.
        (5, json!({"name": "Alice"}), 20, 30),
    ] {
        let connect = Connect { fields: fields(sent), now: at(now), ..kit.connect("alice") };
        let answered = kit.store.connect(connect).await.unwrap().value.me.user;
        let stored = kit.store.users(kit.app, &[user("alice")]).await.unwrap().remove(0);
        assert_eq!(answered, stored, "at {now}: what she is told is what others are");
        let times = (stored.created_at, stored.updated_at, stored.last_active);
        assert_eq!(times, (at(10), at(updated), Some(at(seen))), "at {now}");
        assert_eq!((stored.role, stored.teams.len()), (Role::User, 0));
    }
}

pub(crate) async fn upsert_replaces_and_keeps_role_and_teams_that_are_not_named(kit: Kit) {
    let named = UserWrite {
        role: Some(Role::Admin),
        teams: Some(vec!["red".parse().unwrap()]),
        ..write("alice", json!({"name": "Alice", "color": "red"}))
    };
    kit.store.upsert_users(kit.app, vec![named, write("bob", json!({}))], at(0)).await.unwrap();

    let again = vec![write("alice", json!({"name": "Alicia"}))];
    let stored = kit.store.upsert_users(kit.app, again, at(5)).await.unwrap().value;
    assert_eq!(stored[0].custom, fields(json!({"name": "Alicia"})));
    assert_eq!((&stored[0].role, stored[0].teams.as_slice()), (&Role::Admin, &["red".parse().unwrap()][..]));
    assert_eq!((stored[0].created_at, stored[0].updated_at), (at(0), at(5)));
    assert_eq!(kit.store.users(kit.app, &[user("alice")]).await.unwrap(), stored);
    assert_eq!(kit.store.users(kit.app, &[user("bob")]).await.unwrap()[0].role, Role::User);
}

pub(crate) async fn a_partial_update_sets_and_unsets(kit: Kit) {
    kit.connects("alice", json!({"name": "Alice", "color": "red"})).await.unwrap();
    let change = UserChange {
        set: fields(json!({"age": 8})),
        unset: vec!["color".to_owned(), "never there".to_owned()],
        role: Some(Role::Moderator),
        teams: None,
    };
    let changed = kit.store.update_user(kit.app, &user("alice"), change.clone(), at(9)).await.unwrap().value;
    assert_eq!(changed.custom, fields(json!({"name": "Alice", "age": 8})));
    assert_eq!((changed.role, changed.updated_at), (Role::Moderator, at(9)));
    assert_err(kit.store.update_user(kit.app, &user("nobody"), change, at(9)).await, StoreError::NotFound);
}

pub(crate) async fn a_user_of_the_limit_is_refused_and_nothing_is_stored_on_every_path_l6_39(kit: Kit) {
    // {"a":"…"} has 8 bytes around its text.
    let of = |bytes: usize| json!({"a": "x".repeat(bytes - 8)});
    let too_large = StoreError::TooLarge { bytes: USER_BYTES_LIMIT, limit: USER_BYTES_LIMIT };
    let largest = of(USER_BYTES_LIMIT - 1);

    assert_err(kit.connects("alice", of(USER_BYTES_LIMIT)).await, too_large.clone());
    assert_eq!(kit.store.me(kit.app, &user("alice"), at(0)).await.unwrap(), None);
    assert_eq!(kit.store.monthly_active_users(kit.app, "2026-11").await.unwrap(), 0, "nothing is counted");

    kit.connects("alice", largest.clone()).await.unwrap();
    let one_more = json!({"b": 1});
    let merged = StoreError::TooLarge { bytes: USER_BYTES_LIMIT + 5, limit: USER_BYTES_LIMIT };
    assert_err(kit.connects("alice", one_more.clone()).await, merged.clone());
    let change = UserChange { set: fields(one_more), ..UserChange::default() };
    assert_err(kit.store.update_user(kit.app, &user("alice"), change, at(0)).await, merged);
    let batch = vec![write("bob", json!({})), write("alice", of(USER_BYTES_LIMIT))];
    assert_err(kit.store.upsert_users(kit.app, batch, at(0)).await, too_large);

    let stored = kit.store.users(kit.app, &users(&["alice", "bob"])).await.unwrap();
    assert_eq!(stored.len(), 1, "a batch is stored whole or not at all");
    assert_eq!(stored[0].custom, fields(largest));
}

pub(crate) async fn only_a_real_change_is_an_event(kit: Kit) {
    let told = |events: &[std::sync::Arc<parlour_store::Logged>]| lines(events);
    let first = kit.connects("alice", json!({"name": "Alice"})).await.unwrap();
    assert!(first.events.is_empty());
    let same = kit.connects("alice", json!({"name": "Alice"})).await.unwrap();
    assert!(same.events.is_empty());
    let changed = kit.connects("alice", json!({"name": "Alicia"})).await.unwrap();
    assert_eq!(told(&changed.events), ["user:alice 1 user.updated"]);
    match event(&changed.events[0]) {
        Event::UserUpdated { user, .. } => assert_eq!(user.display_name(), "Alicia"),
        other => panic!("{other:?}"),
    }

    let same = kit.store.upsert_users(kit.app, vec![write("alice", json!({"name": "Alicia"}))], at(0));
    assert!(same.await.unwrap().events.is_empty());
    let replaced = kit.store.upsert_users(kit.app, vec![write("alice", json!({}))], at(0)).await.unwrap();
    assert_eq!(told(&replaced.events), ["user:alice 2 user.updated"]);

    let same = UserChange { unset: vec!["name".to_owned()], ..UserChange::default() };
    let same = kit.store.update_user(kit.app, &user("alice"), same, at(0)).await.unwrap();
    assert!(same.events.is_empty());
    let raised = UserChange { role: Some(Role::Admin), ..UserChange::default() };
    let raised = kit.store.update_user(kit.app, &user("alice"), raised, at(0)).await.unwrap();
    assert_eq!(told(&raised.events), ["user:alice 3 user.updated"]);
}

pub(crate) async fn users_are_found_in_the_order_asked(kit: Kit) {
    kit.has_users(&["alice", "bob", "carol"]).await;
    let found = kit.store.users(kit.app, &users(&["carol", "nobody", "alice"])).await.unwrap();
    let ids: Vec<_> = found.iter().map(|user| user.id.as_str()).collect();
    assert_eq!(ids, ["carol", "alice"]);
}

pub(crate) async fn friends_share_a_direct_channel_f4_8(kit: Kit) {
    kit.has_channel("messaging:!members-1", &["alice", "carol", "bob"]).await;
    kit.has_channel("messaging:!members-2", &["bob", "alice"]).await;
    kit.has_channel("messaging:!members-3", &["erin", "bob"]).await;
    // A channel with a name has members, not friends.
    kit.has_channel("messaging:general", &["alice", "dave"]).await;
    assert_eq!(kit.store.friends(kit.app, &user("alice")).await.unwrap(), users(&["bob", "carol"]));
    assert_eq!(kit.store.friends(kit.app, &user("dave")).await.unwrap(), users(&[]));
}

pub(crate) async fn me_is_made_by_nothing_but_connecting(kit: Kit) {
    assert_eq!(kit.store.me(kit.app, &user("alice"), at(0)).await.unwrap(), None);
    assert_eq!(kit.store.me(kit.app, &user("alice"), at(0)).await.unwrap(), None, "asking makes nobody");
    kit.store.connect(Connect { now: at(3), ..kit.connect("alice") }).await.unwrap();
    let me = kit.store.me(kit.app, &user("alice"), at(0)).await.unwrap().unwrap();
    assert_eq!((me.user.created_at, me.user.last_active), (at(3), Some(at(3))));
    assert!(!me.user.online, "presence is not stored");
}
