//! A filter in JSON becomes a tree that cannot name what is not offered.

use std::collections::BTreeMap;

use parlour_store::{Comparison, Field, Filter, Kind, Order, SortKey};
use parlour_wire::channels::SortBy;
use parlour_wire::{ErrorBody, ErrorCode, Timestamp};
use serde_json::{Map, Value};

const DEPTH_MAX: usize = 5;
const CLAUSES_MAX: usize = 50;
const LIST_MAX: usize = 100;
const TEXT_MAX: usize = 1_000;
const SORT_KEYS_MAX: usize = 4;

/// Gives the field that has a name; `None`: there is none of that name, or it may not be asked about.
pub(crate) type Named<'a, F> = &'a dyn Fn(&str) -> Option<F>;

/// Reads a filter.
pub(crate) fn read<F: Field>(
    filter: BTreeMap<String, Value>,
    named: Named<'_, F>,
) -> Result<Filter<F>, ErrorBody> {
    Reader { named, clauses: CLAUSES_MAX }.filter(&filter.into_iter().collect(), 1)
}

/// Reads an order.
pub(crate) fn read_sort<F: Field>(
    sort: Vec<SortBy>,
    named: Named<'_, F>,
) -> Result<Vec<SortKey<F>>, ErrorBody> {
    if sort.len() > SORT_KEYS_MAX {
        return Err(unsupported(format!("At most {SORT_KEYS_MAX} sort keys are taken.")));
    }
    let read = |key: SortBy| {
        let name = key.field;
        let field =
            named(&name).ok_or_else(|| unsupported(format!("Nothing is sorted by {name:?} here.")))?;
        let order = match key.direction {
            1 => Order::Ascending,
            -1 => Order::Descending,
            other => return Err(unsupported(format!("A direction is 1 or -1, not {other}."))),
        };
        Ok(SortKey { field, order })
    };
    sort.into_iter().map(read).collect()
}

/// The key that `custom.<key>` names.
pub(crate) fn custom_key(name: &str) -> Option<String> {
    let is_key_char = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let key = name.strip_prefix("custom.")?;
    ((1..=64).contains(&key.len()) && key.chars().all(is_key_char)).then(|| key.to_owned())
}

fn unsupported(why: impl Into<String>) -> ErrorBody {
    ErrorCode::UnsupportedFilter.because(why)
}

struct Reader<'a, F> {
    named: Named<'a, F>,
    /// Comparisons that may still come.
    clauses: usize,
}

impl<F: Field> Reader<'_, F> {
    fn filter(&mut self, fields: &Map<String, Value>, depth: usize) -> Result<Filter<F>, ErrorBody> {
        if depth > DEPTH_MAX {
            return Err(unsupported(format!("A filter nests at most {DEPTH_MAX} levels.")));
        }
        let mut all = Vec::new();
        for (name, value) in fields {
            match name.as_str() {
                "$and" => all.push(Filter::And(self.list(name, value, depth)?)),
                "$or" => all.push(Filter::Or(self.list(name, value, depth)?)),
                "$nor" => all.push(Filter::Nor(self.list(name, value, depth)?)),
                operator if operator.starts_with('$') => {
                    return Err(unsupported(format!(
                        "{operator} cannot stand here; $and, $or and $nor can."
                    )));
                }
                _ => self.comparisons(name, value, &mut all)?,
            }
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Filter::And(all) })
    }

    fn list(&mut self, name: &str, value: &Value, depth: usize) -> Result<Vec<Filter<F>>, ErrorBody> {
        let Value::Array(items) = value else {
            return Err(unsupported(format!("{name} takes a list of filters.")));
        };
        if items.is_empty() {
            return Err(unsupported(format!("{name} takes at least one filter.")));
        }
        let mut filters = Vec::new();
        for item in items {
            let Value::Object(fields) = item else {
                return Err(unsupported(format!("{name} takes a list of filters; {item} is none.")));
            };
            filters.push(self.filter(fields, depth + 1)?);
        }
        Ok(filters)
    }

    fn comparisons(&mut self, name: &str, value: &Value, all: &mut Vec<Filter<F>>) -> Result<(), ErrorBody> {
        let field = (self.named)(name).ok_or_else(|| {
            unsupported(format!(
                "There is no field {name:?} here; custom data is asked for as `custom.<name>`, with 1-64 of a-z, A-Z, 0-9, _ and -."
            ))
        })?;
        let mut push = |comparison: Comparison| {
            self.clauses = self
                .clauses
                .checked_sub(1)
                .ok_or_else(|| unsupported(format!("A filter has at most {CLAUSES_MAX} comparisons.")))?;
            check_fit(name, field.kind(), &comparison)?;
            all.push(Filter::Compare { field: field.clone(), comparison });
            Ok(())
        };
        let Value::Object(operators) = value else {
            return push(Comparison::Eq(scalar(value)?));
        };
        if operators.is_empty() {
            return Err(unsupported("A comparison without an operator."));
        }
        operators.iter().try_for_each(|(operator, value)| push(comparison(field.kind(), operator, value)?))
    }
}

fn comparison(kind: Kind, operator: &str, value: &Value) -> Result<Comparison, ErrorBody> {
    Ok(match operator {
        "$eq" => Comparison::Eq(scalar(value)?),
        "$contains" if kind == Kind::Set => Comparison::Eq(scalar(value)?),
        "$ne" => Comparison::Ne(scalar(value)?),
        "$gt" => Comparison::Gt(scalar(value)?),
        "$gte" => Comparison::Gte(scalar(value)?),
        "$lt" => Comparison::Lt(scalar(value)?),
        "$lte" => Comparison::Lte(scalar(value)?),
        "$in" => Comparison::In(list(value)?),
        "$nin" => Comparison::Nin(list(value)?),
        "$exists" => match value {
            Value::Bool(exists) => Comparison::Exists(*exists),
            other => return Err(unsupported(format!("$exists takes true or false, not {other}."))),
        },
        "$autocomplete" => match scalar(value)? {
            Value::String(text) if !text.is_empty() => Comparison::Autocomplete(text),
            other => return Err(unsupported(format!("$autocomplete takes text, not {other}."))),
        },
        other => return Err(unsupported(format!("There is no operator {other} for this field."))),
    })
}

fn scalar(value: &Value) -> Result<Value, ErrorBody> {
    match value {
        Value::Array(_) | Value::Object(_) => Err(unsupported(format!("{value} cannot be compared with."))),
        Value::String(text) if text.len() > TEXT_MAX => {
            Err(unsupported(format!("A text to compare with has at most {TEXT_MAX} bytes.")))
        }
        plain => Ok(plain.clone()),
    }
}

fn list(value: &Value) -> Result<Vec<Value>, ErrorBody> {
    match value {
        Value::Array(items) if (1..=LIST_MAX).contains(&items.len()) => items.iter().map(scalar).collect(),
        _ => Err(unsupported(format!("$in and $nin take a list of 1 to {LIST_MAX} values."))),
    }
}

/// Whether the comparison makes sense for the field: else the answer would be empty and nobody would know why.
fn check_fit(name: &str, kind: Kind, comparison: &Comparison) -> Result<(), ErrorBody> {
    let values: &[Value] = match comparison {
        Comparison::Eq(v)
        | Comparison::Ne(v)
        | Comparison::Gt(v)
        | Comparison::Gte(v)
        | Comparison::Lt(v)
        | Comparison::Lte(v) => std::slice::from_ref(v),
        Comparison::In(values) | Comparison::Nin(values) => values,
        Comparison::Exists(_) | Comparison::Autocomplete(_) => &[],
    };
    let is_autocomplete = matches!(comparison, Comparison::Autocomplete(_));
    let is_time = |v: &Value| v.as_str().is_some_and(|text| text.parse::<Timestamp>().is_ok());
    let (fits, takes) = match kind {
        Kind::Text => (values.iter().all(Value::is_string), "compares with texts"),
        Kind::Number => (!is_autocomplete && values.iter().all(Value::is_number), "compares with numbers"),
        Kind::Time => (
            !is_autocomplete && values.iter().all(is_time),
            "compares with RFC 3339 times, such as 2026-11-21T06:47:00Z",
        ),
        Kind::Set => (
            matches!(comparison, Comparison::Eq(_) | Comparison::In(_) | Comparison::Exists(_))
                && values.iter().all(Value::is_string),
            "takes a text, $contains with one, or $in with a list of them",
        ),
        Kind::Truth => (
            matches!(comparison, Comparison::Eq(_) | Comparison::Ne(_))
                && values.iter().all(Value::is_boolean),
            "is true or false",
        ),
        Kind::Json => (true, ""),
    };
    if fits { Ok(()) } else { Err(unsupported(format!("`{name}` {takes}."))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parlour_store::ChannelField;
    use serde_json::json;

    fn named(name: &str) -> Option<ChannelField> {
        crate::chat::query_channels::field(name)
    }

    fn read(filter: Value) -> Result<Filter<ChannelField>, String> {
        let Value::Object(fields) = filter else { panic!("an object") };
        super::read(fields.into_iter().collect(), &named).map_err(|error| error.code)
    }

    #[test]
    fn equality_needs_no_operator() {
        let comparison = Comparison::Eq(json!("messaging"));
        let expected = Filter::Compare { field: ChannelField::Type, comparison };
        assert_eq!(read(json!({"type": "messaging"})), Ok(expected.clone()));
        assert_eq!(read(json!({"type": {"$eq": "messaging"}})), Ok(expected));
    }

    #[test]
    fn a_set_contains_what_it_is_equal_to() {
        assert_eq!(read(json!({"members": {"$contains": "alice"}})), read(json!({"members": "alice"})));
        assert!(read(json!({"type": {"$contains": "messaging"}})).is_err());
    }

    #[test]
    fn names_and_operators_that_are_not_offered_are_refused() {
        for bad in [
            json!({"a') or 1=1--": 1}),
            json!({"custom.x\"; drop": 1}),
            json!({"custom.": 1}),
            json!({"$where": "1"}),
            json!({"name": {"$regex": ".*"}}),
            json!({"$and": [[]]}),
            json!({"$and": []}),
            json!({"$or": {"type": "a"}}),
            json!({"members": {"$nin": ["alice"]}}),
            json!({"member_count": "three"}),
            json!({"created_at": "yesterday"}),
            json!({"type": {"$in": []}}),
            json!({"type": {"$in": vec!["x"; 101]}}),
            json!({"type": {}}),
            json!({"type": {"a": 1}}),
            json!({"name": "x".repeat(1_001)}),
        ] {
            assert_eq!(read(bad.clone()), Err("unsupported_filter".to_owned()), "{bad}");
        }
    }

    #[test]
    fn depth_and_number_of_clauses_are_bounded() {
        let nested = |depth| (1..depth).fold(json!({"type": "a"}), |inner, _| json!({"$and": [inner]}));
        assert!(read(nested(5)).is_ok());
        assert!(read(nested(6)).is_err());
        let wide = |count| json!({"$or": vec![json!({"type": "a"}); count]});
        assert!(read(wide(50)).is_ok());
        assert!(read(wide(51)).is_err());
    }
}
