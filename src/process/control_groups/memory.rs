//! The memory of the processes in a group, where the kernel accounts for it by group.
//!
//! A controller works in a group only where the group above hands it on, and a group hands
//! controllers on only while no process is in itself. So this process goes into a group of its own
//! within the one that it divides, `supervisor`, if its manager has not put it there already
//! (systemd: `DelegateSubgroup=`).

use std::ffi::CStr;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, Mode, OFlags, access, openat};
use rustix::io::Errno;

/// Where this process is once it has made way. systemd's documents use that name too.
pub(super) const LEAF: &str = "supervisor";

/// What a group is told to hand memory on.
const HAND_ON: &str = "+memory";

/// Why the memory of a worker's processes cannot be limited for all of them together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unmetered {
    /// The controller is not there: it was not handed over, or the tree is one of both versions.
    #[error("the control group `{}` has no memory controller", .0.display())]
    Absent(PathBuf),
    /// Processes that are not ours to move.
    #[error("others are in the control group `{}` as well", .0.display())]
    Shared(PathBuf),
    /// All was there, and yet.
    #[error("the control group `{}` cannot hand on its memory controller: {}", .0.display(), .1)]
    Refused(PathBuf, String),
}

/// Who ran short of memory when the kernel killed for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// The processes of the worker, by their own limit.
    Limit,
    /// All that share what is above: the unit, the container or the machine.
    Above,
}

/// Has the group hand memory on to those within it. This process makes way where it is alone there.
pub(super) fn hand_on(group: &Path) -> Result<(), Unmetered> {
    let refused = |error: std::io::Error| Unmetered::Refused(group.into(), error.to_string());
    let has = |file: &str| {
        let text = fs::read_to_string(group.join(file)).unwrap_or_default();
        text.split_whitespace().any(|controller| controller == "memory")
    };
    if has("cgroup.subtree_control") {
        return Ok(());
    }
    if !has("cgroup.controllers") {
        return Err(Unmetered::Absent(group.into()));
    }
    let control = group.join("cgroup.subtree_control");
    // Before anything is changed.
    access(&control, Access::WRITE_OK).map_err(|error| refused(error.into()))?;
    let inside = fs::read_to_string(group.join("cgroup.procs")).map_err(refused)?;
    let us = std::process::id().to_string();
    if inside.lines().any(|pid| pid != us) {
        return Err(Unmetered::Shared(group.into()));
    }
    let leaf = group.join(LEAF);
    let moves = !inside.is_empty();
    if moves {
        match fs::create_dir(&leaf) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(refused(error));
            }
            _ => {}
        }
        fs::write(leaf.join("cgroup.procs"), "0").map_err(refused)?;
    }
    fs::write(control, HAND_ON).map_err(|error| {
        if moves {
            // Back to where our manager has put us.
            let _ = fs::write(group.join("cgroup.procs"), "0");
            let _ = fs::remove_dir(&leaf);
        }
        refused(error)
    })
}

/// The same for a group of ours in which nobody is.
pub(super) fn hand_on_below(folder: impl AsFd) -> rustix::io::Result<()> {
    write(folder, c"cgroup.subtree_control", HAND_ON.as_bytes())
}

/// Limits what all processes of a group have in memory together, in bytes. Beyond it the kernel kills
/// all of them: one that is left of several would wait for the others for ever. Nothing of them is
/// swapped out, or else they would have as much again where it is slow.
pub(super) fn limit(folder: &OwnedFd, bytes: u64) -> rustix::io::Result<()> {
    match write(folder, c"memory.swap.max", b"0") {
        // A kernel that does not swap.
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error),
    }
    write(folder, c"memory.oom.group", b"1")?;
    write(folder, c"memory.max", bytes.to_string().as_bytes())
}

fn write(folder: impl AsFd, file: &CStr, text: &[u8]) -> rustix::io::Result<()> {
    let file = openat(folder, file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, text).map(|_| ())
}

/// What a group has counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Events {
    /// How often its own limit was reached and nothing could be freed.
    exhausted: u64,
    /// Processes of it that were killed for lack of memory, wherever.
    killed: u64,
}

impl Events {
    /// What it has counted by now; nothing where nobody counts.
    pub(super) fn of(folder: &OwnedFd) -> Option<Self> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let events = openat(folder, c"memory.events", flags, Mode::empty()).ok()?;
        let mut text = [0_u8; 512];
        let length = rustix::io::read(&events, &mut text).ok()?;
        Some(Self::read(str::from_utf8(&text[..length]).ok()?))
    }

    fn read(text: &str) -> Self {
        let count = |name: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once(' '));
            lines.find(|(key, _)| *key == name).and_then(|(_, count)| count.parse().ok())
        };
        Self {
            exhausted: count("oom").unwrap_or_default(),
            killed: count("oom_kill").unwrap_or_default(),
        }
    }

    /// Whose shortage somebody was killed for since then.
    pub(super) fn shortage_since(self, before: Self) -> Option<Shortage> {
        let own = self.exhausted > before.exhausted;
        (self.killed > before.killed).then_some(if own { Shortage::Limit } else { Shortage::Above })
    }
}

#[cfg(test)]
mod tests;
