//! The floors: what the bare machine does when nothing is checked, stored or decided.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use crate::websocket::{first_frame, server_frame};

/// How the bare loop writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writes {
    /// Each message by itself.
    Each,
    /// What is due in one turn of the loop, at once.
    PerTurn,
}

struct Peer {
    stream: TcpStream,
    state: State,
    /// What the kernel did not take; empty nearly always.
    waiting: Vec<u8>,
}

enum State {
    /// The request that is not whole yet.
    Upgrading(Vec<u8>),
    Listening,
    /// Frames that are not whole yet.
    Publishing(Vec<u8>),
}

const LISTENER: Token = Token(usize::MAX);

/// One loop around epoll: accepts, upgrades, and gives every frame that a publisher sends to everybody else,
/// framed once. Prints its address, then serves until it is killed. `topic` and a `seq` are put in front, so
/// that the same generator checks the same order here as with the product.
pub(crate) fn broadcast(writes: Writes, prefix: &str) -> Result<()> {
    let mut listener = TcpListener::bind("127.0.0.1:0".parse()?)?;
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    println!("{}", listener.local_addr()?);

    let mut events = Events::with_capacity(1_024);
    let mut peers: BTreeMap<usize, Peer> = BTreeMap::new();
    let mut next = 0;
    let mut seq: u64 = 0;
    let mut turn: Vec<Vec<u8>> = Vec::new();
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    poll.registry().register(
                        &mut stream,
                        Token(next),
                        Interest::READABLE | Interest::WRITABLE,
                    )?;
                    peers.insert(
                        next,
                        Peer { stream, state: State::Upgrading(Vec::new()), waiting: Vec::new() },
                    );
                    next += 1;
                }
                continue;
            }
            let Some(peer) = peers.get_mut(&event.token().0) else { continue };
            if event.is_writable() && !peer.waiting.is_empty() {
                let waiting = std::mem::take(&mut peer.waiting);
                peer.write(&waiting);
            }
            if event.is_readable() && !peer.read(|text| turn.push(text.to_vec())) {
                peers.remove(&event.token().0);
            }
        }
        let mut frames = turn.drain(..).map(|text| {
            seq += 1;
            server_frame(&[prefix.as_bytes(), seq.to_string().as_bytes(), &text].concat())
        });
        match writes {
            Writes::Each => frames.for_each(|frame| to_all(&mut peers, &frame)),
            Writes::PerTurn => {
                let all: Vec<u8> = frames.by_ref().flatten().collect();
                if !all.is_empty() {
                    to_all(&mut peers, &all);
                }
            }
        }
    }
}

fn to_all(peers: &mut BTreeMap<usize, Peer>, bytes: &[u8]) {
    for peer in peers.values_mut().filter(|peer| matches!(peer.state, State::Listening)) {
        peer.write(bytes);
    }
}

impl Peer {
    fn write(&mut self, bytes: &[u8]) {
        if !self.waiting.is_empty() {
            self.waiting.extend_from_slice(bytes);
            return;
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(written) => rest = &rest[written..],
                // The kernel takes no more, or the peer is gone, which the next read will tell.
                Err(_) => break,
            }
        }
        self.waiting.extend_from_slice(rest);
    }

    /// Reads what is there; `false`: the peer is gone.
    fn read(&mut self, mut published: impl FnMut(&[u8])) -> bool {
        let mut buffer = [0; 16 * 1_024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return false,
                Ok(count) => self.take(&buffer[..count], &mut published),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            }
        }
    }

    fn take(&mut self, bytes: &[u8], published: &mut impl FnMut(&[u8])) {
        match &mut self.state {
            State::Upgrading(request) => {
                request.extend_from_slice(bytes);
                if request.ends_with(b"\r\n\r\n") {
                    let publishes = request.starts_with(b"GET /publish");
                    self.state = if publishes { State::Publishing(Vec::new()) } else { State::Listening };
                    // Nobody here looks at the accept key.
                    self.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
                }
            }
            State::Listening => {}
            State::Publishing(partial) => {
                partial.extend_from_slice(bytes);
                while let Ok(Some(frame)) = first_frame(partial) {
                    published(frame.payload);
                    let len = frame.len;
                    partial.drain(..len);
                }
            }
        }
    }
}

/// Inserts rows of a message's size for some time, `batch` per durable commit, with nothing around it.
/// Answers rows per second.
pub(crate) fn sqlite_inserts(folder: &Path, batch: usize, time: Duration) -> Result<f64> {
    let mut database = rusqlite::Connection::open(folder.join("floor.db"))?;
    database.pragma_update(None, "journal_mode", "wal")?;
    database.pragma_update(None, "synchronous", "full")?;
    database.execute_batch(
        "create table messages (topic integer, seq integer, id text unique, text text, primary key (topic, seq))",
    )?;
    let text = "x".repeat(200);
    let (start, mut rows) = (Instant::now(), 0_u64);
    while start.elapsed() < time {
        let transaction = database.transaction()?;
        {
            let mut insert = transaction.prepare_cached("insert into messages values (1, ?1, ?2, ?3)")?;
            for _ in 0..batch {
                rows += 1;
                insert.execute((rows as i64, format!("0198f2c1-7d3e-7c55-a1f0-{rows:012x}"), &text))?;
            }
        }
        transaction.commit()?;
    }
    Ok(rows as f64 / start.elapsed().as_secs_f64())
}
