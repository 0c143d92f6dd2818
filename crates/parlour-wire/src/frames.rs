//! Frames: one JSON text each, the same on every transport.
//!
//! A conversation begins with the client's [`Hello`] and the server's [`Ready`]; what the two may say after
//! that is [`ClientFrame`] and [`ServerFrame`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::events::{ClientSignal, Event, Signal};
use crate::open::open_enum;
use crate::presence::{Presence, PresenceCounts, PresenceSubscription};
use crate::reads::Unread;
use crate::users::{Me, UserInput};
use crate::{AppKey, CloseCode, ConnectionId, Epoch, ErrorBody, Open, Seq, Timestamp, Topic};

/// The version of the protocol that this code speaks, named in `hello.client.version`.
pub const PROTOCOL_VERSION: u32 = 1;
/// Bytes of the largest frame that a client may send.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;
/// Cursors in one `resume`; further topics are served from `as_of`.
pub const CURSORS_MAX: usize = 500;

/// A frame from the client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientFrame {
    /// The first frame, and the only one before `ready`.
    Hello(Box<Hello>),
    /// Listen to topics: channels that the user is no member of, or (with `after`) any topic again from a place.
    Watch { topics: Vec<WatchTopic> },
    /// Stop listening to topics that were watched.
    Unwatch { topics: Vec<Topic> },
    /// Say something that is not stored, to whoever listens to the topic now.
    Signal { topic: Topic, signal: ClientSignal },
    /// Where the app stands.
    AppState {
        state: AppState,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lease_ms: Option<u32>,
    },
    /// Change whose presence is told to this connection; without a subscription, be told anew who is there. The answer
    /// is a snapshot.
    Presence {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subscription: Option<PresenceSubscription>,
    },
    /// Ask for a `pong` with the same id.
    Ping { id: u64 },
    /// The answer to the server's `ping`.
    Pong,
    /// A fresh token, before the old one ends.
    Token { token: String },
    /// How many tabs of a browser share this connection, where it is not one: for the figures of what that saves.
    Tabs { count: u32 },
    /// Going, and how.
    Bye { intent: ByeIntent },
}

/// A frame from the server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerFrame {
    /// The answer to `hello`, before any event.
    Ready(Box<Ready>),
    /// A durable event in its place.
    Event(Box<EventFrame>),
    /// Something that is not stored.
    Signal {
        /// Where it happened; absent for presence.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        topic: Option<Topic>,
        #[cfg_attr(feature = "schema", schema(value_type = Signal))]
        signal: Open<Signal>,
    },
    /// The topic cannot be replayed from where the client stands: load it as at first start. Events go on
    /// after `head`.
    Reset { topic: Topic, reason: ResetReason, head: Seq },
    /// Answer with `pong`. Everything up to `as_of` has been sent before this frame.
    Ping { as_of: Timestamp },
    /// The answer to the client's `ping`.
    Pong { id: u64 },
    /// Send a fresh `token` within `grace_ms`.
    TokenExpiring { grace_ms: u32 },
    /// A feature is paused for this connection; the connection itself stays.
    Throttle { feature: String, retry_after_ms: u32 },
    /// The server restarts soon: come back after `retry_after_ms`.
    Drain { retry_after_ms: u32 },
    /// The close code with its details, right before the close.
    Bye {
        code: CloseCode,
        reason: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u32>,
        /// The connection that took this one's place.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replaced_by: Option<ReplacedBy>,
    },
    /// Something that the client sent was refused; the connection stays unless a `bye` follows.
    Error {
        error: ErrorBody,
        /// The topic it is about.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        topic: Option<Topic>,
    },
}

impl ClientFrame {
    /// Every `type`, for telling a frame of a newer client from a broken one.
    pub const KINDS: &'static [&'static str] = &[
        "hello",
        "watch",
        "unwatch",
        "signal",
        "app_state",
        "presence",
        "ping",
        "pong",
        "token",
        "tabs",
        "bye",
    ];
}

impl ServerFrame {
    /// Reads a frame; one of a kind that this version does not know survives as [`Open::Unknown`].
    ///
    /// # Errors
    /// Not JSON.
    pub fn parse(text: &str) -> Result<Open<Self>, serde_json::Error> {
        // The direct way first: the fallback costs a second tree.
        serde_json::from_str(text).map(Open::Known).or_else(|_| serde_json::from_str(text).map(Open::Unknown))
    }
}

/// A durable event in its place: the only frame that all receivers share byte for byte.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct EventFrame {
    pub topic: Topic,
    pub seq: Seq,
    #[cfg_attr(feature = "schema", schema(value_type = Event))]
    pub event: Open<Event>,
}

/// Who connects, from where, and what it has already seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Hello {
    pub app_key: AppKey,
    /// The user's token. Never in a URL, never in a log.
    pub token: String,
    /// The user's fields, merged into what is stored; sent again only when they changed.
    #[serde(
        default,
        deserialize_with = "UserInput::deserialize_own",
        skip_serializing_if = "Option::is_none"
    )]
    pub user: Option<UserInput>,
    pub client: ClientInfo,
    /// The device's own name, shown to the user's other devices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The connection that this one takes over from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<ConnectionId>,
    #[serde(default)]
    pub presence: PresenceSubscription,
    #[serde(default)]
    pub app_state: AppState,
    /// Asks for heartbeats at this interval; the server answers with the one in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_ms: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<Resume>,
}

/// What tells one client, page and program from another.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ClientInfo {
    /// Made once per client object.
    pub instance: String,
    /// Made once per page or process.
    #[serde(default)]
    pub page: String,
    /// `rust`, `typescript`, …
    #[serde(default)]
    pub sdk: String,
    /// The protocol's version.
    pub version: u32,
    #[serde(default)]
    pub platform: String,
}

/// What the client has seen before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Resume {
    pub epoch: Epoch,
    /// The time of the last completed head check that the client heard of. Topics without a cursor are
    /// served from ten seconds before it.
    pub as_of: Timestamp,
    /// The seq of the last event that the app has of each topic, at most 500, most recent first.
    pub cursors: BTreeMap<Topic, Seq>,
}

/// A topic to listen to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct WatchTopic {
    pub topic: Topic,
    /// Send what comes after this seq; absent: what comes from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Seq>,
}

open_enum! {
    /// Where the app stands.
    pub enum AppState {
        Foreground = "foreground",
        /// A browser tab that is not visible.
        Hidden = "hidden",
        Background = "background",
    }
}

#[expect(clippy::derivable_impls, reason = "the macro that makes the enum has no place for `#[default]`")]
impl Default for AppState {
    fn default() -> Self {
        Self::Foreground
    }
}

open_enum! {
    /// How a client goes.
    pub enum ByeIntent {
        /// Offline at once.
        Leave = "leave",
        /// Back later; the presence grace begins.
        Park = "park",
    }
}

open_enum! {
    /// Why a topic has to be loaded anew.
    pub enum ResetReason {
        /// More events were missed than a resume carries.
        TooFarBehind = "too_far_behind",
        /// The missed events are no longer kept.
        Trimmed = "trimmed",
        /// The cursor is ahead of the log: the database was restored from a copy.
        AheadOfHead = "ahead_of_head",
        /// The log is another incarnation.
        OtherEpoch = "other_epoch",
        /// The user may no longer read the topic.
        NoAccess = "no_access",
    }
}

open_enum! {
    /// How much of what was missed came with a connect.
    pub enum Resumed {
        /// No cursors were given.
        Fresh = "fresh",
        /// Everything missed is replayed.
        Resumed = "resumed",
        /// At least one topic was reset.
        CaughtUp = "caught_up",
    }
}

/// The server's answer to `hello`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Ready {
    pub connection_id: ConnectionId,
    pub me: Me,
    pub epoch: Epoch,
    pub as_of: Timestamp,
    /// The interval of the server's `ping`.
    pub heartbeat_ms: u32,
    pub limits: Limits,
    pub resumed: Resumed,
    /// Where the topics stand that this connection listens to, for the user, the app and the first thirty
    /// channels. A client without a cursor of its own begins here, if `resumed` is `fresh`.
    #[serde(default)]
    pub heads: BTreeMap<Topic, Seq>,
    /// The unread state of the thirty channels of the latest activity; others are paged.
    #[serde(default)]
    pub channels: Vec<Unread>,
    /// Who is there, of those whose presence was asked for.
    #[serde(default)]
    pub presence: Vec<Presence>,
    /// How many are there beside those. Absent: nobody; who is not named is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presence_others: Option<PresenceCounts>,
}

/// What the server holds this connection to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Limits {
    /// Bytes of a client's frame.
    pub frame_bytes: u32,
    pub frames_per_second: u32,
    pub frames_burst: u32,
    pub connections_per_user: u32,
    /// Silence after which the client takes the link for dead.
    pub dead_link_ms: u32,
    /// Characters of a message's text, where the channel type says nothing else.
    pub message_chars: u32,
}

/// Frames that a client says by a request of their own, in their order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ClientFrames {
    /// As they came: each is read as it would be on a WebSocket, where it may close the connection.
    #[cfg_attr(feature = "schema", schema(value_type = Vec<ClientFrame>))]
    pub frames: Vec<serde_json::Value>,
}

/// The answer to a poll: frames in their order, as a stream would have carried them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ServerFrames {
    #[cfg_attr(feature = "schema", schema(value_type = Vec<ServerFrame>))]
    pub frames: Vec<Open<ServerFrame>>,
}

/// The connection that took another one's place.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ReplacedBy {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    #[serde(default)]
    pub platform: String,
    #[serde(default)]
    pub sdk: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_frame_of_a_newer_server_survives() {
        let text = r#"{"type":"confetti","amount":3}"#;
        let frame = ServerFrame::parse(text).unwrap();
        assert_eq!(serde_json::to_value(&frame).unwrap(), json!({"type": "confetti", "amount": 3}));
    }

    #[test]
    fn an_unknown_event_keeps_its_topic_and_seq() {
        let text = r#"{"type":"event","topic":"channel:messaging:a","seq":7,"event":{"type":"poll.closed","poll":1}}"#;
        let Ok(Open::Known(ServerFrame::Event(frame))) = ServerFrame::parse(text) else { panic!("{text}") };
        assert_eq!(frame.seq, 7);
        assert_eq!(frame.event, Open::Unknown(json!({"type": "poll.closed", "poll": 1})));
    }

    #[test]
    fn unknown_values_survive() {
        let state: AppState = serde_json::from_str("\"docked\"").unwrap();
        assert_eq!(serde_json::to_string(&state).unwrap(), "\"docked\"");
    }

    #[test]
    fn a_hello_needs_little_and_forgives_new_fields() {
        let hello: ClientFrame = serde_json::from_value(json!({
            "type": "hello", "app_key": "dev", "token": "t", "client": {"instance": "i", "version": 1}, "new_in_2": true
        }))
        .unwrap();
        let ClientFrame::Hello(hello) = hello else { panic!() };
        assert_eq!(hello.app_state, AppState::Foreground);
        assert_eq!(hello.presence, PresenceSubscription::None);
    }

    #[test]
    fn kinds_are_those_of_the_enum() {
        let known = |kind: &str| {
            let error =
                serde_json::from_value::<ClientFrame>(json!({ "type": kind })).err().map(|e| e.to_string());
            !error.is_some_and(|e| e.contains("unknown variant"))
        };
        assert!(ClientFrame::KINDS.iter().all(|kind| known(kind)));
        assert!(!known("confetti"));
    }
}
