//! Every kind of bad file is refused in words that say where, what and how to mend it. One row a
//! kind; the whole text is the test, because the text is what a person gets.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use insta::assert_snapshot;
use tempfile::TempDir;

/// Ten lines that would be ten thousand million values.
const BOMB: &str = "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: &h [*g,*g,*g,*g,*g,*g,*g,*g,*g,*g]\ni: &i [*h,*h,*h,*h,*h,*h,*h,*h,*h,*h]\nj: &j [*i,*i,*i,*i,*i,*i,*i,*i,*i,*i]\n";

/// A consumer with these keys, on a queue whose rejects go somewhere.
fn consumer(keys: &str) -> String {
    format!(
        "stack: s\nqueues: {{ q: {{ dead_letter: {{ queue: d }} }}, d: }}\nconsumers:\n  c: {{ queue: q, {keys} }}\n"
    )
}

/// What `warrener check` says of a file, without its last line, and its exit code.
fn checked(text: &[u8], mode: u32, arguments: &[&str]) -> String {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("a.yaml");
    fs::write(&path, text).expect("a file");
    fs::set_permissions(&path, Permissions::from_mode(mode)).expect("a mode");
    let output = Command::new(env!("CARGO_BIN_EXE_warrener"))
        .arg("check")
        .args(arguments)
        .arg("a.yaml")
        .current_dir(folder.path())
        .env_clear()
        .output()
        .expect("the binary runs");
    let text = String::from_utf8(output.stderr).expect("UTF-8");
    let text = text.rsplit_once("check failed").map_or(&*text, |(problems, _)| problems);
    format!("{}\n[exit {}]\n", text.trim_end(), output.status.code().expect("an exit code"))
}

/// The rows, each under its name.
fn table(rows: &[(&str, String)]) -> String {
    let mut shown = String::new();
    for (name, text) in rows {
        let _ = writeln!(shown, "#### {name}\n{}", checked(text.as_bytes(), 0o644, &[]));
    }
    shown
}

#[test]
fn what_is_no_yaml_or_no_plain_yaml() {
    let rows = [
        ("empty", "# nothing\n".to_owned()),
        ("a tab indents", "stack: s\nqueues:\n\tq: {}\n".into()),
        ("a key twice", "stack: s\nqueues: { q: , q: }\n".into()),
        ("an alias bomb", BOMB.into()),
        ("deep nesting", format!("stack: {}\n", "[".repeat(500))),
        ("two documents", "stack: s\n---\nstack: t\n".into()),
        ("a tag", "stack: s\nqueues: !include queues.yaml\n".into()),
    ];
    assert_snapshot!(table(&rows), @r##"
    #### empty
    error[E0005]: there is nothing in this file
     --> a.yaml:1:1
      |
    1 | # nothing
      | ^
      |
      = hint: a stack begins with `stack: NAME`
    [exit 1]

    #### a tab indents
    error[E0001]: not valid YAML: tabs disallowed within this context (block indentation)
     --> a.yaml:3:2
      |
    3 |     q: {}
      |     ^
      |
      = hint: indent with spaces, not with tabs
    [exit 1]

    #### a key twice
    error[E0103]: the key `q` is given twice
     --> a.yaml:2:16
      |
    2 | queues: { q: , q: }
      |           -    ^ again here
      |           |
      |           first given here
      |
      = hint: remove one of the two
    [exit 1]

    #### an alias bomb
    error[E0008]: the aliases of this file add up to over 100000 values
     --> a.yaml:5:26
      |
    5 | e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]
      |                          ^^
      |
      = hint: write out what differs, or use fewer aliases
    [exit 1]

    #### deep nesting
    error[E0008]: nested more than 64 levels deep
     --> a.yaml:1:72
      |
    1 | stack: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[...
      |                                                                        ^
    [exit 1]

    #### two documents
    error[E0006]: a second document in one file
     --> a.yaml:2:1
      |
    2 | ---
      | ^^^
      |
      = hint: put it into a file of its own
    [exit 1]

    #### a tag
    error[E0007]: the tag `!include` means nothing here
     --> a.yaml:2:18
      |
    2 | queues: !include queues.yaml
      |                  ^^^^^^^^^^^
      |
      = hint: name other files under `include:`
    [exit 1]
    "##);
}

#[test]
fn what_cannot_be_a_key_a_name_or_a_value() {
    let rows = [
        ("an unknown key", "stack: s\nqueues: { q: { mesage_ttl: 5s } }\n".to_owned()),
        ("a truth of old", "stack: s\nqueues: { q: { durable: no } }\n".into()),
        ("an octal number", "stack: s\nqueues: { q: { max_length: 0777 } }\n".into()),
        ("a sexagesimal number", "stack: s\nqueues: { q: { arguments: { x-a: 12:30 } } }\n".into()),
        ("a control character", "stack: s\nqueues: { \"a\\eb\": }\n".into()),
        ("a long name", format!("stack: s\nqueues:\n  ? {}\n  :\n", "x".repeat(256))),
        ("the broker's own", "stack: s\nexchanges: { amq.mine: }\n".into()),
        ("prefetch 0", consumer("command: [x], prefetch: 0")),
        ("prefetch below 0", consumer("command: [x], prefetch: -1")),
        ("prefetch above", consumer("command: [x], prefetch: 65536")),
        ("no unit", "stack: s\nqueues: { q: { message_ttl: 30 } }\n".into()),
        ("a negative duration", "stack: s\nqueues: { q: { message_ttl: -5s } }\n".into()),
        ("too long a time", "stack: s\nqueues: { q: { message_ttl: 50d } }\n".into()),
        ("a command as text", consumer("command: python3 -u x.py")),
        ("an unset variable", consumer("command: [\"${NOPE}\"]")),
        ("a bad escape", "stack: s\nbroker: { url: \"amqp://u:se%zzcret@h/%2f\" }\n".into()),
    ];
    assert_snapshot!(table(&rows), @r##"
    #### an unknown key
    error[E0102]: there is no key `mesage_ttl` here
     --> a.yaml:2:16
      |
    2 | queues: { q: { mesage_ttl: 5s } }
      |                ^^^^^^^^^^
      |
      = hint: did you mean `message_ttl`?
    [exit 1]

    #### a truth of old
    error[E0101]: `durable` takes `true` or `false`, not `no`
     --> a.yaml:2:25
      |
    2 | queues: { q: { durable: no } }
      |                         ^^
      |
      = hint: write `false`
    [exit 1]

    #### an octal number
    error[E0110]: `max_length` takes a whole number from 0, not `0777`
     --> a.yaml:2:28
      |
    2 | queues: { q: { max_length: 0777 } }
      |                            ^^^^
      |
      = hint: some tools read a leading zero as octal: remove it
    [exit 1]

    #### a sexagesimal number
    error[E0110]: `12:30` means different things to different YAML tools
     --> a.yaml:2:34
      |
    2 | queues: { q: { arguments: { x-a: 12:30 } } }
      |                                  ^^^^^
      |
      = hint: quote it for the text: `"12:30"`, or write the number in plain digits
    [exit 1]

    #### a control character
    error[E0107]: `a\u{1b}b` cannot be a name: a name cannot contain the control character U+001B
     --> a.yaml:2:11
      |
    2 | queues: { "a\eb": }
      |           ^^^^^^
    [exit 1]

    #### a long name
    error[E0107]: `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…` cannot be a name: a name has at most 255 bytes, this one has 256
     --> a.yaml:3:5
      |
    3 |   ? xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
      |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    [exit 1]

    #### the broker's own
    error[E0306]: exchange `amq.mine` belongs to the broker
     --> a.yaml:2:14
      |
    2 | exchanges: { amq.mine: }
      |              ^^^^^^^^
      |
      = hint: it exists in every vhost: bind to it without declaring it, or declare it with `manage: false`
    [exit 1]

    #### prefetch 0
    error[E0106]: `prefetch` takes a whole number from 1 to 65535, not `0`
     --> a.yaml:4:42
      |
    4 |   c: { queue: q, command: [x], prefetch: 0 }
      |                                          ^
    [exit 1]

    #### prefetch below 0
    error[E0106]: `prefetch` takes a whole number from 1 to 65535, not `-1`
     --> a.yaml:4:42
      |
    4 |   c: { queue: q, command: [x], prefetch: -1 }
      |                                          ^^
    [exit 1]

    #### prefetch above
    error[E0106]: `prefetch` takes a whole number from 1 to 65535, not `65536`
     --> a.yaml:4:42
      |
    4 |   c: { queue: q, command: [x], prefetch: 65536 }
      |                                          ^^^^^
    [exit 1]

    #### no unit
    error[E0106]: `message_ttl` takes a duration, not `30`
     --> a.yaml:2:29
      |
    2 | queues: { q: { message_ttl: 30 } }
      |                             ^^ it has no unit
      |
      = hint: add a unit: `30ms`, `30s`, `30m`, …
    [exit 1]

    #### a negative duration
    error[E0106]: `message_ttl` takes a duration, not `-5s`
     --> a.yaml:2:29
      |
    2 | queues: { q: { message_ttl: -5s } }
      |                             ^^^ it is not numbers with the units `ms`, `s`, `m`, `h` or `d`
      |
      = hint: for example `500ms`, `30s` or `1h30m`
    [exit 1]

    #### too long a time
    error[E0106]: `message_ttl` takes at most 49d (the broker counts 32 bits of milliseconds), not `50d`
     --> a.yaml:2:29
      |
    2 | queues: { q: { message_ttl: 50d } }
      |                             ^^^
    [exit 1]

    #### a command as text
    error[E0101]: `command` takes a list: the program and its arguments
     --> a.yaml:4:27
      |
    4 |   c: { queue: q, command: python3 -u x.py }
      |                           ^^^^^^^^^^^^^^^
      |
      = hint: write `command: [python3, -u, x.py]`, or `shell:` for a line that the shell takes apart
    [exit 1]

    #### an unset variable
    error[E0108]: the variable `NOPE` is not set
     --> a.yaml:4:29
      |
    4 |   c: { queue: q, command: ["${NOPE}"] }
      |                             ^^^^^^^
      |
      = hint: set it, or give a default: `${NOPE:-…}`
    [exit 1]

    #### a bad escape
    error[E0201]: the broker's address has a `%` that does not begin an escape
     --> a.yaml:2:16
      |
    2 | broker: { url: "amqp://u:*********@h/%2f" }
      |                ^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = hint: a `%` itself is written `%25`, the vhost `/` is `%2f`
    [exit 1]
    "##);
}

#[test]
fn what_the_broker_would_refuse_or_lose() {
    let rows = [
        ("an undeclared exchange", "stack: s\nqueues: { q: { bind: [{ exchange: orders }] } }\n".to_owned()),
        (
            "a circle of dead letters",
            "stack: s\nqueues: { a: { dead_letter: { queue: b } }, b: { dead_letter: { queue: a } } }\n".into(),
        ),
        ("a transient quorum queue", "stack: s\nqueues: { q: { type: quorum, durable: false } }\n".into()),
        ("an exclusive quorum queue", "stack: s\nqueues: { q: { type: quorum, exclusive: true } }\n".into()),
        ("a retired mode", "stack: s\nqueues: { q: { arguments: { x-queue-mode: lazy } } }\n".into()),
        ("a retired version", "stack: s\nqueues: { q: { arguments: { x-queue-version: 1 } } }\n".into()),
        ("too long a timeout", consumer("command: [x], timeout: 29m30s")),
        (
            "at least once, or not",
            "stack: s\nqueues: { q: { type: quorum, dead_letter: { queue: d }, dead_letter_strategy: at-least-once, overflow: drop-head }, d: }\n".into(),
        ),
    ];
    assert_snapshot!(table(&rows), @r##"
    #### an undeclared exchange
    error[E0301]: exchange `orders` is not declared
     --> a.yaml:2:35
      |
    2 | queues: { q: { bind: [{ exchange: orders }] } }
      |                                   ^^^^^^
      |
      = hint: declare it under `exchanges:`, with `manage: false` if it belongs to someone else
    [exit 1]

    #### a circle of dead letters
    error[E0304]: dead-lettered messages go round: `a` → `b` → `a`
     --> a.yaml:2:38
      |
    2 | queues: { a: { dead_letter: { queue: b } }, b: { dead_letter: { queue: a } } }
      |                                      ^ from queue `a`                  - from queue `b`
      |
      = hint: give one of these queues a `message_ttl`, a `max_length` or another dead-letter target
    [exit 1]

    #### a transient quorum queue
    error[E0305]: `durable: false` on the quorum queue `q`
     --> a.yaml:2:39
      |
    2 | queues: { q: { type: quorum, durable: false } }
      |                                       ^^^^^ only classic queues can be transient
      |
      = hint: remove `durable`, or make the queue classic
    [exit 1]

    #### an exclusive quorum queue
    error[E0305]: queue `q` cannot be exclusive
     --> a.yaml:2:30
      |
    2 | queues: { q: { type: quorum, exclusive: true } }
      |                              ^^^^^^^^^ an exclusive queue dies with the connection that declares it
      |
      = hint: remove `exclusive`
    [exit 1]

    #### a retired mode
    error[E0308]: queue `q` has the argument `x-queue-mode`, which brokers have retired
     --> a.yaml:2:29
      |
    2 | queues: { q: { arguments: { x-queue-mode: lazy } } }
      |                             ^^^^^^^^^^^^
      |
      = hint: lazy queues became the only kind in RabbitMQ 3.12: remove it
    [exit 1]

    #### a retired version
    error[E0308]: queue `q` has the argument `x-queue-version`, which brokers have retired
     --> a.yaml:2:29
      |
    2 | queues: { q: { arguments: { x-queue-version: 1 } } }
      |                             ^^^^^^^^^^^^^^^
      |
      = hint: RabbitMQ 4.3 refuses version 1: remove the argument, or say 2
    [exit 1]

    #### too long a timeout
    error[E0403]: consumer `c` may take 29m30s a message
     --> a.yaml:4:41
      |
    4 |   c: { queue: q, command: [x], timeout: 29m30s }
      |                                         ^^^^^^ the broker takes messages back after 30m
      |
      = hint: keep it under 29m, or split the work into smaller messages
    [exit 1]

    #### at least once, or not
    error[E0309]: `at-least-once` on queue `q` without `overflow: reject-publish`
     --> a.yaml:2:79
      |
    2 | queues: { q: { type: quorum, dead_letter: { queue: d }, dead_letter_strategy: at-least-once, overflow: drop-head }, d: }
      |                                                                               ^^^^^^^^^^^^^ the broker would dead-letter at most once
      |
      = hint: add `overflow: reject-publish`
    [exit 1]
    "##);
}

#[test]
fn what_cannot_be_trusted_or_read() {
    let utf16: Vec<u8> = "stack: s\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let spelled = b"stack: s\nbroker: { url: \"amqp://u:hunter2@localhost/%2f\" }\n";
    let mut shown = checked(&utf16, 0o644, &[]);
    shown += &checked(b"\xef\xbb\xbfstack: s\n", 0o644, &[]);
    shown += &checked(b"stack: s\n", 0o666, &[]);
    shown += &checked(spelled, 0o644, &[]);
    shown += &checked(spelled, 0o644, &["--strict"]);
    assert_snapshot!(shown, @r##"
    error[E0004]: `a.yaml` is UTF-16 or UTF-32, not UTF-8
    --> a.yaml:1:1
     = hint: save it as UTF-8
    [exit 1]

    [exit 0]
    error[E0003]: `a.yaml` can be written by everybody
    --> a.yaml:1:1
     = hint: chmod o-w a.yaml
    [exit 1]
    warning[W0001]: the broker's address holds a password
     --> a.yaml:2:16
      |
    2 | broker: { url: "amqp://u:*******@localhost/%2f" }
      |                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = hint: write `${AMQP_URL}`, or `${file:/path}` for the password alone
    [exit 0]
    error[W0001]: the broker's address holds a password
     --> a.yaml:2:16
      |
    2 | broker: { url: "amqp://u:*******@localhost/%2f" }
      |                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = hint: write `${AMQP_URL}`, or `${file:/path}` for the password alone
    [exit 1]
    "##);
}

/// Neither a bomb nor an honest file of ten thousand queues costs more than a moment and some
/// memory. The figures leave room for a debug build on a busy machine.
#[test]
fn a_file_costs_what_it_weighs() {
    let mut large = "stack: s\nqueues:\n".to_owned();
    for number in 0..10_000 {
        let _ = writeln!(
            large,
            "  queue.{number}:\n    type: quorum\n    message_ttl: 7d\n    max_length: 100000\n    bind: [{{ exchange: amq.topic, keys: [a.{number}, b.{number}] }}]"
        );
    }
    for (text, code, megabytes, limit) in [(BOMB, 1, 50, 2), (&large, 0, 400, 20)] {
        let folder = TempDir::new().expect("a folder");
        fs::write(folder.path().join("a.yaml"), text).expect("a file");
        let start = Instant::now();
        let status = Command::new("prlimit")
            .arg(format!("--data={}", megabytes << 20))
            .args([env!("CARGO_BIN_EXE_warrener"), "check", "-q", "a.yaml"])
            .current_dir(folder.path())
            .stderr(std::process::Stdio::null())
            .status()
            .expect("util-linux");
        assert_eq!(status.code(), Some(code), "within {megabytes} MiB");
        let taken = start.elapsed();
        assert!(taken < Duration::from_secs(limit), "{taken:?}");
    }
}
