//! Those who speak to a crowd.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result, bail};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use crate::http::Sender;

/// Connections of one pool that come from one address of this machine.
const PER_ADDRESS: usize = 500;

/// How messages come into the rooms.
pub(crate) enum Speakers {
    /// Everybody, on the connection on which she listens.
    Listeners { next: usize },
    /// Somebody on a connection of her own.
    Apart { stream: TcpStream, room: u32 },
    /// Everybody on a connection of her own, by requests that are answered.
    Http(Pool),
}

/// What makes a request of a speaker's number and a text.
pub(crate) type Requests = Box<dyn FnMut(usize, &str) -> Vec<u8>>;

/// Senders that each wait for an answer before they send again.
pub(crate) struct Pool {
    address: SocketAddr,
    members: Vec<Member>,
    request: Requests,
    next: usize,
    busy: usize,
    order: Order,
}

/// What the answers say of the order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Each sender is alone in its channel: the seqs of its answers have no hole.
    Alone,
    /// Others come between.
    Among,
}

struct Member {
    sender: Sender,
    room: u32,
    /// The message that is not answered yet.
    number: u32,
    /// The last answer's seq.
    seq: Option<u64>,
}

/// A message that was answered.
pub(crate) struct Acknowledged {
    pub(crate) number: u32,
}

impl Speakers {
    pub(crate) fn register(&mut self, registry: &Registry, first: usize) -> Result<()> {
        match self {
            Self::Listeners { .. } => {}
            // What is said back to it is read with the others, and means nothing.
            Self::Apart { stream, .. } => registry.register(stream, Token(first), Interest::READABLE)?,
            Self::Http(pool) => {
                for (at, member) in pool.members.iter_mut().enumerate() {
                    registry.register(member.sender.source(), Token(first + at), Interest::READABLE)?;
                }
            }
        }
        Ok(())
    }

    /// The next in turn who is free to speak; with so many listeners.
    pub(crate) fn next(&mut self, listeners: usize) -> Option<usize> {
        match self {
            Self::Listeners { next } => {
                *next = (*next + 1) % listeners;
                Some(*next)
            }
            Self::Apart { .. } => Some(0),
            Self::Http(pool) => pool.next(),
        }
    }

    /// Whether nobody waits for an answer.
    pub(crate) fn are_free(&self) -> bool {
        match self {
            Self::Listeners { .. } | Self::Apart { .. } => true,
            Self::Http(pool) => pool.busy == 0,
        }
    }

    /// Reads what was said to a speaker.
    pub(crate) fn read(&mut self, at: usize) -> Result<Option<Acknowledged>> {
        match self {
            Self::Http(pool) => pool.read(at),
            Self::Apart { stream, .. } => {
                // Pipelining servers may answer each message; the order of the answers is that of the room.
                let mut answers = [0; 16 * 1_024];
                while std::io::Read::read(stream, &mut answers).is_ok_and(|count| count == answers.len()) {}
                Ok(None)
            }
            Self::Listeners { .. } => Ok(None),
        }
    }
}

impl Pool {
    /// One sender for each of these rooms.
    pub(crate) fn open(
        address: SocketAddr,
        rooms: impl IntoIterator<Item = u32>,
        order: Order,
        request: Requests,
    ) -> Result<Self> {
        let mut members = Vec::new();
        for room in rooms {
            let sender = Sender::open(address, own_address(members.len()))?;
            members.push(Member { sender, room, number: 0, seq: None });
        }
        Ok(Self { address, members, request, next: 0, busy: 0, order })
    }

    pub(crate) fn room_of(&self, member: usize) -> u32 {
        self.members[member].room
    }

    fn next(&mut self) -> Option<usize> {
        let count = self.members.len();
        let found =
            (1..=count).map(|step| (self.next + step) % count).find(|at| self.members[*at].sender.is_free());
        self.next = found?;
        found
    }

    pub(crate) fn send(
        &mut self,
        at: usize,
        number: u32,
        text: &[u8],
        registry: &Registry,
        token: Token,
    ) -> Result<()> {
        let member = &mut self.members[at];
        if member.sender.is_closed() {
            member.sender = Sender::open(self.address, own_address(at))?;
            registry.register(member.sender.source(), token, Interest::READABLE)?;
        }
        member.number = number;
        member.sender.send(&(self.request)(at, std::str::from_utf8(text)?))?;
        self.busy += 1;
        Ok(())
    }

    fn read(&mut self, at: usize) -> Result<Option<Acknowledged>> {
        let member = &mut self.members[at];
        if member.sender.is_closed() {
            return Ok(None);
        }
        let Some(answer) = member.sender.read()? else { return Ok(None) };
        self.busy -= 1;
        if self.order == Order::Alone {
            let seq = seq_in(&answer)?;
            if member.seq.is_some_and(|last| seq != last + 1) {
                bail!("sender {at} was told seq {seq} after {:?}: lost, doubled or out of order", member.seq);
            }
            member.seq = Some(seq);
        }
        Ok(Some(Acknowledged { number: member.number }))
    }
}

/// Where the sender with this number comes from.
fn own_address(at: usize) -> Option<Ipv4Addr> {
    let last = u8::try_from(2 + at / PER_ADDRESS).ok()?;
    Some(Ipv4Addr::new(127, 0, 0, last))
}

fn seq_in(answer: &[u8]) -> Result<u64> {
    const SEQ: &[u8] = br#""seq":"#;
    let at = memchr::memmem::find(answer, SEQ).context("an answer without a seq")? + SEQ.len();
    let digits = answer[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    Ok(std::str::from_utf8(&answer[at..at + digits])?.parse()?)
}
