//! Queries for channels: a filter becomes a condition made of fixed text and bound values only.
//!
//! Nothing that comes from a filter ever becomes part of the SQL: fields are chosen from an enum, and the
//! key of a channel's data is bound as a JSON path. Whose channels may be found at all is decided outside
//! the filter, so that no filter can widen it.

use parlour_wire::Timestamp;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, params_from_iter};
use serde_json::Value;

use super::channels::{self, select_channel};
use super::column::{json, readable};
use crate::{ChannelPage, ChannelQuery, Comparison, Field, Filter, Order, Result, SortKey};

/// Gives a connection the functions that queries use.
pub(super) fn install(conn: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    // SQLite's own lower() and LIKE know no letters beyond ASCII.
    conn.create_scalar_function("fold", 1, flags, |context| {
        Ok(context.get_raw(0).as_str_or_null()?.map(str::to_lowercase))
    })
}

/// See [`crate::Store::query_channels`].
pub(super) fn channels(conn: &Connection, query: &ChannelQuery) -> Result<ChannelPage> {
    let mut sql = Builder { values: vec![Sql::Integer(query.app.0)] };
    let visible = sql.visible(query)?;
    let matches = sql.filter(&query.filter)?;
    let order = sql.order(&query.sort)?;
    let limit = sql.bind(Sql::Integer(i64::from(query.limit) + 1));
    let offset = sql.bind(Sql::Integer(i64::from(query.offset)));
    let text = format!(
        "{}where channels.app = ?1 and {visible} and {matches} order by {order} limit {limit} offset {offset}",
        select_channel!("")
    );
    let mut statement = conn.prepare(&text)?;
    let mut found: Vec<_> =
        readable(statement.query_map(params_from_iter(&sql.values), channels::read)?, "channel")?;
    let more = found.len() > query.limit as usize;
    found.truncate(query.limit as usize);
    let state = |found| channels::state_of(conn, query.app, found, query.viewer.as_ref(), query.messages);
    Ok(ChannelPage { channels: found.into_iter().map(state).collect::<Result<_>>()?, more })
}

/// Collects the values that the text names by number.
struct Builder {
    values: Vec<Sql>,
}

/// A column and what its values are.
enum Column {
    Text(&'static str),
    Number(&'static str),
    Time(&'static str),
}

impl Column {
    fn name(&self) -> &'static str {
        match self {
            Self::Text(name) | Self::Number(name) | Self::Time(name) => name,
        }
    }

    /// The value as the column holds it; `None`: the column never holds such a value.
    fn value(&self, value: &Value) -> Option<Sql> {
        match self {
            Self::Text(_) => value.as_str().map(|text| Sql::Text(text.to_owned())),
            Self::Number(_) => number(value),
            Self::Time(_) => {
                let at: Timestamp = value.as_str()?.parse().ok()?;
                Some(Sql::Integer(at.unix_ms()))
            }
        }
    }
}

fn number(value: &Value) -> Option<Sql> {
    value.as_i64().map(Sql::Integer).or_else(|| value.as_f64().map(Sql::Real))
}

const NEVER: &str = "0";

impl Builder {
    fn bind(&mut self, value: Sql) -> String {
        self.values.push(value);
        format!("?{}", self.values.len())
    }

    /// The channels that the viewer may find.
    fn visible(&mut self, query: &ChannelQuery) -> Result<String> {
        let Some(viewer) = &query.viewer else { return Ok("1".to_owned()) };
        let own = self.has_member(viewer.as_str());
        if query.public_types.is_empty() {
            return Ok(own);
        }
        let types = self.bind(Sql::Text(json(&query.public_types)?));
        Ok(format!("({own} or channels.type in (select value from json_each({types})))"))
    }

    fn has_member(&mut self, user: &str) -> String {
        let user = self.bind(Sql::Text(user.to_owned()));
        format!("channels.id in (select channel from members where app = ?1 and user_id = {user})")
    }

    fn filter(&mut self, filter: &Filter) -> Result<String> {
        match filter {
            Filter::And(all) => Ok(format!("({})", self.joined(all, " and ", "1")?)),
            Filter::Or(any) => Ok(format!("({})", self.joined(any, " or ", NEVER)?)),
            Filter::Nor(none) => Ok(format!("not ({})", self.joined(none, " or ", NEVER)?)),
            Filter::Compare { field, comparison } => {
                let condition = match field {
                    Field::Data(key) => self.compare_data(key, comparison)?,
                    Field::Members => self.compare_members(comparison),
                    Field::Cid => self.compare(&Column::Text("channels.cid"), comparison),
                    Field::Id => self.compare(&Column::Text("channels.channel_id"), comparison),
                    Field::Type => self.compare(&Column::Text("channels.type"), comparison),
                    Field::CreatedBy => self.compare(&Column::Text("channels.created_by"), comparison),
                    Field::MemberCount => self.compare(&Column::Number("channels.member_count"), comparison),
                    Field::CreatedAt => self.compare(&Column::Time("channels.created_at"), comparison),
                    Field::UpdatedAt => self.compare(&Column::Time("channels.updated_at"), comparison),
                    Field::LastMessageAt => {
                        self.compare(&Column::Time("channels.last_message_at"), comparison)
                    }
                };
                // What is absent is neither equal nor greater: never NULL, which `not` would keep.
                Ok(format!("(({condition}) is true)"))
            }
        }
    }

    fn joined(&mut self, filters: &[Filter], with: &str, none: &str) -> Result<String> {
        if filters.is_empty() {
            return Ok(none.to_owned());
        }
        Ok(filters.iter().map(|filter| self.filter(filter)).collect::<Result<Vec<_>>>()?.join(with))
    }

    fn compare(&mut self, column: &Column, comparison: &Comparison) -> String {
        let name = column.name();
        match comparison {
            Comparison::Eq(value) => self.any_of(column, std::slice::from_ref(value)),
            Comparison::Ne(value) => not(&self.any_of(column, std::slice::from_ref(value))),
            Comparison::In(values) => self.any_of(column, values),
            Comparison::Nin(values) => not(&self.any_of(column, values)),
            Comparison::Gt(value) => self.against(name, ">", column.value(value)),
            Comparison::Gte(value) => self.against(name, ">=", column.value(value)),
            Comparison::Lt(value) => self.against(name, "<", column.value(value)),
            Comparison::Lte(value) => self.against(name, "<=", column.value(value)),
            Comparison::Exists(true) => format!("{name} is not null"),
            Comparison::Exists(false) => format!("{name} is null"),
            Comparison::Autocomplete(start) => match column {
                Column::Text(_) => self.begins(name, start),
                Column::Number(_) | Column::Time(_) => NEVER.to_owned(),
            },
        }
    }

    fn against(&mut self, expression: &str, operator: &str, value: Option<Sql>) -> String {
        match value {
            Some(value) => format!("{expression} {operator} {}", self.bind(value)),
            None => NEVER.to_owned(),
        }
    }

    fn any_of(&mut self, column: &Column, values: &[Value]) -> String {
        let bound: Vec<_> = values.iter().filter_map(|value| column.value(value)).collect();
        let bound: Vec<_> = bound.into_iter().map(|value| self.bind(value)).collect();
        let listed = format!("{} in ({})", column.name(), bound.join(", "));
        if values.iter().any(Value::is_null) {
            return format!("{listed} or {} is null", column.name());
        }
        listed
    }

    fn begins(&mut self, expression: &str, start: &str) -> String {
        let mut pattern = String::with_capacity(start.len() + 1);
        for c in start.to_lowercase().chars() {
            if matches!(c, '%' | '_' | '\\') {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        pattern.push('%');
        format!("fold({expression}) like {} escape '\\'", self.bind(Sql::Text(pattern)))
    }

    fn compare_members(&mut self, comparison: &Comparison) -> String {
        let any_of = |builder: &mut Self, users: &[Value]| {
            let users: Vec<_> = users.iter().filter_map(Value::as_str).collect();
            let each: Vec<_> = users.into_iter().map(|user| builder.has_member(user)).collect();
            if each.is_empty() { NEVER.to_owned() } else { each.join(" or ") }
        };
        match comparison {
            Comparison::Eq(user) => any_of(self, std::slice::from_ref(user)),
            Comparison::Ne(user) => not(&any_of(self, std::slice::from_ref(user))),
            Comparison::In(users) => any_of(self, users),
            Comparison::Nin(users) => not(&any_of(self, users)),
            Comparison::Exists(true) => "channels.member_count > 0".to_owned(),
            Comparison::Exists(false) => "channels.member_count = 0".to_owned(),
            // A set is neither greater than a user nor does it begin with one.
            Comparison::Gt(_)
            | Comparison::Gte(_)
            | Comparison::Lt(_)
            | Comparison::Lte(_)
            | Comparison::Autocomplete(_) => NEVER.to_owned(),
        }
    }

    fn compare_data(&mut self, key: &str, comparison: &Comparison) -> Result<String> {
        let path = self.bind(Sql::Text(path(key)?));
        let (kind, value) = (kind_at(&path), value_at(&path));
        let mut any_of = |values: &[Value]| -> Result<String> {
            if values.is_empty() {
                return Ok(NEVER.to_owned());
            }
            let each = values.iter().map(|wanted| self.equals(&kind, &value, wanted));
            Ok(each.collect::<Result<Vec<_>>>()?.join(" or "))
        };
        Ok(match comparison {
            Comparison::Eq(wanted) => any_of(std::slice::from_ref(wanted))?,
            Comparison::Ne(wanted) => not(&any_of(std::slice::from_ref(wanted))?),
            Comparison::In(wanted) => any_of(wanted)?,
            Comparison::Nin(wanted) => not(&any_of(wanted)?),
            Comparison::Gt(bound) => self.data_against(&kind, &value, ">", bound),
            Comparison::Gte(bound) => self.data_against(&kind, &value, ">=", bound),
            Comparison::Lt(bound) => self.data_against(&kind, &value, "<", bound),
            Comparison::Lte(bound) => self.data_against(&kind, &value, "<=", bound),
            Comparison::Exists(true) => format!("{kind} is not null"),
            Comparison::Exists(false) => format!("{kind} is null"),
            Comparison::Autocomplete(start) => {
                let begins = self.begins(&value, start);
                format!("{kind} = 'text' and {begins}")
            }
        })
    }

    /// JSON's own kinds are compared: `true` is not 1, and "1" is not 1 either.
    fn equals(&mut self, kind: &str, value: &str, wanted: &Value) -> Result<String> {
        Ok(match wanted {
            Value::Null => format!("coalesce({kind}, 'null') = 'null'"),
            Value::Bool(true) => format!("{kind} = 'true'"),
            Value::Bool(false) => format!("{kind} = 'false'"),
            Value::Number(_) | Value::String(_) => self.data_against(kind, value, "=", wanted),
            Value::Array(_) | Value::Object(_) => {
                let wanted = self.bind(Sql::Text(json(wanted)?));
                format!("({kind} in ('array', 'object') and {value} = json({wanted}))")
            }
        })
    }

    fn data_against(&mut self, kind: &str, value: &str, operator: &str, wanted: &Value) -> String {
        let (kinds, wanted) = match wanted {
            Value::String(text) => ("('text')", Some(Sql::Text(text.clone()))),
            Value::Number(_) => ("('integer', 'real')", number(wanted)),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return NEVER.to_owned(),
        };
        let compared = self.against(value, operator, wanted);
        format!("({kind} in {kinds} and {compared})")
    }

    fn order(&mut self, sort: &[SortKey]) -> Result<String> {
        let mut terms = Vec::with_capacity(sort.len() + 1);
        for SortKey { field, order } in sort {
            let expression = match field {
                Field::Cid => "channels.cid".to_owned(),
                Field::Id => "channels.channel_id".to_owned(),
                Field::Type => "channels.type".to_owned(),
                Field::Members | Field::MemberCount => "channels.member_count".to_owned(),
                Field::CreatedAt => "channels.created_at".to_owned(),
                Field::UpdatedAt => "channels.updated_at".to_owned(),
                Field::LastMessageAt => "channels.last_message_at".to_owned(),
                Field::CreatedBy => "channels.created_by".to_owned(),
                Field::Data(key) => {
                    let path = path(key)?;
                    value_at(&self.bind(Sql::Text(path)))
                }
            };
            terms.push(format!("{expression} {}", direction(*order)));
        }
        if terms.is_empty() {
            terms.push("coalesce(channels.last_message_at, channels.created_at) desc".to_owned());
        }
        // Equal keys need an order too, or pages would overlap.
        let last = sort.last().map_or(Order::Descending, |key| key.order);
        terms.push(format!("channels.id {}", direction(last)));
        Ok(terms.join(", "))
    }
}

fn not(condition: &str) -> String {
    format!("({condition}) is not true")
}

fn direction(order: Order) -> &'static str {
    match order {
        Order::Ascending => "asc",
        Order::Descending => "desc",
    }
}

/// The JSON path of one key, whatever characters it is made of.
fn path(key: &str) -> Result<String> {
    Ok(format!("$.{}", json(&key)?))
}

fn kind_at(path: &str) -> String {
    format!("json_type(channels.data, {path})")
}

fn value_at(path: &str) -> String {
    format!("json_extract(channels.data, {path})")
}
