//! What follows what at once, and what waits for its phase.

use super::memory_tests::{
    arguments, binding, empty_broker, exchange, perform, policy, queue, topology,
};
use super::*;
use crate::model::{Destination, ExchangeName, QueueType, TopologyParts};

/// The errands that it takes to come from nothing to some parts, a line each.
fn errands_for(parts: TopologyParts) -> String {
    let topology = topology(parts);
    let plan = diff(&topology, &empty_broker());
    let lines = errands(plan.changes(), &topology).into_iter().map(|errand| {
        let names = std::iter::once(errand.step).chain(errand.then);
        names.map(|change| change.target.name()).collect::<Vec<_>>().join(", then ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn parts() -> TopologyParts {
    let mut onward = binding("orders", "audit", "#");
    onward.destination = Destination::Exchange(ExchangeName::new("audit").expect("a name"));
    TopologyParts {
        exchanges: vec![exchange("audit", "fanout"), exchange("orders", "topic")],
        queues: vec![queue("billing", QueueType::Classic), queue("mail", QueueType::Classic)],
        bindings: vec![
            onward,
            binding("audit", "billing", ""),
            binding("orders", "billing", "paid"),
            binding("orders", "mail", "#"),
        ],
        ..TopologyParts::default()
    }
}

#[test]
fn bindings_of_a_new_queue_follow_it() {
    insta::assert_snapshot!(errands_for(parts()), @"
    audit
    orders
    billing, then audit → billing, then orders → billing
    mail, then orders → mail
    orders → audit
    ");
}

#[test]
fn bindings_of_a_queue_with_a_policy_wait_until_it_was_seen_to_hold() {
    let mut parts = parts();
    let mut limit = policy("limit", arguments([("max-length", 9.into())]));
    limit.pattern = "^mail$".into();
    parts.policies.push(limit);
    insta::assert_snapshot!(errands_for(parts), @"
    audit
    orders
    limit
    billing, then audit → billing, then orders → billing
    mail
    orders → mail
    orders → audit
    ");
}

#[test]
fn bindings_of_a_queue_that_dead_letters_wait_for_whoever_picks_up() {
    let mut parts = parts();
    parts.queues[1].arguments = arguments([("x-dead-letter-exchange", "audit".into())]);
    insta::assert_snapshot!(errands_for(parts), @"
    audit
    orders
    billing, then audit → billing, then orders → billing
    mail
    orders → mail
    orders → audit
    ");
}

#[test]
fn of_many_bindings_only_some_follow() {
    let mut parts = parts();
    parts.bindings = (0..20).map(|key| binding("orders", "mail", &key.to_string())).collect();
    let topology = topology(parts);
    let plan = diff(&topology, &empty_broker());
    let errands = errands(plan.changes(), &topology);
    let following: usize = errands.iter().map(|errand| errand.then.len()).sum();
    assert_eq!((errands.len(), following), (2 + 2 + 12, 8));
}

#[test]
fn a_binding_of_a_queue_that_is_there_stands_alone() {
    let (before, mut after) = (topology(parts()), parts());
    after.bindings.push(binding("orders", "mail", "late"));
    let after = topology(after);
    let mut observed = empty_broker();
    perform(&mut observed, &diff(&before, &empty_broker()));
    let more = diff(&after, &observed);
    let errands = errands(more.changes(), &after);
    assert_eq!(errands.len(), 1);
    assert!(errands[0].then.is_empty());
}
