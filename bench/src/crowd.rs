//! The generator: rooms full of clients on one thread, and those who speak to them.
//!
//! Every delivery is checked: an event that is lost, doubled or out of order fails the run.

use std::io::{ErrorKind, Read as _, Write as _};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::dial::Dialled;
use crate::order::{Ear, Ledger, number_in, text};
use crate::protocol::{Kind, Protocol};
use crate::speakers::{Acknowledged, Speakers};

/// When nothing has come for this long and something is still due, it is lost.
const LOST_AFTER: Duration = Duration::from_secs(20);
/// Messages under way that a load of so many per second has at most, in seconds of that load: a server that is
/// further behind does not keep up.
const BEHIND_MAX_S: f64 = 2.0;
/// Tokens of speakers begin here.
const SPEAKERS: usize = 1 << 32;

/// How much is offered.
#[derive(Clone, Copy)]
pub(crate) enum Load {
    /// So many messages per second, evenly spread.
    Paced { messages_per_second: f64 },
    /// The next message as soon as fewer than this many are under way.
    Closed { under_way: usize },
}

/// What the generator does while nothing has come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Idle {
    /// It looks again: the core is its own.
    Spin,
    /// It sleeps: the server shares the core.
    Sleep,
}

/// What came of a run.
pub(crate) struct Outcome {
    pub(crate) sent: u64,
    pub(crate) deliveries: u64,
    pub(crate) elapsed: Duration,
    /// Bytes of one frame with its header.
    pub(crate) frame_bytes: usize,
    /// Microseconds from the send to each delivery.
    pub(crate) latency: Histogram<u64>,
    /// Microseconds from the send to its acknowledgement.
    pub(crate) acknowledged: Histogram<u64>,
}

/// A turn to come back that a client was given.
pub(crate) struct Turn {
    pub(crate) room: u32,
    pub(crate) at: Instant,
}

struct Listener {
    stream: TcpStream,
    /// Bytes of a frame that is not whole yet.
    partial: Vec<u8>,
    ear: Ear,
    state: Listening,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Listening {
    Reads,
    /// It leaves everything where it is.
    Stalls,
    /// It was told that the server goes away.
    Drained,
}

/// Clients in their rooms.
pub(crate) struct Crowd<'a> {
    protocol: &'a dyn Protocol,
    poll: Poll,
    idle: Idle,
    listeners: Vec<Listener>,
    /// How many hear what is said in each room.
    hearing: Vec<u32>,
    speakers: Speakers,
    /// Bytes of a message's text.
    text_len: usize,
    pub(crate) ledger: Ledger,
    turns: Vec<Turn>,
    deliveries: u64,
    frame_bytes: usize,
    latency: Histogram<u64>,
    acknowledged: Histogram<u64>,
    heard_at: Instant,
}

fn microseconds() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 120_000_000, 3)?)
}

impl<'a> Crowd<'a> {
    /// Clients that have dialled, and those who speak to them texts of so many bytes.
    pub(crate) fn new(
        protocol: &'a dyn Protocol,
        dialled: Vec<Dialled>,
        mut speakers: Speakers,
        text_len: usize,
    ) -> Result<Self> {
        let poll = Poll::new()?;
        speakers.register(poll.registry(), SPEAKERS)?;
        let mut crowd = Self {
            protocol,
            poll,
            idle: Idle::Spin,
            listeners: Vec::with_capacity(dialled.len()),
            hearing: Vec::new(),
            speakers,
            text_len,
            ledger: Ledger::default(),
            turns: Vec::new(),
            deliveries: 0,
            frame_bytes: 0,
            latency: microseconds()?,
            acknowledged: microseconds()?,
            heard_at: Instant::now(),
        };
        for dialled in dialled {
            let ear = Ear::new(dialled.seat.room);
            crowd.add(dialled, ear)?;
        }
        Ok(crowd)
    }

    /// One more, who has heard this so far.
    pub(crate) fn add(&mut self, dialled: Dialled, ear: Ear) -> Result<()> {
        let Dialled { mut stream, partial, .. } = dialled;
        let at = self.listeners.len();
        self.poll.registry().register(&mut stream, Token(at), Interest::READABLE)?;
        let room = ear.room() as usize;
        if self.hearing.len() <= room {
            self.hearing.resize(room + 1, 0);
        }
        self.hearing[room] += 1;
        self.listeners.push(Listener { stream, partial: Vec::new(), ear, state: Listening::Reads });
        self.take(at, &partial)
    }

    pub(crate) fn sleeps(mut self) -> Self {
        self.idle = Idle::Sleep;
        self
    }

    /// The first so many stop reading; the others do not wait for them.
    pub(crate) fn stall(&mut self, count: usize) {
        for listener in self.listeners.iter_mut().take(count) {
            listener.state = Listening::Stalls;
            self.hearing[listener.ear.room() as usize] -= 1;
        }
    }

    /// Offers the load for some time, then waits until everything has arrived.
    ///
    /// # Errors
    /// An event is lost, doubled or out of order.
    pub(crate) fn run(&mut self, load: Load, time: Duration) -> Result<Outcome> {
        let (start, before) = (Instant::now(), self.deliveries);
        let sent_before = self.ledger.sent();
        (self.latency, self.acknowledged) = (microseconds()?, microseconds()?);
        self.heard_at = start;
        loop {
            let elapsed = start.elapsed();
            let is_over = elapsed >= time;
            if is_over && self.ledger.under_way() == 0 && self.speakers.are_free() {
                return Ok(Outcome {
                    sent: (self.ledger.sent() - sent_before) as u64,
                    deliveries: self.deliveries - before,
                    elapsed,
                    frame_bytes: self.frame_bytes,
                    latency: std::mem::replace(&mut self.latency, microseconds()?),
                    acknowledged: std::mem::replace(&mut self.acknowledged, microseconds()?),
                });
            }
            let due = match load {
                _ if is_over => 0,
                Load::Closed { under_way } => under_way.saturating_sub(self.ledger.under_way()),
                Load::Paced { messages_per_second } => {
                    let due = (elapsed.as_secs_f64() * messages_per_second) as usize;
                    let behind_max = (messages_per_second * BEHIND_MAX_S) as usize + 1;
                    let room = behind_max.saturating_sub(self.ledger.under_way());
                    due.saturating_sub(self.ledger.sent() - sent_before).min(room)
                }
            };
            for _ in 0..due {
                if !self.speak()? {
                    break;
                }
            }
            self.turn()?;
            if self.ledger.under_way() > 0 && self.heard_at.elapsed() > LOST_AFTER {
                bail!(
                    "{} of {} messages did not reach everybody: lost",
                    self.ledger.under_way(),
                    self.ledger.sent()
                );
            }
        }
    }

    /// Reads what has come.
    pub(crate) fn turn(&mut self) -> Result<()> {
        let mut events = Events::with_capacity(1_024);
        let wait = match self.idle {
            Idle::Spin => Duration::ZERO,
            Idle::Sleep => Duration::from_millis(1),
        };
        self.poll.poll(&mut events, Some(wait))?;
        for event in &events {
            match event.token().0 {
                at if at >= SPEAKERS => self.read_speaker(at - SPEAKERS)?,
                at => self.read(at)?,
            }
        }
        Ok(())
    }

    /// Reads until the server has told everybody when to come back, and hung up.
    pub(crate) fn drained(mut self) -> Result<Vec<Turn>> {
        let begun = Instant::now();
        while self.turns.len() < self.listeners.len() {
            self.turn()?;
            if begun.elapsed() > LOST_AFTER {
                let missing = self.listeners.len() - self.turns.len();
                bail!("{missing} clients were not told when to come back");
            }
        }
        Ok(self.turns)
    }

    /// Sends the next message, if anybody is free to.
    fn speak(&mut self) -> Result<bool> {
        let Some(speaker) = self.speakers.next(self.listeners.len()) else { return Ok(false) };
        let room = match &self.speakers {
            Speakers::Listeners { .. } => self.listeners[speaker].ear.room(),
            Speakers::Apart { room, .. } => *room,
            Speakers::Http(pool) => pool.room_of(speaker),
        };
        let receivers = self.hearing.get(room as usize).copied().unwrap_or(0);
        let now = Instant::now();
        let number = self.ledger.send(u32::try_from(speaker)?, room, receivers, now)?;
        let text = text(number, self.text_len);
        match &mut self.speakers {
            Speakers::Listeners { .. } => {
                self.listeners[speaker].stream.write_all(&self.protocol.speak(room, &text))?;
            }
            Speakers::Apart { stream, .. } => stream.write_all(&self.protocol.speak(room, &text))?,
            Speakers::Http(pool) => {
                let token = Token(SPEAKERS + speaker);
                pool.send(speaker, number, &text, self.poll.registry(), token)?;
            }
        }
        Ok(true)
    }

    fn read_speaker(&mut self, at: usize) -> Result<()> {
        let Some(Acknowledged { number }) = self.speakers.read(at)? else { return Ok(()) };
        let sent_at = self.ledger.sent_at(number).context("an answer to nothing")?;
        self.acknowledged.record(sent_at.elapsed().as_micros() as u64)?;
        self.ledger.acknowledge(number);
        self.heard_at = Instant::now();
        Ok(())
    }

    fn read(&mut self, at: usize) -> Result<()> {
        let mut buffer = [0; 64 * 1_024];
        loop {
            let listener = &mut self.listeners[at];
            if listener.state == Listening::Stalls {
                return Ok(());
            }
            match listener.stream.read(&mut buffer) {
                Ok(0) if listener.state == Listening::Drained => return Ok(()),
                Ok(0) => bail!("client {at} was hung up on"),
                Ok(count) => {
                    self.take(at, &buffer[..count]).with_context(|| format!("client {at}"))?;
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
        let now = Instant::now();
        while let Some(frame) = self.protocol.frame(rest)? {
            match frame.kind {
                Kind::Message { place } => {
                    let number = number_in(frame.payload)?;
                    let took = self.ledger.hear(&mut self.listeners[at].ear, number, place, now)?;
                    self.latency.record(took.as_micros() as u64)?;
                    self.deliveries += 1;
                    self.frame_bytes = frame.len;
                    self.heard_at = now;
                }
                Kind::Wants(answer) => self.listeners[at].stream.write_all(&answer)?,
                Kind::Aside => {}
                Kind::Drain { retry_after_ms } => {
                    let listener = &mut self.listeners[at];
                    listener.state = Listening::Drained;
                    let at = now + Duration::from_millis(retry_after_ms);
                    self.turns.push(Turn { room: listener.ear.room(), at });
                }
                Kind::Close if self.listeners[at].state == Listening::Drained => {}
                Kind::Close => bail!("closed: {}", String::from_utf8_lossy(frame.payload)),
            }
            rest = &rest[frame.len..];
        }
        if !rest.is_empty() {
            self.listeners[at].partial = rest.to_vec();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};

    use super::*;
    use crate::dial::dial_all;
    use crate::protocol::Seat;
    use crate::protocol::bare::Bare;
    use crate::websocket::{first_frame, server_frame};

    /// A server for one listener and then one speaker, which gives each message on as often as it is told to.
    fn relay(copies: &'static [usize]) -> SocketAddr {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        std::thread::spawn(move || {
            let mut peers = [(); 2].map(|()| {
                let (mut peer, _) = server.accept().unwrap();
                let mut said = Vec::new();
                let mut some = [0; 1_024];
                while !said.ends_with(b"\r\n\r\n") {
                    let count = peer.read(&mut some).unwrap();
                    said.extend_from_slice(&some[..count]);
                }
                peer.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").unwrap();
                peer
            });
            let (mut said, mut copies) = (Vec::new(), copies.iter().cycle());
            let mut some = [0; 1_024];
            while let Ok(count @ 1..) = peers[1].read(&mut some) {
                said.extend_from_slice(&some[..count]);
                while let Some(frame) = first_frame(&said).unwrap() {
                    let (relayed, len) = (server_frame(frame.payload), frame.len);
                    for _ in 0..*copies.next().unwrap_or(&1) {
                        // Whoever has seen enough hangs up.
                        let _ = peers[0].write_all(&relayed);
                    }
                    said.drain(..len);
                }
            }
        });
        address
    }

    fn run(copies: &'static [usize]) -> Result<Outcome> {
        let address = relay(copies);
        let seat = [Seat { room: 0, user: 0 }];
        let listeners = dial_all(address, &Bare::Listener, &seat, 1)?;
        let stream = dial_all(address, &Bare::Speaker, &seat, 1)?.remove(0).stream;
        let mut crowd = Crowd::new(&Bare::Listener, listeners, Speakers::Apart { stream, room: 0 }, 200)?;
        // One more is under way than may be lost, so that the gap shows at once.
        crowd.run(Load::Closed { under_way: 2 }, Duration::from_millis(20))
    }

    #[test]
    fn what_comes_once_and_in_order_is_a_run() {
        let outcome = run(&[1]).unwrap();
        assert!(outcome.sent > 0 && outcome.deliveries == outcome.sent);
        assert_eq!(outcome.latency.len(), outcome.deliveries);
    }

    #[test]
    fn a_delivery_that_is_doubled_or_lost_on_the_way_fails_the_run() {
        for copies in [&[1, 1, 2][..], &[1, 1, 0]] {
            let error = format!("{:#}", run(copies).err().unwrap());
            assert!(error.contains("lost, doubled"), "{copies:?}: {error}");
        }
    }
}
