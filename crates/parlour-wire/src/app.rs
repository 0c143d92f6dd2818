//! Apps and their keys, on the wire.

use serde::{Deserialize, Serialize};

use crate::{AppKey, Timestamp};

/// At most this many keys beside the app's secret.
pub const KEYS_MAX: usize = 10;

// The texts are `tt`, not `literal`: the derive of the schema reads `rename` only so.
macro_rules! closed_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $text:tt,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
        pub enum $name {
            $($(#[$vmeta])* #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its name on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// The one with this name.
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.as_str() == text)
            }
        }
    };
}

closed_enum! {
    /// How tokens are signed. It belongs to the key, whatever a token's header says.
    KeyAlgorithm {
        /// A secret that both sides know.
        Hs256 = "HS256",
        /// RSA of 2,048 bits or more.
        Rs256 = "RS256",
        /// The curve P-256.
        Es256 = "ES256",
        /// Ed25519.
        EdDsa = "EdDSA",
    }
}

closed_enum! {
    /// What tokens that are signed with a key may do.
    Scope {
        /// Be a user's, and connect.
        Users = "users",
        /// Be a server's, and ask.
        Read = "read",
        /// Be a server's, and change what users, channels and messages are.
        Write = "write",
        /// Be a server's, and ask what the app used.
        Usage = "usage",
        /// Be a server's, and change the app's keys and what they signed.
        Admin = "admin",
    }
}

/// `POST /v1/app/keys`: a further key for the app's tokens. Server token with the scope `admin`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AddKey {
    /// What a token's header calls it: 1 to 64 of `A-Z a-z 0-9 _ -`. Made up where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    pub algorithm: KeyAlgorithm,
    /// The public half, as PEM or as JWK (at most 8 KiB); of HS256 there is none: the server makes the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// Not more than the caller's own key may. Absent: `users` for a public key, everything that the caller's key may
    /// for a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<Scope>>,
    /// From then on its tokens are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// A key, without what must not be told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct KeyInfo {
    pub kid: String,
    pub algorithm: KeyAlgorithm,
    pub scopes: Vec<Scope>,
    pub created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// About when a good token of it last came: known to the minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
    /// The public half; absent where there is a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
}

/// The key that was added.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct KeyResponse {
    pub key: KeyInfo,
    /// Told this once and never again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// `GET /v1/app`: the app of the token. Server token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AppResponse {
    pub app_key: AppKey,
    /// `development` or `production`.
    pub mode: String,
    pub created_at: Timestamp,
    /// Those beside the app's secret, the oldest first.
    pub keys: Vec<KeyInfo>,
    /// Those that stand elsewhere, if any do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<JwksInfo>,
}

/// `PUT /v1/app/jwks`: keys of the app's tokens stand at this address, too. Server token with the scope `admin`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SetJwks {
    /// `https://…`, at most 2,048 characters; `http://` on this machine, and while developing.
    pub url: String,
}

/// What is known of the keys at an address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct JwksInfo {
    pub url: String,
    /// The `kid` of each key that tokens may be signed with, as far as it has one.
    pub keys: Vec<String>,
    /// When the keys were last got; absent: not since the server began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetched_at: Option<Timestamp>,
    /// Why they could not be got anew: those that are known stay in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The keys that were got.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct JwksResponse {
    pub jwks: JwksInfo,
}
