//! All that is stored of a user, as lines of JSON.

use parlour_wire::tasks::ExportLine;
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use super::super::column::{Count, Parsed, Time, json, readable};
use super::super::events::Tx;
use super::super::messages::Eyes;
use super::super::{devices, members, messages, relations, users};
use super::{DEALT_WITH, Open, Reached, Stretch};
use crate::{Result, StoreError};

/// Where the work is: in which part of the output, and in what.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct Place {
    part: u64,
    #[serde(flatten)]
    next: Next,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(tag = "at", rename_all = "snake_case")]
enum Next {
    Memberships { after: i64 },
    Messages { left: Stretch },
}

/// What one step writes.
pub(in super::super) struct Step {
    part: u64,
    lines: Vec<ExportLine>,
    next: Option<Next>,
}

pub(super) fn plan(conn: &Connection, task: &Open, place: Option<Place>) -> Result<Step> {
    let (lines, next) = match place.map(|place| place.next) {
        None => itself(conn, task)?,
        Some(Next::Memberships { after }) => memberships(conn, task, after)?,
        Some(Next::Messages { left }) => said(conn, task, left)?,
    };
    Ok(Step { part: place.map_or(0, |place| place.part), lines, next })
}

type Found = (Vec<ExportLine>, Option<Next>);

fn itself(conn: &Connection, task: &Open) -> Result<Found> {
    let user = users::find(conn, task.app, &task.user)?.ok_or(StoreError::NotFound)?;
    let devices = devices::of_user(conn, task.app, &task.user)?;
    let devices = devices.into_iter().map(|device| ExportLine::Device { device });
    let mutes = relations::mutes(conn, task.app, &task.user, user.created_at)?;
    let mutes = mutes.into_iter().map(|mute| ExportLine::Mute { mute });
    let blocks = relations::blocks(conn, task.app, &task.user)?;
    let blocks = blocks.into_iter().map(|block| ExportLine::Block { block });
    let lines =
        std::iter::once(ExportLine::User { user }).chain(devices).chain(mutes).chain(blocks).collect();
    Ok((lines, Some(Next::Memberships { after: 0 })))
}

fn memberships(conn: &Connection, task: &Open, after: i64) -> Result<Found> {
    let mut statement = conn.prepare_cached(
        "select members.id, members.channel, channels.cid, members.last_read_seq, members.last_read_at
         from members join channels on channels.id = members.channel
         where members.app = ?1 and members.user_id = ?2 and members.id > ?3 order by members.id limit ?4",
    )?;
    let values = params![task.app.0, task.user.as_str(), after, DEALT_WITH as i64];
    let rows = statement.query_map(values, |row| {
        let read = parlour_wire::reads::Read {
            user_id: task.user.clone(),
            last_read_seq: row.get::<_, Count>(3)?.0,
            last_read_at: row.get::<_, Time>(4)?.0,
        };
        Ok((
            row.get::<_, i64>(0)?,
            row.get::<_, i64>(1)?,
            row.get::<_, Parsed<parlour_wire::Cid>>(2)?.0,
            read,
        ))
    })?;
    let found = readable(rows, "membership")?;
    let next = match found.last() {
        Some((last, ..)) if found.len() == DEALT_WITH => Next::Memberships { after: *last },
        _ => Next::Messages { left: Stretch::all(conn)? },
    };
    let mut lines = Vec::with_capacity(found.len() * 2);
    for (_, channel, cid, read) in found {
        if let Some(row) = members::find(conn, channel, &task.user)? {
            lines.push(ExportLine::Membership { cid: cid.clone(), membership: row.member });
            lines.push(ExportLine::Read { cid, read });
        }
    }
    Ok((lines, Some(next)))
}

fn said(conn: &Connection, task: &Open, left: Stretch) -> Result<Found> {
    let (rows, left) = left.next(conn, task.app, &task.user)?;
    // As it sees them itself: what is exported may be handed to it.
    let eyes = Eyes::User(&task.user);
    let mut lines = Vec::with_capacity(rows.len());
    for row in rows {
        if let Some(message) = messages::at(conn, row.channel, &row.cid, row.seq, eyes)? {
            lines.push(ExportLine::Message { message: Box::new(message) });
        }
    }
    Ok((lines, left.map(|left| Next::Messages { left })))
}

pub(super) fn apply(tx: &Tx<'_>, task: &Open, step: &Step) -> Result<Reached<Place>> {
    let Step { part, lines, next } = step;
    let (part, next) = (*part, *next);
    let mut body = String::new();
    for line in lines {
        body.push_str(&json(line)?);
        body.push('\n');
    }
    // A part without lines is not written, and has no number.
    if !body.is_empty() {
        tx.prepare_cached("insert into task_output (task, part, body) values (?1, ?2, ?3)")?
            .execute(params![task.id, Count(part), body])?;
    }
    let percent = match next {
        Some(Next::Messages { left }) => left.percent(),
        Some(Next::Memberships { .. }) => 0,
        None => 99,
    };
    let part = part + u64::from(!body.is_empty());
    Ok(Reached { place: next.map(|next| Place { part, next }), done: lines.len() as u64, percent })
}
