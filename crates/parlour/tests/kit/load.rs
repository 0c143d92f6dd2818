//! Writers that only want to be told the truth: they send over HTTP, write down what they are told, and ask
//! again about what they were not told.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use parlour_client::wire::{Cid, ErrorCode, MessageId, Seq};
use parlour_client::{ActingChannel, MessageDraft, MessagePage, NO_DATA, Topic};
use rusqlite::{Connection, OpenFlags};
use tokio::task::JoinSet;

use super::checkers;
use super::history::{Entry, History, Name, Stored};
use super::server::Server;

/// Enough at once that commits are shared, few enough that two cores are not busy with waiting.
const WRITERS: usize = 8;
/// Makes a message a page of SQLite, so that the log soon fills up to a checkpoint.
const PADDING: usize = 3_500;

/// What a writer was told of one send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Acked,
    /// An answer that is no success.
    Failed(String),
    /// No answer: the server is gone.
    Nothing,
}

/// Writers of one channel, over all lives of its server.
pub(crate) struct Load {
    pub(crate) history: Arc<History>,
    cid: Cid,
    sends: AtomicU64,
    /// What was sent and neither acknowledged nor asked about again.
    open: Mutex<Vec<(Name, MessageId)>>,
    judged: Mutex<Judged>,
}

/// Up to where the checkers have seen everything.
#[derive(Clone, Copy, Default)]
struct Judged {
    entries: usize,
    seq: Seq,
}

impl Load {
    /// Makes the writers' users and their channel.
    pub(crate) async fn prepare(server: &Server) -> Arc<Self> {
        let backend = server.backend();
        let names: Vec<Name> = (0..WRITERS).map(name).collect();
        backend.upsert_users(names.iter().map(|name| name.to_string())).await.unwrap();
        let members: Vec<&str> = names[1..].iter().map(|name| &**name).collect();
        let channel = backend.as_user(&names[0]).unwrap().channel("messaging", "load").unwrap();
        let seq = channel.get_or_create(&members, NO_DATA).await.unwrap().state.head;
        Arc::new(Self {
            history: History::new(),
            cid: channel.cid().clone(),
            sends: AtomicU64::new(0),
            open: Mutex::default(),
            judged: Mutex::new(Judged { entries: 0, seq }),
        })
    }

    /// Lets each writer send one message after the other until `goes_on` says no to what it was told.
    pub(crate) async fn send_while(
        self: &Arc<Self>,
        server: &Server,
        goes_on: impl Fn(&Told) -> bool + Clone + Send + 'static,
    ) {
        let mut writers = JoinSet::new();
        for name in (0..WRITERS).map(name) {
            let (load, goes_on) = (Arc::clone(self), goes_on.clone());
            let channel = self.channel(server, &name);
            writers.spawn(async move {
                loop {
                    let told = load.send_another(&channel, &name).await;
                    if !goes_on(&told) {
                        break;
                    }
                }
            });
        }
        while let Some(ended) = writers.join_next().await {
            ended.unwrap();
        }
    }

    /// Sends a new message as each of the writers, and answers what each was told.
    pub(crate) async fn send_one_each(self: &Arc<Self>, server: &Server) -> Vec<Told> {
        let mut told = Vec::new();
        for name in (0..WRITERS).map(name) {
            told.push(self.send_another(&self.channel(server, &name), &name).await);
        }
        told
    }

    async fn send_another(&self, channel: &ActingChannel, client: &Name) -> Told {
        let n = self.sends.fetch_add(1, Ordering::Relaxed);
        let body: Arc<str> = format!("{client}-{n}").into();
        let topic = Topic::Channel(self.cid.clone());
        self.history.note(Entry::Invoked { client: client.clone(), topic, body: body.clone() });
        let id = MessageId::parse(&body).unwrap();
        match self.send(channel, id.clone()).await {
            Told::Acked => Told::Acked,
            other => {
                self.open.lock().unwrap().push((client.clone(), id));
                other
            }
        }
    }

    async fn send(&self, channel: &ActingChannel, id: MessageId) -> Told {
        let body = id.as_str();
        let custom = BTreeMap::from([("padding".to_owned(), "x".repeat(PADDING).into())]);
        let draft = MessageDraft { id: Some(id.clone()), custom, ..MessageDraft::text(body) };
        match channel.send_message(draft).await {
            Ok(message) => {
                self.history.note(Entry::Acked { body: body.into(), id: message.id, seq: message.seq });
                Told::Acked
            }
            Err(error) if error.is(ErrorCode::Network) || error.is(ErrorCode::Timeout) => Told::Nothing,
            Err(error) => Told::Failed(error.code().to_owned()),
        }
    }

    /// Sends again, with the same id, whatever has no outcome. Answers how many there were.
    ///
    /// # Panics
    /// One has none now either.
    pub(crate) async fn ask_again(&self, server: &Server) -> usize {
        let open = std::mem::take(&mut *self.open.lock().unwrap());
        let count = open.len();
        for (client, id) in open {
            let told = self.send(&self.channel(server, &client), id.clone()).await;
            assert_eq!(told, Told::Acked, "{id}, sent again");
        }
        count
    }

    /// Reads every message that is stored above this seq.
    pub(crate) async fn stored(&self, server: &Server, above: Seq) -> Vec<Stored> {
        everything_stored(&self.channel(server, &name(0)), above).await
    }

    /// Asks again about what is open, and judges what happened since the last judgement. Answers the
    /// number of acknowledgements in it.
    ///
    /// # Panics
    /// A promise was broken.
    pub(crate) async fn judge_the_news(&self, server: &Server) -> usize {
        self.ask_again(server).await;
        let since = *self.judged.lock().unwrap();
        let stored = self.stored(server, since.seq).await;
        let history = self.history.entries();
        let seq = stored.last().map_or(since.seq, |message| message.seq);
        *self.judged.lock().unwrap() = Judged { entries: history.len(), seq };
        judge(&history[since.entries..], &stored)
    }

    /// Judges everything from the beginning, with SQLite's own look at its file.
    ///
    /// # Panics
    /// A promise was broken, or the file is damaged.
    pub(crate) async fn judge_everything(&self, server: &Server, data: &Path) -> usize {
        self.ask_again(server).await;
        check_integrity(data);
        judge(&self.history.entries(), &self.stored(server, 0).await)
    }

    /// How many acknowledged messages are not stored.
    pub(crate) async fn lost(&self, server: &Server) -> usize {
        let lost = checkers::acked_are_stored_once(&self.history.entries(), &self.stored(server, 0).await);
        lost.len()
    }

    fn channel(&self, server: &Server, user: &str) -> ActingChannel {
        server.backend().as_user(user).unwrap().channel_at(self.cid.clone())
    }
}

fn judge(history: &[Entry], stored: &[Stored]) -> usize {
    checkers::expect_none(&[
        ("acknowledged is stored once", checkers::acked_are_stored_once(history, stored)),
        ("stored is what was sent", checkers::stored_is_what_was_sent(history, stored)),
        ("every outcome is known", checkers::all_outcomes_are_known(history)),
    ]);
    // Nothing but messages happens in this channel: its seqs show every hole.
    let seqs: Vec<Seq> = stored.iter().map(|message| message.seq).collect();
    let holes: Vec<&[Seq]> = seqs.windows(2).filter(|pair| pair[1] != pair[0] + 1).collect();
    assert!(holes.is_empty(), "there are holes between {holes:?}");
    history.iter().filter(|entry| matches!(entry, Entry::Acked { .. })).count()
}

/// Lets SQLite look for damage in the database of a data folder.
pub(crate) fn check_integrity(data: &Path) {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(data.join("parlour.db"), flags).unwrap();
    let found: String = conn.query_row("pragma integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(found, "ok");
}

/// All messages of a channel above a seq, page by page.
///
/// # Panics
/// A page is out of order.
pub(crate) async fn everything_stored(channel: &ActingChannel, above: Seq) -> Vec<Stored> {
    let topic = Topic::Channel(channel.cid().clone());
    let mut stored: Vec<Stored> = Vec::new();
    loop {
        let after = stored.last().map_or(above, |message| message.seq);
        let page = channel.messages(MessagePage::after(after, 100)).await.unwrap();
        for message in page.messages {
            let last = stored.last().map_or(above, |message| message.seq);
            assert!(message.seq > last, "{} after {last}", message.seq);
            stored.push(Stored {
                topic: topic.clone(),
                seq: message.seq,
                id: message.id,
                body: message.text.into(),
                sender: message.user.id.as_str().into(),
            });
        }
        if !page.has_more_after {
            return stored;
        }
    }
}

fn name(n: usize) -> Name {
    format!("writer-{n}").into()
}
