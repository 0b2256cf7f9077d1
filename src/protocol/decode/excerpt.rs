//! A child's bytes made fit to be shown.

use std::fmt::Write as _;

use super::MAX_REASON;

/// Bytes of a child made fit for a log line or a header: UTF-8, one line, at most [`MAX_REASON`]
/// bytes. Control characters are escaped, so that no terminal obeys them, and so are the
/// characters that reorder or break a line of text.
pub fn excerpt(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len().min(MAX_REASON));
    // No input becomes shorter, so what lies beyond this could not be shown anyway.
    for chunk in bytes[..bytes.len().min(MAX_REASON + 4)].utf8_chunks() {
        for char in chunk.valid().chars() {
            if !push(&mut shown, char) {
                return shown;
            }
        }
        if !chunk.invalid().is_empty() && !push(&mut shown, char::REPLACEMENT_CHARACTER) {
            return shown;
        }
    }
    shown
}

/// Appends a character, escaped where it must be. False where it does not fit whole.
fn push(shown: &mut String, char: char) -> bool {
    let before = shown.len();
    match char {
        '\n' => shown.push_str("\\n"),
        '\r' => shown.push_str("\\r"),
        '\t' => shown.push_str("\\t"),
        _ if is_unfit(char) => {
            // Writing to a string cannot fail.
            let _ = write!(shown, "\\u{{{:x}}}", u32::from(char));
        }
        _ => shown.push(char),
    }
    let fits = shown.len() <= MAX_REASON;
    if !fits {
        shown.truncate(before);
    }
    fits
}

fn is_unfit(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
