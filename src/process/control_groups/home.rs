//! The group in which the groups of all workers of this process are.
//!
//! Its folder is locked for as long as this process or its guardian lives. So a supervisor that
//! starts later can tell what it may clear away: what nobody has locked was left behind by one that
//! was killed together with its guardian. The number of a process would not do for that, since it
//! means another one some time later, or in another container.

use std::ffi::{CStr, CString};
use std::fs;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, flock, fstat, mkdirat, open, statat};
use rustix::io::Errno;

use super::ends::{end_all, open_folder, remove};
use super::memory::{self, Unmetered};
use super::place::{Undivided, divisible};

/// What the name of such a group begins with. Sixteen digits follow.
const PREFIX: &str = "warrener.";

/// How long those who were left behind may take to be gone after they were killed.
const CLEAR_PATIENCE: Duration = Duration::from_secs(2);

/// Between two looks whether they are.
const PAUSE: Duration = Duration::from_millis(2);

/// How often a new group is tried: another supervisor may take it for one that was left behind in
/// the moment before it is locked.
const TRIES: u32 = 50;

/// The group of this process, below which it makes one for each worker.
#[derive(Debug)]
pub struct Home {
    path: PathBuf,
    name: CString,
    /// Where it is.
    tree: OwnedFd,
    /// Itself, with the lock.
    folder: OwnedFd,
    /// Whether the groups within it account for memory, or why they do not.
    memory: Result<(), Unmetered>,
    /// Whether it was said already that a child had to do without a group.
    complained: AtomicBool,
}

impl Home {
    /// Clears away what killed supervisors have left, and makes the group of this process, whose
    /// number is `number`.
    pub(in crate::process) fn made(number: u64) -> Result<Self, Undivided> {
        let above = divisible()?;
        let refused = |error: Errno| {
            Undivided::Refused(above.clone(), std::io::Error::from(error).to_string())
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let tree = open(&above, flags, Mode::empty()).map_err(refused)?;
        clear_away(&tree, &above);
        let text = format!("{PREFIX}{number:016x}");
        let path = above.join(&text);
        let name = CString::new(text).map_err(|_| refused(Errno::INVAL))?;
        let folder = locked(tree.as_fd(), &name).map_err(refused)?;
        let memory = memory::hand_on(&above).and_then(|()| {
            memory::hand_on_below(&folder).map_err(|error| {
                Unmetered::Refused(path.clone(), std::io::Error::from(error).to_string())
            })
        });
        Ok(Self { path, name, tree, folder, memory, complained: AtomicBool::new(false) })
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the kernel accounts for the memory of each group within it.
    ///
    /// # Errors
    /// Why it does not.
    pub fn memory(&self) -> Result<(), &Unmetered> {
        self.memory.as_ref().copied()
    }

    /// Its folder, to be looked into.
    pub(in crate::process) fn folder(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }

    /// Where its folder is, and the name of that there.
    pub(in crate::process) fn place(&self) -> (BorrowedFd<'_>, &CStr) {
        (self.tree.as_fd(), &self.name)
    }

    /// Says, once, that the memory of a worker could not be limited as a whole.
    pub(super) fn complain_of_memory(&self, error: Errno) {
        if !self.complained.swap(true, Ordering::Relaxed) {
            let error = std::io::Error::from(error);
            tracing::warn!(
                group = %self.path.display(), %error,
                "the memory of a worker's control group cannot be limited: each of its processes has as much as `limits.memory` says"
            );
        }
    }

    /// Says, once, that a child had to be started outside of a group.
    pub(in crate::process) fn complain(&self, error: Errno) {
        if !self.complained.swap(true, Ordering::Relaxed) {
            let error = std::io::Error::from(error);
            tracing::warn!(
                group = %self.path.display(), %error,
                "a process was started outside of its control group, and others may follow it"
            );
        }
    }
}

/// Makes a group that nobody takes for one that was left behind.
fn locked(tree: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<OwnedFd> {
    for _ in 0..TRIES {
        match mkdirat(tree, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        let Ok(folder) = open_folder(tree, name) else { continue };
        if flock(&folder, FlockOperation::NonBlockingLockExclusive).is_err() {
            thread::sleep(PAUSE);
            continue;
        }
        // It may have been removed before it was locked.
        let there = statat(tree, name, AtFlags::SYMLINK_NOFOLLOW).ok();
        let same =
            |there: rustix::fs::Stat| Some(there.st_ino) == fstat(&folder).ok().map(|s| s.st_ino);
        if there.is_some_and(same) {
            return Ok(folder);
        }
    }
    Err(Errno::AGAIN)
}

/// Ends what supervisors have left behind that were killed together with their guardians.
fn clear_away(tree: &OwnedFd, path: &Path) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        if !is_home(&name) {
            continue;
        }
        let Ok(name) = CString::new(name) else { continue };
        let Ok(folder) = open_folder(tree, &name) else { continue };
        // While this is held, nobody else takes it for his own.
        if flock(&folder, FlockOperation::NonBlockingLockExclusive).is_err() {
            continue;
        }
        let group = entry.path();
        match end(tree.as_fd(), &name, &folder) {
            Ok(()) => tracing::info!(
                group = %group.display(),
                "ended what a supervisor that was killed had left behind"
            ),
            Err(error) => tracing::warn!(
                group = %group.display(), error = %std::io::Error::from(error),
                "cannot end what a supervisor that was killed has left behind"
            ),
        }
    }
}

fn end(tree: BorrowedFd<'_>, name: &CStr, folder: &OwnedFd) -> rustix::io::Result<()> {
    let until = Instant::now() + CLEAR_PATIENCE;
    loop {
        let killed = end_all(folder);
        match remove(tree, name) {
            Err(Errno::BUSY | Errno::NOTEMPTY) if killed.is_ok() && Instant::now() < until => {
                thread::sleep(PAUSE);
            }
            other => return killed.and(other),
        }
    }
}

fn is_home(name: &str) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|digits| {
        digits.len() == 16 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}
