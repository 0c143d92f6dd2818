//! What a token may do whatever its route, also on those that come: a server's by the key that signed it, and that of
//! who is anonymous.

use http::Method;
use parlour_wire::app::Scope;
use parlour_wire::{ErrorBody, ErrorCode};

/// What this request takes. What only looks like a change, because its question stands in a body, is a question.
pub(super) fn needed(method: &Method, path: &str) -> Scope {
    if path == "/v1/app" || path.starts_with("/v1/app/") || path.ends_with("/revoke_tokens") {
        return Scope::Admin;
    }
    if path == "/v1/usage" || path.starts_with("/v1/usage/") {
        return Scope::Usage;
    }
    let asks = *method == Method::GET || *method == Method::HEAD;
    // By their whole paths: a channel may have the id `query`.
    let queries = *method == Method::POST && ["/v1/channels", "/v1/users/query"].contains(&path);
    if asks || queries { Scope::Read } else { Scope::Write }
}

/// Refuses what is not for those who are anonymous: they look at channels, and at themselves.
pub(super) fn check_anonymous(method: &Method, path: &str) -> Result<(), ErrorBody> {
    let is_of_channels = path == "/v1/channels" || path.starts_with("/v1/channels/");
    let is_of_oneself = ["/v1/me", "/v1/unread"].contains(&path);
    // Frames are judged one by one.
    let is_of_connection = path.starts_with("/v1/connections/");
    let reads = (is_of_channels || is_of_oneself) && needed(method, path) == Scope::Read;
    if reads || is_of_connection {
        return Ok(());
    }
    Err(ErrorBody {
        hint: "Log in as a user, or as a guest: `POST /v1/guests`.".to_owned(),
        ..ErrorCode::NotAllowed
            .because("Who is anonymous reads channels that are open to all, and does nothing else.")
    })
}

/// Refuses what the key does not let its tokens do.
pub(super) fn check(scopes: &[Scope], method: &Method, path: &str) -> Result<(), ErrorBody> {
    let needed = needed(method, path);
    if scopes.contains(&needed) {
        return Ok(());
    }
    let named: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
    Err(ErrorBody {
        hint: "Sign with a key that has the scope, or add one: `POST /v1/app/keys`.".to_owned(),
        ..ErrorCode::NotAllowed.because(format!(
            "This takes the scope `{}`; the key of this token has {}.",
            needed.as_str(),
            named.join(", ")
        ))
    })
}
