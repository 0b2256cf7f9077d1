//! Follows dead-lettered messages through exchanges and bindings to find where they go round.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::routing::topic_matches;
use super::{
    Binding, DeadLetterTarget, Destination, ExchangeName, PolicyIndex, Problem, Queue, QueueName,
    Spots, Topology, VhostName, codes,
};

/// What makes a cycle harmless, because something in it waits or ends: a retry through a queue with
/// a TTL is a cycle on purpose.
const BRAKES: &[&str] = &["message-ttl", "max-length", "max-length-bytes", "delivery-limit"];

/// A stop on the way of a dead-lettered message.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Stop {
    Queue(VhostName, QueueName),
    /// With the routing key, where it is known.
    Exchange(VhostName, ExchangeName, Option<String>),
}

/// A problem for each separate cycle in which nothing waits or ends.
pub(super) fn cycles(
    topology: &Topology,
    policies: &PolicyIndex<'_>,
    spots: &Spots,
) -> Vec<Problem> {
    let graph = Graph::new(topology, policies);
    let mut problems = Vec::new();
    let mut done: HashSet<Stop> = HashSet::new();
    // Cycles that share a stop have one cause; the first of them is reported.
    let mut reported: HashSet<Stop> = HashSet::new();
    for queue in topology.queues() {
        let start = Stop::Queue(queue.vhost.clone(), queue.name.clone());
        if done.contains(&start) {
            continue;
        }
        // Depth first with a stack of our own: chains of queues may be longer than the thread's.
        let mut path: Vec<(Stop, Vec<Stop>)> = vec![(start.clone(), graph.next(&start))];
        let mut on_path: HashMap<Stop, usize> = HashMap::from([(start, 0)]);
        while let Some((stop, rest)) = path.last_mut() {
            let Some(next) = rest.pop() else {
                on_path.remove(stop);
                done.insert(stop.clone());
                path.pop();
                continue;
            };
            if let Some(&from) = on_path.get(&next) {
                let cycle: Vec<_> = path[from..].iter().map(|(stop, _)| stop.clone()).collect();
                if !cycle.iter().any(|stop| reported.contains(stop)) {
                    problems.extend(problem(topology, spots, &cycle));
                    reported.extend(cycle);
                }
            } else if !done.contains(&next) {
                on_path.insert(next.clone(), path.len());
                let after = graph.next(&next);
                path.push((next, after));
            }
        }
    }
    problems
}

fn problem(topology: &Topology, spots: &Spots, stops: &[Stop]) -> Option<Problem> {
    let queues: Vec<&Queue> = stops
        .iter()
        .filter_map(|stop| match stop {
            Stop::Queue(vhost, name) => topology.queue(vhost, name),
            Stop::Exchange(..) => None,
        })
        .collect();
    let first = queues.first()?;
    let mut names: Vec<_> = queues.iter().map(|queue| format!("`{}`", queue.name)).collect();
    names.push(format!("`{}`", first.name));
    let place = |queue: &Queue| spots.find(queue.origin, "x-dead-letter-exchange");
    let message = format!("dead-lettered messages go round: {}", names.join(" → "));
    let mut problem = Problem::error(codes::CYCLE, place(first), message)
        .label(format!("from queue `{}`", first.name))
        .hint("give one of these queues a `message_ttl`, a `max_length` or another dead-letter target");
    for queue in queues.iter().skip(1) {
        problem = problem.related(place(queue), format!("from queue `{}`", queue.name));
    }
    Some(problem)
}

struct Graph<'a> {
    topology: &'a Topology,
    policies: &'a PolicyIndex<'a>,
    by_source: BTreeMap<(&'a VhostName, &'a ExchangeName), Vec<&'a Binding>>,
}

impl<'a> Graph<'a> {
    fn new(topology: &'a Topology, policies: &'a PolicyIndex<'a>) -> Self {
        let mut by_source: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for binding in topology.bindings() {
            by_source.entry((&binding.vhost, &binding.source)).or_default().push(binding);
        }
        Self { topology, policies, by_source }
    }

    /// Where a message goes from here.
    fn next(&self, stop: &Stop) -> Vec<Stop> {
        match stop {
            Stop::Queue(vhost, name) => self.after_queue(vhost, name).into_iter().collect(),
            Stop::Exchange(vhost, name, key) => self.after_exchange(vhost, name, key.as_deref()),
        }
    }

    fn after_queue(&self, vhost: &VhostName, name: &QueueName) -> Option<Stop> {
        let queue = self.topology.queue(vhost, name)?;
        if self.policies.sets_any(queue, BRAKES) {
            return None;
        }
        let DeadLetterTarget { exchange, routing_key } = self.policies.dead_letter(queue)?;
        let key = routing_key.map(|key| key.as_str().to_owned());
        if exchange.as_str().is_empty() {
            // Without a key the message keeps its own, which only its publisher knows.
            return Some(Stop::Queue(vhost.clone(), QueueName::new(key?).ok()?));
        }
        Some(Stop::Exchange(vhost.clone(), exchange, key))
    }

    fn after_exchange(
        &self,
        vhost: &VhostName,
        name: &ExchangeName,
        key: Option<&str>,
    ) -> Vec<Stop> {
        let kind = match self.topology.exchange(vhost, name) {
            Some(exchange) => exchange.kind.0.as_str(),
            None => name.as_str().strip_prefix("amq.").unwrap_or_default(),
        };
        let Some(bindings) = self.by_source.get(&(vhost, name)) else { return Vec::new() };
        bindings
            .iter()
            .filter(|binding| routes(kind, binding.routing_key.as_str(), key))
            .map(|binding| match &binding.destination {
                Destination::Queue(name) => Stop::Queue(vhost.clone(), name.clone()),
                Destination::Exchange(name) => {
                    Stop::Exchange(vhost.clone(), name.clone(), key.map(str::to_owned))
                }
            })
            .collect()
    }
}

/// Whether a message certainly passes a binding. Where that depends on what is not in the files,
/// the answer is no: a cycle that is only possible is not reported.
fn routes(kind: &str, pattern: &str, key: Option<&str>) -> bool {
    match (kind, key) {
        ("fanout", _) => true,
        ("direct", Some(key)) => pattern == key,
        ("topic", Some(key)) => topic_matches(pattern, key),
        ("topic", None) => pattern == "#",
        _ => false,
    }
}
