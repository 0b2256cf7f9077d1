//! A migration that was cut off, and a file that knows the queue no more: everything that is seen
//! of it, and everything that goes.

use insta::assert_snapshot;

use super::*;
use crate::model::{OnRemove, QueueName, QueueType, StackName, Topology, TopologyParts};
use crate::plan::memory_tests::{binding, exchange, perform, queue, topology, vhost};
use crate::plan::migration::plain_binding;
use crate::plan::ownership_tests::{FORCE, PRUNE, World, text};
use crate::plan::{Change, Consent, Drift, Failure, Owner, Plan, Style, render_drift};

/// Where the migration was when it was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// Bindings lead to the queue as well as to the fork.
    Diverting,
    /// The queue is being emptied, new messages are collected.
    Emptying,
    /// It is deleted, and not declared yet.
    Away,
    /// It is made anew, and has its messages back; the fork leads to it again.
    Joined,
}

const ALL: [Cut; 4] = [Cut::Diverting, Cut::Emptying, Cut::Away, Cut::Joined];

fn name(text: &str) -> QueueName {
    QueueName::new(text).expect("a name")
}

fn exchange_name(text: &str) -> ExchangeName {
    ExchangeName::new(text).expect("a name")
}

fn all() -> TopologyParts {
    TopologyParts {
        exchanges: vec![exchange("orders", "topic")],
        queues: vec![queue("work", QueueType::Classic)],
        bindings: vec![binding("orders", "work", "a"), binding("orders", "work", "b")],
        ..TopologyParts::default()
    }
}

/// The same without the queue.
fn dropped() -> Topology {
    topology(TopologyParts { queues: Vec::new(), bindings: Vec::new(), ..all() })
}

fn add_exchange(observed: &mut Observed, name: &ExchangeName) {
    observed.exchanges.insert((vhost(), name.clone()), exchange_for_a_moment_away());
}

/// A world in which `work` was declared, and its migration was cut off.
fn cut(at: Cut) -> World {
    let mut world = World::new();
    world.apply(&topology(all()), Consent::default());
    let Scaffold { fork, aside, out, back, old, new } = Scaffold::of(&name("work"));
    let work = Destination::Queue(name("work"));
    let observed = &mut world.observed;
    for name in [&fork, &aside, &out] {
        add_exchange(observed, name);
    }
    for name in [&old, &new] {
        observed.queues.insert((vhost(), name.clone()), queue_for_a_moment_away());
    }
    let bindings = observed.bindings.as_mut().expect("bindings are seen");
    let diverted = bindings.iter().map(|key| Scaffold::of(&name("work")).diverted(key));
    let diverted: BTreeSet<_> = diverted.collect();
    if at != Cut::Diverting {
        bindings.clear();
    }
    bindings.extend(diverted);
    bindings.insert(plain_binding(&vhost(), &aside, Destination::Queue(new)));
    bindings.insert(plain_binding(&vhost(), &out, Destination::Queue(old)));
    if matches!(at, Cut::Diverting | Cut::Joined) {
        bindings.insert(plain_binding(&vhost(), &fork, work.clone()));
    }
    if at == Cut::Joined {
        bindings.insert(plain_binding(&vhost(), &back, work));
        add_exchange(observed, &back);
    }
    if at == Cut::Away {
        observed.queues.remove(&(vhost(), name("work")));
    }
    world
}

fn drift(world: &World, topology: &Topology) -> String {
    let plan = world.plan(topology, Consent::default());
    let drift = Drift::new(plan, topology, &world.observed);
    render_drift(&drift, &|_| "orders.yaml:12:3".into(), Style::default())
}

fn temporary(world: &World) -> usize {
    let World { observed, .. } = world;
    let exchanges = observed.exchanges.keys().filter(|(_, name)| is_temporary(name.as_str()));
    let queues = observed.queues.keys().filter(|(_, name)| is_temporary(name.as_str()));
    exchanges.count() + queues.count()
}

#[test]
fn declared_it_is_finished_and_its_bindings_are_not_missed() {
    for at in ALL {
        let world = cut(at);
        let plan = world.plan(&topology(all()), PRUNE);
        assert_eq!(
            text(&plan),
            "» queue work: it was being made anew, and that was interrupted, made anew with its messages and bindings\n\
             0 to create, 0 to update, 0 in conflict, 1 to migrate\n",
            "{at:?}"
        );
        assert!(
            drift(&world, &topology(all()))
                .ends_with("1 not as declared, 0 no longer declared, 0 that nobody declares\n")
        );
    }
}

#[test]
fn without_prune_it_stays_and_is_told_wherever_it_was_cut_off() {
    for at in ALL {
        let mut world = cut(at);
        let told = text(&world.apply(&dropped(), Consent::default()));
        assert_eq!(told, "\
kept: queue work: no file declares it any more, and making it anew was interrupted
  hint: declare it again to have that finished; `--prune` deletes it, with all its parts, if it holds nothing
owned and no longer declared: binding orders → work (key a), binding orders → work (key b); `--prune` deletes it
nothing to do: the broker is as the files say
", "{at:?}");
        // It is still owned, also where it is not there at the moment.
        assert!(world.ownership.own.contains(&ResourceId::Queue(vhost(), name("work"))));
        let drift = drift(&world, &dropped());
        assert!(
            drift.ends_with("0 not as declared, 3 no longer declared, 0 that nobody declares\n"),
            "{drift}"
        );
    }
}

#[test]
fn with_a_message_in_any_part_it_is_not_deleted() {
    for at in ALL {
        let Scaffold { old, new, .. } = Scaffold::of(&name("work"));
        for part in ["work", old.as_str(), new.as_str()] {
            let mut world = cut(at);
            world.use_queue(part, Usage { messages: 3, consumers: 0 });
            let plan = world.apply(&dropped(), PRUNE);
            let told = text(&plan);
            assert!(told.contains("kept: queue work: it holds 3 messages, and making it anew was interrupted\n  hint: declare it again to have that finished; `--force` deletes it with all its parts\n"), "{at:?} {told}");
            assert!(!told.contains("- queue") && !told.contains("- exchange"), "{at:?} {told}");
            assert!(world.ownership.own.contains(&ResourceId::Queue(vhost(), name("work"))));
        }
        // Several parts hold what they hold together.
        let mut world = cut(at);
        world.use_queue(old.as_str(), Usage { messages: 3, consumers: 1 });
        world.use_queue(new.as_str(), Usage { messages: 4, consumers: 0 });
        let told = text(&world.plan(&dropped(), PRUNE));
        assert!(told.contains("it holds 7 messages and has 1 consumer, and making"), "{told}");
    }
}

#[test]
fn empty_it_goes_with_all_its_parts() {
    let told: Vec<_> = ALL.map(|at| text(&cut(at).plan(&dropped(), PRUNE))).into();
    assert_snapshot!(told[1], @r"
    - binding orders → warrener.migrate.work (key a)
    - binding orders → warrener.migrate.work (key b)
    - queue work
    - queue warrener.migrate.work.old
    - queue warrener.migrate.work.new
    - exchange warrener.migrate.work
    - exchange warrener.migrate.work.aside
    - exchange warrener.migrate.work.out
    0 to create, 0 to update, 0 in conflict, 8 to delete
    ");
    assert_snapshot!(told[2], @r"
    - binding orders → warrener.migrate.work (key a)
    - binding orders → warrener.migrate.work (key b)
    - queue warrener.migrate.work.old
    - queue warrener.migrate.work.new
    - exchange warrener.migrate.work
    - exchange warrener.migrate.work.aside
    - exchange warrener.migrate.work.out
    0 to create, 0 to update, 0 in conflict, 7 to delete
    ");
    for at in ALL {
        for consent in [PRUNE, FORCE] {
            let mut world = cut(at);
            if consent == FORCE {
                world.use_queue("warrener.migrate.work.old", Usage { messages: 1, consumers: 0 });
            }
            world.apply(&dropped(), consent);
            assert_eq!(temporary(&world), 0, "{at:?}");
            assert_eq!(world.observed.queues.len(), 0);
            assert!(world.observed.bindings.iter().flatten().next().is_none());
            assert_eq!(world.ownership.own.len(), 1, "the exchange that is left");
            assert_eq!(
                text(&world.plan(&dropped(), PRUNE)),
                "nothing to do: the broker is as the files say\n"
            );
        }
    }
}

/// Killed after any of its steps, the deletion is gone on with by the next apply.
#[test]
fn a_deletion_that_was_cut_off_is_finished() {
    for at in ALL {
        let steps = cut(at).plan(&dropped(), PRUNE).changes().len();
        for done in 0..=steps {
            let mut world = cut(at);
            let plan = world.plan(&dropped(), PRUNE);
            let claims = plan.ledger_claims().clone();
            let part: Plan = plan.clone().without(|change| {
                let nth = plan.changes().iter().position(|other| other == change);
                nth >= Some(done)
            });
            perform(&mut world.observed, &part);
            world.ownership.own = claims;
            world.apply(&dropped(), PRUNE);
            assert_eq!(temporary(&world), 0, "{at:?}, {done} of {steps} done");
            assert_eq!(world.observed.queues.len(), 0);
            assert_eq!(world.ownership.own.len(), 1);
        }
    }
}

/// Prunes, but for the steps whose bits are set: those are refused.
fn fail_in_parts(world: &mut World, topology: &Topology, refused: u32) {
    let plan = world.plan(topology, PRUNE);
    let nth = |change: &Change| {
        plan.changes().iter().position(|other| other == change).expect("it is of the plan")
    };
    let is_refused = |change: &Change| refused & (1 << nth(change)) != 0;
    let refusals = plan.changes().iter().filter(|change| is_refused(change));
    let failed: Vec<_> = refusals
        .map(|change| Failure { change: change.clone(), reason: "no".into(), hint: None })
        .collect();
    perform(&mut world.observed, &plan.clone().without(is_refused));
    world.ownership.own = plan.ledger_after(&failed);
}

/// Whatever of it could not be deleted, the next apply deletes; a message that has come to one of the
/// parts meanwhile holds all that is left, and can be had by declaring the queue again.
#[test]
fn a_deletion_that_failed_in_parts_is_finished() {
    let work = ResourceId::Queue(vhost(), name("work"));
    for at in ALL {
        let steps = cut(at).plan(&dropped(), PRUNE).changes().len();
        for refused in 1..1_u32 << steps {
            let mut world = cut(at);
            fail_in_parts(&mut world, &dropped(), refused);
            let queues: Vec<_> = world.observed.queues.keys().cloned().collect();
            for (_, held) in &queues {
                let mut late =
                    World { observed: world.observed.clone(), ownership: world.ownership.clone() };
                late.use_queue(held.as_str(), Usage { messages: 1, consumers: 0 });
                let told = text(&late.apply(&dropped(), PRUNE));
                assert!(told.contains("kept: queue work: it holds 1 message"), "{at:?} {told}");
                assert!(late.ownership.own.contains(&work), "{at:?} {told}");
                let again = text(&late.plan(&topology(all()), Consent::default()));
                assert_eq!(
                    again.contains("made anew with its messages"),
                    temporary(&late) > 0,
                    "{at:?} {again}"
                );
            }
            world.apply(&dropped(), PRUNE);
            assert_eq!(temporary(&world), 0, "{at:?}, {refused:b} of {steps} refused");
            assert_eq!(world.observed.queues.len(), 0, "{at:?}, {refused:b} of {steps} refused");
            assert!(world.observed.bindings.iter().flatten().next().is_none());
            assert_eq!(world.ownership.own.len(), 1, "the exchange that is left");
        }
    }
}

#[test]
fn what_others_have_bound_to_it_counts_on_its_detour_too() {
    for at in ALL {
        let mut world = cut(at);
        let direct = BindingKey::from(&binding("amq.topic", "work", "theirs"));
        let diverted = Scaffold::of(&name("work")).diverted(&direct);
        world.observed.bindings.as_mut().expect("seen").insert(diverted);
        let told = text(&world.plan(&dropped(), PRUNE));
        assert!(told.contains("kept: queue work: the binding amq.topic → work (key theirs), which nobody declares, would go with it, and making it anew was interrupted\n"), "{at:?} {told}");
        assert!(!told.contains("- queue"), "{told}");
        assert!(
            drift(&world, &dropped())
                .contains("undeclared: binding amq.topic → work (key theirs)\n")
        );
    }
}

#[test]
fn what_is_to_be_retained_stays_owned_until_it_is_whole() {
    for consent in [Consent::default(), PRUNE] {
        let mut world = cut(Cut::Away);
        let id = ResourceId::Queue(vhost(), name("work"));
        world.ownership.own.claim(id.clone(), OnRemove::Retain);
        let told = text(&world.apply(&dropped(), consent));
        assert_eq!(
            told,
            "\
kept: queue work: it is to stay, and making it anew was interrupted
  hint: declare it again to have that finished, and remove it from the file then
nothing to do: the broker is as the files say
"
        );
        assert_eq!(world.ownership.own.on_remove(&id), Some(OnRemove::Retain));
        assert!(temporary(&world) > 0);
    }
}

/// What another stack is making anew is none of ours, and no stranger.
#[test]
fn what_another_stack_was_making_anew_is_left_alone() {
    let mut world = cut(Cut::Away);
    let owner = || Owner {
        stack: StackName::new("theirs").expect("a name"),
        home: vhost(),
        parameter: "warrener.theirs".into(),
    };
    let own = std::mem::take(&mut world.ownership.own);
    world.ownership.others = own.iter().map(|(id, _)| (id.clone(), owner())).collect();
    let nothing = topology(TopologyParts::default());
    assert!(world.plan(&nothing, FORCE).is_empty());
    assert_eq!(
        drift(&world, &nothing),
        "no drift: the broker is as the files say, and has nothing else\n"
    );
}

/// A world in which `inner` was declared, and making it anew was cut off while it was not there: its
/// bindings are held by two others. With what a file declares that has it, and one that has not.
fn cut_exchange() -> (World, Topology, Topology) {
    let parts = || TopologyParts {
        exchanges: vec![exchange("orders", "topic"), exchange("inner", "topic")],
        queues: vec![queue("work", QueueType::Classic)],
        bindings: vec![binding("inner", "work", "a")],
        ..TopologyParts::default()
    };
    let mut world = World::new();
    world.apply(&topology(parts()), Consent::default());
    let ShadowNames { to, from } = ShadowNames::of(&exchange_name("inner"));
    let observed = &mut world.observed;
    observed.exchanges.remove(&(vhost(), exchange_name("inner")));
    for name in [&to, &from] {
        add_exchange(observed, name);
    }
    let aside = from_another(&BindingKey::from(&binding("inner", "work", "a")), &from);
    observed.bindings = Some(BTreeSet::from([aside]));
    let mut fewer = parts();
    fewer.exchanges.truncate(1);
    fewer.bindings.clear();
    (world, topology(parts()), topology(fewer))
}

#[test]
fn an_exchange_that_was_being_made_anew_goes_with_its_parts() {
    let (mut world, all, fewer) = cut_exchange();
    // Declared, it is finished, and nothing is missed.
    assert_snapshot!(text(&world.plan(&all, PRUNE)), @r"
    ± exchange inner: it was being made anew, and that was interrupted, made anew with its bindings
    0 to create, 0 to update, 0 in conflict, 1 to replace
    ");
    assert_snapshot!(text(&world.plan(&fewer, PRUNE)), @r"
    - binding warrener.replace.inner.from → work (key a)
    - exchange warrener.replace.inner.to
    - exchange warrener.replace.inner.from
    0 to create, 0 to update, 0 in conflict, 3 to delete
    ");
    world.apply(&fewer, PRUNE);
    assert_eq!((temporary(&world), world.ownership.own.len()), (0, 2));
}

#[test]
fn the_deletion_of_an_exchange_that_failed_in_parts_is_finished() {
    for refused in 1..1 << 3 {
        let (mut world, all, fewer) = cut_exchange();
        fail_in_parts(&mut world, &fewer, refused);
        if temporary(&world) > 0 {
            let told = text(&world.plan(&fewer, Consent::default()));
            assert!(told.contains("kept: exchange inner: "), "{refused:b} {told}");
            let told = text(&world.plan(&all, Consent::default()));
            assert!(
                told.contains("± exchange inner: it was being made anew"),
                "{refused:b} {told}"
            );
        }
        world.apply(&fewer, PRUNE);
        assert_eq!((temporary(&world), world.ownership.own.len()), (0, 2), "{refused:b}");
    }
}

/// A binding that alone was dropped goes when what it leads to has been made whole again.
#[test]
fn a_dropped_binding_of_what_is_finished_is_deleted_where_it_will_be() {
    for at in ALL {
        let mut fewer = all();
        fewer.bindings.truncate(1);
        let told = text(&cut(at).plan(&topology(fewer), PRUNE));
        assert!(told.contains("- binding orders → work (key b)\n"), "{at:?} {told}");
    }
}
