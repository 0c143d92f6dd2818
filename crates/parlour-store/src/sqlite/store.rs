//! Which call is which: each method of [`Store`] is one read or one write.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use parlour_wire::channels::ChannelState;
use parlour_wire::devices::{Device, RegisterDevice};
use parlour_wire::error::ErrorBody;
use parlour_wire::limits::AppLimits;
use parlour_wire::members::{ChannelRole, Member, MembersResponse};
use parlour_wire::messages::{EditMessage, Message, MessagesResponse};
use parlour_wire::moderation::{Ban, Block, Flag, Mute};
use parlour_wire::reads::{Unread, UnreadTotals};
use parlour_wire::tasks::Task;
use parlour_wire::users::{Me, User};
use parlour_wire::{Cid, Epoch, MessageId, Seq, Team, Timestamp, Topic, UserId};
use serde_json::Value;

use super::events::Tx;
use super::messages::Eyes;
use super::{
    Sqlite, after, apps, bans, before, channels, connect, devices, events, flags, keys, limits, lives,
    members, messages, query, reads, relations, retention, revocations, standing, tasks, teams, usage, users,
};
use crate::ledger::Ledger;
use crate::{
    App, AppId, Audience, BanQuery, ChannelAccess, ChannelPage, ChannelQuery, CommitSink, Committed, Connect,
    Connected, Deletion, Events, Life, MemberChange, NewApp, NewBan, NewChannel, NewFlag, NewMessage,
    NewTask, Page, ReadTo, Reader, Receipts, Result, Retention, Sent, SigningKey, Standing, Store,
    StoreError, TaskName, TopicStart, UsageFigures, UsageRange, UserChange, UserPage, UserQuery, UserWrite,
    Wanted,
};

#[async_trait]
impl Store for Sqlite {
    fn on_commit(&self, sink: CommitSink) {
        self.shared.set_sink(sink);
    }

    async fn create_app(&self, app: NewApp) -> Result<App> {
        Ok(self.write("create_app", move |tx| apps::create(tx, &app)).await?.value)
    }

    async fn app(&self, app: AppId) -> Result<App> {
        self.read("app", move |conn| apps::one(conn, app)).await
    }

    async fn add_key(&self, app: AppId, key: SigningKey, keys_max: usize) -> Result<()> {
        self.write("add_key", move |tx| keys::add(tx, app, &key, keys_max)).await?;
        Ok(())
    }

    async fn remove_key(&self, app: AppId, kid: &str, now: Timestamp) -> Result<()> {
        let kid = kid.to_owned();
        self.write("remove_key", move |tx| keys::remove(tx, app, &kid, now)).await?;
        Ok(())
    }

    async fn keys_used(&self, app: AppId, used: Vec<(String, Timestamp)>) -> Result<()> {
        self.write("keys_used", move |tx| keys::used(tx, app, &used)).await?;
        Ok(())
    }

    async fn apps(&self) -> Result<Vec<App>> {
        self.read("apps", apps::all).await
    }

    async fn epoch(&self) -> Result<Epoch> {
        self.read("epoch", apps::epoch).await
    }

    async fn connect(&self, connect: Connect) -> Result<Committed<Connected>> {
        self.write("connect", move |tx| connect::connect(tx, &connect)).await
    }

    async fn begin_usage(&self) -> Result<Arc<Ledger>> {
        let shared = Arc::clone(&self.shared);
        let begin = move |tx: &Tx<'_>| {
            let ledger = Arc::new(usage::begin(tx)?);
            // This very commit writes that what an earlier process left open is over.
            shared.set_ledger(Arc::clone(&ledger));
            Ok(ledger)
        };
        Ok(self.write("begin_usage", begin).await?.value)
    }

    async fn record_closed(&self, users: Vec<(AppId, UserId)>, now: Timestamp) -> Result<()> {
        let ledger = self.shared.ledger();
        let record = move |tx: &Tx<'_>| {
            if let Some(ledger) = &ledger {
                ledger.stands(now);
            }
            connect::record_closed(tx, &users, now)
        };
        self.write("record_closed", record).await?;
        Ok(())
    }

    async fn standing(&self, app: AppId, user: &UserId) -> Result<Standing> {
        let user = user.clone();
        self.read("standing", move |conn| standing::of(conn, app, &user)).await
    }

    async fn revoke_tokens(
        &self,
        app: AppId,
        user: Option<&UserId>,
        before: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Committed<()>> {
        let user = user.cloned();
        self.write("revoke_tokens", move |tx| revocations::revoke(tx, app, user.as_ref(), before, now)).await
    }

    async fn me(&self, app: AppId, user: &UserId, now: Timestamp) -> Result<Option<Me>> {
        let user = user.clone();
        self.read("me", move |conn| users::me(conn, app, &user, now)).await
    }

    async fn upsert_users(
        &self,
        app: AppId,
        users: Vec<UserWrite>,
        now: Timestamp,
    ) -> Result<Committed<Vec<User>>> {
        self.write("upsert_users", move |tx| users::upsert(tx, app, users.clone(), now)).await
    }

    async fn update_user(
        &self,
        app: AppId,
        user: &UserId,
        change: UserChange,
        now: Timestamp,
    ) -> Result<Committed<User>> {
        let user = user.clone();
        self.write("update_user", move |tx| users::change(tx, app, &user, change.clone(), now)).await
    }

    async fn users(&self, app: AppId, ids: &[UserId]) -> Result<Vec<User>> {
        let ids = ids.to_vec();
        self.read("users", move |conn| users::list(conn, app, &ids)).await
    }

    async fn query_users(&self, query: UserQuery) -> Result<UserPage> {
        self.read("query_users", move |conn| query::users::page(conn, &query)).await
    }

    async fn team_of_new_channel(
        &self,
        app: AppId,
        creator: Option<&UserId>,
        named: Option<&Team>,
    ) -> Result<Option<Team>> {
        let (creator, named) = (creator.cloned(), named.cloned());
        self.read("team_of_new_channel", move |conn| {
            teams::of_new_channel(conn, app, creator.as_ref(), named.as_ref())
        })
        .await
    }

    async fn change_life(
        &self,
        app: AppId,
        user: &UserId,
        life: Life,
        now: Timestamp,
    ) -> Result<Committed<User>> {
        let user = user.clone();
        self.write("change_life", move |tx| lives::change(tx, app, &user, life, now)).await
    }

    async fn register_device(
        &self,
        app: AppId,
        user: &UserId,
        device: RegisterDevice,
        now: Timestamp,
    ) -> Result<Device> {
        let user = user.clone();
        let register = move |tx: &super::events::Tx<'_>| devices::register(tx, app, &user, &device, now);
        Ok(self.write("register_device", register).await?.value)
    }

    async fn devices(&self, app: AppId, user: &UserId) -> Result<Vec<Device>> {
        let user = user.clone();
        self.read("devices", move |conn| devices::of_user(conn, app, &user)).await
    }

    async fn remove_device(&self, app: AppId, user: &UserId, device: &str) -> Result<()> {
        let (user, device) = (user.clone(), device.to_owned());
        self.write("remove_device", move |tx| devices::remove(tx, app, &user, &device)).await?;
        Ok(())
    }

    async fn create_task(&self, task: NewTask) -> Result<Committed<Task>> {
        self.write("create_task", move |tx| tasks::create(tx, &task)).await
    }

    async fn task(&self, app: AppId, id: &str) -> Result<Task> {
        let id = id.to_owned();
        self.read("task", move |conn| tasks::one(conn, app, &id)).await
    }

    async fn open_tasks(&self) -> Result<Vec<TaskName>> {
        self.read("open_tasks", tasks::open).await
    }

    async fn step_task(&self, task: TaskName, now: Timestamp) -> Result<()> {
        let probe = self.probe();
        before(&probe, "step_task")?;
        if let Some(plan) = self.read_unprobed(move |conn| tasks::plan(conn, task)).await? {
            self.write_unprobed(move |tx| tasks::apply(tx, &plan, now)).await?;
        }
        after(&probe, "step_task")
    }

    async fn fail_task(&self, task: TaskName, error: ErrorBody, now: Timestamp) -> Result<()> {
        self.write("fail_task", move |tx| tasks::fail(tx, task, &error, now)).await?;
        Ok(())
    }

    async fn task_output(&self, app: AppId, id: &str, part: u64) -> Result<Option<String>> {
        let id = id.to_owned();
        self.read("task_output", move |conn| tasks::output(conn, app, &id, part)).await
    }

    async fn forget_tasks(&self, before_then: Timestamp) -> Result<()> {
        let probe = self.probe();
        before(&probe, "forget_tasks")?;
        while self.write_unprobed(move |tx| tasks::forget(tx, before_then)).await?.value {}
        after(&probe, "forget_tasks")
    }

    async fn friends(&self, app: AppId, user: &UserId) -> Result<Vec<UserId>> {
        let user = user.clone();
        self.read("friends", move |conn| users::friends(conn, app, &user)).await
    }

    async fn get_or_create_channel(&self, channel: NewChannel) -> Result<Committed<bool>> {
        self.write("get_or_create_channel", move |tx| channels::get_or_create(tx, &channel)).await
    }

    async fn channel_access(
        &self,
        app: AppId,
        cid: &Cid,
        user: Option<&UserId>,
    ) -> Result<Option<ChannelAccess>> {
        let (cid, user) = (cid.clone(), user.cloned());
        self.read("channel_access", move |conn| channels::access(conn, app, &cid, user.as_ref())).await
    }

    async fn channel_state(
        &self,
        app: AppId,
        cid: &Cid,
        viewer: Option<&UserId>,
        messages: u32,
    ) -> Result<ChannelState> {
        let (cid, viewer) = (cid.clone(), viewer.cloned());
        self.read("channel_state", move |conn| channels::state(conn, app, &cid, viewer.as_ref(), messages))
            .await
    }

    async fn query_channels(&self, query: ChannelQuery) -> Result<ChannelPage> {
        self.read("query_channels", move |conn| query::channels::page(conn, &query)).await
    }

    async fn update_channel(
        &self,
        app: AppId,
        cid: &Cid,
        set: BTreeMap<String, Value>,
        unset: Vec<String>,
        now: Timestamp,
    ) -> Result<Committed<()>> {
        let cid = cid.clone();
        self.write("update_channel", move |tx| channels::update(tx, app, &cid, set.clone(), &unset, now))
            .await
    }

    async fn delete_channel(&self, app: AppId, cid: &Cid, now: Timestamp) -> Result<Committed<()>> {
        let cid = cid.clone();
        self.write("delete_channel", move |tx| channels::delete(tx, app, &cid, now)).await
    }

    async fn change_members(&self, change: MemberChange) -> Result<Committed<()>> {
        self.write("change_members", move |tx| members::change(tx, &change)).await
    }

    async fn members(&self, app: AppId, cid: &Cid, offset: u32, limit: u32) -> Result<MembersResponse> {
        let cid = cid.clone();
        self.read("members", move |conn| members::page(conn, app, &cid, offset, limit)).await
    }

    async fn send_message(&self, message: NewMessage) -> Result<Committed<Sent>> {
        self.write("send_message", move |tx| messages::send(tx, &message)).await
    }

    async fn edit_message(
        &self,
        app: AppId,
        cid: &Cid,
        id: &MessageId,
        edit: EditMessage,
        audience: Audience,
        now: Timestamp,
    ) -> Result<Committed<Message>> {
        let (cid, id) = (cid.clone(), id.clone());
        self.write("edit_message", move |tx| messages::edit(tx, app, &cid, &id, edit.clone(), audience, now))
            .await
    }

    async fn delete_message(
        &self,
        app: AppId,
        cid: &Cid,
        id: &MessageId,
        deletion: Deletion,
        now: Timestamp,
    ) -> Result<Committed<()>> {
        let (cid, id) = (cid.clone(), id.clone());
        self.write("delete_message", move |tx| messages::delete(tx, app, &cid, &id, deletion, now)).await
    }

    async fn message(
        &self,
        app: AppId,
        cid: &Cid,
        id: &MessageId,
        viewer: Option<&UserId>,
    ) -> Result<Message> {
        let (cid, id, viewer) = (cid.clone(), id.clone(), viewer.cloned());
        self.read("message", move |conn| messages::one(conn, app, &cid, &id, Eyes::of(viewer.as_ref()))).await
    }

    async fn messages(
        &self,
        app: AppId,
        cid: &Cid,
        page: Page,
        limit: u32,
        hidden_up_to: Seq,
        viewer: Option<&UserId>,
    ) -> Result<MessagesResponse> {
        let (cid, viewer) = (cid.clone(), viewer.cloned());
        self.read("messages", move |conn| {
            messages::page(conn, app, &cid, page, limit, hidden_up_to, Eyes::of(viewer.as_ref()))
        })
        .await
    }

    async fn change_member_role(
        &self,
        app: AppId,
        cid: &Cid,
        user: &UserId,
        role: ChannelRole,
        now: Timestamp,
    ) -> Result<Committed<Member>> {
        let (cid, user) = (cid.clone(), user.clone());
        self.write("change_member_role", move |tx| members::change_role(tx, app, &cid, &user, &role, now))
            .await
    }

    async fn is_block_between(&self, app: AppId, one: &UserId, other: &UserId) -> Result<bool> {
        let (one, other) = (one.clone(), other.clone());
        self.read("is_block_between", move |conn| relations::is_block_between(conn, app, &one, &other)).await
    }

    async fn ban(&self, ban: NewBan) -> Result<Committed<Ban>> {
        self.write("ban", move |tx| bans::ban(tx, &ban)).await
    }

    async fn lift_ban(
        &self,
        app: AppId,
        user: &UserId,
        cid: Option<&Cid>,
        now: Timestamp,
    ) -> Result<Committed<bool>> {
        let (user, cid) = (user.clone(), cid.cloned());
        self.write("lift_ban", move |tx| bans::lift(tx, app, &user, cid.as_ref(), now)).await
    }

    async fn bans(&self, query: BanQuery) -> Result<(Vec<Ban>, Option<i64>)> {
        self.read("bans", move |conn| bans::page(conn, &query)).await
    }

    async fn mute(
        &self,
        app: AppId,
        user: &UserId,
        target: &UserId,
        wanted: Wanted,
        now: Timestamp,
    ) -> Result<Committed<Vec<Mute>>> {
        let (user, target) = (user.clone(), target.clone());
        self.write("mute", move |tx| relations::mute(tx, app, &user, &target, wanted, now)).await
    }

    async fn mutes(&self, app: AppId, user: &UserId, now: Timestamp) -> Result<Vec<Mute>> {
        let user = user.clone();
        self.read("mutes", move |conn| Ok(relations::mutes(conn, app, &user, now)?)).await
    }

    async fn block(
        &self,
        app: AppId,
        user: &UserId,
        target: &UserId,
        wanted: Wanted,
        now: Timestamp,
    ) -> Result<Committed<Vec<Block>>> {
        let (user, target) = (user.clone(), target.clone());
        self.write("block", move |tx| relations::block(tx, app, &user, &target, wanted, now)).await
    }

    async fn blocks(&self, app: AppId, user: &UserId) -> Result<Vec<Block>> {
        let user = user.clone();
        self.read("blocks", move |conn| relations::blocks(conn, app, &user)).await
    }

    async fn flag(&self, flag: NewFlag) -> Result<Committed<Flag>> {
        self.write("flag", move |tx| flags::raise(tx, &flag)).await
    }

    async fn flags(
        &self,
        app: AppId,
        cid: Option<&Cid>,
        before: Option<i64>,
        limit: u32,
    ) -> Result<(Vec<Flag>, Option<i64>)> {
        let cid = cid.cloned();
        self.read("flags", move |conn| flags::page(conn, app, cid.as_ref(), before, limit)).await
    }

    async fn mark_read(
        &self,
        app: AppId,
        cid: &Cid,
        user: &UserId,
        to: ReadTo,
        receipts: Receipts,
        now: Timestamp,
    ) -> Result<Committed<Unread>> {
        let (cid, user) = (cid.clone(), user.clone());
        self.write("mark_read", move |tx| reads::mark_read(tx, app, &cid, &user, &to, receipts, now)).await
    }

    async fn mark_unread(
        &self,
        app: AppId,
        cid: &Cid,
        user: &UserId,
        from: &MessageId,
        now: Timestamp,
    ) -> Result<Committed<Unread>> {
        let (cid, user, from) = (cid.clone(), user.clone(), from.clone());
        self.write("mark_unread", move |tx| reads::mark_unread(tx, app, &cid, &user, &from, now)).await
    }

    async fn unread(&self, app: AppId, user: &UserId) -> Result<UnreadTotals> {
        let user = user.clone();
        self.read("unread", move |conn| reads::totals(conn, app, &user)).await
    }

    async fn events(
        &self,
        app: AppId,
        topic: &Topic,
        after: Seq,
        limit: u64,
        reader: Reader,
    ) -> Result<Events> {
        let topic = topic.clone();
        self.read("events", move |conn| events::after(conn, app, &topic, after, limit, &reader)).await
    }

    async fn heads(&self, topics: Vec<(AppId, Topic)>) -> Result<Vec<Seq>> {
        self.read("heads", move |conn| events::heads(conn, &topics)).await
    }

    async fn topic_start(&self, app: AppId, topic: &Topic) -> Result<TopicStart> {
        let topic = topic.clone();
        self.read("topic_start", move |conn| events::start(conn, app, &topic)).await
    }

    async fn trim(&self, retention: Retention) -> Result<u64> {
        let probe = self.probe();
        before(&probe, "trim")?;
        let (mut gone, mut last) = (0, 0);
        loop {
            let topics = self.read_unprobed(move |conn| retention::candidates(conn, retention, last)).await?;
            let Some(end) = topics.last() else { break };
            last = *end;
            gone += self.write_unprobed(move |tx| retention::trim(tx, retention, &topics)).await?.value;
        }
        self.write_unprobed(move |tx| retention::forget_tombstones(tx, retention)).await?;
        after(&probe, "trim")?;
        Ok(gone)
    }

    async fn monthly_active_users(&self, app: AppId, month: &str) -> Result<u64> {
        let month = month.to_owned();
        self.read("monthly_active_users", move |conn| usage::monthly_active(conn, app, &month)).await
    }

    async fn usage(&self, app: AppId, range: UsageRange, now: Timestamp) -> Result<UsageFigures> {
        self.read("usage", move |conn| usage::figures(conn, app, &range, now)).await
    }

    async fn set_jwks_url(&self, app: AppId, url: Option<String>) -> Result<()> {
        self.write("set_jwks_url", move |tx| apps::set_jwks_url(tx, app, url.as_deref())).await?;
        Ok(())
    }

    async fn app_limits(&self) -> Result<Vec<(AppId, AppLimits)>> {
        self.read("app_limits", limits::all).await
    }

    async fn set_app_limits(&self, app: AppId, limits: AppLimits) -> Result<()> {
        self.write("set_app_limits", move |tx| limits::set(tx, app, &limits)).await?;
        Ok(())
    }

    async fn check(&self) -> Result<()> {
        let probe = self.probe();
        before(&probe, "check")?;
        self.write_unprobed(|tx| {
            tx.prepare_cached("update store set epoch = epoch")?.execute([])?;
            Ok(())
        })
        .await?;
        self.read_unprobed(|conn| apps::epoch(conn).map(drop)).await.map_err(|error| match error {
            StoreError::NotFound => StoreError::Backend("the database has lost its epoch".to_owned()),
            other => other,
        })?;
        after(&probe, "check")
    }

    async fn close(&self) {
        self.shut_and_wait().await;
    }
}
