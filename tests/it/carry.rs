//! `import` and `export` against a real broker: what goes round comes back the same.

mod whole;
mod yard;

use std::os::unix::fs::MetadataExt;

use insta::assert_snapshot;
use reqwest::Method;
use serde_json::{Value, json};

use crate::reconcile::api;
use crate::support::broker::since;
use yard::{Yard, document};

/// Import → check → apply → plan → export → plan; then as definitions, written from the broker and
/// from the file, into empty vhosts.
fn goes_round(name: &str, adapt: impl Fn(&str) -> String) {
    let yard = Yard::new();
    let imported = yard.import(name);
    assert!(matches!(imported.code, Some(0 | 3)), "{imported:?}");
    let checked = yard.run(&["check", "stack.yaml"]);
    assert_eq!(checked.code, Some(0), "{checked:?}\n{}", imported.out);
    yard.write("stack.yaml", &adapt(&yard.read("stack.yaml")));
    yard.settles("stack.yaml");

    let exported = yard.run(&["export", "--stack", "test", "-o", "again.yaml"]);
    assert_eq!(exported.code, Some(0), "{exported:?}\n{}", yard.read("again.yaml"));
    yard.is_settled("again.yaml");
    let (there, here) = (yard.topology("again.yaml"), yard.topology("stack.yaml"));
    assert_eq!(yard.of_vhost(&there), yard.of_vhost(&here));

    for (arguments, file) in [
        (&["export", "--definitions"][..], "again.yaml"),
        (&["export", "--definitions", "stack.yaml"], "stack.yaml"),
    ] {
        let definitions = yard.run(arguments);
        assert_eq!(definitions.code, Some(0), "{definitions:?}");
        let empty = Yard::new();
        let document = definitions.out.replace("VHOST", empty.vhost.name());
        let document: Value = serde_json::from_str(&document).expect("JSON");
        api(Method::POST, "definitions", Some(&document));
        empty.write(file, &yard.read(file).replace(yard.vhost.name(), empty.vhost.name()));
        empty.is_settled(file);
        assert_eq!(empty.vhost_has(), yard.vhost_has(), "{arguments:?}");
    }
}

/// From RabbitMQ 4.3 on, transient queues are refused, so the one of this file becomes durable.
fn durable(text: &str) -> String {
    let transient = "  session.cache:\n    durable: false\n";
    assert!(text.contains(transient), "{text}");
    if since(4, 3) { text.replace(transient, "  session.cache:\n") } else { text.to_owned() }
}

#[test]
fn definitions_of_3_2_go_round() {
    goes_round("3.2", durable);
}

#[test]
fn definitions_of_3_6_go_round() {
    goes_round("3.6", str::to_owned);
}

#[test]
fn definitions_of_3_8_go_round() {
    goes_round("3.8", str::to_owned);
}

#[test]
fn definitions_of_3_11_go_round() {
    goes_round("3.11", str::to_owned);
}

#[test]
fn definitions_of_3_13_go_round() {
    goes_round("3.13", str::to_owned);
}

#[test]
fn definitions_of_4_0_go_round() {
    goes_round("4.0", str::to_owned);
}

#[test]
fn definitions_of_4_3_go_round() {
    // Policies for one type of queue are known since RabbitMQ 3.12.
    goes_round("4.3", |text| {
        if since(3, 12) {
            text.to_owned()
        } else {
            text.replace("apply_to: quorum_queues", "apply_to: queues")
                .replace("apply_to: streams", "apply_to: exchanges")
        }
    });
}

#[test]
fn what_does_not_come_along_is_listed() {
    let yard = Yard::new();
    let said = yard.run(&["import", &document("3.6"), "--stack", "test"]);
    assert_eq!(said.code, Some(3));
    assert_snapshot!(said.out, @r##"
    # From definitions of RabbitMQ 3.6.15, by `warrener import`.
    stack: test

    broker:
      url: "${AMQP_URL:-amqp://guest:guest@localhost:5672/%2F}"

    users:
      legacy-app:
        password_hash: "GqUhE1McM8o9cLCGyCZJOsBUhUvGkAXvW6epXCsFYXNVGE3+"
        tags: [management, monitoring]

    permissions:
      legacy-app: { write: ".*", read: ".*" }

    exchanges:
      "*parcel": { type: fanout, alternate_exchange: parcel }
      parcel: { type: headers }

    queues:
      "#": { bind: [{ exchange: amq.direct, key: "~" }] }
      "0777":
        bind: [{ exchange: "*parcel", key: "key with spaces " }]
        arguments: { x-note: "12:30" }
      "Parcel Räksmörgås №7": { max_priority: 5 }
      "no": { bind: [{ exchange: "*parcel" }] }
      parcel.in:
        bind:
          - { exchange: parcel, arguments: { express: true, kind: letter, x-match: any } }
          - { exchange: parcel, arguments: { kind: parcel, weight: 3, x-match: all } }
      parcel.in.dlq: { dead_letter: { queue: parcel.in }, message_ttl: 30s }
      parcel.lazy: { max_length_bytes: 1GiB }

    policies:
      cap:
        pattern: '\.in$'
        apply_to: queues
        priority: 5
        definition: { max-length: 50000, overflow: drop-head }

    parameters:
      shovel:
        "parcels to the far side":
          ack-mode: on-confirm
          dest-queue: parcel.in
          dest-uri: "amqp://mover:${PARCELS_TO_THE_FAR_SIDE_DEST_URI_PASSWORD}@127.0.0.1:1/%2f"
          src-queue: parcel.in
          src-uri: "amqp://"
    "##);
    assert_snapshot!(said.err, @r#"
    left out: the binding of queue `gone.since.2016` to exchange `parcel` with key `k`: there is no queue `gone.since.2016`
      hint: declare the missing end, with `manage: false` if somebody else makes it, and write the binding again
    left out: policy `ha-two`: it does nothing but mirror queues
      hint: for replicas make the queues quorum queues: `type: quorum`
    left out: `x-queue-mode` of queue `parcel.lazy`: queue `parcel.lazy` has the argument `x-queue-mode`, which brokers have retired
      hint: look at the queue before you apply
    variable: `PARCELS_TO_THE_FAR_SIDE_DEST_URI_PASSWORD`: a password of parameter `shovel/parcels to the far side`
      hint: set these variables for the commands that use the file
    not needed: exchange `amq.rabbitmq.log`, exchange `amq.topic`, global parameter `cluster_name`: the broker makes it by itself
    not needed: queue `amq.gen-JzTY20BRgKO-HjmUJj0wLg`: it goes with its client
    vhost `/`: 2 exchanges, 7 queues, 5 bindings, 1 policy, 1 user, 1 permission, 1 parameter; 3 left out
    "#);
    // A secret in there is not repeated, unless somebody asks for it.
    assert!(!said.out.contains("s3cret") && !said.err.contains("s3cret"));
    let open =
        yard.run(&["import", &document("3.6"), "--secrets", "--vhost", "/", "-o", "open.yaml"]);
    assert!(yard.read("open.yaml").contains("amqp://mover:s3cret@127.0.0.1:1/%2f"), "{open:?}");
    assert!(open.err.contains(", user `legacy-app`: it is not selected\n"), "{open:?}");
    let mode = std::fs::metadata(yard.folder.path().join("open.yaml")).expect("a file").mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_file_is_not_overwritten_and_a_bad_document_is_refused() {
    let yard = Yard::new();
    yard.write("d.json", r#"{"queues": [{"name": "q", "vhost": "/"}]}"#);
    let first = yard.run(&["import", "d.json", "-o", "out.yaml"]);
    assert_eq!((first.code, first.out.as_str()), (Some(0), ""), "{first:?}");
    assert!(yard.read("out.yaml").contains("\nstack: d\n"));
    let second = yard.run(&["import", "d.json", "-o", "out.yaml"]);
    assert_eq!(second.code, Some(1));
    assert_snapshot!(second.err, @r#"
    error: `out.yaml` is there already
      hint: name another file, or remove it
    "#);
    yard.write("bad.json", "{\"queues\": [\n{\"name\": }]}");
    yard.write("other.json", "{\"name\": \"left-pad\"}");
    let bad = yard.run(&["import", "bad.json"]);
    assert_eq!(bad.code, Some(1));
    assert_snapshot!(bad.err, @r#"
    error: `bad.json`: not valid JSON at line 2, column 10: expected value
      hint: definitions come from `rabbitmqctl export_definitions FILE` or `GET /api/definitions`
    "#);
    let other = yard.run(&["import", "other.json"]);
    assert_eq!(other.code, Some(1));
    assert_snapshot!(other.err, @r#"
    error: `other.json`: it has none of the sections of definitions (`queues`, `exchanges`, `users`, …)
      hint: definitions come from `rabbitmqctl export_definitions FILE` or `GET /api/definitions`
    "#);
    assert_eq!(yard.run(&["import", "d.json", "--stack", "a b"]).code, Some(1));
}

/// What a program made for itself, and what nobody could have written in a file.
#[test]
fn an_export_says_what_is_there() {
    let yard = Yard::new();
    let put = |path: &str, body: &Value| {
        api(Method::PUT, &path.replace("VHOST", yard.vhost.name()), Some(body));
    };
    put("exchanges/VHOST/hidden", &json!({"type": "fanout", "internal": true}));
    put("exchanges/VHOST/orders", &json!({"type": "topic"}));
    put(
        "queues/VHOST/orders.a",
        &json!({"durable": true, "arguments": {"x-dead-letter-exchange": "nowhere"}}),
    );
    put(
        "queues/VHOST/orders.b",
        &json!({"durable": true, "arguments": {"x-queue-type": "stream"}}),
    );
    put(
        "queues/VHOST/round",
        &json!({"durable": true, "arguments": {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "round"}}),
    );
    // A retry queue as the consumer of a file brings it.
    put(
        "queues/VHOST/orders.b.retry.5s",
        &json!({"durable": true, "arguments": {"x-message-ttl": 5000, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "orders.b"}}),
    );
    let bind = |path: &str, key: &str| {
        let path = format!("bindings/{}/{path}", yard.vhost.name());
        api(Method::POST, &path, Some(&json!({"routing_key": key})));
    };
    bind("e/orders/e/hidden", "#");
    bind("e/hidden/q/orders.a", "");
    bind("e/amq.topic/q/round", "a.*");
    let exported = yard.run(&["export", "-o", "all.yaml"]);
    assert_eq!(exported.code, Some(3), "{exported:?}");
    let version = yard.read("all.yaml").lines().next().expect("a header").to_owned();
    assert!(
        version.starts_with("# What a RabbitMQ ") && version.ends_with(", by `warrener export`.")
    );
    let body = yard.read("all.yaml").split_once("\nexchanges:").expect("exchanges").1.to_owned();
    assert_snapshot!(body, @r##"
      hidden:
        type: fanout
        durable: false
        internal: true
        bind: [{ exchange: orders, key: "#" }]
      # was not there, though queue orders.a dead-letters to it
      nowhere: { type: fanout }
      orders: { type: topic, durable: false }

    queues:
      orders.a: { bind: [{ exchange: hidden }], dead_letter: { exchange: nowhere } }
      orders.b: { type: stream }
      # dead-lettered messages go round: `round` → `round`
      round: { manage: false, bind: [{ exchange: amq.topic, key: a.* }] }
    "##);
    assert_snapshot!(exported.err, @r#"
    changed: queue `round`: dead-lettered messages go round: `round` → `round`
      hint: write it out and remove `manage: false` to have it managed
    added: exchange `nowhere`: queue `orders.a` dead-letters to it, and it was not there
      hint: bind a queue to it, or give the queue another `dead_letter`
    not needed: queue `orders.b.retry.5s`: the `retry` of a consumer brings it
    vhost `VHOST`: 3 exchanges, 3 queues, 3 bindings, 0 policies; 1 changed, 1 added
    "#);
    let planned = yard.run(&["plan", "all.yaml"]);
    assert_snapshot!(planned.out, @r#"
    + exchange nowhere (fanout)
    1 to create, 0 to update, 0 in conflict
    "#);

    let part = yard.run(&["export", "--pattern", r"^orders\.a$"]);
    assert_eq!(part.code, Some(0), "{part:?}");
    assert_snapshot!(part.out.split_once("\nexchanges:").expect("exchanges").1, @r#"
      # not selected, but something here refers to it
      hidden: { type: fanout, manage: false }
      # was not there, though queue orders.a dead-letters to it
      nowhere: { type: fanout }

    queues:
      orders.a: { bind: [{ exchange: hidden }], dead_letter: { exchange: nowhere } }
    "#);
    let definitions = yard.run(&["export", "--definitions"]);
    let document: Value = serde_json::from_str(&definitions.out).expect("JSON");
    let names: Vec<_> = document["exchanges"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|exchange| &exchange["name"])
        .collect();
    assert_eq!(names, ["hidden", "orders"]);
}

#[test]
fn an_export_without_a_broker_says_so() {
    let yard = Yard::new();
    let refused = yard.run(&[
        "export",
        "--url",
        "amqp://guest:sesame@127.0.0.1:1/x",
        "--management",
        "http://127.0.0.1:1",
    ]);
    assert_eq!(refused.code, Some(1));
    assert_snapshot!(refused.err, @r#"
    error: cannot export: no answer from the management API at `http://127.0.0.1:1`: Connection refused (os error 111)
      hint: enable it on the broker with `rabbitmq-plugins enable rabbitmq_management`, or give its address as `broker.management`
    "#);
    let bad = yard.run(&["export", "--url", "http://guest:sesame@h"]);
    assert_eq!(bad.code, Some(1));
    assert_snapshot!(bad.err, @r#"
    error[E0201]: the broker's address does not begin with `amqp://` or `amqps://`
     --> the address:3:8
      |
    3 |   url: "${url}"
      |        ^^^^^^^^
      |
      = hint: it looks like `amqp://USER:PASSWORD@HOST:5672/VHOST`
    "#);
    let none = yard.run(&["export", "--vhost", "nobody's"]);
    assert_eq!(none.code, Some(1));
    assert!(none.err.starts_with("error: cannot export: "), "{none:?}");
}
