//! Cuts a consumer off that is restarted too often, and tries it again later.
//!
//! ```text
//!                 restarted too often
//!  Closed ───────────────────────────────▶ Open ◀──────┐
//!    ▲                                      │ time     │ restarted
//!    │ one worker has held                  ▼          │
//!    └─────────────────────────────────── Probing ─────┘
//! ```
//!
//! What is too often is said as in the supervisors of OTP: more than so many restarts, of all
//! workers together, within a period. There the supervisor gives up; here the consumer is cancelled
//! on the broker, so that other hosts get its messages, and one worker is tried now and then.
//!
//! A crash that is booked on a message ([`super::Suspects`]) is that message's fault, and its tries
//! are limited by themselves: it does not count, nor does an earlier one that it explains. Otherwise
//! two bad messages could stop all work. But code that dies of every message has its crashes booked
//! as well, on one message after the other. So those are counted in a row, whatever time lies
//! between, and a message that is handled ends the row: as many messages in a row as restarts are
//! allowed may use up all their tries.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use super::Backoff;
use crate::model::{Intensity, RestartSpec};

/// The longest pause before a probe, in pauses between restarts.
const PATIENCE: u32 = 10;

/// Whether workers may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// All of them.
    Closed,
    /// None.
    Open {
        /// When one is tried.
        until: Instant,
    },
    /// One.
    Probing {
        /// When it has held for long enough; `None` until it is up.
        until: Option<Instant>,
    },
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerEvent {
    /// A worker has failed and would be started again.
    Restarted,
    /// The same, and a message that it had alone is to blame.
    Booked {
        /// How many crashes are booked on that message for it: this one, and one more where this
        /// one explains an earlier [`BreakerEvent::Restarted`]; see [`super::Blame::crashes`].
        crashes: u32,
        /// Whether any worker has handled a message since the last such crash.
        worked: bool,
    },
    /// A worker takes messages.
    Up,
    /// Time has passed.
    Tick,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerEffect {
    /// Stop all workers.
    Cut,
    /// Start one.
    Probe,
    /// Start all the others.
    Restore,
}

/// Counts the restarts of one consumer.
#[derive(Clone, Debug)]
pub struct Breaker {
    state: BreakerState,
    intensity: Intensity,
    /// How long a probe must hold.
    hold: Duration,
    pause: Backoff,
    /// When there were restarts, within the last period.
    restarts: VecDeque<Instant>,
    /// How many crashes may be booked on messages in a row.
    booked_max: u32,
    /// How many there were since a message was handled. One that is cut off for them has not
    /// changed, so they are remembered when it is probed.
    booked: u32,
}

impl Breaker {
    /// A breaker that has seen nothing, of a consumer that gives a message up after `max_crashes`.
    pub fn new(restart: &RestartSpec, max_crashes: NonZeroU32) -> Self {
        let pause = restart.backoff_max;
        Self {
            state: BreakerState::Closed,
            intensity: restart.intensity,
            hold: restart.reset_after,
            pause: Backoff::new(pause, pause.saturating_mul(PATIENCE)),
            restarts: VecDeque::new(),
            booked_max: restart.intensity.max.saturating_mul(max_crashes.get()),
            booked: 0,
        }
    }

    /// How many crashes may be booked on messages in a row.
    pub fn booked_max(&self) -> u32 {
        self.booked_max
    }

    /// How many crashes were booked on messages since one was handled.
    pub fn booked(&self) -> u32 {
        self.booked
    }

    /// The state.
    pub fn state(&self) -> BreakerState {
        self.state
    }

    /// When a [`BreakerEvent::Tick`] will next change something.
    pub fn next_tick(&self) -> Option<Instant> {
        match self.state {
            BreakerState::Closed => None,
            BreakerState::Open { until } => Some(until),
            BreakerState::Probing { until } => until,
        }
    }

    /// Takes an event; `chance` between 0 and 1 spreads the probes of several hosts.
    pub fn on(&mut self, event: BreakerEvent, now: Instant, chance: f64) -> Option<BreakerEffect> {
        match (self.state, event) {
            (BreakerState::Closed, BreakerEvent::Restarted) => {
                let period = self.intensity.period;
                while self.restarts.front().is_some_and(|at| now.duration_since(*at) > period) {
                    self.restarts.pop_front();
                }
                self.restarts.push_back(now);
                let most = usize::try_from(self.intensity.max).unwrap_or(usize::MAX);
                (self.restarts.len() > most).then(|| self.cut(now, chance))
            }
            (
                BreakerState::Closed | BreakerState::Probing { .. },
                BreakerEvent::Booked { crashes, worked },
            ) => {
                self.book(crashes, worked);
                if self.booked > self.booked_max {
                    return Some(self.cut(now, chance));
                }
                // The next child of a probe has yet to hold.
                if self.state != BreakerState::Closed {
                    self.state = BreakerState::Probing { until: None };
                }
                None
            }
            (BreakerState::Probing { .. }, BreakerEvent::Restarted) => Some(self.cut(now, chance)),
            (BreakerState::Probing { until: None }, BreakerEvent::Up) => {
                self.state = BreakerState::Probing { until: Some(now + self.hold) };
                None
            }
            (BreakerState::Open { until }, BreakerEvent::Tick) if now >= until => {
                self.state = BreakerState::Probing { until: None };
                Some(BreakerEffect::Probe)
            }
            (BreakerState::Probing { until: Some(until) }, BreakerEvent::Tick) if now >= until => {
                self.state = BreakerState::Closed;
                self.pause.reset();
                Some(BreakerEffect::Restore)
            }
            (BreakerState::Closed | BreakerState::Open { .. }, _)
            | (BreakerState::Probing { .. }, BreakerEvent::Up | BreakerEvent::Tick) => None,
        }
    }

    fn book(&mut self, crashes: u32, worked: bool) {
        if worked {
            self.booked = 0;
        }
        self.booked = self.booked.saturating_add(crashes);
        // Its worker has restarted once since, so it is among the newest. Where several workers
        // have, it may be another's that goes: that is a matter of when the rest is forgotten.
        for _ in 1..crashes {
            self.restarts.pop_back();
        }
    }

    fn cut(&mut self, now: Instant, chance: f64) -> BreakerEffect {
        self.restarts.clear();
        self.state = BreakerState::Open { until: now + self.pause.next(chance) };
        BreakerEffect::Cut
    }
}
