//! A fake server's answers over HTTP: those calls that an app's own flows are made of.
//!
//! A call that is not here is `not_found`, and says so.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Method;
use parlour_wire::channels::{
    ChannelResponse, ChannelState, ChannelsResponse, GetOrCreateChannel, QueryChannels,
};
use parlour_wire::events::Event;
use parlour_wire::members::{ChannelRole, MembersResponse, UpdateMembers};
use parlour_wire::messages::{
    EditMessage, Message, MessageResponse, MessageType, MessagesResponse, SendMessage, TEXT_CHARS_MAX,
};
use parlour_wire::reads::{MarkRead, MarkUnread, UnreadResponse};
use parlour_wire::users::{MeResponse, PartialUpdate, UserResponse, UsersResponse};
use parlour_wire::{Cid, ErrorBody, ErrorCode, MessageId, Topic, UserId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::world::World;

/// Messages and channels in a page, where a call says nothing else.
const PAGE: usize = 25;

type Answer = Result<(u16, Value), ErrorBody>;

pub(super) fn answer(world: &mut World, request: &http::Request<Bytes>) -> http::Response<Bytes> {
    match Call::of(world, request).and_then(|call| call.route()) {
        Ok((status, body)) => response(status, &body),
        Err(error) => refusal(&error),
    }
}

pub(super) fn refusal(error: &ErrorBody) -> http::Response<Bytes> {
    response(error.status, &json!({ "error": error }))
}

fn response(status: u16, body: &Value) -> http::Response<Bytes> {
    let mut response = http::Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = http::StatusCode::from_u16(status).expect("codes have statuses of HTTP");
    response
}

fn ok(body: &impl Serialize) -> Answer {
    with_status(200, body)
}

fn with_status(status: u16, body: &impl Serialize) -> Answer {
    Ok((status, serde_json::to_value(body).expect("an answer is JSON")))
}

struct Call<'a> {
    world: &'a mut World,
    user: UserId,
    method: &'a Method,
    path: &'a str,
    query: BTreeMap<&'a str, &'a str>,
    body: &'a [u8],
}

impl<'a> Call<'a> {
    fn of(world: &'a mut World, request: &'a http::Request<Bytes>) -> Result<Self, ErrorBody> {
        let bearer = request.headers().get("authorization").and_then(|header| header.to_str().ok());
        let token = bearer.and_then(|bearer| bearer.strip_prefix("Bearer "));
        let token = token.ok_or_else(|| ErrorCode::TokenMissing.error())?;
        let user = world.verify(token, None).map_err(ErrorCode::error)?;
        let query = request.uri().query().unwrap_or_default();
        Ok(Self {
            world,
            user,
            method: request.method(),
            path: request.uri().path(),
            query: query.split('&').filter_map(|pair| pair.split_once('=')).collect(),
            body: request.body(),
        })
    }

    fn route(self) -> Answer {
        let path = self.path.trim_start_matches("/v1/");
        let segments: Vec<&str> = path.split('/').collect();
        match (self.method.as_str(), segments.as_slice()) {
            ("GET", ["me"]) => ok(&MeResponse { me: self.world.me(&self.user) }),
            ("GET", ["unread"]) => ok(&self.world.unread_totals(&self.user)),
            ("GET", ["users"]) => self.users(),
            ("PATCH", ["users", id]) if *id == self.user.as_str() => self.update_me(),
            ("POST", ["channels"]) => self.query_channels(),
            ("POST", ["channels", kind, id]) => self.get_or_create(&cid(kind, id)?),
            (_, ["channels", kind, id, rest @ ..]) => {
                let cid = cid(kind, id)?;
                if !self.world.may_read(&cid, &self.user) {
                    return Err(not_found(&cid));
                }
                self.in_channel(&cid, rest)
            }
            _ => self.unknown(),
        }
    }

    fn in_channel(self, cid: &Cid, rest: &[&str]) -> Answer {
        match (self.method.as_str(), rest) {
            ("GET", []) => {
                let messages = self.number("messages").unwrap_or(PAGE);
                self.channel(200, cid, messages, false)
            }
            ("GET", ["members"]) => self.members(cid),
            ("POST", ["members"]) => self.update_members(cid),
            ("POST", ["messages"]) => self.send(cid),
            ("GET", ["messages"]) => self.messages(cid),
            ("GET", ["messages", id]) => ok(&MessageResponse { message: self.message(cid, id)? }),
            ("PATCH", ["messages", id]) => self.edit(cid, id),
            ("DELETE", ["messages", id]) => self.delete(cid, id),
            ("POST", ["read"]) => self.mark_read(cid),
            ("POST", ["unread"]) => self.mark_unread(cid),
            _ => self.unknown(),
        }
    }

    fn unknown(&self) -> Answer {
        let why = format!("the fake server does not answer {} {}", self.method, self.path);
        Err(ErrorCode::NotFound.because(why))
    }

    fn read<T: DeserializeOwned>(&self) -> Result<T, ErrorBody> {
        serde_json::from_slice(self.body).map_err(|e| ErrorCode::InvalidInput.because(e.to_string()))
    }

    fn number(&self, name: &str) -> Option<usize> {
        self.query.get(name)?.parse().ok()
    }

    // Users.

    fn users(&self) -> Answer {
        let ids = self.query.get("ids").copied().unwrap_or_default();
        let found = ids.split(',').filter_map(|id| self.world.users.get(&UserId::parse(id).ok()?));
        ok(&UsersResponse { users: found.cloned().collect(), next: None })
    }

    fn update_me(self) -> Answer {
        let update: PartialUpdate = self.read()?;
        let now = self.world.now();
        let user = self.world.user(&self.user);
        user.custom.extend(update.set);
        user.custom.retain(|name, _| !update.unset.contains(name));
        user.updated_at = now;
        let user = user.clone();
        let event = Event::UserUpdated { created_at: now, user: user.clone() };
        self.world.publish(&Topic::User(self.user), event);
        ok(&UserResponse { user })
    }

    // Channels.

    fn channel(&self, status: u16, cid: &Cid, messages: usize, created: bool) -> Answer {
        let state = self.world.state(cid, &self.user, messages);
        let state = state.ok_or_else(|| ErrorCode::NotFound.error())?;
        with_status(status, &ChannelResponse { state, created })
    }

    fn get_or_create(self, cid: &Cid) -> Answer {
        let request: GetOrCreateChannel = self.read()?;
        let is_there = self.world.rooms.contains_key(cid);
        if is_there && !self.world.may_read(cid, &self.user) {
            return Err(not_found(cid));
        }
        if !is_there {
            let members: Vec<UserId> = std::iter::once(self.user.clone()).chain(request.members).collect();
            self.world.open_channel(cid, &members);
            if let Some(room) = self.world.rooms.get_mut(cid) {
                room.channel.custom = request.data;
            }
        }
        let messages = request.messages.map_or(PAGE, |messages| messages as usize);
        self.channel(if is_there { 200 } else { 201 }, cid, messages, !is_there)
    }

    fn query_channels(self) -> Answer {
        let query: QueryChannels = self.read()?;
        let fits = filter(&query.filter, &self.user)?;
        let messages = query.messages.map_or(PAGE, |messages| messages as usize);
        let seen = self.world.rooms.keys().filter(|cid| self.world.may_read(cid, &self.user));
        let mut channels: Vec<ChannelState> =
            seen.filter_map(|cid| self.world.state(cid, &self.user, messages)).filter(fits).collect();
        channels.sort_by_key(|state| {
            let channel = &state.channel;
            std::cmp::Reverse(channel.last_message_at.unwrap_or(channel.created_at))
        });
        channels.truncate(query.limit.map_or(PAGE, |limit| limit as usize));
        ok(&ChannelsResponse { channels, next: None })
    }

    fn members(&self, cid: &Cid) -> Answer {
        let state = self.world.state(cid, &self.user, 0).ok_or_else(|| ErrorCode::NotFound.error())?;
        let member_count = state.members.len() as u64;
        ok(&MembersResponse { members: state.members, member_count, next: None })
    }

    fn update_members(self, cid: &Cid) -> Answer {
        let update: UpdateMembers = self.read()?;
        for user in &update.add {
            self.world.add_member(cid, user, ChannelRole::Member);
        }
        for user in &update.remove {
            self.world.remove_member(cid, user);
        }
        self.channel(200, cid, 0, false)
    }

    // Messages.

    fn send(self, cid: &Cid) -> Answer {
        let SendMessage { message: draft } = self.read()?;
        let chars = draft.text.chars().count();
        if chars > TEXT_CHARS_MAX {
            let why = format!("The text has {chars} characters; this channel allows {TEXT_CHARS_MAX}.");
            return Err(ErrorCode::TextTooLong.because(why));
        }
        let is_there = draft.id.as_ref().is_some_and(|id| self.world.message(cid, id).is_some());
        let message = self.world.say(cid, &self.user, draft);
        with_status(if is_there { 200 } else { 201 }, &MessageResponse { message })
    }

    fn messages(&self, cid: &Cid) -> Answer {
        let all = self.world.rooms.get(cid).map(|room| room.messages.as_slice()).unwrap_or_default();
        let limit = self.number("limit").unwrap_or(PAGE).min(100);
        let place = |seq: usize| all.partition_point(|message| (message.seq as usize) < seq);
        let around = match self.query.get("around_id") {
            Some(id) => Some(self.message(cid, id)?.seq as usize),
            None => self.number("around"),
        };
        let from = match (self.number("before"), self.number("after"), around) {
            (_, Some(after), _) => place(after + 1),
            (_, _, Some(around)) => place(around).saturating_sub(limit / 2),
            (Some(before), None, None) => place(before).saturating_sub(limit),
            (None, None, None) => all.len().saturating_sub(limit),
        };
        let end = self.number("before").map_or(all.len(), place).min(from + limit);
        ok(&MessagesResponse {
            messages: all[from..end.max(from)].to_vec(),
            has_more_before: from > 0,
            has_more_after: end < all.len(),
        })
    }

    fn message(&self, cid: &Cid, id: &str) -> Result<Message, ErrorBody> {
        let id = MessageId::parse(id).map_err(|e| ErrorCode::InvalidId.because(e.to_string()))?;
        let found = self.world.message(cid, &id).cloned();
        found.ok_or_else(|| ErrorCode::NotFound.because(format!("There is no message {id}.")))
    }

    fn own_message(&mut self, cid: &Cid, id: &str) -> Result<&mut Message, ErrorBody> {
        let found = self.message(cid, id)?;
        if found.user.id != self.user {
            return Err(ErrorCode::NotAllowed.because("Only its sender changes a message."));
        }
        let room = self.world.rooms.get_mut(cid);
        let stored = room.and_then(|room| room.messages.iter_mut().find(|message| message.id == found.id));
        stored.ok_or_else(|| ErrorCode::NotFound.error())
    }

    fn edit(mut self, cid: &Cid, id: &str) -> Answer {
        let edit: EditMessage = self.read()?;
        let now = self.world.now();
        let message = self.own_message(cid, id)?;
        message.text = edit.text.unwrap_or_else(|| message.text.clone());
        message.attachments = edit.attachments.unwrap_or_else(|| message.attachments.clone());
        message.mentioned_users = edit.mentioned_users.unwrap_or_else(|| message.mentioned_users.clone());
        message.custom.extend(edit.set);
        message.custom.retain(|name, _| !edit.unset.contains(name));
        (message.updated_at, message.edited_at) = (now, Some(now));
        let message = message.clone();
        let event = Event::MessageUpdated { cid: cid.clone(), created_at: now, message: message.clone() };
        self.world.publish(&Topic::Channel(cid.clone()), event);
        ok(&MessageResponse { message })
    }

    fn delete(mut self, cid: &Cid, id: &str) -> Answer {
        if self.query.contains_key("hard") {
            return Err(ErrorCode::NotAllowed.because("Only a server deletes for good."));
        }
        let now = self.world.now();
        let message = self.own_message(cid, id)?;
        message.message_type = MessageType::Deleted;
        message.text.clear();
        message.attachments.clear();
        message.mentioned_users.clear();
        message.custom.clear();
        (message.updated_at, message.deleted_at) = (now, Some(now));
        let message = message.clone();
        let event = Event::MessageDeleted {
            cid: cid.clone(),
            created_at: now,
            message_id: message.id.clone(),
            message_seq: message.seq,
            hard: false,
            message: Some(message.clone()),
        };
        self.world.publish(&Topic::Channel(cid.clone()), event);
        ok(&MessageResponse { message })
    }

    // Reading.

    fn mark_read(self, cid: &Cid) -> Answer {
        let mark: MarkRead = self.read()?;
        let head = self.world.head(&Topic::Channel(cid.clone()));
        let seq = match &mark.message_id {
            Some(id) => self.message(cid, id.as_str())?.seq,
            None => mark.seq.unwrap_or(head).min(head),
        };
        self.world.read_up_to(cid, &self.user, seq);
        self.unread(cid)
    }

    fn mark_unread(self, cid: &Cid) -> Answer {
        let mark: MarkUnread = self.read()?;
        let seq = self.message(cid, mark.message_id.as_str())?.seq;
        self.world.unread_from(cid, &self.user, seq);
        self.unread(cid)
    }

    fn unread(&self, cid: &Cid) -> Answer {
        let unread = self.world.unread(cid, &self.user);
        let unread =
            unread.ok_or_else(|| ErrorCode::NotAllowed.because("Only members have a read position."))?;
        ok(&UnreadResponse { unread })
    }
}

impl World {
    /// Members read their channels, everybody a livestream.
    pub(super) fn may_read(&self, cid: &Cid, user: &UserId) -> bool {
        let is_open = cid.channel_type.as_str() == "livestream" && self.rooms.contains_key(cid);
        is_open || self.is_member(cid, user)
    }
}

fn not_found(cid: &Cid) -> ErrorBody {
    ErrorCode::NotFound.because(format!("There is no channel {cid}, or the caller may not see it."))
}

fn cid(channel_type: &str, id: &str) -> Result<Cid, ErrorBody> {
    let cid = format!("{channel_type}:{}", id.replace("%21", "!"));
    cid.parse().map_err(|e: parlour_wire::IdError| ErrorCode::InvalidId.because(e.to_string()))
}

/// Whether a channel fits a filter of `members`, `type` and `cid`, each by equality or `$in`.
fn filter(
    filter: &BTreeMap<String, Value>,
    user: &UserId,
) -> Result<impl Fn(&ChannelState) -> bool + use<>, ErrorBody> {
    let mut wanted: Vec<(String, Vec<String>)> = Vec::new();
    for (field, condition) in filter {
        let values = condition.get("$in").or_else(|| condition.get("$eq")).unwrap_or(condition);
        let values = values.as_array().cloned().unwrap_or_else(|| vec![values.clone()]);
        let texts: Option<Vec<String>> =
            values.iter().map(|value| value.as_str().map(str::to_owned)).collect();
        match texts {
            Some(texts) if ["members", "type", "cid"].contains(&field.as_str()) => {
                wanted.push((field.clone(), texts));
            }
            _ => {
                let why = format!("the fake server does not filter by {field}: {condition}");
                return Err(ErrorCode::UnsupportedFilter.because(why));
            }
        }
    }
    if wanted.is_empty() {
        wanted.push(("members".to_owned(), vec![user.to_string()]));
    }
    Ok(move |state: &ChannelState| {
        wanted.iter().all(|(field, texts)| {
            let is = |text: &str| texts.iter().any(|wanted| wanted == text);
            match field.as_str() {
                "members" => state.members.iter().any(|member| is(member.user_id.as_str())),
                "type" => is(state.channel.channel_type.as_str()),
                _ => is(&state.channel.cid.to_string()),
            }
        })
    })
}
