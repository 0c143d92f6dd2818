//! Channels: made, changed, shown, deleted.

use std::collections::{BTreeMap, BTreeSet};

use parlour_wire::channels::{CHANNEL_BYTES_MAX, Channel, ChannelState};
use parlour_wire::members::ChannelRole;
use parlour_wire::{Cid, Seq, Team, Timestamp, Topic, UserId};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::Value;

use super::column::{Count, Json, Parsed, Time, json_within};
use super::events::{self, Entry, Tx};
use super::messages::Eyes;
use super::{bans, members, messages, reads, teams, users};
use crate::{AppId, ChannelAccess, ChannelStanding, NewChannel, Page, Result, StoreError};

/// Members, and read positions, that come with a channel's state.
const MEMBERS_SHOWN: u32 = 100;

/// A channel and its row.
pub(super) struct Found {
    pub(super) id: i64,
    pub(super) head: Seq,
    pub(super) channel: Channel,
}

/// The columns that [`read`] reads; completed by a condition.
macro_rules! select_channel {
    ($rest:literal) => {
        concat!(
            "select channels.id, topics.head, channels.cid, channels.created_by, channels.created_at,
                    channels.updated_at, channels.last_message_at, channels.member_count, channels.data,
                    users.name, users.image, channels.team
             from channels
             join topics on topics.id = channels.id
             left join users on users.app = channels.app and users.user_id = channels.created_by ",
            $rest
        )
    };
}
pub(super) use select_channel;

pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Found> {
    let cid: Cid = row.get::<_, Parsed<Cid>>(2)?.0;
    let created_by = match row.get::<_, Option<Parsed<UserId>>>(3)? {
        Some(Parsed(user)) => Some(users::brief_at(row, user, 9, 10)?),
        None => None,
    };
    Ok(Found {
        id: row.get(0)?,
        head: row.get::<_, Count>(1)?.0,
        channel: Channel {
            team: row.get::<_, Option<Parsed<Team>>>(11)?.map(|Parsed(team)| team),
            channel_type: cid.channel_type.clone(),
            id: cid.id.clone(),
            cid,
            created_by,
            created_at: row.get::<_, Time>(4)?.0,
            updated_at: row.get::<_, Time>(5)?.0,
            last_message_at: row.get::<_, Option<Time>>(6)?.map(|Time(at)| at),
            member_count: row.get::<_, Count>(7)?.0,
            custom: row.get::<_, Json<BTreeMap<String, Value>>>(8)?.0,
        },
    })
}

/// The channel, if it exists.
pub(super) fn find(conn: &Connection, app: AppId, cid: &Cid) -> rusqlite::Result<Option<Found>> {
    conn.prepare_cached(select_channel!("where channels.app = ?1 and channels.cid = ?2"))?
        .query_row(params![app.0, cid.to_string()], read)
        .optional()
}

/// The channel's row, if it exists.
pub(super) fn id(conn: &Connection, app: AppId, cid: &Cid) -> Result<Option<i64>> {
    let id = conn
        .prepare_cached("select id from channels where app = ?1 and cid = ?2")?
        .query_row(params![app.0, cid.to_string()], |row| row.get(0))
        .optional()?;
    Ok(id)
}

/// The channel's row.
pub(super) fn existing(conn: &Connection, app: AppId, cid: &Cid) -> Result<i64> {
    id(conn, app, cid)?.ok_or(StoreError::NotFound)
}

/// The last seq of a channel.
pub(super) fn head(conn: &Connection, channel: i64) -> Result<Seq> {
    let Count(head) = conn
        .prepare_cached("select head from topics where id = ?1")?
        .query_row([channel], |row| row.get(0))?;
    Ok(head)
}

/// See [`crate::Store::get_or_create_channel`].
pub(super) fn get_or_create(tx: &Tx<'_>, new: &NewChannel) -> Result<bool> {
    let NewChannel { app, cid, creator, members, team, data, now } = new;
    if id(tx, *app, cid)?.is_some() {
        return Ok(false);
    }
    users::must_exist(tx, *app, creator)?;
    let team = teams::of_new_channel(tx, *app, creator.as_ref(), team.as_ref())?;
    teams::must_be_inside(tx, *app, team.as_ref(), creator.iter().chain(members))?;
    let data = json_within(data, CHANNEL_BYTES_MAX)?;
    let topic = Topic::Channel(cid.clone());
    // Where a channel of this name was deleted, its topic goes on after its last seq, and what was said in
    // the old one stays unreadable: these are other people.
    let row = events::topic_or_new(tx, *app, &topic)?;
    events::raise_floor_to_head(tx, row.id)?;
    tx.prepare_cached(
        "insert into channels (id, app, cid, type, channel_id, created_by, data, created_at, updated_at, team)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, ?9)",
    )?
    .execute(params![
        row.id,
        app.0,
        cid.to_string(),
        cid.channel_type.as_str(),
        cid.id.as_str(),
        creator.as_ref().map(UserId::as_str),
        data,
        Time(*now),
        team.as_ref().map(Team::as_str),
    ])?;
    tx.log(*app, topic, &Entry::channel_created(), *now)?;
    let channel = members::Channel { app: *app, cid, id: row.id };
    if let Some(creator) = creator {
        members::add(tx, &channel, creator, ChannelRole::Owner, false, *now)?;
    }
    let mut seen: BTreeSet<_> = creator.iter().collect();
    for user in members {
        if seen.insert(user) {
            members::add(tx, &channel, user, ChannelRole::Member, false, *now)?;
        }
    }
    Ok(true)
}

/// See [`crate::Store::channel_access`].
pub(super) fn access(
    conn: &Connection,
    app: AppId,
    cid: &Cid,
    user: Option<&UserId>,
) -> Result<Option<ChannelAccess>> {
    let Some(found) = find(conn, app, cid)? else { return Ok(None) };
    // A channel that is named by its two members is what they have between them.
    let is_direct = cid.id.as_str().starts_with('!') && found.channel.member_count == 2;
    let (standing, membership) = match user {
        Some(user) => {
            let (standing, membership) = members::standing(conn, app, found.id, user, is_direct)?;
            (standing, membership)
        }
        None => (ChannelStanding::default(), None),
    };
    // Every member is inside; of who is none it matters only where a channel is open to others.
    let inside = match (user, &membership) {
        (Some(user), None) => teams::covers(&teams::of_user(conn, app, user)?, found.channel.team.as_ref()),
        (_, Some(_)) | (None, _) => true,
    };
    Ok(Some(ChannelAccess {
        standing,
        cid: cid.clone(),
        inside,
        created_by: found.channel.created_by.map(|user| user.id),
        membership,
        head: found.head,
        member_count: found.channel.member_count,
    }))
}

/// See [`crate::Store::channel_state`].
pub(super) fn state(
    conn: &Connection,
    app: AppId,
    cid: &Cid,
    viewer: Option<&UserId>,
    messages: u32,
) -> Result<ChannelState> {
    let found = find(conn, app, cid)?.ok_or(StoreError::NotFound)?;
    state_of(conn, app, found, viewer, messages)
}

/// The state of a channel that was found, as the viewer sees it.
pub(super) fn state_of(
    conn: &Connection,
    app: AppId,
    found: Found,
    viewer: Option<&UserId>,
    messages: u32,
) -> Result<ChannelState> {
    let Found { id, head, mut channel } = found;
    let own = match viewer {
        Some(viewer) => members::find(conn, id, viewer)?,
        None => None,
    };
    let hidden_up_to = own.as_ref().map_or(0, |row| row.member.hidden_up_to);
    let unread = match &own {
        Some(own) => {
            Some(reads::unread(conn, &channel.cid, id, head, &own.member.user_id, own.last_read_seq)?)
        }
        None => None,
    };
    let eyes = Eyes::of(viewer);
    let messages =
        messages::page(conn, app, &channel.cid, Page::Latest, messages, hidden_up_to, eyes)?.messages;
    // For who alone sees the last message, it was said then.
    channel.last_message_at = channel
        .last_message_at
        .max(messages.last().filter(|last| Some(&last.user.id) == viewer).map(|last| last.created_at));
    Ok(ChannelState {
        head,
        members: members::first(conn, id, 0, MEMBERS_SHOWN)?,
        messages,
        reads: reads::shown(conn, id, viewer, MEMBERS_SHOWN)?,
        // Who is connected is not known here.
        watchers: 0,
        membership: own.map(|row| row.member),
        unread,
        channel,
    })
}

/// See [`crate::Store::update_channel`].
pub(super) fn update(
    tx: &Tx<'_>,
    app: AppId,
    cid: &Cid,
    set: BTreeMap<String, Value>,
    unset: &[String],
    now: Timestamp,
) -> Result<()> {
    let Found { id, channel, .. } = find(tx, app, cid)?.ok_or(StoreError::NotFound)?;
    let mut data = channel.custom.clone();
    data.extend(set);
    data.retain(|key, _| !unset.contains(key));
    if data == channel.custom {
        return Ok(());
    }
    let data = json_within(&data, CHANNEL_BYTES_MAX)?;
    tx.prepare_cached("update channels set data = ?2, updated_at = max(updated_at, ?3) where id = ?1")?
        .execute(params![id, data, Time(now)])?;
    tx.log(app, Topic::Channel(cid.clone()), &Entry::channel_updated(), now)?;
    Ok(())
}

/// Deletes some of a channel's messages, the first ones, and tells nobody: the channel goes with them. Answers whether
/// none is left.
pub(super) fn empty_some(
    tx: &Tx<'_>,
    app: AppId,
    channel: i64,
    cid: &Cid,
    count: usize,
    now: Timestamp,
) -> Result<bool> {
    tx.prepare_cached(
        "insert or ignore into tombstones (app, message_id, cid, seq, sender, content, created_at, deleted_at)
         select ?1, message_id, ?3, seq, sender, content, created_at, ?4 from messages
         where channel = ?2 order by seq limit ?5",
    )?
    .execute(params![app.0, channel, cid.to_string(), Time(now), Count(count as u64)])?;
    let gone = tx
        .prepare_cached(
            "delete from messages where channel = ?1
               and seq in (select seq from messages where channel = ?1 order by seq limit ?2)",
        )?
        .execute(params![channel, Count(count as u64)])?;
    Ok(gone < count)
}

/// See [`crate::Store::delete_channel`].
pub(super) fn delete(tx: &Tx<'_>, app: AppId, cid: &Cid, now: Timestamp) -> Result<()> {
    let id = existing(tx, app, cid)?;
    let members = members::ids(tx, id)?;
    // A channel of the same name may be made again: no outbox may bring the old messages into it.
    tx.prepare_cached(
        "insert or ignore into tombstones (app, message_id, cid, seq, sender, content, created_at, deleted_at)
         select app, message_id, ?2, seq, sender, content, created_at, ?3 from messages where channel = ?1",
    )?
    .execute(params![id, cid.to_string(), Time(now)])?;
    // Nobody can read the channel from now on, so that its messages need not leave anything in their places.
    events::raise_floor_to_head(tx, id)?;
    tx.prepare_cached("delete from messages where channel = ?1")?.execute([id])?;
    tx.prepare_cached("delete from members where channel = ?1")?.execute([id])?;
    bans::forget_channel(tx, app, id)?;
    tx.prepare_cached("delete from channels where id = ?1")?.execute([id])?;
    tx.log(app, Topic::Channel(cid.clone()), &Entry::channel_deleted(), now)?;
    let cid = cid.to_string();
    for user in members {
        tx.log(app, Topic::User(user), &Entry::removed_from_channel(&cid), now)?;
    }
    Ok(())
}
