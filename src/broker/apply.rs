//! Performs an approved plan: in phases, many steps at once within each, and looks again.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use lapin::Connection;

use super::declare::{CONCURRENCY, DeclareError, Declarer};
use super::ledger::LedgerStore;
use super::management::{ManagementClient, ManagementError};
use super::observe::observe;
use crate::model::{Queue, Topology, VhostName};
use crate::plan::{
    Action, ApplyReport, Approved, Change, Failure, Plan, Remaining, Summary, Target,
};

/// Looks at the broker until it is as it should be, this often: another node of a cluster may show
/// a change a moment after the one that made it.
const LOOKS: u32 = 5;

/// The pause between two looks.
const BETWEEN_LOOKS: Duration = Duration::from_millis(300);

/// Performs the plan over AMQP, its policies through the management API, and looks again.
///
/// Where existing objects could not be seen beforehand they are declared first; if the broker
/// refuses any of them, nothing else is tried and nothing is changed. A failed step stops neither
/// the others of its phase nor later ones that do not need it, but nothing is deleted after one.
/// The ledger has what is to be created before it is, and what is to be deleted until it is gone.
/// `progress` is told after each step
/// how many have been dealt with.
pub async fn apply(
    approved: &Approved,
    topology: &Topology,
    connection: &Connection,
    management: Option<&ManagementClient>,
    store: &LedgerStore,
    progress: &(dyn Fn(usize) + Sync),
) -> ApplyReport {
    let plan = approved.plan();
    let mut written = store.bring(plan.ledger_before(), plan.ledger_claims()).await;
    let work = Work {
        declarer: Declarer::new(connection),
        management,
        progress,
        dealt_with: AtomicUsize::new(0),
        force: plan.consent().force,
    };
    let mut report = Outcome::default();
    let changes = plan.changes();

    let unseen = |change: &&Change| {
        change.action == Action::Verify && !matches!(change.target, Target::Binding(_))
    };
    work.phase(changes.iter().filter(unseen).collect(), &mut report).await;
    let mut touched = false;
    if report.failed.is_empty() {
        let checked = report.done;
        for kind in ["exchange", "policy", "queue", "binding"] {
            let steps = changes
                .iter()
                .filter(|change| {
                    !unseen(change)
                        && change.action != Action::Delete
                        && change.target.kind() == kind
                })
                .collect();
            work.phase(steps, &mut report).await;
        }
        let deletions = changes.iter().filter(|change| change.action == Action::Delete);
        if report.failed.is_empty() {
            for kind in ["binding", "queue", "policy", "exchange"] {
                let steps = deletions.clone().filter(|change| change.target.kind() == kind);
                work.phase(steps.collect(), &mut report).await;
            }
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
    work.declarer.finish().await;
    let remaining = match management {
        Some(client) => look_again(plan, topology, client, &report.failed).await,
        None => Remaining::Unseen("only the management API could tell".into()),
    };
    let now = if written.is_ok() { plan.ledger_claims() } else { plan.ledger_before() };
    let after = plan.ledger_after(&report.failed);
    if after != *now || written.is_err() {
        written = store.bring(now, &after).await;
    }
    ApplyReport {
        done: report.done,
        failed: report.failed,
        changed: touched,
        unwritten: written.err(),
        remaining,
    }
}

#[derive(Default)]
struct Outcome {
    done: Summary,
    failed: Vec<Failure>,
}

struct Work<'a> {
    declarer: Declarer<'a>,
    management: Option<&'a ManagementClient>,
    progress: &'a (dyn Fn(usize) + Sync),
    dealt_with: AtomicUsize,
    force: bool,
}

impl Work<'_> {
    async fn phase(&self, steps: Vec<&Change>, outcome: &mut Outcome) {
        let missing: BTreeSet<End> =
            outcome.failed.iter().map(|failure| End::of(&failure.change.target)).collect();
        let mut results = stream::iter(steps)
            .map(async |change| (change, self.step(change, &missing).await))
            .buffered(CONCURRENCY);
        while let Some((change, result)) = results.next().await {
            (self.progress)(self.dealt_with.fetch_add(1, Ordering::Relaxed) + 1);
            match result {
                Ok(()) => outcome.done.count(change.action),
                Err(Stumble { reason, hint }) => {
                    outcome.failed.push(Failure { change: change.clone(), reason, hint });
                }
            }
        }
    }

    async fn step(&self, change: &Change, missing: &BTreeSet<End>) -> Result<(), Stumble> {
        // Whoever applies under a lock has it for as long as this connection lives.
        if !self.declarer.is_connected() {
            return Err(DeclareError::Lost("it was closed".into()).into());
        }
        if change.action == Action::Delete {
            return self.delete(&change.target).await;
        }
        match &change.target {
            Target::Exchange(exchange) => Ok(self.declarer.exchange(exchange).await?),
            Target::Queue(queue) => Ok(self.declarer.queue(queue).await?),
            Target::Binding(binding) => {
                let end = |kind, name: &str| End {
                    vhost: binding.vhost.clone(),
                    kind,
                    name: name.into(),
                };
                let source = end("exchange", binding.source.as_str());
                let destination = end(binding.destination.kind(), binding.destination.name());
                if let Some(End { kind, name, .. }) =
                    [source, destination].into_iter().find(|end| missing.contains(end))
                {
                    let reason = format!("not tried without {kind} `{name}`");
                    return Err(Stumble { reason, hint: None });
                }
                Ok(self.declarer.binding(binding).await?)
            }
            Target::Policy(policy) => Ok(self.management()?.put_policy(policy).await?),
        }
    }

    async fn delete(&self, target: &Target) -> Result<(), Stumble> {
        match target {
            Target::Binding(binding) => Ok(self.declarer.unbind(binding).await?),
            Target::Queue(queue) => {
                if !self.force {
                    self.unused(queue).await?;
                }
                Ok(self.declarer.delete_queue(queue, self.force).await?)
            }
            Target::Policy(policy) => match self.management()?.delete_policy(policy).await {
                Ok(()) | Err(ManagementError::NotFound { .. }) => Ok(()),
                Err(error) => Err(error.into()),
            },
            Target::Exchange(exchange) => {
                Ok(self.declarer.delete_exchange(&exchange.name, self.force).await?)
            }
        }
    }

    /// Refuses where a queue is used. Only classic queues can be deleted on the condition that they
    /// are not, so between this look and the deletion of another kind a message may arrive.
    async fn unused(&self, queue: &Queue) -> Result<(), Stumble> {
        match self.declarer.usage(&queue.name).await? {
            Some(usage) if !usage.is_none() => Err(Stumble {
                reason: usage.to_string(),
                hint: Some("`--force` deletes it nevertheless".into()),
            }),
            _ => Ok(()),
        }
    }

    fn management(&self) -> Result<&ManagementClient, Stumble> {
        self.management.ok_or_else(|| Stumble {
            reason: "only the management API can set policies".into(),
            hint: Some("give its address as `broker.management`".into()),
        })
    }
}

/// An exchange or queue as a binding refers to it.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct End {
    vhost: VhostName,
    kind: &'static str,
    name: String,
}

impl End {
    fn of(target: &Target) -> Self {
        Self { vhost: target.vhost().clone(), kind: target.kind(), name: target.name() }
    }
}

struct Stumble {
    reason: String,
    hint: Option<String>,
}

impl From<DeclareError> for Stumble {
    fn from(error: DeclareError) -> Self {
        Self { hint: error.hint().map(str::to_owned), reason: error.to_string() }
    }
}

impl From<ManagementError> for Stumble {
    fn from(error: ManagementError) -> Self {
        Self { hint: error.hint(), reason: error.to_string() }
    }
}

/// Observes and compares until nothing is left to do but what is known to have failed.
async fn look_again(
    done: &Plan,
    topology: &Topology,
    client: &ManagementClient,
    failed: &[Failure],
) -> Remaining {
    let vhosts: BTreeSet<_> = done.changes().iter().map(|change| change.target.vhost()).collect();
    let mut looks = 0;
    loop {
        looks += 1;
        let plan = match observe(topology, vhosts.iter().copied(), client).await {
            Ok(observed) => done.again(topology, &observed),
            Err(error) => return Remaining::Unseen(error.to_string()),
        };
        let plan = plan.without(|change| failed.iter().any(|f| f.change.target == change.target));
        if plan.is_empty() {
            return Remaining::Nothing;
        }
        if looks == LOOKS {
            return Remaining::Plan(Box::new(plan));
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}
