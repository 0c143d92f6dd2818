//! Parlour's Rust SDK.
//!
//! [`Client`] is one user on one device: it holds at most one live connection, tells what happens as
//! [`ClientEvent`]s, and asks over HTTP. [`ServerClient`] is an app's backend: it holds the secret and never
//! connects. Both give one [`Error`] type with the codes of the server.
//!
//! Inside, `driver` is the one task of a client around the machine `parlour_proto::Connection`; `pump` moves
//! one transport's frames; `transport` is what carries them; `calls` is HTTP; `outbox` sends messages; `unread`
//! counts; `persistence` keeps in a [`Storage`] what the next run of the app needs. All of it reaches the network
//! through [`Net`] and the time through tokio, so that a simulator can hold a client, and an app's tests:
//! `testing`, behind the cargo feature of that name, is a server in memory for those.
//!
//! Clients of one process that are for the same user share one connection: `company` says who has it.

mod attendance;
mod builder;
mod calls;
mod channel;
mod client;
mod company;
mod dice;
mod driver;
mod error;
mod events;
mod jwt;
mod local;
mod moderation;
mod net;
mod outbox;
mod persistence;
mod pump;
mod server;
mod session;
mod storage;
#[cfg(feature = "testing")]
pub mod testing;
mod token;
mod transport;
mod unread;

pub use attendance::Attendance;
pub use builder::Builder;
pub use calls::MessagePage;
pub use channel::{Channel, NO_DATA, Sending};
pub use client::{Client, ConnectionStatus, FellBack, KeepAlive, Profile, Throttled};
pub use error::Error;
pub use events::{ClientEvent, Events};
pub use jwt::{TokenClaims, anonymous_token, development_token};
pub use net::{Body, Frames, Net, NetError, Received, TokioNet, TokioNetBuilder};
pub use outbox::{OUTBOX_LEN_MAX, OutboxEntry, SendState};
pub use server::{ActingChannel, ActingUser, Revocation, ServerClient};
pub use storage::{FileStorage, MemoryStorage, Storage, StorageError};
pub use token::{TokenError, TokenProvider};
pub use transport::open_transport;
pub use unread::UnreadCounts;

pub use parlour_proto::{
    AppLevel, Background, Cause, FailedWhy, Mode, NetworkLevel, State, Transition, Transport, UiStatus,
};
/// The types on the wire, which this API gives and takes.
pub use parlour_wire as wire;
pub use parlour_wire::messages::{Message, MessageDraft};
pub use parlour_wire::presence::PresenceSubscription;
pub use parlour_wire::{CloseCode, ErrorCode, Event, Open, Topic};
