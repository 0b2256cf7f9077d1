//! The texts that were read, and where in them something stands.

use std::fmt;

use crate::model::Origin;

/// One file.
#[derive(Clone, Debug)]
pub struct Source {
    /// The path as the person gave it, or as an include led to it.
    pub name: String,
    /// Its text, without a byte order mark. Empty where it could not be read.
    pub text: String,
    /// Offset of the first byte of each line.
    lines: Vec<usize>,
}

/// A place as people write it. Shown as `file:line:column`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The name of the file.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// Files and their texts, in the order in which they were added.
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    sources: Vec<Source>,
}

impl SourceMap {
    /// Adds a file and gives the number by which an [`Origin`] knows it.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> u32 {
        let text = text.into();
        let starts = memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1);
        let lines = std::iter::once(0).chain(starts).collect();
        self.sources.push(Source { name: name.into(), text, lines });
        u32::try_from(self.sources.len() - 1).unwrap_or(u32::MAX)
    }

    /// The file of that number.
    pub fn get(&self, source: u32) -> Option<&Source> {
        self.sources.get(usize::try_from(source).ok()?)
    }

    /// All files.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Source> {
        self.sources.iter()
    }

    /// File, line and column of the first byte; `None` if the file is not one of these.
    pub fn locate(&self, origin: Origin) -> Option<Place> {
        let source = self.get(origin.source)?;
        let at = source.clamp(origin.start);
        let line = source.line_of(at);
        let start = source.lines.get(line).copied().unwrap_or_default();
        let column = source.text.get(start..at).map_or(0, |before| before.chars().count()) + 1;
        Some(Place { file: source.name.clone(), line: line + 1, column })
    }
}

impl SourceMap {
    /// `file:line:column` of the first byte, or words for a place that no file has.
    pub fn place(&self, origin: Origin) -> String {
        self.locate(origin).map_or_else(|| "the files".into(), |place| place.to_string())
    }
}

impl Source {
    /// The nearest character boundary at or before the offset.
    pub(super) fn clamp(&self, offset: u32) -> usize {
        let mut at = usize::try_from(offset).unwrap_or(usize::MAX).min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }

    /// The line, from 0, that a byte is in.
    pub(super) fn line_of(&self, at: usize) -> usize {
        self.lines.partition_point(|start| *start <= at).saturating_sub(1)
    }

    /// The bytes of some whole lines, from 0 and both included, without the last line break.
    pub(super) fn line_range(&self, first: usize, last: usize) -> std::ops::Range<usize> {
        let start = self.lines.get(first).copied().unwrap_or(self.text.len());
        let end = self.lines.get(last + 1).map_or(self.text.len(), |next| next - 1);
        start..end.max(start)
    }
}
