//! What is × what should be → ordered changes with reasons. Pure.
//!
//! [`diff()`] compares a [`Topology`](crate::model::Topology) with what was [`Observed`] and gives a
//! [`Plan`]. A plan without a conflict becomes [`Approved`], which leaves no choice to whoever
//! performs it; what came of it is an [`ApplyReport`].
//!
//! [`plan()`] does the same for a stack that owns something: what its [`Ledger`] has and no file
//! declares any more is deleted where that was agreed to and hurts nobody, and what another stack
//! owns is a conflict. Nothing that is not in the stack's ledger is ever deleted.

mod additions;
mod approved;
mod change;
mod compare;
mod deletion;
mod diff;
mod drift;
mod effects;
mod errands;
mod fleet;
mod hold_vhosts;
mod interrupted;
mod json;
mod ledger;
mod migration;
mod observed;
mod owned;
mod prune;
mod removals;
mod renewals;
mod replace;
mod report;
mod saved;
mod settings;
mod text;
mod touched;

#[cfg(test)]
mod additions_tests;
#[cfg(test)]
mod bindings_tests;
#[cfg(test)]
mod convergence_tests;
#[cfg(test)]
mod errands_tests;
#[cfg(test)]
mod memory_tests;
#[cfg(test)]
mod ownership_tests;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod removals_tests;
#[cfg(test)]
mod renewals_tests;
#[cfg(test)]
mod settings_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod touched_tests;

pub use additions::{Additions, Revision};
pub use approved::{Approved, Plan, Refused, Summary};
pub use change::{Action, Change, Difference, ORDER, PHASES, Target};
pub use compare::{exchange_is_as_declared, queue_is_as_declared};
pub use diff::diff;
pub use drift::Drift;
pub use effects::expected_policies;
pub use errands::{Errand, errands};
pub use fleet::{FleetChange, fleet_changes};
pub use ledger::{Ledger, LedgerFault, LedgerRecord, Owner, Ownership, ResourceId};
pub use migration::{
    MigrationSight, MigrationStep, Scaffold, ShadowNames, from_another, next_step, plain_binding,
    redirect,
};
pub use observed::{
    BindingKey, BrokerIdentity, Gap, Observed, ObservedExchange, ObservedPolicy, ObservedQueue,
    ObservedSetting, Seen, Subject, Unseen, Usage,
};
pub use owned::{Consent, Kept, Veto, plan};
pub use removals::Removals;
pub use renewals::Renewals;
pub use replace::can_migrate;
pub use report::{ApplyReport, Failure, Remaining};
pub use saved::{SavedFault, SavedPlan};
pub use text::{Style, render, render_drift, render_report};
pub use touched::{Place, Touched};
