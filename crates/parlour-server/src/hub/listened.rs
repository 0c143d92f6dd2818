//! The topics that somebody on this node listens to, each once in memory, and who that is.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashTable;
use parlour_store::AppId;
use parlour_wire::{Seq, Topic};

use crate::mailbox::Mailbox;

const SHARDS: usize = 16;

/// One topic, and who listens to it.
pub(super) struct Listened {
    app: AppId,
    /// What everybody calls it by: each session that has a place in it shares this one.
    topic: Arc<Topic>,
    /// By lane, then by number: in the order in which they came, the same in every run of a simulation. Shared with
    /// the lanes while they work on it.
    pub(super) mailboxes: Arc<Vec<Arc<Mailbox>>>,
    /// The highest seq that was handed out or announced; 0 until the first.
    pub(super) announced: Seq,
}

impl Listened {
    pub(super) fn topic(&self) -> &Arc<Topic> {
        &self.topic
    }

    fn is(&self, app: AppId, topic: &Topic) -> bool {
        self.app == app && *self.topic == *topic
    }

    /// Adds one at this place.
    pub(super) fn insert(&mut self, at: usize, mailbox: Arc<Mailbox>) {
        let mailboxes = Arc::make_mut(&mut self.mailboxes);
        if mailboxes.len() == mailboxes.capacity() {
            // By an eighth: there are as many of these lists as topics, and doubling would leave half of them empty.
            mailboxes.reserve_exact(mailboxes.len() / 8 + 1);
        }
        mailboxes.insert(at, mailbox);
    }

    fn is_of_use(&self) -> bool {
        !self.mailboxes.is_empty() || Arc::strong_count(&self.topic) > 1
    }
}

/// All of them.
pub(super) struct Topics {
    shards: [Mutex<HashTable<Listened>>; SHARDS],
    hasher: RandomState,
}

impl Topics {
    pub(super) fn new() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()), hasher: RandomState::new() }
    }

    fn hash(&self, app: AppId, topic: &Topic) -> u64 {
        self.hasher.hash_one((app, topic))
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, HashTable<Listened>> {
        // The lowest and the highest bits are the table's own.
        let shard = (hash >> 32) as usize % SHARDS;
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with a topic that is here, or that is from now on by this name.
    pub(super) fn enter<T>(&self, app: AppId, topic: Arc<Topic>, act: impl FnOnce(&mut Listened) -> T) -> T {
        let hash = self.hash(app, &topic);
        let mut shard = self.shard(hash);
        let rehash = |listened: &Listened| self.hash(listened.app, &listened.topic);
        let entry = shard.entry(hash, |listened| listened.is(app, &topic), rehash);
        let begin = || Listened { app, topic: Arc::clone(&topic), mailboxes: Arc::default(), announced: 0 };
        act(entry.or_insert_with(begin).get_mut())
    }

    /// Does something with a topic, if somebody listens to it.
    pub(super) fn with<T>(
        &self,
        app: AppId,
        topic: &Topic,
        act: impl FnOnce(&mut Listened) -> T,
    ) -> Option<T> {
        let hash = self.hash(app, topic);
        self.shard(hash).find_mut(hash, |listened| listened.is(app, topic)).map(act)
    }

    /// Does something with a topic, after which nobody may be left who listens to it.
    pub(super) fn leave(&self, app: AppId, topic: &Topic, act: impl FnOnce(&mut Listened)) {
        let hash = self.hash(app, topic);
        let mut shard = self.shard(hash);
        let Ok(mut entry) = shard.find_entry(hash, |listened| listened.is(app, topic)) else { return };
        act(entry.get_mut());
        if entry.get().mailboxes.is_empty() {
            entry.remove();
        }
    }

    /// All that somebody listens to, in an order that is the same in every run, with what was announced of each. Names
    /// of which nobody made use are forgotten.
    pub(super) fn all(&self) -> Vec<(AppId, Arc<Topic>, Seq)> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.retain(|listened| listened.is_of_use());
            let heard = shard.iter().filter(|listened| !listened.mailboxes.is_empty());
            all.extend(heard.map(|it| (it.app, Arc::clone(&it.topic), it.announced)));
        }
        all.sort_unstable();
        all
    }
}

#[cfg(test)]
mod tests {
    use parlour_wire::ConnectionId;

    use super::*;
    use crate::gateway::intake::Intake;

    const APP: AppId = AppId(1);

    fn topic(name: &str) -> Arc<Topic> {
        Arc::new(format!("channel:messaging:{name}").parse().unwrap())
    }

    fn shared(topics: &Topics, name: &str) -> Arc<Topic> {
        topics.enter(APP, topic(name), |listened| Arc::clone(listened.topic()))
    }

    fn listen(topics: &Topics, name: &str, number: u64) {
        let id = ConnectionId::parse("c").unwrap();
        let mailbox = Arc::new(Mailbox::new(number, id, 1 << 20, Intake::default(), None));
        topics.enter(APP, topic(name), |listened| listened.insert(listened.mailboxes.len(), mailbox));
    }

    #[test]
    fn a_topic_has_one_name_in_memory_however_often_it_is_named() {
        let topics = Topics::new();
        let general = shared(&topics, "general");
        listen(&topics, "general", 1);
        assert!(Arc::ptr_eq(&general, &shared(&topics, "general")));
        assert!(!Arc::ptr_eq(&general, &shared(&topics, "random")));
        let elsewhere = topics.enter(AppId(2), topic("general"), |listened| Arc::clone(listened.topic()));
        assert!(!Arc::ptr_eq(&general, &elsewhere), "another app has nothing to do with it");
    }

    #[test]
    fn a_name_that_nobody_uses_any_more_is_forgotten_and_one_that_is_only_held_is_not() {
        let topics = Topics::new();
        let held = shared(&topics, "held");
        shared(&topics, "dropped");
        listen(&topics, "general", 1);
        assert_eq!(topics.all(), [(APP, topic("general"), 0)]);
        let left = || topics.shards.iter().map(|shard| shard.lock().unwrap().len()).sum::<usize>();
        assert_eq!(left(), 2);
        assert!(Arc::ptr_eq(&held, &shared(&topics, "held")));
        topics.leave(APP, &topic("general"), |listened| Arc::make_mut(&mut listened.mailboxes).clear());
        assert_eq!((left(), topics.all()), (1, Vec::new()));
    }

    #[test]
    fn a_list_of_who_listens_is_at_most_an_eighth_longer_than_they_are_many() {
        let topics = Topics::new();
        for number in 0..2_000 {
            listen(&topics, "general", number);
            let room = topics.with(APP, &topic("general"), |listened| {
                (listened.mailboxes.len(), listened.mailboxes.capacity())
            });
            let (len, capacity) = room.unwrap();
            assert!(capacity <= len + len / 8 + 1, "{capacity} for {len}");
        }
    }
}
