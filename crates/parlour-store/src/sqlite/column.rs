//! What columns hold, as types: texts that are ids, texts that are JSON, numbers that are seqs and times.
//!
//! A value that does not fit its type is an error of its row and of nothing else (see [`is_of_one_row`]).

use std::collections::BTreeMap;
use std::str::FromStr;

use parlour_wire::Timestamp;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, Value as Sql, ValueRef};
use rusqlite::{Error, ToSql};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Result, StoreError};

/// A text that is an id, or anything else that is read from text.
pub(super) struct Parsed<T>(pub(super) T);

impl<T: FromStr<Err: std::error::Error + Send + Sync + 'static>> FromSql for Parsed<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map(Self).map_err(FromSqlError::other)
    }
}

/// A text that is JSON.
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned> FromSql for Json<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        serde_json::from_str(value.as_str()?).map(Self).map_err(FromSqlError::other)
    }
}

/// A number that is never negative: a seq or a count.
#[derive(Clone, Copy)]
pub(super) struct Count(pub(super) u64);

impl FromSql for Count {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let number = value.as_i64()?;
        u64::try_from(number).map(Self).map_err(|_| FromSqlError::OutOfRange(number))
    }
}

impl ToSql for Count {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        // Beyond what SQLite counts to there is no row, so that the end of its range stands for all of it.
        Ok(ToSqlOutput::Owned(Sql::Integer(i64::try_from(self.0).unwrap_or(i64::MAX))))
    }
}

/// A moment.
pub(super) struct Time(pub(super) Timestamp);

impl FromSql for Time {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(Timestamp::from_unix_ms).map(Self)
    }
}

impl ToSql for Time {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Owned(Sql::Integer(self.0.unix_ms())))
    }
}

/// Compact JSON, as it is stored.
pub(super) fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|e| StoreError::Backend(e.to_string()))
}

/// The fields as compact JSON, if they have at most `limit` bytes.
pub(super) fn json_within(fields: &BTreeMap<String, Value>, limit: usize) -> Result<String> {
    let text = json(fields)?;
    if text.len() > limit {
        return Err(StoreError::TooLarge { bytes: text.len(), limit });
    }
    Ok(text)
}

/// Whether the error says only that this row cannot be understood, so that all others still can.
pub(super) fn is_of_one_row(error: &Error) -> bool {
    matches!(
        error,
        Error::FromSqlConversionFailure(..)
            | Error::InvalidColumnType(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::Utf8Error(..)
    )
}

/// The rows that can be understood. Those that cannot are reported and passed over: one bad row must not
/// keep anybody from all the others.
pub(super) fn readable<T>(
    rows: impl Iterator<Item = rusqlite::Result<T>>,
    what: &'static str,
) -> Result<Vec<T>> {
    let mut found = Vec::new();
    for row in rows {
        match row {
            Ok(value) => found.push(value),
            Err(error) if is_of_one_row(&error) => {
                tracing::error!(what, %error, "a stored row cannot be read and is passed over");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}
