//! Whose connection it is, and everything that is forgotten when the user leaves.

use parlour_wire::frames::Resume;
use parlour_wire::users::UserInput;
use parlour_wire::{ConnectionId, Epoch, Timestamp};

use super::places::Places;
use super::state::FailedWhy;

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
pub(super) enum Trust {
    /// Refused, it is replaced.
    Full,
    /// It replaces a refused one: refused too, there is no third.
    Last,
}

impl User {
    pub(super) fn new(user: UserInput) -> Self {
        let places = Places::default();
        Self { user, told: None, token: Token::Unknown, places, log: None, predecessor: None }
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
