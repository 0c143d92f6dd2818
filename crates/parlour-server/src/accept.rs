//! The accept loop: who may open a TCP connection, and how long each may take to say something.
//!
//! hyper reads requests; what it does not do is ours: a deadline for the first byte, a cap per address and in
//! all; and on each connection ([`peer`]) an end for those who take their answer too slowly, a refusal of heads
//! that can be read in two ways ([`heads`]), and an error that says what was wrong.

mod heads;
mod peer;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower::ServiceExt;

use crate::gateway::intake::Intake;
use crate::http::{LengthStatedTwice, PeerAddress};
use crate::node::Node;
use heads::Doubt;
pub(crate) use peer::Peer;

/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 100;
/// When the server stops, requests under way have this long to end.
const STOP_WAIT: Duration = Duration::from_secs(5);

/// A place among the connections of one address that only wait, given back at the latest when it is dropped everywhere;
/// and one among all that are open, until then: an upgraded connection outlives the requests on it.
#[derive(Clone)]
pub struct Pending(Arc<PendingGuard>);

struct PendingGuard {
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
    address: IpAddr,
    is_held: AtomicBool,
    _open: Open,
}

impl Pending {
    /// The connection has become a user's: it only waits no longer, whoever else still holds the place.
    pub(crate) fn give_back(&self) {
        self.0.give_back();
    }
}

impl Drop for PendingGuard {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl PendingGuard {
    fn give_back(&self) {
        if !self.is_held.swap(false, Ordering::Relaxed) {
            return;
        }
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

/// Takes connections until `stop` says so; then ends those that idle, and waits a little for the others.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    node: Arc<Node>,
    mut stop: watch::Receiver<bool>,
) {
    let pending: Arc<Mutex<HashMap<IpAddr, usize>>> = Arc::default();
    let open = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stop) => break,
            Some(_) = tasks.join_next() => continue,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most often: wait for some to be given back.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let address = peer.ip();
        let server = &node.config.server;
        if open.load(Ordering::Relaxed) >= server.connections_max {
            tracing::warn!(%address, "refused: as many connections are open as `server.connections_max` allows");
            continue;
        }
        let pending_max = server.pending_per_address_max;
        let Some(place) = take_place(&pending, address, pending_max, Open::one_more(&open)) else {
            tracing::warn!(%address, "refused: too many connections of this address only wait");
            continue;
        };
        let (router, node, stop) = (router.clone(), Arc::clone(&node), stop.clone());
        tasks.spawn(serve_connection(stream, address, place, router, node, stop));
    }
    drop(listener);
    let _ = tokio::time::timeout(STOP_WAIT, async { while tasks.join_next().await.is_some() {} }).await;
}

/// Serves one stream that was not accepted here, until it ends: for who holds the server without sockets.
pub async fn serve_stream<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    node: Arc<Node>,
    router: Router,
    stream: S,
    address: IpAddr,
) {
    let (_never, stop) = watch::channel(false);
    if let Some(place) = take_place(&Arc::default(), address, 1, Open::one_more(&Arc::default())) {
        speak(stream, address, place, router, node, stop).await;
    }
}

/// Returns when the server is to stop (or nobody is left to say so).
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// One of all connections that are open.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn one_more(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(open))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn take_place(
    counts: &Arc<Mutex<HashMap<IpAddr, usize>>>,
    address: IpAddr,
    max: usize,
    open: Open,
) -> Option<Pending> {
    let mut held = counts.lock().unwrap_or_else(PoisonError::into_inner);
    let count = held.entry(address).or_default();
    if *count >= max {
        return None;
    }
    *count += 1;
    Some(Pending(Arc::new(PendingGuard {
        counts: Arc::clone(counts),
        address,
        is_held: AtomicBool::new(true),
        _open: open,
    })))
}

async fn serve_connection(
    stream: TcpStream,
    address: IpAddr,
    place: Pending,
    router: Router,
    node: Arc<Node>,
    stop: watch::Receiver<bool>,
) {
    let wait = Duration::from_millis(node.config.limits.request_wait_ms);
    if stream.set_nodelay(true).is_err() {
        return;
    }
    // hyper's own timer begins with the first byte; a connection that never says one would stay for ever.
    let mut first = [0];
    if !matches!(tokio::time::timeout(wait, stream.peek(&mut first)).await, Ok(Ok(1))) {
        return;
    }
    speak(stream, address, place, router, node, stop).await;
}

/// Speaks HTTP, and whatever a request makes of it, on one stream.
async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    address: IpAddr,
    place: Pending,
    router: Router,
    node: Arc<Node>,
    mut stop: watch::Receiver<bool>,
) {
    let wait = Duration::from_millis(node.config.limits.request_wait_ms);
    let stall = Duration::from_millis(node.config.limits.slow_reader_ms) + Duration::from_secs(5);
    let doubt = Arc::<Doubt>::default();
    let intake = Intake::default();
    let peer = Peer::new(stream, address, stall, intake.clone(), Arc::clone(&doubt), node);
    let service = router.map_request(move |mut request: http::Request<hyper::body::Incoming>| {
        if doubt.falls_on_next() {
            request.extensions_mut().insert(LengthStatedTwice);
        }
        request.extensions_mut().insert(PeerAddress(address));
        request.extensions_mut().insert(place.clone());
        request.extensions_mut().insert(intake.clone());
        request.map(axum::body::Body::new)
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(wait)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX);
    let connection =
        http.serve_connection(TokioIo::new(peer), TowerToHyperService::new(service)).with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%address, %error, "a connection ended early");
    }
}
