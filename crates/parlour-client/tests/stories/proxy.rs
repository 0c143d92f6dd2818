//! A client behind an HTTP proxy.

use std::net::SocketAddr;

use bytes::Bytes;
use parlour_client::wire::CloseCode;
use parlour_client::{Frames, Net, NetError, Received, TokioNet};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A place that listens and leads nowhere by itself.
async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn behind(proxy: SocketAddr) -> TokioNet {
    TokioNet::builder().proxy(format!("http://{proxy}")).build().unwrap()
}

/// The head of the next request.
async fn head(tcp: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        assert_ne!(tcp.read_buf(&mut head).await.unwrap(), 0, "no request, but {head:?}");
    }
    String::from_utf8(head).unwrap()
}

/// A proxy that answers every `CONNECT` with these bytes, and then closes.
async fn proxy_that_answers(answer: &'static [u8]) -> SocketAddr {
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        head(&mut tcp).await;
        let _ = tcp.write_all(answer).await;
        let _ = tcp.shutdown().await;
        // What was written arrives before the end does.
        while let Ok(1..) = tcp.read(&mut [0; 64]).await {}
    });
    address
}

async fn refusal(proxy: SocketAddr) -> String {
    match behind(proxy).open("ws://chat.test:8790/v1/connect").await {
        Ok(_) => panic!("no tunnel, and yet a WebSocket"),
        Err(NetError(why)) => why,
    }
}

#[tokio::test]
async fn a_websocket_goes_through_the_tunnel_that_the_proxy_opens() {
    let (server, server_address) = listener().await;
    let (proxy, proxy_address) = listener().await;
    let serving = tokio::spawn(async move {
        let (tcp, _) = server.accept().await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(tcp).await.unwrap();
        let said = futures_util::StreamExt::next(&mut socket).await.unwrap().unwrap();
        futures_util::SinkExt::send(&mut socket, said).await.unwrap();
        // Until the client closes.
        while let Some(Ok(_)) = futures_util::StreamExt::next(&mut socket).await {}
    });
    let proxying = tokio::spawn(async move {
        let (mut client, _) = proxy.accept().await.unwrap();
        let asked = head(&mut client).await;
        let mut server = TcpStream::connect(server_address).await.unwrap();
        client.write_all(b"HTTP/1.1 200 Connection established\r\nVia: a proxy\r\n\r\n").await.unwrap();
        tokio::io::copy_bidirectional(&mut client, &mut server).await.unwrap();
        asked
    });
    let url = format!("ws://{server_address}/v1/connect");
    let mut frames: Box<dyn Frames> = behind(proxy_address).open(&url).await.unwrap();
    frames.send("hello".to_owned()).await.unwrap();
    assert_eq!(frames.recv().await, Received::Text("hello".to_owned()));
    frames.close(CloseCode::NORMAL, "").await;
    drop(frames);
    serving.await.unwrap();
    let asked = proxying.await.unwrap();
    assert_eq!(asked, format!("CONNECT {server_address} HTTP/1.1\r\nHost: {server_address}\r\n\r\n"));
}

#[tokio::test]
async fn calls_go_through_the_same_proxy() {
    let proxy = proxy_that_answers(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await;
    let request = http::Request::get("http://chat.test:8790/livez").body(Bytes::new()).unwrap();
    let answer = behind(proxy).request(request).await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.body()[..]), (200, &b"hi"[..]));
}

#[tokio::test]
async fn what_the_proxy_refuses_is_told_with_its_own_status() {
    let denied = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 13\r\n\r\n<html></html>";
    let why = refusal(proxy_that_answers(denied).await).await;
    assert_eq!(why, "the proxy answered 403 Forbidden to CONNECT chat.test:8790");
    let asks = b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n";
    let why = refusal(proxy_that_answers(asks).await).await;
    assert_eq!(why, "the proxy answered 407 Proxy Authentication Required to CONNECT chat.test:8790");
}

#[tokio::test]
async fn what_is_no_answer_of_a_proxy_is_told_as_that() {
    for (answer, why) in [
        (&b"SSH-2.0-OpenSSH_9.9\r\n\r\n"[..], "the proxy's answer is no HTTP"),
        (b"\xff\xfe\xfd", "the proxy's answer is no HTTP"),
        (b"HTTP/1.1 200", "the proxy closed the connection instead of an answer"),
        (b"", "the proxy closed the connection instead of an answer"),
        (b"HTTP/1.1 soon\r\n\r\n", "the proxy answered soon to CONNECT chat.test:8790"),
        (b"HTTP/1.1\r\n\r\n", "the proxy answered nothing to CONNECT chat.test:8790"),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", "the proxy said more than its answer"),
    ] {
        assert_eq!(refusal(proxy_that_answers(answer).await).await, why);
    }
    let endless: &'static [u8] = Box::leak([&b"HTTP/1.1 200 OK\r\n"[..], &[b'x'; 9_000]].concat().into());
    assert_eq!(
        refusal(proxy_that_answers(endless).await).await,
        "the proxy's answer is longer than 8192 bytes"
    );
}

#[tokio::test]
async fn a_proxy_that_says_nothing_is_given_up_after_ten_seconds() {
    let (proxy, address) = listener().await;
    let refused = tokio::spawn(refusal(address));
    let (mut tcp, _) = proxy.accept().await.unwrap();
    head(&mut tcp).await;
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    assert_eq!(refused.await.unwrap(), "the proxy did not answer within 10s");
    assert!(begun.elapsed().as_secs() >= 9, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn an_address_that_is_no_proxys_is_refused_and_nothing_secret_is_repeated() {
    for (url, why) in [
        ("127.0.0.1:3128", "relative URL without a base"),
        ("https://proxy.test", "it begins with http://"),
        ("socks5://proxy.test", "it begins with http://"),
        ("http://alice:secret@proxy.test", "credentials are not supported"),
        ("http://proxy.test/path", "it has no path, query or fragment"),
    ] {
        let error = TokioNet::builder().proxy(url).build().unwrap_err();
        assert!(error.0.contains(why) && !error.0.contains("secret"), "{url}: {error}");
    }
    assert!(TokioNet::builder().proxy("http://[::1]:3128/").build().is_ok());
}
