//! The event stream: frames in the body of one answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use http::header;

use super::over_http::{Answers, Came};
use super::posts::Posts;
use super::server_sent::Events;
use super::{Address, TOLD_CHARS_MAX, answered, is_media};
use crate::net::{Body, INBOUND_BYTES_MAX, Net, NetError};

const MEDIA_TYPE: &str = "text/event-stream";
/// How long the body of another answer is waited for: it is told, not needed.
const REFUSAL_WAIT: Duration = Duration::from_secs(1);

/// The answer that the frames come in.
pub(super) struct EventStream {
    net: Arc<dyn Net>,
    url: String,
    now: Now,
}

enum Now {
    WaitsForHello,
    Asked(BoxFuture<'static, Result<Box<dyn Body>, NetError>>),
    Comes { body: Box<dyn Body>, events: Events },
    Over,
}

impl EventStream {
    pub(super) fn new(net: &Arc<dyn Net>, address: &Address) -> Self {
        Self { net: Arc::clone(net), url: address.connect(), now: Now::WaitsForHello }
    }
}

impl Answers for EventStream {
    fn waits_for_hello(&self) -> bool {
        matches!(self.now, Now::WaitsForHello)
    }

    fn is_listening(&self) -> bool {
        matches!(self.now, Now::Asked(_) | Now::Comes { .. })
    }

    fn ask(&mut self, hello: String, _: &mut Posts) {
        self.now = Now::Asked(Box::pin(ask(Arc::clone(&self.net), self.url.clone(), hello)));
    }

    async fn next(&mut self) -> Came {
        loop {
            match &mut self.now {
                Now::WaitsForHello | Now::Over => std::future::pending().await,
                Now::Asked(answer) => match answer.await {
                    Ok(body) => self.now = Now::Comes { body, events: Events::new(INBOUND_BYTES_MAX) },
                    Err(error) => return self.end(error),
                },
                Now::Comes { body, events } => match events.next() {
                    Some(Ok(text)) => return Came::Frames(vec![text]),
                    Some(Err(error)) => return self.end(error),
                    None => match body.chunk().await {
                        Ok(Some(piece)) => events.feed(piece),
                        Ok(None) => return self.end(NetError("the event stream broke off".to_owned())),
                        Err(error) => return self.end(error),
                    },
                },
            }
        }
    }

    fn stop(&mut self) {
        self.now = Now::Over;
    }
}

impl EventStream {
    fn end(&mut self, error: NetError) -> Came {
        self.now = Now::Over;
        Came::End(error)
    }
}

async fn ask(net: Arc<dyn Net>, url: String, hello: String) -> Result<Box<dyn Body>, NetError> {
    let request = http::Request::post(url)
        .header(header::ACCEPT, MEDIA_TYPE)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Bytes::from(hello))
        .map_err(|e| NetError(e.to_string()))?;
    let (head, mut body) = net.stream(request).await?.into_parts();
    if is_media(head.status, &head.headers, MEDIA_TYPE) {
        return Ok(body);
    }
    let mut text = BytesMut::new();
    let reading = async {
        // A character has four bytes at most.
        while text.len() < 4 * TOLD_CHARS_MAX
            && let Ok(Some(piece)) = body.chunk().await
        {
            text.extend_from_slice(&piece);
        }
    };
    let _ = tokio::time::timeout(REFUSAL_WAIT, reading).await;
    Err(answered(head.status, &head.headers, &text))
}
