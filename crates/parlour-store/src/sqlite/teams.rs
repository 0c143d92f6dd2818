//! Teams: who sees into what.
//!
//! A user of some teams sees their channels and their users; a user of none sees the channels that have no team, and
//! the users who have none. Memberships never reach outside: a channel takes in only who is inside its team, and who
//! leaves a team leaves its channels in the same transaction. So whoever is a member need not be asked for teams.

use parlour_wire::users::User;
use parlour_wire::{Cid, Team, Timestamp, UserId};
use rusqlite::{Connection, OptionalExtension, params};

use super::column::{Json, Parsed, json, readable};
use super::events::Tx;
use super::{members, users};
use crate::{AppId, Result, StoreError};

/// Whether a user of these teams sees into what belongs to this one, or to none.
pub(super) fn covers(teams: &[Team], team: Option<&Team>) -> bool {
    team.map_or(teams.is_empty(), |team| teams.contains(team))
}

/// The user's teams; none of a user who is not there.
pub(super) fn of_user(conn: &Connection, app: AppId, user: &UserId) -> Result<Vec<Team>> {
    let teams = conn
        .prepare_cached("select teams from users where app = ?1 and user_id = ?2")?
        .query_row(params![app.0, user.as_str()], |row| Ok(row.get::<_, Json<Vec<Team>>>(0)?.0))
        .optional()?;
    Ok(teams.unwrap_or_default())
}

/// The team of a channel, if it has one.
pub(super) fn of_channel(conn: &Connection, channel: i64) -> Result<Option<Team>> {
    let team = conn
        .prepare_cached("select team from channels where id = ?1")?
        .query_row([channel], |row| Ok(row.get::<_, Option<Parsed<Team>>>(0)?.map(|Parsed(team)| team)))?;
    Ok(team)
}

/// The team of a channel that this user makes.
pub(super) fn of_new_channel(
    conn: &Connection,
    app: AppId,
    creator: Option<&UserId>,
    named: Option<&Team>,
) -> Result<Option<Team>> {
    let Some(creator) = creator else { return Ok(named.cloned()) };
    let teams = of_user(conn, app, creator)?;
    match (named, teams.as_slice()) {
        (Some(team), teams) if teams.contains(team) => Ok(Some(team.clone())),
        (Some(team), _) => Err(StoreError::OutsideTeam(team.clone())),
        (None, []) => Ok(None),
        (None, [only]) => Ok(Some(only.clone())),
        (None, _) => Err(StoreError::TeamNotNamed),
    }
}

/// Fails with those of the users that do not exist, are deleted, or are outside the team.
pub(super) fn must_be_inside<'a>(
    conn: &Connection,
    app: AppId,
    team: Option<&Team>,
    ids: impl IntoIterator<Item = &'a UserId>,
) -> Result<()> {
    users::none_unknown(outside(conn, app, team, ids)?)
}

/// Those of the users that do not exist, are deleted, or are outside the team.
pub(super) fn outside<'a>(
    conn: &Connection,
    app: AppId,
    team: Option<&Team>,
    ids: impl IntoIterator<Item = &'a UserId>,
) -> Result<Vec<UserId>> {
    let mut user = conn
        .prepare_cached("select teams from users where app = ?1 and user_id = ?2 and deleted_at is null")?;
    let mut outside = Vec::new();
    for id in ids {
        let teams = user
            .query_row(params![app.0, id.as_str()], |row| Ok(row.get::<_, Json<Vec<Team>>>(0)?.0))
            .optional()?;
        let inside = teams.is_some_and(|teams| covers(&teams, team));
        if !inside && !outside.contains(id) {
            outside.push(id.clone());
        }
    }
    Ok(outside)
}

/// A user's teams are others than before: memberships that they no longer cover end.
pub(super) fn changed(tx: &Tx<'_>, app: AppId, before: &[Team], user: &User, now: Timestamp) -> Result<()> {
    index(tx, app, &user.id, before, &user.teams)?;
    let mut statement = tx.prepare_cached(
        "select channels.id, channels.cid from members join channels on channels.id = members.channel
         where members.app = ?1 and members.user_id = ?2
           and case when channels.team is null then ?3 <> '[]'
                    else channels.team not in (select value from json_each(?3)) end
         order by members.id",
    )?;
    let rows = statement.query_map(params![app.0, user.id.as_str(), json(&user.teams)?], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, Parsed<Cid>>(1)?.0))
    })?;
    for (id, cid) in readable(rows, "channel")? {
        members::remove(tx, &members::Channel { app, cid: &cid, id }, &user.id, now)?;
    }
    Ok(())
}

/// Keeps who is in which team, so that those of a team are found without looking at all.
pub(super) fn index(tx: &Tx<'_>, app: AppId, user: &UserId, before: &[Team], after: &[Team]) -> Result<()> {
    for left in before.iter().filter(|team| !after.contains(team)) {
        tx.prepare_cached("delete from user_teams where app = ?1 and team = ?2 and user_id = ?3")?
            .execute(params![app.0, left.as_str(), user.as_str()])?;
    }
    for joined in after.iter().filter(|team| !before.contains(team)) {
        tx.prepare_cached("insert into user_teams (app, team, user_id) values (?1, ?2, ?3)")?
            .execute(params![app.0, joined.as_str(), user.as_str()])?;
    }
    Ok(())
}
