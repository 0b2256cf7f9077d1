//! Durations in replies.

use std::time::Duration;

use super::MAX_DELAY;

/// Reads `500ms`, `30s`, `1h30m`, as the file writes them, from the largest unit to the smallest.
/// Longer than [`MAX_DELAY`] becomes that, and a negative duration becomes zero: both say clearly
/// what is wanted.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut total = Duration::ZERO;
    let mut last_unit = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return None;
        }
        // What overflows is far beyond the longest delay.
        let count = rest[..digits].parse().unwrap_or(u64::MAX);
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(u8::is_ascii_lowercase).count();
        let unit = match &rest[..letters] {
            "d" => 86_400_000,
            "h" => 3_600_000,
            "m" => 60_000,
            "s" => 1_000,
            "ms" => 1,
            _ => return None,
        };
        if unit >= last_unit {
            return None;
        }
        last_unit = unit;
        rest = &rest[letters..];
        total = total.saturating_add(Duration::from_millis(count.saturating_mul(unit)));
    }
    if last_unit == u64::MAX {
        return None;
    }
    Some(if negative { Duration::ZERO } else { total.min(MAX_DELAY) })
}
