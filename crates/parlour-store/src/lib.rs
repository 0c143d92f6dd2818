//! Parlour's durable truth.
//!
//! [`Store`] is what the server asks of it: each method is one transaction, said in one sentence. [`Sqlite`]
//! keeps it in one file (or in memory); a second backend is held to the same contract suite.
//!
//! The store gives every durable event its `seq` in the transaction that makes the change, and renders it
//! from the present state when it is read again. It knows nothing of permissions: what a method needs to be
//! still true when it writes (a membership, say) comes as part of its arguments.

mod error;
mod filter;
mod ledger;
mod lives;
pub mod sqlite;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use parlour_wire::channels::ChannelState;
use parlour_wire::devices::{Device, RegisterDevice};
use parlour_wire::error::ErrorBody;
use parlour_wire::frames::Resume;
use parlour_wire::limits::AppLimits;
use parlour_wire::members::{ChannelRole, Member, MembersResponse};
use parlour_wire::messages::{EditMessage, Message, MessagesResponse};
use parlour_wire::moderation::{Ban, Block, Flag, Mute};
use parlour_wire::reads::{Unread, UnreadTotals};
use parlour_wire::tasks::Task;
use parlour_wire::usage::{Granularity, UsagePoint};
use parlour_wire::users::{Me, PrivacySettings, Role, User};
use parlour_wire::{AppKey, Cid, Epoch, Event, MessageId, Open, Seq, Team, Timestamp, Topic, UserId};
use serde_json::Value;

pub use error::{Result, StoreError};
pub use filter::{ChannelField, Comparison, Field, Filter, Key, Kind, Order, Place, SortKey, UserField};
pub use ledger::{Census, Ledger, Marks, TABS_MAX, Ticket};
pub use lives::{Deleting, Gone, Inactivity, Life, NewTask, TaskName, Work};
pub use sqlite::{Probe, Sqlite, SqliteOptions, Synchronous, held_by};

/// The store's own short name of an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AppId(pub i64);

/// Whether an app is being developed or used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppMode {
    Development,
    Production,
}

/// An app that the server hosts.
#[derive(Clone, PartialEq)]
pub struct App {
    pub id: AppId,
    pub key: AppKey,
    /// Signs the app's tokens.
    pub secret: String,
    pub mode: AppMode,
    pub created_at: Timestamp,
    /// Further keys of its tokens, the oldest first.
    pub keys: Vec<SigningKey>,
    /// Where others stand, as JWKS.
    pub jwks_url: Option<String>,
}

/// A key beside an app's secret.
#[derive(Clone, PartialEq)]
pub struct SigningKey {
    pub kid: String,
    pub algorithm: String,
    /// A secret, or the public half of a pair.
    pub material: String,
    /// What its tokens may do.
    pub scopes: Vec<String>,
    pub created_at: Timestamp,
    /// From then on its tokens are refused.
    pub expires_at: Option<Timestamp>,
    pub last_used_at: Option<Timestamp>,
}

impl std::fmt::Debug for App {
    // A secret that can be printed will be logged one day.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App")
            .field("id", &self.id)
            .field("key", &self.key)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

/// An app to be made.
#[derive(Clone)]
pub struct NewApp {
    pub key: AppKey,
    pub secret: String,
    pub mode: AppMode,
    pub now: Timestamp,
}

/// A durable event in its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Logged {
    pub app: AppId,
    /// The place in the order of all events of the store: what jobs follow.
    pub log_id: i64,
    pub topic: Topic,
    pub seq: Seq,
    pub event: Open<Event>,
}

/// Who hears of every commit. See [`Store::on_commit`].
pub type CommitSink = Arc<dyn Fn(&[Arc<Logged>]) + Send + Sync>;

/// What a write answered, and the events that it committed, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Committed<T> {
    pub value: T,
    pub events: Vec<Arc<Logged>>,
}

/// A user opens a connection.
#[derive(Clone, Debug)]
pub struct Connect {
    pub app: AppId,
    pub user: UserId,
    /// The user's own fields, merged key by key into what is stored. Read-only and reserved fields have been
    /// taken out before.
    pub fields: BTreeMap<String, Value>,
    /// Counts the connection, from this transaction on; `None`: it is counted already.
    pub ticket: Option<Arc<Ticket>>,
    pub resume: Option<Resume>,
    /// When the user's token says that it was issued: decides whether it is revoked.
    pub issued_at: Option<Timestamp>,
    pub now: Timestamp,
}

/// How a user stands in its app: what it is, and what stands against it and its tokens. One who does not exist is an
/// ordinary user.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    pub role: Role,
    /// Tokens that were issued before this time, or do not say when, are revoked.
    pub tokens_revoked_before: Option<Timestamp>,
    /// Why it may do nothing.
    pub inactivity: Option<Inactivity>,
    /// From the app, in force or not any more.
    pub ban: Option<Restriction>,
}

impl Default for Standing {
    fn default() -> Self {
        Self { role: Role::User, tokens_revoked_before: None, inactivity: None, ban: None }
    }
}

impl Standing {
    /// Whether a token that says this of when it was issued is revoked.
    pub fn revokes(&self, issued_at: Option<Timestamp>) -> bool {
        self.tokens_revoked_before.is_some_and(|before| issued_at.is_none_or(|at| at < before))
    }

    /// The ban that keeps the user from doing anything.
    pub fn keeps_out(&self, now: Timestamp) -> Option<&Restriction> {
        self.ban.as_ref().filter(|ban| ban.kind == BanKind::Open && ban.holds(now))
    }

    /// Whether what the user says is for its own eyes.
    pub fn shadows(&self, now: Timestamp) -> bool {
        self.ban.as_ref().is_some_and(|ban| ban.kind == BanKind::Shadow && ban.holds(now))
    }
}

/// Everything that a session starts from, read in the transaction that admitted it.
#[derive(Clone, Debug, PartialEq)]
pub struct Connected {
    pub me: Me,
    /// Whether the user was made by this connect.
    pub created: bool,
    pub privacy: PrivacySettings,
    pub epoch: Epoch,
    /// The user's own topic, the app's, and one for each membership.
    pub topics: Vec<TopicStart>,
    /// The unread state of the thirty channels of the latest activity.
    pub channels: Vec<Unread>,
}

impl Connected {
    /// Whether the user is in a channel that is made of its members: only then it has friends.
    pub fn has_direct_channels(&self) -> bool {
        let is_direct =
            |start: &TopicStart| matches!(&start.topic, Topic::Channel(cid) if cid.id.is_of_members());
        self.topics.iter().any(is_direct)
    }

    /// The last seq of the user's own topic: [`Self::me`] is the user as of it.
    pub fn own_head(&self) -> Seq {
        let own = |start: &&TopicStart| matches!(&start.topic, Topic::User(_));
        self.topics.iter().find(own).map_or(0, |start| start.head)
    }
}

/// Where a topic stands for this user.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicStart {
    pub topic: Topic,
    pub head: Seq,
    /// The last seq that has been trimmed; 0: none.
    pub floor: Seq,
    /// The last seq that is hidden from this member; 0: none.
    pub hidden_up_to: Seq,
    /// The last seq before `resume.as_of` − 10 s; absent without resume.
    pub as_of_seq: Option<Seq>,
}

/// A user to be made or replaced by a server.
#[derive(Clone, Debug)]
pub struct UserWrite {
    pub id: UserId,
    /// The user's own fields, replacing all that were there.
    pub fields: BTreeMap<String, Value>,
    /// Absent: as it was, or `user`.
    pub role: Option<Role>,
    /// Absent: as they were, or none.
    pub teams: Option<Vec<Team>>,
}

/// A change of some of a user's fields.
#[derive(Clone, Debug, Default)]
pub struct UserChange {
    pub set: BTreeMap<String, Value>,
    pub unset: Vec<String>,
    pub role: Option<Role>,
    pub teams: Option<Vec<Team>>,
}

/// A channel to be made, if it is not there.
#[derive(Clone, Debug)]
pub struct NewChannel {
    pub app: AppId,
    pub cid: Cid,
    /// Becomes its owner.
    pub creator: Option<UserId>,
    /// Further members.
    pub members: Vec<UserId>,
    /// One of the creator's. Absent: the creator's only one, or none where it has none.
    pub team: Option<Team>,
    pub data: BTreeMap<String, Value>,
    pub now: Timestamp,
}

/// What keeps a user from the app, or from saying anything in a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restriction {
    pub kind: BanKind,
    /// When it ends by itself.
    pub ends_at: Option<Timestamp>,
    pub reason: Option<String>,
}

impl Restriction {
    /// Whether it is in force: by the clock, whether anybody has cleared it away or not.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.ends_at.is_none_or(|end| now < end)
    }
}

/// Whether the banned is to notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BanKind {
    Open,
    /// The user goes on as before, and nobody else sees it.
    Shadow,
}

/// A ban to be made; one that is there is replaced.
#[derive(Clone, Debug)]
pub struct NewBan {
    pub app: AppId,
    pub user: UserId,
    /// Absent: from the app.
    pub cid: Option<Cid>,
    pub restriction: Restriction,
    pub banned_by: Option<UserId>,
    pub now: Timestamp,
}

/// Which bans.
#[derive(Clone, Debug)]
pub struct BanQuery {
    pub app: AppId,
    /// Those from one channel, from the app, or all.
    pub of: BansOf,
    pub user: Option<UserId>,
    /// Who asks: is not told of a shadow ban of its own.
    pub viewer: Option<UserId>,
    /// Those made before this one.
    pub before: Option<i64>,
    pub limit: u32,
    pub now: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BansOf {
    Everything,
    Channel(Cid),
}

/// What is flagged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flagged {
    User(UserId),
    Message { cid: Cid, id: MessageId },
}

/// A flag to be raised; again is the same.
#[derive(Clone, Debug)]
pub struct NewFlag {
    pub app: AppId,
    pub reporter: UserId,
    pub flagged: Flagged,
    pub reason: Option<String>,
    pub now: Timestamp,
}

/// Whether the user is wanted, from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    No { ends_at: Option<Timestamp> },
    Again,
}

/// What keeps a user from saying anything in a channel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChannelStanding {
    /// From the channel, in force or not any more.
    pub ban: Option<Restriction>,
    /// The channel is direct, and one of its two members blocked the other.
    pub is_blocked: bool,
}

/// Who hears of an edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    Everybody,
    /// The message's sender alone, who is shadow-banned.
    Sender,
}

/// What decides who may do what in a channel.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelAccess {
    pub cid: Cid,
    pub created_by: Option<UserId>,
    /// Of the user who was asked about.
    pub standing: ChannelStanding,
    /// The user's own membership.
    pub membership: Option<Member>,
    /// Whether the user's teams cover the channel's; every member's do.
    pub inside: bool,
    pub head: Seq,
    pub member_count: u64,
}

/// What must still be true in the transaction that writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requires {
    /// That the channel exists: what servers do.
    Channel,
    /// That the acting user is not banned; else [`StoreError::Banned`].
    Welcome,
    /// That it is a member, too; else [`StoreError::NotMember`].
    Membership,
}

/// Members to be added and removed.
#[derive(Clone, Debug)]
pub struct MemberChange {
    pub app: AppId,
    pub cid: Cid,
    pub add: Vec<UserId>,
    pub remove: Vec<UserId>,
    /// Whether those added see only what comes after.
    pub hide_history: bool,
    pub now: Timestamp,
}

/// A message to be sent.
#[derive(Clone, Debug)]
pub struct NewMessage {
    pub app: AppId,
    pub cid: Cid,
    pub sender: UserId,
    pub requires: Requires,
    pub id: MessageId,
    pub text: String,
    pub attachments: Vec<Value>,
    pub mentioned_users: Vec<UserId>,
    pub silent: bool,
    pub custom: BTreeMap<String, Value>,
    pub now: Timestamp,
}

/// What became of a send.
#[derive(Clone, Debug, PartialEq)]
pub enum Sent {
    New(Message),
    /// The same id, sender, channel and content were stored before: the message as it is now.
    Before(Message),
}

/// Whether a deleted message leaves its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// The text goes, the message stays as `deleted`.
    Soft,
    /// The message goes; its id is kept for 72 hours, so that no outbox brings it back.
    Hard,
}

/// Where a page of messages lies. Seqs are exclusive but for `Around`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    Latest,
    Before(Seq),
    After(Seq),
    Around(Seq),
}

/// How far to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadTo {
    Everything,
    Seq(Seq),
    Message(MessageId),
}

/// Whether the other members hear how far somebody has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipts {
    /// They do, unless the user does not wish it.
    Shown,
    /// They never do: in channels of this type nobody shows it.
    Hidden,
}

/// Who reads a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reader {
    /// A user who must be a member at this moment, and sees what members of her age see.
    Member(UserId),
    /// Somebody who may read without membership: of a public channel, or the topic's own user.
    Anyone,
}

/// Events after a place in a topic.
#[derive(Clone, Debug, PartialEq)]
pub enum Events {
    /// In order, without a hole, at most as many as asked for.
    Found { events: Vec<Logged>, head: Seq },
    /// The events right after the place are no longer kept.
    Trimmed { head: Seq },
    /// The reader is no member (any more), or there is no such channel.
    NoAccess,
}

/// A page of channels.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelPage {
    pub channels: Vec<ChannelState>,
    /// Where the next page begins; absent after the last one.
    pub next: Option<Place>,
}

/// Which channels, in which order.
#[derive(Clone, Debug)]
pub struct ChannelQuery {
    pub app: AppId,
    /// Only channels of which this user is a member, or whose type stands in `public_types`. Absent: all.
    pub viewer: Option<UserId>,
    pub public_types: Vec<String>,
    pub filter: Filter<ChannelField>,
    pub sort: Vec<SortKey<ChannelField>>,
    pub limit: u32,
    /// Where the page begins.
    pub after: Option<Place>,
    /// Messages to give with each.
    pub messages: u32,
}

/// Which users, in which order.
#[derive(Clone, Debug)]
pub struct UserQuery {
    pub app: AppId,
    /// Only users whom this one may see: itself, those of its teams, or those without any where it has none.
    /// Absent: all.
    pub viewer: Option<UserId>,
    pub found: Found,
    pub filter: Filter<UserField>,
    /// Without any, by id, descending.
    pub sort: Vec<SortKey<UserField>>,
    pub limit: u32,
    /// Where the page begins.
    pub after: Option<Place>,
    pub now: Timestamp,
}

/// Which users there are to be found at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Those who are neither deactivated nor deleted.
    Active,
    All,
}

/// A page of users.
#[derive(Clone, Debug, PartialEq)]
pub struct UserPage {
    pub users: Vec<User>,
    /// Where the next page begins; absent after the last one.
    pub next: Option<Place>,
}

/// Which periods: all that hold a moment of the range, whose end is exclusive.
#[derive(Clone, Debug, PartialEq)]
pub struct UsageRange {
    pub granularity: Granularity,
    pub from: Timestamp,
    pub to: Timestamp,
}

/// What was recorded of connections at the same time.
#[derive(Clone, Debug, PartialEq)]
pub struct UsageFigures {
    pub peaks: Peaks,
    pub points: Vec<UsagePoint>,
}

/// The peaks of the minute, hour, day and month that hold the present moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peaks {
    pub minute: u64,
    pub hour: u64,
    pub day: u64,
    pub month: u64,
}

/// How long events are kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Events older than this go.
    pub before: Timestamp,
    /// Events beyond this many in one topic go, the oldest first.
    pub per_topic: u64,
    /// Ids of hard-deleted messages older than this go.
    pub tombstones_before: Timestamp,
}

/// Parlour's durable truth. An answer of `Ok` to a write means that it survives the loss of power.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Gives the events of every commit to `sink`: in the order of the log, after they are durable, and before
    /// any of the calls that made them is answered. There is one sink (a later one takes its place). It runs on
    /// the writer's own time, so it must neither wait nor call the store; sinks are few instructions per event.
    fn on_commit(&self, sink: CommitSink);

    /// Makes an app, or gives the one with that key.
    async fn create_app(&self, app: NewApp) -> Result<App>;
    /// The app, with its keys.
    async fn app(&self, app: AppId) -> Result<App>;
    /// Adds a key, where the app has fewer than `keys_max`; a kid is never used twice, also not after its key went.
    async fn add_key(&self, app: AppId, key: SigningKey, keys_max: usize) -> Result<()>;
    /// Takes a key away: its tokens are no longer good.
    async fn remove_key(&self, app: AppId, kid: &str, now: Timestamp) -> Result<()>;
    /// Notes when good tokens of keys last came.
    async fn keys_used(&self, app: AppId, used: Vec<(String, Timestamp)>) -> Result<()>;
    /// Where the keys of the app's tokens stand beside its own; `None`: nowhere.
    async fn set_jwks_url(&self, app: AppId, url: Option<String>) -> Result<()>;
    /// All apps.
    async fn apps(&self) -> Result<Vec<App>>;
    /// The incarnation of the log: a new one where the database is.
    async fn epoch(&self) -> Result<Epoch>;

    /// Gets or makes the user, merges its fields, counts it active this month, records the connection, and
    /// reads everything that its session starts from. Of who is anonymous nothing but the connection is recorded.
    async fn connect(&self, connect: Connect) -> Result<Committed<Connected>>;
    /// Begins to count connections: those that an earlier process counted have ended when it last recorded anything.
    /// From now on every commit that lets somebody in also writes what the counting has come to.
    async fn begin_usage(&self) -> Result<Arc<Ledger>>;
    /// Writes what the counting has come to, and when the users of connections that ended were last active.
    async fn record_closed(&self, users: Vec<(AppId, UserId)>, now: Timestamp) -> Result<()>;
    /// How the user stands at this moment.
    async fn standing(&self, app: AppId, user: &UserId) -> Result<Standing>;
    /// Revokes what was issued before a time to the user, or to all users of the app; `None` takes it back. Tells it
    /// in the topic of whom it concerns.
    async fn revoke_tokens(
        &self,
        app: AppId,
        user: Option<&UserId>,
        before: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Committed<()>>;
    /// Who the token's user is, without making or counting anything.
    async fn me(&self, app: AppId, user: &UserId, now: Timestamp) -> Result<Option<Me>>;

    /// Makes or replaces users.
    async fn upsert_users(
        &self,
        app: AppId,
        users: Vec<UserWrite>,
        now: Timestamp,
    ) -> Result<Committed<Vec<User>>>;
    /// Sets and unsets some fields of a user.
    async fn update_user(
        &self,
        app: AppId,
        user: &UserId,
        change: UserChange,
        now: Timestamp,
    ) -> Result<Committed<User>>;
    /// The users with these ids, of those that exist.
    async fn users(&self, app: AppId, ids: &[UserId]) -> Result<Vec<User>>;
    /// The users that match.
    async fn query_users(&self, query: UserQuery) -> Result<UserPage>;
    /// The team of a channel that this user would make, of whom nobody is named where a server makes it.
    async fn team_of_new_channel(
        &self,
        app: AppId,
        creator: Option<&UserId>,
        named: Option<&Team>,
    ) -> Result<Option<Team>>;
    /// Deactivates, reactivates or restores a user.
    async fn change_life(
        &self,
        app: AppId,
        user: &UserId,
        life: Life,
        now: Timestamp,
    ) -> Result<Committed<User>>;
    /// Registers a device for a user; whoever had it before has it no more.
    async fn register_device(
        &self,
        app: AppId,
        user: &UserId,
        device: RegisterDevice,
        now: Timestamp,
    ) -> Result<Device>;
    /// A user's devices, the earliest registered first.
    async fn devices(&self, app: AppId, user: &UserId) -> Result<Vec<Device>>;
    /// Removes a device of a user.
    async fn remove_device(&self, app: AppId, user: &UserId, device: &str) -> Result<()>;

    /// Puts a task at the end of the app's. One that deletes a user deletes it now, and later what it leaves behind.
    async fn create_task(&self, task: NewTask) -> Result<Committed<Task>>;
    async fn task(&self, app: AppId, id: &str) -> Result<Task>;
    /// Of each app that has tasks to do the one that is to be done now.
    async fn open_tasks(&self) -> Result<Vec<TaskName>>;
    /// Does a little of a task, and notes how far it came, in one transaction; nothing where it is finished.
    async fn step_task(&self, task: TaskName, now: Timestamp) -> Result<()>;
    /// Ends a task that cannot come to its end.
    async fn fail_task(&self, task: TaskName, error: ErrorBody, now: Timestamp) -> Result<()>;
    /// A part of what a task gave, the first is 0; `None` after the last.
    async fn task_output(&self, app: AppId, id: &str, part: u64) -> Result<Option<String>>;
    /// Forgets tasks that finished before this, and what they gave.
    async fn forget_tasks(&self, before: Timestamp) -> Result<()>;

    /// The users who share a direct channel with this one (a channel that is named by its members), and between whom
    /// there is no block.
    async fn friends(&self, app: AppId, user: &UserId) -> Result<Vec<UserId>>;

    /// Makes the channel with its members, unless it is there; answers whether it was made.
    async fn get_or_create_channel(&self, channel: NewChannel) -> Result<Committed<bool>>;
    /// What decides who may do what; `None`: no such channel.
    async fn channel_access(
        &self,
        app: AppId,
        cid: &Cid,
        user: Option<&UserId>,
    ) -> Result<Option<ChannelAccess>>;
    /// The channel with its latest messages, as this viewer sees it.
    async fn channel_state(
        &self,
        app: AppId,
        cid: &Cid,
        viewer: Option<&UserId>,
        messages: u32,
    ) -> Result<ChannelState>;
    /// The channels that match.
    async fn query_channels(&self, query: ChannelQuery) -> Result<ChannelPage>;
    /// Sets and unsets some of a channel's data.
    async fn update_channel(
        &self,
        app: AppId,
        cid: &Cid,
        set: BTreeMap<String, Value>,
        unset: Vec<String>,
        now: Timestamp,
    ) -> Result<Committed<()>>;
    /// Deletes the channel, its messages and memberships; tells every member in her own topic.
    async fn delete_channel(&self, app: AppId, cid: &Cid, now: Timestamp) -> Result<Committed<()>>;

    /// Adds and removes members, and tells those in their own topics.
    async fn change_members(&self, change: MemberChange) -> Result<Committed<()>>;
    /// Changes what a member may do.
    async fn change_member_role(
        &self,
        app: AppId,
        cid: &Cid,
        user: &UserId,
        role: ChannelRole,
        now: Timestamp,
    ) -> Result<Committed<Member>>;
    /// A page of members by the time they joined, after `offset` of them.
    async fn members(&self, app: AppId, cid: &Cid, offset: u32, limit: u32) -> Result<MembersResponse>;

    /// Stores the message, or gives the one that was stored under its id.
    async fn send_message(&self, message: NewMessage) -> Result<Committed<Sent>>;
    /// Changes a message that is not deleted.
    async fn edit_message(
        &self,
        app: AppId,
        cid: &Cid,
        id: &MessageId,
        edit: EditMessage,
        audience: Audience,
        now: Timestamp,
    ) -> Result<Committed<Message>>;
    /// Deletes a message; deleting it again is the same.
    async fn delete_message(
        &self,
        app: AppId,
        cid: &Cid,
        id: &MessageId,
        deletion: Deletion,
        now: Timestamp,
    ) -> Result<Committed<()>>;
    /// One message of a channel, as this viewer sees it; `None` is a server.
    async fn message(
        &self,
        app: AppId,
        cid: &Cid,
        id: &MessageId,
        viewer: Option<&UserId>,
    ) -> Result<Message>;
    /// A page of messages, oldest first, of those above `hidden_up_to` that the viewer sees.
    async fn messages(
        &self,
        app: AppId,
        cid: &Cid,
        page: Page,
        limit: u32,
        hidden_up_to: Seq,
        viewer: Option<&UserId>,
    ) -> Result<MessagesResponse>;

    /// Whether one of two users blocked the other.
    async fn is_block_between(&self, app: AppId, one: &UserId, other: &UserId) -> Result<bool>;
    /// Bans a user, and tells it unless it is not to notice.
    async fn ban(&self, ban: NewBan) -> Result<Committed<Ban>>;
    /// Lifts the ban from a channel, or from the app; answers whether there was one.
    async fn lift_ban(
        &self,
        app: AppId,
        user: &UserId,
        cid: Option<&Cid>,
        now: Timestamp,
    ) -> Result<Committed<bool>>;
    /// A page of the bans that are in force, the latest first, and where the next one begins.
    async fn bans(&self, query: BanQuery) -> Result<(Vec<Ban>, Option<i64>)>;
    /// Mutes a user for another one, or no longer, and tells the user's own devices.
    async fn mute(
        &self,
        app: AppId,
        user: &UserId,
        target: &UserId,
        wanted: Wanted,
        now: Timestamp,
    ) -> Result<Committed<Vec<Mute>>>;
    /// Whom a user mutes.
    async fn mutes(&self, app: AppId, user: &UserId, now: Timestamp) -> Result<Vec<Mute>>;
    /// Blocks a user for another one, or no longer.
    async fn block(
        &self,
        app: AppId,
        user: &UserId,
        target: &UserId,
        wanted: Wanted,
        now: Timestamp,
    ) -> Result<Committed<Vec<Block>>>;
    /// Whom a user blocks.
    async fn blocks(&self, app: AppId, user: &UserId) -> Result<Vec<Block>>;
    /// Raises a flag.
    async fn flag(&self, flag: NewFlag) -> Result<Committed<Flag>>;
    /// A page of flags, the latest first: all of the app, or those of messages of a channel; and where the next one
    /// begins.
    async fn flags(
        &self,
        app: AppId,
        cid: Option<&Cid>,
        before: Option<i64>,
        limit: u32,
    ) -> Result<(Vec<Flag>, Option<i64>)>;

    /// Moves a member's read position forward; others are told if the user lets them know.
    async fn mark_read(
        &self,
        app: AppId,
        cid: &Cid,
        user: &UserId,
        to: ReadTo,
        receipts: Receipts,
        now: Timestamp,
    ) -> Result<Committed<Unread>>;
    /// Moves a member's read position back to before a message; nobody else is told.
    async fn mark_unread(
        &self,
        app: AppId,
        cid: &Cid,
        user: &UserId,
        from: &MessageId,
        now: Timestamp,
    ) -> Result<Committed<Unread>>;
    /// A user's unread totals, counted from the messages.
    async fn unread(&self, app: AppId, user: &UserId) -> Result<UnreadTotals>;

    /// The events after a place in a topic, rendered from the present state.
    async fn events(
        &self,
        app: AppId,
        topic: &Topic,
        after: Seq,
        limit: u64,
        reader: Reader,
    ) -> Result<Events>;
    /// The last seq of each topic, in the order asked; 0 for a topic without events.
    async fn heads(&self, topics: Vec<(AppId, Topic)>) -> Result<Vec<Seq>>;
    /// Where one topic stands for somebody who watches it without membership.
    async fn topic_start(&self, app: AppId, topic: &Topic) -> Result<TopicStart>;
    /// Forgets what is older than promised; answers how many events went.
    async fn trim(&self, retention: Retention) -> Result<u64>;

    /// Users who opened a connection in the month (`2026-11`).
    async fn monthly_active_users(&self, app: AppId, month: &str) -> Result<u64>;
    /// What is recorded of connections at the same time: the peaks of the present, and the periods of a range.
    async fn usage(&self, app: AppId, range: UsageRange, now: Timestamp) -> Result<UsageFigures>;

    /// What apps hold their users to, of those that say anything.
    async fn app_limits(&self) -> Result<Vec<(AppId, AppLimits)>>;
    /// What an app holds its users to from now on.
    async fn set_app_limits(&self, app: AppId, limits: AppLimits) -> Result<()>;

    /// Writes and reads something: whether the store can do its work.
    async fn check(&self) -> Result<()>;
    /// Finishes what was begun; afterwards every call fails.
    async fn close(&self);
}
