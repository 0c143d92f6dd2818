//! `/v1/channels/{type}/{id}/members`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use parlour_wire::channels::ChannelResponse;
use parlour_wire::members::{MemberResponse, MembersResponse, UpdateMember, UpdateMembers};
use serde::Deserialize;
use utoipa::IntoParams;

use super::body::Body;
use super::caller::{CidPath, MemberPath, Params};
use crate::access::{self, Caller, Wish};
use crate::chat::change_members::{change_member_role, change_members};
use crate::chat::pages::{self, read_offset, write_offset};
use crate::error::ApiResult;
use crate::node::Node;

const PAGE_MAX: u32 = 100;

/// Adds and removes members, at most 100 in all. Owner and moderators; every member may leave.
#[utoipa::path(
    post, path = "/v1/channels/{type}/{id}/members", params(("type" = String, Path), ("id" = String, Path)),
    request_body = UpdateMembers, responses((status = 200, body = ChannelResponse))
)]
pub(super) async fn change(
    State(node): State<Arc<Node>>,
    caller: Caller,
    CidPath(cid): CidPath,
    Body(request): Body<UpdateMembers>,
) -> ApiResult<Json<ChannelResponse>> {
    Ok(Json(change_members(&node, &caller, &cid, request).await?))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct MembersParams {
    /// 1 to 100; default 100.
    limit: Option<u32>,
    /// The `next` of the page before.
    next: Option<String>,
}

/// A page of members, by the time they joined.
#[utoipa::path(
    get, path = "/v1/channels/{type}/{id}/members", params(("type" = String, Path), ("id" = String, Path), MembersParams),
    responses((status = 200, body = MembersResponse))
)]
pub(super) async fn list(
    State(node): State<Arc<Node>>,
    caller: Caller,
    CidPath(cid): CidPath,
    Params(params): Params<MembersParams>,
) -> ApiResult<Json<MembersResponse>> {
    let limit = pages::limit(params.limit, PAGE_MAX, PAGE_MAX)?;
    let offset = params.next.as_deref().map_or(Ok(0), read_offset)?;
    access::channel(&node, &caller, &cid, Wish::Read).await?;
    let mut page = node.store.members(caller.app.id, &cid, offset, limit).await?;
    let shown = offset + u32::try_from(page.members.len()).unwrap_or(limit);
    page.next =
        (u64::from(shown) < page.member_count && !page.members.is_empty()).then(|| write_offset(shown));
    Ok(Json(page))
}

/// Changes what a member may do. The channel's owner, and admins.
#[utoipa::path(
    patch, path = "/v1/channels/{type}/{id}/members/{user_id}",
    params(("type" = String, Path), ("id" = String, Path), ("user_id" = String, Path)),
    request_body = UpdateMember, responses((status = 200, body = MemberResponse))
)]
pub(super) async fn change_role(
    State(node): State<Arc<Node>>,
    caller: Caller,
    MemberPath(cid, user): MemberPath,
    Body(request): Body<UpdateMember>,
) -> ApiResult<Json<MemberResponse>> {
    let member = change_member_role(&node, &caller, &cid, &user, request.channel_role).await?;
    Ok(Json(MemberResponse { member }))
}
