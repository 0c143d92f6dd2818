//! `/openapi.json` and `/docs`: the API's reference, without a byte from elsewhere; and the pages of errors.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use parlour_wire::ErrorCode;
use utoipa_swagger_ui::SwaggerUi;

use crate::config::Mode;
use crate::error::ApiError;
use crate::node::Node;

/// The document for everybody; the page that tries it out while developing.
pub(super) fn pages(document: utoipa::openapi::OpenApi, mode: Option<Mode>) -> Router<Arc<Node>> {
    let reference = if mode == Some(Mode::Development) {
        Router::from(SwaggerUi::new("/docs").url("/openapi.json", document))
    } else {
        Router::new().route("/openapi.json", get(async || axum::Json(document)))
    };
    reference.route("/docs/errors/{code}", get(error_page))
}

/// The page that every error's `docs` points at.
async fn error_page(Path(code): Path<String>) -> Response {
    let Some(code) = ErrorCode::parse(&code) else {
        return ApiError::from(ErrorCode::NotFound.because("There is no error with this code."))
            .into_response();
    };
    let number = code.number().map_or_else(String::new, |number| format!(", number {number}"));
    let again = if code.retryable() {
        "The same request may succeed later."
    } else {
        "The same request will fail again."
    };
    let (status, title, hint) = (code.status(), code.title(), code.hint());
    Html(format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{code}</title><body>\
         <h1>{code}</h1><p>HTTP status {status}{number}.</p><p>{title}</p><h2>What to do</h2><p>{hint}</p><p>{again}</p></body></html>"
    ))
    .into_response()
}
