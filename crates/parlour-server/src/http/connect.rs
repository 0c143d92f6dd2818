//! `/v1/connect`: where connections begin.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{FromRequestParts, Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, header};
use parlour_wire::ErrorCode;
use parlour_wire::frames::FRAME_BYTES_MAX;

use super::request::PeerAddress;
use crate::accept::Pending;
use crate::error::ApiError;
use crate::gateway::websocket;
use crate::node::Node;

/// Opens a connection. The first frame is `hello`; no token stands in the URL.
#[utoipa::path(
    get, path = "/v1/connect",
    responses((status = 101, description = "Frames follow: `ClientFrame` and `ServerFrame`, as JSON text."))
)]
pub(super) async fn connect(State(node): State<Arc<Node>>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let peer = parts.extensions.get::<PeerAddress>().copied();
    let pending = parts.extensions.get::<Pending>().cloned();
    // Any query at all: a token may hide in it under many names, and nothing else belongs there.
    if parts.uri.query().is_some_and(|query| !query.is_empty()) {
        let why = "Something stood in the URL's query, where proxies write it into their logs; a token goes into `hello`.";
        return ApiError::from(ErrorCode::InvalidInput.because(why)).into_response();
    }
    let upgrade = match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => upgrade,
        Err(rejection) => return refuse(&parts.method, &parts.headers, &rejection),
    };
    upgrade
        // Small buffers: tungstenite's own default costs 128 KiB for every idle connection.
        .read_buffer_size(1_024)
        .write_buffer_size(0)
        .max_write_buffer_size(2 * FRAME_BYTES_MAX)
        .max_message_size(FRAME_BYTES_MAX)
        .max_frame_size(FRAME_BYTES_MAX)
        .on_upgrade(move |socket| {
            // A task of its own: the handshake's future, with its buffers, ends here.
            let slow_reader = Duration::from_millis(node.config.limits.slow_reader_ms);
            let address = peer.map(|PeerAddress(ip)| ip);
            tokio::spawn(crate::gateway::serve(
                node,
                websocket::WebSocket::new(socket, slow_reader),
                address,
                pending,
            ));
            std::future::ready(())
        })
}

/// A request that did not arrive as a WebSocket's: most often because a proxy on the way took something off.
fn refuse(method: &Method, headers: &HeaderMap, rejection: &WebSocketUpgradeRejection) -> Response {
    if method != Method::GET {
        return ApiError::from(ErrorCode::MethodNotAllowed).into_response();
    }
    let has = |name, word: &str| {
        let values = headers.get_all(name).iter();
        values.filter_map(|v| v.to_str().ok()).any(|v| v.to_ascii_lowercase().contains(word))
    };
    let why = if !has(header::CONNECTION, "upgrade") {
        "The header `Connection: Upgrade` is missing. In nginx: proxy_http_version 1.1; proxy_set_header Connection \"upgrade\"; proxy_set_header Upgrade $http_upgrade;".to_owned()
    } else if !has(header::UPGRADE, "websocket") {
        "The header `Upgrade: websocket` is missing. In nginx: proxy_set_header Upgrade $http_upgrade;"
            .to_owned()
    } else if !has(header::SEC_WEBSOCKET_VERSION, "13") {
        "The header `Sec-WebSocket-Version: 13` is missing.".to_owned()
    } else {
        format!("{rejection}.")
    };
    let mut response = ApiError::from(ErrorCode::UpgradeRequired.because(why)).into_response();
    response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, http::HeaderValue::from_static("13"));
    response
}
