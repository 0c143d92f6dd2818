//! The TCP stream of one client, as hyper sees it: it gives up on one who takes nothing, lets [`Heads`] see what
//! comes, and puts an error that says something in the place of hyper's own empty one.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use parlour_wire::error::ErrorResponse;
use parlour_wire::{ErrorBody, ErrorCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::heads::{Doubt, Heads};
use crate::gateway::intake::Intake;
use crate::node::Node;

/// One client's stream.
pub(crate) struct Peer<S> {
    stream: S,
    address: IpAddr,
    stall: Duration,
    intake: Intake,
    /// When the peer has taken nothing since a write first had to wait; the sleep ends when patience does.
    pending_since: Option<Pin<Box<Sleep>>>,
    heads: Heads,
    doubt: Arc<Doubt>,
    node: Arc<Node>,
    /// Whether there is room for so many bytes more.
    takes: Box<dyn Fn(usize) -> bool + Send + Sync>,
    /// What is being written in the place of what hyper said.
    refusal: Option<Refusal>,
}

struct Refusal {
    bytes: Vec<u8>,
    written: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    pub(super) fn new(
        stream: S,
        address: IpAddr,
        stall: Duration,
        intake: Intake,
        doubt: Arc<Doubt>,
        node: Arc<Node>,
        takes: impl Fn(usize) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            stream,
            address,
            stall,
            intake,
            pending_since: None,
            heads: Heads::default(),
            doubt,
            node,
            takes: Box::new(takes),
            refusal: None,
        }
    }

    /// What is left when HTTP is over.
    pub(crate) fn into_stream(self) -> S {
        self.stream
    }

    fn judge<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            if self.pending_since.take().is_some() && matches!(result, Poll::Ready(Ok(_))) {
                self.intake.relieved();
            }
            return result;
        }
        let stall = self.stall;
        let sleep = self
            .pending_since
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + stall)));
        match sleep.as_mut().poll(cx) {
            Poll::Ready(()) => {
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer takes nothing")))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// Writes our words for hyper's.
    fn poll_refuse(&mut self, cx: &mut Context<'_>, hypers: &[u8]) -> Poll<io::Result<usize>> {
        let mut refusal = match self.refusal.take() {
            Some(refusal) => refusal,
            None => Refusal { bytes: self.refusal_for(hypers), written: 0 },
        };
        while refusal.written < refusal.bytes.len() {
            let result = Pin::new(&mut self.stream).poll_write(cx, &refusal.bytes[refusal.written..]);
            match self.judge(cx, result) {
                Poll::Ready(Ok(count @ 1..)) => refusal.written += count,
                Poll::Pending => {
                    self.refusal = Some(refusal);
                    return Poll::Pending;
                }
                over @ Poll::Ready(_) => return over,
            }
        }
        Poll::Ready(Ok(hypers.len()))
    }

    /// hyper's head, with our error as its body.
    fn refusal_for(&self, hypers: &[u8]) -> Vec<u8> {
        let head = String::from_utf8_lossy(hypers);
        let mut error = match head.split(' ').nth(1) {
            Some("431") => ErrorCode::HeadersTooLarge.error(),
            Some("414") => ErrorCode::UriTooLong.error(),
            _ => ErrorCode::InvalidInput
                .because("This is no request of HTTP/1.1, or one that can be read in two ways."),
        };
        error.request_id = self.node.next_request();
        let (address, ErrorBody { request_id, code, .. }) = (self.address, &error);
        tracing::debug!(%request_id, %address, code, "what came is no request");
        let kept = head.trim_end().split("\r\n").filter(|line| !line.starts_with("content-length:"));
        let mut answer = kept.collect::<Vec<_>>().join("\r\n");
        let id = format!("\r\nx-request-id: {request_id}");
        let body = serde_json::to_string(&ErrorResponse { error }).unwrap_or_default();
        answer += &id;
        answer += "\r\nx-content-type-options: nosniff\r\ncontent-type: application/json";
        answer += &format!("\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        answer.into_bytes()
    }
}

/// Whether these bytes are the answer that hyper gives by itself to what it cannot read: every answer of ours names
/// its request. What is no answer's beginning (the rest of a body, a frame) does not look like this either: no body
/// that we send has a line of its own that reads `HTTP/1.1 4…`.
fn is_hypers_own(bytes: &[u8]) -> bool {
    let is_refusal = bytes.starts_with(b"HTTP/1.") && bytes.get(9) == Some(&b'4');
    let names_request = |head: &[u8]| head.windows(14).any(|window| window == b"\r\nx-request-id");
    is_refusal && bytes.ends_with(b"\r\n\r\n") && !names_request(bytes)
}

impl<S: AsyncRead + Unpin> AsyncRead for Peer<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let read = buf.filled().len() - before;
        if !(self.takes)(read) {
            tracing::warn!(address = %self.address, "closed: too much came from this address of which nobody knows whose it is");
            let why = "too much came before it was known from whom";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::QuotaExceeded, why)));
        }
        if let Some(request) = self.heads.read(&buf.filled()[before..]) {
            self.doubt.about(request);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Peer<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(first) = slices.first()
            && (self.refusal.is_some() || is_hypers_own(first))
        {
            return self.poll_refuse(cx, first);
        }
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.judge(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_that_names_no_request_is_hypers_own() {
        let own =
            b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        assert!(is_hypers_own(own));
        for ours in [
            &b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\nx-request-id: r7\r\n\r\n"[..],
            b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}",
            b"HTTP/1.1 100 Continue\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"\x81\x02{}",
            b"",
        ] {
            assert!(!is_hypers_own(ours), "{}", String::from_utf8_lossy(ours));
        }
    }
}
