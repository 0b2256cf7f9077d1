//! One worker as its crew sees it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::super::context::{Hands, Shared};
use super::super::exec::ExecWorker;
use super::super::links::VhostLinks;
use super::super::worker::Worker;
use super::tending::Life;
use crate::broker::amqp::{Lease, Outage};
use crate::model::{ConsumerSpec, WireProtocol};
use crate::supervise::Sample;
use crate::telemetry::{Tally, WorkerMeter};

/// A worker's number among all that the crew ever had.
pub(super) type MemberId = u64;

/// What a worker tells its crew.
#[derive(Debug)]
pub(in crate::engine) enum News {
    /// Its child runs and the broker has confirmed its consumer.
    Ready,
    /// It has failed to get there, and tries on.
    NotReady(String),
    /// Its child is gone unasked, or could not be started, and the next one is due after a pause.
    Restarts {
        /// Why.
        why: String,
        /// How many crashes are booked on a message for it; 0 where nobody knows whose fault it is.
        booked: u32,
    },
}

/// How a worker talks to its crew.
#[derive(Debug)]
pub(in crate::engine) struct Reporter {
    pub(super) id: MemberId,
    pub(super) to: mpsc::Sender<(MemberId, News)>,
}

impl Reporter {
    /// Tells the crew; one that is over need not know.
    pub(in crate::engine) async fn tell(&self, news: News) {
        let _ = self.to.send((self.id, news)).await;
    }
}

/// What steers a worker.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Reins {
    /// Take no more, answer what is held however long it takes, end.
    pub(in crate::engine) retire: CancellationToken,
    /// Take no more, answer what is held within the grace time, end.
    pub(in crate::engine) drain: CancellationToken,
    /// End now.
    pub(in crate::engine) kill: CancellationToken,
    /// Whether to take no messages for now; what is held goes on.
    pub(in crate::engine) paused: watch::Receiver<bool>,
    /// How long its child has to live before it takes any, where others have failed before.
    pub(in crate::engine) proving: Option<Duration>,
}

impl Reins {
    pub(super) fn new(paused: watch::Receiver<bool>, proving: Option<Duration>) -> Self {
        Self {
            retire: CancellationToken::new(),
            drain: CancellationToken::new(),
            kill: CancellationToken::new(),
            paused,
            proving,
        }
    }

    /// Whether no more messages are to be taken, ever.
    pub(in crate::engine) fn ends(&self) -> bool {
        self.retire.is_cancelled() || self.drain.is_cancelled()
    }
}

/// What a crew runs: one version of a consumer's spec, with what its workers need.
#[derive(Clone)]
pub(super) struct Version {
    /// Rising with every change.
    pub(super) number: u64,
    pub(super) spec: Arc<ConsumerSpec>,
    pub(super) hands: Arc<Hands>,
    /// To the vhost of its queue.
    pub(super) links: Arc<VhostLinks>,
    /// Changes when one of these comes up or goes down.
    pub(super) turns: watch::Receiver<Option<Outage>>,
}

impl Version {
    pub(super) fn new(number: u64, spec: Arc<ConsumerSpec>, hands: Arc<Hands>) -> Self {
        let links = hands.links.to(&spec.vhost);
        let turns = links.turns.clone();
        Self { number, spec, hands, links, turns }
    }
}

/// How far a worker has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its child or its channel is on its way.
    Starting,
    /// It takes messages, since then.
    Ready(Instant),
    /// It fails, and tries on.
    Failing(String),
    /// It has been told to end, and must have ended by then.
    Leaving(Option<Instant>),
}

/// What a worker had done at some moment.
#[derive(Default)]
pub(super) struct Footing {
    tally: Tally,
    crashes: u64,
    booked: u64,
}

/// One worker.
pub(super) struct Member {
    pub(super) slot: u16,
    /// The number of its version.
    pub(super) version: u64,
    pub(super) stage: Stage,
    /// Whether its child says by itself that it is ready.
    says_ready: bool,
    pub(super) task: tokio::task::Id,
    link: Arc<Lease>,
    /// What it does and has done.
    pub(super) meter: WorkerMeter,
    /// How often its child has ended unasked, and nobody knows of what.
    crashes: u64,
    /// The same where a message is to blame.
    booked: u64,
    /// How many messages its children had handled when that was last asked.
    handled: u64,
    pub(super) life: Life,
    reins: Reins,
    grace: Duration,
    /// When it has to hurry, where it has been told to go.
    relieved_until: Option<Instant>,
}

/// How long a child that need not say that it is ready must live to be taken for it.
const PROVEN: Duration = Duration::from_secs(1);

/// How long a worker may go on after its grace time; it keeps that by itself, and this is for one
/// that cannot.
pub(super) const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// For how long one that another has taken over from works off what was on its way to it, before its
/// grace time begins.
const RELIEF: Duration = Duration::from_secs(2);

impl Member {
    /// Starts a worker as a task of the set.
    pub(super) fn start(
        version: &Version,
        slot: u16,
        meter: WorkerMeter,
        reporter: Reporter,
        reins: Reins,
        shared: Shared,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let shown = meter.clone();
        let spec = version.spec.clone();
        let context = version.hands.context(&version.links, shared, &spec, slot);
        let link = context.link.clone();
        let (grace, says_ready) = (spec.stop.grace, spec.ready.is_some());
        let task = if spec.protocol == WireProtocol::Exec {
            let spawner = context.spawner.clone();
            let worker = ExecWorker::new(spec, slot, context, shown, reins.clone(), reporter);
            spawner.host(worker.run(), tasks)
        } else {
            tasks.spawn(Worker::new(spec, slot, context, shown, reins.clone(), reporter).run())
        };
        Self {
            slot,
            version: version.number,
            stage: Stage::Starting,
            says_ready,
            task: task.id(),
            link,
            meter,
            crashes: 0,
            booked: 0,
            handled: 0,
            life: Life::new(),
            reins,
            grace,
            relieved_until: None,
        }
    }

    /// Why it is not connected, where it has been tried.
    pub(super) fn outage(&self) -> Option<Outage> {
        self.link.outage()
    }

    /// Its child has ended unasked; whether that is booked on a message.
    pub(super) fn crashed(&mut self, booked: bool) {
        *(if booked { &mut self.booked } else { &mut self.crashes }) += 1;
    }

    /// Whether its children have handled a message since this was last asked.
    pub(super) fn has_worked(&mut self) -> bool {
        let handled = self.meter.tally().messages;
        handled > std::mem::replace(&mut self.handled, handled)
    }

    /// What it has done since it had done that. A crash is a message that failed: there may have
    /// been several, but nobody knows which. Where that is known, the message has been counted as
    /// failed, though not as over with the child.
    pub(super) fn since(&self, before: &Footing) -> Sample {
        let (crashes, booked) = (self.crashes - before.crashes, self.booked - before.booked);
        let now = self.meter.tally();
        let mut times = now.times;
        for (count, before) in times.0.iter_mut().zip(before.tally.times.0) {
            *count -= before;
        }
        Sample {
            messages: now.messages - before.tally.messages + crashes + booked,
            failed: now.failed - before.tally.failed + crashes,
            times,
        }
    }

    /// What it has done so far.
    pub(super) fn footing(&self) -> Footing {
        Footing { tally: self.meter.tally(), crashes: self.crashes, booked: self.booked }
    }

    /// Whether it has come up: it takes messages, and its child has said that it is ready, has
    /// answered something, or has lived for a while. Many that cannot work end at once.
    pub(super) fn is_up(&self, now: Instant) -> bool {
        match self.stage {
            Stage::Ready(since) => {
                self.says_ready || now.duration_since(since) >= PROVEN || self.meter.messages() > 0
            }
            _ => false,
        }
    }

    /// Whether it is one that works or is about to.
    pub(super) fn stays(&self) -> bool {
        !matches!(self.stage, Stage::Leaving(_))
    }

    /// Tells it to end when it has answered what it holds.
    pub(super) fn retire(&mut self) {
        if self.stays() {
            self.reins.retire.cancel();
            self.stage = Stage::Leaving(None);
        }
    }

    /// Tells it that another has taken over: there is time to give nothing back that is on its way,
    /// and after that it ends within the grace time.
    pub(super) fn relieve(&mut self, now: Instant) {
        if self.stays() {
            self.retire();
            self.relieved_until = Some(now + RELIEF);
        }
    }

    /// Has it do what it is time for.
    pub(super) fn look(&mut self, now: Instant) {
        if self.relieved_until.is_some_and(|at| at <= now) {
            self.relieved_until = None;
            self.drain();
        }
        if self.overdue_at().is_some_and(|at| at <= now) {
            self.kill();
        }
    }

    /// When it is time for something.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.relieved_until.or(self.overdue_at())
    }

    /// Tells it to end within the grace time.
    pub(super) fn drain(&mut self) {
        if !matches!(self.stage, Stage::Leaving(Some(_))) {
            self.reins.drain.cancel();
            self.stage = Stage::Leaving(Some(Instant::now() + self.grace + KILL_PATIENCE));
        }
    }

    /// Tells it to end at once.
    pub(super) fn kill(&mut self) {
        self.relieved_until = None;
        self.reins.kill.cancel();
        self.stage = Stage::Leaving(None);
    }

    /// When it is to be killed, because its own clock has failed.
    fn overdue_at(&self) -> Option<Instant> {
        match self.stage {
            Stage::Leaving(until) => until,
            _ => None,
        }
    }
}
