//! A plan for programs.

use serde_json::{Value, json};

use super::approved::Plan;
use super::change::Change;
use crate::model::StackName;

impl Plan {
    /// The plan as `warrener plan --json` prints it.
    pub fn to_json(&self, stack: &StackName) -> Value {
        let changes: Vec<Value> = self.changes().iter().map(change).collect();
        json!({
            "stack": stack,
            "broker": { "cluster": self.broker().cluster, "version": self.broker().version },
            "changes": changes,
            "summary": self.summary(),
        })
    }
}

fn change(change: &Change) -> Value {
    json!({
        "action": change.action.as_str(),
        "kind": change.target.kind(),
        "vhost": change.target.vhost(),
        "name": change.target.name(),
        "reason": change.reason,
        "before": change.before,
        "after": change.after,
    })
}
