//! MQTT 3.1.1's clients, with messages of quality of service 0: mosquitto's, and ejabberd's.

use anyhow::{Context as _, Result, bail};

use super::{Frame, Greeting, Kind, Protocol, Seat};

/// A client's part, and who it says it is.
#[derive(Clone, Copy)]
pub(crate) struct Mqtt {
    pub(crate) listens: bool,
    /// Users are `u…` of this host, with a password that nobody looks at; `None`: they give no name.
    pub(crate) host: Option<&'static str>,
}

const CONNACK: u8 = 0x20;
const SUBACK: u8 = 0x90;
const PUBLISH: u8 = 0x30;

impl Protocol for Mqtt {
    fn greet(&self, seat: Seat, step: u32, said: &mut Vec<u8>) -> Result<Greeting> {
        match step {
            0 => Ok(Greeting::Say(self.connect(seat))),
            1 => match answer(said, CONNACK)? {
                None => Ok(Greeting::Wait),
                Some(body) if body.last() != Some(&0) => bail!("not let in: {body:?}"),
                Some(_) if !self.listens => Ok(Greeting::Joined(Vec::new())),
                Some(_) => {
                    // The packet's number, the topic, quality of service 0.
                    let body = [&[0, 1], &text(&topic(seat.room))[..], &[0]].concat();
                    Ok(Greeting::Say(packet(0x82, &body)))
                }
            },
            _ => match answer(said, SUBACK)? {
                None => Ok(Greeting::Wait),
                Some(body) if body.last() != Some(&0) => bail!("not subscribed: {body:?}"),
                Some(_) => Ok(Greeting::Joined(Vec::new())),
            },
        }
    }

    fn frame<'a>(&self, bytes: &'a [u8]) -> Result<Option<Frame<'a>>> {
        let Some((first, payload, len)) = first_packet(bytes)? else { return Ok(None) };
        let kind = if first & 0xf0 == PUBLISH { Kind::Message { place: None } } else { Kind::Aside };
        Ok(Some(Frame { kind, payload, len }))
    }

    fn speak(&self, room: u32, said: &[u8]) -> Vec<u8> {
        packet(PUBLISH, &[&text(&topic(room))[..], said].concat())
    }
}

impl Mqtt {
    fn connect(&self, seat: Seat) -> Vec<u8> {
        /// A clean session; with a name and a password.
        const CLEAN: u8 = 0x02;
        const NAMED: u8 = 0xc0;
        let part = if self.listens { "u" } else { "s" };
        let id = text(&format!("{part}{}", seat.user));
        let (flags, who) = match self.host {
            None => (CLEAN, Vec::new()),
            Some(host) => {
                (CLEAN | NAMED, [text(&format!("{part}{}@{host}", seat.user)), text("any")].concat())
            }
        };
        // The protocol's name and version; no keep-alive.
        let body = [&text("MQTT")[..], &[4, flags, 0, 0], &id, &who].concat();
        packet(0x10, &body)
    }
}

fn topic(room: u32) -> String {
    format!("room/{room}")
}

/// A text with its length before it.
fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat()
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    let mut len = body.len();
    loop {
        let more = if len > 0x7f { 0x80 } else { 0 };
        packet.push((len & 0x7f) as u8 | more);
        len >>= 7;
        if len == 0 {
            break;
        }
    }
    packet.extend_from_slice(body);
    packet
}

/// The packet at the beginning of these bytes: its first byte, its body, and the length of the whole.
fn first_packet(bytes: &[u8]) -> Result<Option<(u8, &[u8], usize)>> {
    let Some(first) = bytes.first() else { return Ok(None) };
    let (mut len, mut at) = (0, 1);
    loop {
        let Some(byte) = bytes.get(at) else { return Ok(None) };
        len |= usize::from(byte & 0x7f) << (7 * (at - 1));
        at += 1;
        if byte & 0x80 == 0 {
            break;
        }
        if at > 4 {
            bail!("a packet whose length does not end");
        }
    }
    Ok(bytes.get(at..at + len).map(|body| (*first, body, at + len)))
}

/// Takes the answer of this kind out of what was said, if it is whole.
fn answer(said: &mut Vec<u8>, kind: u8) -> Result<Option<Vec<u8>>> {
    let Some((first, body, len)) = first_packet(said)? else { return Ok(None) };
    if first != kind {
        bail!("a packet of the kind {first:#x} instead of {kind:#x}");
    }
    let body = body.to_vec();
    said.drain(..len).next().context("an empty packet")?;
    Ok(Some(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_of_every_length_come_back_whole_and_are_waited_for() {
        let mqtt = Mqtt { listens: true, host: None };
        for len in [0, 100, 127, 128, 16_383, 16_384] {
            let bytes = mqtt.speak(7, &vec![b'x'; len]);
            let frame = mqtt.frame(&bytes).unwrap().unwrap();
            assert_eq!((frame.kind, frame.len), (Kind::Message { place: None }, bytes.len()));
            assert!(frame.payload.ends_with(&vec![b'x'; len]));
            assert!((0..bytes.len()).all(|end| mqtt.frame(&bytes[..end]).unwrap().is_none()), "{len}");
        }
    }
}
