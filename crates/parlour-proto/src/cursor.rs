//! A consumer's place in a topic.

use parlour_wire::Seq;
use parlour_wire::frames::ResetReason;

use crate::TopicStart;

/// The seq of the last event that a consumer has. The only code that compares seqs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(Seq);

/// What an offered event is to a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// The next one: take it. The cursor has moved.
    Next,
    /// Had before: drop it.
    Seen,
    /// Something is missing before it: load from the cursor.
    Gap,
}

impl Cursor {
    pub fn new(last: Seq) -> Self {
        Self(last)
    }

    /// The seq of the last event that the consumer has.
    pub fn last(self) -> Seq {
        self.0
    }

    /// Offers the event with this seq, and moves on if it is the next one.
    ///
    /// ```
    /// use parlour_proto::{Cursor, Offer};
    /// let mut cursor = Cursor::new(4);
    /// assert_eq!(cursor.offer(5), Offer::Next);
    /// assert_eq!(cursor.offer(5), Offer::Seen);
    /// assert_eq!(cursor.offer(7), Offer::Gap);
    /// assert_eq!(cursor.last(), 5);
    /// ```
    pub fn offer(&mut self, seq: Seq) -> Offer {
        if seq <= self.0 {
            Offer::Seen
        } else if seq == self.0 + 1 {
            self.0 = seq;
            Offer::Next
        } else {
            Offer::Gap
        }
    }

    /// Whether the log, whose last seq is `head`, has more than the consumer.
    pub fn is_behind(self, head: Seq) -> bool {
        self.0 < head
    }

    /// How many events the log, whose last seq is `head`, has more than the consumer.
    pub fn missing(self, head: Seq) -> u64 {
        head.saturating_sub(self.0)
    }

    /// Moves on to this seq, never back.
    pub(crate) fn raise(&mut self, seq: Seq) {
        self.0 = self.0.max(seq);
    }

    /// Where a consumer that stands here goes on in the log as it is now, or why it cannot. Hidden events are
    /// skipped without a word: they were never the consumer's.
    pub(crate) fn resume(self, log: &TopicStart, replay_max: u64) -> Result<Self, ResetReason> {
        let from = Self(self.0.max(log.hidden_up_to));
        if self.0 > log.head {
            Err(ResetReason::AheadOfHead)
        } else if from.missing(log.head) > replay_max {
            Err(ResetReason::TooFarBehind)
        } else if from.0 < log.floor {
            Err(ResetReason::Trimmed)
        } else {
            Ok(from)
        }
    }
}
