//! Comparing a large topology with a broker that has all of it, and with one that has nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::json;
use warrener::model::Desired;
use warrener::plan::{BindingKey, Observed, ObservedExchange, ObservedQueue, Seen, diff};

/// Queues, each with a binding; together with the exchanges over 10,000 objects.
const QUEUES: usize = 5_000;
/// Exchanges.
const EXCHANGES: usize = 100;

fn text() -> String {
    let queue = |nth: usize| {
        let bind = json!([{"exchange": format!("e{}", nth % EXCHANGES), "key": format!("k{nth}")}]);
        (format!("q{nth:05}"), json!({"bind": bind, "max_length": nth + 1}))
    };
    let queues: BTreeMap<_, _> = (0..QUEUES).map(queue).collect();
    let exchanges: BTreeMap<_, _> =
        (0..EXCHANGES).map(|nth| (format!("e{nth}"), json!({"type": "topic"}))).collect();
    json!({"stack": "large", "exchanges": exchanges, "queues": queues}).to_string()
}

fn load(text: &str) -> Desired {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("large.yaml");
    std::fs::write(&file, text).expect("a file");
    match warrener::files::load(std::slice::from_ref(&file)) {
        Ok(loaded) => loaded.desired,
        Err(error) => panic!("{}", error.render(false)),
    }
}

/// A broker that has all of it already.
fn observed(desired: &Desired) -> Observed {
    let topology = &desired.topology;
    let exchange = |exchange: &warrener::model::Exchange| {
        let observed = ObservedExchange {
            kind: exchange.kind.0.clone(),
            durable: exchange.durable,
            auto_delete: exchange.auto_delete,
            internal: exchange.internal,
            arguments: exchange.arguments.clone(),
        };
        ((exchange.vhost.clone(), exchange.name.clone()), Seen::Whole(observed))
    };
    let queue = |queue: &warrener::model::Queue| {
        let arguments = queue.arguments.clone();
        let observed = ObservedQueue::new(queue.durable, queue.auto_delete, arguments);
        ((queue.vhost.clone(), queue.name.clone()), Seen::Whole(observed))
    };
    Observed {
        exchanges: topology.exchanges().map(exchange).collect(),
        queues: topology.queues().map(queue).collect(),
        bindings: Some(topology.bindings().map(BindingKey::from).collect()),
        ..Observed::default()
    }
}

fn plan(c: &mut Criterion) {
    let text = text();
    let desired = load(&text);
    let there = observed(&desired);
    assert!(diff(&desired.topology, &there).is_empty(), "there is nothing to do");
    let mut group = c.benchmark_group("10,100 objects");
    group.sample_size(20);
    group.bench_function("read the file", |b| b.iter(|| load(black_box(&text))));
    group.bench_function("diff, nothing to do", |b| {
        b.iter(|| diff(black_box(&desired.topology), black_box(&there)));
    });
    let nothing = Observed { bindings: Some(BTreeSet::new()), ..Observed::default() };
    group.bench_function("diff, everything to do", |b| {
        b.iter(|| diff(black_box(&desired.topology), black_box(&nothing)));
    });
    group.finish();
}

criterion_group!(benches, plan);
criterion_main!(benches);
