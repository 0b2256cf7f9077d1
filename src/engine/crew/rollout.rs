//! Another version of a consumer on its way in.
//!
//! By default the workers are replaced one by one: a new one starts beside an old one, and when it
//! has come up, the old one works off what it has; when that has ended, the next pair has its turn. So there is
//! never more than one worker too many, and never one too few. Where a new one fails to come up,
//! every new one goes, and the version that is in force has their places again.
//!
//! With `canary` the first new one works beside all old ones for a while and is compared with them
//! ([`judge`]); the others follow only if it is as good. With `replace` all new ones come up side by
//! side, and then all old ones drain.
//!
//! The file may change again in the middle. The version that was on its way is given up then:
//! whoever it has not replaced yet stays, and whoever it has replaced is replaced by the newest.
//! Should the newest fail as well, the version in force comes back, which is the last one that has
//! ever been completely there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::super::context::Hands;
use super::handle::RolloutOutcome;
use super::member::{Footing, Member, MemberId, Version};
use super::task::Task;
use crate::model::{CanarySpec, ConsumerSpec, RolloutSpec, duration_label};
use crate::supervise::{Breaker, Judgement, Sample, judge};

/// How long a new worker may take to be ready, on top of what it may take to say so.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// How often it is looked how far the new workers are.
pub(super) const LOOK: Duration = Duration::from_millis(100);

/// See the module's text.
pub(super) struct Rollout {
    pub(super) to: Version,
    /// Whether nobody of the old version was there to go on meanwhile: then all start at once.
    pub(super) fresh: bool,
    answer: Option<oneshot::Sender<RolloutOutcome>>,
    /// Until when those that are starting must be ready.
    deadline: Instant,
    phase: Phase,
}

/// How far it has come.
enum Phase {
    /// One after the other.
    Rolling,
    /// All side by side; whether they have been started.
    Together(bool),
    /// One is tried.
    Trial(CanarySpec, Option<Trial>),
}

/// One new worker beside the old ones.
struct Trial {
    canary: MemberId,
    /// Since when it takes messages, and what everybody had done by then.
    window: Option<(Instant, BTreeMap<MemberId, Footing>)>,
}

impl Rollout {
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
        let number = |hands: &Hands| hands.links.number();
        let other_broker = number(&hands) != number(&self.version.hands);
        let other_vhost = spec.vhost != self.version.spec.vhost;
        if spec == *self.version.spec && !other_broker {
            self.turn_back();
            let _ = answer.send(RolloutOutcome::Kept);
        } else {
            // What differs is to be compared, and only that: not two brokers, nor two vhosts.
            let phase = match &spec.rollout {
                _ if other_broker || other_vhost => Phase::Rolling,
                RolloutSpec::Rolling => Phase::Rolling,
                RolloutSpec::Replace => Phase::Together(false),
                RolloutSpec::Canary(canary) => Phase::Trial(canary.clone(), None),
            };
            self.begin(Arc::new(spec), hands, Some(answer), phase);
        }
    }

    /// Replaces all workers by others of the same version.
    pub(super) fn restart(&mut self) {
        // Those that are being replaced anyway need not be twice.
        if self.rollout.is_some() {
            return;
        }
        let Version { spec, hands, .. } = self.version.clone();
        self.begin(spec, hands, None, Phase::Rolling);
    }

    fn begin(
        &mut self,
        spec: Arc<ConsumerSpec>,
        hands: Arc<Hands>,
        answer: Option<oneshot::Sender<RolloutOutcome>>,
        phase: Phase,
    ) {
        self.versions += 1;
        let to = Version::new(self.versions, spec, hands);
        let fresh = !self.members.values().any(Member::stays);
        if fresh {
            self.finished.clear();
        }
        // A version that was cut off is given up for another: that one has a clean record.
        self.breaker = Breaker::new(&to.spec.restart, to.spec.max_crashes);
        let mut rollout = Rollout { to, fresh, answer, deadline: Instant::now(), phase };
        rollout.deadline += rollout.limit();
        self.rollout = Some(rollout);
    }

    /// Gives up a version on its way in, because something else is wanted. Whoever has not taken
    /// over yet goes.
    fn supersede(&mut self) {
        let Some(rollout) = self.rollout.take() else { return };
        let number = rollout.to.number;
        let others = self.members.values().filter(|member| member.version != number);
        let taken: Vec<u16> =
            others.filter(|member| member.stays()).map(|member| member.slot).collect();
        for member in self.members.values_mut().filter(|member| member.version == number) {
            if taken.contains(&member.slot) {
                member.drain();
            }
        }
        rollout.answer(RolloutOutcome::Superseded);
    }

    /// Gives up a version on its way in, because it does not come up.
    pub(super) fn give_up(&mut self, why: &str) {
        self.abandon(RolloutOutcome::Refused(why.to_owned()));
    }

    fn abandon(&mut self, outcome: RolloutOutcome) {
        self.turn_back();
        let before = &self.version.spec;
        self.breaker = Breaker::new(&before.restart, before.max_crashes);
        if let Some(rollout) = self.rollout.take() {
            rollout.answer(outcome);
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
        let Some(rollout) = &self.rollout else { return };
        let to = rollout.to.number;
        let tried = match &rollout.phase {
            Phase::Trial(_, Some(trial)) if trial.window.is_some() => Some(trial.canary),
            _ => None,
        };
        // One that is tried has been ready, and its failures are what it is tried for.
        let starting = self.members.iter().any(|(id, member)| {
            member.version == to && member.stays() && !member.is_up(now) && tried != Some(*id)
        });
        if starting {
            if rollout.deadline <= now {
                let limit = duration_label(rollout.limit());
                self.give_up(&format!("not ready within {limit}"));
            }
            return;
        }
        if rollout.fresh {
            if self.members.values().any(|member| member.version == to) {
                self.complete();
            }
            return;
        }
        match rollout.phase {
            Phase::Rolling => self.next_pair(now),
            Phase::Together(false) => {
                for slot in 0..self.size() {
                    self.start_new(slot, now);
                }
                self.enter(Phase::Together(true));
            }
            Phase::Together(true) => {
                for member in self.members.values_mut().filter(|member| member.version != to) {
                    member.relieve(now);
                }
                self.complete();
            }
            Phase::Trial(_, None) => {
                let Some((_, slot)) = self.next_old() else { return self.complete() };
                let Some(canary) = self.start_new(slot, now) else { return };
                self.enter_trial(Trial { canary, window: None });
            }
            Phase::Trial(_, Some(_)) => self.compare(now),
        }
    }

    fn enter(&mut self, phase: Phase) {
        if let Some(rollout) = &mut self.rollout {
            rollout.phase = phase;
        }
    }

    fn enter_trial(&mut self, trial: Trial) {
        if let Some(Rollout { phase: Phase::Trial(_, place), .. }) = &mut self.rollout {
            *place = Some(trial);
        }
    }

    /// Starts a worker of the new version.
    fn start_new(&mut self, slot: u16, now: Instant) -> Option<MemberId> {
        let rollout = self.rollout.as_mut()?;
        rollout.deadline = now + rollout.limit();
        let to = rollout.to.clone();
        Some(self.start(&to, slot))
    }

    /// Who of another version is to be replaced next.
    fn next_old(&self) -> Option<(MemberId, u16)> {
        let to = self.rollout.as_ref()?.to.number;
        let old = self.members.iter().filter(|(_, member)| member.version != to && member.stays());
        old.min_by_key(|(_, member)| member.slot).map(|(id, member)| (*id, member.slot))
    }

    fn next_pair(&mut self, now: Instant) {
        let Some(to) = self.rollout.as_ref().map(|rollout| rollout.to.number) else { return };
        let Some((before, slot)) = self.next_old() else { return self.complete() };
        // One that was replaced must be gone before the next is: never more than one too many.
        if self.members.values().any(|member| member.version != to && !member.stays()) {
            return;
        }
        let next = |member: &Member| member.version == to && member.slot == slot && member.stays();
        if !self.members.values().any(next) {
            self.start_new(slot, now);
        } else if let Some(before) = self.members.get_mut(&before) {
            before.relieve(now);
            self.next_pair(now);
        }
    }

    /// Compares the one that is tried with the old ones.
    fn compare(&mut self, now: Instant) {
        let Some(Rollout { to, phase: Phase::Trial(spec, Some(trial)), .. }) = &mut self.rollout
        else {
            return;
        };
        let Some(canary) = self.members.get(&trial.canary).filter(|member| member.stays()) else {
            return self.give_up("its worker has ended");
        };
        let consumer = self.meter.name();
        let Some((begun, footings)) = &trial.window else {
            let footings = self.members.iter().map(|(id, member)| (*id, member.footing()));
            trial.window = Some((now, footings.collect()));
            let (messages, time) = (spec.messages, duration_label(spec.time));
            tracing::info!(%consumer, "one worker of the new version is tried beside the old ones, for {messages} messages or {time}");
            return;
        };
        let nothing = Footing::default();
        let since =
            |id: &MemberId, member: &Member| member.since(footings.get(id).unwrap_or(&nothing));
        let new = since(&trial.canary, canary);
        let old = self.members.iter().filter(|(_, member)| member.version != to.number);
        let old = old.fold(Sample::default(), |sum, (id, member)| sum.with(&since(id, member)));
        match judge(spec, &new, &old, now - *begun) {
            Judgement::Wait => {}
            Judgement::GoOn => {
                let (messages, failed) = (new.messages, new.failed);
                tracing::info!(%consumer, messages, failed, "the new version is as good as the old one: the other workers follow");
                self.enter(Phase::Rolling);
                self.next_pair(now);
            }
            Judgement::RollBack(why) => self.abandon(RolloutOutcome::RolledBack(why)),
        }
    }

    /// All are of the new version.
    fn complete(&mut self) {
        let Some(rollout) = self.rollout.take() else { return };
        let number = |spec: &ConsumerSpec| (spec.workers, spec.pool.clone());
        if number(&rollout.to.spec) != number(&self.version.spec) {
            self.fix(None);
        }
        self.version = rollout.to.clone();
        self.finished.clear();
        rollout.answer(RolloutOutcome::Replaced);
    }
}
