//! The two directions of the talk with one child.

use std::cell::OnceCell;
use std::collections::VecDeque;
use std::fmt::Display;
use std::time::Duration;

use rustix::io::ioctl_fionread;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::unix::pipe;
use tokio_util::task::AbortOnDropHandle;

use super::child_log::{self, FIRST_READ, LastLines, Valve};
use super::desk::Desk;
use super::hush::Hush;
use crate::model::{AckMode, ConsumerSpec, StopSignal};
use crate::process::{Child, ChildOutput, Exit};
use crate::protocol::{Answer, Decoder, DeliveryId, Encoder, Envelope, Line, Target, Unencodable};
use crate::telemetry::ConsumerMeter;

/// Bytes that wait to be written to the child. More messages are encoded when there is room: what
/// is not encoded need not be held twice.
const OUT_BUFFER: usize = 256 * 1024;

/// Most bytes that a pipe holds: where it holds more, they count as read.
const PIPE: u64 = 64 * 1024;

/// Bytes after whose begin no more messages are acked, with `ack: auto`, before they are written.
const LET_GO: u64 = 16 * 1024;

/// Most bytes that are read from the child at once.
const IN_BUFFER: usize = 64 * 1024;

/// Protocol errors in a row after which a child is replaced.
const STRIKES: u32 = 3;

/// How long after it has closed a pipe a child may take to exit before that means something.
const EXIT_FOLLOWS: Duration = Duration::from_millis(500);

/// How long the outputs of a child that has ended are read for: what it answered before stands,
/// and its last log lines often say why it ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A child, what is on its way to it, and what has come of its words.
pub(super) struct Conversation {
    child: Child,
    slot: u16,
    stdin: Option<pipe::Sender>,
    stdout: Option<ChildOutput>,
    encoder: Encoder,
    out: Vec<u8>,
    written: usize,
    /// Messages that are not wholly written, in order. An answer to one of them is an answer to
    /// nothing that was said.
    unwritten: VecDeque<Piece>,
    /// Messages that are written and may still lie in the pipe, in order.
    piped: VecDeque<Piece>,
    /// Bytes written in all.
    told: u64,
    /// With `ack: auto`, how far it may be told: so much is acked. `None` where all may be told.
    let_go: Option<u64>,
    /// Bytes that lay in the pipe when the child closed it: those it has never read.
    left: Option<u64>,
    decoder: Decoder,
    buffer: Vec<u8>,
    read: usize,
    /// Whether the last read has filled the buffer.
    full: bool,
    strikes: u32,
    /// When a pipe that the child has closed counts as closed: one that exits closes both a moment
    /// before.
    closed_at: Option<tokio::time::Instant>,
    /// Whether it has ever answered.
    answered: bool,
    explained: bool,
    wishes: Wishes,
    hush: Hush,
    errors: Valve,
    words: Valve,
    stderr: AbortOnDropHandle<()>,
    last_lines: LastLines,
    /// What is on stdout, where answers have a pipe of their own.
    words_on_stdout: AbortOnDropHandle<()>,
}

/// Where a message is in all that was ever to be written.
#[derive(Clone, Copy)]
struct Piece {
    id: DeliveryId,
    begin: u64,
    end: u64,
}

/// How a child has ended.
pub(super) struct Ending {
    /// The messages of which it has read nothing, in order.
    pub(super) unseen: Vec<DeliveryId>,
    /// What it wrote last to its standard error; empty where it wrote nothing.
    pub(super) words: String,
}

/// What a child has said about itself, once.
#[derive(Clone, Copy, Default)]
pub(super) struct Wishes {
    /// It is ready for messages.
    pub(super) ready: bool,
    /// It wants to be replaced.
    pub(super) stop: bool,
}

/// What has happened to a conversation.
pub(super) enum Talk {
    /// The child has ended.
    Exited(Exit),
    /// It has said something: see [`Conversation::take_answers`].
    Said,
    /// It has closed its output and lives on.
    Silent,
    /// It has closed its input, so it wants no more: see [`Conversation::take_unwritten`].
    Deaf,
    /// It has taken something.
    Heard,
    /// It has had a message for a while and never said a word.
    Hushed,
}

impl Conversation {
    /// Begins to talk with a child that was just started.
    pub(super) fn begin(
        mut child: Child,
        spec: &ConsumerSpec,
        slot: u16,
        meter: &ConsumerMeter,
    ) -> Self {
        let last_lines = LastLines::default();
        let stderr = child_log::drain(
            child.stderr.take(),
            "stderr",
            slot,
            meter.clone(),
            last_lines.clone(),
        );
        let stdout = child.stdout.take();
        // Where answers have a pipe of their own, what is on stdout is words.
        let (answers, words) = match child.replies.take() {
            Some(replies) => (Some(replies), stdout),
            None => (stdout, None),
        };
        let words = child_log::drain(words, "stdout", slot, meter.clone(), LastLines::default());
        Self {
            stdin: child.stdin.take(),
            stdout: answers,
            stderr: AbortOnDropHandle::new(tokio::spawn(stderr)),
            last_lines,
            words_on_stdout: AbortOnDropHandle::new(tokio::spawn(words)),
            child,
            slot,
            encoder: Encoder::new(spec.protocol),
            out: Vec::new(),
            written: 0,
            unwritten: VecDeque::new(),
            piped: VecDeque::new(),
            told: 0,
            let_go: (spec.ack == AckMode::Auto).then_some(0),
            left: None,
            decoder: Decoder::new(spec.max_reply.get() as usize),
            buffer: vec![0; FIRST_READ],
            read: 0,
            full: false,
            strikes: 0,
            closed_at: None,
            answered: false,
            explained: false,
            wishes: Wishes::default(),
            hush: Hush::default(),
            errors: Valve::new(),
            words: Valve::new(),
        }
    }

    /// Waits for the next thing to happen. Cancel-safe. Words come before the end, so that an
    /// answer given with the last breath is read first. Without `listen` there are none: answers
    /// stay in the pipe.
    pub(super) async fn next(&mut self, listen: bool) -> Talk {
        let Self {
            child, stdin, stdout, out, written, buffer, closed_at, hush, let_go, told, ..
        } = self;
        let most = let_go.map_or(usize::MAX, |let_go| {
            usize::try_from(let_go.saturating_sub(*told)).unwrap_or(usize::MAX)
        });
        let pending = &out[*written..out.len().min(written.saturating_add(most))];
        tokio::select! {
            biased;
            read = async {
                match stdout {
                    Some(stdout) => stdout.read(buffer).await,
                    None => std::future::pending().await,
                }
            }, if listen => match read {
                Ok(count @ 1..) => {
                    self.read = count;
                    self.full = count == self.buffer.len();
                    self.hush.broken();
                    Talk::Said
                }
                _ => {
                    self.stdout = None;
                    self.closed()
                }
            },
            exit = child.exited() => Talk::Exited(exit),
            wrote = async {
                match stdin {
                    Some(stdin) if !pending.is_empty() => stdin.write(pending).await.unwrap_or(0),
                    // Nobody reads what lies in the pipe either.
                    Some(stdin) => stdin.ready(Interest::ERROR).await.map_or(0, |_| 0),
                    None => std::future::pending().await,
                }
            } => self.wrote(wrote),
            () = hush.lasts() => Talk::Hushed,
            () = async {
                match closed_at {
                    Some(at) => tokio::time::sleep_until(*at).await,
                    None => std::future::pending().await,
                }
            } => {
                self.closed_at = None;
                if self.stdout.is_none() { Talk::Silent } else { Talk::Deaf }
            }
        }
    }

    fn closed(&mut self) -> Talk {
        self.closed_at.get_or_insert_with(|| tokio::time::Instant::now() + EXIT_FOLLOWS);
        Talk::Heard
    }

    fn wrote(&mut self, count: usize) -> Talk {
        if count == 0 {
            self.left = lying(self.stdin.as_ref());
            self.close_input();
            return self.closed();
        }
        self.written += count;
        self.told += count as u64;
        while self.unwritten.front().is_some_and(|piece| piece.end <= self.told) {
            self.piped.extend(self.unwritten.pop_front());
        }
        while self.piped.front().is_some_and(|piece| piece.end + PIPE <= self.told) {
            self.piped.pop_front();
        }
        if self.written == self.out.len() {
            self.out.clear();
            self.written = 0;
        } else if self.written >= OUT_BUFFER {
            // Moving the rest is worth it only now and then.
            self.out.drain(..self.written);
            self.written = 0;
        }
        Talk::Heard
    }

    /// Whether one more message may be handed over.
    pub(super) fn has_room(&self) -> bool {
        self.stdin.is_some() && self.out.len() - self.written < OUT_BUFFER
    }

    /// Whether there was more to read than could be read at once.
    pub(super) fn has_more_to_say(&self) -> bool {
        self.full
    }

    /// Nobody is woken up by what it says until it is listened to again.
    pub(super) fn rest(&mut self) {
        if let Some(stdout) = &mut self.stdout {
            stdout.rest();
        }
    }

    /// How many messages it has not had yet, or not all of.
    pub(super) fn unwritten(&self) -> usize {
        self.unwritten.len()
    }

    /// Puts a message into the buffer. It is written when the child takes it.
    pub(super) fn hand_over(&mut self, envelope: &Envelope<'_>) -> Result<(), Unencodable> {
        let begin = self.told + (self.out.len() - self.written) as u64;
        self.encoder.encode(envelope, &mut self.out)?;
        let end = self.told + (self.out.len() - self.written) as u64;
        self.unwritten.push_back(Piece { id: envelope.id, begin, end });
        // Where nobody waits for an answer, silence means nothing.
        if self.let_go.is_none() {
            self.hush.begins();
        }
        Ok(())
    }

    /// With `ack: auto`: messages that will be written next, once the child has taken all before
    /// them. They are to be acked before anything else happens; nobody will ask for them again.
    pub(super) fn let_go(&mut self) -> Vec<DeliveryId> {
        let Some(let_go) = self.let_go.filter(|let_go| *let_go <= self.told) else {
            return Vec::new();
        };
        let next = |piece: &&Piece| piece.begin < let_go.max(self.told) + LET_GO;
        let pieces: Vec<Piece> = self.unwritten.iter().take_while(next).copied().collect();
        if let Some(last) = pieces.last() {
            self.let_go = Some(last.end);
        }
        pieces.into_iter().map(|piece| piece.id).collect()
    }

    /// Messages that were handed over and of which the child, whose input is closed, has at most a
    /// part.
    pub(super) fn take_unwritten(&mut self) -> Vec<DeliveryId> {
        self.unwritten.drain(..).map(|piece| piece.id).collect()
    }

    /// Messages that were handed over and of which the child has had nothing; they will not be
    /// written. The next one to be written stays: it may be there in part.
    pub(super) fn take_unbegun(&mut self) -> Vec<DeliveryId> {
        let sure = self.let_go.unwrap_or(0).max(self.told + 1);
        let begun = self.unwritten.partition_point(|piece| piece.begin < sure);
        let unbegun = self.unwritten.split_off(begun);
        let Some(last) = self.unwritten.back() else { return Vec::new() };
        let left = usize::try_from(last.end - self.told).unwrap_or(usize::MAX);
        self.out.truncate(self.written.saturating_add(left));
        unbegun.into_iter().map(|piece| piece.id).collect()
    }

    /// What the child has said about itself since this was last asked.
    pub(super) fn take_wishes(&mut self) -> Wishes {
        std::mem::take(&mut self.wishes)
    }

    /// Whether the child has ever answered anything.
    pub(super) fn has_answered(&self) -> bool {
        self.answered
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
        let Self {
            decoder,
            buffer,
            strikes,
            explained,
            errors,
            words,
            slot,
            unwritten,
            piped,
            told,
            left,
            stdin,
            answered,
            wishes,
            ..
        } = self;
        let (worker, consumer) = (*slot, desk.spec.name.clone());
        // Whoever names a message has read of it. Else it is found out, once for all that was said.
        let unseen = OnceCell::new();
        let unread = |target: &Target| match target {
            Target::Id(_) => unwritten.front().map(|piece| piece.id),
            Target::Oldest => *unseen.get_or_init(|| {
                let read = told_and_read(*told, *left, stdin.as_ref());
                let unread = piped.partition_point(|piece| piece.begin < read);
                piped.get(unread).or(unwritten.front()).map(|piece| piece.id)
            }),
        };
        let mut replace = false;
        let mut strike = |what: &dyn Display, of: Target, desk: &Desk, strikes: &mut u32| {
            desk.meter.protocol_error();
            *strikes += 1;
            if errors.admits() {
                let id =
                    if let Target::Id(id) = of { Some(tracing::field::display(id)) } else { None };
                tracing::warn!(%consumer, worker, id, "protocol error: {what}");
            }
            replace |= *strikes >= STRIKES;
        };
        let read = std::mem::take(&mut self.read);
        decoder.feed(&buffer[..read], &mut |line| match line {
            Line::Reply(reply) => match desk.answer(&reply, unread(&reply.target)) {
                Answer::Settled | Answer::Taken | Answer::Extend(_) => {
                    *strikes = 0;
                    *answered = true;
                }
                Answer::Stale => {}
                Answer::Unknown => {
                    let what = "an answer to a message it was not given";
                    strike(&what, reply.target, desk, strikes);
                }
                Answer::Repeated => {
                    let what = "a second answer to one message; the first stands";
                    strike(&what, reply.target, desk, strikes);
                }
            },
            Line::Log(text) => {
                if !std::mem::replace(explained, true) {
                    child_log::explain(&consumer, worker);
                }
                if words.admits() {
                    child_log::child_line(&consumer, worker, "stdout", text);
                } else {
                    desk.meter.log_lines_dropped(1);
                }
            }
            Line::Structured { level, text, json } => {
                child_log::structured(&consumer, worker, level, &text, json);
            }
            Line::Ready => wishes.ready = true,
            Line::Stop => wishes.stop = true,
            Line::Fault(fault) => strike(&fault, Target::Oldest, desk, strikes),
            Line::TooLong => {
                *strikes = STRIKES;
                strike(&"a line longer than `max_reply`", Target::Oldest, desk, strikes);
            }
        });
        child_log::roomier(buffer, read, IN_BUFFER);
        if replace {
            tracing::warn!(consumer = %desk.spec.name, worker, "too many protocol errors in a row: the worker is replaced");
        }
        replace
    }

    /// Messages of which the child, which has ended, has read nothing, in order. Where we closed
    /// its input ourselves, it may have read all that was written.
    fn unseen(&self) -> Vec<DeliveryId> {
        let read = told_and_read(self.told, self.left, self.stdin.as_ref());
        let pieces = self.piped.iter().chain(&self.unwritten);
        pieces.filter(|piece| piece.begin >= read).map(|piece| piece.id).collect()
    }

    /// What a child that has ended said before: its answers stand.
    pub(super) async fn last_words(mut self, desk: &mut Desk) -> Ending {
        let unseen = self.unseen();
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
        // Somebody who escaped its group may hold the pipe open.
        let _ = tokio::time::timeout_at(until, &mut self.stderr).await;
        let _ = tokio::time::timeout_at(until, &mut self.words_on_stdout).await;
        let (consumer, worker) = (desk.spec.name.clone(), self.slot);
        self.decoder.finish(&mut |line| {
            if let Line::Log(text) = line {
                child_log::child_line(&consumer, worker, "stdout", text);
            }
        });
        Ending { unseen, words: self.last_lines.text() }
    }
}

/// Of so many bytes that were written to a child, those that it has read; all of them where nobody
/// can say. `left` is what lay in its pipe when that was last open.
fn told_and_read(told: u64, left: Option<u64>, stdin: Option<&pipe::Sender>) -> u64 {
    told.saturating_sub(left.or_else(|| lying(stdin)).unwrap_or(0))
}

/// Bytes that lie in the pipe, where the system says how many that are.
fn lying(stdin: Option<&pipe::Sender>) -> Option<u64> {
    ioctl_fionread(stdin?).ok()
}
