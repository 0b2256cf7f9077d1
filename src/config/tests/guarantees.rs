//! What a consumer promises about each message, and what excludes what.

use super::{check, desired};
use crate::model::{AckMode, ConsumerSpec};

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
