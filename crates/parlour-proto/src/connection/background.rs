//! What a connection does while nobody looks: it stays for a while, parks, or is kept.

use serde::{Deserialize, Serialize};

use parlour_wire::frames::{AppState, ClientFrame};

use super::link::Link;
use super::{AppLevel, Connection, Intent, Output};
use crate::Millis;

/// Who opens connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The SDK: connected in the foreground, parked in the background.
    Auto,
    /// The app, by `Connect`. In the background the connection has a lease, which each ping renews; once it is
    /// over, or the connection is lost there, nothing is opened until the next `Connect`.
    Manual,
}

/// What the background is to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Background {
    /// It ends it: in auto mode after the grace, in manual mode with the lease.
    Park,
    /// It changes nothing.
    Keep,
}

/// How long a connection is wanted although the app is in the background.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Hold {
    None,
    Until(Millis),
    /// Until the app goes to the background once more.
    Open,
}

impl AppLevel {
    fn as_told(self) -> AppState {
        match self {
            Self::Foreground => AppState::Foreground,
            Self::Hidden => AppState::Hidden,
            Self::Background | Self::Frozen => AppState::Background,
        }
    }
}

impl Connection {
    pub(super) fn is_in_front(&self) -> bool {
        matches!(self.app, AppLevel::Foreground | AppLevel::Hidden)
    }

    /// The app as the server is told of it.
    pub(super) fn app_state(&self) -> AppState {
        self.app.as_told()
    }

    /// The frame that tells it, with the lease if there is one: the server ends what outlives it.
    pub(super) fn app_state_frame(&self, now: Millis) -> ClientFrame {
        let lease_ms = match self.hold {
            Hold::Until(until) if self.config.mode == Mode::Manual => {
                Some(u32::try_from(until.saturating_sub(now).max(1_000)).unwrap_or(u32::MAX))
            }
            Hold::Until(_) | Hold::None | Hold::Open => None,
        };
        ClientFrame::AppState { state: self.app_state(), lease_ms }
    }

    pub(super) fn app_is(&mut self, now: Millis, jitter: f64, level: AppLevel, out: &mut Vec<Output>) {
        let before = std::mem::replace(&mut self.app, level);
        let hold = self.hold;
        match level {
            AppLevel::Foreground | AppLevel::Hidden => self.hold = Hold::None,
            AppLevel::Background => self.hold = self.hold_after(before, now),
            AppLevel::Frozen => {
                self.hold = Hold::None;
                self.lapse();
            }
        }
        if before == level && hold == self.hold {
            return;
        }
        if self.is_wanted() && (before.as_told() != level.as_told() || hold != self.hold) {
            self.transmit(self.app_state_frame(now), out);
        }
        let looked_at = level == AppLevel::Foreground && before != level;
        if looked_at {
            self.is_looked_at();
        }
        if self.is_in_front() && matches!(before, AppLevel::Background | AppLevel::Frozen) {
            self.woke(now, jitter, out);
        } else if looked_at {
            self.check_link(now, jitter, out);
        }
    }

    /// The app entered the background, coming from `before`.
    fn hold_after(&self, before: AppLevel, now: Millis) -> Hold {
        let entered = before != AppLevel::Background;
        match (self.config.background, self.config.mode, self.hold) {
            (Background::Keep, ..) => Hold::Open,
            (Background::Park, Mode::Auto, Hold::None | Hold::Open) if entered || self.hold == Hold::Open => {
                match self.config.background_grace_ms {
                    0 => Hold::None,
                    grace => Hold::Until(now + grace),
                }
            }
            (Background::Park, Mode::Manual, _) if entered => Hold::Until(now + self.config.lease_ms),
            (Background::Park, _, hold) => hold,
        }
    }

    /// The app asked for a connection while it is in the background.
    pub(super) fn hold_on(&mut self, now: Millis, out: &mut Vec<Output>) {
        if self.is_in_front() {
            return;
        }
        self.hold = match (self.config.background, self.config.mode) {
            (Background::Park, Mode::Manual) => Hold::Until(now + self.config.lease_ms),
            (Background::Keep, _) | (_, Mode::Auto) => Hold::Open,
        };
        self.transmit(self.app_state_frame(now), out);
    }

    /// A ping renews the lease, here as at the server.
    pub(super) fn pinged(&mut self, now: Millis) {
        if let (Mode::Manual, Hold::Until(_), Link::Up(_)) = (self.config.mode, self.hold, &self.link) {
            self.hold = Hold::Until(now + self.config.lease_ms);
        }
    }

    /// Ends the hold whose time has come; answers whether it did.
    pub(super) fn end_hold(&mut self, now: Millis) -> bool {
        let over = matches!(self.hold, Hold::Until(until) if until <= now);
        if over {
            self.hold = Hold::None;
            self.lapse();
        }
        over
    }

    /// In manual mode what ends in the background stays ended until the app connects again.
    pub(super) fn lapse(&mut self) {
        if self.config.mode == Mode::Manual && self.intent == Intent::Up {
            self.intent = Intent::Lapsed;
            self.hold = Hold::None;
        }
    }

    /// Whether a connection that is lost now is not dialled again, because the app is in the background.
    pub(super) fn is_given_up_when_lost(&self) -> bool {
        !self.is_in_front() && self.config.mode == Mode::Manual && self.config.background == Background::Park
    }
}
