//! How far many steps have come, and how fast.

use std::fmt;

use indicatif::{HumanFloatCount, ProgressBar, ProgressState, ProgressStyle};

/// Up to so many a second, tenths of a step are worth telling.
const FEW: f64 = 10.0;

/// A bar for so many steps, to be finished by the caller. Draws on standard error, and nothing where
/// that is no terminal.
pub(super) fn bar(steps: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {rate}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("rate", |state: &ProgressState, out: &mut dyn fmt::Write| {
            // The line is drawn without it where it cannot be written.
            let _ = out.write_str(&rate(state.per_sec()));
        });
    ProgressBar::new(steps).with_style(style)
}

/// So many steps a second, as a person reads it.
fn rate(per_second: f64) -> String {
    let digits = usize::from(per_second < FEW);
    format!("{:.digits$}/s", HumanFloatCount(per_second))
}

#[cfg(test)]
mod tests;
