//! `POST /dev/token`: a token without a backend, while developing.
//!
//! In production there is no such path. It stands in no description of the API either: an app that relies on it
//! would have nobody to sign its tokens on the day it goes live. Which pages may ask: see [`super::cors`].

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::post;
use http::{HeaderValue, header};
use parlour_wire::{ErrorCode, UserId};
use serde::Deserialize;
use serde_json::json;

use super::body::Body;
use super::caller::bad_id;
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

async fn create(State(node): State<Arc<Node>>, Body(wanted): Body<Wanted>) -> ApiResult<impl IntoResponse> {
    let app = node.first_app()?;
    let user = UserId::parse(&wanted.user_id).map_err(bad_id)?;
    let ttl_s = wanted.ttl_seconds.unwrap_or(TTL_S);
    if !(1..=TTL_S_MAX).contains(&ttl_s) {
        let why = format!("`ttl_seconds` is {ttl_s}; it has to be from 1 to {TTL_S_MAX}.");
        return Err(ErrorCode::InvalidInput.because(why).into());
    }
    let token = auth::sign(&app, &user, node.clock.now(), Some(ttl_s))?;
    let answer = Json(json!({ "token": token }));
    Ok(([(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], answer))
}
