//! Frames over HTTP, as far as it is the same however the answers come: what comes is told in order, what is
//! said goes by [`Posts`], and `bye` is the end.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use parlour_wire::frames::AppState;
use parlour_wire::{ClientFrame, CloseCode, ConnectionId};
use serde::Deserialize;

use super::posts::{Posts, Said};
use super::{Address, LAST_WORDS_WAIT};
use crate::net::{Frames, Net, NetError, Received};

/// How frames come.
pub(super) trait Answers: Send {
    /// Whether nothing is asked until `hello` is said.
    fn waits_for_hello(&self) -> bool;
    /// Whether an answer is on the way: what is said meanwhile is said beside it.
    fn is_listening(&self) -> bool;
    fn app_state(&mut self, _: &AppState) {}
    /// An answer is waited for: a pause of whatever length is over.
    fn hurry(&mut self) {}
    /// Asks with this text of `hello`, and perhaps with what else is to be said.
    fn ask(&mut self, hello: String, posts: &mut Posts);
    /// Waits for what comes next. May be dropped at any time without losing anything.
    fn next(&mut self) -> impl Future<Output = Came> + Send;
    /// Ends what is under way.
    fn stop(&mut self);
}

/// What came by an answer.
pub(super) enum Came {
    Frames(Vec<String>),
    /// It goes on with the next `hello`.
    WantsHello,
    /// Nothing comes any more, and no `bye` said why.
    End(NetError),
}

/// A transport over HTTP.
pub(super) struct OverHttp<A> {
    answers: A,
    posts: Posts,
    /// What came and was not asked for yet.
    received: VecDeque<Received>,
    /// How it ended: told when everything before it was.
    end: Option<Received>,
    stage: Stage,
}

/// How far the client is.
#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Talking,
    /// It said `bye`.
    SaidBye,
    /// It closes: what is still to be said waits for no answer any more.
    Closing,
}

impl<A: Answers> OverHttp<A> {
    pub(super) fn new(answers: A, net: &Arc<dyn Net>, address: Address) -> Self {
        let posts = Posts::new(net, address);
        Self { answers, posts, received: VecDeque::new(), end: None, stage: Stage::Talking }
    }

    /// Waits for one thing to happen. May be dropped at any time without losing anything.
    async fn step(&mut self) {
        if self.stage == Stage::Closing || self.answers.is_listening() {
            self.posts.begin();
        }
        tokio::select! {
            // In this order: what the server says of an end counts for more than that nothing can be said.
            biased;
            came = self.answers.next() => match came {
                Came::Frames(frames) => frames.into_iter().for_each(|frame| self.take(frame)),
                Came::WantsHello => self.received.push_back(Received::WantsHello),
                Came::End(NetError(reason)) => self.end(None, reason),
            },
            finished = self.posts.finished() => if let Err(NetError(reason)) = finished {
                self.end(None, reason);
            },
        }
    }

    fn take(&mut self, text: String) {
        if self.end.is_some() {
            return;
        }
        let seen = serde_json::from_str(&text).unwrap_or(Seen::default());
        self.received.push_back(Received::Text(text));
        match (&*seen.kind, seen.connection_id, seen.code) {
            ("ready", Some(connection), _) => self.posts.connected(connection),
            ("bye", _, Some(code)) => self.end(Some(code), seen.reason.unwrap_or_default()),
            _ => {}
        }
    }

    fn end(&mut self, code: Option<CloseCode>, reason: String) {
        self.end.get_or_insert(Received::Closed { code, reason });
    }
}

/// The frames that concern the transport itself: `ready` and `bye`.
#[derive(Default, Deserialize)]
struct Seen {
    #[serde(rename = "type", default)]
    kind: String,
    connection_id: Option<ConnectionId>,
    code: Option<CloseCode>,
    reason: Option<String>,
}

#[async_trait]
impl<A: Answers> Frames for OverHttp<A> {
    async fn send(&mut self, text: String) -> Result<(), NetError> {
        let frame = serde_json::from_str(&text).map_err(|e| NetError(format!("this is no frame: {e}")))?;
        let mut token = None;
        match frame {
            ClientFrame::Hello(hello) if self.answers.waits_for_hello() => {
                self.answers.app_state(&hello.app_state);
                self.posts.speaks_for(hello.app_key, hello.token);
                self.answers.ask(text, &mut self.posts);
                return Ok(());
            }
            ClientFrame::Token { token: fresh } => token = Some(fresh),
            ClientFrame::AppState { state, .. } => self.answers.app_state(&state),
            ClientFrame::Ping { .. } => self.answers.hurry(),
            ClientFrame::Bye { .. } => self.stage = Stage::SaidBye,
            ClientFrame::Hello(_)
            | ClientFrame::Watch { .. }
            | ClientFrame::Unwatch { .. }
            | ClientFrame::Signal { .. }
            | ClientFrame::Presence { .. }
            | ClientFrame::Tabs { .. }
            | ClientFrame::Pong => {}
        }
        self.posts.push(Said { text, token })
    }

    async fn recv(&mut self) -> Received {
        loop {
            if let Some(received) = self.received.pop_front() {
                return received;
            }
            if let Some(end) = &self.end {
                return end.clone();
            }
            self.step().await;
        }
    }

    async fn close(&mut self, code: CloseCode, _: &str) {
        // Whoever says `bye` is answered with one, where an answer is on the way: it was heard then.
        let awaits_bye = self.stage == Stage::SaidBye;
        self.stage = Stage::Closing;
        let last_words = async {
            while self.end.is_none() && (self.posts.has_more() || awaits_bye && self.answers.is_listening()) {
                self.step().await;
            }
        };
        // Whatever does not get through in time is lost, as it is where a link breaks.
        let _ = tokio::time::timeout(LAST_WORDS_WAIT, last_words).await;
        self.answers.stop();
        self.posts.stop();
        self.end(Some(code), "closed by this client".to_owned());
    }
}
