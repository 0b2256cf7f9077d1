//! Consumers of queues in other vhosts than that of the broker's address.

use super::{check, desired, resolve};

#[test]
fn a_consumer_may_be_in_another_vhost() {
    let text = "stack: s\nbroker: { url: \"amqp://localhost/home\" }\n\
        queues: { q: { dead_letter: { queue: d } }, d: }\n\
        vhosts: { b: { queues: { q: { type: quorum, dead_letter: { queue: d } }, d: } } }\n\
        consumers:\n  here: { queue: q, command: [x], retry: { delays: [1s] } }\n  \
        home: { vhost: home, queue: q, command: [x], retry: { delays: [1s, 2s] } }\n  \
        there: { vhost: b, queue: q, command: [x], retry: { delays: [1s, 3s] } }\n";
    let desired = desired(text);
    let shown: Vec<_> = desired
        .fleet
        .consumers()
        .map(|spec| format!("{}: {} {} {}", spec.name, spec.vhost, spec.queue, spec.queue_type))
        .collect();
    assert_eq!(shown, ["here: home q classic", "home: home q classic", "there: b q quorum"]);
    let queues = desired.topology.queues();
    let retries: Vec<_> = queues
        .filter(|queue| queue.name.as_str().contains(".retry."))
        .map(|queue| format!("{} {} {}", queue.vhost, queue.name, queue.kind))
        .collect();
    assert_eq!(
        retries,
        [
            "b q.retry.1s quorum",
            "b q.retry.3s quorum",
            "home q.retry.1s classic",
            "home q.retry.2s classic"
        ]
    );
}

#[test]
fn the_queue_is_looked_for_in_that_vhost() {
    check(
        "stack: s\nqueues: { one: }\n\
         vhosts: { b: { queues: { two: } } }\n\
         consumers:\n  a: { vhost: b, queue: one, command: [x] }\n  \
         b: { queue: two, command: [x] }\n  \
         c: { vhost: c, queue: three, command: [x] }\n",
        &[
            "E0302 a.yaml:5:25 consumer `a` wants queue `one` of vhost `b`, which is not declared",
            "E0302 a.yaml:6:15 consumer `b` wants queue `two`, which is not declared",
            "E0302 a.yaml:7:25 consumer `c` wants queue `three` of vhost `c`, which is not declared",
        ],
    );
}

#[test]
fn the_hint_says_where_such_a_queue_is() {
    let text = "stack: s\nvhosts: { b: { queues: { two: } } }\n\
        consumers:\n  b: { queue: two, command: [x] }\n";
    let found = resolve(&[text]).expect_err("it is in another vhost");
    insta::assert_snapshot!(found.sources.render(&found.problems, false), @r"
    error[E0302]: consumer `b` wants queue `two`, which is not declared
     --> a.yaml:4:15
      |
    4 |   b: { queue: two, command: [x] }
      |               ^^^
      |
      = hint: add `vhost: b` for the queue of that name in vhost `b`
    ");
}
