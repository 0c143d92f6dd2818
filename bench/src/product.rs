//! The product under measurement: the release binary in production mode, with users, channels and senders.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http::{ask, ask_all, request};
use crate::process::{Cores, Measured};
use crate::protocol::parlour::Parlour;
use crate::speakers::Requests;

/// Users that one call makes or adds.
const BATCH: usize = 100;

/// How the server is set up, beside its defaults.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) cores: Cores,
    /// Variables of its environment.
    pub(crate) variables: Vec<(&'static str, String)>,
}

impl Setup {
    /// One core, and everybody is let in at once: how fast it would let them in is not what is measured.
    pub(crate) fn on_one_core() -> Self {
        Self::with(vec![
            ("PARLOUR_LIMITS__HELLOS_PER_SECOND", "1000000".to_owned()),
            // Each speaker stands for many people.
            ("PARLOUR_LIMITS__CALLS_PER_MINUTE", "0".to_owned()),
            ("PARLOUR_LIMITS__HELLOS_BURST", "1000000".to_owned()),
        ])
    }

    /// One core, and these. While thousands dial, those who are in do not answer pings yet: they have more time.
    pub(crate) fn with(mut variables: Vec<(&'static str, String)>) -> Self {
        variables.push(("PARLOUR_LIMITS__PONG_WAIT_MS", "120000".to_owned()));
        Self { cores: Cores::One, variables }
    }
}

/// A running server with its own data.
pub(crate) struct Product {
    pub(crate) process: Measured,
    pub(crate) address: SocketAddr,
    app_key: String,
    secret: String,
    data: TempDir,
    binary: PathBuf,
    setup: Setup,
}

impl Product {
    /// Starts the binary on new data in `folder`.
    pub(crate) fn start(binary: &Path, folder: &Path, setup: Setup) -> Result<Self> {
        Self::serve(binary, tempfile::tempdir_in(folder)?, setup, "127.0.0.1:0")
    }

    fn serve(binary: &Path, data: TempDir, setup: Setup, listen: &str) -> Result<Self> {
        let path = data.path().join("data");
        let path = path.to_str().context("a folder whose name is not UTF-8")?;
        let args = ["serve", "--mode", "production", "--listen", listen, "--json", "--data", path];
        let mut process = Measured::start(setup.cores, binary, &args, &setup.variables)?;
        let said: Value = serde_json::from_str(&process.line()?)?;
        let text = |name: &str| {
            said[name].as_str().map(str::to_owned).with_context(|| format!("no {name} in {said}"))
        };
        let address = text("url")?.trim_start_matches("http://").trim_end_matches('/').parse()?;
        let (app_key, secret) = (text("app_key")?, text("secret")?);
        Ok(Self { process, address, app_key, secret, data, binary: binary.to_owned(), setup })
    }

    /// Starts it once more on its data and its address, when it has ended.
    pub(crate) fn restart(mut self) -> Result<Self> {
        while !self.process.has_ended()? {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        Self::serve(&self.binary, self.data, self.setup, &self.address.to_string())
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

    fn as_user(&self, user: usize) -> Result<String> {
        self.headers(&json!({ "user_id": name(user) }), None)
    }

    fn as_server(&self, acts_as: Option<&str>, path: &str, body: &Value) -> Result<Value> {
        let headers = self.headers(&json!({ "server": true }), acts_as)?;
        ask(self.address, &request("POST", path, &headers, &body.to_string()))
    }

    /// Makes users `u0`, `u1`, ….
    pub(crate) fn make_users(&self, count: usize) -> Result<()> {
        let headers = self.headers(&json!({ "server": true }), None)?;
        let all: Vec<usize> = (0..count).collect();
        let requests = all.chunks(BATCH).map(|batch| {
            let users: Vec<Value> = batch.iter().map(|user| json!({ "id": name(*user) })).collect();
            request("POST", "/v1/users", &headers, &json!({ "users": users }).to_string())
        });
        ask_all(self.address, requests)
    }

    /// Makes a channel with these members, of whom the first is its owner.
    pub(crate) fn make_channel(&self, channel: &str, members: &[usize]) -> Result<()> {
        let owner = name(*members.first().context("a channel of nobody")?);
        self.as_server(Some(&owner), &format!("/v1/channels/messaging/{channel}"), &json!({}))?;
        let path = format!("/v1/channels/messaging/{channel}/members");
        for batch in members.chunks(BATCH) {
            let batch: Vec<String> = batch.iter().map(|user| name(*user)).collect();
            self.as_server(None, &path, &json!({ "add": batch }))?;
        }
        Ok(())
    }

    /// Makes the channels `c…` of these numbers, each by its owner and for these members beside her.
    pub(crate) fn make_channels(
        &self,
        numbers: impl IntoIterator<Item = usize>,
        owner: impl Fn(usize) -> usize,
        members: impl Fn(usize) -> Vec<usize>,
    ) -> Result<()> {
        let token = self.headers(&json!({ "server": true }), None)?;
        let requests = numbers.into_iter().map(|number| {
            let headers = format!("{token}X-Parlour-User: {}\r\n", name(owner(number)));
            let members: Vec<String> = members(number).into_iter().map(name).collect();
            let path = format!("/v1/channels/messaging/c{number}");
            request("POST", &path, &headers, &json!({ "members": members, "messages": 0 }).to_string())
        });
        ask_all(self.address, requests)
    }

    /// Clients of users `u0`, `u1`, …; with more fields in their `hello`.
    pub(crate) fn clients(&self, count: usize, fields: impl Fn(usize) -> Value) -> Result<Parlour> {
        let hellos = (0..count).map(|user| self.hello(user, user, &fields(user))).collect::<Result<_>>()?;
        Ok(Parlour { hellos })
    }

    /// What a user says when it connects, by the client instance with this number.
    pub(crate) fn hello(&self, user: usize, instance: usize, fields: &Value) -> Result<String> {
        let token = self.token(&json!({ "user_id": name(user) }))?;
        let client = json!({ "instance": format!("i{instance}"), "version": 1 });
        let mut hello = json!({ "type": "hello", "app_key": self.app_key, "token": token, "client": client });
        if let (Value::Object(hello), Value::Object(fields)) = (&mut hello, fields) {
            hello.extend(fields.clone());
        }
        Ok(hello.to_string())
    }

    /// Requests that send messages: the speaker `at` is this user, and speaks in this channel.
    pub(crate) fn sends(
        &self,
        speakers: impl IntoIterator<Item = usize>,
        mut channel: impl FnMut(usize) -> String + 'static,
    ) -> Result<Requests> {
        let headers = speakers.into_iter().map(|user| self.as_user(user)).collect::<Result<Vec<_>>>()?;
        let mut ids = message_ids()?;
        Ok(Box::new(move |at, text| {
            let body = json!({ "message": { "id": ids(), "text": text } }).to_string();
            let path = format!("/v1/channels/messaging/{}/messages", channel(at));
            request("POST", &path, &headers[at], &body)
        }))
    }

    /// Sends one message each: by this user, into this channel, with this text.
    pub(crate) fn send_all(&self, messages: Vec<(usize, String, Vec<u8>)>) -> Result<()> {
        let mut ids = message_ids()?;
        let requests = messages.into_iter().map(|(user, channel, text)| {
            let body = json!({ "message": { "id": ids(), "text": String::from_utf8_lossy(&text) } });
            let path = format!("/v1/channels/messaging/{channel}/messages");
            Ok(request("POST", &path, &self.as_user(user)?, &body.to_string()))
        });
        ask_all(self.address, requests.collect::<Result<Vec<_>>>()?)
    }
}

pub(crate) fn name(user: usize) -> String {
    format!("u{user}")
}

/// Ids that no other run against the same server makes.
fn message_ids() -> Result<impl FnMut() -> String> {
    let run = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros();
    let mut number: u64 = 0;
    Ok(move || {
        number += 1;
        format!("{run:x}-{number:012x}")
    })
}
