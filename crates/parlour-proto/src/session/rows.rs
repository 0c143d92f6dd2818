//! What is known of some topics, in their order.

use std::cmp::Ordering;
use std::sync::Arc;

use parlour_wire::Topic;

/// A row as long as it has to be, and no tree: there are many sessions, and most know little of most of their topics.
/// The names are shared with whoever drives the session, and with the other sessions.
#[derive(Debug)]
pub(super) struct Rows<V>(Vec<(Arc<Topic>, V)>);

impl<V> Default for Rows<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<V> Rows<V> {
    fn at(&self, topic: &Topic) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| order(other, topic))
    }

    /// The value, with the name as it is shared.
    pub(super) fn row(&self, topic: &Topic) -> Option<&(Arc<Topic>, V)> {
        self.at(topic).ok().map(|at| &self.0[at])
    }

    pub(super) fn get(&self, topic: &Topic) -> Option<&V> {
        self.row(topic).map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, topic: &Topic) -> Option<&mut V> {
        self.at(topic).ok().map(|at| &mut self.0[at].1)
    }

    pub(super) fn has(&self, topic: &Topic) -> bool {
        self.at(topic).is_ok()
    }

    pub(super) fn insert(&mut self, topic: Arc<Topic>, value: V) {
        match self.at(&topic) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => {
                // One at a time: the next may never come.
                self.0.reserve_exact(1);
                self.0.insert(at, (topic, value));
            }
        }
    }

    pub(super) fn remove(&mut self, topic: &Topic) -> Option<(Arc<Topic>, V)> {
        let row = self.0.remove(self.at(topic).ok()?);
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
        Some(row)
    }

    pub(super) fn topics(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.0.iter().map(|(topic, _)| topic)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl<V> FromIterator<(Arc<Topic>, V)> for Rows<V> {
    /// In any order; of a topic that is named twice the last counts.
    fn from_iter<I: IntoIterator<Item = (Arc<Topic>, V)>>(rows: I) -> Self {
        let mut rows: Vec<_> = rows.into_iter().collect();
        rows.sort_by(|(one, _), (other, _)| order(one, other));
        rows.dedup_by(|later, before| {
            let is_same = order(&later.0, &before.0).is_eq();
            if is_same {
                std::mem::swap(later, before);
            }
            is_same
        });
        rows.shrink_to_fit();
        Self(rows)
    }
}

/// The same topic is mostly the same in memory, and need not be read then.
fn order(one: &Topic, other: &Topic) -> Ordering {
    if std::ptr::eq(one, other) { Ordering::Equal } else { one.cmp(other) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str) -> Arc<Topic> {
        Arc::new(format!("channel:messaging:{name}").parse().unwrap())
    }

    #[test]
    fn rows_are_in_order_whatever_order_they_came_in_and_the_last_of_a_name_counts() {
        let mut rows: Rows<u32> = [("c", 1), ("a", 2), ("c", 3), ("b", 4)]
            .into_iter()
            .map(|(name, value)| (topic(name), value))
            .collect();
        rows.insert(topic("d"), 5);
        rows.insert(topic("a"), 6);
        assert!(rows.topics().eq(&["a", "b", "c", "d"].map(topic)));
        assert_eq!(
            ["a", "b", "c", "d", "e"].map(|name| rows.get(&topic(name)).copied()),
            [Some(6), Some(4), Some(3), Some(5), None]
        );
    }

    #[test]
    fn a_topic_that_is_attached_costs_a_name_and_a_place_and_nothing_more() {
        let mut rows: Rows<crate::Cursor> =
            (0..3_000).map(|number| (topic(&number.to_string()), crate::Cursor::new(number))).collect();
        assert_eq!(rows.0.capacity() * size_of::<(Arc<Topic>, crate::Cursor)>(), 3_000 * 16);
        (0..3_000).for_each(|number| assert!(rows.remove(&topic(&number.to_string())).is_some()));
        assert_eq!((rows.len(), rows.0.capacity()), (0, 0));
    }
}
