//! Queries for channels: those of which the viewer is a member, and those that are open to it.

use rusqlite::types::Value as Sql;
use rusqlite::{Connection, params_from_iter};

use super::super::channels::{self, select_channel};
use super::super::column::{json, readable};
use super::super::teams;
use super::pages::Ordering;
use super::{Builder, Column, Set, Stored};
use crate::{ChannelField, ChannelPage, ChannelQuery, Result};

const MEMBERS: Set = Set {
    has: "channels.id in (select channel from members where app = ?1 and user_id =",
    size: "channels.member_count",
};

impl Stored for ChannelField {
    fn column(&self) -> Column<'_> {
        match self {
            Self::Cid => Column::Text("channels.cid"),
            Self::Id => Column::Text("channels.channel_id"),
            Self::Type => Column::Text("channels.type"),
            Self::Team => Column::Text("channels.team"),
            Self::CreatedBy => Column::Text("channels.created_by"),
            Self::Members => Column::Set(&MEMBERS),
            Self::MemberCount => Column::Number("channels.member_count"),
            Self::CreatedAt => Column::Time("channels.created_at"),
            Self::UpdatedAt => Column::Time("channels.updated_at"),
            Self::LastMessageAt => Column::Time("channels.last_message_at"),
            Self::Data(key) => Column::Json("channels.data", key),
        }
    }

    fn is_nullable(&self) -> bool {
        matches!(self, Self::Team | Self::CreatedBy | Self::LastMessageAt | Self::Data(_))
    }

    const ROW: &'static str = "channels.id";
}

/// See [`crate::Store::query_channels`].
pub(in super::super) fn page(conn: &Connection, query: &ChannelQuery) -> Result<ChannelPage> {
    let mut sql = Builder::new(query.app);
    let visible = visible(conn, &mut sql, query)?;
    let matches = sql.filter(&query.filter)?;
    let mut order = Ordering::of(&mut sql, &query.sort)?;
    if query.sort.is_empty() {
        order = order.with_first("coalesce(channels.last_message_at, channels.created_at)");
    }
    let after = order.after(&mut sql, query.after.as_ref())?;
    let limit = sql.bind(Sql::Integer(i64::from(query.limit) + 1));
    let text = format!(
        "{}where channels.app = ?1 and {visible} and {matches} and {after} order by {} limit {limit}",
        select_channel!(""),
        order.text(),
    );
    let mut statement = conn.prepare(&text)?;
    let mut found: Vec<_> =
        readable(statement.query_map(params_from_iter(&sql.values), channels::read)?, "channel")?;
    let more = found.len() > query.limit as usize;
    found.truncate(query.limit as usize);
    let next = match found.last() {
        Some(last) if more => Some(order.place(conn, &sql, "channels", Sql::Integer(last.id))?),
        _ => None,
    };
    let state = |found| channels::state_of(conn, query.app, found, query.viewer.as_ref(), query.messages);
    Ok(ChannelPage { channels: found.into_iter().map(state).collect::<Result<_>>()?, next })
}

/// The channels that the viewer may find: its own, and the open ones that its teams cover.
fn visible(conn: &Connection, sql: &mut Builder, query: &ChannelQuery) -> Result<String> {
    let Some(viewer) = &query.viewer else { return Ok("1".to_owned()) };
    let own = sql.has(&MEMBERS, viewer.as_str());
    if query.public_types.is_empty() {
        return Ok(own);
    }
    let types = sql.bind(Sql::Text(json(&query.public_types)?));
    let teams = teams::of_user(conn, query.app, viewer)?;
    let inside = if teams.is_empty() {
        "channels.team is null".to_owned()
    } else {
        format!("channels.team in (select value from json_each({}))", sql.bind(Sql::Text(json(&teams)?)))
    };
    Ok(format!("({own} or channels.type in (select value from json_each({types})) and {inside})"))
}
