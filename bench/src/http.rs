//! As much of HTTP as a bench needs: a call that waits, and a sender that does not.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// A request, whole.
pub(crate) fn request(method: &str, path: &str, headers: &str, body: &str) -> Vec<u8> {
    let len = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: bench\r\n{headers}Content-Type: application/json\r\n\
         Content-Length: {len}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Asks, and waits for an answer that is a success.
pub(crate) fn ask(address: SocketAddr, request: &[u8]) -> Result<Value> {
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    let mut buffer = [0; 16 * 1_024];
    loop {
        if let Some(whole) = Answer::whole(&answer)? {
            let text = String::from_utf8_lossy(whole.body);
            if !(200..300).contains(&whole.status) {
                bail!("{}: {text}", whole.status);
            }
            return Ok(serde_json::from_str(&text)?);
        }
        match stream.read(&mut buffer)? {
            0 => bail!("the server hung up"),
            count => answer.extend_from_slice(&buffer[..count]),
        }
    }
}

struct Answer<'a> {
    status: u16,
    body: &'a [u8],
    len: usize,
}

impl<'a> Answer<'a> {
    /// The answer at the beginning of `bytes`; `None` if it is not whole yet.
    fn whole(bytes: &'a [u8]) -> Result<Option<Self>> {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
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
}

impl Sender {
    pub(crate) fn open(address: SocketAddr) -> Result<Self> {
        let stream = std::net::TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream: mio::net::TcpStream::from_std(stream), answer: Vec::new(), state: State::Free })
    }

    pub(crate) fn source(&mut self) -> &mut mio::net::TcpStream {
        &mut self.stream
    }

    pub(crate) fn is_free(&self) -> bool {
        self.state == State::Free
    }

    /// Sends a request, which is small enough for the kernel to take at once.
    pub(crate) fn send(&mut self, request: &[u8]) -> Result<()> {
        self.state = State::Waiting;
        Ok(self.stream.write_all(request)?)
    }

    /// Reads what is there. `true`: the answer came, and it is 201.
    ///
    /// # Errors
    /// Any other answer, and the end of the connection.
    pub(crate) fn read(&mut self) -> Result<bool> {
        let mut buffer = [0; 16 * 1_024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => bail!("the server hung up on a sender"),
                Ok(count) => self.answer.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        let Some(Answer { status, body, len }) = Answer::whole(&self.answer)? else { return Ok(false) };
        if status != 201 {
            bail!("a send was answered with {status}: {}", String::from_utf8_lossy(body));
        }
        self.answer.drain(..len);
        self.state = State::Free;
        Ok(true)
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
}
