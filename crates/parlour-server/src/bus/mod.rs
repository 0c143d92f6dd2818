//! Between the nodes: a hint that something is in the log, never the truth.
//!
//! A bus may lose, delay, double and reorder what it carries; sessions notice by their cursors, and the head
//! check notices for them.

mod local;

use std::sync::Arc;

use parlour_store::{AppId, Logged};
use parlour_wire::Topic;

use crate::frame::Frame;

pub use local::LocalBus;

/// What goes over the bus.
#[derive(Clone, Debug)]
pub enum BusMessage {
    /// A committed event.
    Event(Arc<Logged>),
    /// A signal for whoever listens to the topic, but for the connection that sent it.
    Signal { app: AppId, topic: Topic, frame: Frame, except: Option<u64> },
}

/// Who takes what comes from the bus.
pub type BusSink = Arc<dyn Fn(&BusMessage) + Send + Sync>;

/// Carries messages to every node, this one included.
pub trait Bus: Send + Sync + 'static {
    /// Sends; neither waits nor promises.
    fn publish(&self, message: BusMessage);
    /// Names the taker of this node.
    fn subscribe(&self, sink: BusSink);
}
