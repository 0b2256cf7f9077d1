//! Free-form values: arguments and policy definitions, whose types nobody but the broker decides.
//!
//! Types are those of YAML 1.2, and only where every YAML tool would agree; everything that some
//! would read differently has to be quoted.

use super::node::{Node, Scalar, Value};
use super::read::{Reading, misshapen};
use crate::model::{ArgKind, ArgRule, ArgValue, Arguments, Origin, Problem, codes};

impl Reading {
    /// A map of arguments. The places of its keys are noted for `owner`.
    pub(super) fn arguments(&mut self, key: &str, owner: Origin, node: &Node) -> Arguments {
        let entries = match &node.value {
            Value::Map(entries) => entries.as_slice(),
            Value::Null | Value::Refused => &[],
            _ => {
                let problem = misshapen(key, "a map", node);
                self.push(problem);
                &[]
            }
        };
        let mut arguments = Arguments::new();
        for entry in entries {
            self.spots.note(owner, entry.key.clone(), entry.key_origin);
            if entry.key.is_empty() || entry.key.len() > 255 {
                let message = "the name of an argument has 1 to 255 bytes";
                self.push(Problem::error(codes::NAME, entry.key_origin, message));
                continue;
            }
            // A policy has the keys of arguments without their prefix.
            let prefix = if key == "definition" { "x-" } else { "" };
            let rule = ArgRule::of(&format!("{prefix}{}", entry.key));
            if let Some(value) = self.argument(&entry.key, &entry.value, rule.map(|rule| rule.kind))
            {
                arguments.insert(entry.key.clone(), value);
            }
        }
        arguments
    }

    /// A value of any kind.
    pub(super) fn free_value(&mut self, key: &str, node: &Node) -> Option<ArgValue> {
        self.argument(key, node, None)
    }

    fn argument(&mut self, key: &str, node: &Node, kind: Option<ArgKind>) -> Option<ArgValue> {
        match &node.value {
            Value::Scalar(scalar) => self.typed(key, scalar, node, kind),
            Value::Seq(items) => {
                let values: Vec<_> =
                    items.iter().filter_map(|item| self.argument(key, item, None)).collect();
                (values.len() == items.len()).then_some(ArgValue::List(values))
            }
            Value::Map(entries) => {
                let values: std::collections::BTreeMap<_, _> = entries
                    .iter()
                    .filter_map(|entry| {
                        let value = self.argument(&entry.key, &entry.value, None)?;
                        Some((entry.key.clone(), value))
                    })
                    .collect();
                (values.len() == entries.len()).then_some(ArgValue::Map(values))
            }
            Value::Null => {
                let problem = misshapen(key, "a value", node);
                self.push(problem.hint("write `\"\"` for an empty text, or remove the key"));
                None
            }
            Value::Refused => None,
        }
    }

    fn typed(
        &mut self,
        key: &str,
        scalar: &Scalar,
        node: &Node,
        kind: Option<ArgKind>,
    ) -> Option<ArgValue> {
        let text = scalar.text.as_str();
        // Where the broker wants a number or a truth value, the text of a variable is read as one.
        match kind {
            Some(ArgKind::Text | ArgKind::Word(_)) => return Some(ArgValue::Str(text.into())),
            Some(ArgKind::Int(..)) if scalar.written.is_some() => {
                return self.whole(key, node, i64::MIN..=i64::MAX).map(ArgValue::Int);
            }
            Some(ArgKind::Bool) if scalar.written.is_some() => {
                return self.boolean(key, node).map(ArgValue::Bool);
            }
            _ => {}
        }
        if !scalar.plain || scalar.written.is_some() {
            return Some(ArgValue::Str(text.into()));
        }
        match plain(text) {
            Plain::Value(value) => Some(value),
            Plain::Ambiguous(hint) => {
                let message = format!("`{text}` means different things to different YAML tools");
                self.push(Problem::error(codes::AMBIGUOUS, node.origin, message).hint(hint));
                None
            }
            Plain::TooLarge => {
                let message = format!("`{text}` is more than a number can hold here");
                self.push(
                    Problem::error(codes::VALUE, node.origin, message)
                        .hint("whole numbers have at most 63 bits"),
                );
                None
            }
        }
    }
}

enum Plain {
    Value(ArgValue),
    Ambiguous(String),
    TooLarge,
}

/// The type of an unquoted text.
fn plain(text: &str) -> Plain {
    let quoted = || format!("quote it for the text: `\"{text}\"`");
    match text {
        "true" => return Plain::Value(ArgValue::Bool(true)),
        "false" => return Plain::Value(ArgValue::Bool(false)),
        _ => {}
    }
    if matches!(
        text.to_ascii_lowercase().as_str(),
        "yes" | "no" | "on" | "off" | "y" | "n" | "true" | "false"
    ) {
        return Plain::Ambiguous(format!("{}, or write `true` or `false`", quoted()));
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        || !unsigned.contains(|c: char| c.is_ascii_digit())
    {
        return Plain::Value(ArgValue::Str(text.into()));
    }
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if digits(unsigned) {
        if unsigned.len() > 1 && unsigned.starts_with('0') || text.starts_with('+') {
            return Plain::Ambiguous(format!("{}, or write the number in plain digits", quoted()));
        }
        return text.parse().map_or(Plain::TooLarge, |number| Plain::Value(ArgValue::Int(number)));
    }
    let sexagesimal = unsigned.contains(':') && unsigned.split(':').all(digits);
    let separated =
        unsigned.contains('_') && unsigned.replace('_', "").bytes().all(|b| b.is_ascii_digit());
    let based = ["0x", "0o", "0b"].iter().any(|base| {
        unsigned.strip_prefix(base).is_some_and(|rest| {
            !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_hexdigit() || b == b'_')
        })
    });
    if sexagesimal || separated || based {
        return Plain::Ambiguous(format!("{}, or write the number in plain digits", quoted()));
    }
    if unsigned.bytes().all(|b| b.is_ascii_digit() || b".eE+-".contains(&b))
        && let Ok(number) = text.parse::<f64>()
    {
        if !number.is_finite() {
            return Plain::TooLarge;
        }
        return Plain::Value(ArgValue::Float(number));
    }
    Plain::Value(ArgValue::Str(text.into()))
}
