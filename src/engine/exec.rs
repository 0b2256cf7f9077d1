//! A worker of protocol `exec`: one process a message, whose exit code answers.
//!
//! Where the process of a message cannot be started, the message stays here for the next try. A
//! quorum queue counts what is given back, and would drop in the end what nobody has ever looked at.
//! No other message is taken until a rehearsal shows that it would find its process: in this worker,
//! and in the one that is tried alone after the consumer was cut off.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::FusedFuture as _;
use tokio::time::Sleep;

use super::Context;
use super::child_log::ended_with;
use super::crew::{News, Reins, Reporter};
use super::deadlines::{self, STALL};
use super::desk::Desk;
use super::exec_pipes::{ExecPipes, Stdout};
use super::kept::shown_deadline;
use crate::model::{AckMode, ConsumerSpec, ExitVerdict, Order, duration_label};
use crate::process::{Child, Exit, Input, SpawnRequest, check_startable};
use crate::protocol::{DeliveryId, Encoder, Output, exec_environment};
use crate::supervise::{Backoff, Wish};
use crate::telemetry::{Reason, RestartReason, WorkerMeter, WorkerState};

/// Between the stop signal and `SIGKILL` for a process that has taken too long.
const OVERDUE_PATIENCE: Duration = Duration::from_secs(10);

/// How long a process is not listened to, at most. Most are over by then, and what they wrote is read
/// at once: being woken up for the end of each of their pipes takes longer.
const LULL: Duration = Duration::from_millis(5);

/// How long a killed process may take to be gone.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// Why no process could be started when that was last tried, for all workers of a consumer; none
/// where one could.
#[derive(Clone, Default)]
pub(super) struct Refusal(Arc<Mutex<Option<String>>>);

impl Refusal {
    fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, why: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }
}

pub(super) struct ExecWorker {
    spec: Arc<ConsumerSpec>,
    slot: u16,
    context: Context,
    reins: Reins,
    reporter: Reporter,
    /// Whether the crew has been told that it is ready, since it last failed.
    ready: bool,
    desk: Desk,
    backoff: Backoff,
    /// Until it is over, nobody listens to a process.
    lull: Pin<Box<Sleep>>,
}

/// How the process of one message came to its end.
enum End {
    /// By itself, or by the signal of a stop; with what it wrote to its standard output, and last to
    /// its standard error.
    Exited(Exit, Stdout, String),
    /// By us, because its time was over.
    Overdue,
    /// It never began.
    NotStarted(String),
    /// It never began, and need not: the message is the broker's again.
    Gone,
    /// It never began, and never can.
    Unencodable(String),
}

/// Whether the process of a message could be started, as far as that can be known without one.
async fn startable(spec: &ConsumerSpec, context: &Context) -> Result<(), String> {
    check_startable(spec)?;
    let Some(before) = context.refusal.get() else { return Ok(()) };
    match context.spawner.rehearse(SpawnRequest::for_consumer(spec)).await {
        // A rehearsal that is refused for something else says more about rehearsals.
        Err(error) if error.to_string() == before => Err(before),
        _ => {
            context.refusal.set(None);
            Ok(())
        }
    }
}

impl ExecWorker {
    pub(super) fn new(
        spec: Arc<ConsumerSpec>,
        slot: u16,
        context: Context,
        shown: WorkerMeter,
        reins: Reins,
        reporter: Reporter,
    ) -> Self {
        let desk = Desk::new(spec.clone(), slot, context.clone(), shown, reins.drain.clone());
        let backoff = Backoff::new(spec.restart.backoff, spec.restart.backoff_max);
        let lull = Box::pin(tokio::time::sleep(LULL));
        Self { spec, slot, context, reins, reporter, ready: false, desk, backoff, lull }
    }

    /// Lives until stopped.
    pub(super) async fn run(mut self) {
        while !self.reins.ends() {
            match startable(&self.spec, &self.context).await {
                Ok(()) => self.serve().await,
                Err(why) => self.wait_down(why).await,
            }
        }
        self.desk.shown().set_state(WorkerState::Stopping);
        self.desk.close().await;
    }

    /// Takes messages until told to stop or until the command cannot be started any more.
    async fn serve(&mut self) {
        self.pause_or_resume();
        self.desk.shown().set_state(WorkerState::Running);
        let (mut broken, mut retiring) = (None, false);
        while broken.is_none() && !self.reins.drain.is_cancelled() {
            if self.reins.retire.is_cancelled() {
                if !std::mem::replace(&mut retiring, true) {
                    self.desk.work_off();
                }
                if self.desk.is_worked_off() {
                    break;
                }
            }
            if self.spec.in_place() || self.desk.waiting.is_empty() {
                self.desk.flush();
            }
            if self.desk.wanted && !self.desk.consuming() {
                self.desk.open();
            }
            if !retiring && self.reins.paused.has_changed().unwrap_or(false) {
                self.pause_or_resume();
            }
            if !self.ready
                && (self.desk.consuming() || self.desk.stands_by() || *self.reins.paused.borrow())
            {
                self.ready = true;
                self.reporter.tell(News::Ready).await;
            }
            self.desk.settle_down();
            self.desk.store();
            if let Some(id) = self.desk.next_for_process() {
                broken = self.one(id).await.err();
                continue;
            }
            tokio::select! {
                biased;
                () = self.reins.drain.cancelled() => {}
                () = self.reins.retire.cancelled(), if !retiring => {}
                Ok(()) = self.reins.paused.changed(), if !retiring => self.pause_or_resume(),
                () = self.desk.turn() => {}
            }
        }
        if let Some(why) = broken {
            self.desk.ease_off();
            return self.wait_down(why).await;
        }
        self.desk.pause();
        self.desk.give_back();
        // Confirms that are under way come, or time out, by themselves.
        while !self.desk.is_clear() && !self.reins.kill.is_cancelled() {
            tokio::select! {
                () = self.reins.kill.cancelled() => break,
                () = self.desk.turn() => {}
            }
        }
    }

    /// Asks for messages, or for none, as the crew wants it.
    fn pause_or_resume(&mut self) {
        if *self.reins.paused.borrow_and_update() {
            self.desk.pause();
            self.desk.give_back();
        } else {
            self.desk.open();
        }
    }

    async fn wait_down(&mut self, why: String) {
        tracing::error!(consumer = %self.spec.name, worker = self.slot, "cannot start: {why}");
        self.desk.meter.restarted(RestartReason::Spawn);
        self.desk.shown().set_state(WorkerState::Waiting { why: "restart".into() });
        self.ready = false;
        self.reporter.tell(News::Restarts { why, booked: 0 }).await;
        let pause = tokio::time::sleep(self.backoff.next(fastrand::f64()));
        tokio::pin!(pause);
        let Reins { retire, drain, paused, .. } = &mut self.reins;
        loop {
            tokio::select! {
                () = drain.cancelled() => return,
                () = retire.cancelled() => return,
                () = &mut pause => return,
                Ok(()) = paused.changed() => {
                    if *paused.borrow_and_update() {
                        self.desk.give_back();
                    }
                }
                () = self.desk.turn() => {}
            }
        }
    }

    /// Runs the command on one message. The error is why it could not be started; the message is
    /// then kept for the next try.
    async fn one(&mut self, id: DeliveryId) -> Result<(), String> {
        if self.desk.refuses_size(id) {
            return Ok(());
        }
        let end = self.execute(id).await;
        self.desk.shown().set_pid(None);
        if self.spec.ack == AckMode::Auto && self.settled_before(&end) {
            self.backoff.reset();
            return Ok(());
        }
        match end {
            End::Exited(exit, stdout, words) => self.judge(id, exit, stdout, &words),
            End::Overdue => {
                let limit = duration_label(self.desk.time_limit().unwrap_or_default());
                let why = format!("no end within {limit}");
                self.desk.fail_by_us(id, Wish::Later, Reason::Timeout, &why);
            }
            End::Unencodable(why) => {
                self.desk.fail_by_us(id, Wish::Never, Reason::Unencodable, &why);
            }
            End::NotStarted(why) => {
                self.desk.keep_for_next(vec![id]);
                return Err(why);
            }
            End::Gone => return Ok(()),
        }
        self.backoff.reset();
        Ok(())
    }

    /// With `ack: auto`: takes note of how the process of a message ended that was acked when it
    /// began; false where it never did.
    fn settled_before(&mut self, end: &End) -> bool {
        let why = match end {
            End::Exited(exit, _, words) => {
                let failed = self.verdict_on(*exit) != ExitVerdict::Ack;
                failed.then(|| (Reason::Failed, ended_with(*exit, words)))
            }
            End::Overdue => {
                let limit = duration_label(self.spec.timeout.unwrap_or_default());
                Some((Reason::Timeout, format!("no end within {limit}")))
            }
            End::NotStarted(_) | End::Gone | End::Unencodable(_) => return false,
        };
        self.desk.worked(1);
        if let Some((reason, why)) = why {
            self.desk.note_failure(reason, Some(&why));
        }
        true
    }

    fn verdict_on(&self, exit: Exit) -> ExitVerdict {
        let codes = &self.spec.exit_codes;
        let code = match exit {
            Exit::Code(code) => u8::try_from(code).ok(),
            Exit::Signal(_) | Exit::OutOfMemory(_) => None,
        };
        code.and_then(|code| codes.codes.get(&code)).copied().unwrap_or(codes.default)
    }

    fn judge(&mut self, id: DeliveryId, exit: Exit, stdout: Stdout, words: &str) {
        let why = exit.to_string();
        let stopped = self.reins.drain.is_cancelled() && exit.is_signal();
        let verdict = self.verdict_on(exit);
        if stopped || verdict != ExitVerdict::Ack {
            stdout.log(&self.spec.name, self.slot);
            if !stopped && verdict == ExitVerdict::Nack && exit.is_signal() {
                self.desk.worked(1);
                return self.desk.crashed(id, 1, &ended_with(exit, words));
            }
            return self.refuse(id, verdict, stopped, &why);
        }
        match stdout {
            Stdout::Log => self.desk.ack(id),
            Stdout::Reply(body) => self.desk.ack_after(id, Output::reply(body)),
            Stdout::Unusable(why) => {
                self.desk.fail_by_us(id, Wish::Later, Reason::Failed, &why);
            }
        }
    }

    fn refuse(&mut self, id: DeliveryId, verdict: ExitVerdict, stopped: bool, why: &str) {
        match verdict {
            // It died of our own stop: no verdict on the message.
            _ if stopped => self.desk.release(),
            ExitVerdict::Ack => self.desk.ack(id),
            ExitVerdict::Requeue => self.desk.requeue(id),
            ExitVerdict::Reject => self.desk.fail_by_us(id, Wish::Never, Reason::Rejected, why),
            ExitVerdict::Nack => self.desk.fail_by_us(id, Wish::Later, Reason::Failed, why),
        }
    }

    async fn execute(&mut self, id: DeliveryId) -> End {
        let limit = self.desk.time_limit();
        let Some(kept) = self.desk.kept(id) else {
            return End::Gone;
        };
        let deadline = limit.map(|limit| Instant::now() + limit);
        let shown = shown_deadline(&self.spec, limit);
        let envelope = kept.envelope(id, &self.spec, shown.as_deref());
        let environment = exec_environment(&envelope);
        let mut metadata = Vec::new();
        if self.spec.metadata
            && let Err(error) = Encoder::metadata(&envelope, &mut metadata)
        {
            return End::Unencodable(error.to_string());
        }
        let mut request = self.context.request(&self.spec);
        request.input = Input::Whole(kept.delivery.body.clone());
        request.env.extend(environment.into_iter().map(|(name, value)| (name.into(), value)));
        let spawning = self.context.spawner.spawn(request);
        // What is told of the message before does not keep this one waiting.
        self.desk.tell();
        let mut child = match spawning.await {
            Ok(child) => child,
            Err(error) => {
                let why = error.to_string();
                self.context.refusal.set(Some(why.clone()));
                return End::NotStarted(why);
            }
        };
        self.desk.shown().set_pid(Some(child.pid));
        if self.spec.ack == AckMode::Auto {
            self.desk.let_go(id);
            self.desk.flush();
        }
        let mut pipes =
            ExecPipes::serve(&mut child, &self.spec, self.slot, &self.desk.meter, metadata);
        let ended = self.wait(id, &mut child, &mut pipes, deadline).await;
        let (stdout, words) = pipes.ended().await;
        match ended {
            Some(exit) => End::Exited(exit, stdout, words),
            None => End::Overdue,
        }
    }

    /// Waits for the end, and brings it about when it is time; nothing where the time of the
    /// message was over.
    async fn wait(
        &mut self,
        id: DeliveryId,
        child: &mut Child,
        pipes: &mut ExecPipes,
        mut deadline: Option<Instant>,
    ) -> Option<Exit> {
        // Whoever cannot be given all of its input at once is heard at once, too.
        let mut heard = pipes.feeds();
        if self.lull.is_elapsed() {
            self.lull.as_mut().reset(tokio::time::Instant::now() + LULL);
        }
        let mut flowing = std::pin::pin!(pipes.flow().fuse());
        let (mut overdue, mut stopping, mut asked, mut killed) = (false, false, false, false);
        // When the next harder word is due: first the signal, then the end.
        let mut limit = deadline;
        loop {
            let timer = async {
                match limit {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.reins.kill.cancelled(), if !killed => {
                    killed = true;
                    let _ = child.kill_group();
                    limit = Some(Instant::now() + KILL_PATIENCE);
                }
                exit = child.exited() => {
                    return (!overdue).then_some(exit);
                }
                () = self.reins.drain.cancelled(), if !stopping => {
                    stopping = true;
                    let end = Instant::now() + self.spec.stop.grace.mul_f64(0.8);
                    limit = Some(limit.map_or(end, |limit| limit.min(end)));
                }
                () = &mut self.lull, if !heard => heard = true,
                () = &mut flowing, if heard && !flowing.is_terminated() => {}
                () = self.desk.turn() => {
                    // Another host may have the message by now.
                    let lost = self.spec.order == Order::Strict && !self.desk.ledger.is_held(id);
                    if std::mem::take(&mut self.desk.taken_back) || (lost && !asked) {
                        deadline = Some(Instant::now());
                        limit = deadline;
                    }
                }
                () = timer => {
                    let now = Instant::now();
                    if killed {
                        deadlines::give_up(&self.spec, self.slot);
                        return (!overdue).then_some(Exit::KILLED);
                    }
                    if !asked && !stopping && deadline.is_some_and(|at| now.duration_since(at) > STALL) {
                        // The machine stood still, and the process with it: it has its time again.
                        deadline = self.desk.time_limit().map(|timeout| now + timeout);
                        limit = deadline;
                        continue;
                    }
                    overdue |= deadline.is_some_and(|deadline| deadline <= now);
                    if asked {
                        killed = true;
                        let _ = child.kill_group();
                        limit = Some(now + KILL_PATIENCE);
                    } else {
                        asked = true;
                        let _ = child.signal_group(self.spec.stop.signal);
                        let patience =
                            if stopping { self.spec.stop.grace.mul_f64(0.2) } else { OVERDUE_PATIENCE };
                        limit = Some(Instant::now() + patience);
                    }
                }
            }
        }
    }
}
