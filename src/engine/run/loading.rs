//! What is loaded at a change, and what is said when it is known what became of it.

use super::Engine;
use super::reading::{read, warn};
use crate::engine::keeper::FleetOutcome;
use crate::engine::requests::ReloadOutcome;
use crate::files::Watcher;

/// Why the files are read again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// Somebody has asked for it.
    Asked,
    /// They have changed.
    Noticed,
}

/// The newest change, and what of it was refused or rolled back.
#[derive(Default)]
pub(super) struct Undone {
    change: u64,
    open: bool,
    said: Option<String>,
}

impl Undone {
    /// A change of that number has begun.
    pub(super) fn begun(change: u64) -> Self {
        Self { change, open: true, said: None }
    }

    /// It is known what became of that change: what there is to say, if not all of it was done. Of
    /// one that another has followed nobody needs to know.
    fn concluded(&mut self, change: u64, said: Option<&str>) {
        if change == self.change {
            *self = Self { change, open: false, said: said.map(str::to_owned) };
        }
    }

    /// The newest change, while it is not known what becomes of it.
    fn under_way(&self) -> Option<u64> {
        self.open.then_some(self.change)
    }

    fn said(&self) -> Option<&str> {
        self.said.as_deref()
    }
}

impl Engine {
    /// Reads the files again. Anything wrong is reported and changes nothing.
    pub(super) fn load(&mut self, watcher: &mut Option<Watcher>, cause: Cause) {
        self.announcer.reloading();
        match read(&self.options.load, watcher) {
            Err(error) => {
                let text = error.render(false);
                tracing::error!(
                    detail = text,
                    "the files cannot be used; everything goes on as it is"
                );
                self.waiting.tell(&ReloadOutcome::Rejected { problems: text.clone() });
                self.options.registry.reload_failed(text);
                self.announcer.going("the files cannot be used; all goes on as before");
            }
            Ok(loaded) => {
                warn(&loaded);
                let before = self.pending.as_ref().or(self.current.as_deref());
                if before.is_none_or(|before| before.desired != loaded.desired) {
                    self.pending = Some(loaded);
                    return;
                }
                let undone = self.undone.said().filter(|_| self.pending.is_none());
                match (undone, cause) {
                    // Whoever asks may have mended what the file does not show.
                    (Some(_), Cause::Asked) => self.pending = Some(loaded),
                    (Some(said), Cause::Noticed) => {
                        tracing::error!(
                            "the files say the same as before, of which not all is done: {said}"
                        );
                        self.options.registry.reload_failed(said.to_owned());
                        self.announcer.going(said);
                    }
                    (None, _) => {
                        tracing::info!("the files say the same as before");
                        self.options.registry.reload_succeeded("nothing changed");
                        let why = self.waiting_for.clone();
                        match (&self.pending, self.undone.under_way()) {
                            (Some(_), _) => self.waiting.tell(&ReloadOutcome::Waiting { why }),
                            (None, Some(change)) => self.waiting.changing(change),
                            (None, None) => self.waiting.tell(&ReloadOutcome::Unchanged),
                        }
                        self.announcer.going("as the files say");
                    }
                }
            }
        }
    }

    /// Says what became of a start or a reload, once it is known of every consumer.
    pub(super) fn report(&mut self, change: u64, what: &str, outcome: &FleetOutcome) {
        for (name, why) in &outcome.refused {
            tracing::error!(consumer = %name, "the new version did not come up, the old one stays: {why}");
        }
        for (name, why) in &outcome.rolled_back {
            tracing::error!(consumer = %name, "the new version is rolled back: {why}");
        }
        let said = format!("{what}; {outcome}");
        self.waiting.concluded(change, &said, outcome);
        tracing::info!("{said}");
        self.announcer.going(&said);
        if outcome.refused.is_empty() && outcome.rolled_back.is_empty() {
            self.undone.concluded(change, None);
            self.options.registry.reload_succeeded(said);
        } else {
            self.undone.concluded(change, Some(&said));
            self.options.registry.reload_failed(said);
        }
    }
}
