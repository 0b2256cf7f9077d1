//! What came of a plan.

use super::approved::{Plan, Summary};
use super::change::Change;
use crate::model::VhostName;

/// A step that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The step.
    pub change: Change,
    /// Why: a lowercase fragment, or the broker's own words.
    pub reason: String,
    /// The mend, where there is one.
    pub hint: Option<String>,
}

/// What a second look at the broker found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remaining {
    /// The broker is as the files say.
    Nothing,
    /// This is still to be done.
    Plan(Box<Plan>),
    /// Nobody could look; why.
    Unseen(String),
}

/// What came of applying a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplyReport {
    /// The vhost of the broker's address, where the plan knew it.
    pub home: Option<VhostName>,
    /// The steps that were taken.
    pub done: Summary,
    /// The steps that were not.
    pub failed: Vec<Failure>,
    /// Whether anything on the broker may have been changed. Declaring again what exists, only to
    /// find out whether it is equivalent, changes nothing.
    pub changed: bool,
    /// Why the ledger of what the stack owns could not be brought up to date; `None` where it is.
    pub unwritten: Option<String>,
    /// What somebody should know about what was done.
    pub notes: Vec<String>,
    /// What a second look found.
    pub remaining: Remaining,
}

impl ApplyReport {
    /// Whether every step was taken and nothing was found undone afterwards. A ledger that could
    /// not be written does not count: the next apply adopts what is there.
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty() && !matches!(self.remaining, Remaining::Plan(_))
    }
}
