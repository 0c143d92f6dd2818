//! Who is connected, counted at every change: the figures of a node's own connections, in memory.
//!
//! A connection opens inside the transaction that lets it in ([`Ticket::open`], called by the store) and ends when its
//! server says so ([`Ledger::close`]). Both change the count under one lock, so that every value it ever has is seen by
//! the peaks of the minute and of the hour. What those have become is written by the same commit, once for all who were
//! let in by it; what has closed since, within a second. A row that is written is whole: the last one written is right,
//! whatever was lost before.
//!
//! Not here: what was counted before this process, which the store reads at the beginning, and any clock.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parlour_wire::usage::{ByCause, Cause};
use parlour_wire::{Timestamp, UserId};

use crate::AppId;

/// A minute and an hour, in milliseconds: the periods that are recorded. Days and months are made of hours.
pub(crate) const LENGTHS: [i64; 2] = [60_000, 3_600_000];

/// Tabs that one connection says to be shared by count up to here: the number is the client's word.
pub const TABS_MAX: u32 = 100;

/// What is open at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    pub by_cause: ByCause,
    /// Tabs without a connection of their own.
    pub tabs_saved: u64,
}

/// What was counted in one period; see the table's own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) app: AppId,
    pub(crate) length: i64,
    pub(crate) start: i64,
    pub(crate) peak: ByCause,
    pub(crate) last: Census,
    pub(crate) opened: ByCause,
    pub(crate) closed: u64,
    pub(crate) tabs_saved: u64,
}

impl Row {
    /// A period into which this is carried.
    pub(crate) fn new(app: AppId, length: i64, start: i64, carried: Census) -> Self {
        let Census { by_cause: peak, tabs_saved } = carried;
        let opened = ByCause::default();
        Self { app, length, start, peak, last: carried, opened, closed: 0, tabs_saved }
    }

    /// Takes in what was counted in a shorter period within this one, the next after those before.
    pub(crate) fn holds(&mut self, part: &Self) {
        if part.peak.total() > self.peak.total() {
            self.peak = part.peak;
        }
        let more = part.opened.as_array();
        let mut opened = self.opened.as_array();
        opened.iter_mut().zip(more).for_each(|(opened, more)| *opened += more);
        self.opened = ByCause::from_array(opened);
        self.closed += part.closed;
        self.tabs_saved = self.tabs_saved.max(part.tabs_saved);
        self.last = part.last;
    }

    fn becomes(&mut self, census: Census) {
        self.last = census;
        self.tabs_saved = self.tabs_saved.max(census.tabs_saved);
        // The causes are those of the moment at which the peak was first reached.
        if census.by_cause.total() > self.peak.total() {
            self.peak = census.by_cause;
        }
    }
}

/// Rows to be written in one transaction.
pub(crate) struct Unwritten {
    pub(crate) rows: Vec<Row>,
    /// Everything up to this moment is in them.
    pub(crate) at: i64,
    version: u64,
}

/// What tells a connection from the others of its user, as digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    pub device: u64,
    /// The page or process.
    pub page: u64,
    /// The client object.
    pub instance: u64,
    /// Whether it says that it was connected before.
    pub comes_back: bool,
}

impl Marks {
    /// Why a connection is there beside one that was there before it.
    fn beside(&self, older: &Self) -> Cause {
        if self.device != older.device {
            return Cause::FurtherDevice;
        }
        if self.page != older.page {
            return Cause::ExtraTab;
        }
        match self.comes_back && self.instance == older.instance {
            true => Cause::ReconnectOverlap,
            false => Cause::LeakSuspect,
        }
    }
}

/// The right of one connection to be counted once.
#[derive(Debug)]
pub struct Ticket {
    ledger: Arc<Ledger>,
    app: AppId,
    user: UserId,
    marks: Marks,
    /// It was opened: a transaction may be run a second time. Changed under the ledger's lock, as is the other one.
    is_open: AtomicBool,
    /// It ended, perhaps before it opened.
    is_over: AtomicBool,
}

impl Ticket {
    /// Counts the connection from now on, unless it has ended already. For the store, inside the transaction that lets
    /// it in.
    pub(crate) fn open(self: &Arc<Self>, now: Timestamp) {
        let mut figures = self.ledger.lock();
        if !self.is_over.load(Ordering::Relaxed) && !self.is_open.swap(true, Ordering::Relaxed) {
            figures.open(self, now);
        }
    }
}

/// The figures of a node.
#[derive(Debug, Default)]
pub struct Ledger {
    figures: Mutex<Figures>,
}

#[derive(Debug, Default)]
struct Figures {
    apps: HashMap<AppId, AppFigures>,
    /// The latest moment of any change. A clock that was set back goes on counting there.
    at: i64,
    version: u64,
    /// The version that is written.
    written: u64,
    /// The next commit is to write what is not.
    is_due: bool,
}

#[derive(Debug)]
struct AppFigures {
    census: Census,
    users: HashMap<UserId, Vec<Counted>>,
    /// The periods that are not over, in the order of [`LENGTHS`].
    current: [Row; 2],
    /// When each of those was changed.
    changed: [u64; 2],
    /// Those that are over, and not written yet.
    over: Vec<(u64, Row)>,
}

#[derive(Debug)]
struct Counted {
    ticket: Arc<Ticket>,
    cause: Cause,
    tabs_saved: u32,
}

impl Ledger {
    /// Goes on from the latest rows of each app, the minute's and the hour's. `recorded`: the moment up to which they
    /// are right. Connections that they leave open ended then.
    pub(crate) fn resume(latest: Vec<[Row; 2]>, recorded: i64) -> Self {
        let mut figures = Figures { at: recorded, ..Figures::default() };
        for current in latest {
            let app = current[0].app;
            let census = current[0].last;
            let users = HashMap::new();
            let resumed = AppFigures { census, users, current, changed: [0, 0], over: Vec::new() };
            figures.apps.insert(app, resumed);
            let left = census.by_cause.total();
            if left > 0 {
                figures.change(app, recorded, |app| {
                    app.census = Census::default();
                    app.current.iter_mut().for_each(|row| row.closed += left);
                });
            }
        }
        figures.is_due = true;
        Self { figures: Mutex::new(figures) }
    }

    /// The right of a connection to be counted.
    pub fn ticket(self: &Arc<Self>, app: AppId, user: UserId, marks: Marks) -> Arc<Ticket> {
        let (ledger, is_open, is_over) = (Arc::clone(self), AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Ticket { ledger, app, user, marks, is_open, is_over })
    }

    /// The connection has ended. Saying so again is the same.
    pub fn close(&self, ticket: &Ticket, now: Timestamp) {
        let mut figures = self.lock();
        if !ticket.is_over.swap(true, Ordering::Relaxed) {
            figures.close(ticket, now);
        }
    }

    /// So many tabs share the connection.
    pub fn shares(&self, ticket: &Ticket, tabs: u32, now: Timestamp) {
        self.lock().shares(ticket, tabs.clamp(1, TABS_MAX) - 1, now);
    }

    /// What an app has now.
    pub fn census(&self, app: AppId) -> Census {
        self.lock().apps.get(&app).map_or_else(Census::default, |app| app.census)
    }

    /// Whether anything is open anywhere.
    pub fn is_in_use(&self) -> bool {
        self.lock().apps.values().any(|app| !app.users.is_empty())
    }

    /// Whether something has changed since it was written.
    pub fn is_unwritten(&self) -> bool {
        let figures = self.lock();
        figures.version > figures.written
    }

    /// Until now all is as it was counted: the next commit is to write it.
    pub(crate) fn stands(&self, now: Timestamp) {
        let mut figures = self.lock();
        figures.at = figures.at.max(now.unix_ms());
        figures.is_due = true;
    }

    /// What the commit under way is to write.
    pub(crate) fn due(&self) -> Option<Unwritten> {
        let figures = self.lock();
        if !figures.is_due {
            return None;
        }
        let mut rows = Vec::new();
        for app in figures.apps.values() {
            rows.extend(app.over.iter().map(|(_, row)| *row));
            let changed = app.changed.iter().zip(app.current);
            rows.extend(changed.filter(|(changed, _)| **changed > figures.written).map(|(_, row)| row));
        }
        Some(Unwritten { rows, at: figures.at, version: figures.version })
    }

    /// These rows are on the disk.
    pub(crate) fn written(&self, unwritten: &Unwritten) {
        let mut figures = self.lock();
        let figures = &mut *figures;
        figures.written = unwritten.version;
        figures.is_due = false;
        for app in figures.apps.values_mut() {
            app.over.retain(|(changed, _)| *changed > unwritten.version);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Figures> {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Figures {
    fn open(&mut self, ticket: &Arc<Ticket>, now: Timestamp) {
        self.is_due = true;
        self.change(ticket.app, now.unix_ms(), |app| {
            let others = app.users.entry(ticket.user.clone()).or_default();
            let cause = cause(&ticket.marks, others);
            others.reserve_exact(1);
            others.push(Counted { ticket: Arc::clone(ticket), cause, tabs_saved: 0 });
            *app.census.by_cause.of(cause) += 1;
            app.current.iter_mut().for_each(|row| *row.opened.of(cause) += 1);
        });
    }

    fn close(&mut self, ticket: &Ticket, now: Timestamp) {
        if self.counted(ticket).is_none() {
            return;
        }
        self.change(ticket.app, now.unix_ms(), |app| {
            let Some(of_user) = app.users.get_mut(&ticket.user) else { return };
            let is_it = |counted: &Counted| std::ptr::eq(Arc::as_ptr(&counted.ticket), ticket);
            let Some(at) = of_user.iter().position(is_it) else { return };
            let gone = of_user.remove(at);
            *app.census.by_cause.of(gone.cause) -= 1;
            app.census.tabs_saved -= u64::from(gone.tabs_saved);
            // Those that came later were there beside it.
            for later in at..of_user.len() {
                let (older, rest) = of_user.split_at_mut(later);
                let counted = &mut rest[0];
                *app.census.by_cause.of(counted.cause) -= 1;
                counted.cause = cause(&counted.ticket.marks, older);
                *app.census.by_cause.of(counted.cause) += 1;
            }
            if of_user.is_empty() {
                app.users.remove(&ticket.user);
            }
            app.current.iter_mut().for_each(|row| row.closed += 1);
        });
    }

    fn shares(&mut self, ticket: &Ticket, tabs_saved: u32, now: Timestamp) {
        let Some(counted) = self.counted(ticket) else { return };
        let before = std::mem::replace(&mut counted.tabs_saved, tabs_saved);
        if before != tabs_saved {
            self.change(ticket.app, now.unix_ms(), |app| {
                app.census.tabs_saved = app.census.tabs_saved - u64::from(before) + u64::from(tabs_saved);
            });
        }
    }

    fn counted(&mut self, ticket: &Ticket) -> Option<&mut Counted> {
        let of_user = self.apps.get_mut(&ticket.app)?.users.get_mut(&ticket.user)?;
        of_user.iter_mut().find(|counted| std::ptr::eq(Arc::as_ptr(&counted.ticket), ticket))
    }

    /// Changes an app's figures, and lets its periods see what they have become.
    fn change(&mut self, app: AppId, now: i64, change: impl FnOnce(&mut AppFigures)) {
        self.at = self.at.max(now);
        self.version += 1;
        let (at, version) = (self.at, self.version);
        let app = self.apps.entry(app).or_insert_with(|| AppFigures::new(app, at));
        app.moves_to(at, self.written);
        change(app);
        let census = app.census;
        app.current.iter_mut().for_each(|row| row.becomes(census));
        app.changed = [version; 2];
    }
}

impl AppFigures {
    fn new(app: AppId, at: i64) -> Self {
        let census = Census::default();
        let current = LENGTHS.map(|length| Row::new(app, length, floor(at, length), census));
        Self { census, users: HashMap::new(), current, changed: [0, 0], over: Vec::new() }
    }

    /// Ends the periods that are over, and begins those that hold this moment.
    fn moves_to(&mut self, at: i64, written: u64) {
        for (row, changed) in self.current.iter_mut().zip(self.changed) {
            let start = floor(at, row.length);
            if start > row.start {
                let next = Row::new(row.app, row.length, start, self.census);
                let over = std::mem::replace(row, next);
                if changed > written {
                    self.over.push((changed, over));
                }
            }
        }
    }
}

/// Why a connection is there beside its user's older ones.
fn cause(marks: &Marks, older: &[Counted]) -> Cause {
    older.iter().map(|older| marks.beside(&older.ticket.marks)).max().unwrap_or(Cause::FirstDevice)
}

/// When the period began that holds this moment.
pub(crate) fn floor(ms: i64, length: i64) -> i64 {
    ms - ms.rem_euclid(length)
}
