//! The floors: what the bare machine does when nothing is checked, stored or decided.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket, Type};

use crate::process::{Cores, Measured};
use crate::protocol::bare::SPEAKER;
use crate::websocket::{first_frame, server_frame};

/// How the bare loop writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writes {
    /// Each message by itself.
    Each,
    /// What is due in one turn of the loop, at once.
    PerTurn,
}

/// Starts the bare loop as a process of its own.
pub(crate) fn start_loop(own: &Path, writes: Writes) -> Result<(Measured, SocketAddr)> {
    let args: &[&str] = match writes {
        Writes::Each => &["broadcast"],
        Writes::PerTurn => &["broadcast", "--per-turn"],
    };
    let mut floor = Measured::start(Cores::One, own, args, &[])?;
    let address = floor.line()?.parse()?;
    Ok((floor, address))
}

/// Rows per second of bare inserts, by a process of their own.
pub(crate) fn inserts(own: &Path, folder: &Path, batch: usize, time: Duration) -> Result<f64> {
    let data = tempfile::tempdir_in(folder)?;
    let path = data.path().to_str().context("a folder whose name is not UTF-8")?;
    let (batch, millis) = (batch.to_string(), time.as_millis().to_string());
    let args = ["inserts", "--folder", path, "--batch", &batch, "--millis", &millis];
    Ok(Measured::start(Cores::Both, own, &args, &[])?.line()?.parse()?)
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
    /// In this room, with bytes of a frame that is not whole yet.
    Inside { room: usize, partial: Vec<u8> },
}

/// One room: who listens, and what is due to them.
#[derive(Default)]
struct Room {
    listeners: Vec<usize>,
    due: Vec<u8>,
}

const LISTENER: Token = Token(usize::MAX);
const EVENTS: usize = 1_024;
/// Connections that the kernel holds while the loop is busy: as many as for the product.
const BACKLOG: i32 = 4_096;

/// One loop around epoll: accepts, upgrades, and gives every frame that somebody says to all who listen to the same
/// room, framed once. Prints its address, then serves until it is killed.
pub(crate) fn broadcast(writes: Writes) -> Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    let mut listener = TcpListener::from_std(socket.into());
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    println!("{}", listener.local_addr()?);
    let mut events = Events::with_capacity(EVENTS);
    let mut floor = Floor::default();
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    let token = Token(floor.peers.len());
                    poll.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
                    let state = State::Upgrading(Vec::new());
                    floor.peers.push(Some(Peer { stream, state, waiting: Vec::new() }));
                }
            } else {
                floor.serve(event.token().0, event.is_writable(), event.is_readable(), writes);
            }
        }
        floor.turn();
    }
}

#[derive(Default)]
struct Floor {
    /// By token; those who left leave a hole.
    peers: Vec<Option<Peer>>,
    rooms: Vec<Room>,
    /// Rooms to which something is due at the end of the turn.
    due: Vec<usize>,
}

impl Floor {
    fn serve(&mut self, at: usize, is_writable: bool, is_readable: bool, writes: Writes) {
        let Some(peer) = self.peers[at].as_mut() else { return };
        if is_writable && !peer.waiting.is_empty() {
            let waiting = std::mem::take(&mut peer.waiting);
            peer.write(&waiting);
        }
        if !is_readable {
            return;
        }
        let mut buffer = [0; 16 * 1_024];
        loop {
            let Some(peer) = self.peers[at].as_mut() else { return };
            match peer.stream.read(&mut buffer) {
                Ok(count) if count > 0 => {
                    self.take(at, &buffer[..count], writes);
                    if count < buffer.len() {
                        return;
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                _ => return self.leave(at),
            }
        }
    }

    fn leave(&mut self, at: usize) {
        if let Some(Peer { state: State::Inside { room, .. }, .. }) = self.peers[at].take() {
            self.rooms[room].listeners.retain(|listener| *listener != at);
        }
    }

    fn take(&mut self, at: usize, bytes: &[u8], writes: Writes) {
        let Some(peer) = self.peers[at].as_mut() else { return };
        match &mut peer.state {
            State::Upgrading(request) => {
                request.extend_from_slice(bytes);
                if !request.ends_with(b"\r\n\r\n") {
                    return;
                }
                let request = String::from_utf8_lossy(request).into_owned();
                let path = request.split(' ').nth(1).unwrap_or_default();
                let listens = !path.ends_with(SPEAKER);
                let number = path.trim_start_matches("/room/").trim_end_matches(SPEAKER);
                let room: usize = number.parse().unwrap_or(0);
                peer.state = State::Inside { room, partial: Vec::new() };
                // Nobody here looks at the accept key.
                peer.write(
                    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
                );
                if self.rooms.len() <= room {
                    self.rooms.resize_with(room + 1, Room::default);
                }
                if listens {
                    self.rooms[room].listeners.push(at);
                }
            }
            State::Inside { room, partial } => {
                let room = *room;
                let mut said = std::mem::take(partial);
                said.extend_from_slice(bytes);
                let mut rest = said.as_slice();
                while let Ok(Some(frame)) = first_frame(rest) {
                    self.say(room, &server_frame(frame.payload), writes);
                    rest = &rest[frame.len..];
                }
                if !rest.is_empty()
                    && let Some(Peer { state: State::Inside { partial, .. }, .. }) = &mut self.peers[at]
                {
                    *partial = rest.to_vec();
                }
            }
        }
    }

    fn say(&mut self, room: usize, frame: &[u8], writes: Writes) {
        match writes {
            Writes::Each => to_all(&mut self.peers, &self.rooms[room].listeners, frame),
            Writes::PerTurn => {
                let due = &mut self.rooms[room].due;
                if due.is_empty() {
                    self.due.push(room);
                }
                due.extend_from_slice(frame);
            }
        }
    }

    fn turn(&mut self) {
        for room in self.due.drain(..) {
            let Room { listeners, due } = &mut self.rooms[room];
            to_all(&mut self.peers, listeners, due);
            due.clear();
        }
    }
}

fn to_all(peers: &mut [Option<Peer>], listeners: &[usize], bytes: &[u8]) {
    for at in listeners {
        if let Some(peer) = &mut peers[*at] {
            peer.write(bytes);
        }
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
