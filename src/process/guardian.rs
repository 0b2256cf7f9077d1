//! The process that ends what is left of our children when we are gone, however we went.
//!
//! The kernel kills the children themselves when this process dies. What they have started in
//! sessions of their own lives on, and nobody is left to look for it. So a small process waits
//! behind a pipe whose other end only this process has. At the end of the pipe it kills everything
//! that is in a [control group](super::control_groups) of ours or has a
//! [mark](super::family::Mark) of ours, and removes the groups.
//!
//! It is forked and never becomes another program, so that it needs no file to be there, not even
//! a shell. In exchange it may only do what is allowed between fork and exec.

#![expect(
    unsafe_code,
    reason = "fork in a process with threads, and closing descriptors of others"
)]

use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal as Named, sigaction};
use nix::unistd::{ForkResult, fork};
use rustix::fs::{CWD, Mode, OFlags, RawDir, open, openat};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, chdir, pidfd_open, pidfd_send_signal, setsid,
    waitid,
};
use rustix::thread::{NanosleepRelativeResult, Timespec, nanosleep};

use super::control_groups::{Home, end_all, remove};
use super::family::Mark;

/// Looks in a row that must find nobody before the guardian goes: between two of them a process may
/// have forked away.
const QUIET_LOOKS: u32 = 3;

/// Looks at most. What is stuck in the kernel cannot be killed by more of them.
const MOST_LOOKS: u32 = 500;

/// Between two looks.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// Where the kernel shows processes.
const PROC: &CStr = c"/proc";

/// Our end of the pipe. While it is open, the guardian waits.
#[derive(Debug)]
pub(super) struct Guarded {
    _pipe: OwnedFd,
}

/// Starts the guardian of the family of that number, and of its control groups.
pub(super) fn start(family: u64, home: Option<&Home>) -> io::Result<Guarded> {
    let (theirs, ours) = pipe_with(PipeFlags::CLOEXEC)?;
    // SAFETY: the process has threads, whose locks nobody frees in the copy. So the copy calls only
    // what needs none: system calls, made directly, on memory of its own stack. It allocates
    // nothing, unwinds nowhere, drops nothing with a destructor but descriptors, and ends by
    // `_exit`.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => {
            let child = Pid::from_raw(child.as_raw()).ok_or(Errno::INVAL)?;
            waitid(WaitId::Pid(child), WaitIdOptions::EXITED)?;
            Ok(Guarded { _pipe: ours })
        }
        ForkResult::Child => {
            // Once more, so that it is nobody's child that somebody would wait for.
            // SAFETY: as above; the copy has one thread.
            if let Ok(ForkResult::Child) = unsafe { fork() } {
                // It keeps the lock of the home as well, until it is done.
                let kept = home.map(|home| [home.folder(), home.place().0]);
                stand_apart(theirs.as_fd(), kept);
                wait(theirs.as_fd());
                clear(family, home);
            }
            // SAFETY: ends the copy without running what was registered for the end of the
            // original.
            unsafe { nix::libc::_exit(0) }
        }
    }
}

/// Lets go of everything that is the original's: its terminal, its signals, its files.
fn stand_apart(pipe: BorrowedFd<'_>, kept: Option<[BorrowedFd<'_>; 2]>) {
    let _ = setsid();
    let _ = chdir(c"/");
    let _ = rustix::thread::set_name(c"warrener-guard");
    let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    for signal in Named::iterator() {
        // SAFETY: no code of ours runs. Two signals cannot be ignored, and say so.
        let _ = unsafe { sigaction(signal, &ignore) };
    }
    let close = |first: u32, last: u32| {
        // SAFETY: these are copies of the original's descriptors, and nothing in this process uses
        // them any more. Their destructors never run.
        unsafe { nix::libc::syscall(nix::libc::SYS_close_range, first, last, 0) };
    };
    let [one, other] = kept.unwrap_or([pipe; 2]);
    let mut kept = [pipe, one, other].map(|file| file.as_raw_fd().unsigned_abs());
    // Three of them: sorting in place takes no memory.
    kept.sort_unstable();
    let mut first = 0;
    for kept in kept {
        if first < kept {
            close(first, kept - 1);
        }
        first = kept + 1;
    }
    close(first, u32::MAX);
}

/// Waits for the end of the pipe, into which nobody ever writes.
fn wait(pipe: BorrowedFd<'_>) {
    let mut nothing = [0_u8; 1];
    loop {
        match rustix::io::read(pipe, &mut nothing) {
            Ok(0) => return,
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return,
        }
    }
}

/// Kills until nobody is left.
fn clear(family: u64, home: Option<&Home>) {
    let (mut quiet, mut removed) = (0, home.is_none());
    for _ in 0..MOST_LOOKS {
        if let Some(home) = home.filter(|_| !removed) {
            let _ = end_all(home.folder());
            let (tree, name) = home.place();
            removed = remove(tree, name).is_ok();
        }
        if kill_all(family) {
            quiet = 0;
        } else {
            quiet += 1;
        }
        if quiet >= QUIET_LOOKS && removed {
            return;
        }
        if let NanosleepRelativeResult::Err(_) = nanosleep(&PAUSE) {
            return;
        }
    }
}

/// Kills everyone of the family; whether there was anyone.
fn kill_all(family: u64) -> bool {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(processes) = open(PROC, flags, Mode::empty()) else { return false };
    let mut space = [MaybeUninit::uninit(); 4096];
    let mut found = false;
    let mut entries = RawDir::new(&processes, &mut space);
    while let Some(Ok(entry)) = entries.next() {
        found |= number(entry.file_name()).is_some_and(|pid| kill_member(pid, family));
    }
    found
}

fn kill_member(pid: Pid, family: u64) -> bool {
    // Opened first: should the number come to mean another while it is looked at, this still means
    // the old one.
    let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else { return false };
    mark(pid).is_some_and(|mark| mark.family() == family)
        && pidfd_send_signal(&handle, Signal::KILL).is_ok()
}

fn mark(pid: Pid) -> Option<Mark> {
    // `/proc/`, ten digits at most, `/limits`, and the zero.
    let mut path = [0_u8; 32];
    let mut end = 0;
    let mut push = |bytes: &[u8]| {
        path[end..end + bytes.len()].copy_from_slice(bytes);
        end += bytes.len();
    };
    let mut digits = [0_u8; 10];
    let mut first = digits.len();
    let mut rest = pid.as_raw_nonzero().get().unsigned_abs();
    while rest > 0 {
        first -= 1;
        digits[first] = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
    }
    push(b"/proc/");
    push(&digits[first..]);
    push(b"/limits\0");
    let path = CStr::from_bytes_until_nul(&path).ok()?;
    let file = openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut text = [0_u8; 4096];
    let mut length = 0;
    loop {
        match rustix::io::read(&file, &mut text[length..]) {
            Ok(0) => return Mark::read(&text[..length]),
            Ok(read) => length += read,
            Err(Errno::INTR) => {}
            Err(_) => return None,
        }
    }
}

fn number(name: &CStr) -> Option<Pid> {
    Pid::from_raw(str::from_utf8(name.to_bytes()).ok()?.parse().ok()?)
}
