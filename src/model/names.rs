//! Names of things on the broker and in the file, checked once.
//!
//! AMQP 0-9-1 carries names as short strings: at most 255 bytes. Control characters are refused
//! here as well; they are legal on the wire, but they break every listing and log that shows them.

use std::fmt;
use std::sync::Arc;

/// Longest name that AMQP 0-9-1 can carry, in bytes (its `shortstr` type).
const MAX_BYTES: usize = 255;

/// Why a text cannot be a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Nothing between the quotes.
    #[error("a name cannot be empty")]
    Empty,
    /// More bytes than the wire can carry.
    #[error("a name has at most {MAX_BYTES} bytes, this one has {0}")]
    TooLong(usize),
    /// Tab, newline, escape and their kind.
    #[error("a name cannot contain the control character U+{:04X}", *.0 as u32)]
    Control(char),
    /// A consumer or stack name is also a file name, a log field and a metric label.
    #[error("only letters, digits, `.`, `_` and `-` are allowed here, not `{0}`")]
    Charset(char),
}

fn check(text: &str, may_be_empty: bool) -> Result<(), BadName> {
    if text.is_empty() && !may_be_empty {
        return Err(BadName::Empty);
    }
    if text.len() > MAX_BYTES {
        return Err(BadName::TooLong(text.len()));
    }
    match text.chars().find(|c| c.is_control()) {
        Some(c) => Err(BadName::Control(c)),
        None => Ok(()),
    }
}

fn check_label(text: &str) -> Result<(), BadName> {
    check(text, false)?;
    match text.chars().find(|c| !(c.is_alphanumeric() || matches!(c, '.' | '_' | '-'))) {
        Some(c) => Err(BadName::Charset(c)),
        None => Ok(()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Checks the text and keeps it.
            pub fn new(text: impl AsRef<str>) -> Result<Self, BadName> {
                let text = text.as_ref();
                let check: fn(&str) -> Result<(), BadName> = $check;
                check(text)?;
                Ok(Self(Arc::from(text)))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

name!(
    /// A virtual host.
    VhostName, |text| check(text, false)
);
name!(
    /// An exchange; the empty name is the default exchange.
    ExchangeName, |text| check(text, true)
);
name!(
    /// A queue or stream.
    QueueName, |text| check(text, false)
);
name!(
    /// A routing or binding key; may be empty.
    RoutingKey, |text| check(text, true)
);
name!(
    /// A policy.
    PolicyName, |text| check(text, false)
);
name!(
    /// A user of the broker.
    UserName, |text| check(text, false)
);
name!(
    /// A runtime parameter, or the component that one belongs to.
    ParameterName, |text| check(text, false)
);
name!(
    /// A consumer of the file: also a log field and part of file names, so letters, digits, `.`,
    /// `_` and `-` only.
    ConsumerName, check_label
);
name!(
    /// The ownership scope on the broker; the same letters as a consumer's name.
    StackName, check_label
);

impl ExchangeName {
    /// The default exchange, to which every queue is bound by its name.
    pub fn default_exchange() -> Self {
        Self(Arc::from(""))
    }

    /// Whether the broker keeps this exchange for itself: the default exchange and `amq.*`. They
    /// exist in every vhost and can be neither created nor deleted.
    pub fn is_reserved(&self) -> bool {
        self.0.is_empty() || self.0.starts_with("amq.")
    }
}

impl QueueName {
    /// Whether the broker keeps names of this shape (`amq.*`) for itself.
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with("amq.")
    }
}
