//! How a client is made.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parlour_proto::{Background, Backoff, ConnectionConfig, Mode, Transport};
use parlour_wire::frames::{ClientInfo, PROTOCOL_VERSION};
use parlour_wire::presence::PresenceSubscription;
use parlour_wire::{AppKey, ErrorCode};
use tokio::sync::{mpsc, watch};

use crate::Error;
use crate::calls::{BaseUrl, Caller, Calls, Endpoint};
use crate::client::{Client, Inner, Shared};
use crate::company::{Door, Network, Place};
use crate::dice::Dice;
use crate::driver::Driver;
use crate::events::Readers;
use crate::net::{Net, TokioNet};
use crate::persistence::Persistence;
use crate::storage::Storage;
use crate::token::TokenProvider;

/// When a call has no answer for this long, it fails with `timeout`.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Events that wait for one reader, at most.
const EVENT_QUEUE_LEN: usize = 4_096;
/// Commands that wait for the driver, at most: it takes each at once, so this is ample.
const COMMANDS_LEN: usize = 256;

/// How a client is made.
pub struct Builder {
    url: String,
    regions: BTreeMap<String, String>,
    app_key: String,
    presence: PresenceSubscription,
    device: Option<String>,
    call_timeout: Duration,
    event_queue_len: usize,
    mode: Mode,
    background: Background,
    background_grace: Duration,
    transports: Vec<Transport>,
    climb_every: Duration,
    storage: Option<Arc<dyn Storage>>,
    token: Option<TokenProvider>,
    proxy: Option<String>,
    net: Option<Arc<dyn Net>>,
    seed: Option<u64>,
}

impl Builder {
    pub(crate) fn new(url: String, app_key: String) -> Self {
        Self {
            url,
            regions: BTreeMap::new(),
            app_key,
            presence: PresenceSubscription::None,
            device: None,
            call_timeout: CALL_TIMEOUT,
            event_queue_len: EVENT_QUEUE_LEN,
            mode: Mode::Auto,
            background: Background::Park,
            background_grace: Duration::ZERO,
            transports: vec![Transport::WebSocket, Transport::EventStream, Transport::LongPoll],
            climb_every: Duration::from_secs(600),
            storage: None,
            token: None,
            proxy: None,
            net: None,
            seed: None,
        }
    }

    /// Servers by the names of their regions: the client's URL may then be one of the names.
    #[must_use]
    pub fn regions<N: Into<String>, U: Into<String>>(
        mut self,
        regions: impl IntoIterator<Item = (N, U)>,
    ) -> Self {
        self.regions = regions.into_iter().map(|(name, url)| (name.into(), url.into())).collect();
        self
    }

    /// Whether the client connects by itself: after a login, with a stored session, and when the app comes back to
    /// the foreground. Default: true. With `false` it connects by [`Client::connect`] and
    /// [`Client::connect_user`] alone, and has a lease of 30 seconds in the background, which each
    /// [`Client::ping`] renews.
    #[must_use]
    pub fn auto_connect(mut self, auto: bool) -> Self {
        self.mode = if auto { Mode::Auto } else { Mode::Manual };
        self
    }

    /// Whether the background ends the connection. Default: it does.
    #[must_use]
    pub fn background(mut self, background: Background) -> Self {
        self.background = background;
        self
    }

    /// How long after the app went to the background it is still connected, when it connects by itself.
    /// Default: not at all.
    #[must_use]
    pub fn background_grace(mut self, grace: Duration) -> Self {
        self.background_grace = grace;
        self
    }

    /// The transports that may be used, the best first. Default: WebSocket, event stream, long-poll.
    #[must_use]
    pub fn transports(mut self, transports: impl Into<Vec<Transport>>) -> Self {
        self.transports = transports.into();
        self
    }

    /// While a worse transport is in use, the better ones are tried again this often. Default: 10 minutes.
    #[must_use]
    pub fn climb_every(mut self, pause: Duration) -> Self {
        self.climb_every = pause;
        self
    }

    /// Where the session, the place in each topic and unsent messages are kept for the next run of the app.
    /// Default: nowhere. One client at a time uses a storage for one user.
    #[must_use]
    pub fn storage(mut self, storage: impl Storage) -> Self {
        self.storage = Some(Arc::new(storage));
        self
    }

    /// Where tokens come from for a session that is restored from the storage. Default: the token that is stored,
    /// for as long as the server takes it.
    #[must_use]
    pub fn token(mut self, provider: impl Into<TokenProvider>) -> Self {
        self.token = Some(provider.into());
        self
    }

    /// An HTTP proxy, for calls and connections: `http://host:port`. Default: none, whatever the environment says.
    #[must_use]
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.proxy = Some(url.into());
        self
    }

    /// Whose presence is told. Default: nobody's.
    #[must_use]
    pub fn presence(mut self, subscription: PresenceSubscription) -> Self {
        self.presence = subscription;
        self
    }

    /// The device's name, shown to the user's other devices.
    #[must_use]
    pub fn device(mut self, name: impl Into<String>) -> Self {
        self.device = Some(name.into());
        self
    }

    /// When a call has no answer for this long, it fails with `timeout`. Default: 10 s. It includes the wait
    /// for the connection's first `ready`. Messages are different: see [`Channel::send_message`].
    #[must_use]
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.call_timeout = timeout;
        self
    }

    /// Events that wait for each reader of [`Client::events`], at most. Default: 4,096.
    #[must_use]
    pub fn event_queue_len(mut self, len: usize) -> Self {
        self.event_queue_len = len;
        self
    }

    /// Another network than the real one: for simulation and tests.
    #[must_use]
    pub fn net(mut self, net: Arc<dyn Net>) -> Self {
        self.net = Some(net);
        self
    }

    /// Makes jitter and ids repeat from run to run: for simulation and tests.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Makes the client. It opens nothing yet.
    ///
    /// # Errors
    /// `invalid_input` for an address that is none or outside of a tokio runtime, `invalid_id` for an app
    /// key that is none.
    pub fn build(self) -> Result<Client, Error> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| {
            Error::because(ErrorCode::InvalidInput, "a client is made within a tokio runtime")
        })?;
        if self.transports.is_empty() {
            return Err(Error::because(ErrorCode::InvalidInput, "a client needs at least one transport"));
        }
        let network = match &self.net {
            Some(net) => Network::Given { at: Arc::as_ptr(net).cast::<()>().addr() },
            None => Network::Real { proxy: self.proxy.clone() },
        };
        let net = match self.net {
            Some(net) => net,
            None => {
                let mut net = TokioNet::builder();
                if let Some(proxy) = self.proxy {
                    net = net.proxy(proxy);
                }
                Arc::new(net.build().map_err(|e| Error::because(ErrorCode::InvalidInput, e.to_string()))?)
            }
        };
        let app_key = AppKey::parse(&self.app_key)?;
        let url = self.regions.get(&self.url).unwrap_or(&self.url);
        let endpoint = Arc::new(Endpoint {
            url: BaseUrl::parse(url)?,
            app_key: app_key.clone(),
            net,
            call_timeout: self.call_timeout,
        });
        let place = Place {
            url: endpoint.url.http(""),
            app_key: app_key.clone(),
            device: self.device.clone(),
            network,
        };
        let dice = Arc::new(Dice::new(self.seed));
        let client = ClientInfo {
            instance: dice.uuid(),
            page: std::process::id().to_string(),
            sdk: "rust".to_owned(),
            version: PROTOCOL_VERSION,
            platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        };
        let config = ConnectionConfig {
            app_key,
            client,
            device: self.device,
            presence: self.presence,
            mode: self.mode,
            background: self.background,
            background_grace_ms: millis(self.background_grace),
            lease_ms: 30_000,
            transports: self.transports,
            stall_ms: 2_500,
            climb_ms: millis(self.climb_every),
            wake_jump_ms: 10_000,
            wake_probe_ms: 3_000,
            dial_timeout_ms: 10_000,
            dead_link_ms: 35_000,
            stable_after_ms: 10_000,
            backoff: Backoff { base_ms: 500, cap_ms: 20_000 },
            retry_now_spread_ms: 300,
            spread_ms: 5_000,
            ui_grace_ms: 2_000,
        };
        let session = watch::Sender::default();
        let readers = Arc::new(Readers::new(self.event_queue_len));
        let calls = Calls { endpoint, caller: Caller::User(session.subscribe()) };
        let shared = Arc::new(Shared::new(calls, session, readers, dice));
        let (commands, inbox) = mpsc::channel(COMMANDS_LEN);
        let persistence = self.storage.map(|storage| {
            let (url, app_key) = (shared.calls.endpoint.url.http(""), shared.calls.endpoint.app_key.as_str());
            Persistence::new(storage, shared.readers.clone(), &url, app_key)
        });
        let stored = persistence.map(|persistence| (persistence, self.token));
        // A simulated device does not sleep by the clock on the wall.
        let sleeps = self.seed.is_none();
        let inner = Inner { shared, commands };
        let place = (place, Door::of(&inner));
        runtime.spawn(Driver::new(inner.shared.clone(), place, config, inbox, stored, sleeps).run());
        Ok(Client { inner: Arc::new(inner) })
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
