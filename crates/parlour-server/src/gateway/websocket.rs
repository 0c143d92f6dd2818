//! The WebSocket transport: the only place that knows the codec.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket as Socket};
use futures_util::SinkExt;
use parlour_wire::CloseCode;
use tungstenite::error::{CapacityError, ProtocolError};

use super::intake::Intake;
use super::{Received, SendError, Transport};
use crate::mailbox::Frame;

/// After our close frame, the other side has this long to answer it.
const CLOSE_WAIT: Duration = Duration::from_secs(2);
/// A close reason is at most this many bytes, says the standard.
const REASON_BYTES_MAX: usize = 123;

/// One upgraded WebSocket.
pub struct WebSocket {
    socket: Socket,
    intake: Intake,
    slow_reader: Duration,
}

impl WebSocket {
    pub(crate) fn new(socket: Socket, intake: Intake, slow_reader: Duration) -> Self {
        Self { socket, intake, slow_reader }
    }
}

impl Transport for WebSocket {
    const NAME: &'static str = "websocket";

    async fn recv(&mut self) -> Received {
        match self.socket.recv().await {
            Some(Ok(Message::Text(text))) => Received::Text(text),
            Some(Ok(Message::Binary(_))) => Received::Binary,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Received::Control,
            Some(Ok(Message::Close(frame))) => Received::Closed(frame.map(|frame| CloseCode(frame.code))),
            None => Received::Closed(None),
            Some(Err(error)) => broken(error),
        }
    }

    async fn send(&mut self, frame: Frame) -> Result<(), SendError> {
        let sending = self.socket.send(Message::Text(frame));
        self.intake.wait_for(sending, self.slow_reader).await?.map_err(|_| SendError::Gone)
    }

    fn intake(&self) -> Intake {
        self.intake.clone()
    }

    fn is_behind(&self) -> bool {
        self.intake.is_behind(self.slow_reader)
    }

    async fn answer_close(&mut self) {
        // The codec has made the answer, and keeps it until it is asked to write.
        let _ = tokio::time::timeout(CLOSE_WAIT, self.socket.flush()).await;
    }

    async fn close(&mut self, code: CloseCode, reason: &str) {
        let mut end = reason.len().min(REASON_BYTES_MAX);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        let frame = CloseFrame { code: code.0, reason: reason[..end].into() };
        let goodbye = async {
            if self.socket.send(Message::Close(Some(frame))).await.is_err() {
                return;
            }
            // Until the other side has read it: closing with its bytes unread would reset the connection, and
            // with it the close frame that is still under way.
            while let Some(Ok(message)) = self.socket.recv().await {
                if matches!(message, Message::Close(_)) {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(CLOSE_WAIT, goodbye).await;
    }
}

/// What the other side did wrong, as the close code that says so.
fn broken(error: axum::Error) -> Received {
    let Ok(error) = error.into_inner().downcast::<tungstenite::Error>() else {
        return Received::Closed(None);
    };
    let (code, reason) = match *error {
        tungstenite::Error::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
            (CloseCode::TOO_BIG, format!("a frame of {size} bytes; the limit is {max_size}"))
        }
        tungstenite::Error::Capacity(error) => (CloseCode::TOO_BIG, error.to_string()),
        tungstenite::Error::Utf8(_) => (CloseCode::NOT_UTF8, "a text that is not UTF-8".to_owned()),
        tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            return Received::Closed(None);
        }
        tungstenite::Error::Protocol(error) => (CloseCode::PROTOCOL_ERROR, error.to_string()),
        _ => return Received::Closed(None),
    };
    Received::Broken { code, reason }
}
