//! What a deleted user leaves behind: its messages, and where it goes for good its channels and memberships.

use parlour_wire::Timestamp;
use parlour_wire::tasks::{ChannelsOfDeleted, MessagesOfDeleted};
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use super::super::column::{Count, Parsed};
use super::super::events::Tx;
use super::super::{channels, lives, members, messages};
use super::{MessageRow, Open, Reached, Stretch};
use crate::{Deleting, Deletion, Gone, Result, StoreError};

/// Memberships that one step ends.
const ENDED: usize = 20;
/// With nobody but the user and one other, a channel is theirs alone.
const DIRECT_MEMBERS: u64 = 2;

/// Where the work is.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(tag = "at", rename_all = "snake_case")]
pub(in super::super) enum Place {
    Messages { left: Stretch },
    Memberships,
}

/// What one step does.
pub(in super::super) enum Step {
    Messages {
        deletion: Deletion,
        rows: Vec<MessageRow>,
        next: Option<Place>,
    },
    Memberships {
        rows: Vec<Membership>,
    },
    /// Nothing is left but the user itself.
    Erase,
    /// Nothing is left to do.
    End,
}

pub(in super::super) struct Membership {
    channel: i64,
    cid: parlour_wire::Cid,
    /// Whether the channel goes with the user.
    is_doomed: bool,
}

pub(super) fn plan(conn: &Connection, task: &Open, how: Deleting, place: Option<Place>) -> Result<Step> {
    let deletion = match how.messages {
        MessagesOfDeleted::Soft => Some(Deletion::Soft),
        MessagesOfDeleted::Hard => Some(Deletion::Hard),
        MessagesOfDeleted::Keep | MessagesOfDeleted::Unknown(_) => None,
    };
    let stretch = match place {
        None => Some(Stretch::all(conn)?),
        Some(Place::Messages { left }) => Some(left),
        Some(Place::Memberships) => None,
    };
    let after_messages = (how.gone == Gone::ForGood).then_some(Place::Memberships);
    if let (Some(deletion), Some(stretch)) = (deletion, stretch) {
        let (rows, left) = stretch.next(conn, task.app, &task.user)?;
        let next = left.map(|left| Place::Messages { left }).or(after_messages);
        return Ok(Step::Messages { deletion, rows, next });
    }
    if how.gone == Gone::Restorably {
        return Ok(Step::End);
    }
    let rows = memberships(conn, task, how.channels == ChannelsOfDeleted::Direct)?;
    Ok(if rows.is_empty() { Step::Erase } else { Step::Memberships { rows } })
}

fn memberships(conn: &Connection, task: &Open, direct_too: bool) -> Result<Vec<Membership>> {
    let mut statement = conn.prepare_cached(
        "select channels.id, channels.cid, channels.member_count
         from members join channels on channels.id = members.channel
         where members.app = ?1 and members.user_id = ?2 order by members.id limit ?3",
    )?;
    let rows = statement.query_map(params![task.app.0, task.user.as_str(), ENDED as i64], |row| {
        let Count(count) = row.get(2)?;
        let is_doomed = direct_too && count <= DIRECT_MEMBERS;
        Ok(Membership { channel: row.get(0)?, cid: row.get::<_, Parsed<_>>(1)?.0, is_doomed })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn apply(tx: &Tx<'_>, task: &Open, step: &Step, now: Timestamp) -> Result<Reached<Place>> {
    match step {
        Step::Messages { deletion, rows, next } => {
            for MessageRow { cid, id, .. } in rows {
                match messages::delete(tx, task.app, cid, id, *deletion, now) {
                    // Somebody else deleted it, or its channel, in between.
                    Ok(()) | Err(StoreError::NotFound) => {}
                    Err(error) => return Err(error),
                }
            }
            let percent = match next {
                Some(Place::Messages { left }) => left.percent(),
                Some(Place::Memberships) | None => 99,
            };
            Ok(Reached { place: *next, done: rows.len() as u64, percent })
        }
        Step::Memberships { rows } => {
            let mut done = 0;
            for Membership { channel, cid, is_doomed } in rows {
                if channels::id(tx, task.app, cid)? != Some(*channel) {
                    continue;
                }
                if !*is_doomed {
                    members::remove(
                        tx,
                        &members::Channel { app: task.app, cid, id: *channel },
                        &task.user,
                        now,
                    )?;
                } else if channels::empty_some(tx, task.app, *channel, cid, super::DEALT_WITH, now)? {
                    channels::delete(tx, task.app, cid, now)?;
                } else {
                    // Its messages are too many for one step: the rest comes in the next.
                    break;
                }
                done += 1;
            }
            Ok(Reached { place: Some(Place::Memberships), done, percent: 99 })
        }
        Step::Erase => {
            lives::erase(tx, task.app, &task.user)?;
            Ok(Reached { place: None, done: 0, percent: 100 })
        }
        Step::End => Ok(Reached { place: None, done: 0, percent: 100 }),
    }
}
