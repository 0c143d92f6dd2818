//! The store of the model.

use parlour_proto::{Effect, Live, Millis};
use parlour_wire::frames::EventFrame;
use parlour_wire::{Seq, Topic};

use crate::kit::event;

/// A topic's log.
#[derive(Clone, Default)]
pub(super) struct Log {
    /// Time and effect of the events 1, 2, 3 …
    pub(super) events: Vec<(Millis, Effect)>,
    pub(super) floor: Seq,
    pub(super) hidden_up_to: Seq,
}

impl Log {
    pub(super) fn head(&self) -> Seq {
        self.events.len() as Seq
    }

    pub(super) fn live(&self, topic: &Topic, seq: Seq) -> Live<EventFrame> {
        let (_, effect) = &self.events[seq as usize - 1];
        Live {
            topic: topic.clone().into(),
            seq,
            frame: event(&topic.to_string(), seq),
            effect: effect.clone(),
        }
    }
}
