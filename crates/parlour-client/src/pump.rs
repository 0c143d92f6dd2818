//! One transport of the driver: a task that opens it, moves frames both ways, and ends with it.

use std::sync::Arc;

use parlour_wire::{ClientFrame, CloseCode, Open, ServerFrame};
use tokio::sync::{mpsc, oneshot};

use crate::net::{Frames, Net, Received};

/// Frames that wait to be written. A client writes few; when these wait, the link does not take any.
const OUTGOING_LEN: usize = 256;

/// What a transport tells the driver.
pub(crate) enum Report {
    Opened { dial: u64 },
    Received { dial: u64, frame: Open<ServerFrame> },
    Closed { dial: u64, code: Option<CloseCode>, reason: String },
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
pub(crate) fn open(dial: u64, net: Arc<dyn Net>, url: String, reports: mpsc::Sender<Report>) -> Dial {
    let (outgoing, to_send) = mpsc::channel(OUTGOING_LEN);
    let (close, closing) = oneshot::channel();
    tokio::spawn(async move {
        let (code, reason) = run(dial, net, url, to_send, closing, &reports).await;
        let _ = reports.send(Report::Closed { dial, code, reason }).await;
    });
    Dial { outgoing, close: Some(close) }
}

type End = (Option<CloseCode>, String);

async fn run(
    dial: u64,
    net: Arc<dyn Net>,
    url: String,
    mut to_send: mpsc::Receiver<String>,
    mut closing: oneshot::Receiver<CloseCode>,
    reports: &mpsc::Sender<Report>,
) -> End {
    let opened = tokio::select! {
        biased;
        _ = &mut closing => return (None, "given up".to_owned()),
        opened = net.open(&url) => opened,
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
            let _ = tokio::time::timeout(std::time::Duration::from_millis(500), last_words).await;
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
                Received::Closed { code, reason } => return (code, reason),
            }
        }
    }
}
