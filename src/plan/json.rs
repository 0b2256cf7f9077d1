//! A plan for programs.

use serde::Serialize;
use serde_json::Value;

use super::approved::{Plan, Summary};
use super::change::Change;
use super::drift::Drift;
use super::ledger::ResourceId;
use super::owned::Kept;
use crate::model::{StackName, VhostName};

impl Plan {
    /// The plan as `warrener plan --json` prints it, its keys in the documented order.
    pub fn document<'a>(&'a self, stack: &'a StackName) -> impl Serialize + 'a {
        Document::new(self, stack, None)
    }
}

impl Drift {
    /// The drift as `warrener drift --json` prints it: its plan, and what nobody declares.
    pub fn document<'a>(&'a self, stack: &'a StackName) -> impl Serialize + 'a {
        let undeclared = self.strangers.iter().map(Stranger::from).collect();
        Document::new(&self.plan, stack, Some(undeclared))
    }
}

impl<'a> Document<'a> {
    fn new(plan: &'a Plan, stack: &'a StackName, undeclared: Option<Vec<Stranger>>) -> Self {
        Self {
            stack,
            broker: Broker {
                cluster: plan.broker().cluster.as_deref(),
                version: plan.broker().version.as_deref(),
            },
            changes: plan.changes().iter().map(Step::from).collect(),
            summary: plan.summary(),
            kept: plan.kept().iter().map(Stays::from).collect(),
            refused: plan.veto().map(|veto| veto.reason.as_str()),
            notes: plan.notes(),
            undeclared,
        }
    }
}

#[derive(Serialize)]
struct Document<'a> {
    stack: &'a StackName,
    broker: Broker<'a>,
    changes: Vec<Step<'a>>,
    summary: Summary,
    kept: Vec<Stays>,
    refused: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    notes: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    undeclared: Option<Vec<Stranger>>,
}

/// Something that nobody declares.
#[derive(Serialize)]
struct Stranger {
    kind: &'static str,
    vhost: Option<VhostName>,
    name: String,
}

impl From<&ResourceId> for Stranger {
    fn from(id: &ResourceId) -> Self {
        Self { kind: id.kind(), vhost: id.vhost().cloned(), name: id.name() }
    }
}

/// Something owned and no longer declared that is not deleted.
#[derive(Serialize)]
struct Stays {
    kind: &'static str,
    vhost: Option<VhostName>,
    name: String,
    reason: String,
}

impl From<&Kept> for Stays {
    fn from(Kept { id, reason, .. }: &Kept) -> Self {
        let vhost = id.vhost().cloned();
        Self { kind: id.kind(), vhost, name: id.name(), reason: reason.clone() }
    }
}

#[derive(Serialize)]
struct Broker<'a> {
    cluster: Option<&'a str>,
    version: Option<&'a str>,
}

#[derive(Serialize)]
struct Step<'a> {
    action: &'static str,
    kind: &'static str,
    /// None for what belongs to the whole cluster.
    vhost: Option<&'a VhostName>,
    name: String,
    reason: &'a str,
    before: Option<&'a Value>,
    after: Option<&'a Value>,
}

impl<'a> From<&'a Change> for Step<'a> {
    fn from(change: &'a Change) -> Self {
        Self {
            action: change.action.as_str(),
            kind: change.target.kind(),
            vhost: change.target.vhost(),
            name: change.target.name(),
            reason: &change.reason,
            before: change.before.as_ref(),
            after: change.after.as_ref(),
        }
    }
}
