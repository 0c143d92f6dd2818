//! As much of WebSocket as a bench needs: whole text frames, both ways, over bytes.

use anyhow::{Result, bail};

/// A server's text frame: unmasked.
pub(crate) fn server_frame(text: &[u8]) -> Vec<u8> {
    frame(text, 0)
}

/// A client's text frame. The mask is all zeros, which is a mask as good as any where nobody listens in.
pub(crate) fn client_frame(text: &[u8]) -> Vec<u8> {
    frame(text, 0x80)
}

fn frame(text: &[u8], mask_bit: u8) -> Vec<u8> {
    let mut frame = vec![0x81];
    match text.len() {
        len @ 0..=125 => frame.push(mask_bit | len as u8),
        len @ 126..=0xffff => {
            frame.push(mask_bit | 126);
            frame.extend((len as u16).to_be_bytes());
        }
        len => {
            frame.push(mask_bit | 127);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    if mask_bit != 0 {
        frame.extend([0; 4]);
    }
    frame.extend_from_slice(text);
    frame
}

/// One frame at the beginning of some bytes.
pub(crate) struct Frame<'a> {
    pub(crate) opcode: u8,
    pub(crate) payload: &'a [u8],
    /// Bytes of the frame with its header.
    pub(crate) len: usize,
}

/// The frame at the beginning of `bytes`; `None` if it is not whole yet.
///
/// # Errors
/// A mask that changes the payload: nobody here sends one.
pub(crate) fn first_frame(bytes: &[u8]) -> Result<Option<Frame<'_>>> {
    let [first, second, ..] = *bytes else { return Ok(None) };
    let (payload_len, mut at) = match second & 0x7f {
        126 if bytes.len() < 4 => return Ok(None),
        126 => (usize::from(u16::from_be_bytes([bytes[2], bytes[3]])), 4),
        127 => match bytes.get(2..10).and_then(|len| len.try_into().ok()) {
            None => return Ok(None),
            Some(len) => (u64::from_be_bytes(len) as usize, 10),
        },
        len => (usize::from(len), 2),
    };
    if second & 0x80 != 0 {
        match bytes.get(at..at + 4) {
            None => return Ok(None),
            Some([0, 0, 0, 0]) => at += 4,
            Some(mask) => bail!("a frame with the mask {mask:?}"),
        }
    }
    let len = at + payload_len;
    Ok(bytes.get(at..len).map(|payload| Frame { opcode: first & 0x0f, payload, len }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_every_length_come_back_whole() {
        for len in [0, 1, 125, 126, 127, 65_535, 65_536, 100_000] {
            let text = vec![b'x'; len];
            for bytes in [server_frame(&text), client_frame(&text)] {
                let frame = first_frame(&bytes).unwrap().unwrap();
                assert_eq!((frame.opcode, frame.payload, frame.len), (1, &text[..], bytes.len()), "{len}");
            }
        }
    }

    #[test]
    fn a_frame_that_is_not_whole_is_waited_for() {
        let bytes = server_frame(&[b'x'; 300]);
        assert!((0..bytes.len()).all(|len| first_frame(&bytes[..len]).unwrap().is_none()));
    }
}
