//! A whole file.

use std::collections::BTreeMap;

use super::layout::{Entry, Tree, block, open_block};
use super::settings::Settings;
use super::{resources, scalar};
use crate::definitions::carry::Place;
use crate::definitions::secrets::Secrets;
use crate::model::{
    Binding, Destination, QueueType, Setting, SettingId, SettingKind, StackName, Topology,
    VhostName,
};

/// A file that says what a topology is.
#[derive(Clone, Debug)]
pub struct Sheet<'a> {
    /// Lines to stand at the top, without their `#`.
    pub header: &'a str,
    /// The ownership scope.
    pub stack: &'a StackName,
    /// The vhost of the broker's address: what is in it stands at the top, other vhosts under
    /// `vhosts:`.
    pub home: &'a VhostName,
    /// The address of the broker, as it is to be written: with `${…}` if it has any.
    pub url: Option<&'a str>,
    /// The address of the management API, where it is not the default.
    pub management: Option<&'a str>,
    /// What should exist.
    pub topology: &'a Topology,
    /// Passwords for which variables are written.
    pub secrets: &'a Secrets,
    pub(crate) comments: &'a BTreeMap<Place, String>,
}

/// Bindings by the end they lead to.
type ByDestination<'a> = BTreeMap<(&'a VhostName, &'a Destination), Vec<&'a Binding>>;

impl Sheet<'_> {
    /// The text of the file.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for line in self.header.lines() {
            out.push_str("# ");
            out.push_str(line);
            out.push('\n');
        }
        let stack = Tree::One(scalar::text(self.stack.as_str()));
        block(&mut out, &[Entry::new("stack", stack)], 0);
        let mut bindings = ByDestination::new();
        for binding in self.topology.bindings() {
            bindings.entry((&binding.vhost, &binding.destination)).or_default().push(binding);
        }
        let settings = self.settings();
        let mut sections = vec![
            Entry::new("broker", self.broker()),
            Entry::new("users", Tree::Map(settings.users())),
        ];
        sections.extend(self.vhost(self.home, &bindings));
        sections.push(Entry::new("global_parameters", Tree::Map(settings.global_parameters())));
        sections.push(Entry::new("vhosts", Tree::Map(self.vhosts(&bindings))));
        for section in sections.iter().filter(|section| !is_empty(&section.value)) {
            out.push('\n');
            open_block(&mut out, &section.key, &section.value);
        }
        out
    }

    fn settings(&self) -> Settings<'_> {
        Settings { topology: self.topology, secrets: self.secrets }
    }

    fn broker(&self) -> Tree {
        // What has a `${` in it is not escaped, and nothing else in an address needs it.
        let quoted = |address: &str| Tree::One(format!("\"{address}\""));
        let url = self.url.map(|url| Entry::new("url", quoted(url)));
        let management = self.management.map(|url| Entry::new("management", quoted(url)));
        Tree::Map(url.into_iter().chain(management).collect())
    }

    /// `vhosts:`: the others with all that is in them, and what is to be said of the home itself.
    fn vhosts(&self, bindings: &ByDestination<'_>) -> Vec<Entry> {
        let vhosts = self.topology.settings_of(SettingKind::Vhost);
        let vhosts = vhosts.filter_map(|setting| match setting {
            Setting::Vhost(vhost) => {
                let mut keys = Settings::vhost(vhost);
                if vhost.name != *self.home {
                    let sections = self.vhost(&vhost.name, bindings).into_iter();
                    keys.extend(sections.filter(|section| !is_empty(&section.value)));
                }
                Some(Entry::new(scalar::key(vhost.name.as_str()), Tree::Map(keys)))
            }
            _ => None,
        });
        vhosts.collect()
    }

    /// The sections of one vhost, also those that are empty.
    fn vhost(&self, vhost: &VhostName, bindings: &ByDestination<'_>) -> Vec<Entry> {
        let settings = self.settings();
        vec![
            Entry::new("permissions", Tree::Map(settings.permissions(vhost))),
            Entry::new("topic_permissions", Tree::Map(settings.topic_permissions(vhost))),
            Entry::new("exchanges", Tree::Map(self.exchanges(vhost, bindings))),
            Entry::new("queues", Tree::Map(self.queues(vhost, bindings))),
            Entry::new("bindings", Tree::List(self.bindings(vhost, bindings))),
            Entry::new("policies", Tree::Map(self.policies(vhost))),
            Entry::new("operator_policies", Tree::Map(settings.operator_policies(vhost))),
            Entry::new("parameters", Tree::Map(settings.parameters(vhost))),
        ]
    }

    fn exchanges(&self, vhost: &VhostName, bindings: &ByDestination<'_>) -> Vec<Entry> {
        let exchanges = self.topology.exchanges().filter(|exchange| exchange.vhost == *vhost);
        let exchanges = exchanges.map(|exchange| {
            let end = Destination::Exchange(exchange.name.clone());
            let bind = bindings.get(&(vhost, &end)).map(|bindings| resources::sources(bindings));
            let value = resources::exchange(exchange, bind);
            self.entry("exchanges", vhost, exchange.name.as_str(), value)
        });
        exchanges.collect()
    }

    fn queues(&self, vhost: &VhostName, bindings: &ByDestination<'_>) -> Vec<Entry> {
        let default_type = match self.topology.setting(&SettingId::Vhost(vhost.clone())) {
            Some(Setting::Vhost(vhost)) => vhost.default_queue_type,
            _ => None,
        };
        let queues = self.topology.queues().filter(|queue| queue.vhost == *vhost);
        let queues = queues.map(|queue| {
            let end = Destination::Queue(queue.name.clone());
            let bind = bindings.get(&(vhost, &end)).map(|bindings| resources::sources(bindings));
            let default_type = default_type.unwrap_or(QueueType::Classic);
            let value = resources::queue(queue, default_type, bind);
            self.entry("queues", vhost, queue.name.as_str(), value)
        });
        queues.collect()
    }

    /// What leads to exchanges that nobody declares: the broker's own.
    fn bindings(&self, vhost: &VhostName, bindings: &ByDestination<'_>) -> Vec<Tree> {
        let flat = bindings.iter().filter(|((there, end), _)| match end {
            Destination::Queue(_) => false,
            Destination::Exchange(name) => {
                *there == vhost && self.topology.exchange(vhost, name).is_none()
            }
        });
        flat.flat_map(|(_, bindings)| resources::flat(bindings)).collect()
    }

    fn policies(&self, vhost: &VhostName) -> Vec<Entry> {
        let policies = self.topology.policies().filter(|policy| policy.vhost == *vhost);
        let policies = policies.map(|policy| {
            self.entry("policies", vhost, policy.name.as_str(), resources::policy(policy))
        });
        policies.collect()
    }

    fn entry(&self, section: &'static str, vhost: &VhostName, name: &str, value: Tree) -> Entry {
        let comment = self.comments.get(&(section, vhost.clone(), name.to_owned())).cloned();
        Entry { comment, ..Entry::new(scalar::key(name), value) }
    }
}

fn is_empty(section: &Tree) -> bool {
    match section {
        Tree::Map(entries) => entries.is_empty(),
        Tree::List(items) => items.is_empty(),
        Tree::One(_) => false,
    }
}
