//! A frame as its receivers get it: encoded once, framed once, shared by all.
//!
//! The bytes are those of a WebSocket message. Nothing in them differs from one receiver to the next, so a broadcast
//! hands the same bytes to every socket; who carries frames otherwise takes the text alone.

use std::fmt;
use std::sync::Arc;

use parlour_wire::ServerFrame;

/// An encoded frame, shared by all who receive it.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame(Arc<[u8]>);

/// A whole message of text; the server's frames are not masked.
const TEXT: u8 = 0x81;
/// Bytes of the longest header.
const HEADER_MAX: usize = 10;
/// Room that an event takes with its header, most often.
const USUAL_BYTES: usize = 768;

impl Frame {
    /// Encodes a frame.
    pub(crate) fn new(frame: &ServerFrame) -> Self {
        let mut bytes = Vec::with_capacity(USUAL_BYTES);
        bytes.resize(HEADER_MAX, 0);
        serde_json::to_writer(&mut bytes, frame).expect("frames have string keys and finite numbers only");
        Self::with_header(TEXT, bytes)
    }

    /// A control frame of a WebSocket.
    pub(crate) fn control(first: u8, payload: &[u8]) -> Self {
        Self::with_header(first, [&[0; HEADER_MAX], payload].concat())
    }

    /// Puts the header before the payload, which begins after room for the longest one.
    fn with_header(first: u8, mut bytes: Vec<u8>) -> Self {
        let len = bytes.len() - HEADER_MAX;
        let (second, extended) = match len {
            0..=125 => (len as u8, 0),
            126..=0xffff => (126, 2),
            _ => (127, 8),
        };
        let begin = HEADER_MAX - 2 - extended;
        bytes[HEADER_MAX - extended..HEADER_MAX].copy_from_slice(&(len as u64).to_be_bytes()[8 - extended..]);
        (bytes[begin], bytes[begin + 1]) = (first, second);
        Self(bytes[begin..].into())
    }

    /// The frame as a WebSocket carries it.
    pub(crate) fn as_websocket(&self) -> &[u8] {
        &self.0
    }

    /// The frame's text.
    pub fn text(&self) -> &str {
        let header_len = match self.0[1] {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        std::str::from_utf8(&self.0[header_len..]).expect("JSON is text")
    }

    /// Bytes of the whole.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl From<&str> for Frame {
    fn from(text: &str) -> Self {
        Self::with_header(TEXT, [&[0; HEADER_MAX], text.as_bytes()].concat())
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Frame").field(&String::from_utf8_lossy(&self.0)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_of_any_length_is_its_text_behind_the_shortest_header() {
        for (len, header) in [
            (0, &[TEXT, 0][..]),
            (125, &[TEXT, 125]),
            (126, &[TEXT, 126, 0, 126]),
            (0xffff, &[TEXT, 126, 0xff, 0xff]),
            (0x1_0000, &[TEXT, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let text = "x".repeat(len);
            let frame = Frame::from(&*text);
            assert_eq!(frame.text(), text);
            assert_eq!(frame.as_websocket(), [header, text.as_bytes()].concat());
        }
    }

    #[test]
    fn a_control_frame_carries_its_payload_as_it_is() {
        assert_eq!(Frame::control(0x8a, b"\xff\x00").as_websocket(), b"\x8a\x02\xff\x00");
    }
}
