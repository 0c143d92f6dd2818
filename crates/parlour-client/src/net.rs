//! The network, as the client sees it: one trait, so that a simulator can stand in for it.

mod web_socket;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use parlour_wire::CloseCode;

/// The largest frame or answer that is taken from a server: 16 MiB. A page of 100 full messages is far below.
const INBOUND_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long a TCP and TLS handshake of an HTTP call may take.
const HTTP_CONNECT_WAIT: Duration = Duration::from_secs(10);

/// Why nothing came back: the outcome of a request is unknown, that of a dial is "no".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetError(pub String);

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NetError {}

/// Opens connections and asks over HTTP.
///
/// The client bounds both in time by itself, dropping the future; an implementation sets no deadlines.
#[async_trait]
pub trait Net: Send + Sync + 'static {
    /// Opens a transport of frames to this `ws:` or `wss:` URL. No token is in the URL.
    async fn open(&self, url: &str) -> Result<Box<dyn Frames>, NetError>;

    /// Sends one request, and reads the whole answer.
    async fn request(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, NetError>;
}

/// One open transport: JSON texts both ways. Dropping it closes it without a word.
#[async_trait]
pub trait Frames: Send {
    /// Sends one text.
    async fn send(&mut self, text: String) -> Result<(), NetError>;

    /// The next thing that came. Must be cancel-safe: a dropped call loses nothing.
    async fn recv(&mut self) -> Received;

    /// Closes with a code, and returns when the transport is gone.
    async fn close(&mut self, code: CloseCode, reason: &str);
}

/// What came over a transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    Text(String),
    /// The end, by either side; `code` is absent where the transport broke.
    Closed {
        code: Option<CloseCode>,
        reason: String,
    },
}

/// The real network: WebSocket by tungstenite, HTTP by reqwest.
///
/// Neither uses a proxy from the environment: HTTP that works beside a WebSocket that does not is harder
/// to understand than both failing. Redirects are not followed, so that no token goes where it was not meant.
#[derive(Debug)]
pub struct TokioNet {
    http: reqwest::Client,
}

impl TokioNet {
    /// # Errors
    /// The TLS library does not start.
    pub fn new() -> Result<Self, NetError> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(HTTP_CONNECT_WAIT)
            .tcp_nodelay(true)
            .user_agent(concat!("parlour-rust/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| NetError(sentence(&e)))?;
        Ok(Self { http })
    }
}

#[async_trait]
impl Net for TokioNet {
    async fn open(&self, url: &str) -> Result<Box<dyn Frames>, NetError> {
        web_socket::open(url).await
    }

    async fn request(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, NetError> {
        let request = reqwest::Request::try_from(request).map_err(|e| NetError(sentence(&e)))?;
        let mut response = self.http.execute(request).await.map_err(|e| NetError(sentence(&e)))?;
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| NetError(sentence(&e)))? {
            if body.len() + chunk.len() > INBOUND_BYTES_MAX {
                return Err(NetError(format!("the answer is larger than {INBOUND_BYTES_MAX} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        let mut answer = http::Response::new(body.freeze());
        *answer.status_mut() = response.status();
        *answer.headers_mut() = response.headers().clone();
        Ok(answer)
    }
}

/// An error with its causes, which most libraries leave to the reader to dig up.
fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
