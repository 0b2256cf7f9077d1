//! From any topology to any other on a real broker, past what strangers have there, and past a
//! `kill -9` in the middle.
//!
//! Each lane is a walk through random topologies in vhosts of its own: every two that follow each
//! other are a pair. What the broker should show of a topology is worked out from the topology
//! alone, by [`topologies::expected`].
//!
//! `WARRENER_TEST_PAIRS` says how many pairs are tried in all, `WARRENER_TEST_LANES` in how many
//! lanes at once, `WARRENER_TEST_SEED` which, and `WARRENER_TEST_FIRST` with which pair a lane
//! begins, to see one of them again.

mod followed;
mod sights;
mod topologies;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::reconcile::api;
use crate::support::stack::Stack;
use sights::{normal, passwords_hold, sights};
use topologies::{Names, expected, nothing, random};

/// Pairs, and the lanes they are shared among, where nobody says how many.
const PAIRS: u64 = 12;
const LANES: u64 = 2;

const FORCED: [&str; 4] = ["apply", "--prune", "--force", "stack.yaml"];

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn set(stack: &mut Stack, sections: &Value) {
    for (section, value) in sections.as_object().expect("a map") {
        stack.document[section] = value.clone();
    }
}

/// Puts beside the stack what is not its own.
fn add_strangers(home: &str) {
    api(Method::PUT, &format!("queues/{home}/stranger"), Some(&json!({})));
    api(Method::PUT, &format!("exchanges/{home}/strange"), Some(&json!({"type": "fanout"})));
    api(
        Method::POST,
        &format!("bindings/{home}/e/strange/q/stranger"),
        Some(&json!({"routing_key": "s"})),
    );
    let upstream = json!({"value": {"uri": "amqp://"}});
    api(Method::PUT, &format!("parameters/federation-upstream/{home}/strange"), Some(&upstream));
    let policy = json!({"pattern": "^none$", "definition": {"max-length": 9}, "apply-to": "queues", "priority": 0});
    api(Method::PUT, &format!("operator-policies/{home}/strange"), Some(&policy));
}

/// What is expected of a topology, and the strangers.
fn together(mut expected: Value, before: &Value, names: &Names) -> Value {
    for (section, strangers) in before[&names.home].as_object().expect("a map") {
        if let (Value::Array(all), Value::Array(strangers)) =
            (&mut expected[&names.home][section], strangers)
        {
            all.extend(strangers.iter().cloned());
        }
    }
    normal(expected)
}

/// Each object with the sections that it is in, so that a failure need not show all of them.
fn lines(all: &Value) -> BTreeSet<String> {
    let sections = all.as_object().into_iter().flatten();
    let parts = sections.flat_map(|(name, section)| match section {
        Value::Object(section) => {
            section.iter().map(|(kind, of)| (format!("{name} {kind}"), of)).collect()
        }
        of => vec![(name.clone(), of)],
    });
    parts
        .flat_map(|(name, of)| match of {
            Value::Array(objects) => {
                objects.iter().map(|object| format!("{name} {object}")).collect()
            }
            of => vec![format!("{name} {of}")],
        })
        .collect()
}

/// What only one of two sights has.
fn differences(found: &Value, wanted: &Value) -> Vec<String> {
    lines(found).symmetric_difference(&lines(wanted)).cloned().collect()
}

/// Walks from one topology to the next; how many applies were killed on the way.
#[expect(clippy::print_stdout, reason = "a long walk takes a while")]
fn walk(seed: u64, first: u64, pairs: u64) -> u64 {
    let mut stack = Stack::new(json!({}));
    let names = Names::of(stack.vhost());
    add_strangers(&names.home);
    let before = sights(&names);
    // Each from a seed of its own, so that a pair can be had without those before it.
    let topology = |nth: u64| {
        let mut rng = fastrand::Rng::with_seed(seed.wrapping_mul(1_000_003).wrapping_add(nth));
        (random(&mut rng, &names), rng)
    };
    let mut killed = 0;
    let (mut from, _) = topology(first);
    set(&mut stack, &from);
    let applied = stack.run(&FORCED);
    assert_eq!(applied.code, Some(0), "seed {seed}, topology {first}: {from}\n{applied:?}");
    let mut took = Duration::from_millis(500);
    for pair in first..first + pairs {
        let (to, mut rng) = topology(pair + 1);
        let what = || format!("seed {seed}, pair {pair}:\n{from}\n{to}\n");
        set(&mut stack, &to);
        if rng.bool() {
            killed += u64::from(stack.run_killed(&FORCED, took.mul_f64(1.2 * rng.f64())));
        }
        let start = Instant::now();
        let applied = stack.run(&FORCED);
        took = start.elapsed();
        assert_eq!(applied.code, Some(0), "{}{applied:?}", what());
        let again = stack.run(&["plan", "--prune", "stack.yaml"]);
        let settled = "nothing to do: the broker is as the files say\n";
        assert_eq!(again.out, settled, "{}{}", what(), again.err);
        let wanted = together(expected(&to, &names), &before, &names);
        let differences = differences(&normal(sights(&names)), &wanted);
        assert!(differences.is_empty(), "{}{differences:#?}", what());
        assert!(passwords_hold(&to["users"]), "{}", what());
        from = to;
        if (pair - first) % 50 == 49 {
            println!("seed {seed}: {} pairs", pair - first + 1);
        }
    }
    set(&mut stack, &nothing());
    let applied = stack.run(&FORCED);
    assert_eq!(applied.code, Some(0), "seed {seed}: {from}\n{applied:?}");
    assert_eq!(lines(&normal(sights(&names))), lines(&normal(before)), "seed {seed}: {from}");
    killed
}

#[test]
#[expect(clippy::print_stdout, reason = "how many pairs were killed on the way is worth knowing")]
fn from_one_random_topology_to_another() {
    let (seed, first) = (number("WARRENER_TEST_SEED", 7), number("WARRENER_TEST_FIRST", 0));
    let lanes = number("WARRENER_TEST_LANES", LANES).max(1);
    let pairs = number("WARRENER_TEST_PAIRS", PAIRS).div_ceil(lanes);
    let start = Instant::now();
    let killed = std::thread::scope(|scope| {
        let walks: Vec<_> =
            (0..lanes).map(|lane| scope.spawn(move || walk(seed + lane, first, pairs))).collect();
        walks.into_iter().map(|walk| walk.join().expect("its assertions hold")).sum::<u64>()
    });
    let seconds = start.elapsed().as_secs();
    println!("{} pairs, {killed} applies killed, in {seconds} s", pairs * lanes);
}
