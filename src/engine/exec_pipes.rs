//! The pipes of a process of `exec`, each served by a task of its own: whatever the process reads
//! or writes first, nothing waits for anything else.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::task::AbortOnDropHandle;

use super::child_log::{self, LastLines};
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

/// The tasks that serve the pipes; they end when this is dropped.
pub(super) struct ExecPipes {
    _feeding: [AbortOnDropHandle<()>; 2],
    stderr: AbortOnDropHandle<()>,
    stdout: AbortOnDropHandle<Stdout>,
    last_lines: LastLines,
    /// Whether the standard output is a reply, which must be whole.
    is_reply: bool,
}

impl ExecPipes {
    /// Feeds a process its message, and takes what it writes. `metadata` is for the descriptor 3 of
    /// a process that has one.
    pub(super) fn serve(
        child: &mut Child,
        spec: &ConsumerSpec,
        worker: u16,
        meter: &ConsumerMeter,
        body: Vec<u8>,
        metadata: Vec<u8>,
    ) -> Self {
        let last_lines = LastLines::default();
        let log =
            |source, stream, last| child_log::drain(source, stream, worker, meter.clone(), last);
        let (stderr, stdout) = (child.stderr.take(), child.stdout.take());
        let stdout = match stdout {
            Some(stdout) if spec.reply_from_stdout => {
                tokio::spawn(collect(stdout, spec.max_reply.get() as usize))
            }
            stdout => {
                let log = log(stdout, "stdout", LastLines::default());
                tokio::spawn(async move {
                    log.await;
                    Stdout::Log
                })
            }
        };
        Self {
            _feeding: [
                tokio::spawn(feed(child.stdin.take(), body)),
                tokio::spawn(feed(child.metadata.take(), metadata)),
            ]
            .map(AbortOnDropHandle::new),
            stderr: AbortOnDropHandle::new(tokio::spawn(log(stderr, "stderr", last_lines.clone()))),
            stdout: AbortOnDropHandle::new(stdout),
            last_lines,
            is_reply: spec.reply_from_stdout,
        }
    }

    /// What the process, which has ended, wrote to its standard output, and its last lines on
    /// standard error.
    pub(super) async fn ended(self) -> (Stdout, String) {
        let stdout = tokio::time::timeout(LAST_WORDS, self.stdout).await;
        let _ = tokio::time::timeout(LAST_WORDS, self.stderr).await;
        let stdout = match stdout {
            Ok(Ok(stdout)) => stdout,
            _ if !self.is_reply => Stdout::Log,
            _ => Stdout::Unusable(
                "its standard output has not ended with it: another process holds it open".into(),
            ),
        };
        (stdout, self.last_lines.text())
    }
}

/// A process may end without reading its input; its exit code is what counts.
async fn feed(pipe: Option<ChildInput>, bytes: Vec<u8>) {
    if let Some(mut pipe) = pipe {
        let _ = pipe.write_all(&bytes).await;
    }
}

/// Reads everything and keeps it, up to so many bytes.
async fn collect(mut source: ChildOutput, most: usize) -> Stdout {
    let mut kept = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    let mut length = 0_usize;
    loop {
        match source.read(&mut buffer).await {
            Ok(0) => break,
            Ok(read) => {
                length = length.saturating_add(read);
                let room = most.saturating_sub(kept.len());
                kept.extend_from_slice(&buffer[..read.min(room)]);
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
