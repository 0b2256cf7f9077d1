//! A whole file.

use std::collections::BTreeMap;

use super::layout::{Entry, Tree, block, open_block};
use super::{resources, scalar};
use crate::definitions::carry::Place;
use crate::model::{Binding, Destination, StackName, Topology};

/// A file that says what a topology is.
#[derive(Clone, Debug)]
pub struct Sheet<'a> {
    /// Lines to stand at the top, without their `#`.
    pub header: &'a str,
    /// The ownership scope.
    pub stack: &'a StackName,
    /// The address of the broker, as it is to be written: with `${…}` if it has any.
    pub url: Option<&'a str>,
    /// The address of the management API, where it is not the default.
    pub management: Option<&'a str>,
    /// What should exist.
    pub topology: &'a Topology,
    pub(crate) comments: &'a BTreeMap<Place, String>,
}

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
        let sections = [
            ("broker", self.broker()),
            ("exchanges", Tree::Map(self.exchanges())),
            ("queues", Tree::Map(self.queues())),
            ("bindings", self.bindings()),
            ("policies", Tree::Map(self.policies())),
        ];
        for (name, section) in sections {
            section_text(&mut out, name, &section);
        }
        out
    }

    fn broker(&self) -> Tree {
        // What has a `${` in it is not escaped, and nothing else in an address needs it.
        let quoted = |address: &str| Tree::One(format!("\"{address}\""));
        let url = self.url.map(|url| Entry::new("url", quoted(url)));
        let management = self.management.map(|url| Entry::new("management", quoted(url)));
        Tree::Map(url.into_iter().chain(management).collect())
    }

    fn exchanges(&self) -> Vec<Entry> {
        let bindings = self.by_destination();
        let exchanges = self.topology.exchanges().map(|exchange| {
            let end = Destination::Exchange(exchange.name.clone());
            let bind = bindings.get(&end).map(|bindings| resources::sources(bindings));
            let value = resources::exchange(exchange, bind);
            let place = ("exchanges", exchange.vhost.clone(), exchange.name.to_string());
            self.entry(exchange.name.as_str(), value, &place)
        });
        exchanges.collect()
    }

    fn queues(&self) -> Vec<Entry> {
        let bindings = self.by_destination();
        let queues = self.topology.queues().map(|queue| {
            let end = Destination::Queue(queue.name.clone());
            let bind = bindings.get(&end).map(|bindings| resources::sources(bindings));
            let value = resources::queue(queue, bind);
            let place = ("queues", queue.vhost.clone(), queue.name.to_string());
            self.entry(queue.name.as_str(), value, &place)
        });
        queues.collect()
    }

    /// What leads to exchanges that nobody declares: the broker's own.
    fn bindings(&self) -> Tree {
        let bindings = self.by_destination();
        let flat = bindings.iter().filter(|(end, bindings)| match end {
            Destination::Queue(_) => false,
            Destination::Exchange(name) => bindings
                .first()
                .is_some_and(|binding| self.topology.exchange(&binding.vhost, name).is_none()),
        });
        Tree::List(flat.flat_map(|(_, bindings)| resources::flat(bindings)).collect())
    }

    fn policies(&self) -> Vec<Entry> {
        let policies = self.topology.policies().map(|policy| {
            let place = ("policies", policy.vhost.clone(), policy.name.to_string());
            self.entry(policy.name.as_str(), resources::policy(policy), &place)
        });
        policies.collect()
    }

    fn entry(&self, name: &str, value: Tree, place: &Place) -> Entry {
        let comment = self.comments.get(place).cloned();
        Entry { comment, ..Entry::new(scalar::key(name), value) }
    }

    fn by_destination(&self) -> BTreeMap<&Destination, Vec<&Binding>> {
        let mut bindings: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for binding in self.topology.bindings() {
            bindings.entry(&binding.destination).or_default().push(binding);
        }
        bindings
    }
}

/// A section in block form, with a blank line before it; nothing where it is empty.
fn section_text(out: &mut String, name: &str, section: &Tree) {
    let empty = match section {
        Tree::Map(entries) => entries.is_empty(),
        Tree::List(items) => items.is_empty(),
        Tree::One(_) => false,
    };
    if !empty {
        out.push('\n');
        open_block(out, name, section);
    }
}
