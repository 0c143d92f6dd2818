//! Clients on their way in: many at once, each at its own step of the greeting.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::protocol::{Greeting, Protocol, Seat};

/// When nobody has come a step further for this long, the server has forgotten them.
const STUCK_AFTER: Duration = Duration::from_secs(20);

/// A client that listens.
pub(crate) struct Dialled {
    pub(crate) seat: Seat,
    pub(crate) stream: TcpStream,
    /// What came behind the greeting.
    pub(crate) partial: Vec<u8>,
    /// What the server said last in the greeting.
    pub(crate) said: Vec<u8>,
    /// From the first packet to that.
    pub(crate) took: Duration,
}

/// How a dial ended.
pub(crate) enum Outcome {
    Joined(Dialled),
    Refused { seat: Seat, retry_after_ms: u64 },
}

struct Dialling {
    seat: Seat,
    stream: TcpStream,
    step: u32,
    said: Vec<u8>,
    begun_at: Instant,
}

/// Dials for clients.
pub(crate) struct Dialler<'a> {
    address: SocketAddr,
    protocol: &'a dyn Protocol,
    poll: Poll,
    /// By token.
    dialling: Vec<Option<Dialling>>,
    free: Vec<usize>,
    stepped_at: Instant,
}

impl<'a> Dialler<'a> {
    pub(crate) fn new(address: SocketAddr, protocol: &'a dyn Protocol) -> Result<Self> {
        let (poll, dialling, free) = (Poll::new()?, Vec::new(), Vec::new());
        Ok(Self { address, protocol, poll, dialling, free, stepped_at: Instant::now() })
    }

    /// How many are on their way.
    pub(crate) fn under_way(&self) -> usize {
        self.dialling.len() - self.free.len()
    }

    /// Begins a dial.
    pub(crate) fn dial(&mut self, seat: Seat) -> Result<()> {
        let begun_at = Instant::now();
        let stream = std::net::TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let at = self.free.pop().unwrap_or_else(|| {
            self.dialling.push(None);
            self.dialling.len() - 1
        });
        let mut stream = TcpStream::from_std(stream);
        self.poll.registry().register(&mut stream, Token(at), Interest::READABLE)?;
        self.dialling[at] = Some(Dialling { seat, stream, step: 0, said: Vec::new(), begun_at });
        self.stepped_at = begun_at;
        match self.step(at)? {
            None => Ok(()),
            Some(_) => bail!("a greeting that begins with its end"),
        }
    }

    /// Brings all as far as they come now; answers who has arrived.
    pub(crate) fn turn(&mut self) -> Result<Vec<Outcome>> {
        let mut events = Events::with_capacity(256);
        self.poll.poll(&mut events, Some(Duration::ZERO))?;
        let mut arrived = Vec::new();
        for event in &events {
            let at = event.token().0;
            if let Some(dialling) = &mut self.dialling[at] {
                dialling.read()?;
                self.stepped_at = Instant::now();
                arrived.extend(self.step(at)?);
            }
        }
        if self.under_way() > 0 && self.stepped_at.elapsed() > STUCK_AFTER {
            bail!("{} clients wait for an answer to their greeting", self.under_way());
        }
        Ok(arrived)
    }

    fn step(&mut self, at: usize) -> Result<Option<Outcome>> {
        loop {
            let dialling = self.dialling[at].as_mut().context("nobody dials there")?;
            match self.protocol.greet(dialling.seat, dialling.step, &mut dialling.said)? {
                Greeting::Wait => return Ok(None),
                Greeting::Say(bytes) => {
                    dialling.stream.write_all(&bytes)?;
                    dialling.step += 1;
                }
                Greeting::Joined(said) => {
                    let Dialling { seat, stream, said: partial, begun_at, .. } = self.take(at)?;
                    let took = begun_at.elapsed();
                    return Ok(Some(Outcome::Joined(Dialled { seat, stream, partial, said, took })));
                }
                Greeting::Refused { retry_after_ms } => {
                    let seat = self.take(at)?.seat;
                    return Ok(Some(Outcome::Refused { seat, retry_after_ms }));
                }
            }
        }
    }

    fn take(&mut self, at: usize) -> Result<Dialling> {
        let mut dialling = self.dialling[at].take().context("nobody dials there")?;
        self.free.push(at);
        self.poll.registry().deregister(&mut dialling.stream)?;
        Ok(dialling)
    }
}

impl Dialling {
    fn read(&mut self) -> Result<()> {
        let mut buffer = [0; 16 * 1_024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => bail!("the server hung up on a greeting: {}", String::from_utf8_lossy(&self.said)),
                Ok(count) => {
                    self.said.extend_from_slice(&buffer[..count]);
                    if count < buffer.len() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Dials for all of these, so many at once.
///
/// # Errors
/// One of them is told to come later.
pub(crate) fn dial_all(
    address: SocketAddr,
    protocol: &dyn Protocol,
    seats: &[Seat],
    at_once: usize,
) -> Result<Vec<Dialled>> {
    let mut dialler = Dialler::new(address, protocol)?;
    let mut all = Vec::with_capacity(seats.len());
    let mut seats = seats.iter();
    loop {
        while dialler.under_way() < at_once {
            let Some(seat) = seats.next() else { break };
            dialler.dial(*seat)?;
        }
        if dialler.under_way() == 0 {
            return Ok(all);
        }
        for outcome in dialler.turn()? {
            match outcome {
                Outcome::Joined(dialled) => all.push(dialled),
                Outcome::Refused { seat, retry_after_ms } => {
                    bail!("{seat:?} is to come back after {retry_after_ms} ms")
                }
            }
        }
    }
}
