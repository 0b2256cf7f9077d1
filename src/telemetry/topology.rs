//! How the broker stands to the files, and this supervisor to others of the same stack.

use serde::{Deserialize, Serialize};

/// Who makes the broker as the files say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Role {
    /// Not known yet, or nobody: the files say to leave the broker alone.
    #[default]
    None,
    /// This supervisor.
    Applies,
    /// Another one has the lock of the stack; this one verifies.
    StandsBy {
        /// Who has it, in their own words.
        holder: Option<String>,
    },
    /// Nobody while this runs: `reconcile.mode` is `check`.
    Checks,
}

/// What the looks at the broker have come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopologyStatus {
    /// Who applies.
    #[serde(flatten)]
    pub role: Role,
    /// Differences between the broker and the files that the last look left there; `None` before
    /// the first, and where nobody could look.
    pub drift: Option<u64>,
    /// How often a look found differences.
    pub drifted: u64,
    /// How often differences were mended after the start.
    pub healed: u64,
    /// When the last look was, RFC 3339 in UTC.
    pub last_look_at: Option<String>,
}
