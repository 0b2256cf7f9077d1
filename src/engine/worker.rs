//! A worker: one child that is fed messages and answers them, for the protocols with a stream.

mod overtime;
mod parting_wishes;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;

use super::Context;
use super::child_log::ended_with;
use super::conversation::{Conversation, Ending, Talk, Wishes};
use super::crew::{News, Reins, Reporter};
use super::deadlines::{self, STALL};
use super::desk::Desk;
use super::hush;
use super::kept::shown_deadline;
use crate::model::{AckMode, ConsumerSpec, Order};
use crate::process::{Exit, Shortage, check_startable};
use crate::protocol::DeliveryId;
use crate::supervise::{Effect, Event, Lifecycle, PAUSE, State, Wish};
use crate::telemetry::{Reason, RestartReason, WorkerMeter, WorkerState};

/// How long a worker that is over waits for confirms that are under way: without them a message
/// that was moved on would be in two places.
const CONFIRM_PATIENCE: Duration = Duration::from_secs(2);

/// Where to look when a process was killed, and not by us.
const KILLED: &str =
    "it was killed from outside; where memory ran out, the log of the kernel says so (`dmesg`)";

/// Where to look when one of the others has taken all memory.
const MEMORY_ABOVE: &str = "memory ran out in the group of Warrener or in the machine, and the kernel chose this process: see `MemoryMax=` of the unit, the limit of the container, `dmesg`";

/// What to do about a process that has taken too much itself.
const MEMORY_LIMIT: &str =
    "`limits.memory` holds for all processes of a worker together, files in memory included";

/// The mend for a process that was ended, and not by us.
fn mend(reason: RestartReason, exit: Exit) -> Option<&'static str> {
    match (reason, exit) {
        (RestartReason::Signal, Exit::KILLED) => Some(KILLED),
        (_, Exit::OutOfMemory(Shortage::Limit)) => Some(MEMORY_LIMIT),
        (_, Exit::OutOfMemory(Shortage::Above)) => Some(MEMORY_ABOVE),
        _ => None,
    }
}

pub(super) struct Worker {
    spec: Arc<ConsumerSpec>,
    slot: u16,
    context: Context,
    reins: Reins,
    reporter: Reporter,
    /// Whether the crew has been told that it is ready, since it last failed.
    ready: bool,
    desk: Desk,
    lifecycle: Lifecycle,
    child: Option<Conversation>,
    retiring: bool,
    draining: bool,
    over: bool,
    /// Why the child is being replaced, where that is our doing.
    replaced: Option<RestartReason>,
    /// Whether that is because it has closed its output.
    mute: bool,
    /// Whether the child before has died of a message.
    crashed: bool,
}

enum Happening {
    Retire,
    Drain,
    Kill,
    Talk(Talk),
    Desk,
    Paused,
    Tick,
}

impl Worker {
    pub(super) fn new(
        spec: Arc<ConsumerSpec>,
        slot: u16,
        context: Context,
        shown: WorkerMeter,
        reins: Reins,
        reporter: Reporter,
    ) -> Self {
        let desk = Desk::new(spec.clone(), slot, context.clone(), shown, reins.drain.clone());
        let lifecycle = Lifecycle::new(&spec.restart, &spec.stop, Instant::now())
            .awaiting_ready(spec.ready)
            .proving(reins.proving);
        Self {
            spec,
            slot,
            context,
            reins,
            reporter,
            ready: false,
            desk,
            lifecycle,
            child: None,
            retiring: false,
            draining: false,
            over: false,
            replaced: None,
            mute: false,
            crashed: false,
        }
    }

    /// Lives until stopped.
    pub(super) async fn run(mut self) {
        loop {
            self.feed();
            self.let_go();
            self.desk.tell();
            self.give_way().await;
            if !self.ready
                && matches!(self.lifecycle.state(), State::Running { .. })
                && (self.desk.consuming() || self.desk.stands_by() || *self.reins.paused.borrow())
            {
                self.ready = true;
                self.reporter.tell(News::Ready).await;
            }
            let done = match self.lifecycle.state() {
                State::Draining { .. } | State::Recycling => true,
                State::Retiring => self.desk.is_worked_off(),
                _ => false,
            };
            if done && self.desk.is_clear() && self.all_told() {
                self.on(Event::Drained).await;
            }
            if self.over {
                break;
            }
            match self.next().await {
                Happening::Retire => {
                    self.retiring = true;
                    self.on(Event::Retire).await;
                }
                Happening::Drain => {
                    self.draining = true;
                    self.on(Event::Stop).await;
                }
                Happening::Kill => self.on(Event::StopNow).await,
                Happening::Talk(talk) => self.talked(talk).await,
                Happening::Desk => self.taken_back().await,
                Happening::Paused => self.pause_or_resume(),
                Happening::Tick => self.tick().await,
            }
        }
        tokio::select! {
            () = self.reins.kill.cancelled() => {}
            () = tokio::time::sleep(CONFIRM_PATIENCE) => {}
            () = self.desk.confirmed() => {}
        }
        self.desk.close().await;
    }

    /// Waits for the next thing to happen. While there is plenty of it, this task is not woken up
    /// for each thing by itself: what has come after a pause is dealt with at once. The child is
    /// listened to once in between, or else each answer could be read alone as it is written.
    async fn next(&mut self) -> Happening {
        let child = self.child.as_ref();
        if self.desk.may_rest(child.map_or(0, Conversation::unwritten)) {
            let listen = child.is_some_and(Conversation::has_more_to_say);
            if let Some(happening) = self.wait(listen).now_or_never() {
                return happening;
            }
            self.child.iter_mut().for_each(Conversation::rest);
            tokio::time::sleep(PAUSE).await;
        }
        self.wait(true).await
    }

    /// Cancel-safe in every branch.
    async fn wait(&mut self, listen: bool) -> Happening {
        let now = Instant::now();
        let overdue = self.desk.overdue_at(now).map(|(_, at)| at);
        let replacing =
            matches!(self.lifecycle.state(), State::Terminating { .. } | State::Killing { .. });
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
        let Reins { retire, drain, kill, paused, .. } = &mut self.reins;
        let state = self.lifecycle.state();
        let (retiring, draining) = (self.retiring || self.draining, self.draining);
        tokio::select! {
            biased;
            () = kill.cancelled(), if !matches!(state, State::Killing { .. } | State::Stopped) => Happening::Kill,
            () = drain.cancelled(), if !draining => Happening::Drain,
            () = retire.cancelled(), if !retiring => Happening::Retire,
            Ok(()) = paused.changed() => Happening::Paused,
            talk = async {
                match &mut self.child {
                    Some(child) => child.next(listen).await,
                    None => std::future::pending().await,
                }
            } => Happening::Talk(talk),
            () = self.desk.turn() => Happening::Desk,
            () = timer => Happening::Tick,
        }
    }

    /// Asks for messages, or for none, as the crew wants it of one that runs.
    fn pause_or_resume(&mut self) {
        let fed = self.lifecycle.state().is_fed();
        if *self.reins.paused.borrow_and_update() {
            if fed {
                self.desk.work_off();
            } else {
                self.desk.pause();
                self.desk.give_back();
            }
        } else if matches!(self.lifecycle.state(), State::Running { .. }) {
            self.desk.open();
        }
    }

    /// What the child works on may be another's by now, so it had better not go on.
    async fn taken_back(&mut self) {
        if std::mem::take(&mut self.desk.taken_back) && self.lifecycle.state().works() {
            tracing::warn!(consumer = %self.spec.name, worker = self.slot, "the worker is replaced: its message was taken back");
            self.replaced = Some(RestartReason::Timeout);
            self.on(Event::Replace).await;
        }
    }

    /// Encodes what waits, as far as there is room, for a child that listens.
    fn feed(&mut self) {
        if !self.lifecycle.state().is_fed() {
            return;
        }
        while self.child.as_ref().is_some_and(Conversation::has_room) {
            let Some(id) = self.desk.next_for_child() else { break };
            self.hand_over(id);
        }
        if self.desk.wanted && !self.desk.consuming() {
            self.desk.open();
        }
    }

    fn hand_over(&mut self, id: DeliveryId) {
        if self.desk.refuses_size(id) {
            return;
        }
        let deadline = shown_deadline(&self.spec, self.desk.time_limit());
        let (Some(child), Some(kept)) = (&mut self.child, self.desk.kept(id)) else { return };
        let envelope = kept.envelope(id, &self.spec, deadline.as_deref());
        if let Err(error) = child.hand_over(&envelope) {
            self.desk.fail_by_us(id, Wish::Never, Reason::Unencodable, &error.to_string());
        }
    }

    /// With `order: strict`: once its channel is gone, another host may begin with the message that
    /// the child still has. It may not go on with it.
    async fn give_way(&mut self) {
        if self.spec.order == Order::Strict
            && self.desk.ledger.held().ghosts > 0
            && (self.lifecycle.state().is_fed() || self.lifecycle.state() == State::Recycling)
        {
            tracing::warn!(consumer = %self.spec.name, worker = self.slot, "the channel of the message that it has is gone: the worker is replaced, for order's sake");
            self.replaced = Some(RestartReason::ChannelLost);
            self.on(Event::Replace).await;
        }
    }

    /// With `ack: auto`, acks what the child is given next, before it is.
    fn let_go(&mut self) {
        if self.spec.ack == AckMode::Auto
            && let Some(child) = &mut self.child
        {
            let given = child.let_go();
            for id in &given {
                self.desk.let_go(*id);
            }
            self.desk.worked(given.len());
            if !given.is_empty() {
                self.desk.flush();
            }
        }
    }

    /// Whether nothing that is acked already has yet to be written to the child.
    fn all_told(&self) -> bool {
        self.spec.ack == AckMode::Each
            || self.child.as_ref().is_none_or(|child| child.unwritten() == 0)
    }

    async fn talked(&mut self, talk: Talk) {
        let Some(child) = &mut self.child else { return };
        let replace = match talk {
            Talk::Heard => false,
            Talk::Hushed => return hush::hint(&self.spec, self.slot),
            Talk::Said => child.take_answers(&mut self.desk),
            Talk::Silent => return self.mute().await,
            Talk::Exited(exit) => return self.exited(exit).await,
            Talk::Deaf => return self.deaf().await,
        };
        let Wishes { ready, stop } = child.take_wishes();
        if ready {
            self.on(Event::Ready).await;
        }
        if replace && self.may_be_replaced() {
            self.replaced = Some(RestartReason::Protocol);
            self.on(Event::Replace).await;
        } else if stop && self.lifecycle.state().is_fed() {
            self.recycle().await;
        }
    }

    async fn exited(&mut self, exit: Exit) {
        let ending = match self.child.take() {
            Some(child) => Some(child.last_words(&mut self.desk).await),
            None => None,
        };
        self.desk.shown().set_pid(None);
        let clean = exit == Exit::Code(0)
            && self.desk.is_clear()
            && matches!(self.replaced, None | Some(RestartReason::Recycle));
        let reason = self.replaced.take().unwrap_or(match exit {
            Exit::Code(_) => RestartReason::Exit,
            Exit::Signal(_) => RestartReason::Signal,
            Exit::OutOfMemory(_) => RestartReason::Oom,
        });
        let (mut booked, mute) = (0, std::mem::take(&mut self.mute));
        if let Some(Ending { unseen, words }) = ending
            && !self.lifecycle.finishing()
        {
            let auto = self.spec.ack == AckMode::Auto;
            let ours = auto
                || matches!(
                    reason,
                    RestartReason::Timeout | RestartReason::NotReady | RestartReason::ChannelLost
                );
            let lost = unseen.iter().filter(|id| !self.desk.ledger.is_held(**id)).count();
            if auto && lost > 0 {
                let (consumer, worker) = (&self.spec.name, self.slot);
                tracing::warn!(%consumer, worker, "{lost} messages are lost that its process was given and has not read, as `ack: auto` allows");
            }
            let why = match reason {
                RestartReason::Protocol if mute => "it closed its output and went on".to_owned(),
                RestartReason::Protocol => "it broke the protocol".to_owned(),
                _ => ended_with(exit, &words),
            };
            booked = self.desk.child_gone((!ours).then_some(&why), &unseen);
        }
        self.crashed = booked > 0;
        self.on(Event::Exited { clean }).await;
        let (consumer, worker) = (&self.spec.name, self.slot);
        if let State::Waiting { until } = self.lifecycle.state() {
            self.desk.meter.restarted(reason);
            let pause = until.saturating_duration_since(Instant::now());
            if reason == RestartReason::Recycle && pause.is_zero() {
                tracing::info!(%consumer, worker, "its process ended with {exit}, as it wished");
                return;
            }
            let why = match reason {
                RestartReason::NotReady => deadlines::not_ready(&self.spec),
                _ => format!("its process ended with {exit}"),
            };
            let hint = mend(reason, exit);
            tracing::warn!(%consumer, worker, hint, "{why}; restart in {pause:.1?}");
            self.ready = false;
            // One that took too long over a message has not crashed: the message may be to blame.
            let news = match reason {
                RestartReason::Timeout | RestartReason::ChannelLost => News::NotReady(why),
                _ => News::Restarts { why, booked },
            };
            self.reporter.tell(news).await;
        } else if self.lifecycle.finishing() {
            tracing::info!(%consumer, worker, "its process ended with {exit}");
        } else {
            let hint = "`restart.policy` says so";
            tracing::warn!(%consumer, worker, hint, "its process ended with {exit}; it is not started again");
        }
    }

    async fn on(&mut self, event: Event) {
        let mut next = Some(event);
        while let Some(event) = next.take() {
            let effects = self.lifecycle.on(event, Instant::now(), fastrand::f64());
            for effect in effects {
                match effect {
                    Effect::Spawn => next = Some(self.spawn().await),
                    Effect::Consume => self.pause_or_resume(),
                    Effect::Pause => self.desk.pause(),
                    Effect::Ease => self.desk.ease_off(),
                    Effect::WorkOff => self.desk.work_off(),
                    Effect::CloseInput => {
                        if let Some(child) = &mut self.child {
                            child.close_input();
                        }
                    }
                    Effect::Return => self.desk.give_back(),
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
        let Some(child) = &self.child else { return };
        let sent = if kill { child.kill() } else { child.signal(self.spec.stop.signal) };
        if let Err(error) = sent {
            tracing::debug!(consumer = %self.spec.name, %error, "cannot signal the process group");
        }
    }

    async fn spawn(&mut self) -> Event {
        if self.crashed
            && let Err(until) = self.context.passes(&self.desk.meter)
        {
            return Event::Postponed { until };
        }
        let spec = &self.spec;
        let spawned = match check_startable(spec) {
            Ok(()) => {
                let request = self.context.request(spec);
                self.context.spawner.spawn(request).await.map_err(|error| error.to_string())
            }
            Err(why) => Err(why),
        };
        let child = match spawned {
            Ok(child) => child,
            Err(why) => {
                tracing::error!(consumer = %spec.name, worker = self.slot, "cannot start: {why}");
                self.desk.meter.restarted(RestartReason::Spawn);
                self.ready = false;
                self.reporter.tell(News::Restarts { why, booked: 0 }).await;
                return Event::CannotSpawn;
            }
        };
        tracing::info!(consumer = %spec.name, worker = self.slot, pid = child.pid, "started");
        self.desk.shown().set_pid(Some(child.pid));
        self.child = Some(Conversation::begin(child, spec, self.slot, &self.desk.meter));
        Event::Spawned
    }

    fn show(&self) {
        let shown = self.desk.shown();
        match self.lifecycle.state() {
            State::Waiting { .. } => {
                shown.set_state(WorkerState::Waiting { why: "restart".into() });
            }
            State::Starting | State::Warming { .. } | State::Proving { .. } => {
                shown.set_state(WorkerState::Starting);
            }
            State::Running { .. } => shown.set_state(WorkerState::Running),
            State::Recycling | State::Retiring | State::Draining { .. } | State::Closing { .. } => {
                shown.set_state(WorkerState::Draining);
            }
            State::Terminating { .. } | State::Killing { .. } | State::Stopped => {
                shown.set_state(WorkerState::Stopping);
            }
        }
    }
}
