//! Users: their rows, and the three ways in which their fields change.

use std::collections::BTreeMap;

use parlour_wire::users::{Me, PrivacySettings, Role, USER_BYTES_LIMIT, User, UserBrief};
use parlour_wire::{Team, Timestamp, Topic, UserId};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::Value;

use super::column::{Json, Parsed, Time, json, json_within, readable};
use super::events::{Entry, Tx};
use super::{devices, lives, reads, relations, teams};
use crate::{AppId, Result, StoreError, UserChange, UserWrite};

/// The columns that [`read`] reads, and how many devices the user has.
macro_rules! user_columns {
    () => {
        "users.user_id, users.role, users.teams, users.fields, users.created_at, users.updated_at,
         users.last_active, users.deactivated_at, users.deleted_at, users.devices"
    };
}
pub(super) use user_columns;

/// The same of users, completed by a condition.
macro_rules! select_user {
    ($rest:literal) => {
        concat!("select ", user_columns!(), " from users ", $rest)
    };
}
pub(super) use select_user;

/// The user, if it exists, and how many devices it has.
pub(super) fn find_with_devices(
    conn: &Connection,
    app: AppId,
    id: &UserId,
) -> rusqlite::Result<Option<(User, u32)>> {
    conn.prepare_cached(select_user!("where app = ?1 and user_id = ?2"))?
        .query_row(params![app.0, id.as_str()], |row| Ok((read(row)?, row.get(9)?)))
        .optional()
}

/// How many devices the user has.
pub(super) fn devices(conn: &Connection, app: AppId, id: &UserId) -> Result<u32> {
    Ok(find_with_devices(conn, app, id)?.map_or(0, |(_, devices)| devices))
}

/// The user, if it exists. `online` is false: presence is not stored.
pub(super) fn find(conn: &Connection, app: AppId, id: &UserId) -> rusqlite::Result<Option<User>> {
    conn.prepare_cached(select_user!("where app = ?1 and user_id = ?2"))?
        .query_row(params![app.0, id.as_str()], read)
        .optional()
}

pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<User> {
    read_at(row, 0)
}

/// The same where its columns begin at this one.
pub(super) fn read_at(row: &Row<'_>, first: usize) -> rusqlite::Result<User> {
    let time =
        |at: usize| Ok::<_, rusqlite::Error>(row.get::<_, Option<Time>>(first + at)?.map(|Time(at)| at));
    Ok(User {
        id: row.get::<_, Parsed<UserId>>(first)?.0,
        role: Role::from(row.get_ref(first + 1)?.as_str()?),
        teams: row.get::<_, Json<Vec<Team>>>(first + 2)?.0,
        custom: row.get::<_, Json<BTreeMap<String, Value>>>(first + 3)?.0,
        created_at: row.get::<_, Time>(first + 4)?.0,
        updated_at: row.get::<_, Time>(first + 5)?.0,
        last_active: time(6)?,
        deactivated_at: time(7)?,
        deleted_at: time(8)?,
        online: false,
        away: false,
    })
}

/// What stands of the user beside messages and members: at these columns `name` and `image`.
pub(super) fn brief_at(row: &Row<'_>, id: UserId, name: usize, image: usize) -> rusqlite::Result<UserBrief> {
    Ok(UserBrief { id, name: row.get(name)?, image: row.get(image)? })
}

/// The few fields of a user; of one that is not there, its id.
pub(super) fn brief(conn: &Connection, app: AppId, id: &UserId) -> rusqlite::Result<UserBrief> {
    let found = conn
        .prepare_cached("select name, image from users where app = ?1 and user_id = ?2")?
        .query_row(params![app.0, id.as_str()], |row| brief_at(row, id.clone(), 0, 1))
        .optional()?;
    Ok(found.unwrap_or_else(|| UserBrief { id: id.clone(), name: None, image: None }))
}

/// The few fields of a user who lets others see what it has read.
pub(super) fn brief_with_receipts(
    conn: &Connection,
    app: AppId,
    id: &UserId,
) -> rusqlite::Result<Option<UserBrief>> {
    conn.prepare_cached("select name, image from users where app = ?1 and user_id = ?2 and receipts > 0")?
        .query_row(params![app.0, id.as_str()], |row| brief_at(row, id.clone(), 0, 1))
        .optional()
}

/// Whether the user lets others see what it has read.
pub(super) fn shows_receipts(conn: &Connection, app: AppId, id: &UserId) -> Result<bool> {
    let receipts = conn
        .prepare_cached("select receipts > 0 from users where app = ?1 and user_id = ?2")?
        .query_row(params![app.0, id.as_str()], |row| row.get(0))
        .optional()?;
    Ok(receipts.unwrap_or(true))
}

/// The user's privacy settings. What is no such object counts as absent.
pub(super) fn privacy(fields: &BTreeMap<String, Value>) -> PrivacySettings {
    let settings = fields.get("privacy_settings").cloned().unwrap_or_default();
    serde_json::from_value(settings).unwrap_or_default()
}

/// The user as it sees itself.
pub(super) fn me(conn: &Connection, app: AppId, id: &UserId, now: Timestamp) -> Result<Option<Me>> {
    let Some((user, devices)) = find_with_devices(conn, app, id)? else { return Ok(None) };
    let unread = reads::totals(conn, app, id)?;
    Ok(Some(Me {
        total_unread_count: unread.total_unread_count,
        unread_channels: unread.unread_channels,
        mutes: relations::muted(conn, app, id, now)?,
        devices: devices::shown(conn, app, id, devices)?,
        user,
    }))
}

/// Fails with those of the users that do not exist.
pub(super) fn must_exist<'a>(
    conn: &Connection,
    app: AppId,
    ids: impl IntoIterator<Item = &'a UserId>,
) -> Result<()> {
    none_unknown(unknown(conn, app, ids)?)
}

/// Those of the users that do not exist.
pub(super) fn unknown<'a>(
    conn: &Connection,
    app: AppId,
    ids: impl IntoIterator<Item = &'a UserId>,
) -> Result<Vec<UserId>> {
    let mut exists = conn.prepare_cached("select 1 from users where app = ?1 and user_id = ?2")?;
    let mut unknown = Vec::new();
    for id in ids {
        if !exists.exists(params![app.0, id.as_str()])? && !unknown.contains(id) {
            unknown.push(id.clone());
        }
    }
    Ok(unknown)
}

/// Fails with whoever is not known.
pub(super) fn none_unknown(unknown: Vec<UserId>) -> Result<()> {
    if unknown.is_empty() { Ok(()) } else { Err(StoreError::UnknownUsers(unknown)) }
}

/// Stores a new user with these fields.
pub(super) fn insert(tx: &Tx<'_>, app: AppId, user: &User) -> Result<()> {
    let Derived { name, image, shows_reads, invisible } = derived(&user.custom);
    tx.prepare_cached(
        "insert into users (app, user_id, role, teams, fields, name, image, receipts, created_at, updated_at,
                            last_active, invisible)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?
    .execute(params![
        app.0,
        user.id.as_str(),
        user.role.as_str(),
        json(&user.teams)?,
        fields_text(&user.custom)?,
        name,
        image,
        shows_reads,
        Time(user.created_at),
        Time(user.updated_at),
        user.last_active.map(Time),
        invisible,
    ])?;
    teams::index(tx, app, &user.id, &[], &user.teams)
}

/// Stores what has changed of a user since `before`, and tells it.
pub(super) fn update(tx: &Tx<'_>, app: AppId, before: &User, user: &User) -> Result<()> {
    let Derived { name, image, shows_reads, invisible } = derived(&user.custom);
    // From hidden to shown is the next time of being shown; what was so before goes on.
    tx.prepare_cached(
        "update users set role = ?3, teams = ?4, fields = ?5, name = ?6, image = ?7,
                          receipts = case when ?8 then max(receipts, 1 - receipts)
                                          else min(receipts, -receipts) end,
                          updated_at = ?9, invisible = ?10
         where app = ?1 and user_id = ?2",
    )?
    .execute(params![
        app.0,
        user.id.as_str(),
        user.role.as_str(),
        json(&user.teams)?,
        fields_text(&user.custom)?,
        name,
        image,
        shows_reads,
        Time(user.updated_at),
        invisible,
    ])?;
    tx.log(app, Topic::User(user.id.clone()), &Entry::user_updated(), user.updated_at)?;
    if user.teams != before.teams {
        teams::changed(tx, app, &before.teams, user, user.updated_at)?;
    }
    Ok(())
}

/// The user's own fields as they are stored, if they are smaller than the limit.
fn fields_text(fields: &BTreeMap<String, Value>) -> Result<String> {
    json_within(fields, USER_BYTES_LIMIT - 1).map_err(|error| match error {
        StoreError::TooLarge { bytes, .. } => StoreError::TooLarge { bytes, limit: USER_BYTES_LIMIT },
        other => other,
    })
}

/// The columns that are taken from the fields, so that no row has to be opened for them.
struct Derived<'a> {
    name: Option<&'a str>,
    image: Option<&'a str>,
    shows_reads: bool,
    invisible: bool,
}

fn derived(fields: &BTreeMap<String, Value>) -> Derived<'_> {
    let text = |key: &str| fields.get(key).and_then(Value::as_str);
    Derived {
        name: text("name"),
        image: text("image"),
        shows_reads: privacy(fields).read_receipts.is_none_or(|setting| setting.enabled),
        invisible: is_invisible(fields),
    }
}

/// Whether the user wishes to be seen by nobody.
pub(super) fn is_invisible(fields: &BTreeMap<String, Value>) -> bool {
    fields.get("invisible") == Some(&Value::Bool(true))
}

/// See [`crate::Store::upsert_users`].
pub(super) fn upsert(tx: &Tx<'_>, app: AppId, writes: Vec<UserWrite>, now: Timestamp) -> Result<Vec<User>> {
    writes.into_iter().map(|write| replace(tx, app, write, now)).collect()
}

fn replace(tx: &Tx<'_>, app: AppId, write: UserWrite, now: Timestamp) -> Result<User> {
    let before = find(tx, app, &write.id)?;
    before.as_ref().map_or(Ok(()), lives::must_not_be_deleted)?;
    let mut user = before.clone().unwrap_or_else(|| User::new(write.id, now));
    user.custom = write.fields;
    user.role = write.role.unwrap_or(user.role);
    user.teams = write.teams.unwrap_or(user.teams);
    match before {
        None => insert(tx, app, &user)?,
        Some(before) if before != user => {
            user.updated_at = now.max(user.updated_at);
            update(tx, app, &before, &user)?;
        }
        Some(_) => {}
    }
    Ok(user)
}

/// See [`crate::Store::update_user`].
pub(super) fn change(
    tx: &Tx<'_>,
    app: AppId,
    id: &UserId,
    change: UserChange,
    now: Timestamp,
) -> Result<User> {
    let before = find(tx, app, id)?.ok_or(StoreError::NotFound)?;
    lives::must_not_be_deleted(&before)?;
    let mut user = before.clone();
    user.custom.extend(change.set);
    user.custom.retain(|key, _| !change.unset.contains(key));
    user.role = change.role.unwrap_or(user.role);
    user.teams = change.teams.unwrap_or(user.teams);
    if user != before {
        user.updated_at = now.max(user.updated_at);
        update(tx, app, &before, &user)?;
    }
    Ok(user)
}

/// See [`crate::Store::users`].
pub(super) fn list(conn: &Connection, app: AppId, ids: &[UserId]) -> Result<Vec<User>> {
    let mut statement = conn.prepare_cached(select_user!(
        "join json_each(?2) as asked on users.app = ?1 and users.user_id = asked.value order by asked.key"
    ))?;
    readable(statement.query_map(params![app.0, json(&ids)?], read)?, "user")
}

/// See [`crate::Store::friends`].
pub(super) fn friends(conn: &Connection, app: AppId, id: &UserId) -> Result<Vec<UserId>> {
    let mut statement = conn.prepare_cached(
        "select distinct other.user_id
         from members as own
         join channels on channels.id = own.channel and channels.channel_id glob '!*'
         join members as other on other.channel = own.channel and other.user_id <> ?2
         where own.app = ?1 and own.user_id = ?2
           and not exists (
             select 1 from blocks
             where blocks.app = ?1
               and (blocks.user_id = ?2 and blocks.target = other.user_id
                    or blocks.user_id = other.user_id and blocks.target = ?2))
         order by other.user_id",
    )?;
    let friends =
        statement.query_map(params![app.0, id.as_str()], |row| Ok(row.get::<_, Parsed<UserId>>(0)?.0))?;
    readable(friends, "member")
}
