//! Bad input: every kind of it is refused at its place, together with all else that is wrong.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::{check, check_all, desired, problems, resolve};

#[test]
fn empty() {
    for text in ["", "\n\n", "# only a comment\n", "---\n", "~\n"] {
        check(text, &["E0005 a.yaml:1:1 there is nothing in this file"]);
    }
}

#[test]
fn byte_order_mark_is_accepted_and_moves_no_column() {
    let text = "\u{feff}stack: orders\nqueues:\n  é: { typ: x }\n";
    check(text, &["E0102 a.yaml:3:8 there is no key `typ` here"]);
    desired("\u{feff}stack: orders\n");
}

#[test]
fn tabs() {
    let found = resolve(&["stack: orders\nqueues:\n\tbilling: {}\n"]).expect_err("a tab indents");
    assert_eq!(found.problems[0].code, "E0001");
    assert_eq!(found.problems[0].hint.as_deref(), Some("indent with spaces, not with tabs"));
    assert_eq!(found.sources.locate(found.problems[0].origin.unwrap()).unwrap().line, 3);
}

#[test]
fn duplicate_keys() {
    check(
        "stack: s\nqueues:\n  a: {}\n  b: { type: quorum, type: classic }\n  a: {}\n",
        &[
            "E0103 a.yaml:4:22 the key `type` is given twice [a.yaml:4:8 first given here]",
            "E0103 a.yaml:5:3 the key `a` is given twice [a.yaml:3:3 first given here]",
        ],
    );
}

#[test]
fn unknown_keys() {
    check(
        "stack: s\nqueus: {}\nqueues:\n  a: { mesage_ttl: 5s, zzz: 1 }\n",
        &[
            "E0102 a.yaml:2:1 there is no key `queus` here",
            "E0102 a.yaml:4:8 there is no key `mesage_ttl` here",
            "E0102 a.yaml:4:24 there is no key `zzz` here",
        ],
    );
    let found = resolve(&["stack: s\nqueus: {}\n"]).unwrap_err();
    assert_eq!(found.problems[0].hint.as_deref(), Some("did you mean `queues`?"));
}

#[test]
fn what_comes_later_is_refused_as_such() {
    for key in ["admin", "log", "plugins"] {
        let message = format!("E0104 a.yaml:2:1 `{key}` is not supported yet");
        check(&format!("stack: s\n{key}: {{}}\n"), &[&message]);
    }
    for key in ["plugin", "with"] {
        let text = format!(
            "stack: s\nqueues: {{ q: }}\nconsumers:\n  c:\n    queue: q\n    command: [x]\n    \
             discard: true\n    {key}: 1\n"
        );
        check(&text, &["E0104 a.yaml:8:5"]);
    }
}

#[test]
fn scalars_that_tools_read_differently() {
    check(
        "stack: s\nqueues:\n  q:\n    durable: no\n    max_length: 0777\n    arguments:\n      \
         a: yes\n      b: 0777\n      c: 12:30\n      d: 0x1F\n      e: 1_000\n      f: +1\n",
        &[
            "E0101 a.yaml:4:14 `durable` takes `true` or `false`, not `no`",
            "E0110 a.yaml:5:17",
            "E0110 a.yaml:7:10 `yes`",
            "E0110 a.yaml:8:10 `0777`",
            "E0110 a.yaml:9:10 `12:30`",
            "E0110 a.yaml:10:10 `0x1F`",
            "E0110 a.yaml:11:10 `1_000`",
            "E0110 a.yaml:12:10 `+1`",
        ],
    );
}

#[test]
fn alias_bombs() {
    let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..20 {
        let before = level - 1;
        let items = vec![format!("*a{before}"); 10].join(",");
        writeln!(text, "a{level}: &a{level} [{items}]").unwrap();
    }
    let start = Instant::now();
    check(&text, &["E0008"]);
    // Two orders of magnitude above what it takes, and far below what expanding would.
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    check("stack: s\nqueues: &q { a: *q }\n", &["E0001 a.yaml:2:17 this alias stands inside"]);
    check("stack: *nowhere\n", &["E0001 a.yaml:1:8 not valid YAML"]);
}

#[test]
fn aliases_and_merge_keys_that_are_no_bombs() {
    let text = "stack: s\nqueues:\n  a: &base { type: quorum, max_length: 5 }\n  b: *base\n  \
                c: { <<: *base, max_length: 7 }\n";
    let topology = desired(text).topology;
    let lengths: Vec<_> = topology.queues().map(|q| q.arguments["x-max-length"].clone()).collect();
    assert_eq!(lengths.iter().map(ToString::to_string).collect::<Vec<_>>(), ["5", "5", "7"]);
}

#[test]
fn deep_nesting() {
    check(&format!("stack: {}", "[".repeat(20_000)), &["E0008 a.yaml:1:"]);
    let mut text = String::new();
    for depth in 0..100 {
        writeln!(text, "{}a:", " ".repeat(depth)).unwrap();
    }
    check(&text, &["E0008 a.yaml:"]);
}

#[test]
fn several_documents() {
    check("stack: s\n---\nqueues: {}\n", &["E0006 a.yaml:2:1 a second document"]);
    desired("---\nstack: s\n");
}

#[test]
fn tags() {
    check(
        "stack: !!str 7\nqueues: !include queues.yaml\n",
        &["E0007 a.yaml:2:18 the tag `!include`"],
    );
    check("stack: !env NAME\n", &["E0007 a.yaml:1:13"]);
    assert_eq!(desired("stack: !!str 7\n").stack.as_str(), "7");
}

#[test]
fn names() {
    let long = "x".repeat(256);
    check(
        &format!("stack: s\nqueues:\n  \"a\\tb\": {{}}\n  {long}: {{}}\n  \"\": {{}}\n"),
        &[
            r"E0107 a.yaml:3:3 `a\tb` cannot be a name: a name cannot contain the control character",
            "E0107 a.yaml:4:3 `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…` cannot be a name: a name has at most 255",
            "E0107 a.yaml:5:3 `` cannot be a name",
        ],
    );
    check(
        "stack: s\nqueues: { amq.q: {} }\nexchanges: { amq.e: {}, \"\": {} }\n",
        &["E0306 a.yaml:2:11", "E0306 a.yaml:3:14", "E0306 a.yaml:3:25"],
    );
    check("stack: a b\n", &["E0107 a.yaml:1:8"]);
    desired("stack: s\nexchanges: { amq.topic: { type: topic, manage: false } }\n");
}

#[test]
fn prefetch_and_workers() {
    for (value, place) in [("0", "6:17"), ("-1", "6:17"), ("65536", "6:17"), ("many", "6:17")] {
        for key in ["prefetch", " workers"] {
            let text = format!(
                "stack: s\nqueues: {{ q: }}\nconsumers:\n  c: {{ queue: q, command: [x],\n    \
                 discard: true,\n      {key}: {value} }}\n"
            );
            let found = problems(&[&text]);
            assert_eq!(found.lines().count(), 1, "{found}");
            assert!(found.contains(place) && found.starts_with("E01"), "{found}");
        }
    }
}

#[test]
fn durations() {
    for value in ["30", "-5s", "5 s", "1.5s", "s", "5x", "50d", "99999999999999999999s", "[1s]", ""]
    {
        let text = format!("stack: s\nqueues:\n  q:\n    message_ttl: {value}\n");
        let found = problems(&[&text]);
        assert_eq!(found.lines().count(), 1, "{value}: {found}");
        assert!(found.contains(" a.yaml:4:1"), "{value}: {found}");
    }
    check("stack: s\nqueues: { q: { expires: 0s } }\n", &["E0106 a.yaml:2:25"]);
}

#[test]
fn references() {
    check(
        "stack: s\nexchanges:\n  orders: { bind: [{ exchange: nowhere }] }\nqueues:\n  q:\n    \
         bind: [{ exchange: ordres, key: k }, { exchange: amq.topic }, { exchange: \"\" }]\n\
         bindings:\n  - { exchange: orders, queue: p }\n  - { source: orders, destination: r }\n",
        &[
            "E0301 a.yaml:3:32 exchange `nowhere` is not declared",
            "E0301 a.yaml:6:24 exchange `ordres` is not declared",
            "E0306 a.yaml:6:79 nothing can be bound to the default exchange",
            "E0302 a.yaml:8:32 queue `p` is not declared",
            "E0301 a.yaml:9:36 exchange `r` is not declared",
        ],
    );
    desired(
        "stack: s\nexchanges: { e: { manage: false } }\nqueues: { q: { bind: [{ exchange: e }] } }\n",
    );
}

#[test]
fn dead_letter_targets() {
    check(
        "stack: s\nqueues:\n  a: { dead_letter: { queue: b } }\n  c: { dead_letter: { exchange: d } }\n  \
         e: { dead_letter: {} }\n  f: { dead_letter: { queue: a, exchange: d } }\n  \
         g: { dead_letter: { queeu: a } }\npolicies:\n  p:\n    pattern: ^e\n    definition: { dead-letter-exchange: h }\n",
        &[
            "E0303 a.yaml:3:30 queue `a` dead-letters to queue `b`",
            "E0303 a.yaml:4:33 queue `c` dead-letters to exchange `d`",
            "E0105 a.yaml:5:21 `dead_letter` names neither",
            "E0111 a.yaml:6:21 `dead_letter` takes either",
            "E0102 a.yaml:7:23 there is no key `queeu` here",
        ],
    );
    check(
        "stack: s\nqueues: { a: }\npolicies:\n  p: { pattern: ^a, definition: { dead-letter-exchange: h } }\n",
        &["E0303 a.yaml:4:35 queue `a` dead-letters to exchange `h`"],
    );
}

#[test]
fn dead_letter_cycles() {
    check(
        "stack: s\nqueues:\n  a: { dead_letter: { queue: b } }\n  b: { dead_letter: { queue: a } }\n",
        &[
            "E0304 a.yaml:3:30 dead-lettered messages go round: `a` → `b` → `a` [a.yaml:4:30 from queue `b`]",
        ],
    );
    // Through exchanges, topics and a policy, and back to itself.
    check(
        "stack: s\nexchanges:\n  x: { type: topic }\n  y: { type: fanout, bind: { exchange: x, key: \"dead.#\" } }\n\
         queues:\n  a: { bind: { exchange: y }, dead_letter: { exchange: x, key: dead.a.b } }\n",
        &["E0304 a.yaml:6:56 dead-lettered messages go round: `a` → `a`"],
    );
    // A pause or a limit anywhere in it makes it a retry loop.
    desired(
        "stack: s\nqueues:\n  a: { dead_letter: { queue: b } }\n  b: { message_ttl: 5s, dead_letter: { queue: a } }\n",
    );
    desired(
        "stack: s\nqueues:\n  a: { dead_letter: { queue: b } }\n  b: { dead_letter: { queue: a } }\n\
         policies: { p: { pattern: ^b$, definition: { message-ttl: 5000 } } }\n",
    );
    // Another key than the binding's, and a message whose key nobody here knows.
    desired(
        "stack: s\nqueues:\n  a: { bind: { exchange: amq.direct, key: k }, dead_letter: { exchange: amq.direct, key: l } }\n",
    );
    desired(
        "stack: s\nqueues:\n  a: { bind: { exchange: amq.direct, key: k }, dead_letter: { exchange: amq.direct } }\n",
    );
}

#[test]
fn what_does_not_fit_the_queue_type() {
    check(
        "stack: s\nqueues:\n  a: { type: quorum, durable: false, auto_delete: true, exclusive: true }\n  \
         b: { type: stream, message_ttl: 5s, dead_letter: { queue: a }, durable: false }\n  \
         c: { max_age: 7d, delivery_limit: 5, initial_group_size: 3 }\n  \
         d: { type: quorum, max_priority: 5, overflow: reject-publish-dlx }\n  \
         e: { arguments: { x-max-age: 7D, x-unheard-of: 1 } }\n",
        &[
            "E0305 a.yaml:3:31 `durable: false` on the quorum queue `a`",
            "E0305 a.yaml:3:51 `auto_delete: true` on the quorum queue `a`",
            "E0305 a.yaml:3:57 queue `a` cannot be exclusive",
            "E0305 a.yaml:4:35 `message_ttl` does not exist on stream queues",
            "E0305 a.yaml:4:52 `dead_letter` does not exist on stream queues",
            "E0305 a.yaml:4:61 `dead_letter` does not exist on stream queues",
            "E0305 a.yaml:4:75 `durable: false` on the stream queue `b`",
            "E0305 a.yaml:5:17 `max_age` does not exist on classic queues",
            "E0305 a.yaml:5:37 `delivery_limit` does not exist on classic queues",
            "E0305 a.yaml:5:60 `initial_group_size` does not exist on classic queues",
            "E0305 a.yaml:6:36 `max_priority` does not exist on quorum queues",
            "E0305 a.yaml:6:49 `reject-publish-dlx` does not exist on quorum queues",
            "E0305 a.yaml:7:21 `max_age` does not exist on classic queues",
        ],
    );
}

#[test]
fn retired_and_misplaced_arguments() {
    check(
        "stack: s\nqueues:\n  a: { arguments: { x-queue-mode: lazy, x-queue-version: 1, x-queue-type: quorum } }\n  \
         b: { message_ttl: 5s, arguments: { x-message-ttl: 5000, x-expires: soon } }\n  \
         c: { arguments: { x-queue-version: 2 } }\n",
        &[
            "E0308 a.yaml:3:21 queue `a` has the argument `x-queue-mode`",
            "E0308 a.yaml:3:41 queue `a` has the argument `x-queue-version`",
            "E0111 a.yaml:3:61 the type of queue `a` is given as an argument",
            "E0111 a.yaml:4:21 `message_ttl` and the argument `x-message-ttl` are the same thing",
            "E0106 a.yaml:4:59 `expires` takes a whole number from 1 to 4294967295, not `\"soon\"`",
        ],
    );
}

#[test]
fn at_least_once_that_is_not() {
    check(
        "stack: s\nqueues:\n  a: { type: quorum, dead_letter_strategy: at-least-once, overflow: reject-publish }\n  \
         b: { type: quorum, dead_letter_strategy: at-least-once, dead_letter: { queue: a } }\n  \
         c: { type: quorum, dead_letter_strategy: at-least-once, dead_letter: { queue: a }, overflow: reject-publish }\n",
        &[
            "E0309 a.yaml:3:44 `at-least-once` on queue `a`",
            "E0309 a.yaml:4:44 `at-least-once` on queue `b`",
        ],
    );
}

#[test]
fn the_same_thing_in_two_files() {
    check_all(
        &[
            "stack: s\nqueues: { a: { bind: { exchange: e } } }\nexchanges: { e: }\npolicies: { p: { pattern: a, definition: { x: 1 } } }\n",
            "stack: t\nqueues: { a: }\nexchanges: { e: }\npolicies: { p: { pattern: a, definition: { x: 1 } } }\n\
             bindings: [{ exchange: e, queue: a }]\nbroker: {}\n",
            "broker: {}\n",
        ],
        &[
            "E0109 1.yaml:1:1 `stack` is given in two files [a.yaml:1:1 first given here]",
            "E0109 1.yaml:2:11 queue `a` is declared twice [a.yaml:2:11 first declared here]",
            "E0109 1.yaml:3:14 exchange `e` is declared twice [a.yaml:3:14 first declared here]",
            "E0109 1.yaml:4:13 policy `p` is declared twice [a.yaml:4:13 first declared here]",
            "E0109 1.yaml:5:12 the binding of queue `a` to exchange `e` with key `` is declared twice [a.yaml:2:22 first",
            "E0109 2.yaml:1:1 `broker` is given in two files [1.yaml:6:1 first given here]",
        ],
    );
}

#[test]
fn broker_addresses() {
    for (url, place) in [
        ("http://localhost", "2:16"),
        ("localhost:5672", "2:16"),
        ("amqp://u:se%cret%2@h/%2f", "2:16"),
        ("amqp://u:secret@h:99999/%2f", "2:16"),
        ("amqp://u:secret@h/", "2:16"),
        ("amqp://u:secret@h/a/b", "2:16"),
        ("amqp://u:secret@h//", "2:16"),
        ("amqp://u:secret@h/v?cacertfile=x", "2:16"),
        ("amqp://u:secret@h/v?heartbeat=x", "2:16"),
        ("\"amqp://u:secret@h/v#x\"", "2:16"),
        ("amqp:///v", "2:16"),
        ("[]", "2:16"),
        ("{}", "2:16"),
        ("[amqp://h/a, amqp://h/b]", "2:29"),
    ] {
        let text = format!("stack: s\nbroker: {{ url: {url} }}\n");
        let found = resolve(&[&text]).expect_err(url);
        let shown = found.sources.render(&found.problems, false);
        assert_eq!(found.problems.len(), 1, "{shown}");
        assert!(shown.contains(&format!("a.yaml:{place}")), "{url}\n{shown}");
        assert!(!shown.contains("secret") && !shown.contains("cret%2"), "{shown}");
    }
}

#[test]
fn a_password_in_the_file_is_advice() {
    let advice = ["W0001 a.yaml:2:16 the broker's address holds a password"];
    check("stack: s\nbroker: { url: \"amqp://u:secret@h/%2f\" }\n", &advice);
    check("stack: s\nbroker: { url: \"${NO:-amqp://u:secret@h/%2f}\" }\n", &advice);
    check("stack: s\nbroker: { url: \"amqp://guest:guest@h/%2f\" }\n", &[]);
    check("stack: s\nbroker: { url: \"amqp://u@h/%2f\" }\n", &[]);
}

#[test]
fn a_missing_stack_is_asked_for_once() {
    check("queues: {}\n", &["E0105 a.yaml:1:1 the stack has no name"]);
    check("- a\n", &["E0101 a.yaml:1:1 `the file` takes a map"]);
}
