//! The end of a group: of everyone in it, and of its folder.
//!
//! The guardian does this as well, so nothing here allocates or takes a lock.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, openat, unlinkat};
use rustix::io::Errno;

/// How deep groups may lie that a child has made within its own.
const DEPTH: u8 = 16;

/// Room for some names of a folder.
const NAMES: usize = 1024;

/// Kills everyone in a group and below it at one stroke, those who are just being forked as well.
/// They are gone soon after.
///
/// # Errors
/// Of opening and writing `cgroup.kill` (Linux 5.14).
pub(in crate::process) fn end_all(folder: impl AsFd) -> rustix::io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let kill = openat(folder, c"cgroup.kill", flags, Mode::empty())?;
    rustix::io::write(&kill, b"1").map(|_| ())
}

/// Removes a group and all below it; one that is gone already is fine.
///
/// # Errors
/// Somebody is still in it, or who owns it does not let us.
pub(in crate::process) fn remove(parent: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<()> {
    remove_down_to(parent, name, DEPTH)
}

fn remove_down_to(parent: BorrowedFd<'_>, name: &CStr, depth: u8) -> rustix::io::Result<()> {
    match unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Err(Errno::NOENT) => return Ok(()),
        Err(Errno::BUSY | Errno::NOTEMPTY) if depth > 0 => {}
        other => return other,
    }
    let folder = open_folder(parent, name)?;
    let mut space = [MaybeUninit::uninit(); NAMES];
    let mut entries = RawDir::new(&folder, &mut space);
    while let Some(Ok(entry)) = entries.next() {
        let name = entry.file_name();
        if entry.file_type() == FileType::Directory && name != c"." && name != c".." {
            // What stays keeps its parent from being removed, which is said below.
            let _ = remove_down_to(folder.as_fd(), name, depth - 1);
        }
    }
    unlinkat(parent, name, AtFlags::REMOVEDIR)
}

/// Opens the folder of a group.
pub(in crate::process) fn open_folder(
    parent: impl AsFd,
    name: &CStr,
) -> rustix::io::Result<rustix::fd::OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    openat(parent, name, flags, Mode::empty())
}
