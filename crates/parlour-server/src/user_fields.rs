//! Which fields of a user object count, on every path alike.

use std::collections::BTreeMap;

use parlour_wire::users::{PrivacySettings, Role, USER_BYTES_LIMIT, USER_READ_ONLY_FIELDS};
use parlour_wire::{ErrorBody, ErrorCode};
use serde_json::Value;

/// A user object taken apart.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct UserFields {
    /// The user's own: `name`, `image`, custom.
    pub(crate) own: BTreeMap<String, Value>,
    pub(crate) role: Option<Role>,
    pub(crate) teams: Option<Vec<String>>,
}

/// Takes a user object apart: fields that only the server sets are left out (an app may send back the object
/// that it got), those with a meaning are checked.
pub(crate) fn take_apart(fields: BTreeMap<String, Value>) -> Result<UserFields, ErrorBody> {
    let wrong = |field: &str, why: String| {
        let mut error = ErrorCode::InvalidInput.because(format!("The user's field `{field}` {why}."));
        error.fields.insert(field.to_owned(), why);
        error
    };
    let mut taken = UserFields::default();
    for (name, value) in fields {
        match (name.as_str(), value) {
            ("id", _) => {}
            (field, _) if USER_READ_ONLY_FIELDS.contains(&field) => {}
            ("role", Value::String(role)) => taken.role = Some(Role::from(role.as_str())),
            ("role", other) => return Err(wrong("role", format!("is {other}; it has to be text"))),
            ("teams", value) => {
                let teams = serde_json::from_value(value)
                    .map_err(|_| wrong("teams", "is no list of team names".to_owned()))?;
                taken.teams = Some(teams);
            }
            (field @ ("name" | "image" | "status"), value @ (Value::String(_) | Value::Null)) => {
                taken.own.insert(field.to_owned(), value);
            }
            (field @ ("name" | "image" | "status"), other) => {
                return Err(wrong(field, format!("is {other}; it has to be text")));
            }
            ("invisible", value @ Value::Bool(_)) => {
                taken.own.insert(name, value);
            }
            ("invisible", other) => {
                return Err(wrong("invisible", format!("is {other}; it has to be true or false")));
            }
            ("privacy_settings", value) => {
                let parsed: Result<PrivacySettings, _> = serde_json::from_value(value.clone());
                if let Err(error) = parsed {
                    return Err(wrong("privacy_settings", format!("does not fit: {error}")));
                }
                taken.own.insert(name, value);
            }
            ("", _) => return Err(wrong("", "has an empty name".to_owned())),
            (_, value) => {
                taken.own.insert(name, value);
            }
        }
    }
    // The merged user is checked where it is merged; this only keeps a hopeless one from getting there.
    let bytes = serde_json::to_vec(&taken.own).map_or(0, |json| json.len());
    if bytes >= USER_BYTES_LIMIT {
        return Err(ErrorCode::TooLarge.because(format!(
            "The user's fields have {bytes} bytes as compact JSON; the limit is {USER_BYTES_LIMIT}."
        )));
    }
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn take(value: Value) -> Result<UserFields, String> {
        take_apart(serde_json::from_value(value).unwrap()).map_err(|error| error.code)
    }

    #[test]
    fn what_only_the_server_sets_is_left_out() {
        let fields =
            take(json!({"id": "x", "name": "A", "online": true, "created_at": 7, "total_unread_count": 9}))
                .unwrap();
        assert_eq!(fields.own, BTreeMap::from([("name".to_owned(), json!("A"))]));
    }

    #[test]
    fn fields_with_a_meaning_have_their_type() {
        for bad in [
            json!({"name": 7}),
            json!({"image": []}),
            json!({"role": true}),
            json!({"teams": "red"}),
            json!({"invisible": "yes"}),
            json!({"privacy_settings": {"read_receipts": true}}),
            json!({"": 1}),
        ] {
            assert_eq!(take(bad.clone()), Err("invalid_input".to_owned()), "{bad}");
        }
    }

    #[test]
    fn own_fields_are_smaller_than_5120_bytes() {
        let frame = json!({"a": ""}).to_string().len();
        assert!(take(json!({"a": "x".repeat(5_119 - frame)})).is_ok());
        assert_eq!(take(json!({"a": "x".repeat(5_120 - frame)})), Err("too_large".to_owned()));
    }
}
