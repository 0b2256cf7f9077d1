//! Performs an approved plan: in phases, many steps at once within each, and looks again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use futures_util::{StreamExt, stream};

use super::amqp::{ConnectError, ConnectErrorKind};
use super::attach::attach;
use super::declare::{CONCURRENCY, DeclareError};
use super::ledger::LedgerStore;
use super::look_again::look_again;
use super::management::{ManagementClient, ManagementError};
use super::remake::{RemakeError, remake_exchange, remake_queue};
use super::settings;
use super::survey::Sighted;
use super::wires::Wires;
use crate::model::{Queue, SettingKind, Topology, VhostName};
use crate::plan::{
    Action, ApplyReport, Approved, Change, Failure, PHASES, Remaining, Summary, Target,
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
    let work = Work {
        wires,
        topology,
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
    let mut notes = Vec::new();
    if report.failed.is_empty() {
        let checked = report.done;
        for phase in 0..PHASES {
            let steps = changes
                .iter()
                .filter(|change| {
                    !unseen(change)
                        && change.action != Action::Delete
                        && change.target.phase() == phase
                })
                .collect::<Vec<_>>();
            let created: Vec<&Queue> = steps.iter().filter_map(|step| created(step)).collect();
            work.phase(steps, &mut report).await;
            // Before anything is bound to them.
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
    work.phase(steps.iter().collect(), &mut outcome).await;
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

/// The queue that a step creates.
fn created(change: &Change) -> Option<&Queue> {
    match &change.target {
        Target::Queue(queue) if change.action == Action::Create => Some(queue),
        _ => None,
    }
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
    wires: &'a Wires,
    topology: &'a Topology,
    management: Option<&'a ManagementClient>,
    progress: &'a (dyn Fn(usize) + Sync),
    dealt_with: AtomicUsize,
    force: bool,
}

impl<'a> Work<'a> {
    /// Work that nobody watches, and that deletes nothing that is in use.
    fn alone(topology: &'a Topology, wires: &'a Wires, management: &'a ManagementClient) -> Self {
        Self {
            wires,
            topology,
            management: Some(management),
            progress: &|_| {},
            dealt_with: AtomicUsize::new(0),
            force: false,
        }
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
            self.phase(steps.collect(), outcome).await;
        }
    }

    async fn phase(&self, steps: Vec<&Change>, outcome: &mut Outcome) {
        let missing: BTreeSet<End> =
            outcome.failed.iter().map(|failure| End::of(&failure.change.target)).collect();
        // The API has no way to delete one topic permission of several at once.
        let one_by_one = steps.iter().any(|change| change.target.kind() == "topic_permission");
        let closed = self.reach(&steps, &missing).await;
        // As they get done: one that takes long holds up none of the others.
        let mut results = stream::iter(steps.into_iter().enumerate())
            .map(async |(nth, change)| (nth, change, self.step(change, &missing, &closed).await))
            .buffer_unordered(if one_by_one { 1 } else { CONCURRENCY });
        let mut failed = Vec::new();
        while let Some((nth, change, result)) = results.next().await {
            (self.progress)(self.dealt_with.fetch_add(1, Ordering::Relaxed) + 1);
            match result {
                Ok(()) => outcome.done.count(change.action),
                Err(Stumble { reason, hint }) => {
                    failed.push((nth, Failure { change: change.clone(), reason, hint }));
                }
            }
        }
        failed.sort_by_key(|(nth, _)| *nth);
        outcome.failed.extend(failed.into_iter().map(|(_, failure)| failure));
    }

    /// Connects to the vhosts of these steps; gives those that it cannot connect to.
    async fn reach(
        &self,
        steps: &[&Change],
        missing: &BTreeSet<End>,
    ) -> BTreeMap<VhostName, Stumble> {
        let over_amqp = steps.iter().filter(|change| is_over_amqp(&change.target));
        let mut vhosts: BTreeSet<_> =
            over_amqp.filter_map(|change| change.target.vhost()).collect();
        vhosts.retain(|vhost| !missing.contains(&End::vhost(vhost)));
        let open = async |vhost: &VhostName| Some((vhost.clone(), self.open(vhost).await.err()?));
        join_all(vhosts.into_iter().map(open)).await.into_iter().flatten().collect()
    }

    async fn step(
        &self,
        change: &Change,
        missing: &BTreeSet<End>,
        closed: &BTreeMap<VhostName, Stumble>,
    ) -> Result<(), Stumble> {
        // Whoever applies under a lock has it for as long as its connection lives.
        if !self.wires.may_go_on() {
            return Err(DeclareError::Lost("it was closed".into()).into());
        }
        if change.action != Action::Delete
            && let Some(vhost) = change.target.vhost()
            && missing.contains(&End::vhost(vhost))
        {
            let reason = format!("not tried without vhost `{vhost}`");
            return Err(Stumble { reason, hint: None });
        }
        if is_over_amqp(&change.target)
            && let Some(stumble) = change.target.vhost().and_then(|vhost| closed.get(vhost))
        {
            return Err(stumble.clone());
        }
        if change.action == Action::Delete {
            return self.delete(&change.target).await;
        }
        match &change.target {
            Target::Exchange(exchange) if change.action == Action::Replace => {
                let declarer = self.wires.to(&exchange.vhost).await?;
                let client = self.management("exchanges anew")?;
                Ok(remake_exchange(exchange, client, &declarer).await?)
            }
            Target::Queue(queue) if matches!(change.action, Action::Replace | Action::Migrate) => {
                let with_messages = change.action == Action::Migrate;
                let client = self.management("queues anew")?;
                Ok(remake_queue(queue, with_messages, client, self.wires).await?)
            }
            Target::Exchange(exchange) => {
                Ok(self.wires.to(&exchange.vhost).await?.exchange(exchange).await?)
            }
            Target::Queue(queue) => Ok(self.wires.to(&queue.vhost).await?.queue(queue).await?),
            Target::Setting(setting) => {
                let kind = setting.kind();
                settings::put(self.management(kind.plural())?, setting, change)
                    .await
                    .map_err(|error| Stumble::about(kind, &error))
            }
            Target::Binding(binding) => {
                let end = |kind, name: &str| End {
                    vhost: Some(binding.vhost.clone()),
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
                Ok(self.wires.to(&binding.vhost).await?.binding(binding).await?)
            }
            Target::Policy(policy) => Ok(self.management("policies")?.put_policy(policy).await?),
        }
    }

    async fn delete(&self, target: &Target) -> Result<(), Stumble> {
        match target {
            Target::Binding(binding) => {
                Ok(self.wires.to(&binding.vhost).await?.unbind(binding).await?)
            }
            Target::Queue(queue) => {
                if !self.force {
                    self.unused(queue).await?;
                }
                Ok(self.wires.to(&queue.vhost).await?.delete_queue(queue, self.force).await?)
            }
            Target::Policy(policy) => {
                match self.management("policies")?.delete_policy(policy).await {
                    Ok(()) | Err(ManagementError::NotFound { .. }) => Ok(()),
                    Err(error) => Err(error.into()),
                }
            }
            Target::Exchange(exchange) => {
                let declarer = self.wires.to(&exchange.vhost).await?;
                Ok(declarer.delete_exchange(&exchange.name, self.force).await?)
            }
            Target::Setting(setting) => {
                let kind = setting.kind();
                settings::delete(self.management(kind.plural())?, &setting.id())
                    .await
                    .map_err(|error| Stumble::about(kind, &error))
            }
        }
    }

    /// Connects to a vhost. Whoever creates one is let in by the broker, but not if the request was
    /// cut off on the way, nor if another user declares; then a vhost of the files lets in whoever
    /// declares in it.
    async fn open(&self, vhost: &VhostName) -> Result<(), Stumble> {
        let Err(error) = self.wires.reach(vhost, self.management).await else { return Ok(()) };
        let (ConnectErrorKind::Vhost, Some(client), Some(user), true) =
            (error.kind, self.management, self.wires.user(), self.topology.makes(vhost))
        else {
            return Err(error.into());
        };
        settings::let_in(client, vhost, &user)
            .await
            .map_err(|error| Stumble::about(SettingKind::Permission, &error))?;
        // The failure was kept, so it takes another attempt to find the vhost down.
        let _ = self.wires.again(vhost).await;
        self.wires.reach(vhost, Some(client)).await?;
        Ok(())
    }

    /// Refuses where a queue is used. Only classic queues can be deleted on the condition that they
    /// are not, so between this look and the deletion of another kind a message may arrive.
    async fn unused(&self, queue: &Queue) -> Result<(), Stumble> {
        match self.wires.to(&queue.vhost).await?.usage(&queue.name).await? {
            Some(usage) if !usage.is_none() => Err(Stumble {
                reason: usage.to_string(),
                hint: Some("`--force` deletes it nevertheless".into()),
            }),
            _ => Ok(()),
        }
    }

    fn management(&self, what: &str) -> Result<&ManagementClient, Stumble> {
        self.management.ok_or_else(|| Stumble {
            reason: format!("only the management API can set {what}"),
            hint: Some("give its address as `broker.management`".into()),
        })
    }
}

/// Whether it is declared over AMQP, and not set through the management API.
fn is_over_amqp(target: &Target) -> bool {
    !matches!(target, Target::Policy(_) | Target::Setting(_))
}

/// A vhost, an exchange or a queue as something else refers to it.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct End {
    vhost: Option<VhostName>,
    kind: &'static str,
    name: String,
}

impl End {
    fn of(target: &Target) -> Self {
        Self { vhost: target.vhost().cloned(), kind: target.kind(), name: target.name() }
    }

    fn vhost(name: &VhostName) -> Self {
        Self { vhost: Some(name.clone()), kind: "vhost", name: name.to_string() }
    }
}

#[derive(Clone)]
struct Stumble {
    reason: String,
    hint: Option<String>,
}

impl Stumble {
    fn about(kind: SettingKind, error: &ManagementError) -> Self {
        Self { hint: settings::hint(kind, error), reason: error.to_string() }
    }
}

impl From<ConnectError> for Stumble {
    fn from(error: ConnectError) -> Self {
        Self { hint: Some(error.hint().into()), reason: error.to_string() }
    }
}

impl From<DeclareError> for Stumble {
    fn from(error: DeclareError) -> Self {
        Self { hint: error.hint().map(str::to_owned), reason: error.to_string() }
    }
}

impl From<RemakeError> for Stumble {
    fn from(error: RemakeError) -> Self {
        Self { hint: error.hint(), reason: error.to_string() }
    }
}

impl From<ManagementError> for Stumble {
    fn from(error: ManagementError) -> Self {
        Self { hint: error.hint(), reason: error.to_string() }
    }
}
