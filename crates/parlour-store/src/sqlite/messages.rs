//! Messages: sent once whatever happens, edited, deleted, paged.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{Context, SHA256};
use parlour_wire::members::Member;
use parlour_wire::messages::{EditMessage, MESSAGE_CUSTOM_BYTES_MAX, Message, MessageType, MessagesResponse};
use parlour_wire::users::UserBrief;
use parlour_wire::{Cid, MessageId, Seq, Timestamp, Topic, UserId};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Params, Row, params};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::column::{Count, Json, Parsed, Time, is_of_one_row, json, json_within, readable};
use super::events::{Entry, TopicRow, Tx, topic_columns};
use super::{channels, teams, users};
use crate::{AppId, Audience, Deletion, NewMessage, Page, Requires, Result, Sent, StoreError};

/// Bytes of a content's digest that are kept. It tells a sender's own two sends apart, so that nobody gains
/// from a collision.
const DIGEST_BYTES: usize = 16;
/// What stands in `shadowed` where it is not 0.
const SHADOWED: u8 = 1;
const SHADOWED_SILENT: u8 = 2;

macro_rules! select_message {
    ($rest:literal) => {
        concat!(
            "select messages.message_id, messages.seq, messages.type, messages.text, messages.sender,
                    users.name, users.image, messages.created_at, messages.updated_at, messages.edited_at,
                    messages.deleted_at, messages.attachments, messages.mentioned, messages.silent,
                    messages.custom, messages.id, messages.shadowed, messages.shadow_edit
             from messages
             left join users on users.app = messages.app and users.user_id = messages.sender ",
            $rest
        )
    };
}

/// With whose eyes messages are read.
#[derive(Clone, Copy)]
pub(super) enum Eyes<'a> {
    /// Whoever may read the channel.
    Public,
    /// This user's, who also sees what only she is to see.
    User(&'a UserId),
    /// A server's, from which nothing is hidden.
    Server,
}

impl<'a> Eyes<'a> {
    /// Those of whoever asks; `None` is a server.
    pub(super) fn of(viewer: Option<&'a UserId>) -> Self {
        viewer.map_or(Self::Server, Self::User)
    }

    /// As a condition compares with it: no user's id is empty, or has such a character.
    fn as_str(self) -> &'a str {
        match self {
            Self::Public => "",
            Self::User(user) => user.as_str(),
            Self::Server => "*",
        }
    }
}

/// What stands in `shadow_edit`.
#[derive(Serialize, Deserialize)]
struct ShadowEdit {
    text: String,
    attachments: Vec<Value>,
    mentioned_users: Vec<UserId>,
    custom: BTreeMap<String, Value>,
    updated_at: Timestamp,
    edited_at: Option<Timestamp>,
}

fn read(row: &Row<'_>, cid: &Cid, eyes: Eyes<'_>) -> rusqlite::Result<Message> {
    let sender: UserId = row.get::<_, Parsed<UserId>>(4)?.0;
    let time = |at: usize| Ok::<_, rusqlite::Error>(row.get::<_, Option<Time>>(at)?.map(|Time(at)| at));
    let deleted_at = time(10)?;
    let shadowed = row.get::<_, u8>(16)?;
    let is_own = matches!(eyes, Eyes::User(user) if *user == sender);
    let mut message = Message {
        id: row.get::<_, Parsed<MessageId>>(0)?.0,
        cid: cid.clone(),
        seq: row.get::<_, Count>(1)?.0,
        message_type: match deleted_at {
            Some(_) => MessageType::Deleted,
            None => MessageType::from(row.get_ref(2)?.as_str()?),
        },
        text: row.get(3)?,
        user: users::brief_at(row, sender, 5, 6)?,
        created_at: row.get::<_, Time>(7)?.0,
        updated_at: row.get::<_, Time>(8)?.0,
        edited_at: time(9)?,
        deleted_at,
        attachments: row.get::<_, Json<_>>(11)?.0,
        mentioned_users: row.get::<_, Json<_>>(12)?.0,
        silent: if shadowed == 0 { row.get(13)? } else { shadowed == SHADOWED_SILENT },
        shadowed: shadowed != 0 && matches!(eyes, Eyes::Server),
        custom: row.get::<_, Json<_>>(14)?.0,
    };
    if let Some(Json(edit)) = row.get::<_, Option<Json<ShadowEdit>>>(17)?
        && is_own
    {
        let ShadowEdit { text, attachments, mentioned_users, custom, updated_at, edited_at } = edit;
        message = Message { text, attachments, mentioned_users, custom, updated_at, edited_at, ..message };
    }
    Ok(message)
}

/// The message in this place of a channel, if it is still there and these eyes see it.
pub(super) fn at(
    conn: &Connection,
    channel: i64,
    cid: &Cid,
    seq: Seq,
    eyes: Eyes<'_>,
) -> rusqlite::Result<Option<Message>> {
    conn.prepare_cached(select_message!(
        "where messages.channel = ?1 and messages.seq = ?2
           and (messages.shadowed = 0 or ?3 in (messages.sender, '*'))"
    ))?
    .query_row(params![channel, Count(seq), eyes.as_str()], |row| read(row, cid, eyes))
    .optional()
}

pub(super) fn find(
    conn: &Connection,
    app: AppId,
    channel: i64,
    cid: &Cid,
    id: &MessageId,
    eyes: Eyes<'_>,
) -> rusqlite::Result<Option<Message>> {
    conn.prepare_cached(select_message!(
        "where messages.app = ?1 and messages.message_id = ?2 and messages.channel = ?3
           and (messages.shadowed = 0 or ?4 in (messages.sender, '*'))"
    ))?
    .query_row(params![app.0, id.as_str(), channel, eyes.as_str()], |row| read(row, cid, eyes))
    .optional()
}

/// See [`crate::Store::message`].
pub(super) fn one(
    conn: &Connection,
    app: AppId,
    cid: &Cid,
    id: &MessageId,
    eyes: Eyes<'_>,
) -> Result<Message> {
    let channel = channels::existing(conn, app, cid)?;
    find(conn, app, channel, cid, id, eyes)?.ok_or(StoreError::NotFound)
}

/// The place of a message that this member may see.
pub(super) fn visible_seq(
    conn: &Connection,
    app: AppId,
    channel: i64,
    id: &MessageId,
    member: &Member,
) -> Result<Seq> {
    let Count(seq) = conn
        .prepare_cached(
            "select seq from messages where app = ?1 and message_id = ?2 and channel = ?3
               and (shadowed = 0 or sender = ?4)",
        )?
        .query_row(params![app.0, id.as_str(), channel, member.user_id.as_str()], |row| row.get(0))
        .optional()?
        .ok_or(StoreError::NotFound)?;
    if seq > member.hidden_up_to { Ok(seq) } else { Err(StoreError::NotFound) }
}

/// Whether a message that these eyes see stands after one place and up to another.
pub(super) fn any_between(
    conn: &Connection,
    channel: i64,
    after: Seq,
    up_to: Seq,
    eyes: Eyes<'_>,
) -> Result<bool> {
    let any = conn
        .prepare_cached(
            "select 1 from messages where channel = ?1 and seq > ?2 and seq <= ?3
               and (shadowed = 0 or ?4 in (sender, '*'))",
        )?
        .exists(params![channel, Count(after), Count(up_to), eyes.as_str()])?;
    Ok(any)
}

/// A message as an entry in the log.
pub(super) struct LoggedRow {
    pub(super) log_id: i64,
    pub(super) seq: Seq,
    pub(super) created_at: Timestamp,
    /// `None` where nobody but its sender is to see it, and where the row holds what cannot be understood.
    pub(super) message: Option<Message>,
}

/// The messages after one place and up to another, as entries in the log.
pub(super) fn rows_between(
    conn: &Connection,
    channel: i64,
    cid: &Cid,
    after: Seq,
    up_to: Seq,
) -> Result<Vec<LoggedRow>> {
    conn.prepare_cached(select_message!(
        "where messages.channel = ?1 and messages.seq > ?2 and messages.seq <= ?3 order by messages.seq"
    ))?
    .query_and_then(params![channel, Count(after), Count(up_to)], |row| {
        let (Count(seq), Time(created_at)) = (row.get(1)?, row.get(7)?);
        let is_shadowed: bool = row.get(16)?;
        let message = match read(row, cid, Eyes::Public) {
            _ if is_shadowed => None,
            Ok(message) => Some(message),
            Err(error) if is_of_one_row(&error) => {
                tracing::error!(%cid, seq, %error, "a message cannot be read: a placeholder keeps its place");
                None
            }
            Err(error) => return Err(error.into()),
        };
        Ok(LoggedRow { log_id: row.get(15)?, seq, created_at, message })
    })?
    .collect()
}

/// Stores the message unless it was stored before: then that is the answer. See [`crate::Store::send_message`].
pub(super) fn send(tx: &Tx<'_>, new: &NewMessage) -> Result<Sent> {
    let NewMessage { app, cid, sender, id, .. } = new;
    let Sender { topic, is_member, ban, user } = sender_in(tx, new)?;
    let channel = topic.id;
    if new.requires == Requires::Membership && !is_member {
        return Err(StoreError::NotMember);
    }
    let audience = match ban {
        SenderBan::None => Audience::Everybody,
        _ if new.requires == Requires::Channel => Audience::Everybody,
        SenderBan::Shadow => Audience::Sender,
        SenderBan::FromApp => return Err(StoreError::Banned { ends_at: None, reason: None }),
        SenderBan::FromChannel => return Err(StoreError::BannedFromChannel),
    };
    let shadowed = match audience {
        Audience::Everybody => 0,
        Audience::Sender if new.silent => SHADOWED_SILENT,
        Audience::Sender => SHADOWED,
    };
    let content = digest(new)?;
    if let Some(message) = sent_before(tx, new, channel, &content)? {
        return Ok(Sent::Before(message));
    }
    // A member exists, and is inside the channel's team.
    let unproven = (new.requires != Requires::Membership).then_some(sender);
    if unproven.is_some() || !new.mentioned_users.is_empty() {
        let team = teams::of_channel(tx, channel)?;
        teams::must_be_inside(tx, *app, team.as_ref(), unproven.into_iter().chain(&new.mentioned_users))?;
    }
    let Some(user) = user else { return Err(StoreError::UnknownUsers(vec![sender.clone()])) };
    let custom = json_within(&new.custom, MESSAGE_CUSTOM_BYTES_MAX)?;
    let place = tx.place(&topic, new.now)?;
    let message = Message {
        id: id.clone(),
        cid: cid.clone(),
        seq: place.seq,
        message_type: MessageType::Regular,
        text: new.text.clone(),
        user,
        // The log's time, which never steps back: neither does a message's within its channel.
        created_at: place.at,
        updated_at: place.at,
        edited_at: None,
        deleted_at: None,
        attachments: new.attachments.clone(),
        mentioned_users: new.mentioned_users.clone(),
        silent: new.silent,
        shadowed: false,
        custom: new.custom.clone(),
    };
    tx.prepare_cached(
        "insert into messages (id, app, channel, seq, message_id, sender, type, text, attachments, mentioned, silent,
                               custom, content, created_at, updated_at, shadowed)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?14, ?15)",
    )?
    .execute(params![
        place.log_id,
        app.0,
        channel,
        Count(place.seq),
        id.as_str(),
        sender.as_str(),
        message.message_type.as_str(),
        message.text,
        json(&message.attachments)?,
        json(&message.mentioned_users)?,
        message.silent || shadowed != 0,
        custom,
        content,
        Time(place.at),
        shadowed,
    ])?;
    if audience == Audience::Sender {
        // For the others the channel is as quiet as it was.
        tx.tell_placeholder(*app, place, cid);
        tx.log(*app, Topic::User(sender.clone()), &Entry::shadow_new(id, place.seq, channel), new.now)?;
        return Ok(Sent::New(message));
    }
    tx.prepare_cached("update channels set last_message_at = ?2, last_message_seq = ?3 where id = ?1")?
        .execute(params![channel, Time(place.at), Count(place.seq)])?;
    tx.tell_message(*app, place, message.clone());
    Ok(Sent::New(message))
}

/// Who sends, in a channel that exists.
struct Sender {
    /// The channel's row is under the same id.
    topic: TopicRow,
    is_member: bool,
    ban: SenderBan,
    /// `None` where there is no such user.
    user: Option<UserBrief>,
}

/// What keeps a sender from being heard: of two bans the one that it notices.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SenderBan {
    None,
    FromApp,
    FromChannel,
    Shadow,
}

/// Everything that a send rests on, in one look.
fn sender_in(tx: &Tx<'_>, new: &NewMessage) -> Result<Sender> {
    let NewMessage { app, cid, sender, now, .. } = new;
    tx.prepare_cached(concat!(
        "select ",
        topic_columns!(),
        ", members.id is not null, users.id is not null, users.name, users.image,
                min(coalesce((select 2 * shadow from bans
                              where bans.app = ?1 and bans.user_id = ?3 and bans.channel = 0
                                and (ends_at is null or ends_at > ?4)), 9),
                    coalesce((select 2 * shadow + 1 from bans
                              where bans.app = ?1 and bans.user_id = ?3 and bans.channel = channels.id
                                and (ends_at is null or ends_at > ?4)), 9))
         from channels
         join topics on topics.id = channels.id
         left join members on members.channel = channels.id and members.user_id = ?3
         left join users on users.app = ?1 and users.user_id = ?3
         where channels.app = ?1 and channels.cid = ?2"
    ))?
    .query_row(params![app.0, cid.to_string(), sender.as_str(), Time(*now)], |row| {
        let exists: bool = row.get(6)?;
        let user = if exists { Some(users::brief_at(row, sender.clone(), 7, 8)?) } else { None };
        let ban = match row.get::<_, u8>(9)? {
            0 => SenderBan::FromApp,
            1 => SenderBan::FromChannel,
            2 | 3 => SenderBan::Shadow,
            _ => SenderBan::None,
        };
        Ok(Sender { topic: TopicRow::read(row, 0)?, is_member: row.get(5)?, ban, user })
    })
    .optional()?
    .ok_or(StoreError::NotFound)
}

/// What was stored under this id before, as it is now.
fn sent_before(tx: &Tx<'_>, new: &NewMessage, channel: i64, content: &[u8]) -> Result<Option<Message>> {
    let NewMessage { app, cid, sender, id, .. } = new;
    let stored = tx
        .prepare_cached(
            "select channel = ?3 and sender = ?4 and content = ?5, 0, 0, 0, 0 from messages
             where app = ?1 and message_id = ?2
             union all
             select cid = ?6 and sender = ?4 and content = ?5, 1, seq, created_at, deleted_at from tombstones
             where app = ?1 and message_id = ?2",
        )?
        .query_row(params![app.0, id.as_str(), channel, sender.as_str(), content, cid.to_string()], |row| {
            let is_same: bool = row.get(0)?;
            Ok((is_same, row.get::<_, bool>(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        })
        .optional()?;
    let Some((is_same, is_gone, Count(seq), Time(created_at), Time(deleted_at))) = stored else {
        return Ok(None);
    };
    if !is_same {
        return Err(StoreError::IdConflict);
    }
    if !is_gone {
        return Ok(find(tx, *app, channel, cid, id, Eyes::User(sender))?);
    }
    // It was accepted, and then it was deleted: the sender learns both.
    Ok(Some(Message {
        id: id.clone(),
        cid: cid.clone(),
        seq,
        message_type: MessageType::Deleted,
        text: String::new(),
        user: users::brief(tx, *app, sender)?,
        created_at,
        updated_at: deleted_at,
        edited_at: None,
        deleted_at: Some(deleted_at),
        attachments: Vec::new(),
        mentioned_users: Vec::new(),
        silent: new.silent,
        shadowed: false,
        custom: BTreeMap::new(),
    }))
}

/// What was sent, as a few bytes: of the JSON array of its parts. Keys of objects count in any order.
fn digest(new: &NewMessage) -> Result<Vec<u8>> {
    let NewMessage { text, attachments, mentioned_users, silent, custom, .. } = new;
    let mut context = Context::new(&SHA256);
    context.update(b"[");
    context.update(json(text)?.as_bytes());
    context.update(b",[");
    for attachment in attachments {
        feed(&mut context, attachment)?;
        context.update(b",");
    }
    context.update(b"],[");
    for user in mentioned_users {
        context.update(json(user)?.as_bytes());
        context.update(b",");
    }
    context.update(if *silent { b"],true,{" } else { b"],false,{" });
    // Already in the order of its keys.
    for (key, value) in custom {
        context.update(json(key)?.as_bytes());
        context.update(b":");
        feed(&mut context, value)?;
    }
    context.update(b"},]");
    let digest = context.finish();
    Ok(digest.as_ref().iter().copied().take(DIGEST_BYTES).collect())
}

fn feed(context: &mut Context, value: &Value) -> Result<()> {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(key, _)| *key);
            context.update(b"{");
            for (key, value) in fields {
                context.update(json(key)?.as_bytes());
                context.update(b":");
                feed(context, value)?;
            }
            context.update(b"}");
        }
        Value::Array(items) => {
            context.update(b"[");
            for item in items {
                feed(context, item)?;
                context.update(b",");
            }
            context.update(b"]");
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            context.update(json(value)?.as_bytes());
        }
    }
    Ok(())
}

/// See [`crate::Store::edit_message`]. An edit that changes nothing is no event.
pub(super) fn edit(
    tx: &Tx<'_>,
    app: AppId,
    cid: &Cid,
    id: &MessageId,
    edit: EditMessage,
    audience: Audience,
    now: Timestamp,
) -> Result<Message> {
    let channel = channels::existing(tx, app, cid)?;
    let stored = find(tx, app, channel, cid, id, Eyes::Server)?
        .filter(|message| message.deleted_at.is_none())
        .ok_or(StoreError::NotFound)?;
    let sender = stored.user.id.clone();
    let (is_shadowed, edits_shadow) = (stored.shadowed, audience == Audience::Sender && !stored.shadowed);
    // Who is shadow-banned goes on from what it sees.
    let before = match audience {
        Audience::Everybody => Message { shadowed: false, ..stored },
        Audience::Sender => {
            find(tx, app, channel, cid, id, Eyes::User(&sender))?.ok_or(StoreError::NotFound)?
        }
    };
    let mut message = before.clone();
    message.text = edit.text.unwrap_or(message.text);
    message.attachments = edit.attachments.unwrap_or(message.attachments);
    if let Some(mentioned) = edit.mentioned_users {
        teams::must_be_inside(tx, app, teams::of_channel(tx, channel)?.as_ref(), &mentioned)?;
        message.mentioned_users = mentioned;
    }
    message.custom.extend(edit.set);
    message.custom.retain(|key, _| !edit.unset.contains(key));
    if message == before {
        return Ok(before);
    }
    message.updated_at = now.max(before.updated_at);
    if message.text != before.text {
        message.edited_at = Some(message.updated_at);
    }
    if edits_shadow {
        keep_shadow_edit(tx, channel, &message)?;
    } else {
        store_edit(tx, channel, &message)?;
    }
    if is_shadowed || edits_shadow {
        tx.log(app, Topic::User(sender), &Entry::shadow_updated(id, message.seq, channel), now)?;
    } else {
        tx.log(app, Topic::Channel(cid.clone()), &Entry::message_updated(id, message.seq), now)?;
    }
    Ok(message)
}

fn store_edit(tx: &Tx<'_>, channel: i64, message: &Message) -> Result<()> {
    // What everybody sees anew takes the place of what only the sender saw.
    tx.prepare_cached(
        "update messages set text = ?3, attachments = ?4, mentioned = ?5, custom = ?6, updated_at = ?7,
                             edited_at = ?8, shadow_edit = null
         where channel = ?1 and seq = ?2",
    )?
    .execute(params![
        channel,
        Count(message.seq),
        message.text,
        json(&message.attachments)?,
        json(&message.mentioned_users)?,
        json_within(&message.custom, MESSAGE_CUSTOM_BYTES_MAX)?,
        Time(message.updated_at),
        message.edited_at.map(Time),
    ])?;
    Ok(())
}

/// What the message is from now on for its sender, and for nobody else.
fn keep_shadow_edit(tx: &Tx<'_>, channel: i64, message: &Message) -> Result<()> {
    json_within(&message.custom, MESSAGE_CUSTOM_BYTES_MAX)?;
    let Message { text, attachments, mentioned_users, custom, updated_at, edited_at, .. } = message.clone();
    let edit = ShadowEdit { text, attachments, mentioned_users, custom, updated_at, edited_at };
    tx.prepare_cached("update messages set shadow_edit = ?3 where channel = ?1 and seq = ?2")?
        .execute(params![channel, Count(message.seq), json(&edit)?])?;
    Ok(())
}

/// See [`crate::Store::delete_message`].
pub(super) fn delete(
    tx: &Tx<'_>,
    app: AppId,
    cid: &Cid,
    id: &MessageId,
    deletion: Deletion,
    now: Timestamp,
) -> Result<()> {
    let channel = channels::existing(tx, app, cid)?;
    let found = tx
        .prepare_cached(
            "select seq, deleted_at is not null, iif(shadowed, sender, null) from messages
             where app = ?1 and message_id = ?2 and channel = ?3",
        )?
        .query_row(params![app.0, id.as_str(), channel], |row| {
            let only_for = row.get::<_, Option<Parsed<UserId>>>(2)?.map(|Parsed(sender)| sender);
            Ok((row.get(0)?, row.get(1)?, only_for))
        })
        .optional()?;
    let Some((Count(seq), is_deleted, only_for)) = found else {
        let was_there = tx
            .prepare_cached("select 1 from tombstones where app = ?1 and message_id = ?2 and cid = ?3")?
            .exists(params![app.0, id.as_str(), cid.to_string()])?;
        return if was_there { Ok(()) } else { Err(StoreError::NotFound) };
    };
    match deletion {
        Deletion::Soft if is_deleted => return Ok(()),
        Deletion::Soft => {
            tx.prepare_cached(
                "update messages set text = '', attachments = '[]', mentioned = '[]', custom = '{}',
                                     shadow_edit = null, deleted_at = max(updated_at, ?3), updated_at = max(updated_at, ?3)
                 where channel = ?1 and seq = ?2",
            )?
            .execute(params![channel, Count(seq), Time(now)])?;
        }
        Deletion::Hard => {
            tx.prepare_cached(
                "insert into tombstones (app, message_id, cid, seq, sender, content, created_at, deleted_at)
                 select app, message_id, ?3, seq, sender, content, created_at, ?4 from messages
                 where channel = ?1 and seq = ?2",
            )?
            .execute(params![channel, Count(seq), cid.to_string(), Time(now)])?;
            tx.prepare_cached("delete from messages where channel = ?1 and seq = ?2")?
                .execute(params![channel, Count(seq)])?;
        }
    }
    match only_for {
        Some(sender) => tx.log(app, Topic::User(sender), &Entry::shadow_deleted(id, seq, channel), now)?,
        None => tx.log(app, Topic::Channel(cid.clone()), &Entry::message_deleted(id, seq), now)?,
    };
    Ok(())
}

/// See [`crate::Store::messages`].
pub(super) fn page(
    conn: &Connection,
    app: AppId,
    cid: &Cid,
    page: Page,
    limit: u32,
    hidden_up_to: Seq,
    eyes: Eyes<'_>,
) -> Result<MessagesResponse> {
    let view = View { conn, channel: channels::existing(conn, app, cid)?, cid, hidden_up_to, eyes };
    let messages = match page {
        Page::Latest => view.up_to(Seq::MAX, limit)?,
        Page::Before(seq) => view.up_to(seq.saturating_sub(1), limit)?,
        Page::After(seq) => view.after(seq, limit)?,
        Page::Around(seq) => view.around(seq, limit)?,
    };
    // What an empty page stands between.
    let (first, last) = match (messages.first(), messages.last(), page) {
        (Some(first), Some(last), _) => (first.seq, last.seq),
        (_, _, Page::Latest) => (Seq::MAX, Seq::MAX),
        (_, _, Page::Before(seq)) => (seq, seq.saturating_sub(1)),
        (_, _, Page::After(seq) | Page::Around(seq)) => (seq.saturating_add(1), seq),
    };
    Ok(MessagesResponse {
        has_more_before: any_between(conn, view.channel, hidden_up_to, first.saturating_sub(1), eyes)?,
        has_more_after: any_between(conn, view.channel, last.max(hidden_up_to), Seq::MAX, eyes)?,
        messages,
    })
}

/// The messages of a channel that somebody may see.
struct View<'a> {
    conn: &'a Connection,
    channel: i64,
    cid: &'a Cid,
    hidden_up_to: Seq,
    eyes: Eyes<'a>,
}

impl View<'_> {
    /// The last ones up to a place, oldest first.
    fn up_to(&self, seq: Seq, limit: u32) -> Result<Vec<Message>> {
        let statement = self.conn.prepare_cached(select_message!(
            "where messages.channel = ?1 and messages.seq > ?2 and messages.seq <= ?3
               and (messages.shadowed = 0 or ?5 in (messages.sender, '*'))
             order by messages.seq desc limit ?4"
        ))?;
        let range = params![self.channel, Count(self.hidden_up_to), Count(seq), limit, self.eyes.as_str()];
        let mut messages = self.read(statement, range)?;
        messages.reverse();
        Ok(messages)
    }

    /// The first ones after a place.
    fn after(&self, seq: Seq, limit: u32) -> Result<Vec<Message>> {
        let statement = self.conn.prepare_cached(select_message!(
            "where messages.channel = ?1 and messages.seq > ?2
               and (messages.shadowed = 0 or ?4 in (messages.sender, '*'))
             order by messages.seq limit ?3"
        ))?;
        let after = Count(seq.max(self.hidden_up_to));
        self.read(statement, params![self.channel, after, limit, self.eyes.as_str()])
    }

    /// As many before a place as after it; where one side has fewer, the other fills the page.
    fn around(&self, seq: Seq, limit: u32) -> Result<Vec<Message>> {
        let limit_len = limit as usize;
        let (mut before, mut after) = (self.up_to(seq, limit)?, self.after(seq, limit)?);
        let room_after = (limit_len / 2).max(limit_len.saturating_sub(before.len()));
        after.truncate(room_after);
        let room_before = limit_len - after.len();
        before.drain(..before.len().saturating_sub(room_before));
        before.append(&mut after);
        Ok(before)
    }

    fn read(&self, mut statement: CachedStatement<'_>, range: impl Params) -> Result<Vec<Message>> {
        readable(statement.query_map(range, |row| read(row, self.cid, self.eyes))?, "message")
    }
}
