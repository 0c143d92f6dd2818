//! Whether a request states the length of its body in two ways.
//!
//! hyper believes the chunks and takes `Content-Length` away before anybody sees it; somebody between the client
//! and us may have believed the other one, and then what is a body to him is a request to us. So the bytes are
//! looked at on their way to hyper: only far enough to find the heads, and these two names in them.
//!
//! Not a reader of HTTP: whatever else is wrong with a head, hyper refuses and ends the connection.

use std::sync::atomic::{AtomicU64, Ordering};

/// Longer lines are in no head that hyper takes.
const LINE_BYTES_MAX: usize = super::HEAD_BYTES_MAX;

/// Follows the bytes that a client sends, from head to head.
#[derive(Default)]
pub(super) struct Heads {
    /// How many heads have ended.
    ended: u64,
    place: Place,
}

enum Place {
    Head(Head),
    /// In a body of which this much is to come.
    Body(u64),
    /// After the last head that is looked at.
    Over,
}

#[derive(Default)]
struct Head {
    /// What of the line has come.
    line: Vec<u8>,
    has_begun: bool,
    length: Option<u64>,
    is_chunked: bool,
    is_upgrade: bool,
}

impl Default for Place {
    fn default() -> Self {
        Self::Head(Head::default())
    }
}

impl Heads {
    /// Takes the next bytes. Answers which request of the connection states its length twice, from 1, as soon as
    /// one does; nothing after it is looked at.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Option<u64> {
        while !bytes.is_empty() {
            match &mut self.place {
                Place::Over => break,
                Place::Body(left) => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    bytes = &bytes[here..];
                    *left -= here as u64;
                    if *left == 0 {
                        self.place = Place::default();
                    }
                }
                Place::Head(head) => {
                    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
                        head.line.extend_from_slice(bytes);
                        if head.line.len() > LINE_BYTES_MAX {
                            self.place = Place::Over;
                        }
                        break;
                    };
                    head.line.extend_from_slice(&bytes[..end]);
                    bytes = &bytes[end + 1..];
                    if !head.takes_line() {
                        self.ended += 1;
                        if head.is_chunked && head.length.is_some() {
                            self.place = Place::Over;
                            return Some(self.ended);
                        }
                        self.place = head.what_follows();
                    }
                }
            }
        }
        None
    }
}

impl Head {
    /// Takes the line that has ended; `false` if it was the empty one that ends the head.
    fn takes_line(&mut self) -> bool {
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        let goes_on = if line.is_empty() {
            // Empty lines before a request are passed over.
            !self.has_begun
        } else {
            if let Some(colon) = line.iter().position(|byte| *byte == b':').filter(|_| self.has_begun) {
                let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
                if name.eq_ignore_ascii_case(b"content-length") {
                    // A length that cannot be read is refused by hyper, and so are two that differ.
                    let length = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                    self.length = Some(length.unwrap_or(u64::MAX));
                }
                self.is_chunked |= name.eq_ignore_ascii_case(b"transfer-encoding");
                self.is_upgrade |= name.eq_ignore_ascii_case(b"upgrade");
            }
            self.has_begun = true;
            true
        };
        self.line.clear();
        goes_on
    }

    /// The answer to a chunked request, and to one that wishes to speak something else, ends the connection or
    /// the speaking of HTTP on it: [`super::super::http`] sees to that. So no further head can come.
    fn what_follows(&self) -> Place {
        match self.length {
            _ if self.is_chunked || self.is_upgrade => Place::Over,
            Some(length @ 1..) => Place::Body(length),
            _ => Place::default(),
        }
    }
}

/// Which request of a connection is in doubt, told from the bytes to the one who answers. hyper reads ahead, so the
/// bytes may be further than the answers.
#[derive(Default)]
pub(super) struct Doubt {
    /// From 1; 0 is none.
    request: AtomicU64,
    asked: AtomicU64,
}

impl Doubt {
    pub(super) fn about(&self, request: u64) {
        self.request.store(request, Ordering::Release);
    }

    /// To be asked once for each request, in their order.
    pub(super) fn falls_on_next(&self) -> bool {
        let request = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        self.request.load(Ordering::Acquire) == request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: &str =
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: x\r\nContent-Length: 3\r\n\r\n";

    /// What is found, however the bytes are cut.
    #[track_caller]
    fn found(text: &str) -> Option<u64> {
        let whole = Heads::default().read(text.as_bytes());
        for size in [1, 2, 3, 7, 50] {
            let mut heads = Heads::default();
            let cut = text.as_bytes().chunks(size).find_map(|bytes| heads.read(bytes));
            assert_eq!(cut, whole, "{text:?} in pieces of {size}");
        }
        whole
    }

    #[test]
    fn two_lengths_are_seen_in_either_order_spelling_and_line_end() {
        assert_eq!(found(BOTH), Some(1));
        assert_eq!(found("POST / HTTP/1.1\ncontent-length:3\ntransfer-ENCODING:chunked\n\n"), Some(1));
        assert_eq!(found(&format!("\r\n\n{BOTH}")), Some(1));
        assert_eq!(found("P / HTTP/1.1\r\nContent-Length: x\r\nTransfer-Encoding: y\r\n\r\n"), Some(1));
    }

    #[test]
    fn a_request_behind_others_is_counted_by_the_lengths_of_their_bodies() {
        let plain = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        let body = "POST / HTTP/1.1\r\nContent-Length:  5 \r\n\r\n12345";
        let none = "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(found(&format!("{plain}{body}{none}{BOTH}")), Some(4));
    }

    #[test]
    fn what_only_looks_like_it_is_none() {
        let hidden = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{BOTH}", BOTH.len());
        for text in [
            hidden.as_str(),
            "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 3\r\nX-Transfer-Encoding: chunked\r\n\r\nabc",
            "POST /?Content-Length:3 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }

    #[test]
    fn nothing_is_looked_at_or_kept_after_an_upgrade_and_after_chunks() {
        for header in ["Upgrade: websocket", "Transfer-Encoding: chunked"] {
            let mut heads = Heads::default();
            assert_eq!(heads.read(format!("GET / HTTP/1.1\r\n{header}\r\n\r\n").as_bytes()), None);
            assert!(matches!(heads.place, Place::Over));
            assert_eq!(heads.read(BOTH.as_bytes()), None);
        }
    }

    #[test]
    fn a_line_without_end_is_not_kept() {
        let mut heads = Heads::default();
        for _ in 0..20 {
            assert_eq!(heads.read(&[b'a'; 1_000]), None);
        }
        assert!(matches!(heads.place, Place::Over));
    }

    #[test]
    fn doubt_falls_on_the_one_request_that_it_is_about() {
        let doubt = Doubt::default();
        assert!(!doubt.falls_on_next());
        doubt.about(3);
        assert_eq!(
            [doubt.falls_on_next(), doubt.falls_on_next(), doubt.falls_on_next()],
            [false, true, false]
        );
    }
}
