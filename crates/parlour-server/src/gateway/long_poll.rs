//! The long-poll: frames to the client in one answer after the other, for networks that hold every stream back.
//!
//! Each poll is a connection of its own as far as delivery is concerned: a resume from the cursors that it names.
//! What goes on from one poll to the next is the place among the user's connections, for as long as its lease.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parlour_wire::CloseCode;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::inbox::Inbox;
use super::leaving::{Departures, Leaving};
use super::{LastsBy, Received, SendError, Transport};
use crate::connections::Arrival;
use crate::frame::Frame;

/// What happens within this time goes into one answer.
const COLLECT: Duration = Duration::from_millis(50);
/// Bytes of an answer, but for its last frame: the next poll goes on where this one ended.
const BATCH_BYTES: usize = 1 << 20;

/// One poll.
pub struct LongPoll {
    /// The request's body: `hello`, and what is said with it.
    said: VecDeque<Value>,
    inbox: Arc<Inbox>,
    batch: Vec<Frame>,
    bytes: usize,
    /// When the answer goes out at the latest.
    until: Instant,
    answer: Option<oneshot::Sender<Batch>>,
    departures: Departures,
}

/// What a poll answers.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) frames: Vec<Frame>,
    /// To be held until the answer has left.
    pub(crate) leaving: Leaving,
}

impl LongPoll {
    /// A poll that begins with this `hello`, and the frames of its answer.
    pub(crate) fn open(hello: Value, frames: Vec<Value>, hold: Duration) -> (Self, oneshot::Receiver<Batch>) {
        let (sender, receiver) = oneshot::channel();
        let mut said = VecDeque::from(frames);
        said.push_front(hello);
        let poll = Self {
            said,
            inbox: Arc::default(),
            batch: Vec::new(),
            bytes: 0,
            until: Instant::now() + hold,
            answer: Some(sender),
            departures: Departures::default(),
        };
        (poll, receiver)
    }

    fn answer_soon(&mut self) {
        self.until = self.until.min(Instant::now() + COLLECT);
    }
}

impl Transport for LongPoll {
    const NAME: &'static str = "long_poll";
    const CARRIES_CODE: bool = false;
    const LASTS_BY: LastsBy = LastsBy::Lease;

    fn inbox(&self) -> Option<&Arc<Inbox>> {
        Some(&self.inbox)
    }

    fn admitted(&mut self, arrival: Arrival) {
        // Who is new waits for `ready`, not for what happens then.
        if arrival == Arrival::Anew {
            self.answer_soon();
        }
    }

    async fn recv(&mut self) -> Received {
        if let Some(frame) = self.said.pop_front() {
            return Received::Frame(frame);
        }
        let Some(answer) = &mut self.answer else { return Received::Over };
        tokio::select! {
            biased;
            () = answer.closed() => Received::Closed(None),
            frame = self.inbox.next() => Received::Frame(frame),
            () = tokio::time::sleep_until(self.until) => Received::Over,
        }
    }

    async fn send(&mut self, frame: Frame) -> Result<(), SendError> {
        // At least one frame beside `ready`: else a client would poll for ever and get nowhere.
        if self.batch.len() > 1 && self.bytes + frame.len() > BATCH_BYTES {
            return Err(SendError::Full);
        }
        if !self.batch.is_empty() {
            self.answer_soon();
        }
        self.bytes += frame.len();
        self.batch.push(frame);
        Ok(())
    }

    async fn withhold(&mut self) {
        self.batch.clear();
        self.bytes = 0;
        self.departures.over().await;
    }

    async fn close(&mut self, _: CloseCode, _: &str) {
        // What the answer had no room to do is done by the next poll.
        self.inbox.put_back(std::mem::take(&mut self.said));
        if let Some(answer) = self.answer.take() {
            let batch = Batch { frames: std::mem::take(&mut self.batch), leaving: self.departures.begin() };
            // Who does not wait for it any more asks again.
            let _ = answer.send(batch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_poll_collects_for_fifty_milliseconds_from_the_first_that_happens_l4_22() {
        let hold = Duration::from_secs(25);
        let (mut poll, mut answer) = LongPoll::open(Value::Null, Vec::new(), hold);
        let began = Instant::now();
        assert!(matches!(poll.recv().await, Received::Frame(Value::Null)));
        poll.send(Frame::from("ready")).await.unwrap();
        poll.admitted(Arrival::Again);
        tokio::time::sleep(Duration::from_secs(10)).await;
        poll.send(Frame::from("first")).await.unwrap();
        // What comes within that time goes with it, and makes it no longer.
        let soon = tokio::time::timeout(Duration::from_millis(49), poll.recv()).await;
        assert!(soon.is_err(), "{soon:?}");
        poll.send(Frame::from("second")).await.unwrap();
        assert!(matches!(poll.recv().await, Received::Over));
        assert_eq!(began.elapsed().as_millis(), 10_050);
        poll.close(CloseCode::NORMAL, "").await;
        let Batch { frames, leaving } = answer.try_recv().unwrap();
        assert_eq!(frames, ["ready", "first", "second"].map(Frame::from));
        // Whoever wants nothing more to be told waits until it has left.
        let soon = tokio::time::timeout(Duration::from_secs(1), poll.withhold()).await;
        assert!(soon.is_err(), "it has not left");
        drop(leaving);
        poll.withhold().await;
    }
}
