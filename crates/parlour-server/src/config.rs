//! What the server is told: defaults, then `parlour.toml`, then `PARLOUR_SECTION__KEY`, then flags.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use serde::{Deserialize, Serialize};

use crate::permissions::Permissions;
use crate::proxies::Proxies;

/// `[permissions]`, by channel type (`*`: the app, and types where nothing is said): by the right's name, the ranks
/// that have it.
pub type PermissionsConfig = BTreeMap<String, BTreeMap<String, Vec<String>>>;

/// Everything that can be set. Unknown keys are an error that names the nearest known one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub server: ServerConfig,
    pub storage: StorageConfig,
    pub app: AppConfig,
    pub limits: LimitsConfig,
    /// Who may do what, where it is not the default: `[permissions.<channel type>]`, or `[permissions."*"]` for the
    /// app and all types, each with rights and the ranks that have them.
    #[serde(default)]
    pub permissions: PermissionsConfig,
    pub log: LogConfig,
}

/// `[server]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Origins of pages that may call from a browser, such as `https://chat.example.com`. A development app
    /// also takes every origin on this machine.
    pub allowed_origins: Vec<String>,
    /// Open TCP connections in all; further ones are closed at once.
    pub connections_max: usize,
    /// Open TCP connections of one address, but for WebSockets and event streams of users who have said `hello`. Raise it where
    /// a proxy keeps many HTTP connections open, many clients poll, or many who are anonymous watch from one address.
    pub pending_per_address_max: usize,
    /// Bytes that the TCP connections of one address may have sent together in requests of which nobody knows yet who
    /// asks; the one that goes beyond it is closed.
    pub pending_bytes_per_address_max: usize,
    /// Proxies in front, as addresses (`10.0.0.1`) or networks (`10.0.0.0/8`). What they say in `X-Forwarded-For` is
    /// where their clients are; nobody else is believed.
    pub trusted_proxies: Vec<String>,
    /// When the server stops, those who were connected are told to come back over this time, each at a turn of its
    /// own. 0: at once. Absent: 30 s in production, 0 in development.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain_window_ms: Option<u64>,
    /// How long a restart is expected to take: the first turn is after it.
    pub restart_ms: u64,
    /// Whether the demo is served at `/demo/`. Absent: while developing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub demo: Option<bool>,
}

/// `[storage]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageConfig {
    /// The folder of the database and the app's key; absent: in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// `full`: an acknowledged write survives the loss of power. `normal`: it may not (faster).
    pub synchronous: SynchronousSetting,
    /// Days for which events are kept for replay.
    pub event_days: u32,
    /// Events kept per topic for replay.
    pub events_per_topic: u64,
}

/// How surely a commit is on the disk before it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SynchronousSetting {
    Full,
    Normal,
}

/// `[app]`: the app that is made at first start.
#[derive(Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppConfig {
    /// Absent: made up and kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Signs tokens; at least 32 characters. Absent: made up and kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// A file that holds the secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    /// `development` or `production`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
}

impl std::fmt::Debug for AppConfig {
    // The secret stays out of every log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AppConfig").field("key", &self.key).field("mode", &self.mode).finish_non_exhaustive()
    }
}

/// Whether the app is being developed or used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Development,
    Production,
}

/// `[limits]`: the defaults are those of the connection's life cycle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsConfig {
    /// Absent: 3 in development, 50 in production.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections_per_user: Option<u32>,
    /// `evict`: the stalest makes room for the newcomer. `refuse`: the newcomer is told why it is not let in (4009).
    pub on_connection_limit: OnConnectionLimit,
    /// On the limit, connections that have been silent are asked whether they are there; those that do not answer for
    /// this long are dead and hold no place.
    pub probe_wait_ms: u64,
    /// When a TCP connection has not sent its first byte, or not finished its headers or its body, for this long, it is closed.
    pub request_wait_ms: u64,
    /// When a connection has not said `hello` for this long, it is closed.
    pub hello_wait_ms: u64,
    /// Between two pings of the server.
    pub heartbeat_ms: u64,
    /// For the answer to a ping.
    pub pong_wait_ms: u64,
    /// When a client has heard nothing for this long, it takes the link for dead.
    pub dead_link_ms: u64,
    /// In which an ended token can be replaced on the connection.
    pub token_grace_ms: u64,
    /// The longest background lease that a client may ask for.
    pub lease_max_ms: u64,
    /// When a background lease ended this long ago without a ping, the connection is closed.
    pub lease_grace_ms: u64,
    /// Calls per minute of a user to each endpoint, from each platform. Absent: 60 in production, not limited in
    /// development. 0: not limited. An app can say otherwise for itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls_per_minute: Option<u32>,
    /// Calls per minute of all users of an app together, to each endpoint. Absent or 0: not limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_calls_per_minute: Option<u32>,
    /// The first for single endpoints: `"POST /v1/channels" = 30`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub calls: BTreeMap<String, u32>,
    /// The second for single endpoints.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub app_calls: BTreeMap<String, u32>,
    /// Frames that a client may send, per second and at once.
    pub frames_per_second: u32,
    pub frames_burst: u32,
    /// Dials per minute and at once, for one user and client instance; none in development.
    pub dials_per_minute: u32,
    pub dials_burst: u32,
    /// Connections that are let in, per second and at once; others are told when to come.
    pub hellos_per_second: u32,
    pub hellos_burst: u32,
    /// Bytes of events that wait for one connection; beyond it they are loaded from the store when it reads again.
    pub queue_bytes_max: usize,
    /// When events wait and a connection has taken nothing for this long, it is closed.
    pub slow_reader_ms: u64,
    /// Missed events of one topic that a resume replays.
    pub replay_max: u64,
    /// How long a poll waits for something to happen; shorter than `dead_link_ms`.
    pub poll_hold_ms: u64,
    /// When a poll was answered and the next does not come for this long, the connection is lost.
    pub poll_lease_ms: u64,
    /// Bytes of a request's body.
    pub body_bytes_max: usize,
    /// Between two looks at the heads of the topics that are listened to.
    pub head_check_ms: u64,
    /// When a user's last connection broke, she is offline after this long.
    pub presence_grace_ms: u64,
    /// When none of a user's connections is in the foreground for this long, she is away.
    pub away_after_ms: u64,
    /// Between two digests of who is there.
    pub presence_digest_ms: u64,
    /// The most users that a subscription is told of by name; where more are there, it is told how many.
    pub presence_named_max: usize,
}

pub use parlour_wire::limits::OnConnectionLimit;

/// `[log]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,parlour_server=debug`.
    pub level: String,
    /// `auto` (pretty on a terminal, else JSON), `pretty` or `json`.
    pub format: LogFormat,
}

impl LogConfig {
    /// The level as a filter. The WebSocket codec prints whole frames at its lowest level, tokens and all: it is
    /// never heard there.
    pub fn filter(&self) -> String {
        format!("{},tungstenite=debug", self.level)
    }
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Auto,
    Pretty,
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            server: ServerConfig {
                listen: SocketAddr::from(([127, 0, 0, 1], 8790)),
                allowed_origins: Vec::new(),
                connections_max: 18_000,
                pending_per_address_max: 1_024,
                pending_bytes_per_address_max: 16 << 20,
                trusted_proxies: Vec::new(),
                drain_window_ms: None,
                restart_ms: 3_000,
                demo: None,
            },
            storage: StorageConfig {
                data_dir: None,
                synchronous: SynchronousSetting::Full,
                event_days: 30,
                events_per_topic: 10_000,
            },
            app: AppConfig::default(),
            limits: LimitsConfig {
                connections_per_user: None,
                on_connection_limit: OnConnectionLimit::Evict,
                probe_wait_ms: 1_000,
                request_wait_ms: 10_000,
                hello_wait_ms: 10_000,
                heartbeat_ms: 25_000,
                pong_wait_ms: 8_000,
                dead_link_ms: 35_000,
                token_grace_ms: 30_000,
                lease_max_ms: 600_000,
                lease_grace_ms: 5_000,
                calls_per_minute: None,
                app_calls_per_minute: None,
                calls: BTreeMap::new(),
                app_calls: BTreeMap::new(),
                frames_per_second: 20,
                frames_burst: 60,
                dials_per_minute: 30,
                dials_burst: 10,
                hellos_per_second: 2_000,
                hellos_burst: 4_000,
                queue_bytes_max: 1 << 20,
                slow_reader_ms: 30_000,
                replay_max: 300,
                poll_hold_ms: 25_000,
                poll_lease_ms: 15_000,
                body_bytes_max: 1 << 20,
                head_check_ms: 5_000,
                presence_grace_ms: 15_000,
                away_after_ms: 300_000,
                presence_digest_ms: 60_000,
                presence_named_max: 1_000,
            },
            permissions: PermissionsConfig::new(),
            log: LogConfig { level: "info".to_owned(), format: LogFormat::Auto },
        }
    }
}

/// What is wrong with the configuration, naming key and source.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{0}")]
    Wrong(String),
    #[error("the file {path} named by {key} cannot be read: {source}")]
    SecretFile { key: &'static str, path: PathBuf, source: std::io::Error },
}

impl Config {
    /// Reads the configuration: defaults, then `file` (or `parlour.toml` where there is one), then the environment.
    ///
    /// # Errors
    /// An unknown key, a value of the wrong kind, a file that is named and not there.
    pub fn read(file: Option<&Path>) -> Result<Self, ConfigError> {
        let mut figment = Figment::from(Serialized::defaults(Self::default()));
        figment = match file {
            Some(path) if !path.exists() => {
                return Err(ConfigError::Wrong(format!(
                    "the configuration file {} does not exist",
                    path.display()
                )));
            }
            Some(path) => figment.merge(Toml::file_exact(path)),
            None if Path::new("parlour.toml").exists() => figment.merge(Toml::file_exact("parlour.toml")),
            None => figment,
        };
        // The two settings of a headless start have short names, too.
        let short = Env::prefixed("PARLOUR_APP_").only(&["key", "secret", "secret_file"]);
        figment = figment.merge(short.map(|key| format!("app.{key}").into()));
        figment =
            figment.merge(Env::prefixed("PARLOUR_").filter(|key| key.as_str().contains("__")).split("__"));
        let mut config: Self = figment.extract().map_err(|error| ConfigError::Wrong(explain(&error)))?;
        if let Some(path) = config.app.secret_file.clone() {
            let secret = std::fs::read_to_string(&path).map_err(|source| ConfigError::SecretFile {
                key: "app.secret_file",
                path,
                source,
            })?;
            config.app.secret = Some(secret.trim().to_owned());
        }
        config.check()?;
        Ok(config)
    }

    /// Whether the app is being developed.
    pub(crate) fn is_development(&self) -> bool {
        self.app.mode == Some(Mode::Development)
    }

    /// Whether the demo is served.
    pub fn serves_demo(&self) -> bool {
        self.server.demo.unwrap_or(self.is_development())
    }

    /// Refuses what would not work.
    ///
    /// # Errors
    /// Names the key, the value and what would be accepted.
    pub fn check(&self) -> Result<(), ConfigError> {
        let wrong = |text: String| Err(ConfigError::Wrong(text));
        if let Some(secret) = &self.app.secret
            && secret.len() < 32
        {
            let len = secret.len();
            return wrong(format!(
                "app.secret has {len} characters; at least 32 are needed, such as the output of `openssl rand -hex 32`"
            ));
        }
        if let Some(key) = &self.app.key
            && let Err(error) = parlour_wire::AppKey::parse(key)
        {
            return wrong(format!("app.key: {error}"));
        }
        if let Err(why) = Permissions::new(&self.permissions) {
            return wrong(why);
        }
        let limits = &self.limits;
        let positive = [
            ("limits.request_wait_ms", limits.request_wait_ms),
            ("limits.hello_wait_ms", limits.hello_wait_ms),
            ("limits.heartbeat_ms", limits.heartbeat_ms),
            ("limits.pong_wait_ms", limits.pong_wait_ms),
            ("limits.probe_wait_ms", limits.probe_wait_ms),
            ("limits.dead_link_ms", limits.dead_link_ms),
            ("limits.slow_reader_ms", limits.slow_reader_ms),
            ("limits.head_check_ms", limits.head_check_ms),
            ("limits.poll_hold_ms", limits.poll_hold_ms),
            ("limits.poll_lease_ms", limits.poll_lease_ms),
            ("limits.presence_digest_ms", limits.presence_digest_ms),
            ("limits.frames_per_second", u64::from(limits.frames_per_second)),
            ("limits.hellos_per_second", u64::from(limits.hellos_per_second)),
            ("limits.hellos_burst", u64::from(limits.hellos_burst)),
            ("limits.frames_burst", u64::from(limits.frames_burst)),
            ("limits.connections_per_user", u64::from(limits.connections_per_user.unwrap_or(1))),
            ("limits.queue_bytes_max", limits.queue_bytes_max as u64),
            ("limits.body_bytes_max", limits.body_bytes_max as u64),
            ("server.connections_max", self.server.connections_max as u64),
            ("server.pending_bytes_per_address_max", self.server.pending_bytes_per_address_max as u64),
        ];
        if let Some((key, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return wrong(format!("{key} is 0; it has to be at least 1"));
        }
        let calls = parlour_wire::limits::AppLimits {
            connections_per_user: limits.connections_per_user,
            calls_per_minute: limits.calls_per_minute,
            app_calls_per_minute: limits.app_calls_per_minute,
            calls: limits.calls.clone(),
            app_calls: limits.app_calls.clone(),
            on_connection_limit: None,
        };
        if let Err(error) = crate::limits::check(&calls) {
            return wrong(format!("limits: {}", error.message));
        }
        if limits.dead_link_ms <= limits.heartbeat_ms {
            let (dead, beat) = (limits.dead_link_ms, limits.heartbeat_ms);
            return wrong(format!(
                "limits.dead_link_ms ({dead}) has to be longer than limits.heartbeat_ms ({beat}): else every quiet link is taken for dead"
            ));
        }
        if limits.dead_link_ms <= limits.poll_hold_ms {
            let (dead, hold) = (limits.dead_link_ms, limits.poll_hold_ms);
            return wrong(format!(
                "limits.dead_link_ms ({dead}) has to be longer than limits.poll_hold_ms ({hold}): else every quiet poll is taken for dead"
            ));
        }
        if let Err(error) = Proxies::new(&self.server.trusted_proxies) {
            return wrong(format!("server.trusted_proxies: {error}"));
        }
        for origin in &self.server.allowed_origins {
            let plain = origin.starts_with("http://") || origin.starts_with("https://");
            if !plain || origin.ends_with('/') {
                return wrong(format!(
                    "server.allowed_origins: {origin:?} is no origin; write scheme, host and port only, such as \"https://chat.example.com\""
                ));
            }
        }
        Ok(())
    }
}

/// Figment's words, with the nearest known key where one is unknown.
fn explain(error: &figment::Error) -> String {
    let mut lines = Vec::new();
    for error in error.clone() {
        let from = error.metadata.as_ref().map_or_else(String::new, |m| format!(" (from {})", m.name));
        let line = match &error.kind {
            figment::error::Kind::UnknownField(found, known) => {
                let mut path = error.path.clone();
                if path.last().is_some_and(|last| last == found) {
                    path.pop();
                }
                path.push(found.clone());
                let nearest = known.iter().min_by_key(|name| edit_distance(found, name));
                let hint = nearest.map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
                format!("unknown setting `{}`{from}{hint}", path.join("."))
            }
            kind => format!("setting `{}`{from}: {kind}", error.path.join(".")),
        };
        lines.push(line);
    }
    lines.join("\n")
}

/// How many letters to add, remove or change to get from one word to the other.
pub(crate) fn edit_distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.chars().enumerate() {
            let change = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[row.len() - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(toml: &str) -> Result<Config, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), toml).unwrap();
        Config::read(Some(file.path())).map_err(|error| error.to_string())
    }

    #[test]
    fn an_unknown_key_names_the_nearest_known_one() {
        let error = read("[server]\nlissten = \"127.0.0.1:1\"").unwrap_err();
        assert!(error.contains("server.lissten") && error.contains("did you mean `listen`?"), "{error}");
    }

    #[test]
    fn a_file_overrides_defaults_and_leaves_the_rest() {
        let config = read("[limits]\nheartbeat_ms = 1000").unwrap();
        assert_eq!(config.limits.heartbeat_ms, 1_000);
        assert_eq!(config.limits.pong_wait_ms, 8_000);
    }

    #[test]
    fn defaults_are_those_of_the_lifecycle_l4_20_l5_8_l6_1_l6_17_l6_19_l6_21_l6_22_l6_32_l6_36_l6_41() {
        let Config { storage, limits, .. } = Config::default();
        assert_eq!((storage.event_days, storage.events_per_topic), (30, 10_000));
        assert_eq!(limits.heartbeat_ms, 25_000);
        assert_eq!((limits.poll_hold_ms, limits.poll_lease_ms), (25_000, 15_000));
        assert_eq!(limits.head_check_ms, 5_000);
        assert_eq!((limits.presence_grace_ms, limits.away_after_ms), (15_000, 300_000));
        assert_eq!((limits.presence_digest_ms, limits.presence_named_max), (60_000, 1_000));
        assert_eq!((limits.on_connection_limit, limits.probe_wait_ms), (OnConnectionLimit::Evict, 1_000));
        assert_eq!((limits.dials_per_minute, limits.dials_burst), (30, 10));
        assert_eq!(limits.slow_reader_ms, 30_000);
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_key() {
        for (toml, word) in [
            ("[limits]\nheartbeat_ms = 0", "limits.heartbeat_ms"),
            ("[limits]\nheartbeat_ms = 40000", "limits.dead_link_ms"),
            ("[limits]\npoll_hold_ms = 35000", "limits.poll_hold_ms"),
            ("[limits]\npoll_lease_ms = 0", "limits.poll_lease_ms"),
            ("[limits]\npresence_digest_ms = 0", "limits.presence_digest_ms"),
            ("[limits]\ncalls_per_minute = 2000000", "calls_per_minute"),
            ("[limits.calls]\n\"POST /v1/chanels\" = 3", "Did you mean \"POST /v1/channels\"?"),
            ("[limits.app_calls]\n\"GET /v1/me\" = 1000001", "app_calls[\"GET /v1/me\"]"),
            ("[limits]\nconnections_per_user = 10001", "connections_per_user"),
            ("[limits]\non_connection_limit = \"queue\"", "limits.on_connection_limit"),
            ("[app]\nsecret = \"short\"", "app.secret"),
            ("[app]\nkey = \"a b\"", "app.key"),
            ("[server]\nallowed_origins = [\"example.com\"]", "allowed_origins"),
            ("[server]\nlisten = \"here\"", "server.listen"),
            ("[server]\ntrusted_proxies = [\"10.0.0.0/40\"]", "server.trusted_proxies"),
            ("[server]\npending_bytes_per_address_max = 0", "server.pending_bytes_per_address_max"),
            ("[server]\nconnections_max = -1", "server.connections_max"),
        ] {
            let error = read(toml).unwrap_err();
            assert!(error.contains(word), "{toml}: {error}");
        }
    }

    #[test]
    fn the_secret_never_shows_in_debug_output() {
        let config = read("[app]\nsecret = \"0123456789abcdef0123456789abcdef\"").unwrap();
        assert!(!format!("{config:?}").contains("0123456789abcdef"));
    }

    #[test]
    fn the_secret_can_stand_in_a_file() {
        let secret = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(secret.path(), "0123456789abcdef0123456789abcdef\n").unwrap();
        let config = read(&format!("[app]\nsecret_file = {:?}", secret.path())).unwrap();
        assert_eq!(config.app.secret.as_deref(), Some("0123456789abcdef0123456789abcdef"));
        assert!(read("[app]\nsecret_file = \"/nowhere/secret\"").unwrap_err().contains("/nowhere/secret"));
    }
}
