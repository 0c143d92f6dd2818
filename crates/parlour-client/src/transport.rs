//! What carries the frames of a connection: a WebSocket, or where none gets through, HTTP.
//!
//! Over HTTP, frames come in answers ([`event_stream`], [`long_poll`]) and go by requests of their own
//! ([`posts`]); [`over_http`] is both together, behind the same trait as a WebSocket.
//!
//! Not here: which transport to take, and when to try another. That is the machine's.

mod event_stream;
mod long_poll;
mod over_http;
mod posts;
mod server_sent;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use parlour_proto::Transport;
use parlour_wire::ConnectionId;

use crate::net::{Frames, Net, NetError};
use event_stream::EventStream;
use long_poll::LongPoll;
use over_http::OverHttp;

/// When a transport is closed, what was said before goes out within this.
pub(crate) const LAST_WORDS_WAIT: Duration = Duration::from_millis(500);

/// Opens a transport to the `ws:` or `wss:` URL where connections begin, without a client around it: for what
/// speaks the protocol itself.
///
/// Over HTTP it opens at once: nothing is sent before the first frame, which has to be `hello`, and which is
/// what the request is made of. A long-poll asks for another one after each answer, by
/// [`Received::WantsHello`].
///
/// [`Received::WantsHello`]: crate::Received::WantsHello
///
/// # Errors
/// The WebSocket does not open, or the URL is not one where connections begin.
pub async fn open_transport(
    transport: Transport,
    net: &Arc<dyn Net>,
    url: &str,
) -> Result<Box<dyn Frames>, NetError> {
    match transport {
        Transport::WebSocket => net.open(url).await,
        Transport::EventStream => {
            let address = Address::of(url)?;
            Ok(Box::new(OverHttp::new(EventStream::new(net, &address), net, address)))
        }
        Transport::LongPoll => {
            let address = Address::of(url)?;
            Ok(Box::new(OverHttp::new(LongPoll::new(net, &address), net, address)))
        }
    }
}

/// Where the server is, over HTTP.
struct Address {
    /// Its `/v1`, without a slash at the end.
    base: String,
}

impl Address {
    /// The one that belongs to a WebSocket's.
    fn of(url: &str) -> Result<Self, NetError> {
        let base = url.strip_suffix("/connect").filter(|base| base.starts_with("ws"));
        let base = base.ok_or_else(|| NetError(format!("{url} is not where connections begin")))?;
        // ws → http, wss → https.
        Ok(Self { base: format!("http{}", &base["ws".len()..]) })
    }

    fn connect(&self) -> String {
        format!("{}/connect", self.base)
    }

    fn frames(&self, connection: &ConnectionId) -> String {
        format!("{}/connections/{connection}/frames", self.base)
    }
}

/// Characters of a body that is told where it is not what was asked for.
const TOLD_CHARS_MAX: usize = 300;

/// What a server, or something before it, answered instead.
fn answered(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> NetError {
    let media = match media_type(headers) {
        Some(media) if status.is_success() => format!(" with {media}"),
        Some(_) | None => String::new(),
    };
    let text: String = String::from_utf8_lossy(body).chars().take(TOLD_CHARS_MAX).collect();
    NetError(format!("the server answered {status}{media}: {text}").trim_end_matches([':', ' ']).to_owned())
}

/// The `Content-Type` without its parameters.
fn media_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::CONTENT_TYPE)?.to_str().ok()?.split(';').next().map(str::trim)
}

/// Whether this is an answer of the kind that was asked for.
fn is_media(status: StatusCode, headers: &HeaderMap, media: &str) -> bool {
    status == StatusCode::OK && media_type(headers).is_some_and(|named| named.eq_ignore_ascii_case(media))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_over_http_is_the_one_of_the_websocket() {
        let address = Address::of("wss://chat.example.com/parlour/v1/connect").unwrap();
        assert_eq!(address.connect(), "https://chat.example.com/parlour/v1/connect");
        let id = ConnectionId::parse("c-7").unwrap();
        assert_eq!(address.frames(&id), "https://chat.example.com/parlour/v1/connections/c-7/frames");
        assert_eq!(Address::of("ws://[::1]/v1/connect").unwrap().connect(), "http://[::1]/v1/connect");
        for bad in ["http://a/v1/connect", "ws://a/v1", ""] {
            assert!(Address::of(bad).is_err(), "{bad:?}");
        }
    }
}
