//! The handshake that turns an HTTP/1.1 connection into a WebSocket.

use std::sync::Mutex;
use std::time::Duration;

use aws_lc_rs::digest;
use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use hyper::upgrade::{OnUpgrade, Parts, Upgraded};
use hyper_util::rt::TokioIo;
use parlour_wire::{ErrorBody, ErrorCode};
use tokio::net::TcpStream;

use crate::accept::Peer;
use crate::gateway::websocket::WebSocket;

/// What the standard has put behind the key before it is hashed.
const KEY_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A request that asks for a WebSocket as the standard wants it.
pub(super) struct Upgrade {
    accept: HeaderValue,
    on_upgrade: OnUpgrade,
}

impl Upgrade {
    /// # Errors
    /// Says which header is missing: most often because a proxy on the way took it off.
    pub(super) fn from_request(parts: &mut http::request::Parts) -> Result<Self, ErrorBody> {
        if parts.method != Method::GET {
            return Err(ErrorCode::MethodNotAllowed.error());
        }
        let headers = &parts.headers;
        let missing = |why: &str| Err(ErrorCode::UpgradeRequired.because(why));
        if !names(headers, header::CONNECTION, "upgrade") {
            return missing(
                "The header `Connection: Upgrade` is missing. In nginx: proxy_http_version 1.1; proxy_set_header Connection \"upgrade\"; proxy_set_header Upgrade $http_upgrade;",
            );
        }
        if !is(headers, header::UPGRADE, "websocket") {
            return missing(
                "The header `Upgrade: websocket` is missing. In nginx: proxy_set_header Upgrade $http_upgrade;",
            );
        }
        if !is(headers, header::SEC_WEBSOCKET_VERSION, "13") {
            return missing("The header `Sec-WebSocket-Version: 13` is missing.");
        }
        let Some(key) = headers.get(header::SEC_WEBSOCKET_KEY) else {
            return missing("The header `Sec-WebSocket-Key` is missing.");
        };
        let accept = accept(key.as_bytes());
        let Some(on_upgrade) = parts.extensions.remove::<OnUpgrade>() else {
            return missing("This connection cannot become another one.");
        };
        Ok(Self { accept, on_upgrade })
    }

    /// The answer that makes the connection a WebSocket; then it is served.
    pub(super) fn answer<S>(
        self,
        slow_reader: Duration,
        serve: impl FnOnce(WebSocket) -> S + Send + 'static,
    ) -> Response
    where
        S: Future<Output = ()> + Send + 'static,
    {
        let Self { accept, on_upgrade } = self;
        tokio::spawn(async move {
            if let Ok(upgraded) = on_upgrade.await {
                // A task of its own: the handshake, with its buffers, ends here.
                tokio::spawn(serve(socket(upgraded, slow_reader)));
            }
        });
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        response
    }
}

/// What is left of the HTTP connection: its stream, and what was read of it beyond the request.
fn socket(upgraded: Upgraded, slow_reader: Duration) -> WebSocket {
    match upgraded.downcast::<TokioIo<Peer<TcpStream>>>() {
        Ok(Parts { io, read_buf, .. }) => {
            WebSocket::new(Box::new(io.into_inner().into_stream()), &read_buf, slow_reader)
        }
        // No socket of ours: read and written as hyper has it.
        Err(upgraded) => WebSocket::new(Box::new(Mutex::new(TokioIo::new(upgraded))), &[], slow_reader),
    }
}

/// The proof that the key was read.
fn accept(key: &[u8]) -> HeaderValue {
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &[key, KEY_SUFFIX].concat());
    HeaderValue::from_str(&STANDARD.encode(hash)).expect("base64 is visible ASCII")
}

/// Whether the header is this word.
fn is(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    headers.get(name).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(word.as_bytes()))
}

/// Whether the header has this word among others.
fn names(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|named| named.trim().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_the_standards_own_key_is_the_standards_own() {
        assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
