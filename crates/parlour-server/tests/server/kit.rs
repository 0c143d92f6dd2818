//! What the stories are told with: a server, people who ask it over HTTP, and connections that listen.
//!
//! Nothing here sleeps: whoever waits, waits for something to be heard, for a generous time at most.

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::{SinkExt, StreamExt};
use parlour_server::config::Mode;
use parlour_server::{Config, Running};
use parlour_wire::ErrorCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

pub(crate) const SECRET: &str = "the secret of the app in these tests";
pub(crate) const GENERAL: &str = "messaging:general";

/// The longest that anybody waits for something that has to come: long, for a slow machine is no defect.
pub(crate) const WAIT: Duration = Duration::from_secs(20);

/// What `future` gives, which has to come.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(WAIT, future).await.expect("it has to come")
}

pub(crate) fn now_s() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// A token with this header and these claims, signed with HS256 whatever the header says.
pub(crate) fn sign_raw(header: &str, claims: &str, secret: &str) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
    let signature =
        jsonwebtoken::crypto::sign(message.as_bytes(), &key, jsonwebtoken::Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

/// A good token with these claims.
pub(crate) fn sign(claims: &Value) -> String {
    sign_raw(r#"{"alg":"HS256","typ":"JWT"}"#, &claims.to_string(), SECRET)
}

/// A token with these claims that nobody signed.
pub(crate) fn unsigned(claims: &Value) -> String {
    let claims = URL_SAFE_NO_PAD.encode(claims.to_string());
    format!("{}.{claims}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#))
}

/// What stands in this part of a token.
pub(crate) fn part(token: &str, at: usize) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(token.split('.').nth(at).unwrap()).unwrap()
}

/// A development app in memory that nothing else knows of.
pub(crate) fn config() -> Config {
    let mut config = Config::default();
    config.server.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.app.key = Some("dev".to_owned());
    config.app.secret = Some(SECRET.to_owned());
    config.app.mode = Some(Mode::Development);
    config
}

/// A server of this process.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    running: Running,
}

impl TestServer {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = config();
        change(&mut config);
        let running = parlour_server::start(config).await.unwrap();
        Self { address: running.address, running }
    }

    /// A server where these users exist.
    pub(crate) async fn with_users(users: &[&str]) -> Self {
        let server = Self::start().await;
        server.knows(users).await;
        server
    }

    pub(crate) async fn knows(&self, users: &[&str]) {
        let users: Vec<Value> = users.iter().map(|id| json!({ "id": id })).collect();
        self.backend().post("/v1/users", json!({ "users": users })).await.ok();
    }

    /// A user with a token that does not end.
    pub(crate) fn user(&self, id: &str) -> Person {
        self.bearer(id, sign(&json!({ "user_id": id })))
    }

    /// Somebody with this token.
    pub(crate) fn bearer(&self, id: &str, token: String) -> Person {
        let headers = vec![
            ("X-Parlour-App".to_owned(), "dev".to_owned()),
            ("Authorization".to_owned(), format!("Bearer {token}")),
        ];
        Person { address: self.address, id: id.to_owned(), token, headers }
    }

    /// The app's own backend, with a server token.
    pub(crate) fn backend(&self) -> Person {
        self.bearer("", sign(&json!({ "server": true })))
    }

    /// Somebody without a token.
    pub(crate) fn anybody(&self) -> Person {
        Person { address: self.address, id: String::new(), token: String::new(), headers: Vec::new() }
    }

    /// The server answers, whatever was done to it.
    pub(crate) async fn lives(&self) {
        assert_eq!(self.anybody().get("/livez").await.status, 200);
    }

    pub(crate) async fn stop(self) {
        soon(self.running.stop()).await;
    }
}

/// An answer over HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// With names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Reads the answer that these bytes begin with; `None` if they hold no whole head.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(':').unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Some(Self { status, headers, body: bytes[end + 4..].to_vec() })
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The body of a success.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "{} {}", self.status, self.text());
        if self.body.is_empty() { Value::Null } else { self.json() }
    }

    /// The body of a success with this very status.
    #[track_caller]
    pub(crate) fn ok_with(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        self.ok()
    }

    /// The error of a refusal, which has this code and everything that an error has.
    #[track_caller]
    pub(crate) fn refused(self, code: &str) -> Value {
        assert!(self.status >= 400, "{} {}", self.status, self.text());
        let error = self.json()["error"].clone();
        assert_eq!(error["code"], code, "{error}");
        assert_eq!(error["status"], self.status, "{error}");
        assert_eq!(error["request_id"].as_str(), self.header("x-request-id"), "{error}");
        check_error(&error);
        error
    }
}

/// An error is whole: the code's own status, number, hint and page.
#[track_caller]
pub(crate) fn check_error(error: &Value) {
    let code = ErrorCode::parse(error["code"].as_str().unwrap()).unwrap();
    assert_eq!(error["status"], code.status(), "{error}");
    assert_eq!(error["number"].as_u64(), code.number().map(u64::from), "{error}");
    assert_eq!(error["retryable"], code.retryable(), "{error}");
    assert_eq!(error["docs"], format!("/docs/errors/{code}"), "{error}");
    assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()), "{error}");
    assert!(error["hint"].as_str().is_some_and(|text| !text.is_empty()), "{error}");
}

/// The body of an answer that came in chunks.
pub(crate) fn unchunked(answer: &Answer) -> Vec<u8> {
    assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
    let (mut rest, mut body) = (answer.body.as_slice(), Vec::new());
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n").unwrap();
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        if length == 0 {
            return body;
        }
        body.extend_from_slice(&rest[end + 2..end + 2 + length]);
        rest = &rest[end + 2 + length + 2..];
    }
}

/// Sends bytes on a TCP connection of their own; what comes back until the server closes it.
pub(crate) async fn raw(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server may answer and close before it has taken everything: that is an answer, too.
    let _ = stream.write_all(bytes).await;
    read_to_end(&mut stream).await
}

/// Everything until the other side closes, however it does.
pub(crate) async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    let mut piece = [0; 8 * 1024];
    soon(async {
        while let Ok(count @ 1..) = stream.read(&mut piece).await {
            answer.extend_from_slice(&piece[..count]);
        }
    })
    .await;
    answer
}

/// Who asks: a user, a backend, or nobody in particular.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) address: SocketAddr,
    pub(crate) id: String,
    pub(crate) token: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl Person {
    pub(crate) fn with_header(&self, name: &str, value: &str) -> Self {
        let mut person = self.clone();
        person.headers.push((name.to_owned(), value.to_owned()));
        person
    }

    /// A backend that acts as this user.
    pub(crate) fn acting_as(&self, user: &str) -> Self {
        self.with_header("X-Parlour-User", user)
    }

    pub(crate) async fn asks(&self, method: &str, path: &str, body: Option<&[u8]>) -> Answer {
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        for (name, value) in &self.headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = body {
            if !self.headers.iter().any(|(name, _)| name == "Content-Type") {
                request.push_str("Content-Type: application/json\r\n");
            }
            request.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        let mut request = request.into_bytes();
        request.extend_from_slice(b"\r\n");
        request.extend_from_slice(body.unwrap_or_default());
        let bytes = raw(self.address, &request).await;
        Answer::read(&bytes).unwrap_or_else(|| panic!("{method} {path}: no answer, but {bytes:?}"))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.asks("GET", path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.asks("POST", path, Some(body.to_string().as_bytes())).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.asks("PATCH", path, Some(body.to_string().as_bytes())).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.asks("DELETE", path, None).await
    }

    /// Makes a channel with these members beside oneself.
    pub(crate) async fn makes(&self, cid: &str, members: &[&str]) -> Value {
        self.post(&at(cid), json!({ "members": members })).await.ok_with(201)
    }

    /// Sends a text; the message that was stored.
    pub(crate) async fn sends(&self, cid: &str, text: &str) -> Value {
        let answer = self.post(&at(&format!("{cid}/messages")), json!({ "message": { "text": text } })).await;
        answer.ok_with(201)["message"].clone()
    }

    /// Sends a message with this id.
    pub(crate) async fn sends_as(&self, cid: &str, id: &str, text: &str) -> Answer {
        let message = json!({ "message": { "id": id, "text": text } });
        self.post(&at(&format!("{cid}/messages")), message).await
    }

    pub(crate) async fn adds(&self, cid: &str, users: &[&str]) -> Value {
        self.post(&at(&format!("{cid}/members")), json!({ "add": users })).await.ok()
    }

    pub(crate) async fn removes(&self, cid: &str, users: &[&str]) -> Value {
        self.post(&at(&format!("{cid}/members")), json!({ "remove": users })).await.ok()
    }

    /// A user as others see it.
    pub(crate) async fn sees(&self, user: &str) -> Option<Value> {
        let answer = self.get(&format!("/v1/users?ids={user}")).await.ok();
        answer["users"].as_array().unwrap().first().cloned()
    }

    /// The least that `hello` says.
    pub(crate) fn hello(&self) -> Value {
        json!({
            "type": "hello", "app_key": "dev", "token": self.token,
            "client": { "instance": "i", "page": "p", "sdk": "tests", "version": 1, "platform": "linux" },
        })
    }

    /// `hello` with these fields more.
    pub(crate) fn hello_with(&self, fields: Value) -> Value {
        let mut hello = self.hello();
        hello.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        hello
    }

    /// Opens a WebSocket, says this, and waits for nothing.
    pub(crate) async fn dials(&self, hello: &Value) -> Live {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let url = format!("ws://{}/v1/connect", self.address);
        let (socket, _) = soon(tokio_tungstenite::client_async(url, stream)).await.unwrap();
        let mut live = Live { socket, ready: Value::Null, pings: 0 };
        live.says(hello).await;
        live
    }

    /// Opens an event stream, and waits for nothing.
    pub(crate) async fn opens_stream(&self, hello: &Value) -> EventStream {
        EventStream::open(self, TcpStream::connect(self.address).await.unwrap(), hello).await
    }

    /// Connects by an event stream with these fields in `hello`, and is let in.
    pub(crate) async fn streams_with(&self, fields: Value) -> EventStream {
        self.streams_over(TcpStream::connect(self.address).await.unwrap(), fields).await
    }

    /// The same over this TCP connection.
    pub(crate) async fn streams_over(&self, tcp: TcpStream, fields: Value) -> EventStream {
        let mut stream = EventStream::open(self, tcp, &self.hello_with(fields)).await;
        stream.ready = stream.next().await.expect("ready");
        assert_eq!(stream.ready["type"], "ready");
        stream
    }

    /// Polls once: the frames of the answer.
    pub(crate) async fn polls(&self, hello: &Value) -> Vec<Value> {
        let answer = self.asks_to_poll(hello).await;
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
        let batch = answer.ok_with(200);
        batch["frames"].as_array().unwrap().clone()
    }

    pub(crate) async fn asks_to_poll(&self, hello: &Value) -> Answer {
        let mut poller = Self { headers: Vec::new(), ..self.clone() };
        poller.headers.push(("Accept".to_owned(), "application/json".to_owned()));
        poller.post("/v1/connect", hello.clone()).await
    }

    /// Says frames on a connection by a request of their own.
    pub(crate) async fn says_on(&self, connection: &str, body: Value) -> Answer {
        self.post(&format!("/v1/connections/{connection}/frames"), body).await
    }

    /// Connects, and is let in.
    pub(crate) async fn connects(&self) -> Live {
        self.connects_with(json!({})).await
    }

    /// Connects with these fields in `hello`, and is let in.
    pub(crate) async fn connects_with(&self, fields: Value) -> Live {
        let mut live = self.dials(&self.hello_with(fields)).await;
        live.ready = live.hears("ready").await;
        live
    }

    /// Connects as this user object, and is let in.
    pub(crate) async fn connects_as(&self, user: Value) -> Live {
        self.connects_with(json!({ "user": user })).await
    }

    /// Dials and is refused: the error, and the close code.
    pub(crate) async fn is_refused(&self, hello: &Value) -> (Value, u16) {
        let (frames, code) = self.dials(hello).await.until_closed().await;
        let error = frames.iter().find(|frame| frame["type"] == "error");
        let error = error.unwrap_or_else(|| panic!("no error in {frames:?}"))["error"].clone();
        check_error(&error);
        (error, code.expect("a close frame"))
    }
}

/// The path of a channel, or of something below it: `messaging:general/messages`.
pub(crate) fn at(cid: &str) -> String {
    format!("/v1/channels/{}", cid.replacen(':', "/", 1))
}

/// What came on a connection.
#[derive(Debug)]
pub(crate) enum Heard {
    Frame(Value),
    /// The server closed: the code, if it said one.
    Closed(Option<u16>),
}

/// One connection.
pub(crate) struct Live {
    pub(crate) socket: WebSocketStream<TcpStream>,
    /// The answer to `hello`.
    pub(crate) ready: Value,
    pings: u64,
}

/// What a frame is about: an event's or a signal's own type, or the frame's.
pub(crate) fn kind(frame: &Value) -> &str {
    let inner = match frame["type"].as_str().unwrap() {
        "event" => &frame["event"]["type"],
        "signal" => &frame["signal"]["type"],
        _ => &frame["type"],
    };
    inner.as_str().unwrap()
}

impl Live {
    /// Says something; whether it arrives is seen by what comes back.
    pub(crate) async fn says(&mut self, frame: &Value) {
        let _ = self.socket.send(Message::text(frame.to_string())).await;
    }

    /// What comes next, but for the server's pings, which are answered.
    pub(crate) async fn next(&mut self) -> Heard {
        loop {
            match soon(self.socket.next()).await {
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text).unwrap();
                    if frame["type"] != "ping" {
                        return Heard::Frame(frame);
                    }
                    self.says(&json!({ "type": "pong" })).await;
                }
                Some(Ok(Message::Close(frame))) => {
                    return Heard::Closed(frame.map(|frame| frame.code.into()));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Heard::Closed(None),
            }
        }
    }

    /// The next frame of this kind; others before it are passed over.
    #[track_caller]
    pub(crate) fn hears<'a>(&'a mut self, wanted: &'a str) -> impl Future<Output = Value> + 'a {
        let from = std::panic::Location::caller();
        async move {
            let mut others = Vec::new();
            // One wait for all of it: the server goes on pinging whoever waits for what does not come.
            let until = tokio::time::Instant::now() + WAIT;
            loop {
                match tokio::time::timeout_at(until, self.next()).await {
                    Ok(Heard::Frame(frame)) if kind(&frame) == wanted => return frame,
                    Ok(Heard::Frame(frame)) => others.push(frame),
                    Ok(Heard::Closed(code)) => {
                        panic!("{from}: closed with {code:?} before {wanted}: {others:?}")
                    }
                    Err(_) => panic!("{from}: {wanted} does not come: {others:?}"),
                }
            }
        }
    }

    /// The next new message with this text.
    pub(crate) async fn hears_text(&mut self, text: &str) -> Value {
        loop {
            let frame = self.hears("message.new").await;
            if frame["event"]["message"]["text"] == text {
                return frame;
            }
        }
    }

    /// Everything that the server had for this connection when this was called, and perhaps more.
    pub(crate) async fn settles(&mut self) -> Vec<Value> {
        let mut heard = Vec::new();
        // The first answer may overtake what waits; by the second, it has been taken out.
        for _ in 0..2 {
            self.pings += 1;
            let id = self.pings;
            self.says(&json!({ "type": "ping", "id": id })).await;
            loop {
                match self.next().await {
                    Heard::Frame(frame) if frame["type"] == "pong" && frame["id"] == id => break,
                    Heard::Frame(frame) => heard.push(frame),
                    Heard::Closed(code) => panic!("closed with {code:?} after {heard:?}"),
                }
            }
        }
        heard
    }

    /// Everything until the end, and the close code.
    pub(crate) async fn until_closed(&mut self) -> (Vec<Value>, Option<u16>) {
        let mut frames = Vec::new();
        loop {
            match self.next().await {
                Heard::Frame(frame) => frames.push(frame),
                Heard::Closed(code) => return (frames, code),
            }
        }
    }

    /// Goes for good, as far as others are concerned.
    pub(crate) async fn leaves(mut self) {
        self.says(&json!({ "type": "bye", "intent": "leave" })).await;
        self.until_closed().await;
    }

    /// The link breaks.
    pub(crate) fn breaks(self) {
        drop(self);
    }
}

/// The bytes of a request to `/v1/connect` over HTTP, with these header lines.
pub(crate) fn connect_request(address: SocketAddr, lines: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST /v1/connect HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n{lines}\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// One connection as an event stream.
pub(crate) struct EventStream {
    tcp: TcpStream,
    person: Person,
    /// The answer's head, and what of its body is not read yet.
    pub(crate) head: Answer,
    /// What the chunks held and is not read yet.
    text: Vec<u8>,
    is_over: bool,
    /// The answer to `hello`.
    pub(crate) ready: Value,
    /// The server's pings are answered.
    pub(crate) answers_pings: bool,
}

impl EventStream {
    async fn open(person: &Person, mut tcp: TcpStream, hello: &Value) -> Self {
        let body = hello.to_string();
        let mut lines = "Accept: text/event-stream\r\n".to_owned();
        for (name, value) in person.headers.iter().filter(|(name, _)| name != "Authorization") {
            lines.push_str(&format!("{name}: {value}\r\n"));
        }
        let request = connect_request(person.address, &lines, body.as_bytes());
        tcp.write_all(&request).await.unwrap();
        let mut read = Vec::new();
        let head = loop {
            assert_ne!(soon(tcp.read_buf(&mut read)).await.unwrap(), 0, "no answer");
            if let Some(answer) = Answer::read(&read) {
                break answer;
            }
        };
        assert_eq!(head.status, 200, "{}", head.text());
        let person = person.clone();
        let (text, ready) = (Vec::new(), Value::Null);
        Self { tcp, person, head, text, is_over: false, ready, answers_pings: true }
    }

    /// Takes whole chunks out of what was read.
    fn unchunk(&mut self) {
        let read = &mut self.head.body;
        while let Some(end) = read.windows(2).position(|window| window == b"\r\n") {
            let length = usize::from_str_radix(std::str::from_utf8(&read[..end]).unwrap(), 16).unwrap();
            if read.len() < end + 2 + length + 2 {
                return;
            }
            self.text.extend_from_slice(&read[end + 2..end + 2 + length]);
            self.is_over = length == 0;
            read.drain(..end + 2 + length + 2);
        }
    }

    /// The next block of lines; `None` at the end, which has to be one that the server meant.
    pub(crate) async fn block(&mut self) -> Option<String> {
        loop {
            self.unchunk();
            if let Some(end) = self.text.windows(2).position(|window| window == b"\n\n") {
                let block = self.text.drain(..end + 2).collect();
                return Some(String::from_utf8(block).unwrap());
            }
            if self.is_over {
                assert_eq!(self.text, b"");
                return None;
            }
            let count = soon(self.tcp.read_buf(&mut self.head.body)).await.unwrap();
            assert_ne!(count, 0, "the stream broke off");
        }
    }

    /// The next frame, but for pings.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            let block = self.block().await?;
            if block.starts_with(':') {
                continue;
            }
            let data = block.strip_prefix("data: ").unwrap_or_else(|| panic!("no data, but {block:?}"));
            let frame: Value = serde_json::from_str(data).unwrap();
            if frame["type"] != "ping" || !self.answers_pings {
                return Some(frame);
            }
            self.says(&json!({ "type": "pong" })).await.ok_with(204);
        }
    }

    /// The next frame of this kind; others before it are passed over.
    pub(crate) async fn hears(&mut self, wanted: &str) -> Value {
        let mut others = Vec::new();
        while let Some(frame) = self.next().await {
            if kind(&frame) == wanted {
                return frame;
            }
            others.push(frame);
        }
        panic!("the end before {wanted}: {others:?}");
    }

    /// Everything until the end.
    pub(crate) async fn until_over(&mut self) -> Vec<Value> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            frames.push(frame);
        }
        frames
    }

    /// Says a frame, by a request of its own.
    pub(crate) async fn says(&self, frame: &Value) -> Answer {
        self.person.says_on(self.ready["connection_id"].as_str().unwrap(), json!({ "frames": [frame] })).await
    }
}

/// How often each kind of frame is there.
pub(crate) fn kinds(frames: &[Value]) -> Vec<&str> {
    frames.iter().map(kind).collect()
}

/// A WebSocket frame as a client sends it: `first` is FIN, RSV and opcode.
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = header(first, payload.len() as u64);
    frame.extend_from_slice(&mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// The head of a masked frame that claims this length, without the mask.
pub(crate) fn header(first: u8, claimed: u64) -> Vec<u8> {
    let mut head = vec![first];
    match (u8::try_from(claimed), u16::try_from(claimed)) {
        (Ok(short @ 0..126), _) => head.push(0x80 | short),
        (_, Ok(medium)) => {
            head.push(0x80 | 126);
            head.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            head.push(0x80 | 127);
            head.extend_from_slice(&claimed.to_be_bytes());
        }
    }
    head
}

pub(crate) const TEXT: u8 = 0x81;
pub(crate) const BINARY: u8 = 0x82;
pub(crate) const CLOSE: u8 = 0x88;
pub(crate) const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8a;

/// A WebSocket whose bytes are written by hand.
pub(crate) struct RawSocket {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

impl RawSocket {
    pub(crate) async fn upgrade(address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "GET /v1/connect HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut socket = Self { stream, read: Vec::new() };
        while !socket.read.windows(4).any(|window| window == b"\r\n\r\n") {
            assert!(socket.reads().await, "no upgrade, but {:?}", String::from_utf8_lossy(&socket.read));
        }
        let answer = Answer::read(&socket.read).unwrap();
        assert_eq!(answer.status, 101);
        socket.read = answer.body;
        socket
    }

    /// One that has said hello and was let in.
    pub(crate) async fn connects(person: &Person) -> Self {
        let mut socket = Self::upgrade(person.address).await;
        socket.sends(&masked(TEXT, person.hello().to_string().as_bytes())).await;
        let (first, payload) = socket.frame().await.expect("ready");
        assert_eq!(first, TEXT);
        let frame: Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!(frame["type"], "ready");
        socket
    }

    /// Writes bytes; whether they are taken is seen by what comes back.
    pub(crate) async fn sends(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    async fn reads(&mut self) -> bool {
        let mut piece = [0; 8 * 1024];
        match soon(self.stream.read(&mut piece)).await {
            Ok(count @ 1..) => {
                self.read.extend_from_slice(&piece[..count]);
                true
            }
            Ok(0) | Err(_) => false,
        }
    }

    /// The next frame: its first byte and its payload. `None` when the server closed the TCP connection.
    pub(crate) async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some((length, rest)) = self.length()
                && self.read.len() >= rest + length
            {
                let first = self.read[0];
                let payload = self.read[rest..rest + length].to_vec();
                self.read.drain(..rest + length);
                return Some((first, payload));
            }
            if !self.reads().await {
                return None;
            }
        }
    }

    /// The payload's length of the frame at the front, and where the payload begins.
    fn length(&self) -> Option<(usize, usize)> {
        match *self.read.get(1)? {
            126 => Some((u16::from_be_bytes(self.read.get(2..4)?.try_into().unwrap()).into(), 4)),
            127 => Some((u64::from_be_bytes(self.read.get(2..10)?.try_into().unwrap()) as usize, 10)),
            short => Some((short.into(), 2)),
        }
    }

    /// The code of the close frame that comes and is answered, and the texts before it.
    pub(crate) async fn closed(&mut self) -> (Option<u16>, Vec<Value>) {
        let mut said = Vec::new();
        let mut code = None;
        while let Some((first, payload)) = self.frame().await {
            match first {
                TEXT => said.push(serde_json::from_slice(&payload).unwrap()),
                CLOSE if payload.len() >= 2 => {
                    code = Some(u16::from_be_bytes([payload[0], payload[1]]));
                    self.sends(&masked(CLOSE, &payload[..2])).await;
                }
                _ => {}
            }
        }
        (code, said)
    }
}

/// Runs another test of this binary in a process of its own, and gives everything that it printed. There it is
/// alone: with its memory, and with what it logs.
pub(crate) fn alone(test: &str) -> String {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--ignored", "--nocapture", "--test-threads", "1"]);
    let output = command.output().unwrap();
    let mut printed = String::from_utf8_lossy(&output.stdout).into_owned();
    printed.push_str(&String::from_utf8_lossy(&output.stderr));
    let tail: String = printed.chars().rev().take(4_000).collect::<Vec<_>>().into_iter().rev().collect();
    assert!(output.status.success() && printed.contains("1 passed"), "{test} failed: …{tail}");
    printed
}

/// Bytes of memory that this process holds.
pub(crate) fn memory() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4_096
}
