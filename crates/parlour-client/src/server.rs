//! The app's backend: it holds the secret, acts over HTTP, and never connects.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use parlour_wire::app::{AddKey, AppResponse, JwksInfo, KeyResponse};
use parlour_wire::channels::{
    ChannelResponse, ChannelState, ChannelsResponse, GetOrCreateChannel, QueryChannels,
};
use parlour_wire::devices::{Device, RegisterDevice};
use parlour_wire::limits::{AppLimits, AppLimitsResponse};
use parlour_wire::members::{MembersResponse, UpdateMembers};
use parlour_wire::messages::{EditMessage, Message, MessageDraft, MessagesResponse};
use parlour_wire::reads::{MarkRead, Unread, UnreadTotals};
use parlour_wire::tasks::Task;
use parlour_wire::tokens::RevokeTokens;
use parlour_wire::usage::{UsageQuery, UsageResponse};
use parlour_wire::users::{DeleteUser, Me, PartialUpdate, QueryUsers, User, UserInput, UsersResponse};
use parlour_wire::{AppKey, ChannelId, ChannelType, Cid, ErrorCode, MessageId, Timestamp, UserId};
use serde_json::{Value, json};

use crate::calls::{BaseUrl, Caller, Calls, Deletion, Endpoint};
use crate::client::user_ids;
use crate::dice::{Dice, unix_ms};
use crate::net::{Net, TokioNet};
use crate::{Error, MessagePage};

/// When a call has no answer for this long, it fails with `timeout`.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a server token is good for. Each call makes its own.
const SERVER_TOKEN_TTL_S: u64 = 300;

/// The key with which an app's backend signs.
pub(crate) struct ServerKey(EncodingKey);

impl ServerKey {
    pub(crate) fn server_token(&self) -> Result<String, Error> {
        let now = unix_ms() / 1_000;
        self.sign(&json!({ "server": true, "iat": now, "exp": now + SERVER_TOKEN_TTL_S }))
    }

    fn sign(&self, claims: &Value) -> Result<String, Error> {
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &self.0)
            .map_err(|e| Error::because(ErrorCode::Internal, format!("the token could not be signed: {e}")))
    }
}

/// An app's backend. Cheap to clone.
///
/// It holds the app's secret: never ship it to a user's device. It has no `connect_user`; the server refuses
/// connections by server tokens. Needs no connection and no background task.
///
/// ```no_run
/// # async fn run() -> Result<(), parlour_client::Error> {
/// use std::time::Duration;
/// use parlour_client::{Profile, ServerClient};
/// let server = ServerClient::new("http://127.0.0.1:8790", "dev", "the secret")?;
/// server.upsert_users([Profile::new("alice").name("Alice")]).await?;
/// let token = server.create_token("alice", Some(Duration::from_secs(3_600)))?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct ServerClient {
    pub(crate) calls: Calls,
    key: Arc<ServerKey>,
    dice: Arc<Dice>,
}

/// Which tokens are taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// What was issued up to now.
    Now,
    /// What was issued before this time.
    Before(Timestamp),
    /// None: an earlier revocation is taken back.
    Nothing,
}

impl From<Revocation> for RevokeTokens {
    fn from(revocation: Revocation) -> Self {
        let revoke_tokens_issued_before = match revocation {
            Revocation::Now => None,
            Revocation::Before(time) => Some(Some(time)),
            Revocation::Nothing => Some(None),
        };
        Self { revoke_tokens_issued_before }
    }
}

impl ServerClient {
    /// # Errors
    /// `invalid_input` for an address that is none, `invalid_id` for an app key that is none.
    pub fn new(url: &str, app_key: &str, secret: &str) -> Result<Self, Error> {
        let net = TokioNet::new().map_err(|e| Error::because(ErrorCode::Internal, e.to_string()))?;
        Self::with_net(url, app_key, secret, Arc::new(net))
    }

    /// The same over another network: for simulation and tests.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_net(url: &str, app_key: &str, secret: &str, net: Arc<dyn Net>) -> Result<Self, Error> {
        let key = Arc::new(ServerKey(EncodingKey::from_secret(secret.as_bytes())));
        let endpoint = Arc::new(Endpoint {
            url: BaseUrl::parse(url)?,
            app_key: AppKey::parse(app_key)?,
            net,
            call_timeout: CALL_TIMEOUT,
        });
        let caller = Caller::Server { key: key.clone(), acts_as: None };
        Ok(Self { calls: Calls { endpoint, caller }, key, dice: Arc::new(Dice::new(None)) })
    }

    /// A token for a user, good for this long; without an end where `ttl` is `None`.
    ///
    /// # Errors
    /// `invalid_id`.
    pub fn create_token(&self, user: &str, ttl: Option<Duration>) -> Result<String, Error> {
        let user = UserId::parse(user)?;
        let now = unix_ms() / 1_000;
        let mut claims = json!({ "user_id": user, "iat": now });
        if let Some(ttl) = ttl {
            claims["exp"] = json!(now.saturating_add(ttl.as_secs()));
        }
        self.key.sign(&claims)
    }

    /// Makes or replaces users, at most 100 at once.
    pub async fn upsert_users<P: Into<crate::Profile>>(
        &self,
        users: impl IntoIterator<Item = P>,
    ) -> Result<Vec<User>, Error> {
        let users: Result<Vec<UserInput>, Error> =
            users.into_iter().map(|user| user.into().input()).collect();
        self.calls.upsert_users(users?).await
    }

    /// Sets some of a user's fields, and removes others.
    pub async fn update_user(&self, user: &str, update: PartialUpdate) -> Result<User, Error> {
        self.calls.update_user(&UserId::parse(user)?, &update).await
    }

    /// Users by their ids.
    pub async fn users(&self, ids: &[&str]) -> Result<Vec<User>, Error> {
        self.calls.users(&user_ids(ids)?).await
    }

    /// The users that match, a page of them.
    pub async fn query_users(&self, query: &QueryUsers) -> Result<UsersResponse, Error> {
        self.calls.query_users(query).await
    }

    /// Lets a user neither connect nor do anything; ends its connections.
    pub async fn deactivate_user(&self, user: &str) -> Result<User, Error> {
        self.calls.change_life(&UserId::parse(user)?, "deactivate").await
    }

    /// Lets a deactivated user come back.
    pub async fn reactivate_user(&self, user: &str) -> Result<User, Error> {
        self.calls.change_life(&UserId::parse(user)?, "reactivate").await
    }

    /// Deletes a user: at once, and by the task what it leaves behind.
    pub async fn delete_user(&self, user: &str, how: &DeleteUser) -> Result<Task, Error> {
        self.calls.delete_user(&UserId::parse(user)?, how).await
    }

    /// Brings back a user who was deleted, but not for good.
    pub async fn restore_user(&self, user: &str) -> Result<User, Error> {
        self.calls.change_life(&UserId::parse(user)?, "restore").await
    }

    /// Gathers all that is stored of a user, for [`task_result`](Self::task_result) when the task is completed.
    pub async fn export_user(&self, user: &str) -> Result<Task, Error> {
        self.calls.export_user(&UserId::parse(user)?).await
    }

    /// How far a task is.
    pub async fn task(&self, id: &str) -> Result<Task, Error> {
        self.calls.task(id).await
    }

    /// What a completed task gave: of an export, one object of JSON in each line
    /// ([`ExportLine`](parlour_wire::tasks::ExportLine)).
    pub async fn task_result(&self, id: &str) -> Result<Vec<u8>, Error> {
        Ok(self.calls.task_result(id).await?.into())
    }

    /// What the app used: active users, and connections at the same time, with what the figures mean. By default the
    /// last sixty minutes; `UsageQuery` says which others.
    pub async fn usage(&self, query: UsageQuery) -> Result<UsageResponse, Error> {
        self.calls.usage(&query).await
    }

    /// What the app holds its users to: its own limits, and what holds with the server's configuration beneath them.
    pub async fn limits(&self) -> Result<AppLimitsResponse, Error> {
        self.calls.limits().await
    }

    /// Sets all of the app's own limits; what is left out is as the server's configuration says it.
    pub async fn set_limits(&self, limits: AppLimits) -> Result<AppLimitsResponse, Error> {
        self.calls.set_limits(&limits).await
    }

    /// The app, with the further keys of its tokens.
    pub async fn app(&self) -> Result<AppResponse, Error> {
        self.calls.app().await
    }

    /// Adds a key that tokens may be signed with. Its secret, if it has one, is told this once.
    pub async fn add_key(&self, key: &AddKey) -> Result<KeyResponse, Error> {
        self.calls.add_key(key).await
    }

    /// Removes a key: its tokens are refused from now on.
    ///
    /// # Errors
    /// `invalid_input` for what is no `kid`, `not_found` where there is none.
    pub async fn remove_key(&self, kid: &str) -> Result<(), Error> {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || ['_', '-'].contains(&c);
        if kid.is_empty() || kid.starts_with('.') || !kid.chars().all(is_allowed) {
            return Err(Error::because(ErrorCode::InvalidInput, "a kid is 1 to 64 of A-Z a-z 0-9 _ -"));
        }
        self.calls.remove_key(kid).await
    }

    /// Names the address at which keys of users' tokens stand, as JWKS: they are got now, and when tokens need them.
    ///
    /// # Errors
    /// `invalid_input`, where there are none to be had.
    pub async fn set_jwks(&self, url: &str) -> Result<JwksInfo, Error> {
        self.calls.set_jwks(url).await
    }

    /// Forgets that address: tokens of the keys that stand there are refused from now on.
    pub async fn remove_jwks(&self) -> Result<(), Error> {
        self.calls.remove_jwks().await
    }

    /// Takes back what was issued to a user; answers up to when. Live connections with such a token end before this
    /// does.
    pub async fn revoke_tokens(
        &self,
        user: &str,
        revocation: Revocation,
    ) -> Result<Option<Timestamp>, Error> {
        self.calls.revoke_tokens(Some(&UserId::parse(user)?), &revocation.into()).await
    }

    /// Takes back what was issued to all users of the app.
    pub async fn revoke_all_tokens(&self, revocation: Revocation) -> Result<Option<Timestamp>, Error> {
        self.calls.revoke_tokens(None, &revocation.into()).await
    }

    /// Acts in the name of a user.
    ///
    /// # Errors
    /// `invalid_id`.
    pub fn as_user(&self, user: &str) -> Result<ActingUser, Error> {
        let acts_as = Some(UserId::parse(user)?);
        let caller = Caller::Server { key: self.key.clone(), acts_as };
        let calls = Calls { endpoint: self.calls.endpoint.clone(), caller };
        Ok(ActingUser { calls, dice: self.dice.clone() })
    }
}

/// A user, in the hands of the app's backend.
#[derive(Clone)]
pub struct ActingUser {
    pub(crate) calls: Calls,
    dice: Arc<Dice>,
}

impl ActingUser {
    /// The user's own view of itself; `None` while it was never made.
    pub async fn me(&self) -> Result<Option<Me>, Error> {
        Ok(self.calls.me().await?.me)
    }

    /// The channel `type:id`. Asks nothing yet.
    ///
    /// # Errors
    /// `invalid_id`.
    pub fn channel(&self, channel_type: &str, id: &str) -> Result<ActingChannel, Error> {
        let cid = Cid::new(ChannelType::parse(channel_type)?, ChannelId::parse(id)?);
        Ok(self.channel_at(cid))
    }

    /// The channel with this full name. Asks nothing yet.
    pub fn channel_at(&self, cid: Cid) -> ActingChannel {
        ActingChannel { calls: self.calls.clone(), dice: self.dice.clone(), cid }
    }

    /// The channel that is made of exactly these members and the user.
    pub async fn create_distinct(
        &self,
        channel_type: &str,
        members: &[&str],
        data: impl IntoIterator<Item = (String, Value)>,
    ) -> Result<ChannelResponse, Error> {
        let (members, data) = (user_ids(members)?, data.into_iter().collect());
        let request = GetOrCreateChannel { members, data, ..GetOrCreateChannel::default() };
        self.calls.distinct_channel(&ChannelType::parse(channel_type)?, &request).await
    }

    /// The channels that match, of those that the user may see.
    pub async fn query_channels(&self, query: QueryChannels) -> Result<ChannelsResponse, Error> {
        self.calls.query_channels(&query).await
    }

    /// Registers a device for push: at most 25 of a user, and whoever had this one before has it no more.
    pub async fn register_device(&self, device: &RegisterDevice) -> Result<Device, Error> {
        self.calls.register_device(device).await
    }

    /// The user's devices for push, the earliest registered first.
    pub async fn devices(&self) -> Result<Vec<Device>, Error> {
        self.calls.devices().await
    }

    /// Removes one of the user's devices.
    pub async fn remove_device(&self, id: &str) -> Result<(), Error> {
        self.calls.remove_device(id).await
    }

    /// The user's unread state.
    pub async fn unread(&self) -> Result<UnreadTotals, Error> {
        self.calls.unread().await
    }
}

/// A channel, in the hands of the app's backend in the name of a user.
#[derive(Clone)]
pub struct ActingChannel {
    pub(crate) calls: Calls,
    dice: Arc<Dice>,
    cid: Cid,
}

impl ActingChannel {
    /// The channel's full name.
    pub fn cid(&self) -> &Cid {
        &self.cid
    }

    /// Makes the channel, or gives the one that is there.
    pub async fn get_or_create(
        &self,
        members: &[&str],
        data: impl IntoIterator<Item = (String, Value)>,
    ) -> Result<ChannelResponse, Error> {
        let (members, data): (_, BTreeMap<_, _>) = (user_ids(members)?, data.into_iter().collect());
        let request = GetOrCreateChannel { members, data, ..GetOrCreateChannel::default() };
        self.calls.get_or_create(&self.cid, &request).await
    }

    /// The channel as it is now, with this many of its latest messages (0 to 100).
    pub async fn state(&self, messages: u32) -> Result<ChannelState, Error> {
        self.calls.channel(&self.cid, messages).await
    }

    /// Sets some of the channel's fields, and removes others.
    pub async fn update(&self, update: PartialUpdate) -> Result<ChannelState, Error> {
        self.calls.update_channel(&self.cid, &update).await
    }

    /// Deletes the channel, for everybody.
    pub async fn delete_channel(&self) -> Result<(), Error> {
        self.calls.delete_channel(&self.cid).await
    }

    /// Adds and removes members in one step.
    pub async fn update_members(&self, update: &UpdateMembers) -> Result<ChannelState, Error> {
        self.calls.update_members(&self.cid, update).await
    }

    /// A page of members.
    pub async fn members(&self, limit: u32, next: Option<&str>) -> Result<MembersResponse, Error> {
        self.calls.members(&self.cid, limit, next).await
    }

    /// Sends a text.
    pub async fn send(&self, text: impl Into<String>) -> Result<Message, Error> {
        self.send_message(MessageDraft::text(text)).await
    }

    /// Sends a message, once: a backend has queues of its own. After an unknown outcome (`timeout`,
    /// `network`) send it again with the same id; give one in the draft for that.
    pub async fn send_message(&self, mut draft: MessageDraft) -> Result<Message, Error> {
        draft.id.get_or_insert_with(|| self.dice.message_id());
        self.calls.send_message(&self.cid, draft).await
    }

    /// A page of messages, oldest first.
    pub async fn messages(&self, page: MessagePage) -> Result<MessagesResponse, Error> {
        self.calls.messages(&self.cid, page).await
    }

    /// One message.
    pub async fn message(&self, id: &MessageId) -> Result<Message, Error> {
        self.calls.message(&self.cid, id).await
    }

    /// Changes a message.
    pub async fn edit_message(&self, id: &MessageId, edit: &EditMessage) -> Result<Message, Error> {
        self.calls.edit_message(&self.cid, id, edit).await
    }

    /// Deletes a message; its place is kept.
    pub async fn delete(&self, id: &MessageId) -> Result<Message, Error> {
        self.calls.delete_message(&self.cid, id, Deletion::Soft).await
    }

    /// Deletes a message without a trace of what it was.
    pub async fn delete_hard(&self, id: &MessageId) -> Result<Message, Error> {
        self.calls.delete_message(&self.cid, id, Deletion::Hard).await
    }

    /// Marks messages as read.
    pub async fn mark_read(&self, mark: &MarkRead) -> Result<Unread, Error> {
        self.calls.mark_read(&self.cid, mark).await
    }

    /// Makes this message and all after it unread again.
    pub async fn mark_unread(&self, id: &MessageId) -> Result<Unread, Error> {
        self.calls.mark_unread(&self.cid, id).await
    }
}
