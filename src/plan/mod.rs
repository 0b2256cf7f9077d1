//! What is × what should be → ordered changes with reasons. Pure.
//!
//! [`diff()`] compares a [`Topology`](crate::model::Topology) with what was [`Observed`] and gives a
//! [`Plan`]. A plan without a conflict becomes [`Approved`], which leaves no choice to whoever
//! performs it; what came of it is an [`ApplyReport`]. Nothing here ever plans to delete.

mod approved;
mod change;
mod compare;
mod diff;
mod fleet;
mod json;
mod observed;
mod report;
mod text;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

pub use approved::{Approved, Plan, Refused, Summary};
pub use change::{Action, Change, Difference, Target};
pub use diff::diff;
pub use fleet::{FleetChange, fleet_changes};
pub use observed::{
    BindingKey, BrokerIdentity, Gap, Observed, ObservedExchange, ObservedPolicy, ObservedQueue,
    Seen, Subject,
};
pub use report::{ApplyReport, Failure, Remaining};
pub use text::{Style, render, render_report};
