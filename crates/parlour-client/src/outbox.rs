//! Messages on their way: kept until the server has acknowledged them, or refused them for good.
//!
//! Each has an id before it is first sent, so that sending it again after an unknown outcome is sending it
//! once. Within a channel they go one after the other; a refused one makes room for the next. What is not sent when
//! the process ends is sent by the next one, where the client has a storage.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use parlour_wire::messages::{Message, MessageDraft};
use parlour_wire::{Cid, ErrorBody, ErrorCode, MessageId, UserId};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;

use crate::Error;
use crate::client::Shared;
use crate::dice::Dice;
use crate::events::{ClientEvent, Readers};
use crate::persistence::wall_ms;

/// Messages that wait to be sent, at most; beyond it `outbox_full`.
pub const OUTBOX_LEN_MAX: usize = 500;
/// Failed messages that are kept to be shown; beyond it the oldest is forgotten.
const FAILED_LEN_MAX: usize = 100;
/// When a message could not be sent for this long, it fails with `timeout`.
const EXPIRY: Duration = Duration::from_secs(48 * 60 * 60);
/// The waits between two attempts: uniform up to min(20 s, 0.5 s · 2ⁿ), as for connections.
const BACKOFF_BASE: Duration = Duration::from_millis(500);
const BACKOFF_CAP: Duration = Duration::from_secs(20);
/// When the connection comes back, waiting messages are sent after up to this.
const NUDGE_SPREAD: Duration = Duration::from_millis(300);

/// Where a message of the outbox stands.
#[derive(Clone, Debug, PartialEq)]
pub enum SendState {
    /// Waits, or is being sent.
    Pending,
    /// Acknowledged: the server has stored it.
    Sent(Box<Message>),
    /// Refused for good; sending it unchanged will not help.
    Failed(Box<ErrorBody>),
}

/// A message of the outbox.
#[derive(Clone, Debug, PartialEq)]
pub struct OutboxEntry {
    pub cid: Cid,
    pub id: MessageId,
    pub draft: MessageDraft,
    pub state: SendState,
}

struct Item {
    user: UserId,
    cid: Cid,
    id: MessageId,
    draft: MessageDraft,
    /// By the clock on the wall, for whoever reads it after this process.
    queued_ms: u64,
    expires_at: Instant,
    failed: Option<Box<ErrorBody>>,
    reply: Option<oneshot::Sender<Result<Message, Error>>>,
}

/// A message as it is kept for the next process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StoredItem {
    cid: Cid,
    id: MessageId,
    draft: MessageDraft,
    queued_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failed: Option<Box<ErrorBody>>,
}

/// The answer to a message that was queued.
pub(crate) type Acknowledgement = oneshot::Receiver<Result<Message, Error>>;

pub(crate) struct Outbox {
    items: Mutex<VecDeque<Item>>,
    /// Counts the changes.
    version: AtomicU64,
    /// Told when there is something to send.
    pub(crate) changed: Notify,
    readers: Arc<Readers>,
}

impl Outbox {
    pub(crate) fn new(readers: Arc<Readers>) -> Self {
        Self { items: Mutex::default(), version: AtomicU64::new(0), changed: Notify::new(), readers }
    }

    /// Another number after every change.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Relaxed)
    }

    /// What is to be kept of this user's messages.
    pub(crate) fn stored(&self, user: &UserId) -> Vec<StoredItem> {
        let items = self.items();
        let own = items.iter().filter(|item| item.user == *user);
        own.map(|item| StoredItem {
            cid: item.cid.clone(),
            id: item.id.clone(),
            draft: item.draft.clone(),
            queued_ms: item.queued_ms,
            failed: item.failed.clone(),
        })
        .collect()
    }

    /// Takes what an earlier process kept, before everything that was queued since; what is too old has failed.
    pub(crate) fn restore(&self, user: &UserId, stored: Vec<StoredItem>) {
        let (now, now_ms) = (Instant::now(), wall_ms());
        let mut items = self.items();
        for StoredItem { cid, id, draft, queued_ms, failed } in stored.into_iter().rev() {
            if items.iter().any(|item| item.id == id) {
                continue;
            }
            let age = Duration::from_millis(now_ms.saturating_sub(queued_ms));
            let failed = failed.or_else(|| (age >= EXPIRY).then(|| Box::new(ErrorCode::Timeout.error())));
            let expires_at = now + EXPIRY.saturating_sub(age);
            let user = user.clone();
            items.push_front(Item { user, cid, id, draft, queued_ms, expires_at, failed, reply: None });
        }
        self.version.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// Forgets everything of this user; answers how many messages were not sent.
    pub(crate) fn erase(&self, user: &UserId) -> usize {
        let gone: Vec<Item> = {
            let mut items = self.items();
            let (gone, kept): (VecDeque<Item>, VecDeque<Item>) =
                std::mem::take(&mut *items).into_iter().partition(|item| item.user == *user);
            *items = kept;
            gone.into()
        };
        self.version.fetch_add(1, Ordering::Relaxed);
        let unsent = gone.len();
        for reply in gone.into_iter().filter_map(|item| item.reply) {
            let _ = reply.send(Err(ErrorCode::Cancelled.into()));
        }
        unsent
    }

    pub(crate) fn queue(
        &self,
        user: UserId,
        cid: Cid,
        id: MessageId,
        draft: MessageDraft,
    ) -> Result<Acknowledgement, Error> {
        let (reply, acknowledgement) = oneshot::channel();
        {
            let mut items = self.items();
            let waiting = items.iter().filter(|item| item.failed.is_none()).count();
            if waiting >= OUTBOX_LEN_MAX {
                return Err(ErrorCode::OutboxFull.into());
            }
            items.push_back(Item {
                user,
                cid: cid.clone(),
                id: id.clone(),
                draft,
                queued_ms: wall_ms(),
                expires_at: Instant::now() + EXPIRY,
                failed: None,
                reply: Some(reply),
            });
        }
        self.tell(cid, id, SendState::Pending);
        self.changed.notify_one();
        Ok(acknowledgement)
    }

    /// What this user's outbox holds, in the order of queueing.
    pub(crate) fn entries(&self, user: &UserId) -> Vec<OutboxEntry> {
        let items = self.items();
        let own = items.iter().filter(|item| item.user == *user);
        own.map(|item| OutboxEntry {
            cid: item.cid.clone(),
            id: item.id.clone(),
            draft: item.draft.clone(),
            state: item.failed.clone().map_or(SendState::Pending, SendState::Failed),
        })
        .collect()
    }

    /// Channels in which this user has something to send.
    pub(crate) fn waiting(&self, user: &UserId) -> Vec<Cid> {
        let items = self.items();
        let mut cids: Vec<Cid> = Vec::new();
        for item in items.iter().filter(|item| item.user == *user && item.failed.is_none()) {
            if !cids.contains(&item.cid) {
                cids.push(item.cid.clone());
            }
        }
        cids
    }

    /// Forgets a message that was not sent. It may be on its way at this moment.
    pub(crate) fn discard(&self, id: &MessageId) -> bool {
        let item = {
            let mut items = self.items();
            let at = items.iter().position(|item| item.id == *id);
            at.and_then(|at| items.remove(at))
        };
        let found = item.is_some();
        self.version.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_one();
        if let Some(reply) = item.and_then(|item| item.reply) {
            let _ = reply.send(Err(ErrorCode::Cancelled.into()));
        }
        found
    }

    /// Puts a failed message at the end of the queue again.
    pub(crate) fn retry(&self, id: &MessageId) -> bool {
        let cid = {
            let mut items = self.items();
            let Some(at) = items.iter().position(|item| item.id == *id && item.failed.is_some()) else {
                return false;
            };
            let Some(mut item) = items.remove(at) else { return false };
            item.failed = None;
            (item.queued_ms, item.expires_at) = (wall_ms(), Instant::now() + EXPIRY);
            let cid = item.cid.clone();
            items.push_back(item);
            cid
        };
        self.tell(cid, id.clone(), SendState::Pending);
        self.changed.notify_one();
        true
    }

    fn first(&self, user: &UserId, cid: &Cid) -> Option<(MessageId, MessageDraft, Instant)> {
        let items = self.items();
        let item =
            items.iter().find(|item| item.user == *user && item.cid == *cid && item.failed.is_none())?;
        let mut draft = item.draft.clone();
        draft.id = Some(item.id.clone());
        Some((item.id.clone(), draft, item.expires_at))
    }

    fn holds(&self, id: &MessageId) -> bool {
        self.items().iter().any(|item| item.id == *id)
    }

    fn settle(&self, id: &MessageId, result: Result<Message, Error>) {
        let (cid, reply) = {
            let mut items = self.items();
            let Some(at) = items.iter().position(|item| item.id == *id && item.failed.is_none()) else {
                return;
            };
            let Some(mut item) = items.remove(at) else { return };
            let (cid, reply) = (item.cid.clone(), item.reply.take());
            if let Err(error) = &result {
                item.failed = Some(error.body.clone());
                items.push_back(item);
                let failed = items.iter().filter(|item| item.failed.is_some()).count();
                if failed > FAILED_LEN_MAX
                    && let Some(oldest) = items.iter().position(|item| item.failed.is_some())
                {
                    items.remove(oldest);
                }
            }
            (cid, reply)
        };
        let state = match &result {
            Ok(message) => SendState::Sent(Box::new(message.clone())),
            Err(error) => SendState::Failed(error.body.clone()),
        };
        self.tell(cid, id.clone(), state);
        if let Some(reply) = reply {
            let _ = reply.send(result);
        }
    }

    fn tell(&self, cid: Cid, id: MessageId, state: SendState) {
        self.version.fetch_add(1, Ordering::Relaxed);
        self.readers.publish(&ClientEvent::Outbox { cid, id, state });
    }

    fn items(&self) -> std::sync::MutexGuard<'_, VecDeque<Item>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends what waits in one channel, in order, until nothing does.
pub(crate) async fn send_all(
    shared: Arc<Shared>,
    mut recoveries: watch::Receiver<u64>,
    user: UserId,
    cid: Cid,
) {
    let Shared { outbox, calls, dice, .. } = &*shared;
    while let Some((id, draft, expires_at)) = outbox.first(&user, &cid) {
        let mut attempt = 0;
        let result = loop {
            recoveries.mark_unchanged();
            let error = match calls.send_message(&cid, draft.clone()).await {
                Ok(message) => break Ok(message),
                Err(error) => error,
            };
            let expired = Instant::now() >= expires_at;
            if expired || !outcome_may_change(&error) || !outbox.holds(&id) {
                break Err(error);
            }
            if let (429, Some(seconds)) = (error.body.status, error.body.retry_after) {
                shared.throttle("messages", Duration::from_secs(seconds.into()));
            }
            wait(attempt, &error, dice, &mut recoveries).await;
            attempt += 1;
        };
        outbox.settle(&id, result);
    }
}

/// Whether the same request, sent again, may fare otherwise.
fn outcome_may_change(error: &Error) -> bool {
    matches!(error.body.status, 408 | 429 | 500..)
}

/// Waits as the server asked, or with backoff; in the latter case no longer than until the connection is back.
async fn wait(attempt: u32, error: &Error, dice: &Dice, recoveries: &mut watch::Receiver<u64>) {
    let doubled = BACKOFF_BASE.saturating_mul(2_u32.saturating_pow(attempt.min(16)));
    let backoff = doubled.min(BACKOFF_CAP).mul_f64(dice.unit());
    if let Some(seconds) = error.body.retry_after {
        return tokio::time::sleep(Duration::from_secs(u64::from(seconds)) + backoff).await;
    }
    tokio::select! {
        biased;
        () = tokio::time::sleep(backoff) => {}
        Ok(()) = recoveries.changed() => tokio::time::sleep(NUDGE_SPREAD.mul_f64(dice.unit())).await,
    }
}
