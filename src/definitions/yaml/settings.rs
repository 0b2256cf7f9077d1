//! What is neither queue nor exchange, in the sections of the file.

use std::collections::{BTreeMap, BTreeSet};

use secrecy::ExposeSecret;

use super::layout::{Entry, Tree};
use super::resources::{Keys, policy, tree};
use super::scalar;
use crate::definitions::secrets::Secrets;
use crate::model::{
    ArgValue, BrokerLimits, Credential, HashAlgorithm, OnRemove, Setting, SettingKind, Topology,
    User, Vhost, VhostName,
};

/// Keys that can stand around the value of a parameter.
const AROUND: [&str; 3] = ["value", "manage", "on_remove"];

/// The settings of a topology, section by section.
pub(super) struct Settings<'a> {
    pub(super) topology: &'a Topology,
    pub(super) secrets: &'a Secrets,
}

impl<'a> Settings<'a> {
    fn of(
        &self,
        kind: SettingKind,
        vhost: Option<&VhostName>,
    ) -> impl Iterator<Item = &'a Setting> {
        let settings = self.topology.settings_of(kind);
        settings.filter(move |setting| vhost.is_none() || setting.vhost() == vhost)
    }

    /// A vhost's own keys.
    pub(super) fn vhost(vhost: &Vhost) -> Vec<Entry> {
        let mut keys = Keys::default();
        if !vhost.description.is_empty() {
            keys.one("description", scalar::text(&vhost.description));
        }
        tags(&mut keys, &vhost.tags);
        if let Some(kind) = vhost.default_queue_type {
            keys.one("default_queue_type", kind.as_str());
        }
        limits(&mut keys, &vhost.limits);
        keys.keeping(vhost.managed, vhost.on_remove);
        keys.0
    }

    /// `users:`
    pub(super) fn users(&self) -> Vec<Entry> {
        let users = self.of(SettingKind::User, None).filter_map(|setting| match setting {
            Setting::User(user) => {
                Some(Entry::new(scalar::key(user.name.as_str()), self.user(user, setting)))
            }
            _ => None,
        });
        users.collect()
    }

    fn user(&self, user: &User, setting: &Setting) -> Tree {
        let mut keys = Keys::default();
        match &user.credential {
            Credential::Unsaid => {}
            Credential::Password(password) => {
                keys.one("password", self.text(setting, password.expose_secret()));
            }
            Credential::Hash(hash) => {
                keys.one("password_hash", scalar::text(hash.text.expose_secret()));
                let algorithm = hash.algorithm.filter(|it| *it != HashAlgorithm::default());
                if let Some(algorithm) = algorithm {
                    keys.one("hashing_algorithm", algorithm.as_str());
                }
            }
        }
        tags(&mut keys, &user.tags);
        limits(&mut keys, &user.limits);
        keys.keeping(user.managed, user.on_remove);
        Tree::Map(keys.0)
    }

    /// `permissions:` of a vhost.
    pub(super) fn permissions(&self, vhost: &VhostName) -> Vec<Entry> {
        let settings = self.of(SettingKind::Permission, Some(vhost));
        let permissions = settings.filter_map(|setting| match setting {
            Setting::Permission(it) => {
                let mut keys = Keys::default();
                pattern(&mut keys, "configure", &it.configure);
                pattern(&mut keys, "write", &it.write);
                pattern(&mut keys, "read", &it.read);
                keys.keeping(it.managed, it.on_remove);
                Some(Entry::new(scalar::key(it.user.as_str()), Tree::Map(keys.0)))
            }
            _ => None,
        });
        permissions.collect()
    }

    /// `topic_permissions:` of a vhost, those of one user together.
    pub(super) fn topic_permissions(&self, vhost: &VhostName) -> Vec<Entry> {
        let settings = self.of(SettingKind::TopicPermission, Some(vhost));
        grouped(settings.filter_map(|setting| match setting {
            Setting::TopicPermission(it) => {
                let mut keys = Keys::default();
                pattern(&mut keys, "write", &it.write);
                pattern(&mut keys, "read", &it.read);
                keys.keeping(it.managed, it.on_remove);
                let exchange = scalar::key(it.exchange.as_str());
                Some((it.user.as_str(), Entry::new(exchange, Tree::Map(keys.0))))
            }
            _ => None,
        }))
    }

    /// `operator_policies:` of a vhost.
    pub(super) fn operator_policies(&self, vhost: &VhostName) -> Vec<Entry> {
        let settings = self.of(SettingKind::OperatorPolicy, Some(vhost));
        let policies = settings.filter_map(|setting| match setting {
            Setting::OperatorPolicy(it) => {
                Some(Entry::new(scalar::key(it.name.as_str()), policy(it)))
            }
            _ => None,
        });
        policies.collect()
    }

    /// `parameters:` of a vhost, those of one component together.
    pub(super) fn parameters(&self, vhost: &VhostName) -> Vec<Entry> {
        let settings = self.of(SettingKind::Parameter, Some(vhost));
        grouped(settings.filter_map(|setting| match setting {
            Setting::Parameter(it) => {
                let value = self.value(setting, &it.value, it.managed, it.on_remove);
                Some((it.component.as_str(), Entry::new(scalar::key(it.name.as_str()), value)))
            }
            _ => None,
        }))
    }

    /// `global_parameters:`
    pub(super) fn global_parameters(&self) -> Vec<Entry> {
        let settings = self.of(SettingKind::GlobalParameter, None);
        let parameters = settings.filter_map(|setting| match setting {
            Setting::GlobalParameter(it) => {
                let value = self.value(setting, &it.value, it.managed, it.on_remove);
                Some(Entry::new(scalar::key(it.name.as_str()), value))
            }
            _ => None,
        });
        parameters.collect()
    }

    /// A value as it is, or with what is said about it around it.
    fn value(
        &self,
        setting: &Setting,
        value: &ArgValue,
        managed: bool,
        on_remove: OnRemove,
    ) -> Tree {
        let written = tree(value, &|text| self.text(setting, text));
        let looks_around = match value {
            ArgValue::Map(values) => {
                values.keys().all(|key| AROUND.contains(&key.as_str()))
                    && values.keys().any(|key| key != "value")
            }
            _ => false,
        };
        if managed && on_remove == OnRemove::Delete && !looks_around {
            return written;
        }
        let mut keys = Keys::default();
        keys.tree("value", written);
        keys.one("manage", managed.to_string());
        keys.keeping(true, on_remove);
        Tree::Map(keys.0)
    }

    /// A text of a setting, with a variable where it has a secret.
    fn text(&self, setting: &Setting, text: &str) -> String {
        match self.secrets.find(&setting.id(), text) {
            Some((before, name, after)) => scalar::with_variable(before, name, after),
            None => scalar::text(text),
        }
    }
}

fn pattern(keys: &mut Keys, key: &str, pattern: &str) {
    if !pattern.is_empty() {
        keys.one(key, scalar::text(pattern));
    }
}

fn tags(keys: &mut Keys, tags: &BTreeSet<String>) {
    if !tags.is_empty() {
        let tags = tags.iter().map(|tag| Tree::One(scalar::text(tag)));
        keys.tree("tags", Tree::List(tags.collect()));
    }
}

fn limits(keys: &mut Keys, limits: &BrokerLimits) {
    if !limits.is_empty() {
        let limits = limits.iter();
        let limits = limits
            .map(|(name, most)| Entry::new(name.replace('-', "_"), Tree::One(most.to_string())));
        keys.tree("limits", Tree::Map(limits.collect()));
    }
}

/// Entries with the same first name under that name.
fn grouped<'a>(entries: impl Iterator<Item = (&'a str, Entry)>) -> Vec<Entry> {
    let mut groups: BTreeMap<&str, Vec<Entry>> = BTreeMap::new();
    for (name, entry) in entries {
        groups.entry(name).or_default().push(entry);
    }
    let groups = groups.into_iter();
    groups.map(|(name, entries)| Entry::new(scalar::key(name), Tree::Map(entries))).collect()
}
