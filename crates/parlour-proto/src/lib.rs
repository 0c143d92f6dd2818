//! The two halves of one connection, as machines without clock, socket or randomness.
//!
//! [`Connection`] is the client's half, [`Session`] the server's. Each takes an input and the time, and says
//! what to do. Whoever drives them owns sockets, timers and dice; the same machine therefore runs over
//! WebSocket today and over anything else tomorrow, and is tested to the millisecond without waiting.
//! [`Cursor`] is the only place where two seqs are compared.
//!
//! Not here: I/O, async, encoding of bytes, what a token means, what a user may read.

mod backoff;
mod connection;
mod cursor;
mod session;

pub use backoff::Backoff;
pub use connection::{
    AppLevel, Background, Cause, Connection, ConnectionConfig, FailedWhy, Input, Mode, NetworkLevel, Output,
    Saved, State, Transition, Transport, UiStatus,
};
pub use cursor::{Cursor, Offer};
pub use session::{
    Admission, Effect, Live, Load, Session, SessionConfig, SessionInput, SessionOutput, TopicStart,
};

/// Milliseconds on a clock that never steps back. Where it starts does not matter.
pub type Millis = u64;
