//! Where a message goes, as the broker would decide it: an independent answer to check counts by.

use std::collections::{BTreeSet, HashMap};

use super::{
    ArgValue, Arguments, Binding, Destination, Exchange, ExchangeName, ExchangeType, PolicyIndex,
    QueueName, Topology, VhostName,
};

/// Why it cannot be told where a message goes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoutingFault {
    /// A publisher would be refused: there is no such exchange.
    #[error("no exchange `{0}` in the topology")]
    NoExchange(ExchangeName),
    /// A publisher would be refused: only other exchanges may publish to it.
    #[error("exchange `{0}` is internal")]
    Internal(ExchangeName),
    /// A plugin decides, perhaps by chance.
    #[error("exchange `{exchange}` has type `{kind}`, which is known only to its plugin")]
    Unpredictable {
        /// The exchange, which may be one that others lead to.
        exchange: ExchangeName,
        /// Its type.
        kind: ExchangeType,
    },
    /// Whether a binding of a headers exchange matches depends on the version of the broker.
    #[error("whether exchange `{0}` holds 3 and 3.0 equal depends on the version of RabbitMQ")]
    Undecided(ExchangeName),
}

/// Routes messages through a topology. It knows the bindings of the topology only: what others
/// bound on the broker is not in it.
#[derive(Debug)]
pub struct Router<'a> {
    topology: &'a Topology,
    policies: PolicyIndex<'a>,
    bindings: HashMap<(&'a VhostName, &'a ExchangeName), Vec<&'a Binding>>,
}

impl<'a> Router<'a> {
    /// Prepares the bindings and policies of a topology.
    pub fn new(topology: &'a Topology) -> Self {
        let mut bindings: HashMap<_, Vec<_>> = HashMap::new();
        for binding in topology.bindings() {
            bindings.entry((&binding.vhost, &binding.source)).or_default().push(binding);
        }
        Self { topology, policies: PolicyIndex::new(topology.policies()), bindings }
    }

    /// The queues that get a message published to an exchange; each gets it once, however many
    /// bindings lead there. Empty where the message is unroutable.
    pub fn route(
        &self,
        vhost: &VhostName,
        exchange: &ExchangeName,
        routing_key: &str,
        headers: &Arguments,
    ) -> Result<BTreeSet<QueueName>, RoutingFault> {
        let declared = self.topology.exchange(vhost, exchange);
        if kind(exchange, declared).is_none() {
            return Err(RoutingFault::NoExchange(exchange.clone()));
        }
        if declared.is_some_and(|exchange| exchange.internal) {
            return Err(RoutingFault::Internal(exchange.clone()));
        }
        let keys = keys(routing_key, headers);
        let mut queues = BTreeSet::new();
        let mut seen = BTreeSet::from([exchange.clone()]);
        let mut waiting = vec![exchange.clone()];
        while let Some(exchange) = waiting.pop() {
            for destination in self.step(vhost, &exchange, &keys, headers)? {
                match destination {
                    Destination::Queue(name) => drop(queues.insert(name)),
                    // Exchanges may lead round in circles; each is asked once.
                    Destination::Exchange(name) => {
                        if seen.insert(name.clone()) {
                            waiting.push(name);
                        }
                    }
                }
            }
        }
        Ok(queues)
    }

    /// Whether a message with one of these keys, or with any, can come from an exchange to a queue.
    /// What is not declared here or belongs to others, and what only a plugin knows, may well lead
    /// to one.
    pub fn may_reach_a_queue(
        &self,
        vhost: &VhostName,
        exchange: &ExchangeName,
        keys: Option<&BTreeSet<&str>>,
    ) -> bool {
        let mut seen = BTreeSet::from([exchange.clone()]);
        let mut waiting = vec![exchange.clone()];
        while let Some(name) = waiting.pop() {
            let Some(declared) = self.topology.exchange(vhost, &name) else { return true };
            if !declared.managed {
                return true;
            }
            let takes = |binding: &Binding| {
                let (bound, Some(keys)) = (binding.routing_key.as_str(), keys) else { return true };
                match kind(&name, Some(declared)) {
                    Some(Kind::Direct) => keys.contains(bound),
                    Some(Kind::Topic) => keys.iter().any(|key| topic_matches(bound, key)),
                    _ => true,
                }
            };
            let bindings = self.bindings.get(&(vhost, &name)).into_iter().flatten();
            let mut next: Vec<ExchangeName> = Vec::new();
            for binding in bindings.filter(|binding| takes(binding)) {
                match &binding.destination {
                    Destination::Queue(_) => return true,
                    Destination::Exchange(name) => next.push(name.clone()),
                }
            }
            next.extend(self.policies.alternate_exchange(declared));
            waiting.extend(next.into_iter().filter(|name| seen.insert(name.clone())));
        }
        false
    }

    /// Where one exchange sends a message.
    fn step(
        &self,
        vhost: &VhostName,
        name: &ExchangeName,
        keys: &[&str],
        headers: &Arguments,
    ) -> Result<Vec<Destination>, RoutingFault> {
        let declared = self.topology.exchange(vhost, name);
        let kind = match kind(name, declared) {
            // An alternate exchange that is not there takes nothing.
            None => return Ok(Vec::new()),
            Some(Kind::Default) => {
                let queues = keys.iter().filter_map(|key| QueueName::new(key).ok());
                let there = queues.filter(|name| self.topology.queue(vhost, name).is_some());
                return Ok(there.map(Destination::Queue).collect());
            }
            Some(kind) => kind,
        };
        let mut destinations = Vec::new();
        for binding in self.bindings.get(&(vhost, name)).into_iter().flatten() {
            let bound = binding.routing_key.as_str();
            let matches = match kind {
                Kind::Default => false,
                Kind::Fanout => true,
                Kind::Direct => keys.contains(&bound),
                Kind::Topic => keys.iter().any(|key| topic_matches(bound, key)),
                Kind::Headers => {
                    let [strict, loose] = [same_strictly, same_loosely]
                        .map(|same| headers_match(&binding.arguments, headers, same));
                    if strict != loose {
                        return Err(RoutingFault::Undecided(name.clone()));
                    }
                    strict
                }
                Kind::Plugin(kind) => {
                    let (exchange, kind) = (name.clone(), kind.clone());
                    return Err(RoutingFault::Unpredictable { exchange, kind });
                }
            };
            if matches {
                destinations.push(binding.destination.clone());
            }
        }
        if destinations.is_empty() {
            let alternate =
                declared.and_then(|exchange| self.policies.alternate_exchange(exchange));
            destinations.extend(alternate.map(Destination::Exchange));
        }
        Ok(destinations)
    }
}

/// How an exchange decides.
#[derive(Clone, Copy)]
enum Kind<'a> {
    Default,
    Direct,
    Fanout,
    Topic,
    Headers,
    Plugin(&'a ExchangeType),
}

/// `None` where there is no such exchange. Those that every vhost has need not be declared.
fn kind<'a>(name: &ExchangeName, declared: Option<&'a Exchange>) -> Option<Kind<'a>> {
    match (name.as_str(), declared) {
        ("", _) => Some(Kind::Default),
        ("amq.direct", None) => Some(Kind::Direct),
        ("amq.fanout", None) => Some(Kind::Fanout),
        ("amq.topic" | "amq.rabbitmq.trace", None) => Some(Kind::Topic),
        ("amq.headers" | "amq.match", None) => Some(Kind::Headers),
        (_, None) => None,
        (_, Some(exchange)) => Some(match exchange.kind.0.as_str() {
            "direct" => Kind::Direct,
            "fanout" => Kind::Fanout,
            "topic" => Kind::Topic,
            "headers" => Kind::Headers,
            _ => Kind::Plugin(&exchange.kind),
        }),
    }
}

/// The keys a message is routed by: its own, and those in the headers that copy it to others.
fn keys<'a>(routing_key: &'a str, headers: &'a Arguments) -> Vec<&'a str> {
    let mut keys = vec![routing_key];
    for header in ["CC", "BCC"] {
        if let Some(ArgValue::List(copies)) = headers.get(header) {
            keys.extend(copies.iter().filter_map(ArgValue::as_str));
        }
    }
    keys
}

/// Whether a topic binding takes a key: `*` stands for one word, `#` for any number of words.
pub(super) fn topic_matches(pattern: &str, key: &str) -> bool {
    let (pattern, key) = (words(pattern), words(key));
    // reach[i]: whether the patterns so far can stand for the first i words.
    let mut reach = vec![false; key.len() + 1];
    reach[0] = true;
    for word in pattern {
        if word == "#" {
            let first = reach.iter().position(|reached| *reached).unwrap_or(reach.len());
            reach[first..].fill(true);
        } else {
            for i in (0..key.len()).rev() {
                reach[i + 1] = reach[i] && (word == "*" || word == key[i]);
            }
            reach[0] = false;
        }
    }
    reach[key.len()]
}

/// An empty key has no word, not one empty word.
fn words(key: &str) -> Vec<&str> {
    if key.is_empty() { Vec::new() } else { key.split('.').collect() }
}

/// Whether a headers binding takes a message with these headers.
fn headers_match(
    binding: &Arguments,
    headers: &Arguments,
    same: fn(&ArgValue, &ArgValue) -> bool,
) -> bool {
    let mode = binding.get("x-match").and_then(ArgValue::as_str).unwrap_or("all");
    // Since RabbitMQ 3.10; the other two modes pass over keys that begin with `x-`.
    let with_x = matches!(mode, "all-with-x" | "any-with-x");
    let mut wanted = binding
        .iter()
        .filter(|(key, _)| key.as_str() != "x-match" && (with_x || !key.starts_with("x-")))
        .map(|(key, value)| headers.get(key).is_some_and(|header| same(value, header)));
    if matches!(mode, "any" | "any-with-x") {
        wanted.any(|matched| matched)
    } else {
        wanted.all(|matched| matched)
    }
}

/// How RabbitMQ 4 compares values.
fn same_strictly(a: &ArgValue, b: &ArgValue) -> bool {
    a == b
}

/// How RabbitMQ 3 compares values: with the equality of Erlang, for which 3 and 3.0 are the same.
fn same_loosely(a: &ArgValue, b: &ArgValue) -> bool {
    match (a, b) {
        (ArgValue::Int(int), ArgValue::Float(float))
        | (ArgValue::Float(float), ArgValue::Int(int)) => {
            float.fract() == 0.0 && format!("{float:.0}") == int.to_string()
        }
        _ => a == b,
    }
}

#[cfg(test)]
mod tests;
