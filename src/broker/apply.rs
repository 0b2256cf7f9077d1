//! Performs an approved plan: in phases, many steps at once within each, and looks again.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use lapin::Connection;

use super::declare::{CONCURRENCY, DeclareError, Declarer};
use super::management::ManagementClient;
use super::observe::observe;
use crate::model::{Topology, VhostName};
use crate::plan::{
    Action, ApplyReport, Approved, Change, Failure, Remaining, Summary, Target, diff,
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
/// the others of its phase nor later ones that do not need it. `progress` is told after each step
/// how many have been dealt with.
pub async fn apply(
    approved: &Approved,
    topology: &Topology,
    connection: &Connection,
    management: Option<&ManagementClient>,
    progress: &(dyn Fn(usize) + Sync),
) -> ApplyReport {
    let work = Work {
        declarer: Declarer::new(connection),
        management,
        progress,
        dealt_with: AtomicUsize::new(0),
    };
    let mut report = Outcome::default();
    let changes = approved.plan().changes();

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
                .filter(|change| !unseen(change) && change.target.kind() == kind)
                .collect();
            work.phase(steps, &mut report).await;
        }
        touched = report.done != checked;
    }
    work.declarer.finish().await;
    let remaining = match management {
        Some(client) => look_again(topology, client, &report.failed).await,
        None => Remaining::Unseen("only the management API could tell".into()),
    };
    ApplyReport { done: report.done, failed: report.failed, changed: touched, remaining }
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
            Target::Policy(policy) => {
                let Some(client) = self.management else {
                    return Err(Stumble {
                        reason: "only the management API can set policies".into(),
                        hint: Some("give its address as `broker.management`".into()),
                    });
                };
                client
                    .put_policy(policy)
                    .await
                    .map_err(|error| Stumble { hint: error.hint(), reason: error.to_string() })
            }
        }
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

/// Observes and compares until nothing is left to do but what is known to have failed.
async fn look_again(
    topology: &Topology,
    client: &ManagementClient,
    failed: &[Failure],
) -> Remaining {
    let mut looks = 0;
    loop {
        looks += 1;
        let plan = match observe(topology, client).await {
            Ok(observed) => diff(topology, &observed),
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
