//! Where it is tried: one server, everybody's users, and for each try a channel of its own.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::actors::{ACTORS, Actor, Place};
use super::table::Row;
use crate::kit::{Heard, kind, sign};
use crate::simulated::{Live, World};

/// Users beside the actors': who wrote what is there, and who has to do with nothing.
const EXTRAS: &[(&str, &str)] =
    &[("author", "user"), ("stranger", "user"), ("doomed", "user"), ("another_admin", "admin")];
const LINK_BYTES_PER_SECOND: u32 = 10_000_000;

pub(super) struct Hall {
    world: World,
    tries: u64,
}

/// What the placeholders of a row stand for.
pub(super) type Names = BTreeMap<String, String>;

impl Hall {
    pub(super) async fn open() -> Self {
        let hall = Self { world: World::start().await, tries: 0 };
        let users: BTreeMap<&str, &str> =
            ACTORS.iter().filter_map(|actor| Some((actor.user?, actor.role))).collect();
        let users: Vec<Value> = users
            .into_iter()
            .chain(EXTRAS.iter().copied())
            .map(|(id, role)| json!({ "id": id, "role": role }))
            .collect();
        for server in ["server", "server_elsewhere"] {
            hall.must(server, "POST", "/v1/users", json!({ "users": users })).await;
        }
        hall.must("server", "POST", "/v1/users/banned/ban", json!({})).await;
        hall.must("server", "POST", "/v1/users/shadow_banned/ban", json!({ "shadow": true })).await;
        hall
    }

    /// A request of an actor, or of another user by its id.
    pub(super) async fn asks(&self, who: &str, method: &str, path: &str, body: Value) -> (u16, Value) {
        let mut request =
            http::Request::builder().method(method).uri(path).header("Accept", "application/json");
        let headers = match ACTORS.iter().find(|actor| actor.name == who) {
            Some(actor) => actor.headers(),
            None => vec![
                ("X-Parlour-App", "dev".to_owned()),
                ("Authorization", format!("Bearer {}", sign(&json!({ "user_id": who })))),
            ],
        };
        for (name, value) in headers {
            request = request.header(name, value);
        }
        self.world.carries_out(request, body).await
    }

    pub(super) async fn must(&self, who: &str, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.asks(who, method, path, body).await;
        assert!((200..300).contains(&status), "{who} {method} {path}: {status} {answer}");
        answer
    }

    /// The server's own request as this user.
    async fn must_as(&self, user: &str, path: &str, body: Value) {
        let request = http::Request::post(path)
            .header("X-Parlour-App", "dev")
            .header("Authorization", format!("Bearer {}", sign(&json!({ "server": true }))))
            .header("X-Parlour-User", user);
        let (status, answer) = self.world.carries_out(request, body).await;
        assert!((200..300).contains(&status), "{user} {path}: {status} {answer}");
    }

    /// A channel where everybody has its place, for one try; what the row's placeholders stand for then.
    pub(super) async fn sets_up(&mut self, row: &Row, actor: Option<&Actor>) -> Names {
        self.tries += 1;
        let id = format!("try-{}", self.tries);
        let channel_type = row.with.get("type").map_or("messaging", String::as_str);
        let path = format!("/v1/channels/{channel_type}/{id}");
        let of = |place| {
            ACTORS.iter().filter(move |a| a.place == place && a.app() == "dev").filter_map(|a| a.user)
        };
        let (mut members, removed): (Vec<_>, Vec<_>) =
            (of(Place::Member).collect(), of(Place::Removed).collect());
        for place in [Place::Moderator, Place::Banned, Place::Removed] {
            members.extend(of(place));
        }
        members.push("author");
        self.must_as("owner", &path, json!({ "members": members })).await;
        self.must_as("owner", &format!("{path}/members"), json!({ "remove": removed })).await;
        let (role, from) =
            (json!({ "channel_role": "moderator" }), json!({ "cid": format!("{channel_type}:{id}") }));
        for moderator in of(Place::Moderator) {
            self.must("server", "PATCH", &format!("{path}/members/{moderator}"), role.clone()).await;
        }
        for banned in of(Place::Banned) {
            self.must("server", "POST", &format!("/v1/users/{banned}/ban"), from.clone()).await;
        }
        let messages = format!("{path}/messages");
        let (theirs, own) = (format!("theirs-{id}"), format!("own-{id}"));
        self.must_as("author", &messages, json!({ "message": { "id": theirs, "text": "theirs" } })).await;
        if let Some(user) = actor.filter(|actor| actor.app() == "dev").and_then(|actor| actor.user) {
            self.must_as(user, &messages, json!({ "message": { "id": own, "text": "own" } })).await;
        }
        let user = actor.and_then(|actor| actor.user).unwrap_or("stranger");
        let mut names: Names = [
            ("type", channel_type),
            ("id", &id),
            ("cid", &format!("{channel_type}:{id}")),
            ("message_id", &theirs),
            ("theirs", &theirs),
            ("own", &own),
            ("user_id", "stranger"),
            ("self", user),
            ("token", &actor.map(Actor::token).unwrap_or_default()),
            ("app", actor.map_or("dev", Actor::app)),
            ("query", ""),
        ]
        .map(|(name, stands_for)| (name.to_owned(), stands_for.to_owned()))
        .into();
        for (name, stands_for) in &row.with {
            let stands_for = fill(stands_for, &names);
            names.insert(name.clone(), stands_for);
        }
        names
    }

    /// What an actor's request comes to: `ok`, or the code of its error.
    pub(super) async fn tries(&self, row: &Row, actor: &Actor, names: &Names) -> (String, Value) {
        let (method, path) = row.name.split_once(' ').expect("METHOD path");
        let path = names.iter().fold(path.to_owned(), |path, (name, stands_for)| {
            path.replace(&format!("{{{name}}}"), stands_for)
        });
        let path = format!("{path}{}", names["query"]);
        let body = if row.body.is_empty() { Value::Null } else { read(&fill(&row.body, names)) };
        let (status, answer) = self.asks(actor.name, method, &path, body).await;
        let error = match &answer["frames"] {
            // Whoever polls is refused in a frame.
            Value::Array(frames) => frames.iter().find(|f| f["type"] == "error").map(|f| f["error"].clone()),
            _ => (status >= 400).then(|| answer["error"].clone()),
        };
        let error = error.unwrap_or_default();
        (error["code"].as_str().unwrap_or("ok").to_owned(), error)
    }

    pub(super) async fn dials(&self, hello: &Value) -> Live {
        self.world.dials_with(hello, LINK_BYTES_PER_SECOND).await
    }

    /// A connection of this actor, or the code of the error with which it was refused.
    pub(super) async fn connects(&self, hello: &Value) -> Result<(Live, Value), String> {
        let mut live = self.dials(hello).await;
        match live.next().await {
            Heard::Frame(frame) if frame["type"] == "ready" => Ok((live, frame)),
            Heard::Frame(frame) => Err(frame["error"]["code"].as_str().unwrap_or_default().to_owned()),
            Heard::Closed(code) => Err(format!("closed:{code:?}")),
        }
    }
}

/// Everything that a connection was sent when this was called, and its close code if it is closed.
pub(super) async fn hears_out(live: &mut Live) -> (Vec<Value>, Option<u16>) {
    let mut heard = Vec::new();
    // The first answer may overtake what waits; by the second, it has been taken out.
    for id in [98, 99] {
        live.says(&json!({ "type": "ping", "id": id })).await;
        loop {
            match live.next().await {
                Heard::Frame(frame) if kind(&frame) == "pong" && frame["id"] == id => break,
                Heard::Frame(frame) => heard.push(frame),
                Heard::Closed(code) => return (heard, Some(code.unwrap_or(1006))),
            }
        }
    }
    (heard, None)
}

/// The text with `$name` replaced, the longest names first.
pub(super) fn fill(text: &str, names: &Names) -> String {
    let mut by_length: Vec<_> = names.iter().collect();
    by_length.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    by_length
        .into_iter()
        .fold(text.to_owned(), |text, (name, stands_for)| text.replace(&format!("${name}"), stands_for))
}

pub(super) fn read(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"))
}
