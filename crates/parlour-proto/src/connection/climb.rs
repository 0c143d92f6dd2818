//! Back to a better transport, without a break: the new one is up before the old one is let go.

use parlour_wire::frames::Ready;
use parlour_wire::{CloseCode, Open, ServerFrame};

use super::link::{Climb, Dial, Link, Step, Story, Trying};
use super::{Connection, Output, UiStatus};
use crate::Millis;

impl Connection {
    /// What follows from a connection that is up by this transport.
    pub(super) fn climb_from(&self, now: Millis, at: usize, in_doubt: bool) -> Climb {
        match at {
            0 => Climb::None,
            // The better ones were tried while the server was away.
            _ if in_doubt => Climb::Wait(now + self.config.stable_after_ms.min(self.config.climb_ms)),
            _ => Climb::Wait(now + self.config.climb_ms),
        }
    }

    /// Looks whether it is time to try, or to give up trying.
    pub(super) fn climb(&mut self, now: Millis, out: &mut Vec<Output>) {
        let Link::Up(live) = &self.link else { return };
        match &live.climb {
            Climb::Wait(until) if *until <= now => self.try_to_climb(now, 0, out),
            Climb::Dialling(Step::Opening(dial) | Step::Hello { dial, .. }) if dial.until <= now => {
                out.push(Output::Close { dial: dial.number, code: CloseCode::MEANS_TO_RESUME });
                self.try_to_climb(now, dial.at + 1, out);
            }
            Climb::None | Climb::Wait(_) | Climb::Dialling(_) => {}
        }
    }

    /// The dial that was to lead to a better transport is gone. Answers whether it was that.
    pub(super) fn climb_failed(&mut self, now: Millis, number: u64, out: &mut Vec<Output>) -> bool {
        if !matches!(&self.link, Link::Up(live) if live.climbing() == Some(number)) {
            return false;
        }
        self.promote(now);
        let Link::Up(live) = &self.link else { return false };
        match &live.climb {
            Climb::Dialling(Step::Opening(dial) | Step::Hello { dial, .. }) => {
                self.try_to_climb(now, dial.at + 1, out);
                true
            }
            Climb::None | Climb::Wait(_) | Climb::Dialling(_) => false,
        }
    }

    fn try_to_climb(&mut self, now: Millis, at: usize, out: &mut Vec<Output>) {
        let Link::Up(live) = &self.link else { return };
        let climb = match at < live.at {
            true => Climb::Dialling(Step::Opening(self.open(now, at, out))),
            false => Climb::Wait(now + self.config.climb_ms),
        };
        if let Link::Up(live) = &mut self.link {
            live.climb = climb;
        }
    }

    /// Takes a frame of the dial that is to lead to a better transport. Answers whether it was of that.
    pub(super) fn climb_hears(
        &mut self,
        now: Millis,
        number: u64,
        frame: &Open<ServerFrame>,
        out: &mut Vec<Output>,
    ) -> bool {
        let Link::Up(live) = &mut self.link else { return false };
        if live.climbing() != Some(number) {
            return false;
        }
        match frame {
            Open::Known(ServerFrame::Ready(ready)) => self.hand_over(now, (**ready).clone(), out),
            Open::Known(ServerFrame::Event(_) | ServerFrame::Signal { .. } | ServerFrame::Reset { .. }) => {
                out.push(Output::Close { dial: number, code: CloseCode::MEANS_TO_RESUME });
                self.climb_failed(now, number, out);
            }
            Open::Known(_) | Open::Unknown(_) => {}
        }
        true
    }

    fn hand_over(&mut self, now: Millis, ready: Ready, out: &mut Vec<Output>) {
        let Link::Up(live) = &mut self.link else { return };
        let Climb::Dialling(Step::Hello { dial, told, words }) =
            std::mem::replace(&mut live.climb, Climb::None)
        else {
            return;
        };
        let old = (!live.over).then_some(live.dial);
        self.up(now, dial, *told, words, ready, out);
        out.extend(old.map(|dial| Output::Close { dial, code: CloseCode::MEANS_TO_RESUME }));
    }

    /// The transport in use is gone. Answers whether another one has said hello already: then it is this that ended
    /// the old one, and nobody needs to see a break.
    pub(super) fn is_succeeded(&mut self, now: Millis) -> bool {
        let soon = now + self.config.wake_probe_ms;
        let Link::Up(live) = &mut self.link else { return false };
        let Climb::Dialling(Step::Hello { dial, .. }) = &mut live.climb else { return false };
        dial.until = dial.until.min(soon);
        live.over = true;
        true
    }

    /// The dial that ended the transport in use stands still: something on the way holds its answer back. The one that
    /// worked is dialled once more, and nobody needs to see a break either.
    pub(super) fn go_back(&mut self, now: Millis, out: &mut Vec<Output>) {
        let soon = now + self.config.wake_probe_ms;
        let Link::Up(live) = &self.link else { return };
        match &live.climb {
            Climb::Dialling(Step::Opening(tried) | Step::Hello { dial: tried, .. }) if tried.at < live.at => {
                out.push(Output::Close { dial: tried.number, code: CloseCode::MEANS_TO_RESUME });
                let at = live.at;
                let dial = Dial { until: soon, until_ready: soon, ..self.open(now, at, out) };
                if let Link::Up(live) = &mut self.link {
                    live.climb = Climb::Dialling(Step::Opening(dial));
                }
            }
            Climb::None | Climb::Wait(_) | Climb::Dialling(_) => self.promote(now),
        }
    }

    /// If the dial for a better transport is all there is, it becomes a dial like any other.
    pub(super) fn promote(&mut self, now: Millis) {
        let Link::Up(live) = &mut self.link else { return };
        if !live.over {
            return;
        }
        if let Climb::Dialling(step) = std::mem::replace(&mut live.climb, Climb::None) {
            if let Step::Opening(dial) | Step::Hello { dial, .. } = &step {
                self.ways.at = dial.at;
            }
            let (story, shown) = (Story::Again, UiStatus::Online);
            self.link = Link::Trying(Trying { story, since: now, shown, step });
        }
    }

    pub(super) fn stop_climbing(&mut self, out: &mut Vec<Output>) {
        let Link::Up(live) = &mut self.link else { return };
        if let Some(dial) = live.climbing() {
            out.push(Output::Close { dial, code: CloseCode::MEANS_TO_RESUME });
        }
        live.climb = Climb::None;
    }
}
