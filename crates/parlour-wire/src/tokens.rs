//! Tokens that are taken back before their time is over.

use serde::{Deserialize, Deserializer, Serialize};

use crate::Timestamp;

/// `POST /v1/users/{id}/revoke_tokens`, `POST /v1/app/revoke_tokens`: what was issued before a time, to the user or to
/// all users of the app, is no longer good. Server token.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RevokeTokens {
    /// The time: absent is now, `null` takes a revocation back. A token says in whole seconds when it was issued; those
    /// of the very second of the time are revoked with it, and so are all that do not say.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<Timestamp>))]
    pub revoke_tokens_issued_before: Option<Option<Timestamp>>,
}

/// What is revoked from now on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RevokedTokens {
    /// `null`: nothing.
    pub revoke_tokens_issued_before: Option<Timestamp>,
}

/// A field that is there, be it `null`.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
