//! `/v1/app`, `/v1/app/keys`, `/v1/app/jwks`

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use parlour_store::AppMode;
use parlour_wire::app::{AddKey, AppResponse, JwksResponse, KeyResponse, SetJwks};

use super::body::Body;
use crate::access::Caller;
use crate::chat::{change_jwks, change_keys};
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
        jwks: node.hosted(&app.key)?.jwks.as_ref().map(|jwks| jwks.info()),
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

/// Names the address at which keys of the app's tokens stand, as JWKS; they are got now, and refused if they cannot be. Its
/// keys sign tokens of users. Naming the same address again gets them anew at once. Server token with the scope `admin`.
#[utoipa::path(put, path = "/v1/app/jwks", request_body = SetJwks, responses((status = 200, body = JwksResponse)))]
pub(super) async fn set_jwks(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Body(request): Body<SetJwks>,
) -> ApiResult<Json<JwksResponse>> {
    caller.require_server()?;
    Ok(Json(JwksResponse { jwks: change_jwks::set_jwks(&node, &caller, request).await? }))
}

/// Forgets the address and the keys that stand there: their tokens are refused from now on. Server token with the scope
/// `admin`.
#[utoipa::path(delete, path = "/v1/app/jwks", responses((status = 204, description = "Forgotten.")))]
pub(super) async fn remove_jwks(State(node): State<Arc<Node>>, caller: Caller) -> ApiResult<StatusCode> {
    caller.require_server()?;
    change_jwks::remove_jwks(&node, &caller).await?;
    Ok(StatusCode::NO_CONTENT)
}
