//! `/v1/usage`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use parlour_wire::ErrorCode;
use parlour_wire::usage::{CONCURRENT_DEFINITION, Definitions, MAU_DEFINITION, UsageResponse};
use serde::Deserialize;
use utoipa::IntoParams;

use super::caller::Params;
use crate::access::Caller;
use crate::error::ApiResult;
use crate::node::Node;

/// A day of minutes.
const MINUTES_MAX: u32 = 1_440;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct UsageParams {
    /// How many of the latest minutes to give: 0 to 1,440; default 60.
    minutes: Option<u32>,
}

/// What the app used, with the words that the figures are to be read by. Server token.
#[utoipa::path(get, path = "/v1/usage", params(UsageParams), responses((status = 200, body = UsageResponse)))]
pub(super) async fn usage(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Params(params): Params<UsageParams>,
) -> ApiResult<Json<UsageResponse>> {
    caller.require_server()?;
    let minutes = params.minutes.unwrap_or(60);
    if minutes > MINUTES_MAX {
        let why = format!("`minutes` is {minutes}; at most {MINUTES_MAX} come at once.");
        return Err(ErrorCode::InvalidInput.because(why).into());
    }
    // What closed within the last second belongs to the answer.
    node.settle().await;
    let now = node.clock.now();
    let month = now.month();
    let monthly_active_users = node.store.monthly_active_users(caller.app.id, &month).await?;
    let mut concurrent_connections = node.store.concurrent_connections(caller.app.id, minutes, now).await?;
    concurrent_connections.current = node.connections.counts().get(&caller.app.id).copied().unwrap_or(0);
    Ok(Json(UsageResponse {
        month,
        monthly_active_users,
        concurrent_connections,
        definitions: Definitions {
            monthly_active_users: MAU_DEFINITION.to_owned(),
            concurrent_connections: CONCURRENT_DEFINITION.to_owned(),
        },
    }))
}
