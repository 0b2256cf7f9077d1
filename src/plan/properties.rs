//! What holds for every topology and every broker.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::memory_tests::{
    arguments, binding, build, empty_broker, exchange, perform, policy, queue, topology, vhost,
};
use super::settings_tests::some_settings;
use super::*;
use crate::model::{
    ApplyTo, Binding, Destination, Exchange, ExchangeName, Policy, Queue, QueueType, Topology,
    TopologyParts, VhostName,
};

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i32>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        "[a-zü %#]{0,4}".prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        Just(json!({"a": [1, 2.5, {"b": {}}]})),
    ]
}

const KINDS: [QueueType; 3] = [QueueType::Classic, QueueType::Quorum, QueueType::Stream];

fn some_exchange(name: String) -> impl Strategy<Value = Exchange> {
    let kind = prop::sample::select(vec!["topic", "direct", "fanout", "headers"]);
    (kind, any::<bool>(), any::<bool>(), value()).prop_map(
        move |(kind, durable, internal, value)| {
            let arguments = arguments([("hash-header", value)]);
            Exchange { durable, internal, arguments, ..exchange(&name, kind) }
        },
    )
}

fn some_queue(name: String) -> impl Strategy<Value = Queue> {
    (prop::sample::select(KINDS.to_vec()), any::<bool>(), any::<bool>(), value()).prop_map(
        move |(kind, durable, auto_delete, value)| {
            let classic = kind == QueueType::Classic;
            Queue {
                durable: durable || !classic,
                auto_delete: auto_delete && classic,
                arguments: arguments([("x-other", value)]),
                ..queue(&name, kind)
            }
        },
    )
}

fn some_policy(name: String) -> impl Strategy<Value = Policy> {
    (prop::sample::select(ApplyTo::ALL.to_vec()), -3_i64..3, value()).prop_map(
        move |(apply_to, priority, value)| {
            let definition = arguments([("key", value)]);
            Policy { apply_to, priority, ..policy(&name, definition) }
        },
    )
}

/// What is in one vhost.
fn some_parts(vhost: VhostName) -> impl Strategy<Value = TopologyParts> {
    // Few names, so that two topologies have many in common.
    let names = |prefix: &'static str| {
        prop::collection::btree_set(0..5_u8, 0..5).prop_map(move |set| {
            set.into_iter().map(|n| format!("{prefix}{n}")).collect::<Vec<_>>()
        })
    };
    let exchanges = names("ex ")
        .prop_flat_map(|names| names.into_iter().map(some_exchange).collect::<Vec<_>>());
    let queues =
        names("qü/").prop_flat_map(|names| names.into_iter().map(some_queue).collect::<Vec<_>>());
    let policies =
        names("p%").prop_flat_map(|names| names.into_iter().map(some_policy).collect::<Vec<_>>());
    let links = prop::collection::vec(
        (any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<bool>(), value()),
        0..8,
    );
    (exchanges, queues, policies, links).prop_map(move |(exchanges, queues, policies, links)| {
        let mut bindings = BTreeMap::new();
        for (from, to, to_exchange, argument) in links {
            if exchanges.is_empty() {
                break;
            }
            let source = from.get(&exchanges).name.as_str();
            let bound = if to_exchange || queues.is_empty() {
                let to = ExchangeName::new(to.get(&exchanges).name.as_str()).expect("a name");
                Binding { destination: Destination::Exchange(to), ..binding(source, "q", "#") }
            } else {
                binding(source, to.get(&queues).name.as_str(), "#")
            };
            let bound = Binding { arguments: arguments([("h", argument)]), ..bound };
            bindings.insert(BindingKey::from(&bound), bound);
        }
        let vhost = || vhost.clone();
        let exchanges = exchanges.into_iter().map(|it| Exchange { vhost: vhost(), ..it });
        let queues = queues.into_iter().map(|it| Queue { vhost: vhost(), ..it });
        let policies = policies.into_iter().map(|it| Policy { vhost: vhost(), ..it });
        let bindings = bindings.into_values().map(|it| Binding { vhost: vhost(), ..it });
        TopologyParts {
            exchanges: exchanges.collect(),
            queues: queues.collect(),
            policies: policies.collect(),
            bindings: bindings.collect(),
            ..TopologyParts::default()
        }
    })
}

/// Resources in the home vhost and in another one, and settings of every kind.
pub(super) fn some_topology() -> impl Strategy<Value = Topology> {
    let other = || VhostName::new("other").expect("a name");
    (some_parts(vhost()), prop::option::of(some_parts(other())), some_settings(vhost(), other()))
        .prop_map(|(mut parts, others, settings)| {
            let (cluster, in_other): (Vec<_>, Vec<_>) = settings
                .into_iter()
                .partition(|setting| setting.vhost().is_none_or(|vhost| vhost.as_str() != "other"));
            parts.settings = cluster;
            if let Some(others) = others {
                parts.exchanges.extend(others.exchanges);
                parts.queues.extend(others.queues);
                parts.policies.extend(others.policies);
                parts.bindings.extend(others.bindings);
                parts.settings.extend(in_other);
            }
            topology(parts)
        })
}

proptest! {
    /// What a plan promises is enough: performing it leaves nothing to do.
    #[test]
    fn performing_a_plan_leaves_nothing_to_do(topology in some_topology()) {
        let mut observed = empty_broker();
        build(&mut observed, &topology);
        let again = diff(&topology, &observed);
        prop_assert!(again.is_empty(), "{:?}", again);
    }

    /// On a broker that has other things already: nothing that exists goes, nothing that cannot be
    /// changed is, and whatever is in conflict is left as it was.
    #[test]
    fn nothing_is_taken_away(before in some_topology(), after in some_topology()) {
        let mut observed = empty_broker();
        build(&mut observed, &before);
        let was = observed.clone();
        let plan = diff(&after, &observed);
        for change in plan.changes() {
            prop_assert_eq!(change.before.is_some(), matches!(change.action, Action::Update | Action::Conflict));
            if change.action == Action::Update {
                prop_assert!(matches!(change.target, Target::Policy(_) | Target::Setting(_)));
            }
        }
        let plan = plan.without(|change| change.action == Action::Conflict);
        perform(&mut observed, &plan);
        for (name, exchange) in &was.exchanges {
            prop_assert_eq!(observed.exchanges.get(name), Some(exchange));
        }
        for (name, queue) in &was.queues {
            prop_assert_eq!(observed.queues.get(name), Some(queue));
        }
        prop_assert!(was.bindings.iter().flatten().all(|binding| observed.bindings.iter().flatten().any(|b| b == binding)));
        let again = diff(&after, &observed);
        prop_assert!(again.changes().iter().all(|change| change.action == Action::Conflict));
    }

    /// Steps come in phases, and a binding after both of its ends.
    #[test]
    fn steps_are_in_the_order_of_need(topology in some_topology()) {
        let plan = diff(&topology, &empty_broker());
        let phases: Vec<_> = plan
            .changes()
            .iter()
            .map(|change| ORDER.iter().position(|kind| *kind == change.target.kind()))
            .collect();
        prop_assert!(phases.is_sorted());
    }
}
