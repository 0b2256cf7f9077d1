//! Log lines written by a thread of their own.
//!
//! Whoever reads standard error may stop reading: a pager, a full disk behind a journal. A write
//! would then wait for ever, and with it the worker that had something to say, or the thread that
//! takes the signals. So lines wait in a queue with an end, and past that end they are dropped and
//! counted.

use std::io::{self, Write};
use std::sync::{Arc, OnceLock};

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

use super::LogFormat;

/// As many lines may wait to be written.
const WAITING: usize = 4096;

/// A writer that never waits, and the guard whose end writes what still waits (for a second at
/// most).
pub(super) fn apart<W>(format: LogFormat, waiting: usize, writer: W) -> (NonBlocking, WorkerGuard)
where
    W: Write + Send + 'static,
{
    let dropped = Arc::new(OnceLock::new());
    let telling = Telling { writer, format, dropped: Arc::clone(&dropped), told: 0 };
    let (lines, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(waiting)
        .lossy(true)
        .thread_name("log")
        .finish(telling);
    // Nobody else sets it.
    let _ = dropped.set(lines.error_counter());
    (lines, guard)
}

/// The same with the usual room.
pub(super) fn standard<W: Write + Send + 'static>(
    format: LogFormat,
    writer: W,
) -> (NonBlocking, WorkerGuard) {
    apart(format, WAITING, writer)
}

/// Says before the next line how many are missing there.
struct Telling<W> {
    writer: W,
    format: LogFormat,
    dropped: Arc<OnceLock<ErrorCounter>>,
    told: usize,
}

impl<W: Write> Write for Telling<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let dropped = self.dropped.get().map_or(0, ErrorCounter::dropped_lines);
        if dropped > self.told {
            let said = format!("{} log lines dropped, nobody read them", dropped - self.told);
            let now = jiff::Timestamp::now();
            match self.format {
                LogFormat::Text => {
                    let now = now.to_zoned(jiff::tz::TimeZone::system());
                    writeln!(self.writer, "{} WARN  {said}", now.strftime("%H:%M:%S%.3f"))?;
                }
                LogFormat::Json => writeln!(
                    self.writer,
                    r#"{{"timestamp":"{now:.6}","level":"WARN","message":"{said}","target":"warrener::telemetry"}}"#
                )?,
            }
            self.told = dropped;
        }
        self.writer.write_all(line)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}
