//! Two apps in one store.

use parlour_store::{
    AppMode, ChannelQuery, Connect, Deletion, Events, Filter, NewApp, Page, ReadTo, Reader, Requires,
    StoreError, UsageRange, UserChange,
};
use parlour_wire::Topic;
use parlour_wire::messages::EditMessage;
use parlour_wire::usage::Granularity;
use serde_json::json;

use crate::kit::{
    Kit, assert_err, at, channel_topic, cid, fields, lines, message_id, user, user_topic, users,
};

const GENERAL: &str = "messaging:general";

pub(crate) async fn two_apps_share_nothing_f1_1(kit: Kit) {
    let other = kit.other_app("second").await;
    kit.connects("alice", json!({"name": "Alice of the first"})).await.unwrap();
    kit.connects("bob", json!({})).await.unwrap();
    kit.has_users(&["only-first"]).await;
    let new = kit.channel(GENERAL, Some("bob"), &["alice"]);
    kit.store.get_or_create_channel(new).await.unwrap();
    kit.sends(GENERAL, "bob", "m1").await;

    // The other app has none of it, by any name.
    assert_eq!(other.store.me(other.app, &user("alice"), at(0)).await.unwrap(), None);
    assert!(other.store.users(other.app, &users(&["alice", "bob"])).await.unwrap().is_empty());
    assert_eq!(other.store.channel_access(other.app, &cid(GENERAL), None).await.unwrap(), None);
    let state = other.store.channel_state(other.app, &cid(GENERAL), Some(&user("alice")), 5).await;
    assert_err(state, StoreError::NotFound);
    assert_err(
        other.store.message(other.app, &cid(GENERAL), &message_id("m1"), None).await,
        StoreError::NotFound,
    );
    for topic in [channel_topic(GENERAL), user_topic("alice"), Topic::App("first".parse().unwrap())] {
        assert_eq!(other.head(topic.clone()).await, 0, "{topic}");
        let found = other.store.events(other.app, &topic, 0, 10, Reader::Anyone).await.unwrap();
        let nothing = Events::Found { events: Vec::new(), head: 0 };
        assert!(found == nothing || found == Events::NoAccess, "{topic}: {found:?}");
    }
    assert_eq!(other.unread("alice").await, 0);
    assert!(other.store.friends(other.app, &user("alice")).await.unwrap().is_empty());
    assert_eq!(other.store.monthly_active_users(other.app, "2026-11").await.unwrap(), 0);
    let ledger = kit.store.begin_usage().await.unwrap();
    kit.opens(&ledger, "alice", 0).await;
    let month = UsageRange { granularity: Granularity::Month, from: at(0), to: at(1) };
    let usage = other.store.usage(other.app, month, at(0)).await.unwrap();
    assert_eq!((ledger.census(other.app).by_cause.total(), usage.peaks.month), (0, 0));
    assert_eq!(usage.points[0].monthly_active_users, Some(0));

    // The same names there are other things.
    other.has_channel(GENERAL, &["alice"]).await;
    let unknown = other.store.change_members(other.members(GENERAL, &["only-first"], &[])).await;
    assert_err(unknown, StoreError::UnknownUsers(users(&["only-first"])));
    other.sends(GENERAL, "alice", "m1").await;
    let by_bob = other.message(GENERAL, "bob", "m2", "hi");
    assert_err(other.store.send_message(by_bob.clone()).await, StoreError::NotMember);
    let by_bob = parlour_store::NewMessage { requires: Requires::Channel, ..by_bob };
    assert_err(other.store.send_message(by_bob).await, StoreError::UnknownUsers(users(&["bob"])));
    let edit = EditMessage { text: Some("of the second".to_owned()), ..EditMessage::default() };
    other.edits(GENERAL, "m1", edit).await.unwrap();
    other.deletes(GENERAL, "m1", Deletion::Hard).await.unwrap();
    let page = kit.store.messages(kit.app, &cid(GENERAL), Page::Latest, 10, 0, None).await.unwrap();
    assert_eq!(page.messages[0].text, "bob says m1");
    assert_eq!(kit.unread("alice").await, 1);
    kit.reads(GENERAL, "alice", ReadTo::Everything).await;

    let all = ChannelQuery {
        app: other.app,
        viewer: None,
        public_types: Vec::new(),
        filter: Filter::all(),
        sort: Vec::new(),
        limit: 10,
        after: None,
        messages: 10,
    };
    let page = kit.store.query_channels(all).await.unwrap();
    assert_eq!(page.channels.len(), 1);
    assert_eq!(page.channels[0].members.len(), 1);

    other.store.delete_channel(other.app, &cid(GENERAL), at(0)).await.unwrap();
    assert_eq!(
        lines(&kit.events(&channel_topic(GENERAL), 3).await),
        ["channel:messaging:general 4 message.new", "channel:messaging:general 5 message.read"]
    );

    // Nor does what becomes of a user there reach her namesake.
    let namesake = kit.store.me(kit.app, &user("alice"), at(0)).await.unwrap().unwrap().user;
    let renamed =
        Connect { fields: fields(json!({"name": "Alice of the second"})), ..other.connect("alice") };
    other.store.connect(Connect { now: at(99), ..renamed }).await.unwrap();
    let change = UserChange { set: fields(json!({"name": "Alison"})), ..UserChange::default() };
    other.store.update_user(other.app, &user("alice"), change, at(99)).await.unwrap();
    assert_eq!(kit.store.me(kit.app, &user("alice"), at(0)).await.unwrap().unwrap().user, namesake);
    assert_eq!(namesake.custom["name"], "Alice of the first");
}

pub(crate) async fn an_app_is_made_once(kit: Kit) {
    let app = |secret: &str| NewApp {
        key: "third".parse().unwrap(),
        secret: secret.to_owned(),
        mode: AppMode::Production,
        now: at(0),
    };
    let made = kit.store.create_app(app("one")).await.unwrap();
    let again = kit.store.create_app(app("two")).await.unwrap();
    assert!(made == again, "the secret stays");
    assert_eq!((made.secret.as_str(), made.mode), ("one", AppMode::Production));
    let all = kit.store.apps().await.unwrap();
    let keys: Vec<_> = all.iter().map(|app| app.key.as_str()).collect();
    assert_eq!(keys, ["first", "third"]);
    assert!(!format!("{made:?}").contains("one"), "a secret is not printed");
}

pub(crate) async fn an_app_keeps_where_its_keys_stand_until_it_is_forgotten_f1_6(kit: Kit) {
    let other = kit.other_app("second").await;
    let url = async |kit: &Kit| kit.store.app(kit.app).await.unwrap().jwks_url;
    assert_eq!(url(&kit).await, None);
    for address in ["https://id.example.com/one", "https://id.example.com/two"] {
        kit.store.set_jwks_url(kit.app, Some(address.to_owned())).await.unwrap();
        assert_eq!(url(&kit).await.as_deref(), Some(address));
    }
    assert_eq!(url(&other).await, None);
    let all: Vec<_> = kit.store.apps().await.unwrap().into_iter().map(|app| app.jwks_url).collect();
    assert_eq!(all, [Some("https://id.example.com/two".to_owned()), None]);
    kit.store.set_jwks_url(kit.app, None).await.unwrap();
    assert_eq!(url(&kit).await, None);
}
