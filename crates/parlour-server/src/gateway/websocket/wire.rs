//! The writing half of one WebSocket: written to by its gateway, and by the hub's lane without waking the gateway.
//!
//! What waits stands in one row, whoever put it there, and leaves in as few writes as the kernel allows. A connection
//! to which nothing is due keeps no buffer.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::frame::Frame;
use crate::gateway::intake::Intake;
use crate::gateway::{Flushed, Outlet, SendError};

/// Bytes that may wait here, but for the last frame; what is due beyond them waits in the mailbox, which is bounded
/// and leaves out what does not fit.
const WAITING_BYTES_MAX: usize = 64 * 1024;
/// Frames that one write takes.
const SLICES: usize = 64;

/// The stream under a WebSocket: one task waits for it, and others write what can be written without waiting.
pub(crate) trait Stream: Send + Sync {
    /// Writes what is taken now; `WouldBlock`: nothing is.
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;
    fn poll_write(&self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>>;
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;
}

impl Stream for TcpStream {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match slices {
            [one] => Self::try_write(self, one),
            more => self.try_write_vectored(more),
        }
    }

    fn poll_write(&self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_write_ready(cx))?;
            match Stream::try_write(self, slices) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_read_ready(cx))?;
            match self.try_read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read),
            }
        }
    }
}

/// Any other stream, one at a time.
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for Mutex<S> {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.poll_write(&mut Context::from_waker(Waker::noop()), slices) {
            Poll::Ready(written) => written,
            Poll::Pending => Err(ErrorKind::WouldBlock.into()),
        }
    }

    fn poll_write(&self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let stream = &mut *self.lock().unwrap_or_else(PoisonError::into_inner);
        Pin::new(stream).poll_write_vectored(cx, slices)
    }

    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let stream = &mut *self.lock().unwrap_or_else(PoisonError::into_inner);
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }
}

/// One stream, and what is on its way into it.
pub(super) struct Wire {
    stream: Box<dyn Stream>,
    intake: Intake,
    row: Mutex<Row>,
}

#[derive(Default)]
struct Row {
    waiting: VecDeque<Frame>,
    /// Bytes of all that waits.
    bytes: usize,
    /// Bytes of the first that have left.
    left: usize,
    state: State,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    /// The kernel took everything so far.
    #[default]
    Open,
    /// The kernel has taken less than there was: whoever reads at the other end is behind.
    Full,
    Broken,
}

impl Wire {
    pub(super) fn new(stream: Box<dyn Stream>) -> Self {
        Self { stream, intake: Intake::default(), row: Mutex::default() }
    }

    pub(super) fn stream(&self) -> &dyn Stream {
        &*self.stream
    }

    fn row(&self) -> MutexGuard<'_, Row> {
        self.row.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a frame behind the others; answers whether so much waits now that it has to leave first.
    pub(super) fn put(&self, frame: Frame) -> bool {
        let mut row = self.row();
        row.put(frame);
        row.bytes > WAITING_BYTES_MAX
    }

    /// How the other side takes what is written.
    pub(super) fn intake(&self) -> &Intake {
        &self.intake
    }

    /// Waits until everything has left.
    ///
    /// # Errors
    /// Nothing of it has left for longer than `patience`, or the stream is broken.
    pub(super) async fn drain(&self, patience: Duration) -> Result<(), SendError> {
        loop {
            // Whoever is slow but takes something has all the time again.
            match tokio::time::timeout(patience, poll_fn(|cx| self.poll_flush(cx))).await {
                Ok(Flushed::All) => return Ok(()),
                Ok(Flushed::Some { .. }) => {}
                Ok(Flushed::Broken) => return Err(SendError::Gone),
                Err(_) => {
                    // It has to resume: what it has not begun to take would only stand before the close.
                    self.row().forget();
                    return Err(SendError::Stalled);
                }
            }
        }
    }

    /// Lets something leave.
    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<Flushed> {
        match self.row().leave(&self.intake, |slices| self.stream.poll_write(cx, slices)) {
            Flushed::Some { bytes: 0 } => Poll::Pending,
            flushed => Poll::Ready(flushed),
        }
    }
}

impl Outlet for Wire {
    fn has_room(&self) -> bool {
        let row = self.row();
        row.state == State::Open && row.bytes <= WAITING_BYTES_MAX
    }

    fn push(&self, frames: &mut dyn Iterator<Item = &Frame>) {
        let mut row = self.row();
        if row.state != State::Broken {
            frames.for_each(|frame| row.put(frame.clone()));
        }
    }

    fn flush(&self) -> Flushed {
        self.row().leave(&self.intake, |slices| match self.stream.try_write(slices) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
            written => Poll::Ready(written),
        })
    }
}

impl Row {
    fn put(&mut self, frame: Frame) {
        self.bytes += frame.len();
        self.waiting.push_back(frame);
    }

    /// Leaves nothing but the rest of what has begun to leave.
    fn forget(&mut self) {
        self.waiting.truncate(usize::from(self.left > 0));
        self.bytes = self.waiting.front().map_or(0, Frame::len) - self.left;
    }

    /// Writes until nothing waits, or nothing more is taken.
    fn leave(
        &mut self,
        intake: &Intake,
        mut write: impl FnMut(&[IoSlice<'_>]) -> Poll<io::Result<usize>>,
    ) -> Flushed {
        if self.state == State::Broken {
            return Flushed::Broken;
        }
        let before = self.bytes;
        while !self.waiting.is_empty() {
            match self.with_slices(&mut write) {
                Poll::Ready(Ok(count @ 1..)) => {
                    if self.state == State::Full {
                        intake.relieved();
                    }
                    self.has_left(count);
                }
                Poll::Pending => {
                    self.state = State::Full;
                    return Flushed::Some { bytes: before - self.bytes };
                }
                Poll::Ready(Err(error)) if error.kind() == ErrorKind::Interrupted => {}
                Poll::Ready(Ok(0) | Err(_)) => {
                    *self = Self { state: State::Broken, ..Self::default() };
                    return Flushed::Broken;
                }
            }
        }
        *self = Self::default();
        Flushed::All
    }

    fn with_slices<T>(&self, write: impl FnOnce(&[IoSlice<'_>]) -> T) -> T {
        let mut frames = self.waiting.iter().map(Frame::as_websocket);
        let first = frames.next().map(|first| &first[self.left..]);
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut count = 0;
        for (slice, bytes) in slices.iter_mut().zip(first.into_iter().chain(frames)) {
            *slice = IoSlice::new(bytes);
            count += 1;
        }
        write(&slices[..count])
    }

    fn has_left(&mut self, count: usize) {
        self.bytes -= count;
        self.left += count;
        while let Some(first) = self.waiting.front()
            && self.left >= first.len()
        {
            self.left -= first.len();
            self.waiting.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::pin::pin;

    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;
    use tokio::time::Instant;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// A wire, and the other end of it.
    async fn wire() -> (Wire, std::net::TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let other = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        other.set_nonblocking(true).unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        stream.writable().await.unwrap();
        (Wire::new(Box::new(stream)), other)
    }

    /// Everything that has come to the other end.
    fn read(other: &mut std::net::TcpStream) -> Vec<u8> {
        let mut bytes = Vec::new();
        // It ends with an error: nothing more is there now.
        let _ = other.read_to_end(&mut bytes);
        bytes
    }

    /// Lets a future go on as far as it can now.
    async fn once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
        std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
    }

    fn frames(count: usize) -> Vec<Frame> {
        (0..count).map(|n| Frame::from(&*format!("{n}{}", "x".repeat(n % 3_000)))).collect()
    }

    fn bytes(frames: &[Frame]) -> Vec<u8> {
        frames.iter().flat_map(Frame::as_websocket).copied().collect()
    }

    #[tokio::test]
    async fn what_waits_leaves_whole_and_in_order_however_little_is_taken_at_once() {
        let (wire, mut other) = wire().await;
        let all = frames(10_000);
        let mut got = Vec::new();
        for some in all.chunks(700) {
            wire.push(&mut some.iter());
            if wire.flush() != Flushed::All {
                assert!(!wire.has_room(), "what is due now waits elsewhere");
            }
            got.extend(read(&mut other));
        }
        while !got.ends_with(all[9_999].as_websocket()) {
            let mut drained = pin!(wire.drain(PATIENCE));
            let _ = once(drained.as_mut()).await;
            got.extend(read(&mut other));
            tokio::task::yield_now().await;
        }
        assert!(got == bytes(&all), "{} of {}", got.len(), bytes(&all).len());
        assert!(wire.has_room());
        assert_eq!(wire.row().waiting.capacity(), 0, "nothing is kept for nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_is_waited_for_and_a_stalled_one_is_given_up_l6_41() {
        let (stream, mut other) = tokio::io::duplex(16 * 1024);
        let wire = Wire::new(Box::new(Mutex::new(stream)));
        let all = frames(600);
        wire.push(&mut all.iter());
        let (expected, mut got) = (bytes(&all), Vec::new());
        let mut drained = pin!(wire.drain(PATIENCE));
        while got.len() < expected.len() / 2 {
            assert_eq!(once(drained.as_mut()).await, Poll::Pending, "after {} bytes", got.len());
            tokio::time::advance(PATIENCE * 9 / 10).await;
            let mut some = [0; 1_000];
            let count = other.read(&mut some).await.unwrap();
            got.extend(&some[..count]);
        }
        let began = Instant::now();
        assert_eq!(drained.await, Err(SendError::Stalled));
        assert_eq!(began.elapsed(), PATIENCE);
        // The frame that it has begun to take, and then why it takes no more.
        wire.put(Frame::from("why"));
        let reading = async {
            while !got.ends_with(b"why") {
                let mut some = [0; 1_000];
                let count = other.read(&mut some).await.unwrap();
                got.extend(&some[..count]);
            }
        };
        assert_eq!(tokio::join!(wire.drain(PATIENCE), reading).0, Ok(()));
        let whole = got.len() - Frame::from("why").len();
        assert!(expected.starts_with(&got[..whole]) && whole < expected.len());
        let is_whole = (0..all.len()).any(|count| bytes(&all[..count]).len() == whole);
        assert!(is_whole, "{whole} bytes are no whole frames");
    }

    #[tokio::test]
    async fn a_broken_wire_says_so_and_keeps_nothing() {
        let (wire, other) = wire().await;
        drop(other);
        let all = frames(10);
        let broken = loop {
            wire.push(&mut all.iter());
            match wire.flush() {
                Flushed::All => tokio::task::yield_now().await,
                flushed => break flushed,
            }
        };
        assert_eq!(broken, Flushed::Broken);
        wire.push(&mut all.iter());
        assert!(!wire.has_room());
        assert_eq!(wire.row().waiting.len(), 0);
        assert_eq!(wire.drain(PATIENCE).await, Err(SendError::Gone));
    }
}
