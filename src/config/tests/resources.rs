//! Exchanges, queues, bindings, policies and the broker, as they come out.

use std::path::Path;

use super::{check, desired};
use crate::model::{ApplyTo, ArgValue, Arguments, Management, OnRemove, QueueType, ReconcileMode};

fn shown(arguments: &Arguments) -> String {
    ArgValue::Map(arguments.clone()).to_string()
}

#[test]
fn queues_with_every_key() {
    let topology = desired(
        "stack: s\nqueues:\n  a:\n    type: quorum\n    message_ttl: 1h30m\n    expires: 7d\n    max_length: 10\n    \
         max_length_bytes: 1MiB\n    overflow: reject-publish\n    single_active_consumer: true\n    delivery_limit: -1\n    \
         dead_letter: { exchange: amq.direct, key: k }\n    dead_letter_strategy: at-least-once\n    \
         leader_locator: balanced\n    initial_group_size: 3\n    arguments: { own: [1, 2.5, { a: true }] }\n  \
         b: { durable: false, auto_delete: true, max_priority: 5, manage: false, overflow: drop-head }\n  \
         c: { type: stream, max_age: 7d, initial_group_size: 3, max_length_bytes: 5GiB }\n  \
         d:\n",
    )
    .topology;
    let queues: Vec<_> = topology.queues().collect();
    insta::assert_snapshot!(shown(&queues[0].arguments), @r#"{"own":[1,2.5,{"a":true}],"x-dead-letter-exchange":"amq.direct","x-dead-letter-routing-key":"k","x-dead-letter-strategy":"at-least-once","x-delivery-limit":-1,"x-expires":604800000,"x-max-length":10,"x-max-length-bytes":1048576,"x-message-ttl":5400000,"x-overflow":"reject-publish","x-queue-leader-locator":"balanced","x-quorum-initial-group-size":3,"x-single-active-consumer":true}"#);
    insta::assert_snapshot!(shown(&queues[1].arguments), @r#"{"x-max-priority":5,"x-overflow":"drop-head"}"#);
    insta::assert_snapshot!(shown(&queues[2].arguments), @r#"{"x-initial-cluster-size":3,"x-max-age":"7D","x-max-length-bytes":5368709120}"#);
    let flags: Vec<_> =
        queues.iter().map(|q| (q.kind, q.durable, q.auto_delete, q.managed)).collect();
    assert_eq!(
        flags,
        [
            (QueueType::Quorum, true, false, true),
            (QueueType::Classic, false, true, false),
            (QueueType::Stream, true, false, true),
            (QueueType::Classic, true, false, true),
        ]
    );
}

#[test]
fn exchanges_and_bindings_of_every_form() {
    let topology = desired(
        "stack: s\nexchanges:\n  a: { type: topic, alternate_exchange: b, internal: true }\n  \
         b: { durable: false, auto_delete: true, bind: { exchange: a, key: \"#\" } }\n\
         queues:\n  q: { bind: [{ exchange: a, keys: [x, y] }, { exchange: amq.headers, arguments: { x-match: all, n: 1 } }] }\n\
         bindings:\n  - { exchange: b, queue: q }\n  - { source: b, destination: a, key: k }\n",
    )
    .topology;
    let bindings: Vec<_> = topology
        .bindings()
        .map(|b| {
            let (kind, name) = (b.destination.kind(), b.destination.name());
            format!("{} -{}-> {kind} {name} {}", b.source, b.routing_key, shown(&b.arguments))
        })
        .collect();
    insta::assert_snapshot!(bindings.join("\n"), @r#"
    a -x-> queue q {}
    a -y-> queue q {}
    a -#-> exchange b {}
    amq.headers --> queue q {"n":1,"x-match":"all"}
    b --> queue q {}
    b -k-> exchange a {}
    "#);
    let exchanges: Vec<_> = topology
        .exchanges()
        .map(|e| {
            format!(
                "{} {} {} {} {} {}",
                e.name,
                e.kind,
                e.durable,
                e.auto_delete,
                e.internal,
                shown(&e.arguments)
            )
        })
        .collect();
    insta::assert_snapshot!(exchanges.join("\n"), @r#"
    a topic true false true {"alternate-exchange":"b"}
    b direct false true false {}
    "#);
}

#[test]
fn bindings_that_lack_an_end() {
    check(
        "stack: s\nexchanges: { e: }\nqueues: { q: { bind: [{ key: k }, { exchange: e, key: a, keys: [b] }] } }\n\
         bindings:\n  - { exchange: e }\n  - { exchange: e, source: e, queue: q }\n  - { queue: q }\n  - e\n",
        &[
            "E0105 a.yaml:3:23 this binding has no `exchange`",
            "E0111 a.yaml:3:58 `key` and `keys` exclude each other",
            "E0105 a.yaml:5:5 this binding has neither a `queue`",
            "E0111 a.yaml:6:20 `exchange` and `source` exclude each other",
            "E0105 a.yaml:7:5 this binding has no `exchange`",
            "E0101 a.yaml:8:5 `bindings` takes a map, not `e`",
        ],
    );
}

#[test]
fn policies() {
    let topology = desired(
        "stack: s\npolicies:\n  p: { pattern: \"\\\\.dead$\", apply_to: classic_queues, priority: 3, definition: { message-ttl: 604800000, max-length: 5 } }\n",
    )
    .topology;
    let policy = topology.policies().next().expect("one policy");
    assert_eq!(
        (policy.pattern.as_str(), policy.apply_to, policy.priority),
        (r"\.dead$", ApplyTo::ClassicQueues, 3)
    );
    assert_eq!(shown(&policy.definition), r#"{"max-length":5,"message-ttl":604800000}"#);
    check(
        "stack: s\npolicies:\n  a: { definition: { x: 1 } }\n  b: { pattern: a }\n  \
         c: { pattern: \"(\", definition: { x: 1 } }\n  d: { pattern: a, apply_to: queue, definition: { x: } }\n",
        &[
            "E0105 a.yaml:3:3 policy `a` has no `pattern`",
            "E0105 a.yaml:4:3 policy `b` has no `definition`",
            "E0307 a.yaml:5:17 the pattern of policy `c`",
            "E0106 a.yaml:6:30 `apply_to` takes one of",
            "E0101 a.yaml:6:52 `x` takes a value, not nothing",
        ],
    );
}

#[test]
fn broker_addresses() {
    let broker = |text: &str| desired(&format!("stack: s\nbroker: {text}\n")).broker;
    let default = desired("stack: s\n").broker;
    assert_eq!(default.endpoints[0].to_string(), "amqp://localhost:5672/%2F");
    assert_eq!(default.vhost.as_str(), "/");
    let list = broker("{ url: [\"amqp://u:p@a/v\", \"amqps://u:p@[::1]:7/v?heartbeat=5\"] }");
    let shown: Vec<_> = list.endpoints.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["amqp://a:5672/v", "amqps://[::1]:7/v"]);
    assert_eq!(list.endpoints[1].uri.authority.host, "::1");
    assert_eq!(list.endpoints[1].uri.query.heartbeat, Some(5));
    assert_eq!(list.vhost.as_str(), "v");
    let management = |text: &str| match broker(text).management {
        Management::Off => "off".to_owned(),
        Management::At { url, user, explicit, .. } => format!("{user} {url} {explicit}"),
    };
    assert_eq!(management("{ url: \"amqp://u:p@a/v\" }"), "u http://a:15672 false");
    assert_eq!(management("{ url: \"amqps://u:p@a\" }"), "u https://a:15671 false");
    assert_eq!(management("{ url: \"amqp://u:p@[::1]/v\" }"), "u http://[::1]:15672 false");
    assert_eq!(management("{ management: none }"), "off");
    assert_eq!(
        management("{ management: \"http://h:8080/prefix/\" }"),
        "guest http://h:8080/prefix true"
    );
    assert_eq!(management("{ management: \"https://m%40x:guest@h\" }"), "m@x https://h true");
    check("stack: s\nbroker: { management: ftp://h }\n", &["E0201 a.yaml:2:23"]);
}

#[test]
fn files_for_tls() {
    let text = |tls: &str| format!("stack: s\nbroker: {{ url: \"amqps://h/v\", tls: {tls} }}\n");
    let broker = desired(&text("{ ca: /a/ca.pem, certificate: /a/me.pem, key: /a/me.key }")).broker;
    let tls = &broker.endpoints[0].tls;
    assert_eq!(tls.ca.as_deref(), Some(Path::new("/a/ca.pem")));
    let identity = tls.identity.as_ref().expect("a certificate");
    assert_eq!(identity.certificate, Path::new("/a/me.pem"));
    assert_eq!(identity.key, Path::new("/a/me.key"));
    assert!(matches!(&broker.management, Management::At { tls: same, .. } if same == tls));
    check(
        &text("{ ca: ca.pem, certificate: /me.pem, cert: /x }"),
        &[
            "E0105 a.yaml:2:31 `tls` has a `certificate` and no `key`",
            "E0106 a.yaml:2:42 `ca` takes an absolute path, not `ca.pem`",
            "E0102 a.yaml:2:72 there is no key `cert` here",
        ],
    );
    check(
        "stack: s\nbroker: { tls: { ca: /a } }\n",
        &["E0111 a.yaml:2:11 `tls` means something only with"],
    );
}

#[test]
fn reconcile() {
    let read = |text: &str| desired(&format!("stack: s\n{text}\n")).reconcile;
    assert_eq!((read("").mode, read("").interval.as_secs()), (ReconcileMode::Apply, 300));
    let spec = read("reconcile: { mode: check, interval: 1m }");
    assert_eq!((spec.mode, spec.interval.as_secs()), (ReconcileMode::Check, 60));
    assert!(!spec.prune && read("reconcile: { prune: true }").prune);
    check(
        "stack: s\nreconcile: { mode: aply, interval: 10ms }\n",
        &[
            "E0106 a.yaml:2:20 `mode` takes",
            "E0106 a.yaml:2:36 `interval` takes a duration of at least 1s",
        ],
    );
}

#[test]
fn what_becomes_of_a_resource_on_its_removal() {
    let text = "stack: s\nexchanges: { e: { on_remove: retain } }\nqueues: { q: { on_remove: retain }, r: { on_remove: delete }, s: }\npolicies: { p: { pattern: a, definition: {}, on_remove: retain } }\n";
    let topology = desired(text).topology;
    let queues: Vec<_> = topology.queues().map(|queue| queue.on_remove).collect();
    assert_eq!(queues, [OnRemove::Retain, OnRemove::Delete, OnRemove::Delete]);
    assert!(topology.exchanges().all(|exchange| exchange.on_remove == OnRemove::Retain));
    assert!(topology.policies().all(|policy| policy.on_remove == OnRemove::Retain));
    check(
        "stack: s\nqueues: { q: { on_remove: retian } }\n",
        &["E0106 a.yaml:2:27 `on_remove` takes"],
    );
}
