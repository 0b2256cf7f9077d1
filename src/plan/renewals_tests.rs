//! Which queues can be made anew without a look at all the rest, and that a plan comes to the same.

use proptest::prelude::*;
use serde_json::json;

use super::additions_tests::Edit;
use super::memory_tests::{arguments, binding, exchange, perform, policy, queue, topology, vhost};
use super::ownership_tests::{World, stack};
use super::properties::some_topology;
use super::*;
use crate::model::{
    OnConflict, OnRemove, Queue, QueueName, QueueType, Topology, TopologyParts, VhostName,
};

fn parts() -> TopologyParts {
    TopologyParts {
        exchanges: vec![exchange("orders", "topic")],
        queues: vec![queue("billing", QueueType::Classic), queue("mail", QueueType::Classic)],
        bindings: vec![binding("orders", "billing", "a")],
        policies: vec![policy("ttl", arguments([("message-ttl", 1.into())]))],
        ..TopologyParts::default()
    }
}

/// The first queue with another argument, if what it takes to have it is agreed to.
fn otherwise(on_conflict: OnConflict) -> TopologyParts {
    let mut parts = parts();
    parts.queues[0].arguments = arguments([("x-max-length", 9.into())]);
    parts.queues[0].on_conflict = on_conflict;
    parts
}

fn between(after: TopologyParts) -> Option<Renewals> {
    Renewals::between(&topology(parts()), &topology(after))
}

/// What a look at the renewals alone would see of a broker.
fn sight(observed: &Observed, renewals: &Renewals) -> Observed {
    let places = renewals.places();
    let has = |vhost: &VhostName, place| places.contains(&(vhost.clone(), place));
    let mut seen = observed.clone();
    seen.exchanges.retain(|(vhost, name), _| has(vhost, Place::Exchange(name.clone())));
    seen.queues.retain(|(vhost, name), _| has(vhost, Place::Queue(name.clone())));
    let bindings = seen.bindings.as_mut().expect("they are seen");
    bindings.retain(|key| has(key.vhost(), Place::to(key.destination())));
    seen.usage.retain(|(vhost, name), _| has(vhost, Place::Queue(name.clone())));
    seen
}

/// What would be done to a broker that is as [`parts`] says but for what was done to it, to have the
/// first queue otherwise.
fn steps(on_conflict: OnConflict, happens: impl FnOnce(&mut World)) -> Option<String> {
    let mut world = World::new();
    world.apply(&topology(parts()), Consent::default());
    world.use_queue("billing", Usage::default());
    happens(&mut world);
    let renewals = between(otherwise(on_conflict)).expect("a queue differs");
    let steps = renewals.steps(&sight(&world.observed, &renewals), &world.ownership.others)?;
    let steps = steps
        .iter()
        .map(|step| format!("{} {}", step.action.as_str(), ResourceId::from(&step.target)));
    Some(steps.collect::<Vec<_>>().join(", "))
}

#[test]
fn a_queue_that_is_declared_otherwise_is_made_anew() {
    use OnConflict::{Migrate, Replace};
    assert_eq!(steps(Replace, |_| {}).as_deref(), Some("replace queue billing"));
    assert_eq!(steps(Migrate, |_| {}).as_deref(), Some("migrate queue billing"));
    let used = |world: &mut World| {
        world.use_queue("billing", Usage { messages: 3, consumers: 1 });
    };
    assert_eq!(steps(Migrate, used).as_deref(), Some("migrate queue billing"));
    let done = |world: &mut World| {
        let without = Observed { queues: [].into(), ..world.observed.clone() };
        perform(&mut world.observed, &diff(&topology(otherwise(Replace)), &without));
    };
    assert_eq!(steps(Replace, done).as_deref(), Some(""), "somebody was faster");
}

#[test]
fn where_a_plan_would_refuse_or_do_more_nothing_is_done() {
    use OnConflict::{Migrate, Replace};
    let billing = || (vhost(), QueueName::new("billing").unwrap());
    let used = |usage| move |world: &mut World| world.use_queue("billing", usage);
    assert_eq!(steps(Replace, used(Usage { messages: 1, consumers: 0 })), None, "a message");
    assert_eq!(steps(Replace, used(Usage { messages: 0, consumers: 1 })), None, "a consumer");
    let unknown = |world: &mut World| world.observed.usage.clear();
    assert_eq!(steps(Replace, unknown), None, "nobody knows how it is used");
    for on_conflict in [Replace, Migrate] {
        let gone = |world: &mut World| drop(world.observed.queues.remove(&billing()));
        assert_eq!(steps(on_conflict, gone), None, "it is gone");
        let taken = |world: &mut World| {
            let (vhost, name) = billing();
            let parameter = "warrener.other".into();
            let owner = Owner { stack: stack("other"), home: vhost.clone(), parameter };
            world.ownership.others.insert(ResourceId::Queue(vhost, name), owner);
        };
        assert_eq!(steps(on_conflict, taken), None, "another stack owns it");
        let illegible = |world: &mut World| {
            let (vhost, name) = billing();
            world.observed.illegible.insert(ResourceId::Queue(vhost, name));
        };
        assert_eq!(steps(on_conflict, illegible), None, "a binding could not be put back");
        let scaffold = Scaffold::of(&billing().1);
        for name in scaffold.exchanges() {
            let begun = |world: &mut World| {
                world.observed.exchanges.insert((vhost(), name.clone()), Seen::NameOnly);
            };
            assert_eq!(steps(on_conflict, begun), None, "somebody has begun: {name}");
        }
        for name in scaffold.queues() {
            let begun = |world: &mut World| {
                world.observed.queues.insert((vhost(), name.clone()), Seen::NameOnly);
            };
            assert_eq!(steps(on_conflict, begun), None, "somebody has begun: {name}");
        }
    }
    let stream = |world: &mut World| {
        let kind = arguments([("x-queue-type", json!("stream"))]);
        let seen = Seen::Whole(ObservedQueue::new(true, false, kind));
        world.observed.queues.insert(billing(), seen);
        world.use_queue("billing", Usage { messages: 1, consumers: 0 });
    };
    assert_eq!(steps(Migrate, stream), None, "a stream cannot be emptied");
}

#[test]
fn whatever_else_differs_takes_a_look() {
    assert_eq!(between(parts()), None, "nothing differs");
    assert_eq!(between(otherwise(OnConflict::Refuse)), None, "nobody agreed");
    let changes: [(&str, Edit); 9] = [
        ("a queue more", &|parts| parts.queues.push(queue("new", QueueType::Classic))),
        ("a queue less", &|parts| drop(parts.queues.pop())),
        ("another name", &|parts| parts.queues[1] = queue("letters", QueueType::Classic)),
        ("a binding more", &|parts| parts.bindings.push(binding("orders", "mail", "b"))),
        ("an exchange differs", &|parts| parts.exchanges[0].internal = true),
        ("a policy differs", &|parts| parts.policies[0].priority = 7),
        ("what becomes of it", &|parts| parts.queues[0].on_remove = OnRemove::Retain),
        ("it is somebody else's", &|parts| parts.queues[0].managed = false),
        ("another differs, and nobody agreed", &|parts| parts.queues[1].durable = false),
    ];
    for (what, change) in changes {
        let mut parts = otherwise(OnConflict::Replace);
        change(&mut parts);
        assert_eq!(between(parts), None, "{what}");
    }
    let many = |on_conflict| {
        let queues = (0..17)
            .map(|nth| Queue { on_conflict, ..queue(&format!("q{nth}"), QueueType::Classic) });
        topology(TopologyParts { queues: queues.collect(), ..TopologyParts::default() })
    };
    assert_eq!(Renewals::between(&many(OnConflict::Refuse), &many(OnConflict::Replace)), None);
}

/// What happens to one of the queues of a topology.
#[derive(Clone, Debug)]
struct Fate {
    queue: prop::sample::Index,
    on_conflict: OnConflict,
    other_argument: bool,
    kind: Option<QueueType>,
    usage: Option<Usage>,
    gone: bool,
    taken: bool,
    illegible: bool,
}

fn some_fate() -> impl Strategy<Value = Fate> {
    let kinds = vec![QueueType::Classic, QueueType::Quorum, QueueType::Stream];
    let on_conflict = vec![OnConflict::Replace, OnConflict::Migrate];
    let usage =
        (0_u64..2, 0_u64..2).prop_map(|(messages, consumers)| Usage { messages, consumers });
    (
        any::<prop::sample::Index>(),
        prop::sample::select(on_conflict),
        prop::bool::weighted(0.8),
        prop::option::weighted(0.3, prop::sample::select(kinds)),
        prop::option::weighted(0.9, usage),
        [prop::bool::weighted(0.1), prop::bool::weighted(0.1), prop::bool::weighted(0.1)],
    )
        .prop_map(
            |(queue, on_conflict, other_argument, kind, usage, [gone, taken, illegible])| Fate {
                queue,
                on_conflict,
                other_argument,
                kind,
                usage,
                gone,
                taken,
                illegible,
            },
        )
}

fn with_queues(of: &Topology, queues: &[Queue]) -> Option<Topology> {
    Topology::new(TopologyParts {
        exchanges: of.exchanges().cloned().collect(),
        queues: queues.to_vec(),
        bindings: of.bindings().cloned().collect(),
        policies: of.policies().cloned().collect(),
        settings: of.settings().cloned().collect(),
    })
    .ok()
}

proptest! {
    /// On a broker that is as the first says but for what befell the queues that differ, the steps are
    /// those of a plan that makes queues anew and does nothing else; and there are none where a plan is
    /// refused or does anything else.
    #[test]
    fn a_plan_comes_to_the_same(
        before in some_topology(),
        fates in prop::collection::vec(some_fate(), 1..4),
    ) {
        let mut queues: Vec<Queue> = before.queues().cloned().collect();
        if queues.is_empty() {
            return Ok(());
        }
        let mut world = World::new();
        world.apply(&before, Consent::default());
        for fate in fates {
            let at = fate.queue.index(queues.len());
            let is = &mut queues[at];
            let id = (is.vhost.clone(), is.name.clone());
            is.on_conflict = fate.on_conflict;
            if fate.other_argument {
                is.arguments = arguments([("x-max-length", 1.into())]);
            }
            if let Some(kind) = fate.kind {
                (is.kind, is.durable, is.auto_delete) = (kind, true, false);
            }
            if let Some(usage) = fate.usage {
                world.observed.usage.insert(id.clone(), usage);
            }
            let resource = ResourceId::Queue(id.0.clone(), id.1.clone());
            if fate.illegible {
                world.observed.illegible.insert(resource.clone());
            }
            if fate.taken {
                let (stack, parameter) = (stack("other"), "warrener.other".into());
                let owner = Owner { stack, home: vhost(), parameter };
                world.ownership.others.insert(resource, owner);
            }
            if fate.gone {
                world.observed.queues.remove(&id);
                world.observed.usage.remove(&id);
            }
        }
        let Some(after) = with_queues(&before, &queues) else { return Ok(()) };
        let Some(renewals) = Renewals::between(&before, &after) else { return Ok(()) };
        let plan = world.plan(&after, Consent::default());
        let anew = |step: &Change| matches!(step.action, Action::Replace | Action::Migrate);
        let wanted = plan.changes().iter().all(anew).then_some(plan.changes());
        let seen = sight(&world.observed, &renewals);
        let steps = renewals.steps(&seen, &world.ownership.others);
        prop_assert_eq!(steps.as_deref(), wanted);
        prop_assert_eq!(plan.ledger_before(), plan.ledger_claims());
    }
}
