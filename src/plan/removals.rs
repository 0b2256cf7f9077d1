//! What one topology no longer has, where that is all that is between it and the one before.
//!
//! On a broker that was found as the one before says, the rails of pruning need to see only what is to
//! go and what hangs on it.

use std::collections::BTreeMap;

use super::additions::Additions;
use super::change::Change;
use super::interrupted::Interrupted;
use super::ledger::{Ledger, Owner, Ownership, ResourceId};
use super::observed::Observed;
use super::owned::Consent;
use super::prune::{View, prune};
use crate::model::{StackName, Topology};

/// What is to go: all of it declared before, and managed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removals(Additions);

impl Removals {
    /// What `before` has and `after` has not; `None` where that is not all of the difference, or is
    /// much.
    pub fn between(before: &Topology, after: &Topology) -> Option<Self> {
        let gone = Additions::between(after, before)?;
        gone.policies.iter().all(|policy| policy.before.is_none()).then_some(Self(gone))
    }

    /// What it is.
    pub fn gone(&self) -> &Additions {
        &self.0
    }

    /// The steps that delete it, as a plan would have them; `None` where some of it is to stay, for
    /// whatever reason a plan would give.
    ///
    /// The stack must own what `before` declares and nothing else. `observed` must have what is to
    /// go, as far as it is there; all bindings that begin or end there, and the exchanges that they
    /// come from; all bindings that come from those of them that are `auto_delete`; and how the
    /// queues are used.
    pub fn deletions(
        before: &Topology,
        after: &Topology,
        observed: &Observed,
        stack: &StackName,
        others: BTreeMap<ResourceId, Owner>,
    ) -> Option<Vec<Change>> {
        let own = Ledger::of(before);
        let ownership = Ownership { own, others, ..Ownership::nobody(stack.clone()) };
        let consent = Consent { prune: true, ..Consent::default() };
        let view = View { topology: after, observed, ownership: &ownership, consent };
        // What is left of anything that was interrupted is a stranger's then, and stays.
        let pruned = prune(&view, &[], observed, &Interrupted::default());
        (pruned.kept.is_empty() && pruned.veto.is_none()).then_some(pruned.deletions)
    }
}
