//! `/v1/users/{user_id}/ban`, `/v1/bans`, `/v1/mutes`, `/v1/blocks`, `/v1/flags`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use parlour_wire::moderation::{
    BanResponse, BanUser, BansResponse, BlockUser, BlocksResponse, FlagContent, FlagResponse, FlagsResponse,
    MODERATION_PER_PAGE_MAX, MuteUser, MutesResponse,
};
use parlour_wire::{Cid, ErrorBody, ErrorCode, UserId};
use serde::Deserialize;
use utoipa::IntoParams;

use super::body::Body;
use super::caller::{Params, UserPath, bad_id};
use crate::access::Caller;
use crate::chat::{ban_users, defend_oneself};
use crate::error::ApiResult;
use crate::node::Node;

/// Bans a user from the app or from a channel; a ban that is there is replaced. From the app: when this is answered,
/// the user hears nothing more (4003), and none of its calls is answered. Moderators and admins of the app; from a
/// channel also its owner and moderators. Nobody who stands as high as the caller.
#[utoipa::path(
    post, path = "/v1/users/{user_id}/ban", params(("user_id" = String, Path)),
    request_body = BanUser, responses((status = 200, body = BanResponse))
)]
pub(super) async fn ban(
    State(node): State<Arc<Node>>,
    caller: Caller,
    UserPath(user): UserPath,
    Body(request): Body<BanUser>,
) -> ApiResult<Json<BanResponse>> {
    Ok(Json(BanResponse { ban: ban_users::ban_user(&node, &caller, &user, request).await? }))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct LiftParams {
    /// The channel; absent: the app.
    cid: Option<String>,
}

/// Lifts a ban, of whichever kind; where there is none, nothing changes.
#[utoipa::path(
    delete, path = "/v1/users/{user_id}/ban", params(("user_id" = String, Path), LiftParams),
    responses((status = 204))
)]
pub(super) async fn lift_ban(
    State(node): State<Arc<Node>>,
    caller: Caller,
    UserPath(user): UserPath,
    Params(params): Params<LiftParams>,
) -> ApiResult<StatusCode> {
    let cid = read_cid(params.cid)?;
    ban_users::lift_ban(&node, &caller, &user, cid.as_ref()).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct BansParams {
    /// Those from this channel, for its moderators; absent: all.
    cid: Option<String>,
    /// Those of one user.
    user_id: Option<String>,
    /// 1 to 100; default 100.
    limit: Option<u32>,
    /// The `next` of the page before.
    next: Option<String>,
}

/// The bans that are in force, the latest first.
#[utoipa::path(get, path = "/v1/bans", params(BansParams), responses((status = 200, body = BansResponse)))]
pub(super) async fn bans(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Params(params): Params<BansParams>,
) -> ApiResult<Json<BansResponse>> {
    let user = params.user_id.map(|id| UserId::parse(&id).map_err(bad_id)).transpose()?;
    let (limit, before) = (page(params.limit)?, place(params.next.as_deref())?);
    let cid = read_cid(params.cid)?;
    let (bans, next) = ban_users::bans(&node, &caller, cid, user, before, limit).await?;
    Ok(Json(BansResponse { bans, next: next.map(|id| id.to_string()) }))
}

/// Mutes a user for the caller; again changes when it ends.
#[utoipa::path(post, path = "/v1/mutes", request_body = MuteUser, responses((status = 200, body = MutesResponse)))]
pub(super) async fn mute(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Body(request): Body<MuteUser>,
) -> ApiResult<Json<MutesResponse>> {
    Ok(Json(MutesResponse { mutes: defend_oneself::mute_user(&node, &caller, request).await? }))
}

/// Whom the caller mutes.
#[utoipa::path(get, path = "/v1/mutes", responses((status = 200, body = MutesResponse)))]
pub(super) async fn mutes(State(node): State<Arc<Node>>, caller: Caller) -> ApiResult<Json<MutesResponse>> {
    Ok(Json(MutesResponse { mutes: defend_oneself::mutes(&node, &caller).await? }))
}

/// The caller hears somebody again.
#[utoipa::path(
    delete, path = "/v1/mutes/{user_id}", params(("user_id" = String, Path)),
    responses((status = 200, body = MutesResponse))
)]
pub(super) async fn unmute(
    State(node): State<Arc<Node>>,
    caller: Caller,
    UserPath(user): UserPath,
) -> ApiResult<Json<MutesResponse>> {
    Ok(Json(MutesResponse { mutes: defend_oneself::unmute_user(&node, &caller, &user).await? }))
}

/// Blocks a user for the caller: in the direct channel of the two nothing is sent any more.
#[utoipa::path(post, path = "/v1/blocks", request_body = BlockUser, responses((status = 200, body = BlocksResponse)))]
pub(super) async fn block(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Body(request): Body<BlockUser>,
) -> ApiResult<Json<BlocksResponse>> {
    Ok(Json(BlocksResponse { blocks: defend_oneself::block_user(&node, &caller, &request.user_id).await? }))
}

/// Whom the caller blocks.
#[utoipa::path(get, path = "/v1/blocks", responses((status = 200, body = BlocksResponse)))]
pub(super) async fn blocks(State(node): State<Arc<Node>>, caller: Caller) -> ApiResult<Json<BlocksResponse>> {
    Ok(Json(BlocksResponse { blocks: defend_oneself::blocks(&node, &caller).await? }))
}

/// Takes a block back.
#[utoipa::path(
    delete, path = "/v1/blocks/{user_id}", params(("user_id" = String, Path)),
    responses((status = 200, body = BlocksResponse))
)]
pub(super) async fn unblock(
    State(node): State<Arc<Node>>,
    caller: Caller,
    UserPath(user): UserPath,
) -> ApiResult<Json<BlocksResponse>> {
    Ok(Json(BlocksResponse { blocks: defend_oneself::unblock_user(&node, &caller, &user).await? }))
}

/// Tells the moderators of a user or a message. The same again is the first flag.
#[utoipa::path(post, path = "/v1/flags", request_body = FlagContent, responses((status = 200, body = FlagResponse)))]
pub(super) async fn flag(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Body(request): Body<FlagContent>,
) -> ApiResult<Json<FlagResponse>> {
    Ok(Json(FlagResponse { flag: defend_oneself::flag(&node, &caller, request).await? }))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct FlagsParams {
    /// Those of messages of this channel, for its moderators; absent: all.
    cid: Option<String>,
    /// 1 to 100; default 100.
    limit: Option<u32>,
    /// The `next` of the page before.
    next: Option<String>,
}

/// What users flagged, the latest first.
#[utoipa::path(get, path = "/v1/flags", params(FlagsParams), responses((status = 200, body = FlagsResponse)))]
pub(super) async fn flags(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Params(params): Params<FlagsParams>,
) -> ApiResult<Json<FlagsResponse>> {
    let (limit, before) = (page(params.limit)?, place(params.next.as_deref())?);
    let cid = read_cid(params.cid)?;
    let (flags, next) = defend_oneself::flags(&node, &caller, cid.as_ref(), before, limit).await?;
    Ok(Json(FlagsResponse { flags, next: next.map(|id| id.to_string()) }))
}

fn read_cid(text: Option<String>) -> Result<Option<Cid>, ErrorBody> {
    text.map(|text| text.parse().map_err(bad_id)).transpose()
}

fn page(limit: Option<u32>) -> Result<u32, ErrorBody> {
    let limit = limit.unwrap_or(MODERATION_PER_PAGE_MAX);
    if limit == 0 || limit > MODERATION_PER_PAGE_MAX {
        let why = format!("`limit` is {limit}; a page has 1 to {MODERATION_PER_PAGE_MAX}.");
        return Err(ErrorCode::InvalidInput.because(why));
    }
    Ok(limit)
}

fn place(next: Option<&str>) -> Result<Option<i64>, ErrorBody> {
    let read = |next: &str| {
        next.parse()
            .map_err(|_| ErrorCode::InvalidInput.because("`next` is not the `next` of an earlier page."))
    };
    next.map(read).transpose()
}
