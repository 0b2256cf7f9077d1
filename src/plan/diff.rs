//! Should × is → steps, in the order in which they can be taken.

use super::approved::Plan;
use super::change::{Action, Change, Difference, Target};
use super::observed::{BindingKey, Gap, Observed, Seen};
use super::{compare, settings};
use crate::model::{Binding, Destination, Exchange, Policy, Queue, Topology};

/// What it takes to make the broker what the topology says.
///
/// The steps are in the order of [`ORDER`](super::ORDER).
pub fn diff(topology: &Topology, observed: &Observed) -> Plan {
    let exchanges = topology.exchanges().filter_map(|want| exchange(want, observed));
    let policies = topology.policies().filter_map(|want| policy(want, observed));
    let queues = topology.queues().filter_map(|want| queue(want, observed));
    let bindings = topology.bindings().filter_map(|want| binding(want, observed));
    let settings = topology.settings().filter_map(|want| settings::setting(want, observed));
    let mut changes: Vec<_> =
        settings.chain(exchanges).chain(policies).chain(queues).chain(bindings).collect();
    changes.sort_by_key(|change| change.target.phase());
    Plan::new(observed.broker.clone(), changes, observed.gap.clone())
}

fn exchange(want: &Exchange, observed: &Observed) -> Option<Change> {
    if want.name.as_str().is_empty() {
        return None;
    }
    let target = Target::Exchange(want.clone());
    let seen = observed.exchanges.get(&(want.vhost.clone(), want.name.clone()));
    match seen {
        None if !want.managed => Some(must_exist(target)),
        _ if !want.managed || want.name.is_reserved() => None,
        None => Some(match &observed.exchange_types {
            Some(types) if !types.contains(&want.kind.0) => Change {
                hint: Some(format!(
                    "enable the plugin that brings `{}` on every node of the broker, or use another type",
                    want.kind
                )),
                ..conflict(target, format!("this broker has no exchange type `{}`", want.kind))
            },
            _ => create(target),
        }),
        Some(Seen::NameOnly) => {
            Some(verify(target, "it exists; whether it is as declared cannot be seen"))
        }
        Some(Seen::Whole(have)) => inequivalent(
            target,
            compare::exchange(want, have),
            compare::exchange_json(have),
            "let the file say what the broker has, or make it anew with its bindings: `--allow-replace`",
        ),
    }
}

pub(super) fn queue(want: &Queue, observed: &Observed) -> Option<Change> {
    let target = Target::Queue(want.clone());
    let seen = observed.queues.get(&(want.vhost.clone(), want.name.clone()));
    match seen {
        None if !want.managed => Some(must_exist(target)),
        _ if !want.managed || want.name.is_reserved() => None,
        None => Some(create(target)),
        Some(Seen::NameOnly) => {
            Some(verify(target, "it exists; whether it is as declared cannot be seen"))
        }
        Some(Seen::Whole(have)) => inequivalent(
            target,
            compare::queue(want, have),
            compare::queue_json(have),
            "let the file say what the broker has, or make it anew with its bindings: `on_conflict: migrate` takes its messages along, `--allow-replace` needs it empty",
        ),
    }
}

fn policy(want: &Policy, observed: &Observed) -> Option<Change> {
    let target = Target::Policy(want.clone());
    let Some(policies) = &observed.policies else {
        return Some(match &observed.gap {
            Some(Gap { reason, hint, .. }) => Change {
                hint: Some(hint.clone()),
                ..conflict(target, format!("policies can be neither seen nor set: {reason}"))
            },
            None => conflict(target, "policies can be neither seen nor set".into()),
        });
    };
    let Some(have) = policies.get(&(want.vhost.clone(), want.name.clone())) else {
        return Some(if want.managed { create(target) } else { must_exist(target) });
    };
    if !want.managed {
        return None;
    }
    let differences = compare::policy(want, have);
    if differences.is_empty() {
        return None;
    }
    Some(Change {
        action: Action::Update,
        before: Some(compare::policy_json(have)),
        ..differing(target, differences)
    })
}

fn binding(want: &Binding, observed: &Observed) -> Option<Change> {
    // Every queue is bound to the default exchange by its name, always.
    if want.source.as_str().is_empty() {
        return None;
    }
    let target = Target::Binding(want.clone());
    match &observed.bindings {
        Some(bindings) if bindings.contains(&BindingKey::from(want)) => None,
        Some(_) if !want.managed => Some(must_exist(target)),
        // To bind would create it.
        None if !want.managed => None,
        None if both_ends_exist(want, observed) => {
            Some(verify(target, "whether it exists cannot be seen"))
        }
        Some(_) | None => Some(create(target)),
    }
}

fn both_ends_exist(binding: &Binding, observed: &Observed) -> bool {
    let exchange = |name| observed.exchanges.contains_key(&(binding.vhost.clone(), name));
    exchange(binding.source.clone())
        && match &binding.destination {
            Destination::Exchange(name) => exchange(name.clone()),
            Destination::Queue(name) => {
                observed.queues.contains_key(&(binding.vhost.clone(), name.clone()))
            }
        }
}

pub(super) fn step(action: Action, target: Target, reason: String) -> Change {
    let after = compare::wanted(&target);
    Change { action, target, reason, hint: None, differences: Vec::new(), before: None, after }
}

pub(super) fn create(target: Target) -> Change {
    step(Action::Create, target, "it is not on the broker".into())
}

fn verify(target: Target, reason: &str) -> Change {
    step(Action::Verify, target, reason.into())
}

pub(super) fn conflict(target: Target, reason: String) -> Change {
    step(Action::Conflict, target, reason)
}

pub(super) fn must_exist(target: Target) -> Change {
    let reason = "it is `manage: false` and not on the broker".to_owned();
    let hint =
        format!("whoever owns this {} must create it first", target.kind().replace('_', " "));
    Change { hint: Some(hint), ..conflict(target, reason) }
}

pub(super) fn differing(target: Target, differences: Vec<Difference>) -> Change {
    let reason = differences
        .iter()
        .map(|difference| difference.in_words("the files"))
        .collect::<Vec<_>>()
        .join("; ");
    Change { differences, ..step(Action::Conflict, target, reason) }
}

fn inequivalent(
    target: Target,
    differences: Vec<Difference>,
    before: serde_json::Value,
    hint: &str,
) -> Option<Change> {
    if differences.is_empty() {
        return None;
    }
    Some(Change { hint: Some(hint.into()), before: Some(before), ..differing(target, differences) })
}
