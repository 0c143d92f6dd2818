//! The product under measurement: the release binary in production mode, with users, a room and senders.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use jsonwebtoken::{EncodingKey, Header};
use mio::{Events, Interest, Poll, Token};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::crowd::Publishers;
use crate::http::{Sender, ask, request};
use crate::process::Measured;

/// Users that one call makes or adds.
const BATCH: usize = 100;
/// Bytes of text in a message.
const TEXT: usize = 200;

/// A running server with its own data.
pub(crate) struct Product {
    pub(crate) process: Measured,
    pub(crate) address: SocketAddr,
    app_key: String,
    secret: String,
    /// Goes when the server has gone.
    _data: TempDir,
}

impl Product {
    /// Starts the binary on new data in `folder`.
    pub(crate) fn start(binary: &Path, folder: &Path) -> Result<Self> {
        let data = tempfile::tempdir_in(folder)?;
        let path = data.path().join("data");
        let path = path.to_str().context("a folder whose name is not UTF-8")?;
        let args = ["serve", "--mode", "production", "--listen", "127.0.0.1:0", "--json", "--data", path];
        let mut process = Measured::start(binary, &args)?;
        let said: Value = serde_json::from_str(&process.line()?)?;
        let text = |name: &str| {
            said[name].as_str().map(str::to_owned).with_context(|| format!("no {name} in {said}"))
        };
        let address = text("url")?.trim_start_matches("http://").trim_end_matches('/').parse()?;
        Ok(Self { process, address, app_key: text("app_key")?, secret: text("secret")?, _data: data })
    }

    fn token(&self, claims: &Value) -> Result<String> {
        let key = EncodingKey::from_secret(self.secret.as_bytes());
        Ok(jsonwebtoken::encode(&Header::default(), claims, &key)?)
    }

    /// The headers of a user, or of a server that acts as one.
    fn headers(&self, claims: &Value, acts_as: Option<&str>) -> Result<String> {
        let (key, token) = (&self.app_key, self.token(claims)?);
        let acts_as = acts_as.map_or(String::new(), |user| format!("X-Parlour-User: {user}\r\n"));
        Ok(format!("X-Parlour-App: {key}\r\nAuthorization: Bearer {token}\r\n{acts_as}"))
    }

    fn as_server(&self, acts_as: Option<&str>, path: &str, body: &Value) -> Result<Value> {
        let headers = self.headers(&json!({ "server": true }), acts_as)?;
        ask(self.address, &request("POST", path, &headers, &body.to_string()))
    }

    /// Makes users `u0`, `u1`, ….
    pub(crate) fn make_users(&self, count: usize) -> Result<()> {
        for batch in batches(count) {
            let users: Vec<Value> = batch.iter().map(|id| json!({ "id": id })).collect();
            self.as_server(None, "/v1/users", &json!({ "users": users }))?;
        }
        Ok(())
    }

    /// Makes the room, with all users as members.
    pub(crate) fn make_room(&self, members: usize) -> Result<()> {
        self.as_server(Some("u0"), "/v1/channels/messaging/bench", &json!({}))?;
        for batch in batches(members) {
            self.as_server(None, "/v1/channels/messaging/bench/members", &json!({ "add": batch }))?;
        }
        Ok(())
    }

    /// What each of the first `count` users says when it connects.
    pub(crate) fn hellos(&self, count: usize) -> Result<Vec<Option<String>>> {
        let hello = |user: usize| {
            let token = self.token(&json!({ "user_id": format!("u{user}") }))?;
            let client = json!({ "instance": format!("i{user}"), "version": 1 });
            let hello = json!({ "type": "hello", "app_key": self.app_key, "token": token, "client": client });
            Ok(Some(hello.to_string()))
        };
        (0..count).map(hello).collect()
    }

    /// So many connections that send into the room.
    pub(crate) fn publishers(&self, count: usize) -> Result<Publishers> {
        let senders = (0..count).map(|_| Sender::open(self.address)).collect::<Result<Vec<_>>>()?;
        let request = self.sends(count, |_| "bench".to_owned())?;
        Ok(Publishers::Http { senders, request })
    }

    /// Requests that send a message of the user with that number, each with an id of its own.
    fn sends(
        &self,
        users: usize,
        channel: impl Fn(usize) -> String + 'static,
    ) -> Result<Box<dyn FnMut(usize) -> Vec<u8>>> {
        let headers = (0..users)
            .map(|user| self.headers(&json!({ "user_id": format!("u{user}") }), None))
            .collect::<Result<Vec<_>>>()?;
        let text = "x".repeat(TEXT);
        let mut number: u64 = 0;
        // Two runs against one server must not share an id.
        let run = Instant::now();
        let run = format!("{run:?}").chars().filter(char::is_ascii_digit).collect::<String>();
        Ok(Box::new(move |user| {
            number += 1;
            let body =
                json!({ "message": { "id": format!("{run}-{number:012x}"), "text": text } }).to_string();
            let path = format!("/v1/channels/messaging/{}/messages", channel(user));
            request("POST", &path, &headers[user], &body)
        }))
    }

    /// `senders` users, each alone in a channel, send one message after the other for some time. Answers
    /// acknowledged sends per second, and how long each took.
    pub(crate) fn durable_sends(&self, senders: usize, time: Duration) -> Result<(f64, Vec<Duration>)> {
        for user in 0..senders {
            let path = format!("/v1/channels/messaging/c{user}");
            self.as_server(Some(&format!("u{user}")), &path, &json!({}))?;
        }
        let mut request = self.sends(senders, |user| format!("c{user}"))?;
        let mut poll = Poll::new()?;
        let mut all = Vec::with_capacity(senders);
        for at in 0..senders {
            let mut sender = Sender::open(self.address)?;
            poll.registry().register(sender.source(), Token(at), Interest::READABLE)?;
            all.push((sender, Instant::now()));
        }
        let start = Instant::now();
        for (user, (sender, sent_at)) in all.iter_mut().enumerate() {
            *sent_at = Instant::now();
            sender.send(&request(user))?;
        }
        let mut events = Events::with_capacity(senders);
        let mut took = Vec::new();
        while start.elapsed() < time {
            poll.poll(&mut events, Some(Duration::ZERO))?;
            for event in &events {
                let user = event.token().0;
                let (sender, sent_at) = &mut all[user];
                if sender.read()? {
                    took.push(sent_at.elapsed());
                    *sent_at = Instant::now();
                    sender.send(&request(user))?;
                }
            }
        }
        Ok((took.len() as f64 / start.elapsed().as_secs_f64(), took))
    }
}

fn batches(count: usize) -> Vec<Vec<String>> {
    let users: Vec<String> = (0..count).map(|user| format!("u{user}")).collect();
    users.chunks(BATCH).map(<[String]>::to_vec).collect()
}
