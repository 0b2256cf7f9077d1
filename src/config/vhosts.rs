//! Vhosts, and the resources inside one.

use super::node::Entry;
use super::read::{Fields, Reading};
use crate::model::{
    BrokerLimits, QueueType, Setting, TopologyParts, VHOST_LIMITS, Vhost, VhostName,
};

/// The sections that a vhost has, and that the files have for the vhost of the broker's address.
#[derive(Default)]
pub(super) struct Resources {
    exchanges: Vec<Entry>,
    queues: Vec<Entry>,
    bindings: Vec<Entry>,
    policies: Vec<Entry>,
    operator_policies: Vec<Entry>,
    permissions: Vec<Entry>,
    topic_permissions: Vec<Entry>,
    parameters: Vec<Entry>,
}

impl Resources {
    /// Takes the sections out of a map.
    pub(super) fn take(&mut self, fields: &mut Fields, reading: &mut Reading) {
        for (key, section) in [
            ("exchanges", &mut self.exchanges),
            ("queues", &mut self.queues),
            ("policies", &mut self.policies),
            ("operator_policies", &mut self.operator_policies),
            ("permissions", &mut self.permissions),
            ("topic_permissions", &mut self.topic_permissions),
            ("parameters", &mut self.parameters),
        ] {
            if let Some(entry) = fields.take(key) {
                section.extend(reading.section(entry));
            }
        }
        self.bindings.extend(fields.take("bindings"));
    }
}

impl Reading {
    /// `vhosts:`: a vhost, and the sections in it.
    pub(super) fn vhost(&mut self, entry: Entry) -> Option<(Vhost, Resources)> {
        let origin = entry.key_origin;
        let name = self.key_name(&entry, VhostName::new)?;
        let Some(mut fields) = self.fields(&entry.key, origin, entry.value) else {
            self.incomplete = true;
            return None;
        };
        let description = fields.read("description", self, Self::text).unwrap_or_default();
        let tags = fields.read("tags", self, Self::tags).unwrap_or_default();
        let default_queue_type = fields.read("default_queue_type", self, Self::queue_type);
        let limits = self.broker_limits(&mut fields, VHOST_LIMITS);
        let managed = fields.read("manage", self, Self::boolean).unwrap_or(true);
        let on_remove = self.on_remove(&mut fields);
        let mut resources = Resources::default();
        resources.take(&mut fields, self);
        fields.finish(self, &[]);
        let vhost = Vhost {
            name,
            description,
            tags,
            default_queue_type,
            limits,
            managed,
            on_remove,
            origin,
        };
        Some((vhost, resources))
    }

    /// Everything in one vhost.
    pub(super) fn resources(
        &mut self,
        resources: Resources,
        vhost: &VhostName,
        default_type: Option<QueueType>,
        parts: &mut TopologyParts,
    ) {
        let Resources { exchanges, queues, bindings, policies, operator_policies, .. } = resources;
        for entry in exchanges {
            self.exchange(entry, vhost, parts);
        }
        for entry in queues {
            self.queue(entry, vhost, default_type.unwrap_or(QueueType::Classic), parts);
        }
        for entry in bindings {
            self.bindings(entry, vhost, parts);
        }
        for entry in policies {
            parts.policies.extend(self.policy(entry, vhost));
        }
        for entry in operator_policies {
            parts.settings.extend(self.policy(entry, vhost).map(Setting::OperatorPolicy));
        }
        for entry in resources.permissions {
            self.permission(entry, vhost, parts);
        }
        for entry in resources.topic_permissions {
            self.topic_permissions(entry, vhost, parts);
        }
        for entry in resources.parameters {
            self.parameters(entry, vhost, parts);
        }
    }

    /// `limits:`, each by the broker's name with `_` for `-`.
    pub(super) fn broker_limits(
        &mut self,
        fields: &mut Fields,
        names: &[&'static str],
    ) -> BrokerLimits {
        let Some(entry) = fields.take("limits") else { return BrokerLimits::new() };
        let owner = entry.key_origin;
        let Some(mut fields) = self.fields("limits", owner, entry.value) else {
            return BrokerLimits::new();
        };
        let mut limits = BrokerLimits::new();
        for name in names {
            let key = match *name {
                "max-connections" => "max_connections",
                "max-queues" => "max_queues",
                _ => "max_channels",
            };
            let most = fields.read(key, self, |r, key, node| r.whole(key, node, 0..=i64::MAX));
            if let Some(most) = most.and_then(|most| u64::try_from(most).ok()) {
                limits.insert((*name).to_owned(), most);
            }
        }
        fields.finish(self, &[]);
        limits
    }

    /// A list of tags.
    pub(super) fn tags(
        &mut self,
        key: &str,
        node: &super::node::Node,
    ) -> Option<std::collections::BTreeSet<String>> {
        let tags = self.texts(key, node)?;
        for tag in &tags {
            if tag.is_empty() || tag.contains(|c: char| c == ',' || c.is_control()) {
                let problem = super::read::misshapen(key, "names without commas", node);
                self.push(problem);
                return None;
            }
        }
        Some(tags.into_iter().collect())
    }
}
