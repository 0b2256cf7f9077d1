//! Values on lines: what is short in braces, what is long in blocks.

/// Longest line of braces.
const WIDTH: usize = 90;
/// Single values that a reader takes in at a glance.
const GLANCE: usize = 4;

/// A value to lay out. Single values are written already.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tree {
    One(String),
    List(Vec<Tree>),
    Map(Vec<Entry>),
}

/// A key, written already, and its value, with words to stand above it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) value: Tree,
    pub(super) comment: Option<String>,
}

impl Entry {
    pub(super) fn new(key: impl Into<String>, value: Tree) -> Self {
        Self { key: key.into(), value, comment: None }
    }
}

impl Tree {
    /// Keys and single values in the order given.
    pub(super) fn map(entries: Vec<(&str, String)>) -> Self {
        let entries = entries.into_iter();
        Self::Map(entries.map(|(key, one)| Entry::new(key, Self::One(one))).collect())
    }

    fn leaves(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::List(items) => items.iter().map(Self::leaves).sum(),
            Self::Map(entries) => entries.iter().map(|entry| entry.value.leaves()).sum(),
        }
    }

    fn has_comment(&self) -> bool {
        match self {
            Self::One(_) => false,
            Self::List(items) => items.iter().any(Self::has_comment),
            Self::Map(entries) => {
                entries.iter().any(|entry| entry.comment.is_some() || entry.value.has_comment())
            }
        }
    }

    /// The value in one line.
    fn braces(&self) -> String {
        match self {
            Self::One(text) => text.clone(),
            Self::List(items) => {
                let items: Vec<_> = items.iter().map(Self::braces).collect();
                format!("[{}]", items.join(", "))
            }
            Self::Map(entries) if entries.is_empty() => "{}".into(),
            Self::Map(entries) => {
                let entries: Vec<_> = entries
                    .iter()
                    .map(|entry| format!("{}: {}", entry.key, entry.value.braces()))
                    .collect();
                format!("{{ {} }}", entries.join(", "))
            }
        }
    }

    /// The value in one line, where that is short enough.
    fn short(&self, column: usize) -> Option<String> {
        let is_list_of_ones = match self {
            Self::List(items) => items.iter().all(|item| matches!(item, Self::One(_))),
            _ => false,
        };
        if self.has_comment() || (self.leaves() > GLANCE && !is_list_of_ones) {
            return None;
        }
        let text = self.braces();
        let empty = self.leaves() == 0 || matches!(self, Self::One(_));
        (empty || column + text.chars().count() <= WIDTH).then_some(text)
    }
}

/// Writes a key and its value as a block, however short that is.
pub(super) fn open_block(out: &mut String, key: &str, value: &Tree) {
    out.push_str(key);
    out.push_str(":\n");
    inside(out, value, 2);
}

/// Writes the entries of a map as a block.
pub(super) fn block(out: &mut String, entries: &[Entry], indent: usize) {
    for entry in entries {
        line(out, entry, indent, indent);
    }
}

/// Writes one entry; its first line begins at `column` of a line that is begun already, if that is
/// not the indent.
fn line(out: &mut String, entry: &Entry, indent: usize, begun: usize) {
    let pad = " ".repeat(indent);
    for words in entry.comment.iter().flat_map(|comment| comment.lines()) {
        out.push_str(&pad);
        out.push_str("# ");
        out.push_str(words);
        out.push('\n');
    }
    out.push_str(&pad[..begun.min(indent)]);
    out.push_str(&entry.key);
    out.push(':');
    if let Some(text) = entry.value.short(indent + entry.key.chars().count() + 2) {
        out.push(' ');
        out.push_str(&text);
        out.push('\n');
        return;
    }
    out.push('\n');
    inside(out, &entry.value, indent + 2);
}

/// Writes what a map or a list holds.
fn inside(out: &mut String, value: &Tree, indent: usize) {
    match value {
        Tree::One(_) => {}
        Tree::Map(entries) => block(out, entries, indent),
        Tree::List(items) => items.iter().for_each(|item| dash(out, item, indent)),
    }
}

/// Writes one item of a list.
fn dash(out: &mut String, item: &Tree, indent: usize) {
    out.push_str(&" ".repeat(indent));
    out.push_str("- ");
    if let Some(text) = item.short(indent + 2) {
        out.push_str(&text);
        out.push('\n');
        return;
    }
    match item {
        Tree::Map(entries) => {
            for (index, entry) in entries.iter().enumerate() {
                line(out, entry, indent + 2, if index == 0 { 0 } else { indent + 2 });
            }
        }
        // A list in a list stays in one line, however long.
        other => {
            out.push_str(&other.braces());
            out.push('\n');
        }
    }
}
