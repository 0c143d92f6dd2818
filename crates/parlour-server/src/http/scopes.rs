//! What a server token may do, by the key that signed it: one rule for all routes, also for those that come.

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
    let queries = path == "/v1/channels" || path.ends_with("/query");
    if asks || queries { Scope::Read } else { Scope::Write }
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
