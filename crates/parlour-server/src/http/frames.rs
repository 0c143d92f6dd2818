//! `/v1/connections/{id}/frames`: what the client of a connection says that only listens.

use std::sync::Arc;

use axum::extract::{Request, State};
use http::StatusCode;
use parlour_wire::frames::{ClientFrames, FRAME_BYTES_MAX};
use parlour_wire::{ErrorBody, ErrorCode};
use serde::Deserialize;

use super::body::Object;
use super::caller::ConnectionPath;
use crate::access::Caller;
use crate::auth::Bearer;
use crate::connections::NotTaken;
use crate::error::ApiResult;
use crate::gateway::inbox::Parcel;
use crate::node::Node;

/// Says frames on a connection that was opened by `POST /v1/connect`, in their order. They are answered on the
/// connection, and count against its limits.
#[utoipa::path(
    post, path = "/v1/connections/{id}/frames",
    params(("id" = String, Path, description = "`connection_id` of `ready`.")),
    request_body = ClientFrames,
    responses((status = 204, description = "Taken: what comes of them is said on the connection."))
)]
pub(super) async fn send_frames(
    State(node): State<Arc<Node>>,
    caller: Caller,
    ConnectionPath(id): ConnectionPath,
    request: Request,
) -> ApiResult<StatusCode> {
    let Bearer::User(user) = &caller.bearer else {
        return Err(ErrorCode::ServerTokenCannotConnect.into());
    };
    let Object { value, bytes } = Object::read(request, &node, FRAME_BYTES_MAX).await?;
    let ClientFrames { frames } = ClientFrames::deserialize(value)
        .map_err(|error| ErrorCode::InvalidInput.because(format!("{error}.")))?;
    node.connections.put(caller.app.id, user, &id, Parcel { frames, bytes }).map_err(refusal)?;
    Ok(StatusCode::NO_CONTENT)
}

fn refusal(error: NotTaken) -> ErrorBody {
    match error {
        // The same whether it is another user's, or a WebSocket, or was never there.
        NotTaken::NoConnection => ErrorCode::NotFound
            .because("This user has no connection with this id that takes frames over HTTP."),
        NotTaken::Full => ErrorBody {
            retry_after: Some(1),
            ..ErrorCode::RateLimited.because("What was sent before has not been taken yet.")
        },
    }
}
