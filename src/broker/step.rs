//! Performs one step of a plan.

use std::collections::{BTreeMap, BTreeSet};

use super::amqp::{ConnectError, ConnectErrorKind};
use super::declare::DeclareError;
use super::management::{ManagementClient, ManagementError};
use super::remake::{RemakeError, remake_exchange, remake_queue};
use super::settings;
use super::wires::Wires;
use crate::model::{Queue, SettingKind, Topology, VhostName};
use crate::plan::{Action, Change, Errand, Target};

/// What steps are done with.
pub(super) struct Hands<'a> {
    pub(super) wires: &'a Wires,
    pub(super) topology: &'a Topology,
    pub(super) management: Option<&'a ManagementClient>,
    /// Whether queues are deleted that are in use.
    pub(super) force: bool,
}

impl Hands<'_> {
    /// Performs it, unless it needs what is missing or is in a vhost that is closed.
    pub(super) async fn step(
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
            return Err(Stumble::without("vhost", vhost.as_str()));
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
                    return Err(Stumble::without(kind, &name));
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
    pub(super) async fn open(&self, vhost: &VhostName) -> Result<(), Stumble> {
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

    /// Whether a queue and its bindings were declared without waiting for each other's answers: 4 %
    /// faster. Where not, each step alone tells what is the matter with it; all of them may be
    /// taken twice.
    pub(super) async fn in_one_go(&self, Errand { step, then }: &Errand<'_>) -> bool {
        let Target::Queue(queue) = &step.target else { return false };
        if then.is_empty() || !self.wires.may_go_on() {
            return false;
        }
        let Ok(declarer) = self.wires.to(&queue.vhost).await else { return false };
        let bindings = then.iter().filter_map(|step| match &step.target {
            Target::Binding(binding) => Some(binding),
            _ => None,
        });
        declarer.queue_and(queue, bindings).await.is_ok()
    }
}

/// Whether it is declared over AMQP, and not set through the management API.
pub(super) fn is_over_amqp(target: &Target) -> bool {
    !matches!(target, Target::Policy(_) | Target::Setting(_))
}

/// A vhost, an exchange or a queue as something else refers to it.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct End {
    vhost: Option<VhostName>,
    kind: &'static str,
    name: String,
}

impl End {
    pub(super) fn of(target: &Target) -> Self {
        Self { vhost: target.vhost().cloned(), kind: target.kind(), name: target.name() }
    }

    pub(super) fn vhost(name: &VhostName) -> Self {
        Self { vhost: Some(name.clone()), kind: "vhost", name: name.to_string() }
    }
}

/// Why a step was not done, and the mend.
#[derive(Clone)]
pub(super) struct Stumble {
    pub(super) reason: String,
    pub(super) hint: Option<String>,
}

impl Stumble {
    /// About what needs something that is not there.
    pub(super) fn without(kind: &str, name: &str) -> Self {
        Self { reason: format!("not tried without {kind} `{name}`"), hint: None }
    }

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
