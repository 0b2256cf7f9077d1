//! The table of codes, durations, policies and the proof of what other rooms build by hand.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{
    ApplyTo, ArgValue, Arguments, BadDuration, Binding, Destination, Exchange, ExchangeName,
    ExchangeType, OnConflict, OnRemove, Origin, PatternFault, Policy, PolicyIndex, PolicyName,
    Queue, QueueName, QueueType, RoutingKey, Topology, TopologyParts, VhostName, codes,
    duration_label, parse_duration, suggest,
};

#[test]
fn codes_are_unique_and_in_order() {
    let all: Vec<_> = codes::TABLE.iter().map(|code| code.code).collect();
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    let numbers: Vec<_> = all.iter().map(|code| (&code[..1], &code[1..])).collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
    for code in codes::TABLE {
        let digits = &code.code[1..];
        assert!(matches!(&code.code[..1], "E" | "W") && digits.len() == 4, "{}", code.code);
        assert!(digits.bytes().all(|byte| byte.is_ascii_digit()), "{}", code.code);
        assert!(!code.title.ends_with('.') && code.why.ends_with('.'), "{}", code.code);
    }
}

#[test]
fn durations_there_and_back() {
    for (text, millis) in [
        ("0s", 0),
        ("1ms", 1),
        ("500ms", 500),
        ("30s", 30_000),
        ("1s500ms", 1_500),
        ("1h30m", 5_400_000),
        ("7d", 604_800_000),
    ] {
        let duration = Duration::from_millis(millis);
        assert_eq!(parse_duration(text), Ok(duration), "{text}");
        assert_eq!(duration_label(duration), text);
    }
    assert_eq!(parse_duration("90m"), Ok(Duration::from_mins(90)));
    for (text, fault) in [
        ("", BadDuration::Malformed),
        ("5", BadDuration::NoUnit),
        ("1m30", BadDuration::NoUnit),
        ("-5s", BadDuration::Malformed),
        ("1.5s", BadDuration::Malformed),
        ("5 s", BadDuration::Malformed),
        ("5w", BadDuration::Malformed),
        ("s", BadDuration::Malformed),
        ("99999999999999999999s", BadDuration::TooLong),
        ("213503982335d", BadDuration::TooLong),
    ] {
        assert_eq!(parse_duration(text), Err(fault), "{text}");
    }
}

#[test]
fn suggestions() {
    let names = ["orders", "billing", "billing.dead"];
    for (wrong, right) in [
        ("ordres", Some("orders")),
        ("biling", Some("billing")),
        ("billing.daed", Some("billing.dead")),
        ("bill", Some("billing")),
        ("x", None),
        ("payments", None),
    ] {
        assert_eq!(suggest(wrong, names), right, "{wrong}");
    }
}

fn vhost() -> VhostName {
    VhostName::new("/").unwrap()
}

fn queue(name: &str, kind: QueueType) -> Queue {
    Queue {
        vhost: vhost(),
        name: QueueName::new(name).unwrap(),
        kind,
        durable: true,
        auto_delete: false,
        arguments: Arguments::new(),
        managed: true,
        on_remove: OnRemove::Delete,
        on_conflict: OnConflict::Refuse,
        origin: Origin::default(),
    }
}

fn policy(name: &str, pattern: &str, apply_to: ApplyTo, priority: i64) -> Policy {
    Policy {
        managed: true,
        vhost: vhost(),
        name: PolicyName::new(name).unwrap(),
        pattern: pattern.into(),
        apply_to,
        priority,
        definition: Arguments::from([("max-length".into(), ArgValue::Int(1))]),
        on_remove: OnRemove::Delete,
        origin: Origin::default(),
    }
}

#[test]
fn the_policy_that_applies() {
    let policies = [
        policy("low", "^a", ApplyTo::All, 1),
        policy("quorum", "a", ApplyTo::QuorumQueues, 9),
        policy("exchanges", "a", ApplyTo::Exchanges, 10),
        policy("opaque", "a{x}(?!b)", ApplyTo::All, 11),
        policy("not b", "^(?!.*b)a$", ApplyTo::Streams, 2),
        policy("b", "^b$", ApplyTo::Queues, 1),
        policy("a", "^b$", ApplyTo::Queues, 1),
    ];
    let index = PolicyIndex::new(&policies);
    let matching = |queue: &Queue| -> Vec<String> {
        index.matching(queue).map(|policy| policy.name.to_string()).collect()
    };
    assert_eq!(matching(&queue("a", QueueType::Classic)), ["low"]);
    assert_eq!(matching(&queue("xa", QueueType::Quorum)), ["quorum"]);
    assert_eq!(matching(&queue("a", QueueType::Quorum)), ["quorum", "low"]);
    assert_eq!(matching(&queue("b", QueueType::Stream)), ["a", "b"]);
    assert_eq!(matching(&queue("a", QueueType::Stream)), ["not b", "low"]);
    assert_eq!(matching(&queue("ab", QueueType::Stream)), ["low"]);
    let elsewhere = Queue { vhost: VhostName::new("v").unwrap(), ..queue("a", QueueType::Classic) };
    assert!(matching(&elsewhere).is_empty());
}

#[test]
fn patterns_that_are_wrong_and_patterns_that_are_only_strange() {
    let check = |pattern| policy("p", pattern, ApplyTo::All, 0).check_pattern();
    for pattern in ["^a.*[bc]{2,3}$", "a(?=b)", "(?<!b)a", "(?>a)"] {
        assert_eq!(check(pattern), Ok(()), "{pattern}");
    }
    for pattern in ["(a", "a)", "[a", "*a", "a\\"] {
        assert!(matches!(check(pattern), Err(PatternFault::Invalid(_))), "{pattern}");
    }
    for pattern in ["a{x}", r"(a)\1", r"(?!a)\h", "(?!a)[[:<:]]b", "a[[:>:]]"] {
        assert_eq!(check(pattern), Err(PatternFault::Opaque), "{pattern}");
    }
}

#[test]
fn a_topology_proves_itself() {
    let exchange = Exchange {
        vhost: vhost(),
        name: ExchangeName::new("e").unwrap(),
        kind: ExchangeType("direct".into()),
        durable: true,
        auto_delete: false,
        internal: false,
        arguments: Arguments::new(),
        managed: true,
        on_remove: OnRemove::Delete,
        on_conflict: OnConflict::Refuse,
        origin: Origin::default(),
    };
    let binding = Binding {
        vhost: vhost(),
        source: exchange.name.clone(),
        destination: Destination::Queue(QueueName::new("q").unwrap()),
        routing_key: RoutingKey::new("").unwrap(),
        arguments: Arguments::new(),
        managed: true,
        on_remove: crate::model::OnRemove::Delete,
        origin: Origin::default(),
    };
    let parts = TopologyParts {
        exchanges: vec![exchange],
        queues: vec![queue("q", QueueType::Classic)],
        bindings: vec![binding],
        policies: vec![policy("p", "q", ApplyTo::All, 0)],
        ..TopologyParts::default()
    };
    let topology = Topology::new(parts.clone()).expect("it fits");
    assert_eq!((topology.queues().len(), topology.bindings().len()), (1, 1));
    let without = TopologyParts { queues: Vec::new(), ..parts.clone() };
    let problems = Topology::new(without).expect_err("a binding without its queue");
    assert_eq!(problems.iter().map(|problem| problem.code).collect::<Vec<_>>(), ["E0302"]);
    // The same names in another vhost are other things.
    let mut elsewhere = parts.clone();
    elsewhere.exchanges[0].vhost = VhostName::new("v").unwrap();
    let problems = Topology::new(elsewhere).expect_err("the exchange is in another vhost");
    assert_eq!(problems.iter().map(|problem| problem.code).collect::<Vec<_>>(), ["E0301"]);
    let mut twice = parts;
    twice.bindings.push(twice.bindings[0].clone());
    let problems = Topology::new(twice).expect_err("a binding twice");
    assert_eq!(problems.iter().map(|problem| problem.code).collect::<Vec<_>>(), ["E0109"]);
}

#[test]
fn a_long_chain_of_dead_letters_is_walked_without_recursion() {
    let queues: Vec<_> = (0..20_000)
        .map(|number| {
            let mut queue = queue(&format!("q{number}"), QueueType::Classic);
            let next = format!("q{}", number + 1);
            queue.arguments.insert("x-dead-letter-exchange".into(), ArgValue::Str(String::new()));
            queue.arguments.insert("x-dead-letter-routing-key".into(), ArgValue::Str(next));
            queue
        })
        .chain([queue("q20000", QueueType::Classic)])
        .collect();
    let parts = TopologyParts { queues, ..TopologyParts::default() };
    assert_eq!(Topology::new(parts).map(|topology| topology.queues().len()), Ok(20_001));
}
