//! Channels are looked for: a filter in JSON becomes a tree that cannot name what is not offered.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parlour_store::{ChannelQuery, Comparison, Field, Filter, Order, SortKey};
use parlour_wire::channels::{CHANNELS_PER_PAGE_MAX, ChannelsResponse, QueryChannels};
use parlour_wire::{ErrorBody, ErrorCode, Timestamp};
use serde_json::{Map, Value};

use super::get_or_create_channel::messages_wanted;
use crate::access::Caller;
use crate::channel_types;
use crate::error::ApiResult;
use crate::node::Node;

const DEPTH_MAX: usize = 5;
const CLAUSES_MAX: usize = 50;
const LIST_MAX: usize = 100;
const TEXT_MAX: usize = 1_000;
/// Pages are cut by count; further than this nobody pages by hand.
const OFFSET_MAX: u32 = 10_000;

pub(crate) async fn query_channels(
    node: &Node,
    caller: &Caller,
    query: QueryChannels,
) -> ApiResult<ChannelsResponse> {
    let limit = query.limit.unwrap_or(10);
    if limit == 0 || limit > CHANNELS_PER_PAGE_MAX {
        let why = format!("`limit` is {limit}; a page has 1 to {CHANNELS_PER_PAGE_MAX} channels.");
        return Err(ErrorCode::InvalidInput.because(why).into());
    }
    let offset = query.next.as_deref().map_or(Ok(0), read_next)?;
    let mut clauses = CLAUSES_MAX;
    let filter = read_filter(&query.filter.into_iter().collect(), 1, &mut clauses)?;
    let mut sort = Vec::new();
    for key in query.sort {
        sort.push(SortKey {
            field: sort_field(&key.field)?,
            order: match key.direction {
                1 => Order::Ascending,
                -1 => Order::Descending,
                other => return Err(unsupported(format!("A direction is 1 or -1, not {other}.")).into()),
            },
        });
    }
    if sort.len() > 4 {
        return Err(unsupported("At most four sort keys are taken.").into());
    }
    if sort.is_empty() {
        sort.push(SortKey { field: Field::LastMessageAt, order: Order::Descending });
    }
    let page = node
        .store
        .query_channels(ChannelQuery {
            app: caller.app.id,
            viewer: caller.user().cloned(),
            public_types: channel_types::open_types(),
            filter,
            sort,
            limit,
            offset,
            messages: messages_wanted(query.messages)?,
        })
        .await?;
    let next = (page.more && offset + limit <= OFFSET_MAX).then(|| write_next(offset + limit));
    Ok(ChannelsResponse { channels: page.channels, next })
}

/// A place between two pages, opaque to the caller.
pub(crate) fn write_next(offset: u32) -> String {
    URL_SAFE_NO_PAD.encode(format!("o{offset}"))
}

pub(crate) fn read_next(text: &str) -> Result<u32, ErrorBody> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok();
    let offset =
        bytes.and_then(|b| String::from_utf8(b).ok()).and_then(|s| s.strip_prefix('o')?.parse().ok());
    offset
        .filter(|offset| *offset <= OFFSET_MAX)
        .ok_or_else(|| ErrorCode::InvalidInput.because("`next` is not the `next` of an earlier page."))
}

fn unsupported(why: impl Into<String>) -> ErrorBody {
    ErrorCode::UnsupportedFilter.because(why)
}

fn read_filter(fields: &Map<String, Value>, depth: usize, clauses: &mut usize) -> Result<Filter, ErrorBody> {
    if depth > DEPTH_MAX {
        return Err(unsupported(format!("A filter nests at most {DEPTH_MAX} levels.")));
    }
    let mut all = Vec::new();
    for (name, value) in fields {
        match name.as_str() {
            "$and" => all.push(Filter::And(read_list(name, value, depth, clauses)?)),
            "$or" => all.push(Filter::Or(read_list(name, value, depth, clauses)?)),
            "$nor" => all.push(Filter::Nor(read_list(name, value, depth, clauses)?)),
            operator if operator.starts_with('$') => {
                return Err(unsupported(format!("{operator} cannot stand here; $and, $or and $nor can.")));
            }
            _ => read_comparisons(&field(name)?, value, clauses, &mut all)?,
        }
    }
    Ok(if all.len() == 1 { all.remove(0) } else { Filter::And(all) })
}

fn read_list(name: &str, value: &Value, depth: usize, clauses: &mut usize) -> Result<Vec<Filter>, ErrorBody> {
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
        filters.push(read_filter(fields, depth + 1, clauses)?);
    }
    Ok(filters)
}

fn read_comparisons(
    field: &Field,
    value: &Value,
    clauses: &mut usize,
    all: &mut Vec<Filter>,
) -> Result<(), ErrorBody> {
    let mut push = |comparison: Comparison| {
        *clauses = clauses
            .checked_sub(1)
            .ok_or_else(|| unsupported(format!("A filter has at most {CLAUSES_MAX} comparisons.")))?;
        check_fit(field, &comparison)?;
        all.push(Filter::Compare { field: field.clone(), comparison });
        Ok(())
    };
    let Value::Object(operators) = value else {
        return push(Comparison::Eq(scalar(value)?));
    };
    if operators.is_empty() {
        return Err(unsupported("A comparison without an operator."));
    }
    for (operator, value) in operators {
        push(match operator.as_str() {
            "$eq" => Comparison::Eq(scalar(value)?),
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
            other => return Err(unsupported(format!("There is no operator {other}."))),
        })?;
    }
    Ok(())
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
fn check_fit(field: &Field, comparison: &Comparison) -> Result<(), ErrorBody> {
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
    match field {
        Field::Members => {
            if !matches!(comparison, Comparison::Eq(_) | Comparison::In(_))
                || !values.iter().all(Value::is_string)
            {
                return Err(unsupported("`members` takes a user id, or $in with a list of them."));
            }
        }
        Field::MemberCount => {
            if is_autocomplete || !values.iter().all(Value::is_number) {
                return Err(unsupported("`member_count` compares with numbers."));
            }
        }
        Field::CreatedAt | Field::UpdatedAt | Field::LastMessageAt => {
            let is_time = |v: &Value| v.as_str().is_some_and(|text| text.parse::<Timestamp>().is_ok());
            if is_autocomplete || !values.iter().all(is_time) {
                return Err(unsupported("Times compare with RFC 3339 texts, such as 2026-11-21T06:47:00Z."));
            }
        }
        Field::Cid | Field::Id | Field::Type | Field::CreatedBy => {
            if !values.iter().all(Value::is_string) {
                return Err(unsupported("Ids compare with texts."));
            }
        }
        Field::Data(_) => {}
    }
    Ok(())
}

fn field(name: &str) -> Result<Field, ErrorBody> {
    Ok(match name {
        "cid" => Field::Cid,
        "id" => Field::Id,
        "type" => Field::Type,
        "members" => Field::Members,
        "member_count" => Field::MemberCount,
        "created_at" => Field::CreatedAt,
        "updated_at" => Field::UpdatedAt,
        "last_message_at" => Field::LastMessageAt,
        "created_by" => Field::CreatedBy,
        "name" => Field::Data("name".to_owned()),
        custom => match custom.strip_prefix("custom.") {
            Some(key) if is_data_key(key) => Field::Data(key.to_owned()),
            _ => {
                return Err(unsupported(format!(
                    "There is no field {custom:?}; custom data is asked for as `custom.<name>`, with 1-64 of a-z, A-Z, 0-9, _ and -."
                )));
            }
        },
    })
}

fn is_data_key(key: &str) -> bool {
    (1..=64).contains(&key.len()) && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

fn sort_field(name: &str) -> Result<Field, ErrorBody> {
    match field(name)? {
        field @ (Field::LastMessageAt
        | Field::UpdatedAt
        | Field::CreatedAt
        | Field::MemberCount
        | Field::Cid) => Ok(field),
        _ => Err(unsupported(format!("Channels are not sorted by {name:?}."))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(filter: Value) -> Result<Filter, String> {
        let mut clauses = CLAUSES_MAX;
        let Value::Object(fields) = filter else { panic!("an object") };
        read_filter(&fields, 1, &mut clauses).map_err(|error| error.code)
    }

    #[test]
    fn equality_needs_no_operator() {
        let expected = Filter::Compare { field: Field::Type, comparison: Comparison::Eq(json!("messaging")) };
        assert_eq!(read(json!({"type": "messaging"})), Ok(expected.clone()));
        assert_eq!(read(json!({"type": {"$eq": "messaging"}})), Ok(expected));
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

    #[test]
    fn next_is_only_what_was_given() {
        assert_eq!(read_next(&write_next(30)), Ok(30));
        for bad in ["", "o30", "!!", "bzk5OTk5OTk5OTk5OTk", "MQ"] {
            assert!(read_next(bad).is_err(), "{bad}");
        }
    }
}
