//! What a connection takes from the server's frames.

use parlour_wire::Open;
use parlour_wire::frames::{ClientFrame, Ready, ResetReason, Resumed, ServerFrame, WatchTopic};

use super::link::{Link, Live, Proof, Renewal, Step, Trying};
use super::login::{Login, Token, Trust};
use super::places::Verdict;
use super::{Cause, Connection, Output, Why};
use crate::Millis;

/// Topics in one `watch` frame: with the longest names it stays below the server's frame limit.
const WATCHED_PER_FRAME: usize = 100;

impl Connection {
    pub(super) fn received(
        &mut self,
        now: Millis,
        jitter: f64,
        dial: u64,
        frame: Open<ServerFrame>,
        out: &mut Vec<Output>,
    ) -> Why {
        match &mut self.link {
            Link::Trying(Trying { step: Step::Hello { dial: current, words, .. }, .. })
                if *current == dial =>
            {
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
                match frame {
                    Open::Known(ServerFrame::Ready(_)) => {
                        return self.break_off(now, jitter, dial, Cause::Protocol, out);
                    }
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
        let Login::User(user) = &mut self.login else { return };
        let Link::Trying(Trying { step: Step::Hello { dial, told, words, .. }, .. }) =
            std::mem::replace(&mut self.link, Link::Rest)
        else {
            return;
        };
        user.told = Some(told.user);
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
        let watched = user.places.watched();
        let dead_link_ms = match ready.limits.dead_link_ms {
            0 => self.config.dead_link_ms,
            ms => ms.into(),
        };
        self.link = Link::Up(Box::new(Live {
            dial,
            since: now,
            heard_at: now,
            dead_link_ms,
            proof: Proof::None,
            renewal: Renewal::None,
            words,
            reset_already: resets.iter().cloned().collect(),
        }));
        let heads = ready.heads.clone();
        out.push(Output::Ready(Box::new(ready)));
        for topic in resets {
            // Where the server did not say how far the new log is, everything in it is new.
            let head = heads.get(&topic).copied().unwrap_or(0);
            out.push(Output::Reset { topic, reason: ResetReason::OtherEpoch, head });
        }
        for topics in watched.chunks(WATCHED_PER_FRAME) {
            self.transmit(ClientFrame::Watch { topics: topics.to_vec() }, out);
        }
        // What changed while the answer was on the way.
        if told.app != self.app {
            self.transmit(ClientFrame::AppState { state: self.app.clone(), lease_ms: None }, out);
        }
        if told.presence != self.config.presence {
            self.transmit(ClientFrame::Presence { subscription: self.config.presence.clone() }, out);
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
                out.push(Output::Pong { id });
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
