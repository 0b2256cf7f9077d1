//! Whatever there is, the file says it; whatever a document holds, there is a file.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{Known, Nothing, read, written};
use crate::config::Loader;
use crate::definitions::{Document, Note, Purpose, Weight, Wish, carry, definitions};
use crate::model::StackName;

/// Texts that YAML or interpolation would like to misread.
fn text() -> impl Strategy<Value = String> {
    let traps = vec![
        "",
        "a",
        "order.*.#",
        "no",
        "Yes",
        "~",
        "null",
        "0777",
        "0x1f",
        "12:30",
        "1e3",
        "-",
        "- a",
        "#",
        "a #b",
        "*",
        "&a",
        "!t",
        "@a",
        "%a",
        "a: b",
        "a:",
        ":a",
        "[",
        "]",
        "{",
        "}",
        ",",
        "'",
        "\"",
        "\\",
        "\\.dead$",
        " a",
        "a ",
        "$",
        "$$",
        "$${",
        "${X}",
        "$${X}",
        "<<",
        "=",
        "?",
        "|",
        ">",
        "---",
        "...",
        "\u{1f407}",
        "ü\u{301}",
        "\u{feff}a",
        "\u{2028}",
        "\u{85}",
        "true",
        "5m",
        "64KiB",
        "1_000",
        "+1",
        ".5",
        ".inf",
    ];
    prop_oneof![
        3 => prop::sample::select(traps).prop_map(str::to_owned),
        1 => "[a-z]{1,4}",
        1 => "\\PC{0,6}",
        1 => "[\\x00-\\x7f]{0,4}",
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (0_i64..100).prop_map(Value::from),
        prop::num::f64::NORMAL.prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec((text(), inner), 0..3)
                .prop_map(|pairs| { Value::Object(pairs.into_iter().collect()) }),
        ]
    })
}

/// Arguments, most of them such that some broker would take them.
fn arguments() -> impl Strategy<Value = Value> {
    let known = prop_oneof![
        Just(("x-queue-type", json!("quorum"))),
        Just(("x-queue-type", json!("stream"))),
        Just(("x-queue-type", json!("x-plugin"))),
        (0_u64..5_000_000_000).prop_map(|ms| ("x-message-ttl", json!(ms))),
        Just(("x-expires", json!(86_400_000))),
        any::<u32>().prop_map(|bytes| ("x-max-length-bytes", json!(bytes))),
        (0_u32..40).prop_map(|shift| ("x-max-length-bytes", json!(1_u64 << shift))),
        prop::sample::select(vec!["7D", "168h", "90s", "0s", "1Y", "60m", "x", "1h "])
            .prop_map(|age| ("x-max-age", json!(age))),
        text().prop_map(|name| ("x-dead-letter-exchange", json!(name))),
        prop::sample::select(vec!["q0", "q1", "q2", "missing"])
            .prop_map(|name| ("x-dead-letter-exchange", json!(name))),
        Just(("x-dead-letter-exchange", json!(""))),
        prop::sample::select(vec!["q0", "q1", "q2", "missing", "a b"])
            .prop_map(|name| ("x-dead-letter-routing-key", json!(name))),
        Just(("x-dead-letter-strategy", json!("at-least-once"))),
        prop::sample::select(vec!["drop-head", "reject-publish", "reject-publish-dlx", "odd"])
            .prop_map(|word| ("x-overflow", json!(word))),
        any::<bool>().prop_map(|flag| ("x-single-active-consumer", json!(flag))),
        Just(("x-queue-mode", json!("lazy"))),
        Just(("x-max-priority", json!(10))),
        (-1_i64..1000).prop_map(|limit| ("x-delivery-limit", json!(limit))),
        (0_u32..100_000).prop_map(|size| ("x-quorum-initial-group-size", json!(size))),
        Just(("alternate-exchange", json!("missing"))),
    ];
    let pairs = prop::collection::vec(
        prop_oneof![
            4 => known.prop_map(|(key, value)| (key.to_owned(), value)),
            1 => (text(), value()),
        ],
        0..5,
    );
    pairs.prop_map(|pairs| Value::Object(pairs.into_iter().collect::<Map<_, _>>()))
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => prop::sample::select(vec!["q0", "q1", "q2", "amq.topic", "amq.gen-1"]).prop_map(str::to_owned),
        1 => text(),
    ]
}

/// Mostly the home.
fn vhosts() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["/", "/", "/", "second"])
}

/// What is neither queue nor exchange.
fn settings() -> impl Strategy<Value = Value> {
    let user = (name(), text(), text()).prop_map(|(name, hash, tags)| json!({"name": name, "password_hash": hash, "tags": tags, "limits": []}));
    let permission = (vhosts(), name(), text(), text()).prop_map(|(vhost, user, write, read)| json!({"vhost": vhost, "user": user, "exchange": user, "configure": write, "write": write, "read": read}));
    let uri = text().prop_map(|text| Value::from(format!("amqp://u:{text}@h/v"))).boxed();
    let value = prop_oneof![
        value(),
        prop::collection::vec(prop_oneof![uri.clone(), value()], 0..3).prop_map(Value::from),
        (uri, text(), value()).prop_map(|(uri, secret, other)| json!({"uri": uri, "secret": secret, "value": other, "manage": 1})),
    ]
    .boxed();
    let component =
        prop::sample::select(vec!["shovel", "operator_policy", "vhost-limits", "policy", "no"]);
    let parameter = (vhosts(), component, name(), value.clone()).prop_map(|(vhost, component, name, value)| json!({"vhost": vhost, "component": component, "name": name, "value": value}));
    let global = (name(), value).prop_map(|(name, value)| json!({"name": name, "value": value}));
    let several = |of| prop::collection::vec(of, 0..3);
    (several(user.boxed()), several(permission.boxed()), several(parameter.boxed()), several(global.boxed())).prop_map(
        |(users, permissions, parameters, globals)| json!({"users": users, "permissions": permissions, "topic_permissions": permissions, "parameters": parameters, "global_parameters": globals}),
    )
}

fn documents() -> impl Strategy<Value = Value> {
    let exchange = (vhosts(), name(), prop::sample::select(vec!["topic", "fanout", "direct", "x-own"]), any::<[bool; 3]>(), arguments())
        .prop_map(|(vhost, name, kind, flags, arguments)| json!({"name": name, "vhost": vhost, "type": kind, "durable": flags[0], "auto_delete": flags[1], "internal": flags[2], "arguments": arguments}));
    let queue = (vhosts(), name(), any::<[bool; 2]>(), arguments())
        .prop_map(|(vhost, name, flags, arguments)| json!({"name": name, "vhost": vhost, "durable": flags[0], "auto_delete": flags[1], "arguments": arguments}));
    let binding = (vhosts(), name(), name(), any::<bool>(), text(), prop_oneof![2 => Just(json!({})), 1 => arguments()])
        .prop_map(|(vhost, source, destination, exchange, key, arguments)| json!({"source": source, "vhost": vhost, "destination": destination, "destination_type": if exchange { "exchange" } else { "queue" }, "routing_key": key, "arguments": arguments}));
    let definition = prop::collection::vec(
        prop_oneof![
            Just(("dead-letter-exchange".to_owned(), json!("q1"))),
            Just(("dead-letter-exchange".to_owned(), json!(""))),
            Just(("dead-letter-routing-key".to_owned(), json!("q0"))),
            Just(("ha-mode".to_owned(), json!("all"))),
            (text(), value()),
        ],
        0..3,
    )
    .prop_map(|pairs| Value::Object(pairs.into_iter().collect::<Map<_, _>>()));
    let policy = (vhosts(), name(), prop_oneof![Just(".*".to_owned()), text()], -3_i64..3, definition)
        .prop_map(|(vhost, name, pattern, priority, definition)| json!({"vhost": vhost, "name": name, "pattern": pattern, "apply-to": "all", "priority": priority, "definition": definition}));
    let several = |of| prop::collection::vec(of, 0..4);
    (
        several(exchange.boxed()),
        several(queue.boxed()),
        several(binding.boxed()),
        several(policy.boxed()),
        settings(),
    )
        .prop_map(|(exchanges, queues, bindings, policies, mut document)| {
            document["rabbitmq_version"] = json!("3.10.8");
            document["exchanges"] = exchanges.into();
            document["queues"] = queues.into();
            document["bindings"] = bindings.into();
            document["policies"] = policies.into();
            document
        })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    /// What comes along is what the file says when it is read again, for either purpose; as
    /// definitions it comes along once more, whole.
    #[test]
    fn the_file_says_what_came_along(document in documents()) {
        let document = Document::new(document).expect("definitions");
        for purpose in [Purpose::Anywhere, Purpose::AsItIs] {
            let wish = Wish { vhost: None, select: None, secrets: false, purpose };
            let carried = carry(&document, &wish).expect("a vhost");
            let text = written(&carried);
            let again = read(&text, &Known(&carried));
            prop_assert_eq!(&again, &carried.topology, "{}", text);
            if again.queues().all(|queue| queue.managed) && again.exchanges().all(|exchange| exchange.managed) {
                let mut json = definitions(&again, &carried.vhost);
                json["rabbitmq_version"] = json!("3.10.8");
                let wish = Wish { vhost: None, select: None, secrets: false, purpose };
                let back = carry(&Document::new(json).expect("definitions"), &wish).expect("a vhost");
                let lost = |note: &&Note| note.reason.weight() == Weight::LeftOut;
                prop_assert_eq!(back.notes.iter().find(lost), None);
            }
        }
    }

    /// Entries of any form never panic, and the file can always be read.
    #[test]
    fn any_entries_give_a_file(entries in prop::collection::vec(prop_oneof![value(), arguments()], 0..5), section in prop::sample::select(vec!["queues", "exchanges", "bindings", "policies", "users", "vhosts"])) {
        let document = Document::new(json!({section: entries})).expect("definitions");
        let wish = Wish { vhost: Some("/"), select: None, secrets: false, purpose: Purpose::Anywhere };
        let carried = carry(&document, &wish).expect("a vhost");
        let stack = StackName::new("test").expect("a name");
        let text = carried.sheet(&stack).text();
        let mut loader = Loader::new(&Nothing);
        loader.add("stack.yaml", &text, std::path::Path::new("/stack"));
        prop_assert!(loader.finish().is_ok());
    }
}
