//! `parlour tail`

use clap::Args;
use parlour_client::wire::Cid;
use parlour_client::{ClientEvent, PresenceSubscription};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use super::chat::{Target, plain, print_line};

/// Prints events as they come: those of the user, and of all channels that the user is a member of.
#[derive(Args)]
pub(crate) struct TailArgs {
    #[command(flatten)]
    target: Target,
    /// Watch this channel too, without being a member; can be given several times
    #[arg(long)]
    channel: Vec<Cid>,
    /// Print nothing but durable events
    #[arg(long)]
    durable: bool,
    /// End after this many lines
    #[arg(long)]
    count: Option<u64>,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: TailArgs) -> anyhow::Result<()> {
    let user = args.target.user()?;
    let client = args.target.client(|builder| builder.presence(PresenceSubscription::Friends))?;
    let mut events = client.events();
    client.connect_user(user, args.target.token()?).await?;
    for cid in &args.channel {
        client.channel_at(cid.clone()).watch().await?;
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let mut left = args.count.unwrap_or(u64::MAX);
    while left > 0 {
        let event = tokio::select! {
            event = events.next() => event,
            _ = terminate.recv() => None,
            interrupted = tokio::signal::ctrl_c() => { interrupted?; None }
        };
        let Some(event) = event else { break };
        if args.durable && !matches!(event, ClientEvent::Event(_)) {
            continue;
        }
        let event = described(&event);
        print_line(&if args.json { event.to_string() } else { line(&event) })?;
        left -= 1;
    }
    let _ = client.disconnect().await;
    Ok(())
}

/// An event as one JSON object with a `type`.
fn described(event: &ClientEvent) -> Value {
    match event {
        ClientEvent::Event(frame) => {
            json!({ "type": "event", "topic": frame.topic, "seq": frame.seq, "event": frame.event })
        }
        ClientEvent::Signal { topic, signal } => {
            json!({ "type": "signal", "topic": topic, "signal": signal })
        }
        ClientEvent::Reset { topic, reason, head } => {
            json!({ "type": "reset", "topic": topic, "reason": reason, "head": head })
        }
        ClientEvent::Connection(change) => json!({
            "type": "connection.changed",
            "from": format!("{:?}", change.from),
            "to": format!("{:?}", change.to),
            "cause": format!("{:?}", change.cause),
            "code": change.code,
        }),
        ClientEvent::Recovered { resumed, downtime } => {
            let downtime_ms = u64::try_from(downtime.as_millis()).unwrap_or(u64::MAX);
            json!({ "type": "connection.recovered", "resumed": resumed, "downtime_ms": downtime_ms })
        }
        ClientEvent::Lagged { missed } => json!({ "type": "lagged", "missed": missed }),
        ClientEvent::Refused { error, topic } => json!({ "type": "refused", "topic": topic, "error": error }),
        other => json!({ "type": "other", "text": format!("{other:?}") }),
    }
}

/// The same for people: type, place, and the rest as it is.
fn line(event: &Value) -> String {
    let text = |value: &Value| value.as_str().map(str::to_owned).unwrap_or_default();
    let kind = match event.get("event").or(event.get("signal")).and_then(|inner| inner.get("type")) {
        Some(inner) => text(inner),
        None => text(&event["type"]),
    };
    let place = match (&event["topic"], &event["seq"]) {
        (Value::String(topic), Value::Number(seq)) => format!("{topic} {seq}"),
        (Value::String(topic), _) => topic.clone(),
        _ => String::new(),
    };
    let mut rest = event.get("event").or(event.get("signal")).unwrap_or(event).clone();
    if let Value::Object(fields) = &mut rest {
        fields.remove("type");
        fields.remove("cid");
    }
    plain(&format!("{kind:<32} {place:<40} {rest}"))
}
