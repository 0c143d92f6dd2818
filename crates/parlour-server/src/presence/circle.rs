//! Those who want to hear of the same users: they share one picture, one digest and one encoding of each change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parlour_wire::events::Signal;
use parlour_wire::presence::{Presence as PresenceOf, PresenceCounts, PresenceDigest};
use parlour_wire::users::Role;
use parlour_wire::{Open, ServerFrame, Team, UserId};
use tokio::time::Instant;

use super::person::Told;
use crate::frame::Frame;
use crate::mailbox::{Mail, Mailbox};

/// Between two tellings of counts, at least.
const COUNTS_EVERY: Duration = Duration::from_secs(1);

/// Whom a subscriber hears of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Audience {
    pub(crate) whom: Whom,
    /// The teams that the subscriber sees into.
    pub(crate) teams: BTreeSet<Team>,
}

/// Whom a subscription names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Whom {
    All,
    Roles(BTreeSet<Role>),
    /// A user's friends, and these.
    Friends {
        of: UserId,
        and: BTreeSet<UserId>,
    },
}

/// Who is there, as a subscriber hears it at the beginning.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Picture {
    pub(crate) users: Vec<PresenceOf>,
    /// Those who are not named; `None`: everybody is.
    pub(crate) others: Option<PresenceCounts>,
}

/// All who want to hear of the same users.
pub(super) struct Circle {
    pub(super) audience: Audience,
    pub(super) subscribers: BTreeMap<u64, Arc<Mailbox>>,
    /// Whom an audience of friends names.
    pub(super) friends: BTreeSet<UserId>,
    /// Of everybody who is there, as it was told.
    digest: PresenceDigest,
    telling: Telling,
    /// Not told yet.
    changes: Vec<PresenceOf>,
}

/// How a circle is told.
enum Telling {
    /// Everybody by name.
    Names,
    /// More are there than are named: how many.
    Counts { told: PresenceCounts, again_at: Instant },
}

impl Circle {
    pub(super) fn new(audience: Audience, friends: BTreeSet<UserId>) -> Self {
        let (digest, telling, changes) = (PresenceDigest::default(), Telling::Names, Vec::new());
        Self { audience, subscribers: BTreeMap::new(), friends, digest, telling, changes }
    }

    /// Whether a user who is told of so belongs to those that are heard of.
    pub(super) fn wants(&self, user: &UserId, told: &Told) -> bool {
        let Audience { whom, teams } = &self.audience;
        // Users of a team see each other, and those who are of none each other.
        let is_inside = match (teams.is_empty(), told.teams.is_empty()) {
            (true, true) => true,
            _ => told.teams.iter().any(|team| teams.contains(team)),
        };
        is_inside
            && match whom {
                Whom::All => true,
                Whom::Roles(roles) => roles.contains(&told.role),
                Whom::Friends { .. } => self.friends.contains(user),
            }
    }

    /// Begins anew with these, who are there.
    pub(super) fn begin(&mut self, there: &[PresenceOf], named_max: usize) {
        self.changes.clear();
        self.digest = PresenceDigest::of(there);
        self.telling = Telling::Names;
        if self.is_crowded(named_max) {
            self.telling = Telling::Counts { told: self.counts(), again_at: Instant::now() };
        }
    }

    /// One user was so and is so now, as far as this circle hears of it.
    pub(super) fn note(&mut self, was: &PresenceOf, is: PresenceOf) {
        self.digest.take(was);
        self.digest.add(&is);
        self.changes.push(is);
    }

    fn is_crowded(&self, named_max: usize) -> bool {
        // Back to names only well below: whoever stands at the limit does not have everybody named again and again.
        let max = match self.telling {
            Telling::Names => named_max,
            Telling::Counts { .. } => named_max - named_max / 4,
        };
        self.digest.online > max as u64
    }

    fn counts(&self) -> PresenceCounts {
        PresenceCounts { online: self.digest.online, away: self.digest.away }
    }

    /// Tells what has changed. Answers whether everybody is to be told the whole picture, which is named again.
    pub(super) fn tell(&mut self, now: Instant, named_max: usize) -> bool {
        let changes = std::mem::take(&mut self.changes);
        match (&self.telling, self.is_crowded(named_max)) {
            (Telling::Names, false) if changes.is_empty() => {}
            (Telling::Names, false) => self.tell_all(Signal::PresenceChanged { users: changes }),
            (Telling::Names, true) => self.tell_counts(now),
            (Telling::Counts { .. }, true) => {
                if self.deadline().is_some_and(|at| at <= now) {
                    self.tell_counts(now);
                }
            }
            (Telling::Counts { .. }, false) => {
                self.telling = Telling::Names;
                return true;
            }
        }
        false
    }

    fn tell_counts(&mut self, now: Instant) {
        self.telling = Telling::Counts { told: self.counts(), again_at: now + COUNTS_EVERY };
        self.tell_all(Picture { users: Vec::new(), others: Some(self.counts()) }.signal());
    }

    /// When it has to be told again, though nothing more happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.telling {
            Telling::Counts { told, again_at } if *told != self.counts() => Some(*again_at),
            Telling::Names | Telling::Counts { .. } => None,
        }
    }

    /// Tells what the picture comes to, so that whoever has another asks for it.
    pub(super) fn tell_digest(&self) {
        match self.telling {
            Telling::Names => self.tell_all(Signal::PresenceDigest(self.digest)),
            Telling::Counts { .. } => {
                self.tell_all(Picture { users: Vec::new(), others: Some(self.counts()) }.signal());
            }
        }
    }

    /// The picture, where this is who is there.
    pub(super) fn picture(&self, there: impl FnOnce() -> Vec<PresenceOf>) -> Picture {
        match self.telling {
            Telling::Names => Picture { users: there(), others: None },
            Telling::Counts { .. } => Picture { users: Vec::new(), others: Some(self.counts()) },
        }
    }

    /// Puts a signal into every mailbox, encoded once.
    pub(super) fn tell_all(&self, signal: Signal) {
        let frame = frame(signal);
        for mailbox in self.subscribers.values() {
            mailbox.put(Mail::Signal(frame.clone()));
        }
    }
}

impl Picture {
    pub(super) fn signal(self) -> Signal {
        Signal::PresenceSnapshot { users: self.users, others: self.others }
    }
}

pub(super) fn frame(signal: Signal) -> Frame {
    Frame::new(&ServerFrame::Signal { topic: None, signal: Open::Known(signal) })
}
