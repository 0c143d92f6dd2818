//! Who may do what: one table.
//!
//! A right is granted to ranks. Whoever has several (her role in the app, and a role in the channel) has what any
//! of them gives. Servers may do everything. The page `docs/src/permissions.md` shows the same table; a test holds
//! them together.

use std::collections::{BTreeMap, HashMap};

use parlour_wire::ChannelType;
use parlour_wire::members::ChannelRole;
use parlour_wire::users::Role;

use crate::channel_types::{self, ChannelTypeSettings};
use crate::config::PermissionsConfig;

/// What somebody is: in the app, or in a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Rank {
    Anonymous,
    Guest,
    /// An ordinary user, and one of a role that this version does not know.
    User,
    Member,
    ChannelModerator,
    Owner,
    Moderator,
    Admin,
}

use Rank::{Admin, Anonymous, ChannelModerator, Guest, Member, Moderator, Owner, User};

/// In the order of the table's columns.
const RANKS: &[(Rank, &str)] = &[
    (Anonymous, "anonymous"),
    (Guest, "guest"),
    (User, "user"),
    (Member, "member"),
    (ChannelModerator, "channel_moderator"),
    (Owner, "owner"),
    (Moderator, "moderator"),
    (Admin, "admin"),
];

/// What is wished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Wish {
    // In a channel.
    /// See the channel, its members and messages; listen to it.
    Read,
    /// Send messages.
    Send,
    /// Edit one's own messages.
    EditOwn,
    /// Delete one's own messages.
    DeleteOwn,
    /// Show that one types.
    Type,
    /// Keep a read position.
    KeepReads,
    /// Leave.
    Leave,
    /// Delete others' messages.
    DeleteAny,
    /// Change the channel's data.
    ChangeChannel,
    /// Add and remove others.
    ChangeMembers,
    /// Ban from the channel, see who is banned and what was flagged in it.
    BanFromChannel,
    /// Change members' roles.
    ChangeRoles,
    /// Delete the channel.
    DeleteChannel,
    // In the app.
    /// Make channels.
    CreateChannel,
    /// See other users.
    SeeUsers,
    /// Change one's own fields.
    ChangeOneself,
    /// Mute and block others, and flag users and messages.
    Defend,
    /// Ban from the app, see all bans and flags.
    BanFromApp,
}

use Wish::{
    BanFromApp, BanFromChannel, ChangeChannel, ChangeMembers, ChangeOneself, ChangeRoles, CreateChannel,
    Defend, DeleteAny, DeleteChannel, DeleteOwn, EditOwn, KeepReads, Leave, Read, SeeUsers, Send, Type,
};

/// Where a wish is granted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cell {
    /// Nowhere.
    N,
    /// In channels of types that are open to all.
    O,
    /// Everywhere.
    Y,
}

use Cell::{N, O, Y};

const CELLS: usize = 8;

/// The table: for each wish its name, what it is, and a cell for each of [`RANKS`].
#[rustfmt::skip]
const TABLE: &[(Wish, &str, &str, [Cell; CELLS])] = &[
    //                                                                      anon guest user member mod owner moderator admin
    (Read, "read", "see the channel, its members and messages, and listen to it", [O, O, O, Y, Y, Y, Y, Y]),
    (Send, "send", "send messages",                                         [N, O, O, Y, Y, Y, Y, Y]),
    (EditOwn, "edit_own", "edit one's own messages",                        [N, O, O, Y, Y, Y, Y, Y]),
    (DeleteOwn, "delete_own", "delete one's own messages",                  [N, O, O, Y, Y, Y, Y, Y]),
    (Type, "type", "show that one types",                                   [N, O, O, Y, Y, Y, Y, Y]),
    (KeepReads, "keep_reads", "keep a read position",                       [N, N, N, Y, Y, Y, N, N]),
    (Leave, "leave", "leave the channel",                                   [N, N, N, Y, Y, Y, Y, Y]),
    (DeleteAny, "delete_any", "delete others' messages",                    [N, N, N, N, Y, Y, Y, Y]),
    (ChangeChannel, "change_channel", "change the channel's data",          [N, N, N, N, Y, Y, Y, Y]),
    (ChangeMembers, "change_members", "add and remove others",              [N, N, N, N, Y, Y, Y, Y]),
    (BanFromChannel, "ban_from_channel", "ban from the channel, see its bans and flags", [N, N, N, N, Y, Y, Y, Y]),
    (ChangeRoles, "change_roles", "change members' roles",                  [N, N, N, N, N, Y, N, Y]),
    (DeleteChannel, "delete_channel", "delete the channel",                 [N, N, N, N, N, Y, N, Y]),
    (CreateChannel, "create_channel", "make channels",                      [N, N, Y, N, N, N, Y, Y]),
    (SeeUsers, "see_users", "see other users",                              [N, Y, Y, N, N, N, Y, Y]),
    (ChangeOneself, "change_oneself", "change one's own fields",            [N, Y, Y, N, N, N, Y, Y]),
    (Defend, "defend", "mute and block others, flag users and messages",    [N, Y, Y, N, N, N, Y, Y]),
    (BanFromApp, "ban_from_app", "ban from the app, see all bans and flags", [N, N, N, N, N, N, Y, Y]),
];

/// The ranks of somebody, as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ranks(u8);

impl Ranks {
    pub(crate) fn of(role: &Role, channel_role: Option<&ChannelRole>) -> Self {
        let in_app = match role {
            Role::Anonymous => Anonymous,
            Role::Guest => Guest,
            Role::User | Role::Unknown(_) => User,
            Role::Moderator => Moderator,
            Role::Admin => Admin,
        };
        let in_channel = channel_role.map(|role| match role {
            ChannelRole::Member | ChannelRole::Unknown(_) => Member,
            ChannelRole::Moderator => ChannelModerator,
            ChannelRole::Owner => Owner,
        });
        Self(bit(in_app) | in_channel.map_or(0, bit))
    }

    /// Who stands higher may ban whom: only those below.
    pub(crate) fn height(self) -> u8 {
        let height = |rank| match rank {
            Anonymous | Guest => 0,
            User | Member => 1,
            ChannelModerator => 2,
            Owner => 3,
            Moderator => 4,
            Admin => 5,
        };
        let all = RANKS.iter().map(|(rank, _)| *rank);
        all.filter(|rank| self.0 & bit(*rank) != 0).map(height).max().unwrap_or_default()
    }
}

fn bit(rank: Rank) -> u8 {
    1 << rank as u8
}

/// The app's own rights, and those of types without any of their own.
const ANY_TYPE: &str = "*";

/// The table as it is in force.
#[derive(Debug)]
pub(crate) struct Permissions {
    /// By type: for each wish the ranks that have it.
    types: HashMap<String, Vec<u8>>,
    app: Vec<u8>,
}

impl Permissions {
    /// The table, with what the configuration says otherwise.
    ///
    /// # Errors
    /// The configuration names what there is not.
    pub(crate) fn new(config: &PermissionsConfig) -> Result<Self, String> {
        for (channel_type, wishes) in config {
            if channel_type != ANY_TYPE && channel_types::all().all(|known| known.name != channel_type) {
                let known: Vec<_> = channel_types::all().map(|known| known.name).collect();
                let known = known.join(", ");
                return Err(format!(
                    "permissions.{channel_type}: there is no such channel type; there are {known}, and \"*\""
                ));
            }
            for (wish, ranks) in wishes {
                check(wish, ranks).map_err(|why| format!("permissions.{channel_type}.{wish}: {why}"))?;
            }
        }
        let granted = |open: bool, settings: &[Option<&BTreeMap<String, Vec<String>>>]| {
            let of_wish = |(_, name, _, cells): &(Wish, &str, &str, [Cell; CELLS])| {
                let named = settings.iter().flatten().find_map(|settings| settings.get(*name));
                named.map_or_else(|| bits(cells, open), |ranks| named_bits(ranks))
            };
            TABLE.iter().map(of_wish).collect::<Vec<u8>>()
        };
        let any = config.get(ANY_TYPE);
        let of_type = |known: &ChannelTypeSettings| {
            (known.name.to_owned(), granted(known.open, &[config.get(known.name), any]))
        };
        Ok(Self { types: channel_types::all().map(of_type).collect(), app: granted(false, &[any]) })
    }

    /// Whether a wish in a channel of this type is granted to any of these ranks.
    pub(crate) fn grants(&self, channel_type: &ChannelType, wish: Wish, who: Ranks) -> bool {
        self.types.get(channel_type.as_str()).is_some_and(|granted| granted[wish as usize] & who.0 != 0)
    }

    /// Whether a wish in the app is granted.
    pub(crate) fn grants_in_app(&self, wish: Wish, who: Ranks) -> bool {
        self.app[wish as usize] & who.0 != 0
    }

    /// Whether everybody reads channels of this type, whoever it is.
    pub(crate) fn are_open(&self, channel_type: &ChannelType) -> bool {
        let roles = [Role::Anonymous, Role::Guest, Role::User];
        roles.iter().all(|role| self.grants(channel_type, Wish::Read, Ranks::of(role, None)))
    }

    /// The types that somebody reads without being a member.
    pub(crate) fn read_by(&self, who: Ranks) -> Vec<String> {
        let reads = channel_types::all().filter(|known| {
            self.types.get(known.name).is_some_and(|granted| granted[Wish::Read as usize] & who.0 != 0)
        });
        reads.map(|known| known.name.to_owned()).collect()
    }
}

fn bits(cells: &[Cell; CELLS], open: bool) -> u8 {
    let is_granted = |cell: Cell| cell == Y || cell == O && open;
    let granted = RANKS.iter().zip(cells).filter(|(_, cell)| is_granted(**cell));
    granted.fold(0, |bits, ((rank, _), _)| bits | bit(*rank))
}

fn named_bits(names: &[String]) -> u8 {
    let named = RANKS.iter().filter(|(_, name)| names.iter().any(|other| other == name));
    named.fold(0, |bits, (rank, _)| bits | bit(*rank))
}

fn check(wish: &str, ranks: &[String]) -> Result<(), String> {
    if TABLE.iter().all(|(_, name, ..)| *name != wish) {
        let known: Vec<_> = TABLE.iter().map(|(_, name, ..)| *name).collect();
        return Err(format!("there is no such right; there are {}", known.join(", ")));
    }
    let unknown = ranks.iter().find(|named| RANKS.iter().all(|(_, name)| name != named));
    match unknown {
        Some(named) => {
            let known: Vec<_> = RANKS.iter().map(|(_, name)| *name).collect();
            Err(format!("{named:?} is none of {}", known.join(", ")))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_stands_where_its_wish_is_looked_for() {
        for (at, (wish, ..)) in TABLE.iter().enumerate() {
            assert_eq!(*wish as usize, at, "{wish:?}");
        }
        for (at, (rank, _)) in RANKS.iter().enumerate() {
            assert_eq!(*rank as usize, at, "{rank:?}");
        }
    }

    /// The table as the page shows it.
    fn markdown() -> String {
        let names: Vec<_> = RANKS.iter().map(|(_, name)| format!("`{name}`")).collect();
        let mut page = format!("| right | to | {} |\n|---|---|{}\n", names.join(" | "), "---|".repeat(CELLS));
        for (_, name, what, cells) in TABLE {
            let cells: Vec<_> = cells
                .iter()
                .map(|cell| match cell {
                    N => "",
                    O => "open",
                    Y => "yes",
                })
                .collect();
            page.push_str(&format!("| `{name}` | {what} | {} |\n", cells.join(" | ")));
        }
        page
    }

    #[test]
    fn the_page_shows_the_table() {
        let page = include_str!("../../../docs/src/permissions.md");
        let table = markdown();
        assert!(page.contains(&table), "docs/src/permissions.md has to contain:\n\n{table}");
    }

    #[test]
    fn whoever_is_several_things_has_what_any_of_them_gives() {
        let permissions = Permissions::new(&PermissionsConfig::new()).unwrap();
        let messaging = ChannelType::parse("messaging").unwrap();
        let may = |wish, role, channel_role: Option<&ChannelRole>| {
            permissions.grants(&messaging, wish, Ranks::of(role, channel_role))
        };
        assert!(!may(Read, &Role::User, None) && may(Read, &Role::User, Some(&ChannelRole::Member)));
        assert!(may(Read, &Role::Moderator, None) && !may(DeleteChannel, &Role::Moderator, None));
        assert!(may(DeleteChannel, &Role::Moderator, Some(&ChannelRole::Owner)));
        assert!(may(Send, &Role::Guest, Some(&ChannelRole::Member)));
        let unknown = Role::from("emperor");
        assert!(!may(Read, &unknown, None), "a role that is not known is an ordinary user's");
    }

    #[test]
    fn the_configuration_says_otherwise_for_a_type_or_for_all() {
        let config = |json: &str| serde_json::from_str::<PermissionsConfig>(json).unwrap();
        let permissions = Permissions::new(&config(
            r#"{"livestream": {"send": ["moderator", "admin"]}, "*": {"create_channel": ["admin"]}}"#,
        ))
        .unwrap();
        let livestream = ChannelType::parse("livestream").unwrap();
        let user = Ranks::of(&Role::User, Some(&ChannelRole::Owner));
        assert!(!permissions.grants(&livestream, Send, user) && permissions.grants(&livestream, Read, user));
        let creates = |role| permissions.grants_in_app(CreateChannel, Ranks::of(&role, None));
        assert!(!creates(Role::User) && creates(Role::Admin));
        for (bad, names) in [
            (r#"{"nosuch": {}}"#, "there are messaging, livestream"),
            (r#"{"*": {"fly": []}}"#, "there are read, send"),
            (r#"{"*": {"send": ["king"]}}"#, "is none of anonymous, guest"),
        ] {
            let error = Permissions::new(&config(bad)).unwrap_err();
            assert!(error.contains(names), "{error}");
        }
    }

    #[test]
    fn nobody_stands_above_an_equal() {
        let height = |role: &Role, channel_role: Option<&ChannelRole>| Ranks::of(role, channel_role).height();
        let ladder = [
            height(&Role::Guest, None),
            height(&Role::User, Some(&ChannelRole::Member)),
            height(&Role::User, Some(&ChannelRole::Moderator)),
            height(&Role::User, Some(&ChannelRole::Owner)),
            height(&Role::Moderator, Some(&ChannelRole::Member)),
            height(&Role::Admin, None),
        ];
        assert!(ladder.is_sorted_by(|lower, higher| lower < higher), "{ladder:?}");
    }
}
