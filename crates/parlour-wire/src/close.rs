//! Close codes, and what each asks of the client.
//!
//! The behaviour is a property of the number's range, so that a client of today does the right thing with
//! a code of tomorrow.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a connection was closed, as a WebSocket close code.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct CloseCode(pub u16);

/// What a client does after a close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseBehaviour {
    /// Do not come back unchanged: the app has to act first.
    Terminal,
    /// Come back after at least one second, or after the `retry_after` that came with it.
    ComeBackLater,
    /// Come back at once.
    ComeBackAtOnce,
    /// The server is going away for everybody: come back at a random moment within five seconds.
    Spread,
    /// Nobody said why: come back with the ordinary backoff.
    Resume,
}

macro_rules! close_codes {
    ($($(#[$meta:meta])* $name:ident = $code:literal, $slug:literal, $what:literal;)+) => {
        impl CloseCode {
            $($(#[$meta])* #[doc = $what] pub const $name: Self = Self($code);)+

            /// Every code that the server sends.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The code's stable name; unknown codes are named by their number.
            pub fn name(self) -> std::borrow::Cow<'static, str> {
                match self.0 {
                    $($code => $slug.into(),)+
                    other => other.to_string().into(),
                }
            }

            /// What the code means, in one sentence.
            pub fn meaning(self) -> &'static str {
                match self.0 {
                    $($code => $what,)+
                    _ => "A code that this version does not know.",
                }
            }
        }
    };
}

close_codes! {
    NORMAL = 1000, "normal", "The client left on purpose.";
    GOING_AWAY = 1001, "going_away", "The server goes away.";
    PROTOCOL_ERROR = 1002, "websocket_protocol", "The bytes were not WebSocket frames as the standard wants them.";
    NOT_UTF8 = 1007, "not_utf8", "A text frame was not UTF-8.";
    POLICY = 1008, "policy", "Refused by policy.";
    TOO_BIG = 1009, "too_big", "A frame was larger than the server's limit.";
    RESTART = 1012, "restart", "The server restarts.";
    TRY_LATER = 1013, "try_later", "The server is overloaded.";
    PROTOCOL = 4000, "protocol", "A frame that does not fit the protocol: see the error frame sent before.";
    UNKNOWN_APP = 4001, "unknown_app", "No app has this key.";
    TOKEN_REFUSED = 4002, "token_refused", "The token is not accepted: the reason says why.";
    USER_BANNED = 4003, "user_banned", "The user is banned or deactivated.";
    QUOTA = 4004, "quota", "A quota of the app is used up.";
    REPLACED = 4005, "replaced", "Another connection of the same user took this one's place.";
    UNSUPPORTED_VERSION = 4006, "unsupported_version", "The server does not speak this version of the protocol.";
    SERVER_TOKEN = 4007, "server_token_cannot_connect", "Server tokens act over HTTP; only users connect.";
    LEASE_EXPIRED = 4008, "lease_expired", "The background lease ran out.";
    TOO_MANY_CONNECTIONS = 4009, "too_many_connections", "The user has as many connections as the app allows.";
    OVER_CAPACITY = 4100, "over_capacity", "The server admits no more connections just now.";
    DRAIN_SLOT_MISSED = 4101, "drain_slot_missed", "The slot for coming back was missed; a new one was given.";
    RATE_LIMITED = 4102, "rate_limited", "More frames or dials than the limits allow.";
    SLOW_READER = 4103, "slow_reader", "The connection took nothing for 30 seconds while events were waiting.";
    DEPENDENCY_DOWN = 4104, "dependency_down", "The server's store does not answer.";
    RECONNECT_NOW = 4200, "reconnect_now", "The server asks for a new connection.";
    PONG_MISSING = 4201, "pong_missing", "The client did not answer a ping in time.";
    TOKEN_EXPIRED = 4202, "token_expired", "The token's time is over: come back with another one.";
    STATE_INVALID = 4203, "state_invalid", "What the server knew of this connection is no longer valid.";
    MOVED = 4204, "moved", "Another node serves this user now.";
    MEANS_TO_RESUME = 4900, "means_to_resume", "Sent by a client that drops its socket and means to come back.";
}

impl CloseCode {
    /// What the client does next. Unknown codes follow their range.
    ///
    /// ```
    /// use parlour_wire::{CloseBehaviour, CloseCode};
    /// assert_eq!(CloseCode(4042).behaviour(), CloseBehaviour::Terminal);
    /// assert_eq!(CloseCode(4142).behaviour(), CloseBehaviour::ComeBackLater);
    /// assert_eq!(CloseCode(4242).behaviour(), CloseBehaviour::ComeBackAtOnce);
    /// assert_eq!(CloseCode(1006).behaviour(), CloseBehaviour::Resume);
    /// ```
    pub fn behaviour(self) -> CloseBehaviour {
        match self.0 {
            1001 | 1012 => CloseBehaviour::Spread,
            1002 | 1007 | 1008 | 1009 | 4000..=4099 => CloseBehaviour::Terminal,
            1013 | 4100..=4199 => CloseBehaviour::ComeBackLater,
            4200..=4299 => CloseBehaviour::ComeBackAtOnce,
            _ => CloseBehaviour::Resume,
        }
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.name())
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.0, self.name())
    }
}
