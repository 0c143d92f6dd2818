//! Further keys of an app's tokens are added and taken away.

use parlour_store::SigningKey;
use parlour_wire::app::{AddKey, KEYS_MAX, KeyAlgorithm, KeyInfo, KeyResponse, Scope};
use parlour_wire::{ErrorBody, ErrorCode};

use crate::access::Caller;
use crate::auth;
use crate::error::ApiResult;
use crate::node::Node;

const PUBLIC_KEY_BYTES_MAX: usize = 8 * 1024;

/// Adds a key. Nobody gives more than it has.
pub(crate) async fn add_key(node: &Node, caller: &Caller, request: AddKey) -> ApiResult<KeyResponse> {
    let AddKey { kid, algorithm, public_key, scopes, expires_at } = request;
    let kid = kid.unwrap_or_else(|| node.dice.hex()[..16].to_owned());
    check_kid(&kid)?;
    let has_secret = algorithm == KeyAlgorithm::Hs256;
    let scopes =
        scopes.unwrap_or_else(|| if has_secret { caller.scopes.to_vec() } else { vec![Scope::Users] });
    if scopes.is_empty() {
        return Err(ErrorCode::InvalidInput.because("A key without any scope signs nothing.").into());
    }
    if let Some(beyond) = scopes.iter().find(|scope| !caller.scopes.contains(scope)) {
        let why = format!("The key of this token has not the scope `{}` itself.", beyond.as_str());
        return Err(ErrorCode::NotAllowed.because(why).into());
    }
    let material = match (has_secret, public_key) {
        (true, None) => format!("{}{}", node.dice.hex(), node.dice.hex()),
        (true, Some(_)) => {
            let why = "A key for HS256 has no public half: leave `public_key` out, and get the secret.";
            return Err(ErrorCode::InvalidInput.because(why).into());
        }
        (false, Some(key)) if key.len() <= PUBLIC_KEY_BYTES_MAX => {
            auth::check_public_key(algorithm, &key)?;
            key
        }
        (false, Some(_)) => {
            return Err(ErrorCode::TooLarge.because("A public key has at most 8 KiB.").into());
        }
        (false, None) => {
            let why = format!("`public_key` is missing: {} is verified with it.", algorithm.as_str());
            return Err(ErrorCode::InvalidInput.because(why).into());
        }
    };
    let key = SigningKey {
        kid,
        algorithm: algorithm.as_str().to_owned(),
        material,
        scopes: scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
        created_at: node.clock.now(),
        expires_at,
        last_used_at: None,
    };
    node.store.add_key(caller.app.id, key.clone(), KEYS_MAX).await?;
    node.read_anew(&caller.app).await?;
    let secret = has_secret.then(|| key.material.clone());
    let key = info(&key).ok_or_else(|| ErrorCode::Internal.error())?;
    Ok(KeyResponse { key, secret })
}

/// Takes a key away: from now on its tokens are refused.
pub(crate) async fn remove_key(node: &Node, caller: &Caller, kid: &str) -> ApiResult<()> {
    node.store.remove_key(caller.app.id, kid, node.clock.now()).await?;
    node.read_anew(&caller.app).await?;
    Ok(())
}

/// The key as it is shown.
pub(crate) fn info(key: &SigningKey) -> Option<KeyInfo> {
    let algorithm = KeyAlgorithm::parse(&key.algorithm)?;
    Some(KeyInfo {
        kid: key.kid.clone(),
        algorithm,
        scopes: key.scopes.iter().filter_map(|scope| Scope::parse(scope)).collect(),
        created_at: key.created_at,
        expires_at: key.expires_at,
        last_used_at: key.last_used_at,
        public_key: (algorithm != KeyAlgorithm::Hs256).then(|| key.material.clone()),
    })
}

fn check_kid(kid: &str) -> Result<(), ErrorBody> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || ['_', '-'].contains(&c);
    if (1..=64).contains(&kid.len()) && kid.chars().all(is_allowed) {
        return Ok(());
    }
    Err(ErrorCode::InvalidInput.because("A `kid` is 1 to 64 of A-Z a-z 0-9 _ -."))
}
