//! From a wish to a hello: the token, the transport, the first frame.

use parlour_wire::CloseCode;
use parlour_wire::frames::{ClientFrame, Hello};

use super::link::{Climb, Dial, LastWords, Link, Renewal, Step, Told, Trying};
use super::login::{Login, Token, Trust};
use super::loss::Return;
use super::{Cause, Connection, FailedWhy, Output, Transport, Why};
use crate::Millis;

/// When the provider has not answered for this long, it counts as failed.
const TOKEN_WAIT_MS: Millis = 30_000;
/// Topics in one `watch` frame: with the longest names it stays below the server's frame limit.
const WATCHED_PER_FRAME: usize = 100;

impl Connection {
    /// The first step of a dial: a token, or where there is one, the transport.
    pub(super) fn dial(&mut self, now: Millis, out: &mut Vec<Output>) -> Step {
        let refused = match self.login.user().map(|user| (&user.token, user.renew)) {
            Some((Token::Held { .. }, false)) => {
                return Step::Opening(self.open(now, self.ways.at, out));
            }
            Some((Token::Refused { token, .. }, _)) => Some(token.clone()),
            Some((Token::Held { .. } | Token::Unknown, _)) | None => None,
        };
        let fetch = self.fetch(refused, out);
        Step::Token { fetch, until: now + TOKEN_WAIT_MS }
    }

    /// Opens one of the allowed transports.
    pub(super) fn open(&mut self, now: Millis, at: usize, out: &mut Vec<Output>) -> Dial {
        self.dials += 1;
        let transport = self.config.transports.get(at).copied().unwrap_or(Transport::WebSocket);
        out.push(Output::Open { dial: self.dials, transport });
        let whole = now + self.config.dial_timeout_ms;
        let stall = match at + 1 < self.config.transports.len() {
            true => whole.min(now + self.config.stall_ms),
            false => whole,
        };
        // An open WebSocket has passed what stands in the way of it, and may take its time to say `ready`; with the
        // others nothing is known before that.
        let until_ready = if transport == Transport::WebSocket { whole } else { stall };
        Dial { number: self.dials, at, transport, until: stall, until_ready }
    }

    pub(super) fn fetch(&mut self, refused: Option<String>, out: &mut Vec<Output>) -> u64 {
        self.fetches += 1;
        out.push(Output::FetchToken { fetch: self.fetches, refused });
        self.fetches
    }

    pub(super) fn opened(&mut self, number: u64, out: &mut Vec<Output>) {
        match &self.link {
            Link::Trying(Trying { step, .. }) if step.dial() == Some(number) => {
                let Step::Opening(dial) = step else { return };
                let dial = Dial { until: dial.until_ready, ..*dial };
                let Some(told) = self.say_hello(dial.number, dial.transport, out) else { return };
                if let Link::Trying(Trying { step, .. }) = &mut self.link {
                    *step = Step::Hello { dial, told, words: LastWords::default() };
                }
            }
            Link::Up(live) if live.dial == number => {
                if live.transport == Transport::LongPoll && live.asked.is_none() {
                    let told = self.say_hello(number, Transport::LongPoll, out);
                    if let Link::Up(live) = &mut self.link {
                        live.asked = told;
                    }
                }
            }
            Link::Up(live) if live.climbing() == Some(number) => {
                let Climb::Dialling(Step::Opening(dial)) = &live.climb else { return };
                let dial = Dial { until: dial.until_ready, ..*dial };
                let Some(told) = self.say_hello(dial.number, dial.transport, out) else { return };
                if let Link::Up(live) = &mut self.link {
                    live.climb = Climb::Dialling(Step::Hello { dial, told, words: LastWords::default() });
                }
            }
            _ => {
                let code = if self.is_wanted() { CloseCode::MEANS_TO_RESUME } else { CloseCode::NORMAL };
                out.push(Output::Close { dial: number, code });
            }
        }
    }

    /// Says hello, with what the app has. A poll also says what is watched: the server forgets it with the answer.
    fn say_hello(&mut self, dial: u64, transport: Transport, out: &mut Vec<Output>) -> Option<Box<Told>> {
        let app = self.app_state();
        let Login::User(user) = &self.login else { return None };
        let Token::Held { token, .. } = &user.token else { return None };
        let told = Told { user: user.user.clone(), app, presence: self.config.presence.clone() };
        let hello = Hello {
            app_key: self.config.app_key.clone(),
            token: token.clone(),
            user: (user.told.as_ref() != Some(&user.user)).then(|| user.user.clone()),
            client: self.config.client.clone(),
            device: self.config.device.clone(),
            replaces: user.predecessor.clone(),
            presence: told.presence.clone(),
            app_state: told.app.clone(),
            heartbeat_ms: self.ways.heartbeat_ms,
            resume: user.resume(),
        };
        if transport == Transport::LongPoll {
            self.watch_again(dial, out);
        }
        out.push(Output::Transmit { dial, frame: Box::new(ClientFrame::Hello(Box::new(hello))) });
        Some(Box::new(told))
    }

    /// Says what is watched, from where the app stands.
    pub(super) fn watch_again(&mut self, dial: u64, out: &mut Vec<Output>) {
        let Login::User(user) = &self.login else { return };
        for topics in user.places.watched().chunks(WATCHED_PER_FRAME) {
            let frame = Box::new(ClientFrame::Watch { topics: topics.to_vec() });
            out.push(Output::Transmit { dial, frame });
        }
    }

    pub(super) fn token_fetched(
        &mut self,
        now: Millis,
        fetch: u64,
        token: String,
        out: &mut Vec<Output>,
    ) -> Why {
        let Login::User(user) = &mut self.login else { return Cause::Token.into() };
        match &mut self.link {
            Link::Trying(Trying { step: Step::Token { fetch: asked, .. }, .. }) if *asked == fetch => {
                let trust = match &user.token {
                    Token::Refused { token: refused, why } if *refused == token => {
                        let why = why.clone();
                        self.fail(why);
                        return Cause::Token.into();
                    }
                    Token::Refused { .. } => Trust::Last,
                    Token::Held { trust, .. } => *trust,
                    Token::Unknown => Trust::Full,
                };
                user.token = Token::Held { token, trust };
                user.renew = false;
                let next = self.dial(now, out);
                if let Link::Trying(Trying { step, .. }) = &mut self.link {
                    *step = next;
                }
            }
            Link::Up(live) if matches!(live.renewal, Renewal::Asked { fetch: asked, .. } if asked == fetch) =>
            {
                live.renewal = Renewal::None;
                user.token = Token::Held { token: token.clone(), trust: Trust::Full };
                user.renew = false;
                self.transmit(ClientFrame::Token { token }, out);
            }
            Link::Rest | Link::Failed(_) | Link::Trying(_) | Link::Up(_) | Link::Closing { .. } => {}
        }
        Cause::Token.into()
    }

    /// `for_good` carries the message of a failure that asking again will not mend.
    pub(super) fn token_failed(
        &mut self,
        now: Millis,
        jitter: f64,
        fetch: u64,
        for_good: Option<String>,
        out: &mut Vec<Output>,
    ) -> Why {
        let backoff = self.backoff();
        match &mut self.link {
            Link::Trying(Trying { step: Step::Token { fetch: asked, .. }, .. }) if *asked == fetch => {
                match for_good {
                    Some(message) => self.fail(FailedWhy::Token { message }),
                    None => self.lose(now, jitter, Return::Backoff, out),
                }
            }
            Link::Up(live) => {
                let Renewal::Asked { fetch: asked, failures } = live.renewal else {
                    return Cause::Token.into();
                };
                if asked != fetch {
                    return Cause::Token.into();
                }
                if let Some(message) = for_good {
                    out.push(Output::Close { dial: live.dial, code: CloseCode::MEANS_TO_RESUME });
                    self.stop_climbing(out);
                    self.fail(FailedWhy::Token { message });
                } else {
                    let until = now + backoff.wait(failures, jitter);
                    live.renewal = Renewal::Wait { until, failures: failures.saturating_add(1) };
                }
            }
            Link::Rest | Link::Failed(_) | Link::Trying(_) | Link::Closing { .. } => {}
        }
        Cause::Token.into()
    }
}
