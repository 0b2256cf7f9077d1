//! Which policies hold for which queues, and where one that nobody here declares has it otherwise.

use std::collections::{BTreeMap, BTreeSet};

use super::observed::{Observed, ObservedPolicy};
use crate::model::{
    ApplyTo, OnRemove, Origin, PatternFault, Policy, PolicyIndex, PolicyName, Queue, Setting,
    Topology, VhostName,
};

/// Policies as a broker has them.
type Policies = BTreeMap<(VhostName, PolicyName), ObservedPolicy>;

/// The policies of a broker in our words. One that applies to something unknown is left out.
fn in_our_words(policies: &Policies) -> Vec<Policy> {
    let policy = |((vhost, name), seen): (&(VhostName, PolicyName), &ObservedPolicy)| {
        Some(Policy {
            vhost: vhost.clone(),
            name: name.clone(),
            pattern: seen.pattern.clone(),
            apply_to: ApplyTo::ALL.into_iter().find(|known| known.as_str() == seen.apply_to)?,
            priority: seen.priority,
            definition: seen.definition.clone(),
            managed: false,
            on_remove: OnRemove::Delete,
            origin: Origin::default(),
        })
    };
    policies.iter().filter_map(policy).collect()
}

/// What should hold for each of some queues, of the policies that a broker has: the one of the
/// highest priority, or any of several equals. A queue is left out where nobody here can tell.
pub fn expected_policies<'q>(
    queues: impl IntoIterator<Item = &'q Queue>,
    policies: &Policies,
) -> Vec<(&'q Queue, BTreeSet<PolicyName>)> {
    let all = in_our_words(policies);
    let opaque: BTreeSet<&VhostName> = all
        .iter()
        .filter(|policy| policy.check_pattern() == Err(PatternFault::Opaque))
        .map(|policy| &policy.vhost)
        .collect();
    let index = PolicyIndex::new(&all);
    let expected = |queue: &'q Queue| {
        let mut matching = index.matching(queue).peekable();
        let highest = matching.peek().map(|policy| policy.priority);
        let first = matching.take_while(|policy| Some(policy.priority) == highest);
        (queue, first.map(|policy| policy.name.clone()).collect())
    };
    queues.into_iter().filter(|queue| !opaque.contains(&queue.vhost)).map(expected).collect()
}

/// What somebody should know who relies on declared policies: those that another policy, which the
/// files do not declare, keeps from holding.
pub(super) fn hidden_policies(topology: &Topology, observed: &Observed) -> Vec<String> {
    let Some(policies) = &observed.policies else { return Vec::new() };
    let strange: Policies = policies
        .iter()
        .filter(|((vhost, name), _)| topology.policy(vhost, name).is_none())
        .map(|(name, policy)| (name.clone(), policy.clone()))
        .collect();
    if strange.is_empty() || topology.policies().len() == 0 {
        return Vec::new();
    }
    let strange = in_our_words(&strange);
    let (strange, declared) = (PolicyIndex::new(&strange), PolicyIndex::new(topology.policies()));
    let mut hidden: BTreeMap<_, (bool, Vec<&Queue>)> = BTreeMap::new();
    for queue in topology.queues() {
        let (Some(theirs), Some(ours)) =
            (strange.matching(queue).next(), declared.matching(queue).next())
        else {
            continue;
        };
        if theirs.priority >= ours.priority {
            let entry = hidden.entry((&queue.vhost, &theirs.name, &ours.name)).or_default();
            entry.0 = theirs.priority == ours.priority;
            entry.1.push(queue);
        }
    }
    let note = |((_, theirs, ours), (equal, queues)): ((_, _, _), (bool, Vec<&Queue>))| {
        let first = queues.first().map(|queue| queue.name.to_string()).unwrap_or_default();
        let more = match queues.len() {
            1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        let may = if equal { "has the same priority as" } else { "holds in place of" };
        format!(
            "policy {theirs}, which the files do not declare, {may} policy {ours} for queue {first}{more}"
        )
    };
    hidden.into_iter().map(note).collect()
}

/// The default queue types of vhosts that this broker does not tell, so that nobody can see whether
/// they are as declared.
pub(super) fn untold_queue_types(topology: &Topology, observed: &Observed) -> Option<String> {
    if observed.tells_default_queue_type() {
        return None;
    }
    let declares = |setting: &&Setting| matches!(setting, Setting::Vhost(vhost) if vhost.managed && vhost.default_queue_type.is_some());
    let names: Vec<_> =
        topology.settings().filter(declares).map(|it| format!("`{}`", it.id())).collect();
    (!names.is_empty()).then(|| {
        format!(
            "whether the default queue type of vhost {} is as declared cannot be seen: RabbitMQ {} does not tell it, 3.12 and later do",
            names.join(", "),
            observed.broker.version.as_deref().unwrap_or_default()
        )
    })
}
