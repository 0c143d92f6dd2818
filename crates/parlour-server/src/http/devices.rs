//! `/v1/devices`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use parlour_wire::devices::{DeviceResponse, DevicesResponse, RegisterDevice};
use serde::Deserialize;
use utoipa::IntoParams;

use super::body::Body;
use super::caller::Params;
use crate::access::Caller;
use crate::chat::register_devices::register_device;
use crate::error::ApiResult;
use crate::node::Node;

/// Registers a device for push; one that is registered already, by whomever, is the caller's from now on. At most 25.
#[utoipa::path(post, path = "/v1/devices", request_body = RegisterDevice, responses((status = 200, body = DeviceResponse)))]
pub(super) async fn register(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Body(request): Body<RegisterDevice>,
) -> ApiResult<Json<DeviceResponse>> {
    Ok(Json(DeviceResponse { device: register_device(&node, &caller, request).await? }))
}

/// The caller's devices, the earliest registered first.
#[utoipa::path(get, path = "/v1/devices", responses((status = 200, body = DevicesResponse)))]
pub(super) async fn list(State(node): State<Arc<Node>>, caller: Caller) -> ApiResult<Json<DevicesResponse>> {
    let devices = node.store.devices(caller.app.id, caller.require_user()?).await?;
    Ok(Json(DevicesResponse { devices }))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct RemoveParams {
    /// The device's id.
    id: String,
}

/// Removes a device of the caller: nothing is pushed to it any more.
#[utoipa::path(delete, path = "/v1/devices", params(RemoveParams), responses((status = 204)))]
pub(super) async fn remove(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Params(params): Params<RemoveParams>,
) -> ApiResult<StatusCode> {
    node.store.remove_device(caller.app.id, caller.require_user()?, &params.id).await?;
    Ok(StatusCode::NO_CONTENT)
}
