//! One entry of a definitions document, read with patience.
//!
//! Tables are objects; exports of the command line tools of some versions write them as lists of
//! pairs, and an empty one as `[]`.

use serde_json::{Map, Value};

/// A table whose values nobody has judged yet.
pub(super) type Table = Map<String, Value>;

/// Why an entry cannot be read: a lowercase fragment.
pub(super) type Fault = String;

/// The keys of an entry.
pub(super) struct Fields<'a> {
    entry: &'a Map<String, Value>,
    asked: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(entry: &'a Map<String, Value>) -> Self {
        Self { entry, asked: Vec::new() }
    }

    fn get(&mut self, key: &'static str) -> Option<&'a Value> {
        self.asked.push(key);
        self.entry.get(key).filter(|value| !value.is_null())
    }

    /// Text; `None` where it is absent or `null`.
    pub(super) fn text(&mut self, key: &'static str) -> Result<Option<&'a str>, Fault> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(format!("`{key}` is {}, not text", kind(other))),
        }
    }

    /// Text that must be there.
    pub(super) fn needed(&mut self, key: &'static str) -> Result<&'a str, Fault> {
        self.text(key)?.ok_or_else(|| format!("it has no `{key}`"))
    }

    /// `true` or `false`, also as text.
    pub(super) fn flag(&mut self, key: &'static str, default: bool) -> Result<bool, Fault> {
        match self.get(key) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(Value::String(text)) if text == "true" => Ok(true),
            Some(Value::String(text)) if text == "false" => Ok(false),
            Some(other) => Err(format!("`{key}` is {}, not `true` or `false`", kind(other))),
        }
    }

    /// A whole number, also one with a fraction of zero.
    pub(super) fn whole(&mut self, key: &'static str, default: i64) -> Result<i64, Fault> {
        let Some(value) = self.get(key) else { return Ok(default) };
        let exact = value.as_i64().or_else(|| {
            let float = value.as_f64().filter(|float| float.fract() == 0.0)?;
            format!("{float:.0}").parse().ok()
        });
        exact.ok_or_else(|| format!("`{key}` is {}, not a whole number", kind(value)))
    }

    /// A table in any of its forms.
    pub(super) fn table(&mut self, key: &'static str) -> Result<Table, Fault> {
        let Some(value) = self.get(key) else { return Ok(Table::new()) };
        table(value).ok_or_else(|| format!("`{key}` is {}, not a table", kind(value)))
    }

    /// Keys that say nothing about what should exist.
    pub(super) fn passed(&mut self, keys: &[&'static str]) {
        self.asked.extend_from_slice(keys);
    }

    /// The keys that nobody asked for.
    pub(super) fn strange(&self) -> impl Iterator<Item = &'a str> {
        let keys = self.entry.keys().map(String::as_str);
        keys.filter(|key| !self.asked.contains(key))
    }
}

/// A table in any of its forms; `None` where it is none.
pub(super) fn table(value: &Value) -> Option<Table> {
    match value {
        Value::Object(table) => Some(table.clone()),
        Value::Array(pairs) => pairs
            .iter()
            .map(|pair| match pair.as_array()?.as_slice() {
                [Value::String(key), value] => Some((key.clone(), value.clone())),
                _ => None,
            })
            .collect(),
        _ => None,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "`null`",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
