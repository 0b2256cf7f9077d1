//! Reads the entries of a document into the parts of a topology.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::carry::{Place, Purpose};
use super::document::Document;
use super::entries::{self, Aside, Read, Unread};
use super::fit::Ends;
use super::note::{Note, Reason};
use crate::model::{
    ArgValue, Arguments, Binding, Destination, Exchange, ExchangeName, Policy, Queue, QueueType,
    RoutingKey, SettingId, TopologyParts, VhostName,
};

/// What the policy keys of mirrored queues begin with.
const MIRRORING: &str = "ha-";

/// What stands above a resource that is only named.
const UNSPELLED: &str = "no file can spell all of its arguments";

/// What has been read so far.
pub(super) struct Load {
    /// The vhost of the file's address.
    pub(super) home: VhostName,
    /// The vhost that is being read.
    pub(super) vhost: VhostName,
    /// The vhost of entries that name none.
    default: String,
    pub(super) purpose: Purpose,
    pub(super) parts: TopologyParts,
    /// Queues and exchanges that are not declared, because they come and go by themselves.
    pub(super) passing: Ends,
    pub(super) comments: BTreeMap<Place, String>,
    pub(super) notes: Vec<Note>,
    /// The version of the broker that wrote the document.
    pub(super) version: Option<String>,
    /// The settings so far.
    pub(super) settled: BTreeSet<SettingId>,
    /// How many entries of a section have a key that means nothing here.
    strange: BTreeMap<(&'static str, String), usize>,
    /// Whether the broker still mirrors queues.
    mirrors: bool,
}

impl Load {
    pub(super) fn new(home: VhostName, default: &str, purpose: Purpose) -> Self {
        Self {
            vhost: home.clone(),
            home,
            default: default.to_owned(),
            purpose,
            parts: TopologyParts::default(),
            passing: BTreeSet::new(),
            comments: BTreeMap::new(),
            notes: Vec::new(),
            version: None,
            settled: BTreeSet::new(),
            strange: BTreeMap::new(),
            mirrors: false,
        }
    }

    pub(super) fn note(
        &mut self,
        reason: Reason,
        what: impl Into<String>,
        about: impl Into<String>,
    ) {
        self.notes.push(Note::new(reason, what, about));
    }

    /// Puts words above a resource in the file.
    fn comment(&mut self, section: &'static str, name: &str, words: &str) {
        self.comments.insert((section, self.vhost.clone(), name.to_owned()), words.to_owned());
    }

    /// Reads all of it or, with `only`, the home vhost.
    pub(super) fn read(&mut self, document: &Document, only: bool) {
        let old = document.version().is_some_and(|version| version.starts_with("3."));
        self.mirrors = old && self.purpose == Purpose::AsItIs;
        self.version = document.version().map(str::to_owned);
        for key in document.strange_keys() {
            self.note(Reason::Section, format!("`{}`", key.escape_debug()), "");
        }
        let vhosts = self.vhosts(document, only);
        for vhost in &vhosts {
            self.vhost = vhost.clone();
            self.exchanges(document);
            self.queues(document);
            self.bindings(document);
            self.policies(document);
        }
        self.settings(document, &vhosts, only);
        for ((section, key), count) in std::mem::take(&mut self.strange) {
            let entries = entries_of(count);
            let what = format!("the key `{}` of {entries} of `{section}`", key.escape_debug());
            self.note(Reason::Key, what, "");
        }
    }

    /// The vhosts to read.
    fn vhosts(&mut self, document: &Document, only: bool) -> BTreeSet<VhostName> {
        let mut vhosts = BTreeSet::from([self.home.clone()]);
        for name in document.vhosts(&self.default) {
            let what = || format!("vhost `{}`", name.escape_debug());
            match VhostName::new(&name) {
                Ok(vhost) if vhost == self.home => {}
                _ if only => self.note(Reason::OtherVhost, what(), ""),
                Ok(vhost) if entries::is_key(&name) => drop(vhosts.insert(vhost)),
                Ok(_) => self.note(Reason::Name, what(), ""),
                Err(fault) => self.note(Reason::Name, what(), fault.to_string()),
            }
        }
        vhosts
    }

    /// How something is called in notes, with its vhost where that is not the home.
    pub(super) fn title(&self, kind: &str, entry: &Map<String, Value>) -> String {
        self.at(&self.vhost, entries::title(kind, entry))
    }

    /// A title with its vhost, where that is not the home.
    pub(super) fn at(&self, vhost: &VhostName, title: String) -> String {
        at(&self.home, vhost, title)
    }

    /// Whether an entry is in the vhost that is being read.
    pub(super) fn is_here(&self, entry: &Map<String, Value>) -> bool {
        entry.get("vhost").and_then(Value::as_str).unwrap_or(&self.default) == self.vhost.as_str()
    }

    /// Counts the keys that mean nothing here.
    pub(super) fn strange(&mut self, section: &'static str, keys: Vec<String>) {
        for key in keys {
            *self.strange.entry((section, key)).or_default() += 1;
        }
    }

    /// Reads the entries of a section that are in the vhost.
    fn section<T>(
        &mut self,
        document: &Document,
        section: &'static str,
        kind: &str,
        read: impl Fn(&Map<String, Value>, &VhostName) -> Result<Read<T>, Unread>,
        mut keep: impl FnMut(&mut Self, Read<T>, String),
    ) {
        for entry in document.entries(section) {
            if !self.is_here(entry) {
                continue;
            }
            let title = self.title(kind, entry);
            match read(entry, &self.vhost) {
                Ok(mut found) => {
                    let strange = std::mem::take(&mut found.strange);
                    self.strange(section, strange);
                    keep(self, found, title);
                }
                Err(unread) => self.notes.push(unread.note(title)),
            }
        }
    }

    /// Notes that something comes and goes by itself.
    fn passes(&mut self, end: Destination) {
        self.passing.insert((self.vhost.clone(), end));
    }

    fn exchanges(&mut self, document: &Document) {
        let mut seen = BTreeSet::new();
        self.section(document, "exchanges", "exchange", entries::exchange, |load, read, title| {
            let Read { resource: exchange, illegible, aside, .. } = read;
            let name = exchange.name.clone();
            if name.is_reserved() {
                load.note(Reason::Own, title, "");
            } else if aside.is_some() {
                load.passes(Destination::Exchange(name));
                load.note(Reason::Own, title, "");
            } else if !seen.insert(name) {
                load.note(Reason::Twice, title, "");
            } else if load.spells(&title, &illegible) {
                load.parts.exchanges.push(exchange);
            } else {
                load.comment("exchanges", exchange.name.as_str(), UNSPELLED);
                load.parts.exchanges.push(named_exchange(exchange));
            }
        });
    }

    fn queues(&mut self, document: &Document) {
        let mut seen = BTreeSet::new();
        // What exists without a type is classic, whatever the default has become since.
        let default_type = match self.purpose {
            Purpose::Anywhere => self.default_queue_type(document),
            Purpose::AsItIs => None,
        };
        self.section(document, "queues", "queue", entries::queue, |load, read, title| {
            let Read { resource: queue, illegible, aside, .. } = read;
            let name = queue.name.clone();
            match aside {
                _ if name.is_reserved() => {
                    load.passes(Destination::Queue(name));
                    load.note(Reason::Passing, title, "");
                }
                Some(Aside::Exclusive) => {
                    load.passes(Destination::Queue(name));
                    load.note(Reason::Passing, title, "");
                }
                Some(Aside::Internal) => {
                    load.passes(Destination::Queue(name));
                    load.note(Reason::Own, title, "");
                }
                _ if !seen.insert(name) => load.note(Reason::Twice, title, ""),
                Some(Aside::Type(ref word)) => {
                    let about = format!("its type is `{}`", word.escape_debug());
                    if load.purpose == Purpose::AsItIs {
                        load.comment("queues", queue.name.as_str(), &about);
                        load.note(Reason::Unmanaged, title, about);
                        load.parts.queues.push(named_queue(queue));
                    } else {
                        load.note(Reason::QueueType, title, about);
                    }
                }
                Some(Aside::Untyped) | None if load.spells(&title, &illegible) => {
                    // Brokers give the default type only to queues that any type can be.
                    let open = aside.is_some() && queue.durable && !queue.auto_delete;
                    let kind = default_type.filter(|_| open).unwrap_or(queue.kind);
                    load.parts.queues.push(Queue { kind, ..queue });
                }
                Some(Aside::Untyped) | None => {
                    load.comment("queues", queue.name.as_str(), UNSPELLED);
                    load.parts.queues.push(named_queue(queue));
                }
            }
        });
    }

    fn bindings(&mut self, document: &Document) {
        let mut seen = BTreeSet::new();
        self.section(document, "bindings", "binding", entries::binding, |load, read, title| {
            let binding = read.resource;
            // Every queue is bound to the default exchange by its name; listings say so.
            if binding.source.as_str().is_empty() {
                return;
            }
            match read.illegible.first() {
                // A binding is what all of its arguments make it.
                Some(key) => {
                    let about = format!("its argument `{}`", key.escape_debug());
                    load.note(Reason::Value, title, about);
                }
                None if !seen.insert(identity(&binding)) => load.note(Reason::Twice, title, ""),
                None => load.parts.bindings.push(binding),
            }
        });
    }

    fn policies(&mut self, document: &Document) {
        let mut seen = BTreeSet::new();
        self.section(document, "policies", "policy", entries::policy, |load, read, title| {
            let Read { resource: mut policy, illegible, .. } = read;
            if !seen.insert(policy.name.clone()) {
                load.note(Reason::Twice, title, "");
                return;
            }
            if !load.spells(&title, &illegible) || !load.without_mirroring(&mut policy, &title) {
                return;
            }
            load.parts.policies.push(policy);
        });
    }

    /// Takes out what mirrors queues. False where nothing else was in it.
    pub(super) fn without_mirroring(&mut self, policy: &mut Policy, title: &str) -> bool {
        if self.mirrors {
            return true;
        }
        let mirroring: Vec<_> = policy
            .definition
            .keys()
            .filter(|key| key.starts_with(MIRRORING))
            .map(|key| format!("`{key}`"))
            .collect();
        if mirroring.is_empty() {
            return true;
        }
        policy.definition.retain(|key, _| !key.starts_with(MIRRORING));
        if policy.definition.is_empty() {
            self.note(Reason::Mirroring, title, "it does nothing but mirror queues");
            return false;
        }
        self.note(Reason::Mirroring, format!("{} of {title}", mirroring.join(", ")), "");
        true
    }

    /// Whether the resource can be written out. Says what cannot: arguments are then left out, or
    /// the whole resource is only named.
    pub(super) fn spells(&mut self, title: &str, illegible: &[String]) -> bool {
        if illegible.is_empty() {
            return true;
        }
        let keys = || illegible.iter().map(|key| format!("`{}`", key.escape_debug()));
        match self.purpose {
            Purpose::Anywhere => {
                for key in keys() {
                    self.note(Reason::Value, format!("{key} of {title}"), "");
                }
                true
            }
            Purpose::AsItIs => {
                let keys = keys().collect::<Vec<_>>().join(", ");
                self.note(Reason::Unmanaged, title, format!("no file can spell its {keys}"));
                false
            }
        }
    }
}

/// A title with its vhost, where that is not the home.
pub(super) fn at(home: &VhostName, vhost: &VhostName, title: String) -> String {
    if vhost == home { title } else { format!("{title} in vhost `{vhost}`") }
}

fn entries_of(count: usize) -> String {
    if count == 1 { "1 entry".into() } else { format!("{count} entries") }
}

/// Everything that makes a binding the binding it is. Arguments have floats among them and so no
/// order of their own; their JSON has one.
fn identity(binding: &Binding) -> (ExchangeName, Destination, RoutingKey, String) {
    let arguments = ArgValue::Map(binding.arguments.clone()).to_string();
    (binding.source.clone(), binding.destination.clone(), binding.routing_key.clone(), arguments)
}

/// The same queue as one that exists and is not managed.
pub(super) fn named_queue(queue: Queue) -> Queue {
    Queue {
        kind: QueueType::Classic,
        durable: true,
        auto_delete: false,
        arguments: Arguments::new(),
        managed: false,
        ..queue
    }
}

/// The same exchange as one that exists and is not managed.
pub(super) fn named_exchange(exchange: Exchange) -> Exchange {
    Exchange { arguments: Arguments::new(), managed: false, ..exchange }
}
