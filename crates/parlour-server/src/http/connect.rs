//! `/v1/connect`: where connections begin, as a WebSocket, as an event stream or as a
//! long-poll.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::body::Object;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use parlour_wire::frames::{FRAME_BYTES_MAX, ServerFrames};
use parlour_wire::{ClientFrame, ErrorBody, ErrorCode, ServerFrame};
use serde::Deserialize;
use serde_json::Value;

use super::request::PeerAddress;
use super::upgrade::Upgrade;
use crate::accept::Pending;
use crate::error::{ApiError, ApiResult};
use crate::gateway::event_stream::EventStream;
use crate::gateway::intake::Intake;
use crate::gateway::long_poll::{Batch, LongPoll};
use crate::node::Node;

/// No poll is answered sooner for want of anything to say, whatever is asked for.
const HOLD_MIN_MS: u64 = 1_000;

/// Opens a connection. The first frame is `hello`; no token stands in the URL.
#[utoipa::path(
    get, path = "/v1/connect",
    responses((status = 101, description = "Frames follow: `ClientFrame` and `ServerFrame`, as JSON text."))
)]
pub(super) async fn connect(State(node): State<Arc<Node>>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let peer = parts.extensions.get::<PeerAddress>().copied();
    let pending = parts.extensions.get::<Pending>().cloned();
    if let Err(error) = refuse_query(&parts.uri) {
        return ApiError::from(error).into_response();
    }
    let upgrade = match Upgrade::from_request(&mut parts) {
        Ok(upgrade) => upgrade,
        Err(error) => {
            let mut response = ApiError::from(error).into_response();
            response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            return response;
        }
    };
    let slow_reader = Duration::from_millis(node.config.limits.slow_reader_ms);
    let address = peer.map(|PeerAddress(ip)| ip);
    upgrade.answer(slow_reader, move |socket| crate::gateway::serve(node, socket, address, pending))
}

/// Opens a connection where no WebSocket gets through. The body is `hello`, the answer what `Accept` names: a stream
/// of server-sent events, each with one frame as its data, `ready` first and `bye` last; or as JSON one batch of
/// frames, with `ready` and what was missed or happens next (a poll: `hello` comes again with `replaces` and cursors,
/// and may bring client frames as `frames`). Other client frames go to `/v1/connections/{id}/frames`.
#[utoipa::path(
    post, path = "/v1/connect",
    request_body(content = ClientFrame, description = "`hello`: the token stands in it and nowhere else."),
    responses((status = 200, description = "A stream of frames, or one batch.", content(
        (ServerFrame = "text/event-stream"),
        (ServerFrames = "application/json"),
    )))
)]
pub(super) async fn connect_over_http(
    State(node): State<Arc<Node>>,
    request: Request,
) -> ApiResult<Response> {
    refuse_query(request.uri())?;
    if node.is_draining() {
        let mut error = ErrorCode::Unavailable.because("The server restarts.");
        error.retry_after = Some(node.late_turn().div_ceil(1_000).max(1));
        return Err(error.into());
    }
    let wants_stream = accepts(request.headers(), "text/event-stream");
    if !wants_stream && !accepts(request.headers(), "application/json") {
        let why = "Say how the frames are to come: `Accept: text/event-stream`, or `application/json` for a poll. A WebSocket is opened by GET.";
        return Err(ErrorCode::InvalidInput.because(why).into());
    }
    let address = request.extensions().get::<PeerAddress>().map(|PeerAddress(ip)| *ip);
    let pending = request.extensions().get::<Pending>().cloned();
    let intake = request.extensions().get::<Intake>().cloned().unwrap_or_default();
    let Object { value: hello, .. } = Object::read(request, &node, FRAME_BYTES_MAX).await?;
    check_hello(&hello)?;
    match wants_stream {
        true => Ok(stream(node, hello, intake, address, pending)),
        false => poll(node, hello, address).await,
    }
}

fn stream(
    node: Arc<Node>,
    hello: Value,
    intake: Intake,
    address: Option<IpAddr>,
    pending: Option<Pending>,
) -> Response {
    let slow_reader = Duration::from_millis(node.config.limits.slow_reader_ms);
    let (stream, body) = EventStream::open(hello, intake, slow_reader);
    tokio::spawn(crate::gateway::serve(node, stream, address, pending));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        // `no-transform`: a proxy that compresses holds frames back until there is enough to compress.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform")),
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
        // The place among those who only wait is given back: no other request may follow on it.
        (header::CONNECTION, HeaderValue::from_static("close")),
    ];
    (headers, body).into_response()
}

async fn poll(node: Arc<Node>, mut hello: Value, address: Option<IpAddr>) -> ApiResult<Response> {
    let fields = hello.as_object_mut().ok_or_else(|| ErrorCode::BadFrame.error())?;
    // A poll is answered before it would be pinged; sooner, where something on the way ends what is idle.
    let heartbeat_ms = fields.remove("heartbeat_ms").and_then(|asked| asked.as_u64());
    let frames = match fields.remove("frames") {
        None => Vec::new(),
        Some(Value::Array(frames)) => frames,
        Some(_) => return Err(ErrorCode::BadFrame.because("`frames` is a list of frames.").into()),
    };
    let hold_ms = node.config.limits.poll_hold_ms;
    let hold = Duration::from_millis(heartbeat_ms.map_or(hold_ms, |ms| ms.max(HOLD_MIN_MS).min(hold_ms)));
    let (poll, answer) = LongPoll::open(hello, frames, hold);
    // The TCP connection goes on to count among those that only wait: between polls it does.
    tokio::spawn(crate::gateway::serve(node, poll, address, None));
    let batch = answer.await.map_err(|_| ErrorCode::Internal.error())?;
    let Batch { frames, leaving } = batch;
    // They are JSON already.
    let texts: Vec<&str> = frames.iter().map(|frame| frame.text()).collect();
    let text = format!("{{\"frames\":[{}]}}", texts.join(","));
    let body = Body::from(leaving.by(text));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, body).into_response())
}

/// Any query at all: a token may hide in it under many names, and nothing else belongs there.
fn refuse_query(uri: &Uri) -> Result<(), ErrorBody> {
    if uri.query().is_none_or(str::is_empty) {
        return Ok(());
    }
    let why = "Something stood in the URL's query, where proxies write it into their logs; a token goes into `hello`.";
    Err(ErrorCode::InvalidInput.because(why))
}

/// Whether the client names this media type as one that it takes.
fn accepts(headers: &HeaderMap, media: &str) -> bool {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut types = values.flat_map(|value| value.split(',')).filter_map(|part| part.split(';').next());
    types.any(|named| named.trim().eq_ignore_ascii_case(media))
}

/// What is no `hello` at all is refused as a request is; whatever else is wrong with it is said in frames.
fn check_hello(value: &Value) -> Result<(), ErrorBody> {
    match ClientFrame::deserialize(value) {
        Ok(ClientFrame::Hello(_)) => Ok(()),
        Ok(_) => Err(ErrorCode::BadFrame.because("The body is the frame `hello`; this is another one.")),
        Err(error) => Err(ErrorCode::BadFrame.because(format!("The body is the frame `hello`: {error}."))),
    }
}
