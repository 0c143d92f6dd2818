//! The one error of the SDK.

use std::fmt;

use parlour_wire::{ErrorBody, ErrorCode, IdError};

/// What went wrong, in the shape that every door of Parlour uses: a stable code, a sentence, and what to do.
///
/// Errors of the server come through as they are; those that arise in the client (`not_logged_in`,
/// `already_connected_as`, `timeout`, `network`, `outbox_full`, …) look the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    /// Boxed, so that a `Result` stays small.
    pub body: Box<ErrorBody>,
}

impl Error {
    /// The stable code, such as `not_found`.
    pub fn code(&self) -> &str {
        &self.body.code
    }

    /// Whether this is that error.
    pub fn is(&self, code: ErrorCode) -> bool {
        self.body.code == code.as_str()
    }

    /// Whether the same call may succeed later, unchanged.
    pub fn retryable(&self) -> bool {
        self.body.retryable
    }

    pub(crate) fn because(code: ErrorCode, message: impl Into<String>) -> Self {
        code.because(message).into()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.body.fmt(f)
    }
}

impl std::error::Error for Error {}

impl From<ErrorBody> for Error {
    fn from(body: ErrorBody) -> Self {
        Self { body: Box::new(body) }
    }
}

impl From<ErrorCode> for Error {
    fn from(code: ErrorCode) -> Self {
        code.error().into()
    }
}

impl From<IdError> for Error {
    fn from(error: IdError) -> Self {
        Self::because(ErrorCode::InvalidId, error.to_string())
    }
}
