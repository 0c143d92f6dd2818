//! Which fields of a user object count, on every path alike.

use std::collections::{BTreeMap, BTreeSet};

use parlour_wire::users::{Role, TEAMS_PER_USER_MAX, USER_BYTES_LIMIT, USER_READ_ONLY_FIELDS};
use parlour_wire::{ErrorBody, ErrorCode, Team};
use serde_json::Value;

/// Own fields that only the user itself and servers see.
pub(crate) const PRIVATE_FIELDS: &[&str] = &["privacy_settings", "invisible"];
/// What `privacy_settings` may hold.
const PRIVACY_SETTINGS: &[&str] = &["typing_indicators", "read_receipts", "delivery_receipts"];

/// A user object taken apart.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct UserFields {
    /// The user's own: `name`, `image`, custom.
    pub(crate) own: BTreeMap<String, Value>,
    pub(crate) role: Option<Role>,
    /// Each once, in their order.
    pub(crate) teams: Option<Vec<Team>>,
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
                let teams: BTreeSet<Team> = serde_json::from_value(value)
                    .map_err(|error| wrong("teams", format!("is no list of team names: {error}")))?;
                if teams.len() > TEAMS_PER_USER_MAX {
                    let why = format!("names {} teams; a user has at most {TEAMS_PER_USER_MAX}", teams.len());
                    return Err(wrong("teams", why));
                }
                taken.teams = Some(teams.into_iter().collect());
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
                check_privacy(&value).map_err(|(field, why)| wrong(&field, why))?;
                taken.own.insert(name, value);
            }
            (field, _) if field.starts_with("privacy_settings.") => {
                let why = "is no field of its own; set `privacy_settings` as a whole".to_owned();
                return Err(wrong(field, why));
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

/// Privacy settings are exactly what they can be: one that is misspelt would be taken for one that is not there, and
/// show what its user believes to be hidden. Answers the field that is wrong, and why.
fn check_privacy(settings: &Value) -> Result<(), (String, String)> {
    let at = |path: &[&str]| [&["privacy_settings"], path].concat().join(".");
    let Value::Object(settings) = settings else {
        return Err((at(&[]), "has to be an object of settings".to_owned()));
    };
    for (name, setting) in settings {
        if !PRIVACY_SETTINGS.contains(&name.as_str()) {
            let known = PRIVACY_SETTINGS.join(", ");
            return Err((at(&[name]), format!("is no privacy setting; there are {known}")));
        }
        let Value::Object(setting) = setting else {
            return Err((at(&[name]), "has to be an object such as {\"enabled\": false}".to_owned()));
        };
        if let Some(other) = setting.keys().find(|key| *key != "enabled") {
            return Err((
                at(&[name, other]),
                "is not known; a setting has `enabled` and nothing else".to_owned(),
            ));
        }
        if !setting.get("enabled").is_some_and(Value::is_boolean) {
            return Err((at(&[name, "enabled"]), "has to be true or false".to_owned()));
        }
    }
    Ok(())
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
            json!({"teams": ["red team"]}),
            json!({"teams": [""]}),
            json!({"teams": (0..101).map(|n| format!("t{n}")).collect::<Vec<_>>()}),
            json!({"invisible": "yes"}),
            json!({"privacy_settings": {"read_receipts": true}}),
            json!({"": 1}),
        ] {
            assert_eq!(take(bad.clone()), Err("invalid_input".to_owned()), "{bad}");
        }
    }

    #[test]
    fn a_privacy_setting_that_is_not_one_is_named_f3_1() {
        let on = json!({ "enabled": true });
        for (bad, field) in [
            (json!(null), "privacy_settings"),
            (json!(false), "privacy_settings"),
            (json!([on]), "privacy_settings"),
            (json!({"read_receipt": on}), "privacy_settings.read_receipt"),
            (json!({"typing_indicators": on, "": on}), "privacy_settings."),
            (json!({"read_receipts": false}), "privacy_settings.read_receipts"),
            (json!({"read_receipts": null}), "privacy_settings.read_receipts"),
            (json!({"delivery_receipts": {}}), "privacy_settings.delivery_receipts.enabled"),
            (json!({"delivery_receipts": {"enabled": 0}}), "privacy_settings.delivery_receipts.enabled"),
            (json!({"typing_indicators": {"enabled": "no"}}), "privacy_settings.typing_indicators.enabled"),
            (json!({"typing_indicators": {"Enabled": false}}), "privacy_settings.typing_indicators.Enabled"),
        ] {
            let fields = [("privacy_settings".to_owned(), bad.clone())].into();
            let error = take_apart(fields).unwrap_err();
            assert_eq!(error.code, "invalid_input", "{bad}");
            assert_eq!(error.fields.keys().collect::<Vec<_>>(), [field], "{bad}: {error:?}");
        }
        for good in
            [json!({}), json!({"read_receipts": on}), json!({"delivery_receipts": {"enabled": false}})]
        {
            assert!(take(json!({ "privacy_settings": good })).is_ok(), "{good}");
        }
    }

    #[test]
    fn teams_are_each_once_and_in_order() {
        let taken = take(json!({"teams": ["red", "blue", "red"]})).unwrap().teams.unwrap();
        assert_eq!(taken.iter().map(Team::as_str).collect::<Vec<_>>(), ["blue", "red"]);
    }

    #[test]
    fn own_fields_are_smaller_than_5120_bytes() {
        let frame = json!({"a": ""}).to_string().len();
        assert!(take(json!({"a": "x".repeat(5_119 - frame)})).is_ok());
        assert_eq!(take(json!({"a": "x".repeat(5_120 - frame)})), Err("too_large".to_owned()));
    }
}
