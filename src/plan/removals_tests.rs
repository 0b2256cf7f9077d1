//! What can be deleted without a look at all the rest, and that a plan comes to the same.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::additions_tests::{Edit, fewer};
use super::memory_tests::{arguments, binding, exchange, policy, queue, topology, vhost};
use super::ownership_tests::{World, stack};
use super::properties::some_topology;
use super::*;
use crate::model::{
    Destination, Exchange, OnRemove, QueueName, QueueType, Topology, TopologyParts,
};

fn whole() -> TopologyParts {
    TopologyParts {
        exchanges: vec![exchange("orders", "topic"), exchange("old", "fanout")],
        queues: vec![queue("billing", QueueType::Classic), queue("legacy", QueueType::Quorum)],
        bindings: vec![binding("orders", "billing", "a"), binding("orders", "legacy", "b")],
        policies: vec![policy("ttl", arguments([("message-ttl", 1.into())]))],
        ..TopologyParts::default()
    }
}

fn without_legacy() -> TopologyParts {
    let mut parts = whole();
    parts.queues.truncate(1);
    parts.bindings.truncate(1);
    parts
}

/// A broker that is as [`whole`] says, after something was done to it.
fn world(change: impl FnOnce(&mut World)) -> World {
    let mut world = World::new();
    world.apply(&topology(whole()), Consent::default());
    change(&mut world);
    world
}

/// What goes of it in place of [`without_legacy`].
fn gone(world: &World) -> Option<String> {
    let (before, after) = (topology(whole()), topology(without_legacy()));
    let removals = Removals::between(&before, &after)?;
    let seen = sight(&world.observed, &removals);
    let others = world.ownership.others.clone();
    let deletions = Removals::deletions(&before, &after, &seen, &stack("shop"), others)?;
    let names = deletions.iter().map(|change| ResourceId::from(&change.target).to_string());
    Some(names.collect::<Vec<_>>().join(", "))
}

/// What a look at the removals alone would see of a broker.
fn sight(observed: &Observed, removals: &Removals) -> Observed {
    let gone = removals.gone();
    let exchanges: BTreeSet<_> =
        gone.exchanges.iter().map(|one| (one.vhost.clone(), one.name.clone())).collect();
    let queues: BTreeSet<_> =
        gone.queues.iter().map(|one| (one.vhost.clone(), one.name.clone())).collect();
    let ends: BTreeSet<_> = gone
        .bindings
        .iter()
        .map(|binding| (binding.vhost.clone(), binding.destination.clone()))
        .collect();
    let mut seen = Observed {
        exchanges: observed.exchanges.clone(),
        queues: observed.queues.clone(),
        policies: observed.policies.clone(),
        usage: observed.usage.clone(),
        illegible: observed.illegible.clone(),
        bindings: Some(BTreeSet::new()),
        ..Observed::default()
    };
    let hangs_on_it = |key: &&BindingKey| {
        let vhost = key.vhost().clone();
        let to = match key.destination() {
            Destination::Exchange(name) => exchanges.contains(&(vhost.clone(), name.clone())),
            Destination::Queue(name) => queues.contains(&(vhost.clone(), name.clone())),
        };
        to || exchanges.contains(&(vhost.clone(), key.source().clone()))
            || ends.contains(&(vhost, key.destination().clone()))
    };
    let all = || observed.bindings.iter().flatten();
    let mut bindings: BTreeSet<BindingKey> = all().filter(hangs_on_it).cloned().collect();
    let sources: BTreeSet<_> =
        bindings.iter().map(|key| (key.vhost().clone(), key.source().clone())).collect();
    seen.queues.retain(|name, _| queues.contains(name));
    seen.usage.retain(|name, _| queues.contains(name));
    seen.exchanges.retain(|name, _| exchanges.contains(name) || sources.contains(name));
    let fragile = |key: &&BindingKey| {
        let source = (key.vhost().clone(), key.source().clone());
        seen.exchanges.get(&source).is_some_and(Seen::is_auto_delete)
    };
    bindings.extend(all().filter(fragile).cloned());
    seen.bindings = Some(bindings);
    seen
}

#[test]
fn what_is_gone_alone_is_deleted() {
    let gone = gone(&world(|_| {}));
    assert_eq!(gone.as_deref(), Some("binding orders → legacy (key b), queue legacy"));
}

#[test]
fn where_a_plan_would_keep_something_nothing_goes() {
    let legacy = || (vhost(), QueueName::new("legacy").unwrap());
    let used = |usage| {
        world(|world| {
            world.observed.usage.insert(legacy(), usage);
        })
    };
    assert_eq!(gone(&used(Usage { messages: 1, consumers: 0 })), None, "it holds a message");
    assert_eq!(gone(&used(Usage { messages: 0, consumers: 1 })), None, "it is consumed");
    let bound = world(|world| {
        let stranger = BindingKey::from(&binding("amq.topic", "legacy", "c"));
        world.observed.bindings.get_or_insert_default().insert(stranger);
    });
    assert_eq!(gone(&bound), None, "somebody else has bound it");
    let taken = world(|world| {
        let home = vhost();
        let owner = Owner { stack: stack("other"), home, parameter: "warrener.other".into() };
        let (vhost, name) = legacy();
        world.ownership.others.insert(ResourceId::Queue(vhost, name), owner);
    });
    assert_eq!(gone(&taken), None, "another stack owns it too");
    let illegible = world(|world| {
        let (vhost, name) = legacy();
        world.observed.illegible.insert(ResourceId::Queue(vhost, name));
    });
    assert_eq!(gone(&illegible), None, "it has a binding that cannot be told");
    let deleted = world(|world| {
        world.observed.queues.remove(&legacy());
        world.observed.bindings.get_or_insert_default().retain(|key| key.about() != " (key b)");
    });
    assert_eq!(gone(&deleted).as_deref(), Some(""), "somebody was faster");
}

#[test]
fn whatever_else_differs_takes_a_look() {
    let changes: [(&str, Edit); 4] = [
        ("something is new", &|parts| parts.queues.push(queue("new", QueueType::Classic))),
        ("something differs", &|parts| parts.queues[0].durable = false),
        ("what becomes of another", &|parts| parts.queues[0].on_remove = OnRemove::Retain),
        ("a policy says something else", &|parts| parts.policies[0].priority = 7),
    ];
    for (what, change) in changes {
        let mut parts = without_legacy();
        change(&mut parts);
        assert_eq!(Removals::between(&topology(whole()), &topology(parts)), None, "{what}");
    }
}

proptest! {
    /// On a broker that is as the first says, but for what others have bound and put there, a plan
    /// for the second comes to the same.
    #[test]
    fn a_plan_comes_to_the_same(
        whole in some_topology(),
        keep in prop::collection::vec(prop::bool::weighted(0.8), 1..20),
        strange in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..3),
        used in prop::collection::vec((any::<prop::sample::Index>(), 0_u64..2), 0..3),
        fragile in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut parts: Vec<Exchange> = whole.exchanges().cloned().collect();
        if let Some(fragile) = fragile.filter(|_| !parts.is_empty()) {
            fragile.get_mut(&mut parts).auto_delete = true;
        }
        let whole = Topology::new(TopologyParts {
            exchanges: parts.clone(),
            queues: whole.queues().cloned().collect(),
            bindings: whole.bindings().cloned().collect(),
            policies: whole.policies().cloned().collect(),
            settings: whole.settings().cloned().collect(),
        });
        let Ok(whole) = whole else { return Ok(()) };
        let Some(after) = fewer(&whole, &keep) else { return Ok(()) };
        let Some(removals) = Removals::between(&whole, &after) else { return Ok(()) };
        let mut world = World::new();
        world.apply(&whole, Consent::default());
        let queues: Vec<_> = world.observed.queues.keys().cloned().collect();
        for (source, to) in strange.iter().filter(|_| !queues.is_empty() && !parts.is_empty()) {
            let (vhost, name) = to.get(&queues).clone();
            let source = source.get(&parts).name.clone();
            let mut key = binding("x", "y", "stranger");
            (key.vhost, key.source, key.destination) = (vhost, source, Destination::Queue(name));
            world.observed.bindings.get_or_insert_default().insert(BindingKey::from(&key));
        }
        for (queue, messages) in used.iter().filter(|_| !queues.is_empty()) {
            let usage = Usage { messages: *messages, consumers: 0 };
            world.observed.usage.insert(queue.get(&queues).clone(), usage);
        }
        let plan = world.plan(&after, Consent { prune: true, ..Consent::default() });
        let wanted = plan.kept().is_empty() && plan.veto().is_none();
        let seen = sight(&world.observed, &removals);
        let deletions = Removals::deletions(&whole, &after, &seen, &stack("shop"), [].into());
        prop_assert_eq!(deletions.as_deref(), wanted.then_some(plan.changes()));
    }
}
