//! Pages: how long they are, and the places between them, opaque to whoever asks.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parlour_store::{Key, Place};
use parlour_wire::channels::SortBy;
use parlour_wire::{ErrorBody, ErrorCode};

/// Where pages are cut by count, nobody pages further than this by hand.
const OFFSET_MAX: u32 = 10_000;

/// The limit that was asked for, if a page may be so long.
pub(crate) fn limit(asked: Option<u32>, default: u32, max: u32) -> Result<u32, ErrorBody> {
    let limit = asked.unwrap_or(default);
    if limit == 0 || limit > max {
        let why = format!("`limit` is {limit}; a page has 1 to {max}.");
        return Err(ErrorCode::InvalidInput.because(why));
    }
    Ok(limit)
}

/// The order's name, which stands in its places: a place of another order would be none of this one.
pub(crate) fn order(sort: &[SortBy]) -> String {
    sort.iter().map(|key| format!("{}{:+} ", key.field, key.direction)).collect()
}

pub(crate) fn write(place: &Place, order: &str) -> String {
    let key = |key: &Key| match key {
        Key::Null => "n".to_owned(),
        Key::Integer(number) => format!("i{number}"),
        // Its bits, for the digits of another reader might be another number.
        Key::Real(number) => format!("r{:x}", number.to_bits()),
        Key::Text(text) => format!("t{text}"),
    };
    let keys: Vec<String> = std::iter::once(order.to_owned()).chain(place.0.iter().map(key)).collect();
    URL_SAFE_NO_PAD.encode(serde_json::json!(keys).to_string())
}

pub(crate) fn read(next: &str, order: &str) -> Result<Place, ErrorBody> {
    let key = |text: &String| {
        let (kind, value) = text.split_at_checked(1)?;
        Some(match kind {
            "n" if value.is_empty() => Key::Null,
            "i" => Key::Integer(value.parse().ok()?),
            "r" => Key::Real(f64::from_bits(u64::from_str_radix(value, 16).ok()?)),
            "t" => Key::Text(value.to_owned()),
            _ => return None,
        })
    };
    let place = || {
        let keys: Vec<String> = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(next).ok()?).ok()?;
        let (named, keys) = keys.split_first()?;
        (named == order).then(|| keys.iter().map(key).collect::<Option<_>>().map(Place))?
    };
    place().ok_or_else(no_page)
}

/// A place between two pages that are cut by count.
pub(crate) fn write_offset(offset: u32) -> String {
    URL_SAFE_NO_PAD.encode(format!("o{offset}"))
}

pub(crate) fn read_offset(text: &str) -> Result<u32, ErrorBody> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok();
    let offset =
        bytes.and_then(|b| String::from_utf8(b).ok()).and_then(|s| s.strip_prefix('o')?.parse().ok());
    offset.filter(|offset| *offset <= OFFSET_MAX).ok_or_else(no_page)
}

/// Not the `next` of an earlier page of the same query.
pub(crate) fn no_page() -> ErrorBody {
    ErrorCode::InvalidInput.because("`next` is not the `next` of an earlier page of the same query.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_only_what_was_given() {
        assert_eq!(read_offset(&write_offset(30)), Ok(30));
        for bad in ["", "o30", "!!", "bzk5OTk5OTk5OTk5OTk", "MQ"] {
            assert!(read_offset(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_place_comes_back_as_it_was_and_in_no_other_order() {
        let keys = vec![
            Key::Null,
            Key::Integer(i64::MIN),
            Key::Real(0.1 + 0.2),
            Key::Real(-0.0),
            Key::Text(String::new()),
            Key::Text("n\u{0}\"é\u{202e}".to_owned()),
        ];
        let place = Place(keys);
        let next = write(&place, "name+1 ");
        assert_eq!(read(&next, "name+1 "), Ok(place));
        for (next, order) in [(next.as_str(), "name-1 "), (next.as_str(), ""), ("", "name+1 "), ("W10", "")] {
            assert!(read(next, order).is_err(), "{next} {order}");
        }
        for bad in [r#"["","x"]"#, r#"["",""]"#, r#"["","i1.5"]"#, r#"["","n1"]"#, r#"["",7]"#, r#"{"":1}"#] {
            assert!(read(&URL_SAFE_NO_PAD.encode(bad), "").is_err(), "{bad}");
        }
        assert_eq!(read(&URL_SAFE_NO_PAD.encode(r#"["","i7"]"#), ""), Ok(Place(vec![Key::Integer(7)])));
    }
}
