//! The bus of a single node: a call.

use std::sync::{PoisonError, RwLock};

use super::{Bus, BusMessage, BusSink};

/// Hands every message straight to this node's hub.
#[derive(Default)]
pub struct LocalBus {
    sink: RwLock<Option<BusSink>>,
}

impl Bus for LocalBus {
    fn publish(&self, message: BusMessage) {
        let sink = self.sink.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(sink) = sink {
            sink(&message);
        }
    }

    fn subscribe(&self, sink: BusSink) {
        *self.sink.write().unwrap_or_else(PoisonError::into_inner) = Some(sink);
    }
}
