//! `warrener check` through the built binary: whole output and exit code.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use insta::assert_snapshot;
use tempfile::TempDir;

/// Runs the binary in a folder with these files; what it said on both streams and its exit code.
fn run(files: &[(&str, &str)], arguments: &[&str]) -> String {
    run_with(files, arguments, &[])
}

fn run_with(files: &[(&str, &str)], arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let folder = TempDir::new().expect("a temporary folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("a mode");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_warrener"))
        .args(arguments)
        .current_dir(folder.path())
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .expect("the binary runs");
    let mut shown = String::new();
    for (stream, bytes) in [("", output.stdout), ("--- stderr\n", output.stderr)] {
        let text = String::from_utf8(bytes).expect("UTF-8");
        if !text.is_empty() {
            write!(shown, "{stream}{text}").expect("writing to a string");
        }
    }
    writeln!(shown, "--- exit {}", output.status.code().expect("an exit code")).expect("a string");
    shown
}

const GOOD: &str = r##"
stack: orders
broker:
  url: ${AMQP_URL:-amqp://guest:guest@localhost:5672/%2f}
exchanges:
  orders: { type: topic }
  archive: { type: fanout, bind: [{ exchange: orders, key: "#" }] }
queues:
  billing:
    type: quorum
    bind: [{ exchange: orders, key: order.created }]
    dead_letter: { queue: billing.dead }
  billing.dead: {}
policies:
  dead-ttl: { pattern: "\\.dead$", apply_to: queues, definition: { message-ttl: 604800000 } }
consumers:
  billing:
    queue: billing
    command: [python3, billing.py]
    workers: 4
    timeout: 30s
    retry: { delays: [1s, 30s, 5m] }
reconcile: { mode: apply, interval: 5m, prune: false }
"##;

#[test]
fn a_good_file() {
    assert_snapshot!(run(&[("stack.yaml", GOOD)], &["check", "stack.yaml"]), @r##"
    stack `orders`: 2 exchanges, 5 queues (3 for retries), 2 bindings, 1 policy, 1 consumer
    --- exit 0
    "##);
}

#[test]
fn every_problem_at_once() {
    let bad = r#"stack: orders
broker: { url: amqp://bob:hünter%2@localhost/%2f }
admin: { listen: 127.0.0.1:9419 }
exchanges:
  orders: { typ: topic }
  archive: { type: fanout, bind: [{ exchange: ordres, key: "" }] }
queues:
  billing:
    type: quorum
    durable: no
    message_ttl: 30
    dead_letter: { queue: biling }
  billing: {}
consumers:
  größe:
    queue: billnig
    command: python3 billing.py
    prefetch: 0
  quiet:
    queue: billing
    command: [x, "${NOPE}"]
    timeout: 29m
"#;
    assert_snapshot!(run(&[("stack.yaml", bad)], &["check", "stack.yaml"]), @r##"
    --- stderr
    error[E0201]: the broker's address has a `%` that does not begin an escape
     --> stack.yaml:2:16
      |
    2 | broker: { url: amqp://bob:*********@localhost/%2f }
      |                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = hint: a `%` itself is written `%25`, the vhost `/` is `%2f`

    error[E0104]: `admin` is not supported yet
     --> stack.yaml:3:1
      |
    3 | admin: { listen: 127.0.0.1:9419 }
      | ^^^^^
      |
      = hint: remove it: this version would do nothing with it

    error[E0102]: there is no key `typ` here
     --> stack.yaml:5:13
      |
    5 |   orders: { typ: topic }
      |             ^^^
      |
      = hint: did you mean `type`?

    error[E0301]: exchange `ordres` is not declared
     --> stack.yaml:6:47
      |
    6 |   archive: { type: fanout, bind: [{ exchange: ordres, key: "" }] }
      |                                               ^^^^^^
      |
      = hint: did you mean `orders`?

    error[E0101]: `durable` takes `true` or `false`, not `no`
      --> stack.yaml:10:14
       |
    10 |     durable: no
       |              ^^
       |
       = hint: write `false`

    error[E0106]: `message_ttl` takes a duration, not `30`
      --> stack.yaml:11:18
       |
    11 |     message_ttl: 30
       |                  ^^ it has no unit
       |
       = hint: add a unit: `30ms`, `30s`, `30m`, …

    error[E0303]: queue `billing` dead-letters to queue `biling`, which is not declared
      --> stack.yaml:12:27
       |
    12 |     dead_letter: { queue: biling }
       |                           ^^^^^^ the broker would drop these messages
       |
       = hint: did you mean `billing`?

    error[E0103]: the key `billing` is given twice
      --> stack.yaml:13:3
       |
     8 |   billing:
       |   ------- first given here
    ...
    13 |   billing: {}
       |   ^^^^^^^ again here
       |
       = hint: remove one of the two

    error[E0302]: consumer `größe` wants queue `billnig`, which is not declared
      --> stack.yaml:16:12
       |
    16 |     queue: billnig
       |            ^^^^^^^
       |
       = hint: did you mean `billing`?

    error[E0101]: `command` takes a list: the program and its arguments
      --> stack.yaml:17:14
       |
    17 |     command: python3 billing.py
       |              ^^^^^^^^^^^^^^^^^^
       |
       = hint: write `command: [python3, billing.py]`, or `shell:` for a line that the shell takes apart

    error[E0106]: `prefetch` takes a whole number from 1 to 65535, not `0`
      --> stack.yaml:18:15
       |
    18 |     prefetch: 0
       |               ^

    error[E0108]: the variable `NOPE` is not set
      --> stack.yaml:21:19
       |
    21 |     command: [x, "${NOPE}"]
       |                   ^^^^^^^
       |
       = hint: set it, or give a default: `${NOPE:-…}`

    error[E0403]: consumer `quiet` may take 29m a message
      --> stack.yaml:22:14
       |
    22 |     timeout: 29m
       |              ^^^ the broker takes messages back after 30m
       |
       = hint: keep it under 29m, or split the work into smaller messages

    check failed: 13 errors in 1 file
    --- exit 1
    "##);
}

#[test]
fn several_files_and_a_rejection_that_drops() {
    let files = [
        ("a.yaml", "stack: s\nqueues: { q: }\n"),
        ("b.yaml", "queues: { q: }\nconsumers: { c: { queue: q, command: [x] } }\n"),
    ];
    assert_snapshot!(run(&files, &["check", "a.yaml", "b.yaml"]), @r##"
    --- stderr
    error[E0109]: queue `q` is declared twice
     --> b.yaml:1:11
      |
    1 | queues: { q: }
      |           ^ again here
      |
     ::: a.yaml:2:11
      |
    2 | queues: { q: }
      |           - first declared here
      |
      = hint: remove one of the two

    error[E0402]: what consumer `c` rejects would vanish: queue `q` dead-letters nowhere
     --> b.yaml:2:26
      |
    2 | consumers: { c: { queue: q, command: [x] } }
      |                          ^
      |
     ::: a.yaml:2:11
      |
    2 | queues: { q: }
      |           - this queue has no dead-letter target
      |
      = hint: add `dead_letter: { queue: q.dead }` to queue `q` and declare `q.dead: {}`, or allow the loss with `discard: true` on the consumer

    check failed: 2 errors in 2 files
    --- exit 1
    "##);
}

const ADVISED: &[(&str, &str)] = &[(
    "stack.yaml",
    "stack: s\nbroker: { url: \"amqp://bob:hunter2@localhost/%2f\" }\nqueues: { q: { durable: false } }\n",
)];

#[test]
fn advice_does_not_fail() {
    assert_snapshot!(run(ADVISED, &["check", "stack.yaml"]), @r##"
    stack `s`: 0 exchanges, 1 queue, 0 bindings, 0 policies, 0 consumers
    --- stderr
    warning[W0001]: the broker's address holds a password
     --> stack.yaml:2:16
      |
    2 | broker: { url: "amqp://bob:*******@localhost/%2f" }
      |                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = hint: write `${AMQP_URL}`, or `${file:/path}` for the password alone

    warning[W0008]: queue `q` does not survive a restart of the broker
     --> stack.yaml:3:11
      |
    3 | queues: { q: { durable: false } }
      |           ^
      |
      = hint: make it durable, with `expires` if it shall go away when unused

    --- exit 0
    "##);
}

#[test]
fn advice_fails_when_strict_and_is_left_out_when_quiet() {
    let strict = run(ADVISED, &["check", "--strict", "stack.yaml"]);
    assert!(strict.contains("error[W0001]") && strict.ends_with("--- exit 1\n"), "{strict}");
    assert_eq!(run(ADVISED, &["check", "-q", "stack.yaml"]), "--- exit 0\n");
}

#[test]
fn json() {
    assert_snapshot!(run(ADVISED, &["check", "--format", "json", "stack.yaml"]), @r##"
    {
      "ok": true,
      "problems": [
        {
          "code": "W0001",
          "column": 16,
          "file": "stack.yaml",
          "hint": "write `${AMQP_URL}`, or `${file:/path}` for the password alone",
          "line": 2,
          "message": "the broker's address holds a password",
          "severity": "warning"
        },
        {
          "code": "W0008",
          "column": 11,
          "file": "stack.yaml",
          "hint": "make it durable, with `expires` if it shall go away when unused",
          "line": 3,
          "message": "queue `q` does not survive a restart of the broker",
          "severity": "warning"
        }
      ],
      "summary": {
        "bindings": 0,
        "consumers": 0,
        "exchanges": 0,
        "policies": 0,
        "queues": 1,
        "retry_queues": 0,
        "stack": "s"
      }
    }
    --- exit 0
    "##);
    let bad = [("a.yaml", "stack: s\nqueues: { q: {}, q: {}, p: { durable: no } }\n")];
    assert_snapshot!(run(&bad, &["check", "--format", "json", "a.yaml"]), @r##"
    {
      "ok": false,
      "problems": [
        {
          "code": "E0103",
          "column": 18,
          "file": "a.yaml",
          "hint": "remove one of the two",
          "label": "again here",
          "line": 2,
          "message": "the key `q` is given twice",
          "related": [
            {
              "column": 11,
              "file": "a.yaml",
              "line": 2,
              "message": "first given here"
            }
          ],
          "severity": "error"
        },
        {
          "code": "E0101",
          "column": 39,
          "file": "a.yaml",
          "hint": "write `false`",
          "line": 2,
          "message": "`durable` takes `true` or `false`, not `no`",
          "severity": "error"
        }
      ]
    }
    --- exit 1
    "##);
}

#[test]
fn a_missing_file() {
    assert_snapshot!(run(&[], &["check", "stack.yaml"]), @r##"
    --- stderr
    error[E0002]: `stack.yaml` cannot be read: no such file or directory
    --> stack.yaml:1:1

    check failed: 1 error in 1 file
    --- exit 1
    "##);
}

#[test]
fn colour_only_when_asked_for() {
    let bad = [("a.yaml", "queus: {}\n")];
    let plain = run(&bad, &["check", "a.yaml"]);
    assert!(!plain.contains('\u{1b}'), "{plain}");
    let forced = run(&bad, &["check", "a.yaml", "--color", "always"]);
    assert!(forced.contains("\u{1b}["), "{forced}");
    let by_variable = run_with(&bad, &["check", "a.yaml"], &[("WARRENER_COLOR", "always")]);
    assert_eq!(forced, by_variable);
}

#[test]
fn a_typing_error_is_not_taken_for_changes() {
    let wrong = run(&[], &["chek"]);
    assert!(wrong.ends_with("--- exit 64\n"), "{wrong}");
    assert!(run(&[], &["--version"]).ends_with("--- exit 0\n"));
}
