//! Takes back what was issued to a user, or to all users of the app, before a time.

use parlour_store::AppId;
use parlour_wire::tokens::RevokeTokens;
use parlour_wire::{CloseCode, ErrorCode, Timestamp, UserId};

use crate::auth::LEEWAY_S;
use crate::connections::NoLongerWelcome;
use crate::error::ApiResult;
use crate::node::Node;

/// When this returns, no connection that came with such a token is told anything any more, and no call is answered.
pub(crate) async fn revoke_tokens(
    node: &Node,
    app: AppId,
    user: Option<&UserId>,
    request: &RevokeTokens,
) -> ApiResult<Option<Timestamp>> {
    let now = node.clock.now();
    let before = request.revoke_tokens_issued_before.unwrap_or(Some(now));
    if before.is_some_and(|before| before.unix_ms() > now.unix_ms() + LEEWAY_S * 1_000) {
        let why = "`revoke_tokens_issued_before` is in the future: tokens that are not issued yet would be refused.";
        return Err(ErrorCode::InvalidInput.because(why).into());
    }
    // Stored first: who is let in before this is among those who are cut off, who comes after it is refused.
    node.store.revoke_tokens(app, user, before, now).await?;
    if let Some(before) = before {
        let error = ErrorCode::TokenRevoked.error();
        let code = CloseCode::TOKEN_REFUSED;
        let whom = NoLongerWelcome { app, user, issued_before: Some(before), code, error };
        node.connections.cut(&whom, node.clock.now()).await;
    }
    Ok(before)
}
