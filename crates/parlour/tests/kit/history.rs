//! What happened, as somebody outside of the server saw it: written down at once, judged at the end by
//! [`checkers`](super::checkers).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parlour_client::wire::{MessageId, Seq, Topic};
use tokio::sync::watch;

/// The text of a message, which no two sends share: it names the message, whatever becomes of its id.
pub(crate) type Body = Arc<str>;
/// A client, by its user.
pub(crate) type Name = Arc<str>;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Entry {
    /// An app asked for a message to be sent.
    Invoked { client: Name, topic: Topic, body: Body },
    /// The server said that the message is stored: from here on it may not be lost.
    Acked { body: Body, id: MessageId, seq: Seq },
    /// The server said that the message is not stored, and never will be.
    Refused { body: Body, code: String },
    /// The server said that everything up to `seq` is read.
    ReadAcked { client: Name, topic: Topic, seq: Seq },
    /// A client was given an event.
    Shown { client: Name, topic: Topic, seq: Seq, what: What },
    /// A client was told that it has to load a topic anew.
    Reset { client: Name, topic: Topic, head: Seq },
}

/// What an event brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Message {
        id: MessageId,
        body: Body,
    },
    /// An event of this type.
    Other(String),
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message { id, body } => write!(f, "message {body} (id {id})"),
            Self::Other(kind) => f.write_str(kind),
        }
    }
}

/// A message that the server has at the end.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stored {
    pub(crate) topic: Topic,
    pub(crate) seq: Seq,
    pub(crate) id: MessageId,
    pub(crate) body: Body,
    pub(crate) sender: Name,
}

/// A client's unread state of one channel at the end, as the two who count it say.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Account {
    pub(crate) client: Name,
    pub(crate) topic: Topic,
    pub(crate) last_read_seq: Seq,
    pub(crate) counted_by_client: u64,
    pub(crate) counted_by_server: u64,
}

/// Writes down what happens, from many tasks.
pub(crate) struct History {
    entries: Mutex<Vec<Entry>>,
    acks: watch::Sender<u64>,
    places: watch::Sender<HashMap<(Name, Topic), Seq>>,
}

impl History {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            entries: Mutex::default(),
            acks: watch::Sender::default(),
            places: watch::Sender::default(),
        })
    }

    /// Writes an entry.
    pub(crate) fn note(&self, entry: Entry) {
        let acked = matches!(entry, Entry::Acked { .. });
        let place = match &entry {
            Entry::Shown { client, topic, seq, .. } => Some(((client.clone(), topic.clone()), *seq)),
            _ => None,
        };
        self.lock().push(entry);
        // After the entry is there: who is woken may read it.
        if acked {
            self.acks.send_modify(|acks| *acks += 1);
        }
        if let Some((at, seq)) = place {
            self.places.send_modify(|places| {
                places.insert(at, seq);
            });
        }
    }

    /// How many messages were acknowledged so far, now and at every change.
    pub(crate) fn acks(&self) -> watch::Receiver<u64> {
        self.acks.subscribe()
    }

    /// The last seq that a client was shown of a topic, now and at every change.
    pub(crate) fn places(&self) -> watch::Receiver<HashMap<(Name, Topic), Seq>> {
        self.places.subscribe()
    }

    /// Everything so far.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
