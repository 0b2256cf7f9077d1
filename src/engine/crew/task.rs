//! The task of a crew; see the room's text.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::super::context::{Hands, Shared};
use super::activity::Activity;
use super::handle::{CrewOrder, Order};
use super::member::{KILL_PATIENCE, Member, MemberId, News, Reins, Reporter, Stage, Version};
use super::rollout::{LOOK, Rollout};
use super::tending::Scaling;
use crate::broker::amqp::Outage;
use crate::model::{ConsumerSpec, Intensity, duration_label};
use crate::supervise::{Breaker, BreakerEffect, BreakerEvent, BreakerState};
use crate::telemetry::{ConsumerMeter, ConsumerState};

/// News that wait.
const NEWS: usize = 64;

/// How long the child of a worker that is tried after others have failed has to live before it takes
/// messages: long enough for those that give up because they cannot connect to something.
const PROVING: Duration = Duration::from_secs(10);

/// The state of a crew.
pub(super) struct Task {
    pub(super) meter: ConsumerMeter,
    /// What is in force: what is started where somebody is missing.
    pub(super) version: Version,
    /// Another version on its way in.
    pub(super) rollout: Option<Rollout>,
    pub(super) members: BTreeMap<MemberId, Member>,
    /// The highest number a version ever had.
    pub(super) versions: u64,
    next_id: MemberId,
    tasks: JoinSet<()>,
    news_to_us: mpsc::Sender<(MemberId, News)>,
    news: mpsc::Receiver<(MemberId, News)>,
    orders: mpsc::Receiver<Order>,
    pub(super) breaker: Breaker,
    pub(super) paused: watch::Sender<bool>,
    /// What its workers share, whatever version they are of.
    pub(super) shared: Shared,
    /// How many workers a person wants.
    fixed: Option<u16>,
    /// Slots whose worker has ended for good, as the restart policy wants.
    pub(super) finished: BTreeSet<u16>,
    /// Where the queue gives its messages to one consumer at a time.
    pub(super) activity: Option<Activity>,
    /// Where the number of workers follows the queue.
    pub(super) scaling: Option<Scaling>,
    /// When it was last looked who is worn, and before when nobody is replaced for that.
    pub(super) tended: Instant,
    pub(super) hold: Instant,
    stop: CancellationToken,
    kill: CancellationToken,
    /// When it must be over, once it is to be.
    ending: Option<Instant>,
    shown: ConsumerState,
}

enum Happening {
    Kill,
    Stop,
    Order(Order),
    News(MemberId, News),
    Ended(Result<(tokio::task::Id, ()), JoinError>),
    Backlog,
    Tick,
}

impl Task {
    pub(super) fn new(
        spec: ConsumerSpec,
        hands: Arc<Hands>,
        meter: ConsumerMeter,
        orders: mpsc::Receiver<Order>,
        stop: CancellationToken,
        kill: CancellationToken,
    ) -> Self {
        let (news_to_us, news) = mpsc::channel(NEWS);
        Self {
            meter,
            breaker: Breaker::new(&spec.restart, spec.max_crashes),
            version: Version::new(0, Arc::new(spec), hands),
            rollout: None,
            members: BTreeMap::new(),
            versions: 0,
            next_id: 0,
            tasks: JoinSet::new(),
            news_to_us,
            news,
            orders,
            paused: watch::Sender::new(false),
            shared: Shared::default(),
            fixed: None,
            finished: BTreeSet::new(),
            activity: None,
            scaling: None,
            tended: Instant::now(),
            hold: Instant::now(),
            stop,
            kill,
            ending: None,
            shown: ConsumerState::Starting,
        }
    }

    /// Lives until told to stop and the last worker has ended.
    pub(super) async fn run(mut self) {
        loop {
            self.settle();
            if self.ending.is_some_and(|end| self.members.is_empty() || end <= Instant::now()) {
                return;
            }
            match self.next().await {
                Happening::Kill => {
                    self.ending = Some(Instant::now() + KILL_PATIENCE);
                    self.members.values_mut().for_each(Member::kill);
                }
                Happening::Stop => {
                    let grace = self.version.spec.stop.grace;
                    self.ending = Some(Instant::now() + grace + 2 * KILL_PATIENCE);
                    self.members.values_mut().for_each(Member::drain);
                    self.meter.set_state(ConsumerState::Draining);
                }
                Happening::Order(order) => self.obey(order),
                Happening::News(id, news) => self.heard(id, news),
                Happening::Ended(end) => self.ended(&end),
                Happening::Backlog => self.scale(),
                Happening::Tick => {}
            }
        }
    }

    /// Waits for the next thing to happen. Cancel-safe in every branch.
    async fn next(&mut self) -> Happening {
        let overdue = self.members.values().filter_map(Member::due_at).min();
        let breaker = self.breaker.next_tick().map(Instant::from_std);
        let rollout = self.rollout.as_ref().map(|_| Instant::now() + LOOK);
        let tick = match self.ending {
            Some(end) => [Some(end), overdue].into_iter().flatten().min(),
            None => [overdue, breaker, rollout, self.tending_at()].into_iter().flatten().min(),
        };
        let timer = async {
            match tick {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let (killed, stopping) = (self.kill.is_cancelled(), self.ending.is_some());
        tokio::select! {
            biased;
            () = self.kill.cancelled(), if !(killed && stopping) => Happening::Kill,
            () = self.stop.cancelled(), if !stopping => Happening::Stop,
            Some(order) = self.orders.recv(), if !stopping => Happening::Order(order),
            Some((id, news)) = self.news.recv() => Happening::News(id, news),
            Some(end) = self.tasks.join_next_with_id() => Happening::Ended(end),
            () = async {
                match &mut self.scaling {
                    Some(scaling) => scaling.asked().await,
                    None => std::future::pending().await,
                }
            } => Happening::Backlog,
            Ok(()) = self.version.turns.changed() => Happening::Tick,
            () = async {
                match &mut self.activity {
                    Some(activity) => activity.changed().await,
                    None => std::future::pending().await,
                }
            } => Happening::Tick,
            () = timer => Happening::Tick,
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Follow { spec, hands, answer } => self.follow(*spec, hands, answer),
            Order::Retune(spec) => {
                let version = match &mut self.rollout {
                    Some(rollout) => &mut rollout.to,
                    None => &mut self.version,
                };
                let other =
                    (version.spec.workers, &version.spec.pool) != (spec.workers, &spec.pool);
                version.spec = Arc::new(*spec);
                if other {
                    self.fix(None);
                }
            }
            Order::Person(CrewOrder::Pause) => {
                self.paused.send_replace(true);
            }
            Order::Person(CrewOrder::Resume) => {
                self.paused.send_replace(false);
            }
            Order::Person(CrewOrder::Scale(workers)) => self.fix(workers.map(u16::from)),
            Order::Person(CrewOrder::Restart) => self.restart(),
        }
    }

    /// Notes how many workers a person wants.
    pub(super) fn fix(&mut self, workers: Option<u16>) {
        self.fixed = workers;
        self.meter.set_scaled(workers);
    }

    fn heard(&mut self, id: MemberId, news: News) {
        let Some(member) = self.members.get_mut(&id).filter(|member| member.stays()) else {
            return;
        };
        let coming =
            self.rollout.as_ref().is_some_and(|rollout| rollout.to.number == member.version);
        let proven = member.is_up(Instant::now()) || matches!(member.stage, Stage::Failing(_));
        match news {
            News::Ready => {
                let now = Instant::now();
                member.stage = Stage::Ready(now);
                self.breaker.on(BreakerEvent::Up, now.into_std(), fastrand::f64());
            }
            News::NotReady(why) | News::Restarts { why, .. } if coming && !proven => {
                self.give_up(&why);
            }
            News::NotReady(why) => member.stage = Stage::Failing(why),
            News::Restarts { why, booked } => {
                member.stage = Stage::Failing(why.clone());
                member.crashed(booked > 0);
                self.restarted(&why, booked);
            }
        }
    }

    /// A worker has failed; so many crashes are booked on a message for it.
    fn restarted(&mut self, why: &str, booked: u32) {
        let event = if booked == 0 {
            BreakerEvent::Restarted
        } else {
            let mut worked = false;
            for member in self.members.values_mut() {
                worked |= member.has_worked();
            }
            BreakerEvent::Booked { crashes: booked, worked }
        };
        let probe = matches!(self.breaker.state(), BreakerState::Probing { .. });
        let now = Instant::now().into_std();
        let effect = self.breaker.on(event, now, fastrand::f64());
        if booked > 0 {
            let (row, handled) = (self.breaker.booked(), self.meter.handled());
            let mut turnstile =
                self.shared.turnstile.lock().unwrap_or_else(PoisonError::into_inner);
            turnstile.booked(row, handled, &self.version.spec.restart, now);
        }
        if effect != Some(BreakerEffect::Cut) {
            return;
        }
        let Intensity { max, period } = self.version.spec.restart.intensity;
        let often = if probe {
            format!("the worker that was tried has failed: {why}")
        } else if booked > 0 {
            let most = self.breaker.booked_max();
            format!(
                "more than {most} crashes over messages that were tried alone, and none handled between, at last because {why}"
            )
        } else {
            let period = duration_label(period);
            format!("more than {max} restarts in {period}, at last because {why}")
        };
        self.cut(often, probe);
    }

    /// There were too many restarts, or the one worker that was tried has failed as well: somebody
    /// else may have the messages.
    fn cut(&mut self, often: String, probe: bool) {
        if self.rollout.is_some() {
            return self.give_up(&often);
        }
        let BreakerState::Open { until } = self.breaker.state() else { return };
        let pause = until.saturating_duration_since(Instant::now().into_std());
        let consumer = self.meter.name();
        if probe {
            tracing::warn!(%consumer, "{often}; the next one follows in {pause:.1?}");
        } else {
            let hint = "mend what the last lines of its log name; `restart.intensity` says how often is too often";
            tracing::error!(
                %consumer, hint,
                "{often}: it takes no more messages; one worker is tried in {pause:.1?}"
            );
        }
        self.shown = ConsumerState::Down { why: often };
        self.meter.set_state(self.shown.clone());
    }

    fn ended(&mut self, end: &Result<(tokio::task::Id, ()), JoinError>) {
        let (task, panicked) = match end {
            Ok((task, ())) => (*task, false),
            Err(error) => (error.id(), error.is_panic()),
        };
        let found = self.members.iter().find(|(_, member)| member.task == task);
        let Some((&id, _)) = found else { return };
        let Some(member) = self.members.remove(&id) else { return };
        if panicked {
            tracing::error!(consumer = %self.meter.name(), worker = member.slot, "its task has panicked: this is a fault of Warrener");
            let now = Instant::now().into_std();
            self.breaker.on(BreakerEvent::Restarted, now, fastrand::f64());
        } else if member.stays() {
            self.finished.insert(member.slot);
        }
    }

    /// Compares what is with what should be, and does what is missing.
    fn settle(&mut self) {
        let now = Instant::now();
        self.members.values_mut().for_each(|member| member.look(now));
        if self.ending.is_some() {
            return;
        }
        match self.breaker.on(BreakerEvent::Tick, now.into_std(), fastrand::f64()) {
            Some(BreakerEffect::Probe) => {
                tracing::info!(consumer = %self.meter.name(), "one worker is tried again");
            }
            Some(BreakerEffect::Restore) => {
                tracing::info!(consumer = %self.meter.name(), "the one worker holds: all of them start again");
            }
            Some(BreakerEffect::Cut) | None => {}
        }
        self.roll(now);
        self.keep_scaling();
        self.keep_asking();
        self.tend(now);
        self.resize();
        self.show();
    }

    /// Lets those go that are too many, and starts those that are missing.
    fn resize(&mut self) {
        let size = self.size();
        let cut = matches!(self.breaker.state(), BreakerState::Open { .. });
        for member in self.members.values_mut().filter(|member| member.slot >= size) {
            if cut {
                member.drain();
            } else {
                member.retire();
            }
        }
        let version = self.filler().clone();
        for slot in 0..size {
            let there = |member: &Member| member.slot == slot && member.stays();
            if !self.finished.contains(&slot) && !self.members.values().any(there) {
                self.start(&version, slot);
            }
        }
    }

    /// What is started where somebody is missing.
    pub(super) fn filler(&self) -> &Version {
        match &self.rollout {
            Some(rollout) if rollout.fresh => &rollout.to,
            _ => &self.version,
        }
    }

    /// How many workers there should be.
    pub(super) fn size(&self) -> u16 {
        match self.breaker.state() {
            BreakerState::Open { .. } => 0,
            BreakerState::Probing { .. } => 1,
            BreakerState::Closed => self.fixed.unwrap_or_else(|| {
                let by_file = || self.filler().spec.workers.get();
                self.scaling.as_ref().map_or_else(by_file, Scaling::size)
            }),
        }
    }

    pub(super) fn start(&mut self, version: &Version, slot: u16) -> MemberId {
        let id = self.next_id;
        self.next_id += 1;
        let reporter = Reporter { id, to: self.news_to_us.clone() };
        // What the one that is tried would only give back might count against the messages.
        let tried = matches!(self.breaker.state(), BreakerState::Probing { .. });
        let proving = tried.then(|| version.spec.restart.reset_after.min(PROVING));
        let (meter, reins) =
            (self.meter.worker(slot), Reins::new(self.paused.subscribe(), proving));
        let member = Member::start(
            version,
            slot,
            meter,
            reporter,
            reins,
            self.shared.clone(),
            &mut self.tasks,
        );
        self.members.insert(id, member);
        id
    }

    fn show(&mut self) {
        let members = || self.members.values().filter(|member| member.stays());
        let failing = members().find_map(|member| match &member.stage {
            Stage::Failing(why) => Some(why.clone()),
            _ => None,
        });
        let ready = |member: &Member| matches!(member.stage, Stage::Ready(_));
        let outage = members().find_map(Member::outage);
        let state = match (self.breaker.state(), failing) {
            (BreakerState::Open { .. }, _) => return,
            _ if *self.paused.borrow() && members().any(ready) => ConsumerState::Paused,
            _ if members().any(|member| ready(member) && member.outage().is_none()) => {
                if self.stands_by() { ConsumerState::Standby } else { ConsumerState::Running }
            }
            (_, Some(why)) => ConsumerState::Down { why },
            _ if let Some(Outage { why, refused }) = outage => {
                if refused {
                    ConsumerState::Down { why }
                } else {
                    ConsumerState::Waiting { why }
                }
            }
            _ if members().next().is_none() => ConsumerState::Stopped,
            // A probe on its way: nothing is mended yet.
            (BreakerState::Probing { .. }, None) => return,
            _ => ConsumerState::Starting,
        };
        if self.shown != state {
            self.shown = state.clone();
            self.meter.set_state(state);
        }
    }
}
