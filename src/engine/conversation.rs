//! The two directions of the talk with one child.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio_util::task::AbortOnDropHandle;

use super::child_log::{self, Valve};
use super::desk::Desk;
use crate::model::{ConsumerName, ConsumerSpec, StopSignal};
use crate::process::{Child, Exit};
use crate::protocol::{Answer, Decoder, Encoder, Envelope, Level, Line, Unencodable, excerpt};
use crate::telemetry::{CHILD_TARGET, ConsumerMeter};

/// Bytes that wait to be written to the child. More messages are encoded when there is room: what
/// is not encoded need not be held twice.
const OUT_BUFFER: usize = 256 * 1024;

/// Bytes read from the child at once.
const IN_BUFFER: usize = 64 * 1024;

/// Protocol errors in a row after which a child is replaced.
const STRIKES: u32 = 3;

/// How long the output of a child that has ended is read for: what it said before stands.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A child, what is on its way to it, and what has come of its words.
pub(super) struct Conversation {
    child: Child,
    slot: u16,
    stdin: Option<pipe::Sender>,
    stdout: Option<pipe::Receiver>,
    encoder: Encoder,
    out: Vec<u8>,
    written: usize,
    decoder: Decoder,
    buffer: Vec<u8>,
    read: usize,
    strikes: u32,
    explained: bool,
    errors: Valve,
    words: Valve,
    _stderr: AbortOnDropHandle<()>,
}

/// What has happened to a conversation.
pub(super) enum Talk {
    /// The child has ended.
    Exited(Exit),
    /// It has said something: see [`Conversation::take_answers`].
    Said,
    /// It has closed its output.
    Silent,
    /// It has taken something, or closed its input.
    Heard,
}

impl Conversation {
    /// Begins to talk with a child that was just started.
    pub(super) fn begin(
        mut child: Child,
        spec: &ConsumerSpec,
        slot: u16,
        meter: &ConsumerMeter,
    ) -> Self {
        let stderr = child_log::drain(child.stderr.take(), slot, meter.clone());
        Self {
            stdin: child.stdin.take(),
            stdout: child.stdout.take(),
            _stderr: AbortOnDropHandle::new(tokio::spawn(stderr)),
            child,
            slot,
            encoder: Encoder::new(spec.protocol),
            out: Vec::new(),
            written: 0,
            decoder: Decoder::new(spec.max_reply.get() as usize),
            buffer: vec![0; IN_BUFFER],
            read: 0,
            strikes: 0,
            explained: false,
            errors: Valve::new(),
            words: Valve::new(),
        }
    }

    /// Waits for the next thing to happen. Cancel-safe. Words come before the end, so that an
    /// answer given with the last breath is read first.
    pub(super) async fn next(&mut self) -> Talk {
        let Self { child, stdin, stdout, out, written, buffer, .. } = self;
        let pending = &out[*written..];
        tokio::select! {
            biased;
            read = async {
                match stdout {
                    Some(stdout) => stdout.read(buffer).await,
                    None => std::future::pending().await,
                }
            } => match read {
                Ok(count @ 1..) => {
                    self.read = count;
                    Talk::Said
                }
                _ => {
                    self.stdout = None;
                    Talk::Silent
                }
            },
            exit = child.exited() => Talk::Exited(exit),
            wrote = async {
                match stdin {
                    Some(stdin) if !pending.is_empty() => stdin.write(pending).await,
                    _ => std::future::pending().await,
                }
            } => {
                self.wrote(wrote.unwrap_or(0));
                Talk::Heard
            }
        }
    }

    fn wrote(&mut self, count: usize) {
        self.written += count;
        if count == 0 {
            // It has closed its input. It may still answer what it has; its exit or the deadline
            // of a message decides the rest.
            self.close_input();
        } else if self.written == self.out.len() {
            self.out.clear();
            self.written = 0;
        } else if self.written >= OUT_BUFFER {
            // Moving the rest is worth it only now and then.
            self.out.drain(..self.written);
            self.written = 0;
        }
    }

    /// Whether one more message may be handed over.
    pub(super) fn has_room(&self) -> bool {
        self.stdin.is_some() && self.out.len() - self.written < OUT_BUFFER
    }

    /// Puts a message into the buffer. It is written when the child takes it.
    pub(super) fn hand_over(&mut self, envelope: &Envelope<'_>) -> Result<(), Unencodable> {
        self.encoder.encode(envelope, &mut self.out)
    }

    /// End of input: finish what you hold, answer, exit.
    pub(super) fn close_input(&mut self) {
        self.stdin = None;
        self.out = Vec::new();
        self.written = 0;
    }

    /// Sends the stop signal to the child's process group.
    pub(super) fn signal(&self, signal: StopSignal) -> std::io::Result<()> {
        self.child.signal_group(signal)
    }

    /// Kills the child's process group.
    pub(super) fn kill(&self) -> std::io::Result<()> {
        self.child.kill_group()
    }

    /// Reads what the child said last; true where it has to be replaced.
    pub(super) fn take_answers(&mut self, desk: &mut Desk) -> bool {
        let Self { decoder, buffer, strikes, explained, errors, words, slot, .. } = self;
        let (worker, consumer) = (*slot, desk.spec.name.clone());
        let mut replace = false;
        let mut strike = |what: &dyn std::fmt::Display, desk: &Desk, strikes: &mut u32| {
            desk.meter.protocol_error();
            *strikes += 1;
            if errors.admits() {
                tracing::warn!(%consumer, worker, "protocol error: {what}");
            }
            replace |= *strikes >= STRIKES;
        };
        decoder.feed(&buffer[..std::mem::take(&mut self.read)], &mut |line| match line {
            Line::Reply(reply) => match desk.answer(&reply) {
                Answer::Settled | Answer::Taken | Answer::Extend(_) => *strikes = 0,
                Answer::Stale => {}
                Answer::Unknown => {
                    strike(&"an answer to a message it was not given", desk, strikes);
                }
                Answer::Repeated => {
                    strike(&"a second answer to one message; the first stands", desk, strikes);
                }
            },
            Line::Log(text) => {
                if !std::mem::replace(explained, true) {
                    explain(&consumer, worker);
                }
                if words.admits() {
                    child_log::child_line(&consumer, worker, "stdout", text);
                } else {
                    desk.meter.log_lines_dropped(1);
                }
            }
            Line::Structured { level, text, json } => {
                structured(&consumer, worker, level, &text, json);
            }
            Line::Fault(fault) => strike(&fault, desk, strikes),
            Line::TooLong => {
                *strikes = STRIKES;
                strike(&"a line longer than `max_reply`", desk, strikes);
            }
        });
        if replace {
            tracing::warn!(consumer = %desk.spec.name, worker, "too many protocol errors in a row: the worker is replaced");
        }
        replace
    }

    /// What a child that has ended said before: its answers stand.
    pub(super) async fn last_words(mut self, desk: &mut Desk) {
        let until = tokio::time::Instant::now() + LAST_WORDS;
        while let Some(stdout) = &mut self.stdout {
            match tokio::time::timeout_at(until, stdout.read(&mut self.buffer)).await {
                Ok(Ok(count @ 1..)) => {
                    self.read = count;
                    self.take_answers(desk);
                }
                _ => break,
            }
        }
        let (consumer, worker) = (desk.spec.name.clone(), self.slot);
        self.decoder.finish(&mut |line| {
            if let Line::Log(text) = line {
                child_log::child_line(&consumer, worker, "stdout", text);
            }
        });
    }
}

fn explain(consumer: &ConsumerName, worker: u16) {
    let hint = "answers are `ack`, `nack`, `reject`, `requeue` or JSON with \"result\"; print everything else to stderr";
    tracing::info!(%consumer, worker, hint, "a line on stdout that is no answer is taken as log");
}

fn structured(consumer: &ConsumerName, worker: u16, level: Level, text: &str, json: Option<&str>) {
    let (text, json) = (excerpt(text.as_bytes()), json.unwrap_or_default());
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
