//! Guests: users that a client makes by itself, without a backend.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::users::User;

/// `POST /v1/guests`: a new user with the role `guest`, for whoever asks. No token.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateGuest {
    /// Its own fields, as those of any user: `name`, `image`, custom ones. The server names it, and gives it its role.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub user: BTreeMap<String, Value>,
}

impl CreateGuest {
    /// A guest with this name.
    pub fn named(name: impl Into<String>) -> Self {
        Self::default().with("name", name.into())
    }

    /// The same, with a field more.
    #[must_use]
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.user.insert(field.to_owned(), value.into());
        self
    }
}

/// A guest, and the proof of being it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct GuestResponse {
    pub user: User,
    /// Told this once. It has no end, for nobody could give another; it can be revoked as every user's.
    pub token: String,
}
