//! A plan for programs.

use serde::Serialize;
use serde_json::Value;

use super::approved::{Plan, Summary};
use super::change::Change;
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
        }
    }
}

#[derive(Serialize)]
struct Document<'a> {
    stack: &'a StackName,
    broker: Broker<'a>,
    changes: Vec<Step<'a>>,
    summary: Summary,
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
