//! The network, as the client sees it: one trait, so that a simulator can stand in for it.

mod proxy;
mod web_socket;

use std::fmt;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use parlour_wire::CloseCode;
use proxy::Proxy;

/// The largest frame or answer that is taken from a server: 16 MiB. A page of 100 full messages is far below.
pub(crate) const INBOUND_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long a TCP and TLS handshake of an HTTP call may take, with a proxy on the way too.
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

    /// Sends one request, and gives the answer as soon as its head is there: the body is read as it comes.
    ///
    /// A network that carries no streams says so: then there is no event stream on it.
    async fn stream(
        &self,
        _request: http::Request<Bytes>,
    ) -> Result<http::Response<Box<dyn Body>>, NetError> {
        Err(NetError("this network carries no streams".to_owned()))
    }

    /// The link was found dead, and with it what else went the same way: nothing that is open is used again.
    ///
    /// Without this the next requests would be given connections from before, and each would wait for its timeout.
    fn forget(&self) {}
}

/// The body of an answer, piece by piece. Dropping it ends the request.
#[async_trait]
pub trait Body: Send {
    /// The next piece; `None` at the end. Must be cancel-safe: a dropped call loses nothing.
    async fn chunk(&mut self) -> Result<Option<Bytes>, NetError>;
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
    /// A long-poll's answer is over; the connection goes on with the next `hello`.
    WantsHello,
    /// The end, by either side; `code` is absent where the transport broke.
    Closed {
        code: Option<CloseCode>,
        reason: String,
    },
}

/// The real network: WebSocket by tungstenite, HTTP by reqwest.
///
/// Neither uses a proxy from the environment: HTTP that works beside a WebSocket that does not is harder
/// to understand than both failing. One that is [named](TokioNetBuilder::proxy) serves both. Redirects are not
/// followed, so that no token goes where it was not meant.
#[derive(Debug)]
pub struct TokioNet {
    /// Replaced with all the connections that it keeps.
    http: RwLock<reqwest::Client>,
    proxy: Option<Proxy>,
}

/// What a [`TokioNet`] is made of.
#[derive(Debug, Default)]
pub struct TokioNetBuilder {
    proxy: Option<String>,
}

impl TokioNet {
    /// # Errors
    /// The TLS library does not start.
    pub fn new() -> Result<Self, NetError> {
        Self::builder().build()
    }

    pub fn builder() -> TokioNetBuilder {
        TokioNetBuilder::default()
    }
}

impl TokioNetBuilder {
    /// Everything goes through the HTTP proxy at this `http://host:port`; WebSockets (and calls over TLS) by
    /// `CONNECT`, which some proxies allow for port 443 alone. Default: none. Credentials are not supported.
    #[must_use]
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.proxy = Some(url.into());
        self
    }

    /// # Errors
    /// An address of a proxy that is none. The TLS library does not start.
    pub fn build(self) -> Result<TokioNet, NetError> {
        let proxy = self.proxy.as_deref().map(Proxy::parse).transpose()?;
        Ok(TokioNet { http: RwLock::new(http_client(proxy.as_ref())?), proxy })
    }
}

fn http_client(proxy: Option<&Proxy>) -> Result<reqwest::Client, NetError> {
    let http = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(HTTP_CONNECT_WAIT)
        .tcp_nodelay(true)
        .user_agent(concat!("parlour-rust/", env!("CARGO_PKG_VERSION")));
    let http = match proxy {
        Some(proxy) => http.proxy(reqwest::Proxy::all(proxy.url()).map_err(|e| NetError(sentence(&e)))?),
        None => http.no_proxy(),
    };
    http.build().map_err(|e| NetError(sentence(&e)))
}

#[async_trait]
impl Net for TokioNet {
    async fn open(&self, url: &str) -> Result<Box<dyn Frames>, NetError> {
        match &self.proxy {
            None => web_socket::open(url).await,
            Some(proxy) => web_socket::open_over(proxy.tunnel(url).await?, url).await,
        }
    }

    async fn request(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, NetError> {
        let (head, mut body) = self.stream(request).await?.into_parts();
        let mut whole = BytesMut::new();
        while let Some(chunk) = body.chunk().await? {
            if whole.len() + chunk.len() > INBOUND_BYTES_MAX {
                return Err(NetError(format!("the answer is larger than {INBOUND_BYTES_MAX} bytes")));
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(http::Response::from_parts(head, whole.freeze()))
    }

    async fn stream(&self, request: http::Request<Bytes>) -> Result<http::Response<Box<dyn Body>>, NetError> {
        let request = reqwest::Request::try_from(request).map_err(|e| NetError(sentence(&e)))?;
        let http = self.http.read().unwrap_or_else(PoisonError::into_inner).clone();
        let response = http.execute(request).await.map_err(|e| NetError(sentence(&e)))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut answer = http::Response::new(Box::new(HttpBody(response)) as Box<dyn Body>);
        *answer.status_mut() = status;
        *answer.headers_mut() = headers;
        Ok(answer)
    }

    fn forget(&self) {
        // One that is not to be had leaves the old one, which is slow and not wrong.
        if let Ok(http) = http_client(self.proxy.as_ref()) {
            *self.http.write().unwrap_or_else(PoisonError::into_inner) = http;
        }
    }
}

struct HttpBody(reqwest::Response);

#[async_trait]
impl Body for HttpBody {
    async fn chunk(&mut self) -> Result<Option<Bytes>, NetError> {
        self.0.chunk().await.map_err(|e| NetError(sentence(&e)))
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
