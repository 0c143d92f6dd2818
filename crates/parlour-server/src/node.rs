//! One running server: what every handler and every session shares.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use parlour_proto::SessionConfig;
use parlour_store::{App, AppMode, Logged, Store};
use parlour_wire::{AppKey, CloseCode, ErrorBody, ErrorCode, Event};
use tokio::task::JoinSet;

use crate::bus::{Bus, BusMessage};
use crate::clock::Clock;
use crate::config::Config;
use crate::connections::{Connections, LastsBy, Returns};
use crate::dice::Dice;
use crate::gateway::session_config;
use crate::hub::{Hub, Log};
use crate::inactive::Inactive;
use crate::meter::Meter;
use crate::pace::Pace;
use crate::presence::Presence;
use crate::profile::{Learnt, Profiles};
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
    pub(crate) meter: Meter,
    pub(crate) pace: Pace,
    pub(crate) inactive: Inactive,
    pub(crate) tasks: Tasks,
    apps: RwLock<HashMap<AppKey, Arc<App>>>,
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
        let apps = store.apps().await?.into_iter().map(|app| (app.key.clone(), Arc::new(app))).collect();
        let grace = Duration::from_millis(config.limits.presence_grace_ms);
        let away_after = Duration::from_millis(config.limits.away_after_ms);
        let node = Arc::new(Self {
            hub: Hub::new(clock.now(), tokio::runtime::Handle::current().metrics().num_workers()),
            connections: Connections::default(),
            profiles: Arc::default(),
            presence: Presence::new(grace, away_after),
            typing: Typing::default(),
            meter: Meter::default(),
            inactive: Inactive::default(),
            tasks: Tasks::default(),
            pace: Pace::new(config.limits.hellos_per_second, config.limits.hellos_burst),
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
                    if let Some(user) =
                        logged.event.known().and_then(|event| node.inactive.heard(logged.app, event))
                    {
                        let why = "the user was deactivated, or deleted";
                        node.connections.end_user(logged.app, user, CloseCode::USER_BANNED, why);
                    }
                    node.hub.deliver(logged);
                }
                BusMessage::Signal { app, topic, frame, except } => {
                    node.hub.signal(*app, topic, frame, *except);
                }
            }
        }));
        // After it began to listen, for what becomes of users in between.
        node.inactive.know(node.store.inactive_users().await?);
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
            node.presence.run(&node.clock),
            node.typing.run(&*node.bus),
            node.meter.run(&*node.store, &node.connections, &node.clock),
            node.tasks.run(&*node.store, &node.clock),
        );
    }

    /// Takes what an event says of a user into account, at once and on all of the user's connections.
    pub(crate) fn learn(&self, logged: &Logged) {
        let Some(Event::UserUpdated { user, .. }) = logged.event.known() else { return };
        match self.profiles.learn(logged.app, user, logged.seq) {
            Learnt::Older => return,
            Learnt::Face(face) if !face.shows_typing => {
                self.typing.hide(&*self.bus, logged.app, &user.id);
            }
            Learnt::Face(_) | Learnt::Nobody => {}
        }
        if self.presence.user_changed(logged.app, user) {
            let why = "the user is of other teams now";
            self.connections.end_user(logged.app, &user.id, CloseCode::STATE_INVALID, why);
        }
    }

    /// The app with this key.
    pub(crate) fn app(&self, key: &AppKey) -> Result<Arc<App>, ErrorBody> {
        let apps = self.apps.read().unwrap_or_else(PoisonError::into_inner);
        apps.get(key)
            .cloned()
            .ok_or_else(|| ErrorCode::UnknownApp.because(format!("No app has the key {key}.")))
    }

    /// The app that the configuration names: the one that is made at first start.
    pub(crate) fn first_app(&self) -> Result<Arc<App>, ErrorBody> {
        let key = self.config.app.key.as_deref().and_then(|key| AppKey::parse(key).ok());
        self.app(&key.ok_or_else(|| ErrorCode::UnknownApp.error())?)
    }

    pub(crate) fn connections_per_user(&self, app: &App) -> u32 {
        self.config.limits.connections_per_user.unwrap_or(match app.mode {
            AppMode::Development => 3,
            AppMode::Production => 50,
        })
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

    /// Records what is not recorded yet.
    pub(crate) async fn settle(&self) {
        self.meter.record(&*self.store, &self.connections, &self.clock).await;
    }
}
