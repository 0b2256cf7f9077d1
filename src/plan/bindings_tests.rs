//! Bindings that are somebody else's, that stay, and that are there on a detour.

use insta::assert_snapshot;

use super::memory_tests::{binding, exchange, queue, topology};
use super::ownership_tests::{FORCE, World};
use super::*;
use crate::model::{
    Arguments, Binding, Destination, ExchangeName, OnRemove, QueueType, TopologyParts,
};

fn two_queues(bindings: Vec<Binding>) -> TopologyParts {
    TopologyParts {
        exchanges: vec![exchange("orders", "topic")],
        queues: vec![queue("billing", QueueType::Classic), queue("audit", QueueType::Classic)],
        bindings,
        ..TopologyParts::default()
    }
}

fn text(plan: &Plan) -> String {
    render(plan, &|_| "orders.yaml:12:3".into(), Style::default())
}

fn put(world: &mut World, bound: &Binding) {
    world.observed.bindings.as_mut().expect("seen").insert(BindingKey::from(bound));
}

#[test]
fn a_binding_of_somebody_else_must_exist_and_is_never_owned() {
    let theirs = Binding { managed: false, ..binding("orders", "audit", "#") };
    let declared = topology(two_queues(vec![theirs.clone()]));
    let mut world = World::new();
    world.apply(&topology(two_queues(Vec::new())), FORCE);
    assert_snapshot!(text(&world.plan(&declared, FORCE)), @r"
    ! binding orders → audit (key #): it is `manage: false` and not on the broker (orders.yaml:12:3)
      hint: whoever owns this binding must create it first
    0 to create, 0 to update, 1 in conflict
    ");
    put(&mut world, &theirs);
    let plan = world.apply(&declared, FORCE);
    assert!(plan.is_empty(), "{plan:?}");
    assert!(Drift::new(plan, &declared, &world.observed).is_none());
    // It was never ours, so it does not go with its declaration.
    let plan = world.plan(&topology(two_queues(Vec::new())), FORCE);
    assert!(plan.is_empty(), "{plan:?}");
}

#[test]
fn a_binding_of_ours_is_let_go() {
    let ours = binding("orders", "audit", "#");
    let retained = Binding { on_remove: OnRemove::Retain, ..ours.clone() };
    let theirs = Binding { managed: false, ..ours.clone() };
    let gone = topology(two_queues(Vec::new()));
    for (last, deleted) in [(ours.clone(), 1), (retained, 0), (theirs, 0)] {
        let mut world = World::new();
        world.apply(&topology(two_queues(vec![ours.clone()])), FORCE);
        world.apply(&topology(two_queues(vec![last])), FORCE);
        let plan = world.apply(&gone, FORCE);
        assert_eq!(plan.summary().delete, deleted, "{plan:?}");
        assert_eq!(world.ownership.own.len(), 3);
    }
}

#[test]
fn of_two_bindings_with_the_same_ends_one_may_stay() {
    let stays = Binding { on_remove: OnRemove::Retain, ..binding("orders", "audit", "a") };
    let ledger = Ledger::of(&topology(two_queues(vec![stays, binding("orders", "audit", "b")])));
    let record = LedgerRecord {
        stack: super::ownership_tests::stack("shop"),
        home: super::memory_tests::vhost(),
        ledger,
    };
    assert_eq!(LedgerRecord::from_json(&record.to_json()), Ok(record.clone()));
    let kept = record.ledger.iter().filter(|(_, on_remove)| *on_remove == OnRemove::Retain);
    assert_eq!(
        kept.map(|(id, _)| id.to_string()).collect::<Vec<_>>(),
        ["binding orders → audit (key a)"]
    );
}

/// A binding that was diverted when nobody declares it any more is deleted when it has come back.
#[test]
fn a_binding_on_a_detour_is_still_owned() {
    let ours = binding("orders", "billing", "#");
    let mut world = World::new();
    world.apply(&topology(two_queues(vec![ours.clone()])), FORCE);
    let fork = ExchangeName::new("warrener.migrate.billing").expect("a name");
    world.observed.bindings.as_mut().expect("seen").clear();
    add_fork(&mut world, fork.clone());
    put(&mut world, &Binding { destination: Destination::Exchange(fork), ..ours });
    let plan = world.plan(&topology(two_queues(Vec::new())), FORCE);
    assert_snapshot!(text(&plan), @r"
    » queue billing: it was being made anew, and that was interrupted, made anew with its messages and bindings
    - binding orders → billing (key #)
    0 to create, 0 to update, 0 in conflict, 1 to migrate, 1 to delete
    ");
}

fn add_fork(world: &mut World, name: ExchangeName) {
    let seen = Seen::Whole(ObservedExchange {
        kind: "fanout".into(),
        durable: true,
        auto_delete: false,
        internal: false,
        arguments: Arguments::new(),
    });
    world.observed.exchanges.insert((super::memory_tests::vhost(), name), seen);
}

/// A detour of one queue says nothing about another queue that is bound in the same way.
#[test]
fn a_binding_on_a_detour_is_not_another_queue_s() {
    let (one, other) = (binding("orders", "billing", "#"), binding("orders", "audit", "#"));
    let declared = topology(two_queues(vec![one.clone(), other]));
    let mut world = World::new();
    world.apply(&topology(two_queues(Vec::new())), FORCE);
    let fork = ExchangeName::new("warrener.migrate.billing").expect("a name");
    add_fork(&mut world, fork.clone());
    put(&mut world, &Binding { destination: Destination::Exchange(fork), ..one });
    assert_snapshot!(text(&world.plan(&declared, FORCE)), @r"
    » queue billing: it was being made anew, and that was interrupted, made anew with its messages and bindings
    + binding orders → audit (key #)
    1 to create, 0 to update, 0 in conflict, 1 to migrate
    ");
}
