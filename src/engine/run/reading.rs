//! Reading the files, and following those that were read.

use super::Loader;
use crate::files::{LoadError, Loaded, Watcher};

/// How often the files are read again in a row because they name others. The watcher notices what
/// changes after that.
const READINGS: u32 = 4;

/// Reads the files, and has the watcher follow those that were read. Where one of them was not
/// followed before, it may have changed between the two, so everything is read once more.
pub(super) fn read(load: &Loader, watcher: &mut Option<Watcher>) -> Result<Loaded, LoadError> {
    let mut outcome = load();
    for _ in 0..READINGS {
        let watched = match &outcome {
            Ok(loaded) => loaded.watched.clone(),
            Err(error) => error.watched.clone(),
        };
        if !watcher.as_mut().is_some_and(|watcher| watcher.set_watched(watched)) {
            break;
        }
        outcome = load();
    }
    outcome
}

/// Logs what of the files can be mended.
pub(super) fn warn(loaded: &Loaded) {
    let text = loaded.sources.render(&loaded.warnings, false);
    if !text.is_empty() {
        tracing::warn!(detail = text, "the files can be mended");
    }
}
