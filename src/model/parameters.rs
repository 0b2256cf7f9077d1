//! Runtime parameters: values that only the broker's plugins understand.

use std::fmt;
use std::sync::LazyLock;

use regex::Regex;

use super::{ArgValue, OnRemove, Origin, ParameterName, VhostName};

/// What stands for a secret where a value is shown.
const HIDDEN: &str = "***";

/// Credentials inside an address. More than needed may be hidden where a text has several.
static IN_ADDRESS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(://[^\s:/@]*:)[^\s]*@").expect("a constant that a test compiles")
});

/// Secrets among the parameters of an address: brokers take there the password of a private key.
static IN_QUERY: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?i)([?&][\w-]*(?:passw(?:or)?d|passphrase|secret|token|api_?key|credential)[\w-]*=)[^\s&]+",
    )
    .expect("a constant that a test compiles")
});

/// Keys whose values are secrets.
static SECRET_KEY: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)passw(or)?d|passphrase|secret|token|api_?key|credential")
        .expect("a constant that a test compiles")
});

/// A parameter of a component in a vhost: a shovel, an upstream of federation, …
#[derive(Clone, PartialEq, Eq)]
pub struct Parameter {
    /// The vhost.
    pub vhost: VhostName,
    /// Whose it is: `shovel`, `federation-upstream`, `federation-upstream-set`, …
    pub component: ParameterName,
    /// Its name.
    pub name: ParameterName,
    /// What only the component understands.
    pub value: ArgValue,
    /// False where it must exist but is never created, changed or deleted by us.
    pub managed: bool,
    /// What becomes of it when no file declares it any more.
    pub on_remove: OnRemove,
    /// Where it was declared.
    pub origin: Origin,
}

/// A parameter of the whole cluster.
#[derive(Clone, PartialEq, Eq)]
pub struct GlobalParameter {
    /// Its name.
    pub name: ParameterName,
    /// Any value.
    pub value: ArgValue,
    /// False where it must exist but is never created, changed or deleted by us.
    pub managed: bool,
    /// What becomes of it when no file declares it any more.
    pub on_remove: OnRemove,
    /// Where it was declared.
    pub origin: Origin,
}

impl fmt::Debug for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { vhost, component, name, value, .. } = self;
        write!(f, "Parameter({vhost:?}, {component:?}, {name:?}, {})", value.without_secrets())
    }
}

impl fmt::Debug for GlobalParameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GlobalParameter({:?}, {})", self.name, self.value.without_secrets())
    }
}

impl ArgValue {
    /// The value as it may be shown: passwords and other secrets in addresses, and what stands under
    /// a key that is named like a secret, are blotted out.
    #[must_use]
    pub fn without_secrets(&self) -> Self {
        match self {
            Self::Str(text) => {
                let text = IN_ADDRESS.replace_all(text, format!("${{1}}{HIDDEN}@"));
                Self::Str(IN_QUERY.replace_all(&text, format!("${{1}}{HIDDEN}")).into_owned())
            }
            Self::List(values) => Self::List(values.iter().map(Self::without_secrets).collect()),
            Self::Map(values) => {
                let shown = values
                    .iter()
                    .map(|(key, value)| (key.clone(), value.without_secrets_under(key)));
                Self::Map(shown.collect())
            }
            other => other.clone(),
        }
    }

    /// The same for a value that stands under that key.
    #[must_use]
    pub fn without_secrets_under(&self, key: &str) -> Self {
        if SECRET_KEY.is_match(key) { Self::Str(HIDDEN.into()) } else { self.without_secrets() }
    }
}
