//! One running server: what every handler and every session shares.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use parlour_proto::SessionConfig;
use parlour_store::{App, AppId, Ledger, Logged, Standing, Store};
use parlour_wire::users::Role;
use parlour_wire::{AppKey, CloseCode, ErrorBody, ErrorCode, Event, Topic, UserId};
use tokio::task::JoinSet;

use crate::auth::Hosted;
use crate::bus::{Bus, BusMessage};
use crate::call_limits::CallLimits;
use crate::clock::Clock;
use crate::config::Config;
use crate::connections::{Connections, LastsBy, NoLongerWelcome, Returns};
use crate::dice::Dice;
use crate::gateway::session_config;
use crate::hub::{Hub, Log};
use crate::limits::AllLimits;
use crate::meter::Meter;
use crate::pace::Pace;
use crate::permissions::Permissions;
use crate::presence::{self, Presence};
use crate::profile::{Learnt, Profiles};
use crate::proxies::Proxies;
use crate::standings::Standings;
use crate::tasks::Tasks;
use crate::typing::Typing;

/// What a server is made of. Clock, dice, bus and store are arguments: that is what lets the simulator hold it.
pub struct Parts {
    pub config: Config,
    pub store: Arc<dyn Store>,
    pub bus: Arc<dyn Bus>,
    pub clock: Clock,
    pub dice: Dice,
}

/// One running server, without its sockets.
pub struct Node {
    pub(crate) config: Config,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) clock: Clock,
    pub(crate) dice: Dice,
    pub(crate) hub: Hub,
    pub(crate) connections: Connections,
    pub(crate) profiles: Arc<Profiles>,
    pub(crate) presence: Presence,
    pub(crate) typing: Typing,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) meter: Meter,
    pub(crate) pace: Pace,
    pub(crate) permissions: Permissions,
    pub(crate) tasks: Tasks,
    pub(crate) limits: AllLimits,
    pub(crate) calls: CallLimits,
    pub(crate) proxies: Proxies,
    pub(crate) standings: Standings,
    apps: RwLock<HashMap<AppKey, Arc<Hosted>>>,
    link_sessions: Arc<SessionConfig>,
    lease_sessions: Arc<SessionConfig>,
    mailboxes: AtomicU64,
    requests: AtomicU64,
    draining: AtomicBool,
}

impl Node {
    /// Makes the node: reads the apps, listens to the store's commits and to the bus.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn new(parts: Parts) -> parlour_store::Result<Arc<Self>> {
        let Parts { config, store, bus, clock, dice } = parts;
        let apps = store
            .apps()
            .await?
            .into_iter()
            .map(|app| (app.key.clone(), Arc::new(Hosted::new(app))))
            .collect();
        let app_limits = store.app_limits().await?;
        let ledger = store.begin_usage().await?;
        let presence = presence::Limits {
            grace: Duration::from_millis(config.limits.presence_grace_ms),
            away_after: Duration::from_millis(config.limits.away_after_ms),
            digest_every: Duration::from_millis(config.limits.presence_digest_ms),
            named_max: config.limits.presence_named_max,
        };
        let node = Arc::new(Self {
            hub: Hub::new(clock.now(), tokio::runtime::Handle::current().metrics().num_workers()),
            profiles: Arc::default(),
            connections: Connections::new(Arc::clone(&ledger)),
            ledger,
            presence: Presence::new(presence),
            typing: Typing::default(),
            meter: Meter::default(),
            tasks: Tasks::default(),
            standings: Standings::default(),
            pace: Pace::new(config.limits.hellos_per_second, config.limits.hellos_burst),
            permissions: Permissions::new(&config.permissions).map_err(parlour_store::StoreError::Backend)?,
            limits: AllLimits::new(&config.limits, app_limits),
            calls: CallLimits::default(),
            // What could not be read was refused with the configuration.
            proxies: Proxies::new(&config.server.trusted_proxies).unwrap_or_default(),
            apps: RwLock::new(apps),
            link_sessions: Arc::new(session_config(&config.limits, LastsBy::Link)),
            lease_sessions: Arc::new(session_config(&config.limits, LastsBy::Lease)),
            mailboxes: AtomicU64::new(1),
            requests: AtomicU64::new(1),
            draining: AtomicBool::new(false),
            config,
            store,
            bus,
            clock,
            dice,
        });
        let bus = Arc::clone(&node.bus);
        node.store.on_commit(Arc::new(move |events| {
            for logged in events {
                bus.publish(BusMessage::Event(Arc::clone(logged)));
            }
        }));
        // Weak: a node that was dropped (the simulator crashes them) must not live on in its bus.
        let hub = Arc::downgrade(&node);
        node.bus.subscribe(Arc::new(move |message| {
            let Some(node) = hub.upgrade() else { return };
            match message {
                BusMessage::Event(logged) => {
                    node.learn(logged);
                    node.hub.deliver(logged);
                }
                BusMessage::Signal { app, topic, frame, except } => {
                    node.hub.signal(*app, topic, frame, *except);
                }
            }
        }));
        Ok(node)
    }

    /// Runs everything that is not asked for by a request: delivery, head checks, presence, typing, metering, retention.
    /// Never returns.
    pub async fn run(self: Arc<Self>) {
        let node = &self;
        let head_checks = async {
            let every = Duration::from_millis(node.config.limits.head_check_ms);
            loop {
                tokio::time::sleep(every).await;
                match node.hub.check_heads(&*node.store, &node.clock).await {
                    Ok(Log::GoesOn) => {}
                    Ok(Log::WentBack) => {
                        let why = "the log went back: an older copy of the database took its place";
                        tracing::error!("{why}; everybody resumes");
                        node.connections.end_all(CloseCode::STATE_INVALID, why);
                    }
                    Err(error) => tracing::warn!(%error, "the heads could not be looked at"),
                }
            }
        };
        let key_uses = async {
            loop {
                tokio::time::sleep(Duration::from_secs(60)).await;
                if let Err(error) = node.record_used_keys().await {
                    tracing::warn!(%error, "when the keys were last used could not be recorded");
                }
            }
        };
        let retention = async {
            loop {
                tokio::time::sleep(Duration::from_secs(3_600)).await;
                if let Err(error) = node.store.trim(crate::retention(&node.config, node.clock.now())).await {
                    tracing::warn!(%error, "old events could not be trimmed");
                }
                if let Err(error) = node.store.forget_tasks(crate::tasks_kept_from(node.clock.now())).await {
                    tracing::warn!(%error, "old tasks could not be forgotten");
                }
            }
        };
        let mut lanes = JoinSet::new();
        for lane in node.hub.lanes() {
            lanes.spawn(lane);
        }
        tokio::join!(
            lanes.join_all(),
            head_checks,
            retention,
            key_uses,
            node.presence.run(&node.clock, &*node.store),
            node.typing.run(&*node.bus),
            node.meter.run(&*node.store, &node.ledger, &node.clock),
            node.tasks.run(&*node.store, &node.clock),
        );
    }

    /// Takes what an event says of a user into account, at once and on all of the user's connections.
    pub(crate) fn learn(&self, logged: &Logged) {
        if let Some(event) = logged.event.known() {
            self.standings.heard(logged.app, &logged.topic, event);
        }
        let user = match (logged.event.known(), &logged.topic) {
            (Some(Event::UserUpdated { user, .. }), _) => user,
            (
                Some(Event::AddedToChannel { cid, .. } | Event::RemovedFromChannel { cid, .. }),
                Topic::User(user),
            ) if cid.id.is_of_members() => return self.presence.friends_changed(logged.app, user),
            _ => return,
        };
        match self.profiles.learn(logged.app, user, logged.seq) {
            Learnt::Older => return,
            Learnt::Face(face) if !face.shows_typing => {
                self.typing.hide(&*self.bus, logged.app, &user.id);
            }
            Learnt::Face(_) | Learnt::Nobody => {}
        }
        if self.presence.user_changed(logged.app, user) {
            // What its sessions listen to may rest on what it was: they begin again with what it is.
            let (code, why) = (CloseCode::STATE_INVALID, "the user has another role, or is of other teams");
            self.connections.end_user(logged.app, &user.id, code, why);
        }
    }

    /// The app with this key.
    pub(crate) fn app(&self, key: &AppKey) -> Result<Arc<App>, ErrorBody> {
        Ok(Arc::clone(&self.hosted(key)?.app))
    }

    /// The same with the keys of its tokens.
    pub(crate) fn hosted(&self, key: &AppKey) -> Result<Arc<Hosted>, ErrorBody> {
        let apps = self.apps.read().unwrap_or_else(PoisonError::into_inner);
        apps.get(key)
            .cloned()
            .ok_or_else(|| ErrorCode::UnknownApp.because(format!("No app has the key {key}.")))
    }

    /// The app as it is stored now; from here on its tokens are judged by that.
    pub(crate) async fn read_anew(&self, app: &App) -> parlour_store::Result<Arc<App>> {
        self.record_used_keys().await?;
        let before = self.hosted(&app.key).ok();
        let hosted = Arc::new(Hosted::after(self.store.app(app.id).await?, before.as_deref()));
        let read = Arc::clone(&hosted.app);
        self.apps.write().unwrap_or_else(PoisonError::into_inner).insert(app.key.clone(), hosted);
        Ok(read)
    }

    /// Records when the keys were last used: a token is no write.
    async fn record_used_keys(&self) -> parlour_store::Result<()> {
        let apps: Vec<Arc<Hosted>> =
            self.apps.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for hosted in apps {
            let used = hosted.keys.take_used();
            if !used.is_empty() {
                self.store.keys_used(hosted.app.id, used).await?;
            }
        }
        Ok(())
    }

    /// The app that the configuration names: the one that is made at first start.
    pub(crate) fn first_app(&self) -> Result<Arc<App>, ErrorBody> {
        let key = self.config.app.key.as_deref().and_then(|key| AppKey::parse(key).ok());
        self.app(&key.ok_or_else(|| ErrorCode::UnknownApp.error())?)
    }

    /// What the sessions of connections that last by this are held to.
    pub(crate) fn session_config(&self, lasts_by: LastsBy) -> Arc<SessionConfig> {
        Arc::clone(match lasts_by {
            LastsBy::Link => &self.link_sessions,
            LastsBy::Lease => &self.lease_sessions,
        })
    }

    pub(crate) fn next_mailbox(&self) -> u64 {
        self.mailboxes.fetch_add(1, Ordering::Relaxed)
    }

    /// A request's name in the log.
    pub(crate) fn next_request(&self) -> String {
        format!("r{}", self.requests.fetch_add(1, Ordering::Relaxed))
    }

    /// Whether the server goes away and takes nobody new.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Takes nobody new from now on, and sends everybody away.
    pub(crate) fn drain(&self) {
        // First this: whoever comes in between is either told with the others or finds it set.
        self.draining.store(true, Ordering::Release);
        self.connections.drain(self.returns(), self.clock.millis());
    }

    /// When those who are sent away because the server stops may come back.
    pub(crate) fn returns(&self) -> Returns {
        let server = &self.config.server;
        let default_ms = if self.config.is_development() { 0 } else { 30_000 };
        Returns { from_ms: server.restart_ms, window_ms: server.drain_window_ms.unwrap_or(default_ms) }
    }

    /// The turn to come back of somebody who came while the server was about to stop.
    pub(crate) fn late_turn(&self) -> u32 {
        self.returns().turn(self.dice.fraction())
    }

    /// How the user stands.
    pub(crate) async fn standing(&self, app: AppId, user: &UserId) -> parlour_store::Result<Arc<Standing>> {
        if user.is_anonymous() {
            return Ok(Arc::new(Standing { role: Role::Anonymous, ..Standing::default() }));
        }
        self.standings.of(&*self.store, &self.clock, app, user).await
    }

    /// Ends the connections of a user who may do nothing from now on; returns when nothing more is told to it.
    pub(crate) async fn cut_off(&self, app: AppId, user: &UserId, error: ErrorBody) {
        let (user, code) = (Some(user), CloseCode::USER_BANNED);
        let whom = NoLongerWelcome { app, user, issued_before: None, code, error };
        self.connections.cut(&whom, self.clock.now()).await;
    }

    /// Records what is not recorded yet.
    pub(crate) async fn settle(&self) {
        self.meter.record(&*self.store, &self.ledger, &self.clock).await;
        if let Err(error) = self.record_used_keys().await {
            tracing::warn!(%error, "when the keys were last used could not be recorded");
        }
    }
}
