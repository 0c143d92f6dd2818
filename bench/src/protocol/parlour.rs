//! Parlour's clients: an upgrade, `hello`, `ready`, then events. Messages are sent over HTTP.

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::bare::upgraded;
use super::{Frame, Greeting, Kind, Protocol, Seat};
use crate::http::upgrade;
use crate::websocket::{client_frame, first_frame};

/// What every frame of a channel begins with, before the channel's name and the seq.
const EVENT: &[u8] = br#"{"type":"event","topic":"channel:"#;
const SEQ: &[u8] = br#"","seq":"#;
/// The opcode of a close.
const CLOSE: u8 = 8;

/// Clients who say these, by user.
pub(crate) struct Parlour {
    pub(crate) hellos: Vec<String>,
}

impl Protocol for Parlour {
    fn greet(&self, seat: Seat, step: u32, said: &mut Vec<u8>) -> Result<Greeting> {
        match step {
            0 => Ok(Greeting::Say(upgrade("/v1/connect", "").into_bytes())),
            1 if upgraded(said)? => {
                let hello = self.hellos.get(seat.user as usize).context("a user without a hello")?;
                Ok(Greeting::Say(client_frame(hello.as_bytes())))
            }
            1 => Ok(Greeting::Wait),
            _ => welcome(said),
        }
    }

    fn frame<'a>(&self, bytes: &'a [u8]) -> Result<Option<Frame<'a>>> {
        let Some(frame) = first_frame(bytes)? else { return Ok(None) };
        let (payload, len) = (frame.payload, frame.len);
        let kind = match payload.strip_prefix(EVENT) {
            Some(rest) if frame.opcode == 1 => Kind::Message { place: Some(seq(rest)?) },
            _ => other(frame.opcode, payload)?,
        };
        Ok(Some(Frame { kind, payload, len }))
    }

    fn speak(&self, _: u32, _: &[u8]) -> Vec<u8> {
        unreachable!("Parlour's clients send over HTTP")
    }
}

fn seq(rest: &[u8]) -> Result<u64> {
    let at = memchr::memmem::find(rest, SEQ).context("an event without its seq")? + SEQ.len();
    let digits = rest[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    Ok(std::str::from_utf8(&rest[at..at + digits])?.parse()?)
}

/// Pings are answered; what is said of the users' own topics is not counted.
fn other(opcode: u8, payload: &[u8]) -> Result<Kind> {
    if opcode == CLOSE {
        return Ok(Kind::Close);
    }
    if opcode != 1 {
        bail!("a frame of the kind {opcode}: {}", String::from_utf8_lossy(payload));
    }
    let frame: Value = serde_json::from_slice(payload)?;
    match frame["type"].as_str() {
        Some("ping") => Ok(Kind::Wants(client_frame(br#"{"type":"pong"}"#))),
        Some("drain") => {
            let retry_after_ms = frame["retry_after_ms"].as_u64().context("a drain without a turn")?;
            Ok(Kind::Drain { retry_after_ms })
        }
        // After a drain it says the same once more.
        Some("bye") => Ok(Kind::Close),
        Some("error" | "reset") => bail!("told {frame}"),
        _ => Ok(Kind::Aside),
    }
}

/// The answer to `hello`.
fn welcome(said: &mut Vec<u8>) -> Result<Greeting> {
    loop {
        let Some(frame) = first_frame(said)? else { return Ok(Greeting::Wait) };
        if frame.opcode == CLOSE {
            bail!("closed before it was let in");
        }
        let (payload, len) = (frame.payload.to_vec(), frame.len);
        let told: Value = serde_json::from_slice(&payload)?;
        said.drain(..len);
        match told["type"].as_str() {
            Some("ready") => return Ok(Greeting::Joined(payload)),
            // A `bye` follows, which says when to come back.
            Some("error") => {}
            Some("bye") if told["retry_after_ms"].is_u64() => {
                let retry_after_ms = told["retry_after_ms"].as_u64().unwrap_or_default();
                return Ok(Greeting::Refused { retry_after_ms });
            }
            _ => bail!("instead of ready: {told}"),
        }
    }
}
