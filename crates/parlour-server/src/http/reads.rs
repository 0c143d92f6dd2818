//! `/v1/channels/{type}/{id}/read`, `…/unread`, `/v1/unread`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use parlour_wire::reads::{MarkRead, MarkUnread, UnreadResponse, UnreadTotals};

use super::body::Body;
use super::caller::CidPath;
use crate::access::Caller;
use crate::chat::mark_read as rules;
use crate::error::ApiResult;
use crate::node::Node;

/// Moves the caller's read position forward.
#[utoipa::path(
    post, path = "/v1/channels/{type}/{id}/read", params(("type" = String, Path), ("id" = String, Path)),
    request_body = MarkRead, responses((status = 200, body = UnreadResponse))
)]
pub(super) async fn mark_read(
    State(node): State<Arc<Node>>,
    caller: Caller,
    CidPath(cid): CidPath,
    Body(request): Body<MarkRead>,
) -> ApiResult<Json<UnreadResponse>> {
    Ok(Json(UnreadResponse { unread: rules::mark_read(&node, &caller, &cid, request).await? }))
}

/// Makes a message and all after it unread again.
#[utoipa::path(
    post, path = "/v1/channels/{type}/{id}/unread", params(("type" = String, Path), ("id" = String, Path)),
    request_body = MarkUnread, responses((status = 200, body = UnreadResponse))
)]
pub(super) async fn mark_unread(
    State(node): State<Arc<Node>>,
    caller: Caller,
    CidPath(cid): CidPath,
    Body(request): Body<MarkUnread>,
) -> ApiResult<Json<UnreadResponse>> {
    Ok(Json(UnreadResponse { unread: rules::mark_unread(&node, &caller, &cid, request).await? }))
}

/// The caller's unread totals, counted from the messages.
#[utoipa::path(get, path = "/v1/unread", responses((status = 200, body = UnreadTotals)))]
pub(super) async fn unread(State(node): State<Arc<Node>>, caller: Caller) -> ApiResult<Json<UnreadTotals>> {
    let user = caller.require_user()?;
    Ok(Json(node.store.unread(caller.app.id, user).await?))
}
