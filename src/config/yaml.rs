//! YAML text → [`Node`].
//!
//! Works on the parser's events rather than through serde: serde stops at the first mistake of a
//! file, and gives a generic tree no places. Here each value keeps its place, and duplicate keys,
//! tags and keys that are no text are reported one by one while the rest is read on.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_yaml::granit_parser::{
    self, ErrorKind, Event, Parser, ScalarStyle, ScanError, Span, StructureStyle, Tag,
};

use super::node::{Entry, Node, Scalar, Value};
use crate::model::{Origin, Problem, codes};

/// Deeper nesting than a stack could need by far.
const MAX_DEPTH: usize = 64;

/// Values that anchors and aliases may add to what is written: an alias is a copy, and copies of
/// copies grow without bound.
const MAX_ALIASED: usize = 100_000;

/// Reads one file. `None` where there is no tree to go on with; the reason is in `problems`.
pub(super) fn parse(source: u32, text: &str, problems: &mut Vec<Problem>) -> Option<Node> {
    let options = granit_parser::options! {
        emit_comments: false,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let mut builder = Builder {
        source,
        text,
        problems,
        stack: Vec::new(),
        anchors: HashMap::new(),
        aliased: 0,
        root: None,
        documents: 0,
    };
    for event in Parser::new_from_str_with_options(text, options) {
        let step = match event {
            Ok((event, span)) => builder.event(event, &span),
            Err(error) => Err(builder.syntax(&error).into()),
        };
        if let Err(problem) = step {
            builder.problems.push(*problem);
            return None;
        }
    }
    let root = builder.root.take();
    match root {
        None | Some(Node { value: Value::Null, .. }) => {
            let origin = Origin { source, start: 0, end: 0 };
            problems.push(
                Problem::error(codes::EMPTY, origin, "there is nothing in this file")
                    .hint("a stack begins with `stack: NAME`"),
            );
            None
        }
        root => root,
    }
}

/// A collection whose end has not come yet.
enum Frame {
    Seq { origin: Origin, anchor: usize, items: Vec<Node> },
    Map { origin: Origin, flow: bool, anchor: usize, entries: Vec<Entry>, key: Option<Key> },
}

/// A key whose value has not come yet; without text where it was refused.
struct Key {
    text: Option<String>,
    plain: bool,
    origin: Origin,
}

struct Builder<'a> {
    source: u32,
    text: &'a str,
    problems: &'a mut Vec<Problem>,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Node>,
    aliased: usize,
    root: Option<Node>,
    documents: usize,
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: &Span) -> Result<(), Box<Problem>> {
        let origin = self.origin(span);
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    let message = "a second document in one file";
                    let problem = Problem::error(codes::DOCUMENTS, origin, message)
                        .hint("put it into a file of its own");
                    return Err(problem.into());
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let value = self.scalar(text, style, tag.as_deref(), origin);
                self.place(Node { origin, value }, anchor)?;
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.no_tag(tag.as_deref(), origin);
                self.stack.push(Frame::Seq { origin, anchor, items: Vec::new() });
            }
            Event::MappingStart(style, anchor, tag) => {
                self.no_tag(tag.as_deref(), origin);
                let flow = style == StructureStyle::Flow;
                self.stack.push(Frame::Map {
                    origin,
                    flow,
                    anchor,
                    entries: Vec::new(),
                    key: None,
                });
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(origin)?,
            Event::Alias(id) => {
                let node = self.anchors.get(&id).cloned();
                // An anchor is known only once its value is complete, so a value that holds an
                // alias to itself finds nothing.
                let Some(node) = node else {
                    let message = "this alias stands inside the value that it names";
                    return Err(Problem::error(codes::SYNTAX, origin, message).into());
                };
                self.spend(node.size(), origin)?;
                self.place(node, 0)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn scalar(
        &mut self,
        text: Cow<'_, str>,
        style: ScalarStyle,
        tag: Option<&Tag>,
        origin: Origin,
    ) -> Value {
        let forced_text = tag.is_some_and(|tag| tag.is_yaml_core_schema_tag("str"));
        if !forced_text && !self.no_tag(tag, origin) {
            return Value::Refused;
        }
        let plain = style == ScalarStyle::Plain && !forced_text;
        if plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL") {
            return Value::Null;
        }
        Value::Scalar(Scalar { text: text.into_owned(), plain, written: None })
    }

    /// Whether there is no tag; one that there is gets reported.
    fn no_tag(&mut self, tag: Option<&Tag>, origin: Origin) -> bool {
        let Some(tag) = tag else { return true };
        let message = format!("the tag `{}` means nothing here", tag.original());
        let mut problem = Problem::error(codes::TAG, origin, message);
        if tag.suffix().contains("include") {
            problem = problem.hint("name other files under `include:`");
        } else if tag.suffix().contains("env") {
            problem = problem.hint("write `${NAME}` for an environment variable");
        } else {
            problem = problem.hint("remove the tag");
        }
        self.problems.push(problem);
        false
    }

    fn close(&mut self, end: Origin) -> Result<(), Box<Problem>> {
        match self.stack.pop() {
            Some(Frame::Seq { origin, anchor, items }) => {
                let origin = Origin { end: end.end.max(origin.end), ..origin };
                self.place(Node { origin, value: Value::Seq(items) }, anchor)
            }
            Some(Frame::Map { origin, flow, anchor, entries, .. }) => {
                let entries = self.merge(entries);
                // A block mapping has no brackets to underline; its first key stands for it.
                let origin = match entries.first() {
                    Some(first) if !flow => first.key_origin,
                    _ => Origin { end: end.end.max(origin.end), ..origin },
                };
                self.place(Node { origin, value: Value::Map(entries) }, anchor)
            }
            None => Ok(()),
        }
    }

    /// Puts a complete value where it belongs.
    fn place(&mut self, node: Node, anchor: usize) -> Result<(), Box<Problem>> {
        if anchor != 0 {
            self.spend(node.size(), node.origin)?;
            self.anchors.insert(anchor, node.clone());
        }
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(Frame::Seq { items, .. }) => items.push(node),
            Some(Frame::Map { entries, key, .. }) => match key.take() {
                None => {
                    let origin = node.origin;
                    let (text, plain) = match node.value {
                        Value::Scalar(scalar) => (Some(scalar.text), scalar.plain),
                        Value::Refused => (None, false),
                        _ => {
                            let message = format!("a key is text, not {}", node.kind());
                            self.problems.push(Problem::error(codes::SHAPE, origin, message));
                            (None, false)
                        }
                    };
                    *key = Some(Key { text, plain, origin });
                }
                Some(Key { text: Some(text), plain, origin }) => {
                    // Quoted, `<<` is an ordinary key; the mark keeps it from being merged.
                    let text = if text == "<<" && !plain { "\"<<\"".into() } else { text };
                    entries.push(Entry { key: text, key_origin: origin, value: node });
                }
                Some(_) => {}
            },
        }
        Ok(())
    }

    /// Resolves `<<` and reports keys that stand twice; the first one stays.
    fn merge(&mut self, written: Vec<Entry>) -> Vec<Entry> {
        let mut seen: HashMap<String, Origin> = HashMap::with_capacity(written.len());
        let mut entries = Vec::with_capacity(written.len());
        let mut bases = Vec::new();
        for entry in written {
            if entry.key == "<<" {
                bases.push(entry.value);
                continue;
            }
            if let Some(first) = seen.get(&entry.key) {
                let message = format!("the key `{}` is given twice", entry.key);
                self.problems.push(
                    Problem::error(codes::DUPLICATE_KEY, entry.key_origin, message)
                        .label("again here")
                        .related(*first, "first given here")
                        .hint("remove one of the two"),
                );
                continue;
            }
            seen.insert(entry.key.clone(), entry.key_origin);
            entries.push(entry);
        }
        let mut bases: Vec<_> = bases
            .into_iter()
            .flat_map(|base| match base.value {
                Value::Seq(items) => items,
                _ => vec![base],
            })
            .rev()
            .collect();
        while let Some(base) = bases.pop() {
            let Value::Map(inherited) = base.value else {
                if !matches!(base.value, Value::Refused) {
                    let message = format!("`<<` takes a map, not {}", base.kind());
                    self.problems.push(Problem::error(codes::SHAPE, base.origin, message));
                }
                continue;
            };
            for entry in inherited {
                if !seen.contains_key(&entry.key) {
                    seen.insert(entry.key.clone(), entry.key_origin);
                    entries.push(entry);
                }
            }
        }
        entries
    }

    fn spend(&mut self, values: usize, origin: Origin) -> Result<(), Box<Problem>> {
        self.aliased += values;
        if self.aliased > MAX_ALIASED {
            let message = format!("the aliases of this file add up to over {MAX_ALIASED} values");
            let problem = Problem::error(codes::TOO_MUCH, origin, message)
                .hint("write out what differs, or use fewer aliases");
            return Err(problem.into());
        }
        Ok(())
    }

    fn syntax(&self, error: &ScanError) -> Problem {
        let start = error.marker().byte_offset().unwrap_or_default().min(self.text.len());
        let width = self.text.get(start..).and_then(|rest| rest.chars().next());
        let width = width.filter(|c| *c != '\n').map_or(0, char::len_utf8);
        let origin = self.range(start, start + width);
        if *error.kind() == ErrorKind::RecursionLimitExceeded {
            let message = format!("nested more than {MAX_DEPTH} levels deep");
            return Problem::error(codes::TOO_MUCH, origin, message);
        }
        let problem =
            Problem::error(codes::SYNTAX, origin, format!("not valid YAML: {}", error.info()));
        match error.kind() {
            ErrorKind::TabNotAllowed
            | ErrorKind::TabInBlockIndentation
            | ErrorKind::TabInIndentation
            | ErrorKind::TabAtBlockScalarStart => problem.hint("indent with spaces, not with tabs"),
            ErrorKind::UnknownAnchor => problem.hint("an anchor `&name` comes before its alias `*name`; to begin a text with `*`, quote it"),
            _ if self.line_of(start).trim_start_matches(' ').starts_with('\t') => {
                problem.hint("indent with spaces, not with tabs")
            }
            _ if self.line_of(start).contains("${") => {
                problem.hint("inside `{ }` and `[ ]`, quote what holds `${…}`: `\"${NAME}\"`")
            }
            ErrorKind::UnexpectedCharacter { character: '@' | '`' | '%' } => {
                problem.hint("quote a text that begins with this character")
            }
            _ => problem,
        }
    }

    fn line_of(&self, at: usize) -> &str {
        let before = self.text.get(..at).unwrap_or_default();
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        self.text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default()
    }

    fn origin(&self, span: &Span) -> Origin {
        let range = span.byte_range().unwrap_or_default();
        self.range(range.start, range.end)
    }

    fn range(&self, start: usize, end: usize) -> Origin {
        let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Origin { source: self.source, start: offset(start), end: offset(end) }
    }
}
