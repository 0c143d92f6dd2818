//! What users told the moderators of.

use parlour_wire::moderation::Flag;
use parlour_wire::{Cid, MessageId, Timestamp, UserId};
use rusqlite::{Connection, params};

use super::bans::cut;
use super::column::{Count, Parsed, Time, is_of_one_row, readable};
use super::events::Tx;
use super::messages::{self, Eyes};
use super::{channels, users};
use crate::{AppId, Flagged, NewFlag, Result};

/// See [`crate::Store::flag`]. What the same reporter flagged before stays as it was.
pub(super) fn raise(tx: &Tx<'_>, new: &NewFlag) -> Result<Flag> {
    let NewFlag { app, reporter, flagged, reason, now } = new;
    let (target, channel, cid, message_id) = match flagged {
        Flagged::User(user) => (user.clone(), 0, None, None),
        Flagged::Message { cid, id } => {
            let channel = channels::existing(tx, *app, cid)?;
            let message = messages::one(tx, *app, cid, id, Eyes::User(reporter))?;
            (message.user.id, channel, Some(cid.clone()), Some(id.clone()))
        }
    };
    users::must_exist(tx, *app, [reporter, &target])?;
    let message = message_id.as_ref().map_or("", MessageId::as_str);
    tx.prepare_cached(
        "insert or ignore into flags (app, reporter, target, channel, message_id, reason, created_at)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        app.0,
        reporter.as_str(),
        target.as_str(),
        channel,
        message,
        reason,
        Time(*now)
    ])?;
    let (reason, created_at) = tx
        .prepare_cached(
            "select reason, created_at from flags
             where app = ?1 and reporter = ?2 and target = ?3 and channel = ?4 and message_id = ?5",
        )?
        .query_row(params![app.0, reporter.as_str(), target.as_str(), channel, message], |row| {
            Ok((row.get(0)?, row.get::<_, Time>(1)?.0))
        })?;
    Ok(Flag {
        reporter: users::brief(tx, *app, reporter)?,
        user: users::brief(tx, *app, &target)?,
        cid,
        message_id,
        message: None,
        reason,
        created_at,
    })
}

/// A flag's row, before it is known what became of what it is about.
struct Raised {
    reporter: UserId,
    target: UserId,
    channel: i64,
    cid: Option<Cid>,
    message_id: Option<MessageId>,
    reason: Option<String>,
    created_at: Timestamp,
}

/// See [`crate::Store::flags`].
pub(super) fn page(
    conn: &Connection,
    app: AppId,
    cid: Option<&Cid>,
    before: Option<i64>,
    limit: u32,
) -> Result<(Vec<Flag>, Option<i64>)> {
    let channel = cid.map(|cid| channels::existing(conn, app, cid)).transpose()?;
    let mut statement = conn.prepare_cached(
        "select flags.id, reporter, target, flags.channel, channels.cid, nullif(message_id, ''), reason,
                flags.created_at
         from flags left join channels on channels.id = flags.channel
         where flags.app = ?1 and (?2 is null or flags.channel = ?2) and (?3 is null or flags.id < ?3)
         order by flags.id desc limit ?4",
    )?;
    let rows = statement.query_map(params![app.0, channel, before, Count(u64::from(limit) + 1)], |row| {
        let raised = Raised {
            reporter: row.get::<_, Parsed<UserId>>(1)?.0,
            target: row.get::<_, Parsed<UserId>>(2)?.0,
            channel: row.get(3)?,
            cid: row.get::<_, Option<Parsed<Cid>>>(4)?.map(|Parsed(cid)| cid),
            message_id: row.get::<_, Option<Parsed<MessageId>>>(5)?.map(|Parsed(id)| id),
            reason: row.get(6)?,
            created_at: row.get::<_, Time>(7)?.0,
        };
        Ok((row.get::<_, i64>(0)?, raised))
    })?;
    let (raised, next) = cut(readable(rows, "flag")?, limit);
    let flags = raised.into_iter().map(|raised| show(conn, app, raised)).collect::<Result<_>>()?;
    Ok((flags, next))
}

fn show(conn: &Connection, app: AppId, raised: Raised) -> Result<Flag> {
    let Raised { reporter, target, channel, cid, message_id, reason, created_at } = raised;
    let message = match (&cid, &message_id) {
        (Some(cid), Some(id)) => match messages::find(conn, app, channel, cid, id, Eyes::Server) {
            // A message that cannot be read hides no other flag.
            Err(error) if is_of_one_row(&error) => None,
            found => found?,
        },
        _ => None,
    };
    Ok(Flag {
        reporter: users::brief(conn, app, &reporter)?,
        user: users::brief(conn, app, &target)?,
        cid,
        message_id,
        message,
        reason,
        created_at,
    })
}

/// A user is gone for good, and with it what it said of others.
pub(super) fn forget_reporter(tx: &Tx<'_>, app: AppId, user: &UserId) -> Result<()> {
    tx.prepare_cached("delete from flags where app = ?1 and reporter = ?2")?
        .execute(params![app.0, user.as_str()])?;
    Ok(())
}
