//! Which control group this process is in, and whether it may divide it.
//!
//! A group has one manager. Who hands a part of the tree over to another marks it, as systemd does
//! for `Delegate=yes`: by an attribute of its folder. Without that mark, being root or owning the
//! folder gives the rights to divide it, but whoever manages it does not expect that.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access, getxattr};

/// The attributes that say that a group was handed over. The first needs no rights to be read and
/// is newer.
const HANDED_OVER: [&str; 2] = ["user.delegate", "trusted.delegate"];

/// Why there are no control groups for workers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undivided {
    /// There is no tree of version 2, or this process is not to be seen in it.
    #[error("no control groups of version 2 are to be seen here")]
    Absent,
    /// The root of the tree of the whole machine.
    #[error("`{}` is the control group of the whole machine", .0.display())]
    Machine(PathBuf),
    /// A group that another manages.
    #[error("the control group `{}` was not handed over (systemd: `Delegate=yes`)", .0.display())]
    Another(PathBuf),
    /// A group in which processes cannot be put into groups.
    #[error("the control group `{}` is of another type than `domain`", .0.display())]
    Threaded(PathBuf),
    /// A kernel that cannot kill a group.
    #[error("control groups without `cgroup.kill` (Linux 5.14) do not help")]
    Old,
    /// It was handed over, and yet.
    #[error("the control group `{}` cannot be divided: {}", .0.display(), .1)]
    Refused(PathBuf, String),
}

/// The group that this process may divide: its own, or the one above where the manager has given it
/// a group within that (systemd: `DelegateSubgroup=`).
pub(super) fn divisible() -> Result<PathBuf, Undivided> {
    let read = |path| fs::read_to_string(path).map_err(|_| Undivided::Absent);
    let (mounts, groups) = (read("/proc/self/mountinfo")?, read("/proc/self/cgroup")?);
    let us = std::process::id().to_string();
    let here = |seat: &Seat| {
        let processes = fs::read_to_string(seat.folder.join("cgroup.procs")).unwrap_or_default();
        processes.lines().any(|pid| pid == us)
    };
    let seat = seats(&mounts, &groups).into_iter().find(here).ok_or(Undivided::Absent)?;
    choose(seat)
}

fn choose(seat: Seat) -> Result<PathBuf, Undivided> {
    let Seat { folder, top } = seat;
    // The root has no end, and so nothing that tells of it.
    if !folder.join("cgroup.events").exists() {
        return Err(Undivided::Machine(folder));
    }
    let above = folder.parent().filter(|above| !top && !is_unit(&folder) && is_handed_over(above));
    let chosen = match above {
        _ if is_handed_over(&folder) => folder,
        Some(above) => above.to_owned(),
        // A container that can write to its whole tree.
        None if top => folder,
        None => return Err(Undivided::Another(folder)),
    };
    let refused = |error: io::Error| Undivided::Refused(chosen.clone(), error.to_string());
    let kind = fs::read_to_string(chosen.join("cgroup.type")).map_err(refused)?;
    if kind.trim_end() != "domain" {
        return Err(Undivided::Threaded(chosen));
    }
    if !chosen.join("cgroup.kill").exists() {
        return Err(Undivided::Old);
    }
    // Whoever puts a process from here to there needs this of the group that both are in.
    access(chosen.join("cgroup.procs"), Access::WRITE_OK).map_err(|error| refused(error.into()))?;
    Ok(chosen)
}

/// Whether it is the group of a unit of systemd. What is handed over above it is its manager's.
fn is_unit(folder: &Path) -> bool {
    let kind = folder.extension().and_then(OsStr::to_str);
    kind.is_some_and(|kind| {
        ["service", "scope", "slice", "mount", "socket", "swap"].contains(&kind)
    })
}

fn is_handed_over(folder: &Path) -> bool {
    HANDED_OVER.iter().any(|name| {
        let mut value = [0_u8; 8];
        getxattr(folder, *name, &mut value[..]).is_ok_and(|length| &value[..length] == b"1")
    })
}

/// Where this process may be in a tree.
#[derive(Debug, PartialEq, Eq)]
struct Seat {
    /// The folder of its group.
    folder: PathBuf,
    /// Whether nothing above it is to be seen: it is the root of this namespace.
    top: bool,
}

/// Where this process is in each mounted tree of version 2, by `/proc/self/mountinfo` and
/// `/proc/self/cgroup`.
fn seats(mounts: &str, groups: &str) -> Vec<Seat> {
    let Some(own) = groups.lines().find_map(|line| line.strip_prefix("0::")) else {
        return Vec::new();
    };
    let seat = |line: &str| {
        let (mount, filesystem) = line.split_once(" - ")?;
        if filesystem.split(' ').next() != Some("cgroup2") {
            return None;
        }
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (unescaped(fields.next()?), unescaped(fields.next()?));
        let below = Path::new(own).strip_prefix(&root).ok()?;
        // Joining nothing would add a slash.
        let folder = if below.as_os_str().is_empty() { point } else { point.join(below) };
        Some(Seat { folder, top: own == "/" })
    };
    mounts.lines().filter_map(seat).collect()
}

/// The kernel writes some characters of a path as a backslash and three octal digits.
fn unescaped(text: &str) -> PathBuf {
    let bytes = text.as_bytes();
    let (mut path, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let code = bytes.get(at + 1..at + 4).filter(|_| bytes[at] == b'\\');
        let code = code.and_then(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 8).ok());
        path.push(code.unwrap_or(bytes[at]));
        at += if code.is_some() { 4 } else { 1 };
    }
    PathBuf::from(OsString::from_vec(path))
}

#[cfg(test)]
mod tests;
