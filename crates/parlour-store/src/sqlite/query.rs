//! Queries: a filter becomes a condition made of fixed text and bound values only.
//!
//! Nothing that comes from a filter ever becomes part of the SQL: fields are chosen from an enum, and the key of what
//! the app keeps is bound as a JSON path. What may be found at all is decided outside the filter ([`channels`],
//! [`users`]), so that no filter can widen it.

pub(super) mod channels;
mod pages;
pub(super) mod users;

use parlour_wire::Timestamp;
use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::Value as Sql;
use serde_json::Value;

use super::column::json;
use crate::{AppId, Comparison, Filter, Result, filter};

/// Gives a connection the functions that queries use.
pub(super) fn install(conn: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    // SQLite's own lower() and LIKE know no letters beyond ASCII.
    conn.create_scalar_function("fold", 1, flags, |context| {
        Ok(context.get_raw(0).as_str_or_null()?.map(str::to_lowercase))
    })
}

/// A field of something that is stored.
trait Stored: filter::Field {
    /// Where its values are.
    fn column(&self) -> Column<'_>;
    /// Whether there are rows without a value.
    fn is_nullable(&self) -> bool;
    /// What rows are told apart by that are alike in everything else.
    const ROW: &'static str;
}

/// Where values are, and what they are.
enum Column<'a> {
    Text(&'static str),
    Number(&'static str),
    Time(&'static str),
    /// A condition that is never NULL.
    Truth(&'static str),
    Set(&'static Set),
    /// A key of a column of JSON.
    Json(&'static str, &'a str),
}

/// A set that stands in a table of its own.
struct Set {
    /// The condition that it has a value, up to the value.
    has: &'static str,
    /// How many values it has.
    size: &'static str,
}

impl Column<'_> {
    /// The value as the column holds it; `None`: the column never holds such a value.
    fn value(&self, value: &Value) -> Option<Sql> {
        match self {
            Self::Text(_) | Self::Set(_) => value.as_str().map(|text| Sql::Text(text.to_owned())),
            Self::Number(_) | Self::Json(..) => number(value),
            Self::Truth(_) => value.as_bool().map(|truth| Sql::Integer(truth.into())),
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

/// Collects the values that the text names by number. The first is the app.
struct Builder {
    values: Vec<Sql>,
}

const NEVER: &str = "0";

impl Builder {
    fn new(app: AppId) -> Self {
        Self { values: vec![Sql::Integer(app.0)] }
    }

    fn bind(&mut self, value: Sql) -> String {
        self.values.push(value);
        format!("?{}", self.values.len())
    }

    fn filter<F: Stored>(&mut self, filter: &Filter<F>) -> Result<String> {
        match filter {
            Filter::And(all) => Ok(format!("({})", self.joined(all, " and ", "1")?)),
            Filter::Or(any) => Ok(format!("({})", self.joined(any, " or ", NEVER)?)),
            Filter::Nor(none) => Ok(format!("not ({})", self.joined(none, " or ", NEVER)?)),
            Filter::Compare { field, comparison } => {
                let condition = match field.column() {
                    Column::Json(column, key) => self.compare_json(column, key, comparison)?,
                    Column::Set(set) => self.compare_set(set, comparison),
                    Column::Text(name) | Column::Number(name) | Column::Time(name) | Column::Truth(name) => {
                        self.compare(name, &field.column(), comparison)
                    }
                };
                // What is absent is neither equal nor greater: never NULL, which `not` would keep.
                Ok(format!("(({condition}) is true)"))
            }
        }
    }

    fn joined<F: Stored>(&mut self, filters: &[Filter<F>], with: &str, none: &str) -> Result<String> {
        if filters.is_empty() {
            return Ok(none.to_owned());
        }
        Ok(filters.iter().map(|filter| self.filter(filter)).collect::<Result<Vec<_>>>()?.join(with))
    }

    fn compare(&mut self, name: &str, column: &Column<'_>, comparison: &Comparison) -> String {
        match comparison {
            Comparison::Eq(value) => self.any_of(name, column, std::slice::from_ref(value)),
            Comparison::Ne(value) => not(&self.any_of(name, column, std::slice::from_ref(value))),
            Comparison::In(values) => self.any_of(name, column, values),
            Comparison::Nin(values) => not(&self.any_of(name, column, values)),
            Comparison::Gt(value) => self.against(name, ">", column.value(value)),
            Comparison::Gte(value) => self.against(name, ">=", column.value(value)),
            Comparison::Lt(value) => self.against(name, "<", column.value(value)),
            Comparison::Lte(value) => self.against(name, "<=", column.value(value)),
            Comparison::Exists(true) => format!("{name} is not null"),
            Comparison::Exists(false) => format!("{name} is null"),
            Comparison::Autocomplete(start) => match column {
                Column::Text(_) => self.begins(name, start),
                Column::Number(_)
                | Column::Time(_)
                | Column::Truth(_)
                | Column::Set(_)
                | Column::Json(..) => NEVER.to_owned(),
            },
        }
    }

    fn against(&mut self, expression: &str, operator: &str, value: Option<Sql>) -> String {
        match value {
            Some(value) => format!("{expression} {operator} {}", self.bind(value)),
            None => NEVER.to_owned(),
        }
    }

    fn any_of(&mut self, name: &str, column: &Column<'_>, values: &[Value]) -> String {
        let bound: Vec<_> = values.iter().filter_map(|value| column.value(value)).collect();
        let bound: Vec<_> = bound.into_iter().map(|value| self.bind(value)).collect();
        let listed = format!("{name} in ({})", bound.join(", "));
        if values.iter().any(Value::is_null) {
            return format!("{listed} or {name} is null");
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

    fn compare_set(&mut self, set: &Set, comparison: &Comparison) -> String {
        let any_of = |builder: &mut Self, values: &[Value]| {
            let values: Vec<_> = values.iter().filter_map(Value::as_str).collect();
            let each: Vec<_> = values.into_iter().map(|value| builder.has(set, value)).collect();
            if each.is_empty() { NEVER.to_owned() } else { each.join(" or ") }
        };
        match comparison {
            Comparison::Eq(value) => any_of(self, std::slice::from_ref(value)),
            Comparison::Ne(value) => not(&any_of(self, std::slice::from_ref(value))),
            Comparison::In(values) => any_of(self, values),
            Comparison::Nin(values) => not(&any_of(self, values)),
            Comparison::Exists(true) => format!("{} > 0", set.size),
            Comparison::Exists(false) => format!("{} = 0", set.size),
            // A set is neither greater than a value nor does it begin with one.
            Comparison::Gt(_)
            | Comparison::Gte(_)
            | Comparison::Lt(_)
            | Comparison::Lte(_)
            | Comparison::Autocomplete(_) => NEVER.to_owned(),
        }
    }

    fn has(&mut self, set: &Set, value: &str) -> String {
        let value = self.bind(Sql::Text(value.to_owned()));
        format!("{} {value})", set.has)
    }

    fn compare_json(&mut self, column: &str, key: &str, comparison: &Comparison) -> Result<String> {
        let path = self.bind(Sql::Text(path(key)?));
        let (kind, value) = (kind_at(column, &path), value_at(column, &path));
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
            Comparison::Gt(bound) => self.json_against(&kind, &value, ">", bound),
            Comparison::Gte(bound) => self.json_against(&kind, &value, ">=", bound),
            Comparison::Lt(bound) => self.json_against(&kind, &value, "<", bound),
            Comparison::Lte(bound) => self.json_against(&kind, &value, "<=", bound),
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
            Value::Number(_) | Value::String(_) => self.json_against(kind, value, "=", wanted),
            Value::Array(_) | Value::Object(_) => {
                let wanted = self.bind(Sql::Text(json(wanted)?));
                format!("({kind} in ('array', 'object') and {value} = json({wanted}))")
            }
        })
    }

    fn json_against(&mut self, kind: &str, value: &str, operator: &str, wanted: &Value) -> String {
        let (kinds, wanted) = match wanted {
            Value::String(text) => ("('text')", Some(Sql::Text(text.clone()))),
            Value::Number(_) => ("('integer', 'real')", number(wanted)),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return NEVER.to_owned(),
        };
        let compared = self.against(value, operator, wanted);
        format!("({kind} in {kinds} and {compared})")
    }
}

fn not(condition: &str) -> String {
    format!("({condition}) is not true")
}

/// The JSON path of one key, whatever characters it is made of.
fn path(key: &str) -> Result<String> {
    Ok(format!("$.{}", json(&key)?))
}

fn kind_at(column: &str, path: &str) -> String {
    format!("json_type({column}, {path})")
}

fn value_at(column: &str, path: &str) -> String {
    format!("json_extract({column}, {path})")
}
