//! A plan, and the consent to it.

use super::change::{Action, Change};
use super::observed::{BrokerIdentity, Gap};

/// Steps in the order in which they can be taken, for one broker as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    broker: BrokerIdentity,
    changes: Vec<Change>,
    gap: Option<Gap>,
}

/// How many steps of each kind a plan has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    /// Resources to create.
    pub create: usize,
    /// Resources to change where they stand.
    pub update: usize,
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
            Action::Verify => self.verify += 1,
            Action::Conflict => self.conflict += 1,
        }
    }
}

impl Plan {
    pub(super) fn new(broker: BrokerIdentity, changes: Vec<Change>, gap: Option<Gap>) -> Self {
        Self { broker, changes, gap }
    }

    /// The broker it is for.
    pub fn broker(&self) -> &BrokerIdentity {
        &self.broker
    }

    /// The steps, in order.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// What could not be seen when it was made; `None` where all was seen.
    pub fn gap(&self) -> Option<&Gap> {
        self.gap.as_ref()
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

/// A plan that may be performed, all of it: it has no conflict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approved {
    plan: Plan,
}

/// The plan that was refused, as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} {} in conflict with the files; nothing was changed",
    .0.summary().conflict,
    if .0.summary().conflict == 1 { "resource is" } else { "resources are" }
)]
pub struct Refused(pub Box<Plan>);

impl Approved {
    /// Consents to a plan, unless something in it is in conflict.
    pub fn new(plan: Plan) -> Result<Self, Refused> {
        if plan.conflicts().next().is_some() {
            Err(Refused(Box::new(plan)))
        } else {
            Ok(Self { plan })
        }
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }
}
