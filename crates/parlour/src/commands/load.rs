//! `parlour load`: many clients connect and chat, and the figures are honest.
//!
//! Messages are sent by the clock, whether or not earlier ones are through, and each latency counts from the
//! moment at which the message was due: a server that stalls shows its stall in every message that was due
//! meanwhile, and not in one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use hdrhistogram::Histogram;
use parlour_client::wire::members::UpdateMembers;
use parlour_client::wire::{Cid, UserId};
use parlour_client::{
    Channel, Client, ClientEvent, Event, Events, MessageDraft, NO_DATA, Net, Open, ServerClient, TokioNet,
};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Usage;
use super::chat::{given, print_line};
use super::token::{SecretArgs, duration};

/// How long tokens are good for: longer than any run.
const TOKEN_TTL: Duration = Duration::from_secs(24 * 3_600);
/// When all is sent, this long the last deliveries have to arrive.
const DRAIN: Duration = Duration::from_secs(10);
/// Users or members in one call.
const BATCH: usize = 100;
/// The longest latency that is told apart: a minute, in microseconds.
const LATENCY_MAX_US: u64 = 60_000_000;
/// Receivers record into one of these in turns, so that they do not wait for one another.
const SHARDS: usize = 16;

/// Load-tests a server: clients connect and chat.
#[derive(Args)]
pub(crate) struct LoadArgs {
    /// The server [default: PARLOUR_URL, or http://127.0.0.1:8790]
    #[arg(long)]
    url: Option<String>,
    #[command(flatten)]
    secret: SecretArgs,
    /// Clients, each its own user with its own connection
    #[arg(long, default_value_t = 100)]
    users: usize,
    /// Channels, over which the users are spread evenly
    #[arg(long, default_value_t = 1)]
    channels: usize,
    /// Messages per second, over all clients: `50` or `50/s`
    #[arg(long, default_value = "10/s", value_parser = rate)]
    rate: f64,
    /// How long to send
    #[arg(long, default_value = "30s", value_parser = duration)]
    duration: Duration,
    /// Characters of each message's text
    #[arg(long, default_value_t = 100)]
    chars: usize,
    /// Dials at the same time
    #[arg(long, default_value_t = 64)]
    dials: usize,
    /// The server's process on this machine, to weigh its memory
    #[arg(long)]
    pid: Option<u32>,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

fn rate(text: &str) -> anyhow::Result<f64> {
    let number: f64 = text.trim_end_matches("/s").parse().context("a rate is written like 50/s")?;
    anyhow::ensure!(number.is_finite() && number > 0.0, "a rate is more than nothing");
    Ok(number)
}

pub(crate) async fn run(args: LoadArgs) -> anyhow::Result<()> {
    if args.users == 0 || args.channels == 0 || args.channels > args.users || args.dials == 0 {
        return Err(Usage("at least one user, one dial, and as many users as channels".to_owned()).into());
    }
    let url = given(args.url, "PARLOUR_URL").unwrap_or_else(|| "http://127.0.0.1:8790".to_owned());
    let (app_key, secret) = args.secret.read()?;
    let Some(app_key) = app_key else {
        return Err(Usage("no app key: give --app-key".to_owned()).into());
    };
    // One HTTP client for all: its pool and its TLS set-up would otherwise be most of the memory.
    let net: Arc<dyn Net> = Arc::new(TokioNet::new()?);
    let server = ServerClient::with_net(&url, &app_key, &secret, net.clone())?;
    let run = format!("{:x}", jiff::Timestamp::now().as_millisecond());
    let users: Vec<UserId> =
        (0..args.users).map(|n| UserId::parse(&format!("load-{n}"))).collect::<Result<_, _>>()?;

    let rooms = prepare(&server, &users, args.channels, &run).await?;
    let rss_before = args.pid.map(rss_bytes).transpose()?;
    let connected = connect(&url, &app_key, &server, &net, &users, args.dials).await?;
    let rss_connected = args.pid.map(rss_bytes).transpose()?;

    let plan = Plan {
        run,
        start: Instant::now() + Duration::from_millis(100),
        rate: args.rate,
        length: args.duration,
    };
    let figures = chat(&connected.clients, rooms, plan, args.chars).await?;
    let rss_after = args.pid.map(rss_bytes).transpose()?;

    let report = json!({
        "connections": {
            "opened": args.users,
            "seconds": connected.took.as_secs_f64(),
            "per_second": args.users as f64 / connected.took.as_secs_f64(),
            "latency_us": percentiles(&connected.latency),
        },
        "sends": figures.sends,
        "deliveries": figures.deliveries,
        "server_rss": rss_before.zip(rss_connected).map(|(before, connected)| json!({
            "before_bytes": before,
            "connected_bytes": connected,
            "after_bytes": rss_after,
            "per_connection_bytes": connected.saturating_sub(before) / args.users as u64,
        })),
    });
    let mut leaving = JoinSet::new();
    for client in connected.clients {
        leaving.spawn(client.disconnect_user());
    }
    leaving.join_all().await;
    if args.json { print_line(&report.to_string()) } else { print_report(&report) }
}

/// Makes users and channels; answers with the channel of each user, by the user's number.
async fn prepare(
    server: &ServerClient,
    users: &[UserId],
    channels: usize,
    run: &str,
) -> anyhow::Result<Vec<Cid>> {
    for batch in users.chunks(BATCH) {
        server.upsert_users(batch.iter().cloned()).await?;
    }
    let mut rooms: Vec<Cid> = Vec::with_capacity(channels);
    for room in 0..channels {
        let members: Vec<UserId> = users.iter().skip(room).step_by(channels).cloned().collect();
        let channel =
            server.as_user(members[0].as_str())?.channel("messaging", &format!("load-{run}-{room}"))?;
        channel.get_or_create(&[], NO_DATA).await?;
        for batch in members[1..].chunks(BATCH) {
            channel
                .update_members(&UpdateMembers { add: batch.to_vec(), ..UpdateMembers::default() })
                .await?;
        }
        rooms.push(channel.cid().clone());
    }
    Ok((0..users.len()).map(|user| rooms[user % channels].clone()).collect())
}

struct Connected {
    clients: Vec<Client>,
    took: Duration,
    latency: Histogram<u64>,
}

async fn connect(
    url: &str,
    app_key: &str,
    server: &ServerClient,
    net: &Arc<dyn Net>,
    users: &[UserId],
    dials: usize,
) -> anyhow::Result<Connected> {
    let slots = Arc::new(Semaphore::new(dials));
    let start = Instant::now();
    let mut joining = JoinSet::new();
    for (number, user) in users.iter().enumerate() {
        let token = server.create_token(user.as_str(), Some(TOKEN_TTL))?;
        let client =
            Client::builder(url, app_key).net(net.clone()).call_timeout(Duration::from_secs(60)).build()?;
        let (user, slots) = (user.clone(), slots.clone());
        joining.spawn(async move {
            let _slot = slots.acquire_owned().await?;
            let begun = Instant::now();
            client.connect_user(user, token).await?;
            anyhow::Ok((number, client, begun.elapsed()))
        });
    }
    let mut latency = histogram()?;
    let mut clients = BTreeMap::new();
    while let Some(joined) = joining.join_next().await {
        let (number, client, took) = joined??;
        latency.saturating_record(micros(took));
        clients.insert(number, client);
    }
    Ok(Connected { clients: clients.into_values().collect(), took: start.elapsed(), latency })
}

/// Which message is due when.
#[derive(Clone)]
struct Plan {
    run: String,
    start: Instant,
    rate: f64,
    length: Duration,
}

impl Plan {
    fn messages(&self) -> u64 {
        (self.rate * self.length.as_secs_f64()).ceil() as u64
    }

    fn due(&self, number: u64) -> Instant {
        self.start + Duration::from_secs_f64(number as f64 / self.rate)
    }
}

/// What the receivers and senders count together.
struct Tally {
    delivered: Vec<Mutex<Histogram<u64>>>,
    acknowledged: Mutex<Histogram<u64>>,
    deliveries: AtomicU64,
    owed: AtomicU64,
    failed: AtomicU64,
    lagged: AtomicU64,
}

struct Figures {
    sends: Value,
    deliveries: Value,
}

async fn chat(clients: &[Client], rooms: Vec<Cid>, plan: Plan, chars: usize) -> anyhow::Result<Figures> {
    let shards: anyhow::Result<Vec<_>> = (0..SHARDS).map(|_| Ok(Mutex::new(histogram()?))).collect();
    let tally = Arc::new(Tally {
        delivered: shards?,
        acknowledged: Mutex::new(histogram()?),
        deliveries: AtomicU64::new(0),
        owed: AtomicU64::new(0),
        failed: AtomicU64::new(0),
        lagged: AtomicU64::new(0),
    });
    let mut members: BTreeMap<&Cid, u64> = BTreeMap::new();
    for room in &rooms {
        *members.entry(room).or_default() += 1;
    }
    let mut receivers = JoinSet::new();
    for (number, client) in clients.iter().enumerate() {
        let events = client.events();
        receivers.spawn(receive(events, number, plan.clone(), tally.clone()));
    }
    let channels: Vec<(Channel, u64)> = clients
        .iter()
        .zip(&rooms)
        .map(|(client, room)| (client.channel_at(room.clone()), members[room]))
        .collect();
    let mut senders = JoinSet::new();
    for number in 0..plan.messages() {
        let due = plan.due(number);
        tokio::time::sleep_until(due).await;
        let (channel, members) = channels[number as usize % channels.len()].clone();
        let mut draft = MessageDraft::text("x".repeat(chars.max(1)));
        draft.custom.insert("load_run".to_owned(), plan.run.clone().into());
        draft.custom.insert("load_number".to_owned(), number.into());
        let tally = tally.clone();
        senders.spawn(async move {
            match channel.send_message(draft).await {
                Ok(_) => {
                    record(&tally.acknowledged, due.elapsed());
                    tally.owed.fetch_add(members, Ordering::Relaxed);
                }
                Err(_) => {
                    tally.failed.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        // What is done leaves the set, which would otherwise hold the whole run.
        while senders.try_join_next().is_some() {}
    }
    let _ = tokio::time::timeout(DRAIN, async { while senders.join_next().await.is_some() {} }).await;
    let sent_for = plan.start.elapsed();
    let unresolved = senders.len() as u64;
    let drained = async {
        while tally.deliveries.load(Ordering::Relaxed) < tally.owed.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let _ = tokio::time::timeout(DRAIN, drained).await;
    receivers.abort_all();
    senders.abort_all();
    Ok(tally.figures(&plan, sent_for, unresolved))
}

async fn receive(mut events: Events, number: usize, plan: Plan, tally: Arc<Tally>) {
    while let Some(event) = events.next().await {
        match event {
            ClientEvent::Event(frame) => {
                let Open::Known(Event::MessageNew { message, .. }) = &frame.event else { continue };
                let ours = message.custom.get("load_run").and_then(Value::as_str) == Some(&plan.run);
                let Some(due) = message.custom.get("load_number").and_then(Value::as_u64).filter(|_| ours)
                else {
                    continue;
                };
                record(&tally.delivered[number % SHARDS], plan.due(due).elapsed());
                tally.deliveries.fetch_add(1, Ordering::Relaxed);
            }
            ClientEvent::Lagged { missed } => {
                tally.lagged.fetch_add(missed, Ordering::Relaxed);
            }
            _ => {}
        }
    }
}

impl Tally {
    fn figures(&self, plan: &Plan, sent_for: Duration, unresolved: u64) -> Figures {
        let acknowledged = self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut delivered = self.delivered[0].lock().unwrap_or_else(PoisonError::into_inner).clone();
        for shard in &self.delivered[1..] {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            delivered.add(&*shard).unwrap_or_else(|e| tracing::error!("latencies do not add up: {e}"));
        }
        let deliveries = self.deliveries.load(Ordering::Relaxed);
        let owed = self.owed.load(Ordering::Relaxed);
        let seconds = sent_for.as_secs_f64();
        Figures {
            sends: json!({
                "offered": plan.messages(),
                "acknowledged": acknowledged.len(),
                "failed": self.failed.load(Ordering::Relaxed),
                "unresolved": unresolved,
                "per_second": acknowledged.len() as f64 / seconds,
                "latency_us": percentiles(&acknowledged),
            }),
            deliveries: json!({
                "received": deliveries,
                "missing": owed.saturating_sub(deliveries),
                "lagged": self.lagged.load(Ordering::Relaxed),
                "per_second": deliveries as f64 / seconds,
                "latency_us": percentiles(&delivered),
            }),
        }
    }
}

fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, LATENCY_MAX_US, 3)?)
}

fn micros(length: Duration) -> u64 {
    u64::try_from(length.as_micros()).unwrap_or(u64::MAX).max(1)
}

fn record(histogram: &Mutex<Histogram<u64>>, length: Duration) {
    histogram.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(micros(length));
}

fn percentiles(histogram: &Histogram<u64>) -> Value {
    if histogram.is_empty() {
        return Value::Null;
    }
    let at = |quantile| histogram.value_at_quantile(quantile);
    json!({ "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "p99_9": at(0.999), "max": histogram.max() })
}

/// The resident memory of a process on this machine.
fn rss_bytes(pid: u32) -> anyhow::Result<u64> {
    let path = PathBuf::from(format!("/proc/{pid}/status"));
    let status = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS in it")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1_024)
}

fn print_report(report: &Value) -> anyhow::Result<()> {
    let ms = |value: &Value| format!("{:.1}", value.as_f64().unwrap_or(f64::NAN) / 1_000.0);
    let latency = |part: &Value| match &part["latency_us"] {
        Value::Null => "no latency: none came".to_owned(),
        p => format!(
            "p50 {} · p90 {} · p99 {} · p99.9 {} · max {} ms",
            ms(&p["p50"]),
            ms(&p["p90"]),
            ms(&p["p99"]),
            ms(&p["p99_9"]),
            ms(&p["max"])
        ),
    };
    let number = |value: &Value| value.as_f64().unwrap_or(0.0);
    let (connections, sends, deliveries) = (&report["connections"], &report["sends"], &report["deliveries"]);
    print_line(&format!(
        "connections  {} opened, {:.0}/s · {}",
        connections["opened"],
        number(&connections["per_second"]),
        latency(connections)
    ))?;
    print_line(&format!(
        "sends        {} of {} acknowledged, {} failed, {} unresolved, {:.0}/s · {}",
        sends["acknowledged"],
        sends["offered"],
        sends["failed"],
        sends["unresolved"],
        number(&sends["per_second"]),
        latency(sends)
    ))?;
    print_line(&format!(
        "deliveries   {} received, {} missing, {} left out, {:.0}/s · {}",
        deliveries["received"],
        deliveries["missing"],
        deliveries["lagged"],
        number(&deliveries["per_second"]),
        latency(deliveries)
    ))?;
    if let Value::Object(rss) = &report["server_rss"] {
        let mib = |name: &str| number(&rss[name]) / (1_024.0 * 1_024.0);
        print_line(&format!(
            "server       {:.1} KiB RSS per connection ({:.1} MiB before, {:.1} connected, {:.1} after)",
            number(&rss["per_connection_bytes"]) / 1_024.0,
            mib("before_bytes"),
            mib("connected_bytes"),
            mib("after_bytes")
        ))?;
    }
    print_line("latencies count from the moment each message was due")
}
