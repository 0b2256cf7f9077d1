//! What a plan touches, and that a look at it alone shows as much as one at everything.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::memory_tests::{arguments, binding, build, exchange, perform, policy, queue, topology};
use super::ownership_tests::{FORCE, PRUNE, World};
use super::properties::some_topology;
use super::*;
use crate::model::{
    BrokerLimits, Destination, OnConflict, OnRemove, Origin, Queue, QueueType, Setting, Topology,
    TopologyParts, Vhost, VhostName,
};

/// What a look at these places alone would see of a broker.
fn sight(observed: &Observed, touched: &Touched) -> Observed {
    let has = |vhost: &VhostName, place| touched.places.contains(&(vhost.clone(), place));
    let mut seen = observed.clone();
    seen.exchanges.retain(|(vhost, name), _| has(vhost, Place::Exchange(name.clone())));
    seen.queues.retain(|(vhost, name), _| has(vhost, Place::Queue(name.clone())));
    seen.bindings.as_mut().expect("they are seen").retain(|key| {
        has(key.vhost(), Place::to(key.destination()))
            || has(key.vhost(), Place::From(key.source().clone()))
    });
    let policies = seen.policies.as_mut().expect("they are seen");
    policies.retain(|(vhost, name), _| has(vhost, Place::Policy(name.clone())));
    if !touched.settings {
        seen.settings.clear();
    }
    seen
}

fn parts() -> TopologyParts {
    TopologyParts {
        exchanges: vec![exchange("orders", "topic")],
        queues: vec![queue("billing", QueueType::Classic)],
        bindings: vec![binding("orders", "billing", "a")],
        policies: vec![policy("ttl", arguments([("message-ttl", 1.into())]))],
        ..TopologyParts::default()
    }
}

/// The places that it takes to come from some parts to others, in words.
fn places(before: TopologyParts, after: TopologyParts, consent: Consent) -> Option<String> {
    let mut world = World::new();
    world.apply(&topology(before), Consent::default());
    for queue in &after.queues {
        world.use_queue(queue.name.as_str(), Usage::default());
    }
    let touched = Touched::by(&world.plan(&topology(after), consent))?;
    let places = touched.places.iter().map(|(_, place)| format!("{place:?}"));
    let settings = touched.settings.then(|| "settings".to_owned());
    Some(places.chain(settings).collect::<Vec<_>>().join(" "))
}

#[test]
fn what_comes_and_goes_is_touched_with_what_hangs_on_it() {
    let mut one_more = parts();
    one_more.queues.push(queue("mail", QueueType::Classic));
    one_more.bindings.push(binding("orders", "mail", "b"));
    one_more.policies[0].priority = 7;
    insta::assert_snapshot!(
        places(parts(), one_more.clone(), Consent::default()).unwrap(),
        @r#"Queue("mail") ToQueue("mail") Policy("ttl")"#
    );
    insta::assert_snapshot!(
        places(one_more, TopologyParts::default(), FORCE).unwrap(),
        @r#"Exchange("orders") To("orders") From("orders") Queue("billing") Queue("mail") ToQueue("billing") ToQueue("mail") Policy("ttl")"#
    );
}

fn other_vhost(description: &str) -> Setting {
    Setting::Vhost(Vhost {
        name: VhostName::new("other").expect("a name"),
        description: description.into(),
        tags: BTreeSet::new(),
        default_queue_type: None,
        limits: BrokerLimits::new(),
        managed: true,
        on_remove: OnRemove::Delete,
        origin: Origin::default(),
    })
}

#[test]
fn what_is_made_anew_takes_a_look_at_everything() {
    let with = |on_conflict| {
        let queues = vec![Queue { on_conflict, ..queue("billing", QueueType::Quorum) }];
        TopologyParts { queues, ..parts() }
    };
    for on_conflict in [OnConflict::Replace, OnConflict::Migrate, OnConflict::Refuse] {
        assert_eq!(places(parts(), with(on_conflict), Consent::default()), None);
    }
    let in_vhost =
        |description| TopologyParts { settings: vec![other_vhost(description)], ..parts() };
    assert_eq!(places(parts(), in_vhost("a"), Consent::default()), None, "a new vhost");
    assert_eq!(places(in_vhost("a"), parts(), PRUNE), None, "a vhost that goes");
    let changed = places(in_vhost("a"), in_vhost("b"), Consent::default());
    assert_eq!(changed.as_deref(), Some("settings"));
}

#[test]
fn a_little_of_much_is_looked_at_alone() {
    let with = |count: usize| {
        let queues = (0..count).map(|nth| queue(&format!("q{nth}"), QueueType::Classic)).collect();
        topology(TopologyParts { queues, ..TopologyParts::default() })
    };
    let mut world = World::new();
    build(&mut world.observed, &with(49));
    let touched = Touched::by(&world.plan(&with(50), Consent::default()));
    assert!(touched.as_ref().is_some_and(|touched| touched.places.len() == 1), "the rest is there");
    let touched = touched.unwrap();
    assert!(!touched.is_little_of(&world.observed));
    build(&mut world.observed, &with(50));
    assert!(touched.is_little_of(&world.observed));
    let blind = Observed { bindings: None, ..world.observed.clone() };
    assert!(!touched.is_little_of(&blind));
}

/// Two ends, from which something is picked.
type Ends = (prop::sample::Index, prop::sample::Index);

/// Binds what there is as nobody declares.
fn bind(observed: &mut Observed, strange: &[Ends]) {
    let sources: Vec<_> = observed.exchanges.keys().cloned().collect();
    let queues = observed.queues.keys();
    let queues = queues.map(|(vhost, name)| (vhost.clone(), Destination::Queue(name.clone())));
    let exchanges = sources.iter();
    let exchanges =
        exchanges.map(|(vhost, name)| (vhost.clone(), Destination::Exchange(name.clone())));
    let ends: Vec<_> = queues.chain(exchanges).collect();
    for (source, to) in strange.iter().filter(|_| !sources.is_empty()) {
        let mut key = binding("x", "y", "stranger");
        (key.vhost, key.source) = source.get(&sources).clone();
        let (vhost, destination) = to.get(&ends).clone();
        if vhost == key.vhost {
            key.destination = destination;
            observed.bindings.get_or_insert_default().insert(BindingKey::from(&key));
        }
    }
}

/// A broker that is as a topology says but for what somebody has bound, and what it takes to make it
/// as another says but for what cannot be, and vhosts.
fn changing(before: &Topology, after: &Topology, strange: &[Ends]) -> (World, Plan) {
    let mut world = World::new();
    world.apply(before, FORCE);
    bind(&mut world.observed, strange);
    let plan = world.plan(after, FORCE).without(|change| {
        change.action == Action::Conflict
            || (matches!(change.target, Target::Setting(Setting::Vhost(_)))
                && change.action != Action::Update)
    });
    (world, plan)
}

proptest! {
    /// However many steps of a plan were taken, and whatever happened where it touches: what was seen
    /// before, with a look at that alone, is what a look at everything shows.
    #[test]
    fn what_was_touched_is_all_that_has_changed(
        before in some_topology(),
        after in some_topology(),
        taken in prop::collection::vec(any::<bool>(), 1..20),
        strange in prop::collection::vec(any::<Ends>(), 0..5),
        lost in any::<bool>(),
    ) {
        let (mut world, plan) = changing(&before, &after, &strange);
        let touched = Touched::by(&plan).expect("nothing is made anew");
        let mut renewed = world.observed.clone();
        let steps = plan.changes().iter().zip(taken.into_iter().cycle());
        let some: Vec<_> = steps.filter(|(_, taken)| *taken).map(|(step, _)| step.clone()).collect();
        perform(&mut world.observed, &plan.clone().without(|step| !some.contains(step)));
        if lost {
            world.observed.queues.retain(|(vhost, name), _| {
                !touched.places.contains(&(vhost.clone(), Place::Queue(name.clone())))
            });
        }
        renewed.renew(&touched, sight(&world.observed, &touched));
        prop_assert_eq!(&renewed, &world.observed);
        let (short, long) = (plan.again(&after, &renewed), plan.again(&after, &world.observed));
        prop_assert_eq!(short, long);
    }
}
