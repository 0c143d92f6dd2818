//! One transport of the driver: a task that opens it, moves frames both ways, and ends with it.

use std::sync::Arc;

use parlour_proto::Transport;
use parlour_wire::{ClientFrame, CloseCode, Open, ServerFrame};
use tokio::sync::{mpsc, oneshot};

use crate::net::{Frames, Net, Received};
use crate::transport::{LAST_WORDS_WAIT, open_transport};

/// Frames that wait to be written. A client writes few; when these wait, the link does not take any.
const OUTGOING_LEN: usize = 256;

/// What a transport tells the driver.
pub(crate) enum Report {
    /// It waits for `hello`; again after each answer of a long-poll.
    Opened {
        dial: u64,
    },
    Received {
        dial: u64,
        frame: Open<ServerFrame>,
    },
    Closed {
        dial: u64,
        code: Option<CloseCode>,
        reason: String,
    },
}

/// The driver's end of a transport. Dropping it closes the transport with "means to resume": that is what
/// the end of a client is, as far as the server is concerned.
pub(crate) struct Dial {
    outgoing: mpsc::Sender<String>,
    close: Option<oneshot::Sender<CloseCode>>,
}

impl Dial {
    pub(crate) fn transmit(&mut self, frame: &ClientFrame) {
        let Ok(text) = serde_json::to_string(frame) else {
            tracing::error!("a frame could not be written as JSON");
            return;
        };
        // A link that takes nothing is as good as dead; the machine hears of its end.
        if let Err(mpsc::error::TrySendError::Full(_)) = self.outgoing.try_send(text) {
            self.close(CloseCode::MEANS_TO_RESUME);
        }
    }

    pub(crate) fn close(&mut self, code: CloseCode) {
        if let Some(close) = self.close.take() {
            let _ = close.send(code);
        }
    }
}

/// Begins to open a transport.
pub(crate) fn open(
    dial: u64,
    transport: Transport,
    net: Arc<dyn Net>,
    url: String,
    reports: mpsc::Sender<Report>,
) -> Dial {
    let (outgoing, to_send) = mpsc::channel(OUTGOING_LEN);
    let (close, closing) = oneshot::channel();
    tokio::spawn(async move {
        let (code, reason) = run(dial, transport, net, url, to_send, closing, &reports).await;
        let _ = reports.send(Report::Closed { dial, code, reason }).await;
    });
    Dial { outgoing, close: Some(close) }
}

type End = (Option<CloseCode>, String);

async fn run(
    dial: u64,
    transport: Transport,
    net: Arc<dyn Net>,
    url: String,
    mut to_send: mpsc::Receiver<String>,
    mut closing: oneshot::Receiver<CloseCode>,
    reports: &mpsc::Sender<Report>,
) -> End {
    let opened = tokio::select! {
        biased;
        _ = &mut closing => return (None, "given up".to_owned()),
        opened = open_transport(transport, &net, &url) => opened,
    };
    let mut frames = match opened {
        Ok(frames) => frames,
        Err(error) => return (None, error.to_string()),
    };
    let report = Report::Opened { dial };
    let end = tokio::select! {
        biased;
        code = &mut closing => Err(code.unwrap_or(CloseCode::MEANS_TO_RESUME)),
        end = converse(dial, report, &mut *frames, &mut to_send, reports) => Ok(end),
    };
    match end {
        Ok(end) => end,
        Err(code) => {
            // What was said before the close goes out before it: `bye` above all. A link that takes
            // nothing any more does not hold it up for long: the transport bounds its close, we the rest.
            let last_words = async {
                while let Ok(text) = to_send.try_recv() {
                    if frames.send(text).await.is_err() {
                        break;
                    }
                }
            };
            let _ = tokio::time::timeout(LAST_WORDS_WAIT, last_words).await;
            frames.close(code, "").await;
            (Some(code), "closed by this client".to_owned())
        }
    }
}

async fn converse(
    dial: u64,
    opened: Report,
    frames: &mut dyn Frames,
    to_send: &mut mpsc::Receiver<String>,
    reports: &mpsc::Sender<Report>,
) -> End {
    if reports.send(opened).await.is_err() {
        return (None, "the client is gone".to_owned());
    }
    loop {
        tokio::select! {
            biased;
            Some(text) = to_send.recv() => {
                if let Err(error) = frames.send(text).await {
                    return (None, error.to_string());
                }
            }
            received = frames.recv() => match received {
                Received::Text(text) => {
                    let Ok(frame) = ServerFrame::parse(&text) else {
                        frames.close(CloseCode::MEANS_TO_RESUME, "not JSON").await;
                        return (None, "the server sent something that is not JSON".to_owned());
                    };
                    if reports.send(Report::Received { dial, frame }).await.is_err() {
                        return (None, "the client is gone".to_owned());
                    }
                }
                Received::WantsHello => {
                    if reports.send(Report::Opened { dial }).await.is_err() {
                        return (None, "the client is gone".to_owned());
                    }
                }
                Received::Closed { code, reason } => return (code, reason),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use async_trait::async_trait;
    use bytes::Bytes;

    use super::*;
    use crate::net::NetError;

    /// A network with one transport, on which this comes.
    struct Script(Mutex<VecDeque<Received>>);

    struct Scripted(VecDeque<Received>);

    #[async_trait]
    impl Net for Script {
        async fn open(&self, _: &str) -> Result<Box<dyn Frames>, NetError> {
            let script = std::mem::take(&mut *self.0.lock().unwrap());
            Ok(Box::new(Scripted(script)))
        }

        async fn request(&self, _: http::Request<Bytes>) -> Result<http::Response<Bytes>, NetError> {
            Err(NetError("nothing is asked here".to_owned()))
        }
    }

    #[async_trait]
    impl Frames for Scripted {
        async fn send(&mut self, _: String) -> Result<(), NetError> {
            Ok(())
        }

        async fn recv(&mut self) -> Received {
            match self.0.pop_front() {
                Some(received) => received,
                None => std::future::pending().await,
            }
        }

        async fn close(&mut self, _: CloseCode, _: &str) {}
    }

    #[tokio::test]
    async fn a_transport_that_wants_another_hello_is_opened_again_and_its_end_comes_last() {
        let bye = r#"{"type":"bye","code":4005,"reason":"because"}"#;
        let script = VecDeque::from([
            Received::Text(r#"{"type":"pong","id":1}"#.to_owned()),
            Received::WantsHello,
            Received::Text(bye.to_owned()),
            Received::Closed { code: Some(CloseCode::REPLACED), reason: "because".to_owned() },
        ]);
        let (to, mut reports) = mpsc::channel(8);
        let net = Arc::new(Script(Mutex::new(script)));
        let _dial = open(7, Transport::WebSocket, net, "ws://server.test/v1/connect".to_owned(), to);
        let mut told = Vec::new();
        while let Some(report) = reports.recv().await {
            told.push(match report {
                Report::Opened { dial } => format!("{dial} opened"),
                Report::Received { dial, frame } => {
                    format!("{dial} {}", serde_json::to_string(&frame).unwrap())
                }
                Report::Closed { dial, code, reason } => format!("{dial} {code:?} {reason}"),
            });
        }
        let code = Some(CloseCode::REPLACED);
        let pong = r#"7 {"type":"pong","id":1}"#.to_owned();
        assert_eq!(
            told,
            [
                "7 opened".to_owned(),
                pong,
                "7 opened".to_owned(),
                format!("7 {bye}"),
                format!("7 {code:?} because")
            ]
        );
    }
}
