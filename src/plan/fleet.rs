//! Old fleet × new fleet → what happens to each consumer.

use crate::model::{ConsumerName, ConsumerSpec, Fleet};

/// What happens to one consumer on a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FleetChange<'a> {
    /// It is new.
    Start(&'a ConsumerSpec),
    /// Its processes run something else now.
    Replace(&'a ConsumerSpec),
    /// Only the number of its processes differs.
    Resize(&'a ConsumerSpec),
    /// Nothing differs: its processes are not touched.
    Keep(&'a ConsumerSpec),
    /// It is gone.
    Stop(&'a ConsumerName),
}

/// One change for each consumer of either fleet, in the order of their names; stops last, so that
/// what is new is there before anything goes.
pub fn fleet_changes<'a>(old: &'a Fleet, new: &'a Fleet) -> Vec<FleetChange<'a>> {
    let come = new.consumers().map(|spec| match old.get(&spec.name) {
        None => FleetChange::Start(spec),
        Some(before) if before == spec => FleetChange::Keep(spec),
        Some(before) => {
            let resized = ConsumerSpec { workers: spec.workers, ..before.clone() };
            if resized == *spec { FleetChange::Resize(spec) } else { FleetChange::Replace(spec) }
        }
    });
    let gone = old.consumers().filter(|spec| new.get(&spec.name).is_none());
    come.chain(gone.map(|spec| FleetChange::Stop(&spec.name))).collect()
}
