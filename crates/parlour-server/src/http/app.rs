//! `/v1/app`, `/v1/app/keys`

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use parlour_store::AppMode;
use parlour_wire::app::{AddKey, AppResponse, KeyResponse};

use super::body::Body;
use crate::access::Caller;
use crate::chat::change_keys;
use crate::error::ApiResult;
use crate::node::Node;

/// The app of the token, with its keys. Server token with the scope `admin`.
#[utoipa::path(get, path = "/v1/app", responses((status = 200, body = AppResponse)))]
pub(super) async fn show(State(node): State<Arc<Node>>, caller: Caller) -> ApiResult<Json<AppResponse>> {
    caller.require_server()?;
    let app = node.read_anew(&caller.app).await?;
    let mode = match app.mode {
        AppMode::Development => "development",
        AppMode::Production => "production",
    };
    Ok(Json(AppResponse {
        app_key: app.key.clone(),
        mode: mode.to_owned(),
        created_at: app.created_at,
        keys: app.keys.iter().filter_map(change_keys::info).collect(),
    }))
}

/// Adds a key that tokens may be signed with, beside those that there are: tokens of the old ones stay good until those
/// are removed. Server token with the scope `admin`.
#[utoipa::path(post, path = "/v1/app/keys", request_body = AddKey, responses((status = 201, body = KeyResponse)))]
pub(super) async fn add_key(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Body(request): Body<AddKey>,
) -> ApiResult<(StatusCode, Json<KeyResponse>)> {
    caller.require_server()?;
    Ok((StatusCode::CREATED, Json(change_keys::add_key(&node, &caller, request).await?)))
}

/// Removes a key: its tokens are refused from now on. Connections that are up stay until their tokens end, or are
/// revoked. Server token with the scope `admin`.
#[utoipa::path(
    delete, path = "/v1/app/keys/{kid}", params(("kid" = String, Path)),
    responses((status = 204, description = "Removed."))
)]
pub(super) async fn remove_key(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Path(kid): Path<String>,
) -> ApiResult<StatusCode> {
    caller.require_server()?;
    change_keys::remove_key(&node, &caller, &kid).await?;
    Ok(StatusCode::NO_CONTENT)
}
