//! The strict reading of JSON that we interpret.
//!
//! What two parsers could read differently is refused at the door: duplicate keys (one parser keeps the
//! first, another the last), NUL in text (PostgreSQL's jsonb refuses it), integers beyond 2⁵³ (JavaScript
//! rounds them), numbers that overflow, and nesting deeper than 32 (so that clients in every language can
//! read it back).

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// How deep objects and arrays may nest.
pub const DEPTH_MAX: usize = 32;
/// The largest magnitude of an integer that every JSON parser keeps exactly: 2⁵³.
pub const INTEGER_MAX: u64 = 1 << 53;

/// Why a text is refused, in words that name the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError(String);

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for JsonError {}

/// Reads one JSON value, strictly.
///
/// ```
/// use parlour_wire::json;
/// assert!(json::parse(br#"{"role":"user"}"#).is_ok());
/// assert!(json::parse(br#"{"role":"user","role":"admin"}"#).is_err());
/// ```
///
/// # Errors
/// Not JSON, or JSON that two parsers could read differently.
pub fn parse(text: &[u8]) -> Result<Value, JsonError> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = Strict { depth: 0 }.deserialize(&mut deserializer).map_err(|e| JsonError(e.to_string()))?;
    deserializer.end().map_err(|e| JsonError(e.to_string()))?;
    Ok(value)
}

/// Reads one JSON value strictly into a type.
///
/// # Errors
/// As [`parse`], or a value that does not fit the type.
pub fn parse_as<T: de::DeserializeOwned>(text: &[u8]) -> Result<T, JsonError> {
    serde_json::from_value(parse(text)?).map_err(|e| JsonError(e.to_string()))
}

struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: de::Error>(&self) -> Result<Self, E> {
        if self.depth == DEPTH_MAX {
            return Err(E::custom(format!("nested deeper than {DEPTH_MAX} levels")));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

fn check_text<E: de::Error>(text: &str) -> Result<(), E> {
    if text.contains('\0') {
        return Err(E::custom("text with a NUL character (\\u0000)"));
    }
    Ok(())
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        if value > INTEGER_MAX {
            return Err(E::custom(format!("the integer {value} is beyond 2^53; send it as a string")));
        }
        Ok(Value::from(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        if value.unsigned_abs() > INTEGER_MAX {
            return Err(E::custom(format!("the integer {value} is beyond -2^53; send it as a string")));
        }
        Ok(Value::from(value))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        // An integer of more than 19 digits arrives here already rounded to a float, and so does 1e300:
        // neither can be kept exactly, so both are refused beyond 2⁵³ when they have no fraction.
        if value.abs() > INTEGER_MAX as f64 {
            return Err(E::custom(format!("the number {value:e} is beyond 2^53; send it as a string")));
        }
        let number = Number::from_f64(value).ok_or_else(|| E::custom("a number that is not finite"))?;
        Ok(Value::Number(number))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        check_text(text)?;
        Ok(Value::String(text.to_owned()))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Value, E> {
        check_text(&text)?;
        Ok(Value::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self.deeper()?)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            check_text(&key)?;
            if fields.contains_key(&key) {
                return Err(de::Error::custom(format!("the key {key:?} stands twice in one object")));
            }
            let value = map.next_value_seed(self.deeper()?)?;
            fields.insert(key, value);
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        parse(text.as_bytes()).expect_err(text).to_string()
    }

    #[test]
    fn what_two_parsers_read_differently_is_refused() {
        assert!(refused(r#"{"role":"user","role":"admin"}"#).contains(r#"the key "role" stands twice"#));
        assert!(refused(r#"{"a":{"b":1,"b":2}}"#).contains("twice"));
        assert!(refused(r#"{"a":"\u0000"}"#).contains("NUL"));
        assert!(refused(r#"{"a\u0000":1}"#).contains("NUL"));
        assert!(refused("9007199254740993").contains("2^53"));
        assert!(refused("-9007199254740993").contains("2^53"));
        assert!(refused("123456789012345678901234567890").contains("2^53"));
        assert!(refused("1e400").contains("number out of range"));
        assert!(parse(br#""\ud800""#).is_err(), "a lone surrogate");
    }

    #[test]
    fn the_limits_themselves_are_allowed() {
        assert_eq!(parse(b"9007199254740992").unwrap(), Value::from(1_u64 << 53));
        assert_eq!(parse(b"-9007199254740992").unwrap(), Value::from(-(1_i64 << 53)));
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(parse(nested(DEPTH_MAX).as_bytes()).is_ok());
        assert!(refused(&nested(DEPTH_MAX + 1)).contains("deeper than 32"));
    }

    #[test]
    fn a_hundred_thousand_brackets_do_not_overflow_the_stack() {
        assert!(parse("[".repeat(100_000).as_bytes()).is_err());
        assert!(parse(r#"{"a":"#.repeat(100_000).as_bytes()).is_err());
    }

    #[test]
    fn nothing_may_follow_the_value() {
        assert!(parse(b"{} {}").is_err());
        assert!(parse(b"\xef\xbb\xbf{}").is_err(), "a byte order mark is not JSON");
        assert!(parse(b"\"\xff\"").is_err());
    }
}
