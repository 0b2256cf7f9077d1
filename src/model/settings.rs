//! What only the management API can set, and can change where it stands: vhosts, users,
//! permissions, operator policies and parameters, as one.

use std::collections::BTreeSet;
use std::fmt;

use super::{
    ArgValue, Arguments, BadName, BrokerLimits, ExchangeName, GlobalParameter, OnRemove, Origin,
    Parameter, ParameterName, Permission, Policy, PolicyName, TopicPermission, User, UserName,
    Vhost, VhostName,
};

/// Components whose parameters the broker writes and removes by itself: what federation has begun to
/// delete.
pub const BROKERS_OWN_COMPONENTS: [&str; 1] = ["exchange-delete-in-progress"];

/// What the names of global parameters begin with that a cluster writes for itself: its name and
/// tags, the tags of its nodes, the digest of what it imported, and what it calls internal.
const BROKERS_OWN_GLOBALS: [&str; 5] =
    ["cluster_name", "cluster_tags", "imported_definition", "internal", "node_tags"];

/// Whether a cluster writes the global parameter of that name for itself.
pub fn is_brokers_own_global(name: &str) -> bool {
    BROKERS_OWN_GLOBALS.iter().any(|own| name.starts_with(own))
}

/// What kind of setting something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SettingKind {
    /// A vhost.
    Vhost,
    /// A user.
    User,
    /// What a user may do in a vhost.
    Permission,
    /// Which routing keys a user may use.
    TopicPermission,
    /// A policy that ordinary ones cannot override.
    OperatorPolicy,
    /// A parameter of the cluster.
    GlobalParameter,
    /// A parameter of a component in a vhost.
    Parameter,
}

impl SettingKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Vhost,
        Self::User,
        Self::Permission,
        Self::TopicPermission,
        Self::OperatorPolicy,
        Self::GlobalParameter,
        Self::Parameter,
    ];

    /// The word for programs, such as `topic_permission`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vhost => "vhost",
            Self::User => "user",
            Self::Permission => "permission",
            Self::TopicPermission => "topic_permission",
            Self::OperatorPolicy => "operator_policy",
            Self::GlobalParameter => "global_parameter",
            Self::Parameter => "parameter",
        }
    }

    /// Several of them, in words.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Vhost => "vhosts",
            Self::User => "users",
            Self::Permission => "permissions",
            Self::TopicPermission => "topic permissions",
            Self::OperatorPolicy => "operator policies",
            Self::GlobalParameter => "global parameters",
            Self::Parameter => "parameters",
        }
    }
}

/// What identifies a setting on a broker.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SettingId {
    /// A vhost.
    Vhost(VhostName),
    /// A user.
    User(UserName),
    /// What a user may do in a vhost.
    Permission(VhostName, UserName),
    /// Which routing keys of an exchange a user may use.
    TopicPermission(VhostName, UserName, ExchangeName),
    /// An operator policy.
    OperatorPolicy(VhostName, PolicyName),
    /// A parameter of the cluster.
    GlobalParameter(ParameterName),
    /// A parameter: vhost, component, name.
    Parameter(VhostName, ParameterName, ParameterName),
}

impl SettingId {
    /// What kind it is of.
    pub fn kind(&self) -> SettingKind {
        match self {
            Self::Vhost(_) => SettingKind::Vhost,
            Self::User(_) => SettingKind::User,
            Self::Permission(..) => SettingKind::Permission,
            Self::TopicPermission(..) => SettingKind::TopicPermission,
            Self::OperatorPolicy(..) => SettingKind::OperatorPolicy,
            Self::GlobalParameter(_) => SettingKind::GlobalParameter,
            Self::Parameter(..) => SettingKind::Parameter,
        }
    }

    /// The vhost it is, or is in; `None` for what belongs to the whole cluster.
    pub fn vhost(&self) -> Option<&VhostName> {
        match self {
            Self::User(_) | Self::GlobalParameter(_) => None,
            Self::Vhost(vhost)
            | Self::Permission(vhost, _)
            | Self::TopicPermission(vhost, ..)
            | Self::OperatorPolicy(vhost, _)
            | Self::Parameter(vhost, ..) => Some(vhost),
        }
    }

    /// The user it is, or is about.
    pub fn user(&self) -> Option<&UserName> {
        match self {
            Self::User(user) | Self::Permission(_, user) | Self::TopicPermission(_, user, _) => {
                Some(user)
            }
            _ => None,
        }
    }

    /// Its kind and the names in it, from which [`SettingId::from_parts`] makes it again.
    pub fn parts(&self) -> Vec<String> {
        let mut parts = vec![self.kind().as_str().to_owned()];
        match self {
            Self::Vhost(name) => parts.push(name.to_string()),
            Self::User(name) => parts.push(name.to_string()),
            Self::Permission(vhost, user) => parts.extend([vhost.to_string(), user.to_string()]),
            Self::TopicPermission(vhost, user, exchange) => {
                parts.extend([vhost.to_string(), user.to_string(), exchange.to_string()]);
            }
            Self::OperatorPolicy(vhost, name) => {
                parts.extend([vhost.to_string(), name.to_string()]);
            }
            Self::GlobalParameter(name) => parts.push(name.to_string()),
            Self::Parameter(vhost, component, name) => {
                parts.extend([vhost.to_string(), component.to_string(), name.to_string()]);
            }
        }
        parts
    }

    /// The setting with those parts; `None` where they are those of none.
    pub fn from_parts(parts: &[String]) -> Result<Option<Self>, BadName> {
        let Some((kind, names)) = parts.split_first() else { return Ok(None) };
        let kind = SettingKind::ALL.into_iter().find(|known| known.as_str() == kind);
        Ok(Some(match (kind, names) {
            (Some(SettingKind::Vhost), [name]) => Self::Vhost(VhostName::new(name)?),
            (Some(SettingKind::User), [name]) => Self::User(UserName::new(name)?),
            (Some(SettingKind::Permission), [vhost, user]) => {
                Self::Permission(VhostName::new(vhost)?, UserName::new(user)?)
            }
            (Some(SettingKind::TopicPermission), [vhost, user, exchange]) => Self::TopicPermission(
                VhostName::new(vhost)?,
                UserName::new(user)?,
                ExchangeName::new(exchange)?,
            ),
            (Some(SettingKind::OperatorPolicy), [vhost, name]) => {
                Self::OperatorPolicy(VhostName::new(vhost)?, PolicyName::new(name)?)
            }
            (Some(SettingKind::GlobalParameter), [name]) => {
                Self::GlobalParameter(ParameterName::new(name)?)
            }
            (Some(SettingKind::Parameter), [vhost, component, name]) => Self::Parameter(
                VhostName::new(vhost)?,
                ParameterName::new(component)?,
                ParameterName::new(name)?,
            ),
            _ => return Ok(None),
        }))
    }
}

/// The name, as it stands behind the kind.
impl fmt::Display for SettingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vhost(name) => write!(f, "{name}"),
            Self::User(name) | Self::Permission(_, name) => write!(f, "{name}"),
            Self::TopicPermission(_, user, exchange) => write!(f, "{user} on {exchange}"),
            Self::OperatorPolicy(_, name) => write!(f, "{name}"),
            Self::GlobalParameter(name) => write!(f, "{name}"),
            Self::Parameter(_, component, name) => write!(f, "{component}/{name}"),
        }
    }
}

/// A setting as the files want it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// A vhost.
    Vhost(Vhost),
    /// A user.
    User(User),
    /// What a user may do in a vhost.
    Permission(Permission),
    /// Which routing keys of an exchange a user may use.
    TopicPermission(TopicPermission),
    /// An operator policy.
    OperatorPolicy(Policy),
    /// A parameter of the cluster.
    GlobalParameter(GlobalParameter),
    /// A parameter of a component in a vhost.
    Parameter(Parameter),
}

impl Setting {
    /// What identifies it.
    pub fn id(&self) -> SettingId {
        match self {
            Self::Vhost(it) => SettingId::Vhost(it.name.clone()),
            Self::User(it) => SettingId::User(it.name.clone()),
            Self::Permission(it) => SettingId::Permission(it.vhost.clone(), it.user.clone()),
            Self::TopicPermission(it) => {
                SettingId::TopicPermission(it.vhost.clone(), it.user.clone(), it.exchange.clone())
            }
            Self::OperatorPolicy(it) => {
                SettingId::OperatorPolicy(it.vhost.clone(), it.name.clone())
            }
            Self::GlobalParameter(it) => SettingId::GlobalParameter(it.name.clone()),
            Self::Parameter(it) => {
                SettingId::Parameter(it.vhost.clone(), it.component.clone(), it.name.clone())
            }
        }
    }

    /// What kind it is of.
    pub fn kind(&self) -> SettingKind {
        match self {
            Self::Vhost(_) => SettingKind::Vhost,
            Self::User(_) => SettingKind::User,
            Self::Permission(_) => SettingKind::Permission,
            Self::TopicPermission(_) => SettingKind::TopicPermission,
            Self::OperatorPolicy(_) => SettingKind::OperatorPolicy,
            Self::GlobalParameter(_) => SettingKind::GlobalParameter,
            Self::Parameter(_) => SettingKind::Parameter,
        }
    }

    /// The vhost it is, or is in; `None` for what belongs to the whole cluster.
    pub fn vhost(&self) -> Option<&VhostName> {
        match self {
            Self::Vhost(it) => Some(&it.name),
            Self::User(_) | Self::GlobalParameter(_) => None,
            Self::Permission(it) => Some(&it.vhost),
            Self::TopicPermission(it) => Some(&it.vhost),
            Self::OperatorPolicy(it) => Some(&it.vhost),
            Self::Parameter(it) => Some(&it.vhost),
        }
    }

    /// Whether we create and change it: false for `manage: false`.
    pub fn managed(&self) -> bool {
        self.handling().0
    }

    /// What becomes of it when no file declares it any more.
    pub fn on_remove(&self) -> OnRemove {
        self.handling().1
    }

    /// Where it was declared.
    pub fn origin(&self) -> Origin {
        self.handling().2
    }

    fn handling(&self) -> (bool, OnRemove, Origin) {
        match self {
            Self::Vhost(it) => (it.managed, it.on_remove, it.origin),
            Self::User(it) => (it.managed, it.on_remove, it.origin),
            Self::Permission(it) => (it.managed, it.on_remove, it.origin),
            Self::TopicPermission(it) => (it.managed, it.on_remove, it.origin),
            Self::OperatorPolicy(it) => (it.managed, it.on_remove, it.origin),
            Self::GlobalParameter(it) => (it.managed, it.on_remove, it.origin),
            Self::Parameter(it) => (it.managed, it.on_remove, it.origin),
        }
    }

    /// All that can be compared with what the broker says, by the names that files use; of a user
    /// everything but the password.
    pub fn attributes(&self) -> Arguments {
        let text = |text: &String| ArgValue::Str(text.clone());
        match self {
            Self::Vhost(it) => {
                let mut all = limits(&it.limits);
                all.insert("description".into(), text(&it.description));
                all.insert("tags".into(), tags(&it.tags));
                if let Some(kind) = it.default_queue_type {
                    all.insert("default_queue_type".into(), ArgValue::Str(kind.as_str().into()));
                }
                all
            }
            Self::User(it) => {
                let mut all = limits(&it.limits);
                all.insert("tags".into(), tags(&it.tags));
                all
            }
            Self::Permission(it) => Arguments::from([
                ("configure".into(), text(&it.configure)),
                ("write".into(), text(&it.write)),
                ("read".into(), text(&it.read)),
            ]),
            Self::TopicPermission(it) => Arguments::from([
                ("write".into(), text(&it.write)),
                ("read".into(), text(&it.read)),
            ]),
            Self::OperatorPolicy(it) => {
                let mut all = it.definition.clone();
                all.insert("pattern".into(), text(&it.pattern));
                all.insert("apply_to".into(), ArgValue::Str(it.apply_to.as_str().into()));
                all.insert("priority".into(), ArgValue::Int(it.priority));
                all
            }
            Self::GlobalParameter(it) => value_attributes(&it.value),
            Self::Parameter(it) => value_attributes(&it.value),
        }
    }
}

/// Limits as attributes: `max-queues` is `max_queues` in files.
fn limits(limits: &BrokerLimits) -> Arguments {
    let limit = |(name, most): (&String, &u64)| {
        let most = i64::try_from(*most).unwrap_or(i64::MAX);
        (name.replace('-', "_"), ArgValue::Int(most))
    };
    limits.iter().map(limit).collect()
}

/// Tags as an attribute.
fn tags(tags: &BTreeSet<String>) -> ArgValue {
    ArgValue::List(tags.iter().cloned().map(ArgValue::Str).collect())
}

/// An opaque value as attributes: the keys of a map, anything else as one `value`.
pub fn value_attributes(value: &ArgValue) -> Arguments {
    match value {
        ArgValue::Map(values) => values.clone(),
        // The broker gives an empty table back as an empty list.
        ArgValue::List(values) if values.is_empty() => Arguments::new(),
        other => Arguments::from([("value".into(), other.clone())]),
    }
}
