//! A bus that loses, doubles, delays and reorders.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use parlour_server::bus::{Bus, BusMessage, BusSink};

use crate::Dice;
use crate::world::{Faults, Stats};

/// Carries messages from the store's commits to the hub, badly.
pub struct BadBus {
    dice: Arc<Dice>,
    faults: Faults,
    stats: Arc<Stats>,
    sink: Mutex<Option<BusSink>>,
}

impl BadBus {
    pub fn new(dice: Arc<Dice>, faults: Faults, stats: Arc<Stats>) -> Self {
        Self { dice, faults, stats, sink: Mutex::default() }
    }
}

impl Bus for BadBus {
    fn publish(&self, message: BusMessage) {
        if self.dice.chance(self.faults.bus_loss) {
            return self.stats.bus_lost.add();
        }
        let Some(sink) = self.sink.lock().unwrap_or_else(PoisonError::into_inner).clone() else { return };
        if self.dice.chance(self.faults.bus_double) {
            self.stats.bus_doubled.add();
            later(Duration::from_millis(self.dice.pick(0..50)), Arc::clone(&sink), message.clone());
        }
        if self.dice.chance(self.faults.bus_delay) {
            self.stats.bus_delayed.add();
            return later(Duration::from_millis(self.dice.pick(1..200)), sink, message);
        }
        sink(&message);
    }

    fn subscribe(&self, sink: BusSink) {
        *self.sink.lock().unwrap_or_else(PoisonError::into_inner) = Some(sink);
    }
}

fn later(after: Duration, sink: BusSink, message: BusMessage) {
    tokio::spawn(async move {
        tokio::time::sleep(after).await;
        sink(&message);
    });
}
