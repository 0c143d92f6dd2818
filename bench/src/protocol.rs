//! What clients say: one small module for each protocol.

pub(crate) mod bare;
pub(crate) mod mqtt;
pub(crate) mod nats;
pub(crate) mod parlour;
pub(crate) mod socket_io;

use anyhow::Result;

/// Who a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seat {
    pub(crate) room: u32,
    pub(crate) user: u32,
}

/// How a client gets from its TCP connection to its room.
pub(crate) enum Greeting {
    /// Say this, then go on with the next step.
    Say(Vec<u8>),
    /// The answer is not whole yet.
    Wait,
    /// It listens. With what the server said last.
    Joined(Vec<u8>),
    /// It is to come again later.
    Refused { retry_after_ms: u64 },
}

/// What one frame is to the generator.
#[derive(Debug, PartialEq)]
pub(crate) enum Kind {
    /// A message, whose text carries a number; and the server's own number for it.
    Message { place: Option<u64> },
    /// Something that wants this answer.
    Wants(Vec<u8>),
    /// Nothing that is counted.
    Aside,
    /// The connection ends, and its turn to come back is after this.
    Drain { retry_after_ms: u64 },
    /// The connection ends.
    Close,
}

/// One frame at the beginning of some bytes.
pub(crate) struct Frame<'a> {
    pub(crate) kind: Kind,
    pub(crate) payload: &'a [u8],
    /// Bytes of the whole.
    pub(crate) len: usize,
}

/// How clients of a server speak.
pub(crate) trait Protocol {
    /// What a client does at this step, when the server has said this and it has not been taken yet.
    fn greet(&self, seat: Seat, step: u32, said: &mut Vec<u8>) -> Result<Greeting>;

    /// The frame at the beginning of these bytes; `None`: it is not whole yet.
    ///
    /// # Errors
    /// The server complains, or says what no server may.
    fn frame<'a>(&self, bytes: &'a [u8]) -> Result<Option<Frame<'a>>>;

    /// A message to the room, said on a client's own connection.
    fn speak(&self, room: u32, text: &[u8]) -> Vec<u8>;
}
