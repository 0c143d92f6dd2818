//! Points in time on the wire.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::string_schema;

const DAY_MS: i64 = 86_400_000;
/// 9999-12-31T23:59:59.999Z: the last moment that four digits of a year can name.
const MAX_MS: i64 = 253_402_300_799_999;

/// A moment in UTC to the millisecond, as RFC 3339 on the wire: `2026-11-21T06:47:00.123Z`.
///
/// ```
/// use parlour_wire::Timestamp;
/// let t = Timestamp::from_unix_ms(1_795_243_620_123);
/// assert_eq!(t.to_string(), "2026-11-21T06:47:00.123Z");
/// assert_eq!("2026-11-21T07:47:00.123+01:00".parse(), Ok(t));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Milliseconds since 1970-01-01T00:00:00Z. Held within the years 0 to 9999.
    pub fn from_unix_ms(ms: i64) -> Self {
        Self(ms.clamp(-62_167_219_200_000, MAX_MS))
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub fn unix_ms(self) -> i64 {
        self.0
    }

    /// The UTC calendar month, `2026-11`: what monthly active users are counted by.
    pub fn month(self) -> String {
        let (year, month, _) = civil_from_days(self.0.div_euclid(DAY_MS));
        format!("{year:04}-{month:02}")
    }

    /// When the UTC calendar month began that holds this moment.
    ///
    /// ```
    /// # use parlour_wire::Timestamp;
    /// let t: Timestamp = "2026-12-21T06:47:00Z".parse().unwrap();
    /// assert_eq!(t.month_start().to_string(), "2026-12-01T00:00:00.000Z");
    /// assert_eq!(t.next_month_start().to_string(), "2027-01-01T00:00:00.000Z");
    /// ```
    #[must_use]
    pub fn month_start(self) -> Self {
        let (year, month, _) = civil_from_days(self.0.div_euclid(DAY_MS));
        Self::from_unix_ms(days_from_civil(year, month, 1) * DAY_MS)
    }

    /// When the UTC calendar month begins after the one that holds this moment.
    #[must_use]
    pub fn next_month_start(self) -> Self {
        let (year, month, _) = civil_from_days(self.0.div_euclid(DAY_MS));
        let (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
        Self::from_unix_ms(days_from_civil(year, month, 1) * DAY_MS)
    }
}

/// Year, month and day of the day that begins `days` days after 1970-01-01, in the Gregorian calendar.
/// The algorithm counts from March, so that the leap day is the last of its year.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.0.div_euclid(DAY_MS));
        let ms = self.0.rem_euclid(DAY_MS);
        let (h, m, s, ms) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60, ms % 1_000);
        write!(f, "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{ms:03}Z")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A text that is no RFC 3339 time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimestampError;

impl fmt::Display for TimestampError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time is RFC 3339 with its zone, such as 2026-11-21T06:47:00.123Z")
    }
}

impl std::error::Error for TimestampError {}

impl std::str::FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        parse(text.as_bytes()).ok_or(TimestampError)
    }
}

fn parse(text: &[u8]) -> Option<Timestamp> {
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let digits = text.get(range)?;
        digits.iter().try_fold(0, |n, d| d.is_ascii_digit().then(|| n * 10 + i64::from(d - b'0')))
    };
    let mark = |at: usize, marks: &[u8]| text.get(at).is_some_and(|c| marks.contains(c)).then_some(());
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (h, m, s) = (number(11..13)?, number(14..16)?, number(17..19)?);
    for (at, marks) in [(4, &b"-"[..]), (7, b"-"), (10, b"Tt "), (13, b":"), (16, b":")] {
        mark(at, marks)?;
    }
    let mut at = 19;
    let mut ms = 0;
    if text.get(at) == Some(&b'.') {
        let fraction = text[at + 1..].iter().take_while(|c| c.is_ascii_digit()).count();
        if fraction == 0 {
            return None;
        }
        for place in 0..3 {
            ms = ms * 10 + if place < fraction { i64::from(text[at + 1 + place] - b'0') } else { 0 };
        }
        at += 1 + fraction;
    }
    let offset_minutes = match text.get(at)? {
        b'Z' | b'z' if text.len() == at + 1 => 0,
        sign @ (b'+' | b'-') if text.len() == at + 6 => {
            mark(at + 3, b":")?;
            let (hours, minutes) = (number(at + 1..at + 3)?, number(at + 4..at + 6)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let minutes = hours * 60 + minutes;
            if *sign == b'-' { -minutes } else { minutes }
        }
        _ => return None,
    };
    let days = days_from_civil(year, month, day);
    // A leap second is taken as the second after it; a day that the month does not have is refused.
    let exists = (1..=12).contains(&month) && civil_from_days(days) == (year, month, day);
    if !exists || h > 23 || m > 59 || s > 60 {
        return None;
    }
    let minutes = h * 60 + m - offset_minutes;
    Some(Timestamp::from_unix_ms(days * DAY_MS + minutes * 60_000 + s * 1_000 + ms))
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

string_schema!(Timestamp);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_and_back_agrees_with_an_established_calendar(ms in -62_167_219_200_000_i64..MAX_MS) {
            let ours = Timestamp::from_unix_ms(ms).to_string();
            let theirs: jiff::Timestamp = ours.parse().unwrap();
            prop_assert_eq!(theirs.as_millisecond(), ms);
            prop_assert_eq!(ours.parse::<Timestamp>().unwrap().unix_ms(), ms);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[0-9TZ:+. -]{0,40}") {
            let _ = text.parse::<Timestamp>();
        }
    }

    #[test]
    fn what_does_not_exist_is_refused() {
        for bad in [
            "",
            "2026-11-21",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-11-21T24:00:00Z",
            "2026-11-21T06:47:00",
            "2026-11-21T06:47:00.Z",
            "2026-11-21T06:47:00Zx",
            "2026/11/21T06:47:00Z",
            "2026-11-21T06:47:00+24:00",
        ] {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad:?}");
        }
    }
}
