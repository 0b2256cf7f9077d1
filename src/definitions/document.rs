//! A definitions document: JSON, whatever version of the broker or hand wrote it.

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::{Map, Value, json};

/// The sections that describe something in a vhost.
pub(super) const IN_VHOSTS: &[&str] = &["exchanges", "queues", "bindings", "policies"];

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
pub(super) const SECTIONS: &[&str] = &[
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
];

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

    /// Puts these exchanges in the place of those that the document has of a vhost. From RabbitMQ
    /// 4.3.3 on definitions lack the internal ones, which the listing of exchanges has.
    pub fn set_exchanges(&mut self, vhost: &str, listed: &[Value]) {
        const KEYS: [&str; 7] =
            ["name", "vhost", "type", "durable", "auto_delete", "internal", "arguments"];
        let elsewhere = |entry: &Value| entry.get("vhost").is_some_and(|name| name != vhost);
        let mut entries = match self.fields.remove("exchanges") {
            Some(Value::Array(entries)) => entries.into_iter().filter(elsewhere).collect(),
            _ => Vec::new(),
        };
        for exchange in listed.iter().filter_map(Value::as_object) {
            let name = exchange.get("name").and_then(Value::as_str).unwrap_or_default();
            if name.is_empty() || name.starts_with("amq.") {
                continue;
            }
            let kept = KEYS
                .iter()
                .filter_map(|key| Some(((*key).to_owned(), exchange.get(*key)?.clone())));
            let mut entry: Map<_, _> = kept.collect();
            entry.insert("vhost".into(), vhost.into());
            entries.push(Value::Object(entry));
        }
        self.fields.insert("exchanges".into(), Value::Array(entries));
    }

    /// The document with a vhost in every entry, as `rabbitmqctl import_definitions` takes it, and
    /// without what comes and goes by itself. With `select`, only queues and exchanges with such
    /// names, what leads to them, and the policies that reach one of them.
    pub fn into_json(mut self, vhost: &str, select: Option<&Regex>) -> Value {
        let selected = |name: &str| {
            let own = name.is_empty() || name.starts_with("amq.");
            !own && select.is_none_or(|select| select.is_match(name))
        };
        let text = |entry: &Map<String, Value>, key: &str| {
            entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        self.retain("queues", |entry| {
            selected(&text(entry, "name")) && entry.get("exclusive") != Some(&Value::Bool(true))
        });
        self.retain("exchanges", |entry| selected(&text(entry, "name")));
        let names = |section| -> BTreeSet<String> {
            self.entries(section).map(|entry| text(entry, "name")).collect()
        };
        let (queues, exchanges) = (names("queues"), names("exchanges"));
        self.retain("bindings", |entry| {
            let (source, destination) = (text(entry, "source"), text(entry, "destination"));
            let known = |name: &String| exchanges.contains(name) || name.starts_with("amq.");
            let leads = match text(entry, "destination_type").as_str() {
                "exchange" => known(&destination),
                _ => queues.contains(&destination),
            };
            leads && !source.is_empty() && (known(&source) || select.is_some())
        });
        self.retain("policies", |entry| match Regex::new(&text(entry, "pattern")) {
            Ok(pattern) if select.is_some() => {
                queues.iter().chain(&exchanges).any(|name| pattern.is_match(name))
            }
            _ => true,
        });
        for section in IN_VHOSTS {
            let entries = self.fields.get_mut(*section).and_then(Value::as_array_mut);
            for entry in entries.into_iter().flatten().filter_map(Value::as_object_mut) {
                entry.insert("vhost".into(), vhost.into());
            }
        }
        self.fields.insert("vhosts".into(), json!([{ "name": vhost }]));
        Value::Object(self.fields)
    }

    fn retain(&mut self, section: &str, keep: impl Fn(&Map<String, Value>) -> bool) {
        if let Some(Value::Array(entries)) = self.fields.get_mut(section) {
            entries.retain(|entry| entry.as_object().is_some_and(&keep));
        }
    }
}
