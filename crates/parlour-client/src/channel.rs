//! A channel, in the hands of one user.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use parlour_proto::Input;
use parlour_wire::channels::{ChannelResponse, ChannelState, GetOrCreateChannel};
use parlour_wire::events::ClientSignal;
use parlour_wire::members::{MembersResponse, UpdateMembers};
use parlour_wire::messages::{EditMessage, Message, MessageDraft, MessagesResponse};
use parlour_wire::reads::{MarkRead, Unread};
use parlour_wire::users::{PartialUpdate, UserBrief};
use parlour_wire::{Cid, ClientFrame, ErrorCode, MessageId, Seq, Topic};
use serde_json::Value;
use tokio::time::Instant;

use crate::calls::Deletion;
use crate::client::{Client, user_ids};
use crate::outbox::Acknowledgement;
use crate::session;
use crate::{Error, MessagePage};

/// How many messages `state` and `watch` bring.
const STATE_MESSAGES: u32 = 25;

/// A channel of a [`Client`]. Cheap to clone; holding it keeps the client connected.
///
/// ```no_run
/// # async fn run(client: parlour_client::Client) -> Result<(), parlour_client::Error> {
/// let channel = client.channel("messaging", "general")?;
/// channel.get_or_create(&["bob"], [("name".to_owned(), "General".into())]).await?;
/// let message = channel.send("hello").await?;
/// channel.edit(&message.id, "hello, all").await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Channel {
    client: Client,
    cid: Cid,
}

impl Channel {
    pub(crate) fn new(client: Client, cid: Cid) -> Self {
        Self { client, cid }
    }

    /// The channel's full name, `type:id`.
    pub fn cid(&self) -> &Cid {
        &self.cid
    }

    /// The topic that the channel's events come in.
    pub fn topic(&self) -> Topic {
        Topic::Channel(self.cid.clone())
    }

    /// Makes the channel with these members beside the user, and this data; or gives the one that is there,
    /// as it is.
    pub async fn get_or_create(
        &self,
        members: &[&str],
        data: impl IntoIterator<Item = (String, Value)>,
    ) -> Result<ChannelResponse, Error> {
        let request = GetOrCreateChannel {
            members: user_ids(members)?,
            data: data.into_iter().collect(),
            messages: Some(STATE_MESSAGES),
            team: None,
        };
        let answer = self.client.calls().get_or_create(&self.cid, &request).await?;
        self.seen(&answer.state);
        Ok(answer)
    }

    /// The channel as it is now: its latest messages, members, reads. Also what to load after
    /// [`ClientEvent::Reset`](crate::ClientEvent::Reset).
    pub async fn state(&self) -> Result<ChannelState, Error> {
        let state = self.client.calls().channel(&self.cid, STATE_MESSAGES).await?;
        self.seen(&state);
        Ok(state)
    }

    /// The channel as it is now, and its events from then on, after every reconnect too. Members are told of
    /// a channel's events anyway; this is for those who are not.
    pub async fn watch(&self) -> Result<ChannelState, Error> {
        let state = self.state().await?;
        if state.membership.is_none() {
            let watch = Input::Watch { topic: self.topic(), after: Some(state.head) };
            self.client.input(watch).await?;
        }
        Ok(state)
    }

    /// Ends [`watch`](Self::watch).
    pub async fn unwatch(&self) -> Result<(), Error> {
        self.client.input(Input::Unwatch { topic: self.topic() }).await
    }

    fn seen(&self, state: &ChannelState) {
        if let Some(unread) = &state.unread {
            let shared = self.client.shared();
            shared.local().tally.seen(unread);
            shared.local_changed.notify_one();
        }
    }

    /// Sets some of the channel's fields, and removes others.
    pub async fn update(&self, update: PartialUpdate) -> Result<ChannelState, Error> {
        self.client.calls().update_channel(&self.cid, &update).await
    }

    /// Deletes the channel, for everybody.
    pub async fn delete_channel(&self) -> Result<(), Error> {
        self.client.calls().delete_channel(&self.cid).await
    }

    /// Sends a text; see [`send_message`](Self::send_message).
    pub async fn send(&self, text: impl Into<String>) -> Result<Message, Error> {
        self.send_message(MessageDraft::text(text)).await
    }

    /// Sends a message through the outbox, and waits until the server has stored it or refused it for good.
    ///
    /// There is no timeout but the outbox's 48 hours: an outage delays it. Dropping the future takes nothing
    /// back; the outcome then comes as [`ClientEvent::Outbox`](crate::ClientEvent::Outbox).
    ///
    /// # Errors
    /// `not_logged_in`, `outbox_full`, and what the server refuses.
    pub async fn send_message(&self, draft: MessageDraft) -> Result<Message, Error> {
        self.queue(draft).await?.await
    }

    /// Puts a message into the outbox: answers with its id at once (as soon as it is known who the user is),
    /// and with a future of the outcome.
    ///
    /// # Errors
    /// `not_logged_in`, `outbox_full`.
    pub async fn queue(&self, draft: MessageDraft) -> Result<Sending, Error> {
        let shared = self.client.shared();
        let timeout = shared.calls.endpoint.call_timeout;
        let mut view = shared.session.subscribe();
        let session = tokio::time::timeout(timeout, session::known(&mut view))
            .await
            .unwrap_or_else(|_| Err(ErrorCode::Timeout.into()))?;
        let id = draft.id.clone().unwrap_or_else(|| shared.dice.message_id());
        let acknowledgement =
            shared.outbox.queue(session.user.clone(), self.cid.clone(), id.clone(), draft)?;
        Ok(Sending { id, acknowledgement, _client: self.client.clone() })
    }

    /// Replaces a message's text.
    pub async fn edit(&self, id: &MessageId, text: impl Into<String>) -> Result<Message, Error> {
        let edit = EditMessage { text: Some(text.into()), ..EditMessage::default() };
        self.edit_message(id, &edit).await
    }

    /// Changes a message.
    pub async fn edit_message(&self, id: &MessageId, edit: &EditMessage) -> Result<Message, Error> {
        self.client.calls().edit_message(&self.cid, id, edit).await
    }

    /// Deletes a message; its place is kept.
    pub async fn delete(&self, id: &MessageId) -> Result<Message, Error> {
        self.client.calls().delete_message(&self.cid, id, Deletion::Soft).await
    }

    /// Deletes a message without a trace of what it was.
    pub async fn delete_hard(&self, id: &MessageId) -> Result<Message, Error> {
        self.client.calls().delete_message(&self.cid, id, Deletion::Hard).await
    }

    /// One message.
    pub async fn message(&self, id: &MessageId) -> Result<Message, Error> {
        self.client.calls().message(&self.cid, id).await
    }

    /// A page of messages, oldest first.
    pub async fn messages(&self, page: MessagePage) -> Result<MessagesResponse, Error> {
        self.client.calls().messages(&self.cid, page).await
    }

    /// Marks everything as read. [`Client::unread`] follows when the event of it arrives.
    pub async fn mark_read(&self) -> Result<Unread, Error> {
        self.client.calls().mark_read(&self.cid, &MarkRead::default()).await
    }

    /// Marks everything up to this seq as read.
    pub async fn mark_read_up_to(&self, seq: Seq) -> Result<Unread, Error> {
        let mark = MarkRead { message_id: None, seq: Some(seq) };
        self.client.calls().mark_read(&self.cid, &mark).await
    }

    /// Makes this message and all after it unread again.
    pub async fn mark_unread(&self, id: &MessageId) -> Result<Unread, Error> {
        self.client.calls().mark_unread(&self.cid, id).await
    }

    /// The user's unread state here, kept current from events; `None` where nothing was heard of it yet.
    pub fn unread(&self) -> Option<Unread> {
        self.client.unread_of(&self.cid)
    }

    /// Adds members, at most 100 at once.
    pub async fn add_members(&self, users: &[&str]) -> Result<ChannelState, Error> {
        self.update_members(&UpdateMembers { add: user_ids(users)?, ..UpdateMembers::default() }).await
    }

    /// Removes members, at most 100 at once.
    pub async fn remove_members(&self, users: &[&str]) -> Result<ChannelState, Error> {
        self.update_members(&UpdateMembers { remove: user_ids(users)?, ..UpdateMembers::default() }).await
    }

    /// Adds and removes members in one step.
    pub async fn update_members(&self, update: &UpdateMembers) -> Result<ChannelState, Error> {
        self.client.calls().update_members(&self.cid, update).await
    }

    /// A page of members, by the time they joined.
    pub async fn members(&self, limit: u32, next: Option<&str>) -> Result<MembersResponse, Error> {
        self.client.calls().members(&self.cid, limit, next).await
    }

    /// Says that the user types; call it at every keystroke: it is sent every 3 s at most, and only while
    /// connected.
    pub async fn typing_start(&self) -> Result<(), Error> {
        let due = self.client.shared().local().start_typing(&self.cid, Instant::now());
        if due { self.signal(ClientSignal::TypingStart).await } else { Ok(()) }
    }

    /// Says that the user stopped typing.
    pub async fn typing_stop(&self) -> Result<(), Error> {
        self.client.shared().local().stop_typing(&self.cid);
        self.signal(ClientSignal::TypingStop).await
    }

    async fn signal(&self, signal: ClientSignal) -> Result<(), Error> {
        self.client.input(Input::Send(ClientFrame::Signal { topic: self.topic(), signal })).await
    }

    /// Who types here, as far as was heard in the last seconds.
    pub fn typing(&self) -> Vec<UserBrief> {
        self.client.shared().local().typing(&self.cid)
    }
}

/// A message on its way. The future of its outcome; dropping it takes nothing back.
pub struct Sending {
    /// The message's id, here and at the server.
    pub id: MessageId,
    acknowledgement: Acknowledgement,
    /// Who waits for an outcome keeps the client alive.
    _client: Client,
}

impl Future for Sending {
    type Output = Result<Message, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = Pin::new(&mut self.acknowledgement).poll(cx);
        answer.map(|answer| answer.unwrap_or_else(|_| Err(ErrorCode::Cancelled.into())))
    }
}

/// No custom data.
pub const NO_DATA: BTreeMap<String, Value> = BTreeMap::new();
