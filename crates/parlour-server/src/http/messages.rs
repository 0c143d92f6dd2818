//! `/v1/channels/{type}/{id}/messages`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use parlour_store::{Deletion, Page, Sent};
use parlour_wire::messages::{
    EditMessage, MESSAGES_PER_PAGE_MAX, MessageResponse, MessagesResponse, SendMessage,
};
use parlour_wire::{ErrorBody, ErrorCode, MessageId, Seq};
use serde::Deserialize;
use utoipa::IntoParams;

use super::body::Body;
use super::caller::{CidPath, MessagePath, Params, bad_id};
use crate::access::{self, Caller, Wish};
use crate::chat::delete_message::delete_message;
use crate::chat::edit_message::{edit_message, visible_message};
use crate::chat::send_message::send_message;
use crate::error::ApiResult;
use crate::node::Node;

/// Sends a message. 201: stored now; 200: the id was sent before, and this is what became of it.
#[utoipa::path(
    post, path = "/v1/channels/{type}/{id}/messages", params(("type" = String, Path), ("id" = String, Path)),
    request_body = SendMessage,
    responses((status = 201, body = MessageResponse), (status = 200, description = "Sent before.", body = MessageResponse))
)]
pub(super) async fn send(
    State(node): State<Arc<Node>>,
    caller: Caller,
    CidPath(cid): CidPath,
    Body(request): Body<SendMessage>,
) -> ApiResult<Response> {
    Ok(match send_message(&node, &caller, &cid, request.message).await? {
        Sent::New(message) => (StatusCode::CREATED, Json(MessageResponse { message })).into_response(),
        Sent::Before(message) => (StatusCode::OK, Json(MessageResponse { message })).into_response(),
    })
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct PageParams {
    /// Messages before this seq.
    before: Option<Seq>,
    /// Messages after this seq.
    after: Option<Seq>,
    /// Messages around this seq.
    around: Option<Seq>,
    /// Messages around the one with this id.
    around_id: Option<String>,
    /// 1 to 100; default 25.
    limit: Option<u32>,
}

/// A page of messages, oldest first. Without a place: the latest.
#[utoipa::path(
    get, path = "/v1/channels/{type}/{id}/messages", params(("type" = String, Path), ("id" = String, Path), PageParams),
    responses((status = 200, body = MessagesResponse))
)]
pub(super) async fn page(
    State(node): State<Arc<Node>>,
    caller: Caller,
    CidPath(cid): CidPath,
    Params(params): Params<PageParams>,
) -> ApiResult<Json<MessagesResponse>> {
    let limit = params.limit.unwrap_or(25);
    if limit == 0 || limit > MESSAGES_PER_PAGE_MAX {
        let why = format!("`limit` is {limit}; a page has 1 to {MESSAGES_PER_PAGE_MAX} messages.");
        return Err(ErrorCode::InvalidInput.because(why).into());
    }
    let granted = access::channel(&node, &caller, &cid, Wish::Read).await?;
    let hidden_up_to = granted.hidden_up_to();
    let page = match (params.before, params.after, params.around, params.around_id) {
        (None, None, None, None) => Page::Latest,
        (Some(seq), None, None, None) => Page::Before(seq),
        (None, Some(seq), None, None) => Page::After(seq),
        (None, None, Some(seq), None) => Page::Around(seq),
        (None, None, None, Some(id)) => {
            let id = MessageId::parse(&id).map_err(bad_id)?;
            Page::Around(visible_message(&node, &caller, &cid, &id, hidden_up_to).await?.seq)
        }
        _ => return Err(two_places().into()),
    };
    Ok(Json(node.store.messages(caller.app.id, &cid, page, limit, hidden_up_to, caller.user()).await?))
}

fn two_places() -> ErrorBody {
    ErrorCode::InvalidInput.because("Name one of `before`, `after`, `around` and `around_id`.")
}

/// One message.
#[utoipa::path(
    get, path = "/v1/channels/{type}/{id}/messages/{message_id}",
    params(("type" = String, Path), ("id" = String, Path), ("message_id" = String, Path)),
    responses((status = 200, body = MessageResponse))
)]
pub(super) async fn show(
    State(node): State<Arc<Node>>,
    caller: Caller,
    MessagePath(cid, id): MessagePath,
) -> ApiResult<Json<MessageResponse>> {
    let granted = access::channel(&node, &caller, &cid, Wish::Read).await?;
    let message = visible_message(&node, &caller, &cid, &id, granted.hidden_up_to()).await?;
    Ok(Json(MessageResponse { message }))
}

/// Changes one's own message.
#[utoipa::path(
    patch, path = "/v1/channels/{type}/{id}/messages/{message_id}",
    params(("type" = String, Path), ("id" = String, Path), ("message_id" = String, Path)),
    request_body = EditMessage, responses((status = 200, body = MessageResponse))
)]
pub(super) async fn edit(
    State(node): State<Arc<Node>>,
    caller: Caller,
    MessagePath(cid, id): MessagePath,
    Body(request): Body<EditMessage>,
) -> ApiResult<Json<MessageResponse>> {
    let message = edit_message(&node, &caller, &cid, &id, request).await?;
    Ok(Json(MessageResponse { message }))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct DeleteParams {
    /// `true`: the message goes for good, and its place with it. Server token.
    #[serde(default)]
    hard: bool,
}

/// Deletes a message; again is the same.
#[utoipa::path(
    delete, path = "/v1/channels/{type}/{id}/messages/{message_id}",
    params(("type" = String, Path), ("id" = String, Path), ("message_id" = String, Path), DeleteParams),
    responses((status = 200, description = "What is left of it.", body = MessageResponse))
)]
pub(super) async fn delete(
    State(node): State<Arc<Node>>,
    caller: Caller,
    MessagePath(cid, id): MessagePath,
    Params(params): Params<DeleteParams>,
) -> ApiResult<Json<MessageResponse>> {
    let deletion = if params.hard { Deletion::Hard } else { Deletion::Soft };
    let message = delete_message(&node, &caller, &cid, &id, deletion).await?;
    Ok(Json(MessageResponse { message }))
}
