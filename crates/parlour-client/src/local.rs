//! What the client knows by itself: its user, unread counts, who types, who is there.

use std::collections::BTreeMap;
use std::time::Duration;

use parlour_wire::events::{Event, Signal};
use parlour_wire::frames::{EventFrame, Ready};
use parlour_wire::users::{Me, UserBrief};
use parlour_wire::{Cid, Open, Topic, UserId};
use tokio::time::Instant;

use crate::attendance::{Next, Picture};
use crate::client::Throttled;
use crate::unread::Tally;

/// When a user who types has not been heard of for this long, the typing is over. The server ends it at 6 s
/// by itself; this is for the signal that got lost.
const TYPING_EXPIRY: Duration = Duration::from_secs(7);
/// When this long has passed since the last `typing.start`, the next is sent.
const TYPING_RESEND: Duration = Duration::from_secs(3);
/// Paused features that are remembered: far more than a server has.
const THROTTLED_LEN_MAX: usize = 100;
/// Typing users that are remembered; beyond it, later ones are shown to nobody.
const TYPING_LEN_MAX: usize = 1_000;

#[derive(Default)]
pub(crate) struct Local {
    pub(crate) me: Option<Me>,
    pub(crate) tally: Tally,
    typing: BTreeMap<(Cid, UserId), (UserBrief, Instant)>,
    typing_sent: BTreeMap<Cid, Instant>,
    pub(crate) presence: Picture,
    /// Features that are paused, until when.
    throttled: BTreeMap<String, Instant>,
}

impl Local {
    /// Begins anew, for this user or for none.
    pub(crate) fn clear(&mut self, user: Option<UserId>) {
        *self = Self::default();
        self.tally.clear(user);
    }

    pub(crate) fn ready(&mut self, ready: &Ready) {
        self.me = Some(ready.me.clone());
        self.tally.ready(ready);
        self.typing_sent.clear();
        self.presence.begin(&ready.presence, ready.presence_others);
    }

    pub(crate) fn event(&mut self, frame: &EventFrame) {
        self.tally.event(frame);
        match &frame.event {
            // A message says that its typing is over.
            Open::Known(Event::MessageNew { cid, message, .. }) => {
                self.typing.remove(&(cid.clone(), message.user.id.clone()));
            }
            Open::Known(Event::UserUpdated { user, .. }) => {
                if let Some(me) = self.me.as_mut().filter(|me| me.user.id == user.id) {
                    me.user = user.clone();
                }
            }
            Open::Known(Event::MutesUpdated { mutes, .. }) => {
                if let Some(me) = &mut self.me {
                    me.mutes = mutes.iter().map(|mute| mute.user.id.clone()).collect();
                }
            }
            Open::Known(_) | Open::Unknown(_) => {}
        }
    }

    pub(crate) fn signal(&mut self, signal: &Open<Signal>, now: Instant) -> Next {
        match signal {
            Open::Known(Signal::TypingStart { cid, user }) => {
                let key = (cid.clone(), user.id.clone());
                if self.typing.len() < TYPING_LEN_MAX || self.typing.contains_key(&key) {
                    self.typing.insert(key, (user.clone(), now + TYPING_EXPIRY));
                }
            }
            Open::Known(Signal::TypingStop { cid, user }) => {
                self.typing.remove(&(cid.clone(), user.id.clone()));
            }
            Open::Known(signal) => return self.presence.take(signal),
            Open::Unknown(_) => {}
        }
        Next::Nothing
    }

    /// Ends the typing that was not renewed, as the signals that the app would have got.
    pub(crate) fn expire_typing(&mut self, now: Instant) -> Vec<(Topic, Signal)> {
        let over = self.typing.extract_if(.., |_, (_, until)| *until <= now);
        let stop = |((cid, _), (user, _)): ((Cid, UserId), (UserBrief, Instant))| {
            (Topic::Channel(cid.clone()), Signal::TypingStop { cid, user })
        };
        over.map(stop).collect()
    }

    pub(crate) fn typing_deadline(&self) -> Option<Instant> {
        self.typing.values().map(|(_, until)| *until).min()
    }

    pub(crate) fn typing(&self, cid: &Cid) -> Vec<UserBrief> {
        let here = self.typing.iter().filter(|((c, _), _)| c == cid);
        here.map(|(_, (user, _))| user.clone()).collect()
    }

    /// The server wants this feature left alone until then.
    pub(crate) fn throttle(&mut self, feature: &str, until: Instant) {
        if self.throttled.len() < THROTTLED_LEN_MAX || self.throttled.contains_key(feature) {
            self.throttled.insert(feature.to_owned(), until);
        }
    }

    /// What is paused now; what was, is forgotten.
    pub(crate) fn throttled(&mut self, now: Instant) -> Vec<Throttled> {
        self.throttled.retain(|_, until| *until > now);
        let paused = self.throttled.iter();
        paused.map(|(feature, until)| Throttled { feature: feature.clone(), until: *until }).collect()
    }

    pub(crate) fn throttle_deadline(&self) -> Option<Instant> {
        self.throttled.values().copied().min()
    }

    /// Whether a `typing.start` is due; it counts as sent then.
    pub(crate) fn start_typing(&mut self, cid: &Cid, now: Instant) -> bool {
        if self.throttled.get("typing").is_some_and(|until| *until > now) {
            return false;
        }
        let due = self.typing_sent.get(cid).is_none_or(|sent| now.duration_since(*sent) >= TYPING_RESEND);
        if due {
            self.typing_sent.retain(|_, sent| now.duration_since(*sent) < TYPING_RESEND);
            self.typing_sent.insert(cid.clone(), now);
        }
        due
    }

    pub(crate) fn stop_typing(&mut self, cid: &Cid) {
        self.typing_sent.remove(cid);
    }
}
