//! How many workers a consumer should have, by what waits in its queue.
//!
//! Up at once, since messages wait; down only when fewer would have done for a whole cool-down, since
//! a queue that empties now and then is no reason to stop and start processes. That is the
//! stabilization window of the Kubernetes horizontal autoscaler: of all that was needed within it,
//! the most counts.

use std::collections::VecDeque;
use std::time::Instant;

use crate::model::PoolSpec;

/// What is seen at one look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Messages that wait in the queue.
    pub ready: u32,
    /// How many workers what is in flight would keep busy.
    pub busy: u16,
    /// Whether every worker has as much as it may.
    pub full: bool,
}

/// The size of a pool of workers over time.
#[derive(Clone, Debug)]
pub struct Pool {
    spec: PoolSpec,
    size: u16,
    /// What was needed, and when that was last so: falling numbers, of rising times.
    needs: VecDeque<(Instant, u16)>,
    /// Since when all have been full while so many messages waited, and did not get fewer.
    standing: Option<(Instant, u32)>,
}

impl Pool {
    /// A pool of that size, as far as the spec allows it.
    pub fn new(spec: PoolSpec, size: u16) -> Self {
        let size = size.clamp(spec.min.get(), spec.max.get());
        Self { spec, size, needs: VecDeque::new(), standing: None }
    }

    /// What it was made from.
    pub fn spec(&self) -> &PoolSpec {
        &self.spec
    }

    /// How many workers there should be.
    pub fn size(&self) -> u16 {
        self.size
    }

    /// Takes a look at the queue, and gives how many workers there should be.
    pub fn on(&mut self, load: Load, now: Instant) -> u16 {
        let (min, max) = (self.spec.min.get(), self.spec.max.get());
        let by_backlog = load.ready.div_ceil(self.spec.backlog.get());
        let mut need = u16::try_from(by_backlog).unwrap_or(u16::MAX).max(load.busy);
        if self.stands(load, now) {
            need = need.max(self.size.saturating_add(1));
        }
        let need = need.clamp(min, max);
        while self.needs.back().is_some_and(|(_, before)| *before <= need) {
            self.needs.pop_back();
        }
        self.needs.push_back((now, need));
        let window = self.spec.cool_down;
        while self.needs.front().is_some_and(|(at, _)| now.duration_since(*at) > window) {
            self.needs.pop_front();
        }
        // The first is the most of all within the window; without one that is as large as the size,
        // nobody has needed that for so long.
        self.size = self.needs.front().map_or(need, |(_, most)| *most);
        self.size
    }

    /// Whether messages have waited for a whole cool-down and got no fewer, although all workers are
    /// full: a backlog that is small enough, and will never go.
    fn stands(&mut self, load: Load, now: Instant) -> bool {
        if load.ready == 0 || !load.full {
            self.standing = None;
            return false;
        }
        let (since, count) = *self.standing.get_or_insert((now, load.ready));
        if now.duration_since(since) < self.spec.cool_down {
            return false;
        }
        self.standing = Some((now, load.ready));
        load.ready >= count
    }
}
