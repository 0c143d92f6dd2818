//! The client commands against a server that is started as a stranger starts it.

#![expect(clippy::unwrap_used, reason = "a broken fixture is a failed test")]

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// `parlour dev` with its users, killed when dropped.
struct Dev {
    process: Child,
    told: Value,
}

impl Dev {
    fn start() -> Self {
        Self::with(&[])
    }

    fn on(data: &Path) -> Self {
        Self::with(&[OsStr::new("--data"), data.as_os_str()])
    }

    fn with(args: &[&OsStr]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_parlour"));
        command.args(["dev", "--listen", "127.0.0.1:0", "--json"]).args(args);
        let mut process = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .env("PARLOUR_LOG__LEVEL", "warn")
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"));
        Self { process, told }
    }

    fn text(&self, name: &str) -> &str {
        self.told[name].as_str().unwrap()
    }

    /// A command with everything but a token in its environment.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_parlour"));
        command
            .args(args)
            .env("PARLOUR_URL", self.text("url"))
            .env("PARLOUR_APP_KEY", self.text("app_key"))
            .env("PARLOUR_SECRET", self.text("secret"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn token(&self, user: &str) -> String {
        ok(self.command(&["token", "create", "--user", user])).trim().to_owned()
    }

    /// The same as this user.
    fn as_user(&self, user: &str, args: &[&str]) -> Command {
        let mut command = self.command(args);
        command.env("PARLOUR_TOKEN", self.token(user));
        command
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn ok(mut command: Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

fn exit_code(mut command: Command) -> i32 {
    command.output().unwrap().status.code().unwrap()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text:?}"))
}

#[test]
fn dev_names_its_demo_and_seeds_a_channel_of_its_users() {
    let dev = Dev::start();
    assert_eq!(dev.text("demo"), format!("{}/demo/", dev.text("url")));
    let backend = parlour_client::ServerClient::new(dev.text("url"), dev.text("app_key"), dev.text("secret"));
    let general = backend.unwrap().as_user("alice").unwrap().channel("messaging", "general").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let members = runtime.block_on(general.members(100, None)).unwrap().members;
    let ids: Vec<&str> = members.iter().map(|member| member.user.id.as_str()).collect();
    assert_eq!(ids, parlour_server::DEMO_USERS.map(|(id, _)| id));
}

#[test]
fn dev_prints_where_to_click() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_parlour"));
    command.args(["dev", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut process = command.spawn().unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
    let banner: Vec<String> = lines.take_while(|line| !line.contains("Ctrl-C")).collect();
    process.kill().unwrap();
    process.wait().unwrap();
    let links: Vec<&str> = banner
        .iter()
        .filter_map(|line| line.split_whitespace().find(|word| word.contains("/demo/")))
        .collect();
    let asked: Vec<&str> = links.iter().map(|link| link.split_once("/demo/").unwrap().1).collect();
    assert_eq!(asked, ["?user=alice", "?user=bob", "?side=alice,bob"], "{banner:#?}");
    assert!(links.iter().all(|link| link.starts_with("http://127.0.0.1:")), "{links:?}");
}

#[test]
fn dev_on_kept_data_leaves_its_users_as_they_have_become() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let backend = |dev: &Dev| {
        parlour_client::ServerClient::new(dev.text("url"), dev.text("app_key"), dev.text("secret")).unwrap()
    };
    let dev = Dev::on(&data);
    let renamed = parlour_client::Profile::new("alice").name("Alice the First");
    runtime.block_on(backend(&dev).upsert_users([renamed])).unwrap();
    drop(dev);
    let dev = Dev::on(&data);
    let users = runtime.block_on(backend(&dev).users(&["alice", "bob"])).unwrap();
    let names: Vec<&str> = users.iter().map(|user| user.display_name()).collect();
    assert_eq!(names, ["Alice the First", "Bob"]);
}

#[test]
fn a_message_sent_twice_with_one_id_is_one_message() {
    let dev = Dev::start();
    let send = || json(&ok(dev.as_user("alice", &["send", "--json", "--id", "one", "hello"])));
    let (first, second) = (send(), send());
    assert_eq!(first["message"]["text"], "hello");
    assert_eq!(first["message"]["user"]["id"], "alice");
    assert_eq!(first, second);
}

#[test]
fn tail_prints_what_others_send_as_lines_of_json() {
    let dev = Dev::start();
    let mut tail = dev.as_user("bob", &["tail", "--json"]).spawn().unwrap();
    let lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    let mut told = lines.map(|line| json(&line.unwrap()));
    assert!(told.any(|line| line["type"] == "connection.changed" && line["to"] == "Connected"));
    ok(dev.as_user("alice", &["send", "hello"]));
    let event = told.find(|line| line["type"] == "event").unwrap();
    assert_eq!(event["topic"], "channel:messaging:general");
    assert_eq!(event["event"]["type"], "message.new");
    assert_eq!(event["event"]["message"]["text"], "hello");
    tail.kill().unwrap();
    tail.wait().unwrap();
}

#[test]
fn a_chat_in_a_pipe_sends_each_line_shows_the_history_and_cleans_what_others_wrote() {
    let dev = Dev::start();
    ok(dev.as_user("alice", &["send", "red \u{1b}[31malert"]));
    let mut chat = dev.as_user("bob", &["chat"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = chat.stdin.take().unwrap();
    for n in 0..150 {
        writeln!(stdin, "line {n}").unwrap();
    }
    drop(stdin);
    let mut shown = String::new();
    chat.stdout.take().unwrap().read_to_string(&mut shown).unwrap();
    assert!(chat.wait().unwrap().success());
    assert!(shown.contains("Alice: red [31malert"), "{shown}");
    assert!(!shown.contains('\u{1b}'), "{shown}");
    let lines: Vec<&str> =
        shown.lines().filter_map(|line| line.split_once("Bob: ").map(|(_, text)| text)).collect();
    assert_eq!(lines, (0..150).map(|n| format!("line {n}")).collect::<Vec<_>>());
}

#[test]
fn a_token_says_what_it_says() {
    let dev = Dev::start();
    let token = ok(dev.command(&["token", "create", "--user", "carol", "--ttl", "7d"]));
    let said = json(&ok(dev.command(&["token", "inspect", token.trim(), "--json"])));
    assert_eq!(said["claims"]["user_id"], "carol");
    assert_eq!(said["signature_is_good"], true);
    assert_eq!(said["expired"], false);
    let time = |name: &str| said["claims"][name].as_u64().unwrap();
    assert_eq!(time("exp") - time("iat"), 7 * 86_400);
    let other = json(&ok(dev.command(&["token", "inspect", token.trim(), "--secret", "other", "--json"])));
    assert_eq!(other["signature_is_good"], false);
}

#[test]
fn dev_makes_an_app_in_development_mode_which_takes_tokens_that_nobody_signed_f1_3_f1_30() {
    let dev = Dev::start();
    let backend = parlour_client::ServerClient::new(dev.text("url"), dev.text("app_key"), dev.text("secret"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert_eq!(runtime.block_on(backend.unwrap().app()).unwrap().mode, "development");
    let token = ok(dev.command(&["token", "create", "--user", "alice", "--dev"]));
    let said = json(&ok(dev.command(&["token", "inspect", token.trim(), "--json"])));
    assert_eq!((&said["algorithm"], &said["claims"]["user_id"]), (&"none".into(), &"alice".into()));
    let mut send = dev.command(&["send", "--json", "hello"]);
    send.env("PARLOUR_TOKEN", token.trim());
    assert_eq!(json(&ok(send))["message"]["user"]["id"], "alice");
    // It is either signed or not.
    assert_eq!(exit_code(dev.command(&["token", "create", "--user", "a", "--dev", "--secret", "s"])), 2);
}

/// A pair of keys of P-256, as PEM: the private half and the public one.
const PRIVATE_KEY: &str = include_str!("data/p256_private.pem");
const PUBLIC_KEY: &str = include_str!("data/p256_public.pem");

#[test]
fn keys_are_added_used_listed_and_removed_f1_2_f1_5() {
    let dev = Dev::start();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (private, public) = (file("private.pem", PRIVATE_KEY), file("public.pem", PUBLIC_KEY));
    let app = |args: &[&str]| dev.command(&[&["app"], args, &["--json"]].concat());
    let add =
        ["keys", "add", "--alg", "es256", "--public-key", &public, "--kid", "laptop", "--expires", "30d"];
    let added = json(&ok(app(&add)));
    assert_eq!(
        (&added["key"]["algorithm"], &added["key"]["scopes"]),
        (&"ES256".into(), &serde_json::json!(["users"]))
    );
    assert!(added["key"]["expires_at"].is_string() && added.get("secret").is_none());
    let create =
        ["token", "create", "--user", "alice", "--alg", "ES256", "--key", &private, "--kid", "laptop"];
    let token = ok(dev.command(&create));
    let says = |token: &str| {
        let mut send = dev.command(&["send", "--json", "hello"]);
        send.env("PARLOUR_TOKEN", token.trim());
        send
    };
    assert_eq!(json(&ok(says(&token)))["message"]["user"]["id"], "alice");
    let secret = json(&ok(app(&["keys", "add", "--scopes", "read,usage"])));
    let (kid, secret) = (secret["key"]["kid"].as_str().unwrap(), secret["secret"].as_str().unwrap());
    let backend =
        ok(dev.command(&["token", "create", "--server", "--kid", kid, "--secret", secret, "--ttl", "1h"]));
    let said = json(&ok(dev.command(&["token", "inspect", backend.trim(), "--secret", secret, "--json"])));
    assert_eq!((&said["claims"]["server"], &said["signature_is_good"]), (&true.into(), &true.into()));

    let listed = ok(app(&["keys", "list"]));
    let kids: Vec<String> =
        listed.lines().map(|line| json(line)["kid"].as_str().unwrap().to_owned()).collect();
    assert_eq!(kids, ["laptop", kid]);
    let shown = ok(dev.command(&["app", "show"]));
    assert!(shown.contains("(development, made ") && shown.contains("laptop"), "{shown}");
    ok(app(&["keys", "remove", "laptop"]));
    assert_eq!(exit_code(says(&token)), 1);
    assert_eq!(exit_code(app(&["keys", "remove", "laptop"])), 1);
    for wrong in [
        &["keys", "add", "--alg", "none"][..],
        &["keys", "add", "--scopes", "everything"],
        &["keys", "add", "--expires", "soon"],
        &["jwks"],
    ] {
        assert_eq!(exit_code(app(wrong)), 2, "{wrong:?}");
    }
    assert_eq!(exit_code(app(&["jwks", "http://127.0.0.1:1/keys"])), 1);
    ok(app(&["jwks", "--remove"]));
    for wrong in
        [&["--alg", "RS256"][..], &["--key", &private], &["--alg", "RS256", "--key", &private, "--dev"]]
    {
        assert_eq!(
            exit_code(dev.command(&[&["token", "create", "--user", "a"], wrong].concat())),
            2,
            "{wrong:?}"
        );
    }
    let mismatched = ["token", "create", "--user", "a", "--alg", "RS256", "--key", &private];
    assert_eq!(exit_code(dev.command(&mismatched)), 1);
}

#[test]
fn tokens_are_taken_back_and_given_again_f1_21_f1_22_f1_23() {
    let dev = Dev::start();
    let token = dev.token("alice");
    let says = || {
        let mut send = dev.command(&["send", "hello"]);
        send.env("PARLOUR_TOKEN", &token);
        exit_code(send)
    };
    let revoke = |args: &[&str]| json(&ok(dev.command(&[&["app", "revoke", "--json"], args].concat())));
    assert_eq!(says(), 0);
    let of_alice = revoke(&["--user", "alice"]);
    assert!(of_alice["revoke_tokens_issued_before"].is_string(), "{of_alice}");
    assert_eq!(says(), 1);
    assert_eq!(revoke(&["--user", "alice", "--undo"])["revoke_tokens_issued_before"], Value::Null);
    assert_eq!(says(), 0);
    revoke(&[]);
    assert_eq!(says(), 1);
    assert_eq!(
        revoke(&["--before", "2020-01-01T00:00:00Z"])["revoke_tokens_issued_before"],
        "2020-01-01T00:00:00.000Z"
    );
    assert_eq!(says(), 0);
    assert_eq!(exit_code(dev.command(&["app", "revoke", "--undo", "--before", "2020-01-01T00:00:00Z"])), 2);
}

#[test]
fn exit_codes_tell_programs_what_went_wrong() {
    let dev = Dev::start();
    let code = |args: &[&str]| exit_code(dev.as_user("alice", args));
    assert_eq!(code(&["send", "hello"]), 0);
    assert_eq!(code(&["send", "--channel", "messaging:nowhere", "hello"]), 1);
    assert_eq!(code(&["send", "--no-such-option", "hello"]), 2);
    assert_eq!(code(&["send", "--app-key", "", "hello"]), 2);
    // Port 1 is nobody's.
    assert_eq!(code(&["send", "--url", "http://127.0.0.1:1", "--timeout", "1s", "hello"]), 3);
}

#[test]
fn a_small_load_delivers_every_message_to_every_member() {
    let dev = Dev::start();
    let pid = dev.told["pid"].to_string();
    let args =
        ["--users", "6", "--channels", "2", "--rate", "40/s", "--duration", "2s", "--pid", &pid, "--json"];
    let report = json(&ok(dev.command(&[&["load"], &args[..]].concat())));
    assert_eq!(report["connections"]["opened"], 6);
    assert_eq!(report["sends"]["acknowledged"], 80);
    assert_eq!(report["deliveries"]["received"], 80 * 3, "three members each");
    assert_eq!(report["deliveries"]["missing"], 0);
    assert!(report["server_rss"]["before_bytes"].as_u64().unwrap() > 0);
}

/// A request whose body has not come yet, and its body.
fn under_way(dev: &Dev) -> (TcpStream, String) {
    let address = dev.text("url").strip_prefix("http://").unwrap().to_owned();
    let client = serde_json::json!({"instance": "i", "version": 1});
    let (key, token) = (dev.text("app_key"), dev.token("alice"));
    let hello =
        serde_json::json!({"type": "hello", "app_key": key, "token": token, "client": client}).to_string();
    let mut tcp = TcpStream::connect(&address).unwrap();
    let length = hello.len();
    let head = format!(
        "POST /v1/connect HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    tcp.write_all(head.as_bytes()).unwrap();
    // Answered after what was sent before: the server has that request by then.
    assert!(ok(dev.as_user("alice", &["send", "hi"])).len() > 1);
    (tcp, hello)
}

#[test]
fn a_signal_lets_what_is_under_way_end_and_a_second_one_does_not() {
    for signals in [1, 2] {
        let mut dev = Dev::start();
        let (mut tcp, hello) = under_way(&dev);
        let pid = dev.process.id().to_string();
        let terminate = || assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        terminate();
        // It takes nobody new any more.
        while TcpStream::connect(tcp.peer_addr().unwrap()).is_ok() {}
        if signals == 2 {
            let began = std::time::Instant::now();
            terminate();
            assert_eq!(dev.process.wait().unwrap().code(), Some(1));
            assert!(began.elapsed().as_secs() < 4, "at once: {:?}", began.elapsed());
        } else {
            tcp.write_all(hello.as_bytes()).unwrap();
            let mut answer = String::new();
            tcp.read_to_string(&mut answer).unwrap();
            assert!(answer.contains(r#""type":"bye","code":1012"#), "{answer}");
            assert!(dev.process.wait().unwrap().success());
        }
    }
}

#[test]
fn drain_stops_the_server_of_a_folder_and_ends_when_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap().to_owned();
    let drain = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_parlour"));
        command.args(["drain", "--data", &data]);
        command
    };
    assert_eq!(exit_code(drain()), 2, "nobody serves it yet");
    let mut dev = Dev::on(folder.path());
    let mut tail = dev.as_user("alice", &["tail", "--json"]);
    let mut tail = tail.stdout(std::process::Stdio::piped()).spawn().unwrap();
    assert!(ok(drain()).contains(&dev.process.id().to_string()));
    assert!(dev.process.wait().unwrap().success());
    assert_eq!(exit_code(drain()), 2, "nobody serves it any more");
    tail.kill().unwrap();
    tail.wait().unwrap();
}

/// The example that the README quotes.
mod quickstart {
    include!("../../parlour-client/examples/quickstart.rs");

    /// Runs in a process of its own, where the environment is the reader's.
    #[test]
    #[ignore = "run by the test below"]
    fn as_the_reader_runs_it() {
        main().unwrap();
    }
}

#[test]
fn the_quickstart_does_what_the_readme_says() {
    let dev = Dev::start();
    let mut example = Command::new(std::env::current_exe().unwrap());
    example
        .args(["--exact", "quickstart::as_the_reader_runs_it", "--ignored", "--nocapture"])
        .env("PARLOUR_URL", dev.text("url"))
        .env("PARLOUR_APP_KEY", dev.text("app_key"))
        .env("PARLOUR_TOKEN", dev.token("alice"));
    let shown = ok(example);
    assert!(shown.contains("1 passed"), "{shown}");
    assert!(shown.contains("hello"), "{shown}");
}

#[test]
fn users_are_shown_found_changed_deleted_and_exported_f2_15_f2_20_f2_22_f2_24() {
    let dev = Dev::start();
    let user = |args: &[&str]| {
        let mut words = vec!["user"];
        words.extend_from_slice(args);
        words.push("--json");
        let said = ok(dev.command(&words));
        said.lines().map(json).collect::<Vec<Value>>()
    };
    let made = user(&["upsert", r#"{"id":"zoe","name":"Zoe","age":7}"#, r#"{"id":"zed","age":9}"#]);
    assert_eq!((&made[0]["id"], &made[1]["age"]), (&Value::from("zoe"), &Value::from(9)));
    let found = user(&["query", "--filter", r#"{"custom.age":{"$gt":1}}"#, "--sort", "-custom.age"]);
    let ids: Vec<_> = found.iter().map(|user| user["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["zed", "zoe"]);
    let changed = user(&["update", "zoe", "--set", "age=8", "--set", "mood=very good", "--unset", "name"]);
    assert_eq!((&changed[0]["age"], &changed[0]["mood"]), (&Value::from(8), &Value::from("very good")));
    assert!(changed[0].get("name").is_none());

    assert!(user(&["deactivate", "zoe"])[0]["deactivated_at"].is_string());
    assert!(user(&["reactivate", "zoe"])[0].get("deactivated_at").is_none());
    assert_eq!(user(&["delete", "zoe"])[0]["status"], "completed");
    assert!(user(&["show", "zoe"])[0]["deleted_at"].is_string());
    assert!(user(&["restore", "zoe"])[0].get("deleted_at").is_none());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("zoe.jsonl");
    assert!(user(&["export", "zoe", "--output", file.to_str().unwrap()]).is_empty());
    let written = std::fs::read_to_string(&file).unwrap();
    assert_eq!(json(written.lines().next().unwrap())["user"]["mood"], "very good");
    assert_eq!(user(&["export", "zoe"]).len(), written.lines().count());
    assert!(user(&["devices", "zoe"]).is_empty());
    let gone = user(&["delete", "zoe", "--hard", "--messages", "hard", "--channels", "direct"]);
    assert_eq!(gone[0]["progress"]["percent"], 100);

    assert_eq!(exit_code(dev.command(&["user", "show", "nobody"])), 1);
    assert_eq!(exit_code(dev.command(&["user", "restore", "zoe"])), 1);
    assert_eq!(exit_code(dev.command(&["user", "query", "--filter", "age"])), 2);
    assert_eq!(exit_code(dev.command(&["user", "update", "zed", "--set", "age"])), 2);
    let plain = ok(dev.command(&["user", "show", "zed"]));
    assert!(plain.starts_with("zed ") && plain.contains("never seen"), "{plain}");
}

#[test]
fn ban_keeps_out_lists_and_lets_in_again_f2_27_f2_29() {
    let dev = Dev::start();
    let args = ["ban", "add", "bob", "--reason", "spam\u{1b}[2J", "--for", "1h"];
    let said = ok(dev.command(&args));
    assert!(
        said.starts_with("bob is banned from the app until ") && said.ends_with(": spam[2J\n"),
        "{said:?}"
    );
    let refused = dev.as_user("bob", &["send", "hello"]).output().unwrap();
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && told.contains("user_banned"), "{told}");
    let listed: Value = serde_json::from_str(&ok(dev.command(&["ban", "list", "--json"]))).unwrap();
    assert_eq!((&listed["user"]["id"], &listed["cid"]), (&Value::from("bob"), &Value::Null));
    assert_eq!(ok(dev.command(&["ban", "lift", "bob"])), "bob is not banned from the app any more\n");
    assert_eq!(ok(dev.command(&["ban", "list"])), "");
    assert_eq!(ok(dev.command(&["ban", "flags"])), "");
}
