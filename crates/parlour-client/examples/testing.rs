// An app's own test: what its user sees while the network is away, and after.
//
// Run it: cargo test -p parlour-client --example testing

fn main() {}

// testing: begin
#[cfg(test)]
mod tests {
    use std::time::Duration;

    use parlour_client::testing::FakeServer;
    use parlour_client::{Client, MessageDraft, UiStatus};

    const TEAM: &str = "messaging:team";

    /// What this app shows above its list of channels.
    fn banner(client: &Client) -> String {
        match client.connection().borrow().ui_status {
            UiStatus::Online => format!("{} unread", client.unread().total_unread_count),
            _ => "Offline. What you write is sent later.".to_owned(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_written_in_a_tunnel_arrives_once() -> Result<(), parlour_client::Error> {
        let server = FakeServer::new();
        server.channel(TEAM, &["alice", "bob"]);
        let client = server.client().build()?;
        client.connect_user("alice", server.token("alice")).await?;
        assert_eq!(banner(&client), "0 unread");

        server.go_away();
        server.says(TEAM, "bob", "Where are you?");
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(banner(&client), "Offline. What you write is sent later.");

        let written = MessageDraft::text("In a tunnel");
        let sending = client.channel("messaging", "team")?.queue(written).await?;
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        server.come_back();
        server.lose_next_answer();
        sending.await?;
        let texts: Vec<_> = server.messages(TEAM).into_iter().map(|message| message.text).collect();
        assert_eq!(texts, ["Where are you?", "In a tunnel"]);
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(banner(&client), "1 unread");
        Ok(())
    }
}
// testing: end
