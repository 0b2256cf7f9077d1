//! Pieces of output to whole lines.

use super::Line;

/// Cuts the output of one child into lines and reads each.
#[derive(Debug)]
pub struct Decoder {
    max_reply: usize,
    partial: Vec<u8>,
    skipping: bool,
}

impl Decoder {
    /// A decoder that keeps at most `max_reply` bytes of a line.
    pub fn new(max_reply: usize) -> Self {
        Self { max_reply, partial: Vec::new(), skipping: false }
    }

    /// Takes the next piece of output and hands every line that it completes to `sink`. Blank
    /// lines are passed over.
    pub fn feed(&mut self, chunk: &[u8], sink: &mut impl FnMut(Line<'_>)) {
        let _ = (chunk, sink, self.max_reply, self.skipping);
        unimplemented!()
    }

    /// End of output. A last line without its end settles nothing, since it may be the beginning
    /// of another: `ack 3-4` of `ack 3-42`. It is a [`Line::Log`].
    pub fn finish(&mut self, sink: &mut impl FnMut(Line<'_>)) {
        let _ = (sink, &self.partial);
        unimplemented!()
    }
}
