//! Problems as text for people, in the manner of rustc.

use annotate_snippets::{
    Annotation, AnnotationKind, Group, Level, Origin as Header, Renderer, Snippet,
};

use super::secrets;
use super::source::{Source, SourceMap};
use crate::model::{Origin, Problem, Severity};

/// Two places of one file at most this many lines apart are shown in one excerpt.
const NEAR: usize = 40;

/// Longer lines are named but not shown: they were not written by a person, and are of no use on a
/// screen.
const LONGEST_LINE: usize = 1000;

impl SourceMap {
    /// All problems, each with its place, the line and the hint, with a blank line after each.
    /// Passwords in the lines shown are blotted out.
    pub fn render(&self, problems: &[Problem], color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let mut out = String::new();
        for problem in problems {
            out.push_str(&self.render_one(&renderer, problem));
            out.push_str("\n\n");
        }
        out
    }

    fn render_one(&self, renderer: &Renderer, problem: &Problem) -> String {
        let level = match problem.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(&problem.message).id(problem.code);
        let mut group = Group::with_title(title);
        for excerpt in self.excerpts(problem) {
            group = match excerpt.show() {
                Ok(snippet) => group.element(snippet),
                Err(header) => group.element(header),
            };
        }
        if let Some(hint) = &problem.hint {
            group = group.element(Level::HELP.with_name("hint").message(hint));
        }
        renderer.render(&[group])
    }

    /// The parts of files to show: that of the problem first, near places together.
    fn excerpts<'a>(&'a self, problem: &'a Problem) -> Vec<Excerpt<'a>> {
        let mut excerpts: Vec<Excerpt<'a>> = Vec::new();
        let first = problem.origin.map(|origin| (origin, problem.label.as_str(), true));
        let others = problem.related.iter().map(|(origin, words)| (*origin, words.as_str(), false));
        for (origin, label, primary) in first.into_iter().chain(others) {
            let Some(source) = self.get(origin.source) else { continue };
            let mark = Mark::new(source, origin, label, primary);
            let near =
                excerpts.iter_mut().find(|excerpt| excerpt.reaches(origin.source, mark.line));
            if let Some(excerpt) = near {
                excerpt.first = excerpt.first.min(mark.line);
                excerpt.last = excerpt.last.max(mark.line);
                excerpt.marks.push(mark);
            } else {
                excerpts.push(Excerpt {
                    number: origin.source,
                    source,
                    first: mark.line,
                    last: mark.line,
                    marks: vec![mark],
                });
            }
        }
        excerpts
    }
}

/// Some lines of one file with marks in them.
struct Excerpt<'a> {
    number: u32,
    source: &'a Source,
    first: usize,
    last: usize,
    marks: Vec<Mark<'a>>,
}

/// Something underlined.
struct Mark<'a> {
    line: usize,
    start: usize,
    end: usize,
    label: &'a str,
    primary: bool,
}

impl<'a> Mark<'a> {
    fn new(source: &Source, origin: Origin, label: &'a str, primary: bool) -> Self {
        let start = source.clamp(origin.start);
        let line = source.line_of(start);
        // What spans several lines is underlined to the end of its first.
        let end =
            source.clamp(origin.end).clamp(start, source.line_range(line, line).end.max(start));
        Self { line, start, end, label, primary }
    }
}

impl<'a> Excerpt<'a> {
    fn reaches(&self, number: u32, line: usize) -> bool {
        self.number == number && line + NEAR >= self.first && line <= self.last + NEAR
    }

    /// The lines, or only the place where they are too long or where there are none.
    fn show(self) -> Result<Snippet<'a, Annotation<'a>>, Header<'a>> {
        let range = self.source.line_range(self.first, self.last);
        let text = self.source.text.get(range.clone()).unwrap_or_default();
        if text.is_empty() || text.lines().any(|line| line.len() > LONGEST_LINE) {
            let line = self.source.line_range(self.first, self.first).start;
            let start = self.marks.first().map_or(line, |mark| mark.start);
            let column = self.source.text.get(line..start).map_or(0, |text| text.chars().count());
            return Err(Header::path(&self.source.name)
                .line(self.first + 1)
                .char_column(column + 1));
        }
        let mut snippet = Snippet::source(secrets::blot(text))
            .path(&self.source.name)
            .line_start(self.first + 1)
            .fold(true);
        for mark in self.marks {
            let kind = if mark.primary { AnnotationKind::Primary } else { AnnotationKind::Context };
            let mut annotation = kind.span(mark.start - range.start..mark.end - range.start);
            if !mark.label.is_empty() {
                annotation = annotation.label(mark.label);
            }
            snippet = snippet.annotation(annotation);
        }
        Ok(snippet)
    }
}
