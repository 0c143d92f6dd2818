//! `/v1/guests`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::{HeaderValue, StatusCode, header};
use parlour_wire::guests::{CreateGuest, GuestResponse};

use super::body::Body;
use super::caller::Stranger;
use crate::chat::create_guest::create_guest;
use crate::error::ApiResult;
use crate::node::Node;

/// Makes a guest: a user with a role of its own, which may do less, for a client that has no backend. Needs no token;
/// calls are counted by the address that they come from.
#[utoipa::path(
    post, path = "/v1/guests", request_body = CreateGuest, responses((status = 201, body = GuestResponse))
)]
pub(super) async fn create(
    State(node): State<Arc<Node>>,
    Stranger { app }: Stranger,
    Body(request): Body<CreateGuest>,
) -> ApiResult<impl IntoResponse> {
    let answer = Json(create_guest(&node, &app, request).await?);
    let headers = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    Ok((StatusCode::CREATED, headers, answer))
}
