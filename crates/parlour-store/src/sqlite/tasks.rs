//! Work that takes long, in steps.
//!
//! A step looks up what is next on a reader, where it costs the writer nothing, and then does it in one write together
//! with noting how far it came: whatever ends the process, the next one goes on where this one was. What has changed in
//! between the two is not there any more, or is done the next time.

mod delete;
mod export;

use parlour_wire::error::ErrorBody;
use parlour_wire::tasks::{Task, TaskKind, TaskProgress, TaskStatus};
use parlour_wire::{Timestamp, UserId};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::column::{Count, Json, Parsed, Time, json, readable};
use super::events::Tx;
use super::{lives, users};
use crate::{AppId, Deleting, NewTask, Result, StoreError, TaskName, Work};

/// Rows of messages that one step looks through, whoever sent them.
const LOOKED_THROUGH: i64 = 20_000;
/// Messages, or memberships, that one step deals with: a few milliseconds of the writer.
const DEALT_WITH: usize = 100;
/// Parts of outputs that go in one transaction.
const PARTS_FORGOTTEN: u32 = 50;

macro_rules! select_task {
    ($rest:literal) => {
        concat!(
            "select task_id, kind, subject, status, percent, done, created_at, started_at, finished_at, error
             from tasks ",
            $rest
        )
    };
}

fn read(row: &Row<'_>) -> rusqlite::Result<Task> {
    let time = |at: usize| Ok::<_, rusqlite::Error>(row.get::<_, Option<Time>>(at)?.map(|Time(at)| at));
    let id: String = row.get(0)?;
    let kind = TaskKind::from(row.get_ref(1)?.as_str()?);
    let status = TaskStatus::from(row.get_ref(3)?.as_str()?);
    let has_result = kind == TaskKind::UserExport && status == TaskStatus::Completed;
    Ok(Task {
        result: has_result.then(|| format!("/v1/tasks/{id}/result")),
        id,
        kind,
        user_id: row.get::<_, Parsed<UserId>>(2)?.0,
        status,
        progress: TaskProgress { percent: row.get(4)?, done: row.get::<_, Count>(5)?.0 },
        created_at: row.get::<_, Time>(6)?.0,
        started_at: time(7)?,
        finished_at: time(8)?,
        error: row.get::<_, Option<Json<ErrorBody>>>(9)?.map(|Json(error)| error),
    })
}

/// See [`crate::Store::task`].
pub(super) fn one(conn: &Connection, app: AppId, id: &str) -> Result<Task> {
    conn.prepare_cached(select_task!("where app = ?1 and task_id = ?2"))?
        .query_row(params![app.0, id], read)
        .optional()?
        .ok_or(StoreError::NotFound)
}

/// See [`crate::Store::create_task`].
pub(super) fn create(tx: &Tx<'_>, new: &NewTask) -> Result<Task> {
    let NewTask { app, id, user, work, now } = new;
    let kind = match work {
        Work::Delete(Deleting { gone, .. }) => {
            lives::delete(tx, *app, user, *gone, *now)?;
            TaskKind::UserDelete
        }
        Work::Export => {
            users::find(tx, *app, user)?.ok_or(StoreError::NotFound)?;
            if lives::is_erased(tx, *app, user)? {
                return Err(StoreError::NotFound);
            }
            TaskKind::UserExport
        }
    };
    tx.prepare_cached(
        "insert into tasks (app, task_id, kind, subject, request, status, created_at)
         values (?1, ?2, ?3, ?4, ?5, 'waiting', ?6)",
    )?
    .execute(params![app.0, id, kind.as_str(), user.as_str(), json(work)?, Time(*now)])?;
    one(tx, *app, id)
}

/// See [`crate::Store::open_tasks`].
pub(super) fn open(conn: &Connection) -> Result<Vec<TaskName>> {
    let mut statement = conn.prepare_cached(
        "select app, min(id) from tasks indexed by tasks_open where finished_at is null group by app order by app",
    )?;
    let names = statement.query_map([], |row| Ok(TaskName { app: AppId(row.get(0)?), id: row.get(1)? }))?;
    readable(names, "task")
}

/// A task under way.
pub(super) struct Open {
    id: i64,
    app: AppId,
    user: UserId,
    done: u64,
}

/// What a step found to do.
pub(super) enum Plan {
    Delete(Open, delete::Step),
    Export(Open, export::Step),
}

/// Where a task is: its own place, and how much of it is behind it.
pub(super) struct Reached<P> {
    /// `None`: it is at its end.
    place: Option<P>,
    /// Dealt with in this step.
    done: u64,
    percent: u32,
}

/// A stretch of the messages of all channels, in the order of their rows.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Stretch {
    after: i64,
    until: i64,
}

impl Stretch {
    /// All that there are now.
    fn all(conn: &Connection) -> Result<Self> {
        let until = conn
            .prepare_cached("select coalesce(max(id), 0) from messages")?
            .query_row([], |row| row.get(0))?;
        Ok(Self { after: 0, until })
    }

    /// The rows of a sender's next messages, and what is left; `None`: nothing.
    fn next(self, conn: &Connection, app: AppId, sender: &UserId) -> Result<(Vec<MessageRow>, Option<Self>)> {
        let end = self.until.min(self.after.saturating_add(LOOKED_THROUGH));
        let mut statement = conn.prepare_cached(
            "select messages.id, messages.channel, messages.seq, channels.cid, messages.message_id
             from messages join channels on channels.id = messages.channel
             where messages.id > ?1 and messages.id <= ?2 and messages.app = ?3 and messages.sender = ?4
             order by messages.id limit ?5",
        )?;
        let rows = statement.query_map(
            params![self.after, end, app.0, sender.as_str(), DEALT_WITH as i64],
            |row| {
                Ok(MessageRow {
                    row: row.get(0)?,
                    channel: row.get(1)?,
                    seq: row.get::<_, Count>(2)?.0,
                    cid: row.get::<_, Parsed<_>>(3)?.0,
                    id: row.get::<_, Parsed<_>>(4)?.0,
                })
            },
        )?;
        let found: Vec<MessageRow> = readable(rows, "message")?;
        let after = match found.last() {
            Some(last) if found.len() == DEALT_WITH => last.row,
            _ => end,
        };
        let left = (after < self.until).then_some(Self { after, until: self.until });
        Ok((found, left))
    }

    fn percent(self) -> u32 {
        let share = i128::from(self.after) * 100 / i128::from(self.until.max(1));
        u32::try_from(share.clamp(0, 99)).unwrap_or(99)
    }
}

pub(super) struct MessageRow {
    row: i64,
    channel: i64,
    seq: parlour_wire::Seq,
    cid: parlour_wire::Cid,
    id: parlour_wire::MessageId,
}

/// Finds out what is next. `None`: the task is finished, or gone.
pub(super) fn plan(conn: &Connection, name: TaskName) -> Result<Option<Plan>> {
    let found = conn
        .prepare_cached(
            "select subject, request, place, done from tasks where id = ?1 and finished_at is null",
        )?
        .query_row([name.id], |row| {
            Ok((
                row.get::<_, Parsed<UserId>>(0)?.0,
                row.get::<_, Json<Work>>(1)?.0,
                row.get::<_, Option<String>>(2)?,
                row.get::<_, Count>(3)?.0,
            ))
        })
        .optional()?;
    let Some((user, work, place, done)) = found else { return Ok(None) };
    let task = Open { id: name.id, app: name.app, user, done };
    Ok(Some(match work {
        Work::Delete(how) => {
            let step = delete::plan(conn, &task, how, place_of(place)?)?;
            Plan::Delete(task, step)
        }
        Work::Export => {
            let step = export::plan(conn, &task, place_of(place)?)?;
            Plan::Export(task, step)
        }
    }))
}

fn place_of<P: DeserializeOwned>(text: Option<String>) -> Result<Option<P>> {
    text.map(|text| {
        serde_json::from_str(&text).map_err(|e| StoreError::Backend(format!("a task's place: {e}")))
    })
    .transpose()
}

/// Does it, and notes it.
pub(super) fn apply(tx: &Tx<'_>, plan: &Plan, now: Timestamp) -> Result<()> {
    match plan {
        Plan::Delete(task, step) => {
            let reached = delete::apply(tx, task, step, now)?;
            note(tx, task, &reached, now)
        }
        Plan::Export(task, step) => {
            let reached = export::apply(tx, task, step)?;
            note(tx, task, &reached, now)
        }
    }
}

fn note<P: Serialize>(tx: &Tx<'_>, task: &Open, reached: &Reached<P>, now: Timestamp) -> Result<()> {
    let is_finished = reached.place.is_none();
    tx.prepare_cached(
        "update tasks set status = ?2, place = ?3, done = ?4, percent = ?5, started_at = coalesce(started_at, ?6),
                          finished_at = ?7
         where id = ?1",
    )?
    .execute(params![
        task.id,
        if is_finished { TaskStatus::Completed } else { TaskStatus::Running }.as_str(),
        reached.place.as_ref().map(json).transpose()?,
        Count(task.done + reached.done),
        if is_finished { 100 } else { reached.percent.min(99) },
        Time(now),
        is_finished.then_some(Time(now)),
    ])?;
    Ok(())
}

/// See [`crate::Store::fail_task`].
pub(super) fn fail(tx: &Tx<'_>, name: TaskName, error: &ErrorBody, now: Timestamp) -> Result<()> {
    tx.prepare_cached(
        "update tasks set status = 'failed', error = ?2, started_at = coalesce(started_at, ?3), finished_at = ?3
         where id = ?1 and finished_at is null",
    )?
    .execute(params![name.id, json(error)?, Time(now)])?;
    Ok(())
}

/// See [`crate::Store::task_output`].
pub(super) fn output(conn: &Connection, app: AppId, id: &str, part: u64) -> Result<Option<String>> {
    let body = conn
        .prepare_cached(
            "select body from task_output join tasks on tasks.id = task_output.task
             where app = ?1 and task_id = ?2 and part = ?3",
        )?
        .query_row(params![app.0, id, Count(part)], |row| row.get(0))
        .optional()?;
    Ok(body)
}

/// Forgets some of what finished before a time; answers whether there may be more.
pub(super) fn forget(tx: &Tx<'_>, before: Timestamp) -> Result<bool> {
    let parts = tx
        .prepare_cached(
            "delete from task_output where (task, part) in (
               select task, part from task_output join tasks on tasks.id = task_output.task
               where tasks.finished_at < ?1 limit ?2)",
        )?
        .execute(params![Time(before), PARTS_FORGOTTEN])?;
    if parts == PARTS_FORGOTTEN as usize {
        return Ok(true);
    }
    tx.prepare_cached("delete from tasks where finished_at < ?1")?.execute([Time(before)])?;
    Ok(false)
}
