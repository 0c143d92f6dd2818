//! The WebSocket transport, on the stream that is left of the HTTP upgrade.
//!
//! Messages are taken apart in [`inbound`]; what goes out leaves by the [`wire`], which the hub's lane writes to as
//! well. Not here: the handshake, which is HTTP.

mod inbound;
mod wire;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use parlour_wire::CloseCode;
use parlour_wire::frames::FRAME_BYTES_MAX;

use super::intake::Intake;
use super::{Outlet, Received, SendError, Transport};
use crate::frame::Frame;
use inbound::{Inbound, Incoming};
pub(crate) use wire::Stream;
use wire::Wire;

/// After our close frame, the other side has this long to answer it.
const CLOSE_WAIT: Duration = Duration::from_secs(2);
/// A close reason is at most this many bytes, says the standard.
const REASON_BYTES_MAX: usize = 123;
/// Read at once, on the stack.
const READ_BYTES: usize = 8 * 1024;

const CLOSE: u8 = 0x88;
const PONG: u8 = 0x8a;

/// One upgraded WebSocket.
pub struct WebSocket {
    wire: Arc<Wire>,
    inbound: Inbound,
    /// The payload of our answer to the other side's close.
    answer: Vec<u8>,
    slow_reader: Duration,
}

impl WebSocket {
    /// The WebSocket on a stream of which these bytes have been read already.
    pub(crate) fn new(stream: Box<dyn Stream>, read_already: &[u8], slow_reader: Duration) -> Self {
        let mut inbound = Inbound::new(FRAME_BYTES_MAX);
        inbound.take(read_already);
        Self { wire: Arc::new(Wire::new(stream)), inbound, answer: Vec::new(), slow_reader }
    }

    /// Waits until something has come; `false`: nothing will any more.
    async fn more(&mut self) -> bool {
        let Self { wire, inbound, .. } = self;
        poll_fn(|cx| {
            let mut buffer = [0; READ_BYTES];
            let count = ready!(wire.stream().poll_read(cx, &mut buffer)).unwrap_or(0);
            inbound.take(&buffer[..count]);
            Poll::Ready(count > 0)
        })
        .await
    }

    /// Answers a ping; one of a client that does not read what is written to it is left unanswered.
    fn pong(&self, payload: &[u8]) {
        if self.wire.has_room() {
            self.wire.put(Frame::control(PONG, payload));
        }
    }
}

impl Transport for WebSocket {
    const NAME: &'static str = "websocket";

    fn outlet(&self) -> Option<Arc<dyn Outlet>> {
        Some(Arc::clone(&self.wire) as _)
    }

    async fn recv(&mut self) -> Received {
        loop {
            match self.inbound.next() {
                Ok(Some(Incoming::Text(text))) => return Received::Text(text),
                Ok(Some(Incoming::Binary)) => return Received::Binary,
                Ok(Some(Incoming::Ping(payload))) => {
                    self.pong(&payload);
                    return Received::Control;
                }
                Ok(Some(Incoming::Pong)) => return Received::Control,
                Ok(Some(Incoming::Close { code, answer })) => {
                    self.answer = answer;
                    return Received::Closed(code);
                }
                Ok(None) if self.more().await => {}
                Ok(None) => return Received::Closed(None),
                Err(violation) => {
                    return Received::Broken { code: violation.code, reason: violation.reason };
                }
            }
        }
    }

    async fn send(&mut self, frame: Frame) -> Result<(), SendError> {
        if self.wire.put(frame) { self.drain().await } else { Ok(()) }
    }

    async fn drain(&mut self) -> Result<(), SendError> {
        self.wire.drain(self.slow_reader).await
    }

    async fn withhold(&mut self) {
        // Whoever does not take it is not waited for by the caller.
        let _ = self.drain().await;
    }

    fn is_behind(&self) -> bool {
        self.wire.intake().is_behind(self.slow_reader)
    }

    fn intake(&self) -> Intake {
        self.wire.intake().clone()
    }

    async fn answer_close(&mut self) {
        self.wire.put(Frame::control(CLOSE, &self.answer));
        let _ = self.wire.drain(CLOSE_WAIT).await;
    }

    async fn close(&mut self, code: CloseCode, reason: &str) {
        let mut end = reason.len().min(REASON_BYTES_MAX);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        let payload = [&code.0.to_be_bytes()[..], &reason.as_bytes()[..end]].concat();
        self.wire.put(Frame::control(CLOSE, &payload));
        let goodbye = async {
            if self.wire.drain(CLOSE_WAIT).await.is_err() {
                return;
            }
            // Until the other side has read it: closing with its bytes unread would reset the connection, and
            // with it the close frame that is still under way.
            loop {
                match self.inbound.next() {
                    Ok(Some(Incoming::Close { .. })) => return,
                    Ok(Some(_)) | Err(_) => {}
                    Ok(None) if self.more().await => {}
                    Ok(None) => return,
                }
            }
        };
        let _ = tokio::time::timeout(CLOSE_WAIT, goodbye).await;
    }
}
