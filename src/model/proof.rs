//! Proves that the parts of a topology fit together.

use std::collections::BTreeMap;

use super::{
    ArgRule, ArgValue, Binding, Destination, Exchange, ExchangeName, Origin, PatternFault, Policy,
    PolicyIndex, Problem, Queue, QueueName, QueueType, RoutingKey, Setting, Spots, Topology,
    TopologyParts, VhostName, codes, dead_letters, settings_proof, suggest,
};

/// How many references to nothing get a suggestion. Comparing every name with every other takes
/// long where thousands are wrong, and then they are wrong for one reason.
const SUGGESTIONS: usize = 50;

/// Looks at everything and collects what is wrong.
pub(super) struct Proof<'a> {
    spots: &'a Spots,
    problems: Vec<Problem>,
}

impl<'a> Proof<'a> {
    pub(super) fn new(spots: &'a Spots) -> Self {
        Self { spots, problems: Vec::new() }
    }

    pub(super) fn run(mut self, parts: TopologyParts) -> (Topology, Vec<Problem>) {
        let mut topology = Topology::default();
        for exchange in parts.exchanges {
            self.exchange(&exchange);
            let key = (exchange.vhost.clone(), exchange.name.clone());
            self.insert(&mut topology.exchanges, key, exchange, "exchange", |e| {
                (e.name.as_str().into(), e.origin)
            });
        }
        for queue in parts.queues {
            self.queue(&queue);
            let key = (queue.vhost.clone(), queue.name.clone());
            self.insert(&mut topology.queues, key, queue, "queue", |q| {
                (q.name.as_str().into(), q.origin)
            });
        }
        for policy in parts.policies {
            self.policy(&policy);
            let key = (policy.vhost.clone(), policy.name.clone());
            self.insert(&mut topology.policies, key, policy, "policy", |p| {
                (p.name.as_str().into(), p.origin)
            });
        }
        for setting in parts.settings {
            self.setting(&setting);
            let (key, kind) = (setting.id(), setting.kind().as_str().replace('_', " "));
            self.insert(&mut topology.settings, key, setting, &kind, |s| {
                (s.id().to_string(), s.origin())
            });
        }
        let mut bindings = parts.bindings;
        bindings.sort_by(|a, b| identity(a).cmp(&identity(b)));
        for pair in bindings.windows(2) {
            if let [first, second] = pair
                && first == second
            {
                // Sorting is stable, so the first of two equals is the one written first.
                let message = format!("{} is declared twice", shown(second));
                self.problems.push(
                    Problem::error(codes::TWICE, second.origin, message)
                        .label("again here")
                        .related(first.origin, "first declared here")
                        .hint("remove one of the two"),
                );
            }
        }
        bindings.dedup();
        for binding in &bindings {
            self.binding(binding, &topology);
        }
        topology.bindings = bindings;
        self.dead_letters(&topology);
        (topology, self.problems)
    }

    /// Keeps the first of each name and complains about the others.
    fn insert<K: Ord, V>(
        &mut self,
        map: &mut BTreeMap<K, V>,
        key: K,
        value: V,
        kind: &str,
        about: impl Fn(&V) -> (String, Origin),
    ) {
        use std::collections::btree_map::Entry;
        match map.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(value);
            }
            Entry::Occupied(entry) => {
                let (name, first) = about(entry.get());
                let (_, second) = about(&value);
                let message = format!("{kind} `{name}` is declared twice");
                self.problems.push(
                    Problem::error(codes::TWICE, second, message)
                        .label("again here")
                        .related(first, "first declared here")
                        .hint("remove one of the two"),
                );
            }
        }
    }

    fn exchange(&mut self, exchange: &Exchange) {
        if exchange.name.is_reserved() && exchange.managed {
            let message = format!("exchange `{}` belongs to the broker", exchange.name);
            let hint = "it exists in every vhost: bind to it without declaring it, or declare it \
                        with `manage: false`";
            self.problems
                .push(Problem::error(codes::RESERVED, exchange.origin, message).hint(hint));
        }
        if exchange.kind.0.is_empty() {
            let message = format!("exchange `{}` has an empty type", exchange.name);
            let place = self.spots.find(exchange.origin, "type");
            self.problems.push(Problem::error(codes::VALUE, place, message));
        }
    }

    fn queue(&mut self, queue: &Queue) {
        let (name, kind) = (&queue.name, queue.kind);
        if queue.name.is_reserved() && queue.managed {
            let message =
                format!("queue `{name}` begins with `amq.`, which the broker keeps for itself");
            self.problems.push(
                Problem::error(codes::RESERVED, queue.origin, message)
                    .hint("choose a name that does not begin with `amq.`"),
            );
        }
        for (set, key, value) in
            [(!queue.durable, "durable", "false"), (queue.auto_delete, "auto_delete", "true")]
        {
            if set && kind != QueueType::Classic {
                let place = self.spots.find(queue.origin, key);
                let message = format!("`{key}: {value}` on the {kind} queue `{name}`");
                self.problems.push(
                    Problem::error(codes::MISFIT, place, message)
                        .label(format!(
                            "only classic queues can be {}",
                            if key == "durable" { "transient" } else { "auto-deleted" }
                        ))
                        .hint(format!("remove `{key}`, or make the queue classic")),
                );
            }
        }
        for (argument, value) in &queue.arguments {
            self.argument(queue, argument, value);
        }
    }

    fn argument(&mut self, queue: &Queue, argument: &str, value: &ArgValue) {
        let place = self.spots.find(queue.origin, argument);
        let name = &queue.name;
        let retired = match (argument, value) {
            ("x-queue-mode", _) => {
                Some("lazy queues became the only kind in RabbitMQ 3.12: remove it")
            }
            ("x-queue-version", ArgValue::Int(1)) => {
                Some("RabbitMQ 4.3 refuses version 1: remove the argument, or say 2")
            }
            _ => None,
        };
        if let Some(hint) = retired {
            let message =
                format!("queue `{name}` has the argument `{argument}`, which brokers have retired");
            self.problems.push(Problem::error(codes::RETIRED, place, message).hint(hint));
            return;
        }
        if argument == "x-queue-type" {
            let message = format!("the type of queue `{name}` is given as an argument");
            self.problems.push(
                Problem::error(codes::EXCLUSIVE, place, message)
                    .hint(format!("say `type: {value}` instead").replace('"', "")),
            );
            return;
        }
        let Some(rule) = ArgRule::of(argument) else { return };
        if !rule.types.contains(&queue.kind) {
            let types: Vec<_> = rule.types.iter().map(|kind| kind.as_str()).collect();
            let message = format!("`{}` does not exist on {} queues", rule.shown(), queue.kind);
            self.problems.push(
                Problem::error(codes::MISFIT, place, message)
                    .label(format!("queue `{name}` is a {} queue", queue.kind))
                    .hint(format!("remove it, or set `type: {}`", types.join("` or `type: "))),
            );
        } else if !rule.kind.takes(value) {
            let message =
                format!("`{}` takes {}, not `{value}`", rule.shown(), rule.kind.describe());
            self.problems.push(Problem::error(codes::VALUE, place, message));
        } else if queue.kind == QueueType::Quorum && value.as_str() == Some("reject-publish-dlx") {
            let message = "`reject-publish-dlx` does not exist on quorum queues";
            self.problems.push(
                Problem::error(codes::MISFIT, place, message)
                    .hint("use `overflow: reject-publish`"),
            );
        }
    }

    fn setting(&mut self, setting: &Setting) {
        if let Setting::OperatorPolicy(policy) = setting {
            self.policy(policy);
        }
        self.problems.extend(settings_proof::problems(setting, self.spots));
    }

    fn policy(&mut self, policy: &Policy) {
        if let Err(PatternFault::Invalid(reason)) = policy.check_pattern() {
            let place = self.spots.find(policy.origin, "pattern");
            let message =
                format!("the pattern of policy `{}` is no regular expression", policy.name);
            self.problems.push(Problem::error(codes::PATTERN, place, message).label(reason));
        }
    }

    fn binding(&mut self, binding: &Binding, topology: &Topology) {
        let place = self.spots.find(binding.origin, "source");
        if binding.source.as_str().is_empty() {
            let message = "nothing can be bound to the default exchange";
            self.problems.push(
                Problem::error(codes::RESERVED, place, message)
                    .hint("every queue is bound to it already, by its own name"),
            );
        } else {
            let source = Destination::Exchange(binding.source.clone());
            if !exists(topology, &binding.vhost, &source) {
                self.undeclared(topology, codes::NO_EXCHANGE, place, &binding.vhost, &source);
            }
        }
        let place = self.spots.find(binding.origin, "destination");
        if binding.destination.name().is_empty() {
            let message = "the default exchange cannot be a destination";
            self.problems.push(Problem::error(codes::RESERVED, place, message));
        } else if !exists(topology, &binding.vhost, &binding.destination) {
            let code = match binding.destination {
                Destination::Queue(_) => codes::NO_QUEUE,
                Destination::Exchange(_) => codes::NO_EXCHANGE,
            };
            self.undeclared(topology, code, place, &binding.vhost, &binding.destination);
        }
    }

    fn undeclared(
        &mut self,
        topology: &Topology,
        code: &'static str,
        place: Origin,
        vhost: &VhostName,
        what: &Destination,
    ) {
        let problem = undeclared(topology, code, place, vhost, what, self.problems.len());
        self.problems.push(problem);
    }

    fn dead_letters(&mut self, topology: &Topology) {
        let policies = PolicyIndex::new(topology.policies());
        for queue in topology.queues() {
            self.strategy(queue, &policies);
            let Some(target) = policies.dead_letter(queue) else { continue };
            let what = match target.routing_key {
                _ if !target.exchange.as_str().is_empty() => Destination::Exchange(target.exchange),
                // Through the default exchange a routing key is the name of a queue.
                Some(key) => match QueueName::new(key.as_str()) {
                    Ok(name) => Destination::Queue(name),
                    Err(_) => continue,
                },
                None => continue,
            };
            if exists(topology, &queue.vhost, &what) {
                continue;
            }
            // Where a policy says so, its definition is to blame.
            let place = match policies.matching(queue).next() {
                Some(policy) if !queue.arguments.contains_key("x-dead-letter-exchange") => {
                    self.spots.find(policy.origin, "dead-letter-exchange")
                }
                _ => self.spots.find(queue.origin, "x-dead-letter-exchange"),
            };
            let before = self.problems.len();
            let problem =
                undeclared(topology, codes::NO_TARGET, place, &queue.vhost, &what, before);
            let message = format!(
                "queue `{}` dead-letters to {} `{}`, which is not declared",
                queue.name,
                what.kind(),
                what.name()
            );
            let problem = Problem { message, ..problem };
            self.problems.push(problem.label("the broker would drop these messages"));
        }
        self.problems.extend(dead_letters::cycles(topology, &policies, self.spots));
    }

    fn strategy(&mut self, queue: &Queue, policies: &PolicyIndex<'_>) {
        let strategy = queue.arguments.get("x-dead-letter-strategy").and_then(ArgValue::as_str);
        if strategy != Some("at-least-once") || queue.kind != QueueType::Quorum {
            return;
        }
        // On quorum queues a policy's overflow wins over the argument's.
        let overflow = policies
            .matching(queue)
            .next()
            .and_then(|policy| policy.definition.get("overflow"))
            .or_else(|| queue.arguments.get("x-overflow"))
            .and_then(ArgValue::as_str);
        let place = self.spots.find(queue.origin, "x-dead-letter-strategy");
        let missing = if policies.dead_letter(queue).is_none() {
            "dead_letter: { queue: … }"
        } else if overflow != Some("reject-publish") {
            "overflow: reject-publish"
        } else {
            return;
        };
        let message = format!("`at-least-once` on queue `{}` without `{missing}`", queue.name);
        self.problems.push(
            Problem::error(codes::FALLBACK, place, message)
                .label("the broker would dead-letter at most once")
                .hint(format!("add `{missing}`")),
        );
    }
}

fn identity(binding: &Binding) -> (&VhostName, &ExchangeName, &Destination, &RoutingKey, String) {
    // Argument values have floats among them and so no order of their own; their JSON has one.
    let arguments = ArgValue::Map(binding.arguments.clone()).to_string();
    (&binding.vhost, &binding.source, &binding.destination, &binding.routing_key, arguments)
}

fn shown(binding: &Binding) -> String {
    let (kind, name) = (binding.destination.kind(), binding.destination.name());
    let key = &binding.routing_key;
    format!("the binding of {kind} `{name}` to exchange `{}` with key `{key}`", binding.source)
}

fn exists(topology: &Topology, vhost: &VhostName, what: &Destination) -> bool {
    match what {
        Destination::Queue(name) => topology.queue(vhost, name).is_some(),
        Destination::Exchange(name) => {
            name.is_reserved() || topology.exchange(vhost, name).is_some()
        }
    }
}

/// A reference to what nobody declares, with the name that was probably meant; `before` is how many
/// problems there are already.
pub(super) fn undeclared(
    topology: &Topology,
    code: &'static str,
    place: Origin,
    vhost: &VhostName,
    what: &Destination,
    before: usize,
) -> Problem {
    let (kind, name) = (what.kind(), what.name());
    let mut names: Vec<(&VhostName, &str)> = match what {
        _ if before >= SUGGESTIONS => Vec::new(),
        Destination::Queue(_) => {
            topology.queues().map(|queue| (&queue.vhost, queue.name.as_str())).collect()
        }
        Destination::Exchange(_) => {
            let exchanges = topology.exchanges();
            exchanges.map(|exchange| (&exchange.vhost, exchange.name.as_str())).collect()
        }
    };
    let elsewhere = names.iter().find(|(_, known)| *known == name).map(|(vhost, _)| *vhost);
    names.retain(|(place, _)| *place == vhost);
    let hint = match (elsewhere, suggest(name, names.into_iter().map(|(_, known)| known))) {
        (Some(other), _) => format!("there is one in vhost `{other}`, and this is vhost `{vhost}`"),
        (None, Some(other)) => format!("did you mean `{other}`?"),
        (None, None) => format!(
            "declare it under `{kind}s:`, with `manage: false` if it belongs to someone else"
        ),
    };
    Problem::error(code, place, format!("{kind} `{name}` is not declared")).hint(hint)
}
