//! Consumers: every key, every default, every refusal.

use std::num::{NonZeroU16, NonZeroU32};
use std::path::Path;
use std::time::Duration;

use super::{check, check_all, desired};
use crate::model::{
    ArgValue, BodyAs, CanarySpec, Confinement, ConsumerName, ConsumerSpec, Delimiter, ExitVerdict,
    FailureClass, Intensity, Limits, PoolSpec, Program, Queue, QueueType, RecycleSpec, Replies,
    RestartPolicy, RetrySpec, RolloutSpec, StopSignal, WireProtocol,
};

fn consumer(text: &str, name: &str) -> ConsumerSpec {
    let name = ConsumerName::new(name).expect("a name");
    desired(text).fleet.get(&name).expect("the consumer").clone()
}

#[test]
fn defaults() {
    let spec = consumer(
        "stack: s\nqueues: { q: { type: quorum, dead_letter: { queue: d } }, d: }\n\
         consumers: { c: { queue: q, command: [./x.py, 5, no] } }\n",
        "c",
    );
    assert_eq!(spec.program, Program::Command(vec!["./x.py".into(), "5".into(), "no".into()]));
    assert_eq!(spec.protocol, WireProtocol::Json { body_as: BodyAs::String });
    assert_eq!((spec.workers.get(), spec.prefetch.get()), (1, 64));
    assert_eq!(spec.timeout, Some(Duration::from_mins(25)));
    assert_eq!(spec.max_crashes.get(), 3);
    assert_eq!((spec.max_message.get(), spec.max_reply.get()), (16 << 20, 1 << 20));
    assert_eq!(spec.cwd, Path::new("/stack"));
    assert_eq!(
        (spec.queue_type, spec.dead_letters, spec.discard),
        (QueueType::Quorum, true, false)
    );
    assert_eq!((spec.retry, spec.arguments.len(), spec.env.len()), (None, 0, 0));
}

#[test]
fn every_key() {
    let spec = consumer(
        "stack: s\nqueues: { q: { dead_letter: { queue: d } }, d: }\nconsumers:\n  c:\n    queue: q\n    \
         shell: \"grep x | wc\"\n    protocol: exec\n    workers: 3\n    prefetch: 2\n    timeout: 90s\n    \
         retry: { delays: [1s, 90s] }\n    exit_codes: { 2: reject, 3: ack, default: requeue }\n    \
         discard: true\n    env: { A: 1, B: no }\n    cwd: sub/dir\n    \
         restart: { backoff: 2s, backoff_max: 4s, reset_after: 8s, intensity: { max: 0, period: 9s } }\n    stop: { signal: INT, grace: 0s }\n    \
         max_message: 64KiB\n    max_reply: 128\n    arguments: { x-a: [1, two] }\n    priority: 10\n    enabled: true\n",
        "c",
    );
    assert_eq!(spec.program, Program::Shell("grep x | wc".into()));
    assert_eq!(spec.protocol, WireProtocol::Exec);
    assert_eq!((spec.workers.get(), spec.prefetch.get()), (3, 2));
    assert_eq!(spec.timeout, Some(Duration::from_secs(90)));
    let delays = vec![Duration::from_secs(1), Duration::from_secs(90)];
    assert_eq!(spec.retry, Some(RetrySpec { delays, ..RetrySpec::default() }));
    let codes = &spec.exit_codes;
    assert_eq!(codes.default, ExitVerdict::Requeue);
    assert_eq!(
        (codes.codes[&2], codes.codes[&3], codes.codes[&0]),
        (ExitVerdict::Reject, ExitVerdict::Ack, ExitVerdict::Ack)
    );
    assert_eq!((spec.env["A"].as_str(), spec.env["B"].as_str()), ("1", "no"));
    assert_eq!(spec.cwd, Path::new("/stack/sub/dir"));
    assert_eq!(
        (spec.restart.backoff, spec.restart.backoff_max, spec.restart.reset_after),
        (Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(8))
    );
    let intensity = Intensity { max: 0, period: Duration::from_secs(9) };
    assert_eq!(
        (spec.restart.policy, spec.restart.intensity),
        (RestartPolicy::Permanent, intensity)
    );
    assert_eq!((spec.stop.signal, spec.stop.grace), (StopSignal::Int, Duration::ZERO));
    assert_eq!((spec.max_message.get(), spec.max_reply.get()), (64 << 10, 128));
    assert_eq!(spec.arguments["x-priority"], ArgValue::Int(10));
    assert_eq!(spec.arguments["x-a"].to_string(), r#"[1,"two"]"#);
}

#[test]
fn confinement() {
    let with = |keys: &str| {
        let text = format!(
            "stack: s\nqueues: {{ q: }}\nconsumers: {{ c: {{ queue: q, command: [x], discard: true, {keys} }} }}\n"
        );
        consumer(&text, "c").confinement
    };
    assert_eq!(with(""), Confinement::default());
    assert!(Confinement::default().no_new_privs);
    let given = with(
        "user: www-data, group: 33, no_new_privs: false, umask: 027, env_pass: [A, B_*, '*'], \
         limits: { memory: 512MiB, open_files: 256, cpu: 1h, processes: 20, file_size: 0 }",
    );
    let limits = Limits {
        memory: Some(512 << 20),
        open_files: Some(256),
        cpu: Some(Duration::from_hours(1)),
        processes: Some(20),
        file_size: Some(0),
    };
    let expected = Confinement {
        user: Some("www-data".into()),
        group: Some("33".into()),
        no_new_privs: false,
        umask: Some(0o27),
        env_pass: vec!["A".into(), "B_*".into(), "*".into()],
        limits,
    };
    assert_eq!(given, expected);
}

#[test]
fn confinement_that_cannot_be() {
    let text = "stack: s\nqueues: { q: }\nconsumers:\n  c:\n    queue: q\n    command: [x]\n    \
                discard: true\n    user: ''\n    umask: 999\n    env_pass: [A=B, WARRENER_X, '*X', OK]\n    \
                limits: { memory: 1, open_files: 3, cpu: 1500ms, cores: 1 }\n";
    check(
        text,
        &[
            "E0106 a.yaml:8:11 `user` takes a name or a number, not ``",
            "E0106 a.yaml:9:12 `umask` takes three octal digits, not `999`",
            "E0107 a.yaml:10:16 `A=B` cannot be the name of a variable, or the beginning of one and `*`",
            "E0107 a.yaml:10:21 `WARRENER_X` is never passed on",
            "E0107 a.yaml:10:33 `*X` cannot be the name of a variable",
            "E0106 a.yaml:11:23 `memory` takes at least 1.0 MiB",
            "E0106 a.yaml:11:38 `open_files` takes a whole number from 16",
            "E0106 a.yaml:11:46 `cpu` takes whole seconds, not `1500ms`",
            "E0102 a.yaml:11:54 there is no key `cores` here",
        ],
    );
    let text = "stack: s\nqueues: { q: }\nconsumers:\n  c:\n    queue: q\n    command: [x]\n    \
                discard: true\n    limits: { processes: 5 }\n";
    check(text, &["E0105 a.yaml:8:13 `limits.processes` counts all processes of a user"]);
}

#[test]
fn protocols() {
    let with = |keys: &str| {
        consumer(
            &format!(
                "stack: s\nqueues: {{ q: }}\nconsumers: {{ c: {{ queue: q, command: [x], discard: true, {keys} }} }}\n"
            ),
            "c",
        )
    };
    assert_eq!(
        with("protocol: lines, delimiter: nul").protocol,
        WireProtocol::Lines { delimiter: Delimiter::Nul }
    );
    assert_eq!(with("body_as: json").protocol, WireProtocol::Json { body_as: BodyAs::Json });
    assert_eq!(with("protocol: frames").protocol, WireProtocol::Frames);
    assert_eq!(with("protocol: frames").prefetch.get(), 64);
    assert_eq!(with("protocol: exec").prefetch.get(), 1);
    assert_eq!((with("").replies, with("").ready), (Replies::Stdout, None));
    assert_eq!(with("replies: fd3, protocol: lines").replies, Replies::Fd3);
    assert_eq!(with("tty: true, replies: stdout").replies, Replies::Terminal);
    assert_eq!(with("tty: false, replies: fd3").replies, Replies::Fd3);
    assert_eq!(with("ready: true").ready, Some(Duration::from_secs(30)));
    assert_eq!(with("ready: true, start_timeout: 2m").ready, Some(Duration::from_mins(2)));
    assert_eq!(with("ready: false, start_timeout: 2m").ready, None);
    let exec = |keys: &str| {
        let spec = with(&format!("protocol: exec{keys}"));
        (spec.reply_from_stdout, spec.metadata)
    };
    assert_eq!((exec(""), exec(", reply: stdout")), ((false, false), (true, false)));
    assert_eq!(exec(", reply: none, metadata_fd: 3"), (false, true));
    assert_eq!(with("timeout: none").timeout, None);
    check(
        "stack: s\nqueues: { q: }\nconsumers:\n  \
         a: { queue: q, command: [x], discard: true, protocol: exec, body_as: json, delimiter: nul }\n  \
         b: { queue: q, command: [x], discard: true, exit_codes: { 0: ack } }\n  \
         c: { queue: q, command: [x], discard: true, protocol: frames, body_as: json }\n  \
         d: { queue: q, command: [x], discard: true, protocol: exec, exit_codes: { 256: ack, 1: maybe } }\n  \
         e: { queue: q, command: [x], discard: true, protocol: exec, replies: fd3, ready: true }\n  \
         f: { queue: q, command: [x], discard: true, start_timeout: 1s, replies: stderr }\n  \
         g: { queue: q, command: [x], discard: true, reply: stdout, metadata_fd: 3 }\n  \
         h: { queue: q, command: [x], discard: true, protocol: exec, metadata_fd: 4 }\n  \
         i: { queue: q, command: [x], discard: true, protocol: exec, tty: true }\n  \
         j: { queue: q, command: [x], discard: true, replies: fd3, tty: true }\n",
        &[
            "E0404 a.yaml:4:72 `body_as` means something only with `protocol: json`",
            "E0404 a.yaml:4:89 `delimiter` means something only with `protocol: lines`",
            "E0404 a.yaml:5:47 `exit_codes` means something only with `protocol: exec`",
            "E0404 a.yaml:6:74 `body_as` means something only with `protocol: json`",
            "E0106 a.yaml:7:77 `256` is no exit code",
            "E0106 a.yaml:7:90 `1` takes one of",
            "E0404 a.yaml:8:72 `replies` means something only with `protocol: json`, `lines` or `frames`",
            "E0404 a.yaml:8:84 `ready` means something only with `protocol: json`, `lines` or `frames`",
            "E0404 a.yaml:9:62 `start_timeout` means something only with `ready: true`",
            "E0106 a.yaml:9:75 `replies` takes `stdout` or `fd3`, not `stderr`",
            "E0404 a.yaml:10:54 `reply` means something only with `protocol: exec`",
            "E0404 a.yaml:10:75 `metadata_fd` means something only with `protocol: exec`",
            "E0106 a.yaml:11:76 `metadata_fd` takes the descriptor 3 and no other, not `4`",
            "E0404 a.yaml:12:68 `tty` means something only with `protocol: json`, `lines` or `frames`",
            "E0111 a.yaml:13:66 with `tty` the answers come on the terminal",
        ],
    );
}

#[test]
fn what_is_wrong_with_commands() {
    check(
        "stack: s\nqueues: { q: }\nconsumers:\n  \
         a: { queue: q, discard: true, command: python3 a.py }\n  \
         b: { queue: q, discard: true }\n  \
         c: { queue: q, discard: true, command: [] }\n  \
         d: { queue: q, discard: true, command: [x], shell: x }\n  \
         e: { queue: q, discard: true, command: [[x]] }\n  \
         f: { queue: q, discard: true, shell: [x] }\n  \
         g h: { queue: q, discard: true, command: [x] }\n",
        &[
            "E0101 a.yaml:4:42 `command` takes a list",
            "E0105 a.yaml:5:3 consumer `b` has no `command`",
            "E0106 a.yaml:6:42 `command` needs a program",
            "E0111 a.yaml:7:47 `command` and `shell` exclude each other",
            "E0101 a.yaml:8:43 `command` takes text, not a list",
            "E0101 a.yaml:9:40 `shell` takes text, not a list",
            "E0107 a.yaml:10:3 `g h` cannot be a name",
        ],
    );
}

#[test]
fn what_is_wrong_with_queues() {
    check(
        "stack: s\nqueues: { billing: { dead_letter: { queue: d } }, d:, log: { type: stream } }\nconsumers:\n  \
         a: { queue: biling, command: [x] }\n  \
         b: { command: [x] }\n  \
         c: { queue: d, command: [x] }\n  \
         d: { queue: log, command: [x], retry: { delays: [1s] } }\n  \
         e: { queue: billing, command: [x], timeout: 29m }\n  \
         f: { queue: log, command: [x] }\n  \
         g: { queue: log, command: [x], rollout: { strategy: canary } }\n",
        &[
            "E0302 a.yaml:4:15 consumer `a` wants queue `biling`, which is not declared",
            "E0105 a.yaml:5:3 consumer `b` has no `queue`",
            "E0402 a.yaml:6:15 what consumer `c` rejects would vanish: queue `d` dead-letters nowhere",
            "E0401 a.yaml:7:41 consumer `d` retries, but `log` is a stream",
            "E0403 a.yaml:8:47 consumer `e` may take 29m a message",
            "E0111 a.yaml:10:43 consumer `g` has a canary, but `log` is a stream",
        ],
    );
}

#[test]
fn a_policy_gives_a_dead_letter_target() {
    let text = |policy: &str| {
        format!(
            "stack: s\nexchanges: {{ dlx: }}\nqueues: {{ q: }}\npolicies: {{ {policy} }}\n\
             consumers: {{ c: {{ queue: q, command: [x] }} }}\n"
        )
    };
    let spec =
        consumer(&text("p: { pattern: ^q$, definition: { dead-letter-exchange: dlx } }"), "c");
    assert!(spec.dead_letters);
    let around = "p: { pattern: ^q(?=$), definition: { dead-letter-exchange: dlx } }";
    assert!(consumer(&text(around), "c").dead_letters);
    // Of another kind, outranked by one without a target, or not understood: no target.
    for policy in [
        "p: { pattern: ^q$, apply_to: quorum_queues, definition: { dead-letter-exchange: dlx } }",
        "p: { pattern: ^q$, definition: { dead-letter-exchange: dlx } }, o: { pattern: q, priority: 1, definition: { max-length: 1 } }",
        r"p: { pattern: ^(q)\1?$, definition: { dead-letter-exchange: dlx } }",
    ] {
        check(&text(policy), &["E0402 a.yaml:5:26"]);
    }
}

#[test]
fn retry_queues_are_derived_once() {
    let text = "stack: s\nqueues:\n  q: { type: quorum, dead_letter: { queue: d } }\n  d: {}\n  p: { dead_letter: { queue: d }, durable: true }\n\
                consumers:\n  a: { queue: q, command: [x], retry: { delays: [1s, 30s] } }\n  \
                b: { queue: q, command: [x], retry: { delays: [30s, 1h30m] }, enabled: false }\n  \
                c: { queue: p, command: [x], retry: { delays: [500ms] } }\n";
    let desired = desired(text);
    let shown: Vec<String> = desired
        .topology
        .queues()
        .filter(|queue| queue.name.as_str().contains(".retry."))
        .map(|Queue { name, kind, arguments, .. }| {
            let arguments: Vec<_> = arguments.iter().map(|(k, v)| format!("{k}={v}")).collect();
            format!("{name} {kind} {}", arguments.join(" "))
        })
        .collect();
    let quorum = |name: &str, ttl: u64| {
        format!(
            "q.retry.{name} quorum x-dead-letter-exchange=\"\" x-dead-letter-routing-key=\"q\" \
             x-dead-letter-strategy=\"at-least-once\" x-message-ttl={ttl} x-overflow=\"reject-publish\""
        )
    };
    let classic = "p.retry.500ms classic x-dead-letter-exchange=\"\" x-dead-letter-routing-key=\"p\" x-message-ttl=500";
    let expected =
        [classic.to_owned(), quorum("1h30m", 5_400_000), quorum("1s", 1000), quorum("30s", 30_000)];
    assert_eq!(shown, expected);
    let names: Vec<_> = desired.fleet.consumers().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["a", "c"]);
}

#[test]
fn retries_that_cannot_be() {
    let long = "q".repeat(250);
    check(
        &format!(
            "stack: s\nqueues:\n  q: {{ dead_letter: {{ queue: d }} }}\n  d: {{}}\n  q.retry.1s: {{}}\n  \
             {long}: {{ dead_letter: {{ queue: d }} }}\nconsumers:\n  \
             a: {{ queue: q, command: [x], retry: {{ delays: [1s] }} }}\n  \
             b: {{ queue: {long}, command: [x], retry: {{ delays: [30s] }} }}\n  \
             c: {{ queue: q, command: [x], retry: {{ delays: [0s, 60d, x] }} }}\n  \
             d: {{ queue: q, command: [x], retry: {{}} }}\n"
        ),
        &[
            "E0405 a.yaml:5:3 queue `q.retry.1s` is the name of a retry queue [a.yaml:8:39 which these delays need]",
            "E0107 a.yaml:9:288 the retry queue",
            "E0106 a.yaml:10:50 `delays` takes a duration of at least 1ms",
            "E0106 a.yaml:10:54 `delays` takes at most 49d",
            "E0106 a.yaml:10:59 `delays` takes a duration, not `x`",
            "E0105 a.yaml:11:39 `retry` has no `delays`",
        ],
    );
}

#[test]
fn the_same_consumer_in_two_files() {
    let file = "consumers: { c: { queue: q, command: [x], discard: true } }\n";
    check_all(
        &["stack: s\nqueues: { q: }\n", file, file],
        &["E0109 2.yaml:1:14 consumer `c` is declared twice [1.yaml:1:14 first declared here]"],
    );
}

#[test]
fn kinds_of_failures_have_delays_of_their_own() {
    let text = "stack: s\nqueues: { q: { dead_letter: { queue: d } }, d: }\nconsumers:\n  a: { queue: q, command: [x], max_crashes: 5, retry: { immediate: 2, \
                on: { timeout: dead_letter, crash: [10s, 1m] } } }\n";
    let desired = desired(text);
    let spec = desired.fleet.consumers().next().unwrap();
    assert_eq!(spec.max_crashes.get(), 5);
    let retry = spec.retry.as_ref().unwrap();
    let seconds = |count| Duration::from_secs(count);
    assert_eq!(retry.steps(FailureClass::Nack), (2, &[][..]));
    assert_eq!(retry.steps(FailureClass::Timeout), (0, &[][..]));
    assert_eq!(retry.steps(FailureClass::Crash), (0, &[seconds(10), seconds(60)][..]));
    let names: Vec<_> = desired.topology.queues().map(|queue| queue.name.to_string()).collect();
    assert_eq!(names, ["d", "q", "q.retry.10s", "q.retry.1m"]);
}

#[test]
fn bad_kinds_and_counts_are_refused() {
    check(
        "stack: s\nqueues: { q: { dead_letter: { queue: d } }, d: }\nconsumers:\n  c:\n    queue: q\n    \
         command: [x]\n    max_crashes: 0\n    retry:\n      immediate: 101\n      on:\n        \
         timeout: later\n        crsh: [10s]\n        nack: []\n",
        &[
            "E0106 a.yaml:7:18 `max_crashes`",
            "E0106 a.yaml:9:18 `immediate`",
            "E0101 a.yaml:11:18 `timeout` takes `dead_letter` or a list of delays, not `later`",
            "E0102 a.yaml:12:9",
            "E0106 a.yaml:13:15 `nack` is empty",
        ],
    );
}

#[test]
fn a_policy_is_for_processes_that_live_on() {
    let text = |protocol: &str, policy: &str| {
        format!(
            "stack: s\nqueues: {{ q: }}\nconsumers:\n  c:\n    queue: q\n    command: [x]\n    \
             discard: true\n    protocol: {protocol}\n    restart: {{ policy: {policy} }}\n"
        )
    };
    let spec = consumer(&text("json", "transient"), "c");
    assert_eq!(spec.restart.policy, RestartPolicy::Transient);
    desired(&text("exec", "permanent"));
    check(&text("exec", "temporary"), &["E0111 a.yaml:9:14"]);
    check(&text("json", "never"), &["E0106 a.yaml:9:24"]);
}

#[test]
fn rollouts() {
    let text = |rollout: &str| {
        format!(
            "stack: s\nqueues: {{ q: }}\nconsumers:\n  c:\n    queue: q\n    command: [x]\n    \
             discard: true\n    rollout: {{ {rollout} }}\n"
        )
    };
    let rollout = |keys: &str| consumer(&text(keys), "c").rollout;
    assert_eq!(rollout(""), RolloutSpec::Rolling);
    assert_eq!(rollout("strategy: rolling"), RolloutSpec::Rolling);
    assert_eq!(rollout("strategy: replace"), RolloutSpec::Replace);
    assert_eq!(rollout("strategy: canary"), RolloutSpec::Canary(CanarySpec::default()));
    let every = "strategy: canary, window: { messages: 7, time: 9s }, max_error_rate: 5%, max_latency_ratio: 1.5";
    let expected = CanarySpec {
        messages: NonZeroU32::new(7).unwrap(),
        time: Duration::from_secs(9),
        max_error_percent: Some(5),
        max_latency_percent: 150,
    };
    assert_eq!(rollout(every), RolloutSpec::Canary(expected));
    check(&text("strategy: blue"), &["E0106 a.yaml:8:26"]);
    check(&text("window: { messages: 7 }"), &["E0111 a.yaml:8:24"]);
    for (key, bad) in [
        ("max_error_rate", ["5", "101%", "-1%", "x%", "[]"]),
        ("max_latency_ratio", ["0.5", "1.234", "fast", "1001", "-2"]),
    ] {
        for bad in bad {
            let found = super::problems(&[&text(&format!("strategy: canary, {key}: {bad}"))]);
            assert_eq!(found.lines().count(), 1, "{key} {bad}: {found}");
            assert!(found.starts_with("E01"), "{key} {bad}: {found}");
        }
    }
}

#[test]
fn a_timeout_stays_below_that_of_the_queue() {
    let text = |queue: &str, policy: &str, timeout: &str| {
        format!(
            "stack: s\nqueues: {{ q: {{ arguments: {{ {queue} }} }} }}\npolicies:\n  \
             p: {{ pattern: q, definition: {{ max-length: 9{policy} }} }}\nconsumers:\n  \
             c: {{ queue: q, command: [x], discard: true, timeout: {timeout} }}\n"
        )
    };
    desired(&text("x-consumer-timeout: 7200000", "", "1h"));
    desired(&text("", ", consumer-timeout: 600000", "8m"));
    check(&text("", ", consumer-timeout: 600000", "9m"), &["E0403 a.yaml:6:56"]);
    let shorter = text("x-consumer-timeout: 7200000", ", consumer-timeout: 3600000", "1h");
    check(&shorter, &["E0403 a.yaml:6:56"]);
    check(&text("x-consumer-timeout: 60000", "", "1s"), &["E0403 a.yaml:6:56"]);
}

#[test]
fn who_dead_letters_is_the_broker_or_warrener() {
    let text = |value: &str| {
        format!(
            "stack: s\nqueues: {{ q: {{ dead_letter: {{ queue: d }} }}, d: }}\nconsumers:\n  \
             c: {{ queue: q, command: [x], dead_letter: {value} }}\n"
        )
    };
    assert!(consumer(&text("{ by: broker }"), "c").dead_letter_by_broker);
    assert!(!consumer(&text("{ by: warrener }"), "c").dead_letter_by_broker);
    check(&text("{ by: nobody }"), &["E0106 a.yaml:4:51"]);
    check(&text("{}"), &["E0105 a.yaml:4:45"]);
}

#[test]
fn workers_that_scale_and_are_recycled() {
    let text = |keys: &str| {
        format!(
            "stack: s\nqueues: {{ q: }}\nconsumers:\n  c:\n    queue: q\n    command: [x]\n    \
             discard: true\n    {keys}\n"
        )
    };
    let spec = |keys: &str| consumer(&text(keys), "c");
    let found = spec("workers: { min: 2, max: 9, backlog: 500, cool_down: 5m }");
    let pool = PoolSpec {
        min: NonZeroU16::new(2).unwrap(),
        max: NonZeroU16::new(9).unwrap(),
        backlog: NonZeroU32::new(500).unwrap(),
        cool_down: Duration::from_mins(5),
    };
    assert_eq!((found.workers.get(), found.pool), (2, Some(pool)));
    let least = spec("workers: { max: 3 }").pool.expect("scales");
    assert_eq!((least.min.get(), least.backlog.get()), (1, 100));
    assert_eq!(least.cool_down, Duration::from_mins(1));
    // What cannot scale does not ask the queue.
    assert_eq!(spec("workers: { min: 3, max: 3 }").pool, None);
    check(&text("workers: { min: 3, max: 2 }"), &["E0106 a.yaml:8:21"]);
    check(&text("workers: { min: 3 }"), &["E0105 a.yaml:8:14"]);
    check(&text("workers: { max: 1025 }"), &["E0106 a.yaml:8:21"]);

    assert_eq!(spec("enabled: true").recycle, RecycleSpec::default());
    let every = "recycle: { messages: 5, age: 1h, idle: 2m, memory: 64MiB }";
    let expected = RecycleSpec {
        messages: NonZeroU32::new(5),
        age: Some(Duration::from_hours(1)),
        idle: Some(Duration::from_mins(2)),
        memory: Some(64 << 20),
    };
    assert_eq!(spec(every).recycle, expected);
    check(&text("recycle: { messages: 0 }"), &["E0106 a.yaml:8:26"]);
    check(&text("recycle: { age: 1h }\n    protocol: exec"), &["E0111 a.yaml:8:14"]);
    let stream = text("workers: { max: 2 }").replace("q: }", "q: { type: stream } }");
    check(&stream, &["E0111 a.yaml:8:14"]);
}
