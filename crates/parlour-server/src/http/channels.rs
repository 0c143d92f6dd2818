//! `/v1/channels`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use parlour_wire::channels::{ChannelResponse, ChannelsResponse, GetOrCreateChannel, QueryChannels};
use parlour_wire::users::PartialUpdate;
use serde::Deserialize;
use utoipa::IntoParams;

use super::body::Body;
use super::caller::{CidPath, Params, TypePath};
use crate::access::{self, Caller, Wish};
use crate::chat::get_or_create_channel::{get_or_create_channel, messages_wanted};
use crate::chat::query_channels::query_channels;
use crate::chat::show_channel::show_channel;
use crate::chat::update_channel::{delete_channel, update_channel};
use crate::error::ApiResult;
use crate::node::Node;

/// The channels that match, of those that the caller may see.
#[utoipa::path(post, path = "/v1/channels", request_body = QueryChannels, responses((status = 200, body = ChannelsResponse)))]
pub(super) async fn query(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Body(request): Body<QueryChannels>,
) -> ApiResult<Json<ChannelsResponse>> {
    Ok(Json(query_channels(&node, &caller, request).await?))
}

/// The channel of these members, whatever their order; made if it is not there.
#[utoipa::path(
    post, path = "/v1/channels/{type}", params(("type" = String, Path)), request_body = GetOrCreateChannel,
    responses((status = 200, body = ChannelResponse), (status = 201, description = "Made by this call.", body = ChannelResponse))
)]
pub(super) async fn get_or_create_distinct(
    State(node): State<Arc<Node>>,
    caller: Caller,
    TypePath(channel_type): TypePath,
    Body(request): Body<GetOrCreateChannel>,
) -> ApiResult<Response> {
    Ok(created(get_or_create_channel(&node, &caller, channel_type, None, request).await?))
}

/// The channel with this id; made if it is not there.
#[utoipa::path(
    post, path = "/v1/channels/{type}/{id}", params(("type" = String, Path), ("id" = String, Path)),
    request_body = GetOrCreateChannel,
    responses((status = 200, body = ChannelResponse), (status = 201, description = "Made by this call.", body = ChannelResponse))
)]
pub(super) async fn get_or_create(
    State(node): State<Arc<Node>>,
    caller: Caller,
    CidPath(cid): CidPath,
    Body(request): Body<GetOrCreateChannel>,
) -> ApiResult<Response> {
    Ok(created(get_or_create_channel(&node, &caller, cid.channel_type, Some(cid.id), request).await?))
}

fn created(response: ChannelResponse) -> Response {
    let status = if response.created { StatusCode::CREATED } else { StatusCode::OK };
    (status, Json(response)).into_response()
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct ShowParams {
    /// How many of the latest messages to give: 0 to 100.
    messages: Option<u32>,
}

/// The channel as it is now.
#[utoipa::path(
    get, path = "/v1/channels/{type}/{id}", params(("type" = String, Path), ("id" = String, Path), ShowParams),
    responses((status = 200, body = ChannelResponse))
)]
pub(super) async fn show(
    State(node): State<Arc<Node>>,
    caller: Caller,
    CidPath(cid): CidPath,
    Params(params): Params<ShowParams>,
) -> ApiResult<Json<ChannelResponse>> {
    let messages = messages_wanted(params.messages)?;
    access::channel(&node, &caller, &cid, Wish::Read).await?;
    let state = show_channel(&node, &caller, &cid, messages).await?;
    Ok(Json(ChannelResponse { state, created: false }))
}

/// Sets some of the channel's data, removes other.
#[utoipa::path(
    patch, path = "/v1/channels/{type}/{id}", params(("type" = String, Path), ("id" = String, Path)),
    request_body = PartialUpdate, responses((status = 200, body = ChannelResponse))
)]
pub(super) async fn update(
    State(node): State<Arc<Node>>,
    caller: Caller,
    CidPath(cid): CidPath,
    Body(request): Body<PartialUpdate>,
) -> ApiResult<Json<ChannelResponse>> {
    Ok(Json(update_channel(&node, &caller, &cid, request).await?))
}

/// Deletes the channel with its messages. Its owner, or a server.
#[utoipa::path(
    delete, path = "/v1/channels/{type}/{id}", params(("type" = String, Path), ("id" = String, Path)),
    responses((status = 204))
)]
pub(super) async fn delete(
    State(node): State<Arc<Node>>,
    caller: Caller,
    CidPath(cid): CidPath,
) -> ApiResult<StatusCode> {
    delete_channel(&node, &caller, &cid).await?;
    Ok(StatusCode::NO_CONTENT)
}
