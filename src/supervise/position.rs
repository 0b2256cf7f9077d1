//! How far a consumer has come in a stream.
//!
//! A stream keeps its messages whatever is said of them, so it is the consumer that has to know where
//! it goes on. That is the first message that is not done: those behind it that are will come again,
//! after a restart, and nothing is passed over.

use std::collections::BTreeMap;

/// Where one reader of a stream is.
#[derive(Clone, Debug, Default)]
pub struct Position {
    /// Offsets of what was delivered and is not done, by delivery tag. Both rise.
    open: BTreeMap<u64, u64>,
    /// The offset after the last that was delivered.
    next: Option<u64>,
}

impl Position {
    /// One that goes on there, or that begins wherever it is told to.
    pub fn at(next: Option<u64>) -> Self {
        Self { open: BTreeMap::new(), next }
    }

    /// A message was delivered on the open channel.
    pub fn delivered(&mut self, tag: u64, offset: u64) {
        self.open.insert(tag, offset);
        self.next = Some(offset.saturating_add(1));
    }

    /// It is done: nobody need see it again.
    pub fn done(&mut self, tag: u64) {
        self.open.remove(&tag);
    }

    /// The first offset that is not done; `None` where nothing was ever delivered.
    pub fn first_open(&self) -> Option<u64> {
        self.open.values().next().copied().or(self.next)
    }

    /// The offset after the last that was delivered, to go on with on the same channel.
    pub fn next(&self) -> Option<u64> {
        self.next
    }

    /// The channel is gone: what is not done is delivered again.
    pub fn rewind(&mut self) {
        self.next = self.first_open();
        self.open.clear();
    }
}
