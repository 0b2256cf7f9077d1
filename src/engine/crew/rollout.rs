//! Another version of a consumer on its way in.
//!
//! The workers are replaced one by one: a new one starts beside an old one, and when it takes
//! messages, the old one drains; when that has ended, the next pair has its turn. So there is never
//! more than one worker too many, and never one too few. Where a new one fails to come up, every
//! new one goes, and the version that is in force has their places again.
//!
//! The file may change again in the middle. The version that was on its way is given up then:
//! whoever it has not replaced yet stays, and whoever it has replaced is replaced by the newest.
//! Should the newest fail as well, the version in force comes back, which is the last one that has
//! ever been completely there.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::super::context::Hands;
use super::handle::RolloutOutcome;
use super::member::{Member, Stage, Version};
use super::task::Task;
use crate::model::{ConsumerSpec, duration_label};
use crate::supervise::Breaker;

/// How long a new worker may take to be ready, on top of what it may take to say so.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// See the module's text.
pub(super) struct Rollout {
    pub(super) to: Version,
    /// Whether nobody of the old version was there to go on meanwhile: then all start at once.
    pub(super) fresh: bool,
    answer: Option<oneshot::Sender<RolloutOutcome>>,
    /// Until when those that are starting must be ready.
    deadline: Instant,
}

impl Rollout {
    pub(super) fn next_tick(&self) -> Option<Instant> {
        // Once all are ready, the next step follows the end of somebody.
        (self.deadline > Instant::now()).then_some(self.deadline)
    }

    fn answer(self, outcome: RolloutOutcome) {
        if let Some(answer) = self.answer {
            let _ = answer.send(outcome);
        }
    }

    fn limit(&self) -> Duration {
        READY_LIMIT + self.to.spec.ready.unwrap_or_default()
    }
}

impl Task {
    /// Goes over to another version.
    pub(super) fn follow(
        &mut self,
        spec: ConsumerSpec,
        hands: Arc<Hands>,
        answer: oneshot::Sender<RolloutOutcome>,
    ) {
        self.supersede();
        if spec == *self.version.spec && hands.links == self.version.hands.links {
            self.turn_back();
            let _ = answer.send(RolloutOutcome::Kept);
        } else {
            self.begin(Arc::new(spec), hands, Some(answer));
        }
    }

    /// Replaces all workers by others of the same version.
    pub(super) fn restart(&mut self) {
        // Those that are being replaced anyway need not be twice.
        if self.rollout.is_some() {
            return;
        }
        let Version { spec, hands, .. } = self.version.clone();
        self.begin(spec, hands, None);
    }

    fn begin(
        &mut self,
        spec: Arc<ConsumerSpec>,
        hands: Arc<Hands>,
        answer: Option<oneshot::Sender<RolloutOutcome>>,
    ) {
        self.versions += 1;
        let to = Version { number: self.versions, spec, hands };
        let fresh = !self.members.values().any(Member::stays);
        if fresh {
            self.finished.clear();
        }
        // A version that was cut off is given up for another: that one has a clean record.
        self.breaker = Breaker::new(&to.spec.restart);
        let mut rollout = Rollout { to, fresh, answer, deadline: Instant::now() };
        rollout.deadline += rollout.limit();
        self.rollout = Some(rollout);
    }

    /// Gives up a version on its way in, because something else is wanted. Whoever has not taken
    /// over yet goes.
    fn supersede(&mut self) {
        let Some(rollout) = self.rollout.take() else { return };
        let number = rollout.to.number;
        for member in self.members.values_mut() {
            if member.version == number && member.follows.is_some() {
                member.drain();
            }
        }
        rollout.answer(RolloutOutcome::Superseded);
    }

    /// Gives up a version on its way in, because it fails.
    pub(super) fn give_up(&mut self, why: &str) {
        self.turn_back();
        self.breaker = Breaker::new(&self.version.spec.restart);
        if let Some(rollout) = self.rollout.take() {
            rollout.answer(RolloutOutcome::Refused(why.to_owned()));
        }
    }

    /// Only the version in force is wanted.
    fn turn_back(&mut self) {
        let number = self.version.number;
        for member in self.members.values_mut().filter(|member| member.version != number) {
            member.drain();
        }
    }

    /// Does the next step, if it is time for it.
    pub(super) fn roll(&mut self, now: Instant) {
        let Some(rollout) = &mut self.rollout else { return };
        let to = rollout.to.number;
        let new = |member: &Member| member.version == to;
        let starting =
            |member: &Member| new(member) && member.stays() && member.stage != Stage::Ready;
        if self.members.values().any(starting) {
            if rollout.deadline <= now {
                let limit = duration_label(rollout.limit());
                self.give_up(&format!("not ready within {limit}"));
            }
            return;
        }
        if rollout.fresh && !self.members.values().any(new) {
            return;
        }
        let old = self.members.iter().filter(|(_, member)| !new(member) && member.stays());
        let next = old.min_by_key(|(_, member)| member.slot).map(|(id, member)| (*id, member.slot));
        let Some((before, slot)) = next else { return self.complete() };
        // One that was replaced must be gone before the next is: never more than one too many.
        if self.members.values().any(|member| !new(member) && !member.stays()) {
            return;
        }
        rollout.deadline = now + rollout.limit();
        let to = rollout.to.clone();
        let id = self.start(&to, slot);
        if let Some(member) = self.members.get_mut(&id) {
            member.follows = Some(before);
        }
    }

    /// All are of the new version.
    fn complete(&mut self) {
        let Some(rollout) = self.rollout.take() else { return };
        if rollout.to.spec.workers != self.version.spec.workers {
            self.fixed = None;
        }
        self.version = rollout.to.clone();
        self.finished.clear();
        rollout.answer(RolloutOutcome::Replaced);
    }
}
