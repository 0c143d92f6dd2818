//! What an app's users are held to: the app's own limits, over those of the configuration.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use parlour_store::{App, AppId, AppMode};
use parlour_wire::limits::{AppLimits, CALLS_PER_MINUTE_MAX, CONNECTIONS_PER_USER_MAX, OnConnectionLimit};
use parlour_wire::{ErrorBody, ErrorCode};

use crate::config::LimitsConfig;

/// What is said on a connection is held to the connection's own limits, also where it comes by a call.
const EXEMPT: &[&str] = &["POST /v1/connections/{id}/frames"];
/// Calls per minute of a user to an endpoint, in production.
const CALLS_PER_MINUTE: u32 = 60;

/// The limits of one app that hold.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct InForce {
    pub(crate) connections_per_user: u32,
    pub(crate) on_connection_limit: OnConnectionLimit,
    /// For each user, endpoint and platform.
    pub(crate) calls: Calls,
    /// For each endpoint.
    pub(crate) app_calls: Calls,
}

/// Calls per minute; 0: not limited.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Calls {
    default: u32,
    by_endpoint: BTreeMap<String, u32>,
}

impl Calls {
    /// `None`: not limited.
    pub(crate) fn of(&self, endpoint: &str) -> Option<u32> {
        let limit = self.by_endpoint.get(endpoint).copied().unwrap_or(self.default);
        (limit > 0 && !EXEMPT.contains(&endpoint)).then_some(limit)
    }

    /// What the app says of an endpoint, or else of all; or else what the configuration says of it, or else of all.
    fn new(
        own: Option<u32>,
        own_by_endpoint: &BTreeMap<String, u32>,
        default: u32,
        by_endpoint: &BTreeMap<String, u32>,
    ) -> Self {
        let configured = if own.is_some() { BTreeMap::new() } else { by_endpoint.clone() };
        let by_endpoint = configured.into_iter().chain(own_by_endpoint.clone()).collect();
        Self { default: own.unwrap_or(default), by_endpoint }
    }
}

impl InForce {
    pub(crate) fn new(config: &LimitsConfig, mode: AppMode, own: &AppLimits) -> Self {
        let (connections, calls) = match mode {
            AppMode::Development => (3, 0),
            AppMode::Production => (50, CALLS_PER_MINUTE),
        };
        let calls = config.calls_per_minute.unwrap_or(calls);
        let app_calls = config.app_calls_per_minute.unwrap_or(0);
        Self {
            connections_per_user: own
                .connections_per_user
                .or(config.connections_per_user)
                .unwrap_or(connections),
            on_connection_limit: own.on_connection_limit.unwrap_or(config.on_connection_limit),
            calls: Calls::new(own.calls_per_minute, &own.calls, calls, &config.calls),
            app_calls: Calls::new(own.app_calls_per_minute, &own.app_calls, app_calls, &config.app_calls),
        }
    }

    /// As they are told.
    pub(crate) fn told(&self) -> AppLimits {
        AppLimits {
            connections_per_user: Some(self.connections_per_user),
            on_connection_limit: Some(self.on_connection_limit),
            calls_per_minute: Some(self.calls.default),
            app_calls_per_minute: Some(self.app_calls.default),
            calls: self.calls.by_endpoint.clone(),
            app_calls: self.app_calls.by_endpoint.clone(),
        }
    }
}

/// Refuses limits that cannot hold.
pub(crate) fn check(limits: &AppLimits) -> Result<(), ErrorBody> {
    let refuse = |why: String| Err(ErrorCode::InvalidInput.because(why));
    if let Some(count) = limits.connections_per_user
        && !(1..=CONNECTIONS_PER_USER_MAX).contains(&count)
    {
        return refuse(format!("`connections_per_user` is {count}; it is 1 to {CONNECTIONS_PER_USER_MAX}."));
    }
    let single = [
        ("calls_per_minute", limits.calls_per_minute),
        ("app_calls_per_minute", limits.app_calls_per_minute),
    ];
    let single = single.into_iter().filter_map(|(name, limit)| Some((name.to_owned(), limit?)));
    let by_endpoint = [("calls", &limits.calls), ("app_calls", &limits.app_calls)];
    let by_endpoint = by_endpoint.into_iter().flat_map(|(name, limits)| {
        limits.iter().map(move |(endpoint, limit)| (format!("{name}[{endpoint:?}]"), *limit))
    });
    if let Some((name, limit)) = single.chain(by_endpoint).find(|(_, limit)| *limit > CALLS_PER_MINUTE_MAX) {
        return refuse(format!(
            "`{name}` is {limit}; it is at most {CALLS_PER_MINUTE_MAX}, and 0 where calls are not to be limited."
        ));
    }
    let named: BTreeSet<&String> = limits.calls.keys().chain(limits.app_calls.keys()).collect();
    if named.is_empty() {
        return Ok(());
    }
    let endpoints = crate::http::endpoints();
    match named.into_iter().find(|named| !endpoints.contains(*named)) {
        None => Ok(()),
        Some(unknown) => {
            let shown: String = unknown.chars().take(100).collect();
            let nearest = endpoints.iter().min_by_key(|known| crate::config::edit_distance(&shown, known));
            let nearest = nearest.map_or_else(String::new, |known| format!(" Did you mean {known:?}?"));
            refuse(format!("There is no endpoint {shown:?}.{nearest}"))
        }
    }
}

/// The limits of all apps.
pub(crate) struct AllLimits {
    config: LimitsConfig,
    own: RwLock<HashMap<AppId, AppLimits>>,
    in_force: RwLock<HashMap<AppId, Arc<InForce>>>,
}

impl AllLimits {
    pub(crate) fn new(config: &LimitsConfig, own: Vec<(AppId, AppLimits)>) -> Self {
        let own = RwLock::new(own.into_iter().collect());
        Self { config: config.clone(), own, in_force: RwLock::default() }
    }

    /// What holds for an app.
    pub(crate) fn of(&self, app: &App) -> Arc<InForce> {
        if let Some(known) = self.in_force.read().unwrap_or_else(PoisonError::into_inner).get(&app.id) {
            return Arc::clone(known);
        }
        // Both under the second lock, so that no older one takes the place of what was set meanwhile.
        let mut in_force = self.in_force.write().unwrap_or_else(PoisonError::into_inner);
        let limits = Arc::new(InForce::new(&self.config, app.mode, &self.own(app.id)));
        in_force.insert(app.id, Arc::clone(&limits));
        limits
    }

    /// What an app says itself.
    pub(crate) fn own(&self, app: AppId) -> AppLimits {
        let own = self.own.read().unwrap_or_else(PoisonError::into_inner);
        own.get(&app).cloned().unwrap_or_default()
    }

    pub(crate) fn set(&self, app: AppId, limits: AppLimits) {
        let mut in_force = self.in_force.write().unwrap_or_else(PoisonError::into_inner);
        self.own.write().unwrap_or_else(PoisonError::into_inner).insert(app, limits);
        in_force.remove(&app);
    }
}
