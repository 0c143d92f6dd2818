//! What a connection takes from the server's frames.

use parlour_wire::frames::{ClientFrame, Ready, ResetReason, Resumed, ServerFrame, WatchTopic};
use parlour_wire::{Open, Topic};

use super::link::{Dial, LastWords, Link, Live, Proof, Renewal, Step, Told, Trying};
use super::login::{Login, Token, Trust};
use super::places::Verdict;
use super::wake::PROBE_ID;
use super::{Cause, Connection, Output, Transport, Why};
use crate::Millis;

impl Connection {
    pub(super) fn received(
        &mut self,
        now: Millis,
        jitter: f64,
        dial: u64,
        frame: Open<ServerFrame>,
        out: &mut Vec<Output>,
    ) -> Why {
        if self.climb_hears(now, dial, &frame, out) {
            return Cause::Ready.into();
        }
        match &mut self.link {
            Link::Trying(Trying { step: Step::Hello { dial: current, words, .. }, .. })
                if current.number == dial =>
            {
                self.ways.heard();
                words.any = true;
                match frame {
                    Open::Known(ServerFrame::Ready(ready)) => {
                        self.ready(now, *ready, out);
                        return Cause::Ready.into();
                    }
                    Open::Known(
                        ServerFrame::Event(_) | ServerFrame::Signal { .. } | ServerFrame::Reset { .. },
                    ) => {
                        return self.break_off(now, jitter, dial, Cause::Protocol, out);
                    }
                    Open::Known(frame) => words.hear(now, &frame),
                    Open::Unknown(_) => {}
                }
            }
            Link::Up(live) if live.dial == dial => {
                live.heard_at = now;
                live.probe_until = None;
                match frame {
                    Open::Known(ServerFrame::Ready(ready)) => match live.asked.take() {
                        Some(told) => self.polled(now, *told, *ready, out),
                        None => return self.break_off(now, jitter, dial, Cause::Protocol, out),
                    },
                    Open::Known(frame) => {
                        live.words.hear(now, &frame);
                        self.heard(frame, out);
                    }
                    Open::Unknown(_) => {}
                }
            }
            Link::Rest | Link::Failed(_) | Link::Trying(_) | Link::Up(_) | Link::Closing { .. } => {}
        }
        Cause::Ready.into()
    }

    fn ready(&mut self, now: Millis, ready: Ready, out: &mut Vec<Output>) {
        let Link::Trying(Trying { step: Step::Hello { dial, told, words }, .. }) =
            std::mem::replace(&mut self.link, Link::Rest)
        else {
            return;
        };
        self.up(now, dial, *told, words, ready, out);
    }

    /// The connection is up by this dial, or goes over to it.
    pub(super) fn up(
        &mut self,
        now: Millis,
        dial: Dial,
        told: Told,
        words: LastWords,
        ready: Ready,
        out: &mut Vec<Output>,
    ) {
        let goes_over = matches!(self.link, Link::Up(_));
        let resets = self.take_up(&ready, &told);
        let in_doubt = self.ways.worked(dial.at, dial.transport);
        let dead_link_ms = match ready.limits.dead_link_ms {
            0 => self.config.dead_link_ms,
            ms => ms.into(),
        };
        self.link = Link::Up(Box::new(Live {
            dial: dial.number,
            at: dial.at,
            transport: dial.transport,
            since: now,
            heard_at: now,
            dead_link_ms,
            proof: Proof::None,
            probe_until: None,
            renewal: Renewal::None,
            asked: None,
            climb: self.climb_from(now, dial.at, in_doubt),
            over: false,
            words,
            reset_already: resets.iter().cloned().collect(),
        }));
        announce(if goes_over { Output::Renewed } else { Output::Ready }, ready, resets, out);
        // A poll has said it before its hello.
        if dial.transport != Transport::LongPoll {
            self.watch_again(dial.number, out);
        }
        self.say_what_changed(now, &told, out);
    }

    /// The answer to the hello of another poll.
    fn polled(&mut self, now: Millis, told: Told, ready: Ready, out: &mut Vec<Output>) {
        let resets = self.take_up(&ready, &told);
        if let Link::Up(live) = &mut self.link {
            live.proof = Proof::RoundTrip;
            live.reset_already = resets.iter().cloned().collect();
        }
        announce(Output::Renewed, ready, resets, out);
        self.say_what_changed(now, &told, out);
    }

    /// Takes over what an answer to hello says of the log. Answers the topics that have to be reset, because the
    /// log is another one.
    fn take_up(&mut self, ready: &Ready, told: &Told) -> Vec<Topic> {
        let Login::User(user) = &mut self.login else { return Vec::new() };
        user.told = Some(told.user.clone());
        user.predecessor = Some(ready.connection_id.clone());
        if let Token::Held { trust, .. } = &mut user.token {
            *trust = Trust::Full;
        }
        let mut resets = Vec::new();
        if user.log.as_ref().is_some_and(|(epoch, _)| *epoch != ready.epoch) {
            resets = user.places.forget_all();
        }
        user.log = Some((ready.epoch.clone(), ready.as_of));
        user.places.drop_repairs();
        if ready.resumed == Resumed::Fresh {
            user.places.begin_at(&ready.heads);
        }
        resets
    }

    /// Tells what changed while the answer to hello was on the way, and the lease, which hello has no place for.
    fn say_what_changed(&mut self, now: Millis, told: &Told, out: &mut Vec<Output>) {
        let app_state = self.app_state_frame(now);
        let has_lease = matches!(app_state, ClientFrame::AppState { lease_ms: Some(_), .. });
        if told.app != self.app_state() || has_lease {
            self.transmit(app_state, out);
        }
        if told.presence != self.config.presence {
            self.transmit(ClientFrame::Presence { subscription: Some(self.config.presence.clone()) }, out);
        }
    }

    /// Takes a frame of a connection that is up.
    fn heard(&mut self, frame: ServerFrame, out: &mut Vec<Output>) {
        let (Link::Up(live), Login::User(user)) = (&mut self.link, &mut self.login) else { return };
        match frame {
            ServerFrame::Event(event) => match user.places.offer(&event.topic, event.seq) {
                Verdict::Deliver => out.push(Output::Deliver(event)),
                Verdict::Drop => {}
                Verdict::AskAgain { after } => {
                    let topics = vec![WatchTopic { topic: event.topic, after: Some(after) }];
                    self.transmit(ClientFrame::Watch { topics }, out);
                }
            },
            ServerFrame::Signal { topic, signal } => out.push(Output::Signal { topic, signal }),
            ServerFrame::Reset { topic, reason, head } => {
                match reason {
                    ResetReason::NoAccess => user.places.forget(&topic),
                    _ => user.places.reset(&topic, head),
                }
                let told = reason == ResetReason::OtherEpoch && live.reset_already.remove(&topic);
                if !told {
                    out.push(Output::Reset { topic, reason, head });
                }
            }
            ServerFrame::Ping { as_of } => {
                live.proof = Proof::RoundTrip;
                if let Some((_, known)) = &mut user.log {
                    *known = as_of;
                }
                self.transmit(ClientFrame::Pong, out);
            }
            ServerFrame::Pong { id } => {
                live.proof = Proof::RoundTrip;
                if id != PROBE_ID {
                    out.push(Output::Pong { id });
                }
            }
            ServerFrame::TokenExpiring { .. } => {
                let fetch = self.fetch(None, out);
                if let Link::Up(live) = &mut self.link {
                    live.renewal = Renewal::Asked { fetch, failures: 0 };
                }
            }
            ServerFrame::Throttle { feature, retry_after_ms } => {
                out.push(Output::Throttled { feature, for_ms: retry_after_ms });
            }
            ServerFrame::Error { error, topic } => {
                out.push(Output::Refused { error: Box::new(error), topic });
            }
            ServerFrame::Ready(_) | ServerFrame::Drain { .. } | ServerFrame::Bye { .. } => {}
        }
    }
}

/// Tells the app of an answer to hello, and then which topics it has to load anew.
fn announce(as_what: fn(Box<Ready>) -> Output, ready: Ready, resets: Vec<Topic>, out: &mut Vec<Output>) {
    let heads = ready.heads.clone();
    out.push(as_what(Box::new(ready)));
    for topic in resets {
        // Where the server did not say how far the new log is, everything in it is new.
        let head = heads.get(&topic).copied().unwrap_or(0);
        out.push(Output::Reset { topic, reason: ResetReason::OtherEpoch, head });
    }
}
