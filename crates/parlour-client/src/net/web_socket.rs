//! Frames over a WebSocket, by tungstenite.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::{SinkExt, StreamExt};
use parlour_wire::CloseCode;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::{Frames, INBOUND_BYTES_MAX, NetError, Received, sentence};

/// How long a closing handshake may take before the socket is dropped.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

/// Opens one at this `ws:` or `wss:` URL.
pub(super) async fn open(url: &str) -> Result<Box<dyn Frames>, NetError> {
    frames(tokio_tungstenite::connect_async_with_config(url, Some(config()), true).await)
}

/// Opens one at this URL, over a way that leads there already.
pub(super) async fn open_over(tcp: TcpStream, url: &str) -> Result<Box<dyn Frames>, NetError> {
    frames(tokio_tungstenite::client_async_tls_with_config(url, tcp, Some(config()), None).await)
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

fn frames(opened: tungstenite::Result<(Socket, Response)>) -> Result<Box<dyn Frames>, NetError> {
    let (socket, _) = opened.map_err(|e| NetError(refusal(&e)))?;
    Ok(Box::new(WebSocketFrames { socket }))
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(INBOUND_BYTES_MAX))
        .max_frame_size(Some(INBOUND_BYTES_MAX))
        .read_buffer_size(8 * 1024)
        .write_buffer_size(0)
}

struct WebSocketFrames {
    socket: Socket,
}

#[async_trait]
impl Frames for WebSocketFrames {
    async fn send(&mut self, text: String) -> Result<(), NetError> {
        self.socket.send(Message::text(text)).await.map_err(|e| NetError(sentence(&e)))
    }

    async fn recv(&mut self) -> Received {
        loop {
            return match self.socket.next().await {
                Some(Ok(Message::Text(text))) => Received::Text(text.as_str().to_owned()),
                Some(Ok(Message::Close(frame))) => closed(frame),
                // Frames are texts; ping and pong of the transport are answered below us.
                Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {
                    continue;
                }
                Some(Err(error)) => Received::Closed { code: None, reason: sentence(&error) },
                None => Received::Closed { code: None, reason: "the connection ended".to_owned() },
            };
        }
    }

    async fn close(&mut self, code: CloseCode, reason: &str) {
        let frame = CloseFrame { code: code.0.into(), reason: reason.to_owned().into() };
        // Half a closing handshake is as good as a whole one here: the socket is dropped either way.
        let _ = tokio::time::timeout(CLOSE_WAIT, async {
            if self.socket.close(Some(frame)).await.is_ok() {
                while let Some(Ok(_)) = self.socket.next().await {}
            }
        })
        .await;
    }
}

fn closed(frame: Option<CloseFrame>) -> Received {
    match frame {
        Some(frame) => Received::Closed {
            code: Some(CloseCode(frame.code.into())),
            reason: frame.reason.as_str().to_owned(),
        },
        None => Received::Closed { code: None, reason: "closed without a code".to_owned() },
    }
}

/// A failed upgrade, with the server's own words where it sent some.
fn refusal(error: &tungstenite::Error) -> String {
    let tungstenite::Error::Http(response) = error else { return sentence(error) };
    let status = response.status();
    let body = response.body().as_deref().unwrap_or_default();
    let text = String::from_utf8_lossy(&body[..body.len().min(500)]).into_owned();
    format!("the server answered {status} instead of opening a WebSocket {text}").trim_end().to_owned()
}
