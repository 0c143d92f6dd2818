//! The real network, with somebody who listens: what became of each attempt to send a message.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request, Response};
use parlour_client::{Body, Frames, Net, NetError, TokioNet};
use serde_json::Value;

/// What becomes of the ids that clients give to their messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ids {
    /// They are sent as they are: an attempt again is the same message again.
    Kept,
    /// Every attempt gets a new id, as with an SDK that makes none: the test of the test.
    Ignored,
}

/// How attempts to send ended.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    /// 201: stored now.
    pub(crate) new: AtomicU64,
    /// 200: the server had it already, from an attempt whose answer was lost.
    pub(crate) known: AtomicU64,
    /// The connection broke before an answer: nobody knows whether it is stored.
    pub(crate) unknown: AtomicU64,
    /// The server was not there.
    pub(crate) unsent: AtomicU64,
    /// Any other answer.
    pub(crate) refused: AtomicU64,
}

/// A [`Net`] that counts.
pub(crate) struct WatchedNet {
    inner: TokioNet,
    ids: Ids,
    attempts: Arc<Attempts>,
}

impl WatchedNet {
    pub(crate) fn new(ids: Ids, attempts: Arc<Attempts>) -> Arc<Self> {
        Arc::new(Self { inner: TokioNet::new().unwrap(), ids, attempts })
    }

    fn count(&self, answer: &Result<Response<Bytes>, NetError>) {
        let attempts = &self.attempts;
        let counter = match answer.as_ref().map(|answer| answer.status().as_u16()) {
            Ok(201) => &attempts.new,
            Ok(200) => &attempts.known,
            Ok(_) => &attempts.refused,
            Err(NetError(why)) if why.contains("Connection refused") => &attempts.unsent,
            Err(_) => &attempts.unknown,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl Net for WatchedNet {
    async fn open(&self, url: &str) -> Result<Box<dyn Frames>, NetError> {
        self.inner.open(url).await
    }

    async fn request(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, NetError> {
        let is_send = request.method() == Method::POST && request.uri().path().ends_with("/messages");
        if !is_send {
            return self.inner.request(request).await;
        }
        if self.ids == Ids::Ignored {
            let body = with_another_id(request.body());
            *request.body_mut() = body;
        }
        let answer = self.inner.request(request).await;
        self.count(&answer);
        answer
    }

    async fn stream(&self, request: Request<Bytes>) -> Result<Response<Box<dyn Body>>, NetError> {
        self.inner.stream(request).await
    }
}

fn with_another_id(body: &[u8]) -> Bytes {
    let mut body: Value = serde_json::from_slice(body).unwrap();
    body["message"]["id"] = uuid::Uuid::new_v4().to_string().into();
    body.to_string().into()
}
