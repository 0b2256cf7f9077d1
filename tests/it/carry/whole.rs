//! A whole broker: every vhost, users and parameters.

use std::process::{Command, Stdio};

use insta::assert_snapshot;
use warrener::sandbox::Sandbox;

use super::yard::document;
use crate::support::broker::{inside, own_node, rabbitmqctl};
use crate::support::stack::Said;

/// All that a broker has, through a file and through definitions, onto another broker.
#[tokio::test(flavor = "multi_thread")]
async fn a_whole_broker_goes_round() {
    let (one, two, three) = tokio::join!(own_node(), own_node(), own_node());
    let folder = tempfile::tempdir().expect("a folder");
    let run = |node: &Sandbox, arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_warrener"))
            .args(arguments)
            .current_dir(folder.path())
            .env("AMQP_URL", node.amqp_url())
            .env("WARRENER_MANAGEMENT", node.management_url())
            .stdin(Stdio::null())
            .output()
            .expect("the program runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        let (out, err) = (text(output.stdout), text(output.stderr));
        Said { code: output.status.code(), out, err }
    };
    let path = |name: &str| folder.path().join(name);
    let at = |text: &str, node: &Sandbox| {
        let management = format!("\nbroker:\n  management: {}\n", node.management_url());
        text.replacen("\nbroker:\n", &management, 1)
    };
    let imported = run(&one, &["import", &document("3.8"), "--stack", "test"]);
    assert_eq!(imported.code, Some(0), "{imported:?}");
    assert_snapshot!(imported.out.split_once("\nusers:").expect("users").1, @r##"
      shop: { password_hash: 9XOlHnhvuDM8F0XEEwhQUe7qSqMvGDJsOqCRO0ujRvKYFWH6 }

    permissions:
      shop: { configure: '^shop\.', write: ".*", read: ".*" }

    topic_permissions:
      shop: { shop.events: { write: '^shop\.', read: ".*" } }

    exchanges:
      shop.archive:
        type: fanout
        internal: true
        bind: [{ exchange: shop.events, key: "#" }]
      shop.dead: {}
      shop.events: { type: topic }
      "shop.lost+found": { type: fanout, alternate_exchange: shop.archive }

    queues:
      shop.invoice:
        type: quorum
        bind: [{ exchange: shop.events, keys: [order.paid, order.refunded] }]
        dead_letter: { exchange: shop.dead, key: invoice }
      shop.mail:
        bind: [{ exchange: shop.archive }, { exchange: shop.events, key: "#.mail" }]
        max_length: 100
        overflow: reject-publish
        single_active_consumer: true
      shop.orders:
        type: quorum
        bind: [{ exchange: shop.events, key: order.* }]
        delivery_limit: 10
        arguments: { x-max-in-memory-length: 1000 }
      shop.orders.dead: { bind: [{ exchange: shop.dead, keys: [invoice, order.created] }] }

    policies:
      "dead ttl":
        pattern: '\.dead$'
        apply_to: queues
        definition: { message-ttl: 1209600000 }
      dead-letters:
        pattern: '^shop\.(?!.*\.dead$)'
        apply_to: queues
        priority: 2
        definition: { dead-letter-exchange: shop.dead }

    operator_policies:
      ceiling: { pattern: ".*", apply_to: queues, definition: { max-length: 1000000 } }

    vhosts:
      reports: { limits: { max_connections: 500, max_queues: 50 }, queues: { other: {} } }
    "##);
    assert_snapshot!(imported.err, @r#"
    not needed: global parameter `cluster_name`, global parameter `internal_cluster_id`: the broker makes it by itself
    2 vhosts: 4 exchanges, 5 queues, 8 bindings, 2 policies, 1 user, 1 permission, 1 topic permission, 1 operator policy
    "#);
    // Definitions have this only since 3.12.
    let about =
        imported.out.replace("reports: { ", "reports: { description: nightly, tags: [a, b], ");
    std::fs::write(path("stack.yaml"), at(&about, &one)).expect("a file");
    let applied = run(&one, &["apply", "stack.yaml"]);
    assert_eq!(applied.code, Some(0), "{applied:?}");
    // `guest` and its permissions were there before, and are not in the import.
    let exported = run(&one, &["export", "--all", "--stack", "test", "-o", "all.yaml"]);
    assert_eq!(exported.code, Some(0), "{exported:?}");
    let planned = run(&one, &["plan", "all.yaml"]);
    assert_eq!(planned.out, "nothing to do: the broker is as the files say\n");
    let text = std::fs::read_to_string(path("all.yaml")).expect("a file");
    assert!(text.contains("\nusers:\n  guest:\n") && text.contains("\n  reports:\n"), "{text}");
    assert!(text.contains("    description: nightly\n    tags: [a, b]\n"), "{text}");

    let live = &["export", "--all", "--definitions"][..];
    let offline = &["export", "--definitions", "all.yaml"][..];
    for (arguments, other) in [(live, two), (offline, three)] {
        let definitions = run(&one, arguments);
        assert_eq!(definitions.code, Some(0), "{definitions:?}");
        // Over HTTP it is imported by the other tests.
        std::fs::write(other.folder().join("exported.json"), definitions.out).expect("a file");
        let file = format!("{}/exported.json", inside(&other));
        let imported = rabbitmqctl(&other, &["import_definitions", &file]);
        assert!(imported.status.success(), "{imported:?}");
        let management = (one.management_url(), other.management_url());
        let there = text.replace(&management.0, &management.1);
        std::fs::write(path("there.yaml"), there).expect("a file");
        let planned = run(&other, &["plan", "there.yaml"]);
        assert_eq!(planned.out, "nothing to do: the broker is as the files say\n", "{arguments:?}");
    }
}
