//! Single entries of a document → resources.

use serde_json::{Map, Value};

use super::fields::{Fault, Fields, Table};
use super::note::{Note, Reason};
use crate::model::{
    ApplyTo, ArgValue, Arguments, BadName, Binding, Destination, Exchange, ExchangeName,
    ExchangeType, OnRemove, Origin, Policy, PolicyName, Queue, QueueName, QueueType, RoutingKey,
    VhostName,
};

/// A resource as the document has it, with what could not be read of it.
#[derive(Debug)]
pub(super) struct Read<T> {
    pub(super) resource: T,
    /// Arguments with a value that no file can spell.
    pub(super) illegible: Vec<String>,
    /// Keys that mean nothing here.
    pub(super) strange: Vec<String>,
    /// What sets it apart.
    pub(super) aside: Option<Aside>,
}

/// What sets a resource apart from those that files declare.
#[derive(Debug)]
pub(super) enum Aside {
    /// It belongs to one connection. Definitions leave such queues out, listings have them.
    Exclusive,
    /// A queue of a type that a plugin brings.
    Type(String),
    /// A queue without any type: of the default type of its vhost where it is created.
    Untyped,
    /// A plugin made it for itself.
    Internal,
}

/// Why an entry gives no resource.
#[derive(Debug)]
pub(super) struct Unread {
    reason: Reason,
    about: String,
}

impl Unread {
    fn new(reason: Reason, about: impl Into<String>) -> Self {
        Self { reason, about: about.into() }
    }

    /// The note about it; `what` names the entry.
    pub(super) fn note(self, what: impl Into<String>) -> Note {
        Note::new(self.reason, what, self.about)
    }
}

impl From<Fault> for Unread {
    fn from(fault: Fault) -> Self {
        Self::new(Reason::Form, fault)
    }
}

impl From<BadName> for Unread {
    fn from(fault: BadName) -> Self {
        Self::new(Reason::Name, fault.to_string())
    }
}

/// How an entry is called in notes, whatever is wrong with it.
pub(super) fn title(kind: &str, entry: &Map<String, Value>) -> String {
    let text =
        |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default().escape_debug();
    match kind {
        "binding" => {
            let (from, to, key) = (text("source"), text("destination"), text("routing_key"));
            format!("the binding of `{to}` to exchange `{from}` with key `{key}`")
        }
        _ => format!("{kind} `{}`", text("name")),
    }
}

/// Whether a text can be a key of a file: nothing is interpolated in keys, so `${` is refused
/// there, and `<<` merges maps.
pub(super) fn is_key(text: &str) -> bool {
    !text.contains("${") && text != "<<"
}

/// A name that is a key in a file.
pub(super) fn key_name<'t, T>(
    text: &'t str,
    new: impl FnOnce(&'t str) -> Result<T, BadName>,
) -> Result<T, Unread> {
    if !is_key(text) {
        return Err(Unread::new(Reason::Name, format!("`{text}` cannot be a key of a file")));
    }
    Ok(new(text)?)
}

pub(super) fn exchange(
    entry: &Map<String, Value>,
    vhost: &VhostName,
) -> Result<Read<Exchange>, Unread> {
    let mut fields = Fields::new(entry);
    let name = key_name(fields.needed("name")?, ExchangeName::new)?;
    let kind = fields.text("type")?.unwrap_or("direct");
    if kind.is_empty() {
        return Err(Unread::new(Reason::Form, "its type is empty"));
    }
    let (arguments, illegible) = arguments(&fields.table("arguments")?);
    let aside = arguments.contains_key("x-internal-purpose").then_some(Aside::Internal);
    let exchange = Exchange {
        vhost: vhost.clone(),
        name,
        kind: ExchangeType(kind.into()),
        durable: fields.flag("durable", true)?,
        auto_delete: fields.flag("auto_delete", false)?,
        internal: fields.flag("internal", false)?,
        arguments,
        managed: true,
        on_remove: OnRemove::Delete,
        on_conflict: crate::model::OnConflict::Refuse,
        origin: Origin::default(),
    };
    fields.passed(&["vhost", "policy", "user_who_performed_action"]);
    let strange = fields.strange().map(str::to_owned).collect();
    Ok(Read { resource: exchange, illegible, strange, aside })
}

pub(super) fn queue(entry: &Map<String, Value>, vhost: &VhostName) -> Result<Read<Queue>, Unread> {
    let mut fields = Fields::new(entry);
    let name = key_name(fields.needed("name")?, QueueName::new)?;
    let (mut arguments, illegible) = arguments(&fields.table("arguments")?);
    let told = fields.text("type")?;
    let untyped = told.is_none() && !arguments.contains_key("x-queue-type");
    let word = match arguments.remove("x-queue-type") {
        None => told.unwrap_or("classic").to_owned(),
        Some(ArgValue::Str(word)) => word,
        Some(other) => other.to_string(),
    };
    let kind = [QueueType::Classic, QueueType::Quorum, QueueType::Stream]
        .into_iter()
        .find(|kind| kind.as_str() == word);
    let aside = match kind {
        _ if fields.flag("exclusive", false)? => Some(Aside::Exclusive),
        _ if arguments.contains_key("x-internal-purpose") => Some(Aside::Internal),
        Some(_) => untyped.then_some(Aside::Untyped),
        None => Some(Aside::Type(word)),
    };
    let queue = Queue {
        vhost: vhost.clone(),
        name,
        kind: kind.unwrap_or(QueueType::Classic),
        durable: fields.flag("durable", true)?,
        auto_delete: fields.flag("auto_delete", false)?,
        arguments,
        managed: true,
        on_remove: OnRemove::Delete,
        on_conflict: crate::model::OnConflict::Refuse,
        origin: Origin::default(),
    };
    fields.passed(&["vhost", "policy"]);
    let strange = fields.strange().map(str::to_owned).collect();
    Ok(Read { resource: queue, illegible, strange, aside })
}

pub(super) fn binding(
    entry: &Map<String, Value>,
    vhost: &VhostName,
) -> Result<Read<Binding>, Unread> {
    let mut fields = Fields::new(entry);
    let destination = fields.needed("destination")?;
    let destination = match fields.text("destination_type")?.unwrap_or("queue") {
        "queue" => Destination::Queue(QueueName::new(destination)?),
        "exchange" => Destination::Exchange(ExchangeName::new(destination)?),
        other => {
            let about =
                format!("it leads to `{}`, not to a queue or exchange", other.escape_debug());
            return Err(Unread::new(Reason::Form, about));
        }
    };
    let (arguments, illegible) = arguments(&fields.table("arguments")?);
    let binding = Binding {
        vhost: vhost.clone(),
        source: ExchangeName::new(fields.needed("source")?)?,
        destination,
        routing_key: RoutingKey::new(fields.text("routing_key")?.unwrap_or_default())?,
        arguments,
        managed: true,
        on_remove: OnRemove::Delete,
        origin: Origin::default(),
    };
    fields.passed(&["vhost", "properties_key"]);
    let strange = fields.strange().map(str::to_owned).collect();
    Ok(Read { resource: binding, illegible, strange, aside: None })
}

pub(super) fn policy(
    entry: &Map<String, Value>,
    vhost: &VhostName,
) -> Result<Read<Policy>, Unread> {
    let mut fields = Fields::new(entry);
    let name = key_name(fields.needed("name")?, PolicyName::new)?;
    // Before RabbitMQ 3.2 policies had no such key and applied to everything.
    let word = fields.text("apply-to")?.unwrap_or("all");
    let apply_to = ApplyTo::ALL.into_iter().find(|apply_to| apply_to.as_str() == word);
    let Some(apply_to) = apply_to else {
        return Err(format!("it applies to `{}`", word.escape_debug()).into());
    };
    let (definition, illegible) = arguments(&fields.table("definition")?);
    let policy = Policy {
        vhost: vhost.clone(),
        name,
        pattern: fields.needed("pattern")?.to_owned(),
        apply_to,
        priority: fields.whole("priority", 0)?,
        definition,
        managed: true,
        on_remove: OnRemove::Delete,
        origin: Origin::default(),
    };
    fields.passed(&["vhost"]);
    let strange = fields.strange().map(str::to_owned).collect();
    Ok(Read { resource: policy, illegible, strange, aside: None })
}

/// Arguments, and the keys of those that no file can spell: `null`, whole numbers of more than 63
/// bits, and keys that YAML or interpolation would take for something else.
fn arguments(table: &Table) -> (Arguments, Vec<String>) {
    let mut arguments = Arguments::new();
    let mut illegible = Vec::new();
    for (key, value) in table {
        match ArgValue::from_json(value) {
            Some(value) if spellable_key(key) && spellable(&value) => {
                arguments.insert(key.clone(), value);
            }
            _ => illegible.push(key.clone()),
        }
    }
    (arguments, illegible)
}

fn spellable_key(key: &str) -> bool {
    (1..=255).contains(&key.len()) && is_key(key)
}

pub(super) fn spellable(value: &ArgValue) -> bool {
    match value {
        ArgValue::List(values) => values.iter().all(spellable),
        ArgValue::Map(values) => values.iter().all(|(key, value)| is_key(key) && spellable(value)),
        _ => true,
    }
}
