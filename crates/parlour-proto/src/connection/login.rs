//! Whose connection it is, and everything that is forgotten when the user leaves.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use parlour_wire::frames::Resume;
use parlour_wire::users::UserInput;
use parlour_wire::{ConnectionId, Epoch, Seq, Timestamp, Topic};

use super::places::Places;
use super::state::FailedWhy;
use super::ways::Transport;

pub(super) enum Login {
    /// Nobody yet.
    None,
    LoggedOut,
    User(Box<User>),
}

pub(super) struct User {
    pub(super) user: UserInput,
    /// The user object that the server has had.
    pub(super) told: Option<UserInput>,
    pub(super) token: Token,
    /// Whether the provider is asked before the next dial, though there is a token.
    pub(super) renew: bool,
    pub(super) places: Places,
    /// The log that the cursors point into, and up to when it was looked at.
    pub(super) log: Option<(Epoch, Timestamp)>,
    /// The connection that the next one takes over from.
    pub(super) predecessor: Option<ConnectionId>,
}

pub(super) enum Token {
    Unknown,
    Held {
        token: String,
        trust: Trust,
    },
    /// Refused, with the server's words; another one is asked for.
    Refused {
        token: String,
        why: FailedWhy,
    },
}

/// What a token may still cost.
#[derive(Clone, Copy)]
pub(super) enum Trust {
    /// Refused, it is replaced.
    Full,
    /// It replaces a refused one: refused too, there is no third.
    Last,
}

impl User {
    pub(super) fn new(user: UserInput) -> Self {
        let places = Places::default();
        Self { user, told: None, token: Token::Unknown, renew: false, places, log: None, predecessor: None }
    }

    /// Goes on where an earlier run of the app stood.
    pub(super) fn restored(user: UserInput, saved: Saved) -> Self {
        let Saved { told, epoch, as_of, cursors, .. } = saved;
        let mut restored = Self { told, log: Some((epoch, as_of)), ..Self::new(user) };
        restored.places.begin_at(&cursors);
        restored
    }

    /// What a later run needs to go on from here; nothing before the first `ready`.
    pub(super) fn saved(&self, worked_in: &BTreeMap<String, Transport>) -> Option<Saved> {
        let (epoch, as_of) = self.log.clone()?;
        let (told, cursors) = (self.told.clone(), self.places.for_resume());
        Some(Saved { told, epoch, as_of, cursors, worked_in: worked_in.clone() })
    }

    pub(super) fn resume(&self) -> Option<Resume> {
        let (epoch, as_of) = self.log.clone()?;
        Some(Resume { epoch, as_of, cursors: self.places.for_resume() })
    }
}

impl Login {
    pub(super) fn user(&mut self) -> Option<&mut User> {
        match self {
            Self::User(user) => Some(user),
            Self::None | Self::LoggedOut => None,
        }
    }
}

/// What one run of an app keeps for the next, so that nothing is missed between them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    /// The user object that the server has had.
    pub told: Option<UserInput>,
    /// The log that the cursors point into.
    pub epoch: Epoch,
    /// Up to when it was looked at.
    pub as_of: Timestamp,
    /// At most 500, of the topics with the latest events.
    pub cursors: BTreeMap<Topic, Seq>,
    /// Which transport got through, by the network's name; `""` where it has none.
    pub worked_in: BTreeMap<String, Transport>,
}
