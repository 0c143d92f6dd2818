//! Bytes on their way out in the body of an HTTP answer: who waits until the last of them have left.

use bytes::Bytes;
use tokio::sync::watch;

/// Knows what has not left yet.
#[derive(Debug, Default)]
pub(crate) struct Departures(watch::Sender<()>);

/// Held by what has not left yet.
#[derive(Debug)]
pub(crate) struct Leaving(
    #[expect(dead_code, reason = "that it is dropped says everything")] watch::Receiver<()>,
);

impl Departures {
    pub(crate) fn begin(&self) -> Leaving {
        Leaving(self.0.subscribe())
    }

    /// Returns when everything has left. May be dropped at any time.
    pub(crate) async fn over(&self) {
        self.0.closed().await;
    }
}

impl Leaving {
    /// The bytes to send. They are kept until they are written, and not copied by what writes them: then they have left.
    pub(crate) fn by(self, bytes: impl AsRef<[u8]> + Send + 'static) -> Bytes {
        Bytes::from_owner(Held { bytes, _leaving: self })
    }
}

struct Held<B> {
    bytes: B,
    _leaving: Leaving,
}

impl<B: AsRef<[u8]>> AsRef<[u8]> for Held<B> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}
