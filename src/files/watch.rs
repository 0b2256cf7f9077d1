//! Notices that files have changed, however they were changed.
//!
//! Events come from directories, never from the files: a watch on a file follows the inode, and an
//! editor that saves by renaming, or a `ConfigMap` that swaps a link, leaves such a watch on the
//! old one for ever. An event says only that it is worth a look; a digest of the content decides.
//! So reading a file, touching it or saving it unchanged is no change.
//!
//! Where no events come (the limit of watches is reached, a network file system) a look every few
//! seconds takes their place.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use blake3::Hash;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::arms::{Arms, Signal};
use super::watched::Watched;

/// So long must nothing happen before a look: a save is often several steps.
const QUIET: Duration = Duration::from_millis(150);
/// So long at most is a look put off while things go on happening, in the same folder perhaps but
/// to other files.
const LONGEST: Duration = Duration::from_secs(1);
/// How often to look without any event, because some file systems never tell.
const RESCAN: Duration = Duration::from_secs(10);
/// The same where a directory is not watched.
const POLL: Duration = Duration::from_secs(1);

/// What was there.
type Sight = BTreeMap<Watched, Hash>;

/// Watches files, directories and patterns for changes; [`Watched`] says what a change is.
///
/// Start it, and name new paths, before reading the files: only what changes afterwards is noticed.
#[derive(Debug)]
pub struct Watcher {
    watched: Arc<[Watched]>,
    /// What the one who waits was last told of, or what was there when a path was named.
    seen: Sight,
    /// Behind a lock because looking happens on a thread that may block.
    arms: Arc<Mutex<Arms>>,
    signal: Arc<Signal>,
    /// When the first event came that has not led to a look yet. It stands here and not on the
    /// stack of `changed`, which may be dropped at any await.
    pending: Option<Instant>,
    /// What was there at the last look while events went on, when that was written, and since when
    /// it is that. Each save of a file may begin with the same half of it.
    glimpse: Option<(Sight, Option<i128>, Instant)>,
    next_look: Instant,
}

impl Watcher {
    /// Watches these, which need not exist. Reads them once, so it blocks for as long as
    /// that takes.
    ///
    /// It cannot fail: where the operating system refuses to tell of changes, a warning is logged
    /// and they are looked at every second.
    pub fn start<W: Into<Watched>>(watched: Vec<W>) -> Self {
        Self::new(watched, true)
    }

    /// The same, without ever asking the operating system for events: looks every second.
    pub fn polling<W: Into<Watched>>(watched: Vec<W>) -> Self {
        Self::new(watched, false)
    }

    fn new<W: Into<Watched>>(watched: Vec<W>, notified: bool) -> Self {
        let signal = Arc::new(Signal::default());
        let arms = Arc::new(Mutex::new(Arms::new(Arc::clone(&signal), notified)));
        let mut watcher = Self {
            watched: [].into(),
            seen: BTreeMap::new(),
            arms,
            signal,
            pending: None,
            glimpse: None,
            next_look: Instant::now(),
        };
        watcher.set_watched(watched);
        watcher
    }

    /// Watches these instead. A change of what was watched before is still noticed.
    ///
    /// True where one is new. What changes in it between an earlier reading and this call goes
    /// unnoticed, so read once more then.
    pub fn set_watched<W: Into<Watched>>(&mut self, watched: Vec<W>) -> bool {
        let watched: Arc<[Watched]> =
            watched.into_iter().map(|one| one.into().absolute()).collect();
        let found = look(&self.arms, &watched);
        let mut any_new = false;
        let before = std::mem::take(&mut self.seen);
        for (one, now) in found {
            let known = before.get(&one).copied();
            any_new |= known.is_none();
            if known.is_some_and(|known| known != now) {
                self.pending.get_or_insert_with(Instant::now);
            }
            self.seen.insert(one, known.unwrap_or(now));
        }
        self.watched = watched;
        self.next_look = Instant::now() + self.interval();
        any_new
    }

    /// Waits until the content of a watched path differs from what it was when this last returned,
    /// or when the path was named. Comes about 150 ms after the last write, and a little over a
    /// second after the first where others are busy in the same folder. While the content itself
    /// goes on changing it does not return: half of a file may be valid and mean something else.
    ///
    /// Nothing is lost when the returned future is dropped before it is ready.
    pub async fn changed(&mut self) {
        loop {
            if self.pending.is_none() {
                tokio::select! {
                    () = self.signal.happened.notified() => {}
                    () = sleep_until(self.next_look) => {}
                }
            }
            let first = *self.pending.get_or_insert_with(Instant::now);
            let quiet = self.quiet(first + LONGEST).await;
            // It fails only where the runtime is ending, and everyone who waits with it.
            let Some((found, written)) = self.look().await else { continue };
            let now = Instant::now();
            if !quiet && found != self.seen {
                let since = match &self.glimpse {
                    Some((glimpse, at, since)) if *glimpse == found && *at == written => *since,
                    _ => now,
                };
                self.glimpse = Some((found.clone(), written, since));
                if now < since + QUIET {
                    sleep_until(since + QUIET).await;
                    continue;
                }
            }
            self.glimpse = None;
            self.pending = None;
            self.next_look = now + self.interval();
            if found != self.seen {
                self.seen = found;
                return;
            }
        }
    }

    /// Reads what is watched, and when it was written. What is written in between is written later.
    async fn look(&self) -> Option<(Sight, Option<i128>)> {
        let (arms, watched) = (Arc::clone(&self.arms), Arc::clone(&self.watched));
        let both = move || {
            let written = watched.iter().filter_map(Watched::changed_at).max();
            (look(&arms, &watched), written)
        };
        tokio::task::spawn_blocking(both).await.ok()
    }

    /// Waits for a pause of [`QUIET`] between events, or until `latest`; whether there was one.
    async fn quiet(&self, latest: Instant) -> bool {
        while Instant::now() < latest {
            let pause = Instant::now() + QUIET;
            if timeout_at(pause, self.signal.happened.notified()).await.is_err() {
                return true;
            }
        }
        false
    }

    fn interval(&self) -> Duration {
        if lock(&self.arms).blind() { POLL } else { RESCAN }
    }
}

fn lock(arms: &Mutex<Arms>) -> MutexGuard<'_, Arms> {
    arms.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Watches first and reads then, so that what happens in between leads to another look.
fn look(arms: &Mutex<Arms>, watched: &[Watched]) -> Sight {
    lock(arms).watch(watched);
    watched.iter().map(|one| (one.clone(), one.digest())).collect()
}

#[cfg(test)]
mod tests;
