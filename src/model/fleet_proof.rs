//! Proves consumers against the topology they consume from.

use std::collections::BTreeMap;
use std::time::Duration;

use super::proof::{Proof, undeclared};
use super::{
    ArgValue, ConsumerSpec, Destination, FailureClass, Fleet, Order, Origin, PolicyIndex, Problem,
    QueueName, QueueType, RetrySpec, RolloutSpec, Spots, Topology, TopologyParts, codes,
    duration_label,
};

/// After how long without an ack the broker takes messages back: `consumer_timeout`, by default.
pub const BROKER_ACK_TIMEOUT: Duration = Duration::from_mins(30);

/// How much shorter than that a timeout has to be: the broker looks once a minute.
const MARGIN: Duration = Duration::from_mins(1);

/// Proves a topology and its consumers together, so that the problems of both come out at once.
/// With the places of single values for the problems to point at.
pub fn prove(
    parts: TopologyParts,
    consumers: Vec<ConsumerSpec>,
    spots: &Spots,
) -> Result<(Topology, Fleet), Vec<Problem>> {
    let (topology, mut problems) = Proof::new(spots).run(parts);
    let (fleet, more) = run(consumers, &topology, spots);
    problems.extend(more);
    if problems.is_empty() { Ok((topology, fleet)) } else { Err(problems) }
}

/// Settles what follows from the topology and collects what does not fit.
pub(super) fn run(
    consumers: Vec<ConsumerSpec>,
    topology: &Topology,
    spots: &Spots,
) -> (Fleet, Vec<Problem>) {
    let policies = PolicyIndex::new(topology.policies());
    let mut problems = Vec::new();
    let mut proven: BTreeMap<_, ConsumerSpec> = BTreeMap::new();
    for mut consumer in consumers {
        if let Some(queue) = topology.queue(&consumer.vhost, &consumer.queue) {
            consumer.queue_type = queue.kind;
            consumer.dead_letters =
                queue.kind != QueueType::Stream && policies.dead_letter(queue).is_some();
            let limit = policies.consumer_timeout(queue).unwrap_or(BROKER_ACK_TIMEOUT);
            check(&consumer, topology, limit, spots, &mut problems);
        } else {
            let place = spots.find(consumer.origin, "queue");
            let what = Destination::Queue(consumer.queue.clone());
            let problem = undeclared(
                topology,
                codes::NO_QUEUE,
                place,
                &consumer.vhost,
                &what,
                problems.len(),
            );
            // Who names a vhost may have mistaken that.
            let vhost = match &consumer.vhost {
                vhost if spots.has(consumer.origin, "vhost") => format!(" of vhost `{vhost}`"),
                _ => String::new(),
            };
            let message = format!(
                "consumer `{}` wants queue `{}`{vhost}, which is not declared",
                consumer.name, consumer.queue
            );
            let mut problem = Problem { message, ..problem };
            if let Some(queue) = topology.queues().find(|queue| queue.name == consumer.queue) {
                problem.hint = Some(format!(
                    "add `vhost: {0}` for the queue of that name in vhost `{0}`",
                    queue.vhost
                ));
            }
            problems.push(problem);
        }
        if let Some(first) = proven.get(&consumer.name) {
            let message = format!("consumer `{}` is declared twice", consumer.name);
            problems.push(
                Problem::error(codes::TWICE, consumer.origin, message)
                    .label("again here")
                    .related(first.origin, "first declared here")
                    .hint("rename or remove one of the two"),
            );
        } else {
            proven.insert(consumer.name.clone(), consumer);
        }
    }
    (Fleet { consumers: proven }, problems)
}

fn check(
    consumer: &ConsumerSpec,
    topology: &Topology,
    limit: Duration,
    spots: &Spots,
    problems: &mut Vec<Problem>,
) {
    let (name, queue) = (&consumer.name, &consumer.queue);
    let at = |part: &str| -> Origin { spots.find(consumer.origin, part) };
    if let Some(timeout) = consumer.timeout
        && timeout >= limit.saturating_sub(MARGIN)
    {
        let message = format!("consumer `{name}` may take {} a message", duration_label(timeout));
        let longest = duration_label(limit.saturating_sub(MARGIN));
        let limit = duration_label(limit);
        let problem = Problem::error(codes::TIMEOUT, at("timeout"), message)
            .label(format!("the broker takes messages back after {limit}"));
        problems.push(problem.hint(if longest == "0ms" {
            "it looks once a minute: give the queue a `consumer-timeout` of some minutes".into()
        } else {
            format!("keep it under {longest}, or split the work into smaller messages")
        }));
    }
    if consumer.order == Order::Strict {
        strict(consumer, topology, limit, spots, problems);
    }
    if consumer.queue_type == QueueType::Stream {
        if consumer.pool.is_some() {
            let message =
                format!("consumer `{name}` scales with a backlog, but `{queue}` is a stream");
            problems.push(
                Problem::error(codes::EXCLUSIVE, at("workers"), message)
                    .label("nothing waits in a stream: each worker reads all of it")
                    .hint("give a number: `workers: 1`"),
            );
        }
        if let RolloutSpec::Canary(_) = consumer.rollout {
            let message = format!("consumer `{name}` has a canary, but `{queue}` is a stream");
            problems.push(
                Problem::error(codes::EXCLUSIVE, at("rollout"), message)
                    .label("it would read nothing: its predecessor keeps the place in the stream")
                    .hint("take another `strategy`"),
            );
        }
        if consumer.retry.is_some() {
            let message = format!("consumer `{name}` retries, but `{queue}` is a stream");
            problems.push(
                Problem::error(codes::STREAM_RETRY, at("retry"), message)
                    .hint("remove `retry`, or make the queue a quorum queue"),
            );
        }
        return;
    }
    if !consumer.dead_letters && !consumer.discard {
        let message = format!(
            "what consumer `{name}` rejects would vanish: queue `{queue}` dead-letters nowhere"
        );
        let hint = format!(
            "add `dead_letter: {{ queue: {queue}.dead }}` to queue `{queue}` and declare \
             `{queue}.dead: {{}}`, or allow the loss with `discard: true` on the consumer"
        );
        let declared =
            topology.queue(&consumer.vhost, queue).map_or(consumer.origin, |queue| queue.origin);
        problems.push(
            Problem::error(codes::DROPS, at("queue"), message)
                .related(declared, "this queue has no dead-letter target")
                .hint(hint),
        );
    }
    if let Some(retry) = consumer.retry.as_ref().filter(|_| !consumer.in_place()) {
        retries(consumer, retry, topology, at("retry"), problems);
    }
}

/// Strict order is the work of the queue and of the consumer: it gives its messages to one host
/// alone, and that one has to be through with all tries of a message before they are taken back.
fn strict(
    consumer: &ConsumerSpec,
    topology: &Topology,
    limit: Duration,
    spots: &Spots,
    problems: &mut Vec<Problem>,
) {
    let (name, queue) = (&consumer.name, &consumer.queue);
    let place = spots.find(consumer.origin, "order");
    if consumer.queue_type == QueueType::Stream {
        let message = format!("consumer `{name}` has `order: strict`, but `{queue}` is a stream");
        problems.push(
            Problem::error(codes::EXCLUSIVE, place, message)
                .label("a stream has no single active consumer")
                .hint("remove `order`: with `prefetch: 1` a stream is read in its order"),
        );
        return;
    }
    let declared = topology.queue(&consumer.vhost, queue);
    if let Some(queue) = declared.filter(|queue| queue.managed)
        && queue.arguments.get("x-single-active-consumer") != Some(&ArgValue::Bool(true))
    {
        let message = format!(
            "consumer `{name}` has `order: strict`, but several may consume queue `{}`",
            queue.name
        );
        problems.push(
            Problem::error(codes::NOT_SINGLE, place, message)
                .related(queue.origin, "this queue has no single active consumer")
                .hint(format!("add `single_active_consumer: true` to queue `{}`", queue.name)),
        );
    }
    let (Some(timeout), Some(retry)) = (consumer.timeout, &consumer.retry) else { return };
    let all = |(_, class)| {
        let (immediate, delays): (u32, &[Duration]) = retry.steps(class);
        let tries = immediate.saturating_add(u32::try_from(delays.len()).unwrap_or(u32::MAX));
        let pauses = delays.iter().fold(Duration::ZERO, |sum, delay| sum.saturating_add(*delay));
        (pauses, tries.saturating_add(1))
    };
    let worst = FailureClass::ALL
        .into_iter()
        .map(all)
        .max_by_key(|(pauses, tries)| pauses.saturating_add(timeout.saturating_mul(*tries)));
    let Some((pauses, tries)) = worst else { return };
    let most = limit.saturating_sub(MARGIN);
    if tries > 1 && pauses.saturating_add(timeout.saturating_mul(tries)) >= most {
        let message = format!(
            "{tries} tries of a message of consumer `{name}` may take {}",
            duration_label(pauses.saturating_add(timeout.saturating_mul(tries)))
        );
        let place = spots.find(consumer.origin, "retry");
        let each = most.saturating_sub(pauses) / tries;
        let hint = if each > Duration::from_secs(2) {
            let whole = Duration::from_secs(each.as_secs() - 1);
            format!("set `timeout` to at most {}, or shorten the pauses", duration_label(whole))
        } else {
            "shorten the pauses: they alone take too long".into()
        };
        problems.push(
            Problem::error(codes::TIMEOUT, place, message)
                .label(format!(
                    "with `order: strict` it keeps its place for all of them, and the broker takes it back after {}",
                    duration_label(limit)
                ))
                .hint(hint),
        );
    }
}

/// Every delay needs its queue; whoever builds a topology for this consumer has to derive them.
fn retries(
    consumer: &ConsumerSpec,
    retry: &RetrySpec,
    topology: &Topology,
    place: Origin,
    problems: &mut Vec<Problem>,
) {
    for delay in retry.distinct_delays() {
        let text = RetrySpec::queue_name(&consumer.queue, delay);
        match QueueName::new(&text) {
            Err(fault) => {
                let message = format!("the retry queue `{text}` cannot be named so: {fault}");
                problems.push(Problem::error(codes::NAME, place, message));
            }
            Ok(name) if topology.queue(&consumer.vhost, &name).is_none() => {
                let message = format!("the retry queue `{text}` is not part of the topology");
                problems.push(Problem::error(codes::NO_QUEUE, place, message));
            }
            Ok(_) => {}
        }
    }
}
