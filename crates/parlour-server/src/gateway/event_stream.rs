//! The event stream: frames to the client in the body of one HTTP answer, for networks that let no WebSocket
//! through. Its client's frames come by requests of their own.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use parlour_wire::CloseCode;
use serde_json::Value;
use tokio::sync::mpsc;

use super::inbox::Inbox;
use super::intake::Intake;
use super::leaving::Departures;
use super::{Received, SendError, Transport};
use crate::frame::Frame;

/// Goes out with the headers: a proxy that waits for the first bytes of a body has them at once.
const OPENING: Bytes = Bytes::from_static(b":\n\n");
/// A frame goes out in pieces of at most this many bytes: what waits between us and the socket is a copy.
const PIECE_BYTES: usize = 16 * 1024;

/// One answer that goes on until the connection ends.
pub struct EventStream {
    /// The request's body: the first frame.
    hello: Option<Value>,
    inbox: Arc<Inbox>,
    /// What goes out next; nothing follows once it is dropped.
    body: Option<mpsc::Sender<Bytes>>,
    departures: Departures,
    /// Whether a frame has left in part: nothing can follow but its rest.
    is_broken: bool,
    intake: Intake,
    slow_reader: Duration,
}

impl EventStream {
    /// A stream that begins with this `hello`, and the body in which its frames go out.
    pub(crate) fn open(hello: Value, intake: Intake, slow_reader: Duration) -> (Self, Body) {
        // One piece at a time: what waits longer waits in the mailbox, whose size is bounded.
        let (sender, receiver) = mpsc::channel(1);
        let _ = sender.try_send(OPENING);
        let pieces = stream::unfold(receiver, async |mut receiver| {
            let piece = receiver.recv().await?;
            Some((Ok::<_, Infallible>(piece), receiver))
        });
        let stream = Self {
            hello: Some(hello),
            inbox: Arc::default(),
            body: Some(sender),
            departures: Departures::default(),
            is_broken: false,
            intake,
            slow_reader,
        };
        (stream, Body::from_stream(pieces))
    }
}

impl Transport for EventStream {
    const NAME: &'static str = "event_stream";
    const CARRIES_CODE: bool = false;

    fn inbox(&self) -> Option<&Arc<Inbox>> {
        Some(&self.inbox)
    }

    async fn recv(&mut self) -> Received {
        if let Some(hello) = self.hello.take() {
            return Received::Frame(hello);
        }
        let Some(body) = &self.body else { return Received::Closed(None) };
        tokio::select! {
            biased;
            frame = self.inbox.next() => Received::Frame(frame),
            () = body.closed() => Received::Closed(None),
        }
    }

    async fn send(&mut self, frame: Frame) -> Result<(), SendError> {
        let Some(body) = self.body.as_ref().filter(|_| !self.is_broken) else { return Err(SendError::Gone) };
        let mut rest = Bytes::from(format!("data: {}\n\n", frame.text()));
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(PIECE_BYTES));
            let sending = body.send(self.departures.begin().by(piece));
            self.intake.wait_for(sending, self.slow_reader).await?.map_err(|_| SendError::Gone)?;
            // Whoever waits for this may be called away.
            self.is_broken = !rest.is_empty();
        }
        Ok(())
    }

    async fn withhold(&mut self) {
        self.departures.over().await;
    }

    fn intake(&self) -> Intake {
        self.intake.clone()
    }

    fn is_behind(&self) -> bool {
        self.intake.is_behind(self.slow_reader)
    }

    async fn close(&mut self, _: CloseCode, _: &str) {
        self.body = None;
    }
}
