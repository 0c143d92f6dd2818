//! A consumer's place in a topic.

use parlour_wire::Seq;

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
}
