//! From any topology to any other, by a stack that owns what it made, past what strangers have.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::memory_tests::{build, perform, topology, vhost};
use super::ownership_tests::{FORCE, World, stack};
use super::properties::some_topology;
use super::*;
use crate::model::{
    Binding, Destination, Exchange, ExchangeName, GlobalParameter, ParameterName, Policy,
    PolicyName, Queue, QueueName, Setting, Topology, TopologyParts, User, UserName,
};

/// Every object of a broker.
fn objects(observed: &Observed) -> BTreeSet<ResourceId> {
    let exchanges =
        observed.exchanges.keys().map(|(v, n)| ResourceId::Exchange(v.clone(), n.clone()));
    let queues = observed.queues.keys().map(|(v, n)| ResourceId::Queue(v.clone(), n.clone()));
    let policies = observed
        .policies
        .iter()
        .flatten()
        .map(|((v, n), _)| ResourceId::Policy(v.clone(), n.clone()));
    let bindings = observed.bindings.iter().flatten().cloned().map(ResourceId::Binding);
    let settings = observed.settings.keys().cloned().map(ResourceId::Setting);
    exchanges.chain(queues).chain(policies).chain(bindings).chain(settings).collect()
}

proptest! {
    /// Apply A, apply B with prune: the broker is B, the plan for B is empty, and what a stranger
    /// had is as it was.
    #[test]
    fn from_one_topology_to_another(a in some_topology(), b in some_topology(), stranger in some_topology()) {
        let mut world = World::new();
        // The stranger's names are others; its bindings may lead from and to ours.
        let theirs = renamed(&stranger);
        build(&mut world.observed, &theirs);
        let before = world.observed.clone();
        world.apply(&a, FORCE);
        world.apply(&b, FORCE);
        let again = world.plan(&b, FORCE);
        prop_assert!(again.kept().is_empty());
        prop_assert!(again.changes().iter().all(|change| change.action == Action::Conflict));
        let gone: Vec<_> = objects(&before).difference(&objects(&world.observed)).cloned().collect();
        prop_assert!(gone.is_empty(), "{:?} is gone", gone);
        // That they are as declared, but for conflicts, the empty plan says.
        let mut expected = before.clone();
        build(&mut expected, &b);
        prop_assert_eq!(objects(&world.observed), objects(&expected));
        // And all that is left to own is B.
        prop_assert_eq!(&world.ownership.own, &Ledger::of(&b));
    }

    /// A kill after any number of steps, and a rerun, come to the same.
    #[test]
    fn an_interrupted_apply_converges(a in some_topology(), b in some_topology(), cut in 0..40_usize) {
        let mut world = World::new();
        world.apply(&a, FORCE);
        let plan = world.plan(&b, FORCE).without(|change| change.action == Action::Conflict);
        world.ownership.own = plan.ledger_claims().clone();
        let some = plan.changes().iter().take(cut).cloned().collect::<Vec<_>>();
        perform(&mut world.observed, &plan.without(|change| !some.contains(change)));
        world.apply(&b, FORCE);
        let mut straight = World::new();
        straight.apply(&a, FORCE);
        straight.apply(&b, FORCE);
        prop_assert_eq!(world.observed, straight.observed);
        prop_assert_eq!(world.ownership, straight.ownership);
    }

    /// Whatever a ledger holds comes back from its JSON.
    #[test]
    fn a_ledger_comes_back(topology in some_topology()) {
        let record = LedgerRecord { stack: stack("s"), home: vhost(), ledger: Ledger::of(&topology) };
        prop_assert_eq!(LedgerRecord::from_json(&record.to_json()), Ok(record));
    }
}

/// What of it is in the home vhost or belongs to the whole cluster, under names that no other
/// generated topology has.
fn renamed(of: &Topology) -> Topology {
    let theirs = |name: &dyn std::fmt::Display| format!("their {name}");
    let exchange_name = |name: &ExchangeName| ExchangeName::new(theirs(name)).expect("a name");
    let queue_name = |name: &QueueName| QueueName::new(theirs(name)).expect("a name");
    let policy_name = |name: &PolicyName| PolicyName::new(theirs(name)).expect("a name");
    let home = vhost();
    let exchanges = of.exchanges().filter(|exchange| exchange.vhost == home);
    let queues = of.queues().filter(|queue| queue.vhost == home);
    let policies = of.policies().filter(|policy| policy.vhost == home);
    let bindings = of.bindings().filter(|binding| binding.vhost == home);
    let settings = of.settings().filter_map(|setting| match setting.clone() {
        Setting::User(it) => {
            let name = UserName::new(theirs(&it.name)).expect("a name");
            Some(Setting::User(User { name, ..it }))
        }
        Setting::OperatorPolicy(it) if it.vhost == home => {
            Some(Setting::OperatorPolicy(Policy { name: policy_name(&it.name), ..it }))
        }
        Setting::GlobalParameter(it) => {
            let name = ParameterName::new(theirs(&it.name)).expect("a name");
            Some(Setting::GlobalParameter(GlobalParameter { name, ..it }))
        }
        _ => None,
    });
    topology(TopologyParts {
        settings: settings.collect(),
        exchanges: exchanges
            .map(|e| Exchange { name: exchange_name(&e.name), ..e.clone() })
            .collect(),
        queues: queues.map(|q| Queue { name: queue_name(&q.name), ..q.clone() }).collect(),
        bindings: bindings
            .map(|b| Binding {
                source: exchange_name(&b.source),
                destination: match &b.destination {
                    Destination::Exchange(name) => Destination::Exchange(exchange_name(name)),
                    Destination::Queue(name) => Destination::Queue(queue_name(name)),
                },
                ..b.clone()
            })
            .collect(),
        policies: policies.map(|p| Policy { name: policy_name(&p.name), ..p.clone() }).collect(),
    })
}
