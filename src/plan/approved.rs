//! A plan, and the consent to it.

use std::collections::BTreeSet;

use super::change::{Action, Change, Target};
use super::ledger::{Ownership, ResourceId};
use super::observed::{BrokerIdentity, Gap};
use super::owned::{Books, Consent, Kept, Veto};
use crate::model::{QueueName, Setting, SettingId, VhostName};

/// Steps in the order in which they can be taken, for one broker as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    broker: BrokerIdentity,
    pub(super) changes: Vec<Change>,
    gap: Option<Gap>,
    pub(super) kept: Vec<Kept>,
    pub(super) veto: Option<Veto>,
    pub(super) books: Books,
    pub(super) consent: Consent,
    pub(super) ownership: Option<Box<Ownership>>,
    pub(super) home: Option<VhostName>,
    pub(super) notes: Vec<String>,
}

/// How many steps of each kind a plan has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    /// Resources to create.
    pub create: usize,
    /// Resources to change where they stand.
    pub update: usize,
    /// Resources to delete and create, with their bindings.
    pub replace: usize,
    /// Queues to make anew with their messages and bindings.
    pub migrate: usize,
    /// Resources to delete.
    pub delete: usize,
    /// Resources of which nobody can say whether they are as declared.
    pub verify: usize,
    /// Resources that stand in the way.
    pub conflict: usize,
}

impl Summary {
    /// Counts one step more.
    pub fn count(&mut self, action: Action) {
        match action {
            Action::Create => self.create += 1,
            Action::Update => self.update += 1,
            Action::Replace => self.replace += 1,
            Action::Migrate => self.migrate += 1,
            Action::Delete => self.delete += 1,
            Action::Verify => self.verify += 1,
            Action::Conflict => self.conflict += 1,
        }
    }
}

impl Plan {
    pub(super) fn new(broker: BrokerIdentity, changes: Vec<Change>, gap: Option<Gap>) -> Self {
        Self {
            broker,
            changes,
            gap,
            kept: Vec::new(),
            veto: None,
            books: Books::default(),
            consent: Consent::default(),
            ownership: None,
            home: None,
            notes: Vec::new(),
        }
    }

    /// The broker it is for.
    pub fn broker(&self) -> &BrokerIdentity {
        &self.broker
    }

    /// The vhost of the broker's address, where it is known.
    pub fn home(&self) -> Option<&VhostName> {
        self.home.as_ref()
    }

    /// A resource in words, with its vhost where that is not the one of the broker's address.
    pub(super) fn named(&self, id: &ResourceId) -> String {
        let vhost = id.vhost().filter(|_| !matches!(id, ResourceId::Setting(SettingId::Vhost(_))));
        match (vhost, &self.home) {
            (Some(vhost), Some(home)) if vhost != home => format!("{id} in vhost {vhost}"),
            _ => id.to_string(),
        }
    }

    /// The steps, in order.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// What could not be seen when it was made; `None` where all was seen.
    pub fn gap(&self) -> Option<&Gap> {
        self.gap.as_ref()
    }

    /// What the stack owns, no file declares any more, and stays; with the reasons.
    pub fn kept(&self) -> &[Kept] {
        &self.kept
    }

    /// What somebody should know who relies on what the files declare; no step is needed for it.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Why it is refused as a whole.
    pub fn veto(&self) -> Option<&Veto> {
        self.veto.as_ref()
    }

    /// What was agreed to when it was made.
    pub fn consent(&self) -> Consent {
        self.consent
    }

    /// Where the ledger is kept instead of the broker, and what follows from that.
    pub fn ledger_elsewhere(&self) -> Option<&str> {
        self.ownership.as_ref()?.elsewhere.as_deref()
    }

    /// Whether nobody may perform it: something is in conflict, or it goes too far.
    pub fn is_refused(&self) -> bool {
        self.veto.is_some() || self.conflicts().next().is_some()
    }

    /// Whether it creates that vhost, so that nobody can connect to it before.
    pub fn creates_vhost(&self, name: &VhostName) -> bool {
        self.changes.iter().any(|change| {
            change.action == Action::Create
                && matches!(&change.target, Target::Setting(Setting::Vhost(vhost)) if vhost.name == *name)
        })
    }

    /// The queues that it makes anew: nobody may consume them meanwhile.
    pub fn made_anew(&self) -> BTreeSet<(VhostName, QueueName)> {
        let anew = |change: &&Change| matches!(change.action, Action::Replace | Action::Migrate);
        let queues = self.changes.iter().filter(anew).filter_map(|change| match &change.target {
            Target::Queue(queue) => Some((queue.vhost.clone(), queue.name.clone())),
            _ => None,
        });
        queues.collect()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The plan but for some of its steps.
    #[must_use]
    pub fn without(mut self, leave_out: impl Fn(&Change) -> bool) -> Self {
        self.changes.retain(|change| !leave_out(change));
        self
    }

    /// The steps that refuse it.
    pub fn conflicts(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| change.action == Action::Conflict)
    }

    /// How many steps of each kind it has.
    pub fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        for change in &self.changes {
            summary.count(change.action);
        }
        summary
    }
}

/// A plan that may be performed, all of it: it has no conflict and no veto.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approved {
    plan: Plan,
}

/// The plan that was refused, as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}; nothing was changed", .0.refusal())]
pub struct Refused(pub Box<Plan>);

impl Plan {
    fn refusal(&self) -> String {
        match (self.summary().conflict, &self.veto) {
            (0, Some(veto)) => veto.reason.clone(),
            (1, _) => "1 resource is in conflict with the files".into(),
            (count, _) => format!("{count} resources are in conflict with the files"),
        }
    }
}

impl Approved {
    /// Consents to a plan, unless something in it is in conflict or it goes too far.
    pub fn new(plan: Plan) -> Result<Self, Refused> {
        if plan.is_refused() { Err(Refused(Box::new(plan))) } else { Ok(Self { plan }) }
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }
}
