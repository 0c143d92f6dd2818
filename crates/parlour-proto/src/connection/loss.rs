//! How a connection ends, and how soon the next one is tried.

use parlour_wire::{CloseBehaviour, CloseCode};

use super::background::Hold;
use super::link::{LastWords, Link, Proof, Step, Story, Trying};
use super::login::{Login, Token, Trust};
use super::{AppLevel, Cause, Connection, FailedWhy, NetworkLevel, Output, PROBE_MS, UiStatus, Why};
use crate::backoff::share;
use crate::{Backoff, Millis};

/// While the app is hidden, waits may grow up to this.
const HIDDEN_CAP_MS: Millis = 60_000;
/// When the server wants its clients back later and does not say when, they come after this and the backoff.
const LATER_MS: Millis = 1_000;

/// How soon to come back after a loss.
pub(super) enum Return {
    AtOnce,
    /// At once, because it is by another transport.
    Elsewhere,
    Backoff,
    Later,
    Spread,
    /// At the time that the server named, which is still to come.
    At(Millis),
}

impl Connection {
    pub(super) fn closed(
        &mut self,
        now: Millis,
        jitter: f64,
        dial: u64,
        code: Option<CloseCode>,
        reason: String,
        out: &mut Vec<Output>,
    ) -> Why {
        if self.climb_failed(now, dial, out) {
            return Cause::TransportClosed.into();
        }
        if matches!(&self.link, Link::Up(live) if live.dial == dial) && self.is_succeeded(now) {
            return Cause::TransportClosed.into();
        }
        let words = match &mut self.link {
            Link::Closing { dial: current, cause, .. } if *current == dial => {
                let cause = cause.clone();
                self.link = Link::Rest;
                return cause.into();
            }
            Link::Trying(Trying { step, .. }) if step.dial() == Some(dial) => match step {
                Step::Hello { words, .. } => std::mem::take(words),
                Step::Token { .. } | Step::Wait { .. } | Step::Opening(_) => LastWords::default(),
            },
            Link::Up(live) if live.dial == dial => {
                if code.is_none_or(means_none) && live.words.bye.is_none() {
                    self.ways.cut(now - live.heard_at);
                }
                std::mem::take(&mut live.words)
            }
            // An old dial.
            _ => return Cause::TransportClosed.into(),
        };
        self.stop_climbing(out);
        // A `bye` that came is as good as a code.
        let code = code.filter(|code| !means_none(*code));
        let code = code.or(words.bye.as_ref().map(|bye| bye.code));
        let cause = if code.is_some() { Cause::ServerClosed } else { Cause::TransportClosed };
        let at = words.not_before.filter(|at| *at > now);
        let named = |otherwise| at.map_or(otherwise, Return::At);
        match (code, code.map_or(CloseBehaviour::Resume, CloseCode::behaviour)) {
            (Some(code), _) if code == CloseCode::LEASE_EXPIRED => self.lease_is_over(now, jitter, out),
            (None, _) if !words.any && self.falls_back(false, &reason, out) => {
                self.lose(now, jitter, Return::Elsewhere, out);
            }
            (Some(code), CloseBehaviour::Terminal) => self.fail(words.refused(code, reason)),
            (Some(code), _) if code == CloseCode::TOKEN_EXPIRED => {
                self.token_expired(now, jitter, words.refused(code, reason), named(Return::AtOnce), out);
            }
            (_, CloseBehaviour::ComeBackLater) => self.lose(now, jitter, named(Return::Later), out),
            (_, CloseBehaviour::ComeBackAtOnce) => self.lose(now, jitter, named(Return::AtOnce), out),
            (_, CloseBehaviour::Spread) => self.lose(now, jitter, named(Return::Spread), out),
            (_, CloseBehaviour::Resume | CloseBehaviour::Terminal) => {
                self.lose(now, jitter, named(Return::Backoff), out);
            }
        }
        Why { cause, code }
    }

    /// The server did not take the token, or no longer: one other is tried.
    fn token_expired(
        &mut self,
        now: Millis,
        jitter: f64,
        why: FailedWhy,
        then: Return,
        out: &mut Vec<Output>,
    ) {
        let Login::User(user) = &mut self.login else { return };
        match std::mem::replace(&mut user.token, Token::Unknown) {
            Token::Held { trust: Trust::Last, .. } => self.fail(why),
            Token::Held { token, trust: Trust::Full } | Token::Refused { token, .. } => {
                user.token = Token::Refused { token, why };
                self.lose(now, jitter, then, out);
            }
            Token::Unknown => self.lose(now, jitter, then, out),
        }
    }

    /// Drops a transport that is of no use, and comes back.
    pub(super) fn break_off(
        &mut self,
        now: Millis,
        jitter: f64,
        dial: u64,
        cause: Cause,
        out: &mut Vec<Output>,
    ) -> Why {
        out.push(Output::Close { dial, code: CloseCode::MEANS_TO_RESUME });
        let (heard, at, then) = match &self.link {
            Link::Up(live) if live.probe_until.is_some() => (true, live.words.not_before, Return::AtOnce),
            Link::Up(live) => (true, live.words.not_before, Return::Backoff),
            Link::Trying(Trying { step: Step::Hello { words, .. }, .. }) => {
                (words.any, words.not_before, Return::Backoff)
            }
            _ => (false, None, Return::Backoff),
        };
        let stalled = cause == Cause::DialTimeout && !heard;
        let then = if stalled && self.falls_back(true, "no answer", out) { Return::Elsewhere } else { then };
        let at = at.filter(|at| *at > now);
        self.lose(now, jitter, at.map_or(then, Return::At), out);
        cause.into()
    }

    /// The server ended what outlived its lease.
    fn lease_is_over(&mut self, now: Millis, jitter: f64, out: &mut Vec<Output>) {
        if self.is_in_front() {
            // The user came back in that very moment.
            self.lose(now, jitter, Return::AtOnce, out);
        } else {
            self.give_up(out);
        }
    }

    /// What ended in the background is not dialled again by itself.
    fn give_up(&mut self, out: &mut Vec<Output>) {
        self.hold = Hold::None;
        self.lapse();
        self.stop_climbing(out);
        self.link = Link::Rest;
    }

    /// A dial ended without a word from the server. Answers whether the next transport is tried now.
    fn falls_back(&mut self, stalled: bool, reason: &str, out: &mut Vec<Output>) -> bool {
        let (Link::Trying(Trying { step, .. }), true) = (&self.link, self.network != NetworkLevel::Down)
        else {
            return false;
        };
        let (Step::Opening(dial) | Step::Hello { dial, .. }) = step else { return false };
        let from = dial.transport;
        let Some(at) = self.ways.failed(self.config.transports.len(), stalled) else { return false };
        let to = self.config.transports[at];
        out.push(Output::FellBack { from, to, because: reason.to_owned() });
        // Back at the first one, all have failed: no other one is worth hurrying for.
        at != 0
    }

    /// There is no connection (any more), and one is wanted.
    pub(super) fn lose(&mut self, now: Millis, jitter: f64, then: Return, out: &mut Vec<Output>) {
        let mut was_up = false;
        let (since, shown) = match &self.link {
            Link::Trying(trying) => (trying.since, trying.shown),
            Link::Up(_) if self.is_given_up_when_lost() => return self.give_up(out),
            Link::Up(live) => {
                was_up = true;
                let stable =
                    now >= live.since + self.config.stable_after_ms && live.proof == Proof::RoundTrip;
                if stable {
                    self.failures = 0;
                }
                (now, UiStatus::Online)
            }
            Link::Rest | Link::Failed(_) | Link::Closing { .. } => return,
        };
        self.stop_climbing(out);
        let before = self.failures;
        let no_network = self.network == NetworkLevel::Down;
        // A probe that finds no network says nothing of the server.
        if was_up || !no_network {
            self.failures = before.saturating_add(1);
        }
        let wait = self.backoff().wait(before, jitter);
        let until = match then {
            _ if no_network => now + PROBE_MS,
            // At once, but not again and again: a server that closes every hello would be dialled in a loop.
            Return::AtOnce if was_up || before == 0 => now,
            Return::Elsewhere => now,
            Return::AtOnce | Return::Backoff => now + wait,
            Return::Later => now + LATER_MS + wait,
            Return::Spread => now + share(jitter, self.config.spread_ms),
            Return::At(at) => at,
        };
        let at_once = until == now && matches!(then, Return::AtOnce | Return::Elsewhere);
        let step = if at_once { self.dial(now, out) } else { Step::Wait { until } };
        self.link = Link::Trying(Trying { story: Story::Again, since, shown, step });
    }

    pub(super) fn fail(&mut self, why: FailedWhy) {
        let token_is_bad = match &why {
            FailedWhy::Token { .. } => true,
            FailedWhy::Refused { code, .. } => {
                matches!(*code, CloseCode::TOKEN_REFUSED | CloseCode::TOKEN_EXPIRED | CloseCode::SERVER_TOKEN)
            }
        };
        if let Some(user) = self.login.user() {
            user.predecessor = None;
            if token_is_bad {
                user.token = Token::Unknown;
            }
        }
        self.link = Link::Failed(why);
    }

    pub(super) fn backoff(&self) -> Backoff {
        let cap_ms = match self.app {
            AppLevel::Foreground => self.config.backoff.cap_ms,
            AppLevel::Hidden | AppLevel::Background | AppLevel::Frozen => {
                self.config.backoff.cap_ms.max(HIDDEN_CAP_MS)
            }
        };
        Backoff { cap_ms, ..self.config.backoff }
    }
}

/// These three never stand in a close frame: they are a library's word for "there was none".
fn means_none(code: CloseCode) -> bool {
    matches!(code.0, 1005 | 1006 | 1015)
}
