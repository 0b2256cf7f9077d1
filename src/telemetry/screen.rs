//! Standard error, shared by log lines and by what is drawn below them.

use std::io::{self, Write};
use std::sync::LazyLock;

use indicatif::MultiProgress;

static PROGRESS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Where progress is drawn, so that log lines do not run into it. Shows nothing where standard
/// error is no terminal.
pub fn progress() -> &'static MultiProgress {
    &PROGRESS
}

/// Standard error above the progress.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AboveProgress;

impl Write for AboveProgress {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        PROGRESS.suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
