//! The clients of the bare loop: an upgrade that names the room, then WebSocket frames.

use anyhow::{Result, bail};

use super::{Frame, Greeting, Kind, Protocol, Seat};
use crate::http::upgrade;
use crate::websocket::{client_frame, first_frame};

/// How much a client of the bare loop has to do with its room.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bare {
    /// It hears what is said.
    Listener,
    /// It only speaks.
    Speaker,
}

/// What a speaker's path ends with.
pub(crate) const SPEAKER: &str = "/speaker";

impl Protocol for Bare {
    fn greet(&self, seat: Seat, step: u32, said: &mut Vec<u8>) -> Result<Greeting> {
        let end = if *self == Self::Speaker { SPEAKER } else { "" };
        Ok(match step {
            0 => Greeting::Say(upgrade(&format!("/room/{}{end}", seat.room), "").into_bytes()),
            _ if upgraded(said)? => Greeting::Joined(Vec::new()),
            _ => Greeting::Wait,
        })
    }

    fn frame<'a>(&self, bytes: &'a [u8]) -> Result<Option<Frame<'a>>> {
        let Some(frame) = first_frame(bytes)? else { return Ok(None) };
        let (payload, len) = (frame.payload, frame.len);
        Ok(Some(Frame { kind: Kind::Message { place: None }, payload, len }))
    }

    fn speak(&self, _: u32, text: &[u8]) -> Vec<u8> {
        client_frame(text)
    }
}

/// Whether the answer to the upgrade has come; takes it out, and leaves what comes behind it.
pub(crate) fn upgraded(said: &mut Vec<u8>) -> Result<bool> {
    let Some(end) = said.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(false) };
    if !said.starts_with(b"HTTP/1.1 101") {
        bail!("no upgrade: {}", String::from_utf8_lossy(said));
    }
    said.drain(..end + 4);
    Ok(true)
}
