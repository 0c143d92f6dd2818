//! Queries for users.

use parlour_store::{
    BanKind, Comparison, Filter, Found, Key, NewBan, Order, Place, Restriction, SortKey, StoreError,
    UserField as Field, UserQuery, UserWrite,
};
use parlour_wire::users::Role;
use serde_json::{Value, json};

use crate::kit::{Kit, assert_err, at, cid, fields, user};

fn query(kit: &Kit, filter: Filter<Field>) -> UserQuery {
    UserQuery {
        app: kit.app,
        viewer: None,
        found: Found::Active,
        filter,
        sort: vec![SortKey { field: Field::Id, order: Order::Ascending }],
        limit: 100,
        after: None,
        now: at(0),
    }
}

async fn found(kit: &Kit, query: UserQuery) -> String {
    let page = kit.store.query_users(query).await.unwrap();
    page.users.iter().map(|user| user.id.as_str()).collect::<Vec<_>>().join(" ")
}

fn is(field: Field, comparison: Comparison) -> Filter<Field> {
    Filter::Compare { field, comparison }
}

fn own(key: &str, comparison: Comparison) -> Filter<Field> {
    is(Field::Own(key.to_owned()), comparison)
}

async fn has_user(kit: &Kit, id: &str, role: Role, teams: &[&str], sent: Value, ms: i64) {
    let teams = teams.iter().map(|team| team.parse().unwrap()).collect();
    let write = UserWrite { id: user(id), fields: fields(sent), role: Some(role), teams: Some(teams) };
    kit.store.upsert_users(kit.app, vec![write], at(ms)).await.unwrap();
}

async fn has_four(kit: &Kit) {
    has_user(kit, "ann", Role::Admin, &["red"], json!({"name": "Ann", "age": 30, "vip": true}), 1).await;
    has_user(kit, "ben", Role::User, &["red", "blue"], json!({"name": "Ben", "age": 7.5}), 2).await;
    has_user(kit, "cyd", Role::User, &[], json!({"name": 7, "age": "30"}), 3).await;
    has_user(kit, "dan", Role::User, &["blue"], json!({"name": "ändern", "nothing": null}), 4).await;
    let seen = parlour_store::Connect { now: at(9), ..kit.connect("ben") };
    kit.store.connect(seen).await.unwrap();
}

pub(crate) async fn users_are_found_by_every_comparison_f2_15_f2_19(kit: Kit) {
    has_four(&kit).await;
    use Comparison::{Autocomplete, Eq, Exists, Gt, Gte, In, Lt, Lte, Ne, Nin};
    let time = |ms| json!(at(ms).to_string());
    let cases = [
        (Filter::all(), "ann ben cyd dan"),
        (is(Field::Id, Eq(json!("ben"))), "ben"),
        (is(Field::Id, Nin(vec![json!("ben"), json!("dan")])), "ann cyd"),
        (is(Field::Id, Gt(json!("ben"))), "cyd dan"),
        (is(Field::Name, Eq(json!("Ann"))), "ann"),
        (is(Field::Name, Ne(json!("Ann"))), "ben cyd dan"),
        (is(Field::Name, Exists(false)), "cyd"),
        (is(Field::Name, Autocomplete("A".to_owned())), "ann"),
        (is(Field::Name, Autocomplete("Ä".to_owned())), "dan"),
        (is(Field::Role, Eq(json!("admin"))), "ann"),
        (is(Field::Role, In(vec![json!("user")])), "ben cyd dan"),
        (is(Field::Teams, Eq(json!("red"))), "ann ben"),
        (is(Field::Teams, In(vec![json!("red"), json!("blue")])), "ann ben dan"),
        (is(Field::Teams, Nin(vec![json!("red")])), "cyd dan"),
        (is(Field::Teams, Exists(false)), "cyd"),
        (is(Field::CreatedAt, Gte(time(3))), "cyd dan"),
        (is(Field::UpdatedAt, Lt(time(2))), "ann"),
        (is(Field::LastActive, Exists(true)), "ben"),
        (is(Field::LastActive, Lte(time(9))), "ben"),
        (is(Field::LastActive, Ne(time(9))), "ann cyd dan"),
        (is(Field::DeactivatedAt, Exists(true)), ""),
        (is(Field::DeletedAt, Exists(false)), "ann ben cyd dan"),
        (own("age", Gt(json!(7))), "ann ben"),
        (own("age", Eq(json!("30"))), "cyd"),
        (own("vip", Eq(json!(true))), "ann"),
        (own("nothing", Exists(true)), "dan"),
        (own("x') or 1=1--", Exists(true)), ""),
        (Filter::Nor(vec![own("age", Exists(true)), is(Field::Id, Eq(json!("nobody")))]), "dan"),
        (Filter::And(vec![is(Field::Teams, Eq(json!("blue"))), own("age", Lt(json!(8)))]), "ben"),
    ];
    for (filter, expected) in cases {
        assert_eq!(found(&kit, query(&kit, filter.clone())).await, expected, "{filter:?}");
    }
}

pub(crate) async fn users_are_found_by_whether_they_are_banned_now_f2_18(kit: Kit) {
    has_four(&kit).await;
    for (who, from, kind, ends_at) in [
        ("ann", None, BanKind::Open, Some(at(50))),
        ("ben", None, BanKind::Open, None),
        // Who is not to notice, and who is kept from a channel alone, is not banned.
        ("cyd", None, BanKind::Shadow, None),
        ("dan", Some(cid("messaging:general")), BanKind::Open, None),
    ] {
        if from.is_some() {
            kit.has_channel("messaging:general", &["dan"]).await;
        }
        let restriction = Restriction { kind, ends_at, reason: None };
        let ban =
            NewBan { app: kit.app, user: user(who), cid: from, restriction, banned_by: None, now: at(10) };
        kit.store.ban(ban).await.unwrap();
    }
    let banned = |truth: bool| is(Field::Banned, Comparison::Eq(json!(truth)));
    for (ms, filter, expected) in [
        (49, banned(true), "ann ben"),
        (49, banned(false), "cyd dan"),
        (50, banned(true), "ben"),
        (50, is(Field::Banned, Comparison::Ne(json!(true))), "ann cyd dan"),
        (50, Filter::And(vec![banned(true), is(Field::Role, Comparison::Eq(json!("admin")))]), ""),
    ] {
        let query = UserQuery { now: at(ms), ..query(&kit, filter.clone()) };
        assert_eq!(found(&kit, query).await, expected, "at {ms}: {filter:?}");
    }
    let (mut paged, mut after) = (Vec::new(), None);
    loop {
        let sort = vec![
            SortKey { field: Field::Banned, order: Order::Descending },
            SortKey { field: Field::Name, order: Order::Ascending },
        ];
        let query = UserQuery { sort, limit: 1, after, now: at(20), ..query(&kit, Filter::all()) };
        let page = kit.store.query_users(query).await.unwrap();
        paged.extend(page.users.iter().map(|user| user.id.to_string()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(paged, ["ann", "ben", "cyd", "dan"]);
}

pub(crate) async fn users_come_in_the_order_asked_f2_16(kit: Kit) {
    has_four(&kit).await;
    use Order::{Ascending, Descending};
    let by = |field: Field, order| SortKey { field, order };
    let cases = [
        (vec![by(Field::Id, Descending)], "dan cyd ben ann"),
        (vec![by(Field::CreatedAt, Descending)], "dan cyd ben ann"),
        (vec![by(Field::Role, Ascending), by(Field::CreatedAt, Descending)], "ann dan cyd ben"),
        // Who was never seen comes last where the latest come first, and first where they come last.
        (vec![by(Field::LastActive, Descending), by(Field::Id, Ascending)], "ben ann cyd dan"),
        (vec![by(Field::LastActive, Ascending), by(Field::Id, Ascending)], "ann cyd dan ben"),
        (vec![by(Field::Own("age".to_owned()), Ascending)], "dan ben ann cyd"),
        (vec![], "dan cyd ben ann"),
    ];
    for (sort, expected) in cases {
        let whole = UserQuery { sort: sort.clone(), ..query(&kit, Filter::all()) };
        assert_eq!(found(&kit, whole).await, expected, "{sort:?}");
    }
}

pub(crate) async fn pages_neither_skip_nor_repeat_while_others_write_f2_17(kit: Kit) {
    for n in 0..30 {
        let sent = match n % 5 {
            0 => json!({}),
            1 => json!({"rank": "a"}),
            rest => json!({"rank": f64::from(rest) / 3.0, "name": "x"}),
        };
        has_user(&kit, &format!("u{n:02}"), Role::User, &[], sent, i64::from(n / 6)).await;
    }
    use Order::{Ascending, Descending};
    let sorts = [
        vec![(Field::Id, Ascending)],
        vec![(Field::Id, Descending)],
        vec![(Field::CreatedAt, Ascending)],
        vec![(Field::CreatedAt, Descending), (Field::Name, Ascending)],
        vec![(Field::Own("rank".to_owned()), Ascending)],
        vec![(Field::Own("rank".to_owned()), Descending), (Field::Id, Ascending)],
        vec![(Field::LastActive, Descending)],
        vec![],
    ];
    for (round, sort) in sorts.into_iter().enumerate() {
        let sort: Vec<_> = sort.into_iter().map(|(field, order)| SortKey { field, order }).collect();
        let whole =
            found(&kit, UserQuery { sort: sort.clone(), limit: 10_000, ..query(&kit, Filter::all()) }).await;
        let (mut paged, mut after, mut pages) = (Vec::new(), None, 0);
        loop {
            let page = UserQuery { sort: sort.clone(), limit: 4, after, ..query(&kit, Filter::all()) };
            let page = kit.store.query_users(page).await.unwrap();
            paged.extend(page.users.into_iter().map(|user| user.id));
            // Between two pages somebody comes, right where the reading is and at both ends.
            for place in ["a", "u15-", "z"] {
                has_user(
                    &kit,
                    &format!("{place}new-{round}-{pages}"),
                    Role::User,
                    &[],
                    json!({"rank": 0.9}),
                    2,
                )
                .await;
            }
            pages += 1;
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let old: Vec<_> = paged.iter().map(|id| id.as_str()).filter(|id| !id.contains("new")).collect();
        let expected: Vec<_> = whole.split(' ').filter(|id| !id.contains("new")).collect();
        assert_eq!(old, expected, "{sort:?}");
        let mut once = paged.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), paged.len(), "nobody comes twice: {sort:?}");
    }
}

pub(crate) async fn a_place_of_another_order_is_none(kit: Kit) {
    kit.has_users(&["alice"]).await;
    let after = Some(Place(vec![Key::Integer(1)]));
    let one_key = UserQuery { after, ..query(&kit, Filter::all()) };
    assert_err(kit.store.query_users(one_key).await, StoreError::NoSuchPlace);
}
