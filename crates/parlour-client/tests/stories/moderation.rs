//! Moderation by the SDK's calls, with a real server.

use std::time::Duration;

use parlour_client::wire::members::ChannelRole;
use parlour_client::wire::moderation::BanUser;
use parlour_client::{Client, CloseCode, ServerClient, State};
use parlour_server::Config;
use parlour_server::config::Mode;

const SECRET: &str = "the secret of the app in these tests";

#[tokio::test]
async fn a_backend_bans_and_lets_in_again_and_users_defend_themselves_f2_27_f2_31_f2_32_f2_33() {
    let mut config = Config::default();
    config.server.listen = ([127, 0, 0, 1], 0).into();
    config.app.key = Some("dev".to_owned());
    config.app.secret = Some(SECRET.to_owned());
    config.app.mode = Some(Mode::Development);
    let running = parlour_server::start(config).await.unwrap();
    let url = format!("http://{}", running.address);
    let backend = ServerClient::new(&url, "dev", SECRET).unwrap();
    backend.upsert_users(["alice", "bob", "carol"]).await.unwrap();
    let (alice, bob) = (backend.as_user("alice").unwrap(), backend.as_user("bob").unwrap());
    let channel = alice.channel("messaging", "general").unwrap();
    channel.get_or_create(&["bob", "carol"], []).await.unwrap();
    let promoted = channel.change_role("carol", ChannelRole::Moderator).await.unwrap();
    assert_eq!(promoted.channel_role, ChannelRole::Moderator);

    let client = Client::builder(&url, "dev").build().unwrap();
    client.connect_user("bob", backend.create_token("bob", None).unwrap()).await.unwrap();
    let sent = bob.channel("messaging", "general").unwrap().send("rude words").await.unwrap();
    let flag = alice.flag_message(channel.cid(), &sent.id, Some("rude")).await.unwrap();
    assert_eq!(flag.user.id.as_str(), "bob");
    alice.flag_user("bob", None).await.unwrap();
    let flagged = backend.flags(Some(channel.cid()), None).await.unwrap().flags;
    assert_eq!(flagged[0].message.as_ref().map(|message| message.text.as_str()), Some("rude words"));
    assert_eq!(backend.flags(None, None).await.unwrap().flags.len(), 2);

    // A user's own client has the same calls.
    let muted = client.mute_user("carol", Some(Duration::from_secs(60))).await.unwrap();
    assert_eq!((muted.len(), muted[0].user.id.as_str()), (1, "carol"));
    assert!(
        client.unmute_user("carol").await.unwrap().is_empty() && client.mutes().await.unwrap().is_empty()
    );
    assert_eq!(client.block_user("carol").await.unwrap().len(), 1);
    assert!(
        client.unblock_user("carol").await.unwrap().is_empty() && client.blocks().await.unwrap().is_empty()
    );

    let ban = BanUser { reason: Some("spam".to_owned()), duration_s: Some(60), ..BanUser::default() };
    let mut connection = client.connection();
    assert_eq!(backend.ban_user("bob", &ban).await.unwrap().reason.as_deref(), Some("spam"));
    let failed = connection.wait_for(|status| matches!(status.state, State::Failed(_)));
    let failed = tokio::time::timeout(Duration::from_secs(20), failed).await.unwrap().unwrap().clone();
    assert_eq!(failed.last.as_ref().and_then(|last| last.code), Some(CloseCode::USER_BANNED), "{failed:?}");
    let listed = backend.bans(None, None).await.unwrap();
    assert_eq!((listed.bans.len(), listed.next), (1, None));
    backend.unban_user("bob", None).await.unwrap();
    let from = BanUser { cid: Some(channel.cid().clone()), ..BanUser::default() };
    alice.ban_user("bob", &from).await.unwrap();
    assert_eq!(alice.bans(Some(channel.cid()), None).await.unwrap().bans.len(), 1);
    alice.unban_user("bob", Some(channel.cid())).await.unwrap();
    running.stop().await;
}
