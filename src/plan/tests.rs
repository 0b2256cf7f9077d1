//! Diffs and their rendering, case by case.

use insta::assert_snapshot;
use serde_json::json;

use super::memory_tests::{
    arguments, binding, build, empty_broker, exchange, policy, queue, topology, vhost,
};
use super::*;
use crate::model::{
    ApplyTo, Arguments, Binding, Exchange, ExchangeName, ExchangeType, Policy, Queue, QueueName,
    QueueType, StackName, TopologyParts,
};

fn text(plan: &Plan) -> String {
    render(plan, &|_| "orders.yaml:12:3".into(), Style::default())
}

fn orders() -> TopologyParts {
    TopologyParts {
        exchanges: vec![exchange("orders", "topic")],
        queues: vec![
            Queue {
                arguments: arguments([("x-delivery-limit", json!(5))]),
                ..queue("billing", QueueType::Quorum)
            },
            queue("billing.dead", QueueType::Classic),
        ],
        bindings: vec![Binding {
            arguments: arguments([("x-match", json!("all")), ("n", json!(1))]),
            ..binding("orders", "billing", "order.created")
        }],
        policies: vec![policy("dead-ttl", arguments([("message-ttl", json!(2000))]))],
        ..TopologyParts::default()
    }
}

#[test]
fn everything_is_created_in_the_order_of_need() {
    let plan = diff(&topology(orders()), &empty_broker());
    assert_snapshot!(text(&plan), @r#"
    + exchange orders (topic)
    + policy dead-ttl (queues matching \.dead$, message-ttl 2000)
    + queue billing (quorum, x-delivery-limit 5)
    + queue billing.dead (classic)
    + binding orders → billing (key order.created, {"n":1,"x-match":"all"})
    5 to create, 0 to update, 0 in conflict
    "#);
}

#[test]
fn json_has_the_documented_shape() {
    let mut parts = orders();
    parts.queues.clear();
    parts.bindings.clear();
    let mut observed = empty_broker();
    build(&mut observed, &topology(parts.clone()));
    parts.policies[0].definition = arguments([("message-ttl", json!(9))]);
    parts.queues.push(queue("new", QueueType::Stream));
    let plan = diff(&topology(parts), &observed);
    let stack = StackName::new("orders").expect("a name");
    let json = serde_json::to_string_pretty(&plan.document(&stack)).expect("JSON");
    assert_snapshot!(json, @r#"
    {
      "stack": "orders",
      "broker": {
        "cluster": "rabbit@one",
        "version": "3.10.8"
      },
      "changes": [
        {
          "action": "update",
          "kind": "policy",
          "vhost": "/",
          "name": "dead-ttl",
          "reason": "message-ttl is 2000 on the broker, 9 in the files",
          "before": {
            "apply_to": "queues",
            "definition": {
              "message-ttl": 2000
            },
            "pattern": "\\.dead$",
            "priority": 0
          },
          "after": {
            "apply_to": "queues",
            "definition": {
              "message-ttl": 9
            },
            "pattern": "\\.dead$",
            "priority": 0
          }
        },
        {
          "action": "create",
          "kind": "queue",
          "vhost": "/",
          "name": "new",
          "reason": "it is not on the broker",
          "before": null,
          "after": {
            "arguments": {},
            "auto_delete": false,
            "durable": true,
            "type": "stream"
          }
        }
      ],
      "summary": {
        "create": 1,
        "update": 1,
        "replace": 0,
        "migrate": 0,
        "delete": 0,
        "verify": 0,
        "conflict": 0
      },
      "kept": [],
      "refused": null
    }
    "#);
}

#[test]
fn a_second_plan_is_empty() {
    let topology = topology(orders());
    let mut observed = empty_broker();
    build(&mut observed, &topology);
    let plan = diff(&topology, &observed);
    assert!(plan.is_empty());
    assert_snapshot!(text(&plan), @"nothing to do: the broker is as the files say");
}

#[test]
fn a_policy_is_updated_where_it_stands() {
    let mut parts = orders();
    let mut observed = empty_broker();
    build(&mut observed, &topology(parts.clone()));
    parts.policies[0] = Policy {
        priority: 7,
        apply_to: ApplyTo::All,
        definition: arguments([("max-length", json!(10)), ("message-ttl", json!(1000))]),
        ..parts.policies[0].clone()
    };
    let plan = diff(&topology(parts), &observed);
    assert_snapshot!(text(&plan), @r"
    ~ policy dead-ttl: apply_to queues → all, priority 0 → 7, max-length absent → 10, message-ttl 2000 → 1000
    0 to create, 1 to update, 0 in conflict
    ");
    assert!(Approved::new(plan).is_ok());
}

#[test]
fn an_inequivalent_queue_or_exchange_is_a_conflict_with_both_values() {
    let mut parts = orders();
    let mut observed = empty_broker();
    build(&mut observed, &topology(parts.clone()));
    parts.exchanges[0].kind = ExchangeType("fanout".into());
    parts.exchanges[0].arguments = arguments([("hash-header", json!("id"))]);
    parts.queues[0] = queue("billing", QueueType::Classic);
    let plan = diff(&topology(parts), &observed);
    assert_snapshot!(text(&plan), @r"
    ! exchange orders: type is topic on the broker, fanout in orders.yaml:12:3
      hash-header is absent on the broker, id in orders.yaml:12:3
      hint: let the file say what the broker has, or make it anew with its bindings: `--allow-replace`
    ! queue billing: type is quorum on the broker, classic in orders.yaml:12:3
      x-delivery-limit is 5 on the broker, absent in orders.yaml:12:3
      hint: let the file say what the broker has, or make it anew with its bindings: `on_conflict: migrate` takes its messages along, `--allow-replace` needs it empty
    0 to create, 0 to update, 2 in conflict
    ");
    let refused = Approved::new(plan).expect_err("a conflict is refused");
    assert_snapshot!(refused, @"2 resources are in conflict with the files; nothing was changed");
}

#[test]
fn what_is_equal_to_the_broker_is_equal() {
    let cases = [
        (json!({}), json!([]), true),
        (json!([{}]), json!([[]]), true),
        (json!([1]), json!([]), false),
        (json!({"a": {"b": []}}), json!({"a": {"b": {}}}), true),
        (json!({"a": 1}), json!({"b": 1}), false),
        (json!(1), json!(1.0), false),
        (json!(1), json!("1"), false),
        (json!("false"), json!(false), false),
    ];
    for (file, broker, equal) in cases {
        let with = |value: &serde_json::Value| TopologyParts {
            queues: vec![Queue {
                arguments: arguments([("x-any", value.clone())]),
                ..queue("q", QueueType::Classic)
            }],
            ..TopologyParts::default()
        };
        let mut observed = empty_broker();
        build(&mut observed, &topology(with(&broker)));
        let plan = diff(&topology(with(&file)), &observed);
        assert_eq!(plan.is_empty(), equal, "{file} and {broker}");
    }
}

#[test]
fn a_classic_queue_is_the_same_with_and_without_its_type() {
    let topology = topology(TopologyParts {
        queues: vec![queue("q", QueueType::Classic)],
        ..TopologyParts::default()
    });
    for stored in [arguments([]), arguments([("x-queue-type", json!("classic"))])] {
        let mut observed = empty_broker();
        let seen = Seen::Whole(ObservedQueue::new(true, false, stored));
        observed.queues.insert((vhost(), QueueName::new("q").expect("a name")), seen);
        assert!(diff(&topology, &observed).is_empty());
    }
}

#[test]
fn what_is_not_managed_must_exist_and_is_never_compared() {
    let topology = topology(TopologyParts {
        exchanges: vec![Exchange { managed: false, ..exchange("theirs", "topic") }],
        queues: vec![Queue { managed: false, ..queue("their.queue", QueueType::Quorum) }],
        ..TopologyParts::default()
    });
    let mut observed = empty_broker();
    let plan = diff(&topology, &observed);
    assert_snapshot!(text(&plan), @r"
    ! exchange theirs: it is `manage: false` and not on the broker (orders.yaml:12:3)
      hint: whoever owns this exchange must create it first
    ! queue their.queue: it is `manage: false` and not on the broker (orders.yaml:12:3)
      hint: whoever owns this queue must create it first
    0 to create, 0 to update, 2 in conflict
    ");
    assert_eq!(plan.changes()[0].after, None);

    let fanout = ObservedExchange {
        kind: "fanout".into(),
        durable: false,
        auto_delete: false,
        internal: true,
        arguments: Arguments::new(),
    };
    let name = ExchangeName::new("theirs").expect("a name");
    observed.exchanges.insert((vhost(), name), Seen::Whole(fanout));
    let classic = ObservedQueue::new(true, false, Arguments::new());
    let name = QueueName::new("their.queue").expect("a name");
    observed.queues.insert((vhost(), name), Seen::Whole(classic));
    assert!(diff(&topology, &observed).is_empty());
}

#[test]
fn an_exchange_type_that_the_broker_lacks_is_a_conflict() {
    let topology = topology(TopologyParts {
        exchanges: vec![exchange("later", "x-delayed-message")],
        ..TopologyParts::default()
    });
    let mut observed = empty_broker();
    assert_snapshot!(text(&diff(&topology, &observed)), @r"
    ! exchange later: this broker has no exchange type `x-delayed-message` (orders.yaml:12:3)
      hint: enable the plugin that brings `x-delayed-message` on every node of the broker, or use another type
    0 to create, 0 to update, 1 in conflict
    ");
    observed.exchange_types = None;
    assert_eq!(diff(&topology, &observed).summary().create, 1);
}

#[test]
fn what_is_out_of_sight_is_verified_and_said() {
    let mut parts = orders();
    parts.policies.clear();
    parts.bindings.push(binding("orders", "billing.dead", ""));
    let mut observed = Observed {
        gap: Some(Gap {
            subjects: [Subject::Bindings, Subject::Attributes].into(),
            reason: "no answer from the management API at `http://localhost:15672`: refused".into(),
            hint: "enable it".into(),
        }),
        ..Observed::default()
    };
    observed
        .exchanges
        .insert((vhost(), ExchangeName::new("orders").expect("a name")), Seen::NameOnly);
    observed.queues.insert((vhost(), QueueName::new("billing").expect("a name")), Seen::NameOnly);
    let plan = diff(&topology(parts), &observed);
    assert_snapshot!(text(&plan), @r#"
    ? exchange orders: it exists; whether it is as declared cannot be seen
    ? queue billing: it exists; whether it is as declared cannot be seen
    + queue billing.dead (classic)
    ? binding orders → billing (key order.created, {"n":1,"x-match":"all"}): whether it exists cannot be seen
    + binding orders → billing.dead
    cannot be known: the types and arguments of what exists, which bindings exist: no answer from the management API at `http://localhost:15672`: refused
      hint: enable it
    2 to create, 0 to update, 0 in conflict, 3 cannot be known
    "#);
    assert!(Approved::new(plan).is_ok());

    let plan = diff(&topology(orders()), &observed);
    assert_snapshot!(text(&plan), @r#"
    ? exchange orders: it exists; whether it is as declared cannot be seen
    ! policy dead-ttl: policies can be neither seen nor set: no answer from the management API at `http://localhost:15672`: refused (orders.yaml:12:3)
      hint: enable it
    ? queue billing: it exists; whether it is as declared cannot be seen
    + queue billing.dead (classic)
    ? binding orders → billing (key order.created, {"n":1,"x-match":"all"}): whether it exists cannot be seen
    cannot be known: the types and arguments of what exists, which bindings exist: no answer from the management API at `http://localhost:15672`: refused
      hint: enable it
    1 to create, 0 to update, 1 in conflict, 3 cannot be known
    "#);
    assert!(Approved::new(plan).is_err());
}

#[test]
fn colours_only_on_request() {
    let plan = diff(&topology(orders()), &empty_broker());
    assert!(!text(&plan).contains('\u{1b}'));
    let coloured = render(&plan, &|_| String::new(), Style { colour: true });
    assert!(coloured.contains("\u{1b}[32m+ exchange orders"));
}

#[test]
fn a_report_says_what_was_not_done_and_why() {
    let plan = diff(&topology(orders()), &empty_broker());
    let change = plan.changes()[2].clone();
    let report = ApplyReport {
        home: None,
        done: Summary { create: 2, update: 1, ..Summary::default() },
        failed: vec![Failure {
            change,
            reason: "ACCESS_REFUSED - access to queue 'billing' refused".into(),
            hint: Some("give the user the permission `configure`".into()),
        }],
        changed: true,
        unwritten: None,
        notes: Vec::new(),
        remaining: Remaining::Plan(Box::new(
            plan.without(|change| !matches!(change.target, Target::Policy(_))),
        )),
    };
    let text = render_report(&report, &|_| "orders.yaml:12:3".into(), Style::default());
    assert_snapshot!(text, @r"
    + queue billing (quorum, x-delivery-limit 5)
      not done: ACCESS_REFUSED - access to queue 'billing' refused (orders.yaml:12:3)
      hint: give the user the permission `configure`
    still to do when the broker was looked at again:
    + policy dead-ttl (queues matching \.dead$, message-ttl 2000)
    2 created, 1 updated, 1 not done
    ");
    assert!(!report.is_complete());
}
