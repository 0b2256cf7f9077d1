//! What comes from outside stays inside its value.

use super::{Fake, check, resolve_with};
use crate::model::Management;

fn stack_name(environment: &Fake, value: &str) -> String {
    let text = format!("stack: {value}\n");
    let resolved = resolve_with(environment, &[&text]).unwrap_or_else(|unresolved| {
        panic!("{}", unresolved.sources.render(&unresolved.problems, false))
    });
    resolved.desired.stack.as_str().to_owned()
}

#[test]
fn every_form() {
    let environment = Fake {
        variables: [("NAME", "orders"), ("EMPTY", "")].into(),
        files: [("/run/name", "from.file\n"), ("/run/crlf", "crlf\r\n")].into(),
    };
    for (written, read) in [
        ("${NAME}", "orders"),
        ("\"${NAME}\"", "orders"),
        ("a-${NAME}-${NAME}", "a-orders-orders"),
        ("${NAME:-other}", "orders"),
        ("${EMPTY:-other}", "other"),
        ("${UNSET:-other}", "other"),
        ("x${UNSET:-}", "x"),
        ("${file:/run/name}", "from.file"),
        ("${file:/run/crlf}", "crlf"),
    ] {
        assert_eq!(stack_name(&environment, written), read, "{written}");
    }
}

#[test]
fn dollars() {
    let text = "stack: s\npolicies: { p: { pattern: \"^a$|$$|$${x}|$5\", definition: { max-length: 1 } } }\n";
    let resolved = resolve_with(&Fake::default(), &[text]).expect("dollars are fine");
    let patterns: Vec<_> =
        resolved.desired.topology.policies().map(|policy| policy.pattern.as_str()).collect();
    assert_eq!(patterns, ["^a$|$|${x}|$5"]);
}

#[test]
fn what_is_missing() {
    check(
        "stack: a${NOPE}b\nqueues:\n  \"${NOPE}\": { bind: [{ exchange: \"${ }\", key: \"${UNCLOSED\" }] }\n\
         broker: { url: \"${file:relative}\", management: \"${file:/not/there}\" }\n",
        &[
            "E0108 a.yaml:1:9 the variable `NOPE` is not set",
            "E0108 a.yaml:3:3 nothing is interpolated in keys",
            "E0108 a.yaml:3:36 ` ` is not the name of a variable",
            "E0108 a.yaml:3:49 `${` without its `}`",
            "E0108 a.yaml:4:17 `relative` is not an absolute path",
            "E0108 a.yaml:4:49 `/not/there` cannot be read: no such file",
        ],
    );
}

#[test]
fn text_stays_text_and_typed_keys_stay_typed() {
    let environment = Fake {
        variables: [("N", "7"), ("T", "true"), ("Y", "}, evil: { a: b")].into(),
        ..Fake::default()
    };
    let text = "stack: s\nqueues:\n  q:\n    max_length: ${N}\n    single_active_consumer: ${T}\n    \
                arguments: { x-expires: \"${N}\", own: \"${N}\", evil: \"${Y}\" }\n";
    let desired = resolve_with(&environment, &[text]).expect("values only").desired;
    let queue = desired.topology.queues().next().expect("one queue");
    let shown: Vec<_> = queue.arguments.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(
        shown,
        [
            r#"evil="}, evil: { a: b""#,
            r#"own="7""#,
            "x-expires=7",
            "x-max-length=7",
            "x-single-active-consumer=true",
        ]
    );
}

#[test]
fn a_value_from_outside_is_not_repeated() {
    let environment =
        Fake { variables: [("S", "hunter2"), ("U", "hunter2://x")].into(), ..Fake::default() };
    let text = "stack: s\nbroker: { url: \"${U}\" }\nqueues: { q: { message_ttl: \"${S}\", type: \"${S}\", durable: \"${S}\" } }\n";
    let found = resolve_with(&environment, &[text]).expect_err("nothing fits");
    assert_eq!(found.problems.len(), 4);
    let shown = found.sources.render(&found.problems, true);
    assert!(shown.contains("${S}") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn a_password_from_a_file_is_no_literal() {
    let environment = Fake { files: [("/run/pw", "s3cr3t\n")].into(), ..Fake::default() };
    let text = "stack: s\nbroker: { url: \"amqp://u:${file:/run/pw}@h/%2f\" }\n";
    let resolved = resolve_with(&environment, &[text]).expect("it is there");
    assert!(resolved.warnings.is_empty());
    let broker = &resolved.desired.broker;
    assert_eq!(broker.endpoints[0].uri.authority.userinfo.password, "s3cr3t");
    assert!(matches!(&broker.management, Management::At { url, .. } if url == "http://h:15672"));
    assert!(!format!("{:?}", resolved.desired).contains("s3cr3t"));
}
