//! A YAML file as a tree in which every value knows where it stands.

use crate::model::Origin;

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) origin: Origin,
    pub(super) value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    /// `~`, `null` or nothing at all.
    Null,
    Scalar(Scalar),
    Seq(Vec<Node>),
    Map(Vec<Entry>),
    /// Already reported; readers pass over it in silence.
    Refused,
}

/// Text, whose type is decided by whoever reads it.
#[derive(Clone, Debug)]
pub(super) struct Scalar {
    pub(super) text: String,
    /// Written without quotes, so that it may be a number or a truth value.
    pub(super) plain: bool,
    /// Where something was interpolated, the text as it was written: that is what may be shown.
    pub(super) written: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_origin: Origin,
    pub(super) value: Node,
}

impl Scalar {
    /// The text to show to people. An interpolated value may be a secret and is not repeated.
    pub(super) fn shown(&self) -> &str {
        self.written.as_deref().unwrap_or(&self.text)
    }
}

impl Node {
    /// What kind of value it is, after "not".
    pub(super) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Scalar(_) => "text",
            Value::Seq(_) => "a list",
            Value::Map(_) => "a map",
            Value::Refused => "something refused",
        }
    }

    /// How many values the tree has, itself included.
    pub(super) fn size(&self) -> usize {
        match &self.value {
            Value::Seq(items) => items.iter().map(Self::size).sum::<usize>() + 1,
            Value::Map(entries) => {
                entries.iter().map(|entry| entry.value.size()).sum::<usize>() + 1
            }
            _ => 1,
        }
    }
}
