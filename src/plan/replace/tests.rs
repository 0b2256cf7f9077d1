//! What is said to somebody who agreed to have something made anew, and it cannot be: every text,
//! whole.

use std::fmt::Write as _;

use insta::assert_snapshot;
use serde_json::json;

use super::super::memory_tests::{arguments, exchange, queue, topology, vhost};
use super::super::observed::ObservedExchange;
use super::super::ownership_tests::{World, stack, text};
use super::super::{Owner, Usage};
use super::*;
use crate::model::{Arguments, ExchangeName, QueueName, TopologyParts};

const REPLACE: Consent = Consent { prune: false, force: false, replace: true };

const HELD: Usage = Usage { messages: 2, consumers: 1 };

fn have(kind: &str, auto_delete: bool) -> Seen<ObservedQueue> {
    let kind = arguments([("x-queue-type", json!(kind))]);
    Seen::Whole(ObservedQueue::new(true, auto_delete, kind))
}

/// The plan for one queue `work`, which the broker has as another.
fn told(want: Queue, have: Seen<ObservedQueue>, usage: Option<Usage>, consent: Consent) -> String {
    let mut world = World::new();
    world.observed.queues.insert((vhost(), want.name.clone()), have);
    if let Some(usage) = usage {
        world.use_queue("work", usage);
    }
    let wanted = topology(TopologyParts { queues: vec![want], ..TopologyParts::default() });
    text(&world.plan(&wanted, consent))
}

fn want(kind: QueueType, on_conflict: OnConflict) -> Queue {
    Queue { on_conflict, ..queue("work", kind) }
}

#[test]
fn every_refusal_of_a_queue_says_why_and_what_to_do() {
    use OnConflict::{Migrate, Refuse, Replace};
    use QueueType::{Classic, Quorum, Stream};
    let none = Consent::default();
    let used = Some(HELD);
    let auto_delete = Queue { auto_delete: true, ..want(Classic, Migrate) };
    let auto_delete = Queue { arguments: arguments([("x-max-length", json!(1))]), ..auto_delete };
    let cases = [
        ("nobody agreed", told(want(Quorum, Refuse), have("classic", false), None, none)),
        ("only empty ones", told(want(Quorum, Replace), have("classic", false), used, none)),
        ("the same by flag", told(want(Quorum, Refuse), have("classic", false), used, REPLACE)),
        ("a stream, only empty", told(want(Quorum, Replace), have("stream", false), used, none)),
        ("out of a stream", told(want(Quorum, Migrate), have("stream", false), used, none)),
        ("into a stream", told(want(Stream, Migrate), have("classic", false), used, none)),
        ("from auto-delete", told(want(Classic, Migrate), have("classic", true), used, none)),
        ("auto-delete changed", told(auto_delete, have("classic", true), used, none)),
        ("a plugin's", told(want(Quorum, Migrate), have("x-jms", false), used, none)),
    ];
    let mut all = String::new();
    for (case, told) in cases {
        let told = told.lines().filter(|line| !line.starts_with("0 to create"));
        let _ = writeln!(all, "{case}");
        for line in told {
            let _ = writeln!(all, "  {line}");
        }
    }
    assert_snapshot!(all, @r"
    nobody agreed
      ! queue work: type is classic on the broker, quorum in orders.yaml:12:3
        hint: let the file say what the broker has, or make it anew with its bindings: `on_conflict: migrate` takes its messages along, `--allow-replace` needs it empty
    only empty ones
      ! queue work: type is classic on the broker, quorum in orders.yaml:12:3
        hint: it holds 2 messages and has 1 consumer, and only what is empty and unused is replaced: `on_conflict: migrate` takes its messages along
    the same by flag
      ! queue work: type is classic on the broker, quorum in orders.yaml:12:3
        hint: it holds 2 messages and has 1 consumer, and only what is empty and unused is replaced: `on_conflict: migrate` takes its messages along
    a stream, only empty
      ! queue work: type is stream on the broker, quorum in orders.yaml:12:3
        hint: it holds 2 messages and has 1 consumer, and only what is empty and unused is replaced
    out of a stream
      ! queue work: type is stream on the broker, quorum in orders.yaml:12:3
        hint: it holds 2 messages and has 1 consumer, and nothing can be taken out of a stream, and the offsets of its readers would mean nothing in another: declare the new one under another name, have publishers change over, then readers, and delete the old one
    into a stream
      ! queue work: type is classic on the broker, stream in orders.yaml:12:3
        hint: it holds 2 messages and has 1 consumer, and what is consumed from a stream stays in it, so nothing is moved into one: let consumers empty the queue, or declare the stream under another name
    from auto-delete
      ! queue work: auto_delete is true on the broker, false in orders.yaml:12:3
        hint: it holds 2 messages and has 1 consumer, and an `auto_delete` queue goes, with what it holds, when its consumers end, as they have to for a migration: let them empty it, or let the file say what the broker has
    auto-delete changed
      ! queue work: x-max-length is absent on the broker, 1 in orders.yaml:12:3
        hint: it holds 2 messages and has 1 consumer, and an `auto_delete` queue goes, with what it holds, when its consumers end, as they have to for a migration: let them empty it, or let the file say what the broker has
    a plugin's
      ! queue work: type is x-jms on the broker, quorum in orders.yaml:12:3
        hint: it holds 2 messages and has 1 consumer, and queues of the type `x-jms` cannot be migrated: empty it
    ");
}

#[test]
fn what_was_refused_for_its_use_is_made_anew_when_it_is_empty() {
    use OnConflict::{Migrate, Replace};
    let empty = Some(Usage::default());
    for (kind, had, auto_delete, on_conflict) in [
        (QueueType::Quorum, "classic", false, Replace),
        (QueueType::Quorum, "stream", false, Migrate),
        (QueueType::Stream, "classic", false, Migrate),
        (QueueType::Classic, "classic", true, Migrate),
        (QueueType::Quorum, "x-jms", false, Migrate),
    ] {
        let told = told(want(kind, on_conflict), have(had, auto_delete), empty, Consent::default());
        assert!(told.starts_with("± queue work: ") && told.ends_with("1 to replace\n"), "{told}");
    }
}

/// A world with one queue and one exchange that both differ, where both may be made anew.
fn both() -> (World, Topology) {
    let mut world = World::new();
    world
        .observed
        .queues
        .insert((vhost(), QueueName::new("work").unwrap()), have("classic", false));
    let seen = ObservedExchange {
        kind: "fanout".into(),
        durable: true,
        auto_delete: false,
        internal: false,
        arguments: Arguments::new(),
    };
    let name = ExchangeName::new("orders").unwrap();
    world.observed.exchanges.insert((vhost(), name), Seen::Whole(seen));
    let parts = TopologyParts {
        exchanges: vec![exchange("orders", "topic")],
        queues: vec![want(QueueType::Quorum, OnConflict::Migrate)],
        ..TopologyParts::default()
    };
    (world, topology(parts))
}

#[test]
fn bindings_that_could_not_be_put_back_refuse_it() {
    let (mut world, wanted) = both();
    assert_snapshot!(text(&world.plan(&wanted, Consent::default())), @r"
    ! exchange orders: type is fanout on the broker, topic in orders.yaml:12:3
      hint: let the file say what the broker has, or make it anew with its bindings: `--allow-replace`
    » queue work: type classic → quorum, made anew with its messages and bindings
    0 to create, 0 to update, 1 in conflict, 1 to migrate
    ");
    for id in [
        ResourceId::Queue(vhost(), QueueName::new("work").unwrap()),
        ResourceId::Exchange(vhost(), ExchangeName::new("orders").unwrap()),
    ] {
        world.observed.illegible.insert(id);
    }
    assert_snapshot!(text(&world.plan(&wanted, REPLACE)), @r"
    ! exchange orders: type is fanout on the broker, topic in orders.yaml:12:3
      hint: it has a binding whose arguments could not be put back: remove that one first
    ! queue work: type is classic on the broker, quorum in orders.yaml:12:3
      hint: it has a binding whose arguments could not be put back: remove that one first
    0 to create, 0 to update, 2 in conflict
    ");
}

#[test]
fn without_the_management_api_nothing_is_made_anew() {
    let (mut world, wanted) = both();
    world.observed.bindings = None;
    assert_snapshot!(text(&world.plan(&wanted, REPLACE)), @r"
    ! exchange orders: type is fanout on the broker, topic in orders.yaml:12:3
      hint: to make it anew with its bindings takes the management API: give its address as `broker.management`
    ! queue work: type is classic on the broker, quorum in orders.yaml:12:3
      hint: to make it anew with its bindings takes the management API: give its address as `broker.management`
    0 to create, 0 to update, 2 in conflict
    ");
}

/// Whoever owns it has agreed to nothing.
#[test]
fn what_another_stack_owns_is_never_made_anew() {
    let (mut world, wanted) = both();
    let owner =
        || Owner { stack: stack("theirs"), home: vhost(), parameter: "warrener.theirs".into() };
    let queue = ResourceId::Queue(vhost(), QueueName::new("work").unwrap());
    let exchange = ResourceId::Exchange(vhost(), ExchangeName::new("orders").unwrap());
    world.ownership.others = [queue, exchange].map(|id| (id, owner())).into();
    assert_snapshot!(text(&world.plan(&wanted, REPLACE)), @r"
    ! exchange orders: stack `theirs` owns it, so stack `shop` cannot (orders.yaml:12:3)
      hint: write `manage: false` here, or let go of it in `theirs` with `on_remove: retain`; if `theirs` is no more, forget what it owned: `rabbitmqctl clear_global_parameter warrener.theirs`
    ! queue work: stack `theirs` owns it, so stack `shop` cannot (orders.yaml:12:3)
      hint: write `manage: false` here, or let go of it in `theirs` with `on_remove: retain`; if `theirs` is no more, forget what it owned: `rabbitmqctl clear_global_parameter warrener.theirs`
    0 to create, 0 to update, 2 in conflict
    ");
}
