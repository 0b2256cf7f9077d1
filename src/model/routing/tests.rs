//! Every rule of routing. `tests/it/routing.rs` asks a real broker the same questions.

use proptest::prelude::*;

use super::{Router, RoutingFault, topic_matches};
use crate::model::{
    ApplyTo, ArgValue, Arguments, Binding, Destination, Exchange, ExchangeName, ExchangeType,
    OnConflict, OnRemove, Origin, Policy, PolicyName, Queue, QueueName, QueueType, RoutingKey,
    Topology, TopologyParts, VhostName,
};

fn vhost() -> VhostName {
    VhostName::new("/").unwrap()
}

fn exchange(name: &str, kind: &str) -> Exchange {
    Exchange {
        vhost: vhost(),
        name: ExchangeName::new(name).unwrap(),
        kind: ExchangeType(kind.into()),
        durable: true,
        auto_delete: false,
        internal: false,
        arguments: Arguments::new(),
        managed: true,
        on_remove: OnRemove::Delete,
        on_conflict: OnConflict::Refuse,
        origin: Origin::default(),
    }
}

fn queue(name: &str) -> Queue {
    Queue {
        vhost: vhost(),
        name: QueueName::new(name).unwrap(),
        kind: QueueType::Classic,
        durable: true,
        auto_delete: false,
        arguments: Arguments::new(),
        managed: true,
        on_remove: OnRemove::Delete,
        on_conflict: OnConflict::Refuse,
        origin: Origin::default(),
    }
}

fn arguments<const N: usize>(pairs: [(&str, ArgValue); N]) -> Arguments {
    pairs.map(|(key, value)| (key.to_owned(), value)).into()
}

fn text(text: &str) -> ArgValue {
    ArgValue::Str(text.into())
}

/// `source -key-> queue`, or `source -key-> *exchange`.
fn bind(source: &str, key: &str, destination: &str) -> Binding {
    let destination = match destination.strip_prefix('*') {
        Some(exchange) => Destination::Exchange(ExchangeName::new(exchange).unwrap()),
        None => Destination::Queue(QueueName::new(destination).unwrap()),
    };
    Binding {
        vhost: vhost(),
        source: ExchangeName::new(source).unwrap(),
        destination,
        routing_key: RoutingKey::new(key).unwrap(),
        arguments: Arguments::new(),
        managed: true,
        on_remove: crate::model::OnRemove::Delete,
        origin: Origin::default(),
    }
}

fn match_on(binding: Binding, arguments: Arguments) -> Binding {
    Binding { arguments, ..binding }
}

fn topology(exchanges: Vec<Exchange>, bindings: Vec<Binding>, policies: Vec<Policy>) -> Topology {
    let queues = ["a", "b", "c", "d"].map(queue).into();
    Topology::new(TopologyParts {
        exchanges,
        queues,
        bindings,
        policies,
        ..TopologyParts::default()
    })
    .expect("it fits")
}

#[track_caller]
fn check(topology: &Topology, exchange: &str, key: &str, headers: &Arguments, expected: &[&str]) {
    let exchange = ExchangeName::new(exchange).unwrap();
    let queues = Router::new(topology).route(&vhost(), &exchange, key, headers).unwrap();
    let queues: Vec<_> = queues.iter().map(QueueName::as_str).collect();
    assert_eq!(queues, expected, "to `{exchange}` with `{key}`");
}

#[test]
fn direct_fanout_and_default_exchange() {
    let topology = topology(
        vec![exchange("d", "direct"), exchange("f", "fanout")],
        vec![
            bind("d", "k", "a"),
            bind("d", "k", "b"),
            bind("d", "other", "c"),
            bind("f", "ignored", "a"),
            bind("f", "", "d"),
            bind("amq.direct", "k", "c"),
        ],
        vec![],
    );
    let none = Arguments::new();
    check(&topology, "d", "k", &none, &["a", "b"]);
    check(&topology, "d", "K", &none, &[]);
    check(&topology, "f", "whatever", &none, &["a", "d"]);
    check(&topology, "", "c", &none, &["c"]);
    check(&topology, "", "nobody", &none, &[]);
    check(&topology, "amq.direct", "k", &none, &["c"]);
    check(&topology, "amq.fanout", "k", &none, &[]);
}

#[test]
fn topic_patterns() {
    for (pattern, key, matches) in [
        ("order.created", "order.created", true),
        ("order.*", "order.created", true),
        ("order.*", "order", false),
        ("order.*", "order.created.eu", false),
        ("order.#", "order", true),
        ("order.#", "order.created.eu", true),
        ("#.eu", "eu", true),
        ("#.eu", "order.created.eu", true),
        ("#.created.#", "order.created.eu", true),
        ("#", "", true),
        ("*", "", false),
        ("", "", true),
        ("", "a", false),
        ("*", "a", true),
        ("a.*", "a.", true),
        ("*.*", ".", true),
        ("a.#.b", "a.b", true),
        ("a.#.#.b", "a.x.b", true),
        ("#.*", "", false),
        ("*.#.*", "a", false),
        ("order#", "order.created", false),
        ("*.b.#.d", "a.b.c.d.d", true),
    ] {
        assert_eq!(topic_matches(pattern, key), matches, "`{pattern}` on `{key}`");
    }
}

#[test]
fn headers() {
    let all = arguments([("x-match", text("all")), ("f", text("pdf")), ("n", ArgValue::Int(1))]);
    let any = arguments([("x-match", text("any")), ("f", text("pdf")), ("n", ArgValue::Int(1))]);
    let unsaid = arguments([("f", text("pdf")), ("x-ignored", text("y"))]);
    let with_x = arguments([("x-match", text("all-with-x")), ("x-seen", text("y"))]);
    let topology = topology(
        vec![exchange("h", "headers")],
        vec![
            match_on(bind("h", "", "a"), all),
            match_on(bind("h", "", "b"), any),
            match_on(bind("h", "", "c"), unsaid),
            match_on(bind("h", "", "d"), with_x),
        ],
        vec![],
    );
    let pdf = ("f", text("pdf"));
    check(&topology, "h", "", &Arguments::new(), &[]);
    check(&topology, "h", "", &arguments([pdf.clone()]), &["b", "c"]);
    let both = arguments([pdf.clone(), ("n", ArgValue::Int(1)), ("more", text("x"))]);
    check(&topology, "h", "", &both, &["a", "b", "c"]);
    let perhaps = arguments([pdf.clone(), ("n", ArgValue::Float(1.0))]);
    let name = ExchangeName::new("h").unwrap();
    let fault = Router::new(&topology).route(&vhost(), &name, "", &perhaps).unwrap_err();
    assert_eq!(fault, RoutingFault::Undecided(name));
    let other = arguments([pdf, ("n", ArgValue::Float(1.5))]);
    check(&topology, "h", "", &other, &["b", "c"]);
    check(&topology, "h", "", &arguments([("x-seen", text("y"))]), &["d"]);
}

#[test]
fn exchanges_lead_to_exchanges_even_in_circles() {
    let topology = topology(
        vec![exchange("x", "topic"), exchange("y", "fanout"), exchange("z", "direct")],
        vec![
            bind("x", "a.#", "*y"),
            bind("y", "", "*z"),
            bind("z", "a.b", "a"),
            bind("z", "a.b", "*x"),
            bind("y", "", "b"),
            bind("x", "#", "b"),
        ],
        vec![],
    );
    let none = Arguments::new();
    check(&topology, "x", "a.b", &none, &["a", "b"]);
    check(&topology, "x", "a.c", &none, &["b"]);
    check(&topology, "z", "a.c", &none, &[]);
}

#[test]
fn alternate_exchange_takes_what_no_binding_takes() {
    let mut first = exchange("first", "direct");
    first.arguments = arguments([("alternate-exchange", text("rest"))]);
    let policy = Policy {
        managed: true,
        vhost: vhost(),
        name: PolicyName::new("p").unwrap(),
        pattern: "^sec".into(),
        apply_to: ApplyTo::Exchanges,
        priority: 0,
        definition: arguments([("alternate-exchange", text("rest"))]),
        on_remove: OnRemove::Delete,
        origin: Origin::default(),
    };
    let topology = topology(
        vec![first, exchange("second", "topic"), exchange("rest", "fanout")],
        vec![
            bind("first", "k", "a"),
            bind("second", "k", "b"),
            bind("second", "empty", "*first"),
            bind("rest", "", "d"),
        ],
        vec![policy],
    );
    let none = Arguments::new();
    check(&topology, "first", "k", &none, &["a"]);
    check(&topology, "first", "else", &none, &["d"]);
    check(&topology, "second", "k", &none, &["b"]);
    check(&topology, "second", "else", &none, &["d"]);
    // The way through `first` ends in its own alternate.
    check(&topology, "second", "empty", &none, &["d"]);
}

#[test]
fn copies_go_to_further_keys() {
    let topology = topology(
        vec![exchange("d", "direct")],
        vec![bind("d", "k", "a"), bind("d", "l", "b"), bind("d", "m", "c")],
        vec![],
    );
    let list = |key: &str| ArgValue::List(vec![text(key)]);
    let copies = arguments([("CC", list("l")), ("BCC", list("m"))]);
    check(&topology, "d", "k", &copies, &["a", "b", "c"]);
    check(&topology, "d", "k", &arguments([("CC", text("no list"))]), &["a"]);
}

#[test]
fn what_cannot_be_told_is_said() {
    let mut internal = exchange("internal", "fanout");
    internal.internal = true;
    let topology = topology(
        vec![internal, exchange("hash", "x-consistent-hash"), exchange("f", "fanout")],
        vec![bind("f", "", "*hash"), bind("hash", "1", "a")],
        vec![],
    );
    let fault = |name: &str| {
        let exchange = ExchangeName::new(name).unwrap();
        Router::new(&topology).route(&vhost(), &exchange, "k", &Arguments::new()).unwrap_err()
    };
    let name = |name: &str| ExchangeName::new(name).unwrap();
    assert_eq!(fault("nowhere"), RoutingFault::NoExchange(name("nowhere")));
    assert_eq!(fault("internal"), RoutingFault::Internal(name("internal")));
    let kind = ExchangeType("x-consistent-hash".into());
    assert_eq!(fault("f"), RoutingFault::Unpredictable { exchange: name("hash"), kind });
}

/// The definition, word for word, and slow.
fn matches_by_definition(pattern: &[&str], key: &[&str]) -> bool {
    match (pattern.split_first(), key.split_first()) {
        (None, None) => true,
        (None, Some(_)) => false,
        (Some((&"#", rest)), None) => matches_by_definition(rest, key),
        (Some((&"#", rest)), Some((_, tail))) => {
            matches_by_definition(rest, key) || matches_by_definition(pattern, tail)
        }
        (Some(_), None) => false,
        (Some((word, rest)), Some((first, tail))) => {
            (*word == "*" || word == first) && matches_by_definition(rest, tail)
        }
    }
}

proptest! {
    #[test]
    fn topic_matching_follows_its_definition(
        pattern in prop::collection::vec(prop::sample::select(vec!["a", "b", "*", "#"]), 1..7),
        key in prop::collection::vec(prop::sample::select(vec!["a", "b"]), 1..7),
    ) {
        let expected = matches_by_definition(&pattern, &key);
        prop_assert_eq!(topic_matches(&pattern.join("."), &key.join(".")), expected);
    }
}
