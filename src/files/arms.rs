//! Watches on directories, kept up to date while directories come, go and are replaced.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

use super::watched::Watched;

/// Device and inode: another directory of the same name has another.
type Identity = (u64, u64);

/// What the operating system's events and the one who waits for them share.
#[derive(Debug, Default)]
pub(super) struct Signal {
    /// Something has happened in an armed directory.
    pub(super) happened: Notify,
    /// The directories whose watches are known to work. The event that tells of a directory's own
    /// end takes it out of here, for its watch ended with it.
    armed: Mutex<BTreeMap<PathBuf, Identity>>,
}

impl Signal {
    fn armed(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Identity>> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn receive(&self, event: &notify::Result<Event>) {
        if let Ok(event) = event {
            match event.kind {
                // Our own reading is an event as well. Only the end of writing is of interest.
                EventKind::Access(AccessKind::Close(AccessMode::Write)) => {}
                EventKind::Access(_) => return,
                EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)) => {
                    let mut armed = self.armed();
                    for path in &event.paths {
                        armed.remove(path);
                    }
                }
                _ => {}
            }
        }
        // An error, such as too many events at once, hides what has happened: worth a look.
        self.happened.notify_one();
    }
}

/// The watches themselves.
#[derive(Debug)]
pub(super) struct Arms {
    backend: Option<RecommendedWatcher>,
    signal: Arc<Signal>,
    blind: bool,
}

impl Arms {
    /// Watches on nothing yet; with `notified` false it never asks the operating system for any.
    pub(super) fn new(signal: Arc<Signal>, notified: bool) -> Self {
        let events = Arc::clone(&signal);
        let backend = notified
            .then(|| notify::recommended_watcher(move |event| events.receive(&event)))
            .and_then(|backend| {
                backend.inspect_err(|error| tracing::warn!(%error, "no file events here")).ok()
            });
        Self { blind: backend.is_none(), backend, signal }
    }

    /// Whether some directory is not watched, so that only looking can tell of a change in it.
    pub(super) fn blind(&self) -> bool {
        self.blind
    }

    /// Watches every directory that tells of a change of these, and no other.
    pub(super) fn watch(&mut self, watched: &[Watched]) {
        let Some(backend) = &mut self.backend else { return };
        let mut wanted = BTreeSet::new();
        for one in watched {
            wanted.append(&mut one.directories());
        }
        let armed = self.signal.armed().clone();
        for old in armed.keys().filter(|path| !wanted.contains(*path)) {
            self.signal.armed().remove(old);
            // It fails where the directory is gone, and its watch with it.
            let _ = backend.unwatch(old);
        }
        let was_blind = std::mem::take(&mut self.blind);
        for directory in wanted {
            let identity = identity(&directory);
            if identity.is_some() && armed.get(&directory) == identity.as_ref() {
                continue;
            }
            let _ = backend.unwatch(&directory);
            // Entered before the watch exists: should the directory end in this very moment, its
            // last event finds the entry and takes it out again. The lock is not held while the
            // watch is made, for that waits for the thread on which events arrive.
            if let Some(identity) = identity {
                self.signal.armed().insert(directory.clone(), identity);
            }
            if let Err(error) = backend.watch(&directory, RecursiveMode::NonRecursive) {
                self.signal.armed().remove(&directory);
                self.blind = true;
                if !was_blind {
                    tracing::warn!(
                        directory = %directory.display(),
                        %error,
                        "no file events from a directory; looking every second instead"
                    );
                }
            }
        }
    }
}

fn identity(directory: &Path) -> Option<Identity> {
    fs::metadata(directory).ok().map(|meta| (meta.dev(), meta.ino()))
}
