//! `/livez`, `/readyz`: for those who run the server. No secrets, no ids.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;

use crate::node::Node;

/// The process answers.
#[utoipa::path(get, path = "/livez", responses((status = 200, description = "The process answers.")))]
pub(super) async fn livez() -> &'static str {
    "ok\n"
}

/// The server can do its work: the store writes and reads, and nobody is being sent away.
#[utoipa::path(
    get, path = "/readyz",
    responses((status = 200, description = "Ready."), (status = 503, description = "Not ready: the text says what is not."))
)]
pub(super) async fn readyz(State(node): State<Arc<Node>>) -> (StatusCode, String) {
    let store = match node.store.check().await {
        Ok(()) => "ok".to_owned(),
        Err(error) => {
            tracing::warn!(%error, "the store is not ready");
            "not ready".to_owned()
        }
    };
    let drain = if node.is_draining() { "draining" } else { "ok" };
    let is_ready = store == "ok" && drain == "ok";
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, format!("store: {store}\ndrain: {drain}\n"))
}
