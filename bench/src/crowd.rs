//! The generator: a room full of clients on one thread that never sleeps, and those who speak to it.
//!
//! Every delivery is checked: an event that is lost, doubled or out of order fails the run.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde_json::Value;

use crate::http::Sender;
use crate::websocket::{client_frame, first_frame};

/// When nothing has come for this long and something is still due, it is lost.
const LOST_AFTER: Duration = Duration::from_secs(20);
/// Clients that connect at the same time.
const CONNECTING: usize = 64;

/// What every frame of the room begins with, right before its seq.
pub(crate) const PREFIX: &str = r#"{"type":"event","topic":"channel:messaging:bench","seq":"#;

/// How messages come into the room.
pub(crate) enum Publishers {
    /// A frame on a connection of its own: the floor.
    Frame(TcpStream),
    /// `POST …/messages` on as many connections as messages are under way: the product.
    Http { senders: Vec<Sender>, request: Box<dyn FnMut(usize) -> Vec<u8>> },
}

/// How much is offered.
#[derive(Clone, Copy)]
pub(crate) enum Load {
    /// So many messages per second, evenly spread.
    Paced { messages_per_second: f64 },
    /// The next message as soon as fewer than this many are under way.
    Closed { under_way: usize },
}

/// What came of a run.
pub(crate) struct Outcome {
    pub(crate) deliveries: u64,
    pub(crate) elapsed: Duration,
    /// Bytes of one frame with its header.
    pub(crate) frame_bytes: usize,
}

struct Listener {
    stream: TcpStream,
    /// Bytes of a frame that is not whole yet.
    partial: Vec<u8>,
    /// The last seq that came; `None` before the first.
    last: Option<u64>,
}

/// The clients of one room.
pub(crate) struct Crowd {
    poll: Poll,
    listeners: Vec<Listener>,
    publishers: Option<Publishers>,
    published: u64,
    /// The seq of the first message that was published here, and how many have each from there on.
    base: Option<u64>,
    delivered: Vec<u32>,
    complete: u64,
    deliveries: u64,
    frame_bytes: usize,
    heard_at: Instant,
}

impl Crowd {
    /// Connects one client for each `hello`; without one (the floor), nothing is said and no `ready` is
    /// waited for.
    pub(crate) fn connect(address: SocketAddr, hellos: &[Option<String>]) -> Result<Self> {
        let poll = Poll::new()?;
        let mut listeners = Vec::with_capacity(hellos.len());
        for hellos in hellos.chunks(CONNECTING) {
            for connected in connect_some(address, hellos)? {
                let mut listener = connected;
                poll.registry().register(&mut listener.stream, Token(listeners.len()), Interest::READABLE)?;
                listeners.push(listener);
            }
        }
        Ok(Self {
            poll,
            listeners,
            publishers: None,
            published: 0,
            base: None,
            delivered: Vec::new(),
            complete: 0,
            deliveries: 0,
            frame_bytes: 0,
            heard_at: Instant::now(),
        })
    }

    /// Who speaks to the room.
    pub(crate) fn publish_by(&mut self, mut publishers: Publishers) -> Result<()> {
        let first = self.listeners.len();
        let registry = self.poll.registry();
        match &mut publishers {
            Publishers::Frame(stream) => registry.register(stream, Token(first), Interest::READABLE)?,
            Publishers::Http { senders, .. } => {
                for (at, sender) in senders.iter_mut().enumerate() {
                    registry.register(sender.source(), Token(first + at), Interest::READABLE)?;
                }
            }
        }
        self.publishers = Some(publishers);
        Ok(())
    }

    /// Offers the load for some time, then waits until everything has arrived.
    ///
    /// # Errors
    /// An event is lost, doubled or out of order.
    pub(crate) fn run(&mut self, load: Load, time: Duration) -> Result<Outcome> {
        let (start, before) = (Instant::now(), self.deliveries);
        let published_before = self.published;
        self.heard_at = start;
        let mut events = Events::with_capacity(1_024);
        loop {
            let elapsed = start.elapsed();
            let is_over = elapsed >= time;
            if is_over && self.complete == self.published {
                let deliveries = self.deliveries - before;
                return Ok(Outcome { deliveries, elapsed, frame_bytes: self.frame_bytes });
            }
            let due = match load {
                _ if is_over => 0,
                Load::Closed { under_way } => under_way as u64 - (self.published - self.complete),
                Load::Paced { messages_per_second } => {
                    let due = (elapsed.as_secs_f64() * messages_per_second) as u64;
                    due.saturating_sub(self.published - published_before)
                }
            };
            for _ in 0..due {
                if !self.publish()? {
                    break;
                }
            }
            self.poll.poll(&mut events, Some(Duration::ZERO))?;
            for event in &events {
                self.read(event.token().0)?;
            }
            if self.complete < self.published && self.heard_at.elapsed() > LOST_AFTER {
                let missing = self.published - self.complete;
                bail!("{missing} of {} messages did not reach everybody: lost", self.published);
            }
        }
    }

    /// Publishes the next message, if anybody is free to.
    fn publish(&mut self) -> Result<bool> {
        match self.publishers.as_mut().context("nobody speaks")? {
            Publishers::Frame(stream) => {
                let text =
                    format!(r#","event":{{"type":"message.new","text":"{}"}}}}"#, "x".repeat(FLOOR_TEXT));
                stream.write_all(&client_frame(text.as_bytes()))?;
            }
            Publishers::Http { senders, request } => {
                let Some(at) = senders.iter().position(Sender::is_free) else { return Ok(false) };
                senders[at].send(&request(at))?;
            }
        }
        self.published += 1;
        Ok(true)
    }

    fn read(&mut self, at: usize) -> Result<()> {
        if at >= self.listeners.len() {
            if let Some(Publishers::Http { senders, .. }) = &mut self.publishers {
                senders[at - self.listeners.len()].read()?;
            }
            return Ok(());
        }
        let mut buffer = [0; 64 * 1_024];
        loop {
            let listener = &mut self.listeners[at];
            match listener.stream.read(&mut buffer) {
                Ok(0) => bail!("client {at} was hung up on, after seq {:?}", listener.last),
                Ok(count) => {
                    self.take(at, &buffer[..count])?;
                    // What did not fill the buffer was all there was; more gives an event of its own.
                    if count < buffer.len() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn take(&mut self, at: usize, bytes: &[u8]) -> Result<()> {
        let mut whole = std::mem::take(&mut self.listeners[at].partial);
        let mut rest = if whole.is_empty() {
            bytes
        } else {
            whole.extend_from_slice(bytes);
            &whole
        };
        while let Some(frame) = first_frame(rest)? {
            self.frame(at, frame.opcode, frame.payload, frame.len)?;
            rest = &rest[frame.len..];
        }
        if !rest.is_empty() {
            self.listeners[at].partial = rest.to_vec();
        }
        Ok(())
    }

    fn frame(&mut self, at: usize, opcode: u8, payload: &[u8], frame_len: usize) -> Result<()> {
        if opcode != 1 {
            bail!("client {at} got a frame of the kind {opcode}: {}", String::from_utf8_lossy(payload));
        }
        let Some(rest) = payload.strip_prefix(PREFIX.as_bytes()) else {
            return self.other(at, payload);
        };
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let seq: u64 = std::str::from_utf8(&rest[..digits])?.parse()?;
        let listener = &mut self.listeners[at];
        if listener.last.is_some_and(|last| seq != last + 1) {
            bail!("client {at} got seq {seq} after {:?}: lost, doubled or out of order", listener.last);
        }
        listener.last = Some(seq);
        self.heard_at = Instant::now();
        self.deliveries += 1;
        self.frame_bytes = frame_len;
        let base = *self.base.get_or_insert(seq);
        let place = usize::try_from(seq - base)?;
        if place >= self.delivered.len() {
            self.delivered.resize(place + 1, 0);
        }
        self.delivered[place] += 1;
        if self.delivered[place] as usize == self.listeners.len() {
            self.complete += 1;
        }
        Ok(())
    }

    /// Pings are answered; what the users' own topics say is not counted.
    fn other(&mut self, at: usize, payload: &[u8]) -> Result<()> {
        let frame: Value = serde_json::from_slice(payload)?;
        match frame["type"].as_str() {
            Some("ping") => self.listeners[at].stream.write_all(&client_frame(br#"{"type":"pong"}"#))?,
            Some("error" | "bye" | "reset") => bail!("client {at} was told {frame}"),
            _ => {}
        }
        Ok(())
    }
}

/// Text in the floor's frames, such that they are about as long as the product's for a text of 200 bytes.
const FLOOR_TEXT: usize = 460;

/// Connects some clients together: one request each, one `hello` each, one `ready` each.
fn connect_some(address: SocketAddr, hellos: &[Option<String>]) -> Result<Vec<Listener>> {
    let mut streams = Vec::with_capacity(hellos.len());
    for _ in hellos {
        let mut stream = std::net::TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.write_all(upgrade("/v1/connect").as_bytes())?;
        streams.push(stream);
    }
    let mut buffers = vec![Vec::new(); streams.len()];
    for (stream, buffer) in streams.iter_mut().zip(&mut buffers) {
        upgraded(stream, buffer)?;
    }
    for (stream, hello) in streams.iter_mut().zip(hellos) {
        if let Some(hello) = hello {
            stream.write_all(&client_frame(hello.as_bytes()))?;
        }
    }
    let mut listeners = Vec::with_capacity(streams.len());
    for ((mut stream, mut partial), hello) in streams.into_iter().zip(buffers).zip(hellos) {
        if hello.is_some() {
            ready(&mut stream, &mut partial)?;
        }
        stream.set_nonblocking(true)?;
        listeners.push(Listener { stream: TcpStream::from_std(stream), partial, last: None });
    }
    Ok(listeners)
}

/// A connection that publishes frames to the floor.
pub(crate) fn frame_publisher(address: SocketAddr) -> Result<TcpStream> {
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.write_all(upgrade("/publish").as_bytes())?;
    upgraded(&mut stream, &mut Vec::new())?;
    stream.set_nonblocking(true)?;
    Ok(TcpStream::from_std(stream))
}

fn upgrade(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// Waits for the 101; what comes after it stays in the buffer.
fn upgraded(stream: &mut std::net::TcpStream, buffer: &mut Vec<u8>) -> Result<()> {
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        read_more(stream, buffer)?;
    };
    if !buffer.starts_with(b"HTTP/1.1 101") {
        bail!("no upgrade: {}", String::from_utf8_lossy(buffer));
    }
    buffer.drain(..end);
    Ok(())
}

fn ready(stream: &mut std::net::TcpStream, buffer: &mut Vec<u8>) -> Result<()> {
    loop {
        if let Some(frame) = first_frame(buffer)? {
            let said: Value = serde_json::from_slice(frame.payload)?;
            if said["type"] != "ready" {
                bail!("instead of ready: {said}");
            }
            let len = frame.len;
            buffer.drain(..len);
            return Ok(());
        }
        read_more(stream, buffer)?;
    }
}

fn read_more(stream: &mut std::net::TcpStream, buffer: &mut Vec<u8>) -> Result<()> {
    let mut some = [0; 4_096];
    match stream.read(&mut some)? {
        0 => bail!("the server hung up: {}", String::from_utf8_lossy(buffer)),
        count => buffer.extend_from_slice(&some[..count]),
    }
    Ok(())
}
