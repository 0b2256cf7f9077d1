//! Single values: plain where every YAML tool agrees that they are text, quoted elsewhere.

use std::fmt::Write as _;
use std::time::Duration;

use crate::model::duration_label;

/// Words that some YAML tool takes for something else than text.
const WORDS: &[&str] =
    &["true", "false", "yes", "no", "on", "off", "y", "n", "null", "nan", "inf", "infinity"];

/// Text as a value: protected from interpolation as well.
pub(super) fn text(text: &str) -> String {
    key(&escaped(text))
}

/// Text with a variable in the middle.
pub(super) fn with_variable(before: &str, name: &str, after: &str) -> String {
    let before = escaped(before);
    // A dollar sign before the variable would take its own away.
    let before = if before.ends_with('$') { format!("{before}$") } else { before };
    double_quoted(&format!("{before}${{{name}}}{}", escaped(after)))
}

/// Text as a key, where nothing is interpolated.
pub(super) fn key(text: &str) -> String {
    if is_plain(text) {
        text.to_owned()
    } else if text.chars().any(needs_escape) || text.contains('\'') {
        double_quoted(text)
    } else if text.contains(['\\', '"']) {
        format!("'{text}'")
    } else {
        format!("\"{text}\"")
    }
}

/// A duration in the file's own form.
pub(super) fn millis(millis: u64) -> String {
    duration_label(Duration::from_millis(millis))
}

/// A number of bytes, in the largest unit that it is a whole number of.
pub(super) fn size(bytes: u64) -> String {
    let units = [("GiB", 1_u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let unit = units.into_iter().find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit));
    match unit {
        Some((name, unit)) => format!("{}{name}", bytes / unit),
        None => bytes.to_string(),
    }
}

/// Doubles the dollar signs that interpolation would look at. A lone one stands for itself, and
/// patterns end in one.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        out.push(c);
        if c == '$' && matches!(rest.peek(), Some('$' | '{')) {
            out.push('$');
        }
    }
    out
}

fn is_plain(text: &str) -> bool {
    let mut chars = text.chars();
    let begins = chars.next().is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '/'));
    // Inside a word `*` and `#` mean nothing to YAML.
    let goes_on = chars.all(|c| c.is_alphanumeric() || "_./-*#".contains(c));
    begins && goes_on && !is_word(text) && !is_numeric(text) && !text.chars().any(needs_escape)
}

fn is_word(text: &str) -> bool {
    let bare = text.trim_start_matches(['.', '+', '-']);
    WORDS.iter().any(|word| word.eq_ignore_ascii_case(bare))
}

/// Whether some tool takes it for a number, a time or a date.
fn is_numeric(text: &str) -> bool {
    text.starts_with(|c: char| c.is_numeric())
        && text.chars().all(|c| c.is_numeric() || "abcdefxoABCDEFXO_.:+-TZtz".contains(c))
}

/// What cannot stand as it is in a line of YAML, or would not be seen there.
fn needs_escape(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
        // Marks that turn the direction of the text around them, and blanks that look like none.
        || matches!(c, '\u{a0}' | '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}')
}

fn double_quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if needs_escape(c) => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
