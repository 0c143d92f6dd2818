// Alice says hello and hears herself, as everybody in the channel does.

#[tokio::main]
#[expect(clippy::print_stdout, reason = "this is what it shows")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [url, app_key, token] = ["PARLOUR_URL", "PARLOUR_APP_KEY", "PARLOUR_TOKEN"].map(std::env::var);
    let (url, app_key, token) = (url?, app_key?, token?);
    // quickstart: begin
    use parlour_client::{Client, ClientEvent, Event, NO_DATA, Open, Profile};

    let client = Client::builder(url, app_key).build()?;
    let mut events = client.events();
    client.connect_user(Profile::new("alice").name("Alice"), token).await?;
    let channel = client.channel("messaging", "general")?;
    channel.get_or_create(&[], NO_DATA).await?;
    channel.send("hello").await?;
    while let Some(event) = events.next().await {
        let ClientEvent::Event(frame) = event else { continue };
        let Open::Known(Event::MessageNew { message, .. }) = &frame.event else { continue };
        println!("{}: {}", message.user.id, message.text);
        break;
    }
    // quickstart: end
    Ok(client.disconnect_user().await?)
}
