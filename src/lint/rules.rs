//! The rules.

use super::losses::{expiring_delay, unknown_alternate, unrouted_dead_letters};
use crate::model::{
    ARG_RULES, AckMode, ArgValue, ConsumerSpec, Desired, PatternFault, PolicyIndex, Problem, Queue,
    QueueType, WireProtocol, codes, suggest,
};

/// What one worker may have to hold in memory without advice against it.
const WIDE_BYTES: u64 = 4 << 30;

/// Priorities that the broker's manual advises at most.
const MANY_PRIORITIES: i64 = 10;

/// Policy keys that are no queue arguments.
const OTHER_POLICY_KEYS: &[&str] = &[
    "alternate-exchange",
    "consumer-timeout",
    "dead-letter-strategy",
    "delivery-limit",
    "federation-upstream",
    "federation-upstream-set",
    "ha-mode",
    "ha-params",
    "ha-sync-mode",
    "queue-version",
    "target-group-size",
];

/// One piece of advice.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Its code in [`crate::model::codes`], which has the reason.
    pub code: &'static str,
    check: fn(&Desired) -> Vec<Problem>,
}

/// All rules.
pub const RULES: &[Rule] = &[
    Rule { code: codes::OPAQUE_PATTERN, check: opaque_pattern },
    Rule { code: codes::REMOTE_GUEST, check: remote_guest },
    Rule { code: codes::WIDE_PREFETCH, check: wide_prefetch },
    Rule { code: codes::BUFFERED_EXEC, check: buffered_exec },
    Rule { code: codes::NO_TIMEOUT, check: no_timeout },
    Rule { code: codes::TRANSIENT, check: transient },
    Rule { code: codes::AUTO_ACK, check: auto_ack },
    Rule { code: codes::FEW_RETURNS, check: few_returns },
    Rule { code: codes::POLICY_KEY, check: policy_key },
    Rule { code: codes::SHADOWED_POLICY, check: shadowed_policy },
    Rule { code: codes::MANY_PRIORITIES, check: many_priorities },
    Rule { code: codes::UNROUTED_DEAD_LETTERS, check: unrouted_dead_letters },
    Rule { code: codes::EXPIRING_DELAY, check: expiring_delay },
    Rule { code: codes::UNKNOWN_ALTERNATE, check: unknown_alternate },
];

/// All advice there is, as warnings, in the order of the rules.
pub fn lint(desired: &Desired) -> Vec<Problem> {
    RULES.iter().flat_map(|rule| (rule.check)(desired)).collect()
}

fn consumers(desired: &Desired, check: impl Fn(&ConsumerSpec) -> Option<Problem>) -> Vec<Problem> {
    desired.fleet.consumers().filter_map(check).collect()
}

fn managed_queues(desired: &Desired, check: impl Fn(&Queue) -> Option<Problem>) -> Vec<Problem> {
    desired.topology.queues().filter(|queue| queue.managed).filter_map(check).collect()
}

fn opaque_pattern(desired: &Desired) -> Vec<Problem> {
    let opaque = desired
        .topology
        .policies()
        .filter(|policy| policy.check_pattern() == Err(PatternFault::Opaque));
    opaque
        .map(|policy| {
            let message = format!(
                "the pattern of policy `{}` cannot be judged without the broker",
                policy.name
            );
            Problem::warning(codes::OPAQUE_PATTERN, policy.origin, message).hint(
                "it is taken to match nothing here; one that every engine of regular expressions understands can be checked",
            )
        })
        .collect()
}

fn remote_guest(desired: &Desired) -> Vec<Problem> {
    let remote = desired.broker.endpoints.iter().find(|endpoint| {
        let authority = &endpoint.uri.authority;
        let local = matches!(authority.host.as_str(), "localhost" | "::1")
            || authority.host.starts_with("127.");
        authority.userinfo.username == "guest" && !local
    });
    remote
        .map(|endpoint| {
            let host = &endpoint.uri.authority.host;
            Problem {
                origin: None,
                ..Problem::warning(
                    codes::REMOTE_GUEST,
                    crate::model::Origin::default(),
                    format!("the user `guest` on `{host}`, which is another machine"),
                )
            }
            .hint("create a user of its own for this stack")
        })
        .into_iter()
        .collect()
}

fn wide_prefetch(desired: &Desired) -> Vec<Problem> {
    consumers(desired, |consumer| {
        let (prefetch, largest) = (consumer.prefetch.get(), consumer.max_message.get());
        let most = u64::from(prefetch) * u64::from(largest);
        (most > WIDE_BYTES).then(|| {
            let most = bytesize::ByteSize(most).display().iec();
            let message = format!(
                "a worker of consumer `{}` may hold {most}: {prefetch} messages of the largest size",
                consumer.name
            );
            Problem::warning(codes::WIDE_PREFETCH, consumer.origin, message)
                .hint("lower `prefetch`, or `max_message`")
        })
    })
}

fn buffered_exec(desired: &Desired) -> Vec<Problem> {
    consumers(desired, |consumer| {
        let buffers = consumer.protocol == WireProtocol::Exec && consumer.prefetch.get() > 1;
        buffers.then(|| {
            let message = format!(
                "consumer `{}` fetches {} messages for a process that takes one",
                consumer.name, consumer.prefetch
            );
            Problem::warning(codes::BUFFERED_EXEC, consumer.origin, message)
                .hint("remove `prefetch`, or raise `workers` to run more at once")
        })
    })
}

fn no_timeout(desired: &Desired) -> Vec<Problem> {
    consumers(desired, |consumer| {
        consumer.timeout.is_none().then(|| {
            let message = format!("consumer `{}` has no time limit", consumer.name);
            Problem::warning(codes::NO_TIMEOUT, consumer.origin, message)
                .hint("after 30m the broker takes back all messages of the worker: set `timeout`")
        })
    })
}

fn auto_ack(desired: &Desired) -> Vec<Problem> {
    consumers(desired, |consumer| {
        (consumer.ack == AckMode::Auto).then(|| {
            let message = format!(
                "what a process of consumer `{}` has when it ends or fails is lost",
                consumer.name
            );
            Problem::warning(codes::AUTO_ACK, consumer.origin, message).hint(
                "remove `ack: auto` unless a lost message does less harm than one that comes twice",
            )
        })
    })
}

fn few_returns(desired: &Desired) -> Vec<Problem> {
    let policies = PolicyIndex::new(desired.topology.policies());
    consumers(desired, |consumer| {
        let queue = desired.topology.queue(&consumer.vhost, &consumer.queue)?;
        if queue.kind != QueueType::Quorum {
            return None;
        }
        let by_policy = policies.matching(queue).next().map(|policy| &policy.definition);
        let by_policy = by_policy.and_then(|definition| definition.get("delivery-limit"));
        let limits = [queue.arguments.get("x-delivery-limit"), by_policy];
        // Below zero there is no limit.
        let limits = limits.into_iter().flatten().filter_map(ArgValue::as_int);
        let limit = limits.filter(|limit| *limit >= 0).min()?;
        let crashes = consumer.max_crashes;
        (limit <= i64::from(crashes.get())).then(|| {
            let message = format!(
                "queue `{}` gives up a message that has come back {limit} times, before consumer `{}` has seen {crashes} crashes",
                queue.name, consumer.name
            );
            Problem::warning(codes::FEW_RETURNS, consumer.origin, message)
                .related(queue.origin, "this queue")
                .hint(format!("raise `delivery_limit` above {crashes}, or lower `max_crashes`"))
        })
    })
}

fn transient(desired: &Desired) -> Vec<Problem> {
    managed_queues(desired, |queue| {
        (!queue.durable).then(|| {
            let message =
                format!("queue `{}` does not survive a restart of the broker", queue.name);
            Problem::warning(codes::TRANSIENT, queue.origin, message)
                .hint("make it durable, with `expires` if it shall go away when unused")
        })
    })
}

fn policy_key(desired: &Desired) -> Vec<Problem> {
    let known: Vec<&str> = ARG_RULES
        .iter()
        .filter_map(|rule| rule.argument.strip_prefix("x-"))
        .chain(OTHER_POLICY_KEYS.iter().copied())
        .collect();
    let mut problems = Vec::new();
    for policy in desired.topology.policies() {
        for key in policy.definition.keys().filter(|key| !known.contains(&key.as_str())) {
            // Plugins bring keys of their own, so only what looks like a slip is worth a word.
            let bare = key.strip_prefix("x-").unwrap_or(key);
            let meant = known.iter().find(|known| **known == bare).copied();
            let Some(meant) = meant.or_else(|| suggest(bare, known.iter().copied())) else {
                continue;
            };
            let message = format!("policy `{}` has the unfamiliar key `{key}`", policy.name);
            problems.push(
                Problem::warning(codes::POLICY_KEY, policy.origin, message)
                    .hint(format!("did you mean `{meant}`?")),
            );
        }
    }
    problems
}

fn shadowed_policy(desired: &Desired) -> Vec<Problem> {
    let index = PolicyIndex::new(desired.topology.policies());
    let mut pairs = std::collections::BTreeMap::new();
    for queue in desired.topology.queues() {
        let mut matching = index.matching(queue);
        if let (Some(first), Some(second)) = (matching.next(), matching.next())
            && first.priority == second.priority
        {
            pairs.entry((&first.name, &second.name)).or_insert((first, second, &queue.name));
        }
    }
    pairs
        .into_values()
        .map(|(first, second, queue)| {
            let message = format!(
                "policies `{}` and `{}` both match queue `{queue}` with priority {}",
                first.name, second.name, first.priority
            );
            Problem::warning(codes::SHADOWED_POLICY, second.origin, message)
                .related(first.origin, "the other policy")
                .hint("give one of them another `priority`, or merge them: only one applies")
        })
        .collect()
}

fn many_priorities(desired: &Desired) -> Vec<Problem> {
    managed_queues(desired, |queue| {
        let most = queue.arguments.get("x-max-priority").and_then(ArgValue::as_int)?;
        (queue.kind == QueueType::Classic && most > MANY_PRIORITIES).then(|| {
            let message = format!("queue `{}` has {most} priorities", queue.name);
            Problem::warning(codes::MANY_PRIORITIES, queue.origin, message)
                .hint(format!("set `max_priority` to at most {MANY_PRIORITIES}"))
        })
    })
}
