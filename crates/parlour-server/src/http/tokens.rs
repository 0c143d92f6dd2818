//! `/v1/users/{id}/revoke_tokens`, `/v1/app/revoke_tokens`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use parlour_wire::tokens::{RevokeTokens, RevokedTokens};

use super::body::Body;
use super::caller::UserPath;
use crate::access::Caller;
use crate::chat::revoke_tokens::revoke_tokens;
use crate::error::ApiResult;
use crate::node::Node;

/// Takes back what was issued to a user before a time. When this is answered, the user's connections that came with
/// such a token hear nothing more (4002), and none can be opened. Server token.
#[utoipa::path(
    post, path = "/v1/users/{user_id}/revoke_tokens", params(("user_id" = String, Path)),
    request_body = RevokeTokens, responses((status = 200, body = RevokedTokens))
)]
pub(super) async fn revoke_of_user(
    State(node): State<Arc<Node>>,
    caller: Caller,
    UserPath(user): UserPath,
    Body(request): Body<RevokeTokens>,
) -> ApiResult<Json<RevokedTokens>> {
    caller.require_server()?;
    let revoke_tokens_issued_before = revoke_tokens(&node, caller.app.id, Some(&user), &request).await?;
    Ok(Json(RevokedTokens { revoke_tokens_issued_before }))
}

/// Takes back what was issued to all users of the app before a time. Server tokens are not meant: whoever knows the
/// secret makes new ones. Server token.
#[utoipa::path(
    post, path = "/v1/app/revoke_tokens",
    request_body = RevokeTokens, responses((status = 200, body = RevokedTokens))
)]
pub(super) async fn revoke_of_app(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Body(request): Body<RevokeTokens>,
) -> ApiResult<Json<RevokedTokens>> {
    caller.require_server()?;
    let revoke_tokens_issued_before = revoke_tokens(&node, caller.app.id, None, &request).await?;
    Ok(Json(RevokedTokens { revoke_tokens_issued_before }))
}
