//! A worker: one child that is fed messages and answers them, for the protocols with a stream.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::Context;
use super::child_log::{self, Valve};
use super::desk::Desk;
use crate::model::{ConsumerSpec, Delivery};
use crate::process::{Child, Exit, SpawnRequest, find_program};
use crate::protocol::{Answer, Decoder, Encoder, Envelope, Level, Line, Unencodable};
use crate::supervise::{Effect, Event, Lifecycle, State, Wish, first_address};
use crate::telemetry::{CHILD_TARGET, ConsumerState, Outcome, Reason, RestartReason, WorkerState};

/// Bytes that wait to be written to the child. More messages are encoded when there is room: what
/// is not encoded need not be held twice.
const OUT_BUFFER: usize = 256 * 1024;

/// Bytes read from the child at once.
const IN_BUFFER: usize = 64 * 1024;

/// Protocol errors in a row after which a child is replaced.
const STRIKES: u32 = 3;

/// How long the output of a child that has ended is read for: what it said before stands.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How far a worker has come, for whoever waits to put it in another's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    /// Not there yet.
    Starting,
    /// Its child runs and the broker has confirmed its consumer.
    Ready,
    /// It has failed to get there, at least once.
    Failed(String),
}

/// What stops a worker.
#[derive(Clone, Debug)]
pub(super) struct Stopping {
    /// Take no more, answer what is held, end.
    pub(super) drain: CancellationToken,
    /// End now.
    pub(super) kill: CancellationToken,
}

pub(super) struct Worker {
    spec: Arc<ConsumerSpec>,
    slot: u16,
    context: Context,
    stopping: Stopping,
    ready: watch::Sender<Readiness>,
    desk: Desk,
    lifecycle: Lifecycle,
    encoder: Encoder,
    child: Option<Running>,
    over: bool,
    /// Why the child is being replaced, where that is our doing.
    replaced: Option<RestartReason>,
}

/// A child and the two directions of the conversation with it.
struct Running {
    child: Child,
    stdin: Option<tokio::net::unix::pipe::Sender>,
    stdout: Option<tokio::net::unix::pipe::Receiver>,
    out: Vec<u8>,
    written: usize,
    buffer: Vec<u8>,
    decoder: Decoder,
    strikes: u32,
    explained: bool,
    valve: Valve,
    _stderr: AbortOnDropHandle<()>,
}

enum Happening {
    Drain,
    Kill,
    Exited(Exit),
    Desk,
    Said(std::io::Result<usize>),
    Heard(std::io::Result<usize>),
    Tick,
}

impl Worker {
    pub(super) fn new(
        spec: Arc<ConsumerSpec>,
        slot: u16,
        context: Context,
        stopping: Stopping,
        ready: watch::Sender<Readiness>,
    ) -> Self {
        let desk = Desk::new(spec.clone(), slot, context.clone(), stopping.drain.clone());
        let lifecycle = Lifecycle::new(&spec.restart, &spec.stop, Instant::now());
        Self {
            encoder: Encoder::new(spec.protocol),
            spec,
            slot,
            context,
            stopping,
            ready,
            desk,
            lifecycle,
            child: None,
            over: false,
            replaced: None,
        }
    }

    /// Lives until stopped.
    pub(super) async fn run(mut self) {
        loop {
            self.feed();
            self.desk.flush();
            if self.desk.consuming() && matches!(self.lifecycle.state(), State::Running { .. }) {
                self.ready.send_if_modified(|ready| {
                    std::mem::replace(ready, Readiness::Ready) != Readiness::Ready
                });
            }
            if matches!(self.lifecycle.state(), State::Draining { .. }) && self.desk.is_clear() {
                self.on(Event::Drained).await;
            }
            if self.over {
                break;
            }
            match self.next().await {
                Happening::Drain => self.on(Event::Stop).await,
                Happening::Kill => self.on(Event::StopNow).await,
                Happening::Exited(exit) => self.exited(exit).await,
                Happening::Desk => {}
                Happening::Said(read) => self.said(read).await,
                Happening::Heard(written) => self.heard(&written),
                Happening::Tick => self.tick().await,
            }
        }
        self.desk.close().await;
    }

    /// Waits for the next thing to happen. Cancel-safe in every branch.
    async fn next(&mut self) -> Happening {
        let now = Instant::now();
        let overdue = self.desk.overdue_at(now).map(|(_, at)| at);
        let replacing = matches!(self.lifecycle.state(), State::Terminating { .. } | State::Killing);
        let tick = match (self.lifecycle.next_tick(), overdue.filter(|_| !replacing)) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        let timer = async {
            match tick {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        let (drain, kill) = (&self.stopping.drain, &self.stopping.kill);
        let state = self.lifecycle.state();
        let draining = !matches!(state, State::Waiting { .. } | State::Starting | State::Running { .. });
        let (mut exited, mut reader, mut writer) = (None, None, None);
        if let Some(running) = &mut self.child {
            let Running { child, stdin, stdout, out, written, buffer, .. } = running;
            exited = Some(child);
            reader = stdout.as_mut().map(|stdout| (stdout, buffer));
            let pending = &out[*written..];
            writer = stdin.as_mut().filter(|_| !pending.is_empty()).map(|stdin| (stdin, pending));
        }
        tokio::select! {
            biased;
            () = kill.cancelled(), if state != State::Killing && state != State::Stopped => Happening::Kill,
            () = drain.cancelled(), if !draining => Happening::Drain,
            read = async {
                match reader {
                    Some((stdout, buffer)) => stdout.read(buffer).await,
                    None => std::future::pending().await,
                }
            } => Happening::Said(read),
            exit = async {
                match exited {
                    Some(child) => child.exited().await,
                    None => std::future::pending().await,
                }
            } => Happening::Exited(exit),
            () = self.desk.turn() => Happening::Desk,
            written = async {
                match writer {
                    Some((stdin, pending)) => stdin.write(pending).await,
                    None => std::future::pending().await,
                }
            } => Happening::Heard(written),
            () = timer => Happening::Tick,
        }
    }

    /// Encodes what waits, as far as there is room, for a child that listens.
    fn feed(&mut self) {
        if !matches!(self.lifecycle.state(), State::Running { .. }) {
            return;
        }
        loop {
            let Some(running) = &mut self.child else { return };
            if running.stdin.is_none() || running.out.len() - running.written >= OUT_BUFFER {
                return;
            }
            let Some(delivery) = self.desk.waiting.pop_front() else { return };
            self.hand_over(delivery);
        }
    }

    fn hand_over(&mut self, delivery: Delivery) {
        let Some(id) = self.desk.book(delivery) else { return };
        let (Some(running), Some(kept)) = (&mut self.child, self.desk.kept(id)) else { return };
        let size = kept.delivery.body.len();
        if size > self.spec.max_message.get() as usize {
            let why = format!("the body has {size} bytes, `max_message` is {}", self.spec.max_message);
            return self.desk.fail_by_us(id, Wish::Never, Reason::TooLarge, &why);
        }
        let deadline = self.spec.timeout.and_then(|timeout| {
            let deadline = jiff::Timestamp::now().checked_add(timeout).ok()?;
            Some(format!("{deadline:.3}"))
        });
        let (exchange, routing_key) = first_address(&kept.delivery);
        let envelope = Envelope {
            id,
            attempt: kept.attempt,
            redelivered: kept.delivery.redelivered,
            queue: self.spec.queue.as_str(),
            exchange,
            routing_key,
            deadline: deadline.as_deref(),
            properties: &kept.delivery.properties,
            body: &kept.delivery.body,
        };
        if running.written > 0 && running.written == running.out.len() {
            running.out.clear();
            running.written = 0;
        }
        let encoded: Result<(), Unencodable> = self.encoder.encode(&envelope, &mut running.out);
        if let Err(error) = encoded {
            self.desk.fail_by_us(id, Wish::Never, Reason::Unencodable, &error.to_string());
        }
    }

    /// Bytes went to the child, or it will take no more.
    fn heard(&mut self, written: &std::io::Result<usize>) {
        let Some(running) = &mut self.child else { return };
        match written {
            Ok(count) if *count > 0 => {
                running.written += count;
                // What is written need not be moved until it is worth it.
                if running.written == running.out.len() {
                    running.out.clear();
                    running.written = 0;
                } else if running.written >= OUT_BUFFER {
                    running.out.drain(..running.written);
                    running.written = 0;
                }
            }
            // It has closed its input. It may still answer what it has; its exit or the deadline
            // of a message decides the rest.
            _ => {
                running.stdin = None;
                running.out.clear();
                running.written = 0;
            }
        }
    }

    /// The child has said something, or closed its output.
    async fn said(&mut self, read: std::io::Result<usize>) {
        let Some(running) = &mut self.child else { return };
        let replace = match read {
            Ok(count @ 1..) => Self::take_answers(running, &mut self.desk, self.slot, count),
            _ => {
                running.stdout = None;
                let mut replace = false;
                let (desk, slot) = (&mut self.desk, self.slot);
                let Running { decoder, valve, .. } = running;
                decoder.finish(&mut |line| {
                    if let Line::Log(text) = line
                        && valve.admits()
                    {
                        child_log::child_line(desk.meter.name(), slot, "stdout", text);
                    }
                });
                // Without an output it can answer nothing more.
                replace |= matches!(self.lifecycle.state(), State::Running { .. });
                replace
            }
        };
        if replace && matches!(self.lifecycle.state(), State::Running { .. }) {
            self.replaced.get_or_insert(RestartReason::Protocol);
            self.on(Event::Replace).await;
        }
    }

    /// Reads the lines in the buffer; true where the child has to be replaced.
    fn take_answers(running: &mut Running, desk: &mut Desk, slot: u16, count: usize) -> bool {
        let Running { decoder, buffer, strikes, explained, valve, .. } = running;
        let consumer = desk.spec.name.clone();
        let mut replace = false;
        let mut strike = |what: std::fmt::Arguments<'_>, desk: &Desk, strikes: &mut u32| {
            desk.meter.protocol_error();
            *strikes += 1;
            if valve.admits() {
                tracing::warn!(%consumer, worker = slot, "protocol error: {what}");
            }
            if *strikes >= STRIKES {
                tracing::warn!(%consumer, worker = slot, "{STRIKES} protocol errors in a row: the worker is replaced");
                replace = true;
            }
        };
        let mut lines = Valve::new();
        decoder.feed(&buffer[..count], &mut |line| match line {
            Line::Reply(reply) => match desk.answer(&reply) {
                Answer::Settled | Answer::Taken | Answer::Extend(_) => *strikes = 0,
                Answer::Stale => {}
                Answer::Unknown => {
                    strike(format_args!("an answer to a message it was not given"), desk, strikes);
                }
                Answer::Repeated => {
                    strike(format_args!("a second answer to one message; the first stands"), desk, strikes);
                }
            },
            Line::Log(text) => {
                if !std::mem::replace(explained, true) {
                    tracing::info!(%consumer, worker = slot, hint = "answers are `ack`, `nack`, `reject`, `requeue` or JSON with \"result\"; print everything else to stderr", "a line on stdout that is no answer is taken as log");
                }
                if lines.admits() {
                    child_log::child_line(&consumer, slot, "stdout", text);
                } else {
                    desk.meter.log_lines_dropped(1);
                }
            }
            Line::Structured { level, text, json } => {
                structured(&consumer, slot, level, &text, json);
            }
            Line::Fault(fault) => strike(format_args!("{fault}"), desk, strikes),
            Line::TooLong => {
                *strikes = STRIKES - 1;
                strike(format_args!("a line longer than `max_reply`"), desk, strikes);
            }
        });
        replace
    }

    async fn exited(&mut self, exit: Exit) {
        // The pipe may hold answers given before the end; they stand.
        let until = tokio::time::Instant::now() + LAST_WORDS;
        while let Some(running) = &mut self.child {
            let Some(stdout) = &mut running.stdout else { break };
            match tokio::time::timeout_at(until, stdout.read(&mut running.buffer)).await {
                Ok(Ok(count @ 1..)) => {
                    Self::take_answers(running, &mut self.desk, self.slot, count);
                }
                _ => break,
            }
        }
        self.child = None;
        self.desk.shown().set_pid(None);
        let expected = !matches!(self.lifecycle.state(), State::Running { .. });
        let reason = self.replaced.take().unwrap_or(match exit {
            Exit::Code(_) => RestartReason::Exit,
            Exit::Signal(_) => RestartReason::Signal,
        });
        self.on(Event::Exited).await;
        if let State::Waiting { until } = self.lifecycle.state() {
            self.desk.meter.restarted(reason);
            let pause = until.saturating_duration_since(Instant::now());
            let why = format!("its process ended with {exit}");
            tracing::warn!(consumer = %self.spec.name, worker = self.slot, "{why}; restart in {pause:.1?}");
            self.failed(why);
        } else if !expected {
            tracing::info!(consumer = %self.spec.name, worker = self.slot, "its process ended with {exit}");
        }
    }

    async fn tick(&mut self) {
        let now = Instant::now();
        if let Some((id, at)) = self.desk.overdue_at(now)
            && at <= now
            && matches!(self.lifecycle.state(), State::Running { .. } | State::Draining { .. })
        {
            let timeout = crate::model::duration_label(self.spec.timeout.unwrap_or_default());
            tracing::warn!(consumer = %self.spec.name, worker = self.slot, %id, "no answer within {timeout}: the worker is replaced");
            let why = format!("no answer within {timeout}");
            self.desk.fail_by_us(id, Wish::Later, Reason::Timeout, &why);
            self.replaced = Some(RestartReason::Timeout);
            self.on(Event::Replace).await;
        }
        self.on(Event::Tick).await;
    }

    async fn on(&mut self, event: Event) {
        let mut next = Some(event);
        while let Some(event) = next.take() {
            let effects = self.lifecycle.on(event, Instant::now(), fastrand::f64());
            for effect in effects {
                match effect {
                    Effect::Spawn => next = Some(self.spawn().await),
                    Effect::Consume => self.desk.open(),
                    Effect::Pause => self.desk.pause().await,
                    Effect::CloseInput => {
                        if let Some(running) = &mut self.child {
                            running.stdin = None;
                        }
                    }
                    Effect::Signal => self.signal(false),
                    Effect::Kill => self.signal(true),
                    Effect::Release => self.desk.release(),
                    Effect::Finish => self.over = true,
                }
            }
        }
        self.show();
    }

    fn signal(&self, kill: bool) {
        let Some(running) = &self.child else { return };
        let sent = if kill {
            running.child.kill_group()
        } else {
            running.child.signal_group(self.spec.stop.signal)
        };
        if let Err(error) = sent {
            tracing::debug!(consumer = %self.spec.name, %error, "cannot signal the process group");
        }
    }

    async fn spawn(&mut self) -> Event {
        let spec = &self.spec;
        let spawned = match find_program(&spec.program, &spec.cwd, &spec.env) {
            Ok(()) => {
                let request = SpawnRequest::for_consumer(spec);
                self.context.spawner.spawn(request).await.map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        let mut child = match spawned {
            Ok(child) => child,
            Err(why) => {
                tracing::error!(consumer = %spec.name, worker = self.slot, "cannot start: {why}");
                self.desk.meter.restarted(RestartReason::Spawn);
                self.failed(why);
                return Event::CannotSpawn;
            }
        };
        tracing::info!(consumer = %spec.name, worker = self.slot, pid = child.pid, "started");
        self.desk.shown().set_pid(Some(child.pid));
        let stderr = child_log::drain(child.stderr.take(), self.slot, self.desk.meter.clone());
        self.child = Some(Running {
            stdin: child.stdin.take(),
            stdout: child.stdout.take(),
            _stderr: AbortOnDropHandle::new(tokio::spawn(stderr)),
            child,
            out: Vec::new(),
            written: 0,
            buffer: vec![0; IN_BUFFER],
            decoder: Decoder::new(spec.max_reply.get() as usize),
            strikes: 0,
            explained: false,
            valve: Valve::new(),
        });
        Event::Spawned
    }

    fn failed(&self, why: String) {
        self.desk.meter.set_state(ConsumerState::Down { why: why.clone() });
        self.ready.send_replace(Readiness::Failed(why));
    }

    fn show(&self) {
        let shown = self.desk.shown();
        match self.lifecycle.state() {
            State::Waiting { .. } => {
                shown.set_state(WorkerState::Waiting { why: "restart".into() });
            }
            State::Starting => shown.set_state(WorkerState::Starting),
            State::Running { .. } => {
                shown.set_state(WorkerState::Running);
                self.desk.meter.set_state(ConsumerState::Running);
            }
            State::Draining { .. } | State::Closing { .. } => shown.set_state(WorkerState::Draining),
            State::Terminating { .. } | State::Killing | State::Stopped => {
                shown.set_state(WorkerState::Stopping);
            }
        }
    }
}

fn structured(
    consumer: &crate::model::ConsumerName,
    worker: u16,
    level: Level,
    text: &str,
    json: Option<&str>,
) {
    let json = json.unwrap_or_default();
    macro_rules! say {
        ($level:ident) => {
            tracing::event!(target: CHILD_TARGET, tracing::Level::$level, %consumer, worker, json, "{}", crate::protocol::excerpt(text.as_bytes()))
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
