//! What the server has to know at once of everybody who is connected: as whom she is shown, and what she wishes not
//! to be seen.
//!
//! One for each user, shared by all her connections and changed at the commit, before the call that made the change is
//! answered. Not a cache of users: nobody is in it who is not connected.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use parlour_store::AppId;
use parlour_wire::users::{PrivacySettings, Role, User, UserBrief};
use parlour_wire::{Seq, Team, UserId};
use serde::Deserialize;
use serde_json::Value;

type Key = (AppId, UserId);

/// Everybody who is connected.
#[derive(Default)]
pub(crate) struct Profiles {
    connected: Mutex<HashMap<Key, Arc<Profile>>>,
}

/// What is known of a user.
#[derive(Default)]
struct Profile {
    known: Mutex<Option<Known>>,
}

struct Known {
    /// The seq in the user's own topic up to which this is so. What comes late does not put back what is newer.
    as_of: Seq,
    face: Face,
}

/// A user as the rest of the server needs it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Face {
    pub(crate) brief: UserBrief,
    pub(crate) role: Role,
    pub(crate) teams: Vec<Team>,
    pub(crate) status: Option<String>,
    /// Whether the user wishes to be seen by nobody.
    pub(crate) invisible: bool,
    pub(crate) shows_typing: bool,
}

/// What came of learning.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Learnt {
    /// The user is so now.
    Face(Face),
    /// Something newer is known.
    Older,
    /// The user is not connected.
    Nobody,
}

/// A connection's hold on its user's profile, which is there for as long as anybody holds it.
pub(crate) struct Holder {
    pub(crate) id: UserId,
    app: AppId,
    profile: Arc<Profile>,
    profiles: Arc<Profiles>,
}

/// The user of a connection, for those who only count: it holds nobody.
#[derive(Clone, Debug)]
pub(crate) struct Owner(Weak<Profile>);

impl Profiles {
    fn connected(&self) -> MutexGuard<'_, HashMap<Key, Arc<Profile>>> {
        self.connected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The profile of a user who is about to connect. Whatever changes from now on comes to it, also before the
    /// connection has learnt how the user was.
    pub(crate) fn hold(self: &Arc<Self>, app: AppId, user: &UserId) -> Holder {
        let profile = Arc::clone(self.connected().entry((app, user.clone())).or_default());
        Holder { id: user.clone(), app, profile, profiles: Arc::clone(self) }
    }

    /// The user was so at this seq of its topic.
    pub(crate) fn learn(&self, app: AppId, user: &User, as_of: Seq) -> Learnt {
        match self.connected().get(&(app, user.id.clone())) {
            Some(profile) => profile.learn(user, as_of),
            None => Learnt::Nobody,
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.connected().len()
    }
}

impl Profile {
    fn known(&self) -> MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn learn(&self, user: &User, as_of: Seq) -> Learnt {
        let mut known = self.known();
        if known.as_ref().is_some_and(|known| known.as_of > as_of) {
            return Learnt::Older;
        }
        let face = Face::of(user);
        *known = Some(Known { as_of, face: face.clone() });
        Learnt::Face(face)
    }
}

impl Holder {
    /// The user was so at this seq of its topic.
    pub(crate) fn learn(&self, user: &User, as_of: Seq) {
        self.profile.learn(user, as_of);
    }

    /// The user as it is known; `None`: it is not yet.
    pub(crate) fn face(&self) -> Option<Face> {
        self.profile.known().as_ref().map(|known| known.face.clone())
    }

    /// The same user, for those who only count.
    pub(crate) fn owner(&self) -> Owner {
        Owner(Arc::downgrade(&self.profile))
    }

    /// The user as others may see who types; `None`: they may not.
    pub(crate) fn typist(&self) -> Option<UserBrief> {
        let known = self.profile.known();
        known.as_ref().filter(|known| known.face.shows_typing).map(|known| known.face.brief.clone())
    }
}

impl Owner {
    /// Tells users apart.
    pub(crate) fn key(&self) -> usize {
        self.0.as_ptr().addr()
    }

    /// Whether others may know that the user is there. Who is anonymous has no face to hide, and counts.
    pub(crate) fn is_seen(&self) -> bool {
        let profile = self.0.upgrade();
        profile.is_some_and(|profile| profile.known().as_ref().is_none_or(|known| !known.face.invisible))
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let mut connected = self.profiles.connected();
        // The map's own and this one: nobody can take another while the map is held.
        if Arc::strong_count(&self.profile) == 2 {
            connected.remove(&(self.app, self.id.clone()));
        }
    }
}

impl Face {
    pub(crate) fn of(user: &User) -> Self {
        let text = |field: &str| user.custom.get(field).and_then(Value::as_str).map(str::to_owned);
        let brief = UserBrief { id: user.id.clone(), name: text("name"), image: text("image") };
        let privacy = user.custom.get("privacy_settings").and_then(|v| PrivacySettings::deserialize(v).ok());
        let shows_typing =
            privacy.and_then(|settings| settings.typing_indicators).is_none_or(|setting| setting.enabled);
        Self {
            brief,
            role: user.role.clone(),
            teams: user.teams.clone(),
            status: text("status"),
            invisible: user.custom.get("invisible") == Some(&Value::Bool(true)),
            shows_typing,
        }
    }
}

#[cfg(test)]
mod tests {
    use parlour_wire::Timestamp;
    use serde_json::json;

    use super::*;

    const APP: AppId = AppId(1);

    fn bob(typing: bool) -> User {
        let settings = json!({ "typing_indicators": { "enabled": typing } });
        let custom = [("privacy_settings".to_owned(), settings)].into();
        User { custom, ..User::new(UserId::parse("bob").unwrap(), Timestamp::from_unix_ms(0)) }
    }

    #[test]
    fn a_change_that_overtakes_the_connect_is_not_put_back_by_it_f3_1() {
        let profiles = Arc::new(Profiles::default());
        let holder = profiles.hold(APP, &bob(true).id);
        assert_eq!(holder.typist(), None, "nothing is known of him");
        profiles.learn(APP, &bob(false), 7);
        holder.learn(&bob(true), 6);
        assert_eq!(holder.typist(), None);
        profiles.learn(APP, &bob(true), 8);
        assert!(holder.typist().is_some());
        // A bus may bring it late.
        profiles.learn(APP, &bob(false), 7);
        assert!(holder.typist().is_some());
    }

    #[test]
    fn nothing_is_kept_of_who_is_gone() {
        let profiles = Arc::new(Profiles::default());
        let (laptop, phone) = (profiles.hold(APP, &bob(true).id), profiles.hold(APP, &bob(true).id));
        laptop.learn(&bob(true), 1);
        drop(laptop);
        assert!(phone.typist().is_some(), "one is left");
        drop(phone);
        assert_eq!(profiles.len(), 0);
        assert_eq!(profiles.learn(APP, &bob(true), 2), Learnt::Nobody);
    }
}
