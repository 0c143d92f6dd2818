//! Where keys of an app's tokens stand, beside those that it lists.

use parlour_wire::ErrorCode;
use parlour_wire::app::{JwksInfo, SetJwks};

use crate::access::Caller;
use crate::auth;
use crate::error::ApiResult;
use crate::node::Node;

/// Names the address, if keys are to be had there.
pub(crate) async fn set_jwks(node: &Node, caller: &Caller, request: SetJwks) -> ApiResult<JwksInfo> {
    let SetJwks { url } = request;
    auth::check_url(&url, node.config.is_development())?;
    let wrong = |why: String| ErrorCode::InvalidInput.because(format!("There are no keys at `url`: {why}."));
    let keys = auth::fetch(&url).await.map_err(wrong)?;
    if keys.is_empty() {
        return Err(wrong("none of those that are listed signs with RS256, ES256 or EdDSA".to_owned()).into());
    }
    node.store.set_jwks_url(caller.app.id, Some(url)).await?;
    node.read_anew(&caller.app).await?;
    let hosted = node.hosted(&caller.app.key)?;
    let jwks = hosted.jwks.as_ref().ok_or_else(|| ErrorCode::Internal.error())?;
    jwks.learn(keys, node.clock.millis(), node.clock.now());
    Ok(jwks.info())
}

/// Forgets the address.
pub(crate) async fn remove_jwks(node: &Node, caller: &Caller) -> ApiResult<()> {
    node.store.set_jwks_url(caller.app.id, None).await?;
    node.read_anew(&caller.app).await?;
    Ok(())
}
