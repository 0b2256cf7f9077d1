//! The writer, value by value and shape by shape; and that what it writes reads back the same.

use std::collections::BTreeMap;
use std::path::Path;

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{Sheet, scalar};
use crate::config::{Environment, Loader};
use crate::definitions::Secrets;
use crate::model::{
    ApplyTo, ArgValue, Arguments, Binding, Destination, Exchange, ExchangeName, ExchangeType,
    OnRemove, Origin, Policy, PolicyName, Queue, QueueName, QueueType, RoutingKey, StackName,
    Topology, TopologyParts, VhostName,
};

struct Nothing;

impl Environment for Nothing {
    fn variable(&self, _: &str) -> Result<Option<String>, String> {
        Ok(None)
    }

    fn file(&self, _: &Path) -> Result<String, String> {
        Err("there are no files".into())
    }
}

fn vhost() -> VhostName {
    VhostName::new("/").expect("a name")
}

fn arguments(value: &Value) -> Arguments {
    match ArgValue::from_json(value) {
        Some(ArgValue::Map(arguments)) => arguments,
        _ => panic!("a map"),
    }
}

fn exchange(name: &str) -> Exchange {
    Exchange {
        vhost: vhost(),
        name: ExchangeName::new(name).expect("a name"),
        kind: ExchangeType("direct".into()),
        durable: true,
        auto_delete: false,
        internal: false,
        arguments: Arguments::new(),
        managed: true,
        on_remove: OnRemove::Delete,
        on_conflict: crate::model::OnConflict::Refuse,
        origin: Origin::default(),
    }
}

fn queue(name: &str, kind: QueueType, values: &Value) -> Queue {
    Queue {
        vhost: vhost(),
        name: QueueName::new(name).expect("a name"),
        kind,
        durable: true,
        auto_delete: false,
        arguments: arguments(values),
        managed: true,
        on_remove: OnRemove::Delete,
        on_conflict: crate::model::OnConflict::Refuse,
        origin: Origin::default(),
    }
}

fn binding(source: &str, destination: Destination, key: &str, values: &Value) -> Binding {
    Binding {
        vhost: vhost(),
        source: ExchangeName::new(source).expect("a name"),
        destination,
        routing_key: RoutingKey::new(key).expect("a key"),
        arguments: arguments(values),
        managed: true,
        on_remove: crate::model::OnRemove::Delete,
        origin: Origin::default(),
    }
}

fn to_queue(name: &str) -> Destination {
    Destination::Queue(QueueName::new(name).expect("a name"))
}

fn to_exchange(name: &str) -> Destination {
    Destination::Exchange(ExchangeName::new(name).expect("a name"))
}

fn policy(name: &str, pattern: &str, values: &Value) -> Policy {
    Policy {
        vhost: vhost(),
        name: PolicyName::new(name).expect("a name"),
        pattern: pattern.into(),
        apply_to: ApplyTo::All,
        priority: 0,
        definition: arguments(values),
        managed: true,
        on_remove: OnRemove::Delete,
        origin: Origin::default(),
    }
}

fn written(topology: &Topology) -> String {
    let stack = StackName::new("test").expect("a name");
    let comments = BTreeMap::new();
    let (home, secrets) = (vhost(), Secrets::default());
    let sheet = Sheet {
        header: "",
        stack: &stack,
        home: &home,
        url: None,
        management: None,
        topology,
        secrets: &secrets,
        comments: &comments,
    };
    sheet.text()
}

/// Reads a text as the commands do.
fn read(text: &str) -> Topology {
    let mut loader = Loader::new(&Nothing);
    loader.add("stack.yaml", text, Path::new("/stack"));
    match loader.finish() {
        Ok(resolved) => resolved.desired.topology,
        Err(found) => panic!("{}\n{text}", found.sources.render(&found.problems, false)),
    }
}

/// Writes it, and demands that it reads back the same.
fn sheet(parts: TopologyParts) -> String {
    let topology = Topology::new(parts).expect("the parts fit");
    let text = written(&topology);
    assert_eq!(read(&text), topology, "{text}");
    text
}

#[test]
fn text_is_quoted_where_yaml_would_misread_it() {
    for (text, expected) in [
        ("orders", "orders"),
        ("order.created", "order.created"),
        ("order.*.#", "order.*.#"),
        ("a_b-c/d", "a_b-c/d"),
        ("größe", "größe"),
        ("", r#""""#),
        ("no", r#""no""#),
        ("Yes", r#""Yes""#),
        ("OFF", r#""OFF""#),
        ("y", r#""y""#),
        ("true", r#""true""#),
        ("null", r#""null""#),
        ("~", r#""~""#),
        ("0777", r#""0777""#),
        ("0x1F", r#""0x1F""#),
        ("1_000", r#""1_000""#),
        ("12:30", r#""12:30""#),
        ("1e3", r#""1e3""#),
        ("1.5", r#""1.5""#),
        ("-1", r#""-1""#),
        (".inf", r#"".inf""#),
        (".NaN", r#"".NaN""#),
        ("2024-01-31", r#""2024-01-31""#),
        ("3com", "3com"),
        ("#", r##""#""##),
        ("a #b", r#""a #b""#),
        ("*", r#""*""#),
        ("*.created", r#""*.created""#),
        ("&a", r#""&a""#),
        ("!a", r#""!a""#),
        ("@a", r#""@a""#),
        ("`a", r#""`a""#),
        ("%a", r#""%a""#),
        ("- a", r#""- a""#),
        ("---", r#""---""#),
        ("? a", r#""? a""#),
        ("a: b", r#""a: b""#),
        ("a,b", r#""a,b""#),
        ("{a}", r#""{a}""#),
        ("[a]", r#""[a]""#),
        (" a", r#"" a""#),
        ("a ", r#""a ""#),
        ("it's", r#""it's""#),
        (r#"say "a""#, r#"'say "a"'"#),
        (r"\.dead$", r"'\.dead$'"),
        (r"'\", r#""'\\""#),
        ("a\tb\nc\u{7}", r#""a\tb\nc\u0007""#),
        ("a\u{a0}b\u{2028}", r#""a\u00a0b\u2028""#),
        ("\u{1f407}", "\"\u{1f407}\""),
        ("$5", r#""$5""#),
        ("${HOME}", r#""$${HOME}""#),
        ("$$", r#""$$$""#),
        ("$${", r#""$$$${""#),
        ("<<", r#""<<""#),
        ("=", r#""=""#),
    ] {
        assert_eq!(scalar::text(text), expected, "{text:?}");
    }
}

#[test]
fn numbers_have_the_largest_unit_that_fits() {
    for (bytes, expected) in [
        (0, "0"),
        (1000, "1000"),
        (1024, "1KiB"),
        (65_536, "64KiB"),
        (10_485_760, "10MiB"),
        (1_073_741_825, "1073741825"),
        (3 << 30, "3GiB"),
    ] {
        assert_eq!(scalar::size(bytes), expected);
    }
    for (millis, expected) in [(0, "0s"), (1, "1ms"), (300_000, "5m"), (5_400_500, "1h30m500ms")] {
        assert_eq!(scalar::millis(millis), expected);
    }
}

#[test]
fn short_forms_and_no_defaults() {
    let text = sheet(TopologyParts {
        exchanges: vec![
            Exchange { kind: ExchangeType("topic".into()), ..exchange("orders") },
            Exchange {
                kind: ExchangeType("x-delayed-message".into()),
                durable: false,
                arguments: arguments(
                    &json!({"x-delayed-type": "topic", "alternate-exchange": "orders"}),
                ),
                on_remove: OnRemove::Retain,
                on_conflict: crate::model::OnConflict::Refuse,
                ..exchange("later")
            },
            Exchange { managed: false, ..exchange("theirs") },
            exchange("plain"),
        ],
        queues: vec![
            queue(
                "billing",
                QueueType::Quorum,
                &json!({
                    "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "billing.dead",
                    "x-delivery-limit": 5, "x-message-ttl": 90_000, "x-max-length-bytes": 65_536,
                    "x-quorum-initial-group-size": 3, "x-single-active-consumer": true,
                }),
            ),
            queue("billing.dead", QueueType::Classic, &json!({"x-message-ttl": 604_800_000})),
            queue(
                "audit",
                QueueType::Stream,
                &json!({
                    "x-max-age": "7D", "x-stream-max-segment-size-bytes": 100_000_000,
                    "x-initial-cluster-size": 1,
                }),
            ),
            queue(
                "odd",
                QueueType::Classic,
                &json!({
                    "x-dead-letter-exchange": "plain", "x-other": {"list": [1, 2.0, "3", true, {}, []]},
                    "x-max-length": 0,
                }),
            ),
            queue("stream of a year", QueueType::Stream, &json!({"x-max-age": "1Y"})),
        ],
        bindings: vec![
            binding("orders", to_queue("billing"), "order.created", &json!({})),
            binding("orders", to_queue("billing"), "order.changed", &json!({})),
            binding("orders", to_exchange("later"), "#", &json!({})),
            binding(
                "amq.headers",
                to_queue("odd"),
                "",
                &json!({"x-match": "all", "no": "no", "n": 12}),
            ),
            binding("plain", to_queue("odd"), "", &json!({})),
            binding("later", to_exchange("amq.topic"), "*", &json!({})),
        ],
        policies: vec![
            Policy {
                apply_to: ApplyTo::Queues,
                priority: -1,
                ..policy("ttl", r"\.dead$", &json!({"message-ttl": 1000}))
            },
            Policy { managed: false, ..policy("theirs", "^a", &json!({"expires": 1})) },
            policy("up stream", "^${a}", &json!({"federation-upstream-set": "all"})),
        ],
        ..TopologyParts::default()
    });
    assert_snapshot!(text, @r##"
    stack: test

    exchanges:
      later:
        type: x-delayed-message
        durable: false
        on_remove: retain
        alternate_exchange: orders
        arguments: { x-delayed-type: topic }
        bind: [{ exchange: orders, key: "#" }]
      orders: { type: topic }
      plain: {}
      theirs: { manage: false }

    queues:
      audit:
        type: stream
        initial_group_size: 1
        max_age: 7d
        arguments: { x-stream-max-segment-size-bytes: 100000000 }
      billing:
        type: quorum
        bind: [{ exchange: orders, keys: [order.changed, order.created] }]
        dead_letter: { queue: billing.dead }
        message_ttl: 1m30s
        max_length_bytes: 64KiB
        single_active_consumer: true
        delivery_limit: 5
        initial_group_size: 3
      billing.dead: { message_ttl: 7d }
      odd:
        bind:
          - { exchange: amq.headers, arguments: { "n": 12, "no": "no", x-match: all } }
          - { exchange: plain }
        dead_letter: { exchange: plain }
        max_length: 0
        arguments: { x-other: { list: [1, 2.0, "3", true, {}, []] } }
      "stream of a year": { type: stream, arguments: { x-max-age: 1Y } }

    bindings:
      - { source: later, destination: amq.topic, key: "*" }

    policies:
      theirs: { pattern: "^a", manage: false, definition: { expires: 1 } }
      ttl:
        pattern: '\.dead$'
        apply_to: queues
        priority: -1
        definition: { message-ttl: 1000 }
      "up stream": { pattern: "^$${a}", definition: { federation-upstream-set: all } }
    "##);
}
