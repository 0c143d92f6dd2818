//! Reading tokens, for tools: the server verifies, a client only looks.

use jsonwebtoken::{Algorithm, DecodingKey};
use parlour_wire::{ErrorCode, UserId};
use serde_json::Value;

use crate::Error;

/// What a token says of itself. Nobody has verified it.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenClaims {
    /// The header's `alg`.
    pub algorithm: String,
    pub claims: Value,
}

impl TokenClaims {
    /// Reads a token without verifying it.
    ///
    /// # Errors
    /// `token_malformed`.
    pub fn read(token: &str) -> Result<Self, Error> {
        let token = jsonwebtoken::dangerous::insecure_decode::<Value>(token)
            .map_err(|e| Error::because(ErrorCode::TokenMalformed, format!("this is no JWT: {e}")))?;
        Ok(Self { algorithm: format!("{:?}", token.header.alg), claims: token.claims })
    }

    /// The user that the token is for; `None` for a server's.
    ///
    /// # Errors
    /// `invalid_id`.
    pub fn user(&self) -> Result<Option<UserId>, Error> {
        let claim = |name| self.claims.get(name).and_then(Value::as_str);
        Ok(claim("user_id").or_else(|| claim("sub")).map(UserId::parse).transpose()?)
    }

    /// Whether this secret signed the token, by HS256.
    pub fn is_signed_with(token: &str, secret: &str) -> bool {
        let Some((signed, signature)) = token.rsplit_once('.') else { return false };
        let key = DecodingKey::from_secret(secret.as_bytes());
        jsonwebtoken::crypto::verify(signature, signed.as_bytes(), &key, Algorithm::HS256).unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ServerClient;

    #[test]
    fn a_token_says_whose_it_is_and_its_secret_is_told_from_others() {
        let server = ServerClient::new("http://127.0.0.1:1", "dev", "secret").unwrap();
        let token = server.create_token("alice", Some(std::time::Duration::from_secs(60))).unwrap();
        let claims = TokenClaims::read(&token).unwrap();
        assert_eq!(claims.user().unwrap().unwrap().as_str(), "alice");
        assert_eq!(claims.algorithm, "HS256");
        let time = |name: &str| claims.claims[name].as_u64().unwrap();
        assert_eq!(time("exp") - time("iat"), 60);
        assert!(TokenClaims::is_signed_with(&token, "secret"));
        assert!(!TokenClaims::is_signed_with(&token, "another"));
        assert!(!TokenClaims::is_signed_with("no.token.", "secret"));
    }
}
