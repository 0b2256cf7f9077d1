//! Advice: each rule speaks where it should and is silent where it should not.

use std::path::Path;

use warrener::config::{Environment, Loader};
use warrener::lint::{RULES, lint};
use warrener::model::{Severity, codes};

struct Nothing;

impl Environment for Nothing {
    fn variable(&self, _: &str) -> Result<Option<String>, String> {
        Ok(None)
    }

    fn file(&self, _: &Path) -> Result<String, String> {
        Err("no such file".into())
    }
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let mut loader = Loader::new(&Nothing);
    loader.add("a.yaml", &format!("stack: s\n{text}\n"), Path::new("/stack"));
    let resolved = loader.finish();
    let resolved = resolved.unwrap_or_else(|found| {
        panic!("{}", found.sources.render(&found.problems, false));
    });
    let found: Vec<_> = lint(&resolved.desired)
        .into_iter()
        .map(|problem| {
            assert_eq!(problem.severity, Severity::Warning);
            assert!(problem.hint.is_some(), "advice comes with a mend");
            format!("{} {}", problem.code, problem.message)
        })
        .collect();
    let matches = found.len() == expected.len()
        && found.iter().zip(expected).all(|(found, expected)| found.starts_with(expected));
    assert!(matches, "expected {expected:#?}, found {found:#?}");
}

#[track_caller]
fn check_consumer(keys: &str, expected: &[&str]) {
    let text = format!(
        "queues: {{ q: }}\nconsumers: {{ c: {{ queue: q, command: [x], discard: true, {keys} }} }}"
    );
    check(&text, expected);
}

#[test]
fn every_rule_has_a_code() {
    for rule in RULES {
        assert!(codes::TABLE.iter().any(|code| code.code == rule.code), "{}", rule.code);
    }
}

#[test]
fn dead_letters_that_go_nowhere() {
    let queue = |exchange: &str, dead_letter: &str, rest: &str| {
        format!(
            "exchanges: {{ in: {{ type: topic }}, dead: {{ {exchange} }} }}\n\
             queues: {{ d: , q: {{ bind: {{ exchange: in, key: k }}, dead_letter: {{ {dead_letter} }} }} }}\n{rest}"
        )
    };
    let nowhere = "W0016 queue `q` dead-letters to exchange `dead`";
    check(&queue("type: fanout", "exchange: dead", ""), &[nowhere]);
    let bound = "bindings: [{ exchange: dead, queue: d, key: a }]";
    for (exchange, dead_letter, rest, expected) in [
        ("type: fanout", "exchange: dead", bound, true),
        ("type: direct", "exchange: dead, key: a", bound, true),
        ("type: direct", "exchange: dead, key: b", bound, false),
        ("type: topic", "exchange: dead, key: b", bound, false),
        // Through a topic exchange any key may have come.
        ("type: direct", "exchange: dead", bound, true),
        // What others declare, they bind.
        ("type: direct, manage: false", "exchange: dead, key: b", bound, true),
        ("type: direct, alternate_exchange: amq.fanout", "exchange: dead, key: b", bound, true),
        ("type: direct, alternate_exchange: \"\"", "exchange: dead, key: b", bound, true),
        // From one exchange to the next.
        ("type: fanout", "exchange: dead", "bindings: [{ exchange: dead, destination: in }]", true),
    ] {
        let expected: &[&str] = if expected { &[] } else { &[nowhere] };
        check(&queue(exchange, dead_letter, rest), expected);
    }
    let direct = "exchanges: { in: { type: direct }, dead: { type: direct } }\nqueues: { d: , q: { bind: { exchange: in, key: k }, dead_letter: { exchange: dead } } }\n";
    for (key, expected) in [("k", true), ("q", true), ("other", false)] {
        let bound = format!("{direct}bindings: [{{ exchange: dead, queue: d, key: {key} }}]");
        let expected: &[&str] = if expected { &[] } else { &[nowhere] };
        check(&bound, expected);
    }
    let policy = "exchanges: { dead: }\nqueues: { q: }\npolicies: { p: { pattern: q, definition: { dead-letter-exchange: dead } } }";
    check(policy, &[nowhere]);
}

#[test]
fn an_alternate_exchange_that_nobody_declares() {
    let exchanges = |keys: &str, rest: &str| format!("exchanges: {{ in: {{ {keys} }}, {rest} }}");
    let unknown = "W0018 what exchange `in` cannot route goes to exchange `rest`";
    check(&exchanges("alternate_exchange: rest", ""), &[unknown]);
    check(&exchanges("alternate_exchange: rest, manage: false", ""), &[]);
    check(&exchanges("alternate_exchange: rest", "rest: { type: fanout }"), &[]);
    check(&exchanges("alternate_exchange: rest", "rest: { manage: false }"), &[]);
    check(&exchanges("alternate_exchange: amq.fanout", ""), &[]);
    check(&exchanges("alternate_exchange: \"\"", ""), &[]);
    let policy = "exchanges: { in: }\npolicies: { p: { pattern: in, definition: { alternate-exchange: rest } } }";
    check(policy, &[unknown]);
}

#[test]
fn a_delay_queue_that_expires() {
    let delay = |keys: &str, rest: &str| {
        format!("queues: {{ q: , wait: {{ {keys}, dead_letter: {{ queue: q }} }} }}\n{rest}")
    };
    let lost = "W0017 what waits in queue `wait`";
    check(&delay("message_ttl: 1m, expires: 1h", ""), &[lost]);
    check(&delay("message_ttl: 1m", ""), &[]);
    check(&delay("expires: 1h", ""), &[]);
    let by_policy = "policies: { p: { pattern: wait, definition: { expires: 1000 } } }";
    check(&delay("message_ttl: 1m", by_policy), &[lost]);
    let consumed = "consumers: { c: { queue: wait, command: [x] } }";
    check(&delay("message_ttl: 1m, expires: 1h", consumed), &[]);
}

#[test]
fn nothing_to_say() {
    check_consumer("prefetch: 256", &[]);
    check_consumer("protocol: exec", &[]);
    check("queues: { q: { max_priority: 10 }, t: { durable: false, manage: false } }", &[]);
}

#[test]
fn consumers() {
    check_consumer("prefetch: 257", &["W0005 a worker of consumer `c` may hold 4.0 GiB"]);
    check_consumer("prefetch: 1000, max_message: 1MiB", &[]);
    check_consumer("protocol: exec, prefetch: 2", &["W0006 consumer `c` fetches 2 messages"]);
    check_consumer("timeout: none", &["W0007 consumer `c` has no time limit"]);
    check_consumer("ack: auto", &["W0012 what a process of consumer `c` has"]);
}

#[test]
fn queues() {
    check("queues: { q: { durable: false } }", &["W0008 queue `q`"]);
    check("queues: { q: { max_priority: 11 } }", &["W0011 queue `q` has 11 priorities"]);
}

#[test]
fn delivery_limits() {
    let text = |queue: &str, policy: &str, keys: &str| {
        format!(
            "queues: {{ q: {{ type: quorum, dead_letter: {{ queue: d }}, {queue} }}, d: }}\n\
             policies: {{ p: {{ pattern: ^q$, definition: {{ {policy} }} }} }}\n\
             consumers: {{ c: {{ queue: q, command: [x], {keys} }} }}"
        )
    };
    let few =
        ["W0013 queue `q` gives up a message that has come back 3 times, before consumer `c`"];
    check(&text("delivery_limit: 3", "max-length: 1", ""), &few);
    check(&text("delivery_limit: 9", "delivery-limit: 3", ""), &few);
    check(&text("delivery_limit: 4", "max-length: 1", ""), &[]);
    check(&text("delivery_limit: 3", "max-length: 1", "max_crashes: 2"), &[]);
    check(&text("delivery_limit: -1", "max-length: 1", ""), &[]);
    check(&text("", "max-length: 1", ""), &[]);
}

#[test]
fn brokers() {
    let guest = ["W0004 the user `guest` on `rabbit.example`"];
    check("broker: { url: \"amqp://guest:guest@rabbit.example/%2f\" }", &guest);
    check("broker: { url: \"amqp://rabbit.example/%2f\" }", &guest);
    check("broker: { url: \"amqp://other:guest@rabbit.example/%2f\" }", &[]);
    check("broker: { url: \"amqp://guest:guest@[::1]/%2f\" }", &[]);
}

#[test]
fn policies() {
    check(
        "policies: { p: { pattern: \"a{x}\", definition: { max-length: 1 } } }",
        &["W0003 the pattern of policy `p`"],
    );
    check(
        "policies: { p: { pattern: a, definition: { x-message-ttl: 1, mesage-ttl: 1, hash-header: x } } }",
        &[
            "W0009 policy `p` has the unfamiliar key `mesage-ttl`",
            "W0009 policy `p` has the unfamiliar key `x-message-ttl`",
        ],
    );
    let two = |priority: i64| {
        format!(
            "queues: {{ ab: , ba: }}\npolicies:\n  p: {{ pattern: a, definition: {{ max-length: 1 }} }}\n  \
             r: {{ pattern: b, priority: {priority}, definition: {{ max-length: 2 }} }}"
        )
    };
    check(&two(0), &["W0010 policies `p` and `r` both match queue `ab` with priority 0"]);
    check(&two(1), &[]);
}
