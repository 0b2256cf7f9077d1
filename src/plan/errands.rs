//! Which steps need not wait for the others of an earlier phase.
//!
//! Phases keep the order of kinds, and between two of them the broker has nothing to do until the
//! slowest step is done. Most bindings need only their queue and their exchange.

use std::collections::{BTreeMap, BTreeSet};

use super::change::{Action, Change, Target};
use crate::model::{Binding, Destination, PolicyIndex, Queue, QueueName, Topology, VhostName};

/// Bindings that may follow one queue: what is many is done faster by many channels.
const FOLLOWERS: usize = 8;

/// A step, and what can be done as soon as it is done.
#[derive(Debug)]
pub struct Errand<'a> {
    /// What is done first.
    pub step: &'a Change,
    /// What comes right after it, one by one; without it, none of them is tried.
    pub then: Vec<&'a Change>,
}

impl<'a> Errand<'a> {
    /// A step that nothing hangs on.
    pub fn alone(step: &'a Change) -> Self {
        Self { step, then: Vec::new() }
    }
}

/// Has the bindings of new queues follow their queues. Of all others it makes errands of their own,
/// in their order.
///
/// A queue has no more than eight followers. The bindings of a queue that a policy of the files
/// matches wait: the policy has to be seen to hold before a message can come. So do those of a
/// queue that sends to a dead-letter exchange, for whoever picks up there may not be bound yet.
pub fn errands<'a>(
    steps: impl IntoIterator<Item = &'a Change>,
    topology: &Topology,
) -> Vec<Errand<'a>> {
    let steps: Vec<&Change> = steps.into_iter().collect();
    let policies = PolicyIndex::new(topology.policies());
    let waits_for_nothing =
        |queue: &Queue| queue.dead_letter().is_none() && policies.matching(queue).next().is_none();
    let ready: BTreeSet<(&VhostName, &QueueName)> = steps
        .iter()
        .filter_map(|step| step.creates_queue())
        .filter(|queue| waits_for_nothing(queue))
        .map(|queue| (&queue.vhost, &queue.name))
        .collect();
    let mut followers: BTreeMap<_, Vec<&Change>> = BTreeMap::new();
    let mut errands = Vec::new();
    for step in steps {
        let queue = new_binding_to_queue(step).filter(|queue| ready.contains(queue));
        match queue.map(|queue| followers.entry(queue).or_default()) {
            Some(followers) if followers.len() < FOLLOWERS => followers.push(step),
            _ => errands.push(Errand::alone(step)),
        }
    }
    for errand in &mut errands {
        if let Some(queue) = errand.step.creates_queue() {
            errand.then = followers.remove(&(&queue.vhost, &queue.name)).unwrap_or_default();
        }
    }
    errands
}

/// The queue that this binds to something.
fn new_binding_to_queue(change: &Change) -> Option<(&VhostName, &QueueName)> {
    match &change.target {
        Target::Binding(Binding { vhost, destination: Destination::Queue(queue), .. })
            if change.action == Action::Create =>
        {
            Some((vhost, queue))
        }
        _ => None,
    }
}
