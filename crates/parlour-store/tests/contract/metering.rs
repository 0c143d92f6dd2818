//! Random weeks of connections beside a model that is too simple to be wrong: it keeps every change in a list, and
//! counts by looking at all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parlour_store::{Connect, Ledger, Marks, Ticket, UsageRange};
use parlour_wire::Timestamp;
use parlour_wire::usage::{ByCause, Granularity, UsagePoint};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use crate::kit::{Kit, fields, user};

/// 2026-11-28T00:00:00Z: the first week sees the end of its month.
const START_MS: i64 = 1_795_824_000_000;
const WEEK_MS: i64 = 7 * 24 * 3_600_000;
const USERS: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];

/// A connection as the model knows it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Conn {
    user: &'static str,
    number: usize,
    marks: Marks,
    tabs: u64,
}

/// What there is from a moment on.
#[derive(Clone)]
struct State {
    at: i64,
    open: Vec<Conn>,
    what: What,
}

#[derive(Clone, Copy, PartialEq)]
enum What {
    Opened(usize),
    Closed(u64),
    Shared,
}

/// Everything that ever was.
#[derive(Default)]
struct Model {
    states: Vec<State>,
    /// States up to this one are recorded, at this moment.
    recorded: (usize, i64),
    active: BTreeMap<String, BTreeSet<&'static str>>,
}

impl Model {
    fn open(&self) -> Vec<Conn> {
        self.states.last().map_or_else(Vec::new, |state| state.open.clone())
    }

    fn becomes(&mut self, at: i64, open: Vec<Conn>, what: What) {
        // A clock that was set back goes on in the latest moment that there is.
        let at = self.states.last().map_or(at, |state| state.at.max(at)).max(self.recorded.1);
        self.states.push(State { at, open, what });
    }

    fn records(&mut self, at: i64) {
        let latest = self.states.last().map_or(at, |state| state.at.max(at));
        self.recorded = (self.states.len(), self.recorded.1.max(latest));
    }

    fn crashes(&mut self) {
        self.states.truncate(self.recorded.0);
        let left = self.open().len() as u64;
        if left > 0 {
            self.becomes(self.recorded.1, Vec::new(), What::Closed(left));
        }
        self.recorded.0 = self.states.len();
    }

    fn period(&self, start: i64, end: i64) -> UsagePoint {
        let first = self.states.partition_point(|state| state.at < start);
        let last = self.states.partition_point(|state| state.at < end);
        let carried = first.checked_sub(1).map_or(&[][..], |before| &self.states[before].open);
        let within = &self.states[first..last];
        let mut peak = by_cause(carried);
        let mut tabs_saved = tabs(carried);
        let mut opened = [0; 5];
        let mut closed = 0;
        for state in within {
            let now = by_cause(&state.open);
            tabs_saved = tabs_saved.max(tabs(&state.open));
            if now.iter().sum::<u64>() > peak.iter().sum() {
                peak = now;
            }
            match state.what {
                What::Opened(number) => {
                    let at = state.open.iter().position(|conn| conn.number == number).unwrap();
                    opened[cause(&state.open, at)] += 1;
                }
                What::Closed(count) => closed += count,
                What::Shared => {}
            }
        }
        UsagePoint {
            start: Timestamp::from_unix_ms(start),
            peak: peak.iter().sum(),
            peak_by_cause: ByCause::from_array(peak),
            opened: ByCause::from_array(opened),
            closed,
            tabs_saved,
            monthly_active_users: None,
        }
    }
}

/// By the words of the definitions.
fn cause(open: &[Conn], at: usize) -> usize {
    let this = open[at];
    let older: Vec<_> = open[..at].iter().filter(|older| older.user == this.user).collect();
    let of_device: Vec<_> = older.iter().filter(|older| older.marks.device == this.marks.device).collect();
    let of_page: Vec<_> = of_device.iter().filter(|older| older.marks.page == this.marks.page).collect();
    let of_client = of_page.iter().any(|older| older.marks.instance == this.marks.instance);
    if older.is_empty() {
        0
    } else if of_device.is_empty() {
        1
    } else if of_page.is_empty() {
        2
    } else if !(of_client && this.marks.comes_back) {
        3
    } else {
        4
    }
}

fn by_cause(open: &[Conn]) -> [u64; 5] {
    let mut counts = [0; 5];
    (0..open.len()).for_each(|at| counts[cause(open, at)] += 1);
    counts
}

fn tabs(open: &[Conn]) -> u64 {
    open.iter().map(|conn| conn.tabs - 1).sum()
}

/// A store, and the model beside it.
struct Week {
    kit: Kit,
    random: StdRng,
    ledger: Arc<Ledger>,
    tickets: BTreeMap<usize, Arc<Ticket>>,
    numbers: usize,
    model: Model,
    start: i64,
    now: i64,
}

impl Week {
    /// One week after the other: time does not go back, also where another app is looked at.
    async fn begins(kit: Kit, seed: u64) -> Self {
        let ledger = kit.store.begin_usage().await.unwrap();
        let random = StdRng::seed_from_u64(seed);
        let (tickets, model) = (BTreeMap::new(), Model::default());
        let start = START_MS + i64::try_from(seed).unwrap() * 5 * WEEK_MS;
        Self { kit, random, ledger, tickets, numbers: 0, model, start, now: start }
    }

    fn time(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.now)
    }

    async fn lives(&mut self, changes: i64) {
        for _ in 0..changes {
            // Mostly close together, so that much happens within one minute, and sometimes not at all for hours.
            self.now += match self.random.random_range(0..10) {
                0..5 => self.random.random_range(0..1_000),
                5..9 => self.random.random_range(0..120_000),
                _ => self.random.random_range(0..2 * WEEK_MS / changes * 10),
            };
            match self.random.random_range(0..100) {
                0..40 => self.opens(0).await,
                40..43 => self.opens(6_000).await,
                43..46 => self.opens_too_late().await,
                46..80 => self.closes(),
                80..86 => self.shares(),
                86..96 => self.records().await,
                96 => self.now -= self.random.random_range(0..600_000),
                97 => self.crashes().await,
                _ => self.records_in_silence().await,
            }
        }
        self.records().await;
    }

    fn newcomer(&mut self) -> (Conn, Arc<Ticket>) {
        let mut pick = |among: u64| self.random.random_range(0..among);
        let marks = Marks { device: pick(3), page: pick(3), instance: pick(2), comes_back: pick(2) == 0 };
        let name = USERS[pick(5) as usize];
        self.numbers += 1;
        let ticket = self.ledger.ticket(self.kit.app, user(name), marks);
        (Conn { user: name, number: self.numbers, marks, tabs: 1 }, ticket)
    }

    /// `bytes`: of the user's own fields; too many of them are refused.
    async fn opens(&mut self, bytes: usize) {
        let (conn, ticket) = self.newcomer();
        let fields = fields(json!({"a": "x".repeat(bytes)}));
        let connect = Connect {
            ticket: Some(Arc::clone(&ticket)),
            fields,
            now: self.time(),
            ..self.kit.connect(conn.user)
        };
        if self.kit.store.connect(connect).await.is_err() {
            self.ledger.close(&ticket, self.time());
            // The refusal is a commit, of nothing: what was waiting to be written went on waiting.
            return;
        }
        let mut open = self.model.open();
        open.push(conn);
        self.model.becomes(self.now, open, What::Opened(conn.number));
        self.model.records(self.now);
        self.model.active.entry(self.time().month()).or_default().insert(conn.user);
        self.tickets.insert(conn.number, ticket);
    }

    /// Its place is lost while its transaction waits.
    async fn opens_too_late(&mut self) {
        let (conn, ticket) = self.newcomer();
        self.ledger.close(&ticket, self.time());
        let connect = Connect { ticket: Some(ticket), now: self.time(), ..self.kit.connect(conn.user) };
        self.kit.store.connect(connect).await.unwrap();
        self.model.active.entry(self.time().month()).or_default().insert(conn.user);
    }

    fn any(&mut self) -> Option<usize> {
        let open = self.model.open();
        (!open.is_empty()).then(|| self.random.random_range(0..open.len()))
    }

    fn closes(&mut self) {
        let Some(at) = self.any() else { return };
        let mut open = self.model.open();
        let gone = open.remove(at);
        self.ledger.close(&self.tickets.remove(&gone.number).unwrap(), self.time());
        self.model.becomes(self.now, open, What::Closed(1));
    }

    fn shares(&mut self) {
        let Some(at) = self.any() else { return };
        let mut open = self.model.open();
        open[at].tabs = self.random.random_range(1..5);
        let tabs = u32::try_from(open[at].tabs).unwrap();
        self.ledger.shares(&self.tickets[&open[at].number], tabs, self.time());
        if open != self.model.open() {
            self.model.becomes(self.now, open, What::Shared);
        }
    }

    async fn records(&mut self) {
        self.kit.store.record_closed(vec![], self.time()).await.unwrap();
        self.model.records(self.now);
    }

    /// Hours in which nothing changes, recorded all the same.
    async fn records_in_silence(&mut self) {
        for _ in 0..self.random.random_range(1..4) {
            self.now += 60_000;
            self.records().await;
        }
    }

    async fn crashes(&mut self) {
        self.ledger = self.kit.store.begin_usage().await.unwrap();
        self.tickets.clear();
        self.model.crashes();
    }

    async fn agrees(&self) {
        let end = Timestamp::from_unix_ms(self.now.max(self.model.recorded.1) + 1);
        for granularity in ["minute", "hour", "day", "month"].map(Granularity::from) {
            let range = UsageRange { granularity, from: Timestamp::from_unix_ms(self.start), to: end };
            let told = self.kit.store.usage(self.kit.app, range.clone(), end).await.unwrap().points;
            let starts = told.iter().map(|point| point.start.unix_ms()).skip(1);
            let ends = starts.chain([i64::MAX]);
            for (point, end) in told.iter().zip(ends) {
                let active = self.model.active.get(&point.start.month()).map_or(0, BTreeSet::len);
                let is_month = range.granularity == Granularity::Month;
                let expected = UsagePoint {
                    monthly_active_users: is_month.then_some(active as u64),
                    ..self.model.period(point.start.unix_ms(), end)
                };
                assert_eq!(*point, expected, "{}", range.granularity);
            }
        }
        let census = self.ledger.census(self.kit.app);
        let open = self.model.open();
        assert_eq!(census.by_cause, ByCause::from_array(by_cause(&open)));
        assert_eq!(census.tabs_saved, tabs(&open));
    }
}

#[expect(clippy::print_stdout, reason = "the last seed printed is the one that failed")]
pub(crate) async fn weeks(kit: Kit, seeds: std::ops::Range<u64>, changes: i64) {
    for seed in seeds {
        println!("seed {seed}");
        let app = kit.other_app(&format!("seed-{seed}")).await;
        let mut week = Week::begins(app, seed).await;
        week.lives(changes).await;
        week.agrees().await;
        week.crashes().await;
        week.agrees().await;
    }
}

pub(crate) async fn random_weeks_with_crashes_agree_with_a_naive_model_f5_6_f5_7_f5_8_f5_11_f5_14_f5_15(
    kit: Kit,
) {
    weeks(kit, 0..3, 400).await;
}
