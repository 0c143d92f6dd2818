//! What time it is, as an argument: the simulator runs the same server on a clock of its own.

use parlour_proto::Millis;
use parlour_wire::Timestamp;
use tokio::time::Instant;

/// The server's clocks: one that people read, one that never steps back.
#[derive(Clone, Debug)]
pub struct Clock {
    wall: Wall,
    started: Instant,
}

#[derive(Clone, Debug)]
enum Wall {
    System,
    /// The time at `started`, moving with tokio's clock (which tests pause).
    From(Timestamp),
}

impl Clock {
    /// The machine's own clock.
    pub fn system() -> Self {
        Self { wall: Wall::System, started: Instant::now() }
    }

    /// A clock that shows `at` now and moves with tokio's time.
    pub fn starting_at(at: Timestamp) -> Self {
        Self { wall: Wall::From(at), started: Instant::now() }
    }

    /// The time of day, for what people and other machines read.
    pub fn now(&self) -> Timestamp {
        match self.wall {
            Wall::System => {
                let since =
                    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                Timestamp::from_unix_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
            }
            Wall::From(at) => {
                let elapsed = i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX);
                Timestamp::from_unix_ms(at.unix_ms().saturating_add(elapsed))
            }
        }
    }

    /// Milliseconds since the server started: for deadlines.
    pub fn millis(&self) -> Millis {
        Millis::try_from(self.started.elapsed().as_millis()).unwrap_or(Millis::MAX)
    }

    /// The moment on tokio's clock that [`Self::millis`] will show this.
    pub fn instant(&self, at: Millis) -> Instant {
        self.started + std::time::Duration::from_millis(at)
    }
}
