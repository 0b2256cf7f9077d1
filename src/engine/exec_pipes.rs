//! The pipes of a process of `exec`. All of them are served at once: whatever the process reads or
//! writes first, nothing waits for anything else.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{MaybeDone, join, maybe_done};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::child_log::{self, FIRST_READ, LastLines, MOST_READ, roomier};
use crate::model::{ConsumerName, ConsumerSpec};
use crate::process::{Child, ChildInput, ChildOutput};
use crate::telemetry::ConsumerMeter;

/// How long the output of a process that has ended is read for. What it wrote last is in the pipes;
/// somebody who escaped its group may hold them open.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What became of the standard output.
pub(super) enum Stdout {
    /// It is in the log.
    Log,
    /// It is the reply to whoever asked, whole.
    Reply(Vec<u8>),
    /// It was to be the reply, and is not usable, for this reason.
    Unusable(String),
}

impl Stdout {
    /// Where it is no reply after all, it is what any other output is.
    pub(super) fn log(self, consumer: &ConsumerName, worker: u16) {
        let Self::Reply(text) = self else { return };
        for line in text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            child_log::child_line(consumer, worker, "stdout", line);
        }
    }
}

type Flow<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What flows through the pipes, for as long as [`ExecPipes::flow`] or [`ExecPipes::ended`] is
/// polled.
pub(super) struct ExecPipes {
    /// Towards the process; none where it has all of it.
    feeding: Option<Flow<()>>,
    stdout: Pin<Box<MaybeDone<Flow<Stdout>>>>,
    stderr: Pin<Box<MaybeDone<Flow<()>>>>,
    last_lines: LastLines,
    /// Whether the standard output is a reply, which must be whole.
    is_reply: bool,
}

impl ExecPipes {
    /// Feeds a process what it has not had yet of its message, and takes what it writes. `metadata`
    /// is for the descriptor 3 of a process that has one.
    pub(super) fn serve(
        child: &mut Child,
        spec: &ConsumerSpec,
        worker: u16,
        meter: &ConsumerMeter,
        metadata: Vec<u8>,
    ) -> Self {
        let last_lines = LastLines::default();
        let log =
            |source, stream, last| child_log::drain(source, stream, worker, meter.clone(), last);
        let (body, stdin) = (child.unwritten(), child.stdin.take());
        let feeding: Option<Flow<()>> = match (stdin, child.metadata.take()) {
            (None, None) => None,
            (stdin, extra) => {
                let both = join(feed(stdin, body), feed(extra, metadata.into()));
                Some(Box::pin(async {
                    both.await;
                }))
            }
        };
        let stdout: Flow<Stdout> = match child.stdout.take() {
            Some(stdout) if spec.reply_from_stdout => {
                Box::pin(collect(stdout, spec.max_reply.get() as usize))
            }
            stdout => {
                let log = log(stdout, "stdout", LastLines::default());
                Box::pin(async {
                    log.await;
                    Stdout::Log
                })
            }
        };
        let stderr: Flow<()> = Box::pin(log(child.stderr.take(), "stderr", last_lines.clone()));
        Self {
            feeding,
            stdout: Box::pin(maybe_done(stdout)),
            stderr: Box::pin(maybe_done(stderr)),
            last_lines,
            is_reply: spec.reply_from_stdout,
        }
    }

    /// Whether the process has to be fed.
    pub(super) fn feeds(&self) -> bool {
        self.feeding.is_some()
    }

    /// Serves them for as long as it is polled. Cancel-safe.
    pub(super) async fn flow(&mut self) {
        let Self { feeding, stdout, stderr, .. } = self;
        let feeding = async {
            if let Some(flow) = feeding {
                flow.await;
                *feeding = None;
            }
        };
        let _ = join(feeding, join(stdout.as_mut(), stderr.as_mut())).await;
    }

    /// What the process, which has ended, wrote to its standard output, and its last lines on
    /// standard error.
    pub(super) async fn ended(mut self) -> (Stdout, String) {
        let both = join(self.stdout.as_mut(), self.stderr.as_mut());
        let _ = tokio::time::timeout(LAST_WORDS, both).await;
        let stdout = match self.stdout.as_mut().take_output() {
            Some(stdout) => stdout,
            None if !self.is_reply => Stdout::Log,
            None => Stdout::Unusable(
                "its standard output has not ended with it: another process holds it open".into(),
            ),
        };
        (stdout, self.last_lines.text())
    }
}

/// A process may end without reading its input; its exit code is what counts.
async fn feed(pipe: Option<ChildInput>, bytes: Bytes) {
    if let Some(mut pipe) = pipe {
        let _ = pipe.write_all(&bytes).await;
    }
}

/// Reads everything and keeps it, up to so many bytes.
async fn collect(mut source: ChildOutput, most: usize) -> Stdout {
    let mut kept = Vec::new();
    let mut buffer = vec![0; FIRST_READ];
    let mut length = 0_usize;
    loop {
        match source.read(&mut buffer).await {
            Ok(0) => break,
            Ok(read) => {
                length = length.saturating_add(read);
                let room = most.saturating_sub(kept.len());
                kept.extend_from_slice(&buffer[..read.min(room)]);
                roomier(&mut buffer, read, MOST_READ);
            }
            Err(error) => {
                return Stdout::Unusable(format!("its standard output cannot be read: {error}"));
            }
        }
    }
    if length > most {
        return Stdout::Unusable(format!(
            "its standard output has {length} bytes, `max_reply` is {most}"
        ));
    }
    Stdout::Reply(kept)
}
