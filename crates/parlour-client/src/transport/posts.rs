//! What the client says over HTTP: frames by requests of their own, in their order, one request at a time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderValue, StatusCode, header};
use parlour_wire::frames::FRAME_BYTES_MAX;
use parlour_wire::{AppKey, ConnectionId, ErrorCode};
use tokio::time::Instant;

use super::Address;
use crate::calls;
use crate::net::{Net, NetError};

/// When a request has no answer for this long, it fails.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// How long is waited where the server asks for a pause and does not say how long.
const PAUSE: Duration = Duration::from_secs(1);
/// A refusal is told after this: where the server has ended the connection, its `bye` is on the way, and says
/// more.
const REFUSAL_WAIT: Duration = Duration::from_millis(500);
/// Bytes of frames that wait. A client says little; where these wait, nothing gets through.
const WAITING_BYTES_MAX: usize = 16 * FRAME_BYTES_MAX;

/// What is said, and was not taken yet.
pub(super) struct Posts {
    net: Arc<dyn Net>,
    address: Address,
    /// In whose name: known from `hello` on.
    caller: Option<Caller>,
    /// Where it is said: the latest name of the connection.
    connection: Option<ConnectionId>,
    /// In order; those of a request that is under way are the first.
    waiting: VecDeque<Said>,
    waiting_bytes: usize,
    now: Now,
}

struct Caller {
    app_key: AppKey,
    /// The last one that the server has taken.
    token: String,
}

/// One frame.
pub(super) struct Said {
    pub(super) text: String,
    /// The token that is in it.
    pub(super) token: Option<String>,
}

enum Now {
    Idle,
    UnderWay {
        answer: BoxFuture<'static, Result<http::Response<Bytes>, NetError>>,
        /// So many frames.
        count: usize,
        to: ConnectionId,
    },
    /// The server asked for it.
    Pausing {
        until: Instant,
    },
    /// The token is over, and another one was not said yet.
    WithoutToken,
    Refused {
        error: NetError,
        tell_at: Instant,
    },
}

impl Posts {
    pub(super) fn new(net: &Arc<dyn Net>, address: Address) -> Self {
        let net = Arc::clone(net);
        let waiting = VecDeque::new();
        Self { net, address, caller: None, connection: None, waiting, waiting_bytes: 0, now: Now::Idle }
    }

    /// From now on frames are said in this name.
    pub(super) fn speaks_for(&mut self, app_key: AppKey, token: String) {
        self.caller = Some(Caller { app_key, token });
        if let Now::WithoutToken = self.now {
            self.now = Now::Idle;
        }
    }

    /// From now on frames are said on this connection.
    pub(super) fn connected(&mut self, connection: ConnectionId) {
        self.connection = Some(connection);
    }

    pub(super) fn push(&mut self, said: Said) -> Result<(), NetError> {
        self.waiting_bytes += said.text.len();
        if self.waiting_bytes > WAITING_BYTES_MAX {
            return Err(NetError("the server does not take what is said".to_owned()));
        }
        self.waiting.push_back(said);
        if let Now::WithoutToken = self.now {
            self.renew();
        }
        Ok(())
    }

    /// Whether something is still to be said.
    pub(super) fn has_more(&self) -> bool {
        !self.waiting.is_empty() && !matches!(self.now, Now::Refused { .. })
    }

    /// Begins the next request, where there is something to say and nothing in the way.
    pub(super) fn begin(&mut self) {
        let (Now::Idle, Some(caller), Some(connection)) = (&self.now, &self.caller, &self.connection) else {
            return;
        };
        if self.waiting.is_empty() {
            return;
        }
        // At least one: one that is too large for any body is refused, and does not wait for ever.
        let (body, count) = self.pack("{\"frames\":[".to_owned(), 1);
        let Ok(mut bearer) = HeaderValue::try_from(format!("Bearer {}", caller.token)) else {
            self.refused("the token has characters that no header can carry");
            return;
        };
        bearer.set_sensitive(true);
        let request = http::Request::post(self.address.frames(connection))
            .header("x-parlour-app", caller.app_key.as_str())
            .header(header::AUTHORIZATION, bearer)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Bytes::from(body));
        let request = match request {
            Ok(request) => request,
            Err(error) => return self.refused(error),
        };
        let net = Arc::clone(&self.net);
        let answer = Box::pin(async move {
            let answer = tokio::time::timeout(ANSWER_WAIT, net.request(request)).await;
            answer.unwrap_or_else(|_| Err(NetError(format!("no answer within {ANSWER_WAIT:?}"))))
        });
        self.now = Now::UnderWay { answer, count, to: connection.clone() };
    }

    /// Takes away what may go as `frames` beside the fields of this `hello`: the body of a poll.
    pub(super) fn beside(&mut self, hello: String) -> String {
        let (Now::Idle, Some(fields)) = (&self.now, hello.strip_suffix('}')) else { return hello };
        match self.pack(format!("{fields},\"frames\":["), 0) {
            (_, 0) => hello,
            (body, count) => {
                // Its own token is the latest.
                self.taken(count);
                body
            }
        }
    }

    /// Waits for the end of what is under way. May be dropped at any time without losing anything.
    ///
    /// # Errors
    /// Nothing can be said any more.
    pub(super) async fn finished(&mut self) -> Result<(), NetError> {
        match &mut self.now {
            Now::Idle | Now::WithoutToken => std::future::pending().await,
            Now::Pausing { until } => {
                tokio::time::sleep_until(*until).await;
                self.now = Now::Idle;
            }
            Now::Refused { error, tell_at } => {
                tokio::time::sleep_until(*tell_at).await;
                return Err(error.clone());
            }
            Now::UnderWay { answer, count, to } => {
                let answer = answer.await;
                let (count, is_latest) = (*count, self.connection.as_ref() == Some(&*to));
                self.now = Now::Idle;
                match answer {
                    Ok(answer) if answer.status().is_success() => {
                        if let (Some(token), Some(caller)) = (self.taken(count), &mut self.caller) {
                            caller.token = token;
                        }
                    }
                    Ok(answer) => self.not_taken(&answer, is_latest),
                    // Nobody knows whether they were taken: said again they might be said twice.
                    Err(error) => self.refused(error),
                }
            }
        }
        Ok(())
    }

    /// Says nothing more, and ends what is under way.
    pub(super) fn stop(&mut self) {
        self.waiting.clear();
        self.waiting_bytes = 0;
        self.now = Now::Idle;
    }

    /// The next frames as the end of a JSON text, as many as its body can hold; how many they are.
    fn pack(&self, mut body: String, at_least: usize) -> (String, usize) {
        let mut count = 0;
        for Said { text, .. } in &self.waiting {
            if count >= at_least && body.len() + text.len() + ",]}".len() > FRAME_BYTES_MAX {
                break;
            }
            if count > 0 {
                body.push(',');
            }
            body.push_str(text);
            count += 1;
        }
        body.push_str("]}");
        (body, count)
    }

    /// So many are said; the last token that was among them.
    fn taken(&mut self, count: usize) -> Option<String> {
        let taken = self.waiting.drain(..count);
        taken.fold(None, |token, said| {
            self.waiting_bytes -= said.text.len();
            said.token.or(token)
        })
    }

    fn not_taken(&mut self, answer: &http::Response<Bytes>, by_latest: bool) {
        let error = calls::refusal(answer);
        match answer.status() {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                let asked = error.body.retry_after.map(|seconds| Duration::from_secs(seconds.into()));
                self.now = Now::Pausing { until: Instant::now() + asked.unwrap_or(PAUSE) };
            }
            // On the connection the server waits for another token; here it does not.
            StatusCode::UNAUTHORIZED if error.is(ErrorCode::TokenExpired) => self.renew(),
            // Meanwhile a poll has given it another name.
            StatusCode::NOT_FOUND if !by_latest => {}
            status => self.refused(format!("the server answered {status}: {error}")),
        }
    }

    /// Goes on with the token that was said last, if it is another one.
    fn renew(&mut self) {
        let Some(caller) = &mut self.caller else { return };
        self.now = match self.waiting.iter().rev().find_map(|said| said.token.as_ref()) {
            Some(token) if *token != caller.token => {
                caller.token.clone_from(token);
                Now::Idle
            }
            Some(_) | None => Now::WithoutToken,
        };
    }

    fn refused(&mut self, why: impl std::fmt::Display) {
        let error = NetError(format!("what this client said did not arrive: {why}"));
        self.now = Now::Refused { error, tell_at: Instant::now() + REFUSAL_WAIT };
    }
}
