//! Where clients are, if proxies stand between; and what an address may hold before anybody knows whose it is.

use parlour_server::Config;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::kit::{TestServer, soon};

fn behind_a_proxy(config: &mut Config) {
    config.server.trusted_proxies = vec!["127.0.0.0/8".to_owned()];
}

/// What two connections without a name are taken for, which say that they come from these addresses.
async fn causes(server: &TestServer, addresses: [&str; 2]) -> Value {
    let alice = |address| server.user("alice").with_header("X-Forwarded-For", address);
    let client = |instance| json!({"client": {"instance": instance, "version": 1}});
    let _first = alice(addresses[0]).streams_with(client("one")).await;
    let _second = alice(addresses[1]).streams_with(client("two")).await;
    server.backend().get("/v1/usage").await.ok()["concurrent_connections"]["current_by_cause"].clone()
}

#[tokio::test]
async fn a_proxy_of_ours_is_believed_where_its_client_is_and_a_stranger_is_not() {
    let server = TestServer::with(behind_a_proxy).await;
    let told = causes(&server, ["7.7.7.7", "6.6.6.6, 8.8.8.8"]).await;
    assert_eq!((&told["further_device"], &told["extra_tab"]), (&json!(1), &json!(0)), "{told}");
    let server = TestServer::with(behind_a_proxy).await;
    let told = causes(&server, ["1.1.1.1, 7.7.7.7", "2.2.2.2, 7.7.7.7"]).await;
    assert_eq!((&told["further_device"], &told["extra_tab"]), (&json!(0), &json!(1)), "forged: {told}");
    let server = TestServer::start().await;
    let told = causes(&server, ["7.7.7.7", "8.8.8.8"]).await;
    assert_eq!((&told["further_device"], &told["extra_tab"]), (&json!(0), &json!(1)), "forged: {told}");
}

/// Opens a WebSocket that will say nothing, by way of a proxy that names this client; the status of the answer.
async fn opens_silently(server: &TestServer, client: &str) -> (TcpStream, String) {
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    let request = format!(
        "GET /v1/connect HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         X-Forwarded-For: {client}\r\n\r\n"
    );
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 1_024];
    let read = soon(tcp.read(&mut answer)).await.unwrap();
    let head = String::from_utf8_lossy(&answer[..read]).into_owned();
    (tcp, head.split(' ').nth(1).unwrap_or_default().to_owned())
}

#[tokio::test]
async fn each_client_of_a_proxy_has_the_places_of_one_address() {
    let server = TestServer::with(|config| {
        behind_a_proxy(config);
        config.server.pending_per_address_max = 2;
    })
    .await;
    let first = opens_silently(&server, "7.7.7.7").await;
    let second = opens_silently(&server, "7.7.7.7").await;
    assert_eq!((first.1.as_str(), second.1.as_str()), ("101", "101"));
    assert_eq!(opens_silently(&server, "7.7.7.7").await.1, "429");
    assert_eq!(opens_silently(&server, "9.9.9.9, 7.7.7.7").await.1, "429", "forged");
    assert_eq!(opens_silently(&server, "8.8.8.8").await.1, "101");
    drop(first);
    soon(async { while opens_silently(&server, "7.7.7.7").await.1 != "101" {} }).await;
    // The proxy itself has as many as it needs.
    server.lives().await;
}

#[tokio::test]
async fn an_address_sends_only_so_much_before_it_is_known_who_sends_it() {
    let server = TestServer::with(|config| config.server.pending_bytes_per_address_max = 40_000).await;
    let begins = async |bytes: usize| {
        let mut tcp = TcpStream::connect(server.address).await.unwrap();
        let head = "POST /v1/connect HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\
                    Content-Type: application/json\r\nContent-Length: 60000\r\n\r\n";
        tcp.write_all(head.as_bytes()).await.unwrap();
        let _ = tcp.write_all(&vec![b' '; bytes]).await;
        tcp
    };
    let first = begins(25_000).await;
    let mut second = begins(25_000).await;
    let mut rest = Vec::new();
    let _ = soon(second.read_to_end(&mut rest)).await;
    let told = String::from_utf8_lossy(&rest);
    assert!(told.starts_with("HTTP/1.1 429") && told.contains("rate_limited"), "{told}");
    // Who is known sends what it likes, and whoever goes makes room.
    let users: Vec<Value> =
        (0..100).map(|n| json!({"id": format!("u{n}"), "about": "x".repeat(2_000)})).collect();
    server.backend().post("/v1/users", json!({ "users": users })).await.ok();
    drop(first);
    soon(async {
        loop {
            let mut third = begins(25_000).await;
            let mut byte = [0];
            let read =
                tokio::time::timeout(std::time::Duration::from_millis(200), third.read(&mut byte)).await;
            if read.is_err() {
                break;
            }
        }
    })
    .await;
}
