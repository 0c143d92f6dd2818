//! NATS' clients: lines of text over TCP.

use anyhow::{Context as _, Result, bail};

use super::{Frame, Greeting, Kind, Protocol, Seat};

/// Whether it subscribes to its room.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nats {
    Listener,
    Speaker,
}

const CONNECT: &str =
    "CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"bench\",\"version\":\"1\"}\r\n";
const PONG: &[u8] = b"PONG\r\n";

impl Protocol for Nats {
    fn greet(&self, seat: Seat, step: u32, said: &mut Vec<u8>) -> Result<Greeting> {
        if step == 0 {
            let subscribe = match self {
                Self::Listener => format!("SUB room.{} 1\r\n", seat.room),
                Self::Speaker => String::new(),
            };
            return Ok(Greeting::Say(format!("{CONNECT}{subscribe}PING\r\n").into_bytes()));
        }
        if memchr::memmem::find(said, b"-ERR").is_some() {
            bail!("told {}", String::from_utf8_lossy(said));
        }
        let Some(at) = memchr::memmem::find(said, PONG) else { return Ok(Greeting::Wait) };
        said.drain(..at + PONG.len());
        Ok(Greeting::Joined(Vec::new()))
    }

    fn frame<'a>(&self, bytes: &'a [u8]) -> Result<Option<Frame<'a>>> {
        let Some(end) = memchr::memchr(b'\n', bytes) else { return Ok(None) };
        let (line, line_len) = (&bytes[..end], end + 1);
        let whole = |kind| Ok(Some(Frame { kind, payload: line, len: line_len }));
        if line.starts_with(b"PING") {
            return whole(Kind::Wants(PONG.to_vec()));
        }
        if line.starts_with(b"-ERR") {
            bail!("told {}", String::from_utf8_lossy(line));
        }
        if !line.starts_with(b"MSG ") {
            return whole(Kind::Aside);
        }
        // `MSG <subject> <sid> <bytes>`, then as many bytes, then the end of a line.
        let bytes_word = line.rsplit(|byte| *byte == b' ').next().context("a message without its length")?;
        let payload_len: usize = std::str::from_utf8(bytes_word)?.trim_end().parse()?;
        let payload = bytes.get(line_len..line_len + payload_len);
        let len = line_len + payload_len + 2;
        let kind = Kind::Message { place: None };
        Ok(payload.filter(|_| bytes.len() >= len).map(|payload| Frame { kind, payload, len }))
    }

    fn speak(&self, room: u32, text: &[u8]) -> Vec<u8> {
        [format!("PUB room.{room} {}\r\n", text.len()).as_bytes(), text, b"\r\n"].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_and_pings_are_told_apart_and_waited_for() {
        let bytes = b"PING\r\nMSG room.7 1 5\r\nhello\r\nPING\r\n";
        let first = Nats::Listener.frame(bytes).unwrap().unwrap();
        assert_eq!((first.kind, first.len), (Kind::Wants(PONG.to_vec()), 6));
        let message = Nats::Listener.frame(&bytes[6..]).unwrap().unwrap();
        assert_eq!((message.payload, message.len), (&b"hello"[..], 23));
        assert!((6..29).all(|end| Nats::Listener.frame(&bytes[6..end]).unwrap().is_none()));
    }
}
