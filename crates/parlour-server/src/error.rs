//! Errors on their way out of a handler.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use parlour_store::{BanKind, Restriction, StoreError};
use parlour_wire::devices::DEVICES_PER_USER_MAX;
use parlour_wire::{ErrorBody, ErrorCode};

use crate::access::because_of;

/// What a handler answers instead of a result. The body is written by the outermost layer, which knows the
/// request's id and logs what is the server's own fault.
#[derive(Debug)]
pub(crate) struct ApiError {
    body: Box<ErrorBody>,
    /// For the log, never for the caller.
    source: Option<String>,
}

pub(crate) type ApiResult<T> = Result<T, ApiError>;

/// What the outermost layer finds in a response that is an error.
#[derive(Clone, Debug)]
pub(crate) struct ErrorToWrite {
    pub(crate) body: ErrorBody,
    pub(crate) source: Option<String>,
}

impl ApiError {
    /// The error as frames and clients see it.
    pub(crate) fn into_body(self) -> ErrorBody {
        *self.body
    }
}

impl From<ErrorBody> for ApiError {
    fn from(body: ErrorBody) -> Self {
        Self { body: Box::new(body), source: None }
    }
}

impl From<ErrorCode> for ApiError {
    fn from(code: ErrorCode) -> Self {
        code.error().into()
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        let mut body = match &error {
            StoreError::NotFound | StoreError::NotMember => ErrorCode::NotFound.error(),
            StoreError::IdConflict => ErrorCode::IdConflict.error(),
            StoreError::TooManyKeys => ErrorCode::InvalidInput.because(format!(
                "The app has {} keys beside its secret, which are as many as it may: remove one.",
                parlour_wire::app::KEYS_MAX
            )),
            StoreError::TokenRevoked => ErrorCode::TokenRevoked.error(),
            StoreError::Banned { ends_at, reason } => {
                let (kind, ends_at, reason) = (BanKind::Open, *ends_at, reason.clone());
                because_of(ErrorCode::UserBanned, &Restriction { kind, ends_at, reason })
            }
            StoreError::BannedFromChannel => ErrorCode::BannedFromChannel.error(),
            StoreError::TooMany { limit } => {
                ErrorCode::InvalidInput.because(format!("There would be more than {limit} of them."))
            }
            StoreError::UnknownUsers(users) => {
                let names: Vec<_> = users.iter().map(ToString::to_string).collect();
                let names = names.join(", ");
                ErrorCode::InvalidInput
                    .because(format!("No such users, or none of the channel's team: {names}."))
            }
            StoreError::Inactive(user, why) => crate::standings::inactive(user, *why),
            StoreError::TooManyDevices => ErrorCode::TooManyDevices
                .because(format!("The user has {DEVICES_PER_USER_MAX} devices, and may not have more.")),
            StoreError::OutsideTeam(team) => {
                ErrorCode::NotAllowed.because(format!("The user is not of the team {team}."))
            }
            StoreError::TeamNotNamed => ErrorCode::InvalidInput.because(
                "The user has several teams: name the one that the channel is to belong to in `team`.",
            ),
            StoreError::NoSuchPlace => crate::chat::pages::no_page(),
            StoreError::TooLarge { bytes, limit } => ErrorCode::TooLarge.because(format!(
                "The object would have {bytes} bytes as compact JSON; the limit is {limit}."
            )),
            StoreError::Full => ErrorCode::StorageFull.error(),
            StoreError::ReadOnly => ErrorCode::ReadOnly.error(),
            StoreError::Overloaded => {
                ErrorCode::Unavailable.because("More writes wait than the server takes on.")
            }
            StoreError::Backend(_) => ErrorCode::Internal.error(),
        };
        if body.retryable {
            body.retry_after = Some(1);
        }
        let source = (body.status >= 500).then_some(message);
        Self { body: Box::new(body), source }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.body.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        if let Some(seconds) = self.body.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(ErrorToWrite { body: *self.body, source: self.source });
        response
    }
}
