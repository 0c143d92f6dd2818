//! Queries for channels.

use parlour_store::{
    ChannelField as Field, ChannelQuery, Comparison, Filter, NewChannel, NewMessage, Order, SortKey,
};
use parlour_wire::ChannelType;
use serde_json::{Value, json};

use crate::kit::{Kit, at, fields, user, users};

fn query(kit: &Kit, filter: Filter<Field>) -> ChannelQuery {
    ChannelQuery {
        app: kit.app,
        viewer: None,
        public_types: Vec::new(),
        filter,
        sort: vec![SortKey { field: Field::Cid, order: Order::Ascending }],
        limit: 100,
        after: None,
        messages: 0,
    }
}

async fn found(kit: &Kit, query: ChannelQuery) -> Vec<String> {
    let page = kit.store.query_channels(query).await.unwrap();
    page.channels.iter().map(|state| state.channel.id.to_string()).collect()
}

fn is(field: Field, comparison: Comparison) -> Filter<Field> {
    Filter::Compare { field, comparison }
}

fn data(key: &str, comparison: Comparison) -> Filter<Field> {
    is(Field::Data(key.to_owned()), comparison)
}

async fn has_channel(kit: &Kit, name: &str, members: &[&str], sent: Value, ms: i64) {
    kit.has_users(&["alice", "bob", "carol", "owner"]).await;
    let new = NewChannel {
        data: fields(sent),
        members: users(members),
        now: at(ms),
        ..kit.channel(name, Some("owner"), &[])
    };
    assert!(kit.store.get_or_create_channel(new).await.unwrap().value);
}

pub(crate) async fn every_comparison_finds_what_it_says(kit: Kit) {
    has_channel(&kit, "messaging:a", &["alice"], json!({"name": "Apples", "size": 1}), 1).await;
    has_channel(&kit, "messaging:b", &["alice", "bob"], json!({"name": "Berries", "size": 2.5}), 2).await;
    has_channel(&kit, "livestream:c", &["bob"], json!({"name": "Cherries", "nothing": null}), 3).await;
    let message = NewMessage { now: at(9), ..kit.message("messaging:b", "bob", "m1", "hi") };
    kit.store.send_message(message).await.unwrap();
    use Comparison::{Autocomplete, Eq, Exists, Gt, Gte, In, Lt, Lte, Ne, Nin};
    let time = |ms| json!(at(ms).to_string());
    let compare = |field: &Field, comparison| is(field.clone(), comparison);
    let (cid, id, kind, members) = (Field::Cid, Field::Id, Field::Type, Field::Members);
    let (created, updated, said) = (Field::CreatedAt, Field::UpdatedAt, Field::LastMessageAt);
    let (count, by) = (Field::MemberCount, Field::CreatedBy);
    let cases = [
        (Filter::all(), "a b c"),
        (Filter::Or(vec![]), ""),
        (Filter::Nor(vec![]), "a b c"),
        (Filter::of_type(&ChannelType::parse("messaging").unwrap()), "a b"),
        (compare(&cid, Eq(json!("messaging:a"))), "a"),
        (compare(&cid, In(vec![json!("messaging:a"), json!("livestream:c"), json!(7)])), "a c"),
        (compare(&cid, In(vec![])), ""),
        (compare(&cid, Nin(vec![])), "a b c"),
        (compare(&id, Ne(json!("a"))), "b c"),
        (compare(&id, Gt(json!("a"))), "b c"),
        (compare(&id, Lte(json!("b"))), "a b"),
        (compare(&id, Eq(json!(1))), ""),
        (compare(&kind, Autocomplete("LIVE".to_owned())), "c"),
        (compare(&members, Eq(json!("alice"))), "a b"),
        (compare(&members, Ne(json!("alice"))), "c"),
        (compare(&members, In(vec![json!("alice"), json!("bob")])), "a b c"),
        (compare(&members, In(vec![])), ""),
        (compare(&members, Nin(vec![json!("bob")])), "a"),
        (compare(&members, Exists(true)), "a b c"),
        (compare(&members, Gt(json!("a"))), ""),
        (compare(&count, Eq(json!(3))), "b"),
        (compare(&count, Lt(json!(2.5))), "a c"),
        (compare(&count, Eq(json!("3"))), ""),
        (compare(&created, Gte(time(2))), "b c"),
        (compare(&created, Lt(time(2))), "a"),
        (compare(&created, Gt(json!("no time"))), ""),
        (compare(&updated, Eq(time(3))), "c"),
        (compare(&said, Exists(true)), "b"),
        (compare(&said, Exists(false)), "a c"),
        (compare(&said, Eq(Value::Null)), "a c"),
        (compare(&said, Gt(time(8))), "b"),
        (compare(&said, Ne(time(9))), "a c"),
        (compare(&by, Eq(json!("owner"))), "a b c"),
        (compare(&by, Ne(json!("owner"))), ""),
        (data("name", Eq(json!("Apples"))), "a"),
        (data("name", Ne(json!("Apples"))), "b c"),
        (data("name", In(vec![json!("Apples"), json!("Cherries")])), "a c"),
        (data("name", Nin(vec![json!("Apples")])), "b c"),
        (data("name", Gt(json!("B"))), "b c"),
        (data("name", Autocomplete("be".to_owned())), "b"),
        (data("size", Gte(json!(1))), "a b"),
        (data("size", Lt(json!(2))), "a"),
        (data("size", Exists(false)), "c"),
        (data("size", Ne(json!(1))), "b c"),
        (data("nothing", Exists(true)), "c"),
        (data("nothing", Eq(Value::Null)), "a b c"),
        (Filter::Nor(vec![data("size", Gt(json!(0)))]), "c"),
        (Filter::Or(vec![data("size", Eq(json!(1))), compare(&members, Eq(json!("bob")))]), "a b c"),
        (
            Filter::And(vec![
                compare(&members, Eq(json!("bob"))),
                Filter::Nor(vec![compare(&kind, Eq(json!("livestream")))]),
            ]),
            "b",
        ),
    ];
    for (filter, expected) in cases {
        let mut ids = found(&kit, query(&kit, filter.clone())).await;
        ids.sort();
        assert_eq!(ids.join(" "), expected, "{filter:?}");
    }
}

pub(crate) async fn any_key_of_data_is_data(kit: Kit) {
    let keys = [
        "a\") or 1=1--",
        "a') or 1=1--",
        "custom.x\"; drop table channels",
        "$where",
        "a.b",
        "a[0]",
        "\\",
        "\"",
        "\\\"",
        "ключ\u{202e}",
        " ",
        "#-1",
        "$",
        "new\nline\ttab",
        "\u{1}",
    ];
    for (n, key) in keys.iter().enumerate() {
        let mut sent = fields(json!({"other": true}));
        sent.insert((*key).to_owned(), json!("here"));
        has_channel(&kit, &format!("messaging:c{n:02}"), &[], json!(sent), 0).await;
    }
    for (n, key) in keys.iter().enumerate() {
        let expected = [format!("c{n:02}")];
        let equal = data(key, Comparison::Eq(json!("here")));
        assert_eq!(found(&kit, query(&kit, equal)).await, expected, "{key:?}");
        assert_eq!(found(&kit, query(&kit, data(key, Comparison::Exists(true)))).await, expected, "{key:?}");
        let sorted = ChannelQuery {
            sort: vec![SortKey { field: Field::Data((*key).to_owned()), order: Order::Descending }],
            limit: 1,
            ..query(&kit, Filter::all())
        };
        assert_eq!(found(&kit, sorted).await, expected, "sorted by {key:?}");
    }
    let values = data("other", Comparison::Eq(json!("x' or '1'='1")));
    assert!(found(&kit, query(&kit, values)).await.is_empty());
}

pub(crate) async fn kinds_of_json_are_not_mixed_up(kit: Kit) {
    let values = [
        ("a", json!(1)),
        ("b", json!("1")),
        ("c", json!(true)),
        ("d", json!(false)),
        ("e", json!(0)),
        ("f", json!(null)),
        ("g", json!([1, "x"])),
        ("h", json!({"z": 1, "a": [2]})),
        ("i", json!("true")),
        ("j", json!(1.5)),
    ];
    for (name, value) in &values {
        has_channel(&kit, &format!("messaging:{name}"), &[], json!({"v": value}), 0).await;
    }
    for (name, value) in &values {
        let equal = data("v", Comparison::Eq(value.clone()));
        assert_eq!(found(&kit, query(&kit, equal)).await, [*name], "{value}");
        let other = data("v", Comparison::Ne(value.clone()));
        assert_eq!(found(&kit, query(&kit, other)).await.len(), values.len() - 1, "{value}");
    }
    let more = data("v", Comparison::Gt(json!(0)));
    assert_eq!(found(&kit, query(&kit, more)).await, ["a", "j"]);
}

pub(crate) async fn autocomplete_takes_its_text_literally_and_in_any_case(kit: Kit) {
    for (name, title) in [
        ("a", "100% sure"),
        ("b", "100 sure"),
        ("c", "under_score"),
        ("d", "underXscore"),
        ("e", "back\\slash"),
        ("f", "Äpfel"),
        ("g", "ÄPFEL und Birnen"),
    ] {
        has_channel(&kit, &format!("messaging:{name}"), &[], json!({"name": title}), 0).await;
    }
    for (start, expected) in [
        ("100%", "a"),
        ("100", "a b"),
        ("under_", "c"),
        ("UNDER", "c d"),
        ("back\\", "e"),
        ("äpf", "f g"),
        ("%", ""),
        ("pfel", ""),
        ("", "a b c d e f g"),
    ] {
        let filter = data("name", Comparison::Autocomplete(start.to_owned()));
        assert_eq!(found(&kit, query(&kit, filter)).await.join(" "), expected, "{start:?}");
    }
}

pub(crate) async fn a_filter_cannot_widen_what_the_viewer_sees(kit: Kit) {
    has_channel(&kit, "messaging:mine", &["alice"], json!({}), 0).await;
    has_channel(&kit, "messaging:theirs", &["bob"], json!({}), 0).await;
    has_channel(&kit, "livestream:show", &["bob"], json!({}), 0).await;
    let as_seen = |viewer: &str, public: &[&str], filter| ChannelQuery {
        viewer: Some(user(viewer)),
        public_types: public.iter().map(|name| (*name).to_owned()).collect(),
        messages: 5,
        ..query(&kit, filter)
    };
    let theirs = || is(Field::Id, Comparison::Eq(json!("theirs")));
    let widening = [
        Filter::all(),
        Filter::Or(vec![theirs(), Filter::all()]),
        Filter::Nor(vec![is(Field::Id, Comparison::Eq(json!("none")))]),
        is(Field::Members, Comparison::In(vec![json!("alice"), json!("bob")])),
    ];
    for filter in widening {
        assert_eq!(found(&kit, as_seen("alice", &[], filter.clone())).await, ["mine"], "{filter:?}");
        assert_eq!(
            found(&kit, as_seen("alice", &["livestream", "gaming"], filter.clone())).await,
            ["show", "mine"],
            "{filter:?}"
        );
    }
    assert!(found(&kit, as_seen("alice", &[], theirs())).await.is_empty());
    assert!(found(&kit, as_seen("carol", &[], Filter::all())).await.is_empty());

    let page = kit.store.query_channels(as_seen("alice", &["livestream"], Filter::all())).await.unwrap();
    let own: Vec<_> = page.channels.iter().map(|state| state.membership.is_some()).collect();
    assert_eq!(own, [false, true], "seen as this viewer sees it");
}

pub(crate) async fn orders_and_pages_neither_skip_nor_repeat(kit: Kit) {
    for n in 0..12 {
        // Many equal keys.
        let sent = json!({"rank": n % 3});
        has_channel(&kit, &format!("messaging:c{n:02}"), &[], sent, i64::from(n / 4)).await;
    }
    let by_rank = |order| vec![SortKey { field: Field::Data("rank".to_owned()), order }];
    let sorts = [
        by_rank(Order::Ascending),
        by_rank(Order::Descending),
        vec![SortKey { field: Field::LastMessageAt, order: Order::Descending }],
        vec![SortKey { field: Field::CreatedAt, order: Order::Ascending }],
        vec![],
    ];
    for sort in sorts {
        let whole = ChannelQuery { sort: sort.clone(), ..query(&kit, Filter::all()) };
        let whole = found(&kit, whole).await;
        let (mut paged, mut after) = (Vec::new(), None);
        loop {
            let page = ChannelQuery { sort: sort.clone(), limit: 5, after, ..query(&kit, Filter::all()) };
            let page = kit.store.query_channels(page).await.unwrap();
            paged.extend(page.channels.iter().map(|state| state.channel.id.to_string()));
            assert_eq!(page.next.is_some(), paged.len() < 12);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(paged, whole, "{sort:?}");
        assert_eq!(whole.len(), 12);
    }
    let by_two = ChannelQuery {
        sort: vec![
            SortKey { field: Field::Data("rank".to_owned()), order: Order::Descending },
            SortKey { field: Field::CreatedAt, order: Order::Ascending },
        ],
        limit: 3,
        ..query(&kit, Filter::all())
    };
    assert_eq!(found(&kit, by_two).await, ["c02", "c05", "c08"]);

    // With no order asked for, the latest activity comes first: of a message, or of being made.
    let message = NewMessage { now: at(60), ..kit.message("messaging:c00", "owner", "m1", "hi") };
    kit.store.send_message(message).await.unwrap();
    let latest = ChannelQuery { sort: Vec::new(), limit: 2, ..query(&kit, Filter::all()) };
    assert_eq!(found(&kit, latest).await, ["c00", "c11"]);
}
