//! `/v1/me`, `/v1/users`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use parlour_store::{Deleting, Gone, Life};
use parlour_wire::UserId;
use parlour_wire::tasks::TaskResponse;
use parlour_wire::users::{
    DeleteUser, MeResponse, PartialUpdate, QueryUsers, UpsertUsers, UserResponse, UsersResponse,
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::body::Body;
use super::caller::{Params, UserPath, bad_id};
use crate::access::{self, Caller, Wish};
use crate::chat::{change_lives, query_users, show_users, update_users};
use crate::error::ApiResult;
use crate::node::Node;

/// Who the token's user is. Makes and counts nothing.
#[utoipa::path(get, path = "/v1/me", responses((status = 200, body = MeResponse)))]
pub(super) async fn me(State(node): State<Arc<Node>>, caller: Caller) -> ApiResult<Json<MeResponse>> {
    let user = caller.require_user()?;
    let mut me = node.store.me(caller.app.id, user, node.clock.now()).await?;
    if let Some(me) = &mut me {
        node.presence.show(caller.app.id, &mut me.user);
    }
    Ok(Json(MeResponse { me }))
}

/// Makes or replaces up to 100 users. Server token.
#[utoipa::path(post, path = "/v1/users", request_body = UpsertUsers, responses((status = 200, body = UsersResponse)))]
pub(super) async fn upsert(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Body(request): Body<UpsertUsers>,
) -> ApiResult<Json<UsersResponse>> {
    let users = update_users::upsert_users(&node, &caller, request).await?;
    Ok(Json(UsersResponse { users: show_users::show(&node, &caller, users), next: None }))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct UsersParams {
    /// Up to 100 ids, with commas between.
    ids: String,
}

/// The users with these ids, of those that exist and that the caller may see, in the order asked.
#[utoipa::path(get, path = "/v1/users", params(UsersParams), responses((status = 200, body = UsersResponse)))]
pub(super) async fn list(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Params(params): Params<UsersParams>,
) -> ApiResult<Json<UsersResponse>> {
    access::app(&node, &caller, Wish::SeeUsers).await?;
    let ids: Result<Vec<UserId>, _> = params.ids.split(',').map(UserId::parse).collect();
    let ids = ids.map_err(bad_id)?;
    let users = query_users::users_by_id(&node, &caller, &ids).await?;
    Ok(Json(UsersResponse { users, next: None }))
}

/// The users that match, of those that the caller may see.
#[utoipa::path(post, path = "/v1/users/query", request_body = QueryUsers, responses((status = 200, body = UsersResponse)))]
pub(super) async fn query(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Body(request): Body<QueryUsers>,
) -> ApiResult<Json<UsersResponse>> {
    access::app(&node, &caller, Wish::SeeUsers).await?;
    Ok(Json(query_users::query_users(&node, &caller, request).await?))
}

/// Sets some fields of a user, removes others. The user itself, or a server.
#[utoipa::path(
    patch, path = "/v1/users/{user_id}", params(("user_id" = String, Path)),
    request_body = PartialUpdate, responses((status = 200, body = UserResponse))
)]
pub(super) async fn update(
    State(node): State<Arc<Node>>,
    caller: Caller,
    UserPath(user): UserPath,
    Body(request): Body<PartialUpdate>,
) -> ApiResult<Json<UserResponse>> {
    let mut user = update_users::update_user(&node, &caller, &user, request).await?;
    node.presence.show(caller.app.id, &mut user);
    Ok(Json(UserResponse { user }))
}

/// Deletes a user: from the answer on it is gone, and what it leaves behind is dealt with by the task. Server token.
#[utoipa::path(
    delete, path = "/v1/users/{user_id}", params(("user_id" = String, Path), DeleteUser),
    responses((status = 202, body = TaskResponse))
)]
pub(super) async fn delete(
    State(node): State<Arc<Node>>,
    caller: Caller,
    UserPath(user): UserPath,
    Params(DeleteUser { hard, messages, channels }): Params<DeleteUser>,
) -> ApiResult<(StatusCode, Json<TaskResponse>)> {
    let gone = if hard { Gone::ForGood } else { Gone::Restorably };
    let task =
        change_lives::delete_user(&node, &caller, &user, Deleting { gone, messages, channels }).await?;
    Ok((StatusCode::ACCEPTED, Json(TaskResponse { task })))
}

/// Lets a user neither connect nor do anything; ends its connections. Server token.
#[utoipa::path(
    post, path = "/v1/users/{user_id}/deactivate", params(("user_id" = String, Path)),
    responses((status = 200, body = UserResponse))
)]
pub(super) async fn deactivate(
    State(node): State<Arc<Node>>,
    caller: Caller,
    UserPath(user): UserPath,
) -> ApiResult<Json<UserResponse>> {
    let user = change_lives::change_life(&node, &caller, &user, Life::Deactivate).await?;
    Ok(Json(UserResponse { user }))
}

/// Lets a deactivated user come back. Server token.
#[utoipa::path(
    post, path = "/v1/users/{user_id}/reactivate", params(("user_id" = String, Path)),
    responses((status = 200, body = UserResponse))
)]
pub(super) async fn reactivate(
    State(node): State<Arc<Node>>,
    caller: Caller,
    UserPath(user): UserPath,
) -> ApiResult<Json<UserResponse>> {
    let user = change_lives::change_life(&node, &caller, &user, Life::Reactivate).await?;
    Ok(Json(UserResponse { user }))
}

/// Brings back a user who was deleted, but not for good. Server token.
#[utoipa::path(
    post, path = "/v1/users/{user_id}/restore", params(("user_id" = String, Path)),
    responses((status = 200, body = UserResponse))
)]
pub(super) async fn restore(
    State(node): State<Arc<Node>>,
    caller: Caller,
    UserPath(user): UserPath,
) -> ApiResult<Json<UserResponse>> {
    let user = change_lives::change_life(&node, &caller, &user, Life::Restore).await?;
    Ok(Json(UserResponse { user }))
}

/// Gathers all that is stored of a user; the task's `result` is where it can be fetched. Server token.
#[utoipa::path(
    post, path = "/v1/users/{user_id}/export", params(("user_id" = String, Path)),
    responses((status = 202, body = TaskResponse))
)]
pub(super) async fn export(
    State(node): State<Arc<Node>>,
    caller: Caller,
    UserPath(user): UserPath,
) -> ApiResult<(StatusCode, Json<TaskResponse>)> {
    let task = change_lives::export_user(&node, &caller, &user).await?;
    Ok((StatusCode::ACCEPTED, Json(TaskResponse { task })))
}
