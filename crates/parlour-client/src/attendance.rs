//! Who is there, as far as the presence subscription tells.

use std::collections::BTreeMap;

use parlour_wire::UserId;
use parlour_wire::events::Signal;
use parlour_wire::presence::{Presence, PresenceCounts, PresenceDigest};

/// How many are there, of those whose presence is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attendance {
    pub online: u64,
    /// How many of them are away.
    pub away: u64,
    /// Whether each of them is told of by name. Where more are there than that, [`crate::Client::presence`] knows nobody,
    /// and only how many they are is told.
    pub is_named: bool,
}

/// The picture that the signals give.
#[derive(Default)]
pub(crate) struct Picture {
    users: BTreeMap<UserId, Presence>,
    others: Option<PresenceCounts>,
}

/// What to do after a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Nothing,
    /// Something was lost on the way: the whole has to be asked for.
    AskAnew,
}

impl Picture {
    /// Begins anew with these.
    pub(crate) fn begin(&mut self, users: &[Presence], others: Option<PresenceCounts>) {
        self.users = by_user(users);
        self.others = others;
    }

    /// Takes what was told; a signal that says nothing of presence changes nothing.
    pub(crate) fn take(&mut self, signal: &Signal) -> Next {
        match signal {
            Signal::PresenceChanged { users } => self.users.extend(by_user(users)),
            Signal::PresenceSnapshot { users, others } => self.begin(users, *others),
            Signal::PresenceDigest(digest) => {
                // Those who left are remembered for a while, for when they were last seen; not for ever.
                self.users.retain(|_, presence| presence.online);
                let is_whole = self.others.is_none() && PresenceDigest::of(self.users.values()) == *digest;
                return if is_whole { Next::Nothing } else { Next::AskAnew };
            }
            Signal::TypingStart { .. } | Signal::TypingStop { .. } => {}
        }
        Next::Nothing
    }

    pub(crate) fn of(&self, user: &UserId) -> Option<Presence> {
        self.users.get(user).cloned()
    }

    pub(crate) fn attendance(&self) -> Attendance {
        let PresenceDigest { online, away, .. } = PresenceDigest::of(self.users.values());
        let others = self.others.unwrap_or_default();
        Attendance {
            online: online + others.online,
            away: away + others.away,
            is_named: self.others.is_none(),
        }
    }
}

fn by_user(users: &[Presence]) -> BTreeMap<UserId, Presence> {
    users.iter().map(|presence| (presence.user_id.clone(), presence.clone())).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn signal(value: serde_json::Value) -> Signal {
        serde_json::from_value(value).unwrap()
    }

    fn user(id: &str, online: bool) -> serde_json::Value {
        json!({ "user_id": id, "online": online })
    }

    fn changed(users: &[serde_json::Value]) -> Signal {
        signal(json!({ "type": "user.presence.changed", "users": users }))
    }

    fn digest(users: &[serde_json::Value]) -> Signal {
        let users: Vec<Presence> = serde_json::from_value(json!(users)).unwrap();
        Signal::PresenceDigest(PresenceDigest::of(&users))
    }

    #[test]
    fn a_signal_that_was_lost_is_noticed_by_the_digest_l5_21() {
        let mut picture = Picture::default();
        picture.begin(&serde_json::from_value::<Vec<_>>(json!([user("bob", true)])).unwrap(), None);
        picture.take(&changed(&[user("carol", true), user("bob", false)]));
        assert_eq!(picture.take(&digest(&[user("carol", true)])), Next::Nothing);
        // As many, and others.
        assert_eq!(picture.take(&digest(&[user("dave", true)])), Next::AskAnew);
        // The same, in another way.
        let away = json!({ "user_id": "carol", "online": true, "away": true });
        assert_eq!(picture.take(&digest(&[away])), Next::AskAnew);
        let status = json!({ "user_id": "carol", "online": true, "status": "über" });
        assert_eq!(picture.take(&digest(&[status])), Next::AskAnew);
        let whole = json!({ "type": "user.presence.snapshot", "users": [user("dave", true)] });
        picture.take(&signal(whole));
        assert_eq!(picture.take(&digest(&[user("dave", true)])), Next::Nothing);
        assert_eq!(picture.of(&UserId::parse("carol").unwrap()), None);
    }

    #[test]
    fn many_are_counted_and_nobody_is_taken_for_absent_f4_15() {
        let mut picture = Picture::default();
        picture.take(&changed(&[user("carol", true)]));
        assert_eq!(picture.attendance(), Attendance { online: 1, away: 0, is_named: true });
        let others = json!({ "online": 4_000, "away": 30 });
        picture.take(&signal(json!({ "type": "user.presence.snapshot", "users": [], "others": others })));
        assert_eq!(picture.attendance(), Attendance { online: 4_000, away: 30, is_named: false });
        assert_eq!(picture.take(&digest(&[])), Next::AskAnew, "it is told by name again");
    }
}
