//! `POST /dev/token`: a token without a backend, while developing.
//!
//! In production there is no such path. It stands in no description of the API either: an app that relies on it
//! would have nobody to sign its tokens on the day it goes live.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::post;
use http::{HeaderMap, HeaderValue, header};
use parlour_wire::{ErrorCode, UserId};
use serde::Deserialize;
use serde_json::json;

use super::body::Body;
use super::caller::bad_id;
use super::cors;
use crate::auth;
use crate::config::Config;
use crate::error::ApiResult;
use crate::node::Node;

/// As `parlour token create` has it.
const TTL_S: u64 = 24 * 3_600;
const TTL_S_MAX: u64 = 365 * 24 * 3_600;

pub(super) fn routes(config: &Config) -> Router<Arc<Node>> {
    if config.is_development() { Router::new().route("/dev/token", post(create)) } else { Router::new() }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Read as text first, so that the refusal of an id says that it was the id.
    user_id: String,
    ttl_seconds: Option<u64>,
}

async fn create(
    State(node): State<Arc<Node>>,
    headers: HeaderMap,
    Body(wanted): Body<Wanted>,
) -> ApiResult<impl IntoResponse> {
    check_page(&node.config, &headers)?;
    let app = node.first_app()?;
    let user = UserId::parse(&wanted.user_id).map_err(bad_id)?;
    let ttl_s = wanted.ttl_seconds.unwrap_or(TTL_S);
    if !(1..=TTL_S_MAX).contains(&ttl_s) {
        let why = format!("`ttl_seconds` is {ttl_s}; it has to be from 1 to {TTL_S_MAX}.");
        return Err(ErrorCode::InvalidInput.because(why).into());
    }
    let token = auth::sign(&app, &user, node.clock.now(), ttl_s)?;
    let answer = Json(json!({ "token": token }));
    Ok(([(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], answer))
}

/// A foreign page can give its own name this machine's address, and then calls from an origin that is the
/// server's own by its `Host`. To call is harmless, for without a token nothing is given; here it would not be.
/// What is no browser names no origin.
fn check_page(config: &Config, headers: &HeaderMap) -> ApiResult<()> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or_default();
    let is_known = config.server.allowed_origins.iter().any(|allowed| allowed == origin)
        || cors::host_name(origin).is_some_and(|name| name == "localhost" || is_address(name));
    if is_known {
        return Ok(());
    }
    let why = format!(
        "Tokens are given to pages at `localhost`, at an address, and at origins in `server.allowed_origins`; {origin:?} is none of them."
    );
    Err(ErrorCode::OriginNotAllowed.because(why).into())
}

fn is_address(name: &str) -> bool {
    name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok()
}
