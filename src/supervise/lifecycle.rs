//! The life of a worker, as a total function.
//!
//! ```text
//!            due            spawned           stop             drained
//! Waiting ─────▶ Starting ─────────▶ Running ─────▶ Draining ─────────▶ Closing
//!    ▲              │                 │   │             │ time               │ time
//!    │   cannot     │                 │   │ replace     ▼                    ▼
//!    ├──────────────┘    exited       │   └─────────▶ Terminating ◀──────────┘
//!    ├────────────────────────────────┘                 │ time
//!    │                                                  ▼
//!    └── exited, unless it is to stop: Stopped ◀───── Killing
//! ```
//!
//! A child that closes its input drains as well, and is then replaced. One that has to say first that
//! it is ready waits for that in Warming, between Starting and Running; one that is tried because
//! others have failed shows in Proving that it can live. One that asks to be replaced answers what it
//! holds in Recycling, between Running and Closing; one that is to go without hurry works off in
//! Retiring what has been delivered for it. The time of each message is limited anyway.
//!
//! Whether a child that has ended is followed by another is a matter of the restart policy. One that
//! asked for it always is.
//!
//! "Stop now" leads to Killing from everywhere. What a child held when it ended is kept for the
//! next one; it is given back where there will be none, or where the next one cannot even start.

use std::time::{Duration, Instant};

use super::Backoff;
use crate::model::{RestartPolicy, RestartSpec, StopSpec};

/// Between the stop signal and `SIGKILL` for a worker that is replaced because it misbehaved.
const REPLACE_PATIENCE: Duration = Duration::from_secs(10);

/// How long a killed process may take to be gone.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// What the child is doing, as far as we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No child; the next one is due at that time.
    Waiting {
        /// When to start.
        until: Instant,
    },
    /// A child is being spawned.
    Starting,
    /// A child runs and has not said yet that it is ready.
    Warming {
        /// Until when it may take.
        deadline: Instant,
    },
    /// A child runs and takes nothing before it has lived for a while.
    Proving {
        /// Until when.
        until: Instant,
    },
    /// A child runs and is fed.
    Running {
        /// Since when.
        since: Instant,
    },
    /// It wants no more: it is fed no more, and answers what it holds.
    Recycling,
    /// It is to go without hurry: it is fed what has been delivered, and nothing is asked for.
    Retiring,
    /// It is fed no more, and answers what it holds.
    Draining {
        /// Until when it may.
        deadline: Instant,
        /// When the whole stop must be over.
        end: Instant,
    },
    /// It has answered everything, its input is closed, and it should exit by itself.
    Closing {
        /// Until when it may.
        deadline: Instant,
        /// When the whole stop must be over.
        end: Instant,
    },
    /// It has been asked to end by a signal.
    Terminating {
        /// When it is killed.
        deadline: Instant,
    },
    /// It has been killed; the kernel has the word.
    Killing {
        /// When it is given up: what waits for a device cannot be killed, and nobody waits for it.
        deadline: Instant,
    },
    /// Over.
    Stopped,
}

impl State {
    /// Whether a child is at work on messages.
    pub fn works(self) -> bool {
        self.is_fed() || matches!(self, Self::Recycling | Self::Draining { .. })
    }

    /// Whether the child gets what is delivered.
    pub fn is_fed(self) -> bool {
        matches!(self, Self::Running { .. } | Self::Retiring)
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The child was spawned.
    Spawned,
    /// It could not be.
    CannotSpawn,
    /// It is not to be before that time.
    Postponed {
        /// When to start.
        until: Instant,
    },
    /// It has said that it is ready.
    Ready,
    /// The child has ended.
    Exited {
        /// Whether it had done all it was to do: exit code 0, and no answer owed.
        clean: bool,
    },
    /// Nothing is held any more.
    Drained,
    /// Ask for no more, and end when everything that has been delivered is answered, however long
    /// that takes: the time of each message is limited anyway.
    Retire,
    /// Stop within the grace time.
    Stop,
    /// Stop at once.
    StopNow,
    /// This child is no good (overdue, silent, babbling): have another.
    Replace,
    /// It takes no more messages: let it answer what it has, and have another.
    Deaf,
    /// It asks to be replaced when it has answered what it has.
    Recycle {
        /// Whether it has done any work. One that has not pauses like one that failed, or it could
        /// be started without end.
        earned: bool,
    },
    /// Time has passed.
    Tick,
}

/// What to do about it, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Spawn the child.
    Spawn,
    /// Ask the broker for messages.
    Consume,
    /// Ask for none any more.
    Pause,
    /// The same, once none is on its way any more: another child will want them soon.
    Ease,
    /// The same, and what comes until then is still for this child.
    WorkOff,
    /// Close the child's input.
    CloseInput,
    /// Send the stop signal to the child's group.
    Signal,
    /// Kill the group.
    Kill,
    /// Give back to the queue what no child has, now and whatever comes.
    Return,
    /// Give everything unanswered back to the queue.
    Release,
    /// The worker is over.
    Finish,
}

/// One worker's state with what it needs to decide.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    state: State,
    finishing: bool,
    /// Whether the child has asked for another, and has earned that it follows at once.
    recycled: Option<bool>,
    /// How long a child may take to be ready; `None` where it need not say so.
    start_timeout: Option<Duration>,
    /// How long a child that need not say so has to live before it gets anything.
    proving: Option<Duration>,
    policy: RestartPolicy,
    backoff: Backoff,
    reset_after: Duration,
    grace: Duration,
}

impl Lifecycle {
    /// A worker whose first child is due at once.
    pub fn new(restart: &RestartSpec, stop: &StopSpec, now: Instant) -> Self {
        Self {
            state: State::Waiting { until: now },
            finishing: false,
            recycled: None,
            start_timeout: None,
            proving: None,
            policy: restart.policy,
            backoff: Backoff::new(restart.backoff, restart.backoff_max),
            reset_after: restart.reset_after,
            grace: stop.grace,
        }
    }

    /// A worker whose children must say within that time that they are ready.
    #[must_use]
    pub fn awaiting_ready(self, start_timeout: Option<Duration>) -> Self {
        Self { start_timeout, ..self }
    }

    /// A worker whose children, where they need not say that they are ready, must have lived for
    /// that time before they get anything.
    #[must_use]
    pub fn proving(self, proving: Option<Duration>) -> Self {
        Self { proving, ..self }
    }

    /// The state.
    pub fn state(&self) -> State {
        self.state
    }

    /// Failures in a row.
    pub fn failures(&self) -> u32 {
        self.backoff.failures()
    }

    /// Whether it has been told to stop.
    pub fn finishing(&self) -> bool {
        self.finishing
    }

    /// When a [`Event::Tick`] will next change something.
    pub fn next_tick(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { until } | State::Proving { until } => Some(until),
            State::Warming { deadline }
            | State::Draining { deadline, .. }
            | State::Closing { deadline, .. }
            | State::Terminating { deadline }
            | State::Killing { deadline } => Some(deadline),
            State::Starting
            | State::Running { .. }
            | State::Recycling
            | State::Retiring
            | State::Stopped => None,
        }
    }

    /// Takes an event; `chance` between 0 and 1 spreads the restarts.
    pub fn on(&mut self, event: Event, now: Instant, chance: f64) -> &'static [Effect] {
        use Effect::{
            CloseInput, Consume, Ease, Finish, Kill, Pause, Release, Return, Signal, Spawn, WorkOff,
        };
        self.finishing |= matches!(event, Event::Retire | Event::Stop | Event::StopNow);
        let (state, effects): (State, &'static [Effect]) = match (self.state, event) {
            (State::Stopped, _) => return &[],

            (State::Waiting { .. }, Event::Retire | Event::Stop | Event::StopNow) => {
                (State::Stopped, &[Finish])
            }
            (State::Waiting { until }, Event::Tick) if now >= until => (State::Starting, &[Spawn]),
            (State::Waiting { .. }, _) => return &[],

            (State::Starting, Event::Spawned) if self.finishing => (self.draining(now), &[]),
            (State::Starting, Event::Spawned) => match (self.start_timeout, self.proving) {
                (Some(limit), _) => (State::Warming { deadline: now + limit }, &[]),
                (None, Some(time)) => (State::Proving { until: now + time }, &[]),
                (None, None) => (State::Running { since: now }, &[Consume]),
            },
            (State::Starting, Event::Postponed { .. }) if self.finishing => {
                (State::Stopped, &[Pause, Release, Finish])
            }
            (State::Starting, Event::Postponed { until }) => (State::Waiting { until }, &[]),
            (State::Starting, Event::CannotSpawn) => self.not_begun(now, chance, false),
            (State::Starting, Event::Exited { clean }) => self.not_begun(now, chance, clean),
            (State::Starting, _) => return &[],

            (State::Warming { .. }, Event::Ready) => (State::Running { since: now }, &[Consume]),
            (State::Proving { until }, Event::Tick) if now >= until => {
                (State::Running { since: now }, &[Consume])
            }
            (State::Warming { .. } | State::Proving { .. }, Event::Exited { clean }) => {
                self.not_begun(now, chance, clean)
            }
            (State::Warming { .. } | State::Proving { .. }, Event::Retire | Event::Stop) => {
                (self.draining(now), &[Return])
            }
            (State::Warming { .. } | State::Proving { .. }, Event::StopNow) => {
                (State::Killing { deadline: now + KILL_PATIENCE }, &[Kill])
            }
            (
                State::Warming { .. } | State::Proving { .. },
                Event::Replace | Event::Deaf | Event::Recycle { .. },
            ) => (State::Terminating { deadline: now + REPLACE_PATIENCE }, &[Signal]),
            (State::Warming { deadline }, Event::Tick) if now >= deadline => {
                (State::Terminating { deadline: now + REPLACE_PATIENCE }, &[Signal])
            }
            (State::Warming { .. } | State::Proving { .. }, _) => return &[],

            (State::Running { since }, Event::Exited { clean }) => {
                self.lived(since, now);
                self.ended(now, chance, clean)
            }
            (State::Running { .. }, Event::Retire) => (State::Retiring, &[WorkOff]),
            (State::Running { .. } | State::Retiring, Event::Stop) => {
                (self.draining(now), &[Pause, Return])
            }
            (State::Running { since }, Event::Deaf) => {
                self.lived(since, now);
                (self.draining(now), &[Ease])
            }
            (State::Running { since }, Event::Replace) => {
                self.lived(since, now);
                (State::Terminating { deadline: now + REPLACE_PATIENCE }, &[Signal, Ease])
            }
            (State::Running { since }, Event::Recycle { earned }) => {
                self.lived(since, now);
                self.recycled = Some(earned);
                (State::Recycling, &[Ease])
            }
            (State::Running { .. } | State::Retiring, Event::StopNow) => {
                (State::Killing { deadline: now + KILL_PATIENCE }, &[Kill, Pause])
            }
            (State::Running { .. }, _) => return &[],

            // What the child does not want after all goes back: nobody else is here for it.
            (State::Retiring, Event::Recycle { .. }) => (State::Recycling, &[Pause, Return]),
            (State::Retiring, Event::Deaf) => (self.draining(now), &[Pause, Return]),

            (State::Recycling | State::Retiring, Event::Drained) => {
                let (deadline, end) = self.limits(now);
                (State::Closing { deadline, end }, &[CloseInput])
            }
            (State::Recycling | State::Retiring, Event::Exited { clean }) => {
                self.ended(now, chance, clean)
            }
            (State::Recycling, Event::Retire) => (State::Recycling, &[Return]),
            (State::Recycling, Event::Stop) => (self.draining(now), &[Return]),
            (State::Recycling | State::Retiring, Event::Replace) => {
                self.recycled = None;
                (State::Terminating { deadline: now + REPLACE_PATIENCE }, &[Signal])
            }
            (State::Recycling, Event::StopNow) => {
                (State::Killing { deadline: now + KILL_PATIENCE }, &[Kill])
            }
            (State::Recycling | State::Retiring, _) => return &[],

            // It was on its way out already, as one that is to be replaced: now it has less time.
            (State::Draining { deadline, end }, Event::Stop) => {
                let (sooner, last) = self.limits(now);
                (State::Draining { deadline: deadline.min(sooner), end: end.min(last) }, &[Return])
            }
            (State::Closing { deadline, end }, Event::Stop) => {
                let (sooner, last) = self.limits(now);
                (State::Closing { deadline: deadline.min(sooner), end: end.min(last) }, &[Return])
            }
            (State::Terminating { deadline }, Event::Stop) => {
                (State::Terminating { deadline: deadline.min(self.limits(now).1) }, &[Return])
            }
            (State::Draining { deadline, end }, Event::Drained) => {
                (State::Closing { deadline, end }, &[CloseInput])
            }
            (State::Draining { deadline, end }, Event::Tick) if now >= deadline => {
                (State::Terminating { deadline: end }, &[CloseInput, Signal])
            }
            (State::Draining { end, .. }, Event::Replace) => {
                (State::Terminating { deadline: end }, &[CloseInput, Signal])
            }
            (State::Closing { deadline, end }, Event::Tick) if now >= deadline => {
                (State::Terminating { deadline: end }, &[Signal])
            }
            (State::Terminating { deadline }, Event::Tick) if now >= deadline => {
                (State::Killing { deadline: now + KILL_PATIENCE }, &[Kill])
            }
            (
                State::Draining { .. } | State::Closing { .. } | State::Terminating { .. },
                Event::StopNow,
            ) => (State::Killing { deadline: now + KILL_PATIENCE }, &[Kill]),
            (
                State::Draining { .. }
                | State::Closing { .. }
                | State::Terminating { .. }
                | State::Killing { .. },
                Event::Exited { clean },
            ) => self.ended(now, chance, clean),
            (
                State::Draining { .. }
                | State::Closing { .. }
                | State::Terminating { .. }
                | State::Killing { .. },
                _,
            ) => return &[],
        };
        self.state = state;
        effects
    }

    /// A child that has lived for long enough is forgiven its end, whatever that is to be.
    fn lived(&mut self, since: Instant, now: Instant) {
        if now.saturating_duration_since(since) >= self.reset_after {
            self.backoff.reset();
        }
    }

    /// The child is gone: over, or to be replaced after a pause.
    fn ended(&mut self, now: Instant, chance: f64, clean: bool) -> (State, &'static [Effect]) {
        let recycled = self.recycled.take();
        let again = recycled.is_some()
            || match self.policy {
                RestartPolicy::Permanent => true,
                RestartPolicy::Transient => !clean,
                RestartPolicy::Temporary => false,
            };
        if self.finishing || !again {
            return (State::Stopped, &[Effect::Pause, Effect::Release, Effect::Finish]);
        }
        let until = if recycled == Some(true) { now } else { now + self.backoff.next(chance) };
        (State::Waiting { until }, &[Effect::Ease])
    }

    /// A child that never got so far as to take a message: others may do better.
    fn not_begun(&mut self, now: Instant, chance: f64, clean: bool) -> (State, &'static [Effect]) {
        match self.ended(now, chance, clean) {
            (state @ State::Waiting { .. }, _) => (state, &[Effect::Pause, Effect::Release]),
            stopped => stopped,
        }
    }

    fn draining(&self, now: Instant) -> State {
        let (deadline, end) = self.limits(now);
        State::Draining { deadline, end }
    }

    /// Four fifths of the grace time are for answering; the rest is for those that would not end.
    fn limits(&self, now: Instant) -> (Instant, Instant) {
        (now + self.grace.mul_f64(0.8), now + self.grace)
    }
}
