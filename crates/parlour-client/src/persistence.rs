//! What outlives the process: the session under (URL, app key), and under (URL, app key, user) where she stood and
//! what she has not sent.
//!
//! One task writes, in order; of several states that wait, the latest. A storage that fails, or holds what nobody
//! understands, never stops the client: it begins anew, and says so.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use parlour_proto::Saved;
use parlour_wire::UserId;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, watch};

use crate::events::{ClientEvent, Readers};
use crate::outbox::StoredItem;
use crate::storage::Storage;

/// While things change, they are written this often.
pub(crate) const SAVE_EVERY: Duration = Duration::from_secs(1);

/// Who is logged in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoredSession {
    pub(crate) user: UserId,
    pub(crate) token: String,
}

/// What is known of one user.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct StoredState {
    #[serde(default)]
    pub(crate) saved: Option<Saved>,
    #[serde(default)]
    pub(crate) outbox: Vec<StoredItem>,
}

#[derive(Clone)]
pub(crate) struct Persistence {
    storage: Arc<dyn Storage>,
    readers: Arc<Readers>,
    /// Before the key of everything: other servers and apps may keep theirs in the same place.
    prefix: String,
    to_write: Arc<watch::Sender<Waiting>>,
    /// Held while something is written, and while something is read: whoever reads finds what was kept last.
    access: Arc<Mutex<()>>,
}

/// What waits to be written, by key: the latest, or that it is to go.
type Waiting = BTreeMap<String, Option<String>>;

impl Persistence {
    pub(crate) fn new(storage: Arc<dyn Storage>, readers: Arc<Readers>, url: &str, app_key: &str) -> Self {
        let (to_write, waiting) = watch::channel(Waiting::new());
        let to_write = Arc::new(to_write);
        let access = Arc::<Mutex<()>>::default();
        let writing =
            write(storage.clone(), readers.clone(), Arc::downgrade(&to_write), waiting, access.clone());
        tokio::spawn(writing);
        Self { storage, readers, prefix: format!("parlour {url} {app_key}"), to_write, access }
    }

    pub(crate) async fn session(&self) -> Option<StoredSession> {
        self.read(&self.session_key()).await
    }

    pub(crate) async fn state(&self, user: &UserId) -> StoredState {
        self.read(&self.state_key(user)).await.unwrap_or_default()
    }

    pub(crate) fn keep_session(&self, session: Option<&StoredSession>) {
        let value = session.and_then(|session| serde_json::to_string(session).ok());
        self.keep(self.session_key(), value);
    }

    pub(crate) fn keep_state(&self, user: &UserId, state: Option<&StoredState>) {
        let value = state.and_then(|state| serde_json::to_string(state).ok());
        self.keep(self.state_key(user), value);
    }

    fn keep(&self, key: String, value: Option<String>) {
        self.to_write.send_modify(|waiting| {
            waiting.insert(key, value);
        });
    }

    fn session_key(&self) -> String {
        format!("{} session", self.prefix)
    }

    fn state_key(&self, user: &UserId) -> String {
        format!("{} user {user}", self.prefix)
    }

    async fn read<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        let _access = self.access.lock().await;
        // The writer has not come to it yet.
        let waiting = self.to_write.borrow().get(key).cloned();
        let got = match waiting {
            Some(waiting) => Ok(waiting),
            None => self.storage.get(key).await,
        };
        let text = match got {
            Ok(text) => text?,
            Err(error) => {
                tell(&self.readers, format!("what was kept could not be read: {error}"));
                return None;
            }
        };
        serde_json::from_str(&text)
            .inspect_err(|error| tell(&self.readers, format!("what was kept is not understood: {error}")))
            .ok()
    }
}

async fn write(
    storage: Arc<dyn Storage>,
    readers: Arc<Readers>,
    to_write: Weak<watch::Sender<Waiting>>,
    mut waiting: watch::Receiver<Waiting>,
    access: Arc<Mutex<()>>,
) {
    loop {
        // Once nobody can add anything, what is there is the last.
        let is_over = waiting.changed().await.is_err();
        let _access = access.lock().await;
        let latest = match to_write.upgrade() {
            Some(to_write) => {
                let mut taken = Waiting::new();
                to_write.send_if_modified(|waiting| {
                    taken = std::mem::take(waiting);
                    false
                });
                taken
            }
            None => waiting.borrow().clone(),
        };
        for (key, value) in latest {
            let done = match value {
                Some(value) => storage.set(&key, value).await,
                None => storage.remove(&key).await,
            };
            if let Err(error) = done {
                tell(&readers, format!("nothing could be kept: {error}"));
            }
        }
        if is_over {
            return;
        }
    }
}

fn tell(readers: &Readers, message: String) {
    tracing::warn!(message, "the client's storage failed");
    readers.publish(&ClientEvent::StorageFailed { message });
}

/// Milliseconds since 1970, by the clock on the wall: what is kept is read by another process.
pub(crate) fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
