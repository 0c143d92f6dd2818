//! What is counted is what was: connections open and end one after the other against the real binary, which is killed
//! in the middle of it again and again, and the figures are those of a list of everything that happened.

#![expect(clippy::unwrap_used, reason = "a broken fixture is a failed test")]
#![expect(clippy::print_stdout, reason = "the kit shows what a run did")]

mod kit;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use kit::server::{Home, Server};
use parlour_client::wire::usage::{Granularity, UsageQuery, UsageResponse};
use parlour_client::{Frames, Net, Received, TokioNet};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::sync::oneshot;

const KILLS: usize = 4;
/// Openings and endings between two kills: in all as many as in an hour of a busy app.
const CHANGES: usize = 250;
const USERS: usize = 12;
const MINUTE_MS: i64 = 60_000;
const WAIT: Duration = Duration::from_secs(20);

/// One open connection. It answers pings until it leaves, or is dropped.
struct Live {
    leave: oneshot::Sender<()>,
}

impl Live {
    fn begin(mut frames: Box<dyn Frames>) -> Self {
        let (leave, mut leaves) = oneshot::channel();
        tokio::spawn(async move {
            let mut has_left = false;
            loop {
                let word = tokio::select! {
                    received = frames.recv() => match received {
                        Received::Text(text) if text.contains("\"type\":\"ping\"") => json!({"type": "pong"}),
                        Received::Closed { .. } => return,
                        _ => continue,
                    },
                    told = &mut leaves, if !has_left => match told {
                        Ok(()) => {
                            has_left = true;
                            json!({"type": "bye", "intent": "leave"})
                        }
                        Err(_) => return,
                    },
                };
                let _ = frames.send(word.to_string()).await;
            }
        });
        Self { leave }
    }
}

/// A list of everything that happened.
#[derive(Default)]
struct Known {
    /// Minutes with the most at one moment; what was carried in belongs to it.
    peaks: BTreeMap<i64, u64>,
    /// Minutes at the border of which something happened: nobody here knows on which side.
    unclear: BTreeSet<i64>,
    minute: i64,
    open: u64,
    opened: u64,
    active: BTreeSet<String>,
    most: u64,
}

fn minute() -> i64 {
    Timestamp::now().as_millisecond().div_euclid(MINUTE_MS)
}

impl Known {
    /// Something happened since `before`, and so many are open now.
    fn becomes(&mut self, before: i64, open: u64) {
        let after = minute();
        if before != after {
            self.unclear.extend([before, after]);
        }
        for quiet in self.minute + 1..=after {
            self.peaks.insert(quiet, self.open);
        }
        self.minute = after;
        self.open = open;
        self.most = self.most.max(open);
        let peak = self.peaks.entry(after).or_default();
        *peak = (*peak).max(open);
    }

    /// It is over for all at once. When the last word was written is the server's secret, so the minutes since are not
    /// asked for.
    fn crashes(&mut self) {
        let latest = self.minute;
        self.becomes(latest, 0);
        self.unclear.extend(latest + 1..=minute());
    }
}

struct Story {
    server: Server,
    net: TokioNet,
    random: StdRng,
    live: Vec<Live>,
    known: Known,
}

impl Story {
    async fn opens(&mut self) {
        let n = self.random.random_range(0..USERS);
        let user = format!("u{n}");
        let backend = self.server.backend();
        let token = backend.create_token(&user, None).unwrap();
        let page = format!("p{}", self.random.random_range(0..3));
        let hello = json!({
            "type": "hello", "app_key": self.server.app_key(), "token": token,
            "client": {"instance": page, "page": page, "version": 1, "platform": "test"},
        });
        let before = minute();
        let url = format!("{}/v1/connect", self.server.url().replace("http", "ws"));
        let mut frames = self.net.open(&url).await.unwrap();
        frames.send(hello.to_string()).await.unwrap();
        assert_eq!(next(&mut frames).await["type"], "ready");
        self.live.push(Live::begin(frames));
        self.known.becomes(before, self.live.len() as u64);
        self.known.opened += 1;
        self.known.active.insert(user);
    }

    async fn closes(&mut self) {
        if self.live.is_empty() {
            return;
        }
        let at = self.random.random_range(0..self.live.len());
        let before = minute();
        self.live.swap_remove(at).leave.send(()).unwrap();
        // The server knows a moment after the client does.
        let left = self.live.len() as u64;
        tokio::time::timeout(WAIT, async {
            while self.usage(UsageQuery::default()).await.concurrent_connections.current != left {}
        })
        .await
        .unwrap();
        self.known.becomes(before, left);
    }

    async fn usage(&self, query: UsageQuery) -> UsageResponse {
        self.server.backend().usage(query).await.unwrap()
    }

    async fn lives(&mut self) {
        for _ in 0..CHANGES {
            // Up to about forty, and down again.
            let grows = self.random.random_range(0..60) > self.live.len();
            if grows { self.opens().await } else { self.closes().await }
        }
    }

    /// Whatever was told to be open was counted, and nothing else was.
    async fn agrees(&self) {
        let last = u32::try_from(self.known.peaks.len() + 1).unwrap();
        let minutes =
            UsageQuery { granularity: Some(Granularity::Minute), last: Some(last), ..UsageQuery::default() };
        let usage = self.usage(minutes).await;
        let connections = &usage.concurrent_connections;
        assert_eq!(usage.monthly_active_users, self.known.active.len() as u64);
        assert_eq!(connections.current, self.live.len() as u64);
        assert_eq!(connections.peak_month, self.known.most);
        let mut compared = 0;
        for point in &connections.series.points {
            let minute = point.start.unix_ms().div_euclid(MINUTE_MS);
            if let Some(peak) =
                self.known.peaks.get(&minute).filter(|_| !self.known.unclear.contains(&minute))
            {
                assert_eq!(point.peak, *peak, "{}", point.start);
                assert_eq!(point.peak_by_cause.total(), *peak);
                compared += 1;
            }
        }
        assert!(compared > 0 || self.known.unclear.len() > 1, "nothing was compared");
        let sums = |points: &[parlour_client::wire::usage::UsagePoint]| {
            let opened: u64 = points.iter().map(|point| point.opened.total()).sum();
            (opened, points.iter().map(|point| point.closed).sum::<u64>())
        };
        let closed = self.known.opened - self.known.open;
        for granularity in [Granularity::Minute, Granularity::Hour, Granularity::Day] {
            let last = if granularity == Granularity::Minute { last } else { 2 };
            let query =
                UsageQuery { granularity: Some(granularity), last: Some(last), ..UsageQuery::default() };
            let points = self.usage(query).await.concurrent_connections.series.points;
            assert_eq!(sums(&points), (self.known.opened, closed));
        }
    }
}

async fn next(frames: &mut Box<dyn Frames>) -> Value {
    match tokio::time::timeout(WAIT, frames.recv()).await.unwrap() {
        Received::Text(text) => serde_json::from_str(&text).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_hour_with_kills_is_counted_as_it_was_f5_6_f5_7_f5_9_f5_11() {
    let folder = tempfile::tempdir().unwrap();
    let mut home = Home::new(folder.path().join("data"));
    home.set("PARLOUR_LIMITS__CONNECTIONS_PER_USER", 50);
    let server = home.start().await;
    let random = StdRng::seed_from_u64(5);
    let known = Known { minute: minute(), ..Known::default() };
    let mut story = Story { server, net: TokioNet::new().unwrap(), random, live: Vec::new(), known };
    for kill in 0..KILLS {
        story.lives().await;
        story.agrees().await;
        // In the middle of it: what was let in last stays counted, what ended last may not have been told to the disk.
        story.opens().await;
        if kill % 2 == 0 {
            story.closes().await;
        }
        let Story { server, net, random, live, mut known } = story;
        server.kill().await;
        drop(live);
        known.crashes();
        let server = home.start().await;
        story = Story { server, net, random, live: Vec::new(), known };
        story.agrees().await;
    }
    story.lives().await;
    story.agrees().await;
}
