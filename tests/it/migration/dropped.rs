//! A file that changes its mind about a queue in the middle of its migration, which a kill has cut
//! off at each step in turn.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    PATIENCE, STEPS, bind_by_hand, bindings, exchanges, fill, queue_type, stack, start_apply, url,
    wait_until,
};
use crate::reconcile::{api, get, queue_names};
use crate::support::queue::Outside;
use crate::support::stack::Stack;

/// Messages in the queue when its migration begins: enough for a kill to come in the middle.
const HELD: u32 = 3000;

pub(super) const PARTS: [&str; 3] =
    ["work", "warrener.migrate.work.old", "warrener.migrate.work.new"];

/// Begins to apply, and kills it as soon as it says that it has come to a step. Whether it did.
pub(super) fn killed_at(step: &str, stack: &Stack) -> bool {
    let mut apply = start_apply(stack);
    let log = || std::fs::read_to_string(stack.path("err")).unwrap_or_default();
    wait_until(step, PATIENCE, || {
        log().contains(step) || apply.try_wait().expect("its state").is_some()
    });
    apply.kill().expect("killed");
    apply.wait().expect("dead");
    log().contains(step)
}

/// The file wants `work` to be another, with its messages.
pub(super) fn want(stack: &mut Stack, queue: &Value, bound: &Value) {
    stack.document["queues"]["work"] = queue.clone();
    stack.document["queues"]["work"]["bind"] = bound.clone();
    // Written by whoever runs a command.
    stack.plan();
}

/// The file knows it no more.
pub(super) fn drop_it(stack: &mut Stack) {
    stack.document["queues"] = json!({});
}

pub(super) fn temporary(stack: &Stack) -> Vec<String> {
    let names = exchanges(stack).into_iter().chain(queue_names(stack));
    names.filter(|name| name.starts_with("warrener.")).collect()
}

/// Waits until whoever was killed has nothing any more.
pub(super) async fn settle(outside: &Outside) {
    for part in PARTS {
        if outside.depth(part).await.is_some() {
            outside.wait_for_consumers(part, 0, PATIENCE).await;
        }
    }
}

/// With `--prune` and without, nothing is lost and nothing is hidden; with the queue back in the
/// file, its migration is finished.
#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_queue_with_messages_stays_and_can_be_put_back() {
    let mut stack = stack();
    let bound = stack.document["queues"]["work"]["bind"].clone();
    let wanted = |kind: &str| json!({"type": kind, "on_conflict": "migrate"});
    let mut kind = "quorum";
    tokio::task::block_in_place(|| {
        assert_eq!(stack.apply().code, Some(0));
    });
    let before = tokio::task::block_in_place(|| bindings(&stack));
    fill(&url(&stack), HELD).await;
    let outside = Outside::connect(&url(&stack)).await;
    let (mut hit, mut told) = (BTreeSet::new(), 0);
    // A kill that comes late passes over the next step, so there is more than one try.
    for step in STEPS.into_iter().cycle().take(3 * STEPS.len()) {
        if hit.contains(step) {
            continue;
        }
        tokio::task::block_in_place(|| {
            // A kill that came late has left nothing to do: back again.
            if temporary(&stack).is_empty()
                && (queue_type(&stack) == "quorum") == (kind == "quorum")
            {
                kind = if kind == "quorum" { "classic" } else { "quorum" };
            }
            want(&mut stack, &wanted(kind), &bound);
            // The last round has pruned what is diverted and restored. Its kill may have come while
            // the queue itself was gone.
            let fork = "warrener.migrate.work";
            let forked = exchanges(&stack).contains(fork).then(|| format!("e/{fork}"));
            let there =
                queue_names(&stack).iter().any(|name| name == "work").then(|| "q/work".to_owned());
            for to in forked.into_iter().chain(there) {
                let bind = format!("bindings/{}/e/orders/{to}", stack.vhost());
                api(Method::POST, &bind, Some(&json!({"routing_key": "order.#"})));
            }
            hit.extend(killed_at(step, &stack).then_some(step));
        });
        settle(&outside).await;
        tokio::task::block_in_place(|| {
            let parts = temporary(&stack);
            drop_it(&mut stack);
            let drift = stack.run(&["drift", "stack.yaml"]);
            assert_eq!(drift.code, Some(2), "{step}: {drift:?}");
            assert!(
                !drift.out.contains("undeclared: exchange")
                    && !drift.out.contains("undeclared: queue"),
                "{step}: {drift:?}"
            );
            let pruned = stack.run(&["apply", "--prune", "stack.yaml"]);
            assert_eq!(pruned.code, Some(0), "{step}: {pruned:?}");
            let planned = stack.run(&["plan", "--prune", "stack.yaml"]);
            assert!(planned.out.contains("kept: queue work: it holds "), "{step}: {planned:?}");
            if !parts.is_empty() {
                told += 1;
                let why = "kept: queue work: no file declares it any more, and making it anew was interrupted\n  hint: declare it again to have that finished; `--prune` deletes it, with all its parts, if it holds nothing\n";
                assert!(drift.out.contains(why), "{step}: {drift:?}");
                let why = ", and making it anew was interrupted\n  hint: declare it again to have that finished; `--force` deletes it with all its parts\n";
                assert!(planned.out.contains(why), "{step}: {planned:?}");
            }
            assert_eq!(temporary(&stack), parts, "{step}: {pruned:?}");
        });
    }
    assert_eq!(hit.len(), STEPS.len(), "{hit:?}");
    assert!(told > STEPS.len() / 2, "interrupted {told} times");
    tokio::task::block_in_place(|| {
        want(&mut stack, &wanted(kind), &bound);
        let applied = stack.apply();
        assert_eq!(applied.code, Some(0), "{applied:?}");
        assert_eq!(stack.plan().code, Some(0));
        assert_eq!(queue_type(&stack) == "quorum", kind == "quorum");
        assert_eq!(bindings(&stack), before);
        assert_eq!(temporary(&stack), Vec::<String>::new());
    });
    assert_eq!(distinct(&outside).await, HELD as usize, "messages were lost");
}

async fn distinct(outside: &Outside) -> usize {
    let found = outside.take_all("work").await;
    found.iter().map(|found| found.body.as_str()).collect::<BTreeSet<_>>().len()
}

/// Has the queue, with so many messages, dropped from the file when its migration was cut off at that
/// step. Gives a connection of its own: a channel remembers the quorum queue that had the name before.
pub(super) async fn dropped_at(step: &str, held: u32, stack: &mut Stack, bound: &Value) -> Outside {
    tokio::task::block_in_place(|| {
        want(stack, &json!({"type": "classic"}), bound);
        let applied = stack.apply();
        assert_eq!(applied.code, Some(0), "{step}: {applied:?}");
    });
    fill(&url(stack), held).await;
    tokio::task::block_in_place(|| {
        want(stack, &json!({"type": "quorum", "on_conflict": "migrate"}), bound);
        assert!(killed_at(step, stack), "{step} was not reached");
        drop_it(stack);
    });
    let outside = Outside::connect(&url(stack)).await;
    settle(&outside).await;
    outside
}

/// Takes the messages out of all parts of the queue.
pub(super) async fn empty(outside: &Outside) {
    for part in PARTS {
        if outside.depth(part).await.is_some() {
            outside.take_all(part).await;
        }
    }
}

/// Empty in all its parts it goes with all of them, and with `--force` whatever it holds.
#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_queue_goes_with_all_its_parts() {
    let mut stack = stack();
    let bound = stack.document["queues"]["work"]["bind"].clone();
    for (number, step) in STEPS.into_iter().enumerate() {
        let outside = dropped_at(step, HELD, &mut stack, &bound).await;
        let force = number % 2 == 0;
        if !force {
            empty(&outside).await;
        }
        tokio::task::block_in_place(|| {
            let mut command = vec!["apply", "--prune", "stack.yaml"];
            command.extend(force.then_some("--force"));
            let pruned = stack.run(&command);
            assert_eq!(pruned.code, Some(0), "{step}: {pruned:?}");
            assert_eq!(queue_names(&stack), Vec::<String>::new(), "{step}: {pruned:?}");
            assert_eq!(temporary(&stack), Vec::<String>::new(), "{step}: {pruned:?}");
            assert_eq!(bindings(&stack).len(), 0);
            let again = stack.run(&["drift", "stack.yaml"]);
            assert_eq!(again.code, Some(0), "{step}: {again:?}");
        });
    }
}

/// A third form is what comes of it where the file agrees to another migration; where it does not,
/// what was begun is finished, and the rest is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_to_be_a_third_loses_nothing() {
    let mut stack = stack();
    let bound = stack.document["queues"]["work"]["bind"].clone();
    tokio::task::block_in_place(|| {
        assert_eq!(stack.apply().code, Some(0));
        bind_by_hand(&stack);
    });
    let before = tokio::task::block_in_place(|| bindings(&stack));
    fill(&url(&stack), HELD).await;
    let outside = Outside::connect(&url(&stack)).await;
    let mut kind = "quorum";
    for (number, step) in STEPS.into_iter().enumerate() {
        tokio::task::block_in_place(|| {
            want(&mut stack, &json!({"type": kind, "on_conflict": "migrate"}), &bound);
            assert!(killed_at(step, &stack), "{step} was not reached");
            let agreed = number % 2 == 0;
            let mut third = json!({"type": "classic", "max_length": 1_000_000 + number});
            if agreed {
                third["on_conflict"] = json!("migrate");
            }
            want(&mut stack, &third, &bound);
            let applied = stack.apply();
            let planned = stack.plan();
            // Not yet made anew, it is made the third at once; later that takes consent.
            let made_anew = STEPS[..number].contains(&"making it anew");
            assert!(agreed || !made_anew || applied.code != Some(0), "{step}: {applied:?}");
            if agreed || applied.code == Some(0) {
                assert_eq!((applied.code, planned.code), (Some(0), Some(0)), "{step}: {applied:?}");
                let queue = get(&format!("queues/{}/work", stack.vhost()));
                assert_eq!(queue["arguments"]["x-max-length"], 1_000_000 + number, "{queue}");
                kind = "quorum";
            } else {
                // 1 where the kill came when all was done.
                assert!(matches!(applied.code, Some(1 | 3)), "{step}: {applied:?}");
                assert_eq!(planned.code, Some(1), "{step}: {planned:?}");
                assert!(planned.out.starts_with("! queue work: "), "{planned:?}");
                kind = "classic";
            }
            assert_eq!(temporary(&stack), Vec::<String>::new(), "{step}: {applied:?}");
            assert_eq!(bindings(&stack), before, "{step}");
        });
    }
    assert_eq!(distinct(&outside).await, HELD as usize, "messages were lost");
}
