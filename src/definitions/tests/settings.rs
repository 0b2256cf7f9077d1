//! Users, permissions, parameters and vhosts, as brokers of many versions and people write them.

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{carried, shown};
use crate::definitions::{Document, Purpose, Wish, carry, definitions};
use crate::model::Topology;

/// What is neither queue nor exchange, as several versions write it.
fn settings() -> Value {
    json!({
        "rabbit_version": "3.5.7",
        "users": [
            {"name": "old", "password_hash": "b/XedHeZ8AVWttrmlrs5Mjl+eKI=", "tags": "administrator, monitoring"},
            {"name": "new", "password_hash": "kI3GCqW5", "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": ["a"], "limits": {"max-connections": 5, "max-channels": -1}},
            {"name": "other", "password_hash": "kI3GCqW5", "hashing_algorithm": "my_own_hash", "tags": []},
            {"name": "plain", "password": "open sesame", "tags": ""},
            {"name": "none", "tags": null},
            {"name": "old"},
        ],
        "vhosts": [
            {"name": "/", "description": "Default virtual host", "metadata": {"description": "Default virtual host", "tags": []}, "default_queue_type": "undefined"},
            {"name": "reports", "limits": [["max-connections", 500]], "metadata": {"description": "nightly", "tags": ["night"], "default_queue_type": "quorum"}},
            {"name": "bare", "tracing": false},
        ],
        "permissions": [
            {"user": "new", "vhost": "/", "configure": "", "write": ".*", "read": "^q\\."},
            {"user": "new", "vhost": "reports", "configure": "(", "write": ".*", "read": ".*"},
        ],
        "topic_permissions": [
            {"user": "new", "vhost": "reports", "exchange": "amq.topic", "write": "^a", "read": ".*"},
            {"user": "new", "vhost": "reports", "exchange": "", "write": "^b", "read": ".*"},
        ],
        "parameters": [
            {"component": "operator_policy", "vhost": "/", "name": "most", "value": {"apply-to": "queues", "definition": [["max-length", 5000]], "pattern": "^work", "priority": 0}},
            {"component": "vhost-limits", "vhost": "reports", "name": "limits", "value": {"max-queues": 50}},
            {"component": "policy", "vhost": "/", "name": "very old", "value": {"pattern": "^a", "definition": {"ha-mode": "all", "expires": 5}}},
            {"component": "shovel", "vhost": "reports", "name": "far away", "value": [["src-uri", "amqp://"], ["dest-uri", "amqp://me:pa$$s@far/%2f"], ["src-queue", "${q}"], ["prefetch-count", 10]]},
            {"component": "federation-upstream", "vhost": "/", "name": "up", "value": {"uri": ["amqp://a:one@b", "amqp://a:two@c", "amqp://a:t@w:o@c", "amqps://c?certfile=/c&password=four", "amqps://a:five@c?password=six"], "secret": "three", "nothing": {}}},
            {"component": "exchange-delete-in-progress", "vhost": "/", "name": "up", "value": "A"},
            {"component": "odd", "vhost": "/", "name": "null", "value": {"a": null}},
            {"component": "odd", "vhost": "/", "name": "around", "value": {"manage": 1}},
        ],
        "global_parameters": [
            {"name": "cluster_name", "value": "rabbit@one"},
            {"name": "internal_cluster_id", "value": "x"},
            {"name": "warrener.orders", "value": {}},
            {"name": "contact", "value": {"team": "orders"}},
            {"name": "list", "value": [1, [2]]},
        ],
        "queues": [
            {"name": "q", "vhost": "/"},
            {"name": "r", "vhost": "reports", "arguments": {"x-queue-type": "quorum"}},
            {"name": "s", "vhost": "reports", "arguments": {"x-queue-type": "classic"}},
            {"name": "t", "vhost": "reports", "arguments": {"x-dead-letter-exchange": "gone"}},
        ],
        "exchanges": [],
        "bindings": [{"source": "amq.topic", "vhost": "reports", "destination": "q", "destination_type": "queue"}],
        "policies": [],
    })
}

#[test]
fn what_is_neither_queue_nor_exchange() {
    assert_snapshot!(shown(&carried(&settings(), Purpose::Anywhere)), @r#"
    users:
      new: { password_hash: kI3GCqW5, tags: [a], limits: { max_connections: 5 } }
      none: {}
      old:
        password_hash: "b/XedHeZ8AVWttrmlrs5Mjl+eKI="
        hashing_algorithm: md5
        tags: [administrator, monitoring]
      other: {}
      plain: { password: "${PLAIN_PASSWORD}" }

    permissions:
      new: { write: ".*", read: '^q\.' }

    queues:
      q: {}

    policies:
      "very old": { pattern: "^a", definition: { expires: 5 } }

    operator_policies:
      most: { pattern: "^work", apply_to: queues, definition: { max-length: 5000 } }

    parameters:
      federation-upstream:
        up:
          nothing: {}
          secret: "${UP_SECRET_PASSWORD}"
          uri:
            - "amqp://a:${UP_URI_PASSWORD}@b"
            - "amqp://a:${UP_URI_PASSWORD_2}@c"
            - "${UP_URI_PASSWORD_3}"
            - "${UP_URI_PASSWORD_4}"
            - "${UP_URI_PASSWORD_5}"
      odd: { around: { value: { manage: 1 }, manage: true } }

    global_parameters:
      contact: { team: orders }
      list: [1, [2]]

    vhosts:
      bare: {}
      reports:
        description: nightly
        tags: [night]
        default_queue_type: quorum
        limits: { max_connections: 500, max_queues: 50 }
        topic_permissions:
          new: { "": { write: "^b", read: ".*" }, amq.topic: { write: "^a", read: ".*" } }
        exchanges:
          # was not there, though queue t dead-letters to it
          gone: { type: fanout }
        queues: { r: {}, s: { type: classic }, t: { dead_letter: { exchange: gone } } }
        parameters:
          shovel:
            "far away":
              dest-uri: "amqp://me:${FAR_AWAY_DEST_URI_PASSWORD}@far/%2f"
              prefetch-count: 10
              src-queue: "$${q}"
              src-uri: "amqp://"

    left out: `password_hash` of user `other`: no file can spell its value
    left out: odd `null`: no file can spell its value
    left out: user `old`: it is there twice, and the first one is taken
    left out: the binding of queue `q` to exchange `amq.topic` with key `` in vhost `reports`: there is no queue `q`
    left out: permission `new` in vhost `reports`: `configure` of a permission of user `new` is no regular expression
    left out: `ha-mode` of policy `very old`: mirroring ended with RabbitMQ 4.0
    added: exchange `gone` in vhost `reports`: queue `t` dead-letters to it, and it was not there
    variable: `FAR_AWAY_DEST_URI_PASSWORD`: a password of parameter `shovel/far away`
    variable: `PLAIN_PASSWORD`: a password of user `plain`
    variable: `UP_SECRET_PASSWORD`: a password of parameter `federation-upstream/up`
    variable: `UP_URI_PASSWORD_2`: a password of parameter `federation-upstream/up`
    variable: `UP_URI_PASSWORD_3`: a password of parameter `federation-upstream/up`
    variable: `UP_URI_PASSWORD_4`: a password of parameter `federation-upstream/up`
    variable: `UP_URI_PASSWORD_5`: a password of parameter `federation-upstream/up`
    variable: `UP_URI_PASSWORD`: a password of parameter `federation-upstream/up`
    not needed: exchange-delete-in-progress `up`: the broker makes it by itself
    not needed: global parameter `cluster_name`: the broker makes it by itself
    not needed: global parameter `internal_cluster_id`: the broker makes it by itself
    not needed: global parameter `warrener.orders`: Warrener notes there what a stack owns
    "#);
}

#[test]
fn settings_come_back_from_definitions() {
    let carried = carried(&settings(), Purpose::AsItIs);
    let document =
        Document::new(definitions(&carried.topology, &carried.vhost)).expect("definitions");
    let wish = Wish { vhost: None, select: None, secrets: false, purpose: Purpose::AsItIs };
    let again = carry(&document, &wish).expect("a vhost");
    let shown = |topology: &Topology| {
        let managed = topology.settings().filter(|setting| setting.managed());
        managed
            .map(|setting| format!("{:?} {:?}", setting.id(), setting.attributes()))
            .collect::<Vec<_>>()
    };
    assert_eq!(shown(&again.topology), shown(&carried.topology));
}
