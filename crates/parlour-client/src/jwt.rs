//! Tokens without a secret: reading them, for tools (the server verifies, a client only looks), and writing those that
//! nobody signs.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use parlour_wire::{ErrorCode, UserId, json};
use serde_json::{Value, json};
use uuid::Uuid;

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
        let no_jwt =
            |what: &str| Error::because(ErrorCode::TokenMalformed, format!("this is no JWT: {what}"));
        let parts: Vec<&str> = token.split('.').collect();
        let [header, claims, _] = parts[..] else { return Err(no_jwt("it has not three parts")) };
        let read = |part: &str| {
            let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| no_jwt("a part is not base64url"))?;
            json::parse(&bytes).map_err(|error| no_jwt(&error.to_string()))
        };
        let (header, claims) = (read(header)?, read(claims)?);
        let algorithm =
            header.get("alg").and_then(Value::as_str).ok_or_else(|| no_jwt("it names no `alg`"))?;
        Ok(Self { algorithm: algorithm.to_owned(), claims })
    }

    /// The user that the token is for, or who is anonymous; `None` for a server's.
    ///
    /// # Errors
    /// `invalid_id`.
    pub fn user(&self) -> Result<Option<UserId>, Error> {
        let claim = |name| self.claims.get(name).and_then(Value::as_str);
        let read =
            |id: &str| if id.starts_with('!') { UserId::parse_anonymous(id) } else { UserId::parse(id) };
        Ok(claim("user_id").or_else(|| claim("sub")).map(read).transpose()?)
    }

    /// Whether this secret signed the token, by HS256.
    pub fn is_signed_with(token: &str, secret: &str) -> bool {
        let Some((signed, signature)) = token.rsplit_once('.') else { return false };
        let key = DecodingKey::from_secret(secret.as_bytes());
        jsonwebtoken::crypto::verify(signature, signed.as_bytes(), &key, Algorithm::HS256).unwrap_or(false)
    }
}

/// A user's token that nobody signed, for as long as there is no backend: it is taken of apps in development mode, and of
/// no others.
///
/// ```
/// let token = parlour_client::development_token("alice").unwrap();
/// assert!(token.ends_with('.'), "there is no signature");
/// ```
///
/// # Errors
/// `invalid_id`.
pub fn development_token(user: &str) -> Result<String, Error> {
    let user = UserId::parse(user)?;
    Ok(unsigned(&json!({ "user_id": user })))
}

/// A token that says that one is nobody: with it a client reads channels that are open to all, and does nothing else. It
/// is another one each time; with the same one it is the same nobody who comes back.
///
/// ```
/// use parlour_client::{TokenClaims, anonymous_token};
/// let nobody = TokenClaims::read(&anonymous_token()).unwrap().user().unwrap().unwrap();
/// assert!(nobody.is_anonymous());
/// ```
pub fn anonymous_token() -> String {
    unsigned(&json!({ "user_id": format!("!{}", Uuid::new_v4()) }))
}

fn unsigned(claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.", part(&json!({ "alg": "none" })), part(claims))
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

    #[test]
    fn a_token_that_nobody_signed_says_so() {
        let token = development_token("alice").unwrap();
        let read = TokenClaims::read(&token).unwrap();
        assert_eq!((read.algorithm.as_str(), read.claims), ("none", json!({ "user_id": "alice" })));
        assert!(!TokenClaims::is_signed_with(&token, ""));
        assert_eq!(development_token("Alice").unwrap_err().code(), "invalid_id");
        for bad in ["", "a.b", "a.b.c", "bm8.bm8.", "e30.e30.", "!.e30."] {
            assert_eq!(TokenClaims::read(bad).unwrap_err().code(), "token_malformed", "{bad}");
        }
    }
}
