//! Which pages may call from a browser.
//!
//! Nothing here authenticates: no cookie is ever read, so a foreign page has nothing to ride on. The check
//! keeps an app's key from being used on pages that its owner does not know, and strangers' pages from an app that is
//! being developed.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use parlour_wire::ErrorCode;

use crate::config::Config;
use crate::error::ApiError;
use crate::node::Node;

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE");
const HEADERS: HeaderValue =
    HeaderValue::from_static("authorization, content-type, x-parlour-app, x-parlour-user");
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "retry-after, x-request-id, x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-reset",
);
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

pub(super) async fn check_origin(State(node): State<Arc<Node>>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let Some(origin) = origin else { return next.run(request).await };
    let is_allowed = origin.to_str().is_ok_and(|text| allows(&node.config, text, request.headers()));
    let mut response = if !is_allowed {
        let shown: String = String::from_utf8_lossy(origin.as_bytes()).chars().take(200).collect();
        let why = format!("The origin {shown:?} is not allowed; add it to `server.allowed_origins`.");
        ApiError::from(ErrorCode::OriginNotAllowed.because(why)).into_response()
    } else if request.method() == Method::OPTIONS {
        let mut preflight = StatusCode::NO_CONTENT.into_response();
        preflight.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        preflight.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
        preflight.headers_mut().insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        preflight
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    if is_allowed {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
    response
}

/// Listed, or the server's own, or (while developing) on this machine. `null` is nobody.
///
/// While developing anybody may be any user. A foreign page that gave its own name this machine's address, and so
/// calls from an origin that is the server's own by its `Host`, would be one: a name has to be listed then.
fn allows(config: &Config, origin: &str, headers: &HeaderMap) -> bool {
    let own = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let is_own = own.is_some() && host(origin) == own;
    let name = host_name(origin).unwrap_or_default();
    let is_allowed = match config.is_development() {
        true => matches!(name, "localhost" | "127.0.0.1" | "[::1]") || is_own && is_address(name),
        false => is_own,
    };
    is_allowed || config.server.allowed_origins.iter().any(|allowed| allowed == origin)
}

fn is_address(name: &str) -> bool {
    name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok()
}

/// Name and port of an origin.
fn host(origin: &str) -> Option<&str> {
    origin.split_once("://").map(|(_, host)| host)
}

/// The name of an origin's host, or its address (the longer kind in brackets), without the port.
fn host_name(origin: &str) -> Option<&str> {
    let host = host(origin)?;
    // The colons within brackets part an address.
    let port = host.rsplit_once(':').filter(|(_, port)| !port.contains(']'));
    Some(port.map_or(host, |(name, _)| name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Mode;

    #[test]
    fn the_name_of_an_origin_is_without_its_port() {
        for (origin, name) in [
            ("http://localhost:5173", Some("localhost")),
            ("http://localhost", Some("localhost")),
            ("http://[::1]:8790", Some("[::1]")),
            ("http://[::1]", Some("[::1]")),
            ("null", None),
        ] {
            assert_eq!(host_name(origin), name, "{origin}");
        }
    }

    #[test]
    fn only_listed_own_and_while_developing_local_origins_are_allowed() {
        let mut config = Config::default();
        config.server.allowed_origins = vec!["https://chat.example.com".to_owned()];
        config.app.mode = Some(Mode::Production);
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("parlour.example.com"));
        let own = headers.clone();
        let is_allowed = |config: &Config, origin: &str| allows(config, origin, &own);
        assert!(is_allowed(&config, "https://chat.example.com"));
        assert!(is_allowed(&config, "https://parlour.example.com"));
        for foreign in [
            "https://evil.example",
            "null",
            "http://localhost:3000",
            "https://chat.example.com.evil.example",
            "",
        ] {
            assert!(!is_allowed(&config, foreign), "{foreign}");
        }
        config.app.mode = Some(Mode::Development);
        assert!(is_allowed(&config, "http://localhost:3000") && is_allowed(&config, "http://127.0.0.1:5173"));
        assert!(!is_allowed(&config, "null") && !is_allowed(&config, "http://localhost.evil.example"));
        // By its `Host` the server's own: it may be a stranger's name for this machine.
        assert!(!is_allowed(&config, "https://parlour.example.com"));
        config.server.allowed_origins = vec!["https://parlour.example.com".to_owned()];
        assert!(is_allowed(&config, "https://parlour.example.com"));
        headers.insert(header::HOST, HeaderValue::from_static("192.168.1.7:8790"));
        assert!(allows(&config, "http://192.168.1.7:8790", &headers));
        assert!(!allows(&config, "http://192.168.1.8:8790", &headers));
    }
}
