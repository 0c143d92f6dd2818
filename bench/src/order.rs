//! Whether every message reached everybody, once and in order, and how long it took.
//!
//! A message carries its number in its text. Of one sender, each listener has to hear all messages in the order in
//! which they were sent; that holds for every server that is measured here, whatever else it promises.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// Stands before the number, and nowhere else in a frame.
const MARK: u8 = b'~';
/// Digits of a number.
const DIGITS: usize = 10;
/// No message.
const NONE: u32 = u32::MAX;

/// The text of a message: its number, and as many bytes as it takes.
pub(crate) fn text(number: u32, len: usize) -> Vec<u8> {
    let mut text = format!("~{number:0DIGITS$}").into_bytes();
    text.resize(len.max(DIGITS + 1), b'x');
    text
}

/// The number of the message whose text stands somewhere in these bytes.
pub(crate) fn number_in(bytes: &[u8]) -> Result<u32> {
    let digits = memchr::memchr(MARK, bytes).and_then(|at| bytes.get(at + 1..at + 1 + DIGITS));
    let digits = digits.with_context(|| format!("no message: {}", String::from_utf8_lossy(bytes)))?;
    Ok(std::str::from_utf8(digits)?.parse()?)
}

struct Message {
    sender: u32,
    room: u32,
    /// The message that the same sender sent before.
    before: u32,
    sent_at: Instant,
    state: State,
}

/// How far a message has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// So many listeners have not heard it.
    Missing(u32),
    /// Nobody listens, and the sender has no answer yet.
    Unanswered,
    Complete,
}

/// All messages of a run.
#[derive(Default)]
pub(crate) struct Ledger {
    messages: Vec<Message>,
    /// By sender.
    last: Vec<u32>,
    complete: usize,
}

/// What one listener has heard.
pub(crate) struct Ear {
    room: u32,
    /// The last message of each sender.
    last: Vec<(u32, u32)>,
    /// The server's own number of the last message, where it numbers them.
    place: Option<u64>,
}

impl Ledger {
    /// The next message, to be heard by so many: its number.
    pub(crate) fn send(&mut self, sender: u32, room: u32, receivers: u32, now: Instant) -> Result<u32> {
        let number = u32::try_from(self.messages.len())?;
        if self.last.len() <= sender as usize {
            self.last.resize(sender as usize + 1, NONE);
        }
        let before = std::mem::replace(&mut self.last[sender as usize], number);
        let state = if receivers == 0 { State::Unanswered } else { State::Missing(receivers) };
        self.messages.push(Message { sender, room, before, sent_at: now, state });
        Ok(number)
    }

    /// Somebody hears a message; answers how long it was on its way.
    ///
    /// # Errors
    /// It is not the one that follows what this listener has heard of the sender.
    pub(crate) fn hear(
        &mut self,
        ear: &mut Ear,
        number: u32,
        place: Option<u64>,
        now: Instant,
    ) -> Result<Duration> {
        let message = self.messages.get_mut(number as usize).context("a message that nobody sent")?;
        if message.room != ear.room {
            bail!("message {number} of room {} came to room {}", message.room, ear.room);
        }
        if let (Some(place), Some(last)) = (place, ear.place)
            && place != last + 1
        {
            bail!("seq {place} came after {last}: lost, doubled or out of order");
        }
        ear.place = place;
        match ear.last.iter_mut().find(|(sender, _)| *sender == message.sender) {
            Some((_, last)) if *last == message.before => *last = number,
            None if message.before == NONE => ear.last.push((message.sender, number)),
            heard => {
                let (expected, sender) = (message.before as i32, message.sender);
                let heard = heard.map(|(_, last)| *last);
                bail!(
                    "message {number} of sender {sender}, which follows {expected}, came after {heard:?}: lost, \
                     doubled or out of order"
                );
            }
        }
        message.state = match message.state {
            State::Missing(1) => State::Complete,
            State::Missing(more) => State::Missing(more - 1),
            State::Unanswered | State::Complete => bail!("message {number} came too often"),
        };
        self.complete += usize::from(message.state == State::Complete);
        Ok(now - message.sent_at)
    }

    /// A message that nobody listens to is complete when it is acknowledged.
    pub(crate) fn acknowledge(&mut self, number: u32) {
        if let Some(message) = self.messages.get_mut(number as usize)
            && message.state == State::Unanswered
        {
            message.state = State::Complete;
            self.complete += 1;
        }
    }

    pub(crate) fn sent_at(&self, number: u32) -> Option<Instant> {
        self.messages.get(number as usize).map(|message| message.sent_at)
    }

    pub(crate) fn sent(&self) -> usize {
        self.messages.len()
    }

    /// Messages that somebody has not heard yet.
    pub(crate) fn under_way(&self) -> usize {
        self.messages.len() - self.complete
    }
}

impl Ear {
    pub(crate) fn new(room: u32) -> Self {
        Self { room, last: Vec::new(), place: None }
    }

    /// One that goes on where another one ended.
    pub(crate) fn after(room: u32, place: u64) -> Self {
        Self { place: Some(place), ..Self::new(room) }
    }

    pub(crate) fn room(&self) -> u32 {
        self.room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two senders in a room of one, who have sent 0, 2 (the first) and 1 (the second).
    fn ledger() -> (Ledger, Ear) {
        let mut ledger = Ledger::default();
        let now = Instant::now();
        for sender in [7, 9, 7] {
            ledger.send(sender, 3, 1, now).unwrap();
        }
        (ledger, Ear::new(3))
    }

    fn hear(ledger: &mut Ledger, ear: &mut Ear, numbers: &[u32]) -> Result<()> {
        numbers.iter().try_for_each(|number| ledger.hear(ear, *number, None, Instant::now()).map(drop))
    }

    #[test]
    fn what_comes_in_each_senders_order_is_complete() {
        for order in [[0, 1, 2], [1, 0, 2], [0, 2, 1]] {
            let (mut ledger, mut ear) = ledger();
            hear(&mut ledger, &mut ear, &order).unwrap();
            assert_eq!((ledger.sent(), ledger.under_way()), (3, 0), "{order:?}");
        }
    }

    #[test]
    fn a_gap_a_double_and_a_wrong_order_are_each_an_error() {
        for (heard, wrong) in [(&[][..], 2), (&[0], 0), (&[0, 2], 0), (&[1, 0, 2], 2)] {
            let (mut ledger, mut ear) = ledger();
            hear(&mut ledger, &mut ear, heard).unwrap();
            let error = hear(&mut ledger, &mut ear, &[wrong]).unwrap_err();
            assert!(error.to_string().contains("lost, doubled"), "{heard:?} {wrong}: {error}");
        }
    }

    #[test]
    fn a_message_of_another_room_and_one_that_nobody_sent_are_errors() {
        let (mut ledger, _) = ledger();
        assert!(hear(&mut ledger, &mut Ear::new(4), &[0]).unwrap_err().to_string().contains("room"));
        assert!(hear(&mut ledger, &mut Ear::new(3), &[8]).is_err());
    }

    #[test]
    fn where_the_server_numbers_messages_its_numbers_have_no_hole() {
        let (mut ledger, mut ear) = ledger();
        let now = Instant::now();
        assert!(ledger.hear(&mut ear, 0, Some(41), now).is_ok());
        assert!(ledger.hear(&mut ear, 1, Some(43), now).unwrap_err().to_string().contains("seq 43"));
    }

    #[test]
    fn what_nobody_listens_to_is_complete_when_it_is_acknowledged_and_nothing_else_is() {
        let (mut ledger, mut ear) = ledger();
        let alone = ledger.send(1, 8, 0, Instant::now()).unwrap();
        hear(&mut ledger, &mut ear, &[0]).unwrap();
        ledger.acknowledge(0);
        assert_eq!(ledger.under_way(), 3);
        ledger.acknowledge(alone);
        ledger.acknowledge(alone);
        assert_eq!(ledger.under_way(), 2);
    }

    #[test]
    fn a_text_has_its_length_and_its_number_is_found_wherever_it_stands() {
        let text = text(1_234, 200);
        assert_eq!(text.len(), 200);
        let frame = [br#"{"seq":9,"text":""#.as_slice(), &text, br#""}"#].concat();
        assert_eq!(number_in(&frame).unwrap(), 1_234);
        assert!(number_in(b"nothing").is_err() && number_in(b"~12").is_err());
    }
}
