//! What is neither queue nor exchange: vhosts, users and what they may do, operator policies and
//! parameters.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::carry::Purpose;
use super::document::{Document, LEDGERS};
use super::entries::{self, Read, Unread};
use super::fields::{Fields, table};
use super::load::Load;
use super::note::Reason;
use crate::model::{
    ArgValue, Arguments, BROKERS_OWN_COMPONENTS, BrokerLimits, Credential, ExchangeName,
    GlobalParameter, HashAlgorithm, OnRemove, Origin, Parameter, ParameterName, PasswordHash,
    Permission, QueueType, Setting, TopicPermission, USER_LIMITS, User, UserName, VHOST_LIMITS,
    Vhost, VhostName, is_brokers_own_global,
};

/// The description that brokers give to the vhost `/`.
const DEFAULT_DESCRIPTION: &str = "Default virtual host";

impl Load {
    /// Reads all of them; with `only`, what is in the home vhost.
    pub(super) fn settings(
        &mut self,
        document: &Document,
        vhosts: &BTreeSet<VhostName>,
        only: bool,
    ) {
        let mut limits: BTreeMap<VhostName, BrokerLimits> = BTreeMap::new();
        for vhost in vhosts {
            self.vhost = vhost.clone();
            self.permissions(document);
            self.parameters(document, &mut limits);
        }
        for vhost in vhosts {
            let limits = limits.remove(vhost).unwrap_or_default();
            self.vhost = vhost.clone();
            self.vhost_itself(document, limits);
        }
        self.vhost = self.home.clone();
        for section in ["users", "global_parameters"] {
            for entry in document.entries(section) {
                let kind = if section == "users" { "user" } else { "global parameter" };
                let title = entries::title(kind, entry);
                if only {
                    self.note(Reason::OtherVhost, title, "");
                    continue;
                }
                let done = match section {
                    "users" => self.user(entry, &title),
                    _ => self.global(entry, &title),
                };
                if let Err(unread) = done {
                    self.notes.push(unread.note(title));
                }
            }
        }
    }

    fn entry_of_vhost<'d>(&self, document: &'d Document) -> Option<&'d Map<String, Value>> {
        document
            .entries("vhosts")
            .find(|entry| entry.get("name").and_then(Value::as_str) == Some(self.vhost.as_str()))
    }

    /// The type of queues without one in the vhost that is being read. `classic` is what such a
    /// queue is in a file anyway.
    pub(super) fn default_queue_type(&self, document: &Document) -> Option<QueueType> {
        const KEY: &str = "default_queue_type";
        let about = (self.vhost == self.home).then(|| document.about_vhost()).flatten();
        let entry = self.entry_of_vhost(document).or(about)?;
        let word = entry.get(KEY).or_else(|| entry.get("metadata")?.get(KEY))?.as_str()?;
        [QueueType::Quorum, QueueType::Stream].into_iter().find(|kind| kind.as_str() == word)
    }

    /// The vhost that is being read, where there is more to say of it than that it is the home.
    fn vhost_itself(&mut self, document: &Document, mut limits: BrokerLimits) {
        let named = self.entry_of_vhost(document);
        let empty = Map::new();
        let about = (self.vhost == self.home).then(|| document.about_vhost()).flatten();
        let entry = named.or(about).unwrap_or(&empty);
        let metadata = entry.get("metadata").and_then(Value::as_object).unwrap_or(&empty);
        let said = |key: &str| entry.get(key).or_else(|| metadata.get(key));
        let text = |key: &str| said(key).and_then(Value::as_str).unwrap_or_default();
        limits.extend(self.limits(entry.get("limits"), VHOST_LIMITS, "vhosts"));
        let description = match text("description") {
            DEFAULT_DESCRIPTION if self.vhost.as_str() == "/" => "",
            description => description,
        };
        let default_queue_type = self.default_queue_type(document);
        let vhost = Vhost {
            name: self.vhost.clone(),
            description: description.into(),
            tags: tags(said("tags")),
            default_queue_type,
            limits,
            managed: true,
            on_remove: OnRemove::Delete,
            origin: Origin::default(),
        };
        if let Some(named) = named {
            const KEYS: [&str; 9] = [
                "name",
                "limits",
                "metadata",
                "description",
                "tags",
                "default_queue_type",
                "tracing",
                "cluster_state",
                "protected_from_deletion",
            ];
            let strange = named.keys().filter(|key| !KEYS.contains(&key.as_str()));
            self.strange("vhosts", strange.cloned().collect());
        }
        let plain = vhost.description.is_empty()
            && vhost.tags.is_empty()
            && vhost.default_queue_type.is_none()
            && vhost.limits.is_empty();
        if self.vhost != self.home || !plain {
            self.parts.settings.push(Setting::Vhost(vhost));
        }
    }

    /// Limits as a table; none is a negative number.
    fn limits(
        &mut self,
        value: Option<&Value>,
        names: &[&str],
        section: &'static str,
    ) -> BrokerLimits {
        let mut limits = BrokerLimits::new();
        for (name, most) in value.and_then(table).unwrap_or_default() {
            match most.as_i64().map(u64::try_from) {
                Some(Ok(most)) if names.contains(&name.as_str()) => {
                    limits.insert(name, most);
                }
                Some(Err(_)) if names.contains(&name.as_str()) => {}
                _ => self.strange(section, vec![name]),
            }
        }
        limits
    }

    fn user(&mut self, entry: &Map<String, Value>, title: &str) -> Result<(), Unread> {
        let mut fields = Fields::new(entry);
        let name = entries::key_name(fields.needed("name")?, UserName::new)?;
        let algorithm = match fields.text("hashing_algorithm")? {
            Some(module) => HashAlgorithm::ALL.into_iter().find(|known| known.module() == module),
            None if self.is_before_3_6() => Some(HashAlgorithm::Md5),
            None => Some(HashAlgorithm::Sha256),
        };
        let credential = match (fields.text("password")?, fields.text("password_hash")?) {
            (Some(password), _) if !password.is_empty() => {
                Credential::Password(password.to_owned().into())
            }
            (_, Some(hash)) if algorithm.is_some() => {
                Credential::Hash(PasswordHash { text: hash.to_owned().into(), algorithm })
            }
            (_, Some(_)) => {
                self.note(Reason::Value, format!("`password_hash` of {title}"), "");
                Credential::Unsaid
            }
            _ => Credential::Unsaid,
        };
        let limits = entry.get("limits").cloned();
        fields.passed(&["tags", "limits", "administrator"]);
        let strange = fields.strange().map(str::to_owned).collect();
        let user = User {
            name,
            credential,
            tags: tags(entry.get("tags")),
            limits: self.limits(limits.as_ref(), USER_LIMITS, "users"),
            managed: true,
            on_remove: OnRemove::Delete,
            origin: Origin::default(),
        };
        self.strange("users", strange);
        self.add(Setting::User(user), title);
        Ok(())
    }

    /// Whether the document is of a broker whose only hash was that of MD5.
    fn is_before_3_6(&self) -> bool {
        let mut numbers = self.version.iter().flat_map(|version| version.split('.'));
        let mut next = || numbers.next().and_then(|number| number.parse::<u32>().ok());
        matches!((next(), next()), (Some(major), Some(minor)) if (major, minor) < (3, 6))
    }

    fn permissions(&mut self, document: &Document) {
        for (section, kind) in
            [("permissions", "permission"), ("topic_permissions", "topic permission")]
        {
            for entry in document.entries(section) {
                if !self.is_here(entry) {
                    continue;
                }
                let user = entry.get("user").and_then(Value::as_str).unwrap_or_default();
                let title =
                    self.at(&self.vhost, format!("the {kind} of user `{}`", user.escape_debug()));
                match self.permission(entry, section) {
                    Ok((setting, strange)) => {
                        self.strange(section, strange);
                        self.add(setting, &title);
                    }
                    Err(unread) => self.notes.push(unread.note(title)),
                }
            }
        }
    }

    fn permission(
        &self,
        entry: &Map<String, Value>,
        section: &str,
    ) -> Result<(Setting, Vec<String>), Unread> {
        let mut fields = Fields::new(entry);
        fields.passed(&["vhost"]);
        let (vhost, managed) = (self.vhost.clone(), true);
        let (on_remove, origin) = (OnRemove::Delete, Origin::default());
        let user = entries::key_name(fields.needed("user")?, UserName::new)?;
        let mut pattern = |key| -> Result<String, Unread> {
            Ok(fields.text(key)?.unwrap_or_default().to_owned())
        };
        let (write, read) = (pattern("write")?, pattern("read")?);
        let setting = if section == "permissions" {
            let configure = pattern("configure")?;
            let permission =
                Permission { vhost, user, configure, write, read, managed, on_remove, origin };
            Setting::Permission(permission)
        } else {
            let exchange = fields.text("exchange")?.unwrap_or_default();
            let exchange = entries::key_name(exchange, ExchangeName::new)?;
            let permission =
                TopicPermission { vhost, user, exchange, write, read, managed, on_remove, origin };
            Setting::TopicPermission(permission)
        };
        let strange = fields.strange().map(str::to_owned).collect();
        Ok((setting, strange))
    }

    /// Parameters of components, among which definitions have operator policies, the limits of
    /// vhosts and, in those of RabbitMQ 3.0, policies.
    fn parameters(&mut self, document: &Document, limits: &mut BTreeMap<VhostName, BrokerLimits>) {
        for entry in document.entries("operator_policies") {
            if self.is_here(entry) {
                self.operator_policy(entry);
            }
        }
        for entry in document.entries("parameters") {
            if !self.is_here(entry) {
                continue;
            }
            let component = entry.get("component").and_then(Value::as_str).unwrap_or_default();
            let value = entry.get("value");
            match component {
                "vhost-limits" => {
                    let found = self.limits(value, VHOST_LIMITS, "parameters");
                    limits.entry(self.vhost.clone()).or_default().extend(found);
                }
                "operator_policy" | "policy" => {
                    let mut flat = value.and_then(table).unwrap_or_default();
                    flat.insert("name".into(), entry.get("name").cloned().unwrap_or(json!(null)));
                    if component == "policy" {
                        self.old_policy(&flat);
                    } else {
                        self.operator_policy(&flat);
                    }
                }
                _ => {
                    let name = entry.get("name").and_then(Value::as_str).unwrap_or_default();
                    let title = format!("{component} `{}`", name.escape_debug());
                    let title = self.at(&self.vhost, title);
                    if BROKERS_OWN_COMPONENTS.contains(&component) {
                        self.note(Reason::Own, &title, "");
                    } else if let Err(unread) = self.parameter(entry, &title) {
                        self.notes.push(unread.note(title));
                    }
                }
            }
        }
    }

    fn operator_policy(&mut self, entry: &Map<String, Value>) {
        let title = self.title("operator policy", entry);
        match entries::policy(entry, &self.vhost) {
            Ok(Read { resource, illegible, strange, .. }) => {
                self.strange("operator_policies", strange);
                if self.spells(&title, &illegible) {
                    self.add(Setting::OperatorPolicy(resource), &title);
                }
            }
            Err(unread) => self.notes.push(unread.note(title)),
        }
    }

    fn old_policy(&mut self, entry: &Map<String, Value>) {
        let title = self.title("policy", entry);
        match entries::policy(entry, &self.vhost) {
            Ok(Read { resource: mut policy, illegible, .. }) => {
                if self.spells(&title, &illegible) && self.without_mirroring(&mut policy, &title) {
                    self.parts.policies.push(policy);
                }
            }
            Err(unread) => self.notes.push(unread.note(title)),
        }
    }

    fn parameter(&mut self, entry: &Map<String, Value>, title: &str) -> Result<(), Unread> {
        let mut fields = Fields::new(entry);
        let component = entries::key_name(fields.needed("component")?, ParameterName::new)?;
        let name = entries::key_name(fields.needed("name")?, ParameterName::new)?;
        fields.passed(&["vhost", "value"]);
        let strange = fields.strange().map(str::to_owned).collect();
        self.strange("parameters", strange);
        let Some((value, managed)) = self.value(entry.get("value"), title) else { return Ok(()) };
        let parameter = Parameter {
            vhost: self.vhost.clone(),
            component,
            name,
            value,
            managed,
            on_remove: OnRemove::Delete,
            origin: Origin::default(),
        };
        self.add(Setting::Parameter(parameter), title);
        Ok(())
    }

    fn global(&mut self, entry: &Map<String, Value>, title: &str) -> Result<(), Unread> {
        let mut fields = Fields::new(entry);
        let text = fields.needed("name")?;
        if text.starts_with(LEDGERS) {
            self.note(Reason::Ledger, title, "");
            return Ok(());
        }
        if is_brokers_own_global(text) {
            self.note(Reason::Own, title, "");
            return Ok(());
        }
        let name = entries::key_name(text, ParameterName::new)?;
        fields.passed(&["value"]);
        let strange = fields.strange().map(str::to_owned).collect();
        self.strange("global_parameters", strange);
        let Some((value, managed)) = self.value(entry.get("value"), title) else { return Ok(()) };
        let parameter = GlobalParameter {
            name,
            value,
            managed,
            on_remove: OnRemove::Delete,
            origin: Origin::default(),
        };
        self.add(Setting::GlobalParameter(parameter), title);
        Ok(())
    }

    /// The value of a parameter, and whether it can be managed; `None` where it is left out.
    fn value(&mut self, value: Option<&Value>, title: &str) -> Option<(ArgValue, bool)> {
        // Exports of the command line have tables as lists of pairs.
        let value = match value {
            Some(Value::Array(pairs)) if !pairs.is_empty() => {
                value.and_then(table).map(Value::Object)
            }
            _ => None,
        }
        .or_else(|| value.cloned());
        let spelled = value.as_ref().and_then(ArgValue::from_json).filter(entries::spellable);
        match (spelled, self.purpose) {
            (Some(value), _) => Some((value, true)),
            (None, Purpose::AsItIs) => {
                self.note(Reason::Unmanaged, title, "no file can spell its value");
                Some((ArgValue::Map(Arguments::new()), false))
            }
            (None, Purpose::Anywhere) => {
                self.note(Reason::Value, title, "");
                None
            }
        }
    }

    /// Adds a setting, unless there is one of that name.
    fn add(&mut self, setting: Setting, title: &str) {
        if self.settled.insert(setting.id()) {
            self.parts.settings.push(setting);
        } else {
            self.note(Reason::Twice, title, "");
        }
    }
}

/// Tags as a list, or as one text with commas.
fn tags(value: Option<&Value>) -> BTreeSet<String> {
    let texts: Vec<&str> = match value {
        Some(Value::Array(tags)) => tags.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(tags)) => tags.split(',').collect(),
        _ => Vec::new(),
    };
    let tags = texts.into_iter().map(str::trim).filter(|tag| !tag.is_empty());
    tags.filter(|tag| !tag.contains(|c: char| c == ',' || c.is_control()))
        .map(str::to_owned)
        .collect()
}
