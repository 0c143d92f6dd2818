//! `/v1/app/limits`, and the counting of calls: what a call's headers say, and when it is one too many.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use axum::Json;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header;
use http::request::Parts;
use http::{HeaderName, HeaderValue};
use parlour_store::App;
use parlour_wire::limits::{AppLimits, AppLimitsResponse};
use parlour_wire::{ErrorBody, ErrorCode, UserId};

use super::body::Body;
use super::request::PeerAddress;
use crate::access::Caller;
use crate::call_limits::{self, Counted, Platform, Quota};
use crate::error::ApiResult;
use crate::limits;
use crate::node::Node;

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// What the caller of a request has left, once it is known who that is.
#[derive(Clone, Default)]
struct Told(Arc<OnceLock<Quota>>);

/// Tells in each answer to a caller whose calls are counted what she has left.
pub(super) async fn tell(State(node): State<Arc<Node>>, mut request: Request, next: Next) -> Response {
    let told = Told::default();
    request.extensions_mut().insert(told.clone());
    let mut response = next.run(request).await;
    if let Some(quota) = told.0.get() {
        // In seconds, and not before it is true.
        let reset_at = (node.clock.now().unix_ms().max(0) as u64 + quota.reset_ms).div_ceil(1_000);
        let headers = response.headers_mut();
        headers.insert(LIMIT, HeaderValue::from(quota.limit));
        headers.insert(REMAINING, HeaderValue::from(quota.remaining));
        headers.insert(RESET, HeaderValue::from(reset_at));
    }
    response
}

/// Whose calls are counted together.
#[derive(Clone, Copy)]
pub(super) enum Whose<'a> {
    User(&'a UserId),
    /// Whoever is there without having shown who it is.
    Address(Option<IpAddr>),
}

impl Whose<'_> {
    pub(super) fn of_address(parts: &Parts) -> Self {
        let address = parts.extensions.get::<PeerAddress>().map(|PeerAddress(address)| *address);
        Self::Address(address.map(call_limits::household))
    }
}

impl fmt::Display for Whose<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => user.fmt(f),
            Self::Address(_) => f.write_str("Your address"),
        }
    }
}

/// Counts a call, in the moment in which it is known whose it is. Servers are exempt.
pub(super) fn count(node: &Node, parts: &Parts, app: &App, whose: Whose<'_>) -> Result<(), ErrorBody> {
    let Some(path) = parts.extensions.get::<MatchedPath>() else { return Ok(()) };
    let in_force = node.limits.of(app);
    let (app, now) = (app.id, node.clock.millis());
    let endpoint = &format!("{} {}", parts.method, path.as_str());
    let told = parts.extensions.get::<Told>();
    let judge = |quota: Quota, whose: &dyn fmt::Display| -> Result<(), ErrorBody> {
        if !quota.is_refused {
            return Ok(());
        }
        let seconds = quota.reset_ms.div_ceil(1_000).max(1);
        let limit = quota.limit;
        let mut error = ErrorCode::RateLimited.because(format!(
            "{whose} called {endpoint} more than {limit} times within a minute. There is room again in {seconds} s."
        ));
        error.retry_after = u32::try_from(seconds).ok();
        Err(error)
    };
    if let Some(limit) = in_force.calls.of(endpoint) {
        let name = parts.headers.get(header::USER_AGENT).and_then(|name| name.to_str().ok());
        let platform = Platform::of(name.unwrap_or_default());
        let counted = match whose {
            Whose::User(user) => Counted::User { app, user, endpoint, platform },
            Whose::Address(address) => Counted::Address { app, address, endpoint },
        };
        let quota = node.calls.take(counted, limit, now);
        if let Some(told) = told {
            let _ = told.0.set(quota);
        }
        judge(quota, &whose)?;
    }
    // After the user's own: what is refused there is not taken from the others.
    if let Some(limit) = in_force.app_calls.of(endpoint) {
        let quota = node.calls.take(Counted::App { app, endpoint }, limit, now);
        if quota.is_refused
            && let Some(told) = told
        {
            let _ = told.0.set(quota);
        }
        judge(quota, &"The users of this app together")?;
    }
    Ok(())
}

/// The app's limits: what it says itself, and what holds with the configuration beneath it. Server token.
#[utoipa::path(get, path = "/v1/app/limits", responses((status = 200, body = AppLimitsResponse)))]
pub(super) async fn show(
    State(node): State<Arc<Node>>,
    caller: Caller,
) -> ApiResult<Json<AppLimitsResponse>> {
    caller.require_server()?;
    Ok(Json(answer(&node, &caller)))
}

/// Sets the app's limits, all of them: what is left out is as the configuration says it. Connections that are there
/// stay; calls are held to them from now on. Server token.
#[utoipa::path(
    put, path = "/v1/app/limits", request_body = AppLimits,
    responses((status = 200, body = AppLimitsResponse))
)]
pub(super) async fn set(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Body(limits): Body<AppLimits>,
) -> ApiResult<Json<AppLimitsResponse>> {
    caller.require_server()?;
    limits::check(&limits)?;
    let app = caller.app.id;
    node.store.set_app_limits(app, limits.clone()).await?;
    node.limits.set(app, limits);
    Ok(Json(answer(&node, &caller)))
}

fn answer(node: &Node, caller: &Caller) -> AppLimitsResponse {
    let limits = node.limits.own(caller.app.id);
    AppLimitsResponse { limits, in_force: node.limits.of(&caller.app).told() }
}
