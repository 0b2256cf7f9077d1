//! What children write on stderr, as log lines.
//!
//! The pipe is drained always, whatever comes: a child must never block because nobody reads what
//! it complains about. A flood is cut in lines a second, and what is cut is counted.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::model::ConsumerName;
use crate::process::Exit;
use crate::protocol::{Level, excerpt};
use crate::telemetry::{CHILD_TARGET, ConsumerMeter};

/// Lines a second that are written of one child.
const LINES_PER_SECOND: u32 = 200;

/// Bytes of a line that are kept until its end comes.
const MAX_LINE: usize = 8 * 1024;

/// Bytes that are read of a child at once, first and at most. Most children have little to say, and
/// there may be thousands of them.
pub(super) const FIRST_READ: usize = 1024;
pub(super) const MOST_READ: usize = 16 * 1024;

/// Makes room for more at once, up to `most`, where all of it was needed.
pub(super) fn roomier(buffer: &mut Vec<u8>, read: usize, most: usize) {
    if read == buffer.len() && read < most {
        buffer.resize((read * 4).min(most), 0);
    }
}

/// Lets so many lines a second through.
pub(super) struct Valve {
    limit: u32,
    second: Instant,
    lines: u32,
    held_back: u64,
}

impl Valve {
    /// A valve for the lines of a child.
    pub(super) fn new() -> Self {
        Self::of(LINES_PER_SECOND)
    }

    /// A valve that lets `limit` lines a second through.
    pub(super) fn of(limit: u32) -> Self {
        Self { limit, second: Instant::now(), lines: 0, held_back: 0 }
    }

    /// Whether one more line may be written now.
    pub(super) fn admits(&mut self) -> bool {
        let now = Instant::now();
        if now.duration_since(self.second) >= Duration::from_secs(1) {
            self.second = now;
            self.lines = 0;
        }
        self.lines += 1;
        let admitted = self.lines <= self.limit;
        self.held_back += u64::from(!admitted);
        admitted
    }

    /// How many lines were held back since this was last asked.
    pub(super) fn take_held_back(&mut self) -> u64 {
        std::mem::take(&mut self.held_back)
    }
}

/// A valve that several futures use. A clone is the same valve.
#[derive(Clone)]
pub(super) struct SharedValve(Arc<Mutex<Valve>>);

impl SharedValve {
    /// A valve that lets `limit` lines a second through.
    pub(super) fn of(limit: u32) -> Self {
        Self(Arc::new(Mutex::new(Valve::of(limit))))
    }

    /// Where one more line may be written now: how many were held back before it.
    pub(super) fn admits(&self) -> Option<u64> {
        let mut valve = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        valve.admits().then(|| valve.take_held_back())
    }
}

/// Lines that are kept of what a child wrote last.
const LAST_LINES: usize = 5;

/// Bytes that are kept of each of them.
const LAST_LINE: usize = 180;

/// What a child wrote last to its standard error: often why it ended. A clone is the same lines.
#[derive(Clone, Default)]
pub(super) struct LastLines(Arc<Mutex<VecDeque<Vec<u8>>>>);

impl LastLines {
    fn push(&self, line: &[u8]) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kept =
            if lines.len() == LAST_LINES { lines.pop_front() } else { None }.unwrap_or_default();
        kept.clear();
        kept.extend_from_slice(&line[..line.len().min(LAST_LINE)]);
        lines.push_back(kept);
    }

    /// All of them, in one line.
    pub(super) fn text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(|line| excerpt(line)).collect::<Vec<_>>().join(" | ")
    }
}

/// How a child has ended, with its last lines.
pub(super) fn ended_with(exit: Exit, words: &str) -> String {
    if words.is_empty() { exit.to_string() } else { format!("{exit}: {words}") }
}

/// Writes one line of a child to the log, in the consumer's name.
pub(super) fn child_line(consumer: &ConsumerName, worker: u16, stream: &str, line: &[u8]) {
    tracing::info!(target: CHILD_TARGET, %consumer, worker, stream, "{}", excerpt(line));
}

/// Says once why a line of a child is log.
pub(super) fn explain(consumer: &ConsumerName, worker: u16) {
    let hint = "answers are `ack`, `nack`, `reject`, `requeue` or JSON with \"result\"; print everything else to stderr";
    tracing::info!(%consumer, worker, hint, "a line on stdout that is no answer is taken as log");
}

/// Writes a line that a child has given a level to the log.
pub(super) fn structured(
    consumer: &ConsumerName,
    worker: u16,
    level: Level,
    text: &str,
    json: Option<&str>,
) {
    let text = excerpt(text.as_bytes());
    macro_rules! say {
        ($level:ident) => {
            tracing::event!(target: CHILD_TARGET, tracing::Level::$level, %consumer, worker, json, "{text}")
        };
    }
    match level {
        Level::Error => say!(ERROR),
        Level::Warn => say!(WARN),
        Level::Info => say!(INFO),
        Level::Debug => say!(DEBUG),
        Level::Trace => say!(TRACE),
    }
}

/// Drains a source, where there is one, to its end. `stream` is what it is called in the log; `last`
/// has its last lines.
pub(super) async fn drain(
    source: Option<impl AsyncRead + Unpin>,
    stream: &'static str,
    worker: u16,
    meter: ConsumerMeter,
    last: LastLines,
) {
    let Some(mut source) = source else { return };
    let mut valve = Valve::new();
    let mut write = |line: &[u8]| {
        let line = line.trim_ascii_end();
        if line.is_empty() {
            return;
        }
        last.push(line);
        if valve.admits() {
            child_line(meter.name(), worker, stream, line);
        } else {
            meter.log_lines_dropped(1);
        }
    };
    let mut buffer = vec![0; FIRST_READ];
    let mut partial = Vec::new();
    while let Ok(read @ 1..) = source.read(&mut buffer).await {
        let mut rest = &buffer[..read];
        while let Some(end) = memchr::memchr(b'\n', rest) {
            if partial.is_empty() {
                write(&rest[..end]);
            } else {
                partial.extend_from_slice(&rest[..end]);
                write(&partial);
                partial.clear();
            }
            rest = &rest[end + 1..];
        }
        // A line without an end is written in pieces, so that memory has one.
        for piece in rest.chunks(MAX_LINE) {
            partial.extend_from_slice(piece);
            if partial.len() >= MAX_LINE {
                write(&partial);
                partial.clear();
            }
        }
        roomier(&mut buffer, read, MOST_READ);
    }
    write(&partial);
}
