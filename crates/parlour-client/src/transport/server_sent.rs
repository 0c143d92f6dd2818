//! Server-sent events, as far as frames need them: the data of each, out of bytes that are cut anywhere.

use std::mem;

use bytes::{Buf, Bytes};

use crate::net::NetError;

/// Reads events from a body.
pub(super) struct Events {
    /// What came and was not read yet.
    rest: Bytes,
    /// The line that has begun.
    line: Vec<u8>,
    /// The data of the event that has begun.
    data: Option<Vec<u8>>,
    place: Place,
    /// Bytes of the largest event.
    event_bytes_max: usize,
}

/// Where the next byte stands.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// In the first line: a byte order mark before it means nothing.
    FirstLine,
    Anywhere,
    /// Right after a carriage return that has ended a line already: a line feed belongs to it.
    AfterReturn,
}

impl Events {
    pub(super) fn new(event_bytes_max: usize) -> Self {
        let (rest, line) = (Bytes::new(), Vec::new());
        Self { rest, line, data: None, place: Place::FirstLine, event_bytes_max }
    }

    /// Takes the next piece of the body, once [`next`](Self::next) has no more of the last one.
    pub(super) fn feed(&mut self, piece: Bytes) {
        debug_assert!(self.rest.is_empty(), "a piece at a time");
        self.rest = piece;
    }

    /// The data of the next whole event. After an error nothing is to be read any more.
    pub(super) fn next(&mut self) -> Option<Result<String, NetError>> {
        while let Some(&first) = self.rest.first() {
            if self.place == Place::AfterReturn {
                self.place = Place::Anywhere;
                if first == b'\n' {
                    self.rest.advance(1);
                    continue;
                }
            }
            let end = self.rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let piece = self.rest.split_to(end.unwrap_or(self.rest.len()));
            if self.line.len() + self.data.as_ref().map_or(0, Vec::len) + piece.len() > self.event_bytes_max {
                let most = self.event_bytes_max;
                return Some(Err(NetError(format!("the server sent more than {most} bytes at once"))));
            }
            self.line.extend_from_slice(&piece);
            if end.is_some() {
                let is_first = self.place == Place::FirstLine;
                self.place = if self.rest[0] == b'\r' { Place::AfterReturn } else { Place::Anywhere };
                self.rest.advance(1);
                let line = mem::take(&mut self.line);
                let mark: &[u8] = if is_first { b"\xef\xbb\xbf" } else { b"" };
                if let Some(data) = self.take_line(line.strip_prefix(mark).unwrap_or(&line)) {
                    let not_text = |_| NetError("the server sent something that is not UTF-8".to_owned());
                    return Some(String::from_utf8(data).map_err(not_text));
                }
            }
        }
        None
    }

    /// The data of the event that this line ends.
    fn take_line(&mut self, line: &[u8]) -> Option<Vec<u8>> {
        if line.is_empty() {
            return self.data.take();
        }
        let colon = line.iter().position(|&byte| byte == b':').unwrap_or(line.len());
        let (name, value) = (&line[..colon], line.get(colon + 1..).unwrap_or_default());
        // Comments have no name; other fields mean nothing to a frame.
        if name == b"data" {
            let value = value.strip_prefix(b" ").unwrap_or(value);
            match &mut self.data {
                None => self.data = Some(value.to_owned()),
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Everything that these pieces hold, up to the first error.
    fn read(pieces: &[&[u8]], event_bytes_max: usize) -> (Vec<String>, Option<NetError>) {
        let mut events = Events::new(event_bytes_max);
        let mut heard = Vec::new();
        for piece in pieces {
            events.feed(Bytes::copy_from_slice(piece));
            while let Some(event) = events.next() {
                match event {
                    Ok(data) => heard.push(data),
                    Err(error) => return (heard, Some(error)),
                }
            }
        }
        (heard, None)
    }

    #[test]
    fn events_are_what_stands_between_blank_lines_and_only_their_data_counts() {
        for (body, data) in [
            (&b":\n\ndata: {\"a\":1}\n\n"[..], &["{\"a\":1}"][..]),
            (b"data: one\r\n\r\ndata:two\r\n\r\n", &["one", "two"]),
            (b"data: one\r\rdata: two\r\r", &["one", "two"]),
            (b"data:  a leading space stays\n\n", &[" a leading space stays"]),
            (b"data: a\ndata: b\n\n", &["a\nb"]),
            (b"data: a\r\ndata: b\r\n\n", &["a\nb"]),
            (b"event: x\nid: 7\nretry: 5\nnonsense\ndata: a\n: data: no\n\n", &["a"]),
            (b"datadata: a\n\ndat: b\n\n", &[]),
            (b"data\n\n", &[""]),
            (b"data:\ndata\n\n", &["\n"]),
            (b"\n\n\r\n\r\n\n", &[]),
            (b"\xef\xbb\xbfdata: marked\n\n\xef\xbb\xbfdata: not here\n\n", &["marked"]),
            ("data: grüße 😀\n\n".as_bytes(), &["grüße 😀"]),
            // What broke off is no event.
            (b"data: whole\n\ndata: half\n", &["whole"]),
        ] {
            assert_eq!(read(&[body], 64).0, data, "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn what_is_no_text_or_too_long_ends_it_after_what_came_before() {
        for (body, why) in [
            (&b"data: a\n\ndata: \xff\n\ndata: b\n\n"[..], "the server sent something that is not UTF-8"),
            (b"data: a\n\ndata: 0123456789\n\n", "the server sent more than 12 bytes at once"),
            (b"data: a\n\ndata: 012\ndata: 0123\n\n", "the server sent more than 12 bytes at once"),
            (b"data: a\n\n:0123456789ab", "the server sent more than 12 bytes at once"),
        ] {
            assert_eq!(read(&[body], 12), (vec!["a".to_owned()], Some(NetError(why.to_owned()))));
        }
        assert_eq!(read(&[b"data: 012345\n\n"], 12).0, ["012345"]);
    }

    /// Bytes that are likely to mean something.
    fn body() -> impl Strategy<Value = Vec<u8>> {
        let word = prop_oneof![
            4 => prop::sample::select(vec![
                "data:", "data: ", "data", ":", "\n", "\r", "\r\n", "\n\n", "{\"a\":", "ü😀", "\u{feff}", "id: 1\n",
            ])
            .prop_map(|word| word.as_bytes().to_vec()),
            1 => prop::collection::vec(any::<u8>(), 0..4),
        ];
        prop::collection::vec(word, 0..40).prop_map(|words| words.concat())
    }

    proptest! {
        #[test]
        fn however_it_is_cut_it_says_the_same(
            body in body(),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
            event_bytes_max in 8_usize..64,
        ) {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
            cuts.extend([0, body.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &body[cut[0]..cut[1]]).collect();
            let whole = read(&[&body], event_bytes_max);
            prop_assert_eq!(&read(&pieces, event_bytes_max), &whole);
            let bytes: Vec<&[u8]> = body.chunks(1).collect();
            prop_assert_eq!(&read(&bytes, event_bytes_max), &whole);
        }

        #[test]
        fn what_a_server_sends_comes_out_as_it_was(
            frames in prop::collection::vec("[^\r\n]{0,20}", 0..6),
            line_end in prop::sample::select(vec!["\n", "\r\n"]),
        ) {
            let event = |frame: &String| format!("data: {frame}{line_end}{line_end}:{line_end}{line_end}");
            let body: String = frames.iter().map(event).collect();
            prop_assert_eq!(read(&[body.as_bytes()], 1_000), (frames, None));
        }
    }
}
