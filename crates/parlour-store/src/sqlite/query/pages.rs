//! Orders and the pages that they are cut into, at places that stay where they are whatever is written.

use rusqlite::types::{Value as Sql, ValueRef};
use rusqlite::{Connection, Row, params_from_iter};

use super::{Builder, Column, NEVER, Stored, path, value_at};
use crate::{Key, Order, Place, Result, SortKey, StoreError};

/// The order of a query.
pub(super) struct Ordering {
    terms: Vec<Term>,
}

struct Term {
    expression: String,
    order: Order,
    /// Whether there are rows without a value.
    nullable: bool,
}

impl Ordering {
    /// Equal keys need an order too, or pages would overlap: the last one is the row itself.
    pub(super) fn of<F: Stored>(sql: &mut Builder, sort: &[SortKey<F>]) -> Result<Self> {
        let mut terms = Vec::with_capacity(sort.len() + 1);
        for SortKey { field, order } in sort {
            let expression = match field.column() {
                Column::Text(name) | Column::Number(name) | Column::Time(name) | Column::Truth(name) => {
                    name.to_owned()
                }
                Column::Set(set) => set.size.to_owned(),
                Column::Json(column, key) => {
                    let path = path(key)?;
                    value_at(column, &sql.bind(Sql::Text(path)))
                }
            };
            terms.push(Term { expression, order: *order, nullable: field.is_nullable() });
        }
        let order = sort.last().map_or(Order::Descending, |key| key.order);
        terms.push(Term { expression: F::ROW.to_owned(), order, nullable: false });
        Ok(Self { terms })
    }

    /// The same by this expression first, descending.
    pub(super) fn with_first(mut self, expression: &str) -> Self {
        let first = Term { expression: expression.to_owned(), order: Order::Descending, nullable: false };
        self.terms.insert(0, first);
        self
    }

    pub(super) fn text(&self) -> String {
        let terms = self.terms.iter().map(|Term { expression, order, .. }| match order {
            Order::Ascending => format!("{expression} asc"),
            Order::Descending => format!("{expression} desc"),
        });
        terms.collect::<Vec<_>>().join(", ")
    }

    /// The condition that a row comes after a place.
    pub(super) fn after(&self, sql: &mut Builder, place: Option<&Place>) -> Result<String> {
        let Some(Place(keys)) = place else { return Ok("1".to_owned()) };
        if keys.len() != self.terms.len() {
            return Err(StoreError::NoSuchPlace);
        }
        let (mut ways, mut same) = (Vec::with_capacity(keys.len()), String::new());
        // Said beside the ways, for by it an index finds where to begin.
        let mut begins = None;
        for (Term { expression, order, nullable }, key) in self.terms.iter().zip(keys) {
            let bound = sql.bind(value(key));
            // SQLite orders what is absent before everything else.
            let comes_after = match (order, key) {
                (Order::Ascending, Key::Null) => format!("{expression} is not null"),
                (Order::Ascending, _) => format!("{expression} > {bound}"),
                (Order::Descending, Key::Null) => NEVER.to_owned(),
                (Order::Descending, _) if *nullable => {
                    format!("({expression} < {bound} or {expression} is null)")
                }
                (Order::Descending, _) => format!("{expression} < {bound}"),
            };
            begins.get_or_insert_with(|| match order {
                _ if *nullable => "1".to_owned(),
                Order::Ascending => format!("{expression} >= {bound}"),
                Order::Descending => format!("{expression} <= {bound}"),
            });
            ways.push(format!("{same}{comes_after}"));
            same.push_str(&format!("{expression} is {bound} and "));
        }
        Ok(format!("({} and ({}))", begins.unwrap_or_default(), ways.join(" or ")))
    }

    /// The place of the row with this key, in the table that the text names.
    pub(super) fn place(&self, conn: &Connection, sql: &Builder, table: &str, row: Sql) -> Result<Place> {
        let keys: Vec<_> = self.terms.iter().map(|term| term.expression.as_str()).collect();
        let row_key = keys.last().copied().unwrap_or_default();
        let text = format!(
            "select {} from {table} where {table}.app = ?1 and {row_key} = ?{}",
            keys.join(", "),
            sql.values.len() + 1
        );
        let values = sql.values.iter().cloned().chain([row]);
        Ok(conn.prepare(&text)?.query_row(params_from_iter(values), |row| self.read(row))?)
    }

    fn read(&self, row: &Row<'_>) -> rusqlite::Result<Place> {
        let key = |at| {
            Ok(match row.get_ref(at)? {
                ValueRef::Null | ValueRef::Blob(_) => Key::Null,
                ValueRef::Integer(number) => Key::Integer(number),
                ValueRef::Real(number) => Key::Real(number),
                ValueRef::Text(_) => Key::Text(row.get(at)?),
            })
        };
        (0..self.terms.len()).map(key).collect::<rusqlite::Result<_>>().map(Place)
    }
}

fn value(key: &Key) -> Sql {
    match key {
        Key::Null => Sql::Null,
        Key::Integer(number) => Sql::Integer(*number),
        Key::Real(number) => Sql::Real(*number),
        Key::Text(text) => Sql::Text(text.clone()),
    }
}
