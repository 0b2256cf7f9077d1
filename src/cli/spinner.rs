//! What turns while something lasts.

use std::time::Duration;

use indicatif::ProgressBar;

use crate::telemetry;

/// Something turning beside a text; to be finished by the caller. Shows nothing where standard
/// error is no terminal.
pub(super) fn spinner(text: &'static str) -> ProgressBar {
    let spinner = telemetry::progress().add(ProgressBar::new_spinner().with_message(text));
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}
