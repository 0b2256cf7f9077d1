//! Performs an approved plan: in phases, many steps at once within each, and looks again.

use std::collections::{BTreeMap, BTreeSet};
use std::iter;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use futures_util::{StreamExt, stream};

use super::attach::attach;
use super::declare::CONCURRENCY;
use super::ledger::LedgerStore;
use super::look_again::look_again;
use super::management::ManagementClient;
use super::step::{End, Hands, Stumble, is_over_amqp};
use super::survey::Sighted;
use super::wires::Wires;
use crate::model::{Queue, Topology, VhostName};
use crate::plan::{
    Action, ApplyReport, Approved, Change, Errand, Failure, PHASES, Remaining, Summary, Target,
    errands,
};

/// Performs the plan over AMQP, its policies and settings through the management API, and looks
/// again.
///
/// Where existing objects could not be seen beforehand they are declared first; if the broker
/// refuses any of them, nothing else is tried and nothing is changed. A failed step stops neither
/// the others of its phase nor later ones that do not need it, but nothing is deleted after one.
/// The ledger has what is to be created before it is, and what is to be deleted until it is gone.
/// `before` is what the plan was made from, and `progress` is told after each step how many have
/// been dealt with.
pub async fn apply(
    approved: &Approved,
    topology: &Topology,
    before: Sighted,
    wires: &Wires,
    management: Option<&ManagementClient>,
    store: &LedgerStore,
    progress: &(dyn Fn(usize) + Sync),
) -> ApplyReport {
    let plan = approved.plan();
    let mut written = store.bring(plan.ledger_before(), plan.ledger_claims()).await;
    let hands = Hands { wires, topology, management, force: plan.consent().force };
    let work = Work { hands, progress, dealt_with: AtomicUsize::new(0) };
    let mut report = Outcome::default();
    let changes = plan.changes();

    let unseen = |change: &&Change| {
        change.action == Action::Verify && !matches!(change.target, Target::Binding(_))
    };
    work.phase(alone(changes.iter().filter(unseen)), &mut report).await;
    let mut touched = false;
    let mut notes = Vec::new();
    if report.failed.is_empty() {
        let checked = report.done;
        let steps =
            changes.iter().filter(|change| !unseen(change) && change.action != Action::Delete);
        let mut errands = errands(steps, topology);
        for phase in 0..PHASES {
            let errands: Vec<_> =
                errands.extract_if(.., |errand| errand.step.target.phase() == phase).collect();
            let created: Vec<&Queue> =
                errands.iter().filter_map(|errand| errand.step.creates_queue()).collect();
            work.phase(errands, &mut report).await;
            // Before anything is bound to those that a policy matches.
            if let Some(client) = management
                && !created.is_empty()
            {
                notes.extend(attach(client, topology, &created).await);
            }
        }
        let deletions = changes.iter().filter(|change| change.action == Action::Delete);
        if report.failed.is_empty() {
            work.deletions(deletions, &mut report).await;
        } else {
            // What goes may be what the missing was to replace.
            report.failed.extend(deletions.map(|change| Failure {
                change: change.clone(),
                reason: "not tried: something before it was not done".into(),
                hint: None,
            }));
        }
        touched = report.done != checked;
    }
    let remaining = match management {
        Some(client) => look_again(plan, topology, before, client, &report.failed).await,
        None => Remaining::Unseen("only the management API could tell".into()),
    };
    let now = if written.is_ok() { plan.ledger_claims() } else { plan.ledger_before() };
    let after = plan.ledger_after(&report.failed);
    if after != *now || written.is_err() {
        written = store.bring(now, &after).await;
    }
    ApplyReport {
        home: plan.home().cloned(),
        done: report.done,
        failed: report.failed,
        changed: touched,
        unwritten: written.err(),
        notes,
        remaining,
    }
}

/// Makes these queues anew and does nothing else; fails with the first that is not done.
pub(super) async fn make_anew(
    steps: &[Change],
    topology: &Topology,
    wires: &Wires,
    management: &ManagementClient,
) -> Result<Summary, String> {
    let work = Work::alone(topology, wires, management);
    let mut outcome = Outcome::default();
    work.phase(alone(steps), &mut outcome).await;
    outcome.wholly()
}

/// Performs these deletions and nothing else; fails with the first that is not done.
pub(super) async fn delete(
    deletions: &[Change],
    topology: &Topology,
    wires: &Wires,
    management: &ManagementClient,
) -> Result<Summary, String> {
    let work = Work::alone(topology, wires, management);
    let mut outcome = Outcome::default();
    work.deletions(deletions.iter(), &mut outcome).await;
    outcome.wholly()
}

/// Steps of which each is done for itself.
fn alone<'a>(steps: impl IntoIterator<Item = &'a Change>) -> Vec<Errand<'a>> {
    steps.into_iter().map(Errand::alone).collect()
}

#[derive(Default)]
struct Outcome {
    done: Summary,
    failed: Vec<Failure>,
}

impl Outcome {
    /// What was done, or why the first that was not was not.
    fn wholly(self) -> Result<Summary, String> {
        match self.failed.into_iter().next() {
            None => Ok(self.done),
            Some(failure) => Err(failure.reason),
        }
    }
}

struct Work<'a> {
    hands: Hands<'a>,
    progress: &'a (dyn Fn(usize) + Sync),
    dealt_with: AtomicUsize,
}

impl<'a> Work<'a> {
    /// Work that nobody watches, and that deletes nothing that is in use.
    fn alone(topology: &'a Topology, wires: &'a Wires, management: &'a ManagementClient) -> Self {
        let hands = Hands { wires, topology, management: Some(management), force: false };
        Self { hands, progress: &|_| {}, dealt_with: AtomicUsize::new(0) }
    }
}

impl Work<'_> {
    /// Deletes, in the reverse of the order in which things are created.
    async fn deletions<'a>(
        &self,
        deletions: impl Iterator<Item = &'a Change> + Clone,
        outcome: &mut Outcome,
    ) {
        for phase in (0..PHASES).rev() {
            let steps = deletions.clone().filter(|change| change.target.phase() == phase);
            self.phase(alone(steps), outcome).await;
        }
    }

    async fn phase(&self, errands: Vec<Errand<'_>>, outcome: &mut Outcome) {
        let missing: BTreeSet<End> =
            outcome.failed.iter().map(|failure| End::of(&failure.change.target)).collect();
        let steps = || errands.iter().map(|errand| errand.step);
        // The API has no way to delete one topic permission of several at once.
        let one_by_one = steps().any(|change| change.target.kind() == "topic_permission");
        let closed = self.reach(steps(), &missing).await;
        // As they get done: one that takes long holds up none of the others.
        let mut results = stream::iter(errands.into_iter().enumerate())
            .map(async |(nth, errand)| (nth, self.errand(errand, &missing, &closed).await))
            .buffer_unordered(if one_by_one { 1 } else { CONCURRENCY });
        let mut failed = Vec::new();
        while let Some((nth, results)) = results.next().await {
            for (after, (change, result)) in results.into_iter().enumerate() {
                (self.progress)(self.dealt_with.fetch_add(1, Ordering::Relaxed) + 1);
                match result {
                    Ok(()) => outcome.done.count(change.action),
                    Err(Stumble { reason, hint }) => {
                        let failure = Failure { change: change.clone(), reason, hint };
                        failed.push(((after > 0, nth, after), failure));
                    }
                }
            }
        }
        failed.sort_by_key(|(place, _)| *place);
        outcome.failed.extend(failed.into_iter().map(|(_, failure)| failure));
    }

    /// What came of each step of an errand.
    async fn errand<'a>(
        &self,
        errand: Errand<'a>,
        missing: &BTreeSet<End>,
        closed: &BTreeMap<VhostName, Stumble>,
    ) -> Vec<(&'a Change, Result<(), Stumble>)> {
        if missing.is_empty() && self.hands.in_one_go(&errand).await {
            return iter::once(errand.step).chain(errand.then).map(|step| (step, Ok(()))).collect();
        }
        let Errand { step, then } = errand;
        let first = self.hands.step(step, missing, closed).await;
        let on = first.is_ok();
        let mut results = vec![(step, first)];
        for follower in then {
            let result = if on {
                self.hands.step(follower, missing, closed).await
            } else {
                Err(Stumble::without(step.target.kind(), &step.target.name()))
            };
            results.push((follower, result));
        }
        results
    }

    /// Connects to the vhosts of these steps; gives those that it cannot connect to.
    async fn reach<'a>(
        &self,
        steps: impl Iterator<Item = &'a Change>,
        missing: &BTreeSet<End>,
    ) -> BTreeMap<VhostName, Stumble> {
        let over_amqp = steps.filter(|change| is_over_amqp(&change.target));
        let mut vhosts: BTreeSet<_> =
            over_amqp.filter_map(|change| change.target.vhost()).collect();
        vhosts.retain(|vhost| !missing.contains(&End::vhost(vhost)));
        let open =
            async |vhost: &VhostName| Some((vhost.clone(), self.hands.open(vhost).await.err()?));
        join_all(vhosts.into_iter().map(open)).await.into_iter().flatten().collect()
    }
}
