//! A plan for programs.

use serde::Serialize;
use serde_json::Value;

use super::approved::{Plan, Summary};
use super::change::Change;
use super::owned::Kept;
use crate::model::{StackName, VhostName};

impl Plan {
    /// The plan as `warrener plan --json` prints it, its keys in the documented order.
    pub fn document<'a>(&'a self, stack: &'a StackName) -> impl Serialize + 'a {
        Document {
            stack,
            broker: Broker {
                cluster: self.broker().cluster.as_deref(),
                version: self.broker().version.as_deref(),
            },
            changes: self.changes().iter().map(Step::from).collect(),
            summary: self.summary(),
            kept: self.kept().iter().map(Stays::from).collect(),
            refused: self.veto().map(|veto| veto.reason.as_str()),
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
}

/// Something owned and no longer declared that is not deleted.
#[derive(Serialize)]
struct Stays {
    kind: &'static str,
    vhost: VhostName,
    name: String,
    reason: String,
}

impl From<&Kept> for Stays {
    fn from(Kept { id, reason, .. }: &Kept) -> Self {
        Self { kind: id.kind(), vhost: id.vhost().clone(), name: id.name(), reason: reason.clone() }
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
    vhost: &'a VhostName,
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
