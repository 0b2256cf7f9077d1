//! What can be brought about without a look, and that a plan comes to the same.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::additions::Additions;
use super::memory_tests::{arguments, binding, exchange, policy, queue, topology};
use super::ownership_tests::{World, stack};
use super::properties::some_topology;
use super::*;
use crate::model::{
    Binding, Exchange, OnRemove, Policy, Queue, QueueType, Topology, TopologyParts, VhostName,
};

fn parts() -> TopologyParts {
    TopologyParts {
        exchanges: vec![exchange("orders", "topic")],
        queues: vec![queue("billing", QueueType::Classic)],
        bindings: vec![binding("orders", "billing", "a")],
        policies: vec![policy("ttl", arguments([("message-ttl", serde_json::json!(1))]))],
        ..TopologyParts::default()
    }
}

/// Something that a person does to a file.
pub(super) type Edit<'a> = &'a dyn Fn(&mut TopologyParts);

/// What there is between [`parts`] and what a change makes of them.
fn after(change: impl FnOnce(&mut TopologyParts)) -> Option<String> {
    let mut changed = parts();
    change(&mut changed);
    let additions = Additions::between(&topology(parts()), &topology(changed))?;
    let Additions { exchanges, queues, bindings, policies } = &additions;
    let exchanges = exchanges.iter().map(|exchange| exchange.name.to_string());
    let queues = queues.iter().map(|queue| queue.name.to_string());
    let bindings = bindings.iter().map(|binding| binding.routing_key.to_string());
    let policies = policies.iter().map(|revision| {
        let how = if revision.before.is_some() { "again" } else { "new" };
        format!("{}:{how}", revision.after.name)
    });
    Some(exchanges.chain(queues).chain(bindings).chain(policies).collect::<Vec<_>>().join(" "))
}

#[test]
fn what_is_new_alone_is_an_addition() {
    assert_eq!(after(|_| {}).as_deref(), Some(""));
    let one = after(|parts| {
        parts.queues.push(queue("mail", QueueType::Quorum));
        parts.exchanges.push(exchange("mails", "fanout"));
        parts.bindings.push(binding("mails", "mail", "b"));
        parts.bindings.push(binding("orders", "billing", "c"));
    });
    assert_eq!(one.as_deref(), Some("mails mail b c"));
}

#[test]
fn so_is_what_a_policy_says() {
    let two = after(|parts| {
        parts.policies[0].priority = 7;
        parts.policies.push(policy("other", arguments([("max-length", 1.into())])));
        parts.bindings.push(binding("orders", "billing", "c"));
    });
    assert_eq!(two.as_deref(), Some("c other:new ttl:again"));
}

#[test]
fn a_policy_is_set_where_it_is_as_it_was() {
    let seen = |value: i64| ObservedPolicy {
        pattern: ".*".into(),
        apply_to: "queues".into(),
        priority: 0,
        definition: arguments([("message-ttl", value.into())]),
    };
    let after =
        Policy { pattern: ".*".into(), ..policy("ttl", arguments([("message-ttl", 2.into())])) };
    let before = Policy { definition: seen(1).definition, ..after.clone() };
    let changed = Revision { before: Some(before), after: after.clone() };
    assert!(changed.fits(Some(&seen(1))));
    assert!(!changed.fits(Some(&seen(3))), "somebody else has changed it");
    assert!(!changed.fits(None), "it is gone");
    let new = Revision { before: None, after };
    assert!(new.fits(None));
    assert!(!new.fits(Some(&seen(2))), "it is there already");
}

#[test]
fn whatever_else_differs_takes_a_look() {
    let elsewhere = |queue: Queue| Queue { vhost: VhostName::new("other").unwrap(), ..queue };
    let changes: [(&str, Edit); 13] = [
        ("a queue goes", &|parts| {
            parts.queues.clear();
            parts.bindings.clear();
        }),
        ("a binding goes", &|parts| parts.bindings.clear()),
        ("a queue differs", &|parts| parts.queues[0].durable = false),
        ("what becomes of a queue", &|parts| parts.queues[0].on_remove = OnRemove::Retain),
        ("an exchange differs", &|parts| parts.exchanges[0].internal = true),
        ("a policy goes", &|parts| parts.policies.clear()),
        ("what becomes of a policy", &|parts| parts.policies[0].on_remove = OnRemove::Retain),
        ("a policy of somebody else", &|parts| parts.policies[0].managed = false),
        ("a policy and a queue for which it may hold", &|parts| {
            parts.policies[0].priority = 7;
            parts.queues.push(queue("mail", QueueType::Classic));
        }),
        ("a queue of somebody else", &|parts| {
            parts.queues.push(Queue { managed: false, ..queue("mail", QueueType::Classic) });
        }),
        ("an exchange of a plugin", &|parts| {
            parts.exchanges.push(exchange("hash", "x-consistent-hash"));
        }),
        ("a vhost that was not looked at", &|parts| {
            parts.queues.push(elsewhere(queue("mail", QueueType::Classic)));
        }),
        ("many at once", &|parts| {
            let many = (0..100).map(|nth| queue(&format!("mail {nth}"), QueueType::Classic));
            parts.queues.extend(many);
        }),
    ];
    for (what, change) in changes {
        assert_eq!(after(change), None, "{what}");
    }
}

#[test]
fn what_another_stack_owns_is_not_claimed() {
    let additions = Additions {
        queues: vec![queue("mail", QueueType::Classic)],
        bindings: vec![binding("orders", "mail", "b")],
        ..Additions::default()
    };
    let mut ownership = Ownership::nobody(stack("shop"));
    assert_eq!(additions.claimed(&ownership).unwrap().len(), 2);
    let taken = additions.bindings[0].clone();
    let owner = Owner {
        stack: stack("other"),
        home: taken.vhost.clone(),
        parameter: "warrener.other".into(),
    };
    ownership.others.insert(ResourceId::Binding((&taken).into()), owner);
    assert_eq!(additions.claimed(&ownership), None);
}

/// A topology without some of its objects, where what is left fits.
pub(super) fn fewer(whole: &Topology, keep: &[bool]) -> Option<Topology> {
    let mut keep = keep.iter().copied().cycle();
    let mut kept = || keep.next().unwrap_or(true);
    let exchanges: Vec<Exchange> = whole.exchanges().filter(|_| kept()).cloned().collect();
    let queues: Vec<Queue> = whole.queues().filter(|_| kept()).cloned().collect();
    let bindings: Vec<Binding> = whole.bindings().filter(|_| kept()).cloned().collect();
    let policies: Vec<Policy> = whole.policies().filter(|_| kept()).cloned().collect();
    let settings = whole.settings().cloned().collect();
    Topology::new(TopologyParts { exchanges, queues, bindings, policies, settings }).ok()
}

proptest! {
    /// On a broker that is as the first says, a plan for the second creates just that, and claims
    /// just that.
    #[test]
    fn a_plan_comes_to_the_same(
        whole in some_topology(),
        keep in prop::collection::vec(prop::bool::weighted(0.8), 1..20),
    ) {
        let Some(before) = fewer(&whole, &keep) else { return Ok(()) };
        let Some(additions) = Additions::between(&before, &whole) else { return Ok(()) };
        let mut world = World::new();
        world.apply(&before, Consent::default());
        let plan = world.plan(&whole, Consent::default());
        let planned: BTreeSet<ResourceId> =
            plan.changes().iter().map(|change| ResourceId::from(&change.target)).collect();
        let created = |change: &Change| change.action == Action::Create;
        prop_assert!(plan.changes().iter().all(created));
        let exchanges = additions.exchanges.iter().cloned().map(Target::Exchange);
        let queues = additions.queues.iter().cloned().map(Target::Queue);
        let bindings = additions.bindings.iter().cloned().map(Target::Binding);
        let policies =
            additions.policies.iter().map(|revision| Target::Policy(revision.after.clone()));
        let added = exchanges.chain(queues).chain(bindings).chain(policies);
        prop_assert_eq!(planned, added.map(|target| ResourceId::from(&target)).collect());
        let claimed = additions.claimed(&world.ownership);
        prop_assert_eq!(claimed.as_ref(), Some(plan.ledger_claims()));
        prop_assert_eq!(additions.done(), plan.summary());
    }
}
