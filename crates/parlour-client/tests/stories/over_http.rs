//! What the transports over HTTP ask for, and what they make of each answer: the other end is the test itself, in
//! simulated time.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Response, header};
use parlour_client::wire::CloseCode;
use parlour_client::{Body, Frames, Net, NetError, Received, TokioNet, Transport, open_transport};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

const URL: &str = "ws://server.test/v1/connect";
/// Longer than anything that is waited for here.
const WAIT: Duration = Duration::from_secs(60);

/// Far more than any story says.
const QUEUE_LEN: usize = 1_000;

/// A network that leads to the test.
struct Wire(mpsc::Sender<Asked>);

struct Pieces(mpsc::Receiver<Bytes>);

#[async_trait]
impl Body for Pieces {
    async fn chunk(&mut self) -> Result<Option<Bytes>, NetError> {
        Ok(self.0.recv().await)
    }
}

#[async_trait]
impl Net for Wire {
    async fn open(&self, _: &str) -> Result<Box<dyn Frames>, NetError> {
        panic!("no WebSocket here")
    }

    async fn request(&self, request: http::Request<Bytes>) -> Result<Response<Bytes>, NetError> {
        let (head, mut body) = self.stream(request).await?.into_parts();
        let mut whole = Vec::new();
        while let Some(piece) = body.chunk().await? {
            whole.extend_from_slice(&piece);
        }
        Ok(Response::from_parts(head, whole.into()))
    }

    async fn stream(&self, request: http::Request<Bytes>) -> Result<Response<Box<dyn Body>>, NetError> {
        let (reply, answer) = oneshot::channel();
        assert!(self.0.try_send(Asked { request, reply }).is_ok(), "the test is over");
        let answer = answer.await.map_err(|_| NetError("connection reset".to_owned()))?;
        Ok(answer.map(|pieces| Box::new(pieces) as Box<dyn Body>))
    }
}

/// A request that waits for its answer. Dropped, it is a broken link.
struct Asked {
    request: http::Request<Bytes>,
    reply: oneshot::Sender<Response<Pieces>>,
}

impl Asked {
    fn path(&self) -> &str {
        self.request.uri().path()
    }

    fn header(&self, name: &str) -> &str {
        self.request.headers()[name].to_str().unwrap()
    }

    fn body(&self) -> Value {
        serde_json::from_slice(self.request.body()).unwrap()
    }

    /// The numbers of the pings that it says, in order.
    #[track_caller]
    fn pings(&self) -> Vec<u64> {
        pings(&self.body())
    }

    fn begins_answer(self, status: u16, headers: &[(&str, &str)]) -> mpsc::Sender<Bytes> {
        let (pieces, receiver) = mpsc::channel(QUEUE_LEN);
        let mut answer = Response::builder().status(status);
        for (name, value) in headers {
            answer = answer.header(*name, *value);
        }
        let _ = self.reply.send(answer.body(Pieces(receiver)).unwrap());
        pieces
    }

    fn answers(self, status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) {
        let _ = self.begins_answer(status, headers).try_send(body.into());
    }

    fn takes_it(self) {
        self.answers(204, &[], "");
    }

    fn refuses(self, code: &str, status: u16, retry_after: Option<u32>) {
        let error = json!({ "error": {
            "code": code, "status": status, "message": "no", "hint": "", "retryable": false, "docs": "",
            "retry_after": retry_after,
        }});
        self.answers(status, &[("content-type", "application/json")], error.to_string());
    }

    fn streams(self) -> Stream {
        Stream(self.begins_answer(200, &[("content-type", "text/event-stream; charset=utf-8")]))
    }

    /// Answers a poll.
    fn gives(self, frames: &[Value]) {
        let body = json!({ "frames": frames }).to_string();
        self.answers(200, &[("content-type", "application/json")], body);
    }
}

#[track_caller]
fn pings(body: &Value) -> Vec<u64> {
    body["frames"].as_array().unwrap().iter().map(|frame| frame["id"].as_u64().unwrap()).collect()
}

/// The body of an event stream.
struct Stream(mpsc::Sender<Bytes>);

impl Stream {
    fn says(&self, frame: &Value) {
        self.sends(format!("data: {frame}\n\n").into_bytes());
    }

    fn sends(&self, bytes: impl Into<Bytes>) {
        let _ = self.0.try_send(bytes.into());
    }
}

/// What an app would do with the transport.
enum Act {
    Say(String),
    Close(CloseCode),
}

/// Both ends of a transport in the hands of the test.
struct Ends {
    acts: mpsc::Sender<Act>,
    heard: mpsc::Receiver<Received>,
    asked: mpsc::Receiver<Asked>,
    task: tokio::task::JoinHandle<()>,
}

impl Ends {
    async fn open(transport: Transport) -> Self {
        let (far, asked) = mpsc::channel(QUEUE_LEN);
        let net: Arc<dyn Net> = Arc::new(Wire(far));
        let mut frames = open_transport(transport, &net, URL).await.unwrap();
        let (acts, mut to_do) = mpsc::channel(QUEUE_LEN);
        let (hear, heard) = mpsc::channel(QUEUE_LEN);
        let task = tokio::spawn(async move {
            loop {
                tokio::select! {
                    biased;
                    act = to_do.recv() => match act {
                        Some(Act::Say(text)) => if let Err(NetError(reason)) = frames.send(text).await {
                            let _ = hear.try_send(Received::Closed { code: None, reason });
                        },
                        Some(Act::Close(code)) => {
                            frames.close(code, "").await;
                            let _ = hear.try_send(frames.recv().await);
                            // Not dropped: closed is enough.
                            let _ = to_do.recv().await;
                            return;
                        }
                        None => return,
                    },
                    received = frames.recv() => {
                        let is_end = matches!(received, Received::Closed { .. });
                        let _ = hear.try_send(received);
                        if is_end {
                            return;
                        }
                    }
                    // Every wait is dropped in the middle now and then: nothing may be lost by that.
                    () = tokio::time::sleep(Duration::from_millis(7)) => {}
                }
            }
        });
        Self { acts, heard, asked, task }
    }

    fn says(&self, frame: &Value) {
        let _ = self.acts.try_send(Act::Say(frame.to_string()));
    }

    fn pings(&self, ids: impl IntoIterator<Item = u64>) {
        ids.into_iter().for_each(|id| self.says(&json!({ "type": "ping", "id": id })));
    }

    fn closes(&self, code: CloseCode) {
        let _ = self.acts.try_send(Act::Close(code));
    }

    async fn hears(&mut self) -> Received {
        timeout(WAIT, self.heard.recv()).await.expect("nothing is heard").expect("it ended")
    }

    async fn hears_frame(&mut self) -> Value {
        match self.hears().await {
            Received::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("no frame, but {other:?}"),
        }
    }

    async fn hears_end(&mut self) -> (Option<u16>, String) {
        match self.hears().await {
            Received::Closed { code, reason } => (code.map(|code| code.0), reason),
            other => panic!("no end, but {other:?}"),
        }
    }

    async fn asks(&mut self) -> Asked {
        timeout(WAIT, self.asked.recv()).await.expect("nothing is asked").expect("it ended")
    }

    /// Nothing is asked for this long.
    async fn is_silent_for(&mut self, time: Duration) {
        if let Ok(Some(asked)) = timeout(time, self.asked.recv()).await {
            panic!("asked {} {:?}", asked.path(), asked.request.body());
        }
    }

    /// An event stream that was let in.
    async fn stream() -> (Self, Stream) {
        let mut ends = Self::open(Transport::EventStream).await;
        ends.says(&hello(json!({})));
        let stream = ends.asks().await.streams();
        stream.says(&ready("c-1"));
        assert_eq!(ends.hears_frame().await, ready("c-1"));
        (ends, stream)
    }

    /// A long-poll whose first poll was answered, up to where it wants another hello.
    async fn polled(fields: Value) -> Self {
        let mut ends = Self::open(Transport::LongPoll).await;
        ends.says(&hello(fields));
        ends.asks().await.gives(&[ready("c-1")]);
        assert_eq!(ends.hears_frame().await, ready("c-1"));
        assert_eq!(ends.hears().await, Received::WantsHello);
        ends
    }
}

fn hello(fields: Value) -> Value {
    let mut hello = json!({
        "type": "hello", "app_key": "dev", "token": "token-1",
        "client": { "instance": "i", "page": "p", "sdk": "tests", "version": 1, "platform": "linux" },
        "presence": "none", "app_state": "foreground",
    });
    hello.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    hello
}

fn ready(connection: &str) -> Value {
    json!({ "type": "ready", "connection_id": connection })
}

fn bye(code: u16) -> Value {
    json!({ "type": "bye", "code": code, "reason": "because" })
}

fn leave() -> Value {
    json!({ "type": "bye", "intent": "leave" })
}

const FRAMES: &str = "/v1/connections/c-1/frames";
/// The body of a poll's answer in which nothing comes.
const FRAMELESS: &str = r#"{"frames":[]}"#;

// What is said.

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_before_hello_and_then_hello_is_the_body() {
    for (transport, accept) in
        [(Transport::EventStream, "text/event-stream"), (Transport::LongPoll, "application/json")]
    {
        let mut ends = Ends::open(transport).await;
        ends.is_silent_for(Duration::from_secs(5)).await;
        ends.says(&hello(json!({})));
        let asked = ends.asks().await;
        assert_eq!((asked.path(), asked.header("accept")), ("/v1/connect", accept));
        assert_eq!(asked.header("content-type"), "application/json");
        assert_eq!(asked.body(), hello(json!({})));
        assert!(!asked.request.headers().contains_key(header::AUTHORIZATION), "the token is in hello");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_said_before_ready_waits_and_goes_in_one_body() {
    let mut ends = Ends::open(Transport::EventStream).await;
    ends.says(&hello(json!({})));
    ends.pings(1..=3);
    let stream = ends.asks().await.streams();
    ends.is_silent_for(Duration::from_secs(5)).await;
    stream.says(&ready("c-1"));
    let asked = ends.asks().await;
    assert_eq!((asked.path(), asked.pings()), (FRAMES, vec![1, 2, 3]));
    assert_eq!(asked.header("x-parlour-app"), "dev");
    assert_eq!(asked.header("authorization"), "Bearer token-1");
    assert_eq!(asked.header("content-type"), "application/json");
}

#[tokio::test(start_paused = true)]
async fn frames_arrive_in_order_one_request_at_a_time() {
    let (mut ends, _stream) = Ends::stream().await;
    ends.pings(1..=1);
    let first = ends.asks().await;
    ends.pings(2..=4);
    ends.is_silent_for(Duration::from_secs(5)).await;
    assert_eq!(first.pings(), [1]);
    first.takes_it();
    let second = ends.asks().await;
    ends.pings(5..=5);
    assert_eq!(second.pings(), [2, 3, 4]);
    second.takes_it();
    assert_eq!(ends.asks().await.pings(), [5]);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_into_one_body_goes_in_the_next() {
    let (mut ends, _stream) = Ends::stream().await;
    let frame = |id: u64| json!({ "type": "ping", "id": id, "note": "x".repeat(20_000) });
    ends.pings([0]);
    (1..=7).for_each(|id| ends.says(&frame(id)));
    // One that no body can hold is the server's to refuse.
    ends.says(&json!({ "type": "ping", "id": 8, "note": "x".repeat(70_000) }));
    ends.pings([9]);
    let mut bodies = Vec::new();
    while bodies.last() != Some(&vec![9]) {
        let asked = ends.asks().await;
        assert!(asked.request.body().len() <= 64 * 1024 || asked.pings() == [8]);
        bodies.push(asked.pings());
        asked.takes_it();
    }
    assert_eq!(bodies, [vec![0, 1, 2, 3], vec![4, 5, 6], vec![7], vec![8], vec![9]]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_asks_for_a_pause_gets_it_and_then_all_of_it_again() {
    let (mut ends, _stream) = Ends::stream().await;
    for (code, status, retry_after, seconds) in
        [("rate_limited", 429, Some(3), 3), ("unavailable", 503, Some(7), 7), ("rate_limited", 429, None, 1)]
    {
        ends.pings([1]);
        let asked = ends.asks().await;
        ends.pings([2]);
        asked.refuses(code, status, retry_after);
        let refused_at = Instant::now();
        let again = ends.asks().await;
        assert_eq!((refused_at.elapsed().as_secs(), again.pings()), (seconds, vec![1, 2]));
        again.takes_it();
    }
    // The pause may stand in the header, too.
    ends.pings([1]);
    ends.asks().await.answers(503, &[("retry-after", "9")], "busy");
    let refused_at = Instant::now();
    assert_eq!((ends.asks().await.pings(), refused_at.elapsed().as_secs()), (vec![1], 9));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_not_there_any_more_is_an_end_without_a_code() {
    let (mut ends, _stream) = Ends::stream().await;
    ends.pings([1]);
    ends.asks().await.refuses("not_found", 404, None);
    let (code, reason) = ends.hears_end().await;
    assert_eq!(code, None);
    assert_eq!(
        reason,
        "what this client said did not arrive: the server answered 404 Not Found: not_found: no ()"
    );
}

#[tokio::test(start_paused = true)]
async fn a_bye_that_comes_after_the_refusal_says_more_than_it() {
    let (mut ends, stream) = Ends::stream().await;
    ends.pings([1]);
    ends.asks().await.refuses("not_found", 404, None);
    ends.is_silent_for(Duration::from_millis(400)).await;
    stream.says(&bye(4005));
    assert_eq!(ends.hears_frame().await, bye(4005));
    assert_eq!(ends.hears_end().await, (Some(4005), "because".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn frames_whose_answer_is_lost_are_not_said_twice() {
    let (mut ends, _stream) = Ends::stream().await;
    ends.pings([1]);
    drop(ends.asks().await);
    ends.is_silent_for(Duration::from_millis(400)).await;
    let (code, reason) = ends.hears_end().await;
    assert_eq!((code, &*reason), (None, "what this client said did not arrive: connection reset"));

    // Nor those that never get one.
    let (mut ends, _stream) = Ends::stream().await;
    ends.pings([1]);
    let _asked = ends.asks().await;
    let begun = Instant::now();
    let (code, reason) = ends.hears_end().await;
    assert_eq!((code, &*reason), (None, "what this client said did not arrive: no answer within 10s"));
    assert_eq!(begun.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_token_counts_once_the_server_has_taken_it() {
    let (mut ends, _stream) = Ends::stream().await;
    ends.says(&json!({ "type": "token", "token": "token-2" }));
    let asked = ends.asks().await;
    assert_eq!(asked.header("authorization"), "Bearer token-1");
    asked.takes_it();
    ends.pings([1]);
    assert_eq!(ends.asks().await.header("authorization"), "Bearer token-2");
}

#[tokio::test(start_paused = true)]
async fn where_the_token_has_ended_what_is_said_waits_for_the_next() {
    let (mut ends, _stream) = Ends::stream().await;
    ends.pings([1]);
    ends.asks().await.refuses("token_expired", 401, None);
    ends.is_silent_for(Duration::from_secs(20)).await;
    // The same one is no help.
    ends.says(&json!({ "type": "token", "token": "token-1" }));
    ends.is_silent_for(Duration::from_secs(5)).await;
    ends.says(&json!({ "type": "token", "token": "token-2" }));
    let asked = ends.asks().await;
    assert_eq!(asked.header("authorization"), "Bearer token-2");
    assert_eq!(asked.body()["frames"].as_array().unwrap().len(), 3);
    // One that is under way with the old token goes again with the new one.
    asked.takes_it();
    ends.pings([2]);
    let asked = ends.asks().await;
    ends.says(&json!({ "type": "token", "token": "token-3" }));
    ends.is_silent_for(Duration::from_millis(10)).await;
    asked.refuses("token_expired", 401, None);
    assert_eq!(ends.asks().await.header("authorization"), "Bearer token-3");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_no_header_can_carry_is_an_end_and_no_panic() {
    let mut ends = Ends::open(Transport::EventStream).await;
    ends.says(&hello(json!({ "token": "a\nb" })));
    let stream = ends.asks().await.streams();
    stream.says(&ready("c-1"));
    ends.hears_frame().await;
    ends.pings([1]);
    assert!(ends.hears_end().await.1.ends_with("the token has characters that no header can carry"));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_takes_nothing_is_no_link_any_more() {
    let (mut ends, _stream) = Ends::stream().await;
    ends.pings([0]);
    let _held = ends.asks().await;
    (0..60).for_each(|id| ends.says(&json!({ "type": "ping", "id": id, "note": "x".repeat(20_000) })));
    assert_eq!(ends.hears_end().await, (None, "the server does not take what is said".to_owned()));

    // What was taken counts no more.
    let (mut ends, _stream) = Ends::stream().await;
    for id in 0..60 {
        ends.says(&json!({ "type": "ping", "id": id, "note": "x".repeat(20_000) }));
        let asked = ends.asks().await;
        assert_eq!(asked.pings(), [id]);
        asked.takes_it();
    }
}

// The event stream.

#[tokio::test(start_paused = true)]
async fn frames_come_out_of_a_stream_however_it_is_cut() {
    let (mut ends, stream) = Ends::stream().await;
    let said = json!({ "type": "event", "text": "grüße 😀", "n": 1.50 });
    let text = format!(":\r\n\r\ndata: {said}\r\n\r\n: hm\n\ndata: {said}\n\n");
    for piece in text.as_bytes().chunks(3) {
        stream.sends(piece.to_vec());
    }
    assert_eq!((ends.hears_frame().await, ends.hears_frame().await), (said.clone(), said));
}

#[tokio::test(start_paused = true)]
async fn bye_is_the_last_frame_of_a_stream_and_its_code_is_the_close_code() {
    let (mut ends, stream) = Ends::stream().await;
    stream.says(&json!({ "type": "drain", "retry_after_ms": 1 }));
    stream.says(&bye(1012));
    stream.says(&json!({ "type": "ping" }));
    assert_eq!(ends.hears_frame().await["type"], "drain");
    assert_eq!(ends.hears_frame().await, bye(1012));
    assert_eq!(ends.hears_end().await, (Some(1012), "because".to_owned()));
    timeout(WAIT, stream.0.closed()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_ends_without_bye_broke() {
    let (mut ends, stream) = Ends::stream().await;
    stream.sends("data: {\"type\":\"ha");
    drop(stream);
    assert_eq!(ends.hears_end().await, (None, "the event stream broke off".to_owned()));

    let (mut ends, stream) = Ends::stream().await;
    stream.sends(&b"data: \xff\n\n"[..]);
    assert_eq!(ends.hears_end().await, (None, "the server sent something that is not UTF-8".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_none_is_told_with_its_status_and_its_first_words() {
    let long = "ü".repeat(1_000);
    for transport in [Transport::EventStream, Transport::LongPoll] {
        for (status, media, body, reason) in [
            (403, "text/html", "<b>no</b>", "the server answered 403 Forbidden: <b>no</b>".to_owned()),
            (502, "text/html", "", "the server answered 502 Bad Gateway".to_owned()),
            (403, "text/event-stream", "no", "the server answered 403 Forbidden: no".to_owned()),
            (403, "application/json", FRAMELESS, format!("the server answered 403 Forbidden: {FRAMELESS}")),
            (
                200,
                "text/plain",
                FRAMELESS,
                format!("the server answered 200 OK with text/plain: {FRAMELESS}"),
            ),
            (200, "text/html", "sign in", "the server answered 200 OK with text/html: sign in".to_owned()),
            (200, "text/html", &long, format!("the server answered 200 OK with text/html: {}", &long[..600])),
            (302, "text/html", "", "the server answered 302 Found".to_owned()),
            (200, "", "hm", "the server answered 200 OK: hm".to_owned()),
        ] {
            let mut ends = Ends::open(transport).await;
            ends.says(&hello(json!({})));
            let headers: &[(&str, &str)] = if media.is_empty() { &[] } else { &[("content-type", media)] };
            ends.asks().await.answers(status, headers, body.to_owned());
            assert_eq!(ends.hears_end().await, (None, reason), "{transport:?}");
        }
        let mut ends = Ends::open(transport).await;
        ends.says(&hello(json!({})));
        drop(ends.asks().await);
        assert_eq!(ends.hears_end().await, (None, "connection reset".to_owned()), "{transport:?}");
    }
    // A body that does not end is no reason to wait.
    let mut ends = Ends::open(Transport::EventStream).await;
    ends.says(&hello(json!({})));
    let body = ends.asks().await.begins_answer(403, &[]);
    body.try_send(Bytes::from_static(b"wait")).unwrap();
    let begun = Instant::now();
    assert_eq!(ends.hears_end().await, (None, "the server answered 403 Forbidden: wait".to_owned()));
    assert_eq!(begun.elapsed().as_secs(), 1);
}

// The long-poll.

#[tokio::test(start_paused = true)]
async fn a_poll_is_followed_by_the_next_after_a_pause_that_depends_on_who_looks() {
    for (fields, told, pause_ms) in [
        (json!({}), None, 250),
        (json!({ "app_state": "hidden" }), None, 5_000),
        (json!({ "app_state": "background" }), None, 5_000),
        (json!({ "app_state": "hidden" }), Some("foreground"), 250),
        (json!({}), Some("hidden"), 5_000),
    ] {
        let mut ends = Ends::open(Transport::LongPoll).await;
        ends.says(&hello(fields.clone()));
        ends.asks().await.gives(&[
            ready("c-1"),
            json!({ "type": "ping", "n": 1.50 }),
            json!({ "type": "new" }),
        ]);
        let answered_at = Instant::now();
        for kind in ["ready", "ping", "new"] {
            assert_eq!(ends.hears_frame().await["type"], kind);
        }
        if let Some(state) = told {
            ends.says(&json!({ "type": "app_state", "state": state }));
        }
        assert_eq!(ends.hears().await, Received::WantsHello);
        let waited = answered_at.elapsed().as_millis();
        // The task looks every few milliseconds.
        assert!((pause_ms..pause_ms + 10).contains(&waited), "{fields} {told:?}: {waited} ms");
        ends.is_silent_for(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_said_between_two_polls_goes_beside_the_next_hello() {
    let mut ends = Ends::open(Transport::LongPoll).await;
    ends.says(&hello(json!({})));
    let first = ends.asks().await;
    // Nobody knows the connection's name yet.
    ends.pings([1]);
    ends.is_silent_for(Duration::from_secs(5)).await;
    first.gives(&[ready("c-1")]);
    ends.hears_frame().await;
    ends.pings([2]);
    assert_eq!(ends.hears().await, Received::WantsHello);
    ends.pings([3]);
    ends.is_silent_for(Duration::from_secs(5)).await;
    let again = hello(json!({ "replaces": "c-1" }));
    ends.says(&again);
    let second = ends.asks().await;
    let mut body = second.body();
    assert_eq!(pings(&body), [1, 2, 3]);
    body.as_object_mut().unwrap().remove("frames");
    assert_eq!(body, again);
    // What is said meanwhile goes at once, under the name that is known.
    ends.pings([4]);
    let post = ends.asks().await;
    assert_eq!((post.path(), post.pings()), (FRAMES, vec![4]));
    post.takes_it();
    second.gives(&[ready("c-2")]);
    ends.hears_frame().await;
    assert_eq!(ends.hears().await, Received::WantsHello);
    ends.says(&hello(json!({ "replaces": "c-2" })));
    let third = ends.asks().await;
    assert_eq!(third.body(), hello(json!({ "replaces": "c-2" })), "nothing is said twice");
    ends.pings([5]);
    assert_eq!(ends.asks().await.path(), "/v1/connections/c-2/frames");
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_token_goes_with_the_hello_that_brings_one() {
    let mut ends = Ends::polled(json!({})).await;
    ends.says(&hello(json!({ "replaces": "c-1" })));
    let poll = ends.asks().await;
    ends.pings([1]);
    ends.asks().await.refuses("token_expired", 401, None);
    poll.gives(&[ready("c-2")]);
    ends.hears_frame().await;
    assert_eq!(ends.hears().await, Received::WantsHello);
    ends.says(&hello(json!({ "replaces": "c-2", "token": "token-2" })));
    assert_eq!(ends.asks().await.pings(), [1]);
}

#[tokio::test(start_paused = true)]
async fn bye_is_the_last_frame_of_a_poll_and_its_code_is_the_close_code() {
    let mut ends = Ends::open(Transport::LongPoll).await;
    ends.says(&hello(json!({})));
    ends.asks().await.gives(&[ready("c-1"), bye(1012), json!({ "type": "ping" })]);
    assert_eq!(ends.hears_frame().await, ready("c-1"));
    assert_eq!(ends.hears_frame().await, bye(1012));
    assert_eq!(ends.hears_end().await, (Some(1012), "because".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn the_token_of_the_latest_hello_is_the_one_in_force() {
    let mut ends = Ends::polled(json!({})).await;
    ends.says(&json!({ "type": "token", "token": "token-2" }));
    ends.says(&hello(json!({ "replaces": "c-1", "token": "token-3" })));
    let poll = ends.asks().await;
    assert_eq!(poll.body()["frames"][0]["token"], "token-2");
    ends.pings([1]);
    assert_eq!(ends.asks().await.header("authorization"), "Bearer token-3");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_beside_hello_is_said_while_the_poll_is_under_way() {
    let mut ends = Ends::polled(json!({})).await;
    (1..=5).for_each(|id| ends.says(&json!({ "type": "ping", "id": id, "note": "x".repeat(20_000) })));
    ends.says(&hello(json!({ "replaces": "c-1" })));
    let poll = ends.asks().await;
    assert!(poll.request.body().len() <= 64 * 1024);
    assert_eq!(poll.pings(), [1, 2, 3]);
    let post = ends.asks().await;
    assert_eq!((post.path(), post.pings()), (FRAMES, vec![4, 5]));
}

#[tokio::test(start_paused = true)]
async fn nothing_overtakes_a_request_that_is_still_under_way_when_the_poll_ends() {
    let mut ends = Ends::polled(json!({})).await;
    ends.says(&hello(json!({ "replaces": "c-1" })));
    let poll = ends.asks().await;
    ends.pings([1]);
    let post = ends.asks().await;
    poll.gives(&[ready("c-2")]);
    ends.hears_frame().await;
    ends.pings([2]);
    assert_eq!(ends.hears().await, Received::WantsHello);
    ends.says(&hello(json!({ "replaces": "c-2" })));
    let next = ends.asks().await;
    assert_eq!(next.body().get("frames"), None);
    // It came so late that its name was not known any more: it goes again, under the one that is.
    post.refuses("not_found", 404, None);
    let again = ends.asks().await;
    assert_eq!((again.path(), again.pings()), ("/v1/connections/c-2/frames", vec![1, 2]));
    again.takes_it();
    next.gives(&[ready("c-3"), bye(4005)]);
    assert_eq!(ends.hears_frame().await, ready("c-3"));
    assert_eq!(ends.hears_frame().await, bye(4005));
    assert_eq!(ends.hears_end().await, (Some(4005), "because".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn the_texts_of_a_batch_are_handed_on_as_they_are() {
    let mut ends = Ends::open(Transport::LongPoll).await;
    ends.says(&hello(json!({})));
    let frames = [r#"{"b":1.50,"a":12345678901234567890123}"#, r#"{ "type" : "new", "text":"\u00fc" }"#];
    let body = format!("{{\"frames\":[{}]}}", frames.join(" , "));
    ends.asks().await.answers(200, &[("content-type", "application/json")], body);
    for frame in frames {
        assert_eq!(ends.hears().await, Received::Text(frame.to_owned()));
    }
}

// The end.

#[tokio::test(start_paused = true)]
async fn bye_is_said_before_a_stream_is_closed_and_its_answer_is_heard() {
    let (mut ends, stream) = Ends::stream().await;
    ends.pings([1]);
    ends.says(&json!({ "type": "ping", "id": 2 }));
    ends.says(&leave());
    ends.closes(CloseCode::NORMAL);
    let mut said = Vec::new();
    while said.last() != Some(&leave()) {
        let asked = ends.asks().await;
        assert_eq!(asked.path(), FRAMES);
        said.extend(asked.body()["frames"].as_array().unwrap().clone());
        asked.takes_it();
    }
    assert_eq!(said.len(), 3);
    // The server may take it before it has done it: its own bye says that it has.
    ends.is_silent_for(Duration::from_millis(100)).await;
    assert!(!stream.0.is_closed());
    stream.says(&bye(1000));
    timeout(Duration::from_millis(10), stream.0.closed()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn bye_between_two_polls_is_said_and_nothing_more_is_asked() {
    let mut ends = Ends::polled(json!({})).await;
    ends.says(&leave());
    ends.closes(CloseCode::NORMAL);
    let asked = ends.asks().await;
    assert_eq!((asked.path(), asked.body()), (FRAMES, json!({ "frames": [leave()] })));
    asked.takes_it();
    let taken_at = Instant::now();
    ends.hears_end().await;
    assert!(taken_at.elapsed() < Duration::from_millis(10));
    ends.is_silent_for(Duration::from_secs(30)).await;
}

#[tokio::test(start_paused = true)]
async fn bye_while_a_poll_is_under_way_waits_for_the_answer() {
    let mut ends = Ends::polled(json!({})).await;
    ends.says(&hello(json!({ "replaces": "c-1" })));
    let poll = ends.asks().await;
    ends.says(&leave());
    ends.closes(CloseCode::NORMAL);
    ends.asks().await.takes_it();
    ends.is_silent_for(Duration::from_millis(100)).await;
    assert!(!poll.reply.is_closed());
    poll.gives(&[ready("c-2"), bye(1000)]);
    ends.hears().await;
}

#[tokio::test(start_paused = true)]
async fn closing_waits_half_a_second_at_most_and_drops_what_is_under_way() {
    for transport in [Transport::EventStream, Transport::LongPoll] {
        let mut ends = Ends::open(transport).await;
        ends.says(&hello(json!({})));
        let mut asked = ends.asks().await;
        ends.says(&leave());
        let begun = Instant::now();
        ends.closes(CloseCode::NORMAL);
        timeout(WAIT, asked.reply.closed()).await.unwrap();
        assert_eq!(begun.elapsed().as_millis() / 10, 50, "{transport:?}");
        // Without a bye there is nothing to wait for.
        let mut ends = Ends::open(transport).await;
        ends.says(&hello(json!({})));
        let mut asked = ends.asks().await;
        let begun = Instant::now();
        ends.closes(CloseCode::MEANS_TO_RESUME);
        timeout(WAIT, asked.reply.closed()).await.unwrap();
        assert!(begun.elapsed() < Duration::from_millis(10), "{transport:?}");
        assert_eq!(ends.hears_end().await.0, Some(4900));
    }
    // A request that is under way is dropped, too.
    let (mut ends, stream) = Ends::stream().await;
    ends.says(&leave());
    let mut asked = ends.asks().await;
    ends.closes(CloseCode::NORMAL);
    timeout(WAIT, asked.reply.closed()).await.unwrap();
    timeout(WAIT, stream.0.closed()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn dropping_a_transport_ends_its_requests() {
    let (mut ends, stream) = Ends::stream().await;
    ends.pings([1]);
    let mut post = ends.asks().await;
    ends.task.abort();
    timeout(WAIT, async { tokio::join!(stream.0.closed(), post.reply.closed()) }).await.unwrap();
    let mut ends = Ends::polled(json!({})).await;
    ends.says(&hello(json!({})));
    let mut poll = ends.asks().await;
    ends.task.abort();
    timeout(WAIT, poll.reply.closed()).await.unwrap();
}

#[tokio::test]
async fn dropping_a_transport_closes_its_connections_on_the_real_network_too() {
    for transport in [Transport::EventStream, Transport::LongPoll] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let net: Arc<dyn Net> = Arc::new(TokioNet::new().unwrap());
        let url = format!("ws://{}/v1/connect", listener.local_addr().unwrap());
        let mut frames = open_transport(transport, &net, &url).await.unwrap();
        frames.send(hello(json!({})).to_string()).await.unwrap();
        let (mut tcp, _) = tokio::select! {
            accepted = listener.accept() => accepted.unwrap(),
            received = frames.recv() => panic!("{received:?}"),
        };
        let begun = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 100\r\n\r\n:\n\n";
        let asked = async {
            let mut asked = Vec::new();
            while !asked.ends_with(b"}") {
                assert_ne!(tcp.read_buf(&mut asked).await.unwrap(), 0);
            }
            tcp.write_all(begun).await.unwrap();
        };
        tokio::select! {
            () = asked => {}
            received = frames.recv() => panic!("{received:?}"),
        }
        drop(frames);
        let end = timeout(Duration::from_secs(20), tcp.read(&mut [0; 64])).await.unwrap();
        assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    }
}
