//! A plan in the light of who owns what.

use std::collections::BTreeMap;

use super::approved::Plan;
use super::change::{Action, Change};
use super::diff::diff;
use super::effects;
use super::interrupted::Interrupted;
use super::ledger::{Ledger, Owner, Ownership, ResourceId};
use super::observed::Observed;
use super::prune::{View, prune};
use super::replace::resolve;
use super::report::Failure;
use crate::model::{OnRemove, StackName, Topology};

/// What a person has agreed to beyond creating and updating.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Consent {
    /// Delete what the stack owns and the files no longer declare.
    pub prune: bool,
    /// Delete also what is in use, and much at once.
    pub force: bool,
    /// Make anew what differs and cannot be changed, where it is empty and unused.
    pub replace: bool,
}

/// Something owned that no file declares any more and that stays nevertheless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// What.
    pub id: ResourceId,
    /// Why: a lowercase fragment.
    pub reason: String,
    /// The mend, where there is one.
    pub hint: Option<String>,
}

/// Why a plan is refused as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Veto {
    /// What is wrong: a lowercase fragment.
    pub reason: String,
    /// The mend.
    pub hint: String,
}

/// The ledger of a stack before, during and after a plan is performed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Books {
    before: Ledger,
    /// Before the first step: what it had, and what the files want. What comes into being is owned
    /// from the start, whatever becomes of this program.
    claims: Ledger,
    after: Ledger,
    /// What is deleted as a part of something that is owned, and of what.
    parts: BTreeMap<ResourceId, ResourceId>,
}

/// What it takes to make the broker what the topology says, by a stack that owns what its ledger
/// says: [`diff`], a conflict for whatever another stack owns, and the deletions last.
pub fn plan(
    topology: &Topology,
    observed: &Observed,
    ownership: &Ownership,
    consent: Consent,
) -> Plan {
    let interrupted = Interrupted::find(topology, observed, ownership);
    let whole = interrupted.whole(observed);
    let mut plan = diff(topology, &whole);
    let declared = Ledger::of(topology);
    refuse_foreign(&mut plan.changes, topology, ownership);
    resolve(&mut plan.changes, topology, &whole, &interrupted, consent);
    plan.changes.sort_by_key(|change| change.target.phase());
    let view = View { topology, observed: &whole, ownership, consent };
    let pruned = prune(&view, &plan.changes, observed, &interrupted);
    plan.changes.extend(pruned.deletions);
    plan.books = books(declared, &ownership.own, &pruned.surviving);
    plan.books.parts = pruned.parts;
    plan.kept = pruned.kept;
    plan.veto = pruned.veto;
    plan.consent = consent;
    plan.notes = effects::hidden_policies(topology, observed);
    plan.notes.extend(effects::untold_queue_types(topology, observed));
    plan.home.clone_from(&observed.home);
    plan.ownership = Some(Box::new(ownership.clone()));
    plan
}

/// What survives stays owned, but for what is deleted if all goes well.
fn books(declared: Ledger, own: &Ledger, surviving: &[(ResourceId, bool)]) -> Books {
    let mut claims = own.clone();
    for (id, on_remove) in declared.iter() {
        claims.claim(id.clone(), on_remove);
    }
    let mut after = declared;
    for (id, deleted) in surviving {
        if !deleted {
            after.claim(id.clone(), own.on_remove(id).unwrap_or(OnRemove::Delete));
        }
    }
    Books { before: own.clone(), claims, after, parts: BTreeMap::new() }
}

impl Plan {
    /// The ledger as it should be before anything is done.
    pub fn ledger_claims(&self) -> &Ledger {
        &self.books.claims
    }

    /// The ledger as it was when the plan was made.
    pub fn ledger_before(&self) -> &Ledger {
        &self.books.before
    }

    /// The ledger as it should be when all is done that could be. What was not created is not
    /// owned unless it was before, what was not deleted still is, as the whole that it is a part of.
    pub fn ledger_after(&self, failed: &[Failure]) -> Ledger {
        let mut after = self.books.after.clone();
        for Failure { change, .. } in failed {
            let id = ResourceId::from(&change.target);
            match change.action {
                Action::Delete => {
                    let whole = self.books.parts.get(&id).unwrap_or(&id);
                    after.claim(whole.clone(), OnRemove::Delete);
                }
                _ if self.books.before.contains(&id) => {}
                _ => after.release(&id),
            }
        }
        after
    }

    /// The plan that another look at the broker leads to, by the same stack with the same consent.
    /// Deletions are in it only where this one had them.
    #[must_use]
    pub fn again(&self, topology: &Topology, observed: &Observed) -> Self {
        let Some(ownership) = &self.ownership else { return diff(topology, observed) };
        let mut plan = plan(topology, observed, ownership, self.consent).without(|change| {
            change.action == Action::Delete
                && !self.changes.iter().any(|planned| planned.target == change.target)
        });
        plan.home.clone_from(&self.home);
        plan
    }
}

/// Makes a conflict of everything declared that another stack owns.
fn refuse_foreign(changes: &mut Vec<Change>, topology: &Topology, ownership: &Ownership) {
    if ownership.others.is_empty() {
        return;
    }
    let mut conflicts = Vec::new();
    for target in super::change::targets(topology) {
        let id = ResourceId::from(&target);
        let owner = ownership.others.get(&id);
        let Some(owner) = owner.filter(|_| target.managed() && !id.is_reserved()) else {
            continue;
        };
        changes.retain(|change| ResourceId::from(&change.target) != id);
        let reason = belongs(owner, &ownership.stack);
        conflicts.push(Change { hint: Some(mend(owner)), ..super::diff::conflict(target, reason) });
    }
    changes.extend(conflicts);
}

fn belongs(owner: &Owner, stack: &StackName) -> String {
    if owner.stack == *stack {
        return format!("stack `{stack}` of vhost `{}` owns it, this one is another", owner.home);
    }
    format!("stack `{}` owns it, so stack `{stack}` cannot", owner.stack)
}

fn mend(owner: &Owner) -> String {
    let Owner { stack, parameter, .. } = owner;
    format!(
        "write `manage: false` here, or let go of it in `{stack}` with `on_remove: retain`; if `{stack}` is no more, forget what it owned: `rabbitmqctl clear_global_parameter {parameter}`"
    )
}
