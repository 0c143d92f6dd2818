//! The long-poll: frames in one answer after the other. Each poll is a `hello` of its own.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header;
use parlour_wire::frames::AppState;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::over_http::{Answers, Came};
use super::posts::Posts;
use super::{Address, answered, is_media};
use crate::net::{Net, NetError};

const MEDIA_TYPE: &str = "application/json";
/// How long after an answer the next poll comes.
const PAUSE: Duration = Duration::from_millis(250);
/// The same while nobody looks.
const PAUSE_UNSEEN: Duration = Duration::from_secs(5);

/// The polls that the frames come in the answers of.
pub(super) struct LongPoll {
    net: Arc<dyn Net>,
    url: String,
    app_state: AppState,
    now: Now,
}

enum Now {
    WaitsForHello,
    Asked(BoxFuture<'static, Result<Vec<String>, NetError>>),
    Pausing { since: Instant },
    Over,
}

impl LongPoll {
    pub(super) fn new(net: &Arc<dyn Net>, address: &Address) -> Self {
        let app_state = AppState::default();
        Self { net: Arc::clone(net), url: address.connect(), app_state, now: Now::WaitsForHello }
    }

    fn pause(&self) -> Duration {
        match self.app_state {
            AppState::Hidden | AppState::Background => PAUSE_UNSEEN,
            AppState::Foreground | AppState::Unknown(_) => PAUSE,
        }
    }
}

impl Answers for LongPoll {
    fn waits_for_hello(&self) -> bool {
        matches!(self.now, Now::WaitsForHello)
    }

    fn is_listening(&self) -> bool {
        matches!(self.now, Now::Asked(_))
    }

    fn app_state(&mut self, state: &AppState) {
        self.app_state.clone_from(state);
    }

    fn hurry(&mut self) {
        if let Now::Pausing { since } = &mut self.now {
            *since = since.checked_sub(PAUSE_UNSEEN).unwrap_or(*since);
        }
    }

    fn ask(&mut self, hello: String, posts: &mut Posts) {
        let body = posts.beside(hello);
        self.now = Now::Asked(Box::pin(poll(Arc::clone(&self.net), self.url.clone(), body)));
    }

    async fn next(&mut self) -> Came {
        let pause = self.pause();
        match &mut self.now {
            Now::WaitsForHello | Now::Over => std::future::pending().await,
            Now::Asked(answer) => match answer.await {
                Ok(frames) => {
                    self.now = Now::Pausing { since: Instant::now() };
                    Came::Frames(frames)
                }
                Err(error) => {
                    self.now = Now::Over;
                    Came::End(error)
                }
            },
            Now::Pausing { since } => {
                tokio::time::sleep_until(*since + pause).await;
                self.now = Now::WaitsForHello;
                Came::WantsHello
            }
        }
    }

    fn stop(&mut self) {
        self.now = Now::Over;
    }
}

/// An answer. Its frames stay the texts that they are: whoever reads them reads them once.
#[derive(Deserialize)]
struct Batch<'a> {
    #[serde(borrow)]
    frames: Vec<&'a RawValue>,
}

async fn poll(net: Arc<dyn Net>, url: String, body: String) -> Result<Vec<String>, NetError> {
    let request = http::Request::post(url)
        .header(header::ACCEPT, MEDIA_TYPE)
        .header(header::CONTENT_TYPE, MEDIA_TYPE)
        .body(Bytes::from(body))
        .map_err(|e| NetError(e.to_string()))?;
    let (head, body) = net.request(request).await?.into_parts();
    let batch = serde_json::from_slice::<Batch<'_>>(&body);
    match batch {
        Ok(Batch { frames }) if is_media(head.status, &head.headers, MEDIA_TYPE) => {
            Ok(frames.into_iter().map(|frame| frame.get().to_owned()).collect())
        }
        Ok(_) | Err(_) => Err(answered(head.status, &head.headers, &body)),
    }
}
