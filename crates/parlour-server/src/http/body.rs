//! JSON bodies, read strictly: type, size, time, and the text itself.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequest, Request};
use http::header;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use parlour_wire::{ErrorCode, json};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::ApiError;
use crate::node::Node;

/// Whether the body was cut off because too much came of its address. See [`crate::accept`].
fn is_crowded(error: &(dyn Error + 'static)) -> bool {
    let read = error.downcast_ref::<io::Error>();
    read.is_some_and(|error| error.kind() == io::ErrorKind::QuotaExceeded)
        || error.source().is_some_and(is_crowded)
}

/// A body that is one JSON object of this type.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<Node>> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, node: &Arc<Node>) -> Result<Self, ApiError> {
        let Object { value, .. } = Object::read(request, node, node.config.limits.body_bytes_max).await?;
        serde_json::from_value(value)
            .map(Self)
            .map_err(|error| ErrorCode::InvalidInput.because(format!("{error}.")).into())
    }
}

/// A body that is one JSON object, and its size.
pub(super) struct Object {
    pub(super) value: Value,
    pub(super) bytes: usize,
}

impl Object {
    /// Reads a body of at most this many bytes.
    pub(super) async fn read(request: Request, node: &Node, bytes_max: usize) -> Result<Self, ApiError> {
        if !is_json(&request) {
            return Err(ErrorCode::UnsupportedMediaType.into());
        }
        let too_large = || ErrorCode::TooLarge.because(format!("The body is larger than {bytes_max} bytes."));
        let announced =
            request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|bytes| bytes > bytes_max as u64) {
            return Err(too_large().into());
        }
        let reading = Limited::new(request.into_body(), bytes_max).collect();
        let wait = Duration::from_millis(node.config.limits.request_wait_ms);
        let Ok(read) = tokio::time::timeout(wait, reading).await else {
            return Err(ErrorCode::RequestTimeout.into());
        };
        let bytes = match read {
            Ok(body) => body.to_bytes(),
            Err(error) if error.downcast_ref::<LengthLimitError>().is_some() => {
                return Err(too_large().into());
            }
            Err(error) if is_crowded(&*error) => {
                let why = "More comes from this address than is held before it is known from whom.";
                let mut error = ErrorCode::RateLimited.because(why);
                error.retry_after = Some(1);
                return Err(error.into());
            }
            Err(_) => return Err(ErrorCode::InvalidInput.because("The body broke off.").into()),
        };
        let value =
            json::parse(&bytes).map_err(|error| ErrorCode::InvalidJson.because(format!("{error}.")))?;
        if !value.is_object() {
            return Err(ErrorCode::InvalidInput.because("The body has to be a JSON object.").into());
        }
        Ok(Self { value, bytes: bytes.len() })
    }
}

/// `application/json`, in UTF-8 if anything is said of it.
fn is_json(request: &Request) -> bool {
    let Some(content_type) = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()) else {
        return false;
    };
    let mut parts = content_type.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default();
    let is_utf8 = parts.all(|parameter| match parameter.split_once('=') {
        Some((name, value)) if name.eq_ignore_ascii_case("charset") => {
            value.trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    });
    media.eq_ignore_ascii_case("application/json") && is_utf8
}
