//! As much of HTTP as a bench needs: calls that wait, and a sender that does not.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use socket2::{Domain, Socket, Type};

/// A request, whole.
pub(crate) fn request(method: &str, path: &str, headers: &str, body: &str) -> Vec<u8> {
    let len = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: bench\r\n{headers}Content-Type: application/json\r\n\
         Content-Length: {len}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// The request that turns a connection into a WebSocket.
pub(crate) fn upgrade(path: &str, headers: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{headers}\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// Asks, and waits for an answer that is a success.
pub(crate) fn ask(address: SocketAddr, request: &[u8]) -> Result<Value> {
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    let mut buffer = [0; 16 * 1_024];
    loop {
        if let Some(whole) = Answer::whole(&answer)? {
            return Ok(serde_json::from_slice(whole.success()?)?);
        }
        match stream.read(&mut buffer)? {
            0 => bail!("the server hung up"),
            count => answer.extend_from_slice(&buffer[..count]),
        }
    }
}

/// Asks all of these, on some connections at once: a server that commits for many at a time gets through sooner.
pub(crate) fn ask_all(address: SocketAddr, requests: impl IntoIterator<Item = Vec<u8>>) -> Result<()> {
    const AT_ONCE: usize = 64;
    let mut poll = mio::Poll::new()?;
    let mut requests = requests.into_iter();
    let mut senders = Vec::new();
    for (at, request) in requests.by_ref().take(AT_ONCE).enumerate() {
        let mut sender = Sender::open(address, None)?;
        poll.registry().register(sender.source(), mio::Token(at), mio::Interest::READABLE)?;
        sender.send(&request)?;
        senders.push(sender);
    }
    let mut busy = senders.len();
    let mut events = mio::Events::with_capacity(AT_ONCE);
    while busy > 0 {
        poll.poll(&mut events, None)?;
        for event in &events {
            let sender = &mut senders[event.token().0];
            if sender.is_free() || sender.read()?.is_none() {
                continue;
            }
            match requests.next() {
                Some(request) => sender.send(&request)?,
                None => busy -= 1,
            }
        }
    }
    Ok(())
}

struct Answer<'a> {
    status: u16,
    body: &'a [u8],
    len: usize,
}

impl<'a> Answer<'a> {
    /// The answer at the beginning of `bytes`; `None` if it is not whole yet.
    fn whole(bytes: &'a [u8]) -> Result<Option<Self>> {
        let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
        let head = std::str::from_utf8(&bytes[..end])?;
        let status = head.split(' ').nth(1).context("no status")?.parse()?;
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>())
        });
        let length = length.context("an answer without its length")??;
        let len = end + 4 + length;
        Ok(bytes.get(end + 4..len).map(|body| Self { status, body, len }))
    }

    fn success(&self) -> Result<&'a [u8]> {
        if !(200..300).contains(&self.status) {
            bail!("{}: {}", self.status, String::from_utf8_lossy(self.body));
        }
        Ok(self.body)
    }
}

/// Sends one request after the other on one connection, without ever waiting.
pub(crate) struct Sender {
    stream: mio::net::TcpStream,
    answer: Vec<u8>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Free,
    Waiting,
    /// The server has closed a connection that idled.
    Closed,
}

impl Sender {
    /// Connects, from this address of our own: who sees a crowd on one address may take it for one client.
    pub(crate) fn open(address: SocketAddr, from: Option<Ipv4Addr>) -> Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        if let Some(from) = from {
            socket.bind(&SocketAddr::from((from, 0)).into())?;
        }
        socket.connect(&address.into())?;
        socket.set_tcp_nodelay(true)?;
        socket.set_nonblocking(true)?;
        let stream = mio::net::TcpStream::from_std(socket.into());
        Ok(Self { stream, answer: Vec::new(), state: State::Free })
    }

    pub(crate) fn source(&mut self) -> &mut mio::net::TcpStream {
        &mut self.stream
    }

    pub(crate) fn is_free(&self) -> bool {
        self.state != State::Waiting
    }

    /// Whether it has to be opened anew before it sends.
    pub(crate) fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Sends a request, which is small enough for the kernel to take at once.
    pub(crate) fn send(&mut self, request: &[u8]) -> Result<()> {
        self.state = State::Waiting;
        Ok(self.stream.write_all(request)?)
    }

    /// Reads what is there; the answer's body, if it has come.
    ///
    /// # Errors
    /// The answer is no success, or the connection ended before it.
    pub(crate) fn read(&mut self) -> Result<Option<Vec<u8>>> {
        let mut buffer = [0; 16 * 1_024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) if self.is_free() => {
                    self.state = State::Closed;
                    return Ok(None);
                }
                Ok(0) => bail!("the server hung up on a sender"),
                Ok(count) => {
                    self.answer.extend_from_slice(&buffer[..count]);
                    // What did not fill the buffer was all there was; more gives an event of its own.
                    if count < buffer.len() {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        let Some(answer) = Answer::whole(&self.answer)? else { return Ok(None) };
        let (body, len) = (answer.success()?.to_vec(), answer.len);
        self.answer.drain(..len);
        self.state = State::Free;
        Ok(Some(body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_body_is() {
        let bytes = b"HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\nabc";
        let answer = Answer::whole(bytes).unwrap().unwrap();
        assert_eq!((answer.status, answer.body, answer.len), (201, &b"abc"[..], bytes.len()));
        assert!((0..bytes.len()).all(|len| Answer::whole(&bytes[..len]).unwrap().is_none()));
    }

    #[test]
    fn an_answer_that_is_no_success_is_an_error_with_its_text() {
        let bytes = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 4\r\n\r\nslow";
        let error = Answer::whole(bytes).unwrap().unwrap().success().unwrap_err();
        assert_eq!(error.to_string(), "429: slow");
    }
}
