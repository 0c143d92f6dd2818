//! Queries for users: those of the viewer's own teams; for who has none, those who have none either.

use parlour_wire::users::User;
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, params_from_iter};

use super::super::column::{json, readable};
use super::super::teams;
use super::super::users::{self, select_user, user_columns};
use super::pages::Ordering;
use super::{Builder, Column, Set, Stored};
use crate::{Found, Result, UserField, UserPage, UserQuery};

const TEAMS: Set = Set {
    has: "users.user_id in (select user_id from user_teams where app = ?1 and team =",
    size: "json_array_length(users.teams)",
};

/// `?2` is the time of the query.
const BANNED: &str = "exists (
    select 1 from bans
    where bans.app = users.app and bans.user_id = users.user_id and bans.channel = 0 and bans.shadow = 0
      and (bans.ends_at is null or bans.ends_at > ?2))";

impl Stored for UserField {
    fn column(&self) -> Column<'_> {
        match self {
            Self::Id => Column::Text("users.user_id"),
            Self::Name => Column::Text("users.name"),
            Self::Role => Column::Text("users.role"),
            Self::Teams => Column::Set(&TEAMS),
            Self::CreatedAt => Column::Time("users.created_at"),
            Self::UpdatedAt => Column::Time("users.updated_at"),
            Self::LastActive => Column::Time("users.last_active"),
            Self::Banned => Column::Truth(BANNED),
            Self::DeactivatedAt => Column::Time("users.deactivated_at"),
            Self::DeletedAt => Column::Time("users.deleted_at"),
            Self::Own(key) => Column::Json("users.fields", key),
        }
    }

    fn is_nullable(&self) -> bool {
        !matches!(
            self,
            Self::Id | Self::Role | Self::Teams | Self::CreatedAt | Self::UpdatedAt | Self::Banned
        )
    }

    const ROW: &'static str = "users.user_id";
}

/// See [`crate::Store::query_users`].
pub(in super::super) fn page(conn: &Connection, query: &UserQuery) -> Result<UserPage> {
    let mut sql = Builder::new(query.app);
    sql.bind(Sql::Integer(query.now.unix_ms()));
    let visible = visible(conn, &mut sql, query)?;
    let matches = sql.filter(&query.filter)?;
    let order = Ordering::of(&mut sql, &query.sort)?;
    let after = order.after(&mut sql, query.after.as_ref())?;
    let there = match query.found {
        Found::Active => "users.deactivated_at is null and users.deleted_at is null",
        Found::All => "1",
    };
    let limit = sql.bind(Sql::Integer(i64::from(query.limit) + 1));
    let text = format!(
        "{}where users.app = ?1 and {there} and {visible} and {matches} and {after} order by {} limit {limit}",
        select_user!(""),
        order.text(),
    );
    let mut statement = conn.prepare(&text)?;
    let mut found: Vec<User> =
        readable(statement.query_map(params_from_iter(&sql.values), users::read)?, "user")?;
    let more = found.len() > query.limit as usize;
    found.truncate(query.limit as usize);
    let next = match found.last() {
        Some(last) if more => Some(order.place(conn, &sql, "users", Sql::Text(last.id.to_string()))?),
        _ => None,
    };
    Ok(UserPage { users: found, next })
}

/// The users that the viewer may find.
fn visible(conn: &Connection, sql: &mut Builder, query: &UserQuery) -> Result<String> {
    let Some(viewer) = &query.viewer else { return Ok("1".to_owned()) };
    let teams = teams::of_user(conn, query.app, viewer)?;
    let itself = sql.bind(Sql::Text(viewer.to_string()));
    let inside = if teams.is_empty() {
        "users.teams = '[]'".to_owned()
    } else {
        let teams = sql.bind(Sql::Text(json(&teams)?));
        format!(
            "users.user_id in (select user_id from user_teams
                               where app = ?1 and team in (select value from json_each({teams})))"
        )
    };
    Ok(format!("({inside} or users.user_id = {itself})"))
}
