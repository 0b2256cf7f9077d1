//! A definitions document: JSON, whatever version of the broker or hand wrote it.

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::{Map, Value, json};

/// The sections that describe something in a vhost.
const IN_VHOSTS: &[&str] = &[
    "exchanges",
    "queues",
    "bindings",
    "policies",
    "permissions",
    "topic_permissions",
    "parameters",
];

/// Keys of a document that say what it is rather than what should exist.
const ABOUT: &[&str] = &[
    "rabbit_version",
    "rabbitmq_version",
    "product_name",
    "product_version",
    "rabbitmq_definition_format",
    "original_cluster_name",
    "original_vhost_name",
    "explanation",
    "description",
    "default_queue_type",
    "limits",
    "metadata",
    "tags",
    "name",
];

/// Sections that definitions have.
const SECTIONS: &[&str] = &[
    "users",
    "vhosts",
    "permissions",
    "topic_permissions",
    "parameters",
    "global_parameters",
    "policies",
    "exchanges",
    "queues",
    "bindings",
    "operator_policies",
];

/// What the names of the global parameters begin with in which stacks note what they own.
pub(super) const LEDGERS: &str = "warrener.";

/// Why a text is no definitions document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDocument {
    /// Not JSON; with the place and the reason.
    #[error("not valid JSON at line {line}, column {column}: {reason}")]
    Json {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What the parser says.
        reason: String,
    },
    /// JSON of another kind.
    #[error("it holds {0}, and definitions are an object")]
    NotAnObject(&'static str),
    /// An object without anything that definitions have.
    #[error("it has none of the sections of definitions (`queues`, `exchanges`, `users`, …)")]
    Foreign,
}

impl BadDocument {
    /// The mend.
    pub fn hint(&self) -> &'static str {
        "definitions come from `rabbitmqctl export_definitions FILE` or `GET /api/definitions`"
    }
}

/// A definitions document.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    fields: Map<String, Value>,
}

impl Document {
    /// Reads a text, with or without a byte order mark.
    pub fn parse(text: &str) -> Result<Self, BadDocument> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let value = serde_json::from_str(text).map_err(|error| {
            // The crate appends the place to its words.
            let words = error.to_string();
            let reason = words.split(" at line ").next().unwrap_or_default().to_owned();
            BadDocument::Json { line: error.line(), column: error.column(), reason }
        })?;
        Self::new(value)
    }

    /// A document of JSON that was read already.
    pub fn new(value: Value) -> Result<Self, BadDocument> {
        let fields = match value {
            Value::Object(fields) => fields,
            Value::Array(_) => return Err(BadDocument::NotAnObject("a list")),
            Value::String(_) => return Err(BadDocument::NotAnObject("text")),
            Value::Null => return Err(BadDocument::NotAnObject("`null`")),
            Value::Bool(_) | Value::Number(_) => {
                return Err(BadDocument::NotAnObject("a single value"));
            }
        };
        let known = fields.keys().any(|key| SECTIONS.contains(&key.as_str()));
        if known { Ok(Self { fields }) } else { Err(BadDocument::Foreign) }
    }

    /// The version of the broker that wrote it, where it says.
    pub fn version(&self) -> Option<&str> {
        ["rabbitmq_version", "rabbit_version"]
            .iter()
            .find_map(|key| self.fields.get(*key)?.as_str())
    }

    /// The vhost that entries without one belong to, where the document says: exports of a single
    /// vhost leave it out of every entry.
    pub fn vhost(&self) -> Option<&str> {
        self.fields.get("original_vhost_name")?.as_str()
    }

    /// The entries of a section. What is no object in there is none.
    pub(super) fn entries(&self, section: &str) -> impl Iterator<Item = &Map<String, Value>> {
        let entries = self.fields.get(section).and_then(Value::as_array);
        entries.into_iter().flatten().filter_map(Value::as_object)
    }

    /// Every vhost that an entry names, and `default` where an entry of a vhost names none.
    pub fn vhosts(&self, default: &str) -> BTreeSet<String> {
        let named = IN_VHOSTS
            .iter()
            .flat_map(|section| self.entries(section))
            .map(|entry| entry.get("vhost").and_then(Value::as_str).unwrap_or(default).to_owned());
        let listed = self.entries("vhosts").filter_map(|entry| entry.get("name")?.as_str());
        named.chain(listed.map(str::to_owned)).collect()
    }

    /// Keys at the top that mean nothing to anybody here, and sections that are no lists.
    pub(super) fn strange_keys(&self) -> impl Iterator<Item = &str> {
        let strange = |key: &str, value: &Value| {
            let section = SECTIONS.contains(&key);
            (section && !value.is_array() && !value.is_null()) || !(section || ABOUT.contains(&key))
        };
        self.fields
            .iter()
            .filter(move |(key, value)| strange(key, value))
            .map(|(key, _)| key.as_str())
    }

    /// Puts these exchanges in the place of those that the document has. From RabbitMQ 4.3.3 on
    /// definitions lack the internal ones, which the listing of exchanges has.
    pub fn set_exchanges(&mut self, listed: &[Value]) {
        const KEYS: [&str; 7] =
            ["name", "vhost", "type", "durable", "auto_delete", "internal", "arguments"];
        let mut entries = Vec::new();
        for exchange in listed.iter().filter_map(Value::as_object) {
            let name = exchange.get("name").and_then(Value::as_str).unwrap_or_default();
            if name.is_empty() || name.starts_with("amq.") {
                continue;
            }
            let kept = KEYS
                .iter()
                .filter_map(|key| Some(((*key).to_owned(), exchange.get(*key)?.clone())));
            entries.push(Value::Object(kept.collect()));
        }
        self.fields.insert("exchanges".into(), Value::Array(entries));
    }

    /// The document as `rabbitmqctl import_definitions` takes it, without what comes and goes by
    /// itself. `vhost` is put into the entries of a document about one vhost, which lack it. With
    /// `select`, only queues and exchanges with such names, what leads to them, and the policies
    /// that reach one of them.
    pub fn into_json(mut self, vhost: Option<&str>, select: Option<&Regex>) -> Value {
        if let Some(vhost) = vhost {
            for section in IN_VHOSTS {
                let entries = self.fields.get_mut(*section).and_then(Value::as_array_mut);
                for entry in entries.into_iter().flatten().filter_map(Value::as_object_mut) {
                    entry.insert("vhost".into(), vhost.into());
                }
            }
            self.fields.insert("vhosts".into(), json!([self.vhost_entry(vhost)]));
        }
        let selected = |name: &str| {
            let own = name.is_empty() || name.starts_with("amq.");
            !own && select.is_none_or(|select| select.is_match(name))
        };
        self.retain("queues", |entry| {
            selected(text(entry, "name")) && entry.get("exclusive") != Some(&Value::Bool(true))
        });
        self.retain("exchanges", |entry| selected(text(entry, "name")));
        self.retain("global_parameters", |entry| !text(entry, "name").starts_with(LEDGERS));
        let names = |section| -> BTreeSet<(String, String)> {
            let entries = self.entries(section);
            entries.map(|entry| (text(entry, "vhost").into(), text(entry, "name").into())).collect()
        };
        let (queues, exchanges) = (names("queues"), names("exchanges"));
        self.retain("bindings", |entry| {
            let place = |key| (text(entry, "vhost").to_owned(), text(entry, key).to_owned());
            let known = |key| exchanges.contains(&place(key)) || place(key).1.starts_with("amq.");
            let leads = match text(entry, "destination_type") {
                "exchange" => known("destination"),
                _ => queues.contains(&place("destination")),
            };
            leads && !text(entry, "source").is_empty() && (known("source") || select.is_some())
        });
        if select.is_some() {
            self.retain("policies", |entry| match Regex::new(text(entry, "pattern")) {
                Ok(pattern) => queues
                    .iter()
                    .chain(&exchanges)
                    .any(|(vhost, name)| vhost == text(entry, "vhost") && pattern.is_match(name)),
                Err(_) => true,
            });
        }
        Value::Object(self.fields)
    }

    /// What a document about one vhost says of it.
    fn vhost_entry(&self, vhost: &str) -> Value {
        const KEYS: [&str; 4] = ["description", "tags", "metadata", "default_queue_type"];
        let said = KEYS.iter().filter_map(|key| {
            let value = self.fields.get(*key).filter(|value| !value.is_null())?;
            Some(((*key).to_owned(), value.clone()))
        });
        let mut entry: Map<_, _> = said.collect();
        entry.insert("name".into(), vhost.into());
        Value::Object(entry)
    }

    /// What the document says at its top of the one vhost that it is about.
    pub(super) fn about_vhost(&self) -> Option<&Map<String, Value>> {
        let about = ["limits", "metadata", "tags"].iter().any(|key| self.fields.contains_key(*key));
        about.then_some(&self.fields)
    }

    fn retain(&mut self, section: &str, keep: impl Fn(&Map<String, Value>) -> bool) {
        if let Some(Value::Array(entries)) = self.fields.get_mut(section) {
            entries.retain(|entry| entry.as_object().is_some_and(&keep));
        }
    }
}

fn text<'a>(entry: &'a Map<String, Value>, key: &str) -> &'a str {
    entry.get(key).and_then(Value::as_str).unwrap_or_default()
}
