//! A broker in memory, and short ways to write resources.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::model::{
    ApplyTo, ArgValue, Arguments, Binding, Credential, Destination, Exchange, ExchangeName,
    ExchangeType, HashAlgorithm, OnConflict, OnRemove, Origin, PasswordHash, Policy, PolicyName,
    Queue, QueueName, QueueType, RoutingKey, Setting, SettingId, Topology, TopologyParts,
    VhostName,
};

/// What a broker keeps of a password; in memory its salt is always the same.
fn stored(credential: &Credential) -> PasswordHash {
    use base64::Engine as _;
    use secrecy::ExposeSecret as _;
    use sha2::Digest as _;
    match credential {
        Credential::Hash(hash) => hash.clone(),
        Credential::Unsaid => {
            PasswordHash { text: "".into(), algorithm: Some(HashAlgorithm::Sha256) }
        }
        Credential::Password(password) => {
            let salted = [b"salt", password.expose_secret().as_bytes()].concat();
            let bytes = [b"salt".as_slice(), sha2::Sha256::digest(&salted).as_slice()].concat();
            let text = base64::engine::general_purpose::STANDARD.encode(bytes);
            PasswordHash { text: text.into(), algorithm: Some(HashAlgorithm::Sha256) }
        }
    }
}

pub(super) fn vhost() -> VhostName {
    VhostName::new("/").expect("a name")
}

pub(super) fn arguments<const N: usize>(pairs: [(&str, serde_json::Value); N]) -> Arguments {
    pairs
        .into_iter()
        .map(|(key, value)| (key.into(), ArgValue::from_json(&value).expect("an argument")))
        .collect()
}

pub(super) fn exchange(name: &str, kind: &str) -> Exchange {
    Exchange {
        vhost: vhost(),
        name: ExchangeName::new(name).expect("a name"),
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

pub(super) fn queue(name: &str, kind: QueueType) -> Queue {
    Queue {
        vhost: vhost(),
        name: QueueName::new(name).expect("a name"),
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

pub(super) fn binding(source: &str, to: &str, key: &str) -> Binding {
    Binding {
        vhost: vhost(),
        source: ExchangeName::new(source).expect("a name"),
        destination: Destination::Queue(QueueName::new(to).expect("a name")),
        routing_key: RoutingKey::new(key).expect("a key"),
        arguments: Arguments::new(),
        managed: true,
        on_remove: crate::model::OnRemove::Delete,
        origin: Origin::default(),
    }
}

pub(super) fn policy(name: &str, definition: Arguments) -> Policy {
    Policy {
        vhost: vhost(),
        name: PolicyName::new(name).expect("a name"),
        pattern: "\\.dead$".into(),
        apply_to: ApplyTo::Queues,
        priority: 0,
        definition,
        managed: true,
        on_remove: OnRemove::Delete,
        origin: Origin::default(),
    }
}

pub(super) fn topology(parts: TopologyParts) -> Topology {
    Topology::new(parts).expect("the parts fit")
}

/// A broker that shows everything and has nothing.
pub(super) fn empty_broker() -> Observed {
    Observed {
        broker: BrokerIdentity {
            cluster: Some("rabbit@one".into()),
            version: Some("3.10.8".into()),
        },
        exchange_types: Some(["direct", "fanout", "headers", "topic"].map(String::from).into()),
        bindings: Some(BTreeSet::new()),
        policies: Some(BTreeMap::new()),
        ..Observed::default()
    }
}

/// Makes the broker what a plan says, as the real one would.
pub(super) fn perform(observed: &mut Observed, plan: &Plan) {
    for change in plan.changes() {
        assert_ne!(change.action, Action::Conflict);
        if change.action == Action::Delete {
            delete(observed, &change.target);
            continue;
        }
        match change.target.clone() {
            Target::Exchange(exchange) => {
                observed.exchanges.insert(
                    (exchange.vhost, exchange.name),
                    Seen::Whole(ObservedExchange {
                        kind: exchange.kind.0,
                        durable: exchange.durable,
                        auto_delete: exchange.auto_delete,
                        internal: exchange.internal,
                        arguments: exchange.arguments,
                    }),
                );
            }
            Target::Queue(queue) => {
                let stored = queue.declare_arguments();
                let seen = ObservedQueue::new(queue.durable, queue.auto_delete, stored);
                observed.queues.insert((queue.vhost, queue.name), Seen::Whole(seen));
            }
            Target::Policy(policy) => {
                observed.policies.as_mut().expect("policies are seen").insert(
                    (policy.vhost, policy.name),
                    ObservedPolicy {
                        pattern: policy.pattern,
                        apply_to: policy.apply_to.as_str().into(),
                        priority: policy.priority,
                        definition: policy.definition,
                    },
                );
            }
            Target::Binding(binding) => {
                let bindings = observed.bindings.as_mut().expect("bindings are seen");
                bindings.insert(BindingKey::from(&binding));
            }
            Target::Setting(setting) => {
                let before = observed.settings.remove(&setting.id());
                let hash = match &setting {
                    Setting::User(user) if user.credential == Credential::Unsaid => {
                        before.and_then(|before| before.hash)
                    }
                    Setting::User(user) => Some(stored(&user.credential)),
                    _ => None,
                };
                let seen = ObservedSetting { attributes: setting.attributes(), hash };
                observed.settings.insert(setting.id(), seen);
            }
        }
    }
}

/// Deletes as the broker does: what was bound to it, or from it, is bound no more.
fn delete(observed: &mut Observed, target: &Target) {
    let bindings = observed.bindings.as_mut().expect("bindings are seen");
    match target {
        Target::Exchange(exchange) => {
            let to = Destination::Exchange(exchange.name.clone());
            bindings.retain(|key| {
                *key.vhost() != exchange.vhost
                    || (*key.source() != exchange.name && *key.destination() != to)
            });
            observed.exchanges.remove(&(exchange.vhost.clone(), exchange.name.clone()));
        }
        Target::Queue(queue) => {
            let to = Destination::Queue(queue.name.clone());
            bindings.retain(|key| *key.vhost() != queue.vhost || *key.destination() != to);
            observed.queues.remove(&(queue.vhost.clone(), queue.name.clone()));
        }
        Target::Policy(policy) => {
            let policies = observed.policies.as_mut().expect("policies are seen");
            policies.remove(&(policy.vhost.clone(), policy.name.clone()));
        }
        Target::Binding(binding) => {
            bindings.remove(&BindingKey::from(binding));
        }
        Target::Setting(setting) => {
            let id = setting.id();
            observed.settings.remove(&id);
            match &id {
                SettingId::Vhost(vhost) => empty(observed, vhost),
                SettingId::User(user) => {
                    observed.settings.retain(|other, _| other.user() != Some(user));
                }
                _ => {}
            }
        }
    }
}

/// A vhost goes with all that is in it.
fn empty(observed: &mut Observed, vhost: &VhostName) {
    observed.exchanges.retain(|(of, _), _| of != vhost);
    observed.queues.retain(|(of, _), _| of != vhost);
    observed.settings.retain(|id, _| id.vhost() != Some(vhost));
    observed.policies.as_mut().expect("policies are seen").retain(|(of, _), _| of != vhost);
    observed.bindings.as_mut().expect("bindings are seen").retain(|key| key.vhost() != vhost);
}

/// Makes the broker what a topology says.
pub(super) fn build(observed: &mut Observed, topology: &Topology) {
    let plan = diff(topology, observed);
    perform(observed, &plan);
}
