//! From one topology to the next under a running supervisor, a little at a time.
//!
//! What changes is small, so most of it is brought about without a look at all the rest. The look
//! that follows must never find anything to mend.

use std::time::Duration;

use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::{Value, json};

use super::sights::{normal, passwords_hold, sights};
use super::topologies::{Names, SECTIONS, expected, random};
use super::{add_strangers, differences, number, set, together};
use crate::reconcile::api;
use crate::support::stack::Stack;
use crate::support::supervisor::{PATIENCE, Supervisor, wait_until};

/// Changes, where nobody says how many.
const CHANGES: u64 = 30;

/// One of so many is cut off by a `kill -9`, and followed by another supervisor.
const KILLED: u8 = 6;

/// The longest pause before a change: a look may begin in it, be under way, or be over.
const PAUSE: Duration = Duration::from_millis(1500);

/// The longest time from a change to the end of its supervisor.
const CUT_OFF: Duration = Duration::from_millis(400);

/// What supervisors say.
const STARTED: &str = "started: topology: ";
const RELOADED: &str = "reloaded: topology: ";
const SAME: &str = "the files say the same as before";
const REFUSED: &str = "the change is refused";
const DRIFTED: &str = "the broker had drifted";

/// What stays as it is, so that a single loss is never much of what the stack owns.
const BALLAST: usize = 40;

/// Takes one entry of `to` in place of what `from` has of it.
fn take_one(from: &mut Value, to: &Value, rng: &mut fastrand::Rng) {
    // Most of it can be brought about in place.
    let section = SECTIONS[rng.usize(0..SECTIONS.len()).min(rng.usize(0..SECTIONS.len()))];
    let keys = |of: &Value| {
        of[section].as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect()
    };
    let keys: Vec<String> =
        [keys(from), keys(to)].into_iter().flat_map(|keys: Vec<_>| keys).collect();
    if keys.is_empty() {
        return;
    }
    let key = keys[rng.usize(0..keys.len())].as_str();
    if key.starts_with("ballast") {
        return;
    }
    match &to[section][key] {
        Value::Null => drop(from[section].as_object_mut().expect("a map").remove(key)),
        value => from[section][key] = value.clone(),
    }
}

/// Takes out what refers to nothing.
fn mend(sections: &mut Value, users: &Value) {
    let exchanges: Vec<String> = sections["exchanges"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name.clone())
        .collect();
    let known = |name: &Value| {
        name == "amq.topic" || exchanges.iter().any(|exchange| name == exchange.as_str())
    };
    for section in ["exchanges", "queues"] {
        for (_, end) in sections[section].as_object_mut().into_iter().flatten() {
            if let Some(bind) = end["bind"].as_array_mut() {
                bind.retain(|binding| known(&binding["exchange"]));
            }
        }
    }
    for section in ["permissions", "topic_permissions"] {
        if let Some(section) = sections[section].as_object_mut() {
            section.retain(|user, _| users.get(user).is_some());
        }
    }
    for (_, of_user) in sections["topic_permissions"].as_object_mut().into_iter().flatten() {
        if let Some(of_user) = of_user.as_object_mut() {
            of_user.retain(|exchange, _| known(&json!(exchange)));
        }
    }
}

/// The next topology: another in one thing, or in a few.
fn next(from: &Value, names: &Names, rng: &mut fastrand::Rng) -> Value {
    let (mut next, to) = (from.clone(), random(rng, names));
    for _ in 0..[1, 1, 1, 2, 4][rng.usize(0..5)] {
        match &to["vhosts"][names.other.as_str()] {
            other if rng.bool() && !other.is_null() => {
                take_one(&mut next["vhosts"][names.other.as_str()], other, rng);
            }
            _ => take_one(&mut next, &to, rng),
        }
    }
    let users = next["users"].clone();
    mend(&mut next, &users);
    mend(&mut next["vhosts"][names.other.as_str()], &users);
    next
}

/// What everything begins with: a topology with another vhost, and what stays.
fn first(names: &Names, rng: &mut fastrand::Rng) -> Value {
    loop {
        let mut topology = random(rng, names);
        if topology["vhosts"].get(&names.other).is_some() {
            for n in 0..BALLAST {
                topology["policies"][format!("ballast {n}")] =
                    json!({"pattern": "^none$", "priority": 0, "definition": {"max-length": 7}});
            }
            return topology;
        }
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "how many were killed on the way is worth knowing")]
fn a_supervisor_follows_one_small_change_after_the_other() {
    let seed = number("WARRENER_TEST_SEED", 7);
    let changes = number("WARRENER_TEST_CHANGES", CHANGES);
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut stack = Stack::new(json!({"reconcile": {"prune": true, "interval": "2s"}}));
    let names = Names::of(stack.vhost());
    add_strangers(&names.home);
    let before = sights(&names);
    let mut topology = first(&names, &mut rng);
    let mut supervisor = Supervisor::prepare();
    let save = |supervisor: &Supervisor, stack: &Stack| {
        supervisor.write("stack.yaml", &stack.document.to_string());
    };
    let said = |supervisor: &Supervisor, words: &str| supervisor.log().matches(words).count();
    set(&mut stack, &topology);
    save(&supervisor, &stack);
    supervisor.start();
    supervisor.wait_for(STARTED);
    let mut killed = 0;
    for change in 0..changes {
        let to = next(&topology, &names, &mut rng);
        if to == topology {
            continue;
        }
        let what = || format!("seed {seed}, change {change}:\n{topology}\n{to}\n");
        set(&mut stack, &to);
        std::thread::sleep(PAUSE.mul_f64(rng.f64()));
        let reloads = |supervisor: &Supervisor| said(supervisor, RELOADED) + said(supervisor, SAME);
        let (begun, reloaded) = (said(&supervisor, STARTED), reloads(&supervisor));
        save(&supervisor, &stack);
        if rng.u8(0..KILLED) == 0 {
            std::thread::sleep(CUT_OFF.mul_f64(rng.f64()));
            supervisor.signal(Signal::SIGKILL);
            supervisor.exited(PATIENCE);
            killed += 1;
            supervisor.start();
            wait_until("another supervisor", PATIENCE, || said(&supervisor, STARTED) > begun);
        } else {
            wait_until("the change", PATIENCE, || {
                assert_eq!(said(&supervisor, REFUSED), 0, "{}", what());
                reloads(&supervisor) > reloaded
            });
        }
        let wanted = together(expected(&to, &names), &before, &names);
        let found = differences(&normal(sights(&names)), &wanted);
        assert!(found.is_empty(), "{}{found:#?}", what());
        assert!(passwords_hold(&to["users"]), "{}", what());
        topology = to;
    }
    // It does look, and only this was there to mend.
    api(Method::DELETE, &format!("policies/{}/ballast%200", names.home), None);
    supervisor.wait_for(DRIFTED);
    assert_eq!(said(&supervisor, "had drifted"), 1, "seed {seed}: not all was brought about");
    supervisor.wait_for("had drifted: topology: 1 created, 0 updated");
    println!("{} reloads, {killed} supervisors killed", said(&supervisor, RELOADED));
}
