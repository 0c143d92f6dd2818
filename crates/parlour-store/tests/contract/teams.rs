//! Teams: who sees whom and what, and how it stays so.

use std::collections::{BTreeMap, BTreeSet};

use parlour_store::{
    ChannelQuery, Filter, Found, NewChannel, NewMessage, Order, Requires, SortKey, StoreError, UserChange,
    UserField, UserQuery,
};
use parlour_wire::Team;
use parlour_wire::messages::EditMessage;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::kit::{Kit, assert_err, at, cid, lines, user, users};

const GENERAL: &str = "messaging:general";

fn team(name: &str) -> Team {
    name.parse().unwrap()
}

fn teams(names: &[&str]) -> Vec<Team> {
    names.iter().map(|name| team(name)).collect()
}

async fn has_teams(kit: &Kit, id: &str, names: &[&str]) -> Vec<String> {
    let change = UserChange { teams: Some(teams(names)), ..UserChange::default() };
    lines(&kit.store.update_user(kit.app, &user(id), change, at(0)).await.unwrap().events)
}

fn of_team(kit: &Kit, name: &str, of: Option<&str>, creator: Option<&str>, members: &[&str]) -> NewChannel {
    NewChannel { team: of.map(team), ..kit.channel(name, creator, members) }
}

async fn makes(kit: &Kit, new: NewChannel) -> parlour_store::Result<Option<Team>> {
    let name = new.cid.clone();
    kit.store.get_or_create_channel(new).await?;
    Ok(kit.store.channel_state(kit.app, &name, None, 0).await?.channel.team)
}

async fn sees_users(kit: &Kit, viewer: &str) -> BTreeSet<String> {
    let query = UserQuery {
        app: kit.app,
        viewer: Some(user(viewer)),
        found: Found::Active,
        filter: Filter::all(),
        sort: vec![SortKey { field: UserField::Id, order: Order::Ascending }],
        limit: 100,
        after: None,
        now: at(0),
    };
    kit.store.query_users(query).await.unwrap().users.iter().map(|user| user.id.to_string()).collect()
}

async fn sees_channels(kit: &Kit, viewer: &str) -> BTreeSet<String> {
    let query = ChannelQuery {
        app: kit.app,
        viewer: Some(user(viewer)),
        public_types: vec!["livestream".to_owned()],
        filter: Filter::all(),
        sort: Vec::new(),
        limit: 100,
        after: None,
        messages: 0,
    };
    let page = kit.store.query_channels(query).await.unwrap();
    page.channels.iter().map(|state| state.channel.cid.to_string()).collect()
}

pub(crate) async fn a_channel_belongs_to_a_team_of_its_creator(kit: Kit) {
    kit.has_users(&["alice", "bob", "carol"]).await;
    has_teams(&kit, "alice", &["red"]).await;
    has_teams(&kit, "bob", &["blue", "red"]).await;
    let new = |name, of, creator| of_team(&kit, name, of, creator, &[]);
    assert_eq!(makes(&kit, new("messaging:a", None, Some("alice"))).await, Ok(Some(team("red"))));
    assert_eq!(makes(&kit, new("messaging:b", Some("red"), Some("alice"))).await, Ok(Some(team("red"))));
    assert_eq!(
        makes(&kit, new("messaging:x", Some("blue"), Some("alice"))).await,
        Err(StoreError::OutsideTeam(team("blue")))
    );
    assert_eq!(makes(&kit, new("messaging:x", None, Some("bob"))).await, Err(StoreError::TeamNotNamed));
    assert_eq!(makes(&kit, new("messaging:c", Some("blue"), Some("bob"))).await, Ok(Some(team("blue"))));
    assert_eq!(makes(&kit, new("messaging:d", None, Some("carol"))).await, Ok(None));
    assert_eq!(
        makes(&kit, new("messaging:x", Some("red"), Some("carol"))).await,
        Err(StoreError::OutsideTeam(team("red")))
    );
    assert_eq!(makes(&kit, new("messaging:e", Some("green"), None)).await, Ok(Some(team("green"))));
    assert_eq!(makes(&kit, new("messaging:f", None, None)).await, Ok(None));
}

pub(crate) async fn who_is_outside_becomes_no_member_and_is_not_mentioned_f2_34(kit: Kit) {
    kit.has_users(&["alice", "bob", "carol"]).await;
    has_teams(&kit, "alice", &["red"]).await;
    has_teams(&kit, "bob", &["blue"]).await;
    let unknown = |ids: &[&str]| StoreError::UnknownUsers(users(ids));
    let with_others = of_team(&kit, GENERAL, None, Some("alice"), &["bob", "carol"]);
    assert_err(kit.store.get_or_create_channel(with_others).await, unknown(&["bob", "carol"]));
    makes(&kit, of_team(&kit, GENERAL, None, Some("alice"), &[])).await.unwrap();
    let change = kit.members(GENERAL, &["bob"], &[]);
    assert_err(kit.store.change_members(change).await, unknown(&["bob"]));
    let mention =
        NewMessage { mentioned_users: users(&["bob"]), ..kit.message(GENERAL, "alice", "m1", "hi") };
    assert_err(kit.store.send_message(mention).await, unknown(&["bob"]));
    kit.sends(GENERAL, "alice", "m1").await;
    let edit = EditMessage { mentioned_users: Some(users(&["carol"])), ..EditMessage::default() };
    assert_err(kit.edits(GENERAL, "m1", edit).await, unknown(&["carol"]));
    let by_right = NewMessage { requires: Requires::Channel, ..kit.message(GENERAL, "bob", "m2", "hi") };
    assert_err(kit.store.send_message(by_right).await, unknown(&["bob"]));
    // Where there is no team, who has one is outside as well.
    makes(&kit, of_team(&kit, "messaging:open", None, Some("carol"), &[])).await.unwrap();
    let change = kit.members("messaging:open", &["alice"], &[]);
    assert_err(kit.store.change_members(change).await, unknown(&["alice"]));
}

pub(crate) async fn leaving_a_team_is_leaving_its_channels_f2_35(kit: Kit) {
    kit.has_users(&["alice", "bob"]).await;
    has_teams(&kit, "alice", &["red", "blue"]).await;
    has_teams(&kit, "bob", &["red"]).await;
    makes(&kit, of_team(&kit, "messaging:red", Some("red"), Some("bob"), &["alice"])).await.unwrap();
    makes(&kit, of_team(&kit, "messaging:blue", Some("blue"), Some("alice"), &[])).await.unwrap();
    kit.sends("messaging:red", "bob", "m1").await;
    assert_eq!(kit.unread("alice").await, 1);

    let told = has_teams(&kit, "alice", &["blue", "green"]).await;
    assert_eq!(
        told,
        [
            "user:alice 4 user.updated",
            "channel:messaging:red 5 member.removed",
            "user:alice 5 notification.removed_from_channel"
        ]
    );
    assert_eq!(kit.unread("alice").await, 0);
    let red = kit.store.channel_access(kit.app, &cid("messaging:red"), Some(&user("alice"))).await.unwrap();
    let red = red.unwrap();
    assert!((red.membership.is_none(), red.inside, red.member_count) == (true, false, 1), "{red:?}");
    let blue = kit.store.channel_access(kit.app, &cid("messaging:blue"), Some(&user("alice"))).await.unwrap();
    assert!(blue.unwrap().membership.is_some());
    // Coming back to the team is not coming back to its channels.
    assert_eq!(has_teams(&kit, "alice", &["blue", "red"]).await, ["user:alice 6 user.updated"]);
    assert!(!sees_channels(&kit, "alice").await.contains("messaging:red"));
}

/// Users, channels and teams at random, beside a model that asks the rule of each pair.
#[expect(clippy::print_stdout, reason = "the last seed printed is the one that failed")]
pub(crate) async fn random_teams_agree_with_a_naive_model_f2_34_f2_35(kit: Kit) {
    for seed in 0..10 {
        println!("seed {seed}");
        let app = kit.other_app(&format!("seed-{seed}")).await;
        live(&app, StdRng::seed_from_u64(seed)).await;
    }
}

const USERS: [&str; 6] = ["alice", "bob", "carol", "dave", "erin", "frank"];
const TEAMS: [&str; 3] = ["red", "green", "blue"];

#[derive(Default)]
struct Model {
    teams: BTreeMap<&'static str, BTreeSet<&'static str>>,
    /// The team, and the members.
    channels: BTreeMap<String, (Option<&'static str>, BTreeSet<&'static str>)>,
}

impl Model {
    fn is_inside(&self, who: &str, team: Option<&str>) -> bool {
        match team {
            None => self.teams[who].is_empty(),
            Some(team) => self.teams[who].contains(team),
        }
    }

    fn sees(&self, viewer: &str, other: &str) -> bool {
        let (own, theirs) = (&self.teams[viewer], &self.teams[other]);
        viewer == other || (own.is_empty() && theirs.is_empty()) || !own.is_disjoint(theirs)
    }

    fn sees_channel(&self, viewer: &str, name: &str) -> bool {
        let (team, members) = &self.channels[name];
        members.contains(viewer) || (name.starts_with("livestream") && self.is_inside(viewer, *team))
    }
}

async fn live(kit: &Kit, mut random: StdRng) {
    kit.has_users(&USERS).await;
    let mut model =
        Model { teams: USERS.iter().map(|who| (*who, BTreeSet::new())).collect(), ..Model::default() };
    for step in 0..120 {
        let who = USERS[random.random_range(0..USERS.len())];
        match random.random_range(0..6) {
            0 | 1 => {
                let named: BTreeSet<&str> =
                    TEAMS.into_iter().filter(|_| random.random_range(0..3) == 0).collect();
                has_teams(kit, who, &named.iter().copied().collect::<Vec<_>>()).await;
                model.teams.insert(who, named);
                let Model { teams, channels } = &mut model;
                for (team, members) in channels.values_mut() {
                    let stays = match team {
                        None => teams[who].is_empty(),
                        Some(team) => teams[who].contains(*team),
                    };
                    if !stays {
                        members.remove(who);
                    }
                }
            }
            2 | 3 => {
                let kind = if random.random() { "messaging" } else { "livestream" };
                let team = TEAMS.get(random.random_range(0..TEAMS.len() + 1)).copied();
                let other = USERS[random.random_range(0..USERS.len())];
                let name = format!("{kind}:c{step}");
                let made = makes(kit, of_team(kit, &name, team, Some(who), &[other])).await;
                // Without a name it is the only one.
                let only = model.teams[who].iter().next().copied().filter(|_| model.teams[who].len() == 1);
                let team = team.or(only);
                let may = model.is_inside(who, team) && model.is_inside(other, team);
                assert_eq!(made.is_ok(), may, "{who} {other} {team:?}: {made:?}");
                if may {
                    model.channels.insert(name, (team, BTreeSet::from([who, other])));
                }
            }
            _ => {
                let Some(at) = random.random_range(0..=model.channels.len()).checked_sub(1) else { continue };
                let name = model.channels.keys().nth(at).unwrap().clone();
                let added = kit.store.change_members(kit.members(&name, &[who], &[])).await;
                let may = model.is_inside(who, model.channels[&name].0);
                assert_eq!(added.is_ok(), may, "{who} into {name}");
                if may {
                    model.channels.get_mut(&name).unwrap().1.insert(who);
                }
            }
        }
        for viewer in USERS {
            let seen: BTreeSet<String> =
                USERS.iter().filter(|other| model.sees(viewer, other)).map(|id| (*id).to_owned()).collect();
            assert_eq!(sees_users(kit, viewer).await, seen, "{viewer} at {step}");
            let seen: BTreeSet<String> =
                model.channels.keys().filter(|name| model.sees_channel(viewer, name)).cloned().collect();
            assert_eq!(sees_channels(kit, viewer).await, seen, "{viewer} at {step}");
        }
    }
}
