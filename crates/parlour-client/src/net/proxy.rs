//! A way through an HTTP proxy: `CONNECT`, and from then on the proxy only moves bytes.

use std::time::Duration;

use reqwest::Url;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{NetError, sentence};

/// When the proxy has not opened the tunnel within this, it is given up.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// The largest head of an answer that is read.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// How every answer begins.
const HTTP: &[u8] = b"HTTP/1.";

/// An HTTP proxy.
#[derive(Debug)]
pub(super) struct Proxy {
    /// `host:port`
    address: String,
}

impl Proxy {
    pub(super) fn parse(text: &str) -> Result<Self, NetError> {
        // The text itself may hold what is nobody's business.
        let refuse =
            |why: &str| NetError(format!("no address of a proxy: {why}; one is http://127.0.0.1:3128"));
        let url = Url::parse(text).map_err(|e| refuse(&e.to_string()))?;
        if url.scheme() != "http" {
            return Err(refuse("it begins with http://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse("credentials are not supported"));
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(refuse("it has no path, query or fragment"));
        }
        Ok(Self { address: host_and_port(&url)? })
    }

    /// The URL again.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Has a tunnel opened to where this `ws:` or `wss:` URL points.
    pub(super) async fn tunnel(&self, url: &str) -> Result<TcpStream, NetError> {
        let url = Url::parse(url).map_err(|e| NetError(sentence(&e)))?;
        let target = host_and_port(&url)?;
        let opened = tokio::time::timeout(ANSWER_WAIT, self.connect(&target)).await;
        opened.unwrap_or_else(|_| Err(NetError(format!("the proxy did not answer within {ANSWER_WAIT:?}"))))
    }

    async fn connect(&self, target: &str) -> Result<TcpStream, NetError> {
        let broken = |e: std::io::Error| NetError(format!("the proxy {}: {}", self.address, sentence(&e)));
        let mut tcp = TcpStream::connect(&self.address).await.map_err(broken)?;
        tcp.set_nodelay(true).map_err(broken)?;
        let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
        tcp.write_all(request.as_bytes()).await.map_err(broken)?;
        let mut head = Vec::new();
        let end = loop {
            if let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            if head.len() >= HEAD_BYTES_MAX {
                return Err(NetError(format!("the proxy's answer is longer than {HEAD_BYTES_MAX} bytes")));
            }
            if tcp.read_buf(&mut head).await.map_err(broken)? == 0 {
                return Err(NetError("the proxy closed the connection instead of an answer".to_owned()));
            }
            // What does not begin like an answer never ends like one.
            if !head.starts_with(&HTTP[..head.len().min(HTTP.len())]) {
                return Err(NetError("the proxy's answer is no HTTP".to_owned()));
            }
        };
        let line = String::from_utf8_lossy(&head[..end]);
        let line = line.lines().next().unwrap_or_default();
        let status = line.split_once(' ').map_or("nothing", |(_, status)| status);
        let code = status.split(' ').next().and_then(|code| code.parse::<u16>().ok());
        if !code.is_some_and(|code| (200..300).contains(&code)) {
            return Err(NetError(format!("the proxy answered {status} to CONNECT {target}")));
        }
        // On the other side nobody speaks before we have.
        if head.len() > end + 4 {
            return Err(NetError("the proxy said more than its answer".to_owned()));
        }
        Ok(tcp)
    }
}

fn host_and_port(url: &Url) -> Result<String, NetError> {
    match (url.host_str(), url.port_or_known_default()) {
        (Some(host), Some(port)) => Ok(format!("{host}:{port}")),
        _ => Err(NetError(format!("{url} names no host"))),
    }
}
