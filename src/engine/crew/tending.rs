//! The number of workers by what waits in the queue, and the replacement of those that are worn.
//!
//! Both happen between messages: whoever is to go takes no more and answers what it holds, however
//! long that takes; and whoever is worn goes only when its successor is up.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::member::{MemberId, Stage};
use super::task::Task;
use crate::broker::amqp::Backlog;
use crate::model::{QueueName, VhostName};
use crate::process::resident;
use crate::supervise::{BreakerState, Load, Pool, Usage, worn};
use crate::telemetry::{RestartReason, WorkerMeter};

/// How often it is looked who is worn.
pub(super) const LOOK: Duration = Duration::from_millis(500);

/// How often the queue is asked: ten times in a cool-down, within these limits.
const ASK: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// How long nobody is replaced after a successor did not come up.
const HOLD: Duration = Duration::from_mins(1);

/// A pool, and what tells it how much waits.
pub(super) struct Scaling {
    pool: Pool,
    /// Whom it asks.
    of: (VhostName, QueueName),
    ready: watch::Receiver<u32>,
    _asker: AbortOnDropHandle<()>,
}

impl Scaling {
    pub(super) fn size(&self) -> u16 {
        self.pool.size()
    }

    /// Waits for the next answer of the queue. Cancel-safe.
    pub(super) async fn asked(&mut self) {
        if self.ready.changed().await.is_err() {
            // The asker lives as long as this.
            std::future::pending::<()>().await;
        }
    }
}

/// The life of the process that a worker has now.
pub(super) struct Life {
    pid: Option<u32>,
    born: Instant,
    /// What it had handled when it last had something to do, and when that was.
    last: (u64, Instant),
    chance: f64,
}

impl Life {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { pid: None, born: now, last: (0, now), chance: fastrand::f64() }
    }

    /// Looks what the process has done meanwhile.
    fn look(&mut self, meter: &WorkerMeter, now: Instant, memory: bool) -> Usage {
        let (pid, messages) = (meter.pid(), meter.messages());
        if pid != self.pid {
            *self = Self { pid, born: now, last: (messages, now), ..Self::new() };
        }
        if messages != self.last.0 || meter.in_flight() > 0 {
            self.last = (messages, now);
        }
        Usage {
            messages,
            age: now - self.born,
            idle: now - self.last.1,
            memory: pid.filter(|_| memory).and_then(resident),
            chance: self.chance,
        }
    }
}

impl Task {
    /// Has a pool where the spec in force wants one, and the queue asked for it.
    pub(super) fn keep_scaling(&mut self) {
        let version = self.filler();
        let wanted = version.spec.pool.as_ref();
        let of = (version.spec.vhost.clone(), version.spec.queue.clone());
        let same = |scaling: &&Scaling| scaling.of == of;
        if self.scaling.as_ref().filter(same).map(|scaling| scaling.pool.spec()) == wanted {
            return;
        }
        let Some(spec) = wanted.cloned() else {
            self.scaling = None;
            return;
        };
        let size = self.scaling.as_ref().map_or(spec.min.get(), Scaling::size);
        let pause = (spec.cool_down / 10).clamp(ASK.0, ASK.1);
        let link = version.links.pool.acquire();
        let mut backlog = Backlog::new(link, version.spec.queue.clone());
        let (tx, ready) = watch::channel(0);
        let asker = tokio::spawn(async move {
            loop {
                tokio::time::sleep(pause).await;
                if let Some(count) = backlog.ready().await {
                    tx.send_replace(count);
                }
            }
        });
        let asker = AbortOnDropHandle::new(asker);
        self.scaling = Some(Scaling { pool: Pool::new(spec, size), of, ready, _asker: asker });
    }

    /// Takes the queue's answer in.
    pub(super) fn scale(&mut self) {
        let prefetch = u64::from(self.filler().spec.prefetch.get());
        let staying = || self.members.values().filter(|member| member.stays());
        let in_flight: u64 = staying().map(|member| member.meter.in_flight()).sum();
        let workers = u64::try_from(staying().count()).unwrap_or(u64::MAX);
        // Of one that is paused or cut off, the queue says nothing about how many it needs.
        let idle = *self.paused.borrow() || self.breaker.state() != BreakerState::Closed;
        let Some(scaling) = self.scaling.as_mut().filter(|_| !idle) else { return };
        let load = Load {
            ready: *scaling.ready.borrow_and_update(),
            busy: u16::try_from(in_flight.div_ceil(prefetch)).unwrap_or(u16::MAX),
            full: workers > 0 && in_flight >= workers.saturating_mul(prefetch),
        };
        let before = scaling.pool.size();
        let size = scaling.pool.on(load, Instant::now().into_std());
        if size != before {
            let ready = load.ready;
            tracing::info!(consumer = %self.meter.name(), ready, in_flight, "{size} workers instead of {before}");
        }
    }

    /// Replaces who is worn, one at a time.
    pub(super) fn tend(&mut self, now: Instant) {
        let recycle = self.version.spec.recycle;
        if self.rollout.is_some() || !recycle.is_wanted() {
            return;
        }
        if let Some((before, next)) = self.succession() {
            self.succeed(before, next, now);
            return;
        }
        if now < self.hold || self.breaker.state() != BreakerState::Closed {
            return;
        }
        if now < self.tended + LOOK {
            return;
        }
        self.tended = now;
        let mut found = None;
        for member in self.members.values_mut().filter(|member| member.stays()) {
            let usage = member.life.look(&member.meter, now, recycle.memory.is_some());
            if found.is_none() && member.is_up(now) {
                found = worn(&recycle, &usage).map(|wear| (member.slot, wear));
            }
        }
        if let Some((slot, wear)) = found {
            tracing::info!(consumer = %self.meter.name(), worker = slot, "{wear}: another takes its place");
            let version = self.version.clone();
            self.start(&version, slot);
        }
    }

    /// Who is to follow whom.
    fn succession(&self) -> Option<(MemberId, MemberId)> {
        let staying = || self.members.iter().filter(|(_, member)| member.stays());
        staying().find_map(|(id, member)| {
            let next = staying().find(|(next, other)| *next > id && other.slot == member.slot)?;
            Some((*id, *next.0))
        })
    }

    fn succeed(&mut self, before: MemberId, next: MemberId, now: Instant) {
        let Some(successor) = self.members.get_mut(&next) else { return };
        if successor.is_up(now) {
            if let Some(before) = self.members.get_mut(&before) {
                before.retire();
                self.meter.restarted(RestartReason::Recycle);
            }
        } else if let Stage::Failing(why) = &successor.stage {
            tracing::warn!(consumer = %self.meter.name(), worker = successor.slot, "it stays, because another does not come up: {why}");
            successor.drain();
            self.hold = now + HOLD;
        }
    }

    /// When it is time to look who is worn.
    pub(super) fn tending_at(&self) -> Option<Instant> {
        self.version.spec.recycle.is_wanted().then(|| Instant::now() + LOOK)
    }
}
