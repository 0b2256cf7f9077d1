//! Who owns what, and what is deleted of it, case by case.

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::memory_tests::{
    arguments, binding, build, empty_broker, exchange, perform, policy, queue, topology, vhost,
};
use super::*;
use crate::model::{
    Destination, Exchange, ExchangeName, OnRemove, QueueName, QueueType, StackName, Topology,
    TopologyParts, VhostName,
};

pub(super) const PRUNE: Consent = Consent { prune: true, force: false, replace: false };
pub(super) const FORCE: Consent = Consent { prune: true, force: true, replace: false };

pub(super) fn stack(name: &str) -> StackName {
    StackName::new(name).expect("a name")
}

/// A broker in memory, and the ledger that one stack has on it.
pub(super) struct World {
    pub(super) observed: Observed,
    pub(super) ownership: Ownership,
}

impl World {
    pub(super) fn new() -> Self {
        Self { observed: empty_broker(), ownership: Ownership::nobody(stack("shop")) }
    }

    pub(super) fn plan(&self, topology: &Topology, consent: Consent) -> Plan {
        plan(topology, &self.observed, &self.ownership, consent)
    }

    /// Applies; leaves conflicts out.
    pub(super) fn apply(&mut self, topology: &Topology, consent: Consent) -> Plan {
        let plan = self.plan(topology, consent);
        let plan = plan.without(|change| change.action == Action::Conflict);
        perform(&mut self.observed, &plan);
        self.ownership.own = plan.ledger_after(&[]);
        plan
    }

    pub(super) fn use_queue(&mut self, name: &str, usage: Usage) {
        self.observed.usage.insert((vhost(), QueueName::new(name).expect("a name")), usage);
    }
}

pub(super) fn text(plan: &Plan) -> String {
    render(plan, &|_| "orders.yaml:12:3".into(), Style::default())
}

fn orders() -> TopologyParts {
    TopologyParts {
        exchanges: vec![exchange("orders", "topic"), exchange("old", "fanout")],
        queues: vec![queue("billing", QueueType::Quorum), queue("legacy", QueueType::Classic)],
        bindings: vec![binding("orders", "billing", "a"), binding("old", "legacy", "")],
        policies: vec![policy("ttl", arguments([("message-ttl", json!(1))]))],
        ..TopologyParts::default()
    }
}

/// Without all that is called old or legacy, and without the policy.
fn fewer() -> Topology {
    let mut parts = orders();
    parts.exchanges.truncate(1);
    parts.queues.truncate(1);
    parts.bindings.truncate(1);
    parts.policies.clear();
    topology(parts)
}

#[test]
fn without_prune_it_only_says_what_it_would_delete() {
    let mut world = World::new();
    world.apply(&topology(orders()), Consent::default());
    let plan = world.apply(&fewer(), Consent::default());
    assert!(plan.is_empty());
    assert_snapshot!(text(&plan), @r"
    owned and no longer declared: exchange old, policy ttl, queue legacy, binding old → legacy; `--prune` deletes it
    nothing to do: the broker is as the files say
    ");
    // And it still is, after an apply that left it.
    assert_eq!(world.plan(&fewer(), Consent::default()).kept().len(), 4);
}

#[test]
fn prune_deletes_in_the_reverse_order_and_last() {
    let mut world = World::new();
    world.apply(&topology(orders()), Consent::default());
    let mut parts = orders();
    parts.exchanges.truncate(1);
    parts.queues = vec![queue("billing", QueueType::Quorum), queue("new", QueueType::Classic)];
    parts.bindings = vec![binding("orders", "new", "b")];
    parts.policies.clear();
    let after = topology(parts);
    let plan = world.plan(&after, PRUNE);
    assert_snapshot!(text(&plan), @r"
    + queue new (classic)
    + binding orders → new (key b)
    - binding old → legacy
    - binding orders → billing (key a)
    - queue legacy
    - policy ttl
    - exchange old
    2 to create, 0 to update, 0 in conflict, 5 to delete
    ");
    world.apply(&after, PRUNE);
    let again = world.plan(&after, PRUNE);
    assert!(again.is_empty() && again.kept().is_empty(), "{again:?}");
    assert_eq!(*again.ledger_before(), again.ledger_after(&[]));
}

#[test]
fn what_nobody_created_is_adopted_only_if_declared() {
    let mut world = World::new();
    build(&mut world.observed, &topology(orders()));
    let before = world.observed.clone();
    assert!(world.apply(&topology(TopologyParts::default()), FORCE).is_empty());
    assert!(world.apply(&topology(orders()), PRUNE).is_empty());
    assert_eq!(world.observed, before);
    assert_eq!(world.ownership.own, Ledger::of(&topology(orders())));
    // Now it is owned, and goes with its declaration.
    assert_eq!(world.plan(&fewer(), PRUNE).summary().delete, 4);
}

#[test]
fn what_is_retained_or_no_longer_managed_is_let_go() {
    let mut world = World::new();
    let mut parts = orders();
    parts.queues[1].on_remove = OnRemove::Retain;
    world.apply(&topology(parts), PRUNE);
    // The binding that feeds the retained queue stays with it, and so does its other end.
    let plan = world.apply(&fewer(), PRUNE);
    assert_snapshot!(text(&plan), @r"
    - policy ttl
    kept: exchange old: the binding old → legacy, which nobody declares, would go with it
      hint: `--force` deletes both
    0 to create, 0 to update, 0 in conflict, 1 to delete
    ");
    assert_eq!(world.plan(&fewer(), FORCE).summary().delete, 1);

    let mut world = World::new();
    world.apply(&topology(orders()), PRUNE);
    let mut parts = orders();
    parts.queues[1].managed = false;
    parts.exchanges[1].managed = false;
    world.apply(&topology(parts), PRUNE);
    assert!(
        world
            .plan(&fewer(), PRUNE)
            .changes()
            .iter()
            .all(|change| { !matches!(change.target, Target::Queue(_) | Target::Exchange(_)) })
    );
}

#[test]
fn a_queue_in_use_stays_unless_forced() {
    for (usage, words) in [
        (Usage { messages: 1, consumers: 0 }, "it holds 1 message"),
        (Usage { messages: 0, consumers: 2 }, "it has 2 consumers"),
        (Usage { messages: 3, consumers: 1 }, "it holds 3 messages and has 1 consumer"),
    ] {
        let mut world = World::new();
        world.apply(&topology(orders()), PRUNE);
        world.use_queue("legacy", usage);
        let plan = world.plan(&fewer(), PRUNE);
        assert!(
            text(&plan).contains(&format!("kept: queue legacy: {words}\n  hint: `--force`")),
            "{}",
            text(&plan)
        );
        assert!(!plan.is_refused());
        assert_eq!(world.plan(&fewer(), FORCE).kept(), []);
        // It stays owned, so that it goes when it is empty.
        world.apply(&fewer(), PRUNE);
        world.observed.usage.clear();
        let plan = text(&world.plan(&fewer(), PRUNE));
        assert!(plan.starts_with("- queue legacy\n0 to create"), "{plan}");
    }
}

#[test]
fn what_others_bound_is_not_taken_along() {
    let mut world = World::new();
    world.apply(&topology(orders()), PRUNE);
    let theirs = binding("old", "billing", "theirs");
    world.observed.bindings.as_mut().expect("seen").insert(BindingKey::from(&theirs));
    let plan = world.plan(&fewer(), PRUNE);
    assert_snapshot!(text(&plan), @r"
    - binding old → legacy
    - queue legacy
    - policy ttl
    kept: exchange old: the binding old → billing (key theirs), which nobody declares, would go with it
      hint: `--force` deletes both
    0 to create, 0 to update, 0 in conflict, 3 to delete
    ");
    assert_eq!(world.plan(&fewer(), FORCE).kept(), []);
    let owner = Owner { stack: stack("other"), home: vhost(), parameter: "warrener.other".into() };
    world.ownership.others.insert(ResourceId::Binding(BindingKey::from(&theirs)), owner);
    let plan = world.plan(&fewer(), FORCE);
    assert_eq!(
        plan.kept()[0].reason,
        "stack `other` owns the binding old → billing (key theirs), which would go"
    );
}

#[test]
fn the_last_binding_of_an_auto_delete_exchange_stays() {
    let mut parts = orders();
    parts.exchanges[1].auto_delete = true;
    let mut world = World::new();
    world.apply(&topology(parts.clone()), PRUNE);
    let all_gone = world.plan(&fewer(), PRUNE);
    assert_eq!((all_gone.kept().len(), all_gone.summary().delete), (0, 4));
    // The exchange is to stay, so neither its only binding goes nor the queue it leads to.
    parts.queues.truncate(1);
    parts.bindings.truncate(1);
    let plan = world.plan(&topology(parts.clone()), PRUNE);
    assert_snapshot!(text(&plan), @r"
    kept: binding old → legacy: the auto-delete exchange old would go with its last binding
      hint: declare that exchange without `auto_delete`, or remove it as well
    kept: queue legacy: the auto-delete exchange old would go with its last binding
      hint: declare that exchange without `auto_delete`, or remove it as well
    nothing to do: the broker is as the files say
    ");
    // A new binding holds it.
    parts.bindings.push(binding("old", "billing", ""));
    assert_eq!(world.plan(&topology(parts), PRUNE).summary().delete, 2);
}

#[test]
fn much_at_once_is_refused_unless_forced() {
    let queues = |count: u32| TopologyParts {
        queues: (0..count).map(|n| queue(&format!("q{n}"), QueueType::Classic)).collect(),
        ..TopologyParts::default()
    };
    for (owned, left, refused) in [(10, 7, false), (10, 6, true), (9, 0, false), (20, 0, true)] {
        let mut world = World::new();
        world.apply(&topology(queues(owned)), PRUNE);
        let plan = world.plan(&topology(queues(left)), PRUNE);
        assert_eq!(Approved::new(plan.clone()).is_err(), refused, "{owned} {left}");
        assert!(!world.plan(&topology(queues(left)), FORCE).is_refused());
        assert!(!world.plan(&topology(queues(left)), Consent::default()).is_refused());
        if left == 6 {
            assert!(text(&plan).contains(
                "refused: 4 of 10 owned objects would be deleted, more than 30 %\n  hint: "
            ));
            let refused = Approved::new(plan).expect_err("refused");
            assert_snapshot!(refused, @"4 of 10 owned objects would be deleted, more than 30 %; nothing was changed");
        }
    }
}

#[test]
fn another_stack_s_objects_are_a_conflict() {
    let mut theirs = World::new();
    theirs.apply(&topology(orders()), PRUNE);
    let mut ours = World { ownership: Ownership::nobody(stack("blog")), ..theirs };
    let owner = Owner { stack: stack("shop"), home: vhost(), parameter: "warrener.shop".into() };
    let all = Ledger::of(&topology(orders()));
    ours.ownership.others = all.iter().map(|(id, _)| (id.clone(), owner.clone())).collect();
    let mut parts = orders();
    parts.exchanges =
        vec![Exchange { managed: false, ..exchange("orders", "topic") }, exchange("old", "fanout")];
    parts.queues.truncate(1);
    parts.bindings =
        vec![binding("orders", "billing", "another"), binding("orders", "billing", "a")];
    let plan = ours.plan(&topology(parts), PRUNE);
    assert_snapshot!(text(&plan), @r"
    ! exchange old: stack `shop` owns it, so stack `blog` cannot (orders.yaml:12:3)
      hint: write `manage: false` here, or let go of it in `shop` with `on_remove: retain`; if `shop` is no more, forget what it owned: `rabbitmqctl clear_global_parameter warrener.shop`
    ! policy ttl: stack `shop` owns it, so stack `blog` cannot (orders.yaml:12:3)
      hint: write `manage: false` here, or let go of it in `shop` with `on_remove: retain`; if `shop` is no more, forget what it owned: `rabbitmqctl clear_global_parameter warrener.shop`
    ! queue billing: stack `shop` owns it, so stack `blog` cannot (orders.yaml:12:3)
      hint: write `manage: false` here, or let go of it in `shop` with `on_remove: retain`; if `shop` is no more, forget what it owned: `rabbitmqctl clear_global_parameter warrener.shop`
    + binding orders → billing (key another)
    ! binding orders → billing (key a): stack `shop` owns it, so stack `blog` cannot (orders.yaml:12:3)
      hint: write `manage: false` here, or let go of it in `shop` with `on_remove: retain`; if `shop` is no more, forget what it owned: `rabbitmqctl clear_global_parameter warrener.shop`
    1 to create, 0 to update, 4 in conflict
    ");
    assert!(plan.is_refused());
    // The same stack in another vhost is another owner.
    let owner = Owner { stack: stack("blog"), home: VhostName::new("v").expect("a name"), ..owner };
    for value in ours.ownership.others.values_mut() {
        *value = owner.clone();
    }
    let plan = ours.plan(&fewer(), PRUNE);
    assert_eq!(plan.changes()[0].reason, "stack `blog` of vhost `v` owns it, this one is another");
}

#[test]
fn nothing_is_deleted_out_of_sight_or_of_the_broker_s_own() {
    let mut world = World::new();
    world.apply(&topology(orders()), PRUNE);
    world.observed.bindings = None;
    let plan = world.plan(&fewer(), FORCE);
    assert_eq!((plan.summary().delete, plan.kept().len()), (0, 4));
    // Nor is it forgotten.
    assert_eq!(plan.ledger_after(&[]).len(), 7);

    let mut world = World::new();
    for id in [
        ResourceId::Exchange(vhost(), ExchangeName::new("amq.topic").expect("a name")),
        ResourceId::Exchange(vhost(), ExchangeName::default_exchange()),
        ResourceId::Queue(vhost(), QueueName::new("amq.gen-1").expect("a name")),
    ] {
        world.ownership.own.claim(id, OnRemove::Delete);
    }
    build(&mut world.observed, &topology(orders()));
    let name = (vhost(), QueueName::new("amq.gen-1").expect("a name"));
    let queue = world.observed.queues.values().next().expect("a queue").clone();
    world.observed.queues.insert(name, queue);
    let exchange = world.observed.exchanges.values().next().expect("an exchange").clone();
    let name = (vhost(), ExchangeName::new("amq.topic").expect("a name"));
    world.observed.exchanges.insert(name, exchange);
    assert!(world.plan(&topology(TopologyParts::default()), FORCE).is_empty());
}

#[test]
fn drift_leaves_out_what_is_the_broker_s_or_one_connection_s() {
    let mut world = World::new();
    world.apply(&topology(orders()), PRUNE);
    let none = |world: &World| {
        let plan = world.plan(&topology(orders()), Consent::default());
        Drift::new(plan, &topology(orders()), &world.observed).strangers
    };
    let exchange = world.observed.exchanges.values().next().expect("an exchange").clone();
    for name in ["", "amq.topic"] {
        let name = ExchangeName::new(name).expect("a name");
        world.observed.exchanges.insert((vhost(), name), exchange.clone());
    }
    let generated = QueueName::new("amq.gen-1").expect("a name");
    let queue = world.observed.queues.values().next().expect("a queue").clone();
    world.observed.queues.insert((vhost(), generated), queue);
    let bindings = world.observed.bindings.as_mut().expect("seen");
    bindings.insert((&binding("orders", "amq.gen-1", "k")).into());
    bindings.insert((&binding("orders", "exclusive", "k")).into());
    assert_eq!(none(&world), []);
    let found = ResourceId::Binding((&binding("amq.topic", "billing", "k")).into());
    let ResourceId::Binding(key) = &found else { unreachable!("it is one") };
    world.observed.bindings.as_mut().expect("seen").insert(key.clone());
    assert_eq!(none(&world), [found]);
}

#[test]
fn the_ledger_follows_what_was_done() {
    let mut world = World::new();
    let plan = world.plan(&topology(orders()), PRUNE);
    assert_eq!(*plan.ledger_claims(), Ledger::of(&topology(orders())));
    // What failed to come into being is not owned.
    let failure =
        |change: &Change| Failure { change: change.clone(), reason: String::new(), hint: None };
    let failed: Vec<_> = plan.changes().iter().take(2).map(failure).collect();
    assert_eq!(plan.ledger_after(&failed).len(), 5);

    world.apply(&topology(orders()), PRUNE);
    let plan = world.plan(&fewer(), PRUNE);
    // Owned until it is gone.
    assert_eq!(plan.ledger_claims(), plan.ledger_before());
    assert_eq!(plan.ledger_after(&[]).len(), 3);
    let failed: Vec<_> = plan.changes().iter().take(2).map(failure).collect();
    assert_eq!(plan.ledger_after(&failed).len(), 5);
}

#[test]
fn a_ledger_is_written_as_json() {
    let mut parts = orders();
    parts.queues[0].on_remove = OnRemove::Retain;
    parts.bindings[0].arguments = arguments([("x-match", json!("all")), ("e", json!({}))]);
    parts.bindings[1].destination =
        Destination::Exchange(ExchangeName::new("orders").expect("a name"));
    let ledger = Ledger::of(&topology(parts));
    let record = LedgerRecord { stack: stack("shop"), home: vhost(), ledger };
    let json = record.to_json();
    assert_snapshot!(json, @r#"{"owned":{"/":{"bindings":[{"destination":"orders","source":"old","to":"exchange"},{"arguments":"{\"e\":{},\"x-match\":\"all\"}","destination":"billing","key":"a","source":"orders","to":"queue"}],"exchanges":["old","orders"],"policies":["ttl"],"queues":["billing","legacy"],"retained":[["queue","billing"]]}},"stack":"shop","version":1,"vhost":"/"}"#);
    assert_eq!(LedgerRecord::from_json(&json), Ok(record));
    let empty = LedgerRecord { stack: stack("shop"), home: vhost(), ledger: Ledger::default() };
    assert_snapshot!(empty.to_json(), @r#"{"owned":{},"stack":"shop","version":1,"vhost":"/"}"#);
    // An empty object may come back from the broker as an empty list.
    assert_eq!(LedgerRecord::from_json(&empty.to_json()), Ok(empty));
    let fault = |value: Value| LedgerRecord::from_json(&value).expect_err("no ledger").to_string();
    assert_snapshot!(fault(json!({"version": 2})), @"it has the form 2, and this version of warrener knows only 1");
    assert_snapshot!(fault(json!([])), @"it is no ledger: it has no `version`");
}
