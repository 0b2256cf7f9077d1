//! Typed values from a tree. Each reader that finds something else says so and gives nothing, and
//! reading goes on: that is how all problems of a file come out at once.

use std::num::NonZeroU16;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::node::{Entry, Node, Value};
use crate::model::{
    BadDuration, BadName, Origin, Problem, Spots, codes, duration_label, parse_duration, suggest,
};

/// What reading collects besides values.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) problems: Vec<Problem>,
    pub(super) spots: Spots,
    /// Set where a part could not be read at all, so that what refers to it cannot be judged.
    pub(super) incomplete: bool,
}

/// The keys of a map that nobody has read yet.
pub(super) struct Fields {
    /// Where the thing that the map describes was declared.
    pub(super) owner: Origin,
    entries: Vec<Entry>,
    asked: Vec<&'static str>,
}

impl Fields {
    /// The entry of that key, if it is there.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Entry> {
        self.asked.push(key);
        let at = self.entries.iter().position(|entry| entry.key == key)?;
        Some(self.entries.swap_remove(at))
    }

    /// The value of that key, if it is there and can be read. Its place is noted.
    pub(super) fn read<T>(
        &mut self,
        key: &'static str,
        reading: &mut Reading,
        reader: impl FnOnce(&mut Reading, &str, &Node) -> Option<T>,
    ) -> Option<T> {
        let entry = self.take(key)?;
        reading.spots.note(self.owner, key, entry.value.origin);
        reader(reading, key, &entry.value)
    }

    /// Reports the keys that nobody asked for; those in `later` are known but do nothing yet.
    /// Whether there were none.
    pub(super) fn finish(self, reading: &mut Reading, later: &[&'static str]) -> bool {
        let complete = self.entries.is_empty();
        for entry in self.entries {
            let key = entry.key.as_str();
            let problem = if later.contains(&key) {
                let message = format!("`{key}` is not supported yet");
                Problem::error(codes::LATER, entry.key_origin, message)
                    .hint("remove it: this version would do nothing with it")
            } else {
                let message = format!("there is no key `{key}` here");
                let known = self.asked.iter().chain(later).copied();
                let hint = match suggest(key, known) {
                    Some(other) => format!("did you mean `{other}`?"),
                    None => format!("known here: {}", list(&self.asked)),
                };
                Problem::error(codes::UNKNOWN_KEY, entry.key_origin, message).hint(hint)
            };
            reading.problems.push(problem);
        }
        complete
    }
}

fn list(words: &[&str]) -> String {
    let words: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    words.join(", ")
}

impl Reading {
    pub(super) fn push(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// The keys of a map. Nothing at all is an empty map.
    pub(super) fn fields(&mut self, key: &str, owner: Origin, node: Node) -> Option<Fields> {
        let entries = match node.value {
            Value::Map(entries) => entries,
            Value::Null => Vec::new(),
            Value::Refused => return None,
            _ => {
                let problem = misshapen(key, "a map", &node);
                self.push(problem);
                return None;
            }
        };
        Some(Fields { owner, entries, asked: Vec::new() })
    }

    /// The entries of a section: names and what they name.
    pub(super) fn section(&mut self, entry: Entry) -> Vec<Entry> {
        match entry.value.value {
            Value::Map(entries) => entries,
            Value::Null => Vec::new(),
            Value::Refused => {
                self.incomplete = true;
                Vec::new()
            }
            _ => {
                self.incomplete = true;
                let problem = misshapen(&entry.key, "a map of names", &entry.value)
                    .hint("one key for each, such as `orders: { … }`");
                self.push(problem);
                Vec::new()
            }
        }
    }

    /// The items of a list.
    pub(super) fn items<'n>(&mut self, key: &str, node: &'n Node) -> Option<&'n [Node]> {
        match &node.value {
            Value::Seq(items) => Some(items),
            Value::Refused => None,
            _ => {
                let problem = misshapen(key, "a list", node).hint("put it into brackets: `[ … ]`");
                self.push(problem);
                None
            }
        }
    }

    fn scalar<'n>(&mut self, key: &str, wanted: &str, node: &'n Node) -> Option<&'n str> {
        match &node.value {
            Value::Scalar(scalar) => Some(&scalar.text),
            Value::Refused => None,
            _ => {
                let problem = misshapen(key, wanted, node);
                self.push(problem);
                None
            }
        }
    }

    /// Text, exactly as written: where text is wanted, `no` and `0777` are text.
    pub(super) fn text(&mut self, key: &str, node: &Node) -> Option<String> {
        self.scalar(key, "text", node).map(str::to_owned)
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, key: &str, node: &Node) -> Option<Vec<String>> {
        let items = self.items(key, node)?;
        let texts: Vec<_> = items.iter().filter_map(|item| self.text(key, item)).collect();
        (texts.len() == items.len()).then_some(texts)
    }

    /// `true` or `false`, and nothing that some tools take for one of them.
    pub(super) fn boolean(&mut self, key: &str, node: &Node) -> Option<bool> {
        match self.scalar(key, "`true` or `false`", node)? {
            "true" => Some(true),
            "false" => Some(false),
            other => {
                let hint = match other.to_ascii_lowercase().as_str() {
                    "yes" | "on" | "y" | "true" | "1" => Some("write `true`"),
                    "no" | "off" | "n" | "false" | "0" => Some("write `false`"),
                    _ => None,
                };
                let mut problem = misshapen(key, "`true` or `false`", node);
                problem.hint = hint.map(str::to_owned);
                self.push(problem);
                None
            }
        }
    }

    /// A whole number in decimal digits.
    pub(super) fn whole(
        &mut self,
        key: &str,
        node: &Node,
        range: RangeInclusive<i64>,
    ) -> Option<i64> {
        let wanted = match (*range.start(), *range.end()) {
            (low, i64::MAX) => format!("a whole number from {low}"),
            (low, high) => format!("a whole number from {low} to {high}"),
        };
        let text = self.scalar(key, &wanted, node)?;
        let digits = text.strip_prefix('-').unwrap_or(text);
        let leading_zero = digits.len() > 1 && digits.starts_with('0');
        match text.parse::<i64>() {
            Ok(number) if range.contains(&number) && !leading_zero && !text.starts_with('+') => {
                Some(number)
            }
            parsed => {
                let mut problem = misshapen(key, &wanted, node);
                if leading_zero {
                    problem.code = codes::AMBIGUOUS;
                    problem.hint =
                        Some("some tools read a leading zero as octal: remove it".into());
                } else if parsed.is_ok() {
                    problem.code = codes::VALUE;
                }
                self.push(problem);
                None
            }
        }
    }

    /// How many of something, at least one.
    pub(super) fn count(&mut self, key: &str, node: &Node, most: u16) -> Option<NonZeroU16> {
        let number = self.whole(key, node, 1..=i64::from(most))?;
        NonZeroU16::new(u16::try_from(number).ok()?)
    }

    /// A duration, at least `least`.
    pub(super) fn duration_from(
        &mut self,
        key: &str,
        node: &Node,
        least: Duration,
    ) -> Option<Duration> {
        let text = self.scalar(key, "a duration", node)?;
        let problem = match parse_duration(text) {
            Ok(duration) if duration >= least => return Some(duration),
            Ok(_) => {
                let wanted = format!("a duration of at least {}", duration_label(least));
                Problem { code: codes::VALUE, ..misshapen(key, &wanted, node) }
            }
            Err(BadDuration::NoUnit) => {
                let hint = format!("add a unit: `{text}ms`, `{text}s`, `{text}m`, …");
                let problem = misshapen(key, "a duration", node).label("it has no unit");
                Problem { code: codes::VALUE, ..problem.hint(hint) }
            }
            Err(fault) => {
                let problem = misshapen(key, "a duration", node).label(fault.to_string());
                Problem {
                    code: codes::VALUE,
                    ..problem.hint("for example `500ms`, `30s` or `1h30m`")
                }
            }
        };
        self.push(problem);
        None
    }

    /// A duration of at least a millisecond.
    pub(super) fn duration(&mut self, key: &str, node: &Node) -> Option<Duration> {
        self.duration_from(key, node, Duration::from_millis(1))
    }

    /// A number of bytes: `64KiB`, `16MiB`, or a bare number.
    pub(super) fn size(
        &mut self,
        key: &str,
        node: &Node,
        range: RangeInclusive<u64>,
    ) -> Option<u64> {
        let text = self.scalar(key, "a size", node)?;
        let problem = match text.parse::<bytesize::ByteSize>() {
            Ok(size) if range.contains(&size.as_u64()) => return Some(size.as_u64()),
            Ok(_) => {
                let show = |bytes: u64| bytesize::ByteSize(bytes).display().iec().to_string();
                let wanted = match (*range.start(), *range.end()) {
                    (low, u64::MAX) => format!("at least {}", show(low)),
                    (low, high) => format!("{} to {}", show(low), show(high)),
                };
                Problem { code: codes::VALUE, ..misshapen(key, &wanted, node) }
            }
            Err(_) => Problem { code: codes::VALUE, ..misshapen(key, "a size", node) }
                .hint("for example `64KiB` or `16MiB`"),
        };
        self.push(problem);
        None
    }

    /// One of some words.
    pub(super) fn choice<T: Copy>(
        &mut self,
        key: &str,
        node: &Node,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        let names: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        let wanted = match names.as_slice() {
            [first, last] => format!("`{first}` or `{last}`"),
            _ => format!("one of {}", list(&names)),
        };
        let text = self.scalar(key, &wanted, node)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let mut problem = Problem { code: codes::VALUE, ..misshapen(key, &wanted, node) };
        problem.hint = suggest(text, names).map(|other| format!("did you mean `{other}`?"));
        self.push(problem);
        None
    }

    /// A name of some kind.
    pub(super) fn name<'n, T>(
        &mut self,
        key: &str,
        node: &'n Node,
        new: impl FnOnce(&'n str) -> Result<T, BadName>,
    ) -> Option<T> {
        let text = self.scalar(key, "a name", node)?;
        match new(text) {
            Ok(name) => Some(name),
            Err(fault) => {
                self.bad_name(text, &fault, node.origin);
                None
            }
        }
    }

    /// The name that a key is.
    pub(super) fn key_name<'n, T>(
        &mut self,
        entry: &'n Entry,
        new: impl FnOnce(&'n str) -> Result<T, BadName>,
    ) -> Option<T> {
        new(&entry.key).map_err(|fault| self.bad_name(&entry.key, &fault, entry.key_origin)).ok()
    }

    fn bad_name(&mut self, text: &str, fault: &BadName, origin: Origin) {
        let start: String = text.chars().take(40).collect();
        let dots = if start.len() < text.len() { "…" } else { "" };
        let message = format!("`{}{dots}` cannot be a name: {fault}", start.escape_debug());
        self.push(Problem::error(codes::NAME, origin, message));
        // Whatever refers to it would be called undeclared.
        self.incomplete = true;
    }
}

/// Says that `key` takes something else than it was given.
pub(super) fn misshapen(key: &str, wanted: &str, node: &Node) -> Problem {
    let given = match &node.value {
        Value::Scalar(scalar) => format!("`{}`", scalar.shown()),
        _ => node.kind().to_owned(),
    };
    Problem::error(codes::SHAPE, node.origin, format!("`{key}` takes {wanted}, not {given}"))
}
