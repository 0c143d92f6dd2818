//! Everything that Parlour's server and its SDKs say to each other, as types.
//!
//! Ids, topics, frames, events, the requests and responses of each resource, error codes and close
//! codes. Serde only: no transport, no clock, no storage, no rule beyond "what may be written down".
//!
//! Two habits run through all of it. What is *interpreted* is parsed strictly ([`json`]), ids are types
//! that cannot hold a bad value ([`ids`]). What is *newer than this code* survives: unknown fields stay in
//! `custom` or are ignored, unknown values stay values ([`open`]).

pub mod app;
pub mod channels;
pub mod close;
pub mod devices;
pub mod error;
pub mod events;
pub mod frames;
pub mod guests;
pub mod ids;
pub mod json;
pub mod limits;
pub mod members;
pub mod messages;
pub mod moderation;
pub mod open;
pub mod presence;
pub mod reads;
pub mod tasks;
pub mod time;
pub mod tokens;
pub mod topic;
pub mod usage;
pub mod users;

pub use close::{CloseBehaviour, CloseCode};
pub use error::{ErrorBody, ErrorCode};
pub use events::Event;
pub use frames::{ClientFrame, ServerFrame};
pub use ids::{AppKey, ChannelId, ChannelType, Cid, ConnectionId, Epoch, IdError, MessageId, Team, UserId};
pub use open::Open;
pub use time::Timestamp;
pub use topic::Topic;

/// The place of an event in its topic: 1, 2, 3 … without a hole. 0 stands for "before the first".
pub type Seq = u64;
