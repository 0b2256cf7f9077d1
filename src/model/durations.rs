//! Durations as people write them.

use std::time::Duration;

/// Units, from the largest, with their milliseconds.
const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Why a text is no duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDuration {
    /// A bare number.
    #[error("it has no unit")]
    NoUnit,
    /// Anything else that does not read as numbers with units.
    #[error("it is not numbers with the units `ms`, `s`, `m`, `h` or `d`")]
    Malformed,
    /// More than can be counted.
    #[error("it is too long")]
    TooLong,
}

/// Reads `500ms`, `30s`, `5m`, `1h30m`, `7d`: whole numbers with units, added up. No sign, no
/// fraction, no spaces.
pub fn parse_duration(text: &str) -> Result<Duration, BadDuration> {
    let mut rest = text;
    let mut total = 0_u64;
    if rest.is_empty() {
        return Err(BadDuration::Malformed);
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        if number.is_empty() || (unit.is_empty() && !after.is_empty()) {
            return Err(BadDuration::Malformed);
        }
        if unit.is_empty() {
            return Err(BadDuration::NoUnit);
        }
        let (_, millis) =
            UNITS.iter().find(|(name, _)| *name == unit).ok_or(BadDuration::Malformed)?;
        let number: u64 = number.parse().map_err(|_| BadDuration::TooLong)?;
        total = number
            .checked_mul(*millis)
            .and_then(|part| total.checked_add(part))
            .ok_or(BadDuration::TooLong)?;
        rest = after;
    }
    Ok(Duration::from_millis(total))
}

/// A duration in the shortest form that the file would take: `30s`, `5m`, `1h30m`, `1s500ms`.
pub fn duration_label(duration: Duration) -> String {
    let mut rest = duration.as_millis();
    let mut label = String::new();
    for (unit, millis) in UNITS {
        let count = rest / u128::from(millis);
        rest %= u128::from(millis);
        if count > 0 {
            label.push_str(&count.to_string());
            label.push_str(unit);
        }
    }
    if label.is_empty() { "0s".into() } else { label }
}

/// An age as the broker takes it for streams: whole seconds as one number with one unit, the
/// largest that fits exactly, which is how people write it and so what an existing stream probably
/// has.
pub fn stream_age(age: Duration) -> String {
    let seconds = age.as_secs();
    let (unit, length) = [("D", 86_400), ("h", 3_600), ("m", 60)]
        .into_iter()
        .find(|(_, length)| seconds.is_multiple_of(*length))
        .unwrap_or(("s", 1));
    format!("{}{unit}", seconds / length)
}
