//! Limits of calls, by the real server.

use std::collections::BTreeMap;

use parlour_client::wire::limits::AppLimits;
use parlour_client::{Client, ErrorCode, MessageDraft, ServerClient};
use parlour_server::Config;
use parlour_server::config::Mode;

const SECRET: &str = "the secret of an app that is limited, for its tests";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_beyond_the_limit_are_refused_and_sends_wait_for_their_time_f5_21_f5_24_f5_25() {
    let mut config = Config::default();
    config.server.listen = ([127, 0, 0, 1], 0).into();
    config.app.key = Some("dev".to_owned());
    config.app.secret = Some(SECRET.to_owned());
    config.app.mode = Some(Mode::Production);
    let running = parlour_server::start(config).await.unwrap();
    let url = format!("http://{}", running.address);
    let backend = ServerClient::new(&url, "dev", SECRET).unwrap();
    let in_force = backend.limits().await.unwrap().in_force;
    assert_eq!((in_force.connections_per_user, in_force.calls_per_minute), (Some(50), Some(60)));
    let two = [("POST /v1/channels/{type}/{id}/messages", 2), ("GET /v1/channels/{type}/{id}/messages", 1)];
    let calls: BTreeMap<String, u32> = two.map(|(endpoint, limit)| (endpoint.to_owned(), limit)).into();
    let limits = AppLimits { calls, ..AppLimits::default() };
    assert_eq!(backend.set_limits(limits.clone()).await.unwrap().limits, limits);

    let client = Client::builder(&url, "dev").build().unwrap();
    client.connect_user("alice", backend.create_token("alice", None).unwrap()).await.unwrap();
    let channel = client.channel("messaging", "general").unwrap();
    channel.get_or_create(&[], []).await.unwrap();
    channel.messages(parlour_client::MessagePage::latest(10)).await.unwrap();
    let refused = channel.messages(parlour_client::MessagePage::latest(10)).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::RateLimited.as_str());
    channel.send("one").await.unwrap();
    channel.send("two").await.unwrap();
    let third = channel.queue(MessageDraft::text("three")).await.unwrap();
    let mut connection = client.connection();
    let status = connection.wait_for(|status| !status.throttled.is_empty()).await.unwrap().clone();
    assert_eq!(status.throttled[0].feature, "messages");
    let until = status.throttled[0].until.duration_since(tokio::time::Instant::now());
    assert!((30..=60).contains(&until.as_secs()), "{until:?}");
    drop(third);
    running.stop().await;
}
