//! Values that may be newer than the code that reads them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A value of a kind we know, or one that a newer peer knows: kept whole, so that it can be passed on.
///
/// ```
/// use parlour_wire::{Open, Event};
/// let event: Open<Event> = serde_json::from_str(r#"{"type":"poll.closed","poll":7}"#).unwrap();
/// assert!(matches!(event, Open::Unknown(_)));
/// assert_eq!(serde_json::to_string(&event).unwrap(), r#"{"poll":7,"type":"poll.closed"}"#);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Open<T> {
    /// A value of a kind that this version knows.
    Known(T),
    /// Anything else, as it came.
    Unknown(Value),
}

impl<T> Open<T> {
    /// The value, if it is of a known kind.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown(_) => None,
        }
    }
}

impl<T> From<T> for Open<T> {
    fn from(value: T) -> Self {
        Self::Known(value)
    }
}

/// Declares an enum of strings that stays readable when a newer peer adds a value: the unknown string is
/// kept in `Unknown` and written back as it came.
macro_rules! open_enum {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$vmeta:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$vmeta])* $variant,)+
            /// A value that this version does not know, as it came.
            Unknown(Box<str>),
        }

        impl $name {
            /// Every value that this version knows.
            pub const KNOWN: &'static [&'static str] = &[$($text),+];

            /// The value as it stands on the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)+
                    Self::Unknown(text) => text,
                }
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                match text {
                    $($text => Self::$variant,)+
                    other => Self::Unknown(other.into()),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Ok(Self::from(text.as_ref()))
            }
        }

        #[cfg(feature = "schema")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                use utoipa::openapi::schema::{AnyOfBuilder, ObjectBuilder, Schema, Type};
                let known = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(Self::KNOWN.iter().copied()));
                let open = ObjectBuilder::new().schema_type(Type::String);
                Schema::AnyOf(AnyOfBuilder::new().item(known).item(open).build()).into()
            }
        }

        #[cfg(feature = "schema")]
        impl utoipa::ToSchema for $name {}
    };
}
pub(crate) use open_enum;
