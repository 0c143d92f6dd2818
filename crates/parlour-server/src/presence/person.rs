//! One user: which connections are up, and what others see of it.

use std::collections::BTreeMap;
use std::time::Duration;

use parlour_wire::presence::Presence as PresenceOf;
use parlour_wire::users::Role;
use parlour_wire::{Team, Timestamp, UserId};
use tokio::time::Instant;

use super::Departure;
use crate::profile::Face;

/// A user who is there, or was a moment ago.
pub(super) struct Person {
    role: Role,
    teams: Vec<Team>,
    status: Option<String>,
    /// Whether the user wishes to be seen by nobody.
    invisible: bool,
    /// Those that are up.
    connections: Vec<Connected>,
    attention: Attention,
    /// When the grace after the last connection ends.
    offline_at: Option<Instant>,
    pub(super) last_active: Timestamp,
    /// What others were told last; `None`: that nobody is there.
    pub(super) told: Option<Told>,
}

/// What others are told of somebody who is there.
#[derive(Clone, PartialEq)]
pub(super) struct Told {
    pub(super) role: Role,
    pub(super) teams: Vec<Team>,
    away: bool,
    status: Option<String>,
}

/// One connection of a user.
struct Connected {
    seat: u64,
    /// Whether the app is before its user's eyes there.
    in_sight: bool,
}

/// Whether a user has any connection in sight. It outlives the connections: a blip begins nothing anew.
#[derive(PartialEq)]
enum Attention {
    Here,
    /// None of them: when this comes, the user is away.
    Elsewhere {
        away_at: Instant,
    },
    Away,
}

impl Person {
    pub(super) fn new(face: &Face, now: Timestamp) -> Self {
        Self {
            role: face.role.clone(),
            teams: face.teams.clone(),
            status: face.status.clone(),
            invisible: face.invisible,
            connections: Vec::new(),
            attention: Attention::Here,
            offline_at: None,
            last_active: now,
            told: None,
        }
    }

    /// The user's own fields are so now.
    pub(super) fn looks(&mut self, face: &Face) {
        self.role = face.role.clone();
        self.teams.clone_from(&face.teams);
        self.status.clone_from(&face.status);
        self.invisible = face.invisible;
    }

    pub(super) fn role(&self) -> &Role {
        &self.role
    }

    pub(super) fn teams(&self) -> &[Team] {
        &self.teams
    }

    /// A connection is up at this seat.
    pub(super) fn up(&mut self, seat: u64, in_sight: bool, away_after: Duration, now: Timestamp) {
        self.connections.push(Connected { seat, in_sight });
        self.last_active = now;
        self.offline_at = None;
        self.look_again(away_after, now);
    }

    /// Where the app stands at this seat now; answers whether that is new.
    pub(super) fn stands(&mut self, seat: u64, in_sight: bool, away_after: Duration, now: Timestamp) -> bool {
        let connected = self.connections.iter_mut().find(|connected| connected.seat == seat);
        let Some(connected) = connected.filter(|connected| connected.in_sight != in_sight) else {
            return false;
        };
        connected.in_sight = in_sight;
        self.look_again(away_after, now);
        true
    }

    /// The connection at this seat is gone.
    pub(super) fn down(
        &mut self,
        seat: u64,
        departure: Departure,
        grace: Duration,
        away_after: Duration,
        now: Timestamp,
    ) {
        self.connections.retain(|connected| connected.seat != seat);
        self.look_again(away_after, now);
        if self.connections.is_empty() {
            self.last_active = now;
            self.offline_at = match departure {
                Departure::Left => None,
                Departure::Lost => Some(Instant::now() + grace),
            };
        }
    }

    /// Each connection's place has changed, or which there are.
    fn look_again(&mut self, away_after: Duration, now: Timestamp) {
        match self.attention {
            _ if self.connections.iter().any(|connected| connected.in_sight) => {
                self.attention = Attention::Here;
                self.last_active = now;
            }
            Attention::Here if !self.connections.is_empty() => {
                self.attention = Attention::Elsewhere { away_at: Instant::now() + away_after };
                self.last_active = now;
            }
            // With the last connection the grace begins; to be away goes on.
            Attention::Here | Attention::Elsewhere { .. } | Attention::Away => {}
        }
    }

    /// Ends the grace, and attention.
    pub(super) fn pass_time(&mut self, now: Instant, wall: Timestamp) {
        if self.offline_at.is_some_and(|at| at <= now) {
            self.offline_at = None;
            self.last_active = wall;
        }
        if let Attention::Elsewhere { away_at } = self.attention
            && away_at <= now
        {
            self.attention = Attention::Away;
        }
    }

    /// When what others see changes by itself.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let away_at = match self.attention {
            Attention::Elsewhere { away_at } => Some(away_at),
            Attention::Here | Attention::Away => None,
        };
        self.offline_at.into_iter().chain(away_at).min()
    }

    /// Whether nothing of the user is left to see or to wait for.
    pub(super) fn is_gone(&self) -> bool {
        self.connections.is_empty() && self.offline_at.is_none()
    }

    /// What others are to be told; `None`: that nobody is there.
    pub(super) fn showing(&self) -> Option<Told> {
        let is_there = !self.invisible && !self.is_gone();
        let away = self.attention == Attention::Away;
        let (role, teams) = (self.role.clone(), self.teams.clone());
        is_there.then(|| Told { role, teams, away, status: self.status.clone() })
    }

    /// What this says of the user, on the wire.
    pub(super) fn presence(&self, user: &UserId, told: Option<&Told>) -> PresenceOf {
        PresenceOf {
            user_id: user.clone(),
            online: told.is_some(),
            away: told.is_some_and(|told| told.away),
            status: told.and_then(|told| told.status.clone()),
            last_active: Some(self.last_active),
            custom: BTreeMap::new(),
        }
    }
}
