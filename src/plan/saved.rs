//! A plan in a file, to be performed later exactly as it was shown.
//!
//! The file says what was planned and from which files, and nothing of how to do it: whoever
//! performs it plans anew, and the outcome must be the plan that was saved. So it needs no secrets,
//! a file that was tampered with is only refused, and no kind of resource can be forgotten.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::approved::Plan;
use super::change::targets;
use super::compare;
use super::ledger::ResourceId;
use super::owned::Consent;
use crate::model::{Desired, Topology};

/// The form of the file; it counts up when older readers would misunderstand.
const VERSION: u64 = 1;

/// What makes two plans the same, beside the files and the broker they are for.
const SAME: [&str; 3] = ["changes", "kept", "refused"];

/// See the module's text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedPlan {
    version: u64,
    stack: String,
    /// The files and folders, as they were given.
    pub files: Vec<String>,
    broker: SavedBroker,
    /// What was agreed to when it was made.
    pub consent: Consent,
    /// A digest of what the files wanted.
    wanted: String,
    /// The steps as they were shown.
    plan: Value,
}

/// The broker that a plan is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SavedBroker {
    cluster: String,
    vhost: String,
}

/// Why a saved plan is not performed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SavedFault {
    /// The file is none of ours, or of another version.
    #[error("it is no saved plan: {0}")]
    Malformed(String),
    /// A later version of this program wrote it.
    #[error("it has the form {0}, and this version of warrener knows only {VERSION}")]
    Newer(u64),
    /// It was made for something else.
    #[error("it is for {what} `{planned}`, and this is `{found}`")]
    Elsewhere {
        /// A stack, a cluster, a vhost.
        what: &'static str,
        /// What it is for.
        planned: String,
        /// What is here.
        found: String,
    },
    /// The files have changed.
    #[error("the files want something else than when it was made")]
    OtherFiles,
    /// The broker has changed.
    #[error("it is stale, because the broker has changed since it was made: {0}")]
    Stale(String),
    /// Nobody can say which broker a plan is for.
    #[error("without the management API nobody can tell which broker this is")]
    UnknownBroker,
}

impl SavedFault {
    /// The mend.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Newer(_) => "use that version",
            Self::Elsewhere { .. } => "use the files and the broker that it was made for",
            Self::UnknownBroker => "give its address as `broker.management`",
            Self::Malformed(_) | Self::OtherFiles | Self::Stale(_) => {
                "make it anew with `warrener plan --out`, and look at it again"
            }
        }
    }
}

impl SavedPlan {
    /// A plan for these files, as it is to be saved.
    pub fn new(plan: &Plan, desired: &Desired, files: Vec<String>) -> Result<Self, SavedFault> {
        let cluster = plan.broker().cluster.clone().ok_or(SavedFault::UnknownBroker)?;
        Ok(Self {
            version: VERSION,
            stack: desired.stack.to_string(),
            files,
            broker: SavedBroker { cluster, vhost: desired.broker.vhost.to_string() },
            consent: plan.consent(),
            wanted: wanted(&desired.topology),
            plan: document(plan, desired),
        })
    }

    /// Reads the text of a file.
    pub fn parse(text: &str) -> Result<Self, SavedFault> {
        let malformed = |error: serde_json::Error| SavedFault::Malformed(error.to_string());
        let value: Value = serde_json::from_str(text).map_err(malformed)?;
        match value.get("version").and_then(Value::as_u64) {
            Some(VERSION) => serde_json::from_value(value).map_err(malformed),
            Some(other) => Err(SavedFault::Newer(other)),
            None => Err(SavedFault::Malformed("it has no `version`".into())),
        }
    }

    /// Whether a plan that was made just now is the one that was saved.
    pub fn matches(&self, plan: &Plan, desired: &Desired) -> Result<(), SavedFault> {
        let now = Self::new(plan, desired, Vec::new())?;
        let parts = [
            ("stack", &self.stack, &now.stack),
            ("the cluster", &self.broker.cluster, &now.broker.cluster),
            ("the vhost", &self.broker.vhost, &now.broker.vhost),
        ];
        if let Some((what, planned, found)) = parts.into_iter().find(|(_, a, b)| a != b) {
            let (planned, found) = (planned.clone(), found.clone());
            return Err(SavedFault::Elsewhere { what, planned, found });
        }
        if self.wanted != now.wanted {
            return Err(SavedFault::OtherFiles);
        }
        if SAME.iter().all(|part| self.plan.get(part) == now.plan.get(part)) {
            return Ok(());
        }
        Err(SavedFault::Stale(difference(&self.plan, &now.plan)))
    }
}

fn document(plan: &Plan, desired: &Desired) -> Value {
    serde_json::to_value(plan.document(&desired.stack)).unwrap_or_default()
}

/// Names and attributes of everything that is declared, but for secrets: what a file says of a
/// password is in the plan as a step, where it differs.
fn wanted(topology: &Topology) -> String {
    let mut all: Vec<String> = targets(topology)
        .map(|target| {
            let attributes = compare::wanted(&target).unwrap_or_default();
            format!("{:?} {} {attributes}", target.vhost(), ResourceId::from(&target))
        })
        .collect();
    all.sort();
    blake3::hash(all.join("\n").as_bytes()).to_hex().to_string()
}

/// The first step that only one of two plans has, in words.
fn difference(planned: &Value, now: &Value) -> String {
    let steps = |plan: &Value| plan["changes"].as_array().cloned().unwrap_or_default();
    let words = |step: &Value| {
        let text = |key: &str| step[key].as_str().unwrap_or_default().to_owned();
        format!("{} {} `{}`", text("action"), text("kind"), text("name"))
    };
    let (planned, now) = (steps(planned), steps(now));
    if let Some(step) = now.iter().find(|step| !planned.contains(step)) {
        return format!("it would {} now", words(step));
    }
    match planned.iter().find(|step| !now.contains(step)) {
        Some(step) => format!("there is no need any more to {}", words(step)),
        None => "what is owned and no longer declared is something else".into(),
    }
}
