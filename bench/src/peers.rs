//! The peers: servers that others made, started from their packages on the loopback, with folders of their own.
//!
//! Each is set up to do as little as it can: nobody is asked who she is, nothing is stored, nothing is logged.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::process::{Cores, Measured};
use crate::protocol::Protocol;
use crate::protocol::bare::Bare;
use crate::protocol::mqtt::Mqtt;
use crate::protocol::nats::Nats;
use crate::protocol::socket_io::SocketIo;

/// A server that is not there after this long will not come.
const START_WAIT: Duration = Duration::from_secs(60);

/// A server that others made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Nchan,
    Nats,
    Mosquitto,
    SocketIo,
    Ejabberd,
}

/// A peer that runs.
pub(crate) struct Running {
    pub(crate) process: Measured,
    pub(crate) address: SocketAddr,
    pub(crate) listener: Box<dyn Protocol>,
    pub(crate) speaker: Box<dyn Protocol>,
}

impl Peer {
    pub(crate) const ALL: [Self; 5] =
        [Self::Nchan, Self::Nats, Self::Mosquitto, Self::SocketIo, Self::Ejabberd];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nchan => "nchan",
            Self::Nats => "NATS",
            Self::Mosquitto => "mosquitto",
            Self::SocketIo => "Socket.IO",
            Self::Ejabberd => "ejabberd (MQTT)",
        }
    }

    /// What its program says of its version.
    pub(crate) fn version(self) -> Result<String> {
        let said = |program: &str, args: &[&str]| -> Result<String> {
            let output = std::process::Command::new(program).args(args).output();
            let output = output.with_context(|| format!("`{program}` is not installed"))?;
            let said = [output.stdout, output.stderr].concat();
            Ok(String::from_utf8_lossy(&said).lines().next().unwrap_or_default().trim().to_owned())
        };
        let package = |name: &str| said("dpkg-query", &["--show", "--showformat=${Version}", name]);
        match self {
            Self::Nchan => package("libnginx-mod-nchan"),
            Self::Nats => package("nats-server"),
            Self::Mosquitto => package("mosquitto"),
            Self::SocketIo => {
                let manifest = peers_folder().join("node_modules/socket.io/package.json");
                let manifest = std::fs::read_to_string(manifest).context("Socket.IO is not installed")?;
                let manifest: serde_json::Value = serde_json::from_str(&manifest)?;
                Ok(manifest["version"].as_str().unwrap_or_default().to_owned())
            }
            Self::Ejabberd => package("ejabberd"),
        }
    }

    /// Starts it, with its files in this folder.
    pub(crate) fn start(self, folder: &Path) -> Result<Running> {
        let port = free_port()?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let write = |name: &str, text: String| -> Result<String> {
            let path = folder.join(name);
            std::fs::write(&path, text)?;
            Ok(path.to_str().context("a folder whose name is not UTF-8")?.to_owned())
        };
        let at = folder.to_str().context("a folder whose name is not UTF-8")?;
        let start = |program: &str, args: &[&str], variables: &[(&str, String)]| {
            Measured::start(Cores::One, Path::new(program), args, variables)
        };
        let (listener, speaker): (Box<dyn Protocol>, Box<dyn Protocol>);
        let mut running = match self {
            Self::Nchan => {
                (listener, speaker) = (Box::new(Bare::Listener), Box::new(Bare::Speaker));
                let config = write("nginx.conf", nginx(at, port))?;
                start("nginx", &["-c", &config, "-p", at, "-e", "stderr"], &[])?
            }
            Self::Nats => {
                (listener, speaker) = (Box::new(Nats::Listener), Box::new(Nats::Speaker));
                start("nats-server", &["--addr", "127.0.0.1", "--port", &port.to_string()], &[])?
            }
            Self::Mosquitto => {
                let mqtt = |listens| Box::new(Mqtt { listens, host: None });
                (listener, speaker) = (mqtt(true), mqtt(false));
                start("mosquitto", &["-c", &write("mosquitto.conf", mosquitto(port))?], &[])?
            }
            Self::SocketIo => {
                (listener, speaker) = (Box::new(SocketIo::Listener), Box::new(SocketIo::Speaker));
                let script = peers_folder().join("socket_io.mjs");
                let script = script.to_str().context("a folder whose name is not UTF-8")?.to_owned();
                let mut process = start("node", &[&script], &[])?;
                let address = process.line()?.parse()?;
                return Ok(Running { process, address, listener, speaker });
            }
            Self::Ejabberd => {
                let mqtt = |listens| Box::new(Mqtt { listens, host: Some("localhost") });
                (listener, speaker) = (mqtt(true), mqtt(false));
                let variables = [
                    ("EJABBERD_CONFIG_PATH", write("ejabberd.yml", ejabberd(port))?),
                    ("EJABBERD_LOG_PATH", format!("{at}/ejabberd.log")),
                    ("ERL_LIBS", "/usr/lib/x86_64-linux-gnu".to_owned()),
                    ("ERL_MAX_PORTS", "32000".to_owned()),
                    ("HOME", at.to_owned()),
                    // It is killed when it has been measured, and has nothing to tell of that.
                    ("ERL_CRASH_DUMP_SECONDS", "0".to_owned()),
                ];
                let database = format!("\"{at}/mnesia\"");
                // As its own script starts it, but with no name for other nodes to find.
                let args =
                    ["-noinput", "+K", "true", "+P", "250000", "-mnesia", "dir", &database, "-s", "ejabberd"];
                start("erl", &args, &variables)?
            }
        };
        await_listening(&mut running, address).with_context(|| format!("{} does not start", self.name()))?;
        Ok(Running { process: running, address, listener, speaker })
    }
}

/// Where what comes from npm is installed.
fn peers_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn await_listening(process: &mut Measured, address: SocketAddr) -> Result<()> {
    let begun = Instant::now();
    while TcpStream::connect(address).is_err() {
        if process.has_ended()? {
            bail!("it ended");
        }
        if begun.elapsed() > START_WAIT {
            bail!("it does not listen after {START_WAIT:?}");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Paths as the bare loop has them.
fn nginx(folder: &str, port: u16) -> String {
    format!(
        "load_module /usr/lib/nginx/modules/ngx_nchan_module.so;
user root;
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
error_log /dev/null;
pid {folder}/nginx.pid;
events {{ worker_connections 19000; }}
http {{
  access_log off;
  client_body_temp_path {folder};
  proxy_temp_path {folder};
  fastcgi_temp_path {folder};
  uwsgi_temp_path {folder};
  scgi_temp_path {folder};
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location ~ ^/room/([0-9]+)/speaker$ {{
      nchan_publisher;
      nchan_channel_id $1;
      nchan_message_buffer_length 1000;
    }}
    location ~ ^/room/([0-9]+)$ {{
      nchan_pubsub;
      nchan_channel_id $1;
      nchan_message_buffer_length 1000;
      nchan_subscriber_first_message newest;
    }}
  }}
}}
"
    )
}

fn mosquitto(port: u16) -> String {
    // No bound on what waits: nothing may be left out.
    format!(
        "listener {port} 127.0.0.1
allow_anonymous true
user root
persistence false
max_queued_messages 0
set_tcp_nodelay true
log_dest none
"
    )
}

fn ejabberd(port: u16) -> String {
    format!(
        "hosts: [localhost]
loglevel: none
auth_method: [anonymous]
anonymous_protocol: login_anon
allow_multiple_connections: true
listen:
  - port: {port}
    ip: \"127.0.0.1\"
    module: mod_mqtt
    backlog: 4096
modules:
  mod_mqtt:
    max_queue: 100000
"
    )
}
