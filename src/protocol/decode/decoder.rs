//! Pieces of output to whole lines.

use super::{Line, object, words};

/// Cuts the output of one child into lines and reads each.
#[derive(Debug)]
pub struct Decoder {
    max_reply: usize,
    /// The beginning of a line whose end has not come.
    partial: Vec<u8>,
    /// Whether the rest of an over-long line is being passed over.
    skipping: bool,
}

impl Decoder {
    /// A decoder that takes lines of at most `max_reply` bytes, not counting the `\n`.
    pub fn new(max_reply: usize) -> Self {
        Self { max_reply, partial: Vec::new(), skipping: false }
    }

    /// Takes the next piece of output and hands every line that it completes to `sink`. Blank
    /// lines are passed over. A line that lies whole in `chunk` is read where it lies.
    pub fn feed(&mut self, chunk: &[u8], sink: &mut impl FnMut(Line<'_>)) {
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', chunk) {
            let piece = &chunk[start..end];
            start = end + 1;
            if self.partial.is_empty() && !self.skipping && piece.len() <= self.max_reply {
                read(piece, sink);
            } else {
                self.append(piece, sink);
                read(&self.partial, sink);
                self.partial.clear();
                self.skipping = false;
            }
        }
        self.append(&chunk[start..], sink);
    }

    /// End of output. A last line without its end settles nothing, since it may be the beginning
    /// of another: `ack 3-4` of `ack 3-42`. It is a [`Line::Log`].
    pub fn finish(&mut self, sink: &mut impl FnMut(Line<'_>)) {
        let line = trim(&self.partial);
        if !line.is_empty() {
            sink(Line::Log(line));
        }
        self.partial = Vec::new();
        self.skipping = false;
    }

    /// Keeps a piece of an unfinished line, or says that the line is too long.
    fn append(&mut self, piece: &[u8], sink: &mut impl FnMut(Line<'_>)) {
        if self.skipping {
            return;
        }
        if piece.len() > self.max_reply - self.partial.len() {
            self.partial = Vec::new();
            self.skipping = true;
            sink(Line::TooLong);
        } else {
            self.partial.extend_from_slice(piece);
        }
    }
}

/// Reads one line without its `\n`.
fn read(line: &[u8], sink: &mut impl FnMut(Line<'_>)) {
    match trim(line) {
        [] => {}
        line @ [b'{', ..] => sink(object::read(line)),
        line => sink(words::read(line)),
    }
}

/// The mark that some programs write before their first word.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Drops a byte order mark, and blanks and a carriage return at the end. What is blank throughout
/// becomes nothing.
fn trim(line: &[u8]) -> &[u8] {
    line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line).trim_ascii_end()
}
