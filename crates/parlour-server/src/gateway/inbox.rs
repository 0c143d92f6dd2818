//! Frames that a client sent by requests of their own, until its gateway takes them.
//!
//! For transports that carry frames one way only. Bounded: who sends faster than the gateway takes is told so.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use parlour_wire::frames::FRAME_BYTES_MAX;
use serde_json::Value;
use tokio::sync::Notify;

use crate::connections::NotTaken;

/// The frames of one request, with the size of its body.
pub(crate) struct Parcel {
    pub(crate) frames: Vec<Value>,
    pub(crate) bytes: usize,
}

/// What waits for one gateway. One at a time may take from it.
#[derive(Debug, Default)]
pub struct Inbox {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    frames: VecDeque<Value>,
    /// Of all that came since the inbox was empty.
    bytes: usize,
}

/// Two of the largest requests: one that is being taken, one that waits.
const WAITING_BYTES_MAX: usize = 2 * FRAME_BYTES_MAX;

impl Inbox {
    /// Puts all of it in, or nothing.
    pub(crate) fn put(&self, parcel: Parcel) -> Result<(), NotTaken> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.bytes + parcel.bytes > WAITING_BYTES_MAX {
            return Err(NotTaken::Full);
        }
        waiting.bytes += parcel.bytes;
        waiting.frames.extend(parcel.frames);
        self.arrived.notify_one();
        Ok(())
    }

    /// Waits for the next frame. May be dropped at any time without losing anything.
    pub(crate) async fn next(&self) -> Value {
        loop {
            if let Some(frame) = self.take() {
                return frame;
            }
            self.arrived.notified().await;
        }
    }

    /// Waits for a `bye`, and takes it alone. May be dropped at any time without losing anything.
    pub(crate) async fn bye(&self) -> Value {
        loop {
            let found = {
                let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                let at = waiting.frames.iter().position(|frame| frame["type"] == "bye");
                at.and_then(|at| waiting.frames.remove(at))
            };
            if let Some(bye) = found {
                return bye;
            }
            self.arrived.notified().await;
        }
    }

    /// Puts these before everything else, for whoever takes from it next.
    pub(crate) fn put_back(&self, mut frames: VecDeque<Value>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        frames.append(&mut waiting.frames);
        waiting.frames = frames;
    }

    /// Takes over what waits in another one.
    pub(crate) fn take_over(&self, other: &Self) {
        let theirs = std::mem::take(&mut *other.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.bytes += theirs.bytes;
        waiting.frames.extend(theirs.frames);
        self.arrived.notify_one();
    }

    fn take(&self) -> Option<Value> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let frame = waiting.frames.pop_front();
        if waiting.frames.is_empty() {
            waiting.bytes = 0;
        }
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_inbox_takes_nothing_until_it_was_emptied() {
        let inbox = Inbox::default();
        let parcel = || Parcel { frames: vec![Value::from(1), Value::from(2)], bytes: FRAME_BYTES_MAX };
        assert_eq!((inbox.put(parcel()), inbox.put(parcel())), (Ok(()), Ok(())));
        assert_eq!(inbox.put(parcel()), Err(NotTaken::Full));
        let taken: Vec<Value> = std::iter::from_fn(|| inbox.take()).collect();
        assert_eq!(taken, [1, 2, 1, 2]);
        assert_eq!(inbox.put(parcel()), Ok(()));
    }
}
