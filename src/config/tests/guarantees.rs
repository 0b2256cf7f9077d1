//! What a consumer promises about each message, and what excludes what.

use super::{check, desired};
use crate::model::{AckMode, ConsumerSpec, DedupeKey, Order};

/// The consumer `c` with those keys, on a queue of that kind.
fn text(queue: &str, keys: &str) -> String {
    format!(
        "stack: s\nqueues: {{ q: {{ dead_letter: {{ queue: d }}, {queue} }}, d: }}\n\
         consumers:\n  c: {{ queue: q, command: [x], {keys} }}\n"
    )
}

fn spec(queue: &str, keys: &str) -> ConsumerSpec {
    desired(&text(queue, keys)).fleet.consumers().next().expect("one").clone()
}

#[test]
fn acks_come_from_the_child_or_for_it() {
    assert_eq!(spec("", "").ack, AckMode::Each);
    assert_eq!(spec("", "ack: each, retry: { delays: [1s] }").ack, AckMode::Each);
    assert_eq!(spec("", "ack: auto, protocol: lines").ack, AckMode::Auto);
    check(&text("", "ack: automatic"), &["E0106 a.yaml:4:37 `ack` takes `each` or `auto`"]);
    let keys = "ack: auto, retry: { delays: [1s] }, max_crashes: 2, dead_letter: { by: broker }, \
                protocol: exec, reply: stdout";
    let means_nothing = |column: u32, key: &str| {
        format!(
            "E0111 a.yaml:4:{column} `{key}` means nothing with `ack: auto` [a.yaml:4:37 given here]"
        )
    };
    let expected = [
        means_nothing(50, "retry"),
        means_nothing(81, "max_crashes"),
        means_nothing(97, "dead_letter"),
        means_nothing(136, "reply"),
    ];
    check(&text("", keys), &expected.each_ref().map(String::as_str));
}

const SINGLE: &str = "single_active_consumer: true";

#[test]
fn strict_order_is_one_message_at_a_time() {
    let strict = spec(SINGLE, "order: strict, timeout: 1m, retry: { delays: [1s, 1m] }");
    assert_eq!((strict.order, strict.workers.get(), strict.prefetch.get()), (Order::Strict, 1, 1));
    assert!(strict.in_place());
    let resolved = desired(&text(SINGLE, "order: strict, timeout: 1m, retry: { delays: [1s] }"));
    let queues: Vec<_> = resolved.topology.queues().map(|queue| queue.name.as_str()).collect();
    assert_eq!(queues, ["d", "q"], "delays need no queues");
    assert_eq!(spec("", "order: any").prefetch.get(), 64);
    // Who does not declare the queue has to know what it is.
    assert_eq!(spec("manage: false", "order: strict").order, Order::Strict);
    let means_nothing = |column: u32, key: &str| {
        format!(
            "E0111 a.yaml:4:{column} `{key}` means nothing with `order: strict` [a.yaml:4:39 given here]"
        )
    };
    let keys = "order: strict, workers: 2, prefetch: 2, rollout: { strategy: canary }";
    let expected =
        [means_nothing(56, "workers"), means_nothing(69, "prefetch"), means_nothing(81, "rollout")];
    check(&text(SINGLE, keys), &expected.each_ref().map(String::as_str));
    let expected = [means_nothing(52, "ack")];
    check(&text(SINGLE, "order: strict, ack: auto"), &expected.each_ref().map(String::as_str));
    assert_eq!(spec(SINGLE, "order: strict, workers: 1, prefetch: 1").prefetch.get(), 1);
}

#[test]
fn strict_order_needs_its_queue_and_its_time() {
    let single =
        "E0406 a.yaml:4:39 consumer `c` has `order: strict`, but several may consume queue `q`";
    check(&text("", "order: strict"), &[single]);
    check(&text("single_active_consumer: false", "order: strict"), &[single]);
    check(
        "stack: s\nqueues: { q: { type: stream } }\nconsumers:\n  c: { queue: q, command: [x], order: strict }\n",
        &["E0111 a.yaml:4:39 consumer `c` has `order: strict`, but `q` is a stream"],
    );
    // Four tries of 7 minutes and pauses of 1: 29 minutes are too many.
    let keys = |timeout: &str| {
        format!("order: strict, timeout: {timeout}, retry: {{ immediate: 2, delays: [1m] }}")
    };
    check(
        &text(SINGLE, &keys("7m")),
        &["E0403 a.yaml:4:67 4 tries of a message of consumer `c` may take 29m"],
    );
    assert_eq!(spec(SINGLE, &keys("6m59s")).timeout, Some(std::time::Duration::from_secs(419)));
    let Err(unresolved) = super::resolve(&[&text(SINGLE, &keys("7m"))]) else { panic!("refused") };
    let hint = "set `timeout` to at most 6m59s, or shorten the pauses";
    assert_eq!(unresolved.problems[0].hint.as_deref(), Some(hint));
}

#[test]
fn duplicates_are_known_by_a_key_for_a_while() {
    let dedupe = |keys: &str| spec("", &format!("dedupe: {keys}")).dedupe.expect("given");
    let minutes = std::time::Duration::from_mins;
    let default = dedupe("{}");
    assert_eq!((&default.by, default.window), (&DedupeKey::MessageId, minutes(10)));
    assert_eq!(default.max.get(), 100_000);
    let given = dedupe("{ by: { header: x-request }, window: 1h, max: 5 }");
    assert_eq!((given.by, given.window), (DedupeKey::Header("x-request".into()), minutes(60)));
    assert_eq!(
        (given.max.get(), dedupe("{ by: correlation_id }").by),
        (5, DedupeKey::CorrelationId)
    );
    assert_eq!(spec("", "").dedupe, None);
    let problem =
        |keys: &str, expected: &str| check(&text("", &format!("dedupe: {keys}")), &[expected]);
    problem("{ by: body }", "E0106 a.yaml:4:46 `by` takes `message_id` or `correlation_id`");
    problem("{ by: {} }", "E0105 a.yaml:4:46 `by` has no `header`");
    problem("{ window: 0s }", "E0106 a.yaml:4:50 `window` takes a duration of at least 1ms");
    problem("{ max: 0 }", "E0106 a.yaml:4:47");
    let auto = "E0111 a.yaml:4:51 `dedupe` means nothing with `ack: auto` [a.yaml:4:37 given here]";
    check(&text("", "ack: auto, dedupe: {}"), &[auto]);
}
