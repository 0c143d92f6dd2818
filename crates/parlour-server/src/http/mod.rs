//! HTTP: routes, and what every request goes through. One file per resource; each handler reads: extract,
//! access, chat, answer.

mod app;
mod body;
mod caller;
mod channels;
mod connect;
mod cors;
mod demo;
mod dev_token;
mod devices;
mod frames;
mod guests;
mod health;
mod limits;
mod members;
mod messages;
mod moderation;
mod reads;
mod reference;
mod request;
mod scopes;
mod tasks;
mod tokens;
mod upgrade;
mod usage;
mod users;

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::response::IntoResponse;
use parlour_wire::ErrorCode;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi;
use utoipa::openapi::PathItem;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::error::ApiError;
use crate::node::Node;

pub use demo::DEMO_USERS;
pub(crate) use request::{Crowded, LengthStatedTwice, PeerAddress};

/// The document that all paths are gathered under.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Parlour",
        description = "Chat over HTTP: what changes the world is asked for here, with its own status and error. What happens is told on the connection: see the frames among the schemas, and the protocol's own page.",
        license(name = "MIT OR Apache-2.0")
    ),
    components(schemas(
        parlour_wire::ClientFrame,
        parlour_wire::ServerFrame,
        parlour_wire::Event,
        parlour_wire::events::Signal,
        parlour_wire::tasks::ExportLine,
        parlour_wire::error::ErrorResponse
    ))
)]
struct Document;

fn documented() -> OpenApiRouter<Arc<Node>> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(users::me))
        .routes(routes!(users::upsert, users::list))
        .routes(routes!(users::query))
        .routes(routes!(users::update, users::delete))
        .routes(routes!(users::deactivate))
        .routes(routes!(users::reactivate))
        .routes(routes!(users::restore))
        .routes(routes!(users::export))
        .routes(routes!(guests::create))
        .routes(routes!(devices::register, devices::list, devices::remove))
        .routes(routes!(tasks::show))
        .routes(routes!(tasks::result))
        .routes(routes!(app::show))
        .routes(routes!(app::add_key))
        .routes(routes!(app::remove_key))
        .routes(routes!(app::set_jwks, app::remove_jwks))
        .routes(routes!(tokens::revoke_of_user))
        .routes(routes!(tokens::revoke_of_app))
        .routes(routes!(channels::query))
        .routes(routes!(channels::get_or_create_distinct))
        .routes(routes!(channels::get_or_create, channels::show, channels::update, channels::delete))
        .routes(routes!(members::change, members::list))
        .routes(routes!(members::change_role))
        .routes(routes!(messages::send, messages::page))
        .routes(routes!(messages::show, messages::edit, messages::delete))
        .routes(routes!(reads::mark_read))
        .routes(routes!(reads::mark_unread))
        .routes(routes!(reads::unread))
        .routes(routes!(moderation::ban, moderation::lift_ban))
        .routes(routes!(moderation::bans))
        .routes(routes!(moderation::mute, moderation::mutes))
        .routes(routes!(moderation::unmute))
        .routes(routes!(moderation::block, moderation::blocks))
        .routes(routes!(moderation::unblock))
        .routes(routes!(moderation::flag, moderation::flags))
        .routes(routes!(usage::usage))
        .routes(routes!(limits::show, limits::set))
        .routes(routes!(connect::connect, connect::connect_over_http))
        .routes(routes!(frames::send_frames))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
}

/// The API's description, the same that `/openapi.json` serves.
pub fn openapi() -> utoipa::openapi::OpenApi {
    documented().into_openapi()
}

/// Every endpoint of the API, as limits name it: `POST /v1/channels`.
pub(crate) fn endpoints() -> BTreeSet<String> {
    let of_path = |(path, item): (String, PathItem)| {
        let PathItem { get, put, post, patch, delete, .. } = item;
        let methods = [("GET", get), ("PUT", put), ("POST", post), ("PATCH", patch), ("DELETE", delete)];
        let there = methods.into_iter().filter(|(_, operation)| operation.is_some());
        there.map(move |(method, _)| format!("{method} {path}")).collect::<Vec<_>>()
    };
    openapi().paths.paths.into_iter().flat_map(of_path).collect()
}

/// Everything that the server answers over HTTP.
pub fn router(node: Arc<Node>) -> Router {
    let (api, document) = documented().split_for_parts();
    api.route("/health", axum::routing::get(health::livez))
        .merge(reference::pages(document, node.config.app.mode))
        .merge(demo::pages(&node.config))
        .merge(dev_token::routes(&node.config))
        .method_not_allowed_fallback(async || ApiError::from(ErrorCode::MethodNotAllowed))
        .fallback(async || ApiError::from(ErrorCode::NotFound.because("There is nothing at this path.")))
        .layer(middleware::from_fn_with_state(Arc::clone(&node), limits::tell))
        .layer(middleware::from_fn_with_state(Arc::clone(&node), cors::check_origin))
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
            ApiError::from(ErrorCode::Internal).into_response()
        }))
        .layer(middleware::from_fn_with_state(Arc::clone(&node), request::finish))
        .with_state(node)
}
