//! The death of the server between any two calls to its store: before a call, or after it was carried out
//! and before anybody heard of it.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use parlour_store::sqlite::Probe;
use parlour_store::{Result, StoreError};
use tokio::sync::Notify;

/// Counts the store's calls and strikes at the chosen one.
#[derive(Default)]
pub struct Crash {
    /// Calls until it strikes, each counted twice: before and after. Negative: it does not.
    countdown: AtomicI64,
    dead: AtomicBool,
    struck: Notify,
    /// Whether loads of events fail: what a canary switches off.
    loads_fail: AtomicBool,
}

impl Crash {
    /// Strikes after this many moments (two to a call).
    pub fn arm(&self, moments: u64) {
        self.countdown.store(i64::try_from(moments).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    pub fn disarm(&self) {
        self.countdown.store(-1, Ordering::Relaxed);
    }

    /// Whether the server is dead: nothing that it still does may be seen by anybody.
    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    pub fn revive(&self) {
        self.dead.store(false, Ordering::Relaxed);
    }

    /// Returns when it has struck.
    pub async fn struck(&self) {
        self.struck.notified().await;
    }

    /// Whether loads of events fail from now on.
    pub fn fail_loads(&self, fail: bool) {
        self.loads_fail.store(fail, Ordering::Relaxed);
    }

    fn moment(&self) -> Result<()> {
        if self.is_dead() {
            return Err(StoreError::Backend("the server is dead".to_owned()));
        }
        if self.countdown.load(Ordering::Relaxed) >= 0 && self.countdown.fetch_sub(1, Ordering::Relaxed) == 0
        {
            self.dead.store(true, Ordering::Relaxed);
            self.struck.notify_one();
            return Err(StoreError::Backend("the server died".to_owned()));
        }
        Ok(())
    }
}

impl Probe for Crash {
    fn before(&self, call: &'static str) -> Result<()> {
        if call == "events" && self.loads_fail.load(Ordering::Relaxed) {
            return Err(StoreError::Backend("loads are switched off".to_owned()));
        }
        self.moment()
    }

    fn after(&self, _: &'static str) -> Result<()> {
        self.moment()
    }
}
