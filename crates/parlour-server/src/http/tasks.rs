//! `/v1/tasks`

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::{HeaderValue, header};
use parlour_wire::ErrorCode;
use parlour_wire::tasks::{TaskResponse, TaskStatus};

use super::caller::TaskPath;
use crate::access::Caller;
use crate::error::ApiResult;
use crate::node::Node;

/// How far a task is. Server token. Finished ones are kept for seven days.
#[utoipa::path(get, path = "/v1/tasks/{task_id}", params(("task_id" = String, Path)), responses((status = 200, body = TaskResponse)))]
pub(super) async fn show(
    State(node): State<Arc<Node>>,
    caller: Caller,
    TaskPath(id): TaskPath,
) -> ApiResult<Json<TaskResponse>> {
    caller.require_server()?;
    Ok(Json(TaskResponse { task: node.store.task(caller.app.id, &id).await? }))
}

/// What a task gave: of an export, lines of JSON. Server token.
#[utoipa::path(
    get, path = "/v1/tasks/{task_id}/result", params(("task_id" = String, Path)),
    responses((status = 200, description = "One object of JSON in each line.", content_type = "application/x-ndjson", body = String))
)]
pub(super) async fn result(
    State(node): State<Arc<Node>>,
    caller: Caller,
    TaskPath(id): TaskPath,
) -> ApiResult<Response> {
    caller.require_server()?;
    let task = node.store.task(caller.app.id, &id).await?;
    match task.status {
        TaskStatus::Completed if task.result.is_some() => {}
        TaskStatus::Completed => {
            return Err(ErrorCode::NotFound.because("This task has no result but that it was done.").into());
        }
        TaskStatus::Failed => {
            return Err(ErrorCode::NotFound.because("The task failed; see its `error`.").into());
        }
        TaskStatus::Waiting | TaskStatus::Running | TaskStatus::Unknown(_) => {
            let mut error = ErrorCode::TaskUnfinished.error();
            error.retry_after = Some(1);
            return Err(error.into());
        }
    }
    let app = caller.app.id;
    // Part by part as they are taken: however large it is, one part of it is in memory.
    let parts = stream::try_unfold((node, id, 0), move |(node, id, part)| async move {
        let body = node.store.task_output(app, &id, part).await.map_err(std::io::Error::other)?;
        Ok::<_, std::io::Error>(body.map(|body| (Bytes::from(body), (node, id, part + 1))))
    });
    let mut response = Body::from_stream(parts).into_response();
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson; charset=utf-8"));
    Ok(response)
}
