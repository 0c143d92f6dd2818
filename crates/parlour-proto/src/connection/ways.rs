//! Which transport is tried, and what is known of the network between.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Millis;

/// Dials by the best transport that end without a word before the next one is tried. The others have one each:
/// they are only tried because something is wrong already.
const PATIENCE: u32 = 3;
/// A heartbeat is asked for at this share of the time after which the way cut a silent link twice.
const HEARTBEAT_SHARE: f64 = 0.6;
/// A server is not asked for heartbeats more often.
const HEARTBEAT_MIN_MS: Millis = 1_000;
/// Two cuts are of the same age if they differ by at most this share of the longer one.
const SAME_AGE_SHARE: f64 = 0.1;

/// How frames travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    WebSocket,
    EventStream,
    LongPoll,
}

#[derive(Default)]
pub(super) struct Ways {
    /// The transport in use: its place among the allowed ones.
    pub(super) at: usize,
    /// Dials in a row that ended without a word from the server.
    mute: u32,
    /// Each transport has failed since one last worked: the server is away, and no way is to blame.
    all_failed: bool,
    network: String,
    /// What got through, by network.
    pub(super) worked_in: BTreeMap<String, Transport>,
    /// How long the link was silent when it was last cut without a word.
    cut_after: Option<Millis>,
    /// The heartbeat to ask for.
    pub(super) heartbeat_ms: Option<u32>,
}

impl Ways {
    /// A dial ended without a word. Answers where to go on, if not by the same transport again.
    pub(super) fn failed(&mut self, allowed: usize, stalled: bool) -> Option<usize> {
        self.mute += 1;
        let patience = if self.at == 0 { PATIENCE } else { 1 };
        if allowed < 2 || !stalled && self.mute < patience {
            return None;
        }
        self.mute = 0;
        let next = (self.at + 1) % allowed;
        self.all_failed |= next == 0;
        self.at = next;
        Some(next)
    }

    /// The server was heard, so the way is open.
    pub(super) fn heard(&mut self) {
        self.mute = 0;
    }

    /// A connection is up by this transport. Answers whether it is in doubt that a better one would not do: the
    /// server was away when those were tried.
    pub(super) fn worked(&mut self, at: usize, transport: Transport) -> bool {
        self.at = at;
        self.mute = 0;
        self.worked_in.insert(self.network.clone(), transport);
        std::mem::take(&mut self.all_failed)
    }

    /// Another network: what worked in it is tried first.
    pub(super) fn goes_by(&mut self, network: String, allowed: &[Transport]) {
        self.network = network;
        (self.cut_after, self.heartbeat_ms, self.mute, self.all_failed) = (None, None, 0, false);
        self.recall(allowed);
    }

    pub(super) fn recall(&mut self, allowed: &[Transport]) {
        let known = self.worked_in.get(&self.network);
        self.at = allowed.iter().position(|transport| Some(transport) == known).unwrap_or(0);
    }

    /// A link was cut without a word after this long a silence. Twice at the same age, something on the way ends
    /// what is idle: heartbeats have to come before it does.
    pub(super) fn cut(&mut self, silence: Millis) {
        let before = self.cut_after.replace(silence);
        let Some(before) = before.filter(|_| silence >= HEARTBEAT_MIN_MS) else { return };
        let longer = before.max(silence);
        if before.abs_diff(silence) as f64 <= longer as f64 * SAME_AGE_SHARE {
            let wished = (before.min(silence) as f64 * HEARTBEAT_SHARE) as Millis;
            let wished = u32::try_from(wished.max(HEARTBEAT_MIN_MS)).unwrap_or(u32::MAX);
            self.heartbeat_ms = Some(self.heartbeat_ms.map_or(wished, |asked| asked.min(wished)));
        }
    }
}
