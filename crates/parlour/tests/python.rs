//! A client in another language, written from `spec/protocol.md` alone, chats through the death of its server.
//!
//! The story itself is `tests/python/story.py`; here is the server that it asks to be killed, and Python.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The interpreter with the pinned libraries, which `cargo xtask test` makes.
fn python() -> PathBuf {
    let named = std::env::var_os("PARLOUR_PYTHON").map(PathBuf::from);
    let python = named.unwrap_or_else(|| root().join("target/venv/bin/python"));
    let path = python.display();
    assert!(python.exists(), "there is no {path}: `cargo xtask test` makes it, or set PARLOUR_PYTHON");
    python
}

/// The real binary on real data; killed when it goes out of scope, whatever happened.
struct Server {
    child: Child,
    said: Value,
}

impl Server {
    fn start(data: &Path, listen: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_parlour"));
        command.args(["serve", "--json", "--listen", listen, "--data"]).arg(data);
        command.env("PARLOUR_LOG__LEVEL", "warn").stdout(Stdio::piped()).stdin(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let said = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        Self { child, said }
    }

    fn says(&self, what: &str) -> &str {
        self.said[what].as_str().unwrap_or_else(|| panic!("no {what} in {}", self.said))
    }

    /// The address without its scheme.
    fn address(&self) -> String {
        self.says("url").trim_start_matches("http://").trim_end_matches('/').to_owned()
    }

    /// SIGKILL.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Dead already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_client_written_from_the_protocol_alone_chats_through_the_death_of_its_server() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut server = Server::start(&data, "127.0.0.1:0");
    let address = server.address();
    let key = server.says("app_key").to_owned();

    let mut story = Command::new(python());
    story.arg(root().join("tests/python/story.py"));
    story.args([server.says("url"), &key, server.says("secret")]);
    let mut story = story.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut told = story.stdin.take().unwrap();
    let mut kills = 0;
    let mut last = String::new();
    for line in BufReader::new(story.stdout.take().unwrap()).lines() {
        last = line.unwrap();
        if last == "kill" {
            kills += 1;
            server.kill();
            server = Server::start(&data, &address);
            assert_eq!((server.address(), server.says("app_key")), (address.clone(), key.as_str()));
            told.write_all(b"again\n").unwrap();
        }
    }
    let status = story.wait().unwrap();
    assert!(status.success(), "the story ended with {status}; see what it printed above");
    assert!(last.starts_with("done: "), "{last:?}");
    assert_eq!(kills, 3);
}
