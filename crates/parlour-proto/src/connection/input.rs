//! What a connection is told: wishes, levels, and what happened to its transport.

use serde::{Deserialize, Serialize};

use parlour_wire::frames::{ClientFrame, ServerFrame};
use parlour_wire::presence::PresenceSubscription;
use parlour_wire::users::UserInput;
use parlour_wire::{CloseCode, Open, Seq, Topic};

use super::Saved;
#[cfg(doc)]
use super::{Mode, Output};

/// What the platform says of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkLevel {
    Unknown,
    Up,
    Down,
}

/// Where the app stands, as its platform says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AppLevel {
    Foreground,
    /// Not visible, and running: a browser tab behind another.
    Hidden,
    Background,
    /// No code will run from now on until it is thawed: a page that the browser stops.
    Frozen,
}

/// What happened, or what is wished.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// Be connected as this user. (Another user while one is there is refused by the caller, before.)
    ConnectUser {
        user: UserInput,
    },
    /// This is the user, with what an earlier run of the app has kept. In [`Mode::Auto`] it connects; in
    /// [`Mode::Manual`] nothing is opened until `Connect`. For a user who is there already it changes nothing.
    Login {
        user: UserInput,
        saved: Option<Box<Saved>>,
    },
    /// Be connected again, after `Disconnect`, a failure, or an eviction.
    Connect,
    /// Be disconnected; keep user and cursors.
    Disconnect,
    /// Be disconnected; forget user and cursors.
    DisconnectUser,
    /// The answer to [`Output::FetchToken`] of this number.
    TokenFetched {
        fetch: u64,
        token: String,
    },
    /// The provider failed. `permanent`: asking again will not help.
    TokenFailed {
        fetch: u64,
        permanent: bool,
        message: String,
    },
    /// The transport of this dial is open, and wants a hello. A long-poll says it before each poll.
    Opened {
        dial: u64,
    },
    Received {
        dial: u64,
        frame: Open<ServerFrame>,
    },
    /// The transport of this dial is gone: it never opened, broke, or was closed by either side.
    Closed {
        dial: u64,
        code: Option<CloseCode>,
        reason: String,
    },
    Network(NetworkLevel),
    /// The way to the network is another one: Wi-Fi for mobile, another Wi-Fi. `network` is its name, where the
    /// platform has one: what got through in it is remembered under that.
    Path {
        network: Option<String>,
    },
    App(AppLevel),
    /// The device or the process slept: its clock jumped.
    Woke,
    /// Dial now rather than at `retry_at`.
    RetryNow,
    /// Listen to a channel's topic as a watcher, now and after every reconnect. Without `after`, from now on:
    /// what happens between a break and the first event is then lost, so whoever loaded the channel says
    /// where it stood.
    Watch {
        topic: Topic,
        after: Option<Seq>,
    },
    Unwatch {
        topic: Topic,
    },
    /// Whose presence is told, now and after every reconnect.
    Presence(PresenceSubscription),
    /// A signal or a ping: sent if connected, else dropped. A ping renews the background lease. Its id is not 0,
    /// which is the machine's own.
    Send(ClientFrame),
    /// A deadline may have passed.
    Tick,
}
