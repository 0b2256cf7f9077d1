//! What runs × what should run → what happens to each consumer.

use std::collections::BTreeMap;

use crate::model::{ConsumerName, ConsumerSpec, Fleet};

/// What happens to one consumer on a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FleetChange<'a> {
    /// It is new.
    Start(&'a ConsumerSpec),
    /// Its processes are to run something else.
    Replace(&'a ConsumerSpec),
    /// Only what its processes do not depend on differs, such as their number.
    Resize(&'a ConsumerSpec),
    /// Nothing differs: its processes are not touched.
    Keep(&'a ConsumerSpec),
    /// It is gone.
    Stop(ConsumerName),
}

/// One change for each consumer that runs or should, in the order of their names; stops last, so
/// that what is new is there before anything goes.
pub fn fleet_changes<'a>(
    running: &BTreeMap<ConsumerName, ConsumerSpec>,
    new: &'a Fleet,
) -> Vec<FleetChange<'a>> {
    let come = new.consumers().map(|spec| match running.get(&spec.name) {
        None => FleetChange::Start(spec),
        Some(before) if before == spec => FleetChange::Keep(spec),
        Some(before) => {
            let resized = ConsumerSpec {
                workers: spec.workers,
                pool: spec.pool.clone(),
                recycle: spec.recycle,
                rollout: spec.rollout.clone(),
                ..before.clone()
            };
            if resized == *spec { FleetChange::Resize(spec) } else { FleetChange::Replace(spec) }
        }
    });
    let gone = running.keys().filter(|name| new.get(name).is_none());
    come.chain(gone.map(|name| FleetChange::Stop(name.clone()))).collect()
}
