//! Arguments of queues, exchanges, bindings and consumers, and policy definitions.

use std::collections::BTreeMap;
use std::fmt;

/// Arguments by key, in the order of their keys: AMQP field tables have no order of their own, and
/// RabbitMQ sorts them to tell bindings apart.
pub type Arguments = BTreeMap<String, ArgValue>;

/// A value that an argument or a policy key can have.
///
/// Integers have one width here. RabbitMQ holds integers of every width equal when it compares the
/// arguments of a declaration, and never an integer equal to a float.
#[derive(Clone, Debug, PartialEq)]
pub enum ArgValue {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// Text.
    Str(String),
    /// Values in order.
    List(Vec<ArgValue>),
    /// Values by key.
    Map(BTreeMap<String, ArgValue>),
}

// Floats in arguments come from JSON or YAML texts that cannot spell NaN, so equality is total.
impl Eq for ArgValue {}

impl ArgValue {
    /// The text, where it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The whole number, where it is one.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The same value as JSON, as the management API takes it.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value;
        match self {
            Self::Bool(value) => Value::from(*value),
            Self::Int(value) => Value::from(*value),
            Self::Float(value) => Value::from(*value),
            Self::Str(value) => Value::from(value.as_str()),
            Self::List(values) => values.iter().map(Self::to_json).collect(),
            Self::Map(values) => {
                Value::Object(values.iter().map(|(k, v)| (k.clone(), v.to_json())).collect())
            }
        }
    }

    /// Reads a JSON value; `None` for `null`, and for a whole number that no AMQP integer can hold.
    pub fn from_json(value: &serde_json::Value) -> Option<Self> {
        use serde_json::Value;
        Some(match value {
            Value::Null => return None,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => match (number.as_i64(), number.is_f64()) {
                (Some(int), _) => Self::Int(int),
                (None, true) => Self::Float(number.as_f64()?),
                (None, false) => return None,
            },
            Value::String(text) => Self::Str(text.clone()),
            Value::Array(values) => {
                Self::List(values.iter().map(Self::from_json).collect::<Option<_>>()?)
            }
            Value::Object(values) => Self::Map(
                values
                    .iter()
                    .map(|(k, v)| Some((k.clone(), Self::from_json(v)?)))
                    .collect::<Option<_>>()?,
            ),
        })
    }
}

/// Compact JSON, which is also how a person would write it in the file.
impl fmt::Display for ArgValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.to_json())
    }
}
