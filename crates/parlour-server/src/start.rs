//! From a configuration to a server that listens.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parlour_store::sqlite::{SqliteOptions, Synchronous};
use parlour_store::{App, AppMode, NewApp, Sqlite, Store};
use parlour_wire::AppKey;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::app_file::AppFile;
use crate::bus::LocalBus;
use crate::clock::Clock;
use crate::config::{Config, Mode, SynchronousSetting};
use crate::dice::Dice;
use crate::node::{Node, Parts};

/// Connections that the kernel holds for us while we are busy: a storm of returning clients comes at once.
const BACKLOG: u32 = 4_096;

/// Bytes that the kernel holds for one client, about. Left to itself it holds megabytes, and who reads slowly would be
/// seen to take something only once in a long while, with every ping far behind what was sent before.
const SEND_BUFFER: u32 = 128 * 1024;

/// When the server stops, connections have this long to take that they are sent away.
const TOLD_WAIT: Duration = Duration::from_secs(5);
/// The database's name in the data folder.
const DATABASE: &str = "parlour.db";

/// A server that listens.
pub struct Running {
    /// Where: the port is the one in use, also where 0 was asked for.
    pub address: SocketAddr,
    pub app: App,
    node: Arc<Node>,
    stop: watch::Sender<bool>,
    tasks: [JoinHandle<()>; 2],
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0}")]
    Config(#[from] crate::config::ConfigError),
    #[error("{what} {path}: {source}")]
    File { what: &'static str, path: String, source: std::io::Error },
    #[error("the database in {path}: {source}")]
    Store { path: String, source: parlour_store::StoreError },
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error(
        "the app {key} exists with another secret than the one configured; remove `app.secret`, or configure the stored one"
    )]
    OtherSecret { key: AppKey },
    #[error(
        "the app {key} was made for production: in development mode anybody who reaches the server could be any of its users. Develop with another data folder"
    )]
    MadeForProduction { key: AppKey },
}

/// Opens the store, makes the app at first start, listens.
///
/// # Errors
/// Whatever is wrong, with its path or address.
pub async fn start(mut config: Config) -> Result<Running, StartError> {
    config.check()?;
    let clock = Clock::system();
    let dice = Dice::system();
    let data_dir = config.storage.data_dir.clone();
    let path = data_dir.as_deref().map_or_else(|| "memory".to_owned(), |dir| dir.display().to_string());
    let store: Arc<dyn Store> = match &data_dir {
        None => Sqlite::in_memory().map_err(|source| StartError::Store { path: path.clone(), source })?,
        Some(dir) => {
            make_private_dir(dir)?;
            let synchronous = match config.storage.synchronous {
                SynchronousSetting::Full => Synchronous::Full,
                SynchronousSetting::Normal => {
                    tracing::warn!(
                        "storage.synchronous is normal: acknowledged messages may be lost with the power"
                    );
                    Synchronous::Normal
                }
            };
            let options = SqliteOptions { synchronous, ..SqliteOptions::default() };
            let opened = Sqlite::open(&dir.join(DATABASE), options);
            opened.map_err(|source| StartError::Store { path: path.clone(), source })?
        }
    };
    let app = first_app(&mut config, &*store, data_dir.as_deref(), &clock, &dice)
        .await?
        .map_err(|source| StartError::Store { path: path.clone(), source })?;
    let listener = listen(config.server.listen)
        .map_err(|source| StartError::Listen { address: config.server.listen, source })?;
    if config.is_development() && !config.server.listen.ip().is_loopback() {
        tracing::warn!(
            listen = %config.server.listen,
            "development mode, and not on the loopback: whoever reaches this address can take a token of any user"
        );
    }
    let address = listener
        .local_addr()
        .map_err(|source| StartError::Listen { address: config.server.listen, source })?;
    let parts = Parts { config, store, bus: Arc::new(LocalBus::default()), clock, dice };
    let node = Node::new(parts).await.map_err(|source| StartError::Store { path, source })?;
    let (stop, stopped) = watch::channel(false);
    let router = crate::http::router(Arc::clone(&node));
    let tasks = [
        tokio::spawn(Arc::clone(&node).run()),
        tokio::spawn(crate::accept::serve(listener, router, Arc::clone(&node), stopped)),
    ];
    Ok(Running { address, app, node, stop, tasks })
}

/// The process that serves the data of this folder on this machine; `None`: nobody does.
///
/// # Errors
/// It cannot be found out.
pub fn served_by(data_dir: &Path) -> Result<Option<u32>, StartError> {
    let path = data_dir.join(DATABASE);
    let path_shown = path.display().to_string();
    parlour_store::held_by(&path).map_err(|source| StartError::Store { path: path_shown, source })
}

impl Running {
    /// Where the demo is, if it is served.
    pub fn demo_url(&self) -> Option<String> {
        self.node.config.serves_demo().then(|| format!("http://{}/demo/", self.address))
    }

    /// Sends everybody away so that they come back spread out, ends what is under way, closes the store. Takes as
    /// long as that does, and ten seconds at most.
    pub async fn stop(self) {
        self.node.drain();
        // Still listening: whoever asks is told that this server goes away.
        if tokio::time::timeout(TOLD_WAIT, self.node.connections.emptied()).await.is_err() {
            tracing::warn!("some connections could not be told that the server stops");
        }
        let _ = self.stop.send(true);
        let [background, accepting] = self.tasks;
        let _ = accepting.await;
        self.node.settle().await;
        background.abort();
        self.node.store.close().await;
    }
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restarted server takes its port back at once.
    socket.set_reuseaddr(true)?;
    // Those that are accepted have it from the listener.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn make_private_dir(dir: &Path) -> Result<(), StartError> {
    let fail = |what| move |source| StartError::File { what, path: dir.display().to_string(), source };
    if !dir.exists() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(fail("cannot create"))?;
    }
    let metadata = fs::metadata(dir).map_err(fail("cannot read"))?;
    if metadata.permissions().mode() & 0o007 != 0 {
        tracing::warn!(path = %dir.display(), "the data folder can be read by everybody on this machine");
    }
    Ok(())
}

/// The app that this server hosts: configured, kept from an earlier start, or made up now.
async fn first_app(
    config: &mut Config,
    store: &dyn Store,
    data_dir: Option<&Path>,
    clock: &Clock,
    dice: &Dice,
) -> Result<parlour_store::Result<App>, StartError> {
    let kept = match data_dir {
        None => None,
        Some(dir) => AppFile::read(dir).map_err(|source| StartError::File {
            what: "cannot read the app's key in",
            path: dir.join(crate::app_file::FILE_NAME).display().to_string(),
            source,
        })?,
    };
    let default_key = match config.app.mode {
        Some(Mode::Development) => "dev".to_owned(),
        _ => format!("app-{}", &dice.hex()[..12]),
    };
    let configured = &config.app;
    let key = configured
        .key
        .clone()
        .or_else(|| kept.as_ref().map(|kept| kept.app_key.clone()))
        .unwrap_or(default_key);
    let secret = configured.secret.clone().or_else(|| kept.as_ref().map(|kept| kept.secret.clone()));
    let secret = secret.unwrap_or_else(|| format!("{}{}", dice.hex(), dice.hex()));
    let mode = configured.mode.or_else(|| kept.as_ref().map(|kept| kept.mode)).unwrap_or(Mode::Production);
    let key = AppKey::parse(&key)
        .map_err(|error| crate::config::ConfigError::Wrong(format!("app.key: {error}")))?;
    config.app.mode = Some(mode);
    config.app.key = Some(key.to_string());
    let was_production = kept.as_ref().is_some_and(|kept| kept.mode == Mode::Production);
    if mode == Mode::Development && was_production {
        return Err(StartError::MadeForProduction { key });
    }
    let file = AppFile { app_key: key.to_string(), secret: secret.clone(), mode };
    if let Some(dir) = data_dir
        && kept.as_ref() != Some(&file)
    {
        file.write(dir).map_err(|source| StartError::File {
            what: "cannot write the app's key into",
            path: dir.display().to_string(),
            source,
        })?;
    }
    let app_mode = match mode {
        Mode::Development => AppMode::Development,
        Mode::Production => AppMode::Production,
    };
    let created = store.create_app(NewApp {
        key: key.clone(),
        secret: secret.clone(),
        mode: app_mode,
        now: clock.now(),
    });
    match created.await {
        Ok(app) if app.secret != secret => Err(StartError::OtherSecret { key }),
        Ok(app) if mode == Mode::Development && app.mode == AppMode::Production => {
            Err(StartError::MadeForProduction { key })
        }
        other => Ok(other),
    }
}
