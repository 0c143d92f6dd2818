//! Socket.IO's clients: its packets in Engine.IO's, in WebSocket frames.

use anyhow::{Result, bail};

use super::bare::upgraded;
use super::{Frame, Greeting, Kind, Protocol, Seat};
use crate::http::upgrade;
use crate::websocket::{client_frame, first_frame};

/// Whether it joins its room.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum SocketIo {
    Listener,
    Speaker,
}

/// Engine.IO's packets begin with one of these.
const OPEN: u8 = b'0';
const PING: u8 = b'2';
/// A message of Engine.IO that holds a connect, an event or a refusal of Socket.IO.
const CONNECT: &[u8] = b"40";
const EVENT: &[u8] = b"42";
const REFUSED: &[u8] = b"44";

impl Protocol for SocketIo {
    fn greet(&self, seat: Seat, step: u32, said: &mut Vec<u8>) -> Result<Greeting> {
        match step {
            0 => Ok(Greeting::Say(upgrade("/socket.io/?EIO=4&transport=websocket", "").into_bytes())),
            1 if upgraded(said)? => {
                let listens = *self == Self::Listener;
                let connect = format!("40{{\"room\":\"{}\",\"listens\":{listens}}}", seat.room);
                Ok(Greeting::Say(client_frame(connect.as_bytes())))
            }
            1 => Ok(Greeting::Wait),
            _ => loop {
                let Some(frame) = first_frame(said)? else { return Ok(Greeting::Wait) };
                let (packet, len) = (frame.payload.to_vec(), frame.len);
                said.drain(..len);
                if packet.starts_with(CONNECT) {
                    return Ok(Greeting::Joined(packet));
                }
                if packet.first() != Some(&OPEN) {
                    bail!("instead of a welcome: {}", String::from_utf8_lossy(&packet));
                }
            },
        }
    }

    fn frame<'a>(&self, bytes: &'a [u8]) -> Result<Option<Frame<'a>>> {
        let Some(frame) = first_frame(bytes)? else { return Ok(None) };
        let (payload, len) = (frame.payload, frame.len);
        let kind = match payload {
            [PING, ..] => Kind::Wants(client_frame(b"3")),
            _ if payload.starts_with(EVENT) => Kind::Message { place: None },
            _ if payload.starts_with(REFUSED) => bail!("told {}", String::from_utf8_lossy(payload)),
            _ => Kind::Aside,
        };
        Ok(Some(Frame { kind, payload, len }))
    }

    fn speak(&self, room: u32, text: &[u8]) -> Vec<u8> {
        let text = String::from_utf8_lossy(text);
        client_frame(format!("42[\"say\",\"{room}\",\"{text}\"]").as_bytes())
    }
}
