//! `/demo/`: the demo within the binary, and what it has to know before it has a token.
//!
//! The page is public: it knows no more than any other page, and asks for a token as any other does.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use parlour_wire::ErrorCode;
use serde_json::json;

use crate::config::Config;
use crate::error::{ApiError, ApiResult};
use crate::node::Node;
use crate::web::{Bundle, File, INDEX};

/// Who is there to try the demo as: id and name. `parlour dev` makes them.
pub const DEMO_USERS: [(&str, &str); 4] =
    [("alice", "Alice"), ("bob", "Bob"), ("carol", "Carol"), ("dave", "Dave")];

/// `'self'` is the page's own origin, with `ws:` and `wss:` to it. It may show images of others, because
/// messages do, and stand in a frame of its own: two people side by side.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; img-src 'self' https: data:; connect-src 'self'; object-src 'none'; base-uri 'none'; \
     form-action 'self'; frame-ancestors 'self'",
);
const NO_REFERRER: HeaderValue = HeaderValue::from_static("no-referrer");
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// Kept, and asked after each time.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");

/// What of the demo is served with these settings.
pub(super) fn pages(config: &Config) -> Router<Arc<Node>> {
    if !config.serves_demo() {
        return Router::new();
    }
    let bundle = Arc::new(Bundle::demo());
    let page = async move |uri: Uri, headers: HeaderMap| show(&bundle, &uri, &headers);
    let pages = Router::new()
        .route("/demo", get(async |uri: Uri| to_demo(&uri)))
        .route("/demo/", get(page.clone()))
        .route("/demo/{*path}", get(page));
    if !config.is_development() {
        return pages;
    }
    pages.route("/", get(async |uri: Uri| to_demo(&uri))).route("/demo/config.json", get(settings))
}

/// Where the demo is; what was asked of it stays asked.
fn to_demo(uri: &Uri) -> Response {
    let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
    // Everything here is in the alphabet of URLs already.
    match HeaderValue::from_str(&format!("/demo/{query}")) {
        Ok(place) => (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, place)]).into_response(),
        Err(_) => nothing_here().into_response(),
    }
}

fn nothing_here() -> ApiError {
    ErrorCode::NotFound.because("There is nothing at this path.").into()
}

fn show(bundle: &Bundle, uri: &Uri, headers: &HeaderMap) -> ApiResult<Response> {
    let path = uri.path().strip_prefix("/demo/").ok_or_else(nothing_here)?;
    let file = match bundle.file(path) {
        Some(file) => file,
        // A place within the page, for its own router to know.
        None if is_place(path) => bundle.file(INDEX).ok_or_else(nothing_here)?,
        None => return Err(nothing_here()),
    };
    let is_known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| names(known, &file.etag));
    let mut response = if is_known { StatusCode::NOT_MODIFIED.into_response() } else { whole(file) };
    let cached = if file.is_named_by_content { FOR_EVER } else { ASK_AGAIN };
    let kept = response.headers_mut();
    kept.insert(header::CACHE_CONTROL, cached);
    if let Ok(etag) = HeaderValue::from_str(&file.etag) {
        kept.insert(header::ETAG, etag);
    }
    kept.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    kept.insert(header::REFERRER_POLICY, NO_REFERRER);
    Ok(response)
}

fn whole(file: &File) -> Response {
    let content_type: (HeaderName, &str) = (header::CONTENT_TYPE, &file.content_type);
    ([content_type], file.bytes).into_response()
}

/// Words with slashes between: no name of a file, and nothing that anybody could resolve or decode.
fn is_place(path: &str) -> bool {
    let is_word = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    path.split('/').all(is_word)
}

/// Whether one of the tags in `If-None-Match` is this one. Weakly, as that header compares.
fn names(known: &HeaderValue, etag: &str) -> bool {
    let tags = known.to_str().unwrap_or_default().split(',').map(str::trim);
    tags.map(|tag| tag.strip_prefix("W/").unwrap_or(tag)).any(|tag| tag == etag || tag == "*")
}

/// `GET /demo/config.json`: the app, and whom one may be in it. While developing only: see [`super::dev_token`].
async fn settings(State(node): State<Arc<Node>>) -> ApiResult<impl IntoResponse> {
    let app = node.first_app()?;
    let users: Vec<_> = DEMO_USERS.iter().map(|(id, name)| json!({ "id": id, "name": name })).collect();
    Ok(([(header::CACHE_CONTROL, ASK_AGAIN)], Json(json!({ "app_key": app.key, "users": users }))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_are_places_within_the_page() {
        for place in ["", "channels", "channels/general-2", "a/b/"] {
            assert!(is_place(place), "{place:?}");
        }
        for other in ["app.js", "..", "../x", "a/../b", "%2e%2e/x", "a%00", "a\\b", "a b", "a:b", "ä"] {
            assert!(!is_place(other), "{other:?}");
        }
    }

    #[test]
    fn a_tag_is_known_alone_in_a_list_weakly_or_as_any() {
        let knows = |known: &'static str| names(&HeaderValue::from_static(known), "\"a\"");
        assert!(knows("\"a\"") && knows("\"b\", \"a\"") && knows("W/\"a\"") && knows("*"));
        assert!(!knows("\"b\"") && !knows("a") && !knows("") && !knows("\"ab\""));
    }
}
