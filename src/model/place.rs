//! Places in source files, and problems that point at them.

/// A byte range in one source file, kept beside a value so that a later room can say where the
/// value was written.
///
/// Two origins always compare equal and hash alike: where something stands in a file is no part of
/// what it is, so a resource that only moved is unchanged.
#[derive(Clone, Copy, Debug, Default)]
pub struct Origin {
    /// Index of the file in the list of sources that were loaded together.
    pub source: u32,
    /// Offset of the first byte.
    pub start: u32,
    /// Offset one past the last byte.
    pub end: u32,
}

impl PartialEq for Origin {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Origin {}

impl PartialOrd for Origin {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Origin {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

impl std::hash::Hash for Origin {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

/// How much a [`Problem`] matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth mending; nothing is refused for it.
    Warning,
    /// The files cannot be used as they are.
    Error,
}

/// One thing wrong with the files: what, where, why, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Stable code such as `E0103`.
    pub code: &'static str,
    /// Whether it stops the load.
    pub severity: Severity,
    /// What is wrong: a lowercase fragment, the culprit in backticks.
    pub message: String,
    /// The text to underline; `None` where no file is to blame.
    pub origin: Option<Origin>,
    /// Short words under the underlined text; may be empty.
    pub label: String,
    /// Other places that matter, each with its own words ("first declared here").
    pub related: Vec<(Origin, String)>,
    /// The mend, without the word "hint".
    pub hint: Option<String>,
}

impl Problem {
    /// An error with a place.
    pub fn error(code: &'static str, origin: Origin, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            origin: Some(origin),
            label: String::new(),
            related: Vec::new(),
            hint: None,
        }
    }

    /// A warning with a place.
    pub fn warning(code: &'static str, origin: Origin, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, origin, message) }
    }

    /// The same problem with words under the underlined text.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// The same problem with another place that matters.
    #[must_use]
    pub fn related(mut self, origin: Origin, words: impl Into<String>) -> Self {
        self.related.push((origin, words.into()));
        self
    }

    /// The same problem with the mend.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
