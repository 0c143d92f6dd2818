//! `parlour send`

use std::time::Duration;

use clap::Args;
use parlour_client::wire::{Cid, MessageId};
use parlour_client::{Error, ErrorCode, MessageDraft, NO_DATA};
use serde_json::json;
use tokio::io::AsyncReadExt;

use super::chat::{CHANNEL, Target, plain, print_line};
use super::token::duration;

/// Sends one message, and waits until the server has stored it.
#[derive(Args)]
pub(crate) struct SendArgs {
    #[command(flatten)]
    target: Target,
    #[arg(long, default_value = CHANNEL)]
    channel: Cid,
    /// The text; `-` reads it from standard input
    text: String,
    /// The message's id: the same id again is the same message [default: a new one]
    #[arg(long)]
    id: Option<MessageId>,
    /// Make the channel if it is not there
    #[arg(long)]
    create: bool,
    /// Give up after this
    #[arg(long, default_value = "10s", value_parser = duration)]
    timeout: Duration,
    /// Print the message as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: SendArgs) -> anyhow::Result<()> {
    let text = match args.text.as_str() {
        "-" => {
            let mut text = String::new();
            tokio::io::stdin().read_to_string(&mut text).await?;
            text.trim_end_matches(['\n', '\r']).to_owned()
        }
        text => text.to_owned(),
    };
    let user = args.target.user()?;
    let client = args.target.client(|builder| builder.call_timeout(args.timeout))?;
    let sending = async {
        client.connect_user(user, args.target.token()?).await?;
        let channel = client.channel_at(args.channel.clone());
        if args.create {
            channel.get_or_create(&[], NO_DATA).await?;
        }
        channel.send_message(MessageDraft { id: args.id.clone(), ..MessageDraft::text(text) }).await
    };
    let sent = tokio::time::timeout(args.timeout, sending)
        .await
        .unwrap_or_else(|_| Err(Error::from(ErrorCode::Timeout.because("not acknowledged in time"))));
    let _ = client.disconnect().await;
    let message = sent?;
    if args.json {
        print_line(&json!({ "message": message }).to_string())
    } else {
        print_line(&format!("sent {} (seq {}): {}", message.id, message.seq, plain(&message.text)))
    }
}
