//! The words that the stories are told in.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use parlour_store::{
    AppId, AppMode, Audience, Committed, Connect, Connected, Deletion, Events, Ledger, Logged, Marks,
    MemberChange, NewApp, NewChannel, NewMessage, Reader, Requires, Result, Sent, Sqlite, SqliteOptions,
    Store, StoreError, Ticket, UserWrite,
};
use parlour_wire::messages::{EditMessage, Message};
use parlour_wire::reads::Unread;
use parlour_wire::{Cid, Event, MessageId, Seq, Timestamp, Topic, UserId};
use serde_json::Value;

/// 2026-11-21T06:47:00Z, when nothing else is said.
pub(crate) const START_MS: i64 = 1_795_243_620_000;

pub(crate) fn at(ms: i64) -> Timestamp {
    Timestamp::from_unix_ms(START_MS + ms)
}

/// A user, or who is anonymous.
pub(crate) fn user(id: &str) -> UserId {
    if id.starts_with('!') { UserId::parse_anonymous(id).unwrap() } else { id.parse().unwrap() }
}

pub(crate) fn users(ids: &[&str]) -> Vec<UserId> {
    ids.iter().map(|id| user(id)).collect()
}

pub(crate) fn cid(text: &str) -> Cid {
    text.parse().unwrap()
}

pub(crate) fn message_id(id: &str) -> MessageId {
    id.parse().unwrap()
}

pub(crate) fn fields(value: Value) -> BTreeMap<String, Value> {
    serde_json::from_value(value).unwrap()
}

pub(crate) fn channel_topic(text: &str) -> Topic {
    Topic::Channel(cid(text))
}

pub(crate) fn user_topic(id: &str) -> Topic {
    Topic::User(user(id))
}

/// `topic seq type` of each event: enough to see what happened where.
pub(crate) fn lines<L: Borrow<Logged>>(events: &[L]) -> Vec<String> {
    events
        .iter()
        .map(Borrow::borrow)
        .map(|logged| format!("{} {} {}", logged.topic, logged.seq, logged.event.known().unwrap().kind()))
        .collect()
}

pub(crate) fn event(logged: &Logged) -> &Event {
    logged.event.known().unwrap()
}

/// A store with an app, and users who exist.
#[derive(Clone)]
pub(crate) struct Kit {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) app: AppId,
}

impl Kit {
    pub(crate) async fn new(store: Arc<dyn Store>) -> Self {
        let app = new_app(&store, "first").await;
        Self { store, app }
    }

    /// The same store as another app sees it.
    pub(crate) async fn other_app(&self, key: &str) -> Self {
        Self { store: Arc::clone(&self.store), app: new_app(&self.store, key).await }
    }

    pub(crate) async fn has_users(&self, ids: &[&str]) {
        let writes =
            ids.iter().map(|id| UserWrite { id: user(id), fields: BTreeMap::new(), role: None, teams: None });
        self.store.upsert_users(self.app, writes.collect(), at(0)).await.unwrap();
    }

    pub(crate) fn connect(&self, id: &str) -> Connect {
        Connect {
            app: self.app,
            user: user(id),
            fields: BTreeMap::new(),
            ticket: None,
            resume: None,
            issued_at: None,
            now: at(0),
        }
    }

    /// Opens a connection that is counted, this long after the beginning.
    pub(crate) async fn opens(&self, ledger: &Arc<Ledger>, id: &str, ms: i64) -> Arc<Ticket> {
        let marks = Marks { device: 1, page: 1, instance: 1, comes_back: false };
        let ticket = ledger.ticket(self.app, user(id), marks);
        let connect = Connect { ticket: Some(Arc::clone(&ticket)), now: at(ms), ..self.connect(id) };
        self.store.connect(connect).await.unwrap();
        ticket
    }

    pub(crate) async fn connects(&self, id: &str, sent: Value) -> Result<Committed<Connected>> {
        self.store.connect(Connect { fields: fields(sent), ..self.connect(id) }).await
    }

    pub(crate) fn channel(&self, name: &str, creator: Option<&str>, members: &[&str]) -> NewChannel {
        NewChannel {
            app: self.app,
            cid: cid(name),
            creator: creator.map(user),
            members: users(members),
            team: None,
            data: BTreeMap::new(),
            now: at(0),
        }
    }

    /// A channel with these members; the first is its owner. The users are made too.
    pub(crate) async fn has_channel(&self, name: &str, members: &[&str]) {
        self.has_users(members).await;
        let (creator, members) = match members.split_first() {
            Some((creator, members)) => (Some(*creator), members),
            None => (None, members),
        };
        let made = self.store.get_or_create_channel(self.channel(name, creator, members)).await.unwrap();
        assert!(made.value, "{name} was there already");
    }

    pub(crate) fn message(&self, channel: &str, sender: &str, id: &str, text: &str) -> NewMessage {
        NewMessage {
            app: self.app,
            cid: cid(channel),
            sender: user(sender),
            requires: Requires::Membership,
            id: message_id(id),
            text: text.to_owned(),
            attachments: Vec::new(),
            mentioned_users: Vec::new(),
            silent: false,
            custom: BTreeMap::new(),
            now: at(0),
        }
    }

    /// A send that must be new.
    pub(crate) async fn sends(&self, channel: &str, sender: &str, id: &str) -> Message {
        let message = self.message(channel, sender, id, &format!("{sender} says {id}"));
        match self.store.send_message(message).await.unwrap().value {
            Sent::New(message) => message,
            Sent::Before(message) => panic!("{} was sent before", message.id),
        }
    }

    pub(crate) async fn edits(
        &self,
        channel: &str,
        id: &str,
        edit: EditMessage,
    ) -> Result<Committed<Message>> {
        self.store
            .edit_message(self.app, &cid(channel), &message_id(id), edit, Audience::Everybody, at(0))
            .await
    }

    pub(crate) async fn edits_text(&self, channel: &str, id: &str, text: &str) -> Message {
        let edit = EditMessage { text: Some(text.to_owned()), ..EditMessage::default() };
        self.edits(channel, id, edit).await.unwrap().value
    }

    pub(crate) async fn deletes(&self, channel: &str, id: &str, deletion: Deletion) -> Result<Committed<()>> {
        self.store.delete_message(self.app, &cid(channel), &message_id(id), deletion, at(0)).await
    }

    pub(crate) fn members(&self, channel: &str, add: &[&str], remove: &[&str]) -> MemberChange {
        MemberChange {
            app: self.app,
            cid: cid(channel),
            add: users(add),
            remove: users(remove),
            hide_history: false,
            now: at(0),
        }
    }

    pub(crate) async fn adds(&self, channel: &str, add: &[&str]) -> Vec<Arc<Logged>> {
        self.store.change_members(self.members(channel, add, &[])).await.unwrap().events
    }

    pub(crate) async fn removes(&self, channel: &str, remove: &[&str]) -> Vec<Arc<Logged>> {
        self.store.change_members(self.members(channel, &[], remove)).await.unwrap().events
    }

    pub(crate) async fn head(&self, topic: Topic) -> Seq {
        self.store.heads(vec![(self.app, topic)]).await.unwrap()[0]
    }

    /// All events after a place, as anybody may read them.
    pub(crate) async fn events(&self, topic: &Topic, after: Seq) -> Vec<Logged> {
        match self.store.events(self.app, topic, after, 1_000, Reader::Anyone).await.unwrap() {
            Events::Found { events, .. } => events,
            other => panic!("{topic}: {other:?}"),
        }
    }

    pub(crate) async fn reads(
        &self,
        channel: &str,
        reader: &str,
        to: parlour_store::ReadTo,
    ) -> Committed<Unread> {
        self.store
            .mark_read(self.app, &cid(channel), &user(reader), to, parlour_store::Receipts::Shown, at(0))
            .await
            .unwrap()
    }

    pub(crate) async fn unread(&self, reader: &str) -> u64 {
        self.store.unread(self.app, &user(reader)).await.unwrap().total_unread_count
    }
}

async fn new_app(store: &Arc<dyn Store>, key: &str) -> AppId {
    let app = NewApp {
        key: key.parse().unwrap(),
        secret: format!("secret of {key}"),
        mode: AppMode::Development,
        now: at(0),
    };
    store.create_app(app).await.unwrap().id
}

pub(crate) fn assert_err<T: std::fmt::Debug>(result: Result<T>, expected: StoreError) {
    assert_eq!(result.expect_err("it was accepted"), expected);
}

fn tell<F: Future<Output = ()>>(store: Arc<dyn Store>, story: impl FnOnce(Kit) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    runtime.block_on(async {
        let kit = Kit::new(Arc::clone(&store)).await;
        story(kit).await;
        assert_no_holes(&store).await;
        store.check().await.unwrap();
        store.close().await;
        assert_err(store.check().await, StoreError::Overloaded);
    });
}

/// Whatever a story did, no topic that it knows of has a hole.
async fn assert_no_holes(store: &Arc<dyn Store>) {
    for app in store.apps().await.unwrap() {
        for topic in [channel_topic("messaging:general"), user_topic("alice"), user_topic("bob")] {
            let start = store.topic_start(app.id, &topic).await.unwrap();
            let found = store.events(app.id, &topic, start.floor, u64::MAX, Reader::Anyone).await.unwrap();
            if let Events::Found { events, head } = found {
                let seqs: Vec<_> = events.iter().map(|logged| logged.seq).collect();
                assert_eq!(seqs, (start.floor + 1..=head).collect::<Vec<_>>(), "{topic} has a hole");
            }
        }
    }
}

pub(crate) fn tell_in_a_file<F: Future<Output = ()>>(story: impl FnOnce(Kit) -> F) {
    let directory = tempfile::tempdir().unwrap();
    let store = Sqlite::open(&directory.path().join("parlour.db"), SqliteOptions::default()).unwrap();
    tell(store, story);
}

pub(crate) fn tell_in_memory<F: Future<Output = ()>>(story: impl FnOnce(Kit) -> F) {
    tell(Sqlite::in_memory().unwrap(), story);
}
