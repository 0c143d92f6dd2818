//! What a client's WebSocket says, taken apart: RFC 6455 for the side that reads masked frames.
//!
//! No socket in here: bytes go in as they come, messages come out. What breaks the rules is said as soon as it can be
//! seen, a length before its payload has come. While nothing is half way, nothing is kept.

use parlour_wire::CloseCode;

/// A message, or a control frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    Text(String),
    Binary,
    Ping(Vec<u8>),
    Pong,
    /// The other side closes. `answer` is the payload of our close.
    Close {
        code: Option<CloseCode>,
        answer: Vec<u8>,
    },
}

/// What the other side did wrong, as the close code that says so.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Violation {
    pub(super) code: CloseCode,
    pub(super) reason: String,
}

/// The reading half of one WebSocket.
#[derive(Debug)]
pub(super) struct Inbound {
    /// A message's bytes, at most.
    message_bytes_max: u64,
    /// What has come, from `taken` on not yet taken apart.
    bytes: Vec<u8>,
    taken: usize,
    /// Bytes of a refused frame that are still to come.
    skipped: u64,
    /// The fragments of a message whose last is still to come.
    begun: Option<Box<Begun>>,
}

#[derive(Debug)]
struct Begun {
    kind: Kind,
    payload: Vec<u8>,
    /// Bytes of the payload that are whole characters.
    checked: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Binary,
}

/// A frame's header, as it came.
#[derive(Clone, Copy)]
struct Header {
    first: u8,
    is_masked: bool,
    /// Bytes of the header.
    len: usize,
    payload_len: u64,
}

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
/// A control frame's payload, at most.
const CONTROL_BYTES_MAX: u64 = 125;

impl Inbound {
    pub(super) fn new(message_bytes_max: usize) -> Self {
        let message_bytes_max = message_bytes_max as u64;
        Self { message_bytes_max, bytes: Vec::new(), taken: 0, skipped: 0, begun: None }
    }

    /// Takes what has come.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        let skipped = usize::try_from(self.skipped).map_or(bytes.len(), |skipped| skipped.min(bytes.len()));
        self.skipped -= skipped as u64;
        self.bytes.extend_from_slice(&bytes[skipped..]);
    }

    /// The next message that is whole; `None`: more has to come.
    ///
    /// # Errors
    /// The other side broke the rules. What follows the frame in question can still be read: its answer to a close.
    pub(super) fn next(&mut self) -> Result<Option<Incoming>, Violation> {
        loop {
            let Some((header, payload)) = self.frame()? else {
                self.forget_taken();
                return Ok(None);
            };
            let incoming = match header.opcode() {
                CLOSE => Some(close(payload)?),
                PING => Some(Incoming::Ping(payload)),
                PONG => Some(Incoming::Pong),
                _ => self.data(header, payload)?,
            };
            if incoming.is_some() {
                return Ok(incoming);
            }
        }
    }

    /// The next frame that is whole, with its payload unmasked. Whatever its header says wrong is an error before the
    /// payload has come.
    fn frame(&mut self) -> Result<Option<(Header, Vec<u8>)>, Violation> {
        let bytes = &self.bytes[self.taken..];
        let Some(header) = Header::read(bytes) else { return Ok(None) };
        if let Err(violation) = self.judge(header) {
            let rest = self.bytes.split_off(self.taken);
            self.forget_taken();
            (self.begun, self.skipped) = (None, header.payload_len.saturating_add(header.len as u64));
            self.take(&rest);
            return Err(violation);
        }
        let whole = usize::try_from(header.payload_len).ok().and_then(|len| bytes.get(..header.len + len));
        let Some((head, masked)) = whole.and_then(|whole| whole.split_at_checked(header.len)) else {
            return Ok(None);
        };
        let mut payload = masked.to_vec();
        if let Some((_, mask)) = head.split_last_chunk() {
            unmask(&mut payload, *mask);
        }
        self.taken += header.len + payload.len();
        Ok(Some((header, payload)))
    }

    fn judge(&self, header: Header) -> Result<(), Violation> {
        let opcode = header.opcode();
        if !matches!(opcode, CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG) {
            return Err(protocol(format!("a frame of the unknown kind {opcode}")));
        }
        let is_control = opcode >= CLOSE;
        self.judge_size(header.payload_len)?;
        if !header.is_masked {
            return Err(protocol("a frame that is not masked"));
        }
        if header.first & 0x70 != 0 {
            return Err(protocol("a frame with reserved bits"));
        }
        if is_control && !header.is_final() {
            return Err(protocol("a control frame in fragments"));
        }
        if is_control && header.payload_len > CONTROL_BYTES_MAX {
            return Err(protocol(format!("a control frame of {} bytes", header.payload_len)));
        }
        match (opcode, &self.begun) {
            (CONTINUATION, None) => Err(protocol("a fragment that continues nothing")),
            (TEXT | BINARY, Some(_)) => Err(protocol("a message within a message")),
            (CONTINUATION, Some(begun)) => {
                self.judge_size(header.payload_len.saturating_add(begun.payload.len() as u64))
            }
            _ => Ok(()),
        }
    }

    fn judge_size(&self, bytes: u64) -> Result<(), Violation> {
        let max = self.message_bytes_max;
        if bytes <= max {
            return Ok(());
        }
        let reason = format!("a frame of {bytes} bytes; the limit is {max}");
        Err(Violation { code: CloseCode::TOO_BIG, reason })
    }

    /// Takes a frame of a message; answers the message, if that was its last.
    fn data(&mut self, header: Header, payload: Vec<u8>) -> Result<Option<Incoming>, Violation> {
        let mut begun = match self.begun.take() {
            Some(mut begun) => {
                begun.payload.extend_from_slice(&payload);
                begun
            }
            None => {
                let kind = if header.opcode() == TEXT { Kind::Text } else { Kind::Binary };
                Box::new(Begun { kind, payload, checked: 0 })
            }
        };
        if begun.kind == Kind::Text {
            begun.check(header.is_final())?;
        }
        if !header.is_final() {
            self.begun = Some(begun);
            return Ok(None);
        }
        Ok(Some(match begun.kind {
            Kind::Text => Incoming::Text(String::from_utf8(begun.payload).map_err(|_| not_utf8())?),
            Kind::Binary => Incoming::Binary,
        }))
    }

    fn forget_taken(&mut self) {
        if self.taken == self.bytes.len() {
            // An idle connection keeps nothing.
            self.bytes = Vec::new();
        } else {
            self.bytes.drain(..self.taken);
        }
        self.taken = 0;
    }
}

impl Header {
    /// The header at the beginning of these bytes; `None` before its length has come. Its mask may be still to come.
    fn read(bytes: &[u8]) -> Option<Self> {
        let [first, second, ..] = *bytes else { return None };
        let extended = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let length = bytes.get(2..2 + extended)?;
        let payload_len = match extended {
            0 => u64::from(second & 0x7f),
            _ => length.iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
        };
        let is_masked = second & 0x80 != 0;
        let len = 2 + extended + if is_masked { 4 } else { 0 };
        Some(Self { first, is_masked, len, payload_len })
    }

    fn opcode(self) -> u8 {
        self.first & 0x0f
    }

    fn is_final(self) -> bool {
        self.first & 0x80 != 0
    }
}

impl Begun {
    /// Whether what has come is text so far: a character may be split between two fragments.
    fn check(&mut self, is_final: bool) -> Result<(), Violation> {
        match std::str::from_utf8(&self.payload[self.checked..]) {
            Ok(_) => self.checked = self.payload.len(),
            Err(error) if error.error_len().is_none() && !is_final => self.checked += error.valid_up_to(),
            Err(_) => return Err(not_utf8()),
        }
        Ok(())
    }
}

fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let (fours, rest) = payload.as_chunks_mut::<4>();
    for four in fours {
        *four = (u32::from_ne_bytes(*four) ^ u32::from_ne_bytes(mask)).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask) {
        *byte ^= mask;
    }
}

fn close(payload: Vec<u8>) -> Result<Incoming, Violation> {
    let (code, reason) = match *payload {
        [] => return Ok(Incoming::Close { code: None, answer: payload }),
        [_] => return Err(protocol("a close of one byte")),
        [high, low, ref reason @ ..] => (u16::from_be_bytes([high, low]), reason),
    };
    if std::str::from_utf8(reason).is_err() {
        return Err(not_utf8());
    }
    // What may stand in a close frame: the standard's own codes, and those of libraries and applications.
    if matches!(code, 1000..=1003 | 1007..=1013 | 3000..=4999) {
        return Ok(Incoming::Close { code: Some(CloseCode(code)), answer: payload });
    }
    let answer = [&CloseCode::PROTOCOL_ERROR.0.to_be_bytes()[..], b"a close code that is none"].concat();
    Ok(Incoming::Close { code: Some(CloseCode::PROTOCOL_ERROR), answer })
}

fn protocol(reason: impl Into<String>) -> Violation {
    Violation { code: CloseCode::PROTOCOL_ERROR, reason: reason.into() }
}

fn not_utf8() -> Violation {
    Violation { code: CloseCode::NOT_UTF8, reason: "a text that is not UTF-8".to_owned() }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Cursor, Read, Write};

    use proptest::prelude::*;
    use tungstenite::protocol::{Message, Role, WebSocket, WebSocketConfig};

    use super::*;

    /// Small, so that what is too large is tried often; more than a control frame may have.
    const MAX: usize = 200;

    /// What came of some bytes: the messages, and then the code of the error, if there was one.
    type Outcome = (Vec<Incoming>, Option<u16>);

    /// How [`Inbound`] reads bytes that come in such pieces.
    fn ours(bytes: &[u8], pieces: &[usize]) -> Outcome {
        let mut inbound = Inbound::new(MAX);
        let mut said = Vec::new();
        let mut rest = bytes;
        for piece in pieces.iter().copied().chain([usize::MAX]) {
            let (now, later) = rest.split_at(piece.min(rest.len()));
            rest = later;
            inbound.take(now);
            loop {
                match inbound.next() {
                    Ok(Some(incoming @ Incoming::Close { .. })) => {
                        said.push(incoming);
                        return (said, None);
                    }
                    Ok(Some(incoming)) => said.push(incoming),
                    Ok(None) => break,
                    Err(violation) => return (said, Some(violation.code.0)),
                }
            }
        }
        (said, None)
    }

    struct Heard(Cursor<Vec<u8>>);

    impl Read for Heard {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl Write for Heard {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// How a library that many rely on reads the same.
    fn theirs(bytes: Vec<u8>) -> Outcome {
        let config = WebSocketConfig::default().max_message_size(Some(MAX)).max_frame_size(Some(MAX));
        let mut socket = WebSocket::from_raw_socket(Heard(Cursor::new(bytes)), Role::Server, Some(config));
        let mut said = Vec::new();
        loop {
            said.push(match socket.read() {
                Ok(Message::Text(text)) => Incoming::Text(text.to_string()),
                Ok(Message::Binary(_)) => Incoming::Binary,
                Ok(Message::Ping(payload)) => Incoming::Ping(payload.to_vec()),
                Ok(Message::Pong(_)) => Incoming::Pong,
                Ok(Message::Close(frame)) => {
                    let code = frame.map(|frame| CloseCode(frame.code.into()));
                    said.push(Incoming::Close { code, answer: Vec::new() });
                    return (said, None);
                }
                Ok(Message::Frame(_)) => unreachable!("reading gives none"),
                Err(tungstenite::Error::Capacity(_)) => return (said, Some(1009)),
                Err(tungstenite::Error::Utf8(_)) => return (said, Some(1007)),
                Err(tungstenite::Error::Protocol(
                    tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
                )) => return (said, None),
                Err(tungstenite::Error::Protocol(_)) => return (said, Some(1002)),
                Err(error) => panic!("{error}"),
            });
        }
    }

    fn without_answers((mut said, code): Outcome) -> Outcome {
        for incoming in &mut said {
            if let Incoming::Close { answer, .. } = incoming {
                answer.clear();
            }
        }
        (said, code)
    }

    fn frame(first: u8, mask: Option<[u8; 4]>, claimed: Option<u64>, payload: &[u8]) -> Vec<u8> {
        let mask_bit = if mask.is_some() { 0x80 } else { 0 };
        let mut frame = match (claimed, payload.len()) {
            (Some(claimed), _) => [&[first, mask_bit | 127], &claimed.to_be_bytes()[..]].concat(),
            (None, len @ ..126) => vec![first, mask_bit | len as u8],
            (None, len) => [&[first, mask_bit | 126], &(len as u16).to_be_bytes()[..]].concat(),
        };
        frame.extend(mask.iter().flatten());
        let mut payload = payload.to_vec();
        unmask(&mut payload, mask.unwrap_or_default());
        frame.extend(payload);
        frame
    }

    /// Frames as they should be and as they should not, most of them so that something comes after them.
    fn any_frame() -> impl Strategy<Value = Vec<u8>> {
        let fin = prop_oneof![4 => Just(0x80_u8), 1 => Just(0)];
        let reserved = prop_oneof![40 => Just(0_u8), 1 => 1_u8..8];
        let opcode = prop_oneof![
            6 => Just(TEXT), 6 => Just(CONTINUATION), 2 => Just(BINARY), 2 => Just(PING), 1 => Just(PONG),
            1 => Just(CLOSE), 1 => 0_u8..16
        ];
        let mask = prop_oneof![30 => any::<[u8; 4]>().prop_map(Some), 1 => Just(None)];
        let claimed =
            prop_oneof![60 => Just(None), 1 => any::<u64>().prop_map(Some), 1 => (0..300_u64).prop_map(Some)];
        let payload = prop_oneof![
            8 => "[a-zä😀]{0,12}".prop_map(String::into_bytes),
            2 => proptest::collection::vec(any::<u8>(), 0..8),
            1 => proptest::collection::vec(0x20_u8..0x7f, 100..260),
            1 => (any::<u16>(), "[a-z]{0,5}").prop_map(|(code, reason)| [&code.to_be_bytes()[..], reason.as_bytes()].concat()),
            1 => (prop_oneof![995_u16..1020, 2990..3010_u16, 4990..5010_u16], "[a-zé]{0,3}")
                .prop_map(|(code, reason)| [&code.to_be_bytes()[..], reason.as_bytes()].concat()),
        ];
        (fin, reserved, opcode, mask, claimed, payload).prop_map(
            |(fin, reserved, opcode, mask, claimed, payload)| {
                frame(fin | reserved << 4 | opcode, mask, claimed, &payload)
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

        #[test]
        fn bytes_mean_what_they_mean_to_others_however_they_come_l6_38(
            frames in proptest::collection::vec(any_frame(), 0..8),
            tail in proptest::collection::vec(any::<u8>(), 0..6),
            pieces in proptest::collection::vec(0_usize..40, 0..20),
        ) {
            let bytes = [frames.concat(), tail].concat();
            let (said, code) = without_answers(ours(&bytes, &pieces));
            prop_assert_eq!(&without_answers(ours(&bytes, &[])), &(without_answers(ours(&bytes, &pieces))));
            // What is wrong with a frame is said here before it is whole; the other waits for the rest.
            let rest = if code.is_some() { vec![0; 2 * MAX] } else { Vec::new() };
            prop_assert_eq!((said, code), theirs([bytes, rest].concat()));
        }

        #[test]
        fn no_bytes_at_all_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..400), cut in 0_usize..400) {
            let mut inbound = Inbound::new(MAX);
            for piece in [&bytes[..cut.min(bytes.len())], &bytes[cut.min(bytes.len())..]] {
                inbound.take(piece);
                // After an error, too: what follows is looked through for the answer to a close.
                while !matches!(inbound.next(), Ok(None)) {}
                prop_assert!(inbound.bytes.len() <= MAX + 14);
            }
        }
    }

    #[test]
    fn a_connection_with_nothing_half_way_keeps_no_bytes() {
        let mut inbound = Inbound::new(MAX);
        inbound.take(
            &[frame(0x81, Some([1, 2, 3, 4]), None, b"{}"), frame(0x89, Some([0; 4]), None, b"")].concat(),
        );
        assert_eq!(inbound.next(), Ok(Some(Incoming::Text("{}".to_owned()))));
        assert_eq!(inbound.next(), Ok(Some(Incoming::Ping(Vec::new()))));
        assert_eq!(inbound.next(), Ok(None));
        assert_eq!((inbound.bytes.capacity(), inbound.begun.is_none()), (0, true));
    }

    #[test]
    fn after_a_refused_frame_the_answer_to_the_close_is_still_found() {
        for refused in [
            frame(0x81, Some([7; 4]), None, &[b'x'; MAX + 1]),
            frame(0xc1, Some([7; 4]), None, b"reserved"),
            frame(0x81, None, None, b"unmasked"),
            frame(0x83, Some([7; 4]), None, b"unknown"),
        ] {
            let answer = frame(0x88, Some([1; 4]), None, &1009_u16.to_be_bytes());
            let bytes = [refused, answer].concat();
            for cut in [2, 9, bytes.len() - 3, bytes.len()] {
                let mut inbound = Inbound::new(MAX);
                let mut errors = 0;
                for piece in [&bytes[..cut], &bytes[cut..]] {
                    inbound.take(piece);
                    loop {
                        match inbound.next() {
                            Err(_) => errors += 1,
                            Ok(None) => break,
                            Ok(Some(incoming)) => {
                                assert!(matches!(
                                    incoming,
                                    Incoming::Close { code: Some(CloseCode(1009)), .. }
                                ));
                                errors += 10;
                                break;
                            }
                        }
                    }
                }
                assert_eq!(errors, 11, "cut at {cut}");
            }
        }
    }
}
