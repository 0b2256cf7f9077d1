//! Documents as brokers of many versions and people write them.

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{carried, shown};
use crate::definitions::{BadDocument, Document, Purpose, Reason, Weight, Wish, carry};

fn anywhere(document: &Value) -> String {
    shown(&carried(document, Purpose::Anywhere))
}

fn as_it_is(document: &Value) -> String {
    shown(&carried(document, Purpose::AsItIs))
}

/// One queue bound to one exchange, in the shape of a version; whatever it is, the same comes out.
#[test]
fn every_version_says_the_same() {
    let exchange = json!({"name": "e", "vhost": "/", "type": "topic", "durable": true, "auto_delete": false, "internal": false, "arguments": {}});
    let queue = json!({"name": "q", "vhost": "/", "durable": true, "auto_delete": false, "arguments": {"x-message-ttl": 60_000}});
    let binding = json!({"source": "e", "vhost": "/", "destination": "q", "destination_type": "queue", "routing_key": "k", "arguments": {}});
    let without = |value: &Value, keys: &[&str]| {
        let mut value = value.clone();
        for key in keys {
            value.as_object_mut().expect("an object").remove(*key);
        }
        value
    };
    let with = |value: &Value, key: &str, content: Value| {
        let mut value = value.clone();
        value[key] = content;
        value
    };
    let listed = |value: &Value| with(value, "arguments", json!([]));
    let shapes = [
        (
            "3.2",
            json!({"rabbit_version": "3.2.4", "vhosts": [{"name": "/"}], "parameters": [], "policies": [], "queues": [queue], "exchanges": [exchange], "bindings": [binding]}),
        ),
        (
            "3.6 without vhosts",
            json!({"rabbit_version": "3.6.15", "queues": [queue], "exchanges": [listed(&exchange)], "bindings": [listed(&binding)]}),
        ),
        (
            "3.8 of one vhost",
            json!({"rabbit_version": "3.8.9", "product_name": "RabbitMQ", "policies": [], "queues": [without(&queue, &["vhost"])], "exchanges": [without(&exchange, &["vhost"])], "bindings": [without(&binding, &["vhost"])]}),
        ),
        (
            "3.9 of the command line",
            json!({"rabbitmq_version": "3.9.13", "vhosts": [{"limits": [["max-connections", 500]], "metadata": {"tags": []}, "name": "/"}],
            "queues": [with(&with(&queue, "type", json!("classic")), "arguments", json!([["x-message-ttl", 60_000]]))], "exchanges": [exchange], "bindings": [listed(&binding)]}),
        ),
        (
            "3.13",
            json!({"rabbitmq_version": "3.13.7", "product_version": "3.13.7", "vhosts": [{"name": "/", "description": "Default", "tags": [], "metadata": {"default_queue_type": "classic"}}],
            "topic_permissions": [], "global_parameters": [], "queues": [with(&queue, "arguments", json!({"x-message-ttl": 60_000, "x-queue-type": "classic"}))], "exchanges": [exchange], "bindings": [binding]}),
        ),
        (
            "4.0 of one vhost",
            json!({"rabbitmq_version": "4.0.5", "rabbitmq_definition_format": "single_virtual_host", "original_vhost_name": "shop", "explanation": "…",
            "metadata": {}, "default_queue_type": "classic", "limits": [], "queues": [without(&queue, &["vhost"])], "exchanges": [without(&exchange, &["vhost"])], "bindings": [without(&binding, &["vhost"])]}),
        ),
        (
            "4.3 without `internal`",
            json!({"rabbitmq_version": "4.3.6", "rabbitmq_definition_format": "cluster", "original_cluster_name": "rabbit@one", "vhosts": [{"name": "/"}],
            "queues": [queue], "exchanges": [without(&exchange, &["internal"])], "bindings": [binding]}),
        ),
        (
            "by hand",
            json!({"queues": [{"name": "q", "vhost": "/", "arguments": {"x-message-ttl": 60_000}}], "exchanges": [{"name": "e", "vhost": "/", "type": "topic", "durable": "true", "arguments": null}],
            "bindings": [{"source": "e", "vhost": "/", "destination": "q", "routing_key": "k"}]}),
        ),
        (
            "listings",
            json!({"queues": [with(&queue, "exclusive", json!(false))], "exchanges": [exchange, {"name": "", "vhost": "/", "type": "direct"}],
            "bindings": [with(&binding, "properties_key", json!("k")), {"source": "", "vhost": "/", "destination": "q", "destination_type": "queue", "routing_key": "q", "arguments": {}, "properties_key": "q"}]}),
        ),
    ];
    for (shape, document) in shapes {
        for purpose in [Purpose::Anywhere, Purpose::AsItIs] {
            let carried = carried(&document, purpose);
            let text = shown(&carried);
            let expected = "\
                exchanges:\n  e: { type: topic }\n\n\
                queues:\n  q: { bind: [{ exchange: e, key: k }], message_ttl: 1m }\n";
            assert!(text.contains(expected), "{shape}: {text}");
            let needed =
                carried.notes.iter().filter(|note| note.reason.weight() != Weight::Needless);
            assert_eq!(needed.count(), 0, "{shape}: {:?}", carried.notes);
            let vhost = if shape.starts_with("4.0") { "shop" } else { "/" };
            assert_eq!(carried.vhost.as_str(), vhost, "{shape}");
        }
    }
}

#[test]
fn what_is_no_definitions() {
    for (text, expected) in [
        ("", "not valid JSON at line 1, column 0: EOF while parsing a value"),
        ("{\"queues\": [}", "not valid JSON at line 1, column 13: expected value"),
        ("[]", "it holds a list, and definitions are an object"),
        ("null", "it holds `null`, and definitions are an object"),
        ("\"a\"", "it holds text, and definitions are an object"),
        ("{}", "it has none of the sections of definitions (`queues`, `exchanges`, `users`, …)"),
        (
            "{\"a\": 1}",
            "it has none of the sections of definitions (`queues`, `exchanges`, `users`, …)",
        ),
    ] {
        let error = Document::parse(text).expect_err(text);
        assert_eq!(error.to_string(), expected);
    }
    assert!(Document::parse("\u{feff}{\"queues\": []}").is_ok());
    assert_eq!(Document::parse("3"), Err(BadDocument::NotAnObject("a single value")));
}

#[test]
fn mirroring_is_left_out_unless_the_broker_still_mirrors() {
    let document = |version: &str| {
        json!({"rabbit_version": version, "queues": [{"name": "q", "vhost": "/"}], "policies": [
            {"vhost": "/", "name": "ha-all", "pattern": ".*", "apply-to": "all", "definition": {"ha-mode": "all", "ha-sync-mode": "automatic"}, "priority": 0},
            {"vhost": "/", "name": "both", "pattern": "^q$", "apply-to": "queues", "definition": {"ha-mode": "all", "message-ttl": 5}, "priority": 1},
        ]})
    };
    assert_snapshot!(anywhere(&document("3.6.1")), @r#"
    queues:
      q: {}

    policies:
      both: { pattern: "^q$", apply_to: queues, priority: 1, definition: { message-ttl: 5 } }

    left out: `ha-mode` of policy `both`: mirroring ended with RabbitMQ 4.0
    left out: policy `ha-all`: it does nothing but mirror queues
    "#);
    assert_snapshot!(as_it_is(&document("4.0.5")), @r#"
    queues:
      q: {}

    policies:
      both: { pattern: "^q$", apply_to: queues, priority: 1, definition: { message-ttl: 5 } }

    left out: `ha-mode` of policy `both`: mirroring ended with RabbitMQ 4.0
    left out: policy `ha-all`: it does nothing but mirror queues
    "#);
    assert_snapshot!(as_it_is(&document("3.10.8")), @r#"
    queues:
      q: {}

    policies:
      both:
        pattern: "^q$"
        apply_to: queues
        priority: 1
        definition: { ha-mode: all, message-ttl: 5 }
      ha-all: { pattern: ".*", definition: { ha-mode: all, ha-sync-mode: automatic } }
    "#);
}

#[test]
fn dead_letter_targets_that_are_not_there_are_declared() {
    let document = json!({"queues": [
        {"name": "a", "vhost": "/", "arguments": {"x-dead-letter-exchange": "nowhere", "x-dead-letter-routing-key": "k"}},
        {"name": "b", "vhost": "/", "arguments": {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "lost"}},
        {"name": "c", "vhost": "/", "arguments": {"x-dead-letter-exchange": "nowhere"}},
        {"name": "d", "vhost": "/"},
    ], "policies": [
        {"vhost": "/", "name": "dlx", "pattern": "^d$", "definition": {"dead-letter-exchange": "gone"}, "priority": 0},
    ]});
    assert_snapshot!(anywhere(&document), @r#"
    exchanges:
      # was not there, though queue d dead-letters to it
      gone: { type: fanout }
      # was not there, though queue a dead-letters to it
      nowhere: { type: fanout }

    queues:
      a: { dead_letter: { exchange: nowhere, key: k } }
      b: { dead_letter: { queue: lost } }
      c: { dead_letter: { exchange: nowhere } }
      d: {}
      # was not there, though queue b dead-letters to it
      lost: {}

    policies:
      dlx: { pattern: "^d$", definition: { dead-letter-exchange: gone } }

    added: exchange `gone`: queue `d` dead-letters to it, and it was not there
    added: exchange `nowhere`: queue `a` dead-letters to it, and it was not there
    added: queue `lost`: queue `b` dead-letters to it, and it was not there
    "#);
}

#[test]
fn bindings_without_both_ends_are_left_out() {
    let document = json!({
        "exchanges": [{"name": "e", "vhost": "/", "type": "fanout"}],
        "queues": [{"name": "q", "vhost": "/"}, {"name": "amq.gen-x", "vhost": "/"}, {"name": "mine", "vhost": "/", "exclusive": true}],
        "bindings": [
            {"source": "e", "vhost": "/", "destination": "nobody", "destination_type": "queue"},
            {"source": "nothing", "vhost": "/", "destination": "q", "destination_type": "queue", "routing_key": "k"},
            {"source": "e", "vhost": "/", "destination": "amq.gen-x", "destination_type": "queue"},
            {"source": "e", "vhost": "/", "destination": "mine", "destination_type": "queue"},
            {"source": "amq.topic", "vhost": "/", "destination": "e", "destination_type": "exchange", "routing_key": "#"},
            {"source": "e", "vhost": "/", "destination": "amq.fanout", "destination_type": "exchange", "arguments": []},
            {"source": "e", "vhost": "/", "destination": "q", "destination_type": "queue"},
            {"source": "e", "vhost": "/", "destination": "q", "destination_type": "queue", "arguments": {}},
        ],
    });
    assert_snapshot!(anywhere(&document), @r##"
    exchanges:
      e: { type: fanout, bind: [{ exchange: amq.topic, key: "#" }] }

    queues:
      q: { bind: [{ exchange: e }] }

    bindings:
      - { source: e, destination: amq.fanout }

    left out: the binding of `q` to exchange `e` with key ``: it is there twice, and the first one is taken
    left out: the binding of queue `nobody` to exchange `e` with key ``: there is no queue `nobody`
    left out: the binding of queue `q` to exchange `nothing` with key `k`: there is no exchange `nothing`
    not needed: queue `amq.gen-x`: it goes with its client
    not needed: queue `mine`: it goes with its client
    "##);
}

/// What files cannot say, as far as a broker would take it.
fn misfits() -> Value {
    json!({
        "rabbitmq_version": "3.10.8",
        "bogus": [1],
        "users": [{"name": "guest", "password_hash": "x", "tags": "administrator"}],
        "exchanges": [
            {"name": "amq.topic", "vhost": "/", "type": "topic"},
            {"name": "null", "vhost": "/", "type": "x-other", "arguments": {"none": null}},
            {"name": "e\u{7}", "vhost": "/", "type": "topic"},
            {"name": "federation: x", "vhost": "/", "type": "x-federation-upstream", "internal": true, "arguments": {"x-internal-purpose": "federation"}},
            {"vhost": "/", "type": "topic"},
        ],
        "queues": [
            {"name": "lazy", "vhost": "/", "arguments": {"x-queue-mode": "lazy", "x-max-length": 5}},
            {"name": "old", "vhost": "/", "arguments": {"x-queue-version": 1}, "colour": "red"},
            {"name": "plugin", "vhost": "/", "arguments": {"x-queue-type": "x-mine"}},
            {"name": "mixed", "vhost": "/", "durable": false, "arguments": {"x-queue-type": "quorum", "x-max-priority": 3}},
            {"name": "round", "vhost": "/", "arguments": {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "round"}},
            {"name": "${HOME}", "vhost": "/"},
            {"name": "round", "vhost": "/"},
            {"name": "work", "vhost": "/"},
            {"name": "work.retry.30s", "vhost": "/", "arguments": {"x-message-ttl": 30_000, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "work"}},
            {"name": "other", "vhost": "elsewhere"},
        ],
        "bindings": [
            {"source": "amq.topic", "vhost": "/", "destination": "work", "destination_type": "queue", "arguments": {"a": null}},
            {"source": "amq.topic", "vhost": "/", "destination": "plugin", "destination_type": "queue"},
        ],
        "policies": [
            {"vhost": "/", "name": "broken", "pattern": "(", "definition": {"max-length": 1}},
            {"vhost": "/", "name": "odd", "pattern": "^a", "apply-to": "topics", "definition": {"max-length": 1}},
        ],
    })
}

#[test]
fn what_cannot_be_said_is_left_out_of_what_can() {
    assert_snapshot!(anywhere(&misfits()), @r#"
    users:
      guest: { password_hash: x, tags: [administrator] }

    exchanges:
      "null": { type: x-other }

    queues:
      lazy: { max_length: 5 }
      mixed: { type: quorum }
      old: {}
      round: {}
      work: {}

    vhosts:
      elsewhere: { queues: { other: {} } }

    left out: `bogus`: files do not have it
    left out: the key `colour` of 1 entry of `queues`: it means nothing here
    left out: exchange ``: it has no `name`
    left out: policy `odd`: it applies to `topics`
    left out: exchange `e\u{7}`: a name cannot contain the control character U+0007
    left out: queue `${HOME}`: `${HOME}` cannot be a key of a file
    left out: `none` of exchange `null`: no file can spell its value
    left out: the binding of `work` to exchange `amq.topic` with key ``: its argument `a`
    left out: queue `plugin`: its type is `x-mine`
    left out: queue `round`: it is there twice, and the first one is taken
    left out: the binding of queue `plugin` to exchange `amq.topic` with key ``: there is no queue `plugin`
    left out: policy `broken`: the pattern of policy `broken` is no regular expression
    left out: `durable: false` of queue `mixed`: `durable: false` on the quorum queue `mixed`
    left out: `x-max-priority` of queue `mixed`: `max_priority` does not exist on quorum queues
    left out: `x-queue-mode` of queue `lazy`: queue `lazy` has the argument `x-queue-mode`, which brokers have retired
    left out: `x-queue-version` of queue `old`: queue `old` has the argument `x-queue-version`, which brokers have retired
    left out: `dead_letter` of queue `round`: dead-lettered messages go round: `round` → `round`
    not needed: exchange `amq.topic`: the broker makes it by itself
    not needed: exchange `federation: x`: the broker makes it by itself
    not needed: queue `work.retry.30s`: the `retry` of a consumer brings it
    "#);
}

#[test]
fn what_exists_and_cannot_be_said_is_named() {
    assert_snapshot!(as_it_is(&misfits()), @r#"
    users:
      guest: { password_hash: x, tags: [administrator] }

    exchanges:
      # no file can spell all of its arguments
      "null": { type: x-other, manage: false }

    queues:
      # queue `lazy` has the argument `x-queue-mode`, which brokers have retired
      lazy: { manage: false }
      # `durable: false` on the quorum queue `mixed`
      mixed: { manage: false }
      # queue `old` has the argument `x-queue-version`, which brokers have retired
      old: { manage: false }
      # its type is `x-mine`
      plugin: { manage: false, bind: [{ exchange: amq.topic }] }
      # dead-lettered messages go round: `round` → `round`
      round: { manage: false }
      work: {}

    vhosts:
      elsewhere: { queues: { other: {} } }

    left out: `bogus`: files do not have it
    left out: the key `colour` of 1 entry of `queues`: it means nothing here
    left out: exchange ``: it has no `name`
    left out: policy `odd`: it applies to `topics`
    left out: exchange `e\u{7}`: a name cannot contain the control character U+0007
    left out: queue `${HOME}`: `${HOME}` cannot be a key of a file
    left out: the binding of `work` to exchange `amq.topic` with key ``: its argument `a`
    left out: queue `round`: it is there twice, and the first one is taken
    left out: policy `broken`: the pattern of policy `broken` is no regular expression
    changed: exchange `null`: no file can spell its `none`
    changed: queue `lazy`: queue `lazy` has the argument `x-queue-mode`, which brokers have retired
    changed: queue `mixed`: `durable: false` on the quorum queue `mixed`
    changed: queue `old`: queue `old` has the argument `x-queue-version`, which brokers have retired
    changed: queue `plugin`: its type is `x-mine`
    changed: queue `round`: dead-lettered messages go round: `round` → `round`
    not needed: exchange `amq.topic`: the broker makes it by itself
    not needed: exchange `federation: x`: the broker makes it by itself
    not needed: queue `work.retry.30s`: the `retry` of a consumer brings it
    "#);
}

#[test]
fn a_selection_names_what_is_beyond_it() {
    let document = json!({
        "exchanges": [{"name": "orders", "vhost": "/", "type": "topic"}, {"name": "other", "vhost": "/", "type": "topic"}],
        "queues": [
            {"name": "billing", "vhost": "/", "arguments": {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}},
            {"name": "dead", "vhost": "/", "arguments": {"x-max-length": 9, "x-queue-type": "quorum"}},
            {"name": "mail", "vhost": "/"},
        ],
        "bindings": [
            {"source": "orders", "vhost": "/", "destination": "billing", "destination_type": "queue", "routing_key": "a"},
            {"source": "other", "vhost": "/", "destination": "mail", "destination_type": "queue"},
        ],
        "policies": [
            {"vhost": "/", "name": "one", "pattern": "^bill", "definition": {"max-length": 1}},
            {"vhost": "/", "name": "two", "pattern": "^mail", "definition": {"max-length": 1}},
            {"vhost": "/", "name": "far", "pattern": "^(?!x)", "definition": {"max-length": 1}},
        ],
    });
    let select = regex::Regex::new("^bill").expect("a pattern");
    let document = Document::new(document).expect("definitions");
    let wish =
        Wish { vhost: None, select: Some(&select), secrets: false, purpose: Purpose::AsItIs };
    assert_snapshot!(shown(&carry(&document, &wish).expect("a vhost")), @r#"
    exchanges:
      # not selected, but something here refers to it
      orders: { type: topic, manage: false }

    queues:
      billing: { bind: [{ exchange: orders, key: a }], dead_letter: { queue: dead } }
      # not selected, but something here refers to it
      dead: { type: quorum, manage: false }

    policies:
      far: { pattern: "^(?!x)", definition: { max-length: 1 } }
      one: { pattern: "^bill", definition: { max-length: 1 } }

    added: exchange `orders`: it is not selected, but something here refers to it
    added: queue `dead`: it is not selected, but something here refers to it
    "#);
}

#[test]
fn a_vhost_can_be_chosen() {
    let document =
        json!({"queues": [{"name": "a", "vhost": "one"}, {"name": "b", "vhost": "two"}]});
    let document = Document::new(document).expect("definitions");
    let of = |vhost| {
        let wish = Wish { vhost, select: None, secrets: false, purpose: Purpose::Anywhere };
        shown(&carry(&document, &wish).expect("a vhost"))
    };
    assert_snapshot!(of(Some("two")), @r#"
    broker:
      url: "amqp://localhost/two"

    queues:
      b: {}

    not needed: vhost `one`: it is not selected
    "#);
    let wish = Wish { vhost: Some(""), select: None, secrets: false, purpose: Purpose::Anywhere };
    assert!(carry(&document, &wish).is_err());
}

#[test]
fn every_reason_that_can_be_mended_has_a_mend() {
    for reason in Reason::ALL {
        let needless = matches!(reason.weight(), Weight::Needless) || reason == Reason::Beyond;
        assert_eq!(reason.hint().is_none(), needless, "{reason:?}");
    }
}
