//! What every request goes through, outermost: its id, its size, its log line, and the writing of errors.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use parlour_wire::ErrorCode;
use parlour_wire::error::ErrorResponse;

use crate::error::{ApiError, ErrorToWrite};
use crate::node::Node;

/// The longest path and query.
const URI_BYTES_MAX: usize = 8 * 1024;

/// Where a request's TCP connection comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeerAddress(pub(crate) IpAddr);

/// Told of a request whose head stated the length of its body by `Content-Length` and by `Transfer-Encoding`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LengthStatedTwice;

/// Told of a request behind a proxy whose client has as many connections and requests that only wait as it may.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crowded;

/// A connection on which chunks come, or something else is wished for than HTTP, carries no request after this one:
/// whoever stands between the client and us may differ over where it ends, and then over what comes next.
fn ends_connection(headers: &HeaderMap) -> bool {
    headers.contains_key(header::TRANSFER_ENCODING) || headers.contains_key(header::UPGRADE)
}

pub(super) async fn finish(State(node): State<Arc<Node>>, request: Request, next: Next) -> Response {
    let request_id = node.next_request();
    let method = request.method().clone();
    // The query stays out of the log: callers put things there that are nobody's business.
    let path = request.uri().path().to_owned();
    let uri_bytes = request.uri().path_and_query().map_or(0, |uri| uri.as_str().len());
    let ends_connection = ends_connection(request.headers());
    let mut response = if request.extensions().get::<LengthStatedTwice>().is_some() {
        let why = "`Content-Length` and `Transfer-Encoding` both state where the body ends.";
        ApiError::from(ErrorCode::InvalidInput.because(why)).into_response()
    } else if request.extensions().get::<Crowded>().is_some() {
        let mut error = ErrorCode::RateLimited.because("Too many connections of this address only wait.");
        error.retry_after = Some(1);
        ApiError::from(error).into_response()
    } else if uri_bytes > URI_BYTES_MAX {
        ApiError::from(ErrorCode::UriTooLong).into_response()
    } else {
        next.run(request).await
    };
    if let Some(ErrorToWrite { mut body, source }) = response.extensions_mut().remove::<ErrorToWrite>() {
        body.request_id.clone_from(&request_id);
        if body.status >= 500 {
            let source = source.as_deref().unwrap_or("-");
            tracing::error!(%request_id, %method, path, code = body.code, source, "a request failed");
        } else {
            tracing::debug!(%request_id, %method, path, code = body.code, message = body.message, "a request was refused");
        }
        let mut written = (response.status(), axum::Json(ErrorResponse { error: body })).into_response();
        // What the layers said of the refusal stays said; what they said of its body is over.
        for (name, value) in response.headers() {
            if name != header::CONTENT_LENGTH && name != header::CONTENT_TYPE {
                written.headers_mut().append(name, value.clone());
            }
        }
        response = written;
    }
    let is_http = response.status() != StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    if ends_connection && is_http {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        headers.insert("x-request-id", value);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
