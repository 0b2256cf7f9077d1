//! What children write on stderr, as log lines.
//!
//! The pipe is drained always, whatever comes: a child must never block because nobody reads what
//! it complains about. A flood is cut in lines a second, and what is cut is counted.

use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::model::ConsumerName;
use crate::protocol::excerpt;
use crate::telemetry::{CHILD_TARGET, ConsumerMeter};

/// Lines a second that are written of one child.
const LINES_PER_SECOND: u32 = 200;

/// Bytes of a line that are kept until its end comes.
const MAX_LINE: usize = 8 * 1024;

/// Counts lines and says which may be written.
pub(super) struct Valve {
    second: Instant,
    lines: u32,
}

impl Valve {
    pub(super) fn new() -> Self {
        Self { second: Instant::now(), lines: 0 }
    }

    /// Whether one more line may be written now.
    pub(super) fn admits(&mut self) -> bool {
        let now = Instant::now();
        if now.duration_since(self.second) >= Duration::from_secs(1) {
            *self = Self { second: now, lines: 0 };
        }
        self.lines += 1;
        self.lines <= LINES_PER_SECOND
    }
}

/// Writes one line of a child to the log, in the consumer's name.
pub(super) fn child_line(consumer: &ConsumerName, worker: u16, stream: &str, line: &[u8]) {
    tracing::info!(target: CHILD_TARGET, %consumer, worker, stream, "{}", excerpt(line));
}

/// Drains a stream, where there is one, to its end.
pub(super) async fn drain(
    stream: Option<impl AsyncRead + Unpin>,
    worker: u16,
    meter: ConsumerMeter,
) {
    let Some(mut stream) = stream else { return };
    let mut valve = Valve::new();
    let mut write = |line: &[u8]| {
        let line = line.trim_ascii_end();
        if line.is_empty() {
        } else if valve.admits() {
            child_line(meter.name(), worker, "stderr", line);
        } else {
            meter.log_lines_dropped(1);
        }
    };
    let mut buffer = vec![0; 16 * 1024];
    let mut partial = Vec::new();
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
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
    }
    write(&partial);
}
