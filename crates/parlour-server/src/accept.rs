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

use crate::config::ServerConfig;
use crate::gateway::intake::Intake;
use crate::http::{Crowded, LengthStatedTwice, PeerAddress};
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
    waiting: Waiting,
    address: IpAddr,
    is_held: AtomicBool,
    /// It is known who asks here: what comes is not counted.
    is_somebodys: AtomicBool,
    /// Bytes that are counted.
    bytes: AtomicUsize,
    bytes_max: usize,
    open: Option<Arc<Open>>,
}

/// What connections that only wait hold, by address.
type Waiting = Arc<Mutex<HashMap<IpAddr, Held>>>;

#[derive(Default)]
struct Held {
    connections: usize,
    bytes: usize,
}

impl Pending {
    /// A place of this address; `None`: it has as many as it may.
    fn take(
        waiting: &Waiting,
        address: IpAddr,
        server: &ServerConfig,
        open: Option<Arc<Open>>,
    ) -> Option<Self> {
        let mut all = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let held = all.entry(address).or_default();
        if held.connections >= server.pending_per_address_max {
            return None;
        }
        held.connections += 1;
        drop(all);
        Some(Self::new(waiting, address, true, server, open))
    }

    /// That of a proxy, whose clients have places of their own.
    fn of_proxy(waiting: &Waiting, address: IpAddr, server: &ServerConfig, open: Arc<Open>) -> Self {
        Self::new(waiting, address, false, server, Some(open))
    }

    /// That of a client behind this proxy, for one request and what becomes of it.
    fn of_client(&self, client: IpAddr, server: &ServerConfig) -> Option<Self> {
        Self::take(&self.0.waiting, client, server, self.0.open.clone())
    }

    fn new(
        waiting: &Waiting,
        address: IpAddr,
        is_held: bool,
        server: &ServerConfig,
        open: Option<Arc<Open>>,
    ) -> Self {
        Self(Arc::new(PendingGuard {
            waiting: Arc::clone(waiting),
            address,
            is_held: AtomicBool::new(is_held),
            is_somebodys: AtomicBool::new(!is_held),
            bytes: AtomicUsize::new(0),
            bytes_max: server.pending_bytes_per_address_max,
            open,
        }))
    }

    /// The connection has become a user's: it only waits no longer, whoever else still holds the place.
    pub(crate) fn give_back(&self) {
        self.0.give_back();
    }

    /// It is known who asks here.
    pub(crate) fn is_somebodys(&self) {
        self.0.is_somebodys.store(true, Ordering::Relaxed);
        self.0.forget_bytes();
    }

    /// Bytes came; answers whether there is room for them.
    fn takes(&self, bytes: usize) -> bool {
        let guard = &self.0;
        if guard.is_somebodys.load(Ordering::Relaxed) {
            return true;
        }
        let mut all = guard.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(held) = all.get_mut(&guard.address) else { return true };
        held.bytes += bytes;
        guard.bytes.fetch_add(bytes, Ordering::Relaxed);
        held.bytes <= guard.bytes_max
    }
}

impl Drop for PendingGuard {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl PendingGuard {
    fn give_back(&self) {
        self.is_somebodys.store(true, Ordering::Relaxed);
        self.forget_bytes();
        if !self.is_held.swap(false, Ordering::Relaxed) {
            return;
        }
        let mut all = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = all.get_mut(&self.address) {
            held.connections -= 1;
            if held.connections == 0 {
                all.remove(&self.address);
            }
        }
    }

    /// What came so far has been looked at, or belongs to somebody.
    fn forget_bytes(&self) {
        if self.bytes.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut all = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = self.bytes.swap(0, Ordering::Relaxed);
        if let Some(held) = all.get_mut(&self.address) {
            held.bytes = held.bytes.saturating_sub(bytes);
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
    let waiting = Waiting::default();
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
        let open = Arc::new(Open::one_more(&open));
        let place = match node.proxies.trusts(address) {
            true => Some(Pending::of_proxy(&waiting, address, server, open)),
            false => Pending::take(&waiting, address, server, Some(open)),
        };
        let Some(place) = place else {
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
    let server = node.config.server.clone();
    if let Some(place) = Pending::take(&Waiting::default(), address, &server, None) {
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
    let of_peer = place.clone();
    let takes = move |bytes| of_peer.takes(bytes);
    let answered = place.clone();
    let peer =
        Peer::new(stream, address, stall, intake.clone(), Arc::clone(&doubt), Arc::clone(&node), takes);
    let service = router.map_request(move |mut request: http::Request<hyper::body::Incoming>| {
        let client = node.proxies.client(address, request.headers());
        let is_behind_proxy = client != address.to_canonical();
        let place = match is_behind_proxy {
            true => place.of_client(client, &node.config.server),
            false => Some(place.clone()),
        };
        match place {
            Some(place) => drop(request.extensions_mut().insert(place)),
            None => drop(request.extensions_mut().insert(Crowded)),
        }
        if doubt.falls_on_next() {
            request.extensions_mut().insert(LengthStatedTwice);
        }
        request.extensions_mut().insert(PeerAddress(client));
        request.extensions_mut().insert(intake.clone());
        request.map(axum::body::Body::new)
    });
    let service = service.map_response(move |response| {
        // What came of this request has been looked at; of the next everything is still to be found out.
        answered.0.forget_bytes();
        response
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(wait)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        // Never copied into a buffer first: an answer's body is dropped when it has left, and a poll relies on it.
        .writev(true);
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
