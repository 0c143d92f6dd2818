//! What is forgotten, and when.

use rusqlite::{Connection, params};

use super::column::{Count, Time};
use super::events::{self, TopicRow, Tx, topic_columns};
use crate::{Result, Retention};

/// Topics in one transaction, so that no send waits for a whole clearing up.
pub(super) const TOPICS_PER_STEP: u32 = 200;

/// The next topics after `after` in which something is older, or more, than is kept.
pub(super) fn candidates(conn: &Connection, retention: Retention, after: i64) -> Result<Vec<i64>> {
    // Times never step back within a topic, so that its oldest event decides.
    let topics = conn
        .prepare_cached(
            "select topics.id from topics
             left join events on events.topic = topics.id and events.seq = topics.floor + 1
             left join messages on messages.channel = topics.id and messages.seq = topics.floor + 1
             where topics.id > ?1
               and (events.created_at < ?2 or messages.created_at < ?2 or topics.head - topics.floor > ?3)
             order by topics.id limit ?4",
        )?
        .query_map(
            params![after, Time(retention.before), Count(retention.per_topic), TOPICS_PER_STEP],
            |row| row.get(0),
        )?
        .collect::<rusqlite::Result<_>>()?;
    Ok(topics)
}

/// Forgets the topics' events that are older, or more, than is kept; answers how many went.
pub(super) fn trim(tx: &Tx<'_>, retention: Retention, topics: &[i64]) -> Result<u64> {
    topics.iter().map(|topic| trim_topic(tx, retention, *topic)).sum()
}

fn trim_topic(tx: &Tx<'_>, retention: Retention, id: i64) -> Result<u64> {
    let topic = tx
        .prepare_cached(concat!("select ", topic_columns!(), " from topics where id = ?1"))?
        .query_row([id], |row| TopicRow::read(row, 0))?;
    let by_age = events::seq_before(tx, &topic, retention.before)?;
    let by_number = topic.head.saturating_sub(retention.per_topic);
    let floor = topic.floor.max(by_age).max(by_number);
    if floor == topic.floor {
        return Ok(0);
    }
    tx.prepare_cached(
        "update topics set floor = ?2, floor_at = coalesce(
           (select created_at from events where topic = ?1 and seq = ?2),
           (select created_at from messages where channel = ?1 and seq = ?2),
           floor_at)
         where id = ?1",
    )?
    .execute(params![id, Count(floor)])?;
    tx.prepare_cached("delete from events where topic = ?1 and seq <= ?2")?
        .execute(params![id, Count(floor)])?;
    Ok(floor - topic.floor)
}

/// Forgets the ids of messages that went long ago.
pub(super) fn forget_tombstones(tx: &Tx<'_>, retention: Retention) -> Result<()> {
    tx.prepare_cached("delete from tombstones where deleted_at < ?1")?
        .execute([Time(retention.tombstones_before)])?;
    Ok(())
}
