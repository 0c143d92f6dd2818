//! Errors, in one shape everywhere: HTTP bodies, `error` frames, the SDKs.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// One error, as every door of the server gives it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ErrorBody {
    /// Stable, for programs. [`ErrorCode`] lists the known ones.
    pub code: String,
    /// The HTTP status that goes with it, also where the error comes in a frame.
    pub status: u16,
    /// The number that clients of other chat products know for it, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u16>,
    /// What happened, for people.
    pub message: String,
    /// What to do about it.
    pub hint: String,
    /// Which fields were wrong, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
    /// Names this request in the server's log.
    #[serde(default)]
    pub request_id: String,
    /// Whether the same request may succeed later, unchanged.
    pub retryable: bool,
    /// Seconds to wait before trying again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
    /// The page that explains the code.
    pub docs: String,
}

/// The body of an HTTP answer that is no success.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ErrorResponse {
    pub error: ErrorBody,
}

impl fmt::Display for ErrorBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.code, self.message, self.hint)
    }
}

macro_rules! error_codes {
    ($($variant:ident = $slug:literal, $status:literal, $number:expr, $retryable:literal, $title:literal, $hint:literal;)+) => {
        /// What can go wrong, once and for all: the source of the HTTP status, the frame and the docs page.
        /// Codes are never reused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ErrorCode {
            $(#[doc = $title] $variant,)+
        }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stable name.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $slug,)+ }
            }

            /// The HTTP status.
            pub fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)+ }
            }

            /// The number that clients of other chat products know.
            pub fn number(self) -> Option<u16> {
                match self { $(Self::$variant => $number,)+ }
            }

            /// Whether the same request may succeed later, unchanged.
            pub fn retryable(self) -> bool {
                match self { $(Self::$variant => $retryable,)+ }
            }

            /// What the code means, in a sentence.
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)+ }
            }

            /// What to do about it.
            pub fn hint(self) -> &'static str {
                match self { $(Self::$variant => $hint,)+ }
            }
        }
    };
}

error_codes! {
    InvalidInput = "invalid_input", 400, Some(4), false,
        "The request is not what this endpoint takes.", "Read `message` and `fields`, correct the request, send it again.";
    InvalidJson = "invalid_json", 400, Some(4), false,
        "The body or frame is not acceptable JSON.", "Send one JSON object without duplicate keys, NUL characters, integers beyond 2^53 or nesting deeper than 32.";
    InvalidId = "invalid_id", 400, Some(4), false,
        "An id has a character or a length that is not allowed.", "User ids are 1-128 of a-z 0-9 @ _ -; the message names the character.";
    ReservedField = "reserved_field", 400, Some(4), false,
        "A field that only the server sets was given.", "Leave the field out, or choose another name for your own.";
    UnsupportedFilter = "unsupported_filter", 400, Some(4), false,
        "The filter or sort uses a field or an operator that is not offered here.", "Use the fields and operators that the endpoint's reference lists.";
    AppKeyMissing = "app_key_missing", 401, Some(2), false,
        "The request names no app.", "Send the app's key in the header `X-Parlour-App`.";
    UnknownApp = "unknown_app", 401, Some(2), false,
        "No app has this key.", "Compare the key with the one that the server printed at its start.";
    TokenMissing = "token_missing", 401, Some(5), false,
        "The request carries no token.", "Send `Authorization: Bearer <token>`; make one with `parlour token create`.";
    TokenExpired = "token_expired", 401, Some(40), false,
        "The token's `exp` is in the past.", "Fetch a new token from your token provider.";
    TokenNotYetValid = "token_not_yet_valid", 401, Some(41), false,
        "The token's `nbf` is in the future.", "Compare the clocks of the machine that signs tokens and of the server.";
    TokenUsedBeforeIssued = "token_used_before_issued", 401, Some(42), false,
        "The token's `iat` is in the future.", "Compare the clocks of the machine that signs tokens and of the server.";
    TokenSignature = "token_signature", 401, Some(43), false,
        "The token is not signed with this app's secret and algorithm.", "Sign with HS256 and the secret that belongs to the app key.";
    TokenMalformed = "token_malformed", 401, Some(5), false,
        "The token's claims are missing, contradictory or of the wrong type.", "A user token has `user_id` (or an equal `sub`) as text and whole-number times; a server token has `server: true`.";
    TokenRevoked = "token_revoked", 401, Some(5), false,
        "The token was revoked.", "Sign the user in again and issue a new token.";
    ServerTokenCannotConnect = "server_token_cannot_connect", 403, Some(17), false,
        "A server token was used to open a connection.", "Connect with a user token; act over HTTP with the server token.";
    WrongUser = "wrong_user", 403, Some(17), false,
        "The token belongs to another user than the one named.", "Use the named user's own token.";
    UserRequired = "user_required", 400, Some(4), false,
        "This endpoint acts as a user and the server token named none.", "Name the user in the header `X-Parlour-User`.";
    ServerTokenRequired = "server_token_required", 403, Some(17), false,
        "Only a server token may do this.", "Call this endpoint from your backend with a server token.";
    NotAllowed = "not_allowed", 403, Some(17), false,
        "The caller may not do this.", "Ask an owner of the channel, or call with a server token.";
    RoleNotAllowed = "role_not_allowed", 403, Some(17), false,
        "A user tried to change its own role or teams.", "Set `role` and `teams` from your backend with a server token.";
    OriginNotAllowed = "origin_not_allowed", 403, Some(17), false,
        "The page's origin is not on the app's list.", "Add the origin to `server.allowed_origins`.";
    UserBanned = "user_banned", 403, Some(99), false,
        "The user is banned.", "Lift the ban from your backend.";
    UserDeactivated = "user_deactivated", 403, Some(99), false,
        "The user is deactivated.", "Reactivate it from your backend: `POST /v1/users/{id}/reactivate`.";
    UserDeleted = "user_deleted", 403, Some(17), false,
        "The user is deleted.", "If it was not deleted for good, restore it from your backend: `POST /v1/users/{id}/restore`.";
    BannedFromChannel = "banned_from_channel", 403, Some(17), false,
        "The user is banned from this channel and may say nothing in it.", "Wait until the ban ends, or ask a moderator of the channel to lift it.";
    Blocked = "blocked", 403, Some(17), false,
        "One of the two users of a direct channel blocked the other.", "Nothing can be sent between them until the block is taken back.";
    NotFound = "not_found", 404, Some(16), false,
        "It does not exist, or the caller may not see it.", "Check the id, and that the user is a member.";
    MethodNotAllowed = "method_not_allowed", 405, Some(4), false,
        "The path exists, but not with this method.", "See the reference for the methods of this path.";
    IdConflict = "id_conflict", 409, Some(4), false,
        "The id is taken by something else.", "Make a new id; reuse one only to send the same message again.";
    TooManyDevices = "too_many_devices", 409, Some(4), false,
        "The user has as many devices as are allowed.", "Remove one that is not used any more: `GET /v1/devices` lists them, the earliest registered first.";
    TaskUnfinished = "task_unfinished", 409, None, true,
        "The task has not come to its end.", "Ask `GET /v1/tasks/{id}` until its status is `completed`, then again.";
    AlreadyConnectedAs = "already_connected_as", 409, Some(4), false,
        "This client is connected as another user.", "Call `disconnect_user()` first, or use a second client.";
    TextTooLong = "text_too_long", 400, Some(20), false,
        "The text is longer than the channel type allows.", "Shorten the text, or raise the type's `max_message_length`.";
    TooLarge = "too_large", 413, Some(22), false,
        "The request, or the object that it would make, is larger than allowed.", "Send less; the message names the limit.";
    UnsupportedMediaType = "unsupported_media_type", 415, Some(4), false,
        "The body is not sent as JSON.", "Send `Content-Type: application/json` in UTF-8.";
    UpgradeRequired = "upgrade_required", 426, Some(4), false,
        "A plain HTTP request reached an endpoint that takes WebSocket connections.", "A proxy on the way may strip the header named in `message`: pass `Upgrade` and `Connection` on.";
    UriTooLong = "uri_too_long", 414, Some(22), false,
        "The path and query are longer than 8 KiB.", "Put long lists into the body.";
    HeadersTooLarge = "headers_too_large", 431, Some(22), false,
        "The request's headers are larger than 16 KiB or more than 100.", "Send smaller headers; tokens are at most 8 KiB.";
    RateLimited = "rate_limited", 429, Some(9), true,
        "More requests than the limits allow.", "Wait for `retry_after` seconds.";
    TooManyConnections = "too_many_connections", 429, Some(9), true,
        "The user has as many connections as the app allows.", "Close another device's or tab's connection.";
    BadFrame = "bad_frame", 400, Some(4), false,
        "A frame does not fit the protocol at this point.", "See the frame's page in the protocol.";
    HelloTimeout = "hello_timeout", 408, Some(4), true,
        "The connection sent no `hello` in time.", "Send `hello` as the first frame, within 10 seconds.";
    UnsupportedVersion = "unsupported_version", 400, Some(4), false,
        "The server does not speak the client's version of the protocol.", "Update the SDK.";
    RequestTimeout = "request_timeout", 408, None, true,
        "The request's body did not arrive in time.", "Send the body without pauses.";
    Cancelled = "cancelled", 499, None, false,
        "The call was cancelled by its caller.", "Nothing to do.";
    NotLoggedIn = "not_logged_in", 401, Some(5), false,
        "The client has no user.", "Call `connect_user` first.";
    NotConnected = "not_connected", 409, None, true,
        "The client has no live connection.", "Call `connect_user`, or wait until `connection` says `connected`.";
    Timeout = "timeout", 504, None, true,
        "The call did not finish within its timeout.", "Try again; a send with the same id is never doubled.";
    Network = "network", 503, None, true,
        "The server could not be reached.", "Check the address and the network.";
    OutboxFull = "outbox_full", 429, Some(9), true,
        "As many messages wait to be sent as the outbox holds.", "Wait until some are sent, or discard failed ones.";
    Unavailable = "unavailable", 503, None, true,
        "The server cannot do this just now.", "Try again after `retry_after` seconds.";
    StorageFull = "storage_full", 507, None, true,
        "The server's disk is full: nothing was stored.", "Free space on the server; reading still works.";
    ReadOnly = "read_only", 503, None, true,
        "The server's disk failed to confirm a write; it takes no more writes until it is restarted.", "Check the disk, then restart the server.";
    Internal = "internal", 500, None, true,
        "The server failed in a way that it did not expect.", "Report it with the `request_id`.";
}

impl ErrorCode {
    /// The code with this stable name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text)
    }

    /// An error of this code, with the code's own title as message.
    pub fn error(self) -> ErrorBody {
        self.because(self.title())
    }

    /// An error of this code that says what happened.
    pub fn because(self, message: impl Into<String>) -> ErrorBody {
        ErrorBody {
            code: self.as_str().to_owned(),
            status: self.status(),
            number: self.number(),
            message: message.into(),
            hint: self.hint().to_owned(),
            fields: BTreeMap::new(),
            request_id: String::new(),
            retryable: self.retryable(),
            retry_after: None,
            docs: format!("/docs/errors/{}", self.as_str()),
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn codes_are_distinct_and_found_by_name_f14_2() {
        let names: HashSet<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(names.len(), ErrorCode::ALL.len());
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::parse(code.as_str()), Some(*code));
        }
    }

    /// What clients of other chat products read out of a number.
    const KNOWN: &[(u16, &[ErrorCode])] = &[
        (2, &[ErrorCode::AppKeyMissing, ErrorCode::UnknownApp]),
        (
            4,
            &[
                ErrorCode::InvalidInput,
                ErrorCode::InvalidJson,
                ErrorCode::InvalidId,
                ErrorCode::ReservedField,
            ],
        ),
        (5, &[ErrorCode::TokenMissing, ErrorCode::TokenMalformed, ErrorCode::TokenRevoked]),
        (9, &[ErrorCode::RateLimited, ErrorCode::TooManyConnections]),
        (16, &[ErrorCode::NotFound]),
        (17, &[ErrorCode::NotAllowed, ErrorCode::RoleNotAllowed, ErrorCode::ServerTokenRequired]),
        (20, &[ErrorCode::TextTooLong]),
        (22, &[ErrorCode::TooLarge]),
        (40, &[ErrorCode::TokenExpired]),
        (41, &[ErrorCode::TokenNotYetValid]),
        (42, &[ErrorCode::TokenUsedBeforeIssued]),
        (43, &[ErrorCode::TokenSignature]),
        // Kept for the cooldown of slow mode.
        (60, &[]),
        (99, &[ErrorCode::UserBanned, ErrorCode::UserDeactivated]),
    ];

    #[test]
    fn the_numbers_that_are_known_are_kept_and_no_others_made_up_f14_5() {
        for (number, codes) in KNOWN {
            for code in *codes {
                assert_eq!(code.number(), Some(*number), "{code}");
            }
        }
        let of = |wanted: u16| ErrorCode::ALL.iter().filter(move |code| code.number() == Some(wanted));
        for one_alone in [16, 20, 40, 41, 42, 43] {
            assert_eq!(of(one_alone).count(), 1, "{one_alone}");
        }
        for code in ErrorCode::ALL {
            let number = code.number();
            assert!(number.is_none_or(|n| KNOWN.iter().any(|(known, _)| *known == n)), "{code}: {number:?}");
            let body = serde_json::to_value(code.error()).unwrap();
            assert_eq!(body.get("number").and_then(serde_json::Value::as_u64), number.map(u64::from));
        }
    }
}
